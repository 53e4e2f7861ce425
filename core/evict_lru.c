/* core/evict_lru.c - least recently used: a hit moves the slot to the young end. */
#include "core/evict.h"

static void evict_lru_hit(struct evict *e, uint32_t slot)
{
    if (e->q[0].tail == slot)
        return;
    evict_queue_remove(e, slot);
    evict_queue_push(e, 0, slot);
}

static void evict_lru_insert(struct evict *e, uint32_t slot, enum evict_class class)
{
    (void)class;
    evict_queue_push(e, 0, slot);
}

static uint32_t evict_lru_victim(struct evict *e)
{
    return evict_queue_oldest(e, 0);
}

static void evict_lru_remove(struct evict *e, uint32_t slot, enum evict_why why)
{
    (void)why;
    evict_queue_remove(e, slot);
}

const struct evict_ops evict_lru_ops = {
    .name = "lru",
    .hit = evict_lru_hit,
    .insert = evict_lru_insert,
    .victim = evict_lru_victim,
    .remove = evict_lru_remove,
};
