/* cluster/client_readahead.c - pages that a sequential reader will want are fetched before it asks.
 *
 * A handle is sequential when a read begins where the last one ended; while its window is open,
 * reads that arrive a little out of order (a kernel sends several at once) keep it so.  The window
 * is one page at first and doubles with every page entered, up to readahead_pages.  Any other read
 * closes the window: random readers get exactly what they ask for.
 *
 * INVARIANTS
 *  1. A buffer holds a range inside one page of the version that its handle is pinned to; a new pin
 *     drops it.
 *  2. All buffers together stay within buffer_bytes; when that is used up the buffer that has been
 *     ready for the longest time is taken from whoever left it.
 *  3. A failed fetch is forgotten: the reader asks again itself and gets the error.
 *  4. A buffer that was lent to a reader is neither reused nor freed before it was given back.
 *
 * Buffers are cut from slabs, on page boundaries: the kernel copies a page of an answer from one
 * page of ours, not from two halves, and a slab is large enough for huge pages. */
#include "cluster/client_impl.h"

enum { RA_SLACK_PAGES = 2, RA_SLAB_PAGES = 8, RA_ALIGN = 4096 };

struct client_slab {
    struct list link; /* c->ra_slabs */
    uint64_t bytes;   /* of mem */
    char *mem;
};

static void ra_slabs_free(struct client *c)
{
    for (struct list *l; (l = list_pop(&c->ra_slabs));) {
        struct client_slab *s = list_entry(l, struct client_slab, link);
        mem_free(c->mem, s->mem, s->bytes);
        mem_free(c->mem, s, sizeof *s);
    }
    list_init(&c->ra_free);
    c->ra_bytes = 0;
}

/* a few more buffers, if that many may be made */
static void ra_slab_make(struct client *c)
{
    uint64_t page = c->ra_page_bytes, left = c->cfg.buffer_bytes - c->ra_bytes;
    uint64_t n = base_min_u64(RA_SLAB_PAGES, left / page);
    struct client_slab *s = n ? mem_zalloc(c->mem, sizeof *s) : NULL;
    if (!s)
        return;
    s->bytes = n * page + RA_ALIGN;
    s->mem = mem_alloc(c->mem, s->bytes);
    if (!s->mem) {
        mem_free(c->mem, s, sizeof *s);
        return;
    }
    list_push_back(&c->ra_slabs, &s->link);
    c->ra_bytes += n * page;
    char *at = s->mem + (RA_ALIGN - (uintptr_t)s->mem % RA_ALIGN);
    for (uint64_t i = n; i-- > 0;)
        list_push_front(&c->ra_free, (struct list *)(void *)(at + i * page));
}

static void ra_buf_put(struct client *c, char *buf)
{
    list_push_front(&c->ra_free, (struct list *)(void *)buf);
    c->ra_out--;
}

/* off every list; its memory goes back */
static void ra_free(struct client_ra *ra)
{
    struct client *c = ra->c;
    if (list_linked(&ra->link)) {
        list_remove(&ra->link);
        ra->f->n_ra--;
    }
    if (list_linked(&ra->lru))
        list_remove(&ra->lru);
    ASSERT(list_empty(&ra->waiting));
    ra->over = true;
    if (ra->n_lent)
        return;
    ra_buf_put(c, ra->buf);
    mem_free(c->mem, ra, sizeof *ra);
}

static char *ra_buf_get(struct client *c)
{
    bool is_other_size = c->ra_page_bytes != c->page_bytes; /* the cluster's has changed */
    for (;;) {
        if (is_other_size && !c->ra_out) {
            ra_slabs_free(c);
            c->ra_page_bytes = c->page_bytes;
            is_other_size = false;
        }
        if (!is_other_size && list_empty(&c->ra_free))
            ra_slab_make(c);
        struct list *l = is_other_size ? NULL : list_pop(&c->ra_free);
        if (l) {
            c->ra_out++;
            return (char *)l;
        }
        if (list_empty(&c->ra_lru))
            return NULL;
        ra_free(list_entry(c->ra_lru.next, struct client_ra, lru));
    }
}

struct client_ra *client_readahead_find(struct client_file *f, uint64_t off)
{
    list_each(it, &f->ra) {
        struct client_ra *ra = list_entry(it, struct client_ra, link);
        if (off >= ra->off && off < ra->off + ra->len)
            return ra;
    }
    return NULL;
}

uint64_t client_readahead_next(struct client_file *f, uint64_t off)
{
    uint64_t next = UINT64_MAX;
    list_each(it, &f->ra) {
        struct client_ra *ra = list_entry(it, struct client_ra, link);
        if (ra->off > off)
            next = base_min_u64(next, ra->off);
    }
    return next;
}

static bool ra_start(struct client_file *f, uint64_t off, uint32_t len)
{
    struct client *c = f->cf->c;
    char *buf = env_fault(c->env, "client.reads_no_ahead") ? NULL : ra_buf_get(c);
    struct client_ra *ra = buf ? mem_zalloc(c->mem, sizeof *ra) : NULL;
    struct client_piece *p = ra ? client_piece_get(f, IO_READ) : NULL;
    if (!p) {
        mem_free(c->mem, ra, sizeof *ra);
        if (buf)
            ra_buf_put(c, buf);
        return false;
    }
    ra->c = c;
    ra->f = f;
    ra->off = off;
    ra->len = len;
    ra->buf = buf;
    ra->piece = p;
    list_init(&ra->lru);
    list_init(&ra->waiting);
    list_push_back(&f->ra, &ra->link);
    f->n_ra++;
    c->stats.readahead_pages++;
    p->ra = ra;
    p->buf = buf;
    p->off = off;
    p->len = len;
    p->deadline_ns = env_now_ns(c->env) + c->cfg.deadline_ns;
    client_piece_start(p);
    return true;
}

