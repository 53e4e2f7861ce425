/* tests/stress/fsx_main.c - random I/O on one file against a model in memory.
 *
 *   stress-fsx [--other DIR] [--store DIR] [--seed N] [--seconds S] [--ops N] [--no-map]
 * [--no-direct]
 *              [--log FILE] [--replay FILE] [--shrink FILE] DIR
 *
 * DIR is where the file lies; --other a second mount of the same tree, --store the directory below
 * it, whose bytes are compared whenever everything is closed.  Any directory will do: on a local
 * one the program checks itself.
 *
 * INVARIANTS
 *  1. An operation is six numbers and needs nothing of those before it: any part of a log is a
 *     valid log, so a failure is shrunk by leaving out parts (--shrink).
 *  2. Operations follow each other, whichever mount they use: the model knows every answer.
 *  3. Whoever has the file open for writing keeps it live: then a handle must see what another one
 *     wrote a moment ago.  Handles for reading only are opened and closed within one operation.
 *
 * A log is one operation per line; on a failure the log is in --log (default ./fsx.log). */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 1 << 20, ROOM = SIZE * 2, SLOTS = 5, ALIGN = 4096, OPS_MAX = 8 << 20 };

enum kind {
    WRITE,
    READ,
    READ_FRESH, /* open for reading, read, close */
    TRUNCATE,   /* by name */
    FTRUNCATE,
    STAT,
    FSTAT,
    MAP_GET,
    MAP_PUT,
    FSYNC,
    OPEN,
    OPEN_TRUNC,
    CLOSE,
    CLOSE_ALL,
    RENAME,
    REPLACE, /* by a new file under the same name, renamed over it */
    ALLOC,   /* fallocate: set aside, a hole, zeros */
    KINDS
};

static const struct {
    const char *name;
    unsigned weight;
} kinds[KINDS] = {
    [WRITE] = {"write", 30},    [READ] = {"read", 24},         [READ_FRESH] = {"fresh", 10},
    [TRUNCATE] = {"trunc", 3},  [FTRUNCATE] = {"ftrunc", 4},   [STAT] = {"stat", 4},
    [FSTAT] = {"fstat", 4},     [MAP_GET] = {"mapget", 4},     [MAP_PUT] = {"mapput", 4},
    [FSYNC] = {"fsync", 2},     [OPEN] = {"open", 12},         [OPEN_TRUNC] = {"opentrunc", 1},
    [CLOSE] = {"close", 6},     [CLOSE_ALL] = {"closeall", 3}, [RENAME] = {"rename", 2},
    [REPLACE] = {"replace", 1}, [ALLOC] = {"alloc", 6},
};

struct op {
    unsigned kind, slot, side, off, len, seed;
};

static const struct {
    unsigned side;
    int flags;
} slots[SLOTS] = {{0, O_RDWR},
                  {0, O_RDWR | O_APPEND},
                  {0, O_RDWR | O_DIRECT},
                  {1, O_RDWR},
                  {1, O_RDWR | O_APPEND}};

static const char *dirs[2], *store, *log_path = "fsx.log";
static bool no_map, no_direct, is_shrinking;
static int fds[SLOTS];
static unsigned char model[ROOM], *buf;
static size_t size;
static char name[64];
static unsigned n_names;
static struct op *ops;
static size_t n_ops;

static void log_write(const char *path, size_t n)
{
    FILE *f = fopen(path, "w");
    for (size_t i = 0; f && i < n; i++)
        fprintf(f, "%s %u %u %u %u %u\n", kinds[ops[i].kind].name, ops[i].slot, ops[i].side,
                ops[i].off, ops[i].len, ops[i].seed);
    if (f)
        fclose(f);
}

