/* journal/wal_recover.c - from a directory of segments to a log that takes records.
 *
 *   wal_recover         LIST -> HEADS -> SCAN -> EVIDENCE (-> BEHIND) -> verdict    (reads only)
 *   wal_recover_start   ERASE -> DROP -> PREPARE -> HEADER -> COPY -> running   (wal_rewrite.c)
 *   wal_recover_replay  REPLAY                        (reads only, with or without a start)
 *
 * INVARIANTS
 *  1. The accepted log is what intact batches hold, chained from the oldest segment on.  Segments
 *     are taken in the order of their numbers; one joins exactly when its header stands on a place
 *     of the chain so far that was not proven durable before, or on the last that was.  It then
 *     replaces the rest of the chain, whose records it repeats (or began to repeat, when a restart
 *     was cut short: so what the rest held still counts, and equal indices hold equal records).
 *  2. Until the verdict nothing is written.
 *  3. What is beyond the cut is erased, and segments that did not join lose their header, durably
 *     and before the new segment gets its own: a later restart cannot take up what this one
 *     rejected.
 *  4. Batches that no later one proves durable may be in a page cache or a device's cache only. The
 *     new segment stands on the last batch that is proven (not on one that may vanish), and holds a
 *     copy of all that comes after it, durable before anybody sees a record.
 *  5. What nothing proves durable and does not check may be a write that was torn, or one that was
 *     answered for and in which a bit has flipped since.  So a flipped bit is mended (log_mend.h)
 *     and the log read once more, as if it had never flipped; from there on all is copied (4).
 *     What is proven durable and does not check stays damage: it would have to be mended at every
 *     reading.
 *  6. What comes next by its chain and stands elsewhere in its segment was written to a wrong
 *     place: that is damage.  So is a batch where another one would have to begin, and a segment
 *     without a header whose header stands elsewhere in it, with batches: its first write went
 *     astray.  Of what went astray outside of its own file nothing can be found.
 *  7. A group's log is read past what the disk cannot read (wal_read.c).  That is damage, also
 *     where nothing proves that it was durable: a torn write leaves sectors that can be read.
 *  8. What does not check is read again, a few times, before it is believed: at its place, and the
 *     whole log before it is called damaged, or when what did not check does at a second reading.
 *     What the disk cannot read is not: that may take seconds each time.  What reads well now and
 *     then, but never when it is taken, was written whole: it is damage, and no torn write. */
#include "core/crc.h"
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/wal_recover_impl.h"

static void wal_rc_done(struct env_op *op)
{
    struct wal_recover *rc = container_of(op, struct wal_recover, op);
    rc->busy = false;
    rc->disk_done = true;
    wal_recover_run(rc->wal);
}

static void wal_rc_wake(struct wal_read *r)
{
    struct wal_recover *rc = container_of(r, struct wal_recover, read);
    wal_recover_run(rc->wal);
}

void wal_rc_finish(struct wal_recover *rc, int ret)
{
    rc->ret = ret;
    rc->state = WAL_RC_FINISH;
}

void wal_rc_open_reader(struct wal_recover *rc, uint64_t seq)
{
    char name[ENV_NAME_MAX];
    wal_name(rc->wal, seq, name);
    rc->reading = true;
    rc->read.unreadable = rc->n_looks = 0;
    rc->read.limit = 0;
    wal_read_open(&rc->read, name);
}

/* --- reading --- */

static void wal_rc_expected(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (w->expect_last >= w->expect_first + WAL_SEGMENTS_MAX) {
        wal_rc_finish(rc, E_NOMEM);
        return;
    }
    for (uint64_t seq = w->expect_first; seq <= w->expect_last; seq++)
        w->segs[w->n_segs++] = (struct wal_segment){.seq = seq};
    w->seq_max = w->expect_last;
    rc->at_seg = 0;
    rc->state = WAL_RC_HEADS;
}

static void wal_rc_list(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (w->is_expected) {
        wal_rc_expected(rc);
        return;
    }
    if (!rc->disk_done) {
        rc->busy = true;
        env_list(w->env, w->cfg.dir, rc->after, rc->names, sizeof rc->names, &rc->op);
        return;
    }
    rc->disk_done = false;
    if (rc->op.ret < 0) {
        wal_rc_finish(rc, (int)rc->op.ret);
        return;
    }
    if (rc->op.ret == 0) {
        rc->at_seg = 0;
        rc->state = WAL_RC_HEADS;
        return;
    }
    for (const char *n = rc->names; n < rc->names + rc->op.ret; n += strlen(n) + 1) {
        uint64_t seq;
        fmt_into(rc->after, sizeof rc->after, "%s", n);
        if (!log_format_name_parse(n, "wal-", &seq))
            continue;
        if (w->n_segs == WAL_SEGMENTS_MAX) {
            wal_rc_finish(rc, E_NOMEM);
            return;
        }
        w->segs[w->n_segs++] = (struct wal_segment){.seq = seq};
        w->seq_max = base_max_u64(w->seq_max, seq);
    }
}