void client_readahead_fill(struct client_file *f)
{
    struct client *c = f->cf->c;
    uint64_t page = c->page_bytes;
    uint64_t pos = f->ra_next;
    uint64_t until = base_min_u64(f->pin.size, (pos / page + 1 + f->ra_window) * page);
    /* leave pieces for those who wait now */
    while (pos < until && f->n_ra < 2 * c->cfg.readahead_pages &&
           c->piece_pool.free_count > CLIENT_PIECES_MAX / 4) {
        struct client_ra *ra = client_readahead_find(f, pos);
        if (ra) {
            pos = ra->off + ra->len;
            continue;
        }
        uint64_t end = base_min_u64((pos / page + 1) * page, until);
        end = base_min_u64(end, (pos / c->stripe_bytes + 1) * c->stripe_bytes);
        end = base_min_u64(end, client_readahead_next(f, pos));
        if (!ra_start(f, pos, (uint32_t)(end - pos)))
            return;
        pos = end;
    }
}

/* what lies so far behind that no late read will want it */
static void ra_drop_behind(struct client_file *f, uint64_t off)
{
    uint64_t slack = RA_SLACK_PAGES * f->cf->c->page_bytes;
    list_each_safe(it, &f->ra) {
        struct client_ra *ra = list_entry(it, struct client_ra, link);
        if (ra->ready && ra->off + ra->len + slack < off)
            ra_free(ra);
    }
}

void client_readahead_note(struct client_file *f, uint64_t off, uint32_t len)
{
    struct client *c = f->cf->c;
    uint64_t page = c->page_bytes, slack = RA_SLACK_PAGES * page;
    uint32_t max = c->cfg.readahead_pages;
    if (!max || !len || page > c->cfg.buffer_bytes)
        return;
    bool near = f->ra_window && off + slack >= f->ra_next && off <= f->ra_next + slack;
    if (!f->ra_seen || (off != f->ra_next && !near)) {
        client_readahead_drop(f);
        f->ra_seen = true;
        f->ra_window = 0;
        f->ra_next = off + len;
        f->ra_page = f->ra_next / page;
        return;
    }
    f->ra_next = base_max_u64(f->ra_next, off + len);
    if (!f->ra_window)
        f->ra_window = 1;
    else if (f->ra_next / page > f->ra_page)
        f->ra_window = f->ra_window * 2 < max ? f->ra_window * 2 : max;
    f->ra_page = f->ra_next / page;
    ra_drop_behind(f, off);
    client_readahead_fill(f);
}

void client_readahead_used(struct client_ra *ra, uint64_t off, uint32_t n)
{
    ra->used += n;
    if (ra->used >= ra->len || off + n == ra->off + ra->len)
        ra_free(ra);
}

const void *client_readahead_lend(struct client_ra *ra, uint64_t off, uint32_t n)
{
    const void *at = ra->buf + (off - ra->off);
    ra->n_lent++;
    client_readahead_used(ra, off, n);
    return at;
}

void client_give_back(struct client *c, struct client_io *io)
{
    struct client_ra *ra = client_ior_of(io)->lender;
    (void)c;
    ASSERT(io->lent);
    io->lent = NULL;
    if (!ra) {
        client_pages_give_back(client_ior_of(io)->lent_page);
        return;
    }
    ASSERT(ra->n_lent);
    if (--ra->n_lent == 0 && ra->over)
        ra_free(ra);
}

/* the fetch is over, well or not */
static void ra_end(struct client_ra *ra, bool ok, uint32_t len)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &ra->waiting);
    ra->piece = NULL;
    if (ok && len && !ra->dropped) {
        ra->ready = true;
        ra->len = len;
        list_push_back(&ra->c->ra_lru, &ra->lru);
    } else {
        ra_free(ra);
    }
    client_io_wake(&waiting);
}

void client_readahead_done(struct client_piece *p)
{
    struct client_ra *ra = p->ra;
    bool ok = p->ret >= 0;
    uint32_t len = ok ? (uint32_t)p->ret : 0;
    p->ra = NULL;
    ra_end(ra, ok, len);
    client_piece_put(p);
}

void client_readahead_lost(struct client_ra *ra)
{
    ra_end(ra, false, 0);
}

void client_readahead_drop(struct client_file *f)
{
    while (!list_empty(&f->ra)) {
        struct client_ra *ra = list_entry(f->ra.next, struct client_ra, link);
        list_remove(&ra->link);
        f->n_ra--;
        ra->dropped = true;
        if (ra->ready)
            ra_free(ra);
        else
            client_piece_cancel(ra->piece); /* its buffer goes back when it cannot be reached */
    }
}

void client_readahead_free(struct client *c)
{
    ra_slabs_free(c);
}
