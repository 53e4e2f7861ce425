/* cluster/tarn.c - each call: submit, run the loop until done, return.
 *
 * INVARIANT: no request outlives its call.  The client completes every request by its deadline, so
 * running until the flag is set always ends; the loop's own limit (twice the deadline) is a guard
 * against a bug there and panics rather than leaving a request on a dead stack. */
#include "cluster/tarn.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/ufs_dir.h"
#include "net/net.h"

enum { TARN_DIR_BYTES = LIMIT_BATCH };

struct tarn {
    struct net *net;
    struct mem mem;
    struct client *client;
    struct tarn_options options;
};

struct tarn_file {
    struct tarn *t;
    struct client_file *file;
};

struct tarn_dir {
    struct tarn *t;
    struct ino ino;
    uint64_t cookie;
    bool at_end;
    struct rbuf batch;
    char name[LIMIT_NAME + 1];
    uint8_t bytes[TARN_DIR_BYTES];
};

struct tarn_wait {
    struct env_op op;
    bool is_done;
};

struct tarn_options tarn_options_default(void)
{
    struct tarn_options o = {.client = client_config_default(),
                             .memory_bytes = 256 << 20,
                             .uid = geteuid(),
                             .gid = getegid(),
                             .direct_under_store = true,
                             .log_level = ENV_LOG_ERROR};
    gid_t groups[NGROUPS_MAX];
    int n = getgroups(NGROUPS_MAX, groups); /* as for a mount: of very many, the first */
    for (int i = 0; i < n && o.n_groups < LIMIT_GROUPS; i++)
        o.groups[o.n_groups++] = groups[i];
    return o;
}

const char *tarn_strerror(int err)
{
    return err_text(err);
}

struct client *tarn_client(struct tarn *t)
{
    return t->client;
}

struct env *tarn_env(struct tarn *t)
{
    return net_env(t->net);
}

int tarn_run_until(struct tarn *t, const bool *flag, int64_t deadline_ns)
{
    return net_run_until(t->net, flag, deadline_ns);
}

static void tarn_wait_for(struct tarn *t, const bool *flag)
{
    int64_t guard_ns = env_now_ns(tarn_env(t)) + 2 * t->options.client.deadline_ns + 60000000000LL;
    int err = tarn_run_until(t, flag, guard_ns);
    ASSERT(!err && *flag);
}

static void tarn_wait_done(struct env_op *op)
{
    container_of(op, struct tarn_wait, op)->is_done = true;
}

int tarn_connect(const struct tarn_options *o, struct tarn **ret_t)
{
    struct tarn *t = calloc(1, sizeof *t);
    if (!t)
        return E_NOMEM;
    t->options = *o;
    if (t->options.client.deadline_ns <= 0)
        t->options.client.deadline_ns = client_config_default().deadline_ns;
    if (o->direct_under_store)
        t->options.client.ufs = ufs_dir_factory();
    struct net_config nc = {.node = "client",
                            .log_level = o->log_level,
                            .held_max = o->memory_bytes / 16 + (8 << 20),
                            .secret_file = o->secret_file};
    int err = net_open(&nc, &t->net);
    if (err) {
        free(t);
        return err;
    }
    mem_init(&t->mem, net_mem_source(), o->memory_bytes);
    err = client_open(tarn_env(t), &t->mem, &t->options.client, NULL, &t->client);
    if (!err) {
        const int *refused;
        const bool *decided = client_decided(t->client, &refused);
        err = tarn_run_until(t, decided, env_now_ns(tarn_env(t)) + t->options.client.deadline_ns);
        err = (!err || err == E_TIMEOUT) && *refused ? *refused : err;
    }
    if (!err) {
        struct fsattr root;
        err = tarn_stat(t, "/", &root);
    }
    if (err) {
        tarn_disconnect(t);
        return err;
    }
    *ret_t = t;
    return 0;
}

void tarn_disconnect(struct tarn *t)
{
    if (t->client) {
        struct tarn_wait w = {.op.done = tarn_wait_done};
        client_stop(t->client, &w.op);
        tarn_run_until(t, &w.is_done, env_now_ns(tarn_env(t)) + 3000000000LL);
    }
    net_close(t->net); /* nothing runs after this, a stop that was too slow included */
    mem_drop(&t->mem);
    free(t);
}

struct tarn_request {
    struct client_req req;
    bool is_done;
    void *data;
    uint32_t cap;
};

static void tarn_request_done(struct env_op *op)
{
    struct tarn_request *q =
        container_of(container_of(op, struct client_req, op), struct tarn_request, req);
    struct fsop_reply *rep = &q->req.reply;
    if (rep->data_len && q->data) {
        if (rep->data_len <= q->cap)
            memcpy(q->data, rep->data, rep->data_len);
        else
            op->ret = E_RANGE;
    }
    rep->data = q->data;
    q->is_done = true;
}

