/* core/store_blob.c - byte strings in size classes (contract: core/store.h).
 *
 * A short record is one length byte and the bytes.  A long string is a chain of records of the last
 * class: u32 next, u32 bytes from here to the end, then the bytes.  Names are never long, so they
 * are always in one piece. */
#include "core/store.h"

enum { BLOB_CHAIN = STORE_BLOB_CLASSES - 1, BLOB_CHAIN_SIZE = 1024, BLOB_CHAIN_HEAD = 8 };
enum { BLOB_CHAIN_BYTES = BLOB_CHAIN_SIZE - BLOB_CHAIN_HEAD, BLOB_SHIFT = 28 };

static const uint32_t blob_sizes[STORE_BLOB_CLASSES] = {
    8, 16, 24, 32, 48, 64, 96, 128, 192, 256, BLOB_CHAIN_SIZE};

void store_blob_defs(struct store_def *defs)
{
    for (unsigned i = 0; i < STORE_BLOB_CLASSES; i++)
        defs[i] = (struct store_def){blob_sizes[i], STORE_PAGE};
}

static unsigned blob_class(uint32_t ref)
{
    unsigned c = ref >> BLOB_SHIFT;
    ASSERT(c < STORE_BLOB_CLASSES);
    return c;
}

static uint32_t blob_slot(uint32_t ref)
{
    return ref & (((uint32_t)1 << BLOB_SHIFT) - 1);
}

static uint32_t blob_ref(unsigned c, uint32_t slot)
{
    ASSERT(slot < (uint32_t)1 << BLOB_SHIFT);
    return (uint32_t)c << BLOB_SHIFT | slot;
}

static uint32_t blob_new_chain(struct store *s, unsigned first, const uint8_t *p, size_t n)
{
    uint32_t head = 0;
    size_t at = (n - 1) / BLOB_CHAIN_BYTES * BLOB_CHAIN_BYTES; /* the last piece first */
    for (;;) {
        uint32_t slot = store_new(s, first + BLOB_CHAIN);
        uint8_t *rec = store_mut(s, first + BLOB_CHAIN, slot);
        size_t here = base_min_u64(n - at, BLOB_CHAIN_BYTES);
        base_put_u32(rec, head);
        base_put_u32(rec + 4, (uint32_t)(n - at));
        memcpy(rec + BLOB_CHAIN_HEAD, p + at, here);
        memset(rec + BLOB_CHAIN_HEAD + here, 0, BLOB_CHAIN_BYTES - here);
        head = slot;
        if (at == 0)
            return blob_ref(BLOB_CHAIN, head);
        at -= BLOB_CHAIN_BYTES;
    }
}

/* of a short string */
static unsigned blob_class_for(size_t n)
{
    unsigned c = 0;
    while (blob_sizes[c] < n + 1)
        c++;
    return c;
}

uint64_t store_blob_grow(const struct store *s, unsigned first, size_t n)
{
    if (n == 0)
        return 0;
    if (n > STORE_BLOB_SHORT)
        return store_grow(s, first + BLOB_CHAIN, (uint32_t)((n - 1) / BLOB_CHAIN_BYTES + 1));
    return store_grow(s, first + blob_class_for(n), 1);
}

uint32_t store_blob_new(struct store *s, unsigned first, const void *p, size_t n)
{
    if (n == 0)
        return 0;
    if (n > STORE_BLOB_SHORT)
        return blob_new_chain(s, first, p, n);
    unsigned c = blob_class_for(n);
    uint32_t slot = store_new(s, first + c);
    uint8_t *rec = store_mut(s, first + c, slot);
    rec[0] = (uint8_t)n;
    memcpy(rec + 1, p, n);
    memset(rec + 1 + n, 0, blob_sizes[c] - 1 - n);
    return blob_ref(c, slot);
}

void store_blob_free(struct store *s, unsigned first, uint32_t ref)
{
    if (!ref)
        return;
    unsigned c = blob_class(ref);
    uint32_t slot = blob_slot(ref);
    if (c != BLOB_CHAIN) {
        store_free(s, first + c, slot);
        return;
    }
    while (slot) {
        uint32_t next = base_get_u32(store_get(s, first + c, slot));
        store_free(s, first + c, slot);
        slot = next;
    }
}

uint32_t store_blob_len(const struct store *s, unsigned first, uint32_t ref)
{
    if (!ref)
        return 0;
    unsigned c = blob_class(ref);
    const uint8_t *rec = store_get(s, first + c, blob_slot(ref));
    return c == BLOB_CHAIN ? base_get_u32(rec + 4) : rec[0];
}

const char *store_blob_short(const struct store *s, unsigned first, uint32_t ref, uint32_t *ret_n)
{
    *ret_n = 0;
    if (!ref || blob_class(ref) == BLOB_CHAIN)
        return NULL;
    const uint8_t *rec = store_get(s, first + blob_class(ref), blob_slot(ref));
    *ret_n = rec[0];
    return (const char *)rec + 1;
}

uint32_t store_blob_copy(const struct store *s, unsigned first, uint32_t ref, void *to,
                         uint32_t cap)
{
    uint32_t n = store_blob_len(s, first, ref), at = 0;
    if (n == 0)
        return 0;
    unsigned c = blob_class(ref);
    uint32_t slot = blob_slot(ref);
    if (c != BLOB_CHAIN) {
        const uint8_t *rec = store_get(s, first + c, slot);
        memcpy(to, rec + 1, base_min_u64(n, cap));
        return n;
    }
    while (slot && at < cap && at < n) {
        const uint8_t *rec = store_get(s, first + c, slot);
        uint32_t here = (uint32_t)base_min_u64(base_min_u64(n - at, BLOB_CHAIN_BYTES), cap - at);
        memcpy((uint8_t *)to + at, rec + BLOB_CHAIN_HEAD, here);
        at += here;
        slot = base_get_u32(rec);
    }
    return n;
}
