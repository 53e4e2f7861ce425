/* core/tree.c - how a mutation of the namespace happens: planned, then performed or intended.
 *
 *   plan     resolves names to slots and evaluates every condition; changes nothing
 *   perform  changes the tree; cannot fail
 *   intend   (THROUGH mounts) reserves the new inode's number, takes the locks, keeps the operation
 *   outcome  releases the locks, then on success plans again with `commit` (resolve only: the
 *            under-store has decided) and performs
 *
 * INVARIANTS
 *  1. An operation that is refused has changed nothing.
 *  2. What an open intent's plan resolved still resolves at its outcome: its locks and those of
 *     everything above keep names, inodes and paths as they were. */
#include "core/meta_internal.h"

bool tree_is_hidden(const struct meta *m, uint32_t dir, const char *name, uint32_t n)
{
    return n == 5 && !memcmp(name, ".tarn", 5) && (inode_at(m, dir)->flags & INODE_MOUNT_ROOT) &&
           mount_mode_of(m, dir) != FSOP_MOUNT_META;
}

int tree_enter(const struct meta *m, struct tree_plan *p, struct ino ino, const char *name,
               uint32_t n, uint32_t *ret_dir)
{
    uint32_t dir = inode_find(m, ino);
    *ret_dir = dir;
    if (!dir)
        return E_STALE;
    if (!inode_is_dir(inode_at(m, dir)))
        return E_NOTDIR;
    p->mount = inode_at(m, dir)->mount;
    p->mode = mount_mode(m, p->mount);
    if (p->commit)
        return 0;
    int err = dir_check_name(name, n);
    if (err)
        return err;
    if (tree_is_hidden(m, dir, name, n))
        return E_PERM;
    return inode_may(m, dir, p->op, FSOP_ACCESS_X);
}

int tree_entry(const struct meta *m, const struct tree_plan *p, uint32_t dir, const char *name,
               uint32_t n, uint32_t *ret_dent)
{
    *ret_dent = dir_find(m, dir, name, n);
    if (*ret_dent || p->commit)
        return 0;
    return (inode_at(m, dir)->flags & INODE_LOADED) || (p->op->flags & FSOP_F_ABSENT)
               ? 0
               : E_NOT_LOADED;
}

int tree_writable(const struct meta *m, const struct tree_plan *p, uint32_t dir)
{
    if (p->mode == FSOP_MOUNT_RO)
        return E_ROFS;
    return inode_may(m, dir, p->op, FSOP_ACCESS_W);
}

int tree_sticky(const struct meta *m, const struct tree_plan *p, uint32_t dir, uint32_t node)
{
    if (!(inode_at(m, dir)->mode & 01000))
        return 0;
    return inode_owned(m, dir, p->op) || inode_owned(m, node, p->op) ? 0 : E_PERM;
}

void tree_settle(struct meta *m, uint32_t node, int64_t time_ns)
{
    struct meta_inode *i = inode_mut(m, node);
    i->ctime_ns = time_ns;
    inode_touch(m, node);
    if (i->links) {
        meta_changed(m, META_CHANGE_ATTR, node);
    } else if (inode_is_reg(i)) {
        inode_orphan_set(m, node, true);
        meta_changed(m, META_CHANGE_ATTR, node);
    } else {
        meta_changed(m, META_CHANGE_ATTR, node);
        inode_free(m, node);
    }
}

static bool tree_creates(uint16_t kind)
{
    return kind == FSOP_MKNOD || kind == FSOP_MKDIR || kind == FSOP_SYMLINK;
}

static int tree_plan(struct meta *m, struct tree_plan *p)
{
    switch (p->op->kind) {
    case FSOP_RENAME:
        return tree_rename_plan(m, p);
    case FSOP_SETATTR:
    case FSOP_WRITE_OPEN:
        return tree_attr_plan(m, p);
    default:
        return tree_ops_plan(m, p);
    }
}

static void tree_perform(struct meta *m, struct tree_plan *p)
{
    switch (p->op->kind) {
    case FSOP_RENAME:
        tree_rename_perform(m, p);
        break;
    case FSOP_SETATTR:
    case FSOP_WRITE_OPEN:
        tree_attr_perform(m, p);
        break;
    default:
        tree_ops_perform(m, p);
        break;
    }
}

/* an operation that the under-store must carry out first */
static bool tree_is_owed(const struct tree_plan *p)
{
    if (p->mode != FSOP_MOUNT_THROUGH)
        return false;
    return p->op->kind != FSOP_WRITE_OPEN || (p->op->flags & FSOP_F_TRUNC);
}

static void tree_lock_node(struct meta *m, uint32_t intent, uint32_t node)
{
    enum meta_lock_kind kind = LOCK_INODE;
    if (inode_is_dir(inode_at(m, node)) && intent_at(m, intent)->kind != FSOP_SETATTR)
        kind = LOCK_TREE;
    intent_lock_node(m, intent, kind, node);
}

static int tree_intend(struct meta *m, struct tree_plan *p, struct meta_result *r)
{
    const struct fsop *op = p->op;
    int err = intent_room(m);
    if (err)
        return err;
    bool creates = tree_creates(op->kind);
    if (creates) {
        p->node = inode_new(m, p->new_mode, p->new_uid, p->new_gid, p->mount, op->time_ns);
        inode_mut(m, p->node)->flags |= INODE_RESERVED;
    }
    struct intent_spec spec = {op, p->mount, p->node, p->dir, p->dir2, p->node2};
    uint32_t intent = intent_open(m, &spec, r);
    if (op->kind == FSOP_LINK)
        intent_lock_name(m, intent, p->dir2, op->name, op->name_len);
    else if (op->name_len)
        intent_lock_name(m, intent, p->dir, op->name, op->name_len);
    if (op->kind == FSOP_RENAME)
        intent_lock_name(m, intent, p->dir2, op->name2, op->name2_len);
    if (!creates)
        tree_lock_node(m, intent, p->node);
    if (p->node2)
        tree_lock_node(m, intent, p->node2);
    return 0;
}

