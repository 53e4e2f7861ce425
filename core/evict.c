/* core/evict.c - what all policies share: queues over slots, ghosts, pins and the checks.
 *
 * Queues and ghosts are linked by number, so growing copies an array and no pointer breaks. */
#include "core/evict.h"
#include "core/fmt.h"

const struct evict_ops *evict_find(const char *name)
{
    static const struct evict_ops *const all[] = {&evict_s3fifo_ops, &evict_lru_ops,
                                                  &evict_fifo_ops};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (!strcmp(all[i]->name, name))
            return all[i];
    return NULL;
}

/* ---- queues ---- */

void evict_queue_push(struct evict *e, unsigned queue, uint32_t slot)
{
    struct evict_queue *q = &e->q[queue];
    struct evict_node *n = &e->node[slot];
    ASSERT(n->queue == 0);
    n->queue = (uint8_t)(queue + 1);
    n->prev = q->tail;
    n->next = EVICT_NONE;
    if (q->tail == EVICT_NONE)
        q->head = slot;
    else
        e->node[q->tail].next = slot;
    q->tail = slot;
    q->count++;
    q->bytes += n->size;
}

void evict_queue_remove(struct evict *e, uint32_t slot)
{
    struct evict_node *n = &e->node[slot];
    ASSERT(n->queue);
    struct evict_queue *q = &e->q[n->queue - 1];
    if (n->prev == EVICT_NONE)
        q->head = n->next;
    else
        e->node[n->prev].next = n->next;
    if (n->next == EVICT_NONE)
        q->tail = n->prev;
    else
        e->node[n->next].prev = n->prev;
    n->queue = 0;
    q->count--;
    q->bytes -= n->size;
}

uint32_t evict_queue_oldest(const struct evict *e, unsigned queue)
{
    uint32_t slot = e->q[queue].head;
    for (unsigned skipped = 0; slot != EVICT_NONE && e->node[slot].pins; skipped++) {
        if (skipped == EVICT_SKIP_MAX)
            return EVICT_NONE;
        slot = e->node[slot].next;
    }
    return slot;
}

/* ---- ghosts ---- */

static uint32_t *evict_ghost_bucket(struct evict_ghosts *g, uint32_t mark)
{
    return &g->bucket[mark & (g->buckets - 1)];
}

static void evict_ghost_drop(struct evict_ghosts *g, uint32_t i)
{
    struct evict_ghost *x = &g->at[i];
    uint32_t *at = evict_ghost_bucket(g, x->mark);
    while (*at != i)
        at = &g->at[*at].chain;
    *at = x->chain;
    if (x->prev == EVICT_NONE)
        g->head = x->next;
    else
        g->at[x->prev].next = x->next;
    if (x->next == EVICT_NONE)
        g->tail = x->prev;
    else
        g->at[x->next].prev = x->prev;
    g->count--;
    g->bytes -= x->size;
    x->next = g->free_head;
    g->free_head = i;
}

void evict_ghost_add(struct evict *e, uint32_t mark, uint32_t size)
{
    struct evict_ghosts *g = &e->ghosts;
    if (size > g->bytes_max)
        return;
    while (g->count && (g->bytes + size > g->bytes_max || g->free_head == EVICT_NONE))
        evict_ghost_drop(g, g->head);
    uint32_t i = g->free_head;
    struct evict_ghost *x = &g->at[i];
    g->free_head = x->next;
    uint32_t *bucket = evict_ghost_bucket(g, mark);
    *x = (struct evict_ghost){g->tail, EVICT_NONE, *bucket, mark, size};
    *bucket = i;
    if (g->tail == EVICT_NONE)
        g->head = i;
    else
        g->at[g->tail].next = i;
    g->tail = i;
    g->count++;
    g->bytes += size;
}

bool evict_ghost_take(struct evict *e, uint32_t mark)
{
    struct evict_ghosts *g = &e->ghosts;
    for (uint32_t i = *evict_ghost_bucket(g, mark); i != EVICT_NONE; i = g->at[i].chain)
        if (g->at[i].mark == mark) {
            evict_ghost_drop(g, i);
            return true;
        }
    return false;
}

/* ---- memory ---- */

static void evict_ghosts_free(struct mem *m, struct evict_ghosts *g)
{
    mem_free(m, g->at, (size_t)g->cap * sizeof *g->at);
    mem_free(m, g->bucket, (size_t)g->buckets * sizeof *g->bucket);
}

static int evict_ghosts_make(struct mem *m, uint32_t cap, uint64_t bytes_max,
                             struct evict_ghosts *ret_g)
{
    struct evict_ghosts g = {.cap = cap, .buckets = 16, .bytes_max = bytes_max};
    while (g.buckets < cap)
        g.buckets *= 2;
    g.at = mem_alloc(m, (size_t)cap * sizeof *g.at);
    g.bucket = mem_alloc(m, (size_t)g.buckets * sizeof *g.bucket);
    if (!g.at || !g.bucket) {
        evict_ghosts_free(m, &g);
        return E_NOMEM;
    }
    memset(g.bucket, 0xff, (size_t)g.buckets * sizeof *g.bucket);
    for (uint32_t i = 0; i < cap; i++)
        g.at[i].next = i + 1 < cap ? i + 1 : EVICT_NONE;
    g.head = g.tail = EVICT_NONE;
    *ret_g = g;
    return 0;
}

