#!/bin/bash
# An under-store that hangs, as a dead NFS server does: who asks for it gets an error at the deadline or
# ends when it is told to, and everybody else is served: what is cached, names of other mounts, the journal.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
command -v cc > /dev/null && cc -shared -fPIC -o "$work/eio.so" "$here/tests/e2e/eio.c" -ldl 2> /dev/null || skip "no C compiler for the hanging disk"
case "$(ldd "$build/tarn")" in *libasan*) skip "a sanitizer does not like LD_PRELOAD" ;; esac
export EIO_ROOT=$store EIO_FLAG=$work/eio.flag
hangs() { echo -n "$1" > "$work/eio.new" && mv "$work/eio.new" "$EIO_FLAG"; }
config through 60s '"client": {"deadline": "6s", "direct_under_store": false}'
python3 - "$TARN_CONFIG" <<'END'
import json, sys
c = json.load(open(sys.argv[1]))
c["mounts"].append({"path": "/names", "mode": "meta"})
json.dump(c, open(sys.argv[1], "w"))
END
for n in $(seq 12); do head -c 100000 /dev/urandom > "$store/u$n"; done
head -c 3000000 /dev/urandom > "$store/cached"; cp "$store/cached" "$work/cached"
hangs ""
LD_PRELOAD=$work/eio.so start_master
LD_PRELOAD=$work/eio.so start_worker 1
start_mount A -o direct_io
tarn fs load /cached > /dev/null || fail load
ls "$work/A" > /dev/null
hangs h
readers=()
for n in $(seq 12); do cat "$work/A/u$n" > /dev/null 2>> "$work/errors" & readers+=($!); done
sleep 1
# others are served meanwhile
timeout 5 cmp "$work/A/cached" "$work/cached" || fail "a cached file is not served beside reads that hang"
timeout 5 mkdir "$work/A/names/one" || fail "the journal waits for an under-store"
# who is told to end ends
kill -KILL "${readers[0]}"
wait "${readers[0]}" 2> /dev/null
bad=0
for n in 1 2 3 4 5 6 7 8 9 10 11; do wait "${readers[$n]}" && bad=$((bad + 1)); done
[ $bad = 0 ] || fail "$bad readers of an under-store that hangs say that all is well"
grep -q 'timed out' "$work/errors" || fail "not a time-out: $(sort -u "$work/errors")"
hangs ""
wait_for 30 cmp "$work/A/u3" "$store/u3" || fail "reads do not go on"
# names
hangs l
askers=()
for n in $(seq 12); do stat "$work/A/none$n" > /dev/null 2>> "$work/stat.errors" & askers+=($!); done
sleep 1
timeout 5 mkdir "$work/A/names/two" || fail "the journal waits for names of an under-store"
timeout 5 cmp "$work/A/cached" "$work/cached" || fail "a cached file is not served beside names that hang"
for j in "${askers[@]}"; do wait $j && fail "stat of an absent name in an under-store that hangs succeeded"; done
hangs ""
wait_for 30 sh -c "stat '$work/A/none1' 2>&1 | grep -q 'No such file'" || fail "names do not go on: $(stat "$work/A/none1" 2>&1)"
term mount-A || fail "the mount did not end well"
echo ok
