/* cluster/master_impl.h - what the files of the master share.
 *
 * Three kinds of things live here for a while, all from fixed pools:
 *   struct master_req   one call of a client, from its frame to its answer (master_rpc.c)
 *   struct master_job   one piece of work on the under-store, with the requests that wait for it
 *                       (master_load.c, master_names.c, master_effect.c)
 *   struct master_sub   one record given to the journal, inside a request or a job
 * and the soft tables: sessions and who caches what (master_lease.c), workers and their pages
 * (master_member.c), when something was last compared with the under-store (master_load.c).
 *
 * INVARIANTS
 *  1. A request is on exactly one list: a job's waiters, an intent's waiters (for its outcome, or
 *     for its locks), parked, waiting for acknowledgements - or none, and then a sub or a barrier
 *     of it is under way.
 *  2. A job has at most one under-store operation or record under way; job->step says which.
 *  3. Soft tables may forget: what is forgotten is asked again or gets no lease.  Only who caches
 *     what is never forgotten without the client's acknowledgement or the end of its lease. */
#ifndef CLUSTER_MASTER_IMPL_H
#define CLUSTER_MASTER_IMPL_H

#include "cluster/master.h"
#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "core/fmt.h"
#include "core/recent.h"

#define MASTER_MS 1000000LL

enum {
    MASTER_BUCKETS = 1024,      /* of requests in flight by (session, seq) */
    MASTER_EFFECT_BUCKETS = 64, /* of requests waiting for an intent */
    MASTER_SOFT_BYTES = 16 << 20,
    MASTER_INVAL_BYTES = 8192, /* invalidations that wait for one session */
    MASTER_SESSIONS_MAX = 16384,
    MASTER_ORPHANS = 1024, /* asked about at once */
    MASTER_OUTRUNS_MAX = 4,
    MASTER_HOLDS_CHUNK = 1024,
    MASTER_LOADS_MAX = 6, /* E_NOT_LOADED answers that one request survives */
    MASTER_APPENDS = 1024,
    MASTER_PLACES = 1024,
    MASTER_ASKERS = 1024,  /* who wait on a standby to hear who leads */
    MASTER_FREE_MAX = 512, /* items of one RPC_FREE */
    MASTER_SWEEP = 4096,   /* buckets of reported pages that a new leader looks through at once */
    MASTER_LOOK_BYTES =
        4 * LIMIT_BATCH, /* a JOB_LOOK: the names asked for, and what is said of them */
};

#define MASTER_TICK_NS     (20 * MASTER_MS)
#define MASTER_ASK_TICK_NS (5 * MASTER_MS)   /* while somebody waits to hear who leads */
#define MASTER_IDLE_NS     (100 * MASTER_MS) /* ... of a master that nobody waits for */
#define MASTER_DEADLINE_NS (60000 * MASTER_MS)
#define MASTER_FULL_NS     (60000 * MASTER_MS) /* between lines that say so */
#define MASTER_CALL_NS     (2000 * MASTER_MS)

struct master;
struct master_req;
struct master_job;

/* One record on its way through the journal. */
struct master_sub {
    struct env_op op; /* the owner's done; ret: index or E_* */
    struct list link; /* m->subs until applied or failed */
    uint64_t hash;
    uint32_t len;
    struct master_req *req;  /* whose answer waits for the acknowledgements of its changes */
    struct fsop_reply reply; /* set at apply; never with data */
    uint64_t conflict;       /* as in meta_result */
};

enum master_req_state {
    REQ_NEW,
    REQ_BARRIER,
    REQ_QUERY,
    REQ_WAIT_JOB,
    REQ_PARKED,
    REQ_JOURNAL,
    REQ_WAIT_INTENT,
    REQ_WAIT_ACKS,
    REQ_ECHO,
    REQ_IMAGE, /* or another operation of the journal that comes back */
};

