/* core/meta_check.c - every invariant of every table, and one hash of the whole state.
 *
 * meta_check counts what it finds from the top (directories down, intents, sessions) and compares
 * with what the tables say they hold, so that a leaked record shows as well as a dangling one.
 *
 * meta_hash covers what a client or a master could ever learn, and no slot of a table but the inode
 * table (whose slots are in the numbers): sums over sets, so that the order of lists that have no
 * meaning has no influence. */
#include "core/fmt.h"
#include "core/meta_internal.h"

struct check { /* counted on the way */
    const struct meta *m;
    char *text;
    size_t cap;
    uint64_t dentries, xattrs, reserved, writers, locks, tree_locks, replies;
    uint64_t blobs[STORE_BLOB_CLASSES];
};

static bool check_fail(struct check *c, const char *what, uint64_t which)
{
    fmt_into(c->text, c->cap, "%s (%llu)", what, (unsigned long long)which);
    return false;
}

#define CHECK(cond, what, which)               \
    do {                                       \
        if (!(cond))                           \
            return check_fail(c, what, which); \
    } while (0)

static uint32_t check_live(const struct check *c, unsigned table)
{
    return c->m->st.t[table].live;
}

static bool check_slot(const struct check *c, unsigned table, uint32_t slot)
{
    return slot > 0 && slot < c->m->st.t[table].high;
}

static bool check_blob(struct check *c, uint32_t ref)
{
    if (!ref)
        return true;
    uint32_t class = ref >> META_SLOT_BITS, n;
    CHECK(class < STORE_BLOB_CLASSES, "blob class", ref);
    CHECK(check_slot(c, TABLE_BLOB + class, ref & ((1u << META_SLOT_BITS) - 1)), "blob slot", ref);
    n = store_blob_len(&c->m->st, TABLE_BLOB, ref);
    CHECK(n > 0, "blob empty", ref);
    c->blobs[class] += class == STORE_BLOB_CLASSES - 1 ? (n + 1015) / 1016 : 1;
    return true;
}

static bool check_links(struct check *c, uint32_t node)
{
    const struct meta_inode *i = inode_at(c->m, node);
    uint32_t n = 0;
    for (uint32_t dent = i->links; dent; n++) {
        CHECK(check_slot(c, TABLE_DENTRY, dent) && n <= LIMIT_LINKS, "link list", node);
        CHECK(dir_at(c->m, dent)->node == node, "link of another inode", node);
        dent = dir_at(c->m, dent)->link_next;
    }
    if (inode_is_dir(i))
        CHECK(n == (node == META_ROOT || (i->flags & INODE_RESERVED) ? 0 : 1), "dir links", node);
    else
        CHECK(n == i->nlink, "link count", node);
    bool orphan = !inode_is_dir(i) && n == 0 && !(i->flags & INODE_RESERVED);
    CHECK(((i->flags & INODE_ORPHAN) != 0) == orphan, "orphan flag", node);
    CHECK(!orphan || inode_is_reg(i), "orphan type", node);
    return true;
}

static bool check_children(struct check *c, uint32_t dir)
{
    const struct meta_inode *i = inode_at(c->m, dir);
    bool loading = intent_loading(c->m, dir) != 0;
    uint32_t n = 0, subdirs = 0, prev = 0;
    uint64_t seq = 0;
    for (uint32_t dent = i->dir.first; dent; dent = dir_at(c->m, dent)->next) {
        CHECK(check_slot(c, TABLE_DENTRY, dent) && n < i->dir.count, "entry list", dir);
        const struct meta_dentry *d = dir_at(c->m, dent);
        CHECK(d->parent == dir && d->prev == prev, "entry links", dent);
        CHECK(dir_seq(d) > seq && dir_seq(d) <= i->size, "entry sequence", dent);
        CHECK(check_slot(c, TABLE_INODE, d->node), "entry inode", dent);
        const struct meta_inode *k = inode_at(c->m, d->node);
        CHECK(k->mode && !(k->flags & (INODE_RESERVED | INODE_ORPHAN)), "entry of nothing", dent);
        CHECK(k->mount == i->mount || (k->flags & INODE_MOUNT_ROOT), "entry mount", dent);
        CHECK(loading || !(d->flags & DENTRY_SEEN), "seen without a load", dent);
        uint32_t len;
        const char *name = dir_name(c->m, d, &len);
        CHECK(name && dir_find(c->m, dir, name, len) == dent, "entry not indexed", dent);
        if (!check_blob(c, d->name))
            return false;
        subdirs += inode_is_dir(k);
        seq = dir_seq(d);
        prev = dent;
        n++;
    }
    CHECK(n == i->dir.count && prev == i->dir.last, "entry count", dir);
    CHECK(i->nlink == subdirs + 2, "subdirectories", dir);
    uint64_t up = 0;
    for (uint32_t k = dir; k != META_ROOT && !(i->flags & INODE_RESERVED);
         k = dir_parent(c->m, k), up++)
        CHECK(k && up <= check_live(c, TABLE_INODE), "directory not below the root", dir);
    c->dentries += n;
    return true;
}

