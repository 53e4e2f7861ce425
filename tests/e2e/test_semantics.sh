#!/bin/bash
# What a program may expect of files on one and on two mounts: renames and unlinks of open files,
# hard links, truncation, mappings, holes, appends; users, groups, modes, set-user-id bits.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
[ "$(id -u)" = 0 ] && command -v setpriv > /dev/null || skip "needs root, to act as other users"
chmod 755 "$work"
config through 0
start_master; start_worker 1; start_worker 2
start_mount A -o allow_other; start_mount B -o allow_other
timeout 100 python3 "$here/tests/e2e/semantics.py" "$work" "$store" > "$work/semantics.out" 2>&1 \
    || { grep -v '^ok' "$work/semantics.out"; fail "semantics"; }
term mount-A && term mount-B || fail "a mount did not end well"
term worker1; term worker2; term master
echo ok
