/* journal/raft.h - Raft as a pure step: an event and the time go in, effects come out.
 *
 * No clock, no disk, no network and no entry's bytes: the core knows of an entry its term, type and
 * length; the driver (raft_drive) keeps the bytes, writes them, sends them and applies them.  So
 * any schedule is a unit test.  It follows Ongaro's dissertation (2014): chapter 3 with the
 * corrections of its errata, 4 (membership: joint consensus, learners), 6.4 (reads), 9.6
 * (pre-vote), 10.2.1 (the leader's own write beside replication).
 *
 * INVARIANTS (the checkers of the simulator watch 1 to 5 after every step)
 *  1. At most one leader in a term; a leader never removes or replaces an entry of its log.
 *  2. Two logs that hold an entry of the same index and term are equal up to it.
 *  3. What is committed is in the log of every later leader.  Only an entry of the leader's own
 *     term is committed by counting (Fig. 8).
 *  4. commit <= the last entry that is known to equal the leader's; never beyond what was verified.
 *  5. Promises are durable before they are made: a vote counts, also a candidate's for itself, and
 *     a term's replies leave, once RAFT_META_STORED has come; an entry counts once RAFT_STORED has.
 *  6. A configuration is in effect from the moment it is in the log until it is cut from it.  A new
 *     one is begun only when the last one and an entry of the leader's own term are committed.  A
 *     change of voters goes through joint consensus; whoever leads leaves it.
 *  7. While raft_bound_ns has not passed since a follower heard its leader (promise_ns, if its
 *     host has refused a connection since: it is no more), it helps nobody else to lead, unless the
 *     leader itself asks for it; a voter that starts keeps still as long, or until it hears one;
 *     and who leads no more, since a quorum of others was last heard to follow it.  A leader
 *     answers reads from its lease only within promise_ns of what a quorum has answered, shortened
 *     by the stated drift of clocks: so when a lease ends nobody else leads for a while yet, and
 *     who stands still in between does no harm (journal_sure_ns); whom it called to lead is helped
 *     until the call is over, and till a quorum has heard of that there is no lease.
 *  8. Who lost entries from his disk that he had answered for (raft_start.floor) neither stands nor
 *     helps anybody whose log ends before them, until his own log reaches as far again: so what was
 *     committed with his answer stays (protocol-aware recovery, Alagappan 2018).  raft_elect.c, 6.
 *  9. Nothing here grows: every queue has a bound, and what does not fit is refused or sent later.
 *
 * TIME.  Two speeds of suspicion: the promise is short, so that a lease ends soon; suspicion of a
 * silent leader is long, because a busy machine delays timers.  A leader whose connection broke and
 * whose host refuses another (RAFT_CONTACT) is suspected as soon as its promise has lapsed.  Who
 * starts waits little longer than it is bound: a leader that lives is heard before. */
#ifndef JOURNAL_RAFT_H
#define JOURNAL_RAFT_H

#include "core/env.h"
#include "core/mem.h"

enum {
    RAFT_MEMBERS_MAX = 16,    /* voters and learners */
    RAFT_BATCH_ENTRIES = 512, /* entries of one message */
    RAFT_READS_MAX = 128,     /* reads that wait for a leader's proof */
    RAFT_MESSAGES_MAX = 64,   /* that leave in one step */
    RAFT_RUNS_MAX = 1024,     /* terms in a log; more, and it takes nothing until it is trimmed */
    RAFT_RUNS_LATE = 768,     /* with so many a leader begins its own late (raft_repl.c, 7) */
    RAFT_CONFS_MAX = 4,       /* configurations that may still be asked for or come back */
};

struct raft_id { /* a master; chosen by the operator, never given to another disk; 0 is none */
    uint32_t v;
};

enum raft_member_flag {
    RAFT_VOTER = 1,
    RAFT_OLD = 2,     /* a voter of the configuration that is being left; there: joint consensus */
    RAFT_LEARNER = 4, /* gets the log; if also OLD: will be one after the change */
    RAFT_PROMOTE = 8, /* a learner that becomes a voter when it has caught up */
};

struct raft_member {
    struct raft_id id;
    uint8_t flags;
    uint8_t priority; /* the higher the rather it leads */
    uint64_t disk;    /* incarnation of its disk; 0: not known yet */
    char addr[ENV_ADDR_MAX];
};

