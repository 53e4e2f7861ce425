/* sim/sim_conn.c - connections: connect, frames in order, closes, and what breaks them.
 *
 *  1. Each direction is a queue of items; only the head has an event, so the order holds whatever
 *     delays the head meets.
 *  2. An end is CLOSED when its process no longer knows it.  What it sent before still travels.
 *  3. Bytes that reach a CLOSED end are answered by a reset, if the machine has power and the link
 *     carries it.
 *  4. Bytes not acknowledged for user_timeout_ns reset their sender's end, and nothing else.
 *  5. A connection is freed when both ends are CLOSED and no callback of it is on the stack.
 *
 *      CONNECTING --hello--> OPEN --fin, reset, timeout--> CLOSING --on_close--> CLOSED
 *           \--refused, timeout--> CLOSED      \--hangup, crash--> CLOSED
 *
 *  6. A raw connection (sim_raw.c) is accepted by the machine: who called is OPEN although the
 *     process there may stand still, and then its end is KNOWN until on_open. */
#include "sim/sim_internal.h"

struct sim_end *sim_conn_other(struct sim_end *e)
{
    return &e->conn->end[1 - e->index];
}

static struct sim_end *sim_conn_end(struct env_conn *c)
{
    return container_of(c, struct sim_end, pub);
}

static struct sim_node *sim_conn_node(struct env *e)
{
    return container_of(e, struct sim_node, env);
}

static void sim_conn_ev_drop(struct sim *s, struct sim_ev **ev)
{
    if (*ev)
        sim_ev_free(s, *ev);
    *ev = NULL;
}

/* ---- items ---- */

struct sim_item *sim_conn_item(struct sim_end *e, enum sim_item_kind kind, uint64_t wire)
{
    struct sim *s = e->conn->sim;
    struct sim_item *it = sim_alloc(s, sizeof *it);
    it->kind = (uint8_t)kind;
    it->wire = wire + SIM_ITEM_HEAD;
    it->born_ns = s->now_ns;
    list_push_back(&e->out, &it->link);
    if (!list_linked(&e->dirty))
        list_push_back(&s->net.dirty, &e->dirty);
    return it;
}

void sim_conn_item_free(struct sim_end *e, struct sim_item *it)
{
    struct sim *s = e->conn->sim;
    e->backlog -= it->backlog;
    if (it->rma)
        it->rma->item = NULL;
    list_remove(&it->link);
    sim_free(s, it->bytes, it->cap);
    sim_free(s, it, sizeof *it);
}

static void sim_conn_drop_items(struct sim_end *e)
{
    while (!list_empty(&e->out))
        sim_conn_item_free(e, container_of(e->out.next, struct sim_item, link));
    sim_conn_ev_drop(e->conn->sim, &e->ev);
    sim_conn_ev_drop(e->conn->sim, &e->unacked_ev);
    e->stuck = false;
}

static void sim_conn_put(struct sim_conn *c)
{
    struct sim *s = c->sim;
    if (c->busy || c->end[0].state != SIM_END_CLOSED || c->end[1].state != SIM_END_CLOSED)
        return;
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &c->end[i];
        sim_conn_drop_items(e);
        sim_conn_ev_drop(s, &e->rst_ev);
        ASSERT(!e->close_ev && list_empty(&e->rmas));
        list_remove(&e->dirty);
    }
    sim_conn_ev_drop(s, &c->knock_ev);
    sim_conn_ev_drop(s, &c->deadline_ev);
    list_remove(&c->link);
    sim_free(s, c, sizeof *c);
}

/* ---- leaving ---- */

static void sim_conn_unacked(struct sim_end *e);

static void sim_conn_schedule(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    if (list_empty(&e->out) || e->stuck)
        return;
    struct sim_item *it = container_of(e->out.next, struct sim_item, link);
    if (!it->departed)
        return;
    if (!e->ev) {
        e->ev = sim_ev_new(s, NULL, SIM_EV_DIR);
        e->ev->turn = sim_conn_other(e)->node;
        e->ev->a = e;
    }
    if (!sim_ev_is_queued(s, e->ev) && !e->ev->held)
        sim_ev_at(s, e->ev, it->due_ns);
}

static void sim_conn_reset_later(struct sim_end *e, int64_t at_ns)
{
    struct sim *s = e->conn->sim;
    if (e->rst_ev)
        return;
    e->rst_ev = sim_ev_new(s, NULL, SIM_EV_RST);
    e->rst_ev->a = e;
    sim_ev_at(s, e->rst_ev, at_ns);
}

