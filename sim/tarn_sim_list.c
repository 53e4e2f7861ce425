/* sim/tarn_sim_list.c - tarn-sim list: what there is to choose from.
 *
 *  Every fault, verdict and knob has a text here; tests/e2e/test_list.sh says which has none. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_group.h"
#include "sim/lab_history.h"
#include "sim/lab_own.h"
#include "sim/lab_json.h"
#include "sim/tarn_sim.h"

static const char usage[] =
    "tarn-sim list [scenarios|faults|sites|checkers|knobs]... [--json]\n"
    "tarn-sim list --schema\n"
    "\n"
    "What there is to choose from; without a word: all of it.\n"
    "\n"
    "  scenarios   files in sim/scenarios, here, beside the program's build folder or where it is\n"
    "              installed; `tarn-sim run first-failover` takes one by its name\n"
    "  faults      what may go wrong: for \"faults\" and \"random.NAME_every\" of a scenario\n"
    "  sites       rare paths in the code, and the bit of each in fault_sites\n"
    "  checkers    verdicts of a run, and models of check-history\n"
    "  knobs       keys of a scenario and of --set, with range and default\n"
    "  --schema    the JSON schema (draft 2020-12) of scenario files, as "
    "sim/scenario.schema.json\n";

static const struct {
    enum lab_fault_kind kind;
    const char *where; /* files: of file systems; journals: of journals alone; groups: of both, if
                          masters > 1 */
    const char *what;
} faults[] = {
    {LAB_FAULT_POWER_LOSS, "all",
     "the machine stops; unsynced sectors are kept, lost, torn or garbage; starts again after for"},
    {LAB_FAULT_CRASH, "all", "kill -9; what the kernel has is kept; starts again after for"},
    {LAB_FAULT_RESTART, "all", "a crash and a start at once"},
    {LAB_FAULT_WIPE, "all", "a crash, and the disk is lost; starts again, or is replaced"},
    {LAB_FAULT_PAUSE, "all", "the process stands still for a while, its kernel does not"},
    {LAB_FAULT_PARTITION, "all", "nothing passes between node and to (* all, half); one_way"},
    {LAB_FAULT_CLOG, "all", "what goes from node to to waits"},
    {LAB_FAULT_RESET, "all", "connections between node and to break"},
    {LAB_FAULT_BIT_FLIP, "all", "one bit in some file of the node's disk"},
    {LAB_FAULT_DISK_FULL, "groups", "nothing new fits on the disk for a while"},
    {LAB_FAULT_DISK_SLOW, "groups", "the disk takes long, and stalls, for a while"},
    {LAB_FAULT_SYNC_FAIL, "groups", "syncs fail now and then: the process must end"},
    {LAB_FAULT_STALL, "all", "the process stops in the middle of its next turn"},
    {LAB_FAULT_IMAGE, "groups", "a master is told to write a state image"},
    {LAB_FAULT_MEMBERS, "groups", "masters are added, removed, preferred or elected"},
    {LAB_FAULT_LOSE, "journals", "the disk is lost, and the member starts under its old name"},
    {LAB_FAULT_SIEGE, "journals", "the leader reaches no other master, only clients"},
    {LAB_FAULT_USURP, "groups", "another one gets to lead while the leader may not notice"},
    {LAB_FAULT_BLACKOUT, "groups", "most masters or all lose power at the same moment"},
    {LAB_FAULT_SWIZZLE, "all", "some links stop one by one, and go on again in another order"},
    {LAB_FAULT_BRIDGE, "all", "two halves of the machines reach each other through node only"},
    {LAB_FAULT_LINK_SLOW, "all", "what goes between node and to takes 20 to 500 times as long"},
    {LAB_FAULT_CLOCK_STEP, "all", "its wall clock is up to 5 s ahead or behind for a while"},
    {LAB_FAULT_CLOCK_RATE, "all", "its monotonic clock runs at another rate for a while"},
    {LAB_FAULT_ROT, "journals", "bits of several members' disks change while they are down"},
    {LAB_FAULT_DISK_ERRORS, "all", "reads and writes fail, or go to another place, for a while"},
    {LAB_FAULT_STORE_CHANGE, "files", "somebody changes a file of the under-store"},
    {LAB_FAULT_STORE_OUTAGE, "files", "every operation on the under-store fails for a while"},
    {LAB_FAULT_STORE_FULL, "files", "nothing new fits in the under-store for a while"},
    {LAB_FAULT_ZK_CRASH, "zk", "one server of ZooKeeper is killed, and starts again after for"},
    {LAB_FAULT_ZK_PAUSE, "zk", "one server of ZooKeeper stands still for a while"},
    {LAB_FAULT_ZK_AWAY, "zk", "all servers of ZooKeeper are down for a while"},
    {LAB_FAULT_ZK_CUT, "zk",
     "one server and the others do not hear of each other; clients reach all"},
    {LAB_FAULT_ZK_LAG, "zk", "one server applies what is committed later, for a while"},
    {LAB_FAULT_ZK_DEPOSE, "zk", "the server that leads gives up leading"},
    {LAB_FAULT_ZK_EXPIRE, "zk", "ZooKeeper ends a master's session, of who stands for election"},
    {LAB_FAULT_SHARED_OUTAGE, "zk", "the shared storage answers nothing for a while"},
    {LAB_FAULT_SHARED_ERRORS, "zk", "every call of the shared storage fails for a while"},
    {LAB_FAULT_SHARED_FULL, "zk", "nothing new fits on the shared storage for a while"},
    {LAB_FAULT_SHARED_SLOW, "zk",
     "the disk of the shared storage takes long, and stalls, for a while"},
    {LAB_FAULT_SHARED_CRASH, "zk", "the shared storage stops, and is there again after for"},
    {LAB_FAULT_SHARED_ROT, "zk",
     "a bit of the newest state image there changes, while others have what it must have"},
    {LAB_FAULT_ZK_LOSE, "zk",
     "all servers of ZooKeeper lose their data, or go back to older ones, while they are down"},
    {LAB_FAULT_ZK_BACK, "zk", "somebody keeps setting the counter of epochs in ZooKeeper back"},
    {LAB_FAULT_SHARED_STUCK, "zk",
     "half of the files on the shared storage do not answer one master, or all, for a while"},
    {LAB_FAULT_TOPPLE, "zk", "of journals alone: who begins to lead within for ends within 20 ms"},
};
static_assert(ARRAY_LEN(faults) == LAB_FAULTS, "each fault has its text");

