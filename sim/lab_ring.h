/* sim/lab_ring.h - what is remembered by rising numbers, and forgotten from its old end.
 *
 * An array of a power of two places; a number's place is its remainder.  It grows when what is
 * remembered does not fit, up to cap_max, and then the oldest gives way.  Nothing is moved when
 * something is forgotten, so that a long run keeps to the memory that a short one has. */
#ifndef SIM_LAB_RING_H
#define SIM_LAB_RING_H

#include "core/mem.h"

struct lab_ring {
    struct mem *mem;
    char *at;
    uint64_t cap, cap_max; /* cap_max 0: as many as there are */
    uint64_t first, end;   /* first .. end - 1 are remembered */
    size_t each;
};

/* room for `want` of them at once; numbers begin with 0 */
void lab_ring_open(struct lab_ring *r, struct mem *m, size_t each, uint64_t want, uint64_t cap_max);
/* the numbers up to this one are there, zeros if they were not; ret: it, or NULL: it was forgotten
 */
void *lab_ring_push(struct lab_ring *r, uint64_t number);
/* all below are forgotten */
void lab_ring_forget(struct lab_ring *r, uint64_t number);

/* NULL: forgotten, or not there yet */
static inline void *lab_ring_at(const struct lab_ring *r, uint64_t number)
{
    bool is_there = number >= r->first && number < r->end;
    return is_there ? r->at + (number & (r->cap - 1)) * r->each : NULL;
}

#endif