/* keeps the first frames of a write, or bytes of a raw one, and loses all that follows it */
static void sim_conn_cut(struct sim_end *e, struct sim_item *it)
{
    struct sim *s = e->conn->sim;
    while (it->link.next != &e->out)
        sim_conn_item_free(e, container_of(it->link.next, struct sim_item, link));
    if (it->kind == SIM_ITEM_RAW)
        it->n = (uint32_t)prng_below(&s->net.prng, it->n);
    if (it->kind == SIM_ITEM_RAW && it->n)
        return;
    uint32_t keep = it->kind == SIM_ITEM_FRAMES && it->frames
                        ? (uint32_t)prng_below(&s->net.prng, it->frames)
                        : 0;
    if (!keep) {
        sim_conn_item_free(e, it);
        return;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < keep; i++)
        n += SIM_FRAME_HEAD + base_get_u32(it->bytes + n);
    it->n = n;
    it->frames = keep;
}

static void sim_conn_spend(struct sim_node *n, int64_t ns, uint64_t bytes)
{
    sim_node_spend(n, ns + (int64_t)(bytes * n->sim->cfg.serve.byte_ps / 1000));
}

/* false when the connection broke on the way, and it and what followed may be gone */
static bool sim_conn_depart(struct sim_end *e, struct sim_item *it)
{
    struct sim *s = e->conn->sim;
    struct sim_node *to = sim_conn_other(e)->node;
    sim_conn_spend(e->node, s->cfg.serve.send_ns, it->wire);
    int64_t left_ns =
        sim_net_tx_ns(e->node, it->wire, s->now_ns + e->node->lag_ns + e->node->spent_ns);
    int64_t due_ns = left_ns + sim_net_journey_ns(s, e->node, to, it->wire);
    it->departed = true;
    it->due_ns = e->last_due_ns = due_ns > e->last_due_ns ? due_ns : e->last_due_ns;
    s->stats.writes++;
    if (e->node == to || e->state != SIM_END_OPEN)
        return true;
    struct sim_hit hit = {.kind = SIM_CHANCE_HALF_OPEN};
    bool drawn = prng_chance_ppm(&s->net.prng, s->net.cfg.half_open_ppm);
    if (sim_chance(s, e->node, to, drawn, &hit)) {
        s->stats.half_opens++;
        e->conn->silent = true;
    }
    hit.kind = SIM_CHANCE_RESET;
    drawn = prng_chance_ppm(&s->net.prng, s->net.cfg.reset_ppm);
    if (!sim_chance(s, e->node, to, drawn, &hit))
        return true;
    s->stats.resets++;
    e->conn->broken = true;
    sim_conn_cut(e, it);
    sim_conn_reset_later(sim_conn_other(e), e->last_due_ns + 1);
    sim_conn_reset_later(e, e->last_due_ns + sim_net_latency_ns(s, to, e->node, 0));
    return false;
}

static void sim_conn_flush_end(struct sim_end *e)
{
    struct list *l = &e->out;
    while (l->prev != &e->out && !container_of(l->prev, struct sim_item, link)->departed)
        l = l->prev;
    while (l != &e->out) {
        struct sim_item *it = container_of(l, struct sim_item, link);
        l = l->next;
        if (e->conn->broken) { /* nobody acknowledges it, should the reset not get through */
            sim_conn_item_free(e, it);
            if (e->state == SIM_END_OPEN)
                sim_conn_unacked(e);
            continue;
        }
        if (!sim_conn_depart(e, it))
            break;
        if (it->rma)
            sim_rma_departed(it);
        if (it->kind == SIM_ITEM_RAW)
            sim_raw_departed(e, it);
    }
    sim_conn_schedule(e);
}

void sim_conn_flush(struct sim *s)
{
    struct list *l, later;
    list_init(&later);
    while ((l = list_pop(&s->net.dirty))) {
        struct sim_end *e = container_of(l, struct sim_end, dirty);
        if (e->node->serves && !e->node->leaves)
            list_push_back(&later, l); /* its turn goes on */
        else
            sim_conn_flush_end(e);
    }
    list_splice(&s->net.dirty, &later);
}

/* ---- closing ---- */

static void sim_conn_forget(struct sim_end *e, bool late)
{
    e->state = SIM_END_CLOSED;
    list_remove(&e->link);
    sim_conn_ev_drop(e->conn->sim, &e->close_ev);
    sim_rma_closed(e, late);
}

