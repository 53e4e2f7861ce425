#!/bin/bash
# tests/e2e/test_list.sh BUILD - tarn-sim list: scenarios, faults, sites, checkers and knobs, none without a text, and what it says of knobs holds.
. "$(dirname "$0")/lib.sh" "$@"
cd "$here" || fail "no source tree"
tarn-sim list --json > "$work/all" || fail "list --json"
python3 - "$work/all" << 'END' || fail "what it says"
import json, os, subprocess, sys
D = json.load(open(sys.argv[1]))
assert list(D) == ["scenarios", "faults", "sites", "checkers", "knobs"]
files = sorted("sim/scenarios/" + f for f in os.listdir("sim/scenarios") if f.endswith(".json"))
assert [s["name"] for s in D["scenarios"]] == files
for kind, rows in D.items():
    names = [(r["name"], r.get("of")) for r in rows]
    assert len(set(names)) == len(names), kind
    for r in rows: assert r["what"], f"{kind}: {r['name']} has no text"
faults = {f["name"] for f in D["faults"]}
import re
code = set()
for folder in ("core", "journal", "cluster"):
    for f in os.listdir(folder):
        if f.endswith((".c", ".h")): code |= set(re.findall(r'env_fault\([^;"]*"([^"]+)"', open(f"{folder}/{f}").read()))
assert code == {s["name"] for s in D["sites"]}, f"sites in the code: {sorted(code)}"
assert [s["of"] for s in D["sites"]] == [str(1 << i) for i in range(len(D["sites"]))]
knobs = {k["name"]: k for k in D["knobs"]}
assert {"random.%s_every" % f for f in faults} <= set(knobs), "a fault without its knob"
assert {c["name"] for c in D["checkers"] if c["of"] == "files"} == {"log", "answers", "data", "store", "liveness", "structure", "raft", "linear"}
keys = [l.split()[0] for l in subprocess.run(["tarn-sim", "keys"], capture_output=True, text=True, check=True).stdout.splitlines()]
assert keys == [k["name"] for k in D["knobs"]], "other knobs than tarn-sim keys has"
def runs(key, value): # just inside or outside; --until 0 ends it at once
    r = subprocess.run(["tarn-sim", "keys", files[0], "--set", f"{key}={value}"], capture_output=True, text=True)
    return r.returncode == 0, r.stderr
for name in ("masters", "net.loss_ppm", "load.threads", "worker.page_bytes", "duration", "swarm"):
    k = knobs[name]
    assert k["min"] <= k["default"] <= k["max"], k
    for value, fits in ((k["min"], True), (k["max"], True), (k["max"] + 1, False)):
        ok, why = runs(name, f"{value}ns" if k["type"] == "time" else value)
        assert ok == fits, (name, value, why)
        assert fits or name in why, why
END
[ "$(tarn-sim list faults | head -n 1)" = faults ] || fail "one section"
tarn-sim list | grep -qE '^  net.loss_ppm +0\.\.1000000 +0 +for each write' || fail "a knob: $(tarn-sim list knobs | head -n 20)"
[ "$(tarn-sim list scenarios checkers | grep -cE '^[a-z]')" = 2 ] || fail "two sections"
(cd "$work" && tarn-sim list scenarios) > "$work/out" || { case $build in "$here"/*/*) fail "elsewhere: $(cat "$work/out")" ;; esac; }
tarn-sim list knob 2> "$work/err" && fail "an unknown section"
grep -q "did you mean knobs" "$work/err" || fail "$(cat "$work/err")"
tarn-sim list --help | grep -q checkers || fail "help"
echo "ok"
