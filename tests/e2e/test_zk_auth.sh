#!/bin/bash
# journal.zk.auth is set for a path that was made without: what is open is named, by a master and by --check, and closed by
# `tarn journal bootstrap`.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
need_zookeeper
zk_ensemble 1
export TARN_CONFIG=$work/tarn.json
mkdir "$work/shared"
cat > "$TARN_CONFIG" <<END
{"master": {"listen": "127.0.0.1:$port", "memory": "256MiB"}, "client": {"deadline": "20s"},
 "journal": {"type": "zk", "zk": {"connect": "$zk_connect/all/t", "shared_dir": "$work/shared"}},
 "mounts": [{"path": "/", "mode": "meta"}]}
END
(umask 077; echo "tarn:a secret" > "$work/auth")
start() { # with or without credentials
    spawn m tarn master --set journal.id=1 --set "master.dir=$work/own" "$@" || fail "no master: $(tail -5 "$work/m.log")"
    wait_for 30 tarn fs ls / || fail "nobody leads: $(tail -5 "$work/m.log")"
}
check="tarn master --check --set journal.id=1 --set master.dir=$work/nine"
open='everybody may change /all/t, /all/t/cluster, /all/t/election, /all/t/epoch, /all/t/masters'
with="--set journal.zk.auth=$work/auth"

expect 0 '^[0-9a-f]{32}$' tarn journal bootstrap --quiet
start
$check 2>&1 | grep -q everybody && fail "without credentials nothing is said of them"
expect 0 "$open" $check $with
expect 1 'master 1 runs without journal.zk.auth: restart it with it first' tarn journal bootstrap $with
expect 1 'Nothing was closed' tarn journal bootstrap --if-needed $with
expect 0 "$open" $check $with
tarn fs ls / > /dev/null || fail "it does not go on"
term m || fail "the master does not end"

start $with
wait_for 10 grep -q 'warn.*everybody may change /, /cluster, /election, /epoch, /masters' "$work/m.log" || fail "not a word: $(cat "$work/m.log")"
tarn zk get /cluster > /dev/null || fail "it is not open"
expect 0 "closed to others than journal.zk.auth's user: /all/t, /all/t/cluster" tarn journal bootstrap $with
for node in /cluster /election /epoch /masters; do expect 1 'ZooKeeper refuses access' tarn zk get $node; done
expect 0 . tarn zk get /cluster $with
$check $with 2>&1 | grep -q everybody && fail "it is open still"
expect 1 'already: start its masters' tarn journal bootstrap $with
tarn fs ls / > /dev/null || fail "the master does not go on"
term m || fail "the master does not end"
: > "$work/m.log"
start $with
grep -q everybody "$work/m.log" && fail "it says that they are open: $(cat "$work/m.log")"
echo ok
