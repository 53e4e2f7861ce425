/* core/tree_load.c - the tree learns what lies in the under-store: LOAD of listings and of single
 * names, REFRESH of one inode.
 *
 * A listing is BEGIN, any number of batches, LAST: an intent of its own whose lock keeps new
 * mutations of the directory's names away.  Each name it brings is marked SEEN; LAST removes what
 * is not.  What somebody holds is left as it is: names under a lock (an effect is on its way, or
 * was while the listing ran), files being written, mount points, and whatever has one of those
 * below it; the directory is listed again
 * when something of that differs.  Without BEGIN, entries stand for themselves: one of type 0 says
 * that the name is gone.
 *
 * A regular file whose fingerprint is the one known, and is not 0 ("too young to be trusted"), is
 * unchanged; any other counts as new content.  A name that changed its type is a new inode.  Two
 * names of one under-store file (hard links) are two inodes here: telling them apart from a
 * replaced file would need an index by under-store inode number, and all that is lost is that a
 * change through one name shows under the other at its own next check. */
#include "core/meta_internal.h"
#include "core/mutant.h"

enum { TREE_LOAD_WORK = 4096 };

/* Work that one record may cost is bounded by LIMIT_BATCH and, where names go, by TREE_LOAD_WORK of
 * them (FSOP_F_PART): the end of a listing and what a directory that is gone takes along go in as
 * many records as that needs.  A listing that is given up visits every name, once.  What lay below
 * is not told to those who hold it, one by one: they may use it until the lease it was given with
 * ends. */

/* the file, or one of its names, is below top */
static bool tree_load_is_file_below(const struct meta *m, uint32_t node, uint32_t top)
{
    for (uint32_t dent = inode_at(m, node)->links; dent; dent = dir_at(m, dent)->link_next)
        if (dir_is_below(m, dir_at(m, dent)->parent, top))
            return true;
    return false;
}

/* the other way round, for a large tree: what is written is little */
static bool tree_load_is_written_below(const struct meta *m, uint32_t top)
{
    struct session_id s = {0};
    while ((s = session_next(m, s)).v)
        for (uint32_t w = session_writer_first(m, s); w; w = session_writer_after(m, w))
            if (tree_load_is_file_below(m, session_writer_node(m, w), top))
                return true;
    return false;
}

/* nobody holds node or anything below it */
static bool tree_load_is_free(const struct meta *m, uint32_t top)
{
    const struct meta_inode *i = inode_at(m, top);
    if (i->n_locks || (i->flags & INODE_MOUNT_ROOT))
        return false;
    if (inode_is_reg(i))
        return i->file.writers == 0;
    if (!inode_is_dir(i))
        return true;
    if (mount_below(m, top) || intent_locks_below(m, top))
        return false;
    if (m->st.t[TABLE_WRITER].live == 0)
        return true;
    uint32_t dent = i->dir.first, node = top;
    for (uint32_t seen = 0;; seen++) { /* the subtree in listing order, without recursion */
        if (seen == TREE_LOAD_WORK)
            return !tree_load_is_written_below(m, top);
        if (!dent) {
            if (node == top)
                return true;
            dent = dir_at(m, inode_at(m, node)->links)->next;
            node = dir_parent(m, node);
            continue;
        }
        uint32_t child = dir_at(m, dent)->node;
        const struct meta_inode *c = inode_at(m, child);
        if (inode_is_reg(c) && c->file.writers)
            return false;
        if (inode_is_dir(c) && c->dir.first) {
            node = child;
            dent = c->dir.first;
        } else {
            dent = dir_at(m, dent)->next;
        }
    }
}

/* the inode behind a name that means something else now */
static void tree_load_discard(struct meta *m, uint32_t node)
{
    meta_changed(m, inode_is_dir(inode_at(m, node)) ? META_CHANGE_DIR : META_CHANGE_DATA, node);
    if (inode_is_dir(inode_at(m, node)))
        dir_drop_tree(m, node);
    else if (!inode_at(m, node)->links)
        inode_free(m, node);
}

/* Somebody holds node, so its name is left as it is, though it leads elsewhere below.  Of a file
 * with several names that would not be found again by looking at the file: by listing alone. */