/* The kernel gave the connection up; the process learns it in a turn of its own. */
static void sim_conn_reset(struct sim_end *e, int why)
{
    struct sim *s = e->conn->sim;
    if (e->state != SIM_END_OPEN)
        return;
    e->state = SIM_END_CLOSING;
    e->why = why;
    sim_conn_drop_items(e);
    e->close_ev = sim_ev_new(s, e->node, SIM_EV_CLOSE);
    e->close_ev->a = e;
    sim_ev_at(s, e->close_ev, s->now_ns);
}

/* on_close, in a turn of e's node */
static void sim_conn_closed(struct sim_end *e, int why)
{
    struct sim *s = e->conn->sim;
    struct sim_conn *c = e->conn;
    struct env_peer *p = e->peer;
    c->busy++;
    s->stats.closes++;
    sim_record(s, e->node, SIM_K_CLOSE, (uint64_t)why, sim_conn_other(e)->node->id);
    sim_conn_forget(e, true);
    p->conn = NULL;
    p->on_close(p, why);
    c->busy--;
    sim_conn_put(c);
}

static void sim_conn_unacked(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    if (e->unacked_ev)
        return;
    e->unacked_ev = sim_ev_new(s, NULL, SIM_EV_UNACKED);
    e->unacked_ev->a = e;
    sim_ev_at(s, e->unacked_ev, s->now_ns + s->net.cfg.user_timeout_ns);
}

uint32_t sim_conn_break(struct sim_conn *c, bool silent)
{
    if (c->end[0].state != SIM_END_OPEN || c->end[1].state != SIM_END_OPEN)
        return 0;
    if (silent) {
        c->silent = true;
        c->sim->stats.half_opens++;
    } else {
        c->sim->stats.resets++;
        sim_conn_reset(&c->end[0], E_CLOSED);
        sim_conn_reset(&c->end[1], E_CLOSED);
    }
    return 1;
}

void sim_conn_end_silent(struct sim *s)
{
    list_each(l, &s->net.conns) {
        struct sim_conn *c = container_of(l, struct sim_conn, link);
        for (int i = 0; i < 2 && c->silent; i++)
            sim_conn_reset(&c->end[i], E_CLOSED);
    }
}

/* When the system sends again what a cut has held up: its tries are further and further apart, so
 * the wait after the cut may be as long as the cut (RFC 6298, 5.5). */
static int64_t sim_conn_again_ns(struct sim *s, const struct sim_end *e)
{
    int64_t rto_ns = s->net.cfg.rto_ns, jitter_ns = prng_range(&s->net.prng, 0, rto_ns / 4);
    int64_t at_ns = e->stuck_since_ns;
    if (rto_ns <= 0)
        return s->now_ns;
    for (int64_t gap_ns = rto_ns; at_ns < s->now_ns; gap_ns *= 2)
        at_ns += gap_ns;
    return at_ns + jitter_ns;
}

void sim_conn_heal(struct sim *s)
{
    list_each(l, &s->net.conns) {
        struct sim_conn *c = container_of(l, struct sim_conn, link);
        if (c->silent)
            continue;
        for (int i = 0; i < 2; i++) {
            struct sim_end *e = &c->end[i], *o = &c->end[1 - i];
            if (!o->node || sim_net_blocked(s, e->node, o->node) ||
                sim_net_blocked(s, o->node, e->node))
                continue;
            if (o->state == SIM_END_OPEN) /* a dead one acknowledges nothing */
                sim_conn_ev_drop(s, &e->unacked_ev);
            sim_rma_acknowledge(e);
            if (list_empty(&e->out))
                continue;
            struct sim_item *it = container_of(e->out.next, struct sim_item, link);
            if (e->stuck) {
                e->stuck = false;
                it->due_ns = sim_conn_again_ns(s, e);
            } else if (it->clogged && sim_net_clogged_until(s, e->node, o->node) <= s->now_ns) {
                it->due_ns = s->now_ns;
                if (e->ev && sim_ev_is_queued(s, e->ev))
                    sim_ev_unqueue(s, e->ev);
            } else {
                continue;
            }
            it->clogged = false;
            sim_conn_schedule(e);
        }
    }
}

/* ---- arriving ---- */

static void sim_conn_connected(struct sim_end *e)
{
    struct sim_conn *c = e->conn;
    struct sim_ev *op_ev = c->op_ev;
    c->op_ev = NULL;
    sim_conn_ev_drop(c->sim, &c->deadline_ev);
    e->state = SIM_END_OPEN;
    e->peer->conn = &e->pub;
    c->sim->stats.connects++;
    sim_record(c->sim, e->node, SIM_K_OPEN, c->id, sim_conn_other(e)->node->id);
    sim_op_finish(c->sim, op_ev, 0);
}

