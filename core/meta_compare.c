/* core/meta_compare.c - two machines record by record: is a copy what it was made of?
 *
 * It compares what lies in the tables, slot by slot, and not answers to questions: an image is the
 * tables, so a copy that differs anywhere is no copy.  Texts (names, targets, values) are compared
 * where they are referred to, so that a difference is told of the inode or the entry that it
 * concerns; that the same text lies in the same slot is compared once more, last. */
#include "core/fmt.h"
#include "core/meta_internal.h"

enum { COMPARE_TEXT = 512 };

struct compare {
    const struct meta *a, *b;
    void (*say)(void *ctx, const char *text);
    void *ctx;
    uint64_t n;
    char text[COMPARE_TEXT];
};

struct compare_field {
    const char *name;
    uint32_t at, bytes;
};

#define FIELD(type, member)                                                                \
    {                                                                                      \
#member, (uint32_t)offsetof(struct type, member), sizeof((struct type *)0)->member \
    }
static const struct compare_field compare_inode_fields[] = {
    FIELD(meta_inode, mode),     FIELD(meta_inode, gen),      FIELD(meta_inode, size),
    FIELD(meta_inode, version),  FIELD(meta_inode, nlink),    FIELD(meta_inode, uid),
    FIELD(meta_inode, gid),      FIELD(meta_inode, mount),    FIELD(meta_inode, flags),
    FIELD(meta_inode, fp),       FIELD(meta_inode, mtime_ns), FIELD(meta_inode, ctime_ns),
    FIELD(meta_inode, atime_ns), FIELD(meta_inode, xattrs),   FIELD(meta_inode, links),
    FIELD(meta_inode, n_locks)};
static const struct compare_field compare_super_fields[] = {
    FIELD(meta_super, applied),    FIELD(meta_super, era),          FIELD(meta_super, rules),
    FIELD(meta_super, inodes_max), FIELD(meta_super, sessions_max), FIELD(meta_super, memory_mib),
    FIELD(meta_super, orphans),    FIELD(meta_super, intent_count), FIELD(meta_super, tree_locks)};
static const struct compare_field compare_session_fields[] = {
    FIELD(meta_session, id),      FIELD(meta_session, acked), FIELD(meta_session, replies),
    FIELD(meta_session, writers), FIELD(meta_session, name),  FIELD(meta_session, n_replies)};
#undef FIELD

/* the first in which two records differ, behind what is in text; none: links to other records do */
static void compare_field(struct compare *c, size_t at, const struct compare_field *f, size_t n,
                          const uint8_t *x, const uint8_t *y)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t p = 0, q = 0;
        memcpy(&p, x + f[i].at, f[i].bytes);
        memcpy(&q, y + f[i].at, f[i].bytes);
        if (p == q)
            continue;
        fmt_into(c->text + at, sizeof c->text - at, ": %s is %llu in the first, %llu in the second",
                 f[i].name, (unsigned long long)p, (unsigned long long)q);
        return;
    }
    fmt_into(c->text + at, sizeof c->text - at, ": what it is linked with differs");
}

static void compare_tell(struct compare *c)
{
    c->n++;
    c->say(c->ctx, c->text);
}

/* printable: a name may hold anything */
static size_t compare_quote(char *to, size_t cap, const char *s, uint32_t n)
{
    size_t at = fmt_into(to, cap, "\"");
    for (uint32_t i = 0; i < n; i++)
        at += fmt_into(to + at, cap - at, s[i] >= ' ' && s[i] < 0x7f ? "%c" : "\\x%02x",
                       (unsigned char)s[i]);
    return at + fmt_into(to + at, cap - at, "\"");
}

