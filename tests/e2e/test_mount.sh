#!/bin/bash
# A real mount on a `through` under-store: POSIX in everyday use, two mounts, master restarts, clean ends.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
config through 1s
start_master; start_worker 1; start_worker 2
start_mount m
cd "$work/m" || fail cd
mkdir d && echo one > d/f && echo two >> d/f || fail "write"
[ "$(cat d/f)" = "$(printf 'one\ntwo')" ] || fail "read back: $(cat d/f)"
[ "$(cat "$store/d/f")" = "$(printf 'one\ntwo')" ] || fail "the under-store: $(cat "$store/d/f")"
mv d/f d/g && ln d/g d/h && ln -s g d/s && [ "$(cat d/s)" = "$(cat d/h)" ] || fail "names"
[ "$(stat -c %h d/g)" = 2 ] || fail "link count"
chmod 640 d/g && [ "$(stat -c %a "$store/d/g")" = 640 ] || fail chmod
touch -d '2001-02-03 04:05:06.789' d/g && [ "$(stat -c %Y "$store/d/g")" = "$(date -d '2001-02-03 04:05:06' +%s)" ] || fail "times: $(stat -c %y "$store/d/g")"
truncate -s 100 d/g && [ "$(stat -c %s "$store/d/g")" = 100 ] || fail truncate
truncate -s 1000000 d/g && cmp -n 999000 -i 1000 d/g /dev/zero || fail "sparse read"
rmdir d 2>/dev/null && fail "rmdir of a full directory"
exec 6<> d/open; rm d/open; echo still here >&6; exec 7< /dev/fd/6; [ "$(cat <&7)" = "still here" ] || fail "unlinked while open"; exec 6>&- 7<&-
mkfifo d/fifo && [ -p d/fifo ] || fail mkfifo
if command -v setfattr > /dev/null; then
    setfattr -n user.k -v v d/g && [ "$(getfattr --only-values -n user.k d/g)" = v ] || fail xattr
    setfattr -x user.k d/g && getfattr -n user.k d/g 2> /dev/null && fail "xattr removed"
fi
mv d e && [ -d "$store/e" ] || fail "rename of a directory"
mkdir -p x/y/z; mv x x/y/z/x 2>/dev/null && fail "a directory moved into itself"
seq 1500 | sed 's,^,e/n,' | xargs touch # several pages of a listing
[ "$(ls e | grep -c '^n')" = 1500 ] || fail "listing of 1500: $(ls e | grep -c '^n')"
rm -rf e x && [ -z "$(ls -A)" ] || fail "rm -rf left $(ls -A)"
df . > /dev/null || fail df
mkdir in in/side
if mount -t tmpfs none in/side 2> /dev/null; then # it stays, whatever names are told to be forgotten
    touch in/side/x
    for i in 1 2 3; do
        mkdir in/new$i && [ -d in/new$i ] && tarn fs mv /in/new$i /moved$i && [ -d moved$i ] || fail "what another did"
        [ -e in/side/x ] || fail "a file system in a directory of the mount is gone"
    done
    umount in/side || fail "umount of what was mounted inside"
    rmdir moved1 moved2 moved3
fi
rm -rf in
dd if=/dev/urandom of=big bs=1M count=20 status=none && cmp big "$store/big" || fail "20 MiB written"
dd if=big of=/dev/null bs=4k status=none || fail "read 4k"
python3 - <<'P' || fail "random writes and reads"
import os, random
random.seed(5)
model = bytearray(300000)
fd = os.open("rnd", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, len(model))
for i in range(300):
    off = random.randrange(len(model) - 5000); n = random.randrange(1, 5000)
    if random.random() < .5:
        b = random.randbytes(n); os.pwrite(fd, b, off); model[off:off + n] = b
    else:
        assert os.pread(fd, n, off) == bytes(model[off:off + n]), (i, off, n)
