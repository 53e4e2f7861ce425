/* core/cache.c - see core/cache.h.
 *
 * Slots are numbers into one array that doubles up to slots_max, so an empty cache of a large
 * capacity costs little.  Pages hang in chains by hash; the pages of a file are a list through its
 * slots.  Files are small objects of their own, found by inode so that all versions are in one
 * chain. */
#include "core/cache.h"
#include "core/fmt.h"

enum { CACHE_SLOTS_MIN = 256, CACHE_PASS_MAX = 1024 };

/* ---- hashing ---- */

static uint32_t *cache_page_bucket(const struct cache *c, struct cache_key k)
{
    uint64_t h = base_mix_u64(k.ino.v ^ base_mix_u64(k.version + ((uint64_t)k.page << 32)));
    return &c->page_bucket[h & (c->buckets - 1)];
}

static struct cache_file **cache_file_bucket(const struct cache *c, struct ino ino)
{
    return &c->file_bucket[base_mix_u64(ino.v) & (c->buckets - 1)];
}

static uint64_t cache_evict_key(struct cache_key k)
{
    return base_mix_u64(k.ino.v) ^ base_mix_u64(k.version * 0x9e3779b97f4a7c15ULL + k.page);
}

static struct cache_key cache_slot_key(const struct cache_slot *s)
{
    return (struct cache_key){s->file->ino, s->file->version, s->page};
}

/* ---- memory ---- */

static void cache_rehash(struct cache *c, struct cache_file **old, uint32_t old_n)
{
    for (uint32_t i = 0; i < old_n; i++)
        for (struct cache_file *f = old[i], *next; f; f = next) {
            next = f->chain;
            struct cache_file **b = cache_file_bucket(c, f->ino);
            f->chain = *b;
            *b = f;
        }
    for (uint32_t i = 0; i < c->slots; i++)
        if (c->slot[i].file) {
            uint32_t *b = cache_page_bucket(c, cache_slot_key(&c->slot[i]));
            c->slot[i].chain = *b;
            *b = i;
        }
}

static int cache_grow(struct cache *c)
{
    uint32_t n = c->slots ? c->slots * 2 : CACHE_SLOTS_MIN;
    if (n > c->cfg.slots_max)
        n = c->cfg.slots_max;
    if (n <= c->slots)
        return E_NOMEM;
    uint32_t buckets = 64;
    while (buckets < n)
        buckets *= 2;
    struct cache_slot *slot = mem_alloc(c->mem, (size_t)n * sizeof *slot);
    uint32_t *pages = mem_alloc(c->mem, (size_t)buckets * sizeof *pages);
    struct cache_file **files = mem_zalloc(c->mem, (size_t)buckets * sizeof(void *));
    if (!slot || !pages || !files || (c->slots && evict_grow(&c->evict, n))) {
        mem_free(c->mem, slot, (size_t)n * sizeof *slot);
        mem_free(c->mem, pages, (size_t)buckets * sizeof *pages);
        mem_free(c->mem, files, (size_t)buckets * sizeof(void *));
        return E_NOMEM;
    }
    memset(pages, 0xff, (size_t)buckets * sizeof *pages);
    if (c->slots)
        memcpy(slot, c->slot, (size_t)c->slots * sizeof *slot);
    memset(slot + c->slots, 0, (size_t)(n - c->slots) * sizeof *slot);
    for (uint32_t i = n; i-- > c->slots;) {
        slot[i].next = c->free_head;
        c->free_head = i;
    }
    struct cache_file **old_files = c->file_bucket;
    uint32_t old_buckets = c->buckets;
    mem_free(c->mem, c->slot, (size_t)c->slots * sizeof *c->slot);
    mem_free(c->mem, c->page_bucket, (size_t)c->buckets * sizeof *c->page_bucket);
    c->slot = slot;
    c->page_bucket = pages;
    c->file_bucket = files;
    c->buckets = buckets;
    cache_rehash(c, old_files, old_buckets);
    c->slots = n;
    mem_free(c->mem, old_files, (size_t)old_buckets * sizeof(void *));
    return 0;
}

int cache_init(struct cache *c, struct mem *m, const struct cache_config *cfg)
{
    memset(c, 0, sizeof *c);
    c->cfg = *cfg;
    c->mem = m;
    c->free_head = CACHE_NONE;
    list_init(&c->order);
    list_init(&c->gone);
    list_init(&c->cursors);
    for (unsigned i = 0; i < CACHE_FILL_BUCKETS; i++)
        list_init(&c->fill[i]);
    int err = cache_grow(c);
    if (err)
        return err;
    struct evict_config e = {cfg->capacity_bytes, cfg->small_bytes, c->slots};
    return evict_init(&c->evict, m, cfg->policy, &e);
}

