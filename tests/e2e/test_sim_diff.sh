#!/bin/bash
# tests/e2e/test_sim_diff.sh BUILD - tarn-sim diff: where two seeds, or two traces, part; nothing where nothing does.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
R=sim/scenarios/register.json

sim diff $R --seed 1 --seed 2 --until 1s
expect 5 "two seeds" "^seed 1: [0-9]+ events; seed 2: [0-9]+ events$"
grep -qE "^[0-9] of [0-9] streams part" "$work/out" || fail "no count: $(cat "$work/out")"
sim diff $R --seed 7 --seed 7 --until 1s
expect 0 "one seed twice" "^0 of [0-9]+ streams part; the same to the end: -, c1, "

sim diff $R --seed 1 --seed 2 --until 1s --json
[ "$(field 'any(s["alike"] > s["same"] for s in d["streams"])')" = True ] || fail "nothing is alike in two seeds: $(cat "$work/out")"

# one fault more: each machine is the same up to what it heard of it, and who was hit parts first
python3 - $R "$work" << 'END'
import json, sys
d = json.load(open(sys.argv[1])); d["faults"] = []; d.pop("random", None)
json.dump(d, open(sys.argv[2] + "/calm.json", "w"))
d["faults"] = [{"at": "500ms", "do": "crash", "node": "m1", "for": "100ms"}]
json.dump(d, open(sys.argv[2] + "/crash.json", "w"))
END
for s in calm crash; do sim run "$work/$s.json" --seed 3 --until 1s --trace "$work/$s.trace"; done
sim diff "$work/calm.trace" "$work/crash.trace" --json
expect 5 "two traces" "differs"
at='[s for s in d["streams"] if s["node"] != "-"][0]'
[ "$(field "d['differs'], $at['node'], $at['second']['kind'], $at['second']['at_ns']")" = "(True, 'm1', 'crash', 500000000)" ] ||
    fail "who parts first: $(head -c 600 "$work/out")"
[ "$(field 'all(s["alike"] >= s["same"] for s in d["streams"])')" = True ] || fail "fewer are alike than the same"
[ "$(field 'all(s["same"] > 10 for s in d["streams"] if s["node"] not in ("-", "op"))')" = True ] || fail "nothing is the same: $(cat "$work/out")"
event=$(field "$at['second']['event']")
[ "$(sed -n "${event}p" "$work/crash.trace" | cut -d' ' -f 2,3)" = "m1 crash" ] || fail "event $event is another line of the trace"
sim diff "$work/calm.trace" "$work/calm.trace"
expect 0 "a trace and itself" "^0 of "
head -n 20 "$work/calm.trace" > "$work/short.trace"
sim diff "$work/calm.trace" "$work/short.trace"
expect 5 "one is shorter" "no more events"

# one seed and another setting; where a rate is 0 in one of them, that is said
sim diff $R --seed 1 --other load.think=9ms --until 1s
expect 5 "another setting" "^seed 1: [0-9]+ events; seed 1 load.think=9ms: [0-9]+ events$"
grep -q "0 in one of them" "$work/out" && fail "no rate is 0: $(head -n 2 "$work/out")"
sim diff $R --seed 1 --set net.loss=0 --other net.loss=0.01 --until 1s
expect 5 "a rate of 0" "^net.loss_ppm: 0 in one of them; where a rate is 0 nothing is drawn for it"
sim diff $R --seed 1 --set net.loss=0 --other net.loss=0.01 --until 1s --json
[ "$(field 'd["zero_rates"]')" = net.loss_ppm ] || fail "no rate in JSON"
sim diff $R --seed 1 --set net.loss=0.02 --other net.loss=0.01 --until 1s
grep -q "0 in one of them" "$work/out" && fail "neither rate is 0"

# what is no pair of traces
: > "$work/empty.trace"
sim diff "$work/empty.trace" "$work/empty.trace"
expect 2 "two empty traces" "empty.trace: there is no event in it, so nothing to compare"
sim diff "$work/calm.trace" "$work/empty.trace"
expect 2 "an empty trace" "empty.trace: there is no event in it"
sim diff register "$work/calm.trace"
expect 2 "a scenario's name" "register: the name of a scenario, no trace; two operands are two files"
sim diff "$work/calm.trace"
expect 2 "one trace" "which other trace than"
sim diff $R --seed 1
expect 2 "one seed" "which two seeds"
sim diff "$work" "$work/calm.trace"
expect 2 "a folder" "cannot read $work: Is a directory"
sim diff "$work/calm.trace" "$work/calm.trace" "$work/calm.trace"
expect 2 "three" "unexpected operand"
sim diff "$work/calm.trace" "$work/calm.trace" --other net.loss=0
expect 2 "--other of traces" "only --json"
sim diff "$work/calm.trace" $R
expect 2 "no trace" "register.json, line 1: no event of tarn-sim run --trace; a scenario takes --seed A --seed B"
sim diff "$work/calm.trace" "$work/none"
expect 2 "no file" "cannot read"
sim diff "$work/calm.trace" "$work/calm.trace" --seed 1
expect 2 "options of seeds" "only --json"
sim diff
expect 2 "nothing" "which scenario"
exit 0
