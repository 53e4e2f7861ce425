/* journal/wal.h - the write-ahead log: records in, durable records out, in order.
 *
 * Life: wal_create, wal_recover (reads everything, changes nothing), wal_recover_start (repairs the
 * end, opens a fresh segment), wal_recover_replay, then wal_append until wal_stop and wal_free.
 *
 * INVARIANTS
 *  1. host->record(i) is called for i = 1, 2, 3, ... without gaps, and only once record i is
 *     durable and every record before it was handed out.
 *  2. A block that holds a durable record is never written again while that record is needed:
 *     batches start on a block of their own, a restart opens a new segment, and what a restart
 *     found without proof that it is durable is copied into that segment, not rewritten in place.
 *  3. A bad batch is the end of the log unless something intact says that a record at or beyond it
 *     was durable (a later header, a later batch, a state image), or that it was written whole, if
 *     only elsewhere: then the log is damaged, wal_recover ends with E_CORRUPT (but see
 *     wal_allow_hole), and no byte on disk has changed.  It is bad when it was so a few times.
 *  4. A failed write or sync is final: host->failed once, nothing is handed out after it.
 *  5. The next segment is written with zeros beforehand, so an append is a plain overwrite and
 *     cannot run out of space.  When the next segment cannot be made, appends end with E_NOSPC
 *     until it can.
 *  6. A quiet log ends with an empty batch that vouches for all before it, and a segment always
 *     keeps a block free for that.
 *
 * Why not rewrite the tail in place after a restart: a power loss in the middle of that write could
 * destroy records that were acknowledged before the restart.  Why zeros are written into a segment
 * that is used again: they keep "end of the log" and "damage" apart, for a restart and for people
 * reading a dump; and what makes appends wait is files that come and go, not these writes. */
#ifndef JOURNAL_WAL_H
#define JOURNAL_WAL_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

enum { WAL_SLOTS_MAX = 16 };

struct wal_config {
    const char *dir;            /* disk name, "" for the env's own directory; outlives the log */
    uint64_t segment_bytes;     /* raised to what batches in flight need */
    uint32_t batch_bytes;       /* of records in a batch; a larger record is E_TOOBIG */
    uint32_t batches_in_flight; /* at most WAL_SLOTS_MAX */
    uint64_t queue_bytes;       /* of records that wait for a batch */
    uint64_t cluster_hi, cluster_lo;
    /* A segment that is removed does not become another one: others may have it open, and read on
     * in it (zk_tail.h). */
    bool keeps_none;
    bool is_fenced; /* a failure may be another one's doing: the host finds out, and says so */
    bool no_wait; /* a start that finds no room, not even for a small segment, ends with E_NOSPC */
};

struct wal_host {
    /* durable, in order; bytes are valid during the call.  May call wal_append. */
    void (*record)(struct wal_host *h, uint64_t index, const struct log_record *r,
                   const void *bytes);
    /* the last n appended records were dropped before they were written, and their indices freed */
    void (*rejected)(struct wal_host *h, uint32_t n, int why);
    void (*failed)(struct wal_host *h, int why);
    /* no room for another segment (appends end with E_NOSPC), or room again */
    void (*space)(struct wal_host *h, bool full);
    /* May be NULL.  The segments, numbered without gaps, are these: op is done when whoever reads
     * the log beside this process can know that, for good.  Before that the last one is not written
     * into, and one below the first keeps its header.  One call at a time; an error is final. */
    void (*names)(struct wal_host *h, uint64_t first, uint64_t last, struct env_op *op);
};

struct wal_stats {
    uint64_t first_index, last_index, durable, epoch, bytes, segments, records, batches, syncs;
};

/* Damage at a place that was durable: what is lost, and what can be told of it. */
struct wal_hole {
    uint64_t first_bad; /* the log ends before this place */
    uint64_t known;     /* something intact says that places up to here, at least, were durable */
    /* The last record behind the hole that checks; found 0: none.  If found < known, even the end
     * of what was durable is lost. */
    uint64_t found, found_epoch, found_head; /* head: its first 8 bytes */
    uint8_t found_type;
};

