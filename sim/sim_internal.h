/* sim/sim_internal.h - what the files of the world share; nobody else includes it.
 *
 *  1. Every live event is in the heap, held by a paused node, or parked (an op that waits for
 *     something else).  An event with an owner is on that node's `evs` and dies with its process.
 *  2. An op is completed only by sim_op_finish(), at the top of an event: never inside a submit.
 *  3. The heap's order is (time, class, seq): at one instant the timers of a node come last, and
 *     then the ends of turns that take time.
 *  4. Everything a decision depends on is an integer from the config, a stream or the queue. */
#ifndef SIM_SIM_INTERNAL_H
#define SIM_SIM_INTERNAL_H

#include "core/prng.h"
#include "sim/sim.h"
#include "sim/sim_shared.h"

enum {
    SIM_SITES = 256,
    SIM_EV_CHUNK = 256,
    SIM_BLOCK = 4096,
    SIM_SECTOR = 512,
    SIM_LEAF = 64,
    SIM_FRAME_HEAD = 8,
    SIM_ITEM_HEAD = 64 /* wire bytes of an item beside its payload */
};

enum sim_ev_kind {
    SIM_EV_FREE,
    SIM_EV_BOOT,
    SIM_EV_TIMER,
    SIM_EV_OP,      /* op with ret, on the node's loop */
    SIM_EV_WORK,    /* stage 0: run fn; 1: done */
    SIM_EV_DRIVER,  /* sim_at */
    SIM_EV_RESUME,  /* the end of a stall */
    SIM_EV_DISK,    /* an op on a file, at the moment it takes effect */
    SIM_EV_SYN,     /* a connect knocks at the machine */
    SIM_EV_ACCEPT,  /* on_open */
    SIM_EV_DIR,     /* the head of one direction of a connection */
    SIM_EV_CLOSE,   /* on_close */
    SIM_EV_UNACKED, /* the user timeout of one direction */
    SIM_EV_RST,     /* a reset arrives */
    SIM_EV_KNOCK,   /* a connect's deadline */
    SIM_EV_RMA,     /* the next piece of a transfer lands */
    SIM_EV_GHOST,   /* a piece of a closed connection's write lands */
    SIM_EV_REVOKE,  /* a region is closed */
    SIM_EV_SHARED, /* an op on a shared directory: at the server, on its way back, at its process */
    SIM_EV_LANDS,  /* a change that was delayed there takes effect */
    SIM_EV_LEAVE,  /* a turn that takes time: has done all that it does; is over; may begin */
};

struct sim_ev {
    int64_t at_ns;
    uint64_t seq;
    uint32_t id; /* slot */
    uint8_t kind, stage, phase;
    bool held, delayed, strays; /* delayed: SIM_EV_SHARED, may land when its process is gone */
    bool counted;               /* among the writes of its machine: disk is on its on_disk */
    struct sim_node *node;      /* the owner, or NULL */
    struct sim_node *turn;      /* whose loop it needs, or NULL */
    struct list link;           /* on the owner's evs, or the free list */
    struct list hold;           /* on a paused node's held */
    struct list disk;           /* on its machine\'s on_disk */
    struct env_op *op;
    struct sim_mount *mount; /* SIM_EV_SHARED */
    int64_t ret;
    void *a, *b, *c;
    uint64_t x, y, z;
    uint64_t bytes; /* SIM_EV_SHARED: that it moves */
};

struct sim_heap_entry {
    int64_t at_ns;
    uint64_t seq;
    uint32_t id; /* the event's */
};

struct sim_site_state {
    struct sim_site pub;
    uint64_t hash;
    const char *literal; /* who asked first; only compared */
};

/* ---- hash ---- */

enum { SIM_HASH_STEP = 64 };

struct sim_hash_run {
    uint64_t sum[8], n;
};
extern const uint64_t sim_hash_key[8];

/* ---- disk ---- */

struct sim_block {
    uint8_t *cur;        /* NULL: zeros */
    uint8_t *dur;        /* the medium's content where a bit of dirty or lost is set; NULL: zeros */
    uint8_t dirty, lost; /* sectors: not written back yet; thought clean but never written */
    bool bad;
    bool taken; /* zeros that were written: cur is NULL, but they have their place on the disk */
    uint16_t cur_n, dur_n; /* bytes that are stored: zeros follow */
    uint64_t epoch;        /* the file's when it was last dirtied */
};

