/* sim/sim.c - the event queue, nodes and their processes, the run loop, the trace. */
#include "core/mutant.h"
#include "sim/sim_internal.h"

__extension__ typedef unsigned __int128 sim_u128;

/* ---- memory ---- */

void *sim_alloc(struct sim *s, size_t n)
{
    void *p = mem_zalloc(s->mem, n);
    ASSERT(p);
    return p;
}

void sim_free(struct sim *s, void *p, size_t n)
{
    mem_free(s->mem, p, n);
}

static void *sim_grow(struct sim *s, void *old, uint32_t *cap, uint32_t n, size_t each)
{
    if (n < *cap)
        return old;
    uint32_t to = *cap ? *cap * 2 : 64;
    void *p = sim_alloc(s, to * each);
    if (old)
        memcpy(p, old, *cap * each);
    sim_free(s, old, *cap * each);
    *cap = to;
    return p;
}

/* Node memory is filled, so that reading fresh memory is at least the same in every run; large
 * blocks are zero already (see sim_open) and stay untouched, for a node's buffers are mostly idle.
 */
static void *sim_node_get(void *ctx, size_t n)
{
    struct sim_node *node = ctx;
    struct mem_source *src = &node->sim->mem->source;
    void *p = src->get(src->ctx, n);
    if (p && n < SIM_ZEROED_MIN)
        memset(p, 0xa5, n);
    return p;
}

static void sim_node_put(void *ctx, void *p, size_t n)
{
    struct sim_node *node = ctx;
    struct mem_source *src = &node->sim->mem->source;
    src->put(src->ctx, p, n);
}

/* ---- the queue ---- */

/* without a branch, for which of four comes first is anybody's guess */
static bool sim_before(const struct sim_heap_entry *a, const struct sim_heap_entry *b)
{
    return ((sim_u128)(uint64_t)a->at_ns << 64 | a->seq) <
           ((sim_u128)(uint64_t)b->at_ns << 64 | b->seq);
}

static void sim_heap_put(struct sim *s, uint32_t i, struct sim_heap_entry x)
{
    s->heap[i] = x;
    s->pos[x.id] = i + 1;
}

static void sim_heap_up(struct sim *s, uint32_t i, struct sim_heap_entry x)
{
    while (i > 0 && sim_before(&x, &s->heap[(i - 1) / 4])) {
        sim_heap_put(s, i, s->heap[(i - 1) / 4]);
        i = (i - 1) / 4;
    }
    sim_heap_put(s, i, x);
}

static void sim_heap_down(struct sim *s, uint32_t i, struct sim_heap_entry x)
{
    for (;;) {
        uint32_t first = 4 * i + 1, best = 0;
        uint32_t end = first + 4 < s->n_heap ? first + 4 : s->n_heap;
        const struct sim_heap_entry *least = &x;
        for (uint32_t c = first; c < end; c++)
            if (sim_before(&s->heap[c], least)) {
                best = c;
                least = &s->heap[c];
            }
        if (!best)
            break;
        sim_heap_put(s, i, *least);
        i = best;
    }
    sim_heap_put(s, i, x);
}

void sim_ev_unqueue(struct sim *s, struct sim_ev *ev)
{
    if (ev->held) {
        list_remove(&ev->hold);
        ev->held = false;
    }
    if (!s->pos[ev->id])
        return;
    uint32_t i = s->pos[ev->id] - 1;
    ASSERT(i < s->n_heap && s->heap[i].id == ev->id);
    s->pos[ev->id] = 0;
    struct sim_heap_entry last = s->heap[--s->n_heap];
    if (last.id == ev->id)
        return;
    if (i > 0 && sim_before(&last, &s->heap[(i - 1) / 4]))
        sim_heap_up(s, i, last);
    else
        sim_heap_down(s, i, last);
}

void sim_ev_at(struct sim *s, struct sim_ev *ev, int64_t at_ns)
{
    sim_ev_unqueue(s, ev);
    s->heap = sim_grow(s, s->heap, &s->cap_heap, s->n_heap, sizeof *s->heap);
    ev->at_ns = at_ns > s->now_ns ? at_ns : s->now_ns;
    ev->seq = ++s->seq;
    if ((ev->kind == SIM_EV_TIMER) != MUTANT(RAFT_TIMER_FIRST))
        ev->seq |= 1ULL << 63;
    if (ev->kind == SIM_EV_LEAVE)
        ev->seq |= 3ULL << 62;
    struct sim_heap_entry x = {ev->at_ns, ev->seq, ev->id};
    sim_heap_up(s, s->n_heap++, x);
}

