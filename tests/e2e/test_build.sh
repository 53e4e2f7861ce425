#!/bin/bash
# People's programs on the mount: git clone, a build with meson and ninja, a database in every journal
# mode.  BUILD_TARGETS=all builds everything (nightly).
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
for p in git meson ninja; do command -v $p > /dev/null || skip "$p is not installed"; done
config through 1s
start_master; start_worker 1; start_worker 2; start_mount A; start_mount B
export HOME=$work
printf '[safe]\n\tdirectory = *\n[user]\n\tname = t\n\temail = t@example.org\n[gc]\n\tauto = 0\n' > "$work/.gitconfig"
if git -C "$here" rev-parse HEAD > /dev/null 2>&1; then
    # not the thousands of loose objects that a clone in use may have
    git clone -q $([ "${BUILD_TARGETS:-}" = all ] || echo --depth 1) "file://$here" "$work/A/tarn" || fail "git clone"
else # a copy without history
    mkdir "$work/A/tarn" && (cd "$here" && tar cf - --exclude=./build --exclude=./.git .) | tar xf - -C "$work/A/tarn" || fail "copy"
    (cd "$work/A/tarn" && git init -q && git add -A && git commit -qm all) || fail "git commit"
fi
git -C "$work/A/tarn" fsck --no-progress > "$work/fsck" 2>&1 || fail "git fsck: $(cat "$work/fsck")"
[ -z "$(git -C "$work/A/tarn" status --porcelain)" ] || fail "git status is not clean after clone"
[ -z "$(git -C "$work/B/tarn" status --porcelain)" ] || fail "git status is not clean on the other mount"
(cd "$work/A/tarn" && git checkout -q -b work && echo change >> README.md && git commit -qam change && git gc -q && git fsck --no-progress) > "$work/fsck" 2>&1 || fail "commit and gc: $(cat "$work/fsck")"
cd "$work/A/tarn" || fail cd
timeout 300 meson setup b > "$work/meson" 2>&1 || fail "meson: $(tail -n 5 "$work/meson")"
timeout 1500 ninja -C b ${BUILD_TARGETS:-libjournal.a stress-fsx} > "$work/ninja" 2>&1 || fail "ninja: $(tail -n 5 "$work/ninja")"
mkdir "$work/local"
timeout 20 "$work/B/tarn/b/stress-fsx" --ops 200 "$work/local" > /dev/null || fail "what was built does not run on the other mount"
cmp b/libjournal.a "$store/tarn/b/libjournal.a" || fail "the archive differs in the under-store"
cd /
for mode in delete truncate persist wal; do
    timeout 60 python3 - "$work/A/$mode.db" "$work/B/$mode.db" "$store/$mode.db" $mode <<'END' || fail "sqlite, journal_mode=$mode"
import os, random, sqlite3, sys
a, b, store, mode = sys.argv[1:]
db = sqlite3.connect(a, isolation_level=None)
got = db.execute("pragma journal_mode=" + mode).fetchone()[0]
assert got == mode, "journal mode is " + got
db.execute("create table t (k integer primary key, v blob)")
for i in range(25):
    db.execute("begin immediate")
    for _ in range(20):
        db.execute("insert into t (v) values (?)", (os.urandom(random.randrange(3000)),))
    db.execute("delete from t where k in (select k from t order by random() limit 7)")
    db.execute("rollback" if i % 5 == 4 else "commit")
# two connections of this host at once
other = sqlite3.connect(a)
n = other.execute("select count(*) from t").fetchone()[0]
assert n == 20 * (20 - 7), n
other.close()
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
db.close()
for path in (b, store):
    db = sqlite3.connect(path)
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok", path
    assert db.execute("select count(*) from t").fetchone()[0] == n, path
    db.close()
END
done
term mount-A && term mount-B || fail "a mount did not end well"
echo ok
