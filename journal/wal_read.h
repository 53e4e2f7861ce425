/* journal/wal_read.h - reads one segment from its beginning: header, then batch by batch.
 *
 * A pull interface: wal_read_step() says what comes next, or WAL_READ_WAIT while the disk works;
 * r->wake is called when it is worth asking again.  Used by recovery, replay and the dump.
 *
 * INVARIANT: after WAL_READ_BATCH, batch and payload are valid until the next step. */
#ifndef JOURNAL_WAL_READ_H
#define JOURNAL_WAL_READ_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

enum { WAL_READ_WINDOW = LOG_BATCH_MAX };

enum wal_read_event {
    WAL_READ_WAIT,
    WAL_READ_HEADER, /* verdict: 0 and segment set, or E_NODATA, E_VERSION, E_CORRUPT, E_EOF */
    WAL_READ_BATCH,  /* batch, payload, at */
    WAL_READ_END,    /* zeros or the end of the file at `at` */
    WAL_READ_BAD,    /* verdict E_CORRUPT, E_EOF or E_VERSION at `at` */
    WAL_READ_BLOCK,  /* raw mode: block, at */
    WAL_READ_ERROR,  /* verdict: the disk's error */
    WAL_READ_CLOSED,
};

enum wal_read_state {
    WAL_READ_IDLE,
    WAL_READ_OPENING,
    WAL_READ_AT_HEADER,
    WAL_READ_AT_BATCH,
    WAL_READ_AT_BLOCK,
    WAL_READ_FAILED,
    WAL_READ_IS_CLOSED,
};

enum wal_read_mend {
    WAL_READ_AS_IS,
    WAL_READ_LOOK,  /* what could be mended is bad, and mendable is set */
    WAL_READ_MENDS, /* it is mended (log_mend.h) whenever it is read, and mended is set */
};

struct wal_read {
    /* the owner's */
    void (*wake)(struct wal_read *r);
    struct log_expect expect; /* what the next batch must be */
    bool any;                 /* take batches as they come (dump) */
    enum wal_read_mend mend;
    uint64_t limit; /* if not 0: no need to read ahead beyond this offset */
    bool by_block;  /* what the disk cannot read is told as blocks that do not check */
    /* results */
    int verdict;
    bool mendable, mended; /* never reset here */
    uint32_t unreadable;   /* blocks: nor is that */
    bool is_whole;         /* after BAD: log_mend_is_whole */
    uint64_t at, size;
    struct log_segment segment;
    struct log_batch batch;
    const uint8_t *payload, *block;
    /* own */
    struct env *env;
    struct mem *mem;
    struct env_file *file;
    struct env_op op;
    enum wal_read_state state;
    bool busy;
    uint8_t *memory, *window;
    uint64_t window_at, next;
    uint32_t window_len, want;
    uint32_t block_at; /* in the window, when it is read block by block: of the next one */
    bool is_blocks;
    char name[ENV_NAME_MAX];
};

/* allocates the window; E_NOMEM */
int wal_read_init(struct wal_read *r, struct env *e, struct mem *m) MUST_CHECK;
void wal_read_drop(struct wal_read *r);
void wal_read_open(struct wal_read *r, const char *name);
enum wal_read_event wal_read_step(struct wal_read *r);
/* from here on raw blocks: after a header, END or BAD */
void wal_read_raw(struct wal_read *r, uint64_t from);
/* from here on batches again */
void wal_read_batches(struct wal_read *r, uint64_t from);
/* what was told last, a header, END or BAD, is read from the disk again, and told again */
void wal_read_again(struct wal_read *r);
/* what was read ahead is read again */
void wal_read_forget(struct wal_read *r);
/* steps then say WAIT until CLOSED; an open file must be closed before the next open */
void wal_read_close(struct wal_read *r);

#endif