static void tree_load_leave(struct meta *m, uint32_t dir, uint32_t node)
{
    uint32_t load = intent_loading(m, dir);
    if (load && inode_is_reg(inode_at(m, node)) && inode_at(m, node)->nlink > 1)
        ((struct meta_intent_rec *)store_mut(&m->st, TABLE_INTENT, load))->left++;
}

/* More lies below node than this record may take away: a part of it went, the rest is for the next.
 */
static bool tree_load_is_cut(struct meta *m, uint32_t node)
{
    if (!inode_is_dir(inode_at(m, node)) || dir_drop_below(m, node, &m->work))
        return false;
    meta_changed(m, META_CHANGE_DIR, node);
    m->result->reply.value = 1;
    return true;
}

/* The name is gone below; false when somebody holds it.  Of a large directory it may take several
 * records: then reply.value is 1, and it is still there. */
static bool tree_load_remove(struct meta *m, uint32_t dent)
{
    const struct meta_dentry *d = dir_at(m, dent);
    uint32_t node = d->node, n;
    const char *name = dir_name(m, d, &n);
    if (intent_name_locked(m, d->parent, name, n))
        return false;
    if (!tree_load_is_free(m, node)) {
        tree_load_leave(m, d->parent, node);
        return false;
    }
    meta_changed_entry(m, d->parent, name, n);
    if (tree_load_is_cut(m, node))
        return true;
    if (!inode_is_dir(inode_at(m, node)))
        dir_remove(m, dent);
    tree_load_discard(m, node);
    return true;
}

/* A fingerprint covers the time of change, which our own renames and links move, too: then it is
 * new or not to be trusted yet, and the contents are what they were.  Nobody else reaches an
 * orphan; of others, all that is known is as found, and the last write so much older than the last
 * change that no later one hides in the same tick of a clock. */
static bool tree_load_is_content(const struct meta_inode *i, const struct fsent *e)
{
    const int64_t tick_ns = 20 * 1000 * 1000;
    uint64_t known = inode_is_reg(i) ? (uint64_t)i->file.ufs_hi << 32 | i->file.ufs_lo : 0;
    if (!known || known != e->ufs_ino || i->size != e->size || i->mtime_ns != e->mtime_ns)
        return false;
    if (i->flags & INODE_ORPHAN)
        return true;
    return !i->fp && i->ctime_ns == e->ctime_ns && i->ctime_ns - i->mtime_ns >= tick_ns &&
           i->mode == e->mode && i->uid == e->uid && i->gid == e->gid;
}

/* attributes as found below; true when anything changed */
static bool tree_load_adopt(struct meta *m, uint32_t node, const struct fsent *e)
{
    struct meta_inode *i = inode_mut(m, node);
    bool same = e->fp != 0 && e->fp == i->fp;
    if (same || i->n_locks)
        return false;
    if (inode_is_reg(i) && i->file.writers)
        return false;
    if (inode_is_link(i) && room_bytes(m, e->target_len))
        return false; /* found again when there is room */
    inode_touch(m, node);
    if (tree_load_is_content(i, e)) {
        i->fp = e->fp;
        return false;
    }
    inode_adopt(m, node, e);
    if (inode_is_dir(i)) {
        i->flags &= (uint16_t)~INODE_LOADED; /* the listing is of what was there before */
        meta_changed(m, META_CHANGE_DIR, node);
    } else {
        inode_change(m, node);
        meta_changed(m, META_CHANGE_DATA, node);
    }
    return true;
}

static uint32_t tree_load_new_inode(struct meta *m, uint32_t dir, const struct fsent *e,
                                    int64_t time_ns)
{
    uint32_t node = inode_new(m, (e->mode & FSOP_S_IFMT) | (e->mode & 07777), e->uid, e->gid,
                              inode_at(m, dir)->mount, time_ns);
    inode_adopt(m, node, e);
    inode_touch(m, node);
    return node;
}

