#!/bin/bash
# docs/recovery.md: after a restore inode numbers are given again, and the names in .tarn of what was open then are still there.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
config through 1s
start_all() { start_master && start_worker 1 && start_mount m; }
kill_all() { for p in mount-m worker1 master; do kill9 $p; done; fusermount3 -uz "$work/m"; }
replace() { # each file replaced, and another removed, while they are open; what is open stays what it is
    python3 - "$work/m" "$1" <<'END'
import os, sys
m, what = sys.argv[1:]
held = []
for i in range(6):
    for name in "a", "c":
        f = open(f"{m}/{name}{i}", "w+b", 0)
        f.write(f"{name}{i} {what}".encode())
        held.append((f, f"{name}{i} {what}".encode()))
    with open(f"{m}/b{i}", "w") as b:
        b.write(f"b{i} {what}")
    os.rename(f"{m}/b{i}", f"{m}/a{i}")
    os.unlink(f"{m}/c{i}")
for f, text in held:
    f.seek(0)
    got = f.read(99)
    assert got == text, (got, text)
for i in range(6):
    assert open(f"{m}/a{i}").read() == f"b{i} {what}"
if what == "before":
    os.kill(os.getpid(), 9) # nobody says that they are closed
END
}
orphans() { ls "$store/.tarn" | grep -c ^orphan-; }

start_all
touch "$work/m/kept" || fail "touch"
tarn journal backup "$work/backup" > "$work/backup.log" 2>&1 || fail "backup: $(cat "$work/backup.log")"
(replace before; exit 0) 2> /dev/null & sleeper=$!
until_gone() { ! kill -0 $sleeper; }
wait_for 20 until_gone || fail "python hangs"
before=$(orphans)
kill_all
[ "$before" -ge 6 ] || skip "only $before were still there"
mv "$work/master" "$work/lost"
tarn journal restore "$work/backup" --to "local:$work/master" --force > "$work/restore.log" 2>&1 || fail "restore: $(cat "$work/restore.log")"
start_all
replace after || fail "after the restore: $(orphans) orphans"
wait_for 30 cat "$work/m/kept" || fail "kept"
echo "ok: $before orphans of before"
