/* sim/lab_group_plot.c - what goes wrong with a group of journals in several steps that belong
 * together: what chance alone would bring about too seldom.
 *
 * USURP: whoever leads is to be followed by another one before it notices.
 *
 *   clients begin no writes, mostly (who lacks what was written last is not elected)
 *     -> the leader and its heir, or everybody, do not reach each other, or only in one direction
 *     -> and any of: all links of the leader break; a voter starts again; the leader is told to
 * hand over; it stands still, between two turns or in the middle of one
 *     -> somebody else leads, or that takes too long -> the old one goes on, and still reaches
 * clients only -> all is as before
 *
 * TOPPLE: who begins to lead ends before it knows what that is.
 *
 * BLACKOUT: a majority of the masters, or all, lose power at the same moment. */
#include "sim/lab_fault.h"
#include "sim/lab_group_impl.h"

uint64_t lab_group_chance(const struct group_event *e, uint64_t bound)
{
    return lab_fault_chance(e->f, e->g->sim, bound);
}

void lab_group_plot_next(struct group_event *e, int64_t ns)
{
    e->step++;
    sim_at(e->g->sim, group_now_ns(e->g) + ns, &e->end);
}

struct group_node *lab_group_plot_some(struct group_event *e, const struct group_node *not_this,
                                       const struct group_node *nor_this)
{
    struct lab_group *g = e->g;
    uint32_t from = (uint32_t)lab_group_chance(e, g->n_nodes);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[(from + i) % g->n_nodes];
        if (n->id && n != not_this && n != nor_this)
            return n;
    }
    return NULL;
}

void lab_group_plot_cut(struct group_event *e, bool cut)
{
    struct lab_group *g = e->g;
    if (g->zk && cut)
        lab_zk_site_cut(g->zk, e->led->node, e->f->one_way);
    else if (g->zk)
        lab_zk_site_uncut(g->zk, e->led->node);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (n == e->led)
            continue;
        if (cut)
            sim_net_partition(e->led->node, n->node, e->f->one_way);
        else
            sim_net_heal(e->led->node, n->node);
    }
}

/* ---- usurp ---- */

static const int64_t USURP_LOOK_NS = 10 * GROUP_MS;

static int64_t usurp_some_ns(const struct group_event *e, int64_t max_ns)
{
    return 1 + (int64_t)lab_group_chance(e, (uint64_t)max_ns);
}

/* how: 0 both ways, 1 what the leader sends, 2 what is sent to it */
static void usurp_cut(struct group_event *e, const struct group_node *from, uint64_t how)
{
    static const char *const words[] = {"and", "does not reach", "is not reached by"};
    lab_group_note(e->g, "usurp: %s %s %s", sim_node_name(e->led->node), words[how],
                   sim_node_name(from->node));
    if (e->g->zk)
        lab_zk_site_cut(e->g->zk, e->led->node, how);
    else if (how == 2)
        sim_net_partition(from->node, e->led->node, true);
    else
        sim_net_partition(e->led->node, from->node, how == 1);
}

static void usurp_cut_all(struct group_event *e)
{
    uint64_t how = lab_group_chance(e, 3);
    for (uint32_t i = 0; i < e->g->n_nodes; i++)
        if (&e->g->node[i] != e->led)
            usurp_cut(e, &e->g->node[i], how);
}

void lab_group_plot_usurp(struct group_event *e)
{
    struct lab_group *g = e->g;
    e->did = false;
    for (uint32_t i = 0; i < g->s.n_faults; i++)
        if (g->events[i].did &&
            (g->events[i].f->kind == LAB_FAULT_USURP || g->events[i].f->kind == LAB_FAULT_SIEGE))
            return;
    e->led = lab_group_leader(g);
    if (!e->led)
        return;
    e->other = lab_group_plot_some(e, e->led, NULL);
    e->did = e->other != NULL;
    e->step = 0;
    g->rests = lab_group_chance(e, 4) != 0 && !g->zk; /* there nobody lacks what was written */
    if (e->did)
        lab_group_plot_next(e, usurp_some_ns(e, 50 * GROUP_MS));
}

