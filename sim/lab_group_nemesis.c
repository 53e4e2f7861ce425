/* sim/lab_group_nemesis.c - what goes wrong with journals: each fault begins at its time, and is
 * put right at its end (see sim/lab_scenario.h for what they are). */
#include "sim/lab_fault.h"
#include "sim/lab_group_impl.h"

/* is node i of those that f->to means, seen from `on`? */
static bool nemesis_means(const struct group_event *e, struct sim_node *n)
{
    const char *to = e->f->to;
    uint64_t salt = base_mix_u64((uint64_t)e->f->at_ns);
    if (n == e->on->node)
        return false;
    if (!strcmp(to, "*"))
        return true;
    if (!strcmp(to, "leader"))
        return e->on != &e->g->node[0] ? n == e->g->node[0].node : n == e->g->node[1].node;
    return !strcmp(to, "half") ? (salt >> sim_node_id(n) & 1) : !strcmp(to, sim_node_name(n));
}

/* "half": the node and whoever is not meant stand on one side */
static void nemesis_link(struct group_event *e, void (*fn)(const struct lab_fault *f,
                                                           struct sim_node *a, struct sim_node *b))
{
    struct sim *s = e->g->sim;
    uint32_t n = sim_node_count(s);
    bool half = !strcmp(e->f->to, "half");
    for (uint32_t i = 0; i < n; i++) {
        struct sim_node *a = sim_node_at(s, i);
        if (half ? nemesis_means(e, a) : a != e->on->node)
            continue;
        for (uint32_t k = 0; k < n; k++)
            if (nemesis_means(e, sim_node_at(s, k)))
                fn(e->f, a, sim_node_at(s, k));
    }
}

/* Disks that err destroy what they have without a word, so it is always the same ones: of the group
 * as it begins fewer than half. */
static bool nemesis_may_damage(const struct group_node *n)
{
    const struct lab_group *g = n->g;
    uint32_t all = g->s.journal.members ? g->s.journal.members : g->n_nodes;
    return g->s.beyond || (uint32_t)(n - g->node) < (all - 1) / 2;
}

/* the disk as the faults that are under way want it */
static void nemesis_disk(struct group_node *n)
{
    struct lab_fault_disks f = {n->full, n->slow, n->unsynced, n->errs,
                                nemesis_may_damage(n) ? LAB_FAULT_SPARES_NOTHING
                                                      : LAB_FAULT_SPARES_DATA};
    lab_fault_disk(n->node, n->g->s.sim.disk, f);
}

static void nemesis_excuse(struct group_node *n, int64_t until_ns)
{
    if (n->excused_until_ns < until_ns)
        n->excused_until_ns = until_ns;
}

/* What it has may be wrong from now on, and that may show much later. */
static void nemesis_errs(struct group_node *n, int64_t until_ns)
{
    bool may = nemesis_may_damage(n);
    n->erred |= may;
    nemesis_excuse(n, may ? INT64_MAX : until_ns);
    n->g->is_ruined |= n->g->s.beyond;
    nemesis_disk(n);
}

static void nemesis_kill(struct group_event *e, void (*how)(struct sim_node *n))
{
    struct group_node *n = e->on;
    if (n->down++ == 0 && sim_node_is_up(n->node))
        lab_group_down(n, how);
}

/* --- in several steps --- */

/* Clients give up on who sleeps, and come back to it with questions of a later time. */
static const int64_t PLOT_SLEEP_NS = 900 * GROUP_MS;

/* Everybody is there and whole, and nobody is about to change that. */
bool lab_group_is_calm(struct lab_group *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct group_node *n = &g->node[i];
        if (n->lost || n->paused || n->erred ||
            (n->id && (!n->m || lab_group_member_is_damaged(n->m))))
            return false;
    }
    return lab_group_operator_is_tidy(g->oper);
}

/* is nobody else damaged? */
static bool nemesis_may_err(const struct group_node *n)
{
    const struct lab_group *g = n->g;
    for (uint32_t i = 0; i < g->n_nodes && !g->own && nemesis_may_damage(n); i++) {
        const struct group_node *x = &g->node[i];
        if (x != n && !g->s.beyond && !nemesis_may_damage(x) &&
            (x->lost || (x->id && x->m && lab_group_member_is_damaged(x->m))))
            return false;
    }
    return true;
}

