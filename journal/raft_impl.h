/* journal/raft_impl.h - what the files of the Raft core share; nobody else includes it.
 *
 *   raft.c         one step: dispatch, terms, what must be durable first, commit
 *   raft_elect.c   suspicion, pre-votes, votes, check-quorum, transfer
 *   raft_repl.c    the leader's picture of each member, appends and their answers, images
 *   raft_member.c  configurations: majorities, joint consensus, learners
 *   raft_read.c    read rounds and leases
 *   raft_trail.c   what the log holds, without its bytes */
#ifndef JOURNAL_RAFT_IMPL_H
#define JOURNAL_RAFT_IMPL_H

#include "core/mutant.h"
#include "core/prng.h"
#include "journal/raft.h"

enum {
    RAFT_INFLIGHT_MAX = 64, /* messages to a peer, unanswered */
    RAFT_SPARE = 8,         /* places in memory for entries that the core makes itself */
};

/* --- the trail --- */

struct raft_slot {
    uint32_t len;
    uint8_t type;
};

/* INVARIANT: base <= last; runs cover base+1..last, ascending, none empty; mem_first..last (perhaps
 * none) have their type and length in the ring, and mem_bytes is the sum of those lengths. */
struct raft_trail {
    uint64_t base, base_term, last;
    uint64_t mem_first, mem_bytes;
    struct raft_slot *ring;
    uint32_t mask, n_runs;
    struct raft_run run[RAFT_RUNS_MAX];
};

/* is the term of this index known? */
static inline bool raft_trail_knows(const struct raft_trail *t, uint64_t index)
{
    return index == 0 || (index >= t->base && index <= t->last);
}
/* 0 for index 0 and where it is not known */
uint64_t raft_trail_term(const struct raft_trail *t, uint64_t index);
/* the last index <= index whose term is <= term; not below base */
uint64_t raft_trail_upto_term(const struct raft_trail *t, uint64_t index, uint64_t term);
/* of what is behind this index */
uint32_t raft_trail_runs(const struct raft_trail *t, uint64_t index);
/* is there room for n entries, one of them perhaps of a new term? */
bool raft_trail_has_room(const struct raft_trail *t, uint32_t n);
void raft_trail_push(struct raft_trail *t, const struct raft_entry *e);
void raft_trail_cut(struct raft_trail *t, uint64_t to);
void raft_trail_trim(struct raft_trail *t, uint64_t base);
/* lets memory go, oldest first, while more than the given is held, up to `upto` at most */
void raft_trail_evict(struct raft_trail *t, uint64_t upto, uint64_t entries, uint64_t bytes);
void raft_trail_reset(struct raft_trail *t, uint64_t index, uint64_t term);

/* --- members --- */

enum raft_progress { RAFT_PROBE, RAFT_REPLICATE, RAFT_IMAGE };

struct raft_peer {
    struct raft_id id;
    enum raft_progress progress;
    uint64_t match, next;
    bool probed;   /* PROBE: one is under way, or was until the next heartbeat */
    bool is_bare;  /* PROBE: entries were sent already: what is sent again has none */
    bool fetching; /* its entries are being read from disk */
    bool unfit, young;
    bool granted; /* its vote, in the present round */
    bool read_due, commit_due;
    bool has_answered; /* in this term */
    int64_t heard_ns;  /* when it answered last, or this term began */
    int64_t match_ns;  /* when it was known to have what match says */
    uint32_t losses;   /* how often it lacked that later */
    int64_t acked_ns;  /* when what it answered was sent: its promise began later than that */
    uint64_t read;     /* highest read round it answered */
    uint64_t told_commit;
    /* messages with entries that are not answered */
    struct raft_flight {
        uint64_t last;
        uint32_t bytes;
        int64_t sent_ns;
    } flight[RAFT_INFLIGHT_MAX];
    uint32_t flight_first, flights, flight_bytes;
    uint32_t window;   /* most of flight_bytes, and of one message: see raft_repl_paced */
    int64_t narrow_ns; /* when it was made narrower */
    /* a learner's catching up */
    uint32_t rounds;
    uint64_t round_target;
    int64_t round_ns;
    bool caught_up;
};

