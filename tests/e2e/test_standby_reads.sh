#!/bin/bash
# client.read_from any: questions are answered by all of three masters, in a directory that has an
# under-store, also while one of them is killed; the simulator's checker says that no answer was old.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/group.sh"
command -v curl > /dev/null || skip "no curl"
group_up 256MiB --mode through
out=$(tarn config show --set client.read_from=anny 2>&1) && fail "a master named anny"
grep -q 'any' <<< "$out" || fail "no suggestion: $out"

served() { # answered by masters while another one led
    local i n=0 at
    for i in 1 2 3; do
        at=$(grep -oE "master-$i http://[0-9.:]+" "$work/up.log" | head -1 | cut -d' ' -f2)
        n=$((n + $(curl -s --max-time 20 "$at/metrics" | awk '$1 == "tarn_master_standby_reads_total" {n = $2} END {print n + 0}')))
    done
    echo "$n"
}
served_more() { [ "$(served)" -ge "$1" ]; }
standby() { local l=$(leader); [ "$l" ] && master_pid $((l % 3 + 1)); }
chaos load "127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))" / "$work/history" -t 1000 -k 64 -a > "$work/load.log" 2>&1 &
pids[load]=$!
wait_for 40 served_more 60 || fail "standbys answered $(served) times"
pid=$(standby)
[ "$pid" ] || fail "who leads?"
kill -9 "$pid"
n=$(served) # of the one that is left
wait_for 40 served_more $((n + 60)) || fail "after the death of one: $(served), not more than $n"
term load || fail "the clients: $(cat "$work/load.log")"
chaos check "$work/history" || fail "the history"
cat "$work/load.log"
echo "standbys answered $(served) times"
term up || fail "tarn up's end"
