/* core/evict.h - which page goes when there is no room: a table of policies over numbered slots.
 *
 * A policy is a pure data structure: no clock, no chance, no lock, no I/O; memory is taken only at
 * init and grow.  The index, the bytes and the disk belong to the caller, who asks like this:
 *
 *     class = evict_admit(e, key, size);              on a miss, before room is made
 *     while (used + size > capacity)
 *         evict_remove(e, evict_victim(e), EVICT_EVICTED);
 *     evict_insert(e, slot, key, size, class);
 *
 * INVARIANTS (evict_check)
 *  1. Every inserted slot is on exactly one queue; used and count are the sums over the queues.
 *  2. evict_victim never returns a pinned slot and looks past EVICT_SKIP_MAX of them at most.
 *  3. Ghosts hold no more bytes than their share and no more entries than there are slots. */
#ifndef CORE_EVICT_H
#define CORE_EVICT_H

#include "core/mem.h"

#define EVICT_NONE UINT32_MAX /* no slot */
enum { EVICT_SKIP_MAX = 1024, EVICT_QUEUES = 2 };

enum evict_why { EVICT_EVICTED, EVICT_DELETED };

/* What admit learned from the key; goes to insert. */
enum evict_class { EVICT_CLASS_REJECT, EVICT_CLASS_NEW, EVICT_CLASS_RETURNED };

struct evict_node {
    uint32_t prev, next;
    uint32_t size;
    uint32_t mark; /* of the key, for the ghosts */
    uint16_t pins;
    uint8_t queue; /* 0: none, else number + 1 */
    uint8_t freq;
};

struct evict_queue { /* head is the oldest */
    uint32_t head, tail, count;
    uint64_t bytes;
};

struct evict_ghost {
    uint32_t prev, next, chain;
    uint32_t mark, size;
};

/* Keys that left lately, oldest first, found by a 32-bit mark. */
struct evict_ghosts {
    struct evict_ghost *at;
    uint32_t *bucket;
    uint32_t cap, buckets, head, tail, count, free_head;
    uint64_t bytes, bytes_max;
};

struct evict;

struct evict_ops {
    const char *name;
    bool uses_ghosts;
    void (*hit)(struct evict *e, uint32_t slot);
    enum evict_class (*admit)(struct evict *e, uint32_t mark); /* NULL: always NEW */
    void (*insert)(struct evict *e, uint32_t slot, enum evict_class class);
    uint32_t (*victim)(struct evict *e);
    void (*remove)(struct evict *e, uint32_t slot, enum evict_why why);
};

struct evict_config {
    uint64_t capacity_bytes;
    uint64_t small_bytes; /* s3fifo: of new pages; 0: a tenth */
    uint32_t slots;       /* to begin with */
};

struct evict {
    const struct evict_ops *ops;
    struct mem *mem;
    uint64_t capacity, small_max, used;
    uint32_t slots, count;
    struct evict_node *node;
    struct evict_queue q[EVICT_QUEUES];
    struct evict_ghosts ghosts;
    bool began; /* something was evicted once */
};

/* "s3fifo", "lru", "fifo"; NULL for any other */
const struct evict_ops *evict_find(const char *name);
/* E_NOMEM */
int evict_init(struct evict *e, struct mem *m, const struct evict_ops *ops,
               const struct evict_config *cfg) MUST_CHECK;
void evict_free(struct evict *e);
/* more slots; E_NOMEM leaves everything as it was */
int evict_grow(struct evict *e, uint32_t slots) MUST_CHECK;

enum evict_class evict_admit(struct evict *e, uint64_t key, uint32_t size);
void evict_insert(struct evict *e, uint32_t slot, uint64_t key, uint32_t size,
                  enum evict_class class);
void evict_hit(struct evict *e, uint32_t slot);
/* a slot that may go, still inserted; EVICT_NONE when all are pinned or there is none */
uint32_t evict_victim(struct evict *e);
void evict_remove(struct evict *e, uint32_t slot, enum evict_why why);
void evict_pin(struct evict *e, uint32_t slot);
void evict_unpin(struct evict *e, uint32_t slot);
bool evict_check(const struct evict *e, char *err_text, size_t cap);

/* For policies. */
void evict_queue_push(struct evict *e, unsigned queue, uint32_t slot);
void evict_queue_remove(struct evict *e, uint32_t slot);
/* the oldest unpinned slot of a queue, or EVICT_NONE */
uint32_t evict_queue_oldest(const struct evict *e, unsigned queue);
void evict_ghost_add(struct evict *e, uint32_t mark, uint32_t size);
bool evict_ghost_take(struct evict *e, uint32_t mark); /* true if it was there */

extern const struct evict_ops evict_fifo_ops, evict_lru_ops, evict_s3fifo_ops;

#endif
