/* sim/lab_run.c - the course of a run (see sim/lab_run.h). */
#include "sim/lab_run_impl.h"

static const int64_t RUN_LATE_NS = 3000 * 1000000LL;
enum {
    RUN_PAST_BYTES = 1536, /* that one operation adds to the model's past, about */
    RUN_SPARE_TICKS = 20,  /* when the machines have what they begin with */
    RUN_FORGET_TICKS = 8,
    RUN_PEER_BYTES = 128 * 1024
};

static void run_store(struct lab_run *r)
{
    char path[64];
    struct prng p;
    prng_seed(&p, r->seed, "lab_run_store", 0);
    lab_ufs_mkdir(r->ufs, "main");
    for (uint32_t d = 1; d <= r->s.store_dirs; d++) {
        fmt_into(path, sizeof path, "main/d%u", d);
        lab_ufs_mkdir(r->ufs, path);
    }
    for (uint32_t f = 0; f < r->s.store_files; f++) {
        uint32_t d = f % (r->s.store_dirs + 1);
        if (d)
            fmt_into(path, sizeof path, "main/d%u/f%u", d, f);
        else
            fmt_into(path, sizeof path, "main/f%u", f);
        lab_ufs_file(r->ufs, path, prng_below(&p, r->s.store_file_bytes + 1));
    }
}

/* ---- the course ---- */

static void run_success(void *ctx, int64_t at_ns)
{
    struct lab_run *r = ctx;
    uint64_t w = (uint64_t)(at_ns / (RUN_WINDOW_MS * RUN_MS));
    r->core_watch.success_ns = at_ns;
    if (w < r->n_windows)
        r->windows[w] = 1;
    if (!r->healed_ns && at_ns > r->last_fault_end_ns)
        r->healed_ns = at_ns;
}

static void run_next(struct lab_run *r, enum run_phase phase, int64_t for_ns)
{
    r->phase = phase;
    r->phase_until_ns = sim_now_ns(r->sim) + for_ns;
}

/* later than a comparison with the under-store is good for, and leases last */
static void run_look_later(struct lab_run *r)
{
    r->settled_ns = sim_now_ns(r->sim) + r->s.check_interval_ns + r->s.lease_ns;
}

/* The last walk must find what is below.  What a client that died was writing is left as the log
 * has it until its session ends, whatever somebody does to it below: only a look after that tells.
 */
static void run_settle(struct lab_run *r)
{
    run_look_later(r);
    run_next(r, RUN_SETTLE,
             r->settled_ns - sim_now_ns(r->sim) + 2 * r->s.session_ns + r->s.bound_ns);
}

static bool run_is_settled(const struct lab_run *r)
{
    struct meta_stats s;
    meta_stats(lab_check_state(r->check), &s);
    return s.intents == 0;
}

/* the leading master knows of every page that a worker has; or a text that says what is not so */
static bool run_is_reported(struct lab_run *r, char *ret_why, size_t cap)
{
    const struct run_node *lead = lab_run_leader(r);
    int err;
    for (uint32_t i = 0; i < r->n_nodes && lead; i++) {
        const struct run_node *n = &r->nodes[i];
        struct worker_stats s;
        uint64_t pages = 0;
        if (!n->worker || worker_state(n->worker, &err) != WORKER_SERVING)
            continue;
        worker_stats(n->worker, &s);
        if (master_member_pages(lead->master, n->addr, &pages) && pages == s.pages)
            continue;
        fmt_into(ret_why, cap, "%s has %llu pages, the master knows of %llu",
                 sim_node_name(n->node), (unsigned long long)s.pages, (unsigned long long)pages);
        return false;
    }
    return true;
}

/* every master has applied everything, and has the log's state; or a text */
static bool run_is_even(struct lab_run *r, char *ret_why, size_t cap)
{
    for (uint32_t i = 0; i < r->n_nodes && r->oper; i++) {
        const struct run_node *n = &r->nodes[i];
        if (n->role != RUN_MASTER || !n->id)
            continue;
        fmt_into(ret_why, cap, "%s does not run", sim_node_name(n->node));
        if (!n->master ||
            !lab_check_even(r->check, n->observer, master_meta(n->master), ret_why, cap))
            return false;
    }
    return true;
}

static void run_late(struct lab_run *r, const char *what)
{
    lab_check_finding(r->check, LAB_LIVENESS)->checks++;
    lab_check_fail(r->check, LAB_LIVENESS, "%lld ms after everything was healed %s",
                   (long long)((sim_now_ns(r->sim) - r->s.duration_ns) / RUN_MS), what);
    lab_load_judge(r->load);
    run_next(r, RUN_OVER, 0);
}

static void run_drain(struct lab_run *r)
{
    lab_load_stop(r->load);
    run_next(r, RUN_DRAIN, r->s.bound_ns);
}

