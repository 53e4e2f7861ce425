/* sim/lab_group_load.c - the clients: threads that write, compare and read, one operation at a time
 * each, and ask again, under the same number, until somebody answers or their patience ends. */
#include "sim/lab_group_impl.h"

enum thread_state { THREAD_IDLE, THREAD_WAITS, THREAD_CONNECTS, THREAD_ASKED, THREAD_OVER };

struct group_client;

struct group_thread {
    struct group_client *c;
    struct env_timer timer;
    uint32_t number;
    enum thread_state state;
    uint32_t target, attempts;
    uint64_t seq, floor, seen[GROUP_KEYS];
    int64_t begun_ns, from_ns, until_ns; /* from: of this attempt, of a read */
    bool anywhere;                       /* a read that is asked of anybody */
    struct group_request q;
    struct prng p;
    /* the last look */
    bool probing;
    uint32_t probed; /* members that it has read from */
    uint64_t probe_value;
    /* explicit or recorded: sim/lab_op.h */
    const struct lab_op *op;
    uint32_t next_op, step, record;
};

struct group_client {
    struct group_caller caller;
    struct group_load *l;
    struct group_thread *threads;
    uint32_t n, leader;
};

struct group_load {
    struct lab_group *g;
    struct group_client *clients;
    uint32_t n;
    bool stopped, probing;
};

static const int64_t thread_patience_ns = 5000 * GROUP_MS;

static void thread_wait(struct group_thread *t, int64_t ns)
{
    t->state = THREAD_WAITS;
    env_timer_set(t->c->caller.env, &t->timer, env_now_ns(t->c->caller.env) + ns);
}

static void thread_ask(struct group_thread *t)
{
    struct lab_group *g = t->c->l->g;
    t->attempts++;
    t->q.id = (uint64_t)t->attempts << 32 | t->number;
    if (t->q.verb == GROUP_READ) { /* each attempt is a question of its own */
        t->from_ns = group_now_ns(g);
        t->floor = g->check.floor;
    }
    t->state = lab_group_call(&t->c->caller, t->target, &t->q) ? THREAD_ASKED : THREAD_CONNECTS;
    env_timer_set(t->c->caller.env, &t->timer,
                  env_now_ns(t->c->caller.env) + g->s.journal.attempt_ns);
}

/* ---- explicit operations ---- */

/* the next step of this kind, or NULL */
static const struct lab_step *thread_step(struct group_thread *t, enum lab_step_kind kind)
{
    while (t->op && t->step < t->op->n_steps)
        if (t->op->steps[t->step++].kind == kind)
            return &t->op->steps[t->step - 1];
    return NULL;
}

/* the timer of its next operation; without one it is over */
static void thread_op_wait(struct group_thread *t)
{
    const struct lab_scenario *s = &t->c->l->g->s;
    struct env *e = t->c->caller.env;
    uint32_t client = (uint32_t)(t->c - t->c->l->clients), own = (uint32_t)(t - t->c->threads);
    t->state = THREAD_OVER;
    while (t->next_op < s->ops.n && t->state == THREAD_OVER) {
        const struct lab_op *op = &s->ops.op[t->next_op++];
        if (op->client != client || op->thread != own)
            continue;
        int64_t now = env_now_ns(e), at = sim_clock_at(t->c->caller.node, op->at_ns);
        t->op = op;
        t->step = 0;
        env_timer_set(e, &t->timer, at > now ? at : now);
        t->state = THREAD_IDLE;
    }
}

static void thread_record(struct group_thread *t)
{
    struct lab_group *g = t->c->l->g;
    struct lab_op *o = g->record ? lab_ops_add(g->record) : NULL;
    if (!o)
        return;
    t->record = g->record->n;
    o->at_ns = t->from_ns;
    o->client = (uint32_t)(t->c - t->c->l->clients);
    o->thread = (uint32_t)(t - t->c->threads);
    o->kind = t->q.verb == GROUP_READ  ? LAB_OP_GET
              : t->q.verb == GROUP_CAS ? LAB_OP_CAS
                                       : LAB_OP_SET;
    o->key = (uint32_t)t->q.key;
    o->size = t->q.filling;
}

static void thread_record_step(struct group_thread *t, enum lab_step_kind kind, int64_t wait_ns)
{
    struct lab_step s = {.kind = kind, .off = t->target, .wait_ns = wait_ns};
    if (t->record && !t->probing)
        lab_op_step_add(&t->c->l->g->record->op[t->record - 1], &s);
}

