/* journal/journal.h - all that a master sees of its journal: one totally ordered sequence of
 * records.
 *
 * Variants (local, raft, zk) stand behind one table.  A master submits records while it leads
 * and applies every committed record, in order, once, whether it leads or not.
 *
 * CONTRACT
 *  1. apply(index, record) is called in ascending order of index, once for each record, after it is
 *     committed (durable by the variant's rule) and never before.  Indices may have gaps: a variant
 *     has entries of its own.  On start the variant first calls image_load (if it has an image),
 *     then apply for the records after it, then role().
 *  2. submit: done with ret = index (>= 1) after apply() of that index returned, or a negative
 *     error: E_NOT_LEADER (the record may or may not become committed), E_NOSPC (it will not),
 *     E_TOOBIG, E_AGAIN (it will not: later; also of a leader whose disk is full while another
 *     member takes over).  The record's bytes are copied before submit returns.
 *  3. Applies and the dones of their submits come in index order.
 *  4. role() says when this master may serve (LEADER, with its epoch, after everything before was
 *     applied) and when it may not (STANDBY), any number of times; the waiting submits of a master
 *     that leads no more end with E_NOT_LEADER before.  barrier() is done with ret 0 once
 *     everything committed before the call, on any master, is applied here: a read that starts then
 *     is linearizable.  It works on a standby that hears its leader, too.
 *  5. A failed sync is fatal: role(FAILED, why) and nothing more is acknowledged.
 *  6. State images: when enough was written, the variant calls image_begin; the host cuts its state
 *     there, and image_next hands out the bytes piece by piece (any pieces, in order) until it
 *     returns 0, while apply goes on.  An image is complete and checksummed or it is not used.
 *  7. hold(true): another member may be called to lead at any moment, which needs no suspicion and
 *     no promise to end before.  The host begins nothing more that a successor might do, too
 *     (changes in an under-store), and says when nothing of the kind is under way: it answers true,
 *     or false and calls journal_held() later.  Until then nobody is called.  hold(false) ends it,
 *     also after role(); the variant bounds its wait.
 *  8. A standby that was away for long is given another master's image: image_reset, then
 *     image_load, between two applies; never while it leads. */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "core/env.h"
#include "core/mem.h"

enum {
    JOURNAL_RECORD_MAX = 96 * 1024,
    JOURNAL_PIECE_MIN = 48 * 1024, /* room that image_next can count on */
};

/* Frames between masters, by their first frame told from others' on the same address.  A master
 * gives a connection that begins with one to journal_accept's peer, that first frame too. */
enum { JOURNAL_FRAME_MIN = 0x100, JOURNAL_FRAME_MAX = 0x1ff, JOURNAL_MEMBERS_MAX = 16 };

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
    /* See 7.  NULL: nothing of the kind ever is under way. */
    bool (*hold)(struct journal_host *h, bool is_on);
};

struct zk_elect;

/* of a directory's file system, as whoever may block found it */
struct journal_room {
    int64_t at_ns; /* by env_now_ns; 0: it is not known */
    uint64_t free, size;
    bool is_lost; /* what was in it at first is not there: removed, or another one */
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
    bool replays;    /* with check_only, of a single master: the newest good image and all records
                        after it go to the host; a group's records go to raft.entry */
    bool unfinished; /* with check_only: also a directory that a migration has not finished */
    struct journal_raft {
        uint32_t id;         /* this member's; not 0 */
        const char *members; /* first start of a new cluster: "ID@HOST:PORT[=PRIORITY],...", the
                                same on each of them; NULL: what is on disk */
        bool join;           /* an empty directory waits to be added to a cluster that exists */
        int64_t heartbeat_ns, promise_ns, suspect_min_ns, suspect_max_ns;
        uint32_t drift_ppm;    /* by which two members' clocks may differ in speed */
        uint64_t keep_entries; /* of the log, for members that are away */
        uint32_t settings;     /* of the host, to be the same on each member; 0: not compared */
        /* Offline, after a majority was lost for good: this group, which names this member, begins
         * behind the last entry here (raft_offline.c).  Ends in STANDBY or FAILED. */
        const char *recover;
        uint64_t recover_era; /* in an era after this one, and after the directory's own */
        /* with check_only: what the log holds, in its order.  An entry voids what stands at its
         * index and above; type 4 (raft_log.h) voids everything: an image up to index came. */
        void (*entry)(struct journal_host *h, uint64_t index, uint64_t term, uint8_t type,
                      const void *bytes, uint32_t len);
        struct raft_watch *watch; /* raft_watch.h; NULL: nobody looks on */
    } raft;
    struct journal_zk {
        uint32_t id;       /* this member's; not 0 */
        const char *dir;   /* in the shared directory; "" for itself */
        int64_t poll_ns;   /* a standby looks at the log so often; default 10 ms */
        int64_t tell_ns;   /* quiet time after which standbys are told of the last record; 2 ms */
        int64_t outage_ns; /* without proof from the storage a leader steps down; 10 s */
        int64_t read_ns;   /* a standby's read waits no longer; 5 s */
        int64_t begin_ns;  /* the host's: journal_begin_ns; 1 s */
        /* for whoever opens a master: what zk_drive_open is given */
        struct env *shared;
        struct zk_elect *elect;
        const struct journal_room *room; /* of the shared directory, kept up to date; may be NULL */
    } zk;
};

