/* journal/zk_proto.h - the ZooKeeper client protocol as structs and as bytes, for both sides.
 *
 * One struct for what a client asks, one for what a server says, one enum of operations, one encode
 * and one decode for each direction.  A client encodes requests and decodes replies; a server (the
 * simulator's model) does the opposite.
 *
 * Format (jute; big-endian): every packet is int32 length, then the body.  A string or buffer is
 * int32 length and bytes, -1 being null; a vector int32 count and its elements, -1 being null; a
 * bool one byte.  The first packet each way is ConnectRequest and ConnectResponse; later ones begin
 * with (xid, op) or with (xid, zxid, err), and the body of a reply is there only if err is 0.
 *
 * INVARIANTS
 *  1. decode(encode(x)) == x for all fields that x.op has; those that it has not are zero.
 *  2. A decoder reads only inside what it is given, takes any bytes, and says 0 or E_PROTO.  Every
 *     count is held against the bytes that are there before anything is made of it.
 *  3. An encoder that runs out of room, or would make a packet beyond ZK_FRAME_MAX, sets w->bad.
 *  4. Bytes behind the last field are E_PROTO; only the two connect packets, and replies with an
 *     error, may have more: newer ones had.
 *
 * Ownership: decoded pointers (path, data, lists) point into the decoded bytes.  Lists stay as
 * bytes and are walked by the *_next functions, so nothing here has a bound of its own but the
 * packet's.  A list that was walked once by the decoder is known to be sound: walking cannot fail.
 *
 * Encode packets:  wbuf w = wbuf_make(buf, cap); zk_proto_request_put(&w, &req);  -> w.p, w.len
 * Cut packets:     n = zk_proto_frame(bytes, len, max);  n > 0: the packet is bytes[4..n) */
#ifndef JOURNAL_ZK_PROTO_H
#define JOURNAL_ZK_PROTO_H

#include "core/buf.h"
#include "core/err.h"

enum {
    ZK_FRAME_HEAD = 4,                 /* the length in front of each packet */
    ZK_FRAME_MAX = 1024 * 1024 + 1024, /* most bytes of a body */
    ZK_REQUEST_MAX = 0xfffff,      /* of a request, as servers are set up; beyond it they hang up */
    ZK_PASSWORD = 16,              /* bytes of a session's password */
    ZK_WATCHES_BATCH = 128 * 1024, /* of one SETWATCHES, as other clients have it */
};

enum zk_op {
    ZK_OP_NONE = 0,         /* NOTIFICATION; no request */
    ZK_OP_CREATE = 1,       /* path, data, acl, flags: enum zk_create -> path */
    ZK_OP_DELETE = 2,       /* path, version */
    ZK_OP_EXISTS = 3,       /* path, watch -> stat */
    ZK_OP_GET_DATA = 4,     /* path, watch -> data, stat */
    ZK_OP_SET_DATA = 5,     /* path, data, version -> stat */
    ZK_OP_GET_ACL = 6,      /* path -> acl, stat */
    ZK_OP_SET_ACL = 7,      /* path, acl, version (of the ACL) -> stat */
    ZK_OP_GET_CHILDREN = 8, /* path, watch -> children */
    ZK_OP_SYNC = 9,         /* path -> path */
    ZK_OP_PING = 11,
    ZK_OP_GET_CHILDREN2 = 12, /* path, watch -> children, stat */
    ZK_OP_CHECK = 13,         /* path, version; inside a MULTI only */
    ZK_OP_MULTI = 14,         /* ops: CREATE, CREATE2, DELETE, SET_DATA, CHECK -> results */
    ZK_OP_CREATE2 = 15,       /* as CREATE -> path, stat */
    ZK_OP_RECONFIG = 16,      /* not decoded: body stays in data, both ways */
    ZK_OP_CHECK_WATCHES = 17, /* path, flags: enum zk_watcher */
    ZK_OP_REMOVE_WATCHES = 18,
    ZK_OP_CREATE_CONTAINER = 19,         /* as CREATE2 */
    ZK_OP_DELETE_CONTAINER = 20,         /* path; servers among themselves */
    ZK_OP_CREATE_TTL = 21,               /* as CREATE2, ttl_ms */
    ZK_OP_MULTI_READ = 22,               /* ops: GET_DATA, GET_CHILDREN -> results */
    ZK_OP_AUTH = 100,                    /* flags: 0, scheme, data */
    ZK_OP_SET_WATCHES = 101,             /* zxid; data_watches, exist_watches, child_watches */
    ZK_OP_SASL = 102,                    /* data -> data */
    ZK_OP_GET_EPHEMERALS = 103,          /* path: prefix -> children */
    ZK_OP_GET_ALL_CHILDREN_NUMBER = 104, /* path -> number */
    ZK_OP_SET_WATCHES2 = 105, /* as SET_WATCHES; and persistent_watches, recursive_watches */
    ZK_OP_ADD_WATCH = 106,    /* path, flags: 0 persistent, 1 recursive */
    ZK_OP_WHO_AM_I = 107,     /* -> children: scheme, id, scheme, id, ... */
    ZK_OP_CREATE_SESSION = -10,
    ZK_OP_CLOSE_SESSION = -11,
    ZK_OP_ERROR = -1, /* in the results of a MULTI: err */
};

