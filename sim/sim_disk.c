/* sim/sim_disk.c - what is on a node's disk: what processes see, and what a power loss would leave.
 *
 *  1. cur is what processes see.  For a sector in `dirty` or `lost` the medium holds dur instead;
 *     for every other sector it holds cur.
 *  2. dirty sectors become clean by a sync that was submitted after they were written; lost ones
 *     (a failed sync) only by being written again.
 *  3. A write into a block whose sync is under way first lets that sync finish with the block, so
 *     what a later sync promises is never taken back by an earlier pre-image.
 *  4. Bytes of cur at and beyond `size` are zero.
 *  5. Zeros are not stored, neither whole blocks nor what is behind the rest of a block that was
 *     written whole: a sparse file costs what is in it, and so does a log that pads its batches.
 *     Blocks of zeros that were written use up the disk as others do.
 *  6. dents are sorted by name; each has cur or dur or both; a file is in at most one cur.
 *
 * Directories exist as parts of names only: the env's contract needs no more. */
#include "sim/sim_internal.h"

/* ---- blocks ---- */

static struct sim_block *sim_disk_block(const struct sim_file *f, uint64_t i)
{
    struct sim_block *l = i / SIM_LEAF < f->leaves ? f->leaf[i / SIM_LEAF] : NULL;
    return l ? &l[i % SIM_LEAF] : NULL;
}

static struct sim_block *sim_disk_block_make(struct sim *s, struct sim_file *f, uint64_t i)
{
    uint64_t at = i / SIM_LEAF;
    if (at >= f->leaves) {
        uint32_t to = (uint32_t)base_max_u64(at + 1, f->leaves * 2ULL);
        struct sim_block **leaf = sim_alloc(s, to * sizeof(*leaf));
        if (f->leaves)
            memcpy(leaf, f->leaf, f->leaves * sizeof(*leaf));
        sim_free(s, f->leaf, f->leaves * sizeof(*leaf));
        f->leaf = leaf;
        f->leaves = to;
    }
    if (!f->leaf[at])
        f->leaf[at] = sim_alloc(s, SIM_LEAF * sizeof **f->leaf);
    return &f->leaf[at][i % SIM_LEAF];
}

static void sim_disk_bytes_free(struct sim_node *n, uint8_t **p, uint16_t *size)
{
    sim_free(n->sim, *p, *size);
    *p = NULL;
    *size = 0;
}

/* room for all of a block, what was not stored as zeros */
static void sim_disk_bytes_whole(struct sim_node *n, uint8_t **p, uint16_t *size)
{
    if (*size == SIM_BLOCK)
        return;
    uint8_t *to = sim_alloc(n->sim, SIM_BLOCK);
    if (*p)
        memcpy(to, *p, *size);
    sim_disk_bytes_free(n, p, size);
    *p = to;
    *size = SIM_BLOCK;
}

/* before anything is done to parts of a block */
static void sim_disk_block_whole(struct sim_node *n, struct sim_block *b)
{
    if (b->cur)
        sim_disk_bytes_whole(n, &b->cur, &b->cur_n);
    if (b->dur)
        sim_disk_bytes_whole(n, &b->dur, &b->dur_n);
}

static void sim_disk_cur_free(struct sim_node *n, struct sim_block *b)
{
    if (b->cur || b->taken)
        n->disk.used -= SIM_BLOCK;
    sim_disk_bytes_free(n, &b->cur, &b->cur_n);
    b->taken = false;
}

/* takes a place on the disk, if it has none; all of it can be written */
static void sim_disk_cur_make(struct sim_node *n, struct sim_block *b)
{
    n->disk.used += b->cur || b->taken ? 0 : SIM_BLOCK;
    b->taken = false;
    sim_disk_bytes_whole(n, &b->cur, &b->cur_n);
}