static void run_course(struct lab_run *r)
{
    int64_t now = sim_now_ns(r->sim);
    bool late = now > r->phase_until_ns, has_core;
    char why[600];
    switch (r->phase) {
    case RUN_LOAD:
        if (now < r->s.duration_ns)
            break;
        lab_nemesis_heal(r);
        has_core = r->s.core && lab_run_core_begin(r);
        if (r->oper)
            lab_run_operator_close(r->oper);
        if (has_core)
            run_next(r, RUN_CORE, r->s.bound_ns);
        else
            run_drain(r);
        break;
    case RUN_CORE:
        if (lab_run_core_serves(r)) {
            lab_check_finding(r->check, LAB_LIVENESS)->checks++;
            lab_run_core_end(r);
            run_drain(r);
        } else if (late) {
            fmt_into(why, sizeof why, "the core does not serve: %s", r->core_text);
            run_late(r, why);
        }
        break;
    case RUN_DRAIN:
        if (lab_load_is_idle(r->load) && (!r->oper || lab_run_operator_is_tidy(r->oper))) {
            run_settle(r);
        } else if (late && lab_load_is_idle(r->load)) {
            lab_run_operator_say(r->oper, why, sizeof why);
            run_late(r, why);
        } else if (late) {
            run_late(r, "requests have not ended");
        }
        break;
    case RUN_SETTLE:
        if (lab_load_ghosts(r->load, lab_check_state(r->check)))
            run_look_later(r);
        if (late)
            run_late(r, "sessions that nobody uses have not ended");
        if (late || now < r->settled_ns)
            break;
        lab_load_probe(r->load);
        run_next(r, RUN_PROBE, r->s.bound_ns);
        break;
    case RUN_PROBE:
        if (lab_load_probes_left(r->load) == 0)
            run_next(r, RUN_QUIET, r->s.bound_ns);
        else if (late)
            run_late(r, "a client's last walk has not ended");
        break;
    case RUN_QUIET:
        if (lab_load_ghosts(r->load, lab_check_state(r->check))) {
            run_settle(r); /* somebody opened his session only for the last walk */
        } else if (run_is_settled(r) && run_is_reported(r, why, sizeof why) &&
                   run_is_even(r, why, sizeof why)) {
            lab_check_finding(r->check, LAB_LIVENESS)->checks++;
            lab_check_end(r->check);
            lab_load_judge(r->load);
            run_next(r, RUN_OVER, 0);
        } else if (late) {
            run_late(r, run_is_settled(r) ? why : "under-store effects are still owed");
        }
        break;
    case RUN_OVER:
        break;
    }
}

/* Blocks that the source of memory keeps for whoever wants one of that size: how many the machines
 * and the under-store have at once is a matter of chance, and grows ever more slowly. */
static void run_spare(struct mem *m)
{
    static const struct {
        uint32_t bytes, n;
    } spare[] = {{MEM_CHUNK, 128}, {2 * MEM_CHUNK, 16}, {65 << 12, 12},
                 {20 * 1024, 32},  {28 * 1024, 32},     {32 * 1024, 32}};
    for (unsigned i = 0; i < ARRAY_LEN(spare); i++) {
        void *block[128];
        for (uint32_t k = 0; k < spare[i].n; k++)
            block[k] = mem_alloc(m, spare[i].bytes);
        for (uint32_t k = 0; k < spare[i].n; k++)
            mem_free(m, block[k], spare[i].bytes);
    }
}

static void run_check_zk(struct lab_run *r)
{
    char why[200];
    lab_check_finding(r->check, LAB_STRUCTURE)->checks++;
    if (!lab_zk_site_check(r->zk, why, sizeof why))
        lab_check_fail(r->check, LAB_STRUCTURE, "the simulated ZooKeeper: %s", why);
}

static void run_tick(struct env_op *op)
{
    struct lab_run *r = container_of(op, struct lab_run, tick);
    lab_run_check_nodes(r);
    lab_load_check(r->load, RUN_LATE_NS);
    if (++r->ticks % 8 == 0)
        lab_check_interval(r->check);
    if (r->ticks % 8 == 0 && r->zk)
        run_check_zk(r);
    if (r->ticks % RUN_FORGET_TICKS == 0)
        lab_check_forget(r->check, lab_load_oldest_ns(r->load));
    if (r->ticks == RUN_SPARE_TICKS)
        run_spare(r->mem);
    if (r->oper)
        lab_run_operator_tick(r->oper);
    run_course(r);
    if (r->phase != RUN_OVER)
        sim_at(r->sim, sim_now_ns(r->sim) + LAB_RUN_TICK_NS, &r->tick);
}

/* ---- from outside ---- */

