/* journal/zk_proto.c - the codec of ZooKeeper's packets; the invariants are in zk_proto.h.
 *
 * What a packet holds stands once for each direction and side: a switch over the operation that
 * puts, and beside it one that gets, in the same order.  A list is got by walking its elements with
 * the very functions that walk it later. */
#include "journal/zk_proto.h"

/* --- jute --- */

static void jute_put_i32(struct wbuf *w, int32_t v)
{
    wbuf_u32(w, __builtin_bswap32((uint32_t)v));
}

static void jute_put_i64(struct wbuf *w, int64_t v)
{
    wbuf_u64(w, __builtin_bswap64((uint64_t)v));
}

static void jute_put_bool(struct wbuf *w, bool v)
{
    wbuf_u8(w, v);
}

/* a string or a buffer; p NULL: null */
static void jute_put_bytes(struct wbuf *w, const void *p, uint32_t n)
{
    if (n > ZK_FRAME_MAX || (!p && n)) {
        w->bad = true;
        return;
    }
    jute_put_i32(w, p ? (int32_t)n : -1);
    if (p)
        wbuf_bytes(w, p, n);
}

static void jute_put_list(struct wbuf *w, const struct zk_list *l, uint32_t per_count)
{
    jute_put_i32(w, (int32_t)(l->n / per_count));
    wbuf_bytes(w, l->p, l->len);
}

static int32_t jute_i32(struct rbuf *r)
{
    return (int32_t)__builtin_bswap32(rbuf_u32(r));
}

static int64_t jute_i64(struct rbuf *r)
{
    return (int64_t)__builtin_bswap64(rbuf_u64(r));
}

static bool jute_bool(struct rbuf *r)
{
    uint8_t v = rbuf_u8(r);
    if (v > 1)
        r->bad = true;
    return v == 1;
}

static const void *jute_bytes(struct rbuf *r, uint32_t *ret_n)
{
    int32_t n = jute_i32(r);
    *ret_n = 0;
    if (r->bad || n == -1)
        return NULL;
    if (n < 0) {
        r->bad = true;
        return NULL;
    }
    const void *p = rbuf_bytes(r, (size_t)n);
    if (p)
        *ret_n = (uint32_t)n;
    return p;
}

