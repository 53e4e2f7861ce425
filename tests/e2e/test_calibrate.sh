#!/bin/bash
# tests/e2e/test_calibrate.sh BUILD - a machine is measured into a model, the simulator takes it, and what it predicts stands beside what
# was measured.  Briefly, so how well it does is not looked at; a model that is wrong is refused by name, line and place.
. "$(dirname "$0")/lib.sh" "$@"
cd "$work" || fail "no directory"
tarn bench calibrate --rounds 1 --seconds 0.1 --out "$work/model.json" 2> calibrate.log || fail "calibrate: $(cat calibrate.log)"
ls -d "$work"/tarn-bench-* 2> /dev/null && fail "calibrate left its directory"
tarn bench predict --rounds 1 --seconds 0.1 --depth 1 --model "$work/model.json" --json > predict.json 2> predict.log
status=$?
[ $status = 0 ] || [ $status = 3 ] || fail "predict ends with $status: $(cat predict.log)"
cat > check.py << 'END'
import json, sys
m = json.load(open("model.json"))
assert m["tarn_model"] == 1 and m["about"]["machine"] and m["about"]["date"], m.keys()
w, n, cpu = m["disk"]["write"], m["net"]["way"], m["cpu"]
assert sorted({t["bytes"] for t in w}) == [4096, 16384, 65536, 262144] and {t["at_once"] for t in w} >= {1, 2, 3}
for t in w + n:
    assert len(t["ns"]) == 33 and t["ns"] == sorted(t["ns"]) and t["ns"][0] > 0, t
assert cpu["cores"] >= 1 and cpu["turn"] > 0 and cpu["io"] > 0, cpu
p = json.load(open("predict.json"))
assert [(r["bytes"], r["outstanding"]) for r in p["rows"]] == 2 * [(100, 1), (1024, 1)], p["rows"]
for r in p["rows"]:
    assert r["predicted"] > 0 and r["measured"] > 0 and r["allowed"] >= 0.15
    off = r["predicted"] / r["measured"] - 1
    assert abs(off - r["deviation"]) < 0.01 * (1 + abs(off)) and r["holds"] == (abs(r["deviation"]) <= r["allowed"]), r
assert p["failing"] == sum(not r["holds"] for r in p["rows"]) and (p["failing"] > 0) == (int(sys.argv[1]) == 3)
# a wrong one
m["disk"]["write"][1]["ns"][7] = 0
open("wrong.json", "w").write(json.dumps(m, indent=1))
END
python3 check.py $status || fail "what was written: $(cat predict.json)"
tarn bench predict --model wrong.json --depth 1 > wrong.txt 2>&1 && fail "a wrong model is taken"
line=$(grep -n '^ *0,$' wrong.json | head -n 1 | cut -d: -f1)
grep -q "wrong.json: line $line, disk.write\[1\].ns\[7\]: less than the number before it" wrong.txt || fail "the wrong model, line $line: $(cat wrong.txt)"
tarn bench predict --model nothing.json > wrong.txt 2>&1 && fail "no model is taken"
grep -q "nothing.json: there is no such model; tarn bench calibrate" wrong.txt || fail "no model: $(cat wrong.txt)"
echo ok
