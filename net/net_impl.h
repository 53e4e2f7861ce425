/* net/net_impl.h - what the files of net/ share.  Nobody else includes it.
 *
 * net_loop   the turn: deferred completions, timers, posts, the pool
 * net_tcp    listening, connecting, the end of a connection
 * net_hello  what is said first: hellos and proofs (net_auth) on a connection, and of whom
 * net_stream bytes in and out of an open connection, and the memory they may hold
 * net_spin   looking once more before sleeping
 * net_mr     regions and transfers
 * net_disk   disk operations: io_uring, or jobs on the pool
 * net_file   the blocking file calls those jobs make
 * net_denied what keeps this user out of a directory or file */
#ifndef NET_NET_IMPL_H
#define NET_NET_IMPL_H

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include "core/fmt.h"
#include "core/heap.h"
#include "net/net.h"
#include "net/net_auth.h"
#include "net/net_errno.h"

#define NET_HELLO_LOG_NS INT64_C(1000000000)

enum {
    NET_RBUF = 256 * 1024,    /* one read of headers and small frames */
    NET_DISCARD = 256 * 1024, /* one read of unwanted bytes */
    NET_LEAN = 4096,          /* ... of what follows a transfer: the next one's header */
    NET_CHUNK = 64 * 1024,    /* bytes of copied output in one piece */
    NET_COPY_MAX = 4096,      /* transfers up to this are copied like a frame */
    NET_IOV = 64,             /* pieces of one write */
    NET_SPARE = 32,           /* output chunks kept for reuse */
    NET_READS_OUT = 256,      /* rma reads of a connection under way; more wait */
    NET_REPLIES_MAX = 1024,   /* of the other side; more is an attack */
    NET_EARLY = 4 * 1024,     /* bytes of frames that do not wait for the end of the turn */
    NET_TURN_BYTES = 8 << 20, /* of one connection, one way, one turn: fairness */
    NET_DEAD_MS = 8000,       /* a silent host is given up after this */
    NET_CONNECT_DEFAULT_S = 5,
};

static inline int64_t net_seconds(int64_t s)
{
    return s * 1000000000;
}

/* ---- output ---- */

/* A piece of output: copied bytes, or memory of somebody else that must stay until it has left. */
struct net_seg {
    struct list link;
    struct list region_link; /* on the region that the memory belongs to */
    const uint8_t *p;        /* what has not left yet */
    size_t n;
    struct env_op *op; /* an rma write: done when the bytes have left */
    struct net_conn *conn;
    void *own;    /* a copy made when the region was revoked, */
    size_t own_n; /* and its size */
    bool reply;   /* counts in conn.replies */
    size_t cap;   /* of data[]; 0: p is not ours */
    uint8_t data[];
};

/* ---- connections ---- */

/*   RESOLVING -> CONNECTING -> HELLO -> OPEN -> DEAD        connect
 *                              HELLO -> OPEN -> DEAD        accept
 * A raw one is in HELLO for no time.  Every state may go to DEAD.  DEAD is freed when libuv has let
 * go and on_close was delivered. */
enum net_conn_state { NET_RESOLVING, NET_CONNECTING, NET_HELLO, NET_OPEN, NET_DEAD };

struct net_resolve {
    uv_getaddrinfo_t req;
    struct addrinfo *list, *next;
    bool pending, literal;
};

struct net_conn {
    struct env_conn base;
    struct net *net;
    struct list link;       /* net.conns */
    struct list dirty_link; /* net.dirty */
    enum net_conn_state state;
    int fd, events;
    uv_poll_t poll;
    bool poll_open, hung, told; /* hung: the owner wants to hear nothing more */
    bool raw;                   /* neither hello nor frames: bytes as they come */
    struct env_peer *peer;
    struct net_listener *listener;
    struct env_op *connect_op;
    struct env_op close_op; /* delivers on_close */
    int why;
    struct net_resolve resolve;
    struct env_timer deadline;
    struct net_auth *auth;   /* only in HELLO */
    struct list greet_link;  /* net.greeting */
    char name[ENV_ADDR_MAX]; /* the other end, for logs */
    char wanted[ENV_ADDR_MAX];

    uint8_t *stash; /* the beginning of an item whose end has not come */
    size_t stash_n, stash_cap;
    bool lean;               /* the last item was a transfer: probably the next one is too */
    uint8_t *place_to;       /* NULL: drop */
    uint64_t place_left;     /* payload bytes of a transfer still to come */
    struct list place_link;  /* on the region placed into */
    struct env_op *place_op; /* the rma read that is being answered */

    struct list segs;
    uint64_t out_bytes;
    uint64_t frame_bytes, early; /* of frames since the last write; how many make one early */
    uint64_t early_turn;
    uint64_t held;        /* memory: chunks, copies, the stash */
    bool blocked, warned; /* blocked: waiting until the socket takes more */
    bool broken;          /* writing failed: the reading side will find the end */
    uint32_t replies;

