/* sim/lab_group_operator.c - who looks after the group: adds, removes and replaces masters as a
 * careful person would.
 *
 *   tick: what is under way? -> wait for its answer or its deadline
 *         ask the leader how the group is (after a barrier, so that it is the truth)
 *         put right what is not in order: a member whose disk is lost is replaced or removed; a
 *         machine that shall join is added; one that was removed is stopped
 *         all in order: the next wish
 *
 *  1. What is done about the group is for lab_plan.h to say: its invariants.
 *  2. What was asked for and not answered by its deadline may have happened; only the leader's word
 *     after that says. */
#include "sim/lab_group_impl.h"
#include "sim/lab_plan.h"

enum { OPERATOR_WISHES = 16 };

struct operator_wish {
    enum lab_fault_kind kind;
    struct group_node *on;
    uint64_t chance;
};

struct group_operator {
    struct lab_group *g;
    struct group_caller caller;
    struct group_request q;
    uint64_t ids;
    int64_t until_ns; /* of what is under way; 0: nothing is */
    uint32_t target;
    struct journal_status view;
    bool has_view, tidy, closed;
    struct operator_wish wish[OPERATOR_WISHES];
    uint32_t n_wishes;
    char doing[120];
};

/* ---- asking ---- */

static void operator_send(struct group_operator *o, uint32_t to, int64_t patience_ns)
{
    o->q.id = ++o->ids;
    o->q.until_ns = o->until_ns = group_now_ns(o->g) + patience_ns;
    if (!lab_group_call(&o->caller, to, &o->q)) {
        o->until_ns = 0; /* nothing was sent: again at the next tick, once it is connected */
        o->has_view = false;
    }
}

static void operator_look(struct group_operator *o)
{
    memset(&o->q, 0, sizeof o->q);
    o->q.verb = GROUP_STATUS;
    operator_send(o, o->target, 1000 * GROUP_MS);
}

static void operator_change(struct group_operator *o, const struct journal_change *j)
{
    static const char *const names[] = {"add",     "add a learner", "remove",
                                        "replace", "priority",      "elect"};
    uint64_t a = j->verb == JOURNAL_REPLACE ? j->new_id : j->priority;
    memset(&o->q, 0, sizeof o->q);
    o->q.verb = GROUP_CHANGE;
    o->q.seq = j->verb;
    o->q.key = j->id;
    o->q.a = a;
    if (j->addr)
        fmt_into(o->q.addr, sizeof o->q.addr, "%s", j->addr);
    fmt_into(o->doing, sizeof o->doing, "%s %u, %llu", names[j->verb], j->id,
             (unsigned long long)a);
    o->has_view = false;
    operator_send(o, o->target, (j->verb == JOURNAL_ELECT ? 2000 : 4000) * GROUP_MS);
}

/* what the leader said, as the planner wants it */
static void operator_take(struct group_operator *o, const struct group_answer *a)
{
    o->view = (struct journal_status){.n = (uint32_t)a->n, .is_changing = a->is_changing};
    for (uint32_t i = 0; i < o->view.n; i++)
        o->view.member[i] = (struct journal_member){.id = (uint32_t)(a->member[i] >> 8),
                                                    .votes = a->member[i] & GROUP_VOTES,
                                                    .joins = a->member[i] & GROUP_JOINS,
                                                    .leaving = a->member[i] & GROUP_LEAVING};
}

static void operator_on_answer(struct group_caller *c, uint32_t from, const struct group_answer *a)
{
    struct group_operator *o = container_of(c, struct group_operator, caller);
    struct lab_group *g = o->g;
    (void)from;
    if (a->id != o->q.id || !o->until_ns)
        return;
    if (o->q.verb == GROUP_CHANGE) {
        lab_group_note(g, "operator: %s: %s", o->doing, a->err ? err_name((int)a->err) : "done");
        g->stats.changes += !a->err;
        g->stats.changes_failed += a->err != 0;
        /* it may still come to be, but not later than the deadline: operator_tick waits for that */
        if (a->err == E_TIMEOUT || a->err == E_NOT_LEADER || a->err == E_CLOSED)
            return;
    } else if (o->q.verb == GROUP_STATUS) {
        struct group_node *led = lab_group_by_id(g, a->leader);
        o->has_view = !a->err && a->is_leader;
        if (o->has_view)
            operator_take(o, a);
        else
            o->target = led && (uint32_t)(led - g->node) != o->target
                            ? (uint32_t)(led - g->node)
                            : (uint32_t)sim_random(g->sim, g->n_nodes);
    }
    o->until_ns = 0;
}

