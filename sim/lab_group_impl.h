/* sim/lab_group_impl.h - shared by the files lab_group*.c.
 *
 * A record is eight 64-bit words and a filling: the ticket (unique: no two submits have the same),
 * client, its sequence number, what to do, key, two values, a hash of the filling.  A client has
 * one operation at a time; a record whose number is not above the last one executed for its client
 * is not executed again, and answered from the session.
 *
 *   client --request--> member: submit -> apply -> done --answer--> client
 *                               barrier -> done
 *
 * Members and clients talk in frames of the types below; a connection whose first frame is one of
 * the journal's is given to the journal. */
#ifndef SIM_LAB_GROUP_IMPL_H
#define SIM_LAB_GROUP_IMPL_H

#include <stdarg.h>
#include "core/fmt.h"
#include "core/prng.h"
#include "journal/journal.h"
#include "sim/lab_group.h"
#include "sim/lab_hist.h"
#include "sim/lab_raft.h"
#include "sim/lab_ring.h"
#include "sim/lab_wgl.h"
#include "sim/lab_zk_site.h"

enum {
    GROUP_NODES = 9,
    GROUP_KEYS = 16,
    GROUP_CLIENTS = 96, /* threads of all client nodes */
    GROUP_HEAD = 64,    /* bytes of a record before its filling */
    GROUP_WINDOW_MS = 100,
    GROUP_KNOWN = 4096,  /* records whose hashes are remembered */
    GROUP_OLD = 1 << 17, /* records of which it is remembered what they were */
    GROUP_FORGET_MS = 2000,
    GROUP_PIECE = 256, /* operations that are worth a look for what is closed */
    GROUP_PORT = 7400,
};
#define GROUP_MS 1000000LL

enum group_frame { GROUP_REQUEST = 1, GROUP_ANSWER = 2 };

enum group_verb {
    GROUP_WRITE = 1, /* key := a */
    GROUP_CAS,       /* key := b if it is a */
    GROUP_READ,
    GROUP_CHANGE, /* of members: seq is the enum journal_verb, key the id, a the new id or priority
                   */
    GROUP_STATUS, /* after a barrier */
    GROUP_IMAGE,
};

struct group_request { /* as sent; only 64-bit words, so that there is no padding */
    uint64_t id, verb, client, seq, key, a, b, filling;
    int64_t until_ns; /* of the world: not begun after it */
    char addr[ENV_ADDR_MAX];
};

struct group_answer {
    uint64_t id;
    int64_t err;
    uint64_t index, value, did; /* did: the comparison of a cas held */
    uint64_t leader;            /* member id, as far as is known; 0: it is not */
    uint64_t is_leader, is_changing, n;
    uint64_t member[JOURNAL_MEMBERS_MAX]; /* GROUP_STATUS: id << 8 | votes, leads, joins, leaving */
};

/* What whoever leads keeps outstanding by itself (journal.outstanding): how long each record took,
 * of those that were done in the last third of the load. */
enum { GROUP_FEED_MAX = 512 };
struct group_feed {
    uint64_t seq;
    struct lab_hist done;
};

enum { GROUP_VOTES = 1, GROUP_LEADS = 2, GROUP_JOINS = 4, GROUP_LEAVING = 8 };

struct group_state {
    uint64_t applied, chain; /* hash of all that was applied */
    uint64_t ballast_sum;
    uint64_t value[GROUP_KEYS];
    struct group_session {
        uint64_t seq, index, value, did;
    } session[GROUP_CLIENTS];
};

struct group_record { /* one that is being applied */
    const uint8_t *bytes;
    uint32_t len;
    uint64_t index, ticket;
    uint64_t digest; /* of the bytes: the fast one, which never leaves the process */
    uint64_t link;   /* of the chain: the slow one, of the bytes and the index */
};

struct lab_group;
struct member;

/* A machine for a master, and what its operator knows of it. */
struct group_node {
    struct lab_group *g;
    struct sim_node *node;
    char addr[64];
    uint32_t id;      /* its journal's member id; 0: spare, not running */
    bool founder;     /* began with the group */
    bool joins;       /* with an empty directory */
    bool was_in;      /* seen in the group's configuration */
    bool has_begun;   /* its first start came to its end */
    bool lost;        /* its disk was; it is not replaced yet */
    struct member *m; /* NULL: down */
    uint32_t down;    /* faults that keep it down */
    bool paused;
    uint32_t full, slow, unsynced, errs; /* faults of its disk under way */
    uint32_t rated;                      /* and of its clock's rate */
    bool erred;               /* what it has may be damaged, and nobody need have noticed */
    uint32_t corrupt;         /* how often in a row it did not start, for what its disk has */
    int64_t excused_until_ns; /* it may fail for its disk's sake */
    uint64_t epoch;           /* its last leadership's */
    struct raft_watch *watch; /* NULL: no Raft */
    struct env_op exit_op, boot_op;
    bool exiting;
    uint32_t exit_incarnation;
};

