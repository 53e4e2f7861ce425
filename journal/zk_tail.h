/* journal/zk_tail.h - reads the log of another process on shared storage while that writes it.
 *
 * INVARIANTS
 *  1. Records come in order, each once, without gaps, from the place on that was asked for.
 *  2. A batch is taken when it checks and stands on the one before; a segment that follows, when
 * its header stands on the last batch.  What does not check may be under way: it is looked at
 * again.
 *  3. Whatever was durable when a thorough look began has come when it ends with is_more false: the
 *     place behind the last batch was read in that look, and then what the writer tells of its
 *     segments (zk_owner.h), and the header of the one that follows.  No directory is listed, and
 * no file's end is asked: a segment has its whole size before it is told of. A successor without a
 * header is one that was made beforehand, or one that is being removed: segments lose their headers
 * from the oldest on, so it is the first if the open one's is still there when it is read after
 * that.  One that is not found has a name that is not seen yet.
 *  4. Nothing here tells damage from a write under way: who knows what must be there does. */
#ifndef JOURNAL_ZK_TAIL_H
#define JOURNAL_ZK_TAIL_H

#include "journal/wal_read.h"
#include "journal/zk_owner.h"

enum { ZK_TAIL_LOOK_BYTES = 1024 * 1024, ZK_TAIL_IDLE_LOOKS = 16 };

/*  REST --look--> READ ---nothing more--> TOLD -> (PROBE_OPEN -> PROBE_READ -> PROBE_CLOSE)*
 *    ^             ^ |                                    | the one that follows   | none: REST
 *    +-------------|-+                                    v
 *                  +------------------- OPEN <---------- SHUT
 *  without an open segment a look begins with TOLD, the first with OWNER; an error: SHUT -> REST; a
 *  thorough look that found none that follows: -> OWN (is its header still there?) -> REST, or
 *  SHUT -> REST; shut by its owner: SHUT -> OWNER_SHUT -> REST */
enum zk_tail_state {
    ZK_TAIL_REST,
    ZK_TAIL_READ,
    ZK_TAIL_OWNER,
    ZK_TAIL_TOLD,
    ZK_TAIL_OWNER_SHUT,
    ZK_TAIL_PROBE_OPEN,
    ZK_TAIL_PROBE_READ,
    ZK_TAIL_PROBE_CLOSE,
    ZK_TAIL_OWN,
    ZK_TAIL_SHUT,
    ZK_TAIL_OPEN,
};

struct zk_tail {
    /* the owner's; false: no room now, the record comes again */
    bool (*record)(void *ctx, uint64_t index, const struct log_record *r, const void *bytes);
    void *ctx;
    /* results */
    uint64_t next;  /* index that comes next */
    bool is_more;   /* the look ended before the log did */
    bool is_empty;  /* there is no segment that is in use */
    bool is_torn;   /* what is behind the last batch does not check (yet) */
    uint64_t bytes; /* of the batches that came, padding included */
    /* own */
    struct env *env;
    struct mem *mem;
    enum zk_tail_state state;
    struct wal_read read;
    struct env_op op, *user, *shut_op;
    struct zk_owner owner;
    bool is_open, is_thorough, is_stale, is_stopped; /* stale: the window is */
    bool in_batch, is_unseen; /* unseen: a segment that was told of is not found */
    int bad;                  /* the look ends with this when the file is closed */
    uint64_t seq;             /* of the open segment; 0: none */
    uint32_t chain;           /* of its last batch */
    uint64_t place;           /* index of what comes next in it */
    uint64_t found_seq, probe_seq;
    bool is_gone; /* a segment is there, and none that what is wanted can be in */
    uint32_t batch_at, got, idle, missed;
    uint64_t batch_index, look_bytes, last_bytes, at;
    struct env_file *probe;
    uint8_t *memory, *block;
    char dir[ENV_NAME_MAX], own_dir[ENV_NAME_MAX];
};

/* false: no memory */
bool zk_tail_init(struct zk_tail *t, struct env *shared, struct mem *m) MUST_CHECK;
void zk_tail_drop(struct zk_tail *t); /* shut only */
/* From now on of that directory, from index `from` (1, 2, ...) on.  Shut only. */
void zk_tail_start(struct zk_tail *t, const char *dir, uint64_t from);
/* Hands out what is there, a bounded number of bytes.  ret: how many records; E_NOENT: what comes
 * next was removed, or the log's name is not seen yet; E_VERSION; E_IO, ... */
void zk_tail_look(struct zk_tail *t, bool is_thorough, struct env_op *op);
/* For people who look: the log's segments up to the one that is read, and what they take if all are
 * as large as that one. */
void zk_tail_size(const struct zk_tail *t, uint64_t *ret_segments, uint64_t *ret_bytes);
/* at rest only; the file is closed when op is done */
void zk_tail_shut(struct zk_tail *t, struct env_op *op);

#endif
