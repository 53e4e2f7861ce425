/* fuse/fuse_pass.c - see fuse_pass.h.
 *
 *   open --whole on this host?--> ASKING --granted--> FETCHING --descriptor, registered--> READY
 *                                   \--no--> opened as ever            \--no--> given back
 *   READY --last handle closed--> idle --PASS_IDLE_NS--> unregistered, given back
 *
 * A file is asked for at its open only; a read-only open of a whole version goes to the kernel with
 * a backing file, and then no read of it comes here.
 *
 * INVARIANTS
 *  1. One backing file per (inode, version), shared by all its opens: the kernel refuses a second
 *     one for an inode that has one.
 *  2. An inode of the kernel is read through its page cache and us, or through a backing file,
 *     never both: fuse_ops_io.c decides, and what does not fit gets another inode (fuse_node.h).
 *  3. What the kernel has open cannot be taken back: such an open keeps its version to the end,
 *     whatever others do.  The worker never changes the bytes of what it handed out
 *     (worker_local.c), so they are right whatever happens to it.
 *  4. What is written through this mount is seen by all who have the file open in it.  So it goes
 *     into the file that they read as well, after the under-store has it and before the writer is
 *     answered.  By then the version that the worker cached is over, and should somebody still ask
 *     it for that, its checksums say no.  A reader whose version was changed by others first does
 *     not get it: that would be a mixture (`seen` says up to which version it has everything).
 *  5. Whatever fails here, the open goes on without it.
 *
 * The kernel registers a file for CAP_SYS_ADMIN only.  Fetching and registering runs in the pool:
 * it may block for as long as the worker is stopped. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_local.h"
#include "core/fmt.h"
#include "fuse/fuse_ops.h"
#include "fuse/fuse_pass.h"

enum { PASS_MAX = 1024, PASS_ALIASES = 8 };

static const int64_t PASS_IDLE_NS = 5 * INT64_C(1000000000);
static const int64_t PASS_TICK_NS = INT64_C(1000000000);

/* Linux 6.9; not in older headers */
struct pass_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define PASS_BACKING_OPEN  _IOW(229, 1, struct pass_map)
#define PASS_BACKING_CLOSE _IOW(229, 2, uint32_t)

enum pass_state { PASS_ASKING, PASS_FETCHING, PASS_READY, PASS_LEAVING };

struct fuse_pass {
    struct fuse_ops *o;
    struct list link, idle;
    struct list waiting; /* calls */
    enum pass_state state;
    struct ino ino;
    uint64_t version;
    uint32_t users;
    int fd, fd_write; /* the worker's file; to write: opened at need.  -1: not open */
    bool is_written;  /* it follows writers here, and is of no version any more */
    bool is_behind;   /* others changed it: what is written here is not for it */
    uint64_t seen;    /* the version up to which it has everything */
    uint64_t owed;    /* steps of the version that our own closes have made since */
    int32_t backing;
    bool can_direct;
    int64_t idle_ns;
    struct client_local local;
    struct env_op work;
};

static void pass_tick(struct env_op *op);

void fuse_pass_init(struct fuse_ops *o)
{
    struct fuse_passes *t = &o->pass;
    for (unsigned i = 0; i < FUSE_PASS_BUCKETS; i++)
        list_init(&t->bucket[i]);
    list_init(&t->idle);
    t->is_quiet = true;
    t->timer.op.done = pass_tick;
}

void fuse_pass_start(struct fuse_ops *o, int fd, bool offered)
{
    struct pass_map none = {.fd = -1};
    o->pass.fd = fd;
    if (!offered)
        return;
    /* it looks at our rights before it looks at the file */
    o->pass.is_on = ioctl(fd, PASS_BACKING_OPEN, &none) >= 0 || errno != EPERM;
    fmt_log(o->env, ENV_LOG_INFO, "passthrough of files that are whole on this host: %s",
            o->pass.is_on ? "on" : "off, it needs CAP_SYS_ADMIN");
}

int32_t fuse_pass_id(const struct fuse_pass *p)
{
    return p->backing;
}

uint64_t fuse_pass_version(const struct fuse_pass *p)
{
    return p->version;
}

/* ---- the table ---- */

static struct list *pass_bucket(struct fuse_ops *o, struct ino ino)
{
    return &o->pass.bucket[base_mix_u64(ino.v) & (FUSE_PASS_BUCKETS - 1)];
}

static struct fuse_pass *pass_find(struct fuse_ops *o, struct ino ino, uint64_t version)
{
    list_each(it, pass_bucket(o, ino)) {
        struct fuse_pass *p = list_entry(it, struct fuse_pass, link);
        if (p->ino.v == ino.v && p->version == version && p->state != PASS_LEAVING &&
            !p->is_written)
            return p;
    }
    return NULL;
}

