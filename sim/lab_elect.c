/* sim/lab_elect.c - see lab_elect.h.
 *
 * Every event of a trial is a driver's event of one simulated world, whose queue orders them; a
 * trial begins when the one before has ended, and what is left of that one does nothing any more.
 * A node's timer is set anew only when it must fire earlier: one that comes too early is put off.
 */
#include "core/prng.h"
#include "journal/raft.h"
#include "sim/lab_elect.h"

#define ELECT_MS 1000000LL

enum { ELECT_MAX = 15, ELECT_ENTRIES = RAFT_BATCH_ENTRIES, ELECT_CHUNK = 256, ELECT_PPM = 1000000 };

enum elect_kind {
    ELECT_TIMER,
    ELECT_ARRIVES,
    ELECT_META,
    ELECT_LOG,
    ELECT_DIES,
    ELECT_STABLE,
    ELECT_LIMIT
};

struct elect_ev {
    struct env_op op;
    struct lab_elect *e;
    uint64_t run;
    enum elect_kind kind;
    uint32_t node;
    uint64_t a, b; /* META: seq; LOG: seq, index; STABLE: term */
    struct raft_message m;
    struct raft_entry entry[ELECT_ENTRIES];
};

struct elect_node {
    struct raft *raft;
    bool alive;
    bool misses; /* the last entry of the one who is about to die */
    int32_t ppm;
    int64_t timer_ns;                 /* of the world; INT64_MAX: none is set */
    int64_t busy_ns, meta_ns, log_ns; /* until when it writes */
    enum raft_role role;
    uint64_t led; /* the last term in which it led */
    uint32_t fetched_n;
    struct raft_entry fetched[ELECT_ENTRIES];
};

struct lab_elect {
    struct mem *mem;
    int64_t k[LAB_ELECT_KEYS];
    uint64_t seed, trial;
    uint64_t runs; /* of trials, so far: what is left of an earlier one is told by that */
    struct sim *sim;
    struct list free;
    struct elect_chunk {
        struct elect_chunk *next;
        struct elect_ev ev[ELECT_CHUNK];
    } * chunks;
    struct prng net, disk, fate;
    int64_t start_ns;  /* of the trial */
    int64_t zero_ns;   /* from when on its time counts */
    uint64_t old_term; /* the highest before that */
    bool counts, over;
    uint32_t leader;  /* who leads by his own word, in the highest term; 0: nobody */
    int64_t since_ns; /* since when, or since when nobody */
    uint32_t dying;   /* whose death is drawn; 0: nobody's */
    int64_t link_ns[ELECT_MAX + 1][ELECT_MAX + 1]; /* when the last one arrives */
    struct raft_conf conf;
    struct elect_node node[ELECT_MAX + 1]; /* by id */
    struct raft_effects fx;
    struct lab_elect_trial t;
};

static int64_t elect_now(const struct lab_elect *e)
{
    return sim_now_ns(e->sim) - e->start_ns;
}

/* ---- clocks: they all show the same when a trial begins ---- */

static int64_t elect_clock(const struct elect_node *n, int64_t world_ns)
{
    return 1 + world_ns * (ELECT_PPM + n->ppm) / ELECT_PPM;
}

static int64_t elect_world(const struct elect_node *n, int64_t clock_ns)
{
    int64_t w = (clock_ns - 1) * ELECT_PPM / (ELECT_PPM + n->ppm);
    while (elect_clock(n, w) < clock_ns)
        w++;
    return w;
}

/* ---- events ---- */

static void elect_event(struct env_op *op);

static struct elect_ev *elect_at(struct lab_elect *e, int64_t world_ns, enum elect_kind kind,
                                 uint32_t node)
{
    if (list_empty(&e->free)) {
        struct elect_chunk *c = mem_zalloc(e->mem, sizeof *c);
        ASSERT(c);
        c->next = e->chunks;
        e->chunks = c;
        for (uint32_t i = 0; i < ELECT_CHUNK; i++)
            list_push_back(&e->free, &c->ev[i].op.link);
    }
    struct elect_ev *ev = container_of(list_pop(&e->free), struct elect_ev, op.link);
    ev->e = e;
    ev->run = e->runs;
    ev->kind = kind;
    ev->node = node;
    ev->a = ev->b = 0;
    ev->op.done = elect_event;
    sim_at(e->sim, e->start_ns + world_ns, &ev->op);
    return ev;
}