struct master_req {
    struct master *m;
    enum master_req_state state;
    enum master_req_state resume; /* after REQ_WAIT_JOB or REQ_PARKED */
    uint16_t method;
    bool is_answered; /* by its deadline; goes on only until its operation is done */
    bool is_checked, is_live_known, is_intent_closed;
    bool is_aside;   /* a standby answers it: see master_standby.c */
    uint8_t loads;   /* E_NOT_LOADED answers so far */
    uint8_t absents; /* of them, names that were not found below */
    struct rpc_token token;
    struct list link;   /* see invariant 1 */
    struct list live;   /* m->live, oldest first */
    struct list hashed; /* m->inflight */
    struct list echoes; /* REQ_ECHO requests with the same (session, seq), by link */
    int64_t deadline_ns;
    void *body;
    uint32_t body_len;
    struct fsop op;
    struct fsop_reply reply;
    uint64_t intent;
    uint64_t blocker; /* REQ_PARKED: until this intent is closed; 0: for a while */
    struct master_sub sub;
    struct env_op barrier;
    int job_err;
    struct fsent found; /* by the job it waited for; mode 0: nothing */
    uint8_t *page;      /* LIMIT_BATCH: names by JOB_NAMES, the answer of this READDIR */
    uint32_t page_len;
    bool page_is_end, is_looked_at, is_looked; /* asked for; done */
    int64_t looked_ns; /* is_looked: what it lists was true then, or is newer */
    uint64_t mark;     /* of the path where it looked */
    uint64_t seen;     /* the record applied when it looked */
    struct fsop_statfs statfs;
    uint64_t inval; /* number of its last invalidation */
    uint64_t *acks; /* bit per session slot that must still acknowledge */
};

enum master_job_kind {
    JOB_LIST,
    JOB_NAME,
    JOB_CHECK,
    JOB_NAMES, /* names for one READDIR, past the tree */
    JOB_LOOK,  /* compares the entries of one READDIR */
    JOB_EFFECT,
    JOB_EXPIRE,
    JOB_RECLAIM,
    JOB_STATFS,
    JOB_SYNC,  /* of a directory */
    JOB_ASIDE, /* a standby compares, and changes nothing */
};

enum master_job_step {
    STEP_STAT,
    STEP_STATFS,
    STEP_SYNC,
    STEP_SYNC_AGAIN,
    STEP_REFRESH,
    STEP_PAGE,
    STEP_BATCH,
    STEP_CURSOR_END,
    STEP_LOCK,
    STEP_ABORT,
    STEP_ABORT_AGAIN,
    STEP_LOAD,
    STEP_NAMES,
    STEP_LOOK,
    STEP_LOOKED,
    STEP_BEFORE,
    STEP_BEFORE2,
    STEP_NOTE,
    STEP_NOTE2,
    STEP_NOTED,
    STEP_PLACES,
    STEP_EFFECT,
    STEP_LEFT,
    STEP_AGAIN,
    STEP_AFTER,
    STEP_AFTER2,
    STEP_OUTCOME,
    STEP_OUTCOME_AGAIN,
    STEP_CLOSE_WRITER,
    STEP_CLOSE_SESSION,
    STEP_UNLINK,
    STEP_RECLAIM,
};

struct master_job {
    struct master *m;
    enum master_job_kind kind;
    enum master_job_step step;
    struct list link;    /* m->jobs */
    struct list waiters; /* requests */
    uint64_t epoch;      /* it ends when the leadership that began it has ended */
    struct ino ino;
    struct session_id session;
    uint16_t mount;
    char name[LIMIT_NAME + 1];
    uint32_t name_len;
    int err;
    bool is_live;    /* JOB_CHECK: of a file that is being written: nothing is journaled */
    bool is_absent;  /* JOB_NAME: there is no such name, or none yet */
    bool is_listing; /* the under-store holds a cursor for us */
    bool is_begun, is_eof, is_last;
    bool locks_first; /* JOB_LIST: the names changed while they were read without the lock */
    int ret;          /* of the operation that was just done */
    uint64_t conflict;
    int64_t began_ns;
    uint64_t load; /* JOB_LIST: its intent */
    struct env_timer retry;
    int64_t backoff_ns;
    bool is_resumed;             /* JOB_EFFECT: it may have been done before */
    bool is_below;               /* its change is under way in the under-store */
    struct session_id writer;    /* of a truncation: who is asked where it appends, */
    struct rpc_call places_call; /* just now */
    uint8_t outruns;             /* how often it was looked at again: see load_look_again() */
    struct ufs_op uop;
    struct master_sub sub;
    struct fsattr attr;
    struct fsent ent, ent_parent, ent_parent2, ent_other;
    bool adopt, adopt2;
    uint8_t *page; /* JOB_LIST, JOB_NAMES, JOB_LOOK */
    uint32_t page_bytes;
    uint64_t mark;    /* of path, when it was asked for: see meta_path_mark() */
    uint64_t seen;    /* record applied when names were read, */
    uint64_t looked;  /* and when the thing itself was looked at */
    uint64_t version; /* of the directory before its names were read */
    /* from here on nothing is zeroed but the beginnings of texts, and the intent's other members */
    char path[LIMIT_BELOW], path2[LIMIT_BELOW];
    char target[LIMIT_PATH];
    struct meta_intent intent; /* JOB_EFFECT */
};

