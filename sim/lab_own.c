/* sim/lab_own.c - runs of protocols of one's own (see sim/lab_own.h): a lab_group whose members and
 * clients are somebody else's. */
#include "sim/lab_own.h"
#include <stdarg.h>
#include "sim/lab_group_impl.h"

enum own_state { OWN_IDLE, OWN_ASKED, OWN_OVER };

struct own_client;

struct own_thread {
    struct own_client *c;
    struct env_timer timer;
    struct prng p;
    uint32_t number; /* of all threads, from 1 */
    enum own_state state;
    bool probes;
    uint64_t op; /* under way: its number */
    uint64_t seen[LAB_OWN_MEMO];
    const struct lab_op *given; /* explicit */
    uint32_t next_op;
};

struct own_client {
    struct lab_own_run *r;
    struct lab_own_place place;
    struct sim_node *node;
    struct env *env;
    void *process;
    struct own_thread *threads;
    uint32_t n;
};

struct lab_own_run {
    struct lab_group *g;
    const struct lab_own *own;
    struct lab_own_place servers[GROUP_NODES];
    struct own_client *clients;
    uint32_t n_clients;
    struct lab_own_op *ops;
    uint32_t n_ops, cap_ops;
    bool stopped;
};

/* ---- the protocol ---- */

static const struct lab_own *own_registered;
static const char *own_bug;

void lab_own_register(const struct lab_own *own)
{
    own_registered = own;
}

const struct lab_own *lab_own_registered(void)
{
    return own_registered;
}

bool lab_own_plant(const char *bug)
{
    for (uint32_t i = 0; own_registered && own_registered->bugs && own_registered->bugs[i][0]; i++)
        if (!strcmp(own_registered->bugs[i][0], bug)) {
            own_bug = own_registered->bugs[i][0];
            return true;
        }
    return false;
}

bool lab_own_bug(const char *name)
{
    return own_bug && !strcmp(own_bug, name);
}

const char *lab_own_verdict(const struct lab_scenario *s, unsigned i)
{
    if (!*s->protocol)
        return lab_group_verdict_name((enum lab_group_verdict)i);
    if (i == LAB_GROUP_LIVENESS)
        return "liveness";
    for (unsigned k = 0; own_registered && k <= i && i < LAB_OWN_CHECKS; k++)
        if (!own_registered->checks[k].name)
            return "";
    return own_registered && i < LAB_OWN_CHECKS ? own_registered->checks[i].name : "";
}

bool lab_own_has_fault(enum lab_fault_kind k)
{
    return k != LAB_FAULT_IMAGE && k != LAB_FAULT_MEMBERS && k != LAB_FAULT_SIEGE &&
           k != LAB_FAULT_USURP && k != LAB_FAULT_BLACKOUT && k != LAB_FAULT_ROT &&
           k < LAB_FAULT_STORE_CHANGE;
}

/* ---- checkers ---- */

static struct lab_finding *own_finding(struct lab_own_run *r, const char *check)
{
    for (unsigned i = 0; i < LAB_OWN_CHECKS; i++)
        if (!strcmp(lab_own_verdict(&r->g->s, i), check))
            return &r->g->check.findings[i];
    ASSERT(!"a check of the protocol");
    return NULL;
}

void lab_own_checked(struct lab_own_run *r, const char *check, uint64_t n)
{
    own_finding(r, check)->checks += n;
}

void lab_own_fail(struct lab_own_run *r, const char *check, int64_t at_ns, const char *format, ...)
{
    struct lab_finding *f = own_finding(r, check);
    bool is_first = !f->failures;
    va_list args;
    va_start(args, format);
    lab_group_finding(r->g, f, check, format, args);
    va_end(args);
    if (is_first && at_ns)
        f->at_ns = at_ns;
}

const struct lab_own_op *lab_own_history(const struct lab_own_run *r, uint32_t *ret_n)
{
    *ret_n = r->n_ops;
    return r->ops;
}

struct lab_wgl_op *lab_own_wgl(struct lab_own_run *r, uint32_t *ret_n)
{
    struct lab_wgl_op *ops = mem_zalloc(r->g->mem, (r->n_ops + 1) * sizeof *ops);
    ASSERT(ops != NULL);
    for (uint32_t i = 0; i < r->n_ops; i++) {
        const struct lab_own_op *o = &r->ops[i];
        bool known = o->to_ns != INT64_MAX, did = o->state != LAB_OWN_FAILED;
        struct lab_wgl_op *w = &ops[i];
        *w = (struct lab_wgl_op){.key = o->key, .from = o->from_ns, .to = o->to_ns, .tag = i};
        w->a = o->kind == LAB_OP_GET ? o->value : o->a;
        w->b = o->b;
        if (o->kind == LAB_OP_GET)
            w->f = known && did ? LAB_WGL_READ : LAB_WGL_DROPPED;
        else if (o->kind == LAB_OP_SET)
            w->f = did ? LAB_WGL_WRITE : LAB_WGL_DROPPED;
        else
            w->f = !known ? LAB_WGL_CAS_MAYBE : did ? LAB_WGL_CAS : LAB_WGL_CAS_FAILED;
    }
    *ret_n = r->n_ops;
    return ops;
}