static const char *const checks[] = {
    [LAB_LOG] = "records are never lost or changed, and none takes effect twice",
    [LAB_ANSWERS] = "each answer is what a second machine foretells, in its real time",
    [LAB_DATA] = "bytes read are of a state that the reader may see; writes are in the store",
    [LAB_STORE] = "at the end namespace and under-store agree",
    [LAB_LIVENESS] = "requests end by their deadline; after healing all works within bound",
    [LAB_STRUCTURE] = "masters' and workers' own checks",
    [LAB_RAFT] = "of several masters: Raft's properties, after every step of each",
    [LAB_LINEAR] = "linearizability from outside, of clients that always ask (client.ask_always)",
};
static_assert(ARRAY_LEN(checks) == LAB_VERDICTS, "each verdict has its text");

static const char *const group_checks[] = {
    [LAB_GROUP_LEADERS] = "an epoch has one leader, who has all that was acknowledged before",
    [LAB_GROUP_LOG] = "all apply the same bytes at the same index, and have the same state",
    [LAB_GROUP_ANSWERS] = "linearizability by the places of answers in the log",
    [LAB_GROUP_LINEAR] = "linearizability from outside: a search for an order of each register",
    [LAB_GROUP_LIVENESS] = "after healing the group gets in order within bound",
    [LAB_GROUP_STRUCTURE] = "a journal fails only where its disk was made to fail",
    [LAB_GROUP_RAFT] = "Raft's properties, after every step of each member",
};
static_assert(ARRAY_LEN(group_checks) == LAB_GROUP_VERDICTS, "likewise");

static const char *const models[] = {
    [LAB_HISTORY_REGISTER] = "read, write",
    [LAB_HISTORY_CAS] = "read, write, cas",
    [LAB_HISTORY_KV] = "get, put, append",
};

