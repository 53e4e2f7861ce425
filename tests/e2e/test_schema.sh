#!/bin/bash
# tests/e2e/test_schema.sh BUILD - sim/scenario.schema.json is what the program makes, has every knob with the parser's range, accepts all
# scenarios, and schema and parser refuse the same mistakes; a refusal says file, line, place, what, and what may have been meant.
. "$(dirname "$0")/lib.sh" "$@"
cd "$here" || fail "no source tree"
tarn-sim list --schema > "$work/schema" || fail "list --schema"
cmp "$work/schema" sim/scenario.schema.json || fail "sim/scenario.schema.json is out of date: tarn-sim list --schema > sim/scenario.schema.json"
tarn-sim list --json > "$work/all" || fail "list --json"
cat > "$work/check.py" << 'END'
import glob, json, re, subprocess, sys
work = sys.argv[1]
S = json.load(open(work + "/schema"))
D = json.load(open(work + "/all"))
P = S["properties"]
assert S["$schema"].endswith("2020-12/schema")
# every knob of the parser's table is there with its range, and nothing else is
mine = {}
for name, p in P.items():
    if "properties" in p: mine.update({f"{name}.{k}": v for k, v in p["properties"].items()})
    elif name not in ("$schema", "about", "profile", "mutant", "model", "protocol", "links", "nics", "faults", "chances", "operations"): mine[name] = p
assert list(sorted(mine)) == sorted(k["name"] for k in D["knobs"]), "other knobs than tarn-sim list has"
for k in D["knobs"]:
    r = mine[k["name"]]["anyOf"][0]
    lo, hi = (min(r["enum"]), max(r["enum"])) if "enum" in r else (r["minimum"], r["maximum"])
    assert lo == k["min"] and (hi == k["max"] or k["max"] is None or k["max"] > 2**51), k
assert P["faults"]["items"]["properties"]["do"]["enum"] == [f["name"] for f in D["faults"]]

def parser(text):
    open(work + "/one.json", "w").write(text)
    r = subprocess.run(["tarn-sim", "keys", work + "/one.json"], capture_output=True, text=True)
    return r.returncode == 0, r.stderr
says = [ # a mistake, and what of it must be said
    ('{\n"net": {\n"los_ppm": 3}}', ["one.json", "line 3", "net.los_ppm", 'did you mean "net.loss_ppm"']),
    ('{"masters": 99}', ["line 1", "masters", "from 1 to 9"]),
    ('{"masters": 1,\n"faults": [{"at": "1s", "do": "crush", "node": "m1"}]}', ["line 2, faults[0].do", 'did you mean "crash"']),
    ('{"faults": [\n{"at": "1s", "do": "crash", "node": "m1"},\n{"at": "1s", "do": "crash"}]}', ["line 3, faults[1]", '"node"']),
    ('{"faults": [{"at": "1s", "do": "crash", "nod": "m1"}]}', ["line 1, faults[0].nod", 'did you mean "node"']),
    ('{"faults": [{"at": "soon", "do": "crash", "node": "m1"}]}', ["faults[0].at", "like 250ms"]),
    ('{"faults": [{"at": "1s", "do": "clock_step", "node": "m1", "to": "m2"}]}', ["line 1, faults[0].to", 'clock_step has no "to"', "(at, do, node, for, chance)"]),
    ('{"faults": [{"at": "1s", "do": "disk_full", "node": "m1", "one_way": true}]}', ["faults[0].one_way", 'disk_full has no "one_way"']),
    ('{"faults": [{"at": "1s", "do": "crash", "node": "m1", "chance": [1]}]}', ["faults[0].chance", 'crash has no "chance"']),
    ('{"faults": [{"at": "1s", "do": "partition", "node": "m1", "one_way": 1}]}', ["faults[0].one_way", "neither true nor false"]),
    ('{"chances": [{"at": "1s", "do": "loss", "node": "m1"}]}', ["line 1, chances[0]", '"to"']),
    ('{"chances": [{"at": "1s", "do": "lose", "node": "m1", "to": "m2"}]}', ["chances[0].do"]),
    ('{"chances": [{"at": "1s", "do": "reset", "node": "m1", "to": "m2", "for": "1s"}]}', ["chances[0]", '"for"']),
    ('{"links": [{"from": "m1",\n"too": "c*"}]}', ["line 2, links[0].too", "from, to,"]),
    ('{"links": [{"from": "m1"}]}', ["links[0]", '"to"']),
    ('{"links": [{"from": "m1", "to": "c*", "latency_mean": "soon"}]}', ["links[0].latency_mean"]),
    ('{"links": [{"from": "m1", "to": "c*", "loss_ppm": 1000001}]}', ["links[0].loss_ppm"]),
    ('{"nics": [{"node": "w1"}]}', ["nics[0]", '"bytes_per_s"']),
    ('{"profile": "windy"}', ["profile", "quiet nor stormy"]),
    ('{"operations": [{"at": "1s", "by": "c1.0", "do": "sing"}]}', ["operations[0]", "do"]),
    ('{"operations": [{"at": "1s", "by": "c1.0", "do": "open", "wings": 2}]}', ["operations[0]", "wings"]),
    ('{"worker": {"page_bytes": 100000}}', ["worker.page_bytes", "power of two"]),
    ('{"load": {"think": 1.5}}', ["load.think", "fraction"]),
    ('{"clients": true}', ["clients"]),
    ('{"duration": "5 parsecs"}', ["duration", "like 250ms"]),
    ('{"what": 1}', ["what", "unknown key"])]