struct group_entry { /* what was applied at an index, while somebody may be answered with it */
    uint64_t hash;   /* of the bytes; 0: nothing was, by anybody */
    uint64_t chain, ballast_sum, ticket, client, seq, value, did;
    bool executed;
};

struct group_old { /* and for those who apply it later: halves of hashes, and of the ticket */
    uint32_t hash, state, ticket;
};

struct group_epoch {
    uint64_t epoch, acked;
    struct group_node *by;
};

struct group_past { /* a register's past */
    uint64_t *index, *value;
    uint32_t n, cap;
};

struct group_check {
    struct lab_finding findings[LAB_VERDICTS]; /* LAB_GROUP_VERDICTS of them are its own */
    struct lab_ring entry;                     /* struct group_entry, by index */
    struct lab_ring old;                       /* struct group_old, of the last GROUP_OLD */
    uint64_t last;                             /* the highest index applied by anybody */
    struct group_state state;                  /* the second machine's, as of last */
    struct group_past past[GROUP_KEYS];
    struct lab_ring tickets; /* the index of each of the last GROUP_OLD; 0: not applied yet */
    struct group_epoch *epochs;
    uint32_t n_epochs, cap_epochs;
    uint64_t floor;         /* the highest place of an answer so far */
    struct lab_wgl_op *ops; /* not judged yet */
    uint32_t n_ops, cap_ops;
    uint64_t initial[GROUP_KEYS]; /* what each register was before those */
    bool had[GROUP_KEYS];         /* operations that were judged */
};

/* What goes wrong. */
struct group_event {
    struct env_op begin, end, more;
    struct lab_group *g;
    struct lab_fault *f;
    struct group_node *on;
    bool did;
    /* of several steps */
    struct group_node *led, *other;
    uint32_t step, hit; /* hit: by whom, a bit for each */
    int64_t until_ns;
    bool paused, healing;
};

/* Connections of a client node to every master. */
struct group_caller {
    struct lab_group *g;
    struct sim_node *node;
    struct env *env;
    struct group_line {
        struct env_peer peer;
        struct env_op op;
        struct group_caller *c;
        uint32_t to;
        bool connecting;
    } line[GROUP_NODES];
    void (*on_boot)(struct group_caller *c);
    void (*on_answer)(struct group_caller *c, uint32_t from, const struct group_answer *a);
    /* connected; or a connection or an attempt has ended */
    void (*on_line)(struct group_caller *c, uint32_t to, bool up);
};

enum group_phase {
    GROUP_LOAD,
    GROUP_CORE,
    GROUP_TIDY,
    GROUP_DRAIN,
    GROUP_PROBE,
    GROUP_QUIET,
    GROUP_OVER
};

struct lab_own_run;

struct lab_group {
    struct lab_own_run *own; /* a protocol of somebody's own; without load and operator then */
    struct mem *mem;
    struct lab_scenario s;
    uint64_t seed;
    struct sim *sim;
    struct group_node node[GROUP_NODES];
    uint32_t n_nodes;
    char members[512];
    uint32_t next_id;
    uint64_t tickets;
    struct group_record *known; /* by ticket, modulo GROUP_KNOWN; bytes: NULL */
    struct group_check check;
    struct lab_raft *raft;  /* its properties; NULL: another protocol, or one master */
    struct lab_zk_site *zk; /* journal.zk; else NULL */
    struct group_load *load;
    struct group_operator *oper;
    struct group_event *events;
    struct lab_core core; /* in GROUP_CORE */
    struct lab_core_watch core_watch;
    struct env_op tick;
    uint32_t ticks;
    enum group_phase phase;
    int64_t phase_until_ns;
    uint8_t *windows;
    uint32_t n_windows;
    int64_t last_fault_end_ns, healed_ns;
    struct group_feed feed;
    bool is_ruined;                /* beyond: it need not recover */
    bool rests;                    /* clients begin no writes until somebody begins to lead */
    struct lab_group_report stats; /* what is counted as it happens */
    FILE *history;
    struct lab_group_watch watch;
    struct lab_ops *record;
};

/* after which somebody else is elected, at most */
static inline int64_t group_suspect_ns(const struct lab_group *g)
{
    return g->s.journal.zk ? g->s.zk.session_ns : g->s.journal.suspect_max_ns;
}