static void sim_conn_deliver_frames(struct sim_end *o, struct sim_item *it,
                                    const struct sim_node *from)
{
    struct sim *s = o->conn->sim;
    sim_conn_spend(o->node, s->cfg.serve.receive_ns, it->wire);
    s->since_ns = it->born_ns;
    sim_record(s, o->node, SIM_K_FRAMES, sim_digest(it->bytes, it->n),
               (uint64_t)from->id << 32 | it->frames);
    s->since_ns = 0;
    if (it->kind == SIM_ITEM_RAW) {
        sim_raw_deliver(o, it);
        return;
    }
    for (uint32_t at = 0; at < it->n && o->state == SIM_END_OPEN;) {
        uint8_t *p = it->bytes + at;
        uint32_t n = base_get_u32(p);
        s->stats.frames++;
        s->stats.frame_bytes += n;
        at += SIM_FRAME_HEAD + n;
        o->peer->on_frame(o->peer, base_get_u16(p + 4), p + SIM_FRAME_HEAD, n);
        memset(p + SIM_FRAME_HEAD, 0xdb, n); /* valid only during the call */
    }
}

/* one item from e reaches o */
static void sim_conn_deliver(struct sim_end *e, struct sim_end *o, struct sim_item *it)
{
    switch ((enum sim_item_kind)it->kind) {
    case SIM_ITEM_RAW:
        ASSERT(o->state == SIM_END_OPEN); /* on_open came first: it waited longer */
        sim_raw_join(e, it);
        sim_conn_deliver_frames(o, it, e->node);
        break;
    case SIM_ITEM_FRAMES:
        sim_conn_deliver_frames(o, it, e->node);
        break;
    case SIM_ITEM_HELLO:
        sim_conn_connected(o);
        break;
    case SIM_ITEM_FIN:
        sim_conn_drop_items(o);
        sim_conn_closed(o, E_CLOSED);
        break;
    case SIM_ITEM_WRITE:
    case SIM_ITEM_READ:
    case SIM_ITEM_DATA:
        sim_rma_arrived(e, it);
        break;
    }
}

/* true when the head cannot pass now; it is parked or comes again */
static bool sim_conn_obstacle(struct sim_end *e, struct sim_end *o, struct sim_item *it)
{
    struct sim *s = e->conn->sim;
    int64_t clog_ns = sim_net_clogged_until(s, e->node, o->node);
    if (e->conn->silent || sim_net_blocked(s, e->node, o->node)) {
        if (!e->stuck)
            e->stuck_since_ns = s->now_ns;
        e->stuck = true;
        sim_conn_unacked(e);
        return true;
    }
    if (!o->node->powered) { /* the retransmissions of a machine that waits for another */
        it->due_ns = s->now_ns + (s->net.cfg.rto_ns > 0 ? s->net.cfg.rto_ns : 1000000);
        sim_conn_unacked(e);
        return true;
    }
    if (clog_ns > s->now_ns) {
        it->due_ns = clog_ns;
        it->clogged = true;
        return true;
    }
    it->clogged = false;
    if (!it->queued) {
        it->queued = true;
        /* what came while its process stood still its machine has received meanwhile */
        bool waited = o->node->released_ns == s->now_ns && it->due_ns < s->now_ns;
        it->due_ns = waited ? s->now_ns : sim_net_rx_ns(o->node, it->wire);
    }
    return it->due_ns > s->now_ns;
}

static void sim_conn_dir_event(struct sim *s, struct sim_end *e)
{
    struct sim_conn *c = e->conn;
    struct sim_end *o = sim_conn_other(e);
    c->busy++;
    while (!list_empty(&e->out)) {
        struct sim_item *it = container_of(e->out.next, struct sim_item, link);
        if (!it->departed || it->due_ns > s->now_ns || sim_conn_obstacle(e, o, it))
            break;
        bool closed = o->state == SIM_END_CLOSED;
        if (closed || (o->state == SIM_END_CONNECTING && it->kind != SIM_ITEM_HELLO)) {
            e->stuck = true;
            sim_conn_unacked(e);
            sim_conn_reset_later(e, s->now_ns + sim_net_latency_ns(s, o->node, e->node, 0));
            break;
        }
        list_remove(&it->link); /* a callback may drop the others */
        if (o->state != SIM_END_CLOSING)
            sim_conn_deliver(e, o, it);
        sim_conn_item_free(e, it);
        if (!sim_net_blocked(s, o->node, e->node))
            sim_conn_ev_drop(s, &e->unacked_ev);
        else if (e->state == SIM_END_OPEN)
            sim_conn_unacked(e);
    }
    c->busy--;
    sim_conn_schedule(e);
    sim_conn_put(c);
}

