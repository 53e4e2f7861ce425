/* cluster/client_cache.c - what the master said, for as long as its lease lasts.
 *
 * INVARIANTS
 *  1. An entry is used only before its own end and before the session's lease runs out.
 *  2. Invalidations are counted.  A mutation's answer is handed on but not kept when an
 *     invalidation that concerns its inode arrived since it was asked for: it waited for others'
 *     acknowledgements and may be older than the change.  A query's answer is as new as its
 *     arrival (client_fs.c says why).
 *  3. Dropping everything, or every name in a directory, is one number: entries carry the count at
 *     which they were made.  Directories share CLIENT_STAMPS such numbers; sharing one drops more
 *     than needed, never less.
 *  4. At most `max` entries; a second chance for those used since the hand passed (CLOCK).
 *  5. An answer that is not kept takes away what it contradicts: of one thing nobody sees something
 *     new and then, from here, something old.
 *  6. Nobody tells us of a change of our own but its answer.  Until that is here nothing that the
 *     change may concern is answered from what is kept: it may be made already, and another's later
 *     one, which took notice of it, be answered.
 *
 * Kinds: attributes of an inode; a name in a directory (value: the inode, 0: it is known to be
 * absent); a link's target; a file's layout (value: mount, data: path); a directory's path below,
 * the same way.  Attributes of a file that somebody writes are not kept.  Those of a file that came
 * with its name keep that, too (value: the directory, data: the name follows): once a file of the
 * directory was opened, where the others lie is known, and they are opened without a question. */
#include "cluster/client_impl.h"
#include "core/fmt.h"
#include "core/mutant.h"

enum cent_kind { CENT_ATTR, CENT_NAME, CENT_LINK, CENT_LAYOUT, CENT_PATH };

struct client_cent {
    struct client_cent *next;
    struct list lru;
    uint64_t stamp, ino, value;
    int64_t until_ns;
    uint32_t hash;
    uint16_t len;
    uint8_t kind;
    bool used;
    char data[];
};

static size_t cent_bytes(const struct client_cent *e)
{
    return sizeof *e + e->len;
}

static uint32_t cent_hash(enum cent_kind kind, uint64_t ino, const void *name, size_t n)
{
    uint64_t h = base_mix_u64(ino ^ (uint64_t)kind << 60);
    return (uint32_t)(kind == CENT_NAME ? base_hash(name, n, h) : h);
}

static uint32_t stamp_slot(uint64_t ino)
{
    return (uint32_t)base_mix_u64(ino) & (CLIENT_STAMPS - 1);
}

int client_cache_init(struct client *c)
{
    struct client_cache *k = &c->cache;
    list_init(&k->lru);
    k->max = c->cfg.cache_entries;
    k->n_buckets = 16;
    while (k->n_buckets < k->max / 2 && k->n_buckets < 1u << 24)
        k->n_buckets *= 2;
    k->buckets = mem_zalloc(c->mem, k->n_buckets * sizeof *k->buckets);
    k->stamp = 1;
    return k->buckets ? 0 : E_NOMEM;
}

static struct client_cent **cent_at(struct client_cache *k, enum cent_kind kind, uint64_t ino,
                                    const void *name, size_t n, uint32_t hash)
{
    struct client_cent **at = &k->buckets[hash & (k->n_buckets - 1)];
    for (; *at; at = &(*at)->next) {
        struct client_cent *e = *at;
        if (e->hash == hash && e->kind == kind && e->ino == ino &&
            (kind != CENT_NAME || (e->len == n && !memcmp(e->data, name, n))))
            break;
    }
    return at;
}

static void cent_drop(struct client *c, struct client_cent **at)
{
    struct client_cent *e = *at;
    *at = e->next;
    list_remove(&e->lru);
    c->cache.n--;
    mem_free(c->mem, e, cent_bytes(e));
}

static void cent_evict(struct client *c)
{
    struct client_cache *k = &c->cache;
    for (;;) {
        struct client_cent *e = list_entry(k->lru.next, struct client_cent, lru);
        if (e->used && e->stamp > k->all_stamp) {
            e->used = false;
            list_remove(&e->lru);
            list_push_back(&k->lru, &e->lru);
            continue;
        }
        cent_drop(c, cent_at(k, e->kind, e->ino, e->data, e->len, e->hash));
        return;
    }
}

