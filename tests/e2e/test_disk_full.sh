#!/bin/bash
# A worker whose disk is full, and one with less capacity than is read: every read still gives the right bytes.
. "$(dirname "$0")/lib.sh" "$@"
config ro 1s
for i in 1 2 3 4 5 6; do head -c 4000000 /dev/urandom > "$store/f$i"; done
mkdir "$work/worker1"
mount_small 8m "$work/worker1" || skip "a small file system cannot be mounted here (needs root)"
start_master
start_worker 1                                     # believes in 256 MiB, has 8
start_worker 2 --set worker.capacity=4MiB          # evicts all the time
for round in 1 2; do
    for i in 1 2 3 4 5 6; do
        timeout 60 tarn fs cat /f$i | cmp - "$store/f$i" || fail "round $round: f$i"
    done
done
kill -0 "${pids[worker1]}" || fail "the worker died of its full disk"
used=$(du -s --block-size=1 "$work/worker2" | cut -f1)
[ "$used" -lt 12000000 ] || fail "worker 2 uses $used bytes of its 4 MiB"
echo ok
