/* journal/raft_log.h - the entries of a Raft member: in memory, on the write-ahead log, and back.
 *
 * The Raft core (raft.h) knows no entry's bytes; this keeps them.  The write-ahead log (wal.h)
 * numbers what it holds by itself; under Raft that number is called a place.
 *
 * INVARIANTS
 *  1. The write-ahead log is never cut.  A record holds its entry's index and term; it supersedes
 *     all records at earlier places whose index is as high or higher.  So the entries that count
 *     have ascending places, and all that the write-ahead log proves of torn and damaged records
 *     stays true.
 *  2. A cut therefore reaches the disk with the entry that is appended next.  Before that a restart
 *     finds entries again that were cut: they were never counted by anybody, and are cut again.
 *  3. A RESET record voids everything before it: an image took its place.  It need not be durable
 *     before the image is used: an image that the log does not contain voids the log at start.
 *  4. The bytes of an entry stay in memory until they are durable and released (raft_log_release).
 *  5. stored only tells of entries that count now, so an answer that was true for an entry that was
 *     cut is never taken for the one that stands at its index now. */
#ifndef JOURNAL_RAFT_LOG_H
#define JOURNAL_RAFT_LOG_H

#include "journal/raft_watch.h"
#include "journal/wal.h"

struct raft_log_host {
    void (*stored)(struct raft_log_host *h); /* raft_log_stored may have grown */
    void (*failed)(struct raft_log_host *h, int why);
    void (*space)(struct raft_log_host *h, bool full); /* as wal_host's */
    /* may be NULL; in a replay, of every record as it stands there */
    void (*found)(struct raft_log_host *h, uint64_t index, uint64_t term, uint8_t type,
                  const void *bytes, uint32_t len);
};

enum {
    RAFT_LOG_HEAD = 8, /* of a record: the entry's index */
    RAFT_LOG_RESET = RAFT_CONF + 1,
};

struct raft_log_config {
    struct wal_config wal;
    uint32_t mem_entries;     /* as the core's */
    struct raft_watch *watch; /* NULL: nobody looks on */
};

struct raft_log;

/* NULL: m cannot hold the buffers */
struct raft_log *raft_log_create(struct env *e, struct mem *m, const struct raft_log_config *cfg,
                                 struct raft_log_host *host);
void raft_log_free(struct raft_log *l); /* after raft_log_stop is done, or before recovery */

/* Reads everything, changes nothing.  from: the first place that must be there; known: a place that
 * is known durable.  ret: as wal_recover. */
void raft_log_recover(struct raft_log *l, uint64_t from, uint64_t known, struct env_op *op);
/* Before the recovery: damage is no error, for others have what is lost.  After it: what the last
 * entry was, or one behind it (index UINT64_MAX: nobody knows); false: no damage.  It is written
 * down, with *ret_known as the last durable place, before raft_log_begin erases the rest. */
void raft_log_allow_loss(struct raft_log *l);
bool raft_log_loss(const struct raft_log *l, uint64_t *ret_index, uint64_t *ret_term,
                   uint64_t *ret_known);
/* Makes the end sure, opens a segment (wal_recover_start).  ret: 0 or E_*. */
void raft_log_begin(struct raft_log *l, struct env_op *op);
/* Finds out what the log holds; also without a begin, to look only.  ret: 0; E_VERSION: records of
 * another variant or release; E_CORRUPT: records that check but make no sense. */
void raft_log_replay(struct raft_log *l, struct env_op *op);
/* After the replay: completes s (base, n, runs, confs) beside s->meta and s->image, which the
 * caller has set; image.conf may become a later one that is committed.  Entries that do not
 * continue the image are dropped.  What s points to belongs to l and is valid until the next
 * append.  E_CORRUPT: there are none between the image and the log.
 */
int raft_log_start(struct raft_log *l, struct raft_start *s) MUST_CHECK;

/* The next entry.  The bytes are copied.  E_NOMEM. */
int raft_log_append(struct raft_log *l, uint64_t index, const struct raft_entry *e,
                    const void *bytes) MUST_CHECK;
void raft_log_cut(struct raft_log *l, uint64_t to); /* entries above it no longer count */
void raft_log_reset(struct raft_log *l, uint64_t index, uint64_t term); /* an image up to there */
uint64_t raft_log_stored(const struct raft_log *l); /* durable up to this index */
uint64_t raft_log_last(const struct raft_log *l);
/* of an entry that was appended and not released; valid until then */
const void *raft_log_bytes(const struct raft_log *l, uint64_t index, uint32_t *ret_len);
void raft_log_release(struct raft_log *l, uint64_t mem_first);
/* since when an append waits for the disk, by env_now_ns; 0: none does */
int64_t raft_log_waiting_since(const struct raft_log *l);

/* Entries that left memory, read back: one reader for each who reads, in order, mostly going on
 * where it stopped. */
struct raft_log_reader;
struct raft_log_reader *raft_log_reader_open(struct raft_log *l); /* NULL: no memory */
/* Hands out durable entries from `from` on, up to max_bytes (at least one) and max_entries; ret:
 * how many, or E_NOENT, E_CORRUPT, E_IO. */
void raft_log_read(struct raft_log_reader *r, uint64_t from, uint32_t max_bytes,
                   uint32_t max_entries,
                   void (*entry)(void *ctx, uint64_t index, const struct raft_entry *e,
                                 const void *bytes),
                   void *ctx, struct env_op *op);
void raft_log_reader_close(struct raft_log_reader *r, struct env_op *op); /* ret: 0 */

/* the place of an entry; 0: it is not in the log */
uint64_t raft_log_place(const struct raft_log *l, uint64_t index);
uint64_t raft_log_durable(const struct raft_log *l); /* a place */
/* entries up to this index, which is stored, may leave the disk */
void raft_log_trim(struct raft_log *l, uint64_t index);
bool raft_log_give(struct raft_log *l); /* wal_give */
/* records that are not held back for space any more: an image is being written (wal_hold) */
void raft_log_hold(struct raft_log *l, bool on);
void raft_log_lend(struct raft_log *l, bool on);
void raft_log_flush(struct raft_log *l); /* wal_flush */
bool raft_log_is_idle(const struct raft_log *l);
uint64_t raft_log_written(const struct raft_log *l); /* wal_written */
void raft_log_stats(const struct raft_log *l, struct wal_stats *ret_stats);
/* readers are closed before */
void raft_log_stop(struct raft_log *l, struct env_op *op);

#endif