static void wal_rc_learn(struct wal_recover *rc, uint64_t durable_upto, uint64_t seq)
{
    if (durable_upto > rc->evidence) {
        rc->evidence = durable_upto;
        rc->evidence_seq = seq;
    }
}

static void wal_rc_notice(struct wal_recover *rc, uint64_t upto, uint64_t seq)
{
    if (upto > rc->astray) {
        rc->astray = upto;
        rc->astray_seq = seq;
    }
}

/* true: what the reader has just told comes once more, from the disk */
static bool wal_rc_look(struct wal_recover *rc)
{
    if (rc->n_looks == WAL_LOOKS || rc->read.unreadable)
        return false;
    rc->n_looks++;
    wal_read_again(&rc->read);
    return true;
}

static void wal_rc_head(struct wal_recover *rc, struct wal_segment *s)
{
    struct wal *w = rc->wal;
    const struct log_segment *h = &rc->read.segment;
    int v = rc->read.verdict;
    s->bytes = rc->read.size;
    if (!v && (h->cluster_hi != w->cfg.cluster_hi || h->cluster_lo != w->cfg.cluster_lo))
        v = E_CLUSTER;
    if (v == E_VERSION || v == E_CLUSTER) {
        fmt_log(w->env, ENV_LOG_ERROR, "journal: %s: %s. %s", rc->read.name, err_text(v),
                v == E_VERSION ? "It was written by a newer release: run that one."
                               : "Give each cluster a directory of its own.");
        wal_rc_finish(rc, v);
        return;
    }
    /* a segment had its full size before it got its name */
    if ((v == E_EOF || (!v && s->bytes < h->bytes)) && !w->holes) {
        fmt_log(w->env, ENV_LOG_ERROR,
                "journal: %s: it ends at offset %llu: something cut it. Nothing was changed. "
                "Restore the file from a copy, or the directory from a backup.",
                rc->read.name, (unsigned long long)s->bytes);
        wal_rc_finish(rc, E_CORRUPT);
        return;
    }
    s->is_short = v == E_EOF || (!v && s->bytes < h->bytes);
    s->verdict = v == E_NODATA ? WAL_SEG_ZERO : WAL_SEG_BAD;
    if (v || h->seq != s->seq || h->first_index == 0 || h->first_index > UINT64_MAX / 2 ||
        h->durable_upto >= h->first_index)
        return;
    s->verdict = WAL_SEG_VALID;
    s->is_mended = rc->read.mended;
    rc->read.mended = false;
    s->first_index = h->first_index;
    s->epoch = h->epoch;
    s->durable_upto = h->durable_upto;
    s->chain = h->crc;
    s->prev_chain = h->prev_chain;
    wal_rc_learn(rc, s->durable_upto, s->seq);
    w->epoch = base_max_u64(w->epoch, s->epoch);
}

static void wal_rc_evidence_begin(struct wal_recover *rc)
{
    rc->at_seg = 0;
    rc->state = WAL_RC_EVIDENCE;
}

/* nothing is accepted */
static void wal_rc_forget(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    for (uint32_t i = 0; i < w->n_segs; i++) {
        w->segs[i].accepted = w->segs[i].superseded = false;
        w->segs[i].erase_to = 0;
    }
    rc->cut_seg = w->n_segs;
    rc->n_places = 1;
    rc->n_behind = 0;
    rc->provable = UINT64_MAX;
    w->written = 0;
}

/* from the beginning, as if nothing had been read */
static void wal_rc_anew(struct wal_recover *rc)
{
    wal_rc_forget(rc);
    rc->is_misread = rc->is_unreadable = rc->is_second = rc->is_headless = false;
    rc->last = rc->at_seg = 0;
    rc->astray = rc->astray_seq = 0;
    rc->state = WAL_RC_HEADS;
}

static void wal_rc_heads(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (rc->at_seg < w->n_segs) {
        wal_rc_open_reader(rc, w->segs[rc->at_seg].seq);
        return;
    }
    rc->cut_seg = w->n_segs;
    rc->places[0] = (struct wal_place){0, 0, 0};
    rc->n_places = 1;
    for (uint32_t i = 0; i < w->n_segs; i++)
        if (w->segs[i].verdict == WAL_SEG_VALID) {
            struct wal_segment *s = &w->segs[i];
            if (s->first_index > rc->from && w->holes) {
                wal_rc_notice(rc, rc->from, s->seq); /* whatever it was, it is gone */
                break;
            }
            if (s->first_index > rc->from && rc->looks < WAL_LOOKS) {
                rc->looks++; /* a header may have been read badly */
                wal_rc_anew(rc);
                return;
            }
            if (s->first_index > rc->from) {
                char name[ENV_NAME_MAX];
                wal_name(w, s->seq, name);
                fmt_log(w->env, ENV_LOG_ERROR,
                        "journal: records %llu to %llu are missing: '%s' is the oldest segment. "
                        "Nothing was changed. Restore the missing files or a backup.",
                        (unsigned long long)rc->from, (unsigned long long)s->first_index - 1, name);
                wal_rc_finish(rc, E_CORRUPT);
                return;
            }
            rc->places[0] = (struct wal_place){0, s->first_index - 1, s->prev_chain};
            rc->last = s->first_index - 1;
            rc->at_seg = i;
            rc->state = WAL_RC_SCAN;
            return;
        }
    wal_rc_evidence_begin(rc);
}

