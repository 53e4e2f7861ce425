/* journal/wal.c - the append pipeline.
 *
 * Records are copied into a ring; a turn of the loop later everything that waits becomes a batch in
 * a free slot and is written at once, up to batches_in_flight at a time.  Slots are published
 * strictly in the order they were filled, whatever order the disk finishes in.
 *
 *   slot:  FREE --fill, checksum--> WRITING --done--> WRITTEN --publish, in order--> FREE
 *
 * wal_run() moves everything as far as it goes; every completion ends in it. */
#include "core/buf.h"
#include "core/mutant.h"
#include "journal/wal_impl.h"

struct wal_queued {
    uint32_t len, type;
    uint64_t epoch;
};
static_assert(sizeof(struct wal_queued) % 8 == 0, "records of the queue stay aligned");

uint32_t wal_batch_cap(const struct wal *w)
{
    return (uint32_t)base_align_up(sizeof(struct log_batch) + (uint64_t)w->cfg.batch_bytes,
                                   LOG_BLOCK);
}

void wal_name(const struct wal *w, uint64_t seq, char *ret_name)
{
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "wal-", seq);
    fmt_into(ret_name, ENV_NAME_MAX, "%s%s", w->dir, leaf);
}

static void wal_slot_done(struct env_op *op)
{
    struct wal_slot *s = container_of(op, struct wal_slot, op);
    struct wal *w = s->wal;
    s->state = WAL_SLOT_WRITTEN;
    w->syncs++;
    if (op->ret != (int64_t)s->len)
        wal_fail(w, op->ret < 0 ? (int)op->ret : E_IO, "write");
    wal_run(w);
}

static void wal_run_done(struct env_op *op)
{
    struct wal *w = container_of(op, struct wal, run_op);
    w->run_posted = false;
    wal_run(w);
}

void wal_kick(struct wal *w)
{
    if (w->run_posted)
        return;
    w->run_posted = true;
    env_post(w->env, &w->run_op);
}

static void wal_seal_done(struct env_op *op)
{
    struct wal *w = container_of(op, struct wal, seal_timer.op);
    w->seal_due = true;
    wal_run(w);
}

static void wal_close_done(struct env_op *op)
{
    struct wal *w = container_of(op, struct wal, close_op);
    w->closing = false;
    wal_run(w);
}

static void wal_clamp(struct wal_config *c)
{
    c->batches_in_flight =
        (uint32_t)base_min_u64(base_max_u64(c->batches_in_flight, 1), WAL_SLOTS_MAX);
    c->batch_bytes =
        (uint32_t)base_min_u64(base_max_u64(c->batch_bytes, 2048), LOG_BATCH_MAX - LOG_BLOCK);
    c->queue_bytes = base_align_up(base_max_u64(c->queue_bytes, 2 * (uint64_t)c->batch_bytes), 8);
    uint64_t least = LOG_BLOCK + (c->batches_in_flight + 2ull) * (c->batch_bytes + LOG_BLOCK);
    c->segment_bytes = base_align_up(base_max_u64(c->segment_bytes, least), LOG_BLOCK);
}

struct wal *wal_create(struct env *e, struct mem *m, const struct wal_config *cfg,
                       struct wal_host *host)
{
    struct wal *w = mem_zalloc(m, sizeof *w);
    if (!w)
        return NULL;
    w->env = e;
    w->mem = m;
    w->host = host;
    w->cfg = *cfg;
    wal_clamp(&w->cfg);
    fmt_into(w->dir, sizeof w->dir - LOG_NAME_MAX, "%s%s", cfg->dir, *cfg->dir ? "/" : "");
    list_init(&w->cursors);
    w->ahead.want = 1;
    w->told.first = 1;
    w->run_op.done = wal_run_done;
    w->seal_timer.op.done = wal_seal_done;
    w->close_op.done = wal_close_done;
    size_t one = LOG_BLOCK + wal_batch_cap(w);
    size_t slots = one * w->cfg.batches_in_flight + LOG_BLOCK;
    w->slot_memory = mem_alloc(m, slots);
    w->zero_memory = mem_zalloc(m, WAL_ZERO_BYTES + LOG_BLOCK);
    w->queue = mem_alloc(m, w->cfg.queue_bytes);
    w->segs = mem_alloc(m, sizeof *w->segs * WAL_SEGMENTS_MAX);
    if (!w->slot_memory || !w->zero_memory || !w->queue || !w->segs) {
        wal_free(w);
        return NULL;
    }
    w->zeros = w->zero_memory + (-(uintptr_t)w->zero_memory & (LOG_BLOCK - 1));
    uint8_t *buf = w->slot_memory + (-(uintptr_t)w->slot_memory & (LOG_BLOCK - 1));
    for (uint32_t i = 0; i < w->cfg.batches_in_flight; i++, buf += one) {
        w->slots[i].wal = w;
        w->slots[i].buf = buf;
        w->slots[i].op.done = wal_slot_done;
    }
    return w;
}