/* When a key (an inode, or a name that was not found) was last compared with the under-store. */
struct master_verified {
    uint64_t key;
    int64_t at_ns;
};

/* Bytes of a file that may be on their way to its end right now. */
struct master_append {
    struct ino ino;            /* 0: free */
    struct session_id session; /* whose the last are */
    uint64_t end;
    int64_t asked; /* by which question, as who asked calls it; 0: given back */
    int64_t until_ns;
    uint64_t first; /* questions of this number and later ones are about what is here now */
    bool is_shared; /* some of them may be another session's */
};

/* A question for a place, as it was answered. */
struct master_place {
    struct ino ino;
    struct session_id session;
    int64_t asked;
    uint64_t at, number;
};

/* An under-store as mounted. */
struct master_ufs {
    struct ufs *ufs;
    uint16_t mode;
    int64_t check_interval_ns;
    uint64_t uri_hash;
    struct ino root;
    bool is_broken; /* it could not be opened; next try: */
    int64_t retry_ns, backoff_ns;
};

struct master_session {
    struct session_id id;   /* 0: free */
    struct rpc_token token; /* of its last call: names the connection */
    int64_t beat_ns, lease_until_ns;
    uint32_t lapses;
    bool has_beaten; /* here, and nothing is left of an earlier leadership */
    bool is_void;    /* something could not be invalidated: its lease must run out */
    bool is_expiring;
    bool is_clearing; /* it was told to drop what an earlier leadership gave: */
    uint64_t clear_no;
    bool is_asked, is_calling;
    struct rpc_call inval_call, holds_call;
    uint8_t *sending,
        *building; /* MASTER_INVAL_BYTES each, or NULL; sending's are unacknowledged */
    uint32_t sending_len, building_len;
    uint64_t sending_first, sending_last, building_first, building_last; /* invalidation numbers */
    int64_t sending_since_ns;
    uint64_t told_no; /* the last invalidation that ends a hold of it, */
    struct ino told_of;
    uint32_t holds; /* first of its holds; 0: none */
    uint32_t
        doomed; /* first of those that end when an invalidation is acknowledged, newest first */
    struct master *m;
    struct list by_id;
    struct list told; /* m->told: has something new to send */
};

/* ino was given to a session. */
struct master_hold {
    struct ino ino;
    uint32_t next, prev;                 /* of the same bucket; next also of the free ones */
    uint32_t session_next, session_prev; /* of the same session */
    uint32_t session;
    uint64_t doom; /* ends when the invalidation of this number is acknowledged; 0: it stays */
};

struct master_worker {
    struct worker_id id; /* 0: free */
    uint64_t incarnation;
    struct rpc_token token;
    char addr[ENV_ADDR_MAX], host[ENV_ADDR_MAX];
    uint32_t addr_len, host_len;
    bool is_alive, is_reported, is_freeing;
    int64_t beat_ns;
    uint64_t beats;              /* since this master knows it */
    struct rpc_worker_beat last; /* its counters; the pointers are not used */
    struct rpc_call free_call;
    uint64_t pages, bytes;
    struct list all;     /* its struct master_page, by of_worker */
    struct list frees;   /* of them, those to be freed, by to_free */
    struct list ordered; /* and those that the order under way names */
    struct master *m;
};

/* pages of (ino, version) on one worker */
struct master_page {
    struct ino ino;
    uint64_t version, bytes;
    uint32_t pages, worker;
    struct list hash, of_worker, to_free;
    uint64_t free_below, ordered_below;
};

