/* core/store.h - tables of fixed-size records in pages: all persistent state of a machine.
 *
 * A record is named by (table, slot); slot 0 is none.  Slots are given out in order, freed ones are
 * used again last-freed first, so the same calls give the same slots on every master.
 *
 * INVARIANTS
 *  1. A record's address never changes while it lives: a pointer from store_get or store_mut stays
 *     good until its record is freed.
 *  2. Nothing is written through anything but a pointer that store_mut (or store_new) returned
 *     since the last store_image_begin: those calls are where a page is copied before its change.
 *  3. An image holds exactly the bytes at its begin.  A page not yet handed out is copied before
 *     its first change, so the extra memory is at most one copy of every page, and only of those
 *     that changed meanwhile.
 *  4. Memory is the composition root's to plan: a budget too small for the state plus its copies is
 *     a bug there and panics, because an apply that one master can do and another cannot would
 *     part them.  `bytes` depends on the calls alone, so who must refuse growth asks store_grow
 *     (core/room.c).
 *
 * Image format (version 6), little-endian:
 *   head:    8 bytes "tarnimg\n", u32 version, u32 tables, per table u32 record, page, high, free,
 *            live; u32 CRC-32C of all before
 *   page:    u32 table, u32 page, u32 bytes, u32 CRC-32C of those three and the bytes; the bytes
 *   trailer: u32 ~0, u32 pages, u32 CRC-32C of all pages' checksums, u32 CRC-32C of those three
 * Only the used part of a table's last page is written.
 *
 * Why not one allocation per object: a machine of 100 million files must be written and read back
 * at disk speed while records go on, and pages do that without knowing what lies in them. */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "core/err.h"
#include "core/mem.h"
#include "core/mutant.h"

enum {
    STORE_TABLES_MAX = 32,
    STORE_PAGE = 16 * 1024,      /* for tables that grow; copying one takes about a microsecond */
    STORE_PAGE_SMALL = 4 * 1024, /* for the others */
    STORE_VERSION = 7,           /* what is written */
    STORE_VERSION_OLD = 7,       /* the oldest that is read */
    STORE_UNIT_HEAD = 16,
    STORE_HEAD_MAX = 16 + 20 * STORE_TABLES_MAX + 4,
};

struct store_def {
    uint32_t record, page; /* bytes */
};

struct store_page {
    uint8_t *p, *copy; /* copy: as of the image's begin, while that is still to be handed out */
    uint64_t written;  /* epoch of the last image that has this page */
};

struct store_table {
    struct store_def def;
    uint32_t per_page, n_pages, cap_pages;
    struct store_page *pages;
    uint32_t high, free, live; /* next slot never used, first freed, records in use */
    uint32_t cut_high, cut_free, cut_live, cut_pages;
};

struct store_image { /* a writer's place */
    bool on;
    unsigned stage; /* enum in store_image.c */
    uint32_t table, page, n_units, sum;
    uint8_t head[STORE_HEAD_MAX];
    uint32_t head_len, head_at, body_len, body_at;
    const uint8_t *body;
};

struct store_loader {
    unsigned stage;
    uint32_t version; /* of the image; 0 before it is known */
    uint32_t table, page, n_units, sum;
    uint8_t head[STORE_HEAD_MAX];
    uint32_t have, want, crc;
    uint32_t body_len, body_at;
    uint32_t high[STORE_TABLES_MAX];
};

struct store {
    struct mem *mem;
    unsigned n;
    uint64_t epoch, bytes;
    struct store_table t[STORE_TABLES_MAX];
    struct store_image image;
    struct store_loader loader;
};

void store_init(struct store *s, struct mem *mem, const struct store_def *defs, unsigned n);
/* every page back to mem; the store is as after init */
void store_reset(struct store *s);

