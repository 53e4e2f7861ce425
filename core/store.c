/* core/store.c - pages, slots and free lists (contract and invariants: core/store.h). */
#include "core/store.h"

void store_init(struct store *s, struct mem *mem, const struct store_def *defs, unsigned n)
{
    ASSERT(n <= STORE_TABLES_MAX);
    memset(s, 0, sizeof *s);
    s->mem = mem;
    s->n = n;
    for (unsigned i = 0; i < n; i++) {
        struct store_table *t = &s->t[i];
        ASSERT(defs[i].record >= 4 && 2 * defs[i].record <= defs[i].page);
        t->def = defs[i];
        t->per_page = defs[i].page / defs[i].record;
        t->high = 1;
    }
}

void store_reset(struct store *s)
{
    store_image_end(s);
    for (unsigned i = 0; i < s->n; i++) {
        struct store_table *t = &s->t[i];
        for (uint32_t k = 0; k < t->n_pages; k++)
            mem_free(s->mem, t->pages[k].p, t->def.page);
        mem_free(s->mem, t->pages, t->cap_pages * sizeof *t->pages);
        t->pages = NULL;
        t->n_pages = t->cap_pages = 0;
        t->high = 1;
        t->free = t->live = 0;
    }
    s->bytes = 0;
}

void store_cow(struct store *s, struct store_table *t, struct store_page *pg)
{
    pg->copy = mem_alloc(s->mem, t->def.page);
    ASSERT(pg->copy != NULL);
    memcpy(pg->copy, pg->p, t->def.page);
}

bool store_page_add(struct store *s, struct store_table *t)
{
    if (t->n_pages == t->cap_pages) {
        uint32_t cap = t->cap_pages ? t->cap_pages * 2 : 4;
        struct store_page *pages = mem_alloc(s->mem, cap * sizeof *pages);
        if (!pages)
            return false;
        if (t->n_pages)
            memcpy(pages, t->pages, t->n_pages * sizeof *pages);
        mem_free(s->mem, t->pages, t->cap_pages * sizeof *pages);
        t->pages = pages;
        t->cap_pages = cap;
    }
    uint8_t *p = mem_zalloc(s->mem, t->def.page);
    if (!p)
        return false;
    t->pages[t->n_pages++] = (struct store_page){p, NULL, 0};
    s->bytes += t->def.page;
    return true;
}

uint32_t store_new(struct store *s, unsigned table)
{
    struct store_table *t = &s->t[table];
    t->live++;
    if (t->free) {
        uint32_t slot = t->free;
        t->free = base_get_u32(store_mut(s, table, slot));
        return slot;
    }
    ASSERT(t->high < UINT32_MAX);
    uint32_t slot = t->high++;
    if (slot / t->per_page >= t->n_pages) {
        bool room = store_page_add(s, t);
        ASSERT(room);
    }
    (void)store_mut(s, table, slot);
    return slot;
}

uint32_t store_new_zero(struct store *s, unsigned table)
{
    uint32_t slot = store_new(s, table);
    memset(store_mut(s, table, slot), 0, s->t[table].def.record);
    return slot;
}

uint64_t store_grow(const struct store *s, unsigned table, uint32_t n)
{
    const struct store_table *t = &s->t[table];
    uint32_t freed = t->free ? t->high - 1 - t->live : 0;
    if (n <= freed)
        return 0;
    uint64_t pages = ((uint64_t)t->high + (n - freed) - 1) / t->per_page + 1;
    return pages > t->n_pages ? (pages - t->n_pages) * t->def.page : 0;
}

void store_free(struct store *s, unsigned table, uint32_t slot)
{
    struct store_table *t = &s->t[table];
    ASSERT(t->live > 0);
    t->live--;
    base_put_u32(store_mut(s, table, slot), t->free);
    t->free = slot;
}

static bool store_check_table(const struct store *s, unsigned table, struct mem *scratch)
{
    const struct store_table *t = &s->t[table];
    size_t n = t->high / 8 + 1;
    uint8_t *seen = mem_zalloc(scratch, n);
    if (!seen)
        return true;
    uint32_t n_free = 0;
    bool ok = (uint64_t)t->n_pages * t->per_page >= t->high || t->high == 1;
    for (uint32_t slot = t->free; slot && ok; slot = base_get_u32(store_get(s, table, slot))) {
        ok = slot < t->high && !(seen[slot / 8] >> (slot % 8) & 1);
        if (ok)
            seen[slot / 8] |= (uint8_t)(1 << (slot % 8));
        n_free++;
    }
    mem_free(scratch, seen, n);
    return ok && (uint64_t)t->live + n_free <= t->high - 1;
}

bool store_check(const struct store *s, struct mem *scratch)
{
    for (unsigned i = 0; i < s->n; i++)
        if (!store_check_table(s, i, scratch))
            return false;
    return true;
}
