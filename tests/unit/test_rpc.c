/* tests/unit/test_rpc.c - calls over connections of a simulated world: answers, deadlines, losses,
 * cancels, late answers, links that come back. */
#include "cluster/rpc.h"
#include "cluster/rpc_text.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

enum { METHOD_ECHO = 1, METHOD_LATER = 2, METHOD_NEVER = 3, METHOD_FAIL = 4 };

static const int64_t MS = 1000000;

/* one end of calls: a host on a node */
struct end {
    struct rpc_host host;
    struct env *env;
    struct rpc_token later;
    uint8_t later_body[64];
    uint32_t later_len, calls, opens, closes;
};

static struct mem m;
static struct sim *s;
static struct end server, client;

static void end_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                     uint32_t len)
{
    struct end *e = container_of(h, struct end, host);
    e->calls++;
    if (method == METHOD_ECHO)
        rpc_reply(t, 0, body, len);
    if (method == METHOD_FAIL)
        rpc_reply(t, E_NOSPC, body, len);
    if (method == METHOD_LATER) {
        e->later = t;
        e->later_len = len;
        memcpy(e->later_body, body, len < 64 ? len : 64);
    }
}

static void end_open(struct rpc_host *h, struct rpc_conn *c)
{
    (void)c;
    container_of(h, struct end, host)->opens++;
}

static void end_close(struct rpc_host *h, struct rpc_conn *c)
{
    (void)c;
    container_of(h, struct end, host)->closes++;
}

static void end_start(struct end *e, const char *name, uint32_t calls_max)
{
    memset(e, 0, sizeof *e);
    struct sim_node *n = sim_node_find(s, name);
    if (!n)
        n = sim_node_add(s, name);
    e->env = sim_node_up(n);
    e->host.on_call = end_call;
    e->host.on_open = end_open;
    e->host.on_close = end_close;
    CU_ASSERT_EQUAL(rpc_host_init(&e->host, e->env, sim_mem(n), 8, calls_max), 0);
}

static void server_start(void)
{
    end_start(&server, "server", 16);
    struct env_op op = {0};
    rpc_listen(&server.host, "server:1", &op);
    CU_ASSERT_EQUAL(sim_run_op(s, &op, 1000 * MS), 0);
}

static void world_open(uint32_t calls_max)
{
    unit_mem(&m, 256 << 20);
    struct sim_config cfg = sim_config_quiet(7);
    s = sim_open(&m, &cfg);
    server_start();
    end_start(&client, "client", calls_max);
}

static void world_close(void)
{
    sim_close(s);
    mem_drop(&m);
}

static void run_ms(int64_t ms)
{
    sim_run_until(s, sim_now_ns(s) + ms * MS);
}

static struct rpc_conn *dial(void)
{
    struct env_op op = {0};
    struct rpc_conn *c = NULL;
    rpc_connect(&client.host, "server:1", 1000 * MS, &op, &c);
    CU_ASSERT_EQUAL(sim_run_op(s, &op, 2000 * MS), 0);
    return c;
}

/* a call that remembers how it ended */
struct probe {
    struct rpc_call call;
    struct rpc_link_call link_call;
    unsigned done;
    int err;
    char reply[64];
    uint32_t len;
};

static void probe_end(struct probe *p, const struct rpc_call *c, int64_t ret)
{
    p->done++;
    p->err = (int)ret;
    p->len = c->reply_len;
    if (c->reply_len && c->reply_len < 64)
        memcpy(p->reply, c->reply, c->reply_len);
}

static void probe_done(struct env_op *op)
{
    struct rpc_call *c = container_of(op, struct rpc_call, op);
    probe_end(container_of(c, struct probe, call), c, op->ret);
}

static void probe_link_done(struct env_op *op)
{
    struct rpc_link_call *c = container_of(op, struct rpc_link_call, op);
    probe_end(container_of(c, struct probe, link_call), &c->call, op->ret);
}

static void ask(struct rpc_conn *c, struct probe *p, uint16_t method, const char *text, int64_t ms)
{
    memset(p, 0, sizeof *p);
    p->call.op.done = probe_done;
    rpc_call(c, method, text, (uint32_t)strlen(text), env_now_ns(client.env) + ms * MS, &p->call);
    CU_ASSERT_EQUAL(p->done, 0);
}

