/* sim/lab_zk_serve.c - answers of a server of sim_zk: reads from its tree, watches, credentials,
 * and what has come of a change. */
#include "core/fmt.h"
#include "sim/lab_zk_impl.h"

/* ---- bytes ---- */

void lab_zk_send(struct lab_zk_conn *c, const void *b, size_t n)
{
    if (c->is_doomed || !c->peer.conn)
        return;
    for (size_t at = 0; at < n; at += ENV_FRAME_MAX) {
        const struct env_iov iov = {(const char *)b + at,
                                    n - at < ENV_FRAME_MAX ? n - at : ENV_FRAME_MAX};
        env_send(c->peer.conn, 0, &iov, 1);
    }
    if (env_backlog(c->peer.conn) > LAB_ZK_OUTPUT)
        lab_zk_conn_doom(c);
}

void lab_zk_reply(struct lab_zk_conn *c, const struct zk_reply *a)
{
    struct wbuf w = wbuf_make(c->p->proc->out, LAB_ZK_SCRATCH);
    zk_proto_reply_put(&w, a);
    if (w.bad)
        lab_zk_conn_doom(c);
    else
        lab_zk_send(c, w.p, w.len);
}

void lab_zk_reply_err(struct lab_zk_conn *c, int32_t xid, int32_t op, int32_t err)
{
    const struct zk_reply a = {.xid = xid, .op = op, .zxid = c->p->tree.zxid, .err = err};
    lab_zk_reply(c, &a);
}

/* ---- what is asked before a session ---- */

bool lab_zk_serve_word(struct lab_zk_conn *c)
{
    static const char *const known[] = {"conf", "cons", "crst", "dirs", "dump", "envi",
                                        "gtmk", "hash", "isro", "mntr", "ruok", "srst",
                                        "srvr", "stat", "stmk", "wchc", "wchp", "wchs"};
    const struct lab_zk_place *p = c->p;
    char text[256], word[5] = {0};
    size_t n = 0;
    memcpy(word, c->in, 4);
    for (size_t i = 0; i < ARRAY_LEN(known) && !n; i++) {
        if (strcmp(known[i], word) != 0)
            continue;
        if (strcmp(word, "srvr") != 0)
            n = fmt_into(text, sizeof text,
                         "%s is not executed because it is not in the whitelist.\n", word);
        else if (!lab_zk_serves(p))
            n = fmt_into(text, sizeof text,
                         "This ZooKeeper instance is not currently serving requests\n");
        else
            n = fmt_into(text, sizeof text, "Zookeeper version: sim\nZxid: 0x%llx\nMode: %s\n",
                         (unsigned long long)p->tree.zxid,
                         p->z->cfg.servers == 1      ? "standalone"
                         : p->role == LAB_ZK_LEADING ? "leader"
                                                     : "follower");
    }
    if (!n)
        return false;
    lab_zk_send(c, text, n);
    lab_zk_conn_doom(c);
    return true;
}

/* ---- credentials ---- */

void lab_zk_serve_auth(struct lab_zk_conn *c, int32_t xid, const void *b, uint32_t n)
{
    struct zk_request q;
    struct zk_reply a = {.xid = xid, .op = ZK_OP_AUTH};
    if (zk_proto_request_get(b, n, &q)) {
        lab_zk_conn_doom(c);
        return;
    }
    struct lab_zk_id *id = &c->ids[c->n_ids];
    bool ok = q.scheme_len == 6 && !memcmp(q.scheme, "digest", 6) && q.data &&
              c->n_ids < LAB_ZK_IDS && lab_zk_digest(q.data, q.data_len, id->id, sizeof id->id);
    if (ok) {
        memcpy(id->scheme, "digest", 7);
        uint32_t i = 0;
        while (i < c->n_ids && strcmp(c->ids[i].id, id->id) != 0)
            i++;
        c->n_ids += i == c->n_ids;
    } else
        a.err = ZK_ERR_AUTH_FAILED;
    lab_zk_reply(c, &a);
    if (!ok)
        lab_zk_conn_doom(c);
}

