/* journal/zk_drive_impl.h - what the files of the ZooKeeper journal's driver share; nobody else
 * includes it.
 *
 *   zk_drive.c   the door, applying, and the one machine that moves from state to state
 *   zk_follow.c  a standby: which log, how far, proof for its reads
 *   zk_take.c    from a claim to leadership: the old log read to its end, its tail taken over
 *   zk_lead.c    leading: appends, looks at the fence, answers
 *   zk_hand.c    leadership is handed to another member
 *   zk_image.c   state images: the best of any member's, own ones
 *   zk_gc.c      what images hold leaves the shared storage
 *   zk_room.c    the shared storage is full
 *   zk_bar.c     for people: would this member come to lead, is there room
 */
#ifndef JOURNAL_ZK_DRIVE_IMPL_H
#define JOURNAL_ZK_DRIVE_IMPL_H

#include "core/fmt.h"
#include "journal/image_read.h"
#include "journal/journal.h"
#include "journal/snap.h"
#include "journal/wal.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "journal/zk_owner.h"
#include "journal/zk_pend.h"
#include "journal/zk_record.h"
#include "journal/zk_store.h"
#include "journal/zk_tail.h"

/* the storage need not answer for longer once the journal is to end, and to stop */
#define ZK_ENDING_NS (2000 * 1000000LL)
#define ZK_STOP_NS   (4000 * 1000000LL)
/* a member that does not see a log's names for so long leaves the lead to others */
#define ZK_NAMES_NS (5000 * 1000000LL)

enum {
    ZK_WAITS = 64, /* groups of a standby's reads */
    ZK_IMAGES = 64,
    ZK_IMAGE_MEMBERS_MAX = 32,
    ZK_CLAIM_TRIES = 8,
    ZK_SEAL_TRIES = 6,
    ZK_PROVE_TRIES = 3,
    ZK_LACKS_ANEW = 8,
    ZK_LACKS_SAID = 200,
    ZK_ROOM_PARTS = 4, /* a reserve has at least */
    ZK_LINKS = 256,
    ZK_LINKS_READ = 32,
};

/*  OPEN -> STORE (is the storage fit?) -> LOAD -> REST
 *
 *  a standby, again and again:
 *    REST -> LAST -> LOOK -> REST           nobody claimed above the log that is followed
 *            LAST -> CHAIN -> LOOK          somebody did: it is the same log still
 *                    CHAIN -> TURN -> LOOK  or another one goes on
 *    LOOK -> LOAD                           what comes next was removed: an image has it; or its
 *                                           name is not seen yet
 *
 *  who is first:
 *    REST -> NUMBER -> CLAIM -> CHAIN ... LOOK     the claim holds: all that went before
 *    LOOK -> SEAL_SHUT -> SEAL_OPEN -> SEAL_TOLD -> SEAL_CLOSE -> SEAL_READ -> SEAL_REPLAY
 *         -> SEAL_STOP (-> SEAL_PAUSE -> SEAL_OPEN)
 *    (CHAIN or) SEAL_STOP -> NAME -> NAME_CHECK -> OWN_READ -> OWN_START -> OWN_REPLAY -> RELOG
 *    RELOG (-> SERVE_PREV) -> SERVE -> PROVE -> LEAD
 *  and from NUMBER to LEAD, when it ends:  (DOUBT ->) ENDING -> ENDED -> ENDED_OWNER -> REST */
enum zk_drive_state {
    ZK_OPEN,
    ZK_STORE,
    ZK_LOAD,
    ZK_REST,
    ZK_LAST,
    ZK_CHAIN,
    ZK_TURN,
    ZK_LOOK,
    ZK_NUMBER,
    ZK_CLAIM,
    ZK_SEAL_SHUT,
    ZK_SEAL_OPEN, /* which segments are there? */
    ZK_SEAL_TOLD,
    ZK_SEAL_CLOSE,
    ZK_SEAL_READ,
    ZK_SEAL_REPLAY,
    ZK_SEAL_STOP,
    ZK_SEAL_PAUSE,
    ZK_NAME,
    ZK_NAME_CHECK,
    ZK_OWN_READ,
    ZK_OWN_START,
    ZK_OWN_REPLAY,
    ZK_RELOG,
    ZK_SERVE_PREV, /* what it stands on */
    ZK_SERVE,
    ZK_PROVE,
    ZK_LEAD,
    ZK_DOUBT,  /* something failed on the way there: is the claim still the last one? */
    ZK_ENDING, /* until nothing of the leadership is under way */
    ZK_ENDED,  /* the own log stops */
    ZK_ENDED_OWNER,
    ZK_FAILED,
    ZK_STOP_TAIL,
    ZK_STOP_FENCE,
    ZK_STOPPED,
};

