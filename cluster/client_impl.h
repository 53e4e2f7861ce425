/* cluster/client_impl.h - what the files of the client share; nobody else includes it.
 *
 *   client.c            start, stop, statistics, checks
 *   client_session.c    the leading master, the session and its lease, invalidations
 *   client_master.c     which master is tried next
 *   client_standby.c    questions that go to the other masters
 *   client_fs.c         metadata requests: queue, send, retry, answer
 *   client_walk.c       paths
 *   client_cache.c      attributes, names, link targets, layouts
 *   client_file.c       open files
 *   client_io.c         requests of file I/O, cut into pieces
 *   client_piece.c      one piece: worker, next worker, under-store
 *   client_readahead.c  pages read before they are asked for
 *   client_pages.c      pages that are read again and again
 *   client_local.c      files that are read past us
 *   client_worker.c     connections to workers; under-stores reached directly */
#ifndef CLUSTER_CLIENT_IMPL_H
#define CLUSTER_CLIENT_IMPL_H

#include "cluster/client.h"
#include "cluster/place.h"

enum {
    CLIENT_MASTERS_MAX = 16,
    CLIENT_CONNS_MAX = 256,  /* the master and as many workers */
    CLIENT_PIECES_MAX = 256, /* under way at once */
    CLIENT_IO_PIECES = 8,    /* of one request */
    CLIENT_STAMPS = 1024,    /* power of two */
    CLIENT_BATCHES_MAX = 64, /* invalidations that the owner has not acknowledged */
    CLIENT_DIRTY_MAX = 16,   /* workers with unsynced writes of one file */
    CLIENT_RANKS = 3,        /* workers that are tried for one piece */
    CLIENT_STAYS_MAX = 3,
    CLIENT_ONCE = 4096,
};

#define CLIENT_MS 1000000LL

/* --- requests of metadata --- */

enum client_fs_state { FSR_QUEUED, FSR_CALL, FSR_BACKOFF, FSR_WAIT_FILE, FSR_DONE };

/* What of an open is under way. */
enum client_open_phase { OPEN_QUERY, OPEN_WRITER, OPEN_TRUNC };

/* What an open does next. */
enum client_open_next { OPEN_DONE, OPEN_SEND, OPEN_WAIT };

struct client_fsr { /* in client_req.impl */
    struct client *c;
    struct list link;     /* c->queued[], c->active or cfile.waiting */
    struct list mut;      /* c->muts, in the order of seq */
    struct rpc_call call; /* its op also brings answers that need no call */
    struct env_timer timer;
    struct rpc_conn *conn; /* that the call went out on; only compared */
    struct client_file *f;
    char *copy; /* reply.data of an answer from cache */
    struct session_id session;
    uint64_t seq, stamp;
    uint64_t epoch; /* c->epoch when it was first sent, */
    int64_t deadline_ns, sent_ns;
    uint32_t copy_len;
    uint32_t closes; /* and c->n_closed */
    uint16_t tries;
    uint8_t state, phase;
    bool is_mutation, was_sent, is_internal, is_tapped;
    bool is_aside, was_aside; /* under way to another master than the leader; it was once */
};
static_assert(sizeof(struct client_fsr) <= sizeof(((struct client_req *)0)->impl), "must fit");

static inline struct client_fsr *client_fsr_of(struct client_req *r)
{
    return (struct client_fsr *)(void *)r->impl;
}

static inline struct client_req *client_req_of(struct client_fsr *s)
{
    return container_of((uint64_t(*)[64])(void *)s, struct client_req, impl);
}

/* --- workers and under-stores --- */

/* One server's connection, made when needed. */
struct client_worker {
    struct client *c;
    struct worker_id id;
    char addr[ENV_ADDR_MAX], host[ENV_ADDR_MAX];
    bool alive, listed, is_connecting;
    struct rpc_conn *conn, *conn_new;
    struct env_op connecting;
    int64_t suspect_until_ns; /* it failed lately: others first */
    struct list waiting;      /* pieces that wait for the connection */
    /* client_local.c */
    bool is_elsewhere, is_renewing;
    uint32_t n_held;
    struct rpc_call renew;
};

struct client_mount {
    uint16_t number;
    bool failed;
    uint32_t uri_len;
    char *uri;
    struct ufs *ufs; /* opened at the first use */
};

/* --- files --- */

enum client_writer { WRITER_NONE, WRITER_OPENING, WRITER_OPEN, WRITER_CLOSING };

