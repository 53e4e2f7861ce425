/* cluster/place.h - which worker keeps which stripe: rendezvous (highest random weight) hashing.
 *
 * Every (worker, ino, stripe) has a score; the worker with the highest is the first choice, the
 * next one the second, and so on.  Thaler & Ravishankar, "Using name-based mappings to increase hit
 * rates", 1998.
 *
 * INVARIANTS
 *  1. The order depends on the set of workers only, not on how the list is sorted.
 *  2. A worker that leaves moves only the stripes it had; one that joins takes only what it wins.
 *  3. Integers only: every machine gets the same answer.
 *
 * Why not a ring: with a few workers a ring needs hundreds of points each to balance, and a scan of
 * n scores is cheaper than it looks (4,096 workers: some microseconds, next to a megabyte moved).
 */
#ifndef CLUSTER_PLACE_H
#define CLUSTER_PLACE_H

#include "core/base.h"

#define PLACE_NONE UINT32_MAX

/* The index in workers[0..n) of choice number `rank` (0: the first) for stripe number `stripe` of a
 * file; PLACE_NONE when rank >= n.  The ids are distinct; the caller leaves out the dead. */
uint32_t place_pick(const struct worker_id *workers, uint32_t n, struct ino ino, uint64_t stripe,
                    uint32_t rank);

#endif
