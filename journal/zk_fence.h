/* journal/zk_fence.h - the fence of a log on shared storage: who may acknowledge, without clocks.
 *
 * ZooKeeper elects, but whoever is elected may stand still, lose its session and wake up: what it
 * believes of itself proves nothing.  So the storage decides.  The fence is a file with a slot, one
 * block, for every epoch:
 *
 *   block 0                 struct zk_fence_head: whose fence it is
 *   block 1 + e             struct zk_fence_slot of epoch e; zeros: e and all above are free
 *   block 1 + k slots + e   k 1 and 2: struct zk_fence_served of epoch e; zeros: it has not served
 *
 * INVARIANTS
 *  1. The file is made whole when the journal is formatted and never renamed, removed or resized:
 *     nobody's cached name, size or end of file says anything about a claim, and it is open with
 *     ENV_O_COHERENT: nor does a cached page.  Whole: every block of
 *     it is written with zeros, so a claim needs no room, whatever else is full.
 *  2. A claim of epoch n fills every slot from the last one in use up to n, in ascending order,
 *     each durable before the next.  (The last one, too: who wrote that may have stopped before it
 *     was durable, and the storage then lose it.)  So the slots in use are always the first ones,
 *     and whoever holds epoch e sees any later claim, however far above, in slot e + 1.  A slot is
 *     only ever filled with the mark of the claim that does it: what was read of it would be an
 *     older one's by then, and bring that claim back (test_zk_fence.c has the order of events).
 *  3. A block that is not zeros is in use, whatever it holds: a claim that a crash tore counts.  So
 *     a fence that cannot be read as expected stops the holder, never the other way round.
 *  4. The claim holds (zk_fence_claim is done with 0) when its slots were durable and a read that
 *     was issued after that found its own mark in slot n and zeros in slot n + 1.
 *  5. zk_fence_check, issued after a record was synced, is done with 0 only if the same still was
 *     so: then whoever claims later reads the log after the record was in it, and keeps it.  A
 *     stalled candidate of an older epoch can write only to slots up to its own, which are in use
 *     by then, so it takes nothing from anybody above.
 *  6. What an epoch's log stands on is here, too, where no name has to be found: served slots are
 *     written by the claim's holder alone, once, the second after the first is durable, when the
 *     epoch's log has all that it takes over; the holder checks after that and serves only then.
 *     An epoch without one never acknowledged anything.  Of two copies one is enough; a first one
 *     that does not check beside zeros was torn, and so its epoch never served.  Who read one may
 *     have read what the storage can still lose, so whoever is to stand on it writes it once more,
 *     with the same bytes, before its own: every slot stands on ones that stay.
 *  7. Two claims of one epoch, which ZooKeeper gives out twice only when its own data went back,
 *     have different marks: at most the later one holds.
 *
 * It follows the fencing of the design; compare the fencing tokens of Burrows 2006 (Chubby, 2.4)
 * and HDFS's promised epochs (QJM), whose storage compares numbers.  Here it only stores. */
#ifndef JOURNAL_ZK_FENCE_H
#define JOURNAL_ZK_FENCE_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/log_format.h"

/* 16 Ki epochs take 192 MiB: one is used when somebody begins to take over, not more often than
 * every 200 ms, and seldom at all. */
enum { ZK_FENCE_SLOTS = 1 << 14, ZK_FENCE_WINDOW = 64 };

#define ZK_FENCE_HEAD_MAGIC   0x636e4654u /* "TFnc" */
#define ZK_FENCE_SLOT_MAGIC   0x746c5354u /* "TSlt" */
#define ZK_FENCE_SERVED_MAGIC 0x76725354u /* "TSrv" */

struct zk_fence_head {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, reserved;
    uint64_t cluster_hi, cluster_lo;
    uint64_t slots;
};
static_assert(sizeof(struct zk_fence_head) == 40, "stored");

struct zk_fence_slot {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, member; /* member: for people who look */
    uint64_t epoch;       /* that was claimed; of a slot below it: filled on its way */
    uint64_t mark;        /* of this claim, by chance */
};
static_assert(sizeof(struct zk_fence_slot) == 32, "stored");

struct zk_fence_served {
    uint32_t magic;
    uint16_t version, flags;
    uint32_t crc, member;
    uint64_t epoch;
    uint64_t prev; /* the epoch whose log counts before this one's; 0: none */
    uint64_t base; /* up to this index */
    /* Up to here its own log reached when this was written, durably: who reads less there has not
     * read all of it, or it is lost. */
    uint64_t end;
};
static_assert(sizeof(struct zk_fence_served) == 48, "stored");

