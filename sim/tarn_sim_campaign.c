/* sim/tarn_sim_campaign.c - tarn-sim campaign: many seeds of some scenarios, as many at once as
 * there are processors.
 *
 *   jobs in order of seeds -> workers (tarn_sim_worker.c) -> rows -> database -> summary
 *
 *  1. A worker's end is the end of one run: it is recorded as a crash, and another worker starts.
 *  2. With --twice the second run of a seed goes to another worker than the first where there is
 *     one: its memory lies elsewhere.
 *  3. What is in the database is not run again. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/tarn_sim_args.h"
#include "sim/tarn_sim_db.h"
#include "sim/tarn_sim_summary.h"

enum { WORKERS_MAX = 512, BAR = 24, LINE_S = 10 };

struct worker {
    pid_t pid; /* 0: none */
    int to, from;
    FILE *said; /* its standard error */
    bool busy, too_long;
    double began_s;
    struct row_job job;
    size_t got;
    struct row row;
};

struct campaign {
    struct args a;
    sqlite3 *db;
    char **argv;
    struct worker *workers;
    uint64_t seed; /* the next job */
    uint32_t scenario;
    struct row_job waiting[WORKERS_MAX + 1]; /* second runs, and who did the first */
    uint32_t waiting_of[WORKERS_MAX + 1], n_waiting;
    uint64_t jobs, done, failed, before; /* runs; before: in the database at the start */
    double began_s, committed_s, told_s;
    bool stop; /* begin nothing more */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

/* ---- jobs ---- */

static bool is_mine(const struct args *a, uint64_t seed)
{
    return (seed - a->from) % a->shards == a->shard;
}

static uint8_t *state_of(struct campaign *c, const struct row_job *j)
{
    return &c->a.plan.scenarios[j->scenario].state[j->seed - c->a.from];
}

static void count_jobs(struct campaign *c)
{
    const struct args *a = &c->a;
    unsigned wanted = a->twice ? 2 : 1;
    for (uint64_t seed = a->from; seed <= a->to; seed++) {
        for (uint32_t i = 0; is_mine(a, seed) && i < a->plan.n_scenarios; i++) {
            unsigned have = a->plan.scenarios[i].state[seed - a->from];
            c->jobs += wanted - (have < wanted ? have : wanted);
            c->before += have < wanted ? have : wanted;
        }
    }
}

/* ret: false when there is nothing to begin */
static bool next_job(struct campaign *c, uint32_t worker, struct row_job *ret_j)
{
    const struct args *a = &c->a;
    uint32_t at = 0;
    while (at < c->n_waiting && c->waiting_of[at] == worker)
        at++;
    for (; at == c->n_waiting && c->seed <= a->to; c->scenario++) {
        if (c->scenario == a->plan.n_scenarios) {
            c->scenario = 0;
            c->seed++;
        }
        if (c->seed > a->to)
            break;
        *ret_j = (struct row_job){c->seed, c->scenario, 0};
        unsigned have = is_mine(a, c->seed) ? *state_of(c, ret_j) : 2;
        ret_j->pass = have;
        if (have < (a->twice ? 2 : 1)) {
            c->scenario++;
            return true;
        }
    }
    if (!c->n_waiting)
        return false;
    at = at == c->n_waiting ? 0 : at;
    *ret_j = c->waiting[at];
    c->n_waiting--;
    c->waiting[at] = c->waiting[c->n_waiting];
    c->waiting_of[at] = c->waiting_of[c->n_waiting];
    return true;
}

/* ---- progress ---- */

static void say_time(char *to, size_t cap, double s)
{
    if (s >= 3600)
        fmt_into(to, cap, "%d h %02d min", (int)(s / 3600), (int)(s / 60) % 60);
    else if (s >= 60)
        fmt_into(to, cap, "%d min %02d s", (int)(s / 60), (int)s % 60);
    else
        fmt_into(to, cap, "%d s", (int)s);
}

static void progress(struct campaign *c, bool is_last)
{
    double now = tarn_sim_wall_s(), took = now - c->began_s,
           rate = took > 0 ? (double)c->done / took : 0;
    bool tty = isatty(2);
    if (c->a.quiet || !c->jobs || (!is_last && now - c->told_s < (tty ? 0.2 : LINE_S)))
        return;
    c->told_s = now;
    char bar[BAR + 1], eta[40] = "", left[48] = "";
    unsigned full = c->jobs ? (unsigned)((double)c->done * BAR / (double)c->jobs) : BAR;
    for (unsigned i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    if (rate > 0)
        say_time(eta, sizeof eta, (double)(c->jobs - c->done) / rate);
    if (c->a.budget_ns && rate > 0 &&
        (double)(c->jobs - c->done) / rate > (double)c->a.budget_ns / 1e9 - took)
        fmt_into(left, sizeof left, ", beyond the budget");
    fprintf(stderr, "%s%s%s%llu of %llu runs, %.1f/s, %llu failed, ETA %s%s%s",
            tty ? "\r\033[K[" : "campaign: ", tty ? bar : "", tty ? "] " : "",
            (unsigned long long)c->done, (unsigned long long)c->jobs, rate,
            (unsigned long long)c->failed, *eta ? eta : "unknown", left,
            tty && !is_last ? "" : "\n");
}

/* ---- workers ---- */

static void broken(const char *what)
{
    tarn_sim_say("%s: %s\n", what, strerror(errno));
    exit(EXIT_BROKEN);
}

static void child(struct campaign *c, const int *in, const int *out, FILE *said)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* of the terminal: the campaign ends its workers itself */
    if (getppid() == 1 || dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || dup2(fileno(said), 2) < 0)
        _exit(EXIT_BROKEN);
    execv("/proc/self/exe", c->argv);
    _exit(EXIT_BROKEN);
}

static void worker_start(struct campaign *c, struct worker *w)
{
    int in[2], out[2];
    *w = (struct worker){.said = tmpfile()};
    if (!w->said || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        broken("a worker could not be started");
    w->pid = fork();
    if (w->pid < 0)
        broken("a worker could not be started");
    if (!w->pid)
        child(c, in, out, w->said);
    close(in[0]);
    close(out[1]);
    w->to = in[1];
    w->from = out[0];
}

static void worker_give(struct campaign *c, struct worker *w)
{
    c->stop |= interrupted ||
               (c->a.budget_ns && (tarn_sim_wall_s() - c->began_s) * 1e9 > (double)c->a.budget_ns);
    if (c->stop || !next_job(c, (uint32_t)(w - c->workers), &w->job))
        return;
    if (!w->pid) {
        struct row_job job = w->job;
        worker_start(c, w);
        w->job = job;
    }
    w->busy = true;
    w->got = 0;
    w->began_s = tarn_sim_wall_s();
    if (write(w->to, &w->job, sizeof w->job) != sizeof w->job &&
        errno != EPIPE) /* gone: poll tells */
        broken("a worker could not be told what to do");
}

static void take_row(struct campaign *c, struct worker *w, const struct row *r)
{
    uint8_t *state = state_of(c, &r->job);
    int status = tarn_sim_db_put(c->db, &c->a.plan, r);
    bool was_good = !r->job.pass;
    c->done++;
    if (status && (was_good || status == EXIT_DIVERGED)) {
        c->failed++;
        c->stop |= c->a.first;
        if (isatty(2) && !c->a.quiet)
            fprintf(stderr, "\r\033[K");
        tarn_sim_summary_failure(c->db, c->a.plan.scenarios[r->job.scenario].db_id, r->job.seed,
                                 c->a.quiet ? NULL : stderr);
    }
    *state = (uint8_t)(status == EXIT_PANIC ? 2 : r->job.pass + 1);
    if (c->a.twice && status == EXIT_PANIC && !r->job.pass)
        c->jobs--;
    if (c->a.twice && *state == 1) {
        c->waiting[c->n_waiting] = (struct row_job){r->job.seed, r->job.scenario, 1};
        c->waiting_of[c->n_waiting++] = (uint32_t)(w - c->workers);
    }
    w->busy = false;
}

/* the first line of what it said that names the matter */
static void said_line(FILE *f, char *to, size_t cap)
{
    static const char *const tells[] = {"ERROR:", "runtime error", "assertion", "ssert"};
    char line[400];
    to[0] = 0;
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        for (size_t i = 0; i < ARRAY_LEN(tells); i++) {
            if (!strstr(line, tells[i]))
                continue;
            fmt_into(to, cap, ": %s", line);
            return;
        }
        if (!to[0] && line[0])
            fmt_into(to, cap, ": %s", line);
    }
}

/* The worker is gone, or is sent away for taking too long. */
static void worker_end(struct campaign *c, struct worker *w)
{
    int status = 0;
    char said[420];
    kill(w->pid, SIGKILL);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR) {
    }
    said_line(w->said, said, sizeof said);
    fclose(w->said);
    close(w->to);
    close(w->from);
    w->pid = 0;
    if (!w->busy)
        return;
    struct row *r = &w->row;
    memset(r, 0, sizeof *r);
    r->job = w->job;
    r->status = EXIT_PANIC;
    r->wall_ns = (int64_t)((tarn_sim_wall_s() - w->began_s) * 1e9);
    fmt_into(r->checker, sizeof r->checker, w->too_long ? "hang" : "process");
    if (w->too_long)
        fmt_into(r->what, sizeof r->what, "no end after %lld s%s",
                 (long long)(c->a.seed_timeout_ns / 1000000000), said);
    else if (WIFSIGNALED(status))
        fmt_into(r->what, sizeof r->what, "signal %d (%s)%s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), said);
    else
        fmt_into(r->what, sizeof r->what, "ended with status %d%s", WEXITSTATUS(status), said);
    take_row(c, w, r);
}

static void worker_read(struct campaign *c, struct worker *w)
{
    ssize_t n = read(w->from, (char *)&w->row + w->got, sizeof w->row - w->got);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        worker_end(c, w);
        return;
    }
    w->got += (size_t)n;
    if (w->got < sizeof w->row)
        return;
    bool is_over = w->row.status == EXIT_PANIC; /* then the process ends now */
    take_row(c, w, &w->row);
    if (is_over)
        worker_end(c, w);
}

