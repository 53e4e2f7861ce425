/* sim/lab_group_operator.c - who looks after the group: adds, removes and replaces masters as a
 * careful person would.
 *
 *   tick: what is under way? -> wait for its answer or its deadline
 *         ask the leader how the group is (after a barrier, so that it is the truth)
 *         put right what is not in order: a member whose disk is lost is replaced or removed; a
 *         machine that shall join is added; one that was removed is stopped
 *         all in order: the next wish
 *
 *  1. A machine's disk is given up only while the group is in order and has three voters or more,
 *     and the next one only when the group has let go of the lost one: what was acknowledged is
 *     then on a majority of those that may vote.
 *  2. No member id is ever given to a second disk.
 *  3. What was asked for and not answered by its deadline may have happened; only the leader's word
 *     after that says. */
#include "sim/lab_group_impl.h"

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
    struct group_answer view;
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

static void operator_change(struct group_operator *o, enum journal_verb verb, uint32_t id,
                            uint64_t a, const char *addr)
{
    static const char *const names[] = {"add",     "add a learner", "remove",
                                        "replace", "priority",      "elect"};
    memset(&o->q, 0, sizeof o->q);
    o->q.verb = GROUP_CHANGE;
    o->q.seq = verb;
    o->q.key = id;
    o->q.a = a;
    if (addr)
        fmt_into(o->q.addr, sizeof o->q.addr, "%s", addr);
    fmt_into(o->doing, sizeof o->doing, "%s %u, %llu", names[verb], id, (unsigned long long)a);
    o->has_view = false;
    operator_send(o, o->target, verb == JOURNAL_ELECT ? 2000 * GROUP_MS : 4000 * GROUP_MS);
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
            o->view = *a;
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

static const uint64_t *operator_in_view(const struct group_operator *o, uint32_t id)
{
    for (uint32_t i = 0; i < o->view.n; i++)
        if (o->view.member[i] >> 8 == id)
            return &o->view.member[i];
    return NULL;
}

static uint32_t operator_voters(const struct group_operator *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->view.n; i++)
        n += (o->view.member[i] & GROUP_VOTES) != 0;
    return n;
}

/* an empty machine that waits to be taken in */
static void operator_fresh(struct group_node *n)
{
    if (sim_node_is_up(n->node))
        lab_group_down(n, sim_node_crash);
    sim_node_wipe(n->node);
    n->id = ++n->g->next_id;
    n->founder = false;
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

/* true: something had to be done, and is under way */
static bool operator_mend(struct group_operator *o)
{
    struct lab_group *g = o->g;
    struct group_node *joiner = NULL;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (n->lost) {
            n->lost = false;
            operator_fresh(n); /* another one, in the place of the old */
        }
        bool in = n->id && operator_in_view(o, n->id);
        n->was_in |= in;
        if (n->id && !in && n->was_in)
            operator_retire(n);
        else if (n->id && !in && !joiner)
            joiner = n;
    }
    for (uint32_t i = 0; i < o->view.n; i++) {
        uint32_t id = (uint32_t)(o->view.member[i] >> 8);
        if (lab_group_by_id(g, id))
            continue;
        if (joiner)
            operator_change(o, JOURNAL_REPLACE, id, joiner->id, joiner->addr);
        else
            operator_change(o, JOURNAL_REMOVE, id, 0, NULL);
        return true;
    }
    if (joiner)
        operator_change(o, JOURNAL_ADD, joiner->id, 0, joiner->addr);
    return joiner != NULL;
}

static uint32_t operator_some_member(const struct group_operator *o, uint64_t chance)
{
    return o->view.n ? (uint32_t)(o->view.member[chance % o->view.n] >> 8) : 0;
}

static void operator_grant_members(struct group_operator *o, uint64_t chance)
{
    struct lab_group *g = o->g;
    uint32_t voters = operator_voters(o), what = (uint32_t)(chance % 8);
    struct group_node *spare = NULL;
    chance /= 8;
    for (uint32_t i = 0; i < g->n_nodes && !spare; i++)
        if (!g->node[i].id)
            spare = &g->node[i];
    if (what < 3 && spare)
        operator_fresh(spare);
    else if (what < 5 && voters >= 3)
        operator_change(o, JOURNAL_REMOVE, operator_some_member(o, chance), 0, NULL);
    else if (what == 5)
        operator_change(o, JOURNAL_PRIORITY, operator_some_member(o, chance), chance / 16 % 4,
                        NULL);
    else
        operator_change(o, JOURNAL_ELECT, chance % 5 ? operator_some_member(o, chance) : 0, 0,
                        NULL);
}

static void operator_grant(struct group_operator *o, const struct operator_wish *w)
{
    const uint64_t *m = w->on ? operator_in_view(o, w->on->id) : NULL;
    if (w->kind == LAB_FAULT_IMAGE && w->on && w->on->m) {
        memset(&o->q, 0, sizeof o->q);
        o->q.verb = GROUP_IMAGE;
        operator_send(o, (uint32_t)(w->on - o->g->node), 500 * GROUP_MS);
    } else if (w->kind == LAB_FAULT_WIPE && w->on->id && m && operator_voters(o) >= 3) {
        operator_fresh(w->on);
    } else if (w->kind == LAB_FAULT_MEMBERS) {
        operator_grant_members(o, w->chance);
    }
}

static bool operator_is_changing(const struct group_operator *o)
{
    bool changing = o->view.is_changing;
    for (uint32_t i = 0; i < o->view.n; i++)
        changing |= (o->view.member[i] & (GROUP_JOINS | GROUP_LEAVING)) != 0;
    return changing;
}

void lab_group_operator_tick(struct group_operator *o)
{
    int64_t now = group_now_ns(o->g);
    if (!o->g->s.journal.raft) { /* one master has no group */
        o->tidy = true;
        return;
    }
    if (!o->caller.env || (o->until_ns && now <= o->until_ns))
        return;
    o->until_ns = 0;
    if (!o->has_view) {
        operator_look(o);
        return;
    }
    o->has_view = false;
    o->tidy = false;
    if (operator_is_changing(o) || operator_mend(o))
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

void lab_group_operator_say(const struct group_operator *o, char *ret_text, size_t cap)
{
    size_t at = fmt_into(ret_text, cap, "the group is not in order: ");
    for (uint32_t i = 0; i < o->view.n && at < cap; i++)
        at += fmt_into(ret_text + at, cap - at, "%llu%s%s%s ",
                       (unsigned long long)(o->view.member[i] >> 8),
                       o->view.member[i] & GROUP_VOTES ? "" : " (no voter)",
                       o->view.member[i] & GROUP_JOINS ? " (joins)" : "",
                       o->view.member[i] & GROUP_LEAVING ? " (leaves)" : "");
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
