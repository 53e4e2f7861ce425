/* sim/lab_check.h - the checkers: what must hold of a run, whatever happened to the machines.
 *
 *   log        a committed record is never lost or changed, no request takes effect twice, and a
 *              master begins to lead with exactly the state that the log gives; of several, every
 *              master applies the same records at the same indices, with the same answers and
 *              states, also from images; an epoch has one leader, who has all that was applied by
 *              leaders of earlier ones
 *   answers    every answer is what an independent model foretells at its place in the log, and
 *              places agree with real time
 *   data       bytes read are those of one state of the file that the reader may see, within one
 *              open of one state; acknowledged writes are in the under-store; what is unlinked
 *              is not reclaimed while a session holds it
 *              what clients append stands once, whole, where nobody else wrote, and behind what was
 *              acknowledged before it was begun; nothing is left out between two of them
 *   store      at the end namespace and under-store agree, both walked
 *   liveness   requests end by their deadline; after the last fault everything works in time
 *   structure  the own checks of every component
 *   raft       of several masters: the properties of sim/lab_raft.h, after every step
 *   linear     what clients that always ask were told has an order that explains it, black-box
 *              (sim/lab_load_history.c)
 *
 * Nothing here looks into a component, but for `raft`: it sees what clients see, the records that
 * were applied, and the under-store. */
#ifndef SIM_LAB_CHECK_H
#define SIM_LAB_CHECK_H

#include "cluster/master.h"
#include "sim/lab_model.h"
#include "sim/lab_ufs.h"
#include "sim/sim.h"

enum lab_verdict {
    LAB_LOG,
    LAB_ANSWERS,
    LAB_DATA,
    LAB_STORE,
    LAB_LIVENESS,
    LAB_STRUCTURE,
    LAB_RAFT,
    LAB_LINEAR,
    LAB_VERDICTS
};

/* a group of this number or a higher one tells a request from all others */
enum { LAB_CHECK_TAGS = 1 << 24 };
/* What looks at all inodes is done when a record can pay for it with a look at so many: then a
 * large namespace does not make records cost more. */
enum { LAB_CHECK_SHARE = 4 };

struct lab_finding {
    uint64_t checks, failures;
    uint64_t unknown; /* of the checks: given up, neither ok nor failed */
    int64_t at_ns;    /* of the first failure */
    char what[512];
    char budget[80]; /* that ran out, of the unknown ones */
};

struct lab_check_config {
    int64_t slack_ns;  /* a change that nobody was told of must be seen after this */
    int64_t behind_ns; /* and one made behind the cluster's back after this */
    int64_t told_ns;   /* who opens a file this long after its last change holds the last version */
    bool store_fails;  /* the scenario makes the under-store fail */
    bool journal_full; /* or that the journal cannot be written for want of space */
    bool is_group;     /* several masters: indices have gaps */
    uint64_t operations; /* that are expected (lab_scenario_operations) */
    uint64_t recent;     /* and of them until they are forgotten */
    struct meta_limits limits;
    const char *store; /* name of the under-store that is mounted on "/" */
};

struct lab_check;

/* What one open file may have been reading; zero it at open. */
struct lab_check_file {
    struct ino ino;
    int64_t opened_ns; /* when the open was sent */
    uint64_t session;  /* that it was opened in; 0: in more than one, or none */
    bool seen_live, begun, begun_bytes;
    uint32_t n_states;
    struct {
        uint64_t ufs;
        uint32_t k;
    } states[64];
};

struct lab_check *lab_check_open(struct mem *m, struct sim *s, struct lab_ufs *u,
                                 const struct lab_check_config *cfg);
