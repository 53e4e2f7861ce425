#!/bin/bash
# A worker killed under a reader, a flipped bit in a cached page, a full worker disk, a file replaced while it is read.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
config ro 0
head -c 60000000 /dev/urandom > "$store/big"
for i in 1 2 3 4 5 6 7 8; do head -c 3000000 /dev/urandom > "$store/f$i"; done
start_master; start_worker 1; start_worker 2
start_mount m
# kill -9 under readers: right bytes all the same
(for k in 1 2 3; do cmp "$store/big" "$work/m/big" || exit 1; for i in 1 2 3 4 5 6 7 8; do cmp "$store/f$i" "$work/m/f$i" || exit 1; done; done) > "$work/readers.log" 2>&1 &
reader=$!
sleep 0.3; kill9 worker1
sleep 0.5; start_worker 1
sleep 0.3; kill9 worker2
wait $reader || fail "a reader got an error or wrong bytes: $(cat "$work/readers.log")"
start_worker 2
# every cached page gets a flipped bit: found, fetched again, counted
tarn fs load / > /dev/null || fail load
for w in 1 2; do term worker$w || fail "worker $w: SIGTERM"; done
flipped=0
for f in $(find "$work"/worker[12] -name '*.data' -size +1000k); do
    printf '\377' | dd of="$f" bs=1 seek=70001 conv=notrunc status=none
    printf '\000' | dd of="$f" bs=1 seek=70002 conv=notrunc status=none
    flipped=$((flipped + 1))
done
[ $flipped -gt 0 ] || fail "no cached files were found"
start_worker 1; start_worker 2
wait_for 10 sh -c '[ "$(tarn status --all | grep -c "alive *\(1\|true\|yes\)")" -ge 2 ]' || true
umount "$work/m" 2>/dev/null || fusermount3 -u "$work/m"; unset 'points[m]'
start_mount n
for i in 1 2 3 4 5 6 7 8; do cmp "$store/f$i" "$work/n/f$i" || fail "wrong bytes from a damaged page of f$i"; done
cmp "$store/big" "$work/n/big" || fail "wrong bytes from a damaged page of big"
corrupt=$(tarn status --all --fresh | awk '$1 ~ /corrupt$/ {s += $2} END {print s + 0}')
[ "$corrupt" -gt 0 ] || fail "damaged pages were not counted: $(tarn status --all | grep corrupt)"
# replaced while read: one open never sees two versions
exec 5< "$work/n/f1"
head -c 100000 <&5 | cmp -n 100000 - "$store/f1" || fail "first part"
cp "$store/f1" "$work/f1.old"
head -c 3000000 /dev/zero > "$work/f1.new"; cp "$work/f1.new" "$store/f1.tmp"; mv "$store/f1.tmp" "$store/f1"
cat <&5 > "$work/rest" 2> /dev/null
exec 5<&-
size=$(stat -c %s "$work/rest")
cmp -n "$size" <(tail -c +100001 "$work/f1.old" 2>/dev/null) "$work/rest" || {
    # the reader of head may have taken more than it showed: compare from the end of what it buffered
    off=$((3000000 - size)); cmp <(tail -c +$((off + 1)) "$work/f1.old") "$work/rest" || fail "one open mixed two versions"; }
cmp "$store/f1" "$work/n/f1" || fail "a new open did not see the new file"
echo "ok: $flipped files damaged, $corrupt pages found"
