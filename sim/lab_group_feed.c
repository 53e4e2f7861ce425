/* sim/lab_group_feed.c - a load from within: whoever leads keeps so many records outstanding, with
 * a new one for each that is done, as the processes of `tarn bench journal` do.
 *
 * They are records of client 0, who never asks again: what was not acknowledged is counted nowhere.
 * Every check of the log sees them; linearizability is asked of the clients' operations only. */
#include "sim/lab_group_impl.h"

struct group_feeder;

struct feed_slot {
    struct env_op op;
    struct group_feeder *f;
    int64_t began_ns;
    uint64_t ticket;
    bool busy;
};

struct group_feeder {
    struct member *m;
    struct group_node *n;
    bool leads;
    uint32_t busy;
    struct env_op kick;
    bool kicked;
    struct feed_slot slot[GROUP_FEED_MAX];
};

static void feed_submit(struct feed_slot *x)
{
    struct group_feeder *f = x->f;
    struct lab_group *g = f->n->g;
    uint64_t seq = ++g->feed.seq;
    struct group_request q = {.verb = GROUP_CAS, /* that changes nothing */
                              .seq = seq,
                              .key = seq % g->s.journal.keys,
                              .a = UINT64_MAX,
                              .filling = g->s.journal.record_bytes - GROUP_HEAD};
    x->busy = true;
    f->busy++;
    x->began_ns = sim_node_at_ns(f->n->node);
    x->ticket = lab_group_member_submit(f->m, &q, &x->op);
}

static bool feed_goes_on(const struct group_feeder *f)
{
    return f->leads && f->n->g->phase == GROUP_LOAD &&
           group_now_ns(f->n->g) < f->n->g->s.duration_ns;
}

static int64_t feed_window_ns(const struct lab_group *g)
{
    return g->s.duration_ns / 3;
}

static void feed_done(struct env_op *op)
{
    struct feed_slot *x = container_of(op, struct feed_slot, op);
    struct group_feeder *f = x->f;
    struct lab_group *g = f->n->g;
    int64_t now = sim_node_at_ns(f->n->node);
    x->busy = false;
    f->busy--;
    if (lab_group_member_done(f->m, x->ticket, op->ret) == 0) {
        if (now >= g->s.duration_ns - feed_window_ns(g) && now < g->s.duration_ns)
            lab_hist_add(&g->feed.done, now - x->began_ns);
        if (feed_goes_on(f))
            feed_submit(x);
    }
}

static void feed_kicked(struct env_op *op)
{
    struct group_feeder *f = container_of(op, struct group_feeder, kick);
    f->kicked = false;
    for (uint32_t i = 0; i < f->n->g->s.journal.outstanding && feed_goes_on(f); i++)
        if (!f->slot[i].busy)
            feed_submit(&f->slot[i]);
}

struct group_feeder *lab_group_feed_open(struct member *m, struct mem *mem, struct group_node *n)
{
    if (!n->g->s.journal.outstanding)
        return NULL;
    struct group_feeder *f = mem_zalloc(mem, sizeof *f);
    ASSERT(f != NULL);
    f->m = m;
    f->n = n;
    f->kick.done = feed_kicked;
    for (uint32_t i = 0; i < GROUP_FEED_MAX; i++) {
        f->slot[i].f = f;
        f->slot[i].op.done = feed_done;
    }
    return f;
}

void lab_group_feed_role(struct group_feeder *f, bool leads)
{
    if (!f)
        return;
    f->leads = leads;
    if (!leads || f->kicked)
        return;
    f->kicked = true; /* not from inside the journal's call */
    env_post(sim_env(f->n->node), &f->kick);
}

uint32_t lab_group_feed_waiting(const struct group_feeder *f)
{
    return f ? f->busy : 0;
}

void lab_group_feed_report(const struct lab_group *g, struct lab_group_report *ret_rep)
{
    ret_rep->fed = g->feed.done.n;
    ret_rep->fed_ns = feed_window_ns(g);
    ret_rep->fed_p50_ns = lab_hist_quantile(&g->feed.done, 500000);
    ret_rep->fed_p99_ns = lab_hist_quantile(&g->feed.done, 990000);
}
