/* sim/lab_scenario.c - scenarios from JSON and the command line (see sim/lab_scenario.h). */
#include "sim/lab_scenario.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "core/prng.h"
#include "sim/lab_measured.h"
#include "sim/lab_word.h"

enum key_type { KEY_TIME, KEY_U64, KEY_U32, KEY_POW2 };

struct key {
    const char *name;
    enum key_type type;
    size_t at;
    uint64_t min, max;
};

#define FIELD(f) offsetof(struct lab_scenario, f)
#define TIME(name, f)                                                 \
    {                                                                 \
        name, KEY_TIME, FIELD(f), 0, (uint64_t)3600 * 1000000000 * 24 \
    }
#define U32(name, f, a, b)            \
    {                                 \
        name, KEY_U32, FIELD(f), a, b \
    }
#define U64(name, f)                          \
    {                                         \
        name, KEY_U64, FIELD(f), 0, INT64_MAX \
    }
#define PPM(name, f)                        \
    {                                       \
        name, KEY_U32, FIELD(f), 0, 1000000 \
    }
#define WEIGHT(name, k)                                           \
    {                                                             \
        "load." name, KEY_U32, FIELD(load.weights[k]), 0, 1000000 \
    }
#define EVERY(name, k)                                                      \
    {                                                                       \
        "random." name "_every", KEY_TIME, FIELD(every_ns[k]), 0, INT64_MAX \
    }

