/* sim/lab_run_operator.c - who looks after the group of masters: adds, removes, replaces and elects
 * some as a careful person would, by the calls that `tarn journal` makes.
 *
 *   tick: is a call under way? -> wait for its answer, or until it cannot come true any more
 *         how is the group? (the word of a leader that holds its lease)
 *         put right what is not in order: a member whose disk is lost is replaced or removed; a
 *         machine that shall join is added; one that was removed is stopped
 *         all in order: the next wish
 *
 *  1. What is done about the group is for lab_plan.h to say: its invariants.
 *  2. What was asked for and not answered by its deadline may have happened; only the leader's word
 *     a good while after that says.
 *  3. Disks are damaged on the same few masters all through a run, fewer than half of them
 *     (lab_nemesis.c); where some are, no other master's disk is given up. */
#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "sim/lab_plan.h"
#include "sim/lab_run_impl.h"

enum { OPERATOR_WISHES = 16 };
static const int64_t OPERATOR_LATE_NS = 3000 * RUN_MS; /* on its way for so long at most */

struct operator_wish {
    enum lab_fault_kind kind;
    struct run_node *on;
    uint64_t chance;
};

struct run_operator {
    struct lab_run *r;
    struct sim_node *node;
    struct env *env;
    struct rpc_host host;
    struct rpc_link link[RUN_MASTERS]; /* by the masters' place in r->nodes: they come first */
    struct rpc_link_call call;
    uint8_t body[256];
    bool is_calling, is_changing;
    int64_t until_ns; /* nothing new is begun before */
    int64_t led_since_ns;
    struct journal_status view;
    struct run_node *lead;
    bool tidy, closed;
    struct operator_wish wish[OPERATOR_WISHES];
    uint32_t n_wishes;
    char doing[120];
};

/* ---- asking ---- */

static void operator_answered(struct env_op *op)
{
    struct run_operator *o = container_of(op, struct run_operator, call.op);
    int64_t now = sim_now_ns(o->r->sim);
    bool sure =
        op->ret >= 0 || (op->ret != E_TIMEOUT && op->ret != E_NOT_LEADER && op->ret != E_CLOSED);
    o->is_calling = false;
    o->until_ns = sure || !o->is_changing ? now : now + OPERATOR_LATE_NS;
    o->r->changes += op->ret >= 0 && o->is_changing;
}

static void operator_call(struct run_operator *o, struct run_node *to, uint16_t method, size_t len,
                          int64_t patience_ns)
{
    o->call = (struct rpc_link_call){.op = {.done = operator_answered}};
    o->is_calling = true;
    o->is_changing = method == RPC_CHANGE;
    rpc_link_call(&o->link[to - o->r->nodes], method, o->body, (uint32_t)len,
                  env_now_ns(o->env) + patience_ns, &o->call);
}

static void operator_change(struct run_operator *o, const struct journal_change *j)
{
    static const char *const names[] = {"add",     "add a learner", "remove",
                                        "replace", "priority",      "elect"};
    int64_t patience_ns = (j->verb == JOURNAL_ELECT ? 2000 : 4000) * RUN_MS;
    struct rpc_change c = {.verb = j->verb,
                           .id = j->id,
                           .new_id = j->new_id,
                           .priority = j->priority,
                           .timeout_ns = (uint64_t)patience_ns,
                           .addr = j->addr,
                           .addr_len = j->addr ? (uint32_t)strlen(j->addr) : 0};
    struct wbuf w = wbuf_make(o->body, sizeof o->body);
    rpc_format_change_put(&w, &c);
    ASSERT(!w.bad);
    fmt_into(o->doing, sizeof o->doing, "%s %u, %u", names[j->verb], j->id, j->new_id);
    operator_call(o, o->lead, RPC_CHANGE, w.len, patience_ns);
}

/* Is it the word of who surely leads?  Whoever has led for a while has, unless it stood still,
 * heard of a majority a moment ago; after a hand-over in vain it has no lease for a while. */
