/* sim/lab_mark.c - see sim/lab_mark.h. */
#include "core/fmt.h"
#include "core/sometimes.h"
#include "sim/lab_mark.h"

struct sink {
    struct lab_mark *to;
    uint32_t n;
};

static void put(struct sink *k, const char *group, const char *name, bool armed, uint64_t hits)
{
    if (k->n == LAB_MARKS_MAX)
        return;
    struct lab_mark *m = &k->to[k->n++];
    fmt_into(m->name, sizeof m->name, "%s%s", group, name);
    m->armed = armed || hits;
    m->hits = hits;
}

void lab_mark_begin(void)
{
    memset(sometimes_hits, 0, sizeof sometimes_hits);
}

bool lab_mark_name(uint32_t i, char *ret_name, size_t cap)
{
    static const char *const world[] = {"loss",           "reorder",     "reset",
                                        "half_open",      "clog",        "timeout",
                                        "rma_late",       "eio",         "enospc",
                                        "disk_stall",     "misdirected", "sector_kept",
                                        "sector_dropped", "sector_torn", "sector_garbage",
                                        "name_undone",    "misread"};
    const struct sim_known_site *k;
    bool is_there = true;
    uint32_t n = i - SOMETIMES_COUNT;
    if (i < SOMETIMES_COUNT)
        fmt_into(ret_name, cap, "%s", sometimes_marks[i].name);
    else if (n < LAB_FAULTS)
        fmt_into(ret_name, cap, "fault.%s", lab_scenario_fault_name((enum lab_fault_kind)n));
    else if ((n -= LAB_FAULTS) < ARRAY_LEN(world))
        fmt_into(ret_name, cap, "world.%s", world[n]);
    else if ((k = sim_fault_known(n - (uint32_t)ARRAY_LEN(world))))
        fmt_into(ret_name, cap, "site.%s", k->name);
    else
        is_there = false;
    return is_there;
}

static void put_marks(const struct lab_scenario *s, struct sink *k)
{
    for (uint32_t i = 0; i < SOMETIMES_COUNT; i++) {
        enum sometimes_group g = sometimes_marks[i].group;
        bool is_zk = s->journal.zk;
        bool is_raft = s->journal.only ? s->journal.raft : s->masters > 1 && !is_zk;
        put(k, "", sometimes_marks[i].name,
            !*s->protocol &&
                (g == SOMETIMES_GROUP_JOURNAL || (g == SOMETIMES_GROUP_RAFT && is_raft) ||
                 (g == SOMETIMES_GROUP_ZK && is_zk) || (g == SOMETIMES_GROUP_DISK && !is_zk) ||
                 (g == SOMETIMES_GROUP_FS && !s->journal.only)),
            sometimes_hits[i]);
    }
}

static uint64_t put_faults(const struct lab_scenario *s, int64_t end_ns, struct sink *k)
{
    uint64_t seen[LAB_FAULTS] = {0};
    bool listed[LAB_FAULTS] = {false};
    for (uint32_t i = 0; i < s->n_faults; i++) {
        listed[s->faults[i].kind] |= !lab_scenario_fault_idle(s, &s->faults[i]);
        seen[s->faults[i].kind] += lab_scenario_comes_to(s, &s->faults[i], end_ns);
    }
    for (int i = 0; i < LAB_FAULTS; i++)
        put(k, "fault.", lab_scenario_fault_name((enum lab_fault_kind)i), listed[i], seen[i]);
    return seen[LAB_FAULT_POWER_LOSS];
}

static void put_world(const struct lab_scenario *s, const struct sim_stats *t, bool power,
                      struct sink *k)
{
    const struct sim_net_config *n = &s->sim.net;
    const struct sim_disk_config *d = &s->sim.disk;
    bool full = d->capacity != 0, slow = d->stall_ppm != 0;
    put(k, "world.", "loss", n->loss_ppm, t->lost);
    put(k, "world.", "reorder", n->reorder_ppm, t->reordered);
    put(k, "world.", "reset", n->reset_ppm, t->resets);
    put(k, "world.", "half_open", n->half_open_ppm, t->half_opens);
    put(k, "world.", "clog", n->clog_ppm, t->clogs);
    put(k, "world.", "timeout", false, t->timeouts);
    put(k, "world.", "rma_late", !lab_scenario_is_group(s) && n->rma_late_ppm, t->rma_late);
    put(k, "world.", "eio", d->read_eio_ppm || d->write_eio_ppm || d->sync_fail_ppm, t->eio);
    put(k, "world.", "enospc", full, t->enospc);
    put(k, "world.", "disk_stall", slow, t->stalls);
    put(k, "world.", "misdirected", d->misdirect_ppm, t->misdirected);
    put(k, "world.", "sector_kept", power, t->sectors_kept);
    put(k, "world.", "sector_dropped", power && d->lose_drop_ppm, t->sectors_dropped);
    put(k, "world.", "sector_torn", power && d->lose_torn_ppm, t->sectors_torn);
    put(k, "world.", "sector_garbage", power && d->lose_garbage_ppm, t->sectors_garbage);
    put(k, "world.", "name_undone", power && d->lose_name_ppm, t->names_undone);
    put(k, "world.", "misread", d->misdirect_read_ppm, t->misread);
}

static bool site_may(const struct lab_scenario *s, const char *name)
{
    const struct sim_known_site *k;
    for (uint32_t i = 0; (k = sim_fault_known(i)); i++)
        if (!strcmp(k->name, name))
            return s->sim.fault_sites >> i & 1;
    return true;
}

uint32_t lab_mark_list(const struct lab_scenario *s, const struct sim *w, struct lab_mark *ret_m)
{
    struct sink k = {.to = ret_m};
    const struct sim_site *site;
    put_marks(s, &k);
    uint64_t powers = put_faults(s, sim_now_ns(w), &k);
    bool has_disks = !s->journal.zk || !s->journal.only; /* whose power may be lost */
    put_world(s, sim_stats(w), powers > 0 && has_disks, &k);
    for (uint32_t i = 0; (site = sim_fault_site(w, i)); i++)
        put(&k, "site.", site->name,
            site->asked && s->sim.fault_on_ppm && s->sim.fault_fire_ppm && site_may(s, site->name),
            site->fired);
    return k.n;
}
