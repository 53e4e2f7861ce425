/* journal/journal.h - all that a master sees of its journal: one totally ordered sequence of
 * records.
 *
 * Variants (local; later raft, zk) stand behind one table.  A master submits records while it leads
 * and applies every committed record, in order, once, whether it leads or not.
 *
 * CONTRACT
 *  1. apply(index, record) is called for index 1, 2, 3, ... without gaps, after the record is
 *     committed (durable by the variant's rule) and never before.  On start the variant first calls
 *     image_load (if it has an image), then apply for the records after it, then role(LEADER).
 *  2. submit: done with ret = index (>= 1) after apply() of that index returned, or a negative
 *     error: E_NOT_LEADER (the record may or may not become committed), E_NOSPC (it will not),
 *     E_TOOBIG.  The record's bytes are copied before submit returns.
 *  3. Applies and the dones of their submits come in index order.
 *  4. role() says when this master may serve (LEADER, with its epoch, after everything before was
 *     applied) and when it may not.  barrier() is done with ret 0 once everything committed before
 *     the call is applied here and this master led at some time after the call: a read that starts
 *     then is linearizable.
 *  5. A failed sync is fatal: role(FAILED, why) and nothing more is acknowledged.
 *  6. State images: when enough was written, the variant calls image_begin; the host cuts its state
 *     there, and image_next hands out the bytes piece by piece (any pieces, in order) until it
 *     returns 0, while apply goes on.  An image is complete and checksummed or it is not used. */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "core/env.h"
#include "core/mem.h"

enum {
    JOURNAL_RECORD_MAX = 96 * 1024,
    JOURNAL_PIECE_MIN = 48 * 1024, /* room that image_next can count on */
};

enum journal_role { JOURNAL_STARTING, JOURNAL_STANDBY, JOURNAL_LEADER, JOURNAL_FAILED };

/* The master's side.  Callbacks come from the env's loop; none may call back into the journal
 * synchronously except journal_submit. */
struct journal_host {
    void (*apply)(struct journal_host *h, uint64_t index, const void *rec, uint32_t len);
    /* epoch rises with every leadership of any master; why is an E_* for FAILED, else 0 */
    void (*role)(struct journal_host *h, enum journal_role role, uint64_t epoch, int why);
    void (*image_begin)(struct journal_host *h);
    /* up to cap bytes (cap >= JOURNAL_PIECE_MIN) of the image into buf; 0 at the end */
    uint32_t (*image_next)(struct journal_host *h, void *buf, uint32_t cap);
    /* the image given up or finished */
    void (*image_end)(struct journal_host *h);
    /* an image at start: the very pieces that image_next gave, in order; len 0 marks its end.
     * E_VERSION (of another release) and E_NOMEM stop the start; another error: unusable, and an
     * older one is tried */
    int (*image_load)(struct journal_host *h, const void *piece, uint32_t len);
    /* Forget all that image_load gave: the image turned out bad and an older one follows.  May be
     * NULL: then an image is read twice, first to check it. */
    void (*image_reset)(struct journal_host *h);
};

struct journal_config {
    const char *dir;            /* disk name, "" for the env's own directory */
    uint64_t segment_bytes;     /* a WAL segment's size; default 16 MiB */
    uint64_t image_after_bytes; /* WAL bytes on disk between images, and at least a quarter of the
                                   last image's; default 64 MiB */
    uint32_t batches_in_flight; /* WAL writes under way at once; default 4 */
    uint32_t batch_bytes;       /* most bytes of one batch; default 256 KiB */
    uint64_t queue_bytes;       /* submits waiting beyond this end with E_AGAIN; default 8 MiB */
    uint64_t cluster_hi, cluster_lo; /* must match what is on disk; 0,0 adopts what is there */
    bool check_only; /* read and check everything, write nothing: ends in STANDBY or FAILED */
};

struct journal_status {
    enum journal_role role;
    uint64_t epoch, first_index, last_index, committed, applied;
    uint64_t image_index, image_bytes;
    uint64_t wal_bytes, wal_segments, records, batches, syncs;
};

struct journal;

struct journal_vt {
    void (*submit)(struct journal *j, const void *rec, uint32_t len, struct env_op *op);
    void (*barrier)(struct journal *j, struct env_op *op);
    void (*image_now)(struct journal *j, struct env_op *op); /* ret: its index or an error */
    void (*status)(struct journal *j, struct journal_status *ret_status);
    void (*stop)(struct journal *j, struct env_op *op); /* flush, close; no callbacks after done */
};

struct journal {
    const struct journal_vt *vt;
};

static inline void journal_submit(struct journal *j, const void *rec, uint32_t len,
                                  struct env_op *op)
{
    j->vt->submit(j, rec, len, op);
}

static inline void journal_barrier(struct journal *j, struct env_op *op)
{
    j->vt->barrier(j, op);
}

static inline void journal_image_now(struct journal *j, struct env_op *op)
{
    j->vt->image_now(j, op);
}

static inline void journal_status(struct journal *j, struct journal_status *ret_status)
{
    j->vt->status(j, ret_status);
}

static inline void journal_stop(struct journal *j, struct env_op *op)
{
    j->vt->stop(j, op);
}

/* The defaults named above. */
struct journal_config journal_config_default(void);

/* local.c: one master, one log.  Starts at once: image_load, apply..., then role(LEADER) or
 * role(FAILED, why).  NULL only when mem cannot hold its fixed buffers. */
struct journal *local_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                           struct journal_host *host);

#endif
