/* tests/unit/test_client_fake.h - a cluster of two masters, two workers and an under-store, as
 * small as the client's tests allow, on the simulated world.
 *
 * Contents are a function of (inode, version, offset).  Faults are knobs of struct fake. */
#ifndef TESTS_UNIT_TEST_CLIENT_FAKE_H
#define TESTS_UNIT_TEST_CLIENT_FAKE_H

#include "cluster/client.h"
#include "sim/sim.h"
#include "unit.h"

#define MS  1000000LL
#define SEC 1000000000LL

enum { FAKE_FILES = 16, FAKE_SEQS = 4096, FAKE_WRITE_MAX = 4 << 20, FAKE_PAGE = 64 * 1024 };

struct fake_file {
    struct ino ino, parent;
    const char *name, *path, *target;
    struct fsattr attr;
};

struct fake_master {
    struct rpc_host rpc; /* first */
    struct fake *k;
    bool leads;
    struct env_op listening;
};

struct fake_io {
    struct fake_worker *w;
    struct rpc_token t;
    struct env_op op;
    uint8_t *buf;
    uint32_t len, room;
    uint64_t off, ino, key_off;
    struct env_key key;
    bool is_write, is_alloc;
};

struct fake_worker {
    struct rpc_host rpc; /* first */
    struct fake *k;
    struct env_op listening;
    struct sim_node *node;
    bool silent, holds, stalls;
    struct fake_io *held;    /* carried out, and answered by fake_give_back() */
    struct fake_io *stalled; /* a write, carried out by fake_pull() */
    uint16_t valid_ms;       /* of the last write */
    int err;                 /* answers every call with it */
    uint32_t reads, writes, syncs, datasyncs, loads;
    uint64_t bytes, kernel;
};

struct fake {
    uint32_t cancels; /* so many plain calls end with a master that is stopped */
    struct mem mem;
    struct sim *sim;
    struct sim_node *mn[2], *cn;
    struct fake_master m[2];
    struct fake_worker w[2];
    struct client *c;
    struct env *e;
    /* the namespace */
    struct fake_file files[FAKE_FILES];
    uint32_t n_files;
    struct rpc_alloc alloc; /* the last one asked for */
    uint64_t alloc_off;
    uint64_t next_session, session, epoch, lease_ns, workers_version;
    int64_t answer_lease_ns;
    uint64_t seqs[FAKE_SEQS]; /* executed */
    uint32_t n_seqs, duplicates, kinds[80], alive;
    uint64_t window_max;
    bool silent, expire;   /* no answers; every session is gone */
    uint32_t lose;         /* answers to mutations that are lost with their connection */
    int answer_err[80];    /* by kind */
    uint64_t last_seq[80]; /* likewise */
    uint64_t max_version;  /* workers: versions below are gone (E_CHANGED) */
    bool moved;            /* workers: the old path is gone */
    struct rpc_conn *client_conn;
    uint8_t written[FAKE_WRITE_MAX];
    /* the under-store */
    struct ufs_factory factory;
    struct ufs ufs;
    struct env_op *ufs_late;
    uint32_t ufs_reads;
    struct rpc_call call; /* master -> client */
    bool call_done;
};

static inline uint8_t fake_byte(uint64_t ino, uint64_t version, uint64_t off)
{
    return (uint8_t)(base_mix_u64(ino * 1000003 + version * 101 + off / 8) >> (off % 8 * 8));
}

static inline struct fake_file *fake_find(struct fake *k, struct ino ino)
{
    for (uint32_t i = 0; i < k->n_files; i++)
        if (k->files[i].ino.v == ino.v)
            return &k->files[i];
    return NULL;
}

static inline struct fake_file *fake_add(struct fake *k, uint64_t ino, uint64_t parent,
                                         const char *name, uint32_t mode, uint64_t size)
{
    struct fake_file *f = &k->files[k->n_files++];
    *f = (struct fake_file){.ino = {ino}, .parent = {parent}, .name = name, .path = name};
    f->attr = (struct fsattr){
        .ino = {ino}, .version = 1, .size = size, .fp = 77, .mode = mode, .nlink = 1, .mount = 1};
    return f;
}

