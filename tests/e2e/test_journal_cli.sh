#!/bin/bash
# tarn journal dump and verify: what was done is in the log; damage is named, and nothing is changed.
. "$(dirname "$0")/lib.sh" "$@"
config through 1s
start_master
tarn journal verify "$work/master" > /dev/null 2> "$work/busy.log" && fail "verified under a running master"
grep -q "running master" "$work/busy.log" || fail "no word about the running master"
for i in 1 2 3; do tarn fs mkdir "/dir-$i" || fail "mkdir"; done
tarn fs mv /dir-3 "/dir three" || fail "mv"
# it is not taken for a group
for verb in status members elect "elect 1" "add 4@127.0.0.1:1" "remove 1" "priority 1 2" "snapshot 1"; do
    out=$(tarn journal $verb --json 2>&1); code=$?
    [ $code = 1 ] && grep -q 'is a single master, not a group' <<< "$out" || fail "journal $verb of a single master: $code, $out"
done
tarn journal snapshot > "$work/snapshot.log" 2>&1 || fail "snapshot: $(cat "$work/snapshot.log")"
# a backup while it runs; what comes later is not in it
tarn journal backup "$work/backup" > "$work/backup.log" 2>&1 || fail "backup: $(cat "$work/backup.log")"
grep -q 'cluster [0-9a-f]*, up to entry [1-9]' "$work/backup.log" || fail "backup says $(cat "$work/backup.log")"
tarn fs mkdir /later || fail "mkdir"
sleep 0.3 # the end is vouched for
kill9 master
sums() { (cd "$work/master" && sha256sum ./*); }
before=$(sums)
tarn journal verify "$work/master" > "$work/verify" || fail "verify: $(cat "$work/verify")"
grep -q '^ok: records 1 to ' "$work/verify" || fail "verify says $(cat "$work/verify")"
tarn master --check > "$work/verify" || fail "master --check: $(cat "$work/verify")"
grep -q '^ok: records 1 to ' "$work/verify" || fail "master --check says $(cat "$work/verify")"
tarn master --check --set "master.dir=$work/none" > "$work/verify" || fail "master --check of nothing: $(cat "$work/verify")"
grep -q 'there is no journal, and a start begins one' "$work/verify" && [ ! -e "$work/none" ] || fail "master --check of nothing says $(cat "$work/verify")"
tarn journal verify "local:$work/master" | grep -q '^ok' || fail "verify local:DIR"
tarn journal dump > "$work/dump" || fail "dump of master.dir"
grep -q ' mkdir .*name="dir-2"' "$work/dump" || fail "no mkdir in the dump"
grep -q ' rename .*name="dir-3" .*name2="dir three"' "$work/dump" || fail "no rename in the dump"
awk '$1 != NR {exit 1}' "$work/dump" || fail "indices with gaps"
last=$(tail -n 1 "$work/dump" | cut -d' ' -f1)
tarn journal dump --json --from 2 --to 3 "$work/master" | grep -c '"index":[23],' | grep -qx 2 || fail "dump --json"
tarn journal dump --json "$work/master" | python3 -c 'import json, sys; d = json.load(sys.stdin); assert [r["index"] for r in d] == list(range(1, len(d) + 1)) and all(type(r["time_ns"]) is int for r in d if "time_ns" in r)' || fail "dump --json is no JSON"
tarn journal dump --all "$work/master" | grep -q '^# .*wal-0000000000000001: from record 1, epoch 1' || fail "dump --all"
[ "$before" = "$(sums)" ] || fail "looking changed something"
# a header alone
cp -r --sparse=always "$work/master" "$work/headless"
head -c 4096 /dev/urandom | dd of="$work/headless/wal-0000000000000001" conv=notrunc status=none
tarn journal dump "$work/headless" > "$work/dump2" 2> "$work/dump2.log"; code=$?
[ $code = 5 ] && grep -q 'wal-0000000000000001: its header: ' "$work/dump2.log" || fail "dump of a log without its header: $code, $(cat "$work/dump2.log")"
rm -rf "$work/headless"
# one bit in the second batch
printf '\377' | dd of="$work/master/wal-0000000000000001" bs=1 seek=$((2 * 4096 + 70)) conv=notrunc status=none
before=$(sums)
tarn journal verify "$work/master" > "$work/verify" 2>&1; code=$?
[ $code = 5 ] || fail "verify of a damaged log ends with $code"
grep -q 'wal-0000000000000001: damaged at offset 8192: .*Restore' "$work/verify" || fail "verify says $(cat "$work/verify")"
tarn journal verify --json "$work/master" | grep -q '"starts":.*false' || fail "verify --json"
tarn journal dump "$work/master" > "$work/dump2" 2> "$work/dump2.log"; code=$?
[ $code = 5 ] || fail "dump of a damaged log ends with $code"
grep -q 'offset 8192: not intact' "$work/dump2.log" || fail "dump says $(cat "$work/dump2.log")"
tail -n 1 "$work/dump2" | grep -q "^$last " || fail "the dump stops at the damage"
tarn master --check > "$work/refused.log" 2>&1; code=$?
[ $code = 5 ] || fail "master --check of a damaged log ends with $code"
tarn master > "$work/refused.log" 2>&1; code=$?
[ $code = 1 ] || fail "a master on a damaged log ends with $code"
[ "$before" = "$(sums)" ] || fail "a refused start changed something"
tarn journal verify "$work/nowhere" 2> /dev/null; [ $? = 1 ] || fail "verify of nothing"
[ ! -e "$work/nowhere" ] || fail "verify made a directory"
# the backup makes a group of the single master
sed 's/"journal": {/"journal": {"type": "raft", "id": 1, "members": "1@127.0.0.1:'$port'", /' "$TARN_CONFIG" > "$work/group.json"
export TARN_CONFIG=$work/group.json
tarn journal restore "$work/backup" --dir "$work/master1" > "$work/restore.log" 2>&1 || fail "restore: $(cat "$work/restore.log")"
start_master --set "master.dir=$work/master1"
wait_for 30 tarn fs stat "/dir three" || fail "what was in the backup is lost: $(tarn fs ls / 2>&1)"
tarn journal members | grep -q '^1@.* leader' || fail "no group: $(tarn journal members 2>&1)"
echo "ok: $last records"
