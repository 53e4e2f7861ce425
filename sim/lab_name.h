/* sim/lab_name.h - what the things of a run are called in explicit operations (sim/lab_op.h): by
 * the name under which anybody first heard of them.
 *
 *  1. A thing keeps its name, also when it is renamed, or gone.
 *  2. The k-th thing first heard of under one name is "name#k", from 2.
 *  3. What is asked for as "name#9" where there are fewer is the last there is, also on the way to
 *     something. */
#ifndef SIM_LAB_NAME_H
#define SIM_LAB_NAME_H

#include "core/fsop.h"
#include "core/mem.h"

struct lab_names;

struct lab_names *lab_names_open(struct mem *m);
/* somebody hears of ino as `name` in parent */
void lab_names_learn(struct lab_names *l, struct ino parent, const char *name, uint32_t len,
                     struct ino ino);
/* "" when it was never heard of */
const char *lab_names_of(const struct lab_names *l, struct ino ino);
/* 0: nobody has heard of it */
struct ino lab_names_find(const struct lab_names *l, const char *name);

#endif
