#!/bin/bash
# A shared directory of a ZooKeeper journal that is full while its leaders are killed, one after the other: somebody
# leads each time, what was acknowledged is there, and with room all goes on.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
unset TARN_CONFIG
need_zookeeper
mkdir -p "$work/up/shared"
mount_small 320m "$work/up/shared" || skip "a small file system cannot be mounted here (needs root)"
whole() { json | grep -q '"voters_up":3,"tolerates":2,"ok":true'; }
leads_now() { local n; n=$(leader) && [ "$n" ] && [ "$n" != 0 ] && [ "$n" != "$1" ] && kill -0 "$(master_pid "$n")" 2> /dev/null; }
# what is free is taken; what images let go of meanwhile as well
fill() { head -c 400M /dev/zero >> "$work/up/shared/filler" 2> /dev/null; }
t0=$SECONDS
group_up 256MiB --journal zk --mode through --set journal.zk.session=2s --set client.deadline=20s --set journal.segment=1MiB --set journal.image_after=1MiB
for i in $(seq 20); do tarn fs mkdir "/before-$i" --set client.deadline=5s || fail "before it is full: /before-$i"; done
fill
for i in $(seq 3000); do
    [ $((i % 20)) != 0 ] || fill
    tarn fs mkdir "/d-$i" --set client.deadline=3s > "$work/mkdir.log" 2>&1 || break
    echo "d-$i" >> "$work/made"
done
[ "$i" -lt 3000 ] || fail "it never gets full"
echo "full after $i at $((SECONDS - t0)) s"
for turn in 1 2 3 4 5 6 7 8; do
    fill
    old=$(leader)
    kill -9 "$(master_pid "$old")"
    t1=$SECONDS
    wait_for 30 leads_now "$old" || { du -ak "$work/up/shared" | sort -n | tail -50; tail -n 8 "$work"/up/master-*.log;  fail "full, $old killed, and nobody leads: $(tarn journal status 2>&1)"; }
    echo "turn $turn: $old killed, $(leader) leads after $((SECONDS - t1)) s"
    $(grep -A 1 "master-$old ended" "$work/up.log" | grep -v ended | tail -1) >> "$work/again.log" 2>&1 &
    pids[again$turn]=$!
    wait_for 30 whole || fail "$old did not join again: $(tarn journal status 2>&1)"
    sleep 1
done
rm "$work/up/shared/filler"
wait_for 30 tarn fs mkdir /after --set client.deadline=5s || fail "with space again nothing is written: $(tail -n 3 "$work"/up/master-*.log)"
tarn fs ls / > "$work/names" || fail "ls"
while read -r name; do grep -q "$name" "$work/names" || fail "$name was acknowledged, and is lost"; done < "$work/made"
echo ok
