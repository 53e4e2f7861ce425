#!/bin/bash
# tests/sim_stories.sh BUILD - the seeds of sim_stories.txt, each once: verdicts ok.
set -u
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/.."
[ -x "$build/tarn-sim" ] || { echo "$build/tarn-sim is not there: build it"; exit 1; }
runs=0 bad=0
while read -r scenario seed story; do
    [[ $scenario = \#* || -z $scenario ]] && continue
    runs=$((runs + 1))
    out=$("$build/tarn-sim" run "sim/scenarios/$scenario.json" --seed "$seed" 2>&1) && continue
    bad=$((bad + 1))
    echo "$scenario, seed $seed, fails again. It failed once: ${story#: }"
    grep -A1 FAIL <<< "$out"
done < tests/sim_stories.txt
echo "$runs runs, $bad failed"
[ "$runs" -gt 0 ] && [ "$bad" = 0 ]
