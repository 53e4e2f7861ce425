/* tests/unit/test_zk_client.c - the ZooKeeper client against servers by script (test_zk_fake.h):
 * sessions, losses, deadlines, bounds, and
 * its end.  test_zk_watch.c has watches, and what a server should not say. */
#include "tests/unit/test_zk_fake.h"

/* --- calls --- */

static void test_every_operation(void)
{
    static const int32_t what[] = {ZK_OP_CREATE,        ZK_OP_CREATE2,  ZK_OP_DELETE,
                                   ZK_OP_EXISTS,        ZK_OP_GET_DATA, ZK_OP_SET_DATA,
                                   ZK_OP_GET_ACL,       ZK_OP_SET_ACL,  ZK_OP_GET_CHILDREN,
                                   ZK_OP_GET_CHILDREN2, ZK_OP_SYNC,     ZK_OP_WHO_AM_I};
    struct probe p[ARRAY_LEN(what)] = {0};
    begin_connected("z1:2181,z2:2181,z3:2181/tarn");
    for (size_t i = 0; i < ARRAY_LEN(what); i++)
        ask(&p[i], what[i], "/a");
    fake_run_ms(100);
    for (size_t i = 0; i < ARRAY_LEN(what); i++) {
        CU_ASSERT(is_ok(&p[i]));
        CU_ASSERT_EQUAL(p[i].order, 2 + i);
    }
    CU_ASSERT_EQUAL(fake_count("/tarn/a"), ARRAY_LEN(what) - 1);
    CU_ASSERT_STRING_EQUAL(p[0].path, "/a");
    CU_ASSERT_STRING_EQUAL(p[1].path, "/a");
    CU_ASSERT_EQUAL(p[1].call.reply.stat.version, 3);
    CU_ASSERT_STRING_EQUAL(p[4].data, "value");
    CU_ASSERT_EQUAL(p[9].kids, 2);
    CU_ASSERT_EQUAL(status().zxid, 100);
    CU_ASSERT_EQUAL(status().session, 0x100000000001);
    end();
}

static bool strips(const char *path, const char *want)
{
    uint32_t n = (uint32_t)strlen(path);
    return zk_client_strip(z, &path, &n) ? n == strlen(want) && !memcmp(path, want, n) : !*want;
}

static void test_chroot_is_a_directory(void)
{
    begin_connected("z1:2181/tarn");
    CU_ASSERT(strips("/tarn/a", "/a") && strips("/tarn", "/"));
    CU_ASSERT(strips("/tarnished", "") && strips("/tar", "") && strips("/", ""));
    end();
    begin_connected("z1:2181");
    CU_ASSERT(strips("/tarn/a", "/tarn/a") && strips("/", "/"));
    end();
}

static void test_errors_come_as_errors(void)
{
    struct probe p[3] = {0};
    begin_connected("z1:2181");
    f.holds = true;
    ask(&p[0], ZK_OP_CREATE, "/a");
    ask(&p[1], ZK_OP_SET_DATA, "/a");
    ask(&p[2], ZK_OP_GET_DATA, "/a");
    fake_run_ms(100);
    fake_answer(ZK_ERR_NODE_EXISTS);
    fake_answer(ZK_ERR_BAD_VERSION);
    fake_answer(-999);
    fake_run_ms(100);
    static const int want[] = {E_EXIST, E_CONFLICT, E_IO};
    static const int32_t err[] = {ZK_ERR_NODE_EXISTS, ZK_ERR_BAD_VERSION, -999};
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(p[i].done == 1 && p[i].call.is_answered);
        CU_ASSERT_EQUAL(p[i].call.op.ret, want[i]);
        CU_ASSERT_EQUAL(p[i].call.reply.err, err[i]);
    }
    end();
}

