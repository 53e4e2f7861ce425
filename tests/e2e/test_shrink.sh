#!/bin/bash
# tests/e2e/test_shrink.sh BUILD - tarn-sim shrink: a failing run becomes a small file that fails in the same way, alone;
# also from a campaign's database; a recorded run is the run.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
sc=sim/scenarios/first-failover.json
less="--set duration=6s --set clients=2"
never="--set bound=1ms --set net.latency_min=150ms --set net.latency_mean=150ms" # nobody recovers in no time

# a failure that every build has
sim shrink $sc --seed 1 $less $never --out "$work/a.json" --json --quiet
expect 0 "shrink"
[ "$(field 'd["status"], d["checker"], d["done"]')" = "(4, 'liveness', True)" ] || fail "$(cat "$work/out")"
[ "$(field 'd["before"]["operations"] > 20 and d["after"]["operations"] <= 2 and d["after"]["faults"] == 0')" = True ] ||
    fail "not small: $(cat "$work/out")"
sim run "$work/a.json"
expect 4 "the small file, alone" "FAIL  liveness"
grep -q '"seed": 1' "$work/a.json" || fail "the seed is not in the file: $(cat "$work/a.json")"
cp "$work/a.json" "$work/first.json"
sim shrink $sc --seed 1 $less $never --out "$work/a.json" --quiet
cmp "$work/a.json" "$work/first.json" || fail "the second time it is another file"

# out of a database; the budget ends it
sim campaign $sc $less $never --seeds 3..4 --marks off --db "$work/c.db" --quiet
expect 4 "a campaign of failures"
sim shrink --db "$work/c.db" --seed 4 --out "$work/b.json" --quiet --budget 1ns
expect 0 "from a database" "time was over"
sim run "$work/b.json"
expect 4 "what there was when the time was over" "FAIL  liveness"

# a recorded run: every verdict and every answer
sim shrink $sc --seed 2 $less --record --out "$work/r.json" --quiet
expect 0 "record" "after +3 +[1-9]"
sim run "$work/r.json" --history "$work/r.txt"
expect 0 "the recorded run"
sim run $sc --seed 2 $less --history "$work/d.txt"
cmp "$work/r.txt" "$work/d.txt" || fail "the recorded run is another one: $(diff "$work/r.txt" "$work/d.txt" | head -n 5)"

# what cannot be
sim shrink $sc --seed 1 $less
expect 1 "a run that does not fail" "does not fail"
sim shrink
expect 2 "nothing" "which failure"
sim shrink $sc --seeed 3
expect 2 "an unknown option" "did you mean --seed"
sim shrink $sc --budget soon
expect 2 "a bad budget" "value of --budget"
sim shrink --db "$work/c.db" --seed 77
expect 2 "a run that is not there" "no such failure"
sim shrink --db "$work/none.db"
[ $status != 0 ] || fail "a database that is not there"
sim shrink $sc --seed 1 $less $never --out "$work/no/such/dir.json" --quiet --budget 1ns
expect 1 "an output that cannot be written" "cannot write"
sim shrink --help
expect 0 "help" "Exit status"
sed 's/"c1.0"/"c9.0"/' "$work/first.json" > "$work/bad.json"
grep -q c9.0 "$work/bad.json" && { sim run "$work/bad.json"; expect 2 "a client that is not there" "there is no c9.0"; }
echo "ok"