void wal_free(struct wal *w)
{
    struct mem *m = w->mem;
    size_t one = LOG_BLOCK + wal_batch_cap(w);
    mem_free(m, w->slot_memory, one * w->cfg.batches_in_flight + LOG_BLOCK);
    mem_free(m, w->zero_memory, WAL_ZERO_BYTES + LOG_BLOCK);
    mem_free(m, w->queue, w->cfg.queue_bytes);
    mem_free(m, w->segs, sizeof *w->segs * WAL_SEGMENTS_MAX);
    mem_free(m, w, sizeof *w);
}

/* --- the queue --- */

static void wal_queue_put(struct wal *w, const void *p, uint64_t n)
{
    buf_ring_put(w->queue, w->cfg.queue_bytes, w->queue_head, p, n);
    w->queue_head += n;
}

static void wal_queue_peek(const struct wal *w, uint64_t pos, void *p, uint64_t n)
{
    buf_ring_get(w->queue, w->cfg.queue_bytes, pos, p, n);
}

/* bytes a record takes in the queue */
static uint64_t wal_queued_size(uint64_t len)
{
    return base_align_up(sizeof(struct wal_queued) + len, 8);
}

int wal_append(struct wal *w, uint8_t type, uint64_t epoch, const struct env_iov *iov,
               unsigned n_iov, uint64_t *ret_index)
{
    static const uint8_t pad[8];
    uint64_t len = 0;
    if (w->state != WAL_RUNNING || w->recover || w->failed || w->stop_op)
        return E_NOT_LEADER;
    for (unsigned i = 0; i < n_iov; i++) {
        if (iov[i].n > LOG_BATCH_MAX)
            return E_TOOBIG;
        len += iov[i].n;
    }
    if (len > LOG_BATCH_MAX || log_format_record_size((uint32_t)len) > w->cfg.batch_bytes)
        return E_TOOBIG;
    if (w->full)
        return E_NOSPC;
    uint64_t size = wal_queued_size(len);
    if (w->queue_head - w->queue_tail + size > w->cfg.queue_bytes)
        return E_AGAIN;
    if (w->queue_head == w->queue_tail) /* the few bytes at its beginning stay in the caches */
        w->queue_head = w->queue_tail = 0;
    struct wal_queued head = {(uint32_t)len, type, epoch};
    wal_queue_put(w, &head, sizeof head);
    for (unsigned i = 0; i < n_iov; i++)
        wal_queue_put(w, iov[i].p, iov[i].n);
    wal_queue_put(w, pad, size - sizeof head - len);
    w->epoch = base_max_u64(w->epoch, epoch);
    *ret_index = w->next_index + w->queued++;
    wal_kick(w);
    return 0;
}

static bool wal_fill(struct wal *w);

void wal_flush(struct wal *w)
{
    if (w->slots_used == 0 && w->queued && w->state == WAL_RUNNING && !w->recover && !w->failed)
        wal_fill(w);
}

bool wal_is_idle(const struct wal *w)
{
    return w->queued == 0 && w->slots_used == 0;
}

static void wal_reject(struct wal *w, int why)
{
    uint32_t n = w->queued;
    w->queued = 0;
    w->queue_tail = w->queue_head;
    if (n)
        w->host->rejected(w->host, n, why);
}

