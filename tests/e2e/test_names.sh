#!/bin/bash
# Listings through a mount are those of the under-store: of many small directories and of a large
# one, with attributes and without, cold and warm, after changes below and through the mount.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
python3 - "$store" <<'P' || fail "no tree"
import os, sys
top = sys.argv[1]
for d in range(40):
    os.mkdir(f"{top}/d{d}")
    for i in range(d * 7): open(f"{top}/d{d}/f{i}", "w").write("x" * i)
    os.mkdir(f"{top}/d{d}/sub"); os.symlink("f1", f"{top}/d{d}/link")
os.mkdir(f"{top}/large")
for i in range(1500): open(f"{top}/large/a-rather-long-name-{i:06d}", "w").close()
P
config through 200ms
start_master; start_worker 1; start_mount M
m=$work/M
same() { # same WHAT COMMAND...: in both trees
    local what=$1; shift
    diff <(cd "$store" && "$@" 2>&1) <(cd "$m" && "$@" 2>&1) > "$work/diff" || fail "$what: $(head "$work/diff")"
}
names() { find . -name .tarn -prune -o -print | LC_ALL=C sort; }
attributes() { find . -name .tarn -prune -o ! -type d -printf '%p %y %s %m %T@ %l\n' | LC_ALL=C sort; }
same "cold names" names
tarn status --json > "$work/status"
tr -d '\t ' < "$work/status" | grep -Eq '^"names":[1-9]'  || fail "names did not come from below: $(grep ufs "$work/status")"
same "warm names" names
[ "$(stat -c %s "$m/d39")" = 4096 ] || fail "a directory's size changes as its names become known"
same "attributes" attributes
same "attributes again" attributes
touch "$store/large/new" "$m/large/new2"; rm "$store/d39/f3" "$m/d39/f4"; echo longer > "$store/d38/f2"
chmod 600 "$store/d37/f1"; mkdir "$m/d1/made"; mv "$m/d36/f1" "$m/d35/moved"
sleep 0.5
same "names after changes" names
same "attributes after changes" attributes
(cd "$m/large" && ls) > "$work/ls"; [ "$(wc -l < "$work/ls")" = 1502 ] || fail "ls shows $(wc -l < "$work/ls")"
rm -r "$m/large" "$m/d39" || fail "rm -r"
same "names after rm" names
# a listing that lasts while others change the directory shows what stays, once
python3 - "$m/d38" "$store/d38" <<'P' || fail "a listing under changes"
import os, sys, threading
stop = False
def change():
    i = 0
    while not stop:
        open(f"{sys.argv[1]}/t{i}", "w").close(); os.unlink(f"{sys.argv[1]}/t{i}"); i += 1
t = threading.Thread(target=change); t.start()
want = {n for n in os.listdir(sys.argv[2]) if n[0] != "t"}
try:
    for _ in range(8):
        have = [n for n in os.listdir(sys.argv[1]) if n[0] != "t"]
        assert len(have) == len(set(have)) and set(have) == want, set(have) ^ want
finally:
    stop = True; t.join()
P
# the benchmark of names measures, and compares what its programs print
tarn bench names --files 100 --rounds 1 --dir "$work" --json > "$work/bench.json" 2> "$work/bench.log" || fail "tarn bench names"
grep -q '"tarn: rm -r"' "$work/bench.json" || fail "tarn bench names left out a row"