static bool check_writers(struct check *c, uint32_t node)
{
    uint32_t w = inode_at(c->m, node)->file.writers;
    for (uint64_t n = 0; w; n++) {
        CHECK(check_slot(c, TABLE_WRITER, w) && n <= check_live(c, TABLE_WRITER), "writers", node);
        const struct meta_writer *rec = store_get(&c->m->st, TABLE_WRITER, w);
        CHECK(rec->node == node && check_slot(c, TABLE_SESSION, rec->session), "writer", node);
        const struct meta_session *s = store_get(&c->m->st, TABLE_SESSION, rec->session);
        CHECK(session_find(c->m, (struct session_id){s->id}) == rec->session, "writer gone", node);
        c->writers++;
        w = rec->next_of_file;
    }
    return true;
}

static bool check_inode(struct check *c, uint32_t node)
{
    const struct meta_inode *i = inode_at(c->m, node);
    if (!check_links(c, node))
        return false;
    if (inode_is_dir(i) && !check_children(c, node))
        return false;
    if (inode_is_reg(i) && !check_writers(c, node))
        return false;
    if (inode_is_link(i) && !check_blob(c, i->symlink.target))
        return false;
    for (uint32_t x = i->xattrs; x; c->xattrs++) {
        CHECK(check_slot(c, TABLE_XATTR, x) && c->xattrs < check_live(c, TABLE_XATTR), "xattrs",
              node);
        const struct meta_xattr *a = store_get(&c->m->st, TABLE_XATTR, x);
        if (!check_blob(c, a->name) || !check_blob(c, a->value))
            return false;
        x = a->next;
    }
    c->reserved += (i->flags & INODE_RESERVED) != 0;
    c->locks += i->n_locks;
    if (i->mount) {
        struct fsop_mount_info info;
        CHECK(mount_get(c->m, i->mount, &info) == 0, "inode of no mount", node);
        CHECK(!(i->flags & INODE_MOUNT_ROOT) || (uint32_t)info.root.v == node, "mount root", node);
    }
    CHECK(mount_mode(c->m, i->mount) != FSOP_MOUNT_META || !inode_is_dir(i) ||
              (i->flags & INODE_LOADED),
          "unloaded without an under-store", node);
    return true;
}

static bool check_inodes(struct check *c)
{
    const struct store_table *t = &c->m->st.t[TABLE_INODE];
    uint64_t n = 0, orphans = 0;
    for (uint32_t node = 1; node < t->high; node++) {
        const struct meta_inode *i = inode_at(c->m, node);
        if (!i->mode)
            continue;
        n++;
        orphans += (i->flags & INODE_ORPHAN) != 0;
        if (!check_inode(c, node))
            return false;
    }
    CHECK(n == t->live, "inodes live", n);
    CHECK(orphans == meta_super(c->m)->orphans, "orphans", orphans);
    struct ino o = {0};
    for (; (o = inode_orphan_next(c->m, o)).v; orphans--)
        CHECK(orphans && (inode_at(c->m, (uint32_t)o.v)->flags & INODE_ORPHAN), "orphan bit", o.v);
    CHECK(orphans == 0, "orphan without a bit", orphans);
    return true;
}