struct sim_ev *sim_ev_new(struct sim *s, struct sim_node *owner, enum sim_ev_kind kind)
{
    if (list_empty(&s->free_evs)) {
        uint32_t cap = s->cap_chunks;
        s->pos = sim_grow(s, s->pos, &cap, s->n_chunks, SIM_EV_CHUNK * sizeof *s->pos);
        s->chunks = sim_grow(s, s->chunks, &s->cap_chunks, s->n_chunks, sizeof(*s->chunks));
        struct sim_ev *c = sim_alloc(s, SIM_EV_CHUNK * sizeof *c);
        for (uint32_t i = 0; i < SIM_EV_CHUNK; i++) {
            c[i].id = s->n_chunks * SIM_EV_CHUNK + i;
            list_push_back(&s->free_evs, &c[i].link);
        }
        s->chunks[s->n_chunks++] = c;
    }
    struct sim_ev *ev = container_of(s->free_evs.next, struct sim_ev, link);
    list_remove(&ev->link);
    uint32_t id = ev->id;
    memset(ev, 0, sizeof *ev);
    ev->id = id;
    ev->kind = (uint8_t)kind;
    ev->node = ev->turn = owner;
    list_push_back(owner ? &owner->evs : &s->world_evs, &ev->link);
    return ev;
}

void sim_ev_free(struct sim *s, struct sim_ev *ev)
{
    ASSERT(ev->kind != SIM_EV_FREE);
    sim_ev_unqueue(s, ev);
    list_remove(&ev->link);
    if (ev->counted)
        sim_disk_io_uncount(s, ev);
    ev->kind = SIM_EV_FREE;
    list_push_front(&s->free_evs, &ev->link);
}

bool sim_ev_hold(struct sim_node *n, struct sim_ev *ev)
{
    if (!n->paused && !n->stalled && !n->waits)
        return false;
    ASSERT(!sim_ev_is_queued(n->sim, ev) && !ev->held);
    ev->held = true;
    list_push_back(&n->held, &ev->hold);
    return true;
}

static struct sim_ev *sim_ev_by_id(struct sim *s, uint64_t id)
{
    return id / SIM_EV_CHUNK < s->n_chunks ? &s->chunks[id / SIM_EV_CHUNK][id % SIM_EV_CHUNK]
                                           : NULL;
}

/* ---- ops ---- */

int64_t sim_submit_ns(struct sim_node *n)
{
    ASSERT(n->up); /* a call through the env of a dead process */
    if (n->stall_armed && n->sim->turn == n && n->stall_after-- == 0) {
        n->stall_armed = false;
        n->lag_ns = n->stall_ns;
        sim_record(n->sim, n, SIM_K_PAUSE, 2, (uint64_t)n->lag_ns);
    }
    return n->sim->now_ns + n->lag_ns;
}

struct sim_ev *sim_op_begin(struct sim_node *n, struct env_op *op, enum sim_ev_kind kind)
{
    struct sim_ev *old = sim_ev_by_id(n->sim, op->impl[0]);
    ASSERT(!old || old->kind == SIM_EV_FREE || old->op != op); /* submitted twice */
    struct sim_ev *ev = sim_ev_new(n->sim, n, kind);
    ev->op = op;
    op->impl[0] = ev->id;
    return ev;
}

void sim_op_finish(struct sim *s, struct sim_ev *ev, int64_t ret)
{
    struct env_op *op = ev->op;
    ASSERT(s->running); /* completions come from the queue alone */
    sim_ev_free(s, ev);
    op->ret = ret;
    ASSERT(op->done);
    op->done(op);
}

void sim_op_later(struct sim *s, struct sim_ev *ev, int64_t ret, int64_t at_ns)
{
    ev->kind = SIM_EV_OP;
    ev->ret = ret;
    sim_ev_at(s, ev, at_ns);
}

