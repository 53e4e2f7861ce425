/* fuse/fuse_ops.c - the life of a request, and every operation on names and attributes.
 *
 *   device -> begin -> (caller, names copied) -> client_fs -> done -> answer -> end
 *                                   |
 *                     interrupt: INTERRUPT_GRACE later, if still unanswered: EINTR; the call lives
 *                     on until the client is done with it, then cleans up after itself
 *
 * INVARIANTS
 *  1. Every request is answered exactly once, on the loop's thread, by the client's deadline.
 *  2. A lifetime given to the kernel is never longer than the lease of the answer it came with.
 *  3. Every entry that reaches the kernel is counted in o->nodes, and its name's lifetime noted,
 *     before the answer is written; an answer that does not reach the kernel is uncounted.
 *  4. An interrupt is not an error at once: signals that programs handle (timers, a runtime's
 *     preemption) arrive all the time, and a stat that fails with EINTR breaks most of them.  Only
 *     a request that is stuck is given up; at once when its process is being killed.  A write that
 *     is given up begins nothing more, and the EINTR waits until nothing of it can land any more:
 *     else it could come over what its caller writes next.
 *
 * Who asks: mutations carry the calling user, because the master decides about them.  Queries ask
 * as root: the kernel has checked modes already (default_permissions), and one cached answer serves
 * all users. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core/fmt.h"
#include "fuse/fuse_ops.h"
#include "net/net_errno.h"

enum { GRACE_MS = 1000, MS = 1000000, OPS_DIR_SIZE = 4096 };

/* The kernel counts a lifetime from when it reads the answer, some time after we reckoned it. */
enum { NAME_SLACK_MS = 1000 };

static void ops_interrupt_tick(struct env_op *op);

int fuse_ops_init(struct fuse_ops *o, struct env *e, struct mem *m, const struct fuse_options *opts,
                  uint32_t buffers)
{
    memset(o, 0, sizeof *o);
    o->env = e;
    o->mem = m;
    o->opts = *opts;
    list_init(&o->interrupted);
    list_init(&o->waiting);
    o->interrupt_timer.op.done = ops_interrupt_tick;
    fuse_ops_inval_init(o);
    fuse_pass_init(o);
    buffers = (uint32_t)base_min_u64(buffers, m->budget / 4 / FUSE_OPS_BUFFER);
    o->n_buffers = buffers < 2 * FUSE_OPS_RESERVE ? 2 * FUSE_OPS_RESERVE : buffers;
    if (!mem_part(&o->buffers_part, m, (uint64_t)o->n_buffers * FUSE_OPS_BUFFER))
        return E_NOMEM;
    /* memory that is never touched is never used: a few requests at a time use a few buffers */
    o->buffers = mmap(NULL, (size_t)o->n_buffers * FUSE_OPS_BUFFER, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (o->buffers == MAP_FAILED) {
        o->buffers = NULL;
        return E_NOMEM;
    }
    madvise(o->buffers, (size_t)o->n_buffers * FUSE_OPS_BUFFER, MADV_HUGEPAGE);
    o->free_buffers = mem_zalloc(m, o->n_buffers * sizeof *o->free_buffers);
    o->scratch = mem_alloc(m, FUSE_OPS_IO);
    if (!o->free_buffers || !o->scratch)
        return E_NOMEM;
    for (uint32_t i = o->n_buffers; i-- > 0;)
        o->free_buffers[o->n_free++] = o->buffers + (size_t)i * FUSE_OPS_BUFFER;
    o->recv = fuse_ops_buffer_get(o);
    int err = pool_init(&o->calls, m, sizeof(struct fuse_ops_call), FUSE_OPS_CALLS);
    if (!err)
        err = fuse_node_init(&o->nodes, m);
    if (!err && !fuse_node_ref(&o->nodes, INO_ROOT))
        err = E_NOMEM;
    if (!err)
        err = fuse_inval_init(&o->inval, e, m, FUSE_INVAL_MAX);
    return err;
}

void fuse_ops_drop(struct fuse_ops *o)
{
    if (o->buffers)
        munmap(o->buffers, (size_t)o->n_buffers * FUSE_OPS_BUFFER);
    o->buffers = NULL;
}

bool fuse_ops_has_room(const struct fuse_ops *o)
{
    return o->recv && o->calls.free_count > 0;
}

char *fuse_ops_buffer_get(struct fuse_ops *o)
{
    return o->n_free ? o->free_buffers[--o->n_free] : NULL;
}

void fuse_ops_buffer_put(struct fuse_ops *o, char *b)
{
    if (!o->recv) {
        o->recv = b;
        if (o->on_room)
            o->on_room(o);
        return;
    }
    o->free_buffers[o->n_free++] = b;
    fuse_ops_io_room(o);
}

void fuse_ops_recv_next(struct fuse_ops *o)
{
    if (o->recv_kept)
        o->recv = fuse_ops_buffer_get(o);
    o->recv_kept = false;
}

/* The request's bytes stay where they were read; the device is read into another buffer. */
char *fuse_ops_keep_recv(struct fuse_ops_call *c)
{
    ASSERT(!c->o->recv_kept && !c->buf);
    c->o->recv_kept = true;
    c->buf = c->o->recv;
    return c->buf;
}

struct fuse_ops_call *fuse_ops_begin(fuse_req_t req, enum fuse_ops_kind kind)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    struct fuse_ops_call *c = pool_get(&o->calls);
    ASSERT(c); /* fuse_ops_has_room was true when the request was read */
    o->stats.requests++;
    c->o = o;
    c->fuse = req;
    c->kind = kind;
    c->inval_gen = o->inval_gen;
    list_init(&c->wait);
    list_init(&c->interrupt);
    return c;
}