struct raft_conf { /* by ascending id */
    uint32_t n;
    struct raft_member member[RAFT_MEMBERS_MAX];
};

enum raft_entry_type { RAFT_DATA = 1, RAFT_NOOP = 2, RAFT_CONF = 3 };

struct raft_entry {
    uint64_t term;
    uint32_t len;
    uint8_t type;
};

struct raft_run { /* entries from `first` on are of this term, up to the next run */
    uint64_t first, term;
};

struct raft_meta { /* what must be durable before it is told */
    uint64_t term;
    struct raft_id vote;
};

struct raft_config {
    struct raft_id self;
    uint64_t seed;
    int64_t heartbeat_ns;
    int64_t promise_ns;                     /* 0: no leases, no stickiness */
    int64_t suspect_min_ns, suspect_max_ns; /* of a silent leader, uniform */
    int64_t round_min_ns, round_max_ns;     /* for which a candidate waits for votes, uniform */
    int64_t
        refused_max_ns; /* random wait after a refused connection, so that not all stand at once */
    uint32_t drift_ppm; /* by which two clocks may differ in speed */
    /* for comparisons in papers/ */
    bool no_pre_vote, no_check_quorum, no_asked_rounds, no_longer_rounds; /* raft_elect.c, 7 */
    bool late_voted, late_heard; /* what is waited for counts from when its cause is durable */
    uint32_t mem_entries;        /* entries kept in memory; a power of two */
    uint64_t mem_bytes;
    uint64_t uncommitted_bytes; /* over it a leader takes no proposals */
    uint32_t batch_bytes;       /* of one message, unless one entry is larger */
    uint32_t inflight_bytes,
        inflight_messages;    /* of a peer, unanswered; at most RAFT_INFLIGHT_MAX */
    uint32_t catch_up_rounds; /* after which a learner that does not catch up is given up on */
    bool knows_disks;         /* nobody gets a vote before its disk is in the configuration */
    uint64_t disk;            /* our own, where disks are known */
};

/* For how long a follower that heard its leader is bound to it: invariant 7. */
static inline int64_t raft_bound_ns(int64_t promise_ns, int64_t suspect_min_ns)
{
    int64_t bound = base_min_i64(4 * promise_ns, suspect_min_ns);
    return bound > promise_ns ? bound : promise_ns;
}

enum raft_message_type {
    RAFT_MSG_PRE_VOTE = 1,
    RAFT_MSG_PRE_VOTE_REPLY,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_REPLY,
    RAFT_MSG_APPEND,
    RAFT_MSG_APPEND_REPLY,
    RAFT_MSG_IMAGE, /* the leader has no log for you: fetch its image of this index */
    RAFT_MSG_READ,
    RAFT_MSG_READ_REPLY,
    RAFT_MSG_TIMEOUT_NOW,
};

struct raft_message {
    enum raft_message_type type;
    struct raft_id from, to;
    uint64_t term;  /* of the sender; PRE_VOTE and its granting reply: the term that would be */
    uint64_t index; /* VOTE: last; APPEND: before the first entry; IMAGE: its; APPEND_REPLY: stored
                       and equal to the leader's up to here, or the rejected index; READ_REPLY */
    uint64_t log_term; /* of index; APPEND_REPLY that rejects: of hint */
    uint64_t hint;     /* APPEND_REPLY: equal up to here, perhaps not stored; or where to try next;
                          APPEND: the last of the leader's log */
    uint64_t commit;
    uint64_t read;   /* APPEND: number of the read round, echoed; READ: what the asker calls it */
    int64_t sent_ns; /* APPEND: the sender's clock, echoed in the reply; TIMEOUT_NOW, and VOTE that
                        is forced: when the call to lead is over, by the clock of who called */
    bool reject;
    bool force;   /* VOTE: the leader itself asked for it */
    bool fetched; /* leaving APPEND: the entries are those of the RAFT_FETCHED event */
    bool unfit;   /* APPEND_REPLY: the sender's disk is full or stalls: not a leader to be */
    bool young;   /* APPEND_REPLY: the sender has just started, and follows no call to lead yet */
    bool lost;    /* APPEND_REPLY: the sender's disk lost entries that it had answered for */
    bool ended;   /* PRE_VOTE, VOTE: the sender led log_term since it was started: no log has more
                     of that term than index */
    uint32_t n;   /* entries index+1 .. index+n */
    const struct raft_entry *entry; /* arriving APPEND: n of them */
    const struct raft_conf *conf;   /* APPEND: of the last entry if it is RAFT_CONF (never another
                                       one); IMAGE: at its index */
};

