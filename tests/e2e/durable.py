# tests/e2e/durable.py - run by test_durable.sh, which holds the file open: descriptor 7 for reading and
# writing, 8 for appending.  $MODEL has what the file must contain.
#   durable.py write SEED | same PATH... | sync ERRNO... | map
import errno, hashlib, mmap, os, random, sys
model = os.environ["MODEL"]
what, args = sys.argv[1], sys.argv[2:]

def load():
    try:
        with open(model, "rb") as f:
            return bytearray(f.read())
    except FileNotFoundError:
        return bytearray()

def keep(m):
    with open(model, "wb") as f:
        f.write(m)

def grow(m, n):
    m.extend(bytes(max(0, n - len(m))))

if what == "write": # every call is acknowledged before the next: what it did is in the under-store
    r, m = random.Random(int(args[0])), load()
    for _ in range(60):
        k = r.random()
        b = r.randbytes(r.choice((1, 700, 4096, 70000, 300000)))
        at = r.randrange(2500000)
        if k < .6:
            assert os.pwrite(7, b, at) == len(b)
            grow(m, at + len(b))
            m[at:at + len(b)] = b
        elif k < .85:
            assert os.write(8, b) == len(b)
            m += b
        else:
            n = r.randrange(len(m) + 200000)
            os.ftruncate(7, n)
            del m[n:]
            grow(m, n)
    keep(m)
elif what == "map":
    m = load()
    grow(m, 8192)
    os.ftruncate(7, len(m))
    p = mmap.mmap(7, len(m))
    p[4000:4100] = m[4000:4100] = bytes(range(100))
    p[len(m) - 3:] = m[-3:] = b"end"
    p.close() # closing the file, or msync, brings it below; the program's end is no promise
    keep(m)
elif what == "same":
    m = load()
    for path in args:
        with open(path, "rb") as f:
            got = f.read()
        size = os.stat(path).st_size
        if got != m or size != len(m):
            at = next((i for i in range(min(len(got), len(m))) if got[i] != m[i]), min(len(got), len(m)))
            sys.exit("%s: %d bytes (size %d) for %d; the first difference is at %d; sha %s" %
                     (path, len(got), size, len(m), at, hashlib.sha256(got).hexdigest()[:16]))
elif what == "sync":
    try:
        (os.fsync, os.fdatasync)[os.getpid() % 2](7)
        got = "0"
    except OSError as x:
        got = errno.errorcode[x.errno]
    if got not in args:
        sys.exit("fsync: %s, not %s" % (got, " or ".join(args)))