/* something in the chain says that records up to d were durable, and so the batches they are in */
static void wal_rc_prove(struct wal_recover *rc, uint64_t d)
{
    uint32_t n = 0;
    d = base_min_u64(d, rc->provable);
    while (n + 1 < rc->n_places && rc->places[n + 1].first_index <= d)
        n++;
    rc->n_places -= n;
    memmove(rc->places, rc->places + n, rc->n_places * sizeof *rc->places);
}

/* What was mended is still as it was on the disk: whatever proves it, it is to be copied. */
static void wal_rc_mended(struct wal_recover *rc, uint64_t first_index)
{
    rc->is_mended = true;
    rc->provable = base_min_u64(rc->provable, first_index - 1);
}

static void wal_rc_place(struct wal_recover *rc, const struct log_batch *b)
{
    if (rc->read.mended)
        wal_rc_mended(rc, b->first_index);
    rc->read.mended = false;
    wal_rc_prove(rc, b->durable_upto);
    if (rc->n_places < WAL_RC_PLACES) /* else it proves nothing for hundreds of batches: damage */
        rc->places[rc->n_places++] =
            (struct wal_place){b->first_index, b->first_index + b->records - 1, b->crc};
}

/* the next segment that stands on the chain, or the end of the scan */
static void wal_rc_scan(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    for (; rc->at_seg < w->n_segs; rc->at_seg++) {
        struct wal_segment *s = &w->segs[rc->at_seg];
        for (uint32_t k = rc->n_places; s->verdict == WAL_SEG_VALID && k-- > 0;)
            if (rc->places[k].chain == s->prev_chain &&
                rc->places[k].last_index + 1 == s->first_index) {
                rc->n_places = k + 1;
                wal_prep_supersede(w, s->first_index - 1, s->seq);
                if (rc->provable >= s->first_index - 1) /* it was copied */
                    rc->provable = UINT64_MAX;
                if (s->is_mended)
                    wal_rc_mended(rc, s->first_index);
                wal_rc_prove(rc, s->durable_upto);
                wal_rc_open_reader(rc, s->seq);
                return;
            }
    }
    wal_rc_evidence_begin(rc);
}

static void wal_rc_scanned(struct wal_recover *rc)
{
    struct wal_segment *s = &rc->wal->segs[rc->at_seg];
    s->accepted = true;
    s->end = rc->read.at;
    s->last_index = rc->read.expect.index - 1;
    rc->cut_seg = rc->at_seg++;
}

/* b's head is in the segment where the log ends, and it is the one that comes next.  Elsewhere than
 * there: the write went to a wrong place, so what may have been answered for is lost.  There: it
 * was torn, or only read badly.  A later one there has been written over it. */
static void wal_rc_evidence_next(struct wal_recover *rc, const struct log_batch *b)
{
    const struct wal_segment *s = &rc->wal->segs[rc->at_seg];
    uint32_t chain = s->end == LOG_BLOCK ? s->chain : rc->places[rc->n_places - 1].chain;
    uint64_t upto = b->first_index + b->records - 1;
    if (!s->accepted || rc->at_seg != rc->cut_seg || !b->records)
        return;
    if (rc->read.at == s->end && b->first_index > rc->last + 1)
        wal_rc_notice(rc, upto, b->seq);
    if (b->prev_chain != chain || b->first_index != rc->last + 1 || b->payload_len > LOG_BATCH_MAX)
        return;
    if (rc->read.at != s->end) {
        wal_rc_notice(rc, upto, b->seq);
        return;
    }
    rc->again_left = b->payload_len;
    rc->again_crc = 0;
    rc->again_want = b->payload_crc;
}

/* from: of the block, where the batch's payload begins or goes on */
static void wal_rc_evidence_again(struct wal_recover *rc, uint32_t from)
{
    uint32_t n = (uint32_t)base_min_u64(rc->again_left, LOG_BLOCK - from);
    if (!n)
        return;
    rc->again_crc = crc_update(rc->again_crc, rc->read.block + from, n);
    rc->again_left -= n;
    rc->is_misread |= !rc->again_left && rc->again_crc == rc->again_want;
}

/* A segment that was taken for one without a good header has one: it only read badly, or was
 * written to a wrong place. */
