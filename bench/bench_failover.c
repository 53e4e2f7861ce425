/* bench/bench_failover.c - for how long a client of three masters gets no answer when the one that
 * leads is killed, stopped, cut off or asked to hand over; and that nobody else is elected without
 * a reason when the machine is merely busy.
 *
 * Members are processes with nothing behind their journal (bench_journal_node.c), the client is
 * another one (bench_journal_watch.c) that keeps BENCH_FAILOVER_DEPTH records outstanding all the
 * time.  What counts is the longest time without an acknowledgement around the fault.  A victim is
 * brought back, and all have caught up, before the next round.
 *
 * Partitions: every member in a network namespace of its own, routed through one of ours; all of
 * them vanish with the processes.  Needs root.
 *
 * Busy: full load from within the leader, and as many threads that only spin as there are
 * processors.  Two canaries say how long the machine itself stood still: one sleeps 10 ms at a
 * time, one makes a small durable write as often.  A new leader counts as unfounded only if both
 * were less than half the time of suspicion late. */
#include "bench/bench_journal.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench/bench_canary.h"
#include "bench/bench_load.h"
#include "bench/bench_proc.h"
#include "bench/bench_zookeeper.h"
#include "journal/journal.h"

enum { MEMBERS = 3, BENCH_FAILOVER_DEPTH = 64, FEW = 10, CALM_MS = 10, TRANSFERS = 5 };

enum fault { KILL, TRANSFER, STOP, LINK, CUT, DEAF, MUTE, BUSY, ZK_KILL, ZK_TRANSFER, FAULTS };

/* what stands behind the members, one after the other */
enum group { PLAIN, ELECTED, ROUTED };

static const struct {
    const char *word, *name;
    enum group group;
    bool few;         /* takes seconds each: at most FEW rounds */
    double wanted_ms; /* the median, at most */
} bench_failover_known[FAULTS] = {
    [KILL] = {"kill", "kill -9 of the leader", PLAIN, false, 300},
    [TRANSFER] = {"transfer", "leadership handed over", PLAIN, false, 50},
    [STOP] = {"stop", "SIGSTOP of the leader, 3 s", PLAIN, true, 3000},
    [LINK] = {"link", "leader cut off from all", ROUTED, true, 3000},
    [CUT] = {"cut", "leader cut off from the others", ROUTED, true, 3000},
    [DEAF] = {"deaf", "leader does not hear the others", ROUTED, true, 3000},
    [MUTE] = {"mute", "others do not hear the leader", ROUTED, true, 3000},
    [BUSY] = {"busy", "busy", PLAIN, true, 0},
    [ZK_KILL] = {"zk-kill", "shared log: kill -9 of the leader", ELECTED, false, 4500},
    [ZK_TRANSFER] = {"zk-transfer", "shared log: handed over", ELECTED, false, 300},
};

struct bench_failover {
    struct bench *b;
    char dir[512];
    int ports;
    enum group group;
    char addr[MEMBERS][32], members[700];
    struct bench_proc member[MEMBERS], watch, elect;
};

struct member_status {
    int role;
    unsigned leader;
    unsigned long long epoch, last, committed, applied, elections, lost;
};

static bool bench_failover_wants(const struct bench *b, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = b->only; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && !strncmp(at, word, n))
            return true;
    return !b->only;
}

static bool bench_failover_shell(const char *format, int i, int k)
{
    char command[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, format, i, k);
#pragma GCC diagnostic pop
    return system(command) == 0;
}

/* --- members --- */

