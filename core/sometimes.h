/* core/sometimes.h - marks at places that a good campaign of simulations comes to.
 *
 * `SOMETIMES(NAME);` stands where something rare and interesting has just become true.  A campaign
 * (tarn-sim campaign) in which no run came to a mark fails unless the mark is excused by name: what
 * the simulator never does, it does not test.
 *
 *  1. A mark counts and does nothing else: nothing that decides reads it.
 *  2. It costs one addition in memory; in a daemon several threads may pass it, and may lose
 * counts.
 *  3. A mark belongs to the group of what must run for it: see enum sometimes_group. */
#ifndef CORE_SOMETIMES_H
#define CORE_SOMETIMES_H

#include "core/base.h"

enum sometimes_group {
    SOMETIMES_GROUP_JOURNAL, /* every simulation */
    SOMETIMES_GROUP_RAFT,    /* those with a group of masters */
    SOMETIMES_GROUP_FS,      /* those with the file system */
};

/* X(NAME, group, "name", "what has come true") */
/* clang-format off */
#define SOMETIMES_MARKS(X) \
    X(RAFT_ELECTED, RAFT, "raft.elected", "a master was elected") \
    X(RAFT_DEPOSED, RAFT, "raft.deposed", "a leader heard of a higher term")
/* clang-format on */

enum sometimes {
#define SOMETIMES_ENUM(name, group, text, what) SOMETIMES_##name,
    SOMETIMES_MARKS(SOMETIMES_ENUM)
#undef SOMETIMES_ENUM
        SOMETIMES_COUNT
};

struct sometimes_mark {
    const char *name, *what;
    enum sometimes_group group;
};

extern const struct sometimes_mark sometimes_marks[SOMETIMES_COUNT];
/* how often each was passed; who runs one simulation after the other sets them to zero between */
extern uint64_t sometimes_hits[SOMETIMES_COUNT];

static inline void sometimes_pass(enum sometimes at)
{
    uint64_t n = __atomic_load_n(&sometimes_hits[at], __ATOMIC_RELAXED);
    __atomic_store_n(&sometimes_hits[at], n + 1, __ATOMIC_RELAXED);
}

#define SOMETIMES(name) sometimes_pass(SOMETIMES_##name)

#endif
