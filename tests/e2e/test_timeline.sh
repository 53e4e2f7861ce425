#!/bin/bash
# tests/e2e/test_timeline.sh BUILD - tarn-sim run --timeline: what the page has is what happened, it needs nothing else, and to
# watch a run changes nothing in it; --history FILE.jsonl is what check-history reads.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
page() { # page WHAT: the data of page.html as D, the report of the run as R
    python3 - "$work/page.html" "$work/out" "$1" << 'END' || fail "the page: $1"
import json, re, sys
text = open(sys.argv[1]).read()
assert text.count("<script>") == 1 and text.count("</script>") == 1 and "/*DATA*/" not in text
assert not re.search(r"""(src|href)\s*=|url\(|@import|https?:|fetch\(|import\(""", text), "it needs something else"
D = json.loads(re.search(r"^const D = (\{.*?\});$", text, re.S | re.M).group(1))
R = json.loads(open(sys.argv[2]).readline())
n = len(D["nodes"])
assert D["end"] == R["virtual_ns"] // 1000 and D["seed"] == str(R["seed"]) and len(D["recs"]) == R["records"]
assert all(0 <= a < n and 0 <= b < n and a != b and 0 < s <= c <= D["end"] and f > 0 for a, b, s, c, f in D["msgs"]), "messages"
assert all(0 <= o[0] < n and 0 < o[2] <= o[3] <= D["end"] and o[4] in (0, 1, 2) and o[5] for o in D["ops"]), "operations"
assert all(0 <= b[1] <= b[2] <= D["end"] for b in D["bands"] + D["leads"] if b[3] != 3), "bands"
assert {v[0]: v[2] for v in D["verdicts"]} == {k: v["failures"] for k, v in R["verdicts"].items()}
name = D["nodes"].index
exec(sys.argv[3])
END
}

# a whole file system, of which we know what happens
sc=sim/scenarios/first-failover.json
less="--set duration=12s --set clients=2"
sim run $sc --seed 7 $less --json
expect 0 "without"
cp "$work/out" "$work/plain"
sim run $sc --seed 7 $less --json --timeline "$work/page.html"
expect 0 "with"
hash=$(field 'd["hash"]')
cp "$work/plain" "$work/out"
[ "$(field 'd["hash"]')" = "$hash" ] || fail "the run is another one when it is watched"
page 'assert [(f[0], f[1]) for f in D["faults"]] == [(f["at_ns"] // 1000, f["for_ns"] // 1000) for f in R["faults"] if f["reached"]]
assert D["faults"][0][2] == "m1: power_loss"
assert [l[0] for l in D["leads"]] == [name("m1")] * 2 and D["leads"][0][2] == 5000000 and D["leads"][1][1] > 6000000 and D["leads"][1][3] > D["leads"][0][3]
assert [name("m1"), 5000000, 6000000, 1] in D["bands"] and [name("w2"), 10000000, 12000000, 0] in D["bands"], D["bands"]
assert not [m for m in D["msgs"] if m[1] == name("m1") and 5000000 < m[3] < 6000000], "a machine without power hears nothing"
assert len(D["msgs"]) > 1000 and {m[0] for m in D["msgs"]} >= {name("m1"), name("c1"), name("w1")}
assert len([o for o in D["ops"] if o[4] == 0]) > 100 and [o for o in D["ops"] if o[4] == 1 and "E_" in o[5]]'

# journals alone: terms, faults, operations; the history is one that check-history reads
sim run sim/scenarios/raft3.json --seed 3 --json --timeline "$work/page.html" --history "$work/h.jsonl"
expect 0 "a group"
page 'assert len(D["leads"]) == R["leaderships"] > 1 and len({l[3] for l in D["leads"]}) == len(D["leads"])
assert all(D["nodes"][l[0]][0] == "m" for l in D["leads"])
assert len([o for o in D["ops"] if o[5].startswith("read")]) >= R["reads"] and D["faults"]'
hash=$(field 'd["hash"]')
sim run sim/scenarios/raft3.json --seed 3 --history - > /dev/null
cp "$work/out" "$work/dash.jsonl"
cmp "$work/dash.jsonl" "$work/h.jsonl" || fail "a history on standard output is another one"
sim run sim/scenarios/raft3.json --seed 3
[ "$(tail -n 1 "$work/out")" = "$hash" ] || fail "the group's run is another one when it is watched"
sim check-history "$work/h.jsonl"
expect 0 "its history" "linearizable: cas, [0-9]+ keys, [0-9]{3,} operations"
python3 - "$work/h.jsonl" > "$work/lie.jsonl" << 'END' # the last read of a key says what the first one said
import json, sys
e = [json.loads(l) for l in open(sys.argv[1])]
first = {}
for x in e:
    if x["type"] == "ok" and x["f"] == "read" and x["key"] == 0 and x["value"]:
        first.setdefault("v", x["value"]); last = x