static void pass_pending(struct fuse_ops *o, int change)
{
    o->pass.pending += (uint32_t)change;
    o->pass.is_quiet = o->pass.pending == 0;
}

static void pass_free(struct fuse_pass *p)
{
    struct fuse_ops *o = p->o;
    ASSERT(!p->users && list_empty(&p->waiting) && !list_linked(&p->idle));
    if (p->fd >= 0)
        close(p->fd);
    if (p->fd_write >= 0)
        close(p->fd_write);
    list_remove(&p->link);
    o->pass.count--;
    mem_free(o->mem, p, sizeof *p);
}

static void pass_returned(struct env_op *op)
{
    struct client_local *l = container_of(op, struct client_local, op);
    struct fuse_pass *p = container_of(l, struct fuse_pass, local);
    pass_pending(p->o, -1);
    pass_free(p);
}

/* The kernel forgets it, and the worker learns that. */
static void pass_leave(struct fuse_pass *p)
{
    struct fuse_ops *o = p->o;
    uint32_t id = (uint32_t)p->backing;
    if (list_linked(&p->idle))
        list_remove(&p->idle);
    if (p->backing > 0)
        ioctl(o->pass.fd, PASS_BACKING_CLOSE, &id);
    p->backing = 0;
    p->state = PASS_LEAVING;
    p->local.op.done = pass_returned;
    pass_pending(o, 1);
    client_local_return(o->client, &p->local);
}

static void pass_tick(struct env_op *op)
{
    struct fuse_ops *o = container_of(op, struct fuse_ops, pass.timer.op);
    int64_t now = env_now_ns(o->env);
    while (!list_empty(&o->pass.idle)) {
        struct fuse_pass *p = list_entry(o->pass.idle.next, struct fuse_pass, idle);
        if (p->idle_ns + PASS_IDLE_NS > now) {
            env_timer_set(o->env, &o->pass.timer, now + PASS_TICK_NS);
            return;
        }
        pass_leave(p);
    }
}

void fuse_pass_put(struct fuse_pass *p)
{
    struct fuse_ops *o = p->o;
    ASSERT(p->users);
    if (--p->users || o->pass.is_stopping)
        return;
    if (p->is_written) {
        pass_leave(p);
        return;
    }
    p->idle_ns = env_now_ns(o->env);
    list_push_back(&o->pass.idle, &p->idle);
    if (!env_timer_is_set(&o->pass.timer))
        env_timer_set(o->env, &o->pass.timer, p->idle_ns + PASS_TICK_NS);
}

static void pass_use(struct fuse_pass *p, struct fuse_ops_call *c)
{
    if (c->flags & O_DIRECT && !p->can_direct) {
        fuse_ops_io_attach(c, NULL);
        return;
    }
    p->users++;
    if (list_linked(&p->idle))
        list_remove(&p->idle);
    fuse_ops_io_attach(c, p);
}

/* ---- from the question to the backing file ---- */

static void pass_give_up(struct fuse_pass *p, bool is_granted)
{
    struct fuse_ops *o = p->o;
    struct list waiting, *l;
    list_init(&waiting);
    list_splice(&waiting, &p->waiting);
    o->pass.refused++;
    if (o->pass.is_stopping || !is_granted)
        pass_free(p);
    else
        pass_leave(p);
    while ((l = list_pop(&waiting)))
        fuse_ops_io_attach(list_entry(l, struct fuse_ops_call, wait), NULL);
}

/* in the pool */
static void pass_fetch(struct env_op *op)
{
    struct fuse_pass *p = container_of(op, struct fuse_pass, work);
    struct stat st;
    int fd = cli_local_fetch(p->local.address, p->local.token);
    if (fd < 0) {
        op->ret = fd;
        return;
    }
    struct pass_map map = {.fd = fd};
    op->ret = 0;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != p->local.size)
        op->ret = E_CORRUPT;
    else if ((p->backing = ioctl(p->o->pass.fd, PASS_BACKING_OPEN, &map)) <= 0)
        op->ret = errno == EPERM ? E_PERM : E_NOTSUP;
    /* an open with O_DIRECT would fail where the worker's file system cannot do it */
    p->can_direct = fcntl(fd, F_SETFL, O_DIRECT) == 0;
    p->fd = fd;
}

