/* journal/zk_client.h - a client of Apache ZooKeeper on the door (core/env.h): one session, its
 * calls and its watches.  The same code runs in the simulator and against real servers.
 *
 *     static void got(struct env_op *op)
 *     {
 *         struct zk_call *c = container_of(op, struct zk_call, op);
 *         if (!op->ret)
 *             use(c->reply.data, c->reply.data_len, c->reply.stat.version);
 *     }
 *     ...
 *     struct zk_config cfg = zk_config_default();
 *     cfg.connect = "h1:2181,h2:2181,h3:2181/tarn";
 *     if (zk_open(env, mem, &cfg, &host, &zk, why, sizeof why))     // host.state: how it goes
 *         complain(why);
 *     call = (struct zk_call){.op.done = got, .what = ZK_OP_GET_DATA, .path = "/x",
 *                             .deadline_ns = env_now_ns(env) + 5000000000};
 *     zk_submit(zk, &call);                                         // also before it is connected
 *
 * CONTRACT
 *  1. A call is answered once, by op.done, later; until then the call and all that it points to is
 *     the client's.  What reply points to is valid inside done only.
 *  2. op.ret is 0, or what the server's error comes closest to, with reply.err as it came; then
 *     is_answered is true.  Else no answer came:  E_CLOSED the connection was lost, E_TIMEOUT the
 *     deadline passed, E_SESSION_EXPIRED, E_AUTH, E_CANCELLED (zk_stop), E_AGAIN (too many calls
 *     wait), E_TOOBIG, E_NOMEM, E_INVAL (a bad path, ...).  If is_sent is true then, nobody knows
 * whether it happened: THE OUTCOME IS UNKNOWN; else it has not and will not.  Nothing is ever sent
 * twice.
 *  3. Calls are carried out in the order of zk_submit.  Those that were not sent wait for the next
 *     connection, or their deadline.
 *  4. Dones and watches come in the order in which the server said these things, so who reads what
 *     a watch is about has been told of the watch's event before.
 *  5. A watch is armed by the answer to its call, and by nothing else: by success, or of EXISTS by
 *     ZK_ERR_NO_NODE.  It fires once.  It outlives connections: a new one arms it again, at the
 *     zxid from which on it has been armed, before any waiting call is sent, so a change meanwhile
 *     fires it.  It may fire for a change that its call saw already.  It does not outlive the
 *     session: after ZK_EXPIRED, ZK_AUTH_FAILED and ZK_CLOSED no watch is armed.
 *  6. ZK_EXPIRED is only ever what servers said: that the session is over, or that the ensemble has
 *     lost what was seen of it (older_zxid; then no server takes the session any more, though what
 *     it made may be there until its time is over).  It is terminal: open another client.
 *  7. No callback comes from within zk_open, zk_submit, zk_unwatch, zk_auth, zk_stop.  A callback
 *     may call any of them.
 *  8. Memory is that of zk_open; calls and watches are the caller's.  Passwords are never logged.
 *
 * THE CLOCK RULE: a session lasts at least until heard_clock_ns + timeout_ns, if its server tells
 * the others at once that it heard of the client.  It does so within half a tick, and not at all if
 * it dies first; clocks drift; and code may be stopped between the look and the act.  So this says
 * when to stop of one's own accord, and never that one is still the only one: nothing but a fence
 * does that. */
#ifndef JOURNAL_ZK_CLIENT_H
#define JOURNAL_ZK_CLIENT_H

#include "core/env.h"
#include "core/mem.h"
#include "journal/zk_address.h"
#include "journal/zk_proto.h"

/*   zk_open                  a ConnectResponse
 *  ---------> ZK_CONNECTING ------------------> ZK_CONNECTED <----------+
 *                                connection lost |          | a ConnectResponse
 *                                                v          |
 *             ZK_EXPIRED <--- a server says so - ZK_SUSPENDED
 *   any of these four: ZK_AUTH_FAILED when a server refuses credentials, ZK_CLOSED by zk_stop */
enum zk_state {
    ZK_CONNECTING, /* no session yet */
    ZK_CONNECTED,
    ZK_SUSPENDED, /* there may be a session; no server */
    ZK_EXPIRED,
    ZK_AUTH_FAILED,
    ZK_CLOSED,
};

struct zk;

struct zk_host {
    /* why: an E_* that led there, or 0.  Comes after the dones of calls that it ends (SUSPENDED:
     * those that were sent; terminal: all), and before any done on the new connection. */
    void (*state)(struct zk_host *h, enum zk_state state, int why);
};

