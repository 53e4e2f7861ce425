/* sim/lab_scenario_draw.c - what the seed makes of a scenario: a swarm's keys, and the faults.
 *
 * 1. A key and a kind of fault have a stream of their own each, by name: what is added to a table
 *    here changes no draw of the others.
 * 2. A key that the command line set stays as it is. */
#include "core/fmt.h"
#include "core/prng.h"
#include "sim/lab_op.h"
#include "sim/lab_scenario.h"

/* What a swarm draws: a key and the values that it may have.  "=": as the scenario has it; "*2" and
 * "/2": times or by 2. */
static const char *const swarms[][2] = {
    {"journal.record_bytes", "= = 64 2000 30000"},
    {"journal.ballast_bytes", "= = 0 200000 1000000"},
    {"journal.heartbeat", "= = /2 *2"},
    {"journal.promise", "= = /2 *2"},
    {"journal.keep_entries", "= = /10 *10"},
    {"master.image_after_bytes", "= = *4 *32"},
    {"master.segment_bytes", "= = *4"},
    {"master.session", "= = /4"},
    {"net.latency_mean", "= = *3 *10"},
    {"net.loss_ppm", "= 0 *4"},
    {"net.reset_ppm", "= 0 *10"},
    {"net.half_open_ppm", "= 0 *10"},
    {"net.clog_ppm", "= 0 *10"},
    {"net.reorder_ppm", "= 0"},
    {"disk.write_mean", "= = *4 *20"},
    {"disk.sync_mean", "= = *4 *10"},
    {"disk.stall_ppm", "= 0 *10"},
    {"disk.lose_drop_ppm", "= 0 900000"},
    {"disk.lose_garbage_ppm", "= 0"},
    {"clock.drift_max_ppm", "= 0 20000 100000"},
    {"stall_ppm", "= 0 *10"},
    {"fault_on_ppm", "= 0 1000000"},
    {"load.think", "= = /4 *4"},
    {"client.read_any", "= 0 1 2"},
};

/* What a swarm of file systems ("swarm": 2) draws beside these. */
static const char *const file_swarms[][2] = {
    {"net.pair_extra_max", "= = 0 2ms"},
    {"disk.read_mean", "= = *4 *20"},
    {"disk.lose_torn_ppm", "= 0 200000"},
    {"store.latency_mean", "= = *5 *30"},
    {"store.eio_ppm", "= 0 2000 20000"},
    {"store.short_ppm", "= 0 20000 200000"},
    {"store.files", "= = 0 /4 *4"},
    {"store.dirs", "= = 0 1 *3"},
    {"store.file_bytes", "= = 0 4096 1000000"},
    {"store.check_interval", "= = 30ms 300ms 60s"},
    {"master.lease", "= = 300ms 1s 8s"},
    {"worker.page_bytes", "= = 65536 131072 524288"},
    {"worker.capacity_bytes", "= = 1100000 4000000 20000000"},
    {"client.readahead_pages", "= = 0 1 16"},
    {"client.direct", "= 0 1"},
    {"client.deadline", "= = *2 *4"},
    {"load.threads", "= = 1 8"},
    {"load.linger", "= = 0 100ms 1s"},
    {"load.names", "= = 2 *5"},
    {"load.io_bytes", "= = 1000 32768 400000"},
    {"load.file_bytes", "= = 2000 *4"},
    {"load.users", "= 0 5"},
    {"load.create", "= = 0 *4"},
    {"load.mkdir", "= = 0 *4"},
    {"load.symlink", "= = 0 *4"},
    {"load.link", "= = 0 *4"},
    {"load.unlink", "= = 0 *4"},
    {"load.rmdir", "= = 0 *4"},
    {"load.rename", "= = 0 *4"},
    {"load.setattr", "= = 0 *4"},
    {"load.xattr", "= = 0 *4"},
    {"load.lookup", "= = 0 *4"},
    {"load.getattr", "= = 0 *4"},
    {"load.list", "= = 0 *4"},
    {"load.read", "= = 1 *4"}, /* a load of nothing shows nothing */
    {"load.write", "= = 0 *4"},
    {"load.append", "= = 0 8"},
    {"load.cut", "= = 0 2"},
};

/* What a swarm with journal.zk draws beside the first ones. */
static const char *const zk_swarms[][2] = {
    {"zk.servers", "= = = 1 5"},    {"zk.session", "= = /2 *2"},
    {"zk.poll", "= = *5 *20"},      {"zk.lag_ppm", "= = 0 200000"},
    {"zk.slow_ppm", "= = 0 20000"}, {"shared.way_mean", "= = *5 *40"},
};

/* A master waits a sixteenth longer for a lease than the client has it.  Within a deadline a
 * listing may have to look at some tens of files below, and within the bound the last walk must ask
 * for hundreds of names, one after the other. */