/* ---- the whole ---- */

static void look_at_clocks(struct campaign *c)
{
    double now = tarn_sim_wall_s();
    if (now - c->committed_s > 1) {
        tarn_sim_db_do(c->db, "COMMIT; BEGIN");
        c->committed_s = now;
    }
    for (uint32_t i = 0; i < c->a.jobs; i++) {
        struct worker *w = &c->workers[i];
        if (w->busy && (now - w->began_s) * 1e9 > (double)c->a.seed_timeout_ns) {
            w->too_long = true;
            worker_end(c, w);
        }
    }
    progress(c, false);
}

static void run_all(struct campaign *c)
{
    static struct pollfd polls[WORKERS_MAX];
    static uint32_t of[WORKERS_MAX];
    for (;;) {
        nfds_t n = 0;
        bool any = false;
        for (uint32_t i = 0; i < c->a.jobs; i++) {
            struct worker *w = &c->workers[i];
            if (!w->busy)
                worker_give(c, w);
            any |= w->busy;
            if (!w->pid)
                continue;
            of[n] = i;
            polls[n++] = (struct pollfd){.fd = w->from, .events = POLLIN};
        }
        if (!any || interrupted)
            break;
        if (poll(polls, n, 200) > 0)
            for (nfds_t k = 0; k < n; k++)
                if (polls[k].revents)
                    worker_read(c, &c->workers[of[k]]);
        look_at_clocks(c);
    }
    for (uint32_t i = 0; i < c->a.jobs; i++) {
        c->workers[i].busy = false; /* what an interruption cuts short is not recorded */
        if (c->workers[i].pid)
            worker_end(c, &c->workers[i]);
    }
}

