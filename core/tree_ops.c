/* core/tree_ops.c - create, link, unlink, rmdir: plans and changes (see core/tree.c).
 *
 * A creation in an unloaded directory needs no knowledge of its names: the under-store creates
 * exclusively and its answer decides.  A removal does: what it removes must be a known inode. */
#include "core/meta_internal.h"

static int tree_ops_free_name(const struct meta *m, struct tree_plan *p, uint32_t dir)
{
    const struct fsop *op = p->op;
    if (dir_find(m, dir, op->name, op->name_len))
        return E_EXIST;
    int err = tree_writable(m, p, dir);
    if (!err)
        err = dir_room(m, dir, op->name_len);
    if (!err && p->mode == FSOP_MOUNT_THROUGH) {
        struct meta_path_buf path;
        err = dir_path(m, dir, op->name, op->name_len, &path);
        if (!err)
            err = intent_may_name(m, dir, op->name, op->name_len);
    }
    return err;
}

/* type, mode and owner of what op creates */
static int tree_ops_attrs(const struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    const struct meta_inode *dir = inode_at(m, p->dir);
    uint32_t type = op->mode & FSOP_S_IFMT, mode = op->mode & 07777;
    if (op->kind == FSOP_MKDIR) {
        type = FSOP_S_IFDIR;
    } else if (op->kind == FSOP_SYMLINK) {
        type = FSOP_S_IFLNK;
        mode = 0777;
    } else if (type == 0) {
        type = FSOP_S_IFREG;
    }
    if (op->kind == FSOP_MKNOD) {
        if (type != FSOP_S_IFREG && type != FSOP_S_IFIFO && type != FSOP_S_IFSOCK &&
            type != FSOP_S_IFCHR && type != FSOP_S_IFBLK)
            return E_INVAL;
        if ((type == FSOP_S_IFCHR || type == FSOP_S_IFBLK) && op->uid != 0 && !p->commit)
            return E_PERM;
    }
    p->new_uid = op->uid;
    p->new_gid = op->gid;
    if (dir->mode & 02000) {
        p->new_gid = dir->gid;
        if (type == FSOP_S_IFDIR)
            mode |= 02000;
        else if ((mode & 02010) == 02010 && op->uid != 0 && !inode_in_group(op, dir->gid))
            mode &= ~(uint32_t)02000;
    }
    p->new_mode = type | mode;
    return 0;
}

static bool tree_ops_opens(const struct fsop *op)
{
    return op->kind == FSOP_MKNOD && (op->flags & FSOP_F_OPEN);
}

static int tree_ops_plan_create(const struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    int err = tree_enter(m, p, op->ino, op->name, op->name_len, &p->dir);
    if (!err)
        err = tree_ops_attrs(m, p);
    if (err || p->commit)
        return err;
    if (op->kind == FSOP_SYMLINK && (op->data_len == 0 || memchr(op->data, 0, op->data_len)))
        return E_INVAL;
    if (op->kind == FSOP_SYMLINK && op->data_len >= LIMIT_PATH)
        return E_NAMETOOLONG;
    if (tree_ops_opens(op) && (!op->session.v || (p->new_mode & FSOP_S_IFMT) != FSOP_S_IFREG))
        return E_INVAL;
    err = tree_ops_free_name(m, p, p->dir);
    if (!err && tree_ops_opens(op))
        err = room_writer(m);
    if (!err && op->kind == FSOP_SYMLINK)
        err = room_bytes(m, op->data_len);
    return err ? err : inode_room(m);
}

static int tree_ops_plan_link(const struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    p->node = inode_find(m, op->ino);
    if (!p->node)
        return E_STALE;
    int err = tree_enter(m, p, op->ino2, op->name, op->name_len, &p->dir2);
    if (err || p->commit)
        return err;
    const struct meta_inode *i = inode_at(m, p->node);
    if (inode_is_dir(i))
        return E_PERM;
    if (i->flags & INODE_ORPHAN)
        return E_NOENT;
    if (i->mount != p->mount)
        return E_XDEV;
    if (i->nlink >= LIMIT_LINKS)
        return E_MLINK;
    err = tree_ops_free_name(m, p, p->dir2);
    if (!err && p->mode == FSOP_MOUNT_THROUGH) {
        struct meta_path_buf path;
        err = dir_path(m, p->node, NULL, 0, &path);
        if (!err)
            err = intent_may_inode(m, p->node);
    }
    return err;
}

