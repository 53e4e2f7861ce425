/* sim/lab_group_nemesis.c - what goes wrong with journals: each fault begins at its time, and is
 * put right at its end (see sim/lab_scenario.h for what they are). */
#include "sim/lab_group_impl.h"

/* is node i of those that f->to means, seen from `on`? */
static bool nemesis_means(const struct group_event *e, struct sim_node *n)
{
    const char *to = e->f->to;
    uint64_t salt = base_mix_u64((uint64_t)e->f->at_ns);
    if (n == e->on->node)
        return false;
    if (!strcmp(to, "*"))
        return true;
    if (!strcmp(to, "leader"))
        return e->on != &e->g->node[0] ? n == e->g->node[0].node : n == e->g->node[1].node;
    return !strcmp(to, "half") ? (salt >> sim_node_id(n) & 1) : !strcmp(to, sim_node_name(n));
}

/* "half": the node and whoever is not meant stand on one side */
static void nemesis_link(struct group_event *e,
                         void (*fn)(struct group_event *e, struct sim_node *a, struct sim_node *b))
{
    struct sim *s = e->g->sim;
    uint32_t n = sim_node_count(s);
    bool half = !strcmp(e->f->to, "half");
    for (uint32_t i = 0; i < n; i++) {
        struct sim_node *a = sim_node_at(s, i);
        if (half ? nemesis_means(e, a) : a != e->on->node)
            continue;
        for (uint32_t k = 0; k < n; k++)
            if (nemesis_means(e, sim_node_at(s, k)))
                fn(e, a, sim_node_at(s, k));
    }
}

static void nemesis_partition(struct group_event *e, struct sim_node *a, struct sim_node *b)
{
    sim_net_partition(a, b, e->f->one_way);
}

static void nemesis_clog(struct group_event *e, struct sim_node *a, struct sim_node *b)
{
    sim_net_clog(a, b, e->f->for_ns);
}

static void nemesis_reset(struct group_event *e, struct sim_node *a, struct sim_node *b)
{
    (void)e;
    sim_net_reset(a, b);
}

static void nemesis_heal(struct group_event *e, struct sim_node *a, struct sim_node *b)
{
    (void)e;
    sim_net_heal(a, b);
}

/* the disk as the faults that are under way want it */
static void nemesis_disk(struct group_node *n)
{
    struct sim_disk_config d = n->g->s.sim.disk;
    if (n->full)
        d.capacity = sim_disk_used(n->node) + 1;
    if (n->slow) {
        d.write_mean_ns *= 50;
        d.sync_mean_ns *= 50;
        d.stall_ppm = 5000;
    }
    if (n->unsynced)
        d.sync_fail_ppm = 200000;
    sim_disk_set(n->node, &d);
}

static void nemesis_kill(struct group_event *e, void (*how)(struct sim_node *n))
{
    struct group_node *n = e->on;
    if (n->down++ == 0 && sim_node_is_up(n->node))
        lab_group_down(n, how);
}

static struct group_node *nemesis_node(struct group_event *e)
{
    struct lab_group *g = e->g;
    if (!strcmp(e->f->node, "leader"))
        return lab_group_leader(g);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (!strcmp(sim_node_name(g->node[i].node), e->f->node))
            return &g->node[i];
    return NULL;
}

static void nemesis_do(struct group_event *e)
{
    struct group_node *n = e->on;
    switch (e->f->kind) {
    case LAB_FAULT_POWER_LOSS:
        nemesis_kill(e, sim_node_power_loss);
        break;
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
        nemesis_kill(e, sim_node_crash);
        break;
    case LAB_FAULT_PAUSE:
        e->did = !n->paused && sim_node_is_up(n->node);
        if (e->did)
            sim_node_pause(n->node);
        n->paused |= e->did;
        break;
    case LAB_FAULT_PARTITION:
        nemesis_link(e, nemesis_partition);
        break;
    case LAB_FAULT_CLOG:
        nemesis_link(e, nemesis_clog);
        break;
    case LAB_FAULT_RESET:
        nemesis_link(e, nemesis_reset);
        break;
    case LAB_FAULT_DISK_FULL:
        n->full++;
        nemesis_disk(n);
        break;
    case LAB_FAULT_DISK_SLOW:
        n->slow++;
        nemesis_disk(n);
        break;
    case LAB_FAULT_SYNC_FAIL:
        n->unsynced++;
        n->excused_until_ns =
            (int64_t)base_max_u64((uint64_t)n->excused_until_ns,
                                  (uint64_t)(group_now_ns(e->g) + e->f->for_ns + 2000 * GROUP_MS));
        nemesis_disk(n);
        break;
    case LAB_FAULT_STALL:
        if (sim_node_is_up(n->node))
            sim_node_stall(n->node, (uint32_t)sim_random(e->g->sim, 8), e->f->for_ns);
        break;
    case LAB_FAULT_WIPE:
    case LAB_FAULT_IMAGE:
    case LAB_FAULT_MEMBERS:
        lab_group_operator_wish(e->g->oper, e->f->kind, n, sim_random(e->g->sim, 1 << 30));
        break;
    default:
        break;
    }
}

