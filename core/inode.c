/* core/inode.c - the inode table: numbers, attributes, permissions, orphans.
 *
 * INVARIANTS
 *  1. A number is a slot and the slot's generation; freeing an inode raises the generation, so a
 *     number is never used twice.  A slot whose generation is exhausted is retired.
 *  2. mode is 0 exactly in free slots.
 *  3. A version of a file is never given to two contents, not even when the group was recovered or
 *     restored in between and a number comes again: those given in an era are above it, and no
 *     file changes as often as eras are apart.
 *  4. The orphan bit of a slot is set exactly while its inode has INODE_ORPHAN. */
#include "core/meta_internal.h"
#include "core/mutant.h"

const struct meta_inode *inode_at(const struct meta *m, uint32_t slot)
{
    return store_get(&m->st, TABLE_INODE, slot);
}

struct meta_inode *inode_mut(struct meta *m, uint32_t slot)
{
    return store_mut(&m->st, TABLE_INODE, slot);
}

uint32_t inode_find(const struct meta *m, struct ino ino)
{
    uint32_t slot = (uint32_t)ino.v;
    if (slot == 0 || slot >= m->st.t[TABLE_INODE].high)
        return 0;
    const struct meta_inode *i = inode_at(m, slot);
    return i->gen == ino.v >> 32 && i->mode != 0 && !(i->flags & INODE_RESERVED) ? slot : 0;
}

struct ino inode_number(const struct meta *m, uint32_t slot)
{
    return slot ? (struct ino){(uint64_t)inode_at(m, slot)->gen << 32 | slot} : (struct ino){0};
}

int inode_room(const struct meta *m)
{
    return m->st.t[TABLE_INODE].live < meta_limits(m).inodes_max ? room_inode(m) : E_NOSPC;
}

/* above all that was given before, also to what a recovery or restore lost: workers may have it */
uint64_t inode_version_next(const struct meta *m, uint64_t version)
{
    return base_max_u64(version, meta_super(m)->era) + 1;
}

void inode_change(struct meta *m, uint32_t slot)
{
    struct meta_inode *i = inode_mut(m, slot);
    i->version = inode_version_next(m, i->version);
}

void inode_touch(struct meta *m, uint32_t slot)
{
    m->touched[slot % META_ATTRS / 64] |= (uint64_t)1 << (slot % META_ATTRS % 64);
}

void inode_touch_end(struct meta *m)
{
    for (unsigned w = 0; w < META_ATTRS / 64; w++) {
        for (uint64_t bits = m->touched[w]; bits; bits &= bits - 1) {
            struct meta_super *sup = meta_super_mut(m);
            sup->attr_index[w * 64 + (unsigned)__builtin_ctzll(bits)] = sup->applied;
        }
        m->touched[w] = 0;
    }
}

bool inode_is_newer(const struct meta *m, uint32_t slot, const struct fsop *op)
{
    uint64_t at = meta_super(m)->attr_index[slot % META_ATTRS];
    return op->mtime_ns && (uint64_t)op->mtime_ns < at;
}

static void inode_orphan_place(struct meta *m, uint32_t slot)
{
    while (m->st.t[TABLE_ORPHAN].high <= slot / 64 + 1)
        store_new_zero(&m->st, TABLE_ORPHAN);
}

uint32_t inode_new(struct meta *m, uint32_t mode, uint32_t uid, uint32_t gid, uint16_t mount,
                   int64_t time_ns)
{
    uint32_t slot = store_new(&m->st, TABLE_INODE);
    inode_orphan_place(m, slot); /* now, where growth may be refused */
    struct meta_inode *i = inode_mut(m, slot);
    uint32_t gen = i->gen;
    memset(i, 0, sizeof *i);
    i->gen = gen;
    i->version = inode_version_next(m, 0);
    i->atime_ns = i->mtime_ns = i->ctime_ns = time_ns;
    i->mode = mode;
    i->nlink = (mode & FSOP_S_IFMT) == FSOP_S_IFDIR ? 2 : 0;
    i->uid = uid;
    i->gid = gid;
    i->mount = mount;
    return slot;
}

void inode_free(struct meta *m, uint32_t slot)
{
    struct meta_inode *i = inode_mut(m, slot);
    ASSERT(i->links == 0 && i->n_locks == 0);
    if (inode_is_dir(i))
        ASSERT(i->dir.first == 0);
    if (inode_is_reg(i))
        ASSERT(i->file.writers == 0);
    if (inode_is_link(i))
        store_blob_free(&m->st, TABLE_BLOB, i->symlink.target);
    xattr_free_all(m, slot);
    if (i->flags & INODE_ORPHAN)
        inode_orphan_set(m, slot, false);
    uint32_t gen = i->gen;
    memset(i, 0, sizeof *i);
    i->gen = gen + !MUTANT(INO_REUSED);
    if (i->gen == UINT32_MAX)
        m->st.t[TABLE_INODE].live--; /* retired: it never comes back from the free list */
    else
        store_free(&m->st, TABLE_INODE, slot);
}