    struct list reads;      /* rma reads sent, in the order of their numbers */
    struct list reads_wait; /* not sent yet */
    uint32_t reads_n, read_next;
};

struct net_listener {
    struct list link;
    struct net *net;
    struct env_acceptor *acceptor; /* NULL once unlistened */
    struct env_op *op;
    int fd;
    uv_poll_t poll;
    bool poll_open, raw;
    struct net_resolve resolve;
    struct env_timer pause; /* out of descriptors */
    char wanted[ENV_ADDR_MAX];
};

struct net_mr_slot {
    struct env_region *region;
    uint64_t token;
    uint32_t free_next;
};

/* ---- disk ---- */

/* Where an env's files lie: the net's own directory, or one that it shares (net_shared_open). */
struct net_place {
    struct env env;
    struct net *net;
    struct list link; /* net.shared */
    int dir_fd;       /* -1: there is none */
    char *name;       /* of that directory */
};

struct net_file {
    struct env_file base;
    struct list link; /* net.files */
    struct net *net;
    struct net_place *place;
    int fd, read_fd;  /* read_fd: fd, or one through the page cache */
    bool direct, far; /* far: a call may wait for a server that does not answer */
    atomic_bool name_unsynced;
    char name[ENV_NAME_MAX];
};

/* One call on the pool. */
struct net_job {
    uv_work_t req;
    struct list link; /* net.jobs_free or net.work_wait */
    struct net *net;
    struct net_place *place;
    struct env_op *op;
    void (*user)(struct env_op *op);     /* env_work */
    int64_t (*run)(struct net_job *job); /* a disk call: its result becomes op->ret */
    struct net_file *file, *opened;      /* opened: what net_file_open made */
    struct env_file **ret_file;
    void *mem;
    uint64_t off, len;
    unsigned flags;
    char *denied; /* why a call on names may not be made; the loop says it, and frees it */
    char name[ENV_NAME_MAX], name2[ENV_NAME_MAX];
};

struct net_uring;

/* ---- spinning ---- */

struct net_spin_kind {
    uint32_t level, skip; /* 2^level waits sleep at once between two that do not; how many still */
};

struct net_spin {
    bool is_on, had_event;
    int kind; /* of the wait under way: 1: something was sent */
    int64_t until_ns;
    uint64_t writes; /* net.stats.writes at the last wait */
    struct net_spin_kind kinds[2];
};

struct net {
    union {
        struct env env;
        struct net_place own; /* begins with it */
    };
    struct net_config config;
    int64_t hello_log_ns; /* no line about a bad hello before this */
    uint64_t hellos_unlogged;
    char node[64];
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    uv_timer_t timer;
    uv_async_t async;
    struct mem mem; /* the heap's */
    struct heap heap;
    int64_t now_ns;
    int64_t armed_ns; /* what the libuv timer is set for */
    bool now_fixed, closing, in_turn;
    const bool *until; /* ends net_run_until */
    atomic_bool stop;
    struct list later; /* ops whose done is due */
    pthread_mutex_t post_lock;
    struct list posted;
    struct list jobs_free;
    struct list work_wait; /* env_work() beyond work_max */
    uint32_t jobs_busy, work_busy, work_max;
    uint8_t entropy[512];
    size_t entropy_left;

    struct list conns, dirty, listeners;
    struct list greeting; /* accepted and in HELLO, the oldest first */
    uint32_t greeting_n;
    struct net_secrets secrets;
    char *secret_file;         /* NULL: none */
    struct timespec secret_ct; /* of the file that was read last */
    uint64_t secret_ino, secret_size;
    int64_t secret_look_ns; /* not looked at again before this */
    uint64_t held;          /* by all of them */
    uint8_t *rbuf;          /* NET_RBUF for items, NET_DISCARD for what nobody wants */
    struct list chunks_free, refs_free;
    uint32_t chunks_free_n, refs_free_n;
    struct net_mr_slot *mr;
    uint32_t mr_n, mr_free;

    struct list shared; /* other places, until the end */
    struct list files;  /* open ones, of all places */
    struct net_uring *uring;
    struct net_spin spin;
    struct net_stats stats;
};

static inline struct net *net_of(struct env *e)
{
    return ((struct net_place *)e)->net;
}

static inline struct net_conn *net_conn_of(struct env_conn *c)
{
    return (struct net_conn *)c;
}

/* net_loop.c */
void *net_loop_alloc(size_t n); /* zeroed; ends the process when there is none */
int64_t net_loop_now(struct net *net);
int64_t net_loop_clock(void); /* now, in the middle of a turn */
uint64_t net_loop_random(struct net *net);
/* op->done(ret), later in this loop */
void net_loop_later(struct net *net, struct env_op *op, int64_t ret);
struct net_job *net_loop_job(struct net *net, struct env_op *op);
void net_loop_job_start(struct net_job *job);

