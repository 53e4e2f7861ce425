# tests/e2e/sim.sh - sourced by the tests of tarn-sim, instead of lib.sh: a run of it, and what is expected of that.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$@"
sim() { timeout 120 tarn-sim "$@" > "$work/out" 2> "$work/err"; status=$?; }
expect() { # expect STATUS WHAT [PATTERN in the output]
    [ $status = "$1" ] || fail "$2: status $status, not $1: $(tail -n 5 "$work/err" "$work/out")"
    [ -z "${3:-}" ] || grep -qE -- "$3" "$work/out" "$work/err" || fail "$2: nothing says \"$3\": $(tail -n 20 "$work/err" "$work/out")"
}
# of the JSON in the output, called d: an expression of Python
field() { python3 -c "import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))" "$work/out" "$1"; }
