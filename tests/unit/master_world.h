/* tests/unit/master_world.h - a simulated master with raw clients and an under-store of a few
 * files.
 *
 * The under-store lives outside the nodes, so it survives crashes; an operation takes effect at
 * half of its latency and is done at the end, so a crash can fall on either side of the effect. */
#ifndef TESTS_UNIT_MASTER_WORLD_H
#define TESTS_UNIT_MASTER_WORLD_H

#include "cluster/master.h"
#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

#define MS 1000000LL

#ifndef MASTER_WORLD_FILES
#define MASTER_WORLD_FILES 256
#endif

enum { WU_FILES = MASTER_WORLD_FILES, WU_PATH = 128, WC_MAX = 4 };

struct wu_file {
    bool used;
    char path[WU_PATH], target[WU_PATH];
    uint32_t mode, nlink;
    uint64_t size, ino;
    int64_t atime_ns, mtime_ns, ctime_ns;
};

static struct {
    struct wu_file files[WU_FILES];
    uint64_t next_ino;
    int64_t latency_ns;
    uint64_t changes; /* makes every ctime another one */
    unsigned count[UFS_STATFS + 1], resumed;
    int fail; /* the next operation of fail_kind ends with it */
    enum ufs_kind fail_kind;
    bool fail_always;
    bool fail_after;      /* the failing operation takes effect nevertheless */
    bool is_missing;      /* the under-store cannot be opened */
    unsigned opens, late; /* late: changes that were not begun */
    bool hang;            /* nothing completes */
    bool hold;            /* what is of hold_kind takes effect and does not complete */
    enum ufs_kind hold_kind;
    unsigned page; /* entries of one LIST page */
    unsigned look; /* and most of one LOOK; 0: all */
} wu;

static struct mem wm;
static struct sim *ws;
static struct master *wmaster;
static struct master_config wcfg;
static struct master_mount wmounts[3];

/* ---- the under-store */

struct wu_store {
    struct ufs ufs;
    struct env *env;
    struct mem *mem;
};

struct wu_pending {
    struct env_timer timer;
    struct wu_store *store;
    struct ufs_op *op;
    bool performed;
    int64_t ret;
};

static struct wu_file *wu_find(const char *path)
{
    for (int i = 0; i < WU_FILES; i++)
        if (wu.files[i].used && !strcmp(wu.files[i].path, path))
            return &wu.files[i];
    return NULL;
}

static void wu_touch(struct wu_file *f)
{
    f->ctime_ns = f->mtime_ns = 1000 + (int64_t)++wu.changes;
}

static void wu_touch_parent(const char *path)
{
    char dir[WU_PATH] = "";
    const char *slash = strrchr(path, '/');
    if (slash)
        memcpy(dir, path, (size_t)(slash - path));
    struct wu_file *d = wu_find(dir);
    if (d)
        wu_touch(d);
}

static struct wu_file *wu_add(const char *path, uint32_t mode, uint64_t size)
{
    for (int i = 0; i < WU_FILES; i++) {
        struct wu_file *f = &wu.files[i];
        if (f->used)
            continue;
        memset(f, 0, sizeof *f);
        f->used = true;
        snprintf(f->path, sizeof f->path, "%s", path);
        f->mode = mode;
        f->nlink = 1;
        f->size = size;
        f->ino = ++wu.next_ino;
        wu_touch(f);
        if (path[0])
            wu_touch_parent(path);
        return f;
    }
    abort();
}

static void wu_ent(const struct wu_file *f, struct fsent *e)
{
    memset(e, 0, sizeof *e);
    e->mode = f->mode;
    e->nlink = f->nlink;
    e->size = f->size;
    e->ufs_ino = f->ino;
    e->atime_ns = f->atime_ns;
    e->mtime_ns = f->mtime_ns;
    e->ctime_ns = f->ctime_ns;
    e->fp = base_hash(&f->ctime_ns, sizeof f->ctime_ns, f->ino * 31 + f->size) | 1;
    if (f->target[0]) {
        e->target = f->target;
        e->target_len = (uint32_t)strlen(f->target);
    }
}