struct mem *lab_own_mem(struct lab_own_run *r)
{
    return r->g->mem;
}

static struct lab_own_op *own_op_add(struct lab_own_run *r)
{
    if (r->n_ops == r->cap_ops) {
        uint32_t cap = r->cap_ops ? 2 * r->cap_ops : 1024;
        struct lab_own_op *to = mem_zalloc(r->g->mem, cap * sizeof *to);
        ASSERT(to != NULL);
        if (r->n_ops)
            memcpy(to, r->ops, r->n_ops * sizeof *to);
        mem_free(r->g->mem, r->ops, r->cap_ops * sizeof *to);
        r->ops = to;
        r->cap_ops = cap;
    }
    struct lab_own_op *op = &r->ops[r->n_ops++];
    op->number = r->n_ops;
    return op;
}

/* ---- threads of clients ---- */

static void own_tell(const struct own_thread *t, const struct lab_own_op *op)
{
    struct lab_group *g = t->c->r->g;
    struct lab_group_op o = {.client = sim_node_name(t->c->node),
                             .what = op->kind == LAB_OP_GET   ? "read"
                                     : op->kind == LAB_OP_CAS ? "cas"
                                                              : "write",
                             .thread = op->thread,
                             .number = t->number,
                             .from_ns = op->from_ns,
                             .key = op->key,
                             .a = op->a,
                             .b = op->b,
                             .phase = op->state == LAB_OWN_OPEN      ? LAB_GROUP_ASKED
                                      : op->state == LAB_OWN_UNKNOWN ? LAB_GROUP_GIVEN_UP
                                                                     : LAB_GROUP_ANSWERED,
                             .value = op->value,
                             .did = op->state == LAB_OWN_OK,
                             .index = op->number,
                             .by = g->s.protocol};
    static const char *const states[] = {"begins", "is done", "has failed", "has no answer"};
    lab_group_note(g, "%s.%u %s key %u a %llu b %llu value %llu, number %llu, %s", o.client,
                   o.thread, o.what, op->key, (unsigned long long)op->a, (unsigned long long)op->b,
                   (unsigned long long)op->value, (unsigned long long)op->number,
                   states[op->state]);
    if (g->watch.on_op)
        g->watch.on_op(g->watch.ctx, group_now_ns(g), &o);
}

static void own_record(const struct own_thread *t, const struct lab_own_op *op)
{
    struct lab_group *g = t->c->r->g;
    struct lab_op *o = g->record && !t->probes ? lab_ops_add(g->record) : NULL;
    if (!o)
        return;
    o->at_ns = op->from_ns;
    o->client = op->client;
    o->thread = op->thread;
    o->kind = op->kind;
    o->key = op->key;
}

/* the timer of its next explicit operation; without one it is over */
static void own_wait_given(struct own_thread *t)
{
    const struct lab_scenario *s = &t->c->r->g->s;
    t->state = OWN_OVER;
    while (t->next_op < s->ops.n && t->state == OWN_OVER) {
        const struct lab_op *op = &s->ops.op[t->next_op++];
        if (op->client != t->c->place.index || op->thread != (uint32_t)(t - t->c->threads))
            continue;
        int64_t now = env_now_ns(t->c->env), at = sim_clock_at(t->c->node, op->at_ns);
        t->given = op;
        t->state = OWN_IDLE;
        env_timer_set(t->c->env, &t->timer, at > now ? at : now);
    }
}

static void own_next(struct own_thread *t)
{
    const struct lab_scenario *s = &t->c->r->g->s;
    t->given = NULL;
    t->op = 0;
    if (t->probes || t->c->r->stopped) {
        t->probes = false;
        t->state = OWN_OVER;
        return;
    }
    if (s->has_ops) {
        own_wait_given(t);
        return;
    }
    t->state = OWN_IDLE;
    env_timer_set(t->c->env, &t->timer,
                  env_now_ns(t->c->env) + 1 + prng_exp(&t->p, s->load.think_ns));
}

