/* sim/lab_group_core.c - journals alone: after the storm a bare majority of those that vote must do
 * without the others (see sim/lab_core.h). */
#include "sim/lab_group_impl.h"

static const int64_t CORE_CALM_NS = 2000 * GROUP_MS, CORE_GAP_NS = 1000 * GROUP_MS;

bool lab_group_core_begin(struct lab_group *g)
{
    struct lab_core *c = &g->core;
    uint32_t votes = 0;
    struct sim_node *with = NULL;
    if (!lab_group_operator_is_tidy(g->oper))
        return false; /* who votes may be another one than it seems */
    memset(c, 0, sizeof *c);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (!n->id)
            continue;
        if (n->lost || (n->m && lab_group_member_is_damaged(n->m)))
            return false; /* what it lacks may be outside */
        c->node[c->n] = n->node;
        c->votes[c->n] = lab_group_operator_votes(g->oper, n->id);
        votes += c->votes[c->n++];
    }
    if (!votes)
        return false;
    lab_core_draw(c, g->seed, "lab_group_core", votes / 2 + 1);
    for (uint32_t i = 0, k = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (!n->id)
            continue;
        enum lab_core_fate f = (enum lab_core_fate)c->fate[k++];
        if (f == LAB_CORE_IN && !with)
            with = n->node;
        if (f == LAB_CORE_DOWN && n->down++ == 0 && sim_node_is_up(n->node))
            lab_group_down(n, sim_node_crash);
        if (f == LAB_CORE_PAUSED && sim_node_is_up(n->node)) {
            n->paused = true;
            sim_node_pause(n->node);
        }
    }
    lab_core_cut(c, g->sim, with);
    memset(&g->core_watch, 0, sizeof g->core_watch);
    lab_core_say(c, g->stats.core, sizeof g->stats.core);
    lab_group_note(g, "core: %s", g->stats.core);
    return true;
}

bool lab_group_core_serves(struct lab_group *g)
{
    struct group_node *led = lab_group_leader(g);
    uint64_t epoch = 0;
    bool leads = led && lab_group_member_leads(led->m, &epoch) && lab_core_has(&g->core, led->node);
    return lab_core_serves(&g->core_watch, group_now_ns(g), leads, epoch, !g->s.has_ops,
                           CORE_CALM_NS, CORE_GAP_NS);
}

void lab_group_core_end(struct lab_group *g)
{
    for (uint32_t i = 0, k = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (k == g->core.n || g->core.node[k] != n->node)
            continue;
        enum lab_core_fate f = (enum lab_core_fate)g->core.fate[k++];
        if (f == LAB_CORE_DOWN) {
            n->down--;
            lab_group_boot(n);
        }
        if (n->paused && sim_node_is_up(n->node))
            sim_node_resume(n->node);
        n->paused = false;
    }
    sim_net_heal_all(g->sim);
}
