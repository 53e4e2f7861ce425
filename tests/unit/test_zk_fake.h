/* tests/unit/test_zk_fake.h - ZooKeeper servers by script, in a simulated world, and a client.
 *
 * Each of the nodes z1, z2, z3 listens on port 2181.  What comes is written down in one list of
 * lines, in order, "z1 connect zxid=0 session=0", "z1 getData /a watch"; what is answered is up to
 * the test: by itself (every request succeeds), or held until fake_answer() says how.  There is no
 * tree behind it. */
#ifndef TESTS_UNIT_TEST_ZK_FAKE_H
#define TESTS_UNIT_TEST_ZK_FAKE_H

#include "core/fmt.h"
#include "journal/zk_impl.h"
#include "sim/sim.h"
#include "tests/unit/unit.h"

#define MS  1000000LL
#define SEC 1000000000LL

enum { FAKE_SERVERS = 3, FAKE_CONNS = 512, FAKE_LINES = 4096, FAKE_HELD = 512, FAKE_BUF = 3 << 20 };

enum fake_mode {
    FAKE_SERVES,
    FAKE_CLOSES, /* at the ConnectRequest, as during an election */
    FAKE_MUTE,   /* says nothing from then on */
    FAKE_EXPIRES,
    FAKE_GARBAGE, /* in place of a ConnectResponse */
};

struct fake_conn {
    struct env_peer peer;
    uint32_t server;
    bool is_open, has_greeted;
    uint8_t *in;
    uint32_t in_len;
};

struct fake_held {
    struct fake_conn *conn;
    struct zk_request q; /* pointers are void */
    char path[1100];
};

static struct {
    struct mem m;
    struct sim *s;
    struct sim_node *node[FAKE_SERVERS], *client_node;
    struct env *env[FAKE_SERVERS], *client_env;
    struct env_acceptor acceptor[FAKE_SERVERS];
    enum fake_mode mode[FAKE_SERVERS];
    bool holds, is_mute; /* no answer by itself; pings, too */
    bool holds_watches;  /* and none to setWatches */
    int32_t auth_err;
    int64_t session, zxid, server_zxid;
    int32_t timeout_ms;
    struct fake_conn conn[FAKE_CONNS];
    uint32_t n_conns;
    char *line[FAKE_LINES];
    uint32_t n_lines, pings;
    struct fake_held held[FAKE_HELD];
    uint32_t n_held, n_given;
    uint8_t *out;
    char log[65536];
    uint32_t log_len;
    int64_t last_ping_ns;
} f;

static inline void fake_line(const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    fmt_into_v(text, sizeof text, format, args);
    va_end(args);
    CU_ASSERT_FATAL(f.n_lines < FAKE_LINES);
    f.line[f.n_lines++] = strdup(text);
}

/* how many lines have this in them */
static inline uint32_t fake_count(const char *part)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f.n_lines; i++)
        n += strstr(f.line[i], part) != NULL;
    return n;
}

/* the first line from `from` on that has it; UINT32_MAX: none */
static inline uint32_t fake_find(const char *part, uint32_t from)
{
    for (uint32_t i = from; i < f.n_lines; i++)
        if (strstr(f.line[i], part))
            return i;
    return UINT32_MAX;
}

static inline void fake_show(void)
{
    for (uint32_t i = 0; i < f.n_lines; i++)
        printf("    %s\n", f.line[i]);
    printf("%s", f.log);
}

static inline void fake_bytes(struct fake_conn *c, const void *p, size_t n)
{
    for (size_t at = 0; at < n && c->is_open;) {
        size_t k = base_min_u64(n - at, ENV_FRAME_MAX);
        struct env_iov iov = {(const uint8_t *)p + at, k};
        env_send(c->peer.conn, 0, &iov, 1);
        at += k;
    }
}

static inline void fake_reply(struct fake_conn *c, const struct zk_reply *a)
{
    struct wbuf w = wbuf_make(f.out, FAKE_BUF);
    zk_proto_reply_put(&w, a);
    CU_ASSERT_FATAL(!w.bad);
    fake_bytes(c, w.p, w.len);
}