void fuse_ops_end(struct fuse_ops_call *c)
{
    struct fuse_ops *o = c->o;
    if (list_linked(&c->interrupt))
        list_remove(&c->interrupt);
    if (list_linked(&c->wait))
        list_remove(&c->wait);
    char *buf = c->buf;
    bool was_full = o->calls.free_count == 0;
    pool_put(&o->calls, c);
    if (buf)
        fuse_ops_buffer_put(o, buf);
    if (was_full && o->on_room)
        o->on_room(o);
}

void fuse_ops_err(struct fuse_ops_call *c, int err)
{
    if (c->fuse) {
        fuse_reply_err(c->fuse, net_errno_from_err(err));
        c->fuse = NULL;
    }
    fuse_ops_end(c);
}

static void ops_interrupt_tick(struct env_op *op)
{
    struct fuse_ops *o = container_of(op, struct fuse_ops, interrupt_timer.op);
    int64_t now = env_now_ns(o->env);
    while (!list_empty(&o->interrupted)) {
        struct fuse_ops_call *c = list_entry(o->interrupted.next, struct fuse_ops_call, interrupt);
        if (c->interrupted_ns + GRACE_MS * MS > now) {
            env_timer_set(o->env, &o->interrupt_timer, c->interrupted_ns + GRACE_MS * MS);
            return;
        }
        list_remove(&c->interrupt);
        if (!c->fuse) /* answered since, and its call is not over */
            continue;
        o->stats.interrupted++;
        if (c->is_writing)
            client_give_up(o->client, &c->io);
        if (c->is_writing && !c->is_dying) { /* what it writes afterwards must come afterwards */
            c->is_given_up = true;
            continue;
        }
        fuse_reply_err(c->fuse, EINTR);
        c->fuse = NULL;
        if (list_linked(&c->wait)) /* it has not begun: nothing else knows of it */
            fuse_ops_io_room(o);
    }
}

/* Is the caller being killed?  Then nobody is there whom an EINTR could surprise: the kernel has
 * put SIGKILL to its thread's pending signals, also for another signal that ends it. */
static bool ops_is_dying(pid_t tid)
{
    char path[48], text[2048];
    unsigned long long pending = 0;
    fmt_into(path, sizeof path, "/proc/%u/status", (unsigned)tid);
    FILE *f = tid > 0 ? fopen(path, "re") : NULL;
    while (f && fgets(text, sizeof text, f))
        if (sscanf(text, "SigPnd: %llx", &pending) == 1)
            break;
    if (f)
        fclose(f);
    return pending >> (SIGKILL - 1) & 1;
}

static void ops_interrupted(fuse_req_t req, void *data)
{
    struct fuse_ops_call *c = data;
    struct fuse_ops *o = c->o;
    if (list_linked(&c->interrupt))
        return;
    c->interrupted_ns = env_now_ns(o->env);
    if (ops_is_dying(fuse_req_ctx(req)->pid)) {
        c->is_dying = true;
        c->interrupted_ns -= GRACE_MS * MS;
        list_push_front(&o->interrupted, &c->interrupt);
        env_timer_set(o->env, &o->interrupt_timer, env_now_ns(o->env));
        return;
    }
    list_push_back(&o->interrupted, &c->interrupt);
    if (!env_timer_is_set(&o->interrupt_timer))
        env_timer_set(o->env, &o->interrupt_timer, c->interrupted_ns + GRACE_MS * MS);
}

