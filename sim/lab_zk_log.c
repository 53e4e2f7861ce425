/* sim/lab_zk_log.c - what servers of sim_zk say to each other, and what comes of it: proposals are
 * logged, committed and applied; sessions begin, are kept and end at the leader.
 *
 *   follower             leader                            all that are attached
 *     request  --hop-->  submit: zxid  --hop, disk-->  logged
 *                        quorum of acks  <--hop--      ack
 *                        applied  --hop (and a lag)-->  applied: answer, events
 *
 * Two lanes lead from each server to each other: in one proposals and all that is small, in the
 * other commits and what must not overtake them.  What is in a lane comes in order, or, when the
 * two do not hear of each other, when they do again; it is dropped if it is of another epoch or for
 * another process by then. */
#include "core/fmt.h"
#include "sim/lab_zk_impl.h"

/* ---- messages ---- */

static void msg_free(struct lab_zk_msg *m)
{
    struct lab_zk *z = m->z;
    if (m->entry)
        mem_free(z->mem, m->entry,
                 sizeof *m->entry + m->entry->n_ids * sizeof(struct lab_zk_id) + m->entry->n_body);
    m->entry = NULL;
    if (m->is_fired)
        mem_free(z->mem, m, sizeof *m);
    else
        m->is_done = true; /* its event is still to come */
}

void lab_zk_wake(struct lab_zk_place *p)
{
    if (!lab_zk_is_up(p) || p->proc->is_waking)
        return;
    p->proc->is_waking = true;
    env_reply(p->proc->env, &p->proc->wake, 0);
}

static bool msg_fits(const struct lab_zk_msg *m, const struct lab_zk_place *to)
{
    bool for_leader = m->kind <= LAB_ZK_MSG_ACK || m->from == m->to;
    uint32_t links = m->z->place[m->kind <= LAB_ZK_MSG_ACK ? m->from : m->to].links;
    return links == m->link_number && lab_zk_is_up(to) && to->boot == m->to_boot &&
           to->epoch == m->epoch && to->role == (for_leader ? LAB_ZK_LEADING : LAB_ZK_FOLLOWING);
}

static void lane_deliver(struct lab_zk *z, struct lab_zk_lane *lane)
{
    while (!list_empty(&lane->msgs)) {
        struct lab_zk_msg *m = list_entry(lane->msgs.next, struct lab_zk_msg, link);
        if (m->due_ns > sim_now_ns(z->sim) || !lab_zk_reach(z, m->from, m->to))
            return;
        struct lab_zk_place *to = &z->place[m->to];
        list_remove(&m->link);
        if (!msg_fits(m, to)) {
            msg_free(m);
            continue;
        }
        list_push_back(&to->inbox, &m->link);
        lab_zk_wake(to);
    }
}

static void msg_fired(struct env_op *op)
{
    struct lab_zk_msg *m = container_of(op, struct lab_zk_msg, at);
    struct lab_zk *z = m->z;
    m->is_fired = true;
    if (m->is_done)
        msg_free(m);
    else
        lane_deliver(z, &z->lane[m->kind >= LAB_ZK_MSG_COMMIT][m->from][m->to]);
}

void lab_zk_lanes_deliver(struct lab_zk *z)
{
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < z->cfg.servers; i++)
            for (uint32_t j = 0; j < z->cfg.servers; j++)
                lane_deliver(z, &z->lane[k][i][j]);
}

void lab_zk_inbox_drop(struct lab_zk_place *p)
{
    for (struct list *l; (l = list_pop(&p->inbox));)
        msg_free(list_entry(l, struct lab_zk_msg, link));
}

