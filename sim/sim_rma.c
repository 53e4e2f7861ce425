/* sim/sim_rma.c - remote memory: shared regions, and transfers that land in pieces.
 *
 *  1. A write is whole at the moment its item's turn in the connection's order comes, and not
 *     necessarily a nanosecond earlier: pieces land before, in any order, at various times.
 *  2. The caller's memory is read and written only until its op is done; what lands later (a write
 *     of a closed connection) lands from a copy.
 *  3. A region answers until its revoke is done, then never again: tokens are not reused. */
#include "sim/sim_internal.h"

enum { SIM_RMA_SLOT_BITS = 20, SIM_RMA_PIECES_MAX = 64 };

static struct sim_region *sim_rma_region(struct sim_node *n, uint64_t token)
{
    uint64_t slot = token & ((1u << SIM_RMA_SLOT_BITS) - 1);
    if (!n->up || slot >= n->n_regions)
        return NULL;
    struct sim_region *r = &n->regions[slot];
    return r->used && r->token == token ? r : NULL;
}

/* memory behind [off, off + len) of a region, or NULL */
static uint8_t *sim_rma_reach(struct sim_node *n, uint64_t token, uint64_t off, uint64_t len)
{
    struct sim_region *r = sim_rma_region(n, token);
    return r && off <= r->len && len <= r->len - off ? r->mem + off : NULL;
}

/* ---- pieces ---- */

static void sim_rma_piece(const struct sim_rma *r, uint32_t i, uint32_t *ret_at, uint32_t *ret_len)
{
    *ret_at = (uint32_t)((uint64_t)r->len * i / r->pieces);
    *ret_len = (uint32_t)((uint64_t)r->len * (i + 1) / r->pieces) - *ret_at;
}

static uint64_t sim_rma_all(const struct sim_rma *r)
{
    return r->pieces == 64 ? UINT64_MAX : (1ULL << r->pieces) - 1;
}

static void sim_rma_land(struct sim_rma *r, uint32_t i)
{
    struct sim_end *o = sim_conn_other(r->from);
    struct sim *s = o->conn->sim;
    uint32_t at, len;
    sim_rma_piece(r, i, &at, &len);
    r->landed |= 1ULL << i;
    uint8_t *remote = sim_rma_reach(o->node, r->key.token, r->off + at, len);
    if (!remote) {
        s->stats.rma_dropped++;
        r->ret = E_STALE;
        return;
    }
    uint8_t *mine = r->mem + at, *to = r->write ? remote : mine;
    struct sim_hash_run h;
    sim_hash_begin(&h);
    sim_hash_copy(&h, to, r->write ? mine : remote, len);
    s->stats.rma_bytes += len;
    sim_record(s, r->write ? o->node : r->from->node, SIM_K_RMA, sim_hash_end(&h), len);
}

static void sim_rma_land_rest(struct sim_rma *r)
{
    for (uint32_t i = 0; i < r->pieces; i++)
        if (!(r->landed >> i & 1))
            sim_rma_land(r, i);
}

static void sim_rma_schedule(struct sim_rma *r)
{
    struct sim *s = r->from->conn->sim;
    int64_t left_ns = r->item->due_ns - s->now_ns;
    if (r->landed == sim_rma_all(r) || left_ns <= 0)
        return;
    if (!r->ev) {
        r->ev = sim_ev_new(s, NULL, SIM_EV_RMA);
        r->ev->a = r;
    }
    uint32_t to_go = r->pieces - (uint32_t)__builtin_popcountll(r->landed);
    uint64_t span = (uint64_t)left_ns * 2 / to_go + 1; /* some are left for the last moment */
    int64_t at_ns = s->now_ns + (int64_t)prng_below(&s->net.prng, span);
    if (at_ns < r->item->due_ns)
        sim_ev_at(s, r->ev, at_ns);
}

void sim_rma_departed(struct sim_item *it)
{
    if (it->kind != SIM_ITEM_READ)
        sim_rma_schedule(it->rma);
}

static void sim_rma_piece_event(struct sim *s, struct sim_rma *r)
{
    struct sim_end *o = sim_conn_other(r->from);
    if (!r->item || r->from->conn->silent || o->state != SIM_END_OPEN || !o->node->powered ||
        sim_net_blocked(s, r->from->node, o->node))
        return; /* what is left waits for the item */
    uint64_t to_go = r->pieces - (uint64_t)__builtin_popcountll(r->landed);
    uint64_t nth = prng_below(&s->net.prng, to_go);
    for (uint32_t i = 0; i < r->pieces; i++)
        if (!(r->landed >> i & 1) && nth-- == 0) {
            sim_rma_land(r, i);
            break;
        }
    sim_rma_schedule(r);
}

