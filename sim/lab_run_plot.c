/* sim/lab_run_plot.c - what goes wrong with a cluster of several masters in several steps that
 * belong together: see sim/lab_group_plot.c, which does the like with journals alone.
 *
 * USURP: another master leads before the old leader notices, and serves some of its clients.
 *
 *   the leader is told to hand over, in some
 *     -> it reaches no other master any more (and not ZooKeeper), or is not reached; mostly it
 * stands still, between two turns or in the middle of one
 *     -> somebody else leads: some clients lose their connection to the old one, and find the new
 *        one -> the old one goes on, and still reaches clients and workers -> all is as before
 *
 * BLACKOUT: a majority of the masters, or all, lose power at the same moment. */
#include "sim/lab_fault.h"
#include "sim/lab_run_impl.h"

static const int64_t PLOT_LOOK_NS = 10 * RUN_MS;

static int64_t plot_some_ns(const struct run_event *e, int64_t max_ns)
{
    return 1 + (int64_t)lab_fault_chance(&e->f->f, e->r->sim, (uint64_t)max_ns);
}

static void plot_next(struct run_event *e, int64_t ns)
{
    e->step++;
    sim_at(e->r->sim, sim_now_ns(e->r->sim) + ns, &e->end);
}

void lab_run_plot_usurp(struct run_event *e)
{
    struct lab_run *r = e->r;
    e->did = false;
    for (uint32_t i = 0; i < r->s.n_faults; i++)
        if (r->events[i].did && r->events[i].f->f.kind == LAB_FAULT_USURP)
            return; /* one at a time */
    e->led = r->oper ? lab_run_leader(r) : NULL;
    if (!e->led)
        return;
    e->did = true;
    e->step = 0;
    plot_next(e, 1);
}

static void plot_cut(struct run_event *e, bool cut)
{
    struct lab_run *r = e->r;
    bool one_way = cut && lab_fault_chance(&e->f->f, r->sim, 3) == 0;
    if (r->zk && cut)
        lab_zk_site_cut(r->zk, e->led->node, one_way ? 2 : 0);
    else if (r->zk)
        lab_zk_site_uncut(r->zk, e->led->node);
    for (uint32_t i = 0; i < r->s.masters; i++) {
        if (&r->nodes[i] == e->led)
            continue;
        if (cut)
            sim_net_partition(r->nodes[i].node, e->led->node, one_way);
        else
            sim_net_heal(r->nodes[i].node, e->led->node);
    }
}

static void plot_handed(struct env_op *op)
{
    container_of(op, struct run_node, hand_over)->is_handing = false;
}

static bool plot_hand_over(struct run_event *e)
{
    struct run_node *n = e->led;
    if (lab_fault_chance(&e->f->f, e->r->sim, 2) || n->is_handing || n->paused || !n->master ||
        !sim_node_is_up(n->node))
        return false;
    n->is_handing = true;
    n->hand_over.done = plot_handed;
    master_hand_over(n->master, 1000 * RUN_MS, &n->hand_over);
    return true;
}

static void plot_turn(struct run_event *e)
{
    struct lab_run *r = e->r;
    plot_cut(e, true);
    uint64_t how = lab_fault_chance(&e->f->f, r->sim, 4);
    if (how == 0 || e->led->paused || !sim_node_is_up(e->led->node))
        return;
    if (how == 1) {
        uint32_t submits = (uint32_t)lab_fault_chance(&e->f->f, r->sim, 8);
        sim_node_stall(e->led->node, submits, plot_some_ns(e, 2 * run_suspect_ns(r)));
        return;
    }
    e->paused = e->led->paused = true;
    sim_node_pause(e->led->node);
}

static void plot_wake(struct run_event *e)
{
    if (e->paused && e->led->paused && sim_node_is_up(e->led->node))
        sim_node_resume(e->led->node);
    if (e->paused)
        e->led->paused = false;
    e->paused = false;
}

void lab_run_plot_usurp_next(struct run_event *e)
{
    struct lab_run *r = e->r;
    int64_t now = sim_now_ns(r->sim);
    e->did = !e->healing;
    switch (e->did ? e->step : 0) {
    case 1:
        plot_next(e, plot_hand_over(e) ? plot_some_ns(e, 8 * RUN_MS) : 1);
        break;
    case 2:
        plot_turn(e);
        e->until_ns = now + 3 * run_suspect_ns(r);
        plot_next(e, PLOT_LOOK_NS);
        break;
    case 3:
        if (lab_run_leader(r) == e->led && now < e->until_ns) {
            e->step--;
            plot_next(e, PLOT_LOOK_NS);
            break;
        }
        for (uint32_t i = 0; i < r->n_nodes; i++)
            if (r->nodes[i].role == RUN_CLIENT && lab_fault_chance(&e->f->f, r->sim, 2))
                sim_net_reset(r->nodes[i].node, e->led->node);
        plot_next(e, plot_some_ns(e, 2 * r->s.lease_ns + 300 * RUN_MS));
        break;
    case 4:
        plot_wake(e);
        plot_next(e, plot_some_ns(e, 300 * RUN_MS));
        break;
    default:
        plot_wake(e);
        plot_cut(e, false);
        e->did = false;
        break;
    }
}

void lab_run_plot_blackout(struct run_event *e)
{
    struct lab_run *r = e->r;
    uint32_t n = 0, hit = 0, at = (uint32_t)lab_fault_chance(&e->f->f, r->sim, r->s.masters);
    for (uint32_t i = 0; i < r->s.masters; i++)
        n += !r->oper || r->nodes[i].id;
    uint32_t want = n / 2 + 1 + (uint32_t)lab_fault_chance(&e->f->f, r->sim, n - n / 2);
    e->hit = 0;
    for (uint32_t i = 0; i < r->s.masters && hit < want; i++) {
        struct run_node *x = &r->nodes[(at + i) % r->s.masters];
        if (r->oper && !x->id)
            continue;
        hit++;
        e->hit |= 1U << (x - r->nodes);
        if (x->down++ == 0 && sim_node_is_up(x->node))
            lab_run_down(x, sim_node_power_loss);
    }
}

void lab_run_plot_blackout_end(struct run_event *e)
{
    for (uint32_t i = 0; i < e->r->s.masters; i++) {
        struct run_node *x = &e->r->nodes[i];
        if (!(e->hit >> i & 1) || --x->down)
            continue;
        x->paused = false;
        lab_run_boot(x);
    }
}