/* one zero page more; false when the budget is exhausted */
bool store_page_add(struct store *s, struct store_table *t) MUST_CHECK;
void store_cow(struct store *s, struct store_table *t, struct store_page *pg);
/* a slot whose record is zero if never used, else as it was freed but for its first u32 */
uint32_t store_new(struct store *s, unsigned table);
uint32_t store_new_zero(struct store *s, unsigned table);
/* bytes of pages that n records more would take; exact for n 1 */
uint64_t store_grow(const struct store *s, unsigned table, uint32_t n);
/* the record's first u32 becomes the free list's */
void store_free(struct store *s, unsigned table, uint32_t slot);
/* every free list: no slot twice, live + free == high - 1 */
bool store_check(const struct store *s, struct mem *scratch);

static inline const void *store_get(const struct store *s, unsigned table, uint32_t slot)
{
    const struct store_table *t = &s->t[table];
    ASSERT(slot > 0 && slot < t->high);
    return t->pages[slot / t->per_page].p + (size_t)(slot % t->per_page) * t->def.record;
}

static inline void *store_mut(struct store *s, unsigned table, uint32_t slot)
{
    struct store_table *t = &s->t[table];
    ASSERT(slot > 0 && slot < t->high);
    uint32_t page = slot / t->per_page;
    struct store_page *pg = &t->pages[page];
    if (s->image.on && page < t->cut_pages && pg->written != s->epoch && !pg->copy &&
        !(MUTANT(IMAGE_TWO_CUTS) && table == 2))
        store_cow(s, t, pg);
    return pg->p + (size_t)(slot % t->per_page) * t->def.record;
}

/* store_image.c */
void store_image_begin(struct store *s);
/* up to cap bytes; 0 at the end */
uint32_t store_image_next(struct store *s, void *buf, uint32_t cap);
void store_image_end(struct store *s);
/* Pieces in order, any sizes; n 0 is the end.  The first one empties the store.  E_CORRUPT,
 * E_VERSION, E_NOMEM; after an error the content is undefined: store_reset. */
int store_image_load(struct store *s, const void *piece, uint32_t n);
void store_image_load_begin(struct store *s);

/* store_blob.c: byte strings.  Up to 255 bytes lie in one record of the next larger class; longer
 * ones in a chain.  A reference is class << 28 | slot; the empty string is reference 0. */
enum { STORE_BLOB_CLASSES = 11, STORE_BLOB_SHORT = 255 };
/* the defs of the classes, to be the last of the store's tables; first is their first number */
void store_blob_defs(struct store_def *defs);
uint32_t store_blob_new(struct store *s, unsigned first, const void *p, size_t n);
/* bytes of pages that such a string would take */
uint64_t store_blob_grow(const struct store *s, unsigned first, size_t n);
void store_blob_free(struct store *s, unsigned first, uint32_t ref);
uint32_t store_blob_len(const struct store *s, unsigned first, uint32_t ref);
/* the bytes in place when there are at most 255 (else NULL) */
const char *store_blob_short(const struct store *s, unsigned first, uint32_t ref, uint32_t *ret_n);
/* copies at most cap bytes, returns the whole length */
uint32_t store_blob_copy(const struct store *s, unsigned first, uint32_t ref, void *to,
                         uint32_t cap);

/* store_index.c: a hash index by linear hashing (Litwin 1980): one bucket more per record inserted,
 * so there is never a pause to rehash.  Buckets are a table of u32; indexed records begin so: */
struct store_link {
    uint32_t next, hash;
};
void store_index_insert(struct store *s, unsigned buckets, unsigned records, uint32_t slot,
                        uint32_t hash);
void store_index_remove(struct store *s, unsigned buckets, unsigned records, uint32_t slot);
/* the first record of the chain that hash falls into, then the next one with just that hash */
uint32_t store_index_first(const struct store *s, unsigned buckets, unsigned records,
                           uint32_t hash);
uint32_t store_index_next(const struct store *s, unsigned records, uint32_t slot);
/* every record is in the chain its hash names; *ret_n counts them */
bool store_index_check(const struct store *s, unsigned buckets, unsigned records, uint32_t *ret_n);

#endif