/* a block as it is written; the zeros at its end need no room, but they have their place */
static void sim_disk_cur_set(struct sim_node *n, struct sim_block *b, const uint8_t *from,
                             struct sim_hash_run *h)
{
    size_t front = sim_hash_front(from, SIM_BLOCK), size = base_align_up(front, SIM_SECTOR);
    n->disk.used += b->cur || b->taken ? 0 : SIM_BLOCK;
    b->taken = !size;
    if (b->cur_n != size) {
        sim_disk_bytes_free(n, &b->cur, &b->cur_n);
        b->cur = size ? mem_alloc(n->sim->mem, size) : NULL;
        b->cur_n = (uint16_t)size;
        ASSERT(b->cur || !size);
    }
    if (h) {
        sim_hash_copy(h, b->cur, from, front);
        sim_hash_zeros(h, SIM_BLOCK - front);
    } else if (size) {
        memcpy(b->cur, from, front);
    }
    if (size > front)
        memset(b->cur + front, 0, size - front);
}

/* drops the pre-image when no sector needs it, and the block when it is zeros */
static void sim_disk_block_tidy(struct sim_node *n, struct sim_block *b)
{
    if (b->dur && !b->dirty && !b->lost)
        sim_disk_bytes_free(n, &b->dur, &b->dur_n);
}

/* keeps what the medium has of some sectors that are about to be written */
static void sim_disk_save(struct sim_node *n, struct sim_block *b, uint8_t sectors, bool whole)
{
    if (!sectors || (!b->cur && !b->dur))
        return;
    if (whole && sectors == UINT8_MAX && b->cur) { /* no need for a copy */
        sim_disk_bytes_free(n, &b->dur, &b->dur_n);
        b->dur = b->cur;
        b->dur_n = b->cur_n;
        b->cur = NULL;
        b->cur_n = 0;
        n->disk.used -= SIM_BLOCK;
        return;
    }
    sim_disk_bytes_whole(n, &b->dur, &b->dur_n);
    if (b->cur)
        sim_disk_bytes_whole(n, &b->cur, &b->cur_n);
    while (sectors) {
        unsigned from = (unsigned)__builtin_ctz(sectors);
        unsigned run = (unsigned)__builtin_ctz(~((unsigned)sectors >> from));
        size_t at = from * (size_t)SIM_SECTOR;
        if (b->cur)
            memcpy(b->dur + at, b->cur + at, run * (size_t)SIM_SECTOR);
        else
            memset(b->dur + at, 0, run * (size_t)SIM_SECTOR);
        sectors &= (uint8_t) ~(((1u << run) - 1) << from);
    }
}

static void sim_disk_sector_restore(struct sim_node *n, struct sim_block *b, unsigned sector)
{
    size_t at = (size_t)sector * SIM_SECTOR;
    if (b->dur) {
        sim_disk_cur_make(n, b);
        memcpy(b->cur + at, b->dur + at, SIM_SECTOR);
    } else if (b->cur) {
        memset(b->cur + at, 0, SIM_SECTOR);
    }
}

static void sim_disk_block_write(struct sim_node *n, struct sim_file *f, uint64_t i,
                                 const uint8_t *from, uint32_t at, uint32_t len, bool durable,
                                 struct sim_hash_run *h)
{
    struct sim_block *b = from ? sim_disk_block_make(n->sim, f, i) : sim_disk_block(f, i);
    if (!b || !len)
        return;
    if (len < SIM_BLOCK)
        sim_disk_block_whole(n, b);
    if (b->dirty && f->syncs && b->epoch < f->epoch) {
        b->dirty = 0;
        sim_disk_block_tidy(n, b);
    }
    unsigned first = at / SIM_SECTOR, last = (at + len - 1) / SIM_SECTOR;
    uint8_t mask = (uint8_t)((2u << last) - (1u << first));
    if (!durable)
        sim_disk_save(n, b, mask & (uint8_t) ~(b->dirty | b->lost), len == SIM_BLOCK);
    b->lost &= (uint8_t)~mask;
    b->dirty = durable ? b->dirty & (uint8_t)~mask : b->dirty | mask;
    b->epoch = f->epoch;
    if (b->dirty) {
        if (f->dirty_lo >= f->dirty_hi)
            f->dirty_lo = f->dirty_hi = i;
        f->dirty_lo = base_min_u64(f->dirty_lo, i);
        f->dirty_hi = base_max_u64(f->dirty_hi, i + 1);
    }
    b->bad = false;
    if (from && len == SIM_BLOCK) {
        sim_disk_cur_set(n, b, from, h);
    } else if (from) {
        sim_disk_cur_make(n, b);
        if (h)
            sim_hash_copy(h, b->cur + at, from, len);
        else
            memcpy(b->cur + at, from, len);
    } else if (len == SIM_BLOCK) {
        sim_disk_cur_free(n, b);
    } else if (b->cur) {
        memset(b->cur + at, 0, len);
    }
    sim_disk_block_tidy(n, b);
}

