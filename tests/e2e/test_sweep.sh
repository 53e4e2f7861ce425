#!/bin/bash
# tests/e2e/test_sweep.sh BUILD - campaigns as experiments: --sweep puts one scenario with several values side by side; messages for each
# record, events by kind and the machine are in database and report; a database of another schema is refused.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
command -v sqlite3 > /dev/null || skip "no sqlite3"

# one scenario with several values: each is like a scenario of its own, side by side
sim campaign sim/scenarios/raft3.json --set swarm=0 --set duration=1s --sweep journal.heartbeat=20ms,200ms --sweep net.loss=0,0.05 --seeds 1..4 --marks off --quiet --db "$work/sweep.db"
expect 0 "a sweep" "^    swarm=0 duration=1s journal.heartbeat=200ms net.loss=0.05 +[0-9]"
grep -qE "^    messages_per_record_milli +median" "$work/out" || fail "no table of messages for each record"
grep -qE "^machine: .+, [0-9]+ cores?, Linux " "$work/out" || fail "the machine is not named"
[ "$(sqlite3 "$work/sweep.db" "SELECT count(*), count(DISTINCT digest) FROM scenario")" = "4|4" ] || fail "scenarios of a sweep"
[ "$(sqlite3 "$work/sweep.db" "SELECT count(*) FROM run WHERE messages_per_record_milli IS NOT frames * 1000 / records OR kind_timer < 100 OR kind_frames < 100 OR kind_disk < disk_writes / 2")" = 0 ] || fail "columns"
few() { sqlite3 "$work/sweep.db" "SELECT sum(frames) FROM run r JOIN scenario s ON s.id = r.scenario WHERE sets LIKE '%heartbeat=$1 %'"; }
[ "$(few 20ms)" -gt "$(few 200ms)" ] || fail "ten times as many heartbeats are no more messages"
[ "$(sqlite3 "$work/sweep.db" "SELECT count(*) FROM build WHERE cores > 0 AND cpu != '' AND kernel LIKE 'Linux %'")" = 1 ] || fail "the machine in the database"
sim run sim/scenarios/raft3.json --set swarm=0 --set duration=1s --set journal.heartbeat=20ms --set net.loss=0.05 --seed 3
[ "$(tail -n 1 "$work/out")" = "$(sqlite3 "$work/sweep.db" "SELECT hash FROM run r JOIN scenario s ON s.id = r.scenario WHERE seed = 3 AND sets LIKE '%=20ms net.loss=0.05'")" ] || fail "a value of a sweep is another run than --set"
grep -qE "^  machine     .+, [0-9]+ cores?, Linux " "$work/out" || fail "a run does not name its machine"
sim report --db "$work/sweep.db"
python3 - "$work/out" <<'END' || fail "the report of a sweep: see $work/out"
import re, sys
page = open(sys.argv[1], encoding="utf-8").read()
for plot in re.findall("<figure>.*?</figure>", page, re.S): assert plot.count("<polyline") in (1, 2, 3, 4)
plots = [p for p in re.findall("<figure>.*?</figure>", page, re.S) if "messages_per_record" in p]
assert len(plots) == 1 and plots[0].count("<polyline") == 4, "one plot with all curves"
assert page.count("<td>messages_per_record_milli</td>") == 4 and "kind_timer</td>" in page and "<b>kind_" not in page
END
# what was given up is counted, and its budget told, though the run is ok
[ "$(sqlite3 "$work/sweep.db" "SELECT count(*) FROM run WHERE unknown = 0 AND what IS NULL")" = 16 ] || fail "something is unknown"
cp "$work/sweep.db" "$work/unknown.db"
sqlite3 "$work/unknown.db" "UPDATE run SET unknown = 2, what = 'linear: 2 unknown, 100000 steps of search for each did not do' WHERE seed = 3"
sim report --text --db "$work/unknown.db"
expect 0 "what is unknown" "^unknown: in 4 runs 8 checks were given up \(linear: 2 unknown, 100000 steps of search for each did not do\)"
sim campaign sim/scenarios/raft3.json --sweep journal.heartbeat=20ms,20ms --seeds 1..2
expect 2 "a value twice" "the same scenario twice"
sim campaign sim/scenarios/raft3.json --sweep journal.heartbeat --seeds 1..2
expect 2 "no values" "missing or bad value of --sweep"
sim campaign sim/scenarios/raft3.json --sweep journal.heartbeat=20ms,fast --seeds 1..2
expect 2 "a bad value" "journal.heartbeat: \"fast\" is not a time"
sim campaign sim/scenarios/raft3.json --sweep seed=1,2 --seeds 1..2
expect 2 "a sweep of seeds" "--sweep seed=1,2: a campaign's seeds are --seeds A..B"
sim campaign sim/scenarios/raft3.json --set seed=1 --seeds 1..2
expect 2 "a seed by --set" "--set seed=1: a campaign's seeds are"
sim campaign sim/scenarios/raft3.json --set net.loss=0 --sweep net.loss_ppm=1,2 --seeds 1..2
expect 2 "one key twice" "--sweep net.loss_ppm=1,2 and --set net.loss=0: one key"
sim campaign sim/scenarios/raft3.json --sweep load.think=1ms --sweep load.think=2ms --seeds 1..2
expect 2 "one key in two sweeps" "--sweep load.think=2ms and --sweep load.think=1ms: one key"
sim campaign sim/scenarios/raft3.json --sweep load.think=1ms --sweep load.threads=1 --sweep clients=2 --sweep masters=3 --seeds 1..2
expect 2 "a fourth sweep" "at most three --sweep, not also --sweep masters=3"

