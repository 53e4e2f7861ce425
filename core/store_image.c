/* core/store_image.c - writing a store out while it changes, and reading it back (core/store.h).
 *
 * The writer hands out segments: a small head from image.head, then a page's bytes.  A page counts
 * as written only when its last byte has left, so one that changes half way is copied first and the
 * rest comes from the copy.  The loader is a push parser over the same segments; it believes
 * nothing before the checksum that covers it, and nothing at all about sizes that differ from this
 * program's own tables. */
#include "core/store.h"
#include "core/buf.h"
#include "core/crc.h"

enum { STAGE_HEAD, STAGE_PAGES, STAGE_DONE, STAGE_BODY, STAGE_END, STAGE_BAD };

static const char store_magic[8] = {'t', 'a', 'r', 'n', 'i', 'm', 'g', '\n'};

static uint32_t store_pages_for(const struct store_table *t, uint32_t high)
{
    return high <= 1 ? 0 : (high - 1) / t->per_page + 1;
}

/* bytes in use of a page, when `high` is the table's next fresh slot */
static uint32_t store_page_bytes(const struct store_table *t, uint32_t high, uint32_t page)
{
    uint64_t n = base_min_u64((uint64_t)high - (uint64_t)page * t->per_page, t->per_page);
    return (uint32_t)n * t->def.record;
}

static uint32_t store_head_size(const struct store *s)
{
    return 16 + 20 * s->n + 4;
}

void store_image_begin(struct store *s)
{
    ASSERT(!s->image.on);
    s->epoch++;
    memset(&s->image, 0, sizeof s->image);
    s->image.on = true;
    struct wbuf w = wbuf_make(s->image.head, sizeof s->image.head);
    wbuf_bytes(&w, store_magic, sizeof store_magic);
    wbuf_u32(&w, STORE_VERSION);
    wbuf_u32(&w, s->n);
    for (unsigned i = 0; i < s->n; i++) {
        struct store_table *t = &s->t[i];
        t->cut_high = t->high;
        t->cut_free = t->free;
        t->cut_live = t->live;
        t->cut_pages = store_pages_for(t, t->high);
        wbuf_u32(&w, t->def.record);
        wbuf_u32(&w, t->def.page);
        wbuf_u32(&w, t->high);
        wbuf_u32(&w, t->free);
        wbuf_u32(&w, t->live);
    }
    wbuf_u32(&w, crc_update(0, s->image.head, w.len));
    ASSERT(!w.bad);
    s->image.head_len = (uint32_t)w.len;
}

/* the page just handed out is done: its copy, if any, may go */
static void store_image_page_done(struct store *s)
{
    struct store_image *im = &s->image;
    if (!im->body)
        return;
    struct store_table *t = &s->t[im->table];
    struct store_page *pg = &t->pages[im->page];
    pg->written = s->epoch;
    mem_free(s->mem, pg->copy, t->def.page);
    pg->copy = NULL;
    im->body = NULL;
    im->page++;
}

static void store_image_unit(struct store_image *im, uint32_t a, uint32_t b, uint32_t c)
{
    base_put_u32(im->head, a);
    base_put_u32(im->head + 4, b);
    base_put_u32(im->head + 8, c);
    uint32_t crc = crc_update(0, im->head, 12);
    if (im->body)
        crc = crc_update(crc, im->body, im->body_len);
    base_put_u32(im->head + 12, crc);
    im->sum = crc_update(im->sum, im->head + 12, 4);
    im->head_len = STORE_UNIT_HEAD;
    im->head_at = im->body_at = 0;
}

/* prepares the next segment; false at the end */
static bool store_image_advance(struct store *s)
{
    struct store_image *im = &s->image;
    if (im->stage == STAGE_DONE)
        return false;
    store_image_page_done(s);
    im->stage = STAGE_PAGES;
    while (im->table < s->n && im->page >= s->t[im->table].cut_pages) {
        im->table++;
        im->page = 0;
    }
    if (im->table == s->n) {
        im->stage = STAGE_DONE;
        im->body_len = 0;
        store_image_unit(im, UINT32_MAX, im->n_units, im->sum);
        return true;
    }
    struct store_table *t = &s->t[im->table];
    struct store_page *pg = &t->pages[im->page];
    im->body = pg->copy ? pg->copy : pg->p;
    im->body_len = store_page_bytes(t, t->cut_high, im->page);
    im->n_units++;
    store_image_unit(im, im->table, im->page, im->body_len);
    return true;
}

/* moves up to cap bytes of a segment; returns how many */
static uint32_t store_take(uint8_t *to, uint32_t cap, const uint8_t *from, uint32_t len,
                           uint32_t *at)
{
    uint32_t n = (uint32_t)base_min_u64(cap, len - *at);
    if (n)
        memcpy(to, from + *at, n);
    *at += n;
    return n;
}

uint32_t store_image_next(struct store *s, void *buf, uint32_t cap)
{
    struct store_image *im = &s->image;
    uint8_t *to = buf;
    uint32_t n = 0;
    if (!im->on)
        return 0;
    while (n < cap) {
        n += store_take(to + n, cap - n, im->head, im->head_len, &im->head_at);
        if (im->body) {
            struct store_page *pg = &s->t[im->table].pages[im->page];
            im->body = pg->copy ? pg->copy : pg->p;
            n += store_take(to + n, cap - n, im->body, im->body_len, &im->body_at);
        }
        if (n < cap && !store_image_advance(s))
            break;
    }
    return n;
}

