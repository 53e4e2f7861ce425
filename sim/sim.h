/* sim/sim.h - the simulated world: many nodes behind core/env.h, one thread, virtual time.
 *
 * A world is a queue of events.  Each event is one turn of one node's loop, or something that
 * happens in a wire or on a disk.  Everything random comes from named streams of one 64-bit seed,
 * so a run is a function of (program, config); sim_hash() tells two runs apart.  There are no
 * globals: several worlds may live in one process.
 *
 * A unit test in ten lines:
 *
 *     struct mem m;
 *     unit_mem(&m, 256 << 20);
 *     struct sim_config cfg = sim_config_quiet(7);       // latencies, but no faults
 *     struct sim *s = sim_open(&m, &cfg);
 *     struct sim_node *n = sim_node_add(s, "a");
 *     struct env *e = sim_node_up(n);                    // boots at once; memory is sim_mem(n)
 *     env_open(e, "log", ENV_O_WRITE | ENV_O_CREATE, &file, &op);
 *     CU_ASSERT(sim_run_op(s, &op, 1000000000) == 0);    // runs until op is done, or E_TIMEOUT
 *     sim_node_power_loss(n);                            // then sim_node_up(n) again
 *     sim_close(s);
 *
 * sim_run_op() replaces op->done while it waits; give ops with their own done to sim_run_until().
 *
 * WHAT THE WORLD PROMISES (beyond core/env.h), AND WHAT IT WILL DO TO YOU
 *  1. Addresses are "node:port".  A node listens on its own name (or "*" or "0.0.0.0").
 *  2. Crash (kill -9): memory, timers and ops are gone; the page cache survives; writes under way
 *     have happened in full, in part or not at all; peers see a close, or a reset that loses the
 *     tail of what was sent.
 *  3. Power loss: also each unsynced 512-byte sector is kept, dropped, torn or garbage; unsynced
 *     creations and sizes, and unlinks of the last seconds, may be undone; peers see nothing until
 *     a timeout or until they talk to the rebooted machine.  A new file written through ENV_O_DSYNC
 *     keeps its data but not its name until the first sync() or rename().
 *  4. A failed sync leaves the pages clean: a later sync succeeds without making them durable.
 *  5. Frames sent in one turn on one connection arrive in one turn.  Frame bytes are overwritten
 *     after on_frame, read buffers at the start of a read; a write buffer that changes while the
 *     env owns it panics.
 *  6. Node memory comes filled with a pattern, so nothing depends on fresh memory being zero.
 *  7. The bytes of raw connections come cut and joined as chance will, also byte by byte, and what
 *     one turn sent may come at several times.  Such a connection is accepted by the machine, also
 *     while its process stands still.  Where one end is raw and the other is not, connect ends
 *     with E_PROTO.
 *  8. A paused node's loop runs nothing; its kernel still accepts bytes.  On resume the network
 *     and the disk are served before the timers. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "core/env.h"
#include "core/mem.h"

struct sim;
struct sim_node;

/* Times in ns, rates in bytes/s (0: no limit), chances in parts per million. */
struct sim_net_config {
    int64_t latency_min_ns, latency_mean_ns; /* one way: min + exponential with mean (mean - min) */
    int64_t pair_extra_max_ns; /* a fixed extra per pair of nodes, drawn from the seed */
    uint64_t nic_bytes_per_s;  /* each direction of each node */
    uint32_t loss_ppm;         /* per write: a retransmission delay, doubling */
    int64_t rto_ns;            /* the first such delay */
    uint32_t reorder_ppm;      /* per write: a late segment, one more latency */
    uint32_t reset_ppm;        /* per write: the connection is reset, mid-write */
    uint32_t half_open_ppm;    /* per write: the connection silently stops carrying bytes */
    uint32_t clog_ppm;         /* per write: the link is clogged for a while */
    int64_t clog_mean_ns;
    int64_t user_timeout_ns; /* unacknowledged for so long: reset */
    int64_t syn_retry_ns;    /* connect knocks again after this */
    uint32_t rma_pieces;     /* most pieces of one transfer, landing in any order */
    uint32_t rma_late_ppm;   /* a write of a closed connection lands nevertheless */
    int64_t revoke_mean_ns;
};