static void pass_fetched(struct env_op *op)
{
    struct fuse_pass *p = container_of(op, struct fuse_pass, work);
    struct fuse_ops *o = p->o;
    struct list *l;
    pass_pending(o, -1);
    if (op->ret) {
        p->backing = 0;
        if ((op->ret == E_PERM || op->ret == E_NOTSUP) && o->pass.is_on) {
            fmt_log(o->env, ENV_LOG_INFO,
                    "the kernel does not take a worker's files as they are (%s): reads go through "
                    "this process",
                    op->ret == E_PERM ? "it needs CAP_SYS_ADMIN" : "the file system they are on");
            o->pass.is_on = false;
        }
        pass_give_up(p, true);
        return;
    }
    p->state = PASS_READY;
    p->users++; /* until all who waited are served */
    while ((l = list_pop(&p->waiting)))
        pass_use(p, list_entry(l, struct fuse_ops_call, wait));
    fuse_pass_put(p);
}

static void pass_asked(struct env_op *op)
{
    struct client_local *l = container_of(op, struct client_local, op);
    struct fuse_pass *p = container_of(l, struct fuse_pass, local);
    pass_pending(p->o, -1);
    if (op->ret || p->o->pass.is_stopping || l->version != p->version) {
        pass_give_up(p, op->ret == 0);
        return;
    }
    p->state = PASS_FETCHING;
    p->work.done = pass_fetched;
    pass_pending(p->o, 1);
    env_work(p->o->env, &p->work, pass_fetch);
}

static struct fuse_pass *pass_make(struct fuse_ops_call *c, struct fsattr *a)
{
    struct fuse_ops *o = c->o;
    if (o->pass.count >= PASS_MAX && !list_empty(&o->pass.idle))
        pass_leave(list_entry(o->pass.idle.next, struct fuse_pass, idle));
    struct fuse_pass *p =
        o->pass.count < PASS_MAX + PASS_MAX / 4 ? mem_zalloc(o->mem, sizeof *p) : NULL;
    if (!p)
        return NULL;
    p->o = o;
    p->ino = a->ino;
    p->version = p->seen = a->version;
    p->fd = p->fd_write = -1;
    list_init(&p->idle);
    list_init(&p->waiting);
    list_push_back(pass_bucket(o, a->ino), &p->link);
    o->pass.count++;
    o->pass.asked++;
    p->local.op.done = pass_asked;
    p->local.file = c->req.file;
    pass_pending(o, 1);
    client_local_ask(o->client, &p->local);
    return p;
}

/* May this open, as things are now, have a backing file? */
static bool pass_fits(const struct fuse_ops_call *c, const struct fsattr *a)
{
    struct fuse_ops *o = c->o;
    const struct fuse_node *n = fuse_node_find(&o->nodes, a->ino);
    if (!o->pass.is_on || o->pass.is_stopping || o->opts.direct_io || a->size < FUSE_PASS_MIN ||
        client_file_is_live(c->req.file) || (c->flags & O_ACCMODE) != O_RDONLY ||
        c->flags & O_TRUNC)
        return false;
    return !n || (n->n_aliases < PASS_ALIASES && n->open_now == n->n_pass);
}

bool fuse_pass_begin(struct fuse_ops_call *c)
{
    struct fsattr a = client_file_attr(c->req.file);
    if (!pass_fits(c, &a))
        return false;
    struct fuse_pass *p = pass_find(c->o, a.ino, a.version);
    if (p && p->state == PASS_READY) {
        pass_use(p, c);
        return true;
    }
    if (!p)
        p = pass_make(c, &a);
    if (p)
        list_push_back(&p->waiting, &c->wait);
    return p;
}

/* ---- what is written here ---- */

/* One change of a file: bytes at off; without bytes and a length, off as its new size; else a range
 * that is set aside or becomes a hole. */
struct pass_change {
    const void *bytes;
    size_t n;
    off_t off, len;
    int mode;
};

static bool pass_zero(int fd, off_t from, off_t end)
{
    static const char zeros[64 * 1024];
    for (off_t at = from; at < end;) {
        size_t n = end - at < (off_t)sizeof zeros ? (size_t)(end - at) : sizeof zeros;
        if (pwrite(fd, zeros, n, at) != (ssize_t)n)
            return false;
        at += (off_t)n;
    }
    return true;
}

/* What can be seen of it; the room that was set aside cannot. */
static bool pass_alloc(int fd, int mode, off_t off, off_t len)
{
    struct stat st;
    if (fstat(fd, &st))
        return false;
    bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && off + len > st.st_size;
    off_t end = off + len < st.st_size ? off + len : st.st_size;
    bool is_zeroed = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && end > off;
    if (is_zeroed && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, end - off) &&
        !pass_zero(fd, off, end))
        return false;
    return !grows || !ftruncate(fd, off + len);
}