struct master {
    struct env *env;
    struct mem *mem;
    struct master_config cfg;
    struct journal_host host;
    struct journal *journal;
    struct rpc_host rpc;
    struct meta *meta;
    struct mem state_mem; /* the part of mem that is meta's */
    int64_t full_said_ns;
    enum master_state state;
    int why;
    bool is_leading, is_listening, is_unmounting, is_stopping, is_journal_stopped, is_stepping;
    bool is_waking; /* the woken are having their turns */
    bool is_group;  /* one of several: it may be deposed unnoticed, so it asks before each read */
    bool is_reachable, is_standby, is_mounted;
    bool is_loading; /* an image: the state is no state meanwhile */
    uint64_t epoch;
    int64_t led_since_ns;
    struct env_timer tick;
    bool is_idle; /* the tick is a slow one */
    struct env_op listen_op, stop_journal;
    struct env_op *stop_op;

    struct pool reqs, jobs;
    uint8_t *spare_page[2]; /* of a job that has ended, for the next: see master_load_page_new() */
    uint32_t jobs_used[2];  /* of the under-store's answers, and of effects: 3/4 each at most */
    uint64_t *acks;
    uint32_t ack_words;
    struct list live, parked, woken, acking, subs, job_list;
    struct list inflight[MASTER_BUCKETS];
    struct list intent_waits[MASTER_EFFECT_BUCKETS];
    uint64_t intent_cursor; /* every intent up to here has its job or needs none */
    uint64_t intent_resume; /* intents up to here were opened by an earlier leadership */
    struct meta_intent scratch;
    uint8_t *rec, *qbuf, *out;
    struct master_ufs ufs[LIMIT_MOUNTS + 1];

    /* master_group.c */
    struct master_asker {
        struct rpc_token token;
        int64_t until_ns;
    } askers[MASTER_ASKERS]; /* a ring */
    uint32_t ask_first, n_askers;

    /* master_hold.c */
    bool is_holding, hold_posted; /* no change is begun below */
    uint32_t n_below;             /* changes under way there */
    struct list held;             /* jobs put aside, by sub.link */
    struct env_op hold_op;

    /* master_mount.c */
    uint32_t mounting; /* next of cfg.mounts to journal */
    struct master_sub mount_sub;
    bool is_limiting;  /* mount_sub brings the limits */
    bool mount_waits;  /* a record of theirs was not taken: the next tick tries again */
    bool mount_failed; /* some of them could not be mounted; next try: */
    int64_t mount_retry_ns, mount_backoff_ns;
    int64_t mount_look_ns; /* a name that was not found since then is not there */

    /* master_lease.c */
    struct master_session *sessions; /* slot 0 is not used */
    uint32_t n_sessions, sessions_used, sessions_unbeaten;
    struct list *session_hash;
    uint32_t session_buckets;
    struct master_hold **holds; /* in chunks, made when needed; place 0 is not used */
    uint32_t *hold_hash;
    uint32_t n_holds, holds_high, holds_used, hold_free, hold_buckets, hold_hand;
    uint64_t inval_no;
    struct list told;
    int64_t orphan_at_ns, orphan_wait_ns;
    bool is_asking, ask_failed;
    uint32_t asked_left, n_orphans, n_reclaimed, orphan_gone; /* of the orphans asked about */
    struct ino orphans[MASTER_ORPHANS], orphan_after;
    bool is_held[MASTER_ORPHANS];

    /* master_load.c */
    struct master_verified *verified;
    uint32_t n_verified;
    int64_t verified_after_ns;
    struct recent touched; /* by inode: the record that last changed its attributes or renamed it */

    /* master_append.c */
    int64_t settled_ns; /* nobody uses a predecessor's places from here on; 0: somebody may */
    struct master_append appends[MASTER_APPENDS];
    struct master_place places[MASTER_PLACES];
    uint64_t n_places;

    /* master_member.c */
    uint32_t pages_used, pages_max; /* struct master_page, each from mem when needed */
    struct master_worker *workers;
    uint32_t n_workers;
    struct list *page_hash;
    uint32_t page_buckets;
    uint32_t sweep_at; /* the next bucket that a new leader looks through; page_buckets: done */
    uint64_t workers_version;

    struct {
        uint64_t requests, answers, again, timeouts, duplicates, conflicts, loads, checks,
            refreshes, names, looks, outruns, asides, refused;
        uint64_t effects, invalidations, expired, reclaimed, resumed, full;
    } n;
    struct {
        void *p;
        size_t n;
    } owned[24];
    unsigned n_owned;
};