enum zk_fence_state {
    ZK_FENCE_REST,
    ZK_FENCE_MAKE_OPEN, /* -> ZERO* -> HEAD -> SYNC -> SHUT -> REST */
    ZK_FENCE_MAKE_ZERO, /* an error: -> UNDO_SHUT -> UNDO -> REST */
    ZK_FENCE_MAKE_HEAD,
    ZK_FENCE_MAKE_SYNC,
    ZK_FENCE_UNDO_SHUT,
    ZK_FENCE_UNDO,
    ZK_FENCE_OPEN, /* -> OPEN_HEAD -> REST; or -> SHUT -> REST */
    ZK_FENCE_OPEN_HEAD,
    ZK_FENCE_CLAIM_ABOVE, /* n and up: how far are slots in use? */
    ZK_FENCE_CLAIM_BELOW, /* below n: from where on are they free? */
    ZK_FENCE_CLAIM_FILL,
    ZK_FENCE_CLAIM_PROVE,
    ZK_FENCE_CHECK,
    ZK_FENCE_FREE,
    ZK_FENCE_SERVE, /* -> SERVE_AGAIN -> REST */
    ZK_FENCE_SERVE_AGAIN,
    ZK_FENCE_SERVED_ABOVE, /* up to the last claim -> SERVED (-> SERVED_OTHER) -> REST */
    ZK_FENCE_SERVED,
    ZK_FENCE_SERVED_OTHER,
    ZK_FENCE_SHUT,
};

struct zk_fence {
    /* results */
    uint64_t cluster_hi, cluster_lo; /* of the file, once open */
    uint64_t slots;                  /* so many epochs there are, 0 to slots - 1 */
    uint64_t epoch;                  /* that is or was claimed here; 0: none */
    uint64_t seen;                   /* the highest epoch that is known to be in use */
    struct zk_fence_served served;   /* of zk_fence_find_served */
    /* own */
    struct env *env; /* whose files lie on the shared storage */
    struct mem *mem;
    struct env_file *file;
    struct env_op op, *user;
    enum zk_fence_state state;
    int ret; /* what the user hears when the file is closed */
    uint32_t member, want;
    uint64_t mark, at, upto;
    uint8_t *memory, *block; /* ZK_FENCE_WINDOW blocks */
    char name[ENV_NAME_MAX];
};

/* dir: with a '/' behind it, or "".  false: no memory */
bool zk_fence_init(struct zk_fence *f, struct env *shared, struct mem *m,
                   const char *dir) MUST_CHECK;
void zk_fence_drop(struct zk_fence *f); /* at rest and closed only */

/* One call at a time. */

/* Makes the file.  ret: 0; E_EXIST: it is there, or what a crash left of it, which does not open;
 * E_NOSPC, E_IO, ...: it is gone again, as far as possible. */
void zk_fence_format(struct zk_fence *f, uint64_t cluster_hi, uint64_t cluster_lo, uint64_t slots,
                     struct env_op *op);
/* Opens it, to be held open.  ret: 0; E_NOENT; E_CORRUPT; E_VERSION; E_EOF: shorter than it says */
void zk_fence_open(struct zk_fence *f, struct env_op *op);
/* Claims an epoch, 1 or more, for this member; mark: any number that no other claim has.  ret: 0:
 * it holds; E_STALE: it, or one above (seen), is in use: another one is needed; E_RANGE: there is
 * no such slot; E_IO, ... */
void zk_fence_claim(struct zk_fence *f, uint64_t epoch, uint32_t member, uint64_t mark,
                    struct env_op *op);
/* ret: 0: when this was called or later the claim still held; E_STALE: it does no more, for ever;
 * an error: nothing is known */
void zk_fence_check(struct zk_fence *f, struct env_op *op);
/* ret: 0: when this was called or later no epoch above `epoch` was in use; E_STALE: one is */
void zk_fence_is_last(struct zk_fence *f, uint64_t epoch, struct env_op *op);
/* The holder's log has all that it takes over: of epoch `prev`, behind index `base`, up to `end`.
 * To be followed by a check.  ret: 0; an error: nothing is known */
void zk_fence_serve(struct zk_fence *f, uint64_t prev, uint64_t base, uint64_t end,
                    struct env_op *op);
/* What was read of another epoch's is durable when this is done.  ret: 0; an error */
void zk_fence_serve_again(struct zk_fence *f, const struct zk_fence_served *s, struct env_op *op);
/* The highest epoch up to `upto` that served, into f->served; UINT64_MAX: of all.  ret: 0; E_NOENT:
 * none did; E_CORRUPT: both copies of one are damaged */
void zk_fence_find_served(struct zk_fence *f, uint64_t upto, struct env_op *op);
void zk_fence_close(struct zk_fence *f, struct env_op *op);
static inline bool zk_fence_at_rest(const struct zk_fence *f)
{
    return f->state == ZK_FENCE_REST;
}

#endif
