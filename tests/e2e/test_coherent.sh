#!/bin/bash
# Two mounts, both with everything warm in the kernel: what one renames, removes or changes the other
# sees at once; and what a kernel has cached is never older than its lease: a mount that is stopped
# cannot answer an invalidation, and a master that is dead cannot renew.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
config through 60s '"client": {"deadline": "30s"}'
sed -i 's/"lease": "2s", "session": "6s"/"lease": "3s", "session": "60s"/' "$TARN_CONFIG"
start_master; start_worker 1; start_mount A; start_mount B
run() { timeout 100 python3 "$here/tests/e2e/coherent.py" "$@" || fail "$1: see above"; }
run names "$work/A" "$work/B"
run stopped "$work/A" "$work/B" "${pids[mount-B]}"
run orphaned "$work/A" "$work/B" "${pids[master]}"
wait "${pids[master]}" 2> /dev/null
unset 'pids[master]'
start_master
run names "$work/B" "$work/A"
term mount-A && term mount-B || fail "a mount did not end well"
echo ok
