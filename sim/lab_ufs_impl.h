/* sim/lab_ufs_impl.h - shared by lab_ufs.c (trees), lab_ufs_data.c (bytes) and lab_ufs_run.c
 * (time). */
#ifndef SIM_LAB_UFS_IMPL_H
#define SIM_LAB_UFS_IMPL_H

#include "core/prng.h"
#include "sim/lab_ufs.h"

struct lab_ufs_node {
    uint64_t ino;
    uint32_t mode, uid, gid, rdev, nlink, subdirs;
    uint64_t size;
    int64_t atime_ns, mtime_ns, ctime_ns;
    int64_t touched_ns; /* when its mtime was last set, by the simulator's clock; 0: never */
    char *target;
    struct lab_ufs_dent *first, *last;
    struct lab_ufs_change *changes; /* but for the first n_forgot, which are one with the next */
    uint32_t n_changes, cap_changes, n_forgot;
    bool is_kept, is_read; /* while it is looked what may be forgotten */
    bool is_displaced;     /* a name of it was taken away or replaced by nobody in the cluster */
};

struct lab_ufs_dent {
    struct lab_ufs_dent *next, *prev;
    uint64_t id; /* rises; a listing's cursor */
    struct lab_ufs_node *node;
    uint32_t len, hash;
    char name[LIMIT_NAME + 1];
};

struct lab_ufs {
    struct ufs_factory factory;
    struct mem *mem;
    struct sim *sim;
    struct lab_ufs_config cfg;
    struct prng prng;
    struct lab_ufs_node **nodes; /* by inode number; 0 is the directory of stores */
    uint32_t n_nodes, cap_nodes;
    uint64_t next_dent, used;
    int64_t outage_until_ns, full_until_ns;
    struct lab_ufs_stats stats;
    struct list calls;
    void (*on_effect)(void *ctx, const struct lab_ufs_effect *e);
    void *effect_ctx;
};

/* One operation on its way; outlives the process that asked. */
struct lab_ufs_call {
    struct env_op at;
    struct list link;
    struct lab_ufs *u;
    struct sim_node *by;
    uint32_t incarnation;
    bool done, half;
    enum ufs_kind kind;
    unsigned flags;
    struct lab_ufs_node *root, *seen;
    char *path, *path2, *hidden; /* copies */
    uint8_t *buf, *names;        /* buf of a READ: NULL, the history has the bytes */
    uint32_t look[2], middle;    /* READ: changes at each look; where the second begins */
    uint32_t len, out_len, names_len;
    uint64_t off, expect_fp, expect_ino, expect_ino2, size, cursor;
    uint64_t ino;         /* WRITE: of the file that it was */
    int64_t not_after_ns; /* on the clock of env */
    struct env *env;
    uint32_t mode, uid, gid, rdev, valid;
    int64_t atime_ns, mtime_ns;
    struct fsent ent, ent2;
    struct fsop_statfs statfs;
    int64_t ret;
    int64_t rest_ns;
};

/* ---- lab_ufs.c */
void *lab_ufs_alloc(struct lab_ufs *u, size_t n);
char *lab_ufs_text(struct lab_ufs *u, const char *s);
void lab_ufs_text_free(struct lab_ufs *u, char *s);
int64_t lab_ufs_clock(const struct lab_ufs *u);
uint64_t lab_ufs_fp(const struct lab_ufs *u, const struct lab_ufs_node *n);
int lab_ufs_resolve(const struct lab_ufs_node *root, const char *path,
                    struct lab_ufs_node **ret_dir, const char **ret_name);
struct lab_ufs_dent *lab_ufs_find(const struct lab_ufs_node *dir, const char *name);
/* the effect of a call, now; ret as ufs_op's */
int64_t lab_ufs_perform(struct lab_ufs *u, struct lab_ufs_call *c);

/* ---- lab_ufs_data.c */
/* the change that made state k into k + 1; of what was forgotten the one that it became part of */
static inline struct lab_ufs_change *lab_ufs_data_change(const struct lab_ufs_node *n, uint32_t k)
{
    return &n->changes[k > n->n_forgot ? k - n->n_forgot : 0];
}
void lab_ufs_data_seed(struct lab_ufs *u, struct lab_ufs_node *n, uint64_t size, bool behind);
void lab_ufs_data_size(struct lab_ufs *u, struct lab_ufs_node *n, uint64_t size);
/* p, of the model's memory, is the history's from now on */
void lab_ufs_data_write(struct lab_ufs *u, struct lab_ufs_node *n, uint64_t off, uint8_t *p,
                        uint32_t len);
/* how many of len bytes at off the state after k changes has */
uint32_t lab_ufs_data_len(const struct lab_ufs_node *n, uint32_t k, uint64_t off, uint32_t len);
uint32_t lab_ufs_data_read(const struct lab_ufs_node *n, uint32_t k, uint64_t off, void *buf,
                           uint32_t len);

/* ---- lab_ufs_run.c */
int lab_ufs_run_open(struct ufs_factory *f, struct env *e, const char *uri, struct ufs **ret_u);

#endif
