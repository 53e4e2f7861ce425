/* tests/zk/case_session.c - sessions: how long they last, what goes with them, who takes them up
 * again; and several servers. */
#include "tests/zk/zk_suite.h"

/* a session on a raw connection */
static struct zs_raw *raw_session(struct zs *t, uint32_t server, int64_t timeout_ns)
{
    struct zs_raw *r = zs_raw(t, server);
    TRUE(zs_raw_connect(r, 0, NULL, 0, timeout_ns));
    TRUE(r->c.session != 0);
    return r;
}

static const struct zk_request ping = {.xid = ZK_XID_PING, .op = ZK_OP_PING};
static const struct zk_request bye = {.op = ZK_OP_CLOSE_SESSION};

static struct zk_request creates(const char *path, int32_t flags)
{
    return (struct zk_request){
        .op = ZK_OP_CREATE, .path = path, .data = "", .acl = zk_proto_acl_open, .flags = flags};
}

static struct zk_request asks(const char *path)
{
    return (struct zk_request){.op = ZK_OP_EXISTS, .path = path};
}

static void session_ids_differ(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    TRUE(zs_id(a) != 0 && zs_id(b) != 0);
    TRUE(zs_id(a) != zs_id(b));
}

static void ephemeral_has_an_owner(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    struct zs_answer *c = zs_create(a, "/e", "x", ZK_CREATE_EPHEMERAL);
    OK(c);
    EQ(c->stat.owner, zs_id(a));
    EQ(zs_exists(b, "/e")->stat.owner, zs_id(a));
    OK(zs_set(b, "/e", "y", -1)); /* others may do with it what they like */
    OK(zs_delete(b, "/e", -1));
    ERR(zs_exists(a, "/e"), ZK_ERR_NO_NODE);
}

static void ephemeral_goes_with_its_session(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, NULL);
    OK(zs_create(a, "/p", "", 0));
    OK(zs_create(a, "/p/1", "", ZK_CREATE_EPHEMERAL));
    OK(zs_create(a, "/p/2", "", ZK_CREATE_EPHEMERAL_SEQUENTIAL));
    OK(zs_create(b, "/p/3", "", ZK_CREATE_EPHEMERAL));
    OK(zs_create(a, "/p/4", "", 0));
    struct zk_stat before = zs_exists(b, "/p")->stat;
    zs_close(a, true);
    zs_settle(b);
    STR(zs_children(b, "/p")->names, "3,4");
    struct zk_stat after = zs_exists(b, "/p")->stat;
    EQ(after.cversion, before.cversion + 2);
    TRUE(after.pzxid > before.pzxid);
    EQ(after.mzxid, before.mzxid);
}

static void ephemeral_outlives_its_connection(struct zs *t)
{
    struct zs_session *b = zs_open(t, NULL);
    int64_t timeout = 4 * t->w->tick_ns;
    struct zs_raw *r = raw_session(t, 0, timeout);
    struct zk_request q = creates("/e", ZK_CREATE_EPHEMERAL);
    EQ(zs_raw_ask(r, &q, NULL), 0);
    struct zs_watch *w = zs_watch(b, "w", ZK_OP_EXISTS, "/e");
    int64_t from = env_now_ns(t->w->env);
    zs_raw_hangup(r);
    TRUE(zs_fires(w));
    EQ(w->event, ZK_EVENT_DELETED);
    int64_t lasted = env_now_ns(t->w->env) - from;
    TRUE(lasted > timeout - t->w->tick_ns);     /* not before its time, */
    TRUE(lasted < timeout + 4 * t->w->tick_ns); /* and soon after */
}

static void session_left_expires(struct zs *t)
{
    struct zs_session *b = zs_open(t, NULL);
    struct zs_session *a = zs_open(t, &(struct zs_how){.timeout_ns = 3 * t->w->tick_ns});
    OK(zs_create(a, "/e", "", ZK_CREATE_EPHEMERAL));
    struct zs_watch *w = zs_watch(b, "w", ZK_OP_GET_DATA, "/e");
    zs_close(a, false);
    EQ(w->fired, 0);
    OK(zs_exists(b, "/e"));
    TRUE(zs_fires(w));
    ERR(zs_exists(b, "/e"), ZK_ERR_NO_NODE);
}

