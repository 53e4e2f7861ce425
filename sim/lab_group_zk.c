/* sim/lab_group_zk.c - masters with the ZooKeeper journal: an ensemble (sim/lab_zk.h), machines z1,
 * z2, ...; a directory that the masters share (sim/sim_shared.h), machine s1; and what goes wrong
 * with these.
 *
 *  1. Masters keep nothing on disks of their own.  Errors of the storage are errors of its calls:
 *     the disk of s1 itself damages nothing, unless a weakness says so (shared.*).
 *  2. Which server a fault hits is a draw of the fault. */
#include "journal/zk_client.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "sim/lab_fault.h"
#include "sim/lab_group_impl.h"
#include "sim/lab_zk.h"
#include "sim/sim_shared.h"

enum { GROUP_ZK_SLOTS = 512, GROUP_ZK_FORMATS = 8 }; /* slots: the fence is written whole */

struct group_zk {
    struct lab_group *g;
    struct lab_zk *zk;
    struct sim_shared *fs;
    char connect[128];
    struct zk_config client;
    uint32_t down[LAB_ZK_SERVERS], paused[LAB_ZK_SERVERS]; /* faults that keep it so */
    uint32_t full, slow, gone;                             /* and of the storage */
};

/* ---- from the scenario ---- */

static struct sim_shared_config zk_storage(const struct lab_scenario_shared *c)
{
    return (struct sim_shared_config){.way_min_ns = c->way_min_ns,
                                      .way_mean_ns = c->way_mean_ns,
                                      .retry_ns = sim_shared_quiet().retry_ns,
                                      .stale_names_ns = c->stale_names_ns,
                                      .stale_sizes_ns = c->stale_sizes_ns,
                                      .stale_pages_ns = c->stale_pages_ns,
                                      .stale_direct = c->stale_direct,
                                      .late_write_ppm = c->late_write_ppm,
                                      .late_write_mean_ns = c->late_write_mean_ns,
                                      .write_back = c->write_back,
                                      .late_name_ppm = c->late_name_ppm,
                                      .late_name_mean_ns = c->late_name_mean_ns,
                                      .create_both_ppm = c->create_both_ppm,
                                      .create_both_ns = c->create_both_ns,
                                      .loses_unsynced = c->loses_unsynced};
}

static void zk_disk(struct group_zk *z)
{
    struct lab_fault_disks f = {.full = z->full, .slow = z->slow, .spared = LAB_FAULT_SPARES_ALL};
    lab_fault_disk(sim_shared_node(z->fs), z->g->s.sim.disk, f);
}

void lab_group_zk_open(struct lab_group *g)
{
    struct group_zk *z = mem_zalloc(g->mem, sizeof *z);
    const struct lab_scenario_zk *s = &g->s.zk;
    struct lab_zk_config cfg = lab_zk_config_default(s->servers, g->seed);
    struct sim_shared_config storage = zk_storage(&g->s.shared);
    ASSERT(z != NULL);
    z->g = g;
    g->zk = z;
    cfg.tick_ns = s->tick_ns;
    cfg.lag_ppm = s->lag_ppm;
    cfg.slow_ppm = s->slow_ppm;
    z->zk = lab_zk_open(g->mem, g->sim, &cfg);
    z->fs = sim_shared_open(g->sim, "s1", &storage);
    zk_disk(z);
    lab_zk_connect_string(z->zk, z->connect, sizeof z->connect);
    z->client = zk_config_default();
    z->client.connect = z->connect;
    z->client.timeout_ns = s->session_ns;
    z->client.frame_max = 64 << 10;
    z->client.calls_bytes = 64 << 10;
    z->client.window_bytes = 32 << 10;
}

