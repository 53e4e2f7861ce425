# tests/e2e/coherent.py - run by test_coherent.sh, whose lease is LEASE seconds.
#   coherent.py names A B | stopped A B PID-OF-B | orphaned A B PID-OF-MASTER
import os, signal, subprocess, sys, time
LEASE = 3
what, a, b = sys.argv[1:4]
d = "%s-%d" % (what, os.getpid())
os.mkdir(f"{a}/{d}")
a, b = f"{a}/{d}", f"{b}/{d}"

def mode(path):
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        return None

def is_(got, want, text):
    if got != want:
        sys.exit("%s: %r, not %r" % (text, got, want))

def put(path, text):
    with open(path, "w") as f:
        f.write(text)

def get(path):
    with open(path) as f:
        return f.read()

def names():
    for i in range(25):
        x, y = (a, b) if i % 2 else (b, a) # x changes, y looks
        f, g, e = f"f{i}", f"g{i}", f"e{i}"
        for side in (x, y):
            for n in (f, g, e):
                is_(mode(f"{side}/{n}"), None, "nothing there yet") # now the kernel knows that
        put(f"{x}/{f}", "one")
        is_(get(f"{y}/{f}"), "one", "a new file")
        os.chmod(f"{x}/{f}", 0o640)
        is_(mode(f"{y}/{f}"), 0o640, "chmod")
        ino = os.stat(f"{y}/{f}").st_ino
        os.rename(f"{x}/{f}", f"{x}/{g}")
        is_(mode(f"{y}/{f}"), None, "the old name")
        is_((mode(f"{y}/{g}"), os.stat(f"{y}/{g}").st_ino), (0o640, ino), "the new name")
        is_(sorted(n for n in os.listdir(y) if n[1:] == str(i)), [g], "a listing after a rename")
        put(f"{x}/{f}", "longer than one")
        is_(os.stat(f"{y}/{f}").st_size, 15, "size")
        os.rename(f"{x}/{f}", f"{x}/{g}")
        is_((get(f"{y}/{g}"), mode(f"{y}/{f}")), ("longer than one", None), "a rename over a file")
        os.truncate(f"{x}/{g}", 3)
        is_((os.stat(f"{y}/{g}").st_size, get(f"{y}/{g}")), (3, "lon"), "truncate")
        os.unlink(f"{x}/{g}")
        is_(mode(f"{y}/{g}"), None, "an unlinked file")
        put(f"{y}/{g}", "again")
        is_(get(f"{x}/{g}"), "again", "made again by the other")
        os.unlink(f"{y}/{g}")
        is_(mode(f"{x}/{g}"), None, "unlinked by the other")
        os.mkdir(f"{x}/{e}")
        put(f"{x}/{e}/in", "in")
        is_(get(f"{y}/{e}/in"), "in", "a file in a new directory")
        os.rename(f"{x}/{e}", f"{x}/{f}")
        is_((mode(f"{y}/{e}/in"), get(f"{y}/{f}/in")), (None, "in"), "a renamed directory")
        os.unlink(f"{y}/{f}/in")
        os.rmdir(f"{x}/{f}")
        is_((mode(f"{y}/{f}"), os.listdir(y)), (None, []), "a removed directory")
        os.symlink("here", f"{x}/{f}")
        is_(os.readlink(f"{y}/{f}"), "here", "a symbolic link")
        os.unlink(f"{x}/{f}")
        os.symlink("there", f"{x}/{f}")
        is_(os.readlink(f"{y}/{f}"), "there", "another link of the same name")
        os.unlink(f"{y}/{f}")

def ask(path, seconds):
    """mode() in another process; "waits" if there is no answer within so many seconds"""
    code = "import os,sys\ntry: print(os.stat(sys.argv[1]).st_mode & 0o777)\nexcept FileNotFoundError: print(None)"
    p = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    try:
        out = p.communicate(timeout=seconds)[0].strip()
        return "error" if p.returncode else eval(out)
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        return "waits"

def stopped():
    pid, shown = int(sys.argv[4]), 0
    for i in range(4):
        f, n = f"f{i}", f"n{i}"
        put(f"{a}/{f}", "x")
        os.chmod(f"{a}/{f}", 0o600)
        is_((mode(f"{b}/{f}"), mode(f"{b}/{n}")), (0o600, None), "before")
        os.kill(pid, signal.SIGSTOP)
        try:
            was = ask(f"{b}/{f}", 1), ask(f"{b}/{n}", 1) # from the kernel's cache
            t = time.monotonic()
            os.chmod(f"{a}/{f}", 0o666)
            put(f"{a}/{n}", "y")
            t = time.monotonic() - t
            now = ask(f"{b}/{f}", 1), ask(f"{b}/{n}", 1)
        finally:
            os.kill(pid, signal.SIGCONT)
        if was == (0o600, None):
            shown += 1
        if now[0] == 0o600 or now[1] is None:
            sys.exit("after the change was acknowledged (%.1f s) the other kernel still says %r" % (t, now))
        is_((mode(f"{b}/{f}"), mode(f"{b}/{n}")), (0o666, 0o644), "after")
        if t > 20:
            sys.exit("a silent mount delays others by %.1f s" % t)
        print("stopped: before %r, change after %.2f s, then %r" % (was, t, now))
        if shown == 2:
            return
    print("stopped: the kernel's cache did not answer, so little was shown")

def orphaned():
    f = f"{b}/f"
    put(f"{a}/f", "x")
    for _ in range(10): # the writer's close is over, and the kernel has it for a lease
        time.sleep(.1)
        mode(f)
    os.kill(int(sys.argv[4]), signal.SIGKILL)
    t0 = time.monotonic()
    last, hits = 0, 0
    while True:
        t = time.monotonic() - t0
        got = ask(f, 1)
        if got in ("waits", "error"):
            break
        last, hits = t, hits + 1
        if last > LEASE + 1:
            sys.exit("answered %.1f s after the master's death from a cache whose lease is %d s" % (last, LEASE))
        time.sleep(.1)
    print("orphaned: %d answers, the last %.2f s after the master died" % (hits, last))

os.umask(0o022)
{"names": names, "stopped": stopped, "orphaned": orphaned}[what]()
