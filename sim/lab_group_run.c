/* sim/lab_group_run.c - machines, and the course of a run (see sim/lab_group.h). */
#include <stdarg.h>
#include "sim/lab_group_impl.h"

static const int64_t group_tick_ns = 50 * GROUP_MS;
enum { GROUP_RESERVE = 4 << 20 }; /* bytes: the disks are fuller now and then */

/* ---- machines ---- */

static void group_boot_member(struct env *e, struct mem *m, void *ctx)
{
    struct group_node *n = ctx;
    n->m = lab_group_member_open(e, m, n);
}

void lab_group_boot(struct group_node *n)
{
    if (n->down || !n->id || sim_node_is_up(n->node))
        return;
    lab_group_note(n->g, "%s starts as %u", sim_node_name(n->node), n->id);
    sim_node_start(n->node, n->g->own ? lab_own_boot : group_boot_member, n);
}

void lab_group_down(struct group_node *n, void (*how)(struct sim_node *n))
{
    if (n->paused)
        sim_node_resume(n->node);
    n->paused = false;
    how(n->node);
    n->m = NULL;
}

static void group_exit(struct env_op *op)
{
    struct group_node *n = container_of(op, struct group_node, exit_op);
    n->exiting = false;
    n->down++;
    if (sim_node_is_up(n->node) && sim_node_incarnation(n->node) == n->exit_incarnation)
        lab_group_down(n, sim_node_crash);
    sim_at(n->g->sim, group_now_ns(n->g) + 700 * GROUP_MS, &n->boot_op);
}

static void group_exited(struct env_op *op)
{
    struct group_node *n = container_of(op, struct group_node, boot_op);
    n->down--;
    lab_group_boot(n);
}

void lab_group_exit(struct group_node *n)
{
    if (n->exiting || n->boot_op.link.next)
        return;
    n->g->stats.exits++;
    n->exiting = true;
    n->exit_incarnation = sim_node_incarnation(n->node);
    sim_at(n->g->sim, group_now_ns(n->g), &n->exit_op);
}

struct group_node *lab_group_leader(struct lab_group *g)
{
    struct group_node *best = NULL;
    uint64_t epoch, highest = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->node[i].m && lab_group_member_leads(g->node[i].m, &epoch) && epoch >= highest) {
            highest = epoch;
            best = &g->node[i];
        }
    return best;
}

struct group_node *lab_group_by_id(struct lab_group *g, uint64_t id)
{
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (id && g->node[i].id == id)
            return &g->node[i];
    return NULL;
}

void lab_group_note(struct lab_group *g, const char *format, ...)
{
    char line[600];
    va_list args;
    if (!g->history)
        return;
    va_start(args, format);
    fmt_into_v(line, sizeof line, format, args);
    va_end(args);
    fprintf(g->history, "%.6f %s\n", (double)group_now_ns(g) / 1e9, line);
}

void lab_group_success(struct lab_group *g)
{
    int64_t now = group_now_ns(g);
    uint64_t w = (uint64_t)(now / (GROUP_WINDOW_MS * GROUP_MS));
    g->core_watch.success_ns = now;
    if (w < g->n_windows)
        g->windows[w] = 1;
    if (!g->healed_ns && now > g->last_fault_end_ns)
        g->healed_ns = now;
}

/* ---- the course ---- */

static void group_next(struct lab_group *g, enum group_phase phase, int64_t for_ns)
{
    g->phase = phase;
    g->phase_until_ns = group_now_ns(g) + for_ns;
}

/* everybody that runs has applied everything, and owes nobody an answer; or a text */
static bool group_is_quiet(struct lab_group *g, char *ret_why, size_t cap)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct group_node *n = &g->node[i];
        uint64_t applied = n->m ? lab_group_member_state(n->m)->applied : 0;
        uint32_t waiting = n->m ? lab_group_member_waiting(n->m) : 0;
        if (!n->id || (n->m && applied == g->check.last && !waiting))
            continue;
        fmt_into(ret_why, cap, "%s has applied %llu of %llu, owes %u answers",
                 sim_node_name(n->node), (unsigned long long)applied,
                 (unsigned long long)g->check.last, waiting);
        return false;
    }
    return true;
}

