/* core/tree_rename.c - rename: every case POSIX distinguishes (see core/tree.c).
 *
 * The entry of the target name, when there is one, stays and is made to name the moved inode, so a
 * listing under way meets that name exactly once.  An EXCHANGE that is owed to an under-store is
 * noted first (intent_note): afterwards nothing else tells whether it was done. */
#include "core/meta_internal.h"
#include "core/mutant.h"

/* what the moved inode and the one it replaces have to be */
static int tree_rename_types(const struct meta *m, const struct tree_plan *p)
{
    const struct meta_inode *from = inode_at(m, p->node), *to = inode_at(m, p->node2);
    if (p->op->flags & FSOP_F_NOREPLACE)
        return E_EXIST;
    if (to->flags & INODE_MOUNT_ROOT)
        return E_BUSY;
    if (inode_is_dir(to) && dir_is_below(m, p->dir, p->node2))
        return p->op->flags & FSOP_F_EXCHANGE ? E_INVAL : E_NOTEMPTY;
    if (p->op->flags & FSOP_F_EXCHANGE)
        return inode_is_dir(to) && mount_below(m, p->node2) ? E_BUSY : 0;
    if (inode_is_dir(to) && !inode_is_dir(from))
        return E_ISDIR;
    if (!inode_is_dir(to) && inode_is_dir(from))
        return E_NOTDIR;
    return inode_is_dir(to) && to->dir.first ? E_NOTEMPTY : 0;
}

static int tree_rename_may(const struct meta *m, const struct tree_plan *p)
{
    int err = tree_writable(m, p, p->dir);
    if (!err)
        err = tree_writable(m, p, p->dir2);
    if (!err)
        err = tree_sticky(m, p, p->dir, p->node);
    if (!err && p->node2)
        err = tree_sticky(m, p, p->dir2, p->node2);
    /* a directory that moves elsewhere gets another "..", which is a change of it */
    if (!err && p->dir != p->dir2 && inode_is_dir(inode_at(m, p->node)))
        err = inode_may(m, p->node, p->op, FSOP_ACCESS_W);
    if (!err && p->dir != p->dir2 && (p->op->flags & FSOP_F_EXCHANGE) &&
        inode_is_dir(inode_at(m, p->node2)))
        err = inode_may(m, p->node2, p->op, FSOP_ACCESS_W);
    return err;
}

static int tree_rename_locks(const struct meta *m, const struct tree_plan *p)
{
    const struct fsop *op = p->op;
    struct meta_path_buf path;
    int err = dir_path(m, p->dir2, op->name2, op->name2_len, &path);
    if (!err)
        err = dir_path(m, p->dir, op->name, op->name_len, &path);
    if (!err)
        err = intent_may_name(m, p->dir, op->name, op->name_len);
    if (!err)
        err = intent_may_name(m, p->dir2, op->name2, op->name2_len);
    for (int k = 0; k < 2 && !err; k++) {
        uint32_t node = k ? p->node2 : p->node;
        if (node)
            err = inode_is_dir(inode_at(m, node)) ? intent_may_tree(m, node)
                                                  : intent_may_inode(m, node);
    }
    return err;
}

/* both names looked up: dent, node, dent2, node2 */
static int tree_rename_resolve(const struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    int err = tree_enter(m, p, op->ino2, op->name2, op->name2_len, &p->dir2);
    uint16_t mount2 = p->mount;
    if (!err)
        err = tree_enter(m, p, op->ino, op->name, op->name_len, &p->dir);
    if (!err && p->mount != mount2)
        err = E_XDEV;
    if (!err)
        err = tree_entry(m, p, p->dir, op->name, op->name_len, &p->dent);
    if (!err && !p->dent)
        err = E_NOENT;
    if (!err)
        err = tree_entry(m, p, p->dir2, op->name2, op->name2_len, &p->dent2);
    if (err)
        return err;
    p->node = dir_at(m, p->dent)->node;
    p->node2 = p->dent2 ? dir_at(m, p->dent2)->node : 0;
    return 0;
}

int tree_rename_plan(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    const uint16_t both = FSOP_F_NOREPLACE | FSOP_F_EXCHANGE;
    if ((op->flags & both) == both)
        return E_INVAL;
    int err = tree_rename_resolve(m, p);
    if (err || p->commit)
        return err;
    if ((op->flags & FSOP_F_EXCHANGE) && !p->dent2)
        return E_NOENT;
    bool is_dir = inode_is_dir(inode_at(m, p->node));
    if (is_dir && dir_is_below(m, p->dir2, p->node))
        return E_INVAL;
    if (inode_at(m, p->node)->flags & INODE_MOUNT_ROOT)
        return E_BUSY;
    if (p->node == p->node2) {
        p->nothing = !(op->flags & FSOP_F_NOREPLACE);
        return p->nothing ? 0 : E_EXIST;
    }
    err = tree_rename_may(m, p);
    if (!err && p->dent2)
        err = tree_rename_types(m, p);
    if (!err && is_dir && mount_below(m, p->node))
        err = E_BUSY;
    if (!err && !p->dent2)
        err = dir_room(m, p->dir2, op->name2_len);
    if (!err && p->mode == FSOP_MOUNT_THROUGH)
        err = tree_rename_locks(m, p);
    return err;
}

void tree_rename_perform(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    if (!MUTANT(RENAME_HALF_TOLD))
        meta_changed_entry(m, p->dir, op->name, op->name_len);
    meta_changed_entry(m, p->dir2, op->name2, op->name2_len);
    if (op->flags & FSOP_F_EXCHANGE) {
        dir_repoint(m, p->dent2, p->node);
        dir_repoint(m, p->dent, p->node2);
        inode_mut(m, p->node2)->ctime_ns = op->time_ns;
        inode_touch(m, p->node2);
        meta_changed(m, META_CHANGE_ATTR, p->node2);
    } else {
        if (p->dent2)
            dir_repoint(m, p->dent2, p->node);
        dir_remove(m, p->dent);
        if (!p->dent2)
            dir_add(m, p->dir2, op->name2, op->name2_len, p->node);
        if (p->node2)
            tree_settle(m, p->node2, op->time_ns);
    }
    inode_mut(m, p->node)->ctime_ns = op->time_ns;
    inode_touch(m, p->node);
    meta_changed(m, META_CHANGE_ATTR, p->node);
    dir_gone_set(m, p->dir);
    dir_gone_set(m, p->dir2);
    dir_touch(m, p->dir, op->time_ns);
    if (p->dir2 != p->dir)
        dir_touch(m, p->dir2, op->time_ns);
}
