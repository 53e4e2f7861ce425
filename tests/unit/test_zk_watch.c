/* tests/unit/test_zk_watch.c - the ZooKeeper client's watches, and whatever a server should not
 * say, by scripted servers (test_zk_fake.h). */
#include "tests/unit/test_zk_fake.h"

/* --- watches --- */

static void test_watches_fire_once(void)
{
    struct probe p[4];
    struct look l[4] = {0};
    begin_connected("z1:2181/tarn");
    f.holds = true;
    ask_watched(&p[0], ZK_OP_GET_DATA, "/a", &l[0]);
    ask_watched(&p[1], ZK_OP_EXISTS, "/b", &l[1]);
    ask_watched(&p[2], ZK_OP_GET_CHILDREN2, "/a", &l[2]);
    ask_watched(&p[3], ZK_OP_GET_DATA, "/c", &l[3]);
    fake_run_ms(50);
    CU_ASSERT_EQUAL(fake_count("watch"), 4);
    fake_event(ZK_EVENT_DATA, "/tarn/a"); /* before the answers: nobody's */
    fake_answer(0);
    fake_answer(ZK_ERR_NO_NODE);
    fake_answer(0);
    fake_answer(ZK_ERR_NO_NODE);
    fake_run_ms(50);
    CU_ASSERT(!l[0].fired && l[0].watch.state == ZK_WATCH_ARMED);
    CU_ASSERT_EQUAL(l[1].watch.state, ZK_WATCH_ARMED); /* exists, of what is not there */
    CU_ASSERT_EQUAL(l[2].watch.state, ZK_WATCH_ARMED);
    CU_ASSERT_EQUAL(l[3].watch.state, ZK_WATCH_IDLE); /* getData, of what is not there */
    CU_ASSERT_EQUAL(status().watches, 3);
    fake_event(ZK_EVENT_DATA, "/a"); /* not below the chroot */
    fake_event(ZK_EVENT_DATA, "/tarnished/a");
    fake_event(ZK_EVENT_CHILDREN, "/tarn/b");
    fake_run_ms(50);
    CU_ASSERT(!l[0].fired && !l[1].fired && !l[2].fired);
    fake_event(ZK_EVENT_DATA, "/tarn/a");
    fake_event(ZK_EVENT_CREATED, "/tarn/b");
    fake_run_ms(50);
    CU_ASSERT(l[0].fired == 1 && l[0].event == ZK_EVENT_DATA);
    CU_ASSERT(l[1].fired == 1 && l[1].event == ZK_EVENT_CREATED);
    CU_ASSERT_EQUAL(l[2].fired, 0);
    fake_event(ZK_EVENT_DATA, "/tarn/a");
    fake_event(ZK_EVENT_DELETED, "/tarn/a");
    fake_run_ms(50);
    CU_ASSERT(l[0].fired == 1 && l[2].fired == 1 && l[2].event == ZK_EVENT_DELETED);
    CU_ASSERT_EQUAL(status().watches, 0);
    end();
}

static void test_events_come_before_what_they_are_about(void)
{
    struct probe p[2];
    struct look l = {0};
    begin_connected("z1:2181");
    ask_watched(&p[0], ZK_OP_GET_DATA, "/a", &l);
    fake_run_ms(50);
    f.holds = true;
    memset(&p[1], 0, sizeof p[1]);
    ask(&p[1], ZK_OP_GET_DATA, "/a");
    fake_run_ms(50);
    fake_event(ZK_EVENT_DATA, "/a");
    fake_answer(0);
    fake_run_ms(50);
    CU_ASSERT(l.fired == 1 && is_ok(&p[1]) && l.order < p[1].order);
    end();
}