static void elect_timer(struct lab_elect *e, uint32_t id)
{
    struct elect_node *n = &e->node[id];
    int64_t at = raft_deadline_ns(n->raft);
    if (at == INT64_MAX)
        return;
    at = elect_world(n, at);
    at = at > elect_now(e) ? at : elect_now(e);
    if (at >= n->timer_ns)
        return;
    n->timer_ns = at;
    elect_at(e, at, ELECT_TIMER, id);
}

/* ---- what a step asks for ---- */

static int64_t elect_write_ns(struct lab_elect *e)
{
    return prng_range(&e->disk, e->k[LAB_ELECT_WRITE_MIN], e->k[LAB_ELECT_WRITE_MAX]);
}

static int64_t elect_later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool elect_is_far(const struct lab_elect *e, uint32_t id)
{
    return id > (uint32_t)(e->k[LAB_ELECT_MEMBERS] - e->k[LAB_ELECT_FAR]);
}

static void elect_send(struct lab_elect *e, struct elect_node *n, const struct raft_message *m)
{
    const int64_t *k = e->k;
    int64_t *link = &e->link_ns[m->from.v][m->to.v];
    int64_t at =
        elect_now(e) + prng_range(&e->net, k[LAB_ELECT_LATENCY_MIN], k[LAB_ELECT_LATENCY_MAX]);
    e->t.messages += e->counts;
    at += elect_is_far(e, m->from.v) ? k[LAB_ELECT_FAR_OUT] : 0;
    at += elect_is_far(e, m->to.v) ? k[LAB_ELECT_FAR_IN] : 0;
    for (int64_t rto = k[LAB_ELECT_RTO];
         k[LAB_ELECT_LOSS_PPM] && prng_chance_ppm(&e->net, (uint32_t)k[LAB_ELECT_LOSS_PPM]);
         rto *= 2) {
        if (!rto || at > k[LAB_ELECT_LIMIT])
            return;
        at += rto;
    }
    if (k[LAB_ELECT_FIFO])
        at = *link = elect_later(at, *link);
    struct elect_node *to = &e->node[m->to.v];
    bool misses = to->misses && m->from.v == e->dying && m->n;
    if (!to->alive || (misses && (!k[LAB_ELECT_LAST_ENTRY] || m->n == 1)))
        return;
    ASSERT(m->n <= ELECT_ENTRIES && !m->conf);
    struct elect_ev *ev = elect_at(e, at, ELECT_ARRIVES, m->to.v);
    ev->m = *m;
    ev->m.n = misses ? m->n - 1 : m->n;
    for (uint32_t i = 0; i < ev->m.n; i++)
        ev->entry[i] = m->fetched ? n->fetched[i] : raft_entry_at(n->raft, m->index + 1 + i);
    ev->m.entry = ev->entry;
}

static void elect_meta(struct lab_elect *e, uint32_t id)
{
    struct elect_node *n = &e->node[id];
    bool is_written = e->k[LAB_ELECT_TERM_FIRST] && !e->fx.meta.vote.v;
    bool for_other = e->fx.meta.vote.v && e->fx.meta.vote.v != id;
    int64_t ns = is_written ? 0 : elect_write_ns(e);
    for (int64_t i = 1; for_other && i < e->k[LAB_ELECT_VOTE_WRITES]; i++)
        ns += elect_write_ns(e);
    e->t.writes += e->counts && !is_written;
    n->meta_ns = elect_later(n->meta_ns, elect_now(e)) + ns;
    if (e->k[LAB_ELECT_BUSY])
        n->busy_ns = n->meta_ns;
    elect_at(e, n->meta_ns, ELECT_META, id)->a = e->fx.meta_seq;
}

