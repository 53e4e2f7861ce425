/* core/tree_attr.c - attributes, truncation, and who writes a file (see core/tree.c).
 *
 * A plan turns the request into an explicit one (p->norm): "now" becomes the leader's time, and
 * set-id bits that a change of owner or content clears become a change of mode; so what the
 * under-store is asked to do and what the tree does are the same.
 *
 * The owner may change the size and open for writing whatever the mode says, as NFS servers allow:
 * the kernel has checked the mode when the descriptor was opened, and one created read-only must
 * still take its first bytes. */
#include "core/meta_internal.h"
#include "core/mutant.h"

static int tree_attr_may_write(const struct meta *m, const struct tree_plan *p)
{
    const struct meta_inode *i = inode_at(m, p->node);
    if (inode_is_dir(i))
        return E_ISDIR;
    if (!inode_is_reg(i))
        return E_INVAL;
    return inode_owned(m, p->node, p->op) ? 0 : inode_may(m, p->node, p->op, FSOP_ACCESS_W);
}

static int tree_attr_may_set(const struct meta *m, const struct tree_plan *p)
{
    const struct fsop *op = p->op;
    const struct meta_inode *i = inode_at(m, p->node);
    bool owned = inode_owned(m, p->node, op), root = op->uid == 0;
    if ((op->valid & FSOP_SET_MODE) && !owned)
        return E_PERM;
    if ((op->valid & FSOP_SET_UID) && !root && (!owned || op->set_uid != i->uid))
        return E_PERM;
    if ((op->valid & FSOP_SET_GID) && !root &&
        (!owned || (op->set_gid != i->gid && !inode_in_group(op, op->set_gid))))
        return E_PERM;
    if ((op->valid & (FSOP_SET_ATIME | FSOP_SET_MTIME)) && !owned)
        return E_PERM;
    if ((op->valid & (FSOP_SET_ATIME_NOW | FSOP_SET_MTIME_NOW)) && !owned) {
        int err = inode_may(m, p->node, op, FSOP_ACCESS_W);
        if (err)
            return err;
    }
    if (op->valid & FSOP_SET_SIZE) {
        if (op->size > INT64_MAX)
            return E_FBIG;
        return tree_attr_may_write(m, p);
    }
    return 0;
}

static void tree_attr_normalise(const struct meta *m, struct tree_plan *p)
{
    const struct meta_inode *i = inode_at(m, p->node);
    struct fsop *n = &p->norm;
    uint32_t mode = (n->valid & FSOP_SET_MODE ? n->mode : i->mode) & 07777;
    if (n->valid & FSOP_SET_ATIME_NOW)
        n->atime_ns = n->time_ns;
    if (n->valid & FSOP_SET_MTIME_NOW)
        n->mtime_ns = n->time_ns;
    n->valid |= n->valid & FSOP_SET_ATIME_NOW ? FSOP_SET_ATIME : 0;
    n->valid |= n->valid & FSOP_SET_MTIME_NOW ? FSOP_SET_MTIME : 0;
    n->valid &= ~(uint32_t)(FSOP_SET_ATIME_NOW | FSOP_SET_MTIME_NOW);
    if ((n->valid & FSOP_SET_MODE) && n->uid != 0 && !inode_is_dir(i) && !inode_in_group(n, i->gid))
        mode &= ~(uint32_t)02000;
    bool chown = n->valid & (FSOP_SET_UID | FSOP_SET_GID);
    bool write = (n->valid & FSOP_SET_SIZE) && n->uid != 0;
    if ((chown || write) && !inode_is_dir(i)) {
        mode &= ~(uint32_t)04000;
        if (mode & 00010)
            mode &= ~(uint32_t)02000;
    }
    if ((n->valid & FSOP_SET_MODE) || mode != (i->mode & 07777)) {
        n->valid |= FSOP_SET_MODE;
        n->mode = mode;
    }
}

int tree_attr_plan(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    p->node = inode_find(m, op->ino);
    if (!p->node)
        return E_STALE;
    p->mount = inode_at(m, p->node)->mount;
    p->mode = mount_mode(m, p->mount);
    if (p->commit)
        return 0;
    if (p->mode == FSOP_MOUNT_RO)
        return E_ROFS;
    if (op->kind == FSOP_WRITE_OPEN && !op->session.v)
        return E_INVAL;
    p->norm = *op;
    p->norm.name_len = p->norm.name2_len = p->norm.data_len = 0;
    if (op->kind == FSOP_WRITE_OPEN) {
        p->norm.size = 0;
        p->norm.valid = op->flags & FSOP_F_TRUNC ? FSOP_SET_SIZE : 0;
    }
    p->op = &p->norm;
    int err = op->kind == FSOP_WRITE_OPEN ? tree_attr_may_write(m, p) : tree_attr_may_set(m, p);
    if (err)
        return err;
    uint32_t session = op->kind == FSOP_WRITE_OPEN ? session_find(m, op->session) : 0;
    if (session && !session_writes(m, session, p->node)) {
        err = room_writer(m);
        if (err)
            return err;
    }
    tree_attr_normalise(m, p);
    p->nothing = op->kind == FSOP_SETATTR && p->norm.valid == 0;
    if (p->nothing || p->mode != FSOP_MOUNT_THROUGH || p->norm.valid == 0)
        return 0;
    struct meta_path_buf path;
    err = dir_path(m, p->node, NULL, 0, &path);
    return err ? err : intent_may_inode(m, p->node);
}

