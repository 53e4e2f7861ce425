/* sim/lab_model_ops.c - the rules of the namespace, written from POSIX: who may do what, and what
 * it does (see sim/lab_model.h). */
#include "sim/lab_model_impl.h"

static bool ops_is(const struct model_node *n, uint32_t type)
{
    return (lab_model_now(n)->mode & FSOP_S_IFMT) == type;
}

static bool ops_is_dir(const struct model_node *n)
{
    return ops_is(n, FSOP_S_IFDIR);
}

static struct model_node *ops_alive(const struct lab_model *m, struct ino ino)
{
    struct model_node *n = lab_model_find(m, ino);
    return n && !lab_model_now(n)->dead ? n : NULL;
}

static struct model_node *ops_child(const struct lab_model *m, const struct model_node *dir,
                                    const char *name, uint32_t len)
{
    const struct model_entry *e = lab_model_entry_now(&dir->names, name, len);
    return e ? lab_model_find(m, (struct ino){e->value}) : NULL;
}

static bool ops_is_empty(const struct model_node *dir)
{
    for (uint32_t i = dir->names.n; i-- > 0;)
        if (dir->names.e[i]->to == MODEL_NEVER)
            return false;
    return true;
}

/* n is top or lies below it */
static bool ops_is_below(const struct lab_model *m, const struct model_node *n,
                         const struct model_node *top)
{
    for (uint32_t deep = 0; n && n != top && n->ino.v != INO_ROOT.v && deep < LIMIT_PATH; deep++)
        n = lab_model_find(m, n->parent); /* a known bug may have led it in a circle */
    return n == top;
}

static bool ops_owns(const struct model_node *n, const struct fsop *op)
{
    return op->uid == 0 || op->uid == lab_model_now(n)->uid;
}

static int ops_enter(const struct lab_model *m, const struct fsop *op, struct ino ino,
                     uint32_t name_len, struct model_node **ret_dir)
{
    struct model_node *dir = *ret_dir = ops_alive(m, ino);
    if (!dir)
        return E_STALE;
    if (!ops_is_dir(dir))
        return E_NOTDIR;
    if (name_len > LIMIT_NAME)
        return E_NAMETOOLONG;
    return lab_model_may(lab_model_now(dir), op, FSOP_ACCESS_X) ? 0 : E_ACCES;
}

static int ops_writable(const struct lab_model *m, const struct fsop *op,
                        const struct model_node *dir)
{
    if (m->mount_mode[dir->mount] == FSOP_MOUNT_RO)
        return E_ROFS;
    return lab_model_may(lab_model_now(dir), op, FSOP_ACCESS_W) ? 0 : E_ACCES;
}

static int ops_sticky(const struct fsop *op, const struct model_node *dir,
                      const struct model_node *n)
{
    bool bound = lab_model_now(dir)->mode & 01000;
    return bound && !ops_owns(dir, op) && !ops_owns(n, op) ? E_PERM : 0;
}

static int judge_create(const struct lab_model *m, const struct fsop *op)
{
    struct model_node *dir;
    int err = ops_enter(m, op, op->ino, op->name_len, &dir);
    if (!err && ops_child(m, dir, op->name, op->name_len))
        err = E_EXIST;
    return err ? err : ops_writable(m, op, dir);
}

static int judge_link(const struct lab_model *m, const struct fsop *op)
{
    const struct model_node *n = ops_alive(m, op->ino);
    struct model_node *dir;
    if (!n)
        return E_STALE;
    int err = ops_enter(m, op, op->ino2, op->name_len, &dir);
    if (err)
        return err;
    if (ops_is_dir(n))
        return E_PERM;
    if (lab_model_now(n)->orphan)
        return E_NOENT;
    if (n->mount != dir->mount)
        return E_XDEV;
    if (ops_child(m, dir, op->name, op->name_len))
        return E_EXIST;
    return ops_writable(m, op, dir);
}

static int judge_remove(const struct lab_model *m, const struct fsop *op)
{
    struct model_node *dir;
    int err = ops_enter(m, op, op->ino, op->name_len, &dir);
    if (err)
        return err;
    const struct model_node *n = ops_child(m, dir, op->name, op->name_len);
    if (!n)
        return E_NOENT;
    err = ops_writable(m, op, dir);
    if (!err)
        err = ops_sticky(op, dir, n);
    if (err)
        return err;
    if (op->kind == FSOP_UNLINK && ops_is_dir(n))
        return E_ISDIR;
    if (op->kind == FSOP_RMDIR && !ops_is_dir(n))
        return E_NOTDIR;
    if (n->mount_root)
        return E_BUSY;
    return op->kind == FSOP_RMDIR && !ops_is_empty(n) ? E_NOTEMPTY : 0;
}