/* Somebody began to lead, or ended. */
static void elect_watch(struct lab_elect *e, uint32_t id)
{
    struct elect_node *n = &e->node[id];
    struct raft_status s;
    raft_status(n->raft, &s);
    n->role = s.role;
    int64_t now = elect_now(e);
    if (s.role != RAFT_LEADER) {
        if (e->leader != id)
            return;
        e->leader = 0;
        e->since_ns = now;
        return;
    }
    if (n->led == s.term)
        return;
    ASSERT(n->led < s.term);
    for (uint32_t i = 1; i <= e->conf.n; i++)
        ASSERT(i == id || e->node[i].led != s.term); /* one leader in a term */
    n->led = s.term;
    if (!e->leader && e->counts)
        e->t.away_ns += now - e->since_ns;
    e->leader = id;
    e->since_ns = now;
    if (!e->counts)
        return;
    e->t.leaders++;
    if (e->t.won_ns < 0) {
        e->t.won_ns = now - e->zero_ns;
        e->t.terms = (uint32_t)(s.term - e->old_term);
    }
    if (e->k[LAB_ELECT_STABLE])
        elect_at(e, now + (e->k[LAB_ELECT_STABLE] + 1) * e->k[LAB_ELECT_HEARTBEAT], ELECT_STABLE,
                 id)
            ->a = s.term;
}

static void elect_step(struct lab_elect *e, uint32_t id, struct raft_event *ev);
static void elect_doom(struct lab_elect *e, uint32_t id);

/* A leader takes nothing while it does not know what was committed before it. */
static bool elect_may_append(const struct elect_node *n)
{
    struct raft_status s;
    raft_status(n->raft, &s);
    return s.commit + 1 >= raft_mem_first(n->raft);
}

/* Reading the log takes no time. */
static void elect_fetch(struct lab_elect *e, uint32_t id, struct raft_fetch f)
{
    struct elect_node *n = &e->node[id];
    struct raft_status s;
    raft_status(n->raft, &s);
    struct raft_event ev = {.type = RAFT_FETCHED,
                            .u.fetched = {.id = f.id, .from = f.from, .entry = n->fetched}};
    n->fetched_n = 0;
    for (uint64_t i = f.from; i <= s.last && n->fetched_n < ELECT_ENTRIES; i++)
        n->fetched[n->fetched_n++] =
            i >= raft_mem_first(n->raft)
                ? raft_entry_at(n->raft, i)
                : (struct raft_entry){raft_term_at(n->raft, i), 8, RAFT_DATA};
    ev.u.fetched.n = n->fetched_n;
    elect_step(e, id, &ev);
}

static void elect_step(struct lab_elect *e, uint32_t id, struct raft_event *ev)
{
    struct elect_node *n = &e->node[id];
    struct raft_effects *fx = &e->fx;
    struct raft_fetch fetch[RAFT_MEMBERS_MAX];
    bool more = true, ends = false;
    while (more && n->alive) {
        ev->now_ns = elect_clock(n, elect_now(e));
        raft_step(n->raft, ev, fx);
        ASSERT(fx->ret == 0 || ev->type == RAFT_CAMPAIGN);
        ASSERT(!fx->install && !fx->image_wanted);
        if (fx->save_meta)
            elect_meta(e, id);
        if (fx->cut || fx->store_n) {
            n->log_ns = elect_later(n->log_ns, elect_now(e)) + elect_write_ns(e);
            struct elect_ev *w = elect_at(e, n->log_ns, ELECT_LOG, id);
            w->a = fx->store_seq;
            w->b = fx->store_n ? fx->store_first + fx->store_n - 1 : fx->cut_to;
        }
        uint32_t appends = 0, n_fetches = fx->n_fetches;
        for (uint32_t i = 0; i < fx->n_messages; i++) {
            elect_send(e, n, &fx->message[i]);
            appends += fx->message[i].type == RAFT_MSG_APPEND;
        }
        ends |= ev->type == RAFT_TIME && appends;
        more = fx->more;
        memcpy(fetch, fx->fetch, n_fetches * sizeof *fetch);
        *ev = (struct raft_event){.type = RAFT_TIME};
        for (uint32_t i = 0; i < n_fetches; i++)
            elect_fetch(e, id, fetch[i]);
    }
    elect_watch(e, id);
    elect_timer(e, id);
    if (ends && e->leader == id && !e->dying && !e->counts &&
        e->k[LAB_ELECT_BEGIN] == LAB_ELECT_CRASH &&
        elect_now(e) - e->since_ns >= e->k[LAB_ELECT_WARM] * e->k[LAB_ELECT_HEARTBEAT] &&
        elect_may_append(n))
        elect_doom(e, id);
}

/* A leader that has sent heartbeats long enough dies before its next ones.  With different logs its
 * last entry reaches a bare majority. */