static inline void fake_query(struct fake *k, const struct fsop *op, struct fsop_reply *rep,
                              uint8_t *data, size_t cap)
{
    struct fake_file *f = fake_find(k, op->ino);
    rep->lease_ns = (uint64_t)k->answer_lease_ns;
    if (op->kind == FSOP_MOUNTS) {
        struct wbuf w = wbuf_make(data, cap);
        struct fsop_mount_info i = {.number = 1,
                                    .mode = FSOP_MOUNT_THROUGH,
                                    .root = INO_ROOT,
                                    .path = "/",
                                    .path_len = 1,
                                    .uri = "fake:",
                                    .uri_len = 5};
        wbuf_u16(&w, 1);
        fsop_mount_put(&w, &i);
        rep->data = data;
        rep->data_len = (uint32_t)w.len;
        return;
    }
    if (op->kind == FSOP_LOOKUP) {
        f = NULL;
        for (uint32_t i = 0; i < k->n_files; i++)
            if (k->files[i].parent.v == op->ino.v && strlen(k->files[i].name) == op->name_len &&
                !memcmp(k->files[i].name, op->name, op->name_len))
                f = &k->files[i];
    }
    if (!f) {
        rep->err = E_NOENT;
        return;
    }
    rep->attr = f->attr;
    if (f->attr.flags & FSATTR_LIVE)
        rep->lease_ns = 0;
    if (op->kind == FSOP_READLINK || op->kind == FSOP_OPEN) {
        rep->data = op->kind == FSOP_OPEN ? f->path : f->target;
        rep->data_len = (uint32_t)strlen(rep->data);
    }
}

/* a file that was added before is the one that is made */
static inline void fake_create(struct fake *k, const struct fsop *op, struct fsop_reply *rep)
{
    for (uint32_t i = 0; i < k->n_files; i++) {
        struct fake_file *f = &k->files[i];
        if (f->parent.v != op->ino.v || strlen(f->name) != op->name_len ||
            memcmp(f->name, op->name, op->name_len) != 0)
            continue;
        f->attr.flags |= op->flags & FSOP_F_OPEN ? FSATTR_LIVE : 0;
        rep->attr = f->attr;
        rep->data = f->path;
        rep->data_len = (uint32_t)strlen(f->path);
    }
}

static inline void fake_mutate(struct fake *k, const struct fsop *op, struct fsop_reply *rep)
{
    if (op->kind == FSOP_MKNOD)
        fake_create(k, op, rep);
    for (uint32_t i = 0; i < k->n_seqs; i++)
        if (k->seqs[i] == op->seq) {
            k->duplicates++;
            rep->flags = FSOP_R_DUPLICATE;
            return;
        }
    if (k->n_seqs < FAKE_SEQS)
        k->seqs[k->n_seqs++] = op->seq;
    struct fake_file *f = fake_find(k, op->ino);
    if (f && op->kind == FSOP_WRITE_OPEN) {
        f->attr.flags |= FSATTR_LIVE;
        if (op->flags & FSOP_F_TRUNC)
            f->attr.size = 0;
    }
    if (f && op->kind == FSOP_WRITE_CLOSE) {
        f->attr.flags &= (uint16_t)~FSATTR_LIVE;
        f->attr.version++;
    }
    if (f && op->kind == FSOP_SETATTR && op->valid & FSOP_SET_SIZE)
        f->attr.size = op->size;
    if (f && op->kind != FSOP_MKNOD)
        rep->attr = f->attr;
}

