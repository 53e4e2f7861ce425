#!/bin/bash
# docs/limits.md, "What no journal does without room": what is read while no record can be written, and what is not; with room all goes on.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
mkdir -p "$work/master" "$store/below"
mount_small 24m "$work/master" || skip "a small file system cannot be mounted here (needs root)"
for i in 1 2 3; do echo "content of $i" > "$store/f-$i"; done
echo below > "$store/below/file"
config through 1s
sed -i 's/"deadline": "10s"/"deadline": "4s"/' "$TARN_CONFIG"
fill() { head -c 100M /dev/zero 2> /dev/null >> "$work/master/filler"; }
until_full() { # until_full DIR PREFIX: makes directories there until none can be made
    local i
    : > "$work/refused.log"
    for i in $(seq 4000); do
        [ $((i % 20)) != 1 ] || fill # what images made room for is taken, too
        # one whose outcome could not be written waits for room, until its deadline
        mkdir "$1/$2-$i" 2> "$work/refused.log" || grep -q 'timed out' "$work/refused.log" || break
    done
    grep -q 'No space left' "$work/refused.log" || fail "it never gets full: $(cat "$work/refused.log")"
}
reads() { [ "$(timeout 20 cat "$1" 2>> "$work/reads.log")" = "$2" ]; }

# --- names in an under-store ---
start_master
start_worker 5
start_mount M
mkdir "$work/M/full" || fail "mkdir"
for i in 1 2 3; do # what changed just now is looked at once more, which is a record
    ls "$work/M" > /dev/null
    reads "$work/M/f-1" "content of 1" && reads "$work/M/f-3" "content of 3" || fail "f-$i: $(cat "$work/reads.log")"
    sleep 1.2
done
exec 8< "$work/M/f-2"
until_full "$work/M/full" d
sleep 1.5 # every look is over
reads /dev/fd/8 "content of 2" || fail "full, and what is open cannot be read"
reads "$work/M/f-1" "content of 1" || fail "full, and f-1, which is known, cannot be read: $(cat "$work/reads.log")"
reads "$work/M/f-3" "content of 3" || fail "full, and f-3, which is known, cannot be opened: $(cat "$work/reads.log")"
cat "$work/M/below/file" 2>&1 | grep -q 'No space left' || fail "a name that needs a record is read"
echo "other content" > "$store/f-3"
sleep 1.5
cat "$work/M/f-3" 2>&1 | grep -q 'No space left' || fail "a file that differs below is read as it was: stale"
timeout 30 tarn fs ls / --set client.deadline=3s > "$work/ls.log" 2>&1 && fail "a session begins without a record"
grep -q 'connecting: no space left: the masters at .* take no new session while their journal is full' "$work/ls.log" || fail "ls says $(cat "$work/ls.log")"
exec 8<&-
rm "$work/master/filler"
wait_for 20 mkdir "$work/M/with-room" || fail "with room again nothing is written"
reads "$work/M/f-3" "other content" && reads "$work/M/below/file" below && tarn fs ls / > /dev/null || fail "with room again not all is read: $(cat "$work/reads.log")"
term mount-M && term worker5 && term master || fail "the end"

# --- no under-store: every name is read ---
rm -rf "${work:?}"/master/*
sed -i 's/"ufs": "[^"]*", "mode": "through"/"mode": "meta"/' "$TARN_CONFIG"
start_master
start_mount N
mkdir -p "$work/N/full" "$work/N/a/b/c" || fail "mkdir"
until_full "$work/N/full" d
[ -d "$work/N/a/b/c" ] && [ "$(ls "$work/N/full" | wc -l)" -gt 10 ] && [ "$(ls "$work/N/a")" = b ] || fail "full, and names are not read"
rm "$work/master/filler"
wait_for 20 mkdir "$work/N/with-room" || fail "with room again nothing is written"
term mount-N && term master || fail "the end"
echo ok
