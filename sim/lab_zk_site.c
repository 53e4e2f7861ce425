/* sim/lab_zk_site.c - see lab_zk_site.h. */
#include "core/fmt.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "sim/lab_fault.h"
#include "sim/lab_zk.h"
#include "sim/lab_zk_site.h"
#include "sim/sim_shared.h"

enum { SITE_SLOTS = 512, SITE_FORMATS = 8, SITE_ROTTEN = 64 }; /* the fence is written whole */
static const int64_t SITE_PATIENCE_NS = 60000 * 1000000LL, SITE_BACK_NS = 5 * 1000000LL;

struct lab_zk_site {
    struct sim *sim;
    const struct lab_scenario *s;
    struct lab_zk *zk;
    struct sim_shared *fs;
    char connect[128];
    struct zk_config client;
    uint32_t down[LAB_ZK_SERVERS], paused[LAB_ZK_SERVERS]; /* faults that keep it so */
    uint32_t full, slow, gone;                             /* and of the storage */
    bool has_kept;
    char rotten[SITE_ROTTEN][ENV_NAME_MAX]; /* images that were damaged, the last one last */
    uint32_t n_rotten;
    struct env_op back; /* the counter of epochs is set to that until then */
    bool is_back;
    uint64_t back_to;
    int64_t back_until_ns;
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
                                      .stray_ppm = c->stray_ppm,
                                      .stray_mean_ns = c->stray_mean_ns,
                                      .late_name_ppm = c->late_name_ppm,
                                      .late_name_mean_ns = c->late_name_mean_ns,
                                      .create_both_ppm = c->create_both_ppm,
                                      .create_both_ns = c->create_both_ns,
                                      .loses_unsynced = c->loses_unsynced};
}

static void zk_disk(struct lab_zk_site *z)
{
    struct lab_fault_disks f = {.full = z->full, .slow = z->slow, .spared = LAB_FAULT_SPARES_ALL};
    lab_fault_disk(sim_shared_node(z->fs), z->s->sim.disk, f);
}

struct lab_zk_site *lab_zk_site_open(struct mem *m, struct sim *sim, const struct lab_scenario *s,
                                     uint64_t seed)
{
    struct lab_zk_site *z = mem_zalloc(m, sizeof *z);
    struct lab_zk_config cfg = lab_zk_config_default(s->zk.servers, seed);
    struct sim_shared_config storage = zk_storage(&s->shared);
    ASSERT(z != NULL);
    z->sim = sim;
    z->s = s;
    cfg.tick_ns = s->zk.tick_ns;
    cfg.lag_ppm = s->zk.lag_ppm;
    cfg.slow_ppm = s->zk.slow_ppm;
    z->zk = lab_zk_open(m, sim, &cfg);
    z->fs = sim_shared_open(sim, "s1", &storage);
    zk_disk(z);
    lab_zk_connect_string(z->zk, z->connect, sizeof z->connect);
    z->client = zk_config_default();
    z->client.connect = z->connect;
    z->client.timeout_ns = s->zk.session_ns;
    z->client.frame_max = 64 << 10;
    z->client.calls_bytes = 64 << 10;
    z->client.window_bytes = 32 << 10;
    return z;
}

int lab_zk_site_begin(struct lab_zk_site *z, uint64_t cluster_hi, uint64_t cluster_lo)
{
    struct zk_fence f;
    struct sim_node *n = sim_node_add(z->sim, "format");
    struct env *e = sim_shared_mount(z->fs, n);
    int64_t ret;
    lab_zk_start_all(z->zk);
    sim_node_up(n);
    bool ok = zk_fence_init(&f, e, sim_mem(n), "journal/");
    ASSERT(ok);
    for (uint32_t i = 0; i < SITE_FORMATS; i++) {
        struct env_op op = {0};
        zk_fence_format(&f, cluster_hi, cluster_lo, SITE_SLOTS, &op);
        ret = sim_run_op(z->sim, &op, SITE_PATIENCE_NS);
        if (ret == 0)
            break;
        op = (struct env_op){0};
        env_unlink(e, "journal/fence", &op);
        sim_run_op(z->sim, &op, SITE_PATIENCE_NS);
    }
    zk_fence_drop(&f);
    sim_node_crash(n);
    return (int)ret;
}