static inline void fake_fs(struct fake *k, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf r = rbuf_make(body, len);
    struct fsop op;
    struct fsop_reply rep = {0};
    uint8_t data[512], out[4096];
    CU_ASSERT_EQUAL(fsop_get(&r, &op), 0);
    k->kinds[op.kind]++;
    if (k->silent)
        return;
    k->last_seq[op.kind] = op.seq;
    if (op.seq) {
        uint64_t window = op.seq - op.acked + 1;
        k->window_max = window > k->window_max ? window : k->window_max;
    }
    if (op.kind == FSOP_SESSION_OPEN) {
        k->session = rep.value = ++k->next_session;
        k->expire = false;
    } else if (op.session.v != k->session || k->expire) {
        rep.err = E_SESSION_EXPIRED;
    } else if (k->answer_err[op.kind]) {
        rep.err = k->answer_err[op.kind];
    } else if (fsop_is_query(op.kind)) {
        fake_query(k, &op, &rep, data, sizeof data);
    } else {
        fake_mutate(k, &op, &rep);
        if (k->lose) {
            k->lose--;
            rpc_hangup(rpc_token_conn(t));
            return;
        }
    }
    struct wbuf w = wbuf_make(out, sizeof out);
    fsop_reply_put(&w, &rep);
    rpc_reply(t, 0, w.p, (uint32_t)w.len);
}

static inline void fake_beat(struct fake *k, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf r = rbuf_make(body, len);
    struct rpc_beat b;
    uint8_t out[1024];
    CU_ASSERT_EQUAL(rpc_format_beat_get(&r, &b), 0);
    if (k->silent)
        return;
    struct rpc_beat_reply rep = {.epoch = k->epoch,
                                 .lease_ns = k->lease_ns,
                                 .page_bytes = FAKE_PAGE,
                                 .stripe_bytes = FAKE_PAGE,
                                 .workers_version = k->workers_version};
    if (b.session.v != k->session || k->expire)
        rep.lease_ns = 0;
    rep.n_workers = b.workers_seen == k->workers_version ? 0 : 2;
    struct wbuf w = wbuf_make(out, sizeof out);
    rpc_format_beat_reply_put(&w, &rep);
    static const char *const addrs[] = {"w1:1", "w2:1"};
    for (uint32_t i = 0; i < rep.n_workers; i++) {
        struct rpc_worker_info info = {.id = {i + 11},
                                       .alive = k->alive >> i & 1,
                                       .addr = addrs[i],
                                       .addr_len = 4,
                                       .host = "h",
                                       .host_len = 1};
        rpc_format_worker_info_put(&w, &info);
    }
    k->client_conn = rpc_token_conn(t);
    rpc_reply(t, 0, w.p, (uint32_t)w.len);
}

static inline void fake_master_call(struct rpc_host *h, struct rpc_token t, uint16_t method,
                                    const void *body, uint32_t len)
{
    struct fake_master *m = (struct fake_master *)(void *)h;
    if (!m->leads)
        rpc_reply(t, E_NOT_LEADER, NULL, 0);
    else if (method == RPC_FS)
        fake_fs(m->k, t, body, len);
    else if (method == RPC_SESSION_BEAT)
        fake_beat(m->k, t, body, len);
    else if (m->k->cancels)
        rpc_reply(t, E_CANCELLED, NULL, 0), m->k->cancels--;
    else
        rpc_reply(t, 0, "ok\n", 3);
}

/* --- workers --- */

static inline void fake_io_answer(struct fake_io *io)
{
    int64_t ret = io->op.ret;
    uint8_t out[64];
    struct wbuf w = wbuf_make(out, sizeof out);
    struct rpc_io_reply rep = {.bytes = io->len, .hit = 1, .kernel = io->w->kernel};
    rpc_format_io_reply_put(&w, &rep);
    rpc_reply(io->t, ret < 0 ? (int)ret : 0, w.p, (uint32_t)w.len);
    mem_free(sim_mem(io->w->node), io->buf, io->room);
    mem_free(sim_mem(io->w->node), io, sizeof *io);
}

static inline void fake_give_back(struct fake_worker *w)
{
    struct fake_io *io = w->held;
    w->held = NULL;
    fake_io_answer(io);
}