/* xids of packets that are answers to no numbered request */
enum zk_xid { ZK_XID_EVENT = -1, ZK_XID_PING = -2, ZK_XID_AUTH = -4, ZK_XID_SET_WATCHES = -8 };

enum zk_create {
    ZK_CREATE_PERSISTENT = 0,
    ZK_CREATE_EPHEMERAL = 1,
    ZK_CREATE_SEQUENTIAL = 2, /* a bit: of both above */
    ZK_CREATE_EPHEMERAL_SEQUENTIAL = 3,
    ZK_CREATE_CONTAINER = 4,
    ZK_CREATE_TTL = 5,
    ZK_CREATE_TTL_SEQUENTIAL = 6,
};

static inline bool zk_proto_is_sequential(int32_t flags)
{
    return flags == ZK_CREATE_SEQUENTIAL || flags == ZK_CREATE_EPHEMERAL_SEQUENTIAL ||
           flags == ZK_CREATE_TTL_SEQUENTIAL;
}

enum zk_watcher { ZK_WATCHER_CHILDREN = 1, ZK_WATCHER_DATA = 2, ZK_WATCHER_ANY = 3 };

enum zk_perm {
    ZK_PERM_READ = 1,
    ZK_PERM_WRITE = 2,
    ZK_PERM_CREATE = 4,
    ZK_PERM_DELETE = 8,
    ZK_PERM_ADMIN = 16,
    ZK_PERM_ALL = 31,
};

enum zk_event {
    ZK_EVENT_NONE = -1,
    ZK_EVENT_CREATED = 1,
    ZK_EVENT_DELETED = 2,
    ZK_EVENT_DATA = 3,
    ZK_EVENT_CHILDREN = 4,
    ZK_EVENT_DATA_REMOVED = 5, /* a watch, by REMOVE_WATCHES */
    ZK_EVENT_CHILD_REMOVED = 6,
    ZK_EVENT_PERSISTENT_REMOVED = 7,
};

/* a server's word for the state of a session, in events */
enum zk_keeper {
    ZK_KEEPER_DISCONNECTED = 0,
    ZK_KEEPER_CONNECTED = 3,
    ZK_KEEPER_AUTH_FAILED = 4,
    ZK_KEEPER_READ_ONLY = 5,
    ZK_KEEPER_EXPIRED = -112,
};

