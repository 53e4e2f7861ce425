/* cluster/master.c - a master's life: open, lead, step down, stop; the journal's other side.
 *
 * INVARIANTS
 *  1. A record is matched with the sub that waits for it by its bytes, in the order of submission;
 *     a record of somebody else (or of an earlier leadership) matches nothing and is only applied.
 *  2. Soft state follows applies only while leading; leadership begins with all of it empty, but
 *     for the workers' reports, which every master takes at any time.
 *  3. Requests are served only after the configured mounts are journaled.
 *  4. After master_stop nothing new starts; memory goes back when the last operation is done.
 *  5. Leadership comes and goes any number of times.  Its end answers every request (E_NOT_LEADER,
 *     and who leads instead, if that is known); what is out then, in the journal or below, comes
 *     back to a job or request that is over and ends it.
 *  6. While an image is loaded nobody looks at the state.
 *
 * Leadership: role(LEADER) -> sessions, under-stores from the applied state -> configured mounts
 * that are missing are journaled, one after the other (master_mount.c) -> open intents resumed,
 * serving.  A single master listens from then on, one of a group from its start. */
#include "cluster/master_impl.h"
#include "core/mutant.h"
#include "core/sometimes.h"

struct master_config master_config_default(void)
{
    return (struct master_config){
        .journal = journal_config_default(),
        .limits = {.inodes_max = 100000000, .sessions_max = 1024},
        .page_bytes = 1 << 20,
        .stripe_bytes = 1 << 30,
        .lease_ns = 5000 * MASTER_MS,
        .session_ns = 30000 * MASTER_MS,
        .worker_beat_ns = 500 * MASTER_MS,
        .requests_max = 4096,
        .clients_max = 1024,
    };
}

void *master_keep(struct master *m, size_t n)
{
    ASSERT(m->n_owned < ARRAY_LEN(m->owned));
    void *p = mem_zalloc(m->mem, n);
    if (p) {
        m->owned[m->n_owned].p = p;
        m->owned[m->n_owned++].n = n;
    }
    return p;
}

/* --- records --- */

void master_submit(struct master *m, const struct fsop *op, struct master_sub *sub)
{
    struct wbuf w = wbuf_make(m->rec, JOURNAL_RECORD_MAX);
    fsop_put(&w, op);
    memset(&sub->reply, 0, sizeof sub->reply);
    sub->conflict = 0;
    if (w.bad) {
        list_init(&sub->link);
        sub->op.ret = E_TOOBIG;
        env_post(m->env, &sub->op);
        return;
    }
    sub->hash = base_hash(w.p, w.len, 1);
    sub->len = (uint32_t)w.len;
    list_push_back(&m->subs, &sub->link);
    journal_submit(m->journal, w.p, (uint32_t)w.len, &sub->op);
}

static struct master_sub *master_match(struct master *m, const void *rec, uint32_t len)
{
    if (list_empty(&m->subs))
        return NULL;
    uint64_t hash = base_hash(rec, len, 1);
    list_each(it, &m->subs) {
        struct master_sub *s = list_entry(it, struct master_sub, link);
        if (s->len == len && s->hash == hash) {
            list_remove(&s->link);
            return s;
        }
    }
    return NULL;
}

/* what a leader's soft tables learn from a record */
static void master_follow(struct master *m, const struct fsop *op, const struct meta_result *res,
                          struct master_req *req)
{
    bool ok = res->reply.err == 0;
    if (op->kind == FSOP_SESSION_OPEN && ok && !(res->reply.flags & FSOP_R_DUPLICATE))
        master_lease_opened(m, (struct session_id){res->reply.value},
                            req ? req->token : (struct rpc_token){0});
    if (op->kind == FSOP_SESSION_CLOSE && ok)
        master_lease_closed(m, (struct session_id){op->arg});
    if ((op->kind == FSOP_MOUNT || op->kind == FSOP_UNMOUNT) && ok)
        master_mount_open_all(m);
    if (op->kind == FSOP_RECLAIM && ok)
        master_member_free(m, op->ino, UINT64_MAX);
    for (unsigned i = 0; i < res->n_changes; i++) {
        struct fsattr a;
        if (res->changes[i].kind != META_CHANGE_ENTRY)
            recent_put(&m->touched, res->changes[i].ino.v, meta_applied(m->meta));
        if (res->changes[i].kind != META_CHANGE_DATA)
            continue;
        bool is_there = master_load_attr(m, res->changes[i].ino, &a) == 0;
        master_member_free(m, res->changes[i].ino, is_there ? a.version : UINT64_MAX);
    }
    if (op->kind == FSOP_OUTCOME)
        req = master_rpc_by_intent(m, op->arg);
    if (res->n_changes)
        master_lease_changed(m, res, req);
    else if (ok && req)
        master_lease_unchanged(m, req);
}