/* ---- reads ---- */

static bool id_is_admin(const struct lab_zk_conn *c, const struct lab_zk_req *r,
                        const struct lab_zk_node *n)
{
    return lab_zk_tree_allows(n, ZK_PERM_ADMIN, c->ids, r->n_ids);
}

/* digests are shown to who may change them only */
static struct zk_list acl_shown(struct lab_zk_conn *c, const struct lab_zk_req *r,
                                const struct lab_zk_node *n)
{
    static const struct zk_list open = {NULL, 0, 0};
    struct zk_list all = n->acl.n ? n->acl : open;
    if (!all.n)
        return zk_proto_acl_open; /* who has none has this one */
    if (id_is_admin(c, r, n))
        return all;
    struct wbuf w = wbuf_make(c->p->proc->list, LAB_ZK_SCRATCH);
    struct zk_list shown = {w.p, 0, 0};
    struct zk_acl a;
    while (zk_proto_acl_next(&all, &a)) {
        char hidden[128];
        const char *colon = memchr(a.id, ':', a.id_len);
        size_t name = colon ? (size_t)(colon - a.id) : 0;
        if (a.scheme_len == 6 && !memcmp(a.scheme, "digest", 6) && colon &&
            name + 2 < sizeof hidden) {
            memcpy(hidden, a.id, name);
            memcpy(hidden + name, ":x", 2);
            a.id = hidden;
            a.id_len = (uint32_t)name + 2;
        }
        zk_proto_acl_put(&w, &shown.n, &a);
    }
    shown.len = (uint32_t)w.len;
    return shown;
}

static struct zk_list children_of(struct lab_zk_conn *c, const struct lab_zk_node *n)
{
    struct wbuf w = wbuf_make(c->p->proc->list, LAB_ZK_SCRATCH);
    struct zk_list all = {w.p, 0, 0};
    list_each(l, &n->children) {
        const char *name = lab_zk_tree_name(list_entry(l, struct lab_zk_node, in_parent));
        zk_proto_text_put(&w, &all.n, name, (uint32_t)strlen(name));
    }
    all.len = (uint32_t)w.len;
    if (w.bad)
        lab_zk_conn_doom(c); /* more than a packet holds: clients could not read it either */
    return all;
}

/* of one node; a.err is set if it cannot be */
static void serve_read(struct lab_zk_conn *c, const struct lab_zk_req *r,
                       const struct zk_request *q, struct zk_reply *a)
{
    const char *path = q->path ? q->path : "";
    const struct lab_zk_node *n = lab_zk_tree_find(&c->p->tree, path, q->path_len);
    bool is_exists = q->op == ZK_OP_EXISTS;
    int32_t perms = ZK_PERM_READ | (q->op == ZK_OP_GET_ACL ? ZK_PERM_ADMIN : 0);
    c->p->z->stats.reads++;
    c->p->z->stats.stale_reads += c->p->applied < c->p->z->committed;
    if (is_exists && memchr(path, 0, q->path_len)) {
        a->err = ZK_ERR_BAD_ARGUMENTS;
        return;
    }
    if (!n)
        a->err = ZK_ERR_NO_NODE;
    else if (!is_exists && !lab_zk_tree_allows(n, perms, c->ids, r->n_ids))
        a->err = ZK_ERR_NO_AUTH;
    bool is_child = q->op == ZK_OP_GET_CHILDREN || q->op == ZK_OP_GET_CHILDREN2;
    if (q->watch && (!a->err || is_exists))
        lab_zk_watch_add(c, is_child, path, q->path_len);
    if (a->err)
        return;
    a->stat = lab_zk_tree_stat(n);
    if (is_child)
        a->children = children_of(c, n);
    else if (q->op == ZK_OP_GET_ACL)
        a->acl = acl_shown(c, r, n);
    else if (!is_exists) {
        a->data = n->data;
        a->data_len = n->data ? n->data_cap : 0;
    }
}

/* ---- watches ---- */

enum rearm { REARM_DATA, REARM_EXIST, REARM_CHILD };