static void wal_rc_evidence_head(struct wal_recover *rc)
{
    const struct wal_segment *s = &rc->wal->segs[rc->at_seg];
    struct log_segment h;
    memcpy(&h, rc->read.block, sizeof h);
    if (s->verdict == WAL_SEG_VALID ||
        log_format_check(rc->read.block, LOG_BLOCK, LOG_SEGMENT_MAGIC) || h.seq != s->seq ||
        h.cluster_hi != rc->wal->cfg.cluster_hi || h.cluster_lo != rc->wal->cfg.cluster_lo)
        return;
    rc->is_misread |= rc->read.at == 0;
    rc->is_head_astray |= rc->read.at != 0;
}

static void wal_rc_evidence_block(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    struct log_batch b;
    struct wal_read *r = &rc->read;
    if (rc->again_left)
        wal_rc_evidence_again(rc, 0);
    if (!memcmp(r->block, w->zeros, LOG_BLOCK))
        return;
    if (w->segs[rc->at_seg].accepted)
        w->segs[rc->at_seg].erase_to = r->at + LOG_BLOCK;
    wal_rc_evidence_head(rc);
    if (log_format_batch_head(r->block, &b) || b.seq != w->segs[rc->at_seg].seq)
        return;
    wal_rc_learn(rc, b.durable_upto, b.seq);
    rc->is_head_astray |= r->at == 0; /* it was written over the header */
    rc->heads_upto = base_max_u64(rc->heads_upto, b.first_index + b.records - 1);
    wal_rc_evidence_next(rc, &b);
    if (r->at == w->segs[rc->at_seg].end)
        wal_rc_evidence_again(rc, sizeof b);
    uint64_t place = b.first_index + b.records - 1;
    if (!w->holes || !b.records || place <= rc->last ||
        (rc->n_behind && place < rc->behind[rc->n_behind - 1].place))
        return;
    if (rc->n_behind == WAL_RC_BATCHES)
        memmove(rc->behind, rc->behind + 1, --rc->n_behind * sizeof *rc->behind);
    rc->behind[rc->n_behind].seg = rc->at_seg;
    rc->behind[rc->n_behind].place = place;
    rc->behind[rc->n_behind++].at = r->at;
}

/* the log ends where it was accepted to */
static void wal_rc_accept(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    w->next_index = rc->last + 1;
    w->durable = w->sealed = rc->places[0].last_index;
    w->chain = rc->places[0].chain;
    wal_rc_finish(rc, 0);
}

/* the last intact record behind a hole: from the last batch on backwards */
static void wal_rc_behind(struct wal_recover *rc)
{
    if (rc->n_behind == 0 || rc->behind[rc->n_behind - 1].place <= rc->last) {
        wal_rc_accept(rc);
        return;
    }
    rc->at_seg = rc->behind[--rc->n_behind].seg;
    rc->read.any = true;
    wal_rc_open_reader(rc, rc->wal->segs[rc->at_seg].seq);
}

static void wal_rc_behind_batch(struct wal_recover *rc)
{
    struct wal_hole *h = &rc->wal->hole;
    const struct log_batch *b = &rc->read.batch;
    struct log_record rec;
    const void *bytes;
    uint32_t at = 0;
    while (log_format_record_next(rc->read.payload, b->payload_len, &at, &rec, &bytes)) {
        h->found_epoch = rec.epoch;
        h->found_type = rec.type;
        h->found_head = rec.len < 8 ? 0 : base_get_u64(bytes);
    }
    h->found = b->first_index + b->records - 1;
    rc->n_behind = 0;
    wal_read_close(&rc->read);
}

/* The damage is before what is needed: once more, from the youngest segment that stands before
 * that.  False: there is none. */
static bool wal_rc_scan_second(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    uint32_t i = w->n_segs;
    while (i > 0 &&
           (w->segs[i - 1].verdict != WAL_SEG_VALID || w->segs[i - 1].first_index > rc->from))
        i--;
    if (i == 0 || rc->is_second)
        return false;
    rc->is_second = true;
    wal_rc_forget(rc);
    rc->last = w->segs[i - 1].first_index - 1;
    rc->places[0] = (struct wal_place){0, rc->last, w->segs[i - 1].prev_chain};
    rc->at_seg = i - 1;
    rc->state = WAL_RC_SCAN;
    return true;
}

/* the log is cut before what is damaged, although it was durable: its owner asked for that */
static void wal_rc_hole(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (rc->last + 1 < rc->from) { /* nothing that is needed is left of it */
        wal_rc_forget(rc);
        rc->last = rc->from - 1;
        rc->places[0] = (struct wal_place){0, rc->last, 0};
    }
    wal_rc_prove(rc, rc->evidence);
    w->hole = (struct wal_hole){.first_bad = rc->last + 1, .known = rc->evidence};
    rc->state = WAL_RC_BEHIND;
}

/* Nothing proves what does not check.  Where one bit makes the difference it was written whole, and
 * may have been answered for: from the beginning, with such bits put right. */