static void elect_doom(struct lab_elect *e, uint32_t id)
{
    static const uint32_t len[] = {8, 8};
    struct raft_event ev = {.type = RAFT_PROPOSE,
                            .u.propose = {1 + (uint32_t)e->k[LAB_ELECT_LAST_ENTRY], len}};
    uint32_t gets = e->conf.n / 2;
    e->dying = id;
    elect_at(e, elect_now(e) + prng_range(&e->fate, 0, e->k[LAB_ELECT_HEARTBEAT]), ELECT_DIES, id);
    if (e->k[LAB_ELECT_LOGS] != LAB_ELECT_LOGS_HALF)
        return;
    for (uint32_t i = 1; i <= e->conf.n; i++)
        if (i != id) {
            e->node[i].misses = gets == 0;
            gets -= gets > 0;
        }
    elect_step(e, id, &ev);
}

/* ---- what happens ---- */

static void elect_count_from_now(struct lab_elect *e)
{
    struct raft_status s;
    e->counts = true;
    e->zero_ns = elect_now(e);
    for (uint32_t i = 1; i <= e->conf.n; i++)
        if (e->node[i].raft) {
            raft_status(e->node[i].raft, &s);
            e->old_term = s.term > e->old_term ? s.term : e->old_term;
        }
}

static void elect_dies(struct lab_elect *e, uint32_t id)
{
    if (e->leader != id) { /* it was deposed in between: the next one */
        e->dying = 0;
        return;
    }
    elect_count_from_now(e);
    e->node[id].alive = false;
    e->leader = 0;
    e->since_ns = elect_now(e);
    if (e->old_term > 2)
        e->t.disturbed = (uint32_t)(e->old_term - 2);
}

/* Has everybody who is alive heard the one who leads? */
static void elect_is_heard(struct lab_elect *e)
{
    struct raft_status s;
    if (!e->counts || !e->leader || e->k[LAB_ELECT_STABLE] ||
        e->k[LAB_ELECT_BEGIN] == LAB_ELECT_CALM)
        return;
    for (uint32_t i = 1; i <= e->conf.n; i++) {
        if (!e->node[i].alive)
            continue;
        raft_status(e->node[i].raft, &s);
        if (s.leader.v != e->leader)
            return;
    }
    e->over = true;
    e->t.ns = elect_now(e) - e->zero_ns;
}

static void elect_limit(struct lab_elect *e)
{
    e->over = true;
    if (e->k[LAB_ELECT_BEGIN] != LAB_ELECT_CALM)
        return;
    uint64_t old = e->old_term;
    elect_count_from_now(e);
    e->t.ns = e->k[LAB_ELECT_LIMIT];
    e->t.disturbed = (uint32_t)(e->old_term - old);
    if (!e->leader)
        e->t.away_ns += elect_now(e) - e->since_ns;
}

static void elect_dispatch(struct lab_elect *e, struct elect_ev *x)
{
    struct elect_node *n = &e->node[x->node];
    struct raft_event ev = {.type = RAFT_TIME};
    struct raft_status s;
    switch (x->kind) {
    case ELECT_TIMER:
        n->timer_ns = INT64_MAX;
        if (raft_deadline_ns(n->raft) > elect_clock(n, elect_now(e)))
            elect_timer(e, x->node);
        else
            elect_step(e, x->node, &ev);
        return;
    case ELECT_ARRIVES:
        ev.type = RAFT_MESSAGE;
        ev.u.message = &x->m;
        elect_step(e, x->node, &ev);
        if (x->m.type == RAFT_MSG_APPEND)
            elect_is_heard(e);
        return;
    case ELECT_META:
        ev.type = RAFT_META_STORED;
        ev.u.seq = x->a;
        elect_step(e, x->node, &ev);
        return;
    case ELECT_LOG:
        ev.type = RAFT_STORED;
        ev.u.stored.seq = x->a;
        ev.u.stored.index = x->b;
        elect_step(e, x->node, &ev);
        return;
    case ELECT_DIES:
        elect_dies(e, x->node);
        return;
    case ELECT_STABLE:
        raft_status(n->raft, &s);
        if (s.role == RAFT_LEADER && s.term == x->a) {
            e->over = true;
            e->t.ns = elect_now(e) - e->zero_ns -
                      (e->k[LAB_ELECT_STABLE] + 1) * e->k[LAB_ELECT_HEARTBEAT];
        }
        return;
    case ELECT_LIMIT:
        elect_limit(e);
        return;
    }
}