/* ---- files ---- */

void sim_disk_file_put(struct sim_node *n, struct sim_file *f)
{
    ASSERT(f->users > 0);
    if (--f->users)
        return;
    for (uint32_t l = 0; l < f->leaves; l++) {
        for (uint32_t i = 0; f->leaf[l] && i < SIM_LEAF; i++) {
            struct sim_block *b = &f->leaf[l][i];
            sim_disk_cur_free(n, b);
            sim_disk_bytes_free(n, &b->dur, &b->dur_n);
        }
        sim_free(n->sim, f->leaf[l], SIM_LEAF * sizeof **f->leaf);
    }
    sim_free(n->sim, f->leaf, f->leaves * sizeof(*f->leaf));
    sim_free(n->sim, f, sizeof *f);
}

void sim_disk_file_read(const struct sim_file *f, uint8_t *to, uint64_t len, uint64_t off,
                        struct sim_hash_run *h)
{
    while (len) {
        uint64_t at = off % SIM_BLOCK, part = base_min_u64(len, SIM_BLOCK - at);
        const struct sim_block *b = sim_disk_block(f, off / SIM_BLOCK);
        uint64_t stored = b && b->cur_n > at ? base_min_u64(part, b->cur_n - at) : 0;
        if (h && stored)
            sim_hash_copy(h, to, b->cur + at, stored);
        else if (stored)
            memcpy(to, b->cur + at, stored);
        memset(to + stored, 0, part - stored);
        if (h)
            sim_hash_zeros(h, part - stored);
        to += part;
        off += part;
        len -= part;
    }
}

bool sim_disk_file_bad(const struct sim_file *f, uint64_t len, uint64_t off)
{
    for (uint64_t i = off / SIM_BLOCK; len && i <= (off + len - 1) / SIM_BLOCK; i++) {
        const struct sim_block *b = sim_disk_block(f, i);
        if (b && b->bad)
            return true;
    }
    return false;
}

uint64_t sim_disk_file_need(const struct sim_file *f, uint64_t len, uint64_t off)
{
    uint64_t need = 0;
    for (uint64_t i = off / SIM_BLOCK; len && i <= (off + len - 1) / SIM_BLOCK; i++) {
        const struct sim_block *b = sim_disk_block(f, i);
        need += b && (b->cur || b->taken) ? 0 : SIM_BLOCK;
    }
    return need;
}

/* zeros where blocks exist; a hole needs no visit */
static void sim_disk_zero(struct sim_node *n, struct sim_file *f, uint64_t off, uint64_t end)
{
    if (end >= f->size) /* zero already, so that the whole block can go */
        end = end > UINT64_MAX - SIM_BLOCK ? end : base_align_up(end, SIM_BLOCK);
    end = base_min_u64(end, (uint64_t)f->leaves * SIM_LEAF * SIM_BLOCK);
    while (off < end) {
        const uint64_t leaf = (uint64_t)SIM_LEAF * SIM_BLOCK;
        if (!f->leaf[off / leaf]) {
            off = (off / leaf + 1) * leaf;
            continue;
        }
        uint64_t at = off % SIM_BLOCK, part = base_min_u64(end - off, SIM_BLOCK - at);
        struct sim_block *b = sim_disk_block(f, off / SIM_BLOCK);
        if (b->cur || b->taken || b->dirty || b->lost)
            sim_disk_block_write(n, f, off / SIM_BLOCK, NULL, (uint32_t)at, (uint32_t)part, false,
                                 NULL);
        off += part;
    }
}

