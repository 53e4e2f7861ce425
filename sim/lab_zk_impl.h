/* sim/lab_zk_impl.h - what the files of sim_zk share; sim/lab_zk.h says what it is.
 *
 *   lab_zk.c        the ensemble: who leads, who follows, faults       (outside every node)
 *   lab_zk_log.c    messages between servers, the log, what is applied, sessions of a leader
 *   lab_zk_conn.c   a connection: from bytes to requests
 *   lab_zk_serve.c  what is answered at once: reads, credentials; and the bytes of answers
 *   lab_zk_watch.c  the watches of a server
 *
 * A place outlives processes: it has what is on a server's disk, and what the model must know of
 * it.  A process lives in its node's memory, and runs in its node's turns only, so one that is
 * paused does nothing.  Numbers of entries: those below `applied` are in the tree, those below
 * `logged` on disk; log_first <= all of them <= log_end. */
#ifndef SIM_LAB_ZK_IMPL_H
#define SIM_LAB_ZK_IMPL_H

#include "core/prng.h"
#include "sim/lab_zk.h"

enum {
    LAB_ZK_FRAME = 0xfffff,  /* bytes of a request */
    LAB_ZK_INPUT = 8 << 20,  /* of one connection, that wait */
    LAB_ZK_OUTPUT = 8 << 20, /* the same, to be sent */
    LAB_ZK_REQUESTS = 4096,  /* of one connection, without an answer */
    LAB_ZK_SCRATCH = ZK_FRAME_MAX + 1024,
    LAB_ZK_WATCH_BUCKETS = 1024,
    LAB_ZK_IDS = 8, /* of a connection */
};

static const int64_t LAB_ZK_POLL_NS = 25 * 1000000LL, LAB_ZK_SILENT_NS = 10 * 1000000000LL;

/* whose request it was; conn 0: nobody's */
struct lab_zk_origin {
    uint32_t server, boot;
    uint64_t conn, request;
};

enum lab_zk_entry_kind { LAB_ZK_CHANGE, LAB_ZK_OPEN, LAB_ZK_CLOSE };

struct lab_zk_entry {
    enum lab_zk_entry_kind kind;
    uint64_t index;
    int64_t zxid, time_ms, session;
    int32_t timeout_ms, refused;
    struct lab_zk_origin origin;
    uint32_t n_ids, n_body; /* body: the request without its length */
    struct lab_zk_id ids[];
};

enum lab_zk_msg_kind {
    LAB_ZK_MSG_REQUEST, /* follower to leader: entry */
    LAB_ZK_MSG_SYNC,
    LAB_ZK_MSG_REVALIDATE,
    LAB_ZK_MSG_TOUCH,
    LAB_ZK_MSG_ACK,     /* index: so many are logged */
    LAB_ZK_MSG_PROPOSE, /* leader to follower, and to itself; index: it is logged now */
    LAB_ZK_MSG_REVALIDATED,
    LAB_ZK_MSG_COMMIT, /* in a lane of their own, these; index: so many are committed */
    LAB_ZK_MSG_SYNCED, /* index: so many must be applied first */
};

struct lab_zk_msg {
    struct env_op at;
    struct list link;
    struct lab_zk *z;
    enum lab_zk_msg_kind kind;
    uint32_t from, to, to_boot, epoch, link_number; /* of the follower's connection to the leader */
    int64_t due_ns, session;
    uint64_t index;
    int32_t timeout_ms;
    bool ok, is_fired, is_done;
    struct lab_zk_origin origin;
    struct lab_zk_entry *entry;
};

struct lab_zk_lane {
    struct list msgs;
    int64_t last_ns;
};

enum lab_zk_request_kind {
    LAB_ZK_REQ_LOCAL,  /* answered here when its turn comes */
    LAB_ZK_REQ_CHANGE, /* when its entry is applied here */
    LAB_ZK_REQ_SYNC,   /* when the leader has said, and that is applied */
};

struct lab_zk_req {
    struct list link;
    enum lab_zk_request_kind kind;
    int32_t xid, op;
    uint64_t number, index; /* index of SYNC */
    bool is_ready;          /* SYNC: the leader has said */
    uint32_t n_ids, n_body;
    uint8_t body[];
};

