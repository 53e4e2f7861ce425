/* sim/lab_check_impl.h - shared by lab_check.c (log, answers) and lab_check_data.c (bytes, store).
 */
#ifndef SIM_LAB_CHECK_IMPL_H
#define SIM_LAB_CHECK_IMPL_H

#include "sim/lab_check.h"

enum { CHECK_SESSIONS = 4096, CHECK_BUCKETS = 16384, CHECK_DOUBTS = 4096 };

struct check_record {
    uint64_t hash, key, session, seq, intent;
    uint64_t before; /* the record before it in its bucket of requests */
    uint64_t final;  /* the record that gave its answer; 0: its effect is awaited */
    struct ino ino;
    int err;
    uint16_t kind;
    bool counts;  /* it is an answer, not "try again" and not a repetition */
    bool is_told; /* a client got it */
};

struct check_session {
    uint64_t id;
    char client[64];
};

struct lab_check {
    struct mem *mem;
    struct sim *sim;
    struct lab_ufs *ufs;
    struct lab_check_config cfg;
    struct master_observer observer;
    struct lab_finding findings[LAB_VERDICTS];
    struct lab_model *model;
    struct meta *state; /* a machine that never crashes */
    uint64_t epoch;
    void (*on_record)(void *ctx, int64_t at_ns, uint64_t index, const struct fsop *op,
                      const struct meta_result *res);
    void *record_ctx;
    struct check_record *log;
    uint64_t n_log, cap_log;
    uint64_t bucket[CHECK_BUCKETS]; /* the last record of the requests that hash to it */
    struct check_session sessions[CHECK_SESSIONS];
    uint32_t n_sessions;
    uint64_t doubts[CHECK_DOUBTS];
    uint32_t n_doubts;
};

#endif
