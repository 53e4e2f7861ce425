/* bench/bench_failover_fs.c - for how long those who use the file system get no answer when the
 * master that leads fails: a client of masters that keeps changes outstanding, and a program that
 * writes small files through a mount.
 *
 * Three masters as an operator makes them, a worker, a mount; "/" is held by the journal, "/w" is a
 * directory, mounted `through`.  The clients are processes (bench_journal_meta.c,
 * bench_failover_files.c); only the one that is measured is there.  What counts is the longest time
 * without an acknowledgement from before the fault until as many were acknowledged as are
 * outstanding, of those that began after it.  Nothing may fail: a failed request ends the run.  The
 * victim is brought back, and all have caught up, before the next round. */
#include "bench/bench_journal.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench/bench_masters.h"

enum { FS_MASTERS = 3, FS_DEPTH = 64, FS_THREADS = 8, FS_FEW = 10 };

enum fs_fault { FS_KILL, FS_TRANSFER, FS_STOP, FS_FAULTS };

static const struct {
    const char *name, *p95;
    double wanted_ms; /* the median, at most */
    bool few;
} bench_fs_known[FS_FAULTS] = {
    [FS_KILL] = {"kill -9", "95 of 100, kill -9 (<= 1000)", 300, false},
    [FS_TRANSFER] = {"handed over", "95 of 100, handed over", 50, false},
    [FS_STOP] = {"SIGSTOP, 3 s", "95 of 100, SIGSTOP", 3000, true},
};

struct bench_fs {
    struct bench *b;
    char dir[560], mounts[1800];
    struct bench_masters masters;
    pid_t worker, mount;
    struct bench_proc client;
    uint64_t enough; /* acknowledged after the fault */
};

/* --- the cluster --- */

static bool bench_fs_open(struct bench_fs *f, bool wants_mount)
{
    char under[600], at[600], log[600], worker[] = "worker", mount[] = "mount", flag[] = "--config";
    int ports = bench_proc_ports(FS_MASTERS + 1);
    snprintf(under, sizeof under, "%s/under", f->dir);
    snprintf(at, sizeof at, "%s/mnt", f->dir);
    snprintf(log, sizeof log, "%s/tarn.log", f->dir);
    if (!ports || mkdir(f->dir, 0755) || mkdir(under, 0755) || mkdir(at, 0755))
        return bench_fail(f->dir);
    snprintf(f->mounts, sizeof f->mounts,
             "[{\"path\": \"/\", \"mode\": \"meta\"},\n  {\"path\": \"/w\", \"ufs\": \"dir:%s\", "
             "\"mode\": \"through\"}],\n \"worker\": {\"dir\": \"%s/worker\", \"listen\": "
             "\"127.0.0.1:%d\"}",
             under, f->dir, ports + FS_MASTERS);
    f->masters.mounts = f->mounts;
    if (!bench_masters_open(&f->masters, f->b, f->dir, FS_MASTERS, ports, "256MiB") ||
        bench_masters_leader(&f->masters, true, 60000) < 0)
        return false;
    if (!wants_mount)
        return true;
    char *w[] = {f->b->self, worker, flag, f->masters.config, NULL};
    char *c[] = {f->b->self, mount, at, flag, f->masters.config, NULL};
    f->worker = bench_spawn(w, log);
    f->mount = f->worker > 0 ? bench_spawn(c, log) : -1;
    return f->mount > 0;
}

static void bench_fs_close(struct bench_fs *f)
{
    bench_proc_kill(&f->client);
    if (f->mount > 0)
        bench_end(f->mount);
    if (f->worker > 0)
        bench_end(f->worker);
    bench_masters_close(&f->masters);
}

/* --- the clients --- */

static bool bench_fs_client(struct bench_fs *f, bool is_mount)
{
    char verb[] = "bench", meta[] = "journal-meta", files[] = "failover-files", at[600], log[600],
         n[16], line[128];
    snprintf(at, sizeof at, "%s/mnt/w", f->dir);
    snprintf(log, sizeof log, "%s/client.log", f->dir);
    snprintf(n, sizeof n, "%d", FS_THREADS);
    char *m[] = {f->b->self, verb, meta, f->masters.all, NULL};
    char *w[] = {f->b->self, verb, files, at, n, NULL};
    f->enough = is_mount ? FS_THREADS : FS_DEPTH;
    if (!bench_proc_start(&f->client, is_mount ? w : m, log, true))
        return false;
    snprintf(line, sizeof line, "watch %d", FS_DEPTH);
    return is_mount || (bench_proc_ask(&f->client, line, line, sizeof line, 60000) &&
                        (!strcmp(line, "ok") || !fprintf(stderr, "tarn bench: %s\n", line)));
}

static bool bench_fs_say(struct bench_fs *f, const char *word)
{
    char line[128];
    return bench_proc_ask(&f->client, word, line, sizeof line, 5000) && !strcmp(line, "ok");
}

static bool bench_fs_ask(struct bench_fs *f, double *ret_ms, unsigned long long *ret_marked,
                         unsigned long long *ret_all)
{
    char line[128];
    long long ns;
    unsigned long long failed;
    if (!bench_proc_ask(&f->client, "gap", line, sizeof line, 5000) ||
        sscanf(line, "gap %lld %llu %llu %llu", &ns, ret_marked, ret_all, &failed) != 4)
        return false;
    *ret_ms = (double)ns / 1e6;
    if (failed)
        fprintf(stderr, "tarn bench: %llu requests failed; see %s/client.log\n", failed, f->dir);
    return !failed;
}