static struct sim_node *sim_node_of(struct env *e)
{
    return container_of(e, struct sim_node, env);
}

static void sim_vt_log(struct env *e, enum env_log level, const char *line)
{
    struct sim_node *n = sim_node_of(e);
    if (n->sim->cfg.on_log)
        n->sim->cfg.on_log(n->sim->cfg.log_ctx, n->sim->now_ns, n, level, line);
}

static void sim_vt_post(struct env *e, struct env_op *op)
{
    struct sim_node *n = sim_node_of(e);
    int64_t at_ns = sim_submit_ns(n);
    sim_op_later(n->sim, sim_op_begin(n, op, SIM_EV_OP), op->ret, at_ns);
}

static void sim_vt_work(struct env *e, struct env_op *op, void (*fn)(struct env_op *op))
{
    struct sim_node *n = sim_node_of(e);
    int64_t at_ns = sim_submit_ns(n);
    struct sim_ev *ev = sim_op_begin(n, op, SIM_EV_WORK);
    memcpy(&ev->a, &fn, sizeof ev->a);
    sim_ev_at(n->sim, ev, at_ns);
}

static void sim_work_event(struct sim *s, struct sim_ev *ev)
{
    if (ev->stage == 0) {
        void (*fn)(struct env_op * op);
        memcpy(&fn, &ev->a, sizeof fn);
        struct sim_node *turn = s->turn;
        s->turn = NULL; /* fn runs on another thread */
        fn(ev->op);
        s->turn = turn;
        ev->stage = 1;
        sim_ev_at(s, ev, s->now_ns + s->cfg.work_ns);
        return;
    }
    sim_record(s, ev->node, SIM_K_WORK, (uint64_t)ev->op->ret, 0);
    sim_op_finish(s, ev, ev->op->ret);
}

static const struct env_vt sim_vt = {
    .now_ns = sim_clock_vt_now,
    .clock_ns = sim_clock_vt_clock,
    .wall_ns = sim_clock_vt_wall,
    .random = sim_clock_vt_random,
    .fault = sim_fault_vt,
    .log = sim_vt_log,
    .timer_set = sim_clock_vt_timer_set,
    .timer_stop = sim_clock_vt_timer_stop,
    .post = sim_vt_post,
    .work = sim_vt_work,
    .open = sim_disk_io_open,
    .close = sim_disk_io_close,
    .read = sim_disk_io_read,
    .write = sim_disk_io_write,
    .sync = sim_disk_io_sync,
    .resize = sim_disk_io_resize,
    .punch = sim_disk_io_punch,
    .rename = sim_disk_io_rename,
    .unlink = sim_disk_io_unlink,
    .list = sim_disk_io_list,
    .listen = sim_conn_listen,
    .unlisten = sim_conn_unlisten,
    .connect = sim_conn_connect,
    .send = sim_conn_send,
    .backlog = sim_conn_backlog,
    .hangup = sim_conn_hangup,
    .adopt = sim_conn_adopt,
    .share = sim_rma_share,
    .revoke = sim_rma_revoke,
    .rma = sim_rma_submit,
};

/* ---- the world ---- */

struct sim *sim_open(struct mem *m, const struct sim_config *cfg)
{
    struct sim *s = mem_zalloc(m, sizeof *s);
    ASSERT(s);
    s->mem = m;
    s->cfg = *cfg;
    const struct sim_serve_config *c = &cfg->serve;
    s->serves = c->cores || c->turn_ns || c->send_ns || c->receive_ns || c->io_ns || c->byte_ps ||
                c->wake_ns;
    list_init(&s->free_evs);
    list_init(&s->world_evs);
    list_init(&s->shared);
    prng_seed(&s->driver, cfg->seed, "driver", 0);
    prng_seed(&s->stall, cfg->seed, "stall", 0);
    s->hash[0] = base_mix_u64(cfg->seed + 1);
    s->hash[1] = base_mix_u64(cfg->seed ^ 0x7461726eULL);
    sim_net_open_world(s);
    return s;
}