/*  NEW --ConnectRequest--> ASKED --entry applied, or revalidated--> OPEN --> is_doomed */
enum lab_zk_conn_state { LAB_ZK_CONN_NEW, LAB_ZK_CONN_ASKED, LAB_ZK_CONN_OPEN };

struct lab_zk_conn {
    struct env_peer peer;
    struct lab_zk_place *p;
    struct list link;
    enum lab_zk_conn_state state;
    bool is_doomed, is_old, is_touched;
    uint64_t number, requests, told; /* told: the last event that it was told of */
    int64_t session, heard_ns, slow_ns;
    int32_t timeout_ms;
    struct env_timer slow;
    uint8_t *in;
    uint32_t in_len, in_cap;
    struct list reqs, watches;
    uint32_t n_reqs;
    uint64_t req_bytes;
    struct lab_zk_id ids[LAB_ZK_IDS];
    uint32_t n_ids;
};

struct lab_zk_watch {
    struct lab_zk_watch *chain;
    struct list in_conn;
    struct lab_zk_conn *c;
    bool is_child;
    uint32_t path_len;
    char path[];
};

struct lab_zk_proc { /* in the node's memory */
    struct lab_zk_place *p;
    struct env *env;
    struct mem *mem;
    struct env_acceptor door;
    struct env_op listening, wake;
    bool is_waking;
    struct env_timer beat, expiry;
    struct pool conn_pool;
    struct list conns;
    uint64_t conns_made, n_events;
    uint32_t n_doomed, n_syncs, n_watches;
    struct lab_zk_watch *watch[LAB_ZK_WATCH_BUCKETS];
    uint8_t *out, *list; /* LAB_ZK_SCRATCH each */
};

struct lab_zk_place {
    struct lab_zk *z;
    uint32_t index;
    struct sim_node *node;
    char name[16];
    /* on disk */
    struct lab_zk_tree tree;
    uint64_t applied, logged;
    uint32_t epoch; /* the last it has taken part in */
    /* of the process */
    struct lab_zk_proc *proc;
    uint32_t boot;
    enum lab_zk_role role;
    bool is_attached;       /* to the leader of the present epoch, or that itself */
    bool is_deposed;        /* and has not seen it yet */
    uint32_t leader, links; /* links: how often it was attached, or lost that */
    uint64_t committed, acked[LAB_ZK_SERVERS]; /* acked: a leader's knowledge */
    int64_t beat_ns, heard_ns[LAB_ZK_SERVERS], join_ns, lag_ns;
    uint64_t sessions_made;
    struct list inbox;
};

struct lab_zk {
    struct mem *mem;
    struct sim *sim;
    struct lab_zk_config cfg;
    struct prng prng;
    uint64_t secret;
    struct lab_zk_place place[LAB_ZK_SERVERS];
    uint32_t split;
    struct env_op poll;
    int32_t leader;
    uint32_t epoch, counter; /* counter: of the zxid */
    int64_t election_ns;     /* when it is over; 0: there is none */
    struct lab_zk_entry *log[LAB_ZK_LOG];
    uint64_t log_first, log_end, committed;
    struct lab_zk_entry *wish; /* nobody's request, which the leader is to take; or NULL */
    struct lab_zk_lane lane[2][LAB_ZK_SERVERS][LAB_ZK_SERVERS];
    struct lab_zk_result results[LAB_ZK_OPS];
    struct lab_zk_stats stats;
    struct lab_zk_tree kept; /* what is brought back */
    uint32_t kept_epoch;
    bool has_kept;
};

/* ---- lab_zk.c ---- */

int64_t lab_zk_draw_ns(struct lab_zk *z, int64_t min_ns, int64_t mean_ns);
bool lab_zk_is_up(const struct lab_zk_place *p);
/* do i and j hear of each other? */
bool lab_zk_reach(const struct lab_zk *z, uint32_t i, uint32_t j);
static inline bool lab_zk_serves(const struct lab_zk_place *p)
{
    return p->role == LAB_ZK_FOLLOWING || p->role == LAB_ZK_LEADING;
}
static inline uint32_t lab_zk_quorum(const struct lab_zk *z)
{
    return z->cfg.servers / 2 + 1;
}
/* in p's turn: p looks whether it still leads, or is led; and for a leader from now on */
void lab_zk_review(struct lab_zk_place *p);
void lab_zk_look(struct lab_zk_place *p);

/* ---- lab_zk_log.c ---- */

