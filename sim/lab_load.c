/* sim/lab_load.c - the threads: ask, wait, check the answer, think (see sim/lab_load.h).
 *
 *   THINK --timer--> FS --answer--> THINK
 *                    FS --opened--> READ or WRITE ... [SYNC] -> RELEASE -> THINK, or FS: opened
 *                                                              again to read what was written
 *                    FS --listing goes on--> FS
 *   IDLE: stopped, or the node is down. */
#include "sim/lab_load_impl.h"

static void thread_think(struct load_thread *t);

const char *lab_load_kind_name(enum lab_load_kind k)
{
    static const char *const names[] = {
        "create", "mkdir",  "symlink", "link", "unlink", "rmdir", "rename", "setattr",
        "xattr",  "lookup", "getattr", "list", "read",   "write", "append", "cut"};
    return k < LAB_LOAD_KINDS ? names[k] : "?";
}

const char *lab_load_who(const struct load_thread *t)
{
    return sim_node_name(t->lc->node);
}

/* words of one write differ, as do those of two writes at one place; no more is wanted of them */
static uint64_t load_word(uint64_t seed, uint32_t at)
{
    uint64_t x = (seed + at) * 0x9e3779b97f4a7c15ULL;
    return x ^ x >> 32;
}

void lab_load_fill(uint8_t *buf, uint32_t len, uint64_t seed)
{
    uint8_t b[8];
    uint32_t whole = len / 8 * 8;
    for (uint32_t i = 0; i < whole; i += 8)
        base_put_u64(buf + i, load_word(seed, i));
    base_put_u64(b, load_word(seed, whole));
    memcpy(buf + whole, b, len - whole);
}

/* ---- accounts ---- */

static void thread_account(struct load_thread *t, int64_t ret)
{
    struct lab_load *l = t->lc->l;
    int err = ret < 0 ? (int)ret : 0;
    l->stats.ops++;
    l->stats.by_kind[t->kind]++;
    if (err < 0 && err > -128)
        l->stats.errors[-err]++;
    bool refused = err && !err_is_retry(err) && err != E_SESSION_EXPIRED;
    l->stats.ok += !err;
    l->stats.refused += refused;
    l->stats.failed += err && !refused;
    if (err && !refused)
        return;
    lab_hist_add(&l->stats.latency, t->w.to_ns - t->w.from_ns);
    if (l->on_success)
        l->on_success(l->success_ctx, t->w.to_ns);
}

static void thread_tell(struct load_thread *t, int64_t ret)
{
    static const char *const steps[] = {"",         "",        "",           "",         "io read",
                                        "io write", "io sync", "io release", "io place", "io undo"};
    const struct lab_load *l = t->lc->l;
    bool is_fs = t->state == LOAD_FS;
    if (!l->on_answer)
        return;
    struct lab_load_answer a = {
        .client = lab_load_who(t),
        .step = is_fs ? fsop_kind_name(t->req.fsop.kind) : steps[t->state],
        .thread = (uint32_t)(t - t->lc->threads),
        .w = t->w,
        .op = &t->req.fsop,
        .rep = &t->req.reply,
        .off = is_fs ? 0 : t->io.off,
        .len = is_fs ? 0 : t->io.len,
        .ret = ret,
    };
    l->on_answer(l->answer_ctx, &a);
}

void lab_load_ask(struct load_thread *t, enum load_state state)
{
    struct lab_load *l = t->lc->l;
    t->state = state;
    t->w.from_ns = sim_now_ns(l->sim);
    t->late_ns = t->w.from_ns + l->cfg.deadline_ns;
}

static uint64_t load_session(const struct load_client *lc)
{
    struct client_stats s;
    client_stats(lc->client, &s);
    return s.session;
}

static void thread_fs_done(struct env_op *op);
static void thread_io_done(struct env_op *op);