os.fsync(fd); os.close(fd)
assert open("rnd", "rb").read() == bytes(model)
P
cmp rnd "$store/rnd" || fail "random writes in the under-store"
# programs
if command -v git > /dev/null; then
    git init -q repo && cp -r "$here/core" repo/ && (cd repo && git add -A && git -c user.name=t -c user.email=t@t commit -qm x && git fsck --strict) > "$work/git.log" 2>&1 || fail "git: $(cat "$work/git.log")"
fi
if command -v sqlite3 > /dev/null; then
    sqlite3 t.db 'create table t(a); with recursive c(x) as (select 1 union all select x+1 from c where x<2000) insert into t select x from c; pragma integrity_check; select sum(a) from t;' > "$work/sql" 2>&1
    [ "$(tr '\n' ' ' < "$work/sql")" = "ok 2001000 " ] || fail "sqlite: $(cat "$work/sql")"
fi
cd "$work" || fail cd
# a second mount sees it; changes of one reach the other
start_mount n
cmp m/big n/big || fail "second mount"
echo new > n/fromn; [ "$(cat m/fromn)" = new ] || fail "m does not see what n wrote"
mv m/fromn m/renamed; [ -e n/renamed ] && [ ! -e n/fromn ] || fail "n does not see a rename"
rm n/renamed; [ ! -e m/renamed ] || fail "m does not see a removal"
echo again > m/big; [ "$(cat n/big)" = again ] || fail "close-to-open"
# two clients renaming and deleting in one tree
mkdir m/t
(for i in $(seq 60); do mkdir m/t/a$i; mv m/t/a$i m/t/b$i; done) 2> "$work/r1" & r1=$!
(for i in $(seq 60); do mv n/t/b$i n/t/c$i || rmdir n/t/a$i; done) > /dev/null 2>&1 & r2=$!
wait $r1 $r2
sleep 2.5
diff <(ls m/t) <(ls n/t) || fail "two mounts see two trees"
diff <(ls m/t) <(ls "$store/t") || fail "mount and under-store differ after two clients' renames"
# a restarted master is picked up without remounting
echo before > m/survivor
kill9 master
(sleep 1.5; exec true) & sleep 0.2
start_master
[ "$(timeout 20 cat m/survivor)" = before ] || fail "after a restart of the master"
echo after > m/survivor2 || fail "write after a restart"
[ "$(cat "$store/survivor2")" = after ] || fail "survivor2"
# master down: an error by the deadline, not a hang; and unmounting works
kill9 master
t0=$SECONDS; timeout 30 ls m/never 2> /dev/null; status=$?
[ $status != 124 ] || fail "a request hung with the master down"
[ $((SECONDS - t0)) -lt 25 ] || fail "a request took $((SECONDS - t0)) s with the master down"
term mount-n || fail "SIGTERM of a mount with the master down"
mounted "$work/n" && fail "still mounted after SIGTERM"
start_master
wait_for 15 test -e m/survivor || fail "the mount did not recover"
# busy and stale mount points
timeout 20 tarn mount "$work/m" > "$work/busy" 2>&1; [ $? = 1 ] || fail "mounted twice: $(cat "$work/busy")"
mkdir "$work/dir"; ln -s dir "$work/dirlink"
timeout 20 tarn mount "$work/dirlink" > "$work/link" 2>&1; [ $? = 1 ] && grep -q 'is a symbolic link' "$work/link" || fail "mounted at a link: $(cat "$work/link")"
timeout 20 tarn mount "$work/does-not-exist" > "$work/none" 2>&1; [ $? = 1 ] && grep -qi 'exist\|no such' "$work/none" || fail "missing mount point: $(cat "$work/none")"
timeout 20 tarn mount -o nonsense "$work/n" > "$work/opt" 2>&1; [ $? = 2 ] || fail "bad option: $(cat "$work/opt")"
kill9 mount-m
start_mount m # over its own dead mount
[ -e "$work/m/survivor" ] || fail "mounted over a stale mount point"
fusermount3 -u "$work/m" || fail "fusermount3 -u"
wait_for 10 sh -c "! kill -0 ${pids[mount-m]}" || fail "the mount process stays after an unmount"
wait "${pids[mount-m]}" || fail "the mount's status after an unmount"
unset 'pids[mount-m]'
echo ok
