/* core/mount.c - which under-store serves which part of the tree, and how.
 *
 * INVARIANTS
 *  1. A mount's root is a directory inode with INODE_MOUNT_ROOT whose mount is that number; every
 *     inode below it has that number too, unless a nested mount's root lies between.
 *  2. Mount points are made by MOUNT, hidden from the under-store around them, and leave only by
 *     UNMOUNT: no other operation renames, removes or replaces one or a directory above one.
 *  3. Mount 0 is what no mount covers: names and attributes only, so that mount points can lie
 *     side by side when nothing is mounted on "/". */
#include "core/meta_internal.h"

static const struct meta_mount *mount_at(const struct meta *m, uint32_t number)
{
    return store_get(&m->st, TABLE_MOUNT, number);
}

static bool mount_exists(const struct meta *m, uint32_t number)
{
    return number > 0 && number < m->st.t[TABLE_MOUNT].high && mount_at(m, number)->mode;
}

enum fsop_mount_mode mount_mode(const struct meta *m, uint16_t number)
{
    return number ? (enum fsop_mount_mode)mount_at(m, number)->mode : FSOP_MOUNT_META;
}

enum fsop_mount_mode mount_mode_of(const struct meta *m, uint32_t node)
{
    return mount_mode(m, inode_at(m, node)->mount);
}

static uint32_t mount_root(const struct meta *m, uint32_t number)
{
    return (uint32_t)mount_at(m, number)->root;
}

bool mount_below(const struct meta *m, uint32_t top)
{
    for (uint32_t k = 1; k < m->st.t[TABLE_MOUNT].high; k++)
        if (mount_exists(m, k) && mount_root(m, k) != top && dir_is_below(m, mount_root(m, k), top))
            return true;
    return false;
}

/* Walks an absolute path to the directory of its last component. */
static int mount_walk(const struct meta *m, const struct fsop *op, uint32_t *ret_dir,
                      const char **ret_name, uint32_t *ret_n)
{
    const char *p = op->name, *end = p + op->name_len;
    uint32_t dir = META_ROOT;
    if (op->name_len == 0 || p[0] != '/')
        return E_INVAL;
    if (op->name_len >= LIMIT_PATH)
        return E_NAMETOOLONG;
    for (p++;; p++) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        uint32_t n = (uint32_t)((slash ? slash : end) - p);
        int err = dir_check_name(p, n);
        if (err)
            return err;
        if (!slash) {
            *ret_dir = dir;
            *ret_name = p;
            *ret_n = n;
            return 0;
        }
        uint32_t dent = dir_find(m, dir, p, n);
        if (!dent)
            return inode_at(m, dir)->flags & INODE_LOADED || (op->flags & FSOP_F_ABSENT)
                       ? E_NOENT
                       : E_NOT_LOADED;
        dir = dir_at(m, dent)->node;
        if (!inode_is_dir(inode_at(m, dir)))
            return E_NOTDIR;
        p = slash;
    }
}

static int mount_check(const struct meta *m, const struct fsop *op)
{
    if (op->session.v && op->uid)
        return E_PERM;
    if (op->arg < FSOP_MOUNT_RO || op->arg > FSOP_MOUNT_META)
        return E_INVAL;
    if (op->data_len >= LIMIT_PATH)
        return E_NAMETOOLONG;
    if (op->data_len == 0 && op->arg != FSOP_MOUNT_META)
        return E_INVAL;
    if (m->st.t[TABLE_MOUNT].live >= LIMIT_MOUNTS)
        return E_NOSPC;
    int err = room_bytes(m, op->name_len);
    return err ? err : room_bytes(m, op->data_len);
}

/* Finds or makes the root's inode. */
static int mount_place(struct meta *m, const struct fsop *op, uint32_t *ret_node)
{
    uint32_t dir, n;
    const char *name;
    if (op->name_len == 1 && op->name[0] == '/') {
        const struct meta_inode *root = inode_at(m, META_ROOT);
        if (root->mount)
            return E_BUSY;
        *ret_node = META_ROOT;
        return root->dir.first ? E_NOTEMPTY : 0;
    }
    int err = mount_walk(m, op, &dir, &name, &n);
    if (!err && dir_find(m, dir, name, n))
        err = E_EXIST;
    if (!err)
        err = inode_room(m);
    if (!err)
        err = dir_room(m, dir, n);
    if (!err && mount_mode_of(m, dir) == FSOP_MOUNT_THROUGH)
        err = intent_may_name(m, dir, name, n);
    if (err)
        return err;
    *ret_node = inode_new(m, FSOP_S_IFDIR | 0755, 0, 0, 0, op->time_ns);
    dir_add(m, dir, name, n, *ret_node);
    dir_touch(m, dir, op->time_ns);
    meta_changed_entry(m, dir, name, n);
    return 0;
}

int mount_add(struct meta *m, const struct fsop *op, struct meta_result *r)
{
    uint32_t node;
    int err = mount_check(m, op);
    if (!err)
        err = mount_place(m, op, &node);
    if (err)
        return err;
    uint32_t number = store_new_zero(&m->st, TABLE_MOUNT);
    struct meta_mount *mt = store_mut(&m->st, TABLE_MOUNT, number);
    struct meta_inode *i = inode_mut(m, node);
    mt->check_interval_ns = op->size;
    mt->root = inode_number(m, node).v;
    mt->path = store_blob_new(&m->st, TABLE_BLOB, op->name, op->name_len);
    mt->uri = store_blob_new(&m->st, TABLE_BLOB, op->data, op->data_len);
    mt->mode = (uint32_t)op->arg;
    i->mount = (uint16_t)number;
    i->flags |= INODE_MOUNT_ROOT;
    i->fp = 0;
    i->flags &= (uint16_t)~INODE_LOADED;
    if (op->arg == FSOP_MOUNT_META)
        i->flags |= INODE_LOADED;
    meta_changed(m, META_CHANGE_DIR, node);
    r->reply.value = number;
    inode_attr(m, node, &r->reply.attr);
    return 0;
}