static const char *const knobs[][2] = {
    {"duration", "how long clients work and things go wrong"},
    {"bound", "how long each step of the recovery may take afterwards"},
    {"masters", "machines m1, m2, ..."},
    {"workers", "machines w1, w2, ..."},
    {"clients", "machines c1, c2, ..."},
    {"node_mem_bytes", "memory of each process"},
    {"fault_on_ppm", "a rare path in the code is switched on for this run"},
    {"fault_fire_ppm", "one that is on is taken"},
    {"fault_sites", "which may be: a bit for each, in the order of list sites"},
    {"stall_ppm", "for each turn of a process: it stops in the middle"},
    {"stall_mean", "for so long, on average"},
    {"net.latency_min", "one way, least"},
    {"net.latency_mean", "one way, on average: least and an exponential part"},
    {"net.pair_extra_max", "a fixed extra for each pair of machines, at most"},
    {"net.nic_bytes_per_s", "bandwidth of a machine in each direction; 0: no limit"},
    {"net.loss_ppm", "for each write: lost, and sent again after rto, which doubles"},
    {"net.rto", "the first such delay"},
    {"net.reorder_ppm", "for each write: a late segment, one more latency"},
    {"net.reset_ppm", "for each write: the connection is reset in its middle"},
    {"net.half_open_ppm", "for each write: the connection silently carries no more"},
    {"net.clog_ppm", "for each write: the link is clogged for a while"},
    {"net.clog_mean", "for so long, on average"},
    {"net.user_timeout", "unacknowledged for so long: reset"},
    {"disk.read_mean", "time of a read, on average"},
    {"disk.write_mean", "time of a write, on average"},
    {"disk.sync_mean", "time of a sync, on average"},
    {"disk.bytes_per_s", "bandwidth of a disk; 0: no limit"},
    {"disk.capacity", "bytes of a disk; 0: no limit"},
    {"disk.stall_ppm", "for each operation: the whole disk waits"},
    {"disk.stall_mean", "for so long, on average"},
    {"disk.read_error_ppm", "a read fails"},
    {"disk.write_error_ppm", "a write fails, and what it was to write is there in part"},
    {"disk.misdirect_write_ppm", "a write lands on another block of its file, and says ok"},
    {"disk.misdirect_read_ppm", "a read gives another block of its file, and says ok"},
    {"disk.lose_drop_ppm", "power loss: an unsynced sector is as before"},
    {"disk.lose_torn_ppm", "power loss: an unsynced sector is half old, half new"},
    {"disk.lose_garbage_ppm", "power loss: an unsynced sector is garbage"},
    {"disk.lose_name_ppm", "power loss: an unsynced creation, size or unlink is undone"},
    {"clock.drift_max_ppm", "clocks are fast or slow by up to this"},
    {"clock.wall_offset_max", "wall clocks are off by up to this"},
    {"clock.mono_offset_max", "monotonic clocks start at up to this"},
    {"store.latency_min", "under-store: least time of an operation"},
    {"store.latency_mean", "under-store: time of an operation, on average"},
    {"store.eio_ppm", "under-store: an operation fails"},
    {"store.short_ppm", "under-store: a read gives less than there is, and says nothing"},
    {"store.files", "under-store: files at the start"},
    {"store.dirs", "under-store: directories at the start"},
    {"store.file_bytes", "under-store: size of those files, at most"},
    {"store.check_interval", "how old what is known of the under-store may be"},
    {"master.lease", "of what clients have cached"},
    {"master.session", "a client that is silent for so long is given up"},
    {"master.image_after_bytes", "log bytes after which a state image is written"},
    {"master.segment_bytes", "of a log segment"},
    {"worker.page_bytes", "of a cached page"},
    {"worker.capacity_bytes", "of a worker's cache"},
    {"client.readahead_pages", "read ahead of a sequential reader"},
    {"client.ask_always", "1: clients keep no answers, and their history is judged, black-box"},
    {"client.direct", "1: clients may reach the under-store without a worker"},
    {"client.deadline", "of each request"},
    {"client.read_any", "1: every other client asks standbys, too; 2: all do"},
    {"load.threads", "of each client"},
    {"load.think", "between two operations of a thread, on average"},
    {"load.linger", "between two accesses of an open file or listing, on average"},
    {"load.names", "that files are called, in each directory"},
    {"load.io_bytes", "of one read or write, at most"},
    {"load.file_bytes", "of a file that clients write, at most"},
    {"load.users", "callers beside root"},
    {"load.logs", "files that clients append to, and truncate"},
    {"load.create", "weight of this operation"},
    {"load.mkdir", "weight of this operation"},
    {"load.symlink", "weight of this operation"},
    {"load.link", "weight of this operation"},
    {"load.unlink", "weight of this operation"},
    {"load.rmdir", "weight of this operation"},
    {"load.rename", "weight of this operation"},
    {"load.setattr", "weight of this operation"},
    {"load.xattr", "weight of this operation"},
    {"load.lookup", "weight of this operation"},
    {"load.getattr", "weight of this operation"},
    {"load.list", "weight of this operation"},
    {"load.read", "weight of this operation"},
    {"load.write", "weight of this operation"},
    {"load.append", "weight of appends to one of load.logs"},
    {"load.cut", "weight of truncations of one of load.logs"},
    {"journal.only", "1: journals and a few registers on them, no file system"},
    {"journal.raft", "1: one group; 0: each a journal of its own"},
    {"journal.zk", "1 (and raft 0; several masters, or only): one log on shared storage, leaders "
                   "elected through ZooKeeper"},
    {"journal.members", "masters that begin as the group; 0: all"},
    {"journal.keys", "registers"},
    {"journal.record_bytes", "of a record, at most"},
    {"journal.ballast_bytes", "that an image carries beside the registers"},
    {"journal.reads_ppm", "of the operations: reads"},
    {"journal.standby_ppm", "of the reads: asked of anybody"},
    {"journal.attempt", "after which a client asks another master"},
    {"journal.heartbeat", "of a leader"},
    {"journal.promise", "how long a member that heard a leader elects no other"},
    {"journal.suspect_min", "silence after which a member stands for election, least"},
    {"journal.suspect_max", "and most"},
    {"journal.keep_entries", "of the log, behind an image"},
    {"journal.drift_ppm", "by which clocks differ, as masters believe; 0: by as much as they can"},
    {"journal.outstanding", "records that whoever leads keeps outstanding by itself"},
    {"journal.submit", "what a leader spends on a record, if turns take time"},
    {"journal.apply", "what each member spends on a record, if turns take time"},
    {"journal.submit_byte_ps", "and on each of its bytes, in ps"},
    {"journal.apply_byte_ps", "and on each of its bytes, in ps"},
    {"journal.batch", "what a member spends on what it writes at once, if turns take time"},
    {"zk.servers", "of ZooKeeper: machines z1, z2, ..."},
    {"zk.session", "after which a master that ZooKeeper does not hear may be followed by another"},
    {"zk.tick", "of the servers; sessions last 2 to 20 of them"},
    {"zk.poll", "a standby looks at the log so often"},
    {"zk.outage", "without proof from the storage a leader steps down"},
    {"zk.read", "a standby's read waits no longer"},
    {"zk.lag_ppm", "for each commit: a server hears of it later"},
    {"zk.slow_ppm", "for each connection: what comes on it waits"},
    {"shared.way_min", "of a call to the storage s1, and of its answer: the least"},
    {"shared.way_mean", "and on average"},
    {"shared.stale_names", "a weakness: names are looked up in a view up to so old"},
    {"shared.stale_sizes", "a weakness: so is a file's size"},
    {"shared.stale_pages", "a weakness: a page that was read is remembered up to so long"},
    {"shared.stale_direct", "a weakness: 1: sizes and pages also for direct reads"},
    {"shared.late_write_ppm", "a weakness: a write lands later, also after its process has died"},
    {"shared.late_write_mean", "by so much, on average"},
    {"shared.write_back", "a weakness: 1: late writes that are not durable are answered before"},
    {"shared.late_name_ppm", "a weakness: a rename or removal happens later, likewise"},
    {"shared.late_name_mean", "by so much, on average"},
    {"shared.stray_ppm",
     "no weakness: a call gets there later, others overtake it; it goes with its process"},
    {"shared.stray_mean", "by so much, on average"},
    {"shared.create_both_ppm", "a weakness: two create the same file, each as the only one"},
    {"shared.create_both", "within so long"},
    {"shared.loses_unsynced", "a weakness: 1: a crash of the storage is a power loss of its disk"},
    {"machine.together", "1: the masters are on one machine, its processors and its disk"},
    {"machine.cores", "processors of each machine; 0: no limit"},
    {"machine.turn", "what a turn of a process takes; all 0: turns take no time"},
    {"machine.send", "what a write to a connection takes"},
    {"machine.receive", "what a read from a connection takes"},
    {"machine.io", "what a disk operation takes of a processor"},
    {"machine.wake", "until a process runs on a processor that was idle"},
    {"machine.byte_ps", "what a byte that is sent or received takes, in ps"},
    {"beyond",
     "1: rot and disk_errors hit more than can be recovered: it may stop, but must not lie"},
    {"core", "1: after the storm a random bare majority must serve alone, then all is healed"},
    {"swarm",
     "1: the seed also draws knobs and which faults there are; 2: knobs of file systems, too"},
    {"seed", "of a run without --seed; 0: 1"},
    {"random.for", "how long random faults last, on average"},
    {"random.from", "random faults begin no earlier"},
    {"random.until", "and no later; 0: until duration"},
    {"random.leader_ppm", "of the random faults: they hit whoever leads"},
    {"random.masters", "1: random faults hit masters"},
    {"random.workers", "1: random faults hit workers"},
    {"random.clients", "1: random faults hit clients"},
};

