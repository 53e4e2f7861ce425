#!/bin/bash
# Three masters by `tarn up --masters 3`: the one that leads is killed again and again while files are
# written through the mount.  The mount goes on, nothing acknowledged is lost, and the killed one joins
# again when it is started.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/group.sh"
need_fuse
mkdir -p "$work/mnt"
points[up]=$work/mnt
group_up 256MiB --mode through --mount "$work/mnt"

write_files "$work/mnt" & writing=$!
wait_for 30 acked_more 5 || fail "nothing can be written"

for round in 1 2; do
    wait_for 30 whole || fail "round $round: not whole: $(tarn journal status 2>&1)"
    old=$(leader)
    pid=$(master_pid "$old")
    [ "$old" ] && [ "$pid" ] || fail "round $round: who leads? ($old $pid)"
    kill -9 "$pid"
    n=$(acked)
    wait_for 40 acked_more $((n + 10)) || fail "round $round: after the death of $old nothing is written"
    new=$(leader)
    [ "$new" != "$old" ] || fail "round $round: $old leads still"
    # as `tarn up` says it is started again
    wait_for 10 grep -q "master-$old ended" "$work/up.log" || fail "round $round: tarn up does not tell"
    $(grep -A 1 "master-$old ended" "$work/up.log" | tail -1) >> "$work/again.log" 2>&1 &
    pids[again$round]=$!
    wait_for 40 whole || fail "round $round: $old did not join again: $(tarn journal status 2>&1)"
done
touch "$work/stop"
wait $writing
acked_are_there "$work/mnt"

# asked for, it goes at once; and what must not be is refused
new=$(( $(leader) % 3 + 1 ))
tarn journal elect $new > "$work/elect.log" 2>&1 || fail "elect: $(cat "$work/elect.log")"
[ "$(leader)" = $new ] || fail "$new does not lead, it is $(leader)"
tarn journal remove 9 2> /dev/null && fail "removed a member that is none"
tarn journal add "4@127.0.0.1:$port" 2> /dev/null && fail "two members at one address"
tarn journal snapshot 9 2>&1 | grep -q "9 is no member" || fail "an image of a member that is none"
tarn journal bootstrap --set journal.id=1 --set "master.dir=$work/wiped" 2> "$work/boot.log" &&
    fail "a wiped master was made anew in a cluster that runs"
grep -q "this cluster is there already" "$work/boot.log" || fail "no good reason: $(cat "$work/boot.log")"
# one that is dead is not waited for
[ "$(leader)" != $old ] || tarn journal elect > /dev/null || fail "$old goes on leading"
term again2
wait_for 30 two || fail "not two: $(tarn journal status 2>&1)"
tarn journal elect $old -t 30s 2>&1 | grep -q "does not reach member $old" || fail "elected a dead one"
term again1

term up || fail "tarn up's end"
mounted "$work/mnt" && fail "it is mounted still"
echo "ok: $(acked) files"
