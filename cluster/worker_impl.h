/* cluster/worker_impl.h - the worker's inside, shared by worker*.c and by nobody else.
 *
 * INVARIANTS
 *  1. Nobody holds a page buffer while waiting for another buffer, a fill or a place in a queue, so
 *     buffers always come back; what waits for under-stores may hold at most three quarters of
 *     them, so what is cached is served while those are slow; and of those, of the fetches and of
 *     the requests one mount holds at most a share (worker_mount_share), so that the others go on
 *     while it hangs.
 *  2. A request is in at most one wait queue, and on `aging` exactly while it waits; waits have one
 *     length, so `aging` is in the order of the deadlines.
 *  3. A page is inserted into the index after its bytes and its record were written, and removed
 *     from it before they are cleared.
 *  4. A data file that was ever handed out is neither punched nor written: it leaves as a whole
 *     (worker_local.c). */
#ifndef CLUSTER_WORKER_IMPL_H
#define CLUSTER_WORKER_IMPL_H

#include "cluster/rpc.h"
#include "cluster/rpc_format.h"
#include "cluster/rpc_text.h"
#include "cluster/worker.h"
#include "cluster/worker_store.h"

enum { WORKER_HOLD_BUCKETS = 256 };

enum { WORKER_MASTERS_MAX = 16, WORKER_LANES = 8, WORKER_DROPS = 256, WORKER_RETRIES = 4 };

struct worker_mount {
    struct list link;
    struct ufs *ufs;
    uint32_t refs;                 /* the table's, and one per operation */
    uint32_t reqs, fetching, bufs; /* its requests, fetches and buffers under way */
    uint16_t number;
    uint32_t uri_len;
    char uri[];
};

enum worker_fill_state {
    WF_FETCH, /* from the under-store */
    WF_ROOM,  /* the bytes are here: readers are served from the buffer from now on */
    WF_EVICT, /* somebody's page is being cleared from disk */
    WF_WRITE,
    WF_CLEAN, /* the write failed: no empty file stays behind */
    WF_DONE,  /* waits for its readers */
};

struct worker_fill {
    struct cache_fill fill;
    struct worker *w;
    enum worker_fill_state state;
    struct list link;    /* w->fills_open */
    struct list waiters; /* requests */
    uint8_t *buf;
    uint32_t len, readers; /* readers: transfers from buf under way */
    uint64_t file_size, fp;
    struct worker_mount *mount;
    struct ufs_op ufs;
    struct worker_job job;
    uint32_t *crc;
    uint8_t *rec;
    enum evict_class class;
    bool is_listed, is_reserved;
    unsigned nospc; /* how often the disk said so */
    char *path;
    uint32_t path_len;
};

enum worker_req_state {
    WR_NEXT,    /* decide about the next piece */
    WR_ON_FILL, /* somebody fetches it */
    WR_DISK,
    WR_DROPPED, /* a doubtful page is being cleared */
    WR_RMA,
    WR_RMA_FILL,
    WR_UFS_READ,
    WR_PULL,
    WR_UFS_WRITE,
    WR_UFS_SYNC,
};

struct worker_hot_page { /* a page in memory, or on its way there */
    struct cache_key key;
    struct list hash, lru; /* while ready */
    uint32_t len, refs;
    bool is_ready;
    uint8_t *buf;
    char *mem; /* that buf lies in */
};

struct worker_hot {
    struct list *buckets, lru;
    uint64_t *seen; /* hashes of pages read lately; another one's takes the place */
    uint32_t n_slots, candidates;
    uint64_t bytes, max;
};

struct worker_req {
    struct worker *w;
    struct rpc_token token;
    uint16_t method;
    enum worker_req_state state;
    struct rpc_io io; /* path is our copy */
    uint64_t at, end;
    uint32_t piece; /* bytes of the piece under way */
    bool all_hit, is_direct;
    bool is_ufs_buf; /* buf, or the one it waits for, is for its mount */
    unsigned retries;
    struct list open; /* w->reqs */
    struct list wait, aging;
    int64_t since_ns, valid_ns;
    uint32_t slot;
    uint8_t *buf;
    struct worker_hot_page *hot; /* the page at hand in memory: all of it, or being filled */
    struct worker_fill *fill;
    struct worker_mount *mount;
    struct worker_job job;
    struct ufs_op ufs;
    struct env_op rma;
};

struct worker_drop { /* clearing that nobody waits for */
    struct worker *w;
    struct worker_job job;
};

