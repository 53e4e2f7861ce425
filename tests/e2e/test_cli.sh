#!/bin/bash
# Bad input at the command line and in configurations: a clear error, the right exit status, no hang.
. "$(dirname "$0")/lib.sh" "$@"
expect() { # expect STATUS PATTERN COMMAND...
    local want=$1 pattern=$2 out status; shift 2
    out=$(timeout 30 "$@" 2>&1); status=$?
    [ $status = "$want" ] || fail "$*: status $status, not $want: $out"
    grep -qE -- "$pattern" <<< "$out" || fail "$*: says \"$out\", not $pattern"
}
config ro 1s
expect 2 'did you mean "status"' tarn statsu
expect 2 'did you mean "ls"' tarn fs lss
expect 2 'did you mean --recursive' tarn fs ls --recursiv /
expect 2 'needs a value' tarn status --config
expect 2 'takes no value' tarn status --json=3
expect 2 'unexpected operand' tarn status now
expect 2 'options come after the command: tarn journal COMMAND --quiet' tarn journal --quiet status
for bad in 'status --json --bogus' 'journal elect --json --bogus' 'status -x --json' 'bogus --json' 'journal bogus --json' '--json journal status'; do
    tarn $bad 2> /dev/null | python3 -c 'import json,sys; d = json.load(sys.stdin); assert not d["ok"] and d["status"] == 2 and d["error"]' || fail "tarn $bad: no JSON"
done
expect 2 'needs PATH' tarn fs stat
expect 2 'usage' tarn
expect 0 'usage' tarn --help
expect 0 'tarn 0' tarn --version
for c in up master worker mount umount status 'config show' 'config check' 'fs ls' 'fs stat' 'fs cat' 'fs cp' 'fs put' 'fs get' \
    'fs mkdir' 'fs mv' 'fs rm' 'fs ln' 'fs du' 'fs df' 'fs load' 'fs free' 'fs location' 'fs refresh' 'fs unmount'; do
    expect 0 '^usage: tarn '"$c" tarn $c --help
