/* sim/lab_model_impl.h - shared by lab_model.c (state, records), lab_model_ops.c (rules),
 * lab_model_ask.c (answers) and lab_model_seen.c (what was seen). */
#ifndef SIM_LAB_MODEL_IMPL_H
#define SIM_LAB_MODEL_IMPL_H

#include "core/fmt.h"
#include "sim/lab_model.h"
#include "sim/lab_ring.h"

#define MODEL_NEVER UINT64_MAX

enum { MODEL_UFS = 16, MODEL_SEEN = 1 << 15, MODEL_SEEN_LAST = 3 };

struct model_version {
    uint64_t from; /* index */
    uint32_t mode, uid, gid, nlink;
    bool dead, orphan;
};

/* A name in a directory, or an extended attribute (value: a hash), while it was there. */
struct model_entry {
    uint64_t from, to;
    uint64_t value; /* inode number */
    uint32_t len;
    bool seen;
    char name[LIMIT_NAME + 1];
};

struct model_entries {
    struct model_entry **e;
    uint32_t *hash; /* of each one's name: most are passed over without a look at them */
    uint32_t n, cap;
};

static inline uint32_t lab_model_hash(const char *name, uint32_t len)
{
    return (uint32_t)base_hash(name, len, 6);
}

static inline bool lab_model_entry_is(const struct model_entries *l, uint32_t i, const char *name,
                                      uint32_t len, uint32_t hash)
{
    return l->hash[i] == hash && l->e[i]->len == len && !memcmp(l->e[i]->name, name, len);
}

struct model_node {
    struct model_node *next; /* of the same slot */
    struct ino ino, parent;  /* parent of a directory */
    uint16_t mount;
    bool mount_root;
    struct model_version *v;
    uint32_t n_v, cap_v;
    struct model_entries names, xattrs;
    char *target;
    uint32_t target_len;
    int64_t live_ns;
    uint64_t ufs[MODEL_UFS];
    uint32_t n_ufs;
    bool is_other; /* the last of them has attributes that were not taken over yet */
};

struct model_stamp {
    int64_t applied_ns, firm_ns;
};

/* An operation whose under-store effect is awaited. */
struct model_owed {
    struct model_owed *next;
    uint64_t intent;
    struct fsop op;
    char name[LIMIT_NAME + 1], name2[LIMIT_NAME + 1];
    char target[LIMIT_PATH];
};

/* The last indices that somebody's answers needed, the newest first, and when each was needed
 * first.
 */
struct model_seen {
    uint64_t key;
    struct {
        int64_t at_ns;
        uint64_t index;
    } last[MODEL_SEEN_LAST];
};

struct lab_model {
    struct mem *mem;
    int64_t slack_ns;
    struct model_node **slots;
    uint32_t *gone; /* by slot: the first generation that was not forgotten */
    uint32_t n_slots;
    struct lab_ring stamps; /* of records by index; what is older is firm */
    uint64_t applied, vanished;
    uint64_t *owners; /* by the under-store's inode number: ours; UINT64_MAX: several */
    uint64_t cap_owners;
    struct model_owed *owed;
    uint8_t mount_mode[LIMIT_MOUNTS + 1];
    struct model_seen *seen; /* by key, direct-mapped: it forgets */
};

/* ---- lab_model.c */
void *lab_model_alloc(struct lab_model *m, size_t n);
struct model_node *lab_model_find(const struct lab_model *m, struct ino ino);
struct model_node *lab_model_node_new(struct lab_model *m, struct ino ino, uint64_t index,
                                      const struct model_version *first);
/* the version that holds from `index` on, a copy of the one before */
struct model_version *lab_model_change(struct lab_model *m, struct model_node *n, uint64_t index);
static inline const struct model_version *lab_model_now(const struct model_node *n)
{
    return &n->v[n->n_v - 1];
}
struct model_entry *lab_model_entry_now(const struct model_entries *l, const char *name,
                                        uint32_t len);
void lab_model_entry_add(struct lab_model *m, struct model_entries *l, uint64_t index,
                         const char *name, uint32_t len, uint64_t value);
bool lab_model_may(const struct model_version *v, const struct fsop *op, uint32_t access);

/* before every question that is still open, if it was forgotten */
static inline int64_t lab_model_began_ns(const struct lab_model *m, uint64_t index)
{
    const struct model_stamp *s = lab_ring_at(&m->stamps, index);
    return s ? s->applied_ns : INT64_MIN;
}
static inline int64_t lab_model_firm_ns(const struct lab_model *m, uint64_t index)
{
    const struct model_stamp *s = lab_ring_at(&m->stamps, index);
    return s ? s->firm_ns : INT64_MIN;
}
/* such an inode was there, and was forgotten */
static inline bool lab_model_is_gone(const struct lab_model *m, struct ino ino)
{
    uint32_t slot = (uint32_t)ino.v, generation = (uint32_t)(ino.v >> 32);
    return slot < m->n_slots && generation < m->gone[slot];
}

/* ---- lab_model_ops.c */
/* the answer to op in the present state; nothing changes */
int lab_model_ops_judge(const struct lab_model *m, const struct fsop *op);
/* it happens; attr: what the real machine answered (new inodes get its number) */
bool lab_model_ops_perform(struct lab_model *m, uint64_t index, const struct fsop *op,
                           const struct fsattr *attr, char *ret_why);

#endif