static void master_say_full(struct master *m)
{
    struct meta_stats st;
    int64_t now = env_now_ns(m->env);
    m->n.full++;
    if (m->full_said_ns && now - m->full_said_ns < MASTER_FULL_NS)
        return;
    m->full_said_ns = now;
    meta_stats(m->meta, &st);
    fmt_log(
        m->env, ENV_LOG_ERROR,
        "master: the state has %llu of the %llu MiB that master.memory leaves for it: no new "
        "names, attributes, writers or sessions until something is removed, or master.memory is "
        "raised and the master restarted",
        (unsigned long long)st.bytes >> 20,
        (unsigned long long)meta_limits(m->meta).bytes_max >> 20);
}

static void master_on_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct master *m = container_of(h, struct master, host);
    struct master_sub *sub = master_match(m, rec, len);
    struct rbuf r = rbuf_make(rec, len);
    struct fsop op;
    struct meta_result res;
    if (fsop_get(&r, &op) != 0)
        memset(&op, 0, sizeof op); /* every master sees the same bytes, so all apply a NOOP */
    meta_apply(m->meta, index, &op, &res);
    res.reply.index = index;
    if (op.kind == FSOP_LIMITS && (uint64_t)op.mtime_ns > m->cfg.limits.bytes_max)
        fmt_log(m->env, ENV_LOG_ERROR,
                "master: the leader's state may have %llu MiB, this master has room for %llu: give "
                "all masters the same master.memory, or this one fails when the state has grown",
                (unsigned long long)op.mtime_ns >> 20,
                (unsigned long long)m->cfg.limits.bytes_max >> 20);
    if (m->cfg.observer)
        m->cfg.observer->on_apply(m->cfg.observer, index, &op, &res, m->meta);
    if (sub) {
        sub->reply = res.reply;
        sub->reply.data = NULL;
        sub->reply.data_len = 0;
        sub->conflict = res.conflict;
    }
    if (!m->is_leading)
        return;
    if (res.is_full)
        master_say_full(m);
    if (sub && sub->req && res.reply.intent)
        master_rpc_intent_opened(sub->req, res.reply.intent);
    master_follow(m, &op, &res, sub ? sub->req : NULL);
    if (op.kind == FSOP_OUTCOME && !res.reply.err)
        master_append_cut(m, master_effect_cut_by(m, op.arg));
    if (op.kind == FSOP_OUTCOME)
        master_rpc_intent_closed(m, op.arg, &res.reply);
    else if (res.reply.intent)
        master_effect_kick(m);
    if (op.kind == FSOP_OUTCOME ||
        (op.kind == FSOP_LOAD && (op.flags & FSOP_F_LOAD_LAST) && !res.reply.value))
        master_rpc_released(m, op.arg);
}

/* --- leadership --- */

static void master_settle(struct master *m)
{
    if (m->is_stopping || m->state == MASTER_FAILED)
        return;
    if (m->is_reachable && m->is_leading && m->is_mounted)
        m->state = MASTER_SERVING;
    else if (m->is_reachable && (m->is_leading || m->is_standby))
        m->state = MASTER_STANDBY;
    else
        m->state = MASTER_STARTING;
}

static void master_fail(struct master *m, int why)
{
    m->state = MASTER_FAILED;
    m->why = why;
}

static void master_listened(struct env_op *op)
{
    struct master *m = container_of(op, struct master, listen_op);
    op->done = NULL;
    if (op->ret < 0 && !m->is_stopping) {
        fmt_log(m->env, ENV_LOG_ERROR, "master: cannot listen on %s: %s", m->cfg.listen,
                err_text((int)op->ret));
        master_fail(m, (int)op->ret);
    }
    m->is_reachable = op->ret >= 0;
    master_settle(m);
    master_stop_step(m);
}

static void master_listen(struct master *m)
{
    if (m->is_listening)
        return;
    m->is_listening = true;
    m->listen_op.done = master_listened;
    rpc_listen(&m->rpc, m->cfg.listen, &m->listen_op);
}

void master_serve(struct master *m)
{
    m->is_mounted = true;
    master_effect_kick(m);
    env_timer_set(m->env, &m->tick, env_now_ns(m->env) + MASTER_TICK_NS);
    master_listen(m);
    master_settle(m);
    master_group_tell(m);
}