void sim_disk_file_write(struct sim_node *n, struct sim_file *f, const uint8_t *from, uint64_t len,
                         uint64_t off, bool durable, struct sim_hash_run *h)
{
    uint64_t end = off + len;
    if (!from) {
        sim_disk_zero(n, f, off, base_min_u64(end, f->size));
        return;
    }
    while (off < end) {
        uint64_t at = off % SIM_BLOCK, part = base_min_u64(end - off, SIM_BLOCK - at);
        sim_disk_block_write(n, f, off / SIM_BLOCK, from, (uint32_t)at, (uint32_t)part, durable, h);
        from += part;
        off += part;
    }
    f->size = base_max_u64(f->size, end);
    if (durable)
        f->dur_size = base_max_u64(f->dur_size, end);
}

void sim_disk_file_resize(struct sim_node *n, struct sim_file *f, uint64_t size)
{
    if (size < f->size)
        sim_disk_zero(n, f, size, f->size);
    f->size = size;
    f->min_size = base_min_u64(f->min_size, size);
}

/* sectors of b that a failed sync leaves in the cache only, or throws out of it at once */
static void sim_disk_block_unsynced(struct sim_node *n, struct sim_block *b)
{
    b->lost |= b->dirty;
    b->dirty = 0;
    sim_disk_block_whole(n, b);
    if (!prng_chance_ppm(&n->disk.prng, 500000))
        return;
    for (unsigned s = 0; s < SIM_BLOCK / SIM_SECTOR; s++)
        if (b->lost >> s & 1)
            sim_disk_sector_restore(n, b, s);
    b->lost = 0;
}

void sim_disk_file_synced(struct sim_node *n, struct sim_file *f, uint64_t epoch, bool ok)
{
    uint64_t lo = UINT64_MAX, hi = 0;
    for (uint64_t i = f->dirty_lo; i < f->dirty_hi; i++) {
        struct sim_block *b = sim_disk_block(f, i);
        if (!b) {
            i |= SIM_LEAF - 1; /* nor has the rest of its leaf */
            continue;
        }
        if (!b->dirty)
            continue;
        if (b->epoch >= epoch) {
            lo = base_min_u64(lo, i);
            hi = i + 1;
            continue;
        }
        if (ok)
            b->dirty = 0;
        else
            sim_disk_block_unsynced(n, b);
        sim_disk_block_tidy(n, b);
    }
    f->dirty_lo = hi ? lo : 0;
    f->dirty_hi = hi;
    if (!ok)
        return;
    f->dur_size = f->min_size = f->size;
    if (!f->name)
        return;
    struct sim_dent *d = sim_disk_find(&n->disk, f->name);
    ASSERT(d && d->cur == f);
    if (d->dur == f)
        return;
    if (d->dur)
        sim_disk_file_put(n, d->dur);
    d->dur = f;
    d->unlink = 0;
    f->users++;
}

/* ---- power loss ---- */

enum { SIM_FATE_KEPT, SIM_FATE_DROPPED, SIM_FATE_TORN, SIM_FATE_GARBAGE };

struct sim_fate {
    unsigned what;
    uint64_t cut;                   /* TORN: so many bytes, and is the old part the right one? */
    uint64_t bytes[SIM_SECTOR / 8]; /* GARBAGE */
};

static unsigned sim_disk_fate_draw(struct sim_disk *d)
{
    const struct sim_disk_config *c = &d->cfg;
    uint64_t r = prng_below(&d->prng, 1000000);
    if (r < c->lose_drop_ppm)
        return SIM_FATE_DROPPED;
    if (r < (uint64_t)c->lose_drop_ppm + c->lose_torn_ppm)
        return SIM_FATE_TORN;
    if (r < (uint64_t)c->lose_drop_ppm + c->lose_torn_ppm + c->lose_garbage_ppm)
        return SIM_FATE_GARBAGE;
    return SIM_FATE_KEPT;
}

/* a sector for which there is no fate but that one */
static struct sim_fate sim_disk_fate_dropped(void)
{
    return (struct sim_fate){.what = SIM_FATE_DROPPED};
}

