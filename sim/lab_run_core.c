/* sim/lab_run_core.c - a whole cluster: after the storm a bare majority of the masters and some of
 * the workers must do without the others (see sim/lab_core.h).  All clients are in the core. */
#include "sim/lab_run_impl.h"

static const int64_t CORE_CALM_NS = 4000 * RUN_MS, CORE_GAP_NS = 2000 * RUN_MS;

/* false: it is not known who votes, or what one of them lacks may be outside */
static bool core_masters(struct lab_run *r, uint32_t *ret_votes)
{
    struct lab_core *c = &r->core[0];
    for (uint32_t i = 0; i < r->s.masters; i++) {
        struct run_node *n = &r->nodes[i];
        if (r->oper && !n->id)
            continue;
        if (n->flipped || n->corrupt)
            return false;
        c->node[c->n] = n->node;
        c->votes[c->n] = !r->oper || lab_run_operator_votes(r->oper, n->id);
        *ret_votes += c->votes[c->n++];
    }
    return *ret_votes > 0;
}

static void core_workers(struct lab_run *r)
{
    struct lab_core *c = &r->core[1];
    for (uint32_t i = 0; i < r->n_nodes && c->n < LAB_CORE_MACHINES; i++) {
        if (r->nodes[i].role != RUN_WORKER)
            continue;
        c->node[c->n] = r->nodes[i].node;
        c->votes[c->n++] = true;
    }
}

static struct run_node *core_node(struct lab_run *r, const struct sim_node *n)
{
    return lab_run_node(r, sim_node_name(n));
}

static void core_break(struct lab_run *r, const struct lab_core *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct run_node *n = core_node(r, c->node[i]);
        if (c->fate[i] == LAB_CORE_DOWN && n->down++ == 0 && sim_node_is_up(n->node))
            lab_run_down(n, sim_node_crash);
        if (c->fate[i] == LAB_CORE_PAUSED && sim_node_is_up(n->node)) {
            n->paused = true;
            sim_node_pause(n->node);
        }
    }
}

bool lab_run_core_begin(struct lab_run *r)
{
    uint32_t votes = 0;
    struct prng p;
    struct sim_node *with = NULL;
    char text[2][LAB_CORE_TEXT];
    memset(r->core, 0, sizeof r->core);
    if ((r->oper && !lab_run_operator_is_tidy(r->oper)) || !core_masters(r, &votes))
        return false;
    core_workers(r);
    prng_seed(&p, r->seed, "lab_run_core", 0);
    lab_core_draw(&r->core[0], r->seed, "lab_run_core_masters", votes / 2 + 1);
    lab_core_draw(&r->core[1], r->seed, "lab_run_core_workers",
                  1 + (uint32_t)prng_below(&p, r->core[1].n + 1));
    for (uint32_t i = 0; i < r->core[0].n && !with; i++)
        with = r->core[0].fate[i] == LAB_CORE_IN ? r->core[0].node[i] : NULL;
    for (unsigned k = 0; k < ARRAY_LEN(r->core); k++) {
        core_break(r, &r->core[k]);
        lab_core_cut(&r->core[k], r->sim, with);
        lab_core_say(&r->core[k], text[k], sizeof text[k]);
    }
    fmt_into(r->core_text, sizeof r->core_text, "%s; %s", text[0], text[1]);
    memset(&r->core_watch, 0, sizeof r->core_watch);
    return true;
}

bool lab_run_core_serves(struct lab_run *r)
{
    struct run_node *led = lab_run_leader(r);
    struct journal_status s = {0};
    if (led)
        master_journal_status(led->master, &s);
    bool leads = led && lab_core_has(&r->core[0], led->node);
    return lab_core_serves(&r->core_watch, sim_now_ns(r->sim), leads, s.epoch, !r->s.has_ops,
                           CORE_CALM_NS, CORE_GAP_NS);
}

void lab_run_core_end(struct lab_run *r)
{
    for (unsigned k = 0; k < ARRAY_LEN(r->core); k++) {
        for (uint32_t i = 0; i < r->core[k].n; i++) {
            struct run_node *n = core_node(r, r->core[k].node[i]);
            if (n->paused && sim_node_is_up(n->node))
                sim_node_resume(n->node);
            n->paused = false;
            if (r->core[k].fate[i] == LAB_CORE_DOWN && --n->down == 0)
                lab_run_boot(n);
        }
    }
    sim_net_heal_all(r->sim);
}