static inline void fake_hang_up(struct fake_conn *c)
{
    if (c->is_open)
        env_hangup(c->peer.conn);
    c->is_open = false;
}

/* the connection that was opened last and is open still */
static inline struct fake_conn *fake_conn(void)
{
    for (uint32_t i = f.n_conns; i-- > 0;)
        if (f.conn[i].is_open && f.conn[i].has_greeted)
            return &f.conn[i];
    return NULL;
}

static inline uint32_t fake_open_conns(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f.n_conns; i++)
        n += f.conn[i].is_open;
    return n;
}

static inline void fake_event(enum zk_event event, const char *path)
{
    fake_reply(fake_conn(), &(struct zk_reply){.xid = ZK_XID_EVENT,
                                               .zxid = -1,
                                               .event = event,
                                               .keeper = ZK_KEEPER_CONNECTED,
                                               .path = path,
                                               .path_len = (uint32_t)strlen(path)});
}

/* the answer to a request: what is right for it, with the error, or success */
static inline void fake_answer_to(struct fake_conn *c, const struct zk_request *q, const char *path,
                                  int32_t err, struct zk_list results)
{
    static uint8_t kids[64];
    struct wbuf w = wbuf_make(kids, sizeof kids);
    uint32_t n = 0;
    zk_proto_text_put(&w, &n, "kid", 3);
    zk_proto_text_put(&w, &n, "s0000000001", 11);
    struct zk_reply a = {.xid = q->xid,
                         .op = q->op,
                         .zxid = f.zxid,
                         .err = err,
                         .path = path,
                         .path_len = (uint32_t)strlen(path),
                         .data = "value",
                         .data_len = 5,
                         .stat = {.version = 3, .mzxid = 9},
                         .acl = zk_proto_acl_open,
                         .children = {w.p, (uint32_t)w.len, n},
                         .results = results};
    fake_reply(c, &a);
}

/* the results of a multi that succeeds */
static inline struct zk_list fake_results(const struct zk_request *q)
{
    static uint8_t area[65536];
    struct wbuf w = wbuf_make(area, sizeof area);
    struct zk_list l = q->ops;
    struct zk_request op;
    uint32_t n = 0;
    while (zk_proto_op_next(&l, &op))
        zk_proto_result_put(
            &w, &n,
            &(struct zk_reply){
                .op = op.op, .path = op.path, .path_len = op.path_len, .stat = {.version = 4}});
    CU_ASSERT_FATAL(!w.bad);
    return (struct zk_list){w.p, (uint32_t)w.len, n};
}

/* the oldest held request is answered so */
static inline void fake_answer(int32_t err)
{
    CU_ASSERT_FATAL(f.n_given < f.n_held);
    struct fake_held *h = &f.held[f.n_given++];
    fake_answer_to(h->conn, &h->q, h->path, err, (struct zk_list){0});
}

static inline void fake_answer_all(void)
{
    while (f.n_given < f.n_held)
        fake_answer(0);
}

static inline void fake_line_watches(const char *at, const struct zk_request *q)
{
    const struct zk_list *const lists[] = {&q->data_watches, &q->exist_watches, &q->child_watches};
    static const char *const kinds[] = {"data", "exist", "child"};
    char text[4000];
    size_t n = 0;
    const char *s;
    uint32_t len;
    for (uint32_t k = 0; k < 3; k++) {
        struct zk_list l = *lists[k];
        while (zk_proto_text_next(&l, &s, &len) && n < sizeof text - 1)
            n += fmt_into(text + n, sizeof text - n, " %s:%.*s", kinds[k],
                          (int)base_min_u64(len, 60), s);
    }
    text[n] = 0;
    fake_line("%s setWatches zxid=%lld n=%u,%u,%u%s", at, (long long)q->zxid, lists[0]->n,
              lists[1]->n, lists[2]->n, text);
}

