/* tests/zk/zk_suite.c - see tests/zk/zk_suite.h: what cases are made of. */
#include "tests/zk/zk_suite.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/fmt.h"

/* ---- expectations ---- */

bool zs_check(struct zs *t, bool ok, const char *file, int line, const char *format, ...)
{
    va_list args;
    if (ok)
        return true;
    t->failed++;
    fprintf(stderr, "\n  %s: %s:%d: ", t->name, file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return false;
}

bool zs_same_stat(const struct zk_stat *a, const struct zk_stat *b)
{
    return a->czxid == b->czxid && a->mzxid == b->mzxid && a->ctime_ms == b->ctime_ms &&
           a->mtime_ms == b->mtime_ms && a->version == b->version && a->cversion == b->cversion &&
           a->aversion == b->aversion && a->owner == b->owner && a->data_len == b->data_len &&
           a->children == b->children && a->pzxid == b->pzxid;
}

static void say(struct zs_session *s, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct zs_session *s, const char *format, ...)
{
    va_list args;
    size_t at = strlen(s->said);
    if (at && at + 1 < sizeof s->said)
        s->said[at++] = ' ';
    va_start(args, format);
    fmt_into_v(s->said + at, sizeof s->said - at, format, args);
    va_end(args);
}

void zs_pass(struct zs *t, int64_t ns)
{
    t->w->until(t->w, NULL, ns);
}

const char *zs_path(struct zs *t, const char *path)
{
    static char text[8][1024];
    static uint32_t at;
    char *to = text[at++ % 8];
    fmt_into(to, sizeof text[0], "%s%s", t->dir, strcmp(path, "/") != 0 ? path : "");
    return to;
}

/* ---- sessions ---- */

static void session_state(struct zk_host *h, enum zk_state state, int why)
{
    struct zs_session *s = container_of(h, struct zs_session, host);
    s->state = state;
    s->why = why;
    s->is_connected = state == ZK_CONNECTED;
    s->is_over = state == ZK_EXPIRED || state == ZK_AUTH_FAILED || state == ZK_CLOSED;
}

struct zs_session *zs_begin(struct zs *t, const struct zs_how *how)
{
    static const struct zs_how plain = {0};
    struct zs_session *s = t->session;
    struct zs_world *w = t->w;
    struct zk_config cfg = zk_config_default();
    char why[200] = "";
    size_t at = 0;
    how = how ? how : &plain;
    while (s->t)
        s++;
    ASSERT(s < t->session + ZS_SESSIONS);
    *s = (struct zs_session){.t = t, .host = {.state = session_state}};
    for (uint32_t i = 0; i < (how->is_all ? w->n_servers : 1); i++)
        at += fmt_into(s->connect + at, sizeof s->connect - at, "%s%s", i ? "," : "",
                       w->server[(w->first + how->server + i) % w->n_servers]);
    fmt_into(s->connect + at, sizeof s->connect - at, "%s", how->root ? how->root : t->dir);
    cfg.connect = s->connect;
    cfg.timeout_ns = how->timeout_ns ? how->timeout_ns : 20 * w->tick_ns;
    int err = zk_open(w->env, w->mem, &cfg, &s->host, &s->zk, why, sizeof why);
    if (!zs_check(t, !err, __FILE__, __LINE__, "%s: %s", err_name(err), why))
        abort(); /* no case could go on */
    if (how->password) {
        err = zk_auth(s->zk, "digest", how->password, (uint32_t)strlen(how->password));
        zs_check(t, !err, __FILE__, __LINE__, "credentials: %s", err_name(err));
    }
    return s;
}

struct zs_session *zs_open(struct zs *t, const struct zs_how *how)
{
    struct zs_session *s = zs_begin(t, how);
    t->w->until(t->w, &s->is_connected, zs_long_ns);
    zs_check(t, s->is_connected, __FILE__, __LINE__, "no session at %s: %s", s->connect,
             err_name(s->why));
    return s;
}

int64_t zs_id(const struct zs_session *s)
{
    struct zk_status st;
    zk_status(s->zk, &st);
    return st.session;
}

static void session_stopped(struct env_op *op)
{
    container_of(op, struct zs_session, stopping)->is_stopped = true;
}

void zs_close(struct zs_session *s, bool closes_session)
{
    if (!s->zk)
        return;
    s->stopping.done = session_stopped;
    zk_stop(s->zk, closes_session, &s->stopping);
    s->t->w->until(s->t->w, &s->is_stopped, zs_long_ns);
    struct zs *t = s->t;
    TRUE(s->is_stopped);
    s->zk = NULL;
}

/* ---- calls ---- */

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* sorted, for servers say them in any order */
static void take_names(struct zs_answer *a, char **name, uint32_t n)
{
    size_t at = 0;
    qsort(name, n, sizeof *name, name_compare);
    a->n_names = n;
    a->names[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        at += fmt_into(a->names + at, sizeof a->names - at, "%s%s", i ? "," : "", name[i]);
        free(name[i]);
    }
}

static void take_lists(struct zs_answer *a, const struct zk_reply *r)
{
    struct zk_list l = r->children.n ? r->children : r->acl;
    char **name = calloc(l.n + 1, sizeof *name);
    uint32_t n = 0, len;
    const char *text;
    struct zk_acl acl;
    while (r->children.n && zk_proto_text_next(&l, &text, &len)) {
        name[n] = calloc(1, len + 1);
        memcpy(name[n++], text, len);
    }
    while (r->acl.n && zk_proto_acl_next(&l, &acl)) {
        name[n] = calloc(1, 512);
        fmt_into(name[n++], 512, "%d %.*s %.*s", (int)acl.perms, (int)acl.scheme_len, acl.scheme,
                 (int)acl.id_len, acl.id);
    }
    take_names(a, name, n);
    free(name);
}

static void take_text(char *to, size_t cap, const void *p, uint32_t n)
{
    size_t m = n < cap - 1 ? n : cap - 1;
    if (p && m)
        memcpy(to, p, m);
    to[p ? m : 0] = 0;
}

static void take(struct zs_answer *a, const struct zs_call *k)
{
    const struct zk_reply *r = &k->c.reply;
    a->ret = k->c.op.ret;
    a->err = r->err;
    a->is_sent = k->c.is_sent;
    a->is_answered = k->c.is_answered;
    a->zxid = r->zxid;
    if (!a->is_answered)
        return;
    a->stat = r->stat;
    take_text(a->path, sizeof a->path, r->path, r->path_len);
    a->path_len = r->path_len;
    a->has_data = r->data != NULL;
    a->data_len = r->data_len;
    a->data_sum = base_hash(r->data ? r->data : "", r->data_len, 1);
    take_text(a->data, sizeof a->data, r->data, r->data_len);
    take_lists(a, r);
    a->fault = k->c.fault;
    a->n_ops = k->c.n_ops;
    for (uint32_t i = 0; i < a->n_ops; i++) {
        const struct zk_reply *o = &k->ops[i].reply;
        a->of[i].op = k->ops[i].what;
        a->of[i].err = o->err;
        take_text(a->of[i].path, sizeof a->of[i].path, o->path, o->path_len);
        a->of[i].stat = o->stat;
    }
}

static void call_done(struct env_op *op)
{
    struct zs_call *k = container_of(op, struct zs_call, c.op);
    if (k->label[0])
        say(k->s, "%s:%d", k->label, k->c.is_answered ? (int)k->c.reply.err : (int)op->ret);
    take(k->a, k);
    k->a->done = true;
    k->busy = false;
}

struct zs_answer *zs_go(struct zs_session *s, const char *label, const struct zk_call *c)
{
    struct zs *t = s->t;
    struct zs_call *k = t->call;
    while (k < t->call + ZS_CALLS && k->busy)
        k++;
    ASSERT(k < t->call + ZS_CALLS);
    k->c = *c;
    k->c.op.done = call_done;
    k->s = s;
    k->a = &t->answer[t->n_answers++ % ZS_ANSWERS];
    memset(k->a, 0, sizeof *k->a);
    k->busy = true;
    fmt_into(k->label, sizeof k->label, "%s", label ? label : "");
    if (c->n_ops) {
        memcpy(k->ops, c->ops, c->n_ops * sizeof *c->ops);
        k->c.ops = k->ops;
    }
    if (c->path && !c->watch) { /* that of a watch lives longer */
        fmt_into(k->path, sizeof k->path, "%s", c->path);
        k->c.path = k->path;
    }
    if (!k->c.deadline_ns)
        k->c.deadline_ns = env_now_ns(t->w->env) + zs_long_ns;
    zk_submit(s->zk, &k->c);
    return k->a;
}

void zs_wait(struct zs *t, const struct zs_answer *a)
{
    t->w->until(t->w, &a->done, 2 * zs_long_ns);
    TRUE(a->done);
}

struct zs_answer *zs_do(struct zs_session *s, const struct zk_call *c)
{
    struct zs_answer *a = zs_go(s, NULL, c);
    zs_wait(s->t, a);
    return a;
}

struct zs_answer *zs_create(struct zs_session *s, const char *path, const char *data, int32_t flags)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_CREATE2,
                                      .path = path,
                                      .data = data,
                                      .data_len = data ? (uint32_t)strlen(data) : 0,
                                      .flags = flags});
}