void fuse_ops_watch(struct fuse_ops_call *c)
{
    fuse_req_interrupt_func(c->fuse, ops_interrupted, c);
}

void fuse_ops_send(struct fuse_ops_call *c)
{
    c->req.op.done = fuse_ops_req_done;
    c->inval_gen = c->o->inval_gen;
    client_fs(c->o->client, &c->req);
}

void fuse_ops_abort(struct fuse_ops *o)
{
    env_timer_stop(o->env, &o->interrupt_timer);
    fuse_pass_stop(o);
    while (!list_empty(&o->waiting)) {
        struct fuse_ops_call *c = list_entry(o->waiting.next, struct fuse_ops_call, wait);
        if (c->file)
            c->file->busy--;
        fuse_ops_err(c, E_CANCELLED);
    }
}

void fuse_ops_caller(struct fuse_ops_call *c)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(c->fuse);
    struct fsop *op = &c->req.fsop;
    op->uid = ctx->uid;
    op->gid = ctx->gid;
    if (!ctx->uid)
        return;
    /* read from /proc, some 20 us: only where it can matter */
    gid_t groups[LIMIT_GROUPS];
    int n = fuse_req_getgroups(c->fuse, LIMIT_GROUPS, groups);
    for (int i = 0; i < n && i < LIMIT_GROUPS; i++)
        op->groups[op->n_groups++] = groups[i];
}

static bool ops_name(struct fuse_ops_call *c, const char *name)
{
    size_t n = strlen(name);
    if (n > LIMIT_NAME) {
        fuse_ops_err(c, E_NAMETOOLONG);
        return false;
    }
    memcpy(c->name, name, n + 1);
    c->name_len = (uint32_t)n;
    c->req.fsop.name = c->name;
    c->req.fsop.name_len = c->name_len;
    return true;
}

static bool ops_name2(struct fuse_ops_call *c, const char *name)
{
    size_t n = strlen(name);
    if (n > LIMIT_NAME) {
        fuse_ops_err(c, E_NAMETOOLONG);
        return false;
    }
    memcpy(c->name2, name, n + 1);
    c->name2_len = (uint32_t)n;
    c->req.fsop.name2 = c->name2;
    c->req.fsop.name2_len = c->name2_len;
    return true;
}

