/* tests/unit/test_net_storm.c - a client and a server do random things to their connections and
 * regions.  A region's bytes are all equal to its number, and so are the buffers of its writers, so
 * anything placed wrongly shows; under ASan, so does anything used too late. */
#include <time.h>
#include "core/fmt.h"
#include "core/prng.h"
#include "net/net.h"
#include "tests/unit/unit.h"

enum { SEC = 1000000000 };
enum { STORM_PEERS = 2, STORM_OPS = 40, STORM_REGIONS = 4, STORM_REGION = 1500 * 1000 };

struct wait {
    struct env_op op;
    bool done;
};

static void wait_done(struct env_op *op)
{
    container_of(op, struct wait, op)->done = true;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * SEC + t.tv_nsec;
}

struct storm {
    struct net *net;
    struct env *e;
    struct prng rnd;
    struct storm_peer {
        struct env_peer peer;
        struct storm *s;
        struct env_op connect;
        bool connecting;
    } peers[STORM_PEERS];
    struct storm_op {
        struct env_op op;
        struct storm *s;
        bool busy, read;
        uint32_t len;
        uint8_t want;
        uint8_t *mem;
    } ops[STORM_OPS];
    struct storm_region {
        struct env_region r;
        struct env_key key;
        struct env_op revoke;
        struct storm *s;
        uint8_t *mem;
        bool shared, revoking;
        uint8_t number;
    } regions[STORM_REGIONS];
    struct env_acceptor acceptor;
    struct storm *other;
    uint16_t port;
    uint64_t frames, reads, stale, closes, bad;
};

/* bytes of p[0..n) are all v */
static bool storm_all(const uint8_t *p, size_t n, uint8_t v)
{
    return !n || (p[0] == v && !memcmp(p, p + 1, n - 1));
}

static void storm_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct storm *s = container_of(p, struct storm_peer, peer)->s;
    s->frames++;
    s->bad += !storm_all(b, n, (uint8_t)type);
    if (prng_chance_ppm(&s->rnd, 1000))
        env_hangup(p->conn);
}

static void storm_close(struct env_peer *p, int why)
{
    struct storm *s = container_of(p, struct storm_peer, peer)->s;
    s->bad += why != E_CLOSED || p->conn;
    s->closes++;
}

static void storm_connected(struct env_op *op)
{
    struct storm_peer *p = container_of(op, struct storm_peer, connect);
    p->connecting = false;
    p->s->bad += op->ret != 0 && op->ret != E_CLOSED;
}

static struct env_peer *storm_open(struct env_acceptor *a, const char *from)
{
    struct storm *s = container_of(a, struct storm, acceptor);
    (void)from;
    for (int i = 0; i < STORM_PEERS; i++)
        if (!s->peers[i].peer.conn)
            return &s->peers[i].peer;
    return NULL;
}

static void storm_op_done(struct env_op *op)
{
    struct storm_op *o = container_of(op, struct storm_op, op);
    o->s->bad += !o->busy || (op->ret < 0 && op->ret != E_CLOSED && op->ret != E_STALE);
    o->busy = false;
    o->s->stale += op->ret == E_STALE;
    if (o->read && op->ret >= 0) {
        o->s->reads++;
        o->s->bad += !storm_all(o->mem, o->len, o->want);
    }
}

static void storm_revoked(struct env_op *op)
{
    struct storm_region *r = container_of(op, struct storm_region, revoke);
    r->revoking = r->shared = false;
    r->s->bad += !storm_all(r->mem, STORM_REGION, r->number);
    memset(r->mem, 0xee, STORM_REGION); /* whoever still reaches it will be seen */
}

static void storm_rma(struct storm *s, struct env_conn *conn)
{
    struct storm_region *r = &s->other->regions[prng_below(&s->rnd, STORM_REGIONS)];
    struct storm_op *o = &s->ops[prng_below(&s->rnd, STORM_OPS)];
    if (o->busy || !r->key.token)
        return;
    uint64_t off = prng_below(&s->rnd, STORM_REGION);
    uint64_t max = prng_below(&s->rnd, 2) ? 6000 : STORM_REGION;
    o->len = (uint32_t)prng_below(&s->rnd, base_min_u64(max, STORM_REGION - off));
    o->want = r->number;
    o->read = prng_below(&s->rnd, 2);
    o->busy = true;
    memset(o->mem, o->read ? 0 : r->number, o->len);
    env_rma(conn, o->read ? ENV_RMA_READ : ENV_RMA_WRITE, o->mem, o->len, r->key, off, &o->op);
}