static void thread_next(struct group_thread *t)
{
    struct group_load *l = t->c->l;
    const struct lab_scenario *s = &l->g->s;
    if (l->stopped && !t->probing) {
        t->state = THREAD_OVER;
        return;
    }
    t->op = NULL;
    if (s->has_ops && !t->probing) {
        thread_op_wait(t);
        return;
    }
    thread_wait(t, t->probing ? 1 : 1 + prng_exp(&t->p, s->load.think_ns));
    t->state = THREAD_IDLE;
}

static uint64_t thread_value(const struct group_thread *t)
{
    return (uint64_t)t->number << 32 | t->seq; /* never 0: seq begins with 1 */
}

static void thread_choose(struct group_thread *t)
{
    struct lab_group *g = t->c->l->g;
    const struct lab_scenario *s = &g->s;
    const struct lab_op *o = t->op;
    memset(&t->q, 0, sizeof t->q);
    t->q.client = t->number;
    t->q.key = o ? o->key % s->journal.keys : prng_below(&t->p, s->journal.keys);
    t->anywhere = false;
    if (o ? o->kind == LAB_OP_GET : prng_chance_ppm(&t->p, s->journal.reads_ppm) || g->rests) {
        t->q.verb = GROUP_READ;
        t->anywhere = o ? o->n_steps && o->steps[0].kind == LAB_STEP_ASK
                        : prng_chance_ppm(&t->p, s->journal.standby_ppm);
    } else {
        bool cas = o ? o->kind == LAB_OP_CAS : prng_below(&t->p, 3) == 0;
        t->q.verb = cas ? GROUP_CAS : GROUP_WRITE;
        t->q.seq = ++t->seq;
        t->q.a = cas ? t->seen[t->q.key] : thread_value(t);
        t->q.b = cas ? thread_value(t) : 0;
        if (o)
            t->q.filling = base_min_u64(o->size, s->journal.record_bytes - GROUP_HEAD);
        else if (s->journal.record_bytes > GROUP_HEAD)
            t->q.filling = prng_below(&t->p, s->journal.record_bytes - GROUP_HEAD + 1);
    }
}

/* who watches is told; a: answered */
static void thread_tell(const struct group_thread *t, int phase, const struct group_answer *a)
{
    const struct lab_group *g = t->c->l->g;
    const struct group_request *q = &t->q;
    struct lab_group_op o = {.client = sim_node_name(t->c->caller.node),
                             .what = q->verb == GROUP_READ    ? "read"
                                     : q->verb == GROUP_WRITE ? "write"
                                                              : "cas",
                             .thread = (uint32_t)(t - t->c->threads),
                             .number = t->number,
                             .from_ns = t->begun_ns,
                             .key = q->key,
                             .a = q->a,
                             .b = q->b,
                             .phase = phase,
                             .value = a ? a->value : 0,
                             .index = a ? a->index : 0,
                             .did = a && a->did,
                             .by = sim_node_name(g->node[t->target].node)};
    if (g->watch.on_op)
        g->watch.on_op(g->watch.ctx, group_now_ns(g), &o);
}

static void thread_begin(struct group_thread *t)
{
    struct lab_group *g = t->c->l->g;
    if (t->probing) {
        bool write = t->probed == 0;
        memset(&t->q, 0, sizeof t->q);
        t->q.client = t->number;
        t->q.verb = write ? GROUP_WRITE : GROUP_READ;
        if (write) {
            t->q.seq = ++t->seq;
            t->q.a = t->probe_value = thread_value(t);
        }
        t->anywhere = false;
    } else {
        thread_choose(t);
    }
    const struct lab_step *ask = t->anywhere ? thread_step(t, LAB_STEP_ASK) : NULL;
    if (ask)
        t->target = (uint32_t)(ask->off % g->n_nodes);
    else
        t->target = t->anywhere ? (uint32_t)prng_below(&t->p, g->n_nodes) : t->c->leader;
    t->from_ns = group_now_ns(g);
    if (!t->probing)
        thread_record(t);
    if (t->anywhere)
        thread_record_step(t, LAB_STEP_ASK, 0);
    t->begun_ns = t->from_ns;
    t->until_ns = t->from_ns + thread_patience_ns;
    thread_tell(t, LAB_GROUP_ASKED, NULL);
    t->floor = g->check.floor;
    thread_ask(t);
}

/* the next member that a probe reads from; false: none is left */
static bool thread_probe_on(struct group_thread *t)
{
    struct lab_group *g = t->c->l->g;
    while (t->probed < g->n_nodes && (!g->node[t->probed].id || !g->node[t->probed].m))
        t->probed++;
    return t->probed < g->n_nodes;
}

static void thread_over(struct group_thread *t)
{
    env_timer_stop(t->c->caller.env, &t->timer);
    thread_next(t);
}