enum zk_image_state {
    ZK_IMAGE_OWN,     /* at the first start */
    ZK_IMAGE_MEMBERS, /* who has images? */
    ZK_IMAGE_NAMES,   /* which? */
    ZK_IMAGE_INSTALL,
};

enum zk_gc_state {
    ZK_GC_REST,
    ZK_GC_MEMBERS,
    ZK_GC_IMAGES,
    ZK_GC_CHAIN,
    ZK_GC_LOGS,
    ZK_GC_FILES,
    ZK_GC_REMOVE,
};

struct zk_link { /* what an epoch that served stands on */
    uint64_t epoch, prev, base;
};

struct zk_gc { /* of a leader */
    struct env_op op;
    enum zk_gc_state state;
    bool busy;
    bool wants_fence; /* or has it: no look begins */
    int64_t again_ns;
    uint64_t best, second, log; /* images; the log that goes */
    uint64_t first;             /* of that epoch and later ones logs are needed; 0: of all */
    uint64_t gone,
        gone_between; /* those up to here are gone; between: that no chain leads through */
    struct zk_link link[ZK_LINKS]; /* by epoch */
    uint64_t unknown;              /* the epoch whose link is to be read; 0: none */
    uint32_t links_read;
    uint32_t member[ZK_IMAGE_MEMBERS_MAX], n_members;
    char names[LOG_BLOCK], after[ENV_NAME_MAX], dir[ENV_NAME_MAX], path[ENV_NAME_MAX];
};

struct zk_room {
    struct env_op op;
    bool lacks, has;                      /* room for a log; a whole reserve */
    bool is_short;                        /* it was used, or did not fit */
    bool gives, is_giving;                /* a part of it is to go; it goes */
    uint64_t had, part, wants;            /* bytes: when it was made; to give, and for a tail */
    int64_t again_ns, stand_ns, image_ns; /* then it is tried again to make one; to lead; ... */
};

struct zk_log {                  /* of one epoch, as others see it */
    uint64_t epoch, base, limit; /* it counts from base + 1 up to limit; UINT64_MAX: the newest */
    uint64_t end;                /* so far it was durable when it began to count */
};

struct zk_wait {    /* reads of a standby, proven: when that is applied they are answered */
    uint64_t index; /* 0: free */
    uint64_t
        torn; /* what is there did not check: it is to be read, or to be gone.  0: it is not so */
    struct list ops;
};

struct zk_torn {                 /* behind what was read of the log something does not check */
    uint64_t at;                 /* the index there; 0: it is not so */
    int64_t since_ns, images_ns; /* images_ns: when it was looked for an image instead */
    bool is_said;
};

enum zk_hand_state { /* zk_hand.c */
                     ZK_HAND_NOT,
                     ZK_HAND_HOLD,
                     ZK_HAND_DRAIN,
                     ZK_HAND_CALL,
                     ZK_HAND_AWAIT,
};

struct zk_hand {
    enum zk_hand_state state;
    uint32_t id; /* who is to lead; 0: whoever is next */
    uint64_t epoch;
    int64_t deadline_ns;
    bool holds, is_held, is_calling;
    struct env_op *op, call_op;
    struct env_timer timer;
};

struct zk_drive {
    struct journal journal;
    struct env *env, *shared;
    struct mem *mem;
    struct journal_host *host;
    struct journal_config cfg;
    struct zk_elect *elect;
    char dir[ENV_NAME_MAX]; /* of the shared env, with a '/' behind it, or "" */
    enum zk_drive_state state;
    enum journal_role role;
    bool busy, begun, kicked, is_running, run_again;
    struct env_op op, kick_op;
    struct env_timer timer; /* REST, SEAL_PAUSE */
    struct env_timer guard; /* ticks: does anything take too long? */
    int64_t moved_ns;       /* the storage, or ZooKeeper, answered */
    bool is_late;           /* it does not: others shall lead */
    bool is_well;           /* it has, since this one stood last */
    bool timer_fired, is_woken;
    int64_t pause_ns; /* of the next rest; 0: the usual */