void lab_load_fs(struct load_thread *t)
{
    struct load_client *lc = t->lc;
    lab_load_ask(t, LOAD_FS);
    t->session = load_session(lc);
    t->req.op.done = thread_fs_done;
    t->req.fsop.n_groups = 1;
    t->req.fsop.groups[0] = LAB_CHECK_TAGS + lc->l->n_requests++;
    t->req.deadline_ns = env_now_ns(lc->env) + lc->l->cfg.deadline_ns;
    client_fs(lc->client, &t->req);
}

static void thread_write_begin(struct load_thread *t)
{
    struct load_client *lc = t->lc;
    lab_check_writing(lc->l->check, t, t->reading.ino, t->io.off, t->io.len);
    if (!t->io.placed)
        lab_check_append_other(lc->l->check, t->reading.ino);
    client_write(lc->client, &t->io);
}

void lab_load_io(struct load_thread *t, enum load_state state)
{
    struct load_client *lc = t->lc;
    lab_load_ask(t, state);
    t->io.placed = state == LOAD_WRITE ? t->io.placed : 0;
    t->io.op.done = thread_io_done;
    t->io.file = t->file;
    t->io.buf = t->buf;
    t->io.deadline_ns = env_now_ns(lc->env) + lc->l->cfg.deadline_ns;
    if (state != LOAD_RELEASE && !t->io.placed)
        lab_load_record_step(t, state == LOAD_READ    ? LAB_STEP_READ
                                : state == LOAD_WRITE ? LAB_STEP_WRITE
                                                      : LAB_STEP_SYNC);
    if (state == LOAD_READ)
        client_read(lc->client, &t->io);
    else if (state == LOAD_WRITE)
        thread_write_begin(t);
    else if (state == LOAD_SYNC)
        client_fsync(lc->client, &t->io);
    else
        client_release(lc->client, &t->io);
}

/* ---- open files ---- */

static void thread_read(struct load_thread *t)
{
    const struct lab_load_config *cfg = &t->lc->l->cfg;
    uint32_t most = cfg->io_bytes;
    t->io.off = t->sequential ? t->at : prng_below(&t->prng, cfg->file_bytes);
    t->io.len = t->sequential ? most : 1 + (uint32_t)prng_below(&t->prng, most);
    lab_load_io(t, LOAD_READ);
}

static void thread_write(struct load_thread *t)
{
    const struct lab_load_config *cfg = &t->lc->l->cfg;
    t->fill = prng_u64(&t->prng);
    t->io.len = 1 + (uint32_t)prng_below(&t->prng, cfg->io_bytes);
    t->io.off = t->sequential ? t->at : prng_below(&t->prng, cfg->file_bytes);
    lab_load_fill(t->buf, t->io.len, t->fill);
    t->io.placed = 0;
    if (t->appends)
        lab_load_append(t);
    else
        lab_load_io(t, LOAD_WRITE);
}

static bool thread_is_writer(const struct load_thread *t)
{
    return t->req.fsop.mode & FSOP_ACCESS_W;
}

static void thread_file_next(struct load_thread *t);

static void thread_lingered(struct env_op *op)
{
    struct load_thread *t = container_of(op, struct load_thread, timer.op);
    t->lingers = t->op != NULL;
    thread_file_next(t);
}

static void thread_linger(struct load_thread *t)
{
    t->state = LOAD_LINGER;
    t->timer.op.done = thread_lingered;
    env_timer_set(t->lc->env, &t->timer, env_now_ns(t->lc->env) + t->linger_ns);
    lab_load_record_step(t, LAB_STEP_WAIT);
}