static inline int64_t group_now_ns(const struct lab_group *g)
{
    return sim_now_ns(g->sim);
}

/* ---- lab_group_run.c */
void lab_group_boot(struct group_node *n);
void lab_group_down(struct group_node *n, void (*how)(struct sim_node *n));
/* its process ends, and starts again a little later */
void lab_group_exit(struct group_node *n);
/* the one that leads, by its own word, in the highest epoch; NULL: nobody */
struct group_node *lab_group_leader(struct lab_group *g);
struct group_node *lab_group_by_id(struct lab_group *g, uint64_t id); /* NULL: nobody has it */
void lab_group_success(struct lab_group *g);
void lab_group_note(struct lab_group *g, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- lab_group_member.c: a master's process */
struct member *lab_group_member_open(struct env *e, struct mem *m, struct group_node *n);
bool lab_group_member_leads(const struct member *m, uint64_t *ret_epoch);
const struct group_state *lab_group_member_state(const struct member *m);
uint32_t lab_group_member_waiting(const struct member *m);
/* may it answer reads by itself though it has not committed `index`? */
bool lab_group_member_trusts(struct member *m, uint64_t index);
bool lab_group_member_is_damaged(struct member *m);
/* it shall hand over to that member */
void lab_group_member_elect(struct member *m, uint32_t id);
/* what a record does; ret: it was executed, not known from before */
bool lab_group_state_apply(struct group_state *st, const struct group_record *r, uint64_t *ballast,
                           uint32_t n_ballast);
/* What all of a group apply is hashed and looked at once: later a digest tells that it is the same.
 * false: it is none that was submitted. */
bool lab_group_record(struct lab_group *g, uint64_t index, const void *rec, uint32_t len,
                      struct group_record *ret_r);

/* ---- lab_group_feed.c: a load from within */
struct group_feeder *lab_group_feed_open(struct member *m, struct mem *mem, struct group_node *n);
/* its member leads, or not any more */
void lab_group_feed_role(struct group_feeder *f, bool leads);
uint32_t lab_group_feed_waiting(const struct group_feeder *f);
void lab_group_feed_report(const struct lab_group *g, struct lab_group_report *ret_rep);
/* lab_group_member.c: a record of client 0, the member itself; ret: its ticket */
uint64_t lab_group_member_submit(struct member *m, const struct group_request *q,
                                 struct env_op *op);
/* what it was answered: 0, or an error */
int lab_group_member_done(struct member *m, uint64_t ticket, int64_t ret);

/* ---- lab_group_check.c */
/* room for what will be remembered */
void lab_group_check_open(struct lab_group *g);
/* a failure of that check; the first one is kept, and noted */
void lab_group_finding(struct lab_group *g, struct lab_finding *f, const char *check,
                       const char *format, va_list args);
void lab_group_fail(struct lab_group *g, enum lab_group_verdict v, const char *format, ...)
    PRINTF_LIKE(3, 4);
void lab_group_check_role(struct group_node *n, enum journal_role role, uint64_t epoch, int why,
                          uint64_t applied);
void lab_group_check_apply(struct group_node *n, const struct group_record *r, uint64_t before,
                           const struct group_state *st);
void lab_group_check_image(struct group_node *n, const struct group_state *st);
void lab_group_check_done(struct group_node *n, uint64_t epoch, uint64_t ticket, uint64_t index,
                          uint64_t applied);
/* an operation was asked at from_ns, when the floor was `floor`, and is answered now */
void lab_group_check_write(struct lab_group *g, const struct group_request *q, int64_t from_ns,
                           uint64_t floor, const struct group_answer *a);
void lab_group_check_read(struct lab_group *g, const struct group_request *q, int64_t from_ns,
                          uint64_t floor, const struct group_answer *a);
/* nobody will ever be told */
void lab_group_check_unknown(struct lab_group *g, const struct group_request *q, int64_t from_ns);
void lab_group_check_end(struct lab_group *g);
/* what no open question can need is forgotten; what is closed is judged before */
void lab_group_check_forget(struct lab_group *g);
/* room for `need` objects */
void *lab_group_check_room(struct lab_group *g, void *p, uint64_t need, uint64_t *cap, size_t size);

/* ---- lab_group_linear.c */
void lab_group_linear_op(struct lab_group *g, struct lab_wgl_op op);
/* all that ended before a moment at which a register's state is known */
void lab_group_linear_forget(struct lab_group *g);
/* the rest */
void lab_group_linear_end(struct lab_group *g);

/* ---- lab_group_call.c */
void lab_group_call_boot(struct group_caller *c);
/* false: there is no connection; one is begun, and on_line will tell */
bool lab_group_call(struct group_caller *c, uint32_t to, const struct group_request *q);

/* ---- lab_group_load.c */
struct group_load *lab_group_load_open(struct lab_group *g);
void lab_group_load_boot(struct group_load *l);
void lab_group_load_stop(struct group_load *l);
void lab_group_load_vary(struct group_load *l, uint64_t seed);
bool lab_group_load_is_idle(const struct group_load *l);
/* The least place that an answer to an open question may have, and when the oldest question about
 * each register was put; UINT64_MAX, INT64_MAX: there is none. */
uint64_t lab_group_load_oldest(const struct group_load *l, int64_t ret_from_ns[GROUP_KEYS]);
/* a run ends before its operations: the checkers hear of those that are under way */
void lab_group_load_tell_open(struct group_load *l);
void lab_group_load_probe(struct group_load *l);
bool lab_group_load_is_probed(const struct group_load *l);

/* ---- lab_group_operator.c */
struct group_operator *lab_group_operator_open(struct lab_group *g);
void lab_group_operator_boot(struct group_operator *o);
void lab_group_operator_tick(struct group_operator *o);
/* LAB_FAULT_WIPE, _MEMBERS or _IMAGE, as soon as the group is tidy; on may be NULL */
void lab_group_operator_wish(struct group_operator *o, enum lab_fault_kind k, struct group_node *on,
                             uint64_t chance);
/* by the leader's last word; of a group that is tidy */
bool lab_group_operator_votes(const struct group_operator *o, uint32_t id);
/* no more wishes */
void lab_group_operator_close(struct group_operator *o);
/* every member of the group runs, and every machine that runs is one */
bool lab_group_operator_is_tidy(const struct group_operator *o);
void lab_group_operator_say(const struct group_operator *o, char *ret_text, size_t cap);

/* ---- lab_group_plot.c: faults of several steps; each step is begun by the last one's time */
/* a draw of the fault itself, which a recorded run gives back */
uint64_t lab_group_chance(const struct group_event *e, uint64_t bound);
void lab_group_plot_next(struct group_event *e, int64_t ns);
/* a member that is neither; NULL: there is none */
struct group_node *lab_group_plot_some(struct group_event *e, const struct group_node *not_this,
                                       const struct group_node *nor_this);
/* a leader's links to all other members */
void lab_group_plot_cut(struct group_event *e, bool cut);
void lab_group_plot_usurp(struct group_event *e); /* its first step */
void lab_group_plot_usurp_next(struct group_event *e);
void lab_group_plot_topple(struct group_node *n); /* n begins to lead */
void lab_group_plot_topple_end(struct group_event *e);
void lab_group_plot_blackout(struct group_event *e);
void lab_group_plot_blackout_end(struct group_event *e);

/* ---- lab_group_rot.c */
void lab_group_plot_rot(struct group_event *e);
void lab_group_plot_rot_end(struct group_event *e);

/* ---- lab_group_zk.c: ZooKeeper and the shared storage, if journal.zk */
void lab_group_zk_open(struct lab_group *g); /* its machines */
void lab_group_zk_begin(struct lab_group *g);
struct journal *lab_group_zk_journal(struct group_node *n, struct env *e, struct mem *mem,
                                     const struct journal_config *cfg, struct journal_host *host);
void lab_group_zk_check(struct lab_group *g);
void lab_group_zk_fault(struct group_event *e);
void lab_group_zk_fault_end(struct group_event *e);

/* ---- lab_own.c: a protocol of somebody's own instead of journals */
void lab_own_open(struct lab_group *g);
void lab_own_begin(struct lab_group *g);
void lab_own_vary(struct lab_group *g, uint64_t seed);
void lab_own_course(struct lab_group *g);
void lab_own_boot(struct env *e, struct mem *m, void *node);
void lab_own_flip(struct group_event *e);

/* ---- lab_group_core.c: a bare majority must do alone */
bool lab_group_core_begin(struct lab_group *g); /* false: it is not known who votes */
bool lab_group_core_serves(struct lab_group *g);
void lab_group_core_end(struct lab_group *g);

/* ---- lab_group_nemesis.c */
void lab_group_nemesis_open(struct lab_group *g);
void lab_group_nemesis_heal(struct lab_group *g);
/* everybody is there and whole, and nobody is about to change that */
bool lab_group_is_calm(struct lab_group *g);
/* how far a segment of node n's log has been written; 0: it is only prepared, or not there */
uint64_t lab_group_plot_used(struct group_node *n, const char *seg);

#endif