static int tarn_do(struct tarn *t, struct tarn_request *q, bool walk, bool follow)
{
    q->req.op.done = tarn_request_done;
    q->req.fsop.uid = t->options.uid;
    q->req.fsop.gid = t->options.gid;
    q->req.fsop.n_groups = t->options.n_groups;
    memcpy(q->req.fsop.groups, t->options.groups, sizeof q->req.fsop.groups);
    if (walk)
        client_walk(t->client, &q->req, follow);
    else
        client_fs(t->client, &q->req);
    tarn_wait_for(t, &q->is_done);
    return (int)q->req.op.ret;
}

int tarn_fs(struct tarn *t, struct client_req *r, void *data, uint32_t cap)
{
    struct tarn_request q = {.req = *r, .data = data, .cap = cap};
    int err = tarn_do(t, &q, false, false);
    r->reply = q.req.reply;
    r->file = q.req.file;
    return err;
}

int tarn_walk(struct tarn *t, const char *path, bool follow, struct fsattr *ret_a)
{
    struct tarn_request q = {0};
    if (path[0] != '/' || strlen(path) >= LIMIT_PATH)
        return path[0] == '/' ? E_NAMETOOLONG : E_INVAL;
    q.req.fsop.name = path;
    q.req.fsop.name_len = (uint32_t)strlen(path);
    int err = tarn_do(t, &q, true, follow);
    *ret_a = q.req.reply.attr;
    return err;
}

int tarn_walk_parent(struct tarn *t, const char *path, struct fsattr *ret_parent,
                     char ret_name[LIMIT_NAME + 1])
{
    char parent[LIMIT_PATH];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t at = n;
    while (at > 0 && path[at - 1] != '/')
        at--;
    if (path[0] != '/')
        return E_INVAL;
    if (n == 1)
        return E_BUSY; /* the root has no name */
    if (at >= sizeof parent || n - at > LIMIT_NAME)
        return E_NAMETOOLONG;
    memcpy(parent, path, at);
    parent[at] = 0;
    memcpy(ret_name, path + at, n - at);
    ret_name[n - at] = 0;
    int err = tarn_walk(t, parent, true, ret_parent);
    if (!err && (ret_parent->mode & FSOP_S_IFMT) != FSOP_S_IFDIR)
        return E_NOTDIR;
    return err;
}

int tarn_stat(struct tarn *t, const char *path, struct fsattr *ret_a)
{
    return tarn_walk(t, path, true, ret_a);
}

int tarn_lstat(struct tarn *t, const char *path, struct fsattr *ret_a)
{
    return tarn_walk(t, path, false, ret_a);
}

/* an operation on the last name of a path */
static int tarn_at_name(struct tarn *t, uint16_t kind, const char *path, struct fsop *op,
                        struct fsattr *ret_a)
{
    struct fsattr parent;
    struct client_req r = {0};
    char name[LIMIT_NAME + 1];
    int err = tarn_walk_parent(t, path, &parent, name);
    if (err)
        return err;
    if (op)
        r.fsop = *op;
    r.fsop.kind = kind;
    r.fsop.name = name;
    r.fsop.name_len = (uint32_t)strlen(name);
    if (kind == FSOP_LINK)
        r.fsop.ino2 = parent.ino;
    else
        r.fsop.ino = parent.ino;
    err = tarn_fs(t, &r, NULL, 0);
    if (ret_a)
        *ret_a = r.reply.attr;
    return err;
}

int tarn_open(struct tarn *t, const char *path, unsigned flags, uint32_t mode,
              struct tarn_file **ret_f)
{
    struct fsattr a;
    int err = tarn_walk(t, path, true, &a);
    if (!err && (flags & TARN_CREATE) && (flags & TARN_EXCL))
        return E_EXIST;
    if (err == E_NOENT && (flags & TARN_CREATE)) {
        struct fsop op = {.mode = FSOP_S_IFREG | (mode & 07777)};
        err = tarn_at_name(t, FSOP_MKNOD, path, &op, &a);
        if (err == E_EXIST && !(flags & TARN_EXCL)) /* somebody was faster */
            err = tarn_walk(t, path, true, &a);
    }
    if (err)
        return err;
    if ((a.mode & FSOP_S_IFMT) == FSOP_S_IFDIR)
        return E_ISDIR;
    struct client_req r = {.fsop = {.kind = FSOP_OPEN, .ino = a.ino}};
    r.fsop.mode =
        (flags & TARN_READ ? FSOP_ACCESS_R : 0) | (flags & TARN_WRITE ? FSOP_ACCESS_W : 0);
    r.fsop.flags = flags & TARN_TRUNC ? FSOP_F_TRUNC : 0;
    err = tarn_fs(t, &r, NULL, 0);
    if (err)
        return err;
    struct tarn_file *f = calloc(1, sizeof *f);
    ASSERT(f);
    f->t = t;
    f->file = r.file;
    *ret_f = f;
    return 0;
}

