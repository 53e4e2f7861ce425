/* tests/unit/test_raw_stream.h - raw connections, the same tests in both worlds: whoever includes
 * it says how a world is made, driven and ended. */
#ifndef TESTS_UNIT_TEST_RAW_STREAM_H
#define TESTS_UNIT_TEST_RAW_STREAM_H

#include "core/env.h"
#include "tests/unit/unit.h"

enum { RAW_MAX = 4 << 20 };

struct raw_end {
    struct env_peer peer;
    uint8_t *got;
    uint32_t n, pieces, least, most; /* bytes; calls, and the shortest and longest of them */
    bool echoes, hangs_up;
    bool closed, has_all;
    uint32_t wants; /* bytes until has_all */
    int why;
};

struct raw_world {
    struct env *a, *b; /* a calls */
    char addr[ENV_ADDR_MAX], nobody[ENV_ADDR_MAX];
    struct raw_end client, server;
    struct env_acceptor acc;
    bool refuse, opened;
    void *world; /* the room's own */
};

/* given by who includes this; drive: until *flag, false after long */
static void raw_world_open(struct raw_world *w);
static bool raw_world_drive(struct raw_world *w, const bool *flag);
static void raw_world_close(struct raw_world *w);

struct raw_wait {
    struct env_op op;
    bool done;
};

static void raw_wait_done(struct env_op *op)
{
    container_of(op, struct raw_wait, op)->done = true;
}

static void raw_on_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct raw_end *e = container_of(p, struct raw_end, peer);
    CU_ASSERT_EQUAL(type, 0);
    CU_ASSERT(n > 0 && n <= ENV_FRAME_MAX);
    CU_ASSERT_FATAL(e->n + n <= RAW_MAX);
    memcpy(e->got + e->n, b, n);
    e->n += n;
    e->pieces++;
    e->least = !e->least || n < e->least ? n : e->least;
    e->most = n > e->most ? n : e->most;
    e->has_all = e->n >= e->wants;
    if (e->echoes) {
        struct env_iov iov = {b, n};
        env_send(p->conn, 99, &iov, 1); /* its type means nothing */
    }
    if (e->hangs_up)
        env_hangup(p->conn);
}

static void raw_on_close(struct env_peer *p, int why)
{
    struct raw_end *e = container_of(p, struct raw_end, peer);
    CU_ASSERT_PTR_NULL(p->conn);
    CU_ASSERT(!e->closed);
    e->closed = true;
    e->why = why;
}

static struct env_peer *raw_on_open(struct env_acceptor *a, const char *from)
{
    struct raw_world *w = container_of(a, struct raw_world, acc);
    CU_ASSERT(from[0] != 0);
    w->opened = true;
    return w->refuse ? NULL : &w->server.peer;
}

static void raw_end_init(struct raw_end *e)
{
    e->got = malloc(RAW_MAX);
    e->peer.on_frame = raw_on_frame;
    e->peer.on_close = raw_on_close;
    e->wants = UINT32_MAX;
}

static int64_t raw_connect_to(struct raw_world *w, const char *addr)
{
    struct raw_wait wait = {.op.done = raw_wait_done};
    w->client.peer.is_raw = true;
    env_connect(w->a, addr, 10000000000, &w->client.peer, &wait.op);
    CU_ASSERT(!wait.done);
    CU_ASSERT_FATAL(raw_world_drive(w, &wait.done));
    return wait.op.ret;
}

static void raw_start(struct raw_world *w)
{
    struct raw_wait wait = {.op.done = raw_wait_done};
    memset(w, 0, sizeof *w);
    raw_world_open(w);
    raw_end_init(&w->client);
    raw_end_init(&w->server);
    w->acc.on_open = raw_on_open;
    w->acc.is_raw = true;
    env_listen(w->b, w->addr, &w->acc, &wait.op);
    CU_ASSERT_FATAL(raw_world_drive(w, &wait.done));
    CU_ASSERT_EQUAL_FATAL(wait.op.ret, 0);
}

static void raw_end(struct raw_world *w)
{
    raw_world_close(w);
    free(w->client.got);
    free(w->server.got);
}

/* the byte at `at` of what client sends */
static uint8_t raw_byte(uint32_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void raw_send(struct raw_end *e, uint32_t at, uint32_t n)
{
    static uint8_t b[ENV_FRAME_MAX];
    for (uint32_t i = 0; i < n; i++)
        b[i] = raw_byte(at + i);
    struct env_iov iov[3] = {{b, n / 3}, {NULL, 0}, {b + n / 3, n - n / 3}};
    env_send(e->peer.conn, 7, iov, 3);
    memset(b, 0xee, n); /* it was copied */
}

/* all that came is what was sent, as far as it came */
static bool raw_is_right(const struct raw_end *e)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (e->got[i] != raw_byte(i))
            return false;
    return true;
}

