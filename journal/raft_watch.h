/* journal/raft_watch.h - for who looks on at a member of a group: what is in its log, what it
 * promises, what its core is after each step.
 *
 * Given with journal_raft.watch; the simulator's checker is the one that there is (sim/lab_raft.h).
 * Nothing that decides asks whether somebody looks on, and who does may change nothing. */
#ifndef JOURNAL_RAFT_WATCH_H
#define JOURNAL_RAFT_WATCH_H

#include "journal/raft.h"

/* All of them are there.  The log is told as it is changed, before it is on the disk. */
struct raft_watch {
    /* At a start, a record of the log, in its order: it voids what stands at its index and above;
     * RAFT_LOG_RESET voids everything. */
    void (*found)(struct raft_watch *w, uint64_t index, uint64_t term, uint8_t type,
                  const void *bytes, uint32_t len);
    void (*appended)(struct raft_watch *w, uint64_t index, const struct raft_entry *e,
                     const void *bytes);
    void (*cut)(struct raft_watch *w, uint64_t to);
    void (*reset)(struct raft_watch *w, uint64_t index, uint64_t term); /* an image up to there */
    /* the core is made, with this vote and term, of which the disk tells, and of the log as it is
     */
    void (*began)(struct raft_watch *w, struct raft_id self, const struct raft_meta *meta);
    void (*saved)(struct raft_watch *w, const struct raft_meta *meta); /* they are durable */
    /* stored: durable up to this index */
    void (*sent)(struct raft_watch *w, const struct raft_message *m, uint64_t stored);
    void (*stepped)(struct raft_watch *w, const struct raft *r, uint64_t stored);
};

#endif