struct sim_file {
    struct sim_block **leaf; /* blocks by index, in leaves of SIM_LEAF; NULL: zeros, clean */
    uint32_t leaves;
    uint32_t users;              /* names in either tree, and handles */
    char *name;                  /* the dent's, while a process sees it under that name */
    uint64_t size, dur_size;     /* what a process sees; what is durable */
    uint64_t min_size;           /* the smallest since dur_size was right */
    uint64_t epoch;              /* counts syncs as they are submitted */
    uint64_t dirty_lo, dirty_hi; /* every dirty block's index is in [lo, hi) */
    uint32_t syncs;              /* under way */
};

struct sim_dent { /* one name; cur is what processes see, dur what a power loss leaves */
    char *name;
    struct sim_file *cur, *dur;
    uint64_t unlink; /* the unlink that is not durable yet; 0: none */
};

struct sim_unlink { /* oldest first */
    struct list link;
    int64_t at_ns;
    uint64_t id;
    char name[ENV_NAME_MAX];
};

struct sim_handle {
    struct env_file pub;
    struct sim_node *node;
    struct sim_file *file;
    unsigned flags;
    uint32_t under_way;
    int lost; /* of a write that was answered: the next sync says it */
    struct list link;
};

struct sim_disk {
    struct sim_disk_config cfg;
    struct sim_dent *dents; /* sorted by name */
    uint32_t n, cap;
    uint64_t used, unlink;
    struct list unlinks;
    int64_t free_ns; /* the transfer before it ends */
    struct prng prng;
    struct list handles;
};

enum sim_disk_call {
    SIM_DISK_OPEN,
    SIM_DISK_CLOSE,
    SIM_DISK_READ,
    SIM_DISK_WRITE,
    SIM_DISK_SYNC,
    SIM_DISK_RESIZE,
    SIM_DISK_PUNCH,
    SIM_DISK_RENAME,
    SIM_DISK_UNLINK,
    SIM_DISK_LIST,
};

/* ---- shared directories ---- */

/* What a client's kernel has of a shared directory; it outlives the process. */
struct sim_mount {
    struct env env; /* what a process of the node uses */
    struct sim_node *node;
    struct sim_shared *fs;
    struct list on_node, on_fs;
    struct list handles;              /* of the process */
    struct list seen;                 /* sim_seen: files, the last one first */
    int64_t names_ns, names_until_ns; /* names are as they were then, until then */
    bool has_failed;                  /* the process has heard of an error that was asked for */
    int64_t stuck_until_ns;           /* sim_shared_stick */
    uint64_t stuck_salt;
    struct prng prng;
};

struct sim_shared {
    struct sim *sim;
    struct list link; /* on the world's */
    struct sim_shared_config cfg;
    struct sim_node *server; /* its disk holds all of it */
    struct sim_node
        *shade; /* no node: what clients remember lies on its disk, and is not counted */
    struct list mounts;
    struct list past; /* sim_past: changes of names, the oldest first */
    struct list late; /* sim_late: changes that have not landed */
    bool down;
    int64_t out_until_ns; /* it answers nothing until then, or E_IO */
    bool out_fails;
};

/* ---- network ---- */

struct sim_link { /* what is special about one direction between two nodes */
    uint32_t from, to;
    bool used, own, blocked;
    uint32_t loss_ppm, slow; /* slow: so many times as long; 0: as usual */
    int64_t min_ns, mean_ns, clog_until_ns;
};

enum sim_item_kind {
    SIM_ITEM_FRAMES, /* what one turn sent, up to the next of the others */
    SIM_ITEM_RAW,    /* the same of a raw connection, or a piece of it: bytes without frames */
    SIM_ITEM_HELLO,  /* accepted */
    SIM_ITEM_FIN,
    SIM_ITEM_WRITE, /* an rma write, whole */
    SIM_ITEM_READ,  /* an rma read's request */
    SIM_ITEM_DATA,  /* and its answer */
};

struct sim_item { /* one thing in the order of one direction */
    struct list link;
    uint8_t kind;
    bool clogged;            /* due when the clog ends */
    bool departed, queued;   /* left the process; waited for the receiver's NIC */
    uint32_t n, cap, frames; /* bytes of frames, each with a head of SIM_FRAME_HEAD */
    uint64_t wire, backlog;
    int64_t due_ns, born_ns;
    uint8_t *bytes;
    struct sim_rma *rma;
};