static void test_multi(void)
{
    struct probe p = {0};
    struct zk_multi ops[4] = {{.what = ZK_OP_CHECK, .path = "/fence", .version = 4},
                              {.what = ZK_OP_CREATE, .path = "/a", .data = "x", .data_len = 1},
                              {.what = ZK_OP_SET_DATA, .path = "/b", .version = -1},
                              {.what = ZK_OP_DELETE, .path = "/c", .version = 0}};
    begin_connected("z1:2181/tarn");
    p.call = (struct zk_call){.op.done = on_done, .what = ZK_OP_MULTI, .ops = ops, .n_ops = 4};
    zk_submit(z, &p.call);
    fake_run_ms(100);
    CU_ASSERT(is_ok(&p));
    CU_ASSERT_EQUAL(fake_count("multi 4"), 1);
    CU_ASSERT_EQUAL(ops[2].reply.stat.version, 4);
    /* one that fails: the third is at fault */
    f.holds = true;
    zk_submit(z, &p.call);
    fake_run_ms(100);
    uint8_t area[256];
    struct wbuf w = wbuf_make(area, sizeof area);
    uint32_t n = 0;
    static const int32_t errs[] = {0, 0, ZK_ERR_NO_NODE, ZK_ERR_INCONSISTENCY};
    for (int i = 0; i < 4; i++)
        zk_proto_result_put(&w, &n, &(struct zk_reply){.op = ZK_OP_ERROR, .err = errs[i]});
    fake_answer_to(f.held[0].conn, &f.held[0].q, "", 0, (struct zk_list){w.p, (uint32_t)w.len, n});
    fake_run_ms(100);
    CU_ASSERT_EQUAL(p.done, 2);
    CU_ASSERT_EQUAL(p.call.op.ret, E_NOENT);
    CU_ASSERT(p.call.fault == 2 && p.call.reply.err == ZK_ERR_NO_NODE);
    CU_ASSERT_EQUAL(ops[3].reply.err, ZK_ERR_INCONSISTENCY);
    /* results of other operations than were asked for cost the connection */
    f.n_given = 1;
    zk_submit(z, &p.call);
    fake_run_ms(100);
    fake_answer_to(f.held[1].conn, &f.held[1].q, "", 0, (struct zk_list){0});
    fake_run_ms(3);
    CU_ASSERT_EQUAL(p.done, 3);
    CU_ASSERT(p.call.op.ret == E_CLOSED && p.call.is_sent && !p.call.is_answered);
    end();
}

static void test_what_cannot_be_asked(void)
{
    static const struct {
        int32_t what;
        const char *path;
        int32_t flags;
    } bad[] = {{ZK_OP_CREATE, "a", 0},         {ZK_OP_CREATE, NULL, 0},  {ZK_OP_GET_DATA, "/a/", 0},
               {ZK_OP_CREATE, "/a", 9},        {ZK_OP_CREATE, "/a", -1}, {ZK_OP_CHECK, "/a", 0},
               {ZK_OP_CLOSE_SESSION, "/a", 0}, {ZK_OP_MULTI, "/a", 0},   {ZK_OP_AUTH, "/a", 0}};
    struct probe p;
    begin_connected("z1:2181");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memset(&p, 0, sizeof p);
        p.call = (struct zk_call){
            .op.done = on_done, .what = bad[i].what, .path = bad[i].path, .flags = bad[i].flags};
        zk_submit(z, &p.call);
        CU_ASSERT_EQUAL(p.done, 0); /* never from within */
        fake_run_ms(1);
        CU_ASSERT(is_unsent(&p, E_INVAL));
    }
    struct look l = {0};
    ask_watched(&p, ZK_OP_SET_DATA, "/a", &l);
    fake_run_ms(1);
    CU_ASSERT(is_unsent(&p, E_INVAL));
    CU_ASSERT_EQUAL(l.watch.state, ZK_WATCH_IDLE);
    char longer[ZK_PATH_MAX + 2];
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = 0;
    memset(&p, 0, sizeof p);
    ask(&p, ZK_OP_GET_DATA, longer);
    fake_run_ms(1);
    CU_ASSERT(is_unsent(&p, E_INVAL));
    CU_ASSERT_EQUAL(fake_count("z1"), 1); /* the connect alone */
    end();
}

static void test_pipeline_keeps_its_order(void)
{
    static struct probe p[200];
    char path[200][8];
    memset(p, 0, sizeof p);
    begin("z1:2181");
    for (int i = 0; i < 200; i++) {
        fmt_into(path[i], 8, "/n%d", i);
        ask(&p[i], i % 2 ? ZK_OP_CREATE : ZK_OP_GET_DATA, path[i]);
    }
    fake_run_ms(500);
    for (unsigned i = 0; i < 200; i++) {
        CU_ASSERT(is_ok(&p[i]));
        CU_ASSERT_EQUAL(p[i].order, i + 2); /* the first word was that it is connected */
        CU_ASSERT_PTR_NOT_NULL(strstr(f.line[i + 1], path[i]));
    }
    end();
}

