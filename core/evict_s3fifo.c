/* core/evict_s3fifo.c - S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
 * SOSP 2023): three static FIFO queues.
 *
 * New pages enter a small queue (a tenth of the bytes).  One that was hit at least twice before it
 * reaches the end moves to the main queue; the others leave, and their keys are remembered as
 * ghosts for nine tenths of the bytes.  A page that returns while its ghost lives goes to main at
 * once. Main is a clock with a two-bit counter.
 *
 *  1. A hit writes one byte, and only while the counter is below 3.
 *  2. Until something was evicted for the first time, pages that find the small queue full go to
 *     main: a cache that is still filling keeps its order of arrival.
 *  3. A pinned page is passed by: in small it stays where it is, in main it goes round.
 *
 * A page of no less than the small share goes to main; such caches hold a handful of pages. */
#include "core/evict.h"

enum { EVICT_S3_SMALL = 0, EVICT_S3_MAIN = 1, EVICT_S3_PROMOTE = 2, EVICT_S3_FREQ_MAX = 3 };

static void evict_s3fifo_hit(struct evict *e, uint32_t slot)
{
    if (e->node[slot].freq < EVICT_S3_FREQ_MAX)
        e->node[slot].freq++;
}

static enum evict_class evict_s3fifo_admit(struct evict *e, uint32_t mark)
{
    return evict_ghost_take(e, mark) ? EVICT_CLASS_RETURNED : EVICT_CLASS_NEW;
}

static void evict_s3fifo_insert(struct evict *e, uint32_t slot, enum evict_class class)
{
    bool to_main = class == EVICT_CLASS_RETURNED || e->node[slot].size >= e->small_max ||
                   (!e->began && e->q[EVICT_S3_SMALL].bytes >= e->small_max);
    evict_queue_push(e, to_main ? EVICT_S3_MAIN : EVICT_S3_SMALL, slot);
}

static void evict_s3fifo_to_main(struct evict *e, uint32_t slot, uint8_t freq)
{
    evict_queue_remove(e, slot);
    e->node[slot].freq = freq;
    evict_queue_push(e, EVICT_S3_MAIN, slot);
}

static uint32_t evict_s3fifo_from_small(struct evict *e)
{
    for (;;) {
        uint32_t slot = evict_queue_oldest(e, EVICT_S3_SMALL);
        if (slot == EVICT_NONE || e->node[slot].freq < EVICT_S3_PROMOTE)
            return slot;
        evict_s3fifo_to_main(e, slot, 0);
    }
}

static uint32_t evict_s3fifo_from_main(struct evict *e)
{
    /* every turn of the clock takes one from each counter */
    uint64_t steps = (uint64_t)e->q[EVICT_S3_MAIN].count * (EVICT_S3_FREQ_MAX + 1);
    unsigned pinned = 0;
    for (; steps && pinned < EVICT_SKIP_MAX; steps--) {
        uint32_t slot = e->q[EVICT_S3_MAIN].head;
        uint8_t freq = e->node[slot].freq;
        if (!freq && !e->node[slot].pins)
            return slot;
        if (e->node[slot].pins)
            pinned++;
        evict_s3fifo_to_main(e, slot, freq ? (uint8_t)(freq - 1) : 0);
    }
    return EVICT_NONE;
}

static uint32_t evict_s3fifo_victim(struct evict *e)
{
    bool main_first = e->q[EVICT_S3_MAIN].bytes > e->capacity - e->small_max;
    if (!main_first) {
        uint32_t slot = evict_s3fifo_from_small(e);
        if (slot != EVICT_NONE)
            return slot;
    }
    uint32_t slot = evict_s3fifo_from_main(e);
    return slot == EVICT_NONE && main_first ? evict_s3fifo_from_small(e) : slot;
}

static void evict_s3fifo_remove(struct evict *e, uint32_t slot, enum evict_why why)
{
    struct evict_node *n = &e->node[slot];
    bool was_small = n->queue == EVICT_S3_SMALL + 1;
    evict_queue_remove(e, slot);
    if (was_small && why == EVICT_EVICTED)
        evict_ghost_add(e, n->mark, n->size);
}

const struct evict_ops evict_s3fifo_ops = {
    .name = "s3fifo",
    .uses_ghosts = true,
    .hit = evict_s3fifo_hit,
    .admit = evict_s3fifo_admit,
    .insert = evict_s3fifo_insert,
    .victim = evict_s3fifo_victim,
    .remove = evict_s3fifo_remove,
};