int tree_apply(struct meta *m, const struct fsop *op, struct meta_result *r)
{
    struct tree_plan p = {.op = op};
    int err = tree_plan(m, &p);
    if (err)
        return err;
    if (!p.nothing && tree_is_owed(&p))
        return tree_intend(m, &p, r);
    if (!p.nothing)
        tree_perform(m, &p);
    if (p.node && inode_at(m, p.node)->mode)
        inode_attr(m, p.node, &r->reply.attr);
    return 0;
}

/* Somebody outside has put other contents where our effect went: what is cached of this version is
 * of others.  A file's own writers and truncations count its versions. */
static bool tree_outcome_is_other(const struct meta *m, const struct tree_plan *p, uint32_t node,
                                  const struct fsent *e)
{
    const struct meta_inode *i = inode_at(m, node);
    if (!inode_is_reg(i) || i->file.writers || (p->op->valid & FSOP_SET_SIZE))
        return false;
    uint64_t known = (uint64_t)i->file.ufs_hi << 32 | i->file.ufs_lo;
    return known && (known != e->ufs_ino || i->size != e->size || i->mtime_ns != e->mtime_ns);
}

static void tree_outcome_adopt_node(struct meta *m, const struct tree_plan *p, uint32_t node,
                                    const struct fsent *e)
{
    if (!node || !(e->mode & FSOP_S_IFMT) ||
        (e->mode & FSOP_S_IFMT) != (inode_at(m, node)->mode & FSOP_S_IFMT))
        return;
    if (tree_outcome_is_other(m, p, node, e)) {
        inode_change(m, node);
        meta_changed(m, META_CHANGE_DATA, node);
    }
    inode_adopt(m, node, e);
}

/* The file behind a name that we took away has others: the loss has moved its time of change, and
 * with that its fingerprint.  Below the name may have led to another file. */
static void tree_outcome_adopt_left(struct meta *m, const struct tree_plan *p, uint32_t node,
                                    const struct fsent *e)
{
    const struct meta_inode *i = node ? inode_at(m, node) : NULL;
    if (i && i->mode && i->links && inode_is_reg(i) && e->ufs_ino &&
        ((uint64_t)i->file.ufs_hi << 32 | i->file.ufs_lo) == e->ufs_ino)
        tree_outcome_adopt_node(m, p, node, e);
}

/* takes over what the under-store said of target, parent and second parent, and of the other file
 * of a rename */
static void tree_outcome_adopt(struct meta *m, const struct fsop *op, const struct tree_plan *p)
{
    struct rbuf rb = rbuf_make(op->data, op->data_len);
    struct fsent e;
    uint32_t dirs[2] = {p->dir ? p->dir : p->dir2, p->dir ? p->dir2 : 0};
    if (!op->data_len || fsop_ent_get(&rb, &e))
        return;
    if (p->op->kind == FSOP_UNLINK)
        tree_outcome_adopt_left(m, p, p->node, &e);
    else
        tree_outcome_adopt_node(m, p, p->node, &e);
    for (int k = 0; k < 2 && rbuf_left(&rb) && !fsop_ent_get(&rb, &e); k++) {
        if (!dirs[k] || (e.mode & FSOP_S_IFMT) != FSOP_S_IFDIR)
            continue;
        struct meta_inode *i = inode_mut(m, dirs[k]);
        i->fp = e.fp;
        i->mtime_ns = e.mtime_ns;
        i->ctime_ns = e.ctime_ns;
    }
    if (p->op->kind != FSOP_RENAME || !rbuf_left(&rb) || fsop_ent_get(&rb, &e))
        return;
    if (intent_is_exchange(p->op))
        tree_outcome_adopt_node(m, p, p->node2, &e);
    else
        tree_outcome_adopt_left(m, p, p->node2, &e);
}

static void tree_outcome_done(struct meta *m, const struct fsop *op, const struct fsop *owed,
                              uint32_t node, struct meta_result *r)
{
    struct tree_plan p = {.op = owed, .commit = true};
    int err = tree_plan(m, &p);
    ASSERT(err == 0);
    if (tree_creates(owed->kind)) {
        p.node = node;
        inode_mut(m, node)->flags &= (uint16_t)~INODE_RESERVED;
    }
    tree_perform(m, &p);
    if (p.node && inode_at(m, p.node)->mode) {
        tree_outcome_adopt(m, op, &p);
        inode_attr(m, p.node, &r->reply.attr);
    } else {
        p.node = 0;
        tree_outcome_adopt(m, op, &p);
    }
}

int tree_outcome(struct meta *m, const struct fsop *op, struct meta_result *r)
{
    uint32_t slot = intent_find(m, op->arg);
    if (!slot)
        return E_STALE;
    struct meta_intent_rec i = *intent_at(m, slot);
    uint8_t b[LIMIT_PATH + 2 * LIMIT_NAME + 512];
    struct fsop owed;
    int err = intent_op(m, slot, b, sizeof b, &owed);
    ASSERT(err == 0);
    r->session.v = i.session;
    r->seq = i.seq;
    intent_close(m, slot);
    if (i.kind == FSOP_LOAD) {
        tree_load_abort(m, (uint32_t)i.ino);
        return 0;
    }
    if (op->err) {
        if (tree_creates(i.kind))
            inode_free(m, (uint32_t)i.ino);
        return err_checked(op->err);
    }
    tree_outcome_done(m, op, &owed, (uint32_t)i.ino, r);
    return 0;
}