static void fail(const char *what, long a, long b)
{
    int err = errno;
    if (is_shrinking)
        _exit(1);
    log_write(log_path, n_ops);
    printf("fsx: FAILED at operation %zu: %s (%ld, %ld; errno %d: %s); the log is %s\n", n_ops,
           what, a, b, err, strerror(err), log_path);
    for (size_t i = n_ops > 12 ? n_ops - 12 : 0; i < n_ops; i++)
        printf("    %s %u %u %u %u %u\n", kinds[ops[i].kind].name, ops[i].slot, ops[i].side,
               ops[i].off, ops[i].len, ops[i].seed);
    fflush(stdout);
    _exit(1);
}

static const char *path(const char *dir, const char *n)
{
    static char p[2][4096];
    static unsigned at;
    at ^= 1;
    snprintf(p[at], sizeof p[at], "%s/%s", dir, n);
    return p[at];
}

static uint32_t next(uint32_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    return *s ^= *s << 5;
}

static void fill(unsigned char *p, size_t n, unsigned seed)
{
    uint32_t s = seed * 2654435761u | 1;
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(next(&s) >> 11);
}

static void compare(const char *what, const unsigned char *got, size_t off, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (got[i] != model[off + i]) {
            size_t to = i;
            while (to < n && got[to] != model[off + to])
                to++;
            fprintf(stderr, "%s: bytes %zu to %zu differ: 0x%02x for 0x%02x\n", what, off + i,
                    off + to, got[i], model[off + i]);
            fail(what, (long)(off + i), (long)(off + to));
        }
}

static void model_size(size_t n)
{
    if (n > size)
        memset(model + size, 0, n - size);
    size = n;
}

static void slot_open(unsigned s, int more)
{
    int flags = slots[s].flags | more;
    if (no_direct)
        flags &= ~O_DIRECT;
    if (fds[s] >= 0)
        return;
    fds[s] = open(path(dirs[slots[s].side], name), flags | O_CREAT, 0644);
    if (fds[s] < 0)
        fail("open", s, flags);
}

static void slot_close(unsigned s)
{
    if (fds[s] >= 0 && close(fds[s]))
        fail("close", s, 0);
    fds[s] = -1;
}

/* off and len within the model's room; a page's multiples for O_DIRECT */
static void span(const struct op *o, bool is_direct, size_t *off, size_t *len)
{
    *off = o->off % SIZE;
    *len = o->len % (SIZE - *off) + 1;
    if (is_direct) {
        *off -= *off % ALIGN;
        *len = (*len + ALIGN - 1) / ALIGN * ALIGN;
    }
}

static void do_write(const struct op *o)
{
    size_t off, len, done = 0;
    span(o, slots[o->slot].flags & O_DIRECT, &off, &len);
    if (slots[o->slot].flags & O_APPEND) {
        len = len % 9000 + 1;
        off = size;
        if (size > SIZE)
            return;
    }
    fill(buf, len, o->seed);
    while (done < len) {
        ssize_t n = pwrite(fds[o->slot], buf + done, len - done, (off_t)(off + done));
        if (n <= 0)
            fail("write", (long)off, (long)len);
        done += (size_t)n;
    }
    if (off > size)
        model_size(off);
    memcpy(model + off, buf, len);
    if (off + len > size)
        size = off + len;
}

static void check_read(const char *what, int fd, size_t off, size_t len)
{
    size_t want = off >= size ? 0 : size - off < len ? size - off : len, done = 0;
    while (done < len) {
        ssize_t n = pread(fd, buf + done, len - done, (off_t)(off + done));
        if (n < 0)
            fail(what, (long)off, (long)len);
        if (n == 0)
            break;
        done += (size_t)n;
        if (done % ALIGN) /* the end, or O_DIRECT could not go on */
            break;
    }
    if (done != want)
        fail(what, (long)done, (long)want);
    compare(what, buf, off, done);
}

static void check_file(const char *what, const char *p)
{
    struct stat st;
    int fd = open(p, O_RDONLY);
    if (fd < 0 || fstat(fd, &st))
        fail(what, fd, 0);
    if ((size_t)st.st_size != size)
        fail(what, (long)st.st_size, (long)size);
    for (size_t at = 0; at <= size; at += 256 << 10)
        check_read(what, fd, at, 256 << 10);
    close(fd);
}