/* nobody answered, or not with an answer */
static void thread_again(struct group_thread *t, uint32_t hint)
{
    struct lab_group *g = t->c->l->g;
    env_timer_stop(t->c->caller.env, &t->timer);
    if (group_now_ns(g) >= t->until_ns && !t->probing) {
        if (t->q.verb != GROUP_READ)
            lab_group_check_unknown(g, &t->q, t->from_ns);
        lab_group_note(g, "client %u gives up", t->number);
        thread_tell(t, LAB_GROUP_GIVEN_UP, NULL);
        thread_next(t);
        return;
    }
    if (t->probing && t->q.verb == GROUP_READ)
        t->target = t->probed - 1;
    else if (hint < g->n_nodes)
        t->target = hint;
    else
        t->target = (uint32_t)prng_below(&t->p, g->n_nodes);
    int64_t wait_ns = 1 + prng_exp(&t->p, 10 * GROUP_MS);
    const struct lab_step *again = thread_step(t, LAB_STEP_AGAIN);
    if (again) {
        t->target = (uint32_t)(again->off % g->n_nodes);
        wait_ns = again->wait_ns;
    }
    thread_record_step(t, LAB_STEP_AGAIN, wait_ns);
    thread_wait(t, wait_ns);
}

static void thread_probed(struct group_thread *t, const struct group_answer *a)
{
    struct lab_group *g = t->c->l->g;
    if (t->q.verb == GROUP_READ && a->value != t->probe_value)
        lab_group_fail(g, LAB_GROUP_LIVENESS, "%s does not show what was written last",
                       sim_node_name(g->node[t->probed - 1].node));
    if (!thread_probe_on(t)) {
        t->probing = false;
        t->state = THREAD_OVER;
        return;
    }
    memset(&t->q, 0, sizeof t->q);
    t->q.client = t->number;
    t->q.verb = GROUP_READ;
    t->target = t->probed++;
    t->begun_ns = group_now_ns(g);
    thread_tell(t, LAB_GROUP_ASKED, NULL);
    thread_ask(t);
}

static void thread_answered(struct group_thread *t, const struct group_answer *a)
{
    struct lab_group *g = t->c->l->g;
    struct group_node *led = lab_group_by_id(g, a->leader);
    uint32_t hint = led ? (uint32_t)(led - g->node) : UINT32_MAX;
    if (a->err) {
        thread_again(t, a->err == E_NOT_LEADER && hint != t->target ? hint : UINT32_MAX);
        return;
    }
    lab_group_note(g,
                   "client %u %s key %llu a %llu b %llu seq %llu from %.6f floor %llu: %s index "
                   "%llu value %llu%s",
                   t->number,
                   t->q.verb == GROUP_READ    ? "read"
                   : t->q.verb == GROUP_WRITE ? "write"
                                              : "cas",
                   (unsigned long long)t->q.key, (unsigned long long)t->q.a,
                   (unsigned long long)t->q.b, (unsigned long long)t->q.seq,
                   (double)t->from_ns / 1e9, (unsigned long long)t->floor,
                   sim_node_name(g->node[t->target].node), (unsigned long long)a->index,
                   (unsigned long long)a->value, a->did ? "" : " no");
    thread_tell(t, LAB_GROUP_ANSWERED, a);
    t->seen[t->q.key] = a->value;
    if (t->q.verb == GROUP_READ) {
        lab_group_check_read(g, &t->q, t->from_ns, t->floor, a);
        g->stats.standby_reads += !a->is_leader;
    } else {
        lab_group_check_write(g, &t->q, t->from_ns, t->floor, a);
        lab_group_success(g);
    }
    if (!t->anywhere && a->is_leader)
        t->c->leader = t->target;
    if (t->probing) {
        env_timer_stop(t->c->caller.env, &t->timer);
        thread_probed(t, a);
        return;
    }
    thread_over(t);
}

static void thread_timer(struct env_op *op)
{
    struct group_thread *t = container_of(op, struct group_thread, timer.op);
    if (t->state == THREAD_IDLE)
        thread_begin(t);
    else if (t->state == THREAD_WAITS)
        thread_ask(t);
    else if (t->state != THREAD_OVER)
        thread_again(t, UINT32_MAX);
}

/* ---- a client node ---- */

static struct group_client *client_of(struct group_caller *c)
{
    return container_of(c, struct group_client, caller);
}

static void client_on_answer(struct group_caller *caller, uint32_t from,
                             const struct group_answer *a)
{
    struct group_client *c = client_of(caller);
    (void)from;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->threads[i].q.id == a->id && c->threads[i].state == THREAD_ASKED)
            thread_answered(&c->threads[i], a);
}

