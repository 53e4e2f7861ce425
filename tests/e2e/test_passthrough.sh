#!/usr/bin/env bash
# tests/e2e/test_passthrough.sh BUILD_DIR - the kernel reads whole files of a worker on this host by
# itself: right bytes whatever happens to the worker, the file and the mount meanwhile.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse

coproc HOLD { exec python3 "$here/tests/e2e/passthrough.py"; }
pids[hold]=$HOLD_PID
hold() { # a command of passthrough.py; its answer
    echo "$*" >&"${HOLD[1]}"
    local answer
    read -r -t 60 answer <&"${HOLD[0]}" || fail "no answer to: $*"
    echo "$answer"
}
sum() { sha256sum < "$1" | cut -d' ' -f1; }
same() { [ "$1" = "$2" ] || fail "$3: $1 is not $2"; }
# opens PATH as NAME until the kernel reads it by itself: the first opens bring it, and have it verified
open_passed() { # NAME PATH
    local i
    for i in $(seq 60); do
        same "$(hold open "$1" "$2")" ok "open $2"
        [ "$(hold passed "$1" "${pids[mount-m]}" 0.5)" = yes ] && return
        hold close "$1" > /dev/null
        cat "$2" > /dev/null || fail "cat $2"
        sleep 0.1
    done
    fail "$2 is never read by the kernel itself"
}
press() { # everything else out of the cache; by another client, so that no kernel has it
    local i
    for i in 1 2 3 4 5; do tarn fs cat "/fill$i" > /dev/null || fail "cannot read what presses on the cache"; done
}
worker() { start_worker 1 --set worker.capacity=40MiB --set worker.eviction=lru; }

config through 500ms
head -c 9000000 /dev/urandom > "$store/a"
head -c 5000000 /dev/urandom > "$store/b"
for i in 1 2 3 4 5; do head -c 14000000 /dev/urandom > "$store/fill$i"; done
a=$(sum "$store/a")
start_master
worker
start_mount m
grep -q "passthrough of files.*: on" "$work/mount-m.log" || {
    for i in 1 2 3; do same "$(sum "$work/m/a")" "$a" "bytes without passthrough"; done
    skip "no passthrough here: it needs Linux 6.9 and CAP_SYS_ADMIN"
}

# cold and warm
same "$(sum "$work/m/a")" "$a" "cold bytes"
open_passed one "$work/m/a"
same "$(hold sum one)" "$a" "warm bytes"
same "$(hold open two "$work/m/a")" ok "a second open"
same "$(hold passed two "${pids[mount-m]}" 10)" yes "passthrough of the second open"
same "$(hold sum two)" "$a" "bytes of the second open"
[ "$(tarn status --all --fresh | awk '$1 == "total.handed_out" {print $2}')" -gt 0 ] || fail "handed_out is not counted"
hold close two > /dev/null
hold map one > /dev/null

# pressure on the cache while it is open, and mapped only
press
same "$(hold sum one)" "$a" "bytes under pressure"
used() { [ "$(du -sk "$work/worker1" | cut -f1)" -le 43000 ]; } # with maps and directories
wait_for 10 used || fail "the worker uses $(du -sm "$work/worker1" | cut -f1) MiB of 40"
inode=$(hold ino one)

# kill -9 of the worker; the one after it evicts the file, and its reader does not notice
kill9 worker1
same "$(hold sum one)" "$a" "bytes without a worker"
worker
press
same "$(hold sum one)" "$a" "bytes after a restart and pressure"
same "$(hold mapsum one)" "$a" "mapped bytes"

# somebody changes it below: this open keeps its version, the next one has the new
head -c 8000000 /dev/urandom > "$store/a.new" && mv "$store/a.new" "$store/a"
new=$(sum "$store/a")
wait_for 20 cmp "$store/a" "$work/m/a" || fail "the new version is not seen"
same "$(hold open two "$work/m/a")" ok "the open of the new version"
same "$(hold sum two)" "$new" "bytes of the new version"
same "$(hold sum one)" "$a" "bytes of the old version"
same "$(hold ino two)" "$inode" "inode number of the replaced file"
hold close one > /dev/null
hold close two > /dev/null

