#!/bin/bash
# tests/sim_stories.sh BUILD - the seeds of sim_stories.txt, each once: verdicts ok.
set -u
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/.."
[ -x "$build/tarn-sim" ] || { echo "$build/tarn-sim is not there: build it"; exit 1; }
runs=0 bad=0
while IFS=: read -r what story; do
    [[ $what = \#* || -z $what ]] && continue
    read -r scenario seed sets <<< "$what"
    runs=$((runs + 1))
    # shellcheck disable=SC2086
    out=$("$build/tarn-sim" run "sim/scenarios/$scenario.json" --seed "$seed" ${sets:+--set ${sets// / --set }} 2>&1) && continue
    bad=$((bad + 1))
    echo "$scenario, seed $seed${sets:+, $sets}, fails again. It failed once:$story"
    grep -A1 FAIL <<< "$out"
done < tests/sim_stories.txt
echo "$runs runs, $bad failed"
[ "$runs" -gt 0 ] && [ "$bad" = 0 ]