static void ask_link(struct rpc_link *l, struct probe *p, const char *text, int64_t ms)
{
    memset(p, 0, sizeof *p);
    p->link_call.op.done = probe_link_done;
    rpc_link_call(l, METHOD_ECHO, text, (uint32_t)strlen(text), env_now_ns(client.env) + ms * MS,
                  &p->link_call);
    CU_ASSERT_EQUAL(p->done, 0);
}

static void test_rpc_answers_and_errors_carry_bodies(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a, b;
    ask(c, &a, METHOD_ECHO, "hello", 1000);
    ask(c, &b, METHOD_FAIL, "why", 1000);
    run_ms(100);
    CU_ASSERT(a.done == 1 && a.err == 0 && a.len == 5 && !memcmp(a.reply, "hello", 5));
    CU_ASSERT(b.done == 1 && b.err == E_NOSPC && b.len == 3 && !memcmp(b.reply, "why", 3));
    world_close();
}

static void test_rpc_answers_come_in_any_order(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a, b;
    ask(c, &a, METHOD_LATER, "first", 1000);
    ask(c, &b, METHOD_ECHO, "second", 1000);
    run_ms(50);
    CU_ASSERT(a.done == 0 && b.done == 1);
    rpc_reply(server.later, 0, server.later_body, server.later_len);
    run_ms(50);
    CU_ASSERT(a.done == 1 && a.len == 5 && !memcmp(a.reply, "first", 5));
    world_close();
}

static void test_rpc_deadline_ends_it_and_drops_the_late_answer(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a, b;
    ask(c, &a, METHOD_LATER, "x", 20);
    run_ms(10);
    CU_ASSERT_EQUAL(a.done, 0);
    run_ms(40);
    CU_ASSERT(a.done == 1 && a.err == E_TIMEOUT);
    rpc_reply(server.later, 0, "late", 4);
    ask(c, &b, METHOD_ECHO, "y", 1000);
    run_ms(50);
    CU_ASSERT(a.done == 1 && b.done == 1 && b.err == 0);
    world_close();
}

static void test_rpc_cancelled_call_is_never_done(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a;
    ask(c, &a, METHOD_ECHO, "x", 20);
    rpc_cancel(&a.call);
    rpc_cancel(&a.call);
    run_ms(100);
    CU_ASSERT_EQUAL(a.done, 0);
    CU_ASSERT_EQUAL(server.calls, 1);
    world_close();
}

static void test_rpc_one_call_too_many_is_again(void)
{
    world_open(2);
    struct rpc_conn *c = dial();
    struct probe p[3];
    for (int i = 0; i < 3; i++)
        ask(c, &p[i], METHOD_NEVER, "x", 1000);
    run_ms(20);
    CU_ASSERT(p[2].done == 1 && p[2].err == E_AGAIN);
    CU_ASSERT(p[0].done == 0 && p[1].done == 0);
    run_ms(2000);
    CU_ASSERT(p[0].err == E_TIMEOUT && p[1].err == E_TIMEOUT);
    ask(c, &p[2], METHOD_ECHO, "x", 1000);
    run_ms(20);
    CU_ASSERT(p[2].done == 1 && p[2].err == 0);
    world_close();
}

static void test_rpc_lost_connection_ends_calls_with_closed(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a, b;
    ask(c, &a, METHOD_NEVER, "x", 60000);
    run_ms(20);
    sim_node_crash(sim_node_find(s, "server"));
    run_ms(1000);
    CU_ASSERT(a.done == 1 && a.err == E_CLOSED);
    CU_ASSERT_EQUAL(client.closes, 1);
    CU_ASSERT(list_empty(&client.host.open));
    server_start();
    c = dial();
    ask(c, &b, METHOD_NEVER, "x", 60000);
    rpc_hangup(c);
    CU_ASSERT_EQUAL(b.done, 0);
    run_ms(100);
    CU_ASSERT(b.done == 1 && b.err == E_CLOSED);
    CU_ASSERT_EQUAL(client.closes, 2);
    world_close();
}

static void test_rpc_token_of_a_lost_connection_is_void(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a, b;
    ask(c, &a, METHOD_LATER, "x", 1000);
    run_ms(20);
    struct rpc_token t = server.later;
    CU_ASSERT_PTR_NOT_NULL(rpc_token_conn(t));
    rpc_hangup(c);
    run_ms(1000);
    CU_ASSERT_PTR_NULL(rpc_token_conn(t));
    c = dial(); /* takes the same place in the server's pool */
    ask(c, &b, METHOD_LATER, "y", 60000);
    run_ms(50);
    rpc_reply(t, 0, "stale", 5);
    run_ms(50);
    CU_ASSERT_EQUAL(b.done, 0);
    world_close();
}