static void test_bounds(void)
{
    static struct probe p[20];
    static uint8_t large[1 << 20];
    struct zk_config c = config("z1:2181");
    c.calls_max = 10;
    c.calls_bytes = 1500000;
    c.window_bytes = 100;
    c.watches_max = 2;
    fake_world_open(1);
    open_with(&c);
    fake_run_ms(500);
    f.holds = true;
    memset(p, 0, sizeof p);
    for (int i = 0; i < 12; i++)
        ask(&p[i], ZK_OP_GET_DATA, "/0123456789");
    fake_run_ms(100);
    CU_ASSERT(is_unsent(&p[10], E_AGAIN) && is_unsent(&p[11], E_AGAIN));
    CU_ASSERT_EQUAL(f.n_held, 3); /* the window: 28 bytes each */
    CU_ASSERT(status().calls == 10 && status().sent == 3);
    fake_answer(0);
    fake_run_ms(100);
    CU_ASSERT_EQUAL(f.n_held, 4);
    f.holds = false;
    fake_answer_all();
    fake_run_ms(1000);
    for (int i = 0; i < 10; i++)
        CU_ASSERT(is_ok(&p[i]));
    memset(p, 0, sizeof p);
    for (int i = 0; i < 3; i++) {
        p[i].call = (struct zk_call){.op.done = on_done,
                                     .what = ZK_OP_SET_DATA,
                                     .path = "/a",
                                     .data = large,
                                     .data_len = i ? 1000000 : sizeof large};
        zk_submit(z, &p[i].call);
    }
    fake_run_ms(2000);
    CU_ASSERT(is_unsent(&p[0], E_TOOBIG) && is_ok(&p[1]) && is_unsent(&p[2], E_AGAIN));
    struct look l[3] = {0};
    for (int i = 0; i < 3; i++)
        ask_watched(&p[i], ZK_OP_EXISTS, "/a", &l[i]);
    fake_run_ms(100);
    CU_ASSERT(is_ok(&p[0]) && is_ok(&p[1]) && is_unsent(&p[2], E_AGAIN));
    CU_ASSERT_EQUAL(status().watches, 2);
    zk_unwatch(z, &l[0].watch);
    ask_watched(&p[2], ZK_OP_EXISTS, "/a", &l[2]);
    fake_run_ms(100);
    CU_ASSERT(is_ok(&p[2]));
    end();
}

/* packets of a mebibyte, both ways, which the network brings in pieces */
static void test_large_packets(void)
{
    static uint8_t large[1000000];
    struct probe p[3] = {0};
    begin_connected("z1:2181");
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7 + i / 251);
    p[0].call = (struct zk_call){.op.done = on_done,
                                 .what = ZK_OP_CREATE,
                                 .path = "/big",
                                 .data = large,
                                 .data_len = sizeof large};
    zk_submit(z, &p[0].call);
    fake_run_ms(2000);
    CU_ASSERT(is_ok(&p[0]));
    f.holds = true;
    ask(&p[1], ZK_OP_GET_DATA, "/big");
    ask(&p[2], ZK_OP_GET_DATA, "/small");
    fake_run_ms(100);
    fake_reply(f.held[0].conn, &(struct zk_reply){.xid = f.held[0].q.xid,
                                                  .op = ZK_OP_GET_DATA,
                                                  .data = large,
                                                  .data_len = sizeof large});
    f.n_given = 1;
    fake_answer(0);
    fake_run_ms(2000);
    CU_ASSERT(is_ok(&p[1]) && is_ok(&p[2]));
    CU_ASSERT_EQUAL(p[1].call.reply.data_len, sizeof large);
    CU_ASSERT_EQUAL(memcmp(p[1].data, large, 1), 0);
    CU_ASSERT_STRING_EQUAL(p[2].data, "value");
    end();
}

/* --- losses --- */

