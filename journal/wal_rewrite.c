/* journal/wal_rewrite.c - what a start writes: the second half of wal_recover.c, whose invariants 3
 * and 4 it keeps. */
#include "journal/wal_recover_impl.h"

void wal_rc_erase(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    char name[ENV_NAME_MAX];
    if (rc->disk_done && rc->op.ret < 0) {
        wal_fail(w, (int)rc->op.ret, "erasing beyond the end of the log");
        wal_rc_finish(rc, w->failed);
        return;
    }
    if (rc->state == WAL_RC_ERASE_OPEN) {
        while (rc->at_seg < w->n_segs && w->segs[rc->at_seg].erase_to == 0)
            rc->at_seg++;
        rc->disk_done = false;
        if (rc->at_seg == w->n_segs) {
            rc->at_seg = 0;
            rc->state = WAL_RC_DROP;
            return;
        }
        wal_name(w, w->segs[rc->at_seg].seq, name);
        rc->erase_from = w->segs[rc->at_seg].end;
        rc->busy = true;
        rc->state = WAL_RC_ERASE;
        env_open(w->env, name, ENV_O_WRITE | ENV_O_DIRECT | ENV_O_DSYNC, &rc->file, &rc->op);
        return;
    }
    uint64_t left = w->segs[rc->at_seg].erase_to - rc->erase_from;
    rc->busy = true;
    if (left) {
        uint32_t n = (uint32_t)base_min_u64(WAL_ZERO_BYTES, left);
        env_write(rc->file, w->zeros, n, rc->erase_from, &rc->op);
        rc->erase_from += n;
    } else {
        struct env_file *f = rc->file;
        rc->file = NULL;
        rc->at_seg++;
        rc->state = WAL_RC_ERASE_OPEN;
        env_close(f, &rc->op);
    }
}

/* Segments that did not join: header to zeros, then away.  Behind a hole they lose all they hold
 * first: an unlink may be undone, and then their batches would speak of records as durable whose
 * places others have by then. */
void wal_rc_drop(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    char name[ENV_NAME_MAX];
    struct env_file *f = rc->file;
    if (rc->state == WAL_RC_DROP) {
        while (rc->at_seg < w->n_segs && w->segs[rc->at_seg].accepted)
            rc->at_seg++;
        rc->disk_done = false;
        if (rc->at_seg == w->n_segs) {
            rc->state = WAL_RC_PREPARE;
            return;
        }
        wal_name(w, w->segs[rc->at_seg].seq, name);
        rc->busy = true;
        rc->state = WAL_RC_DROP_HEADER;
        env_open(w->env, name, ENV_O_WRITE | ENV_O_DIRECT | ENV_O_DSYNC, &rc->file, &rc->op);
        return;
    }
    if (rc->op.ret < 0) {
        wal_fail(w, (int)rc->op.ret, "removing a segment that is no part of the log");
        wal_rc_finish(rc, w->failed);
        return;
    }
    rc->busy = true;
    switch (rc->state) {
    case WAL_RC_DROP_HEADER:
        rc->state = w->hole.first_bad ? WAL_RC_DROP_RESIZE : WAL_RC_DROP_CLOSE;
        env_write(rc->file, w->zeros, LOG_BLOCK, 0, &rc->op);
        break;
    case WAL_RC_DROP_RESIZE:
        rc->state = WAL_RC_DROP_SYNC;
        env_resize(rc->file, LOG_BLOCK, &rc->op);
        break;
    case WAL_RC_DROP_SYNC:
        rc->state = WAL_RC_DROP_CLOSE;
        env_sync(rc->file, &rc->op);
        break;
    case WAL_RC_DROP_CLOSE:
        rc->file = NULL;
        rc->state = WAL_RC_DROP_UNLINK;
        env_close(f, &rc->op);
        break;
    default:
        wal_name(w, w->segs[rc->at_seg].seq, name);
        w->n_segs--;
        memmove(w->segs + rc->at_seg, w->segs + rc->at_seg + 1,
                (w->n_segs - rc->at_seg) * sizeof *w->segs);
        rc->state = WAL_RC_DROP;
        env_unlink(w->env, name, &rc->op);
    }
}