struct lab_finding *lab_check_finding(struct lab_check *c, enum lab_verdict v);
const char *lab_check_name(enum lab_verdict v);
void lab_check_fail(struct lab_check *c, enum lab_verdict v, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* One for each master, for all its lives. */
struct master_observer *lab_check_observer(struct lab_check *c, const char *name);
/* a life of that master begins; it has applied nothing */
void lab_check_starts(struct master_observer *o);
/* that master's state, when all is quiet, is the log's; false: it is not there yet */
bool lab_check_even(struct lab_check *c, struct master_observer *o, const struct meta *state,
                    char *ret_why, size_t cap);
struct lab_model *lab_check_model(struct lab_check *c);
const struct meta *lab_check_state(const struct lab_check *c);
uint64_t lab_check_records(const struct lab_check *c);
/* times that a master began to lead */
uint64_t lab_check_leaderships(const struct lab_check *c);

/* called for each record when it is first applied */
void lab_check_on_record(struct lab_check *c,
                         void (*fn)(void *ctx, int64_t at_ns, uint64_t index, const struct fsop *op,
                                    const struct meta_result *res),
                         void *ctx);

/* called when a master begins to lead, and when it leads no more; not when it dies */
void lab_check_on_lead(struct lab_check *c,
                       void (*fn)(void *ctx, int64_t at_ns, const char *name, uint64_t epoch,
                                  bool begins),
                       void *ctx);

/* Does the client have the file open for writing, now?  Its own writes are part of what it sees. */
void lab_check_on_writer(struct lab_check *c,
                         bool (*fn)(void *ctx, const char *client, struct ino ino), void *ctx);

/* a mutation that `client` sent was answered */
void lab_check_mutation(struct lab_check *c, const char *client, const struct fsop *op,
                        const struct fsop_reply *rep, struct lab_window w);
void lab_check_query(struct lab_check *c, const char *client, const struct fsop *op,
                     const struct fsop_reply *rep, struct lab_window w);
void lab_check_listing(struct lab_check *c, const char *client, struct ino dir,
                       const struct lab_model_name *names, uint32_t n, struct lab_window w);
/* n bytes of the len asked for came; live: somebody writes it */
void lab_check_read(struct lab_check *c, const char *client, struct lab_check_file *f, bool live,
                    uint64_t off, uint32_t len, const void *bytes, uint32_t n);
/* a write was acknowledged */
void lab_check_written(struct lab_check *c, const char *client, struct ino ino, uint64_t off,
                       const void *bytes, uint32_t len, struct lab_window w);
/* a change to that size (truncation, also at open) was acknowledged */
void lab_check_sized(struct lab_check *c, struct ino ino, uint64_t size, struct lab_window w);
/* Writes under way: nothing else may write to a file of the under-store.  At the end is_over says
 * that the asker still lives; if it has died the write may come a little later. */
void lab_check_writing(struct lab_check *c, const void *who, struct ino ino, uint64_t off,
                       uint32_t len);
void lab_check_writing_end(struct lab_check *c, const void *who, bool is_over);
/* ---- a file that is appended to and truncated, and written in no other way ----
 * `who` wants to append bytes; is told where, or not; and how that write ended.  Everything that
 * the under-store has of it is judged by that. */
enum lab_append_end {
    LAB_APPEND_DONE,   /* acknowledged */
    LAB_APPEND_UNUSED, /* nothing was begun at that place: another one is asked for */
    LAB_APPEND_LOST    /* it may have been written, or not */
};
void lab_check_append_ask(struct lab_check *c, const void *who, struct ino ino, const void *bytes,
                          uint32_t len);
/* again: a place that it was given in an earlier session may have been lost with the answer */
void lab_check_append_place(struct lab_check *c, const void *who, uint64_t off, bool again);
void lab_check_append_end(struct lab_check *c, const void *who, enum lab_append_end how);
/* it is written in another way: nothing is said of its appends any more */
void lab_check_append_other(struct lab_check *c, struct ino ino);
/* It is open now: what is unlinked keeps its bytes for as long as the session lasts that it was
 * opened in. */
void lab_check_held(struct lab_check *c, const char *client, const struct lab_check_file *f);
/* a read of an open file failed with err, which something must explain */
void lab_check_unread(struct lab_check *c, const char *client, struct lab_check_file *f, int err);
/* a write ended without an answer: it may still happen, as if behind the cluster's back */
void lab_check_doubt(struct lab_check *c, struct ino ino);
/* the model, the machine and the under-store against each other, when all is quiet */
void lab_check_end(struct lab_check *c);
/* No question is open that was put before oldest_ns, nor file that was opened before: what was over
 * by then is forgotten. */
void lab_check_forget(struct lab_check *c, int64_t oldest_ns);
/* Is it time for what looks at all inodes of that state?  since: when it was last; 0 at first. */
bool lab_check_is_due(const struct meta *state, uint64_t *since);
/* now and then: the whole state, if it is due */
void lab_check_interval(struct lab_check *c);
/* somebody outside has changed the under-store */
bool lab_check_is_disturbed(const struct lab_check *c);

#endif