/* how many elements follow; each has at least `least` bytes */
static uint32_t jute_count(struct rbuf *r, uint32_t least)
{
    int32_t n = jute_i32(r);
    if (r->bad || n == -1)
        return 0;
    if (n < 0 || (uint32_t)n > rbuf_left(r) / least) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

static struct zk_list jute_list_of(const struct rbuf *r, size_t from, uint32_t n)
{
    if (r->bad || !n)
        return (struct zk_list){0};
    return (struct zk_list){r->p + from, (uint32_t)(r->pos - from), n};
}

static struct zk_list jute_texts(struct rbuf *r, uint32_t per_count)
{
    uint32_t n = jute_count(r, 4 * per_count) * per_count, len;
    size_t from = r->pos;
    for (uint32_t i = 0; i < n && !r->bad; i++)
        (void)jute_bytes(r, &len);
    return jute_list_of(r, from, n);
}

/* --- what stands in several packets --- */

static void proto_stat_put(struct wbuf *w, const struct zk_stat *s)
{
    jute_put_i64(w, s->czxid);
    jute_put_i64(w, s->mzxid);
    jute_put_i64(w, s->ctime_ms);
    jute_put_i64(w, s->mtime_ms);
    jute_put_i32(w, s->version);
    jute_put_i32(w, s->cversion);
    jute_put_i32(w, s->aversion);
    jute_put_i64(w, s->owner);
    jute_put_i32(w, s->data_len);
    jute_put_i32(w, s->children);
    jute_put_i64(w, s->pzxid);
}

static void proto_stat_get(struct rbuf *r, struct zk_stat *s)
{
    s->czxid = jute_i64(r);
    s->mzxid = jute_i64(r);
    s->ctime_ms = jute_i64(r);
    s->mtime_ms = jute_i64(r);
    s->version = jute_i32(r);
    s->cversion = jute_i32(r);
    s->aversion = jute_i32(r);
    s->owner = jute_i64(r);
    s->data_len = jute_i32(r);
    s->children = jute_i32(r);
    s->pzxid = jute_i64(r);
}

static void proto_acl_get(struct rbuf *r, struct zk_acl *a)
{
    a->perms = jute_i32(r);
    a->scheme = jute_bytes(r, &a->scheme_len);
    a->id = jute_bytes(r, &a->id_len);
}

static struct zk_list proto_acls_get(struct rbuf *r)
{
    struct zk_acl a;
    uint32_t n = jute_count(r, 12);
    size_t from = r->pos;
    for (uint32_t i = 0; i < n && !r->bad; i++)
        proto_acl_get(r, &a);
    return jute_list_of(r, from, n);
}

static size_t proto_begin(struct wbuf *w)
{
    size_t at = w->len;
    jute_put_i32(w, 0);
    return at;
}

static void proto_end(struct wbuf *w, size_t at)
{
    if (w->bad)
        return;
    size_t n = w->len - at - ZK_FRAME_HEAD;
    if (n > ZK_FRAME_MAX) {
        w->bad = true;
        return;
    }
    base_put_u32(w->p + at, __builtin_bswap32((uint32_t)n));
}

static int proto_said(const struct rbuf *r, bool is_whole)
{
    return r->bad || (is_whole && r->pos != r->len) ? E_PROTO : 0;
}

int64_t zk_proto_frame(const void *p, size_t n, uint32_t max)
{
    if (n < ZK_FRAME_HEAD)
        return 0;
    uint32_t len = __builtin_bswap32(base_get_u32(p));
    if (len > max) /* also what is below 0 */
        return E_PROTO;
    return n - ZK_FRAME_HEAD < len ? 0 : (int64_t)len + ZK_FRAME_HEAD;
}

/* --- lists --- */

void zk_proto_path_put(struct wbuf *w, uint32_t *n, const char *root, uint32_t root_len,
                       const char *path, uint32_t path_len)
{
    bool is_root = root_len && path_len == 1 && path[0] == '/';
    if (is_root)
        path_len = 0;
    if ((uint64_t)root_len + path_len > ZK_FRAME_MAX) {
        w->bad = true;
        return;
    }
    jute_put_i32(w, (int32_t)(root_len + path_len));
    wbuf_bytes(w, root, root_len);
    wbuf_bytes(w, path, path_len);
    if (n)
        (*n)++;
}

void zk_proto_text_put(struct wbuf *w, uint32_t *n, const char *text, uint32_t len)
{
    jute_put_bytes(w, text, len);
    (*n)++;
}

void zk_proto_acl_put(struct wbuf *w, uint32_t *n, const struct zk_acl *a)
{
    jute_put_i32(w, a->perms);
    jute_put_bytes(w, a->scheme, a->scheme_len);
    jute_put_bytes(w, a->id, a->id_len);
    (*n)++;
}

static bool proto_list_open(const struct zk_list *l, struct rbuf *ret_r)
{
    *ret_r = rbuf_make(l->p, l->len);
    return l->n > 0;
}

static void proto_list_taken(struct zk_list *l, const struct rbuf *r)
{
    ASSERT(!r->bad); /* the decoder walked it before */
    l->p += r->pos;
    l->len -= (uint32_t)r->pos;
    l->n--;
}

bool zk_proto_text_next(struct zk_list *l, const char **ret_text, uint32_t *ret_len)
{
    struct rbuf r;
    if (!proto_list_open(l, &r))
        return false;
    *ret_text = jute_bytes(&r, ret_len);
    proto_list_taken(l, &r);
    return true;
}

bool zk_proto_acl_next(struct zk_list *l, struct zk_acl *ret_a)
{
    struct rbuf r;
    if (!proto_list_open(l, &r))
        return false;
    proto_acl_get(&r, ret_a);
    proto_list_taken(l, &r);
    return true;
}

bool zk_proto_acl_is_open(struct zk_list acl)
{
    struct zk_acl a;
    while (zk_proto_acl_next(&acl, &a))
        if (a.scheme_len == 5 && !memcmp(a.scheme, "world", 5) && (a.perms & ~ZK_PERM_READ))
            return true;
    return false;
}

/* perms 31, "world", "anyone" */
static const uint8_t proto_acl_open[] = {0,   0, 0, 31, 0, 0,   0,   5,   'w', 'o', 'r', 'l',
                                         'd', 0, 0, 0,  6, 'a', 'n', 'y', 'o', 'n', 'e'};
const struct zk_list zk_proto_acl_open = {proto_acl_open, sizeof proto_acl_open, 1};
/* perms 31, "auth", "" */
static const uint8_t proto_acl_own[] = {0, 0, 0, 31, 0, 0, 0, 4, 'a', 'u', 't', 'h', 0, 0, 0, 0};
const struct zk_list zk_proto_acl_own = {proto_acl_own, sizeof proto_acl_own, 1};

/* --- the first packets --- */

static void proto_password_put(struct wbuf *w, const uint8_t *p, uint32_t n)
{
    if (n && n != ZK_PASSWORD)
        w->bad = true;
    jute_put_bytes(w, p, n);
}

static void proto_password_get(struct rbuf *r, uint8_t to[ZK_PASSWORD], uint32_t *ret_n)
{
    const void *p = jute_bytes(r, ret_n);
    if (*ret_n && *ret_n != ZK_PASSWORD) {
        r->bad = true;
        *ret_n = 0;
    }
    if (*ret_n)
        memcpy(to, p, ZK_PASSWORD);
}

void zk_proto_connect_put(struct wbuf *w, const struct zk_connect *c)
{
    size_t at = proto_begin(w);
    jute_put_i32(w, c->protocol);
    jute_put_i64(w, c->zxid);
    jute_put_i32(w, c->timeout_ms);
    jute_put_i64(w, c->session);
    proto_password_put(w, c->password, c->password_len);
    if (!c->is_old)
        jute_put_bool(w, c->read_only);
    proto_end(w, at);
}

int zk_proto_connect_get(const void *p, size_t n, struct zk_connect *ret_c)
{
    struct rbuf r = rbuf_make(p, n);
    memset(ret_c, 0, sizeof *ret_c);
    ret_c->protocol = jute_i32(&r);
    ret_c->zxid = jute_i64(&r);
    ret_c->timeout_ms = jute_i32(&r);
    ret_c->session = jute_i64(&r);
    proto_password_get(&r, ret_c->password, &ret_c->password_len);
    ret_c->is_old = !rbuf_left(&r);
    if (!ret_c->is_old)
        ret_c->read_only = jute_bool(&r);
    return proto_said(&r, false);
}

void zk_proto_connected_put(struct wbuf *w, const struct zk_connected *c)
{
    size_t at = proto_begin(w);
    jute_put_i32(w, c->protocol);
    jute_put_i32(w, c->timeout_ms);
    jute_put_i64(w, c->session);
    proto_password_put(w, c->password, c->password_len);
    if (!c->is_old)
        jute_put_bool(w, c->read_only);
    proto_end(w, at);
}

int zk_proto_connected_get(const void *p, size_t n, struct zk_connected *ret_c)
{
    struct rbuf r = rbuf_make(p, n);
    memset(ret_c, 0, sizeof *ret_c);
    ret_c->protocol = jute_i32(&r);
    ret_c->timeout_ms = jute_i32(&r);
    ret_c->session = jute_i64(&r);
    proto_password_get(&r, ret_c->password, &ret_c->password_len);
    ret_c->is_old = !rbuf_left(&r);
    if (!ret_c->is_old)
        ret_c->read_only = jute_bool(&r);
    return proto_said(&r, false);
}

/* --- requests --- */

static void proto_path_put(struct wbuf *w, const struct zk_request *q)
{
    if (q->path)
        zk_proto_path_put(w, NULL, q->root, q->root ? q->root_len : 0, q->path, q->path_len);
    else
        jute_put_bytes(w, NULL, 0);
}

static bool proto_is_op(int32_t op) /* of a multi */
{
    return op == ZK_OP_CREATE || op == ZK_OP_CREATE2 || op == ZK_OP_DELETE ||
           op == ZK_OP_SET_DATA || op == ZK_OP_CHECK || op == ZK_OP_GET_DATA ||
           op == ZK_OP_GET_CHILDREN || op == ZK_OP_CREATE_CONTAINER || op == ZK_OP_CREATE_TTL;
}

static void proto_multi_head_put(struct wbuf *w, int32_t op, bool is_last, int32_t err)
{
    jute_put_i32(w, op);
    jute_put_bool(w, is_last);
    jute_put_i32(w, err);
}

/* true: an element follows; false: that was the end, or r is bad */
static bool proto_multi_head_get(struct rbuf *r, int32_t *ret_op, int32_t *ret_err)
{
    *ret_op = jute_i32(r);
    bool is_last = jute_bool(r);
    *ret_err = jute_i32(r);
    return !is_last && !r->bad;
}

static void proto_body_put(struct wbuf *w, const struct zk_request *q)
{
    switch (q->op) {
    case ZK_OP_CREATE:
    case ZK_OP_CREATE2:
    case ZK_OP_CREATE_CONTAINER:
    case ZK_OP_CREATE_TTL:
        proto_path_put(w, q);
        jute_put_bytes(w, q->data, q->data_len);
        jute_put_list(w, &q->acl, 1);
        jute_put_i32(w, q->flags);
        if (q->op == ZK_OP_CREATE_TTL)
            jute_put_i64(w, q->ttl_ms);
        break;
    case ZK_OP_DELETE:
    case ZK_OP_CHECK:
        proto_path_put(w, q);
        jute_put_i32(w, q->version);
        break;
    case ZK_OP_EXISTS:
    case ZK_OP_GET_DATA:
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_CHILDREN2:
        proto_path_put(w, q);
        jute_put_bool(w, q->watch);
        break;
    case ZK_OP_SET_DATA:
        proto_path_put(w, q);
        jute_put_bytes(w, q->data, q->data_len);
        jute_put_i32(w, q->version);
        break;
    case ZK_OP_GET_ACL:
    case ZK_OP_SYNC:
    case ZK_OP_DELETE_CONTAINER:
    case ZK_OP_GET_EPHEMERALS:
    case ZK_OP_GET_ALL_CHILDREN_NUMBER:
        proto_path_put(w, q);
        break;
    case ZK_OP_SET_ACL:
        proto_path_put(w, q);
        jute_put_list(w, &q->acl, 1);
        jute_put_i32(w, q->version);
        break;
    case ZK_OP_CHECK_WATCHES:
    case ZK_OP_REMOVE_WATCHES:
    case ZK_OP_ADD_WATCH:
        proto_path_put(w, q);
        jute_put_i32(w, q->flags);
        break;
    case ZK_OP_MULTI:
    case ZK_OP_MULTI_READ:
        wbuf_bytes(w, q->ops.p, q->ops.len);
        proto_multi_head_put(w, -1, true, -1);
        break;
    case ZK_OP_AUTH:
        jute_put_i32(w, q->flags);
        jute_put_bytes(w, q->scheme, q->scheme_len);
        jute_put_bytes(w, q->data, q->data_len);
        break;
    case ZK_OP_SET_WATCHES:
    case ZK_OP_SET_WATCHES2:
        jute_put_i64(w, q->zxid);
        jute_put_list(w, &q->data_watches, 1);
        jute_put_list(w, &q->exist_watches, 1);
        jute_put_list(w, &q->child_watches, 1);
        if (q->op == ZK_OP_SET_WATCHES2) {
            jute_put_list(w, &q->persistent_watches, 1);
            jute_put_list(w, &q->recursive_watches, 1);
        }
        break;
    case ZK_OP_SASL:
        jute_put_bytes(w, q->data, q->data_len);
        break;
    case ZK_OP_PING:
    case ZK_OP_WHO_AM_I:
    case ZK_OP_CLOSE_SESSION:
        break;
    default:
        wbuf_bytes(w, q->data, q->data_len);
    }
}

static struct zk_list proto_ops_get(struct rbuf *r);

static void proto_body_get(struct rbuf *r, struct zk_request *q)
{
    switch (q->op) {
    case ZK_OP_CREATE:
    case ZK_OP_CREATE2:
    case ZK_OP_CREATE_CONTAINER:
    case ZK_OP_CREATE_TTL:
        q->path = jute_bytes(r, &q->path_len);
        q->data = jute_bytes(r, &q->data_len);
        q->acl = proto_acls_get(r);
        q->flags = jute_i32(r);
        if (q->op == ZK_OP_CREATE_TTL)
            q->ttl_ms = jute_i64(r);
        break;
    case ZK_OP_DELETE:
    case ZK_OP_CHECK:
        q->path = jute_bytes(r, &q->path_len);
        q->version = jute_i32(r);
        break;
    case ZK_OP_EXISTS:
    case ZK_OP_GET_DATA:
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_CHILDREN2:
        q->path = jute_bytes(r, &q->path_len);
        q->watch = jute_bool(r);
        break;
    case ZK_OP_SET_DATA:
        q->path = jute_bytes(r, &q->path_len);
        q->data = jute_bytes(r, &q->data_len);
        q->version = jute_i32(r);
        break;
    case ZK_OP_GET_ACL:
    case ZK_OP_SYNC:
    case ZK_OP_DELETE_CONTAINER:
    case ZK_OP_GET_EPHEMERALS:
    case ZK_OP_GET_ALL_CHILDREN_NUMBER:
        q->path = jute_bytes(r, &q->path_len);
        break;
    case ZK_OP_SET_ACL:
        q->path = jute_bytes(r, &q->path_len);
        q->acl = proto_acls_get(r);
        q->version = jute_i32(r);
        break;
    case ZK_OP_CHECK_WATCHES:
    case ZK_OP_REMOVE_WATCHES:
    case ZK_OP_ADD_WATCH:
        q->path = jute_bytes(r, &q->path_len);
        q->flags = jute_i32(r);
        break;
    case ZK_OP_MULTI:
    case ZK_OP_MULTI_READ:
        q->ops = proto_ops_get(r);
        break;
    case ZK_OP_AUTH:
        q->flags = jute_i32(r);
        q->scheme = jute_bytes(r, &q->scheme_len);
        q->data = jute_bytes(r, &q->data_len);
        break;
    case ZK_OP_SET_WATCHES:
    case ZK_OP_SET_WATCHES2:
        q->zxid = jute_i64(r);
        q->data_watches = jute_texts(r, 1);
        q->exist_watches = jute_texts(r, 1);
        q->child_watches = jute_texts(r, 1);
        if (q->op == ZK_OP_SET_WATCHES2) {
            q->persistent_watches = jute_texts(r, 1);
            q->recursive_watches = jute_texts(r, 1);
        }
        break;
    case ZK_OP_SASL:
        q->data = jute_bytes(r, &q->data_len);
        break;
    case ZK_OP_PING:
    case ZK_OP_WHO_AM_I:
    case ZK_OP_CLOSE_SESSION:
        break;
    default:
        q->data_len = (uint32_t)rbuf_left(r);
        q->data = rbuf_bytes(r, q->data_len);
    }
}

/* false: r is bad */
static bool proto_op_get(struct rbuf *r, int32_t op, struct zk_request *q)
{
    memset(q, 0, sizeof *q);
    q->op = op;
    if (!proto_is_op(op)) /* so a multi lies in no other */
        r->bad = true;
    else
        proto_body_get(r, q);
    return !r->bad;
}

static struct zk_list proto_ops_get(struct rbuf *r)
{
    struct zk_request q;
    size_t from = r->pos, to = from;
    uint32_t n = 0;
    int32_t op, err;
    while (proto_multi_head_get(r, &op, &err) && proto_op_get(r, op, &q)) {
        to = r->pos;
        n++;
    }
    if (r->bad || !n)
        return (struct zk_list){0};
    return (struct zk_list){r->p + from, (uint32_t)(to - from), n};
}

void zk_proto_op_put(struct wbuf *w, uint32_t *n, const struct zk_request *q)
{
    if (!proto_is_op(q->op))
        w->bad = true;
    proto_multi_head_put(w, q->op, false, -1);
    proto_body_put(w, q);
    (*n)++;
}

bool zk_proto_op_next(struct zk_list *l, struct zk_request *ret_q)
{
    struct rbuf r;
    int32_t op, err;
    if (!proto_list_open(l, &r))
        return false;
    bool is_op = proto_multi_head_get(&r, &op, &err) && proto_op_get(&r, op, ret_q);
    ASSERT(is_op);
    proto_list_taken(l, &r);
    return true;
}

size_t zk_proto_multi_begin(struct wbuf *w, int32_t xid, int32_t op)
{
    size_t at = proto_begin(w);
    jute_put_i32(w, xid);
    jute_put_i32(w, op);
    return at;
}

void zk_proto_multi_end(struct wbuf *w, size_t begun_at)
{
    proto_multi_head_put(w, -1, true, -1);
    proto_end(w, begun_at);
}

void zk_proto_request_put(struct wbuf *w, const struct zk_request *q)
{
    size_t at = proto_begin(w);
    jute_put_i32(w, q->xid);
    jute_put_i32(w, q->op);
    proto_body_put(w, q);
    proto_end(w, at);
}

int zk_proto_request_get(const void *p, size_t n, struct zk_request *ret_q)
{
    struct rbuf r = rbuf_make(p, n);
    memset(ret_q, 0, sizeof *ret_q);
    ret_q->xid = jute_i32(&r);
    ret_q->op = jute_i32(&r);
    if (!r.bad)
        proto_body_get(&r, ret_q);
    return proto_said(&r, true);
}

/* --- replies --- */

static void proto_answer_put(struct wbuf *w, const struct zk_reply *a)
{
    switch (a->op) {
    case ZK_OP_CREATE:
    case ZK_OP_SYNC:
        jute_put_bytes(w, a->path, a->path_len);
        break;
    case ZK_OP_CREATE2:
    case ZK_OP_CREATE_CONTAINER:
    case ZK_OP_CREATE_TTL:
        jute_put_bytes(w, a->path, a->path_len);
        proto_stat_put(w, &a->stat);
        break;
    case ZK_OP_EXISTS:
    case ZK_OP_SET_DATA:
    case ZK_OP_SET_ACL:
        proto_stat_put(w, &a->stat);
        break;
    case ZK_OP_GET_DATA:
        jute_put_bytes(w, a->data, a->data_len);
        proto_stat_put(w, &a->stat);
        break;
    case ZK_OP_GET_ACL:
        jute_put_list(w, &a->acl, 1);
        proto_stat_put(w, &a->stat);
        break;
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_EPHEMERALS:
        jute_put_list(w, &a->children, 1);
        break;
    case ZK_OP_GET_CHILDREN2:
        jute_put_list(w, &a->children, 1);
        proto_stat_put(w, &a->stat);
        break;
    case ZK_OP_MULTI:
    case ZK_OP_MULTI_READ:
        wbuf_bytes(w, a->results.p, a->results.len);
        proto_multi_head_put(w, -1, true, -1);
        break;
    case ZK_OP_SASL:
        jute_put_bytes(w, a->data, a->data_len);
        break;
    case ZK_OP_GET_ALL_CHILDREN_NUMBER:
        jute_put_i32(w, a->number);
        break;
    case ZK_OP_ADD_WATCH: /* an ErrorResponse, of all things */
        jute_put_i32(w, 0);
        break;
    case ZK_OP_WHO_AM_I:
        jute_put_list(w, &a->children, 2);
        break;
    case ZK_OP_DELETE:
    case ZK_OP_CHECK:
    case ZK_OP_PING:
    case ZK_OP_AUTH:
    case ZK_OP_SET_WATCHES:
    case ZK_OP_SET_WATCHES2:
    case ZK_OP_CHECK_WATCHES:
    case ZK_OP_REMOVE_WATCHES:
    case ZK_OP_DELETE_CONTAINER:
    case ZK_OP_CLOSE_SESSION:
        break;
    default:
        wbuf_bytes(w, a->data, a->data_len);
    }
}

static struct zk_list proto_results_get(struct rbuf *r);

static void proto_answer_get(struct rbuf *r, struct zk_reply *a)
{
    switch (a->op) {
    case ZK_OP_CREATE:
    case ZK_OP_SYNC:
        a->path = jute_bytes(r, &a->path_len);
        break;
    case ZK_OP_CREATE2:
    case ZK_OP_CREATE_CONTAINER:
    case ZK_OP_CREATE_TTL:
        a->path = jute_bytes(r, &a->path_len);
        proto_stat_get(r, &a->stat);
        break;
    case ZK_OP_EXISTS:
    case ZK_OP_SET_DATA:
    case ZK_OP_SET_ACL:
        proto_stat_get(r, &a->stat);
        break;
    case ZK_OP_GET_DATA:
        a->data = jute_bytes(r, &a->data_len);
        proto_stat_get(r, &a->stat);
        break;
    case ZK_OP_GET_ACL:
        a->acl = proto_acls_get(r);
        proto_stat_get(r, &a->stat);
        break;
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_EPHEMERALS:
        a->children = jute_texts(r, 1);
        break;
    case ZK_OP_GET_CHILDREN2:
        a->children = jute_texts(r, 1);
        proto_stat_get(r, &a->stat);
        break;
    case ZK_OP_MULTI:
    case ZK_OP_MULTI_READ:
        a->results = proto_results_get(r);
        break;
    case ZK_OP_SASL:
        a->data = jute_bytes(r, &a->data_len);
        break;
    case ZK_OP_GET_ALL_CHILDREN_NUMBER:
        a->number = jute_i32(r);
        break;
    case ZK_OP_ADD_WATCH:
        (void)jute_i32(r);
        break;
    case ZK_OP_WHO_AM_I:
        a->children = jute_texts(r, 2);
        break;
    case ZK_OP_DELETE:
    case ZK_OP_CHECK:
    case ZK_OP_PING:
    case ZK_OP_AUTH:
    case ZK_OP_SET_WATCHES:
    case ZK_OP_SET_WATCHES2:
    case ZK_OP_CHECK_WATCHES:
    case ZK_OP_REMOVE_WATCHES:
    case ZK_OP_DELETE_CONTAINER:
    case ZK_OP_CLOSE_SESSION:
        break;
    default:
        a->data_len = (uint32_t)rbuf_left(r);
        a->data = rbuf_bytes(r, a->data_len);
    }
}

/* false: r is bad */
static bool proto_result_get(struct rbuf *r, int32_t op, struct zk_reply *a)
{
    memset(a, 0, sizeof *a);
    a->op = op;
    if (op == ZK_OP_ERROR)
        a->err = jute_i32(r);
    else if (proto_is_op(op))
        proto_answer_get(r, a);
    else
        r->bad = true;
    return !r->bad;
}

static struct zk_list proto_results_get(struct rbuf *r)
{
    struct zk_reply a;
    size_t from = r->pos, to = from;
    uint32_t n = 0;
    int32_t op, err;
    while (proto_multi_head_get(r, &op, &err) && proto_result_get(r, op, &a)) {
        to = r->pos;
        n++;
    }
    if (r->bad || !n)
        return (struct zk_list){0};
    return (struct zk_list){r->p + from, (uint32_t)(to - from), n};
}

void zk_proto_result_put(struct wbuf *w, uint32_t *n, const struct zk_reply *a)
{
    bool is_error = a->op == ZK_OP_ERROR;
    if (!is_error && !proto_is_op(a->op))
        w->bad = true;
    proto_multi_head_put(w, a->op, false, is_error ? a->err : 0);
    if (is_error)
        jute_put_i32(w, a->err);
    else
        proto_answer_put(w, a);
    (*n)++;
}

bool zk_proto_result_next(struct zk_list *l, struct zk_reply *ret_a)
{
    struct rbuf r;
    int32_t op, err;
    if (!proto_list_open(l, &r))
        return false;
    bool is_result = proto_multi_head_get(&r, &op, &err) && proto_result_get(&r, op, ret_a);
    ASSERT(is_result);
    proto_list_taken(l, &r);
    return true;
}

/* an xid of its own says what the packet is, whatever was asked */
static int32_t proto_op_of(int32_t xid, int32_t op)
{
    switch (xid) {
    case ZK_XID_EVENT:
        return ZK_OP_NONE;
    case ZK_XID_PING:
        return ZK_OP_PING;
    case ZK_XID_AUTH:
        return ZK_OP_AUTH;
    case ZK_XID_SET_WATCHES:
        return ZK_OP_SET_WATCHES;
    default:
        return op;
    }
}

void zk_proto_reply_put(struct wbuf *w, const struct zk_reply *a)
{
    struct zk_reply b = *a;
    b.op = proto_op_of(a->xid, a->op);
    size_t at = proto_begin(w);
    jute_put_i32(w, a->xid);
    jute_put_i64(w, a->zxid);
    jute_put_i32(w, a->err);
    if (a->xid == ZK_XID_EVENT) {
        jute_put_i32(w, a->event);
        jute_put_i32(w, a->keeper);
        jute_put_bytes(w, a->path, a->path_len);
    } else if (!a->err) {
        proto_answer_put(w, &b);
    }
    proto_end(w, at);
}

int zk_proto_reply_get(const void *p, size_t n, int32_t op, struct zk_reply *ret_a)
{
    struct rbuf r = rbuf_make(p, n);
    memset(ret_a, 0, sizeof *ret_a);
    ret_a->xid = jute_i32(&r);
    ret_a->zxid = jute_i64(&r);
    ret_a->err = jute_i32(&r);
    ret_a->op = proto_op_of(ret_a->xid, op);
    if (r.bad)
        return E_PROTO;
    if (ret_a->xid == ZK_XID_EVENT) {
        ret_a->event = jute_i32(&r);
        ret_a->keeper = jute_i32(&r);
        ret_a->path = jute_bytes(&r, &ret_a->path_len);
    } else if (!ret_a->err) {
        proto_answer_get(&r, ret_a);
    } else {
        return 0;
    }
    return proto_said(&r, true);
}