static int finish(struct campaign *c)
{
    struct summary_options so = {.json = c->a.json,
                                 .marks = c->a.marks,
                                 .excuses = c->a.excuses,
                                 .n_excuses = c->a.n_excuses};
    progress(c, true);
    if (c->a.shards > 1 && so.marks == SUMMARY_MARKS_FAIL)
        so.marks = SUMMARY_MARKS_LATER;
    tarn_sim_db_reached(c->db);
    so.left = c->jobs - c->done;
    so.why_left = interrupted               ? "interrupted"
                  : c->a.first && c->failed ? "stopped at the first failure"
                                            : "the budget is used up";
    int status = tarn_sim_summary(c->db, &so);
    int err = tarn_sim_db_close(c->db);
    if (interrupted)
        return 128 + interrupted;
    if (!status && so.left && !c->done) {
        tarn_sim_say("no run was begun: %s\n", so.why_left);
        status = EXIT_BROKEN;
    }
    return err ? err : status;
}

int tarn_sim_campaign(int argc, char **argv)
{
    static struct campaign c;
    int err = tarn_sim_args(argc, argv, &c.a);
    if (err || c.a.help)
        return err;
    if (c.a.is_worker)
        return tarn_sim_worker(&c.a.plan);
    err = tarn_sim_db_open(c.a.db ? c.a.db : ":memory:", true, &c.db);
    err = err ? err : tarn_sim_db_bind(c.db, c.a.db ? c.a.db : ":memory:", &c.a.plan);
    if (err)
        return err;
    c.argv = calloc((size_t)argc + 2, sizeof *c.argv);
    c.workers = calloc(c.a.jobs, sizeof *c.workers);
    uint64_t n = c.a.to - c.a.from + 1;
    for (uint32_t i = 0; i < c.a.plan.n_scenarios; i++)
        if (!(c.a.plan.scenarios[i].state = calloc(n, 1)))
            broken("so many seeds");
    if (!c.argv || !c.workers)
        broken("no memory");
    memcpy(c.argv, argv, (size_t)argc * sizeof *argv);
    c.argv[argc] = (char *)(uintptr_t) "--worker";
    signal(SIGPIPE, SIG_IGN);
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    tarn_sim_db_done(c.db, &c.a.plan, c.a.from, c.a.to);
    c.seed = c.a.from;
    c.began_s = c.committed_s = c.told_s = tarn_sim_wall_s();
    count_jobs(&c);
    if (c.before && !c.a.quiet)
        fprintf(stderr, "campaign: %llu runs are in %s already, %llu are left\n",
                (unsigned long long)c.before, c.a.db, (unsigned long long)c.jobs);
    run_all(&c);
    return finish(&c);
}