done
expect 0 'usage' tarn bench --help
expect 2 'unknown benchmark "mta", did you mean meta' tarn bench mta
expect 2 'did you mean --rounds' tarn bench meta --round 3
expect 2 'needs a value' tarn bench meta --rounds
expect 2 '--files is' tarn bench image --files 10Q
expect 0 "secret: 16 at a time.* x no secret" tarn bench connect --quick --dir "$work"
expect 0 'image loaded.* x image read' tarn bench image --files 2K --rounds 1 --seconds 0.02 --dir "$work"
expect 0 'p50 at 1, tarn / raw quorum' tarn bench journal --only raw,tarn,tcp,masters --quick --dir "$work"
expect 0 'kill -9 of the leader.* ms ' tarn bench failover --only kill,transfer --quick --dir "$work"
expect 0 'a standby that has everything' tarn bench restart --files 500 --rounds 1 --dir "$work"
expect 4 'did you mean "worker.capacity"' tarn status --set worker.capacty=1
expect 4 'not a size' tarn status --set worker.capacity=lots
expect 4 'out of range' tarn status --set client.deadline=1ns
expect 4 'No such file' tarn status --config /does/not/exist.json
echo '{"worker": {"dri": "/x"}}' > "$work/bad.json"
expect 4 'bad.json.*did you mean "worker.dir"' tarn config check "$work/bad.json"
expect 4 '"ok":.*false' tarn config check --json "$work/bad.json"
echo '{"worker": {"dri": "/x", "capacity": "lots"}, "master": {"lease": "9s", "session": "2s"}, "mounts": [{"path": "x"}], "nets": {"a": 1}}' > "$work/bad5.json"
TARN_CONFIG=$work/bad5.json tarn config check 2> "$work/bad5.err" && fail "a bad configuration is ok"
[ "$(grep -c "bad5.json: " "$work/bad5.err")" = 5 ] || fail "not all mistakes: $(cat "$work/bad5.err")"
expect 0 'ok' tarn config check "$TARN_CONFIG"
three() { echo "{\"journal\": {\"type\": \"raft\", \"members\": \"1@$1:7700,2@$2:7700\"}${3:-}}" > "$work/three.json"; }
three 192.0.2.1 192.0.2.2
expect 4 '192.0.2.2:7700 is not a loopback address, and cluster.secret_file is not set' tarn config check "$work/three.json"
tarn secret new -q "$work/three.secret" > /dev/null
three 127.0.0.1 192.0.2.2 ", \"cluster\": {\"secret_file\": \"$work/three.secret\"}"
expect 4 '127.0.0.1:7700 is a loopback address, which 192.0.2.2:7700 cannot be told' tarn config check "$work/three.json"
three 192.0.2.1 192.0.2.2 ", \"cluster\": {\"secret_file\": \"$work/three.secret\"}"
expect 0 'ok' tarn config check "$work/three.json"
expect 4 'No such file.*from .TARN_CONFIG' env "TARN_CONFIG=$work/stale.json" tarn status
expect 0 'meaning' tarn config show --defaults
tarn config show | python3 -m json.tool > /dev/null || fail "config show is not JSON"
tarn config show --json | python3 -m json.tool > /dev/null || fail "config show --json is not one JSON document"
# nobody there: an error in time, not a hang
expect 3 'masters: 127.0.0.1' tarn status --set client.deadline=1s
# one that accepts and says nothing
python3 -c 'import socket,sys,time
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); time.sleep(60)' $((port + 9)) &
silent=$!
sleep 0.3
expect 3 'no master answers at 127.0.0.1' tarn journal backup "$work/none" --masters "127.0.0.1:$((port + 9))"
kill $silent
[ ! -e "$work/none" ] && [ ! -e "$work/none.part" ] || fail "a backup of nobody"
# directories and ports
mkdir -p "$work/group/master-1" "$work/group/master-2" "$work/group/master-3" "$work/one/master"
for n in 1 2 3; do touch "$work/group/master-$n/journal.meta"; done; touch "$work/one/master/journal.meta" "$work/one/tarn.json"
expect 1 'group/master-1 to .*group/master-3: a group of masters lies there.*--masters 3' tarn up -u "$store" -d "$work/group"
expect 1 'one/master is a single master.s.*without --masters' tarn up -u "$store" -d "$work/one" --masters 3
[ ! -e "$work/group/tarn.json" ] && [ ! -s "$work/one/tarn.json" ] && [ ! -e "$work/group/master" ] && [ ! -e "$work/one/master-1" ] || fail "a refused tarn up writes"
touch "$work/file"
expect 1 'not a directory' tarn up -u "$work/file" -d "$work/up"
expect 2 'lies in the under-store' tarn up -u "$work" -d "$work/up" # caches would be served, or hidden by chance
expect 2 'mount point .* lies in the under-store' tarn up -u "$store" -d "$work/up" -m "$store/mnt"
[ ! -e "$store/mnt" ] && [ ! -e "$work/up" ] || fail "a refused tarn up leaves directories"
expect 2 'mode "rw"' tarn up -u "$work" -d "$work/up" --mode rw
expect 1 'file' tarn master --set "master.dir=$work/file/below"
expect 4 'master.dir is not set' tarn master --set master.dir=
if [ "$(id -u)" != 0 ]; then
    mkdir -m 555 "$work/readonly"
    expect 1 'readonly' tarn master --set "master.dir=$work/readonly/x"
fi
start_master
expect 1 'already|lock|busy' tarn master                                        # the directory is taken
expect 1 'in use' tarn master --set "master.dir=$work/other"                    # the port is taken
expect 1 'cannot find the address of no-such-host.invalid' tarn worker --set "worker.dir=$work/w9" --set worker.listen=no-such-host.invalid:99
expect 1 'will not listen on 0\.0\.0\.0.*tarn secret new' tarn worker --set "worker.dir=$work/w9" --set worker.listen=0.0.0.0:$((port + 9))
# garbage on the wire: the master goes on
for i in 1 2 3 4 5; do
    head -c 3000 /dev/urandom > /dev/tcp/127.0.0.1/$port 2>/dev/null || true
    printf 'GET / HTTP/1.0\r\n\r\n' > /dev/tcp/127.0.0.1/$port || true
