#!/bin/bash
# papers/run: its options, that it is repeatable, that published numbers are reproduced by few trials, and that it notices when they are not.
. "$(dirname "$0")/lib.sh" "$@"
cd "$here" || fail "no sources"
run() { timeout 120 papers/run --build "$build" "$@"; }

run --list > "$work/list" || fail "--list"
for name in raft-fig16 raft-wan raft-split-votes alluxio-journal; do
    grep -q "^$name " "$work/list" || fail "--list does not know $name"
done
run > /dev/null 2>&1; [ $? = 2 ] || fail "nothing to do is not a mistake of usage"
run nobody > /dev/null 2>&1; [ $? = 2 ] || fail "an unknown paper is not a mistake of usage"

run --quick --out "$work/a" raft-fig16 raft-wan raft-split-votes > "$work/a.log" || fail "not reproduced: $(grep -E ' off |NOT' "$work/a.log")"
grep -q "^raft-fig16: reproduced: [89] of 9 numbers" "$work/a.log" || fail "Fig. 16 deviates more than it says: $(grep -E '^raft-fig16|known' "$work/a.log")"
run --quick --out "$work/b" --json raft-split-votes > "$work/b.json" || fail "the second run failed"
cmp "$work/a/raft-split-votes.csv" "$work/b/raft-split-votes.csv" || fail "two runs differ"
python3 - "$work" << 'END' || fail "what was written is not what it should be"
import json, sys, xml.dom.minidom
work = sys.argv[1]
for name in ("raft-fig16", "raft-wan", "raft-split-votes"):
    xml.dom.minidom.parse("%s/a/%s.svg" % (work, name))
    assert len(open("%s/a/%s.csv" % (work, name)).readlines()) > 200
r = json.load(open(work + "/b.json"))
assert r["verdict"] == "reproduced" and r["off"] == 0 and r["ok"] >= 12, r
END
# A wrong reference must be noticed: the same papers with other numbers. And one that cannot be read is refused, not passed over.
mkdir -p "$work/bad/papers/raft-wan" && cp papers/run "$work/bad/papers/"
cp papers/raft-wan/paper.json "$work/bad/papers/raft-wan/"
other() {
    sed "$1" papers/raft-wan/expected.csv > "$work/bad/papers/raft-wan/expected.csv"
    cmp -s papers/raft-wan/expected.csv "$work/bad/papers/raft-wan/expected.csv" && fail "the test is out of date: $1"
    timeout 120 "$work/bad/papers/run" --build "$build" --quick --out "$work/c" raft-wan > "$work/c.log" 2>&1
}
other 's/mean,430.0,/mean,530.0,/'; [ $? = 1 ] || fail "a number that is 20 % off is not noticed"
grep -q '^  off .*published 530' "$work/c.log" || fail "which number is off is not said: $(cat "$work/c.log")"
other 's/,relative,0.02/,shown,/'; [ $? = 0 ] || fail "a number that is only shown is judged: $(cat "$work/c.log")"
grep -q 'raft-wan: reproduced: 3 of 3' "$work/c.log" || fail "not the three that are judged: $(cat "$work/c.log")"
for broken in 's/,relative,/,about,/' 's/^"0 failed/"7 failed/' 's/430.0/much/' 's/^line,/name,/'; do
    other "$broken"; [ $? = 2 ] || fail "expected.csv is not read with care: $broken: $(cat "$work/c.log")"
    grep -q expected.csv "$work/c.log" || fail "it is not said what is wrong: $(cat "$work/c.log")"
done
# An entry of scenarios: three lines of it, twice, and with a bar that it cannot hold.
journals=$work/bad/papers/alluxio-journal
mkdir -p "$journals" && cp papers/alluxio-journal/* "$journals/"
python3 - "$journals" << 'END' || fail "no small entry of scenarios"
import json, sys
path = sys.argv[1] + "/paper.json"
p = json.load(open(path))
keep = ["raft, 8 outstanding", "local, kill -9, started at once", "raft, kill -9"]
p["lines"] = [l for l in p["lines"] if l["name"] in keep]
p["panels"] = [{"title": "t", "from": 10, "to": 1000, "lines": keep[1:]}]
assert len(p["lines"]) == 3
json.dump(p, open(path, "w"))
END
few() { timeout 120 "$work/bad/papers/run" --build "$build" --quick --out "$work/$1" --json alluxio-journal > "$work/$1.json"; }
grep -E '^line|^"raft, kill -9"' papers/alluxio-journal/expected.csv > "$journals/expected.csv"
few d || fail "kill -9 costs three journals more than it may: $(cat "$work/d.json")"
few e || fail "the second run failed"
cmp "$work/d/alluxio-journal.csv" "$work/e/alluxio-journal.csv" || fail "two runs differ"
sed -i 's/,p50,300,/,p50,30,/' "$journals/expected.csv"
few f; [ $? = 1 ] || fail "a failover of 30 ms is not missed: $(cat "$work/f.json")"
python3 - "$work" << 'END' || fail "the samples of scenarios are not what they should be"
import csv, json, sys
work = sys.argv[1]
stats = json.load(open(work + "/d.json"))["stats"]
assert set(stats["raft, 8 outstanding"]) == {"rate", "commit_p50_us", "commit_p99_us"} and stats["raft, 8 outstanding"]["rate"] > 1000, stats
assert stats["local, kill -9, started at once"]["p50"] < stats["raft, kill -9"]["p50"], stats
rows = list(csv.DictReader(open(work + "/d/alluxio-journal.csv")))
killed = [r for r in rows if r["line"].startswith("raft; kill")]
assert len(killed) >= 5 and all(20e6 < int(r["ns"]) < 1e9 and int(r["leaderships"]) >= 2 for r in killed), killed
END
for name in papers/*/paper.json; do
    grep -qE '"(expect|reference)"' "$name" && fail "$name has numbers that belong into expected.csv"
done
"$build/tarn-sim" elections --set nothing=1 > /dev/null 2>&1; [ $? = 2 ] || fail "an unknown key is taken"
"$build/tarn-sim" elections --set failed=3 > /dev/null 2>&1; [ $? = 2 ] || fail "an election without a majority is tried"