/* the operator's: before any master starts */
void lab_group_zk_begin(struct lab_group *g)
{
    struct group_zk *z = g->zk;
    struct zk_fence f;
    struct sim_node *n = sim_node_add(g->sim, "format");
    struct env *e = sim_shared_mount(z->fs, n);
    int64_t ret;
    lab_zk_start_all(z->zk);
    sim_node_up(n);
    bool ok = zk_fence_init(&f, e, sim_mem(n), "journal/");
    ASSERT(ok);
    for (uint32_t i = 0; i < GROUP_ZK_FORMATS; i++) {
        struct env_op op = {0};
        zk_fence_format(&f, 0x7461726e, 1, GROUP_ZK_SLOTS, &op);
        ret = sim_run_op(g->sim, &op, 60000 * GROUP_MS);
        if (ret == 0)
            break;
        op = (struct env_op){0};
        env_unlink(e, "journal/fence", &op);
        sim_run_op(g->sim, &op, 60000 * GROUP_MS);
    }
    zk_fence_drop(&f);
    sim_node_crash(n);
    if (ret)
        lab_group_fail(g, LAB_GROUP_STRUCTURE, "the fence cannot be made: %s", err_name((int)ret));
}

void lab_group_zk_vary(struct lab_group *g, uint64_t seed)
{
    lab_zk_vary(g->zk->zk, seed);
}

struct journal *lab_group_zk_journal(struct group_node *n, struct env *e, struct mem *mem,
                                     const struct journal_config *cfg, struct journal_host *host)
{
    struct group_zk *z = n->g->zk;
    struct journal_config c = *cfg;
    struct zk_elect_config ec = {.zk = &z->client, .id = n->id, .addr = n->addr};
    struct zk_elect *elect;
    char why[200];
    if (zk_elect_open(e, mem, &ec, &elect, why, sizeof why))
        return NULL;
    c.zk.id = n->id;
    c.zk.dir = c.dir;
    c.zk.poll_ns = n->g->s.zk.poll_ns;
    c.zk.outage_ns = n->g->s.zk.outage_ns;
    c.zk.read_ns = n->g->s.zk.read_ns;
    return zk_drive_open(e, sim_shared_mount(z->fs, n->node), mem, &c, elect, host);
}

void lab_group_zk_cut(struct lab_group *g, struct sim_node *n, uint64_t how)
{
    for (uint32_t i = 0; i < g->s.zk.servers; i++) {
        struct sim_node *s = lab_zk_node(g->zk->zk, i);
        if (how == 2)
            sim_net_partition(s, n, true);
        else
            sim_net_partition(n, s, how == 1);
    }
}

void lab_group_zk_uncut(struct lab_group *g, struct sim_node *n)
{
    for (uint32_t i = 0; i < g->s.zk.servers; i++)
        sim_net_heal(n, lab_zk_node(g->zk->zk, i));
}

void lab_group_zk_check(struct lab_group *g)
{
    char why[200];
    g->check.findings[LAB_GROUP_STRUCTURE].checks++;
    if (!lab_zk_check(g->zk->zk, why, sizeof why))
        lab_group_fail(g, LAB_GROUP_STRUCTURE, "the simulated ZooKeeper: %s", why);
}

/* ---- faults ---- */

static void zk_down(struct group_zk *z, uint32_t i)
{
    struct sim_node *n = lab_zk_node(z->zk, i);
    if (z->down[i]++ == 0 && sim_node_is_up(n))
        sim_node_crash(n);
}

static void zk_up(struct group_zk *z, uint32_t i)
{
    if (--z->down[i] == 0)
        lab_zk_start(z->zk, i);
}

/* whose session is ended: of those that stand for election one, mostly the first */
static void zk_expire(struct group_zk *z, struct group_event *e)
{
    static const char path[] = "/election";
    int32_t led = lab_zk_leader(z->zk);
    uint64_t want = lab_group_chance(e, 4), k = 0;
    if (led < 0)
        return;
    const struct lab_zk_tree *t = lab_zk_tree(z->zk, (uint32_t)led);
    const struct lab_zk_node *at = lab_zk_tree_find(t, path, sizeof path - 1);
    int64_t session = 0;
    if (!at)
        return;
    list_each(l, &at->children) {
        struct lab_zk_node *c = list_entry(l, struct lab_zk_node, in_parent);
        if (k++ == 0 || k == want)
            session = c->stat.owner;
    }
    if (session)
        lab_zk_expire(z->zk, session);
}

bool lab_group_zk_excuses(const struct group_node *n, int why)
{
    return n->g->zk && why == E_IO && sim_shared_has_failed(n->g->zk->fs, n->node);
}

