/* core/mem.c - size classes: 16-byte steps to 128, then four per doubling up to 16 KiB; free blocks
 * of a class are a singly linked list through their first word.  Larger blocks carry a hidden
 * 64-byte head (list link) in front, so that mem_drop finds them and alignment stays 64. */
#include "core/mem.h"

enum { MEM_HEAD = 64, MEM_SMALL_MAX = 16 * 1024 };

struct mem_head {
    struct list link;
    size_t n;
};
static_assert(sizeof(struct mem_head) <= MEM_HEAD, "the head must fit before an aligned block");

static unsigned mem_class(size_t n, size_t *ret_size)
{
    if (n <= 128) {
        unsigned c = n ? (unsigned)((n - 1) / 16) : 0;
        *ret_size = (c + 1) * 16;
        return c;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(n - 1); /* 2^shift <= n-1 */
    size_t step = (size_t)1 << (shift - 2);
    size_t quarter = (n - 1 - ((size_t)1 << shift)) / step;
    *ret_size = ((size_t)1 << shift) + (quarter + 1) * step;
    unsigned c = 8 + (shift - 7) * 4 + (unsigned)quarter;
    ASSERT(c < MEM_CLASSES);
    return c;
}

static void *mem_take(struct mem *m, struct list *on, size_t n)
{
    if (n > SIZE_MAX - MEM_HEAD || m->used + m->promised + n + MEM_HEAD > m->budget)
        return NULL;
    struct mem_head *h = m->source.get(m->source.ctx, n + MEM_HEAD);
    if (!h)
        return NULL;
    h->n = n + MEM_HEAD;
    list_push_back(on, &h->link);
    m->used += h->n;
    m->used_max = base_max_u64(m->used_max, m->used);
    return (char *)h + MEM_HEAD;
}

void mem_init(struct mem *m, struct mem_source source, uint64_t budget_bytes)
{
    memset(m, 0, sizeof *m);
    m->source = source;
    m->budget = budget_bytes;
    list_init(&m->chunks);
    list_init(&m->large);
}

/* a part takes blocks of more than 16 KiB only, and each costs the whole one head more */
static uint64_t mem_part_cost(uint64_t budget_bytes)
{
    return budget_bytes + budget_bytes / (MEM_SMALL_MAX / MEM_HEAD);
}

static void *mem_part_get(void *ctx, size_t n)
{
    struct mem *part = ctx;
    ASSERT(n > MEM_SMALL_MAX && part->whole->promised >= n + MEM_HEAD);
    part->whole->promised -= n + MEM_HEAD;
    void *p = mem_alloc(part->whole, n);
    if (!p)
        part->whole->promised += n + MEM_HEAD;
    return p;
}

static void mem_part_put(void *ctx, void *p, size_t n)
{
    struct mem *part = ctx;
    mem_free(part->whole, p, n);
    part->whole->promised += n + MEM_HEAD;
}

bool mem_part(struct mem *part, struct mem *m, uint64_t budget_bytes)
{
    uint64_t cost = mem_part_cost(budget_bytes);
    if (cost < budget_bytes || m->used + m->promised > m->budget ||
        cost > m->budget - m->used - m->promised)
        return false;
    mem_init(part, (struct mem_source){mem_part_get, mem_part_put, part}, budget_bytes);
    part->whole = m;
    m->promised += cost;
    return true;
}

void mem_part_end(struct mem *part)
{
    mem_drop(part);
    if (part->whole)
        part->whole->promised -= mem_part_cost(part->budget);
    part->whole = NULL;
}

void mem_reserve(struct mem *m, uint64_t bytes)
{
    for (uint64_t n = 0; n < bytes; n += MEM_CHUNK) {
        char *chunk = mem_take(m, &m->chunks, MEM_CHUNK);
        if (!chunk)
            return;
        memcpy(chunk, &m->spare, sizeof m->spare);
        m->spare = chunk;
    }
}

static char *mem_chunk(struct mem *m)
{
    char *chunk = m->spare;
    if (!chunk)
        return mem_take(m, &m->chunks, MEM_CHUNK);
    memcpy(&m->spare, chunk, sizeof m->spare);
    return chunk;
}

void *mem_alloc(struct mem *m, size_t n)
{
    if (n > MEM_SMALL_MAX)
        return mem_take(m, &m->large, n);
    size_t size;
    unsigned c = mem_class(n, &size);
    if (!m->free_head[c]) {
        char *chunk = mem_chunk(m);
        if (!chunk)
            return NULL;
        for (size_t at = 0; at + size <= MEM_CHUNK; at += size) {
            memcpy(chunk + at, &m->free_head[c], sizeof(void *));
            m->free_head[c] = chunk + at;
        }
    }
    void *p = m->free_head[c];
    memcpy(&m->free_head[c], p, sizeof(void *));
    return p;
}

void *mem_zalloc(struct mem *m, size_t n)
{
    void *p = mem_alloc(m, n);
    size_t min = m->source.zeroed_min;
    bool is_zero = min && n > MEM_SMALL_MAX && n + MEM_HEAD >= min; /* it stays untouched */
    if (p && !is_zero)
        memset(p, 0, n);
    return p;
}

void mem_free(struct mem *m, void *p, size_t n)
{
    if (!p)
        return;
    if (n > MEM_SMALL_MAX) {
        struct mem_head *h = (struct mem_head *)(void *)((char *)p - MEM_HEAD);
        ASSERT(h->n == n + MEM_HEAD);
        list_remove(&h->link);
        m->used -= h->n;
        m->source.put(m->source.ctx, h, h->n);
        return;
    }
    size_t size;
    unsigned c = mem_class(n, &size);
    memcpy(p, &m->free_head[c], sizeof(void *));
    m->free_head[c] = p;
}

static void mem_drop_list(struct mem *m, struct list *l)
{
    struct list *e;
    while ((e = list_pop(l))) {
        struct mem_head *h = container_of(e, struct mem_head, link);
        m->used -= h->n;
        m->source.put(m->source.ctx, h, h->n);
    }
}

void mem_drop(struct mem *m)
{
    mem_drop_list(m, &m->chunks);
    mem_drop_list(m, &m->large);
    if (!m->whole)
        m->promised = 0; /* its parts went with it */
    ASSERT(m->used == 0);
    memset(m->free_head, 0, sizeof m->free_head);
    m->spare = NULL;
}