/* One inode that is open here, shared by its handles. */
struct cfile {
    struct client *c;
    struct list link; /* bucket of c->files */
    struct ino ino;
    struct list handles;
    uint32_t n_handles, writers, n_dirty;
    uint8_t writer;
    bool live;         /* somebody in the cluster writes it */
    bool check;        /* ask the master before the next I/O */
    bool seen_changed; /* a worker found it changed */
    bool busy;         /* req is under way */
    bool dirty_direct, dirty_many;
    bool is_synced;       /* all that was changed here since the file was opened */
    bool is_named;        /* its name and times were synced, too */
    uint32_t dirty_count; /* begins and ends of writes, and ends of other changes */
    uint32_t sync_fails;  /* every handle hears of each once */
    int sync_err;         /* of the last of them */
    bool refresh_owed;
    uint64_t places_from; /* c->places of before are void here */
    bool reopen_owed;     /* a WRITE_OPEN under a new session, or to be sure: */
    bool close_owed;      /* a WRITE_CLOSE: not sent yet, or of unknown outcome */
    struct session_id writer_session;
    /* a leader that is gone may have begun to end the session: changes of epoch, those of them
     * after which the last WRITE_OPEN was sent, and answered */
    uint32_t doubts, doubts_asked, doubts_over;
    struct client_dirty { /* written through since the last sync */
        struct worker_id id;
        uint64_t kernel; /* that took the bytes; 0: not known */
    } dirty[CLIENT_DIRTY_MAX];
    uint64_t wend;    /* largest end of our own writes while LIVE, */
    int64_t wend_ns;  /* and when it was last set by one */
    uint32_t cuts;    /* counts what sets wend back */
    int64_t known_ns; /* when attr was asked for */
    uint64_t gen;     /* counts refreshes */
    int refresh_err, reopen_err;
    uint16_t mount;
    char *path; /* relative to the mount, ended by NUL */
    uint32_t path_len;
    struct fsattr attr;       /* as the master said last */
    struct list waiting;      /* client_fsr that wait for `writer` */
    struct list ios;          /* client_ior that wait for req */
    struct list pieces;       /* client_piece that wait for req */
    struct env_timer young;   /* when to ask for a fingerprint that can be trusted */
    struct client_io *closer; /* the release that waits for WRITE_CLOSE */
    struct client_req req;    /* refresh, reopen or WRITE_CLOSE; one at a time */
    uint32_t uid, gid, n_groups, groups[LIMIT_GROUPS]; /* of the first writer */
};

struct client_file {
    struct cfile *cf;
    struct list link; /* cf->handles */
    uint32_t mode;    /* FSOP_ACCESS_* */
    bool read_any;    /* bytes of the pin were handed out */
    bool was_live;
    uint32_t sync_seen; /* of cf->sync_fails */
    bool is_writer;     /* counted in cf->writers */
    bool closing;       /* its WRITE_CLOSE is under way */
    uint32_t n_busy;    /* requests and pieces */
    struct fsattr pin;
    int64_t young_until_ns; /* waits no longer for a fingerprint to be trusted; 0: has not begun */
    /* read-ahead */
    struct list ra; /* client_ra in the order of offset */
    uint64_t ra_next, ra_page;
    uint32_t ra_window, n_ra;
    bool ra_seen;
    struct client_io *releasing;
    struct env_op free_op;
    bool dying;
};

/* A range inside one page, read ahead. */
struct client_ra {
    struct client *c;
    struct client_piece *piece; /* until it is here */
    struct list link;           /* f->ra */
    struct list lru;            /* c->ra_lru while ready */
    struct client_file *f;
    uint64_t off;
    uint32_t len, used;
    bool ready, dropped, over; /* over: on no list, freed with the last loan */
    uint32_t n_lent;           /* reads whose owner still looks at buf */
    char *buf;
    struct list waiting; /* client_ior */
};

/* --- I/O --- */

enum client_io_kind { IO_READ, IO_WRITE, IO_SYNC, IO_LOAD, IO_RELEASE };