static void test_rpc_malformed_frame_hangs_up(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct env_iov iov = {"abc", 3};
    env_send(rpc_env_conn(c), RPC_FRAME_CALL, &iov, 1);
    run_ms(1000);
    CU_ASSERT_EQUAL(server.closes, 1);
    CU_ASSERT_EQUAL(server.calls, 0);
    CU_ASSERT_EQUAL(client.closes, 1);
    c = dial();
    struct env_iov iov2 = {"abcdefgh", 8};
    env_send(rpc_env_conn(c), 77, &iov2, 1);
    run_ms(1000);
    CU_ASSERT_EQUAL(server.closes, 2);
    world_close();
}

/* somebody else behind the same address */
static struct stranger {
    struct env_peer peer;
    unsigned frames, closes, asked;
    uint16_t type;
    char got[16];
    bool is_wanted;
} stranger;

static void stranger_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct stranger *k = container_of(p, struct stranger, peer);
    k->frames++;
    k->type = type;
    memcpy(k->got, b, n < sizeof k->got ? n : sizeof k->got);
}

static void stranger_close(struct env_peer *p, int why)
{
    (void)why;
    container_of(p, struct stranger, peer)->closes++;
}

static struct env_peer *stranger_for(struct rpc_host *h, uint16_t type, const char *from)
{
    (void)h;
    stranger.asked++;
    CU_ASSERT(from[0]);
    if (type < 0x100)
        return NULL;
    stranger.peer.on_frame = stranger_frame;
    stranger.peer.on_close = stranger_close;
    return &stranger.peer;
}

static void test_rpc_first_frame_of_another_kind_moves_the_connection(void)
{
    world_open(16);
    memset(&stranger, 0, sizeof stranger);
    server.host.on_foreign = stranger_for;
    uint32_t room = server.host.conns.free_count;
    struct env_iov one = {"one", 4}, two = {"two", 4};
    struct rpc_conn *c = dial();
    run_ms(20);
    CU_ASSERT_EQUAL(server.host.conns.free_count, room - 1);
    env_send(rpc_env_conn(c), 0x123, &one, 1);
    env_send(rpc_env_conn(c), 2, &two, 1); /* also what looks like ours is theirs now */
    run_ms(50);
    CU_ASSERT_EQUAL(stranger.frames, 2);
    CU_ASSERT_EQUAL(stranger.type, 2);
    CU_ASSERT_STRING_EQUAL(stranger.got, "two");
    CU_ASSERT(server.closes == 1 && server.calls == 0 && list_empty(&server.host.open));
    CU_ASSERT_EQUAL(server.host.conns.free_count, room);
    rpc_hangup(c);
    run_ms(50);
    CU_ASSERT_EQUAL(stranger.closes, 1);
    /* nobody's, and one that comes too late */
    c = dial();
    env_send(rpc_env_conn(c), 0x99, &one, 1);
    run_ms(50);
    CU_ASSERT(stranger.asked == 2 && client.closes == 2);
    c = dial();
    struct probe p;
    ask(c, &p, METHOD_ECHO, "x", 60000);
    run_ms(50);
    env_send(rpc_env_conn(c), 0x123, &one, 1);
    run_ms(50);
    CU_ASSERT(p.done == 1 && p.err == 0);
    CU_ASSERT(stranger.asked == 2 && client.closes == 3 && stranger.frames == 2);
    CU_ASSERT_EQUAL(server.host.conns.free_count, room);
    world_close();
}

static void test_rpc_too_big_is_said(void)
{
    static char big[RPC_BODY_MAX + 1];
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a;
    memset(&a, 0, sizeof a);
    a.call.op.done = probe_done;
    rpc_call(c, METHOD_ECHO, big, sizeof big, env_now_ns(client.env) + 1000 * MS, &a.call);
    run_ms(10);
    CU_ASSERT(a.done == 1 && a.err == E_TOOBIG);
    world_close();
}

static void test_rpc_link_waits_for_a_server_that_comes_back(void)
{
    world_open(16);
    struct rpc_link l;
    struct probe a, b, d;
    rpc_link_init(&l, &client.host, "server:1");
    ask_link(&l, &a, "one", 1000);
    run_ms(100);
    CU_ASSERT(a.done == 1 && a.err == 0 && a.len == 3);
    CU_ASSERT_EQUAL(l.connects, 1);
    sim_node_crash(sim_node_find(s, "server"));
    run_ms(500);
    ask_link(&l, &b, "two", 20000);
    ask_link(&l, &d, "soon", 300);
    run_ms(2000);
    CU_ASSERT_EQUAL(b.done, 0);
    CU_ASSERT(d.done == 1 && d.err == E_TIMEOUT);
    server_start();
    run_ms(5000);
    CU_ASSERT(b.done == 1 && b.err == 0 && !memcmp(b.reply, "two", 3));
    CU_ASSERT_EQUAL(l.connects, 2);
    world_close();
}

