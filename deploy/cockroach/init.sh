#!/bin/bash
# Initialises the cluster once, makes the database and its user, and sets the licence if
# there is one. Safe to run again.
set -euo pipefail
cockroach=${COCKROACH:-/cockroach/cockroach}
host=--host=crdb-us-1:26257
security=${NODE_SECURITY:---insecure}
# shellcheck disable=SC2086
sql() { "$cockroach" sql $security "$host" "$@"; }

# A node that is not up yet refuses; one that was initialised before says so.
for _ in $(seq 60); do
  # shellcheck disable=SC2086
  if said=$("$cockroach" init $security "$host" 2>&1); then break; fi
  if grep -q "already been initialized" <<<"$said"; then break; fi
  sleep 1
done
for _ in $(seq 60); do
  if sql -e "SELECT 1" >/dev/null 2>&1; then break; fi
  sleep 1
done
# The system's own leases stay where migrations run, and so does the wait for them.
sql <<SQL
CREATE DATABASE IF NOT EXISTS shop PRIMARY REGION "us" REGIONS "eu", "asia" SURVIVE ${SURVIVE:-ZONE} FAILURE;
CREATE USER IF NOT EXISTS shop;
ALTER DATABASE shop OWNER TO shop;
ALTER DATABASE system CONFIGURE ZONE USING constraints = '{"+region=us": 1}', lease_preferences = '[[+region=us]]';
SET CLUSTER SETTING server.shutdown.initial_wait = '10s';
SQL
if [ -n "${COCKROACH_LICENSE:-}" ]; then
  # By standard input, so that the key is in no process list.
  printf "SET CLUSTER SETTING enterprise.license = '%s';\n" "$COCKROACH_LICENSE" |
    sql >/dev/null
fi