static struct sim_fate sim_disk_fate(struct sim_node *n)
{
    struct prng *p = &n->disk.prng;
    struct sim_fate f = {.what = sim_disk_fate_draw(&n->disk)};
    struct sim_hit hit = {.kind = SIM_CHANCE_SECTOR_LOST};
    if (f.what == SIM_FATE_TORN) {
        hit.kind = SIM_CHANCE_SECTOR_TORN;
        hit.n = 2 * (1 + prng_below(p, SIM_SECTOR - 1));
        hit.n += prng_u64(p) & 1;
    }
    if (f.what == SIM_FATE_GARBAGE) {
        hit.kind = SIM_CHANCE_SECTOR_GARBAGE;
        for (unsigned i = 0; i < SIM_SECTOR / 8; i++)
            f.bytes[i] = prng_u64(p);
        hit.n = f.bytes[0] >> 11; /* JSON has no more bits */
    }
    bool drawn = f.what == SIM_FATE_GARBAGE;
    if (!sim_chance(n->sim, n, NULL, f.what != SIM_FATE_KEPT, &hit)) {
        f.what = SIM_FATE_KEPT;
        return f;
    }
    f.what = hit.kind == SIM_CHANCE_SECTOR_TORN      ? SIM_FATE_TORN
             : hit.kind == SIM_CHANCE_SECTOR_GARBAGE ? SIM_FATE_GARBAGE
                                                     : SIM_FATE_DROPPED;
    f.cut = hit.n;
    drawn = drawn && f.bytes[0] >> 11 == hit.n;
    for (unsigned i = 0; f.what == SIM_FATE_GARBAGE && !drawn && i < SIM_SECTOR / 8; i++)
        f.bytes[i] = base_mix_u64(hit.n + i);
    return f;
}

static void sim_disk_sector_lose(struct sim_node *n, struct sim_block *b, unsigned sector,
                                 const struct sim_fate *f)
{
    static const uint8_t zeros[SIM_SECTOR];
    struct sim_stats *st = &n->sim->stats;
    size_t at = (size_t)sector * SIM_SECTOR;
    uint64_t cut;
    switch (f->what) {
    case SIM_FATE_KEPT:
        st->sectors_kept++;
        break;
    case SIM_FATE_DROPPED:
        st->sectors_dropped++;
        sim_disk_sector_restore(n, b, sector);
        break;
    case SIM_FATE_TORN:
        st->sectors_torn++;
        sim_disk_cur_make(n, b);
        cut = f->cut / 2 % SIM_SECTOR;
        if (f->cut & 1) /* the old part is the right one */
            memcpy(b->cur + at + cut, (b->dur ? b->dur + at : zeros) + cut, SIM_SECTOR - cut);
        else
            memcpy(b->cur + at, b->dur ? b->dur + at : zeros, cut);
        break;
    case SIM_FATE_GARBAGE:
        st->sectors_garbage++;
        sim_disk_cur_make(n, b);
        for (unsigned i = 0; i < SIM_SECTOR; i += 8)
            base_put_u64(b->cur + at + i, f->bytes[i / 8]);
        break;
    default:
        ASSERT(!"a fate");
    }
}

/* does the power loss undo it? */
static bool sim_disk_undone(struct sim_node *n, enum sim_chance_kind kind)
{
    struct sim_hit hit = {.kind = kind};
    bool drawn = prng_chance_ppm(&n->disk.prng, n->disk.cfg.lose_name_ppm);
    return sim_chance(n->sim, n, NULL, drawn, &hit);
}

/* Sizes are journalled by a file system: a truncation is undone as a whole or not at all, and what
 * was truncated away does not come back in parts. */
