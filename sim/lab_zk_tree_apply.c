/* sim/lab_zk_tree_apply.c - how the tree of sim/lab_zk_tree.h changes.
 *
 * An operation is done at once and leaves a step behind that knows what was before.  When one of a
 * MULTI fails, the steps are undone, last first; when all have succeeded, they are what is told to
 * on_event, first first.  What they have taken away is freed with the next change, because the
 * answer is made of it. */
#include "core/fmt.h"
#include "sim/lab_zk_tree_impl.h"

enum { ACLS_MAX = 256 };

struct step {
    struct list link;
    enum { STEP_CREATE, STEP_DELETE, STEP_DATA, STEP_ACL } kind;
    struct lab_zk_node *n;
    struct zk_stat stat, parent; /* as they were */
    uint8_t *data;               /* DATA: as it was */
    uint32_t data_cap;
    struct zk_list acl; /* ACL */
};

static struct step *step_push(struct lab_zk_tree *t, int kind, struct lab_zk_node *n)
{
    struct step *s = mem_zalloc(t->mem, sizeof *s);
    ASSERT(s != NULL);
    s->kind = kind;
    s->n = n;
    s->stat = n->stat;
    if (n->parent)
        s->parent = n->parent->stat;
    list_push_back(&t->steps, &s->link);
    return s;
}

static void step_free(struct lab_zk_tree *t, struct step *s)
{
    if (s->kind == STEP_DELETE)
        lab_zk_tree_node_free(t, s->n);
    lab_zk_tree_bytes_free(t, s->data, s->data_cap);
    lab_zk_tree_bytes_free(t, s->acl.p, s->acl.len);
    mem_free(t->mem, s, sizeof *s);
}

void lab_zk_tree_settle(struct lab_zk_tree *t)
{
    for (struct list *l; (l = list_pop(&t->steps));)
        step_free(t, list_entry(l, struct step, link));
}

static void step_undo(struct lab_zk_tree *t, struct step *s)
{
    struct lab_zk_node *n = s->n;
    switch (s->kind) {
    case STEP_CREATE:
        lab_zk_tree_unlink(t, n);
        n->parent->stat = s->parent;
        lab_zk_tree_node_free(t, n);
        break;
    case STEP_DELETE:
        lab_zk_tree_link(t, n);
        n->parent->stat = s->parent;
        s->kind = STEP_DATA; /* n stays */
        break;
    case STEP_DATA:
        t->bytes += s->data_cap;
        t->bytes -= n->data_cap;
        lab_zk_tree_bytes_free(t, n->data, n->data_cap);
        n->data = s->data;
        n->data_cap = s->data_cap;
        n->stat = s->stat;
        s->data = NULL;
        break;
    case STEP_ACL:
        t->bytes += s->acl.len;
        t->bytes -= n->acl.len;
        lab_zk_tree_bytes_free(t, n->acl.p, n->acl.len);
        n->acl = s->acl;
        n->stat = s->stat;
        s->acl.p = NULL;
        break;
    }
    step_free(t, s);
}

static void steps_undo(struct lab_zk_tree *t)
{
    while (!list_empty(&t->steps)) {
        struct step *s = list_entry(t->steps.prev, struct step, link);
        list_remove(&s->link);
        step_undo(t, s);
    }
}

static void steps_tell(struct lab_zk_tree *t)
{
    static const enum zk_event event[] = {ZK_EVENT_CREATED, ZK_EVENT_DELETED, ZK_EVENT_DATA,
                                          ZK_EVENT_NONE};
    list_each(l, &t->steps) {
        const struct step *s = list_entry(l, struct step, link);
        if (t->on_event && event[s->kind] != ZK_EVENT_NONE)
            t->on_event(t->ctx, event[s->kind], s->n);
    }
}

/* ---- ACLs as they are given ---- */

static bool text_is(const char *p, uint32_t n, const char *is)
{
    return n == strlen(is) && !memcmp(p, is, n);
}

/* of a name and a digest, which Java's split(":") finds two parts in */
static bool acl_digest_ok(const char *p, uint32_t n)
{
    const char *colon = memchr(p, ':', n);
    const char *end = p + n;
    return colon && colon + 1 < end && !memchr(colon + 1, ':', (size_t)(end - colon - 1));
}

static bool acl_same(const struct zk_acl *a, const struct zk_acl *b)
{
    return a->perms == b->perms && a->scheme_len == b->scheme_len && a->id_len == b->id_len &&
           !memcmp(a->scheme, b->scheme, a->scheme_len) && !memcmp(a->id, b->id, a->id_len);
}

