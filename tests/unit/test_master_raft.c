/* tests/unit/test_master_raft.c - three real masters on the Raft journal, real clients, one
 * under-store, in the simulated world: masters are killed, lose power and are cut off while the
 * clients work in pairs.  One makes, renames and removes names; the other one looked before, so it
 * may have cached what was, and looks right after each answer.
 *
 * So every answer is checked: a change carried out twice, or lost, or an old answer given by a
 * leader that was deposed or a lease that was not honoured, shows as a wrong one.  With read_any
 * the standbys answer, too; half of those who look then keep what the leader told them. */
#define MASTER_WORLD_FILES 2048
#include "cluster/client.h"
#include "tests/unit/master_world.h"

enum { R_MASTERS = 3, R_PAIRS = 3, R_STEPS = 12, R_STAYS = 64 /* each such name stays */ };

struct r_master {
    struct ufs_factory factory; /* first */
    struct sim_node *node;
    struct master *master;
    struct master_config cfg;
    char name[8], listen[16];
};

struct r_pair {
    struct sim_node *node[2];
    struct client *c[2]; /* writes, looks */
    struct client_req req;
    unsigned id, k, step, done;
    int64_t asked_ns;
    char a[32], b[32];
    bool is_busy;
    struct ino dir; /* its own */
};

static struct r_master rm[R_MASTERS];
static struct r_pair rp[R_PAIRS];
static bool r_stopping, r_any, r_meta, r_is_meta;
static int64_t r_longest_ns; /* without an answer, of any pair */
static uint64_t r_seed;

static int r_open(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u)
{
    static const struct ufs_vt vt = {wu_submit, wu_close};
    struct r_master *m = container_of(f, struct r_master, factory);
    (void)uri;
    struct mem *mem = sim_mem(m->node);
    struct wu_store *s = mem_zalloc(mem, sizeof *s);
    s->ufs.vt = &vt;
    s->env = e;
    s->mem = mem;
    *ret_u = &s->ufs;
    return 0;
}

static void r_boot(struct env *e, struct mem *mem, void *ctx)
{
    struct r_master *m = ctx;
    CU_ASSERT_EQUAL_FATAL(master_open(e, mem, &m->cfg, &m->master), 0);
}

static void r_start(struct r_master *m)
{
    m->master = NULL;
    sim_node_start(m->node, r_boot, m);
}

static struct r_master *r_leader(void)
{
    for (int i = 0; i < R_MASTERS; i++)
        if (sim_node_is_up(rm[i].node) && rm[i].master &&
            master_state(rm[i].master, NULL) == MASTER_SERVING)
            return &rm[i];
    return NULL;
}

/* --- the pairs */

/* who does it, what, and what must come of it */
static const struct {
    uint16_t kind;
    bool looks, second; /* the other client; the second name */
    int want;
} r_steps[R_STEPS] = {
    {FSOP_GETATTR, true, false, 0}, /* of the directory: without it nothing below is answered */
    {FSOP_LOOKUP, true, false, E_NOENT}, {FSOP_MKNOD, false, false, 0},
    {FSOP_LOOKUP, true, false, 0},       {FSOP_GETATTR, true, false, 0},
    {FSOP_LOOKUP, true, false, 0},       {FSOP_RENAME, false, false, 0},
    {FSOP_LOOKUP, true, false, E_NOENT}, {FSOP_LOOKUP, true, true, 0},
    {FSOP_GETATTR, true, false, 0},      {FSOP_UNLINK, false, true, 0},
    {FSOP_LOOKUP, true, true, E_NOENT},
};

static void r_next(struct r_pair *p);

static void r_done(struct env_op *op)
{
    struct r_pair *p = container_of(op, struct r_pair, req.op);
    if (!p->dir.v) {
        p->is_busy = false;
        p->dir = p->req.reply.attr.ino;
        CU_ASSERT_FATAL(op->ret == 0 && p->dir.v);
        r_next(p);
        return;
    }
    int want = r_steps[p->step].want;
    if (op->ret != want) {
        CU_FAIL("a wrong answer");
        fprintf(stderr, "seed %llu, %.3f s: pair %u, %s, step %u: %s, not %s\n",
                (unsigned long long)r_seed, (double)sim_now_ns(ws) / 1e9, p->id, p->a, p->step,
                err_name((int)op->ret), err_name(want));
        r_stopping = true;
    }
    p->is_busy = false;
    if (sim_now_ns(ws) - p->asked_ns > r_longest_ns)
        r_longest_ns = sim_now_ns(ws) - p->asked_ns;
    p->done++;
    p->step++;
    if (p->step == R_STEPS || (p->step == 10 && p->k % R_STAYS == 0)) {
        p->step = 0;
        p->k++;
    }
    if (!r_stopping)
        r_next(p);
}

