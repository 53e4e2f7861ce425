#!/bin/bash
# The shared directory is taken away from under masters that run, or emptied: they go on in files that are removed, and every
# place where one looks says so.  A backup from them has what is lost when they end.
. "$(dirname "$0")/lib.sh" "$@"
. "$(dirname "$0")/zookeeper.sh"
. "$(dirname "$0")/group.sh"
unset TARN_CONFIG
need_zookeeper
zk_ensemble 1

whole() { json | grep -q '"voters_up":3,"tolerates":2,"ok":true'; }
said() { [ "$(grep -l "$1" "$work"/up/master-*.log | wc -l)" = "$2" ]; }
makes() { timeout 20 tarn fs mkdir "/$1" > "$work/made" 2>&1 || fail "/$1: $(cat "$work/made")"; }
says() { tarn journal status > "$work/says" 2>&1; [ $? = 1 ] && grep -q "warning: the shared directory at $work/up/shared was emptied or replaced while masters run .*: what they write is in removed files" "$work/says"; }
ready() { curl -s "http://$(grep -o "master-$1 http://[0-9.:]*" "$work/up.log" | tail -1 | cut -d/ -f3)/readyz"; }

mkdir -p "$work/up"
group_up 256MiB --journal zk --mode through --set "journal.zk.connect=$zk_connect/t" --set journal.zk.session=4s --set "worker.listen=127.0.0.1:$((port + 11))"
makes first
sleep 6 # each of them has looked at it

# --- another directory is in its place, and then it is back ---
mv "$work/up/shared" "$work/away"
mkdir "$work/up/shared"
wait_for 30 says || fail "replaced, and status says: $(cat "$work/says")"
wait_for 20 said 'error.*was emptied or replaced while masters run' 3 || fail "not a word: $(tail -n 5 "$work"/up/master-*.log)"
rmdir "$work/up/shared" && mv "$work/away" "$work/up/shared"
wait_for 30 said 'is the one again that it was' 3 || fail "it is back: $(tail -n 5 "$work"/up/master-*.log)"
wait_for 30 whole || fail "it is back: $(tarn journal status 2>&1)"
makes back

# --- emptied ---
rm -rf "$work"/up/shared/*
wait_for 30 says || fail "emptied, and status says: $(cat "$work/says")"
makes late
json | grep -q '"ok":false' && json | grep -q '"room_lost":true' || fail "emptied: $(json)"
ready "$(leader)" | grep -q '"ready": true.*"degraded": "the shared directory was emptied' || fail "ready: $(ready "$(leader)")"
expect 1 'fails where the directory itself was removed' tarn journal status
expect 0 "" tarn journal backup "$work/backup"
term up # how it ends does not matter
unset TARN_CONFIG
expect 0 "" tarn journal restore "$work/backup" --to "local:$work/restored"
spawn single tarn master --set journal.type=local --set "master.dir=$work/restored" --set "master.listen=127.0.0.1:$((port + 7))" ||
    fail "no master of what was restored: $(tail -5 "$work/single.log")"
timeout 20 tarn fs ls / --set client.masters="127.0.0.1:$((port + 7))" > "$work/ls" 2>&1
grep -q '^late' "$work/ls" || fail "the backup has not what was written last: $(cat "$work/ls")"
echo ok