/* ---- connecting ---- */

static struct sim_listener *sim_conn_listener(struct sim_node *n, const char *port)
{
    list_each(l, &n->listeners) {
        struct sim_listener *x = container_of(l, struct sim_listener, link);
        if (!strcmp(x->port, port))
            return x;
    }
    return NULL;
}

/* The connect ends without a connection. */
static void sim_conn_fail(struct sim_conn *c, int why, int64_t at_ns)
{
    struct sim_ev *op_ev = c->op_ev;
    c->op_ev = NULL;
    if (op_ev)
        sim_op_later(c->sim, op_ev, why, at_ns);
    sim_conn_ev_drop(c->sim, &c->knock_ev);
    sim_conn_ev_drop(c->sim, &c->deadline_ev);
    c->end[0].state = SIM_END_CLOSED;
    list_remove(&c->end[0].link);
    if (c->end[1].state == SIM_END_KNOWN)
        c->end[1].state = SIM_END_CLOSED;
    if (c->end[1].state != SIM_END_CLOSED)
        sim_conn_reset_later(&c->end[1],
                             at_ns + sim_net_latency_ns(c->sim, c->end[0].node, c->end[1].node, 0));
    sim_conn_put(c);
}

static void sim_conn_knock(struct sim_conn *c, enum sim_ev_kind kind, struct sim_node *owner,
                           int64_t at_ns)
{
    sim_conn_ev_drop(c->sim, &c->knock_ev);
    c->knock_ev = sim_ev_new(c->sim, owner, kind);
    c->knock_ev->a = c;
    sim_ev_at(c->sim, c->knock_ev, at_ns);
}

/* the machine forgets a raw connection of which its process has not heard */
static void sim_conn_unknown(struct sim_conn *c, bool tells)
{
    struct sim *s = c->sim;
    ASSERT(c->end[1].state == SIM_END_KNOWN);
    sim_conn_ev_drop(s, &c->knock_ev);
    c->end[1].state = SIM_END_CLOSED;
    if (tells)
        sim_conn_reset_later(&c->end[0],
                             s->now_ns + sim_net_latency_ns(s, c->end[1].node, c->end[0].node, 0));
    sim_conn_put(c);
}

static void sim_conn_syn_event(struct sim *s, struct sim_conn *c)
{
    struct sim_node *from = c->end[0].node, *to = c->end[1].node;
    const struct sim_net_config *cfg = &s->net.cfg;
    if (!to) {
        sim_conn_fail(c, E_REFUSED, s->now_ns);
        return;
    }
    int64_t clog_ns = sim_net_clogged_until(s, from, to);
    if (clog_ns > s->now_ns) {
        sim_conn_knock(c, SIM_EV_SYN, NULL, clog_ns);
        return;
    }
    if (!to->powered || sim_net_blocked(s, from, to) || sim_net_blocked(s, to, from)) {
        sim_conn_knock(c, SIM_EV_SYN, NULL,
                       s->now_ns + (cfg->syn_retry_ns > 0 ? cfg->syn_retry_ns : 1000000));
        return;
    }
    struct sim_listener *l = to->up ? sim_conn_listener(to, strchr(c->addr, ':') + 1) : NULL;
    if (!l || l->raw != c->raw) { /* in the real world they connect, and part over the first byte */
        sim_conn_fail(c, l ? E_PROTO : E_REFUSED, s->now_ns + sim_net_latency_ns(s, to, from, 0));
        return;
    }
    if (c->raw) {
        c->end[1].state = SIM_END_KNOWN;
        sim_conn_item(&c->end[1], SIM_ITEM_HELLO, 0);
    }
    sim_conn_knock(c, SIM_EV_ACCEPT, to, s->now_ns);
}

static bool sim_conn_may_talk(const struct sim_node *a, const struct sim_node *b)
{
    bool same = false;
    for (int i = 0; i < 4; i++)
        same |= a->secret[i / 2] && a->secret[i / 2] == b->secret[i % 2];
    return same || !(a->secret[0] | a->secret[1] | b->secret[0] | b->secret[1]);
}