struct client_ior { /* in client_io.impl */
    struct client *c;
    struct list link; /* c->ios */
    struct list wait; /* cf->ios, ra->waiting or c->io_waiting */
    struct env_op fin;
    struct env_timer timer;
    int64_t deadline_ns;
    uint32_t next, short_at, n_pieces;
    struct client_ra *lender; /* of io->lent: this or that */
    struct client_page *lent_page;
    int err;
    uint8_t kind;
    bool finished, begun, stepping, again, is_alloc;
    uint8_t alloc[RPC_ALLOC_BYTES]; /* what the worker pulls */
    uint32_t n_sync, sync_at;
    struct client_dirty sync[CLIENT_DIRTY_MAX];
    bool sync_direct, sync_all, sync_any;
    uint32_t dirty_count; /* cf's when it began */
    /* of a write to a place: was an attempt begun?  Since when is it waited for? */
    bool is_tried, is_void; /* void: no other attempt is begun */
    int64_t awaited_ns;
};
static_assert(sizeof(struct client_ior) <= sizeof(((struct client_io *)0)->impl), "must fit");

static inline struct client_ior *client_ior_of(struct client_io *io)
{
    return (struct client_ior *)(void *)io->impl;
}

static inline struct client_io *client_io_of(struct client_ior *s)
{
    return container_of((uint64_t(*)[96])(void *)s, struct client_io, impl);
}

enum client_piece_state {
    PIECE_PICK,    /* choose where to go */
    PIECE_LEASE,   /* on cf->pieces: it may not begin now */
    PIECE_CONNECT, /* on worker->waiting */
    PIECE_CALL,
    PIECE_REVOKE,
    PIECE_REFRESH, /* on cf->pieces */
    PIECE_BACKOFF,
    PIECE_FENCE,  /* until a write of unknown outcome is surely over */
    PIECE_MOUNTS, /* on c->mount_waiting */
    PIECE_UFS,
    PIECE_DONE,
};

struct client_piece {
    struct client *c;
    struct list all;  /* c->pieces */
    struct list wait; /* worker->waiting, cf->pieces or c->mount_waiting */
    struct client_file *f;
    struct client_io *io; /* one of these three; all NULL: nobody waits any more */
    struct client_ra *ra;
    struct client_page *page;
    uint8_t state, kind;
    bool shared, direct, is_live, cancelled;
    bool given_up; /* WRITE: no further attempt; its end is waited for */
    bool is_alloc; /* WRITE: of an rpc_alloc */
    bool any;      /* SYNC: whichever worker answers */
    bool data_only;
    char *buf;
    uint32_t len, n_tried, tries, refreshes;
    struct worker_id tried[CLIENT_RANKS];
    uint64_t off, version, gen;
    int64_t deadline_ns;
    int64_t fence_ns; /* WRITE: how long the attempt may live on unseen */
    uint32_t cuts;    /* cf->cuts when it began */
    int64_t ret;
    struct worker_id to; /* SYNC: the one worker that must, */
    uint64_t to_kernel;  /* and its kernel; 0: not known */
    struct worker_id used;
    struct rpc_call call;
    struct env_region region;
    struct env_key key;
    struct env_op revoke;
    struct env_timer timer;
    struct ufs_op ufs;
    char *bounce, *ufs_path;
    uint32_t ufs_path_len;
};

/* --- the cache --- */

struct client_cent;

struct client_cache {
    struct client_cent **buckets;
    uint32_t n_buckets, n, max;
    struct list lru;
    uint64_t stamp;     /* counts invalidations */
    uint64_t all_stamp; /* entries up to here are void */
    uint64_t layout_stamp;
    uint64_t dir_stamp[CLIENT_STAMPS];   /* names in a directory up to here are void */
    uint64_t inval_stamp[CLIENT_STAMPS]; /* answers asked for before this are not kept */
    uint64_t aside_index[CLIENT_STAMPS]; /* nor those older than what a standby has said since */
};

/* What was paid for reads inside one page. */
struct client_rent {
    uint64_t hash; /* of the page; another one's takes the place */
    uint32_t paid;
};

struct client_pages {
    struct list *buckets;
    struct client_rent *rents;
    uint32_t n_slots; /* of both; a power of two */
    uint32_t inflation;
    struct list lru;
    uint64_t bytes, max;
};

/* Another master than the leader. */
struct client_aside {
    struct client *c;
    struct rpc_conn *conn, *conn_new;
    struct env_op connecting;
    bool is_connecting;
    int64_t away_until_ns, away_ns; /* left alone until then; how long it was the last time */
};

/* A question that went aside. */
struct client_once {
    uint64_t hash;
    int64_t at_ns;
};