static void test_loss_leaves_the_outcome_unknown(void)
{
    struct probe p[6] = {0};
    begin_connected("z1:2181,z2:2181,z3:2181");
    f.holds = true;
    for (int i = 0; i < 3; i++)
        ask(&p[i], ZK_OP_CREATE, "/sent");
    fake_run_ms(100);
    CU_ASSERT_EQUAL(f.n_held, 3);
    fake_answer(0); /* the first one's answer comes */
    fake_run_ms(50);
    fake_hang_up(fake_conn());
    f.holds = false;
    fake_run_ms(1);
    p[3].call.deadline_ns = env_now_ns(f.client_env) + 10 * SEC;
    ask(&p[3], ZK_OP_CREATE, "/waits");
    fake_run_ms(3000);
    CU_ASSERT(is_ok(&p[0]));
    CU_ASSERT(is_unknown(&p[1], E_CLOSED) && is_unknown(&p[2], E_CLOSED));
    CU_ASSERT_EQUAL(p[1].call.reply.err, ZK_ERR_CONNECTION_LOSS);
    CU_ASSERT(is_ok(&p[3]));
    CU_ASSERT_EQUAL(fake_count("create /sent"), 3); /* nothing is sent twice */
    CU_ASSERT_EQUAL(fake_count("create /waits"), 1);
    CU_ASSERT(n_states == 3 && states[1] == ZK_SUSPENDED && states[2] == ZK_CONNECTED);
    CU_ASSERT(p[2].order < state_order); /* dones, then the word of it */
    end();
}

static void test_reattach(void)
{
    struct probe p[2] = {0};
    begin_connected("z1:2181,z2:2181,z3:2181");
    f.zxid = 0x500000007;
    ask(&p[0], ZK_OP_SET_DATA, "/a");
    fake_run_ms(100);
    uint32_t first = fake_conn()->server;
    fake_stop_server(first);
    fake_run_ms(2000);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    CU_ASSERT_NOT_EQUAL(fake_conn()->server, first);
    CU_ASSERT_EQUAL(fake_count("connect zxid=21474836487 session=100000000001"), 1);
    CU_ASSERT_EQUAL(fake_count("WRONG PASSWORD"), 0);
    ask(&p[1], ZK_OP_GET_DATA, "/a");
    fake_run_ms(100);
    CU_ASSERT(is_ok(&p[1]));
    CU_ASSERT(status().connects == 2 && status().losses == 1);
    end();
}

/* a server that is behind closes the connection, and the next one is asked */
static void test_lagging_servers_are_left(void)
{
    struct probe p = {0};
    begin_connected("z1:2181,z2:2181,z3:2181");
    f.zxid = 0x500000007;
    ask(&p, ZK_OP_SET_DATA, "/a");
    fake_run_ms(100);
    f.server_zxid = 0x500000006;
    fake_hang_up(fake_conn());
    fake_run_ms(1500);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_SUSPENDED);
    CU_ASSERT(fake_count("connect zxid=21474836487") >= 3);
    f.server_zxid = 0x500000007;
    fake_run_ms(2500);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    end();
}

/* servers that lag for long are asked what they agree on now, and left as they are */
static void test_servers_that_lag_for_long(void)
{
    struct probe p = {0};
    begin_connected("z1:2181,z2:2181,z3:2181");
    f.zxid = 0x500000007;
    ask(&p, ZK_OP_SET_DATA, "/a");
    fake_run_ms(100);
    f.server_zxid = 0x500000006;
    fake_hang_up(fake_conn());
    fake_run_ms(30000);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_SUSPENDED);
    uint32_t asked = fake_count("connect zxid=0 session=0") - 1;
    CU_ASSERT(asked >= 2 && asked <= 4); /* once in two sessions' time */
    CU_ASSERT_EQUAL(fake_count("closeSession"), asked);
    f.server_zxid = 0x500000007;
    fake_run_ms(2500);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    CU_ASSERT(status().connects == 2 && !status().older_zxid);
    end();
}

/* An ensemble that has lost its data takes nobody who has seen more: that is noticed, but not
 * before the session's time is over, and not of servers that serve nobody. */