static bool acl_seen(struct zk_list all, uint32_t before, const struct zk_acl *a)
{
    struct zk_acl b;
    for (uint32_t i = 0; i < before && zk_proto_acl_next(&all, &b); i++)
        if (acl_same(a, &b))
            return true;
    return false;
}

/* adds what a stands for; false: it stands for nothing */
static bool acl_add(struct wbuf *w, uint32_t *n, const struct lab_zk_change *c,
                    const struct zk_acl *a)
{
    uint32_t before = *n;
    if (!a->scheme || !a->id)
        return false;
    if (text_is(a->scheme, a->scheme_len, "auth")) { /* whoever I have proved to be */
        for (uint32_t i = 0; i < c->n_ids; i++) {
            const struct lab_zk_id *id = &c->ids[i];
            if (!strcmp(id->scheme, "ip"))
                continue; /* is no proof */
            const struct zk_acl mine = {a->perms, id->scheme, id->id, (uint32_t)strlen(id->scheme),
                                        (uint32_t)strlen(id->id)};
            zk_proto_acl_put(w, n, &mine);
        }
        return *n > before;
    }
    if (!(text_is(a->scheme, a->scheme_len, "world") && text_is(a->id, a->id_len, "anyone")) &&
        !(text_is(a->scheme, a->scheme_len, "digest") && acl_digest_ok(a->id, a->id_len)) &&
        !(text_is(a->scheme, a->scheme_len, "ip") && a->id_len))
        return false;
    zk_proto_acl_put(w, n, a);
    return true;
}

/* the ACL that a node will have; 0, or ZK_ERR_INVALID_ACL */
static int32_t acl_fix(struct lab_zk_tree *t, const struct lab_zk_change *c, struct zk_list given,
                       struct zk_list *ret_acl)
{
    struct zk_list l = given;
    struct zk_acl a;
    bool ok = given.n > 0 && given.n <= ACLS_MAX;
    size_t cap = given.len + (ok ? given.n : 0) * c->n_ids * (sizeof *c->ids + 16) + 1;
    struct wbuf w = wbuf_make(mem_alloc(t->mem, cap), cap);
    ASSERT(w.p != NULL);
    *ret_acl = (struct zk_list){NULL, 0, 0};
    for (uint32_t i = 0; ok && zk_proto_acl_next(&l, &a); i++)
        if (!acl_seen(given, i, &a))
            ok = acl_add(&w, &ret_acl->n, c, &a);
    ASSERT(!w.bad);
    if (ok) {
        ret_acl->p = lab_zk_tree_bytes(t, w.p, (uint32_t)w.len);
        ret_acl->len = (uint32_t)w.len;
    }
    mem_free(t->mem, w.p, cap);
    return ok ? 0 : ZK_ERR_INVALID_ACL;
}

/* ---- the operations ---- */

/* the length of the parent's part of a path; -1: it has none that could be one */
static int32_t path_parent(const struct zk_request *q)
{
    int32_t at = (int32_t)q->path_len - 1;
    while (at >= 0 && q->path[at] != '/')
        at--;
    return memchr(q->path, 0, q->path_len) ? -1 : at;
}

/* 0, or ZK_ERR_NO_NODE, ZK_ERR_NO_AUTH */
static int32_t find(const struct lab_zk_tree *t, const struct lab_zk_change *c, const char *path,
                    uint32_t len, int32_t perm, struct lab_zk_node **ret_n)
{
    *ret_n = lab_zk_tree_find(t, path, len);
    if (!*ret_n)
        return ZK_ERR_NO_NODE;
    return lab_zk_tree_allows(*ret_n, perm, c->ids, c->n_ids) ? 0 : ZK_ERR_NO_AUTH;
}

static int32_t next_version(int32_t v)
{
    return (int32_t)((uint32_t)v + 1);
}