static const struct key keys[] = {
    TIME("duration", duration_ns),
    TIME("bound", bound_ns),
    U32("masters", masters, 1, 9),
    U32("workers", workers, 0, 4096),
    U32("clients", clients, 1, 4096),
    U64("node_mem_bytes", sim.node_mem_bytes),
    PPM("fault_on_ppm", sim.fault_on_ppm),
    PPM("fault_fire_ppm", sim.fault_fire_ppm),
    U64("fault_sites", sim.fault_sites),
    PPM("stall_ppm", sim.stall_ppm),
    TIME("stall_mean", sim.stall_mean_ns),
    TIME("net.latency_min", sim.net.latency_min_ns),
    TIME("net.latency_mean", sim.net.latency_mean_ns),
    TIME("net.pair_extra_max", sim.net.pair_extra_max_ns),
    U64("net.nic_bytes_per_s", sim.net.nic_bytes_per_s),
    PPM("net.loss_ppm", sim.net.loss_ppm),
    TIME("net.rto", sim.net.rto_ns),
    PPM("net.reorder_ppm", sim.net.reorder_ppm),
    PPM("net.reset_ppm", sim.net.reset_ppm),
    PPM("net.half_open_ppm", sim.net.half_open_ppm),
    PPM("net.clog_ppm", sim.net.clog_ppm),
    TIME("net.clog_mean", sim.net.clog_mean_ns),
    TIME("net.user_timeout", sim.net.user_timeout_ns),
    TIME("disk.read_mean", sim.disk.read_mean_ns),
    TIME("disk.write_mean", sim.disk.write_mean_ns),
    TIME("disk.sync_mean", sim.disk.sync_mean_ns),
    U64("disk.bytes_per_s", sim.disk.bytes_per_s),
    U64("disk.capacity", sim.disk.capacity),
    PPM("disk.stall_ppm", sim.disk.stall_ppm),
    TIME("disk.stall_mean", sim.disk.stall_mean_ns),
    PPM("disk.read_error_ppm", sim.disk.read_eio_ppm),
    PPM("disk.write_error_ppm", sim.disk.write_eio_ppm),
    PPM("disk.misdirect_write_ppm", sim.disk.misdirect_ppm),
    PPM("disk.misdirect_read_ppm", sim.disk.misdirect_read_ppm),
    PPM("disk.lose_drop_ppm", sim.disk.lose_drop_ppm),
    PPM("disk.lose_torn_ppm", sim.disk.lose_torn_ppm),
    PPM("disk.lose_garbage_ppm", sim.disk.lose_garbage_ppm),
    PPM("disk.lose_name_ppm", sim.disk.lose_name_ppm),
    PPM("clock.drift_max_ppm", sim.clock.drift_max_ppm),
    TIME("clock.wall_offset_max", sim.clock.wall_offset_max_ns),
    TIME("clock.mono_offset_max", sim.clock.mono_offset_max_ns),
    TIME("store.latency_min", store.latency_min_ns),
    TIME("store.latency_mean", store.latency_mean_ns),
    PPM("store.eio_ppm", store.eio_ppm),
    PPM("store.short_ppm", store.short_ppm),
    U32("store.files", store_files, 0, 10000),
    U32("store.dirs", store_dirs, 0, 1000),
    U64("store.file_bytes", store_file_bytes),
    TIME("store.check_interval", check_interval_ns),
    TIME("master.lease", lease_ns),
    TIME("master.session", session_ns),
    U64("master.image_after_bytes", image_after_bytes),
    U64("master.segment_bytes", segment_bytes),
    {"worker.page_bytes", KEY_POW2, FIELD(page_bytes), LIMIT_PAGE_MIN, LIMIT_PAGE_MAX},
    U64("worker.capacity_bytes", capacity_bytes),
    U32("client.readahead_pages", readahead_pages, 0, 64),
    U32("client.direct", client_direct, 0, 1),
    U32("client.ask_always", client_ask_always, 0, 1),
    TIME("client.deadline", load.deadline_ns),
    U32("client.read_any", load.read_any, 0, 2),
    U32("load.threads", load.threads, 1, 256),
    TIME("load.think", load.think_ns),
    TIME("load.linger", load.linger_ns),
    U32("load.names", load.names, 1, 100000),
    U32("load.io_bytes", load.io_bytes, 1, 1 << 22),
    U32("load.file_bytes", load.file_bytes, 1, 1 << 28),
    U32("load.users", load.users, 0, 100),
    U32("load.logs", load.logs, 1, 32),
    WEIGHT("create", LAB_LOAD_CREATE),
    WEIGHT("mkdir", LAB_LOAD_MKDIR),
    WEIGHT("symlink", LAB_LOAD_SYMLINK),
    WEIGHT("link", LAB_LOAD_LINK),
    WEIGHT("unlink", LAB_LOAD_UNLINK),
    WEIGHT("rmdir", LAB_LOAD_RMDIR),
    WEIGHT("rename", LAB_LOAD_RENAME),
    WEIGHT("setattr", LAB_LOAD_SETATTR),
    WEIGHT("xattr", LAB_LOAD_XATTR),
    WEIGHT("lookup", LAB_LOAD_LOOKUP),
    WEIGHT("getattr", LAB_LOAD_GETATTR),
    WEIGHT("list", LAB_LOAD_LIST),
    WEIGHT("read", LAB_LOAD_READ),
    WEIGHT("write", LAB_LOAD_WRITE),
    WEIGHT("append", LAB_LOAD_APPEND),
    WEIGHT("cut", LAB_LOAD_CUT),
    U32("journal.only", journal.only, 0, 1),
    U32("journal.raft", journal.raft, 0, 1),
    U32("journal.zk", journal.zk, 0, 1),
    U32("journal.members", journal.members, 0, 9),
    U32("journal.keys", journal.keys, 1, 16),
    U32("journal.record_bytes", journal.record_bytes, 64, 90000),
    U32("journal.ballast_bytes", journal.ballast_bytes, 0, 16 << 20),
    PPM("journal.reads_ppm", journal.reads_ppm),
    PPM("journal.standby_ppm", journal.standby_ppm),
    TIME("journal.attempt", journal.attempt_ns),
    TIME("journal.heartbeat", journal.heartbeat_ns),
    TIME("journal.promise", journal.promise_ns),
    TIME("journal.suspect_min", journal.suspect_min_ns),
    TIME("journal.suspect_max", journal.suspect_max_ns),
    U64("journal.keep_entries", journal.keep_entries),
    PPM("journal.drift_ppm", journal.drift_ppm),
    U32("journal.outstanding", journal.outstanding, 0, 512),
    TIME("journal.submit", journal.submit_ns),
    TIME("journal.apply", journal.apply_ns),
    U32("journal.submit_byte_ps", journal.submit_byte_ps, 0, 1000000),
    U32("journal.apply_byte_ps", journal.apply_byte_ps, 0, 1000000),
    TIME("journal.batch", sim.serve.batch_ns),
    U32("zk.servers", zk.servers, 1, 5),
    TIME("zk.session", zk.session_ns),
    TIME("zk.tick", zk.tick_ns),
    TIME("zk.poll", zk.poll_ns),
    TIME("zk.outage", zk.outage_ns),
    TIME("zk.read", zk.read_ns),
    PPM("zk.lag_ppm", zk.lag_ppm),
    PPM("zk.slow_ppm", zk.slow_ppm),
    TIME("shared.way_min", shared.way_min_ns),
    TIME("shared.way_mean", shared.way_mean_ns),
    TIME("shared.stale_names", shared.stale_names_ns),
    TIME("shared.stale_sizes", shared.stale_sizes_ns),
    TIME("shared.stale_pages", shared.stale_pages_ns),
    U32("shared.stale_direct", shared.stale_direct, 0, 1),
    PPM("shared.late_write_ppm", shared.late_write_ppm),
    TIME("shared.late_write_mean", shared.late_write_mean_ns),
    U32("shared.write_back", shared.write_back, 0, 1),
    PPM("shared.late_name_ppm", shared.late_name_ppm),
    TIME("shared.late_name_mean", shared.late_name_mean_ns),
    PPM("shared.stray_ppm", shared.stray_ppm),
    TIME("shared.stray_mean", shared.stray_mean_ns),
    PPM("shared.create_both_ppm", shared.create_both_ppm),
    TIME("shared.create_both", shared.create_both_ns),
    U32("shared.loses_unsynced", shared.loses_unsynced, 0, 1),
    U32("machine.together", together, 0, 1),
    U32("machine.cores", sim.serve.cores, 0, 1024),
    TIME("machine.turn", sim.serve.turn_ns),
    TIME("machine.send", sim.serve.send_ns),
    TIME("machine.receive", sim.serve.receive_ns),
    TIME("machine.io", sim.serve.io_ns),
    TIME("machine.wake", sim.serve.wake_ns),
    U32("machine.byte_ps", sim.serve.byte_ps, 0, 1000000),
    U32("beyond", beyond, 0, 1),
    U32("core", core, 0, 1),
    U32("swarm", swarm, 0, 2),
    U64("seed", seed),
    EVERY("power_loss", LAB_FAULT_POWER_LOSS),
    EVERY("crash", LAB_FAULT_CRASH),
    EVERY("restart", LAB_FAULT_RESTART),
    EVERY("wipe", LAB_FAULT_WIPE),
    EVERY("pause", LAB_FAULT_PAUSE),
    EVERY("partition", LAB_FAULT_PARTITION),
    EVERY("clog", LAB_FAULT_CLOG),
    EVERY("reset", LAB_FAULT_RESET),
    EVERY("bit_flip", LAB_FAULT_BIT_FLIP),
    EVERY("disk_full", LAB_FAULT_DISK_FULL),
    EVERY("disk_slow", LAB_FAULT_DISK_SLOW),
    EVERY("sync_fail", LAB_FAULT_SYNC_FAIL),
    EVERY("stall", LAB_FAULT_STALL),
    EVERY("image", LAB_FAULT_IMAGE),
    EVERY("members", LAB_FAULT_MEMBERS),
    EVERY("lose", LAB_FAULT_LOSE),
    EVERY("siege", LAB_FAULT_SIEGE),
    EVERY("usurp", LAB_FAULT_USURP),
    EVERY("blackout", LAB_FAULT_BLACKOUT),
    EVERY("swizzle", LAB_FAULT_SWIZZLE),
    EVERY("bridge", LAB_FAULT_BRIDGE),
    EVERY("link_slow", LAB_FAULT_LINK_SLOW),
    EVERY("clock_step", LAB_FAULT_CLOCK_STEP),
    EVERY("clock_rate", LAB_FAULT_CLOCK_RATE),
    EVERY("rot", LAB_FAULT_ROT),
    EVERY("disk_errors", LAB_FAULT_DISK_ERRORS),
    EVERY("store_change", LAB_FAULT_STORE_CHANGE),
    EVERY("store_outage", LAB_FAULT_STORE_OUTAGE),
    EVERY("store_full", LAB_FAULT_STORE_FULL),
    EVERY("zk_crash", LAB_FAULT_ZK_CRASH),
    EVERY("zk_pause", LAB_FAULT_ZK_PAUSE),
    EVERY("zk_away", LAB_FAULT_ZK_AWAY),
    EVERY("zk_cut", LAB_FAULT_ZK_CUT),
    EVERY("zk_lag", LAB_FAULT_ZK_LAG),
    EVERY("zk_depose", LAB_FAULT_ZK_DEPOSE),
    EVERY("zk_expire", LAB_FAULT_ZK_EXPIRE),
    EVERY("shared_outage", LAB_FAULT_SHARED_OUTAGE),
    EVERY("shared_errors", LAB_FAULT_SHARED_ERRORS),
    EVERY("shared_full", LAB_FAULT_SHARED_FULL),
    EVERY("shared_slow", LAB_FAULT_SHARED_SLOW),
    EVERY("shared_crash", LAB_FAULT_SHARED_CRASH),
    EVERY("shared_rot", LAB_FAULT_SHARED_ROT),
    EVERY("zk_lose", LAB_FAULT_ZK_LOSE),
    EVERY("zk_back", LAB_FAULT_ZK_BACK),
    EVERY("shared_stuck", LAB_FAULT_SHARED_STUCK),
    EVERY("topple", LAB_FAULT_TOPPLE),
    TIME("random.for", random_for_ns),
    TIME("random.from", random_from_ns),
    TIME("random.until", random_until_ns),
    PPM("random.leader_ppm", random_leader_ppm),
    U32("random.masters", random_masters, 0, 1),
    U32("random.workers", random_workers, 0, 1),
    U32("random.clients", random_clients, 0, 1),
};

