#!/bin/bash
# Changes of a group of masters: what is refused, how far one came that does not end, and what those say
# who are silent or were removed.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/group.sh"
command -v curl > /dev/null || skip "curl is not installed"
group_up 256MiB

# nobody is added where nobody is found; and none that works gives its vote up for one that does not answer
free=127.0.0.1:$((port + 15)) standby=$(($(leader) % 3 + 1))
expect 2 'host is not found' tarn journal add "4@no..such..host:7700"
expect 1 "member $standby works, and no member 4 is ready at $free: nobody answers there" tarn journal replace "$standby" "4@$free" --timeout 3s
# one that does not come is told of, and holds nothing up
expect 1 "member 4 is a learner .*nobody answers at $free" tarn journal add "4@$free" --learner --timeout 3s
expect 1 '4 is a learner, which cannot lead' tarn journal elect 4
expect 1 "member 6 is a learner .*nobody answers at $free" tarn journal replace 4 "6@$free" --timeout 3s
expect 0 '6 is no member any more' tarn journal remove 6
expect 1 "no member 5 is ready at $free: nobody answers there.*Nothing was changed" tarn journal add "5@$free" --timeout 3s
lead=$(leader) lead_at=127.0.0.1:$((port + $(leader) - 1))
expect 1 "$lead_at is member $lead's address" tarn journal add "5@$lead_at" --timeout 3s
expect 1 "no member 5 is ready at localhost:${lead_at#*:}: the master there has the number $lead" tarn journal add "5@localhost:${lead_at#*:}" --timeout 3s
expect 1 "no member 5 is ready at 127.0.0.1:$((port + 10)): what runs there is no master of a group" tarn journal add "5@127.0.0.1:$((port + 10))" --timeout 3s
# what keeps one that was added all the same is said
expect 1 "member 5 is in the group and has no vote yet.*; at localhost:${lead_at#*:}: the master there has the number $lead" tarn journal add "5@localhost:${lead_at#*:}" --force --timeout 2s
expect 0 '5 is no member any more' tarn journal remove 5
[ "$(tarn journal members | wc -l)" = 3 ] || fail "a refused one is a member: $(tarn journal members 2>&1)"
expect 1 "member 5 is in the group and has no vote yet.*nobody answers at $free" tarn journal add "5@$free" --force --timeout 3s
began=$SECONDS
expect 0 'has priority 3' tarn journal priority 5 3
expect 0 'has priority 3' tarn journal priority 5 3
expect 0 "^ *5 $free +unreachable +[?] +[?] +[?] .*joining: does not answer; not heard since" tarn journal status
expect 0 "^5@$free=3 unreachable joining" tarn journal members
json | grep -q '"changing":true.*"standing":"joining","votes":false' || fail "no word of who joins: $(json)"
expect 0 '5 is no member any more' tarn journal remove 5
[ $((SECONDS - began)) -lt 20 ] || fail "changes beside one that joins took $((SECONDS - began)) s"
# nor does one that somebody waits for: another one is called to lead, and who waits learns that it was taken back
tarn journal add "6@$free" --force --timeout 60s > "$work/waits.log" 2>&1 &
pids[waits]=$!
joins() { tarn journal members | grep -q "^6@$free.* joining"; }
wait_for 20 joins || fail "6 is not on its way in: $(cat "$work/waits.log")"
lead=$(leader) other=$(($(leader) % 3 + 1))
expect 0 "member $other at .* leads" tarn journal elect "$other"
wait_for 20 whole || fail "the group is not whole: $(tarn journal status 2>&1)"
expect 0 "member $lead at .* leads" tarn journal elect "$lead"
wait_for 20 whole || fail "the group is not whole: $(tarn journal status 2>&1)"
sleep 1 # who waits has found the leader
expect 0 '6 is no member any more' tarn journal remove 6
wait "${pids[waits]}" && fail "an add of who was taken back ends well"
unset 'pids[waits]'
grep -q 'member 6 was taken out again before it had a vote' "$work/waits.log" || fail "who waits for 6 hears: $(cat "$work/waits.log")"
tarn journal members | grep -q '^6@' && fail "who waited has added 6 again"
# who stands still is not called to lead
stopped=$(master_pid "$standby")
kill -STOP "$stopped"
silent() { tarn journal status | grep -qE "^ *$standby .*(not connected|last heard by the leader [1-9])|^ *$standby .*does not answer"; }
wait_for 20 silent || fail "$standby, which stands still, is as before: $(tarn journal status 2>&1)"
expect 1 "has not heard member $standby|does not reach member $standby" tarn journal elect "$standby"
expect 3 "$standby at 127.0.0.1:[0-9]* does not answer" tarn journal snapshot --all
kill -CONT "$stopped"
wait_for 60 whole || fail "$standby does not go on: $(tarn journal status 2>&1)"
expect 0 'an image up to record' tarn journal snapshot "$standby"
began=$SECONDS
expect 1 '9 is no member' tarn journal snapshot 9
[ $((SECONDS - began)) -lt 4 ] || fail "that 9 is no member took $((SECONDS - began)) s"