/* what has happened since is told at once; the rest is watched */
static void rearm(struct lab_zk_conn *c, int64_t since, enum rearm kind, struct zk_list paths)
{
    const char *path;
    uint32_t len;
    struct lab_zk_stats *stats = &c->p->z->stats;
    while (!c->is_doomed && zk_proto_text_next(&paths, &path, &len)) {
        const struct lab_zk_node *n = lab_zk_tree_find(&c->p->tree, path ? path : "", len);
        enum zk_event what = ZK_EVENT_NONE;
        if (kind == REARM_EXIST)
            what = n ? ZK_EVENT_CREATED : ZK_EVENT_NONE;
        else if (!n)
            what = ZK_EVENT_DELETED;
        else if (kind == REARM_DATA && n->stat.mzxid > since)
            what = ZK_EVENT_DATA;
        else if (kind == REARM_CHILD && n->stat.pzxid > since)
            what = ZK_EVENT_CHILDREN;
        stats->rearmed++;
        stats->fired_at_once += what != ZK_EVENT_NONE;
        if (what != ZK_EVENT_NONE)
            lab_zk_watch_tell(c, what, path, len);
        else
            lab_zk_watch_add(c, kind == REARM_CHILD, path ? path : "", len);
    }
}

static int32_t serve_watches(struct lab_zk_conn *c, const struct zk_request *q)
{
    if (q->persistent_watches.n || q->recursive_watches.n)
        return ZK_ERR_UNIMPLEMENTED;
    rearm(c, q->zxid, REARM_DATA, q->data_watches);
    rearm(c, q->zxid, REARM_EXIST, q->exist_watches);
    rearm(c, q->zxid, REARM_CHILD, q->child_watches);
    return 0;
}

static int32_t serve_watcher(struct lab_zk_conn *c, const struct zk_request *q)
{
    bool found = false, removes = q->op == ZK_OP_REMOVE_WATCHES;
    if (q->flags < ZK_WATCHER_CHILDREN || q->flags > ZK_WATCHER_ANY || !q->path)
        return ZK_ERR_MARSHALLING;
    for (int child = 0; child < 2; child++) {
        if (!(q->flags & (child ? ZK_WATCHER_CHILDREN : ZK_WATCHER_DATA)))
            continue;
        found |= removes ? lab_zk_watch_remove(c, child, q->path, q->path_len)
                         : lab_zk_watch_has(c, child, q->path, q->path_len);
    }
    return found ? 0 : ZK_ERR_NO_WATCHER;
}

/* ---- lists ---- */

static bool below(const char *path, const struct zk_request *q)
{
    return !q->path_len || !strncmp(path, q->path, q->path_len);
}

static struct zk_list ephemerals_of(struct lab_zk_conn *c, const struct zk_request *q)
{
    struct wbuf w = wbuf_make(c->p->proc->list, LAB_ZK_SCRATCH);
    struct zk_list all = {w.p, 0, 0};
    const struct lab_zk_session *s = lab_zk_tree_session(&c->p->tree, c->session);
    if (s)
        list_each(l, &s->ephemerals) {
            const struct lab_zk_node *n = list_entry(l, struct lab_zk_node, in_session);
            if (below(n->path, q))
                zk_proto_text_put(&w, &all.n, n->path, n->path_len);
        }
    all.len = (uint32_t)w.len;
    if (w.bad)
        lab_zk_conn_doom(c);
    return all;
}

static struct zk_list ids_of(struct lab_zk_conn *c, const struct lab_zk_req *r)
{
    struct wbuf w = wbuf_make(c->p->proc->list, LAB_ZK_SCRATCH);
    struct zk_list all = {w.p, 0, 0};
    for (uint32_t i = 0; i < r->n_ids; i++) {
        const struct lab_zk_id *id = &c->ids[i];
        zk_proto_text_put(&w, &all.n, id->scheme, (uint32_t)strlen(id->scheme));
        zk_proto_text_put(&w, &all.n, id->id, (uint32_t)strcspn(id->id, ":"));
    }
    all.len = (uint32_t)w.len;
    return all;
}

