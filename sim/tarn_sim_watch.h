/* sim/tarn_sim_watch.h - what is seen of a run while it runs: its trace, history, timeline and log.
 *
 *  1. To watch a run changes nothing in it.
 *  2. A run that an assertion ends leaves what there is of it: trace and history up to there, and a
 *     timeline with the assertion as one more verdict. */
#ifndef SIM_TARN_SIM_WATCH_H
#define SIM_TARN_SIM_WATCH_H

#include "sim/lab_group.h"
#include "sim/lab_run.h"
#include "sim/tarn_sim_record.h"
#include "sim/tarn_sim_timeline.h"

struct watch {
    /* set by who watches */
    const struct lab_scenario *s;
    uint64_t seed;
    const char *log_node;
    uint64_t stop_event;  /* 0: none */
    uint64_t plant_event; /* an assertion fails there; 0: nowhere */
    bool twice, is_second;
    FILE *say;                    /* log lines, and the event at which it stops */
    FILE *trace, *history, *page; /* page: of the timeline; NULL: none */
    bool is_jsonl;                /* the history, for check-history */
    /* its own */
    struct sim *sim;
    struct lab_run *run; /* one of the two */
    struct lab_group *group;
    bool is_stopped; /* at stop_event */
    bool is_over;    /* what comes now is what has no answer */
    uint32_t lives[RECORD_THREADS];
    struct timeline *timeline;
    uint64_t *events; /* of the first run of two */
    uint64_t n, cap, diverged, seen;
    struct sim_trace first_other;
};

/* for lab_*_open */
void tarn_sim_watch_log(void *ctx, int64_t at_ns, struct sim_node *n, enum env_log level,
                        const char *line);
/* that one has been opened, and has not begun */
void tarn_sim_watch_group(struct watch *w, struct lab_group *g);
void tarn_sim_watch_run(struct watch *w, struct lab_run *r);
/* it is over, and not closed yet: the timeline is written */
void tarn_sim_watch_over(struct watch *w);
/* an assertion failed in it */
void tarn_sim_watch_panic(struct watch *w, const char *file, int line, const char *what);
/* the files; false, and said: they are not whole */
bool tarn_sim_watch_close(struct watch *w);
/* an event, as a line */
void tarn_sim_watch_text(const struct watch *w, const struct sim_trace *t, FILE *to);
const char *tarn_sim_watch_verdict(const struct lab_scenario *s, unsigned v);

#endif
