#!/bin/bash
# Three masters with a ZooKeeper journal, and the shared directory stands still: whoever is told to stop ends within a bound, and
# its ZooKeeper session with it.  When the directory answers again who is left leads.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
need_zookeeper
need_fuse
whole() { json | grep -q '"voters_up":3,"tolerates":2,"ok":true'; }
gone() { ! kill -0 "$1" 2> /dev/null; }
alone() { [ "$(tarn zk ls masters 2> /dev/null)" = "$third" ]; }
# Who waits for a request that the server has begun cannot be killed: it stops between them.
stops_at_rest() {
    kill -STOP "${pids[through]}"
    sleep 0.1
    ! cut -d' ' -f1 /proc/"${pids[through]}"/task/*/syscall | grep -qvxE "$at_rest" && return
    kill -CONT "${pids[through]}"
    return 1
}
third_leads() { [ "$(leader)" = "$third" ]; }

start_through "$work/behind" shared
sleep 0.3
at_rest=$(cut -d' ' -f1 /proc/"${pids[through]}"/task/*/syscall | paste -sd'|') # numbers of calls
group_up 128MiB --journal zk --mode through --set "journal.zk.shared_dir=$work/shared" --set journal.zk.session=2s

first=$(leader) && second=$((first % 3 + 1)) && third=$((second % 3 + 1))
a=$(master_pid "$first") b=$(master_pid "$second")
wait_for 10 stops_at_rest || fail "never at rest: $(cat /proc/"${pids[through]}"/task/*/syscall)"
sleep 0.3
kill -TERM "$a" "$b"
wait_for 18 gone "$a" || fail "the leader does not end: $(tail -5 "$work/up/master-$first.log")"
wait_for 12 gone "$b" || fail "the standby does not end: $(tail -5 "$work/up/master-$second.log")"
grep -q "calls there do not end: member $second stops without waiting" "$work/up/master-$second.log" ||
    fail "not a word: $(tail -5 "$work/up/master-$second.log")"
wait_for 1 alone || fail "their sessions did not end with them: $(tarn zk ls masters 2>&1)"

kill -CONT "${pids[through]}"
wait_for 30 third_leads || fail "$third does not lead: $(tarn journal status 2>&1)"
expect 0 'an image up to record' tarn journal snapshot
echo ok