struct sim_disk_config {
    int64_t read_min_ns, read_mean_ns;
    int64_t write_min_ns, write_mean_ns;
    int64_t sync_min_ns, sync_mean_ns;
    uint64_t bytes_per_s;
    uint64_t capacity; /* bytes; 0: no limit */
    uint32_t read_eio_ppm, write_eio_ppm, sync_fail_ppm;
    uint32_t misdirect_ppm;      /* a write lands on another block of its file */
    uint32_t misdirect_read_ppm; /* a block of a read is another one of its file */
    uint32_t stall_ppm;          /* per op: the whole disk waits */
    int64_t stall_mean_ns;
    int64_t unlink_commit_ns; /* an unlink is durable after this */
    /* what power loss does to an unsynced sector; the rest of a million is kept */
    uint32_t lose_drop_ppm, lose_torn_ppm, lose_garbage_ppm;
    uint32_t lose_name_ppm; /* an unsynced creation, size or unlink is undone */
};

struct sim_clock_config {
    uint32_t drift_max_ppm;     /* each node's clock runs fast or slow by up to this */
    int64_t wall_offset_max_ns; /* and its wall clock is off by up to this */
    int64_t mono_offset_max_ns; /* now_ns of a freshly booted machine starts up to here */
    int64_t wall_base_ns;       /* wall time at the start of the world */
};

/* What was measured of a machine (tarn bench calibrate): tables of times, instead of the means
 * above (sim_model.c says how they are drawn from).  A table is the inverse of a distribution at
 * SIM_POINTS even steps, ascending; there is one for each number of bytes and of operations under
 * way at once, both ascending. */
enum { SIM_POINTS = 33, SIM_GRID = 8 };

struct sim_grid {
    uint32_t n_bytes, n_at_once; /* 0: nothing was measured */
    uint64_t bytes[SIM_GRID], at_once[SIM_GRID];
    int64_t ns[SIM_GRID][SIM_GRID][SIM_POINTS]; /* by at_once, bytes */
};

struct sim_model {
    struct sim_grid write; /* durable (ENV_O_DSYNC), from the submit until it is done */
    struct sim_grid way;   /* of what one turn sends on one connection, one way */
};

/* What a turn of a process costs it, and how many processors there are for that; all 0: turns take
 * no time.  See sim_serve.c. */
struct sim_serve_config {
    uint32_t cores;                              /* of each machine; 0: no limit */
    int64_t turn_ns, send_ns, receive_ns, io_ns; /* a turn; a write or read of a connection; a
                                                    disk operation */
    int64_t wake_ns;                             /* until a processor that was idle begins */
    int64_t batch_ns; /* and what a process that slept does for a durable write of its own accord */
    uint32_t byte_ps; /* a byte that is sent or received */
};

typedef void (*sim_log_fn)(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                           const char *line);

struct sim_config {
    uint64_t seed;
    struct sim_net_config net;
    struct sim_disk_config disk;
    struct sim_clock_config clock;
    struct sim_serve_config serve;
    const struct sim_model *model; /* or NULL; outlives the world */
    uint64_t node_mem_bytes;       /* the budget of each node's struct mem */
    int64_t work_ns;               /* what work() costs */
    uint32_t fault_on_ppm;         /* a fault site is on in this run */
    uint64_t fault_sites;          /* which may be: a bit for each of sim_fault_known */
    uint32_t fault_fire_ppm;       /* a site that is on fires */
    uint32_t stall_ppm;            /* per turn of a node: it stops in the middle of the turn */
    int64_t stall_mean_ns;
    sim_log_fn on_log; /* may be NULL */
    void *log_ctx;
};

/* latencies of a LAN and an SSD, power loss with all its effects, no other fault */
struct sim_config sim_config_quiet(uint64_t seed);
/* every random fault at a rate that a correct cluster survives */
struct sim_config sim_config_stormy(uint64_t seed);

/* ---- the world ---- */

enum { SIM_ZEROED_MIN = 256 * 1024 };
/* m outlives the world; its source also gives the nodes their memory, and must give blocks of
 * SIM_ZEROED_MIN bytes and more zeroed */
