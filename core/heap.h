/* core/heap.h - the timers of one env, earliest first; equal times in the order they were set.
 *
 * A 4-ary heap of pointers to timers; each timer knows its place, so stop and re-set are O(log n).
 * Both env backends use it. */
#ifndef CORE_HEAP_H
#define CORE_HEAP_H

#include "core/env.h"
#include "core/mem.h"

struct heap {
    struct mem *mem;
    struct env_timer **at;
    uint32_t n, cap;
    uint64_t seq;
};

void heap_init(struct heap *h, struct mem *m);
/* sets or moves t; memory exhaustion is a bug of the composition root and panics */
void heap_set(struct heap *h, struct env_timer *t, int64_t at_ns);
void heap_remove(struct heap *h, struct env_timer *t); /* no-op when not set */
/* the earliest, or NULL */
struct env_timer *heap_peek(const struct heap *h);
/* every invariant; returns false at the first that is broken */
bool heap_check(const struct heap *h);

#endif
