#!/bin/bash
# Starts one node. NODE_REGION, NODE_ZONE, NODE_JOIN and NODE_SECURITY come from compose.
set -euo pipefail
# Unquoted: it is one or more options.
# shellcheck disable=SC2086
exec "${COCKROACH:-/cockroach/cockroach}" start ${NODE_SECURITY:---insecure} \
  --locality="region=${NODE_REGION:?},zone=${NODE_ZONE:?}" \
  --listen-addr=:26257 --advertise-addr="$(hostname):26257" --http-addr=:8080 \
  --join="${NODE_JOIN:?}" \
  --cache="${NODE_CACHE:-64MiB}" --max-sql-memory="${NODE_SQL_MEMORY:-128MiB}" \
  --max-offset=250ms
