/* sim/lab_zk_tree.c - see sim/lab_zk_tree.h: what is in the tree, and how it is found.  What
 * changes it is in lab_zk_tree_apply.c. */
#include "sim/lab_zk_tree_impl.h"

/* ---- nodes by their path ---- */

static uint64_t tree_hash(const char *path, uint32_t len)
{
    return base_hash(path, len, 0x7a6b);
}

struct lab_zk_node *lab_zk_tree_find(const struct lab_zk_tree *t, const char *path, uint32_t len)
{
    if (!len)
        return t->root;
    struct lab_zk_node *n = t->bucket[tree_hash(path, len) % LAB_ZK_BUCKETS];
    while (n && (n->path_len != len || memcmp(n->path, path, len)))
        n = n->chain;
    return n;
}

static struct lab_zk_node **tree_place(struct lab_zk_tree *t, const struct lab_zk_node *n)
{
    struct lab_zk_node **at = &t->bucket[tree_hash(n->path, n->path_len) % LAB_ZK_BUCKETS];
    while (*at && *at != n)
        at = &(*at)->chain;
    return at;
}

uint64_t lab_zk_tree_weight(const struct lab_zk_node *n)
{
    return n->path_len + n->data_cap + n->acl.len;
}

/* Children come in no order that a client may rely on: here by a bit of their names' hashes. */
void lab_zk_tree_link(struct lab_zk_tree *t, struct lab_zk_node *n)
{
    struct lab_zk_node **at = tree_place(t, n);
    ASSERT(*at == NULL);
    n->chain = NULL;
    *at = n;
    t->nodes++;
    t->bytes += lab_zk_tree_weight(n);
    struct lab_zk_session *s = lab_zk_tree_session(t, n->stat.owner);
    if (n->stat.owner && s)
        list_push_back(&s->ephemerals, &n->in_session);
    if (!n->parent)
        return;
    n->parent->stat.children++;
    if (tree_hash(n->path, n->path_len) >> 63)
        list_push_front(&n->parent->children, &n->in_parent);
    else
        list_push_back(&n->parent->children, &n->in_parent);
}

void lab_zk_tree_unlink(struct lab_zk_tree *t, struct lab_zk_node *n)
{
    struct lab_zk_node **at = tree_place(t, n);
    ASSERT(*at == n);
    *at = n->chain;
    t->nodes--;
    t->bytes -= lab_zk_tree_weight(n);
    if (list_linked(&n->in_session))
        list_remove(&n->in_session);
    list_remove(&n->in_parent);
    n->parent->stat.children--;
}

struct lab_zk_node *lab_zk_tree_node(struct lab_zk_tree *t, const char *path, uint32_t len)
{
    struct lab_zk_node *n = mem_zalloc(t->mem, sizeof *n);
    ASSERT(n != NULL);
    n->path = mem_alloc(t->mem, len + 1);
    ASSERT(n->path != NULL);
    memcpy(n->path, path, len);
    n->path[len] = 0;
    n->path_len = len;
    list_init(&n->in_parent);
    list_init(&n->children);
    list_init(&n->in_session);
    return n;
}

uint8_t *lab_zk_tree_bytes(struct lab_zk_tree *t, const void *p, uint32_t n)
{
    uint8_t *b = mem_alloc(t->mem, n ? n : 1);
    ASSERT(b != NULL);
    if (n)
        memcpy(b, p, n);
    return b;
}

void lab_zk_tree_bytes_free(struct lab_zk_tree *t, const uint8_t *p, uint32_t n)
{
    if (p)
        mem_free(t->mem, (void *)(uintptr_t)p, n ? n : 1);
}

void lab_zk_tree_node_free(struct lab_zk_tree *t, struct lab_zk_node *n)
{
    lab_zk_tree_bytes_free(t, n->data, n->data_cap);
    lab_zk_tree_bytes_free(t, n->acl.p, n->acl.len);
    mem_free(t->mem, n->path, n->path_len + 1);
    mem_free(t->mem, n, sizeof *n);
}

const char *lab_zk_tree_name(const struct lab_zk_node *n)
{
    return strrchr(n->path, '/') + 1;
}

struct zk_stat lab_zk_tree_stat(const struct lab_zk_node *n)
{
    struct zk_stat s = n->stat;
    s.cversion = (int32_t)(2 * (uint32_t)s.cversion - (uint32_t)s.children);
    s.data_len = n->data ? (int32_t)n->data_cap : 0;
    return s;
}

/* ---- who may ---- */

static bool text_is(const char *p, uint32_t n, const char *is)
{
    return n == strlen(is) && !memcmp(p, is, n);
}

