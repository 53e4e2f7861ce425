#!/bin/bash
# tests/sim_same_hash.sh [--seeds A..B] [--whole] [--budget SECONDS] BUILD BUILD... - the trace hash of a seed does not
# depend on compiler and optimisation: each build runs the same campaign over all scenarios, and the databases agree.
#   --seeds A..B  default 7..9, which are 3 runs of each scenario; many go in steps of 20, so that what there is when
#                 the time is up has been compared
#   --whole       as long as the scenarios say; without it a run has 3 s of load, with faults from the beginning
#   --budget N    begins no step after so many seconds
# The last line is the count.
set -u
cd "$(dirname "$0")/.."
from=7 to=9 budget=0
short=(--set duration=3s --set random.from=300ms)
while [ $# -gt 0 ]; do
    case $1 in
        --seeds) [[ ${2:-} =~ ^([0-9]+)\.\.([0-9]+)$ ]] || { echo "sim_same_hash.sh: --seeds A..B" >&2; exit 2; }
            from=${BASH_REMATCH[1]} to=${BASH_REMATCH[2]}
            shift ;;
        --budget) [[ ${2:-} =~ ^[0-9]+$ ]] || { echo "sim_same_hash.sh: --budget SECONDS" >&2; exit 2; }
            budget=$2
            shift ;;
        --whole) short=() ;;
        -*) echo "sim_same_hash.sh: unknown option $1" >&2; exit 2 ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 1 ] || { echo "sim_same_hash.sh: which builds are compared?" >&2; exit 2; }
for build in "$@"; do [ -x "$build/tarn-sim" ] || { echo "$build/tarn-sim is not there: build it"; exit 1; }; done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
scenarios=(sim/scenarios/*.json)
compared=0 upto=$((from - 1)) failed=0

step() { # step A B: by every build, and merged
    local n=0 build status=0 both
    rm -f "$work"/*.db
    for build in "${builds[@]}"; do
        n=$((n + 1))
        "$build/tarn-sim" campaign "${scenarios[@]}" ${short[@]+"${short[@]}"} --seeds "$1..$2" --marks off --quiet \
            --db "$work/$n.db" > "$work/$n.txt" || { echo "$build:"; grep -A1 ^FAIL "$work/$n.txt" || tail -n 3 "$work/$n.txt"; status=1; }
    done
    "${builds[0]}/tarn-sim" merge "$work/all.db" "$work"/[0-9]*.db --same-sources --marks off > "$work/all.txt" || status=1
    grep -A1 ^FAIL "$work/all.txt"
    both=$(awk '/ seeds were in more than one database:/ {print $1}' "$work/all.txt")
    compared=$((compared + ${both:-0}))
    # a campaign that stopped early compares less
    [ "${both:-0}" = $((($2 - $1 + 1) * ${#scenarios[@]} * (${#builds[@]} - 1))) ] || { tail -n 3 "$work/all.txt"; status=1; }
    return $status
}

builds=("$@")
for ((a = from; a <= to; a += 20)); do
    [ "$budget" = 0 ] || [ $SECONDS -lt "$budget" ] || break
    b=$((a + 19 < to ? a + 19 : to))
    step "$a" "$b" || failed=1
    upto=$b
done
[ "$upto" = "$to" ] || echo "the budget is used up"
echo "${#builds[@]} builds, ${#scenarios[@]} scenarios, $((upto - from + 1)) seeds of each: $compared hashes compared with the first build's, $([ $failed = 0 ] && echo all are equal || echo "NOT all is well")"
[ $failed = 0 ] && [ $compared -gt 0 ]