/* After a barrier nobody else leads for so long, by this clock: whoever took part in it is bound
 * for longer than the leader's lease lasts (raft.h, invariant 7).  0 or less: not even then. */
int64_t journal_sure_ns(const struct journal_raft *c);
/* For so long after it asked for a barrier the host may begin what a successor might do, too.  Of a
 * raft group that is journal_sure_ns.  Of zk nothing promises that nobody else leads by then; but
 * whoever is called to lead is called when this one's session is over, which is later as a rule: so
 * it bounds what a host that stood still begins late. */
int64_t journal_begin_ns(const struct journal_config *c);

struct journal_member {
    uint32_t id;
    bool votes, leads, joins; /* joins: gets the log, and votes once it has caught up */
    bool leaving;             /* has a say until the change under way is done */
    bool connected, unfit;    /* unfit: its disk is full or stalls */
    uint8_t priority;         /* the higher the rather it leads */
    uint64_t disk;            /* incarnation of its disk; 0: not known yet */
    uint64_t match;           /* has the log up to here; as the leader knows it */
    int64_t heard_ago_ns;     /* -1: not known */
    char addr[ENV_ADDR_MAX];
};

/* Why a member of a zk group would not come to lead now, whoever called it. */
enum journal_bar {
    JOURNAL_BAR_NONE,
    JOURNAL_BAR_STARTING, /* it reads its images */
    JOURNAL_BAR_FAILED,
    JOURNAL_BAR_SESSION,   /* with ZooKeeper: there is none, or it is not heard */
    JOURNAL_BAR_CLUSTER,   /* ZooKeeper does not know the cluster */
    JOURNAL_BAR_ACCESS,    /* ZooKeeper refuses it */
    JOURNAL_BAR_STORAGE,   /* the shared directory does not answer */
    JOURNAL_BAR_ROOM,      /* no room for a log */
    JOURNAL_BAR_DAMAGED,   /* the log cannot be read to its end */
    JOURNAL_BAR_IMAGE,     /* the log has not all that its state lacks, and no image has */
    JOURNAL_BAR_CANDIDACY, /* it does not stand (yet, or again) */
    JOURNAL_BARS
};
const char *journal_bar_name(enum journal_bar bar); /* one word */

struct journal_status_zk {
    bool has_session;
    int64_t session_ns; /* for so long */
    uint64_t losses;    /* of ZooKeeper's data */
    enum journal_bar bar;
    int64_t barred_ns;
    struct journal_room room;
    int64_t room_ago_ns; /* -1: it is not known */
    bool room_low;       /* some more segments, or two images, do not fit */
};

struct journal_status {
    enum journal_role role;
    uint64_t epoch, first_index, last_index, committed, applied;
    uint64_t image_index, image_bytes;
    uint64_t wal_bytes, wal_segments, records, batches, syncs;
    uint64_t cluster_hi, cluster_lo, disk;
    uint64_t era, last_term; /* last_term: of a directory that was only looked at */
    /* of a group; a single master's have n 0 */
    uint32_t self, leader; /* leader 0: none is known */
    uint64_t conf_index;
    bool full;               /* no room for the log: submits end with E_NOSPC, or nobody can lead */
    bool repairing;          /* damage took entries of this member's log that are not back yet */
    bool is_changing, lease; /* a change of members is under way; reads need no question */
    bool is_gone;            /* this one is no member any more, as others say */
    int64_t lease_until_ns;  /* by env_clock_ns; 0: no lease */
    uint64_t elections, lost; /* that this member began; leaderships that it lost */
    uint64_t messages, message_bytes;
    bool is_zk; /* zk is set */
    struct journal_status_zk zk;
    uint32_t n;
    struct journal_member member[JOURNAL_MEMBERS_MAX];
};

enum journal_verb {
    JOURNAL_ADD,         /* id at addr: a learner, and a voter once it has caught up */
    JOURNAL_ADD_LEARNER, /* id at addr; stays one */
    JOURNAL_REMOVE,      /* id */
    JOURNAL_REPLACE,     /* id by new_id at addr, in one change */
    JOURNAL_PRIORITY,    /* of id */
    JOURNAL_ELECT,       /* id shall lead; 0: whoever fits best but this one */
};

