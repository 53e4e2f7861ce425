/* sim/lab_check_impl.h - shared by lab_check.c (log, answers), lab_check_machine.c (masters),
 * lab_check_effect.c (changes below), lab_check_data.c (bytes, store) and lab_check_append.c. */
#ifndef SIM_LAB_CHECK_IMPL_H
#define SIM_LAB_CHECK_IMPL_H

#include "sim/lab_check.h"
#include "sim/lab_ring.h"

enum {
    CHECK_SESSIONS = 4096,
    CHECK_BUCKETS = 16384,
    CHECK_DOUBTS = 4096,
    CHECK_WRITES = 1024,
    CHECK_MACHINES = 9,
    CHECK_LOGS = 1024,
    CHECK_STATE_EVERY = 64, /* records: of no others is the state's hash kept */
    CHECK_PAST = 1 << 17,   /* records of which it is known what they were */
    CHECK_TAGGED = 1 << 16, /* requests of which it is known what became of them */
};

/* What a record was, for those who apply it later: halves of hashes. */
struct check_past {
    uint32_t hash, answer; /* of its bytes; of what a machine answered */
};

struct check_tag {
    uint64_t index; /* of its record; 0: none yet */
    uint16_t kind;
};

/* While somebody may be answered with it. */
struct check_record {
    uint64_t key, session, seq, intent;
    uint64_t before; /* the record before it in its bucket of requests */
    uint64_t final;  /* the record that gave its answer; 0: its effect is awaited */
    struct ino ino;
    int err;
    uint16_t kind;
    uint32_t tag; /* the lab's number of the request, 0: none */
    bool counts;  /* it is an answer, not "try again" and not a repetition */
    bool is_told; /* a client got it */
};

/* of one thread */
struct check_write {
    const void *who;
    struct ino ino;
    uint64_t off;
    uint32_t len;
    int64_t from_ns, until_ns; /* INT64_MAX: under way */
};

struct check_session {
    uint64_t id;
    char client[64];
    uint8_t *did; /* its requests in records that were forgotten: a bit for each number */
    uint64_t cap_did;
};

/* A master, all its lives. */
struct check_machine {
    struct master_observer observer;
    struct lab_check *check;
    char name[32];
    uint64_t applied; /* in this life */
    uint64_t epoch;   /* of its last leadership */
    bool leads;
};

struct check_epoch {
    uint64_t epoch, applied; /* applied: by its leader */
    const struct check_machine *by;
};

struct check_log; /* a file that is appended to */

struct lab_check {
    struct mem *mem;
    struct sim *sim;
    struct lab_ufs *ufs;
    struct lab_check_config cfg;
    struct check_machine machines[CHECK_MACHINES];
    uint32_t n_machines;
    struct lab_finding findings[LAB_VERDICTS];
    struct lab_model *model;
    struct meta *state; /* a machine that never crashes */
    struct check_epoch *epochs;
    uint64_t n_epochs, cap_epochs;
    void (*on_record)(void *ctx, int64_t at_ns, uint64_t index, const struct fsop *op,
                      const struct meta_result *res);
    void *record_ctx;
    void (*on_lead)(void *ctx, int64_t at_ns, const char *name, uint64_t epoch, bool begins);
    void *lead_ctx;
    bool (*is_writer)(void *ctx, const char *client, struct ino ino);
    void *writer_ctx;
    uint64_t n_log;         /* the last record's index */
    uint64_t hashed, whole; /* of lab_check_is_due: for the state's hash to be kept, for a check */
    struct lab_ring log;    /* struct check_record */
    struct lab_ring past;   /* struct check_past */
    struct lab_ring states; /* hashes of states after each CHECK_STATE_EVERY-th; 0: not kept */
    struct lab_ring tags;   /* struct check_tag, by the number of a request */
    uint64_t n_records;
    uint64_t bucket[CHECK_BUCKETS]; /* the last record of the requests that hash to it */
    struct check_session sessions[CHECK_SESSIONS];
    uint32_t n_sessions;
    uint64_t doubts[CHECK_DOUBTS];
    uint32_t n_doubts;
    struct check_write writes[CHECK_WRITES];
    uint32_t n_writes;
    struct check_log *logs[CHECK_LOGS];
    uint32_t n_logs;
    struct meta_intent owed; /* scratch */
    uint64_t vanished;       /* lab_model_vanished() after the last record */
    uint64_t behind;         /* changes by nobody in the cluster before the run */
};

/* ---- lab_check.c */
/* the whole state: its structure, and against the model */
void lab_check_whole(struct lab_check *c);
/* a record that nobody applied before */
void lab_check_new(struct lab_check *c, uint64_t index, const struct fsop *op,
                   const struct meta_result *real);
uint64_t lab_check_hash(const struct fsop *op);

/* ---- lab_check_forget.c */
struct check_session *lab_check_session(struct lab_check *c, uint64_t id);
/* it took effect in a record that was forgotten */
bool lab_check_did(struct lab_check *c, uint64_t session, uint64_t seq);

/* ---- lab_check_machine.c */
uint64_t lab_check_answer_hash(const struct meta_result *res);

/* ---- lab_check_effect.c */
void lab_check_effect(void *ctx, const struct lab_ufs_effect *e);

/* ---- lab_check_append.c */
void lab_check_append_over(struct lab_check *c);
/* what the under-store has done so far is judged; of files that are over for good, all is */
void lab_check_append_follow(struct lab_check *c, int64_t oldest_ns);
/* calls fn with each inode of the under-store that is followed */
void lab_check_append_each(struct lab_check *c, void (*fn)(void *ctx, uint64_t ufs), void *ctx);

/* ---- lab_check_data.c */
bool lab_check_is_doubtful(const struct lab_check *c, struct ino ino);
/* is a->size one that the file had below at some moment at which it may be seen? */
void lab_check_size(struct lab_check *c, const char *client, struct lab_asker by,
                    const struct fsop *op, const struct fsattr *a, struct lab_window w);

#endif
