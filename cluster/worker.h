/* cluster/worker.h - a worker: pages of files in a local directory, served by rma.
 *
 * Every page is fetched from the under-store once, however many ask for it; readers are served as
 * soon as their part of a page has arrived.  What is cached survives a restart and is verified by
 * checksum whenever it is read; anything doubtful is fetched again. */
#ifndef CLUSTER_WORKER_H
#define CLUSTER_WORKER_H

#include "cluster/ufs.h"
#include "core/env.h"
#include "core/mem.h"

/* The edge through which processes of the same host get descriptors of whole files. */
struct worker_edge {
    const char *host;    /* names the running kernel */
    const char *address; /* where descriptors are asked for, with a token */
    /* a number that changes with the bytes of a file of ours (a disk name); 0: it is not there */
    uint64_t (*stamp)(struct worker_edge *e, const char *name);
};

struct worker_config {
    const char *listen;    /* "host:port" */
    const char *advertise; /* what clients connect to; NULL: listen */
    const char *host;      /* this host's name */
    const char *kernel;    /* names the running kernel; NULL or "": not known */
    const char *masters;   /* "host:port[,host:port...]": it reports to all of them */
    const char *dir;       /* disk name of the cache, "" for the env's own directory */
    uint64_t capacity_bytes;
    const char *eviction; /* "s3fifo" (default), "lru", "fifo" */
    struct ufs_factory *ufs;
    struct worker_edge *edge;  /* NULL: nothing is handed out */
    uint32_t requests_max;     /* at once; default 1024 */
    uint32_t fetches_max;      /* under-store reads at once; default 16 */
    uint64_t buffer_bytes;     /* page buffers; default 64 MiB */
    uint64_t page_cache_bytes; /* for pages kept in memory; 0: none */
};

struct worker_stats {
    uint64_t pages, bytes, capacity;
    uint64_t reads, hits, misses, bytes_served, ufs_reads, ufs_bytes, evictions, corrupt, errors;
    uint64_t live_reads, writes, memory_hits;
    uint64_t handed_out, held_bytes, lent_bytes, checked, refused; /* see worker_local.c */
};

struct worker;

enum worker_state { WORKER_STARTING, WORKER_SERVING, WORKER_FAILED, WORKER_STOPPED };

struct worker_config worker_config_default(void);
int worker_open(struct env *e, struct mem *m, const struct worker_config *cfg,
                struct worker **ret_w) MUST_CHECK;
enum worker_state worker_state(const struct worker *w, int *ret_why);
void worker_stop(struct worker *w, struct env_op *op);
/* what it has to say, lines "key value\n" as RPC_WORKER_STATUS gives them; the length */
size_t worker_status_text(const struct worker *w, char *to, size_t cap);
void worker_stats(const struct worker *w, struct worker_stats *ret_s);
/* For the edge: the disk name of the file that token was given for, and its size; false: no such
 * token. */
bool worker_local_name(const struct worker *w, uint64_t token, char *name, size_t cap,
                       uint64_t *ret_size);
bool worker_check(const struct worker *w, char *err_text, size_t cap);

#endif
