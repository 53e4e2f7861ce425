/* journal/ship_format.c - see ship_format.h. */
#include "journal/ship_format.h"
#include "journal/log_format.h"

void ship_format_get_put(struct wbuf *w, const struct ship_get *g)
{
    wbuf_u64(w, g->index);
    wbuf_u64(w, g->term);
    wbuf_u64(w, g->off);
    wbuf_u32(w, g->len);
    wbuf_u32(w, g->tag);
}

int ship_format_get_get(const void *p, size_t n, struct ship_get *ret)
{
    struct rbuf r = rbuf_make(p, n);
    ret->index = rbuf_u64(&r);
    ret->term = rbuf_u64(&r);
    ret->off = rbuf_u64(&r);
    ret->len = rbuf_u32(&r);
    ret->tag = rbuf_u32(&r);
    bool odd = ret->off % LOG_BLOCK || ret->len % LOG_BLOCK || ret->off > INT64_MAX;
    return r.bad || rbuf_left(&r) || odd || ret->index == 0 || ret->len == 0 ||
                   ret->len > SHIP_CHUNK
               ? E_PROTO
               : 0;
}

void ship_format_data_put(struct wbuf *w, const struct ship_data *d)
{
    wbuf_u64(w, d->index);
    wbuf_u64(w, d->off);
    wbuf_u64(w, d->total);
    wbuf_u64(w, d->newest);
    wbuf_u64(w, d->newest_term);
    wbuf_u32(w, d->tag);
    wbuf_u32(w, d->mark);
    wbuf_u32(w, (uint32_t)d->err);
    wbuf_u32(w, d->n);
}

int ship_format_data_get(const void *p, size_t n, struct ship_data *ret)
{
    struct rbuf r = rbuf_make(p, n);
    ret->index = rbuf_u64(&r);
    ret->off = rbuf_u64(&r);
    ret->total = rbuf_u64(&r);
    ret->newest = rbuf_u64(&r);
    ret->newest_term = rbuf_u64(&r);
    ret->tag = rbuf_u32(&r);
    ret->mark = rbuf_u32(&r);
    ret->err = err_checked((int32_t)rbuf_u32(&r));
    ret->n = rbuf_u32(&r);
    ret->bytes = rbuf_bytes(&r, ret->n);
    if (r.bad || rbuf_left(&r) || ret->n > SHIP_CHUNK)
        return E_PROTO;
    if (ret->err)
        return ret->n ? E_PROTO : 0;
    bool odd = ret->off % LOG_BLOCK || ret->n % LOG_BLOCK || ret->total % LOG_BLOCK;
    return odd || ret->n == 0 || ret->total > INT64_MAX || ret->off > ret->total ||
                   ret->n > ret->total - ret->off
               ? E_PROTO
               : 0;
}