void lab_zk_wake(struct lab_zk_place *p);
void lab_zk_lanes_deliver(struct lab_zk *z); /* what waited behind a cut */
void lab_zk_inbox_drop(struct lab_zk_place *p);
/* p is told of the log from its `logged` on */
void lab_zk_log_feed(struct lab_zk_place *leader, struct lab_zk_place *p);
/* entries from `end` on are none any more */
void lab_zk_log_cut(struct lab_zk *z, uint64_t end);
/* no entry is left; nobody runs */
void lab_zk_log_drop(struct lab_zk *z);
/* applies entries below end */
void lab_zk_log_apply(struct lab_zk_place *p, uint64_t end);
struct lab_zk_entry *lab_zk_entry_new(struct lab_zk *z, enum lab_zk_entry_kind kind,
                                      int64_t session, const struct lab_zk_conn *c, uint32_t n_ids,
                                      const void *body, uint32_t n_body);
/* in p's turn: to the leader, wherever it is */
void lab_zk_submit(struct lab_zk_place *p, struct lab_zk_entry *e);
void lab_zk_sync(struct lab_zk_place *p, const struct lab_zk_conn *c, uint64_t request);
void lab_zk_revalidate(struct lab_zk_place *p, struct lab_zk_conn *c);
void lab_zk_touch(struct lab_zk_place *p, struct lab_zk_conn *c);
void lab_zk_sessions_arm(struct lab_zk_place *p); /* p leads from now on */
void lab_zk_boot(struct env *e, struct mem *m, void *place);

/* ---- lab_zk_conn.c ---- */

struct env_peer *lab_zk_conn_open(struct env_acceptor *a, const char *from);
/* hangs up those that are doomed; at the end of each turn */
void lab_zk_conns_sweep(struct lab_zk_proc *r);
void lab_zk_conns_doom(struct lab_zk_proc *r, int64_t session, const struct lab_zk_conn *but);
void lab_zk_conn_doom(struct lab_zk_conn *c);
struct lab_zk_conn *lab_zk_conn_find(struct lab_zk_place *p, const struct lab_zk_origin *o);
/* the session is there, or is not */
void lab_zk_conn_attached(struct lab_zk_conn *c, bool ok);
void lab_zk_conn_synced(struct lab_zk_conn *c, uint64_t request, uint64_t index);
/* its entry was applied, with these results */
void lab_zk_conn_applied(struct lab_zk_place *p, const struct lab_zk_entry *e, int32_t err,
                         const struct lab_zk_result *results, uint32_t n);
/* answers what has waited for nothing but its turn */
void lab_zk_conn_pump(struct lab_zk_conn *c);
void lab_zk_password(const struct lab_zk *z, int64_t session, uint8_t ret[ZK_PASSWORD]);

/* ---- lab_zk_serve.c ---- */

void lab_zk_serve(struct lab_zk_conn *c, const struct lab_zk_req *q);
void lab_zk_serve_auth(struct lab_zk_conn *c, int32_t xid, const void *b, uint32_t n);
bool lab_zk_serve_word(struct lab_zk_conn *c); /* "ruok" and the like; false: it is none */
void lab_zk_serve_changed(struct lab_zk_conn *c, const struct lab_zk_req *q, int32_t err,
                          const struct lab_zk_result *results, uint32_t n);
void lab_zk_reply(struct lab_zk_conn *c, const struct zk_reply *a);
void lab_zk_reply_err(struct lab_zk_conn *c, int32_t xid, int32_t op, int32_t err);
void lab_zk_send(struct lab_zk_conn *c, const void *b, size_t n);

/* ---- lab_zk_watch.c ---- */

/* false: there are too many, and c is doomed */
bool lab_zk_watch_add(struct lab_zk_conn *c, bool is_child, const char *path, uint32_t len);
bool lab_zk_watch_has(const struct lab_zk_conn *c, bool is_child, const char *path, uint32_t len);
bool lab_zk_watch_remove(struct lab_zk_conn *c, bool is_child, const char *path, uint32_t len);
void lab_zk_watch_drop(struct lab_zk_conn *c);
void lab_zk_watch_event(void *place, enum zk_event what, const struct lab_zk_node *n);
void lab_zk_watch_tell(struct lab_zk_conn *c, enum zk_event what, const char *path, uint32_t len);

#endif