static void storm_step(struct storm *s)
{
    static uint8_t b[ENV_FRAME_MAX];
    struct storm_peer *p = &s->peers[prng_below(&s->rnd, STORM_PEERS)];
    struct storm_region *r = &s->regions[prng_below(&s->rnd, STORM_REGIONS)];
    uint64_t dice = prng_below(&s->rnd, 100);
    char addr[64];
    if (!p->peer.conn && !p->connecting && s->other->port) {
        p->connecting = true;
        fmt_into(addr, sizeof addr, "127.0.0.1:%u", s->other->port);
        env_connect(s->e, addr, 20LL * SEC, &p->peer, &p->connect);
    } else if (p->peer.conn && !p->connecting && dice < 45) {
        uint16_t type = (uint16_t)prng_below(&s->rnd, 256);
        uint32_t n = (uint32_t)prng_below(&s->rnd, prng_below(&s->rnd, 9) ? 200 : ENV_FRAME_MAX);
        memset(b, type, n);
        env_send(p->peer.conn, type, &(struct env_iov){b, n}, 1);
    } else if (p->peer.conn && !p->connecting && dice < 90) {
        storm_rma(s, p->peer.conn);
    } else if (p->peer.conn && !p->connecting && dice == 99 && prng_below(&s->rnd, 4) == 0) {
        env_hangup(p->peer.conn);
    } else if (r->shared && !r->revoking && dice > 92) {
        r->revoking = true;
        env_revoke(&r->r, &r->revoke);
    } else if (!r->shared && dice > 80) {
        s->bad += r->number >= 32 && !storm_all(r->mem, STORM_REGION, 0xee);
        r->number += 16; /* writers with the key of before would show */
        memset(r->mem, r->number, STORM_REGION);
        env_share(s->e, r->mem, STORM_REGION, &r->r, &r->key);
        r->shared = true;
    }
}

static void storm_init(struct storm *s, struct storm *other, uint64_t seed)
{
    struct net_config c = {.node = "storm"};
    s->other = other;
    prng_seed(&s->rnd, seed, "storm", seed);
    CU_ASSERT_EQUAL_FATAL(net_open(&c, &s->net), 0);
    s->e = net_env(s->net);
    s->acceptor.on_open = storm_open;
    for (int i = 0; i < STORM_PEERS; i++)
        s->peers[i] = (struct storm_peer){.peer.on_frame = storm_frame,
                                          .peer.on_close = storm_close,
                                          .connect.done = storm_connected,
                                          .s = s};
    for (int i = 0; i < STORM_OPS; i++)
        s->ops[i] =
            (struct storm_op){.op.done = storm_op_done, .s = s, .mem = malloc(STORM_REGION)};
    for (int i = 0; i < STORM_REGIONS; i++)
        s->regions[i] = (struct storm_region){.revoke.done = storm_revoked,
                                              .s = s,
                                              .mem = malloc(STORM_REGION),
                                              .number = (uint8_t)(16 + i)};
}

static void storm_free(struct storm *s)
{
    net_close(s->net);
    for (int i = 0; i < STORM_OPS; i++)
        free(s->ops[i].mem);
    for (int i = 0; i < STORM_REGIONS; i++)
        free(s->regions[i].mem);
}

static bool storm_busy(const struct storm *s)
{
    for (int i = 0; i < STORM_OPS; i++)
        if (s->ops[i].busy)
            return true;
    return false;
}

static void test_net_storm(void)
{
    static struct storm a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    storm_init(&a, &b, 1);
    storm_init(&b, &a, 2);
    struct wait w = {.op.done = wait_done};
    env_listen(b.e, "127.0.0.1:0", &b.acceptor, &w.op);
    CU_ASSERT_EQUAL_FATAL(net_run_until(b.net, &w.done, now_ns() + 20LL * SEC), 0);
    b.port = net_listen_port(b.net, &b.acceptor);
    bool never = false;
    for (int turn = 0; turn < 900; turn++) {
        for (uint64_t n = prng_below(&a.rnd, 12); n; n--)
            storm_step(&a);
        for (uint64_t n = prng_below(&b.rnd, 12); n; n--)
            storm_step(&b);
        /* one lags behind now and then, so that sockets fill in the middle of transfers */
        if (turn / 20 % 3)
            net_run_until(a.net, &never, now_ns() + 1);
        if ((turn / 20 + 1) % 3)
            net_run_until(b.net, &never, now_ns() + 1);
    }
    /* quiet: what hangs on no connection comes to its end */
    for (int i = 0; i < STORM_PEERS; i++) {
        if (a.peers[i].peer.conn)
            env_hangup(a.peers[i].peer.conn);
        if (b.peers[i].peer.conn)
            env_hangup(b.peers[i].peer.conn);
    }
    for (int i = 0; i < 50 || (i < 5000 && (storm_busy(&a) || storm_busy(&b))); i++) {
        net_run_until(a.net, &never, now_ns() + 1000000);
        net_run_until(b.net, &never, now_ns() + 1000000);
    }
    CU_ASSERT(!storm_busy(&a) && !storm_busy(&b));
    CU_ASSERT_EQUAL(a.bad, 0);
    CU_ASSERT_EQUAL(b.bad, 0);
    CU_ASSERT(a.frames > 100 && b.frames > 100 && a.reads > 20 && b.reads > 20);
    CU_ASSERT(a.closes > 0 && b.closes > 0 && a.stale > 0 && b.stale > 0);
    storm_free(&a);
    storm_free(&b);
}

UNIT_MAIN("net_storm", UNIT(test_net_storm))
