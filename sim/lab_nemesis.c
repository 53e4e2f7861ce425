/* sim/lab_nemesis.c - what goes wrong: each fault begins at its time, and is put right at its end
 * (see sim/lab_scenario.h for what they are). */
#include "sim/lab_fault.h"
#include "sim/lab_run_impl.h"

/* is n of those that `to` means, seen from e->on? */
static bool nemesis_means(const struct run_event *e, const struct sim_node *n)
{
    const char *to = e->f->f.to;
    if (n == e->on->node)
        return false;
    if (!strcmp(to, "half"))
        return base_mix_u64((uint64_t)e->f->f.at_ns) >> sim_node_id(n) % 64 & 1;
    return !strcmp(to, "*") || (!strcmp(to, "leader") && e->to_leader && n == e->to_leader->node) ||
           !strcmp(to, sim_node_name(n));
}

/* who has links that may break: with journal.zk also what masters have theirs on */
static struct sim_node *nemesis_at(const struct lab_run *r, uint32_t i)
{
    return r->zk ? sim_node_at(r->sim, i) : r->nodes[i].node;
}

/* fn for every link that is meant; "half": the node and whoever is not meant stand on one side */
static void nemesis_each(struct run_event *e,
                         void (*fn)(const struct lab_fault *f, struct sim_node *from,
                                    struct sim_node *to))
{
    struct lab_run *r = e->r;
    bool half = !strcmp(e->f->f.to, "half");
    uint32_t n = r->zk ? sim_node_count(r->sim) : r->n_nodes;
    for (uint32_t i = 0; i < n; i++) {
        struct sim_node *from = nemesis_at(r, i);
        if (half ? nemesis_means(e, from) : from != e->on->node)
            continue;
        for (uint32_t k = 0; k < n; k++)
            if (nemesis_means(e, nemesis_at(r, k)))
                fn(&e->f->f, from, nemesis_at(r, k));
    }
}

/* Of several masters' disks only a minority's are ever damaged, from the first ones on. */
static uint32_t nemesis_damages(const struct lab_run *r)
{
    if (r->zk) /* they keep nothing there */
        return 0;
    return ((r->s.journal.members ? r->s.journal.members : r->s.masters) - 1) / 2;
}

static bool nemesis_may_damage(const struct run_node *n)
{
    return n->role != RUN_MASTER || (uint32_t)(n - n->r->nodes) < nemesis_damages(n->r);
}

/* a disk as the faults that are under way want it */
static void nemesis_disk(struct run_node *n)
{
    struct lab_fault_disks f = {n->full, n->slow, n->unsynced, n->errs,
                                nemesis_may_damage(n) ? LAB_FAULT_SPARES_NOTHING
                                : n->r->oper          ? LAB_FAULT_SPARES_DATA
                                                      : LAB_FAULT_SPARES_ALL};
    lab_fault_disk(n->node, n->r->s.sim.disk, f);
}

/* What it has may be wrong from now on, and that may show much later. */
static void nemesis_errs(struct run_node *n, int64_t until_ns)
{
    n->flipped |= nemesis_may_damage(n);
    n->had_errs = true;
    if (n->excused_until_ns < until_ns)
        n->excused_until_ns = until_ns;
    nemesis_disk(n);
}

uint32_t lab_nemesis_damaged(const struct lab_run *r)
{
    for (uint32_t i = 0; i < r->s.n_faults; i++)
        if (r->s.faults[i].kind == LAB_FAULT_BIT_FLIP ||
            r->s.faults[i].kind == LAB_FAULT_DISK_ERRORS)
            return nemesis_damages(r);
    return r->errs ? nemesis_damages(r) : 0;
}

/* is it only given up where no disk of the others is damaged? */
static bool nemesis_may_wipe(const struct run_node *n)
{
    return !lab_nemesis_damaged(n->r) || nemesis_may_damage(n);
}

static void nemesis_flip(struct run_event *e)
{
    struct lab_run *r = e->r;
    if (!nemesis_may_damage(e->on))
        e->on = &r->nodes[0];
    struct sim_node *n = e->on->node;
    const char *name = "", *found = NULL;
    uint32_t files = 0;
    while ((name = sim_disk_next(n, name)))
        files += sim_disk_size(n, name) > 0;
    if (!files)
        return;
    uint64_t at = lab_fault_chance(&e->f->f, r->sim, files);
    for (name = ""; (name = sim_disk_next(n, name));) {
        if (sim_disk_size(n, name) > 0 && at-- == 0) {
            found = name;
            break;
        }
    }
    e->on->flipped = true;
    uint64_t size = (uint64_t)sim_disk_size(n, found);
    uint64_t off = lab_fault_chance(&e->f->f, r->sim, size); /* not in the call: order matters */
    unsigned bit = (unsigned)lab_fault_chance(&e->f->f, r->sim, 12);
    if (bit < 8)
        sim_disk_flip(n, found, off, bit);
    else
        sim_disk_bad(n, found, off / 4096 * 4096);
}

