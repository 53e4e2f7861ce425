#!/bin/bash
# tests/raft_seeds.sh BUILD N FIRST [BUILD...] - N seeds, from FIRST on, of the random worlds of the Raft
# core: nothing found, each run twice with the same hash; the same hash of all of them in every build.
set -u
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
n=$2 first=$3 builds=("$1" "${@:4}") want= bad=0
for build in "${builds[@]}"; do
    said=$(RAFT_TWICE=1 RAFT_SEED=$first RAFT_SEEDS=$n "$build/test_raft" test_soak 2>&1) || bad=1
    got=$(sed -n 's/.*hash \([0-9a-f]\{16\}\):.*/\1/p' <<< "$said")
    [ -n "$got" ] || { echo "$build: no hash"; bad=1; }
    [ -z "$want" ] && want=$got
    [ "$got" = "$want" ] || { echo "$build gives $got, ${builds[0]} gives $want"; bad=1; }
    grep -E "^seed |Test: test_soak|panic" <<< "$said"
done
exit $bad
