#!/bin/bash
# tests/sim_same_hash.sh BUILD BUILD... - the trace hash of a seed does not depend on the compiler: each build runs
# the same small campaign, and the databases agree.
set -u
cd "$(dirname "$0")/.."
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
scenarios=()
for scenario in sim/scenarios/*.json; do
    case $scenario in */raft3.json | */raft-members.json) ;; */raft*) continue ;; esac # one program, other numbers
    scenarios+=("$scenario")
done
n=0
for build in "$@"; do
    n=$((n + 1))
    [ -x "$build/tarn-sim" ] || { echo "$build/tarn-sim is not there: build it"; exit 1; }
    "$build/tarn-sim" campaign "${scenarios[@]}" --seeds 7..8 --marks off --quiet --db "$work/$n.db" > "$work/$n.txt" ||
        { echo "$build:"; grep -A1 ^FAIL "$work/$n.txt"; exit 1; }
done
"$1/tarn-sim" merge "$work/all.db" "$work"/[0-9]*.db --same-sources --marks off > "$work/all.txt"
status=$?
grep -A1 ^FAIL "$work/all.txt"
tail -n 1 "$work/all.txt"
[ $status = 0 ] && grep -q "^$((2 * ${#scenarios[@]} * ($# - 1))) seeds were in more than one database: all hashes are equal" "$work/all.txt"