enum worker_hold_state {
    WH_WANTED, /* asked for, but pages are missing */
    WH_CHECK,  /* being read and verified, or waiting for that */
    WH_READY,  /* may be handed out */
    WH_GONE,   /* left the cache; its bytes stay on disk until everybody gave it back */
};

struct worker_hold {    /* one version of a file that a process of this host asked for */
    struct list link;   /* local.bucket; not while GONE */
    struct list idle;   /* local.idle while nobody has it, local.checks while CHECK */
    struct list grants; /* who has it */
    enum worker_hold_state state;
    struct ino ino;
    uint64_t version, size;
    uint64_t stamp; /* READY: the file's when its bytes were right */
};

struct worker_grant {
    struct list link;  /* hold->grants */
    struct list order; /* local.all_grants */
    struct worker_hold *hold;
    uint64_t token;
    struct rpc_conn *conn; /* with its serial: whose it is */
    uint64_t conn_serial;
    int64_t until_ns;
};

struct worker_local {
    struct pool holds, grants;
    struct list bucket[WORKER_HOLD_BUCKETS];
    struct list idle, checks, all_grants;
    uint64_t held_bytes;          /* of files that somebody has, with those that are GONE */
    struct worker_hold *checking; /* NULL while buf is not: it vanished meanwhile */
    uint8_t *buf;                 /* a page of it is being read */
    uint32_t page, slot;
    uint64_t stamp; /* when the check began */
    struct worker_job job;
};

struct worker_master {
    struct worker *w;
    char addr[ENV_ADDR_MAX];
    struct rpc_link link;
    struct rpc_link_call call;
    struct env_timer timer;
    struct cache_cursor cursor;
    bool is_calling, has_cursor, want_full, in_full, has_more;
    uint32_t flags; /* of the beat under way */
    int64_t interval_ns;
    int64_t heard_ns; /* when it answered last; 0: never */
    uint8_t *body;
};

enum worker_lane_step {
    WL_LIST,
    WL_NAME,
    WL_OPEN,
    WL_HEAD,
    WL_RECS,
    WL_CLEAR,
    WL_CLOSE,
    WL_UNLINK,
    WL_DONE,
};

struct worker_lane { /* rebuilds the index from a part of the shards */
    struct worker *w;
    enum worker_lane_step step;
    uint32_t shard;
    char after[WORKER_FORMAT_NAME];
    uint32_t names_len, names_at;
    struct worker_format_head head, data; /* of the map at hand; of the last data file's name */
    bool has_data, has_head, is_bad, has_hole;
    struct env_file *map;
    uint64_t map_at;
    uint32_t recs_len, recs_at, page, kept;
    char unlink_name[ENV_NAME_MAX];
    struct env_op op;
    struct worker_job job;
    uint8_t *buf; /* names */
    uint8_t *recs;
};

enum worker_phase {
    WP_ID,   /* reading or making the directory's identity */
    WP_TOLD, /* waiting for a master to tell the page size */
    WP_LOAD,
    WP_SERVE,
    WP_FAILED,
    WP_LEAVE, /* telling the masters */
    WP_DRAIN,
    WP_STOPPED,
};

struct worker {
    struct env *env;
    struct mem *mem;
    struct worker_config cfg;
    enum worker_phase phase;
    int why;
    struct worker_format_id id;
    uint64_t incarnation;
    uint64_t kernel; /* a hash of its name; 0: not known */
    char prefix[ENV_NAME_MAX];
    const struct evict_ops *policy;

    struct rpc_host host;
    struct env_op listening;
    bool is_listening; /* the bind is under way */
    struct worker_master *masters;
    uint32_t n_masters, n_given; /* the first were configured */
    uint64_t epoch;
    struct list mounts;
    uint32_t n_mounts;

    struct cache cache;
    struct worker_hot hot;
    struct worker_store store;
    bool has_cache;

    uint8_t *slab; /* the buffers' memory */
    size_t slab_bytes;
    uint8_t **bufs;
    uint32_t n_bufs, free_bufs, ufs_bufs; /* ufs_bufs: wait for under-stores */
    struct pool reqs, fills, drops;
    struct list reqs_open, fills_open;
    struct list wait_buf, wait_fill, aging;
    uint32_t fetching;
    bool in_kick;
    struct env_timer tick;
    int64_t drain_until_ns;
    int64_t say_mount_ns, say_keep_ns; /* no such line before */

    struct env_op boot; /* the identity's file */
    struct env_file *boot_file;
    int boot_step;
    bool is_booting, has_id, has_shards;
    uint8_t boot_id[WORKER_FORMAT_ID];
    char boot_after[ENV_NAME_MAX];
    char boot_names[4096];
    struct worker_lane *lanes;
    uint32_t lanes_busy;