enum sim_end_state {
    SIM_END_CLOSED,
    SIM_END_CONNECTING,
    SIM_END_KNOWN, /* raw: the machine has accepted, its process has not heard of it yet */
    SIM_END_OPEN,
    SIM_END_CLOSING
};

struct sim_end {
    struct env_conn pub;
    struct sim_conn *conn;
    struct sim_node *node;
    struct env_peer *peer; /* the process's memory: only while the state is not CLOSED */
    uint8_t state, index;
    bool stuck; /* the head of out waits for a partition to heal, or for ever */
    int64_t stuck_since_ns;
    int why;
    uint64_t backlog;
    int64_t last_due_ns;
    struct list link, dirty; /* on the node's ends; on the world's dirty ends */
    struct list out;         /* sim_item: from this end to the other, in order */
    struct list rmas;        /* submitted here, not done */
    struct sim_ev *ev;       /* the head of out arrives at the other end */
    struct sim_ev *unacked_ev, *close_ev, *rst_ev; /* happen at this end */
};

struct sim_conn {
    struct sim *sim;
    struct sim_end end[2]; /* 0 called, 1 accepted */
    struct list link;
    uint64_t id;
    uint32_t busy; /* callbacks on the stack */
    bool silent;   /* half-open: carries nothing any more */
    bool broken;   /* a reset is on its way: what is sent now is lost */
    bool raw;
    struct sim_ev *op_ev, *knock_ev, *deadline_ev; /* of the connect */
    char addr[ENV_ADDR_MAX];
};

struct sim_rma {
    struct list link;
    struct sim_ev *op_ev, *ev; /* ev lands the next piece */
    struct sim_end *from;
    struct sim_item *item; /* in whose order it stands now */
    bool write, arrived;   /* arrived: only the acknowledgement is missing */
    int ret;
    uint8_t *mem;
    uint32_t len, pieces;
    uint64_t off, landed; /* landed: a bit per piece */
    struct env_key key;
};

struct sim_region {
    bool used;
    uint64_t token, len; /* the token's low bits are the slot */
    uint8_t *mem;
};

struct sim_listener {
    struct list link;
    struct env_acceptor *acc;
    bool raw;
    char port[8];
};

struct sim_net {
    struct sim_net_config cfg;
    struct sim_link *links; /* open addressing by (from, to) */
    uint32_t n_links, cap_links;
    struct list conns, dirty;
    struct prng prng, raw; /* raw: where raw bytes are cut and joined */
    uint64_t next_conn;
};

/* ---- nodes and the world ---- */

/* Nodes that share processors and a disk. */
struct sim_machine {
    uint32_t nodes, busy; /* processors that are */
    uint32_t writes;      /* durable ones whose times a model says, under way, */
    struct list on_disk;  /* their events */
    struct list waiting;  /* nodes, for a processor */
};

struct sim_node {
    struct env env; /* of the current incarnation: container_of brings the node back */
    struct sim *sim;
    uint32_t id, incarnation;
    char name[64];
    bool up, powered;
    bool paused, stalled; /* by a driver; inside a turn that is not over */
    /* sim_serve.c */
    struct sim_machine *machine;
    bool serves, leaves, waits; /* in a turn that takes time; at its end; for a processor */
    bool has_core;
    bool is_cold;        /* its processor was idle before this turn */
    int64_t spent_ns;    /* of the turn */
    struct list wait;    /* on the machine's waiting */
    struct list submits; /* disk operations of the turn, that leave at its end */
    int64_t released_ns; /* when it went on last */
    uint8_t doomed;      /* at the end of this turn: 1 crash, 2 power loss */
    struct mem mem;
    struct list evs, held;
    struct prng random, fault, clock;
    void (*boot)(struct env *e, struct mem *m, void *ctx);
    void *boot_ctx;
    /* a stall: submits left until lag_ns is added to what is submitted */
    bool stall_armed;
    uint32_t stall_after;
    int64_t stall_ns, lag_ns, stalled_until_ns;
    /* clock: local = base_local + (world - base_world) * (1e6 + drift) / 1e6 */
    int64_t clock_world_ns, clock_local_ns, wall_offset_ns;
    int32_t drift_ppm, own_ppm; /* own: unless a driver has it run at another rate for a while */
    struct sim_disk disk;
    struct list mounts; /* of shared directories */
    struct list ends, listeners;
    uint64_t secret[2]; /* 0: none */
    struct sim_region *regions;
    uint32_t n_regions, cap_regions;
    int64_t tx_free_ns, rx_free_ns;
    bool own_nic;
    uint64_t nic_bytes_per_s;
};

