/* tests/unit/test_net_side.h - what tests of connections share: a net with one acceptor and one
 * peer, driven in turn with another, and strangers that talk to a port by a socket of their own. */
#ifndef TESTS_UNIT_TEST_NET_SIDE_H
#define TESTS_UNIT_TEST_NET_SIDE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "core/fmt.h"
#include "net/net.h"
#include "tests/unit/unit.h"

enum { SEC = 1000000000, MSG = 1, GO = 2, KEY = 3, DONE = 4 };

struct side {
    struct net *net;
    struct env *e;
    struct env_acceptor acceptor;
    struct env_peer peer; /* the connection of this side */
    bool opened, closed, hangup_on_frame, hangup_on_close_frame, refuse;
    int why;
    uint64_t frames, bytes;
    uint32_t next, wrong; /* frames carry a counter */
    void (*on_frame)(struct side *s, uint16_t type, const uint8_t *b, uint32_t n);
    void *ctx;
    char from[ENV_ADDR_MAX], log[4096];
};

struct wait {
    struct env_op op;
    bool done;
};

static inline void wait_done(struct env_op *op)
{
    container_of(op, struct wait, op)->done = true;
}

static inline void side_log(void *ctx, enum env_log level, const char *node, const char *line)
{
    struct side *s = ctx;
    (void)level;
    size_t at = strlen(s->log);
    fmt_into(s->log + at, sizeof s->log - at, "%s: %s\n", node, line);
}

static inline void side_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct side *s = container_of(p, struct side, peer);
    s->frames++;
    s->bytes += n;
    if (s->on_frame) {
        s->on_frame(s, type, b, n);
    } else if (n >= 4) {
        s->wrong += base_get_u32(b) != s->next;
        s->next++;
    }
    if (s->hangup_on_frame)
        env_hangup(p->conn);
}

static inline void side_close(struct env_peer *p, int why)
{
    struct side *s = container_of(p, struct side, peer);
    CU_ASSERT_PTR_NULL(p->conn);
    CU_ASSERT(!s->closed);
    s->closed = true;
    s->why = why;
}

static inline struct env_peer *side_open(struct env_acceptor *a, const char *from)
{
    struct side *s = container_of(a, struct side, acceptor);
    CU_ASSERT(strstr(from, "127.0.0.1:") != NULL);
    fmt_into(s->from, sizeof s->from, "%s", from);
    if (s->refuse)
        return NULL;
    s->opened = true;
    return &s->peer;
}

static inline void side_init_with(struct side *s, struct net_config c)
{
    memset(s, 0, sizeof *s);
    c.log = side_log;
    c.log_ctx = s;
    c.log_level = ENV_LOG_DEBUG;
    c.hello_timeout_ns = c.hello_timeout_ns ? c.hello_timeout_ns : 20LL * SEC;
    CU_ASSERT_EQUAL_FATAL(net_open(&c, &s->net), 0);
    s->e = net_env(s->net);
    s->acceptor.on_open = side_open;
    s->peer.on_frame = side_frame;
    s->peer.on_close = side_close;
}

static inline void side_init(struct side *s, const char *name, uint64_t cluster)
{
    side_init_with(s, (struct net_config){.node = name, .cluster_lo = cluster});
}

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * SEC + t.tv_nsec;
}

/* both loops in turn until *flag; false after a while */
static inline bool drive(struct side *a, struct side *b, const bool *flag)
{
    int64_t end = now_ns() + 30LL * SEC;
    while (!*flag && now_ns() < end) {
        net_run_until(a->net, flag, now_ns() + 1);
        if (b && !*flag)
            net_run_until(b->net, flag, now_ns() + 1);
    }
    return *flag;
}

/* so long, and at least a few turns, however slow the machine is */
static inline void drive_ms(struct side *a, struct side *b, int ms)
{
    bool never = false;
    int64_t end = now_ns() + ms * 1000000LL;
    for (int turn = 0; turn < 4 || now_ns() < end; turn++) {
        net_run_until(a->net, &never, now_ns() + 1);
        if (b)
            net_run_until(b->net, &never, now_ns() + 1);
    }
}

static inline bool drive_frames(struct side *a, struct side *b, const uint64_t *count,
                                uint64_t want)
{
    bool never = false;
    int64_t end = now_ns() + 30LL * SEC;
    while (*count < want && now_ns() < end) {
        net_run_until(a->net, &never, now_ns() + 1);
        net_run_until(b->net, &never, now_ns() + 1);
    }
    return *count >= want;
}

static inline uint16_t side_listen(struct side *s, const char *addr, int64_t *ret)
{
    struct wait w = {.op.done = wait_done};
    env_listen(s->e, addr, &s->acceptor, &w.op);
    CU_ASSERT(!w.done);
    CU_ASSERT(drive(s, NULL, &w.done));
    *ret = w.op.ret;
    return net_listen_port(s->net, &s->acceptor);
}

static inline int64_t side_connect(struct side *s, struct side *to, uint16_t port)
{
    char addr[ENV_ADDR_MAX];
    struct wait w = {.op.done = wait_done};
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", port);
    env_connect(s->e, addr, 20LL * SEC, &s->peer, &w.op);
    CU_ASSERT(!w.done);
    CU_ASSERT(drive(s, to, &w.done));
    return w.op.ret;
}

static inline void pair(struct side *a, struct side *b)
{
    int64_t ret;
    side_init(a, "a", 0);
    side_init(b, "b", 7);
    uint16_t port = side_listen(b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL_FATAL(ret, 0);
    CU_ASSERT_FATAL(port != 0);
    CU_ASSERT_EQUAL_FATAL(side_connect(a, b, port), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a->peer.conn);
    CU_ASSERT(drive(b, a, &b->opened));
}

static inline void pair_close(struct side *a, struct side *b)
{
    net_close(a->net);
    net_close(b->net);
}

static inline void send_n(struct side *s, uint32_t n, const void *p)
{
    struct env_iov iov = {p, n};
    env_send(s->peer.conn, MSG, &iov, 1);
}

static inline int raw_connect(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EINPROGRESS);
    return fd;
}

/* until the other end closed; bytes it said before */
static inline size_t raw_read_all(struct side *s, int fd)
{
    char b[4096];
    size_t n = 0;
    int64_t end = now_ns() + 30LL * SEC;
    while (now_ns() < end) {
        drive_ms(s, NULL, 1);
        ssize_t r = recv(fd, b, sizeof b, MSG_DONTWAIT);
        if (r == 0 || (r < 0 && errno != EAGAIN))
            return n;
        n += r > 0 ? (size_t)r : 0;
    }
    CU_FAIL("the connection was not closed");
    return n;
}

#endif
