/* sim/tarn_sim_record.h - what tarn-sim run --history writes, as it happens. */
#ifndef SIM_TARN_SIM_RECORD_H
#define SIM_TARN_SIM_RECORD_H

#include <stdio.h>
#include "sim/lab_group.h"
#include "sim/lab_load.h"

enum { RECORD_THREADS = 1000 };

void tarn_sim_record_answer(FILE *to, const struct lab_load_answer *a);
void tarn_sim_record_record(FILE *to, int64_t at_ns, uint64_t index, const struct fsop *op,
                            const struct meta_result *res);
/* as JSON for check-history; lives: of RECORD_THREADS, zeros before the run */
void tarn_sim_record_op(FILE *to, int64_t at_ns, const struct lab_group_op *o, uint32_t *lives);

#endif
