/* sim/lab_run_node.c - the machines of a run, and their own checks (see sim/lab_run.h).
 *
 * Of several masters each is a member of one group, by the Raft journal or by that with ZooKeeper.
 * One whose journal failed because its disk was made to fail ends, and starts again a little later;
 * one that cannot start because its disk is damaged gets an empty one and another number, from the
 * operator. */
#include "sim/lab_run_impl.h"

/* ---- machines ---- */

static struct journal_raft node_raft(const struct run_node *n)
{
    const struct lab_scenario *s = &n->r->s;
    struct journal_raft c = journal_config_default().raft;
    c.id = n->id;
    c.members = n->founder ? n->r->members : NULL;
    c.join = n->joins;
    c.heartbeat_ns = s->journal.heartbeat_ns;
    c.promise_ns = s->journal.promise_ns;
    c.suspect_min_ns = s->journal.suspect_min_ns;
    c.suspect_max_ns = s->journal.suspect_max_ns;
    c.drift_ppm = lab_scenario_belief_ppm(s);
    c.keep_entries = s->journal.keep_entries;
    c.watch = n->watch;
    return c;
}

static void node_boot_master(struct env *e, struct mem *m, void *ctx)
{
    struct run_node *n = ctx;
    struct lab_run *r = n->r;
    struct master_config cfg = master_config_default();
    bool ok = true;
    cfg.listen = n->addr;
    cfg.journal.dir = "journal";
    cfg.journal.segment_bytes = r->s.segment_bytes;
    cfg.journal.image_after_bytes = r->s.image_after_bytes;
    if (r->zk)
        ok = lab_zk_site_mount(r->zk, n->node, e, m, n->id, n->addr, &cfg.journal);
    else if (r->oper)
        cfg.journal.raft = node_raft(n);
    bool is_new = r->oper ? !n->joins : lab_check_records(r->check) == 0;
    if (is_new) { /* as an operator formats it: once; who joins takes what it is told */
        cfg.journal.cluster_hi = RUN_CLUSTER;
        cfg.journal.cluster_lo = r->seed + 1;
    }
    cfg.limits = lab_scenario_limits(&r->s);
    cfg.mounts = &r->mount;
    cfg.n_mounts = 1;
    cfg.ufs = lab_ufs_factory(r->ufs);
    cfg.page_bytes = r->s.page_bytes;
    cfg.stripe_bytes = 4 * r->s.page_bytes;
    cfg.lease_ns = r->s.lease_ns;
    cfg.session_ns = r->s.session_ns;
    cfg.requests_max = 512;
    cfg.clients_max = 256 + 2 * (r->s.workers + r->s.clients);
    cfg.observer = n->observer;
    lab_check_starts(n->observer);
    if (n->watch)
        lab_raft_starts(n->watch);
    n->is_handing = n->has_served = false;
    int err = ok ? master_open(e, m, &cfg, &n->master) : E_NOMEM;
    if (err)
        lab_check_fail(r->check, LAB_STRUCTURE, "%s: master_open: %s", sim_node_name(n->node),
                       err_name(err));
}

static void node_boot_worker(struct env *e, struct mem *m, void *ctx)
{
    struct run_node *n = ctx;
    struct lab_run *r = n->r;
    struct worker_config cfg = worker_config_default();
    cfg.listen = cfg.advertise = n->addr;
    cfg.host = sim_node_name(n->node);
    cfg.masters = r->masters;
    cfg.dir = "cache";
    cfg.capacity_bytes = r->s.capacity_bytes;
    cfg.ufs = lab_ufs_factory(r->ufs);
    cfg.requests_max = 128;
    cfg.buffer_bytes = 32 * r->s.page_bytes;
    cfg.page_cache_bytes = 6 * r->s.page_bytes;
    int err = worker_open(e, m, &cfg, &n->worker);
    if (err)
        lab_check_fail(r->check, LAB_STRUCTURE, "%s: worker_open: %s", sim_node_name(n->node),
                       err_name(err));
}