/* Must it write the term of that message before it looks at it? */
static bool elect_writes_first(struct lab_elect *e, struct elect_ev *ev)
{
    struct raft_status s;
    if (!e->k[LAB_ELECT_TERM_FIRST] || ev->kind != ELECT_ARRIVES || ev->a)
        return false;
    raft_status(e->node[ev->node].raft, &s);
    ev->a = 1;
    e->t.writes += e->counts && ev->m.term > s.term;
    return ev->m.term > s.term;
}

static void elect_event(struct env_op *op)
{
    struct elect_ev *ev = container_of(op, struct elect_ev, op);
    struct lab_elect *e = ev->e;
    struct elect_node *n = &e->node[ev->node];
    bool is_nodes = ev->kind == ELECT_TIMER || ev->kind == ELECT_ARRIVES;
    if (ev->run == e->runs && !e->over && (n->alive || ev->kind == ELECT_LIMIT)) {
        bool waits = is_nodes && elect_now(e) < n->busy_ns;
        if (!waits && elect_writes_first(e, ev)) {
            n->busy_ns = elect_now(e) + elect_write_ns(e);
            waits = true;
        }
        if (waits) {
            sim_at(e->sim, e->start_ns + n->busy_ns, &ev->op); /* it waits for the disk */
            return;
        }
        elect_dispatch(e, ev);
    }
    list_push_front(&e->free, &ev->op.link);
}

/* ---- a trial ---- */

static struct raft_config elect_config(const struct lab_elect *e, uint32_t id)
{
    const int64_t *k = e->k;
    return (struct raft_config){.self = {id},
                                .seed = base_mix_u64(e->seed ^ base_mix_u64(e->trial)),
                                .heartbeat_ns = k[LAB_ELECT_HEARTBEAT],
                                .promise_ns = k[LAB_ELECT_PROMISE],
                                .suspect_min_ns = k[LAB_ELECT_SUSPECT_MIN],
                                .suspect_max_ns = k[LAB_ELECT_SUSPECT_MAX],
                                .round_min_ns = k[LAB_ELECT_ROUND_MIN],
                                .round_max_ns = k[LAB_ELECT_ROUND_MAX],
                                .drift_ppm = (uint32_t)(2 * k[LAB_ELECT_DRIFT_PPM]),
                                .no_pre_vote = !k[LAB_ELECT_PRE_VOTE],
                                .no_check_quorum = !k[LAB_ELECT_CHECK_QUORUM],
                                .no_asked_rounds = !k[LAB_ELECT_ASKED_ROUNDS],
                                .late_voted = k[LAB_ELECT_GRANTED_TIMER],
                                .late_heard = k[LAB_ELECT_HEARD_TIMER],
                                .no_longer_rounds = !k[LAB_ELECT_LONGER_ROUNDS],
                                .mem_entries = 256,
                                .mem_bytes = 1 << 20,
                                .uncommitted_bytes = 1 << 20,
                                .batch_bytes = 64,
                                .inflight_bytes = 1 << 16,
                                .inflight_messages = 8,
                                .catch_up_rounds = 10};
}

/* how many entries each has: of the first term */
static void elect_logs(struct lab_elect *e, uint32_t last[ELECT_MAX + 1])
{
    uint32_t n = e->conf.n;
    int64_t logs = e->k[LAB_ELECT_BEGIN] == LAB_ELECT_TIMERS ? e->k[LAB_ELECT_LOGS] : 0;
    for (uint32_t i = 1; i <= n; i++) {
        last[i] = logs == LAB_ELECT_LOGS_ALL ? i : 2;
        last[i] -= logs == LAB_ELECT_LOGS_HALF && i > n / 2 + 1;
    }
    for (uint32_t i = n; logs == LAB_ELECT_LOGS_ALL && i > 1; i--) {
        uint32_t j = 1 + (uint32_t)prng_below(&e->fate, i), was = last[i];
        last[i] = last[j];
        last[j] = was;
    }
}

