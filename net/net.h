/* net/net.h - the real world behind core/env.h: a libuv loop, TCP, remote memory over TCP, disk by
 * io_uring or libuv's thread pool.
 *
 * One struct net is one env: one thread, one loop.  The thread that runs it may change between
 * runs, never during one.  Only net_stop() and env_post() may be called from elsewhere; both are
 * also safe in a signal handler's thread, net_stop() in the handler itself.
 *
 * Order inside one turn: sockets and other descriptors, finished work, deferred completions,
 * timers; then everything sent in the turn leaves, and the loop sleeps. */
#ifndef NET_NET_H
#define NET_NET_H

#include <uv.h>
#include "core/env.h"
#include "core/mem.h"
#include "net/net_frame.h"

enum net_disk_kind { NET_DISK_AUTO, NET_DISK_URING, NET_DISK_POOL };

/* Zero means the default everywhere (and errors only, for the log). */
struct net_config {
    const char *dir;                 /* root of disk names, created if missing; NULL: no disk */
    bool dir_readonly;               /* it is there, and is only read */
    uint64_t cluster_hi, cluster_lo; /* both 0: talks to any cluster */
    const char *node;                /* who is speaking, for log lines */
    enum env_log log_level;          /* least important level that is logged */
    void (*log)(void *ctx, enum env_log level, const char *node, const char *line); /* stderr */
    void *log_ctx;
    enum net_disk_kind disk;    /* AUTO: io_uring where the kernel allows */
    const char *secret_file;    /* of the cluster (net_secret.h); NULL or "": none, and then only
                                   127.0.0.0/8 and ::1 are listened on and connected to */
    struct net_formats formats; /* of the journal that this node reads and writes */
    unsigned pool_threads;    /* of libuv's pool, one for the process: the first net decides (4) */
    uint32_t max_conns;       /* more are refused (4096) */
    uint32_t max_greeting;    /* of those, accepted and not through their hello yet; for one more
                                 the oldest is closed (256) */
    uint64_t backlog_warn;    /* unsent bytes of one connection that are logged (64 MiB) */
    uint64_t backlog_max;     /* ... that close it (1 GiB) */
    uint64_t held_max;        /* memory that connections may hold together: over it the one that
                                 holds most is closed (1 GiB) */
    int64_t hello_timeout_ns; /* for the other end's hello and proof (5 s) */
    int64_t spin_ns;          /* looks for more at most that long before it sleeps (never) */
};

/* Counted since net_open. */
struct net_stats {
    uint64_t turns, reads, writes;        /* loop turns; read and write calls on sockets */
    uint64_t frames_in, frames_out;       /* small frames */
    uint64_t rma_in, rma_out;             /* transfers placed here, sent from here */
    uint64_t bytes_in, bytes_out;         /* on sockets */
    uint64_t bytes_dropped;               /* rma data for revoked regions */
    uint64_t accepted, connected, closed; /* connections */
    uint64_t bad_frames, bad_hellos;      /* connections ended by malformed bytes */
    uint64_t unauthorised;                /* by the want of the right secret */
    uint64_t disk_ops, disk_submits;      /* io_uring: operations, system calls that began them */
    uint64_t conns;                       /* open now */
    uint64_t spins, spins_hit;            /* waits that did not sleep at once; ... at all */
    bool uring;                           /* the disk goes through io_uring */
};

struct net;

/* Does "HOST:PORT" stand for loopback addresses only, which are reached without a cluster secret?
 * Blocks while the name is looked up; of one that nobody knows it is true. */
bool net_hello_is_local(const char *addr);

/* E_ACCES, E_BUSY (another process has the directory), E_NOMEM, E_IO; the log says which and why */
int net_open(const struct net_config *config, struct net **ret_net) MUST_CHECK;
struct env *net_env(struct net *net);
/* for handles of one's own (uv_poll on /dev/fuse, uv_signal); close them before net_close */
uv_loop_t *net_uv(struct net *net);
/* such a handle brought something: the loop may be quick to look for more (spin_ns) */
void net_event(struct net *net);
/* until net_stop(); 0 */
int net_run(struct net *net);
/* until *flag, set by a completion on this loop; or E_TIMEOUT at deadline_ns; or E_CANCELLED */
int net_run_until(struct net *net, const bool *flag, int64_t deadline_ns);
/* ends the run under way, or the next one if there is none */
void net_stop(struct net *net);
/* Ends everything at once: no callback runs any more, also not of operations under way; those that
 * the kernel or the pool is working on are waited for.  Not from inside a callback. */
void net_close(struct net *net);
/* the port a listening acceptor got (for port 0); 0 when it does not listen */
uint16_t net_listen_port(struct net *net, struct env_acceptor *a);
/* Another directory, made if missing, which other processes may use, too (of this host, or of all
 * that mount it): *ret_env has everything from net's env, but its file names lead there.  It is
 * there until net_close.  A file system that cannot do direct I/O is used without, as elsewhere;
 * and what stands still there stands in the same pool.  As net_open, but E_BUSY only if somebody
 * on this host has it as his own directory. */
int net_shared_open(struct net *net, const char *dir, struct env **ret_env) MUST_CHECK;
void net_stats(struct net *net, struct net_stats *ret_stats);
/* threads of the process on which work() may block */
uint32_t net_work_threads(void);
/* aligned memory of the C library */
struct mem_source net_mem_source(void);

#endif