static bool wu_is_child(const char *dir, const char *path, const char **ret_name)
{
    size_t n = strlen(dir);
    if (!path[0] || strncmp(path, dir, n) != 0 || (n && path[n] != '/'))
        return false;
    *ret_name = path + n + (n ? 1 : 0);
    return **ret_name && !strchr(*ret_name, '/') && strcmp(*ret_name, ".tarn") != 0;
}

static int64_t wu_list(struct ufs_op *op)
{
    struct wbuf w = wbuf_make(op->buf, op->len);
    const char *name;
    uint64_t i = op->impl[0];
    unsigned n = 0;
    if (!wu_find(op->path))
        return E_NOENT;
    for (; i < WU_FILES && n < wu.page; i++) {
        struct fsent e;
        if (!wu.files[i].used || !wu_is_child(op->path, wu.files[i].path, &name))
            continue;
        wu_ent(&wu.files[i], &e);
        e.name = name;
        e.name_len = (uint32_t)strlen(name);
        fsop_ent_put(&w, &e);
        n++;
    }
    op->impl[0] = i;
    return (int64_t)w.len;
}

/* a place is an index in wu.files, plus 1 */
static int64_t wu_names(struct ufs_op *op)
{
    struct wbuf w = wbuf_make(op->buf, op->len);
    const char *name;
    uint64_t i = op->off & ~FSOP_COOKIE_BELOW;
    unsigned n = 0;
    if (!wu_find(op->path))
        return E_NOENT;
    for (; i < WU_FILES && n < wu.page; i++) {
        if (!wu.files[i].used || !wu_is_child(op->path, wu.files[i].path, &name))
            continue;
        struct fsop_dirent d = {.cookie = FSOP_COOKIE_BELOW | (i + 1),
                                .name = name,
                                .name_len = (uint32_t)strlen(name),
                                .attr = {.ino = {wu.files[i].ino},
                                         .mode = wu.files[i].mode & FSOP_S_IFMT,
                                         .flags = FSATTR_BARE}};
        fsop_dirent_put(&w, &d);
        n++;
    }
    op->is_end = i == WU_FILES;
    return (int64_t)w.len;
}

static int64_t wu_look(struct ufs_op *op, struct wu_file *dir)
{
    struct wbuf w = wbuf_make(op->buf, op->len);
    struct rbuf in = rbuf_make(op->names, op->names_len);
    if (!dir)
        return E_NOENT;
    wu_ent(dir, &op->ent);
    for (unsigned k = 0; rbuf_left(&in) && (!wu.look || k < wu.look); k++) {
        size_t n;
        char path[2 * WU_PATH];
        struct fsent e = {0};
        const char *name = rbuf_str16(&in, &n);
        if (!name)
            return E_PROTO;
        snprintf(path, sizeof path, "%s%s%.*s", op->path, op->path[0] ? "/" : "", (int)n, name);
        struct wu_file *f = wu_find(path);
        if (f)
            wu_ent(f, &e);
        e.name = name;
        e.name_len = (uint32_t)n;
        fsop_ent_put(&w, &e);
    }
    return (int64_t)w.len;
}

static int64_t wu_make(struct ufs_op *op, uint32_t mode)
{
    struct wu_file *f = wu_find(op->path);
    if (f && !(op->flags & UFS_F_RESUME))
        return E_EXIST;
    if (!f)
        f = wu_add(op->path, mode, 0);
    if (op->kind == UFS_SYMLINK)
        snprintf(f->target, sizeof f->target, "%s", op->path2);
    wu_ent(f, &op->ent);
    return 0;
}

/* a name is gone: the file is another one's, too, and its time of change has moved */
static void wu_left(uint64_t ino, struct fsent *ret_ent)
{
    wu.changes++;
    for (int i = 0; i < WU_FILES; i++) {
        struct wu_file *f = &wu.files[i];
        if (!f->used || f->ino != ino)
            continue;
        f->ctime_ns = 1000 + (int64_t)wu.changes;
        wu_ent(f, ret_ent);
    }
}