static void sim_disk_file_lose(struct sim_node *n, struct sim_file *f)
{
    bool differs = f->size != f->dur_size || f->min_size < f->dur_size;
    bool undo_size = differs && sim_disk_undone(n, SIM_CHANCE_SIZE_UNDONE);
    uint64_t size = undo_size ? f->dur_size : f->size;
    for (uint32_t l = 0; l < f->leaves; l++)
        for (uint32_t i = 0; f->leaf[l] && i < SIM_LEAF; i++) {
            struct sim_block *b = &f->leaf[l][i];
            uint8_t dirty = b->dirty, lost = b->lost;
            if (dirty | lost)
                sim_disk_block_whole(n, b);
            for (unsigned s = 0; (dirty | lost) >> s; s++) {
                if (!((dirty | lost) >> s & 1))
                    continue;
                uint64_t at = ((uint64_t)l * SIM_LEAF + i) * SIM_BLOCK + s * (uint64_t)SIM_SECTOR;
                bool cut = at >= f->min_size; /* its old content was truncated away */
                if (cut && !undo_size && b->dur)
                    memset(b->dur + s * SIM_SECTOR, 0, SIM_SECTOR);
                bool dropped = lost >> s & 1 || (cut && undo_size);
                struct sim_fate fate = dropped ? sim_disk_fate_dropped() : sim_disk_fate(n);
                sim_disk_sector_lose(n, b, s, &fate);
                sim_record(n->sim, n, SIM_K_SECTOR, fate.what, at);
            }
            b->dirty = b->lost = 0;
            sim_disk_block_tidy(n, b);
        }
    f->size = size;
    sim_disk_zero(n, f, size, UINT64_MAX);
    for (uint32_t l = 0; l < f->leaves; l++)
        for (uint32_t i = 0; f->leaf[l] && i < SIM_LEAF; i++) {
            f->leaf[l][i].dirty = 0;
            sim_disk_block_tidy(n, &f->leaf[l][i]);
        }
    f->dur_size = f->min_size = size;
    f->dirty_lo = f->dirty_hi = 0;
}

static void sim_disk_slot_set(struct sim_node *n, struct sim_file **slot, struct sim_file *f)
{
    struct sim_file *old = *slot;
    if (f)
        f->users++;
    *slot = f;
    if (old)
        sim_disk_file_put(n, old);
}

/* gives the dent back if neither tree has it */
static bool sim_disk_dent_tidy(struct sim_node *n, uint32_t at)
{
    struct sim_disk *d = &n->disk;
    struct sim_dent *x = &d->dents[at];
    if (x->cur || x->dur)
        return false;
    sim_free(n->sim, x->name, strlen(x->name) + 1);
    memmove(x, x + 1, (--d->n - at) * sizeof *x);
    return true;
}

void sim_disk_lose(struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    sim_disk_expire(n);
    for (uint32_t i = 0; i < d->n;) {
        struct sim_dent *x = &d->dents[i];
        if (x->cur != x->dur) {
            bool undo = sim_disk_undone(n, SIM_CHANCE_NAME_UNDONE);
            n->sim->stats.names_undone += undo;
            sim_record(n->sim, n, SIM_K_SECTOR, 16 + undo, sim_digest(x->name, strlen(x->name)));
            if (x->cur && undo)
                x->cur->name = NULL;
            if (undo)
                sim_disk_slot_set(n, &x->cur, x->dur);
            else
                sim_disk_slot_set(n, &x->dur, x->cur);
            if (x->cur)
                x->cur->name = x->name;
        }
        x->unlink = 0;
        if (!sim_disk_dent_tidy(n, i))
            i++;
    }
    for (uint32_t i = 0; i < d->n; i++)
        sim_disk_file_lose(n, d->dents[i].cur);
}

/* ---- names ---- */

int sim_disk_check_name(const char *name, size_t *ret_len)
{
    size_t len = 0, part = 0;
    for (;; len++) {
        if (len >= ENV_NAME_MAX)
            return E_NAMETOOLONG;
        if (name[len] && name[len] != '/') {
            part++;
            continue;
        }
        const char *p = name + len - part;
        if (!part || (part == 1 && p[0] == '.') || (part == 2 && p[0] == '.' && p[1] == '.'))
            return E_INVAL;
        part = 0;
        if (!name[len])
            break;
    }
    *ret_len = len;
    return 0;
}