struct sim *sim_open(struct mem *m, const struct sim_config *cfg);
void sim_close(struct sim *s);
int64_t sim_now_ns(const struct sim *s);
/* runs one event; false when nothing is left to happen */
bool sim_step(struct sim *s);
/* runs every event up to and including t_ns, then the time is t_ns */
void sim_run_until(struct sim *s, int64_t t_ns);
/* submit op first; ret: op->ret, or E_TIMEOUT when it is not done within timeout_ns */
int64_t sim_run_op(struct sim *s, struct env_op *op, int64_t timeout_ns);
/* op->done at t_ns (now, if that is past), outside every node: for drivers */
void sim_at(struct sim *s, int64_t t_ns, struct env_op *op);
/* sim_step does nothing from now on */
void sim_halt(struct sim *s);
/* whatever chance decides from now on comes from other streams, the k-th others; k > 0 */
void sim_vary(struct sim *s, uint64_t k);
/* a stream of chance for drivers */
uint64_t sim_random(struct sim *s, uint64_t bound);

/* ---- nodes ---- */

/* name is copied; ids count from 0 in the order of adding */
struct sim_node *sim_node_add(struct sim *s, const char *name);
struct sim_node *sim_node_find(struct sim *s, const char *name); /* NULL: none */
struct sim_node *sim_node_at(struct sim *s, uint32_t id);        /* NULL: none */
uint32_t sim_node_count(const struct sim *s);
const char *sim_node_name(const struct sim_node *n);
uint32_t sim_node_id(const struct sim_node *n);
bool sim_node_is_up(const struct sim_node *n);
uint32_t sim_node_incarnation(const struct sim_node *n); /* 0 before the first start */
/* starts the process: boot(env, mem, ctx) runs as the node's first turn; the node must be down */
void sim_node_start(struct sim_node *n, void (*boot)(struct env *e, struct mem *m, void *ctx),
                    void *ctx);
/* starts a process without a boot function; ret: its env */
struct env *sim_node_up(struct sim_node *n);
struct env *sim_env(struct sim_node *n); /* the node must be up */
struct mem *sim_mem(struct sim_node *n);
/* Crash and power loss take effect at once, or at the end of the turn when a node's code asks. */
void sim_node_crash(struct sim_node *n);
void sim_node_power_loss(struct sim_node *n);
void sim_node_pause(struct sim_node *n);
void sim_node_resume(struct sim_node *n);
/* The node's next turn stops after that many submits, between a check and its use: what it submits
 * from there on, and the next turn, happen dur_ns later. */
void sim_node_stall(struct sim_node *n, uint32_t after_submits, int64_t dur_ns);
/* nobody stops in the middle of a turn any more, and who has goes on */
void sim_stalls_end(struct sim *s);
void sim_node_wipe(struct sim_node *n); /* an empty disk; the node must be down */

/* n runs on the machine of `with`: they share its processors, and its disk as far as a model says
 * what operations cost that are under way at once.  Before either has run. */
void sim_node_together(struct sim_node *n, struct sim_node *with);
/* n's turn takes that much longer, if turns take time at all */
void sim_node_spend(struct sim_node *n, int64_t ns);
/* the time at which n's turn has come this far */
int64_t sim_node_at_ns(const struct sim_node *n);

/* ---- network ---- */

void sim_net_set(struct sim *s, const struct sim_net_config *net);
/* a NIC of another speed; 0: no limit */
void sim_net_nic(struct sim_node *n, uint64_t bytes_per_s);
/* latency and loss of the link from a to b only */
void sim_net_link(struct sim_node *a, struct sim_node *b, int64_t min_ns, int64_t mean_ns,
                  uint32_t loss_ppm);
/* What n proves when it calls, and asks of who calls it, as the cluster secret does: E_AUTH unless
 * two nodes have one in common, or both have none.  0: none; two while it is being changed. */
void sim_net_secret(struct sim_node *n, uint64_t first, uint64_t second);
/* nothing passes from a to b any more, and unless one_way nothing back */
void sim_net_partition(struct sim_node *a, struct sim_node *b, bool one_way);
void sim_net_partition_sets(struct sim_node *const *a, uint32_t n_a, struct sim_node *const *b,
                            uint32_t n_b, bool one_way);
/* does anything pass from a to b, as partitions are now? */
bool sim_net_passes(const struct sim_node *a, const struct sim_node *b);
void sim_net_heal(struct sim_node *a, struct sim_node *b);
void sim_net_heal_all(struct sim *s);
/* connections that are half open are over, and both sides are told */
void sim_net_mend(struct sim *s);
/* what goes from a to b takes so many times as long; 0: as usual */
void sim_net_slow(struct sim_node *a, struct sim_node *b, uint32_t times);
/* what goes from a to b waits until the clog is over */
void sim_net_clog(struct sim_node *a, struct sim_node *b, int64_t dur_ns);
/* resets (or silences) every connection between a and b; ret: how many */
uint32_t sim_net_reset(struct sim_node *a, struct sim_node *b);
uint32_t sim_net_half_open(struct sim_node *a, struct sim_node *b);