void lab_zk_site_vary(struct lab_zk_site *z, uint64_t seed)
{
    lab_zk_vary(z->zk, seed);
}

bool lab_zk_site_mount(struct lab_zk_site *z, struct sim_node *n, struct env *e, struct mem *m,
                       uint32_t id, const char *addr, struct journal_config *c)
{
    struct zk_elect_config ec = {.zk = &z->client, .id = id, .addr = addr};
    char why[200];
    if (zk_elect_open(e, m, &ec, &c->zk.elect, why, sizeof why))
        return false;
    c->zk.id = id;
    c->zk.dir = c->dir;
    c->zk.poll_ns = z->s->zk.poll_ns;
    c->zk.outage_ns = z->s->zk.outage_ns;
    c->zk.read_ns = z->s->zk.read_ns;
    c->zk.begin_ns = z->s->zk.session_ns / 3;
    c->zk.shared = sim_shared_mount(z->fs, n);
    return true;
}

void lab_zk_site_cut(struct lab_zk_site *z, struct sim_node *n, uint64_t how)
{
    for (uint32_t i = 0; i < z->s->zk.servers; i++) {
        struct sim_node *s = lab_zk_node(z->zk, i);
        if (how == 2)
            sim_net_partition(s, n, true);
        else
            sim_net_partition(n, s, how == 1);
    }
}

void lab_zk_site_uncut(struct lab_zk_site *z, struct sim_node *n)
{
    for (uint32_t i = 0; i < z->s->zk.servers; i++)
        sim_net_heal(n, lab_zk_node(z->zk, i));
}

bool lab_zk_site_check(const struct lab_zk_site *z, char *why, size_t cap)
{
    return lab_zk_check(z->zk, why, cap);
}

/* ---- faults ---- */

static void zk_down(struct lab_zk_site *z, uint32_t i)
{
    struct sim_node *n = lab_zk_node(z->zk, i);
    if (z->down[i]++ == 0 && sim_node_is_up(n))
        sim_node_crash(n);
}

static void zk_up(struct lab_zk_site *z, uint32_t i)
{
    if (--z->down[i] == 0)
        lab_zk_start(z->zk, i);
}

/* All of them stop; when they start again they have nothing, or what was committed at the fault of
 * this kind before: then their zxids may have passed what masters have seen, or not. */
static uint32_t zk_lose(struct lab_zk_site *z, struct lab_fault *f)
{
    bool to_kept = lab_fault_chance(f, z->sim, 2) == 1 && z->has_kept;
    if (!to_kept)
        z->has_kept |= lab_zk_keep(z->zk);
    for (uint32_t i = 0; i < z->s->zk.servers; i++)
        zk_down(z, i);
    lab_zk_lose(z->zk, to_kept);
    return 0;
}

