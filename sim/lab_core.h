/* sim/lab_core.h - liveness as TigerBeetle's simulator asks for it: after the storm a random core
 * of machines, no more than is needed, is healed; what is outside stays broken for as long as it
 * takes, and the core must serve within the scenario's bound.
 *
 *  1. Who is in the core and what becomes of the others comes from the seed alone, not from the
 *     run's streams.
 *  2. Outside of it everything is broken for good, also so that it disturbs: a machine that is
 *     heard and hears nothing, or that reaches one of the core only. */
#ifndef SIM_LAB_CORE_H
#define SIM_LAB_CORE_H

#include "sim/sim.h"

enum lab_core_fate {
    LAB_CORE_IN,
    LAB_CORE_DOWN,
    LAB_CORE_PAUSED,
    LAB_CORE_CUT,     /* reaches nobody, and nobody reaches it */
    LAB_CORE_MUTE,    /* hears the others; nobody hears it */
    LAB_CORE_DEAF,    /* the other way round */
    LAB_CORE_PARTIAL, /* one machine of the core and it reach each other */
};

enum { LAB_CORE_MACHINES = 16, LAB_CORE_TEXT = 240 };

/* the masters, or the workers; beyond the first LAB_CORE_MACHINES all are in */
struct lab_core {
    struct sim_node *node[LAB_CORE_MACHINES];
    bool votes[LAB_CORE_MACHINES]; /* the core is made of these */
    uint8_t fate[LAB_CORE_MACHINES];
    uint32_t n;
};

/* keep: so many of those that vote are in; all others are out */
void lab_core_draw(struct lab_core *c, uint64_t seed, const char *what, uint32_t keep);
bool lab_core_has(const struct lab_core *c, const struct sim_node *n);
/* the links of whoever is outside; sim_net_heal_all ends it.  with: of the core, for PARTIAL */
void lab_core_cut(const struct lab_core *c, struct sim *s, struct sim_node *with);
/* who is in, and what the others are */
void lab_core_say(const struct lab_core *c, char *ret_text, size_t cap);

/* Does the core serve?  It does once it has, for calm_ns: one leader, and never a longer time than
 * gap_ns without a success. */
struct lab_core_watch {
    uint64_t epoch;
    int64_t since_ns, success_ns;
};

/* leads: somebody in the core, in that epoch; asks: clients do */
bool lab_core_serves(struct lab_core_watch *w, int64_t now_ns, bool leads, uint64_t epoch,
                     bool asks, int64_t calm_ns, int64_t gap_ns);

#endif