static bool check_replies(struct check *c, uint32_t slot, const struct meta_session *s)
{
    uint32_t n = 0, prev = 0;
    for (uint32_t k = s->replies; k; n++) {
        CHECK(check_slot(c, TABLE_REPLY, k) && n < s->n_replies, "replies of session", s->id);
        const struct meta_reply *r = store_get(&c->m->st, TABLE_REPLY, k);
        CHECK(r->session == slot && r->prev == prev, "reply", r->seq);
        CHECK(r->seq >= s->acked && r->seq < s->acked + LIMIT_SESSION_WINDOW, "window", r->seq);
        if (r->intent) {
            uint32_t i = intent_find(c->m, r->intent);
            CHECK(i && !r->reply, "reply of no intent", r->seq);
            CHECK(intent_at(c->m, i)->seq == r->seq && intent_at(c->m, i)->session == s->id,
                  "intent of another request", r->seq);
        } else {
            CHECK(r->reply, "reply without an answer", r->seq);
        }
        if (!check_blob(c, r->reply))
            return false;
        prev = k;
        k = r->next;
    }
    CHECK(n == s->n_replies, "replies counted", s->id);
    c->replies += n;
    return true;
}

static bool check_sessions(struct check *c)
{
    uint64_t n = 0, id = 0, writers = 0;
    uint32_t prev = 0;
    for (uint32_t slot = meta_super(c->m)->session_first; slot; n++) {
        CHECK(check_slot(c, TABLE_SESSION, slot) && n < check_live(c, TABLE_SESSION), "sessions",
              n);
        const struct meta_session *s = store_get(&c->m->st, TABLE_SESSION, slot);
        CHECK(s->id > id && s->prev == prev, "session order", s->id);
        CHECK(session_find(c->m, (struct session_id){s->id}) == slot, "session index", s->id);
        if (!check_replies(c, slot, s) || !check_blob(c, s->name))
            return false;
        uint32_t before = 0;
        for (uint32_t w = s->writers; w; writers++) {
            CHECK(check_slot(c, TABLE_WRITER, w) && writers <= c->writers, "session writers",
                  s->id);
            const struct meta_writer *rec = store_get(&c->m->st, TABLE_WRITER, w);
            CHECK(rec->session == slot && rec->prev_of_session == before, "session writer", s->id);
            before = w;
            w = rec->next_of_session;
        }
        id = s->id;
        prev = slot;
        slot = s->next;
    }
    CHECK(prev == meta_super(c->m)->session_last, "last session", id);
    CHECK(n == check_live(c, TABLE_SESSION), "sessions live", n);
    CHECK(c->replies == check_live(c, TABLE_REPLY), "replies live", c->replies);
    CHECK(writers == c->writers && writers == check_live(c, TABLE_WRITER), "writers live", writers);
    return true;
}

static bool check_lock(struct check *c, uint32_t intent, const struct meta_lock *l)
{
    CHECK(l->intent == intent && check_slot(c, TABLE_INODE, l->node), "lock", intent);
    const struct meta_inode *i = inode_at(c->m, l->node);
    CHECK(i->mode && !(i->flags & INODE_RESERVED), "lock on nothing", l->node);
    if (!check_blob(c, l->name))
        return false;
    if (l->kind != LOCK_NAME) {
        CHECK(c->locks > 0, "locks on inodes", l->node);
        c->locks--;
    }
    c->tree_locks += l->kind == LOCK_TREE;
    /* exclusion: one owner per name; one INODE or TREE, one LOAD per inode */
    unsigned same = 0;
    for (uint32_t k = store_index_first(&c->m->st, TABLE_LOCK_BUCKET, TABLE_LOCK, l->index.hash); k;
         k = store_index_next(&c->m->st, TABLE_LOCK, k)) {
        const struct meta_lock *o = store_get(&c->m->st, TABLE_LOCK, k);
        if (o->node != l->node || (o->kind == LOCK_NAME) != (l->kind == LOCK_NAME) ||
            (o->kind == LOCK_LOAD) != (l->kind == LOCK_LOAD))
            continue;
        uint32_t n1, n2;
        const char *s1 = store_blob_short(&c->m->st, TABLE_BLOB, l->name, &n1);
        const char *s2 = store_blob_short(&c->m->st, TABLE_BLOB, o->name, &n2);
        same += n1 == n2 && (n1 == 0 || !memcmp(s1, s2, n1));
    }
    CHECK(same == 1, "locked twice", l->node);
    return true;
}