static void nemesis_begin(struct env_op *op)
{
    struct group_event *e = container_of(op, struct group_event, begin);
    e->on = nemesis_node(e);
    if (!e->on || e->g->phase != GROUP_LOAD)
        return;
    e->did = true;
    lab_group_note(e->g, "fault %s %s to %s for %.3f s", lab_scenario_fault_name(e->f->kind),
                   sim_node_name(e->on->node), e->f->to, (double)e->f->for_ns / 1e9);
    nemesis_do(e);
    sim_at(e->g->sim, group_now_ns(e->g) + e->f->for_ns, &e->end);
}

static void nemesis_end(struct env_op *op)
{
    struct group_event *e = container_of(op, struct group_event, end);
    struct group_node *n = e->on;
    if (!e->did)
        return;
    e->did = false;
    switch (e->f->kind) {
    case LAB_FAULT_POWER_LOSS:
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
        n->down--;
        lab_group_boot(n);
        break;
    case LAB_FAULT_PAUSE:
        if (n->paused && sim_node_is_up(n->node))
            sim_node_resume(n->node);
        n->paused = false;
        break;
    case LAB_FAULT_PARTITION:
        nemesis_link(e, nemesis_heal);
        break;
    case LAB_FAULT_DISK_FULL:
        n->full--;
        nemesis_disk(n);
        break;
    case LAB_FAULT_DISK_SLOW:
        n->slow--;
        nemesis_disk(n);
        break;
    case LAB_FAULT_SYNC_FAIL:
        n->unsynced--;
        nemesis_disk(n);
        break;
    default:
        break;
    }
}

void lab_group_nemesis_open(struct lab_group *g)
{
    for (uint32_t i = 0; i < g->s.n_faults; i++) {
        struct group_event *e = &g->events[i];
        struct lab_fault *f = &g->s.faults[i];
        if (f->kind == LAB_FAULT_RESTART)
            f->for_ns = 1;
        if (f->at_ns + f->for_ns > g->s.duration_ns)
            f->for_ns = f->at_ns < g->s.duration_ns ? g->s.duration_ns - f->at_ns : 1;
        e->g = g;
        e->f = f;
        e->begin.done = nemesis_begin;
        e->end.done = nemesis_end;
        if (f->at_ns + f->for_ns > g->last_fault_end_ns)
            g->last_fault_end_ns = f->at_ns + f->for_ns;
        sim_at(g->sim, f->at_ns, &e->begin);
    }
}

void lab_group_nemesis_heal(struct lab_group *g)
{
    struct sim_config quiet = sim_config_quiet(0);
    quiet.net.latency_min_ns = g->s.sim.net.latency_min_ns;
    quiet.net.latency_mean_ns = g->s.sim.net.latency_mean_ns;
    for (uint32_t i = 0; i < g->s.n_faults; i++)
        if (g->events[i].did)
            nemesis_end(&g->events[i].end);
    sim_net_heal_all(g->sim);
    sim_net_set(g->sim, &quiet.net);
    g->s.sim.disk.stall_ppm = 0;
    g->s.sim.disk.sync_fail_ppm = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        nemesis_disk(&g->node[i]);
    for (uint32_t i = 0; sim_fault_site(g->sim, i); i++)
        sim_fault_set(g->sim, sim_fault_site(g->sim, i)->name, 0);
}
