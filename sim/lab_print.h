/* sim/lab_print.h - what the reports of whole file systems, of journals and their timelines have in
 * common. */
#ifndef SIM_LAB_PRINT_H
#define SIM_LAB_PRINT_H

#include <stdio.h>
#include "sim/lab_check.h"
#include "sim/lab_scenario.h"

/* what a fault or a chance is, in one line; until the next call */
const char *lab_print_fault(const struct lab_fault *f);
const char *lab_print_chance(const struct sim_chance *c);
/* what chance does, of a scenario that lists it: a table */
void lab_print_chances(FILE *to, const struct lab_scenario *s);
/* a member of an object, with what the run came to: "faults": [...] */
void lab_print_json_fault(FILE *to, const struct lab_scenario *s, const struct lab_fault *f,
                          int64_t end_ns, bool is_first);
/* "  ok    linear     12 checks", without an end of line; "?": some were given up, and none failed
 */
void lab_print_finding(FILE *to, const struct lab_finding *f, const char *name);
void lab_print_json_finding(FILE *to, const struct lab_finding *f);
/* "1 journal", "3 journals" */
const char *lab_print_s(uint64_t n);

#endif