static_assert(ARRAY_LEN(keys) <= 64 * ARRAY_LEN(((struct lab_scenario *)0)->fixed),
              "a bit for each key");

void lab_scenario_default(struct lab_scenario *s)
{
    const int64_t ms = 1000000, sec = 1000 * ms;
    static const uint32_t weights[LAB_LOAD_KINDS] = {8, 4, 2, 3, 6, 3, 6, 5, 4, 12, 8, 6, 16, 10};
    memset(s, 0, sizeof *s);
    s->duration_ns = 20 * sec;
    s->bound_ns = 40 * sec;
    s->masters = 1;
    s->workers = 2;
    s->clients = 3;
    s->sim = sim_config_quiet(0);
    s->sim.node_mem_bytes = 96 << 20;
    s->store = lab_ufs_config_default(0);
    s->store_files = 24;
    s->store_dirs = 4;
    s->store_file_bytes = 256 * 1024;
    s->check_interval_ns = sec;
    s->lease_ns = 2 * sec;
    s->session_ns = 8 * sec;
    s->image_after_bytes = 1 << 20;
    s->segment_bytes = 1 << 20;
    s->page_bytes = 64 * 1024;
    s->capacity_bytes = 4 << 20;
    s->readahead_pages = 4;
    s->client_direct = 1;
    s->load = (struct lab_load_config){.threads = 3,
                                       .think_ns = 4 * ms,
                                       .names = 10,
                                       .io_bytes = 100 * 1000,
                                       .file_bytes = 300 * 1000,
                                       .users = 2,
                                       .logs = 2,
                                       .deadline_ns = 15 * sec};
    memcpy(s->load.weights, weights, sizeof weights);
    s->journal = (struct lab_scenario_journal){.raft = 1,
                                               .keys = 4,
                                               .record_bytes = 200,
                                               .reads_ppm = 400000,
                                               .standby_ppm = 300000,
                                               .attempt_ns = 600 * ms,
                                               .heartbeat_ns = 50 * ms,
                                               .promise_ns = 150 * ms,
                                               .suspect_min_ns = sec,
                                               .suspect_max_ns = 2 * sec,
                                               .keep_entries = 1000};
    s->zk = (struct lab_scenario_zk){.servers = 3,
                                     .session_ns = 4 * sec,
                                     .tick_ns = 200 * ms,
                                     .poll_ns = 10 * ms,
                                     .outage_ns = 10 * sec,
                                     .read_ns = 5 * sec,
                                     .lag_ppm = 10000};
    s->shared = (struct lab_scenario_shared){.way_min_ns = 50000,
                                             .way_mean_ns = 100000,
                                             .late_write_mean_ns = sec,
                                             .late_name_mean_ns = sec,
                                             .stray_mean_ns = 300 * ms,
                                             .create_both_ns = sec};
    s->random_for_ns = sec;
    s->random_from_ns = 2 * sec;
    s->random_masters = s->random_workers = s->random_clients = 1;
}

