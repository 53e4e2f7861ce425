/* core/heap.c - 4-ary: half the depth of a binary heap, children in one cache line. */
#include "core/heap.h"

static bool heap_before(const struct env_timer *a, const struct env_timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void heap_put(struct heap *h, uint32_t i, struct env_timer *t)
{
    h->at[i] = t;
    t->heap_pos = i + 1;
}

static void heap_up(struct heap *h, uint32_t i)
{
    struct env_timer *t = h->at[i];
    while (i > 0 && heap_before(t, h->at[(i - 1) / 4])) {
        heap_put(h, i, h->at[(i - 1) / 4]);
        i = (i - 1) / 4;
    }
    heap_put(h, i, t);
}

static void heap_down(struct heap *h, uint32_t i)
{
    struct env_timer *t = h->at[i];
    for (;;) {
        uint32_t first = 4 * i + 1, best = i;
        struct env_timer *best_t = t;
        for (uint32_t c = first; c < first + 4 && c < h->n; c++)
            if (heap_before(h->at[c], best_t)) {
                best = c;
                best_t = h->at[c];
            }
        if (best == i)
            break;
        heap_put(h, i, best_t);
        i = best;
    }
    heap_put(h, i, t);
}

void heap_init(struct heap *h, struct mem *m)
{
    memset(h, 0, sizeof *h);
    h->mem = m;
}

void heap_set(struct heap *h, struct env_timer *t, int64_t at_ns)
{
    heap_remove(h, t);
    if (h->n == h->cap) {
        uint32_t cap = h->cap ? h->cap * 2 : 64;
        struct env_timer **at = mem_alloc(h->mem, cap * sizeof(*at));
        ASSERT(at);
        if (h->n)
            memcpy(at, h->at, h->n * sizeof(*at));
        mem_free(h->mem, h->at, h->cap * sizeof(*at));
        h->at = at;
        h->cap = cap;
    }
    t->at_ns = at_ns;
    t->seq = ++h->seq;
    heap_put(h, h->n++, t);
    heap_up(h, h->n - 1);
}

void heap_remove(struct heap *h, struct env_timer *t)
{
    if (!t->heap_pos)
        return;
    uint32_t i = t->heap_pos - 1;
    ASSERT(i < h->n && h->at[i] == t);
    t->heap_pos = 0;
    struct env_timer *last = h->at[--h->n];
    if (last == t)
        return;
    heap_put(h, i, last);
    heap_up(h, i);
    heap_down(h, last->heap_pos - 1);
}

struct env_timer *heap_peek(const struct heap *h)
{
    return h->n ? h->at[0] : NULL;
}

bool heap_check(const struct heap *h)
{
    for (uint32_t i = 0; i < h->n; i++) {
        if (h->at[i]->heap_pos != i + 1)
            return false;
        if (i && heap_before(h->at[i], h->at[(i - 1) / 4]))
            return false;
    }
    return true;
}
