#!/bin/bash
# Initialises the cluster once, makes the database, and sets the licence if there is
# one. Safe to run again.
set -euo pipefail
cockroach=/cockroach/cockroach
"$cockroach" init --insecure --host=crdb-us:26257 2>&1 | tee /tmp/init.log ||
  grep -q "already been initialized" /tmp/init.log
until "$cockroach" sql --insecure --host=crdb-us:26257 -e "SELECT 1" >/dev/null 2>&1; do
  sleep 1
done
"$cockroach" sql --insecure --host=crdb-us:26257 <<'SQL'
CREATE DATABASE IF NOT EXISTS shop PRIMARY REGION "us" REGIONS "eu", "asia" SURVIVE ZONE FAILURE;
SQL
if [ -n "${COCKROACH_LICENSE:-}" ]; then
  # By standard input, so that the key is in no process list.
  printf "SET CLUSTER SETTING enterprise.license = '%s';\n" "$COCKROACH_LICENSE" |
    "$cockroach" sql --insecure --host=crdb-us:26257 >/dev/null
fi
