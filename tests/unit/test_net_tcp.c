/* tests/unit/test_net_tcp.c - two nets in one process, each in a thread of its own where it
 * matters, else driven in turn: frames, transfers, ends of connections, strangers on the port. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/crc.h"
#include "core/fmt.h"
#include "net/net.h"
#include "net/net_frame.h"
#include "tests/unit/test_net_side.h"

/* ---- frames ---- */

static void test_tcp_frames_keep_order(void)
{
    struct side a, b;
    pair(&a, &b);
    static uint8_t big[ENV_FRAME_MAX];
    uint32_t sent = 0;
    while (sent < 100000) {
        for (int i = 0; i < 1000; i++, sent++) {
            base_put_u32(big, sent);
            send_n(&a, sent % 500 == 7 ? ENV_FRAME_MAX : 4 + sent % 90, big);
        }
        CU_ASSERT_FATAL(drive_frames(&a, &b, &b.frames, sent));
    }
    CU_ASSERT_EQUAL(b.next, sent);
    CU_ASSERT_EQUAL(b.wrong, 0);
    CU_ASSERT_EQUAL(env_backlog(a.peer.conn), 0);
    pair_close(&a, &b);
}

static void test_tcp_one_turn_is_one_write(void)
{
    struct side a, b;
    struct net_stats before, after;
    pair(&a, &b);
    net_stats(a.net, &before);
    for (uint32_t i = 0; i < 100; i++)
        send_n(&a, sizeof i, &i);
    CU_ASSERT_EQUAL(env_backlog(a.peer.conn), 100 * (NET_FRAME_HEAD + 4));
    net_stats(a.net, &after);
    CU_ASSERT_EQUAL(after.writes, before.writes);
    CU_ASSERT(drive_frames(&a, &b, &b.frames, 100));
    net_stats(a.net, &after);
    CU_ASSERT_EQUAL(after.writes, before.writes + 1);
    CU_ASSERT_EQUAL(after.frames_out, before.frames_out + 100);
    pair_close(&a, &b);
}

/* of many frames the first do not wait for the last, and yet it takes few writes */
static void test_tcp_long_turn_leaves_early(void)
{
    struct side a, b;
    struct net_stats before, after;
    pair(&a, &b);
    net_stats(a.net, &before);
    for (uint32_t i = 0; i < 10000; i++)
        send_n(&a, sizeof i, &i);
    net_stats(a.net, &after);
    CU_ASSERT(after.bytes_out > before.bytes_out);
    CU_ASSERT(drive_frames(&a, &b, &b.frames, 10000));
    CU_ASSERT_EQUAL(b.next, 10000);
    CU_ASSERT_EQUAL(b.wrong, 0);
    net_stats(a.net, &after);
    CU_ASSERT(after.writes - before.writes > 2);
    CU_ASSERT(after.writes - before.writes < 1000);
    pair_close(&a, &b);
}

static void test_tcp_frame_from_pieces(void)
{
    struct side a, b;
    pair(&a, &b);
    uint32_t zero = 0;
    struct env_iov iov[3] = {{&zero, 4}, {NULL, 0}, {"hello", 5}};
    env_send(a.peer.conn, MSG, iov, 3);
    env_send(a.peer.conn, MSG, NULL, 0);
    CU_ASSERT(drive_frames(&a, &b, &b.frames, 2));
    CU_ASSERT_EQUAL(b.bytes, 9);
    CU_ASSERT_EQUAL(b.wrong, 0);
    pair_close(&a, &b);
}

/* ---- transfers ---- */

enum { MIB = 1 << 20, BLOCKS = 64 };

struct placed {
    uint8_t *mem;
    int seen, bad;
};

/* the frame after a write names the block that must be there */
static void on_block(struct side *s, uint16_t type, const uint8_t *b, uint32_t n)
{
    struct placed *p = s->ctx;
    (void)type;
    (void)n;
    uint32_t i = base_get_u32(b);
    const uint8_t *at = p->mem + (size_t)(i % 4) * MIB;
    p->bad += at[0] != (uint8_t)(i + 1) || at[MIB - 1] != (uint8_t)(i + 1) ||
              at[MIB / 2 + 17] != (uint8_t)(i + 1);
    p->seen++;
}