static void test_several_watches_of_one_path(void)
{
    struct probe p[3];
    struct look l[3] = {0};
    begin_connected("z1:2181");
    for (int i = 0; i < 3; i++)
        ask_watched(&p[i], ZK_OP_GET_DATA, "/a", &l[i]);
    fake_run_ms(50);
    l[0].drops = &l[2].watch; /* from within */
    fake_event(ZK_EVENT_DATA, "/a");
    fake_run_ms(50);
    CU_ASSERT(l[0].fired == 1 && l[1].fired == 1 && l[2].fired == 0);
    CU_ASSERT_EQUAL(l[2].watch.state, ZK_WATCH_IDLE);
    CU_ASSERT_EQUAL(status().watches, 0);
    /* dropped while it is asked for */
    f.holds = true;
    ask_watched(&p[0], ZK_OP_GET_DATA, "/b", &l[0]);
    fake_run_ms(50);
    zk_unwatch(z, &l[0].watch);
    CU_ASSERT_EQUAL(l[0].watch.state, ZK_WATCH_IDLE);
    fake_answer(0);
    fake_run_ms(50);
    CU_ASSERT(is_ok(&p[0]) && l[0].watch.state == ZK_WATCH_IDLE);
    CU_ASSERT_EQUAL(status().watches, 0);
    end();
}

/* on a new connection: credentials, watches, and only then what waited */
static void test_watches_are_armed_again_first(void)
{
    struct probe p[6];
    struct look l[3] = {0};
    begin_connected("z1:2181,z2:2181/tarn");
    CU_ASSERT_EQUAL(zk_auth(z, "digest", "tarn:geheim", 11), 0);
    f.zxid = 200;
    ask_watched(&p[0], ZK_OP_GET_DATA, "/d", &l[0]);
    ask_watched(&p[1], ZK_OP_GET_CHILDREN, "/", &l[1]);
    f.holds = false;
    fake_run_ms(50);
    f.holds = true;
    ask_watched(&p[2], ZK_OP_EXISTS, "/e", &l[2]);
    fake_run_ms(50);
    fake_answer(ZK_ERR_NO_NODE);
    fake_run_ms(50);
    f.holds = false;
    uint32_t from = f.n_lines;
    fake_hang_up(fake_conn());
    fake_run_ms(1);
    memset(&p[3], 0, sizeof p[3]);
    ask(&p[3], ZK_OP_CREATE, "/waits");
    fake_run_ms(1000);
    CU_ASSERT(is_ok(&p[3]));
    CU_ASSERT_FATAL(f.n_lines - from == 4);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.line[from], "connect zxid=200 session=100000000001"));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.line[from + 1], "auth digest"));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        f.line[from + 2], "setWatches zxid=200 n=1,1,1 data:/tarn/d exist:/tarn/e child:/tarn"));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.line[from + 3], "create /tarn/waits"));
    fake_event(ZK_EVENT_CREATED, "/tarn/e");
    fake_event(ZK_EVENT_CHILDREN, "/tarn");
    fake_run_ms(50);
    CU_ASSERT(l[2].fired == 1 && l[1].fired == 1 && !l[0].fired);
    CU_ASSERT_PTR_NULL(strstr(f.log, "geheim"));
    CU_ASSERT_PTR_NULL(strstr(f.log, "PASSWORD"));
    end();
}

/* While the server has not said that the watches are armed, their zxid stands still, though answers
 * bring newer ones: or a change between the two would be lost with the second connection. */
static void test_rearming_that_breaks_off(void)
{
    struct probe p[3];
    struct look l = {0};
    begin_connected("z1:2181,z2:2181");
    f.zxid = 200;
    ask_watched(&p[0], ZK_OP_GET_DATA, "/d", &l);
    fake_run_ms(50);
    f.holds_watches = true;
    f.zxid = 300;
    fake_hang_up(fake_conn());
    fake_run_ms(500);
    memset(&p[1], 0, sizeof p[1]);
    ask(&p[1], ZK_OP_GET_DATA, "/x");
    fake_run_ms(100);
    CU_ASSERT(is_ok(&p[1]) && status().zxid == 300);
    f.holds_watches = false;
    fake_hang_up(fake_conn());
    fake_run_ms(500);
    CU_ASSERT_EQUAL(fake_count("connect zxid=300"), 1);
    CU_ASSERT_EQUAL(fake_count("setWatches zxid=200"), 2);
    fake_hang_up(fake_conn());
    fake_run_ms(500);
    CU_ASSERT_EQUAL(fake_count("setWatches zxid=300"), 1);
    end();
}

