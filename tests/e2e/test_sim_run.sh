#!/bin/bash
# tests/e2e/test_sim_run.sh BUILD - the report of tarn-sim run says what happened and nothing else: also of a run that is cut short, of
# faults that were never reached, of what the seed drew, of a shrunk run that hangs on chance alone.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
R=sim/scenarios/register.json F=sim/scenarios/first-failover.json

# windows are those that are over
sim run $R --until 2s
expect 0 "cut short" "2.0 s in all \(cut short\)"
grep -q "% of 20 windows" "$work/out" || fail "windows of journals: $(grep windows "$work/out")"
sim run $F --seed 3 --until 6s --json
expect 0 "cut short"
[ "$(field 'd["windows"], d["longest_down_ns"] < 3e9')" = "(60, True)" ] || fail "windows: $(cat "$work/out")"
sim run $R --until 2s --json
expect 0 "cut short"
[ "$(field 'd["windows"], d["longest_down_ns"] <= 2e9, d["faults"][0]["reached"], d["faults"][-1]["reached"]')" = "(20, True, True, False)" ] || fail "windows: $(cat "$work/out")"

# what was drawn is told of file systems, too, with units that --set takes
for s in sim/scenarios/masters3.json sim/scenarios/storm-swarm.json $R; do
    sim run $s --seed 2 --until 100ms
    expect 0 "$s" "^  drawn       .*[a-z]=[0-9.]+(ms|s)( |$)"
    grep '^  drawn' "$work/out" | grep -qE '=[0-9]{6,}000000' && fail "a time without a unit: $(grep drawn "$work/out")"
    drawn=$(sed -n 's/^  drawn *//p' "$work/out") hash=$(tail -n 1 "$work/out")
    sim run $s --seed 2 --until 100ms --set ${drawn// / --set }
    [ "$(tail -n 1 "$work/out")" = "$hash" ] || fail "$s: what was drawn, given by --set, is another run"
    sim run $s --seed 2 --until 100ms --json
    [ "$(field 'd["drawn"]')" = "$drawn" ] || fail "$s: not in its JSON"
done
sim run $R --until 100ms
expect 0 "one journal" ": 1 journal, 3 clients,"

# a fault whose time never came did not happen, and does nothing after the load
sim run $F --set bound=10s --set duration=2s
expect 0 "faults beyond the load" "^ +5.000 s  m1: power_loss +not reached"
grep -q "faults\[0\] (power_loss) never happens: it is at 5.000 s" "$work/err" || fail "no warning: $(cat "$work/err")"
hash=$(tail -n 1 "$work/out")
python3 - $F "$work/calm.json" << 'END'
import json, sys
d = json.load(open(sys.argv[1])); d.pop("faults"); json.dump(d, open(sys.argv[2], "w"))
END
sim run "$work/calm.json" --set bound=10s --set duration=2s
[ "$(tail -n 1 "$work/out")" = "$hash" ] || fail "faults that were not reached change the run"

# a clog has one direction, also in the page; what chance does is in both
cat > "$work/one.json" << 'END'
{"duration": "2s", "faults": [{"at": "1s", "do": "clog", "node": "c1", "to": "m1", "for": "200ms"}],
 "chances": [{"at": "10ms", "do": "loss", "node": "c1", "to": "m1", "n": 2}, {"at": "20ms", "do": "disk_stall", "node": "m1", "for": "3ms"}]}
END
sim run "$work/one.json" --timeline "$work/page.html"
expect 0 "a clog" "^    1.000 s  c1: clog towards m1 +0.200 s"
grep -qE "^ +0.010000 s c1: loss towards m1, n 2" "$work/out" || fail "a chance: $(cat "$work/out")"
grep -qE "^ +0.020000 s m1: disk_stall +0.003 s" "$work/out" || fail "a chance: $(cat "$work/out")"
grep -q '"c1: clog towards m1"' "$work/page.html" || fail "the fault in the page"
grep -q '\[10000,0,"c1: loss towards m1, n 2"\]' "$work/page.html" || fail "the chance in the page"
sed 's/"faults": \[.*\],/"journal": {"only": 1},/' "$work/one.json" > "$work/two.json"
sim run "$work/two.json" --timeline "$work/page.html"
expect 0 "of journals" "c1: loss towards m1, n 2"
grep -q '"c1: loss towards m1, n 2"' "$work/page.html" || fail "the chance in the page of journals"

# the moment of a failure is the same in report and page
sim run $F --set duration=2s --set clients=2 --set bound=1ms --set net.latency_min=150ms --set net.latency_mean=150ms --json --timeline "$work/page.html"
expect 4 "a failure"
want=$(field '"%d.%03d" % divmod(d["verdicts"]["liveness"]["at_ns"], 1000)')
grep -q "^\[\"liveness\",[0-9]*,[0-9]*,$want," "$work/page.html" || fail "not $want: $(grep '^\["liveness"' "$work/page.html")"

# a run that ends before its operations is late, and nothing else: what they wrote may have been read
for seed in 1 2 3 4; do
    sim run $R --set duration=2s --set bound=1ns --set net.latency_min=60ms --set net.latency_mean=60ms --set journal.attempt=5s --seed $seed
    expect 4 "journals that are late, seed $seed" "FAIL  liveness"
    grep -q "ok    linear" "$work/out" || fail "seed $seed: $(grep FAIL -A1 "$work/out")"
done

# who ran it
version=$(tarn-sim --version | sed -n 's/.* of commit \([^,]*\), by \(.*\); .*/\1|\2/p')
sim run $R --until 100ms
expect 0 "the program" "^  program     commit ${version%|*}, ${version#*|}$"
sim run $R --until 100ms --json
[ "$(field 'd["commit"] + "|" + d["compiler"]')" = "$version" ] || fail "commit and compiler: $(cat "$work/out")"
echo "ok"