static void send(struct lab_zk_place *from, uint32_t to, const struct lab_zk_msg *m,
                 int64_t more_ns)
{
    struct lab_zk *z = from->z;
    struct lab_zk_lane *lane = &z->lane[m->kind >= LAB_ZK_MSG_COMMIT][from->index][to];
    struct lab_zk_msg *n = mem_alloc(z->mem, sizeof *n);
    ASSERT(n != NULL);
    *n = *m;
    n->z = z;
    n->at = (struct env_op){.done = msg_fired};
    n->from = from->index;
    n->to = to;
    n->to_boot = z->place[to].boot;
    n->epoch = from->epoch;
    n->link_number = z->place[m->kind <= LAB_ZK_MSG_ACK ? from->index : to].links;
    int64_t hop_ns =
        to == from->index ? 0 : lab_zk_draw_ns(z, z->cfg.hop_min_ns, z->cfg.hop_mean_ns);
    n->due_ns = sim_now_ns(z->sim) + hop_ns + more_ns;
    if (n->due_ns < lane->last_ns)
        n->due_ns = lane->last_ns;
    lane->last_ns = n->due_ns;
    list_push_back(&lane->msgs, &n->link);
    sim_at(z->sim, n->due_ns, &n->at);
}

/* ---- the log ---- */

static struct lab_zk_entry *entry_at(const struct lab_zk *z, uint64_t index)
{
    ASSERT(index >= z->log_first && index < z->log_end);
    return z->log[index % LAB_ZK_LOG];
}

static size_t entry_size(const struct lab_zk_entry *e)
{
    return sizeof *e + e->n_ids * sizeof e->ids[0] + e->n_body;
}

struct lab_zk_entry *lab_zk_entry_new(struct lab_zk *z, enum lab_zk_entry_kind kind,
                                      int64_t session, const struct lab_zk_conn *c, uint32_t n_ids,
                                      const void *body, uint32_t n_body)
{
    size_t size = sizeof(struct lab_zk_entry) + n_ids * sizeof(struct lab_zk_id) + n_body;
    struct lab_zk_entry *e = mem_alloc(z->mem, size);
    ASSERT(e != NULL);
    *e = (struct lab_zk_entry){.kind = kind, .session = session, .n_ids = n_ids, .n_body = n_body};
    if (n_ids)
        memcpy(e->ids, c->ids, n_ids * sizeof e->ids[0]);
    if (n_body)
        memcpy(e->ids + n_ids, body, n_body);
    if (c)
        e->origin = (struct lab_zk_origin){c->p->index, c->p->boot, c->number, c->requests};
    return e;
}

static void propose(struct lab_zk_place *leader, uint32_t to, uint64_t index)
{
    struct lab_zk *z = leader->z;
    const struct lab_zk_msg m = {.kind = LAB_ZK_MSG_PROPOSE, .index = index};
    send(leader, to, &m, lab_zk_draw_ns(z, z->cfg.log_min_ns, z->cfg.log_mean_ns));
}

void lab_zk_log_feed(struct lab_zk_place *leader, struct lab_zk_place *p)
{
    for (uint64_t i = p->logged; i < leader->z->log_end; i++)
        propose(leader, p->index, i);
}

void lab_zk_log_cut(struct lab_zk *z, uint64_t end)
{
    ASSERT(end >= z->committed && end <= z->log_end);
    for (; z->log_end > end; z->log_end--) {
        struct lab_zk_entry *e = entry_at(z, z->log_end - 1);
        mem_free(z->mem, e, entry_size(e));
        z->stats.lost++;
    }
}

void lab_zk_log_drop(struct lab_zk *z)
{
    for (; z->log_first < z->log_end; z->log_first++) {
        struct lab_zk_entry *e = entry_at(z, z->log_first);
        mem_free(z->mem, e, entry_size(e));
    }
    z->committed = z->log_end;
}

/* entries that all who are attached have applied; so what is there is in some tree */
static void log_trim(struct lab_zk *z)
{
    uint64_t first = z->committed;
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        if (z->place[i].is_attached)
            first = base_min_u64(first, z->place[i].applied);
    for (; z->log_first < first; z->log_first++) {
        struct lab_zk_entry *e = entry_at(z, z->log_first);
        mem_free(z->mem, e, entry_size(e));
    }
}

/* The log is full: who is furthest behind begins anew with all of the tree.  false: nobody is. */
static bool log_kick(struct lab_zk_place *leader)
{
    struct lab_zk *z = leader->z;
    struct lab_zk_place *last = leader;
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        if (z->place[i].is_attached && z->place[i].applied < last->applied)
            last = &z->place[i];
    if (last == leader)
        return false;
    last->is_attached = false;
    z->stats.kicked++;
    log_trim(z);
    return true;
}