static int64_t wu_move(struct ufs_op *op, const char *from, const char *to)
{
    struct wu_file *f = wu_find(from), *old = wu_find(to);
    if (!f)
        return old && (op->flags & UFS_F_RESUME) ? (wu_ent(old, &op->ent), 0) : E_NOENT;
    if (old && op->hidden && op->hidden[0])
        snprintf(old->path, sizeof old->path, "%s", op->hidden);
    else if (old)
        old->used = false;
    if (old && !old->used)
        wu_left(old->ino, &op->ent2);
    size_t n = strlen(from);
    for (int i = 0; i < WU_FILES; i++) {
        char rest[WU_PATH];
        struct wu_file *k = &wu.files[i];
        if (!k->used || strncmp(k->path, from, n) != 0 || (k->path[n] && k->path[n] != '/'))
            continue;
        snprintf(rest, sizeof rest, "%s", k->path + n);
        snprintf(k->path, sizeof k->path, "%.60s%.60s", to, rest);
    }
    wu_touch(f);
    wu_touch_parent(from);
    wu_touch_parent(to);
    wu_ent(f, &op->ent);
    return 0;
}

/* a second name is a second file with the same number */
static int64_t wu_link(struct ufs_op *op, struct wu_file *f)
{
    struct wu_file *to = wu_find(op->path2);
    bool is_done = to && f && to->ino == f->ino && (op->flags & UFS_F_RESUME);
    if (!f || (to && !is_done))
        return f ? E_EXIST : E_NOENT;
    if (!to) {
        to = wu_add(op->path2, f->mode, f->size);
        to->ino = f->ino;
        to->ctime_ns = f->ctime_ns = 1000 + (int64_t)++wu.changes;
        to->mtime_ns = f->mtime_ns;
    }
    wu_ent(to, &op->ent);
    return 0;
}

static int64_t wu_do(struct ufs_op *op)
{
    struct wu_file *f = wu_find(op->path ? op->path : "");
    const char *name;
    switch (op->kind) {
    case UFS_STAT:
        if (f)
            wu_ent(f, &op->ent);
        return f ? 0 : E_NOENT;
    case UFS_LIST:
        return wu_list(op);
    case UFS_NAMES:
        return wu_names(op);
    case UFS_LOOK:
        return wu_look(op, f);
    case UFS_CREATE:
        return wu_make(op, op->mode);
    case UFS_MKDIR:
        return wu_make(op, FSOP_S_IFDIR | (op->mode & 07777));
    case UFS_SYMLINK:
        return wu_make(op, FSOP_S_IFLNK | 0777);
    case UFS_UNLINK:
        if (!f)
            return op->flags & UFS_F_RESUME ? 0 : E_NOENT;
        wu_touch_parent(f->path);
        if (op->hidden && op->hidden[0])
            snprintf(f->path, sizeof f->path, "%s", op->hidden);
        else
            f->used = false;
        if (!f->used)
            wu_left(f->ino, &op->ent);
        return 0;
    case UFS_RMDIR:
        for (int i = 0; f && i < WU_FILES; i++)
            if (wu.files[i].used && wu_is_child(f->path, wu.files[i].path, &name))
                return E_NOTEMPTY;
        if (!f)
            return op->flags & UFS_F_RESUME ? 0 : E_NOENT;
        wu_touch_parent(f->path);
        f->used = false;
        return 0;
    case UFS_RENAME:
        return wu_move(op, op->path, op->path2);
    case UFS_LINK:
        return wu_link(op, f);
    case UFS_SETATTR:
        if (!f)
            return E_NOENT;
        if (op->valid & FSOP_SET_SIZE)
            f->size = op->size;
        if (op->valid & FSOP_SET_MODE)
            f->mode = (f->mode & FSOP_S_IFMT) | (op->mode & 07777);
        wu_touch(f);
        if (op->valid & FSOP_SET_ATIME)
            f->atime_ns = op->atime_ns;
        if (op->valid & FSOP_SET_MTIME)
            f->mtime_ns = op->mtime_ns;
        wu_ent(f, &op->ent);
        return 0;
    case UFS_STATFS:
        op->statfs = (struct fsop_statfs){.bytes = 1 << 30, .bytes_free = 1 << 29, .block = 4096};
        return 0;
    default:
        return op->kind == UFS_LIST_END ? 0 : E_NOTSUP;
    }
}

