/* tests/fuzz/fuzz_ship.c - frames of images on their way: any bytes are refused or decoded within
 * their bounds, and what was decoded is encoded to the same bytes.  And the check of an image: its
 * verdict does not depend on the portions in which the bytes come. */
#include "journal/image_check.h"
#include "journal/ship_format.h"
#include "tests/fuzz/fuzz.h"

static struct image_check whole, parts;

static void fuzz_frame_get(const uint8_t *data, size_t size)
{
    struct ship_get g;
    uint8_t out[SHIP_FORMAT_GET];
    if (ship_format_get_get(data, size, &g))
        return;
    ASSERT(g.len > 0 && g.len <= SHIP_CHUNK && g.off % LOG_BLOCK == 0 && g.index);
    struct wbuf w = wbuf_make(out, sizeof out);
    ship_format_get_put(&w, &g);
    ASSERT(!w.bad && w.len == size && !memcmp(out, data, size));
}

static void fuzz_frame_data(const uint8_t *data, size_t size)
{
    struct ship_data d;
    uint8_t out[SHIP_FORMAT_DATA];
    if (ship_format_data_get(data, size, &d))
        return;
    ASSERT(d.n <= SHIP_CHUNK && d.err <= 0 && (d.err == 0) == (d.n > 0));
    ASSERT(d.err || (d.off + d.n <= d.total && d.off + d.n > d.off));
    ASSERT(d.n == 0 ||
           ((const uint8_t *)d.bytes >= data && (const uint8_t *)d.bytes + d.n == data + size));
    struct wbuf w = wbuf_make(out, sizeof out);
    ship_format_data_put(&w, &d);
    /* an error that is not known here becomes another */
    ASSERT(!w.bad && w.len + d.n == size && !memcmp(out, data, 48));
}

/* a good image to begin with; the input says what to change in it */
static size_t fuzz_image(uint8_t *b, struct rbuf *in)
{
    struct log_image h = {.cluster_hi = 1, .cluster_lo = 2, .index = 9, .epoch = 4};
    struct log_image_end end = {.index = 9};
    memset(b, 0, LOG_BLOCK);
    memcpy(b, &h, sizeof h);
    log_format_seal(b, LOG_BLOCK, LOG_IMAGE_MAGIC);
    memcpy(&h, b, sizeof h);
    uint32_t crc = h.crc, n = rbuf_u8(in) % 8;
    size_t at = LOG_BLOCK;
    for (uint32_t i = 0; i <= n; i++) {
        uint32_t len = i == n ? (uint32_t)sizeof end : 1u + rbuf_u16(in) % 3000;
        struct log_piece p = {
            .kind = i == n ? LOG_PIECE_END : LOG_PIECE_DATA, .len = len, .number = i};
        memset(b + at + sizeof p, (int)i, base_align_up(len, 8));
        end.data_bytes += i == n ? 0 : len;
        if (i == n)
            memcpy(b + at + sizeof p, &end, sizeof end);
        crc = p.crc = log_format_piece_crc(&p, b + at + sizeof p, crc);
        memcpy(b + at, &p, sizeof p);
        at = base_align_up(at + sizeof p + len, 8);
        size_t to = i == n || rbuf_u8(in) % 2 ? base_align_up(at, LOG_BLOCK) : at;
        memset(b + at, 0, to - at);
        at = to;
    }
    return at;
}

static void fuzz_check(const uint8_t *data, size_t size)
{
    static uint8_t b[128 * 1024];
    struct rbuf in = rbuf_make(data, size);
    size_t n = fuzz_image(b, &in);
    uint8_t damage = rbuf_u8(&in) % 4;
    for (int i = 0; i < damage; i++)
        b[rbuf_u32(&in) % n] ^= rbuf_u8(&in);
    image_check_begin(&whole, 9, 4, 1, 2);
    image_check_begin(&parts, 9, 4, 1, 2);
    image_check_feed(&whole, b, n);
    for (size_t at = 0; at < n;) {
        size_t m = base_min_u64(1 + rbuf_u16(&in) % 5000, n - at);
        if (!image_check_feed(&parts, b + at, m))
            break;
        at += m;
    }
    ASSERT(whole.state == parts.state && whole.verdict == parts.verdict &&
           whole.good == parts.good);
    ASSERT(whole.good <= n && (whole.state == IMAGE_CHECK_BAD) == (whole.verdict != 0));
    ASSERT(damage || image_check_is_whole(&whole, n));
}

/* what chance hardly makes: a frame whose fields fit each other, but for one */
static void fuzz_likely(const uint8_t *data, size_t size)
{
    static uint8_t b[SHIP_FORMAT_DATA + SHIP_CHUNK];
    struct rbuf in = rbuf_make(data, size);
    struct wbuf w = wbuf_make(b, sizeof b);
    uint8_t how = rbuf_u8(&in);
    uint32_t blocks = 1 + rbuf_u8(&in) % 16, n = how & 2 ? 0 : blocks * LOG_BLOCK;
    uint64_t off = (uint64_t)rbuf_u16(&in) * LOG_BLOCK;
    struct ship_get g = {rbuf_u8(&in), rbuf_u8(&in), off, blocks * LOG_BLOCK, rbuf_u32(&in)};
    struct ship_data d = {.index = 1, .off = off, .total = off + n, .n = n, .bytes = b};
    d.err = how & 2 ? E_NOENT : 0;
    if (how & 1)
        ship_format_get_put(&w, &g);
    else
        ship_format_data_put(&w, &d);
    w.len += how & 1 ? 0 : n;
    if (how & 4)
        b[rbuf_u8(&in) % 56] ^= rbuf_u8(&in);
    if (how & 8)
        w.len -= rbuf_u8(&in) % 20;
    if (how & 1)
        fuzz_frame_get(b, w.len);
    else
        fuzz_frame_data(b, w.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    void (*const parts_of[])(const uint8_t *, size_t) = {fuzz_frame_get, fuzz_frame_data,
                                                         fuzz_likely, fuzz_check};
    parts_of[data[0] % 4](data + 1, size - 1);
    return 0;
}