/* ---- words ---- */

static const struct key *key_find(const char *name, char *ret_why)
{
    /* keys that no setting has, but a file */
    static const char *const of_files[] = {"faults",  "operations", "chances", "about", "mutant",
                                           "profile", "protocol",   "model",   "links", "nics"};
    const char *near = lab_word_near(name, of_files, ARRAY_LEN(of_files));
    unsigned best = near ? lab_word_distance(name, near) : 3 + (unsigned)strlen(name) / 3;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        static const char ppm[] = "_ppm"; /* a share may be asked for without */
        char plain[64];
        size_t len = strlen(keys[i].name);
        unsigned d = lab_word_distance(name, keys[i].name);
        if (d == 0)
            return &keys[i];
        if (len >= sizeof ppm && !strcmp(keys[i].name + len - sizeof ppm + 1, ppm)) {
            fmt_into(plain, sizeof plain, "%.*s", (int)(len - sizeof ppm + 1), keys[i].name);
            d = (unsigned)base_min_u64(d, lab_word_distance(name, plain));
        }
        if (d < best) {
            best = d;
            near = keys[i].name;
        }
    }
    fmt_into(ret_why, LAB_ERROR, "unknown key \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
             near ? near : "", near ? "\"?" : "");
    return NULL;
}

/* digits, with a unit of time if with_unit */
bool lab_scenario_number(const char *text, bool with_unit, uint64_t *ret_v)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"", 1},
                 {"ns", 1},
                 {"us", 1000},
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"m", 60000000000ull},
                 {"h", 3600000000000ull}};
    uint64_t v = 0, scale = 1, fraction = 0;
    const char *p = text;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX - 9) / 10)
            return false;
        v = 10 * v + (uint64_t)(*p - '0');
    }
    if (with_unit && *p == '.') {
        for (p++; *p >= '0' && *p <= '9' && scale < 1000000000; p++) {
            fraction = 10 * fraction + (uint64_t)(*p - '0');
            scale *= 10;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(p, units[i].unit) != 0 || (*p && !with_unit))
            continue;
        if (v > INT64_MAX / units[i].ns)
            return false;
        *ret_v = v * units[i].ns + fraction * units[i].ns / scale;
        return true;
    }
    return false;
}