static void do_map(const struct op *o, bool is_put)
{
    size_t off, len;
    if (!size || no_map)
        return;
    span(o, false, &off, &len);
    off %= size;
    len = len < size - off ? len : size - off;
    struct stat st; /* a program asks how long the file is before it maps it; so the kernel knows */
    if (fstat(fds[o->slot], &st) || (size_t)st.st_size != size)
        fail("size before mmap", (long)st.st_size, (long)size);
    unsigned char *p =
        mmap(NULL, size, PROT_READ | (is_put ? PROT_WRITE : 0), MAP_SHARED, fds[o->slot], 0);
    if (p == MAP_FAILED)
        fail("mmap", (long)size, is_put);
    if (is_put) {
        fill(p + off, len, o->seed);
        fill(model + off, len, o->seed);
        if (msync(p, size, MS_SYNC))
            fail("msync", (long)off, (long)len);
    } else {
        compare("mapping", p + off, off, len);
        size_t tail = (ALIGN - size % ALIGN) % ALIGN;
        for (size_t i = 0; i < tail; i++)
            if (p[size + i])
                fail("bytes of a mapping after the end", (long)i, p[size + i]);
    }
    munmap(p, size);
}

static void do_truncate(const struct op *o)
{
    size_t to = o->off % SIZE;
    int err = o->kind == FTRUNCATE ? ftruncate(fds[o->slot], (off_t)to)
                                   : truncate(path(dirs[o->side], name), (off_t)to);
    if (err)
        fail("truncate", (long)to, 0);
    model_size(to);
}

static void do_alloc(const struct op *o)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE};
    int mode = modes[o->seed % 4];
    size_t off, len;
    span(o, false, &off, &len);
    if (fallocate(fds[o->slot], mode, (off_t)off, (off_t)len)) {
        if (errno != EOPNOTSUPP) /* not every directory has all of them */
            fail("fallocate", (long)off, mode);
        return;
    }
    if (off + len > size && !(mode & FALLOC_FL_KEEP_SIZE))
        model_size(off + len);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && off < size)
        memset(model + off, 0, len < size - off ? len : size - off);
}

static void do_stat(const struct op *o)
{
    struct stat st;
    int err = o->kind == FSTAT ? fstat(fds[o->slot], &st) : stat(path(dirs[o->side], name), &st);
    if (err || (size_t)st.st_size != size)
        fail("size", err ? -1 : (long)st.st_size, (long)size);
}

static void close_all(void)
{
    for (unsigned s = 0; s < SLOTS; s++)
        slot_close(s);
    check_file("after close", path(dirs[0], name));
    check_file("the other mount after close", path(dirs[1], name));
    if (store)
        check_file("the under-store after close", path(store, name));
}

static void do_rename(const struct op *o)
{
    char to[64];
    snprintf(to, sizeof to, "%s", name);
    to[strcspn(to, ".")] = 0;
    snprintf(to + strlen(to), 16, ".%u", ++n_names);
    if (rename(path(dirs[o->side], name), path(dirs[o->side], to)))
        fail("rename", n_names, 0);
    struct stat st;
    if (!stat(path(dirs[!o->side], name), &st) || errno != ENOENT)
        fail("the old name is seen after a rename", 0, 0);
    memcpy(name, to, sizeof to);
}

/* Open handles go on with the old file; so all are closed. */
static void do_replace(const struct op *o)
{
    for (unsigned s = 0; s < SLOTS; s++)
        slot_close(s);
    int fd = open(path(dirs[o->side], "new"), O_WRONLY | O_CREAT | O_EXCL, 0644);
    size = o->len % 100000;
    fill(model, size, o->seed);
    if (fd < 0 || write(fd, model, size) != (ssize_t)size || close(fd))
        fail("a new file", fd, (long)size);
    if (rename(path(dirs[o->side], "new"), path(dirs[o->side], name)))
        fail("rename over the file", 0, 0);
    check_file("a replaced file on the other mount", path(dirs[!o->side], name));
}

