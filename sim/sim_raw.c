/* sim/sim_raw.c - the bytes of raw connections: where they are cut, and what is joined.
 *
 * What one turn sends leaves as one item, as frames do, and meets all that frames meet.  But its
 * bytes have no borders, so chance draws some: a write that leaves may be cut in two, the second of
 * which comes later, or joined with the one before it that is still on its way; what is delivered
 * at once may come joined, in pieces of any length, or byte by byte.
 *
 *  1. Order and bytes stay; only the borders and times of what comes change.
 *  2. All draws are from a stream of their own, which nothing else draws from. */
#include "sim/sim_internal.h"

enum {
    SIM_RAW_CUT_PPM = 250000,  /* of a write that leaves */
    SIM_RAW_JOIN_PPM = 250000, /* with the one before it */
    SIM_RAW_BYTES = 64,        /* of a delivery byte by byte; the rest comes at once */
};

static struct sim_item *sim_raw_item(struct sim_end *e, struct list *l)
{
    struct sim_item *it = l == &e->out ? NULL : container_of(l, struct sim_item, link);
    return it && it->kind == SIM_ITEM_RAW && it->departed ? it : NULL;
}

/* the bytes from `at` on come later */
static void sim_raw_cut(struct sim_end *e, struct sim_item *it, uint32_t at)
{
    struct sim *s = e->conn->sim;
    struct sim_item *rest = sim_alloc(s, sizeof *rest);
    uint32_t n = it->n - at;
    rest->kind = it->kind;
    rest->departed = true;
    rest->born_ns = it->born_ns;
    rest->frames = 1;
    memcpy(sim_conn_room(s, rest, n), it->bytes + at, n);
    rest->wire = n + SIM_ITEM_HEAD;
    rest->backlog = n;
    it->n -= n;
    it->wire -= n;
    it->backlog -= n;
    rest->due_ns = it->due_ns + sim_draw_ns(&s->net.raw, 1, s->net.cfg.latency_mean_ns);
    e->last_due_ns = rest->due_ns;
    list_push_front(&it->link, &rest->link); /* right behind it */
}

/* next comes with it */
static void sim_raw_merge(struct sim_end *e, struct sim_item *it, struct sim_item *next)
{
    memcpy(sim_conn_room(e->conn->sim, it, next->n), next->bytes, next->n);
    it->frames += next->frames;
    it->wire += next->wire - SIM_ITEM_HEAD;
    it->backlog += next->backlog;
    next->backlog = 0;
    sim_conn_item_free(e, next);
}

void sim_raw_departed(struct sim_end *e, struct sim_item *it)
{
    struct prng *p = &e->conn->sim->net.raw;
    struct sim_item *before = sim_raw_item(e, it->link.prev);
    if (prng_chance_ppm(p, SIM_RAW_JOIN_PPM) && before && !before->queued && !e->stuck &&
        before->n + it->n <= ENV_FRAME_MAX) {
        before->due_ns = it->due_ns;
        sim_raw_merge(e, before, it);
    } else if (prng_chance_ppm(p, SIM_RAW_CUT_PPM) && it->n > 1) {
        sim_raw_cut(e, it, 1 + (uint32_t)prng_below(p, it->n - 1));
    }
}

void sim_raw_join(struct sim_end *e, struct sim_item *it)
{
    struct sim *s = e->conn->sim;
    struct sim_item *next;
    while ((next = sim_raw_item(e, e->out.next)) && next->due_ns <= s->now_ns &&
           (prng_u64(&s->net.raw) & 1))
        sim_raw_merge(e, it, next);
}

void sim_raw_deliver(struct sim_end *o, struct sim_item *it)
{
    struct sim *s = o->conn->sim;
    struct prng *p = &s->net.raw;
    uint64_t how = prng_below(p, 8); /* 0: byte by byte; 1 to 3: in pieces; else: at once */
    for (uint32_t at = 0, n; at < it->n && o->state == SIM_END_OPEN; at += n) {
        n = (uint32_t)base_min_u64(it->n - at, ENV_FRAME_MAX);
        if (how == 0 && at < SIM_RAW_BYTES)
            n = 1;
        else if (how && how < 4)
            n = 1 + (uint32_t)prng_below(p, n);
        s->stats.frames++;
        s->stats.frame_bytes += n;
        o->peer->on_frame(o->peer, 0, it->bytes + at, n);
        memset(it->bytes + at, 0xdb, n); /* valid only during the call */
    }
}