struct tarn_io {
    struct client_io io;
    bool is_done;
};

static void tarn_io_done(struct env_op *op)
{
    container_of(container_of(op, struct client_io, op), struct tarn_io, io)->is_done = true;
}

typedef void tarn_io_fn(struct client *c, struct client_io *io);

static int64_t tarn_io(struct tarn_file *f, tarn_io_fn *fn, void *buf, uint32_t len, uint64_t off)
{
    struct tarn_io q = {
        .io = {.op.done = tarn_io_done, .file = f->file, .buf = buf, .len = len, .off = off}};
    fn(f->t->client, &q.io);
    tarn_wait_for(f->t, &q.is_done);
    return q.io.op.ret;
}

/* in steps of 4 MiB, so that one request stays within its deadline */
static int64_t tarn_io_all(struct tarn_file *f, tarn_io_fn *fn, char *buf, size_t len, uint64_t off)
{
    size_t done = 0;
    while (done < len) {
        uint32_t step = (uint32_t)base_min_u64(len - done, 4 << 20);
        int64_t n = tarn_io(f, fn, buf + done, step, off + done);
        if (n < 0)
            return done ? (int64_t)done : n;
        done += (size_t)n;
        if (n < step)
            break;
    }
    return (int64_t)done;
}

int64_t tarn_pread(struct tarn_file *f, void *buf, size_t len, uint64_t off)
{
    return tarn_io_all(f, client_read, buf, len, off);
}

int64_t tarn_pwrite(struct tarn_file *f, const void *buf, size_t len, uint64_t off)
{
    return tarn_io_all(f, client_write, (char *)(uintptr_t)buf, len, off);
}

int tarn_fsync(struct tarn_file *f)
{
    return (int)tarn_io(f, client_fsync, NULL, 0, 0);
}

struct fsattr tarn_fstat(const struct tarn_file *f)
{
    return client_file_attr(f->file);
}

struct client_file *tarn_client_file(struct tarn_file *f)
{
    return f->file;
}

int tarn_close(struct tarn_file *f)
{
    int err = (int)tarn_io(f, client_release, NULL, 0, 0);
    free(f);
    return err;
}

int tarn_opendir(struct tarn *t, const char *path, struct tarn_dir **ret_d)
{
    struct fsattr a;
    int err = tarn_walk(t, path, true, &a);
    if (!err && (a.mode & FSOP_S_IFMT) != FSOP_S_IFDIR)
        err = E_NOTDIR;
    if (err)
        return err;
    struct tarn_dir *d = calloc(1, sizeof *d);
    if (!d)
        return E_NOMEM;
    d->t = t;
    d->ino = a.ino;
    *ret_d = d;
    return 0;
}

int tarn_readdir(struct tarn_dir *d, struct tarn_dirent *ret_e)
{
    struct fsop_dirent e;
    if (!rbuf_left(&d->batch)) {
        if (d->at_end)
            return 0;
        struct client_req r = {
            .fsop = {
                .kind = FSOP_READDIR, .ino = d->ino, .arg = d->cookie, .size = TARN_DIR_BYTES}};
        int err = tarn_fs(d->t, &r, d->bytes, TARN_DIR_BYTES);
        if (err)
            return err;
        d->at_end = r.reply.flags & FSOP_R_EOF;
        d->batch = rbuf_make(d->bytes, r.reply.data_len);
        if (!r.reply.data_len)
            return d->at_end ? 0 : E_PROTO;
    }
    if (fsop_dirent_get(&d->batch, &e) || e.name_len > LIMIT_NAME)
        return E_PROTO;
    d->cookie = e.cookie;
    memcpy(d->name, e.name, e.name_len);
    d->name[e.name_len] = 0;
    *ret_e = (struct tarn_dirent){d->name, e.attr};
    return 1;
}

void tarn_closedir(struct tarn_dir *d)
{
    free(d);
}

int tarn_mkdir(struct tarn *t, const char *path, uint32_t mode)
{
    struct fsop op = {.mode = FSOP_S_IFDIR | (mode & 07777)};
    int err = tarn_at_name(t, FSOP_MKDIR, path, &op, NULL);
    return err == E_BUSY && path[strspn(path, "/")] == 0 ? E_EXIST : err;
}

int tarn_unlink(struct tarn *t, const char *path)
{
    return tarn_at_name(t, FSOP_UNLINK, path, NULL, NULL);
}

