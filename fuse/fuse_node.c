/* fuse/fuse_node.c - a chained hash table of inodes and a lossy table of names.
 *
 * INVARIANTS
 *  1. A node lives exactly as long as nlookup or handles is not 0.
 *  2. Growth doubles the buckets; a walk keeps its place by the low bits of the hash and visits
 *     every node that is there during the whole walk at least once: a bucket's nodes move to it and
 *     to one with a higher number only.
 *  3. name_until_ns never says earlier than the truth.
 *
 * Names are not stored: a hash and a time answer the only question asked, "may the kernel still
 * have this?", in 8 bytes. */
#include "fuse/fuse_node.h"

enum { NODES_FIRST = 1024 };

static uint64_t node_slot(struct ino ino, uint64_t n_buckets)
{
    return base_mix_u64(ino.v) & (n_buckets - 1);
}

int fuse_node_init(struct fuse_nodes *t, struct mem *m)
{
    memset(t, 0, sizeof *t);
    t->mem = m;
    t->n_buckets = NODES_FIRST;
    t->buckets = mem_zalloc(m, t->n_buckets * sizeof *t->buckets);
    t->name_until_ns = mem_zalloc(m, FUSE_NODE_NAMES * sizeof *t->name_until_ns);
    return t->buckets && t->name_until_ns ? 0 : E_NOMEM;
}

