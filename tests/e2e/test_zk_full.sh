#!/bin/bash
# The shared directory of a ZooKeeper journal is full, and another program takes whatever is given back, while its
# leaders are killed one after the other: somebody leads each time, refuses changes and says why, and answers reads.
# With room all goes on, and nothing acknowledged is lost.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
unset TARN_CONFIG
need_zookeeper
mkdir -p "$work/up/shared"
mount_small 320m "$work/up/shared" || skip "a small file system cannot be mounted here (needs root)"

whole() { json | grep -q '"voters_up":3,'; } # who finds no room does not stand for a while
other_leads() { local n; n=$(leader) && [ "$n" ] && [ "$n" != 0 ] && [ "$n" != "$1" ] && [ "$(master_pid "$n")" ]; }
fill() { head -c 400M /dev/zero >> "$work/up/shared/filler" 2> /dev/null; }
no_space() { # somebody leads: a change ends with that, or is taken because an image has made room; one whose outcome finds no room waits
    local name=full-$RANDOM-$RANDOM
    tarn fs mkdir "/$name" --set client.deadline=3s > "$work/mkdir.log" 2>&1 && echo "$name" >> "$work/made" && return
    grep -q 'no space left' "$work/mkdir.log"
}

group_up 256MiB --journal zk --mode through --set journal.zk.session=2s --set client.deadline=20s --set journal.segment=1MiB --set journal.image_after=1MiB
for i in $(seq 20); do
    tarn fs mkdir "/before-$i" || fail "before it is full: /before-$i"
    echo "before-$i" >> "$work/made"
done
reserves() { [ "$(du -ck "$work"/up/shared/images/[123]/journal.reserve 2> /dev/null | awk 'END {print $1}')" -ge 6000 ]; }
wait_for 20 reserves || fail "no reserves: $(du -ak "$work/up/shared/images")"
fill
for i in $(seq 3000); do
    [ $((i % 20)) != 0 ] || fill # what images let go of as well
    tarn fs mkdir "/d-$i" --set client.deadline=3s > "$work/mkdir.log" 2>&1 || break
    echo "d-$i" >> "$work/made"
done
[ "$i" -lt 3000 ] || fail "it never gets full"
wait_for 20 no_space || fail "full, and mkdir says $(cat "$work/mkdir.log")"

for turn in 1 2 3 4 5; do
    fill
    old=$(leader)
    kill -9 "$(master_pid "$old")"
    wait_for 20 other_leads "$old" || fail "full, $old killed ($turn), and nobody leads: $(tarn journal status 2>&1)"
    wait_for 20 no_space || fail "full, $turn, and mkdir says $(cat "$work/mkdir.log")"
    $(grep -A 1 "master-$old ended" "$work/up.log" | grep -v ended | tail -1) >> "$work/again-$turn.log" 2>&1 &
    pids[again$turn]=$!
    wait_for 30 whole || fail "$old did not join again: $(tarn journal status 2>&1)"
done

rm "$work/up/shared/filler"
wait_for 30 tarn fs mkdir /after --set client.deadline=5s || fail "with space again nothing is written: $(tarn journal status 2>&1)"
tarn fs ls / | sed 's|/$||' | sort > "$work/names"
sort -u "$work/made" | comm -23 - "$work/names" > "$work/lost"
[ ! -s "$work/lost" ] || fail "acknowledged, and lost: $(head "$work/lost")"
left() { [ "$(du -k "$work"/up/shared/log-*/wal-* | awk '{n += $1} END {print n}')" -lt 20000 ]; }
wait_for 20 left || fail "old logs stay: $(du -ak "$work/up/shared")"
echo "ok: $(wc -l < "$work/made") directories"