static uint32_t mount_by_path(const struct meta *m, const struct fsop *op)
{
    for (uint32_t k = 1; k < m->st.t[TABLE_MOUNT].high; k++) {
        if (!mount_exists(m, k))
            continue;
        uint32_t n =
            store_blob_copy(&m->st, TABLE_BLOB, mount_at(m, k)->path, m->mount_text, LIMIT_PATH);
        if (n == op->name_len && !memcmp(m->mount_text, op->name, n))
            return k;
    }
    return 0;
}

static bool mount_has_writers(const struct meta *m, uint32_t number)
{
    const struct store_table *t = &m->st.t[TABLE_INODE];
    if (m->st.t[TABLE_WRITER].live == 0)
        return false;
    for (uint32_t k = 1; k < t->high; k++) {
        const struct meta_inode *i = inode_at(m, k);
        if (i->mode && i->mount == number && inode_is_reg(i) && i->file.writers)
            return true;
    }
    return false;
}

/* an orphan belongs to its mount as well, but lies in no directory */
static bool mount_orphan_locked(const struct meta *m, uint32_t number, bool drop, struct meta *mm)
{
    struct ino o = {0};
    while ((o = inode_orphan_next(m, o)).v) {
        const struct meta_inode *i = inode_at(m, (uint32_t)o.v);
        if (i->mount != number)
            continue;
        if (i->n_locks)
            return true;
        if (drop)
            inode_free(mm, (uint32_t)o.v);
    }
    return false;
}

int mount_remove(struct meta *m, const struct fsop *op)
{
    if (op->session.v && op->uid)
        return E_PERM;
    uint32_t number = mount_by_path(m, op);
    if (!number)
        return E_NOENT;
    uint32_t node = mount_root(m, number);
    if (mount_below(m, node) || intent_locks_below(m, node) || mount_has_writers(m, number) ||
        mount_orphan_locked(m, number, false, NULL))
        return E_BUSY;
    (void)mount_orphan_locked(m, number, true, m);
    struct meta_mount *mt = store_mut(&m->st, TABLE_MOUNT, number);
    store_blob_free(&m->st, TABLE_BLOB, mt->path);
    store_blob_free(&m->st, TABLE_BLOB, mt->uri);
    memset(mt, 0, sizeof *mt);
    store_free(&m->st, TABLE_MOUNT, number);
    meta_changed(m, META_CHANGE_DIR, node);
    struct meta_inode *i = inode_mut(m, node);
    i->flags &= (uint16_t)~INODE_MOUNT_ROOT;
    if (node == META_ROOT) {
        i->mount = 0;
        while (i->dir.first) {
            uint32_t dent = i->dir.first, child = dir_at(m, dent)->node;
            if (inode_is_dir(inode_at(m, child))) {
                dir_drop_tree(m, child);
                continue;
            }
            dir_remove(m, dent);
            if (!inode_at(m, child)->links)
                inode_free(m, child);
        }
        i->flags |= INODE_LOADED;
        return 0;
    }
    uint32_t dent = i->links, dir = dir_parent(m, node), n;
    const char *name = dir_name(m, dir_at(m, dent), &n);
    meta_changed_entry(m, dir, name, n);
    dir_drop_tree(m, node);
    dir_touch(m, dir, op->time_ns);
    return 0;
}

int mount_get(const struct meta *m, uint16_t number, struct fsop_mount_info *ret_i)
{
    memset(ret_i, 0, sizeof *ret_i);
    ret_i->number = number;
    ret_i->mode = FSOP_MOUNT_META;
    if (number == 0) {
        ret_i->root = INO_ROOT;
        ret_i->path = "/";
        ret_i->path_len = 1;
        return 0;
    }
    if (!mount_exists(m, number))
        return E_NOENT;
    const struct meta_mount *mt = mount_at(m, number);
    ret_i->mode = (uint16_t)mt->mode;
    ret_i->check_interval_ns = mt->check_interval_ns;
    ret_i->root.v = mt->root;
    ret_i->path = m->mount_text;
    ret_i->path_len = store_blob_copy(&m->st, TABLE_BLOB, mt->path, m->mount_text, LIMIT_PATH);
    ret_i->uri = m->mount_text + LIMIT_PATH;
    ret_i->uri_len =
        store_blob_copy(&m->st, TABLE_BLOB, mt->uri, m->mount_text + LIMIT_PATH, LIMIT_PATH);
    return 0;
}

int mount_list(const struct meta *m, struct wbuf *w)
{
    wbuf_u16(w, (uint16_t)m->st.t[TABLE_MOUNT].live);
    for (uint32_t k = 1; k < m->st.t[TABLE_MOUNT].high; k++) {
        struct fsop_mount_info info;
        if (mount_exists(m, k) && mount_get(m, (uint16_t)k, &info) == 0)
            fsop_mount_put(w, &info);
    }
    return w->bad ? E_RANGE : 0;
}