void sim_close(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_nodes; i++)
        sim_node_crash(s->nodes[i]);
    sim_shared_close_world(s);
    sim_rma_close_world(s);
    sim_net_close_world(s);
    sim_chance_close_world(s);
    for (uint32_t i = 0; i < s->n_nodes; i++) {
        sim_disk_close_world(s->nodes[i]);
        sim_serve_close(s->nodes[i]);
        sim_free(s, s->nodes[i]->regions, s->nodes[i]->cap_regions * sizeof *s->nodes[i]->regions);
        sim_free(s, s->nodes[i], sizeof *s->nodes[i]);
    }
    for (uint32_t i = 0; i < s->n_chunks; i++)
        sim_free(s, s->chunks[i], SIM_EV_CHUNK * sizeof **s->chunks);
    sim_free(s, s->pos, (size_t)s->cap_chunks * SIM_EV_CHUNK * sizeof *s->pos);
    sim_free(s, s->chunks, s->cap_chunks * sizeof(*s->chunks));
    sim_free(s, s->heap, s->cap_heap * sizeof *s->heap);
    sim_free(s, s->nodes, s->cap_nodes * sizeof(*s->nodes));
    mem_free(s->mem, s, sizeof *s);
}

int64_t sim_now_ns(const struct sim *s)
{
    return s->now_ns;
}

/* what came while the node stood still comes now, its timers last */
void sim_node_release(struct sim_node *n)
{
    if (n->paused || n->stalled || n->waits)
        return;
    n->released_ns = n->sim->now_ns;
    while (!list_empty(&n->held)) {
        struct sim_ev *ev = container_of(n->held.next, struct sim_ev, hold);
        sim_ev_at(n->sim, ev, n->sim->now_ns);
    }
}

static void sim_node_go_on(struct sim_node *n)
{
    if (n->paused || n->stalled)
        return;
    sim_record(n->sim, n, SIM_K_PAUSE, 0, 0);
    sim_node_release(n);
}

static void sim_dispatch(struct sim *s, struct sim_ev *ev)
{
    struct sim_node *n = ev->node;
    switch ((enum sim_ev_kind)ev->kind) {
    case SIM_EV_BOOT:
        sim_ev_free(s, ev);
        if (n->boot)
            n->boot(&n->env, &n->mem, n->boot_ctx);
        break;
    case SIM_EV_TIMER:
        sim_clock_timer_event(s, ev);
        break;
    case SIM_EV_OP:
        sim_record(s, n, SIM_K_OP, (uint64_t)ev->ret, 0);
        sim_op_finish(s, ev, ev->ret);
        break;
    case SIM_EV_WORK:
        sim_work_event(s, ev);
        break;
    case SIM_EV_DRIVER:
        sim_record(s, NULL, SIM_K_DRIVER, 0, 0);
        sim_op_finish(s, ev, 0);
        break;
    case SIM_EV_RESUME: {
        struct sim_node *who = ev->a;
        bool same = who->up && who->incarnation == ev->x;
        sim_ev_free(s, ev);
        if (same) {
            who->stalled = false;
            sim_node_go_on(who);
        }
        break;
    }
    case SIM_EV_DISK:
        sim_disk_io_event(s, ev);
        break;
    case SIM_EV_SHARED:
    case SIM_EV_LANDS:
        sim_shared_event(s, ev);
        break;
    case SIM_EV_LEAVE:
        sim_serve_event(s, ev);
        break;
    case SIM_EV_RMA:
    case SIM_EV_GHOST:
    case SIM_EV_REVOKE:
        sim_rma_event(s, ev);
        break;
    case SIM_EV_SYN:
    case SIM_EV_ACCEPT:
    case SIM_EV_DIR:
    case SIM_EV_CLOSE:
    case SIM_EV_UNACKED:
    case SIM_EV_RST:
    case SIM_EV_KNOCK:
        sim_conn_event(s, ev);
        break;
    case SIM_EV_FREE:
        ASSERT(!"a free event in the queue");
    }
}

/* The end of a node's turn: the deaths it asked for, or a stall that began inside it. */
static void sim_turn_end(struct sim *s, struct sim_node *n)
{
    s->turn = NULL;
    if (n->lag_ns > 0 && !n->serves) {
        struct sim_ev *ev = sim_ev_new(s, NULL, SIM_EV_RESUME);
        ev->a = n;
        ev->x = n->incarnation;
        n->stalled_until_ns = s->now_ns + n->lag_ns;
        sim_ev_at(s, ev, n->stalled_until_ns);
        n->lag_ns = 0;
        n->stalled = true;
    }
    for (uint32_t i = 0; s->dooms && i < s->n_nodes; i++) {
        uint8_t doomed = s->nodes[i]->doomed;
        s->nodes[i]->doomed = 0;
        if (doomed == 2)
            sim_node_power_loss(s->nodes[i]);
        else if (doomed)
            sim_node_crash(s->nodes[i]);
    }
    s->dooms = false;
}