/* path is whole now, also if it is a sequential one's */
static int32_t create_node(struct lab_zk_tree *t, const struct lab_zk_change *c,
                           const struct zk_request *q, struct lab_zk_node *parent, const char *path,
                           struct zk_list *acl, struct lab_zk_result *r)
{
    uint32_t len = (uint32_t)strlen(path);
    if (zk_proto_path_wrong(path, len, false))
        return ZK_ERR_BAD_ARGUMENTS;
    if (lab_zk_tree_find(t, path, len))
        return ZK_ERR_NODE_EXISTS;
    if (parent->stat.owner)
        return ZK_ERR_NO_CHILDREN_FOR_EPHEMERALS;
    if (t->nodes >= t->bounds.nodes || t->bytes + len + q->data_len + acl->len > t->bounds.bytes)
        return ZK_ERR_SYSTEM;
    struct lab_zk_node *n = lab_zk_tree_node(t, path, len);
    n->parent = parent;
    step_push(t, STEP_CREATE, n);
    n->acl = *acl;
    acl->p = NULL; /* it is the node's now */
    if (q->data)
        n->data = lab_zk_tree_bytes(t, q->data, q->data_len);
    n->data_cap = q->data ? q->data_len : 0;
    n->stat.czxid = n->stat.mzxid = n->stat.pzxid = c->zxid;
    n->stat.ctime_ms = n->stat.mtime_ms = c->time_ms;
    bool is_ephemeral =
        q->flags == ZK_CREATE_EPHEMERAL || q->flags == ZK_CREATE_EPHEMERAL_SEQUENTIAL;
    n->stat.owner = is_ephemeral ? c->session : 0;
    parent->stat.cversion = next_version(parent->stat.cversion);
    parent->stat.pzxid = c->zxid;
    lab_zk_tree_link(t, n);
    r->path = n->path;
    r->path_len = n->path_len;
    r->stat = lab_zk_tree_stat(n);
    return 0;
}

static int32_t op_create(struct lab_zk_tree *t, const struct lab_zk_change *c,
                         const struct zk_request *q, struct lab_zk_result *r)
{
    if (q->flags < 0 || q->flags > ZK_CREATE_TTL_SEQUENTIAL)
        return ZK_ERR_BAD_ARGUMENTS;
    if (q->flags >= ZK_CREATE_TTL)
        return ZK_ERR_UNIMPLEMENTED;
    if (c->session && !lab_zk_tree_session(t, c->session))
        return ZK_ERR_SESSION_EXPIRED;
    int32_t up = path_parent(q);
    if (up < 0)
        return ZK_ERR_BAD_ARGUMENTS;
    struct zk_list acl;
    int32_t err = acl_fix(t, c, q->acl, &acl);
    if (err)
        return err;
    struct lab_zk_node *parent;
    err = find(t, c, q->path, (uint32_t)up, ZK_PERM_CREATE, &parent);
    if (!err) {
        size_t cap = q->path_len + 16;
        char *path = mem_alloc(t->mem, cap);
        ASSERT(path != NULL);
        memcpy(path, q->path, q->path_len);
        path[q->path_len] = 0;
        if (zk_proto_is_sequential(q->flags))
            fmt_into(path + q->path_len, 16, "%010d", (int)parent->stat.cversion);
        err = create_node(t, c, q, parent, path, &acl, r);
        mem_free(t->mem, path, cap);
    }
    lab_zk_tree_bytes_free(t, acl.p, acl.len);
    return err;
}

static int32_t op_delete(struct lab_zk_tree *t, const struct lab_zk_change *c,
                         const struct zk_request *q)
{
    if (!lab_zk_tree_session(t, c->session))
        return ZK_ERR_SESSION_EXPIRED;
    int32_t up = path_parent(q);
    if (up < 0 || text_is(q->path, q->path_len, "/") ||
        text_is(q->path, q->path_len, "/zookeeper") ||
        text_is(q->path, q->path_len, "/zookeeper/quota") ||
        text_is(q->path, q->path_len, "/zookeeper/config"))
        return ZK_ERR_BAD_ARGUMENTS;
    struct lab_zk_node *parent, *n;
    int32_t err = find(t, c, q->path, (uint32_t)up, ZK_PERM_DELETE, &parent);
    if (err)
        return err;
    n = lab_zk_tree_find(t, q->path, q->path_len);
    if (!n)
        return ZK_ERR_NO_NODE;
    if (q->version != -1 && q->version != n->stat.version)
        return ZK_ERR_BAD_VERSION;
    if (n->stat.children)
        return ZK_ERR_NOT_EMPTY;
    step_push(t, STEP_DELETE, n);
    lab_zk_tree_unlink(t, n);
    parent->stat.pzxid = c->zxid;
    return 0;
}

static int32_t op_set_data(struct lab_zk_tree *t, const struct lab_zk_change *c,
                           const struct zk_request *q, struct lab_zk_result *r)
{
    struct lab_zk_node *n;
    int32_t err = find(t, c, q->path, q->path_len, ZK_PERM_WRITE, &n);
    if (err)
        return err;
    if (q->version != -1 && q->version != n->stat.version)
        return ZK_ERR_BAD_VERSION;
    uint32_t len = q->data ? q->data_len : 0;
    if (t->bytes - n->data_cap + len > t->bounds.bytes)
        return ZK_ERR_SYSTEM;
    struct step *s = step_push(t, STEP_DATA, n);
    s->data = n->data;
    s->data_cap = n->data_cap;
    n->data = q->data ? lab_zk_tree_bytes(t, q->data, len) : NULL;
    n->data_cap = len;
    t->bytes += len;
    t->bytes -= s->data_cap;
    n->stat.version = next_version(n->stat.version);
    n->stat.mzxid = c->zxid;
    n->stat.mtime_ms = c->time_ms;
    r->stat = lab_zk_tree_stat(n);
    return 0;
}

