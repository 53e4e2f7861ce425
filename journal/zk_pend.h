/* journal/zk_pend.h - records of a log in shared storage that are known and not applied: a ring of
 * bytes.  Their indices follow each other; what the log writes for itself takes an index, too. */
#ifndef JOURNAL_ZK_PEND_H
#define JOURNAL_ZK_PEND_H

#include "core/buf.h"
#include "core/mem.h"

enum {
    /* A leader has no more than this in its log that was not acknowledged, so nobody who reads it
     * needs more room. */
    ZK_PEND_MOST = 8 * 1024 * 1024,
    ZK_PEND_CAP = ZK_PEND_MOST + 256 * 1024,
};

struct zk_pend_head {
    uint32_t len, type;
};

struct zk_pend {
    uint8_t *ring;
    uint64_t head, tail;  /* bytes put in, taken out */
    uint64_t first, next; /* indices: of the first record; of the next that comes */
};

static inline uint64_t zk_pend_size(uint32_t len)
{
    return sizeof(struct zk_pend_head) + base_align_up(len, 8);
}

static inline void zk_pend_reset(struct zk_pend *p, uint64_t next)
{
    p->head = p->tail = 0;
    p->first = p->next = next;
}

static inline bool zk_pend_put(struct zk_pend *p, uint32_t type, const void *bytes, uint32_t len)
{
    static const uint8_t pad[8];
    struct zk_pend_head h = {len, type};
    uint64_t size = zk_pend_size(len);
    if (p->head - p->tail + size > ZK_PEND_CAP)
        return false;
    buf_ring_put(p->ring, ZK_PEND_CAP, p->head, &h, sizeof h);
    buf_ring_put(p->ring, ZK_PEND_CAP, p->head + sizeof h, bytes, len);
    buf_ring_put(p->ring, ZK_PEND_CAP, p->head + sizeof h + len, pad, size - sizeof h - len);
    p->head += size;
    p->next++;
    return true;
}

/* The record at *pos (p->tail at first), behind which *pos moves: its bytes, valid until the next
 * is put; `to` is for one that lies around the ring's end.  NULL: none. */
static inline const void *zk_pend_at(const struct zk_pend *p, uint64_t *pos,
                                     struct zk_pend_head *ret_h, void *to)
{
    if (*pos == p->head)
        return NULL;
    buf_ring_get(p->ring, ZK_PEND_CAP, *pos, ret_h, sizeof *ret_h);
    uint64_t at = (*pos + sizeof *ret_h) % ZK_PEND_CAP;
    *pos += zk_pend_size(ret_h->len);
    if (at + ret_h->len <= ZK_PEND_CAP)
        return p->ring + at;
    buf_ring_get(p->ring, ZK_PEND_CAP, at, to, ret_h->len);
    return to;
}

/* the first record, as zk_pend_at, and it goes */
static inline const void *zk_pend_pop(struct zk_pend *p, struct zk_pend_head *ret_h, void *to)
{
    const void *bytes = zk_pend_at(p, &p->tail, ret_h, to);
    p->first += bytes != NULL;
    if (bytes && p->tail == p->head) /* the few bytes at its beginning stay in the caches */
        p->head = p->tail = 0;
    return bytes;
}

#endif