/* does n stop in the middle of its turn? */
static void sim_turn_chance(struct sim *s, struct sim_node *n)
{
    struct sim_hit hit = {.kind = SIM_CHANCE_TURN_STALL};
    bool drawn = prng_chance_ppm(&s->stall, s->cfg.stall_ppm);
    if (drawn) {
        hit.n = prng_below(&s->stall, 4); /* one draw a statement: in order */
        hit.for_ns = prng_exp(&s->stall, s->cfg.stall_mean_ns);
    }
    if (sim_chance(s, n, NULL, drawn, &hit))
        sim_node_stall(n, (uint32_t)hit.n, hit.for_ns);
}

bool sim_step(struct sim *s)
{
    ASSERT(!s->running);
    sim_conn_flush(s);
    if (!s->n_heap || s->halted)
        return false;
    struct sim_ev *ev = sim_ev_by_id(s, s->heap[0].id);
    ASSERT(ev->at_ns >= s->now_ns);
    s->now_ns = ev->at_ns;
    sim_ev_unqueue(s, ev);
    struct sim_node *n = ev->turn;
    if (n && (sim_ev_hold(n, ev) || (s->serves && !sim_serve_begin(n, ev))))
        return true;
    s->events++;
    s->running = true;
    s->turn = n;
    if (n && (s->cfg.stall_ppm || s->chance))
        sim_turn_chance(s, n);
    sim_dispatch(s, ev);
    sim_conn_flush(s);
    if (n)
        sim_turn_end(s, n);
    s->running = false;
    return true;
}

void sim_run_until(struct sim *s, int64_t t_ns)
{
    sim_conn_flush(s);
    while (s->n_heap && s->heap[0].at_ns <= t_ns)
        sim_step(s);
    if (t_ns > s->now_ns)
        s->now_ns = t_ns;
}

static void sim_run_op_done(struct env_op *op)
{
    op->impl[5] = 1;
}

int64_t sim_run_op(struct sim *s, struct env_op *op, int64_t timeout_ns)
{
    int64_t until_ns = s->now_ns + timeout_ns;
    void (*done)(struct env_op * op) = op->done;
    op->done = sim_run_op_done;
    op->impl[5] = 0;
    sim_conn_flush(s);
    while (!op->impl[5] && s->n_heap && s->heap[0].at_ns <= until_ns)
        sim_step(s);
    if (!op->impl[5]) {
        sim_run_until(s, until_ns);
        return E_TIMEOUT;
    }
    op->done = done;
    return op->ret;
}

void sim_at(struct sim *s, int64_t t_ns, struct env_op *op)
{
    struct sim_ev *ev = sim_ev_new(s, NULL, SIM_EV_DRIVER);
    ev->op = op;
    sim_ev_at(s, ev, t_ns);
}

void sim_halt(struct sim *s)
{
    s->halted = true;
}

void sim_vary(struct sim *s, uint64_t k)
{
    uint64_t seed = base_mix_u64(s->cfg.seed + base_mix_u64(k));
    prng_seed(&s->driver, seed, "driver", 0);
    prng_seed(&s->stall, seed, "stall", 0);
    prng_seed(&s->net.prng, seed, "net", 0);
    prng_seed(&s->net.raw, seed, "raw", 0);
    for (uint32_t i = 0; i < s->n_nodes; i++) { /* clocks go on as they run */
        prng_seed(&s->nodes[i]->random, seed, "node", i);
        prng_seed(&s->nodes[i]->fault, seed, "fault", i);
        prng_seed(&s->nodes[i]->disk.prng, seed, "disk", i);
    }
    sim_shared_vary(s, seed);
}

uint64_t sim_random(struct sim *s, uint64_t bound)
{
    return prng_below(&s->driver, bound);
}

/* ---- nodes ---- */

