/* sim/lab_ufs_data.c - the bytes of the model's files: a history of changes, from which any past
 * state can be read (see sim/lab_ufs.h). */
#include "sim/lab_ufs_impl.h"

static struct lab_ufs_change *data_push(struct lab_ufs *u, struct lab_ufs_node *n)
{
    uint32_t kept = n->n_changes - n->n_forgot;
    if (kept == n->cap_changes) {
        uint32_t cap = n->cap_changes ? 2 * n->cap_changes : 4;
        struct lab_ufs_change *more = lab_ufs_alloc(u, cap * sizeof *more);
        if (kept)
            memcpy(more, n->changes, kept * sizeof *more);
        mem_free(u->mem, n->changes, n->cap_changes * sizeof *more);
        n->changes = more;
        n->cap_changes = cap;
    }
    struct lab_ufs_change *c = &n->changes[kept];
    n->n_changes++;
    memset(c, 0, sizeof *c);
    c->t_ns = sim_now_ns(u->sim);
    return c;
}

void lab_ufs_data_seed(struct lab_ufs *u, struct lab_ufs_node *n, uint64_t size, bool behind)
{
    struct lab_ufs_change *c = data_push(u, n);
    c->kind = LAB_UFS_SEED;
    c->seed = prng_u64(&u->prng);
    c->behind = behind;
    u->used += size - n->size;
    n->size = c->size = size;
}

void lab_ufs_data_size(struct lab_ufs *u, struct lab_ufs_node *n, uint64_t size)
{
    struct lab_ufs_change *c = data_push(u, n);
    c->kind = LAB_UFS_SIZE;
    u->used += size - n->size;
    n->size = c->size = size;
}

void lab_ufs_data_write(struct lab_ufs *u, struct lab_ufs_node *n, uint64_t off, uint8_t *p,
                        uint32_t len)
{
    struct lab_ufs_change *c = data_push(u, n);
    c->kind = LAB_UFS_WRITE;
    c->off = off;
    c->len = len;
    c->data = p;
    uint64_t size = base_max_u64(n->size, off + len);
    u->used += size - n->size;
    n->size = c->size = size;
}

/* the seeded bytes: eight of them are a mix of the seed and their place */
static void data_seeded(uint64_t seed, uint64_t off, uint8_t *buf, uint32_t len)
{
    for (uint32_t i = 0; i < len;) {
        uint64_t word = base_mix_u64(seed + (off + i) / 8 * 0x9e3779b97f4a7c15ULL);
        if ((off + i) % 8 == 0 && len - i >= 8) {
            base_put_u64(buf + i, word);
            i += 8;
            continue;
        }
        uint8_t b[8];
        base_put_u64(b, word);
        for (uint32_t k = (uint32_t)((off + i) % 8); k < 8 && i < len; k++)
            buf[i++] = b[k];
    }
}

static void data_zero_from(uint64_t size, uint64_t off, uint8_t *buf, uint32_t len)
{
    uint64_t from = size > off ? base_min_u64(size - off, len) : 0;
    memset(buf + from, 0, len - from);
}

/* Of the state after k changes, newest first: what one change gives needs no look at those before
 * it, so that every byte is written once. */
static void data_fill(const struct lab_ufs_node *n, uint32_t k, uint64_t off, uint8_t *buf,
                      uint32_t len)
{
    for (; k > n->n_forgot && len; k--) {
        const struct lab_ufs_change *c = lab_ufs_data_change(n, k - 1);
        if (c->kind == LAB_UFS_WRITE) {
            uint64_t from = base_max_u64(off, c->off);
            uint64_t to = base_min_u64(off + len, c->off + c->len);
            if (from >= to)
                continue;
            memcpy(buf + (from - off), c->data + (from - c->off), to - from);
            data_fill(n, k - 1, to, buf + (to - off), (uint32_t)(off + len - to));
            len = (uint32_t)(from - off);
            continue;
        }
        data_zero_from(c->size, off, buf, len);
        len = c->size > off ? (uint32_t)base_min_u64(c->size - off, len) : 0;
        if (c->kind == LAB_UFS_SEED) {
            data_seeded(c->seed, off, buf, len);
            return;
        }
    }
    memset(buf, 0, len);
}

uint32_t lab_ufs_data_len(const struct lab_ufs_node *n, uint32_t k, uint64_t off, uint32_t len)
{
    uint64_t size = k ? lab_ufs_data_change(n, k - 1)->size : 0;
    return size > off ? (uint32_t)base_min_u64(size - off, len) : 0;
}

uint32_t lab_ufs_data_read(const struct lab_ufs_node *n, uint32_t k, uint64_t off, void *buf,
                           uint32_t len)
{
    len = lab_ufs_data_len(n, k, off, len);
    data_fill(n, k, off, buf, len);
    return len;
}

static const struct lab_ufs_node *data_node(const struct lab_ufs *u, uint64_t ino)
{
    return ino < u->n_nodes ? u->nodes[ino] : NULL;
}

uint32_t lab_ufs_changes(const struct lab_ufs *u, uint64_t ino)
{
    const struct lab_ufs_node *n = data_node(u, ino);
    return n ? n->n_changes : 0;
}

int64_t lab_ufs_touched_ns(const struct lab_ufs *u, uint64_t ino)
{
    return ino < u->n_nodes ? u->nodes[ino]->touched_ns : 0;
}

const struct lab_ufs_change *lab_ufs_change(const struct lab_ufs *u, uint64_t ino, uint32_t k)
{
    return k < lab_ufs_changes(u, ino) ? lab_ufs_data_change(u->nodes[ino], k) : NULL;
}

void lab_ufs_firm(struct lab_ufs *u, uint64_t ino, uint64_t size, int64_t from_ns, int64_t to_ns)
{
    for (uint32_t k = lab_ufs_changes(u, ino); k-- > 0;) {
        struct lab_ufs_change *c = lab_ufs_data_change(u->nodes[ino], k);
        if (c->t_ns < from_ns)
            break;
        if (c->kind == LAB_UFS_SIZE && c->size == size && !c->firm_ns)
            c->firm_ns = to_ns;
    }
}

const uint8_t *lab_ufs_content(const struct lab_ufs *u, uint64_t ino, uint32_t k, uint64_t off,
                               uint8_t *buf, uint32_t len, uint32_t *ret_len)
{
    const struct lab_ufs_node *n = data_node(u, ino);
    if (n && k > n->n_changes)
        k = n->n_changes;
    if (n && k && k <= n->n_forgot)
        k = n->n_forgot + 1;
    *ret_len = len = n ? lab_ufs_data_len(n, k, off, len) : 0;
    const struct lab_ufs_change *c = len ? lab_ufs_data_change(n, k - 1) : NULL;
    if (c && c->kind == LAB_UFS_WRITE && c->off <= off && off + len <= c->off + c->len)
        return c->data + (off - c->off);
    if (len)
        data_fill(n, k, off, buf, len);
    return buf;
}
