/* journal/wal_impl.h - what wal.c (append), wal_prep.c (segments made and removed),
 * wal_recover.c and wal_cursor.c share.  Nobody else includes it. */
#ifndef JOURNAL_WAL_IMPL_H
#define JOURNAL_WAL_IMPL_H

#include "core/fmt.h"
#include "journal/wal.h"
#include "journal/wal_read.h"

enum {
    WAL_ZERO_BYTES = 256 * 1024,
    WAL_SEGMENTS_MAX = 4096,
    /* that are begun: a start may find spares beside them, and begins some of its own */
    WAL_SEGMENTS_MOST = WAL_SEGMENTS_MAX - 32,
    WAL_AHEAD_MAX = 4,
    WAL_AHEAD_CALM = 64, /* segments without any wait, then one less is made ahead */
    WAL_SPARES_MAX = 4,  /* what one image lets go of with the defaults: the next ones take them */
    WAL_SEAL_NS = 50 * 1000 * 1000,      /* quiet time after which the end is vouched for */
    WAL_PREP_PAUSE_NS = 4 * 1000 * 1000, /* between blocks of zeros while there is time */
    WAL_SPACE_RETRY_NS = 500 * 1000 * 1000,
    WAL_LOOKS = 3, /* more at what does not read as it should: a disk may give another place's */
};

enum wal_state { WAL_NEW, WAL_RECOVERED, WAL_STARTING, WAL_RUNNING, WAL_STOPPED };

enum wal_slot_state { WAL_SLOT_FREE, WAL_SLOT_WRITING, WAL_SLOT_WRITTEN };

/* fill, checksum, write, publish: one batch on its way */
struct wal_slot {
    struct env_op op;
    struct wal *wal;
    uint8_t *buf; /* LOG_BLOCK for a segment's header, then the batch */
    enum wal_slot_state state;
    struct env_file *file;
    uint32_t len; /* being written */
    struct log_batch batch;
};

enum wal_verdict { WAL_SEG_VALID, WAL_SEG_ZERO, WAL_SEG_BAD };

struct wal_segment {
    uint64_t seq, first_index, last_index, end; /* end: bytes in use */
    uint64_t epoch, durable_upto, bytes;
    uint64_t erase_to; /* found by recovery: bytes that are no part of the log, from end to here */
    uint32_t chain, prev_chain; /* the header's crc, what it stands on */
    enum wal_verdict verdict;
    bool accepted, is_short;
    bool is_mended;  /* its header, as it is read, is not as it is on the disk */
    bool superseded; /* a later one stands before its first record and repeats it all */
};

/* One segment made: IDLE -> OPEN -> ZERO -> (PAUSE -> ZERO)* -> SYNC -> CLOSE -> RENAME (-> TELL)
 * -> IDLE
 * no space: -> DROP_CLOSE -> DROP_UNLINK -> FULL -> OPEN
 * A spare goes the same way; only that its blocks are there already. */
enum wal_prep_state {
    WAL_PREP_IDLE,
    WAL_PREP_OPEN,
    WAL_PREP_ZERO,
    WAL_PREP_PAUSE,
    WAL_PREP_SYNC,
    WAL_PREP_CLOSE,
    WAL_PREP_RENAME,
    WAL_PREP_TELL,
    WAL_PREP_DROP_CLOSE,
    WAL_PREP_DROP_UNLINK,
    WAL_PREP_FULL,
    WAL_PREP_END_CLOSE,
};

struct wal_prep {
    struct env_op op;
    struct env_timer timer;
    enum wal_prep_state state;
    bool busy;
    struct env_file *file;
    uint64_t seq, at, bytes;
    uint64_t from_seq;    /* the spare that becomes this segment; 0: a new file does */
    bool is_proof;        /* begun after the disk was full: if it gets ready there is room again */
    uint64_t least_bytes; /* the next segment must hold this */
    bool hold;            /* no retry now */
    bool lent;            /* a small one is better than none */
    bool tight;           /* a start found no room: the smallest segment will do */
    uint32_t fulls;       /* so often in turn there was no room */
};

/* segments that are made, in the order in which they are used; the first is open, or being opened
 */
struct wal_ahead {
    struct env_op op;
    struct env_file *file; /* of the first; NULL: not open */
    bool busy;
    struct {
        uint64_t seq, bytes;
        bool is_proof; /* as of wal_prep */
    } made[WAL_AHEAD_MAX];
    uint32_t n;
    uint32_t want;  /* so many are made before they are needed: wal_prep.c, 7 */
    uint32_t calm;  /* so often in turn all of them were there */
    bool is_wanted; /* the log waits for one */
    bool gives;     /* the disk is full: those behind the first go */
};