/* How far a segment of node n's log has been written; 0: it is only prepared, or not there. */
uint64_t lab_group_plot_used(struct group_node *n, const char *seg)
{
    static uint8_t b[2 << 20];
    int64_t len = sim_disk_read(n->node, seg, b, sizeof b, 0), used = 0;
    for (int64_t k = 0; k < len; k++)
        used = b[k] ? k : used;
    return used < 4096 ? 0 : (uint64_t)used;
}

/* A bit of what node n has written of its log, or a block that cannot be read any more; as often of
 * what it wrote last, which nothing may prove to have been there: then it is for the log to see
 * that it is no write that a crash tore. */
static void plot_flip(struct group_event *e, struct group_node *n)
{
    const char *seg = NULL;
    bool end = lab_group_chance(e, 2);
    uint64_t used = 0;
    for (const char *f = ""; (f = sim_disk_next(n->node, f));) {
        uint64_t u = strstr(f, "wal-") ? lab_group_plot_used(n, f) : 0;
        if (u && (end ? !seg || strcmp(f, seg) > 0 : !seg || lab_group_chance(e, 2))) {
            seg = f;
            used = u;
        }
    }
    if (!seg)
        return;
    uint64_t from = end ? used / 4096 * 4096 : 4096;
    uint64_t at = from + lab_group_chance(e, used + 1 - from);
    lab_group_note(n->g, "%s: '%s' is damaged at %llu of %llu", sim_node_name(n->node), seg,
                   (unsigned long long)at, (unsigned long long)used);
    uint64_t bit = lab_group_chance(e, 12);
    if (bit < 8)
        sim_disk_flip(n->node, seg, at, (unsigned)bit);
    else
        sim_disk_bad(n->node, seg, at / 4096 * 4096);
}

/* One of the two copies of a member's vote and term, unless a crash has torn the other one. */
static void plot_flip_meta(struct group_event *e, struct group_node *n)
{
    static uint8_t b[2][4096];
    if (sim_disk_read(n->node, "journal/journal.meta", b, sizeof b, 0) != sizeof b ||
        memcmp(b[0], b[1], sizeof b[0]) != 0)
        return;
    uint64_t copy = lab_group_chance(e, 2), at = lab_group_chance(e, 112);
    lab_group_note(n->g, "%s: copy %u of 'journal.meta' is damaged", sim_node_name(n->node),
                   (unsigned)copy);
    sim_disk_flip(n->node, "journal/journal.meta", copy * sizeof b[0] + at,
                  (unsigned)lab_group_chance(e, 8));
}

/* One member is away for a while, so that others' disks alone hold what comes; then one of them is
 * damaged or lost, and mostly the leader is gone. */
static void plot_disk_begin(struct group_event *e)
{
    struct lab_group *g = e->g;
    e->led = lab_group_leader(g);
    e->did = false;
    if (!e->led || !lab_group_is_calm(g))
        return;
    if (e->on == e->led)
        e->on = lab_group_plot_some(e, e->led, NULL);
    e->other = e->on ? lab_group_plot_some(e, e->led, e->on) : NULL;
    if (!e->other || (e->f->kind == LAB_FAULT_LOSE && !e->on->founder))
        return;
    e->did = true;
    e->step = 0;
    if (e->other->down++ == 0 && sim_node_is_up(e->other->node))
        lab_group_down(e->other, sim_node_crash);
}

static void plot_disk_next(struct group_event *e)
{
    struct group_node *a = e->on, *l = e->led, *b = e->other;
    if (e->step == 2) {
        l->down--;
        lab_group_boot(l);
        e->did = false;
        return;
    }
    b->down--;
    e->did = !e->healing && !a->lost;
    if (e->did) {
        if (sim_node_is_up(a->node))
            lab_group_down(a, sim_node_crash);
        a->lost = e->f->kind == LAB_FAULT_LOSE;
        if (a->lost)
            sim_node_wipe(a->node);
        else if (lab_group_chance(e, 3))
            plot_flip(e, a);
        else
            plot_flip_meta(e, a);
        if (a->lost && a->watch)
            lab_raft_lost(a->watch);
        a->epoch = a->lost ? 0 : a->epoch;
        lab_group_boot(a);
        e->did = lab_group_chance(e, 4); /* or it stays, and gives back what is lost */
        if (e->did) {
            if (l->down++ == 0 && sim_node_is_up(l->node))
                lab_group_down(l, sim_node_crash);
            lab_group_plot_next(e, 1500 * GROUP_MS);
        }
    }
    lab_group_boot(b);
}

