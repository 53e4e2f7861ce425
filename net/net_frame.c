/* net/net_frame.c - the bytes of net_frame.h, both ways.  Pure: fuzzed by tests/fuzz.
 *
 * Invariants:
 *  1. Decoding never reads past what it was given and accepts only what encode can produce.
 *  2. A header that passed can be trusted as far as lengths go: a frame fits ENV_FRAME_MAX, a
 *     transfer NET_FRAME_RMA_MAX; tokens and offsets are for the regions' owner to check. */
#include "core/crc.h"
#include "net/net_frame.h"

static const char net_frame_hello_magic[8] = {'t', 'a', 'r', 'n', '/', 'n', 'e', 't'};

void net_frame_encode(const struct net_frame *f, uint8_t to[NET_FRAME_HEAD])
{
    to[0] = NET_FRAME_MAGIC;
    to[1] = NET_FRAME_LAYOUT;
    to[2] = f->kind;
    to[3] = 0;
    base_put_u16(to + 4, f->type);
    base_put_u16(to + 6, (uint16_t)(f->offset >> 32));
    base_put_u32(to + 8, f->length);
    base_put_u32(to + 12, f->check);
    base_put_u64(to + 16, f->token);
    base_put_u32(to + 24, (uint32_t)f->offset);
    base_put_u32(to + 28, crc_update(0, to, 28));
}

/* fields that a kind does not use are zero, so that they can get a meaning later */
static int net_frame_sane(const struct net_frame *f)
{
    switch (f->kind) {
    case NET_FRAME_FRAME:
        if (f->token || f->offset)
            return E_PROTO;
        return f->length <= ENV_FRAME_MAX ? 0 : E_TOOBIG;
    case NET_FRAME_WRITE:
        if (f->type || f->check || !f->token)
            return E_PROTO;
        return f->length <= NET_FRAME_RMA_MAX ? 0 : E_TOOBIG;
    case NET_FRAME_READ:
        if (f->type || !f->token)
            return E_PROTO;
        return f->length <= NET_FRAME_RMA_MAX ? 0 : E_TOOBIG;
    case NET_FRAME_READ_DATA:
        if (f->type || f->token || f->offset)
            return E_PROTO;
        return f->length <= NET_FRAME_RMA_MAX ? 0 : E_TOOBIG;
    case NET_FRAME_READ_ERR:
        return f->type || f->length || f->offset || !f->token ? E_PROTO : 0;
    default:
        return E_PROTO;
    }
}

int net_frame_decode(const uint8_t from[NET_FRAME_HEAD], struct net_frame *ret_f)
{
    if (from[0] != NET_FRAME_MAGIC)
        return E_PROTO;
    if (base_get_u32(from + 28) != crc_update(0, from, 28))
        return E_CORRUPT;
    if (from[1] != NET_FRAME_LAYOUT)
        return E_VERSION;
    if (from[3])
        return E_PROTO;
    struct net_frame f = {
        .kind = from[2],
        .type = base_get_u16(from + 4),
        .length = base_get_u32(from + 8),
        .check = base_get_u32(from + 12),
        .token = base_get_u64(from + 16),
        .offset = base_get_u32(from + 24) | (uint64_t)base_get_u16(from + 6) << 32,
    };
    int err = net_frame_sane(&f);
    if (!err)
        *ret_f = f;
    return err;
}

uint32_t net_frame_payload(const struct net_frame *f)
{
    return f->kind == NET_FRAME_READ ? 0 : f->length;
}

int net_frame_check(const struct net_frame *f, const void *payload)
{
    return crc_update(0, payload, f->length) == f->check ? 0 : E_CORRUPT;
}

void net_frame_hello_encode(const struct net_hello *h, uint8_t to[NET_FRAME_HELLO])
{
    memset(to, 0, NET_FRAME_HELLO);
    memcpy(to, net_frame_hello_magic, 8);
    base_put_u16(to + 8, h->version_min);
    base_put_u16(to + 10, h->version_max);
    base_put_u32(to + 12, h->features);
    base_put_u64(to + 16, h->cluster_hi);
    base_put_u64(to + 24, h->cluster_lo);
    base_put_u32(to + 32, h->frame_max);
    base_put_u16(to + 36, h->formats.log_min);
    base_put_u16(to + 38, h->formats.log_max);
    base_put_u16(to + 40, h->formats.image_min);
    base_put_u16(to + 42, h->formats.image_max);
    memcpy(to + 92, h->challenge, NET_FRAME_CHALLENGE);
    base_put_u32(to + 124, crc_update(0, to, 124));
}

int net_frame_hello_decode(const uint8_t *from, size_t n, struct net_hello *ret_h)
{
    /* a stranger (a browser, a scanner) is told apart by its first byte, not by a timeout */
    if (memcmp(from, net_frame_hello_magic, n < 8 ? n : 8))
        return E_PROTO;
    if (n < 12)
        return E_AGAIN;
    *ret_h = (struct net_hello){.version_min = base_get_u16(from + 8),
                                .version_max = base_get_u16(from + 10)};
    if (ret_h->version_min > ret_h->version_max)
        return E_PROTO;
    if (ret_h->version_max < NET_FRAME_VERSION_MIN || ret_h->version_min > NET_FRAME_VERSION)
        return E_VERSION;
    if (n < NET_FRAME_HELLO)
        return E_AGAIN;
    if (base_get_u32(from + 124) != crc_update(0, from, 124))
        return E_CORRUPT;
    *ret_h = (struct net_hello){
        .version_min = base_get_u16(from + 8),
        .version_max = base_get_u16(from + 10),
        .features = base_get_u32(from + 12),
        .cluster_hi = base_get_u64(from + 16),
        .cluster_lo = base_get_u64(from + 24),
        .frame_max = base_get_u32(from + 32),
        .formats = {base_get_u16(from + 36), base_get_u16(from + 38), base_get_u16(from + 40),
                    base_get_u16(from + 42)},
    };
    memcpy(ret_h->challenge, from + 92, NET_FRAME_CHALLENGE);
    return 0;
}

/* two ranges have something in common, or one side has none */
static bool net_frame_overlap(uint16_t a_min, uint16_t a_max, uint16_t b_min, uint16_t b_max)
{
    return !a_max || !b_max || (a_min <= b_max && b_min <= a_max);
}

int net_frame_hello_match(const struct net_hello *mine, const struct net_hello *theirs)
{
    const struct net_formats *a = &mine->formats, *b = &theirs->formats;
    if (!memcmp(theirs->challenge, mine->challenge, NET_FRAME_CHALLENGE))
        return E_REFUSED;
    uint16_t lo = mine->version_min > theirs->version_min ? mine->version_min : theirs->version_min;
    uint16_t hi = mine->version_max < theirs->version_max ? mine->version_max : theirs->version_max;
    if (lo > hi || theirs->frame_max < ENV_FRAME_MAX ||
        !net_frame_overlap(a->log_min, a->log_max, b->log_min, b->log_max) ||
        !net_frame_overlap(a->image_min, a->image_max, b->image_min, b->image_max))
        return E_VERSION;
    bool any = !(mine->cluster_hi | mine->cluster_lo) || !(theirs->cluster_hi | theirs->cluster_lo);
    if (!any && (mine->cluster_hi != theirs->cluster_hi || mine->cluster_lo != theirs->cluster_lo))
        return E_CLUSTER;
    return hi;
}