static void cache_file_drop(struct cache *c, struct cache_file *f)
{
    struct cache_file **at = cache_file_bucket(c, f->ino);
    while (*at != f)
        at = &(*at)->chain;
    *at = f->chain;
    list_remove(&f->mark.link);
    if (list_linked(&f->gone)) {
        list_remove(&f->gone);
        c->n_gone--;
    }
    c->n_files--;
    mem_free(c->mem, f, sizeof *f);
}

void cache_free(struct cache *c)
{
    if (!c->mem)
        return;
    for (uint32_t i = 0; i < c->slots; i++)
        if (c->slot[i].file && c->cfg.on_free)
            c->cfg.on_free(c->cfg.ctx, c->slot[i].tag, c->slot[i].size);
    for (uint32_t i = 0; i < c->buckets; i++)
        while (c->file_bucket && c->file_bucket[i])
            cache_file_drop(c, c->file_bucket[i]);
    mem_free(c->mem, c->slot, (size_t)c->slots * sizeof *c->slot);
    mem_free(c->mem, c->page_bucket, (size_t)c->buckets * sizeof *c->page_bucket);
    mem_free(c->mem, c->file_bucket, (size_t)c->buckets * sizeof(void *));
    if (c->evict.mem)
        evict_free(&c->evict);
    memset(c, 0, sizeof *c);
}

/* ---- finding ---- */

uint32_t cache_find(const struct cache *c, struct cache_key key)
{
    uint32_t i = *cache_page_bucket(c, key);
    for (; i != CACHE_NONE; i = c->slot[i].chain) {
        const struct cache_slot *s = &c->slot[i];
        if (s->page == key.page && s->file->ino.v == key.ino.v && s->file->version == key.version)
            break;
    }
    return i;
}

struct cache_file *cache_find_file(const struct cache *c, struct ino ino, uint64_t version)
{
    for (struct cache_file *f = *cache_file_bucket(c, ino); f; f = f->chain)
        if (f->ino.v == ino.v && f->version == version)
            return f;
    return NULL;
}

struct cache_file *cache_find_below(const struct cache *c, struct ino ino, uint64_t below)
{
    for (struct cache_file *f = *cache_file_bucket(c, ino); f; f = f->chain)
        if (f->ino.v == ino.v && f->pages && (f->version < below || below == UINT64_MAX))
            return f;
    return NULL;
}

void cache_hit(struct cache *c, uint32_t slot)
{
    evict_hit(&c->evict, slot);
}

static void cache_slot_release(struct cache *c, uint32_t slot)
{
    struct cache_slot *s = &c->slot[slot];
    if (c->cfg.on_free)
        c->cfg.on_free(c->cfg.ctx, s->tag, s->size);
    memset(s, 0, sizeof *s);
    s->next = c->free_head;
    c->free_head = slot;
    c->used_slots--;
}

void cache_pin(struct cache *c, uint32_t slot)
{
    ASSERT(c->slot[slot].file);
    evict_pin(&c->evict, slot);
    c->slot[slot].pins++;
    c->pinned++;
}

void cache_unpin(struct cache *c, uint32_t slot)
{
    ASSERT(c->slot[slot].pins);
    evict_unpin(&c->evict, slot);
    c->pinned--;
    if (--c->slot[slot].pins == 0 && !c->slot[slot].file)
        cache_slot_release(c, slot);
}

/* ---- room ---- */

enum evict_class cache_admit(struct cache *c, struct cache_key key, uint32_t size)
{
    return evict_admit(&c->evict, cache_evict_key(key), size);
}

bool cache_reserve(struct cache *c, uint32_t size)
{
    if (c->evict.used + c->reserved + c->lent + size > c->cfg.capacity_bytes)
        return false;
    if (c->used_slots + c->reserved_slots >= c->slots && cache_grow(c))
        return false;
    c->reserved += size;
    c->reserved_slots++;
    return true;
}

void cache_unreserve(struct cache *c, uint32_t size)
{
    ASSERT(c->reserved >= size && c->reserved_slots);
    c->reserved -= size;
    c->reserved_slots--;
}

/* A held page goes to the end of the line: what is in use is not the oldest. */
static void cache_pass_over(struct cache *c, uint32_t slot)
{
    struct cache_slot *s = &c->slot[slot];
    evict_remove(&c->evict, slot, EVICT_DELETED);
    evict_insert(&c->evict, slot, cache_evict_key(cache_slot_key(s)), s->size,
                 EVICT_CLASS_RETURNED);
}

uint32_t cache_victim(struct cache *c)
{
    for (int n = 0; n < CACHE_PASS_MAX; n++) {
        uint32_t slot = evict_victim(&c->evict);
        if (slot == CACHE_NONE || !c->slot[slot].file->is_held)
            return slot;
        cache_pass_over(c, slot);
    }
    return CACHE_NONE;
}