static void elect_begin(struct lab_elect *e)
{
    uint32_t last[ELECT_MAX + 1];
    struct raft_run run = {1, 1};
    int64_t drift = e->k[LAB_ELECT_DRIFT_PPM];
    elect_logs(e, last);
    for (uint32_t i = 1; i <= e->conf.n; i++) {
        struct elect_node *n = &e->node[i];
        *n = (struct elect_node){.timer_ns = INT64_MAX};
        n->ppm = (int32_t)prng_range(&e->fate, -drift, drift);
        if (i > e->conf.n - (uint32_t)e->k[LAB_ELECT_FAILED])
            continue;
        struct raft_config cfg = elect_config(e, i);
        struct raft_start s = {
            .meta = {1, {0}}, .image.conf = &e->conf, .n = last[i], .run = &run, .n_runs = 1};
        n->raft = raft_create(e->mem, &cfg, &s, elect_clock(n, 0));
        ASSERT(n->raft);
        n->alive = true;
        elect_timer(e, i);
    }
    elect_at(e, e->k[LAB_ELECT_LIMIT], ELECT_LIMIT, 1);
    if (e->k[LAB_ELECT_BEGIN] == LAB_ELECT_TIMERS)
        elect_count_from_now(e);
}

/* Member 1 stands as soon as it may; if others were faster, one of them leads. */
static void elect_crown(struct lab_elect *e)
{
    struct elect_node *n = &e->node[1];
    struct raft_event ev = {.type = RAFT_CAMPAIGN};
    sim_run_until(e->sim, e->start_ns + elect_world(n, elect_clock(n, 0) + e->k[LAB_ELECT_PROMISE] +
                                                           ELECT_MS / 1000));
    elect_step(e, 1, &ev);
    if (e->k[LAB_ELECT_BEGIN] != LAB_ELECT_CALM)
        return;
    while (!e->over && (!e->leader || elect_now(e) - e->since_ns < e->k[LAB_ELECT_HEARTBEAT]))
        sim_step(e->sim);
    elect_count_from_now(e);
}

void lab_elect_run(struct lab_elect *e, uint64_t number, struct lab_elect_trial *ret_t)
{
    uint64_t seed = base_mix_u64(e->seed ^ base_mix_u64(number));
    e->trial = number + 1;
    e->runs++;
    prng_seed(&e->net, seed, "net", 0);
    prng_seed(&e->disk, seed, "disk", 0);
    prng_seed(&e->fate, seed, "fate", 0);
    e->t = (struct lab_elect_trial){.ns = -1, .won_ns = -1};
    e->start_ns = sim_now_ns(e->sim);
    e->counts = e->over = false;
    e->leader = e->dying = 0;
    e->old_term = 0;
    e->zero_ns = e->since_ns = 0;
    memset(e->link_ns, 0, sizeof e->link_ns);
    elect_begin(e);
    if (e->k[LAB_ELECT_BEGIN] != LAB_ELECT_TIMERS)
        elect_crown(e);
    while (!e->over && sim_step(e->sim))
        ;
    ASSERT(e->over);
    for (uint32_t i = 1; i <= e->conf.n; i++)
        if (e->node[i].raft) {
            raft_free(e->node[i].raft);
            e->node[i].raft = NULL;
            e->node[i].alive = false;
        }
    *ret_t = e->t;
}

struct lab_elect *lab_elect_open(struct mem *m, const int64_t key[LAB_ELECT_KEYS], uint64_t seed)
{
    struct sim_config cfg = sim_config_quiet(seed);
    struct lab_elect *e = mem_zalloc(m, sizeof *e);
    ASSERT(e);
    e->mem = m;
    memcpy(e->k, key, sizeof e->k);
    e->seed = seed;
    e->sim = sim_open(m, &cfg);
    list_init(&e->free);
    e->conf.n = (uint32_t)e->k[LAB_ELECT_MEMBERS];
    for (uint32_t i = 0; i < e->conf.n; i++)
        e->conf.member[i] = (struct raft_member){.id = {i + 1}, .flags = RAFT_VOTER};
    return e;
}

void lab_elect_hash(const struct lab_elect *e, uint64_t ret[2])
{
    sim_hash(e->sim, ret);
}

uint64_t lab_elect_events(const struct lab_elect *e)
{
    return sim_events(e->sim);
}

void lab_elect_close(struct lab_elect *e)
{
    struct mem *m = e->mem;
    sim_close(e->sim);
    while (e->chunks) {
        struct elect_chunk *c = e->chunks;
        e->chunks = c->next;
        mem_free(m, c, sizeof *c);
    }
    mem_free(m, e, sizeof *e);
}
