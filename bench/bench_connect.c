/* bench/bench_connect.c - what the cluster secret costs: connections made and ended, with and
 * without it, beside the same system calls without a word of ours.
 *
 * Three servers, each in a process of its own; a round makes the same number of connections to each
 * in turn, a few at a time or one after another.  "plain" is a TCP connection on which both sides
 * say 128 bytes, as our hellos are.  The caller ends each connection. */
#include "bench/bench_proc.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/fmt.h"
#include "net/net.h"
#include "net/net_secret.h"

enum { CONNECT_COUNT = 1000 };

struct connect_load;

struct connect_one {
    struct env_op op;
    struct env_peer peer;
    struct connect_load *l;
};

struct connect_load {
    struct net *net;
    char addr[32];
    struct connect_one one[64];
    unsigned started, ended, failed, count;
    bool over;
};

/* --- the servers --- */

static void connect_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n;
}

static void connect_closed(struct env_peer *p, int why)
{
    (void)why;
    free(p);
}

static void connect_lost(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

static struct env_peer *connect_accept(struct env_acceptor *a, const char *from)
{
    (void)a, (void)from;
    struct env_peer *p = calloc(1, sizeof *p);
    if (p) {
        p->on_frame = connect_frame;
        p->on_close = connect_closed;
    }
    return p;
}

static struct sockaddr_in connect_addr(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* hears 128 bytes, says as many, until the caller has gone */
static void connect_serve_plain(int port)
{
    struct sockaddr_in a = connect_addr(port);
    char b[NET_FRAME_HELLO] = {0};
    int on = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 512))
        _exit(1);
    for (;;) {
        int fd = accept(s, NULL, NULL);
        if (fd >= 0 && send(fd, b, sizeof b, MSG_NOSIGNAL) > 0)
            while (recv(fd, b, sizeof b, 0) > 0)
                ;
        close(fd);
    }
}

static void connect_listening(struct env_op *op)
{
    if (op->ret)
        _exit(1);
}

static pid_t connect_serve(int port, const char *secret, bool is_plain)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_plain)
        connect_serve_plain(port);
    struct net_config c = {.node = "server", .secret_file = secret};
    struct env_acceptor a = {.on_open = connect_accept};
    struct env_op op = {.done = connect_listening};
    struct net *net;
    char addr[32];
    fmt_into(addr, sizeof addr, "127.0.0.1:%d", port);
    if (net_open(&c, &net))
        _exit(1);
    env_listen(net_env(net), addr, &a, &op);
    net_run(net);
    _exit(0);
}

/* --- the callers --- */

static void connect_next(struct connect_one *o)
{
    struct connect_load *l = o->l;
    if (l->started == l->count) {
        l->over = l->ended == l->count;
        return;
    }
    l->started++;
    env_connect(net_env(l->net), l->addr, 5000000000, &o->peer, &o->op);
}

static void connect_done(struct env_op *op)
{
    struct connect_one *o = container_of(op, struct connect_one, op);
    if (op->ret)
        o->l->failed++;
    else
        env_hangup(o->peer.conn);
    o->l->ended++;
    connect_next(o);
}

/* connections a second; 0: one failed */
static double connect_round(struct connect_load *l, unsigned count, unsigned depth)
{
    int64_t t0 = bench_now_ns();
    l->started = l->ended = l->failed = 0;
    l->count = count;
    l->over = false;
    for (unsigned i = 0; i < depth; i++)
        connect_next(&l->one[i]);
    net_run_until(l->net, &l->over, env_now_ns(net_env(l->net)) + 60000000000);
    return l->over && !l->failed ? 1e9 * count / (double)(bench_now_ns() - t0) : 0;
}

static double connect_round_plain(int port, unsigned count)
{
    struct sockaddr_in a = connect_addr(port);
    char b[NET_FRAME_HELLO] = {0};
    int64_t t0 = bench_now_ns();
    for (unsigned i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool ok = !connect(fd, (struct sockaddr *)&a, sizeof a) &&
                  send(fd, b, sizeof b, MSG_NOSIGNAL) > 0 && recv(fd, b, sizeof b, 0) > 0;
        close(fd);
        if (!ok)
            return 0;
    }
    return 1e9 * count / (double)(bench_now_ns() - t0);
}

static bool connect_open(struct connect_load *l, int port, const char *secret)
{
    struct net_config c = {.node = "caller", .secret_file = secret};
    memset(l, 0, sizeof *l);
    fmt_into(l->addr, sizeof l->addr, "127.0.0.1:%d", port);
    for (size_t i = 0; i < ARRAY_LEN(l->one); i++)
        l->one[i] = (struct connect_one){
            .op.done = connect_done, .peer = {NULL, connect_frame, connect_lost}, .l = l};
    if (net_open(&c, &l->net))
        return false;
    for (int i = 0; i < 500; i++, usleep(10000)) /* until it listens */
        if (connect_round(l, 1, 1) > 0)
            return true;
    return false;
}

static int connect_rounds(struct bench *b, int port, const char *secret)
{
    static struct connect_load none, with;
    static const unsigned depths[] = {1, 16};
    unsigned count = b->seconds < 0.5 ? CONNECT_COUNT / 10 : CONNECT_COUNT;
    if (!connect_open(&none, port, NULL) || !connect_open(&with, port + 1, secret))
        return 1;
    for (int r = 0; r < b->rounds; r++) {
        int plain = bench_row(b, "plain: one after another", "/s", -1);
        bench_sample(b, plain, connect_round_plain(port + 2, count));
        for (size_t d = 0; d < ARRAY_LEN(depths); d++) {
            char name[64];
            fmt_into(name, sizeof name, "no secret: %u at a time", depths[d]);
            int base = bench_row(b, name, "/s", plain);
            fmt_into(name, sizeof name, "secret: %u at a time", depths[d]);
            int row = bench_row(b, name, "/s", base);
            double x = connect_round(&none, count, depths[d]);
            double y = connect_round(&with, count, depths[d]);
            if (x <= 0 || y <= 0)
                return 1;
            bench_sample(b, base, x);
            bench_sample(b, row, y);
        }
    }
    net_close(none.net);
    net_close(with.net);
    return 0;
}

int bench_connect_main(struct bench *b)
{
    char dir[512], secret[600], err[256];
    pid_t pid[3];
    int port = bench_proc_ports(3), code = 1;
    if (!port || !bench_temp_dir(b, dir, sizeof dir))
        return 1;
    fmt_into(secret, sizeof secret, "%s/secret", dir);
    if (net_secret_make(secret, err, sizeof err)) {
        fprintf(stderr, "tarn bench: %s\n", err);
    } else {
        bench_pin(b, true);
        for (int i = 0; i < 3; i++)
            bench_track(pid[i] = connect_serve(port + i, i == 1 ? secret : NULL, i == 2));
        bench_pin(b, false);
        code = connect_rounds(b, port, secret);
        for (int i = 0; i < 3; i++) {
            bench_end(pid[i]);
            bench_forget(pid[i]);
        }
    }
    bench_remove(dir);
    if (code) {
        fprintf(stderr, "tarn bench: connections failed\n");
        return code;
    }
    b->title = "connections: TCP loopback, one caller, one server";
    snprintf(b->params, sizeof b->params, "%d connections each", CONNECT_COUNT);
    bench_report(b);
    return 0;
}
