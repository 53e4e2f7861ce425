/* sim/tarn_sim_summary.h - what a database of campaigns says, as text or JSON. */
#ifndef SIM_TARN_SIM_SUMMARY_H
#define SIM_TARN_SIM_SUMMARY_H

#include <sqlite3.h>
#include <stdio.h>
#include "sim/tarn_sim_row.h"

enum { SUMMARY_EXCUSES = 200, SUMMARY_FAILURES = 20 };

enum summary_marks {
    SUMMARY_MARKS_FAIL,
    SUMMARY_MARKS_WARN,
    SUMMARY_MARKS_OFF,
    SUMMARY_MARKS_LATER, /* of one shard: the others may come to them */
};

struct summary_options {
    bool json;
    enum summary_marks marks;
    char *const *excuses;
    unsigned n_excuses;
    uint64_t left; /* runs that were not begun */
    const char *why_left;
};

/* prints it all; ret: the exit status that all rows together deserve */
int tarn_sim_summary(sqlite3 *db, const struct summary_options *o);
/* one failure and the line that reproduces it; to NULL: nothing */
void tarn_sim_summary_failure(sqlite3 *db, int64_t scenario, uint64_t seed, FILE *to);

/* ---- what a report in another form needs, too ---- */

/* all values of a measure, sorted; ret: how many; free them */
uint64_t tarn_sim_summary_values(sqlite3 *db, int64_t scenario, const char *measure,
                                 int64_t **ret_v);
/* "12.3 ms" */
const char *tarn_sim_summary_text(int64_t v, const char *unit, char *ret, size_t cap);
bool tarn_sim_summary_excused(const char *mark, const struct summary_options *o);
/* "tarn-sim run ... --seed N" of a row of "SELECT s.path, s.sets, s.mutant, r.seed, r.runs,
 * r.verdict" */
void tarn_sim_summary_again(sqlite3_stmt *st, char *ret, size_t cap);

#endif
