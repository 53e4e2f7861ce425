#!/bin/bash
# Our ZooKeeper client against Debian's ZooKeeper: one server, then three of which one after the other is
# killed, or stands still, while a counter is raised (tests/unit/test_zk_real.c).  ZK_SOAK=SECONDS makes that longer.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
need_zookeeper
soak=${ZK_SOAK:-20}

zk_ensemble 1
TARN_ZK=$zk_connect test_zk_real > "$work/one.log" 2>&1 || fail "one server: $(tail -n 40 "$work/one.log")"
zk_kill 1

zk_connect= port=$((port + 9))
rm -rf "$work"/zk1
zk_ensemble 3
TARN_ZK=$zk_connect test_zk_real > "$work/three.log" 2>&1 || fail "three servers: $(tail -n 40 "$work/three.log")"
TARN_ZK=$zk_connect TARN_ZK_SOAK=$soak TARN_ZK_LOG=1 test_zk_real test_soak > "$work/soak.log" 2>&1 &
pids[soak]=$!
end=$((SECONDS + soak))
i=1 rounds=0
while [ $SECONDS -lt $end ]; do
    sleep 2
    if [ $((rounds % 3)) = 2 ]; then
        zk_pause $i
        sleep 4
        zk_go_on $i
    else
        zk_kill $i
        sleep 1
        zk_start $i
    fi
    zk_wait_ready $i
    i=$((i % 3 + 1)) rounds=$((rounds + 1))
done
wait "${pids[soak]}" || fail "the counter: $(tail -n 40 "$work/soak.log")"
unset "pids[soak]"
grep "raised" "$work/soak.log"
echo "$rounds servers broken while it was raised"