/* as the list says */
static void thread_file_step(struct load_thread *t)
{
    const struct lab_step *s = lab_load_op_step(t);
    if (!s) {
        lab_load_io(t, LOAD_RELEASE);
        return;
    }
    if (s->wait_ns && !t->lingers && !t->lc->l->stopping) {
        t->lingers = true; /* until it has */
        t->linger_ns = s->wait_ns;
        thread_linger(t);
        return;
    }
    t->step = (uint32_t)(s - t->op->steps) + 1;
    t->lingers = false;
    if (s->kind == LAB_STEP_WAIT) {
        thread_file_next(t);
        return;
    }
    if (s->kind != LAB_STEP_SYNC) {
        t->io.off = s->off;
        t->io.len = (uint32_t)base_min_u64(s->len, t->buf_bytes);
    }
    bool appends = s->kind == LAB_STEP_APPEND;
    t->io.placed = 0;
    if (s->kind == LAB_STEP_WRITE || appends) {
        uint64_t number = appends ? t->lc->l->n_appends : s->off; /* no two appends are alike */
        t->fill = s->fill ? s->fill : base_mix_u64(number + 1);
        lab_load_fill(t->buf, t->io.len, t->fill);
    }
    if (appends) {
        lab_load_append(t);
        return;
    }
    lab_load_io(t, s->kind == LAB_STEP_READ    ? LOAD_READ
                   : s->kind == LAB_STEP_WRITE ? LOAD_WRITE
                                               : LOAD_SYNC);
}

static void thread_file_next(struct load_thread *t)
{
    if (t->op) {
        thread_file_step(t);
        return;
    }
    if (t->lingers && t->steps && !t->lc->l->stopping) {
        t->linger_ns = 1 + prng_exp(&t->prng, t->lc->l->cfg.linger_ns);
        thread_linger(t);
        return;
    }
    if (t->steps == 0)
        lab_load_io(t, LOAD_RELEASE);
    else if (t->steps--, thread_is_writer(t))
        thread_write(t);
    else
        thread_read(t);
}

static void thread_hold(struct load_thread *t)
{
    t->file = t->req.file;
    t->reading = (struct lab_check_file){.ino = t->req.fsop.ino, .opened_ns = t->w.from_ns};
    if (t->session == load_session(t->lc))
        t->reading.session = t->session;
}

static void thread_opened(struct load_thread *t, int err)
{
    if (err) {
        thread_think(t);
        return;
    }
    thread_hold(t);
    thread_file_next(t);
}

/* it was made to be written, and is open */
static void thread_created(struct load_thread *t)
{
    const struct fsop *op = &t->req.fsop;
    t->req.fsop = (struct fsop){.kind = FSOP_OPEN,
                                .ino = t->req.reply.attr.ino,
                                .mode = FSOP_ACCESS_R | FSOP_ACCESS_W,
                                .uid = op->uid,
                                .gid = op->gid};
    lab_check_sized(t->lc->l->check, t->req.fsop.ino, 0, t->w);
    thread_opened(t, 0);
}

static void thread_reopen(struct load_thread *t)
{
    struct ino ino = t->req.fsop.ino;
    uint32_t uid = t->req.fsop.uid, gid = t->req.fsop.gid;
    t->read_back = t->appends = false;
    lab_load_record_step(t, LAB_STEP_REOPEN);
    memset(&t->req.fsop, 0, sizeof t->req.fsop);
    t->req.fsop =
        (struct fsop){.kind = FSOP_OPEN, .ino = ino, .mode = FSOP_ACCESS_R, .uid = uid, .gid = gid};
    t->steps = 3;
    t->sequential = true;
    t->at = 0;
    lab_load_fs(t);
}

