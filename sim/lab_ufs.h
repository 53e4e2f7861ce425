/* sim/lab_ufs.h - the under-store of the simulated cluster: directory trees that every node shares.
 *
 * A model of a POSIX directory behind cluster/ufs.h, for URIs "sim:NAME".  It outlives crashes of
 * the nodes that use it, as a file server does.
 *
 * INVARIANTS
 *  1. An operation takes effect at one moment between its submit and its completion; a long read
 *     looks twice.  A node that crashes meanwhile does not know whether it did.
 *  2. Bytes of a file are a function of its history: seeded bytes are computed, written ones are
 *     kept with the change that wrote them.  Every past state can be read again, which is how the
 *     checker knows what a reader may have seen; until it says which ones it needs no more.
 *  3. Everything is drawn from one stream of the seed; no pointer decides anything. */
#ifndef SIM_LAB_UFS_H
#define SIM_LAB_UFS_H

#include "cluster/ufs.h"
#include "core/mem.h"
#include "sim/sim.h"

struct lab_ufs;

struct lab_ufs_config {
    uint64_t seed;
    int64_t latency_min_ns, latency_mean_ns;
    uint32_t eio_ppm;       /* an operation fails */
    uint32_t short_ppm;     /* a read gives fewer bytes than the file has, and says nothing */
    uint64_t capacity;      /* bytes; 0: no limit */
    int64_t granularity_ns; /* of file times */
};

enum lab_ufs_change_kind { LAB_UFS_SEED, LAB_UFS_SIZE, LAB_UFS_WRITE };

/* One change of a file's bytes; change 0 made the file. */
struct lab_ufs_change {
    int64_t t_ns;
    enum lab_ufs_change_kind kind;
    bool behind;             /* by nobody in the cluster */
    int64_t firm_ns;         /* the checkers': a change of size was acknowledged then; 0: not yet */
    uint64_t off, len, size; /* size after it */
    uint64_t seed;
    uint8_t *data;
};

struct lab_ufs_stats {
    uint64_t ops, failed, reads, read_bytes, writes, written_bytes, behind, lost;
    uint64_t too_late; /* writes that a fence stopped */
    uint64_t cut;      /* reads that came short */
};

struct lab_ufs_config lab_ufs_config_default(uint64_t seed);
struct lab_ufs *lab_ufs_open(struct mem *m, struct sim *s, const struct lab_ufs_config *cfg);
struct ufs_factory *lab_ufs_factory(struct lab_ufs *u);
const struct lab_ufs_stats *lab_ufs_stats(const struct lab_ufs *u);
/* a name of the file was taken away, or given to another one, by nobody in the cluster */
bool lab_ufs_is_displaced(const struct lab_ufs *u, uint64_t ino);

/* ---- changes at once and by nobody in the cluster; paths begin with the store's name ---- */

int lab_ufs_mkdir(struct lab_ufs *u, const char *path);
/* makes or replaces: a new inode with fresh bytes */
int lab_ufs_file(struct lab_ufs *u, const char *path, uint64_t size);
/* the same inode, other bytes */
int lab_ufs_rewrite(struct lab_ufs *u, const char *path, uint64_t size);
int lab_ufs_remove(struct lab_ufs *u, const char *path);
/* every operation fails until then */
/* chance goes on with other streams */
void lab_ufs_vary(struct lab_ufs *u, uint64_t seed);
void lab_ufs_outage(struct lab_ufs *u, int64_t until_ns);
void lab_ufs_full(struct lab_ufs *u, int64_t until_ns);
void lab_ufs_eio(struct lab_ufs *u, uint32_t ppm);
void lab_ufs_short(struct lab_ufs *u, uint32_t ppm);

/* ---- looking, for checkers ---- */

/* A change that was just made for a process; one that has died since may still be carried out. */
struct lab_ufs_effect {
    enum ufs_kind kind;
    const char *path, *path2; /* relative to the store */
    uint64_t ino;             /* WRITE: of the file */
    uint64_t off;
    uint32_t len;
    struct sim_node *by;
    bool is_orphan;
};

void lab_ufs_on_effect(struct lab_ufs *u, void (*fn)(void *ctx, const struct lab_ufs_effect *e),
                       void *ctx);

/* target has room for LIMIT_PATH bytes, or is NULL */
int lab_ufs_look(const struct lab_ufs *u, const char *path, struct fsent *ret_ent, char *target);
/* the i-th name of a directory, or NULL; name and ent as for a listing */
const char *lab_ufs_name(const struct lab_ufs *u, const char *path, uint32_t i);
uint32_t lab_ufs_changes(const struct lab_ufs *u, uint64_t ino);
/* when somebody last set its time of change, behind which a write may hide; 0: never */
int64_t lab_ufs_touched_ns(const struct lab_ufs *u, uint64_t ino);
const struct lab_ufs_change *lab_ufs_change(const struct lab_ufs *u, uint64_t ino, uint32_t k);
/* changes to that size made in [from_ns, to_ns] are known to whoever asked for them by to_ns */
void lab_ufs_firm(struct lab_ufs *u, uint64_t ino, uint64_t size, int64_t from_ns, int64_t to_ns);
/* Forgets the states that files had before that: what replaced them was made by then.  Files
 * without a name go, unless they are kept, or somebody is reading them. */
void lab_ufs_forget(struct lab_ufs *u, int64_t known_ns);
void lab_ufs_keep(struct lab_ufs *u, uint64_t ino); /* this once */
/* the bytes after the first k changes, in buf or where they are kept; ret_len: less than len only
 * at the end */
const uint8_t *lab_ufs_content(const struct lab_ufs *u, uint64_t ino, uint32_t k, uint64_t off,
                               uint8_t *buf, uint32_t len, uint32_t *ret_len);
bool lab_ufs_check(const struct lab_ufs *u, char *err_text, size_t cap);

#endif