/* sends of all lengths, also of none, there and back */
static void raw_test_there_and_back(void)
{
    static const uint32_t lens[] = {1, 2, 0, 7, 4, ENV_FRAME_MAX, 3, 100, 4096, 0, 70000};
    struct raw_world w;
    raw_start(&w);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.client.peer.conn);
    CU_ASSERT(raw_world_drive(&w, &w.opened));
    uint32_t sent = 0;
    w.server.echoes = true;
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < ARRAY_LEN(lens); i++) {
            uint64_t before = env_backlog(w.client.peer.conn);
            raw_send(&w.client, sent, lens[i]);
            sent += lens[i];
            if (!lens[i])
                CU_ASSERT_EQUAL(env_backlog(w.client.peer.conn), before);
        }
        w.client.wants = sent;
        w.client.has_all = false;
        CU_ASSERT_FATAL(raw_world_drive(&w, &w.client.has_all));
    }
    CU_ASSERT_EQUAL(w.server.n, sent);
    CU_ASSERT_EQUAL(w.client.n, sent);
    CU_ASSERT(raw_is_right(&w.server));
    CU_ASSERT(raw_is_right(&w.client));
    CU_ASSERT(!w.client.closed && !w.server.closed);
    raw_end(&w);
}

/* what was sent before a hangup comes, and then the end */
static void raw_test_hangup(void)
{
    struct raw_world w;
    raw_start(&w);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    raw_send(&w.client, 0, 1000);
    env_hangup(w.client.peer.conn);
    CU_ASSERT_PTR_NULL(w.client.peer.conn);
    CU_ASSERT_FATAL(raw_world_drive(&w, &w.server.closed));
    CU_ASSERT_EQUAL(w.server.n, 1000);
    CU_ASSERT(raw_is_right(&w.server));
    CU_ASSERT_EQUAL(w.server.why, E_CLOSED);
    CU_ASSERT(!w.client.closed);
    raw_end(&w);
}

/* the owner may hang up inside on_frame, and hears no more of it */
static void raw_test_hangup_in_on_frame(void)
{
    struct raw_world w;
    raw_start(&w);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    w.server.hangs_up = true;
    raw_send(&w.client, 0, ENV_FRAME_MAX);
    raw_send(&w.client, ENV_FRAME_MAX, ENV_FRAME_MAX);
    CU_ASSERT_FATAL(raw_world_drive(&w, &w.client.closed));
    CU_ASSERT_EQUAL(w.server.pieces, 1);
    CU_ASSERT(!w.server.closed);
    CU_ASSERT(raw_is_right(&w.server));
    raw_end(&w);
}

/* refused by the owner: it may look like a connection for a moment */
static void raw_test_refused(void)
{
    struct raw_world w;
    raw_start(&w);
    CU_ASSERT_EQUAL(raw_connect_to(&w, w.nobody), E_REFUSED);
    CU_ASSERT_PTR_NULL(w.client.peer.conn);
    w.refuse = true;
    if (raw_connect_to(&w, w.addr) == 0)
        CU_ASSERT(raw_world_drive(&w, &w.client.closed));
    CU_ASSERT_PTR_NULL(w.client.peer.conn);
    CU_ASSERT(w.opened);
    raw_end(&w);
}

/* another owner, in the middle of the stream */
static void raw_test_adopt(void)
{
    struct raw_world w;
    raw_start(&w);
    CU_ASSERT_EQUAL_FATAL(raw_connect_to(&w, w.addr), 0);
    struct raw_end other = {0};
    raw_end_init(&other); /* its is_raw is not looked at */
    w.server.wants = 5;
    raw_send(&w.client, 0, 5);
    CU_ASSERT_FATAL(raw_world_drive(&w, &w.server.has_all));
    env_adopt(w.server.peer.conn, &other.peer);
    CU_ASSERT_PTR_NULL(w.server.peer.conn);
    other.wants = 5;
    raw_send(&w.client, 0, 5);
    CU_ASSERT_FATAL(raw_world_drive(&w, &other.has_all));
    CU_ASSERT_EQUAL(w.server.n, 5);
    CU_ASSERT(raw_is_right(&other));
    raw_end(&w);
    free(other.got);
}

/* clang-format off */
#define RAW_TESTS UNIT(raw_test_there_and_back), UNIT(raw_test_hangup), \
    UNIT(raw_test_hangup_in_on_frame), UNIT(raw_test_refused), UNIT(raw_test_adopt)
/* clang-format on */

#endif