static void master_lead(struct master *m, uint64_t epoch)
{
    m->is_leading = true;
    m->is_mounted = m->is_idle = false;
    m->epoch = epoch;
    if (m->cfg.observer)
        m->cfg.observer->on_lead(m->cfg.observer, epoch, m->meta);
    m->led_since_ns = env_now_ns(m->env);
    m->intent_cursor = m->intent_resume = 0;
    while (meta_intent_next(m->meta, m->intent_resume, &m->scratch) == 0)
        m->intent_resume = m->scratch.id;
    if (m->intent_resume)
        SOMETIMES(MASTER_INTENT_RESUMED);
    if (MUTANT(INTENT_FORGOTTEN))
        m->intent_cursor = m->intent_resume;
    master_load_reset(m);
    master_lease_begin(m);
    master_member_lead(m);
    master_settle(m);
    master_mount_begin(m);
}

static void master_step_down(struct master *m, int err)
{
    m->is_leading = m->is_mounted = false;
    if (m->cfg.observer && m->cfg.observer->on_step_down)
        m->cfg.observer->on_step_down(m->cfg.observer);
    env_timer_stop(m->env, &m->tick);
    master_rpc_end_all(m, err);
    master_lease_hang_up(m);
    master_lease_reset(m);
    master_load_hurry(m);
    master_hold_end(m);
}

static void master_on_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct master *m = container_of(h, struct master, host);
    if (m->is_stopping)
        return;
    if (m->is_leading)
        master_step_down(m, role == JOURNAL_FAILED ? E_UNAVAILABLE : E_NOT_LEADER);
    else if (role != JOURNAL_STANDBY)
        master_standby_end(m);
    m->is_standby = role == JOURNAL_STANDBY;
    if (role == JOURNAL_LEADER) {
        master_lead(m, epoch);
    } else if (role == JOURNAL_FAILED) {
        fmt_log(m->env, ENV_LOG_ERROR, "master: the journal failed: %s; %s", err_text(why),
                why == E_IO || why == E_NOSPC || why == E_CORRUPT ? "repair its disk and restart"
                                                                  : "the line above says more");
        master_fail(m, why);
    } else if (m->is_group) {
        m->is_idle = false;
        env_timer_set(m->env, &m->tick, env_now_ns(m->env) + MASTER_TICK_NS);
    }
    master_settle(m);
}

static void master_on_image_begin(struct journal_host *h)
{
    meta_image_begin(container_of(h, struct master, host)->meta);
}

static uint32_t master_on_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    return meta_image_next(container_of(h, struct master, host)->meta, buf, cap);
}

static void master_on_image_end(struct journal_host *h)
{
    meta_image_end(container_of(h, struct master, host)->meta);
}

static int master_on_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct master *m = container_of(h, struct master, host);
    uint32_t oldest, newest;
    ASSERT(!m->is_leading);
    int err = meta_image_load(m->meta, piece, len);
    m->is_loading = !err && len;
    if (!err && !len && m->cfg.observer && m->cfg.observer->on_image)
        m->cfg.observer->on_image(m->cfg.observer, m->meta);
    if (err == E_VERSION) {
        uint32_t version = meta_image_version(m->meta, &oldest, &newest);
        fmt_log(m->env, ENV_LOG_ERROR,
                "master: the state image has format %u; this release reads %u to %u%s", version,
                oldest, newest,
                version > newest
                    ? ", it is older than the one that ran here before: run that one again"
                    : "; run the release that wrote it, or one between");
    }
    return err;
}

static void master_on_image_reset(struct journal_host *h)
{
    struct master *m = container_of(h, struct master, host);
    ASSERT(!m->is_leading);
    m->is_loading = false;
    meta_close(m->meta);
    int err = meta_open(&m->state_mem, &m->cfg.limits, &m->meta);
    ASSERT(err == 0); /* what was just given back is enough */
}

/* --- the clock --- */

static bool master_is_idle(const struct master *m)
{
    return list_empty(&m->live) && list_empty(&m->job_list) && !m->sessions_unbeaten &&
           m->mounting >= m->cfg.n_mounts;
}

void master_busy(struct master *m)
{
    if (!m->is_idle || m->is_stopping)
        return;
    m->is_idle = false;
    env_timer_set(m->env, &m->tick, env_now_ns(m->env) + MASTER_TICK_NS);
}