static void test_tcp_rma_write_then_frame(void)
{
    struct side a, b;
    pair(&a, &b);
    struct placed p = {.mem = malloc(4 * MIB)};
    uint8_t *from = malloc(4 * MIB);
    struct env_region r;
    struct env_key key;
    env_share(b.e, p.mem, 4 * MIB, &r, &key);
    b.on_frame = on_block;
    b.ctx = &p;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct wait w = {.op.done = wait_done};
        memset(from + (size_t)(i % 4) * MIB, (uint8_t)(i + 1), MIB);
        env_rma(a.peer.conn, ENV_RMA_WRITE, from + (size_t)(i % 4) * MIB, MIB, key,
                (uint64_t)(i % 4) * MIB, &w.op);
        send_n(&a, sizeof i, &i);
        CU_ASSERT(!w.done);
        CU_ASSERT_FATAL(drive(&a, &b, &w.done));
        CU_ASSERT_EQUAL(w.op.ret, MIB);
        if (i % 4 == 3)
            CU_ASSERT_FATAL(drive_frames(&a, &b, &b.frames, i + 1));
    }
    CU_ASSERT_EQUAL(p.seen, BLOCKS);
    CU_ASSERT_EQUAL(p.bad, 0);
    pair_close(&a, &b);
    free(p.mem);
    free(from);
}

static void test_tcp_rma_read(void)
{
    struct side a, b;
    pair(&a, &b);
    uint8_t *mem = malloc(MIB), *to = calloc(1, MIB);
    for (uint32_t i = 0; i < MIB; i++)
        mem[i] = (uint8_t)(i * 7 + i / 256);
    struct env_region r;
    struct env_key key;
    env_share(b.e, mem, MIB, &r, &key);
    /* many at once, more than may be under way, in sizes below and above the copy limit */
    static struct wait w[1024];
    static uint32_t lens[ARRAY_LEN(w)];
    uint64_t at = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(w); i++) {
        uint32_t len = i % 3 ? 1000 : 24;
        w[i] = (struct wait){.op.done = wait_done};
        if (i == ARRAY_LEN(w) - 1)
            len = (uint32_t)(MIB - at);
        lens[i] = len;
        env_rma(a.peer.conn, ENV_RMA_READ, to + at, len, key, at, &w[i].op);
        at += len;
    }
    CU_ASSERT(drive(&a, &b, &w[ARRAY_LEN(w) - 1].done));
    for (uint32_t i = 0; i < ARRAY_LEN(w); i++)
        CU_ASSERT(w[i].done && w[i].op.ret == lens[i]);
    CU_ASSERT_EQUAL(memcmp(to, mem, MIB), 0);
    struct wait bad = {.op.done = wait_done};
    env_rma(a.peer.conn, ENV_RMA_READ, to, 2, key, MIB - 1, &bad.op);
    CU_ASSERT(!bad.done);
    CU_ASSERT(drive(&a, &b, &bad.done));
    CU_ASSERT_EQUAL(bad.op.ret, E_INVAL);
    pair_close(&a, &b);
    free(mem);
    free(to);
}

static void test_tcp_rma_stale_key(void)
{
    struct side a, b;
    struct net_stats st;
    pair(&a, &b);
    static uint8_t mem[64 * 1024], from[64 * 1024], to[64 * 1024];
    struct env_region r, r2;
    struct env_key key, key2;
    struct wait w = {.op.done = wait_done}, rd = w, wr = w;
    env_share(b.e, mem, sizeof mem, &r, &key);
    env_revoke(&r, &w.op);
    CU_ASSERT(!w.done);
    CU_ASSERT(drive(&b, NULL, &w.done));
    env_share(b.e, mem, sizeof mem, &r2, &key2); /* the slot again, another token */
    CU_ASSERT(key.token != key2.token);
    memset(from, 9, sizeof from);
    env_rma(a.peer.conn, ENV_RMA_WRITE, from, sizeof from, key, 0, &wr.op);
    env_rma(a.peer.conn, ENV_RMA_READ, to, sizeof to, key, 0, &rd.op);
    CU_ASSERT(drive(&a, &b, &rd.done));
    CU_ASSERT_EQUAL(rd.op.ret, E_STALE);
    CU_ASSERT(wr.done && wr.op.ret == sizeof from);
    CU_ASSERT_EQUAL(mem[0], 0);
    net_stats(b.net, &st);
    CU_ASSERT_EQUAL(st.bytes_dropped, sizeof from);
    uint32_t zero = 0; /* the connection lives on */
    send_n(&a, 4, &zero);
    CU_ASSERT(drive_frames(&a, &b, &b.frames, 1));
    pair_close(&a, &b);
}