/* The leader reaches clients only; it may sleep through its successor's election, and a voter may
 * forget that it has a promise to keep. */
static void plot_siege_begin(struct group_event *e)
{
    struct lab_group *g = e->g;
    e->did = false;
    for (uint32_t i = 0; i < g->s.n_faults; i++)
        if (g->events[i].did && g->events[i].f->kind == LAB_FAULT_SIEGE)
            return; /* one at a time: the successor is wanted */
    e->led = lab_group_leader(g);
    e->did = e->led != NULL;
    e->step = 0;
    if (!e->did)
        return;
    lab_group_plot_cut(e, true);
    uint64_t how = lab_group_chance(e, 4);
    if (how < 2 && !e->led->paused && sim_node_is_up(e->led->node)) {
        e->paused = e->led->paused = true;
        sim_node_pause(e->led->node);
    }
    e->other = lab_group_plot_some(e, e->led, NULL);
    if (how % 2 && e->other && sim_node_is_up(e->other->node)) {
        lab_group_down(e->other, sim_node_crash);
        lab_group_boot(e->other);
    }
}

static void plot_siege_next(struct group_event *e)
{
    if (e->paused && e->led->paused && sim_node_is_up(e->led->node))
        sim_node_resume(e->led->node);
    if (e->paused)
        e->led->paused = false;
    if (e->paused && !e->healing) {
        e->paused = false;
        lab_group_plot_next(e, 60 * GROUP_MS);
        return;
    }
    lab_group_plot_cut(e, false);
    e->did = false;
}

static struct group_node *nemesis_node(struct group_event *e)
{
    struct lab_group *g = e->g;
    if (!strcmp(e->f->node, "leader"))
        return lab_group_leader(g);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (!strcmp(sim_node_name(g->node[i].node), e->f->node))
            return &g->node[i];
    return NULL;
}

/* of somebody's own protocol: there is no operator who gives it another name */
static void nemesis_lose(struct group_event *e)
{
    nemesis_kill(e, sim_node_crash);
    sim_node_wipe(e->on->node);
}

static void nemesis_swizzle(struct env_op *op)
{
    struct group_event *e = container_of(op, struct group_event, more);
    int64_t from = e->until_ns;
    e->until_ns = group_now_ns(e->g);
    int64_t next = e->did ? lab_fault_swizzle(e->f, e->g->sim, e->on->node, from) : 0;
    if (next)
        sim_at(e->g->sim, next, &e->more);
}

/* of several at once the last one counts until all are over */
static void nemesis_rate(struct group_event *e, bool begin)
{
    if (begin && ++e->on->rated)
        lab_fault_rate(e->f, e->on->node, e->g->s.sim.clock.drift_max_ppm);
    else if (!--e->on->rated)
        sim_clock_own(e->on->node);
}

/* what is drawn once, for the beginning and the end alike */
static void nemesis_drawn(struct group_event *e, bool begin)
{
    struct sim *s = e->g->sim;
    if (begin)
        lab_fault_draw(e->f, s);
    if (e->f->kind == LAB_FAULT_BRIDGE)
        lab_fault_bridge(e->f, s, e->on->node, begin ? lab_fault_partition : lab_fault_heal);
    else if (e->f->kind == LAB_FAULT_LINK_SLOW)
        nemesis_link(e, begin ? lab_fault_slow : lab_fault_fast);
    else if (e->f->kind == LAB_FAULT_CLOCK_STEP)
        lab_fault_clock(e->f, e->on->node, begin);
    else if (e->f->kind == LAB_FAULT_CLOCK_RATE)
        nemesis_rate(e, begin);
    else if (begin)
        nemesis_swizzle(&e->more);
}