static void sim_conn_accept_event(struct sim *s, struct sim_conn *c)
{
    struct sim_node *from = c->end[0].node, *to = c->end[1].node;
    struct sim_listener *l = sim_conn_listener(to, strchr(c->addr, ':') + 1);
    sim_conn_ev_drop(s, &c->knock_ev);
    if (l && l->raw != c->raw)
        l = NULL; /* another one than has knocked at */
    if (l && !c->raw && !sim_conn_may_talk(from, to)) {
        sim_conn_fail(c, E_AUTH, s->now_ns + sim_net_latency_ns(s, to, from, 0));
        return;
    }
    c->busy++;
    struct env_peer *p = l ? l->acc->on_open(l->acc, from->name) : NULL;
    c->busy--;
    if (!p && c->raw) {
        sim_conn_unknown(c, true);
        return;
    }
    if (!p) {
        sim_conn_fail(c, E_REFUSED, s->now_ns + sim_net_latency_ns(s, to, from, 0));
        return;
    }
    struct sim_end *e = &c->end[1];
    e->peer = p;
    e->state = SIM_END_OPEN;
    e->pub.env = &to->env;
    p->conn = &e->pub;
    list_push_back(&to->ends, &e->link);
    sim_record(s, to, SIM_K_OPEN, c->id, from->id);
    if (!c->raw)
        sim_conn_item(e, SIM_ITEM_HELLO, 0);
}

void sim_conn_event(struct sim *s, struct sim_ev *ev)
{
    void *a = ev->a;
    struct sim_end *e = a;
    switch ((enum sim_ev_kind)ev->kind) {
    case SIM_EV_SYN:
        sim_conn_syn_event(s, a);
        break;
    case SIM_EV_ACCEPT:
        sim_conn_accept_event(s, a);
        break;
    case SIM_EV_KNOCK:
        sim_conn_fail(a, E_TIMEOUT, s->now_ns);
        break;
    case SIM_EV_DIR:
        sim_conn_dir_event(s, a);
        break;
    case SIM_EV_CLOSE:
        sim_conn_closed(e, e->why);
        break;
    case SIM_EV_UNACKED:
        sim_conn_ev_drop(s, &e->unacked_ev);
        s->stats.timeouts++;
        if (e->state == SIM_END_OPEN)
            sim_conn_reset(e, E_CLOSED);
        else
            sim_conn_drop_items(e);
        break;
    case SIM_EV_RST:
        sim_conn_ev_drop(s, &e->rst_ev);
        if (e->state == SIM_END_CONNECTING) {
            sim_conn_fail(e->conn, E_CLOSED, s->now_ns);
            break;
        }
        if (e->conn->silent || sim_net_blocked(s, sim_conn_other(e)->node, e->node))
            break;
        if (e->state == SIM_END_KNOWN) {
            sim_conn_unknown(e->conn, false);
            break;
        }
        if (e->state == SIM_END_CLOSED)
            sim_conn_drop_items(e);
        sim_conn_reset(e, E_CLOSED);
        break;
    default:
        ASSERT(!"not an event of a connection");
    }
}

/* ---- the process dies ---- */

/* What was sent is in the kernel: it still goes, and a fin after it; or the reset that unread bytes
 * cause overtakes the tail. */
static void sim_conn_crash_out(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    if (prng_u64(&s->net.prng) & 1)
        for (uint64_t n = prng_below(&s->net.prng, 4); n > 0 && !list_empty(&e->out); n--)
            sim_conn_cut(e, container_of(e->out.prev, struct sim_item, link));
    if (list_empty(&e->out))
        sim_conn_ev_drop(s, &e->ev);
    sim_conn_item(e, SIM_ITEM_FIN, 0);
}

static void sim_conn_crash_end(struct sim_end *e, bool power)
{
    struct sim *s = e->conn->sim;
    struct sim_conn *c = e->conn;
    struct sim_end *o = sim_conn_other(e);
    c->busy++;
    if (e->state == SIM_END_CONNECTING) {
        c->op_ev = NULL; /* dies with the node's events */
        sim_conn_fail(c, E_CLOSED, s->now_ns);
    } else {
        bool fin = !power && e->state == SIM_END_OPEN;
        sim_conn_forget(e, !power);
        if (fin)
            sim_conn_crash_out(e);
        else
            sim_conn_drop_items(e);
    }
    if (power && c->end[1 - e->index].rst_ev)
        sim_conn_ev_drop(s, &o->rst_ev);
    if (o->ev && o->ev->held) /* it waited for the process; now the kernel answers */
        sim_ev_at(s, o->ev, s->now_ns);
    if (power && !list_empty(&o->rmas))
        sim_conn_unacked(o);
    c->busy--;
    sim_conn_put(c);
}

