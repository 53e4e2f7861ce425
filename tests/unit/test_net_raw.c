/* tests/unit/test_net_raw.c - raw connections over TCP: without hello, secret and frames. */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include "tests/unit/test_net_side.h"
#include "tests/unit/test_raw_stream.h"

struct raw_nets {
    struct side a, b;
};

static uint16_t raw_free_port(struct side *s)
{
    struct env_acceptor a = s->acceptor; /* somebody else's, for a moment */
    struct wait w = {.op.done = wait_done};
    env_listen(s->e, "127.0.0.1:0", &a, &w.op);
    CU_ASSERT_FATAL(drive(s, NULL, &w.done) && w.op.ret == 0);
    uint16_t port = net_listen_port(s->net, &a);
    env_unlisten(s->e, &a);
    drive_ms(s, NULL, 1);
    return port;
}

static void raw_world_open(struct raw_world *w)
{
    struct raw_nets *n = calloc(1, sizeof *n);
    w->world = n;
    side_init(&n->a, "a", 1);
    side_init(&n->b, "b", 2); /* of another cluster: nobody asks */
    w->a = n->a.e;
    w->b = n->b.e;
    fmt_into(w->addr, sizeof w->addr, "127.0.0.1:%u", raw_free_port(&n->b));
    fmt_into(w->nobody, sizeof w->nobody, "127.0.0.1:%u", raw_free_port(&n->b));
}

static bool raw_world_drive(struct raw_world *w, const bool *flag)
{
    struct raw_nets *n = w->world;
    return drive(&n->a, &n->b, flag);
}

static void raw_world_close(struct raw_world *w)
{
    struct raw_nets *n = w->world;
    pair_close(&n->a, &n->b);
    free(n);
}

static void raw_turns(struct raw_world *w, int ms)
{
    struct raw_nets *n = w->world;
    drive_ms(&n->a, &n->b, ms);
}

/* a server that is no tarn: it gets our bytes and nothing else, and we get its */
static void test_raw_nothing_but_bytes(void)
{
    struct side s;
    struct raw_end e = {0};
    struct wait w = {.op.done = wait_done};
    char addr[64], b[64];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_FATAL(fd >= 0 && !bind(fd, (struct sockaddr *)&sa, len) && !listen(fd, 5));
    CU_ASSERT_FATAL(!getsockname(fd, (struct sockaddr *)&sa, &len));
    side_init(&s, "s", 7);
    raw_end_init(&e);
    e.peer.is_raw = true;
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", ntohs(sa.sin_port));
    env_connect(s.e, addr, SEC, &e.peer, &w.op);
    CU_ASSERT_FATAL(drive(&s, NULL, &w.done));
    CU_ASSERT_EQUAL(w.op.ret, 0);
    int there = accept(fd, NULL, NULL);
    CU_ASSERT_FATAL(there >= 0);
    drive_ms(&s, NULL, 20);
    CU_ASSERT_EQUAL(recv(there, b, sizeof b, MSG_DONTWAIT), -1); /* no hello */
    struct env_iov iov = {"ruok", 4};
    env_send(e.peer.conn, MSG, &iov, 1);
    drive_ms(&s, NULL, 20);
    CU_ASSERT_EQUAL(recv(there, b, sizeof b, MSG_DONTWAIT), 4);
    CU_ASSERT(!memcmp(b, "ruok", 4));
    e.wants = 4;
    CU_ASSERT_EQUAL(send(there, "imok", 4, MSG_NOSIGNAL), 4);
    CU_ASSERT(drive(&s, NULL, &e.has_all));
    CU_ASSERT(!memcmp(e.got, "imok", 4));
    close(there);
    CU_ASSERT(drive(&s, NULL, &e.closed));
    CU_ASSERT_EQUAL(e.why, E_CLOSED);
    close(fd);
    net_close(s.net);
    free(e.got);
}