struct zk_config {
    const char *connect;    /* zk_address.h */
    const char *digest;     /* "user:password": nodes created without an ACL are this user's, and
                               every server is told before any call; NULL or "": open to the world */
    int64_t timeout_ns;     /* of the session, as wanted; servers bound it.  Default 4 s */
    uint32_t calls_max;     /* that are not done; default 256 */
    uint32_t calls_bytes;   /* of their packets; default 4 MiB */
    uint32_t window_bytes;  /* of those sent and unanswered, but one is always; default 1 MiB */
    uint32_t watches_max;   /* armed, and of calls; default 256 */
    uint32_t frame_max;     /* bytes of a packet; default and at most ZK_FRAME_MAX; twice that
                               much memory is taken */
    int64_t backoff_min_ns; /* between rounds over all servers; default 20 ms, doubling up to */
    int64_t backoff_max_ns; /* default 1 s */
};

enum {
    ZK_PATH_MAX = 1024, /* bytes of a path, chroot included */
    ZK_MULTI_MAX = 128,
    ZK_AUTHS_MAX = 4,
    ZK_AUTH_BYTES = 256,
    ZK_FRAME_MIN = 16 * 1024,
};

enum zk_watch_state { ZK_WATCH_IDLE, ZK_WATCH_ASKED, ZK_WATCH_ARMED };

/* Zero it; the owner's, and must live as long as it is not idle. */
struct zk_watch {
    void (*fired)(struct zk_watch *w, enum zk_event event); /* it is idle before */
    /* the client's */
    char *path; /* a copy */
    enum zk_watch_state state;
    uint8_t kind;
    struct list link;
};

/* One operation of a MULTI: CREATE, CREATE2, DELETE, SET_DATA, CHECK. */
struct zk_multi {
    int32_t what; /* enum zk_op */
    const char *path;
    const void *data;
    uint32_t data_len;
    int32_t version, flags;
    struct zk_list acl;
    struct zk_reply reply; /* err, path, stat; of CREATE2 servers may leave the stat out */
};

struct zk_call {
    struct env_op op;
    /* enum zk_op: CREATE, CREATE2, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL,
     * GET_CHILDREN, GET_CHILDREN2, SYNC, MULTI, WHO_AM_I */
    int32_t what;
    const char *path; /* "/a/b", ended by NUL; below the chroot */
    bool is_absolute; /* not below it: to make the chroot.  No watch then, and no MULTI */
    const void *data; /* NULL: null */
    uint32_t data_len;
    int32_t version;    /* -1: any.  0 is a version */
    int32_t flags;      /* enum zk_create */
    struct zk_list acl; /* none: open to the world, or the digest's user's */
    struct zk_watch *watch;
    struct zk_multi *ops; /* n_ops of them; all are done, or none */
    uint32_t n_ops;
    int64_t deadline_ns; /* by env_now_ns; 0: none but the session's end */
    /* when done */
    struct zk_reply reply; /* paths are below the chroot.  Of a MULTI that failed, err is that of
                              the operation at fault */
    bool is_sent, is_answered;
    uint32_t fault; /* of a MULTI that failed: which operation */
};

/* for another call, with the same done */
static inline void zk_call_renew(struct zk_call *c)
{
    *c = (struct zk_call){.op.done = c->op.done};
}

struct zk_status {
    enum zk_state state;
    int why;            /* that ended the last connection, or kept the next from coming */
    int64_t session;    /* 0: none yet */
    int64_t timeout_ns; /* as negotiated; before: as wanted */
    char server[ENV_ADDR_MAX];
    int64_t zxid;       /* last one seen */
    int64_t older_zxid; /* not 0: the ensemble was there after zxid, and has lost what it had */
    int64_t
        heard_clock_ns; /* by env_clock_ns: when that was sent which a server answered last; 0 */
    uint32_t calls, sent, watches;
    uint64_t attempts, connects, losses, events, answers;
};

struct zk_config zk_config_default(void);

/* 0, E_CONFIG or E_NOMEM with a sentence in why (may be NULL with 0) */
int zk_open(struct env *e, struct mem *m, const struct zk_config *cfg, struct zk_host *host,
            struct zk **ret_z, char *why, size_t why_cap) MUST_CHECK;
void zk_submit(struct zk *z, struct zk_call *c);
/* w is idle, whatever it was; a call that it belongs to goes on without it.  The server is not
 * told: its event, if it comes, is nobody's. */
void zk_unwatch(struct zk *z, struct zk_watch *w);
/* Credentials of this and all later connections, known to the server before any call that is sent
 * later.  Of scheme "digest": "user:password".  0, E_NOSPC or E_TOOBIG. */
int zk_auth(struct zk *z, const char *scheme, const void *secret, uint32_t len);
void zk_status(const struct zk *z, struct zk_status *ret_status);
/* Ends what was not sent with E_CANCELLED; then, if there is a connection and closes_session, waits
 * for the answers under way and closes the session, which removes its ephemeral nodes; else what
 * was sent ends with E_CANCELLED, too, and the session is left to expire.  Then comes ZK_CLOSED,
 * and op is done and z is gone.  ret 0; or E_TIMEOUT: the session was to be closed, and nobody
 * knows whether it is. */
void zk_stop(struct zk *z, bool closes_session, struct env_op *op);

const char *zk_state_name(enum zk_state s); /* "connected" */

#endif