static inline void fake_io_done(struct env_op *op)
{
    struct fake_io *io = container_of(op, struct fake_io, op);
    struct fake *k = io->w->k;
    if (op->ret >= 0 && io->is_alloc) { /* with room set aside a file has the size it has */
        struct rbuf r = rbuf_make(io->buf, io->len);
        CU_ASSERT_EQUAL(rpc_format_alloc_get(&r, &k->alloc), 0);
        k->alloc_off = io->off;
        io->is_write = false;
    }
    if (op->ret >= 0 && io->is_write && io->off + io->len <= FAKE_WRITE_MAX)
        memcpy(k->written + io->off, io->buf, io->len);
    struct fake_file *f = fake_find(k, (struct ino){io->ino});
    if (op->ret >= 0 && io->is_write && f->attr.size < io->off + io->len)
        f->attr.size = io->off + io->len;
    if (io->w->holds)
        io->w->held = io;
    else
        fake_io_answer(io);
}

static inline void fake_rma(struct fake_io *io)
{
    env_rma(rpc_env_conn(rpc_token_conn(io->t)), io->is_write ? ENV_RMA_READ : ENV_RMA_WRITE,
            io->buf, io->len, io->key, io->key_off, &io->op);
}

static inline void fake_pull(struct fake_worker *w)
{
    fake_rma(w->stalled);
    w->stalled = NULL;
}

static inline void fake_worker_call(struct rpc_host *h, struct rpc_token t, uint16_t method,
                                    const void *body, uint32_t len)
{
    struct fake_worker *w = (struct fake_worker *)(void *)h;
    struct fake *k = w->k;
    struct rbuf r = rbuf_make(body, len);
    struct rpc_io q;
    CU_ASSERT_EQUAL(rpc_format_io_get(&r, &q), 0);
    w->reads += method == RPC_READ;
    w->writes += method == RPC_WRITE;
    w->valid_ms = method == RPC_WRITE ? q.valid_ms : w->valid_ms;
    w->syncs += method == RPC_SYNC;
    w->datasyncs += method == RPC_SYNC && (q.flags & RPC_IO_DATA);
    w->loads += method == RPC_LOAD;
    if (w->silent)
        return;
    bool live = q.flags & RPC_IO_LIVE;
    int err = w->err;
    if (!err && !live && q.version < k->max_version)
        err = E_CHANGED;
    if (!err && k->moved && q.path_len == 3 && !memcmp(q.path, "old", 3))
        err = E_NOENT;
    CU_ASSERT(q.off / FAKE_PAGE == (q.off + q.len - 1) / FAKE_PAGE || method == RPC_SYNC ||
              method == RPC_ALLOC);
    if (err || method == RPC_SYNC) {
        uint8_t out[64];
        struct wbuf b = wbuf_make(out, sizeof out);
        struct rpc_io_reply rep = {.kernel = w->kernel};
        rpc_format_io_reply_put(&b, &rep);
        rpc_reply(t, err, b.p, err ? 0 : (uint32_t)b.len);
        return;
    }
    struct fake_io *io = mem_zalloc(sim_mem(w->node), sizeof *io); /* dies with the node */
    uint64_t size = live ? fake_find(k, q.ino)->attr.size : q.size;
    *io = (struct fake_io){.w = w, .t = t, .off = q.off, .len = q.len, .ino = q.ino.v};
    io->is_write = method == RPC_WRITE || method == RPC_ALLOC;
    io->is_alloc = method == RPC_ALLOC;
    if (!io->is_write)
        io->len = size > q.off ? (uint32_t)base_min_u64(size - q.off, q.len) : 0;
    io->buf = mem_alloc(sim_mem(w->node), q.len + 1);
    io->room = q.len + 1;
    io->op.done = fake_io_done;
    w->bytes += io->len;
    for (uint32_t i = 0; !io->is_write && i < io->len; i++)
        io->buf[i] = live && q.off + i < FAKE_WRITE_MAX ? k->written[q.off + i]
                                                        : fake_byte(q.ino.v, q.version, q.off + i);
    if (method == RPC_LOAD || !io->len) {
        io->op.ret = 0;
        fake_io_done(&io->op);
        return;
    }
    io->key = q.key;
    io->key_off = q.key_off;
    if (w->stalls && io->is_write)
        w->stalled = io;
    else
        fake_rma(io);
}

