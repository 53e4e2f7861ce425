#!/bin/bash
# tests/e2e/test_hung_store.sh - an under-store that does not answer any more (here: a file system
# whose process is stopped) keeps neither cached bytes from their readers nor a worker from its end.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
points[slow]=$store
bench-memfs --files 40 --size 200000 --timeout 0 "$store" & pids[memfs]=$!
wait_for 20 mounted "$store" || fail "no file system to stop"
config ro 1h
start_master
start_worker 1 --set worker.page_cache=0
want=$(md5sum < "$store/f000000")
[ "$(tarn fs cat /f000000 | md5sum)" = "$want" ] || fail "the first read"
tarn fs ls / > /dev/null || fail "the listing"
is_cached() { [ "$(total used)" = 200000 ]; }
wait_for 20 is_cached || fail "not cached"
term worker1 # so that it has no file open
start_worker 1 --set worker.page_cache=0

kill -STOP "${pids[memfs]}"
readers=()
for i in $(seq 10 33); do tarn fs cat "/f0000$i" > /dev/null 2>&1 & readers+=($!); done
sleep 2 # some of them wait in the under-store now
[ "$(timeout 20 tarn fs cat /f000000 | md5sum)" = "$want" ] || fail "what is cached waits for the under-store"

kill "${readers[@]}" 2> /dev/null
wait "${readers[@]}" 2> /dev/null
pid=${pids[worker1]}
kill -TERM "$pid"
for i in $(seq 300); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
kill -0 "$pid" 2>/dev/null && fail "the worker waits for the under-store to end"
wait "$pid"
unset "pids[worker1]"
