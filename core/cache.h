/* core/cache.h - what a worker's cache holds: (file, version, page) -> slot; no I/O, no clock.
 *
 * A slot is one resident page.  A file, here, is one version of one inode; it exists while it has a
 * page, and a little longer until everybody was told that it has none.  A fill is a page on its way
 * in, by which later readers find the first.
 *
 * Reports: files stand in the order of their last change; each receiver has a cursor in that order.
 * A full report is a cursor that starts from the front, so a change during it is reported again
 * behind it, and nothing needs to stop.
 *
 * INVARIANTS (cache_check)
 *  1. A key has at most one slot and at most one fill.
 *  2. used + reserved + lent <= capacity, unless the capacity shrank under a running cache.
 *  3. A removed slot that is pinned is found by nobody and becomes free with its last unpin.
 *  4. file->pages and file->bytes are the sums over its slots. */
#ifndef CORE_CACHE_H
#define CORE_CACHE_H

#include "core/evict.h"

#define CACHE_NONE UINT32_MAX
enum { CACHE_FILL_BUCKETS = 64 };

struct cache_key {
    struct ino ino;
    uint64_t version;
    uint32_t page;
};

struct cache_mark { /* a place in the order of changes */
    struct list link;
    bool is_cursor;
};

struct cache_file {
    struct ino ino;
    uint64_t version, size; /* size: of the whole file */
    uint64_t bytes;
    uint32_t pages, first; /* resident, and the head of their list */
    bool is_held;          /* somebody reads it past us: its pages stay for now */
    bool goes_whole; /* somebody may read it past us: its pages leave together, or not at all */
    uint64_t changed_at;
    struct cache_mark mark;
    struct list gone; /* linked while pages is 0 */
    struct cache_file *chain;
};

struct cache_slot {
    struct cache_file *file; /* NULL: free, or removed but pinned */
    void *tag;               /* the owner's; given back by on_free */
    uint32_t page, size;
    uint32_t chain, prev, next;
    uint32_t pins;
};

struct cache_fill {
    struct cache_key key;
    struct list link;
};

struct cache_cursor {
    struct cache_mark mark;
    uint64_t sent, acked, base;
    struct list link;
};

/* what a cursor reports */
struct cache_item {
    struct ino ino;
    uint64_t version, bytes;
    uint32_t pages;
};

struct cache_config {
    uint64_t capacity_bytes;
    uint32_t slots_max;
    uint32_t gone_max; /* files without pages that are remembered for reports */
    const struct evict_ops *policy;
    uint64_t small_bytes; /* see evict_config */
    void (*on_free)(void *ctx, void *tag, uint32_t size);
    void *ctx;
};

struct cache {
    struct cache_config cfg;
    struct mem *mem;
    struct evict evict;
    struct cache_slot *slot;
    uint32_t *page_bucket;
    struct cache_file **file_bucket;
    uint32_t slots, buckets, free_head, used_slots, pinned;
    uint64_t reserved, lent; /* lent: taken by what left the index, until it is given back */
    uint32_t reserved_slots;
    struct list order, gone, cursors;
    uint32_t n_files, n_gone;
    uint64_t change_seq, lost_seq;
    struct list fill[CACHE_FILL_BUCKETS];
    uint32_t n_fills;
};

int cache_init(struct cache *c, struct mem *m, const struct cache_config *cfg) MUST_CHECK;
void cache_free(struct cache *c);

/* the resident page's slot or CACHE_NONE */
uint32_t cache_find(const struct cache *c, struct cache_key key);
struct cache_file *cache_find_file(const struct cache *c, struct ino ino, uint64_t version);
/* some file of ino with a page and a version < below (UINT64_MAX: any), or NULL */
struct cache_file *cache_find_below(const struct cache *c, struct ino ino, uint64_t below);
void cache_hit(struct cache *c, uint32_t slot);
void cache_pin(struct cache *c, uint32_t slot);
void cache_unpin(struct cache *c, uint32_t slot);

/* Making room: admit once, then remove victims until reserve succeeds, then insert or unreserve. */
enum evict_class cache_admit(struct cache *c, struct cache_key key, uint32_t size);
bool cache_reserve(struct cache *c, uint32_t size);
void cache_unreserve(struct cache *c, uint32_t size);
/* CACHE_NONE: there is none that may go now; files that are held are passed over */
uint32_t cache_victim(struct cache *c);
/* are all pages of the file here? */
static inline bool cache_is_whole(const struct cache_file *f)
{
    return f && f->pages && f->bytes == f->size;
}
/* E_NOMEM, and then the reservation stays */
int cache_insert(struct cache *c, struct cache_key key, uint64_t file_size, uint32_t size,
                 enum evict_class class, void *tag, uint32_t *ret_slot) MUST_CHECK;
void cache_remove(struct cache *c, uint32_t slot, enum evict_why why);

struct cache_fill *cache_fill_find(const struct cache *c, struct cache_key key);
void cache_fill_add(struct cache *c, struct cache_fill *f);
void cache_fill_remove(struct cache *c, struct cache_fill *f);

void cache_cursor_open(struct cache *c, struct cache_cursor *k);
void cache_cursor_close(struct cache *c, struct cache_cursor *k);
/* from the front: a full report */
void cache_cursor_reset(struct cache *c, struct cache_cursor *k);
/* false when there is nothing more to tell */
bool cache_cursor_next(struct cache *c, struct cache_cursor *k, struct cache_item *ret_item);
/* the last item that next gave did not fit: next gives it again */
void cache_cursor_back(struct cache *c, struct cache_cursor *k, uint64_t sent);
void cache_cursor_ack(struct cache *c, struct cache_cursor *k);      /* all that was sent arrived */
void cache_cursor_rollback(struct cache *c, struct cache_cursor *k); /* ... did not */
/* something that this receiver should have heard was forgotten: begin again with a reset */
bool cache_cursor_lost(const struct cache *c, const struct cache_cursor *k);

bool cache_check(const struct cache *c, char *err_text, size_t cap);

#endif
