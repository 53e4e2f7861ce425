#!/bin/bash
# Two under-stores in one namespace, one read-only; the C API's example; tarn up.
. "$(dirname "$0")/lib.sh" "$@"
mkdir -p "$work/second/sub"
echo first > "$store/one"; echo second > "$work/second/sub/two"
config through 0
python3 - "$TARN_CONFIG" "$work/second" <<'P'
import json, sys
c = json.load(open(sys.argv[1]))
c["mounts"].append({"path": "/data", "ufs": "dir:" + sys.argv[2], "mode": "ro", "check_interval": "0"})
json.dump(c, open(sys.argv[1], "w"))
P
start_master; start_worker 1
[ "$(tarn fs cat /data/sub/two)" = second ] || fail "the second mount"
[ "$(tarn fs cat /one)" = first ] || fail "the first mount"
tarn fs mkdir /data/new 2> "$work/ro.err" && fail "wrote to a read-only mount"
grep -q 'read-only' "$work/ro.err" || fail "$(cat "$work/ro.err")"
tarn fs mkdir /rw || fail "the first mount is writable"
tarn fs mv /one /data/one 2> "$work/xdev.err" && fail "renamed across mounts"
tarn fs ls / | grep -qx data || fail "the mount point is not listed"
# after a restart of the master the mounts are the same
kill9 master; start_master
[ "$(tarn fs cat /data/sub/two)" = second ] || fail "after a restart"
[ "$("$build/cluster-example" 127.0.0.1:$port /data/sub/two)" = second ] || fail "the example program"
"$build/cluster-example" 127.0.0.1:$port / | grep -q 'data/' || fail "the example's listing"
"$build/cluster-example" 127.0.0.1:$port /none 2> /dev/null && fail "the example on a missing file"
# what is taken out of the configuration stays until somebody says so
tarn fs unmount /data 2> "$work/unmount.err" && fail "a configured mount was unmounted"
grep -q 'take it out there' "$work/unmount.err" || fail "$(cat "$work/unmount.err")"
kill9 master
python3 - "$TARN_CONFIG" <<'P'
import json, sys
c = json.load(open(sys.argv[1]))
del c["mounts"][1]
json.dump(c, open(sys.argv[1], "w"))
P
start_master
[ "$(tarn fs cat /data/sub/two)" = second ] || fail "a mount went with its line in the configuration"
grep -q '/data is still mounted' "$work/master.log" && tarn status --all | grep -q 'mounts.1.configured *0' || fail "nobody says that /data is left over: $(tarn status)"
tarn fs unmount --json /data | grep -q unmounted || fail "unmount"
tarn fs ls / | grep -qx data && fail "/data is still there"
[ "$(cat "$work/second/sub/two")" = second ] || fail "the under-store lost its files"
tarn fs unmount /data 2> /dev/null; [ $? = 1 ] || fail "unmounted twice"
at=() # a mount point whose process was killed: tarn up takes it over
[ -r /dev/fuse ] && [ -w /dev/fuse ] && { start_mount D; kill9 mount-D; at=(--mount "$work/D"); }
term worker1; term master
# tarn up: a cluster by one command, children restarted, all gone at the end
unset TARN_CONFIG
tarn up --under-store "$store" --mode through --dir "$work/up" --set "master.listen=127.0.0.1:$((port + 10))" --set "worker.listen=127.0.0.1:$((port + 11))" "${at[@]}" --json > "$work/up.out" 2> "$work/up.err" &
pids[up]=$!
wait_for 20 grep -q '"config"' "$work/up.out" || fail "tarn up: $(cat "$work/up.err")"
export TARN_CONFIG=$work/up/tarn.json
[ "$(tarn fs cat /one)" = first ] || fail "a cluster by tarn up"
[ ${#at[@]} = 0 ] || [ "$(cat "$work/D/one")" = first ] || fail "tarn up on a dead mount"
master=$(tr -d ' \t\n' < "$work/up.out" | grep -o '"master":[0-9]*' | cut -d: -f2)
kill -9 "$master"
wait_for 20 tarn fs cat /one || fail "tarn up did not restart its master"
tarn fs mkdir /after || fail "after a restart under tarn up"
worker=$(tr -d ' \t\n' < "$work/up.out" | grep -o '"worker-1":[0-9]*' | cut -d: -f2)
term up || fail "tarn up's status after SIGTERM"
sleep 0.3
kill -0 "$worker" 2> /dev/null && fail "a worker outlived tarn up"
mounted "$work/D" && fail "the mount outlived tarn up"
unset TARN_CONFIG
timeout 20 tarn up --dir "$work/up2" 2> "$work/none.err"; [ $? = 2 ] && grep -q 'nothing to serve' "$work/none.err" || fail "tarn up without a store: $(cat "$work/none.err")"
echo ok