struct zs_answer *zs_create_acl(struct zs_session *s, const char *path, struct zk_list acl)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_CREATE2, .path = path, .data = "", .acl = acl});
}

struct zs_answer *zs_delete(struct zs_session *s, const char *path, int32_t version)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_DELETE, .path = path, .version = version});
}

struct zs_answer *zs_exists(struct zs_session *s, const char *path)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_EXISTS, .path = path});
}

struct zs_answer *zs_get(struct zs_session *s, const char *path)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_GET_DATA, .path = path});
}

struct zs_answer *zs_set(struct zs_session *s, const char *path, const char *data, int32_t version)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_SET_DATA,
                                      .path = path,
                                      .data = data,
                                      .data_len = data ? (uint32_t)strlen(data) : 0,
                                      .version = version});
}

struct zs_answer *zs_children(struct zs_session *s, const char *path)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_GET_CHILDREN2, .path = path});
}

struct zs_answer *zs_get_acl(struct zs_session *s, const char *path)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_GET_ACL, .path = path});
}

struct zs_answer *zs_set_acl(struct zs_session *s, const char *path, struct zk_list acl,
                             int32_t version)
{
    return zs_do(
        s, &(struct zk_call){.what = ZK_OP_SET_ACL, .path = path, .acl = acl, .version = version});
}

