/* journal/image_check.c - HEAD -> (PIECE -> BYTES -> SKIP)* -> WHOLE, or BAD from any of them. */
#include "core/crc.h"
#include "journal/image_check.h"

void image_check_begin(struct image_check *c, uint64_t index, uint64_t epoch, uint64_t cluster_hi,
                       uint64_t cluster_lo)
{
    memset(c, 0, sizeof *c);
    c->index = index;
    c->epoch = epoch;
    c->cluster_hi = cluster_hi;
    c->cluster_lo = cluster_lo;
}

static void image_check_bad(struct image_check *c, int why)
{
    c->verdict = why;
    c->state = IMAGE_CHECK_BAD;
}

static void image_check_head(struct image_check *c)
{
    struct log_image h;
    int ret = log_format_check(c->head, LOG_BLOCK, LOG_IMAGE_MAGIC);
    memcpy(&h, c->head, sizeof h);
    if (ret == 0 && (h.cluster_hi != c->cluster_hi || h.cluster_lo != c->cluster_lo))
        ret = E_CLUSTER;
    else if (ret == E_NODATA ||
             (ret == 0 && (h.index != c->index || (c->epoch && h.epoch != c->epoch))))
        ret = E_CORRUPT;
    if (ret) {
        image_check_bad(c, ret);
        return;
    }
    c->crc = h.crc;
    c->good = c->pos;
    c->got = 0;
    c->state = IMAGE_CHECK_PIECE;
}

static void image_check_skip(struct image_check *c, uint64_t to)
{
    c->left = to - c->pos;
    c->got = 0;
    c->state = c->left ? IMAGE_CHECK_SKIP : IMAGE_CHECK_PIECE;
}

/* a piece's header has come, or its first bytes, which may say that there is none */
static void image_check_piece(struct image_check *c)
{
    const struct log_piece *p = &c->piece;
    struct log_piece bare;
    if (c->got >= sizeof p->kind && p->kind == 0) {
        image_check_skip(c, base_align_up(c->pos - c->got + 1, LOG_BLOCK));
        return;
    }
    if (c->got < sizeof *p)
        return;
    bool is_end = p->kind == LOG_PIECE_END;
    if ((!is_end && p->kind != LOG_PIECE_DATA) || p->number != c->number || p->len == 0 ||
        p->len > LOG_PIECE_MAX - sizeof *p || (is_end && p->len != sizeof c->end)) {
        image_check_bad(c, E_CORRUPT);
        return;
    }
    bare = *p;
    bare.crc = 0;
    c->crc = crc_update(c->crc, &bare, sizeof bare);
    c->left = p->len;
    c->got = 0;
    c->state = IMAGE_CHECK_BYTES;
}

static void image_check_bytes(struct image_check *c)
{
    if (c->crc != c->piece.crc) {
        image_check_bad(c, E_CORRUPT);
        return;
    }
    if (c->piece.kind == LOG_PIECE_END) {
        c->good = c->pos;
        c->state = IMAGE_CHECK_WHOLE;
        if (c->end.index != c->index || c->end.data_bytes != c->data_bytes)
            image_check_bad(c, E_CORRUPT);
        return;
    }
    c->number++;
    c->data_bytes += c->piece.len;
    c->good = base_align_up(c->pos, 8);
    image_check_skip(c, c->good);
}

/* takes m of the bytes at p for the present state */
static void image_check_take(struct image_check *c, const uint8_t *p, size_t m)
{
    c->pos += m;
    switch (c->state) {
    case IMAGE_CHECK_HEAD:
        memcpy(c->head + c->got, p, m);
        c->got += (uint32_t)m;
        if (c->got == LOG_BLOCK)
            image_check_head(c);
        break;
    case IMAGE_CHECK_PIECE:
        memcpy((uint8_t *)&c->piece + c->got, p, m);
        c->got += (uint32_t)m;
        image_check_piece(c);
        break;
    case IMAGE_CHECK_BYTES:
        if (c->piece.kind == LOG_PIECE_END)
            memcpy((uint8_t *)&c->end + (sizeof c->end - c->left), p, m);
        c->crc = crc_update(c->crc, p, m);
        c->left -= m;
        if (c->left == 0)
            image_check_bytes(c);
        break;
    case IMAGE_CHECK_SKIP:
        c->left -= m;
        if (c->left == 0)
            c->state = IMAGE_CHECK_PIECE;
        break;
    case IMAGE_CHECK_WHOLE:
    case IMAGE_CHECK_BAD:
        break;
    }
}

bool image_check_feed(struct image_check *c, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n && c->state < IMAGE_CHECK_WHOLE) {
        /* a piece's kind comes alone: if it is 0 nothing follows it */
        uint64_t want = c->state == IMAGE_CHECK_HEAD    ? LOG_BLOCK - c->got
                        : c->state != IMAGE_CHECK_PIECE ? c->left
                        : c->got < sizeof c->piece.kind ? sizeof c->piece.kind - c->got
                                                        : sizeof c->piece - c->got;
        size_t m = (size_t)base_min_u64(want, n);
        image_check_take(c, p, m);
        p += m;
        n -= m;
    }
    return c->state != IMAGE_CHECK_BAD;
}
