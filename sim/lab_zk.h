/* sim/lab_zk.h - sim_zk: an ensemble of ZooKeeper servers in the simulated world, which speaks the
 * client protocol byte by byte over raw connections (core/env.h, 9).  journal/zk_client.h cannot
 * tell it from Apache ZooKeeper 3.8: tests/zk runs one conformance suite against both.
 *
 *     struct lab_zk_config cfg = lab_zk_config_default(3, seed);
 *     struct lab_zk *z = lab_zk_open(&mem, sim, &cfg);     // adds the nodes z1, z2, z3
 *     lab_zk_start_all(z);                                 // a client connects to "z1:2181,..."
 *     sim_node_crash(lab_zk_node(z, 0)); ...  lab_zk_start(z, 0);
 *
 * WHAT IS ON THE WIRE AND WHAT IS NOT.  Clients are.  Among themselves servers exchange messages
 * inside the model, with drawn delays, in order on each link, which stop where the world says that
 * nothing passes (sim_net_partition) or lab_zk_split does; they are lost with a process and with a
 * term.  What they do is ZAB's: a leader's proposals are logged by a quorum before they are
 * committed; of a lost leader's proposals those remain that the next one has; the next one has all
 * that was committed.
 *
 * INVARIANTS
 *  1. Each server applies the same changes in the same order, and serves reads from what it has
 *     applied: they may be stale, also at a leader that does not know yet that it is none.  A sync
 *     at a follower waits for what the leader had proposed; at a leader it waits for nothing.
 *  2. Of one connection requests are answered in their order; a write when this server has applied
 *     it, so that one reads what one wrote.  Events come before the answer that shows their cause.
 *  3. Sessions live at the leader: told of them every half a tick by the others, it ends one at
 *     the tick behind its timeout.  A new leader gives every session its whole timeout again.
 *  4. Without a leader it follows, a server accepts and closes.  One that a client is ahead of
 *     (zxid) closes without a word.
 *  5. Who has moved to another server is closed at the old one when it writes there.
 *  6. All is drawn from one stream of the seed; no pointer decides anything.  Memory is bounded by
 *     lab_zk_bounds, connections, and a log of LAB_ZK_LOG entries.
 *
 * Not there: read-only mode, SASL, TLS, observers, reconfiguration, quotas, containers and TTLs,
 * watches of ADD_WATCH, MULTI_READ: ZK_ERR_UNIMPLEMENTED, and it closes. */
#ifndef SIM_LAB_ZK_H
#define SIM_LAB_ZK_H

#include "sim/lab_zk_tree.h"
#include "sim/sim.h"

enum { LAB_ZK_SERVERS = 5, LAB_ZK_PORT = 2181, LAB_ZK_LOG = 4096 };

struct lab_zk;

struct lab_zk_config {
    uint64_t seed;
    uint32_t servers;                          /* 1 to LAB_ZK_SERVERS */
    const char *name;                          /* of the nodes, a number follows; default "z" */
    int64_t tick_ns;                           /* sessions last 2 to 20 of them */
    uint32_t sync_ticks;                       /* silence that servers bear of each other */
    int64_t hop_min_ns, hop_mean_ns;           /* between servers, one way */
    int64_t log_min_ns, log_mean_ns;           /* until a proposal is on disk */
    uint32_t lag_ppm;                          /* a follower hears of a commit later, and of */
    int64_t lag_mean_ns;                       /*   those behind it */
    int64_t election_min_ns, election_mean_ns; /* without a leader */
    int64_t join_min_ns, join_mean_ns;         /* to a leader that there is */
    uint32_t slow_ppm;                         /* a connection is slow: what comes on it waits */
    int64_t slow_mean_ns;                      /*   for so long */
    uint32_t conns;                            /* of a server; more are refused */
    uint32_t watches; /* of a server; a connection that wants more is closed */
    struct lab_zk_bounds bounds;
};

enum lab_zk_role { LAB_ZK_DOWN, LAB_ZK_LOOKING, LAB_ZK_FOLLOWING, LAB_ZK_LEADING };

struct lab_zk_stats {
    uint64_t connects, reattached, refused, expired, ahead, moved, malformed, slow;
    uint64_t requests, reads, stale_reads; /* stale: a server elsewhere had committed more */
    uint64_t changes, failed, lost;        /* lost: proposals that no later leader had */
    uint64_t events, rearmed, fired_at_once, syncs, pings;
    uint64_t elections, kicked, copies;
};

struct lab_zk_config lab_zk_config_default(uint32_t servers, uint64_t seed);
/* m outlives it */
struct lab_zk *lab_zk_open(struct mem *m, struct sim *s, const struct lab_zk_config *cfg);
struct sim_node *lab_zk_node(struct lab_zk *z, uint32_t i);
/* server i is down: a process begins, with what it had on disk */
void lab_zk_start(struct lab_zk *z, uint32_t i);
void lab_zk_start_all(struct lab_zk *z);
/* "z1:2181,z2:2181,z3:2181" */
void lab_zk_connect_string(const struct lab_zk *z, char *buf, size_t cap);
/* chance goes on with other streams */
void lab_zk_vary(struct lab_zk *z, uint64_t seed);

/* ---- faults, beside those of sim.h for its nodes (crash, pause, partitions, slow links) ---- */

/* The servers of the mask and the others do not hear of each other; clients reach both. 0: ends. */
void lab_zk_split(struct lab_zk *z, uint32_t mask);
/* server i applies what is committed so much later; 0: as usual */
void lab_zk_lag(struct lab_zk *z, uint32_t i, int64_t ns);
/* what comes on the connections of that session that are there now waits so long; false: none is */
bool lab_zk_slow(struct lab_zk *z, int64_t session, int64_t ns);
/* the leader gives up leading, as when its disk is slow; false: there is none */
bool lab_zk_depose(struct lab_zk *z);
/* the leader ends a session at its next tick; false: there is no such, or no leader */
bool lab_zk_expire(struct lab_zk *z, int64_t session);

/* What a quorum has committed is kept apart, as in a snapshot; false: there is no leader. */
bool lab_zk_keep(struct lab_zk *z);
/* All servers are down: their disks are emptied, or have what was kept last.  Who is started then
 * counts its epochs from there. */
void lab_zk_lose(struct lab_zk *z, bool to_kept);
/* somebody with zkCli.sh sets what is in a node, which anybody may write, or makes it; false: no
 * leader */
bool lab_zk_set(struct lab_zk *z, const char *path, const char *text);

/* ---- looking, for checkers ---- */

enum lab_zk_role lab_zk_role(const struct lab_zk *z, uint32_t i);
/* who leads a quorum; -1: nobody */
int32_t lab_zk_leader(const struct lab_zk *z);
uint32_t lab_zk_epoch(const struct lab_zk *z);
const struct lab_zk_tree *lab_zk_tree(const struct lab_zk *z, uint32_t i);
const struct lab_zk_stats *lab_zk_stats(const struct lab_zk *z);
/* every invariant that can be looked at between events; false: why says which is broken */
bool lab_zk_check(const struct lab_zk *z, char *why, size_t cap);

/* ---- a piece of it: what "digest" makes of "user:password" ---- */

/* "user:base64(sha1(user:password))"; false: it does not fit, or has no colon */
bool lab_zk_digest(const char *text, uint32_t len, char *ret, size_t cap);

#endif
