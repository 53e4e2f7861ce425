/* sim/sim_clock.c - each node's clocks, timers and chance.
 *
 *  1. A node's clock never goes back while its machine has power; it runs at (1e6 + drift) / 1e6.
 *  2. A timer never fires before its time in the node's own clock. */
#include "sim/sim_internal.h"

__extension__ typedef __int128 sim_clock_i128;

static struct sim_node *sim_clock_node(struct env *e)
{
    return container_of(e, struct sim_node, env);
}

static void sim_clock_rebase(struct sim_node *n)
{
    n->clock_local_ns = sim_clock_local_ns(n);
    n->clock_world_ns = n->sim->now_ns;
}

void sim_clock_boot(struct sim_node *n, bool power)
{
    const struct sim_clock_config *c = &n->sim->cfg.clock;
    if (!power)
        return;
    n->clock_world_ns = n->sim->now_ns;
    n->clock_local_ns =
        n->sim->now_ns +
        (c->mono_offset_max_ns > 0 ? prng_range(&n->clock, 0, c->mono_offset_max_ns) : 0);
    n->own_ppm = (int32_t)prng_range(&n->clock, -(int64_t)c->drift_max_ppm, c->drift_max_ppm);
    n->drift_ppm = n->own_ppm;
    n->wall_offset_ns = prng_range(&n->clock, -c->wall_offset_max_ns, c->wall_offset_max_ns);
}

int64_t sim_clock_local_ns(const struct sim_node *n)
{
    return sim_clock_at(n, n->sim->now_ns);
}

/* not before the last change of the clock's rate, nor so long after it (half an hour) that a
 * product of the rate needs more than 64 bits: a long division would be all that a look at a clock
 * costs */
static bool sim_clock_is_short(int64_t d_ns)
{
    return (uint64_t)d_ns < (uint64_t)1 << 41;
}

int64_t sim_clock_at(const struct sim_node *n, int64_t t_ns)
{
    int64_t d = t_ns - n->clock_world_ns, rate = 1000000 + n->drift_ppm;
    if (sim_clock_is_short(d))
        return n->clock_local_ns + d * rate / 1000000;
    return n->clock_local_ns + (int64_t)((sim_clock_i128)d * rate / 1000000);
}

int64_t sim_clock_world_ns(const struct sim_node *n, int64_t local_ns)
{
    sim_clock_i128 d = (sim_clock_i128)local_ns - n->clock_local_ns;
    int64_t rate = 1000000 + n->drift_ppm;
    if (d <= 0)
        return n->sim->now_ns;
    if (d < (sim_clock_i128)1 << 41)
        return ((int64_t)d * 1000000 + rate - 1) / rate + n->clock_world_ns;
    sim_clock_i128 w = (d * 1000000 + rate - 1) / rate + n->clock_world_ns;
    return w > INT64_MAX ? INT64_MAX : (int64_t)w;
}

int64_t sim_clock_vt_now(struct env *e)
{
    return sim_clock_local_ns(sim_clock_node(e));
}

int64_t sim_clock_vt_clock(struct env *e)
{
    const struct sim_node *n = sim_clock_node(e);
    return sim_clock_at(n, sim_node_at_ns(n));
}

int64_t sim_clock_vt_wall(struct env *e)
{
    struct sim_node *n = sim_clock_node(e);
    return n->sim->cfg.clock.wall_base_ns + n->sim->now_ns + n->wall_offset_ns;
}

uint64_t sim_clock_vt_random(struct env *e)
{
    return prng_u64(&sim_clock_node(e)->random);
}

/* ---- timers: a set timer's heap_pos is its event's slot + 1 ---- */

static struct sim_ev *sim_clock_timer_ev(struct sim_node *n, struct env_timer *t)
{
    if (!t->heap_pos)
        return NULL;
    struct sim *s = n->sim;
    uint32_t id = t->heap_pos - 1;
    ASSERT(id / SIM_EV_CHUNK < s->n_chunks); /* a timer that was never zeroed */
    struct sim_ev *ev = &s->chunks[id / SIM_EV_CHUNK][id % SIM_EV_CHUNK];
    ASSERT(ev->kind == SIM_EV_TIMER && ev->a == t && ev->node == n);
    return ev;
}

void sim_clock_vt_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    struct sim_node *n = sim_clock_node(e);
    ASSERT(n->up);
    struct sim_ev *ev = sim_clock_timer_ev(n, t);
    if (!ev) {
        ev = sim_ev_new(n->sim, n, SIM_EV_TIMER);
        ev->a = t;
        t->heap_pos = ev->id + 1;
    }
    t->at_ns = at_ns;
    sim_ev_at(n->sim, ev, sim_clock_world_ns(n, at_ns));
}

void sim_clock_vt_timer_stop(struct env *e, struct env_timer *t)
{
    struct sim_node *n = sim_clock_node(e);
    struct sim_ev *ev = sim_clock_timer_ev(n, t);
    if (!ev)
        return;
    t->heap_pos = 0;
    sim_ev_free(n->sim, ev);
}

void sim_clock_timer_event(struct sim *s, struct sim_ev *ev)
{
    struct env_timer *t = ev->a;
    struct sim_node *n = ev->node;
    if (sim_clock_local_ns(n) < t->at_ns) { /* the clock was slowed meanwhile */
        sim_ev_at(s, ev, sim_clock_world_ns(n, t->at_ns));
        return;
    }
    sim_record(s, n, SIM_K_TIMER, (uint64_t)t->at_ns, 0);
    t->heap_pos = 0;
    sim_ev_free(s, ev);
    t->op.ret = 0;
    ASSERT(t->op.done);
    t->op.done(&t->op);
}

/* without a step, and timers that are set fire by the new rate */
static void sim_clock_turn(struct sim_node *n, int32_t drift_ppm)
{
    ASSERT(drift_ppm > -1000000 && drift_ppm <= 1000000);
    sim_clock_rebase(n);
    n->drift_ppm = drift_ppm;
    for (struct list *l = n->evs.next; l != &n->evs; l = l->next) {
        struct sim_ev *ev = container_of(l, struct sim_ev, link);
        if (ev->kind == SIM_EV_TIMER && sim_ev_is_queued(n->sim, ev))
            sim_ev_at(n->sim, ev, sim_clock_world_ns(n, ((struct env_timer *)ev->a)->at_ns));
    }
}

void sim_clock_set(struct sim_node *n, int32_t drift_ppm)
{
    n->own_ppm = drift_ppm;
    sim_clock_turn(n, drift_ppm);
}

void sim_clock_rate(struct sim_node *n, int32_t drift_ppm)
{
    sim_record(n->sim, n, SIM_K_CLOCK, (uint64_t)(1000000 + drift_ppm), 0);
    sim_clock_turn(n, drift_ppm);
}

void sim_clock_own(struct sim_node *n)
{
    sim_clock_rate(n, n->own_ppm);
}

void sim_clock_step_wall(struct sim_node *n, int64_t by_ns)
{
    n->wall_offset_ns += by_ns;
}