void inode_attr(const struct meta *m, uint32_t slot, struct fsattr *ret_a)
{
    const struct meta_inode *i = inode_at(m, slot);
    memset(ret_a, 0, sizeof *ret_a);
    ret_a->ino = inode_number(m, slot);
    ret_a->version = i->version;
    ret_a->size = i->size;
    ret_a->fp = i->fp;
    ret_a->atime_ns = i->atime_ns;
    ret_a->mtime_ns = i->mtime_ns;
    ret_a->ctime_ns = i->ctime_ns;
    ret_a->mode = i->mode;
    ret_a->nlink = i->nlink;
    ret_a->uid = i->uid;
    ret_a->gid = i->gid;
    ret_a->mount = i->mount;
    switch (i->mode & FSOP_S_IFMT) {
    case FSOP_S_IFDIR:
        ret_a->size = i->dir.count;
        ret_a->flags |= i->flags & INODE_LOADED ? FSATTR_LOADED : 0;
        if (!(i->flags & INODE_LOADED))
            ret_a->nlink = 1; /* "unknown", as walkers that count on it understand */
        break;
    case FSOP_S_IFREG:
        ret_a->flags |= i->file.writers ? FSATTR_LIVE : 0;
        ret_a->ufs_ino = (uint64_t)i->file.ufs_hi << 32 | i->file.ufs_lo;
        break;
    case FSOP_S_IFCHR:
    case FSOP_S_IFBLK:
        ret_a->rdev = i->dev.rdev;
        break;
    }
    ret_a->flags |= i->flags & INODE_ORPHAN ? FSATTR_ORPHAN : 0;
    ret_a->flags |= i->flags & INODE_MOUNT_ROOT ? FSATTR_MOUNT_ROOT : 0;
    ret_a->flags |= mount_mode(m, i->mount) == FSOP_MOUNT_RO ? FSATTR_RO : 0;
}

bool inode_in_group(const struct fsop *op, uint32_t gid)
{
    if (op->gid == gid)
        return true;
    for (uint32_t i = 0; i < op->n_groups; i++)
        if (op->groups[i] == gid)
            return true;
    return false;
}

bool inode_owned(const struct meta *m, uint32_t slot, const struct fsop *op)
{
    return op->uid == 0 || op->uid == inode_at(m, slot)->uid;
}

int inode_may(const struct meta *m, uint32_t slot, const struct fsop *op, uint32_t access)
{
    const struct meta_inode *i = inode_at(m, slot);
    uint32_t bits;
    if (op->uid == 0) /* all, but nobody executes a file without any x bit */
        return !(access & FSOP_ACCESS_X) || inode_is_dir(i) || (i->mode & 0111) ? 0 : E_ACCES;
    if (op->uid == i->uid)
        bits = i->mode >> 6;
    else if (inode_in_group(op, i->gid))
        bits = i->mode >> 3;
    else
        bits = i->mode;
    return (access & ~bits & 7) == 0 ? 0 : E_ACCES;
}

void inode_adopt(struct meta *m, uint32_t slot, const struct fsent *e)
{
    struct meta_inode *i = inode_mut(m, slot);
    i->mode = (i->mode & FSOP_S_IFMT) | (e->mode & 07777);
    i->uid = e->uid;
    i->gid = e->gid;
    i->fp = e->fp;
    i->atime_ns = e->atime_ns;
    i->mtime_ns = e->mtime_ns;
    i->ctime_ns = e->ctime_ns;
    switch (i->mode & FSOP_S_IFMT) {
    case FSOP_S_IFREG:
        i->size = e->size;
        i->file.ufs_lo = (uint32_t)e->ufs_ino;
        i->file.ufs_hi = (uint32_t)(e->ufs_ino >> 32);
        break;
    case FSOP_S_IFLNK:
        if (e->target_len && e->target_len < LIMIT_PATH) {
            store_blob_free(&m->st, TABLE_BLOB, i->symlink.target);
            i->symlink.target = store_blob_new(&m->st, TABLE_BLOB, e->target, e->target_len);
            i->size = e->target_len;
        }
        break;
    case FSOP_S_IFCHR:
    case FSOP_S_IFBLK:
        i->dev.rdev = e->rdev;
        break;
    }
}

void inode_orphan_set(struct meta *m, uint32_t slot, bool on)
{
    struct store *s = &m->st;
    inode_orphan_place(m, slot);
    struct meta_orphan_bits *b = store_mut(s, TABLE_ORPHAN, slot / 64 + 1);
    struct meta_inode *i = inode_mut(m, slot);
    uint64_t bit = (uint64_t)1 << (slot % 64);
    ASSERT(((b->bits & bit) != 0) != on);
    if (on) {
        b->bits |= bit;
        i->flags |= INODE_ORPHAN;
        meta_super_mut(m)->orphans++;
    } else {
        b->bits &= ~bit;
        i->flags &= (uint16_t)~INODE_ORPHAN;
        meta_super_mut(m)->orphans--;
    }
}

struct ino inode_orphan_next(const struct meta *m, struct ino after)
{
    const struct store *s = &m->st;
    uint64_t from = (uint64_t)(uint32_t)after.v + 1;
    if (meta_super(m)->orphans == 0)
        return (struct ino){0};
    for (uint64_t k = from / 64; k + 1 < s->t[TABLE_ORPHAN].high; k++) {
        const struct meta_orphan_bits *b = store_get(s, TABLE_ORPHAN, (uint32_t)k + 1);
        uint64_t bits = b->bits;
        if (k == from / 64)
            bits &= ~(uint64_t)0 << (from % 64);
        if (bits)
            return inode_number(m, (uint32_t)(k * 64) + (uint32_t)__builtin_ctzll(bits));
    }
    return (struct ino){0};
}