struct stat fuse_ops_stat(const struct fsattr *a)
{
    struct stat st = {0};
    st.st_ino = a->ino.v;
    st.st_mode = a->mode;
    st.st_nlink = a->nlink;
    st.st_uid = a->uid;
    st.st_gid = a->gid;
    st.st_rdev = a->rdev;
    /* a directory's is the number of known names: tar would take a listing for a change */
    uint64_t size = (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR ? OPS_DIR_SIZE : a->size;
    st.st_size = (off_t)size;
    st.st_blocks = (blkcnt_t)((size + 511) / 512);
    st.st_blksize = 4096; /* larger ones upset the kernel's page cache */
    const int64_t ns[3] = {a->atime_ns, a->mtime_ns, a->ctime_ns};
    struct timespec *to[3] = {&st.st_atim, &st.st_mtim, &st.st_ctim};
    for (int i = 0; i < 3; i++) {
        int64_t rest = ns[i] % 1000000000;
        to[i]->tv_sec = ns[i] / 1000000000 - (rest < 0);
        to[i]->tv_nsec = rest < 0 ? rest + 1000000000 : rest;
    }
    return st;
}

/* A sixteenth less than the lease: the kernel counts from when the asking process runs again. */
double fuse_ops_seconds(int64_t most_ns, uint64_t lease_ns)
{
    return (double)base_min_u64((uint64_t)most_ns, lease_ns - lease_ns / 16) / 1e9;
}

double fuse_ops_attr_seconds(struct fuse_ops *o, const struct fsattr *a, uint64_t lease_ns)
{
    struct fuse_node *n = fuse_node_find(&o->nodes, a->ino);
    int64_t keep = (int64_t)base_min_u64((uint64_t)o->opts.attr_ns, lease_ns);
    /* two inodes of the kernel: a change made through one would not reach the other's attributes */
    if (a->flags & FSATTR_LIVE || !keep || (n && n->alias))
        return 0;
    int64_t until = env_now_ns(o->env) + keep + (int64_t)NAME_SLACK_MS * MS;
    if (n && n->attr_until_ns < until)
        n->attr_until_ns = until;
    return fuse_ops_seconds(keep, lease_ns);
}

bool fuse_ops_entry(struct fuse_ops *o, struct ino parent, const char *name, size_t len,
                    const struct fsattr *a, uint64_t lease_ns, struct fuse_entry_param *ret_e)
{
    struct fuse_node *n = fuse_node_ref(&o->nodes, a->ino);
    if (!n)
        return false;
    n->parent = parent;
    n->mode = a->mode;
    n->uid = a->uid;
    n->gid = a->gid;
    *ret_e = (struct fuse_entry_param){.ino = fuse_node_id(n), .attr = fuse_ops_stat(a)};
    ret_e->attr_timeout = fuse_ops_attr_seconds(o, a, lease_ns);
    ret_e->entry_timeout = fuse_ops_seconds(o->opts.entry_ns, lease_ns);
    int64_t lease = (int64_t)base_min_u64((uint64_t)o->opts.entry_ns, lease_ns);
    if (lease)
        fuse_node_name_given(&o->nodes, parent, name, len,
                             env_now_ns(o->env) + lease + (int64_t)NAME_SLACK_MS * MS);
    return true;
}

/* An answer that an invalidation has overtaken is given without a lifetime. */
static uint64_t ops_lease(const struct fuse_ops_call *c)
{
    return c->inval_gen == c->o->inval_gen ? c->req.reply.lease_ns : 0;
}

/* Attributes are asked for after all: of the rest of that directory they are brought at once, and
 * of the next ones with their names. */
static void ops_looked_up(struct fuse_ops_call *c)
{
    struct fuse_node *n = fuse_node_find(&c->o->nodes, c->parent);
    if (!n || !n->is_listed || (c->req.reply.attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR)
        return;
    c->o->plain = 0;
    n->is_asked = n->names_only;
    if (c->req.reply.index)
        fuse_ops_dir_missed(c->o, c->parent);
}

static void ops_entry_done(struct fuse_ops_call *c, int err)
{
    struct fuse_ops *o = c->o;
    struct fuse_entry_param e = {0};
    uint64_t lease = ops_lease(c);
    if (!err && c->req.fsop.kind == FSOP_LOOKUP)
        ops_looked_up(c);
    if (err == E_NOENT && c->req.fsop.kind == FSOP_LOOKUP && c->fuse) {
        int64_t keep = (int64_t)base_min_u64((uint64_t)o->opts.negative_ns, lease);
        if (keep) {
            e.entry_timeout = fuse_ops_seconds(keep, lease);
            fuse_node_name_given(&o->nodes, c->parent, c->name, c->name_len,
                                 env_now_ns(o->env) + keep + (int64_t)NAME_SLACK_MS * MS);
            fuse_reply_entry(c->fuse, &e);
            c->fuse = NULL;
        }
    }
    if (err || !c->fuse) {
        fuse_ops_err(c, err);
        return;
    }
    if (!fuse_ops_entry(o, c->parent, c->name, c->name_len, &c->req.reply.attr, lease, &e)) {
        fuse_ops_err(c, E_NOMEM);
        return;
    }
    if (fuse_reply_entry(c->fuse, &e))
        fuse_node_forget(&o->nodes, c->req.reply.attr.ino, 1);
    fuse_ops_end(c);
}

static void ops_statfs_done(struct fuse_ops_call *c, int err)
{
    struct fsop_statfs s = {0};
    struct rbuf r = rbuf_make(c->req.reply.data, c->req.reply.data_len);
    if (!err)
        err = fsop_statfs_get(&r, &s);
    if (err || !c->fuse) {
        fuse_ops_err(c, err);
        return;
    }
    struct statvfs v = {.f_namemax = s.name_max ? s.name_max : LIMIT_NAME};
    v.f_bsize = v.f_frsize = s.block ? s.block : 4096;
    v.f_blocks = s.bytes / v.f_frsize;
    v.f_bfree = v.f_bavail = s.bytes_free / v.f_frsize;
    v.f_files = s.files;
    v.f_ffree = v.f_favail = s.files_free;
    fuse_reply_statfs(c->fuse, &v);
    fuse_ops_end(c);
}

/* The names of attributes that a user may see. */
static uint32_t ops_xattr_visible(char *to, const char *list, uint32_t n)
{
    uint32_t len = 0;
    for (uint32_t at = 0, k; at < n; at += k) {
        const char *end = memchr(list + at, 0, n - at);
        k = end ? (uint32_t)(end - list) - at + 1 : n - at;
        if (k > 8 && !memcmp(list + at, "trusted.", 8))
            continue;
        memcpy(to + len, list + at, k);
        len += k;
    }
    return len;
}

static void ops_xattr_done(struct fuse_ops_call *c, int err)
{
    uint32_t n = c->req.reply.data_len;
    const char *data = c->req.reply.data;
    if (!err && n > LIMIT_XATTR_LIST) /* as long as a value may be, too */
        err = E_PROTO;
    if (!err && c->is_user) {
        n = ops_xattr_visible(c->o->scratch, data, n);
        data = c->o->scratch;
    }
    if (!err && c->size && n > c->size)
        err = E_RANGE;
    if (err || !c->fuse) {
        fuse_ops_err(c, err);
        return;
    }
    if (!c->size)
        fuse_reply_xattr(c->fuse, n);
    else
        fuse_reply_buf(c->fuse, data, n);
    fuse_ops_end(c);
}

static void ops_readlink_done(struct fuse_ops_call *c, int err)
{
    char target[LIMIT_PATH];
    uint32_t n = c->req.reply.data_len;
    if (!err && n >= sizeof target)
        err = E_NAMETOOLONG;
    if (err || !c->fuse) {
        fuse_ops_err(c, err);
        return;
    }
    memcpy(target, c->req.reply.data, n);
    target[n] = '\0';
    fuse_reply_readlink(c->fuse, target);
    fuse_ops_end(c);
}

/* The kernel moves its entry, with the lifetime it had, to the new name. */
static void ops_none_done(struct fuse_ops_call *c, int err)
{
    const struct fsop *op = &c->req.fsop;
    struct fuse_nodes *t = &c->o->nodes;
    if (op->kind == FSOP_STATFS && err == E_STALE)
        err = 0; /* a directory that is no more has nothing to sync */
    if (op->kind == FSOP_RENAME && err == E_NOTSUP)
        err = E_INVAL; /* what renameat2 says of flags that a file system does not have */
    if (op->kind == FSOP_RENAME) {
        int64_t a = fuse_node_name_until(t, op->ino, c->name, c->name_len);
        int64_t b = fuse_node_name_until(t, op->ino2, c->name2, c->name2_len);
        fuse_node_name_given(t, op->ino2, c->name2, c->name2_len, a);
        if (op->flags & FSOP_F_EXCHANGE)
            fuse_node_name_given(t, op->ino, c->name, c->name_len, b);
    }
    fuse_ops_err(c, err);
}

/* What is no more may still be somebody's working directory, or be held by O_PATH: it has no names,
 * and the kernel, which asks before every use of a directory, then says ENOENT by itself. */
static bool ops_attr_gone(struct fuse_ops_call *c)
{
    const struct fuse_node *n = fuse_node_find(&c->o->nodes, c->req.fsop.ino);
    if (!n || !n->mode)
        return false;
    c->req.reply.attr =
        (struct fsattr){.ino = n->ino, .mode = n->mode, .uid = n->uid, .gid = n->gid};
    c->req.reply.lease_ns = 0;
    return true;
}

void fuse_ops_req_done(struct env_op *op)
{
    struct fuse_ops_call *c = container_of(op, struct fuse_ops_call, req.op);
    int err = op->ret < 0 ? (int)op->ret : 0;
    switch (c->kind) {
    case CALL_ENTRY:
        ops_entry_done(c, err);
        return;
    case CALL_ATTR:
        if (err == E_STALE && c->req.fsop.kind == FSOP_GETATTR && ops_attr_gone(c))
            err = 0;
        if (!err && c->req.fsop.kind == FSOP_SETATTR && c->req.fsop.valid & FSOP_SET_SIZE)
            fuse_pass_sized(c->o, &c->req.reply.attr, (off_t)c->req.fsop.size);
        if (!err && c->fuse) {
            struct stat st = fuse_ops_stat(&c->req.reply.attr);
            fuse_reply_attr(c->fuse, &st,
                            fuse_ops_attr_seconds(c->o, &c->req.reply.attr, ops_lease(c)));
            c->fuse = NULL;
        }
        fuse_ops_err(c, err);
        return;
    case CALL_NONE:
        ops_none_done(c, err);
        return;
    case CALL_READLINK:
        ops_readlink_done(c, err);
        return;
    case CALL_STATFS:
        ops_statfs_done(c, err);
        return;
    case CALL_XATTR:
        ops_xattr_done(c, err);
        return;
    case CALL_WRITE_KILL:
        fuse_ops_io_killed(c, err);
        return;
    case CALL_WRITE_PLACE:
        fuse_ops_io_placed(c, err);
        return;
    case CALL_WRITE_UNDO:
        fuse_ops_io_undone(c);
        return;
    case CALL_LSEEK:
        fuse_ops_io_lseek(c, err);
        return;
    case CALL_READDIR:
        fuse_ops_dir_filled(c, err);
        return;
    case CALL_OPEN:
    case CALL_CREATE_OPEN:
        fuse_ops_io_opened(c, err);
        return;
    case CALL_CREATE:
    case CALL_CREATE_FOUND:
        fuse_ops_io_created(c, err);
        return;
    case CALL_READ:
    case CALL_WRITE:
    case CALL_WRITE_SYNC:
    case CALL_ALLOC:
    case CALL_FSYNC:
    case CALL_RELEASE:
        break; /* files: fuse_ops_io.c */
    }
    ASSERT(!"a file operation ended as a metadata operation");
}

/* begins a call about one inode and, if there is one, a name below it */
static struct fuse_ops_call *ops_start(fuse_req_t req, enum fuse_ops_kind kind, uint16_t fsop,
                                       fuse_ino_t ino, const char *name)
{
    struct fuse_ops_call *c = fuse_ops_begin(req, kind);
    c->req.fsop.kind = fsop;
    c->req.fsop.ino.v = ino;
    c->parent.v = ino;
    if (name && !ops_name(c, name))
        return NULL;
    fuse_ops_watch(c);
    if (!fsop_is_query(fsop))
        fuse_ops_caller(c);
    return c;
}

static void ops_init(void *ctx, struct fuse_conn_info *conn)
{
    struct fuse_ops *o = ctx;
    const unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
                          FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO |
                          FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPIRE_ONLY;
    /* not AUTO_INVAL_DATA: versions and invalidations say when pages are old, an mtime does not.
     * HANDLE_KILLPRIV_V2 is added by fuse_loop.c: this libfuse does not know it. */
    conn->want = conn->capable & want;
    o->inval.can_expire = conn->capable & FUSE_CAP_EXPIRE_ONLY;
    o->inval.no_epoch |= o->opts.inner_mounts;
    conn->max_write = FUSE_OPS_IO;
    conn->max_read = o->opts.max_read; /* as mounted, or libfuse refuses */
    conn->max_background = o->opts.max_background ? o->opts.max_background : 128;
    conn->congestion_threshold = conn->max_background * 3 / 4;
    conn->time_gran = 1;
    o->is_init = true;
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_ops_call *c = ops_start(req, CALL_ENTRY, FSOP_LOOKUP, parent, name);
    if (!c)
        return;
    struct fuse_node *n = fuse_node_find(&c->o->nodes, c->parent);
    if (n && n->is_asked) {
        c->req.fsop.mode = 1;
        n->names_only = n->is_asked = false;
    }
    fuse_ops_send(c);
}

static void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    if (ino != INO_ROOT.v)
        fuse_node_forget(&o->nodes, (struct ino){ino}, nlookup);
    fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *f)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    for (size_t i = 0; i < count; i++)
        if (f[i].ino != INO_ROOT.v)
            fuse_node_forget(&o->nodes, (struct ino){f[i].ino}, f[i].nlookup);
    fuse_reply_none(req);
}