for text, parts in says:
    ok, why = parser(text)
    assert not ok and all(p in why for p in parts), (text, why)
for text, parts in [ # of these a schema knows nothing
        ('{"masters": 1,\n"masters": 2}', ["masters", "twice"]),
        ('{"faults": [{"at": "1s", "at": "2s", "do": "crash", "node": "m1"}]}', ["line 1, faults[0].at", "twice"]),
        ('{"masters": 2, "faults": [{"at": "1s", "do": "partition", "node": "m1", "to": "m1"}]}', ["faults[0]", "m1 to itself"]),
        ('{"faults": [{"at": "1s", "do": "misdirect", "node": "m1"}]}', ["faults[0].do", "there are power_loss, crash,", "store_full"]),
        ('{"fault": []}', ['did you mean "faults"']),
        ('{"operation": []}', ['did you mean "operations"']),
        ("[]\n", ["line 1: not a JSON object"]),
        ('{"masters": 1\n', ["line 1: not a JSON object"]),
        ('\n\n{"masters": 1,\n"clients": 2\n\n', ["line 4: not a JSON object"])]:
    ok, why = parser(text)
    assert not ok and all(p in why for p in parts), (text, why)
assert "did you mean" not in parser('{"faults": [{"at": "1s", "do": "misdirect", "node": "m1"}]}')[1]
ok, why = parser('{"masters": 3,\n"clients": 2\n"workers": 1}')
assert not ok and "line 3" in why and "comma" in why, why
good = ['{"$schema": "x", "masters": 3, "net": {"loss_ppm": "5", "rto": "1.5s"}, "faults": [{"at": 5, "do": "store_full"}, {"at": "1s", "do": "link_slow", "node": "leader", "to": "half", "one_way": true, "chance": [1]}]}',
        '{"chances": [{"at": "1.5s", "do": "loss", "node": "c1", "to": "m1", "n": 2, "skip": 1}, {"at": 3, "do": "site", "node": "w1", "site": "a.b"}, {"at": 4, "do": "disk_stall", "node": "m1", "for": "1s"}]}',
        '{"links": [{"from": "*", "to": "*", "latency_min": 5, "latency_mean": "40ms"}, {"from": "m1", "to": "c*", "loss_ppm": 3, "one_way": true}], "nics": [{"node": "w*", "bytes_per_s": "0"}]}',
        '{"operations": [{"at": "1s", "by": "c1.0", "do": "open", "steps": "read 0+5"}]}']
for text in good:
    ok, why = parser(text)
    assert ok, (text, why)
# docs/simulator.md has a row for each fault, with where it works, and names each knob of the world; its scenario is one
doc = open("docs/simulator.md").read()
rows = {n: c for r in re.findall(r"^\| (`[a-z_` ]+`) \|[^|]*\| ([a-z, ]+) \|", doc, re.M) for n in re.findall(r"[a-z_]+", r[0]) for c in [r[1]]}
for f in D["faults"]:
    assert f["name"] in rows, f"docs/simulator.md has no fault {f['name']}"
    assert f["of"] == rows[f["name"]].replace(", own", ""), (f, rows[f["name"]])
for k in D["knobs"]:
    assert not k["name"].startswith(("net.", "disk.", "clock.", "stall_", "fault_")) or f"`{k['name']}`" in doc, k["name"]
ok, why = parser(re.search(r"```json\n(.*?)```", doc, re.S).group(1))
assert ok, why
try: import jsonschema
except ImportError: sys.exit(77)
V = jsonschema.Draft202012Validator
V.check_schema(S)
v = V(S)
for text, _ in says: assert not v.is_valid(json.loads(text)), "the schema accepts " + text
for text in good + [re.search(r"```json\n(.*?)```", doc, re.S).group(1)]: v.validate(json.loads(text))
files = glob.glob("sim/scenarios/*.json") + glob.glob("sim/example/*.json")
assert len(files) > 20
for f in files:
    for e in v.iter_errors(json.load(open(f))): sys.exit(f"{f}: {e.json_path}: {e.message}")
END
python3 "$work/check.py" "$work"
case $? in
    0) echo "ok" ;;
    77) echo "schema and parser agree; scenarios are not validated: no python3-jsonschema"; exit 77 ;;
    *) fail "schema" ;;
esac