/* to a tarn port: that one says its hello, and closes over what is none */
static void test_raw_to_a_port_of_frames(void)
{
    struct side a, b;
    int64_t ret;
    struct raw_end e = {0};
    struct wait w = {.op.done = wait_done};
    char addr[64];
    side_init(&a, "a", 0);
    side_init(&b, "b", 0);
    raw_end_init(&e);
    e.peer.is_raw = true;
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", side_listen(&b, "127.0.0.1:0", &ret));
    env_connect(a.e, addr, SEC, &e.peer, &w.op);
    CU_ASSERT_FATAL(drive(&a, &b, &w.done));
    CU_ASSERT_EQUAL(w.op.ret, 0);
    raw_send(&e, 0, 200);
    CU_ASSERT(drive(&a, &b, &e.closed));
    CU_ASSERT(!b.opened);
    pair_close(&a, &b);
    free(e.got);
}

/* frames to a raw port: the hello is bytes there, and no answer comes */
static void test_raw_port_gets_a_hello(void)
{
    struct raw_world w;
    raw_start(&w);
    struct raw_nets *n = w.world;
    struct wait wait = {.op.done = wait_done};
    w.server.echoes = true; /* then it hears its own hello */
    env_connect(n->a.e, w.addr, SEC, &n->a.peer, &wait.op);
    CU_ASSERT_FATAL(raw_world_drive(&w, &wait.done));
    CU_ASSERT(wait.op.ret < 0);
    CU_ASSERT(w.opened);
    raw_end(&w);
}

/* without a cluster secret frames stay on this machine; who is talked to in raw bytes proves what
 * he must in his own way */
static void test_raw_may_leave_the_machine(void)
{
    struct side a;
    struct raw_end e = {0};
    struct wait raw = {.op.done = wait_done}, framed = {.op.done = wait_done};
    side_init(&a, "a", 0);
    raw_end_init(&e);
    e.peer.is_raw = true;
    env_connect(a.e, "192.0.2.1:2181", SEC / 20, &e.peer, &raw.op); /* nobody is there */
    env_connect(a.e, "192.0.2.1:2181", SEC / 20, &a.peer, &framed.op);
    CU_ASSERT_FATAL(drive(&a, NULL, &raw.done) && drive(&a, NULL, &framed.done));
    CU_ASSERT_EQUAL(framed.op.ret, E_CONFIG);
    CU_ASSERT(raw.op.ret < 0 && raw.op.ret != E_CONFIG);
    net_close(a.net);
    free(e.got);
}

/* one write a turn, and what waits is counted without frames */
static void test_raw_one_turn_is_one_write(void)
{
    struct raw_world w;
    struct net_stats before, after;
    raw_start(&w);
    struct raw_nets *n = w.world;
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    net_stats(n->a.net, &before);
    for (uint32_t i = 0; i < 100; i++)
        raw_send(&w.client, 4 * i, 4);
    CU_ASSERT_EQUAL(env_backlog(w.client.peer.conn), 400);
    w.server.wants = 400;
    CU_ASSERT_FATAL(raw_world_drive(&w, &w.server.has_all));
    net_stats(n->a.net, &after);
    CU_ASSERT_EQUAL(after.writes, before.writes + 1);
    CU_ASSERT_EQUAL(after.bytes_out, before.bytes_out + 400);
    CU_ASSERT_EQUAL(after.frames_out, before.frames_out);
    CU_ASSERT(raw_is_right(&w.server));
    raw_end(&w);
}

/* in a network of its own that lends four ports only; 77: we may not have one */
static int self_child(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
        return 77;
    int s = socket(AF_INET, SOCK_DGRAM, 0), selves = 0;
    int range = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
    if (s < 0 || ioctl(s, SIOCSIFFLAGS, &lo) || range < 0 || write(range, "40000 40003", 11) != 11)
        return 77;
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(40002), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 10; i++) { /* it does, at another port than below */
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        selves += !connect(fd, (struct sockaddr *)&sa, sizeof sa);
        close(fd);
    }
    struct side a;
    struct raw_end e = {0};
    side_init(&a, "a", 0);
    raw_end_init(&e);
    e.peer.is_raw = true;
    int wrong = 0;
    for (int i = 0; i < 10; i++) {
        struct wait w = {.op.done = wait_done};
        env_connect(a.e, "127.0.0.1:40000", SEC, &e.peer, &w.op);
        wrong += !drive(&a, NULL, &w.done) || w.op.ret != E_REFUSED;
    }
    return wrong ? 1 : selves ? 0 : 2;
}