/* IDLE (-> TELL) -> OPEN -> ERASE -> CLOSE -> UNLINK -> IDLE, one segment at a time; from CLOSE to
 * IDLE with one that is kept as a spare; UNLINK -> IDLE with a spare that is given back */
enum wal_trim_state {
    WAL_TRIM_IDLE,
    WAL_TRIM_TELL,
    WAL_TRIM_OPEN,
    WAL_TRIM_ERASE,
    WAL_TRIM_CLOSE,
    WAL_TRIM_UNLINK,
};

struct wal_trim {
    struct env_op op;
    enum wal_trim_state state;
    bool busy;
    struct env_file *file;
    uint64_t upto, seq;
};

/* what others know of the segments' names, or are being told (wal_host.names) */
struct wal_told {
    struct env_op op;
    bool busy;
    uint64_t first, last, to_first, to_last;
};

struct wal_recover;

struct wal {
    struct env *env;
    struct mem *mem;
    struct wal_host *host;
    struct wal_config cfg;
    char dir[ENV_NAME_MAX];
    enum wal_state state;
    int failed;
    bool full; /* no room for the next segment: appends end with E_NOSPC */
    uint8_t *zero_memory, *zeros;

    /* segments, ascending; the last is the active one */
    struct wal_segment *segs;
    uint32_t n_segs;
    uint64_t seq_max;
    struct env_file *file, *old_file; /* active; the one before, until its writes are done */
    struct env_op close_op;
    bool closing;
    uint64_t off; /* where the next batch goes in the active segment */
    uint32_t chain;
    uint64_t epoch, next_index, durable, sealed;

    /* records that wait for a batch: {u32 len, u32 type}, bytes, padded to 8; a ring */
    uint8_t *queue;
    uint64_t queue_head, queue_tail; /* bytes put in, taken out; position is modulo capacity */
    uint32_t queued;

    struct wal_slot slots[WAL_SLOTS_MAX];
    uint8_t *slot_memory;
    uint32_t slot_first, slots_used;

    struct env_op run_op; /* posted by the first append of a turn */
    bool run_posted;
    struct env_timer seal_timer;
    bool seal_due;

    struct wal_prep prep;
    struct wal_ahead ahead;
    struct wal_trim trim;
    struct wal_told told;
    bool is_expected; /* wal_expect */
    uint64_t expect_first, expect_last;
    uint64_t spare[WAL_SPARES_MAX]; /* segments without a header, by the names they had */
    uint32_t n_spares;
    bool giving; /* the disk is full: what is spare goes, until there was room for a new file */
    struct wal_recover *recover;
    bool holes; /* damage is cut off, not refused */
    struct wal_hole hole;
    struct list cursors;
    struct env_op *stop_op;
    uint64_t records, batches, syncs;
    uint64_t written; /* bytes of batches with their padding: found needed at start, and added */
};

/* wal.c */
void wal_run(struct wal *w);
/* wal_run in the next turn */
void wal_kick(struct wal *w);
void wal_fail(struct wal *w, int why, const char *what);
void wal_set_full(struct wal *w, bool full);
/* path of a segment (seq), in ENV_NAME_MAX bytes */
void wal_name(const struct wal *w, uint64_t seq, char *ret_name);
/* the header block of a segment that begins at first_index; returns its crc */
uint32_t wal_header(struct wal *w, uint8_t *block, uint64_t seq, uint64_t first_index,
                    uint64_t bytes);
/* makes the prepared segment the active one */
void wal_activate(struct wal *w, uint64_t first_index, uint32_t chain);
/* the largest padded batch */
uint32_t wal_batch_cap(const struct wal *w);

/* wal_recover.c */
void wal_recover_run(struct wal *w);
/* at stop: true when recovery's memory is gone; false while it works on the disk */
bool wal_recover_end(struct wal *w);

/* a segment stands on record `upto` now: which older ones are no longer needed? */
void wal_prep_supersede(struct wal *w, uint64_t upto, uint64_t before_seq);
/* What a later segment repeats is read there only: in an older one it was found unproven, may still
 * vanish, or has a bit that was put right in the copy. */
void wal_prep_clip(struct wal *w);

/* wal_cursor.c: a segment was removed */
void wal_cursor_gone(struct wal *w);

/* is there a segment to go on in? */
static inline bool wal_is_ready(const struct wal *w)
{
    return w->ahead.file && !w->ahead.busy;
}

/* wal_prep.c */
void wal_prep_run(struct wal *w);
/* the log waits for a segment: more of them shall be there next time */
void wal_prep_wanted(struct wal *w);
/* the open segment is the active one now, and its file the caller's */
struct env_file *wal_prep_take(struct wal *w);
void wal_prep_trim_run(struct wal *w);
/* at stop: true when nothing of either is open or under way */
bool wal_prep_end(struct wal *w);

#endif