const char *tarn_sim_knob(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(knobs); i++)
        if (!strcmp(name, knobs[i][0]))
            return knobs[i][1];
    size_t n = strlen(name);
    bool is_every = !strncmp(name, "random.", 7) && n > 6 && !strcmp(name + n - 6, "_every");
    return is_every ? "mean time between random faults of this kind; 0: none" : "";
}

/* ---- how it is printed ---- */

struct listing {
    bool json, in_section, first_section;
};

static void section(struct listing *l, const char *name)
{
    if (l->json)
        printf("%s\"%s\": [", l->first_section ? "{" : "],\n ", name);
    else
        printf("%s%s\n", l->first_section ? "" : "\n", name);
    l->first_section = false;
    l->in_section = false;
}

/* a line of a section: pairs of a name and a text, to NULL; without JSON the texts, in columns */
static void entry(struct listing *l, const char *name, const char *group, const char *what)
{
    if (l->json) {
        printf("%s\n  {\"name\": ", l->in_section ? "," : "");
        lab_json_string(stdout, name);
        printf(", \"of\": ");
        lab_json_string(stdout, group);
        printf(", \"what\": ");
        lab_json_string(stdout, what);
        printf("}");
    } else {
        printf("  %-26s %-10s %s\n", name, group, what);
    }
    l->in_section = true;
}