static void r_next(struct r_pair *p)
{
    if (!p->step) {
        snprintf(p->a, sizeof p->a, "a%u-%u", p->id, p->k);
        snprintf(p->b, sizeof p->b, "b%u-%u", p->id, p->k);
    }
    const char *name = r_steps[p->step].second ? p->b : p->a;
    memset(&p->req, 0, sizeof p->req);
    p->req.op.done = r_done;
    p->req.fsop = w_name(r_steps[p->step].kind, p->dir, name);
    if (!p->dir.v) {
        snprintf(p->b, sizeof p->b, "d%u", p->id);
        p->req.fsop = w_name(r_meta ? FSOP_MKDIR : FSOP_LOOKUP, INO_ROOT, p->b);
    }
    if (p->req.fsop.kind == FSOP_GETATTR)
        p->req.fsop.name_len = 0;
    p->req.fsop.ino2 = p->dir;
    p->req.fsop.name2 = p->b;
    p->req.fsop.name2_len = r_steps[p->step].kind == FSOP_RENAME ? (uint32_t)strlen(p->b) : 0;
    p->is_busy = true;
    p->asked_ns = sim_now_ns(ws);
    client_fs(p->c[r_steps[p->step].looks], &p->req);
}

/* --- the world */

static void r_world(uint64_t seed)
{
    r_meta = r_is_meta || (r_any && seed / 2 % 2);
    w_config(r_meta ? FSOP_MOUNT_META : FSOP_MOUNT_THROUGH, seed % 2 ? 5000 * MS : 100 * MS);
    sim_close(ws);
    struct sim_config sc = sim_config_quiet(seed);
    sc.node_mem_bytes = 96 << 20;
    sc.on_log = w_log;
    ws = sim_open(&wm, &sc);
    wu.latency_ns = 10 * MS;
    memset(rm, 0, sizeof rm);
    memset(rp, 0, sizeof rp);
    r_stopping = false;
    r_seed = seed;
    wcfg.session_ns = 30000 * MS;
    wcfg.limits.inodes_max = r_meta ? 50000 : wcfg.limits.inodes_max; /* no under-store slows it */
    wcfg.journal.raft.members = "1@m1:1,2@m2:1,3@m3:1";
    for (unsigned i = 0; i < R_MASTERS; i++) {
        struct r_master *m = &rm[i];
        snprintf(m->name, sizeof m->name, "m%u", i + 1);
        snprintf(m->listen, sizeof m->listen, "m%u:1", i + 1);
        m->factory.open = r_open;
        m->cfg = wcfg;
        m->cfg.listen = m->listen;
        m->cfg.journal.raft.id = i + 1;
        if (seed % 2) { /* another one leads while old leases last */
            m->cfg.lease_ns = 3000 * MS;
            m->cfg.journal.raft.suspect_min_ns = 400 * MS;
            m->cfg.journal.raft.suspect_max_ns = 700 * MS;
        }
        m->cfg.ufs = &m->factory;
        m->node = sim_node_add(ws, m->name);
        r_start(m);
    }
    for (unsigned i = 0; i < R_PAIRS; i++) {
        char dir[8];
        snprintf(dir, sizeof dir, "d%u", i);
        wu_add(dir, FSOP_S_IFDIR | 0755, 0);
    }
    for (unsigned i = 0; i < R_PAIRS; i++)
        for (unsigned k = 0; k < 2; k++) {
            struct client_config cc = client_config_default();
            char name[16];
            snprintf(name, sizeof name, "c%u-%u", i, k);
            cc.masters = "m1:1,m2:1,m3:1";
            cc.name = "pair";
            cc.deadline_ns = 60000 * MS;
            cc.cache_entries = 1000;
            cc.read_any = r_any;
            cc.ask_always = r_any && i % 2;
            cc.buffer_bytes = 1 << 20;
            cc.page_cache_bytes = 0;
            rp[i].id = i;
            rp[i].node[k] = sim_node_add(ws, name);
            struct env *e = sim_node_up(rp[i].node[k]);
            CU_ASSERT_EQUAL_FATAL(client_open(e, sim_mem(rp[i].node[k]), &cc, NULL, &rp[i].c[k]),
                                  0);
        }
}

