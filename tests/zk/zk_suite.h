/* tests/zk/zk_suite.h - the conformance suite of ZooKeeper: one set of cases for sim_zk
 * (sim/lab_zk.h, by tests/unit/test_lab_zk.c) and for real servers (tests/zk/zk_suite_main.c), with
 * the same expectations.
 *
 * A case is a function that calls and waits: whoever runs it drives the world while it waits, so it
 * reads from top to bottom.
 *
 *     static void create_twice(struct zs *t)
 *     {
 *         struct zs_session *a = zs_open(t, NULL);     // a session in a directory of the case's
 * own OK(zs_create(a, "/x", "1", 0)); ERR(zs_create(a, "/x", "2", 0), ZK_ERR_NODE_EXISTS);
 *     }
 *
 * What a session hears is also written down in order (said): answers to calls that have a label,
 * and watches by the names they were given: "w:data set:0 get:0".  A raw connection (zs_raw) sends
 * what the client never would.
 *
 * All sessions of a case are at one server unless it says otherwise, so no read is stale.  Nothing
 * is cleaned up behind a case: its directory has a name of its own. */
#ifndef TESTS_ZK_ZK_SUITE_H
#define TESTS_ZK_ZK_SUITE_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/zk_client.h"

enum { ZS_SERVERS = 5, ZS_ANSWERS = 64, ZS_OPS = 16, ZS_DATA = 256, ZS_SAID = 2048 };

static const int64_t zs_ms = 1000000, zs_long_ns = 30LL * 1000000000;

struct zs_world {
    struct env *env;
    struct mem *mem;
    uint32_t n_servers, first; /* first: the server where cases are */
    char server[ZS_SERVERS][ENV_ADDR_MAX];
    int64_t tick_ns;
    uint64_t nonce; /* in the names of directories */
    /* runs the world until *flag, or for so long; flag NULL: for so long */
    bool (*until)(struct zs_world *w, const bool *flag, int64_t ns);
};

struct zs_answer {
    bool done;
    int64_t ret;
    int32_t err;
    bool is_sent, is_answered;
    int64_t zxid;
    struct zk_stat stat;
    char path[1024];
    uint32_t path_len;
    bool has_data;
    uint32_t data_len;
    uint64_t data_sum;  /* of all of it */
    char data[ZS_DATA]; /* its beginning, ended by NUL */
    uint32_t n_names;
    char names[4096]; /* of children, or an ACL as "perms scheme id": sorted, with commas */
    uint32_t n_ops, fault;
    struct {
        int32_t op, err;
        char path[128];
        struct zk_stat stat;
    } of[ZS_OPS]; /* of a MULTI */
};

struct zs_call { /* under way */
    struct zk_call c;
    struct zk_multi ops[ZS_OPS];
    struct zs_session *s;
    struct zs_answer *a;
    char label[16], path[1024];
    bool busy;
};

struct zs_watch {
    struct zk_watch w;
    struct zs_session *s;
    char name[16], path[1024];
    uint32_t fired;
    enum zk_event event; /* the last */
};

enum { ZS_SESSIONS = 6, ZS_CALLS = 128, ZS_WATCHES = 16, ZS_RAWS = 4 };

struct zs_session {
    struct zs *t;
    struct zk_host host;
    struct zk *zk;
    enum zk_state state;
    int why;
    bool is_connected, is_over, is_stopped;
    struct env_op stopping;
    char connect[512], said[ZS_SAID];
};

struct zs_raw {
    struct zs *t;
    struct env_peer peer;
    struct env_op connecting;
    bool is_asked, is_open, is_closed, has_some;
    uint8_t *in;
    uint32_t len, taken;
    struct zk_connected c; /* as the server answered the ConnectRequest */
    uint8_t *out;
    int32_t xid;
};

struct zs {
    struct zs_world *w;
    const char *name;
    char dir[128]; /* of the case */
    uint32_t failed, n_answers;
    bool skipped;
    struct zs_session session[ZS_SESSIONS];
    struct zs_call call[ZS_CALLS];
    struct zs_watch watch[ZS_WATCHES];
    struct zs_raw raw[ZS_RAWS];
    struct zs_answer answer[ZS_ANSWERS]; /* in turns: the last ones */
};

struct zs_case {
    const char *name;
    void (*fn)(struct zs *t);
    uint32_t servers; /* needs so many; 0: one */
};

/* all of them, in the order of the files */
extern const struct zs_case *const zs_lists[];
const struct zs_case *zs_case_at(uint32_t i); /* NULL behind the last */

/* runs it; ret: what failed in it, each with a line on stderr; t is large: the caller's memory */
uint32_t zs_run(struct zs *t, struct zs_world *w, const struct zs_case *c);

/* ---- expectations ---- */

bool zs_check(struct zs *t, bool ok, const char *file, int line, const char *format, ...)
    PRINTF_LIKE(5, 6);

#define TRUE(cond) zs_check(t, cond, __FILE__, __LINE__, "%s", #cond)
#define EQ(a, b)                                                                                 \
    do {                                                                                         \
        long long eq_a = (long long)(a), eq_b = (long long)(b);                                  \
        zs_check(t, eq_a == eq_b, __FILE__, __LINE__, "%s is %lld (0x%llx), not %lld", #a, eq_a, \
                 (unsigned long long)eq_a, eq_b);                                                \
    } while (0)