/* ---- changes ---- */

static void cache_changed(struct cache *c, struct cache_file *f)
{
    f->changed_at = ++c->change_seq;
    list_remove(&f->mark.link);
    list_push_back(&c->order, &f->mark.link);
    if (f->pages && list_linked(&f->gone)) {
        list_remove(&f->gone);
        c->n_gone--;
    }
    if (f->pages)
        return;
    if (list_linked(&f->gone)) {
        list_remove(&f->gone);
        c->n_gone--;
    }
    if (list_empty(&c->cursors)) {
        cache_file_drop(c, f);
        return;
    }
    list_push_back(&c->gone, &f->gone);
    if (++c->n_gone > c->cfg.gone_max) {
        struct cache_file *oldest = list_entry(c->gone.next, struct cache_file, gone);
        c->lost_seq = oldest->changed_at;
        cache_file_drop(c, oldest);
    }
}

static struct cache_file *cache_file_make(struct cache *c, struct ino ino, uint64_t version,
                                          uint64_t size)
{
    struct cache_file *f = mem_zalloc(c->mem, sizeof *f);
    if (!f)
        return NULL;
    f->ino = ino;
    f->version = version;
    f->size = size;
    f->first = CACHE_NONE;
    list_init(&f->mark.link);
    list_push_back(&c->order, &f->mark.link);
    list_init(&f->gone);
    struct cache_file **b = cache_file_bucket(c, ino);
    f->chain = *b;
    *b = f;
    c->n_files++;
    return f;
}

int cache_insert(struct cache *c, struct cache_key key, uint64_t file_size, uint32_t size,
                 enum evict_class class, void *tag, uint32_t *ret_slot)
{
    ASSERT(cache_find(c, key) == CACHE_NONE && c->free_head != CACHE_NONE);
    struct cache_file *f = cache_find_file(c, key.ino, key.version);
    if (!f && !(f = cache_file_make(c, key.ino, key.version, file_size)))
        return E_NOMEM;
    cache_unreserve(c, size);
    if (!f->pages)
        f->size = file_size;
    ASSERT(f->size == file_size);
    uint32_t i = c->free_head;
    struct cache_slot *s = &c->slot[i];
    c->free_head = s->next;
    c->used_slots++;
    uint32_t *b = cache_page_bucket(c, key);
    *s = (struct cache_slot){.file = f,
                             .tag = tag,
                             .page = key.page,
                             .size = size,
                             .chain = *b,
                             .prev = CACHE_NONE,
                             .next = f->first};
    *b = i;
    if (f->first != CACHE_NONE)
        c->slot[f->first].prev = i;
    f->first = i;
    f->pages++;
    f->bytes += size;
    evict_insert(&c->evict, i, cache_evict_key(key), size, class);
    cache_changed(c, f);
    *ret_slot = i;
    return 0;
}

void cache_remove(struct cache *c, uint32_t slot, enum evict_why why)
{
    struct cache_slot *s = &c->slot[slot];
    struct cache_file *f = s->file;
    ASSERT(f);
    evict_remove(&c->evict, slot, why);
    uint32_t *at = cache_page_bucket(c, cache_slot_key(s));
    while (*at != slot)
        at = &c->slot[*at].chain;
    *at = s->chain;
    if (s->prev == CACHE_NONE)
        f->first = s->next;
    else
        c->slot[s->prev].next = s->next;
    if (s->next != CACHE_NONE)
        c->slot[s->next].prev = s->prev;
    f->pages--;
    f->bytes -= s->size;
    if (!f->pages)
        f->is_held = f->goes_whole = false; /* its bytes on disk go too */
    s->file = NULL;
    if (!s->pins)
        cache_slot_release(c, slot);
    cache_changed(c, f);
}

/* ---- fills ---- */

static struct list *cache_fill_bucket(const struct cache *c, struct cache_key k)
{
    uint64_t h = cache_evict_key(k) & (CACHE_FILL_BUCKETS - 1);
    return (struct list *)(uintptr_t)&c->fill[h];
}

struct cache_fill *cache_fill_find(const struct cache *c, struct cache_key key)
{
    struct list *b = cache_fill_bucket(c, key);
    list_each(it, b) {
        struct cache_fill *f = list_entry(it, struct cache_fill, link);
        if (f->key.page == key.page && f->key.ino.v == key.ino.v && f->key.version == key.version)
            return f;
    }
    return NULL;
}

void cache_fill_add(struct cache *c, struct cache_fill *f)
{
    ASSERT(!cache_fill_find(c, f->key));
    list_push_back(cache_fill_bucket(c, f->key), &f->link);
    c->n_fills++;
}