static void operator_on_line(struct group_caller *c, uint32_t to, bool up)
{
    struct group_operator *o = container_of(c, struct group_operator, caller);
    if (up || to != o->target)
        return;
    if (o->q.verb != GROUP_CHANGE)
        o->until_ns = 0;
    if (!o->until_ns)
        o->target = (uint32_t)sim_random(o->g->sim, o->g->n_nodes);
}

static void operator_on_boot(struct group_caller *c)
{
    (void)c;
}

/* ---- the group's order ---- */

/* an empty machine that waits to be taken in */
static void operator_fresh(struct group_node *n)
{
    if (sim_node_is_up(n->node))
        lab_group_down(n, sim_node_crash);
    sim_node_wipe(n->node);
    n->id = ++n->g->next_id;
    n->founder = n->lost = false;
    n->joins = true;
    n->was_in = false;
    n->epoch = 0;
    lab_group_note(n->g, "operator: %s is empty, and is to be %u", sim_node_name(n->node), n->id);
    lab_group_boot(n);
}

static void operator_retire(struct group_node *n)
{
    lab_group_note(n->g, "operator: %s is stopped, it was %u", sim_node_name(n->node), n->id);
    if (sim_node_is_up(n->node))
        lab_group_down(n, sim_node_crash);
    sim_node_wipe(n->node);
    n->id = 0;
    n->joins = false;
    n->was_in = false;
}

static void operator_do(struct group_operator *o, const struct lab_plan_step *s)
{
    struct group_node *n = &o->g->node[s->machine];
    if (s->kind == LAB_PLAN_EMPTY)
        operator_retire(n);
    else if (s->kind == LAB_PLAN_FRESH)
        operator_fresh(n);
    else if (s->kind == LAB_PLAN_CHANGE)
        operator_change(o, &s->change);
}

/* what is known of the machines, for the planner; m: as many as can be */
static struct lab_plan operator_plan(const struct group_operator *o, struct lab_plan_machine *m)
{
    const struct lab_group *g = o->g;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        m[i] = (struct lab_plan_machine){.id = g->node[i].id,
                                         .was_in = g->node[i].was_in,
                                         .lost = g->node[i].lost,
                                         .addr = g->node[i].addr};
    return (struct lab_plan){.view = &o->view, .machine = m, .n = g->n_nodes, .removals = 5};
}

/* false: all is in order */
static bool operator_mend(struct group_operator *o)
{
    struct lab_plan_machine m[GROUP_NODES];
    for (;;) {
        struct lab_plan p = operator_plan(o, m);
        struct lab_plan_step s = lab_plan_mend(&p);
        for (uint32_t i = 0; i < p.n; i++)
            o->g->node[i].was_in = m[i].was_in;
        operator_do(o, &s);
        if (s.kind != LAB_PLAN_EMPTY && s.kind != LAB_PLAN_FRESH)
            return s.kind != LAB_PLAN_REST;
    }
}

static void operator_grant(struct group_operator *o, const struct operator_wish *w)
{
    struct lab_plan_machine m[GROUP_NODES];
    uint32_t on = w->on ? (uint32_t)(w->on - o->g->node) : UINT32_MAX;
    if (w->kind == LAB_FAULT_IMAGE && w->on && w->on->m) {
        memset(&o->q, 0, sizeof o->q);
        o->q.verb = GROUP_IMAGE;
        operator_send(o, on, 500 * GROUP_MS);
        return;
    }
    struct lab_plan p = operator_plan(o, m);
    struct lab_plan_step s = lab_plan_grant(&p, w->kind, on, w->chance);
    operator_do(o, &s);
}