static void apply_change(struct lab_zk_place *p, const struct lab_zk_entry *e)
{
    struct lab_zk *z = p->z;
    struct zk_request q = {.op = ZK_OP_ERROR}; /* of what was refused nothing is kept */
    int err = e->refused ? 0 : zk_proto_request_get(e->ids + e->n_ids, e->n_body, &q);
    ASSERT(!err);
    const struct lab_zk_change c = {.zxid = e->zxid,
                                    .time_ms = e->time_ms,
                                    .session = e->session,
                                    .refused = e->refused,
                                    .ids = e->ids,
                                    .n_ids = e->n_ids,
                                    .q = &q};
    uint32_t n = q.op == ZK_OP_MULTI ? q.ops.n : 1;
    ASSERT(n <= LAB_ZK_OPS);
    int32_t failed = lab_zk_tree_apply(&p->tree, &c, z->results);
    if (e->origin.server == p->index && e->origin.boot == p->boot && lab_zk_serves(p)) {
        z->stats.changes++;
        z->stats.failed += failed != 0;
        lab_zk_conn_applied(p, e, failed, z->results, e->refused ? 0 : n);
    }
}

static void apply_open(struct lab_zk_place *p, const struct lab_zk_entry *e)
{
    int32_t err = lab_zk_tree_session_open(&p->tree, e->zxid, e->session, e->timeout_ms);
    struct lab_zk_session *s = lab_zk_tree_session(&p->tree, e->session);
    if (s && p->role == LAB_ZK_LEADING) {
        int64_t tick = p->z->cfg.tick_ns, now = env_now_ns(p->proc->env);
        s->expires_ns = ((now + s->timeout_ms * 1000000LL) / tick + 1) * tick;
        s->server = (int32_t)e->origin.server;
    }
    struct lab_zk_conn *c = lab_zk_serves(p) ? lab_zk_conn_find(p, &e->origin) : NULL;
    if (c)
        lab_zk_conn_attached(c, !err);
}

static void apply_close(struct lab_zk_place *p, const struct lab_zk_entry *e)
{
    lab_zk_tree_session_close(&p->tree, e->zxid, e->session);
    if (!lab_zk_serves(p))
        return;
    struct lab_zk_conn *c = lab_zk_conn_find(p, &e->origin);
    if (c)
        lab_zk_conn_applied(p, e, 0, NULL, 0);
    lab_zk_conns_doom(p->proc, e->session, NULL);
}

static void pump_syncs(struct lab_zk_place *p)
{
    if (!lab_zk_serves(p) || !p->proc->n_syncs)
        return;
    list_each_safe(l, &p->proc->conns)
        lab_zk_conn_pump(list_entry(l, struct lab_zk_conn, link));
}

void lab_zk_log_apply(struct lab_zk_place *p, uint64_t end)
{
    bool was_behind = p->applied < end;
    while (p->applied < end) {
        const struct lab_zk_entry *e = entry_at(p->z, p->applied);
        p->applied++;
        if (e->kind == LAB_ZK_CHANGE)
            apply_change(p, e);
        else if (e->kind == LAB_ZK_OPEN)
            apply_open(p, e);
        else
            apply_close(p, e);
        pump_syncs(p);
    }
    if (was_behind)
        log_trim(p->z);
}

/* ---- a leader ---- */

/* p leads the present epoch, and is not deposed without knowing */
static bool is_leading(const struct lab_zk_place *p)
{
    return p->role == LAB_ZK_LEADING && p->is_attached && p->epoch == p->z->epoch;
}

