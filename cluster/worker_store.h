/* cluster/worker_store.h - a worker's pages on disk: one sparse data file and one map per version
 * of a file (cluster/worker_format.h), their open handles, and the order of what happens to them.
 *
 * Jobs on one file that change it run one after the other, in the order of their submission; reads
 * run beside them.  Changes wait for a place among the files at work; what is to go from the disk
 * must go, or its space is lost until the next start.  So whoever removes a page from the index
 * first and submits the CLEAR then may submit a new WRITE of the same page at once. */
#ifndef CLUSTER_WORKER_STORE_H
#define CLUSTER_WORKER_STORE_H

#include "cluster/worker_format.h"
#include "core/env.h"

enum worker_job_kind {
    WORKER_JOB_READ,  /* buf[0..len) from off of the data file; ret: bytes */
    WORKER_JOB_WRITE, /* buf[0..len) is the page, rec its record; both files are made.  ret: 0 */
    WORKER_JOB_CLEAR, /* the page's record and bytes go.  ret: 0 */
    WORKER_JOB_DROP,  /* both files go.  ret: 0 */
};

struct worker_store_file;

struct worker_job {
    struct env_op
        op; /* done once, never inside submit; E_AGAIN, of a read: too many files at work */
    enum worker_job_kind kind;
    struct cache_key key;
    void *buf;
    const uint8_t *rec;
    uint32_t len;
    uint64_t off, file_size;
    /* the store's own */
    struct list link;
    struct env_op io;
    struct worker_store_file *file;
};

enum { WORKER_STORE_BUCKETS = 256 };

struct worker_store {
    struct env *env;
    const char *prefix; /* "" or ending in '/' */
    uint32_t page_bytes, rec_bytes;
    struct pool files;
    struct list bucket[WORKER_STORE_BUCKETS];
    struct list idle;    /* open handles that nobody uses, oldest first */
    struct list waiting; /* changes of files for which there is no place yet */
    uint32_t jobs;       /* under way */
    struct mem *mem;
    bool is_closing;
};

/* files_max: at work or with open handles.  E_NOMEM. */
int worker_store_init(struct worker_store *s, struct env *e, struct mem *m, const char *prefix,
                      uint32_t page_bytes, uint32_t files_max) MUST_CHECK;
void worker_store_submit(struct worker_store *s, struct worker_job *j);
/* closes idle handles; true when no job is under way and everything is closed (ask again later) */
bool worker_store_close(struct worker_store *s);
void worker_store_free(struct worker_store *s);

#endif