/* ---- sections ---- */

/* the first folder of scenarios that is there; NULL: none is */
static const char *scenario_dir(char *path, size_t cap)
{
    for (unsigned i = 0; tarn_sim_scenarios(i, path, cap); i++)
        if (!access(path, R_OK))
            return path;
    return NULL;
}

static int list_scenarios(struct listing *l)
{
    static struct lab_scenario s;
    char dir[500];
    struct dirent **names = NULL;
    bool is_there = scenario_dir(dir, sizeof dir);
    int n = is_there ? scandir(dir, &names, NULL, alphasort) : -1, bad = 0;
    section(l, "scenarios");
    for (int i = 0; i < n; i++) {
        char path[800], why[LAB_ERROR];
        fmt_into(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        size_t len = strlen(path);
        free(names[i]);
        if (len <= 5 || strcmp(path + len - 5, ".json") != 0)
            continue;
        int err = lab_scenario_load(&s, path, why);
        const char *of = err              ? "broken"
                         : *s.protocol    ? s.protocol
                         : s.journal.zk   ? "zk"
                         : s.journal.only ? "journals"
                                          : "files";
        bad += err != 0;
        if (l->json)
            entry(l, path, of, err ? why : s.about);
        else
            printf("  %-37s %s\n", path, err ? why : s.about);
        lab_scenario_drop(&s);
    }
    free(names);
    if (n < 0)
        tarn_sim_say(
            "no folder sim/scenarios here, beside the program, or where it is installed\n");
    return n < 0 || bad ? EXIT_USAGE : 0;
}

static int list_faults(struct listing *l)
{
    section(l, "faults");
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        entry(l, lab_scenario_fault_name(faults[i].kind), faults[i].where, faults[i].what);
    return 0;
}

static int list_sites(struct listing *l)
{
    const struct sim_known_site *k;
    char bit[24];
    section(l, "sites");
    for (uint32_t i = 0; (k = sim_fault_known(i)); i++) {
        fmt_into(bit, sizeof bit, "%llu", 1ULL << i);
        entry(l, k->name, bit, k->what);
    }
    return 0;
}

static int list_checkers(struct listing *l)
{
    section(l, "checkers");
    const struct lab_own *own = lab_own_registered();
    for (unsigned v = 0; own && v < LAB_OWN_CHECKS && own->checks[v].name; v++)
        entry(l, own->checks[v].name, own->name, own->checks[v].what);
    for (unsigned v = 0; v < LAB_VERDICTS; v++)
        entry(l, lab_check_name((enum lab_verdict)v), "files", checks[v]);
    for (unsigned v = 0; v < LAB_GROUP_VERDICTS; v++)
        entry(l, lab_group_verdict_name((enum lab_group_verdict)v), "journals", group_checks[v]);
    for (unsigned m = LAB_HISTORY_REGISTER; m < ARRAY_LEN(models); m++)
        entry(l, lab_history_model_name((enum lab_history_model)m), "histories", models[m]);
    return 0;
}

static void knob_value(uint32_t i, uint64_t v, char *text, size_t cap)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"h", 3600000000000ULL}, {"s", 1000000000}, {"ms", 1000000}, {"us", 1000}};
    for (size_t u = 0; u < ARRAY_LEN(units) && lab_scenario_key_is_time(i); u++)
        if (v && v % units[u].ns == 0) {
            fmt_into(text, cap, "%llu%s", (unsigned long long)(v / units[u].ns), units[u].unit);
            return;
        }
    fmt_into(text, cap, "%llu%s", (unsigned long long)v,
             v && lab_scenario_key_is_time(i) ? "ns" : "");
}