enum raft_event_type {
    RAFT_TIME,        /* fire what is due: after the network was drained */
    RAFT_MESSAGE,     /* u.message */
    RAFT_PROPOSE,     /* u.propose: fx.ret 0 with fx.first set, or E_NOT_LEADER, E_AGAIN */
    RAFT_META_STORED, /* u.seq */
    RAFT_STORED,      /* u.stored: entries up to index, as of the store with this number */
    RAFT_APPLIED,     /* u.index */
    RAFT_READ,        /* u.seq names it: fx.read, now or later; fx.ret E_AGAIN: too many */
    RAFT_CHANGE,      /* u.conf: members as they shall be, with VOTER or LEARNER: fx.ret 0, first */
    RAFT_TRANSFER,    /* u.id, 0: whoever fits best: fx.ret 0: begun */
    RAFT_CAMPAIGN,    /* at once, with the usual promises kept: fx.ret */
    RAFT_CONTACT,     /* u.contact: a connection was lost and another one refused, or is there */
    RAFT_FETCHED,     /* u.fetched: what fx.fetch asked for */
    RAFT_IMAGE_SAVED, /* u.image: an image of our own is durable */
    RAFT_IMAGE_READY, /* u.image: one that fx.image_wanted named is here whole */
    RAFT_IMAGE_INSTALLED, /* what fx.install asked for is done: log empty, state as of the image */
    RAFT_TRIMMED,         /* u.index: the log on disk begins behind this entry */
    RAFT_HEALTH,          /* u.fit: can our disk take what a leader must write? */
};

struct raft_image {
    uint64_t index, term;
    const struct raft_conf *conf;
};

struct raft_event {
    enum raft_event_type type;
    int64_t now_ns;
    union {
        const struct raft_message *message;
        struct {
            uint32_t n;
            const uint32_t *len; /* of each */
        } propose;
        struct {
            uint64_t seq, index;
        } stored;
        struct {
            struct raft_id id;
            bool up;
        } contact;
        struct {
            struct raft_id id;
            uint64_t from;
            uint32_t n; /* 0: it could not be read */
            const struct raft_entry *entry;
            const struct raft_conf *conf; /* as in a message */
        } fetched;
        struct raft_image image;
        const struct raft_conf *conf;
        struct raft_id id;
        uint64_t index, seq;
        bool fit;
    } u;
};

struct raft_read {
    uint64_t name;  /* as RAFT_READ called it */
    uint64_t index; /* the read is linearizable once this is applied */
    int ret;        /* 0 or E_NOT_LEADER */
};

struct raft_fetch {
    struct raft_id id;
    uint64_t from; /* entries from here on, up to batch_bytes */
};

/* What one step asks the driver to do, in this order.  Messages may leave at once: what has to be
 * durable first is not among them yet. */
