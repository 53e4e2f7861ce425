/* core/meta_query.c - questions answered from applied state (contract: core/meta.h).
 *
 * Nothing here changes anything or remembers the asker: a listing's whole state is its cookie. */
#include "core/meta_internal.h"

static int meta_query_lookup(const struct meta *m, const struct fsop *op, struct fsop_reply *rep)
{
    uint32_t dir = inode_find(m, op->ino), node;
    if (!dir)
        return E_STALE;
    if (!inode_is_dir(inode_at(m, dir)))
        return E_NOTDIR;
    int err = inode_may(m, dir, op, FSOP_ACCESS_X);
    if (err)
        return err;
    if (op->name_len == 1 && op->name[0] == '.') {
        node = dir;
    } else if (op->name_len == 2 && op->name[0] == '.' && op->name[1] == '.') {
        node = dir_parent(m, dir) ? dir_parent(m, dir) : dir;
    } else {
        if (op->name_len > LIMIT_NAME)
            return E_NAMETOOLONG;
        if (dir_check_name(op->name, op->name_len) ||
            tree_is_hidden(m, dir, op->name, op->name_len))
            return E_NOENT;
        uint32_t dent = dir_find(m, dir, op->name, op->name_len);
        if (!dent)
            return (inode_at(m, dir)->flags & INODE_LOADED) || (op->flags & FSOP_F_ABSENT)
                       ? E_NOENT
                       : E_NOT_LOADED;
        node = dir_at(m, dent)->node;
    }
    inode_attr(m, node, &rep->attr);
    return 0;
}

static int meta_query_readdir(const struct meta *m, const struct fsop *op, struct wbuf *w,
                              struct fsop_reply *rep)
{
    uint32_t dir = inode_find(m, op->ino);
    if (!dir)
        return E_STALE;
    if (!inode_is_dir(inode_at(m, dir)))
        return E_NOTDIR;
    int err = op->arg == 0 ? inode_may(m, dir, op, FSOP_ACCESS_R) : 0;
    if (err)
        return err; /* only at the start: who has begun a listing may end it */
    if (!(inode_at(m, dir)->flags & INODE_LOADED) && !(op->flags & FSOP_F_ABSENT))
        return E_NOT_LOADED;
    if (op->size && op->size < w->cap)
        w->cap = (size_t)op->size;
    inode_attr(m, dir, &rep->attr);
    uint32_t dent = dir_seek(m, dir, op->arg);
    for (; dent; dent = dir_at(m, dent)->next) {
        struct fsop_dirent e = {.cookie = dir_cookie(m, dent)};
        size_t before = w->len;
        e.name = dir_name(m, dir_at(m, dent), &e.name_len);
        inode_attr(m, dir_at(m, dent)->node, &e.attr);
        fsop_dirent_put(w, &e);
        if (w->bad) {
            w->bad = false;
            w->len = before;
            return before ? 0 : E_RANGE;
        }
    }
    rep->flags |= FSOP_R_EOF;
    return 0;
}

static int meta_query_readlink(const struct meta *m, const struct fsop *op, struct wbuf *w,
                               struct fsop_reply *rep)
{
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    if (!inode_is_link(inode_at(m, node)))
        return E_INVAL;
    uint32_t target = inode_at(m, node)->symlink.target;
    uint32_t n = store_blob_len(&m->st, TABLE_BLOB, target);
    void *to = wbuf_room(w, n);
    if (!to)
        return E_RANGE;
    store_blob_copy(&m->st, TABLE_BLOB, target, to, n);
    inode_attr(m, node, &rep->attr);
    return 0;
}

static int meta_query_access(const struct meta *m, const struct fsop *op, struct fsop_reply *rep)
{
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    const struct meta_inode *i = inode_at(m, node);
    inode_attr(m, node, &rep->attr);
    if ((op->mode & FSOP_ACCESS_W) && mount_mode_of(m, node) == FSOP_MOUNT_RO &&
        (inode_is_reg(i) || inode_is_dir(i) || inode_is_link(i)))
        return E_ROFS;
    return inode_may(m, node, op, op->mode & 7);
}

static int meta_query_open(const struct meta *m, const struct fsop *op, struct wbuf *w,
                           struct fsop_reply *rep)
{
    int err = meta_query_access(m, op, rep);
    if (err)
        return err;
    if ((op->mode & FSOP_ACCESS_W) && (rep->attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR)
        return E_ISDIR;
    struct meta_path_buf p;
    err = dir_path(m, (uint32_t)op->ino.v, NULL, 0, &p);
    if (err)
        return err;
    wbuf_bytes(w, p.b + p.at, LIMIT_BELOW - 1 - p.at);
    return w->bad ? E_RANGE : 0;
}

static int meta_query_statfs(const struct meta *m, struct wbuf *w)
{
    uint64_t used = m->st.t[TABLE_INODE].live, max = meta_limits(m).inodes_max;
    struct fsop_statfs s = {.files = max,
                            .files_free = max > used ? max - used : 0,
                            .name_max = LIMIT_NAME,
                            .block = 4096};
    fsop_statfs_put(w, &s);
    return w->bad ? E_RANGE : 0;
}

static int meta_query_getattr(const struct meta *m, const struct fsop *op, struct fsop_reply *rep)
{
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    inode_attr(m, node, &rep->attr);
    return 0;
}

static int meta_query_dispatch(const struct meta *m, const struct fsop *op, struct wbuf *w,
                               struct fsop_reply *rep)
{
    switch (op->kind) {
    case FSOP_LOOKUP:
        return meta_query_lookup(m, op, rep);
    case FSOP_GETATTR:
        return meta_query_getattr(m, op, rep);
    case FSOP_READDIR:
        return meta_query_readdir(m, op, w, rep);
    case FSOP_READLINK:
        return meta_query_readlink(m, op, w, rep);
    case FSOP_GETXATTR:
        return xattr_get(m, op, w);
    case FSOP_LISTXATTR:
        return xattr_list(m, op, w);
    case FSOP_STATFS:
        return meta_query_statfs(m, w);
    case FSOP_OPEN:
        return meta_query_open(m, op, w, rep);
    case FSOP_ACCESS:
        return meta_query_access(m, op, rep);
    case FSOP_MOUNTS:
        return mount_list(m, w);
    default:
        return E_NOTSUP;
    }
}

void meta_query(const struct meta *m, const struct fsop *op, void *buf, uint32_t cap,
                struct fsop_reply *ret_rep)
{
    struct wbuf w = wbuf_make(buf, cap);
    memset(ret_rep, 0, sizeof *ret_rep);
    int err = op->n_groups > LIMIT_GROUPS ? E_PROTO : meta_query_dispatch(m, op, &w, ret_rep);
    if (err)
        memset(ret_rep, 0, sizeof *ret_rep);
    ret_rep->err = err;
    ret_rep->index = meta_applied(m);
    if (!err && w.len) {
        ret_rep->data = buf;
        ret_rep->data_len = (uint32_t)w.len;
    }
}