    struct worker_local local;
    struct worker_stats stats;
    struct env_op *stopping;
};

/* worker.c */
void worker_fail(struct worker *w, int why);
/* one line in a while, about what goes wrong again and again */
bool worker_may_say(struct worker *w, int64_t *next_ns);
bool worker_make_cache(struct worker *w); /* false: failed */
/* m: the mount whose under-store it is for, or NULL: for what is cached.  NULL: none is free */
uint8_t *worker_buf_get(struct worker *w, struct worker_mount *m);
void worker_buf_put(struct worker *w, uint8_t *buf, struct worker_mount *m);
bool worker_buf_may(const struct worker *w, const struct worker_mount *m);
/* what one mount may hold of `all` */
uint32_t worker_mount_share(const struct worker *w, uint32_t all);
struct worker_mount *worker_mount_get(struct worker *w, uint16_t number); /* NULL: unknown */
void worker_mount_put(struct worker *w, struct worker_mount *m);
void worker_mounts_set(struct worker *w, struct rbuf items, uint32_t n);

/* worker_load.c */
void worker_load_boot(struct worker *w); /* identity; on to WP_TOLD or WP_LOAD */
void worker_load_page_bytes(struct worker *w, uint32_t page_bytes); /* told by a master */
void worker_load_free(struct worker *w);
bool worker_load_idle(const struct worker *w);

/* worker_beat.c */
int worker_beat_open(struct worker *w);
void worker_beat_start(struct worker *w);
void worker_beat_now(struct worker *w);
void worker_beat_leave(struct worker *w);
bool worker_beat_idle(const struct worker *w);
/* its masters, and when each answered last */
void worker_beat_text(const struct worker *w, struct rpc_text *t);
void worker_beat_close(struct worker *w);
void worker_beat_free(struct worker *w);

/* worker_fill.c */
bool worker_fill_may_start(const struct worker *w, const struct worker_mount *m);
/* a fill for the request's page, if one may start; NULL: no memory */
struct worker_fill *worker_fill_start(struct worker *w, struct worker_req *r, struct cache_key key);
void worker_fill_reader_done(struct worker_fill *f);
/* the index forgets a page and the disk follows, without anybody waiting; false: too many at once
 */
bool worker_fill_drop_file(struct worker *w, struct cache_file *file);
/* The index forgets a page, and every page of its file where they go together; ret: the job, with
 * the page's key, by which the disk follows. */
enum worker_job_kind worker_fill_forget(struct worker *w, uint32_t slot, enum evict_why why);
bool worker_fill_is_writing(const struct worker *w, struct ino ino, uint64_t version);

/* worker_local.c */
int worker_local_open(struct worker *w);
void worker_local_free(struct worker *w);
void worker_local_call(struct worker *w, struct rpc_token t, const void *body, uint32_t len);
void worker_local_closed(struct rpc_host *h, struct rpc_conn *c);
/* a page came */
void worker_local_filled(struct worker *w, struct ino ino, uint64_t version);
/* a page, or every page, of a file is about to leave the index */
void worker_local_leaving(struct worker *w, struct cache_file *file, bool all);
void worker_local_tick(struct worker *w);
bool worker_local_idle(const struct worker *w);
bool worker_local_check(const struct worker *w, char *err_text, size_t cap);

/* worker_hot.c */
int worker_hot_init(struct worker *w) MUST_CHECK;
/* a page in memory; or NULL */
struct worker_hot_page *worker_hot_find(struct worker *w, struct cache_key key);
/* memory for a page that is about to be read whole, if it is to be kept; or NULL */
struct worker_hot_page *worker_hot_begin(struct worker *w, struct cache_key key, uint32_t len);
void worker_hot_ready(struct worker *w,
                      struct worker_hot_page *p); /* all of it is there, and good */
void worker_hot_put(struct worker *w, struct worker_hot_page *p);
bool worker_hot_check(const struct worker *w);
void worker_hot_free(struct worker *w);

/* worker_rpc.c */
/* are these the bytes of a cached page, at off of the file, the begin of a block? */
bool worker_rpc_verify(const struct worker *w, const struct cache_slot *s, const uint8_t *bytes,
                       uint32_t len, uint64_t off);
void worker_rpc_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                     uint32_t len);
/* the fill has its bytes, or failed with err */
void worker_rpc_filled(struct worker_req *r, struct worker_fill *f, int err);
void worker_rpc_kick(struct worker *w); /* something became free */
void worker_rpc_expire(struct worker *w);
void worker_rpc_abort(struct worker *w, int err); /* ends everything that waits in a queue */

#endif