static void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    fuse_ops_send(ops_start(req, CALL_ATTR, FSOP_GETATTR, ino, NULL));
}

/* from 1677 to 2262: what is beyond is as far as it goes */
static int64_t ops_ns(struct timespec t)
{
    const int64_t most = INT64_MAX / 1000000000 - 1;
    if (t.tv_sec > most || t.tv_sec < -most)
        return (t.tv_sec > 0 ? most : -most) * 1000000000;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                        struct fuse_file_info *fi)
{
    static const struct {
        int fuse;
        uint32_t fsop;
    } map[] = {
        {FUSE_SET_ATTR_MODE, FSOP_SET_MODE},
        {FUSE_SET_ATTR_UID, FSOP_SET_UID},
        {FUSE_SET_ATTR_GID, FSOP_SET_GID},
        {FUSE_SET_ATTR_SIZE, FSOP_SET_SIZE},
        {FUSE_SET_ATTR_ATIME_NOW, FSOP_SET_ATIME_NOW},
        {FUSE_SET_ATTR_MTIME_NOW, FSOP_SET_MTIME_NOW},
    };
    struct fuse_ops_call *c = ops_start(req, CALL_ATTR, FSOP_SETATTR, ino, NULL);
    struct fsop *op = &c->req.fsop;
    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if (to_set & map[i].fuse)
            op->valid |= map[i].fsop;
    if (to_set & FUSE_SET_ATTR_ATIME && !(op->valid & FSOP_SET_ATIME_NOW))
        op->valid |= FSOP_SET_ATIME;
    if (to_set & FUSE_SET_ATTR_MTIME && !(op->valid & FSOP_SET_MTIME_NOW))
        op->valid |= FSOP_SET_MTIME;
    op->mode = st->st_mode & 07777;
    op->set_uid = st->st_uid;
    op->set_gid = st->st_gid;
    op->size = (uint64_t)st->st_size;
    op->atime_ns = ops_ns(st->st_atim);
    op->mtime_ns = ops_ns(st->st_mtim);
    if (!op->valid) {
        op->kind = FSOP_GETATTR; /* ctime alone: the master's business */
    } else if (fi && op->valid == FSOP_SET_SIZE) {
        /* ftruncate: the right to write was given when the file was opened */
        uint32_t uid = op->uid;
        op->uid = op->gid = op->n_groups = 0;
        uint32_t mode = uid ? fuse_ops_io_killed_mode(fi) : 0;
        if (mode) {
            op->valid |= FSOP_SET_MODE;
            op->mode = mode;
        }
    }
    fuse_ops_send(c);
}