/* whose session is ended: of those that stand for election one, mostly the first */
static void zk_expire(struct lab_zk_site *z, struct lab_fault *f)
{
    static const char path[] = "/election";
    int32_t led = lab_zk_leader(z->zk);
    uint64_t want = lab_fault_chance(f, z->sim, 4), k = 0;
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

/* of a state image's file the "/image-..." in it, which tells how far it goes; or NULL */
static const char *zk_image(const char *name)
{
    const char *leaf = strrchr(name, '/');
    return leaf && strstr(name, "images/") && !strncmp(leaf, "/image-", 7) ? leaf : NULL;
}

static bool zk_is_rotten(const struct lab_zk_site *z, const char *name)
{
    for (uint32_t i = 0; i < z->n_rotten; i++)
        if (!strcmp(z->rotten[i], name))
            return true;
    return false;
}

/* What is removed of the log is in the images of two members, so one may be damaged; and one more
 * when two others go as far as that one.  ret: the newest of those, or NULL */
static const char *zk_rot_which(struct lab_zk_site *z)
{
    struct sim_node *n = sim_shared_node(z->fs);
    const char *newest = NULL, *was = z->n_rotten ? zk_image(z->rotten[z->n_rotten - 1]) : "";
    uint32_t others = 0;
    for (const char *f = ""; (f = sim_disk_next(n, f));)
        if (zk_image(f) && !zk_is_rotten(z, f) && sim_disk_size(n, f) > 0 &&
            strcmp(zk_image(f), was) >= 0 && (!newest || strcmp(zk_image(f), zk_image(newest)) > 0))
            newest = f;
    for (const char *f = ""; newest && (f = sim_disk_next(n, f));)
        others += zk_image(f) && !zk_is_rotten(z, f) && strcmp(zk_image(f), was) >= 0 &&
                  strncmp(f, newest, (size_t)(zk_image(newest) - newest)) != 0;
    return others ? newest : NULL;
}

static void zk_rot(struct lab_zk_site *z, struct lab_fault *f)
{
    struct sim_node *n = sim_shared_node(z->fs);
    const char *name = zk_rot_which(z);
    if (!name || z->n_rotten == SITE_ROTTEN)
        return;
    fmt_into(z->rotten[z->n_rotten++], ENV_NAME_MAX, "%s", name);
    uint64_t at = lab_fault_chance(f, z->sim, (uint64_t)sim_disk_size(n, name));
    sim_disk_flip(n, name, at, (unsigned)lab_fault_chance(f, z->sim, 8));
}

/* what the counter of epochs is; 0: nobody knows */
static uint64_t zk_counter(const struct lab_zk_site *z)
{
    static const char path[] = "/epoch";
    int32_t led = lab_zk_leader(z->zk);
    uint64_t v = 0;
    const struct lab_zk_node *n =
        led < 0 ? NULL : lab_zk_tree_find(lab_zk_tree(z->zk, (uint32_t)led), path, sizeof path - 1);
    for (uint32_t i = 0; n && i < n->data_cap; i++)
        v = v * 10 + (uint64_t)(n->data[i] - '0');
    return v;
}

static void zk_back_again(struct env_op *op)
{
    struct lab_zk_site *z = container_of(op, struct lab_zk_site, back);
    char text[24];
    z->is_back = sim_now_ns(z->sim) < z->back_until_ns;
    if (!z->is_back)
        return;
    fmt_into(text, sizeof text, "%llu", (unsigned long long)z->back_to);
    if (zk_counter(z) > z->back_to)
        lab_zk_set(z->zk, "/epoch", text);
    sim_at(z->sim, sim_now_ns(z->sim) + SITE_BACK_NS, &z->back);
}

/* as it was one, two or three numbers ago */
static void zk_back(struct lab_zk_site *z, struct lab_fault *f)
{
    uint64_t by = 1 + lab_fault_chance(f, z->sim, 3), v = zk_counter(z);
    if (v < by)
        return;
    z->back.done = zk_back_again;
    z->back_to = v - by;
    z->back_until_ns = sim_now_ns(z->sim) + f->for_ns;
    if (!z->is_back)
        zk_back_again(&z->back);
}

/* for whom?  Mostly for one of the masters. */
static void zk_stick(struct lab_zk_site *z, struct lab_fault *f)
{
    struct sim_node *n = NULL;
    char name[16];
    uint64_t who = lab_fault_chance(f, z->sim, z->s->masters + 1);
    uint64_t salt = lab_fault_chance(f, z->sim, 1 << 30);
    fmt_into(name, sizeof name, "m%llu", (unsigned long long)who);
    for (uint32_t i = 0; who && i < sim_node_count(z->sim); i++)
        if (!strcmp(sim_node_name(sim_node_at(z->sim, i)), name))
            n = sim_node_at(z->sim, i);
    sim_shared_stick(z->fs, n, salt, f->for_ns);
}

static void zk_shared_begin(struct lab_zk_site *z, const struct lab_fault *f)
{
    switch (f->kind) {
    case LAB_FAULT_SHARED_OUTAGE:
        sim_shared_outage(z->fs, f->for_ns, false);
        break;
    case LAB_FAULT_SHARED_ERRORS:
        sim_shared_outage(z->fs, f->for_ns, true);
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

static uint32_t zk_server(const struct lab_zk_site *z, struct lab_fault *f)
{
    return (uint32_t)lab_fault_chance(f, z->sim, z->s->zk.servers);
}

bool lab_zk_site_excuses(const struct lab_zk_site *z, const struct sim_node *n, int why)
{
    return why == E_IO && sim_shared_has_failed(z->fs, n);
}

uint32_t lab_zk_site_fault(struct lab_zk_site *z, struct lab_fault *f)
{
    uint32_t which = 0;
    switch (f->kind) {
    case LAB_FAULT_ZK_CRASH:
        which = zk_server(z, f);
        zk_down(z, which);
        break;
    case LAB_FAULT_ZK_PAUSE:
        which = zk_server(z, f);
        if (z->paused[which]++ == 0 && sim_node_is_up(lab_zk_node(z->zk, which)))
            sim_node_pause(lab_zk_node(z->zk, which));
        break;
    case LAB_FAULT_ZK_AWAY:
        for (uint32_t i = 0; i < z->s->zk.servers; i++)
            zk_down(z, i);
        break;
    case LAB_FAULT_ZK_CUT:
        lab_zk_split(z->zk, 1u << zk_server(z, f));
        break;
    case LAB_FAULT_ZK_LAG:
        which = zk_server(z, f);
        lab_zk_lag(z->zk, which, 1 + (int64_t)lab_fault_chance(f, z->sim, (uint64_t)f->for_ns));
        break;
    case LAB_FAULT_ZK_DEPOSE:
        lab_zk_depose(z->zk);
        break;
    case LAB_FAULT_ZK_EXPIRE:
        zk_expire(z, f);
        break;
    case LAB_FAULT_ZK_LOSE:
        which = zk_lose(z, f);
        break;
    case LAB_FAULT_SHARED_ROT:
        zk_rot(z, f);
        break;
    case LAB_FAULT_ZK_BACK:
        zk_back(z, f);
        break;
    case LAB_FAULT_SHARED_STUCK:
        zk_stick(z, f);
        break;
    case LAB_FAULT_TOPPLE: /* whoever has the masters does it */
        break;
    default:
        zk_shared_begin(z, f);
        break;
    }
    return which;
}

void lab_zk_site_fault_end(struct lab_zk_site *z, const struct lab_fault *f, uint32_t which,
                           bool early)
{
    struct sim_node *n = lab_zk_node(z->zk, which);
    switch (f->kind) {
    case LAB_FAULT_ZK_CRASH:
        zk_up(z, which);
        break;
    case LAB_FAULT_ZK_PAUSE:
        if (--z->paused[which] == 0 && sim_node_is_up(n))
            sim_node_resume(n);
        break;
    case LAB_FAULT_ZK_AWAY:
    case LAB_FAULT_ZK_LOSE:
        for (uint32_t i = 0; i < z->s->zk.servers; i++)
            zk_up(z, i);
        break;
    case LAB_FAULT_ZK_CUT:
        lab_zk_split(z->zk, 0);
        break;
    case LAB_FAULT_ZK_LAG:
        lab_zk_lag(z->zk, which, 0);
        break;
    case LAB_FAULT_SHARED_OUTAGE:
    case LAB_FAULT_SHARED_ERRORS:
        if (early)
            sim_shared_outage(z->fs, 0, false);
        break;
    case LAB_FAULT_ZK_BACK:
        z->back_until_ns = early ? 0 : z->back_until_ns;
        break;
    case LAB_FAULT_SHARED_STUCK:
        if (early)
            sim_shared_stick(z->fs, NULL, 0, 0);
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

void lab_zk_site_heal(struct lab_zk_site *z)
{
    zk_disk(z);
}