/* ---- master_append.c: where op->size bytes go; *size is the file's, now, and becomes the place */
int master_append_place(struct master *m, const struct fsop *op, uint64_t *size) MUST_CHECK;
void master_append_cut(struct master *m, struct ino ino);
/* false: the truncation has to wait for appends under way; STEP_PLACES follows */
bool master_append_wait(struct master_job *j) MUST_CHECK;
void master_append_session_gone(struct master *m, struct session_id s);

/* ---- master.c */
/* somebody waits: the tick comes soon; on a standby, too */
void master_busy(struct master *m);
/* zeroed, given back when the master goes; NULL over the budget */
void *master_keep(struct master *m, size_t n) MUST_CHECK;
/* encodes and submits; sub->op.done later, with sub->reply if ret > 0 */
void master_submit(struct master *m, const struct fsop *op, struct master_sub *sub);
void master_stop_step(struct master *m);
/* leads and has mounted: listens, serves */
void master_serve(struct master *m);

/* ---- master_group.c */
/* "host:port" of the leader as the journal knows it, if that is another master; else "" */
uint32_t master_group_hint(struct master *m, char to[ENV_ADDR_MAX]);
/* E_NOT_LEADER with the hint: at once, or when there is one, or soon */
void master_group_refuse(struct master *m, struct rpc_token t);
void master_group_tick(struct master *m);
/* the addresses of all members, as far as there is room */
void master_group_addresses(struct master *m, struct wbuf *w);
void master_group_change(struct master *m, struct rpc_token t, const void *body, uint32_t len);
/* everybody who waits is told */
void master_group_tell(struct master *m);
struct env_peer *master_group_foreign(struct rpc_host *h, uint16_t type, const char *from);

/* ---- master_hold.c */
void master_hold_init(struct master *m);
bool master_hold(struct journal_host *h, bool is_on);
/* was the job put aside, because no change may begin? */
bool master_hold_parks(struct master_job *j);
/* its change begins, has ended */
void master_hold_began(struct master_job *j);
void master_hold_ended(struct master_job *j);
/* who was put aside goes on, or ends with its leadership */
void master_hold_end(struct master *m);

/* ---- master_standby.c */
/* a call that came to a standby is one that it may answer */
bool master_standby_may(const struct master *m, uint16_t method, const void *body, uint32_t len);
void master_standby_begin(struct master_req *r);
/* rep, of applied state, is the answer; false: r waits for a look below, or is the leader's */
bool master_standby_knows(struct master_req *r, const struct fsop_reply *rep);
void master_standby_step(struct master_job *j);
/* this master is no standby any more: every such request is answered */
void master_standby_end(struct master *m);

/* ---- master_backup.c */
void master_backup_call(struct master *m, struct rpc_token t, const void *body, uint32_t len);

/* ---- master_mount.c */
const struct master_ufs *master_mount_at(const struct master *m, uint16_t mount);
/* what this one mount is in the applied state, for a standby */
void master_mount_look(struct master *m, uint16_t mount);
/* opens the under-stores of the applied state */
void master_mount_open_all(struct master *m);
bool master_mount_is_configured(const struct master *m, const char *path, uint32_t len);
/* of what all masters must be configured alike in */
uint32_t master_settings_sum(const struct master *m);
struct rpc_text;
void master_settings_text(const struct master *m, struct rpc_text *t);
/* journals the configured mounts that are missing, then serves */
void master_mount_begin(struct master *m);
void master_mount_done(struct env_op *op);
/* what the journal did not take of limits and mounts: nobody is served before that */
void master_mount_retry(struct master *m);
void master_mount_tick(struct master *m);

/* ---- master_rpc.c */
int master_rpc_init(struct master *m);
void master_rpc_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                        uint32_t len);
/* goes on with a request that waited, at once or after those that are at it */
void master_rpc_wake(struct master_req *r);
/* the call failed; the request goes when what is under way for it has come back */
void master_rpc_fail(struct master_req *r, int err);
/* n parked requests are tried again */
void master_rpc_unpark(struct master *m, uint32_t n);
struct master_req *master_rpc_by_intent(struct master *m, uint64_t intent);
void master_rpc_intent_opened(struct master_req *r, uint64_t intent);
/* the intent is closed: the answer of the request that waits for it */
void master_rpc_intent_closed(struct master *m, uint64_t intent, const struct fsop_reply *reply);
/* the intent is closed: those who met its locks go on */
void master_rpc_released(struct master *m, uint64_t intent);
void master_rpc_tick(struct master *m);
/* every request is answered with err; those with an operation under way go when it is done */
void master_rpc_end_all(struct master *m, int err);
bool master_rpc_check(const struct master *m, char *err_text, size_t cap);