static void master_tick(struct env_op *op)
{
    struct master *m = container_of(op, struct master, tick.op);
    if (!m->is_leading || !m->is_mounted) {
        m->is_idle = !m->is_leading && !m->n_askers && list_empty(&m->live);
        env_timer_set(m->env, &m->tick,
                      env_now_ns(m->env) + (m->n_askers  ? MASTER_ASK_TICK_NS
                                            : m->is_idle ? MASTER_IDLE_NS
                                                         : MASTER_TICK_NS));
        if (m->is_leading)
            master_mount_retry(m);
        else
            master_rpc_tick(m);
        master_member_tick(m);
        master_group_tick(m);
        return;
    }
    m->is_idle = master_is_idle(m);
    env_timer_set(m->env, &m->tick,
                  env_now_ns(m->env) + (m->is_idle ? MASTER_IDLE_NS : MASTER_TICK_NS));
    master_rpc_tick(m);
    master_lease_tick(m);
    master_member_tick(m);
    master_mount_tick(m);
    master_effect_kick(m);
}

static void master_on_conn_close(struct rpc_host *h, struct rpc_conn *c)
{
    struct master *m = container_of(h, struct master, rpc);
    master_lease_conn_closed(m, c);
    master_stop_step(m);
}

/* --- open, stop --- */

static void master_free(struct master *m)
{
    struct mem *mem = m->mem;
    master_lease_free(m);
    master_member_free_all(m);
    master_load_free(m);
    while (m->n_owned) {
        m->n_owned--;
        mem_free(mem, m->owned[m->n_owned].p, m->owned[m->n_owned].n);
    }
    if (m->state_mem.whole)
        mem_part_end(&m->state_mem);
    mem_free(mem, m, sizeof *m);
}

static int master_init(struct master *m)
{
    m->rec = master_keep(m, JOURNAL_RECORD_MAX);
    m->qbuf = master_keep(m, RPC_BODY_MAX);
    m->out = master_keep(m, RPC_BODY_MAX);
    if (!m->rec || !m->qbuf || !m->out)
        return E_NOMEM;
    m->tick.op.done = master_tick;
    m->mount_sub.op.done = master_mount_done;
    list_init(&m->mount_sub.link);
    list_init(&m->subs);
    list_init(&m->job_list);
    master_hold_init(m);
    m->host = (struct journal_host){.apply = master_on_apply,
                                    .role = master_on_role,
                                    .image_begin = master_on_image_begin,
                                    .image_next = master_on_image_next,
                                    .image_end = master_on_image_end,
                                    .image_load = master_on_image_load,
                                    .image_reset = master_on_image_reset,
                                    .hold = master_hold};
    m->rpc.on_call = master_rpc_on_call;
    m->rpc.on_close = master_on_conn_close;
    m->rpc.on_foreign = master_group_foreign;
    int err = master_lease_init(m); /* before requests: they hold a bit for each session */
    if (!err)
        err = master_rpc_init(m);
    if (!err)
        err = master_load_init(m);
    if (!err)
        err = master_member_init(m);
    return err;
}

/* The state gets a part of the budget of its own, so that no queue or table takes its place: what
 * is left when all fixed things are there, less an eighth and 16 MiB for those that grow.  An image
 * may copy each page of the state once, hence half of the part is the limit of the state. */
static int master_state_open(struct master *m)
{
    uint64_t left = m->mem->budget - m->mem->used;
    uint64_t soft = m->mem->budget / 8 + MASTER_SOFT_BYTES, part = left > soft ? left - soft : 0;
    part -= part / 256 + 64; /* what a part costs beyond its budget */
    uint64_t own = 2 << 20;  /* the lists of pages apart */
    uint64_t most = left > soft && part > own ? (part - own) / 129 * 64 >> 20 << 20 : 0;
    if (most < META_BYTES_LEAST || !mem_part(&m->state_mem, m->mem, part)) {
        fmt_log(m->env, ENV_LOG_ERROR,
                "master: a budget of %llu MiB is too small: %llu MiB are in use before any file. "
                "Raise master.memory, or lower master.requests_max and master.inodes_max",
                (unsigned long long)m->mem->budget >> 20, (unsigned long long)m->mem->used >> 20);
        return E_NOMEM;
    }
    uint64_t *max = &m->cfg.limits.bytes_max;
    *max = *max ? base_min_u64(*max >> 20 << 20, most) : most;
    return meta_open(&m->state_mem, &m->cfg.limits, &m->meta);
}