struct journal_change {
    enum journal_verb verb;
    uint32_t id, new_id;
    uint8_t priority;
    const char *addr; /* "host:port"; copied */
};

struct journal;

struct journal_vt {
    void (*submit)(struct journal *j, const void *rec, uint32_t len, struct env_op *op);
    void (*barrier)(struct journal *j, struct env_op *op);
    void (*image_now)(struct journal *j, struct env_op *op); /* ret: its index or an error */
    void (*status)(struct journal *j, struct journal_status *ret_status);
    /* Flush, close; no callbacks after done.  ret: 0; E_TIMEOUT: something hangs, what it uses of m
     * stays in use. */
    void (*stop)(struct journal *j, struct env_op *op);
    void (*ending)(struct journal *j); /* may be NULL */
    /* of a group; NULL for a single master.  accept: NULL also of one that talks by other ways */
    struct env_peer *(*accept)(struct journal *j, const char *from);
    void (*change)(struct journal *j, const struct journal_change *c, int64_t deadline_ns,
                   struct env_op *op);
    void (*image_read)(struct journal *j, uint64_t index, uint64_t offset, void *to, uint32_t len,
                       struct env_op *op);
    void (*held)(struct journal *j); /* what hold(true) waits for has ended */
    bool is_group; /* of several masters: another one may lead before this one knows */
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

/* Bytes of the file of the state image up to index, for a backup.  ret: how many, fewer
 * than len only at its end; E_NOENT: it is not there (any more); E_AGAIN, ...  `to` is the
 * journal's until then. */
static inline void journal_image_read(struct journal *j, uint64_t index, uint64_t offset, void *to,
                                      uint32_t len, struct env_op *op)
{
    j->vt->image_read(j, index, offset, to, len, op);
}

static inline void journal_status(struct journal *j, struct journal_status *ret_status)
{
    j->vt->status(j, ret_status);
}

/* It is to be stopped as soon as what was asked of it has ended: that is not to take as long now as
 * it otherwise may. */
static inline void journal_ending(struct journal *j)
{
    if (j->vt->ending)
        j->vt->ending(j);
}

static inline void journal_stop(struct journal *j, struct env_op *op)
{
    j->vt->stop(j, op);
}

/* For a connection that somebody made to this master: its peer, with callbacks set; NULL: not
 * wanted.  from names the other end, for logs. */
static inline struct env_peer *journal_accept(struct journal *j, const char *from)
{
    return j->vt->accept ? j->vt->accept(j, from) : NULL;
}

/* Changes the group, on its leader.  Done with 0 when the change is committed and whole (ELECT:
 * when the other one leads); E_NOT_LEADER; E_AGAIN: another one is under way; E_INVAL: no such
 * member, or it would leave no voter; E_BUSY: of ELECT: what the host began does not end (hold);
 * E_NOENT: who was added was removed before it had a vote; E_EXIST: it is so already; E_NOTSUP: no
 * group; E_TIMEOUT:
 * not by deadline_ns (of env_now_ns), and it may come to be later. */
static inline void journal_change(struct journal *j, const struct journal_change *c,
                                  int64_t deadline_ns, struct env_op *op)
{
    j->vt->change(j, c, deadline_ns, op);
}

static inline void journal_held(struct journal *j)
{
    if (j->vt->held)
        j->vt->held(j);
}

/* One of a list "ID@HOST:PORT[=PRIORITY],...", n bytes at text: ID from 1 on, PRIORITY 0 to 255.
 * false: not of that form.  HOST:PORT is any text without '@', '=' and ','. */
bool journal_member_parse(const char *text, size_t n, uint32_t *ret_id, char ret_addr[ENV_ADDR_MAX],
                          uint8_t *ret_priority);

/* The defaults named above. */
struct journal_config journal_config_default(void);

/* local.c: one master, one log.  Starts at once: image_load, apply..., then role(LEADER) or
 * role(FAILED, why).  NULL only when mem cannot hold its fixed buffers. */
struct journal *local_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                           struct journal_host *host);

/* raft_drive.c: three or five masters (or one, or more), one log on each; tolerates the loss of a
 * minority.  Starts at once: image_load, role(STANDBY), then apply... and role() as it comes, or
 * role(FAILED, why).  Members find each other at the addresses of the configuration. */
struct journal *raft_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                          struct journal_host *host);

/* zk_drive.c: any number of masters, one log on shared storage (shared: its files, same loop).  Who
 * is to lead comes from elect (zk_elect.h).  The host must have image_reset. */
struct journal *zk_drive_open(struct env *e, struct env *shared, struct mem *m,
                              const struct journal_config *cfg, struct zk_elect *elect,
                              struct journal_host *host);

#endif