static bool wal_rc_scan_mending(struct wal_recover *rc)
{
    if (!rc->read.mendable || rc->read.mend == WAL_READ_MENDS)
        return false;
    rc->read.mend = WAL_READ_MENDS;
    wal_rc_anew(rc);
    return true;
}

/* What ended the log reads well now, or there was more, or may have been: once more, from the
 * beginning. */
static bool wal_rc_scan_again(struct wal_recover *rc)
{
    bool is_lost = base_max_u64(rc->evidence, rc->astray) > rc->last && !rc->is_unreadable;
    if ((!rc->is_misread && !is_lost && (!rc->is_headless || rc->is_unreadable)) ||
        rc->looks == WAL_LOOKS)
        return false;
    rc->looks++;
    if (rc->is_misread)
        fmt_log(rc->wal->env, ENV_LOG_WARN,
                "journal: '%s': record %llu read badly a moment ago and reads well now: check the "
                "disk.",
                env_disk(rc->wal->env, rc->wal->dir), (unsigned long long)rc->last + 1);
    wal_rc_anew(rc);
    return true;
}

static void wal_rc_say_torn(const struct wal_recover *rc)
{
    const struct wal *w = rc->wal;
    const char *what = rc->is_whole ? "does not check, though no sector of it is empty: check the "
                                      "disk; records that were answered for may be lost here"
                                    : "was torn";
    SOMETIMES(WAL_TORN);
    fmt_log(w->env, rc->is_whole ? ENV_LOG_WARN : ENV_LOG_INFO,
            "journal: '%s': the last write %s; the log ends at record %llu.",
            env_disk(w->env, w->dir), what, (unsigned long long)rc->last);
}

static void wal_rc_verdict(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    for (uint32_t i = 0; i < w->n_segs; i++) /* it had all of its size once: there was more */
        if (w->segs[i].is_short && (!w->segs[i].accepted || i == rc->cut_seg))
            wal_rc_learn(rc, rc->last + 1, w->segs[i].seq);
    if (wal_rc_scan_again(rc))
        return;
    wal_rc_learn(rc, rc->astray, rc->astray_seq);
    if (rc->is_unreadable || rc->is_misread) /* it was seen whole, but never when it was needed */
        wal_rc_learn(rc, rc->last + 1, 0);
    if (rc->evidence > rc->last) {
        if (w->holes && rc->last + 1 < rc->from && wal_rc_scan_second(rc))
            return;
        char name[ENV_NAME_MAX] = "the log (no intact segment)", by[ENV_NAME_MAX];
        uint64_t at = 0;
        if (rc->cut_seg < w->n_segs) {
            wal_name(w, w->segs[rc->cut_seg].seq, name);
            at = w->segs[rc->cut_seg].end;
        }
        fmt_into(by, sizeof by,
                 rc->is_unreadable || rc->is_misread ? "the disk, which cannot read it,"
                                                     : "a state image");
        if (rc->evidence_seq)
            wal_name(w, rc->evidence_seq, by);
        fmt_log(w->env, ENV_LOG_ERROR,
                "journal: %s: damaged at offset %llu: record %llu does not check, but %s says that "
                "records up to %llu were durable. Nothing was changed. %s",
                name, (unsigned long long)at, (unsigned long long)rc->last + 1, by,
                (unsigned long long)rc->evidence,
                w->holes ? "What is missing must come from the other members."
                         : "Restore the file from a copy, or the directory from a backup; cutting "
                           "the log here would lose acknowledged operations.");
        if (w->holes)
            wal_rc_hole(rc);
        else
            wal_rc_finish(rc, E_CORRUPT);
        return;
    }
    if (wal_rc_scan_mending(rc))
        return;
    if (rc->is_mended) {
        SOMETIMES(WAL_MENDED);
        fmt_log(w->env, ENV_LOG_WARN,
                "journal: '%s': a bit of the last writes had flipped and is put right; nothing is "
                "lost. Check the disk and the memory.",
                env_disk(w->env, w->dir));
    }
    if (rc->cut_seg < w->n_segs && w->segs[rc->cut_seg].erase_to)
        wal_rc_say_torn(rc);
    wal_rc_accept(rc);
}

static void wal_rc_evidence(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    while (rc->at_seg < w->n_segs && w->segs[rc->at_seg].accepted &&
           w->segs[rc->at_seg].end == w->segs[rc->at_seg].bytes)
        rc->at_seg++; /* full */
    if (rc->at_seg < w->n_segs)
        wal_rc_open_reader(rc, w->segs[rc->at_seg].seq);
    else
        wal_rc_verdict(rc);
}

/* --- handing out --- */

static void wal_rc_replay(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    while (rc->at_seg < w->n_segs && w->segs[rc->at_seg].last_index < rc->next)
        rc->at_seg++;
    if (rc->at_seg < w->n_segs && rc->next < w->next_index) {
        wal_rc_open_reader(rc, w->segs[rc->at_seg].seq);
        return;
    }
    wal_rc_finish(rc, rc->next == w->next_index ? 0 : E_CORRUPT);
}