/* X(NAME, number, E_*, text): what a server answers, and what it comes closest to here */
/* clang-format off */
#define ZK_ERR_LIST(X) \
    X(OK, 0, E_OK, "ok") \
    X(SYSTEM, -1, E_IO, "system error of the server") \
    X(INCONSISTENCY, -2, E_IO, "another operation of the same multi failed") \
    X(DATA_INCONSISTENCY, -3, E_CORRUPT, "data inconsistency on the server") \
    X(CONNECTION_LOSS, -4, E_CLOSED, "connection to the server lost") \
    X(MARSHALLING, -5, E_PROTO, "the server could not read the request") \
    X(UNIMPLEMENTED, -6, E_NOTSUP, "the server does not know this operation") \
    X(TIMEOUT, -7, E_TIMEOUT, "operation timed out") \
    X(BAD_ARGUMENTS, -8, E_INVAL, "bad arguments") \
    X(UNKNOWN_SESSION, -12, E_SESSION_EXPIRED, "unknown session") \
    X(NEW_CONFIG_NO_QUORUM, -13, E_UNAVAILABLE, "no quorum of the new configuration") \
    X(RECONFIG_IN_PROGRESS, -14, E_BUSY, "another reconfiguration is under way") \
    X(API, -100, E_PROTO, "error of the protocol") \
    X(NO_NODE, -101, E_NOENT, "no such node") \
    X(NO_AUTH, -102, E_ACCES, "not permitted by the ACL") \
    X(BAD_VERSION, -103, E_CONFLICT, "the node has another version") \
    X(NO_CHILDREN_FOR_EPHEMERALS, -108, E_NOTDIR, "ephemeral nodes have no children") \
    X(NODE_EXISTS, -110, E_EXIST, "node exists") \
    X(NOT_EMPTY, -111, E_NOTEMPTY, "node has children") \
    X(SESSION_EXPIRED, -112, E_SESSION_EXPIRED, "session expired") \
    X(INVALID_CALLBACK, -113, E_INVAL, "invalid callback") \
    X(INVALID_ACL, -114, E_INVAL, "invalid ACL") \
    X(AUTH_FAILED, -115, E_AUTH, "authentication failed") \
    X(SESSION_MOVED, -118, E_AGAIN, "the session is served by another server") \
    X(NOT_READ_ONLY, -119, E_ROFS, "the server serves reads only") \
    X(EPHEMERAL_ON_LOCAL_SESSION, -120, E_INVAL, "a local session has no ephemeral nodes") \
    X(NO_WATCHER, -121, E_NOENT, "no such watch") \
    X(REQUEST_TIMEOUT, -122, E_TIMEOUT, "request timed out") \
    X(RECONFIG_DISABLED, -123, E_NOTSUP, "reconfiguration is switched off") \
    X(SESSION_CLOSED_REQUIRE_SASL, -124, E_AUTH, "the server demands SASL") \
    X(QUOTA_EXCEEDED, -125, E_DQUOT, "quota exceeded") \
    X(THROTTLED, -127, E_AGAIN, "the server has too much to do")
/* clang-format on */

enum zk_err {
#define ZK_ERR_ENUM(name, number, e, text) ZK_ERR_##name = number,
    ZK_ERR_LIST(ZK_ERR_ENUM)
#undef ZK_ERR_ENUM
};

struct zk_stat {
    int64_t czxid, mzxid; /* of the creation, of the last change of the data */
    int64_t ctime_ms, mtime_ms;
    int32_t version, cversion, aversion; /* of data, children, ACL */
    int64_t owner;                       /* session of an ephemeral node, or 0 */
    int32_t data_len, children;
    int64_t pzxid; /* of the last change of the children */
};

/* The elements of a vector as bytes: p[0..len) are n of them. */
struct zk_list {
    const uint8_t *p;
    uint32_t len, n;
};

struct zk_acl {
    int32_t perms;
    const char *scheme, *id;
    uint32_t scheme_len, id_len;
};

/* 31, "world", "anyone" */
extern const struct zk_list zk_proto_acl_open;
/* 31, "auth", "": of whoever the connection is authenticated as */
extern const struct zk_list zk_proto_acl_own;

struct zk_request {
    int32_t xid;
    int32_t op;       /* enum zk_op, or what came; unknown: body in data */
    const char *root; /* only to encode: goes before every path, "/x" or NULL; not before "/" */
    const char *path;
    uint32_t root_len, path_len;
    const void *data; /* NULL: null; not NULL with 0 bytes: empty */
    uint32_t data_len;
    int32_t version; /* -1: any */
    int32_t flags;   /* of CREATE*, type of a watch or of an AUTH */
    bool watch;
    int64_t ttl_ms;
    int64_t zxid; /* of SET_WATCHES: the last one seen */
    const char *scheme;
    uint32_t scheme_len;
    struct zk_list acl; /* zk_proto_acl_next */
    struct zk_list ops; /* of MULTI: zk_proto_op_next; to encode zk_proto_op_put */
    struct zk_list data_watches, exist_watches, child_watches; /* zk_proto_text_next */
    struct zk_list persistent_watches, recursive_watches;
};