/* ---- the life of a transfer ---- */

static void sim_rma_free(struct sim_rma *r)
{
    struct sim *s = r->from->conn->sim;
    if (r->item)
        r->item->rma = NULL;
    if (r->ev)
        sim_ev_free(s, r->ev);
    list_remove(&r->link);
    sim_free(s, r, sizeof *r);
}

static void sim_rma_tie(struct sim_rma *r, struct sim_item *it)
{
    it->rma = r;
    r->item = it;
}

void sim_rma_submit(struct env_conn *conn, enum env_rma dir, void *mem, uint32_t len,
                    struct env_key key, uint64_t off, struct env_op *op)
{
    struct sim_end *e = container_of(conn, struct sim_end, pub);
    struct sim *s = e->conn->sim;
    int64_t at_ns = sim_submit_ns(e->node);
    struct sim_ev *ev = sim_op_begin(e->node, op, SIM_EV_OP);
    ASSERT(e->state != SIM_END_CLOSED && !e->conn->raw);
    if (e->state != SIM_END_OPEN) {
        sim_op_later(s, ev, E_CLOSED, at_ns);
        return;
    }
    struct sim_rma *r = sim_alloc(s, sizeof *r);
    r->op_ev = ev;
    r->from = e;
    r->write = dir == ENV_RMA_WRITE;
    r->mem = mem;
    r->len = len;
    r->off = off;
    r->key = key;
    r->pieces = s->net.cfg.rma_pieces;
    if (r->pieces > SIM_RMA_PIECES_MAX)
        r->pieces = SIM_RMA_PIECES_MAX;
    if (r->pieces > len / 512 + 1)
        r->pieces = len / 512 + 1;
    if (!r->pieces)
        r->pieces = 1;
    list_push_back(&e->rmas, &r->link);
    struct sim_item *it =
        sim_conn_item(e, r->write ? SIM_ITEM_WRITE : SIM_ITEM_READ, r->write ? len : 0);
    sim_rma_tie(r, it);
    if (r->write) {
        it->backlog = len;
        e->backlog += len;
    }
}

static void sim_rma_done(struct sim_rma *r, int64_t at_ns)
{
    struct sim *s = r->from->conn->sim;
    int64_t ret = r->write || !r->ret ? (int64_t)r->len : r->ret;
    sim_op_later(s, r->op_ev, ret, at_ns);
    sim_rma_free(r);
}

void sim_rma_arrived(struct sim_end *from, struct sim_item *it)
{
    struct sim_rma *r = it->rma;
    struct sim_end *o = sim_conn_other(from);
    struct sim *s = from->conn->sim;
    if (!r)
        return;
    if (it->kind == SIM_ITEM_READ) {
        bool there = sim_rma_reach(o->node, r->key.token, r->off, r->len) != NULL;
        r->item = NULL;
        it->rma = NULL;
        r->ret = there ? 0 : E_STALE;
        if (!there)
            r->landed = sim_rma_all(r);
        sim_rma_tie(r, sim_conn_item(o, SIM_ITEM_DATA, there ? r->len : 0));
        return;
    }
    sim_rma_land_rest(r);
    if (it->kind == SIM_ITEM_DATA) {
        sim_rma_done(r, s->now_ns);
        return;
    }
    r->arrived = true;
    r->item = NULL;
    it->rma = NULL;
    if (!sim_net_blocked(s, o->node, from->node))
        sim_rma_done(r, s->now_ns + sim_net_latency_ns(s, o->node, from->node, 0));
}

void sim_rma_acknowledge(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    list_each_safe(l, &e->rmas) {
        struct sim_rma *r = container_of(l, struct sim_rma, link);
        if (r->arrived)
            sim_rma_done(r, s->now_ns + prng_range(&s->net.prng, 0, s->net.cfg.rto_ns));
    }
}

/* a copy of a piece that is still in a wire lands on its own */
static void sim_rma_ghost(struct sim_rma *r, uint32_t i)
{
    struct sim_end *o = sim_conn_other(r->from);
    struct sim *s = o->conn->sim;
    uint32_t at, len;
    sim_rma_piece(r, i, &at, &len);
    if (!len)
        return;
    struct sim_ev *ev = sim_ev_new(s, NULL, SIM_EV_GHOST);
    ev->a = sim_alloc(s, len);
    memcpy(ev->a, r->mem + at, len);
    ev->b = o->node;
    ev->c = r->from->node;
    ev->x = r->off + at;
    ev->y = len;
    ev->z = r->key.token;
    sim_ev_at(s, ev, s->now_ns + 4 * sim_net_latency_ns(s, r->from->node, o->node, 0));
}