static void test_tcp_revoke_in_the_middle(void)
{
    struct side a, b;
    bool never = false;
    pair(&a, &b);
    enum { BIG = 32 * MIB };
    uint8_t *mem = calloc(1, BIG), *from = malloc(BIG);
    memset(from, 5, BIG);
    struct env_region r;
    struct env_key key;
    env_share(b.e, mem, BIG, &r, &key);
    struct wait wr = {.op.done = wait_done}, rv = wr;
    env_rma(a.peer.conn, ENV_RMA_WRITE, from, BIG, key, 0, &wr.op);
    for (int64_t end = now_ns() + 30LL * SEC; !mem[0] && now_ns() < end;) {
        net_run_until(a.net, &never, now_ns() + 1);
        net_run_until(b.net, &never, now_ns() + 1);
    }
    CU_ASSERT(!wr.done);
    env_revoke(&r, &rv.op);
    CU_ASSERT(drive(&b, NULL, &rv.done));
    memset(mem, 1, BIG);
    uint32_t zero = 0;
    send_n(&a, 4, &zero);
    CU_ASSERT(drive_frames(&a, &b, &b.frames, 1));
    CU_ASSERT(wr.done && wr.op.ret == BIG);
    size_t touched = 0;
    for (size_t i = 0; i < BIG; i++)
        touched += mem[i] != 1;
    CU_ASSERT_EQUAL(touched, 0);

    /* and while it is being read: the reader gets what was there */
    memset(mem, 2, BIG);
    memset(from, 0, BIG);
    env_share(b.e, mem, BIG, &r, &key);
    struct wait rd = {.op.done = wait_done};
    rv.done = false;
    env_rma(a.peer.conn, ENV_RMA_READ, from, BIG, key, 0, &rd.op);
    for (int64_t end = now_ns() + 30LL * SEC; !from[0] && now_ns() < end;) {
        net_run_until(a.net, &never, now_ns() + 1);
        net_run_until(b.net, &never, now_ns() + 1);
    }
    CU_ASSERT(!rd.done);
    env_revoke(&r, &rv.op);
    CU_ASSERT(drive(&b, NULL, &rv.done));
    memset(mem, 3, BIG);
    CU_ASSERT(drive(&a, &b, &rd.done));
    CU_ASSERT_EQUAL(rd.op.ret, BIG);
    for (size_t i = touched = 0; i < BIG; i++)
        touched += from[i] != 2;
    CU_ASSERT_EQUAL(touched, 0);
    pair_close(&a, &b);
    free(mem);
    free(from);
}

/* ---- ends ---- */

static void test_tcp_hangup_in_callback(void)
{
    struct side a, b;
    pair(&a, &b);
    b.hangup_on_frame = true;
    for (uint32_t i = 0; i < 100; i++)
        send_n(&a, sizeof i, &i);
    CU_ASSERT(drive(&a, &b, &a.closed));
    CU_ASSERT_EQUAL(a.why, E_CLOSED);
    drive_ms(&a, &b, 5);
    CU_ASSERT_EQUAL(b.frames, 1);
    CU_ASSERT(!b.closed);
    CU_ASSERT_PTR_NULL(b.peer.conn);
    pair_close(&a, &b);
}

static void test_tcp_hangup_sends_goodbye(void)
{
    struct side a, b;
    pair(&a, &b);
    uint32_t zero = 0;
    send_n(&a, 4, &zero);
    env_hangup(a.peer.conn);
    CU_ASSERT(drive(&b, &a, &b.closed));
    CU_ASSERT_EQUAL(b.frames, 1);
    CU_ASSERT_EQUAL(b.why, E_CLOSED);
    CU_ASSERT(!a.closed);
    pair_close(&a, &b);
}