static bool pass_change_one(int fd, const struct pass_change *c)
{
    if (c->bytes)
        return pwrite(fd, c->bytes, c->n, c->off) == (ssize_t)c->n;
    if (c->len)
        return pass_alloc(fd, c->mode, c->off, c->len);
    return !ftruncate(fd, c->off);
}

/* To every file that somebody reads past us and that is not behind. */
static void pass_apply(struct fuse_ops *o, struct ino ino, const struct pass_change *c)
{
    list_each(it, pass_bucket(o, ino)) {
        struct fuse_pass *p = list_entry(it, struct fuse_pass, link);
        char path[64];
        if (p->ino.v != ino.v || !p->is_written || p->is_behind)
            continue;
        fmt_into(path, sizeof path, "/proc/self/fd/%d", p->fd);
        if (p->fd_write < 0)
            p->fd_write = open(path, O_WRONLY | O_CLOEXEC);
        if (p->fd_write >= 0 && pass_change_one(p->fd_write, c))
            continue;
        p->is_behind = true;
        fmt_log(o->env, ENV_LOG_WARN,
                "who has file %llx open keeps seeing it as it was: its cached copy cannot be "
                "written: %s",
                (unsigned long long)ino.v, strerror(errno));
    }
}

/* Has nobody else changed it?  steps: by how many our own change has raised the version; it is one
 * less where a new size is the old one.  After a close of ours the cluster may count the file once
 * more: it does not trust a fingerprint that is as young as the clock's tick. */
static bool pass_is_current(const struct fuse_pass *p, const struct fsattr *a, uint64_t steps,
                            bool is_cut)
{
    uint64_t got = a->version - p->seen, want = steps + p->owed;
    struct stat st;
    if (got == want || (is_cut && got + 1 == want))
        return true;
    return p->owed && got == want + 1 &&
           (is_cut || (!fstat(p->fd, &st) && (uint64_t)st.st_size == a->size));
}

static void pass_follow(struct fuse_ops *o, const struct fsattr *a, uint64_t steps, bool is_cut)
{
    list_each(it, pass_bucket(o, a->ino)) {
        struct fuse_pass *p = list_entry(it, struct fuse_pass, link);
        if (p->ino.v != a->ino.v || p->state != PASS_READY || !p->users)
            continue;
        if (is_cut && !a->size) /* whatever it was, nothing is left of it */
            p->is_behind = false;
        else if (!pass_is_current(p, a, steps, is_cut))
            p->is_behind = true;
        p->is_written = true;
        p->owed = 0;
        p->seen = a->version;
    }
}

void fuse_pass_write_opened(struct fuse_ops *o, const struct fsattr *a, bool is_first, bool is_cut)
{
    if (!o->pass.count)
        return;
    pass_follow(o, a, (uint64_t)is_first + is_cut, is_cut);
    if (is_cut)
        pass_apply(o, a->ino, &(struct pass_change){.off = 0});
}

void fuse_pass_write_closed(struct fuse_ops *o, struct ino ino)
{
    list_each(it, pass_bucket(o, ino)) {
        struct fuse_pass *p = list_entry(it, struct fuse_pass, link);
        if (p->ino.v == ino.v && p->is_written)
            p->owed++;
    }
}

void fuse_pass_wrote(struct fuse_ops *o, struct ino ino, const void *bytes, size_t n, off_t off)
{
    if (o->pass.count)
        pass_apply(o, ino, &(struct pass_change){.bytes = bytes, .n = n, .off = off});
}

void fuse_pass_alloced(struct fuse_ops *o, struct ino ino, int mode, off_t off, off_t len)
{
    if (o->pass.count)
        pass_apply(o, ino, &(struct pass_change){.off = off, .len = len, .mode = mode});
}

void fuse_pass_sized(struct fuse_ops *o, const struct fsattr *a, off_t size)
{
    if (!o->pass.count)
        return;
    pass_follow(o, a, 1, true);
    pass_apply(o, a->ino, &(struct pass_change){.off = size});
}

void fuse_pass_stop(struct fuse_ops *o)
{
    o->pass.is_stopping = true;
    env_timer_stop(o->env, &o->pass.timer);
    for (unsigned i = 0; i < FUSE_PASS_BUCKETS; i++)
        list_each(it, &o->pass.bucket[i]) {
            struct fuse_pass *p = list_entry(it, struct fuse_pass, link);
            struct list *l;
            while ((l = list_pop(&p->waiting)))
                fuse_ops_err(list_entry(l, struct fuse_ops_call, wait), E_CANCELLED);
        }
}
