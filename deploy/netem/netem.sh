#!/bin/sh
# DELAYS is "SUBNET:MILLISECONDS ...": half a round trip, as the other side pays the
# other half. Whatever goes elsewhere passes undelayed, in the last band.
set -eu
device=${DEVICE:-eth0}
set -- ${DELAYS:?}
bands=$(($# + 1))
map=
for _ in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do map="$map $#"; done
# shellcheck disable=SC2086
tc qdisc replace dev "$device" root handle 1: prio bands "$bands" priomap $map
band=1
for pair in "$@"; do
  # No jitter: netem would let packets overtake each other. The limit holds what is on
  # its way at a gigabit a second.
  tc qdisc replace dev "$device" parent "1:$band" handle "${band}0:" \
    netem delay "${pair##*:}ms" limit 50000
  tc filter add dev "$device" parent 1: protocol ip prio "$band" \
    u32 match ip dst "${pair%:*}" flowid "1:$band"
  band=$((band + 1))
done
exec sleep infinity