void store_image_end(struct store *s)
{
    if (!s->image.on)
        return;
    s->image.on = false;
    s->image.body = NULL;
    /* those before its place have given their copies back, those behind the cut never had one */
    for (unsigned i = s->image.table; i < s->n; i++) {
        struct store_table *t = &s->t[i];
        for (uint32_t k = i == s->image.table ? s->image.page : 0; k < t->cut_pages; k++) {
            mem_free(s->mem, t->pages[k].copy, t->def.page);
            t->pages[k].copy = NULL;
        }
    }
}

void store_image_load_begin(struct store *s)
{
    store_reset(s);
    memset(&s->loader, 0, sizeof s->loader);
    s->loader.stage = STAGE_HEAD;
    s->loader.want = store_head_size(s);
}

static int store_load_head(struct store *s)
{
    struct store_loader *l = &s->loader;
    struct rbuf r = rbuf_make(l->head, l->have);
    const void *magic = rbuf_bytes(&r, sizeof store_magic);
    if (!magic || memcmp(magic, store_magic, sizeof store_magic) != 0)
        return E_CORRUPT;
    l->version = rbuf_u32(&r);
    if (l->version < STORE_VERSION_OLD || l->version > STORE_VERSION || rbuf_u32(&r) != s->n)
        return E_VERSION;
    if (crc_update(0, l->head, l->have - 4) != base_get_u32(l->head + l->have - 4))
        return E_CORRUPT;
    for (unsigned i = 0; i < s->n; i++) {
        struct store_table *t = &s->t[i];
        if (rbuf_u32(&r) != t->def.record || rbuf_u32(&r) != t->def.page)
            return E_VERSION;
        l->high[i] = rbuf_u32(&r);
        t->free = rbuf_u32(&r);
        t->live = rbuf_u32(&r);
        if (l->high[i] < 1 || t->free >= l->high[i] || t->live >= l->high[i])
            return E_CORRUPT;
    }
    l->stage = STAGE_PAGES;
    l->want = STORE_UNIT_HEAD;
    l->have = 0;
    return 0;
}

static int store_load_unit(struct store *s)
{
    struct store_loader *l = &s->loader;
    uint32_t table = base_get_u32(l->head), page = base_get_u32(l->head + 4);
    uint32_t len = base_get_u32(l->head + 8), crc = base_get_u32(l->head + 12);
    uint32_t own = crc_update(0, l->head, 12);
    while (l->table < s->n && l->page >= store_pages_for(&s->t[l->table], l->high[l->table])) {
        s->t[l->table].high = l->high[l->table];
        l->table++;
        l->page = 0;
    }
    if (table == UINT32_MAX) {
        if (l->table != s->n || page != l->n_units || len != l->sum || crc != own)
            return E_CORRUPT;
        l->stage = STAGE_END;
        l->want = 0;
        return 0;
    }
    if (l->table == s->n || table != l->table || page != l->page)
        return E_CORRUPT;
    struct store_table *t = &s->t[table];
    if (len != store_page_bytes(t, l->high[table], page))
        return E_CORRUPT;
    if (!store_page_add(s, t))
        return E_NOMEM;
    l->crc = own;
    l->stage = STAGE_BODY;
    l->body_len = len;
    l->body_at = 0;
    return 0;
}

static int store_load_body_done(struct store *s)
{
    struct store_loader *l = &s->loader;
    struct store_table *t = &s->t[l->table];
    uint32_t crc = crc_update(l->crc, t->pages[l->page].p, l->body_len);
    if (crc != base_get_u32(l->head + 12))
        return E_CORRUPT;
    l->sum = crc_update(l->sum, l->head + 12, 4);
    l->n_units++;
    l->page++;
    l->have = 0;
    l->want = STORE_UNIT_HEAD;
    l->stage = STAGE_PAGES;
    return 0;
}

int store_image_load(struct store *s, const void *piece, uint32_t n)
{
    struct store_loader *l = &s->loader;
    const uint8_t *p = piece;
    int err = 0;
    if (n == 0)
        return l->stage == STAGE_END ? 0 : E_CORRUPT;
    while (n > 0 && err == 0) {
        uint32_t take;
        switch (l->stage) {
        case STAGE_HEAD:
        case STAGE_PAGES:
            take = (uint32_t)base_min_u64(n, l->want - l->have);
            memcpy(l->head + l->have, p, take);
            l->have += take;
            if (l->have == l->want)
                err = l->stage == STAGE_HEAD ? store_load_head(s) : store_load_unit(s);
            break;
        case STAGE_BODY:
            take = (uint32_t)base_min_u64(n, l->body_len - l->body_at);
            memcpy(s->t[l->table].pages[l->page].p + l->body_at, p, take);
            l->body_at += take;
            if (l->body_at == l->body_len)
                err = store_load_body_done(s);
            break;
        default: /* bytes after the end, or after an error */
            return E_CORRUPT;
        }
        p += take;
        n -= take;
    }
    if (err)
        l->stage = STAGE_BAD;
    return err;
}