assert last["value"] != first["v"]
last["value"] = first["v"]
for x in e: print(json.dumps(x))
END
sim check-history "$work/lie.jsonl"
expect 3 "a lie in it" "NOT linearizable"

# a failure is marked
sim run $sc --seed 1 $less --set bound=1ms --set net.latency_min=150ms --set net.latency_mean=150ms --json --timeline "$work/page.html"
expect 4 "a run that fails"
page 'v = {v[0]: v for v in D["verdicts"]}["liveness"]
assert [o for o in D["ops"] if o[4] == 2 and o[3] == D["end"]], "what has no answer yet"
assert v[2] > 0 and 0 < int(v[3]) <= D["end"] and v[4] == R["verdicts"]["liveness"]["first"], v'

# what an assertion ends has all up to there, and ends as it would without
crashed() { # crashed SCENARIO HISTORY
    local n
    sim run "$1" --seed 3
    n=$(($(grep -oE '[0-9]+ events in' "$work/out" | cut -d' ' -f1) * 2 / 3))
    sim run "$1" --seed 3 --trace "$work/t" --plant panic@"$n" --history "$work/$2" --timeline "$work/page.html"
    expect 6 "an assertion in $1" "assertion failed: .*, at [0-9.]+ s of virtual time"
    grep -q "^reproduce: tarn-sim run $1 --plant panic@$n --seed 3" "$work/err" || fail "it does not say how to get there again"
    [ "$(wc -l < "$work/t")" = "$n" ] || fail "$1: $(wc -l < "$work/t") events in the trace, not $n"
    [ -s "$work/$2" ] && [ -z "$(tail -c 1 "$work/$2" | tr -d '\n')" ] || fail "$1: the history ends in the middle of a line"
    python3 - "$work/page.html" "$work/err" "$(tail -n 1 "$work/t" | cut -d' ' -f1)" << 'END' || fail "the page of $1, which crashed"
import json, re, sys
text, err = open(sys.argv[1]).read(), open(sys.argv[2]).read()
assert text.rstrip().endswith("</html>"), "its end"
D = json.loads(re.search(r"^const D = (\{.*?\});$", text, re.S | re.M).group(1))
at = float(re.search(r"at ([0-9.]+) s of virtual", err).group(1))
v = {v[0]: v for v in D["verdicts"]}
a = v.pop("assertion")
assert a[2] == 1 and a[4] in err and ".c:" in a[4] and abs(a[3] - at * 1e6) <= 1 and int(a[3]) == D["end"], a
assert abs(float(sys.argv[3]) - at) < 2e-6, "the last event is another's"
assert len(v) == (8 if "store" in v else 7) and sum(x[1] for x in v.values()) > 0, v
assert D["ops"] and D["msgs"] and [o for o in D["ops"] if o[4] == 2 and o[3] == D["end"]], "what has no answer yet"
assert all(f[0] <= D["end"] for f in D["faults"])
END
}
crashed $sc h
crashed sim/scenarios/raft3.json h.jsonl
sim check-history "$work/h.jsonl"
expect 0 "the history of what crashed" "linearizable: cas, [0-9]+ keys, [0-9]{2,} operations"
sim run $sc --plant panic@0x7
expect 2 "no event" "value of --plant"

sim run $sc --timeline "$work/no/page.html"
expect 2 "a page that cannot be written" "cannot write .*page.html"
sim run $sc --history "$work/h.jsonl"
expect 2 "a history of a file system as JSON" "client.ask_always=1"
sim run $sc --timeline
expect 2 "no file" "value of --timeline"
echo "ok"