static bool operator_look(struct run_operator *o)
{
    int64_t now = sim_now_ns(o->r->sim);
    uint64_t epoch = o->view.epoch;
    struct run_node *before = o->lead;
    o->lead = lab_run_leader(o->r);
    if (o->lead)
        master_journal_status(o->lead->master, &o->view);
    if (!o->lead || o->lead->paused || o->lead != before || o->view.epoch != epoch)
        o->led_since_ns = now;
    return o->lead && !o->lead->paused &&
           (o->view.lease || now - o->led_since_ns >= OPERATOR_LATE_NS);
}

/* ---- the group's order ---- */

static void operator_empty(struct run_node *n)
{
    if (sim_node_is_up(n->node))
        lab_run_down(n, sim_node_crash);
    sim_node_wipe(n->node);
    n->founder = n->joins = n->was_in = n->flipped = false;
    n->corrupt = 0;
    n->id = 0;
}

/* an empty machine that waits to be taken in */
static void operator_fresh(struct run_node *n)
{
    operator_empty(n);
    n->id = ++n->r->next_id;
    n->joins = true;
    lab_run_boot(n);
}

static void operator_do(struct run_operator *o, const struct lab_plan_step *s)
{
    struct run_node *n = &o->r->nodes[s->machine];
    if (s->kind == LAB_PLAN_EMPTY)
        operator_empty(n);
    else if (s->kind == LAB_PLAN_FRESH)
        operator_fresh(n);
    else if (s->kind == LAB_PLAN_CHANGE)
        operator_change(o, &s->change);
}

/* what is known of the machines, for the planner; m: RUN_MASTERS of them */
static struct lab_plan operator_plan(const struct run_operator *o, struct lab_plan_machine *m)
{
    const struct lab_run *r = o->r;
    for (uint32_t i = 0; i < r->s.masters; i++)
        m[i] = (struct lab_plan_machine){.id = r->nodes[i].id,
                                         .was_in = r->nodes[i].was_in,
                                         .is_corrupt = r->nodes[i].corrupt > 1,
                                         .addr = r->nodes[i].addr};
    return (struct lab_plan){.view = &o->view,
                             .machine = m,
                             .n = r->s.masters,
                             .damaged = lab_nemesis_damaged(r),
                             .removals = 4};
}

/* false: all is in order */
static bool operator_mend(struct run_operator *o)
{
    struct lab_plan_machine m[RUN_MASTERS];
    for (;;) {
        struct lab_plan p = operator_plan(o, m);
        struct lab_plan_step s = lab_plan_mend(&p);
        for (uint32_t i = 0; i < p.n; i++)
            o->r->nodes[i].was_in = m[i].was_in;
        operator_do(o, &s);
        if (s.kind != LAB_PLAN_EMPTY && s.kind != LAB_PLAN_FRESH)
            return s.kind != LAB_PLAN_REST;
    }
}

static void operator_grant(struct run_operator *o, const struct operator_wish *w)
{
    struct wbuf b = wbuf_make(o->body, sizeof o->body);
    struct lab_plan_machine m[RUN_MASTERS];
    if (w->kind == LAB_FAULT_IMAGE && w->on->master) {
        rpc_format_admin_put(&b, &(struct rpc_admin){.kind = RPC_ADMIN_IMAGE});
        operator_call(o, w->on, RPC_ADMIN, b.len, 500 * RUN_MS);
        return;
    }
    struct lab_plan p = operator_plan(o, m);
    uint32_t on = w->on ? (uint32_t)(w->on - o->r->nodes) : UINT32_MAX;
    struct lab_plan_step s = lab_plan_grant(&p, w->kind, on, w->chance);
    operator_do(o, &s);
}

static struct operator_wish operator_next(struct run_operator *o)
{
    struct operator_wish w = o->wish[0];
    memmove(o->wish, o->wish + 1, --o->n_wishes * sizeof w);
    return w;
}

/* Of masters with journal.zk there is no list to keep in order: who is there is there.  Images, and
 * who is to lead. */
