/* core/mutant.h - known bugs, for testing the testers: see docs/mutants.md.
 *
 * `if (MUTANT(NAME))` stands where the bug goes.  It is the constant false, and the bug is not
 * there at all, unless the build has -Dmutants=true; then one of them is on, or two where one rule
 * stands behind another ("A+B"): mutant_on and mutant_also, which only the composition root sets.
 * What looks for bugs does not know which. */
#ifndef CORE_MUTANT_H
#define CORE_MUTANT_H

#include "core/base.h"

/* X(NAME, what is wrong when it is on) */
/* clang-format off */
#define MUTANTS(X) \
    X(DUPLICATE_RUNS, "a repeated request is executed again") \
    X(RESEND_RENUMBERED, "a client repeats a request under a new number") \
    X(EXPIRY_RETRIED, "a request of an expired session is executed under the next one") \
    X(EXPIRY_IGNORED, "a client goes on writing after its session has expired") \
    X(INO_REUSED, "the number of a removed inode is given out again") \
    X(RENAME_HALF_TOLD, "others are not told that a rename's old name is gone") \
    X(RENAME_TWO_STEPS, "a rename over a name removes that name first, as an effect of its own") \
    X(WRITE_KEEPS_VERSION, "a file that was written keeps its version") \
    X(MARK_IGNORED, "what was seen at a path is news though something else is there by now") \
    X(UNLINK_DROPS_BYTES, "an unlinked file that somebody holds loses its bytes") \
    X(RECLAIM_HELD, "the bytes of an unlinked file are reclaimed while it is held") \
    X(AWAY_HOLDS_NOTHING, "an unlinked file is reclaimed though a session that is away may hold it") \
    X(NAMES_UNLOCKED, "a name under change may be changed by another") \
    X(LISTING_WINS, "a listing that was under way undoes a change made meanwhile") \
    X(LISTING_OUTDATED, "a listing that was read before a name was made takes that name away") \
    X(LOAD_REVIVES, "a look at the under-store brings a name back that was removed meanwhile") \
    X(COOKIE_MOVES, "a listing skips a name when the last one that it gave is removed") \
    X(ANSWER_AT_INTENT, "a change is acknowledged before the under-store has it") \
    X(INTENT_FORGOTTEN, "effects that the last leadership owed are not carried out") \
    X(EFFECT_NOT_RESUMED, "an effect that was done before a crash is taken for a failure after it") \
    X(ACKS_NOT_AWAITED, "a change is answered before others have dropped what they cached") \
    X(LOOK_OUTRUN, "what was found below counts though it was changed through us meanwhile") \
    X(ANSWER_OUTDATED, "a change's answer may be cached though others have changed it since") \
    X(GRACE_SKIPPED, "a new leader does not wait for leases that the old one gave") \
    X(INVAL_LOST, "an invalidation that was not delivered is forgotten") \
    X(LEASE_LONGER, "a client is told of a longer lease than the master remembers") \
    X(LEASE_SLACK_SKIPPED, "a master waits for a lease as if its clock were its clients'") \
    X(LEASE_IGNORED, "a client answers from its cache after its lease") \
    X(LIVE_CACHED, "attributes of a file that is being written are cached") \
    X(NEGATIVE_KEPT, "that a name is absent stays cached when it is made") \
    X(CREDENTIALS_STALE, "what one user may see is given to another from the cache") \
    X(LOG_NOT_SYNCED, "records are acknowledged before they are durable") \
    X(TAIL_NOT_REWRITTEN, "records found after a kill -9 are served before they are durable") \
    X(SECTOR_REWRITTEN, "a sector with acknowledged records is written again") \
    X(SEGMENT_NAME_LOST, "a segment is used before its name is durable") \
    X(SEGMENT_REUSED_RAW, "a segment that is used again keeps its old records behind the new ones") \
    X(EPOCH_REPEATED, "two leaderships have the same epoch") \
    X(IMAGE_NOT_SYNCED, "the log is cut before the image is durable") \
    X(REPLAY_GAP, "the record after an image is not replayed") \
    X(LOG_UNCHECKED, "a batch of the log is taken whatever its checksums say") \
    X(IMAGE_TWO_CUTS, "an image's tables are of different records") \
    X(CRC_UNCHECKED, "a page that was damaged on disk is served") \
    X(PAGE_PARTIAL, "a page that came short is served as if it were whole") \
    X(PAGE_TWO_VERSIONS, "a page is fetched without a look at the file's fingerprint") \
    X(PAGE_ANY_VERSION, "a page of another version is served") \
    X(PATH_TRUSTED, "bytes are read and written where a path leads, whichever file is there now") \
    X(FETCH_STICKS, "a page whose fetch failed is never fetched again") \
    X(EVICTION_HALF, "an evicted page stays on the disk and in the presence map") \
    X(VERSIONS_MIXED, "an open file goes on with a newer version after it was read") \
    X(FENCE_IGNORED, "a write that was given up is carried out later all the same") \
    X(DELTA_LOST, "pages that a lost report named are never reported again") \
    X(NOTE_NOT_KEPT, "what an exchange is about is not written down before it is done") \
    X(READ_UNASKED, "one of several masters answers questions without making sure that it still leads") \
    X(LEASE_UNASKED, "one of several masters renews leases without making sure that it still leads") \
    X(HELD_UNASKED, "leadership is handed over while changes in the under-store are under way") \
    X(EFFECT_UNASKED, "one of several masters changes the under-store without making sure that it still leads") \
    X(READ_STANDBY_STALE, "a standby answers without asking the leader how far the journal is") \
    X(READ_STANDBY_BESIDE, "what a client has kept stays though a standby has told it something newer") \
    X(CACHE_OLDER_STAYS, "what a client has kept stays though an answer that it may not keep is newer") \
    X(CACHE_OWN_SERVED, "a client answers from its cache what a change of its own under way concerns")   \
    X(READ_STANDBY_KEPT, "a client keeps what a standby said as if it had a lease for it") \
    X(APPEND_PLACE_SHARED, "what was given to append to is given again while it is on its way") \
    X(APPEND_PLACE_OUTLIVES, "a place to append to is used under another leader than the one that gave it") \
    X(APPEND_CUT_BESIDE, "a truncation does not wait for appends that have their place")