/* An RPC_INVALIDATE that the owner is dealing with. */
struct client_batch {
    struct client *c;
    struct rpc_token token;
    uint32_t left, n, bytes, at;
    char *body;
    struct client_batch_op {
        struct env_op op;
        struct client_batch *b;
    } ops[];
};

enum client_state {
    CLIENT_DOWN, /* a timer is set */
    CLIENT_CONNECTING,
    CLIENT_OPENING, /* asks for a session */
    CLIENT_BEATING, /* first beat on this connection */
    CLIENT_READY,
    CLIENT_STOPPING,
    CLIENT_STOPPED,
};

enum { CLIENT_FILE_BUCKETS = 256, CLIENT_CLOSED = 64 };

struct client {
    struct env *env;
    struct mem *mem;
    struct client_config cfg;
    struct client_host *host;
    struct rpc_host rpc;
    enum client_state state;
    struct client_stats stats;

    /* the master */
    char masters[CLIENT_MASTERS_MAX][ENV_ADDR_MAX];
    uint32_t n_masters, master;
    uint32_t n_given, learned; /* configured ones; whose place the next unknown one takes */
    struct rpc_conn *conn, *conn_new;
    struct env_op connecting;
    struct env_timer retry, beat_timer;
    struct rpc_call beat, opening, closing;
    bool beat_out, opening_out, closing_out;
    int64_t backoff_ns, ready_since_ns, beat_sent_ns;
    /* client_master.c */
    uint32_t asked;  /* in this round: a bit each */
    uint32_t hint;   /* who leads, as the last one said; UINT32_MAX: it did not */
    uint32_t stays;  /* how often a connection was asked again */
    uint32_t barred; /* who refused us for good when last asked: a bit each */
    int barred_why;  /* or why the last one that leads took no session */
    bool decided;    /* was connected, or all are barred */
    int64_t dead_until_ns[CLIENT_MASTERS_MAX];
    int64_t lost_since_ns;

    /* client_standby.c */
    struct client_aside asides[CLIENT_MASTERS_MAX];
    uint32_t aside_next;
    struct client_once *once; /* CLIENT_ONCE, with read_any only */

    /* the session */
    struct session_id session;
    int64_t lease_ns, lease_until_ns;
    uint64_t epoch, workers_version, page_bytes, stripe_bytes;
    struct env_op epoch_op;
    bool epoch_op_out;
    /* places to append to have a number, which rises when some become void: those below this one */
    uint64_t places, places_from;

    /* requests */
    struct list queued[2]; /* queries, mutations */
    struct list active;
    struct list muts;
    struct list calls; /* client_call: waiting */
    struct rpc_link call_anchor;
    uint32_t n_calls;
    uint64_t next_seq;
    uint8_t *scratch;
    uint32_t n_batches;

    struct client_cache cache;
    struct client_pages pages;

    /* workers and under-stores */
    struct client_worker **workers;
    uint32_t n_workers, workers_cap;
    struct worker_id *alive; /* ids of the living, in the order of the list */
    uint32_t *alive_at;      /* their places in workers[] */
    uint32_t n_alive;
    struct client_mount mounts[LIMIT_MOUNTS];
    uint32_t n_mounts;
    bool mounts_known, mounts_busy;
    struct client_req mounts_req;
    struct list mount_waiting;

    /* files */
    struct list files[CLIENT_FILE_BUCKETS];
    uint32_t n_files, n_handles;
    struct ino closed[CLIENT_CLOSED]; /* of which a WRITE_CLOSE was answered lately */
    uint32_t n_closed;
    struct list ios;
    struct list io_waiting; /* for a free piece */
    struct list pieces;
    struct pool piece_pool;
    struct list ra_lru;
    struct list ra_free; /* page buffers; the link lies in the buffer */
    struct list ra_slabs;
    uint64_t ra_bytes, ra_page_bytes; /* of all buffers; of each */
    uint32_t ra_out;                  /* not in ra_free */

    struct env_timer local_timer;
    uint64_t pending; /* env ops that will still call back */
    struct env_op *stopping;
    struct env_op stopped;
};

/* client_master.c */
void client_master_reset(struct client *c); /* a leader was found and has lasted */
bool client_master_is_dead(const struct client *c, uint32_t i);
/* why the connection to c->master ended, as far as client_decided asks; and that it serves us */
void client_master_barred(struct client *c, int why);
void client_master_serves(struct client *c);
void client_master_dead(struct client *c, int why);
/* an address, any bytes; its place, or UINT32_MAX */
uint32_t client_master_hint(struct client *c, const void *hint, uint32_t len);
/* sets c->master; how long to wait before */
int64_t client_master_next(struct client *c);

