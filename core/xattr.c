/* core/xattr.c - extended attributes: a short list per inode, values in blobs.
 *
 * They belong to the tree alone, in every mount mode: not every under-store has them, and none that
 * has them names the same spaces.  "user." needs the file's permission, "trusted." is root's,
 * "security." is written by root and read by all; other spaces (POSIX ACLs) are E_NOTSUP, because
 * storing one without obeying it would be a lie. */
#include "core/meta_internal.h"

static bool xattr_space(const struct fsop *op, const char *space)
{
    size_t n = strlen(space);
    return op->name_len > n && !memcmp(op->name, space, n);
}

static int xattr_may(const struct meta *m, uint32_t node, const struct fsop *op, uint32_t access)
{
    const struct meta_inode *i = inode_at(m, node);
    if (op->name_len > LIMIT_XATTR_NAME)
        return E_RANGE;
    if (op->name_len == 0 || memchr(op->name, 0, op->name_len))
        return E_INVAL;
    if (xattr_space(op, "user.")) {
        if (!inode_is_reg(i) && !inode_is_dir(i))
            return access == FSOP_ACCESS_R ? E_NODATA : E_PERM;
        return inode_may(m, node, op, access);
    }
    if (xattr_space(op, "trusted."))
        return op->uid == 0 ? 0 : access == FSOP_ACCESS_R ? E_NODATA : E_PERM;
    if (xattr_space(op, "security."))
        return op->uid == 0 || access == FSOP_ACCESS_R ? 0 : E_PERM;
    return E_NOTSUP;
}

static const struct meta_xattr *xattr_at(const struct meta *m, uint32_t x)
{
    return store_get(&m->st, TABLE_XATTR, x);
}

static const char *xattr_name(const struct meta *m, uint32_t x, uint32_t *ret_n)
{
    return store_blob_short(&m->st, TABLE_BLOB, xattr_at(m, x)->name, ret_n);
}

static uint32_t xattr_find(const struct meta *m, uint32_t node, const struct fsop *op)
{
    for (uint32_t x = inode_at(m, node)->xattrs; x; x = xattr_at(m, x)->next) {
        uint32_t n;
        const char *s = xattr_name(m, x, &n);
        if (n == op->name_len && !memcmp(s, op->name, n))
            return x;
    }
    return 0;
}

/* the node, checked for a change of op->name */
static int xattr_change(const struct meta *m, const struct fsop *op, uint32_t *ret_node)
{
    *ret_node = inode_find(m, op->ino);
    if (!*ret_node)
        return E_STALE;
    if (mount_mode_of(m, *ret_node) == FSOP_MOUNT_RO)
        return E_ROFS;
    return xattr_may(m, *ret_node, op, FSOP_ACCESS_W);
}

/* bytes of all names, each with its NUL */
static uint32_t xattr_list_bytes(const struct meta *m, uint32_t node)
{
    uint32_t total = 0, n;
    for (uint32_t x = inode_at(m, node)->xattrs; x; x = xattr_at(m, x)->next) {
        (void)xattr_name(m, x, &n);
        total += n + 1;
    }
    return total;
}

int xattr_set(struct meta *m, const struct fsop *op)
{
    uint32_t node;
    int err = xattr_change(m, op, &node);
    if (err)
        return err;
    if (op->data_len > LIMIT_XATTR_VALUE)
        return E_2BIG;
    uint32_t x = xattr_find(m, node, op);
    if (x && (op->flags & FSOP_F_XATTR_CREATE))
        return E_EXIST;
    if (!x && (op->flags & FSOP_F_XATTR_REPLACE))
        return E_NODATA;
    err = room_xattr(m, x ? 0 : op->name_len, op->data_len);
    if (err)
        return err;
    if (!x) {
        if (xattr_list_bytes(m, node) + op->name_len + 1 > LIMIT_XATTR_LIST)
            return E_NOSPC;
        uint32_t name = store_blob_new(&m->st, TABLE_BLOB, op->name, op->name_len);
        x = store_new_zero(&m->st, TABLE_XATTR);
        struct meta_xattr *a = store_mut(&m->st, TABLE_XATTR, x);
        a->name = name;
        a->next = inode_at(m, node)->xattrs;
        inode_mut(m, node)->xattrs = x;
    }
    struct meta_xattr *a = store_mut(&m->st, TABLE_XATTR, x);
    store_blob_free(&m->st, TABLE_BLOB, a->value);
    a->value = store_blob_new(&m->st, TABLE_BLOB, op->data, op->data_len);
    inode_mut(m, node)->ctime_ns = op->time_ns;
    meta_changed(m, META_CHANGE_ATTR, node);
    return 0;
}

static void xattr_free(struct meta *m, uint32_t x)
{
    const struct meta_xattr *a = xattr_at(m, x);
    store_blob_free(&m->st, TABLE_BLOB, a->name);
    store_blob_free(&m->st, TABLE_BLOB, a->value);
    store_free(&m->st, TABLE_XATTR, x);
}

int xattr_remove(struct meta *m, const struct fsop *op)
{
    uint32_t node;
    int err = xattr_change(m, op, &node);
    if (err)
        return err;
    uint32_t x = xattr_find(m, node, op);
    if (!x)
        return E_NODATA;
    if (inode_at(m, node)->xattrs == x) {
        inode_mut(m, node)->xattrs = xattr_at(m, x)->next;
    } else {
        uint32_t at = inode_at(m, node)->xattrs;
        while (xattr_at(m, at)->next != x)
            at = xattr_at(m, at)->next;
        ((struct meta_xattr *)store_mut(&m->st, TABLE_XATTR, at))->next = xattr_at(m, x)->next;
    }
    xattr_free(m, x);
    inode_mut(m, node)->ctime_ns = op->time_ns;
    meta_changed(m, META_CHANGE_ATTR, node);
    return 0;
}

int xattr_get(const struct meta *m, const struct fsop *op, struct wbuf *w)
{
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    int err = xattr_may(m, node, op, FSOP_ACCESS_R);
    if (err)
        return err;
    uint32_t x = xattr_find(m, node, op);
    if (!x)
        return E_NODATA;
    uint32_t n = store_blob_len(&m->st, TABLE_BLOB, xattr_at(m, x)->value);
    void *to = wbuf_room(w, n);
    if (!to)
        return E_RANGE;
    store_blob_copy(&m->st, TABLE_BLOB, xattr_at(m, x)->value, to, n);
    return 0;
}

int xattr_list(const struct meta *m, const struct fsop *op, struct wbuf *w)
{
    uint32_t node = inode_find(m, op->ino);
    if (!node)
        return E_STALE;
    for (uint32_t x = inode_at(m, node)->xattrs; x; x = xattr_at(m, x)->next) {
        uint32_t n;
        const char *s = xattr_name(m, x, &n);
        if (op->uid != 0 && n > 8 && !memcmp(s, "trusted.", 8))
            continue;
        wbuf_bytes(w, s, n);
        wbuf_u8(w, 0);
    }
    return w->bad ? E_RANGE : 0;
}

void xattr_free_all(struct meta *m, uint32_t node)
{
    uint32_t x = inode_at(m, node)->xattrs;
    while (x) {
        uint32_t next = xattr_at(m, x)->next;
        xattr_free(m, x);
        x = next;
    }
    inode_mut(m, node)->xattrs = 0;
}
