/* core/dir.c - directory entries: the name index, the listing order, paths.
 *
 * INVARIANTS
 *  1. Every entry is in the index under (parent slot, name), once; on its parent's list in order of
 *     its sequence; and on its inode's list of links.
 *  2. A directory gives each entry a sequence larger than all before, and an entry keeps it for
 *     life.  A cookie is (sequence << 28 | slot): listing goes on behind that slot if it still
 *     holds that entry (O(1)), else behind that sequence, found by a walk.  So what is there during
 *     a whole listing appears in it exactly once, on any master.
 *  3. Replacing what a name means (rename over it, exchange, a changed type below) keeps the entry:
 *     to a listing the name was there all the time. */
#include "core/meta_internal.h"
#include "core/mutant.h"

static struct meta_dentry *dir_mut(struct meta *m, uint32_t dent)
{
    return store_mut(&m->st, TABLE_DENTRY, dent);
}

const struct meta_dentry *dir_at(const struct meta *m, uint32_t dent)
{
    return store_get(&m->st, TABLE_DENTRY, dent);
}

uint64_t dir_seq(const struct meta_dentry *d)
{
    return (uint64_t)d->seq_hi << 32 | d->seq_lo;
}

uint64_t dir_cookie(const struct meta *m, uint32_t dent)
{
    return dir_seq(dir_at(m, dent)) << META_SLOT_BITS | dent;
}

const char *dir_name(const struct meta *m, const struct meta_dentry *d, uint32_t *ret_n)
{
    return store_blob_short(&m->st, TABLE_BLOB, d->name, ret_n);
}

uint32_t dir_hash(uint32_t dir, const char *name, uint32_t n)
{
    return (uint32_t)base_hash(name, n, dir);
}

int dir_check_name(const char *name, uint32_t n)
{
    if (n > LIMIT_NAME)
        return E_NAMETOOLONG;
    if (n == 0 || memchr(name, '/', n) || memchr(name, 0, n))
        return E_INVAL;
    if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')))
        return E_INVAL;
    return 0;
}

uint32_t dir_find(const struct meta *m, uint32_t dir, const char *name, uint32_t n)
{
    uint32_t dent =
        store_index_first(&m->st, TABLE_DENTRY_BUCKET, TABLE_DENTRY, dir_hash(dir, name, n));
    for (; dent; dent = store_index_next(&m->st, TABLE_DENTRY, dent)) {
        const struct meta_dentry *d = dir_at(m, dent);
        if (d->parent != dir)
            continue;
        uint32_t have;
        const char *s = dir_name(m, d, &have);
        if (have == n && !memcmp(s, name, n))
            return dent;
    }
    return 0;
}

int dir_room(const struct meta *m, uint32_t dir, uint32_t name_len)
{
    if (m->st.t[TABLE_DENTRY].live + 2 + META_INTENTS_MAX >= (uint32_t)1 << META_SLOT_BITS)
        return E_NOSPC;
    if (inode_at(m, dir)->size + 1 + META_INTENTS_MAX >= (uint64_t)1 << META_SEQ_BITS)
        return E_NOSPC;
    return room_entry(m, name_len);
}

static void dir_link_node(struct meta *m, uint32_t dent, uint32_t node)
{
    struct meta_inode *i = inode_mut(m, node);
    struct meta_dentry *d = dir_mut(m, dent);
    d->node = node;
    d->link_next = i->links;
    i->links = dent;
    if (inode_is_dir(i))
        inode_mut(m, d->parent)->nlink++;
    else
        i->nlink++;
}

static void dir_unlink_node(struct meta *m, uint32_t dent)
{
    struct meta_dentry *d = dir_mut(m, dent);
    struct meta_inode *i = inode_mut(m, d->node);
    if (i->links == dent) {
        i->links = d->link_next;
    } else {
        uint32_t at = i->links;
        while (dir_at(m, at)->link_next != dent)
            at = dir_at(m, at)->link_next;
        dir_mut(m, at)->link_next = d->link_next;
    }
    if (inode_is_dir(i))
        inode_mut(m, d->parent)->nlink--;
    else
        i->nlink--;
    d->node = d->link_next = 0;
}

uint32_t dir_add(struct meta *m, uint32_t dir, const char *name, uint32_t n, uint32_t node)
{
    ASSERT(n > 0 && n <= LIMIT_NAME);
    uint32_t dent = store_new_zero(&m->st, TABLE_DENTRY);
    uint32_t blob = store_blob_new(&m->st, TABLE_BLOB, name, n);
    struct meta_dentry *d = dir_mut(m, dent);
    struct meta_inode *i = inode_mut(m, dir);
    uint64_t seq = ++i->size;
    d->parent = dir;
    d->name = blob;
    d->seq_lo = (uint32_t)seq;
    d->seq_hi = (uint16_t)(seq >> 32);
    d->prev = i->dir.last;
    if (i->dir.last)
        dir_mut(m, i->dir.last)->next = dent;
    else
        i->dir.first = dent;
    i->dir.last = dent;
    i->dir.count++;
    dir_link_node(m, dent, node);
    store_index_insert(&m->st, TABLE_DENTRY_BUCKET, TABLE_DENTRY, dent, dir_hash(dir, name, n));
    return dent;
}