static void zk_shared_begin(struct group_zk *z, struct group_event *e)
{
    int64_t for_ns = e->f->for_ns;
    switch (e->f->kind) {
    case LAB_FAULT_SHARED_OUTAGE:
        sim_shared_outage(z->fs, for_ns, false);
        break;
    case LAB_FAULT_SHARED_ERRORS:
        sim_shared_outage(z->fs, for_ns, true);
        break;
    case LAB_FAULT_SHARED_FULL:
        z->full++;
        zk_disk(z);
        break;
    case LAB_FAULT_SHARED_SLOW:
        z->slow++;
        zk_disk(z);
        break;
    default:
        if (z->gone++ == 0)
            sim_shared_down(z->fs);
        break;
    }
}

static uint32_t zk_server(const struct group_zk *z, struct group_event *e)
{
    return (uint32_t)lab_group_chance(e, z->g->s.zk.servers);
}

void lab_group_zk_fault(struct group_event *e)
{
    struct group_zk *z = e->g->zk;
    switch (e->f->kind) {
    case LAB_FAULT_ZK_CRASH:
        e->step = zk_server(z, e);
        zk_down(z, e->step);
        break;
    case LAB_FAULT_ZK_PAUSE:
        e->step = zk_server(z, e);
        if (z->paused[e->step]++ == 0 && sim_node_is_up(lab_zk_node(z->zk, e->step)))
            sim_node_pause(lab_zk_node(z->zk, e->step));
        break;
    case LAB_FAULT_ZK_AWAY:
        for (uint32_t i = 0; i < e->g->s.zk.servers; i++)
            zk_down(z, i);
        break;
    case LAB_FAULT_ZK_CUT:
        lab_zk_split(z->zk, 1u << zk_server(z, e));
        break;
    case LAB_FAULT_ZK_LAG:
        e->step = zk_server(z, e);
        lab_zk_lag(z->zk, e->step, 1 + (int64_t)lab_group_chance(e, (uint64_t)e->f->for_ns));
        break;
    case LAB_FAULT_ZK_DEPOSE:
        lab_zk_depose(z->zk);
        break;
    case LAB_FAULT_ZK_EXPIRE:
        zk_expire(z, e);
        break;
    default:
        zk_shared_begin(z, e);
        break;
    }
    sim_at(e->g->sim, group_now_ns(e->g) + e->f->for_ns, &e->end);
}

void lab_group_zk_fault_end(struct group_event *e)
{
    struct group_zk *z = e->g->zk;
    struct sim_node *n = lab_zk_node(z->zk, e->step < e->g->s.zk.servers ? e->step : 0);
    switch (e->f->kind) {
    case LAB_FAULT_ZK_CRASH:
        zk_up(z, e->step);
        break;
    case LAB_FAULT_ZK_PAUSE:
        if (--z->paused[e->step] == 0 && sim_node_is_up(n))
            sim_node_resume(n);
        break;
    case LAB_FAULT_ZK_AWAY:
        for (uint32_t i = 0; i < e->g->s.zk.servers; i++)
            zk_up(z, i);
        break;
    case LAB_FAULT_ZK_CUT:
        lab_zk_split(z->zk, 0);
        break;
    case LAB_FAULT_ZK_LAG:
        lab_zk_lag(z->zk, e->step, 0);
        break;
    case LAB_FAULT_SHARED_OUTAGE:
    case LAB_FAULT_SHARED_ERRORS:
        if (e->healing)
            sim_shared_outage(z->fs, 0, false);
        break;
    case LAB_FAULT_SHARED_FULL:
        z->full--;
        zk_disk(z);
        break;
    case LAB_FAULT_SHARED_SLOW:
        z->slow--;
        zk_disk(z);
        break;
    case LAB_FAULT_SHARED_CRASH:
        if (--z->gone == 0)
            sim_shared_up(z->fs);
        break;
    default:
        break;
    }
}

/* what is healed: the disk as the scenario's, without stalls; weaknesses stay */
void lab_group_zk_heal(struct lab_group *g)
{
    zk_disk(g->zk);
}
