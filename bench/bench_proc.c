/* bench/bench_proc.c - processes that a benchmark starts and talks to by lines. */
#include "bench/bench_proc.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void bench_proc_child(char *const argv[], const char *log, int in, int out, pid_t parent)
{
    sigset_t none;
    int to = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    dup2(in, 0);
    dup2(out >= 0 ? out : to, 1);
    dup2(to, 2);
    execvp(argv[0], argv);
    _exit(127);
}

bool bench_proc_start(struct bench_proc *p, char *const argv[], const char *log, bool talks)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    memset(p, 0, sizeof *p);
    if (pipe2(in, O_CLOEXEC) || (talks && pipe2(out, O_CLOEXEC)))
        return bench_fail("pipe");
    pid_t us = getpid();
    p->pid = fork();
    if (!p->pid)
        bench_proc_child(argv, log, in[0], out[1], us);
    close(in[0]);
    p->in = in[1];
    p->out = out[0];
    if (talks)
        close(out[1]);
    if (p->pid < 0)
        return bench_fail("fork");
    bench_track(p->pid);
    return true;
}

bool bench_proc_tell(struct bench_proc *p, const char *line)
{
    char text[256];
    int n = snprintf(text, sizeof text, "%s\n", line);
    return p->pid && write(p->in, text, (size_t)n) == n;
}

bool bench_proc_hear(struct bench_proc *p, char *line, size_t cap, int timeout_ms)
{
    int64_t limit = bench_now_ns() + timeout_ms * 1000000LL;
    while (p->pid) {
        char *end = memchr(p->held, '\n', p->n_held);
        if (end) {
            size_t n = (size_t)(end - p->held);
            snprintf(line, cap, "%.*s", (int)n, p->held);
            p->n_held -= (unsigned)n + 1;
            memmove(p->held, end + 1, p->n_held);
            return true;
        }
        int64_t left = (limit - bench_now_ns()) / 1000000;
        struct pollfd f = {.fd = p->out, .events = POLLIN};
        if (left < 0 || p->n_held == sizeof p->held || poll(&f, 1, (int)left + 1) <= 0)
            return false;
        ssize_t n = read(p->out, p->held + p->n_held, sizeof p->held - p->n_held);
        if (n <= 0)
            return false;
        p->n_held += (unsigned)n;
    }
    return false;
}

bool bench_proc_ask(struct bench_proc *p, const char *question, char *line, size_t cap,
                    int timeout_ms)
{
    return bench_proc_tell(p, question) && bench_proc_hear(p, line, cap, timeout_ms);
}

void bench_proc_kill(struct bench_proc *p)
{
    if (!p->pid)
        return;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    bench_forget(p->pid);
    if (p->in >= 0)
        close(p->in);
    if (p->out >= 0)
        close(p->out);
    p->pid = 0;
}

void bench_proc_end(struct bench_proc *p, int timeout_ms)
{
    if (!p->pid)
        return;
    close(p->in);
    p->in = -1;
    siginfo_t info = {0};
    for (int64_t limit = bench_now_ns() + timeout_ms * 1000000LL; bench_now_ns() < limit;
         usleep(10000))
        if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid)
            break;
    bench_proc_kill(p);
}

bool bench_proc_beside(const struct bench *b, const char *name, char *path, size_t cap)
{
    snprintf(path, cap, "%s", b->self);
    char *slash = strrchr(path, '/');
    if (slash)
        snprintf(slash + 1, cap - (size_t)(slash + 1 - path), "%s", name);
    return slash && access(path, X_OK) == 0;
}

static bool bench_proc_free(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool ok = fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof a);
    if (fd >= 0)
        close(fd);
    return ok;
}

int bench_proc_ports(int n)
{
    /* below those of outgoing connections */
    int from = 20000 + (int)(getpid() % 100) * 100;
    for (int tries = 0; tries<100; tries++, from = from + 100> 32000 ? 20000 : from + 100) {
        int ok = 0;
        while (ok < n && bench_proc_free(from + ok))
            ok++;
        if (ok == n)
            return from;
    }
    fprintf(stderr, "tarn bench: no free ports\n");
    return 0;
}