struct zk_reply {
    int32_t xid;
    int32_t
        op; /* of the request.  In results: CREATE, CREATE2, DELETE, SET_DATA, CHECK, ERROR, ... */
    int64_t zxid;
    int32_t err;      /* enum zk_err, or what came */
    const char *path; /* also of an event */
    uint32_t path_len;
    const void *data;
    uint32_t data_len;
    struct zk_stat stat;
    struct zk_list acl;      /* zk_proto_acl_next */
    struct zk_list children; /* zk_proto_text_next */
    struct zk_list results;  /* of MULTI: zk_proto_result_next; to encode zk_proto_result_put */
    int32_t number;
    int32_t event, keeper; /* xid ZK_XID_EVENT: enum zk_event, enum zk_keeper */
};

struct zk_connect {
    int32_t protocol;
    int64_t zxid;       /* last one seen; the server has to be as far */
    int32_t timeout_ms; /* wanted */
    int64_t session;    /* 0: a new one */
    uint8_t password[ZK_PASSWORD];
    uint32_t password_len; /* 0 (also null) or ZK_PASSWORD */
    bool read_only;        /* a server without a quorum will do */
    bool is_old;           /* without that byte */
};

struct zk_connected {
    int32_t protocol;
    int32_t timeout_ms; /* 0 or less: the session is over */
    int64_t session;
    uint8_t password[ZK_PASSWORD];
    uint32_t password_len;
    bool read_only;
    bool is_old; /* without that byte */
};

/* Bytes of the first packet, its head included; 0: not all of it is there; E_PROTO: no packet
 * begins so (a length below 0 or above max). */
int64_t zk_proto_frame(const void *p, size_t n, uint32_t max);

/* Encoders write a whole packet, its head included; decoders take one without it. */
void zk_proto_connect_put(struct wbuf *w, const struct zk_connect *c);
int zk_proto_connect_get(const void *p, size_t n, struct zk_connect *ret_c);
void zk_proto_connected_put(struct wbuf *w, const struct zk_connected *c);
int zk_proto_connected_get(const void *p, size_t n, struct zk_connected *ret_c);
void zk_proto_request_put(struct wbuf *w, const struct zk_request *q);
int zk_proto_request_get(const void *p, size_t n, struct zk_request *ret_q);
void zk_proto_reply_put(struct wbuf *w, const struct zk_reply *a);
/* op: of the oldest request that has no reply yet (0: none); those with xids of their own are told
 * by these, and op is not looked at.  The caller compares the xids. */
int zk_proto_reply_get(const void *p, size_t n, int32_t op, struct zk_reply *ret_a);

/* A MULTI without a list of its operations beforehand: begin, zk_proto_op_put..., end. */
size_t zk_proto_multi_begin(struct wbuf *w, int32_t xid, int32_t op);
void zk_proto_multi_end(struct wbuf *w, size_t begun_at);

/* Lists.  *_put add an element to bytes that w collects, and count it: {w.p, w.len, n}.  *_next
 * takes the first one off the list; false at its end. */
void zk_proto_text_put(struct wbuf *w, uint32_t *n, const char *text, uint32_t len);
/* a path below root, which is of root_len bytes, "/x", or of none */
void zk_proto_path_put(struct wbuf *w, uint32_t *n, const char *root, uint32_t root_len,
                       const char *path, uint32_t path_len);
bool zk_proto_text_next(struct zk_list *l, const char **ret_text, uint32_t *ret_len);
void zk_proto_acl_put(struct wbuf *w, uint32_t *n, const struct zk_acl *a);
bool zk_proto_acl_next(struct zk_list *l, struct zk_acl *ret_a);
/* may everybody do more than read? */
bool zk_proto_acl_is_open(struct zk_list acl);
void zk_proto_op_put(struct wbuf *w, uint32_t *n, const struct zk_request *q);
bool zk_proto_op_next(struct zk_list *l, struct zk_request *ret_q);
void zk_proto_result_put(struct wbuf *w, uint32_t *n, const struct zk_reply *a);
bool zk_proto_result_next(struct zk_list *l, struct zk_reply *ret_a);

/* NULL: a path as servers take it; else what is wrong with it.  Of a sequential node the last name
 * may be empty, for a number follows. */
const char *zk_proto_path_wrong(const char *path, size_t len, bool is_sequential);

const char *zk_proto_op_name(int32_t op);   /* "create"; "unknown" */
const char *zk_proto_err_name(int32_t err); /* "NO_NODE"; "UNKNOWN" */
const char *zk_proto_err_text(int32_t err); /* for people; never NULL */
int zk_proto_err_to_e(int32_t err);         /* the table's E_*; unknown: E_IO */
const char *zk_proto_event_name(int32_t event);

#endif