/* nobody listens, and TCP connects a port to itself: there the caller would talk to itself */
static void test_raw_is_not_its_own_server(void)
{
    int status = 0;
    pid_t child = fork();
    if (!child)
        _exit(self_child());
    CU_ASSERT_FATAL(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        printf("(no network of our own: skipped) ");
    else
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Who stops listening as the first one comes is asked for no other; and the descriptor is somebody
 * else's at once. */
static int raw_next_listener, raw_next_caller;

static struct env_peer *raw_open_once(struct env_acceptor *a, const char *from)
{
    struct raw_world *w = container_of(a, struct raw_world, acc);
    (void)from;
    CU_ASSERT(!w->opened);
    w->opened = true;
    env_unlisten(w->b, a);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    raw_next_listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CU_ASSERT_FATAL(!bind(raw_next_listener, (struct sockaddr *)&sa, len) &&
                    !listen(raw_next_listener, 5) &&
                    !getsockname(raw_next_listener, (struct sockaddr *)&sa, &len));
    raw_next_caller = raw_connect(ntohs(sa.sin_port));
    return &w->server.peer;
}

static void test_raw_unlisten_in_on_open(void)
{
    struct raw_world w;
    raw_start(&w);
    struct raw_nets *n = w.world;
    w.acc.on_open = raw_open_once;
    uint16_t port = net_listen_port(n->b.net, &w.acc);
    int fds[4];
    for (int i = 0; i < 4; i++)
        fds[i] = raw_connect(port);
    CU_ASSERT(raw_world_drive(&w, &w.opened));
    raw_turns(&w, 20);
    CU_ASSERT(!w.server.closed);
    int fd = accept(raw_next_listener, NULL, NULL);
    CU_ASSERT(fd >= 0);
    close(fd);
    close(raw_next_listener);
    close(raw_next_caller);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    CU_ASSERT(raw_world_drive(&w, &w.server.closed));
    raw_end(&w);
}

/* a reader that stands still: what waits is bounded as elsewhere, and the connection ends */
static void test_raw_backlog_is_bounded(void)
{
    struct side a;
    struct raw_end e = {0};
    struct wait w = {.op.done = wait_done};
    char addr[64];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_FATAL(fd >= 0 && !bind(fd, (struct sockaddr *)&sa, len) && !listen(fd, 5));
    CU_ASSERT_FATAL(!getsockname(fd, (struct sockaddr *)&sa, &len));
    side_init_with(&a, (struct net_config){.node = "a", .backlog_max = 8 << 20});
    raw_end_init(&e);
    e.peer.is_raw = true;
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", ntohs(sa.sin_port));
    env_connect(a.e, addr, SEC, &e.peer, &w.op);
    CU_ASSERT_FATAL(drive(&a, NULL, &w.done));
    for (uint32_t i = 0; i < 1000 && !e.closed; i++) {
        if (e.peer.conn)
            raw_send(&e, i * ENV_FRAME_MAX, ENV_FRAME_MAX);
        drive_ms(&a, NULL, 0);
    }
    CU_ASSERT(e.closed);
    CU_ASSERT_EQUAL(e.why, E_TOOBIG);
    close(fd);
    net_close(a.net);
    free(e.got);
}

/* clang-format off */
UNIT_MAIN("net_raw", RAW_TESTS, UNIT(test_raw_nothing_but_bytes),
          UNIT(test_raw_to_a_port_of_frames), UNIT(test_raw_port_gets_a_hello), UNIT(test_raw_may_leave_the_machine),
          UNIT(test_raw_one_turn_is_one_write), UNIT(test_raw_is_not_its_own_server),
          UNIT(test_raw_unlisten_in_on_open), UNIT(test_raw_backlog_is_bounded))
/* clang-format on */