uint32_t sim_disk_lower(const struct sim_disk *d, const char *name)
{
    uint32_t lo = 0, hi = d->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (strcmp(d->dents[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct sim_dent *sim_disk_find(struct sim_disk *d, const char *name)
{
    uint32_t at = sim_disk_lower(d, name);
    return at < d->n && !strcmp(d->dents[at].name, name) ? &d->dents[at] : NULL;
}

static struct sim_dent *sim_disk_dent_make(struct sim_node *n, const char *name)
{
    struct sim_disk *d = &n->disk;
    uint32_t at = sim_disk_lower(d, name);
    if (at < d->n && !strcmp(d->dents[at].name, name))
        return &d->dents[at];
    if (d->n == d->cap) {
        uint32_t to = d->cap ? d->cap * 2 : 16;
        struct sim_dent *p = sim_alloc(n->sim, to * sizeof *p);
        if (d->n)
            memcpy(p, d->dents, d->n * sizeof *p);
        sim_free(n->sim, d->dents, d->cap * sizeof *p);
        d->dents = p;
        d->cap = to;
    }
    memmove(&d->dents[at + 1], &d->dents[at], (d->n - at) * sizeof *d->dents);
    d->n++;
    size_t len = strlen(name) + 1;
    d->dents[at] = (struct sim_dent){.name = sim_alloc(n->sim, len)};
    memcpy(d->dents[at].name, name, len);
    return &d->dents[at];
}

int sim_disk_check_place(struct sim_disk *d, const char *name)
{
    char b[ENV_NAME_MAX + 1]; /* len < ENV_NAME_MAX */
    size_t len = strlen(name);
    memcpy(b, name, len);
    b[len] = '/';
    b[len + 1] = 0;
    for (uint32_t i = sim_disk_lower(d, b); i < d->n && !strncmp(d->dents[i].name, b, len + 1); i++)
        if (d->dents[i].cur)
            return E_ISDIR;
    for (size_t i = len; i-- > 0;)
        if (name[i] == '/') {
            b[i] = 0;
            struct sim_dent *x = sim_disk_find(d, b);
            if (x && x->cur)
                return E_NOTDIR;
        }
    return 0;
}

struct sim_file *sim_disk_create(struct sim_node *n, const char *name)
{
    struct sim_dent *x = sim_disk_dent_make(n, name);
    ASSERT(!x->cur);
    struct sim_file *f = sim_alloc(n->sim, sizeof *f);
    f->name = x->name;
    sim_disk_slot_set(n, &x->cur, f);
    return f;
}

void sim_disk_remove(struct sim_node *n, const char *name)
{
    struct sim_disk *d = &n->disk;
    struct sim_dent *x = sim_disk_find(d, name);
    ASSERT(x && x->cur);
    x->cur->name = NULL;
    sim_disk_slot_set(n, &x->cur, NULL);
    if (x->dur) {
        struct sim_unlink *u = sim_alloc(n->sim, sizeof *u);
        u->at_ns = n->sim->now_ns + d->cfg.unlink_commit_ns;
        u->id = x->unlink = ++d->unlink;
        memcpy(u->name, name, strlen(name) + 1);
        list_push_back(&d->unlinks, &u->link);
    }
    sim_disk_dent_tidy(n, (uint32_t)(x - d->dents));
}

void sim_disk_expire(struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    while (!list_empty(&d->unlinks)) {
        struct sim_unlink *u = container_of(d->unlinks.next, struct sim_unlink, link);
        if (u->at_ns > n->sim->now_ns)
            break;
        struct sim_dent *x = sim_disk_find(d, u->name);
        if (x && x->unlink == u->id) {
            x->unlink = 0;
            sim_disk_slot_set(n, &x->dur, NULL);
            sim_disk_dent_tidy(n, (uint32_t)(x - d->dents));
        }
        list_remove(&u->link);
        sim_free(n->sim, u, sizeof *u);
    }
}

/* A rename is durable when done, so both trees change, and older changes of both names with it. */
void sim_disk_move(struct sim_node *n, const char *from, const char *to)
{
    if (!strcmp(from, to))
        return;
    struct sim_disk *d = &n->disk;
    struct sim_dent *t = sim_disk_dent_make(n, to);
    struct sim_dent *x = sim_disk_find(d, from);
    ASSERT(x && x->cur);
    struct sim_file *f = x->cur;
    if (t->cur)
        t->cur->name = NULL;
    sim_disk_slot_set(n, &t->cur, f);
    sim_disk_slot_set(n, &t->dur, f);
    f->name = t->name;
    sim_disk_slot_set(n, &x->cur, NULL);
    sim_disk_slot_set(n, &x->dur, NULL);
    t->unlink = x->unlink = 0;
    sim_disk_dent_tidy(n, (uint32_t)(x - d->dents));
}

/* ---- the world's side ---- */

void sim_disk_open_world(struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    if (!d->unlinks.next) {
        prng_seed(&d->prng, n->sim->cfg.seed, "disk", n->id);
        d->cfg = n->sim->cfg.disk;
        list_init(&d->handles);
        list_init(&d->unlinks);
    }
}

void sim_disk_close_world(struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    ASSERT(list_empty(&d->handles));
    while (d->n) {
        struct sim_dent *x = &d->dents[d->n - 1];
        sim_disk_slot_set(n, &x->cur, NULL);
        sim_disk_slot_set(n, &x->dur, NULL);
        sim_disk_dent_tidy(n, d->n - 1);
    }
    sim_free(n->sim, d->dents, d->cap * sizeof *d->dents);
    d->dents = NULL;
    d->cap = 0;
    struct list *l;
    while ((l = list_pop(&d->unlinks)))
        sim_free(n->sim, container_of(l, struct sim_unlink, link), sizeof(struct sim_unlink));
    ASSERT(d->used == 0);
}

void sim_disk_set(struct sim_node *n, const struct sim_disk_config *disk)
{
    n->disk.cfg = *disk;
}

const struct sim_disk_config *sim_disk_get(const struct sim_node *n)
{
    return &n->disk.cfg;
}

static struct sim_file *sim_disk_named(struct sim_node *n, const char *name)
{
    struct sim_dent *x = sim_disk_find(&n->disk, name);
    return x ? x->cur : NULL;
}

int64_t sim_disk_read(struct sim_node *n, const char *name, void *to, uint32_t len, uint64_t off)
{
    struct sim_file *f = sim_disk_named(n, name);
    if (!f)
        return E_NOENT;
    uint64_t got = off < f->size ? base_min_u64(len, f->size - off) : 0;
    sim_disk_file_read(f, to, got, off, NULL);
    return (int64_t)got;
}

int64_t sim_disk_size(struct sim_node *n, const char *name)
{
    struct sim_file *f = sim_disk_named(n, name);
    return f ? (int64_t)f->size : E_NOENT;
}

const char *sim_disk_next(struct sim_node *n, const char *after)
{
    struct sim_disk *d = &n->disk;
    for (uint32_t i = sim_disk_lower(d, after); i < d->n; i++)
        if (d->dents[i].cur && strcmp(d->dents[i].name, after) > 0)
            return d->dents[i].name;
    return NULL;
}

int sim_disk_flip(struct sim_node *n, const char *name, uint64_t off, unsigned bit)
{
    struct sim_file *f = sim_disk_named(n, name);
    if (!f)
        return E_NOENT;
    if (off >= f->size)
        return E_RANGE;
    struct sim_block *b = sim_disk_block_make(n->sim, f, off / SIM_BLOCK);
    sim_disk_block_whole(n, b);
    sim_disk_cur_make(n, b);
    b->cur[off % SIM_BLOCK] ^= (uint8_t)(1u << (bit % 8));
    if (b->dur)
        b->dur[off % SIM_BLOCK] ^= (uint8_t)(1u << (bit % 8));
    return 0;
}

int sim_disk_bad(struct sim_node *n, const char *name, uint64_t off)
{
    struct sim_file *f = sim_disk_named(n, name);
    if (!f)
        return E_NOENT;
    if (off >= f->size)
        return E_RANGE;
    sim_disk_block_make(n->sim, f, off / SIM_BLOCK)->bad = true;
    return 0;
}

uint64_t sim_disk_used(const struct sim_node *n)
{
    return n->disk.used;
}