/* In a namespace of its own the program waits for its end of a pair of interfaces. */
static bool bench_failover_start_routed(struct bench_failover *f, int i, char *const argv[],
                                        const char *log)
{
    char unshare[] = "unshare", net[] = "--net", sh[] = "sh", flag[] = "-c", script[300],
         name[] = "sh";
    snprintf(
        script, sizeof script,
        "ip link set lo up; i=0; until ip link set tn%d up 2> /dev/null; do i=$((i+1)); [ $i -lt "
        "500 ] || exit 1; sleep 0.02; done; ip addr add 10.77.%d.2/24 dev tn%d && ip route add "
        "default via 10.77.%d.1 && exec \"$@\"",
        i + 1, i + 1, i + 1, i + 1);
    char *args[20] = {unshare, net, sh, flag, script, name};
    for (int k = 0; argv[k] && k < 13; k++)
        args[6 + k] = argv[k];
    if (!bench_proc_start(&f->member[i], args, log, true))
        return false;
    /* it is in its namespace once that is not ours any more */
    for (int tries = 0; tries < 200; tries++, usleep(10000)) {
        char command[300];
        snprintf(
            command, sizeof command,
            "[ \"$(readlink /proc/%d/ns/net)\" != \"$(readlink /proc/$$/ns/net)\" ] && ip link "
            "add tnr%d type veth peer name tn%d netns %d && ip addr add 10.77.%d.1/24 dev tnr%d "
            "&& ip link set tnr%d up",
            (int)f->member[i].pid, i + 1, i + 1, (int)f->member[i].pid, i + 1, i + 1, i + 1);
        if (system(command) == 0)
            return true;
    }
    return false;
}

static bool bench_failover_start(struct bench_failover *f, int i)
{
    char verb[] = "bench", mode[] = "journal-node", id[16], dir[600], log[600];
    const char *kind = (const char *[]){"member", "elected", "routed"}[f->group];
    snprintf(id, sizeof id, "%d", i + 1);
    snprintf(dir, sizeof dir, "%s/%s%d", f->dir, kind, i + 1);
    snprintf(log, sizeof log, "%s/%s%d.log", f->dir, kind, i + 1);
    mkdir(dir, 0755);
    char *argv[] = {f->b->self, verb, mode, id, dir, f->addr[i], f->members, NULL};
    return f->group == ROUTED ? bench_failover_start_routed(f, i, argv, log)
                              : bench_proc_start(&f->member[i], argv, log, true);
}

static bool bench_failover_status(struct bench_failover *f, int i, struct member_status *ret)
{
    char line[512];
    memset(ret, 0, sizeof *ret);
    return bench_proc_ask(&f->member[i], "status", line, sizeof line, 5000) &&
           sscanf(line,
                  "status role %d epoch %llu leader %u last %llu committed %llu applied %llu "
                  "elections %llu lost %llu",
                  &ret->role, &ret->epoch, &ret->leader, &ret->last, &ret->committed, &ret->applied,
                  &ret->elections, &ret->lost) == 8;
}

/* all are there, one leads, and nobody is far behind: the leader; -1 */
static int bench_failover_settled(struct bench_failover *f)
{
    int64_t limit = bench_now_ns() + 60000000000LL;
    for (int calm = 0; bench_now_ns() < limit; usleep(20000)) {
        struct member_status st[MEMBERS];
        int leader = -1;
        bool ok = true;
        unsigned long long least = UINT64_MAX, most = 0;
        for (int i = 0; i < MEMBERS && ok; i++) {
            ok = bench_failover_status(f, i, &st[i]);
            if (st[i].role == JOURNAL_LEADER)
                leader = i;
            least = st[i].applied < least ? st[i].applied : least;
            most = st[i].applied > most ? st[i].applied : most;
        }
        for (int i = 0; i < MEMBERS && leader >= 0; i++)
            ok = ok && st[i].leader == (unsigned)leader + 1;
        ok = ok && leader >= 0 && most - least < 20000;
        calm = ok ? calm + 1 : 0;
        if (calm == 3)
            return leader;
    }
    fprintf(stderr, "tarn bench: the members do not settle; see %s\n", f->dir);
    return -1;
}