void dir_remove(struct meta *m, uint32_t dent)
{
    dir_unlink_node(m, dent);
    store_index_remove(&m->st, TABLE_DENTRY_BUCKET, TABLE_DENTRY, dent);
    struct meta_dentry *d = dir_mut(m, dent);
    struct meta_inode *i = inode_mut(m, d->parent);
    if (d->prev)
        dir_mut(m, d->prev)->next = d->next;
    else
        i->dir.first = d->next;
    if (d->next)
        dir_mut(m, d->next)->prev = d->prev;
    else
        i->dir.last = d->prev;
    i->dir.count--;
    store_blob_free(&m->st, TABLE_BLOB, d->name);
    memset(d, 0, sizeof *d);
    store_free(&m->st, TABLE_DENTRY, dent);
}

void dir_repoint(struct meta *m, uint32_t dent, uint32_t node)
{
    dir_unlink_node(m, dent);
    dir_link_node(m, dent, node);
}

uint32_t dir_parent(const struct meta *m, uint32_t dir)
{
    uint32_t dent = inode_at(m, dir)->links;
    return dent ? dir_at(m, dent)->parent : 0;
}

bool dir_is_below(const struct meta *m, uint32_t node, uint32_t top)
{
    for (; node; node = dir_parent(m, node))
        if (node == top)
            return true;
    return false;
}

uint32_t dir_seek(const struct meta *m, uint32_t dir, uint64_t cookie)
{
    const struct meta_inode *i = inode_at(m, dir);
    if (cookie == 0)
        return i->dir.first;
    uint32_t dent = (uint32_t)(cookie & (((uint64_t)1 << META_SLOT_BITS) - 1));
    uint64_t seq = cookie >> META_SLOT_BITS;
    if (dent > 0 && dent < m->st.t[TABLE_DENTRY].high) {
        const struct meta_dentry *d = dir_at(m, dent);
        if (d->parent == dir && dir_seq(d) == seq)
            return d->next;
    }
    for (dent = i->dir.first; dent; dent = dir_at(m, dent)->next)
        if (dir_seq(dir_at(m, dent)) > seq + MUTANT(COOKIE_MOVES))
            break;
    return dent;
}

void dir_gone_set(struct meta *m, uint32_t dir)
{
    struct meta_super *sup = meta_super_mut(m);
    sup->gone_index[base_mix_u64(inode_number(m, dir).v) % META_GONE] = sup->applied;
}

uint64_t dir_gone(const struct meta *m, uint32_t dir)
{
    return meta_super(m)->gone_index[base_mix_u64(inode_number(m, dir).v) % META_GONE];
}

void dir_touch(struct meta *m, uint32_t dir, int64_t time_ns)
{
    struct meta_inode *i = inode_mut(m, dir);
    i->mtime_ns = i->ctime_ns = time_ns;
    inode_change(m, dir);
}

static int dir_path_push(struct meta_path_buf *p, const char *s, uint32_t n)
{
    bool slash = p->at < LIMIT_BELOW - 1;
    if (n + (slash ? 1 : 0) > p->at)
        return E_NAMETOOLONG;
    if (slash)
        p->b[--p->at] = '/';
    p->at -= n;
    memcpy(p->b + p->at, s, n);
    return 0;
}

int dir_path_hidden(const struct meta *m, uint32_t node, struct meta_path_buf *p)
{
    p->at = LIMIT_BELOW - 1;
    p->b[LIMIT_BELOW - 1] = 0;
    static const char hex[] = "0123456789abcdef";
    char b[32] = ".tarn/orphan-";
    uint32_t n = (uint32_t)strlen(b);
    uint64_t v = inode_number(m, node).v;
    for (int shift = 60; shift >= 0; shift -= 4)
        b[n++] = hex[v >> shift & 15];
    return dir_path_push(p, b, n);
}

int dir_path(const struct meta *m, uint32_t node, const char *name, uint32_t n,
             struct meta_path_buf *ret_path)
{
    ret_path->at = LIMIT_BELOW - 1;
    ret_path->b[LIMIT_BELOW - 1] = 0;
    int err = n ? dir_path_push(ret_path, name, n) : 0;
    if (err)
        return err;
    if (inode_at(m, node)->flags & INODE_ORPHAN)
        return dir_path_hidden(m, node, ret_path);
    while (!(inode_at(m, node)->flags & INODE_MOUNT_ROOT) && inode_at(m, node)->links) {
        const struct meta_dentry *d = dir_at(m, inode_at(m, node)->links);
        uint32_t have;
        const char *s = dir_name(m, d, &have);
        err = dir_path_push(ret_path, s, have);
        if (err)
            return err;
        node = d->parent;
    }
    return 0;
}

bool dir_drop_below(struct meta *m, uint32_t top, uint64_t *work)
{
    uint32_t node = top;
    for (;;) {
        uint32_t dent = inode_is_dir(inode_at(m, node)) ? inode_at(m, node)->dir.first : 0;
        if (dent) {
            uint32_t child = dir_at(m, dent)->node;
            if (inode_is_dir(inode_at(m, child)) && inode_at(m, child)->dir.first) {
                node = child;
                continue;
            }
            if (!*work)
                break;
            --*work;
            dir_remove(m, dent);
            if (!inode_at(m, child)->links)
                inode_free(m, child);
            continue;
        }
        if (node == top)
            return true;
        node = dir_parent(m, node); /* which now finds it empty and frees it */
    }
    for (; node != top; node = dir_parent(m, node))
        inode_mut(m, node)->flags &= (uint16_t)~INODE_LOADED;
    inode_mut(m, top)->flags &= (uint16_t)~INODE_LOADED;
    return false;
}

void dir_drop_tree(struct meta *m, uint32_t top)
{
    uint64_t all = UINT64_MAX;
    (void)dir_drop_below(m, top, &all);
    while (inode_at(m, top)->links)
        dir_remove(m, inode_at(m, top)->links);
    inode_free(m, top);
}