/* A secret may be on its way to a host: who is refused for another one asks again until its
 * deadline, and gets in without a restart; the other side's calls never hear of it before. */
static void test_rpc_link_outlives_another_secret(void)
{
    world_open(16);
    struct rpc_link l;
    struct probe a, b;
    struct sim_node *c = sim_node_find(s, "client");
    sim_net_secret(sim_node_find(s, "server"), 1, 2);
    sim_net_secret(c, 3, 0);
    rpc_link_init(&l, &client.host, "server:1");
    ask_link(&l, &a, "one", 1000);
    run_ms(2000);
    CU_ASSERT(a.done == 1 && a.err == E_TIMEOUT);
    CU_ASSERT_EQUAL(l.last_err, E_AUTH);
    ask_link(&l, &b, "two", 20000);
    run_ms(2000);
    CU_ASSERT_EQUAL(b.done + server.opens, 0);
    sim_net_secret(c, 2, 0);
    run_ms(3000);
    CU_ASSERT(b.done == 1 && b.err == 0 && !memcmp(b.reply, "two", 3));
    CU_ASSERT(server.opens == 1 && server.calls == 1);
    world_close();
}

static bool refusing;

static void end_call_or_close(struct rpc_host *h, struct rpc_token t, uint16_t method,
                              const void *body, uint32_t len)
{
    if (refusing)
        rpc_hangup(rpc_token_conn(t));
    else
        end_call(h, t, method, body, len);
}

/* Who accepts and closes at once is tried ever more seldom; a connection that lasts ends that. */
static void test_rpc_link_does_not_hammer_who_accepts_and_closes(void)
{
    world_open(16);
    struct rpc_link l;
    struct probe a;
    server.host.on_call = end_call_or_close;
    refusing = true;
    rpc_link_init(&l, &client.host, "server:1");
    memset(&a, 0, sizeof a);
    for (int i = 0; i < 1000; i++) { /* ten seconds of somebody who does not give up */
        if (!a.link_call.call.env)
            ask_link(&l, &a, "x", 60000);
        run_ms(10);
    }
    CU_ASSERT(server.opens >= 10 && server.opens <= 30); /* 20 ms, 40 ms, ..., then every second */
    refusing = false;
    run_ms(2000);
    if (!a.link_call.call.env)
        ask_link(&l, &a, "x", 60000);
    run_ms(2000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l.conn);
    uint32_t opens = server.opens;
    refusing = true;
    rpc_hangup(l.conn);
    for (int i = 0; i < 20; i++) {
        if (!a.link_call.call.env)
            ask_link(&l, &a, "x", 60000);
        run_ms(10);
    }
    CU_ASSERT(server.opens >= opens + 2); /* soon again */
    rpc_link_close(&l);
    run_ms(100);
    world_close();
}

static void test_rpc_link_close_ends_what_waits(void)
{
    world_open(16);
    struct rpc_link l;
    struct probe a, b;
    rpc_link_init(&l, &client.host, "server:9"); /* nobody listens there */
    ask_link(&l, &a, "x", 60000);
    ask_link(&l, &b, "y", 60000);
    rpc_link_cancel(&b.link_call);
    run_ms(500);
    rpc_link_close(&l);
    CU_ASSERT_EQUAL(a.done, 0);
    run_ms(100);
    CU_ASSERT(a.done == 1 && a.err == E_CLOSED);
    CU_ASSERT_EQUAL(b.done, 0);
    ask_link(&l, &b, "z", 60000);
    run_ms(100);
    CU_ASSERT(b.done == 1 && b.err == E_CLOSED);
    world_close();
}

static void test_rpc_host_close_and_free(void)
{
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a;
    ask(c, &a, METHOD_NEVER, "x", 60000);
    run_ms(20);
    rpc_host_close(&server.host);
    run_ms(1000);
    CU_ASSERT(a.done == 1 && a.err == E_CLOSED);
    CU_ASSERT(list_empty(&server.host.open));
    rpc_host_free(&server.host);
    rpc_host_close(&client.host);
    run_ms(100);
    rpc_host_free(&client.host);
    world_close();
}