void wal_rc_prepare(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (w->failed || w->stop_op) {
        wal_rc_finish(rc, w->failed ? w->failed : E_CANCELLED);
        return;
    }
    if (w->n_segs == WAL_SEGMENTS_MAX) {
        wal_rc_finish(rc, E_NOMEM);
        return;
    }
    if (!wal_is_ready(w)) {
        wal_prep_run(w);
        if (w->cfg.no_wait && w->prep.fulls > 1) /* the second time of a small one */
            wal_rc_finish(rc, E_NOSPC);
        else
            rc->busy = true; /* until wal_prep wakes us */
        return;
    }
    rc->state = WAL_RC_HEADER;
    rc->disk_done = false;
    rc->busy = true;
    wal_header(w, w->slots[0].buf, w->ahead.made[0].seq, rc->next, w->ahead.made[0].bytes);
    env_write(w->ahead.file, w->slots[0].buf, LOG_BLOCK, 0, &rc->op);
}

void wal_rc_running(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    w->state = WAL_RUNNING;
    wal_prep_clip(w);
    wal_prep_supersede(w, rc->places[0].last_index, rc->first_seq);
    w->prep.least_bytes = 0;
    wal_rc_finish(rc, 0);
}

void wal_rc_header(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    struct log_head h;
    if (rc->op.ret != LOG_BLOCK) {
        wal_fail(w, rc->op.ret < 0 ? (int)rc->op.ret : E_IO, "writing a segment's header");
        wal_rc_finish(rc, w->failed);
        return;
    }
    memcpy(&h, w->slots[0].buf, sizeof h);
    w->next_index = rc->next;
    if (!rc->first_seq)
        rc->first_seq = w->ahead.made[0].seq;
    wal_activate(w, rc->next, h.crc);
    wal_run(w); /* closes the file before, if any */
    rc->disk_done = false;
    if (rc->next > rc->last) {
        wal_rc_running(rc);
        return;
    }
    rc->state = WAL_RC_COPY;
    if (rc->copy_waits)
        return;
    for (rc->at_seg = 0; w->segs[rc->at_seg].last_index < rc->next;)
        rc->at_seg++;
    wal_rc_open_reader(rc, w->segs[rc->at_seg].seq);
}

/* takes what is wanted of the batch that the reader shows; false: nothing */
static bool wal_rc_copy_pack(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    struct wal_read *r = &rc->read;
    struct log_record rec;
    const void *bytes;
    uint32_t at = 0, n = 0, len = 0, seed = w->chain;
    uint64_t index = r->batch.first_index;
    /* the chain value is known: a batch that waits for a segment is packed again after its header
     */
    while (log_format_record_next(r->payload, r->batch.payload_len, &at, &rec, &bytes)) {
        if (index++ != rc->next + n)
            continue;
        seed = log_format_record_put(rc->copy + sizeof r->batch + len, seed, rec.type, rec.epoch,
                                     bytes, rec.len);
        len += log_format_record_size(rec.len);
        n++;
    }
    rc->copy_batch = (struct log_batch){.prev_chain = w->chain,
                                        .seq = w->segs[w->n_segs - 1].seq,
                                        .epoch = w->epoch,
                                        .first_index = rc->next,
                                        .durable_upto = w->durable,
                                        .payload_len = len,
                                        .records = n};
    return n > 0;
}

void wal_rc_copy(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (!wal_rc_copy_pack(rc)) {
        rc->copy_waits = false;
        return;
    }
    uint32_t size = log_format_batch_size(&rc->copy_batch);
    rc->copy_waits = w->off + size + LOG_BLOCK > w->segs[w->n_segs - 1].bytes;
    if (rc->copy_waits) {
        w->prep.least_bytes = 2 * LOG_BLOCK + size;
        if (w->off == LOG_BLOCK) { /* too small for it: stays empty, the next stands beside it */
            w->chain = w->segs[w->n_segs - 1].prev_chain;
            rc->first_seq = 0;
        }
        rc->state = WAL_RC_PREPARE;
        return;
    }
    log_format_batch_put(rc->copy, &rc->copy_batch);
    rc->state = WAL_RC_COPIED;
    rc->busy = true;
    env_write(w->file, rc->copy, size, w->off, &rc->op);
}

void wal_rc_copied(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    uint32_t size = log_format_batch_size(&rc->copy_batch);
    rc->disk_done = false;
    if (rc->op.ret != (int64_t)size) {
        wal_fail(w, rc->op.ret < 0 ? (int)rc->op.ret : E_IO, "securing the end of the log");
        wal_rc_finish(rc, w->failed);
        return;
    }
    w->off += size;
    w->chain = rc->copy_batch.crc;
    rc->next += rc->copy_batch.records;
    w->next_index = rc->next;
    w->durable = rc->next - 1;
    rc->state = WAL_RC_COPY;
}
