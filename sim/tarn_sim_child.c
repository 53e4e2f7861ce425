/* sim/tarn_sim_child.c - see sim/tarn_sim_child.h. */
#include "sim/tarn_sim_child.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_own.h"
#include "sim/lab_shrink.h"

static struct child_world child;
static int child_fd;

void tarn_sim_child_open(struct child_world *w, struct mem *m, const struct lab_scenario *s,
                         struct lab_ops *record)
{
    static struct lab_scenario told; /* large */
    static struct lab_chances chances;
    *w = (struct child_world){.record = record, .chances = &chances};
    if (record) {
        told = *s;
        told.told = &chances;
        s = &told;
    }
    w->s = s;
    if (lab_scenario_is_group(s)) {
        w->group = lab_group_open(m, s, s->seed, NULL, NULL);
        w->sim = lab_group_sim(w->group);
        if (record)
            lab_group_keep(w->group, record);
    } else {
        w->run = lab_run_open(m, s, s->seed, NULL, NULL);
        w->sim = lab_run_sim(w->run);
        if (record)
            lab_load_record(lab_run_load(w->run), record);
    }
}

bool tarn_sim_child_go(struct child_world *w, int64_t t_ns)
{
    return w->group ? lab_group_go(w->group, t_ns) : lab_run_go(w->run, t_ns);
}

bool tarn_sim_child_judge(const struct child_world *w, struct child_end *e)
{
    struct lab_group_report r = {.n_faults = 0};
    if (w->group)
        lab_group_report(w->group, &r);
    e->status = 0;
    for (unsigned v = 0; v < LAB_VERDICTS; v++) {
        const struct lab_finding *f =
            w->group ? &r.findings[v]
                     : lab_check_finding(lab_run_check(w->run), (enum lab_verdict)v);
        bool live = v == LAB_LIVENESS;
        if (!f->failures || e->status == EXIT_SAFETY || (e->status && live))
            continue;
        e->status = live ? EXIT_LIVENESS : EXIT_SAFETY;
        e->at_ns = f->at_ns;
        fmt_into(e->checker, sizeof e->checker, "%s",
                 w->group ? lab_own_verdict(w->s, v) : lab_check_name((enum lab_verdict)v));
        fmt_into(e->what, CHILD_TEXT, "%s", f->what);
        lab_shrink_kind(f->what, e->kind, CHILD_TEXT);
    }
    return e->status != 0;
}

bool tarn_sim_child_alike(const struct child_end *a, const struct child_end *b)
{
    return a->status == b->status && !strcmp(a->checker, b->checker) && !strcmp(a->kind, b->kind);
}

/* ---- in the child ---- */

static void put(const void *from, size_t n)
{
    const char *at = from;
    while (n) {
        ssize_t k = write(child_fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            _exit(EXIT_BROKEN);
        at += k;
        n -= (size_t)k;
    }
}

void tarn_sim_child_tell(struct child_end *e)
{
    struct lab_group_report g = {.n_faults = 0};
    struct lab_report r = {.n_faults = 0};
    e->events = sim_events(child.sim);
    put(e, sizeof *e);
    if (!child.record)
        _exit(0);
    if (child.group)
        lab_group_report(child.group, &g);
    else
        lab_run_report(child.run, &r);
    uint32_t n = child.group ? g.n_faults : r.n_faults;
    put(&n, sizeof n);
    for (uint32_t i = 0; i < n; i++)
        put(child.group ? &g.faults[i] : &r.faults[i].f, sizeof g.faults[0]);
    put(&child.record->n, sizeof child.record->n);
    put(child.record->op, child.record->n * sizeof child.record->op[0]);
    put(&child.chances->n, sizeof child.chances->n);
    put(child.chances->c, child.chances->n * sizeof child.chances->c[0]);
    _exit(0);
}

static void on_panic(const char *file, int line, const char *what)
{
    static struct child_end e;
    e.status = EXIT_PANIC;
    e.at_ns = sim_now_ns(child.sim);
    fmt_into(e.checker, sizeof e.checker, "assertion");
    fmt_into(e.what, CHILD_TEXT, "%s:%d: %s", file, line, what);
    fmt_into(e.kind, CHILD_TEXT, "%s:%d: %s", file, line, what);
    tarn_sim_child_tell(&e);
}

void tarn_sim_child_begin(int fd, const struct child_world *w)
{
    child_fd = fd;
    child = *w;
    base_panic_hook = on_panic;
}

/* ---- in the parent ---- */

pid_t tarn_sim_child_fork(int *ret_fd)
{
    int ends[2];
    if (pipe(ends))
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    close(ends[pid == 0 ? 0 : 1]);
    *ret_fd = ends[pid == 0 ? 1 : 0];
    if (pid < 0)
        close(*ret_fd);
    return pid;
}

bool tarn_sim_child_get(int fd, void *to, size_t n)
{
    char *at = to;
    while (n) {
        ssize_t k = read(fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool tarn_sim_child_wait(pid_t pid, bool ok, struct child_end *e)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ok || !WIFSIGNALED(status))
        return ok;
    memset(e, 0, sizeof *e);
    e->status = EXIT_PANIC;
    fmt_into(e->checker, sizeof e->checker, "signal");
    fmt_into(e->kind, CHILD_TEXT, "signal %d", WTERMSIG(status));
    fmt_into(e->what, CHILD_TEXT, "signal %d", WTERMSIG(status));
    return WTERMSIG(status) != SIGALRM;
}

/* ---- another continuation ---- */

static const int64_t CHILD_STEP_NS = 50000000;

__attribute__((noreturn)) static void vary_in_child(struct child_world *w, int fd, uint64_t i,
                                                    const struct child_end *like)
{
    struct child_end e = {.status = 0};
    bool over = false;
    tarn_sim_child_begin(fd, w);
    alarm(900);
    if (i && w->group)
        lab_group_vary(w->group, i);
    else if (i)
        lab_run_vary(w->run, i);
    while (!over) {
        over = tarn_sim_child_go(w, like ? sim_now_ns(w->sim) + CHILD_STEP_NS : 0) || !like;
        bool failed = tarn_sim_child_judge(w, &e);
        over |= like && failed && e.status == EXIT_SAFETY && tarn_sim_child_alike(&e, like);
    }
    tarn_sim_child_tell(&e);
}

bool tarn_sim_child_vary(struct child_world *w, uint64_t i, const struct child_end *like,
                         struct child_end *ret_e)
{
    int fd;
    pid_t pid = tarn_sim_child_fork(&fd);
    if (pid < 0)
        return false;
    if (pid == 0)
        vary_in_child(w, fd, i, like);
    bool ok = tarn_sim_child_get(fd, ret_e, sizeof *ret_e);
    close(fd);
    return tarn_sim_child_wait(pid, ok, ret_e);
}
