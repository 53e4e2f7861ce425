/* core/buf.h - a bounded codec for stored and sent bytes.
 *
 * A writer past its end or a reader past its end sets `bad` and does nothing more: check `bad`
 * once, after the last field.  Readers never trust a length: get_* on a bad reader returns 0 or
 * NULL. */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include "core/base.h"

struct wbuf {
    uint8_t *p;
    size_t len, cap;
    bool bad;
};

struct rbuf {
    const uint8_t *p;
    size_t pos, len;
    bool bad;
};

static inline struct wbuf wbuf_make(void *p, size_t cap)
{
    return (struct wbuf){p, 0, cap, false};
}

static inline struct rbuf rbuf_make(const void *p, size_t len)
{
    return (struct rbuf){p, 0, len, false};
}

/* room for n bytes at the end, or NULL (and bad) */
static inline void *wbuf_room(struct wbuf *w, size_t n)
{
    if (w->bad || n > w->cap - w->len) {
        w->bad = true;
        return NULL;
    }
    w->len += n;
    return w->p + w->len - n;
}

static inline void wbuf_bytes(struct wbuf *w, const void *b, size_t n)
{
    void *to = wbuf_room(w, n);
    if (to && n)
        memcpy(to, b, n);
}

static inline void wbuf_u8(struct wbuf *w, uint8_t v)
{
    wbuf_bytes(w, &v, 1);
}

static inline void wbuf_u16(struct wbuf *w, uint16_t v)
{
    wbuf_bytes(w, &v, 2);
}

static inline void wbuf_u32(struct wbuf *w, uint32_t v)
{
    wbuf_bytes(w, &v, 4);
}

static inline void wbuf_u64(struct wbuf *w, uint64_t v)
{
    wbuf_bytes(w, &v, 8);
}

/* u16 length, then the bytes */
static inline void wbuf_str16(struct wbuf *w, const void *s, size_t n)
{
    if (n > UINT16_MAX) {
        w->bad = true;
        return;
    }
    wbuf_u16(w, (uint16_t)n);
    wbuf_bytes(w, s, n);
}

/* u32 length, then the bytes */
static inline void wbuf_str32(struct wbuf *w, const void *s, size_t n)
{
    if (n > UINT32_MAX) {
        w->bad = true;
        return;
    }
    wbuf_u32(w, (uint32_t)n);
    wbuf_bytes(w, s, n);
}

/* A ring of cap bytes: n bytes at position pos, which counts on for ever. */
static inline void buf_ring_put(uint8_t *ring, uint64_t cap, uint64_t pos, const void *from,
                                uint64_t n)
{
    uint64_t at = pos % cap, first = base_min_u64(n, cap - at);
    if (first)
        memcpy(ring + at, from, first);
    if (n > first)
        memcpy(ring, (const uint8_t *)from + first, n - first);
}

static inline void buf_ring_get(const uint8_t *ring, uint64_t cap, uint64_t pos, void *to,
                                uint64_t n)
{
    uint64_t at = pos % cap, first = base_min_u64(n, cap - at);
    if (first)
        memcpy(to, ring + at, first);
    if (n > first)
        memcpy((uint8_t *)to + first, ring, n - first);
}

static inline size_t rbuf_left(const struct rbuf *r)
{
    return r->bad ? 0 : r->len - r->pos;
}

/* the next n bytes in place, or NULL (and bad) */
static inline const void *rbuf_bytes(struct rbuf *r, size_t n)
{
    if (r->bad || n > r->len - r->pos) {
        r->bad = true;
        return NULL;
    }
    r->pos += n;
    return r->p + r->pos - n;
}

static inline uint8_t rbuf_u8(struct rbuf *r)
{
    const uint8_t *b = rbuf_bytes(r, 1);
    return b ? *b : 0;
}

static inline uint16_t rbuf_u16(struct rbuf *r)
{
    const void *b = rbuf_bytes(r, 2);
    return b ? base_get_u16(b) : 0;
}

static inline uint32_t rbuf_u32(struct rbuf *r)
{
    const void *b = rbuf_bytes(r, 4);
    return b ? base_get_u32(b) : 0;
}

static inline uint64_t rbuf_u64(struct rbuf *r)
{
    const void *b = rbuf_bytes(r, 8);
    return b ? base_get_u64(b) : 0;
}

/* bytes written by wbuf_str16, in place; *ret_n is their length; NULL only when bad */
static inline const void *rbuf_str16(struct rbuf *r, size_t *ret_n)
{
    *ret_n = rbuf_u16(r);
    const void *b = rbuf_bytes(r, *ret_n);
    if (!b)
        *ret_n = 0;
    return b;
}

static inline const void *rbuf_str32(struct rbuf *r, size_t *ret_n)
{
    *ret_n = rbuf_u32(r);
    const void *b = rbuf_bytes(r, *ret_n);
    if (!b)
        *ret_n = 0;
    return b;
}

#endif