static bool check_intents(struct check *c)
{
    uint64_t n = 0, id = 0, locks = 0, reserved = 0;
    uint32_t prev = 0;
    for (uint32_t slot = meta_super(c->m)->intent_first; slot; n++) {
        CHECK(check_slot(c, TABLE_INTENT, slot) && n < check_live(c, TABLE_INTENT), "intents", n);
        const struct meta_intent_rec *i = intent_at(c->m, slot);
        CHECK(i->id > id && i->prev == prev && intent_find(c->m, i->id) == slot, "intent", i->id);
        CHECK(inode_at(c->m, (uint32_t)i->ino)->mode, "intent for nothing", i->id);
        reserved += (inode_at(c->m, (uint32_t)i->ino)->flags & INODE_RESERVED) != 0;
        if (!check_blob(c, i->op))
            return false;
        for (uint32_t l = i->locks; l; locks++) {
            CHECK(check_slot(c, TABLE_LOCK, l) && locks < check_live(c, TABLE_LOCK), "locks", id);
            if (!check_lock(c, slot, store_get(&c->m->st, TABLE_LOCK, l)))
                return false;
            l = ((const struct meta_lock *)store_get(&c->m->st, TABLE_LOCK, l))->next;
        }
        id = i->id;
        prev = slot;
        slot = i->next;
    }
    CHECK(prev == meta_super(c->m)->intent_last && n == check_live(c, TABLE_INTENT), "intents", n);
    CHECK(locks == check_live(c, TABLE_LOCK), "locks live", locks);
    CHECK(c->locks == 0, "inodes count locks that are not there", c->locks);
    CHECK(c->tree_locks == meta_super(c->m)->tree_locks, "tree locks", c->tree_locks);
    CHECK(reserved == c->reserved, "reserved inodes", c->reserved);
    return true;
}

static bool check_mounts(struct check *c)
{
    for (uint32_t k = 1; k < c->m->st.t[TABLE_MOUNT].high; k++) {
        const struct meta_mount *mt = store_get(&c->m->st, TABLE_MOUNT, k);
        if (!mt->mode)
            continue;
        uint32_t root = inode_find(c->m, (struct ino){mt->root});
        CHECK(root && inode_is_dir(inode_at(c->m, root)), "mount without a root", k);
        CHECK((inode_at(c->m, root)->flags & INODE_MOUNT_ROOT) && inode_at(c->m, root)->mount == k,
              "mount root", k);
        if (!check_blob(c, mt->path) || !check_blob(c, mt->uri))
            return false;
    }
    return true;
}

static bool check_indexes(struct check *c)
{
    static const unsigned pairs[][2] = {{TABLE_DENTRY_BUCKET, TABLE_DENTRY},
                                        {TABLE_SESSION_BUCKET, TABLE_SESSION},
                                        {TABLE_REPLY_BUCKET, TABLE_REPLY},
                                        {TABLE_LOCK_BUCKET, TABLE_LOCK}};
    for (size_t k = 0; k < ARRAY_LEN(pairs); k++) {
        uint32_t n;
        CHECK(store_index_check(&c->m->st, pairs[k][0], pairs[k][1], &n), "index", pairs[k][1]);
        CHECK(n == check_live(c, pairs[k][1]), "index count", pairs[k][1]);
    }
    CHECK(c->dentries == check_live(c, TABLE_DENTRY), "entries live", c->dentries);
    CHECK(c->xattrs == check_live(c, TABLE_XATTR), "xattrs live", c->xattrs);
    for (unsigned k = 0; k < STORE_BLOB_CLASSES; k++)
        CHECK(c->blobs[k] == check_live(c, TABLE_BLOB + k), "blobs live", k);
    return true;
}

bool meta_check(const struct meta *m, char *err_text, size_t cap)
{
    struct check c = {.m = m, .text = err_text, .cap = cap};
    if (!store_check(&m->st, m->mem))
        return check_fail(&c, "free lists", 0);
    bool ok = check_inodes(&c) && check_sessions(&c) && check_intents(&c) && check_mounts(&c) &&
              check_indexes(&c);
    if (ok && cap)
        err_text[0] = 0;
    return ok;
}

static uint64_t hash_u64(uint64_t h, uint64_t v)
{
    return base_mix_u64(h * 0x9e3779b97f4a7c15u + v + 1);
}

static uint64_t hash_blob(const struct meta *m, uint64_t h, uint32_t ref)
{
    uint8_t b[4096];
    uint32_t n = store_blob_copy(&m->st, TABLE_BLOB, ref, b, sizeof b);
    h = hash_u64(h, n);
    if (n <= sizeof b)
        return base_hash(b, n, h);
    /* longer ones are xattr values: piece by piece along the chain */
    for (uint32_t slot = ref & ((1u << META_SLOT_BITS) - 1); slot;) {
        const uint8_t *rec = store_get(&m->st, TABLE_BLOB + STORE_BLOB_CLASSES - 1, slot);
        h = base_hash(rec + 8, base_min_u64(base_get_u32(rec + 4), 1016), h);
        slot = base_get_u32(rec);
    }
    return h;
}