static void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
    fuse_ops_send(ops_start(req, CALL_READLINK, FSOP_READLINK, ino, NULL));
}

static void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct fuse_ops_call *c = ops_start(req, CALL_ENTRY, FSOP_MKNOD, parent, name);
    if (!c)
        return;
    c->req.fsop.mode = mode & S_IFMT ? mode : mode | S_IFREG;
    c->req.fsop.rdev = (uint32_t)rdev;
    fuse_ops_send(c);
}

static void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_ops_call *c = ops_start(req, CALL_ENTRY, FSOP_MKDIR, parent, name);
    if (!c)
        return;
    c->req.fsop.mode = mode & 07777;
    fuse_ops_send(c);
}

static void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_ops_call *c = ops_start(req, CALL_NONE, FSOP_UNLINK, parent, name);
    if (c)
        fuse_ops_send(c);
}

static void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_ops_call *c = ops_start(req, CALL_NONE, FSOP_RMDIR, parent, name);
    if (c)
        fuse_ops_send(c);
}

static void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct fuse_ops_call *c = ops_start(req, CALL_ENTRY, FSOP_SYMLINK, parent, name);
    if (!c)
        return;
    size_t n = strlen(target);
    if (n >= LIMIT_PATH) {
        fuse_ops_err(c, E_NAMETOOLONG);
        return;
    }
    fuse_ops_keep_recv(c);
    c->req.fsop.data = target;
    c->req.fsop.data_len = (uint32_t)n;
    fuse_ops_send(c);
}