static inline void fake_request(struct fake_conn *c, const struct zk_request *q)
{
    char at[8];
    fmt_into(at, sizeof at, "z%u", c->server + 1);
    switch (q->op) {
    case ZK_OP_PING:
        f.pings++;
        f.last_ping_ns = sim_now_ns(f.s);
        if (!f.is_mute)
            fake_reply(c, &(struct zk_reply){.xid = ZK_XID_PING, .zxid = f.zxid});
        return;
    case ZK_OP_AUTH:
        fake_line("%s auth %.*s", at, (int)q->scheme_len, q->scheme);
        fake_reply(c, &(struct zk_reply){.xid = ZK_XID_AUTH, .err = f.auth_err});
        return;
    case ZK_OP_SET_WATCHES:
        fake_line_watches(at, q);
        if (!f.holds_watches)
            fake_reply(c, &(struct zk_reply){.xid = ZK_XID_SET_WATCHES, .zxid = f.zxid});
        return;
    case ZK_OP_CLOSE_SESSION:
        fake_line("%s closeSession", at);
        break;
    case ZK_OP_MULTI:
        fake_line("%s multi %u", at, q->ops.n);
        break;
    default:
        fake_line("%s %s %.*s%s", at, zk_proto_op_name(q->op), (int)base_min_u64(q->path_len, 80),
                  q->path ? q->path : "", q->watch ? " watch" : "");
    }
    if (f.is_mute)
        return;
    char path[1100];
    fmt_into(path, sizeof path, "%.*s", (int)q->path_len, q->path ? q->path : "");
    if (f.holds) {
        CU_ASSERT_FATAL(f.n_held < FAKE_HELD);
        f.held[f.n_held].conn = c;
        f.held[f.n_held].q = *q;
        memcpy(f.held[f.n_held++].path, path, sizeof path);
    } else {
        fake_answer_to(c, q, path, 0, q->op == ZK_OP_MULTI ? fake_results(q) : (struct zk_list){0});
    }
}

static inline void fake_connect(struct fake_conn *c, const struct zk_connect *q)
{
    static const uint8_t secret[16] = "PASSWORDPASSWOR";
    fake_line("z%u connect zxid=%lld session=%llx%s", c->server + 1, (long long)q->zxid,
              (unsigned long long)q->session,
              q->session && memcmp(q->password, secret, 16) ? " WRONG PASSWORD" : "");
    struct zk_connected a = {.timeout_ms = f.timeout_ms, .session = f.session, .password_len = 16};
    memcpy(a.password, secret, 16);
    enum fake_mode mode = f.mode[c->server];
    if (mode == FAKE_CLOSES || q->zxid > f.server_zxid) {
        fake_hang_up(c);
        return;
    }
    if (mode == FAKE_MUTE)
        return;
    if (mode == FAKE_GARBAGE) {
        fake_bytes(c, "\0\0\0\4what", 8);
        return;
    }
    if (mode == FAKE_EXPIRES)
        a = (struct zk_connected){.password_len = 16};
    c->has_greeted = true;
    struct wbuf w = wbuf_make(f.out, FAKE_BUF);
    zk_proto_connected_put(&w, &a);
    fake_bytes(c, w.p, w.len);
    if (mode == FAKE_EXPIRES)
        fake_hang_up(c);
}