static size_t compare_name_inode(struct compare *c, const struct meta *m, uint32_t slot)
{
    char path[LIMIT_BELOW];
    uint16_t mount;
    size_t at = 0;
    const struct meta_inode *i = inode_at(m, slot);
    struct ino ino = inode_number(m, slot);
    at = fmt_into(c->text, sizeof c->text, "inode %llu", (unsigned long long)ino.v);
    if (i->mode && !(i->flags & INODE_RESERVED) && !meta_path(m, ino, path, sizeof path, &mount)) {
        at += fmt_into(c->text + at, sizeof c->text - at, " (mount %u, ", mount);
        at += compare_quote(c->text + at, sizeof c->text - at - 160, path, (uint32_t)strlen(path));
        at += fmt_into(c->text + at, sizeof c->text - at, ")");
    }
    return at;
}

static size_t compare_name_dentry(struct compare *c, const struct meta *m, uint32_t slot)
{
    const struct meta_dentry *d = dir_at(m, slot);
    uint32_t n;
    const char *name = dir_name(m, d, &n);
    size_t at = fmt_into(c->text, sizeof c->text, "entry ");
    at += compare_quote(c->text + at, sizeof c->text - at - 160, name ? name : "", name ? n : 0);
    if (d->parent)
        at += fmt_into(c->text + at, sizeof c->text - at, " of directory %llu",
                       (unsigned long long)inode_number(m, d->parent).v);
    return at;
}

static bool compare_text_same(const struct compare *c, uint32_t x, uint32_t y)
{
    uint8_t p[512], q[512];
    uint32_t n = store_blob_copy(&c->a->st, TABLE_BLOB, x, p, sizeof p);
    uint32_t k = store_blob_copy(&c->b->st, TABLE_BLOB, y, q, sizeof q);
    return n == k && !memcmp(p, q, base_min_u64(n, sizeof p)); /* longer ones: see the head */
}

static const char *const compare_tables[] = {
    [TABLE_SUPER] = "counters",
    [TABLE_INODE] = "inode",
    [TABLE_DENTRY] = "entry",
    [TABLE_DENTRY_BUCKET] = "index of entries",
    [TABLE_XATTR] = "extended attribute",
    [TABLE_SESSION] = "session",
    [TABLE_SESSION_BUCKET] = "index of sessions",
    [TABLE_REPLY] = "kept answer",
    [TABLE_REPLY_BUCKET] = "index of kept answers",
    [TABLE_WRITER] = "open for writing",
    [TABLE_MOUNT] = "mount",
    [TABLE_INTENT] = "intent",
    [TABLE_LOCK] = "lock",
    [TABLE_LOCK_BUCKET] = "index of locks",
    [TABLE_ORPHAN] = "unlinked files",
};

static const char *compare_table(unsigned t)
{
    return t < ARRAY_LEN(compare_tables) ? compare_tables[t] : "text";
}

/* the texts that a record of the table refers to are the same */
static bool compare_texts(const struct compare *c, unsigned t, const void *x, const void *y)
{
    switch (t) {
    case TABLE_DENTRY:
        return compare_text_same(c, ((const struct meta_dentry *)x)->name,
                                 ((const struct meta_dentry *)y)->name);
    case TABLE_SESSION:
        return compare_text_same(c, ((const struct meta_session *)x)->name,
                                 ((const struct meta_session *)y)->name);
    case TABLE_MOUNT:
        return compare_text_same(c, ((const struct meta_mount *)x)->path,
                                 ((const struct meta_mount *)y)->path) &&
               compare_text_same(c, ((const struct meta_mount *)x)->uri,
                                 ((const struct meta_mount *)y)->uri);
    case TABLE_INODE: {
        const struct meta_inode *i = x, *k = y;
        return !inode_is_link(i) || compare_text_same(c, i->symlink.target, k->symlink.target);
    }
    default:
        return true;
    }
}

static bool compare_in_use(unsigned t, const void *rec)
{
    switch (t) {
    case TABLE_INODE:
        return ((const struct meta_inode *)rec)->mode != 0;
    case TABLE_DENTRY:
        return ((const struct meta_dentry *)rec)->node != 0;
    case TABLE_MOUNT:
        return ((const struct meta_mount *)rec)->mode != 0;
    case TABLE_INTENT:
        return ((const struct meta_intent_rec *)rec)->id != 0;
    default:
        return true;
    }
}