    struct zk_fence fence;
    struct zk_tail tail;
    struct zk_pend pend;
    uint8_t *record;          /* one that is applied */
    uint64_t applied, acked;  /* acked: known to be, of the log that is followed */
    uint64_t data_end;        /* the last record of the host's that is known, in that log */
    uint64_t known;           /* somebody acknowledged up to here at least, in whichever log */
    bool has_log, log_is_new; /* log is set; its tail is to be started */
    struct zk_log log, found;
    struct zk_fence_served log_served; /* of log */
    uint64_t chain_limit, newest;
    int bad; /* a record that cannot be */
    uint32_t lacks;
    struct zk_torn torn;
    uint64_t bytes_past; /* that logs before the present ones had */

    /* reads; ret: when they came */
    struct list reads_new, reads_round;
    bool is_proven;
    struct zk_wait wait[ZK_WAITS];

    /* taking over, leading */
    bool has_claim, stands;
    uint64_t epoch, number, prev;
    uint32_t tries;
    int end_why;
    int64_t vain_ns, vain_until_ns; /* it does not stand until then (zk_take.c, 7) */
    struct wal *wal;                /* the old log while it is sealed, the own one after that */
    struct wal_host wal_host;
    char wal_dir[ENV_NAME_MAX];
    int seal_ret;
    bool unreadable;     /* the old log is, unless another one has claimed since */
    struct zk_owner own; /* of the old log while it is sealed, of the own one after that */
    int64_t unseen_ns;   /* since then something of the log is not to be found; 0: it is */
    bool unseen_said;
    uint64_t relog_pos, relogged, durable, first_own, told, acked_data;
    struct list waiting;   /* submits, in index order; ret: zk_lead_note() */
    struct env_op tell_op; /* stands among them for an ACKED record */
    bool is_telling;
    uint64_t unproven; /* bytes */
    struct env_op check_op;
    bool is_checking, check_failed;
    int doubt;         /* the own log failed so; a look tells whether it is still this one's */
    bool check_doubts; /* the look began after that */
    uint64_t check_upto;
    struct env_timer tell_timer, watch_timer; /* watch: a look that failed comes again */
    int64_t led_since_ns, check_ns;           /* check: when the last look began */
    int64_t asked_ns; /* since then looks have been due, and none came back; 0: that is not so */
    uint64_t elections, lost;
    bool full;
    enum journal_bar bar; /* as it was looked at last; since */
    int64_t bar_ns;

    /* images */
    uint64_t tag; /* of this process's life */
    struct snap *snap, *other;
    struct env_op snap_op;
    bool snap_busy, image_wanted, imaging;
    enum zk_image_state image_state;
    bool image_begun, image_first;
    struct zk_image_name image[ZK_IMAGES];
    uint32_t n_images, image_at;
    uint32_t member[ZK_IMAGE_MEMBERS_MAX], n_members; /* still to be listed: the last first */
    bool load_again;
    int64_t old_again_ns; /* an image for the sake of older logs is tried again then */
    uint64_t image_mark, retry_bytes;
    struct list image_ops, image_ops_running;
    struct image_read image_read;
    char snap_dir[ENV_NAME_MAX], other_dir[ENV_NAME_MAX], images_dir[ENV_NAME_MAX],
        image_read_dir[ENV_NAME_MAX];
    char names[LOG_BLOCK], after[ENV_NAME_MAX];

    struct zk_store store;
    struct zk_gc gc;
    struct zk_hand hand;
    struct zk_room room;
    struct env_op *stop_op;
    struct env_timer stop_timer;
    bool is_ending, stop_begun;
    bool is_left;              /* stopped, though something hangs */
    struct journal_host front; /* the host, for what may go on when it is gone */
};

/* so long the storage may take for what is given most_ns; less when the journal is to end */
static inline int64_t zk_drive_patience(const struct zk_drive *d, int64_t most_ns)
{
    return d->is_ending ? base_min_i64(ZK_ENDING_NS, most_ns) : most_ns;
}

/* zk_drive.c */
void zk_drive_run(struct zk_drive *d);
void zk_drive_kick(struct zk_drive *d); /* the same in another turn */
void zk_drive_fail(struct zk_drive *d, int why);
/* applies what is pending up to that index */
void zk_drive_apply(struct zk_drive *d, uint64_t upto);
/* one record as a log has it goes behind what is pending.  0; E_AGAIN: no room; E_CORRUPT */
int zk_drive_take(struct zk_drive *d, uint64_t index, const struct log_record *r,
                  const void *bytes);