static bool ops_mount_below(const struct lab_model *m, const struct model_node *top)
{
    for (uint32_t i = 0; i < m->n_slots; i++)
        for (const struct model_node *n = m->slots[i]; n; n = n->next)
            if (n->mount_root && n != top && !lab_model_now(n)->dead && ops_is_below(m, n, top))
                return true;
    return false;
}

static int judge_rename_over(const struct lab_model *m, const struct fsop *op,
                             const struct model_node *dir, const struct model_node *n,
                             const struct model_node *to)
{
    if (op->flags & FSOP_F_NOREPLACE)
        return E_EXIST;
    if (to->mount_root)
        return E_BUSY;
    bool swaps = op->flags & FSOP_F_EXCHANGE;
    if (ops_is_dir(to) && ops_is_below(m, dir, to))
        return swaps ? E_INVAL : E_NOTEMPTY;
    if (swaps)
        return ops_is_dir(to) && ops_mount_below(m, to) ? E_BUSY : 0;
    if (ops_is_dir(to) != ops_is_dir(n))
        return ops_is_dir(to) ? E_ISDIR : E_NOTDIR;
    return ops_is_dir(to) && !ops_is_empty(to) ? E_NOTEMPTY : 0;
}

static int judge_rename(const struct lab_model *m, const struct fsop *op)
{
    struct model_node *dir, *dir2;
    int err = ops_enter(m, op, op->ino2, op->name2_len, &dir2);
    if (!err)
        err = ops_enter(m, op, op->ino, op->name_len, &dir);
    if (err)
        return err;
    if (dir->mount != dir2->mount)
        return E_XDEV;
    const struct model_node *n = ops_child(m, dir, op->name, op->name_len);
    if (!n)
        return E_NOENT;
    const struct model_node *to = ops_child(m, dir2, op->name2, op->name2_len);
    bool swaps = op->flags & FSOP_F_EXCHANGE;
    if (swaps && !to)
        return E_NOENT;
    if (ops_is_dir(n) && ops_is_below(m, dir2, n))
        return E_INVAL;
    if (n->mount_root)
        return E_BUSY;
    if (n == to)
        return op->flags & FSOP_F_NOREPLACE ? E_EXIST : 0;
    err = ops_writable(m, op, dir);
    if (!err)
        err = ops_writable(m, op, dir2);
    if (!err)
        err = ops_sticky(op, dir, n);
    if (!err && to)
        err = ops_sticky(op, dir2, to);
    if (!err && dir != dir2 && ops_is_dir(n) && !lab_model_may(lab_model_now(n), op, FSOP_ACCESS_W))
        err = E_ACCES;
    if (!err && dir != dir2 && swaps && ops_is_dir(to) &&
        !lab_model_may(lab_model_now(to), op, FSOP_ACCESS_W))
        err = E_ACCES;
    if (!err && to)
        err = judge_rename_over(m, op, dir, n, to);
    if (!err && ops_is_dir(n) && ops_mount_below(m, n))
        err = E_BUSY;
    return err;
}

static int judge_write(const struct model_node *n, const struct fsop *op)
{
    if (ops_is_dir(n))
        return E_ISDIR;
    if (!ops_is(n, FSOP_S_IFREG))
        return E_INVAL;
    return ops_owns(n, op) || lab_model_may(lab_model_now(n), op, FSOP_ACCESS_W) ? 0 : E_ACCES;
}

static int judge_setattr(const struct lab_model *m, const struct fsop *op)
{
    const struct model_node *n = ops_alive(m, op->ino);
    const uint32_t times = FSOP_SET_ATIME | FSOP_SET_MTIME;
    const uint32_t now = FSOP_SET_ATIME_NOW | FSOP_SET_MTIME_NOW;
    if (!n)
        return E_STALE;
    if (m->mount_mode[n->mount] == FSOP_MOUNT_RO)
        return E_ROFS;
    if (op->kind == FSOP_WRITE_OPEN)
        return op->session.v ? judge_write(n, op) : E_INVAL;
    bool owned = ops_owns(n, op);
    if ((op->valid & FSOP_SET_MODE) && !owned)
        return E_PERM;
    if ((op->valid & FSOP_SET_UID) && op->uid && (!owned || op->set_uid != lab_model_now(n)->uid))
        return E_PERM;
    if ((op->valid & FSOP_SET_GID) && op->uid &&
        (!owned || (op->set_gid != lab_model_now(n)->gid && op->set_gid != op->gid)))
        return E_PERM;
    if ((op->valid & times) && !owned)
        return E_PERM;
    if ((op->valid & now) && !owned && !lab_model_may(lab_model_now(n), op, FSOP_ACCESS_W))
        return E_ACCES;
    return op->valid & FSOP_SET_SIZE ? judge_write(n, op) : 0;
}