static void test_tcp_ops_end_before_close(void)
{
    struct side a, b;
    pair(&a, &b);
    enum { BIG = 32 * MIB };
    uint8_t *mem = calloc(1, BIG), *to = malloc(BIG);
    struct env_region r;
    struct env_key key;
    env_share(b.e, mem, BIG, &r, &key);
    struct wait rd = {.op.done = wait_done}, wr = rd;
    env_rma(a.peer.conn, ENV_RMA_READ, to, BIG, key, 0, &rd.op);
    env_rma(a.peer.conn, ENV_RMA_WRITE, to, BIG, key, 0, &wr.op);
    drive_ms(&a, &b, 1);
    env_hangup(b.peer.conn);
    CU_ASSERT(drive(&a, &b, &a.closed));
    CU_ASSERT(rd.done && rd.op.ret == E_CLOSED);
    CU_ASSERT(wr.done && wr.op.ret == E_CLOSED);
    struct wait late = {.op.done = wait_done};
    CU_ASSERT_PTR_NULL(a.peer.conn);
    (void)late;
    pair_close(&a, &b);
    free(mem);
    free(to);
}

static void test_tcp_hangup_with_transfers(void)
{
    struct side a, b;
    pair(&a, &b);
    enum { BIG = 8 * MIB };
    uint8_t *mem = calloc(1, BIG), *to = malloc(BIG);
    struct env_region r;
    struct env_key key;
    env_share(b.e, mem, BIG, &r, &key);
    struct wait rd = {.op.done = wait_done}, wr = rd, after = rd;
    struct env_conn *conn = a.peer.conn;
    env_rma(conn, ENV_RMA_READ, to, BIG, key, 0, &rd.op);
    env_rma(conn, ENV_RMA_WRITE, to, BIG, key, 0, &wr.op);
    env_hangup(conn);
    CU_ASSERT(!rd.done && !wr.done);
    CU_ASSERT(drive(&a, NULL, &rd.done));
    CU_ASSERT_EQUAL(rd.op.ret, E_CLOSED);
    CU_ASSERT(drive(&a, NULL, &wr.done));
    CU_ASSERT(drive(&b, NULL, &b.closed));
    env_revoke(&r, &after.op);
    CU_ASSERT(drive(&b, NULL, &after.done));
    pair_close(&a, &b);
    free(mem);
    free(to);
}

static void test_tcp_peer_killed(void)
{
    struct side b;
    int64_t ret;
    side_init(&b, "b", 7);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL_FATAL(ret, 0);
    pid_t pid = fork();
    if (!pid) {
        struct side a;
        bool never = false;
        side_init(&a, "child", 7);
        if (side_connect(&a, NULL, port))
            _exit(1);
        net_run_until(a.net, &never, now_ns() + 60LL * SEC);
        _exit(2);
    }
    CU_ASSERT(drive(&b, NULL, &b.opened));
    kill(pid, SIGKILL);
    CU_ASSERT(drive(&b, NULL, &b.closed));
    CU_ASSERT_EQUAL(b.why, E_CLOSED);
    waitpid(pid, NULL, 0);
    net_close(b.net);
}

static void test_tcp_nobody_there(void)
{
    struct side a, b;
    int64_t ret;
    side_init(&a, "a", 0);
    side_init(&b, "b", 0);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    env_unlisten(b.e, &b.acceptor);
    drive_ms(&b, NULL, 1);
    CU_ASSERT_EQUAL(side_connect(&a, &b, port), E_REFUSED);
    struct wait w = {.op.done = wait_done};
    env_connect(a.e, "no port here", SEC, &a.peer, &w.op);
    CU_ASSERT(!w.done);
    CU_ASSERT(drive(&a, NULL, &w.done));
    CU_ASSERT_EQUAL(w.op.ret, E_INVAL);
    CU_ASSERT(strstr(a.log, "write host:port") != NULL);
    b.refuse = true;
    port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL(side_connect(&a, &b, port), 0);
    CU_ASSERT(drive(&a, &b, &a.closed));
    pair_close(&a, &b);
}

/* a port that the kernel lent to a connection does not keep its server from starting again */
static void test_tcp_listen_on_a_lent_port(void)
{
    struct side a, b, c;
    int64_t ret;
    pair(&a, &b);
    side_init(&c, "c", 0);
    const char *lent = strstr(b.from, "127.0.0.1:");
    CU_ASSERT_PTR_NOT_NULL_FATAL(lent);
    side_listen(&c, lent, &ret);
    CU_ASSERT_EQUAL(ret, 0);
    net_close(c.net);
    pair_close(&a, &b);
}