static inline void fake_packet(struct fake_conn *c, const uint8_t *p, uint32_t n)
{
    struct zk_connect k;
    struct zk_request q;
    if (!c->has_greeted) {
        CU_ASSERT_EQUAL_FATAL(zk_proto_connect_get(p, n, &k), 0);
        fake_connect(c, &k);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(zk_proto_request_get(p, n, &q), 0);
    fake_request(c, &q);
}

static inline void fake_on_bytes(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct fake_conn *c = container_of(p, struct fake_conn, peer);
    (void)type;
    if (!c->in)
        c->in = malloc(FAKE_BUF);
    CU_ASSERT_FATAL(c->in_len + n <= FAKE_BUF);
    memcpy(c->in + c->in_len, b, n);
    c->in_len += n;
    int64_t k;
    while (c->is_open && (k = zk_proto_frame(c->in, c->in_len, ZK_FRAME_MAX)) > 0) {
        fake_packet(c, c->in + 4, (uint32_t)k - 4);
        c->in_len -= (uint32_t)k;
        memmove(c->in, c->in + k, c->in_len);
    }
}

static inline void fake_on_close(struct env_peer *p, int why)
{
    (void)why;
    container_of(p, struct fake_conn, peer)->is_open = false;
}

static inline struct env_peer *fake_on_open(struct env_acceptor *a, const char *from)
{
    (void)from;
    CU_ASSERT_FATAL(f.n_conns < FAKE_CONNS);
    struct fake_conn *c = &f.conn[f.n_conns++];
    c->server = (uint32_t)(a - f.acceptor);
    c->is_open = true;
    c->peer.on_frame = fake_on_bytes;
    c->peer.on_close = fake_on_close;
    return &c->peer;
}

static inline void fake_on_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                               const char *line)
{
    (void)ctx, (void)n, (void)level;
    f.log_len += (uint32_t)fmt_into(f.log + f.log_len, sizeof f.log - f.log_len, "%lld ms %s\n",
                                    (long long)(at_ns / MS), line);
}

static inline void fake_start_server(uint32_t i)
{
    struct env_op op = {0};
    char addr[16];
    fmt_into(addr, sizeof addr, "z%u:2181", i + 1);
    f.env[i] = sim_node_up(f.node[i]);
    f.acceptor[i] = (struct env_acceptor){.on_open = fake_on_open, .is_raw = true};
    env_listen(f.env[i], addr, &f.acceptor[i], &op);
    CU_ASSERT_EQUAL_FATAL(sim_run_op(f.s, &op, SEC), 0);
}

static inline void fake_stop_server(uint32_t i)
{
    sim_node_crash(f.node[i]);
    for (uint32_t k = 0; k < f.n_conns; k++)
        if (f.conn[k].server == i)
            f.conn[k].is_open = false;
}

static inline void fake_world_open(uint64_t seed)
{
    memset(&f, 0, sizeof f);
    unit_mem(&f.m, 512 << 20);
    f.out = malloc(FAKE_BUF);
    f.session = 0x100000000001;
    f.timeout_ms = 4000;
    f.zxid = 100;
    f.server_zxid = INT64_MAX;
    struct sim_config cfg = sim_config_quiet(seed);
    cfg.on_log = fake_on_log;
    f.s = sim_open(&f.m, &cfg);
    for (uint32_t i = 0; i < FAKE_SERVERS; i++) {
        char name[4] = {'z', (char)('1' + i), 0};
        f.node[i] = sim_node_add(f.s, name);
        fake_start_server(i);
    }
    f.client_node = sim_node_add(f.s, "c");
    f.client_env = sim_node_up(f.client_node);
}

static inline void fake_world_close(void)
{
    sim_close(f.s);
    mem_drop(&f.m);
    for (uint32_t i = 0; i < f.n_lines; i++)
        free(f.line[i]);
    for (uint32_t i = 0; i < f.n_conns; i++)
        free(f.conn[i].in);
    free(f.out);
}

static inline void fake_run_ms(int64_t ms)
{
    sim_run_until(f.s, sim_now_ns(f.s) + ms * MS);
}

/* --- the client and its user --- */

/* a call that remembers how it ended, and in which order with others */
struct probe {
    struct zk_call call;
    unsigned done, order;
    int64_t at_ns;
    char path[64], data[16];
    uint32_t kids;
    struct zk_call *then; /* is submitted in done */
};

struct look {
    struct zk_watch watch;
    unsigned fired, order;
    enum zk_event event;
    struct zk_watch *drops; /* another one that it drops */
};

static struct zk *z;
static struct zk_host host;
static unsigned turn; /* counts what the client said */
static enum zk_state states[256];
static int whys[256];
static unsigned n_states, state_order;
static struct env_op *stops_at_loss;

static inline void on_state(struct zk_host *h, enum zk_state s, int why)
{
    (void)h;
    CU_ASSERT_FATAL(n_states < 256);
    states[n_states] = s;
    whys[n_states++] = why;
    state_order = ++turn;
    if (s == ZK_SUSPENDED && stops_at_loss)
        zk_stop(z, true, stops_at_loss);
}