static int list_knobs(struct listing *l)
{
    static struct lab_scenario s;
    lab_scenario_default(&s);
    section(l, "knobs");
    for (uint32_t i = 0; lab_scenario_key_name(i); i++) {
        const char *name = lab_scenario_key_name(i);
        struct lab_scenario_range r = lab_scenario_key_range(i);
        uint64_t v = lab_scenario_get(&s, i);
        char value[40], range[80], most[40];
        knob_value(i, v, value, sizeof value);
        knob_value(i, r.max, most, sizeof most);
        if (r.max == INT64_MAX)
            fmt_into(range, sizeof range, "%llu..", (unsigned long long)r.min);
        else
            fmt_into(range, sizeof range, "%llu..%s%s", (unsigned long long)r.min, most,
                     r.is_power ? " (2^n)" : "");
        if (l->json) {
            printf("%s\n  {\"name\": \"%s\", \"type\": \"%s\", \"min\": %llu, \"max\": ",
                   l->in_section ? "," : "", name,
                   lab_scenario_key_is_time(i) ? "time"
                   : r.is_power                ? "power of two"
                                               : "number",
                   (unsigned long long)r.min);
            printf(r.max == INT64_MAX ? "null" : "%llu", (unsigned long long)r.max);
            printf(", \"default\": %llu, \"what\": ", (unsigned long long)v);
            lab_json_string(stdout, tarn_sim_knob(name));
            printf("}");
        } else {
            printf("  %-26s %-26s %-10s %s\n", name, range, value, tarn_sim_knob(name));
        }
        l->in_section = true;
    }
    return 0;
}

/* ---- the command line ---- */

static const struct {
    const char *name;
    int (*fn)(struct listing *l);
} sections[] = {{"scenarios", list_scenarios},
                {"faults", list_faults},
                {"sites", list_sites},
                {"checkers", list_checkers},
                {"knobs", list_knobs}};

int tarn_sim_list(int argc, char **argv)
{
    static const char *const names[] = {"scenarios", "faults", "sites", "checkers", "knobs"};
    struct listing l = {.first_section = true};
    bool wanted[ARRAY_LEN(sections)] = {false}, any = false;
    int status = 0;
    for (int i = 2; i < argc; i++) {
        bool known = false;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--schema") && argc > 3)
            return tarn_sim_bad("stands alone:", argv[i]);
        if (!strcmp(argv[i], "--schema"))
            return tarn_sim_schema(stdout);
        for (size_t k = 0; k < ARRAY_LEN(sections); k++)
            if (!strcmp(argv[i], sections[k].name))
                any = known = wanted[k] = true;
        if (!strcmp(argv[i], "--json"))
            l.json = known = true;
        if (!known)
            return argv[i][0] == '-' ? tarn_sim_unknown_option("list", argv[i])
                                     : tarn_sim_unknown("list", argv[i], names, ARRAY_LEN(names));
    }
    for (size_t k = 0; k < ARRAY_LEN(sections); k++)
        if (!any || wanted[k]) {
            int err = sections[k].fn(&l);
            status = status ? status : err;
        }
    if (l.json)
        printf("]}\n");
    return status;
}
