#!/bin/bash
# ./quickstart --once on a small tree, with the mount and (in a mount namespace without /dev/fuse) without it.
. "$(dirname "$0")/lib.sh" "$@"
mkdir -p "$store/sub dir"
cp -r "$here/core" "$store/"; head -c 3000000 /dev/urandom > "$store/sub dir/random"; : > "$store/empty"
cp -r "$here/tests" "$store/"
unset TARN_CONFIG
# its own copy of the tree, so that a quickstart of the user's is not disturbed
mkdir "$work/clone" && cd "$here" && git ls-files -z | xargs -0 cp --parents -t "$work/clone" || fail "copy"
mkdir -p "$work/clone/build" && cd "$work/clone" || fail cd
check_table() { # check_table LOG
    grep -q 'all .* equal' "$1" || fail "sums: $(cat "$1")"
    grep -q '1.00 x the data' "$1" || fail "each byte once from the under-store: $(grep under-store "$1")"
    for word in files bytes 'cold read' 'warm read' 'hit ratio' 'What to try next'; do grep -q "$word" "$1" || fail "no \"$word\" in: $(cat "$1")"; done
}
timeout 300 ./quickstart --once "$store" > "$work/q1.log" 2> "$work/q1.err" || fail "quickstart: $(cat "$work/q1.log" "$work/q1.err")"
check_table "$work/q1.log"
mounted "$work/clone/mnt" && fail "still mounted"
./quickstart --wrong > /dev/null 2>&1; [ $? = 2 ] || fail "an unknown option"
./quickstart /does/not/exist --once 2> "$work/q2.err" && fail "a missing directory"
if unshare -m true 2> /dev/null; then
    timeout 300 unshare -m bash -c 'touch '"$work"'/nofuse && mount --bind '"$work"'/nofuse /dev/fuse && exec ./quickstart --once "$0"' "$store" > "$work/q3.log" 2> "$work/q3.err" || fail "without fuse: $(cat "$work/q3.log" "$work/q3.err")"
    grep -q 'tarn fs get' "$work/q3.err" || fail "does not say that it reads without a mount"
    check_table "$work/q3.log"
fi
echo ok