static void nemesis_do(struct group_event *e)
{
    struct group_node *n = e->on;
    switch (e->f->kind) {
    case LAB_FAULT_POWER_LOSS:
        nemesis_kill(e, sim_node_power_loss);
        break;
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
        nemesis_kill(e, sim_node_crash);
        break;
    case LAB_FAULT_PAUSE:
        e->did = !n->paused && sim_node_is_up(n->node);
        if (e->did)
            sim_node_pause(n->node);
        n->paused |= e->did;
        break;
    case LAB_FAULT_PARTITION:
        nemesis_link(e, lab_fault_partition);
        break;
    case LAB_FAULT_CLOG:
        nemesis_link(e, lab_fault_clog);
        break;
    case LAB_FAULT_RESET:
        nemesis_link(e, lab_fault_reset);
        break;
    case LAB_FAULT_DISK_FULL:
        n->full++;
        nemesis_disk(n);
        break;
    case LAB_FAULT_DISK_SLOW:
        n->slow++;
        nemesis_disk(n);
        break;
    case LAB_FAULT_SYNC_FAIL:
        n->unsynced++;
        nemesis_excuse(n, group_now_ns(e->g) + e->f->for_ns + 2000 * GROUP_MS);
        nemesis_disk(n);
        break;
    case LAB_FAULT_DISK_ERRORS:
        e->did = nemesis_may_err(n);
        n->errs += e->did;
        if (e->did)
            nemesis_errs(n, group_now_ns(e->g) + e->f->for_ns + 2000 * GROUP_MS);
        break;
    case LAB_FAULT_STALL:
        if (sim_node_is_up(n->node))
            sim_node_stall(n->node, (uint32_t)lab_group_chance(e, 8), e->f->for_ns);
        break;
    case LAB_FAULT_BIT_FLIP:
    case LAB_FAULT_LOSE:
        if (e->g->own && e->f->kind == LAB_FAULT_BIT_FLIP)
            lab_own_flip(e);
        else if (e->g->own)
            nemesis_lose(e);
        else
            plot_disk_begin(e);
        break;
    case LAB_FAULT_SIEGE:
        plot_siege_begin(e);
        break;
    case LAB_FAULT_USURP:
        lab_group_plot_usurp(e);
        break;
    case LAB_FAULT_BLACKOUT:
        lab_group_plot_blackout(e);
        break;
    case LAB_FAULT_ROT:
        lab_group_plot_rot(e);
        break;
    case LAB_FAULT_SWIZZLE:
    case LAB_FAULT_BRIDGE:
    case LAB_FAULT_LINK_SLOW:
    case LAB_FAULT_CLOCK_STEP:
    case LAB_FAULT_CLOCK_RATE:
        nemesis_drawn(e, true);
        break;
    case LAB_FAULT_WIPE:
    case LAB_FAULT_IMAGE:
    case LAB_FAULT_MEMBERS:
        if (e->g->own) {
            nemesis_lose(e);
            break;
        }
        lab_group_operator_wish(e->g->oper, e->f->kind, n, lab_group_chance(e, 1 << 30));
        break;
    default:
        break;
    }
}

static void nemesis_begin(struct env_op *op)
{
    struct group_event *e = container_of(op, struct group_event, begin);
    bool is_zk = lab_scenario_fault_is_zk(e->f->kind);
    e->on = is_zk ? &e->g->node[0] : nemesis_node(e);
    if (!e->on || e->g->phase != GROUP_LOAD)
        return;
    e->did = true;
    e->paused = false;
    e->f->n_chance = 0;
    lab_group_note(e->g, "fault %s %s to %s for %.3f s", lab_scenario_fault_name(e->f->kind),
                   is_zk ? "*" : sim_node_name(e->on->node), e->f->to, (double)e->f->for_ns / 1e9);
    if (is_zk) {
        lab_group_zk_fault(e);
        return;
    }
    if (e->g->zk && lab_scenario_fault_idle(&e->g->s, e->f)) { /* as random ones may be */
        e->did = false;
        return;
    }
    nemesis_do(e);
    if (e->did && e->f->kind != LAB_FAULT_USURP)
        lab_group_plot_next(e, e->f->for_ns + (e->f->kind == LAB_FAULT_SIEGE ? PLOT_SLEEP_NS : 0));
}

static void nemesis_up(struct group_node *n)
{
    n->down--;
    lab_group_boot(n);
}