static void nemesis_store_change(struct lab_run *r, struct lab_fault *f)
{
    char path[64];
    uint64_t file = lab_fault_chance(f, r->sim, r->s.store_files ? r->s.store_files : 1);
    uint64_t size = lab_fault_chance(f, r->sim, r->s.store_file_bytes + 1);
    uint64_t dirs = r->s.store_dirs + 1, dir = file % dirs;
    if (dir)
        fmt_into(path, sizeof path, "main/d%llu/f%llu", (unsigned long long)dir,
                 (unsigned long long)file);
    else
        fmt_into(path, sizeof path, "main/f%llu", (unsigned long long)file);
    switch (lab_fault_chance(f, r->sim, 3)) {
    case 0:
        lab_ufs_file(r->ufs, path, size);
        break;
    case 1:
        lab_ufs_rewrite(r->ufs, path, size);
        break;
    default:
        lab_ufs_remove(r->ufs, path);
        break;
    }
}

static void nemesis_kill(struct run_event *e, void (*how)(struct sim_node *n))
{
    struct run_node *n = e->on;
    if (n->down++ == 0 && sim_node_is_up(n->node))
        lab_run_down(n, how);
}

/* one of several masters */
static bool nemesis_is_member(const struct run_node *n)
{
    return n->r->oper && n->role == RUN_MASTER;
}

static void nemesis_disk_begin(struct run_event *e, int64_t until_ns)
{
    struct run_node *n = e->on;
    int64_t excused_ns = until_ns + 2000 * RUN_MS;
    n->full += e->f->f.kind == LAB_FAULT_DISK_FULL;
    n->slow += e->f->f.kind == LAB_FAULT_DISK_SLOW;
    n->unsynced += e->f->f.kind == LAB_FAULT_SYNC_FAIL;
    if (e->f->f.kind == LAB_FAULT_SYNC_FAIL && excused_ns > n->excused_until_ns)
        n->excused_until_ns = excused_ns;
    if (e->f->f.kind == LAB_FAULT_DISK_FULL && excused_ns > n->full_until_ns)
        n->full_until_ns = excused_ns;
    if (e->f->f.kind == LAB_FAULT_DISK_ERRORS) {
        n->errs++;
        nemesis_errs(n, excused_ns);
    }
    nemesis_disk(n);
}

static void nemesis_swizzle(struct env_op *op)
{
    struct run_event *e = container_of(op, struct run_event, more);
    int64_t from = e->until_ns;
    e->until_ns = sim_now_ns(e->r->sim);
    int64_t next = e->did ? lab_fault_swizzle(&e->f->f, e->r->sim, e->on->node, from) : 0;
    if (next)
        sim_at(e->r->sim, next, &e->more);
}

/* of several at once the last one counts until all are over */
static void nemesis_rate(struct run_event *e, bool begin)
{
    if (begin && ++e->on->rated)
        lab_fault_rate(&e->f->f, e->on->node, e->r->s.sim.clock.drift_max_ppm);
    else if (!--e->on->rated)
        sim_clock_own(e->on->node);
    lab_load_clock(e->r->load, e->on->node);
}

/* what is drawn once, for the beginning and the end alike */
static void nemesis_drawn(struct run_event *e, bool begin)
{
    struct lab_fault *f = &e->f->f;
    struct sim *s = e->r->sim;
    if (begin)
        lab_fault_draw(f, s);
    if (f->kind == LAB_FAULT_BRIDGE)
        lab_fault_bridge(f, s, e->on->node, begin ? lab_fault_partition : lab_fault_heal);
    else if (f->kind == LAB_FAULT_LINK_SLOW)
        nemesis_each(e, begin ? lab_fault_slow : lab_fault_fast);
    else if (f->kind == LAB_FAULT_CLOCK_STEP)
        lab_fault_clock(f, e->on->node, begin);
    else if (f->kind == LAB_FAULT_CLOCK_RATE)
        nemesis_rate(e, begin);
    else if (begin)
        nemesis_swizzle(&e->more);
}