static void r_cut(struct r_master *m, bool one_way)
{
    for (int i = 0; i < R_MASTERS; i++)
        if (&rm[i] != m)
            sim_net_partition(m->node, rm[i].node, one_way);
}

/* one fault, and its end */
static void r_fault(uint64_t *chance)
{
    uint64_t dice = *chance = base_mix_u64(*chance + 1);
    struct r_master *m = r_leader();
    if (!m || dice % 4 == 0)
        m = &rm[dice / 8 % R_MASTERS];
    int64_t ms = 20 + (int64_t)(dice / 64 % 3500);
    switch (dice / 1024 % 5) {
    case 4: /* those who look hear nothing of the change of leaders: they have their leases */
        for (int i = 0; i < R_PAIRS; i++)
            for (int k = 0; k < R_MASTERS; k++)
                sim_net_partition(rp[i].node[1], rm[k].node, false);
        sim_node_crash(m->node);
        break;
    case 0:
        sim_node_crash(m->node);
        break;
    case 1:
        sim_node_power_loss(m->node);
        break;
    case 2:
        r_cut(m, false);
        break;
    default:
        r_cut(m, true);
        break;
    }
    w_run_ms(ms);
    sim_net_heal_all(ws);
    if (!sim_node_is_up(m->node))
        r_start(m);
}

static bool r_is_quiet(void)
{
    struct meta_stats a, b;
    bool is_busy = false;
    for (unsigned i = 0; i < R_PAIRS; i++)
        is_busy = is_busy || rp[i].is_busy;
    if (is_busy || !r_leader())
        return false;
    meta_stats(master_meta(r_leader()->master), &a);
    for (int i = 0; i < R_MASTERS; i++) {
        meta_stats(master_meta(rm[i].master), &b);
        if (a.applied != b.applied || a.intents || a.dentries != b.dentries || a.inodes != b.inodes)
            return false;
    }
    return true;
}

static void r_check(void)
{
    unsigned stays = 0, files = 0;
    struct meta_stats s;
    char why[256] = "", path[40];
    for (int i = 0; i < R_MASTERS; i++) {
        CU_ASSERT(master_check(rm[i].master, true, why, sizeof why));
        if (why[0])
            fprintf(stderr, "m%d: %s\n", i + 1, why);
    }
    for (unsigned i = 0; i < R_PAIRS; i++)
        for (unsigned k = 0; k <= rp[i].k; k++) {
            bool is_last = k == rp[i].k;
            unsigned step = is_last ? rp[i].step : R_STEPS;
            bool is_a = is_last && step > 2 && step <= 6;
            bool is_b = (is_last && step > 6 && step <= 10) || (!is_last && k % R_STAYS == 0);
            snprintf(path, sizeof path, "d%u/a%u-%u", i, i, k);
            CU_ASSERT(r_meta || (wu_find(path) != NULL) == is_a);
            snprintf(path, sizeof path, "d%u/b%u-%u", i, i, k);
            CU_ASSERT(r_meta || (wu_find(path) != NULL) == is_b);
            stays += is_a || is_b;
        }
    for (int i = 0; i < WU_FILES; i++)
        files += wu.files[i].used && wu.files[i].path[0] && strncmp(wu.files[i].path, ".tarn", 5);
    stays += R_PAIRS; /* directories */
    CU_ASSERT(r_meta || files == stays);
    meta_stats(master_meta(r_leader()->master), &s);
    CU_ASSERT_EQUAL(s.dentries, stays);
}