/* a request of its own kind, to be given an operation at once; NULL: no room */
struct master_req *master_rpc_new(struct master *m, struct rpc_token t, uint16_t method,
                                  const void *body, uint32_t len);
void master_rpc_done(struct master_req *r, int err); /* that operation is */
void master_rpc_answer(struct master_req *r, const struct fsop_reply *rep);
void master_rpc_answer_err(struct master_req *r, int err);
/* later, from state resume */
void master_rpc_park(struct master_req *r, enum master_req_state resume);
/* until what stopped its job (r->blocker) is gone */
void master_rpc_block(struct master_req *r, enum master_req_state resume);
/* until a job of this kind is done, then on from state resume */
void master_rpc_wait_job(struct master_req *r, enum master_job_kind kind, struct ino ino,
                         const char *name, uint32_t name_len, enum master_req_state resume);

/* ---- master_query.c */
void master_query_run(struct master_req *r);
/* How long the client may use an answer about an inode (or about nothing, 0), compared as key. */
uint64_t master_query_lease(struct master_req *r, struct ino about, uint64_t key, uint16_t mount);

/* ---- master_load.c */
int master_load_init(struct master *m);
void master_load_free(struct master *m);
void master_load_reset(struct master *m);
/* The request waits for the job (a new one or the one that is at it); false: no job is free. */
bool master_load_wait(struct master *m, enum master_job_kind kind, struct ino ino, const char *name,
                      uint32_t name_len, struct master_req *r);
/* looks for a name that nobody waits for */
void master_load_name(struct master *m, struct ino dir, const char *name, uint32_t name_len);
struct master_job *master_load_job_new(struct master *m, enum master_job_kind kind);
/* wakes the waiters, frees the job */
void master_load_job_end(struct master_job *j, int err);
/* false, and the job has ended, when its leadership is over */
bool master_load_job_leads(struct master_job *j);
void master_load_submit_ufs(struct master_job *j, enum ufs_kind kind, enum master_job_step step);
/* one that was put aside (master_hold.c) */
void master_load_go_on(struct master_job *j);
void master_load_submit_rec(struct master_job *j, const struct fsop *op, enum master_job_step step);
/* when ino was compared with the under-store; INT64_MIN: not known */
int64_t master_load_verified_ns(const struct master *m, struct ino ino);
void master_load_verified_set(struct master *m, struct ino ino, int64_t at_ns);
/* it may be different below: the next question compares */
void master_load_doubt(struct master *m, struct ino ino);
/* the step again, after a while that grows */
void master_load_retry(struct master_job *j, enum master_job_step step);
/* jobs that wait for a retry end soon: the leadership is over */
void master_load_hurry(struct master *m);
bool master_load_is_due(const struct master *m, const struct fsattr *a);
/* ... or will be before so many eighths of the check interval are over */
bool master_load_is_due_in(const struct master *m, const struct fsattr *a, int64_t eighths);
uint64_t master_load_name_key(struct ino dir, const char *name, uint32_t name_len);
/* attributes as the master itself sees them */
int master_load_attr(struct master *m, struct ino ino, struct fsattr *ret_a);

/* A page for a job; false: no memory. */
bool master_load_page_new(struct master_job *j, uint32_t bytes);
/* without a job; LIMIT_BATCH or MASTER_LOOK_BYTES; p may be NULL */
uint8_t *master_load_page_take(struct master *m, uint32_t bytes);
void master_load_page_put(struct master *m, uint8_t *p, uint32_t bytes);
/* the names of a batch that has just been applied are as fresh as their listing */
void master_load_verify(struct master_job *j, const void *batch, uint32_t len);
bool master_load_is_same(const struct fsattr *a, const struct fsent *e);

/* ---- master_names.c */
/* r is a READDIR that the under-store's own listing may answer */
bool master_names_may(struct master *m, const struct master_req *r);
/* The request waits until r->page holds names; false: no job is free. */
bool master_names_wait(struct master *m, struct master_req *r);
/* The request waits until what rep lists has been compared; *ret_free false: no job is free.
 * false: nothing of it need be. */
bool master_names_look(struct master *m, struct master_req *r, const struct fsop_reply *rep,
                       bool *ret_free);