# one that is removed says so, also when it starts again
expect 0 "$standby is no member any more" tarn journal remove "$standby"
not_ready() {
    [ "$(curl -s --max-time 10 -o "$work/body" -w '%{http_code}' "http://$(grep -o "master-$standby http://[0-9.:]*" "$work/up.log" | head -1 | cut -d/ -f3)/readyz")" = 503 ] &&
        grep -q 'no member of its group any more' "$work/body"
}
says() { grep -q "member $standby is no member of its group any more" "$1"; }
wait_for 30 says "$work/up/master-$standby.log" || fail "the one that was removed does not say so"
wait_for 10 not_ready || fail "/readyz of one that was removed: $(cat "$work/body")"
expect 0 "note: the master at .*, number $standby, is no member any more" tarn journal status
expect 1 "$standby is no member" tarn journal snapshot "$standby"
kill -9 "$stopped"
wait_for 20 grep -q "^  .*journal.id=$standby " "$work/up.log" || fail "tarn up does not say how to start $standby again"
$(grep "^  .*journal.id=$standby " "$work/up.log") >> "$work/gone.log" 2>&1 &
pids[gone]=$!
wait_for 30 says "$work/gone.log" || fail "the one that was removed does not say so when it starts again"
kill9 gone
# two are left: neither is replaced, as a single one would vote
expect 1 'a single one would vote' tarn journal replace "$(leader)" "4@$free" --timeout 3s
# what was given is kept to, also when the leader stands still while it is asked
stopped=$(pgrep -f "tarn master .*journal.id=$(leader) .*$work/" | head -1)
(sleep 0.3 && kill -STOP "$stopped" && sleep 4 && kill -CONT "$stopped") &
sleep 0.4
took=$( { time -p timeout 20 tarn journal priority "$standby" 1 --timeout 1s; } 2>&1 | awk '/^real/ {print int(10 * $2)}')
[ "$took" -le 18 ] || fail "--timeout 1s took $took tenths of a second"
wait_for 30 leader || fail "nobody leads any more"
sleep 4
# the last one: nobody else could lead or take its place, and that is said at once
two() { json | grep -q '"voters":2,"voters_up":2,.*"ok":true'; }
wait_for 30 two || fail "not two: $(tarn journal status 2>&1)"
expect 0 'is no member any more' tarn journal remove "$(leader)"
one() { json | grep -q '"voters":1,"voters_up":1,.*"ok":true'; }
wait_for 30 one || fail "not one: $(tarn journal status 2>&1)"
began=$SECONDS
expect 1 'nobody would be left to vote' tarn journal remove "$(leader)"
expect 1 'nobody else could lead: no other one votes' tarn journal elect
expect 1 'nobody else votes: .*journal add. the new one first' tarn journal replace "$(leader)" "4@$free" --force
[ $((SECONDS - began)) -lt 10 ] || fail "to say that took $((SECONDS - began)) s"
echo "ok"
