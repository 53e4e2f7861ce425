/* sim/lab_group_zk.c - a group of journals with ZooKeeper and shared storage (sim/lab_zk_site.h).
 */
#include "sim/lab_group_impl.h"

void lab_group_zk_open(struct lab_group *g)
{
    g->zk = lab_zk_site_open(g->mem, g->sim, &g->s, g->seed);
}

void lab_group_zk_begin(struct lab_group *g)
{
    int err = lab_zk_site_begin(g->zk, 0x7461726e, 1);
    if (err)
        lab_group_fail(g, LAB_GROUP_STRUCTURE, "the fence cannot be made: %s", err_name(err));
}

struct journal *lab_group_zk_journal(struct group_node *n, struct env *e, struct mem *mem,
                                     const struct journal_config *cfg, struct journal_host *host)
{
    struct journal_config c = *cfg;
    if (!lab_zk_site_mount(n->g->zk, n->node, e, mem, n->id, n->addr, &c))
        return NULL;
    return zk_drive_open(e, c.zk.shared, mem, &c, c.zk.elect, host);
}

void lab_group_zk_check(struct lab_group *g)
{
    char why[200];
    g->check.findings[LAB_GROUP_STRUCTURE].checks++;
    if (!lab_zk_site_check(g->zk, why, sizeof why))
        lab_group_fail(g, LAB_GROUP_STRUCTURE, "the simulated ZooKeeper: %s", why);
}

void lab_group_zk_fault(struct group_event *e)
{
    e->step = lab_zk_site_fault(e->g->zk, e->f);
    sim_at(e->g->sim, group_now_ns(e->g) + e->f->for_ns, &e->end);
}

void lab_group_zk_fault_end(struct group_event *e)
{
    if (e->f->kind == LAB_FAULT_TOPPLE)
        lab_group_plot_topple_end(e);
    else
        lab_zk_site_fault_end(e->g->zk, e->f, e->step, e->healing);
}