/* One of several names of a file leads to another file by now: then the others' is not changed. */
static bool tree_load_is_split(const struct meta *m, uint32_t node, const struct fsent *e)
{
    const struct meta_inode *i = inode_at(m, node);
    uint64_t known = inode_is_reg(i) ? (uint64_t)i->file.ufs_hi << 32 | i->file.ufs_lo : 0;
    return known && e->ufs_ino && i->nlink > 1 && known != e->ufs_ino;
}

static bool tree_load_type_known(uint32_t mode)
{
    switch (mode & FSOP_S_IFMT) {
    case FSOP_S_IFDIR:
    case FSOP_S_IFREG:
    case FSOP_S_IFLNK:
    case FSOP_S_IFIFO:
    case FSOP_S_IFSOCK:
    case FSOP_S_IFCHR:
    case FSOP_S_IFBLK:
        return true;
    default:
        return false;
    }
}

/* the directory is being listed, and the end of that has not passed this name yet */
static bool tree_load_is_to_come(const struct meta *m, uint32_t dir, uint32_t dent)
{
    uint32_t load = intent_loading(m, dir);
    return load && dir_cookie(m, dent) > intent_at(m, load)->replaced;
}

/* one name of a directory; *changed is set when the tree changed */
static int tree_load_entry(struct meta *m, const struct fsop *op, uint32_t dir,
                           const struct fsent *e, bool *changed)
{
    if (dir_check_name(e->name, e->name_len) || tree_is_hidden(m, dir, e->name, e->name_len))
        return 0;
    uint32_t dent = dir_find(m, dir, e->name, e->name_len);
    bool locked = intent_name_locked(m, dir, e->name, e->name_len);
    if (dent && tree_load_is_to_come(m, dir, dent))
        ((struct meta_dentry *)store_mut(&m->st, TABLE_DENTRY, dent))->flags |= DENTRY_SEEN;
    if (locked)
        return 0;
    if (!tree_load_type_known(e->mode)) {
        if (dent && (e->mode & FSOP_S_IFMT) == 0 && tree_load_remove(m, dent))
            *changed = true;
        return 0;
    }
    uint32_t node = dent ? dir_at(m, dent)->node : 0;
    if (node && (inode_at(m, node)->flags & INODE_MOUNT_ROOT))
        return 0;
    if (node && (inode_at(m, node)->mode & FSOP_S_IFMT) == (e->mode & FSOP_S_IFMT) &&
        !tree_load_is_split(m, node, e)) {
        if (!inode_is_newer(m, node, op))
            *changed |= tree_load_adopt(m, node, e);
        return 0;
    }
    if (node && !tree_load_is_free(m, node)) {
        tree_load_leave(m, dir, node);
        return 0;
    }
    int err = inode_room(m);
    if (!err && !dent)
        err = dir_room(m, dir, e->name_len);
    if (!err && e->target_len)
        err = room_bytes(m, e->target_len);
    if (err)
        return err;
    *changed = true;
    if (node && tree_load_is_cut(m, node))
        return 0;
    uint32_t fresh = tree_load_new_inode(m, dir, e, op->time_ns);
    if (dent) {
        dir_repoint(m, dent, fresh);
        tree_load_discard(m, node);
    } else {
        dent = dir_add(m, dir, e->name, e->name_len, fresh);
        if (tree_load_is_to_come(m, dir, dent))
            ((struct meta_dentry *)store_mut(&m->st, TABLE_DENTRY, dent))->flags |= DENTRY_SEEN;
    }
    meta_changed_entry(m, dir, e->name, e->name_len);
    return 0;
}

void tree_load_abort(struct meta *m, uint32_t dir)
{
    for (uint32_t dent = inode_at(m, dir)->dir.first; dent; dent = dir_at(m, dent)->next)
        if (dir_at(m, dent)->flags & DENTRY_SEEN)
            ((struct meta_dentry *)store_mut(&m->st, TABLE_DENTRY, dent))->flags &=
                (uint16_t)~DENTRY_SEEN;
}