static void test_tcp_localhost_by_name(void)
{
    struct side a, b;
    int64_t ret;
    char addr[64];
    struct addrinfo *found;
    if (getaddrinfo("localhost", NULL, NULL, &found)) {
        fprintf(stderr, "\nSKIP: this host does not know the name localhost (/etc/hosts)\n");
        return;
    }
    freeaddrinfo(found);
    side_init(&a, "a", 0);
    side_init(&b, "b", 0);
    uint16_t port = side_listen(&b, "localhost:0", &ret);
    CU_ASSERT_EQUAL_FATAL(ret, 0);
    struct wait w = {.op.done = wait_done};
    fmt_into(addr, sizeof addr, "localhost:%u", port);
    env_connect(a.e, addr, 20LL * SEC, &a.peer, &w.op);
    CU_ASSERT(drive(&a, &b, &w.done));
    CU_ASSERT_EQUAL(w.op.ret, 0);
    pair_close(&a, &b);
}

static void test_tcp_listen_refusals(void)
{
    struct side a, b;
    int64_t ret;
    char addr[64];
    side_init(&a, "a", 0);
    side_init(&b, "b", 0);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", port);
    CU_ASSERT_EQUAL(side_listen(&a, addr, &ret), 0);
    CU_ASSERT_EQUAL(ret, E_ADDRINUSE);
    CU_ASSERT(strstr(a.log, "another process") != NULL);
    side_listen(&a, "0.0.0.0:0", &ret);
    CU_ASSERT_EQUAL(ret, E_CONFIG);
    CU_ASSERT(strstr(a.log, "0.0.0.0:0") != NULL);
    side_listen(&a, "127.0.0.1:70000", &ret);
    CU_ASSERT_EQUAL(ret, E_INVAL);
    pair_close(&a, &b);
}

/* ---- strangers ---- */

static void raw_hello(uint8_t b[NET_FRAME_HELLO], uint16_t version, uint64_t cluster)
{
    struct net_hello h = {.version_min = version,
                          .version_max = version,
                          .frame_max = ENV_FRAME_MAX,
                          .cluster_lo = cluster,
                          .challenge = {1, 2, 3}};
    net_frame_hello_encode(&h, b);
}