static int key_set(struct lab_scenario *s, const char *name, const char *value, char *ret_why)
{
    uint64_t v;
    const struct key *k = key_find(name, ret_why);
    if (!k)
        return E_CONFIG;
    if (!lab_scenario_number(value, k->type == KEY_TIME, &v) || v < k->min || v > k->max ||
        (k->type == KEY_POW2 && (v & (v - 1)))) {
        fmt_into(ret_why, LAB_ERROR, "%s: \"%s\" is not %s from %llu to %llu", name, value,
                 k->type == KEY_TIME   ? "a time (like 250ms, 2s)"
                 : k->type == KEY_POW2 ? "a power of two"
                                       : "a number",
                 (unsigned long long)k->min, (unsigned long long)k->max);
        return E_CONFIG;
    }
    lab_scenario_put(s, (uint32_t)(k - keys), v);
    return 0;
}

/* On the command line "net.loss=0.05" is "net.loss_ppm=50000". */
static int set_probability(struct lab_scenario *s, const struct key *k, const char *value,
                           char *ret_why)
{
    uint64_t ppm;
    if (lab_word_ppm(value, &ppm) && lab_scenario_put(s, (uint32_t)(k - keys), ppm))
        return 0;
    fmt_into(
        ret_why, LAB_ERROR,
        "%.*s: \"%s\" is not a probability from 0 to 1 (like 0.05; %s takes parts per million)",
        (int)strlen(k->name) - 4, k->name, value, k->name);
    return E_CONFIG;
}

/* What a file has and --set has not; ret: 0, or 1 when it is no such key, or E_CONFIG. */
static int set_of_file(struct lab_scenario *s, const char *name, const char *value, char *ret_why)
{
    static const char *const lists[] = {"links", "nics", "faults", "operations", "chances"};
    static const char *const texts[] = {"about", "profile", "protocol", "mutant"};
    bool is_list = false, is_text = false;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        is_list |= !strcmp(name, lists[i]);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        is_text |= !strcmp(name, texts[i]);
    if (!is_list && !is_text)
        return 1;
    if (is_text || strcmp(value, "[]") != 0) {
        fmt_into(ret_why, LAB_ERROR, "%s: of a scenario's file alone%s", name,
                 is_list                   ? ", but for [], which empties the list"
                 : !strcmp(name, "mutant") ? "; the option is --mutant"
                                           : "");
        return E_CONFIG;
    }
    if (!strcmp(name, "links"))
        s->links.n = 0;
    else if (!strcmp(name, "nics"))
        s->links.n_nics = 0;
    else if (!strcmp(name, "faults"))
        s->n_faults = 0;
    else if (!strcmp(name, "operations"))
        s->has_ops = true, s->ops.n = 0;
    else
        s->has_chances = true, s->chances.n = 0;
    return 0;
}