static struct fuse_alias **node_alias_at(struct fuse_nodes *t, uint64_t id)
{
    struct fuse_alias **at = &t->aliases[(id >> 32) % FUSE_NODE_ALIASES];
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

static void node_free_aliases(struct fuse_nodes *t, struct fuse_node *n)
{
    while (n->alias) {
        struct fuse_alias *a = n->alias;
        n->alias = a->older;
        *node_alias_at(t, a->id) = a->next;
        t->n_aliases--;
        mem_free(t->mem, a, sizeof *a);
    }
}

void fuse_node_drop(struct fuse_nodes *t)
{
    for (uint64_t i = 0; t->buckets && i < t->n_buckets; i++)
        for (struct fuse_node *n = t->buckets[i], *next; n; n = next) {
            next = n->next;
            node_free_aliases(t, n);
            mem_free(t->mem, n, sizeof *n);
        }
    mem_free(t->mem, t->buckets, t->n_buckets * sizeof *t->buckets);
    mem_free(t->mem, t->name_until_ns, FUSE_NODE_NAMES * sizeof *t->name_until_ns);
    memset(t, 0, sizeof *t);
}

struct fuse_node *fuse_node_find(struct fuse_nodes *t, struct ino ino)
{
    struct fuse_node *n = t->buckets[node_slot(ino, t->n_buckets)];
    while (n && n->ino.v != ino.v)
        n = n->next;
    return n;
}

static void node_grow(struct fuse_nodes *t)
{
    uint64_t more = t->n_buckets * 2;
    struct fuse_node **to = mem_zalloc(t->mem, more * sizeof *to);
    if (!to)
        return; /* longer chains, nothing worse */
    for (uint64_t i = 0; i < t->n_buckets; i++)
        for (struct fuse_node *n = t->buckets[i], *next; n; n = next) {
            next = n->next;
            struct fuse_node **at = &to[node_slot(n->ino, more)];
            n->next = *at;
            *at = n;
        }
    mem_free(t->mem, t->buckets, t->n_buckets * sizeof *t->buckets);
    t->buckets = to;
    t->n_buckets = more;
}

static struct fuse_node *node_get(struct fuse_nodes *t, struct ino ino)
{
    struct fuse_node *n = fuse_node_find(t, ino);
    if (n)
        return n;
    n = mem_zalloc(t->mem, sizeof *n);
    if (!n)
        return NULL;
    if (t->count >= t->n_buckets)
        node_grow(t);
    n->ino = ino;
    struct fuse_node **at = &t->buckets[node_slot(ino, t->n_buckets)];
    n->next = *at;
    *at = n;
    t->count++;
    return n;
}

struct ino fuse_node_real(const struct fuse_nodes *t, uint64_t id)
{
    if ((uint32_t)id || !id)
        return (struct ino){id};
    struct fuse_alias *a = t->aliases[(id >> 32) % FUSE_NODE_ALIASES];
    while (a && a->id != id)
        a = a->next;
    return a ? a->ino : (struct ino){0};
}

bool fuse_node_retire(struct fuse_nodes *t, struct fuse_node *n)
{
    struct fuse_alias *a = t->last_alias < UINT32_MAX ? mem_zalloc(t->mem, sizeof *a) : NULL;
    if (!a)
        return false;
    *a = (struct fuse_alias){.id = ++t->last_alias << 32, .ino = n->ino, .older = n->alias};
    *node_alias_at(t, a->id) = a;
    t->n_aliases++;
    n->n_aliases++;
    n->alias = a;
    n->open_now = n->cached = n->n_pass = 0;
    n->pass = NULL;
    n->has_pages = false;
    return true;
}

size_t fuse_node_ids(const struct fuse_node *n, struct ino *to, size_t cap)
{
    size_t used = 0;
    for (const struct fuse_alias *a = n->alias; a; a = a->older, used++)
        if (used < cap)
            to[used].v = a->id;
    if (used < cap)
        to[used] = n->ino;
    return used + 1;
}

static void node_free_if_unused(struct fuse_nodes *t, struct fuse_node *n)
{
    if (n->nlookup || n->handles)
        return;
    struct fuse_node **at = &t->buckets[node_slot(n->ino, t->n_buckets)];
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    node_free_aliases(t, n);
    mem_free(t->mem, n, sizeof *n);
    t->count--;
}

struct fuse_node *fuse_node_ref(struct fuse_nodes *t, struct ino ino)
{
    struct fuse_node *n = node_get(t, ino);
    if (n)
        n->nlookup++;
    return n;
}

void fuse_node_forget(struct fuse_nodes *t, struct ino ino, uint64_t nlookup)
{
    struct fuse_node *n = fuse_node_find(t, ino);
    if (!n)
        return;
    n->nlookup -= base_min_u64(nlookup, n->nlookup);
    node_free_if_unused(t, n);
}

struct fuse_node *fuse_node_open(struct fuse_nodes *t, struct ino ino)
{
    struct fuse_node *n = node_get(t, ino);
    if (n)
        n->handles++;
    return n;
}

void fuse_node_close(struct fuse_nodes *t, struct fuse_node *n)
{
    ASSERT(n->handles > 0);
    n->handles--;
    node_free_if_unused(t, n);
}

static int64_t *node_name_slot(const struct fuse_nodes *t, struct ino parent, const char *name,
                               size_t len)
{
    return &t->name_until_ns[base_hash(name, len, parent.v) & (FUSE_NODE_NAMES - 1)];
}

void fuse_node_name_given(struct fuse_nodes *t, struct ino parent, const char *name, size_t len,
                          int64_t until_ns)
{
    int64_t *at = node_name_slot(t, parent, name, len);
    if (*at < until_ns)
        *at = until_ns;
    if (t->entries_until_ns < until_ns)
        t->entries_until_ns = until_ns;
    struct fuse_node *n = fuse_node_find(t, parent);
    if (n && n->entries_until_ns < until_ns)
        n->entries_until_ns = until_ns;
}

int64_t fuse_node_name_until(const struct fuse_nodes *t, struct ino parent, const char *name,
                             size_t len)
{
    return *node_name_slot(t, parent, name, len);
}

size_t fuse_node_walk(const struct fuse_nodes *t, uint64_t *cursor, struct ino *to, size_t cap)
{
    size_t used = 0;
    uint64_t i = *cursor;
    for (; i < t->n_buckets; i++) {
        size_t before = used;
        const struct fuse_node *n = t->buckets[i];
        for (; n && used + n->n_aliases < cap; n = n->next)
            used += fuse_node_ids(n, to + used, cap - used);
        if (n && before) { /* does not fit whole: begin with it next time */
            used = before;
            break;
        }
        /* a chain longer than cap is cut: such a table has no memory to grow, and the rest of the
         * chain keeps its lease, as when a notification comes late */
    }
    *cursor = i < t->n_buckets ? i : 0;
    return used;
}