static void thread_io_check(struct load_thread *t, int64_t ret)
{
    struct lab_load *l = t->lc->l;
    if (t->state != LOAD_RELEASE)
        lab_check_held(l->check, lab_load_who(t), &t->reading);
    if (t->state == LOAD_READ && ret >= 0) {
        bool live = client_file_is_live(t->file);
        lab_check_read(l->check, lab_load_who(t), &t->reading, live, t->io.off, t->io.len, t->buf,
                       (uint32_t)ret);
        l->stats.bytes_read += (uint64_t)ret;
        t->at += (uint64_t)ret;
        if (ret < t->io.len && t->sequential)
            t->steps = 0;
    }
    if (t->state == LOAD_READ && ret < 0)
        lab_check_unread(l->check, lab_load_who(t), &t->reading, (int)ret);
    if (t->state == LOAD_WRITE)
        lab_check_writing_end(l->check, t, true);
    if (t->state == LOAD_WRITE && ret >= 0) {
        if (ret != t->io.len)
            lab_check_fail(l->check, LAB_DATA, "%s: a write of %u bytes returned %lld",
                           lab_load_who(t), t->io.len, (long long)ret);
        lab_check_written(l->check, lab_load_who(t), t->reading.ino, t->io.off, t->buf, t->io.len,
                          t->w);
        l->stats.bytes_written += (uint64_t)ret;
        t->at += (uint64_t)ret;
    }
    if (t->state == LOAD_WRITE && ret < 0)
        lab_check_doubt(l->check, t->reading.ino);
    if (ret < 0)
        lab_load_no_more_io(t);
}

void lab_load_no_more_io(struct load_thread *t)
{
    t->steps = 0;
    lab_load_op_skip(t);
}

void lab_load_answered(struct load_thread *t, int64_t ret)
{
    t->w.to_ns = sim_now_ns(t->lc->l->sim);
    thread_account(t, ret);
    thread_tell(t, ret);
}

void lab_load_next_io(struct load_thread *t)
{
    bool may = !t->op && t->lc->l->cfg.linger_ns != 0;
    t->lingers = may && prng_below(&t->prng, 2);
    thread_file_next(t);
}

static void thread_io_done(struct env_op *op)
{
    struct load_thread *t = container_of(op, struct load_thread, io.op);
    int64_t ret = op->ret;
    enum load_state was = t->state;
    lab_load_answered(t, ret);
    thread_io_check(t, ret);
    if (was == LOAD_WRITE && t->io.placed && lab_load_append_written(t, ret))
        return;
    if (was == LOAD_RELEASE)
        t->file = NULL;
    if (t->lc->probe && t == t->lc->threads) {
        lab_load_probe_step(t, ret);
        return;
    }
    if (was != LOAD_RELEASE) {
        if (!t->op && was == LOAD_WRITE && ret >= 0 && t->steps == 0 &&
            prng_below(&t->prng, 3) == 0)
            lab_load_io(t, LOAD_SYNC);
        else
            lab_load_next_io(t);
    } else if ((t->op ? lab_load_op_reopen(t) : t->read_back) && ret >= 0) {
        thread_reopen(t);
    } else {
        thread_think(t);
    }
}

/* ---- metadata ---- */

static void thread_list_on(struct env_op *op)
{
    lab_load_fs(container_of(op, struct load_thread, timer.op));
}

/* the next part of a listing; some read slowly, and names go while they do */
static void thread_list_next(struct load_thread *t)
{
    const struct lab_load *l = t->lc->l;
    const struct lab_step *s = lab_load_op_step(t);
    bool drawn = !t->op && l->cfg.linger_ns && !l->stopping && !prng_below(&t->prng, 2);
    t->linger_ns = 0;
    if (!drawn && (!s || !s->wait_ns || l->stopping)) {
        t->step++;
        if (l->cfg.linger_ns)
            lab_load_record_step(t, LAB_STEP_WAIT);
        lab_load_fs(t);
        return;
    }
    t->linger_ns = s ? s->wait_ns : 1 + prng_exp(&t->prng, l->cfg.linger_ns);
    t->step++;
    t->state = LOAD_LINGER;
    t->timer.op.done = thread_list_on;
    env_timer_set(t->lc->env, &t->timer, env_now_ns(t->lc->env) + t->linger_ns);
    lab_load_record_step(t, LAB_STEP_WAIT);
}