struct sim {
    struct mem *mem;
    struct sim_config cfg;
    int64_t now_ns;
    uint64_t seq, events;
    bool running, dooms; /* dooms: some node dies at the end of this turn */
    bool serves;         /* turns take time */
    struct sim_heap_entry *heap;
    uint32_t *pos; /* of each event, by its id: place in the heap + 1, beside the others' places */
    uint32_t n_heap, cap_heap;
    struct sim_ev **chunks;
    uint32_t n_chunks, cap_chunks;
    struct list free_evs;
    struct sim_node **nodes;
    uint32_t n_nodes, cap_nodes;
    struct sim_node *turn; /* whose loop runs now */
    struct list world_evs;
    struct prng driver, stall;
    bool halted;
    struct sim_net net;
    struct list shared;
    struct sim_site_state sites[SIM_SITES];
    uint32_t n_sites;
    struct sim_chance_state *chance; /* NULL: nobody asks */
    uint64_t hash[2], n_trace;
    int64_t since_ns; /* of the next record */
    struct sim_trace ring[SIM_RING];
    void (*trace_fn)(void *ctx, const struct sim_trace *t);
    void *trace_ctx;
    struct sim_stats stats;
};

/* world memory; exhaustion is a bug of the composition root */
void *sim_alloc(struct sim *s, size_t n);
void sim_free(struct sim *s, void *p, size_t n);

/* an event that is parked; owner may be NULL (the world) */
struct sim_ev *sim_ev_new(struct sim *s, struct sim_node *owner, enum sim_ev_kind kind);
void sim_ev_at(struct sim *s, struct sim_ev *ev, int64_t at_ns); /* sets or moves */
static inline bool sim_ev_is_queued(const struct sim *s, const struct sim_ev *ev)
{
    return s->pos[ev->id] != 0;
}
void sim_ev_unqueue(struct sim *s, struct sim_ev *ev);
void sim_ev_free(struct sim *s, struct sim_ev *ev);
/* keeps ev until n resumes; true if n is paused */
bool sim_ev_hold(struct sim_node *n, struct sim_ev *ev);

/* what came for n while it stood still comes now, unless it stands still for another reason */
void sim_node_release(struct sim_node *n);

/* counts a submit of n; ret: the world time at which it leaves the process */
int64_t sim_submit_ns(struct sim_node *n);
/* a parked event that owns op */
struct sim_ev *sim_op_begin(struct sim_node *n, struct env_op *op, enum sim_ev_kind kind);
/* frees ev and runs done */
void sim_op_finish(struct sim *s, struct sim_ev *ev, int64_t ret);
/* the op of ev completes with ret at at_ns */
void sim_op_later(struct sim *s, struct sim_ev *ev, int64_t ret, int64_t at_ns);

void sim_record(struct sim *s, const struct sim_node *n, enum sim_kind kind, uint64_t a,
                uint64_t b);
int64_t sim_draw_ns(struct prng *p, int64_t min_ns, int64_t mean_ns);
int64_t sim_transfer_ns(uint64_t bytes, uint64_t bytes_per_s);