static void test_lost_data_end_the_session(void)
{
    struct probe p[2] = {0};
    begin_connected("z1:2181,z2:2181,z3:2181");
    f.zxid = 0x500000007;
    ask(&p[0], ZK_OP_SET_DATA, "/a");
    fake_run_ms(100);
    f.zxid = f.server_zxid = 0x100000002;
    f.mode[0] = f.mode[1] = f.mode[2] = FAKE_CLOSES;
    fake_hang_up(fake_conn());
    fake_run_ms(10000);
    CU_ASSERT(fake_count("connect zxid=0 session=0") > 3);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_SUSPENDED);
    f.mode[2] = FAKE_SERVES;
    ask(&p[1], ZK_OP_GET_DATA, "/a");
    fake_run_ms(4000);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_EXPIRED);
    CU_ASSERT_EQUAL(whys[n_states - 1], E_SESSION_EXPIRED);
    CU_ASSERT_EQUAL(status().older_zxid, 0x100000002);
    CU_ASSERT_EQUAL(fake_count("closeSession"), 1);
    CU_ASSERT(is_unsent(&p[1], E_SESSION_EXPIRED));
    fake_run_ms(5000);
    CU_ASSERT_EQUAL(fake_open_conns(), 0);
    CU_ASSERT_EQUAL(stop(true), 0);
    fake_world_close();
}

static void test_expiry_is_the_end(void)
{
    struct probe p[3] = {0};
    struct look l = {0};
    begin_connected("z1:2181,z2:2181");
    ask_watched(&p[0], ZK_OP_GET_DATA, "/a", &l);
    fake_run_ms(100);
    f.mode[0] = f.mode[1] = FAKE_EXPIRES;
    fake_hang_up(fake_conn());
    fake_run_ms(2);
    ask(&p[1], ZK_OP_GET_DATA, "/b");
    fake_run_ms(1000);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_EXPIRED);
    CU_ASSERT_EQUAL(whys[n_states - 1], E_SESSION_EXPIRED);
    CU_ASSERT(is_unsent(&p[1], E_SESSION_EXPIRED));
    CU_ASSERT(l.watch.state == ZK_WATCH_IDLE && !l.fired);
    ask(&p[2], ZK_OP_GET_DATA, "/c");
    fake_run_ms(5000);
    CU_ASSERT(is_unsent(&p[2], E_SESSION_EXPIRED));
    CU_ASSERT_EQUAL(fake_open_conns(), 0);
    CU_ASSERT_EQUAL(status().state, ZK_EXPIRED);
    CU_ASSERT_EQUAL(stop(true), 0);
    fake_world_close();
}

static void test_session_moved(void)
{
    struct probe p[3] = {0};
    begin_connected("z1:2181,z2:2181");
    f.holds = true;
    ask(&p[0], ZK_OP_CREATE, "/a");
    ask(&p[1], ZK_OP_CREATE, "/b");
    fake_run_ms(100);
    fake_answer(ZK_ERR_SESSION_MOVED);
    f.holds = false;
    fake_run_ms(1000);
    CU_ASSERT(p[0].done == 1 && p[0].call.is_answered && p[0].call.op.ret == E_AGAIN);
    CU_ASSERT(is_unknown(&p[1], E_CLOSED));
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    CU_ASSERT_EQUAL(status().connects, 2);
    ask(&p[2], ZK_OP_CREATE, "/c");
    fake_run_ms(100);
    CU_ASSERT(is_ok(&p[2]));
    end();
}

/* --- deadlines and silence --- */

static void test_deadlines(void)
{
    struct probe p[4];
    begin("z1:2181");
    fake_stop_server(0);
    ask_until(&p[0], ZK_OP_CREATE, "/unsent", 700);
    fake_run_ms(600);
    CU_ASSERT_EQUAL(p[0].done, 0);
    fake_run_ms(200);
    CU_ASSERT(is_unsent(&p[0], E_TIMEOUT));
    fake_start_server(0);
    fake_run_ms(3000);
    CU_ASSERT_EQUAL_FATAL(states[n_states - 1], ZK_CONNECTED);
    CU_ASSERT_EQUAL(fake_count("/unsent"), 0);
    f.holds = true;
    ask_until(&p[1], ZK_OP_CREATE, "/late", 200);
    ask_until(&p[2], ZK_OP_GET_DATA, "/next", 2000);
    fake_run_ms(300);
    CU_ASSERT(is_unknown(&p[1], E_TIMEOUT));
    CU_ASSERT(status().calls == 2 && status().sent == 2);
    fake_answer(0); /* nobody's any more */
    fake_answer(0);
    fake_run_ms(100);
    CU_ASSERT(p[1].done == 1 && is_ok(&p[2]));
    CU_ASSERT_STRING_EQUAL(p[2].data, "value");
    CU_ASSERT(status().calls == 0 && status().sent == 0);
    f.holds = false;
    ask_until(&p[3], ZK_OP_GET_DATA, "/past", -5);
    fake_run_ms(100);
    CU_ASSERT_EQUAL(p[3].done, 1);
    end();
}

