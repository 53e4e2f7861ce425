#!/bin/bash
# The under-store is full, or its disk fails: the program that writes, syncs or reads hears of it, what
# was acknowledged is there, and when the under-store is well again everything goes on.
. "$(dirname "$0")/lib.sh" "$@"
need_fuse
command -v cc > /dev/null || skip "no C compiler for the failing disk"
mount_small 12m,nr_inodes=200 "$store" || skip "a small file system cannot be mounted here (needs root)"
cc -shared -fPIC -o "$work/eio.so" "$here/tests/e2e/eio.c" -ldl || skip "the failing disk cannot be built"
export EIO_ROOT=$store EIO_FLAG=$work/eio.flag
case "$(ldd "$build/tarn")" in *libasan*) pre= ;; *) pre=$work/eio.so ;; esac
config through 0 '"client": {"deadline": "10s", "direct_under_store": false}'
LD_PRELOAD=$pre start_master
LD_PRELOAD=$pre start_worker 1
start_mount A; start_mount B; start_mount C -o sync
cat > "$work/check.py" <<'END'
import errno, mmap, os, sys
a, b, c, store, flag = sys.argv[1:6]

def no(what, e, f):
    try:
        f()
    except OSError as x:
        assert x.errno == e, "%s: %s instead of %s" % (what, x, errno.errorcode[e])
    else:
        raise SystemExit("%s did not fail" % what)

def same(name, want):
    for d in (a, b, store):
        with open(d + "/" + name, "rb") as f:
            got = f.read()
        assert got == want, "%s in %s: %d bytes for %d" % (name, d, len(got), len(want))

# full: what was acknowledged is there, not more, not less
data = os.urandom(1 << 20)
fd = os.open(a + "/big", os.O_RDWR | os.O_CREAT)
put = 0
try:
    while put < 40 << 20:
        put += os.pwrite(fd, data[put % len(data):], put)
    raise SystemExit("40 MiB fit into 12")
except OSError as x:
    assert x.errno == errno.ENOSPC, x
os.close(fd)
assert put > 4 << 20
want = (data * 41)[:put]
with open(store + "/big", "rb") as f:
    below = f.read()
assert below[:put] == want, "bytes that were acknowledged are not there"
# an append that does not fit leaves no hole before the next one that does
fd = os.open(a + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
no("append to a full disk", errno.ENOSPC, lambda: os.write(fd, data))
os.unlink(a + "/big")
size = os.stat(store + "/log").st_size
for i in range(50): # the bytes of an unlinked file go a moment later
    try:
        at = os.write(fd, b"first\n")
        break
    except OSError:
        import time
        time.sleep(0.2)
os.write(fd, b"second\n")
with open(store + "/log", "rb") as f:
    assert f.read()[size:] == b"first\nsecond\n", "a hole, or worse"
os.close(fd)
# no inodes: names
made = 0
try:
    for i in range(400):
        os.mkdir(a + "/d%d" % i)
        made += 1
    raise SystemExit("400 directories with 200 inodes")
except OSError as x:
    assert x.errno == errno.ENOSPC, x
assert not os.path.exists(a + "/d%d" % made) and not os.path.exists(b + "/d%d" % made)
assert len([n for n in os.listdir(b) if n[0] == "d"]) == made
for i in range(made):
    os.rmdir(b + "/d%d" % i)
os.mkdir(a + "/again")
if not flag:
    sys.exit(0)
# a failing disk
def fail(how):
    with open(flag + ".new", "w") as f:
        f.write(how)
    os.rename(flag + ".new", flag)

fd = os.open(a + "/f", os.O_RDWR | os.O_CREAT)
assert os.write(fd, data) == len(data)
fail("w")
no("write", errno.EIO, lambda: os.pwrite(fd, b"x" * 1000, 0))
no("O_APPEND", errno.EIO, lambda: os.write(os.open(b + "/f", os.O_WRONLY | os.O_APPEND), b"x" * 10))
fail("s")
assert os.pwrite(fd, b"y" * 1000, 0) == 1000
no("fsync", errno.EIO, lambda: os.fsync(fd))
fail("")
os.fsync(fd)
os.close(fd)
want = b"y" * 1000 + data[1000:]
same("f", want)
fd = os.open(a + "/f", os.O_WRONLY | os.O_APPEND)
os.write(fd, b"end")
os.close(fd)
want += b"end"
same("f", want)
# a write that is to be durable is synced before it is acknowledged, and hears of it
for m, flags in ((a, 0), (a, os.O_APPEND), (b, os.O_DIRECT), (c, 0)): # c: mounted with -o sync
    dfd = os.open(m + "/durable", os.O_RDWR | os.O_CREAT | flags | (0 if m == c else os.O_DSYNC))
    block = mmap.mmap(-1, 4096)
    assert os.write(dfd, block) == 4096
    fail("s")
    no("O_DSYNC on %s with %o" % (m, flags), errno.EIO, lambda: os.write(dfd, block))
    fail("")
    assert os.write(dfd, block) == 4096
    os.close(dfd)
    os.unlink(m + "/durable")
# names: a synced directory is synced below
os.mkdir(a + "/dir")
dfd = os.open(a + "/dir", os.O_RDONLY)
open(a + "/dir/name", "w").close()
fail("d")
no("fsync of a directory", errno.EIO, lambda: os.fsync(dfd))
fail("")
os.fsync(dfd)
os.rename(b + "/dir", b + "/moved")
os.fsync(dfd)
os.unlink(a + "/moved/name")
os.rmdir(b + "/moved")
os.fsync(dfd) # it is no more
os.close(dfd)
# a mapping: msync says it
fd = os.open(a + "/f", os.O_RDWR)
m = mmap.mmap(fd, 8192)
fail("w")
m[0:3] = b"map"
no("msync", errno.EIO, m.flush)
fail("")
m[0:3] = b"MAP"
m.flush()
m.close()
os.close(fd)
same("f", b"MAP" + want[3:])
# reading
with open(store + "/r", "wb") as f:
    f.write(data)
fail("r")
no("read", errno.EIO, lambda: os.pread(os.open(a + "/r", os.O_RDONLY), 100, 0))
fail("")
same("r", data)
END
timeout 120 python3 "$work/check.py" "$work/A" "$work/B" "$work/C" "$store" "${pre:+$EIO_FLAG}" || fail "see above"
# an append that fails after a signal, and whose place is given back to a master that does not answer: the
# signal's second is over while the call still lives
[ -z "$pre" ] || timeout 60 python3 - "$work/A" "$EIO_FLAG" "${pids[master]}" "${pids[worker1]}" <<'END' || fail "an interrupted append that fails"
import errno, os, signal, sys, threading, time
m, flag, master, worker = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
fd = os.open(m + "/f", os.O_WRONLY | os.O_APPEND)
os.write(fd, b"x")
open(flag, "w").write("w")
def others():
    time.sleep(0.5)
    os.kill(master, signal.SIGSTOP)
    os.kill(worker, signal.SIGCONT)
    time.sleep(2)
    os.kill(master, signal.SIGCONT)
signal.signal(signal.SIGALRM, lambda *_: None)
os.kill(worker, signal.SIGSTOP)
t = threading.Thread(target=others)
t.start()
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    os.write(fd, b"y")
    raise SystemExit("written on a failing disk")
except OSError as x:
    # EINTR: so busy a machine that the second is over first
    assert x.errno in (errno.EIO, errno.EINTR), x
t.join()
open(flag, "w").write("")
os.write(fd, b"z")
os.close(fd)
END
term mount-A && term mount-B || fail "a mount did not end well"
echo ok
