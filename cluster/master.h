/* cluster/master.h - a master: the metadata state machine behind a journal, served to clients.
 *
 * A request is one struct, one enum, one switch (master_rpc.c): checked, journaled, applied; then,
 * where the state machine asks for it, the under-store effect and its outcome record; then the
 * invalidations that others must acknowledge; then the answer. */
#ifndef CLUSTER_MASTER_H
#define CLUSTER_MASTER_H

#include "cluster/ufs.h"
#include "core/env.h"
#include "core/mem.h"
#include "core/meta.h"
#include "journal/journal.h"

struct master_mount {
    const char *path; /* in tarn, "/" or "/data" */
    const char *uri;  /* "dir:/abs/path"; "" for FSOP_MOUNT_META */
    enum fsop_mount_mode mode;
    int64_t check_interval_ns; /* how old a comparison with the under-store may be; 0: each open */
};

/* Sees every record that is applied, every image that is loaded, and when leadership begins and
 * ends: the simulator's checkers.  It must not call into the master. */
struct master_observer {
    void (*on_apply)(struct master_observer *o, uint64_t index, const struct fsop *op,
                     const struct meta_result *res, const struct meta *state);
    void (*on_lead)(struct master_observer *o, uint64_t epoch, const struct meta *state);
    /* these may be NULL */
    void (*on_image)(struct master_observer *o, const struct meta *state);
    void (*on_step_down)(struct master_observer *o);
};

struct master_config {
    const char *listen; /* "host:port" */
    struct journal_config journal;
    /* NULL: zk_drive_open where journal.zk.id is set, raft_open where journal.raft.id is, else
     * local_open */
    struct journal *(*journal_open)(struct env *e, struct mem *m, const struct journal_config *cfg,
                                    struct journal_host *host);
    struct meta_limits limits;
    const struct master_mount *mounts; /* journaled at start where missing or changed */
    uint32_t n_mounts;
    struct ufs_factory *ufs;
    uint64_t page_bytes;              /* of the workers' caches; default 1 MiB */
    uint64_t stripe_bytes;            /* placement unit; default 1 GiB */
    int64_t lease_ns;                 /* a client's lease; default 5 s */
    int64_t session_ns;               /* a silent session expires after this; default 30 s */
    int64_t worker_beat_ns;           /* default 500 ms; a worker is lost after 4 beats */
    uint32_t requests_max;            /* at once; default 4096; one more gets E_AGAIN */
    uint32_t clients_max;             /* connections; default 1024 */
    struct master_observer *observer; /* may be NULL */
};

struct master;

/* STANDBY: one of a group, reachable, and not (or not yet) the one that serves */
enum master_state {
    MASTER_STARTING,
    MASTER_STANDBY,
    MASTER_SERVING,
    MASTER_FAILED,
    MASTER_STOPPED
};

struct master_config master_config_default(void);
/* Starts at once; one of a group listens at once, a single one when it may serve.  cfg's strings
 * must live as long as the master. */
int master_open(struct env *e, struct mem *m, const struct master_config *cfg,
                struct master **ret_m) MUST_CHECK;
enum master_state master_state(const struct master *m, int *ret_why);
/* What it has to say, lines "key value\n" as RPC_STATUS gives them; at least 256 bytes; the length.
 */
size_t master_status_text(struct master *m, char *to, size_t cap);
/* Has another one of its group lead, if this one does: ret 0 when it leads, or why not (it led not,
 * nobody else can, not in time).  It goes on serving meanwhile.  Before master_stop, so that nobody
 * waits for an election. */
void master_hand_over(struct master *m, int64_t timeout_ns, struct env_op *op);
/* ends requests, flushes the journal, closes; done once */
void master_stop(struct master *m, struct env_op *op);
const struct meta *master_meta(const struct master *m); /* for the simulator's checkers */
/* whole: the namespace, too, which takes as long as that is large */
bool master_check(const struct master *m, bool whole, char *err_text, size_t cap);
/* its journal's own word */
void master_journal_status(const struct master *m, struct journal_status *ret_status);
/* how many pages the worker that is reached there has reported; false: it is not known or not alive
 */
bool master_member_pages(const struct master *m, const char *addr, uint64_t *ret_pages);

#endif