void sim_rma_closed(struct sim_end *e, bool late)
{
    struct sim *s = e->conn->sim;
    while (!list_empty(&e->rmas)) {
        struct sim_rma *r = container_of(e->rmas.next, struct sim_rma, link);
        bool in_wire =
            late && r->write && !r->arrived && !e->conn->silent && (!r->item || r->item->departed);
        for (uint32_t i = 0; in_wire && i < r->pieces; i++)
            if (!(r->landed >> i & 1) && prng_chance_ppm(&s->net.prng, s->net.cfg.rma_late_ppm))
                sim_rma_ghost(r, i);
        sim_op_later(s, r->op_ev, E_CLOSED, s->now_ns);
        sim_rma_free(r);
    }
}

static void sim_rma_ghost_event(struct sim *s, struct sim_ev *ev)
{
    struct sim_node *n = ev->b;
    uint8_t *to = sim_net_blocked(s, ev->c, n) ? NULL : sim_rma_reach(n, ev->z, ev->x, ev->y);
    if (to) {
        memcpy(to, ev->a, ev->y);
        s->stats.rma_late++;
        s->stats.rma_bytes += ev->y;
        sim_record(s, n, SIM_K_RMA, sim_digest(to, ev->y), ev->y);
    } else {
        s->stats.rma_dropped++;
    }
    sim_free(s, ev->a, ev->y);
    sim_ev_free(s, ev);
}

/* ---- regions ---- */

void sim_rma_share(struct env *e, void *mem, uint64_t len, struct env_region *r,
                   struct env_key *ret_key)
{
    struct sim_node *n = container_of(e, struct sim_node, env);
    struct sim *s = n->sim;
    uint32_t slot = 0;
    sim_submit_ns(n);
    while (slot < n->n_regions && n->regions[slot].used)
        slot++;
    ASSERT(slot < 1u << SIM_RMA_SLOT_BITS);
    if (slot == n->cap_regions) {
        uint32_t cap = slot ? slot * 2 : 16;
        struct sim_region *to = sim_alloc(s, cap * sizeof *to);
        if (slot)
            memcpy(to, n->regions, slot * sizeof *to);
        sim_free(s, n->regions, slot * sizeof *to);
        n->regions = to;
        n->cap_regions = cap;
    }
    if (slot == n->n_regions)
        n->n_regions++;
    uint64_t token = (prng_u64(&s->net.prng) << SIM_RMA_SLOT_BITS) | slot;
    n->regions[slot] = (struct sim_region){true, token, len, mem};
    r->env = e;
    r->mem = mem;
    r->len = len;
    r->token = token;
    *ret_key = (struct env_key){token, len};
}

void sim_rma_revoke(struct env_region *r, struct env_op *op)
{
    struct sim_node *n = container_of(r->env, struct sim_node, env);
    struct sim *s = n->sim;
    int64_t at_ns = sim_submit_ns(n);
    ASSERT(sim_rma_region(n, r->token));
    struct sim_ev *ev = sim_op_begin(n, op, SIM_EV_REVOKE);
    ev->x = r->token;
    sim_ev_at(s, ev, at_ns + prng_exp(&s->net.prng, s->net.cfg.revoke_mean_ns));
}

void sim_rma_event(struct sim *s, struct sim_ev *ev)
{
    struct sim_region *r;
    switch ((enum sim_ev_kind)ev->kind) {
    case SIM_EV_RMA:
        sim_rma_piece_event(s, ev->a);
        break;
    case SIM_EV_GHOST:
        sim_rma_ghost_event(s, ev);
        break;
    case SIM_EV_REVOKE:
        r = sim_rma_region(ev->node, ev->x);
        ASSERT(r); /* revoked twice */
        r->used = false;
        sim_record(s, ev->node, SIM_K_OP, 0, ev->x);
        sim_op_finish(s, ev, 0);
        break;
    default:
        ASSERT(!"not an event of a transfer");
    }
}

void sim_rma_crash(struct sim_node *n)
{
    for (uint32_t i = 0; i < n->n_regions; i++)
        n->regions[i].used = false;
    n->n_regions = 0;
}

void sim_rma_close_world(struct sim *s)
{
    list_each_safe(l, &s->world_evs) {
        struct sim_ev *ev = container_of(l, struct sim_ev, link);
        if (ev->kind == SIM_EV_GHOST) {
            sim_free(s, ev->a, ev->y);
            sim_ev_free(s, ev);
        }
    }
}
