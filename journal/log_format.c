/* journal/log_format.c - encoding and checking of everything log_format.h describes.  Pure: bytes
 * in, verdict out; nothing here trusts a length that it has not compared with what is there. */
#include "journal/log_format.h"
#include "core/crc.h"
#include "core/mutant.h"
#include "core/fmt.h"

static const uint8_t log_zeros[LOG_BLOCK];

static uint32_t log_head_crc(const void *header, size_t n)
{
    static const uint8_t zero[4];
    const uint8_t *b = header;
    size_t at = offsetof(struct log_head, crc);
    uint32_t c = crc_update(0, b, at);
    c = crc_update(c, zero, sizeof zero);
    return crc_update(c, b + at + sizeof zero, n - at - sizeof zero);
}

static uint16_t log_version(uint32_t magic)
{
    return magic == LOG_META_MAGIC ? LOG_META_VERSION : LOG_VERSION;
}

void log_format_seal(void *header, size_t n, uint32_t magic)
{
    struct log_head h;
    ASSERT(header && n >= sizeof h);
    memcpy(&h, header, sizeof h);
    h.magic = magic;
    h.version = log_version(magic);
    h.crc = 0;
    memcpy(header, &h, sizeof h);
    h.crc = log_head_crc(header, n);
    memcpy(header, &h, sizeof h);
}

int log_format_check(const void *header, size_t n, uint32_t magic)
{
    struct log_head h;
    ASSERT(n >= sizeof h && n <= LOG_BLOCK);
    memcpy(&h, header, sizeof h);
    if (h.magic == 0 && !memcmp(header, log_zeros, n))
        return E_NODATA;
    if (h.magic != magic || log_head_crc(header, n) != h.crc)
        return E_CORRUPT;
    return h.version > log_version(magic) ? E_VERSION : h.version ? 0 : E_CORRUPT;
}

static uint32_t log_record_crc(struct log_record r, const void *bytes, uint32_t seed)
{
    r.crc = 0;
    return crc_update(crc_update(seed, &r, sizeof r), bytes, r.len);
}

uint32_t log_format_record_put(void *p, uint32_t seed, uint8_t type, uint64_t epoch,
                               const void *bytes, uint32_t len)
{
    struct log_record r = {.len = len, .type = type, .epoch = epoch};
    uint8_t *to = p;
    r.crc = log_record_crc(r, bytes, seed);
    memcpy(to, &r, sizeof r);
    if (len)
        memcpy(to + sizeof r, bytes, len);
    memset(to + sizeof r + len, 0, log_format_record_size(len) - sizeof r - len);
    return r.crc;
}

uint32_t log_format_batch_put(void *p, struct log_batch *b)
{
    uint8_t *to = p;
    uint32_t size = log_format_batch_size(b);
    b->payload_crc = crc_update(0, to + sizeof *b, b->payload_len);
    log_format_seal(b, sizeof *b, LOG_BATCH_MAGIC);
    memcpy(to, b, sizeof *b);
    memset(to + sizeof *b + b->payload_len, 0, size - sizeof *b - b->payload_len);
    return size;
}

int log_format_batch_head(const void *p, struct log_batch *ret_b)
{
    int ret = log_format_check(p, sizeof *ret_b, LOG_BATCH_MAGIC);
    if (ret)
        return ret;
    memcpy(ret_b, p, sizeof *ret_b);
    /* intact, so written by us: what follows can only be a bug of ours, and is refused as damage */
    if (ret_b->payload_len > LOG_BATCH_MAX - sizeof *ret_b || ret_b->first_index == 0 ||
        ret_b->first_index > UINT64_MAX / 2 || ret_b->durable_upto >= ret_b->first_index)
        return E_CORRUPT;
    return 0;
}

static bool log_records_ok(const uint8_t *payload, const struct log_batch *b)
{
    struct log_record r;
    const void *bytes;
    uint32_t at = 0, n = 0, seed = b->prev_chain;
    while (log_format_record_next(payload, b->payload_len, &at, &r, &bytes)) {
        if (log_record_crc(r, bytes, seed) != r.crc)
            return false;
        seed = r.crc;
        n++;
    }
    return at == b->payload_len && n == b->records;
}

int log_format_batch_check(const void *p, size_t avail, const struct log_expect *ex,
                           struct log_batch *ret_b, size_t *ret_need)
{
    *ret_need = LOG_BLOCK;
    if (avail < LOG_BLOCK)
        return E_EOF;
    int ret = log_format_batch_head(p, ret_b);
    if (ret)
        return ret;
    *ret_need = log_format_batch_size(ret_b);
    if (ex && (ret_b->seq != ex->seq || ret_b->first_index != ex->index ||
               ret_b->prev_chain != ex->chain))
        return E_CORRUPT;
    if (avail < *ret_need)
        return E_EOF;
    const uint8_t *payload = (const uint8_t *)p + sizeof *ret_b;
    if (MUTANT(LOG_UNCHECKED))
        return 0;
    if (crc_update(0, payload, ret_b->payload_len) != ret_b->payload_crc ||
        !log_records_ok(payload, ret_b))
        return E_CORRUPT;
    return 0;
}

bool log_format_record_next(const void *payload, uint32_t payload_len, uint32_t *at,
                            struct log_record *ret_r, const void **ret_bytes)
{
    if (*at > payload_len || payload_len - *at < sizeof *ret_r)
        return false;
    const uint8_t *p = (const uint8_t *)payload + *at;
    memcpy(ret_r, p, sizeof *ret_r);
    if (ret_r->len > LOG_BATCH_MAX || log_format_record_size(ret_r->len) > payload_len - *at)
        return false;
    *ret_bytes = p + sizeof *ret_r;
    *at += log_format_record_size(ret_r->len);
    return true;
}

uint32_t log_format_piece_crc(const struct log_piece *p, const void *bytes, uint32_t seed)
{
    struct log_piece h = *p;
    h.crc = 0;
    return crc_update(crc_update(seed, &h, sizeof h), bytes, h.len);
}

void log_format_name(char *name, const char *prefix, uint64_t number)
{
    fmt_into(name, LOG_NAME_MAX, "%s%016llx", prefix, (unsigned long long)number);
}

bool log_format_name_parse(const char *name, const char *prefix, uint64_t *ret_number)
{
    size_t n = strlen(prefix);
    uint64_t v = 0;
    if (strncmp(name, prefix, n) || strlen(name) != n + 16)
        return false;
    for (const char *c = name + n; *c; c++) {
        unsigned d = *c >= '0' && *c <= '9'   ? (unsigned)(*c - '0')
                     : *c >= 'a' && *c <= 'f' ? (unsigned)(*c - 'a' + 10)
                                              : 16u;
        if (d == 16)
            return false;
        v = v << 4 | d;
    }
    *ret_number = v;
    return v != 0;
}
