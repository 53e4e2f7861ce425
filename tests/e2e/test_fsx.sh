#!/bin/bash
# Random I/O against a model in memory, on one file through two mounts, one of them without page cache,
# while workers are killed; the program first checks itself on a local directory.  Then appenders on
# both mounts at once.  FSX_SECONDS and FSX_SEED say how long, and which; FSX_MOUNTS=1 leaves
# out the other mount.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
seconds=${FSX_SECONDS:-5} seed=${FSX_SEED:-$$}
fsx() { timeout $((seconds + 120)) "$build/stress-fsx" --log "$work/fsx.oplog" --seed "$seed" "$@"; }
mkdir "$work/local"
fsx --seconds 1 --store "$work/local" "$work/local" > "$work/self.out" 2>&1 || fail "on a local directory: $(cat "$work/self.out")"
config through 60s
start_master; start_worker 1; start_worker 2
start_mount A; start_mount B -o direct_io
for how in cached direct; do
    a=A b=B
    [ $how = cached ] || { a=B b=A; }
    [ "${FSX_MOUNTS:-2}" = 2 ] || b=$a
    fsx --seconds "$seconds" --store "$store" --other "$work/$b" "$work/$a" > "$work/$how.out" 2>&1 &
    job=$!
    n=0
    while kill -0 $job 2> /dev/null; do
        n=$((n + 1)); w=$((n % 2 + 1))
        sleep 1; kill -0 $job 2> /dev/null || break
        [ "${FSX_KILLS:-1}" = 1 ] || continue
        kill9 worker$w; sleep 0.5; start_worker $w
    done
    wait $job || { cp "$work/fsx.oplog" "${TMPDIR:-/tmp}/fsx-$seed.oplog" 2> /dev/null; cat "$work/$how.out"; fail "fsx, $how, seed $seed; operations in ${TMPDIR:-/tmp}/fsx-$seed.oplog"; }
    seed=$((seed + 1))
done
cat "$work"/{cached,direct}.out
declare -a jobs=()
for who in A1 A2 B1 B2; do
    timeout 60 python3 "$here/tests/e2e/torture.py" append "$work/${who%?}/lines" $who 200 > "$work/$who.out" 2>&1 & jobs+=($!)
done
for j in "${jobs[@]}"; do wait $j || fail "an appender: $(cat "$work"/[AB][12].out)"; done
[ "$(wc -l < "$store/lines")" = 800 ] || fail "$(wc -l < "$store/lines") lines were appended, not 800"
for who in A1 A2 B1 B2; do
    [ "$(grep -c "^$who [0-9]*$" "$store/lines")" = 200 ] || fail "appender $who lost lines"
    grep "^$who " "$store/lines" | sort -c || fail "appender $who's lines are out of order"
done
[ "$(stat -c %s "$store/lines")" = $((800 * 10)) ] || fail "holes or torn lines: $(stat -c %s "$store/lines") bytes"
term mount-A && term mount-B || fail "a mount did not end well"
echo ok