int lab_scenario_set(struct lab_scenario *s, const char *assignment, char *ret_why)
{
    char name[80], full[84], other[LAB_ERROR];
    const char *eq = strchr(assignment, '=');
    if (!eq || (size_t)(eq - assignment) >= sizeof name) {
        fmt_into(ret_why, LAB_ERROR, "\"%s\" is not key=value", assignment);
        return E_CONFIG;
    }
    memcpy(name, assignment, (size_t)(eq - assignment));
    name[eq - assignment] = 0;
    if (!strcmp(name, "model"))
        return lab_measured_take(s, eq + 1, ret_why);
    int done = set_of_file(s, name, eq + 1, ret_why);
    if (done <= 0)
        return done;
    fmt_into(full, sizeof full, "%s_ppm", name);
    const struct key *k = key_find(name, ret_why), *of_ppm = k ? NULL : key_find(full, other);
    if (!k && !of_ppm)
        return E_CONFIG;
    if (k && k->type == KEY_TIME && eq[1 + strspn(eq + 1, "0123456789")] == 0 &&
        eq[1 + strspn(eq + 1, "0")]) {
        fmt_into(ret_why, LAB_ERROR, "%s: \"%s\" needs a unit, like %ss or %sms", name, eq + 1,
                 eq + 1, eq + 1);
        return E_CONFIG;
    }
    int err = k ? key_set(s, name, eq + 1, ret_why) : set_probability(s, of_ppm, eq + 1, ret_why);
    size_t i = (size_t)((k ? k : of_ppm) - keys);
    if (!err)
        s->fixed[i / 64] |= 1ULL << i % 64;
    return err;
}

const char *lab_scenario_key_name(uint32_t i)
{
    return i < ARRAY_LEN(keys) ? keys[i].name : NULL;
}

uint64_t lab_scenario_get(const struct lab_scenario *s, uint32_t i)
{
    const void *at = (const char *)s + keys[i].at;
    return keys[i].type == KEY_U32 ? *(const uint32_t *)at : *(const uint64_t *)at;
}

bool lab_scenario_put(struct lab_scenario *s, uint32_t i, uint64_t v)
{
    void *at = (char *)s + keys[i].at;
    if (v < keys[i].min || v > keys[i].max || (keys[i].type == KEY_POW2 && (v & (v - 1))))
        return false;
    if (keys[i].type == KEY_U32)
        *(uint32_t *)at = (uint32_t)v;
    else
        *(uint64_t *)at = v;
    return true;
}

bool lab_scenario_key_is_time(uint32_t i)
{
    return keys[i].type == KEY_TIME;
}

struct lab_scenario_range lab_scenario_key_range(uint32_t i)
{
    ASSERT(i < ARRAY_LEN(keys));
    return (struct lab_scenario_range){keys[i].min, keys[i].max, keys[i].type == KEY_POW2};
}

bool lab_scenario_key(const struct lab_scenario *s, uint32_t i, char *ret_line, size_t cap)
{
    if (i >= ARRAY_LEN(keys))
        return false;
    uint64_t v = lab_scenario_get(s, i);
    if (keys[i].type == KEY_TIME && v % 1000000 == 0)
        fmt_into(ret_line, cap, "%-26s %llums", keys[i].name, (unsigned long long)(v / 1000000));
    else if (keys[i].type == KEY_TIME)
        fmt_into(ret_line, cap, "%-26s %lluns", keys[i].name, (unsigned long long)v);
    else
        fmt_into(ret_line, cap, "%-26s %llu", keys[i].name, (unsigned long long)v);
    return true;
}

/* ---- JSON ---- */

static void value_text(const cJSON *j, char *to, size_t cap)
{
    if (cJSON_IsString(j))
        fmt_into(to, cap, "%s", j->valuestring);
    else if (cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble < 9e15 &&
             j->valuedouble == (double)(long long)j->valuedouble)
        fmt_into(to, cap, "%lld", (long long)j->valuedouble);
    else
        fmt_into(to, cap, "%s",
                 !cJSON_IsNumber(j)                             ? "no number or text"
                 : j->valuedouble >= 0 && j->valuedouble < 9e15 ? "a number with a fraction"
                                                                : "a number out of range");
}