static void session_timeouts(struct zs *t)
{
    int64_t tick = t->w->tick_ns;
    const int64_t ask[] = {1, 2 * tick, 7 * tick, 1000 * tick};
    const int64_t get[] = {2 * tick, 2 * tick, 7 * tick, 20 * tick};
    for (size_t i = 0; i < ARRAY_LEN(ask); i++) {
        struct zs_raw *r = raw_session(t, 0, ask[i]);
        EQ(r->c.timeout_ms, get[i] / zs_ms);
        EQ(zs_raw_ask(r, &bye, NULL), 0);
    }
    struct zs_session *a = zs_open(t, &(struct zs_how){.timeout_ns = 1000 * tick});
    struct zk_status st;
    zk_status(a->zk, &st);
    EQ(st.timeout_ns, 20 * tick);
}

static void session_is_kept_by_pings(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.timeout_ns = 3 * t->w->tick_ns});
    OK(zs_create(a, "/e", "", ZK_CREATE_EPHEMERAL));
    int64_t id = zs_id(a);
    zs_pass(t, 12 * t->w->tick_ns);
    EQ(a->state, ZK_CONNECTED);
    EQ(zs_id(a), id);
    OK(zs_exists(a, "/e"));
}

static void session_is_kept_by_reads(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, 4 * t->w->tick_ns);
    struct zk_request q = creates("/e", ZK_CREATE_EPHEMERAL), e = asks("/e");
    EQ(zs_raw_ask(r, &q, NULL), 0);
    for (int i = 0; i < 12; i++) {
        zs_pass(t, t->w->tick_ns);
        EQ(zs_raw_ask(r, &e, NULL), 0);
    }
}

static void session_that_is_silent_is_closed(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, 3 * t->w->tick_ns);
    TRUE(zs_raw_closed(r)); /* without a word */
    EQ(r->len, r->taken);
    zs_pass(t, 4 * t->w->tick_ns); /* its server may close it before the leader ends the session */
    struct zs_raw *again = zs_raw(t, 0);
    TRUE(zs_raw_connect(again, r->c.session, r->c.password, 0, zs_long_ns));
    EQ(again->c.session, 0);
    EQ(again->c.timeout_ms, 0);
    TRUE(zs_raw_closed(again));
}

static void session_is_taken_up_again(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, 20 * t->w->tick_ns);
    struct zk_request q = creates("/e", ZK_CREATE_EPHEMERAL), e = asks("/e");
    struct zk_reply a;
    EQ(zs_raw_ask(r, &q, &a), 0);
    zs_raw_hangup(r);
    struct zs_raw *again = zs_raw(t, 0);
    TRUE(zs_raw_connect(again, r->c.session, r->c.password, a.zxid, 20 * t->w->tick_ns));
    EQ(again->c.session, r->c.session);
    TRUE(!memcmp(again->c.password, r->c.password, ZK_PASSWORD));
    EQ(again->c.timeout_ms, r->c.timeout_ms);
    EQ(zs_raw_ask(again, &e, &a), 0);
    EQ(a.stat.owner, r->c.session);
}

static void session_with_another_password(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, 20 * t->w->tick_ns);
    uint8_t wrong[ZK_PASSWORD];
    memcpy(wrong, r->c.password, sizeof wrong);
    wrong[3] ^= 1;
    struct zs_raw *thief = zs_raw(t, 0);
    TRUE(zs_raw_connect(thief, r->c.session, wrong, 0, zs_long_ns));
    EQ(thief->c.session, 0);
    EQ(thief->c.timeout_ms, 0);
    TRUE(zs_raw_closed(thief));
    struct zs_raw *owner = zs_raw(t, 0); /* it is still there for who knows it */
    TRUE(zs_raw_connect(owner, r->c.session, r->c.password, 0, zs_long_ns));
    EQ(owner->c.session, r->c.session);
}

static void session_that_never_was(struct zs *t)
{
    static const uint8_t nothing[ZK_PASSWORD];
    struct zs_raw *r = zs_raw(t, 0);
    TRUE(zs_raw_connect(r, 0x1234567890, nothing, 0, zs_long_ns));
    EQ(r->c.session, 0);
    EQ(r->c.timeout_ms, 0);
    TRUE(zs_raw_closed(r));
}

