/* core/recent.c - sets of keys and when each was changed (contract: core/recent.h). */
#include "core/recent.h"

static uint32_t recent_set_of(uint64_t key)
{
    return (uint32_t)(base_mix_u64(key) % RECENT_SETS);
}

void recent_put(struct recent *r, uint64_t key, uint64_t at)
{
    struct recent_set *s = &r->sets[recent_set_of(key)];
    unsigned oldest = 0;
    for (unsigned i = 0; i < RECENT_WAYS; i++) {
        if (s->key[i] == key) {
            s->at[i] = at;
            return;
        }
        if (s->at[i] < s->at[oldest])
            oldest = i; /* a free one before all others */
    }
    s->lost = base_max_u64(s->lost, s->at[oldest]);
    s->key[oldest] = key;
    s->at[oldest] = at;
}

uint64_t recent_at(const struct recent *r, uint64_t key)
{
    const struct recent_set *s = &r->sets[recent_set_of(key)];
    for (unsigned i = 0; i < RECENT_WAYS; i++)
        if (s->key[i] == key)
            return s->at[i];
    return s->lost;
}