static int64_t wu_perform(struct ufs_op *op)
{
    int err = wu.fail_kind == op->kind ? wu.fail : 0;
    wu.count[op->kind]++;
    wu.resumed += (op->flags & UFS_F_RESUME) != 0;
    if (err && !wu.fail_always)
        wu.fail = 0;
    if (err && !wu.fail_after)
        return err;
    int64_t ret = wu_do(op);
    return err ? err : ret;
}

static void wu_fire(struct env_op *op)
{
    struct wu_pending *p = container_of(op, struct wu_pending, timer.op);
    if (wu.hang || (wu.hold && p->performed && p->op->kind == wu.hold_kind)) {
        env_timer_set(p->store->env, &p->timer, env_now_ns(p->store->env) + 10 * MS);
        return;
    }
    if (!p->performed) {
        p->performed = true;
        p->ret = wu_perform(p->op);
        env_timer_set(p->store->env, &p->timer, env_now_ns(p->store->env) + wu.latency_ns / 2);
        return;
    }
    struct ufs_op *u = p->op;
    u->op.ret = p->ret;
    mem_free(p->store->mem, p, sizeof *p);
    u->op.done(&u->op);
}

static void wu_submit(struct ufs *u, struct ufs_op *op)
{
    struct wu_store *s = container_of(u, struct wu_store, ufs);
    if (op->not_after_ns && env_now_ns(s->env) > op->not_after_ns) {
        wu.late++;
        env_reply(s->env, &op->op, E_TIMEOUT);
        return;
    }
    struct wu_pending *p = mem_zalloc(s->mem, sizeof *p);
    p->store = s;
    p->op = op;
    p->timer.op.done = wu_fire;
    env_timer_set(s->env, &p->timer, env_now_ns(s->env) + wu.latency_ns / 2);
}

static void wu_close(struct ufs *u)
{
    struct wu_store *s = container_of(u, struct wu_store, ufs);
    mem_free(s->mem, s, sizeof *s);
}

static int wu_open(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u)
{
    static const struct ufs_vt vt = {wu_submit, wu_close};
    (void)f;
    wu.opens++;
    if (wu.is_missing || strcmp(uri, "model:x") != 0)
        return wu.is_missing ? E_NOENT : E_INVAL;
    struct mem *mem = sim_mem(sim_node_find(ws, "master"));
    struct wu_store *s = mem_zalloc(mem, sizeof *s);
    s->ufs.vt = &vt;
    s->env = e;
    s->mem = mem;
    *ret_u = &s->ufs;
    return 0;
}

static struct ufs_factory wu_factory = {wu_open};

/* ---- clients */

struct wc {
    struct rpc_host host;
    struct env *env;
    struct rpc_conn *conn;
    struct session_id session;
    uint64_t seq, lease_ns, epoch;
    uint64_t inval_epoch; /* when the last invalidation came */
    bool mute;            /* leaves invalidations unanswered */
    struct rpc_token unanswered, unanswered_holds;
    bool appends;  /* something is on its way to a place, as it says */
    bool no_holds; /* leaves questions for what it holds unanswered */
    unsigned invals, holds_asked, places_asked;
    uint64_t held[4];
    struct rpc_call beat;
    struct env_timer beat_timer;
    bool no_beats;
    unsigned frees; /* orders to free pages, and what the last began with */
    struct ino freed;
    /* one that dials again when it loses the connection, as a client does */
    bool redials;
    struct env_op dialling;
    struct rpc_conn *dialled;
};

static struct wc wclients[WC_MAX];

struct wcall { /* one request of a test */
    struct rpc_call call;
    bool done;
    int err;
    struct fsop_reply reply;
    uint8_t body[RPC_BODY_MAX];
    uint32_t len;
};

