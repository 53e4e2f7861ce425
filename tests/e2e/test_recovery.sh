#!/bin/bash
# docs/recovery.md, step by step on real processes: a dead master is replaced; a lost majority is given
# up, and one survivor goes on; those of before that come back do no harm.
. "$(dirname "$0")/lib.sh" "$@"
members="1@127.0.0.1:$port,2@127.0.0.1:$((port + 1)),3@127.0.0.1:$((port + 2)),4@127.0.0.1:$((port + 3))"
three=${members%,4@*}
cat > "$TARN_CONFIG" <<END
{"master": {"memory": "256MiB", "lease": "2s", "session": "6s"}, "client": {"deadline": "20s"},
 "journal": {"type": "raft", "members": "$three", "segment": "1MiB", "image_after": "1MiB"},
 "mounts": [{"path": "/", "ufs": "dir:$store", "mode": "through", "check_interval": "1s"}]}
END
own() { echo "--set journal.id=$1 --set master.dir=$work/m$1 --set master.listen=127.0.0.1:$((port + $1 - 1))"; }
member() { local n=$1; shift; spawn "m$n" tarn master $(own "$n") "$@" || fail "member $n did not start"; }
json() { tr -d ' \t\n'; }
answers() { tarn journal status --json 2> /dev/null | json | grep -q "\"voters_up\":$1,.*\"ok\":true"; }
leader() { tarn journal status --json 2> /dev/null | json | grep -o '"leader":[0-9]*' | cut -d: -f2; }
files() { tarn fs ls / | wc -l; }

id=$(tarn journal bootstrap $(own 1)) || fail "bootstrap"
# whoever was interrupted asks again, and is told the same; another group is not made there
[ "$(tarn journal bootstrap -q $(own 1))" = "$id" ] || fail "bootstrap again: $(tarn journal bootstrap $(own 1) 2>&1)"
tarn journal bootstrap $(own 1) --cluster 00000000000000000000000000000007 2>&1 | grep -q "is not empty" || fail "another cluster is made there"
tarn journal bootstrap $(own 1) --set "journal.members=$members" 2>&1 | grep -q "is not empty" || fail "another group is made there"
for n in 2 3; do tarn journal bootstrap $(own $n) --cluster "$id" > /dev/null || fail "bootstrap of $n"; done
for n in 1 2 3; do member $n; done
wait_for 30 answers 3 || fail "three masters are not a group: $(tarn journal status 2>&1)"
for i in 1 2 3 4 5; do tarn fs mkdir "/before-$i" || fail "mkdir"; done

# --- replace a dead master ---
lead=$(leader)
dead=$((lead % 3 + 1))
kill9 "m$dead"
rm -rf "$work/m$dead"
tarn fs mkdir /while-one-is-dead || fail "two of three do not serve"
timeout 60 tarn master $(own "$dead") > "$work/wiped.log" 2>&1 && fail "a member without its disk starts"
grep -q "there is no journal here" "$work/wiped.log" || fail "a wiped member says: $(cat "$work/wiped.log")"
member 4 --join --set "journal.members=$members"
tarn journal replace "$dead" "4@127.0.0.1:$((port + 3))" > "$work/replace.log" 2>&1 || fail "replace: $(cat "$work/replace.log")"
sed -i "s#$three#$members#" "$TARN_CONFIG"
wait_for 30 answers 3 || fail "not whole after the replacement: $(tarn journal status 2>&1)"

# --- what one leader could not commit is replaced by the next one's entries ---
lead=$(leader)
rest=$(for n in 1 2 3 4; do [ "$n" = "$dead" ] || [ "$n" = "$lead" ] || echo "$n"; done)
for n in $rest; do kill9 "m$n"; done
timeout 30 tarn fs mkdir /never --set client.deadline=2s 2> /dev/null && fail "one of three serves"
kill9 "m$lead"
last() { tarn journal verify --json "$work/m$1" | json | grep -o '"last_index":[0-9]*' | cut -d: -f2; }
alone= # does it have what no other has?  On a slow host it may have led no more by then
for n in $rest; do [ "$(last "$lead")" -gt "$(last "$n")" ] || alone=no; done
for n in $rest; do member "$n"; done
wait_for 30 answers 2 || fail "two of three do not lead: $(tarn journal status 2>&1)"
tarn fs mkdir /by-the-next || fail "mkdir"
member "$lead"
wait_for 30 answers 3 || fail "not whole again: $(tarn journal status 2>&1)"