static void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                       const char *newname, unsigned flags)
{
    struct fuse_ops_call *c = ops_start(req, CALL_NONE, FSOP_RENAME, parent, name);
    if (!c || !ops_name2(c, newname))
        return;
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        fuse_ops_err(c, E_INVAL);
        return;
    }
    c->req.fsop.ino2.v = newparent;
    c->req.fsop.flags = (uint16_t)((flags & RENAME_NOREPLACE ? FSOP_F_NOREPLACE : 0) |
                                   (flags & RENAME_EXCHANGE ? FSOP_F_EXCHANGE : 0));
    fuse_ops_send(c);
}

static void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    struct fuse_ops_call *c = ops_start(req, CALL_ENTRY, FSOP_LINK, ino, newname);
    if (!c)
        return;
    c->parent.v = newparent;
    c->req.fsop.ino2.v = newparent;
    fuse_ops_send(c);
}

static void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    fuse_ops_send(ops_start(req, CALL_STATFS, FSOP_STATFS, ino ? ino : INO_ROOT.v, NULL));
}

/* Asked by the kernel before every write (security.capability) and by ls for every file (system.
 * posix_acl_*); the store has only user.* and trusted.*, so these are answered here: 0, or an
 * errno. "Not supported" is asked once for a mount by ls, ENODATA for every file. */
