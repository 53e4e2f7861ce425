/* cluster/client_pages.c - pages that are read in bits, again and again, are kept in memory.
 *
 * A small read costs a round trip to a worker, and most of it is waking processes; a page costs as
 * much as several of them.  So a page is rented before it is bought: reads go to the worker and ask
 * for exactly their bytes, until those of one page have cost as much as the whole page would have;
 * the next one fetches it and keeps it.  Whatever follows, this never costs more than twice the
 * better choice.  Sequential readers have read-ahead and neither look here nor leave anything.
 *
 *   read in a page: kept? answer : rent < price? rent += cost, ask : fetch the page, then answer
 *
 * When the budget is used up a page is bought at the expense of another: the one not read for the
 * longest time.  If that one had not saved its price yet, the working set is too large for the
 * budget and prices double; a page that was worth it halves them again.
 *
 * INVARIANTS
 *  1. A page is of one (file, version); a version's bytes never change, so nothing need be told to
 *     forget it.  A handle is served only from the version that it is pinned to.  Versions whose
 *     fingerprint is not trusted yet (fp 0), and LIVE files, are not kept.
 *  2. All buffers together stay within page_cache_bytes; one that is lent is given back first.
 *  3. A failed fetch is forgotten with its rent: whoever waited asks for his own bytes, and gets
 *     the error himself.  A fetch ends with the handle that began it. */
#include "cluster/client_impl.h"

enum {
    PAGES_SLOT = 64 * 1024, /* bytes of budget for one bucket and one slot of rents */
    PAGES_SLOTS_MIN = 64,
    PAGES_SLOTS_MAX = 64 * 1024,
    PAGES_UNIT = 64 * 1024, /* what is transferred in one unit of cost ... */
    PAGES_ROUND_TRIP = 3,   /* ... of which a round trip is worth as many */
    PAGES_INFLATION_MAX = 5,
    PAGES_PIECES_LEFT = CLIENT_PIECES_MAX / 4, /* for those who wait now */
};

struct client_page {
    struct client *c;
    struct client_piece *piece; /* until it is here */
    struct list hash, lru;      /* lru: while ready */
    struct ino ino;
    uint64_t version, off, saved; /* saved: the cost of the reads that it answered */
    uint32_t len, n_lent;
    bool ready, over; /* over: on no list, freed with the last loan */
    char *buf;
    struct list waiting; /* client_ior */
};

static uint32_t pages_cost(uint64_t n)
{
    return (uint32_t)(PAGES_ROUND_TRIP + n / PAGES_UNIT);
}

static uint64_t pages_hash(struct ino ino, uint64_t version, uint64_t off)
{
    return base_mix_u64(ino.v ^ base_mix_u64(version ^ base_mix_u64(off)));
}

int client_pages_init(struct client *c)
{
    struct client_pages *k = &c->pages;
    k->max = c->cfg.page_cache_bytes;
    if (!k->max)
        return 0;
    k->n_slots = PAGES_SLOTS_MIN;
    while (k->n_slots < k->max / PAGES_SLOT && k->n_slots < PAGES_SLOTS_MAX)
        k->n_slots *= 2;
    k->buckets = mem_alloc(c->mem, k->n_slots * sizeof *k->buckets);
    k->rents = mem_zalloc(c->mem, k->n_slots * sizeof *k->rents);
    if (!k->buckets || !k->rents)
        return E_NOMEM;
    for (uint32_t i = 0; i < k->n_slots; i++)
        list_init(&k->buckets[i]);
    return 0;
}

static struct client_page *pages_find(struct client *c, struct ino ino, uint64_t version,
                                      uint64_t off)
{
    struct client_pages *k = &c->pages;
    uint64_t start = off - off % c->page_bytes;
    list_each(it, &k->buckets[pages_hash(ino, version, start) & (k->n_slots - 1)]) {
        struct client_page *g = list_entry(it, struct client_page, hash);
        if (g->ino.v == ino.v && g->version == version && g->off == start && off < start + g->len)
            return g;
    }
    return NULL;
}

static void pages_free(struct client_page *g)
{
    struct client *c = g->c;
    ASSERT(list_empty(&g->waiting));
    if (!g->over) {
        list_remove(&g->hash);
        if (g->ready)
            list_remove(&g->lru);
    }
    g->over = true;
    if (g->n_lent)
        return;
    c->pages.bytes -= g->len;
    mem_free(c->mem, g->buf, g->len);
    mem_free(c->mem, g, sizeof *g);
}

/* makes room for n bytes; false when all that is kept is under way or lent */
static bool pages_room(struct client *c, uint64_t n)
{
    struct client_pages *k = &c->pages;
    while (k->bytes + n > k->max && !list_empty(&k->lru)) {
        struct client_page *g = list_entry(k->lru.next, struct client_page, lru);
        if (g->saved < pages_cost(g->len))
            k->inflation += k->inflation < PAGES_INFLATION_MAX;
        else
            k->inflation -= k->inflation > 0;
        pages_free(g);
    }
    return k->bytes + n <= k->max;
}