/* a zxid that came with an event says nothing about the event's siblings */
static void test_events_move_no_zxid(void)
{
    struct probe p;
    struct look l = {0};
    begin_connected("z1:2181,z2:2181");
    ask_watched(&p, ZK_OP_GET_DATA, "/d", &l);
    fake_run_ms(50);
    fake_reply(fake_conn(), &(struct zk_reply){.xid = ZK_XID_EVENT,
                                               .zxid = 900,
                                               .event = ZK_EVENT_CHILDREN,
                                               .keeper = ZK_KEEPER_CONNECTED,
                                               .path = "/other",
                                               .path_len = 6});
    fake_run_ms(50);
    CU_ASSERT_EQUAL(status().zxid, 100);
    end();
}

static void test_many_watches_go_in_batches(void)
{
    enum { N = 300 };
    static struct probe p[N];
    static struct look l[N];
    static char path[N][1001];
    struct zk_config c = config("z1:2181,z2:2181");
    c.watches_max = c.calls_max = N;
    memset(l, 0, sizeof l);
    fake_world_open(1);
    open_with(&c);
    fake_run_ms(500);
    for (int i = 0; i < N; i++) {
        memset(path[i], 'x', 1000);
        path[i][1000] = 0;
        path[i][fmt_into(path[i], 1001, "/%03d", i)] = '-';
        ask_watched(&p[i], i % 3 ? i % 3 > 1 ? ZK_OP_GET_CHILDREN : ZK_OP_EXISTS : ZK_OP_GET_DATA,
                    path[i], &l[i]);
    }
    fake_run_ms(1000);
    CU_ASSERT_EQUAL(status().watches, N);
    fake_hang_up(fake_conn());
    fake_run_ms(2000);
    /* 300 * 1004 bytes: three packets */
    CU_ASSERT_EQUAL(fake_count("setWatches"), 3);
    uint32_t n = 0, a, b, k;
    for (uint32_t i = 0; (i = fake_find("setWatches", i)) != UINT32_MAX; i++)
        if (sscanf(strstr(f.line[i], "n="), "n=%u,%u,%u", &a, &b, &k) == 3)
            n += a + b + k;
    CU_ASSERT_EQUAL(n, N);
    CU_ASSERT_EQUAL(status().watches, N);
    for (int i = 0; i < N; i++)
        zk_unwatch(z, &l[i].watch);
    end();
}

/* --- what a server should not say --- */

static void put_i32(uint8_t *to, int32_t v)
{
    base_put_u32(to, __builtin_bswap32((uint32_t)v));
}

static void test_malformed_costs_the_connection(void)
{
    uint8_t b[64];
    static const struct {
        const char *what;
        int32_t words[6];
        uint32_t n;
        const char *logged;
    } bad[] = {
        {"negative length", {-1}, 1, "no packet"},
        {"huge length", {0x7fffffff}, 1, "no packet"},
        {"short reply", {8, 1, 0}, 3, "cannot be read"},
        {"empty packet", {0}, 1, "cannot be read"},
        {"reply to nothing", {16, 9999, 0, 0, 0}, 5, "answer to request 9999"},
        {"ping not sent", {16, -2, 0, 0, 0}, 5, "ping"},
        {"credentials not sent", {16, -4, 0, 0, 0}, 5, "credentials"},
        {"watches not sent", {16, -8, 0, 0, 0}, 5, "setWatches"},
        {"event without a body", {16, -1, 0, 0, 0}, 5, "an event"},
    };
    begin_connected("z1:2181,z2:2181");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t losses = status().losses;
        char server[16];
        fmt_into(server, sizeof server, "lost z%u:2181", fake_conn()->server + 1);
        f.log_len = 0;
        for (uint32_t k = 0; k < bad[i].n; k++)
            put_i32(b + 4 * k, bad[i].words[k]);
        fake_bytes(fake_conn(), b, bad[i].n * 4);
        fake_run_ms(1000);
        f.log[f.log_len] = 0;
        CU_ASSERT_EQUAL(status().losses, losses + 1);
        CU_ASSERT_EQUAL(states[n_states - 1], ZK_CONNECTED);
        if (!strstr(f.log, bad[i].logged) || !strstr(f.log, server))
            printf("%s: %s", bad[i].what, f.log);
        CU_ASSERT(strstr(f.log, bad[i].logged) && strstr(f.log, server));
    }
    end();
}