static inline void on_done(struct env_op *op)
{
    struct probe *p = container_of(op, struct probe, call.op);
    const struct zk_reply *a = &p->call.reply;
    p->done++;
    p->order = ++turn;
    p->at_ns = sim_now_ns(f.s);
    fmt_into(p->path, sizeof p->path, "%.*s", (int)a->path_len, a->path ? a->path : "");
    fmt_into(p->data, sizeof p->data, "%.*s", (int)base_min_u64(a->data_len, 15),
             a->data ? (const char *)a->data : "");
    p->kids = a->children.n;
    if (p->then)
        zk_submit(z, p->then);
}

static inline void on_fired(struct zk_watch *w, enum zk_event event)
{
    struct look *l = container_of(w, struct look, watch);
    CU_ASSERT_EQUAL(w->state, ZK_WATCH_IDLE);
    l->fired++;
    l->order = ++turn;
    l->event = event;
    if (l->drops)
        zk_unwatch(z, l->drops);
}

static inline struct zk_config config(const char *connect)
{
    struct zk_config c = zk_config_default();
    c.connect = connect;
    return c;
}

static inline void open_with(const struct zk_config *c)
{
    char why[256];
    host.state = on_state;
    n_states = turn = 0;
    stops_at_loss = NULL;
    CU_ASSERT_EQUAL_FATAL(
        zk_open(f.client_env, sim_mem(f.client_node), c, &host, &z, why, sizeof why), 0);
}

static inline void begin(const char *connect)
{
    struct zk_config c = config(connect);
    fake_world_open(1);
    open_with(&c);
}

static inline void begin_connected(const char *connect)
{
    begin(connect);
    fake_run_ms(500);
    CU_ASSERT_FATAL(n_states == 1 && states[0] == ZK_CONNECTED);
}

static inline int64_t stop(bool closes)
{
    struct env_op op = {0};
    zk_stop(z, closes, &op);
    return sim_run_op(f.s, &op, 20 * SEC);
}

static inline void end(void)
{
    CU_ASSERT_EQUAL(stop(false), 0);
    CU_ASSERT_EQUAL(states[n_states - 1], ZK_CLOSED);
    fake_world_close();
}

static inline void ask(struct probe *p, int32_t what, const char *path)
{
    struct zk_call *then = p->then ? p->then : NULL;
    struct zk_watch *w = p->call.watch;
    int64_t deadline_ns = p->call.deadline_ns;
    memset(p, 0, sizeof *p);
    p->then = then;
    p->call = (struct zk_call){.op.done = on_done,
                               .what = what,
                               .path = path,
                               .data = "d",
                               .data_len = 1,
                               .version = -1,
                               .watch = w,
                               .deadline_ns = deadline_ns};
    zk_submit(z, &p->call);
}

static inline void ask_watched(struct probe *p, int32_t what, const char *path, struct look *l)
{
    memset(p, 0, sizeof *p);
    l->watch.fired = on_fired;
    p->call.watch = &l->watch;
    ask(p, what, path);
}

static inline void ask_until(struct probe *p, int32_t what, const char *path, int64_t ms)
{
    memset(p, 0, sizeof *p);
    p->call.deadline_ns = env_now_ns(f.client_env) + ms * MS;
    ask(p, what, path);
}

static inline bool is_unknown(const struct probe *p, int ret)
{
    return p->done == 1 && p->call.op.ret == ret && p->call.is_sent && !p->call.is_answered;
}

static inline bool is_unsent(const struct probe *p, int ret)
{
    return p->done == 1 && p->call.op.ret == ret && !p->call.is_sent && !p->call.is_answered;
}

static inline bool is_ok(const struct probe *p)
{
    return p->done == 1 && !p->call.op.ret && p->call.is_answered;
}

static inline struct zk_status status(void)
{
    struct zk_status s;
    zk_status(z, &s);
    return s;
}

#endif
