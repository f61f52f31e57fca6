#!/bin/bash
# Makes the certificates of secure mode in a folder: one authority, one certificate for
# each node, one for the client root and one for the client shop.
#
#   bash deploy/cockroach/certs.sh certs
#
# Needs the cockroach program, or docker to run it in. A folder that is not empty is
# left alone. The authority's key goes to FOLDER/authority and is mounted nowhere.
set -euo pipefail
folder=${1:?usage: certs.sh FOLDER}
image=cockroachdb/cockroach:${COCKROACH_VERSION:-v25.4.11}
# Who runs in the shop's image; libpq wants a key that nobody else can read.
shop_uid=10001

if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "certs.sh: $folder is not empty; remove it to make new certificates" >&2
  exit 2
fi
if ! command -v cockroach >/dev/null; then
  if ! command -v docker >/dev/null; then
    echo "certs.sh: neither cockroach nor docker is on the PATH" >&2
    exit 2
  fi
  mkdir -p "$folder"
  absolute=$(cd "$folder" && pwd)
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  exec docker run --rm --entrypoint /bin/bash -e PATH=/cockroach:/usr/bin:/bin \
    -v "$here:/scripts:ro" -v "$absolute:/certs" "$image" /scripts/certs.sh /certs
fi

umask 077
mkdir -p "$folder/authority" "$folder/admin" "$folder/shop"
key=--ca-key=$folder/authority/ca.key
cockroach cert create-ca --certs-dir="$folder/admin" "$key"
# Every name under which a client may come to a node, those of the load balancers too:
# they pass TLS through, and any of them may lead to any node.
balancers="haproxy-us haproxy-eu haproxy-asia"
octet=0
for region in us eu asia; do
  octet=$((octet + 1))
  for number in 1 2 3; do
    node=crdb-$region-$number
    mkdir -p "$folder/$node"
    cp "$folder/admin/ca.crt" "$folder/$node/"
    # shellcheck disable=SC2086
    cockroach cert create-node "$node" localhost 127.0.0.1 \
      "172.30.$octet.1$number" $balancers --certs-dir="$folder/$node" "$key"
  done
done
cockroach cert create-client root --certs-dir="$folder/admin" "$key"
cp "$folder/admin/ca.crt" "$folder/shop/"
cockroach cert create-client shop --certs-dir="$folder/shop" "$key"
# The authority's certificate is for everybody, keys for their users alone.
mkdir -p "$folder/public"
cp "$folder/admin/ca.crt" "$folder/public/"
chmod 755 "$folder" "$folder/public"
chmod 644 "$folder/public/ca.crt"
chown -R "$shop_uid" "$folder/shop" ||
  echo "certs.sh: give $folder/shop to user $shop_uid, who reads it" >&2