/* net_spin.c */
void net_spin_init(struct net *net);
/* something came from outside in this turn */
void net_spin_event(struct net *net);
/* the loop is about to sleep: true when it should look once more instead */
bool net_spin_wait(struct net *net);

/* net_tcp.c */
void net_tcp_listen(struct env *e, const char *addr, struct env_acceptor *a, struct env_op *op);
void net_tcp_unlisten(struct env *e, struct env_acceptor *a);
void net_tcp_connect(struct env *e, const char *addr, int64_t timeout_ns, struct env_peer *p,
                     struct env_op *op);
void net_tcp_hangup(struct env_conn *c);
void net_tcp_adopt(struct env_conn *c, struct env_peer *p);
/* both hellos were said, and what else there was to prove */
void net_tcp_opened(struct net_conn *c);
/* ends the connection: its ops complete, then on_close(why) */
void net_tcp_kill(struct net_conn *c, int why);
void net_tcp_events(struct net_conn *c);
void net_tcp_close_all(struct net *net);

/* net_hello.c */
int net_hello_secret(struct net *net); /* reads it for the first time */
/* the socket is connected: our hello leaves with this turn */
void net_hello_begin(struct net_conn *c);
/* n bytes of what the other side says first: bytes used, 0 for too few, negative and c is dead */
int64_t net_hello_take(struct net_conn *c, const uint8_t *b, size_t n);
void net_hello_timeout(struct net_conn *c);
void net_hello_end(struct net_conn *c); /* c leaves the state HELLO */
bool net_hello_is_loopback(const struct sockaddr *sa);
/* may this node be talked to from there, and talk to there? */
bool net_hello_may_reach(const struct net *net, const struct sockaddr *sa);
/* One line a second: who scans our port must not fill a disk. */
bool net_hello_may_log(struct net *net);

/* net_stream.c */
void net_stream_send(struct env_conn *c, uint16_t type, const struct env_iov *iov, unsigned n_iov);
uint64_t net_stream_backlog(struct env_conn *c);
void net_stream_readable(struct net_conn *c);
/* writes what the socket takes */
void net_stream_flush(struct net_conn *c);
void net_stream_flush_all(struct net *net);
void net_stream_item(struct net_conn *c, const struct net_frame *f);
void net_stream_bytes(struct net_conn *c, const void *p, size_t n);
/* memory to send by reference: for op, or from the region whose list of references is given */
void net_stream_ref(struct net_conn *c, const void *p, size_t n, struct env_op *op,
                    struct list *region_refs);
void net_stream_drop(struct net_conn *c);
/* memory that c holds: n more, or less; nobody is closed */
void net_stream_hold(struct net_conn *c, int64_t n);
void net_stream_free_spares(struct net *net);

/* net_mr.c */
void net_mr_share(struct env *e, void *mem, uint64_t len, struct env_region *r,
                  struct env_key *ret_key);
void net_mr_revoke(struct env_region *r, struct env_op *op);
void net_mr_rma(struct env_conn *c, enum env_rma dir, void *mem, uint32_t len, struct env_key key,
                uint64_t off, struct env_op *op);
/* an rma item has come: sets c->place_*; 0 or negative, then the caller kills c */
int net_mr_item(struct net_conn *c, const struct net_frame *f);
void net_mr_placed(struct net_conn *c);
void net_mr_drop(struct net_conn *c);

/* net_disk.c */
int net_disk_open(struct net *net);
/* true: the kernel did not take everything, try again soon */
bool net_disk_flush(struct net *net);
/* completes what the kernel has done; false: nothing */
bool net_disk_reap(struct net *net);
void net_disk_close(struct net *net); /* waits for the kernel */
void net_disk_close_places(struct net *net);
void net_disk_vt(struct env_vt *vt);

/* net_file.c: blocking; each returns a count, 0 or E_* */
bool net_file_name_ok(const char *name, bool empty_ok);
/* a place's directory, made; locked if it is the net's own; a descriptor or E_* */
int net_file_root(struct net *net, const char *dir, bool is_own);
int64_t net_file_open(struct net_job *job);
void net_file_close_read(struct net_file *f); /* what it has beside fd */
int64_t net_file_close(struct net_job *job);
int64_t net_file_read(struct net_job *job);
int64_t net_file_write(struct net_job *job);
int64_t net_file_sync(struct net_job *job);
int64_t net_file_resize(struct net_job *job);
int64_t net_file_punch(struct net_job *job);
int64_t net_file_rename(struct net_job *job);
int64_t net_file_unlink(struct net_job *job);
int64_t net_file_list(struct net_job *job);

#endif