bool lab_zk_tree_allows(const struct lab_zk_node *n, int32_t perms, const struct lab_zk_id *ids,
                        uint32_t n_ids)
{
    struct zk_list l = n->acl;
    struct zk_acl a;
    if (!l.n)
        return true; /* the nodes that were there from the first had none */
    while (zk_proto_acl_next(&l, &a)) {
        if (!(a.perms & perms))
            continue;
        if (text_is(a.scheme, a.scheme_len, "world") && text_is(a.id, a.id_len, "anyone"))
            return true;
        for (uint32_t i = 0; i < n_ids; i++)
            if (text_is(a.scheme, a.scheme_len, ids[i].scheme) &&
                text_is(a.id, a.id_len, ids[i].id))
                return true;
    }
    return false;
}

/* ---- sessions ---- */

static struct lab_zk_session **tree_session_place(const struct lab_zk_tree *t, int64_t id)
{
    struct lab_zk_session *const *head =
        &t->session[base_mix_u64((uint64_t)id) % LAB_ZK_SESSION_BUCKETS];
    struct lab_zk_session **at = (struct lab_zk_session **)(uintptr_t)head;
    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

struct lab_zk_session *lab_zk_tree_session(const struct lab_zk_tree *t, int64_t id)
{
    return *tree_session_place(t, id);
}

int32_t lab_zk_tree_session_open(struct lab_zk_tree *t, int64_t zxid, int64_t id,
                                 int32_t timeout_ms)
{
    struct lab_zk_session **at = tree_session_place(t, id), *s = *at;
    ASSERT(zxid > t->zxid);
    t->zxid = zxid;
    if (s || t->n_sessions == t->bounds.sessions)
        return s ? 0 : ZK_ERR_SYSTEM;
    *at = s = mem_zalloc(t->mem, sizeof *s);
    ASSERT(s != NULL);
    s->id = id;
    s->timeout_ms = timeout_ms;
    s->server = -1;
    list_init(&s->ephemerals);
    list_push_back(&t->sessions, &s->in_tree);
    t->n_sessions++;
    return 0;
}

void lab_zk_tree_session_close(struct lab_zk_tree *t, int64_t zxid, int64_t id)
{
    struct lab_zk_session **at = tree_session_place(t, id), *s = *at;
    struct list *l;
    ASSERT(zxid > t->zxid);
    t->zxid = zxid;
    if (!s)
        return;
    while ((l = list_pop(&s->ephemerals))) {
        struct lab_zk_node *n = list_entry(l, struct lab_zk_node, in_session);
        n->parent->stat.pzxid = zxid;
        lab_zk_tree_unlink(t, n);
        if (t->on_event)
            t->on_event(t->ctx, ZK_EVENT_DELETED, n);
        lab_zk_tree_node_free(t, n);
    }
    list_remove(&s->in_tree);
    *at = s->chain;
    t->n_sessions--;
    mem_free(t->mem, s, sizeof *s);
}

/* ---- the whole of it ---- */

static struct lab_zk_node *tree_first(struct lab_zk_tree *t, struct lab_zk_node *parent,
                                      const char *path)
{
    struct lab_zk_node *n = lab_zk_tree_node(t, path, (uint32_t)strlen(path));
    n->data = lab_zk_tree_bytes(t, "", 0);
    n->parent = parent;
    lab_zk_tree_link(t, n);
    return n;
}

void lab_zk_tree_init(struct lab_zk_tree *t, struct mem *m, const struct lab_zk_bounds *bounds)
{
    static const struct zk_acl anyone_reads = {ZK_PERM_READ, "world", "anyone", 5, 6};
    *t = (struct lab_zk_tree){.mem = m, .bounds = *bounds};
    list_init(&t->sessions);
    list_init(&t->steps);
    t->root = tree_first(t, NULL, "/");
    struct lab_zk_node *zk = tree_first(t, t->root, "/zookeeper");
    tree_first(t, zk, "/zookeeper/quota");
    struct lab_zk_node *config = tree_first(t, zk, "/zookeeper/config");
    uint8_t b[64];
    struct wbuf w = wbuf_make(b, sizeof b);
    zk_proto_acl_put(&w, &config->acl.n, &anyone_reads);
    config->acl.p = lab_zk_tree_bytes(t, w.p, (uint32_t)w.len);
    config->acl.len = (uint32_t)w.len;
    t->bytes += w.len;
}

void lab_zk_tree_drop(struct lab_zk_tree *t)
{
    lab_zk_tree_settle(t);
    for (uint32_t i = 0; i < LAB_ZK_BUCKETS; i++)
        for (struct lab_zk_node *n = t->bucket[i], *next; n; n = next) {
            next = n->chain;
            lab_zk_tree_node_free(t, n);
        }
    for (struct list *l; (l = list_pop(&t->sessions));)
        mem_free(t->mem, list_entry(l, struct lab_zk_session, in_tree),
                 sizeof(struct lab_zk_session));
    t->root = NULL;
}

/* n's own part of it, and of what is below it: parents come first, and siblings in their order */
static void tree_copy_node(struct lab_zk_tree *to, const struct lab_zk_node *n,
                           struct lab_zk_node *parent)
{
    struct lab_zk_node *c = lab_zk_tree_node(to, n->path, n->path_len);
    if (n->data)
        c->data = lab_zk_tree_bytes(to, n->data, n->data_cap);
    c->data_cap = n->data_cap;
    c->acl = n->acl;
    if (n->acl.p)
        c->acl.p = lab_zk_tree_bytes(to, n->acl.p, n->acl.len);
    c->stat = n->stat;
    c->parent = parent;
    *tree_place(to, c) = c;
    if (!parent)
        to->root = c;
    else
        list_push_back(&parent->children, &c->in_parent);
    to->nodes++;
    to->bytes += lab_zk_tree_weight(c);
}

void lab_zk_tree_copy(struct lab_zk_tree *to, const struct lab_zk_tree *from)
{
    struct mem *m = to->mem;
    void (*on_event)(void *, enum zk_event, const struct lab_zk_node *) = to->on_event;
    void *ctx = to->ctx;
    lab_zk_tree_drop(to);
    *to = (struct lab_zk_tree){.mem = m, .bounds = from->bounds, .on_event = on_event, .ctx = ctx};
    list_init(&to->sessions);
    list_init(&to->steps);
    tree_copy_node(to, from->root, NULL);
    const struct lab_zk_node *n = from->root;
    while (n) { /* in preorder, without a stack */
        const struct list *next = n->children.next;
        while (n && next == &n->children) { /* all below n is done */
            next = n->in_parent.next;
            n = n->parent;
        }
        if (!n)
            break;
        n = list_entry(next, struct lab_zk_node, in_parent);
        tree_copy_node(to, n, lab_zk_tree_find(to, n->parent->path, n->parent->path_len));
    }
    list_each(l, &from->sessions) {
        const struct lab_zk_session *s = list_entry(l, struct lab_zk_session, in_tree);
        to->zxid = 0;
        int32_t err = lab_zk_tree_session_open(to, 1, s->id, s->timeout_ms);
        ASSERT(!err);
        list_each(k, &s->ephemerals) {
            n = list_entry(k, struct lab_zk_node, in_session);
            list_push_back(&lab_zk_tree_session(to, s->id)->ephemerals,
                           &lab_zk_tree_find(to, n->path, n->path_len)->in_session);
        }
    }
    to->zxid = from->zxid;
}

static uint64_t tree_hash_node(const struct lab_zk_node *n)
{
    const struct zk_stat *s = &n->stat;
    const int64_t stat[] = {s->czxid,    s->mzxid,    s->ctime_ms, s->mtime_ms, s->version,
                            s->cversion, s->aversion, s->owner,    s->children, s->pzxid};
    uint64_t h = base_hash(n->path, n->path_len, 1);
    h = base_hash(stat, sizeof stat, h);
    h = base_hash(n->data ? (const void *)n->data : "", n->data_cap, h + (n->data != NULL));
    return base_hash(n->acl.p ? (const void *)n->acl.p : "", n->acl.len, h);
}

uint64_t lab_zk_tree_hash(const struct lab_zk_tree *t)
{
    uint64_t sum = (uint64_t)t->zxid; /* a sum: the order of chains says nothing */
    for (uint32_t i = 0; i < LAB_ZK_BUCKETS; i++)
        for (const struct lab_zk_node *n = t->bucket[i]; n; n = n->chain)
            sum += tree_hash_node(n);
    list_each(l, &t->sessions) {
        const struct lab_zk_session *s = list_entry(l, struct lab_zk_session, in_tree);
        sum += base_mix_u64((uint64_t)s->id ^ (uint64_t)s->timeout_ms << 40);
    }
    return sum;
}

static bool tree_check_node(const struct lab_zk_tree *t, const struct lab_zk_node *n)
{
    int32_t children = 0;
    list_each(l, &n->children)
        children++;
    if (children != n->stat.children || lab_zk_tree_find(t, n->path, n->path_len) != n)
        return false;
    if (n->stat.owner && (children || !list_linked(&n->in_session)))
        return false;
    if (!n->parent)
        return n == t->root;
    const char *slash = strrchr(n->path, '/');
    return lab_zk_tree_find(t, n->path, (uint32_t)(slash - n->path)) == n->parent &&
           n->stat.pzxid <= t->zxid && n->stat.mzxid <= t->zxid && n->stat.czxid <= n->stat.mzxid;
}

bool lab_zk_tree_check(const struct lab_zk_tree *t)
{
    uint32_t nodes = 0, sessions = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < LAB_ZK_BUCKETS; i++)
        for (const struct lab_zk_node *n = t->bucket[i]; n; n = n->chain) {
            if (!tree_check_node(t, n))
                return false;
            nodes++;
            bytes += lab_zk_tree_weight(n);
        }
    list_each(l, &t->sessions) {
        const struct lab_zk_session *s = list_entry(l, struct lab_zk_session, in_tree);
        sessions++;
        list_each(k, &s->ephemerals)
            if (list_entry(k, struct lab_zk_node, in_session)->stat.owner != s->id)
                return false;
    }
    return nodes == t->nodes && bytes == t->bytes && sessions == t->n_sessions;
}