struct raft_pending_read {
    uint64_t name, round;
    uint64_t index;      /* commit when it came; UINT64_MAX: not known before the first commit */
    struct raft_id from; /* self: our own */
    int64_t asked_ns;    /* a follower's: when it asked the leader last */
};

struct raft {
    struct raft_config cfg;
    struct mem *mem;
    struct prng prng;
    struct raft_effects *fx; /* of the step under way */
    int64_t now;

    enum raft_role role;
    uint64_t term;
    struct raft_id vote, leader;
    uint64_t meta_seq, meta_done;
    bool fit;      /* our disk can take what a leader must write */
    bool is_guest; /* raft_member.c, invariant 5 */

    struct raft_trail trail;
    uint64_t commit, applied, stored;
    uint64_t verified; /* follower: equal to the leader's log up to here */
    uint64_t store_seq, cut_seq, cut_floor;
    uint64_t floor, floor_term; /* what damage took; floor_term 0: nothing */
    uint64_t
        floor_seen; /* a leader of no lower term had this as its last since: it has all of it */
    uint64_t led_term, led_last; /* since it was started: the last term it led, its last entry */

    /* follower */
    struct raft_id grant; /* a vote to be told once it is durable */
    bool ack_due;         /* an answer to the leader, likewise */
    int64_t ack_sent_ns;  /* newest clock to be echoed */
    uint64_t seen_term;   /* the newest clock of this term's leader: */
    int64_t seen_ns;
    uint64_t ack_read;
    uint64_t acked;               /* the last answer said */
    int64_t promise_ns, bound_ns; /* until when: the leader's lease may last; no other is helped */
    int64_t silent_until_ns;      /* after a start */
    bool was_heard;     /* a leader, since then: what was promised before is over, or to it */
    int64_t suspect_ns; /* when to suspect it */
    bool yielded;       /* those of higher priority had their time */
    bool installing;
    uint64_t wanted_index, wanted_term; /* image being fetched */
    struct raft_id wanted_from;
    uint64_t install_index, install_term;
    struct raft_conf install_conf;

    /* candidate */
    int64_t round_ns;
    uint32_t rounds;    /* that ended without enough votes, since a leader was heard or helped */
    bool forced, asked; /* by the old leader; the votes were asked for */
    int64_t forced_ns;  /* by its clock the call holds so long */

    /* leader */
    uint64_t term_start; /* index of its first entry */
    int64_t heartbeat_ns;
    uint64_t uncommitted_bytes;
    struct raft_id transfer;
    int64_t transfer_ns;
    bool transfer_told;
    bool transfer_unfit; /* for no other reason than this member's disk */
    int64_t void_ns;     /* who was called to lead may come till then: see raft_read.c */
    int64_t prefer_ns;   /* since when a member of higher priority could lead */
    uint64_t image_index, image_term; /* newest of our own */

    /* configurations in the log, by index; the last is in effect */
    uint32_t n_confs, n_peers;
    uint64_t conf_index[RAFT_CONFS_MAX];
    struct raft_conf conf[RAFT_CONFS_MAX];
    struct raft_peer peer[RAFT_MEMBERS_MAX];

    uint64_t read_round;
    uint32_t n_reads;
    struct raft_pending_read reads[RAFT_READS_MAX];
};

static inline bool raft_id_eq(struct raft_id a, struct raft_id b)
{
    return a.v == b.v;
}

static inline bool raft_is_self(const struct raft *r, struct raft_id id)
{
    return id.v == r->cfg.self.v;
}

/* raft.c */
struct raft_message *raft_send(struct raft *r, enum raft_message_type type, struct raft_id to);
bool raft_may_send(const struct raft *r); /* room for one that can also leave in a later step */
void raft_save_meta(struct raft *r);
static inline bool raft_meta_durable(const struct raft *r)
{
    return r->meta_done == r->meta_seq;
}
/* appends to the log; conf for a RAFT_CONF */
void raft_push(struct raft *r, const struct raft_entry *e, const struct raft_conf *conf);
void raft_cut(struct raft *r, uint64_t to);
void raft_set_commit(struct raft *r, uint64_t commit);
void raft_evict(struct raft *r);
static inline uint64_t raft_last_term(const struct raft *r)
{
    return raft_trail_term(&r->trail, r->trail.last);
}