void lab_run_boot(struct run_node *n)
{
    if (n->r->oper && n->role == RUN_MASTER && (n->down || !n->id || sim_node_is_up(n->node)))
        return;
    if (n->role == RUN_MASTER)
        sim_node_start(n->node, node_boot_master, n);
    else if (n->role == RUN_WORKER)
        sim_node_start(n->node, node_boot_worker, n);
    else
        lab_load_boot(n->r->load, n->node);
}

void lab_run_down(struct run_node *n, void (*how)(struct sim_node *n))
{
    if (n->paused)
        sim_node_resume(n->node);
    n->paused = false;
    how(n->node);
    n->master = NULL;
    n->worker = NULL;
    if (n->role == RUN_CLIENT)
        lab_load_crashed(n->r->load, n->node);
}

struct run_node *lab_run_node(struct lab_run *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_nodes; i++)
        if (!strcmp(sim_node_name(r->nodes[i].node), name))
            return &r->nodes[i];
    return NULL;
}

struct run_node *lab_run_leader(struct lab_run *r)
{
    struct run_node *best = NULL;
    uint64_t highest = 0;
    struct journal_status s;
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        if (!r->nodes[i].master)
            continue;
        master_journal_status(r->nodes[i].master, &s);
        if (s.role != JOURNAL_LEADER || s.epoch < highest)
            continue;
        highest = s.epoch;
        best = &r->nodes[i];
    }
    return best;
}

static void node_add_member(struct run_node *n)
{
    struct lab_run *r = n->r;
    size_t at = strlen(r->members);
    n->id = ++r->next_id;
    n->founder = n->was_in = true;
    fmt_into(r->members + at, sizeof r->members - at, "%s%u@%s", at ? "," : "", n->id, n->addr);
}

static void node_again(struct env_op *op);

void lab_run_add(struct lab_run *r, enum run_role role, uint32_t number)
{
    ASSERT(r->n_nodes < r->max_nodes);
    struct run_node *n = &r->nodes[r->n_nodes++];
    char name[32];
    fmt_into(name, sizeof name, "%c%u", "mwc"[role], number + 1);
    n->r = r;
    n->role = role;
    n->node = sim_node_add(r->sim, name);
    if (role == RUN_MASTER && number && r->s.together)
        sim_node_together(n->node, sim_node_find(r->sim, "m1"));
    fmt_into(n->addr, sizeof n->addr, "%s:%u", name, role == RUN_MASTER ? 7400u : 7401u);
    if (role == RUN_MASTER) {
        size_t at = strlen(r->masters);
        fmt_into(r->masters + at, sizeof r->masters - at, "%s%s", at ? "," : "", n->addr);
        n->observer = lab_check_observer(r->check, name);
        n->watch = r->raft ? lab_raft_member(r->raft, sim_node_name(n->node)) : NULL;
        n->again.done = node_again;
        if (!r->s.journal.members || number < r->s.journal.members)
            node_add_member(n);
    }
    if (role == RUN_CLIENT)
        lab_load_add(r->load, n->node);
}

/* ---- their own checks ---- */

static void node_again(struct env_op *op)
{
    struct run_node *n = container_of(op, struct run_node, again);
    n->is_ending = false;
    n->down--;
    lab_run_boot(n);
}

/* The process of one of several masters has ended; it starts again a little later. */
static void node_exit(struct run_node *n)
{
    n->r->exits++;
    n->is_ending = true;
    n->down++;
    lab_run_down(n, sim_node_crash);
    sim_at(n->r->sim, sim_now_ns(n->r->sim) + 700 * RUN_MS, &n->again);
}

/* What a single master keeps is kept nowhere else: a start from a damaged disk may say so, and that
 * is the end of the run.  What was answered before was judged. */
static bool node_is_lost(const struct run_node *n, int why)
{
    return !n->r->oper && n->flipped && !n->has_served && (why == E_CORRUPT || why == E_IO);
}