#define STR(a, b)                                                                                 \
    do {                                                                                          \
        const char *str_a = (a);                                                                  \
        zs_check(t, !strcmp(str_a, b), __FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, str_a, \
                 b);                                                                              \
    } while (0)
#define ERR(answer, e)                                                           \
    do {                                                                         \
        const struct zs_answer *err_a = (answer);                                \
        zs_check(t, err_a->is_answered && err_a->err == (e), __FILE__, __LINE__, \
                 "%s: %s (%s), not %s", #answer, zk_proto_err_name(err_a->err),  \
                 err_name((int)err_a->ret), zk_proto_err_name(e));               \
    } while (0)
#define OK(answer) ERR(answer, ZK_ERR_OK)

bool zs_same_stat(const struct zk_stat *a, const struct zk_stat *b);

/* ---- sessions ---- */

struct zs_how {
    int64_t timeout_ns;   /* 0: 20 ticks */
    uint32_t server;      /* the how-many-th from world.first on */
    bool is_all;          /* any server of the ensemble */
    const char *root;     /* NULL: the case's directory; "": none */
    const char *password; /* "user:password" of scheme digest */
};

struct zs_session *zs_open(struct zs *t, const struct zs_how *how);
/* the same, and does not wait until it is connected */
struct zs_session *zs_begin(struct zs *t, const struct zs_how *how);
int64_t zs_id(const struct zs_session *s);
/* with its session, or leaves that to expire */
void zs_close(struct zs_session *s, bool closes_session);
void zs_pass(struct zs *t, int64_t ns);

/* ---- calls: each waits for its answer ---- */

struct zs_answer *zs_create(struct zs_session *s, const char *path, const char *data,
                            int32_t flags);
struct zs_answer *zs_create_acl(struct zs_session *s, const char *path, struct zk_list acl);
struct zs_answer *zs_delete(struct zs_session *s, const char *path, int32_t version);
struct zs_answer *zs_exists(struct zs_session *s, const char *path);
struct zs_answer *zs_get(struct zs_session *s, const char *path);
struct zs_answer *zs_set(struct zs_session *s, const char *path, const char *data, int32_t version);
struct zs_answer *zs_children(struct zs_session *s, const char *path);
struct zs_answer *zs_get_acl(struct zs_session *s, const char *path);
struct zs_answer *zs_set_acl(struct zs_session *s, const char *path, struct zk_list acl,
                             int32_t version);
struct zs_answer *zs_sync(struct zs_session *s);
struct zs_answer *zs_multi(struct zs_session *s, const struct zk_multi *ops, uint32_t n);
/* any call: c as for zk_submit; without a deadline it has one */
struct zs_answer *zs_do(struct zs_session *s, const struct zk_call *c);
/* the same, and does not wait; label, if not NULL, goes into what is said */
struct zs_answer *zs_go(struct zs_session *s, const char *label, const struct zk_call *c);
void zs_wait(struct zs *t, const struct zs_answer *a);

/* a watch with a call: EXISTS, GET_DATA, GET_CHILDREN2 */
struct zs_watch *zs_watch(struct zs_session *s, const char *name, int32_t what, const char *path);
/* until it has fired; false: it has not for long */
bool zs_fires(struct zs_watch *w);
/* what was done until now has been heard of: a call to the server and back */
void zs_settle(struct zs_session *s);

/* An ACL of up to 8 entries, as a list; valid until the next but seven: perms, scheme, id, ..., 0
 */
struct zk_list zs_acl(int32_t perms, ...);

#define MULTI_CREATE(p, d, f)                                                                    \
    {                                                                                            \
        .what = ZK_OP_CREATE2, .path = (p), .data = (d), .data_len = sizeof(d) - 1, .flags = (f) \
    }
#define MULTI_SET(p, d, v)                                                           \
    {                                                                                \
        .what = ZK_OP_SET_DATA, .path = (p), .data = (d), .data_len = sizeof(d) - 1, \
        .version = (v)                                                               \
    }
#define MULTI_DELETE(p, v)                                \
    {                                                     \
        .what = ZK_OP_DELETE, .path = (p), .version = (v) \
    }
#define MULTI_CHECK(p, v)                                \
    {                                                    \
        .what = ZK_OP_CHECK, .path = (p), .version = (v) \
    }

/* ---- raw connections ---- */

/* connected to the server as how says, without a ConnectRequest yet */
struct zs_raw *zs_raw(struct zs *t, uint32_t server);
/* asks for a session and waits for the answer (in c); false: closed without one.  session 0: a new
 * one. */
bool zs_raw_connect(struct zs_raw *r, int64_t session, const uint8_t *password, int64_t zxid,
                    int64_t timeout_ns);
void zs_raw_bytes(struct zs_raw *r, const void *b, uint32_t n);
/* path and xid are put in: xid 0: the next one; path as in the case's directory.  ret: the xid */
int32_t zs_raw_send(struct zs_raw *r, const struct zk_request *q);
/* the next packet, read as an answer to op, or an event; false: closed, or nothing for long */
bool zs_raw_next(struct zs_raw *r, int32_t op, struct zk_reply *ret_a);
/* both; err of the answer, or 1000 if there was none */
int32_t zs_raw_ask(struct zs_raw *r, const struct zk_request *q, struct zk_reply *ret_a);
/* the other end has closed; false: not for long */
bool zs_raw_closed(struct zs_raw *r);
void zs_raw_hangup(struct zs_raw *r);
/* a path in the case's directory; valid until the next but seven */
const char *zs_path(struct zs *t, const char *path);

#endif
