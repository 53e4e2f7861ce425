/* core/recent.h - when what was last changed: exactly for the last few thousand things, and never
 * too early for any other.
 *
 * A key has its place in one set of a few; the set forgets the oldest of its keys when another one
 * needs a place, and remembers when the last forgotten one was changed.
 *
 * INVARIANTS
 *  1. recent_at() of a key is never less than the last recent_put() of it.
 *  2. It is more only when RECENT_WAYS others of its set were put since: of a thing that nobody
 *     changed, as long as less than some thousands of others were changed, it says so.
 *
 * Why not one number per bucket: at a few thousand changes a second, a bucket of a thousand changes
 * each few hundred milliseconds, and whoever looks at a file for as long takes it for changed. */
#ifndef CORE_RECENT_H
#define CORE_RECENT_H

#include "core/base.h"

enum { RECENT_SETS = 1024, RECENT_WAYS = 8 };

/* all zeros: nothing was ever put */
struct recent {
    struct recent_set {
        uint64_t key[RECENT_WAYS], at[RECENT_WAYS]; /* 0: free */
        uint64_t lost; /* the last at of a key that was forgotten; 0: none was */
    } sets[RECENT_SETS];
};

/* key was changed at at, which never falls; neither is 0 */
void recent_put(struct recent *r, uint64_t key, uint64_t at);
/* when key was changed last, or later; 0: never */
uint64_t recent_at(const struct recent *r, uint64_t key);

#endif