void wal_fail(struct wal *w, int why, const char *what)
{
    if (w->failed)
        return;
    w->failed = why;
    env_timer_stop(w->env, &w->seal_timer);
    fmt_log(w->env, w->cfg.is_fenced ? ENV_LOG_WARN : ENV_LOG_ERROR,
            "journal: %s in '%s' failed: %s.%s", what, env_disk(w->env, w->dir), err_text(why),
            w->cfg.is_fenced ? ""
                             : " What is on disk is unknown now, so nothing more is acknowledged. "
                               "Check the disk and restart; acknowledged records are kept.");
    w->queued = 0;
    w->queue_tail = w->queue_head;
    if (w->state == WAL_RUNNING)
        w->host->failed(w->host, why);
}

void wal_set_full(struct wal *w, bool full)
{
    if (w->full == full)
        return;
    w->full = full;
    const char *what = "journal: there is space in '%s' again: accepting records.";
    if (full && w->n_segs >= WAL_SEGMENTS_MOST)
        what =
            "journal: '%s' has as many segments as a log can have: read-only until an image lets "
            "some go. Make journal.segment larger, or journal.image_after smaller.";
    else if (full)
        what = "journal: no space for another segment in '%s': read-only until there is. Free some "
               "space there.";
    fmt_log(w->env, full ? ENV_LOG_ERROR : ENV_LOG_INFO, what, env_disk(w->env, w->dir));
    w->host->space(w->host, full);
    if (full && !w->failed)
        wal_reject(w, E_NOSPC);
}

/* --- segments and batches --- */

uint32_t wal_header(struct wal *w, uint8_t *block, uint64_t seq, uint64_t first_index,
                    uint64_t bytes)
{
    struct log_segment h = {.prev_chain = w->chain,
                            .cluster_hi = w->cfg.cluster_hi,
                            .cluster_lo = w->cfg.cluster_lo,
                            .seq = seq,
                            .first_index = first_index,
                            .epoch = w->epoch,
                            .durable_upto = w->durable,
                            .bytes = bytes};
    struct log_head head;
    memset(block, 0, LOG_BLOCK);
    memcpy(block, &h, sizeof h);
    log_format_seal(block, LOG_BLOCK, LOG_SEGMENT_MAGIC);
    memcpy(&head, block, sizeof head);
    return head.crc;
}

void wal_activate(struct wal *w, uint64_t first_index, uint32_t chain)
{
    ASSERT(wal_is_ready(w) && !w->old_file && w->n_segs < WAL_SEGMENTS_MAX);
    /* one that was recovered knows its own end */
    if (w->n_segs && w->segs[w->n_segs - 1].last_index == UINT64_MAX) {
        w->segs[w->n_segs - 1].last_index = w->next_index - 1;
        w->segs[w->n_segs - 1].end = w->off;
    }
    w->segs[w->n_segs++] = (struct wal_segment){.seq = w->ahead.made[0].seq,
                                                .first_index = first_index,
                                                .last_index = UINT64_MAX,
                                                .epoch = w->epoch,
                                                .bytes = w->ahead.made[0].bytes,
                                                .prev_chain = w->chain,
                                                .chain = chain,
                                                .accepted = true};
    w->chain = chain;
    w->off = LOG_BLOCK;
    w->old_file = w->file;
    w->file = wal_prep_take(w);
}

/* how many queued records go into the next batch, and their bytes there */
static uint32_t wal_plan(const struct wal *w, uint32_t *ret_bytes)
{
    uint32_t n = 0, bytes = 0;
    struct wal_queued head;
    bool small = env_fault(w->env, "wal.batch_of_one");
    for (uint64_t pos = w->queue_tail; n < w->queued && !(small && n); n++) {
        wal_queue_peek(w, pos, &head, sizeof head);
        uint32_t size = log_format_record_size(head.len);
        if (bytes + size > w->cfg.batch_bytes)
            break;
        bytes += size;
        pos += wal_queued_size(head.len);
    }
    *ret_bytes = bytes;
    return n;
}