static int tree_ops_plan_remove(const struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    int err = tree_enter(m, p, op->ino, op->name, op->name_len, &p->dir);
    if (!err)
        err = tree_entry(m, p, p->dir, op->name, op->name_len, &p->dent);
    if (err)
        return err;
    if (!p->dent)
        return E_NOENT;
    p->node = dir_at(m, p->dent)->node;
    if (p->commit)
        return 0;
    const struct meta_inode *i = inode_at(m, p->node);
    err = tree_writable(m, p, p->dir);
    if (!err)
        err = tree_sticky(m, p, p->dir, p->node);
    if (err)
        return err;
    if (op->kind == FSOP_UNLINK && inode_is_dir(i))
        return E_ISDIR;
    if (op->kind == FSOP_RMDIR && !inode_is_dir(i))
        return E_NOTDIR;
    if (i->flags & INODE_MOUNT_ROOT)
        return E_BUSY;
    if (op->kind == FSOP_RMDIR && i->dir.first)
        return E_NOTEMPTY;
    if (p->mode != FSOP_MOUNT_THROUGH)
        return 0;
    struct meta_path_buf path;
    err = dir_path(m, p->dir, op->name, op->name_len, &path);
    if (!err)
        err = intent_may_name(m, p->dir, op->name, op->name_len);
    if (!err)
        err = op->kind == FSOP_RMDIR ? intent_may_tree(m, p->node) : intent_may_inode(m, p->node);
    return err;
}

int tree_ops_plan(struct meta *m, struct tree_plan *p)
{
    switch (p->op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
        return tree_ops_plan_create(m, p);
    case FSOP_LINK:
        return tree_ops_plan_link(m, p);
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        return tree_ops_plan_remove(m, p);
    default:
        return E_NOTSUP;
    }
}

static void tree_ops_create(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    if (!p->node)
        p->node = inode_new(m, p->new_mode, p->new_uid, p->new_gid, p->mount, op->time_ns);
    struct meta_inode *i = inode_mut(m, p->node);
    inode_touch(m, p->node);
    switch (i->mode & FSOP_S_IFMT) {
    case FSOP_S_IFDIR:
        i->flags |= INODE_LOADED; /* new, so it is known to be empty */
        break;
    case FSOP_S_IFLNK:
        i->symlink.target = store_blob_new(&m->st, TABLE_BLOB, op->data, op->data_len);
        i->size = op->data_len;
        break;
    case FSOP_S_IFCHR:
    case FSOP_S_IFBLK:
        i->dev.rdev = op->rdev;
        break;
    }
    dir_add(m, p->dir, op->name, op->name_len, p->node);
    dir_touch(m, p->dir, op->time_ns);
    meta_changed_entry(m, p->dir, op->name, op->name_len);
    uint32_t session = tree_ops_opens(op) ? session_awaits(m, op->session, op->seq) : 0;
    if (session)
        session_writer_add(m, session, p->node);
}

static void tree_ops_link(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    dir_add(m, p->dir2, op->name, op->name_len, p->node);
    dir_touch(m, p->dir2, op->time_ns);
    inode_mut(m, p->node)->ctime_ns = op->time_ns;
    inode_touch(m, p->node);
    meta_changed_entry(m, p->dir2, op->name, op->name_len);
    meta_changed(m, META_CHANGE_ATTR, p->node);
}

static void tree_ops_remove(struct meta *m, struct tree_plan *p)
{
    const struct fsop *op = p->op;
    meta_changed_entry(m, p->dir, op->name, op->name_len);
    dir_remove(m, p->dent);
    dir_gone_set(m, p->dir);
    dir_touch(m, p->dir, op->time_ns);
    tree_settle(m, p->node, op->time_ns);
}

void tree_ops_perform(struct meta *m, struct tree_plan *p)
{
    switch (p->op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
        tree_ops_create(m, p);
        break;
    case FSOP_LINK:
        tree_ops_link(m, p);
        break;
    default:
        tree_ops_remove(m, p);
        break;
    }
}
