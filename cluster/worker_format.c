/* cluster/worker_format.c - see cluster/worker_format.h. */
#include "cluster/worker_format.h"
#include "core/buf.h"
#include "core/crc.h"
#include "core/fmt.h"

static const uint64_t WORKER_FORMAT_ID_MAGIC = 0x726b776e726174ULL;  /* "tarnwkr" */
static const uint64_t WORKER_FORMAT_MAP_MAGIC = 0x70616d6e726174ULL; /* "tarnmap" */
enum { WORKER_FORMAT_VERSION = 1, WORKER_FORMAT_THERE = 1 };

bool worker_format_page_bytes_ok(uint64_t page_bytes)
{
    return page_bytes >= LIMIT_PAGE_MIN && page_bytes <= LIMIT_PAGE_MAX &&
           (page_bytes & (page_bytes - 1)) == 0;
}

uint32_t worker_format_page_len(uint64_t file_size, uint32_t page_bytes, uint32_t page)
{
    uint64_t at = (uint64_t)page * page_bytes;
    return at >= file_size ? 0 : (uint32_t)base_min_u64(page_bytes, file_size - at);
}

/* both fixed parts are 64 bytes with the crc in the last four */
static void worker_format_seal(uint8_t *to)
{
    base_put_u32(to + 60, crc_update(0, to, 60));
}

static int worker_format_open(const void *from, size_t len, uint64_t magic, struct rbuf *ret_r)
{
    const uint8_t *p = from;
    if (len < WORKER_FORMAT_HEAD || base_get_u32(p + 60) != crc_update(0, p, 60))
        return E_CORRUPT;
    *ret_r = rbuf_make(p, 60);
    if (rbuf_u64(ret_r) != magic)
        return E_CORRUPT;
    if (rbuf_u16(ret_r) != WORKER_FORMAT_VERSION)
        return E_VERSION;
    rbuf_u16(ret_r);
    return 0;
}

static struct wbuf worker_format_begin(uint8_t *to, uint64_t magic)
{
    memset(to, 0, WORKER_FORMAT_HEAD);
    struct wbuf w = wbuf_make(to, 60);
    wbuf_u64(&w, magic);
    wbuf_u16(&w, WORKER_FORMAT_VERSION);
    wbuf_u16(&w, 0);
    return w;
}

void worker_format_id_put(uint8_t to[WORKER_FORMAT_ID], const struct worker_format_id *id)
{
    struct wbuf w = worker_format_begin(to, WORKER_FORMAT_ID_MAGIC);
    wbuf_u32(&w, id->page_bytes);
    wbuf_u64(&w, id->id.v);
    worker_format_seal(to);
}

int worker_format_id_get(const void *from, size_t len, struct worker_format_id *ret_id)
{
    struct rbuf r;
    int err = worker_format_open(from, len, WORKER_FORMAT_ID_MAGIC, &r);
    if (err)
        return err;
    ret_id->page_bytes = rbuf_u32(&r);
    ret_id->id.v = rbuf_u64(&r);
    if (!ret_id->id.v || (ret_id->page_bytes && !worker_format_page_bytes_ok(ret_id->page_bytes)))
        return E_CORRUPT;
    return 0;
}

void worker_format_head_put(uint8_t to[WORKER_FORMAT_HEAD], const struct worker_format_head *h)
{
    struct wbuf w = worker_format_begin(to, WORKER_FORMAT_MAP_MAGIC);
    wbuf_u32(&w, h->page_bytes);
    wbuf_u32(&w, WORKER_FORMAT_BLOCK);
    wbuf_u32(&w, 0);
    wbuf_u64(&w, h->ino.v);
    wbuf_u64(&w, h->version);
    wbuf_u64(&w, h->file_size);
    worker_format_seal(to);
}

int worker_format_head_get(const void *from, size_t len, struct worker_format_head *ret_h)
{
    struct rbuf r;
    int err = worker_format_open(from, len, WORKER_FORMAT_MAP_MAGIC, &r);
    if (err)
        return err;
    ret_h->page_bytes = rbuf_u32(&r);
    uint32_t block = rbuf_u32(&r);
    rbuf_u32(&r);
    ret_h->ino.v = rbuf_u64(&r);
    ret_h->version = rbuf_u64(&r);
    ret_h->file_size = rbuf_u64(&r);
    if (block != WORKER_FORMAT_BLOCK || !worker_format_page_bytes_ok(ret_h->page_bytes))
        return E_CORRUPT;
    return 0;
}

static uint32_t worker_format_rec_crc(const uint8_t *rec, const struct worker_format_head *h)
{
    uint64_t bind[2] = {h->ino.v, h->version};
    return crc_update(crc_update(0, bind, sizeof bind), rec + 4,
                      worker_format_rec_bytes(h->page_bytes) - 4);
}

void worker_format_rec_put(uint8_t *to, const struct worker_format_head *h, uint32_t page,
                           uint32_t len, const uint32_t *crc)
{
    memset(to, 0, worker_format_rec_bytes(h->page_bytes));
    base_put_u32(to + 4, page);
    base_put_u32(to + 8, WORKER_FORMAT_THERE);
    base_put_u32(to + 12, len);
    memcpy(to + WORKER_FORMAT_REC_FIXED, crc, 4 * (size_t)worker_format_blocks(len));
    base_put_u32(to, worker_format_rec_crc(to, h));
}

int64_t worker_format_rec_get(const uint8_t *from, const struct worker_format_head *h,
                              uint32_t page, const uint8_t **ret_crc)
{
    *ret_crc = from + WORKER_FORMAT_REC_FIXED;
    uint32_t n = worker_format_rec_bytes(h->page_bytes);
    bool zero = true;
    for (uint32_t i = 0; i < n && zero; i += 4)
        zero = base_get_u32(from + i) == 0;
    if (zero)
        return 0;
    uint32_t len = base_get_u32(from + 12);
    if (base_get_u32(from) != worker_format_rec_crc(from, h) || base_get_u32(from + 4) != page ||
        base_get_u32(from + 8) != WORKER_FORMAT_THERE || len == 0 ||
        len != worker_format_page_len(h->file_size, h->page_bytes, page))
        return E_CORRUPT;
    return len;
}

/* ---- names ---- */

uint32_t worker_format_shard(struct ino ino)
{
    return (uint32_t)base_mix_u64(ino.v) & 0xff;
}

void worker_format_name(char *to, size_t cap, const char *prefix, struct ino ino, uint64_t version,
                        enum worker_format_kind kind)
{
    fmt_into(to, cap, "%s%02x/%016llx-%016llx.%s", prefix, worker_format_shard(ino),
             (unsigned long long)ino.v, (unsigned long long)version,
             kind == WORKER_FORMAT_MAP ? "map" : "data");
}

static bool worker_format_hex(const char *s, uint64_t *ret_v)
{
    *ret_v = 0;
    for (int i = 0; i < 16; i++) {
        char ch = s[i];
        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f')))
            return false;
        *ret_v = *ret_v << 4 | (uint64_t)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
    }
    return true;
}

enum worker_format_kind worker_format_parse(const char *name, struct ino *ret_ino,
                                            uint64_t *ret_version)
{
    if (strlen(name) < 34 || name[16] != '-' || !worker_format_hex(name, &ret_ino->v) ||
        !worker_format_hex(name + 17, ret_version))
        return WORKER_FORMAT_NONE;
    if (!strcmp(name + 33, ".data"))
        return WORKER_FORMAT_DATA;
    return !strcmp(name + 33, ".map") ? WORKER_FORMAT_MAP : WORKER_FORMAT_NONE;
}