/* a valid entry or NULL */
static struct client_cent *cent_find(struct client *c, enum cent_kind kind, uint64_t ino,
                                     const void *name, size_t n)
{
    struct client_cache *k = &c->cache;
    struct client_cent **at = cent_at(k, kind, ino, name, n, cent_hash(kind, ino, name, n));
    struct client_cent *e = *at;
    if (!e)
        return NULL;
    bool gone = e->stamp <= k->all_stamp ||
                (env_now_ns(c->env) >= e->until_ns && !MUTANT(LEASE_IGNORED)) ||
                (kind == CENT_NAME && e->stamp <= k->dir_stamp[stamp_slot(ino)]) ||
                ((kind == CENT_LAYOUT || kind == CENT_PATH) && e->stamp <= k->layout_stamp);
    if (gone) {
        cent_drop(c, at);
        return NULL;
    }
    e->used = true;
    return e;
}

static void cent_put(struct client *c, enum cent_kind kind, uint64_t ino, const void *name,
                     size_t n, const void *data, size_t data_len, uint64_t value, int64_t until_ns)
{
    struct client_cache *k = &c->cache;
    uint32_t hash = cent_hash(kind, ino, name, n);
    struct client_cent **at = cent_at(k, kind, ino, name, n, hash);
    if (*at)
        cent_drop(c, at);
    if (data_len > LIMIT_PATH || !k->max)
        return;
    while (k->n >= k->max)
        cent_evict(c);
    struct client_cent *e = mem_alloc(c->mem, sizeof *e + data_len);
    while (!e && k->n) {
        cent_evict(c);
        e = mem_alloc(c->mem, sizeof *e + data_len);
    }
    if (!e)
        return;
    *e = (struct client_cent){.stamp = ++k->stamp,
                              .ino = ino,
                              .value = value,
                              .until_ns = until_ns,
                              .hash = hash,
                              .len = (uint16_t)data_len,
                              .kind = (uint8_t)kind};
    if (data_len)
        memcpy(e->data, data, data_len);
    struct client_cent **head = &k->buckets[hash & (k->n_buckets - 1)];
    e->next = *head;
    *head = e;
    list_push_back(&k->lru, &e->lru);
    k->n++;
}

static void cent_remove(struct client *c, enum cent_kind kind, uint64_t ino, const void *name,
                        size_t n)
{
    struct client_cent **at = cent_at(&c->cache, kind, ino, name, n, cent_hash(kind, ino, name, n));
    if (*at)
        cent_drop(c, at);
}

/* --- dropping --- */

void client_cache_inval_all(struct client *c)
{
    struct client_cache *k = &c->cache;
    k->all_stamp = ++k->stamp;
}

static void cache_drop_ino(struct client *c, uint64_t ino)
{
    struct client_cache *k = &c->cache;
    k->inval_stamp[stamp_slot(ino)] = ++k->stamp;
    cent_remove(c, CENT_ATTR, ino, NULL, 0);
    cent_remove(c, CENT_LINK, ino, NULL, 0);
    cent_remove(c, CENT_LAYOUT, ino, NULL, 0);
}

/* a name and what depends on it: the directory's attributes, and its target's place and link count
 */