static void nemesis_end(struct env_op *op)
{
    struct group_event *e = container_of(op, struct group_event, end);
    struct group_node *n = e->on;
    if (!e->did)
        return;
    e->did = false;
    if (lab_scenario_fault_is_zk(e->f->kind)) {
        lab_group_zk_fault_end(e);
        return;
    }
    switch (e->f->kind) {
    case LAB_FAULT_BIT_FLIP:
    case LAB_FAULT_LOSE:
        if (!e->g->own)
            plot_disk_next(e);
        else if (e->f->kind == LAB_FAULT_LOSE)
            nemesis_up(n);
        break;
    case LAB_FAULT_SIEGE:
        plot_siege_next(e);
        break;
    case LAB_FAULT_USURP:
        lab_group_plot_usurp_next(e);
        break;
    case LAB_FAULT_BLACKOUT:
        lab_group_plot_blackout_end(e);
        break;
    case LAB_FAULT_ROT:
        lab_group_plot_rot_end(e);
        break;
    case LAB_FAULT_POWER_LOSS:
    case LAB_FAULT_CRASH:
    case LAB_FAULT_RESTART:
        nemesis_up(n);
        break;
    case LAB_FAULT_WIPE:
        if (e->g->own)
            nemesis_up(n);
        break;
    case LAB_FAULT_PAUSE:
        if (n->paused && sim_node_is_up(n->node))
            sim_node_resume(n->node);
        n->paused = false;
        break;
    case LAB_FAULT_PARTITION:
        nemesis_link(e, lab_fault_heal);
        break;
    case LAB_FAULT_BRIDGE:
    case LAB_FAULT_LINK_SLOW:
    case LAB_FAULT_CLOCK_STEP:
    case LAB_FAULT_CLOCK_RATE:
        nemesis_drawn(e, false);
        break;
    case LAB_FAULT_DISK_FULL:
        n->full--;
        nemesis_disk(n);
        break;
    case LAB_FAULT_DISK_SLOW:
        n->slow--;
        nemesis_disk(n);
        break;
    case LAB_FAULT_SYNC_FAIL:
        n->unsynced--;
        nemesis_disk(n);
        break;
    case LAB_FAULT_DISK_ERRORS:
        n->errs--;
        nemesis_disk(n);
        break;
    default:
        break;
    }
}

void lab_group_nemesis_open(struct lab_group *g)
{
    for (uint32_t i = 0; i < g->s.n_faults; i++) {
        struct group_event *e = &g->events[i];
        struct lab_fault *f = &g->s.faults[i];
        if (f->kind == LAB_FAULT_RESTART)
            f->for_ns = 1;
        if (f->at_ns < g->s.duration_ns && f->at_ns + f->for_ns > g->s.duration_ns)
            f->for_ns = g->s.duration_ns - f->at_ns;
        e->g = g;
        e->f = f;
        e->begin.done = nemesis_begin;
        e->end.done = nemesis_end;
        e->more.done = nemesis_swizzle;
        if (f->at_ns >= g->s.duration_ns)
            continue; /* everything is healed by then, and stays so */
        if (f->at_ns + f->for_ns > g->last_fault_end_ns)
            g->last_fault_end_ns = f->at_ns + f->for_ns;
        sim_at(g->sim, f->at_ns, &e->begin);
    }
    for (uint32_t i = 0; i < g->n_nodes && lab_fault_errs(&g->s.sim.disk); i++)
        nemesis_errs(&g->node[i], INT64_MAX);
}

void lab_group_nemesis_heal(struct lab_group *g)
{
    struct sim_config quiet = sim_config_quiet(0);
    quiet.net.latency_min_ns = g->s.sim.net.latency_min_ns;
    quiet.net.latency_mean_ns = g->s.sim.net.latency_mean_ns;
    for (uint32_t i = 0; i < g->s.n_faults; i++)
        for (struct group_event *e = &g->events[i]; e->did;) {
            e->healing = true;
            nemesis_end(&e->end);
        }
    sim_chance_expire(g->sim);
    sim_net_heal_all(g->sim);
    sim_net_set(g->sim, &quiet.net);
    lab_link_begin(&g->s, g->sim, true);
    sim_net_mend(g->sim);
    sim_stalls_end(g->sim);
    g->s.sim.disk.stall_ppm = 0;
    lab_fault_disk_calm(&g->s.sim.disk);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        nemesis_disk(&g->node[i]);
    if (g->zk)
        lab_zk_site_heal(g->zk);
    for (uint32_t i = 0; sim_fault_known(i); i++) /* also who was not asked yet */
        sim_fault_set(g->sim, sim_fault_known(i)->name, 0);
}