static void test_tcp_bad_hellos(void)
{
    static const struct {
        const char *what, *log;
        uint16_t version;
        uint64_t cluster;
    } cases[] = {{"version", "speaks protocol 9..9", 9, 7},
                 {"cluster", "belongs to cluster", NET_FRAME_VERSION, 8},
                 {"http", "did not say a tarn hello", 0, 0},
                 {"flip", "did not say a tarn hello", NET_FRAME_VERSION, 7},
                 {"silent", "sent no hello in time", 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool is_silent = !strcmp(cases[i].what, "silent");
        struct side b;
        int64_t ret;
        side_init_with(&b, (struct net_config){.node = "b",
                                               .cluster_lo = 7,
                                               .hello_timeout_ns = is_silent ? SEC / 20 : 0});
        uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
        uint8_t h[NET_FRAME_HELLO];
        struct net_stats st;
        raw_hello(h, cases[i].version, cases[i].cluster);
        if (!strcmp(cases[i].what, "http"))
            memcpy(h, "GET / HTTP/1.1\r\n", 16);
        if (!strcmp(cases[i].what, "flip"))
            h[20] ^= 4;
        int fd = raw_connect(port);
        drive_ms(&b, NULL, 1);
        if (!is_silent)
            CU_ASSERT_EQUAL(send(fd, h, sizeof h, MSG_NOSIGNAL), (ssize_t)sizeof h);
        CU_ASSERT_EQUAL(raw_read_all(&b, fd), NET_FRAME_HELLO);
        close(fd);
        CU_ASSERT(strstr(b.log, cases[i].log) != NULL);
        net_stats(b.net, &st);
        CU_ASSERT_EQUAL(st.bad_hellos, is_silent ? 0 : 1);
        CU_ASSERT_EQUAL(st.conns, 0);
        CU_ASSERT(!b.opened);
        net_close(b.net);
    }
}

static void test_tcp_clusters_do_not_mix(void)
{
    struct side a, b;
    int64_t ret;
    side_init(&a, "a", 6);
    side_init(&b, "b", 7);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL(side_connect(&a, &b, port), E_CLUSTER);
    for (int i = 0; i < 10000 && !strstr(b.log, "belongs to cluster"); i++)
        drive_ms(&a, &b, 2);
    CU_ASSERT(strstr(a.log, "belongs to cluster") != NULL);
    CU_ASSERT(strstr(b.log, "belongs to cluster") != NULL);
    pair_close(&a, &b);
}

static void test_tcp_bad_frames(void)
{
    static const struct {
        size_t flip;
        uint8_t with;
        int why;
    } cases[] = {
        {0, 1, E_PROTO}, {9, 1, E_CORRUPT}, {28, 1, E_CORRUPT}, {NET_FRAME_HEAD, 1, E_CORRUPT}};
    struct side b;
    int64_t ret;
    struct net_stats st;
    side_init(&b, "b", 7);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    for (size_t i = 0; i <= ARRAY_LEN(cases); i++) {
        uint8_t m[NET_FRAME_HELLO + NET_FRAME_HEAD + 4] = {0};
        uint8_t *f = m + NET_FRAME_HELLO;
        struct net_frame good = {.kind = NET_FRAME_FRAME, .length = 4};
        good.check = crc_update(0, f + NET_FRAME_HEAD, 4);
        bool huge = i == ARRAY_LEN(cases);
        if (huge)
            good.length = ENV_FRAME_MAX + 1;
        raw_hello(m, NET_FRAME_VERSION, 7);
        net_frame_encode(&good, f);
        if (!huge)
            f[cases[i].flip] ^= cases[i].with;
        b.opened = b.closed = false;
        int fd = raw_connect(port);
        drive_ms(&b, NULL, 1);
        CU_ASSERT_EQUAL(send(fd, m, sizeof m, MSG_NOSIGNAL), (ssize_t)sizeof m);
        raw_read_all(&b, fd);
        close(fd);
        CU_ASSERT(b.opened && b.closed);
        CU_ASSERT_EQUAL(b.why, huge ? E_TOOBIG : cases[i].why);
        net_stats(b.net, &st);
        CU_ASSERT_EQUAL(st.bad_frames, i + 1);
    }
    CU_ASSERT_EQUAL(b.frames, 0);
    CU_ASSERT(strstr(b.log, "no message") != NULL);
    net_close(b.net);
}

static void test_tcp_bytes_one_by_one(void)
{
    struct side b;
    int64_t ret;
    side_init(&b, "b", 7);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    uint8_t m[NET_FRAME_HELLO + 3 * (NET_FRAME_HEAD + 5)] = {0};
    raw_hello(m, NET_FRAME_VERSION, 7);
    for (int i = 0; i < 3; i++) {
        uint8_t *f = m + NET_FRAME_HELLO + i * (NET_FRAME_HEAD + 5);
        base_put_u32(f + NET_FRAME_HEAD, (uint32_t)i);
        struct net_frame g = {
            .kind = NET_FRAME_FRAME, .length = 5, .check = crc_update(0, f + NET_FRAME_HEAD, 5)};
        net_frame_encode(&g, f);
    }
    int fd = raw_connect(port);
    bool never = false;
    for (size_t i = 0; i < sizeof m; i++) {
        net_run_until(b.net, &never, now_ns() + 1);
        CU_ASSERT_EQUAL(send(fd, m + i, 1, MSG_NOSIGNAL), 1);
    }
    int64_t end = now_ns() + 30LL * SEC;
    while (b.frames < 3 && now_ns() < end)
        drive_ms(&b, NULL, 1);
    CU_ASSERT_EQUAL(b.frames, 3);
    CU_ASSERT_EQUAL(b.wrong, 0);
    close(fd);
    CU_ASSERT(drive(&b, NULL, &b.closed));
    net_close(b.net);
}

/* ---- limits ---- */

static void test_tcp_slow_reader_is_dropped(void)
{
    struct side a, b;
    int64_t ret;
    side_init_with(&a, (struct net_config){.node = "a", .backlog_warn = 1000, .backlog_max = MIB});
    side_init(&b, "b", 0);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL_FATAL(side_connect(&a, &b, port), 0);
    static uint8_t big[ENV_FRAME_MAX];
    for (int i = 0; i < 20; i++)
        send_n(&a, sizeof big, big);
    CU_ASSERT(!a.closed); /* only later, in the loop */
    CU_ASSERT(drive(&a, NULL, &a.closed));
    CU_ASSERT_EQUAL(a.why, E_TOOBIG);
    CU_ASSERT(strstr(a.log, "takes data slowly") != NULL);
    CU_ASSERT(strstr(a.log, "more than the configured limit") != NULL);
    pair_close(&a, &b);
}

/* Frames to two that do not read, less to each than one may have, more than both may. */
static void test_tcp_memory_of_all(void)
{
    struct side a, b, c;
    int64_t ret;
    side_init_with(&a, (struct net_config){.node = "a", .held_max = 2 * MIB});
    side_init(&b, "b", 0);
    side_init(&c, "c", 0);
    uint16_t at_b = side_listen(&b, "127.0.0.1:0", &ret),
             at_c = side_listen(&c, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL_FATAL(side_connect(&a, &b, at_b), 0);
    struct side other = a; /* another connection of the same net */
    memset(&other.peer, 0, sizeof other.peer);
    other.peer.on_frame = side_frame;
    other.peer.on_close = side_close;
    CU_ASSERT_EQUAL_FATAL(side_connect(&other, &c, at_c), 0);
    static uint8_t big[ENV_FRAME_MAX];
    for (int i = 0; i < 4; i++)
        send_n(&other, sizeof big, big);
    for (int i = 0; i < 11; i++)
        send_n(&a, sizeof big, big);
    bool never = false;
    net_run_until(a.net, &never, now_ns() + 1); /* what their sockets take has left */
    CU_ASSERT(!a.closed && !other.closed);
    for (int i = 0; i < 1000 && !strstr(a.log, "memory are held"); i++)
        send_n(&a, sizeof big, big);
    CU_ASSERT(strstr(a.log, "memory are held for connections") != NULL);
    CU_ASSERT(drive(&a, NULL, &a.closed));
    CU_ASSERT_EQUAL(a.why, E_TOOBIG);
    CU_ASSERT(!other.closed);
    CU_ASSERT(drive_frames(&other, &c, &c.frames, 4)); /* it goes on */
    net_close(a.net);
    net_close(b.net);
    net_close(c.net);
}

static void test_tcp_connection_limit(void)
{
    struct side a, b;
    int64_t ret;
    side_init(&a, "a", 0);
    side_init_with(&b, (struct net_config){.node = "b", .max_conns = 1});
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL_FATAL(side_connect(&a, &b, port), 0);
    int fd = raw_connect(port);
    CU_ASSERT_EQUAL(raw_read_all(&b, fd), 0);
    CU_ASSERT(strstr(b.log, "the configured limit") != NULL);
    close(fd);
    pair_close(&a, &b);
}

static void test_tcp_out_of_descriptors(void)
{
    struct side b;
    int64_t ret;
    struct rlimit old, few;
    side_init_with(&b, (struct net_config){.node = "b", .hello_timeout_ns = SEC / 5});
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    int fd = raw_connect(port);
    getrlimit(RLIMIT_NOFILE, &old);
    few = (struct rlimit){(rlim_t)fd + 1, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    bool never = false;
    struct net_stats before, after;
    net_stats(b.net, &before);
    net_run_until(b.net, &never, now_ns() + 20 * 1000000);
    net_stats(b.net, &after);
    setrlimit(RLIMIT_NOFILE, &old);
    CU_ASSERT(strstr(b.log, "raise the limit of open files") != NULL);
    CU_ASSERT(after.turns - before.turns < 20); /* it did not spin */
    /* and it takes the connection when it can */
    CU_ASSERT_EQUAL(raw_read_all(&b, fd), NET_FRAME_HELLO);
    close(fd);
    net_close(b.net);
}

static void test_tcp_connect_deadline(void)
{
    struct side a;
    char addr[64];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    side_init(&a, "a", 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sa, len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", ntohs(sa.sin_port));
    struct wait w = {.op.done = wait_done};
    int64_t t0 = now_ns();
    env_connect(a.e, addr, SEC / 20, &a.peer, &w.op); /* it listens but says nothing */
    CU_ASSERT(drive(&a, NULL, &w.done));
    CU_ASSERT_EQUAL(w.op.ret, E_TIMEOUT);
    CU_ASSERT(now_ns() - t0 >= SEC / 20);
    close(fd);
    net_close(a.net);
}

static void test_tcp_close_with_everything_open(void)
{
    struct side a, b;
    pair(&a, &b);
    enum { BIG = 8 * MIB };
    uint8_t *mem = calloc(1, BIG);
    struct env_region r;
    struct env_key key;
    env_share(b.e, mem, BIG, &r, &key);
    struct wait rd = {.op.done = wait_done}, wr = rd, cn = rd;
    struct env_peer other = {.on_frame = side_frame, .on_close = side_close};
    env_rma(a.peer.conn, ENV_RMA_READ, mem, BIG, key, 0, &rd.op);
    env_rma(a.peer.conn, ENV_RMA_WRITE, mem, BIG, key, 0, &wr.op);
    env_connect(a.e, "localhost:1", SEC, &other, &cn.op);
    drive_ms(&a, &b, 1);
    pair_close(&a, &b);
    free(mem);
}

static struct side *flooder;
static bool flooded;

static void flood(struct env_op *op)
{
    static uint8_t big[ENV_FRAME_MAX];
    (void)op;
    for (int i = 0; i < 20; i++)
        send_n(flooder, sizeof big, big);
    flooded = true;
}

/* a connection is lost by the last thing that the loop does: its owner is not told any more */
static void test_tcp_close_right_after_a_loss(void)
{
    struct side a, b, c;
    int64_t ret;
    side_init_with(&a, (struct net_config){.node = "a", .backlog_max = MIB});
    side_init(&b, "b", 0);
    side_init(&c, "c", 0);
    uint16_t port = side_listen(&b, "127.0.0.1:0", &ret);
    CU_ASSERT_EQUAL_FATAL(side_connect(&a, &b, port), 0);
    struct env_peer first = a.peer;
    first.conn = NULL;
    uint16_t port_c = side_listen(&c, "127.0.0.1:0", &ret);
    char addr[ENV_ADDR_MAX];
    fmt_into(addr, sizeof addr, "127.0.0.1:%u", port_c);
    struct wait cn = {.op.done = wait_done}, rd = cn;
    env_connect(a.e, addr, 20LL * SEC, &first, &cn.op);
    CU_ASSERT(drive(&a, &c, &cn.done));
    CU_ASSERT_PTR_NOT_NULL_FATAL(first.conn);
    uint8_t mem[100];
    env_rma(first.conn, ENV_RMA_READ, mem, sizeof mem, (struct env_key){1, sizeof mem}, 0, &rd.op);
    flooder = &a;
    flooded = false;
    struct env_timer t = {.op.done = flood};
    env_timer_set(a.e, &t, now_ns());
    CU_ASSERT_EQUAL(net_run_until(a.net, &flooded, now_ns() + 20LL * SEC), 0);
    CU_ASSERT(!a.closed && !rd.done);
    net_close(a.net);
    net_close(b.net);
    net_close(c.net);
}

UNIT_MAIN("net_tcp", UNIT(test_tcp_frames_keep_order), UNIT(test_tcp_one_turn_is_one_write),
          UNIT(test_tcp_long_turn_leaves_early), UNIT(test_tcp_frame_from_pieces),
          UNIT(test_tcp_rma_write_then_frame), UNIT(test_tcp_rma_read),
          UNIT(test_tcp_rma_stale_key), UNIT(test_tcp_revoke_in_the_middle),
          UNIT(test_tcp_hangup_in_callback), UNIT(test_tcp_hangup_sends_goodbye),
          UNIT(test_tcp_ops_end_before_close), UNIT(test_tcp_hangup_with_transfers),
          UNIT(test_tcp_peer_killed), UNIT(test_tcp_nobody_there),
          UNIT(test_tcp_listen_on_a_lent_port), UNIT(test_tcp_localhost_by_name),
          UNIT(test_tcp_listen_refusals), UNIT(test_tcp_bad_hellos),
          UNIT(test_tcp_clusters_do_not_mix), UNIT(test_tcp_bad_frames),
          UNIT(test_tcp_bytes_one_by_one), UNIT(test_tcp_slow_reader_is_dropped),
          UNIT(test_tcp_memory_of_all), UNIT(test_tcp_connection_limit),
          UNIT(test_tcp_out_of_descriptors), UNIT(test_tcp_connect_deadline),
          UNIT(test_tcp_close_with_everything_open), UNIT(test_tcp_close_right_after_a_loss))