/* ---- disk: also of a node that is down ---- */

void sim_disk_set(struct sim_node *n, const struct sim_disk_config *disk);
const struct sim_disk_config *sim_disk_get(const struct sim_node *n);
/* what a process would see; ret: bytes read, or E_NOENT */
int64_t sim_disk_read(struct sim_node *n, const char *name, void *to, uint32_t len, uint64_t off);
int64_t sim_disk_size(struct sim_node *n, const char *name); /* or E_NOENT */
/* the name that follows `after` in byte order, over all directories; NULL at the end */
const char *sim_disk_next(struct sim_node *n, const char *after);
/* flips one bit in the cache and on the medium; ret: 0, E_NOENT, E_RANGE */
int sim_disk_flip(struct sim_node *n, const char *name, uint64_t off, unsigned bit);
/* the 4 KiB block at off answers E_IO until it is written again; ret as above */
int sim_disk_bad(struct sim_node *n, const char *name, uint64_t off);
uint64_t sim_disk_used(const struct sim_node *n); /* bytes of blocks */

/* ---- clocks ---- */

void sim_clock_set(struct sim_node *n, int32_t drift_ppm);
/* the same, but only until sim_clock_own, or the machine loses power */
void sim_clock_rate(struct sim_node *n, int32_t drift_ppm);
void sim_clock_own(struct sim_node *n);
void sim_clock_step_wall(struct sim_node *n, int64_t by_ns);
/* what n's clock will show when the world's time is t_ns, as it runs now */
int64_t sim_clock_at(const struct sim_node *n, int64_t t_ns);

/* ---- chance ---- */

struct sim_site {
    char name[64];
    bool on;
    uint32_t fire_ppm;
    uint64_t asked, fired;
};

/* The sites that there are in the code, in the order of sim_config.fault_sites; NULL behind the
 * last. tests/e2e/test_list.sh compares with the code. */
struct sim_known_site {
    const char *name, *what;
};
const struct sim_known_site *sim_fault_known(uint32_t i);
/* a site that fires with ppm whatever the seed says */
void sim_fault_set(struct sim *s, const char *site, uint32_t ppm);
/* the i-th site asked so far, or NULL */
const struct sim_site *sim_fault_site(const struct sim *s, uint32_t i);

/* What chance may do beside latencies and orders.  Each asking of the same kind on the same
 * machine, or the same link, is an occasion. */
enum sim_chance_kind {
    SIM_CHANCE_LOSS,           /* node to `to`: a write is sent again n times */
    SIM_CHANCE_LATE,           /* a segment takes for_ns longer */
    SIM_CHANCE_CLOG,           /* what follows waits until for_ns are over */
    SIM_CHANCE_HALF_OPEN,      /* the connection carries nothing any more */
    SIM_CHANCE_RESET,          /* it breaks in the middle of a write */
    SIM_CHANCE_DISK_STALL,     /* node: the disk waits for_ns */
    SIM_CHANCE_READ_ERROR,     /* this and the next four: only where the disk's rate is not 0 */
    SIM_CHANCE_WRITE_ERROR,    /* after n bytes */
    SIM_CHANCE_MISDIRECT,      /* the write lands at n */
    SIM_CHANCE_MISREAD,        /* of k blocks the n % k-th is another one, the n / k-th */
    SIM_CHANCE_SYNC_ERROR,     /* a sync fails */
    SIM_CHANCE_SECTOR_LOST,    /* of a power loss's unsynced sectors one is as it was; the same */
    SIM_CHANCE_SECTOR_TORN,    /*   occasions: half of it, up to n / 2, n % 2: the new half first */
    SIM_CHANCE_SECTOR_GARBAGE, /*   bytes that nobody wrote */
    SIM_CHANCE_NAME_UNDONE,    /* an unsynced creation or unlink is undone by it */
    SIM_CHANCE_SIZE_UNDONE,    /* a truncation, or growth */
    SIM_CHANCE_TURN_STALL,     /* the process stops for for_ns after n submits */
    SIM_CHANCE_SITE,           /* env_fault(site) */
    SIM_CHANCE_STORE_ERROR,    /* the under-store's: an operation of node fails */
    SIM_CHANCE_STORE_SHORT,    /* a read gives n bytes only */
    SIM_CHANCE_WRITE_LATE,     /* a write of node to a shared directory lands for_ns later */
    SIM_CHANCE_NAME_LATE,      /* a rename or unlink there takes effect for_ns later */
    SIM_CHANCE_CALL_STRAY,     /* a call of node to a shared directory is heard for_ns later */
    SIM_CHANCE_CREATE_BOTH,    /* a file there is created exclusively though it is there */
    SIM_CHANCES
};

