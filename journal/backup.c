/* journal/backup.c - see backup.h. */
#include "journal/backup.h"
#include "core/crc.h"
#include "journal/era.h"
#include "journal/raft_format.h"

static_assert(sizeof(struct backup_head) + RAFT_FORMAT_CONF_MAX <= LOG_BLOCK, "one block");

/* --- the head --- */

void backup_head_put(uint8_t block[LOG_BLOCK], const struct backup *b)
{
    struct backup_head h = b->head;
    memset(block, 0, LOG_BLOCK);
    struct wbuf w = wbuf_make(block + sizeof h, LOG_BLOCK - sizeof h);
    if (b->conf.n)
        raft_format_conf_put(&w, &b->conf);
    ASSERT(!w.bad);
    h.conf_len = (uint32_t)w.len;
    memcpy(block, &h, sizeof h);
    log_format_seal(block, LOG_BLOCK, BACKUP_MAGIC);
}

int backup_head_get(const uint8_t block[LOG_BLOCK], struct backup *ret_b)
{
    int ret = log_format_check(block, LOG_BLOCK, BACKUP_MAGIC);
    memset(ret_b, 0, sizeof *ret_b);
    if (ret)
        return ret;
    struct backup_head *h = &ret_b->head;
    memcpy(h, block, sizeof *h);
    if (h->conf_len > LOG_BLOCK - sizeof *h || h->index == 0 || h->index > UINT64_MAX / 2)
        return E_CORRUPT;
    struct rbuf r = rbuf_make(block + sizeof *h, h->conf_len);
    return h->conf_len && (raft_format_conf_get(&r, &ret_b->conf) || rbuf_left(&r)) ? E_CORRUPT : 0;
}

/* --- reading an image --- */

int backup_walk_begin(struct backup_walk *w, const uint8_t *p, uint64_t n)
{
    *w = (struct backup_walk){.p = p, .n = n, .pos = LOG_BLOCK};
    if (n < LOG_BLOCK)
        return E_EOF;
    int ret = log_format_check(p, LOG_BLOCK, LOG_IMAGE_MAGIC);
    if (ret)
        return ret;
    memcpy(&w->head, p, sizeof w->head);
    w->crc = w->head.crc;
    return 0;
}

int backup_walk_next(struct backup_walk *w, const uint8_t **ret_bytes, uint32_t *ret_len)
{
    struct log_piece h;
    struct log_image_end end;
    for (;;) {
        if (w->pos > w->n || w->n - w->pos < sizeof h)
            return E_EOF;
        memcpy(&h, w->p + w->pos, sizeof h);
        if (h.kind)
            break;
        w->pos = base_align_up(w->pos + 1, LOG_BLOCK);
    }
    const uint8_t *bytes = w->p + w->pos + sizeof h;
    if ((h.kind != LOG_PIECE_DATA && h.kind != LOG_PIECE_END) || h.number != w->number ||
        h.len == 0 || h.len > LOG_PIECE_MAX - sizeof h)
        return E_CORRUPT;
    if (w->n - w->pos - sizeof h < h.len)
        return E_EOF;
    if (log_format_piece_crc(&h, bytes, w->crc) != h.crc)
        return E_CORRUPT;
    w->crc = h.crc;
    w->pos = base_align_up(w->pos + sizeof h + h.len, 8);
    if (h.kind == LOG_PIECE_END) {
        memcpy(&end, bytes, base_min_u64(sizeof end, h.len));
        return h.len == sizeof end && end.index == w->head.index && end.data_bytes == w->data_bytes
                   ? 0
                   : E_CORRUPT;
    }
    w->number++;
    w->data_bytes += h.len;
    *ret_bytes = bytes;
    *ret_len = h.len;
    return 1;
}

/* --- writing one --- */

void backup_out_begin(struct backup_out *o, const struct log_image *head)
{
    uint8_t *buf = o->buf;
    struct log_image h = *head;
    memset(buf, 0, LOG_BLOCK);
    memcpy(buf, &h, sizeof h);
    log_format_seal(buf, LOG_BLOCK, LOG_IMAGE_MAGIC);
    memcpy(&h, buf, sizeof h);
    *o = (struct backup_out){.buf = buf, .len = LOG_BLOCK, .crc = h.crc, .index = h.index};
    o->written = o->len;
}

static void backup_out_put(struct backup_out *o, uint32_t kind, const void *bytes, uint32_t len)
{
    struct log_piece h = {.kind = kind, .len = len, .number = o->number};
    uint8_t *to = o->buf + o->len;
    ASSERT(o->len <= LOG_BLOCK && len && len <= LOG_PIECE_MAX - sizeof h);
    memcpy(to + sizeof h, bytes, len);
    o->crc = h.crc = log_format_piece_crc(&h, to + sizeof h, o->crc);
    memcpy(to, &h, sizeof h);
    uint32_t n = (uint32_t)sizeof h + len, padded = (uint32_t)base_align_up(n, 8);
    memset(to + n, 0, padded - n);
    o->len += padded;
    o->written += padded;
}

void backup_out_piece(struct backup_out *o, const void *bytes, uint32_t len)
{
    backup_out_put(o, LOG_PIECE_DATA, bytes, len);
    o->number++;
    o->data_bytes += len;
}

void backup_out_end(struct backup_out *o)
{
    struct log_image_end end = {o->index, o->data_bytes};
    backup_out_put(o, LOG_PIECE_END, &end, sizeof end);
    uint32_t pad = (uint32_t)(base_align_up(o->written, LOG_BLOCK) - o->written);
    memset(o->buf + o->len, 0, pad);
    o->len += pad;
    o->written += pad;
}

/* --- what a restore makes of it --- */

/* of this file and list */
static uint64_t backup_mark(const struct backup *b, const struct raft_conf *members)
{
    uint8_t bytes[RAFT_FORMAT_CONF_MAX];
    struct wbuf w = wbuf_make(bytes, sizeof bytes);
    raft_format_conf_put(&w, members);
    ASSERT(!w.bad);
    const struct backup_head *h = &b->head;
    return base_mix_u64(h->index ^ base_mix_u64(h->term ^ base_mix_u64(h->crc))) ^
           crc_update(h->chain, bytes, w.len);
}

static uint32_t backup_mark_end(const struct backup *b, const struct raft_conf *members)
{
    return base_mix_u64(backup_mark(b, members)) & UINT16_MAX;
}

uint64_t backup_restore_era(const struct backup *b, const struct raft_conf *members, uint64_t known,
                            int64_t wall_ns, uint32_t chance)
{
    return era_next(base_max_u64(known, b->head.era), wall_ns,
                    chance << 16 | backup_mark_end(b, members));
}

bool backup_restore_fits(const struct backup *b, const struct raft_conf *members, uint64_t era)
{
    return era_is_over(b->head.era, era) && (era & UINT16_MAX) == backup_mark_end(b, members);
}

struct backup_plan backup_restore_plan(const struct backup *b, const struct raft_conf *members,
                                       uint64_t era, bool is_new)
{
    const struct backup_head *h = &b->head;
    struct backup_plan p = {h->cluster_hi, h->cluster_lo, era};
    if (is_new) {
        uint64_t mark = backup_mark(b, members) ^ base_mix_u64(era);
        p.cluster_hi = base_mix_u64(h->cluster_hi ^ mark) | 1;
        p.cluster_lo = base_mix_u64(h->cluster_lo + mark + 1);
    }
    return p;
}