static void usurp_turn(struct group_event *e)
{
    struct lab_group *g = e->g;
    uint64_t how = lab_group_chance(e, 64);
    struct group_node *voter = lab_group_plot_some(e, e->led, e->other);
    lab_group_note(g, "usurp: %s, heir %s: %llu", sim_node_name(e->led->node),
                   sim_node_name(e->other->node), (unsigned long long)how);
    if (how & 1)
        usurp_cut_all(e);
    if ((how & 2) && voter && sim_node_is_up(voter->node)) {
        lab_group_down(voter, sim_node_crash);
        lab_group_boot(voter);
    }
    if ((how & 12) == 0 && e->led->m)
        lab_group_member_elect(e->led->m, e->other->id);
    if (!(how & 16) || e->led->paused || !sim_node_is_up(e->led->node))
        return;
    if (how & 32) {
        uint32_t submits = (uint32_t)lab_group_chance(e, 8);
        sim_node_stall(e->led->node, submits, usurp_some_ns(e, 2 * group_suspect_ns(g)));
        return;
    }
    e->paused = e->led->paused = true;
    sim_node_pause(e->led->node);
}

static void usurp_wake(struct group_event *e)
{
    lab_group_note(e->g, "usurp: %s goes on", sim_node_name(e->led->node));
    if (e->paused && e->led->paused && sim_node_is_up(e->led->node))
        sim_node_resume(e->led->node);
    if (e->paused)
        e->led->paused = false;
    e->paused = false;
    e->g->rests = false;
}

void lab_group_plot_usurp_next(struct group_event *e)
{
    int64_t suspect_ns = group_suspect_ns(e->g);
    uint64_t how;
    e->did = !e->healing;
    switch (e->did ? e->step : 0) {
    case 1:
        how = lab_group_chance(e, 4);
        if (how < 2)
            usurp_cut(e, e->other, lab_group_chance(e, 3));
        else if (how == 2)
            usurp_cut_all(e);
        lab_group_plot_next(e, usurp_some_ns(e, 2 * suspect_ns));
        break;
    case 2:
        usurp_turn(e);
        e->until_ns = group_now_ns(e->g) + 4 * suspect_ns;
        lab_group_plot_next(e, USURP_LOOK_NS);
        break;
    case 3: /* until somebody else leads, and has written something */
        if (lab_group_leader(e->g) == e->led && group_now_ns(e->g) < e->until_ns) {
            e->step--;
            lab_group_plot_next(e, USURP_LOOK_NS);
        } else {
            lab_group_plot_next(e, usurp_some_ns(e, 250 * GROUP_MS));
        }
        break;
    case 4:
        usurp_wake(e);
        lab_group_plot_next(e, 60 * GROUP_MS);
        break;
    default:
        usurp_wake(e);
        lab_group_plot_cut(e, false);
        e->did = false;
        break;
    }
}

/* ---- topple ---- */

static const int64_t TOPPLE_NS = 20 * GROUP_MS;

static void topple_now(struct env_op *op)
{
    struct group_event *e = container_of(op, struct group_event, more);
    bool power = lab_group_chance(e, 2);
    if (e->did && e->on->down++ == 0 && sim_node_is_up(e->on->node))
        lab_group_down(e->on, power ? sim_node_power_loss : sim_node_crash);
    e->step += e->did;
}

void lab_group_plot_topple(struct group_node *n)
{
    struct lab_group *g = n->g;
    for (uint32_t i = 0; i < g->s.n_faults; i++) {
        struct group_event *e = &g->events[i];
        if (!e->did || e->f->kind != LAB_FAULT_TOPPLE || e->step)
            continue;
        e->on = n;
        e->step = 1;
        e->more.done = topple_now;
        sim_at(g->sim, group_now_ns(g) + (int64_t)lab_group_chance(e, (uint64_t)TOPPLE_NS),
               &e->more);
        return;
    }
}

void lab_group_plot_topple_end(struct group_event *e)
{
    if (e->step == 2) {
        e->on->down--;
        lab_group_boot(e->on);
    }
}

/* ---- blackout ---- */

void lab_group_plot_blackout(struct group_event *e)
{
    struct lab_group *g = e->g;
    uint32_t n = 0, hit = 0, at = (uint32_t)lab_group_chance(e, g->n_nodes);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        n += g->node[i].id != 0;
    uint32_t want = n / 2 + 1 + (uint32_t)lab_group_chance(e, n - n / 2);
    e->hit = 0;
    for (uint32_t i = 0; i < g->n_nodes && hit < want; i++) {
        struct group_node *x = &g->node[(at + i) % g->n_nodes];
        if (!x->id)
            continue;
        hit++;
        e->hit |= 1U << (x - g->node);
        if (x->down++ == 0 && sim_node_is_up(x->node))
            lab_group_down(x, sim_node_power_loss);
    }
}

void lab_group_plot_blackout_end(struct group_event *e)
{
    for (uint32_t i = 0; i < e->g->n_nodes; i++) {
        if (!(e->hit >> i & 1))
            continue;
        e->g->node[i].down--;
        lab_group_boot(&e->g->node[i]);
    }
}
