/* sim/lab_measured.h - a machine that was measured (tarn bench calibrate), taken by a scenario.
 *
 * The file is a JSON object:
 *
 *     tarn_model  1: the version of all this
 *     about       whatever its maker says of machine, kernel, commit and date; not looked at
 *     disk.write  a list of tables {"bytes": N, "at_once": N, "ns": [33 numbers]}: a durable write
 *                 of so many bytes while so many are under way on this disk, itself counted
 *     net.way     a list of tables {"bytes": N, "ns": [33 numbers]}: what one turn sends to one
 *                 peer, from the write until the peer's turn can begin
 *     cpu         cores, and in ns turn, send, receive, io, wake, batch, submit, apply;
 *                 in ps byte, submit_byte, apply_byte
 *
 *  1. The 33 numbers are quantiles at even steps, from the least to the most, ascending; the last
 *     one is such that the mean of the uppermost 32nd is right (bench_calibrate.c).
 *  2. For each number under way every size is there that is there for the others.
 *  3. Each section may be left out; then its part is as it is without a model.  What the cpu
 *     section says are the knobs machine.* and journal.submit, apply, ..: a scenario that says
 *     them too has the last word. */
#ifndef SIM_LAB_MEASURED_H
#define SIM_LAB_MEASURED_H

#include "sim/lab_scenario.h"

/* 0, or E_CONFIG with file, line and what is wrong */
int lab_measured_take(struct lab_scenario *s, const char *path, char *ret_why);
/* the text of such a file, of that name */
int lab_measured_parse(struct lab_scenario *s, const char *path, const char *json, char *ret_why);
void lab_measured_drop(struct lab_scenario *s);

#endif