int tarn_rmdir(struct tarn *t, const char *path)
{
    return tarn_at_name(t, FSOP_RMDIR, path, NULL, NULL);
}

int tarn_rename(struct tarn *t, const char *from, const char *to)
{
    struct fsattr parent;
    struct fsop op = {0};
    char name[LIMIT_NAME + 1];
    int err = tarn_walk_parent(t, to, &parent, name);
    if (err)
        return err;
    op.ino2 = parent.ino;
    op.name2 = name;
    op.name2_len = (uint32_t)strlen(name);
    return tarn_at_name(t, FSOP_RENAME, from, &op, NULL);
}

int tarn_link(struct tarn *t, const char *existing, const char *path)
{
    struct fsattr a;
    int err = tarn_walk(t, existing, false, &a);
    struct fsop op = {.ino = a.ino};
    return err ? err : tarn_at_name(t, FSOP_LINK, path, &op, NULL);
}

int tarn_symlink(struct tarn *t, const char *target, const char *path)
{
    struct fsop op = {
        .data = target, .data_len = (uint32_t)strlen(target), .mode = FSOP_S_IFLNK | 0777};
    return tarn_at_name(t, FSOP_SYMLINK, path, &op, NULL);
}

int tarn_readlink(struct tarn *t, const char *path, char *buf, size_t cap)
{
    struct fsattr a;
    int err = tarn_walk(t, path, false, &a);
    if (err)
        return err;
    if (!cap)
        return E_RANGE;
    struct client_req r = {.fsop = {.kind = FSOP_READLINK, .ino = a.ino}};
    err = tarn_fs(t, &r, buf, (uint32_t)base_min_u64(cap - 1, UINT32_MAX));
    if (err)
        return err;
    buf[r.reply.data_len] = 0;
    return (int)r.reply.data_len;
}

static int tarn_setattr(struct tarn *t, const char *path, struct fsop op)
{
    struct fsattr a;
    int err = tarn_walk(t, path, true, &a);
    if (err)
        return err;
    struct client_req r = {.fsop = op};
    r.fsop.kind = FSOP_SETATTR;
    r.fsop.ino = a.ino;
    return tarn_fs(t, &r, NULL, 0);
}

int tarn_chmod(struct tarn *t, const char *path, uint32_t mode)
{
    return tarn_setattr(t, path, (struct fsop){.valid = FSOP_SET_MODE, .mode = mode & 07777});
}

int tarn_chown(struct tarn *t, const char *path, uint32_t uid, uint32_t gid)
{
    return tarn_setattr(
        t, path,
        (struct fsop){.valid = FSOP_SET_UID | FSOP_SET_GID, .set_uid = uid, .set_gid = gid});
}

int tarn_truncate(struct tarn *t, const char *path, uint64_t size)
{
    return tarn_setattr(t, path, (struct fsop){.valid = FSOP_SET_SIZE, .size = size});
}

int tarn_utimens(struct tarn *t, const char *path, int64_t atime_ns, int64_t mtime_ns)
{
    return tarn_setattr(t, path,
                        (struct fsop){.valid = FSOP_SET_ATIME | FSOP_SET_MTIME,
                                      .atime_ns = atime_ns,
                                      .mtime_ns = mtime_ns});
}

int tarn_statfs(struct tarn *t, struct fsop_statfs *ret_s)
{
    uint8_t buf[128];
    struct client_req r = {.fsop = {.kind = FSOP_STATFS, .ino = INO_ROOT}};
    int err = tarn_fs(t, &r, buf, sizeof buf);
    if (err)
        return err;
    struct rbuf b = rbuf_make(buf, r.reply.data_len);
    return fsop_statfs_get(&b, ret_s);
}

struct tarn_master_call {
    struct rpc_link_call call;
    bool is_done;
    void *reply;
    uint32_t cap, len;
};

static void tarn_call_done(struct env_op *op)
{
    struct tarn_master_call *q =
        container_of(container_of(op, struct rpc_link_call, op), struct tarn_master_call, call);
    q->len = q->call.call.reply_len;
    if (q->len > q->cap)
        op->ret = op->ret ? op->ret : E_RANGE;
    else if (q->len)
        memcpy(q->reply, q->call.call.reply, q->len);
    q->is_done = true;
}

int tarn_call(struct tarn *t, uint16_t method, const void *body, uint32_t len, void *reply,
              uint32_t cap, uint32_t *ret_len)
{
    struct tarn_master_call q = {.call.op.done = tarn_call_done, .reply = reply, .cap = cap};
    client_call(t->client, method, body, len,
                env_now_ns(tarn_env(t)) + t->options.client.deadline_ns, &q.call);
    tarn_wait_for(t, &q.is_done);
    *ret_len = q.len <= cap ? q.len : 0;
    return (int)q.call.op.ret;
}
