/* core/pool.h - a fixed number of equal objects.  Part of core/mem.h, which includes it. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include "core/base.h"

struct mem;

/* All are allocated at pool_init, and not touched before they are first given out, so that what is
 * never used costs no memory; running out is a state to wait in. */
struct pool {
    void *free_head; /* given back; else the next that never was out is number `fresh` */
    char *base;
    uint32_t object_size, count, free_count, fresh;
};

int pool_init(struct pool *p, struct mem *m, size_t object_size, uint32_t count) MUST_CHECK;
/* a zeroed object, or NULL when all are out */
void *pool_get(struct pool *p) MUST_CHECK;
/* the same, but only its first bytes are zeroed: for long objects that are mostly buffers */
void *pool_get_part(struct pool *p, size_t zeroed) MUST_CHECK;
void pool_put(struct pool *p, void *object);

#endif