static int operations_parse(struct lab_scenario *s, const cJSON *list, char *ret_why)
{
    const cJSON *j;
    if (!cJSON_IsArray(list)) {
        fmt_into(ret_why, LAB_ERROR, "not a list");
        return E_CONFIG;
    }
    s->has_ops = true;
    cJSON_ArrayForEach(j, list)
    {
        struct lab_op *op = lab_ops_add(&s->ops);
        if (!op) {
            fmt_into(ret_why, LAB_ERROR, "operations: more than %d", LAB_OPS_MAX);
            return E_CONFIG;
        }
        int err = lab_op_parse(op, j, ret_why, LAB_ERROR);
        if (err) {
            s->bad = j;
            return err;
        }
    }
    lab_ops_sort(&s->ops);
    return 0;
}

static bool is_group(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!strncmp(keys[i].name, name, n) && keys[i].name[n] == '.')
            return true;
    return false;
}

static int object_parse(struct lab_scenario *s, const cJSON *o, const char *prefix, char *ret_why)
{
    const cJSON *j;
    char name[80], text[64];
    cJSON_ArrayForEach(j, o)
    {
        int err = 0;
        fmt_into(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", j->string);
        value_text(j, text, sizeof text);
        if (!strcmp(name, "profile") || !strcmp(name, "$schema") || !strcmp(name, "model"))
            continue;
        if (!strcmp(name, "about"))
            fmt_into(s->about, sizeof s->about, "%s", cJSON_IsString(j) ? j->valuestring : "");
        else if (!strcmp(name, "mutant"))
            fmt_into(s->mutant, sizeof s->mutant, "%s", text);
        else if (!strcmp(name, "protocol"))
            fmt_into(s->protocol, sizeof s->protocol, "%s", text);
        else if (!strcmp(name, "operations"))
            err = operations_parse(s, j, ret_why);
        else if (!strcmp(name, "chances")) {
            s->has_chances = true;
            err = lab_chance_parse(&s->chances, j, ret_why, LAB_ERROR, &s->bad);
        } else if (!strcmp(name, "links") || !strcmp(name, "nics"))
            err = lab_link_parse(&s->links, name, j, ret_why, LAB_ERROR, &s->bad);
        else if (!strcmp(name, "faults"))
            err = lab_scenario_faults(s, j, ret_why);
        else if (cJSON_IsObject(j) && !*prefix && is_group(name))
            err = object_parse(s, j, name, ret_why);
        else
            err = key_set(s, name, text, ret_why);
        if (err) {
            s->bad = s->bad ? s->bad : j;
            return err;
        }
    }
    return 0;
}

static int profile_parse(struct lab_scenario *s, const cJSON *o, char *ret_why)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, "profile");
    const char *name = j && cJSON_IsString(j) ? j->valuestring : "quiet";
    uint64_t mem = s->sim.node_mem_bytes;
    if (!strcmp(name, "stormy")) {
        s->sim = sim_config_stormy(0);
        for (uint32_t i = 0; sim_fault_known(i); i++)
            s->sim.fault_sites |= 1ULL << i;
    } else if (strcmp(name, "quiet") != 0) {
        fmt_into(ret_why, LAB_ERROR, "\"%s\" is neither quiet nor stormy", name);
        s->bad = j;
        return E_CONFIG;
    }
    s->sim.node_mem_bytes = mem;
    return 0;
}

/* first of all, so that the scenario's own knobs have the last word */
static int model_parse(struct lab_scenario *s, const cJSON *o, char *ret_why)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, "model");
    char text[LAB_PATH];
    if (!j)
        return 0;
    s->bad = j;
    if (!cJSON_IsString(j) || !*j->valuestring) {
        fmt_into(ret_why, LAB_ERROR, "not the name of a file (of tarn bench calibrate)");
        return E_CONFIG;
    }
    fmt_into(text, sizeof text, "%s%s", *j->valuestring == '/' ? "" : s->dir, j->valuestring);
    int err = lab_measured_take(s, text, ret_why);
    if (!err)
        s->bad = NULL;
    return err;
}

