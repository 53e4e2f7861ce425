#!/bin/bash
# ZooKeeper loses its data while masters run: who leads goes on, the path is made again by those who run, another one can
# lead.  Then its path is removed by hand, and then older data are brought back.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
unset TARN_CONFIG
need_zookeeper
zk_ensemble 1

whole() { json | grep -q '"voters_up":3,"tolerates":2,"ok":true' && nodes; }
nodes() { [ "$(tarn zk ls /masters 2> /dev/null | paste -sd,)" = 1,2,3 ] && [ "$(tarn zk ls /election | wc -l)" = 3 ]; }
term_of() { json | grep -o '"term":[0-9]*' | head -1; }
said() { [ "$(grep -l "$1" "$work"/up/master-*.log | wc -l)" = "$2" ]; }
other_leads() { local n; n=$(leader) && [ "$n" ] && [ "$n" != 0 ] && [ "$n" != "$1" ]; }
makes() { timeout 20 tarn fs mkdir "/$1" > "$work/made" 2>&1 || fail "/$1: $(cat "$work/made")"; }
goes_on() { # goes_on WHAT: another one can lead
    wait_for 60 whole || fail "$1: not whole: $(tarn journal status 2>&1)"
    expect 0 '^[0-9a-f]{32}$' tarn zk get /cluster
    makes "$1-after"
    wait_for 30 whole || fail "$1: not whole: $(tarn journal status 2>&1)"
    local old new
    old=$(leader) new=$((old % 3 + 1))
    expect 0 "member $new at .* leads" tarn journal elect "$new"
    makes "$1-elected"
}

mkdir -p "$work/up"
group_up 256MiB --journal zk --mode through --set "journal.zk.connect=$zk_connect/clusters/t" --set journal.zk.session=2s \
    --set "worker.listen=127.0.0.1:$((port + 11))"
for i in 1 2 3 4 5; do makes "dir-$i"; done
# a server alone counts its changes from 1: what was seen must be more than it has soon
for i in 1 2 3; do
    wait_for 30 whole || fail "not whole: $(tarn journal status 2>&1)"
    tarn journal elect > "$work/elected" 2>&1 || fail "elect: $(cat "$work/elected")"
done
wait_for 30 whole || fail "not whole: $(tarn journal status 2>&1)"
before=$(leader),$(term_of)
cp -r "$work/zk1/version-2" "$work/older"

# --- all of it is gone ---
zk_kill 1
rm -rf "$work/zk1/version-2"
makes without
began=$SECONDS
expect 1 'the leader has no ZooKeeper session' tarn journal elect
[ $((SECONDS - began)) -le 5 ] || fail "elect says so after $((SECONDS - began)) s"
makes without-2
zk_start 1
zk_wait_ready 1
wait_for 60 said 'has lost its data, or was put back to older ones' 3 || fail "not a word: $(tail -n 5 "$work"/up/master-*.log)"
said 'goes on leading, and takes part anew' 1 || fail "who goes on leading? $(grep -h 'lost its data' "$work"/up/master-*.log)"
wait_for 60 whole || fail "not whole: $(tarn journal status 2>&1)"
leads_still() { [ "$(leader),$(term_of)" = "$before" ]; }
wait_for 20 leads_still || fail "$before led, now $(leader),$(term_of)"
goes_on wiped

# --- its path is removed ---
java -XX:TieredStopAtLevel=1 -cp "$zk_jars" org.apache.zookeeper.ZooKeeperMain -server "$zk_connect" deleteall /clusters > "$work/cli.log" 2>&1
wait_for 30 grep -q "path was removed from ZooKeeper" "$work"/up/master-*.log || fail "not a word: $(cat "$work/cli.log"; tail -n 5 "$work"/up/master-*.log)"
goes_on removed
losses() { tarn status --json --set client.masters="127.0.0.1:$((port + $1 - 1))" --set journal.members= | tr -d ' \t\n"' | grep -o 'losses:[12]\b'; }
for i in 1 2 3; do losses $i > /dev/null || fail "master $i tells of no loss: $(tarn status --json)"; done

# --- an older state, in which nobody is as they are now ---
wait_for 30 whole || fail "not whole: $(tarn journal status 2>&1)"
zk_kill 1
rm -rf "$work/zk1/version-2"
cp -r "$work/older" "$work/zk1/version-2"
zk_start 1
zk_wait_ready 1
makes older
wait_for 60 whole || fail "older: not whole: $(tarn journal status 2>&1)"
old=$(leader)
kill -9 "$(master_pid "$old")"
wait_for 30 other_leads "$old" || fail "nobody leads after $old: $(tarn journal status 2>&1)"
makes last

# --- words: of one that cannot lead, of a directory without a journal, of waiting for a leader ---
again() { # again ID [options]: a master of that number, on its own
    tarn master --set journal.id="$1" --set "master.listen=127.0.0.1:$((port + $1 - 1))" --set "master.dir=$work/own-$1" "${@:2}" > "$work/again.log" 2>&1 &
    pids[again]=$!
}
again "$old" --set journal.zk.connect=127.0.0.1:1/t
cannot() { tarn journal elect "$old" > "$work/said" 2>&1; grep -q "member $old cannot lead: no ZooKeeper session, for [0-9]* s; .tarn journal status. says what to do" "$work/said"; }
wait_for 30 cannot || fail "elect says: $(cat "$work/said")"
kill9 again
mkdir "$work/empty"
expect 1 "cannot serve from journal.zk.shared_dir $work/empty: no such file" timeout 30 tarn master --set "journal.id=$old" --set "master.listen=127.0.0.1:$((port + old - 1))" --set "master.dir=$work/own-$old" --set "journal.zk.shared_dir=$work/empty"
zk_kill 1
kill -9 "$(master_pid "$(leader)")"
expect 3 'tarn journal snapshot: nobody leads: waiting for a leader' tarn journal snapshot -t 5s
term up || fail "tarn up's end"
echo ok