void cache_fill_remove(struct cache *c, struct cache_fill *f)
{
    list_remove(&f->link);
    c->n_fills--;
}

/* ---- reports ---- */

void cache_cursor_open(struct cache *c, struct cache_cursor *k)
{
    memset(k, 0, sizeof *k);
    k->mark.is_cursor = true;
    list_push_back(&c->cursors, &k->link);
    list_init(&k->mark.link);
    cache_cursor_reset(c, k);
}

void cache_cursor_close(struct cache *c, struct cache_cursor *k)
{
    list_remove(&k->mark.link);
    list_remove(&k->link);
    cache_cursor_ack(c, k);
}

void cache_cursor_reset(struct cache *c, struct cache_cursor *k)
{
    list_remove(&k->mark.link);
    list_push_front(&c->order, &k->mark.link);
    k->sent = k->acked = 0;
    k->base = c->change_seq;
}

static struct cache_file *cache_mark_file(struct list *l)
{
    struct cache_mark *m = list_entry(l, struct cache_mark, link);
    return m->is_cursor ? NULL : container_of(m, struct cache_file, mark);
}

bool cache_cursor_next(struct cache *c, struct cache_cursor *k, struct cache_item *ret_item)
{
    for (struct list *l = k->mark.link.next; l != &c->order; l = l->next) {
        struct cache_file *f = cache_mark_file(l);
        if (!f)
            continue;
        list_remove(&k->mark.link);
        list_insert(&k->mark.link, l, l->next);
        k->sent = f->changed_at;
        *ret_item = (struct cache_item){f->ino, f->version, f->bytes, f->pages};
        return true;
    }
    return false;
}

void cache_cursor_back(struct cache *c, struct cache_cursor *k, uint64_t sent)
{
    k->sent = sent;
    struct list *l = k->mark.link.prev;
    for (; l != &c->order; l = l->prev) {
        struct cache_file *f = cache_mark_file(l);
        if (f && f->changed_at <= sent)
            break;
    }
    list_remove(&k->mark.link);
    list_insert(&k->mark.link, l, l->next);
}

void cache_cursor_rollback(struct cache *c, struct cache_cursor *k)
{
    cache_cursor_back(c, k, k->acked);
}

void cache_cursor_ack(struct cache *c, struct cache_cursor *k)
{
    k->acked = k->sent;
    uint64_t all = UINT64_MAX;
    list_each(it, &c->cursors) {
        struct cache_cursor *o = list_entry(it, struct cache_cursor, link);
        all = base_min_u64(all, o->acked);
    }
    while (!list_empty(&c->gone)) {
        struct cache_file *f = list_entry(c->gone.next, struct cache_file, gone);
        if (f->changed_at > all)
            break;
        cache_file_drop(c, f);
    }
}

bool cache_cursor_lost(const struct cache *c, const struct cache_cursor *k)
{
    return c->lost_seq > base_max_u64(k->acked, k->base);
}

/* ---- checks ---- */

static bool cache_check_file(const struct cache *c, const struct cache_file *f)
{
    uint64_t bytes = 0;
    uint32_t pages = 0, before = CACHE_NONE;
    for (uint32_t i = f->first; i != CACHE_NONE; before = i, i = c->slot[i].next) {
        if (i >= c->slots || c->slot[i].file != f || c->slot[i].prev != before ||
            ++pages > f->pages)
            return false;
        bytes += c->slot[i].size;
    }
    return pages == f->pages && bytes == f->bytes && (pages == 0) == list_linked(&f->gone);
}

bool cache_check(const struct cache *c, char *err_text, size_t cap)
{
    if (!evict_check(&c->evict, err_text, cap))
        return false;
    uint64_t seq = 0;
    uint32_t files = 0, used = 0, found = 0;
    list_each(it, &c->order) {
        struct cache_file *f = cache_mark_file(it);
        if (!f)
            continue;
        files++;
        if (f->changed_at <= seq || !cache_check_file(c, f) ||
            cache_find_file(c, f->ino, f->version) != f) {
            fmt_into(err_text, cap, "cache: file %llx version %llu", (unsigned long long)f->ino.v,
                     (unsigned long long)f->version);
            return false;
        }
        seq = f->changed_at;
    }
    for (uint32_t i = 0; i < c->slots; i++) {
        const struct cache_slot *s = &c->slot[i];
        used += s->file || s->pins;
        found += s->file && cache_find(c, cache_slot_key(s)) == i;
    }
    if (files != c->n_files || used != c->used_slots || found != c->evict.count ||
        c->reserved_slots + c->used_slots > c->slots) {
        fmt_into(err_text, cap, "cache: %u files of %u, %u slots of %u, %u found", files,
                 c->n_files, used, c->used_slots, found);
        return false;
    }
    return true;
}
