/* sim/tarn_sim_timeline.h - tarn-sim run --timeline: what is kept of a run for its page. */
#ifndef SIM_TARN_SIM_TIMELINE_H
#define SIM_TARN_SIM_TIMELINE_H

#include <stdio.h>
#include "sim/lab_group.h"
#include "sim/lab_load.h"
#include "sim/sim.h"

struct timeline;

/* NULL: no memory */
struct timeline *tarn_sim_timeline_open(struct sim *s);
void tarn_sim_timeline_close(struct timeline *t);

/* as they happen */
void tarn_sim_timeline_event(struct timeline *t, const struct sim_trace *e);
void tarn_sim_timeline_answer(struct timeline *t, const struct lab_load_answer *a);
void tarn_sim_timeline_lead(struct timeline *t, int64_t at_ns, const char *node, uint64_t epoch,
                            bool begins);
void tarn_sim_timeline_record(struct timeline *t, int64_t at_ns, uint64_t index, const char *what);
void tarn_sim_timeline_op(struct timeline *t, int64_t at_ns, const struct lab_group_op *o);

struct timeline_end {
    const char *name;
    uint64_t seed;
    int64_t end_ns, load_ns;
};

/* the page, in five steps; chances: those that are listed */
void tarn_sim_timeline_begin(struct timeline *t, FILE *to, const struct timeline_end *e);
void tarn_sim_timeline_fault(struct timeline *t, const struct lab_fault *f);
void tarn_sim_timeline_chances(struct timeline *t, const struct lab_chances *l);
void tarn_sim_timeline_verdict(struct timeline *t, const char *name, const struct lab_finding *f);
/* ret: false when something was lost for want of memory */
bool tarn_sim_timeline_end(struct timeline *t);

#endif