static uint64_t hash_inode(const struct meta *m, uint32_t node)
{
    const struct meta_inode *i = inode_at(m, node);
    struct fsattr a;
    uint64_t h = 1, sum = 0;
    inode_attr(m, node, &a);
    h = base_hash(&a, sizeof a, h);
    h = hash_u64(h, (uint64_t)i->size << 4 | i->flags);
    if (inode_is_link(i))
        h = hash_blob(m, h, i->symlink.target);
    for (uint32_t x = i->xattrs; x;) {
        const struct meta_xattr *r = store_get(&m->st, TABLE_XATTR, x);
        sum += hash_blob(m, hash_blob(m, 2, r->name), r->value);
        x = r->next;
    }
    if (inode_is_reg(i))
        for (uint32_t w = i->file.writers; w;) {
            const struct meta_writer *r = store_get(&m->st, TABLE_WRITER, w);
            const struct meta_session *s = store_get(&m->st, TABLE_SESSION, r->session);
            sum += hash_u64(3, s->id);
            w = r->next_of_file;
        }
    for (uint32_t d = inode_is_dir(i) ? i->dir.first : 0; d; d = dir_at(m, d)->next) {
        const struct meta_dentry *e = dir_at(m, d);
        uint64_t k = hash_u64(hash_u64(4, dir_seq(e)), inode_number(m, e->node).v);
        sum += hash_blob(m, hash_u64(k, e->flags), e->name);
    }
    return hash_u64(h, sum);
}

static uint64_t hash_session(const struct meta *m, const struct meta_session *s)
{
    uint64_t h = hash_u64(hash_u64(5, s->id), s->acked), sum = 0;
    h = hash_blob(m, h, s->name);
    for (uint32_t k = s->replies; k;) {
        const struct meta_reply *r = store_get(&m->st, TABLE_REPLY, k);
        sum += hash_blob(m, hash_u64(hash_u64(6, r->seq), r->intent), r->reply);
        k = r->next;
    }
    return hash_u64(h, sum);
}

uint64_t meta_hash(const struct meta *m)
{
    const struct meta_super *sup = meta_super(m);
    uint64_t h = hash_u64(hash_u64(hash_u64(7, sup->applied), sup->rules), sup->era);
    h = hash_u64(h, sup->intent_count);
    h = hash_u64(hash_u64(h, sup->inodes_max), (uint64_t)sup->memory_mib << 32 | sup->sessions_max);
    for (unsigned i = 0; i < META_ATTRS; i++)
        h = hash_u64(h, sup->attr_index[i]);
    for (unsigned i = 0; i < META_GONE; i++)
        h = hash_u64(h, sup->gone_index[i]);
    uint64_t sum = 0;
    for (uint32_t node = 1; node < m->st.t[TABLE_INODE].high; node++)
        if (inode_at(m, node)->mode)
            sum += hash_inode(m, node);
    for (uint32_t s = sup->session_first; s;) {
        const struct meta_session *r = store_get(&m->st, TABLE_SESSION, s);
        sum += hash_session(m, r);
        s = r->next;
    }
    for (uint32_t s = sup->intent_first; s; s = intent_at(m, s)->next) {
        const struct meta_intent_rec *i = intent_at(m, s);
        sum += hash_blob(m, hash_u64(hash_u64(8, i->id), i->ino), i->op);
        for (uint32_t l = i->locks; l;) {
            const struct meta_lock *k = store_get(&m->st, TABLE_LOCK, l);
            sum +=
                hash_blob(m, hash_u64(hash_u64(9, k->kind), inode_number(m, k->node).v), k->name);
            l = k->next;
        }
    }
    for (uint32_t k = 1; k < m->st.t[TABLE_MOUNT].high; k++) {
        const struct meta_mount *mt = store_get(&m->st, TABLE_MOUNT, k);
        if (mt->mode)
            sum +=
                hash_blob(m, hash_blob(m, hash_u64(hash_u64(10, k), mt->root), mt->path), mt->uri);
    }
    return hash_u64(h, sum);
}