static int judge_xattr(const struct lab_model *m, const struct fsop *op)
{
    const struct model_node *n = ops_alive(m, op->ino);
    if (!n)
        return E_STALE;
    if (m->mount_mode[n->mount] == FSOP_MOUNT_RO)
        return E_ROFS;
    if (!ops_is_dir(n) && !ops_is(n, FSOP_S_IFREG))
        return E_PERM;
    if (!lab_model_may(lab_model_now(n), op, FSOP_ACCESS_W))
        return E_ACCES;
    bool is_set = lab_model_entry_now(&n->xattrs, op->name, op->name_len);
    if (op->kind == FSOP_REMOVEXATTR)
        return is_set ? 0 : E_NODATA;
    if (is_set && (op->flags & FSOP_F_XATTR_CREATE))
        return E_EXIST;
    return !is_set && (op->flags & FSOP_F_XATTR_REPLACE) ? E_NODATA : 0;
}

int lab_model_ops_judge(const struct lab_model *m, const struct fsop *op)
{
    switch (op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
        return judge_create(m, op);
    case FSOP_LINK:
        return judge_link(m, op);
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        return judge_remove(m, op);
    case FSOP_RENAME:
        return judge_rename(m, op);
    case FSOP_SETATTR:
    case FSOP_WRITE_OPEN:
        return judge_setattr(m, op);
    default:
        return judge_xattr(m, op);
    }
}

/* ---- effects ---- */

static bool perform_create(struct lab_model *m, uint64_t index, const struct fsop *op,
                           const struct fsattr *a, char *ret_why)
{
    struct model_node *dir = lab_model_find(m, op->ino);
    uint32_t type = op->mode & FSOP_S_IFMT ? op->mode & FSOP_S_IFMT : FSOP_S_IFREG;
    uint32_t perm = op->mode & 07777;
    if (op->kind != FSOP_MKNOD) {
        type = op->kind == FSOP_MKDIR ? FSOP_S_IFDIR : FSOP_S_IFLNK;
        perm = op->kind == FSOP_MKDIR ? perm : 0777;
    }
    struct model_version v = {.mode = type | perm, .uid = op->uid, .gid = op->gid, .nlink = 1};
    if (!a->ino.v || lab_model_find(m, a->ino) || lab_model_is_gone(m, a->ino)) {
        fmt_into(ret_why, LAB_MODEL_WHY, "%s answered inode %llu, which %s",
                 fsop_kind_name(op->kind), (unsigned long long)a->ino.v,
                 a->ino.v ? "was used before" : "is none");
        return false;
    }
    struct model_node *n = lab_model_node_new(m, a->ino, index, &v);
    n->mount = dir->mount;
    n->parent = dir->ino;
    if (type == FSOP_S_IFLNK) {
        n->target = lab_model_alloc(m, op->data_len + 1);
        n->target_len = op->data_len;
        memcpy(n->target, op->data, op->data_len);
    }
    lab_model_entry_add(m, &dir->names, index, op->name, op->name_len, a->ino.v);
    return true;
}

static void ops_unlinked(struct lab_model *m, uint64_t index, struct model_node *n)
{
    struct model_version *v = lab_model_change(m, n, index);
    if (v->nlink)
        v->nlink--;
    if ((v->mode & FSOP_S_IFMT) == FSOP_S_IFDIR)
        v->dead = true;
    else if (!v->nlink && (v->mode & FSOP_S_IFMT) == FSOP_S_IFREG)
        v->orphan = true;
    else if (!v->nlink)
        v->dead = true;
}

static void perform_rename(struct lab_model *m, uint64_t index, const struct fsop *op)
{
    struct model_node *dir = lab_model_find(m, op->ino), *dir2 = lab_model_find(m, op->ino2);
    struct model_entry *e = lab_model_entry_now(&dir->names, op->name, op->name_len);
    struct model_entry *e2 = lab_model_entry_now(&dir2->names, op->name2, op->name2_len);
    if (e2 && e2->value == e->value)
        return;
    struct model_node *n = lab_model_find(m, (struct ino){e->value});
    if (op->flags & FSOP_F_EXCHANGE) {
        struct model_node *n2 = lab_model_find(m, (struct ino){e2->value});
        e->to = e2->to = index;
        lab_model_entry_add(m, &dir->names, index, op->name, op->name_len, n2->ino.v);
        lab_model_entry_add(m, &dir2->names, index, op->name2, op->name2_len, n->ino.v);
        n->parent = dir2->ino;
        n2->parent = dir->ino;
        return;
    }
    if (e2) {
        e2->to = index;
        ops_unlinked(m, index, lab_model_find(m, (struct ino){e2->value}));
    }
    e->to = index;
    lab_model_entry_add(m, &dir2->names, index, op->name2, op->name2_len, n->ino.v);
    n->parent = dir2->ino;
}