/* client_standby.c */
int client_standby_init(struct client *c) MUST_CHECK;
void client_standby_free(struct client *c);
/* where a question may go but to the leader; NULL: to the leader */
struct rpc_conn *client_standby_conn(struct client *c, const struct fsop *op);
int64_t client_standby_deadline_ns(const struct client *c, int64_t deadline_ns);
/* what became of it there; err is the call's, not the answer's */
void client_standby_done(struct client *c, struct rpc_conn *conn, int err);
/* false: it was no such connection */
bool client_standby_closed(struct client *c, const struct rpc_conn *conn);

/* client.c */
void client_quiet(struct client *c); /* something ended: is the stop complete? */

/* client_session.c */
void client_session_start(struct client *c);
void client_session_stop(struct client *c);
void client_session_lost(struct client *c, struct session_id s);
/* the master on conn does not lead or is gone: try the next.  why: E_NOT_LEADER with who leads
 * instead, if it said so; or what else happened */
void client_session_rotate(struct client *c, struct rpc_conn *conn, int why, const void *hint,
                           uint32_t hint_len);
void client_session_on_call(struct rpc_host *h, struct rpc_token t, uint16_t method,
                            const void *body, uint32_t len);
void client_session_on_close(struct rpc_host *h, struct rpc_conn *conn);
static inline bool client_leased(const struct client *c)
{
    return c->session.v && env_now_ns(c->env) < c->lease_until_ns;
}

/* client_fs.c */
void client_fs_pump(struct client *c);
void client_fs_queue(struct client_req *r);
void client_fs_stop(struct client *c);
void client_fs_session_lost(struct client *c, struct session_id s);
void client_fs_wake(struct list *waiting); /* client_fsr that waited for a file */
void client_fs_internal(struct client *c, struct client_req *r); /* never from cache */

/* client_cache.c */
int client_cache_init(struct client *c) MUST_CHECK;
void client_cache_free(struct client *c);
/* true: r->reply is the answer */
bool client_cache_answer(struct client *c, struct client_req *r);
/* May a change of our own that is under way make an answer to op old, with the attributes of inode
 * `shown` (0: none)? */
bool client_cache_in_doubt(struct client *c, const struct fsop *op, uint64_t shown);
/* keeps what an answer says until until_ns; false when it was invalidated since `stamp` */
bool client_cache_learn(struct client *c, const struct fsop *op, const struct fsop_reply *rep,
                        uint64_t stamp, int64_t until_ns);
/* was nothing that the answer speaks of invalidated since `stamp`? */
bool client_cache_is_news(struct client *c, const struct fsop *op, const struct fsop_reply *rep,
                          uint64_t stamp);
void client_cache_own(struct client *c, const struct fsop *op, const struct fsop_reply *rep);
/* drops what a standby's answer contradicts */
void client_cache_aside(struct client *c, const struct fsop *op, const struct fsop_reply *rep);
/* drops what an answer contradicts that is not kept itself */
void client_cache_unkept(struct client *c, const struct fsop *op, const struct fsop_reply *rep);
void client_cache_inval(struct client *c, const struct rpc_inval *i);
void client_cache_inval_all(struct client *c);
bool client_cache_check(const struct client *c, char *err_text, size_t cap);

/* client_file.c */
struct cfile *client_file_find(const struct client *c, struct ino ino);
int client_file_from_cache(struct client *c, struct client_req *r, const struct fsattr *a,
                           uint16_t mount, const char *path, uint32_t path_len);
/* the op of the phase that an OPEN is in */
void client_file_wire(struct client_req *r, struct fsop *w);
/* an answer to the current phase, or its failure */
enum client_open_next client_file_answer(struct client_req *r);
/* a file was made, and perhaps opened with it */
enum client_open_next client_file_created(struct client_req *r);
/* another open or close of the file ended */
enum client_open_next client_file_resume(struct client_req *r);
void client_file_inval(struct client *c, const struct rpc_inval *i);
void client_file_session_lost(struct client *c);
void client_file_epoch_changed(struct client *c);
void client_file_overlay(const struct client *c, struct fsattr *a);
void client_file_seen(struct client *c, const struct fsattr *a, int64_t asked_ns);
void client_file_own(struct client *c, const struct fsop *op, const struct fsop_reply *rep);
/* what is there now was not synced, not even by a sync that is under way */
void client_file_changed(struct cfile *cf);
void client_file_refresh(struct cfile *cf);
/* 0: go on; 1: waits on cf->ios; else an error */
int client_file_ready(struct client_io *io, bool to_write);
/* Nothing of it may be read yet: who wants to waits on cf->ios or cf->pieces. */
bool client_file_is_young(struct client_file *f);
/* may a write begin now?  0; 1: not before the file's request is answered: wait, then _ask; or an
 * error */