/* raft_elect.c */
void raft_elect_follow(struct raft *r, uint64_t term, struct raft_id leader);
void raft_elect_contact(struct raft *r); /* the leader was heard */
void raft_elect_refused(struct raft *r); /* the leader's host runs no master */
/* a leader's: it is bound by its own leadership as those are who have answered so far */
void raft_elect_bind(struct raft *r);
int raft_elect_campaign(struct raft *r, bool forced);
void raft_elect_meta(struct raft *r);   /* term and vote are durable */
void raft_elect_stored(struct raft *r); /* more of the log is */
void raft_elect_pre_vote(struct raft *r, const struct raft_message *m);
void raft_elect_vote(struct raft *r, const struct raft_message *m);
void raft_elect_reply(struct raft *r, const struct raft_message *m);
void raft_elect_timeout_now(struct raft *r, const struct raft_message *m);
void raft_elect_time(struct raft *r);
int raft_elect_transfer(struct raft *r, struct raft_id to);
void raft_elect_transfer_run(struct raft *r);

/* raft_repl.c */
void raft_repl_lead(struct raft *r); /* a new leadership */
void raft_repl_reset(struct raft *r, struct raft_peer *p);
void raft_repl_append(struct raft *r, const struct raft_message *m);
void raft_repl_reply(struct raft *r, const struct raft_message *m);
void raft_repl_answer(struct raft *r); /* tell the leader how far we are */
void raft_repl_image(struct raft *r, const struct raft_message *m);
void raft_repl_fetched(struct raft *r, const struct raft_event *ev);
void raft_repl_heartbeat(struct raft *r);
/* its connection, with what was under way */
void raft_repl_lost(struct raft *r, struct raft_peer *p);
void raft_repl_commit(struct raft *r);
void raft_repl_pump(struct raft *r);

/* raft_member.c */
static inline const struct raft_conf *raft_member_conf(const struct raft *r)
{
    uint32_t last = r->n_confs - 1;
    while (MUTANT(RAFT_CONF_LATE) && last > 0 && r->conf_index[last] > r->commit)
        last--;
    return &r->conf[last];
}
bool raft_member_is_joint(const struct raft_conf *c);
/* votes in either half of the configuration */
bool raft_member_votes(const struct raft_conf *c, struct raft_id id);
const struct raft_peer *raft_member_look(const struct raft *r, struct raft_id id);
struct raft_peer *raft_member_peer(struct raft *r, struct raft_id id); /* NULL: not in it, self */
/* The highest value that a majority (of both halves, in joint consensus) has reached.  value: of
 * each voter, called for self too. */
typedef uint64_t (*raft_member_value)(const struct raft *r, struct raft_id id);
uint64_t raft_member_quorum(const struct raft *r, raft_member_value value);
void raft_member_push(struct raft *r, uint64_t index, const struct raft_conf *c);
void raft_member_cut(struct raft *r, uint64_t to);
void raft_member_reset(struct raft *r, uint64_t index, const struct raft_conf *c);
bool raft_member_has_room(const struct raft *r);
int raft_member_change(struct raft *r, const struct raft_conf *want);
void raft_member_run(struct raft *r); /* leader: what follows from what is committed */
void raft_member_progress(struct raft *r, struct raft_peer *p); /* a learner's rounds */

/* raft_read.c */
int raft_read_ask(struct raft *r, uint64_t name);
void raft_read_asked(struct raft *r, const struct raft_message *m);
void raft_read_replied(struct raft *r, const struct raft_message *m);
int64_t raft_read_lease_ns(const struct raft *r); /* until when; 0: no lease */
/* a leader's: when what a quorum has answered was sent; it was sure to lead no later */
int64_t raft_read_since_ns(const struct raft *r);
void raft_read_run(struct raft *r);
void raft_read_drop(struct raft *r); /* none of those under way can be proven any more */

#endif
