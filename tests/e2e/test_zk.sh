#!/bin/bash
# Our ZooKeeper client against Debian's ZooKeeper: one server, then three of which one after the other is
# killed, or stands still, while a counter is raised (tests/unit/test_zk_real.c).  ZK_SOAK=SECONDS makes that longer.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
need_zookeeper
soak=${ZK_SOAK:-20}

zk_ensemble 1
TARN_ZK=$zk_connect test_zk_real > "$work/one.log" 2>&1 || fail "one server: $(tail -n 40 "$work/one.log")"

# the distribution's own command line sees what ours makes, and the other way round
cli() { timeout 60 java -XX:TieredStopAtLevel=1 -cp "$zk_jars" org.apache.zookeeper.ZooKeeperMain -server "$zk_connect" "$@" 2>&1; }
beside() { TARN_ZK=$zk_connect TARN_ZK_CLI=$1 test_zk_real test_beside_cli > "$work/cli.log" 2>&1 || fail "beside zkCli, $1: $(tail -n 20 "$work/cli.log")"; }
beside make
said=$(cli get -s /by-tarn)
grep -q '^two$' <<< "$said" && grep -q 'dataVersion = 1' <<< "$said" && grep -q 'numChildren = 1' <<< "$said" || fail "zkCli get: $said"
cli ls /by-tarn | grep -q '\[s-0000000000\]' || fail "zkCli ls: $(cli ls /by-tarn)"
# the example follows a node that it makes, changes and removes
cluster-example_zk "$zk_connect" /followed > "$work/followed" 2>&1 &
pids[follow]=$!
follows() { grep -q "^$1\$" "$work/followed"; }
wait_for 20 follows 'not there' || fail "the example: $(cat "$work/followed")"
cli create /followed one > /dev/null
wait_for 10 follows '0: one' || fail "the example: $(cat "$work/followed")"
cli set /followed two > /dev/null
wait_for 10 follows '1: two' || fail "the example: $(cat "$work/followed")"
cli delete /followed > /dev/null
gone() { [ "$(grep -c 'not there' "$work/followed")" = 2 ]; }
wait_for 10 gone || fail "the example: $(cat "$work/followed")"
kill9 follow
cli create /by-cli bytes | grep -q 'Created /by-cli' || fail "zkCli create"
cli create /by-cli/kid x > /dev/null
beside read
cli ls /by-cli | grep -q 'Node does not exist' || fail "zkCli sees what was removed: $(cli ls /by-cli)"
# and its C library and ours see the same tree
if command -v bench-zktree > /dev/null; then
    bench-zktree "$zk_connect" /by-library make > "$work/theirs" 2> "$work/theirs.err" || fail "bench-zktree: $(cat "$work/theirs.err")"
    beside tree
    grep '^node' "$work/cli.log" > "$work/ours"
    [ "$(grep -c '^node' "$work/theirs")" = 31 ] || fail "the C library's tree: $(cat "$work/theirs")"
    diff "$work/theirs" "$work/ours" || fail "the C library sees another tree than we do"
else
    echo "not compared with ZooKeeper's C library: package libzookeeper-mt-dev"
fi
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