/* moves n records from the queue behind the batch header at p */
static void wal_pack(struct wal *w, uint8_t *p, uint32_t n, uint32_t seed)
{
    for (p += sizeof(struct log_batch); n; n--) {
        struct wal_queued head;
        wal_queue_peek(w, w->queue_tail, &head, sizeof head);
        uint8_t *bytes = p + sizeof(struct log_record);
        wal_queue_peek(w, w->queue_tail + sizeof head, bytes, head.len);
        seed = log_format_record_put(p, seed, (uint8_t)head.type, head.epoch, bytes, head.len);
        w->queue_tail += wal_queued_size(head.len);
        w->queued--;
        p += log_format_record_size(head.len);
    }
}

/* what a log does whose batches share sectors; only a mutant does it */
static void wal_rewrite(struct wal *w, struct wal_slot *s, uint8_t **from, uint64_t *at)
{
    uint32_t n = w->cfg.batches_in_flight;
    const struct wal_slot *last = &w->slots[(uint32_t)(s - w->slots + n - 1) % n];
    memcpy(s->buf, last->buf + log_format_batch_size(&last->batch), LOG_BLOCK);
    *from -= LOG_BLOCK;
    *at -= LOG_BLOCK;
    s->len += LOG_BLOCK;
}

/* Starts one batch; false when there is none to start or no place for it. */
static bool wal_fill(struct wal *w)
{
    bool seal = w->seal_due && w->queued == 0;
    if (w->slots_used == w->cfg.batches_in_flight || (w->queued == 0 && !seal))
        return false;
    uint32_t bytes, n = wal_plan(w, &bytes);
    uint32_t size = (uint32_t)base_align_up(sizeof(struct log_batch) + bytes, LOG_BLOCK);
    struct wal_slot *s = &w->slots[(w->slot_first + w->slots_used) % w->cfg.batches_in_flight];
    ASSERT(s->state == WAL_SLOT_FREE);
    uint64_t at = w->off;
    uint8_t *from = s->buf + LOG_BLOCK;
    bool is_early = at > LOG_BLOCK && !seal && wal_is_ready(w) && !w->old_file &&
                    w->n_segs < WAL_SEGMENTS_MAX / 4 && env_fault(w->env, "wal.segment_early");
    if (at + size + (seal ? 0 : LOG_BLOCK) > w->segs[w->n_segs - 1].bytes || is_early) {
        if (seal) {
            w->seal_due = false; /* the next segment's header will vouch instead */
            return false;
        }
        bool is_long = w->n_segs >= WAL_SEGMENTS_MOST;
        if (!wal_is_ready(w) || w->old_file || is_long) {
            if ((w->prep.state == WAL_PREP_FULL && !w->ahead.n) || is_long)
                wal_set_full(w, true);
            else if (!wal_is_ready(w))
                wal_prep_wanted(w);
            return false;
        }
        uint32_t chain =
            wal_header(w, s->buf, w->ahead.made[0].seq, w->next_index, w->ahead.made[0].bytes);
        wal_activate(w, w->next_index, chain);
        at = 0;
        from = s->buf;
    }
    s->batch = (struct log_batch){.prev_chain = w->chain,
                                  .seq = w->segs[w->n_segs - 1].seq,
                                  .epoch = w->epoch,
                                  .first_index = w->next_index,
                                  .durable_upto = w->durable,
                                  .payload_len = bytes,
                                  .records = n};
    wal_pack(w, s->buf + LOG_BLOCK, n, w->chain);
    log_format_batch_put(s->buf + LOG_BLOCK, &s->batch);
    w->seal_due = false;
    w->sealed = w->durable;
    w->chain = s->batch.crc;
    w->next_index += n;
    w->off += size;
    w->written += size;
    w->batches++;
    w->slots_used++;
    s->state = WAL_SLOT_WRITING;
    s->file = w->file;
    s->len = (uint32_t)(s->buf + LOG_BLOCK + size - from);
    if (MUTANT(SECTOR_REWRITTEN) && at > LOG_BLOCK && w->batches > 1)
        wal_rewrite(w, s, &from, &at);
    env_write(s->file, from, s->len, at, &s->op);
    return true;
}