static void own_begin(struct own_thread *t)
{
    struct lab_own_run *r = t->c->r;
    const struct lab_scenario *s = &r->g->s;
    if (r->stopped && !t->probes) {
        t->state = OWN_OVER;
        return;
    }
    struct lab_own_op *op = own_op_add(r);
    op->client = t->c->place.index;
    op->thread = (uint32_t)(t - t->c->threads);
    if (t->given) {
        op->kind = t->given->kind;
        op->key = t->given->key;
    } else {
        r->own->draw(&t->p, s, op);
    }
    op->key %= s->journal.keys;
    op->from_ns = group_now_ns(r->g);
    op->to_ns = INT64_MAX;
    op->a = op->kind == LAB_OP_SET   ? op->number
            : op->kind == LAB_OP_CAS ? t->seen[op->key % LAB_OWN_MEMO]
                                     : 0;
    op->b = op->kind == LAB_OP_CAS ? op->number : 0;
    t->op = op->number;
    t->state = OWN_ASKED;
    own_record(t, op);
    own_tell(t, op);
    if (!t->probes)
        env_timer_set(t->c->env, &t->timer, env_now_ns(t->c->env) + s->load.deadline_ns);
    struct lab_own_op copy = *op; /* the list may move */
    r->own->begin(t->c->process, &copy);
}

static void own_ended(struct own_thread *t, enum lab_own_state state, uint64_t value)
{
    struct lab_own_run *r = t->c->r;
    struct lab_own_op *op = &r->ops[t->op - 1];
    env_timer_stop(t->c->env, &t->timer);
    op->state = state;
    op->value = value;
    if (state == LAB_OWN_UNKNOWN) {
        r->g->stats.unanswered++;
    } else {
        op->to_ns = group_now_ns(r->g);
        t->seen[op->key % LAB_OWN_MEMO] = op->kind == LAB_OP_SET ? op->a : value;
        *(op->kind == LAB_OP_GET ? &r->g->stats.reads : &r->g->stats.writes) += 1;
        lab_group_success(r->g);
    }
    own_tell(t, op);
    own_next(t);
}

void lab_own_end(struct lab_own_place *at, uint64_t number, enum lab_own_state state,
                 uint64_t value)
{
    ASSERT(at->is_client && state != LAB_OWN_OPEN);
    struct own_client *c = container_of(at, struct own_client, place);
    for (uint32_t i = 0; i < c->n && number; i++)
        if (c->threads[i].op == number)
            own_ended(&c->threads[i], state, value);
}

static void own_timer(struct env_op *op)
{
    struct own_thread *t = container_of(op, struct own_thread, timer.op);
    if (t->state == OWN_IDLE)
        own_begin(t);
    else if (t->state == OWN_ASKED)
        own_ended(t, LAB_OWN_UNKNOWN, 0);
}

static void own_boot_client(struct env *e, struct mem *m, void *ctx)
{
    struct own_client *c = ctx;
    c->env = e;
    c->place.env = e;
    c->place.mem = m;
    c->process = c->r->own->client(&c->place);
    for (uint32_t i = 0; i < c->n; i++)
        own_next(&c->threads[i]);
}

/* ---- machines ---- */

void lab_own_boot(struct env *e, struct mem *m, void *ctx)
{
    struct group_node *n = ctx;
    struct lab_own_run *r = n->g->own;
    struct lab_own_place *at = &r->servers[n - n->g->node];
    at->env = e;
    at->mem = m;
    r->own->server(at);
}

void lab_own_exit(struct lab_own_place *at)
{
    ASSERT(!at->is_client);
    lab_group_exit(&at->run->g->node[at->index]);
}

void lab_own_flip(struct group_event *e)
{
    struct sim_node *n = e->on->node;
    const char *file = NULL;
    uint64_t k = 0;
    for (const char *f = ""; (f = sim_disk_next(n, f));)
        if (sim_disk_size(n, f) > 0 && !lab_group_chance(e, ++k))
            file = f;
    if (!file)
        return;
    uint64_t at = lab_group_chance(e, (uint64_t)sim_disk_size(n, file));
    lab_group_note(e->g, "%s: '%s' is damaged at %llu", sim_node_name(n), file,
                   (unsigned long long)at);
    sim_disk_flip(n, file, at, (unsigned)lab_group_chance(e, 8));
}

static void own_add_client(struct lab_own_run *r, uint32_t i)
{
    struct own_client *c = &r->clients[i];
    const struct lab_scenario *s = &r->g->s;
    char name[32];
    fmt_into(name, sizeof name, "c%u", i + 1);
    c->r = r;
    c->place = (struct lab_own_place){.run = r, .s = s, .index = i, .is_client = true};
    c->node = sim_node_add(r->g->sim, name);
    c->n = s->load.threads;
    c->threads = mem_zalloc(r->g->mem, c->n * sizeof *c->threads);
    ASSERT(c->threads != NULL);
    for (uint32_t k = 0; k < c->n; k++) {
        struct own_thread *t = &c->threads[k];
        t->c = c;
        t->number = 1 + i * c->n + k;
        t->timer.op.done = own_timer;
        prng_seed(&t->p, r->g->seed, "lab_own", t->number);
    }
}

