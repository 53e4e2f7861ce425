/* sim/lab_check_effect.c - every change of the under-store is one that somebody waits for (see
 * sim/lab_check.h).
 *
 * INVARIANTS
 *  1. A change of a name or of attributes is owed by an intent that is open in the log at that
 *     moment; the bytes of an unlinked file go only while it is an orphan.
 *  2. Bytes are written only while a client waits for a write that covers them, which it asked for
 *     while the log, too, said that the file is being written.
 *  3. What a process that has died since wrote may come a little later.  A change of a name may
 *     not: who leads no more has none under way (journal_host.hold, and an effect's time below). */
#include "sim/lab_check_impl.h"

static const int64_t EFFECT_LATE_NS = 3000000000;

bool lab_check_is_disturbed(const struct lab_check *c)
{
    return lab_ufs_stats(c->ufs)->behind != c->behind;
}

void lab_check_writing(struct lab_check *c, const void *who, struct ino ino, uint64_t off,
                       uint32_t len)
{
    uint32_t at = 0;
    int64_t now = sim_now_ns(c->sim);
    while (at < c->n_writes && c->writes[at].until_ns > now)
        at++;
    ASSERT(at < CHECK_WRITES);
    if (at == c->n_writes)
        c->n_writes++;
    c->writes[at] = (struct check_write){who, ino, off, len, now, INT64_MAX};
}

void lab_check_writing_end(struct lab_check *c, const void *who, bool is_over)
{
    for (uint32_t i = 0; i < c->n_writes; i++)
        if (c->writes[i].who == who && c->writes[i].until_ns == INT64_MAX)
            c->writes[i].until_ns = is_over ? 0 : sim_now_ns(c->sim) + EFFECT_LATE_NS;
}

/* The writer's session may have ended, and the file been closed: then readers keep what they have.
 * What was under way at that moment may still be carried out, as if somebody outside had done it.
 */
static void effect_is_live(struct lab_check *c, const struct lab_ufs_effect *e,
                           const struct check_write *w)
{
    struct fsop q = {.kind = FSOP_GETATTR, .ino = w->ino};
    struct fsop_reply rep;
    meta_query(c->state, &q, NULL, 0, &rep);
    if (!rep.err && !(rep.attr.flags & FSATTR_LIVE) &&
        lab_model_live_ns(c->model, w->ino) < w->from_ns)
        lab_check_fail(c, LAB_DATA,
                       "%s wrote %u bytes at %llu of \"%s\" in the under-store, and in the "
                       "namespace nobody writes file %llu",
                       sim_node_name(e->by), e->len, (unsigned long long)e->off, e->path,
                       (unsigned long long)w->ino.v);
}

static void effect_write(struct lab_check *c, const struct lab_ufs_effect *e)
{
    uint64_t ufs[16];
    int64_t now = sim_now_ns(c->sim);
    for (uint32_t i = 0; i < c->n_writes; i++) {
        const struct check_write *w = &c->writes[i];
        if (w->until_ns < now || e->off < w->off || e->off + e->len > w->off + w->len)
            continue;
        uint32_t n = lab_model_files(c->model, w->ino, ufs, ARRAY_LEN(ufs));
        for (uint32_t k = 0; k < n; k++)
            if (ufs[k] == e->ino) {
                effect_is_live(c, e, w);
                return;
            }
    }
    lab_check_fail(
        c, LAB_DATA,
        "%s wrote %u bytes at %llu of \"%s\" in the under-store, and nobody waits for it",
        sim_node_name(e->by), e->len, (unsigned long long)e->off, e->path);
}

static bool effect_is_owed(const struct meta_intent *i, const struct lab_ufs_effect *e)
{
    static const uint16_t kinds[][2] = {
        {UFS_CREATE, FSOP_MKNOD},  {UFS_MKDIR, FSOP_MKDIR},     {UFS_SYMLINK, FSOP_SYMLINK},
        {UFS_LINK, FSOP_LINK},     {UFS_UNLINK, FSOP_UNLINK},   {UFS_RMDIR, FSOP_RMDIR},
        {UFS_RENAME, FSOP_RENAME}, {UFS_SETATTR, FSOP_SETATTR}, {UFS_SETATTR, FSOP_WRITE_OPEN},
    };
    bool two = e->kind == UFS_LINK || e->kind == UFS_RENAME;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        if (kinds[k][0] == e->kind && kinds[k][1] == i->kind && !strcmp(i->path, e->path) &&
            (!two || !strcmp(i->path2, e->path2)))
            return true;
    return false;
}

static bool effect_is_orphans(struct lab_check *c, const char *path)
{
    char at[LIMIT_BELOW];
    uint16_t mount;
    struct ino ino = {0};
    while ((ino = meta_orphan_next(c->state, ino)).v)
        if (meta_path(c->state, ino, at, sizeof at, &mount) == 0 && !strcmp(at, path))
            return true;
    return false;
}

void lab_check_effect(void *ctx, const struct lab_ufs_effect *e)
{
    struct lab_check *c = ctx;
    struct meta_intent *i = &c->owed;
    c->findings[LAB_STORE].checks++;
    if (e->kind == UFS_WRITE) {
        effect_write(c, e);
        return;
    }
    if (e->is_orphan)
        return;
    i->id = 0;
    while (meta_intent_next(c->state, i->id, i) == 0)
        if (effect_is_owed(i, e))
            return;
    if (e->kind == UFS_UNLINK && effect_is_orphans(c, e->path))
        return;
    lab_check_fail(c, LAB_STORE,
                   "%s changed \"%s\" in the under-store (operation %d), and no open intent of the "
                   "log says so",
                   sim_node_name(e->by), e->path, (int)e->kind);
}