static void session_that_was_closed(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, zs_long_ns);
    struct zk_reply a;
    EQ(zs_raw_ask(r, &bye, &a), 0);
    TRUE(zs_raw_closed(r));
    EQ(r->len, r->taken);
    struct zs_raw *again = zs_raw(t, 0);
    TRUE(zs_raw_connect(again, r->c.session, r->c.password, 0, zs_long_ns));
    EQ(again->c.session, 0);
}

static void session_has_one_connection(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, zs_long_ns);
    struct zs_raw *again = zs_raw(t, 0);
    TRUE(zs_raw_connect(again, r->c.session, r->c.password, 0, zs_long_ns));
    EQ(again->c.session, r->c.session);
    TRUE(zs_raw_closed(r)); /* the older one */
    EQ(zs_raw_ask(again, &ping, NULL), 0);
}

static void client_ahead_of_its_server(struct zs *t)
{
    struct zs_raw *r = zs_raw(t, 0);
    TRUE(!zs_raw_connect(r, 0, NULL, INT64_MAX, zs_long_ns));
    TRUE(r->is_closed);
    EQ(r->len, 0); /* closed without a word */
}

static void session_of_an_old_client(struct zs *t)
{
    const struct zk_connect q = {
        .timeout_ms = 30000, .password_len = ZK_PASSWORD, .is_old = true}; /* no readOnly */
    uint8_t b[64];
    struct wbuf w = wbuf_make(b, sizeof b);
    struct zk_reply a;
    struct zs_raw *r = zs_raw(t, 0);
    zk_proto_connect_put(&w, &q);
    zs_raw_bytes(r, w.p, (uint32_t)w.len);
    for (int i = 0; i < 1000 && r->len < 40; i++)
        zs_pass(t, 10 * zs_ms);
    EQ(r->len, 4 + 36); /* nor in the answer */
    r->taken = r->len;
    EQ(zs_raw_ask(r, &ping, &a), 0);
}

static void closing_waits_its_turn(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, zs_long_ns);
    struct zk_request q = creates("/a", 0), e = asks("/a");
    struct zk_reply a;
    zs_raw_send(r, &q);
    zs_raw_send(r, &e);
    zs_raw_send(r, &bye);
    TRUE(zs_raw_next(r, ZK_OP_CREATE, &a) && a.xid == 1 && !a.err);
    TRUE(zs_raw_next(r, ZK_OP_EXISTS, &a) && a.xid == 2 && !a.err);
    TRUE(zs_raw_next(r, ZK_OP_CLOSE_SESSION, &a) && a.xid == 3 && !a.err);
    TRUE(zs_raw_closed(r));
}

static void auth_that_is_refused(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, zs_long_ns);
    const struct zk_request q = {.xid = ZK_XID_AUTH,
                                 .op = ZK_OP_AUTH,
                                 .scheme = "nothing",
                                 .scheme_len = 7,
                                 .data = "x",
                                 .data_len = 1};
    EQ(zs_raw_ask(r, &q, NULL), ZK_ERR_AUTH_FAILED);
    TRUE(zs_raw_closed(r));
    struct zs_session *a = zs_begin(t, NULL);
    EQ(zk_auth(a->zk, "nothing", "x", 1), 0);
    t->w->until(t->w, &a->is_over, zs_long_ns);
    EQ(a->state, ZK_AUTH_FAILED);
}

/* ---- several servers ---- */

static void sync_shows_what_was_written(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, &(struct zs_how){.server = 1});
    OK(zs_create(a, "/a", "", 0));
    for (int i = 0; i < 20; i++) {
        OK(zs_set(a, "/a", "x", i));
        OK(zs_sync(b));
        EQ(zs_exists(b, "/a")->stat.version, i + 1);
    }
}

static void writes_are_in_one_order(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, &(struct zs_how){.server = 1});
    int64_t last = 0;
    for (int i = 0; i < 10; i++) {
        struct zs_answer *c = zs_create(i % 2 ? a : b, "/s", "", ZK_CREATE_SEQUENTIAL);
        OK(c);
        TRUE(c->stat.czxid > last);
        EQ(c->path[11], '0' + i);
        last = c->stat.czxid;
    }
}