static int32_t op_set_acl(struct lab_zk_tree *t, const struct lab_zk_change *c,
                          const struct zk_request *q, struct lab_zk_result *r)
{
    struct zk_list acl;
    struct lab_zk_node *n;
    int32_t err = acl_fix(t, c, q->acl, &acl);
    if (err)
        return err;
    err = find(t, c, q->path, q->path_len, ZK_PERM_ADMIN, &n);
    if (!err && q->version != -1 && q->version != n->stat.aversion)
        err = ZK_ERR_BAD_VERSION;
    if (!err && t->bytes - n->acl.len + acl.len > t->bounds.bytes)
        err = ZK_ERR_SYSTEM;
    if (err) {
        lab_zk_tree_bytes_free(t, acl.p, acl.len);
        return err;
    }
    struct step *s = step_push(t, STEP_ACL, n);
    s->acl = n->acl;
    n->acl = acl;
    t->bytes += acl.len;
    t->bytes -= s->acl.len;
    n->stat.aversion = next_version(n->stat.aversion);
    r->stat = lab_zk_tree_stat(n);
    return 0;
}

static int32_t op_check(struct lab_zk_tree *t, const struct lab_zk_change *c,
                        const struct zk_request *q)
{
    struct lab_zk_node *n;
    int32_t err = find(t, c, q->path, q->path_len, ZK_PERM_READ, &n);
    return err || q->version == -1 || q->version == n->stat.version ? err : ZK_ERR_BAD_VERSION;
}

static int32_t op_one(struct lab_zk_tree *t, const struct lab_zk_change *c,
                      const struct zk_request *q, struct lab_zk_result *r)
{
    *r = (struct lab_zk_result){.op = q->op};
    if (c->refused)
        return c->refused;
    if (!q->path)
        return ZK_ERR_MARSHALLING;
    if (q->op == ZK_OP_CREATE || q->op == ZK_OP_CREATE2)
        return op_create(t, c, q, r);
    if (q->op == ZK_OP_DELETE)
        return op_delete(t, c, q);
    if (c->session && !lab_zk_tree_session(t, c->session))
        return ZK_ERR_SESSION_EXPIRED;
    if (zk_proto_path_wrong(q->path, q->path_len, false))
        return ZK_ERR_BAD_ARGUMENTS;
    switch (q->op) {
    case ZK_OP_SET_DATA:
        return op_set_data(t, c, q, r);
    case ZK_OP_SET_ACL:
        return op_set_acl(t, c, q, r);
    case ZK_OP_CHECK:
        return op_check(t, c, q);
    default:
        return ZK_ERR_UNIMPLEMENTED;
    }
}

static int32_t apply_multi(struct lab_zk_tree *t, const struct lab_zk_change *c,
                           struct lab_zk_result *ret_results)
{
    struct zk_list ops = c->q->ops;
    struct zk_request q;
    uint32_t n = 0, at = 0;
    int32_t err = c->refused;
    for (; !err && zk_proto_op_next(&ops, &q); n++) {
        ASSERT(n < LAB_ZK_OPS);
        err = op_one(t, c, &q, &ret_results[n]);
        if (q.op == ZK_OP_CREATE2) /* servers take it for the older one in here */
            ret_results[n].op = ZK_OP_CREATE;
        at = n;
    }
    if (!err)
        return 0;
    for (uint32_t i = 0; i < c->q->ops.n; i++)
        ret_results[i] = (struct lab_zk_result){.op = ZK_OP_ERROR,
                                                .err = i < at    ? 0
                                                       : i == at ? err
                                                                 : ZK_ERR_INCONSISTENCY};
    return err;
}

int32_t lab_zk_tree_apply(struct lab_zk_tree *t, const struct lab_zk_change *c,
                          struct lab_zk_result *ret_results)
{
    ASSERT(c->zxid > t->zxid);
    lab_zk_tree_settle(t);
    t->zxid = c->zxid;
    int32_t err;
    if (c->q->op == ZK_OP_MULTI)
        err = apply_multi(t, c, ret_results);
    else
        err = ret_results->err = op_one(t, c, c->q, ret_results);
    if (err)
        steps_undo(t);
    else
        steps_tell(t);
    return err;
}
