/* sim/lab_elect.h - trials of elections: the Raft core (journal/raft.h) on machines and links as
 * papers describe them, thousands of times.
 *
 * The core is the one that journals run; everything around it is a model that can be stated in a
 * paper's sentence: messages take a uniform time, a write of term and vote takes a uniform time,
 * nothing else takes any.  What papers' algorithms lack (pre-vote, check-quorum, promises, longer
 * rounds) is off unless a key turns it on.
 *
 *   begin=timers   everybody alive starts at the same time, with a fresh timer, and nobody leads
 *   begin=crash    member 1 leads; after `warm` heartbeats whoever leads then dies, uniformly
 *                  within a heartbeat interval behind a broadcast of heartbeats
 *   begin=calm     member 1 leads, and nothing happens for `limit`: is it left alone?
 *
 * A trial is over when a leader has been heard by all who are alive (its time is that), or, with
 * `stable`, when a leader has led for more than so many heartbeats (its time is when it began to).
 *
 * INVARIANTS
 *  1. A trial is a function of (keys, seed, number): trials may be computed in any order.
 *  2. Two leaders of one term end the program: a model that breaks the core measures nothing. */
#ifndef SIM_LAB_ELECT_H
#define SIM_LAB_ELECT_H

#include "sim/sim.h"

enum lab_elect_key { /* the table in lab_elect_keys.c says what each is */
                     LAB_ELECT_MEMBERS,
                     LAB_ELECT_FAILED,
                     LAB_ELECT_LOGS,
                     LAB_ELECT_LAST_ENTRY,
                     LAB_ELECT_BEGIN,
                     LAB_ELECT_WARM,
                     LAB_ELECT_SUSPECT_MIN,
                     LAB_ELECT_SUSPECT_MAX,
                     LAB_ELECT_ROUND_MIN,
                     LAB_ELECT_ROUND_MAX,
                     LAB_ELECT_HEARTBEAT,
                     LAB_ELECT_PROMISE,
                     LAB_ELECT_PRE_VOTE,
                     LAB_ELECT_CHECK_QUORUM,
                     LAB_ELECT_ASKED_ROUNDS,
                     LAB_ELECT_GRANTED_TIMER,
                     LAB_ELECT_HEARD_TIMER,
                     LAB_ELECT_LONGER_ROUNDS,
                     LAB_ELECT_LATENCY_MIN,
                     LAB_ELECT_LATENCY_MAX,
                     LAB_ELECT_FAR,
                     LAB_ELECT_FAR_OUT,
                     LAB_ELECT_FAR_IN,
                     LAB_ELECT_LOSS_PPM,
                     LAB_ELECT_RTO,
                     LAB_ELECT_FIFO,
                     LAB_ELECT_DRIFT_PPM,
                     LAB_ELECT_WRITE_MIN,
                     LAB_ELECT_WRITE_MAX,
                     LAB_ELECT_VOTE_WRITES,
                     LAB_ELECT_TERM_FIRST,
                     LAB_ELECT_BUSY,
                     LAB_ELECT_STABLE,
                     LAB_ELECT_LIMIT,
                     LAB_ELECT_KEYS
};

enum { LAB_ELECT_LOGS_SAME, LAB_ELECT_LOGS_HALF, LAB_ELECT_LOGS_ALL };
enum { LAB_ELECT_LAST_HALF, LAB_ELECT_LAST_ALL };
enum { LAB_ELECT_TIMERS, LAB_ELECT_CRASH, LAB_ELECT_CALM };

struct lab_elect_knob {
    const char *key;
    int64_t init, min, max;
    bool is_time;
    const char *const *words; /* instead of numbers: 0, 1, ...; NULL: none */
    const char *what;
};
extern const struct lab_elect_knob lab_elect_knobs[LAB_ELECT_KEYS];

struct lab_elect_trial {
    int64_t ns;                /* since the crash or the start; -1: not within the limit */
    int64_t won_ns;            /* when somebody led first; -1: nobody */
    uint32_t terms;            /* that the first of them was ahead of the term before; 0: nobody */
    uint32_t leaders;          /* who led since */
    uint32_t disturbed;        /* changes of the leader, and terms begun, while none had died */
    int64_t away_ns;           /* calm: how long nobody led */
    uint64_t messages, writes; /* since the crash or the start; writes of term and vote */
};

struct lab_elect;

/* NULL is never returned: memory that does not suffice is a bug of who calls.  m outlives it. */
struct lab_elect *lab_elect_open(struct mem *m, const int64_t key[LAB_ELECT_KEYS], uint64_t seed);
void lab_elect_run(struct lab_elect *e, uint64_t number, struct lab_elect_trial *ret_t);
/* of every event so far */
void lab_elect_hash(const struct lab_elect *e, uint64_t ret[2]);
uint64_t lab_elect_events(const struct lab_elect *e);
void lab_elect_close(struct lab_elect *e);

/* ---- lab_elect_keys.c */
void lab_elect_defaults(int64_t key[LAB_ELECT_KEYS]);
/* "key=value"; ret: NULL, or what is wrong */
const char *lab_elect_set(int64_t key[LAB_ELECT_KEYS], const char *assignment);
/* what is 0 and follows from others; ret: NULL, or what does not fit together */
const char *lab_elect_settle(int64_t key[LAB_ELECT_KEYS]);

#endif