static void run(const struct op *o)
{
    size_t off, len;
    switch ((enum kind)o->kind) {
    case WRITE:
    case READ:
    case FTRUNCATE:
    case FSTAT:
    case MAP_GET:
    case MAP_PUT:
    case FSYNC:
    case ALLOC:
        slot_open(o->slot, 0);
        break;
    default:
        break;
    }
    switch ((enum kind)o->kind) {
    case WRITE:
        do_write(o);
        break;
    case READ:
        span(o, slots[o->slot].flags & O_DIRECT, &off, &len);
        check_read("read", fds[o->slot], off, len);
        break;
    case READ_FRESH: {
        span(o, false, &off, &len);
        int fd = open(path(dirs[o->side], name), O_RDONLY);
        if (fd < 0)
            fail("open for reading", o->side, 0);
        check_read("fresh read", fd, off, len);
        close(fd);
        break;
    }
    case TRUNCATE:
    case FTRUNCATE:
        do_truncate(o);
        break;
    case STAT:
    case FSTAT:
        do_stat(o);
        break;
    case MAP_GET:
    case MAP_PUT:
        if (!(slots[o->slot].flags & O_DIRECT))
            do_map(o, o->kind == MAP_PUT);
        break;
    case FSYNC:
        if (fsync(fds[o->slot]))
            fail("fsync", o->slot, 0);
        break;
    case OPEN:
        slot_open(o->slot, 0);
        break;
    case OPEN_TRUNC:
        slot_close(o->slot);
        slot_open(o->slot, O_TRUNC);
        model_size(0);
        break;
    case CLOSE:
        slot_close(o->slot);
        break;
    case CLOSE_ALL:
        close_all();
        break;
    case RENAME:
        do_rename(o);
        break;
    case ALLOC:
        do_alloc(o);
        break;
    case REPLACE:
        do_replace(o);
        break;
    case KINDS:
        break;
    }
}

static void begin(unsigned seed)
{
    snprintf(name, sizeof name, "fsx%u-%u", seed, (unsigned)getpid());
    n_names = 0;
    size = 0;
    for (unsigned s = 0; s < SLOTS; s++)
        fds[s] = -1;
    slot_open(0, O_TRUNC);
}

static void end(void)
{
    close_all();
    if (unlink(path(dirs[0], name)))
        fail("unlink", 0, 0);
    struct stat st;
    if (!stat(path(dirs[1], name), &st) || errno != ENOENT)
        fail("seen by the other mount after unlink", 0, 0);
}

static struct op choose(uint32_t *s)
{
    static const unsigned longest[] = {16, 4096, 65536, 300000, SIZE};
    unsigned sum = 0, at;
    struct op o = {0};
    for (unsigned k = 0; k < KINDS; k++)
        sum += kinds[k].weight;
    at = next(s) % sum;
    while (at >= kinds[o.kind].weight)
        at -= kinds[o.kind++].weight;
    o.slot = next(s) % SLOTS;
    o.side = next(s) % 2;
    o.off = next(s) % SIZE;
    if (next(s) % 4 == 0)
        o.off = o.off / ALIGN * ALIGN;
    o.len = next(s) % longest[next(s) % 5];
    o.seed = next(s);
    return o;
}

static void log_read(const char *p)
{
    char line[256], word[32];
    FILE *f = fopen(p, "r");
    if (!f) {
        perror(p);
        exit(2);
    }
    while (n_ops < OPS_MAX && fgets(line, sizeof line, f)) {
        struct op o = {0};
        if (sscanf(line, "%31s %u %u %u %u %u", word, &o.slot, &o.side, &o.off, &o.len, &o.seed) !=
            6)
            continue;
        for (o.kind = 0; o.kind < KINDS && strcmp(word, kinds[o.kind].name); o.kind++)
            ;
        if (o.kind < KINDS && o.slot < SLOTS && o.side < 2)
            ops[n_ops++] = o;
    }
    fclose(f);
}