static void wc_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                       uint32_t len)
{
    struct wc *c = container_of(h, struct wc, host);
    uint8_t out[256];
    struct wbuf w = wbuf_make(out, sizeof out);
    struct rbuf r = rbuf_make(body, len);
    if (method == RPC_INVALIDATE) {
        c->invals++;
        c->inval_epoch = c->epoch;
        c->unanswered = t;
        if (!c->mute)
            rpc_reply(t, 0, NULL, 0);
    } else if (method == RPC_HOLDS) {
        struct rpc_inos in;
        uint32_t n = 0;
        c->holds_asked++;
        c->unanswered_holds = t;
        if (c->no_holds)
            return;
        CU_ASSERT_EQUAL(rpc_format_inos_get(&r, &in), 0);
        uint64_t mine[4];
        for (uint32_t i = 0; i < in.n; i++) {
            uint64_t v = rbuf_u64(&in.items);
            for (int k = 0; k < 4; k++)
                if (c->held[k] == v)
                    mine[n++] = v;
        }
        rpc_format_inos_put(&w, n);
        for (uint32_t i = 0; i < n; i++)
            wbuf_u64(&w, mine[i]);
        rpc_reply(t, 0, w.p, (uint32_t)w.len);
    } else if (method == RPC_PLACES) {
        c->places_asked++;
        rpc_reply(t, c->appends ? E_AGAIN : 0, NULL, 0);
    } else if (method == RPC_FREE) {
        struct rpc_free f;
        CU_ASSERT_EQUAL(rpc_format_free_get(&r, &f), 0);
        c->frees++;
        c->freed = f.ino;
        rpc_reply(t, 0, NULL, 0);
    } else {
        rpc_reply(t, E_NOTSUP, NULL, 0);
    }
}

static void wc_redialled(struct env_op *op)
{
    struct wc *c = container_of(op, struct wc, dialling);
    CU_ASSERT_EQUAL(op->ret, 0);
    c->conn = c->dialled;
}

static void wc_on_close(struct rpc_host *h, struct rpc_conn *conn)
{
    struct wc *c = container_of(h, struct wc, host);
    if (c->conn != conn)
        return;
    c->conn = NULL;
    c->dialling.done = wc_redialled;
    if (c->redials)
        rpc_connect(&c->host, "master:1", 100 * MS, &c->dialling, &c->dialled);
}

static void w_run_ms(int64_t ms)
{
    sim_run_until(ws, sim_now_ns(ws) + ms * MS);
}

static void wc_beaten(struct env_op *op)
{
    struct wc *c = container_of(container_of(op, struct rpc_call, op), struct wc, beat);
    struct rbuf r = rbuf_make(c->beat.reply, c->beat.reply_len);
    struct rpc_beat_reply b;
    if (op->ret == 0 && rpc_format_beat_reply_get(&r, &b) == 0) {
        c->lease_ns = b.lease_ns;
        c->epoch = b.epoch;
    }
}

static void wc_beat(struct env_op *op)
{
    struct wc *c = container_of(op, struct wc, beat_timer.op);
    uint8_t body[32];
    struct wbuf w = wbuf_make(body, sizeof body);
    struct rpc_beat b = {c->session, 0};
    env_timer_set(c->env, &c->beat_timer, env_now_ns(c->env) + 100 * MS);
    if (!c->conn || c->no_beats || c->beat.env)
        return;
    rpc_format_beat_put(&w, &b);
    c->beat.op.done = wc_beaten;
    rpc_call(c->conn, RPC_SESSION_BEAT, w.p, (uint32_t)w.len, env_now_ns(c->env) + 500 * MS,
             &c->beat);
}

static void wcall_done(struct env_op *op)
{
    struct wcall *w = container_of(container_of(op, struct rpc_call, op), struct wcall, call);
    w->done = true;
    w->err = (int)op->ret;
    w->len = w->call.reply_len;
    if (w->len)
        memcpy(w->body, w->call.reply, w->len);
    struct rbuf r = rbuf_make(w->body, w->len);
    if (w->err == 0 && w->len && fsop_reply_get(&r, &w->reply) == 0)
        w->err = w->reply.err;
}