static void thread_listed(struct load_thread *t, const struct fsop_reply *rep)
{
    struct load_client *lc = t->lc;
    struct rbuf r = rbuf_make(rep->data, rep->data_len);
    struct fsop_dirent d;
    uint64_t cookie = t->req.fsop.arg;
    if (t->req.fsop.arg == 0)
        t->list_from_ns = t->w.from_ns;
    while (rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0 && t->n_list < LOAD_LIST) {
        struct lab_model_name *n = &t->list[t->n_list++];
        n->ino = d.attr.ino;
        n->len = d.name_len;
        memcpy(n->name, d.name, d.name_len);
        cookie = d.cookie;
        lab_load_learn(lc, t->req.fsop.ino, d.name, d.name_len, &d.attr);
    }
    bool full = t->n_list == LOAD_LIST;
    if (!full && !(rep->flags & FSOP_R_EOF) && cookie != t->req.fsop.arg) {
        t->req.fsop.arg = cookie;
        thread_list_next(t);
        return;
    }
    struct lab_window w = {t->list_from_ns, t->w.to_ns};
    if (rep->flags & FSOP_R_EOF)
        lab_check_listing(lc->l->check, lab_load_who(t), t->req.fsop.ino, t->list, t->n_list, w);
    if (lc->probe && t == lc->threads)
        lab_load_probe_step(t, 0);
    else
        thread_think(t);
}

static void thread_learn(struct load_thread *t, int err)
{
    const struct fsop *op = &t->req.fsop;
    const struct fsattr *a = &t->req.reply.attr;
    struct load_client *lc = t->lc;
    switch (op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_LOOKUP:
        if (!err)
            lab_load_learn(lc, op->ino, op->name, op->name_len, a);
        else if (err == E_NOENT)
            lab_load_forget(lc, op->ino, op->name, op->name_len);
        break;
    case FSOP_LINK:
        if (!err)
            lab_load_learn(lc, op->ino2, op->name, op->name_len, a);
        break;
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        if (!err || err == E_NOENT || err == E_STALE)
            lab_load_forget(lc, op->ino, op->name, op->name_len);
        break;
    case FSOP_RENAME:
        if (!err || err == E_NOENT || err == E_STALE)
            lab_load_forget(lc, op->ino, op->name, op->name_len);
        if (!err && a->ino.v)
            lab_load_learn(lc, op->ino2, op->name2, op->name2_len, a);
        break;
    default:
        break;
    }
}

static void thread_fs_check(struct load_thread *t)
{
    struct lab_check *c = t->lc->l->check;
    const struct fsop *op = &t->req.fsop;
    struct fsop_reply rep = t->req.reply;
    if (op->kind == FSOP_OPEN && (op->mode & FSOP_ACCESS_W)) {
        /* begins writing: a record of the client's own making */
        if (err_is_retry(rep.err) && (op->flags & FSOP_F_TRUNC))
            lab_check_doubt(c, op->ino);
        if (!rep.err && op->flags & FSOP_F_TRUNC)
            lab_check_sized(c, op->ino, 0, t->w);
    } else if (op->kind == FSOP_READDIR) {
        if (rep.err && rep.err != E_ACCES && rep.err != E_STALE)
            lab_check_query(c, lab_load_who(t), op, &rep, t->w);
    } else if (fsop_is_query(op->kind)) {
        lab_check_query(c, lab_load_who(t), op, &rep, t->w);
    } else {
        lab_check_mutation(c, lab_load_who(t), op, &rep, t->w);
        if (err_is_retry(rep.err) && (op->valid & FSOP_SET_SIZE))
            lab_check_doubt(c, op->ino);
        if (!rep.err && (op->valid & FSOP_SET_SIZE))
            lab_check_sized(c, op->ino, op->size, t->w);
    }
}