static void run_raft(void *ctx, const char *what)
{
    lab_check_fail(((struct lab_run *)ctx)->check, LAB_RAFT, "%s", what);
}

static void run_make(struct lab_run *r, sim_log_fn on_log, void *log_ctx)
{
    struct lab_scenario *s = &r->s;
    s->sim.seed = r->seed;
    s->sim.on_log = on_log;
    s->sim.log_ctx = log_ctx;
    if (s->workers + s->clients >
        256) /* a master knows each of them; what is not used costs nothing */
        s->sim.node_mem_bytes += (uint64_t)(s->workers + s->clients) * RUN_PEER_BYTES;
    r->sim = sim_open(r->mem, &s->sim);
    ASSERT(r->sim != NULL);
    s->store.seed = r->seed;
    r->ufs = lab_ufs_open(r->mem, r->sim, &s->store);
    run_store(r);
    bool store_fails = s->store.eio_ppm || s->store.capacity ||
                       lab_chance_has(&s->chances, SIM_CHANCE_STORE_ERROR);
    bool journal_full = false;
    for (uint32_t i = 0; i < s->n_faults; i++) {
        store_fails |= s->faults[i].kind == LAB_FAULT_STORE_OUTAGE ||
                       s->faults[i].kind == LAB_FAULT_STORE_FULL;
        journal_full |= s->faults[i].kind == LAB_FAULT_SHARED_FULL;
    }
    struct lab_check_config cc = {
        .slack_ns = 4 * s->lease_ns + s->session_ns + 5000 * RUN_MS,
        .behind_ns = 2 * s->check_interval_ns + 2 * s->lease_ns + s->load.deadline_ns,
        .told_ns = 2 * s->lease_ns + s->load.deadline_ns,
        .store_fails = store_fails,
        .journal_full = journal_full,
        .is_group = s->masters > 1,
        .operations = lab_scenario_operations(s),
        .recent = lab_scenario_recent(s),
        .limits = lab_scenario_limits(s),
        .store = "main",
    };
    r->check = lab_check_open(r->mem, r->sim, r->ufs, &cc);
    struct lab_raft_config rc = {run_raft, r, &lab_check_finding(r->check, LAB_RAFT)->checks};
    r->raft = s->masters > 1 && !s->journal.zk ? lab_raft_open(r->mem, &rc) : NULL;
    mem_reserve(r->mem, cc.recent * RUN_PAST_BYTES);
    s->load.seed = r->seed;
    s->load.ops = s->ops.op;
    s->load.n_ops = s->ops.n;
    s->load.is_explicit = s->has_ops;
    s->load.client = client_config_default();
    s->load.client.masters = r->masters;
    s->load.client.ufs = s->client_direct ? lab_ufs_factory(r->ufs) : NULL;
    s->load.client.ask_always = s->client_ask_always;
    s->load.client.requests_max = 64;
    s->load.client.cache_entries = 2048;
    s->load.client.readahead_pages = s->readahead_pages;
    s->load.client.buffer_bytes = 16 * s->page_bytes;
    s->load.client.page_cache_bytes = 8 * s->page_bytes;
    r->load = lab_load_open(r->mem, r->sim, r->check, &s->load);
    lab_load_on_success(r->load, run_success, r);
    r->mount = (struct master_mount){.path = "/",
                                     .uri = "sim:main",
                                     .mode = FSOP_MOUNT_THROUGH,
                                     .check_interval_ns = s->check_interval_ns};
}

static void run_begin_zk(struct lab_run *r)
{
    int err = lab_zk_site_begin(r->zk, RUN_CLUSTER, r->seed + 1);
    if (err)
        lab_check_fail(r->check, LAB_STRUCTURE, "the fence cannot be made: %s", err_name(err));
}

