/* sim/lab_raft.h - Raft's properties, checked after every step of every member of a group, where
 * the log is written and messages leave (journal/raft_watch.h): what clients are told shows few
 * bugs.
 *
 * - election safety: a term has one leader; a member promises a term to one candidate, once
 *   that is on its disk, and keeps its promises, also when it starts again.
 * - leader append-only: a leader removes nothing from its log.
 * - log matching: entries of one index and term are the same everywhere, and follow the same;
 *   terms do not fall in a log.
 * - leader completeness: who begins to lead has all that was committed in earlier terms.
 * - state machine safety: one entry is committed at an index; by a leader, if it is of its own term
 *   and a majority of each half of the configuration has answered for it; and who answers for an
 *   entry has it on the disk.
 * - configuration: the one in effect is the last of the log; a leader begins to change it when the
 *   last one, and an entry of its own term, are committed.
 *
 * No fault excuses any of them, but for a lost disk, of which its member cannot know what it had
 * promised; the promises hold, and it may make none.  What a damaged disk lost is not in its log
 * any more, and so is not compared; and a majority is counted of what members answered while they
 * had it. */
#ifndef SIM_LAB_RAFT_H
#define SIM_LAB_RAFT_H

#include "core/mem.h"
#include "journal/raft_watch.h"

struct lab_raft;

struct lab_raft_config {
    void (*fail)(void *ctx, const char *what);
    void *ctx;
    uint64_t *checks; /* counts up */
};

/* m has room for all that it will ever hold, once this returns */
struct lab_raft *lab_raft_open(struct mem *m, const struct lab_raft_config *cfg);
/* one for each machine, for all its lives; name outlives it */
struct raft_watch *lab_raft_member(struct lab_raft *r, const char *name);
/* a life of it begins: nothing is known of its log */
void lab_raft_starts(struct raft_watch *w);
/* Its disk is lost, though perhaps not its name: until it gets another one it may start behind its
 * promises, and may not vote. */
void lab_raft_lost(struct raft_watch *w);

#endif