int evict_init(struct evict *e, struct mem *m, const struct evict_ops *ops,
               const struct evict_config *cfg)
{
    memset(e, 0, sizeof *e);
    e->ops = ops;
    e->mem = m;
    e->capacity = cfg->capacity_bytes;
    e->small_max = cfg->small_bytes ? cfg->small_bytes : cfg->capacity_bytes / 10;
    for (unsigned i = 0; i < EVICT_QUEUES; i++)
        e->q[i].head = e->q[i].tail = EVICT_NONE;
    e->ghosts.bytes_max = (uint64_t)((__uint128_t)cfg->capacity_bytes * 9 / 10);
    return evict_grow(e, cfg->slots);
}

void evict_free(struct evict *e)
{
    mem_free(e->mem, e->node, (size_t)e->slots * sizeof *e->node);
    evict_ghosts_free(e->mem, &e->ghosts);
    memset(e, 0, sizeof *e);
}

int evict_grow(struct evict *e, uint32_t slots)
{
    ASSERT(slots > e->slots && slots < EVICT_NONE);
    struct evict_ghosts g = {0};
    struct evict_node *node = mem_alloc(e->mem, (size_t)slots * sizeof *node);
    if (!node)
        return E_NOMEM;
    if (e->ops->uses_ghosts) {
        if (evict_ghosts_make(e->mem, slots, e->ghosts.bytes_max, &g)) {
            mem_free(e->mem, node, (size_t)slots * sizeof *node);
            return E_NOMEM;
        }
        struct evict_ghosts old = e->ghosts;
        e->ghosts = g;
        if (old.at)
            for (uint32_t i = old.head; i != EVICT_NONE; i = old.at[i].next)
                evict_ghost_add(e, old.at[i].mark, old.at[i].size);
        evict_ghosts_free(e->mem, &old);
    }
    if (e->slots)
        memcpy(node, e->node, (size_t)e->slots * sizeof *node);
    memset(node + e->slots, 0, (size_t)(slots - e->slots) * sizeof *node);
    mem_free(e->mem, e->node, (size_t)e->slots * sizeof *node);
    e->node = node;
    e->slots = slots;
    return 0;
}

/* ---- the calls ---- */

static uint32_t evict_mark(uint64_t key)
{
    return (uint32_t)(base_mix_u64(key) >> 32);
}

enum evict_class evict_admit(struct evict *e, uint64_t key, uint32_t size)
{
    if (size > e->capacity)
        return EVICT_CLASS_REJECT;
    return e->ops->admit ? e->ops->admit(e, evict_mark(key)) : EVICT_CLASS_NEW;
}

void evict_insert(struct evict *e, uint32_t slot, uint64_t key, uint32_t size,
                  enum evict_class class)
{
    ASSERT(slot < e->slots && !e->node[slot].queue && !e->node[slot].pins);
    e->node[slot] = (struct evict_node){.size = size, .mark = evict_mark(key)};
    e->ops->insert(e, slot, class);
    e->used += size;
    e->count++;
}

void evict_hit(struct evict *e, uint32_t slot)
{
    ASSERT(slot < e->slots && e->node[slot].queue);
    e->ops->hit(e, slot);
}

uint32_t evict_victim(struct evict *e)
{
    e->began = true;
    uint32_t slot = e->count ? e->ops->victim(e) : EVICT_NONE;
    ASSERT(slot == EVICT_NONE || (e->node[slot].queue && !e->node[slot].pins));
    return slot;
}

void evict_remove(struct evict *e, uint32_t slot, enum evict_why why)
{
    ASSERT(slot < e->slots && e->node[slot].queue);
    e->ops->remove(e, slot, why);
    ASSERT(!e->node[slot].queue);
    e->used -= e->node[slot].size;
    e->count--;
}

void evict_pin(struct evict *e, uint32_t slot)
{
    ASSERT(e->node[slot].queue && e->node[slot].pins < UINT16_MAX);
    e->node[slot].pins++;
}

/* a slot that was removed while pinned is unpinned as well */
void evict_unpin(struct evict *e, uint32_t slot)
{
    ASSERT(e->node[slot].pins);
    e->node[slot].pins--;
}

/* ---- checks ---- */

static bool evict_check_ghosts(const struct evict_ghosts *g)
{
    if (!g->at)
        return true;
    uint64_t bytes = 0;
    uint32_t count = 0, before = EVICT_NONE;
    for (uint32_t i = g->head; i != EVICT_NONE; before = i, i = g->at[i].next) {
        if (++count > g->cap || g->at[i].prev != before)
            return false;
        bytes += g->at[i].size;
    }
    return before == g->tail && count == g->count && bytes == g->bytes && bytes <= g->bytes_max;
}

bool evict_check(const struct evict *e, char *err_text, size_t cap)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    for (unsigned k = 0; k < EVICT_QUEUES; k++) {
        const struct evict_queue *q = &e->q[k];
        uint64_t q_bytes = 0;
        uint32_t n = 0, before = EVICT_NONE;
        for (uint32_t i = q->head; i != EVICT_NONE; before = i, i = e->node[i].next) {
            if (i >= e->slots || e->node[i].prev != before || e->node[i].queue != k + 1 ||
                ++n > e->slots || e->node[i].freq > 3) {
                fmt_into(err_text, cap, "evict: queue %u broken at slot %u", k, i);
                return false;
            }
            q_bytes += e->node[i].size;
        }
        if (before != q->tail || n != q->count || q_bytes != q->bytes) {
            fmt_into(err_text, cap, "evict: sums of queue %u", k);
            return false;
        }
        bytes += q_bytes;
        count += n;
    }
    if (bytes != e->used || count != e->count || !evict_check_ghosts(&e->ghosts)) {
        fmt_into(err_text, cap, "evict: sums or ghosts");
        return false;
    }
    return true;
}