void sim_conn_crash(struct sim_node *n, bool power)
{
    struct sim *s = n->sim;
    while (!list_empty(&n->ends))
        sim_conn_crash_end(container_of(n->ends.next, struct sim_end, link), power);
    /* what is for a process of before this one waited for it, too; now the kernel answers */
    for (struct list *l = n->held.next, *next; l != &n->held; l = next) {
        struct sim_ev *ev = container_of(l, struct sim_ev, hold);
        next = l->next;
        if (ev->kind == SIM_EV_DIR)
            sim_ev_at(s, ev, s->now_ns);
    }
    list_each_safe(l, &s->net.conns) {
        struct sim_conn *c = container_of(l, struct sim_conn, link);
        if (!c->knock_ev || c->knock_ev->node != n)
            continue;
        if (c->raw)
            sim_conn_unknown(c, !power);
        else
            sim_conn_knock(c, SIM_EV_SYN, NULL, s->now_ns);
    }
    while (!list_empty(&n->listeners)) {
        struct sim_listener *l = container_of(n->listeners.next, struct sim_listener, link);
        list_remove(&l->link);
        sim_free(s, l, sizeof *l);
    }
    if (power)
        n->tx_free_ns = n->rx_free_ns = 0;
    sim_conn_flush(s);
}

/* ---- the calls ---- */

