/* core/pool.c - a free list through the objects themselves. */
#include "core/mem.h"

int pool_init(struct pool *p, struct mem *m, size_t object_size, uint32_t count)
{
    memset(p, 0, sizeof *p);
    p->object_size = (uint32_t)base_align_up(object_size, 16);
    p->count = p->free_count = count;
    p->base = mem_alloc(m, (size_t)p->object_size * count);
    return p->base ? 0 : E_NOMEM;
}

void *pool_get(struct pool *p)
{
    return pool_get_part(p, p->object_size);
}

void *pool_get_part(struct pool *p, size_t zeroed)
{
    void *o = p->free_head;
    if (o)
        memcpy(&p->free_head, o, sizeof(void *));
    else if (p->fresh < p->count)
        o = p->base + (size_t)p->fresh++ * p->object_size;
    else
        return NULL;
    p->free_count--;
    memset(o, 0, zeroed);
    return o;
}

void pool_put(struct pool *p, void *object)
{
    size_t at = (size_t)((char *)object - p->base);
    ASSERT(at % p->object_size == 0 && at / p->object_size < p->fresh);
    memcpy(object, &p->free_head, sizeof(void *));
    p->free_head = object;
    p->free_count++;
    ASSERT(p->free_count <= p->count);
}
