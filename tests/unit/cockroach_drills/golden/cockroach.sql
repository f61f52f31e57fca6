-- schema
DROP DATABASE IF EXISTS seawall_drill CASCADE;
CREATE DATABASE seawall_drill;
CREATE TABLE seawall_drill.public.drill_rows (number INT8 PRIMARY KEY, content STRING NOT NULL);
CREATE TABLE seawall_drill.public.drill_probe (content STRING NOT NULL);
-- schema that survives a region
DROP DATABASE IF EXISTS seawall_drill CASCADE;
CREATE DATABASE seawall_drill;
ALTER DATABASE seawall_drill SET PRIMARY REGION "eu";
ALTER DATABASE seawall_drill ADD REGION "us";
ALTER DATABASE seawall_drill ADD REGION "asia";
ALTER DATABASE seawall_drill SURVIVE REGION FAILURE;
CREATE TABLE seawall_drill.public.drill_rows (number INT8 PRIMARY KEY, content STRING NOT NULL);
CREATE TABLE seawall_drill.public.drill_probe (content STRING NOT NULL);
-- backup, restore
BACKUP DATABASE seawall_drill INTO 'nodelocal://1/drill' AS OF SYSTEM TIME '-1s' WITH revision_history;
BACKUP DATABASE seawall_drill INTO LATEST IN 'nodelocal://1/drill' AS OF SYSTEM TIME '-1s' WITH revision_history;
DROP DATABASE seawall_drill CASCADE;
RESTORE DATABASE seawall_drill FROM LATEST IN 'nodelocal://1/drill';
RESTORE DATABASE seawall_drill FROM LATEST IN 'nodelocal://1/drill' AS OF SYSTEM TIME '2026-11-23 10:00:00.5';
DROP DATABASE IF EXISTS seawall_drill CASCADE;