static void perform_xattr(struct lab_model *m, uint64_t index, const struct fsop *op)
{
    struct model_node *n = lab_model_find(m, op->ino);
    struct model_entry *e = lab_model_entry_now(&n->xattrs, op->name, op->name_len);
    if (e)
        e->to = index;
    if (op->kind == FSOP_SETXATTR)
        lab_model_entry_add(m, &n->xattrs, index, op->name, op->name_len,
                            base_hash(op->data, op->data_len, 3));
}

static void perform_setattr(struct lab_model *m, uint64_t index, const struct fsop *op)
{
    struct model_node *n = lab_model_find(m, op->ino);
    if (!(op->valid & (FSOP_SET_MODE | FSOP_SET_UID | FSOP_SET_GID)))
        return;
    struct model_version *v = lab_model_change(m, n, index);
    if (op->valid & FSOP_SET_MODE)
        v->mode = (v->mode & FSOP_S_IFMT) | (op->mode & 07777);
    if (op->valid & FSOP_SET_UID)
        v->uid = op->set_uid;
    if (op->valid & FSOP_SET_GID)
        v->gid = op->set_gid;
}

static void perform_remove(struct lab_model *m, uint64_t index, const struct fsop *op)
{
    struct model_node *dir = lab_model_find(m, op->ino);
    struct model_entry *e = lab_model_entry_now(&dir->names, op->name, op->name_len);
    e->to = index;
    ops_unlinked(m, index, lab_model_find(m, (struct ino){e->value}));
}

/* what the answer says of the node that op is about */
static bool ops_confirm(const struct lab_model *m, const struct fsop *op, const struct fsattr *a,
                        char *ret_why)
{
    const struct model_node *n = a->ino.v ? lab_model_find(m, a->ino) : NULL;
    const struct model_version *v = n ? lab_model_now(n) : NULL;
    bool about_gone = op->kind == FSOP_UNLINK || op->kind == FSOP_RMDIR;
    bool no_attr = about_gone || op->kind == FSOP_SETXATTR || op->kind == FSOP_REMOVEXATTR;
    if (!a->ino.v && no_attr)
        return true;
    if (v && v->mode == a->mode && v->uid == a->uid && v->gid == a->gid &&
        ((v->mode & FSOP_S_IFMT) == FSOP_S_IFDIR || v->nlink == a->nlink))
        return true;
    fmt_into(ret_why, LAB_MODEL_WHY,
             "%s answered inode %llu mode %o uid %u gid %u nlink %u, the model has mode %o uid %u "
             "gid %u nlink %u",
             fsop_kind_name(op->kind), (unsigned long long)a->ino.v, a->mode, a->uid, a->gid,
             a->nlink, v ? v->mode : 0, v ? v->uid : 0, v ? v->gid : 0, v ? v->nlink : 0);
    return false;
}

bool lab_model_ops_perform(struct lab_model *m, uint64_t index, const struct fsop *op,
                           const struct fsattr *attr, char *ret_why)
{
    struct model_node *n;
    struct model_node *dir;
    int err = lab_model_ops_judge(m, op);
    if (err == E_STALE || err == E_NOENT || err == E_EXIST) {
        fmt_into(ret_why, LAB_MODEL_WHY, "%s was carried out, but by now the model says %s",
                 fsop_kind_name(op->kind), err_name(err));
        return false;
    }
    switch (op->kind) {
    case FSOP_MKNOD:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
        if (!perform_create(m, index, op, attr, ret_why))
            return false;
        break;
    case FSOP_LINK:
        n = lab_model_find(m, op->ino);
        dir = lab_model_find(m, op->ino2);
        lab_model_entry_add(m, &dir->names, index, op->name, op->name_len, n->ino.v);
        lab_model_change(m, n, index)->nlink++;
        break;
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        perform_remove(m, index, op);
        break;
    case FSOP_RENAME:
        perform_rename(m, index, op);
        break;
    case FSOP_SETATTR:
        perform_setattr(m, index, op);
        break;
    case FSOP_SETXATTR:
    case FSOP_REMOVEXATTR:
        perform_xattr(m, index, op);
        return true;
    default:
        break;
    }
    return ops_confirm(m, op, attr, ret_why);
}