static void commit(struct lab_zk_place *p)
{
    struct lab_zk *z = p->z;
    uint64_t before = z->committed;
    for (; z->committed < z->log_end; z->committed++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < z->cfg.servers; i++)
            n += z->place[i].is_attached && p->acked[i] > z->committed;
        if (n < lab_zk_quorum(z))
            break;
    }
    if (z->committed == before)
        return;
    const struct lab_zk_msg m = {.kind = LAB_ZK_MSG_COMMIT, .index = z->committed};
    for (uint32_t i = 0; i < z->cfg.servers; i++) {
        struct lab_zk_place *f = &z->place[i];
        if (f == p || !f->is_attached)
            continue;
        bool late = prng_chance_ppm(&z->prng, z->cfg.lag_ppm);
        send(p, i, &m, f->lag_ns + (late ? prng_exp(&z->prng, z->cfg.lag_mean_ns) : 0));
    }
    if (p->logged < z->committed) /* others were faster: what is applied counts as logged */
        p->acked[p->index] = p->logged = z->committed;
    p->committed = z->committed;
    lab_zk_log_apply(p, z->committed);
}

static void lead(struct lab_zk_place *p, struct lab_zk_entry *e, uint32_t from)
{
    struct lab_zk *z = p->z;
    if (!is_leading(p) || (z->log_end - z->log_first == LAB_ZK_LOG && !log_kick(p))) {
        mem_free(z->mem, e, entry_size(e)); /* who asked hears nothing until it is told otherwise */
        return;
    }
    struct lab_zk_session *s = lab_zk_tree_session(&p->tree, e->session);
    if (s && s->server < 0)
        s->server = (int32_t)from;
    if (s && e->kind == LAB_ZK_CHANGE && s->server != (int32_t)from)
        e->refused = ZK_ERR_SESSION_MOVED;
    if (s && e->kind == LAB_ZK_CLOSE)
        s->is_closing = true;
    e->index = z->log_end++;
    e->zxid = (int64_t)((uint64_t)z->epoch << 32 | ++z->counter);
    e->time_ms = env_wall_ns(p->proc->env) / 1000000;
    z->log[e->index % LAB_ZK_LOG] = e;
    for (uint32_t i = 0; i < z->cfg.servers; i++)
        if (z->place[i].is_attached)
            propose(p, i, e->index);
}

/* ---- sessions of a leader ---- */

static void session_touch(struct lab_zk_place *p, struct lab_zk_session *s, int32_t timeout_ms)
{
    int64_t tick = p->z->cfg.tick_ns, now = sim_clock_at(p->node, sim_now_ns(p->z->sim));
    if (s && !s->is_closing && s->expires_ns != INT64_MIN)
        s->expires_ns = ((now + timeout_ms * 1000000LL) / tick + 1) * tick;
}

void lab_zk_sessions_arm(struct lab_zk_place *p)
{
    list_each(l, &p->tree.sessions) {
        struct lab_zk_session *s = list_entry(l, struct lab_zk_session, in_tree);
        s->is_closing = false;
        s->server = -1;
        s->expires_ns = 0;
        session_touch(p, s, s->timeout_ms);
    }
}

static bool session_revalidate(struct lab_zk_place *p, int64_t session, int32_t timeout_ms,
                               uint32_t from)
{
    struct lab_zk_session *s = lab_zk_tree_session(&p->tree, session);
    if (!s || s->is_closing)
        return false;
    session_touch(p, s, timeout_ms);
    s->server = (int32_t)from;
    return true;
}

static void expiry(struct env_op *op)
{
    struct lab_zk_place *p = container_of(op, struct lab_zk_proc, expiry.op)->p;
    struct lab_zk *z = p->z;
    int64_t now = env_now_ns(p->proc->env), tick = z->cfg.tick_ns;
    if (is_leading(p))
        list_each_safe(l, &p->tree.sessions) {
            struct lab_zk_session *s = list_entry(l, struct lab_zk_session, in_tree);
            if (s->is_closing || s->expires_ns > now)
                continue;
            z->stats.expired++;
            lead(p, lab_zk_entry_new(z, LAB_ZK_CLOSE, s->id, NULL, 0, NULL, 0), p->index);
        }
    lab_zk_conns_sweep(p->proc);
    env_timer_set(p->proc->env, &p->proc->expiry, (now / tick + 1) * tick);
}

/* ---- what a server asks its leader ---- */

static void tell_leader(struct lab_zk_place *p, const struct lab_zk_msg *m)
{
    send(p, p->leader, m, 0);
}