/* Those of the Raft core; docs/raft-traps.md */
#define RAFT_MUTANTS(X) \
    X(RAFT_COMMIT_OLD_TERM, "an entry of an earlier term is committed by counting") \
    X(RAFT_CHANGE_BEFORE_TERM, "one voter is changed at once, before an entry of the leader's own term is committed") \
    X(RAFT_CHANGE_ON_CHANGE, "members are changed before the last change is committed") \
    X(RAFT_VOTE_EARLY, "a vote is told before it is durable") \
    X(RAFT_ASK_EARLY, "a candidate counts its own vote before it is durable") \
    X(RAFT_VOTE_FORGOTTEN, "a step down within a term takes the vote back") \
    X(RAFT_CUT_ALWAYS, "an append cuts the log where it does not contradict it") \
    X(RAFT_COMMIT_UNVERIFIED, "a follower commits what it never compared with the leader's log") \
    X(RAFT_HINT_BEYOND, "after a rejection the leader looks no further back") \
    X(RAFT_VOTE_BY_LENGTH, "votes go to the longer log, whatever its last term") \
    X(RAFT_PRE_VOTE_MUTE, "a refused pre-vote does not tell the higher term") \
    X(RAFT_PROMISE_BROKEN, "a voter helps another although its promise to the leader lasts") \
    X(RAFT_LEADER_KEPT, "who suspects the leader goes on refusing votes for its sake") \
    X(RAFT_REMOVED_STANDS, "who is no voter stands") \
    X(RAFT_PENDING_SILENT, "who is left out by an uncommitted change does not stand") \
    X(RAFT_LEARNER_MUTE, "who thinks of itself as a learner does not vote") \
    X(RAFT_JOINT_STAYS, "a new leader does not leave its predecessor's joint consensus") \
    X(RAFT_DEMOTED_MUTE, "who is to be demoted does not count its own vote") \
    X(RAFT_CONF_KEPT, "a configuration stays in effect that was cut from the log") \
    X(RAFT_CONF_STALE, "an image leaves the old configuration in effect") \
    X(RAFT_CONF_OF_COMMIT, "a start takes up the configuration before the last") \
    X(RAFT_IMAGE_STUCK, "who installed the image of the last entry is probed for ever") \
    X(RAFT_APPENDS_INSTALLING, "entries are taken while an image replaces the log") \
    X(RAFT_IMAGE_LATE, "an image is installed though the log has come further meanwhile") \
    X(RAFT_ACK_ABA, "a write's completion counts for what replaced it") \
    X(RAFT_READ_EARLY, "a new leader answers reads before an entry of its term is committed") \
    X(RAFT_READ_UNPROVEN, "a leader answers reads without proof that it leads") \
    X(RAFT_LEASE_LONGER, "a lease outlasts the promises that it rests on") \
    X(RAFT_LEASE_TRANSFER, "a lease holds on after a successor was called") \
    X(RAFT_CALLED_LATE, "whom a leader called to lead is helped after the call is over") \
    X(RAFT_BOUND_SHORT, "a voter helps another as soon as the leader's lease may be over") \
    X(RAFT_LEADER_UNBOUND, "who has just led helps another at once") \
    X(RAFT_RESTART_VOTES, "a voter that starts forgets that it may have promised") \
    X(RAFT_ACK_EARLY, "a follower answers for entries before they are durable") \
    X(RAFT_SELF_EARLY, "a leader counts its own entries before they are durable") \
    X(RAFT_JOINT_HALF, "joint consensus asks the new majority only") \
    X(RAFT_VOTE_LOST, "a start knows its term but not its vote") \
    X(RAFT_PACK_GAP, "entries read from disk are sent as others than they are") \
    X(RAFT_LEADER_STAYS, "a leader without a quorum goes on leading") \
    X(RAFT_CONF_LATE, "a configuration is in effect from its commit on only") \
    X(RAFT_CONF_IN_IMAGE, "an image holds a configuration that was appended after it") \
    X(RAFT_WISH_KEPT, "an image is fetched from its old holder though a new leader offers it") \
    X(RAFT_READ_LOST, "reads are not answered when the leader goes") \
    X(RAFT_LEASE_DRIFT, "a lease is not shortened by what clocks may drift apart") \
    X(RAFT_PROMISE_LAPSES, "a higher term ends the promise to the leader") \
    X(RAFT_STANDS_BOUND, "who has promised a leader to keep still stands") \
    X(RAFT_TRIM_WAITS, "the log is kept for a member that does not answer") \
    X(RAFT_TAIL_UNBOUNDED, "a leader takes in whatever it is given") \
    X(RAFT_CLOCK_FROZEN, "a lease is judged by the time before a pause") \
    X(RAFT_TIMER_FIRST, "timers fire before messages that came earlier") \
    X(RAFT_WIPED, "who lost its disk starts under its old name") \
    X(RAFT_DISK_IGNORED, "a member that lost its disk is taken for the one it was") \
    X(RAFT_FLOOR_FORGOTTEN, "a member whose log was damaged forgets that it ever had more") \
    X(RAFT_ENDED_ANY, "whoever has an entry of a term says that no log has more of it") \
    X(RAFT_FULL_STAYS, "a log that was full takes nothing though there is space again") \
    X(RAFT_SHIP_UNCHECKED, "an image that came is taken over unchecked") \
    X(RAFT_SHIP_NOT_SYNCED, "an image that came is taken over before it is durable") \
    X(RAFT_META_ONCE, "vote and term are told when one of their two copies is durable") \
    X(RAFT_META_ASTRAY, "a copy of vote and term is believed wherever it is read")