static struct journal *master_journal_open(struct master *m)
{
    const struct journal_config *jc = &m->cfg.journal;
    if (m->cfg.journal_open)
        return m->cfg.journal_open(m->env, m->mem, jc, &m->host);
    if (jc->zk.id)
        return zk_drive_open(m->env, jc->zk.shared, m->mem, jc, jc->zk.elect, &m->host);
    return (jc->raft.id ? raft_open : local_open)(m->env, m->mem, jc, &m->host);
}

int master_open(struct env *e, struct mem *mem, const struct master_config *cfg,
                struct master **ret_m)
{
    struct master *m = mem_zalloc(mem, sizeof *m);
    if (!m)
        return E_NOMEM;
    m->env = e;
    m->mem = mem;
    m->cfg = *cfg;
    m->state = MASTER_STARTING;
    bool has_rpc = false;
    int err = master_init(m);
    if (!err) {
        err = rpc_host_init(&m->rpc, e, mem, cfg->clients_max, 64);
        has_rpc = !err;
    }
    if (!err)
        err = master_state_open(m);
    if (!err && m->cfg.journal.raft.id && journal_sure_ns(&m->cfg.journal.raft) <= 0) {
        fmt_log(e, ENV_LOG_ERROR,
                "master: journal.suspect_min must be longer than journal.promise: else another one "
                "may lead before this one knows, and both change the under-store");
        err = E_CONFIG;
    }
    if (!err) {
        *ret_m = m;
        m->cfg.journal.raft.settings = master_settings_sum(m);
        m->journal = master_journal_open(m);
        err = m->journal ? 0 : E_NOMEM;
    }
    if (!err) {
        m->is_group = m->journal->vt->is_group;
        if (m->is_group)
            master_listen(m);
    }
    if (err) {
        if (m->meta)
            meta_close(m->meta);
        if (has_rpc)
            rpc_host_free(&m->rpc);
        master_free(m);
        *ret_m = NULL;
    }
    return err;
}

enum master_state master_state(const struct master *m, int *ret_why)
{
    if (ret_why)
        *ret_why = m->why;
    return m->state;
}

static void master_journal_stopped(struct env_op *op)
{
    struct master *m = container_of(op, struct master, stop_journal);
    struct env_op *user = m->stop_op;
    user->ret = op->ret < 0 ? op->ret : 0;
    for (unsigned n = 0; n <= LIMIT_MOUNTS; n++)
        if (m->ufs[n].ufs)
            ufs_close(m->ufs[n].ufs);
    meta_close(m->meta);
    rpc_host_free(&m->rpc);
    master_free(m);
    user->done(user);
}

void master_stop_step(struct master *m)
{
    bool is_idle = list_empty(&m->job_list) && list_empty(&m->rpc.open) && !m->mount_sub.len &&
                   !m->listen_op.done && m->reqs.free_count == m->reqs.count;
    if (!m->is_stopping || m->is_stepping || m->is_journal_stopped || !is_idle)
        return;
    m->is_journal_stopped = true;
    m->stop_journal.done = master_journal_stopped;
    journal_stop(m->journal, &m->stop_journal);
}

static void master_stop_posted(struct env_op *op)
{
    struct master *m = container_of(op, struct master, stop_journal);
    m->is_stepping = false;
    master_stop_step(m);
}

void master_stop(struct master *m, struct env_op *op)
{
    ASSERT(!m->is_stopping);
    m->is_stopping = true;
    m->state = MASTER_STOPPED;
    m->stop_op = op;
    m->is_leading = m->is_mounted = m->is_standby = false;
    m->n_askers = 0;
    env_timer_stop(m->env, &m->tick);
    master_rpc_end_all(m, E_CANCELLED);
    master_lease_reset(m);
    master_load_hurry(m);
    master_hold_end(m);
    rpc_host_close(&m->rpc);
    journal_ending(m->journal);
    m->is_stepping = true;
    m->stop_journal.done = master_stop_posted;
    env_post(m->env, &m->stop_journal);
}

const struct meta *master_meta(const struct master *m)
{
    return m->meta;
}

void master_journal_status(const struct master *m, struct journal_status *ret_status)
{
    memset(ret_status, 0, sizeof *ret_status);
    journal_status(m->journal, ret_status);
}

bool master_check(const struct master *m, bool whole, char *err_text_buf, size_t cap)
{
    return (!whole || meta_check(m->meta, err_text_buf, cap)) &&
           master_rpc_check(m, err_text_buf, cap) && master_lease_check(m, err_text_buf, cap) &&
           master_member_check(m, err_text_buf, cap);
}