static void operator_tick_zk(struct run_operator *o)
{
    o->tidy = true;
    o->lead = lab_run_leader(o->r);
    if (!o->n_wishes)
        return;
    struct operator_wish w = operator_next(o);
    if (w.kind == LAB_FAULT_IMAGE && w.on->master) {
        operator_grant(o, &w);
    } else if (w.kind == LAB_FAULT_MEMBERS && o->lead) {
        struct journal_change c = {.verb = JOURNAL_ELECT,
                                   .id = o->r->nodes[w.chance % o->r->s.masters].id};
        operator_change(o, &c);
    }
}

void lab_run_operator_tick(struct run_operator *o)
{
    if (o->is_calling || sim_now_ns(o->r->sim) < o->until_ns)
        return;
    if (o->r->zk) {
        operator_tick_zk(o);
        return;
    }
    if (!operator_look(o))
        return;
    o->tidy = false;
    if (operator_mend(o))
        return;
    o->tidy = true;
    if (o->n_wishes) {
        struct operator_wish w = operator_next(o);
        o->tidy = false;
        operator_grant(o, &w);
    }
}

void lab_run_operator_wish(struct run_operator *o, enum lab_fault_kind k, struct run_node *on,
                           uint64_t chance)
{
    for (uint32_t i = 0; i < o->n_wishes; i++)
        if (k == LAB_FAULT_WIPE && o->wish[i].kind == k && o->wish[i].on == on)
            return;
    if ((!o->closed || k == LAB_FAULT_WIPE) && o->n_wishes < OPERATOR_WISHES)
        o->wish[o->n_wishes++] = (struct operator_wish){k, on, chance};
    o->tidy = false;
}

void lab_run_operator_close(struct run_operator *o)
{
    o->closed = true;
    o->n_wishes = 0;
    o->tidy = false;
}

bool lab_run_operator_is_tidy(const struct run_operator *o)
{
    return o->tidy;
}

bool lab_run_operator_votes(const struct run_operator *o, uint32_t id)
{
    for (uint32_t i = 0; i < o->view.n; i++)
        if (o->view.member[i].id == id)
            return o->view.member[i].votes;
    return false;
}

void lab_run_operator_say(const struct run_operator *o, char *ret_text, size_t cap)
{
    size_t at = fmt_into(ret_text, cap, "the group of masters is not in order: %s leads%s%s%s; ",
                         o->lead ? sim_node_name(o->lead->node) : "nobody",
                         o->view.lease ? "" : ", without a lease",
                         o->view.is_changing ? ", a change is under way" : "",
                         o->is_calling ? ", a call is out" : "");
    for (uint32_t i = 0; i < o->view.n && at < cap; i++) {
        const struct journal_member *m = &o->view.member[i];
        at += fmt_into(ret_text + at, cap - at, "%u%s%s%s ", m->id, m->votes ? "" : " (no voter)",
                       m->joins ? " (joins)" : "", m->leaving ? " (leaves)" : "");
    }
    if (at < cap)
        fmt_into(ret_text + at, cap - at, "; last asked to %s",
                 o->doing[0] ? o->doing : "do nothing");
}

/* ---- life ---- */

static void operator_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method,
                             const void *body, uint32_t len)
{
    (void)h;
    (void)method;
    (void)body;
    (void)len;
    rpc_reply(t, E_NOTSUP, NULL, 0);
}

static void operator_boot(struct env *e, struct mem *m, void *ctx)
{
    struct run_operator *o = ctx;
    o->env = e;
    o->host.on_call = operator_on_call;
    int err = rpc_host_init(&o->host, e, m, RUN_MASTERS + 1, 4);
    ASSERT(err == 0);
    for (uint32_t i = 0; i < o->r->s.masters; i++)
        rpc_link_init(&o->link[i], &o->host, o->r->nodes[i].addr);
}

struct run_operator *lab_run_operator_open(struct lab_run *r)
{
    struct run_operator *o = mem_zalloc(r->mem, sizeof *o);
    ASSERT(o != NULL);
    o->r = r;
    o->node = sim_node_add(r->sim, "op");
    return o;
}

void lab_run_operator_boot(struct run_operator *o)
{
    sim_node_start(o->node, operator_boot, o);
}
