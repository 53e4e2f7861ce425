#!/bin/bash
# tests/e2e/test_secret.sh BUILD_DIR - two hosts (network namespaces of our own, joined by a veth): without a
# cluster secret nothing but loopback; with it a cluster over both; with another one, or none, E_AUTH and a
# line on both sides; a change of the secret without a restart; strangers that only connect.
. "$(dirname "$0")/netns.sh"
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
netns_host far
ip link set lo up && ip link add here0 type veth peer name there0 && ip link set there0 netns $far &&
    ip addr add 10.77.0.1/24 dev here0 && ip link set here0 up || skip "no veth here"
at_far() { on $far "$@"; }
at_far ip addr add 10.77.0.2/24 dev there0 && at_far ip link set there0 up || fail "the second host"

conf() { # conf FILE SECRET_FILE : the cluster as that host sees it
    cat > "$1" <<END
{"cluster": {"secret_file": "$2"},
 "master": {"listen": "10.77.0.1:$port", "dir": "$work/master"},
 "worker": {"capacity": "64MiB"}, "client": {"deadline": "10s"},
 "mounts": [{"path": "/", "ufs": "dir:$store", "mode": "ro"}]}
END
}
says() { # says STATUS PATTERN COMMAND... : and nothing of it shows a secret
    local want=$1 pattern=$2 out code
    shift 2
    out=$("$@" 2>&1)
    code=$?
    [ $code = "$want" ] || fail "$*: status $code, not $want: $out"
    grep -qE -- "$pattern" <<< "$out" || fail "$*: says no '$pattern': $out"
    for s in "$work"/*secret; do
        [ ! -s "$s" ] || ! grep -qFf "$s" <<< "$out" || fail "$*: shows a secret"
    done
}
head -c 3000000 /dev/urandom > "$store/data"
secret=$work/secret far_secret=$work/far-secret
export TARN_CONFIG=$work/here.json
conf "$work/here.json" ""
says 1 'will not listen on 10.77.0.1.*tarn secret new' tarn master
says 4 'will not connect to 10.77.0.1.*tarn secret new' tarn status

conf "$work/here.json" "$secret"
conf "$work/far.json" "$far_secret"
says 4 'No such file.*tarn secret new' tarn master
says 0 'fingerprint' tarn secret new "$secret"
says 1 'exists' tarn secret new "$secret"
[ "$(stat -c %a "$secret")" = 600 ] || fail "the secret's mode"
chmod 644 "$secret"
says 4 'mode 0644.*chmod 600' tarn master
says 4 'chmod 600' tarn config check "$TARN_CONFIG"
chmod 600 "$secret"
says 0 'ok' tarn config check "$TARN_CONFIG"
cp "$secret" "$far_secret"
[ "$(tarn secret check "$secret")" = "$(tarn secret check "$far_secret")" ] || fail "a copy has another fingerprint"

start_master
worker() { # worker N HOST [prefix...]
    local n=$1 host=$2
    shift 2
    spawn "worker$n" "$@" tarn worker --set "worker.listen=$host:$((port + n))" --set "worker.dir=$work/worker$n" || fail "worker $n did not start"
}
worker 1 10.77.0.1
worker 2 10.77.0.2 nsenter -t $far -n env "TARN_CONFIG=$work/far.json"
far_tarn() { at_far env "TARN_CONFIG=$work/far.json" tarn "$@"; }
mkdir "$work/m"
points[m]=$work/m
spawn mount-m nsenter -t $far -n env "TARN_CONFIG=$work/far.json" tarn mount "$work/m" || fail "no mount on the second host"
cmp "$store/data" "$work/m/data" || fail "bytes over the mount"
far_tarn fs cat /data | cmp - "$store/data" || fail "bytes over tarn fs"

# another secret, and none
conf "$work/other.json" "$work/other-secret"
tarn secret new -q "$work/other-secret" > /dev/null
says 4 'refuses this node, which has another cluster secret' at_far env "TARN_CONFIG=$work/other.json" tarn status
[ "$(at_far env "TARN_CONFIG=$work/other.json" tarn fs ls / 2>&1 | grep -c .)" = 2 ] || fail "tarn fs asks a master that refuses it again and again"
for verb in status elect "backup $work/none"; do
    says 4 '"error":.*refuses this connection: it has another cluster secret' at_far env "TARN_CONFIG=$work/other.json" tarn journal $verb --json
done
says 4 'may not be connected to.*cluster.secret_file is not set' tarn journal bootstrap --set cluster.secret_file= --set journal.type=raft --set journal.id=1 --set "journal.members=1@10.77.0.1:$port,2@10.77.0.2:$port" --set "master.dir=$work/none"
grep -q '10.77.0.2:[0-9]* has another cluster secret than this node' "$work/master.log" || fail "the master says nothing of it"
spawn local tarn master --set "master.listen=127.0.0.1:$((port + 5))" --set "master.dir=$work/local" || fail "a second master"
says 4 'has a cluster secret and this node has none' tarn status --masters "127.0.0.1:$((port + 5))" --set cluster.secret_file=
grep -q '127.0.0.1:[0-9]* has no cluster secret and this node has one' "$work/local.log" || fail "the second master says nothing of it"

# a change of the secret, with nothing started again
tarn secret new -q "$work/new-secret" > /dev/null
cat "$work/new-secret" >> "$secret"
sleep 1.1
cp "$work/new-secret" "$far_secret" # this host is early: the other still knows both
far_tarn status > /dev/null || fail "the new secret is not accepted beside the old"
grep -q 'read again: two are accepted' "$work/master.log" || fail "the master does not say that it read the file"
cp "$work/new-secret" "$secret"
sleep 1.1
far_tarn status > /dev/null || fail "the new secret alone"
cmp "$store/data" "$work/m/data" || fail "the mount did not live through the change"

# strangers hold what they may, and no more: others get in
at_far python3 - 10.77.0.1 "$port" <<'END' &
import socket, sys, time
held = []
for i in range(600):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    s.send((b"tarn/net\2\0\2\0", b"tarn", b"", b"\0" * 4096)[i % 4])
    held.append(s)
time.sleep(3)
END
flood=$!
for _ in 1 2 3 4; do
    far_tarn fs ls / > /dev/null || fail "nobody gets in beside strangers"
    sleep 0.5
done
wait $flood || fail "the flood broke off"
kill -0 "${pids[master]}" || fail "the master has died of strangers"
kill $far 2> /dev/null
term mount-m || true
echo ok