static void tree_attr_write_open(struct meta *m, struct tree_plan *p)
{
    uint32_t session = session_find(m, p->op->session);
    struct meta_inode *i = inode_mut(m, p->node);
    if (!session || session_writes(m, session, p->node))
        return; /* the session may have ended while its truncation was under way */
    if (!i->file.writers) {
        if (!MUTANT(WRITE_KEEPS_VERSION))
            inode_change(m, p->node);
        meta_changed(m, META_CHANGE_DATA, p->node);
    }
    session_writer_add(m, session, p->node);
}

void tree_attr_perform(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    struct meta_inode *i = inode_mut(m, p->node);
    if (op->valid & FSOP_SET_MODE)
        i->mode = (i->mode & FSOP_S_IFMT) | (op->mode & 07777);
    if (op->valid & FSOP_SET_UID)
        i->uid = op->set_uid;
    if (op->valid & FSOP_SET_GID)
        i->gid = op->set_gid;
    if (op->valid & FSOP_SET_SIZE) {
        i->size = op->size;
        i->mtime_ns = op->time_ns;
        i->fp = 0;
        inode_change(m, p->node);
    }
    if (op->valid & FSOP_SET_ATIME)
        i->atime_ns = op->atime_ns;
    if (op->valid & FSOP_SET_MTIME)
        i->mtime_ns = op->mtime_ns;
    if (op->valid) {
        inode_touch(m, p->node);
        i->ctime_ns = op->time_ns;
        meta_changed(m, op->valid & FSOP_SET_SIZE ? META_CHANGE_DATA : META_CHANGE_ATTR, p->node);
    }
    if (op->kind == FSOP_WRITE_OPEN)
        tree_attr_write_open(m, p);
}

/* Attributes were changed through us since the file was looked at, and its own are others now:
 * those may be the newer ones, so they stay, and it is compared again.  (The mark does not tell:
 * they may have been what they are before they were what was seen.) */
static void tree_attr_adopt_written(struct meta *m, const struct fsop *op, uint32_t node,
                                    const struct fsent *e)
{
    struct meta_inode *i = inode_mut(m, node);
    struct fsent own = *e;
    bool is_older = inode_is_newer(m, node, op) &&
                    ((i->mode ^ e->mode) & 07777 || i->uid != e->uid || i->gid != e->gid);
    if (is_older) {
        own.mode = i->mode;
        own.uid = i->uid;
        own.gid = i->gid;
        own.fp = 0;
    }
    inode_adopt(m, node, &own);
}

int tree_attr_write_close(struct meta *m, const struct fsop *op)
{
    uint32_t node = inode_find(m, op->ino), session = session_find(m, op->session);
    if (!node)
        return E_STALE;
    if (!inode_is_reg(inode_at(m, node)) || !session || !session_writes(m, session, node))
        return E_BADF;
    /* an effect under way may have moved it already when it was looked for */
    if (op->size && (inode_at(m, node)->n_locks || intent_may_below(m, node) ||
                     op->size != meta_path_mark(m, op->ino)))
        return E_CONFLICT;
    session_writer_remove(m, session, node);
    struct rbuf r = rbuf_make(op->data, op->data_len);
    struct fsent e;
    struct meta_inode *i = inode_mut(m, node);
    bool found = op->data_len && !fsop_ent_get(&r, &e) && (e.mode & FSOP_S_IFMT) == FSOP_S_IFREG;
    if (found && !i->file.writers) {
        tree_attr_adopt_written(m, op, node, &e);
    } else if (found) {
        i->size = e.size;
        i->mtime_ns = e.mtime_ns;
        i->ctime_ns = e.ctime_ns;
    } else {
        i->fp = 0; /* what was written is not known */
    }
    if (!MUTANT(WRITE_KEEPS_VERSION))
        inode_change(m, node);
    inode_touch(m, node);
    meta_changed(m, META_CHANGE_DATA, node);
    return 0;
}
