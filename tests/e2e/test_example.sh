#!/bin/bash
# tests/e2e/test_example.sh BUILD - a protocol of one's own, as docs/simulator.md says: the example is copied and built outside the tree; clean
# seeds pass, its planted bugs are found, one is made small and drawn, its history is refused; what is not for such scenarios is told.
. "$(dirname "$0")/lib.sh" "$@"
cd "$work" || fail "no room"
[ "$(wc -l < "$here/sim/example/register_main.c")" -lt 300 ] || fail "the example has 300 lines or more"
line=$(grep '^cc .*libtarnsim.a' "$here/docs/simulator.md") || fail "docs/simulator.md has no build line"
cp "$here/sim/example/register_main.c" my.c
cp "$here/sim/example/register.json" my.json
sed -i 's/"register"/"mine"/' my.c my.json
TARN=$here BUILD=$build bash -c "$line" || fail "the build line: $line"
./my run my.json --seed 1 > out || fail "a clean run: $(cat out)"
for v in linear memory liveness; do grep -qE "^  ok    $v +[1-9][0-9]* checks" out || fail "no $v: $(cat out)"; done
./my seeds my.json --from 1 --to 12 > out || fail "clean seeds: $(cat out)"
[ "$(./my run my.json --seed 3 --twice | tail -n 1)" = "$("$build/example-register" run my.json --seed 3 2> /dev/null | tail -n 1)" ] && fail "another program took the scenario"
[ "$(./my run my.json --seed 3 | tail -n 1)" = "$("$build/example-register" run "$here/sim/example/register.json" --seed 3 | tail -n 1)" ] || fail "the copy has another hash"
for bug in NO_WRITE_BACK ACK_EARLY; do
    ./my campaign my.json --seeds 1..24 --jobs 2 --quiet --marks off --db $bug.db --mutant $bug > out
    [ $? = 3 ] || fail "$bug was not found: $(cat out)"
    grep -q "reproduce: my run my.json --mutant $bug --seed" out || fail "no line to reproduce: $(cat out)"
done
./my shrink --db NO_WRITE_BACK.db --budget 6s --quiet --out small.json > out || fail "shrink: $(cat out)"
awk '$1 == "before" {b = $3} $1 == "after" {a = $3} END {exit !(a > 0 && a < b)}' out || fail "nothing became smaller: $(cat out)"
./my run small.json --timeline t.html --history h.jsonl > out
[ $? = 3 ] || fail "what is small does not fail: $(cat out)"
grep -q 'FAIL  linear' out || fail "another failure: $(cat out)"
grep -q '"write key' t.html || fail "no operations in the timeline"
tarn-sim check-history h.jsonl > out && fail "check-history: $(cat out)"
grep -q 'NOT linearizable' out || fail "check-history: $(cat out)"
./my list checkers | grep -q 'memory' || fail "list"
./my mutants | grep -q ACK_EARLY || fail "mutants"
# what is not for it is told
tarn-sim run my.json 2> err && fail "tarn-sim knows my protocol"
grep -q 'this program has no "mine"' err || fail "$(cat err)"
sed 's/"power_loss"/"usurp"/' my.json > bad.json
./my run bad.json 2> err && fail "a fault of leaders"
grep -q 'usurp.*not with a protocol' err || fail "$(cat err)"
# which faults there are is what the table of docs/simulator.md says
for f in $("$build/tarn-sim" list faults | awk 'NR > 1 {print $1}'); do
    row=$(grep -E "^\| (\`[a-z_]+\` )*\`$f\` " "$here/docs/simulator.md" | awk -F '|' 'NF > 6' | head -n 1)
    [ -n "$row" ] || fail "no row for $f"
    echo "{\"protocol\": \"mine\", \"masters\": 3, \"random\": {\"${f}_every\": \"1s\"}}" > one.json
    if ./my keys one.json > /dev/null 2> err; then is=1; else is=0; fi
    case $(echo "$row" | cut -d '|' -f 4) in *own*) says=1 ;; *) says=0 ;; esac
    [ $is = $says ] || fail "$f: the table says $says, the program $is: $(cat err)"
done
echo "ok"