static void group_late(struct lab_group *g, const char *what)
{
    g->stats.stopped = g->is_ruined;
    lab_group_note(g, "not in time: %s", what);
    if (!g->is_ruined)
        lab_group_fail(g, LAB_GROUP_LIVENESS, "%lld ms after everything was healed %s",
                       (long long)((group_now_ns(g) - g->s.duration_ns) / GROUP_MS), what);
    lab_group_load_tell_open(g->load);
    lab_group_check_end(g);
    group_next(g, GROUP_OVER, 0);
}

static void group_course(struct lab_group *g)
{
    int64_t now = group_now_ns(g);
    bool late = now > g->phase_until_ns, has_core;
    char why[300];
    switch (g->phase) {
    case GROUP_LOAD:
        if (now < g->s.duration_ns)
            break;
        lab_group_note(g, "everything is healed");
        lab_group_nemesis_heal(g);
        has_core = g->s.core && lab_group_core_begin(g);
        lab_group_operator_close(g->oper);
        group_next(g, has_core ? GROUP_CORE : GROUP_TIDY, g->s.bound_ns);
        break;
    case GROUP_CORE:
        if (lab_group_core_serves(g)) {
            g->check.findings[LAB_GROUP_LIVENESS].checks++;
            lab_group_core_end(g);
            group_next(g, GROUP_TIDY, g->s.bound_ns);
        } else if (late) {
            fmt_into(why, sizeof why, "the core does not serve: %s", g->stats.core);
            group_late(g, why);
        }
        break;
    case GROUP_TIDY:
        if (lab_group_operator_is_tidy(g->oper)) {
            lab_group_load_stop(g->load);
            group_next(g, GROUP_DRAIN, g->s.bound_ns);
        } else if (late) {
            lab_group_operator_say(g->oper, why, sizeof why);
            group_late(g, why);
        }
        break;
    case GROUP_DRAIN:
        if (lab_group_load_is_idle(g->load)) {
            lab_group_load_probe(g->load);
            group_next(g, GROUP_PROBE, g->s.bound_ns);
        } else if (late) {
            group_late(g, "requests have not ended");
        }
        break;
    case GROUP_PROBE:
        if (lab_group_load_is_probed(g->load))
            group_next(g, GROUP_QUIET, g->s.bound_ns);
        else if (late)
            group_late(g, "nobody can write, and read it everywhere");
        break;
    case GROUP_QUIET:
        if (group_is_quiet(g, why, sizeof why)) {
            g->check.findings[LAB_GROUP_LIVENESS].checks++;
            lab_group_check_end(g);
            group_next(g, GROUP_OVER, 0);
        } else if (late) {
            group_late(g, why);
        }
        break;
    case GROUP_OVER:
        break;
    }
}

static void group_tick(struct env_op *op)
{
    struct lab_group *g = container_of(op, struct lab_group, tick);
    if (g->own) {
        lab_own_course(g);
    } else {
        lab_group_operator_tick(g->oper);
        if (++g->ticks % (GROUP_FORGET_MS * GROUP_MS / group_tick_ns) == 0) {
            lab_group_check_forget(g);
            if (g->zk)
                lab_group_zk_check(g);
        }
        group_course(g);
    }
    if (g->phase != GROUP_OVER)
        sim_at(g->sim, group_now_ns(g) + group_tick_ns, &g->tick);
}

/* ---- from outside ---- */

static void group_add(struct lab_group *g, uint32_t i, uint32_t founders)
{
    struct group_node *n = &g->node[i];
    char name[32];
    size_t at = strlen(g->members);
    fmt_into(name, sizeof name, "m%u", i + 1);
    n->g = g;
    n->node = sim_node_add(g->sim, name);
    if (g->s.together && i)
        sim_node_together(n->node, g->node[0].node);
    n->exit_op.done = group_exit;
    n->boot_op.done = group_exited;
    fmt_into(n->addr, sizeof n->addr, "%s:%u", name, (unsigned)GROUP_PORT);
    if (i >= founders)
        return;
    n->id = i + 1;
    n->founder = true;
    n->was_in = true;
    fmt_into(g->members + at, sizeof g->members - at, "%s%u@%s", at ? "," : "", n->id, n->addr);
}