static void nemesis_begin(struct env_op *op)
{
    struct run_event *e = container_of(op, struct run_event, begin);
    struct lab_run *r = e->r;
    int64_t until_ns = sim_now_ns(r->sim) + e->f->f.for_ns;
    e->to_leader = !strcmp(e->f->f.to, "leader") ? lab_run_leader(r) : NULL;
    if (!strcmp(e->f->f.node, "leader") && !(e->on = lab_run_leader(r)))
        return;
    if (r->zk && lab_scenario_fault_idle(&r->s, &e->f->f)) /* as random ones may be */
        return;
    e->did = true;
    e->f->f.n_chance = 0;
    e->f->began_ns = sim_now_ns(r->sim);
    switch (e->f->f.kind) {
    case LAB_FAULT_POWER_LOSS:
        nemesis_kill(e, sim_node_power_loss);
        break;
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
        nemesis_kill(e, sim_node_crash);
        break;
    case LAB_FAULT_WIPE:
        e->did = !nemesis_is_member(e->on);
        if (e->did)
            nemesis_kill(e, sim_node_crash);
        else if (nemesis_may_wipe(e->on))
            lab_run_operator_wish(r->oper, e->f->f.kind, e->on, 0);
        break;
    case LAB_FAULT_PAUSE:
        e->did = !e->on->paused && !e->on->down && (!nemesis_is_member(e->on) || e->on->id);
        if (e->did)
            sim_node_pause(e->on->node);
        e->on->paused |= e->did;
        break;
    case LAB_FAULT_PARTITION:
        nemesis_each(e, lab_fault_partition);
        break;
    case LAB_FAULT_CLOG:
        nemesis_each(e, lab_fault_clog);
        break;
    case LAB_FAULT_RESET:
        nemesis_each(e, lab_fault_reset);
        break;
    case LAB_FAULT_BIT_FLIP:
        nemesis_flip(e);
        break;
    case LAB_FAULT_STORE_CHANGE:
        nemesis_store_change(r, &e->f->f);
        break;
    case LAB_FAULT_STORE_OUTAGE:
        lab_ufs_outage(r->ufs, until_ns);
        break;
    case LAB_FAULT_STORE_FULL:
        lab_ufs_full(r->ufs, until_ns);
        break;
    case LAB_FAULT_DISK_FULL:
    case LAB_FAULT_DISK_SLOW:
    case LAB_FAULT_SYNC_FAIL:
    case LAB_FAULT_DISK_ERRORS:
        nemesis_disk_begin(e, until_ns);
        break;
    case LAB_FAULT_STALL:
        if (sim_node_is_up(e->on->node))
            sim_node_stall(e->on->node, (uint32_t)lab_fault_chance(&e->f->f, r->sim, 8),
                           e->f->f.for_ns);
        break;
    case LAB_FAULT_IMAGE:
    case LAB_FAULT_MEMBERS:
    case LAB_FAULT_LOSE:
    case LAB_FAULT_SIEGE:
    case LAB_FAULT_ROT:
        if (r->oper)
            lab_run_operator_wish(r->oper, e->f->f.kind, e->on,
                                  lab_fault_chance(&e->f->f, r->sim, 1 << 30));
        break;
    case LAB_FAULT_USURP:
        lab_run_plot_usurp(e);
        return;
    case LAB_FAULT_BLACKOUT:
        lab_run_plot_blackout(e);
        break;
    case LAB_FAULT_SWIZZLE:
    case LAB_FAULT_BRIDGE:
    case LAB_FAULT_LINK_SLOW:
    case LAB_FAULT_CLOCK_STEP:
    case LAB_FAULT_CLOCK_RATE:
        nemesis_drawn(e, true);
        break;
    default: /* of journals alone, or: */
        if (lab_scenario_fault_is_zk(e->f->f.kind))
            e->step = lab_zk_site_fault(e->r->zk, &e->f->f);
        break;
    }
    sim_at(r->sim, until_ns, &e->end);
}

