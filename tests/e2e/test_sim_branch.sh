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
cp "$work/out" "$work/first"
sim run $sc --seed 3 --stop-at-event 1234 --twice
expect 0 "stopped twice"
[ "$(tail -n 1 "$work/out")" = "$(tail -n 1 "$work/first")" ] && [ "$(grep -c '^event 1234' "$work/out")" = 1 ] || fail "stopped twice: $(cat "$work/out")"
sim run $sc --seed 3 --stop-at-event 99999999
expect 2 "an event that never comes" "the run has $(wc -l < "$work/trace") events only"
grep -q "cut short" "$work/out" && fail "cut short by an event that never comes"
sim run $sc --seed 3 --plant panic@99999999
expect 2 "an assertion that never fails" "events only"

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
sim run sim/scenarios/register.json --set duration=1s --branch 0s --vary 2
expect 0 "from the start" "from 0.000000 s on, 2 other"
for other in --twice "--until 2s" "--stop-at-event 3" "--log m1" "--trace $work/x" "--history $work/x" "--timeline $work/x" "--plant panic@3"; do
    sim run $sc --branch 1s $other
    expect 2 "--branch with $other" "branch goes with"
done
[ ! -e "$work/x" ] || fail "a refused run writes"
# when was it decided?  From the beginning: nobody recovers in no time.
sim run $sc $never --seed 3 --branch auto --vary 3
expect 4 "decided from the beginning" "^from the beginning on most other continuations fail in the same way: 3 of 3 "
sim run $sc --seed 3 --branch auto --vary 2
expect 0 "no failure" "all verdicts are ok: there is no failure"
# In between: leases that clocks break.  What is shown is what the trace has there, and it is the same each time.
drift="sim/scenarios/raft-drift.json --set clock.drift_max_ppm=200000 --set duration=8s"
for seed in $(tarn-sim seeds $drift --from 1 --to 60 | sed -n 's/^seed \([0-9]*\):.*/\1/p'); do
    sim run $drift --seed "$seed" --branch auto --vary 9 --json
    [ "$(field 'd["decided_ns"] > 0')" = True ] && break
done
expect 3 "decided in between"
[ "$(field '2 * d["alike_before"] < 9 < 2 * d["alike_after"] and d["decided_ns"] <= d["unvaried"]["at_ns"] and len(d["probes"]) > 8 and len(d["events"]) > 0')" = True ] ||
    fail "not decided there: $(cat "$work/out")"
event=$(field 'd["events"][-1]["event"]') line=$(field '"%.9f %s %s %s %s" % ((d["decided_ns"] / 1e9,) + tuple(d["events"][-1][k] for k in ("node", "kind", "a", "b")))')
cp "$work/out" "$work/first"
sim run $drift --seed "$seed" --branch auto --vary 9 --json
cmp "$work/out" "$work/first" || fail "the second time it is otherwise"
sim run $drift --seed "$seed" --branch auto --vary 9
expect 3 "as text" "^decided at [0-9.]+ s: from then on .*, before it .* fail in the same way"
sim run $drift --seed "$seed" --trace "$work/trace"
[ "$(sed -n "${event}p" "$work/trace")" = "$line" ] || fail "event $event is $(sed -n "${event}p" "$work/trace"), not $line"
sim run $sc --branch auto --vary 0
expect 2 "no continuations" "needs a --vary"
sim run $sc --vary 5
expect 2 "--vary alone" "of --branch"
sim run $sc --branch 600s --vary 2
expect 2 "after the end" "the run is over"
sim run $sc --branch soon
expect 2 "a bad time" "value of --branch"
sim run $sc --branch 1s --vary many
expect 2 "a bad number" "value of --vary"
sim run $sc --stop-at-event 0
expect 2 "event 0" "value of --stop-at-event"
echo "ok"