enum { DRAW_DRIFT_PPM = 20000, DRAW_LOOKS = 40, DRAW_TRIPS = 2000 };

/* What a master changes below it changes while nobody else can lead: promises end well before
 * anybody is suspected, as the daemons' configuration has it (lab_scenario_check). */
static uint64_t swarm_most(const struct lab_scenario *s, uint32_t key)
{
    const char *name = lab_scenario_key_name(key);
    bool is_group = lab_scenario_is_group(s);
    if (s->masters > 1 && !is_group && !strcmp(name, "journal.promise"))
        return (uint64_t)s->journal.suspect_min_ns / 2;
    if (s->swarm < 2 || is_group)
        return lab_scenario_key_range(key).max;
    if (!strcmp(name, "clock.drift_max_ppm"))
        return base_max_u64(s->sim.clock.drift_max_ppm, DRAW_DRIFT_PPM);
    if (!strcmp(name, "store.latency_mean"))
        return base_max_u64((uint64_t)s->store.latency_mean_ns,
                            (uint64_t)s->load.deadline_ns / DRAW_LOOKS);
    if (!strcmp(name, "net.latency_mean"))
        return base_max_u64((uint64_t)s->sim.net.latency_mean_ns,
                            (uint64_t)s->bound_ns / DRAW_TRIPS);
    if (!strcmp(name, "client.deadline")) /* what can only wait for it ends with it */
        return base_max_u64((uint64_t)s->load.deadline_ns, (uint64_t)s->bound_ns / 2);
    return lab_scenario_key_range(key).max;
}

static void swarm_key(struct lab_scenario *s, uint32_t key, const char *values, uint64_t seed)
{
    struct prng p;
    char word[32];
    uint32_t n = 1;
    const char *at = values, *name = lab_scenario_key_name(key);
    if (s->fixed[key / 64] >> (key % 64) & 1)
        return;
    for (const char *c = values; *c; c++)
        n += *c == ' ';
    prng_seed(&p, seed, name, 7);
    for (uint64_t i = prng_below(&p, n); i; i--)
        at = strchr(at, ' ') + 1;
    size_t len = strchr(at, ' ') ? (size_t)(strchr(at, ' ') - at) : strlen(at);
    fmt_into(word, sizeof word, "%.*s", (int)len, at);
    if (word[0] == '=')
        return;
    uint64_t was = lab_scenario_get(s, key), v, by;
    bool relative = word[0] == '*' || word[0] == '/';
    bool ok = lab_scenario_number(word + relative, lab_scenario_key_is_time(key), &by);
    ASSERT(ok);
    v = word[0] == '*' ? was * by : word[0] == '/' ? was / by : by;
    v = base_max_u64(base_min_u64(v, swarm_most(s, key)), lab_scenario_key_range(key).min);
    if (v == was)
        return;
    ok = lab_scenario_put(s, key, v);
    ASSERT(ok);
    n = (uint32_t)strlen(s->drawn);
    if (lab_scenario_key_is_time(key) && v)
        lab_op_time((int64_t)v, word, sizeof word);
    else
        fmt_into(word, sizeof word, "%llu", (unsigned long long)v);
    fmt_into(s->drawn + n, sizeof s->drawn - n, "%s%s=%s", n ? " " : "", name, word);
}

static void swarm_row(struct lab_scenario *s, const char *const row[2], uint64_t seed)
{
    uint32_t key = 0;
    while (strcmp(lab_scenario_key_name(key), row[0]) != 0)
        key++;
    swarm_key(s, key, row[1], seed);
}

static void swarm_draw(struct lab_scenario *s, uint64_t seed)
{
    bool alone = s->masters == 1 && !lab_scenario_is_group(s); /* who has no group to talk to */
    const char *name;
    for (size_t i = 0; i < ARRAY_LEN(swarms); i++)
        if (!alone || strncmp(swarms[i][0], "journal.", 8) != 0)
            swarm_row(s, swarms[i], seed);
    for (size_t i = 0; i < ARRAY_LEN(zk_swarms) && s->journal.zk; i++)
        swarm_row(s, zk_swarms[i], seed);
    for (size_t i = 0; i < ARRAY_LEN(file_swarms); i++)
        if (s->swarm > 1 && !lab_scenario_is_group(s))
            swarm_row(s, file_swarms[i], seed);
    for (uint32_t i = 0; (name = lab_scenario_key_name(i)); i++)
        if (!strncmp(name, "random.", 7) && strstr(name, "_every"))
            swarm_key(s, i, "0 0 = = /2 *3", seed);
}

