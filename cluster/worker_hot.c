/* cluster/worker_hot.c - pages that are read whole stay in memory as they were verified.
 *
 * Copying a page out of the disk's page cache and checking it costs more than sending it; what is
 * here is only sent.  Free memory is used for the first page that comes.  Once there is none, a
 * page is a candidate from its second reading on, and one candidate in eight takes the place of the
 * page that was not read for the longest time: who reads once leaves nothing, and who reads in
 * turn more than fits still finds most of what is here.
 *
 * INVARIANTS
 *  1. A page is asked for only when the index has it, and the bytes of a (file, version) never
 *     change; so nothing is told when the index loses one: it is asked for no more and ages out.
 *  2. A page can be found only after all of its checksums were good.
 *  3. All buffers together stay within page_cache_bytes; one that is being filled or sent is freed
 *     with its last reference. */
#include "cluster/worker_impl.h"

enum { HOT_SLOT = 64 * 1024, HOT_SLOTS_MIN = 64, HOT_SLOTS_MAX = 64 * 1024, HOT_ONE_IN = 8 };

static uint64_t hot_hash(struct cache_key key)
{
    return base_mix_u64(key.ino.v ^ base_mix_u64(key.version ^ base_mix_u64(key.page)));
}

int worker_hot_init(struct worker *w)
{
    struct worker_hot *h = &w->hot;
    list_init(&h->lru);
    h->max = w->cfg.page_cache_bytes;
    if (!h->max)
        return 0;
    h->n_slots = HOT_SLOTS_MIN;
    while (h->n_slots < h->max / HOT_SLOT && h->n_slots < HOT_SLOTS_MAX)
        h->n_slots *= 2;
    h->buckets = mem_alloc(w->mem, h->n_slots * sizeof *h->buckets);
    h->seen = mem_zalloc(w->mem, h->n_slots * sizeof *h->seen);
    if (!h->buckets || !h->seen)
        return E_NOMEM;
    for (uint32_t i = 0; i < h->n_slots; i++)
        list_init(&h->buckets[i]);
    return 0;
}

static void hot_free(struct worker *w, struct worker_hot_page *p)
{
    w->hot.bytes -= p->len;
    mem_free(w->mem, p->mem, p->len + ENV_DIRECT_ALIGN);
    mem_free(w->mem, p, sizeof *p);
}

static void hot_evict(struct worker *w, struct worker_hot_page *p)
{
    list_remove(&p->hash);
    list_remove(&p->lru);
    p->is_ready = false;
    if (!p->refs)
        hot_free(w, p);
}

struct worker_hot_page *worker_hot_find(struct worker *w, struct cache_key key)
{
    struct worker_hot *h = &w->hot;
    if (!h->max)
        return NULL;
    list_each(it, &h->buckets[hot_hash(key) & (h->n_slots - 1)]) {
        struct worker_hot_page *p = list_entry(it, struct worker_hot_page, hash);
        if (p->key.ino.v != key.ino.v || p->key.version != key.version || p->key.page != key.page)
            continue;
        list_remove(&p->lru);
        list_push_back(&h->lru, &p->lru);
        p->refs++;
        w->stats.memory_hits++;
        return p;
    }
    return NULL;
}

/* true when the page may be kept, at the expense of others or not */
static bool hot_may_stay(struct worker_hot *h, uint64_t hash, uint64_t len)
{
    uint64_t *seen = &h->seen[hash & (h->n_slots - 1)];
    bool is_second = *seen == hash;
    *seen = hash;
    if (h->bytes + len <= h->max)
        return true;
    return is_second && len <= h->max && ++h->candidates % HOT_ONE_IN == 0;
}

struct worker_hot_page *worker_hot_begin(struct worker *w, struct cache_key key, uint32_t len)
{
    struct worker_hot *h = &w->hot;
    if (!h->max || !hot_may_stay(h, hot_hash(key), len))
        return NULL;
    while (h->bytes + len > h->max && !list_empty(&h->lru))
        hot_evict(w, list_entry(h->lru.next, struct worker_hot_page, lru));
    if (h->bytes + len > h->max) /* all of it is being filled or sent */
        return NULL;
    struct worker_hot_page *p = mem_zalloc(w->mem, sizeof *p);
    char *mem = p ? mem_alloc(w->mem, len + ENV_DIRECT_ALIGN) : NULL;
    if (!mem) {
        mem_free(w->mem, p, sizeof *p);
        return NULL;
    }
    *p = (struct worker_hot_page){.key = key, .len = len, .refs = 1, .mem = mem};
    p->buf = (uint8_t *)mem + (ENV_DIRECT_ALIGN - (uintptr_t)mem % ENV_DIRECT_ALIGN);
    h->bytes += len;
    return p;
}

void worker_hot_ready(struct worker *w, struct worker_hot_page *p)
{
    struct worker_hot *h = &w->hot;
    struct list *bucket = &h->buckets[hot_hash(p->key) & (h->n_slots - 1)];
    list_each(it, bucket) {
        struct worker_hot_page *o = list_entry(it, struct worker_hot_page, hash);
        if (o->key.ino.v == p->key.ino.v && o->key.version == p->key.version &&
            o->key.page == p->key.page)
            return; /* somebody was faster: this one goes with its reference */
    }
    p->is_ready = true;
    list_push_back(bucket, &p->hash);
    list_push_back(&h->lru, &p->lru);
}

void worker_hot_put(struct worker *w, struct worker_hot_page *p)
{
    if (p && --p->refs == 0 && !p->is_ready)
        hot_free(w, p);
}

bool worker_hot_check(const struct worker *w)
{
    const struct worker_hot *h = &w->hot;
    uint64_t bytes = 0, n = 0;
    for (uint32_t i = 0; i < h->n_slots; i++) {
        list_each(it, &h->buckets[i]) {
            const struct worker_hot_page *p = list_entry(it, struct worker_hot_page, hash);
            if (!p->is_ready)
                return false;
            bytes += p->len;
            n++;
        }
    }
    list_each(it, &h->lru)
        n--;
    return !n && bytes <= h->bytes && h->bytes <= h->max;
}

void worker_hot_free(struct worker *w)
{
    struct worker_hot *h = &w->hot;
    while (h->max && !list_empty(&h->lru))
        hot_evict(w, list_entry(h->lru.next, struct worker_hot_page, lru));
    mem_free(w->mem, h->buckets, h->n_slots * sizeof *h->buckets);
    mem_free(w->mem, h->seen, h->n_slots * sizeof *h->seen);
}