static void test_ping_in_silence(void)
{
    begin_connected("z1:2181");
    int64_t before_ns = sim_now_ns(f.s);
    CU_ASSERT_EQUAL(f.pings, 0);
    fake_run_ms(10000);
    CU_ASSERT(f.pings >= 7 && f.pings <= 8); /* every 1333 ms */
    CU_ASSERT_EQUAL(n_states, 1);
    struct zk_status s = status();
    CU_ASSERT(s.heard_clock_ns > 0);
    int64_t clock_ns = env_clock_ns(f.client_env), now_ns = sim_now_ns(f.s);
    int64_t ago_ns = clock_ns - s.heard_clock_ns;
    CU_ASSERT(ago_ns >= now_ns - f.last_ping_ns && ago_ns < now_ns - f.last_ping_ns + 20 * MS);
    (void)before_ns;
    /* who talks needs no ping */
    uint32_t pings = f.pings;
    for (int i = 0; i < 20; i++) {
        struct probe p = {0};
        ask(&p, ZK_OP_SYNC, "/");
        fake_run_ms(500);
        CU_ASSERT(is_ok(&p));
    }
    CU_ASSERT(f.pings - pings <= 1);
    end();
}

static void test_a_silent_server_is_given_up(void)
{
    struct probe p = {0};
    begin_connected("z1:2181,z2:2181");
    uint32_t first = fake_conn()->server;
    f.is_mute = true;
    ask(&p, ZK_OP_CREATE, "/a");
    fake_run_ms(2100);
    CU_ASSERT_EQUAL(p.done, 0);
    f.is_mute = false;
    int64_t from_ns = sim_now_ns(f.s);
    fake_run_ms(600); /* two thirds of 4 s are over */
    CU_ASSERT(is_unknown(&p, E_CLOSED));
    CU_ASSERT(p.at_ns - from_ns < 200 * MS);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    CU_ASSERT_NOT_EQUAL(fake_conn()->server, first);
    CU_ASSERT_EQUAL(whys[n_states - 2], E_TIMEOUT);
    end();
}

static void test_every_server_has_its_turn(void)
{
    begin("z1:2181,z2:2181,z3:2181");
    f.mode[0] = f.mode[1] = f.mode[2] = FAKE_MUTE;
    fake_run_ms(1500); /* 444 ms each */
    CU_ASSERT(fake_count("z1 connect") && fake_count("z2 connect") && fake_count("z3 connect"));
    CU_ASSERT(status().attempts <= 5);
    f.mode[0] = f.mode[2] = FAKE_CLOSES;
    f.mode[1] = FAKE_SERVES;
    fake_run_ms(3000);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    end();
}

/* servers that accept and close, as during an election: not hammered, and not left for long */
static void test_back_off(void)
{
    begin("z1:2181,z2:2181,z3:2181");
    f.mode[0] = f.mode[1] = f.mode[2] = FAKE_CLOSES;
    fake_run_ms(20000);
    uint64_t n = status().attempts;
    CU_ASSERT(n >= 60 && n <= 140); /* rounds of three, at last a second apart */
    f.mode[0] = FAKE_SERVES;
    fake_run_ms(1200);
    CU_ASSERT_EQUAL_FATAL(states[n_states - 1], ZK_CONNECTED);
    f.mode[1] = f.mode[2] = FAKE_SERVES;
    fake_hang_up(fake_conn()); /* from the beginning again */
    int64_t before = (int64_t)status().attempts;
    fake_run_ms(60);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
    CU_ASSERT_EQUAL((int64_t)status().attempts, before + 1);
    f.mode[0] = f.mode[1] = f.mode[2] = FAKE_CLOSES;
    before = (int64_t)status().attempts;
    fake_hang_up(fake_conn());
    fake_run_ms(300); /* rounds 20, 40, 80 ms apart */
    CU_ASSERT((int64_t)status().attempts >= before + 9);
    CU_ASSERT(f.log_len < 16000); /* an outage fills no disk */
    end();
}

