#!/bin/bash
# tests/sim_seeds.sh BUILD N [FIRST] - seeds FIRST (1) to FIRST+N-1 of every scenario, each run twice:
# verdicts ok, hashes equal.  As many at once as there are processors.
set -u
export bin=$1/tarn-sim
n=$2 first=${3:-1}
cd "$(dirname "$0")/.."
[ -x "$bin" ] || { echo "$bin is not there: build it"; exit 1; }
one() { # one SCENARIO SEED
    local a b sa sb ha hb
    a=$("$bin" run "$1" --seed "$2" 2>&1); sa=$?
    b=$("$bin" run "$1" --seed "$2" 2>&1); sb=$?
    ha=$(tail -n 1 <<< "$a") hb=$(tail -n 1 <<< "$b")
    [ $sa = 0 ] && [ $sb = 0 ] && [ "$ha" = "$hb" ] && [[ $ha =~ ^[0-9a-f]{32}$ ]] && return 0
    echo "$1 seed $2: status $sa/$sb hash $ha/$hb; again: tarn-sim run $1 --seed $2
$(tail -n 30 <<< "$a")"
    return 1
}
export -f one
for scenario in sim/scenarios/*.json; do
    for seed in $(seq "$first" $((first + n - 1))); do printf '%s\0%s\0' "$scenario" "$seed"; done
done | xargs -0 -n 2 -P "$(nproc)" bash -c 'one "$1" "$2" || exit 1' _
status=$?
[ $status = 0 ] && echo "all seeds ok" || echo "some seeds failed: see above"
[ $status = 0 ]
