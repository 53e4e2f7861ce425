#!/bin/bash
# tests/sim_seeds.sh BUILD N [FIRST] [options of tarn-sim campaign] - seeds FIRST (1) to FIRST+N-1 of every
# scenario, each run twice, in different processes: verdicts ok, hashes equal.  So few seeds do not reach every mark:
# what they leave out is told, and is no failure unless the options say so.
set -u
build=$(cd "$1" && pwd) || exit 1
n=$2 first=${3:-1}
shift $(($# < 3 ? $# : 3))
cd "$(dirname "$0")/.."
[ -x "$build/tarn-sim" ] || { echo "$build/tarn-sim is not there: build it"; exit 1; }
[ "$(nproc)" -gt 1 ] && jobs=$(nproc) || jobs=2
exec "$build/tarn-sim" campaign sim/scenarios/*.json --seeds "$first..$((first + n - 1))" --twice --jobs "$jobs" --marks warn "$@"
