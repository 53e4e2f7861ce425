/* journal/zk_owner.h - the file by which an epoch's log begins, log-<epoch>/owner: made by who
 * leads in that epoch, exclusively, and from then on what says which segments the log has.
 *
 * Why: names.  A file system that hosts share may tell a host for a while what a directory held
 * before.  Who reads a log that another one writes must not take a segment that it does not see yet
 * for one that is not there: the records in it may have been acknowledged.  So nobody lists a log's
 * directory to read it; what segments there are is told in blocks that are read from the storage.
 *
 *   block 0, block 1   struct zk_owner_block, both the same but while one of them is written
 *
 * INVARIANTS
 *  1. A segment is told of, durably, after it has its whole size and its name and before anything
 *     is written into it.  So of a record that was acknowledged the segment is told: the look at
 *     the fence that proved the record came later.  Whoever claims an epoch, and then reads here,
 *     learns of every segment with a record that counts: a look that came before its claim proved
 *     only what was told before that, and a later one proves nothing.  The same holds for a read
 *     here after a look that found no later claim, for what was acknowledged before it.
 *  2. `first` is raised, durably, before the segment below it loses its header.  Segments are
 *     numbered without gaps.  So one from first to last that is not found has a name that is not
 *     seen yet, or has just been removed, or is lost: never is it the end of the log.
 *  3. A name is looked for only when it was told of, and it was there before that: no host keeps in
 *     mind that it is not there.
 *  4. One block is written when the other one is durable.  The newer one that checks counts: what a
 *     crash tore was not told yet, and one block may be damaged later.
 *  5. Who has made the file looks at the fence before it writes anything else of that epoch.  So it
 *     may be removed once a later epoch is claimed: whoever makes it again finds that claim, and
 *     of those that were given one number (zk_fence.h, 7) one at most ever wrote a log.
 *
 * Why not in the fence: it would be so much larger for each epoch, and what is here goes with the
 * log.  Here it is as good: who served has this file (it was made before), so a reader that does
 * not find it knows why (2). */
#ifndef JOURNAL_ZK_OWNER_H
#define JOURNAL_ZK_OWNER_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

#define ZK_OWNER_MAGIC 0x6e774f54u /* "TOwn" */

struct zk_owner_block {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, member; /* member: for people who look */
    uint64_t epoch;
    uint64_t seq;         /* 1, 2, ... for each telling */
    uint64_t first, last; /* segments; last < first: none yet */
};
static_assert(sizeof(struct zk_owner_block) == 48, "stored");

enum zk_owner_state {
    ZK_OWNER_REST,
    ZK_OWNER_MAKE, /* -> TELL -> TELL_AGAIN -> SYNC -> REST; an error: -> SHUT -> REST */
    ZK_OWNER_TELL, /* -> TELL_AGAIN -> REST */
    ZK_OWNER_TELL_AGAIN,
    ZK_OWNER_SYNC,
    ZK_OWNER_OPEN, /* -> REST */
    ZK_OWNER_READ, /* -> REST */
    ZK_OWNER_SHUT,
};

struct zk_owner {
    /* results */
    uint64_t first, last; /* of the last read, or telling */
    uint64_t epoch;
    uint32_t member;
    /* own */
    struct env *env;
    struct mem *mem;
    struct env_file *file;
    struct env_op op, *user;
    enum zk_owner_state state;
    bool is_new; /* it is being made */
    int ret;     /* what the user hears when the file is closed */
    uint64_t seq;
    uint8_t *memory, *block;
};

bool zk_owner_init(struct zk_owner *o, struct env *shared, struct mem *m) MUST_CHECK;
void zk_owner_drop(struct zk_owner *o); /* at rest and closed only */

/* One call at a time.  dir: of the log, without a '/' behind it. */

/* ret: 0, and it is open; E_EXIST: somebody has made it; E_NOSPC, E_IO, ... */
void zk_owner_make(struct zk_owner *o, const char *dir, uint64_t epoch, uint32_t member,
                   struct env_op *op);
/* who made it: the segments are these now.  ret: 0, and it is durable */
void zk_owner_tell(struct zk_owner *o, uint64_t first, uint64_t last, struct env_op *op);
/* ret: 0, and it is open; E_NOENT: removed, or not to be seen yet; ... */
void zk_owner_open(struct zk_owner *o, const char *dir, struct env_op *op);
/* ret: 0; E_CORRUPT; E_NOENT: it is removed; ... */
void zk_owner_read(struct zk_owner *o, struct env_op *op);
void zk_owner_shut(struct zk_owner *o, struct env_op *op);
static inline bool zk_owner_is_open(const struct zk_owner *o)
{
    return o->file;
}

#endif