/* Of masters with journal.zk there is no list to keep in order: who is there is there.  Images, and
 * who is to lead. */
static void operator_tick_zk(struct group_operator *o)
{
    struct group_node *led = lab_group_leader(o->g);
    o->tidy = true;
    if (!o->caller.env || (o->until_ns && group_now_ns(o->g) <= o->until_ns))
        return;
    o->until_ns = 0;
    if (!o->n_wishes)
        return;
    struct operator_wish w = o->wish[0];
    memmove(o->wish, o->wish + 1, --o->n_wishes * sizeof w);
    if (w.kind == LAB_FAULT_IMAGE) {
        operator_grant(o, &w);
    } else if (w.kind == LAB_FAULT_MEMBERS && led) {
        struct journal_change c = {.verb = JOURNAL_ELECT,
                                   .id = o->g->node[w.chance % o->g->n_nodes].id};
        o->target = (uint32_t)(led - o->g->node);
        operator_change(o, &c);
    }
}

void lab_group_operator_tick(struct group_operator *o)
{
    int64_t now = group_now_ns(o->g);
    if (o->g->zk) {
        operator_tick_zk(o);
        return;
    }
    if (!o->g->s.journal.raft) { /* one master has no group */
        o->tidy = true;
        return;
    }
    if (!o->caller.env || (o->until_ns && now <= o->until_ns))
        return;
    if (o->until_ns && o->q.verb == GROUP_STATUS) /* who is in no group knows no leader */
        o->target = (uint32_t)sim_random(o->g->sim, o->g->n_nodes);
    o->until_ns = 0;
    if (!o->has_view) {
        operator_look(o);
        return;
    }
    o->has_view = false;
    o->tidy = false;
    if (operator_mend(o))
        return;
    o->tidy = true;
    if (o->n_wishes) {
        struct operator_wish w = o->wish[0];
        memmove(o->wish, o->wish + 1, --o->n_wishes * sizeof w);
        o->tidy = false;
        operator_grant(o, &w);
    }
}

void lab_group_operator_wish(struct group_operator *o, enum lab_fault_kind k, struct group_node *on,
                             uint64_t chance)
{
    if (!o->closed && o->n_wishes < OPERATOR_WISHES)
        o->wish[o->n_wishes++] = (struct operator_wish){k, on, chance};
}

void lab_group_operator_close(struct group_operator *o)
{
    o->closed = true;
    o->n_wishes = 0;
    o->tidy = false;
}

bool lab_group_operator_is_tidy(const struct group_operator *o)
{
    return o->tidy;
}

bool lab_group_operator_votes(const struct group_operator *o, uint32_t id)
{
    for (uint32_t i = 0; i < o->view.n; i++)
        if (o->view.member[i].id == id)
            return o->view.member[i].votes;
    return false;
}

void lab_group_operator_say(const struct group_operator *o, char *ret_text, size_t cap)
{
    size_t at = fmt_into(ret_text, cap, "the group is not in order: ");
    for (uint32_t i = 0; i < o->view.n && at < cap; i++) {
        const struct journal_member *m = &o->view.member[i];
        at += fmt_into(ret_text + at, cap - at, "%u%s%s%s ", m->id, m->votes ? "" : " (no voter)",
                       m->joins ? " (joins)" : "", m->leaving ? " (leaves)" : "");
    }
    fmt_into(ret_text + at, cap - at, "; last asked to %s", o->doing[0] ? o->doing : "do nothing");
}

struct group_operator *lab_group_operator_open(struct lab_group *g)
{
    struct group_operator *o = mem_zalloc(g->mem, sizeof *o);
    ASSERT(o != NULL);
    o->g = g;
    o->caller = (struct group_caller){.g = g,
                                      .node = sim_node_add(g->sim, "op"),
                                      .on_boot = operator_on_boot,
                                      .on_answer = operator_on_answer,
                                      .on_line = operator_on_line};
    return o;
}

void lab_group_operator_boot(struct group_operator *o)
{
    lab_group_call_boot(&o->caller);
}
