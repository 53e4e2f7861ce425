/* cluster/rpc.h - calls and answers over env frames, both ways on one connection.
 *
 * Frames: RPC_FRAME_CALL {u16 method, u16 0, u32 id, body}, RPC_FRAME_REPLY {i32 err, u32 id,
 * body}. Many calls may be outstanding; answers come in any order.
 *
 * INVARIANTS
 *  1. A call is done exactly once: its answer, its deadline (E_TIMEOUT), or the loss of the
 *     connection (E_CLOSED).  After a cancel it is not done at all.
 *  2. A late answer to a call that is over is dropped.
 *  3. A handler answers by token at any later time; if the connection has gone meanwhile the answer
 *     is dropped.
 *  4. At most `calls_max` calls wait per connection; one more is done with E_AGAIN.
 *  5. A connection that somebody made and that begins with a frame of another kind goes to the peer
 *     that on_foreign names, that frame first; its place here is free again.  Later frames of other
 *     kinds, and all without such a peer, end the connection. */
#ifndef CLUSTER_RPC_H
#define CLUSTER_RPC_H

#include "core/env.h"
#include "core/mem.h"

/* Bodies: cluster/rpc_format.h. */
enum rpc_method {
    /* client or command line -> master */
    RPC_FS = 1,           /* fsop -> fsop_reply */
    RPC_SESSION_BEAT = 2, /* rpc_beat -> rpc_beat_reply */
    RPC_STATUS = 3,       /* empty -> text, lines "key value\n", keys dotted */
    RPC_ADMIN = 4,        /* rpc_admin -> text */
    RPC_LOCATION = 5,     /* rpc_file -> rpc_location */
    RPC_CHANGE = 6,       /* rpc_change -> empty: of the group of masters; done when it is whole */
    RPC_BACKUP =
        7, /* rpc_backup -> bytes of a state image's file; fewer than LIMIT_BATCH: its end */
    /* master -> client, on the connection that the client made */
    RPC_INVALIDATE = 16, /* rpc_inval... -> empty, sent when every cache dropped it */
    RPC_HOLDS = 17,      /* rpc_inos -> rpc_inos: those of them that this client holds open */
    RPC_PLACES = 18, /* rpc_inos (one) -> empty: places to append to in it that were given so far
                        are void, and nothing is on its way to one; E_AGAIN: something is */
    /* worker -> master */
    RPC_WORKER_BEAT = 32, /* rpc_worker_beat -> rpc_worker_beat_reply */
    /* client, worker -> worker */
    RPC_READ = 48,  /* rpc_io -> rpc_io_reply; the bytes come by rma WRITE before the answer */
    RPC_WRITE = 49, /* rpc_io -> rpc_io_reply; the worker pulls the bytes by rma READ */
    RPC_SYNC = 50,  /* rpc_io -> empty */
    RPC_LOAD = 51,  /* rpc_io without a key -> rpc_io_reply: bring the pages into the cache */
    RPC_LOCAL = 53, /* rpc_local -> rpc_local_reply: a whole file for a process of the same host */
    RPC_ALLOC = 55, /* rpc_io -> rpc_io_reply; the worker pulls an rpc_alloc by rma READ: who asked
                       can revoke it, so that it does not come late */
    /* anybody -> worker */
    RPC_WORKER_STATUS = 52, /* empty -> text as RPC_STATUS */
    /* master -> worker, on the connection that the worker made */
    RPC_FREE = 64, /* rpc_free -> empty: cached pages of older versions (or all) may go */
};

enum { RPC_FRAME_CALL = 1, RPC_FRAME_REPLY = 2, RPC_BODY_MAX = ENV_FRAME_MAX - 64 };

struct rpc_conn;

/* Calls of one method, in one direction (rpc_count.c).  Bytes are those of bodies. */
enum { RPC_COUNTS = 24, RPC_TIMES = 12 };
struct rpc_count {
    uint64_t calls, errors, bytes_in, bytes_out;
    uint64_t ns, within[RPC_TIMES], longer; /* of those that ended; within: no shorter bound fits */
};

/* The caller's side of one call; embed it, zero it before its first use.  op.ret is 0 or a negative
 * E_*.  It may be used again from op.done on. */
struct rpc_call {
    struct env_op op;
    const void *reply; /* body; valid only during op.done; may come with an error too */
    uint32_t reply_len;
    uint32_t id;
    uint16_t method;
    int64_t began_ns;
    struct env_timer deadline;
    struct env *env; /* set while the call is under way */
    struct rpc_conn *conn;
    struct list link;
};

/* Names the call that a handler will answer. */
struct rpc_token {
    struct rpc_conn *conn;
    uint64_t conn_serial;
    uint32_t id;
    uint16_t method;
    int64_t came_ns;
};