struct sim_chance {
    int64_t at_ns; /* the first occasion from then on, */
    uint32_t skip; /* after so many others */
    enum sim_chance_kind kind;
    int64_t for_ns;
    uint64_t n;
    char node[16], to[16], site[40];
};

/* fn is told of each chance that hits, so that sim_chance_give of them all repeats it */
void sim_chance_hook(struct sim *s, void (*fn)(void *ctx, const struct sim_chance *c), void *ctx);
/* These hit, in the order of their times, and no others, whatever the rates are; draws are made as
 * without them.  Once, with all nodes there. */
void sim_chance_give(struct sim *s, const struct sim_chance *list, uint32_t n);
/* those that had no occasion until now get none */
void sim_chance_expire(struct sim *s);
/* for drivers: does it happen?  drawn: by their own stream; ret_n: as drawn, or as given */
bool sim_chance_driver(struct sim *s, enum sim_chance_kind kind, const struct sim_node *n,
                       bool drawn, uint64_t *ret_n);

/* ---- traces ---- */

enum sim_kind {
    SIM_K_NONE,
    SIM_K_BOOT,   /* a: incarnation */
    SIM_K_CRASH,  /* a: 1 for power loss */
    SIM_K_PAUSE,  /* a: 1 paused, 0 resumed, 2 stalled in a turn */
    SIM_K_TIMER,  /* a: its time in the node's clock */
    SIM_K_OP,     /* a: ret */
    SIM_K_WORK,   /* a: ret */
    SIM_K_DRIVER, /* a driver's op */
    SIM_K_FRAMES, /* a: hash of the frames of one write, b: from << 32 | frames */
    SIM_K_OPEN,   /* a connection, b: from */
    SIM_K_CLOSE,  /* a: why, b: from */
    SIM_K_RMA,    /* a: hash of the bytes that landed, b: their number */
    SIM_K_DISK,   /* a: ret, b: which << 56 | hash of the bytes */
    SIM_K_SECTOR, /* power loss; a: what happened, b: where */
    SIM_K_FAULT,  /* a: hash of the site that fired */
    SIM_K_NET,    /* partitions, clogs, slow links; a: what, b: to */
    SIM_K_CLOCK,  /* another rate; a: ns of it in a millisecond of the world */
    SIM_KINDS
};

struct sim_trace {
    int64_t at_ns;
    uint32_t node; /* UINT32_MAX: the world */
    uint32_t kind;
    uint64_t a, b;
    int64_t since_ns; /* SIM_K_FRAMES: when the first of them was sent; not part of the hash */
};

enum { SIM_RING = 4096 };

void sim_hash(const struct sim *s, uint64_t ret[2]);
/* of bytes: tells them apart, fast; another one may come with another version */
uint64_t sim_digest(const void *p, size_t n);
uint64_t sim_events(const struct sim *s);
/* the i-th event from the end (0: the last), or NULL when it is not in the ring */
const struct sim_trace *sim_trace_back(const struct sim *s, uint64_t i);
const char *sim_kind_name(enum sim_kind k);
/* called for every trace record, if set */
void sim_trace_hook(struct sim *s, void (*fn)(void *ctx, const struct sim_trace *t), void *ctx);

struct sim_stats {
    uint64_t frames, frame_bytes, writes, connects, closes;
    uint64_t lost, reordered, resets, half_opens, clogs, timeouts;
    uint64_t rma_bytes, rma_late, rma_dropped;
    uint64_t disk_reads, disk_writes, disk_syncs, eio, enospc, stalls, misdirected, misread;
    uint64_t kinds[SIM_KINDS]; /* trace records of each */
    uint64_t shared_late, shared_names_late,
        shared_both;                                /* what chance did to shared directories */
    uint64_t stale_names, stale_sizes, stale_pages; /* answers of their clients from memory */
    uint64_t sectors_kept, sectors_dropped, sectors_torn, sectors_garbage, names_undone;
};

const struct sim_stats *sim_stats(const struct sim *s);

#endif