# what fails says with which value, the line that reproduces it does, and what is made smaller is of the value that was asked for
fails="sim/scenarios/register.json --set duration=1s --set net.latency_min=60ms --set net.latency_mean=60ms --set journal.attempt=5s"
sim campaign $fails --sweep bound=1ms,60s --seeds 3..4 --marks off --quiet --db "$work/fail.db"
expect 4 "a sweep of which one value fails" "^FAIL  register seed 3 with duration=1s .* bound=1ms: liveness"
again=$(sed -n 's/^  reproduce: tarn-sim //p' "$work/out" | head -n 1)
echo "$again" | grep -q -- "--set bound=1ms --seed 3" || fail "not the whole line: $again"
eval "sim $again"
expect 4 "the line that reproduces it" "FAIL  liveness"
[ "$(tail -n 1 "$work/out")" = "$(sqlite3 "$work/fail.db" "SELECT hash FROM run r JOIN scenario s ON s.id = r.scenario WHERE seed = 3 AND sets LIKE '%bound=1ms'")" ] || fail "another run"
sim campaign $fails --sweep bound=1ms,60s --seeds 3..4 --marks off --quiet --db "$work/fail.db" --json
[ "$(field '{f["sets"].rsplit(" ", 1)[1] for f in d["failures"]}')" = "{'bound=1ms'}" ] || fail "no value in JSON: $(head -c 500 "$work/out")"
sim shrink --db "$work/fail.db" --set bound=60s --out "$work/s.json" --quiet
expect 2 "a value that fails nowhere" "no such failure.*a --set says which of its values"
sim shrink --db "$work/fail.db" --set bound=1ms --seed 4 --out "$work/s.json" --quiet --budget 1ns
expect 0 "of one value"
grep -q '"about": "shrunk of register, seed 4, with duration=1s .*bound=1ms' "$work/s.json" || fail "of which value: $(head -n 3 "$work/s.json")"
sim run "$work/s.json"
expect 4 "the smaller file" "FAIL  liveness"

# databases of another schema are told apart
cp "$work/sweep.db" "$work/old.db"
sqlite3 "$work/old.db" "UPDATE meta SET value = 1 WHERE key = 'schema'"
sim merge "$work/new.db" "$work/sweep.db" "$work/old.db" --marks off
expect 2 "an older database" "old.db is of another version of tarn-sim: its schema is \"1\", this one's 3: not merged"
sim merge "$work/old.db" "$work/sweep.db" --marks off
expect 2 "into an older one" "its schema is \"1\", this one's 3"
exit 0