/* --- the end --- */

static void test_stop_closes_the_session(void)
{
    struct probe p[2] = {0};
    struct zk_config c = config("z1:2181");
    c.window_bytes = 1;
    fake_world_open(1);
    open_with(&c);
    fake_run_ms(500);
    ask(&p[0], ZK_OP_CREATE, "/sent");
    ask(&p[1], ZK_OP_CREATE, "/waits");
    CU_ASSERT_EQUAL(stop(true), 0);
    CU_ASSERT(is_ok(&p[0]) && is_unsent(&p[1], E_CANCELLED));
    CU_ASSERT_EQUAL(fake_count("closeSession"), 1);
    CU_ASSERT_EQUAL(fake_count("/waits"), 0);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CLOSED);
    fake_run_ms(100);
    CU_ASSERT_EQUAL(fake_open_conns(), 0);
    fake_world_close();
}

static void test_stop_leaves_the_session(void)
{
    struct probe p = {0};
    begin_connected("z1:2181");
    f.holds = true;
    ask(&p, ZK_OP_CREATE, "/sent");
    fake_run_ms(50);
    CU_ASSERT_EQUAL(stop(false), 0);
    CU_ASSERT(is_unknown(&p, E_CANCELLED));
    CU_ASSERT_EQUAL(fake_count("closeSession"), 0);
    fake_run_ms(100);
    CU_ASSERT_EQUAL(fake_open_conns(), 0);
    fake_world_close();
}

static void test_stop_at_any_moment(void)
{
    for (int64_t us = 0; us < 4000; us += 50) { /* connecting, greeting, connected */
        struct probe p = {0};
        begin("z1:2181,z2:2181");
        ask(&p, ZK_OP_CREATE, "/a");
        sim_run_until(f.s, sim_now_ns(f.s) + us * 1000);
        int64_t ret = stop(true);
        CU_ASSERT(ret == 0 || ret == E_TIMEOUT);
        CU_ASSERT_EQUAL(p.done, 1);
        CU_ASSERT(!is_unsent(&p, 0));
        CU_ASSERT_EQUAL(states[n_states - 1], ZK_CLOSED);
        fake_run_ms(50);
        CU_ASSERT_EQUAL(fake_open_conns(), 0);
        fake_world_close();
    }
}

static void test_stop_without_a_server(void)
{
    struct probe p = {0};
    begin_connected("z1:2181,z2:2181");
    fake_stop_server(0);
    fake_stop_server(1);
    fake_run_ms(1000);
    ask(&p, ZK_OP_CREATE, "/a");
    CU_ASSERT_EQUAL(stop(true), E_TIMEOUT);
    CU_ASSERT(is_unsent(&p, E_CANCELLED));
    fake_world_close();
    /* one that does not answer */
    begin_connected("z1:2181");
    f.is_mute = true;
    int64_t from_ns = sim_now_ns(f.s);
    CU_ASSERT_EQUAL(stop(true), E_TIMEOUT);
    CU_ASSERT(sim_now_ns(f.s) - from_ns < 2 * SEC);
    fake_world_close();
}

static void test_stop_from_a_callback(void)
{
    struct env_op op = {0};
    begin_connected("z1:2181");
    stops_at_loss = &op;
    fake_hang_up(fake_conn());
    CU_ASSERT_EQUAL(sim_run_op(f.s, &op, 10 * SEC), E_TIMEOUT);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CLOSED);
    fake_world_close();
}

static void test_done_submits(void)
{
    struct probe p[2] = {0};
    begin_connected("z1:2181");
    p[1].call = (struct zk_call){.op.done = on_done, .what = ZK_OP_GET_DATA, .path = "/b"};
    p[0].then = &p[1].call;
    ask(&p[0], ZK_OP_GET_DATA, "/a");
    fake_run_ms(50);
    CU_ASSERT(is_ok(&p[0]) && is_ok(&p[1]));
    /* also when it learns that the connection is lost: it waits for the next one */
    f.holds = true;
    memset(p, 0, sizeof p);
    p[1].call = (struct zk_call){.op.done = on_done, .what = ZK_OP_GET_DATA, .path = "/d"};
    p[0].then = &p[1].call;
    ask(&p[0], ZK_OP_GET_DATA, "/c");
    fake_run_ms(50);
    f.holds = false;
    fake_hang_up(fake_conn());
    fake_run_ms(1000);
    CU_ASSERT(is_unknown(&p[0], E_CLOSED) && is_ok(&p[1]));
    end();
}