done
expect 3 'no worker is alive' tarn fs load /
start_worker 1
expect 0 '^master  ' tarn status
tarn status --json | python3 -m json.tool > /dev/null || fail "status --json is not JSON"
expect 1 'no such file' tarn fs stat /nothing
expect 1 'read-only' tarn fs mkdir /new
expect 1 'file exists|read-only' tarn fs mkdir /
echo hello > "$store/hello"
expect 0 '^hello$' tarn fs cat /hello
tarn fs ls --json / | python3 -m json.tool | grep -q '"/hello"' || fail "ls --json"
expect 0 'hello' tarn fs ls -l /
tarn fs cat /hello > /dev/full 2> "$work/full"; [ $? = 1 ] || fail "a full standard output is no success"
# words and letters, paths that cannot be meant, standard streams
expect 0 '/hello' tarn fs ls -lR /
expect 2 'unknown option -lQ' tarn fs ls -lQ /
expect 1 'begins with /' tarn fs ls hello
expect 1 'begins with /' tarn fs ls ''
expect 4 'nonsense.*host:port' tarn fs ls --masters nonsense
expect 1 'root is not removed' tarn fs rm -r /
expect 1 'no mount of tarn' tarn umount /
expect 2 'usage' tarn bench
expect 0 '^hello$' tarn fs get /hello -
tarn fs ls >&- 2> "$work/closed"; [ $? = 1 ] || fail "a closed standard output: $(cat "$work/closed")"
[ "$(tarn fs cat /hello <&-)" = hello ] || fail "a closed standard input"
# get: through links, into devices, whole or not at all, the longest name
cd "$work"; name=$(printf 'n%.0s' $(seq 255))
mkfifo pipe; echo old > real; ln -s real link; cp "$store/hello" "$store/$name"
expect 0 '' tarn fs get /hello link; [ -L link ] && [ "$(cat real)" = hello ] || fail "get through a symbolic link"
(cat pipe > piped &); expect 0 '' tarn fs get /hello pipe; [ -p pipe ] || fail "get replaced a fifo"
wait_for 20 tarn fs stat "/$name" # made behind the cluster's back: seen a check_interval later
expect 0 '' tarn fs get "/$name" .; cmp -s "$name" "$store/hello" || fail "get of the longest name"
expect 1 'no such' tarn fs get /hello missing/x
expect 1 'no such directory' tarn fs get /hello missing/
expect 2 'not a directory, and there are 2' tarn fs get /hello "/$name" real; [ "$(cat real)" = hello ] || fail "two sources into one file"
tarn fs get --json /hello j | python3 -m json.tool | grep -q '"ok": true' || fail "get --json"
find . -name '*.part' | grep . && fail "an unfinished file is left"
# what is interrupted leaves nothing
(cd "$work"; exec tarn bench meta --seconds 20 > bench.log 2>&1) & bench=$!
has_child() { [ -n "$(cat /proc/$bench/task/*/children)" ] && ls -d "$work"/tarn-bench-*; }
wait_for 60 has_child || fail "the benchmark did not start: $(cat "$work/bench.log")"
children=$(cat /proc/$bench/task/*/children); kill -INT $bench; wait $bench; [ $? = 130 ] || fail "the interrupted benchmark's status"
for c in $children; do wait_for 20 eval "! kill -0 $c" || fail "process $c of the interrupted benchmark is left"; done
ls -d "$work"/tarn-bench-* 2> /dev/null && fail "the interrupted benchmark's directory is left"
# the simulator's command line
expect 2 'did you mean --seed' tarn-sim run x --sede 7
expect 2 'did you mean run' tarn-sim runn
expect 2 'no seed to run' tarn-sim seeds x --from 5 --to 2
expect 2 'there are "mknod"' tarn-sim points nothing
expect 0 '^usage: tarn fs ls' tarn help fs ls
# a second cluster on the same ports: only what it said this time, and what to do
for i in 1 2; do tarn up -u "$store" -d "$work/up2" > /dev/null 2> "$work/up.err" && fail "two clusters on one port"; done
[ "$(grep -c 'cannot listen on' "$work/up.err")" = 2 ] && grep -q 'other ports by --set' "$work/up.err" || fail "tarn up on a port in use: $(cat "$work/up.err")"
term worker1 || fail "the worker's status after SIGTERM is not 0"
term master || fail "the master's status after SIGTERM is not 0"
echo ok