static void w_call(struct wc *c, uint16_t method, const void *body, uint32_t len, struct wcall *w)
{
    memset(&w->call, 0, sizeof w->call);
    memset(&w->reply, 0, sizeof w->reply);
    w->done = false;
    w->err = 1;
    w->call.op.done = wcall_done;
    for (int i = 0; i < 100 && !c->conn && c->redials; i++)
        w_run_ms(1);
    rpc_call(c->conn, method, body, len, env_now_ns(c->env) + 100000 * MS, &w->call);
}

/* sends op; seq 0 of a mutation gets the next number */
static void w_send(struct wc *c, struct fsop *op, struct wcall *w)
{
    static uint8_t body[RPC_BODY_MAX];
    struct wbuf b = wbuf_make(body, sizeof body);
    op->session = c->session;
    if (!fsop_is_query(op->kind) && c->session.v && !op->seq)
        op->seq = ++c->seq;
    fsop_put(&b, op);
    w_call(c, RPC_FS, b.p, (uint32_t)b.len, w);
}

static bool w_wait(struct wcall *w, int64_t ms)
{
    for (int64_t i = 0; i < ms && !w->done; i++)
        w_run_ms(1);
    return w->done;
}

/* an operator's request; ret: the call's error */
UNUSED static int w_admin(struct wc *c, uint32_t kind, const char *path, struct wcall *w)
{
    uint8_t body[256];
    struct wbuf b = wbuf_make(body, sizeof body);
    struct rpc_admin admin = {kind, path, (uint32_t)strlen(path)};
    rpc_format_admin_put(&b, &admin);
    w_call(c, RPC_ADMIN, b.p, (uint32_t)b.len, w);
    return w_wait(w, 20000) ? (int)w->call.op.ret : E_TIMEOUT;
}

/* sends op and waits; ret: its error */
static int w_fs(struct wc *c, struct fsop op, struct wcall *w)
{
    w_send(c, &op, w);
    return w_wait(w, 20000) ? w->err : E_TIMEOUT;
}

static void wc_dial(struct wc *c)
{
    for (int i = 0; i < 200 && !c->conn; i++) {
        struct env_op op = {0};
        struct rpc_conn *conn = NULL;
        rpc_connect(&c->host, "master:1", 100 * MS, &op, &conn);
        if (sim_run_op(ws, &op, 1000 * MS) == 0)
            c->conn = conn;
        else
            w_run_ms(10);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(c->conn);
}

UNUSED static struct wc *wc_new(int i, bool with_session)
{
    static struct wcall w;
    struct wc *c = &wclients[i];
    char name[16];
    memset(c, 0, sizeof *c);
    snprintf(name, sizeof name, "client%d", i);
    struct sim_node *n = sim_node_add(ws, name);
    c->env = sim_node_up(n);
    c->host.on_call = wc_on_call;
    c->host.on_close = wc_on_close;
    CU_ASSERT_EQUAL(rpc_host_init(&c->host, c->env, sim_mem(n), 4, 256), 0);
    wc_dial(c);
    if (with_session) {
        CU_ASSERT_EQUAL(w_fs(c,
                             (struct fsop){.kind = FSOP_SESSION_OPEN,
                                           .name = name,
                                           .name_len = (uint32_t)strlen(name)},
                             &w),
                        0);
        c->session.v = w.reply.value;
        CU_ASSERT(c->session.v != 0);
        c->beat_timer.op.done = wc_beat;
        wc_beat(&c->beat_timer.op);
        w_run_ms(20);
        CU_ASSERT(c->lease_ns > 0);
    }
    return c;
}

/* ---- the master */

static void w_boot(struct env *e, struct mem *mem, void *ctx)
{
    (void)ctx;
    CU_ASSERT_EQUAL_FATAL(master_open(e, mem, &wcfg, &wmaster), 0);
}

UNUSED static void w_master_start(void)
{
    struct sim_node *n = sim_node_find(ws, "master");
    wmaster = NULL;
    sim_node_start(n ? n : sim_node_add(ws, "master"), w_boot, NULL);
    for (int i = 0; i < 2000; i++) {
        w_run_ms(1);
        if (wmaster && master_state(wmaster, NULL) == MASTER_SERVING)
            return;
    }
    CU_FAIL_FATAL("the master does not serve");
}

UNUSED static void w_master_crash(void)
{
    sim_node_crash(sim_node_find(ws, "master"));
    w_run_ms(1);
}

/* UNIT_LOG=1 shows what the nodes say */
static void w_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                  const char *line)
{
    (void)ctx;
    if (getenv("UNIT_LOG"))
        fprintf(stderr, "%10.3f %s %d %s\n", (double)at_ns / 1e9, sim_node_name(n), level, line);
}