struct sim_node *sim_node_add(struct sim *s, const char *name)
{
    ASSERT(name[0] && strlen(name) < sizeof s->nodes[0]->name && !strchr(name, ':'));
    ASSERT(!sim_node_find(s, name));
    struct sim_node *n = sim_alloc(s, sizeof *n);
    s->nodes = sim_grow(s, s->nodes, &s->cap_nodes, s->n_nodes, sizeof(*s->nodes));
    n->env.vt = &sim_vt;
    n->sim = s;
    n->id = s->n_nodes;
    n->powered = true;
    memcpy(n->name, name, strlen(name) + 1);
    list_init(&n->evs);
    list_init(&n->held);
    list_init(&n->mounts);
    list_init(&n->ends);
    list_init(&n->listeners);
    sim_serve_open(n);
    prng_seed(&n->random, s->cfg.seed, "node", n->id);
    prng_seed(&n->fault, s->cfg.seed, "fault", n->id);
    prng_seed(&n->clock, s->cfg.seed, "clock", n->id);
    sim_clock_boot(n, true);
    sim_disk_open_world(n);
    s->nodes[s->n_nodes++] = n;
    return n;
}

struct sim_node *sim_node_find(struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_nodes; i++)
        if (!strcmp(s->nodes[i]->name, name))
            return s->nodes[i];
    return NULL;
}

struct sim_node *sim_node_at(struct sim *s, uint32_t id)
{
    return id < s->n_nodes ? s->nodes[id] : NULL;
}

uint32_t sim_node_count(const struct sim *s)
{
    return s->n_nodes;
}

const char *sim_node_name(const struct sim_node *n)
{
    return n->name;
}

uint32_t sim_node_id(const struct sim_node *n)
{
    return n->id;
}

bool sim_node_is_up(const struct sim_node *n)
{
    return n->up;
}

uint32_t sim_node_incarnation(const struct sim_node *n)
{
    return n->incarnation;
}

struct env *sim_node_up(struct sim_node *n)
{
    ASSERT(!n->up);
    if (!n->powered)
        sim_clock_boot(n, true);
    n->up = n->powered = true;
    n->paused = n->stalled = n->stall_armed = false;
    n->lag_ns = 0;
    n->incarnation++;
    size_t zeroed_min = n->sim->mem->source.zeroed_min ? SIM_ZEROED_MIN : 0;
    mem_init(&n->mem, (struct mem_source){sim_node_get, sim_node_put, n, zeroed_min},
             n->sim->cfg.node_mem_bytes);
    sim_record(n->sim, n, SIM_K_BOOT, n->incarnation, 0);
    return &n->env;
}

void sim_node_start(struct sim_node *n, void (*boot)(struct env *e, struct mem *m, void *ctx),
                    void *ctx)
{
    sim_node_up(n);
    n->boot = boot;
    n->boot_ctx = ctx;
    sim_ev_at(n->sim, sim_ev_new(n->sim, n, SIM_EV_BOOT), n->sim->now_ns);
}

struct env *sim_env(struct sim_node *n)
{
    ASSERT(n->up);
    return &n->env;
}

struct mem *sim_mem(struct sim_node *n)
{
    ASSERT(n->up);
    return &n->mem;
}

static void sim_node_die(struct sim_node *n, bool power)
{
    struct sim *s = n->sim;
    if (s->turn) {
        n->doomed = power || n->doomed == 2 ? 2 : 1;
        s->dooms = true;
        return;
    }
    if (power)
        n->powered = false;
    else if (!n->up)
        return;
    sim_record(s, n, SIM_K_CRASH, power, n->incarnation);
    sim_serve_end(n);
    sim_conn_flush(s);
    sim_disk_io_crash(n);
    sim_shared_crash(n, power);
    if (power)
        sim_disk_lose(n);
    sim_conn_crash(n, power);
    while (!list_empty(&n->evs))
        sim_ev_free(s, container_of(n->evs.next, struct sim_ev, link));
    if (n->up)
        mem_drop(&n->mem);
    n->up = n->paused = n->stalled = n->stall_armed = false;
    n->lag_ns = 0;
    n->boot = NULL;
    sim_rma_crash(n);
}

void sim_node_crash(struct sim_node *n)
{
    sim_node_die(n, false);
}