static void client_on_line(struct group_caller *caller, uint32_t to, bool up)
{
    struct group_client *c = client_of(caller);
    for (uint32_t i = 0; i < c->n; i++) {
        struct group_thread *t = &c->threads[i];
        if (t->target != to || (t->state != THREAD_CONNECTS && t->state != THREAD_ASKED))
            continue;
        if (up)
            thread_ask(t);
        else
            thread_again(t, UINT32_MAX);
    }
}

static void client_on_boot(struct group_caller *caller)
{
    struct group_client *c = client_of(caller);
    for (uint32_t i = 0; i < c->n; i++)
        thread_next(&c->threads[i]);
}

/* ---- all of them ---- */

struct group_load *lab_group_load_open(struct lab_group *g)
{
    const struct lab_scenario *s = &g->s;
    struct group_load *l = mem_zalloc(g->mem, sizeof *l);
    ASSERT(l != NULL);
    l->g = g;
    l->n = s->clients;
    l->clients = mem_zalloc(g->mem, l->n * sizeof *l->clients);
    ASSERT(l->clients && l->n * s->load.threads < GROUP_CLIENTS);
    for (uint32_t i = 0; i < l->n; i++) {
        struct group_client *c = &l->clients[i];
        char name[32];
        fmt_into(name, sizeof name, "c%u", i + 1);
        c->l = l;
        c->n = s->load.threads;
        c->caller = (struct group_caller){.g = g,
                                          .node = sim_node_add(g->sim, name),
                                          .on_boot = client_on_boot,
                                          .on_answer = client_on_answer,
                                          .on_line = client_on_line};
        c->threads = mem_zalloc(g->mem, c->n * sizeof *c->threads);
        ASSERT(c->threads != NULL);
        for (uint32_t k = 0; k < c->n; k++) {
            struct group_thread *t = &c->threads[k];
            t->c = c;
            t->number = 1 + i * c->n + k;
            t->timer.op.done = thread_timer;
            prng_seed(&t->p, g->seed, "lab_group_load", t->number);
        }
    }
    return l;
}

void lab_group_load_boot(struct group_load *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        lab_group_call_boot(&l->clients[i].caller);
}

void lab_group_load_stop(struct group_load *l)
{
    const int64_t soon_ns =
        1000 * GROUP_MS; /* who thinks already does one more, as if it were drawn */
    l->stopped = true;
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->clients[i].n; k++) {
            struct group_thread *t = &l->clients[i].threads[k];
            if (!t->op || t->state != THREAD_IDLE || t->op->at_ns < group_now_ns(l->g) + soon_ns)
                continue;
            env_timer_stop(t->c->caller.env, &t->timer); /* its next operation is not begun */
            t->state = THREAD_OVER;
        }
}

bool lab_group_load_is_idle(const struct group_load *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->clients[i].n; k++)
            if (l->clients[i].threads[k].state != THREAD_OVER)
                return false;
    return true;
}

static bool thread_is_open(const struct group_thread *t)
{
    return t->state != THREAD_IDLE && t->state != THREAD_OVER;
}

uint64_t lab_group_load_oldest(const struct group_load *l, int64_t ret_from_ns[GROUP_KEYS])
{
    uint64_t floor = UINT64_MAX;
    for (uint32_t k = 0; k < GROUP_KEYS; k++)
        ret_from_ns[k] = INT64_MAX;
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->clients[i].n; k++) {
            const struct group_thread *t = &l->clients[i].threads[k];
            if (!thread_is_open(t))
                continue;
            floor = base_min_u64(floor, t->floor);
            ret_from_ns[t->q.key] = base_min_i64(ret_from_ns[t->q.key], t->from_ns);
        }
    return floor;
}

void lab_group_load_tell_open(struct group_load *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->clients[i].n; k++) {
            const struct group_thread *t = &l->clients[i].threads[k];
            if (thread_is_open(t) && t->q.verb != GROUP_READ)
                lab_group_check_unknown(l->g, &t->q, t->from_ns);
        }
}

void lab_group_load_probe(struct group_load *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        struct group_thread *t = &l->clients[i].threads[0];
        if (i)
            continue;
        t->probing = true;
        t->probed = 0;
        t->timer.op.done = thread_timer;
        thread_next(t);
    }
}

bool lab_group_load_is_probed(const struct group_load *l)
{
    return !l->clients[0].threads[0].probing;
}

void lab_group_load_vary(struct group_load *l, uint64_t seed)
{
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->clients[i].n; k++)
            prng_seed(&l->clients[i].threads[k].p, seed, "lab_group_load",
                      l->clients[i].threads[k].number);
}
