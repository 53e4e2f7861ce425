#!/bin/bash
# What the commands for a group of masters say: of members that are silent, of what is refused, and of
# directories that are another's.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/group.sh"
command -v curl > /dev/null || skip "curl is not installed"
group_up 256MiB --mode through
tarn fs mkdir /dir || fail "mkdir"

# lines say whose directory they speak of
grep -q "journal: '$work/up/master-1': member 1 leads\|journal: '$work/up/master-2': member 2 leads\|journal: '$work/up/master-3': member 3 leads" "$work"/up/master-*.log ||
    fail "no directory in the journals' lines: $(grep journal: "$work"/up/master-1.log | tail -3)"
grep -q "journal: ''" "$work"/up/*.log && fail "a line without a directory: $(grep "journal: ''" "$work"/up/*.log | head -1)"

# to where nobody may connect without a secret, no member goes
expect 4 'not a loopback address.*tarn secret new' tarn journal add 4@192.0.2.1:7700
expect 4 'not a loopback address.*tarn secret new' tarn journal replace 3 4@192.0.2.1:7700

# a page is short, also in a pipe
n=$(tarn status | wc -l)
[ "$n" -lt 40 ] || fail "tarn status prints $n lines"
[ "$(tarn status --all | wc -l)" -gt 100 ] || fail "tarn status --all prints $(tarn status --all | wc -l) lines"
expect 2 'timeout' tarn status --timeout soon

# each that leads or hears its leader is ready; who leads is whom priority prefers, after a while
ready() { # ready ID CODE PATTERN
    [ "$(curl -s --max-time 10 -o "$work/body" -w '%{http_code}' "http://$(grep -o "master-$1 http://[0-9.:]*" "$work/up.log" | head -1 | cut -d/ -f3)/readyz")" = "$2" ] &&
        grep -q "$3" "$work/body"
}
first=$(leader) preferred=$(($(leader) % 3 + 1))
for i in 1 2 3; do
    role=standby
    [ $i != "$first" ] || role=leader
    wait_for 20 ready $i 200 "\"role\": \"$role\"" || fail "/readyz of $i: $(cat "$work/body")"
done
tarn journal priority "$preferred" 9 > /dev/null || fail "priority"
leads() { [ "$(leader)" = "$1" ]; }
wait_for 60 leads "$preferred" || fail "$preferred, of priority 9, does not lead: $(tarn journal status 2>&1)"
wait_for 20 ready "$preferred" 200 '"role": "leader"' || fail "/readyz of the new leader: $(cat "$work/body")"
wait_for 20 ready "$first" 200 "\"role\": \"standby\".*\"leader\": $preferred," || fail "/readyz of the old leader: $(cat "$work/body")"

# directories of running masters, and what there is to look at
expect 1 'a running master has it' tarn journal verify
expect 1 "the members of its group lie in $work/up/master-1 $work/up/master-2 $work/up/master-3" tarn journal dump
expect 2 'from 9 lies behind --to 5' tarn journal dump --from 9 --to 5 "$work/up/master-1"

# the alert of a quorum at risk (deploy/prometheus/alerts.yml) counts what the leader's /metrics say
votes() { # votes N_UP N: of so many that vote so many are connected
    curl -s --max-time 10 "http://$(grep -o "master-$(leader) http://[0-9.:]*" "$work/up.log" | head -1 | cut -d/ -f3)/metrics" | python3 -c 'import re,sys
text, m = sys.stdin.read(), {}
for what, who, v in re.findall(r"^tarn_journal_member_(votes|connected)\{member=\"(\d+)\"\} (\d+)$", text, re.M):
    m.setdefault(who, {})[what] = int(v)
up, n = sum(x["votes"] * x["connected"] for x in m.values()), sum(x["votes"] for x in m.values())
sys.exit((up, n) != (int(sys.argv[1]), int(sys.argv[2])) or not re.search(r"^tarn_master_role\{role=\"leader\"\} 1$", text, re.M))' "$1" "$2"
}
wait_for 20 votes 3 3 || fail "the leader's metrics do not show three that vote"
# one dies: it is not a standby, and how long ago it was heard is known
dead=$(($(leader) % 3 + 1)) other=$((($(leader) + 1) % 3 + 1))
kill -9 "$(master_pid "$dead")"
wait_for 60 two || fail "not two: $(tarn journal status 2>&1)"
wait_for 20 votes 2 3 || fail "the leader's metrics do not show two of three"
expect 0 "^ *$dead .* unreachable .*does not answer; last heard by the leader [0-9]+ s ago" tarn journal status
expect 0 "^$dead@127.0.0.1:[0-9]*=[0-9]* unreachable" tarn journal members
json | grep -q '"role":"unreachable".*"heard_ago_s":[0-9]' || fail "status --json: $(json)"

# one that comes back with another configuration is told of, on both sides
wait_for 20 grep -q "^  .*journal.id=$dead " "$work/up.log" || fail "tarn up does not say how to start $dead again"
restart=$(grep "^  .*journal.id=$dead " "$work/up.log")
json | grep -q '"configured_otherwise":"[^"]' && fail "equal configurations differ: $(json)"
$restart --set master.lease=7s --set master.inodes_max=1000000 >> "$work/other.log" 2>&1 &
pids[other]=$!
wait_for 60 whole || fail "$dead does not come back: $(tarn journal status 2>&1)"
expect 0 "note: member $dead is configured otherwise than member [0-9]: master.lease, .*master.inodes_max" tarn journal status
grep -q "member [0-9] at .* is configured otherwise than this one" "$work/other.log" || fail "no word in its log"
wait_for 10 grep -q "member $dead at .* is configured otherwise than this one" "$work/up/master-$other.log" || fail "no word in the others' logs"
# asked to end while it leads it hands over, and ends well
tarn journal elect "$dead" > /dev/null || fail "$dead does not lead: $(tarn journal status 2>&1)"
term other || fail "the end of $dead: $?"
grep -q "another one leads now, and this one ends" "$work/other.log" || echo "note: it did not hand over in time"
wait_for 60 two || fail "not two: $(tarn journal status 2>&1)"

# with one down the other must stay: removed or replaced by what does not run, nothing could be decided
expect 1 'of the 2 that would be left to vote only 1 answers, and 2 are needed.*--force' tarn journal remove "$other"
expect 0 "does not tolerate the loss of another" tarn journal remove "$dead"

# one of two that is left alone is not ready, whatever it was before
last=$(leader)
kill -9 "$(pgrep -f "tarn master .*journal.id=$(( 6 - dead - last )) .*$work/" | head -1)"
wait_for 60 ready "$last" 503 '"reason": "no leader is known"' || fail "/readyz of one without a quorum: $(cat "$work/body")"
expect 1 'nobody leads: too few' tarn journal status
expect 3 '1 of 2 that vote answers, 2 are needed.  Start the others; if they are lost for good' tarn journal elect --timeout 3s
expect 1 "^$last@.* standby" tarn journal members
expect 0 'an image up to record' tarn journal snapshot "$last"

# a member's directory is its own: whose it is, whose it was taken for, and what to do
term up || fail "tarn up's end"
expect 0 "most complete: member [0-9]" tarn journal verify
listen() { grep -o "$1@[^,\"]*" "$TARN_CONFIG" | head -1 | cut -d@ -f2; }
expect 1 "'$work/up/master-1/journal.meta': this is the journal of member 1, and journal.id is 2.*cannot serve from $work/up/master-1: it is not" \
    sh -c "tarn master --set journal.id=2 --set 'master.dir=$work/up/master-1' --set 'master.listen=$(listen 2)' 2>&1 | tr '\n' ' '; exit 1"
expect 1 "is of cluster [0-9a-f]{32}, and 0{31}7 is expected" \
    tarn master --set journal.id=1 --set "master.dir=$work/up/master-1" --set "master.listen=$(listen 1)" --set cluster.id=00000000000000000000000000000007
# --join where a member is already: it goes on as that one, and says so
tarn master --join --set journal.id=1 --set "master.dir=$work/up/master-1" --set "master.listen=$(listen 1)" > "$work/join.log" 2>&1 &
pids[join]=$!
wait_for 60 grep -q "join: $work/up/master-1 has a member's journal already, of cluster [0-9a-f]*: it goes on" "$work/join.log" || fail "--join is not spoken of"
lists() { tarn journal members 2> /dev/null | grep -q '^1@.* standby'; }
wait_for 30 lists || fail "who is a member is not known: $(tarn journal members 2>&1)"
expect 1 'no master leads' tarn journal members --timeout 5s
began=$SECONDS
# one that accepts and says nothing is given up when it was said
kill -STOP "${pids[join]}"
expect 3 'no master answers' tarn journal status --timeout 300ms
expect 3 'no master answers' tarn journal backup "$work/none" --timeout 500ms
kill -CONT "${pids[join]}"
[ $((SECONDS - began)) -lt 20 ] || fail "--timeout 300ms took $((SECONDS - began)) s"
kill9 join
echo "ok"