static void thread_fs_done(struct env_op *op)
{
    struct load_thread *t = container_of(op, struct load_thread, req.op);
    struct load_client *lc = t->lc;
    int err = (int)op->ret;
    lab_load_answered(t, err);
    thread_fs_check(t);
    thread_learn(t, err);
    bool probes = lc->probe && t == lc->threads;
    if (t->req.fsop.kind == FSOP_READDIR && !err) {
        thread_listed(t, &t->req.reply);
    } else if (probes) {
        if (t->req.fsop.kind == FSOP_OPEN && !err)
            thread_hold(t);
        lab_load_probe_step(t, err);
    } else if (t->req.fsop.kind == FSOP_OPEN) {
        thread_opened(t, err);
    } else if (t->req.fsop.kind == FSOP_MKNOD && !err && t->req.file) {
        thread_created(t);
    } else {
        thread_think(t);
    }
}

/* ---- thinking ---- */

static void thread_begin(struct env_op *op)
{
    struct load_thread *t = container_of(op, struct load_thread, timer.op);
    if (t->lc->l->stopping) {
        t->state = LOAD_IDLE;
        return;
    }
    for (int tries = 0; tries < (t->op ? 1 : 8); tries++) {
        if (t->op ? lab_load_op_pick(t) : lab_load_pick(t)) {
            lab_load_record_op(t);
            lab_load_fs(t);
            return;
        }
    }
    thread_think(t);
}

static void thread_think(struct load_thread *t)
{
    struct load_client *lc = t->lc;
    t->record = 0;
    t->lingers &= t->op == NULL;
    t->op = NULL;
    if (lc->l->stopping) {
        t->state = LOAD_IDLE;
        if (lc->probe && t == lc->threads)
            lab_load_probe_begin(lc);
        return;
    }
    t->state = LOAD_THINK;
    t->timer.op.done = thread_begin;
    if (!lc->l->cfg.is_explicit)
        env_timer_set(lc->env, &t->timer,
                      env_now_ns(lc->env) + 1 + prng_exp(&t->prng, lc->l->cfg.think_ns));
    else if (!lab_load_op_wait(t))
        t->state = LOAD_IDLE;
}

/* ---- life ---- */

/* it is being opened, is open or is being closed */
static bool thread_writes(const struct load_thread *t, struct ino ino)
{
    bool is_open = t->file && t->reading.ino.v == ino.v;
    bool opens = t->state == LOAD_FS && t->req.fsop.kind == FSOP_OPEN && t->req.fsop.ino.v == ino.v;
    return (is_open || opens) && thread_is_writer(t);
}

static bool load_is_writer(void *ctx, const char *client, struct ino ino)
{
    const struct lab_load *l = ctx;
    for (uint32_t i = 0; i < l->n_clients; i++)
        if (!strcmp(sim_node_name(l->clients[i]->node), client))
            for (uint32_t k = 0; k < l->cfg.threads; k++)
                if (thread_writes(&l->clients[i]->threads[k], ino))
                    return true;
    return false;
}

struct lab_load *lab_load_open(struct mem *m, struct sim *s, struct lab_check *c,
                               const struct lab_load_config *cfg)
{
    struct lab_load *l = mem_zalloc(m, sizeof *l);
    ASSERT(l != NULL);
    l->mem = m;
    l->sim = s;
    l->check = c;
    l->cfg = *cfg;
    l->names = cfg->is_explicit ? lab_names_open(m) : NULL;
    lab_check_on_writer(c, load_is_writer, l);
    return l;
}

void lab_load_add(struct lab_load *l, struct sim_node *n)
{
    ASSERT(l->n_clients < LOAD_CLIENTS);
    struct load_client *lc = mem_zalloc(l->mem, sizeof *lc);
    ASSERT(lc != NULL);
    lc->l = l;
    lc->node = n;
    lc->number = l->n_clients;
    lc->threads = mem_zalloc(l->mem, l->cfg.threads * sizeof *lc->threads);
    ASSERT(lc->threads != NULL);
    for (uint32_t i = 0; i < l->cfg.threads; i++) {
        struct load_thread *t = &lc->threads[i];
        t->lc = lc;
        t->buf_bytes = l->cfg.io_bytes;
        t->buf = mem_alloc(l->mem, t->buf_bytes);
        t->list = mem_alloc(l->mem, LOAD_LIST * sizeof *t->list);
        ASSERT(t->buf && t->list);
        prng_seed(&t->prng, l->cfg.seed, "lab_load", (uint64_t)l->n_clients << 32 | i);
    }
    l->clients[l->n_clients++] = lc;
}