void lab_zk_submit(struct lab_zk_place *p, struct lab_zk_entry *e)
{
    const struct lab_zk_msg m = {.kind = LAB_ZK_MSG_REQUEST, .entry = e};
    if (p->role == LAB_ZK_LEADING)
        lead(p, e, p->index);
    else
        tell_leader(p, &m);
}

void lab_zk_sync(struct lab_zk_place *p, const struct lab_zk_conn *c, uint64_t request)
{
    const struct lab_zk_msg m = {.kind = LAB_ZK_MSG_SYNC,
                                 .origin = {p->index, p->boot, c->number, request}};
    tell_leader(p, &m);
}

void lab_zk_revalidate(struct lab_zk_place *p, struct lab_zk_conn *c)
{
    const struct lab_zk_msg m = {.kind = LAB_ZK_MSG_REVALIDATE,
                                 .session = c->session,
                                 .timeout_ms = c->timeout_ms,
                                 .origin = {p->index, p->boot, c->number, 0}};
    if (p->role == LAB_ZK_LEADING)
        lab_zk_conn_attached(c, session_revalidate(p, c->session, c->timeout_ms, p->index));
    else
        tell_leader(p, &m);
}

void lab_zk_touch(struct lab_zk_place *p, struct lab_zk_conn *c)
{
    if (p->role == LAB_ZK_LEADING)
        session_touch(p, lab_zk_tree_session(&p->tree, c->session), c->timeout_ms);
    else
        c->is_touched = true;
}

static void tell_touched(struct lab_zk_place *p)
{
    list_each(l, &p->proc->conns) {
        struct lab_zk_conn *c = list_entry(l, struct lab_zk_conn, link);
        const struct lab_zk_msg m = {
            .kind = LAB_ZK_MSG_TOUCH, .session = c->session, .timeout_ms = c->timeout_ms};
        if (c->is_touched && p->role == LAB_ZK_FOLLOWING)
            tell_leader(p, &m);
        c->is_touched = false;
    }
}

/* ---- a server's turns ---- */

static void handle_as_leader(struct lab_zk_place *p, struct lab_zk_msg *m)
{
    struct lab_zk_msg a = {.kind = LAB_ZK_MSG_SYNCED, .origin = m->origin};
    switch (m->kind) {
    case LAB_ZK_MSG_REQUEST:
        lead(p, m->entry, m->from);
        m->entry = NULL;
        break;
    case LAB_ZK_MSG_SYNC:
        a.index = is_leading(p) ? p->z->log_end : p->applied;
        send(p, m->from, &a, 0);
        break;
    case LAB_ZK_MSG_REVALIDATE:
        a.kind = LAB_ZK_MSG_REVALIDATED;
        a.ok = session_revalidate(p, m->session, m->timeout_ms, m->from);
        send(p, m->from, &a, 0);
        break;
    case LAB_ZK_MSG_TOUCH:
        session_touch(p, lab_zk_tree_session(&p->tree, m->session), m->timeout_ms);
        break;
    case LAB_ZK_MSG_ACK:
        p->acked[m->from] = base_max_u64(p->acked[m->from], m->index);
        if (is_leading(p))
            commit(p);
        break;
    case LAB_ZK_MSG_PROPOSE: /* its own */
        if (!is_leading(p) || m->index != p->logged)
            break;
        p->acked[p->index] = ++p->logged;
        commit(p);
        break;
    default:
        break;
    }
}

static void handle_as_follower(struct lab_zk_place *p, const struct lab_zk_msg *m)
{
    const struct lab_zk_msg ack = {.kind = LAB_ZK_MSG_ACK, .index = m->index + 1};
    struct lab_zk_conn *c = lab_zk_conn_find(p, &m->origin);
    switch (m->kind) {
    case LAB_ZK_MSG_PROPOSE:
        if (!p->is_attached)
            break; /* thrown out, and does not know it yet */
        ASSERT(m->index == p->logged);
        p->logged++;
        tell_leader(p, &ack);
        break;
    case LAB_ZK_MSG_COMMIT:
        p->committed = base_max_u64(p->committed, m->index);
        break;
    case LAB_ZK_MSG_SYNCED:
        if (c)
            lab_zk_conn_synced(c, m->origin.request, m->index);
        break;
    case LAB_ZK_MSG_REVALIDATED:
        if (c)
            lab_zk_conn_attached(c, m->ok);
        break;
    default:
        break;
    }
    if (p->is_attached) /* else the log may not have it any more */
        lab_zk_log_apply(p, base_min_u64(p->committed, p->logged));
}