static int32_t count_below(const struct lab_zk_node *n)
{
    int32_t all = 0;
    const struct lab_zk_node *at = n;
    for (const struct list *next = n->children.next;;) { /* in preorder, without a stack */
        while (next == &at->children) {
            if (at == n)
                return all;
            next = at->in_parent.next;
            at = at->parent;
        }
        at = list_entry(next, struct lab_zk_node, in_parent);
        next = at->children.next;
        all++;
    }
}

static void serve_count(struct lab_zk_conn *c, const struct lab_zk_req *r,
                        const struct zk_request *q, struct zk_reply *a)
{
    const struct lab_zk_node *n =
        lab_zk_tree_find(&c->p->tree, q->path ? q->path : "", q->path_len);
    if (!n)
        a->err = ZK_ERR_NO_NODE;
    else if (!lab_zk_tree_allows(n, ZK_PERM_READ, c->ids, r->n_ids))
        a->err = ZK_ERR_NO_AUTH;
    else
        a->number = count_below(n);
}

void lab_zk_serve(struct lab_zk_conn *c, const struct lab_zk_req *r)
{
    struct zk_request q = {0};
    struct zk_reply a = {.xid = r->xid, .op = r->op, .zxid = c->p->tree.zxid};
    bool has_path = r->op != ZK_OP_PING && r->op != ZK_OP_WHO_AM_I && r->op != ZK_OP_SET_WATCHES &&
                    r->op != ZK_OP_SET_WATCHES2;
    if (zk_proto_request_get(r->body, r->n_body, &q) || (has_path && !q.path)) {
        lab_zk_reply_err(c, r->xid, r->op, ZK_ERR_MARSHALLING);
        return;
    }
    switch (q.op) {
    case ZK_OP_PING:
        c->p->z->stats.pings++;
        a.xid = ZK_XID_PING;
        break;
    case ZK_OP_SYNC:
        c->p->z->stats.syncs++;
        a.path = q.path;
        a.path_len = q.path_len;
        break;
    case ZK_OP_SET_WATCHES:
    case ZK_OP_SET_WATCHES2:
        a.err = serve_watches(c, &q);
        break;
    case ZK_OP_CHECK_WATCHES:
    case ZK_OP_REMOVE_WATCHES:
        a.err = serve_watcher(c, &q);
        break;
    case ZK_OP_GET_EPHEMERALS:
        a.children = ephemerals_of(c, &q);
        break;
    case ZK_OP_WHO_AM_I:
        a.children = ids_of(c, r);
        break;
    case ZK_OP_GET_ALL_CHILDREN_NUMBER:
        serve_count(c, r, &q, &a);
        break;
    default:
        serve_read(c, r, &q, &a);
        break;
    }
    lab_zk_reply(c, &a);
}

/* ---- changes ---- */

void lab_zk_serve_changed(struct lab_zk_conn *c, const struct lab_zk_req *q, int32_t err,
                          const struct lab_zk_result *results, uint32_t n)
{
    struct zk_reply a = {.xid = q->xid, .op = q->op, .zxid = c->p->tree.zxid, .err = err};
    struct wbuf w = wbuf_make(c->p->proc->list, LAB_ZK_SCRATCH);
    if (q->op == ZK_OP_MULTI && (n || !err)) {
        a.err = 0; /* its operations say */
        for (uint32_t i = 0; i < n; i++) {
            const struct lab_zk_result *r = &results[i];
            const struct zk_reply one = {.op = r->op,
                                         .err = r->err,
                                         .path = r->path,
                                         .path_len = r->path_len,
                                         .stat = r->stat};
            zk_proto_result_put(&w, &a.results.n, &one);
        }
        a.results.p = w.p;
        a.results.len = (uint32_t)w.len;
    } else if (!err && n) {
        a.path = results->path;
        a.path_len = results->path_len;
        a.stat = results->stat;
    }
    if (w.bad)
        lab_zk_conn_doom(c);
    lab_zk_reply(c, &a);
}