static struct load_client *load_of(struct lab_load *l, const struct sim_node *n)
{
    for (uint32_t i = 0; i < l->n_clients; i++)
        if (l->clients[i]->node == n)
            return l->clients[i];
    return NULL;
}

static void load_booted(struct env *e, struct mem *m, void *ctx)
{
    struct load_client *lc = ctx;
    struct client_config cfg = lc->l->cfg.client;
    cfg.name = sim_node_name(lc->node);
    cfg.host = cfg.name;
    cfg.read_any = lc->l->cfg.read_any > sim_node_id(lc->node) % 2;
    cfg.tap = lab_load_history_tap(lc);
    lc->env = e;
    int err = client_open(e, m, &cfg, NULL, &lc->client);
    if (err) {
        lab_check_fail(lc->l->check, LAB_STRUCTURE, "%s: client_open: %s", cfg.name, err_name(err));
        lc->client = NULL;
        return;
    }
    for (uint32_t i = 0; i < lc->l->cfg.threads; i++) {
        struct load_thread *t = &lc->threads[i];
        memset(&t->timer, 0, sizeof t->timer);
        memset(&t->req, 0, sizeof t->req);
        memset(&t->io, 0, sizeof t->io);
        memset(&t->place, 0, sizeof t->place);
        t->file = NULL;
        lab_load_op_boot(t);
        thread_think(t);
    }
}

void lab_load_boot(struct lab_load *l, struct sim_node *n)
{
    sim_node_start(n, load_booted, load_of(l, n));
}

void lab_load_crashed(struct lab_load *l, struct sim_node *n)
{
    struct load_client *lc = load_of(l, n);
    for (uint32_t i = 0; i < l->cfg.threads; i++) {
        struct load_thread *t = &lc->threads[i];
        lab_load_append_crashed(t);
        bool sets_size = t->req.fsop.flags & FSOP_F_TRUNC || t->req.fsop.valid & FSOP_SET_SIZE;
        if (t->state == LOAD_WRITE)
            lab_check_doubt(l->check, t->reading.ino);
        if (t->state == LOAD_WRITE)
            lab_check_writing_end(l->check, t, false);
        if (t->state == LOAD_FS && sets_size)
            lab_check_doubt(l->check, t->req.fsop.ino);
        t->state = LOAD_IDLE;
    }
    lc->client = NULL;
}

void lab_load_stop(struct lab_load *l)
{
    l->stopping = true;
    for (uint32_t i = 0; i < l->n_clients && l->cfg.is_explicit; i++)
        for (uint32_t k = 0; k < l->cfg.threads; k++) {
            struct load_thread *t = &l->clients[i]->threads[k];
            if (!l->clients[i]->client || t->state != LOAD_THINK)
                continue;
            env_timer_stop(l->clients[i]->env, &t->timer); /* its next operation is not begun */
            t->state = LOAD_IDLE;
            t->op = NULL;
        }
}

int64_t lab_load_oldest_ns(const struct lab_load *l)
{
    int64_t oldest = sim_now_ns(l->sim);
    for (uint32_t i = 0; i < l->n_clients; i++)
        for (uint32_t k = 0; k < l->cfg.threads; k++) {
            const struct load_thread *t = &l->clients[i]->threads[k];
            if (t->state == LOAD_IDLE || (t->state == LOAD_THINK && !t->file))
                continue;
            oldest = base_min_i64(oldest, t->w.from_ns);
            if (t->req.fsop.kind == FSOP_READDIR && t->n_list)
                oldest = base_min_i64(oldest, t->list_from_ns);
            if (t->file)
                oldest = base_min_i64(oldest, t->reading.opened_ns);
        }
    return oldest;
}