/* a copy of addr's port; false when it is none */
static bool sim_conn_port(const char *addr, char ret_port[8])
{
    const char *colon = strchr(addr, ':');
    size_t n = colon ? strlen(colon + 1) : 0;
    if (!n || n > 5 || strlen(addr) >= ENV_ADDR_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (colon[1 + i] < '0' || colon[1 + i] > '9')
            return false;
    memcpy(ret_port, colon + 1, n + 1);
    return strcmp(ret_port, "0") != 0;
}

static bool sim_conn_host_is(const char *addr, const char *host)
{
    size_t n = (size_t)(strchr(addr, ':') - addr);
    return strlen(host) == n && !memcmp(addr, host, n);
}

void sim_conn_listen(struct env *e, const char *addr, struct env_acceptor *a, struct env_op *op)
{
    struct sim_node *n = sim_conn_node(e);
    int64_t at_ns = sim_submit_ns(n);
    struct sim_ev *ev = sim_op_begin(n, op, SIM_EV_OP);
    char port[8];
    int ret = 0;
    if (!sim_conn_port(addr, port) ||
        !(sim_conn_host_is(addr, n->name) || sim_conn_host_is(addr, "*") ||
          sim_conn_host_is(addr, "0.0.0.0"))) {
        ret = E_INVAL;
    } else if (sim_conn_listener(n, port)) {
        ret = E_ADDRINUSE;
    } else {
        struct sim_listener *l = sim_alloc(n->sim, sizeof *l);
        l->acc = a;
        l->raw = a->is_raw;
        memcpy(l->port, port, sizeof port);
        list_push_back(&n->listeners, &l->link);
    }
    sim_op_later(n->sim, ev, ret, at_ns);
}

void sim_conn_unlisten(struct env *e, struct env_acceptor *a)
{
    struct sim_node *n = sim_conn_node(e);
    list_each_safe(i, &n->listeners) {
        struct sim_listener *l = container_of(i, struct sim_listener, link);
        if (l->acc == a) {
            list_remove(&l->link);
            sim_free(n->sim, l, sizeof *l);
        }
    }
}

static struct sim_node *sim_conn_resolve(struct sim_node *n, const char *addr)
{
    if (sim_conn_host_is(addr, "localhost") || sim_conn_host_is(addr, "127.0.0.1"))
        return n;
    char host[ENV_ADDR_MAX];
    size_t len = (size_t)(strchr(addr, ':') - addr);
    memcpy(host, addr, len);
    host[len] = 0;
    return sim_node_find(n->sim, host);
}

void sim_conn_connect(struct env *e, const char *addr, int64_t timeout_ns, struct env_peer *p,
                      struct env_op *op)
{
    struct sim_node *n = sim_conn_node(e);
    struct sim *s = n->sim;
    int64_t at_ns = sim_submit_ns(n);
    struct sim_ev *ev = sim_op_begin(n, op, SIM_EV_OP);
    char port[8];
    p->conn = NULL;
    if (!sim_conn_port(addr, port)) {
        sim_op_later(s, ev, E_INVAL, at_ns);
        return;
    }
    struct sim_conn *c = sim_alloc(s, sizeof *c);
    c->sim = s;
    c->id = ++s->net.next_conn;
    c->raw = p->is_raw;
    c->op_ev = ev;
    memcpy(c->addr, addr, strlen(addr) + 1);
    list_push_back(&s->net.conns, &c->link);
    for (uint8_t i = 0; i < 2; i++) {
        struct sim_end *x = &c->end[i];
        x->conn = c;
        x->index = i;
        list_init(&x->out);
        list_init(&x->rmas);
        list_init(&x->link);
        list_init(&x->dirty);
    }
    c->end[0].node = n;
    c->end[0].pub.env = e;
    c->end[0].peer = p;
    c->end[0].state = SIM_END_CONNECTING;
    list_push_back(&n->ends, &c->end[0].link);
    struct sim_node *to = c->end[1].node = sim_conn_resolve(n, addr);
    sim_conn_knock(c, SIM_EV_SYN, NULL, at_ns + sim_net_journey_ns(s, n, to ? to : n, 0));
    c->deadline_ev = sim_ev_new(s, NULL, SIM_EV_KNOCK);
    c->deadline_ev->a = c;
    sim_ev_at(s, c->deadline_ev, at_ns + timeout_ns);
}

uint8_t *sim_conn_room(struct sim *s, struct sim_item *it, size_t n)
{
    uint32_t need = (uint32_t)(it->n + n);
    if (need > it->cap) {
        uint32_t cap = need < 192 ? 256 : need + need / 2;
        uint8_t *to = sim_alloc(s, cap);
        if (it->n)
            memcpy(to, it->bytes, it->n);
        sim_free(s, it->bytes, it->cap);
        it->bytes = to;
        it->cap = cap;
    }
    uint8_t *at = it->bytes + it->n;
    it->n = need;
    return at;
}

void sim_conn_send(struct env_conn *conn, uint16_t type, const struct env_iov *iov, unsigned n_iov)
{
    struct sim_end *e = sim_conn_end(conn);
    struct sim *s = e->conn->sim;
    bool raw = e->conn->raw;
    enum sim_item_kind kind = raw ? SIM_ITEM_RAW : SIM_ITEM_FRAMES;
    size_t n = 0;
    sim_submit_ns(e->node);
    ASSERT(e->state != SIM_END_CLOSED);
    for (unsigned i = 0; i < n_iov; i++)
        n += iov[i].n;
    ASSERT(n <= ENV_FRAME_MAX);
    if (e->state != SIM_END_OPEN || (raw && !n))
        return;
    struct sim_item *it =
        list_empty(&e->out) ? NULL : container_of(e->out.prev, struct sim_item, link);
    if (!it || it->departed || it->kind != kind || it->n > UINT32_MAX / 4)
        it = sim_conn_item(e, kind, 0);
    size_t head = raw ? 0 : SIM_FRAME_HEAD;
    uint8_t *p = sim_conn_room(s, it, head + n);
    if (!raw) {
        base_put_u32(p, (uint32_t)n);
        base_put_u16(p + 4, type);
        base_put_u16(p + 6, 0);
    }
    p += head;
    for (unsigned i = 0; i < n_iov; i++)
        if (iov[i].n) {
            memcpy(p, iov[i].p, iov[i].n);
            p += iov[i].n;
        }
    it->frames++;
    it->wire += head + n;
    it->backlog += head + n;
    e->backlog += head + n;
}

uint64_t sim_conn_backlog(struct env_conn *conn)
{
    return sim_conn_end(conn)->backlog;
}

void sim_conn_adopt(struct env_conn *conn, struct env_peer *p)
{
    struct sim_end *e = sim_conn_end(conn);
    ASSERT(e->state == SIM_END_OPEN);
    e->peer->conn = NULL;
    e->peer = p;
    p->conn = conn;
}

void sim_conn_hangup(struct env_conn *conn)
{
    struct sim_end *e = sim_conn_end(conn);
    bool fin = e->state == SIM_END_OPEN;
    sim_submit_ns(e->node);
    ASSERT(e->state != SIM_END_CLOSED);
    sim_conn_forget(e, true);
    e->peer->conn = NULL;
    if (fin)
        sim_conn_item(e, SIM_ITEM_FIN, 0);
    sim_conn_put(e->conn);
}