static void wal_rc_replay_batch(struct wal_recover *rc)
{
    struct wal_read *r = &rc->read;
    struct log_record rec;
    const void *bytes;
    uint32_t at = 0;
    uint64_t index = r->batch.first_index;
    while (log_format_record_next(r->payload, r->batch.payload_len, &at, &rec, &bytes))
        if (index++ == rc->next)
            rc->wal->host->record(rc->wal->host, rc->next++, &rec, bytes);
}

/* --- what the reader says, by what it is read for --- */

/* True: the scan of a segment goes on, at what did not check, or at the zeros that seem to end the
 * log. */
static bool wal_rc_scan_look(struct wal_recover *rc)
{
    const struct wal *w = rc->wal;
    uint32_t next = rc->at_seg + 1;
    while (next < w->n_segs && w->segs[next].verdict != WAL_SEG_VALID)
        next++;
    bool is_end = !rc->read.verdict && rc->read.at < rc->read.size && next == w->n_segs;
    if ((!is_end && rc->read.verdict != E_CORRUPT) || !wal_rc_look(rc))
        return false;
    rc->read.limit = is_end ? rc->read.at + LOG_BLOCK : 0;
    return true;
}

static void wal_rc_read_end(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    if (rc->state == WAL_RC_SCAN && rc->read.verdict == E_VERSION) {
        fmt_log(w->env, ENV_LOG_ERROR, "journal: %s: written by a newer release: run that one.",
                rc->read.name);
        wal_rc_finish(rc, E_VERSION);
    } else if (rc->state == WAL_RC_SCAN) {
        if (wal_rc_scan_look(rc))
            return;
        rc->is_whole = rc->read.verdict == E_CORRUPT && rc->read.is_whole;
        rc->is_unreadable |= rc->read.verdict && rc->read.unreadable;
    } else if (rc->state == WAL_RC_COPY || rc->state == WAL_RC_REPLAY) {
        struct wal_segment *s = &w->segs[rc->at_seg];
        bool active = w->state == WAL_RUNNING && rc->at_seg == w->n_segs - 1;
        bool is_short = rc->read.at < (active ? w->off : s->end);
        if (is_short && wal_rc_look(rc))
            return;
        if (is_short) {
            fmt_log(w->env, ENV_LOG_ERROR,
                    "journal: %s: offset %llu read well a moment ago and does not now: check the "
                    "disk.",
                    rc->read.name, (unsigned long long)rc->read.at);
            wal_rc_finish(rc, E_CORRUPT);
        }
    }
    wal_read_close(&rc->read);
}

static void wal_rc_closed(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    rc->reading = false;
    rc->read.any = false;
    switch (rc->state) {
    case WAL_RC_EVIDENCE:
        if (rc->is_head_astray)
            wal_rc_notice(rc, rc->heads_upto, w->segs[rc->at_seg].seq);
        rc->is_headless |=
            w->segs[rc->at_seg].verdict != WAL_SEG_VALID && rc->heads_upto > rc->last;
        rc->is_head_astray = false;
        rc->heads_upto = rc->again_left = 0;
        rc->at_seg++;
        break;
    case WAL_RC_HEADS:
    case WAL_RC_REPLAY:
        rc->at_seg++;
        break;
    case WAL_RC_SCAN:
        wal_rc_scanned(rc);
        break;
    case WAL_RC_COPY:
        if (rc->next > rc->last) {
            wal_rc_running(rc);
        } else {
            while (rc->at_seg < w->n_segs && w->segs[rc->at_seg].last_index < rc->next)
                rc->at_seg++;
            ASSERT(rc->at_seg < w->n_segs - 1);
            wal_rc_open_reader(rc, w->segs[rc->at_seg].seq);
        }
        break;
    default:
        break;
    }
}

static void wal_rc_batch(struct wal_recover *rc)
{
    struct wal *w = rc->wal;
    const struct log_batch *b = &rc->read.batch;
    rc->n_looks = 0;
    rc->read.limit = 0;
    if (rc->state == WAL_RC_SCAN) {
        rc->last = base_max_u64(rc->last, rc->read.expect.index - 1);
        wal_rc_learn(rc, b->durable_upto, b->seq);
        wal_rc_place(rc, b);
        if (rc->read.expect.index > rc->from)
            w->written += log_format_batch_size(b);
        w->epoch = base_max_u64(w->epoch, b->epoch);
    } else if (rc->state == WAL_RC_BEHIND) {
        wal_rc_behind_batch(rc);
    } else if (rc->state == WAL_RC_COPY) {
        wal_rc_copy(rc);
    } else if (rc->state == WAL_RC_REPLAY) {
        wal_rc_replay_batch(rc);
    }
}