/* what only a master can be hit by */
static bool draw_is_journals(enum lab_fault_kind kind)
{
    return kind == LAB_FAULT_DISK_FULL || kind == LAB_FAULT_DISK_SLOW ||
           kind == LAB_FAULT_SYNC_FAIL || kind == LAB_FAULT_IMAGE || kind == LAB_FAULT_MEMBERS ||
           kind == LAB_FAULT_USURP || kind == LAB_FAULT_BLACKOUT || kind == LAB_FAULT_BRIDGE ||
           kind == LAB_FAULT_ROT;
}

static void draw_node(const struct lab_scenario *s, struct prng *p, enum lab_fault_kind kind,
                      char *to, size_t cap)
{
    uint64_t m = s->random_masters ? s->masters : 0;
    uint64_t w = s->random_workers ? s->workers : 0, c = s->random_clients ? s->clients : 0;
    bool is_group = s->masters > 1;
    if (lab_scenario_is_group(s) && !lab_scenario_fault_is_link(kind))
        c = 0;
    else if (kind == LAB_FAULT_WIPE || kind == LAB_FAULT_BIT_FLIP)
        m = is_group ? m : 0, c = 0; /* what a single master keeps is kept nowhere else */
    else if (kind == LAB_FAULT_DISK_ERRORS)
        m = is_group ? m : 0, c = 0;
    else if (draw_is_journals(kind))
        w = c = 0;
    if (m + w + c == 0)
        return;
    if (s->random_leader_ppm && m && prng_chance_ppm(p, s->random_leader_ppm)) {
        fmt_into(to, cap, "leader");
        return;
    }
    uint64_t at = prng_below(p, m + w + c);
    if (at < m)
        fmt_into(to, cap, "m%llu", (unsigned long long)at + 1);
    else if (at < m + w)
        fmt_into(to, cap, "w%llu", (unsigned long long)(at - m) + 1);
    else
        fmt_into(to, cap, "c%llu", (unsigned long long)(at - m - w) + 1);
}

/* the other end of a link: with journal.zk mostly a server of ZooKeeper, or the storage */
static void draw_peer(const struct lab_scenario *s, struct prng *p, enum lab_fault_kind kind,
                      char *to, size_t cap)
{
    uint64_t how = s->journal.zk ? prng_below(p, 4) : 0;
    if (how == 1)
        fmt_into(to, cap, "s1");
    else if (how)
        fmt_into(to, cap, "z%llu", (unsigned long long)prng_below(p, s->zk.servers) + 1);
    else
        draw_node(s, p, kind, to, cap);
}

static void draw_kind(struct lab_scenario *s, struct prng *p, enum lab_fault_kind kind)
{
    int64_t until = s->random_until_ns ? s->random_until_ns : s->duration_ns;
    int64_t at = s->random_from_ns;
    while (s->every_ns[kind] && s->n_faults < LAB_FAULTS_MAX) {
        at += 1 + prng_exp(p, s->every_ns[kind]);
        if (at >= until)
            break;
        struct lab_fault f = {.at_ns = at, .kind = kind, .to = "*"};
        f.for_ns = 1 + prng_exp(p, s->random_for_ns);
        if (f.for_ns > until - at)
            f.for_ns = until - at;
        if (!lab_scenario_fault_is_zk(kind))
            draw_node(s, p, kind, f.node, sizeof f.node);
        if (kind == LAB_FAULT_SWIZZLE || kind == LAB_FAULT_BRIDGE) {
            f.one_way = prng_below(p, 4) == 0;
        } else if (lab_scenario_fault_is_link(kind)) {
            f.one_way = prng_below(p, 4) == 0 && lab_scenario_fault_has(kind, "one_way");
            if ((lab_scenario_is_group(s) || s->masters > 1) && prng_below(p, 3) == 0)
                fmt_into(f.to, sizeof f.to, "half");
            else if (prng_below(p, 2))
                draw_peer(s, p, kind, f.to, sizeof f.to);
        }
        bool nobody = !f.node[0] && kind < LAB_FAULT_STORE_CHANGE;
        if (strcmp(f.node, f.to) != 0 && !nobody)
            s->faults[s->n_faults++] = f;
    }
}

void lab_scenario_draw(struct lab_scenario *s, uint64_t seed)
{
    if (s->swarm)
        swarm_draw(s, seed);
    for (int k = 0; k < LAB_FAULTS; k++) {
        struct prng p;
        prng_seed(&p, seed, lab_scenario_fault_name((enum lab_fault_kind)k), 0);
        draw_kind(s, &p, (enum lab_fault_kind)k);
    }
    for (uint32_t i = 1; i < s->n_faults; i++) { /* stable, and the list is short */
        struct lab_fault f = s->faults[i];
        uint32_t k = i;
        for (; k > 0 && s->faults[k - 1].at_ns > f.at_ns; k--)
            s->faults[k] = s->faults[k - 1];
        s->faults[k] = f;
    }
}