struct zs_answer *zs_sync(struct zs_session *s)
{
    return zs_do(s, &(struct zk_call){.what = ZK_OP_SYNC, .path = "/"});
}

struct zs_answer *zs_multi(struct zs_session *s, const struct zk_multi *ops, uint32_t n)
{
    return zs_do(s, &(struct zk_call){
                        .what = ZK_OP_MULTI, .ops = (struct zk_multi *)(uintptr_t)ops, .n_ops = n});
}

struct zk_list zs_acl(int32_t perms, ...)
{
    static uint8_t bytes[8][512];
    static uint32_t at;
    uint32_t n = 0;
    va_list args;
    struct wbuf w = wbuf_make(bytes[at++ % 8], sizeof bytes[0]);
    va_start(args, perms);
    for (; perms; perms = va_arg(args, int)) {
        const char *scheme = va_arg(args, const char *), *id = va_arg(args, const char *);
        const struct zk_acl a = {perms, scheme, id, (uint32_t)strlen(scheme), (uint32_t)strlen(id)};
        zk_proto_acl_put(&w, &n, &a);
    }
    va_end(args);
    ASSERT(!w.bad);
    return (struct zk_list){w.p, (uint32_t)w.len, n};
}

/* ---- watches ---- */

static void watch_fired(struct zk_watch *zw, enum zk_event event)
{
    struct zs_watch *w = container_of(zw, struct zs_watch, w);
    static const char *const names[] = {"?", "created", "deleted", "data", "children"};
    w->fired++;
    w->event = event;
    say(w->s, "%s:%s", w->name,
        event >= ZK_EVENT_CREATED && event <= ZK_EVENT_CHILDREN ? names[event] : "?");
}

