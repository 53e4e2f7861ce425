#!/bin/bash
# tests/e2e/test_campaign.sh BUILD - tarn-sim campaign: what goes wrong is recorded and told apart, kill -9 loses
# nothing that was kept, shards add up to the whole, one database takes no other campaign's runs.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
sc="sim/scenarios/register.json --set duration=500ms"
rows() { # rows DB: all that does not depend on this machine's speed
    python3 - "$1" <<'END'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1])
d.row_factory = sqlite3.Row
for r in d.execute("SELECT * FROM run ORDER BY scenario, seed"):
    print(*[r[k] for k in r.keys() if k not in ("wall_ns", "build", "marks")])
for r in d.execute("SELECT name, armed, runs, hits FROM reached JOIN mark ON mark.id = mark ORDER BY name"):
    print(*r)
END
}

# every kind of end, told apart
sim campaign $sc --seeds 1..8 --twice --marks off --db "$work/planted.db" --seed-timeout 20s \
    --plant panic@2 --plant abort@3 --plant safety@4 --plant liveness@5 --plant diverge@6
expect 3 "planted failures" "8 seeds, .* 5 failed"
got=$(python3 -c "
import sqlite3, sys
print(*[v for v, in sqlite3.connect(sys.argv[1]).execute('SELECT verdict FROM run ORDER BY seed')])" "$work/planted.db")
[ "$got" = "ok crash crash safety liveness divergence ok ok" ] || fail "verdicts: $got"
for plant in panic:6 abort:6 safety:3 liveness:4 diverge:5; do
    sim campaign $sc --seeds 2..3 --twice --marks off --plant ${plant%:*}@3
    expect ${plant#*:} "planted ${plant%:*}" "reproduce: tarn-sim run sim/scenarios/register.json --set duration=500ms --seed 3"
done
sim campaign $sc --seeds 2..3 --marks off --plant hang@3 --seed-timeout 2s
expect 6 "a run without end" "no end after 2 s"

# the hash of a row is the hash of a run
sim run $sc --seed 1
want=$(tail -n 1 "$work/out")
got=$(python3 -c "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT hash FROM run WHERE seed = 1').fetchone()[0])" "$work/planted.db")
[ "$want" = "$got" ] || fail "run says $want, the campaign $got"

# kill -9 in the middle; the same command goes on; what is there is not run again
sim campaign $sc --seeds 1..12 --marks off --db "$work/whole.db"
expect 0 "a campaign" "12 seeds, 0 of them run twice, 0 failed"
tarn-sim campaign $sc --seeds 1..12 --marks off --db "$work/killed.db" --jobs 1 --plant hang@9 --quiet > /dev/null 2>&1 &
victim=$!
for i in $(seq 600); do # the ninth never ends; the others are kept when no journal could undo them
    python3 - "$work/killed.db" <<'END' 2> /dev/null && break
import os, sqlite3, sys
n, = sqlite3.connect("file:%s?immutable=1" % sys.argv[1], uri=True).execute("SELECT count(*) FROM run").fetchone()
j = sys.argv[1] + "-journal"
sys.exit(n != 8 or os.path.exists(j) and open(j, "rb").read(4) == b"\xd9\xd5\x05\xf9")
END
    sleep 0.1
done
kill -9 $victim; wait $victim 2> /dev/null
before=$(python3 -c "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM run').fetchone()[0])" "$work/killed.db")
[ "$before" = 8 ] || fail "$before rows after kill -9"
sim campaign $sc --seeds 1..12 --marks off --db "$work/killed.db" --plant hang@9 --budget 1ns
expect 1 "no budget" "$((12 - before)) runs are left, the budget is used up"
sim campaign $sc --seeds 1..2 --budget 10
expect 2 "a budget without a unit" "--budget 10: a time needs a unit"
sim campaign $sc --seeds 1..12 --marks off --db "$work/killed.db"
expect 2 "other settings" "a database is of one campaign"
sim campaign $sc sim/scenarios/raft3.json --seeds 1..12 --db "$work/whole.db"
expect 2 "other scenarios" "a database is of one campaign"
sim campaign $sc --set load.think=7ms --seeds 1..12 --db "$work/whole.db"
expect 2 "another --set" "a database is of one campaign"
sim campaign $sc --seeds 1..12 --marks off --db "$work/killed.db" --plant hang@9 --seed-timeout 3s
expect 6 "the rest" "$before runs are in .* already, $((12 - before)) are left"
python3 -c "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('UPDATE meta SET value = \"another\" WHERE key = \"commit\"'); d.commit()" "$work/killed.db"
sim campaign $sc --seeds 1..12 --marks off --db "$work/killed.db" --plant hang@9
expect 2 "another commit" "runs of commit another"
sim merge "$work/mixed.db" "$work/whole.db" "$work/killed.db"
expect 2 "another commit, merged" "not merged"

# shards and a merge are the whole
for i in 0 1 2; do
    sim campaign $sc --seeds 1..12 --shard $i/3 --db "$work/shard$i.db"
    expect 0 "shard $i" "judged when the shards are merged"
done
sim merge "$work/merged.db" "$work"/shard?.db --marks off
expect 0 "merge" "12 seeds, 0 of them run twice, 0 failed"
rows "$work/whole.db" > "$work/whole.txt"; rows "$work/merged.db" > "$work/merged.txt"
cmp "$work/whole.txt" "$work/merged.txt" || fail "three shards are not the whole"
sim merge "$work/merged.db" "$work/whole.db" --marks off
expect 0 "merge with the same seeds" "12 seeds were in more than one database: all hashes are equal"
python3 -c "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('UPDATE run SET hash = \"0\" WHERE seed = 5'); d.commit()" "$work/shard1.db"
sim merge "$work/differ.db" "$work/whole.db" "$work/shard1.db" --marks off
expect 5 "a hash that differs" "register seed 5 with duration=500ms: divergence"

# marks: what no run came to is a failure unless it is excused
sim campaign $sc --set random.power_loss_every=0 --set fault_on_ppm=1000000 --set fault_fire_ppm=1 --seeds 1..2
expect 7 "an unreached mark" "FAIL  site.wal.batch_of_one was never reached"
sim campaign $sc --set random.power_loss_every=0 --set fault_on_ppm=1000000 --set fault_fire_ppm=1 --seeds 1..2 \
    --excuse 'site.wal.*,site.image.early,world.*,wal.*,fault.*'
expect 0 "an excused mark" "1 .*excused|excused"

# a mark that is excused is one
for excuse in group.nosuch 'nosuch.*' 'raft.append_installing,raft.nosuch'; do
    sim campaign $sc --seeds 1..2 --excuse "$excuse"
    expect 2 "an excuse for nothing: $excuse" "there is no mark .*nosuch"
done
sim campaign $sc --seeds 1..2 --excuse world.los
expect 2 "a misspelt excuse" "did you mean world.loss"
sim report --db "$work/planted.db" --excuse 'nosuch.*'
expect 2 "a report's excuse for nothing" "there is no mark nosuch"
python3 - "$work/planted.db" > "$work/marks" <<'END'
import sqlite3, sys
import re
print(*[n for n, in sqlite3.connect(sys.argv[1]).execute("SELECT name FROM mark")])
print(*["world." + n for n in re.findall(r'"world.", "(\w+)"', open("sim/lab_mark.c").read())])
END
[ "$(wc -w < "$work/marks")" -gt 25 ] || fail "marks: $(cat "$work/marks")"
for name in $(cat "$work/marks"); do echo "--excuse $name"; done > "$work/excuses"
sim report --db "$work/planted.db" $(cat "$work/excuses")
expect 0 "every mark of a database can be excused"

# a name that a shell would not take as it is
cp sim/scenarios/register.json "$work/sp ace.json"
sim campaign "$work/sp ace.json" --set duration=500ms --seeds 2 --marks off --plant safety@2
expect 3 "a name with a blank" "reproduce: tarn-sim run '$work/sp ace.json' --set duration=500ms --seed 2"

# the command line
sim campaign $sc --seeds 1..2 --sharb 0/2
expect 2 "an unknown option" "did you mean --shard"
sim campaign $sc --seeds 1..2 --shard 2/2
expect 2 "a shard beyond the last" "--shard"
sim campaign --help
expect 0 "help" "Exit status"
sim campaign $sc --seeds 1..2 --json --marks off
expect 0 "JSON"
python3 -c "import json, sys; d = json.load(open(sys.argv[1])); assert d['status'] == 0 and d['scenarios'][0]['seeds'] == 2" "$work/out" || fail "JSON: $(cat "$work/out")"

# the page
sim report --db "$work/planted.db"
expect 0 "report"
python3 - "$work/out" <<'END' || fail "the report: see $work/out"
import html.parser, re, sys
page = open(sys.argv[1], encoding="utf-8").read()
class Parser(html.parser.HTMLParser):
    tags = []
    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [v for k, v in attrs if k in ("src", "href")], "it needs something else"
p = Parser()
p.feed(page)
assert p.tags.count("svg") > 5 and "script" not in p.tags and not re.search(r"[=, ]-?(nan|inf)\b", page)
assert "tarn-sim run sim/scenarios/register.json --set duration=500ms --seed 6 --twice" in page
END
sim report --db "$work/absent.db"
expect 2 "a report of nothing"

# a known bug is found, and its line repeats it
mutants=$here/build/mutants/tarn-sim
if [ -x "$mutants" ] && "$mutants" campaign --help > /dev/null 2>&1; then
    PATH=${mutants%/*}:$PATH
    sim campaign sim/scenarios/register.json --set duration=3s --mutant LOG_NOT_SYNCED --seeds 1..40 --first --marks off
    expect 3 "a mutant" "^FAIL  register seed"
    line=$(sed -n 's/^  reproduce: tarn-sim //p' "$work/out" | head -n 1)
    sim $line
    expect 3 "the line that repeats it: $line" "FAIL"
fi
exit 0