/* beyond loopback nobody speaks without one */
static bool bench_failover_secret(struct bench_failover *f)
{
    char path[600];
    snprintf(path, sizeof path, "%s/secret", f->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef\n", 33) == 33;
    if (fd >= 0)
        close(fd);
    return (ok && !setenv("TARN_BENCH_SECRET", path, 1)) || bench_fail(path);
}

/* the ZooKeeper server of a group with one log on a shared directory */
static bool bench_failover_elect(struct bench_failover *f)
{
    char dir[600], log[600];
    snprintf(dir, sizeof dir, "%s/zookeeper", f->dir);
    snprintf(log, sizeof log, "%s/zookeeper.log", f->dir);
    snprintf(f->members, sizeof f->members, "zk 127.0.0.1:%d %s/shared", f->ports + MEMBERS,
             f->dir);
    return (!mkdir(dir, 0755) || bench_fail(dir)) &&
           bench_zookeeper_start(&f->elect, dir, log, f->ports + MEMBERS, 1, NULL);
}

static bool bench_failover_open(struct bench_failover *f, enum group group)
{
    bool routed = group == ROUTED;
    if (routed && !bench_failover_secret(f))
        return false;
    char verb[] = "bench", mode[] = "journal-watch", depth[16], log[600];
    f->group = group;
    f->ports = bench_proc_ports(MEMBERS + 1);
    if (!f->ports)
        return false;
    f->members[0] = 0;
    for (int i = 0, n = 0; i < MEMBERS; i++) {
        snprintf(f->addr[i], sizeof f->addr[i], routed ? "10.77.%d.2:%d" : "127.0.0.%d:%d",
                 routed ? i + 1 : 1, f->ports + i);
        n += snprintf(f->members + n, sizeof f->members - (size_t)n, "%s%d@%s", i ? "," : "", i + 1,
                      f->addr[i]);
    }
    if (group == ELECTED && !bench_failover_elect(f))
        return false;
    for (int i = 0; i < MEMBERS; i++)
        if (!bench_failover_start(f, i))
            return false;
    snprintf(depth, sizeof depth, "%d", BENCH_FAILOVER_DEPTH);
    snprintf(log, sizeof log, "%s/watch.log", f->dir);
    char *argv[] = {f->b->self, verb, mode, depth, f->addr[0], f->addr[1], f->addr[2], NULL};
    return bench_proc_start(&f->watch, argv, log, true);
}

static void bench_failover_close(struct bench_failover *f)
{
    bench_proc_kill(&f->watch);
    bench_proc_kill(&f->elect);
    for (int i = 0; i < MEMBERS; i++)
        bench_proc_kill(&f->member[i]);
}

/* --- faults --- */

/* how long nobody but the victim has acknowledged, once others do; < 0: never */
static double bench_failover_gap(struct bench_failover *f, int64_t least_ns)
{
    char line[128];
    long long ns = 0;
    unsigned long long others = 0, all;
    int64_t from = bench_now_ns(), limit = from + 30000000000LL;
    for (; bench_now_ns() < limit; usleep(10000))
        if (bench_proc_ask(&f->watch, "gap", line, sizeof line, 5000) &&
            sscanf(line, "gap %lld %llu %llu", &ns, &others, &all) == 3 &&
            others >= BENCH_FAILOVER_DEPTH && bench_now_ns() - from >= least_ns)
            return (double)ns / 1e6;
    fprintf(stderr, "tarn bench: nobody answers any more; see %s\n", f->dir);
    return -1;
}

/* packets from member a to member b vanish, or do not any more */
static void bench_failover_drop(int a, int b, bool drop)
{
    char command[160];
    snprintf(command, sizeof command, "ip rule %s from 10.77.%d.2 to 10.77.%d.2 blackhole",
             drop ? "add" : "del", a + 1, b + 1);
    if (system(command))
        fprintf(stderr, "tarn bench: %s: failed\n", command);
}

/* The one that was chosen may not come to the front in time on a busy machine; the old one goes on,
 * and is asked again: what that costs is in the pause that is measured. */
static bool bench_failover_transfer(struct bench_failover *f, int victim)
{
    char line[128] = "", missed[32];
    snprintf(missed, sizeof missed, "elected %d", E_UNAVAILABLE);
    for (int tries = 0; tries < TRANSFERS; tries++) {
        if (!bench_proc_ask(&f->member[victim], "elect 0", line, sizeof line, 20000))
            return false;
        if (strcmp(line, missed) != 0)
            break;
    }
    return !strcmp(line, "elected 0") || !fprintf(stderr, "tarn bench: %s\n", line);
}

static bool bench_failover_begin(struct bench_failover *f, enum fault fault, int victim)
{
    char line[128];
    snprintf(line, sizeof line, "fault %d", victim + 1);
    if (!bench_proc_ask(&f->watch, line, line, sizeof line, 5000))
        return false;
    switch (fault) {
    case KILL:
    case ZK_KILL:
        bench_proc_kill(&f->member[victim]);
        return true;
    case TRANSFER:
    case ZK_TRANSFER:
        return bench_failover_transfer(f, victim);
    case STOP:
        return kill(f->member[victim].pid, SIGSTOP) == 0;
    case LINK:
        return bench_failover_shell("ip link set tnr%d down", victim + 1, 0);
    case CUT:
    case DEAF:
    case MUTE:
        for (int i = 0; i < MEMBERS; i++) {
            if (i != victim && fault != MUTE)
                bench_failover_drop(i, victim, true);
            if (i != victim && fault != DEAF)
                bench_failover_drop(victim, i, true);
        }
        return true;
    case BUSY:
    case FAULTS:
        break;
    }
    return false;
}

static bool bench_failover_end(struct bench_failover *f, enum fault fault, int victim)
{
    switch (fault) {
    case KILL:
    case ZK_KILL:
        return bench_failover_start(f, victim);
    case STOP:
        return kill(f->member[victim].pid, SIGCONT) == 0;
    case LINK:
        return bench_failover_shell("ip link set tnr%d up", victim + 1, 0);
    case CUT:
    case DEAF:
    case MUTE:
        for (int i = 0; i < MEMBERS; i++) {
            if (i != victim && fault != MUTE)
                bench_failover_drop(i, victim, false);
            if (i != victim && fault != DEAF)
                bench_failover_drop(victim, i, false);
        }
        return true;
    case TRANSFER:
    case ZK_TRANSFER:
    case BUSY:
    case FAULTS:
        break;
    }
    return true;
}

static bool bench_failover_round(struct bench_failover *f, enum fault fault)
{
    struct bench *b = f->b;
    char name[64];
    int victim = bench_failover_settled(f);
    if (victim < 0)
        return false;
    usleep(50000 + (unsigned)(bench_now_ns() % 100) * 1000);
    (void)bench_canary_take();
    if (!bench_failover_begin(f, fault, victim))
        return false;
    double ms = bench_failover_gap(f, bench_failover_known[fault].few ? 3000000000LL : 0);
    struct bench_canary seen = bench_canary_take();
    if (ms < 0 || !bench_failover_end(f, fault, victim))
        return false;
    snprintf(name, sizeof name, "%s (<= %.0f)", bench_failover_known[fault].name,
             bench_failover_known[fault].wanted_ms);
    bench_sample(b, bench_row(b, name, "ms", -1), ms);
    double late =
        (double)(seen.worst_ns > seen.worst_write_ns ? seen.worst_ns : seen.worst_write_ns) / 1e6;
    snprintf(name, sizeof name, "  %s, machine late < %d ms", bench_failover_known[fault].word,
             CALM_MS);
    if (late < CALM_MS)
        bench_sample(b, bench_row(b, name, "ms", -1), ms);
    if (ms > bench_failover_known[fault].wanted_ms)
        fprintf(stderr, "%s: %.1f ms; the machine was late by %.1f ms, a write took %.1f ms\n",
                bench_failover_known[fault].name, ms, (double)seen.worst_ns / 1e6,
                (double)seen.worst_write_ns / 1e6);
    return true;
}

static bool bench_failover_kind(struct bench_failover *f, enum fault fault)
{
    struct bench *b = f->b;
    char name[64];
    const char *what = bench_failover_known[fault].name;
    int rounds = bench_failover_known[fault].few && b->rounds > FEW ? FEW : b->rounds;
    for (int i = 0; i < rounds; i++)
        if (!bench_failover_round(f, fault))
            return false;
    snprintf(name, sizeof name, "%s (<= %.0f)", what, bench_failover_known[fault].wanted_ms);
    int row = bench_row(b, name, "ms", -1);
    if (!bench_failover_known[fault].few) {
        double p95 = bench_quantile(&b->row[row], 95);
        snprintf(name, sizeof name, "  %s, 95 of 100%s", bench_failover_known[fault].word,
                 fault == KILL ? " (<= 1000)" : "");
        bench_sample(b, bench_row(b, name, "ms", -1), p95);
    }
    fprintf(stderr, "%s: %d rounds\n", what, rounds);
    return true;
}

/* every acknowledged record was applied: records may be sent twice, so there are more */
static bool bench_failover_kept(struct bench_failover *f)
{
    char line[128];
    long long ns;
    unsigned long long others, all, applied;
    struct member_status st;
    int leader = bench_failover_settled(f);
    if (leader < 0 || !bench_proc_ask(&f->watch, "gap", line, sizeof line, 5000) ||
        sscanf(line, "gap %lld %llu %llu", &ns, &others, &all) != 3 ||
        !bench_proc_ask(&f->member[leader], "applied", line, sizeof line, 5000) ||
        sscanf(line, "applied %llu", &applied) != 1 || !bench_failover_status(f, leader, &st))
        return false;
    if (applied >= all)
        return true;
    fprintf(stderr, "tarn bench: %llu records were acknowledged, %llu applied\n", all, applied);
    return false;
}

/* --- busy --- */

static atomic_bool bench_failover_spun;

static void *bench_failover_spin_main(void *arg)
{
    volatile uint64_t n = 0;
    (void)arg;
    while (!bench_failover_spun)
        n++;
    return NULL;
}

static bool bench_failover_epoch(struct bench_failover *f, unsigned long long *ret_epoch,
                                 unsigned long long *ret_elections)
{
    struct member_status st;
    *ret_epoch = *ret_elections = 0;
    for (int i = 0; i < MEMBERS; i++) {
        if (!bench_failover_status(f, i, &st))
            return false;
        *ret_epoch = st.epoch > *ret_epoch ? st.epoch : *ret_epoch;
        *ret_elections += st.elections;
    }
    return true;
}

/* what a second of it brought, and the second before for what only shows in the next */
struct busy_second {
    unsigned long long epoch, elections;
    bool is_late; /* a canary was */
};

static bool bench_failover_second(struct bench_failover *f, struct bench_canary *all,
                                  struct busy_second *ret_s)
{
    struct bench_canary c = bench_canary_take();
    all->worst_ns = c.worst_ns > all->worst_ns ? c.worst_ns : all->worst_ns;
    all->worst_write_ns =
        c.worst_write_ns > all->worst_write_ns ? c.worst_write_ns : all->worst_write_ns;
    all->long_ones += c.long_ones;
    all->long_writes += c.long_writes;
    ret_s->is_late = c.long_ones || c.long_writes;
    return bench_failover_epoch(f, &ret_s->epoch, &ret_s->elections);
}

static void bench_failover_busy_say(const struct bench *b, int64_t left_ns, unsigned long long led,
                                    unsigned long long no_reason)
{
    fprintf(stderr,
            "busy: %.0f of %.0f minutes to go, %llu new leaders, %llu of them without reason\n",
            (double)left_ns / 60e9, b->seconds / 60, led, no_reason);
}

static bool bench_failover_busy(struct bench_failover *f)
{
    struct bench *b = f->b;
    pthread_t thread[17];
    int n = 0, cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), leader = bench_failover_settled(f);
    struct bench_canary seen = {0};
    struct busy_second first, last, now;
    unsigned long long no_reason = 0;
    char question[64], line[256];
    int64_t end = bench_now_ns() + (int64_t)(b->seconds * 1e9), say = bench_now_ns();
    uint64_t done = 0;
    if (leader < 0 || !bench_failover_second(f, &seen, &first))
        return false;
    memset(&seen, 0, sizeof seen);
    now = first;
    bench_failover_spun = false;
    for (int i = 0; i < cpus && i < 17; i++)
        if (!pthread_create(&thread[n], NULL, bench_failover_spin_main, NULL))
            n++;
    while (leader >= 0 && bench_now_ns() < end) {
        unsigned long long count;
        int ms = (int)((end - bench_now_ns()) / 1000000);
        ms = ms > 1000 ? 1000 : ms < 10 ? 10 : ms;
        snprintf(question, sizeof question, "run 64 100 %d", ms);
        if (!bench_proc_ask(&f->member[leader], question, line, sizeof line, ms + 60000))
            break;
        if (sscanf(line, "ran %llu", &count) == 1)
            done += count;
        else
            leader = bench_failover_settled(f); /* another one leads */
        last = now;
        if (!bench_failover_second(f, &seen, &now))
            break;
        if (!now.is_late && !last.is_late)
            no_reason += now.epoch - last.epoch;
        if (bench_now_ns() - say > 60 * (int64_t)1000000000) {
            say = bench_now_ns();
            bench_failover_busy_say(b, end - say, now.epoch - first.epoch, no_reason);
        }
    }
    bench_failover_spun = true;
    while (n)
        pthread_join(thread[--n], NULL);
    if (leader < 0 || bench_now_ns() < end)
        return false;
    const struct {
        const char *name, *unit;
        double value;
    } rows[] = {
        {"busy: records", "op/s", (double)done / b->seconds},
        {"busy: new leaders", "", (double)(now.epoch - first.epoch)},
        {"busy: new leaders while no canary was late", "", (double)no_reason},
        {"busy: elections begun", "", (double)(now.elections - first.elections)},
        {"busy: longest stall of the machine", "ms", (double)seen.worst_ns / 1e6},
        {"busy: stalls of half the suspicion", "", (double)seen.long_ones},
        {"busy: longest durable write of 4 KiB", "ms", (double)seen.worst_write_ns / 1e6},
        {"busy: writes of half the suspicion", "", (double)seen.long_writes},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        bench_sample(b, bench_row(b, rows[i].name, rows[i].unit, -1), rows[i].value);
    if (!no_reason)
        return true;
    fprintf(stderr,
            "tarn bench: %llu leaders were replaced in seconds in which, and before which, the "
            "machine never stood still\n",
            no_reason);
    return false;
}

/* --- */

static bool bench_failover_group(struct bench_failover *f, enum group group)
{
    bool any = false, ok = true;
    for (int i = 0; i < FAULTS; i++)
        any |= bench_failover_known[i].group == group &&
               bench_failover_wants(f->b, bench_failover_known[i].word);
    if (!any)
        return true;
    if (group == ELECTED && !bench_zookeeper_is_there()) {
        fprintf(stderr, "the shared log left out: package zookeeper\n");
        return true;
    }
    if (group == ROUTED &&
        (geteuid() || unshare(CLONE_NEWNET) ||
         system("ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward"))) {
        fprintf(stderr, "partitions left out: they need root and network namespaces\n");
        return true;
    }
    ok = bench_failover_open(f, group) &&
         bench_canary_start(f->dir, journal_config_default().raft.suspect_min_ns / 2);
    for (int i = 0; i < FAULTS && ok; i++)
        if (bench_failover_known[i].group == group &&
            bench_failover_wants(f->b, bench_failover_known[i].word))
            ok = i == BUSY ? bench_failover_busy(f) : bench_failover_kind(f, (enum fault)i);
    ok = ok && bench_failover_kept(f);
    bench_canary_stop();
    bench_failover_close(f);
    return ok;
}

int bench_failover_main(struct bench *b)
{
    static struct bench_failover f;
    f.b = b;
    if (!bench_temp_dir(b, f.dir, sizeof f.dir))
        return 1;
    b->title = "no answer at a client of three masters, by what happens to the one that leads";
    snprintf(b->params, sizeof b->params, "%d records of 100 B outstanding, busy for %.3g s",
             BENCH_FAILOVER_DEPTH, b->seconds);
    bool ok = bench_failover_group(&f, PLAIN) && bench_failover_group(&f, ELECTED);
    bench_failover_close(&f);
    ok = ok && bench_failover_fs(b, f.dir, bench_failover_wants(b, "masters"),
                                 bench_failover_wants(b, "mount"),
                                 b->only && bench_failover_wants(b, "graceful"));
    ok = ok && bench_failover_group(&f, ROUTED); /* in another namespace from here on */
    bench_failover_close(&f);
    if (ok || b->n_rows)
        bench_report(b);
    if (ok)
        bench_remove(f.dir);
    if (ok && !b->n_rows)
        fprintf(stderr, "tarn bench: --only %s: nothing to measure\n", b->only ? b->only : "");
    return !ok ? 1 : b->n_rows ? 0 : 2;
}