/* Removes names that are not SEEN, from where the last record stopped; false: there are more. */
static bool tree_load_sweep(struct meta *m, uint32_t dir, uint32_t intent)
{
    uint64_t place = intent_at(m, intent)->replaced;
    uint32_t dent = dir_seek(m, dir, place), next;
    for (; dent && m->work; dent = next) {
        const struct meta_dentry *d = dir_at(m, dent);
        bool is_seen = d->flags & DENTRY_SEEN;
        uint64_t cookie = dir_cookie(m, dent);
        next = d->next;
        m->work--;
        bool is_kept = is_seen || !tree_load_remove(m, dent);
        if (m->result->reply.value)
            break; /* this one is not gone yet */
        if (is_seen)
            ((struct meta_dentry *)store_mut(&m->st, TABLE_DENTRY, dent))->flags &=
                (uint16_t)~DENTRY_SEEN;
        place = is_kept ? cookie : place;
    }
    ((struct meta_intent_rec *)store_mut(&m->st, TABLE_INTENT, intent))->replaced = place;
    m->result->reply.value = dent != 0;
    return !dent;
}

/* The directory was looked at before its listing had the lock.  If attributes were changed through
 * us since, and its own are others now, then they may be the newer ones: left alone, it is compared
 * again, as its fingerprint is not known.  (The mark of the path does not tell: they may have been
 * what they are before they were what was seen.) */
static bool tree_load_is_older(const struct meta *m, const struct fsop *op, uint32_t dir,
                               const struct fsent *self)
{
    const struct meta_inode *i = inode_at(m, dir);
    return inode_is_newer(m, dir, op) &&
           ((i->mode ^ self->mode) & 07777 || i->uid != self->uid || i->gid != self->gid);
}

static void tree_load_last(struct meta *m, const struct fsop *op, uint32_t dir,
                           const struct fsent *self)
{
    struct meta_inode *i = inode_mut(m, dir);
    i->flags |= INODE_LOADED;
    inode_change(m, dir);
    bool is_as_listed = self->mode && !tree_load_is_older(m, op, dir, self) &&
                        i->n_locks == 1; /* the listing's own */
    if (is_as_listed)
        inode_adopt(m, dir, self);
    is_as_listed &= !intent_at(m, intent_loading(m, dir))->left;
    i->fp = is_as_listed ? self->fp : 0;
}

/* Names of the directory came or went since its first page was read: what was read may bring them
 * back or, as it lacks them, take them away.  From here on the listing's lock knows what changes.
 */
static bool tree_load_is_outdated(const struct meta *m, const struct fsop *op, uint32_t dir)
{
    return op->atime_ns && (uint64_t)op->atime_ns != inode_at(m, dir)->version &&
           !MUTANT(LISTING_OUTDATED);
}

/* names went since one of them was read: it may be brought back */
static bool tree_load_is_late(const struct meta *m, const struct fsop *op, uint32_t dir)
{
    return op->mtime_ns && (uint64_t)op->mtime_ns < dir_gone(m, dir) && !MUTANT(LOAD_REVIVES);
}

/* the directory may be loaded by op; *ret_intent is the listing that op belongs to, or 0 */
static int tree_load_check(const struct meta *m, const struct fsop *op, uint32_t *ret_dir,
                           uint32_t *ret_intent)
{
    uint32_t dir = inode_find(m, op->ino);
    *ret_dir = dir;
    *ret_intent = 0;
    if (!dir)
        return E_STALE;
    if (!inode_is_dir(inode_at(m, dir)))
        return E_NOTDIR;
    if (mount_mode_of(m, dir) == FSOP_MOUNT_META)
        return E_NOTSUP;
    if (op->size && op->size != meta_path_mark(m, op->ino))
        return E_CONFLICT;
    if (op->flags & FSOP_F_LOAD_BEGIN) {
        struct meta_path_buf path;
        int err = dir_path(m, dir, NULL, 0, &path);
        if (!err && tree_load_is_outdated(m, op, dir))
            err = E_CONFLICT;
        if (!err)
            err = intent_may_load(m, dir);
        return err ? err : intent_room(m);
    }
    if (op->arg) {
        uint32_t i = intent_find(m, op->arg);
        if (!i || i != intent_loading(m, dir))
            return E_STALE;
        *ret_intent = i;
        return 0;
    }
    if (op->flags & FSOP_F_LOAD_LAST)
        return E_INVAL;
    return tree_load_is_late(m, op, dir) ? E_CONFLICT : intent_may_below(m, dir);
}