static bool wal_rc_is_header_bad(const struct wal_recover *rc, const struct wal_segment *s)
{
    switch (rc->state) {
    case WAL_RC_HEADS:
        return rc->read.verdict == E_CORRUPT;
    case WAL_RC_EVIDENCE:
    case WAL_RC_BEHIND:
        return false; /* what it says is not asked */
    default:
        return rc->read.verdict || rc->read.segment.crc != s->chain;
    }
}

static void wal_rc_read_header(struct wal_recover *rc)
{
    struct wal_segment *s = &rc->wal->segs[rc->at_seg];
    bool is_bad = wal_rc_is_header_bad(rc, s);
    if (is_bad && wal_rc_look(rc))
        return;
    rc->n_looks = 0;
    if (rc->state == WAL_RC_HEADS) {
        rc->is_unreadable |= rc->read.verdict && rc->read.unreadable;
        wal_rc_head(rc, s);
        wal_read_close(&rc->read);
    } else if (rc->state == WAL_RC_EVIDENCE) {
        wal_read_raw(&rc->read, s->accepted ? s->end : 0);
    } else if (rc->state == WAL_RC_BEHIND) {
        wal_read_batches(&rc->read, rc->behind[rc->n_behind].at);
    } else if (is_bad) {
        rc->read.verdict = rc->read.verdict ? rc->read.verdict : E_CORRUPT;
        wal_rc_finish(rc, E_IO);
        wal_read_close(&rc->read);
    }
}

/* one step of the reader; false: nothing more to do now */
static bool wal_rc_read_step(struct wal_recover *rc)
{
    struct wal_read *r = &rc->read;
    switch (wal_read_step(r)) {
    case WAL_READ_WAIT:
        return false;
    case WAL_READ_HEADER:
        wal_rc_read_header(rc);
        break;
    case WAL_READ_BATCH:
        wal_rc_batch(rc);
        break;
    case WAL_READ_END:
        r->verdict = 0;
        wal_rc_read_end(rc);
        break;
    case WAL_READ_BAD:
        wal_rc_read_end(rc);
        break;
    case WAL_READ_BLOCK:
        wal_rc_evidence_block(rc);
        break;
    case WAL_READ_ERROR:
        fmt_log(rc->wal->env,
                rc->wal->is_expected && r->verdict == E_NOENT ? ENV_LOG_DEBUG : ENV_LOG_ERROR,
                "journal: cannot read %s: %s.", r->name, err_text(r->verdict));
        wal_rc_finish(rc, r->verdict);
        wal_read_close(r);
        break;
    case WAL_READ_CLOSED:
        wal_rc_closed(rc);
        break;
    }
    return true;
}

static bool wal_rc_end(struct wal_recover *rc)
{
    struct env_op *op = rc->user;
    if (rc->file) {
        struct env_file *f = rc->file;
        rc->file = NULL;
        rc->busy = true;
        env_close(f, &rc->op);
        return true;
    }
    struct wal *w = rc->wal;
    rc->state = WAL_RC_REST;
    rc->user = NULL;
    rc->disk_done = false;
    op->ret = rc->ret;
    env_post(w->env, op);
    if (rc->replaying)
        wal_recover_end(w);
    wal_kick(w);
    return false;
}

/* a stop need not wait for what only reads, or hands out what was read */
static bool wal_rc_gives_up(const struct wal_recover *rc)
{
    return rc->wal->stop_op &&
           (rc->state == WAL_RC_HEADS || rc->state == WAL_RC_SCAN || rc->state == WAL_RC_EVIDENCE ||
            rc->state == WAL_RC_BEHIND || rc->state == WAL_RC_REPLAY);
}

void wal_recover_run(struct wal *w)
{
    struct wal_recover *rc = w->recover;
    if (rc && rc->state == WAL_RC_PREPARE)
        rc->busy = false; /* woken by wal_prep */
    while ((rc = w->recover) && rc->state != WAL_RC_REST && !rc->busy) {
        if (wal_rc_gives_up(rc))
            wal_rc_finish(rc, E_CANCELLED);
        bool stepping = rc->reading && rc->state != WAL_RC_PREPARE && rc->state != WAL_RC_HEADER &&
                        rc->state != WAL_RC_COPIED;
        if (stepping && rc->state == WAL_RC_COPY && rc->copy_waits) {
            wal_rc_copy(rc);
            continue;
        }
        if (stepping) {
            if (rc->state == WAL_RC_FINISH && rc->read.state != WAL_READ_IS_CLOSED &&
                !rc->read.busy)
                wal_read_close(&rc->read);
            if (!wal_rc_read_step(rc))
                return;
            continue;
        }
        switch (rc->state) {
        case WAL_RC_REST:
            return;
        case WAL_RC_LIST:
            wal_rc_list(rc);
            break;
        case WAL_RC_HEADS:
            wal_rc_heads(rc);
            break;
        case WAL_RC_SCAN:
            wal_rc_scan(rc);
            break;
        case WAL_RC_EVIDENCE:
            wal_rc_evidence(rc);
            break;
        case WAL_RC_BEHIND:
            wal_rc_behind(rc);
            break;
        case WAL_RC_ERASE_OPEN:
        case WAL_RC_ERASE:
            wal_rc_erase(rc);
            break;
        case WAL_RC_DROP:
        case WAL_RC_DROP_HEADER:
        case WAL_RC_DROP_RESIZE:
        case WAL_RC_DROP_SYNC:
        case WAL_RC_DROP_CLOSE:
        case WAL_RC_DROP_UNLINK:
            wal_rc_drop(rc);
            break;
        case WAL_RC_PREPARE:
            wal_rc_prepare(rc);
            break;
        case WAL_RC_HEADER:
            wal_rc_header(rc);
            break;
        case WAL_RC_COPY:
            break;
        case WAL_RC_COPIED:
            wal_rc_copied(rc);
            break;
        case WAL_RC_REPLAY:
            wal_rc_replay(rc);
            break;
        case WAL_RC_FINISH:
            if (!wal_rc_end(rc))
                return;
            break;
        }
    }
}

