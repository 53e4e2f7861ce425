/* core/evict_fifo.c - first in, first out: the baseline, and the cheapest hit there is. */
#include "core/evict.h"

static void evict_fifo_hit(struct evict *e, uint32_t slot)
{
    (void)e;
    (void)slot;
}

static void evict_fifo_insert(struct evict *e, uint32_t slot, enum evict_class class)
{
    (void)class;
    evict_queue_push(e, 0, slot);
}

static uint32_t evict_fifo_victim(struct evict *e)
{
    return evict_queue_oldest(e, 0);
}

static void evict_fifo_remove(struct evict *e, uint32_t slot, enum evict_why why)
{
    (void)why;
    evict_queue_remove(e, slot);
}

const struct evict_ops evict_fifo_ops = {
    .name = "fifo",
    .hit = evict_fifo_hit,
    .insert = evict_fifo_insert,
    .victim = evict_fifo_victim,
    .remove = evict_fifo_remove,
};
