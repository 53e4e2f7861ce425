#!/bin/bash
# tests/e2e/test_sim_branch.sh BUILD - tarn-sim run --stop-at-event stops at that event; --branch T --vary N: other continuations of
# one past, the same ones each time.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
sc="sim/scenarios/first-failover.json --set duration=3s --set clients=2"

sim run $sc --seed 3 --trace "$work/trace"
expect 0 "a trace"
sim run $sc --seed 3 --stop-at-event 1234
expect 0 "a stop" "cut short"
grep -qxF "event 1234: $(sed -n 1234p "$work/trace")" "$work/out" || fail "not the event of the trace: $(grep event "$work/out")"
sim run $sc --seed 3 --stop-at-event 99999999
expect 0 "an event that never comes"
grep -q "cut short" "$work/out" && fail "cut short by an event that never comes"

sim run $sc --seed 3 --branch 1s --vary 4 --json
expect 0 "four continuations"
[ "$(field 'd["continuations"], d["failed"], d["unknown"], d["unvaried"]["status"]')" = "(4, 0, 0, 0)" ] || fail "$(cat "$work/out")"
never="--set bound=1ms --set net.latency_min=150ms --set net.latency_mean=150ms"
sim run $sc $never --seed 3 --branch 2s --vary 3 --json
expect 4 "a failure that is inevitable"
[ "$(field 'd["failed"], d["alike"] >= 1, d["unvaried"]["checker"]')" = "(3, True, 'liveness')" ] || fail "$(cat "$work/out")"
cp "$work/out" "$work/first"
sim run $sc $never --seed 3 --branch 2s --vary 3 --json
cmp "$work/out" "$work/first" || fail "the second time it is otherwise"
sim run sim/scenarios/register.json --set duration=1s --branch 500ms --vary 2
expect 0 "of journals" "from 0.500000 s on, 2 other continuations: 0 fail"
sim run $sc --branch 600s --vary 2
expect 2 "after the end" "the run is over"
sim run $sc --branch soon
expect 2 "a bad time" "value of --branch"
sim run $sc --branch 1s --vary many
expect 2 "a bad number" "value of --vary"
sim run $sc --stop-at-event 0
expect 2 "event 0" "value of --stop-at-event"
echo "ok"