struct zs_watch *zs_watch(struct zs_session *s, const char *name, int32_t what, const char *path)
{
    struct zs *t = s->t;
    struct zs_watch *w = t->watch;
    while (w->s)
        w++;
    ASSERT(w < t->watch + ZS_WATCHES);
    *w = (struct zs_watch){.w.fired = watch_fired, .s = s};
    fmt_into(w->name, sizeof w->name, "%s", name);
    fmt_into(w->path, sizeof w->path, "%s", path);
    struct zs_answer *a =
        zs_do(s, &(struct zk_call){.what = what, .path = w->path, .watch = &w->w});
    TRUE(a->is_answered && (!a->err || (a->err == ZK_ERR_NO_NODE && what == ZK_OP_EXISTS)));
    return w;
}

bool zs_fires(struct zs_watch *w)
{
    struct zs *t = w->s->t;
    for (int i = 0; i < 1000 && !w->fired; i++)
        zs_pass(t, 10 * zs_ms);
    return w->fired;
}

void zs_settle(struct zs_session *s)
{
    struct zs *t = s->t;
    OK(zs_sync(s));
}

/* ---- raw connections ---- */

enum { RAW_IN = 4 << 20, RAW_OUT = 2 << 20 };

static void raw_bytes(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    struct zs_raw *r = container_of(p, struct zs_raw, peer);
    struct zs *t = r->t;
    (void)type;
    if (!TRUE(n <= RAW_IN - r->len))
        return;
    memcpy(r->in + r->len, b, n);
    r->len += n;
    r->has_some = true;
}

static void raw_closed(struct env_peer *p, int why)
{
    struct zs_raw *r = container_of(p, struct zs_raw, peer);
    (void)why;
    r->is_closed = r->has_some = true;
}

static void raw_connected(struct env_op *op)
{
    struct zs_raw *r = container_of(op, struct zs_raw, connecting);
    r->is_asked = true;
    r->is_open = op->ret == 0;
}

struct zs_raw *zs_raw(struct zs *t, uint32_t server)
{
    struct zs_world *w = t->w;
    struct zs_raw *r = t->raw;
    while (r->t)
        r++;
    ASSERT(r < t->raw + ZS_RAWS);
    *r = (struct zs_raw){.t = t, .in = malloc(RAW_IN), .out = malloc(RAW_OUT)};
    r->peer = (struct env_peer){.on_frame = raw_bytes, .on_close = raw_closed, .is_raw = true};
    r->connecting.done = raw_connected;
    env_connect(w->env, w->server[(w->first + server) % w->n_servers], zs_long_ns, &r->peer,
                &r->connecting);
    w->until(w, &r->is_asked, zs_long_ns);
    TRUE(r->is_open);
    return r;
}

void zs_raw_bytes(struct zs_raw *r, const void *b, uint32_t n)
{
    const uint8_t *p = b;
    for (uint32_t at = 0; at < n && r->is_open && !r->is_closed; at += ENV_FRAME_MAX) {
        const struct env_iov iov = {p + at, n - at < ENV_FRAME_MAX ? n - at : ENV_FRAME_MAX};
        env_send(r->peer.conn, 0, &iov, 1);
    }
}

/* a whole packet's body, in place; NULL: closed, or nothing for long */
static const uint8_t *raw_packet(struct zs_raw *r, uint32_t *ret_n)
{
    struct zs_world *w = r->t->w;
    int64_t end = env_now_ns(w->env) + zs_long_ns;
    for (;;) {
        int64_t n = zk_proto_frame(r->in + r->taken, r->len - r->taken, RAW_IN);
        if (n > 0) {
            const uint8_t *b = r->in + r->taken + ZK_FRAME_HEAD;
            r->taken += (uint32_t)n;
            *ret_n = (uint32_t)n - ZK_FRAME_HEAD;
            return b;
        }
        if (n < 0 || r->is_closed || !r->is_open || env_now_ns(w->env) >= end)
            return NULL;
        r->has_some = false;
        w->until(w, &r->has_some, end - env_now_ns(w->env));
    }
}