/* the batch is decodable from end to end */
static int tree_load_decodes(const struct fsop *op, uint32_t *ret_entries)
{
    *ret_entries = 0;
    struct rbuf r = rbuf_make(op->data, op->data_len);
    struct fsent e;
    for (; rbuf_left(&r); ++*ret_entries)
        if (fsop_ent_get(&r, &e))
            return E_PROTO;
    return 0;
}

int tree_load(struct meta *m, const struct fsop *op, struct meta_result *r)
{
    uint32_t dir, intent, n;
    int err = tree_load_check(m, op, &dir, &intent);
    if (!err)
        err = tree_load_decodes(op, &n);
    if (err)
        return err;
    if (op->flags & FSOP_F_LOAD_BEGIN) {
        struct fsop bare = {.kind = FSOP_LOAD, .time_ns = op->time_ns, .ino = op->ino};
        struct intent_spec spec = {&bare, inode_at(m, dir)->mount, dir, dir, 0, 0};
        intent = intent_open(m, &spec, r);
        intent_lock_node(m, intent, LOCK_LOAD, dir);
    }
    m->work = op->flags & FSOP_F_PART ? TREE_LOAD_WORK : UINT64_MAX;
    bool changed = false;
    struct rbuf rb = rbuf_make(op->data, op->data_len);
    struct fsent e, self = {0};
    if (intent || n > 2) /* said first: it covers the many that may follow */
        meta_changed(m, META_CHANGE_DIR, dir);
    while (!err && rbuf_left(&rb)) {
        (void)fsop_ent_get(&rb, &e);
        if (e.name_len == 0 && (e.mode & FSOP_S_IFMT) == FSOP_S_IFDIR)
            self = e;
        else if (e.name_len)
            err = tree_load_entry(m, op, dir, &e, &changed);
    }
    bool is_over = (op->flags & FSOP_F_LOAD_LAST) || (err && (op->flags & FSOP_F_LOAD_BEGIN));
    if (is_over && !err && !tree_load_sweep(m, dir, intent))
        is_over = false;
    if (is_over) { /* a listing that failed at once has nobody who could give it up */
        if (!err)
            tree_load_last(m, op, dir, &self);
        else
            tree_load_abort(m, dir);
        intent_close(m, intent);
        r->reply.intent = 0;
    } else if (changed) {
        inode_change(m, dir);
    }
    inode_attr(m, dir, &r->reply.attr);
    return err;
}

int tree_load_refresh(struct meta *m, const struct fsop *op)
{
    m->work = op->flags & FSOP_F_PART ? TREE_LOAD_WORK : UINT64_MAX;
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    const struct meta_inode *i = inode_at(m, node);
    struct rbuf r = rbuf_make(op->data, op->data_len);
    struct fsent e = {0};
    if (op->data_len && fsop_ent_get(&r, &e))
        return E_PROTO;
    if (mount_mode_of(m, node) == FSOP_MOUNT_META)
        return E_NOTSUP;
    if (i->n_locks)
        return intent_refuse_node(m, node);
    if (intent_may_below(m, node))
        return E_CONFLICT;
    if (op->size && op->size != meta_path_mark(m, op->ino))
        return E_CONFLICT;
    if (i->links && tree_load_is_split(m, node, &e)) {
        uint32_t parent = dir_at(m, i->links)->parent; /* the name is found anew */
        if (!tree_load_remove(m, i->links))            /* a file: at once */
            return E_CONFLICT;
        inode_mut(m, parent)->flags &= (uint16_t)~INODE_LOADED;
        return 0;
    }
    if ((e.mode & FSOP_S_IFMT) == (i->mode & FSOP_S_IFMT)) {
        (void)tree_load_adopt(m, node, &e);
        return 0;
    }
    if (i->flags & INODE_ORPHAN) /* it goes by RECLAIM alone */
        return 0;
    if (i->flags & INODE_MOUNT_ROOT)
        return E_BUSY;
    /* Only one name was looked at.  Where the file has others those may lead to it still, in
     * directories that did not change: they would not come back. */
    return !i->links || tree_load_remove(m, i->links) ? 0 : E_CONFLICT;
}