void lab_own_open(struct lab_group *g)
{
    struct lab_own_run *r = mem_zalloc(g->mem, sizeof *r);
    ASSERT(r && own_registered); /* lab_scenario_check has seen to it */
    g->own = r;
    r->g = g;
    r->own = own_registered;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        r->servers[i] = (struct lab_own_place){.run = r, .s = &g->s, .index = i};
    r->n_clients = g->s.clients;
    r->clients = mem_zalloc(g->mem, r->n_clients * sizeof *r->clients);
    ASSERT(r->clients != NULL);
    for (uint32_t i = 0; i < r->n_clients; i++)
        own_add_client(r, i);
}

void lab_own_begin(struct lab_group *g)
{
    for (uint32_t i = 0; i < g->own->n_clients; i++)
        sim_node_start(g->own->clients[i].node, own_boot_client, &g->own->clients[i]);
}

void lab_own_vary(struct lab_group *g, uint64_t seed)
{
    for (uint32_t i = 0; i < g->own->n_clients; i++)
        for (uint32_t k = 0; k < g->own->clients[i].n; k++) {
            struct own_thread *t = &g->own->clients[i].threads[k];
            prng_seed(&t->p, seed, "lab_own", t->number);
        }
}

/* ---- the course ---- */

static struct own_thread *own_busy(struct lab_own_run *r)
{
    for (uint32_t i = 0; i < r->n_clients; i++)
        for (uint32_t k = 0; k < r->clients[i].n; k++)
            if (r->clients[i].threads[k].state != OWN_OVER)
                return &r->clients[i].threads[k];
    return NULL;
}

static void own_stop(struct lab_own_run *r)
{
    r->stopped = true;
    for (uint32_t i = 0; i < r->n_clients; i++)
        for (uint32_t k = 0; k < r->clients[i].n; k++) {
            struct own_thread *t = &r->clients[i].threads[k];
            if (t->state == OWN_IDLE) {
                env_timer_stop(t->c->env, &t->timer);
                t->state = OWN_OVER;
            }
        }
}

static void own_probe(struct lab_own_run *r)
{
    for (uint32_t i = 0; i < r->n_clients; i++)
        for (uint32_t k = 0; k < r->clients[i].n; k++) {
            struct own_thread *t = &r->clients[i].threads[k];
            t->probes = true;
            t->given = NULL;
            t->state = OWN_IDLE;
            env_timer_set(t->c->env, &t->timer, env_now_ns(t->c->env) + 1);
        }
}

static void own_over(struct lab_own_run *r, bool late)
{
    struct own_thread *t = own_busy(r);
    struct lab_group *g = r->g;
    g->check.findings[LAB_GROUP_LIVENESS].checks++;
    if (late && t)
        lab_group_fail(g, LAB_GROUP_LIVENESS,
                       "%lld ms after everything was healed %s.%u has no answer (operation %llu)",
                       (long long)((group_now_ns(g) - g->s.duration_ns) / GROUP_MS),
                       sim_node_name(t->c->node), (uint32_t)(t - t->c->threads),
                       (unsigned long long)t->op);
    for (unsigned i = 0; i < LAB_OWN_CHECKS && r->own->checks[i].name; i++)
        if (r->own->checks[i].judge)
            r->own->checks[i].judge(r);
    g->phase = GROUP_OVER;
}

void lab_own_course(struct lab_group *g)
{
    struct lab_own_run *r = g->own;
    int64_t now = group_now_ns(g);
    if (g->phase == GROUP_LOAD && now >= g->s.duration_ns) {
        lab_group_note(g, "everything is healed");
        lab_group_nemesis_heal(g);
        own_stop(r);
        g->phase = GROUP_DRAIN;
        g->phase_until_ns = now + g->s.bound_ns + g->s.load.deadline_ns;
    } else if (g->phase == GROUP_DRAIN && !own_busy(r)) {
        own_probe(r);
        g->phase = GROUP_PROBE;
        g->phase_until_ns = now + g->s.bound_ns;
    } else if (g->phase == GROUP_PROBE && !own_busy(r)) {
        own_over(r, false);
    } else if (g->phase != GROUP_LOAD && now > g->phase_until_ns) {
        own_over(r, true);
    }
}
