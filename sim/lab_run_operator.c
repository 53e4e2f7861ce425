/* sim/lab_run_operator.c - who looks after the group of masters: adds, removes, replaces and elects
 * some as a careful person would, by the calls that `tarn journal` makes.
 *
 *   tick: is a call under way? -> wait for its answer, or until it cannot come true any more
 *         how is the group? (the word of a leader that holds its lease)
 *         put right what is not in order: a member whose disk is lost is replaced or removed; a
 *         machine that shall join is added; one that was removed is stopped
 *         all in order: the next wish
 *
 *  1. A voter's disk is given up only while the group is in order and has three voters or more, and
 *     the next one only when the group has let go of the lost one: what was acknowledged is then
 *     on a majority of those that may vote.
 *  2. No member id is ever given to a second disk.
 *  3. What was asked for and not answered by its deadline may have happened; only the leader's word
 *     a good while after that says.
 *  4. Disks are damaged on the same few masters all through a run, fewer than half of them
 *     (lab_nemesis.c); where some are, no other master's disk is given up, and nobody is removed
 * who would leave so few voters that the damaged ones are not fewer than half of them. */
#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
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

static void operator_change(struct run_operator *o, enum rpc_change_verb verb, uint32_t id,
                            uint32_t new_id, uint32_t priority, const char *addr)
{
    static const char *const names[] = {"add",     "add a learner", "remove",
                                        "replace", "priority",      "elect"};
    int64_t patience_ns = (verb == RPC_CHANGE_ELECT ? 2000 : 4000) * RUN_MS;
    struct rpc_change c = {.verb = verb,
                           .id = id,
                           .new_id = new_id,
                           .priority = priority,
                           .timeout_ns = (uint64_t)patience_ns,
                           .addr = addr,
                           .addr_len = addr ? (uint32_t)strlen(addr) : 0};
    struct wbuf w = wbuf_make(o->body, sizeof o->body);
    rpc_format_change_put(&w, &c);
    ASSERT(!w.bad);
    fmt_into(o->doing, sizeof o->doing, "%s %u, %u", names[verb], id, new_id);
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

static const struct journal_member *operator_in_view(const struct run_operator *o, uint32_t id)
{
    for (uint32_t i = 0; i < o->view.n; i++)
        if (id && o->view.member[i].id == id)
            return &o->view.member[i];
    return NULL;
}

static struct run_node *operator_by_id(const struct run_operator *o, uint32_t id)
{
    for (uint32_t i = 0; i < o->r->s.masters; i++)
        if (o->r->nodes[i].id == id)
            return &o->r->nodes[i];
    return NULL;
}

static uint32_t operator_voters(const struct run_operator *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->view.n; i++)
        n += o->view.member[i].votes;
    return n;
}

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

/* true: something had to be done, and is under way */
static bool operator_mend(struct run_operator *o)
{
    struct run_node *joiner = NULL;
    for (uint32_t i = 0; i < o->r->s.masters; i++) {
        struct run_node *n = &o->r->nodes[i];
        bool in = operator_in_view(o, n->id) != NULL;
        n->was_in |= in;
        if (n->id && !in && n->was_in)
            operator_empty(n);
        else if (n->id && !in && !joiner)
            joiner = n;
    }
    for (uint32_t i = 0; i < o->view.n; i++) {
        uint32_t id = o->view.member[i].id;
        if (operator_by_id(o, id))
            continue;
        if (joiner)
            operator_change(o, RPC_CHANGE_REPLACE, id, joiner->id, 0, joiner->addr);
        else
            operator_change(o, RPC_CHANGE_REMOVE, id, 0, 0, NULL);
        return true;
    }
    if (joiner)
        operator_change(o, RPC_CHANGE_ADD, joiner->id, 0, 0, joiner->addr);
    return joiner != NULL;
}

static uint32_t operator_some_member(const struct run_operator *o, uint64_t chance)
{
    return o->view.n ? o->view.member[chance % o->view.n].id : 0;
}

/* a group of one voter less still stands what is damaged */
static bool operator_may_shrink(const struct run_operator *o)
{
    return operator_voters(o) >= 3 && operator_voters(o) - 1 > 2 * lab_nemesis_damaged(o->r);
}

static void operator_grant_members(struct run_operator *o, uint64_t chance)
{
    struct lab_run *r = o->r;
    uint32_t what = (uint32_t)(chance % 8);
    struct run_node *spare = NULL;
    chance /= 8;
    for (uint32_t i = 0; i < r->s.masters && !spare; i++)
        if (!r->nodes[i].id)
            spare = &r->nodes[i];
    if (what < 3 && spare)
        operator_fresh(spare);
    else if (what < 4 && operator_may_shrink(o))
        operator_change(o, RPC_CHANGE_REMOVE, operator_some_member(o, chance), 0, 0, NULL);
    else if (what == 5)
        operator_change(o, RPC_CHANGE_PRIORITY, operator_some_member(o, chance), 0, chance / 16 % 4,
                        NULL);
    else
        operator_change(o, RPC_CHANGE_ELECT, chance % 5 ? operator_some_member(o, chance) : 0, 0, 0,
                        NULL);
}

static void operator_grant(struct run_operator *o, const struct operator_wish *w)
{
    struct wbuf b = wbuf_make(o->body, sizeof o->body);
    if (w->kind == LAB_FAULT_IMAGE && w->on->master) {
        rpc_format_admin_put(&b, &(struct rpc_admin){.kind = RPC_ADMIN_IMAGE});
        operator_call(o, w->on, RPC_ADMIN, b.len, 500 * RUN_MS);
    } else if (w->kind == LAB_FAULT_WIPE && operator_in_view(o, w->on->id) &&
               operator_voters(o) >= 3) {
        operator_fresh(w->on);
    } else if (w->kind == LAB_FAULT_MEMBERS) {
        operator_grant_members(o, w->chance);
    }
}

/* one that is on its way in and whose disk is lost never comes: it is replaced meanwhile */
static bool operator_is_changing(const struct run_operator *o)
{
    bool changing = o->view.is_changing;
    for (uint32_t i = 0; i < o->view.n; i++) {
        const struct journal_member *m = &o->view.member[i];
        changing |= (m->joins && operator_by_id(o, m->id)) || m->leaving;
    }
    return changing;
}

/* It has no vote yet, so nothing rests on its disk. */
static void operator_give_up_joiner(struct run_operator *o)
{
    for (uint32_t i = 0; i < o->view.n; i++) {
        const struct journal_member *m = &o->view.member[i];
        struct run_node *n = operator_by_id(o, m->id);
        if (n && n->corrupt > 1 && m->joins && !m->votes)
            operator_fresh(n);
    }
}

void lab_run_operator_tick(struct run_operator *o)
{
    if (o->is_calling || sim_now_ns(o->r->sim) < o->until_ns || !operator_look(o))
        return;
    o->tidy = false;
    operator_give_up_joiner(o);
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