/* Those of the ZooKeeper journal and its client */
#define ZK_MUTANTS(X) \
    X(ZK_FENCE_GAPS, "a claim of an epoch leaves slots below it free") \
    X(ZK_FENCE_BACK, "a claim is good for ever: later ones touch no slot of it, and nobody looks above") \
    X(ZK_MARK_IGNORED, "two claims of one epoch hold both") \
    X(ZK_NO_FENCE, "what is durable is acknowledged without a look at the fence") \
    X(ZK_FENCE_EARLY, "a look at the fence counts for what became durable after it began") \
    X(ZK_LOOK_PASSES, "a look at the fence that failed counts") \
    X(ZK_SEAL_EARLY, "a new leader takes what it read of the old log before its claim") \
    X(ZK_CLAIM_UNCALLED, "who is not first any more claims an epoch all the same") \
    X(ZK_END_UNKNOWN, "a log whose acknowledged end is missing is taken for a shorter one") \
    X(ZK_SERVED_ONCE, "a new leader stands on an epoch whose slot may not be durable") \
    X(ZK_PROVE_SKIPPED, "a new leader serves without a last look at the fence") \
    X(ZK_TOLD_DURABLE, "standbys are told what is durable as if it were acknowledged") \
    X(ZK_READ_UNASKED, "a standby answers reads without a look at the fence") \
    X(ZK_TORN_IS_END, "a standby takes what does not check for the end of the log") \
    X(ZK_TAIL_NOT_RELOGGED, "what the old log holds unproven is not taken over") \
    X(ZK_TAIL_ACKED_IGNORED, "a standby applies what nobody has acknowledged yet") \
    X(ZK_SESSION_IS_PROOF, "a leader answers reads without a look at the fence") \
    X(ZK_SERVE_EARLY, "a new leader's log counts before it holds what it takes over") \
    X(ZK_NAME_REUSED, "two processes of one epoch write one log") \
    X(ZK_OWNER_UNCHECKED, "who has made a log's first file begins the log without a look at the fence") \
    X(ZK_DOUBT_SKIPPED, "a log that failed ends its journal though another one may have claimed it") \
    X(ZK_PENDING_KEPT, "what is pending of one log is applied as if another one had it") \
    X(ZK_SEGMENT_UNTOLD, "a segment is written into before others can learn of it") \
    X(ZK_TRIM_UNTOLD, "a segment goes before others can learn of it") \
    X(ZK_GC_EAGER, "a log is removed as soon as one image covers it") \
    X(ZK_GC_LATER, "a leader removes every log but its own, also those of later epochs") \
    X(ZK_IMAGE_NAME_SHARED, "each life of a member writes its images under one name") \
    X(ZK_NUMBER_SHARED, "two processes take part as one member") \
    X(ZK_WHOSE_UNASKED, "a member stands for election under another cluster's path") \
    X(ZK_WATCH_LOST, "watches are not armed again on a new connection") \
    X(ZK_REARM_LATE, "watches are armed again behind the calls that waited") \
    X(ZK_RESENT, "a request whose answer was lost with its connection is sent again") \
    X(ZK_ZXID_FORGOTTEN, "a session goes on with any server, however far that one is behind")
/* clang-format on */

enum mutant {
    MUTANT_NONE,
#define MUTANT_ENUM(name, what) MUTANT_##name,
    MUTANTS(MUTANT_ENUM) RAFT_MUTANTS(MUTANT_ENUM) ZK_MUTANTS(MUTANT_ENUM)
#undef MUTANT_ENUM
        MUTANT_COUNT
};

#ifdef TARN_MUTANTS
extern uint32_t mutant_on, mutant_also;
#define MUTANT(name) (mutant_on == MUTANT_##name || mutant_also == MUTANT_##name)
#else
#define MUTANT(name) false
#endif

#endif
