#!/bin/bash
# Random I/O against a model, appenders, a storm of names and a database on two mounts, while workers
# are killed and come back; at the end both mounts and the under-store are the same.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
seconds=${TORTURE_SECONDS:-20} seed=${TORTURE_SEED:-$$}
torture() { timeout $((seconds + 90)) python3 "$here/tests/e2e/torture.py" "$@"; }
echo "seed $seed"
config through 0
start_master; start_worker 1; start_worker 2
start_mount A; start_mount B
mkdir "$work/A/fsx" "$work/A/names"
declare -A jobs=()
job() { local name=$1; shift; torture "$@" > "$work/$name.out" 2>&1 & jobs[$name]=$!; }
job fsx1 fsx "$work/A/fsx" "$work/B/fsx" "$seed" "$seconds"
job fsx2 fsx "$work/B/fsx" "$work/A/fsx" $((seed + 1)) "$seconds"
for i in 1 2 3; do job append$i append "$work/A/appended" "who$i" 300; done
job names1 names "$work/A/names" $((seed + 11)) "$seconds"
job names2 names "$work/A/names" $((seed + 12)) "$seconds"
job names3 names "$work/B/names" $((seed + 13)) "$seconds"
job names4 names "$work/B/names" $((seed + 14)) "$seconds"
job sqlite sqlite "$work/A/base" "$seconds"
# Workers die in the middle of everything, and come back: what they had is in the kernel's hands, so
# not even fsync may fail, if only it is repeated in time.
if [ "${TORTURE_KILLS:-1}" = 1 ]; then
    sleep $((seconds / 5)); kill9 worker1
    sleep 2; start_worker 1
    sleep $((seconds / 5)); kill9 worker2
    sleep 1; start_worker 2
fi
bad=0
for name in "${!jobs[@]}"; do
    wait "${jobs[$name]}" || { bad=1; echo "--- $name"; cat "$work/$name.out"; }
done
[ $bad = 0 ] || fail "torture (TORTURE_SEED=$seed)"
cat "$work"/*.out
for i in 1 2 3; do
    [ "$(grep -c "^who$i " "$store/appended")" = 300 ] || fail "appender $i lost lines"
    grep "^who$i " "$store/appended" | sort -c || fail "appender $i's lines are out of order"
done
[ "$(wc -l < "$store/appended")" = 900 ] || fail "$(wc -l < "$store/appended") lines were appended"
sleep 0.3
torture same "$work/A" "$store" || fail "mount A is not the under-store (TORTURE_SEED=$seed)"
torture same "$work/B" "$store" || fail "mount B is not the under-store (TORTURE_SEED=$seed)"
term mount-A && term mount-B || fail "a mount did not end well"
term worker1; term worker2; term master
echo ok