void master_names_step(struct master_job *j);
/* when the oldest of what rep lists was compared */
int64_t master_names_verified_ns(const struct master *m, const struct master_req *r,
                                 const struct fsop_reply *rep);

/* ---- master_effect.c */
/* starts what is owed as far as jobs are free */
void master_effect_kick(struct master *m);
void master_effect_step(struct master_job *j);
/* j is about to go */
void master_effect_ended(const struct master_job *j);
/* the truncation of that file which is under way (0: none is), and what that intent truncates */
uint64_t master_effect_cutting(struct master *m, struct ino ino);
struct ino master_effect_cut_by(struct master *m, uint64_t intent);
/* false: no job is free */
bool master_effect_reclaim(struct master *m, struct ino orphan);

/* ---- master_lease.c */
int master_lease_init(struct master *m);
void master_lease_free(struct master *m);
void master_lease_begin(struct master *m); /* leadership */
void master_lease_reset(struct master *m);
void master_lease_hang_up(struct master *m); /* all sessions' connections */
void master_lease_tick(struct master *m);
/* whoever answers must lead: see master_rpc_on_call() */
void master_lease_beat(struct master *m, struct rpc_token t, const void *body, uint32_t len);
struct master_session *master_lease_find(struct master *m, struct session_id id);
/* a call of the session came on this connection */
/* does somebody wait for what is answered there?  A client has one connection, its newest */
bool master_lease_is_heard(struct master *m, struct session_id id, struct rpc_token t);
void master_lease_seen(struct master *m, struct session_id id, struct rpc_token t);
void master_lease_opened(struct master *m, struct session_id id, struct rpc_token t);
void master_lease_closed(struct master *m, struct session_id id);
/* Its client begins no write any more, and what it began is over; nor will it by what it was told
 * so far, if it is heard of again. */
bool master_lease_is_over(struct master *m, struct session_id id);
/* when that is, if it is not heard of until then */
int64_t master_lease_over_ns(struct master *m, struct session_id id);
/* The session was given something of ino; false: it is not remembered, so no lease. */
bool master_lease_give(struct master *m, struct session_id id, struct ino ino);
int64_t master_lease_left_ns(struct master *m, struct session_id id);
/* tells every other session; r (may be NULL) must wait for them */
void master_lease_changed(struct master *m, const struct meta_result *res, struct master_req *r);
/* r found its inode as it wants it: it waits for those who have not dropped how it was before */
void master_lease_unchanged(struct master *m, struct master_req *r);
/* r repeats what was done before: it waits for whatever is unacknowledged by now */
void master_lease_repeated(struct master *m, struct master_req *r);
bool master_lease_must_wait(const struct master *m, const struct master_req *r);
/* An orphan is opened by its number: nobody may take it for unheld because its holder was asked
 * before.  false: its bytes are going already. */
bool master_lease_orphan_opened(struct master *m, struct ino ino);
/* the session's own close, or its expiry: its writers first.  r may be NULL. */
bool master_lease_expire(struct master *m, struct session_id id, struct master_req *r);
void master_lease_expire_step(struct master_job *j);
void master_lease_conn_closed(struct master *m, struct rpc_conn *c);
uint32_t master_lease_alive(const struct master *m);
bool master_lease_check(const struct master *m, char *err_text, size_t cap);

/* ---- master_member.c */
int master_member_init(struct master *m);
void master_member_free_all(struct master *m);
void master_member_tick(struct master *m);
void master_member_lead(struct master *m); /* leadership */
void master_member_beat(struct master *m, struct rpc_token t, const void *body, uint32_t len);
/* worker list behind a beat reply; returns the count */
uint32_t master_member_list(struct master *m, struct wbuf *w);
void master_member_location(struct master *m, struct rpc_token t, const void *body, uint32_t len);
/* pages of older versions (UINT64_MAX: all) may go */
void master_member_free(struct master *m, struct ino ino, uint64_t below);
/* every page of a file at or below the path of a mount */
uint64_t master_member_free_path(struct master *m, uint16_t mount, const char *path);
/* how many (file, version) pairs it was, or is to be, told to free and has not confirmed */
uint64_t master_member_to_free(const struct master_worker *w);
bool master_member_check(const struct master *m, char *err_text, size_t cap);

/* ---- master_status.c */
void master_status_reply(struct master *m, struct rpc_token t);

#endif