static void nemesis_end(struct env_op *op)
{
    struct run_event *e = container_of(op, struct run_event, end);
    struct run_node *n = e->on;
    if (!e->did)
        return;
    e->did = false;
    switch (e->f->f.kind) {
    case LAB_FAULT_POWER_LOSS:
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
    case LAB_FAULT_WIPE:
        if (--n->down)
            break;
        if (e->f->f.kind == LAB_FAULT_WIPE)
            sim_node_wipe(n->node);
        n->paused = false;
        lab_run_boot(n);
        break;
    case LAB_FAULT_PAUSE:
        if (n->paused && !n->down)
            sim_node_resume(n->node);
        n->paused = false;
        break;
    case LAB_FAULT_PARTITION:
        nemesis_each(e, lab_fault_heal);
        break;
    case LAB_FAULT_USURP:
        lab_run_plot_usurp_next(e);
        break;
    case LAB_FAULT_BLACKOUT:
        lab_run_plot_blackout_end(e);
        break;
    case LAB_FAULT_BRIDGE:
    case LAB_FAULT_LINK_SLOW:
    case LAB_FAULT_CLOCK_STEP:
    case LAB_FAULT_CLOCK_RATE:
        nemesis_drawn(e, false);
        break;
    case LAB_FAULT_DISK_FULL:
    case LAB_FAULT_DISK_SLOW:
    case LAB_FAULT_SYNC_FAIL:
    case LAB_FAULT_DISK_ERRORS:
        n->full -= e->f->f.kind == LAB_FAULT_DISK_FULL;
        n->slow -= e->f->f.kind == LAB_FAULT_DISK_SLOW;
        n->unsynced -= e->f->f.kind == LAB_FAULT_SYNC_FAIL;
        n->errs -= e->f->f.kind == LAB_FAULT_DISK_ERRORS;
        nemesis_disk(n);
        break;
    default:
        if (lab_scenario_fault_is_zk(e->f->f.kind))
            lab_zk_site_fault_end(e->r->zk, &e->f->f, e->step, e->healing);
        break;
    }
}

void lab_nemesis_open(struct lab_run *r)
{
    for (uint32_t i = 0; i < r->s.n_faults; i++) {
        struct run_event *e = &r->events[i];
        struct lab_fault *f = &r->s.faults[i];
        if (f->kind == LAB_FAULT_RESTART)
            f->for_ns = 1;
        if (f->at_ns < r->s.duration_ns && f->at_ns + f->for_ns > r->s.duration_ns)
            f->for_ns = r->s.duration_ns - f->at_ns;
        r->faults[i].f = *f;
        e->r = r;
        e->f = &r->faults[i];
        e->on = lab_run_node(r, f->node);
        e->begin.done = nemesis_begin;
        e->end.done = nemesis_end;
        e->more.done = nemesis_swizzle;
        if (f->at_ns >= r->s.duration_ns)
            continue; /* everything is healed by then, and stays so */
        if (f->at_ns + f->for_ns > r->last_fault_end_ns)
            r->last_fault_end_ns = f->at_ns + f->for_ns;
        sim_at(r->sim, f->at_ns, &e->begin);
    }
    r->errs = lab_fault_errs(&r->s.sim.disk);
    for (uint32_t i = r->zk ? r->s.masters : 0; i < r->n_nodes && r->errs; i++)
        nemesis_errs(&r->nodes[i], INT64_MAX);
}

void lab_nemesis_heal(struct lab_run *r)
{
    struct sim_config quiet = sim_config_quiet(0);
    quiet.net.latency_min_ns = r->s.sim.net.latency_min_ns;
    quiet.net.latency_mean_ns = r->s.sim.net.latency_mean_ns;
    bool stalls = r->s.sim.disk.stall_ppm != 0;
    for (uint32_t i = 0; i < r->s.n_faults; i++)
        if (r->events[i].did) {
            r->events[i].healing = true;
            nemesis_end(&r->events[i].end);
        }
    sim_chance_expire(r->sim);
    sim_net_heal_all(r->sim);
    sim_net_set(r->sim, &quiet.net);
    lab_link_begin(&r->s, r->sim, true);
    sim_net_mend(r->sim);
    sim_stalls_end(r->sim);
    r->s.sim.disk.stall_ppm = 0;
    lab_fault_disk_calm(&r->s.sim.disk);
    for (uint32_t i = 0; i < r->n_nodes; i++)
        if ((r->oper && i < r->s.masters) || r->nodes[i].had_errs || stalls)
            nemesis_disk(&r->nodes[i]);
    if (r->zk)
        lab_zk_site_heal(r->zk);
    lab_ufs_outage(r->ufs, 0);
    lab_ufs_full(r->ufs, 0);
    lab_ufs_eio(r->ufs, 0);
    lab_ufs_short(r->ufs, 0);
    for (uint32_t i = 0; sim_fault_known(i); i++) /* also who was not asked yet */
        sim_fault_set(r->sim, sim_fault_known(i)->name, 0);
}