/* --- the doors --- */

static void wal_rc_fail_early(struct wal *w, int ret, struct env_op *op)
{
    op->ret = ret;
    env_post(w->env, op);
}

void wal_allow_hole(struct wal *w)
{
    ASSERT(w->state == WAL_NEW);
    w->holes = true;
}

void wal_expect(struct wal *w, uint64_t first, uint64_t last)
{
    ASSERT(w->state == WAL_NEW && first);
    w->is_expected = true;
    w->expect_first = first;
    w->expect_last = last;
}

bool wal_hole(const struct wal *w, struct wal_hole *ret_hole)
{
    *ret_hole = w->hole;
    return w->hole.first_bad;
}

void wal_recover(struct wal *w, uint64_t from, uint64_t known_durable, struct env_op *op)
{
    ASSERT(w->state == WAL_NEW && !w->recover);
    struct wal_recover *rc = mem_zalloc(w->mem, sizeof *rc);
    if (!rc || wal_read_init(&rc->read, w->env, w->mem)) {
        mem_free(w->mem, rc, sizeof *rc);
        wal_rc_fail_early(w, E_NOMEM, op);
        return;
    }
    w->recover = rc;
    w->next_index = 1;
    rc->wal = w;
    rc->user = op;
    rc->from = from;
    rc->evidence = known_durable;
    rc->op.done = wal_rc_done;
    rc->read.mend = WAL_READ_LOOK;
    rc->provable = UINT64_MAX;
    rc->read.by_block = w->holes;
    rc->read.wake = wal_rc_wake;
    rc->state = WAL_RC_LIST;
    w->state = WAL_RECOVERED;
    wal_recover_run(w);
}

void wal_recover_start(struct wal *w, uint64_t epoch, struct env_op *op)
{
    struct wal_recover *rc = w->recover;
    ASSERT(w->state == WAL_RECOVERED && rc && rc->state == WAL_RC_REST && !rc->ret);
    w->state = WAL_STARTING;
    w->epoch = base_max_u64(w->epoch, epoch);
    rc->user = op;
    if (MUTANT(TAIL_NOT_REWRITTEN))
        w->durable = rc->places[0].last_index = rc->last;
    rc->next = w->durable + 1;
    rc->at_seg = 0;
    rc->state = WAL_RC_ERASE_OPEN;
    if (rc->next <= rc->last) {
        rc->copy_memory = mem_alloc(w->mem, LOG_BATCH_MAX + LOG_BLOCK);
        if (!rc->copy_memory) {
            wal_rc_finish(rc, E_NOMEM);
            wal_recover_run(w);
            return;
        }
        rc->copy = rc->copy_memory + (-(uintptr_t)rc->copy_memory & (LOG_BLOCK - 1));
    }
    wal_recover_run(w);
}

void wal_recover_replay(struct wal *w, uint64_t from, struct env_op *op)
{
    struct wal_recover *rc = w->recover;
    ASSERT(rc && rc->state == WAL_RC_REST && !rc->ret);
    ASSERT(w->state == WAL_RECOVERED || (w->state == WAL_RUNNING && wal_is_idle(w)));
    rc->user = op;
    rc->next = from;
    rc->at_seg = 0;
    rc->replaying = true;
    rc->state = WAL_RC_REPLAY;
    wal_recover_run(w);
}

bool wal_recover_end(struct wal *w)
{
    struct wal_recover *rc = w->recover;
    if (!rc)
        return true;
    if (rc->state == WAL_RC_PREPARE)
        wal_recover_run(w); /* gives up */
    if (rc->state != WAL_RC_REST)
        return false;
    wal_read_drop(&rc->read);
    if (rc->copy_memory)
        mem_free(w->mem, rc->copy_memory, LOG_BATCH_MAX + LOG_BLOCK);
    mem_free(w->mem, rc, sizeof *rc);
    w->recover = NULL;
    return true;
}
