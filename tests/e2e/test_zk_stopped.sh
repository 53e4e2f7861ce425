#!/bin/bash
# Commands that need the masters of a shared directory stopped: one that was killed and started again runs, though it has no
# node in ZooKeeper for a while; a backup has what was acknowledged while it waited.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
need_zookeeper
need_fuse
start_through "$work/behind" shared
zk_ensemble 1
cat > "$TARN_CONFIG" <<END
{"master": {"listen": "127.0.0.1:$port", "memory": "256MiB", "lease": "2s", "session": "6s"}, "client": {"deadline": "20s"},
 "journal": {"type": "zk", "segment": "1MiB", "image_after": "1MiB",
             "zk": {"connect": "$zk_connect/t", "shared_dir": "$work/behind", "session": "6s"}},
 "mounts": [{"path": "/", "mode": "meta"}]}
END
tarn journal bootstrap > "$work/bootstrap.log" 2>&1 || fail "bootstrap: $(cat "$work/bootstrap.log")"
start() { spawn m tarn master --set journal.id=1 --set "master.dir=$work/own" || fail "no master: $(tail -5 "$work/m.log")"; }
start
wait_for 30 tarn fs mkdir /a || fail "nobody leads: $(tail -5 "$work/m.log")"

# the same files by another way, at which no master holds a lock, as from another host
from() { "$@" --set "journal.zk.shared_dir=$work/shared" --set journal.members= --set client.masters=127.0.0.1:1; }
migrate() { from tarn journal migrate --from "zk:$work/shared" --to "local:$work/l" --dry-run > "$work/said" 2>&1; }

# --- killed, and started again at once ---
for try in 1 2; do
    kill9 m
    start
    migrate && fail "try $try: a master that was started again is taken for none: $(cat "$work/said")"
    grep -q "master 1 at 127.0.0.1:$port runs, in this cluster: it has a node in ZooKeeper" "$work/said" || fail "try $try: $(cat "$work/said")"
done

# --- it goes on while a backup waits whether it runs, and is stopped then ---
from tarn journal backup "$work/backup" --from "zk:$work/shared" > "$work/said" 2>&1 &
backup=$!
wait_for 10 grep -q "waiting whether it was killed" "$work/said" || fail "does not wait: $(cat "$work/said")"
for i in $(seq 20); do tarn fs mkdir "/late-$i" || fail "mkdir $i"; done
term m || fail "the master does not end"
wait $backup || fail "backup: $(cat "$work/said")"
grep -q 'note: no master has a node in ZooKeeper .*Be sure that all masters are stopped' "$work/said" || fail "not a word: $(cat "$work/said")"
entry() { grep -o 'up to entry [0-9]*' "$work/said" | grep -o '[0-9]*'; }
last=$(tarn journal verify "$work/behind" --json | grep -o '"last_index":[^,]*' | grep -o '[0-9]*')
[ "$(entry)" = "$last" ] || fail "the backup has $(entry) of $last: $(cat "$work/said")"

# --- another path, and another cluster's ---
from tarn journal migrate --from "zk:$work/shared" --to "local:$work/l" --dry-run --set "journal.zk.connect=$zk_connect/other" > "$work/said" 2>&1 || fail "$(cat "$work/said")"
grep -q 'note: ZooKeeper at .*/other has no cluster there' "$work/said" || fail "not a word of a wrong path: $(cat "$work/said")"

echo ok