/* what it is, in c->text */
static size_t compare_name(struct compare *c, unsigned t, const struct meta *m, uint32_t slot)
{
    if (t == TABLE_INODE)
        return compare_name_inode(c, m, slot);
    if (t == TABLE_DENTRY)
        return compare_name_dentry(c, m, slot);
    if (t == TABLE_SESSION) {
        const struct meta_session *s = store_get(&m->st, t, slot);
        return fmt_into(c->text, sizeof c->text, "session %llu", (unsigned long long)s->id);
    }
    if (t == TABLE_SUPER)
        return fmt_into(c->text, sizeof c->text, "counters");
    return fmt_into(c->text, sizeof c->text, "%s, record %u", compare_table(t), slot);
}

/* both have a record in that slot, and it is not the same */
static void compare_differ(struct compare *c, unsigned t, uint32_t slot, const void *x,
                           const void *y)
{
    bool is_texts = !memcmp(x, y, c->a->st.t[t].def.record);
    size_t at = compare_name(c, t, compare_in_use(t, x) ? c->a : c->b, slot);
    if (compare_in_use(t, x) != compare_in_use(t, y))
        fmt_into(c->text + at, sizeof c->text - at, ": only in the %s",
                 compare_in_use(t, x) ? "first" : "second");
    else if (is_texts)
        fmt_into(c->text + at, sizeof c->text - at, ": its name or text differs");
    else if (t == TABLE_INODE)
        compare_field(c, at, compare_inode_fields, ARRAY_LEN(compare_inode_fields), x, y);
    else if (t == TABLE_SUPER)
        compare_field(c, at, compare_super_fields, ARRAY_LEN(compare_super_fields), x, y);
    else if (t == TABLE_SESSION)
        compare_field(c, at, compare_session_fields, ARRAY_LEN(compare_session_fields), x, y);
    else
        fmt_into(c->text + at, sizeof c->text - at, ": it differs");
    compare_tell(c);
}

static void compare_one_table(struct compare *c, unsigned t)
{
    const struct store_table *x = &c->a->st.t[t], *y = &c->b->st.t[t];
    uint64_t before = c->n;
    for (uint32_t k = 1; k < x->high || k < y->high; k++) {
        const void *p = k < x->high ? store_get(&c->a->st, t, k) : NULL;
        const void *q = k < y->high ? store_get(&c->b->st, t, k) : NULL;
        if (p && q) {
            if (memcmp(p, q, x->def.record) != 0 || !compare_texts(c, t, p, q))
                compare_differ(c, t, k, p, q);
            continue;
        }
        size_t at = compare_name(c, t, p ? c->a : c->b, k);
        fmt_into(c->text + at, sizeof c->text - at, ": only in the %s", p ? "first" : "second");
        compare_tell(c);
    }
    if (c->n == before && (x->live != y->live || x->free != y->free)) {
        fmt_into(c->text, sizeof c->text, "%s: %u records in the first, %u in the second",
                 compare_table(t), x->live, y->live);
        compare_tell(c);
    }
}

uint64_t meta_compare(const struct meta *a, const struct meta *b,
                      void (*say)(void *ctx, const char *text), void *ctx)
{
    /* what people know by name comes first */
    static const uint8_t order[] = {TABLE_MOUNT,          TABLE_INODE,        TABLE_DENTRY,
                                    TABLE_XATTR,          TABLE_SESSION,      TABLE_REPLY,
                                    TABLE_WRITER,         TABLE_INTENT,       TABLE_LOCK,
                                    TABLE_ORPHAN,         TABLE_SUPER,        TABLE_DENTRY_BUCKET,
                                    TABLE_SESSION_BUCKET, TABLE_REPLY_BUCKET, TABLE_LOCK_BUCKET};
    static_assert(ARRAY_LEN(order) == TABLE_BLOB, "all of them");
    struct compare c = {.a = a, .b = b, .say = say, .ctx = ctx};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        compare_one_table(&c, order[i]);
    for (unsigned t = TABLE_BLOB; t < TABLE_COUNT; t++)
        compare_one_table(&c, t);
    return c.n;
}