static void test_memory_comes_back(void)
{
    begin("z1:2181,z2:2181");
    uint64_t before = 0;
    for (int i = 0; i < 50; i++) {
        fake_run_ms(200);
        stop(true);
        if (i == 5)
            before = sim_mem(f.client_node)->used;
        struct zk_config c = config("z1:2181,z2:2181");
        open_with(&c);
        if (i > 5)
            CU_ASSERT(sim_mem(f.client_node)->used <= before + (4u << 20));
    }
    end();
    char why[256];
    struct zk_config c = config("z1:2181,,z2");
    fake_world_open(1);
    CU_ASSERT_EQUAL(zk_open(f.client_env, sim_mem(f.client_node), &c, &host, &z, why, sizeof why),
                    E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "server 2"));
    struct mem little;
    unit_mem(&little, 1 << 20);
    c = config("z1:2181");
    CU_ASSERT_EQUAL(zk_open(f.client_env, &little, &c, &host, &z, why, sizeof why), E_NOMEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "memory"));
    mem_drop(&little);
    fake_world_close();
}

/* Chance breaks connections again and again.  Whatever happens: each call is done once, what was
 * answered was sent once, and what was never sent never came. */
static void test_storm(void)
{
    enum { N = 600 };
    static struct probe p[N];
    static char path[N][16];
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim_net_config net;
        memset(p, 0, sizeof p);
        fake_world_open(seed);
        net = sim_config_quiet(seed).net;
        net.reset_ppm = 20000;
        net.half_open_ppm = 300;
        net.loss_ppm = 10000;
        struct zk_config c = config("z1:2181,z2:2181,z3:2181");
        open_with(&c);
        sim_net_set(f.s, &net);
        for (int i = 0; i < N; i++) {
            fmt_into(path[i], 16, "/n%d.", i);
            p[i].call.deadline_ns = env_now_ns(f.client_env) + 3 * SEC;
            ask(&p[i], ZK_OP_CREATE, path[i]);
            fake_run_ms(20);
        }
        fake_run_ms(10000);
        unsigned ok = 0;
        for (int i = 0; i < N; i++) {
            uint32_t came = fake_count(path[i]);
            CU_ASSERT_EQUAL_FATAL(p[i].done, 1);
            CU_ASSERT(came <= 1);
            if (p[i].call.is_answered)
                CU_ASSERT_EQUAL(came, 1);
            if (!p[i].call.is_sent)
                CU_ASSERT_EQUAL(came, 0);
            ok += is_ok(&p[i]);
        }
        CU_ASSERT(ok > N / 2);
        CU_ASSERT(status().losses > 0);
        net.reset_ppm = net.half_open_ppm = net.loss_ppm = 0;
        sim_net_set(f.s, &net);
        end();
    }
}

UNIT_MAIN("zk_client", UNIT(test_every_operation), UNIT(test_chroot_is_a_directory),
          UNIT(test_errors_come_as_errors), UNIT(test_multi), UNIT(test_what_cannot_be_asked),
          UNIT(test_pipeline_keeps_its_order), UNIT(test_bounds), UNIT(test_large_packets),
          UNIT(test_loss_leaves_the_outcome_unknown), UNIT(test_reattach),
          UNIT(test_lagging_servers_are_left), UNIT(test_servers_that_lag_for_long),
          UNIT(test_lost_data_end_the_session), UNIT(test_expiry_is_the_end),
          UNIT(test_session_moved), UNIT(test_deadlines), UNIT(test_ping_in_silence),
          UNIT(test_a_silent_server_is_given_up), UNIT(test_every_server_has_its_turn),
          UNIT(test_back_off), UNIT(test_stop_closes_the_session),
          UNIT(test_stop_leaves_the_session), UNIT(test_stop_at_any_moment),
          UNIT(test_stop_without_a_server), UNIT(test_stop_from_a_callback),
          UNIT(test_done_submits), UNIT(test_memory_comes_back), UNIT(test_storm))