bool lab_load_is_idle(const struct lab_load *l)
{
    for (uint32_t i = 0; i < l->n_clients; i++)
        for (uint32_t k = 0; k < l->cfg.threads; k++)
            if (l->clients[i]->client && l->clients[i]->threads[k].state != LOAD_IDLE)
                return false;
    return true;
}

void lab_load_paused(struct lab_load *l, struct sim_node *n, int64_t for_ns)
{
    struct load_client *lc = load_of(l, n);
    for (uint32_t i = 0; i < l->cfg.threads; i++)
        lc->threads[i].late_ns += for_ns;
}

void lab_load_check(struct lab_load *l, int64_t late_ns)
{
    struct lab_finding *f = lab_check_finding(l->check, LAB_LIVENESS);
    for (uint32_t i = 0; i < l->n_clients; i++) {
        const struct load_client *lc = l->clients[i];
        char why[256];
        if (!lc->client)
            continue;
        lab_check_finding(l->check, LAB_STRUCTURE)->checks++;
        if (!client_check(lc->client, why, sizeof why))
            lab_check_fail(l->check, LAB_STRUCTURE, "%s: %s", sim_node_name(lc->node), why);
        for (uint32_t k = 0; k < l->cfg.threads; k++) {
            struct load_thread *t = &lc->threads[k];
            f->checks++;
            if (t->state < LOAD_FS || sim_now_ns(l->sim) < t->late_ns + late_ns)
                continue;
            lab_check_fail(l->check, LAB_LIVENESS,
                           "%s: %s (step %d of a %s) of inode %llu asked at %lld us has not ended",
                           lab_load_who(t), fsop_kind_name(t->req.fsop.kind), (int)t->state,
                           lab_load_kind_name(t->kind), (unsigned long long)t->req.fsop.ino.v,
                           (long long)(t->w.from_ns / 1000));
        }
    }
}

const struct lab_load_stats *lab_load_stats(const struct lab_load *l)
{
    return &l->stats;
}

void lab_load_on_success(struct lab_load *l, void (*fn)(void *ctx, int64_t at_ns), void *ctx)
{
    l->on_success = fn;
    l->success_ctx = ctx;
}

void lab_load_tell_open(struct lab_load *l)
{
    for (uint32_t i = 0; i < l->n_clients; i++)
        for (uint32_t k = 0; l->clients[i]->client && k < l->cfg.threads; k++) {
            struct load_thread *t = &l->clients[i]->threads[k];
            struct lab_window w = t->w;
            if (t->state < LOAD_FS)
                continue;
            t->w.to_ns = sim_now_ns(l->sim);
            thread_tell(t, E_TIMEOUT);
            t->w = w;
        }
}

void lab_load_on_answer(struct lab_load *l, void (*fn)(void *ctx, const struct lab_load_answer *a),
                        void *ctx)
{
    l->on_answer = fn;
    l->answer_ctx = ctx;
}

uint32_t lab_load_ghosts(const struct lab_load *l, const struct meta *state)
{
    struct session_id id = {0};
    uint32_t ghosts = 0;
    while ((id = meta_session_next(state, id)).v) {
        bool used = false;
        for (uint32_t i = 0; i < l->n_clients && !used; i++) {
            struct client_stats s = {0};
            if (l->clients[i]->client)
                client_stats(l->clients[i]->client, &s);
            used = s.session == id.v;
        }
        ghosts += !used;
    }
    return ghosts;
}

struct client *lab_load_client(struct lab_load *l, uint32_t i)
{
    return i < l->n_clients ? l->clients[i]->client : NULL;
}