struct raft_effects {
    int ret;        /* of the event itself */
    uint64_t first; /* PROPOSE, CHANGE: index of its first entry */
    bool save_meta; /* make meta durable, then RAFT_META_STORED with meta_seq */
    uint64_t meta_seq;
    struct raft_meta meta;
    bool cut; /* remove every entry above cut_to from the log first */
    uint64_t cut_to;
    uint64_t store_first, store_n; /* append these, then RAFT_STORED with store_seq (also a cut) */
    uint64_t store_seq;
    bool install; /* replace state and log by the image that was ready; until it is done no more
                     effects but messages come */
    bool image_wanted; /* fetch this one from its holder, chunk by chunk; an older wish is void */
    struct raft_id image_from;
    uint64_t image_index, image_term;
    bool more; /* step again at once (RAFT_TIME): not everything fitted */
    uint32_t n_messages, n_reads, n_fetches;
    struct raft_message message[RAFT_MESSAGES_MAX];
    struct raft_read read[RAFT_READS_MAX];
    struct raft_fetch fetch[RAFT_MEMBERS_MAX];
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_start { /* what the disk says */
    struct raft_meta meta;
    struct raft_image image; /* index 0: none; its conf is that of an empty log */
    /* more than the log holds: its last entry once was this one, or one before it (damage), of no
     * higher term; floor UINT64_MAX: only the term is known; 0: nothing is missing */
    uint64_t floor, floor_term;
    uint64_t commit, commit_term; /* this entry is known to be committed; 0: nothing is */
    bool is_guest; /* began empty in a group that was there: no vote before the group knows it */
    uint64_t base, base_term;   /* the log holds the entries behind this one; base <= image.index */
    uint64_t n;                 /* entries base+1 .. base+n: */
    const struct raft_run *run; /* where terms begin among them */
    uint32_t n_runs;
    uint32_t n_confs; /* the last configurations among them, by index, at most RAFT_CONFS_MAX - 1 */
    const uint64_t *conf_index;
    const struct raft_conf *conf;
};

struct raft_peer_status {
    struct raft_id id;
    uint64_t match, next;
    int64_t heard_ns; /* when it answered last; 0: never in this term */
    uint8_t progress; /* enum raft_progress */
    bool unfit;
    uint32_t rounds; /* of a learner's catching up */
    uint32_t losses; /* how often, in this term, it lacked what it had answered for */
};

struct raft_status {
    enum raft_role role;
    uint64_t term, commit, applied, stored, last, first, term_start;
    struct raft_id leader, vote, transfer_to;
    bool lease, joint;
    bool forsaken;          /* no leader is known, or it has been silent for too long */
    int64_t lease_until_ns; /* by the clock of the events; 0: none */
    uint64_t conf_index;
    uint32_t n_peers;
    struct raft_peer_status peer[RAFT_MEMBERS_MAX];
};

/* what a driver looks at after every step: of the status, what costs nothing to say */
struct raft_brief {
    enum raft_role role;
    bool forsaken;
    uint64_t term, term_start, conf_index;
    uint32_t losses;      /* of all peers together, */
    struct raft_id lossy; /* the last one that has any */
};

struct raft;

/* NULL: m cannot hold it, or n_confs/n_runs are more than a log can have */
struct raft *raft_create(struct mem *m, const struct raft_config *cfg, const struct raft_start *s,
                         int64_t now_ns);
void raft_free(struct raft *r);

/* One event.  *fx is filled anew. */
void raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx);
/* when the next RAFT_TIME is due; INT64_MAX: never */
int64_t raft_deadline_ns(const struct raft *r);
/* May this leader answer a read now, without asking anybody?  Take the time after the request
 * arrived, from a clock that goes on while the machine sleeps. */
bool raft_lease_holds(const struct raft *r, int64_t now_ns);
void raft_status(const struct raft *r, struct raft_status *ret_status);
void raft_brief(const struct raft *r, struct raft_brief *ret_brief);
/* NULL: it is none of them */
const struct raft_member *raft_member_find(const struct raft_conf *c, struct raft_id id);
/* the configuration in effect */
const struct raft_conf *raft_conf(const struct raft *r);
/* the one that was in effect at an index not below the last image's; for images and records */
const struct raft_conf *raft_conf_at(const struct raft *r, uint64_t index);
/* term, type, length of an entry in memory (raft_mem_first .. last) */
struct raft_entry raft_entry_at(const struct raft *r, uint64_t index);
/* entries from here on are wanted in memory; older ones are stored, and if not applied yet are to
 * be read from disk for that */
uint64_t raft_mem_first(const struct raft *r);
uint64_t raft_commit(const struct raft *r);
/* false: damage took entries that are not back yet */
bool raft_is_whole(const struct raft *r);
/* true: it began empty, and no configuration was here yet that names it by its disk */
bool raft_is_guest(const struct raft *r);
/* of an entry of the log, or the last of the image; 0: not known */
uint64_t raft_term_at(const struct raft *r, uint64_t index);
/* entries up to here are not needed for any member that answers; margin: entries kept for those
 * who do not */
uint64_t raft_trim_limit(const struct raft *r, uint64_t margin);
/* terms in the log behind this entry: with RAFT_RUNS_MAX of them it takes nothing any more */
uint32_t raft_runs(const struct raft *r, uint64_t index);

#endif