# written here while it is open for reading: seen by those who read it, whatever is written, and again
open_passed one "$work/m/b"
hold map one > /dev/null
for round in 1 2; do
    printf "written $round" | dd of="$work/m/b" bs=1 seek=$((round * 1000)) conv=notrunc status=none || fail "cannot write while it is read"
    printf "more $round" >> "$work/m/b" || fail "cannot append while it is read"
    sleep 0.1 # a fingerprint is not trusted before
    same "$(dd if="$store/b" bs=1 skip=$((round * 1000)) count=9 status=none)" "written $round" "what was written, below"
    b=$(sum "$store/b")
    same "$(sum "$work/m/b")" "$b" "what was written, in the mount"
    same "$(hold sum one)" "$b" "what was written, for who has it open"
done
fallocate -p -o 123456 -l 1000000 "$work/m/b" && fallocate -o 5000000 -l 200000 "$work/m/b" || fail "cannot fallocate while it is read"
sleep 0.1
b=$(sum "$store/b")
same "$(stat -c %s "$store/b")" 5200000 "size after fallocate"
same "$(sum "$work/m/b")" "$b" "after fallocate, in the mount"
same "$(hold sum one)" "$b" "after fallocate, for who has it open"
truncate -s 4000000 "$work/m/b" || fail "cannot truncate while it is read"
b=$(sum "$store/b")
same "$(hold sum one)" "$b" "what was truncated, for who has it open"
# written by others: not seen; and nothing of both
head -c 3000000 /dev/urandom > "$work/other"
tarn fs put "$work/other" /b > /dev/null || fail "tarn fs put"
same "$(sum "$work/m/b")" "$(sum "$work/other")" "what others wrote"
same "$(hold sum one)" "$b" "the version that is open"
printf "mixture" | dd of="$work/m/b" conv=notrunc status=none || fail "cannot write what others wrote"
same "$(head -c 7 "$store/b")" mixture "what was written after that"
same "$(hold sum one)" "$b" "the version that is open, still"
same "$(hold ino one)" "$(stat -c %i "$work/m/b")" "inode number"
ln "$work/m/b" "$work/m/b2" && mv "$work/m/b2" "$work/m/b3" && rm "$work/m/b3" || fail "names of it"
same "$(stat -c %h "$work/m/b")" 1 "links"
hold close one > /dev/null
open_passed one "$work/m/b"
same "$(hold sum one)" "$(sum "$store/b")" "bytes of the version that was written"

# the mount dies; what it had open is read on, or fails, but never wrong
kill9 mount-m
press
got=$(hold sum one)
case $got in error*) ;; *) same "$got" "$(sum "$store/b")" "bytes after the mount's death" ;; esac
hold close one > /dev/null
fusermount3 -uz "$work/m"

# asked not to
start_mount m -o no_passthrough
for i in 1 2 3; do same "$(sum "$work/m/b")" "$(sum "$store/b")" "bytes with no_passthrough"; done
same "$(hold open one "$work/m/b")" ok "open"
same "$(hold passed one "${pids[mount-m]}" 1)" no "passthrough with no_passthrough"
hold close one > /dev/null
term mount-m || fail "the mount did not end well"

# not allowed to, as in a container: it says so once and goes on without
inside() { nsenter -t "${pids[mount-n]}" -U -m --preserve-credentials "$@"; }
if unshare -Urm true 2> /dev/null; then
    mkdir "$work/n"
    spawn mount-n unshare -Urm "$build/tarn" mount "$work/n" || fail "no mount in a user namespace"
    for i in 1 2 3; do
        same "$(inside sha256sum "$work/n/b" | cut -d' ' -f1)" "$(sum "$store/b")" "bytes without CAP_SYS_ADMIN"
    done
    same "$(grep -c CAP_SYS_ADMIN "$work/mount-n.log")" 1 "lines about CAP_SYS_ADMIN"
    term mount-n || fail "the mount in a user namespace did not end well"
else
    echo "not tested here: a mount without CAP_SYS_ADMIN (no user namespaces)"
fi