struct wal;

/* NULL: m cannot hold the buffers */
struct wal *wal_create(struct env *e, struct mem *m, const struct wal_config *cfg,
                       struct wal_host *host);
/* Reads the log.  from: first index that is needed; known_durable: an index that others (an image)
 * know durable.  ret: 0, E_CORRUPT, E_VERSION, E_CLUSTER, E_IO, E_NOMEM; a log line says more. */
void wal_recover(struct wal *w, uint64_t from, uint64_t known_durable, struct env_op *op);
/* Before wal_recover: the segments are these (last < first: none), whatever a list of the directory
 * would say.  One that is not found ends it with E_NOENT. */
void wal_expect(struct wal *w, uint64_t first, uint64_t last);
/* Before wal_recover, by an owner who can get back from others what is lost here: instead of
 * E_CORRUPT the log ends before the damage (or, when its beginning is gone, is empty and goes on
 * with `from`), nothing on disk has changed, and wal_hole says what is missing.  wal_recover_start
 * then erases all that is behind, so the owner writes down before that what it has lost, and gives
 * no higher known_durable than first_bad - 1 from then on. */
void wal_allow_hole(struct wal *w);
/* after wal_recover; false: there is none */
bool wal_hole(const struct wal *w, struct wal_hole *ret_hole);
/* after wal_recover: 0 for an empty log */
uint64_t wal_last_index(const struct wal *w);
/* the highest that it carries */
uint64_t wal_epoch(const struct wal *w);
/* bytes that batches took on disk, padding included: those that wal_recover read from `from` on,
 * and all since.  It is what a start has to read if no image is taken. */
uint64_t wal_written(const struct wal *w);
/* Erases beyond the end, secures the tail in a new segment of this epoch.  ret: 0 or an error. */
void wal_recover_start(struct wal *w, uint64_t epoch, struct env_op *op);
/* host->record for from..last, then done.  Comes before the first append; without a start it only
 * looks, and the log is stopped next. */
void wal_recover_replay(struct wal *w, uint64_t from, struct env_op *op);

/* Copies the record, the concatenation of its pieces, and gives it its index.  epoch is the
 * record's own (log_record.epoch); batches and headers carry the highest so far.  0, or E_AGAIN
 * (queue full), E_NOSPC, E_TOOBIG, E_NOT_LEADER (failed, stopping or not started). */
int wal_append(struct wal *w, uint8_t type, uint64_t epoch, const struct env_iov *iov,
               unsigned n_iov, uint64_t *ret_index);
/* records up to here are on disk for good; record() was called for them or is being called */
uint64_t wal_durable(const struct wal *w);
/* What waits is written now and not a turn later, if nothing is being written: for who knows that
 * no more comes in this turn. */
void wal_flush(struct wal *w);
/* nothing queued, nothing being written */
bool wal_is_idle(const struct wal *w);
/* Somebody found the disk full: old segments that were kept to be used again go, and none is kept
 * until there was room for a new one.  True: there were some, so that it is worth trying again. */
bool wal_give(struct wal *w);
/* while on, a log that found no room for another segment does not look again */
void wal_hold(struct wal *w, bool on);
/* while on, segments may be as small as can be: for who would rather have little than nothing */
void wal_lend(struct wal *w, bool on);
/* segments that hold no record above upto may go */
void wal_trim(struct wal *w, uint64_t upto);
void wal_stats(const struct wal *w, struct wal_stats *ret_stats);
/* Writes what is queued, closes.  No callbacks after it is done.  Cursors are closed before. */
void wal_stop(struct wal *w, struct env_op *op);
/* after wal_stop is done */
void wal_free(struct wal *w);

#endif