/* do these operations fail?  In a child, which a hang does not keep for ever. */
static bool fails(const struct op *list, size_t n)
{
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        is_shrinking = true;
        alarm(60);
        begin(0);
        for (size_t i = 0; i < n; i++)
            run(&list[i]);
        end();
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status != 0;
}

static void shrink(const char *p)
{
    log_read(p);
    if (!fails(ops, n_ops)) {
        printf("fsx: these %zu operations do not fail\n", n_ops);
        exit(1);
    }
    struct op *less = calloc(n_ops + 1, sizeof *less);
    for (size_t part = n_ops / 2; part; part /= 2)
        for (size_t at = 0; at < n_ops;) {
            size_t n = at + part < n_ops ? part : n_ops - at;
            memcpy(less, ops, at * sizeof *less);
            memcpy(less + at, ops + at + n, (n_ops - at - n) * sizeof *less);
            if (fails(less, n_ops - n)) {
                n_ops -= n;
                memcpy(ops, less, n_ops * sizeof *less);
            } else {
                at += n;
            }
        }
    free(less);
    log_write(log_path, n_ops);
    printf("fsx: %zu operations fail, in %s\n", n_ops, log_path);
}

int main(int argc, char **argv)
{
    unsigned seed = 1;
    double seconds = 0;
    size_t count = 0;
    const char *replay = NULL, *shrinks = NULL;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "--no-map"))
            no_map = true;
        else if (!strcmp(a, "--no-direct"))
            no_direct = true;
        else if (a[0] == '-' && !v)
            return fprintf(stderr, "fsx: %s needs a value\n", a), 2;
        else if (!strcmp(a, "--other"))
            dirs[1] = v, i++;
        else if (!strcmp(a, "--store"))
            store = v, i++;
        else if (!strcmp(a, "--seed"))
            seed = (unsigned)strtoul(v, NULL, 10), i++;
        else if (!strcmp(a, "--seconds"))
            seconds = strtod(v, NULL), i++;
        else if (!strcmp(a, "--ops"))
            count = strtoul(v, NULL, 10), i++;
        else if (!strcmp(a, "--log"))
            log_path = v, i++;
        else if (!strcmp(a, "--replay"))
            replay = v, i++;
        else if (!strcmp(a, "--shrink"))
            shrinks = v, i++;
        else if (a[0] != '-' && !dirs[0])
            dirs[0] = a;
        else
            return fprintf(stderr, "fsx: unknown argument %s\n", a), 2;
    }
    if (!dirs[0])
        return fprintf(stderr, "usage: stress-fsx [options] DIR\n"), 2;
    if (!dirs[1])
        dirs[1] = dirs[0];
    ops = calloc(OPS_MAX, sizeof *ops);
    if (!ops || posix_memalign((void **)&buf, ALIGN, ROOM + ALIGN))
        return 2;
    if (shrinks) {
        shrink(shrinks);
        return 0;
    }
    if (replay) {
        log_read(replay);
        count = n_ops;
    }
    struct timespec t0, t;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    uint32_t s = seed * 2654435761u | 1;
    begin(seed);
    size_t done = 0;
    for (; done < OPS_MAX && (!count || done < count); done++) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (seconds > 0 &&
            (double)(t.tv_sec - t0.tv_sec) + (double)(t.tv_nsec - t0.tv_nsec) / 1e9 > seconds)
            break;
        if (!replay)
            ops[done] = choose(&s);
        n_ops = done + 1;
        run(&ops[done]);
    }
    end();
    printf("fsx: %zu operations, seed %u\n", done, seed);
    return 0;
}
