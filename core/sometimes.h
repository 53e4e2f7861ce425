/* core/sometimes.h - marks at places that a good campaign of simulations comes to.
 *
 * `SOMETIMES(NAME);` stands where something rare and interesting has just become true.  A campaign
 * (tarn-sim campaign) in which no run came to a mark fails unless the mark is excused by name: what
 * the simulator never does, it does not test.
 *
 *  1. A mark counts and does nothing else: nothing that decides reads it.
 *  2. It costs one addition in memory; in a daemon several threads may pass it, and may lose
 *     counts.
 *  3. A mark belongs to the group of what must run for it: see enum sometimes_group. */
#ifndef CORE_SOMETIMES_H
#define CORE_SOMETIMES_H

#include "core/base.h"

enum sometimes_group {
    SOMETIMES_GROUP_JOURNAL, /* every simulation */
    SOMETIMES_GROUP_RAFT,    /* those with a group of masters */
    SOMETIMES_GROUP_ZK,      /* those whose masters have their journal on shared storage */
    SOMETIMES_GROUP_DISK,    /* those whose masters do not */
    SOMETIMES_GROUP_FS,      /* those with the file system */
};

/* X(NAME, group, "name", "what has come true") */
/* clang-format off */
#define SOMETIMES_MARKS(X) \
    X(RAFT_ELECTED, RAFT, "raft.elected", "a master begins to lead") \
    X(RAFT_DEPOSED, RAFT, "raft.deposed", "one that led leads no more") \
    X(RAFT_ALONE, RAFT, "raft.alone", "a leader that hears no quorum gives up") \
    X(RAFT_PRE_VOTE_REFUSED, RAFT, "raft.pre_vote_refused", "a pre-vote is refused") \
    X(RAFT_VOTE_REFUSED, RAFT, "raft.vote_refused", "a vote is refused") \
    X(RAFT_TRANSFER, RAFT, "raft.transfer", "a leader calls its successor") \
    X(RAFT_TRANSFER_LATE, RAFT, "raft.transfer_late", "the successor that was called does not come") \
    X(RAFT_TRANSFER_NEEDLESS, RAFT, "raft.transfer_needless", "a sick disk is well again before anybody is called") \
    X(RAFT_CUT, RAFT, "raft.cut", "entries that contradict the leader are cut off") \
    X(RAFT_STORED_STALE, RAFT, "raft.stored_stale", "a write completes after its entries were cut off") \
    X(RAFT_IMAGE_OVERTAKEN, RAFT, "raft.image_overtaken", "the log came before the image that was fetched") \
    X(RAFT_IMAGE_INSTALLED, RAFT, "raft.image_installed", "the image of another replaces the log") \
    X(RAFT_OLD_TERM, RAFT, "raft.old_term", "a quorum has entries of an earlier term only: they wait") \
    X(RAFT_LOST, RAFT, "raft.lost", "a member lost what it had answered for, and gets it again") \
    X(RAFT_NARROW, RAFT, "raft.narrow", "a member that answers late is sent less at once") \
    X(RAFT_REJECTED, RAFT, "raft.rejected", "entries do not fit what a follower has") \
    X(RAFT_APPEND_INSTALLING, RAFT, "raft.append_installing", "entries come while an image is installed") \
    X(RAFT_IMAGE_WANTED, RAFT, "raft.image_wanted", "a member needs an image") \
    X(RAFT_JOINT, RAFT, "raft.joint", "joint consensus was reached, and is left") \
    X(RAFT_CONF_CUT, RAFT, "raft.conf_cut", "a configuration is cut from the log, the one before is in effect again") \
    X(RAFT_PROMOTED, RAFT, "raft.promoted", "a learner has caught up and becomes a voter") \
    X(RAFT_READ_WAITS, RAFT, "raft.read_waits", "a read waits for the first entry of a term") \
    X(META_SINGLE, RAFT, "meta.single", "of the two copies of vote and term one is bad, or older, at a start") \
    X(WAL_TORN, JOURNAL, "wal.torn", "the last write of a log was torn") \
    X(WAL_MENDED, RAFT, "wal.mended", "a bit that flipped in the last writes of a log is put right") \
    X(WAL_AHEAD, JOURNAL, "wal.ahead", "the log waits for a segment, and keeps more of them ready from then on") \
    X(WAL_REUSED, DISK, "wal.reused", "a segment that was removed becomes the next one") \
    X(SHIP_REFUSED, RAFT, "ship.refused", "a holder does not give the image that it offered") \
    X(SHIP_BROKEN, RAFT, "ship.broken", "the fetching of an image breaks off and what came is kept") \
    X(ZK_LEADS, ZK, "zk.leads", "a master begins to lead") \
    X(ZK_FENCED, ZK, "zk.fenced", "one that leads finds in the fence that another one has claimed the log") \
    X(ZK_EXPIRED, ZK, "zk.expired", "one that leads hears that its session is over, or its turn") \
    X(ZK_OUTAGE, ZK, "zk.outage", "one that leads steps down, since the storage brings no proof") \
    X(ZK_LOOK_FAILED, ZK, "zk.look_failed", "a look at the fence fails, and comes again") \
    X(ZK_FULL, ZK, "zk.full", "the log of one that leads has no room") \
    X(ZK_LATE, ZK, "zk.late", "one that stands for election gets nothing done on the storage, and lets others go first") \
    X(ZK_OVERTAKEN, ZK, "zk.overtaken", "one that takes over finds a later claim before it serves") \
    X(ZK_SEALED_AGAIN, ZK, "zk.sealed_again", "the old log does not check to its end, and is read again") \
    X(ZK_RELOGGED, ZK, "zk.relogged", "what may have been acknowledged, by nobody's proof, goes into the new log") \
    X(ZK_HANDED_OVER, ZK, "zk.handed_over", "the one that was called leads") \
    X(ZK_HAND_OTHER, ZK, "zk.hand_other", "another one leads than the one that was called") \
    X(ZK_DROPPED, ZK, "zk.dropped", "a standby goes over to another log, and drops what it had read of the old one") \
    X(ZK_OVERRUN, ZK, "zk.overrun", "what a standby, or who takes over, would read next is gone, and an image has it") \
    X(ZK_IMAGE_OTHER, ZK, "zk.image_other", "the image of another member is loaded") \
    X(ZK_GC_LOG, ZK, "zk.gc_log", "the whole log of an older epoch is removed") \
    X(ZK_GC_ORPHAN, ZK, "zk.gc_orphan", "the log of an epoch that came to nothing is removed") \
    X(ZK_READ_WAITS, ZK, "zk.read_waits", "a standby's read waits for what its proof found in the log") \
    X(ZK_READ_TORN, ZK, "zk.read_torn", "a standby's read waits for what does not check yet") \
    X(ZK_READ_ANEW, ZK, "zk.read_anew", "a standby's read needs another proof, as another log counts") \
    X(ZK_GONE, ZK, "zk.gone", "one that leads is plainly gone, and its turn ends before its session") \
    X(ZK_DATA_LOST, ZK, "zk.data_lost", "ZooKeeper has lost its data, and masters begin there anew") \
    X(ZK_JOIN_LOST, ZK, "zk.join_lost", "the answer to who stands for election is lost: it looks for its node") \
    X(ZK_NUMBER_AGAIN, ZK, "zk.number_again", "a number was taken by another, or its answer lost: another one") \
    X(ZK_REARMED, ZK, "zk.rearmed", "watches are armed again on another connection") \
    X(MASTER_INTENT_RESUMED, FS, "master.intent_resumed", "a new leader finds changes that its predecessor owed the under-store") \
    X(MASTER_ACK_WAITED, FS, "master.ack_waited", "a change waits until another client has dropped what it cached") \
    X(MASTER_INVAL_LOST, FS, "master.inval_lost", "an invalidation is not delivered, and sent again") \
    X(CLIENT_EXPIRED, FS, "client.expired", "a client learns that its session has expired") \
    X(CLIENT_STALE, FS, "client.stale", "a file changes under an open handle that has read some of it") \
    X(WORKER_DAMAGED, FS, "worker.damaged", "a cached page does not check")
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