static void awake(struct env_op *op)
{
    struct lab_zk_proc *r = container_of(op, struct lab_zk_proc, wake);
    struct lab_zk_place *p = r->p;
    r->is_waking = false;
    for (struct list *l; (l = list_pop(&p->inbox));) {
        struct lab_zk_msg *m = list_entry(l, struct lab_zk_msg, link);
        if (msg_fits(m, p) && p->role == LAB_ZK_LEADING)
            handle_as_leader(p, m);
        else if (msg_fits(m, p))
            handle_as_follower(p, m);
        msg_free(m);
    }
    if (p->z->wish && is_leading(p)) {
        struct lab_zk_entry *e = p->z->wish;
        p->z->wish = NULL;
        lead(p, e, p->index);
    }
    if (p->role == LAB_ZK_FOLLOWING || p->is_deposed) /* a leader looks at its tick only */
        lab_zk_review(p);
    lab_zk_conns_sweep(r);
}

/* Of a silent connection its server gets rid of its own accord, seldom before the leader ends the
 * session: it looks every ten seconds only. */
static void conn_review(struct lab_zk_conn *c)
{
    int64_t bears_ns = c->state == LAB_ZK_CONN_NEW ? LAB_ZK_SILENT_NS : c->timeout_ms * 1000000LL;
    int64_t end_ns = ((c->heard_ns + bears_ns) / LAB_ZK_SILENT_NS + 1) * LAB_ZK_SILENT_NS;
    if (c->p->beat_ns >= end_ns)
        lab_zk_conn_doom(c);
}

static void beat(struct env_op *op)
{
    struct lab_zk_proc *r = container_of(op, struct lab_zk_proc, beat.op);
    struct lab_zk_place *p = r->p;
    p->beat_ns = sim_now_ns(p->z->sim);
    lab_zk_review(p);
    tell_touched(p);
    list_each(l, &r->conns)
        conn_review(list_entry(l, struct lab_zk_conn, link));
    lab_zk_conns_sweep(r);
    env_timer_set(r->env, &r->beat, env_now_ns(r->env) + p->z->cfg.tick_ns / 2);
}

static void listening(struct env_op *op)
{
    ASSERT(!op->ret);
}

void lab_zk_boot(struct env *e, struct mem *m, void *place)
{
    struct lab_zk_place *p = place;
    struct lab_zk_proc *r = mem_zalloc(m, sizeof *r);
    ASSERT(r != NULL);
    *r = (struct lab_zk_proc){.p = p, .env = e, .mem = m};
    r->out = mem_alloc(m, LAB_ZK_SCRATCH);
    r->list = mem_alloc(m, LAB_ZK_SCRATCH);
    int err = pool_init(&r->conn_pool, m, sizeof(struct lab_zk_conn), p->z->cfg.conns);
    ASSERT(!err && r->out && r->list);
    list_init(&r->conns);
    p->proc = r;
    p->boot = sim_node_incarnation(p->node);
    p->role = LAB_ZK_LOOKING;
    p->is_attached = p->is_deposed = false;
    p->links++;
    p->join_ns = 0;
    p->beat_ns = sim_now_ns(p->z->sim);
    r->wake.done = awake;
    r->beat.op.done = beat;
    r->expiry.op.done = expiry;
    r->door = (struct env_acceptor){.on_open = lab_zk_conn_open, .is_raw = true};
    r->listening.done = listening;
    char addr[ENV_ADDR_MAX];
    fmt_into(addr, sizeof addr, "%s:%u", p->name, (unsigned)LAB_ZK_PORT);
    env_listen(e, addr, &r->door, &r->listening);
    env_timer_set(e, &r->beat, env_now_ns(e) + p->z->cfg.tick_ns / 2);
    env_timer_set(e, &r->expiry, (env_now_ns(e) / p->z->cfg.tick_ns + 1) * p->z->cfg.tick_ns);
}