/* Both ends count the same calls: how many, errors, bytes, and how long they took. */
static void test_rpc_calls_are_counted(void)
{
    char text[8192];
    world_open(16);
    struct rpc_conn *c = dial();
    struct probe a, b, d;
    ask(c, &a, METHOD_ECHO, "hello", 1000);
    ask(c, &b, METHOD_FAIL, "why", 1000);
    ask(c, &d, METHOD_LATER, "late", 40);
    run_ms(100);
    rpc_reply(server.later, 0, "x", 1); /* 100 ms after it came */
    run_ms(100);
    const struct rpc_count *fs = rpc_count_of(server.host.came, METHOD_ECHO);
    const struct rpc_count *late = rpc_count_of(server.host.came, METHOD_LATER);
    const struct rpc_count *fail = rpc_count_of(server.host.came, METHOD_FAIL);
    CU_ASSERT(fs->calls == 1 && !fs->errors && fs->bytes_in == 5 && fs->bytes_out == 5);
    CU_ASSERT(fs->within[0] == 1 && fs->ns == 0);
    CU_ASSERT(fail->calls == 1 && fail->errors == 1 && fail->bytes_out == 3);
    CU_ASSERT(late->calls == 1 && !late->errors && late->bytes_in == 4 && late->bytes_out == 1);
    CU_ASSERT((int64_t)late->ns > 90 * MS && (int64_t)late->ns < 110 * MS);
    CU_ASSERT_EQUAL(late->within[6] + late->within[7], 1);
    CU_ASSERT_EQUAL(rpc_count_of(server.host.came, 999)->calls, 0);
    late = rpc_count_of(client.host.went, METHOD_LATER);
    fs = rpc_count_of(client.host.went, METHOD_ECHO);
    CU_ASSERT(fs->calls == 1 && !fs->errors && fs->bytes_out == 5 && fs->bytes_in == 5);
    CU_ASSERT(late->calls == 1 && late->errors == 1 && late->within[6] == 1); /* 40 ms */
    struct rpc_text t = rpc_text_make(text, sizeof text);
    rpc_text_calls(&t, &server.host);
    rpc_text_end(&t);
    static const char begin[] = "rpc.in.fs.calls 1\nrpc.in.fs.errors 0\nrpc.in.fs.bytes_in 5\n"
                                "rpc.in.fs.bytes_out 5\nrpc.in.fs.time 1 sum 0 100000:1 ";
    CU_ASSERT(!strncmp(text, begin, sizeof begin - 1));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nrpc.in.session_beat.time 1 sum "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " 10000000:0 30000000:0 100000000:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " 30000000000:1\n"));
    CU_ASSERT_PTR_NULL(strstr(text, "rpc.out"));
    world_close();
}

static void test_rpc_text_is_cut_at_a_line(void)
{
    char text[100];
    struct rpc_text t = rpc_text_make(text, sizeof text);
    for (int i = 0; i < 20; i++)
        rpc_text_u64(&t, "a.number", 1234567);
    size_t n = rpc_text_end(&t);
    CU_ASSERT(n < sizeof text && strlen(text) == n && n > 70);
    CU_ASSERT_STRING_EQUAL(text + n - 12, "truncated 1\n");
    CU_ASSERT_EQUAL((n - 12) % 17, 0);
}

UNIT_MAIN("rpc", UNIT(test_rpc_calls_are_counted), UNIT(test_rpc_text_is_cut_at_a_line),
          UNIT(test_rpc_answers_and_errors_carry_bodies), UNIT(test_rpc_answers_come_in_any_order),
          UNIT(test_rpc_deadline_ends_it_and_drops_the_late_answer),
          UNIT(test_rpc_cancelled_call_is_never_done), UNIT(test_rpc_one_call_too_many_is_again),
          UNIT(test_rpc_lost_connection_ends_calls_with_closed),
          UNIT(test_rpc_token_of_a_lost_connection_is_void),
          UNIT(test_rpc_malformed_frame_hangs_up), UNIT(test_rpc_too_big_is_said),
          UNIT(test_rpc_first_frame_of_another_kind_moves_the_connection),
          UNIT(test_rpc_link_waits_for_a_server_that_comes_back),
          UNIT(test_rpc_link_outlives_another_secret),
          UNIT(test_rpc_link_does_not_hammer_who_accepts_and_closes),
          UNIT(test_rpc_link_close_ends_what_waits), UNIT(test_rpc_host_close_and_free))