static void test_answers_out_of_order(void)
{
    struct probe p[2] = {0};
    begin_connected("z1:2181");
    f.holds = true;
    ask(&p[0], ZK_OP_CREATE, "/a");
    ask(&p[1], ZK_OP_CREATE, "/b");
    fake_run_ms(50);
    fake_answer_to(f.held[1].conn, &f.held[1].q, "/b", 0, (struct zk_list){0});
    fake_run_ms(2);
    CU_ASSERT(is_unknown(&p[0], E_CLOSED) && is_unknown(&p[1], E_CLOSED));
    end();
}

static void test_greetings_that_are_none(void)
{
    begin("z1:2181,z2:2181");
    f.mode[0] = FAKE_GARBAGE;
    f.mode[1] = FAKE_EXPIRES; /* a session that was never asked for */
    fake_run_ms(2000);
    CU_ASSERT_EQUAL(n_states, 0);
    CU_ASSERT_EQUAL(status().state, ZK_CONNECTING);
    CU_ASSERT_EQUAL(status().why, E_PROTO);
    f.mode[0] = FAKE_SERVES;
    fake_run_ms(3000);
    CU_ASSERT(n_states == 1 && states[0] == ZK_CONNECTED);
    /* another session than ours */
    f.session = 0x200000000002;
    fake_hang_up(fake_conn());
    f.mode[1] = FAKE_SERVES;
    fake_run_ms(2000);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_SUSPENDED);
    CU_ASSERT_EQUAL(status().session, 0x100000000001);
    end();
}

static void test_refused_credentials(void)
{
    struct probe p[3] = {0};
    begin_connected("z1:2181");
    f.holds = true;
    ask(&p[0], ZK_OP_CREATE, "/a");
    fake_run_ms(50);
    f.auth_err = ZK_ERR_AUTH_FAILED;
    CU_ASSERT_EQUAL(zk_auth(z, "digest", "tarn:falsch", 11), 0);
    fake_run_ms(50);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_AUTH_FAILED);
    CU_ASSERT(is_unknown(&p[0], E_AUTH));
    ask(&p[1], ZK_OP_CREATE, "/b");
    fake_run_ms(3000);
    CU_ASSERT(is_unsent(&p[1], E_AUTH));
    CU_ASSERT_EQUAL(fake_open_conns(), 0);
    CU_ASSERT_PTR_NULL(strstr(f.log, "falsch"));
    char longer[ZK_AUTH_BYTES + 1] = {0};
    CU_ASSERT_EQUAL(zk_auth(z, "digest", longer, sizeof longer), E_TOOBIG);
    for (int i = 1; i < ZK_AUTHS_MAX; i++)
        CU_ASSERT_EQUAL(zk_auth(z, "digest", "x", 1), 0);
    CU_ASSERT_EQUAL(zk_auth(z, "digest", "x", 1), E_NOSPC);
    end();
}

UNIT_MAIN("zk_watch", UNIT(test_watches_fire_once),
          UNIT(test_events_come_before_what_they_are_about), UNIT(test_several_watches_of_one_path),
          UNIT(test_watches_are_armed_again_first), UNIT(test_rearming_that_breaks_off),
          UNIT(test_events_move_no_zxid), UNIT(test_many_watches_go_in_batches),
          UNIT(test_malformed_costs_the_connection), UNIT(test_answers_out_of_order),
          UNIT(test_greetings_that_are_none), UNIT(test_refused_credentials))