static void cache_drop_name(struct client *c, uint64_t dir, const char *name, size_t n)
{
    struct client_cent *e = cent_find(c, CENT_NAME, dir, name, n);
    if (e && e->value) {
        struct client_cent *a = cent_find(c, CENT_ATTR, e->value, NULL, 0);
        struct fsattr attr = {0};
        if (a)
            memcpy(&attr, a->data, sizeof attr);
        if ((attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR) /* paths of all below it may change */
            c->cache.layout_stamp = ++c->cache.stamp;
        cache_drop_ino(c, e->value);
    }
    if (!(MUTANT(NEGATIVE_KEPT) && e && !e->value))
        cent_remove(c, CENT_NAME, dir, name, n);
    cache_drop_ino(c, dir);
}

void client_cache_inval(struct client *c, const struct rpc_inval *i)
{
    struct client_cache *k = &c->cache;
    switch (i->kind) {
    case RPC_INVAL_ENTRY:
        cache_drop_name(c, i->ino.v, i->name, i->name_len);
        break;
    case RPC_INVAL_ATTR:
    case RPC_INVAL_DATA:
        cache_drop_ino(c, i->ino.v);
        break;
    case RPC_INVAL_DIR:
        if (!i->ino.v) {
            client_cache_inval_all(c);
            break;
        }
        cache_drop_ino(c, i->ino.v);
        k->dir_stamp[stamp_slot(i->ino.v)] = k->layout_stamp = ++k->stamp;
        break;
    default: /* of a later version: the safe thing */
        client_cache_inval_all(c);
        break;
    }
}

void client_cache_own(struct client *c, const struct fsop *op, const struct fsop_reply *rep)
{
    switch (op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        cache_drop_name(c, op->ino.v, op->name, op->name_len);
        break;
    case FSOP_LINK:
        cache_drop_ino(c, op->ino.v);
        cache_drop_name(c, op->ino2.v, op->name, op->name_len);
        break;
    case FSOP_RENAME:
        if ((rep->attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR || (op->flags & FSOP_F_EXCHANGE))
            c->cache.layout_stamp = ++c->cache.stamp;
        cache_drop_name(c, op->ino.v, op->name, op->name_len);
        cache_drop_name(c, op->ino2.v, op->name2, op->name2_len);
        break;
    case FSOP_MOUNT:
    case FSOP_UNMOUNT:
    case FSOP_LOAD:
        client_cache_inval_all(c);
        break;
    default:
        cache_drop_ino(c, op->ino.v);
        break;
    }
    if (rep->attr.ino.v)
        cache_drop_ino(c, rep->attr.ino.v);
}

/* what is kept and is not what an answer says goes; true: nothing of the inode that it is about */
static bool cache_contradict(struct client *c, const struct fsop *op, const struct fsop_reply *rep)
{
    uint64_t ino = rep->err ? 0 : rep->attr.ino.v;
    bool is_same = false;
    if (ino) {
        struct client_cent *a = cent_find(c, CENT_ATTR, ino, NULL, 0);
        is_same = a && !memcmp(a->data, &rep->attr, sizeof rep->attr);
        if (a && !is_same)
            cache_drop_ino(c, ino);
    }
    if (rep->err == E_STALE) /* it is gone */
        cache_drop_ino(c, op->ino.v);
    if (op->kind == FSOP_LOOKUP && (!rep->err || rep->err == E_NOENT)) {
        struct client_cent *e = cent_find(c, CENT_NAME, op->ino.v, op->name, op->name_len);
        if (e && e->value != ino)
            cache_drop_name(c, op->ino.v, op->name, op->name_len);
    }
    return is_same;
}

/* Nobody told us of the change that a standby has seen already: the leader's word is on its way. */
void client_cache_aside(struct client *c, const struct fsop *op, const struct fsop_reply *rep)
{
    struct client_cache *k = &c->cache;
    const uint64_t inos[2] = {op->ino.v, rep->err ? 0 : rep->attr.ino.v};
    for (int i = 0; i < 2; i++) {
        uint64_t *index = &k->aside_index[stamp_slot(inos[i])];
        *index = base_max_u64(*index, rep->index);
    }
    if (MUTANT(READ_STANDBY_BESIDE))
        return;
    if (!cache_contradict(c, op, rep) && op->kind == FSOP_READDIR)
        k->dir_stamp[stamp_slot(op->ino.v)] = ++k->stamp;
}

/* Nor of a change of our own that was made and waits for others to drop what they kept: the first
 * to tell is an answer, perhaps one that may not be kept itself. */
void client_cache_unkept(struct client *c, const struct fsop *op, const struct fsop_reply *rep)
{
    if (!MUTANT(CACHE_OLDER_STAYS))
        (void)cache_contradict(c, op, rep);
}

/* --- answering --- */

/* May the caller do it, by mode bits?  Only a yes counts: a no is asked of the master. */
static bool cache_allows(const struct fsattr *a, const struct fsop *op, uint32_t want)
{
    if (op->uid == 0 || MUTANT(CREDENTIALS_STALE))
        return !(want & FSOP_ACCESS_X) || (a->mode & 0111) ||
               (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
    unsigned shift = 0;
    bool in_group = op->gid == a->gid;
    for (uint32_t i = 0; i < op->n_groups && i < LIMIT_GROUPS; i++)
        in_group |= op->groups[i] == a->gid;
    if (op->uid == a->uid)
        shift = 6;
    else if (in_group)
        shift = 3;
    return (a->mode >> shift & want) == want;
}

static bool cache_attr(struct client *c, struct ino ino, struct fsattr *ret_a, int64_t *until_ns)
{
    struct client_cent *e = cent_find(c, CENT_ATTR, ino.v, NULL, 0);
    if (!e)
        return false;
    memcpy(ret_a, e->data, sizeof *ret_a);
    if (e->until_ns < *until_ns)
        *until_ns = e->until_ns;
    return true;
}

static bool cache_lookup(struct client *c, struct client_req *r, int64_t *until_ns)
{
    const struct fsop *op = &r->fsop;
    struct fsattr dir;
    if (!cache_attr(c, op->ino, &dir, until_ns) || (dir.mode & FSOP_S_IFMT) != FSOP_S_IFDIR ||
        !cache_allows(&dir, op, FSOP_ACCESS_X))
        return false;
    struct client_cent *e = cent_find(c, CENT_NAME, op->ino.v, op->name, op->name_len);
    if (!e)
        return false;
    if (e->until_ns < *until_ns)
        *until_ns = e->until_ns;
    if (!e->value) {
        r->reply.err = E_NOENT;
        return true;
    }
    return cache_attr(c, (struct ino){e->value}, &r->reply.attr, until_ns);
}

static bool cache_readlink(struct client *c, struct client_req *r, int64_t *until_ns)
{
    struct client_cent *e = cent_find(c, CENT_LINK, r->fsop.ino.v, NULL, 0);
    if (!e || !cache_attr(c, r->fsop.ino, &r->reply.attr, until_ns))
        return false;
    struct client_fsr *s = client_fsr_of(r);
    /* the entry may go before the caller sees the answer */
    s->copy = mem_alloc(c->mem, e->len);
    if (!s->copy)
        return false;
    s->copy_len = e->len;
    memcpy(s->copy, e->data, e->len);
    r->reply.data = s->copy;
    r->reply.data_len = e->len;
    *until_ns = e->until_ns < *until_ns ? e->until_ns : *until_ns;
    return true;
}

/* the path of a file whose name and directory's path are known; its length, 0: it is not known */
static uint32_t cache_path(struct client *c, struct ino ino, char *to, uint16_t *ret_mount,
                           int64_t *until_ns)
{
    const struct client_cent *e = cent_find(c, CENT_ATTR, ino.v, NULL, 0);
    const struct client_cent *dir =
        e && e->value ? cent_find(c, CENT_PATH, e->value, NULL, 0) : NULL;
    if (!dir)
        return 0;
    uint32_t n = dir->len, name_len = e->len - (uint32_t)sizeof(struct fsattr);
    struct fsattr a;
    memcpy(&a, e->data, sizeof a);
    if (!a.fp || a.mount != dir->value || n + 1 + name_len >= LIMIT_PATH)
        return 0; /* without a fingerprint the master compares at each open */
    if (n) {
        memcpy(to, dir->data, n);
        to[n++] = '/';
    }
    memcpy(to + n, e->data + sizeof a, name_len);
    *ret_mount = a.mount;
    *until_ns = dir->until_ns < *until_ns ? dir->until_ns : *until_ns;
    return n + name_len;
}

static bool cache_open(struct client *c, struct client_req *r, int64_t *until_ns)
{
    struct fsattr *a = &r->reply.attr;
    char text[LIMIT_PATH];
    const char *path = text;
    uint16_t mount = 0;
    uint32_t n = 0;
    if (r->fsop.mode & FSOP_ACCESS_W || r->fsop.flags & FSOP_F_TRUNC)
        return false;
    const struct client_cent *e = cent_find(c, CENT_LAYOUT, r->fsop.ino.v, NULL, 0);
    if (e) {
        *until_ns = e->until_ns < *until_ns ? e->until_ns : *until_ns;
        mount = (uint16_t)e->value;
        path = e->data;
        n = e->len;
    } else if (!(n = cache_path(c, r->fsop.ino, text, &mount, until_ns))) {
        return false;
    }
    if (!cache_attr(c, r->fsop.ino, a, until_ns) || (a->mode & FSOP_S_IFMT) != FSOP_S_IFREG ||
        !cache_allows(a, &r->fsop, r->fsop.mode & 7))
        return false;
    /* The master may have been told a moment ago that it is not held here. */
    if (a->flags & FSATTR_ORPHAN)
        return false;
    return client_file_from_cache(c, r, a, mount, path, n) == 0;
}

/* Is the inode, or for a look at a name that name, what the change w finds under this one?  When it
 * is not known what the name stands for, any inode may be. */
static bool cache_named(struct client *c, const struct fsop *w, struct ino dir, const char *name,
                        uint32_t n, const struct fsop *op, uint64_t shown)
{
    bool finds = w->kind == FSOP_UNLINK || w->kind == FSOP_RMDIR || w->kind == FSOP_RENAME ||
                 (w->kind == FSOP_MKNOD && w->flags & FSOP_F_OPEN);
    const struct client_cent *e = NULL;
    if (shown == dir.v || (op->kind == FSOP_LOOKUP && op->ino.v == dir.v && op->name_len == n &&
                           !memcmp(op->name, name, n)))
        return true;
    if (!finds || !shown)
        return false;
    e = cent_find(c, CENT_NAME, dir.v, name, n);
    return !e || e->value == shown;
}

static bool cache_concerns(struct client *c, const struct fsop *w, const struct fsop *op,
                           uint64_t shown)
{
    switch (w->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        return cache_named(c, w, w->ino, w->name, w->name_len, op, shown);
    case FSOP_LINK:
        return shown == w->ino.v || cache_named(c, w, w->ino2, w->name, w->name_len, op, shown);
    case FSOP_RENAME: /* paths of all below it may change */
        return op->kind == FSOP_OPEN ||
               cache_named(c, w, w->ino, w->name, w->name_len, op, shown) ||
               cache_named(c, w, w->ino2, w->name2, w->name2_len, op, shown);
    case FSOP_MOUNT:
    case FSOP_UNMOUNT:
    case FSOP_LOAD:
        return true;
    default:
        return shown == w->ino.v || op->ino.v == w->ino.v;
    }
}

bool client_cache_in_doubt(struct client *c, const struct fsop *op, uint64_t shown)
{
    if (MUTANT(CACHE_OWN_SERVED))
        return false;
    list_each(it, &c->muts) {
        struct client_fsr *s = list_entry(it, struct client_fsr, mut);
        struct client_req *r = client_req_of(s);
        const struct fsop *w = &r->fsop;
        struct fsop wire;
        if (s->f) { /* it goes out as another one */
            wire = *w;
            client_file_wire(r, &wire);
            w = &wire;
        }
        if (cache_concerns(c, w, op, shown))
            return true;
    }
    return false;
}

bool client_cache_answer(struct client *c, struct client_req *r)
{
    int64_t until_ns = c->lease_until_ns;
    bool found = false;
    if (c->cfg.ask_always || (!client_leased(c) && !MUTANT(LEASE_IGNORED)) ||
        env_fault(c->env, "client.forgets"))
        return false;
    if (r->fsop.kind != FSOP_LOOKUP && client_cache_in_doubt(c, &r->fsop, r->fsop.ino.v))
        return false;
    switch (r->fsop.kind) {
    case FSOP_LOOKUP:
        found = cache_lookup(c, r, &until_ns) &&
                !client_cache_in_doubt(c, &r->fsop, r->reply.attr.ino.v);
        break;
    case FSOP_GETATTR:
        found = cache_attr(c, r->fsop.ino, &r->reply.attr, &until_ns);
        break;
    case FSOP_READLINK:
        found = cache_readlink(c, r, &until_ns);
        break;
    case FSOP_OPEN:
        found = cache_open(c, r, &until_ns);
        break;
    case FSOP_ACCESS:
        found = cache_attr(c, r->fsop.ino, &r->reply.attr, &until_ns) &&
                cache_allows(&r->reply.attr, &r->fsop, r->fsop.mode & 7);
        break;
    default:
        break;
    }
    if (found)
        r->reply.lease_ns = (uint64_t)(until_ns - env_now_ns(c->env));
    else
        memset(&r->reply, 0, sizeof r->reply);
    return found;
}

/* --- learning --- */

static bool cache_is_news(const struct client_cache *k, uint64_t ino, uint64_t stamp)
{
    return stamp >= k->all_stamp && stamp >= k->inval_stamp[stamp_slot(ino)];
}

/* name: under which, in dir, a came; or none */
static void cache_put_attr(struct client *c, const struct fsattr *a, uint64_t dir, const char *name,
                           uint32_t name_len, int64_t until_ns)
{
    char data[sizeof *a + LIMIT_NAME];
    if (!a->ino.v)
        return;
    if ((a->flags & FSATTR_LIVE) && !MUTANT(LIVE_CACHED)) {
        cent_remove(c, CENT_ATTR, a->ino.v, NULL, 0);
        return;
    }
    if ((a->mode & FSOP_S_IFMT) != FSOP_S_IFREG || name_len > LIMIT_NAME)
        name_len = 0;
    memcpy(data, a, sizeof *a);
    if (name_len)
        memcpy(data + sizeof *a, name, name_len);
    cent_put(c, CENT_ATTR, a->ino.v, NULL, 0, data, sizeof *a + name_len, name_len ? dir : 0,
             until_ns);
}

/* The layout of a file whose name is known tells the path of its directory. */
static void cache_put_layout(struct client *c, const struct fsattr *a, const char *path, uint32_t n,
                             int64_t until_ns)
{
    const struct client_cent *e = cent_find(c, CENT_ATTR, a->ino.v, NULL, 0);
    uint32_t k = e && e->value ? e->len - (uint32_t)sizeof *a : 0;
    cent_put(c, CENT_LAYOUT, a->ino.v, NULL, 0, path, n, a->mount, until_ns);
    e = k ? cent_find(c, CENT_ATTR, a->ino.v, NULL, 0)
          : NULL; /* a full cache may have dropped it */
    if (!e || k > n || memcmp(path + n - k, e->data + sizeof *a, k) != 0)
        return;
    if (k == n)
        cent_put(c, CENT_PATH, e->value, NULL, 0, NULL, 0, a->mount, until_ns);
    else if (path[n - k - 1] == '/')
        cent_put(c, CENT_PATH, e->value, NULL, 0, path, n - k - 1, a->mount, until_ns);
}

static void cache_learn_dir(struct client *c, const struct fsop *op, const struct fsop_reply *rep,
                            uint64_t stamp, int64_t until_ns)
{
    struct rbuf r = rbuf_make(rep->data, rep->data_len);
    struct fsop_dirent d;
    while (rbuf_left(&r) && fsop_dirent_get(&r, &d) == 0) {
        if (!d.attr.ino.v || !d.name_len || d.name_len > LIMIT_NAME ||
            (d.name[0] == '.' && (d.name_len == 1 || (d.name_len == 2 && d.name[1] == '.'))) ||
            !cache_is_news(&c->cache, d.attr.ino.v, stamp))
            continue;
        cent_put(c, CENT_NAME, op->ino.v, d.name, d.name_len, d.name, d.name_len, d.attr.ino.v,
                 until_ns);
        cache_put_attr(c, &d.attr, op->ino.v, d.name, d.name_len, until_ns);
    }
}

bool client_cache_is_news(struct client *c, const struct fsop *op, const struct fsop_reply *rep,
                          uint64_t stamp)
{
    const struct client_cache *k = &c->cache;
    /* The lease of a new name is the directory's: the master gave that one if it lately told us
     * that the name was absent. */
    bool named = op->kind == FSOP_MKNOD || op->kind == FSOP_MKDIR || op->kind == FSOP_SYMLINK;
    if (op->kind == FSOP_LINK ||
        (named && !cent_find(c, CENT_NAME, op->ino.v, op->name, op->name_len)))
        return false;
    return cache_is_news(k, op->ino.v, stamp) && stamp >= k->dir_stamp[stamp_slot(op->ino.v)] &&
           (!rep->attr.ino.v || cache_is_news(k, rep->attr.ino.v, stamp));
}

bool client_cache_learn(struct client *c, const struct fsop *op, const struct fsop_reply *rep,
                        uint64_t stamp, int64_t until_ns)
{
    struct client_cache *k = &c->cache;
    const struct fsattr *a = &rep->attr;
    if (!cache_is_news(k, op->ino.v, stamp) || (a->ino.v && !cache_is_news(k, a->ino.v, stamp)))
        return false;
    if (rep->index < k->aside_index[stamp_slot(op->ino.v)] ||
        (a->ino.v && rep->index < k->aside_index[stamp_slot(a->ino.v)]))
        return false;
    bool dir_is_news = stamp >= k->dir_stamp[stamp_slot(op->ino.v)];
    switch (op->kind) {
    case FSOP_LOOKUP:
        if (!dir_is_news || (rep->err && rep->err != E_NOENT) || (!rep->err && !a->ino.v))
            return false;
        cent_put(c, CENT_NAME, op->ino.v, op->name, op->name_len, op->name, op->name_len,
                 rep->err ? 0 : a->ino.v, until_ns);
        break;
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
        if (!rep->err && a->ino.v)
            cent_put(c, CENT_NAME, op->ino.v, op->name, op->name_len, op->name, op->name_len,
                     a->ino.v, until_ns);
        break;
    case FSOP_READDIR:
        if (rep->err || !dir_is_news)
            return false;
        cache_learn_dir(c, op, rep, stamp, until_ns);
        return true; /* attr, if any, is the directory's; asked for rarely */
    case FSOP_READLINK:
        if (!rep->err && rep->data_len)
            cent_put(c, CENT_LINK, op->ino.v, NULL, 0, rep->data, rep->data_len, 0, until_ns);
        break;
    case FSOP_OPEN:
        if (!rep->err && rep->data_len && a->ino.v && !(a->flags & FSATTR_LIVE))
            cache_put_layout(c, a, rep->data, rep->data_len, until_ns);
        break;
    case FSOP_GETATTR:
    case FSOP_SETATTR:
    case FSOP_ACCESS:
        break;
    default:
        client_cache_unkept(c, op, rep);
        return !rep->err;
    }
    bool is_named = op->kind == FSOP_LOOKUP || op->kind == FSOP_MKNOD;
    if (!rep->err)
        cache_put_attr(c, a, op->ino.v, op->name, is_named ? op->name_len : 0, until_ns);
    return true;
}

/* --- end --- */

void client_cache_free(struct client *c)
{
    struct client_cache *k = &c->cache;
    while (k->n) {
        struct client_cent *e = list_entry(k->lru.next, struct client_cent, lru);
        cent_drop(c, cent_at(k, e->kind, e->ino, e->data, e->len, e->hash));
    }
    mem_free(c->mem, k->buckets, k->n_buckets * sizeof *k->buckets);
}

bool client_cache_check(const struct client *c, char *err_text, size_t cap)
{
    const struct client_cache *k = &c->cache;
    uint32_t n = 0;
    list_each(it, &k->lru)
        n++;
    if (n != k->n || n > k->max) {
        fmt_into(err_text, cap, "cache: %u entries counted, %u listed, at most %u", (unsigned)k->n,
                 (unsigned)n, (unsigned)k->max);
        return false;
    }
    for (uint32_t b = 0; b < k->n_buckets; b++)
        for (const struct client_cent *e = k->buckets[b]; e; e = e->next, n--)
            if ((e->hash & (k->n_buckets - 1)) != b || e->stamp > k->stamp) {
                fmt_into(err_text, cap, "cache: an entry of inode %llu is out of place",
                         (unsigned long long)e->ino);
                return false;
            }
    if (n != 0) {
        fmt_into(err_text, cap, "cache: the table and the list differ by %d", (int)n);
        return false;
    }
    return true;
}
