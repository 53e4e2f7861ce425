#!/bin/bash
# tests/e2e/test_ha_hosts.sh BUILD_DIR - docs/ha.md, step by step, on four hosts (network namespaces on a
# bridge of our own): three masters, and one host with a worker and a mount.  Files are written through
# the mount while the leader is killed, while its cable is pulled, and while a master that lost its disk
# is replaced.
. "$(dirname "$0")/netns.sh"
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
ip link set lo up && ip link add br0 type bridge && ip addr add 10.78.0.10/24 dev br0 && ip link set br0 up || skip "no bridge here"
declare -A host=()
for h in 1 2 3; do
    netns_host "host[$h]"
    ip link add "port$h" type veth peer name eth0 && ip link set eth0 netns "${host[$h]}" &&
        ip link set "port$h" master br0 up || skip "no veth here"
    on "${host[$h]}" ip addr add "10.78.0.$h/24" dev eth0
    on "${host[$h]}" ip link set eth0 up
done

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
id=$(on "${host[1]}" tarn journal bootstrap -q $(own 1 1)) || fail "bootstrap 1"
for h in 2 3; do on "${host[$h]}" tarn journal bootstrap -q --cluster "$id" $(own $h $h) > /dev/null || fail "bootstrap $h"; done
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

goes_on() { wait_for 60 acked_more $(($(acked) + 10)) || fail "$1: nothing is written any more; $(tarn journal status 2>&1)"; }
write_files "$work/m" 0.02 & writing=$!
goes_on "at first"

# --- the leader dies, and comes again
old=$(leader)
kill9 "master$old"
goes_on "the leader, $old, is dead"
[ "$(leader)" != "$old" ] || fail "$old leads still"
# the others are a majority: nothing is recovered, whoever asks, or cannot
before=$(cd "$work" && sha256sum "master$old"/*)
refuse() { # refuse WHAT COMMAND... : `tarn journal recover`
    "${@:2}" --dir "$work/master$old" --yes > "$work/recover.log" 2>&1 && fail "recovered beside a majority: $(cat "$work/recover.log")"
    grep -q "$1" "$work/recover.log" || fail "recover says: $(cat "$work/recover.log")"
}
refuse "that is a majority of 3" tarn journal recover
refuse "cannot be asked at .* configuration error" tarn journal recover --set cluster.secret_file=
tarn secret new -q "$work/other-secret" > /dev/null
refuse "cannot be asked at .* not authorised" tarn journal recover --set "cluster.secret_file=$work/other-secret"
refuse "cannot be asked at .* no route" unshare -n tarn journal recover
# a directory that cannot be written to is looked at as well
mkdir "$work/ro"
if mount --bind "$work/master$old" "$work/ro" && mount -o remount,bind,ro "$work/ro"; then
    ! touch "$work/ro/x" 2> /dev/null || fail "it can be written to"
    tarn journal verify "$work/ro" > "$work/ro.log" 2>&1 && grep -q "^ok: member $old" "$work/ro.log" || fail "verify of a read-only directory: $(cat "$work/ro.log")"
    tarn journal dump "$work/ro" | grep -q configuration || fail "dump of a read-only directory"
    tarn journal backup "$work/ro.backup" --from "$work/ro" > "$work/ro.log" 2>&1 || grep -q "holds no state image" "$work/ro.log" || fail "backup --from: $(cat "$work/ro.log")"
    tarn journal recover --dir "$work/ro" > "$work/ro.log" 2>&1 && fail "a read-only directory is recovered"
    grep -q "ro is on a file system that is mounted read-only: mount it to be written" "$work/ro.log" || fail "recover says: $(cat "$work/ro.log")"
    umount "$work/ro"
fi
[ "$before" = "$(cd "$work" && sha256sum "master$old"/*)" ] || fail "a refused recover changed something"
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
on "${host[$dead]}" tarn journal bootstrap $(own $dead $dead) 2> "$work/boot.log" && fail "a wiped member is made anew"
sed -i "s/$dead@10.78.0.$dead:7700/4@10.78.0.$dead:7700/" "$TARN_CONFIG"
run 4 $dead --join || fail "the new member does not start"
tarn journal replace $dead "4@10.78.0.$dead:7700" > "$work/replace.log" 2>&1 || fail "replace: $(cat "$work/replace.log")"
wait_for 60 whole || fail "not whole with the new one: $(tarn journal status 2>&1)"
tarn journal members | grep -q "^4@10.78.0.$dead:7700" || fail "who is a member? $(tarn journal members)"
tarn journal elect 4 > "$work/elect.log" 2>&1 || fail "elect: $(cat "$work/elect.log")"
goes_on "a new member leads"

touch "$work/stop"
wait $writing
acked_are_there "$work/m"
kill "${host[@]}"
echo "ok: $(acked) files"