static int parse(struct lab_scenario *s, const char *dir, const char *json, char *ret_why)
{
    const char *end = NULL;
    lab_scenario_default(s);
    fmt_into(s->dir, sizeof s->dir, "%s", dir);
    cJSON *o = cJSON_ParseWithOpts(json, &end, 1);
    if (!o || !cJSON_IsObject(o)) {
        unsigned line = 1;
        const char *at = o || !end ? json + strspn(json, " \t\r\n") : end;
        while (at > json && !at[strspn(at, " \t\r\n")] && strchr(" \t\r\n", at[-1]))
            at--; /* it ends too early: the line where it ends */
        for (const char *p = json; p < at; p++)
            line += *p == '\n';
        size_t left = end ? strcspn(end, "\n") : 0;
        fmt_into(ret_why, LAB_ERROR, "line %u: not a JSON object%s%.*s%s", line,
                 !o && left ? "; it cannot be read from here on: " : "",
                 o ? 0 : (int)base_min_u64(left, 40), end ? end : "",
                 !o ? " (a comma too many or too few, a missing quote?)" : "");
        cJSON_Delete(o);
        return E_CONFIG;
    }
    int err = 0;
    if ((s->bad = lab_scenario_twice(o))) {
        fmt_into(ret_why, LAB_ERROR, "it stands there twice");
        err = E_CONFIG;
    }
    if (!err)
        err = profile_parse(s, o, ret_why);
    if (!err)
        err = model_parse(s, o, ret_why);
    if (!err)
        err = object_parse(s, o, "", ret_why);
    if (*s->protocol)
        s->workers = 0;
    if (err) {
        lab_scenario_where(o, s->bad, json, ret_why);
        lab_scenario_drop(s);
    }
    s->bad = NULL;
    cJSON_Delete(o);
    return err;
}

int lab_scenario_parse(struct lab_scenario *s, const char *json, char *ret_why)
{
    return parse(s, "", json, ret_why);
}

int lab_scenario_text(const char *path, size_t most, char **ret_text)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return E_NOENT;
    long size = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    char *text = size >= 0 && (size_t)size < most ? calloc(1, (size_t)size + 2) : NULL;
    rewind(f);
    bool whole = text && fread(text, 1, (size_t)size + 1, f) == (size_t)size;
    fclose(f);
    if (whole)
        *ret_text = text;
    else
        free(text);
    return whole ? 0 : E_IO;
}

int lab_scenario_load(struct lab_scenario *s, const char *path, char *ret_why)
{
    const char *slash = strrchr(path, '/');
    char dir[LAB_PATH];
    fmt_into(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
    char *text = NULL;
    /* large: a recorded run has thousands of operations */
    int err = lab_scenario_text(path, (size_t)64 << 20, &text);
    if (err)
        fmt_into(ret_why, LAB_ERROR,
                 err == E_NOENT ? "cannot open it; `tarn-sim list` shows what there is"
                                : "cannot read it, or too large");
    else
        err = parse(s, dir, text, ret_why);
    free(text);
    size_t n = fmt_into(s->name, sizeof s->name, "%s", slash ? slash + 1 : path);
    if (n > 5 && !strcmp(s->name + n - 5, ".json"))
        s->name[n - 5] = 0;
    return err ? E_CONFIG : 0;
}

static const int64_t SCENARIO_KEEP_NS = 15000 * 1000000LL; /* and while nobody looks */

static uint64_t scenario_operations(const struct lab_scenario *s, int64_t ns)
{
    const uint64_t most = 1 << 18;
    uint64_t each = base_max_u64((uint64_t)s->load.think_ns, 500000);
    uint64_t of_one = base_min_u64((uint64_t)ns / each + 16, most);
    return base_min_u64(of_one * s->clients * s->load.threads * 5 / 4, most);
}

uint64_t lab_scenario_operations(const struct lab_scenario *s)
{
    return scenario_operations(s, s->duration_ns);
}

uint64_t lab_scenario_recent(const struct lab_scenario *s)
{
    int64_t slack_ns = 4 * s->lease_ns + s->session_ns + s->load.deadline_ns + SCENARIO_KEEP_NS;
    return scenario_operations(s, base_min_i64(s->duration_ns, slack_ns));
}

struct meta_limits lab_scenario_limits(const struct lab_scenario *s)
{
    uint32_t sessions = 256; /* a client that died and came back has two for a while */
    if (2 * s->clients > sessions)
        sessions = 2 * s->clients;
    return (struct meta_limits){.inodes_max = 100000, .sessions_max = sessions};
}
