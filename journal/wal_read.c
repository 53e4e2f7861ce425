/* journal/wal_read.c - one window of aligned memory slides over the segment; a batch that does not
 * fit in what is left of the window is read again from its own start.
 *
 * A read fails as a whole when one sector of it cannot be read.  The window is then read block by
 * block, and a block that cannot be read is filled with what is neither zeros nor a batch's head,
 * nor one bit away from it. */
#include "journal/wal_read.h"
#include "journal/log_mend.h"

static void wal_read_block(struct wal_read *r)
{
    r->busy = true;
    env_read(r->file, r->window + r->block_at, LOG_BLOCK, r->window_at + r->block_at, &r->op);
}

/* one is done; false: there are more */
static bool wal_read_blocks(struct wal_read *r, int64_t ret)
{
    if (ret < 0) {
        memset(r->window + r->block_at, 0xa5, LOG_BLOCK);
        r->unreadable++;
    }
    r->block_at += LOG_BLOCK;
    r->is_blocks = r->block_at < r->want && (ret < 0 || ret == LOG_BLOCK);
    r->op.ret = ret < 0 || ret == LOG_BLOCK ? r->block_at : r->block_at - LOG_BLOCK + ret;
    return !r->is_blocks;
}

static void wal_read_done(struct env_op *op)
{
    struct wal_read *r = container_of(op, struct wal_read, op);
    r->busy = false;
    if (r->is_blocks && (op->ret >= 0 || op->ret == E_IO) && !wal_read_blocks(r, op->ret)) {
        wal_read_block(r);
        return;
    }
    bool is_window = r->state != WAL_READ_OPENING && r->state != WAL_READ_IS_CLOSED;
    if (is_window && r->by_block && op->ret == E_IO && !r->is_blocks) {
        r->is_blocks = true;
        r->block_at = 0;
        wal_read_block(r);
        return;
    }
    r->is_blocks = false;
    if (r->state == WAL_READ_OPENING) {
        if (op->ret < 0) {
            r->verdict = (int)op->ret;
            r->state = WAL_READ_FAILED;
        } else {
            r->size = (uint64_t)op->ret;
            r->state = WAL_READ_AT_HEADER;
        }
    } else if (r->state == WAL_READ_IS_CLOSED) {
        r->file = NULL;
    } else if (op->ret < 0) {
        r->verdict = (int)op->ret;
        r->state = WAL_READ_FAILED;
    } else {
        r->window_len = (uint32_t)op->ret;
        if (r->window_len < r->want) /* shorter than it said: believe what was read */
            r->size = base_min_u64(r->size, r->window_at + r->window_len);
    }
    r->wake(r);
}

int wal_read_init(struct wal_read *r, struct env *e, struct mem *m)
{
    memset(r, 0, sizeof *r);
    r->env = e;
    r->mem = m;
    r->memory = mem_alloc(m, WAL_READ_WINDOW + ENV_DIRECT_ALIGN);
    if (!r->memory)
        return E_NOMEM;
    r->window =
        r->memory + (base_align_up((uintptr_t)r->memory, ENV_DIRECT_ALIGN) - (uintptr_t)r->memory);
    return 0;
}

void wal_read_drop(struct wal_read *r)
{
    ASSERT(!r->busy && !r->file);
    if (r->memory)
        mem_free(r->mem, r->memory, WAL_READ_WINDOW + ENV_DIRECT_ALIGN);
    r->memory = NULL;
}

void wal_read_open(struct wal_read *r, const char *name)
{
    ASSERT(!r->busy && !r->file);
    size_t n = strlen(name);
    ASSERT(n < sizeof r->name);
    memcpy(r->name, name, n + 1);
    r->state = WAL_READ_OPENING;
    r->window_len = 0;
    r->window_at = 0;
    r->at = r->next = 0;
    r->busy = true;
    r->op.done = wal_read_done;
    env_open(r->env, r->name, ENV_O_READ | ENV_O_DIRECT, &r->file, &r->op);
}

/* n bytes at r->at, or NULL with a read under way or the file's end reached */
static const uint8_t *wal_read_have(struct wal_read *r, uint32_t n, bool *ret_eof)
{
    *ret_eof = n > r->size || r->at > r->size - n;
    if (*ret_eof)
        return NULL;
    if (r->at >= r->window_at && r->at + n <= r->window_at + r->window_len)
        return r->window + (r->at - r->window_at);
    r->window_at = r->at;
    r->window_len = 0;
    r->busy = true;
    uint64_t to = r->limit ? base_min_u64(r->size, base_max_u64(r->limit, r->at + n)) : r->size;
    r->want =
        (uint32_t)base_min_u64(WAL_READ_WINDOW, base_align_up(to - r->window_at, ENV_DIRECT_ALIGN));
    env_read(r->file, r->window, r->want, r->window_at, &r->op);
    return NULL;
}

static enum wal_read_event wal_read_bad(struct wal_read *r, int verdict)
{
    r->verdict = verdict;
    return verdict == E_NODATA ? WAL_READ_END : WAL_READ_BAD;
}