void zk_drive_pause(struct zk_drive *d, int64_t ns);
/* others shall lead; until the storage has answered this one does not stand again */
void zk_drive_stand_down(struct zk_drive *d);
void zk_drive_know(struct zk_drive *d, uint64_t acked);
void zk_drive_log_dir(const struct zk_drive *d, uint64_t epoch, char *ret_dir);
uint64_t zk_drive_written(const struct zk_drive *d);
struct wal *zk_drive_wal(struct zk_drive *d, uint64_t epoch); /* NULL: no memory */
void zk_drive_wal_free(struct zk_drive *d);

/* Each of these begins the operation of the state, with d->op, or what comes of it: the next state
 * is set when they return. */
/* Something of the log that is there, or was, is not found: since so many ns.  Said once. */
int64_t zk_drive_unseen(struct zk_drive *d);
void zk_drive_seen(struct zk_drive *d);

/* zk_follow.c */
void zk_follow_begin(struct zk_drive *d);
void zk_follow_next(struct zk_drive *d, int64_t ret);
void zk_follow_applied(struct zk_drive *d);
void zk_follow_read(struct zk_drive *d, struct env_op *op);
void zk_follow_end_reads(struct zk_drive *d, int why);
void zk_follow_reads_anew(struct zk_drive *d); /* their proof is void, or another's task */
void zk_follow_reads_late(struct zk_drive *d); /* who waited too long hears so */
bool zk_follow_record(void *d, uint64_t index, const struct log_record *r, const void *bytes);

/* zk_take.c */
void zk_take_begin(struct zk_drive *d);
void zk_take_next(struct zk_drive *d, int64_t ret);
bool zk_take_relog(struct zk_drive *d); /* false: it goes on when the log has moved */
/* others are told of the own log's segments */
void zk_take_on_names(struct wal_host *h, uint64_t first, uint64_t last, struct env_op *op);
/* it comes to nothing; others shall try, or this one after a pause */
void zk_take_end(struct zk_drive *d, int why);

/* zk_lead.c */
void zk_lead_init(struct zk_drive *d);
void zk_lead_begin(struct zk_drive *d);
void zk_lead_end(struct zk_drive *d, const char *why);
void zk_lead_submit(struct zk_drive *d, const void *rec, uint32_t len, struct env_op *op);
void zk_lead_read(struct zk_drive *d, struct env_op *op);
void zk_lead_guard(struct zk_drive *d);
void zk_lead_tell_now(struct zk_drive *d);
struct env_op *zk_lead_answered(struct zk_drive *d, uint32_t type);
void zk_lead_run(struct zk_drive *d); /* steps down if it must, tells, checks */
void zk_lead_end_submits(struct zk_drive *d, int why);

/* zk_hand.c */
void zk_hand_init(struct zk_drive *d);
void zk_hand_change(struct journal *j, const struct journal_change *c, int64_t deadline_ns,
                    struct env_op *op);
void zk_hand_held(struct journal *j);
bool zk_hand_is_closed(const struct zk_drive *d); /* no submit is taken now */
void zk_hand_run(struct zk_drive *d);
void zk_hand_led(struct zk_drive *d); /* this one leads no more */
void zk_hand_served(struct zk_drive *d, const struct zk_fence_served *s);
void zk_hand_end(struct zk_drive *d, int ret);

/* zk_image.c */
void zk_image_init(struct zk_drive *d);
bool zk_image_load(struct zk_drive *d); /* one step; false: an operation is under way */
void zk_image_run(struct zk_drive *d);
void zk_image_leave(struct zk_drive *d); /* the host is not called any more */
bool zk_image_end(struct zk_drive *d);   /* at stop; false: something is under way */

/* zk_gc.c */
void zk_gc_init(struct zk_drive *d);
void zk_gc_run(struct zk_drive *d);
/* that is what an epoch that served stands on */
void zk_gc_link(struct zk_drive *d, uint64_t epoch, uint64_t prev, uint64_t base);

/* zk_bar.c */
void zk_bar_look(struct zk_drive *d);
void zk_bar_status(struct zk_drive *d, struct journal_status *st);

/* zk_room.c */
void zk_room_init(struct zk_drive *d);
void zk_room_run(struct zk_drive *d);
void zk_room_short(struct zk_drive *d); /* a log could not begin */
/* an image may have used some of the reserve, and ended so */
void zk_room_used(struct zk_drive *d, int64_t ret);
void zk_room_led(struct zk_drive *d);   /* there was enough to begin to lead */
void zk_room_freed(struct zk_drive *d); /* something was removed */
bool zk_room_wants_image(const struct zk_drive *d);
/* what it takes to begin to lead when there is little room */
uint64_t zk_room_part(const struct zk_drive *d);
bool zk_room_may_stand(const struct zk_drive *d);

#endif