static void r_run(uint64_t seed, unsigned faults)
{
    uint64_t chance = seed;
    unsigned done = 0;
    r_world(seed);
    for (unsigned i = 0; i < R_PAIRS; i++)
        r_next(&rp[i]);
    w_run_ms(4000);
    CU_ASSERT_PTR_NOT_NULL(r_leader());
    for (unsigned i = 0; i < faults && !r_stopping; i++) {
        w_run_ms((int64_t)(base_mix_u64(chance) % 700));
        r_fault(&chance);
    }
    r_stopping = true;
    for (int i = 0; i < 400 && !r_is_quiet(); i++)
        w_run_ms(100);
    CU_ASSERT(r_is_quiet());
    if (r_is_quiet())
        r_check();
    for (unsigned i = 0; i < R_PAIRS; i++)
        done += rp[i].done;
    CU_ASSERT(done > 20 * faults);
    uint64_t hits = 0, asides = 0;
    for (unsigned i = 0; i < R_PAIRS; i++) {
        struct client_stats cs;
        client_stats(rp[i].c[1], &cs);
        hits += cs.cache_hits;
        asides += cs.asides;
    }
    CU_ASSERT(r_any ? asides > 100 : !asides);
    CU_ASSERT(seed % 2 == 0 || hits > 10); /* else nobody could have looked at something old */
    if (getenv("UNIT_LOG"))
        fprintf(stderr, "seed %llu: %u answers, %llu of standbys, %llu from caches, %.1f s\n",
                (unsigned long long)seed, done, (unsigned long long)asides,
                (unsigned long long)hits, (double)sim_now_ns(ws) / 1e9);
    sim_close(ws);
    mem_drop(&wm);
}

static void test_master_raft_without_faults(void)
{
    r_run(1, 0);
}

/* MASTER_RAFT_SEEDS: how many, from 100 on */
static void test_master_raft_failovers(void)
{
    const char *n = getenv("MASTER_RAFT_SEEDS");
    unsigned seeds = n ? (unsigned)strtoul(n, NULL, 10) : 4;
    for (unsigned i = 0; i < seeds; i++)
        r_run(100 + i, 12);
}

static void test_master_raft_standbys_answer(void)
{
    r_any = true;
    test_master_raft_failovers();
    r_any = false;
}

static void r_handed(struct env_op *op)
{
    (void)op;
}

/* Leadership is handed over in all directions, now and then several times a second.  Nobody waits
 * for long, though the new leader must first hear of a client that asks for nothing. */
static void r_hand_overs(uint64_t seed, unsigned rounds)
{
    struct env_op op = {.done = r_handed};
    unsigned handed = 0;
    uint64_t chance = seed;
    r_is_meta = true; /* the under-store's time is not in it */
    r_world(seed);
    for (unsigned i = 0; i + 1 < R_PAIRS; i++) /* the last one is idle */
        r_next(&rp[i]);
    w_run_ms(4000);
    for (unsigned i = 0; i < rounds && !r_stopping; i++) {
        struct r_master *m = r_leader();
        CU_ASSERT_PTR_NOT_NULL_FATAL(m);
        chance = base_mix_u64(chance + 1);
        r_longest_ns = 0;
        master_hand_over(m->master, 2000 * MS, &op);
        w_run_ms(150 + (int64_t)(chance % 1000));
        handed += r_leader() != m;
        CU_ASSERT(r_longest_ns > 0 && r_longest_ns <= 50 * MS);
        if (getenv("UNIT_LOG") || r_longest_ns > 50 * MS)
            fprintf(stderr, "seed %llu, %.3f s, round %u, %s to %s: %.1f ms\n",
                    (unsigned long long)seed, (double)sim_now_ns(ws) / 1e9, i, m->name,
                    r_leader() ? r_leader()->name : "nobody", (double)r_longest_ns / 1e6);
    }
    CU_ASSERT_EQUAL(handed, rounds);
    r_stopping = true;
    w_run_ms(2000);
    sim_close(ws);
    mem_drop(&wm);
    r_is_meta = false;
}

static void test_master_raft_hand_overs(void)
{
    const char *n = getenv("MASTER_RAFT_SEEDS");
    unsigned seeds = n ? (unsigned)strtoul(n, NULL, 10) : 3;
    for (unsigned i = 0; i < seeds; i++)
        r_hand_overs(100 + i, 25);
}

UNIT_MAIN("master_raft", UNIT(test_master_raft_without_faults), UNIT(test_master_raft_hand_overs),
          UNIT(test_master_raft_failovers), UNIT(test_master_raft_standbys_answer))
