/* journal/era.c - which of two histories of one cluster counts.
 *
 * A cluster has one history until somebody recovers it (raft_offline.c) or restores a backup
 * (backup.h): from then on there are two, that which goes on and that which was given up, and
 * members of both may still exist.  An era names a history:
 *
 *   upper half, its number: wall time in seconds when it was begun; 0: with the cluster
 *   lower half, its mark: tells apart two that were begun in the same second
 *
 * THE RULE: what the operator did last counts.
 *  1. A new era's number is above every one that is known where it is made (of the directory or
 *     backup it is made from, of members that can be asked), and at least the wall time.  So it is
 *     also above that of a member which nobody knew of, as long as clocks are right by less than
 *     what lies between two recoveries or restores.
 *  2. Members of different eras exchange nothing but their hello.  Who hears of a higher number
 *     stops for good; who hears of a lower one refuses it, and goes on.  So where a new group
 *     meets a member of any history before it, that member stops and never the group.
 *  3. Equal numbers with different marks were begun at once: each refuses the other, nobody stops,
 *     and both say so.  Nothing of the two mixes, whatever clocks say.
 *  4. Versions of files count from the whole era on (meta.h), so a worker that has pages of several
 *     histories never takes one for another.
 *
 * Why not a count of recoveries: a backup knows the count as it was when it was taken.  What was
 * recovered twice since would be above its restore, and one stray member would end the restored
 * group.  Why no clock alone: one that was set back must not make a history older than that which
 * it goes on from. */
#include "journal/era.h"

uint64_t era_next(uint64_t known, int64_t wall_ns, uint32_t mark)
{
    uint64_t now = wall_ns > 0 ? (uint64_t)wall_ns / 1000000000 : 0;
    uint64_t number = base_max_u64(era_number(known) + (uint64_t)1, base_min_u64(now, UINT32_MAX));
    return base_min_u64(number, UINT32_MAX) << 32 | mark;
}
