/* core/store_index.c - linear hashing over a table of buckets (contract: core/store.h).
 *
 * With n buckets and 2^k <= n < 2^(k+1), bucket b of the next round exists if b < n; a hash whose
 * next-round bucket is not there yet still belongs to the one of this round.  Bucket b is record
 * b + 1 of the bucket table, whose records are never freed. */
#include "core/store.h"

/* 2^k, the buckets that this round began with */
static uint32_t index_round(uint32_t n)
{
    return (uint32_t)1 << (31 - (unsigned)__builtin_clz(n));
}

static uint32_t index_bucket(uint32_t hash, uint32_t n)
{
    uint32_t round = index_round(n);
    uint32_t b = hash & (round * 2 - 1);
    return b < n ? b : b & (round - 1);
}

static uint32_t index_count(const struct store *s, unsigned buckets)
{
    return s->t[buckets].high - 1;
}

static uint32_t index_head(const struct store *s, unsigned buckets, uint32_t b)
{
    return base_get_u32(store_get(s, buckets, b + 1));
}

static void index_push(struct store *s, unsigned buckets, unsigned records, uint32_t b,
                       uint32_t slot)
{
    struct store_link *l = store_mut(s, records, slot);
    uint8_t *head = store_mut(s, buckets, b + 1);
    l->next = base_get_u32(head);
    base_put_u32(head, slot);
}

/* one bucket more; the records of the bucket it was part of are dealt out to both */
static void index_split(struct store *s, unsigned buckets, unsigned records)
{
    uint32_t added = index_count(s, buckets);
    store_new_zero(s, buckets);
    if (added == 0)
        return;
    uint32_t from = added - index_round(added);
    uint32_t slot = index_head(s, buckets, from);
    base_put_u32(store_mut(s, buckets, from + 1), 0);
    while (slot) {
        const struct store_link *l = store_get(s, records, slot);
        uint32_t next = l->next;
        index_push(s, buckets, records, index_bucket(l->hash, added + 1), slot);
        slot = next;
    }
}

void store_index_insert(struct store *s, unsigned buckets, unsigned records, uint32_t slot,
                        uint32_t hash)
{
    if (s->t[records].live > index_count(s, buckets) || index_count(s, buckets) == 0)
        index_split(s, buckets, records);
    struct store_link *l = store_mut(s, records, slot);
    l->hash = hash;
    index_push(s, buckets, records, index_bucket(hash, index_count(s, buckets)), slot);
}

void store_index_remove(struct store *s, unsigned buckets, unsigned records, uint32_t slot)
{
    const struct store_link *gone = store_get(s, records, slot);
    uint32_t b = index_bucket(gone->hash, index_count(s, buckets));
    uint32_t at = index_head(s, buckets, b);
    if (at == slot) {
        base_put_u32(store_mut(s, buckets, b + 1), gone->next);
        return;
    }
    while (at) {
        const struct store_link *l = store_get(s, records, at);
        if (l->next == slot) {
            ((struct store_link *)store_mut(s, records, at))->next = gone->next;
            return;
        }
        at = l->next;
    }
    ASSERT(!"an indexed record is in its chain");
}

static uint32_t index_skip(const struct store *s, unsigned records, uint32_t slot, uint32_t hash)
{
    while (slot) {
        const struct store_link *l = store_get(s, records, slot);
        if (l->hash == hash)
            return slot;
        slot = l->next;
    }
    return 0;
}

uint32_t store_index_first(const struct store *s, unsigned buckets, unsigned records, uint32_t hash)
{
    uint32_t n = index_count(s, buckets);
    return n ? index_skip(s, records, index_head(s, buckets, index_bucket(hash, n)), hash) : 0;
}

uint32_t store_index_next(const struct store *s, unsigned records, uint32_t slot)
{
    const struct store_link *l = store_get(s, records, slot);
    return index_skip(s, records, l->next, l->hash);
}

bool store_index_check(const struct store *s, unsigned buckets, unsigned records, uint32_t *ret_n)
{
    uint32_t n = index_count(s, buckets);
    *ret_n = 0;
    for (uint32_t b = 0; b < n; b++) {
        for (uint32_t slot = index_head(s, buckets, b); slot;) {
            if (slot >= s->t[records].high || (*ret_n)++ > s->t[records].live)
                return false;
            const struct store_link *l = store_get(s, records, slot);
            if (index_bucket(l->hash, n) != b)
                return false;
            slot = l->next;
        }
    }
    return true;
}