/* What could be mended is, in the window: true, look at it again.  Who only wanted to know finds
 * there what is on the disk. */
static bool wal_read_mended(struct wal_read *r)
{
    r->mendable = true;
    r->mended |= r->mend == WAL_READ_MENDS;
    if (r->mend != WAL_READ_MENDS)
        r->window_len = 0;
    return r->mend == WAL_READ_MENDS;
}

static bool wal_read_mend(struct wal_read *r, size_t have, size_t *need)
{
    uint8_t *p = r->window + (r->at - r->window_at);
    r->is_whole = log_mend_is_whole(p, have);
    if (r->mend == WAL_READ_AS_IS || !log_mend_batch(p, have, r->any ? NULL : &r->expect, need))
        return false;
    return wal_read_mended(r);
}

static bool wal_read_mend_header(struct wal_read *r)
{
    uint8_t *p = r->window + (r->at - r->window_at);
    if (r->mend == WAL_READ_AS_IS || !log_mend_head(p, LOG_BLOCK, LOG_SEGMENT_MAGIC))
        return false;
    return wal_read_mended(r);
}

static enum wal_read_event wal_read_batch(struct wal_read *r)
{
    bool eof;
    size_t need = LOG_BLOCK;
    r->at = r->next;
    for (;;) {
        const uint8_t *p = wal_read_have(r, (uint32_t)need, &eof);
        if (eof)
            return r->at >= r->size ? WAL_READ_END : wal_read_bad(r, E_EOF);
        if (!p)
            return WAL_READ_WAIT;
        size_t have = need;
        int ret = log_format_batch_check(p, have, r->any ? NULL : &r->expect, &r->batch, &need);
        if (ret == E_EOF || (ret == E_CORRUPT && wal_read_mend(r, have, &need)))
            continue;
        if (ret)
            return wal_read_bad(r, ret);
        r->payload = p + sizeof r->batch;
        r->next = r->at + need;
        r->expect.chain = r->batch.crc;
        r->expect.index = r->batch.first_index + r->batch.records;
        return WAL_READ_BATCH;
    }
}

enum wal_read_event wal_read_step(struct wal_read *r)
{
    bool eof;
    if (r->busy)
        return WAL_READ_WAIT;
    switch (r->state) {
    case WAL_READ_IDLE:
    case WAL_READ_OPENING:
        break;
    case WAL_READ_AT_HEADER: {
        const uint8_t *p = wal_read_have(r, LOG_BLOCK, &eof);
        if (!p && !eof)
            return r->busy ? WAL_READ_WAIT : WAL_READ_ERROR;
        r->verdict = eof ? E_EOF : log_format_check(p, LOG_BLOCK, LOG_SEGMENT_MAGIC);
        if (r->verdict == E_CORRUPT && wal_read_mend_header(r))
            r->verdict = 0;
        if (!r->verdict) {
            memcpy(&r->segment, p, sizeof r->segment);
            r->expect = (struct log_expect){r->segment.seq, r->segment.first_index, r->segment.crc};
        }
        r->next = LOG_BLOCK;
        r->state = WAL_READ_AT_BATCH;
        return WAL_READ_HEADER;
    }
    case WAL_READ_AT_BATCH:
        return wal_read_batch(r);
    case WAL_READ_AT_BLOCK: {
        r->at = r->next;
        const uint8_t *p = wal_read_have(r, LOG_BLOCK, &eof);
        if (eof)
            return WAL_READ_END;
        if (!p)
            return WAL_READ_WAIT;
        r->block = p;
        r->next = r->at + LOG_BLOCK;
        return WAL_READ_BLOCK;
    }
    case WAL_READ_FAILED:
        return WAL_READ_ERROR;
    case WAL_READ_IS_CLOSED:
        r->state = WAL_READ_IDLE;
        return WAL_READ_CLOSED;
    }
    return WAL_READ_WAIT;
}

void wal_read_raw(struct wal_read *r, uint64_t from)
{
    ASSERT(!r->busy);
    r->next = from;
    r->state = WAL_READ_AT_BLOCK;
}

void wal_read_batches(struct wal_read *r, uint64_t from)
{
    ASSERT(!r->busy);
    r->next = from;
    r->state = WAL_READ_AT_BATCH;
}

void wal_read_again(struct wal_read *r)
{
    ASSERT(!r->busy && r->state == WAL_READ_AT_BATCH);
    r->window_len = r->unreadable = 0;
    r->next = r->at;
    if (!r->at)
        r->state = WAL_READ_AT_HEADER;
}

void wal_read_forget(struct wal_read *r)
{
    ASSERT(!r->busy);
    r->window_len = 0;
}

void wal_read_close(struct wal_read *r)
{
    ASSERT(!r->busy);
    r->state = WAL_READ_IS_CLOSED;
    if (!r->file)
        return;
    r->busy = true;
    env_close(r->file, &r->op);
}