static void watch_at_another_server(struct zs *t)
{
    struct zs_session *a = zs_open(t, NULL), *b = zs_open(t, &(struct zs_how){.server = 1});
    struct zs_watch *w = zs_watch(b, "w", ZK_OP_EXISTS, "/a");
    OK(zs_create(a, "/a", "", 0));
    TRUE(zs_fires(w));
    OK(zs_exists(b, "/a")); /* who has heard of it sees it */
}

static void session_moves(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 0, zs_long_ns);
    struct zk_request e = creates("/e", ZK_CREATE_EPHEMERAL), f = creates("/f", 0), q = asks("/e");
    struct zk_reply a;
    EQ(zs_raw_ask(r, &e, &a), 0);
    struct zs_raw *there = zs_raw(t, 1);
    TRUE(zs_raw_connect(there, r->c.session, r->c.password, 0, zs_long_ns));
    EQ(there->c.session, r->c.session);
    TRUE(!r->is_closed); /* nobody has told the old server */
    zs_raw_send(r, &f);
    TRUE(!zs_raw_next(r, ZK_OP_CREATE, &a)); /* but it may not write there any more */
    TRUE(zs_raw_closed(r));
    const struct zk_request sync = {.op = ZK_OP_SYNC, .path = "/e"};
    EQ(zs_raw_ask(there, &sync, NULL), 0);
    EQ(zs_raw_ask(there, &q, NULL), 0);
    q.path = "/f";
    EQ(zs_raw_ask(there, &q, NULL), ZK_ERR_NO_NODE);
    EQ(zs_raw_ask(there, &f, NULL), 0);
}

static void session_ends_at_another_server(struct zs *t)
{
    struct zs_raw *r = raw_session(t, 1, 3 * t->w->tick_ns);
    struct zk_request q = creates("/e", ZK_CREATE_EPHEMERAL);
    struct zk_reply a;
    EQ(zs_raw_ask(r, &q, &a), 0);
    TRUE(zs_raw_closed(r));
    zs_pass(t, 4 * t->w->tick_ns);
    struct zs_session *b = zs_open(t, &(struct zs_how){.server = 0});
    zs_settle(b);
    ERR(zs_exists(b, "/e"), ZK_ERR_NO_NODE);
}

static void any_server_will_do(struct zs *t)
{
    struct zs_session *a = zs_open(t, &(struct zs_how){.is_all = true});
    OK(zs_create(a, "/a", "", 0));
    OK(zs_exists(a, "/a"));
}

const struct zs_case zs_sessions[] = {
    {"session_ids_differ", session_ids_differ, 0},
    {"ephemeral_has_an_owner", ephemeral_has_an_owner, 0},
    {"ephemeral_goes_with_its_session", ephemeral_goes_with_its_session, 0},
    {"ephemeral_outlives_its_connection", ephemeral_outlives_its_connection, 0},
    {"session_left_expires", session_left_expires, 0},
    {"session_timeouts", session_timeouts, 0},
    {"session_is_kept_by_pings", session_is_kept_by_pings, 0},
    {"session_is_kept_by_reads", session_is_kept_by_reads, 0},
    {"session_that_is_silent_is_closed", session_that_is_silent_is_closed, 0},
    {"session_is_taken_up_again", session_is_taken_up_again, 0},
    {"session_with_another_password", session_with_another_password, 0},
    {"session_that_never_was", session_that_never_was, 0},
    {"session_that_was_closed", session_that_was_closed, 0},
    {"session_has_one_connection", session_has_one_connection, 0},
    {"client_ahead_of_its_server", client_ahead_of_its_server, 0},
    {"session_of_an_old_client", session_of_an_old_client, 0},
    {"closing_waits_its_turn", closing_waits_its_turn, 0},
    {"auth_that_is_refused", auth_that_is_refused, 0},
    {"sync_shows_what_was_written", sync_shows_what_was_written, 2},
    {"writes_are_in_one_order", writes_are_in_one_order, 2},
    {"watch_at_another_server", watch_at_another_server, 2},
    {"session_moves", session_moves, 2},
    {"session_ends_at_another_server", session_ends_at_another_server, 2},
    {"any_server_will_do", any_server_will_do, 2},
    {NULL, NULL, 0}};