static void node_failed(struct run_node *n, int why)
{
    struct lab_run *r = n->r;
    if (node_is_lost(n, why)) {
        fmt_into(r->ended, sizeof r->ended, "%s cannot start from its damaged disk: %s",
                 sim_node_name(n->node), err_name(why));
        r->phase = RUN_OVER;
        return;
    }
    bool excused = sim_now_ns(r->sim) <= n->excused_until_ns ||
                   (r->zk && lab_zk_site_excuses(r->zk, n->node, why)) ||
                   ((why == E_CORRUPT || why == E_IO) && n->flipped) ||
                   (why == E_NOSPC && sim_now_ns(r->sim) <= n->full_until_ns);
    if (!r->oper || !excused) {
        lab_check_fail(r->check, LAB_LIVENESS, "%s: the master failed: %s", sim_node_name(n->node),
                       err_name(why));
        return;
    }
    /* A write or sync that failed says nothing about what is there: a disk that nobody damages
     * starts again, as often as it takes.  To give it up beside a damaged one could be one too
     * many (lab_run_operator.c, 3). */
    bool passes = why == E_IO && !n->flipped;
    n->corrupt = why == E_CORRUPT || (why == E_IO && !passes) ? n->corrupt + 1 : 0;
    if (n->corrupt > 1)
        lab_run_operator_wish(r->oper, LAB_FAULT_WIPE, n, 0);
    if (!n->is_ending && !n->paused)
        node_exit(n);
}

/* What a worker with a damaged directory asks of the operator. */
static void node_repair(struct run_node *n)
{
    n->r->repairs++;
    n->flipped = false;
    lab_run_down(n, sim_node_crash);
    sim_node_wipe(n->node);
    lab_run_boot(n);
}

/* A worker's files stay within its limit, but for maps, what is under way and what it is about to
 * clear after a start. */
static bool node_check_disk(const struct run_node *n, char *err_text, size_t cap)
{
    int err;
    uint64_t used = sim_disk_used(n->node), most = n->r->s.capacity_bytes;
    most += most / 2 + 40 * n->r->s.page_bytes;
    if (used <= most || worker_state(n->worker, &err) != WORKER_SERVING)
        return true;
    fmt_into(err_text, cap, "%llu bytes on disk, the cache may have %llu", (unsigned long long)used,
             (unsigned long long)n->r->s.capacity_bytes);
    return false;
}

void lab_run_check_nodes(struct lab_run *r)
{
    struct lab_finding *f = lab_check_finding(r->check, LAB_STRUCTURE);
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        struct run_node *n = &r->nodes[i];
        char why[256] = "";
        int err = 0;
        bool ok = true;
        f->checks++;
        enum master_state state = n->master ? master_state(n->master, &err) : MASTER_STOPPED;
        if (state == MASTER_FAILED)
            node_failed(n, err);
        else if (state == MASTER_SERVING)
            ok = master_check(n->master,
                              r->phase != RUN_LOAD ||
                                  lab_check_is_due(master_meta(n->master), &n->checked),
                              why, sizeof why);
        n->has_served |= state == MASTER_SERVING;
        if (n->worker && worker_state(n->worker, &err) == WORKER_FAILED &&
            (err == E_CORRUPT || err == E_IO) && n->flipped && !n->paused)
            node_repair(n);
        else if (n->worker && worker_state(n->worker, &err) == WORKER_FAILED && !n->flipped)
            lab_check_fail(r->check, LAB_LIVENESS, "%s: the worker failed: %s",
                           sim_node_name(n->node), err_name(err));
        else if (n->worker)
            ok = worker_check(n->worker, why, sizeof why) && node_check_disk(n, why, sizeof why);
        if (n->role == RUN_CLIENT && n->paused)
            lab_load_paused(r->load, n->node, LAB_RUN_TICK_NS);
        if (!ok)
            lab_check_fail(r->check, LAB_STRUCTURE, "%s: %s", sim_node_name(n->node), why);
    }
}
