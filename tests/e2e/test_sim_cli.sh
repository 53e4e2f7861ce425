#!/bin/bash
# tests/e2e/test_sim_cli.sh BUILD - the command line of tarn-sim does what it says or refuses: an option of another command, a time without
# a unit, a number that is too large, a machine that is not there; standard output of --json is one document; lines that reproduce do.
. "$(dirname "$0")/sim.sh" "$@"
cd "$here" || fail "no source tree"
sc="sim/scenarios/register.json --set duration=500ms"
never="--set bound=1ms --set net.latency_min=150ms --set net.latency_mean=150ms"

# each option is of the commands whose help has it, and the others refuse it and say whose it is
commands="run seeds keys points mutants campaign merge report shrink check-history list elections diff"
options=$(grep -oE '^    \{"--[a-z0-9-]+"' sim/tarn_sim_words.c | grep -oE -- '--[a-z0-9-]+')
[ "$(wc -w <<< "$options")" -gt 40 ] || fail "no options: $options"
for o in $options; do
    for c in $commands; do
        sim $c $o
        if grep -qE "^tarn-sim: $o is no option of $c, but of" "$work/err"; then
            [ $status = 2 ] && [ ! -s "$work/out" ] || fail "$c $o: refused with status $status"
            continue
        fi
        [ "$o" = --worker ] && { [ $c = campaign ] || fail "$c takes --worker"; continue; }
        tarn-sim $c --help | grep -qE -- "(^|[^a-z-])$o([^a-z0-9-]|$)" || fail "$c takes $o, and its help does not say so: $(cat "$work/err")"
    done
done
sim run $sc --jobs 3
expect 2 "an option of another command" "--jobs is no option of run, but of campaign; run takes --seed,"
sim seeds $sc --json
expect 2 "an option of another command" "--json is no option of seeds"
sim points mknod --seed 1 --at2 3
expect 2 "a second point without the first" "--at K"
sim keys --set net.loss=0.05
expect 0 "a setting without a scenario" "^net.loss_ppm +50000$"
sim --version
expect 0 "the version" "^tarn-sim, of commit [0-9a-z-]+, by (gcc|clang) [0-9]+.*; databases have schema 3$"
grep -q "seeds SCENARIO.*1 to 100" <(tarn-sim --help) || fail "how many seeds are not told"

# numbers, times, probabilities
sim run $sc --seed 18446744073709551616
expect 2 "a seed that is too large" "value of --seed"
for o in --until --branch; do
    sim run $sc $o 5
    expect 2 "a time without a unit" "$o 5: a time needs a unit, like 5s"
done
sim run $sc --set duration=5
expect 2 "a time without a unit" 'duration: "5" needs a unit'
sim run $sc --set random.crash_every=0 --until 100ms
expect 0 "no time"
for p in 0.05=50000 0=0 1=1000000 0.000001=1 1.0=1000000 .5 1.1 0.0000001 5 5% -1; do
    sim keys --set "net.loss=${p%%=*}"
    case $p in
        *=*) expect 0 "a probability" "^net.loss_ppm +${p#*=}$" ;;
        *) expect 2 "no probability: $p" 'is not a probability from 0 to 1' ;;
    esac
done
sim keys --set net.los=0.1
expect 2 "no such key" "did you mean"
for of in net store; do
    sim run sim/scenarios/first-failover.json --set $of.latency_min=10ms
    expect 2 "a mean below the least" "$of.latency_mean is [0-9a-z]+, less than $of.latency_min, 10ms"
done
sim run $sc --log nobody
expect 2 "a machine that is not there" "there is no machine nobody \(m1..m1, c1..c3; all\)"
sim run $sc --log m1
expect 0 "a machine's log" "^ +[0-9.]+ m1 +[EWID] "

# --json: one document, whatever else is asked, and it says how the run ended
for more in "" "--log m1" "--stop-at-event 100" "--twice" "--seed 3 --twice --log all"; do
    for s in "$sc" "sim/scenarios/first-failover.json --set duration=1s"; do
        sim run $s --json $more
        expect 0 "--json $more"
        [ "$(field 'd["status"], d["reproduce"], len(d["hash"])')" = "(0, '', 32)" ] || fail "--json $more: $(cat "$work/out")"
    done
done
sim run sim/scenarios/first-failover.json --set duration=2s $never --json
expect 4 "a failure as JSON"
again=$(field 'd["reproduce"]') hash=$(field 'd["hash"]')
[ "$(field 'd["status"]')" = 4 ] || fail "$(cat "$work/out")"
sim ${again#tarn-sim }
expect 4 "the line that repeats it: $again"
[ "$(tail -n 1 "$work/out")" = "$hash" ] || fail "the line repeats another run: $again"
for c in "campaign $sc --seeds 2 --marks off" "list"; do
    sim $c --json
    expect 0 "$c --json"
    [ "$(field 'len(d) > 1')" = True ] || fail "$c --json"
done

# "-" is standard output, and nothing else is there
sim run $sc --trace "$work/trace"
sim run $sc --trace -
expect 0 "a trace on standard output" "^  ok    log"
cmp "$work/out" "$work/trace" || fail "another trace on standard output"
sim run $sc --trace - --json
expect 2 "two on standard output" "standard output takes one"
[ ! -e - ] || fail "a file called -"

# the line that repeats a run can be given to a shell
cp sim/scenarios/register.json "$work/it's.json"
sim run "$work/it's.json" --set duration=500ms --plant panic@5
expect 6 "an assertion"
again=$(sed -n 's/^reproduce: tarn-sim //p' "$work/err")
grep -qF -- "--plant panic@5" <<< "$again" || fail "the plant is not in it: $again"
eval "sim $again"
expect 6 "the line that repeats it: $again"

# known bugs
if ! tarn-sim mutants > "$work/mutants" 2> /dev/null; then
    sim mutants
    expect 2 "a build without known bugs" "no known bugs"
fi
sim=$build/example-register
"$sim" run sim/example/register.json --mutant FOO 2> "$work/err" && fail "a bug that is not there"
grep -q '^example-register: no bug FOO; there are NO_WRITE_BACK, ACK_EARLY$' "$work/err" || fail "$(cat "$work/err")"
echo "ok"