static void w_config(enum fsop_mount_mode mode, int64_t check_interval_ns)
{
    memset(&wu, 0, sizeof wu);
    wu.latency_ns = 2 * MS;
    wu.page = 3;
    wu_add("", FSOP_S_IFDIR | 0755, 0);
    unit_mem(&wm, 1u << 30);
    struct sim_config cfg = sim_config_quiet(11);
    cfg.node_mem_bytes = 128 << 20;
    cfg.on_log = w_log;
    ws = sim_open(&wm, &cfg);
    wmounts[0] = (struct master_mount){"/", mode == FSOP_MOUNT_META ? "" : "model:x", mode,
                                       check_interval_ns};
    wcfg = master_config_default();
    wcfg.listen = "master:1";
    wcfg.journal.segment_bytes = 128 << 10;
    wcfg.journal.batch_bytes = 128 << 10;
    wcfg.journal.queue_bytes = 512 << 10;
    wcfg.journal.cluster_hi = 1;
    wcfg.journal.cluster_lo = 2;
    wcfg.limits = (struct meta_limits){.inodes_max = 4096, .sessions_max = 16};
    wcfg.mounts = wmounts;
    wcfg.n_mounts = 1;
    wcfg.ufs = &wu_factory;
    wcfg.lease_ns = 1000 * MS;
    wcfg.session_ns = 3000 * MS;
    wcfg.requests_max = 64;
    wcfg.clients_max = 16;
}

UNUSED static void w_open(enum fsop_mount_mode mode, int64_t check_interval_ns)
{
    w_config(mode, check_interval_ns);
    w_master_start();
}

UNUSED static void w_close(void)
{
    char text[256] = "";
    if (wmaster && sim_node_is_up(sim_node_find(ws, "master")))
        CU_ASSERT(master_check(wmaster, true, text, sizeof text));
    if (text[0])
        fprintf(stderr, "%s\n", text);
    sim_close(ws);
    mem_drop(&wm);
}

/* ---- short forms */

static struct fsop w_name(uint16_t kind, struct ino dir, const char *name)
{
    return (struct fsop){.kind = kind,
                         .ino = dir,
                         .name = name,
                         .name_len = (uint32_t)strlen(name),
                         .mode = kind == FSOP_MKNOD ? FSOP_S_IFREG | 0644 : 0755};
}

UNUSED static struct ino w_lookup(struct wc *c, struct ino dir, const char *name, int want_err)
{
    static struct wcall w;
    CU_ASSERT_EQUAL(w_fs(c, w_name(FSOP_LOOKUP, dir, name), &w), want_err);
    return w.err ? (struct ino){0} : w.reply.attr.ino;
}

/* number of entries, or an error */
UNUSED static int w_readdir(struct wc *c, struct ino dir)
{
    static struct wcall w;
    int n = 0;
    uint64_t cookie = 0;
    for (;;) {
        int err = w_fs(
            c, (struct fsop){.kind = FSOP_READDIR, .ino = dir, .arg = cookie, .size = 400}, &w);
        if (err)
            return err;
        struct rbuf r = rbuf_make(w.reply.data, w.reply.data_len);
        struct fsop_dirent d;
        while (rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
            n++;
            cookie = d.cookie;
        }
        if (w.reply.flags & FSOP_R_EOF)
            return n;
    }
}

#endif
