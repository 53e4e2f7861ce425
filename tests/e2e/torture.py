#!/usr/bin/env python3
# tests/e2e/torture.py - programs that use a mount hard and know what must come of it.
#
#   torture.py fsx DIR OTHER SEED SECONDS     one file against a model; OTHER is a second mount
#   torture.py append FILE WHO COUNT          lines, by one of several appenders
#   torture.py names DIR SEED SECONDS         create, rename, link, unlink among other processes
#   torture.py sqlite FILE SECONDS            transactions, then an integrity check
#   torture.py same MOUNT STORE               both trees are the same
# Exit status 1 and a sentence when anything is not as it must be.
import hashlib, mmap, os, random, sqlite3, stat, sys, time

SIZE = 3 << 20


def die(text):
    print("torture: " + text, flush=True)
    sys.exit(1)


def first_difference(a, b):
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    lo, hi = 0, n
    while hi - lo > 1:
        mid = (lo + hi) // 2
        if a[lo:mid] == b[lo:mid]:
            lo = mid
        else:
            hi = mid
    return lo


class Fsx:
    def __init__(self, where, other, seed):
        self.rnd = random.Random(seed)
        self.dir, self.other = where, other
        self.name = "fsx%d" % seed
        self.model = bytearray()
        self.log = []
        self.fd = os.open(self.path(), os.O_RDWR | os.O_CREAT, 0o600)

    def path(self, where=None):
        return os.path.join(where or self.dir, self.name)

    def wrong(self, what, got, want):
        at = first_difference(got, want)
        die("%s: %d bytes for %d, first difference at %d (%r for %r); last operations: %s" % (
            what, len(got), len(want), at, bytes(got[at:at + 8]), bytes(want[at:at + 8]),
            "; ".join(self.log[-12:])))

    def check(self, what, got, want):
        if got != want:
            self.wrong(what, got, want)

    def span(self):
        size = self.rnd.choice((10, 4096, 65536, 300000, 1200000))
        return self.rnd.randrange(SIZE), 1 + self.rnd.randrange(size)

    def put(self, off, data):
        if off > len(self.model):
            self.model.extend(bytes(off - len(self.model)))
        self.model[off:off + len(data)] = data

    def write(self):
        off, n = self.span()
        data = self.rnd.randbytes(n)
        self.log.append("write %d+%d" % (off, n))
        at = 0
        while at < n:
            at += os.pwrite(self.fd, data[at:], off + at)
        self.put(off, data)

    def append(self):
        data = self.rnd.randbytes(1 + self.rnd.randrange(9000))
        if len(self.model) > SIZE:
            return
        self.log.append("append %d" % len(data))
        fd = os.open(self.path(), os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self.put(len(self.model), data)

    def read(self):
        off, n = self.span()
        self.log.append("read %d+%d" % (off, n))
        self.check("read", os.pread(self.fd, n, off), self.model[off:off + n])

    def truncate(self):
        size = self.rnd.randrange(SIZE)
        self.log.append("truncate %d" % size)
        if self.rnd.random() < 0.5:
            os.ftruncate(self.fd, size)
        else:
            os.truncate(self.path(), size)
        if size < len(self.model):
            del self.model[size:]
        else:
            self.model.extend(bytes(size - len(self.model)))

    def size(self):
        self.log.append("stat")
        for got in (os.fstat(self.fd).st_size, os.stat(self.path()).st_size):
            if got != len(self.model):
                die("size %d for %d: %s" % (got, len(self.model), "; ".join(self.log[-12:])))

    def map_read(self):
        if not self.model:
            return
        self.log.append("map")
        with mmap.mmap(self.fd, 0, prot=mmap.PROT_READ) as m:
            off, n = self.span()
            self.check("mapping", m[off:off + n], self.model[off:off + n])

    def map_write(self):
        if not self.model:
            return
        off, n = self.span()
        data = self.rnd.randbytes(len(self.model[off:off + n]))
        if not data:
            return
        self.log.append("map write %d+%d" % (off, len(data)))
        with mmap.mmap(self.fd, 0) as m:
            m[off:off + len(data)] = data
            m.flush()
        self.model[off:off + len(data)] = data

    def reopen(self):
        self.log.append("reopen")
        os.close(self.fd)
        with open(self.path(self.other), "rb") as f:  # close-to-open
            self.check("the other mount", f.read(), self.model)
        if self.rnd.random() < 0.3:
            self.model = bytearray()
            self.fd = os.open(self.path(), os.O_RDWR | os.O_TRUNC)
        else:
            self.fd = os.open(self.path(), os.O_RDWR)

    def rename(self):
        """the open file goes elsewhere, and another one takes its name for a while"""
        self.log.append("rename")
        where = self.rnd.choice((self.dir, self.other))
        old = self.path(where)
        self.name = self.name.split(".")[0] + ".%d" % self.rnd.randrange(3)
        new = self.path(where)
        if old == new:
            return
        os.rename(old, new)
        with open(old, "wb") as f:
            f.write(b"decoy" * 100)
        if self.rnd.random() < 0.5:
            os.unlink(old)

    def sync(self):
        self.log.append("fsync")
        os.fsync(self.fd)

    def run(self, until):
        steps = 0
        ops = ([self.write] * 8 + [self.read] * 8 + [self.append, self.truncate, self.truncate,
               self.size, self.size, self.map_read, self.map_read, self.map_write, self.reopen,
               self.rename, self.sync])
        while time.monotonic() < until:
            self.rnd.choice(ops)()
            steps += 1
        os.close(self.fd)
        for where in (self.dir, self.other):
            with open(self.path(where), "rb") as f:
                self.check("at the end", f.read(), self.model)
        print("fsx: %d steps" % steps)


def append(path, who, count):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for i in range(count):
        os.write(fd, b"%s %06d\n" % (who.encode(), i))
    os.close(fd)


def names(where, seed, until):
    rnd = random.Random(seed)
    done = 0
    while time.monotonic() < until:
        a, b = ("%s/d%d/n%d" % (where, rnd.randrange(3), rnd.randrange(12)) for _ in range(2))
        how = rnd.randrange(7)
        try:
            os.makedirs(os.path.dirname(a), exist_ok=True)
            if how == 0:
                with open(a, "xb") as f:
                    f.write(b"%d" % seed)
            elif how == 1:
                os.rename(a, b)
            elif how == 2:
                os.unlink(a)
            elif how == 3:
                os.link(a, b)
            elif how == 4:
                os.symlink("target%d" % seed, a)
            elif how == 5:
                names = os.listdir(os.path.dirname(a))
                if len(names) != len(set(names)):
                    die("a name is listed twice: %s" % sorted(names))
            else:
                with open(a, "rb") as f:
                    data = f.read()
                if not data.isdigit() and data:
                    die("%s has %r" % (a, data[:20]))
            done += 1
        except (FileNotFoundError, FileExistsError):
            pass
        except OSError as e:
            # a file that another process unlinked between our name and our open
            if e.errno != 116:
                die("names: %s %s: %s" % (how, a, e))
    print("names: %d done" % done)


def sqlite(path, until):
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.execute("create table if not exists t (k integer primary key, v blob, sum text)")
    n = 0
    while time.monotonic() < until:
        db.execute("begin immediate")
        for _ in range(20):
            v = os.urandom(random.randrange(3000))
            db.execute("insert into t (v, sum) values (?, ?)", (v, hashlib.sha256(v).hexdigest()))
        db.execute("delete from t where k in (select k from t order by random() limit 5)")
        db.execute("commit" if random.random() < 0.8 else "rollback")
        n += 1
    (ok,), = db.execute("pragma integrity_check").fetchall()
    if ok != "ok":
        die("sqlite: " + ok)
    db.close()
    db = sqlite3.connect(path)
    for k, v, s in db.execute("select k, v, sum from t"):
        if hashlib.sha256(v).hexdigest() != s:
            die("sqlite: row %d" % k)
    print("sqlite: %d transactions" % n)


def tree(where):
    found = {}
    for top, dirs, files in os.walk(where):
        if top == where and ".tarn" in dirs:
            dirs.remove(".tarn")
        for name in dirs + files:
            path = os.path.join(top, name)
            st = os.lstat(path)
            what = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid]
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what += [st.st_size, hashlib.sha256(f.read()).hexdigest()]
            elif stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            found[os.path.relpath(path, where)] = what
    return found


def same(mount, store):
    a, b = tree(mount), tree(store)
    for name in sorted(set(a) | set(b)):
        if a.get(name) != b.get(name):
            die("%s is %s in %s and %s in %s" % (name, a.get(name), mount, b.get(name), store))
    print("same: %d names" % len(a))


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "fsx":
        Fsx(args[0], args[1], int(args[2])).run(time.monotonic() + float(args[3]))
    elif what == "append":
        append(args[0], args[1], int(args[2]))
    elif what == "names":
        names(args[0], int(args[1]), time.monotonic() + float(args[2]))
    elif what == "sqlite":
        sqlite(args[0], time.monotonic() + float(args[1]))
    elif what == "same":
        same(args[0], args[1])
    else:
        die("unknown: " + what)


main()
