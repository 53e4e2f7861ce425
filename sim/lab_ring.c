/* sim/lab_ring.c - see sim/lab_ring.h. */
#include "sim/lab_ring.h"

enum { RING_LEAST = 64 };

static void *ring_room(struct lab_ring *r, uint64_t cap)
{
    void *p = mem_zalloc(r->mem, cap * r->each);
    ASSERT(p != NULL);
    return p;
}

void lab_ring_open(struct lab_ring *r, struct mem *m, size_t each, uint64_t want, uint64_t cap_max)
{
    *r = (struct lab_ring){.mem = m, .each = each, .cap = RING_LEAST, .cap_max = cap_max};
    while (r->cap < want && (!cap_max || r->cap < cap_max))
        r->cap *= 2;
    r->at = ring_room(r, r->cap);
}

static void ring_grow(struct lab_ring *r)
{
    char *old = r->at;
    uint64_t cap = r->cap;
    r->cap *= 2;
    r->at = ring_room(r, r->cap);
    for (uint64_t i = r->first; i < r->end; i++)
        memcpy(r->at + (i & (r->cap - 1)) * r->each, old + (i & (cap - 1)) * r->each, r->each);
    mem_free(r->mem, old, cap * r->each);
}

void *lab_ring_push(struct lab_ring *r, uint64_t number)
{
    for (; r->end <= number; r->end++) {
        if (r->end - r->first == r->cap && r->cap_max && r->cap >= r->cap_max)
            r->first++;
        else if (r->end - r->first == r->cap)
            ring_grow(r);
        memset(r->at + (r->end & (r->cap - 1)) * r->each, 0, r->each);
    }
    return lab_ring_at(r, number);
}

void lab_ring_forget(struct lab_ring *r, uint64_t number)
{
    number = base_min_u64(number, r->end);
    r->first = base_max_u64(r->first, number);
}
