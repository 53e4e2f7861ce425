/* journal/wal_recover_impl.h - the state of a recovery.  For wal_recover.c and wal_rewrite.c. */
#ifndef JOURNAL_WAL_RECOVER_IMPL_H
#define JOURNAL_WAL_RECOVER_IMPL_H

#include "journal/wal_impl.h"

enum wal_rc_state {
    WAL_RC_REST,
    WAL_RC_LIST,
    WAL_RC_HEADS,
    WAL_RC_SCAN,
    WAL_RC_EVIDENCE,
    WAL_RC_BEHIND,
    WAL_RC_ERASE_OPEN,
    WAL_RC_ERASE,
    WAL_RC_DROP,
    WAL_RC_DROP_HEADER,
    WAL_RC_DROP_RESIZE,
    WAL_RC_DROP_SYNC,
    WAL_RC_DROP_CLOSE,
    WAL_RC_DROP_UNLINK,
    WAL_RC_PREPARE,
    WAL_RC_HEADER,
    WAL_RC_COPY,
    WAL_RC_COPIED,
    WAL_RC_REPLAY,
    WAL_RC_FINISH,
};

enum { WAL_RC_NAMES = 4096, WAL_RC_PLACES = 256, WAL_RC_BATCHES = 16 };

/* a batch's end: where a segment may stand */
struct wal_place {
    uint64_t first_index, last_index;
    uint32_t chain;
};

struct wal_recover {
    struct wal *wal;
    struct wal_read read;
    struct env_op op;
    bool busy, reading, disk_done; /* an op under way; the reader is in use; op.ret is fresh */
    enum wal_rc_state state;
    struct env_op *user;
    int ret;
    uint64_t from;
    uint64_t evidence, evidence_seq; /* highest index known durable, and which segment says so */
    uint32_t at_seg;                 /* segment being worked on */
    uint32_t cut_seg;                /* last accepted one; n_segs when none */
    struct wal_place places[WAL_RC_PLACES]; /* the first: last one proven durable, then the rest */
    uint32_t n_places;
    struct {
        uint32_t seg;
        uint64_t at, place;   /* of its last record */
    } behind[WAL_RC_BATCHES]; /* the last batches that are no part of the log, by their heads */
    uint32_t n_behind;
    uint64_t provable;  /* records up to here; from the first that was mended on none is */
    bool is_mended;     /* a bit was put right */
    bool is_whole;      /* of what ended the log no sector is missing */
    bool is_unreadable; /* it, or a segment's header, is nothing that the disk can read */
    /* the batch that comes next in the log and did not check: what of it reads well now */
    uint32_t again_left, again_crc, again_want, looks;
    bool is_misread;
    /* as evidence, but by where something stands: of this reading alone, which may be a bad one */
    uint64_t astray, astray_seq;
    bool is_headless;    /* a segment has batches that could come next, and no header */
    bool is_head_astray; /* the header of the segment that is looked through is in a wrong place, or
                            a batch in its */
    uint64_t heads_upto; /* and the last record that batches in it speak of */
    uint32_t n_looks;    /* at what does not read as it should, and is read again */
    bool is_second;      /* scan, because the first ended before what is needed */
    uint64_t first_seq;  /* of the segment that this start began */
    uint64_t erase_from;
    uint64_t last; /* highest index accepted */
    uint64_t next; /* next index to copy or hand out */
    struct env_file *file;
    uint8_t *copy_memory, *copy; /* one batch */
    struct log_batch copy_batch;
    bool replaying;  /* the last act */
    bool copy_waits; /* the batch in `copy` found no room yet */
    char names[WAL_RC_NAMES], after[ENV_NAME_MAX];
};

/* wal_recover.c */
void wal_rc_finish(struct wal_recover *rc, int ret);
void wal_rc_open_reader(struct wal_recover *rc, uint64_t seq);

/* wal_rewrite.c: what is done in the states ERASE to COPIED */
void wal_rc_erase(struct wal_recover *rc);
void wal_rc_drop(struct wal_recover *rc);
void wal_rc_prepare(struct wal_recover *rc);
void wal_rc_header(struct wal_recover *rc);
void wal_rc_copy(struct wal_recover *rc); /* the reader shows a batch, or the last one waits */
void wal_rc_copied(struct wal_recover *rc);
void wal_rc_running(struct wal_recover *rc);

#endif