void sim_node_power_loss(struct sim_node *n)
{
    sim_node_die(n, true);
}

void sim_node_pause(struct sim_node *n)
{
    if (n->up && !n->paused) {
        n->paused = true;
        sim_record(n->sim, n, SIM_K_PAUSE, 1, 0);
    }
}

void sim_node_resume(struct sim_node *n)
{
    if (!n->paused)
        return;
    n->paused = false;
    sim_node_go_on(n);
}

void sim_stalls_end(struct sim *s)
{
    s->cfg.stall_ppm = 0;
    for (uint32_t i = 0; i < s->n_nodes; i++) {
        struct sim_node *n = s->nodes[i];
        n->stall_armed = false;
        if (!n->up || !n->stalled || n->serves) /* of who serves it says that a turn is going on */
            continue;
        n->stalled = false;
        sim_node_go_on(n);
        list_each(it, &n->evs) { /* what the turn posted after it stood still: before later posts */
            struct sim_ev *ev = list_entry(it, struct sim_ev, link);
            if ((ev->kind == SIM_EV_OP || ev->kind == SIM_EV_WORK) && !ev->held &&
                ev->at_ns == n->stalled_until_ns)
                sim_ev_at(s, ev, s->now_ns);
        }
    }
}

void sim_node_stall(struct sim_node *n, uint32_t after_submits, int64_t dur_ns)
{
    if (!n->up || n->lag_ns || n->stalled)
        return;
    n->stall_armed = true;
    n->stall_after = after_submits;
    n->stall_ns = dur_ns > 1 ? dur_ns : 1;
}

void sim_node_wipe(struct sim_node *n)
{
    ASSERT(!n->up);
    sim_disk_close_world(n);
    sim_disk_open_world(n);
}

/* ---- the trace ---- */

void sim_record(struct sim *s, const struct sim_node *n, enum sim_kind kind, uint64_t a, uint64_t b)
{
    struct sim_trace *t = &s->ring[s->n_trace++ % SIM_RING];
    *t = (struct sim_trace){s->now_ns, n ? n->id : UINT32_MAX, (uint32_t)kind, a, b, s->since_ns};
    s->stats.kinds[kind]++;
    sim_hash_words(s->hash, (uint64_t)t->at_ns, (uint64_t)t->node << 32 | t->kind, a, b);
    if (s->trace_fn)
        s->trace_fn(s->trace_ctx, t);
}

int64_t sim_draw_ns(struct prng *p, int64_t min_ns, int64_t mean_ns)
{
    return min_ns + (mean_ns > min_ns ? prng_exp(p, mean_ns - min_ns) : 0);
}

int64_t sim_transfer_ns(uint64_t bytes, uint64_t bytes_per_s)
{
    if (!bytes_per_s)
        return 0;
    ASSERT(bytes < UINT64_MAX / 1000000000ULL);
    return (int64_t)(bytes * 1000000000ULL / bytes_per_s);
}

void sim_hash(const struct sim *s, uint64_t ret[2])
{
    ret[0] = base_mix_u64(s->hash[0] ^ base_mix_u64(s->hash[1]) ^ s->n_trace);
    ret[1] = base_mix_u64(s->hash[1] + ret[0]);
}

uint64_t sim_events(const struct sim *s)
{
    return s->events;
}

const struct sim_trace *sim_trace_back(const struct sim *s, uint64_t i)
{
    if (i >= s->n_trace || i >= SIM_RING)
        return NULL;
    return &s->ring[(s->n_trace - 1 - i) % SIM_RING];
}

void sim_trace_hook(struct sim *s, void (*fn)(void *ctx, const struct sim_trace *t), void *ctx)
{
    s->trace_fn = fn;
    s->trace_ctx = ctx;
}

const char *sim_kind_name(enum sim_kind k)
{
    static const char *const names[] = {"none", "boot",   "crash",  "pause", "timer", "op",
                                        "work", "driver", "frames", "open",  "close", "rma",
                                        "disk", "sector", "fault",  "net",   "clock"};
    return (unsigned)k < ARRAY_LEN(names) ? names[k] : "?";
}

const struct sim_stats *sim_stats(const struct sim *s)
{
    return &s->stats;
}