static int ops_xattr_refuse(const struct fuse_ops *o, const char *name)
{
    if (o->opts.noxattr)
        return ENOSYS;
    if (!strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8))
        return strchr(name, '.')[1] ? 0 : EINVAL;
    return EOPNOTSUPP;
}

static void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                         size_t size, int flags)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    int refuse = ops_xattr_refuse(o, name);
    if (refuse) {
        fuse_reply_err(req, refuse);
        return;
    }
    struct fuse_ops_call *c = ops_start(req, CALL_NONE, FSOP_SETXATTR, ino, name);
    if (!c)
        return;
    if (size > LIMIT_XATTR_VALUE) {
        fuse_ops_err(c, E_2BIG);
        return;
    }
    fuse_ops_keep_recv(c);
    c->req.fsop.data = value;
    c->req.fsop.data_len = (uint32_t)size;
    c->req.fsop.flags =
        (uint16_t)((flags & 1 ? FSOP_F_XATTR_CREATE : 0) | (flags & 2 ? FSOP_F_XATTR_REPLACE : 0));
    fuse_ops_send(c);
}

static void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    int refuse = ops_xattr_refuse(o, name);
    if (refuse) {
        fuse_reply_err(req, refuse);
        return;
    }
    struct fuse_ops_call *c = ops_start(req, CALL_XATTR, FSOP_GETXATTR, ino, name);
    if (!c)
        return;
    c->size = size;
    fuse_ops_send(c);
}

static void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    if (o->opts.noxattr) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    struct fuse_ops_call *c = ops_start(req, CALL_XATTR, FSOP_LISTXATTR, ino, NULL);
    c->size = size;
    c->is_user = fuse_req_ctx(req)->uid != 0;
    fuse_ops_send(c);
}

static void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    int refuse = ops_xattr_refuse(o, name);
    if (refuse) {
        fuse_reply_err(req, refuse);
        return;
    }
    struct fuse_ops_call *c = ops_start(req, CALL_NONE, FSOP_REMOVEXATTR, ino, name);
    if (c)
        fuse_ops_send(c);
}

static void ops_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    struct fuse_ops_call *c = ops_start(req, CALL_NONE, FSOP_ACCESS, ino, NULL);
    c->req.fsop.mode = (uint32_t)mask & 7;
    fuse_ops_caller(c);
    fuse_ops_send(c);
}

/* Locks and ioctl are left out: the kernel answers ENOTTY itself, and
 * keeps locks among the processes of this host. */
const struct fuse_lowlevel_ops fuse_ops_table = {
    .init = ops_init,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .setattr = ops_setattr,
    .readlink = ops_readlink,
    .mknod = ops_mknod,
    .mkdir = ops_mkdir,
    .unlink = ops_unlink,
    .rmdir = ops_rmdir,
    .symlink = ops_symlink,
    .rename = ops_rename,
    .link = ops_link,
    .open = fuse_ops_io_open,
    .create = fuse_ops_io_create,
    .read = fuse_ops_io_read,
    .write = fuse_ops_io_write,
    .flush = fuse_ops_io_flush,
    .release = fuse_ops_io_release,
    .fsync = fuse_ops_io_fsync,
    .lseek = fuse_ops_io_seek,
    .fallocate = fuse_ops_io_alloc,
    .opendir = fuse_ops_dir_open,
    .readdir = fuse_ops_dir_read,
    .readdirplus = fuse_ops_dir_readplus,
    .releasedir = fuse_ops_dir_release,
    .fsyncdir = fuse_ops_dir_fsync,
    .statfs = ops_statfs,
    .setxattr = ops_setxattr,
    .getxattr = ops_getxattr,
    .listxattr = ops_listxattr,
    .removexattr = ops_removexattr,
    .access = ops_access,
};