struct lab_run *lab_run_open(struct mem *m, const struct lab_scenario *s, uint64_t seed,
                             sim_log_fn on_log, void *log_ctx)
{
    struct lab_run *r = mem_zalloc(m, sizeof *r);
    ASSERT(r != NULL);
    r->mem = m;
    r->s = *s;
    r->seed = seed;
    lab_scenario_draw(&r->s, seed);
    run_make(r, on_log, log_ctx);
    r->max_nodes = s->masters + s->workers + s->clients;
    r->nodes = mem_zalloc(m, r->max_nodes * sizeof *r->nodes);
    ASSERT(r->nodes != NULL);
    for (uint32_t i = 0; i < s->masters; i++)
        lab_run_add(r, RUN_MASTER, i);
    for (uint32_t i = 0; i < s->workers; i++)
        lab_run_add(r, RUN_WORKER, i);
    for (uint32_t i = 0; i < s->clients; i++)
        lab_run_add(r, RUN_CLIENT, i);
    r->n_windows = (uint32_t)(s->duration_ns / (RUN_WINDOW_MS * RUN_MS));
    r->windows = mem_zalloc(m, r->n_windows + 1);
    r->faults = mem_zalloc(m, (r->s.n_faults + 1) * sizeof *r->faults);
    r->events = mem_zalloc(m, (r->s.n_faults + 1) * sizeof *r->events);
    ASSERT(r->windows && r->faults && r->events);
    if (s->masters > 1)
        r->oper = lab_run_operator_open(r);
    if (s->journal.zk)
        r->zk = lab_zk_site_open(m, r->sim, &r->s, seed);
    lab_link_begin(&r->s, r->sim, false);
    lab_chance_begin(r->sim, s->told, s->has_chances ? &s->chances : NULL);
    if (r->zk)
        run_begin_zk(r);
    for (uint32_t i = 0; i < r->n_nodes; i++)
        lab_run_boot(&r->nodes[i]);
    if (r->oper)
        lab_run_operator_boot(r->oper);
    lab_nemesis_open(r);
    r->tick.done = run_tick;
    sim_at(r->sim, LAB_RUN_TICK_NS, &r->tick);
    return r;
}

bool lab_run_go(struct lab_run *r, int64_t until_ns)
{
    while (r->phase != RUN_OVER && (!until_ns || sim_now_ns(r->sim) < until_ns))
        if (!sim_step(r->sim))
            break;
    return r->phase == RUN_OVER;
}

/* windows of the load that are over; a run may be cut short */
static uint32_t run_windows(const struct lab_run *r)
{
    uint64_t n = (uint64_t)(sim_now_ns(r->sim) / (RUN_WINDOW_MS * RUN_MS));
    return n < r->n_windows ? (uint32_t)n : r->n_windows;
}

/* the longest empty stretch of windows that touches [from, to) */
static int64_t run_down_ns(const struct lab_run *r, int64_t from_ns, int64_t to_ns)
{
    int64_t longest = 0;
    uint32_t n = run_windows(r);
    for (uint32_t w = 0; w < n;) {
        uint32_t end = w;
        while (end < n && !r->windows[end])
            end++;
        int64_t a = w * RUN_WINDOW_MS * RUN_MS, b = end * RUN_WINDOW_MS * RUN_MS;
        if (end > w && b > from_ns && a < to_ns && b - a > longest)
            longest = b - a;
        w = end + 1;
    }
    return longest;
}

void lab_run_report(const struct lab_run *r, struct lab_report *ret_rep)
{
    struct lab_report *p = ret_rep;
    struct lab_run *m = (struct lab_run *)(uintptr_t)r;
    memset(p, 0, sizeof *p);
    p->seed = r->seed;
    sim_hash(r->sim, p->hash);
    p->events = sim_events(r->sim);
    p->virtual_ns = sim_now_ns(r->sim);
    p->load_ns = r->s.duration_ns;
    p->windows = run_windows(r);
    for (uint32_t w = 0; w < p->windows; w++)
        p->windows_up += r->windows[w];
    p->longest_down_ns = run_down_ns(r, 0, r->s.duration_ns);
    p->healed_ns = r->healed_ns ? r->healed_ns - r->last_fault_end_ns : -1;
    p->records = lab_check_records(r->check);
    p->repairs = r->repairs;
    p->ended = r->ended;
    p->leaderships = lab_check_leaderships(r->check);
    p->exits = r->exits;
    p->changes = r->changes;
    for (uint32_t i = 0; i < r->s.n_faults; i++) {
        struct lab_run_fault *f = &m->faults[i];
        f->down_ns = run_down_ns(r, f->began_ns, f->began_ns + f->f.for_ns);
    }
    p->drawn = r->s.drawn;
    p->core = r->core_text;
    p->faults = r->faults;
    p->n_faults = r->s.n_faults;
    p->load = lab_load_stats(r->load);
    p->store = lab_ufs_stats(r->ufs);
    p->world = sim_stats(r->sim);
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        p->findings[v] = lab_check_finding(r->check, (enum lab_verdict)v);
}

void lab_run_close(struct lab_run *r)
{
    sim_close(r->sim);
}

struct sim *lab_run_sim(struct lab_run *r)
{
    return r->sim;
}

struct lab_load *lab_run_load(struct lab_run *r)
{
    return r->load;
}

struct lab_check *lab_run_check(struct lab_run *r)
{
    return r->check;
}

void lab_run_vary(struct lab_run *r, uint64_t k)
{
    uint64_t seed = base_mix_u64(r->seed + base_mix_u64(k));
    sim_vary(r->sim, k);
    lab_ufs_vary(r->ufs, seed);
    if (r->zk)
        lab_zk_site_vary(r->zk, seed);
    lab_load_vary(r->load, seed);
}