/* the longest silence, once enough that began after the fault is acknowledged; < 0: never */
static double bench_fs_gap(struct bench_fs *f, int64_t least_ns)
{
    double ms;
    unsigned long long marked, all;
    int64_t from = bench_now_ns();
    while (bench_now_ns() - from < 60000000000LL) {
        usleep(10000);
        if (!bench_fs_ask(f, &ms, &marked, &all))
            return -1;
        if (marked >= f->enough && bench_now_ns() - from >= least_ns)
            return ms;
    }
    fprintf(stderr, "tarn bench: nobody answers any more; see %s\n", f->dir);
    return -1;
}

/* --- rounds --- */

static bool bench_fs_begin(struct bench_fs *f, enum fs_fault fault, int victim)
{
    char command[2000];
    switch (fault) {
    case FS_KILL:
        bench_proc_kill(&f->masters.proc[victim]);
        return true;
    case FS_TRANSFER:
        snprintf(command, sizeof command,
                 "'%s' journal elect %d --config '%s' > '%s/elect.log' 2>&1", f->b->self,
                 (victim + 1) % FS_MASTERS + 1, f->masters.config, f->dir);
        return system(command) == 0 || !fprintf(stderr, "tarn bench: %s: failed\n", command);
    case FS_STOP:
        return kill(f->masters.proc[victim].pid, SIGSTOP) == 0;
    case FS_FAULTS:
        break;
    }
    return false;
}

static double bench_fs_round(struct bench_fs *f, enum fs_fault fault)
{
    int victim = bench_masters_leader(&f->masters, true, 60000);
    if (victim < 0)
        return -1;
    usleep(200000 + (unsigned)(bench_now_ns() % 100) * 1000);
    if (!bench_fs_say(f, "fault") || !bench_fs_begin(f, fault, victim) || !bench_fs_say(f, "mark"))
        return -1;
    double ms = bench_fs_gap(f, bench_fs_known[fault].few ? 3000000000LL : 0);
    if (fault == FS_STOP)
        kill(f->masters.proc[victim].pid, SIGCONT);
    if (fault == FS_KILL && !bench_masters_start(&f->masters, victim))
        return -1;
    return ms;
}

static bool bench_fs_kind(struct bench_fs *f, bool is_mount, enum fs_fault fault)
{
    struct bench *b = f->b;
    const char *who = is_mount ? "through a mount" : "through the masters";
    int rounds = bench_fs_known[fault].few && b->rounds > FS_FEW ? FS_FEW : b->rounds, row = -1;
    char name[64];
    for (int i = 0; i < rounds; i++) {
        double ms = bench_fs_round(f, fault);
        if (ms < 0)
            return false;
        if (ms > bench_fs_known[fault].wanted_ms)
            fprintf(stderr, "%s: %s: round %d: %.1f ms\n", who, bench_fs_known[fault].name, i, ms);
        snprintf(name, sizeof name, "%s: %s (<= %.0f)", who, bench_fs_known[fault].name,
                 bench_fs_known[fault].wanted_ms);
        row = bench_row(b, name, "ms", -1);
        bench_sample(b, row, ms);
    }
    double p95 = bench_quantile(&b->row[row], 95);
    snprintf(name, sizeof name, "%s: %s", who, bench_fs_known[fault].p95);
    bench_sample(b, bench_row(b, name, "ms", -1), p95);
    fprintf(stderr, "%s: %s: %d rounds\n", who, bench_fs_known[fault].name, rounds);
    return true;
}

/* what was acknowledged through the mount is in the directory below */
static bool bench_fs_kept(struct bench_fs *f)
{
    char command[700];
    double ms;
    unsigned long long marked, all, there = 0;
    if (!bench_fs_ask(f, &ms, &marked, &all))
        return false;
    snprintf(command, sizeof command, "find '%s/under' -name 'f*' -type f -size 1000c | wc -l",
             f->dir);
    FILE *p = popen(command, "r");
    bool ok = p && fscanf(p, "%llu", &there) == 1 && there >= all;
    if (p)
        pclose(p);
    if (!ok)
        fprintf(stderr, "tarn bench: %llu files were acknowledged, %llu are there; see %s\n", all,
                there, f->dir);
    return ok;
}

bool bench_failover_fs(struct bench *b, const char *dir, bool wants_masters, bool wants_mount,
                       bool graceful)
{
    static struct bench_fs f;
    if (!wants_masters && !wants_mount)
        return true;
    f.b = b;
    snprintf(f.dir, sizeof f.dir, "%s/fs", dir);
    if (wants_mount && access("/dev/fuse", R_OK | W_OK)) {
        fprintf(stderr, "through a mount left out: there is no /dev/fuse\n");
        wants_mount = false;
    }
    bool ok = bench_fs_open(&f, wants_mount);
    for (int is_mount = 0; is_mount < 2 && ok; is_mount++) {
        if (!(is_mount ? wants_mount : wants_masters))
            continue;
        ok = bench_fs_client(&f, is_mount);
        for (int i = 0; i < FS_FAULTS && ok; i++)
            ok = (graceful && i != FS_TRANSFER) || bench_fs_kind(&f, is_mount, (enum fs_fault)i);
        ok = ok && (!is_mount || bench_fs_kept(&f));
        bench_proc_end(&f.client, 20000);
    }
    bench_fs_close(&f);
    return ok;
}