static struct client_page *pages_fetch(struct client_file *f, uint64_t off, uint32_t len)
{
    struct client *c = f->cf->c;
    if (c->piece_pool.free_count <= PAGES_PIECES_LEFT || !pages_room(c, len))
        return NULL;
    struct client_page *g = mem_zalloc(c->mem, sizeof *g);
    char *buf = g ? mem_alloc(c->mem, len) : NULL;
    struct client_piece *p = buf ? client_piece_get(f, IO_READ) : NULL;
    if (!p) {
        mem_free(c->mem, buf, len);
        mem_free(c->mem, g, sizeof *g);
        return NULL;
    }
    *g = (struct client_page){.c = c,
                              .piece = p,
                              .ino = f->cf->ino,
                              .version = f->pin.version,
                              .off = off,
                              .len = len,
                              .buf = buf};
    list_init(&g->waiting);
    uint64_t hash = pages_hash(g->ino, g->version, off);
    list_push_back(&c->pages.buckets[hash & (c->pages.n_slots - 1)], &g->hash);
    c->pages.bytes += len;
    c->stats.pages_kept++;
    p->page = g;
    p->buf = buf;
    p->off = off;
    p->len = len;
    p->deadline_ns = env_now_ns(c->env) + c->cfg.deadline_ns;
    return g;
}

/* A read of n bytes at off that is not answered from here: NULL, or the page it is worth to wait
 * for. */
static struct client_page *pages_rent(struct client_file *f, uint64_t off, uint64_t n)
{
    struct client *c = f->cf->c;
    struct client_pages *k = &c->pages;
    uint64_t start = off - off % c->page_bytes;
    uint64_t hash = pages_hash(f->cf->ino, f->pin.version, start);
    struct client_rent *r = &k->rents[hash & (k->n_slots - 1)];
    uint32_t len = (uint32_t)base_min_u64(c->page_bytes, f->pin.size - start);
    if (r->hash != hash)
        *r = (struct client_rent){.hash = hash};
    if (r->paid < pages_cost(len) << (k->bytes + len > k->max ? k->inflation : 0)) {
        r->paid += pages_cost(n);
        return NULL;
    }
    r->paid = 0;
    return pages_fetch(f, start, len);
}

bool client_pages_take(struct client_io *io, uint64_t limit)
{
    struct client_ior *s = client_ior_of(io);
    struct client *c = s->c;
    struct client_file *f = io->file;
    if (!c->pages.max || !f->pin.fp || f->ra_window)
        return false;
    while (s->next < limit) {
        uint64_t off = io->off + s->next;
        uint64_t in_page = base_min_u64(limit - s->next, c->page_bytes - off % c->page_bytes);
        struct client_page *g = pages_find(c, f->cf->ino, f->pin.version, off);
        struct client_page *bought = g ? NULL : pages_rent(f, off, in_page);
        g = g ? g : bought;
        if (!g)
            return false;
        if (!g->ready) {
            list_push_back(&g->waiting, &s->wait);
            if (bought)
                client_piece_start(g->piece);
            return true;
        }
        uint32_t n = (uint32_t)base_min_u64(limit - s->next, g->off + g->len - off);
        g->saved += pages_cost(n);
        list_remove(&g->lru);
        list_push_back(&c->pages.lru, &g->lru);
        c->stats.page_hits++;
        f->read_any = true;
        if (io->may_lend && !s->next && n == limit) {
            g->n_lent++;
            s->lent_page = g;
            io->lent = g->buf + (off - g->off);
        } else {
            memcpy((char *)io->buf + s->next, g->buf + (off - g->off), n);
        }
        s->next += n;
    }
    return false;
}

void client_pages_give_back(struct client_page *g)
{
    ASSERT(g->n_lent);
    if (--g->n_lent == 0 && g->over)
        pages_free(g);
}

/* the fetch is over, well or not */
static void pages_end(struct client_page *g, bool ok)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &g->waiting);
    g->piece = NULL;
    if (ok) {
        g->ready = true;
        list_push_back(&g->c->pages.lru, &g->lru);
    } else {
        pages_free(g);
    }
    client_io_wake(&waiting);
}

void client_pages_done(struct client_piece *p)
{
    struct client_page *g = p->page;
    bool ok = p->ret == (int64_t)g->len && p->f->pin.version == g->version;
    p->page = NULL;
    pages_end(g, ok);
    client_piece_put(p);
}

void client_pages_lost(struct client_page *g)
{
    pages_end(g, false);
}

void client_pages_release(const struct client_file *f)
{
    struct client *c = f->cf->c;
    for (bool more = true; more;) {
        more = false;
        list_each(it, &c->pieces) {
            struct client_piece *p = list_entry(it, struct client_piece, all);
            if (p->page && p->f == f && !p->cancelled) {
                client_piece_cancel(p); /* which may change the list */
                more = true;
                break;
            }
        }
    }
}

bool client_pages_check(const struct client *c)
{
    const struct client_pages *k = &c->pages;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < k->n_slots; i++) {
        list_each(it, &k->buckets[i]) {
            const struct client_page *g = list_entry(it, struct client_page, hash);
            if (g->over || g->ready == (g->piece != NULL) || (g->ready && !list_empty(&g->waiting)))
                return false;
            bytes += g->len;
        }
    }
    return bytes <= k->bytes && k->bytes <= k->max; /* less: some are over, and lent */
}

void client_pages_free(struct client *c)
{
    struct client_pages *k = &c->pages;
    while (!list_empty(&k->lru))
        pages_free(list_entry(k->lru.next, struct client_page, lru));
    mem_free(c->mem, k->buckets, k->n_slots * sizeof *k->buckets);
    mem_free(c->mem, k->rents, k->n_slots * sizeof *k->rents);
}
