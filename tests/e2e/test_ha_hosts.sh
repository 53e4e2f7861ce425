#!/bin/bash
# tests/e2e/test_ha_hosts.sh BUILD_DIR - docs/ha.md, step by step, on four hosts (network namespaces on a
# bridge of our own): three masters, and one host with a worker and a mount.  Files are written through
# the mount while the leader is killed, while its cable is pulled, and while a master that lost its disk
# is replaced.
flags=-nm
[ "$(id -u)" = 0 ] || flags=-Urnm
if [ -z "${TARN_TEST_NETNS:-}" ]; then
    command -v ip > /dev/null || { echo "SKIP: no iproute2"; exit 77; }
    unshare $flags true 2> /dev/null || { echo "SKIP: no network namespaces here"; exit 77; }
    TARN_TEST_NETNS=1 exec unshare $flags "$0" "$@"
fi
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
ip link set lo up && ip link add br0 type bridge && ip addr add 10.78.0.10/24 dev br0 && ip link set br0 up || skip "no bridge here"
declare -A host=()
for h in 1 2 3; do
    unshare -n sleep 600 &
    host[$h]=$!
    wait_for 10 bash -c "[ \"\$(readlink /proc/${host[$h]}/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]" || fail "no namespace $h"
    ip link add "port$h" type veth peer name eth0 && ip link set eth0 netns "${host[$h]}" &&
        ip link set "port$h" master br0 up || skip "no veth here"
    nsenter -t "${host[$h]}" -n ip link set lo up
    nsenter -t "${host[$h]}" -n ip addr add "10.78.0.$h/24" dev eth0
    nsenter -t "${host[$h]}" -n ip link set eth0 up
done
on() { local h=$1; shift; nsenter -t "${host[$h]}" -n "$@"; } # on HOST COMMAND...

# --- the steps of docs/ha.md
secret=$work/secret
TARN_CONFIG= tarn secret new "$secret" > /dev/null || fail "secret"
cat > "$TARN_CONFIG" <<END
{"cluster": {"secret_file": "$secret"},
 "journal": {"type": "raft", "members": "1@10.78.0.1:7700,2@10.78.0.2:7700,3@10.78.0.3:7700"},
 "master": {"memory": "256MiB"},
 "worker": {"listen": "10.78.0.10:7710", "dir": "$work/worker", "capacity": "64MiB"},
 "mounts": [{"path": "/", "ufs": "dir:$store", "mode": "through", "check_interval": "1s"}]}
END
tarn config check "$TARN_CONFIG" > /dev/null || fail "config check"
own() { echo --set "journal.id=$1" --set "master.listen=10.78.0.$2:7700" --set "master.dir=$work/master$1"; } # own ID HOST
id=$(on 1 tarn journal bootstrap -q $(own 1 1)) || fail "bootstrap 1"
for h in 2 3; do on $h tarn journal bootstrap -q --cluster "$id" $(own $h $h) > /dev/null || fail "bootstrap $h"; done
run() { # run ID HOST [--join]
    local id=$1 h=$2; shift 2
    spawn "master$id" nsenter -t "${host[$h]}" -n "$build/tarn" master $(own $id $h) "$@"
}
for h in 1 2 3; do run $h $h || fail "master $h does not start"; done
status() { tarn journal status --json 2> /dev/null | tr -d ' \t\n'; }
whole() { status | grep -q '"voters_up":3,"tolerates":1,"ok":true'; }
leader() { status | grep -o '"leader":[0-9]*' | cut -d: -f2; }
wait_for 40 whole || fail "not a group: $(tarn journal status 2>&1)"
start_worker_here() { spawn worker tarn worker; }
start_worker_here || fail "the worker does not start"
start_mount m

writer() {
    local i=0
    while [ ! -e "$work/stop" ]; do
        i=$((i + 1))
        if echo "content of $i" > "$work/m/f-$i" 2>> "$work/writer.log"; then echo $i >> "$work/acked"
        else echo "f-$i" >> "$work/refused"; fi
        sleep 0.02
    done
}
acked() { cat "$work/acked" 2> /dev/null | wc -l; }
more() { [ "$(acked)" -ge "$1" ]; }
goes_on() { wait_for 60 more $(($(acked) + 10)) || fail "$1: nothing is written any more; $(tarn journal status 2>&1)"; }
writer & writing=$!
goes_on "at first"

# --- the leader dies, and comes again
old=$(leader)
kill9 "master$old"
goes_on "the leader, $old, is dead"
[ "$(leader)" != "$old" ] || fail "$old leads still"
run "$old" "$old" || fail "master $old does not start again"
wait_for 60 whole || fail "$old does not join: $(tarn journal status 2>&1)"

# --- the leader's cable is pulled
old=$(leader)
ip link set "port$old" down
goes_on "the leader, $old, is cut off"
ip link set "port$old" up
wait_for 60 whole || fail "$old is not found again: $(tarn journal status 2>&1)"

# --- a master loses its disk: it must not come back as the one it was, but as a new one
old=$(leader)
dead=$((old % 3 + 1))
kill9 "master$dead"
rm -rf "$work/master$dead"
run "$dead" "$dead" && fail "a wiped member starts as if nothing had been"
grep -q "tarn journal bootstrap" "$work/master$dead.log" || fail "no word of what to do"
on $dead tarn journal bootstrap $(own $dead $dead) 2> "$work/boot.log" && fail "a wiped member is made anew"
sed -i "s/$dead@10.78.0.$dead:7700/4@10.78.0.$dead:7700/" "$TARN_CONFIG"
run 4 $dead --join || fail "the new member does not start"
tarn journal replace $dead "4@10.78.0.$dead:7700" > "$work/replace.log" 2>&1 || fail "replace: $(cat "$work/replace.log")"
wait_for 60 whole || fail "not whole with the new one: $(tarn journal status 2>&1)"
tarn journal members | grep -q "^4@10.78.0.$dead:7700" || fail "who is a member? $(tarn journal members)"
tarn journal elect 4 > "$work/elect.log" 2>&1 || fail "elect: $(cat "$work/elect.log")"
goes_on "a new member leads"

touch "$work/stop"
wait $writing
[ ! -e "$work/refused" ] || fail "refused: $(head -3 "$work/refused" "$work/writer.log")"
while read -r i; do
    [ "$(cat "$work/m/f-$i" 2> /dev/null)" = "content of $i" ] || fail "f-$i was acknowledged, and is lost"
    [ "$(cat "$store/f-$i" 2> /dev/null)" = "content of $i" ] || fail "f-$i is not in the under-store"
done < "$work/acked"
[ "$(ls "$work/m" | wc -l)" = "$(acked)" ] || fail "$(ls "$work/m" | wc -l) files for $(acked) acknowledged"
kill "${host[@]}"
echo "ok: $(acked) files"