struct lab_group *lab_group_open(struct mem *m, const struct lab_scenario *s, uint64_t seed,
                                 sim_log_fn on_log, void *log_ctx)
{
    struct lab_group *g = mem_zalloc(m, sizeof *g);
    ASSERT(g != NULL);
    g->mem = m;
    g->s = *s;
    g->seed = seed;
    lab_scenario_draw(&g->s, seed);
    g->s.sim.seed = seed;
    g->s.sim.on_log = on_log;
    g->s.sim.log_ctx = log_ctx;
    g->sim = sim_open(m, &g->s.sim);
    ASSERT(g->sim != NULL);
    g->n_nodes = s->masters < GROUP_NODES ? s->masters : GROUP_NODES;
    uint32_t founders =
        s->journal.members && s->journal.members < g->n_nodes ? s->journal.members : g->n_nodes;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        group_add(g, i, founders);
    g->next_id = g->n_nodes;
    if (*s->protocol) {
        lab_own_open(g);
    } else {
        lab_group_check_open(g);
        mem_reserve(m, GROUP_RESERVE);
        g->load = lab_group_load_open(g);
        g->oper = lab_group_operator_open(g);
    }
    if (s->journal.zk)
        lab_group_zk_open(g);
    g->n_windows = (uint32_t)(s->duration_ns / (GROUP_WINDOW_MS * GROUP_MS));
    g->windows = mem_zalloc(m, g->n_windows + 1);
    g->events = mem_zalloc(m, (g->s.n_faults + 1) * sizeof *g->events);
    ASSERT(g->windows && g->events);
    lab_link_begin(&g->s, g->sim, false);
    lab_chance_begin(g->sim, s->told, s->has_chances ? &s->chances : NULL);
    if (g->zk)
        lab_group_zk_begin(g);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        lab_group_boot(&g->node[i]);
    if (g->own) {
        lab_own_begin(g);
    } else {
        lab_group_load_boot(g->load);
        lab_group_operator_boot(g->oper);
    }
    lab_group_nemesis_open(g);
    g->tick.done = group_tick;
    sim_at(g->sim, group_tick_ns, &g->tick);
    return g;
}

bool lab_group_go(struct lab_group *g, int64_t until_ns)
{
    while (g->phase != GROUP_OVER && (!until_ns || group_now_ns(g) < until_ns))
        if (!sim_step(g->sim))
            break;
    return g->phase == GROUP_OVER;
}

void lab_group_report(struct lab_group *g, struct lab_group_report *ret_rep)
{
    struct lab_group_report *p = ret_rep;
    uint32_t down = 0;
    *p = g->stats;
    p->seed = g->seed;
    sim_hash(g->sim, p->hash);
    p->events = sim_events(g->sim);
    p->virtual_ns = group_now_ns(g);
    uint64_t over = (uint64_t)(p->virtual_ns / (GROUP_WINDOW_MS * GROUP_MS));
    p->windows = over < g->n_windows ? (uint32_t)over : g->n_windows; /* it may be cut short */
    for (uint32_t w = 0; w < p->windows; w++) {
        p->windows_up += g->windows[w];
        down = g->windows[w] ? 0 : down + 1;
        if (down * GROUP_WINDOW_MS * GROUP_MS > p->longest_down_ns)
            p->longest_down_ns = down * GROUP_WINDOW_MS * GROUP_MS;
    }
    p->healed_ns = g->healed_ns ? g->healed_ns - g->last_fault_end_ns : -1;
    lab_group_feed_report(g, p);
    p->drawn = g->s.drawn;
    p->faults = g->s.faults;
    p->n_faults = g->s.n_faults;
    p->findings = g->check.findings;
}

void lab_group_close(struct lab_group *g)
{
    sim_close(g->sim);
}

struct sim *lab_group_sim(struct lab_group *g)
{
    return g->sim;
}

void lab_group_watch(struct lab_group *g, const struct lab_group_watch *w)
{
    g->watch = *w;
}

void lab_group_history(struct lab_group *g, FILE *to)
{
    g->history = to;
}

void lab_group_keep(struct lab_group *g, struct lab_ops *to)
{
    g->record = to;
}

void lab_group_vary(struct lab_group *g, uint64_t k)
{
    sim_vary(g->sim, k);
    uint64_t seed = base_mix_u64(g->seed + base_mix_u64(k));
    if (g->zk)
        lab_zk_site_vary(g->zk, seed);
    if (g->own)
        lab_own_vary(g, seed);
    else
        lab_group_load_vary(g->load, seed);
}