int client_file_may_write(struct client_file *f);
void client_file_ask(struct cfile *cf);
/* no place to append to was given: only who has opened the file for writing gets one */
void client_file_no_place(struct client *c, struct ino ino);
void client_file_release(struct client_io *io);
void client_file_release_late(struct client_io *io); /* its deadline passed */
void client_file_unref(struct client_file *f);
void client_file_stop(struct client *c);

/* client_io.c */
void client_io_step(struct client_io *io);
void client_io_piece_done(struct client_piece *p); /* p is given back */
void client_io_piece_lost(struct client_io *io);   /* a piece was given up */
void client_io_fail(struct client_io *io, int err);
void client_io_wake(struct list *waiting); /* client_ior.wait */
void client_io_finish(struct client_io *io, int64_t ret);
void client_io_stop(struct client *c);

/* client_piece.c */
struct client_piece *client_piece_get(struct client_file *f, int kind); /* NULL: none free */
void client_piece_start(struct client_piece *p);
void client_piece_give_up(
    struct client_piece *p); /* of a write: ends when nothing can come any more */
/* places in the file are void; true: and nothing is on its way to one */
bool client_piece_void(struct client *c, struct ino ino);
/* all places are: what was begun is called off, so that it is over RPC_WRITE_VALID_MS later */
void client_piece_void_all(struct client *c);
void client_piece_cancel(struct client_piece *p);      /* nobody waits for it any more */
void client_piece_wake(struct list *waiting, int err); /* client_piece.wait */
void client_piece_put(struct client_piece *p);

/* client_readahead.c */
void client_readahead_note(struct client_file *f, uint64_t off, uint32_t len);
void client_readahead_fill(struct client_file *f);
struct client_ra *client_readahead_find(struct client_file *f, uint64_t off);
/* where the next range that is read ahead begins after off, or UINT64_MAX */
uint64_t client_readahead_next(struct client_file *f, uint64_t off);
void client_readahead_used(struct client_ra *ra, uint64_t off, uint32_t n);
/* the bytes, which stay until client_give_back() */
const void *client_readahead_lend(struct client_ra *ra, uint64_t off, uint32_t n);
void client_readahead_done(struct client_piece *p);
void client_readahead_lost(struct client_ra *ra); /* its piece was given up */
void client_readahead_drop(struct client_file *f);
void client_readahead_free(struct client *c);

/* client_pages.c */
int client_pages_init(struct client *c) MUST_CHECK;
/* answers what it can of a read; true when the request must wait */
bool client_pages_take(struct client_io *io, uint64_t limit);
void client_pages_give_back(struct client_page *g);
void client_pages_done(struct client_piece *p);
void client_pages_lost(struct client_page *g); /* its piece was given up */
void client_pages_release(const struct client_file *f);
bool client_pages_check(const struct client *c);
void client_pages_free(struct client *c);

/* client_local.c */
void client_local_init(struct client *c);

/* client_worker.c */
void client_worker_list(struct client *c, const struct rpc_beat_reply *b);
/* the first choice for a range of a file that was not tried yet, the suspects last; or NULL */
struct client_worker *client_worker_pick(struct client *c, struct ino ino, uint64_t off,
                                         const struct worker_id *tried, uint32_t n_tried);
struct client_worker *client_worker_find(struct client *c, struct worker_id id);
void client_worker_connect(struct client_worker *w);
void client_worker_suspect(struct client_worker *w);
void client_worker_closed(struct client_worker *w);
void client_worker_free(struct client *c);
/* 0 with *ret_u; 1: asked for, wait on c->mount_waiting; or an error */
int client_worker_ufs(struct client *c, uint16_t mount, struct ufs **ret_u);
void client_worker_learn_mounts(struct client *c);

#endif