/* sim_hash.c: for traces, strong enough to tell runs apart, fast enough for bulk bytes */
void sim_hash_begin(struct sim_hash_run *h);
/* copies a part, and hashes it; to NULL: hashes it */
void sim_hash_copy(struct sim_hash_run *h, void *to, const void *from, size_t n);
void sim_hash_zeros(struct sim_hash_run *h, size_t n); /* a part of n zeros */
/* of n bytes so many whole steps that nothing but zeros, and less than a step, are behind them */
size_t sim_hash_front(const void *p, size_t n);
uint64_t sim_hash_end(const struct sim_hash_run *h);
/* takes four words into h */
void sim_hash_words(uint64_t h[2], uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* sim_chance.c: what has hit, and what is to hit */
struct sim_hit {
    int64_t for_ns;
    uint64_t n;
    enum sim_chance_kind kind;
};
bool sim_chance_ask(struct sim *s, const struct sim_node *n, const struct sim_node *to,
                    const char *site, bool drawn, struct sim_hit *hit);
/* drawn: by the stream, with what hit says; ret: does it happen?  hit: as it is to be */
static inline bool sim_chance(struct sim *s, const struct sim_node *n, const struct sim_node *to,
                              bool drawn, struct sim_hit *hit)
{
    return s->chance ? sim_chance_ask(s, n, to, NULL, drawn, hit) : drawn;
}
void sim_chance_close_world(struct sim *s);

/* sim_model.c */
int64_t sim_model_draw_ns(const struct sim_grid *g, uint64_t bytes, uint64_t at_once,
                          struct prng *p);

/* what the table's median is, instead of a draw */
int64_t sim_model_median_ns(const struct sim_grid *g, uint64_t bytes, uint64_t at_once);

/* sim_serve.c: turns that take time */
void sim_serve_open(struct sim_node *n);
void sim_serve_close(struct sim_node *n);
/* false: n waits for a processor, and ev is kept until it has one */
bool sim_serve_begin(struct sim_node *n, struct sim_ev *ev);
void sim_serve_event(struct sim *s, struct sim_ev *ev);
void sim_serve_end(struct sim_node *n); /* its process is gone */

/* sim_clock.c */
void sim_clock_boot(struct sim_node *n, bool power);
int64_t sim_clock_local_ns(const struct sim_node *n);
int64_t sim_clock_world_ns(const struct sim_node *n, int64_t local_ns); /* rounded up */
int64_t sim_clock_vt_now(struct env *e);
int64_t sim_clock_vt_clock(struct env *e); /* how far the turn has come, too */
int64_t sim_clock_vt_wall(struct env *e);
uint64_t sim_clock_vt_random(struct env *e);
void sim_clock_vt_timer_set(struct env *e, struct env_timer *t, int64_t at_ns);
void sim_clock_vt_timer_stop(struct env *e, struct env_timer *t);
void sim_clock_timer_event(struct sim *s, struct sim_ev *ev);

/* sim_fault.c */
bool sim_fault_vt(struct env *e, const char *site);

/* sim_disk.c: files and names, cached and durable */
void sim_disk_open_world(struct sim_node *n);
void sim_disk_close_world(struct sim_node *n);
int sim_disk_check_name(const char *name, size_t *ret_len); /* 0 or E_INVAL, E_NAMETOOLONG */
struct sim_dent *sim_disk_find(struct sim_disk *d, const char *name);
uint32_t sim_disk_lower(const struct sim_disk *d, const char *name); /* the first not before name */
/* 0; E_ISDIR when files lie below name; E_NOTDIR when a parent is a file */
int sim_disk_check_place(struct sim_disk *d, const char *name);
struct sim_file *sim_disk_create(struct sim_node *n, const char *name);
void sim_disk_remove(struct sim_node *n, const char *name);
void sim_disk_move(struct sim_node *n, const char *from, const char *to);
void sim_disk_expire(struct sim_node *n);                       /* old unlinks become durable */
void sim_disk_file_put(struct sim_node *n, struct sim_file *f); /* one user less */
/* these two hash what they copy, if h is not NULL and off a multiple of SIM_HASH_STEP */
void sim_disk_file_read(const struct sim_file *f, uint8_t *to, uint64_t len, uint64_t off,
                        struct sim_hash_run *h);
bool sim_disk_file_bad(const struct sim_file *f, uint64_t len, uint64_t off);
/* from NULL writes zeros; durable: what DSYNC does */
void sim_disk_file_write(struct sim_node *n, struct sim_file *f, const uint8_t *from, uint64_t len,
                         uint64_t off, bool durable, struct sim_hash_run *h);
uint64_t sim_disk_file_need(const struct sim_file *f, uint64_t len, uint64_t off); /* new bytes */
void sim_disk_file_resize(struct sim_node *n, struct sim_file *f, uint64_t size);
void sim_disk_file_synced(struct sim_node *n, struct sim_file *f, uint64_t epoch, bool ok);
void sim_disk_lose(struct sim_node *n); /* the power is gone */

/* sim_disk_io.c: the calls, and their faults and costs */
int64_t sim_disk_io_lat_ns(struct sim_node *n, enum sim_disk_call call); /* how long one takes */
/* when n's disk has moved so many bytes that come to it at now_ns */
int64_t sim_disk_io_moved_ns(struct sim_node *n, uint64_t bytes, int64_t now_ns);
/* opens or creates without a handle; ret: its size */
int64_t sim_disk_io_find(struct sim_node *n, const char *name, unsigned flags,
                         struct sim_file **ret_f);
struct sim_handle *sim_disk_io_handle_new(struct env *e, struct sim_node *n, struct sim_file *f,
                                          unsigned flags, struct list *on);
void sim_disk_io_forget(struct sim_handle *h);
void sim_disk_io_sync_begins(struct sim_ev *ev); /* it promises what was written until now */
/* what ev asks for happens on n's disk, now; not for OPEN of another env than n's */
int64_t sim_disk_io_effect(struct sim_node *n, struct sim_ev *ev);
/* from: the directory with its '/' (dir_len bytes), then the name to start after */
int64_t sim_disk_io_do_list(const struct sim_disk *d, const char *from, uint64_t dir_len, char *buf,
                            uint64_t cap);
int64_t sim_disk_io_do_rename(struct sim_node *n, const char *from, const char *to);
int64_t sim_disk_io_do_unlink(struct sim_node *n, const char *name);
/* ev's process dies: the kernel may have taken it or not */
void sim_disk_io_crash_one(struct sim_node *n, struct sim_ev *ev);
void sim_disk_io_names_free(struct sim *s, struct sim_ev *ev);
void sim_disk_io_uncount(struct sim *s, struct sim_ev *ev); /* a write of those ends */
void sim_disk_io_leave(struct sim_node *n); /* what its turn has submitted is on its way */
void sim_disk_io_event(struct sim *s, struct sim_ev *ev);
void sim_disk_io_crash(struct sim_node *n); /* what was under way happened, or in part, or not */
void sim_disk_io_open(struct env *e, const char *name, unsigned flags, struct env_file **ret_file,
                      struct env_op *op);
void sim_disk_io_close(struct env_file *f, struct env_op *op);
void sim_disk_io_read(struct env_file *f, void *to, uint32_t len, uint64_t off, struct env_op *op);
void sim_disk_io_write(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                       struct env_op *op);
void sim_disk_io_sync(struct env_file *f, struct env_op *op);
void sim_disk_io_resize(struct env_file *f, uint64_t size, struct env_op *op);
void sim_disk_io_punch(struct env_file *f, uint64_t off, uint64_t len, struct env_op *op);
void sim_disk_io_rename(struct env *e, const char *from, const char *to, struct env_op *op);
void sim_disk_io_unlink(struct env *e, const char *name, struct env_op *op);
void sim_disk_io_list(struct env *e, const char *dir, const char *after, char *buf, uint32_t cap,
                      struct env_op *op);

/* sim_shared.c: shared directories */
extern const struct env_vt sim_shared_vt;
static inline struct sim_mount *sim_shared_mount_of(struct env *e)
{
    return e->vt == &sim_shared_vt ? container_of(e, struct sim_mount, env) : NULL;
}
/* an op of m's process leaves it at now_ns */
void sim_shared_start(struct sim_mount *m, struct sim_ev *ev, uint64_t bytes, int64_t now_ns);
void sim_shared_event(struct sim *s, struct sim_ev *ev);
void sim_shared_crash(struct sim_node *n, bool power); /* the client's process is gone */
/* what m was answered of f lands; for a write, w, only what is in its way */
void sim_shared_settle(struct sim_mount *m, const struct sim_file *f, const struct sim_ev *w);
void sim_shared_vary(struct sim *s, uint64_t seed);
void sim_shared_close_world(struct sim *s);

/* sim_shared_view.c: what a client is told, and changes of names */
int64_t sim_shared_read(struct sim_mount *m, struct sim_ev *ev);
int64_t sim_shared_list(struct sim_mount *m, struct sim_ev *ev);
int64_t sim_shared_find(struct sim_mount *m, const char *name, unsigned flags,
                        struct env_file **ret_file); /* NULL: its process is gone */
int64_t sim_shared_name(struct sim_mount *m, enum sim_disk_call call, const char *from,
                        const char *to);
/* m has changed f; what it remembers follows */
void sim_shared_wrote(struct sim_mount *m, struct sim_file *f, uint64_t off, uint64_t len);
void sim_shared_resized(struct sim_mount *m, struct sim_file *f);
void sim_shared_forget(struct sim_mount *m);
void sim_shared_forget_past(struct sim_shared *fs, int64_t until_ns);

/* sim_net.c: links */
void sim_net_open_world(struct sim *s);
void sim_net_close_world(struct sim *s);
struct sim_link *sim_net_special(struct sim *s, const struct sim_node *from,
                                 const struct sim_node *to); /* NULL: nothing special */
bool sim_net_blocked(struct sim *s, const struct sim_node *from, const struct sim_node *to);
int64_t sim_net_clogged_until(struct sim *s, const struct sim_node *from,
                              const struct sim_node *to);
int64_t sim_net_latency_ns(struct sim *s, const struct sim_node *from, const struct sim_node *to,
                           uint64_t bytes);
/* the latency of one write of so many bytes, with what goes wrong on the way */
int64_t sim_net_journey_ns(struct sim *s, struct sim_node *from, struct sim_node *to,
                           uint64_t bytes);
int64_t sim_net_tx_ns(struct sim_node *n, uint64_t bytes, int64_t at_ns); /* when it has left */
int64_t sim_net_rx_ns(struct sim_node *n, uint64_t bytes);                /* when it has arrived */

/* sim_conn.c: connections */
void sim_conn_event(struct sim *s, struct sim_ev *ev);
void sim_conn_flush(struct sim *s); /* what the turn sent leaves */
void sim_conn_crash(struct sim_node *n, bool power);
void sim_conn_end_silent(struct sim *s);
void sim_conn_heal(struct sim *s); /* some link carries again */
/* both ends are reset, or go silent; ret: 0 when it was closed already */
uint32_t sim_conn_break(struct sim_conn *c, bool silent);
struct sim_item *sim_conn_item(struct sim_end *e, enum sim_item_kind kind, uint64_t wire);
void sim_conn_item_free(struct sim_end *e, struct sim_item *it);
/* n more bytes of an item, which the caller fills */
uint8_t *sim_conn_room(struct sim *s, struct sim_item *it, size_t n);
struct sim_end *sim_conn_other(struct sim_end *e);
void sim_conn_listen(struct env *e, const char *addr, struct env_acceptor *a, struct env_op *op);
void sim_conn_unlisten(struct env *e, struct env_acceptor *a);
void sim_conn_connect(struct env *e, const char *addr, int64_t timeout_ns, struct env_peer *p,
                      struct env_op *op);
void sim_conn_send(struct env_conn *c, uint16_t type, const struct env_iov *iov, unsigned n_iov);
uint64_t sim_conn_backlog(struct env_conn *c);
void sim_conn_hangup(struct env_conn *c);
void sim_conn_adopt(struct env_conn *c, struct env_peer *p);

/* sim_raw.c: raw connections */
void sim_raw_departed(struct sim_end *e, struct sim_item *it); /* it may be another one then */
void sim_raw_join(struct sim_end *e, struct sim_item *it);     /* with what has come behind it */
void sim_raw_deliver(struct sim_end *o, struct sim_item *it);

/* sim_rma.c */
void sim_rma_share(struct env *e, void *mem, uint64_t len, struct env_region *r,
                   struct env_key *ret_key);
void sim_rma_revoke(struct env_region *r, struct env_op *op);
void sim_rma_submit(struct env_conn *c, enum env_rma dir, void *mem, uint32_t len,
                    struct env_key key, uint64_t off, struct env_op *op);
void sim_rma_departed(struct sim_item *it);                      /* pieces may land from now on */
void sim_rma_arrived(struct sim_end *from, struct sim_item *it); /* its turn in the order came */
void sim_rma_acknowledge(struct sim_end *e);       /* acknowledgements reach e again */
void sim_rma_closed(struct sim_end *e, bool late); /* e's transfers end; late: some land yet */
void sim_rma_event(struct sim *s, struct sim_ev *ev);
void sim_rma_crash(struct sim_node *n); /* its regions are gone */
void sim_rma_close_world(struct sim *s);

#endif