/* --- the under-store, as the client reaches it --- */

static inline void fake_ufs_submit(struct ufs *u, struct ufs_op *op)
{
    struct fake *k = container_of(u, struct fake, ufs);
    struct fake_file *f = &k->files[0];
    op->op.ret = E_NOTSUP;
    for (uint32_t i = 0; i < k->n_files; i++)
        if (!strcmp(k->files[i].path, op->path))
            f = &k->files[i];
    if (op->kind == UFS_READ) {
        k->ufs_reads++;
        uint64_t n = f->attr.size > op->off ? base_min_u64(f->attr.size - op->off, op->len) : 0;
        for (uint64_t i = 0; i < n; i++)
            ((uint8_t *)op->buf)[i] = fake_byte(f->ino.v, f->attr.version, op->off + i);
        op->op.ret = (int64_t)n;
    }
    env_post(k->e, &op->op);
}

static inline void fake_ufs_close(struct ufs *u)
{
    (void)u;
}

static inline int fake_ufs_open(struct ufs_factory *f, struct env *e, const char *uri,
                                struct ufs **ret_u)
{
    static const struct ufs_vt vt = {fake_ufs_submit, fake_ufs_close};
    struct fake *k = container_of(f, struct fake, factory);
    (void)e;
    CU_ASSERT_STRING_EQUAL(uri, "fake:");
    k->ufs.vt = &vt;
    *ret_u = &k->ufs;
    return 0;
}

/* --- the world --- */

static inline void fake_nothing(struct env_op *op)
{
    (void)op;
}

static inline void fake_master_up(struct fake *k, int i)
{
    struct fake_master *m = &k->m[i];
    bool leads = m->leads;
    struct env *e = sim_node_up(k->mn[i]);
    memset(m, 0, sizeof *m);
    m->k = k;
    m->leads = leads;
    m->rpc.on_call = fake_master_call;
    CU_ASSERT_EQUAL(rpc_host_init(&m->rpc, e, sim_mem(k->mn[i]), 8, 4096), 0);
    m->listening.done = fake_nothing;
    rpc_listen(&m->rpc, i ? "m2:1" : "m1:1", &m->listening);
}

static inline void fake_worker_up(struct fake *k, int i)
{
    struct fake_worker *w = &k->w[i];
    struct env *e = sim_node_up(w->node);
    memset(&w->rpc, 0, sizeof w->rpc);
    w->k = k;
    w->rpc.on_call = fake_worker_call;
    CU_ASSERT_EQUAL(rpc_host_init(&w->rpc, e, sim_mem(w->node), 8, 4096), 0);
    w->listening.done = fake_nothing;
    rpc_listen(&w->rpc, i ? "w2:1" : "w1:1", &w->listening);
}

static inline struct client_config fake_config(void)
{
    struct client_config cfg = client_config_default();
    cfg.masters = "m1:1,m2:1";
    cfg.name = "test";
    cfg.cache_entries = 64;
    cfg.readahead_pages = 4;
    cfg.buffer_bytes = 16 * FAKE_PAGE;
    cfg.page_cache_bytes = 0;
    cfg.deadline_ns = 10 * SEC;
    return cfg;
}

