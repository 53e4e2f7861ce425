/* journal/era.h - which of two histories of one cluster counts. */
#ifndef JOURNAL_ERA_H
#define JOURNAL_ERA_H

#include "core/base.h"

/* of a history that begins now: above all that is known of */
uint64_t era_next(uint64_t known, int64_t wall_ns, uint32_t mark);

/* seconds of wall time at which the history began, or more; 0: with the cluster itself */
static inline uint32_t era_number(uint64_t era)
{
    return (uint32_t)(era >> 32);
}

/* whoever is of `mine` has been given up: the other began later */
static inline bool era_is_over(uint64_t mine, uint64_t other)
{
    return era_number(other) > era_number(mine);
}

#endif