bool zs_raw_connect(struct zs_raw *r, int64_t session, const uint8_t *password, int64_t zxid,
                    int64_t timeout_ns)
{
    struct zk_connect q = {.zxid = zxid,
                           .timeout_ms = (int32_t)(timeout_ns / zs_ms),
                           .session = session,
                           .password_len = ZK_PASSWORD};
    struct wbuf w = wbuf_make(r->out, RAW_OUT);
    uint32_t n;
    if (password)
        memcpy(q.password, password, ZK_PASSWORD);
    zk_proto_connect_put(&w, &q);
    zs_raw_bytes(r, w.p, (uint32_t)w.len);
    const uint8_t *b = raw_packet(r, &n);
    return b && !zk_proto_connected_get(b, n, &r->c);
}

int32_t zs_raw_send(struct zs_raw *r, const struct zk_request *q)
{
    struct zk_request full = *q;
    struct wbuf w = wbuf_make(r->out, RAW_OUT);
    if (!full.xid)
        full.xid = ++r->xid;
    if (full.path && !full.root) {
        full.root = r->t->dir;
        full.root_len = (uint32_t)strlen(r->t->dir);
    }
    if (full.path && !full.path_len)
        full.path_len = (uint32_t)strlen(full.path);
    zk_proto_request_put(&w, &full);
    ASSERT(!w.bad);
    zs_raw_bytes(r, w.p, (uint32_t)w.len);
    return full.xid;
}

bool zs_raw_next(struct zs_raw *r, int32_t op, struct zk_reply *ret_a)
{
    uint32_t n;
    const uint8_t *b = raw_packet(r, &n);
    memset(ret_a, 0, sizeof *ret_a);
    return b && !zk_proto_reply_get(b, n, op, ret_a);
}

int32_t zs_raw_ask(struct zs_raw *r, const struct zk_request *q, struct zk_reply *ret_a)
{
    struct zk_reply a;
    int32_t xid = zs_raw_send(r, q);
    ret_a = ret_a ? ret_a : &a;
    if (!zs_raw_next(r, q->op, ret_a) || ret_a->xid != xid)
        return 1000;
    return ret_a->err;
}

bool zs_raw_closed(struct zs_raw *r)
{
    struct zs_world *w = r->t->w;
    if (!r->is_closed)
        w->until(w, &r->is_closed, zs_long_ns);
    return r->is_closed;
}

void zs_raw_hangup(struct zs_raw *r)
{
    if (r->is_open && !r->is_closed)
        env_hangup(r->peer.conn);
    r->is_closed = true;
}

/* ---- running ---- */

const struct zs_case *zs_case_at(uint32_t i)
{
    for (const struct zs_case *const *l = zs_lists; *l; l++)
        for (const struct zs_case *c = *l; c->name; c++)
            if (!i--)
                return c;
    return NULL;
}

static void begin(struct zs *t)
{
    struct zs_how bare = {.root = ""};
    fmt_into(t->dir, sizeof t->dir, "/zs%llx-%s", (unsigned long long)t->w->nonce++, t->name);
    struct zs_session *s = zs_open(t, &bare);
    struct zs_answer *a = zs_create(s, t->dir, "", 0);
    OK(a);
    zs_close(s, true);
    *s = (struct zs_session){0};
}

uint32_t zs_run(struct zs *t, struct zs_world *w, const struct zs_case *c)
{
    memset(t, 0, sizeof *t);
    t->w = w;
    t->name = c->name;
    t->skipped = c->servers > w->n_servers;
    if (t->skipped)
        return 0;
    begin(t);
    if (!t->failed)
        c->fn(t);
    for (uint32_t i = 0; i < ZS_RAWS; i++)
        if (t->raw[i].t) {
            zs_raw_hangup(&t->raw[i]);
            free(t->raw[i].in);
            free(t->raw[i].out);
        }
    for (uint32_t i = 0; i < ZS_SESSIONS; i++)
        if (t->session[i].t)
            zs_close(&t->session[i], !t->session[i].is_over);
    return t->failed;
}