static inline struct fake *fake_open(const struct client_config *cfg, struct client_host *host,
                                     bool with_ufs)
{
    struct fake *k = calloc(1, sizeof *k);
    unit_mem(&k->mem, 1ULL << 30);
    struct sim_config sc = sim_config_quiet(7);
    k->sim = sim_open(&k->mem, &sc);
    k->mn[0] = sim_node_add(k->sim, "m1");
    k->mn[1] = sim_node_add(k->sim, "m2");
    k->w[0].node = sim_node_add(k->sim, "w1");
    k->w[1].node = sim_node_add(k->sim, "w2");
    k->cn = sim_node_add(k->sim, "c");
    k->lease_ns = 3 * SEC;
    k->answer_lease_ns = 100 * SEC;
    k->epoch = 1;
    k->workers_version = 1;
    k->alive = 3;
    k->m[0].leads = true;
    k->next_session = 40;
    fake_add(k, 1, 0, "", FSOP_S_IFDIR | 0755, 0);
    fake_add(k, 2, 1, "f", FSOP_S_IFREG | 0644, 20 * FAKE_PAGE + 1234);
    fake_add(k, 3, 1, "d", FSOP_S_IFDIR | 0755, 0);
    fake_add(k, 4, 3, "g", FSOP_S_IFREG | 0644, 100);
    fake_add(k, 5, 1, "l", FSOP_S_IFLNK | 0777, 3)->target = "d/g";
    for (int i = 0; i < 2; i++) {
        fake_master_up(k, i);
        fake_worker_up(k, i);
    }
    k->e = sim_node_up(k->cn);
    k->factory.open = fake_ufs_open;
    struct client_config c = *cfg;
    c.ufs = with_ufs ? &k->factory : NULL;
    CU_ASSERT_EQUAL_FATAL(client_open(k->e, sim_mem(k->cn), &c, host, &k->c), 0);
    return k;
}

static inline void fake_check(struct fake *k)
{
    char text[200] = "";
    if (!client_check(k->c, text, sizeof text)) {
        fprintf(stderr, "client_check: %s\n", text);
        CU_FAIL("client_check");
    }
}

static inline void fake_run(struct fake *k, int64_t for_ns)
{
    sim_run_until(k->sim, sim_now_ns(k->sim) + for_ns);
}

static inline void fake_close(struct fake *k)
{
    struct env_op stop = {0};
    fake_check(k);
    client_stop(k->c, &stop);
    CU_ASSERT_EQUAL(sim_run_op(k->sim, &stop, 20 * SEC), 0);
    sim_close(k->sim);
    mem_drop(&k->mem);
    free(k);
}

/* one metadata request to its end */
static inline int64_t fake_req(struct fake *k, struct client_req *r, uint16_t kind, uint64_t ino,
                               const char *name)
{
    r->fsop.kind = kind;
    r->fsop.ino.v = ino;
    r->fsop.name = name;
    r->fsop.name_len = name ? (uint32_t)strlen(name) : 0;
    client_fs(k->c, r);
    return sim_run_op(k->sim, &r->op, 100 * SEC);
}

static inline int64_t fake_do(struct fake *k, uint16_t kind, uint64_t ino, const char *name)
{
    struct client_req r = {0};
    return fake_req(k, &r, kind, ino, name);
}

static inline struct client_file *fake_open_file(struct fake *k, uint64_t ino, uint32_t mode)
{
    struct client_req r = {0};
    r.fsop.mode = mode;
    CU_ASSERT_EQUAL_FATAL(fake_req(k, &r, FSOP_OPEN, ino, NULL), 0);
    return r.file;
}

static inline int64_t fake_read(struct fake *k, struct client_file *f, void *buf, uint32_t len,
                                uint64_t off)
{
    struct client_io io = {.file = f, .buf = buf, .len = len, .off = off};
    client_read(k->c, &io);
    return sim_run_op(k->sim, &io.op, 100 * SEC);
}

static inline int64_t fake_write(struct fake *k, struct client_file *f, const void *buf,
                                 uint32_t len, uint64_t off)
{
    struct client_io io = {.file = f, .buf = (void *)(uintptr_t)buf, .len = len, .off = off};
    client_write(k->c, &io);
    return sim_run_op(k->sim, &io.op, 100 * SEC);
}

static inline int64_t fake_release(struct fake *k, struct client_file *f)
{
    struct client_io io = {.file = f};
    client_release(k->c, &io);
    return sim_run_op(k->sim, &io.op, 100 * SEC);
}

static inline bool fake_same(const uint8_t *b, uint64_t ino, uint64_t version, uint64_t off,
                             uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (b[i] != fake_byte(ino, version, off + i))
            return false;
    return true;
}

#endif