# --- members tell the same story ---
sleep 0.3
for n in 1 2 3 4; do [ "$n" = "$dead" ] || kill9 "m$n"; done
left=$(for n in 1 2 3 4; do [ "$n" = "$dead" ] || echo "$work/m$n"; done)
sums() { (cd "$work" && sha256sum m?/* | sort); }
before=$(sums)
tarn journal verify $left > "$work/verify.log" 2>&1 || fail "verify: $(cat "$work/verify.log")"
[ "$(grep -c '^ok: member' "$work/verify.log")" = 3 ] || fail "verify says: $(cat "$work/verify.log")"
tarn journal verify --json $left | python3 -c 'import json,sys; d = json.load(sys.stdin); assert d["ok"] and len(d["directories"]) == 3 and not d["differences"]' || fail "verify --json"
best=$(tarn journal verify $left | sed -n 's/^most complete: member \([0-9]*\),.*/\1/p')
[ "$best" ] || fail "nobody is the most complete"
tarn journal dump "$work/m$best" > "$work/dump.log" || fail "dump"
grep -q ' configuration members=.*4@.*(voter)' "$work/dump.log" || fail "no configuration in the dump"
grep -q ' term=[0-9]* place=[0-9]* mkdir .*name="while-one-is-dead"' "$work/dump.log" || fail "no mkdir in the dump"
tarn journal dump "$work/m$lead" > "$work/dump.log" || fail "dump of $lead"
[ "$alone" ] || grep -q '(superseded)$' "$work/dump.log" || fail "nothing is superseded in the log of $lead: $(tail -n 20 "$work/dump.log")"
tarn journal dump --json "$work/m$lead" | python3 -c 'import json,sys; d = [r for r in json.load(sys.stdin) if not r["superseded"]]; assert [r["index"] for r in d] == list(range(1, len(d) + 1)) and all(a["place"] < b["place"] and a["term"] <= b["term"] for a, b in zip(d, d[1:]))' || fail "what counts does not make a log"
tarn journal dump --all "$work/m$best" | grep -q "^# journal.meta: cluster=\"$id\" member=$best term=" || fail "no meta in the dump"
tarn journal dump --all --json "$work/m$best" | python3 -c 'import json,sys; d = json.load(sys.stdin); assert d[0]["kind"] == "meta" and any(r["kind"] == "noop" and not r["superseded"] for r in d)' || fail "dump --json"
[ "$before" = "$(sums)" ] || fail "looking changed something"
# without journal.meta nobody knows whose entries they are
cp -r "$work/m$best" "$work/broken" && rm "$work/broken/journal.meta" && mkdir "$work/nothing"
tarn journal dump --json "$work/broken" 2> /dev/null | grep -q 'journal.meta is missing or damaged while a log is there' || fail "dump without journal.meta: $(tarn journal dump "$work/broken" 2>&1 | tail -3)"
tarn journal dump "$work/broken" > /dev/null 2>&1; [ $? = 5 ] || fail "dump without journal.meta: not status 5"
tarn journal recover --dir "$work/broken" 2>&1 | grep -q 'journal.meta is missing or damaged' || fail "recover without journal.meta: $(tarn journal recover --dir "$work/broken" 2>&1)"
tarn journal dump "$work/nothing" 2>&1 | grep -q 'there is no journal here' || fail "dump of nothing: $(tarn journal dump "$work/nothing" 2>&1)"

# --- a lost majority ---
others=$(for n in 1 2 3 4; do [ "$n" = "$dead" ] || [ "$n" = "$best" ] || echo "$n"; done)
one=${others%%$'\n'*}; two=${others##*$'\n'}
member "$two"
tarn journal recover --dir "$work/m$best" --yes > "$work/rec.log" 2>&1 && fail "recovered while a member runs"
grep -q "member $two answers" "$work/rec.log" || fail "recover says: $(cat "$work/rec.log")"
kill9 "m$two"
tarn journal recover --dir "$work/m$best" > "$work/rec.log" 2>&1 && fail "recovered without --yes"
grep -q "LOST" "$work/rec.log" && grep -q "nothing was changed" "$work/rec.log" || fail "recover says: $(cat "$work/rec.log")"
tarn journal recover --dir "$work/m$best" --json 2> /dev/null | python3 -c "import json,sys; d = json.load(sys.stdin)
assert d['changed'] is False and d['members'].startswith('$best@') and 'say --yes' in d['error']
assert sorted((m['id'] == $best) == (m['found'] == 'this one') for m in d['before']) == [True] * 3" || fail "recover --json without --yes"
tarn journal recover --dir "$work/m$best" --members "9@127.0.0.1:1" --yes > "$work/rec.log" 2>&1 && fail "recovered into a group without it"
tarn journal recover --dir "$work/m$best" --members "$best@127.0.0.1:1,$best@127.0.0.1:2" --json 2> /dev/null | grep -q '"error"' || fail "recover --json"
tarn journal recover --dir "$work/m$best" --yes > "$work/rec.log" 2>&1 || fail "recover: $(cat "$work/rec.log")"
grep -q "the group is $best@127.0.0.1:$((port + best - 1)) now" "$work/rec.log" || fail "recover says: $(cat "$work/rec.log")"
# asked again there is nothing to do: another era would be another history
era=$(tarn journal dump --all "$work/m$best" | grep -o '^# journal.meta:.* era=[0-9]*')
tarn journal recover --dir "$work/m$best" --yes --json 2> /dev/null | python3 -c "import json,sys; assert json.load(sys.stdin)['changed'] is False" || fail "recovered twice"
tarn journal recover --dir "$work/m$best" --yes | grep -q "the group is $best@.* already .*Nothing was changed" || fail "recovered twice: $(tarn journal recover --dir "$work/m$best" --yes 2>&1)"
[ "$era" = "$(tarn journal dump --all "$work/m$best" | grep -o '^# journal.meta:.* era=[0-9]*')" ] || fail "another era"
member "$best"
wait_for 30 answers 1 || fail "the survivor does not lead: $(tarn journal status 2>&1)"
[ "$(files)" = 7 ] || fail "$(files) directories of 7"
tarn fs mkdir /after-recovery || fail "nothing can be done after the recovery"
# one of before comes back as it was: it stops, and says what to do
timeout 60 tarn master $(own "$two") > "$work/late.log" 2>&1; code=$?
[ $code = 1 ] || fail "a member of before ends with $code"
grep -q "recovered or restored without this one.*come back as a new member" "$work/late.log" || fail "a member of before says: $(cat "$work/late.log")"
rm -rf "$work/m$two"
member "$two" --join --set "cluster.id=$id" # it knows its cluster beforehand, but not the era
tarn journal add "$two@127.0.0.1:$((port + two - 1))" > "$work/add.log" 2>&1 || fail "add: $(cat "$work/add.log")"
wait_for 30 answers 2 || fail "not two: $(tarn journal status 2>&1)"
tarn fs mkdir /with-two || fail "two do not serve"
[ "$(files)" = 9 ] || fail "$(files) directories of 9"

# --- one of the two goes on elsewhere, where the other cannot reach it: who meets both is told ---
kill9 "m$two"
tarn journal recover --dir "$work/m$two" --members "$two@127.0.0.1:$((port + 8))" --yes --force > "$work/rec.log" 2>&1 || fail "recover: $(cat "$work/rec.log")"
spawn "m$two" tarn master $(own "$two") --set "master.listen=127.0.0.1:$((port + 8))" --set "journal.members=$two@127.0.0.1:$((port + 8))" || fail "$two did not start elsewhere"
both=127.0.0.1:$((port + best - 1)),127.0.0.1:$((port + 8))
wait_for 30 tarn fs ls / --masters "127.0.0.1:$((port + 8))" || fail "$two does not serve elsewhere"
tarn fs ls / --masters "$both" > /dev/null 2> "$work/both.log" || fail "tarn fs: $(cat "$work/both.log")"
grep -q "the masters at 127.0.0.1:$((port + best - 1)) and 127.0.0.1:$((port + 8)) are not of one group: one was recovered or restored without the other, the later at 127.0.0.1:$((port + 8))" "$work/both.log" ||
    fail "tarn fs says of masters of two eras: $(cat "$work/both.log")"
tarn fs ls / --masters "127.0.0.1:$((port + 8))" 2>&1 > /dev/null | grep -q . && fail "tarn fs warns of nothing"
echo "ok${alone:+ (nothing to supersede)}: $dead was replaced by 4, $best went on without the others, $two came back"