/* The owner of connections: gets the other side's calls and the news of their loss. */
struct rpc_host {
    struct env *env;
    struct mem *mem;
    uint32_t conns_max, calls_max;
    /* body is valid only during the call; answer now or later with rpc_reply, exactly once */
    void (*on_call)(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                    uint32_t len);
    void (*on_open)(struct rpc_host *h, struct rpc_conn *c); /* accepted ones; may be NULL */
    void (*on_close)(struct rpc_host *h,
                     struct rpc_conn *c); /* after its calls ended; may be NULL */
    /* whose connections begin with frames of this type; NULL: nobody's; may be NULL itself.  from
     * names the other end, for logs. */
    struct env_peer *(*on_foreign)(struct rpc_host *h, uint16_t type, const char *from);
    /* rpc.c's own */
    struct env_acceptor acceptor;
    struct pool conns;
    struct list open; /* established and not yet closed; empty in the last on_close */
    uint64_t serial;
    int64_t full_said_ns; /* no line about a refused connection before this */
    uint64_t full_unsaid;
    bool listening, closed;
    struct rpc_count came[RPC_COUNTS], went[RPC_COUNTS]; /* answered by us; made by us */
};

/* Set on_* before.  E_NOMEM. */
int rpc_host_init(struct rpc_host *h, struct env *e, struct mem *m, uint32_t conns_max,
                  uint32_t calls_max) MUST_CHECK;
void rpc_listen(struct rpc_host *h, const char *addr, struct env_op *op);
/* hangs up every connection; outstanding calls end with E_CLOSED on a later turn */
void rpc_host_close(struct rpc_host *h);
/* gives its memory back; only when no connection is open or being made */
void rpc_host_free(struct rpc_host *h);

/* *ret_conn is set when op is done with 0; it is valid until on_close. */
void rpc_connect(struct rpc_host *h, const char *addr, int64_t timeout_ns, struct env_op *op,
                 struct rpc_conn **ret_conn);
void rpc_hangup(struct rpc_conn *c); /* on_close follows on a later turn */
/* deadline_ns is absolute, by env_now_ns; the body is copied */
void rpc_call(struct rpc_conn *c, uint16_t method, const void *body, uint32_t len,
              int64_t deadline_ns, struct rpc_call *call);
void rpc_cancel(struct rpc_call *call); /* no-op when it is over */
void rpc_reply(struct rpc_token t, int err, const void *body, uint32_t len);
struct env_conn *rpc_env_conn(struct rpc_conn *c);   /* for rma and backlog; NULL when lost */
struct rpc_conn *rpc_token_conn(struct rpc_token t); /* NULL when it has gone */
void **rpc_conn_tag(struct rpc_conn *c);             /* a pointer for the owner's use */

/* rpc_count.c */
struct rpc_count *rpc_count_of(struct rpc_count all[RPC_COUNTS], uint16_t method);
void rpc_count_done(struct rpc_count *c, int err, int64_t took_ns);
const char *rpc_count_name(unsigned i); /* "fs"; 0: methods without a name */
int64_t rpc_time_ns(unsigned i);        /* the bound of within[i] */

/* A connection kept up by need: a call made while it is down waits for it, within its deadline.
 * Reconnects with back-off and jitter, which end only with a connection that has lasted a while: a
 * peer that accepts and closes at once is not hammered; a refused or lost connection fails over to
 * nothing else.  A call that was sent when the connection is lost ends with E_CLOSED.  The link
 * must live until the host is closed (a connection being made ends in it). */
struct rpc_link {
    struct rpc_host *host;
    const char *addr; /* must live as long as the link */
    struct rpc_conn *conn;
    struct env_op connecting;
    struct env_timer retry;
    bool is_connecting, closed;
    int last_err; /* why it is down */
    int64_t backoff_ns, up_since_ns;
    uint64_t connects; /* how often it came up */
    struct list waiting;
};

/* A call that may wait for the link; zero it before its first use; body must live until done. */
struct rpc_link_call {
    struct rpc_call call; /* call.op is the link's own */
    uint16_t method;
    const void *body;
    uint32_t len;
    int64_t deadline_ns;
    struct rpc_link *on;
    struct env_op op; /* what the caller waits for: op.ret, call.reply, call.reply_len */
};

void rpc_link_init(struct rpc_link *l, struct rpc_host *h, const char *addr);
void rpc_link_call(struct rpc_link *l, uint16_t method, const void *body, uint32_t len,
                   int64_t deadline_ns, struct rpc_link_call *call);
void rpc_link_cancel(struct rpc_link_call *call);
/* waiting calls end with E_CLOSED on a later turn; the connection is hung up */
void rpc_link_close(struct rpc_link *l);

#endif
