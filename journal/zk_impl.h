/* journal/zk_impl.h - the inside of the ZooKeeper client; zk_client.h is its outside.
 *
 * zk_client.c has the calls, zk_session.c the connection and what keeps a session, zk_watch.c the
 * watches.
 *
 *   link:  DOWN --timer--> DIALLING --connected--> GREETING --ConnectResponse--> UP
 *           ^                 |                       |                          |
 *           +-----------------+---zk_session_lost-----+--------------------------+
 *          UP --zk_stop--> CLOSING --closed--> the end
 *
 * INVARIANTS
 *  1. A call that is not done has one slot, on waiting or on sent; what is on sent went out on this
 *     connection, in that order, and is answered in that order.  DOWN, DIALLING, GREETING: sent is
 *     empty.
 *  2. A slot without a call was given up by its deadline, and keeps its place until its answer or
 *     the loss of the connection.
 *  3. A watch that is armed is on one of armed[] or on firing, one that is asked for belongs to the
 *     call of one slot; n_watches counts both.
 *  4. Nothing is freed but in the turn of an op of its own (zk_stop), so callbacks may do anything;
 *     whoever called one looks again at link and lists. */
#ifndef JOURNAL_ZK_IMPL_H
#define JOURNAL_ZK_IMPL_H

#include "core/fmt.h"
#include "journal/zk_client.h"

#define ZK_MS 1000000LL

enum zk_link { ZK_LINK_DOWN, ZK_LINK_DIALLING, ZK_LINK_GREETING, ZK_LINK_UP, ZK_LINK_CLOSING };
enum zk_kind { ZK_KIND_DATA, ZK_KIND_EXIST, ZK_KIND_CHILD, ZK_KINDS };

struct zk_slot {
    struct list link;
    struct env_timer timer; /* the call's deadline */
    struct zk *z;
    struct zk_call *call;
    int32_t xid, what;
    uint32_t bytes; /* of its packet */
    int64_t sent_clock_ns;
};

struct zk_secret {
    char scheme[32];
    uint32_t scheme_len, len;
    uint8_t bytes[ZK_AUTH_BYTES];
};

struct zk {
    struct env *env;
    struct mem *mem;
    struct zk_config cfg;
    struct zk_host *host;
    struct zk_address address;
    uint32_t root_len;
    enum zk_state state;
    enum zk_link link;
    int why;

    struct env_peer peer;
    struct env_op dial;
    struct env_timer timer; /* DOWN: when to dial; else what becomes of silence */
    uint32_t server, tried; /* attempts since the last ConnectResponse */
    uint32_t shut, unfound; /* of those of this round: closed without a word; without an address */
    bool is_probing,
        is_probed; /* this round asks (zk_session.c, 6); the session for that is there */
    int64_t older_zxid;
    int64_t backoff_ns, attempt_end_ns;

    int64_t session, timeout_ns, zxid;
    uint8_t password[ZK_PASSWORD];
    int64_t heard_ns, spoke_ns; /* last bytes from, and to, the server */
    int64_t heard_clock_ns, greet_clock_ns, ping_clock_ns;
    bool ping_out;
    uint32_t auths_out;

    int32_t xid, close_xid;
    struct pool slots;
    struct list waiting, sent;
    uint32_t n_calls, n_sent, calls_bytes, window;

    struct list armed[ZK_KINDS], firing;
    uint32_t n_watches;
    int64_t rearm_zxid;  /* from which on the watches were armed again on this connection */
    uint32_t rearms_out; /* SET_WATCHES without an answer */
    bool is_rearmed;     /* all of them were answered, or none was needed */

    struct zk_secret secret[ZK_AUTHS_MAX];
    uint32_t n_secrets;
    bool has_digest;

    uint8_t *in, *out; /* each of io_cap bytes: a packet that comes in pieces, one to be sent */
    uint32_t in_len, io_cap;

    struct env_op *stop_op; /* the user's */
    struct env_op turn;     /* begins the stop, and ends it */
    bool closes_session, is_ending;
    int stop_ret;

    uint64_t attempts, connects, losses, events, answers;
};

/* --- zk_client.c --- */

void zk_client_pump(struct zk *z);
/* the answer to the first of z->sent; E_PROTO: it does not fit what was asked, nothing was done */
int zk_client_answer(struct zk *z, const struct zk_reply *a);
void zk_client_end_sent(struct zk *z, int ret);
void zk_client_end_waiting(struct zk *z, int ret);
/* what zk_stop waits for is over */
void zk_client_stopped(struct zk *z, int ret);
/* a path of a server below the chroot; false: it is not below it */
bool zk_client_strip(const struct zk *z, const char **path, uint32_t *len);

/* --- zk_session.c --- */

void zk_session_open(struct zk *z);
void zk_session_send(struct zk *z, const struct wbuf *w);
void zk_session_auth(struct zk *z, const struct zk_secret *s);
/* the connection is of no use: what was sent is answered, and another server is tried */
void zk_session_lost(struct zk *z, int why, const char *what);
/* a terminal state */
void zk_session_end(struct zk *z, enum zk_state state, int why);
/* closes the session, then zk_client_stopped */
void zk_session_close(struct zk *z);

/* --- zk_watch.c --- */

bool zk_watch_kind(int32_t what, uint8_t *ret_kind); /* false: that has no watch */
/* false: no memory for its path */
bool zk_watch_ask(struct zk *z, struct zk_watch *w, const char *path, uint8_t kind);
void zk_watch_answered(struct zk *z, struct zk_watch *w, int32_t err);
void zk_watch_dropped(struct zk *z, struct zk_watch *w); /* asked for, or armed; now idle */
void zk_watch_drop_all(struct zk *z);
void zk_watch_event(struct zk *z, const struct zk_reply *a);
void zk_watch_rearm(struct zk *z);

#endif