static void wal_publish(struct wal *w)
{
    while (w->slots_used && w->slots[w->slot_first].state == WAL_SLOT_WRITTEN) {
        struct wal_slot *s = &w->slots[w->slot_first];
        if (!w->failed && s->batch.records) {
            uint32_t at = 0;
            struct log_record r;
            const void *bytes;
            uint64_t index = s->batch.first_index;
            w->durable = index + s->batch.records - 1;
            w->records += s->batch.records;
            while (log_format_record_next(s->buf + LOG_BLOCK + sizeof s->batch,
                                          s->batch.payload_len, &at, &r, &bytes))
                w->host->record(w->host, index++, &r, bytes);
        }
        s->state = WAL_SLOT_FREE;
        s->file = NULL;
        w->slot_first = (w->slot_first + 1) % w->cfg.batches_in_flight;
        w->slots_used--;
    }
}

static void wal_close_old(struct wal *w)
{
    if (!w->old_file || w->closing)
        return;
    for (uint32_t i = 0; i < w->cfg.batches_in_flight; i++)
        if (w->slots[i].file == w->old_file)
            return;
    struct env_file *f = w->old_file;
    w->old_file = NULL;
    w->closing = true;
    env_close(f, &w->close_op);
}

/* Writes out, then lets go of everything; the caller's op is the last thing touched. */
static void wal_stop_run(struct wal *w)
{
    if (w->failed || w->state != WAL_RUNNING)
        wal_reject(w, E_NOT_LEADER);
    if (!wal_is_idle(w) || w->closing || w->run_posted || !wal_recover_end(w))
        return;
    if (!w->failed && w->state == WAL_RUNNING && w->sealed < w->durable) {
        w->seal_due = true;
        if (wal_fill(w))
            return;
        w->sealed = w->durable;
    }
    if (!wal_prep_end(w))
        return;
    if (w->file) {
        w->old_file = w->file;
        w->file = NULL;
        wal_close_old(w);
        return;
    }
    env_timer_stop(w->env, &w->seal_timer);
    w->state = WAL_STOPPED;
    struct env_op *op = w->stop_op;
    op->ret = 0;
    env_post(w->env, op);
}

void wal_run(struct wal *w)
{
    if (w->state == WAL_STOPPED)
        return;
    wal_publish(w);
    if (w->state == WAL_RUNNING && !w->recover && !w->failed) {
        while (wal_fill(w))
            ;
        wal_prep_run(w);
        if (wal_is_idle(w) && w->sealed < w->durable && !w->stop_op) {
            if (!env_timer_is_set(&w->seal_timer))
                env_timer_set(w->env, &w->seal_timer, env_now_ns(w->env) + WAL_SEAL_NS);
        } else {
            env_timer_stop(w->env, &w->seal_timer);
        }
    }
    wal_prep_trim_run(w);
    wal_close_old(w);
    if (w->stop_op)
        wal_stop_run(w);
}

void wal_stop(struct wal *w, struct env_op *op)
{
    ASSERT(!w->stop_op && list_empty(&w->cursors));
    w->stop_op = op;
    wal_kick(w);
}

uint64_t wal_last_index(const struct wal *w)
{
    return w->next_index - 1;
}

uint64_t wal_written(const struct wal *w)
{
    return w->written;
}

uint64_t wal_durable(const struct wal *w)
{
    return w->durable;
}

uint64_t wal_epoch(const struct wal *w)
{
    return w->epoch;
}

void wal_stats(const struct wal *w, struct wal_stats *ret_stats)
{
    *ret_stats = (struct wal_stats){.first_index = w->n_segs ? w->segs[0].first_index : 0,
                                    .last_index = w->next_index ? w->next_index - 1 : 0,
                                    .durable = w->durable,
                                    .epoch = w->epoch,
                                    .segments = w->n_segs,
                                    .records = w->records,
                                    .batches = w->batches,
                                    .syncs = w->syncs};
    for (uint32_t i = 0; i < w->n_segs; i++)
        ret_stats->bytes += w->segs[i].bytes;
}
