/* sim/lab_chance.h - what chance did in the world (sim_chance of sim/sim.h) as a list in a
 * scenario: written down as it happens, or given instead of drawn.
 *
 *     {"at": "1.2s", "do": "loss", "node": "c1", "to": "m1", "n": 2}
 *
 * docs/simulator.md says what each does. */
#ifndef SIM_LAB_CHANCE_H
#define SIM_LAB_CHANCE_H

#include <stdio.h>
#include "sim/sim.h"

enum { LAB_CHANCES_MAX = 1000000 };

/* A list that grows. */
struct lab_chances {
    struct sim_chance *c;
    uint32_t n, cap;
};

struct cJSON;

/* an empty one at the end of the list, or NULL: there are too many */
struct sim_chance *lab_chance_add(struct lab_chances *l);
/* by time; those of one time stay in their order */
void lab_chance_sort(struct lab_chances *l);
void lab_chance_free(struct lab_chances *l);
/* is there one of that kind? */
bool lab_chance_has(const struct lab_chances *l, enum sim_chance_kind kind);
const char *lab_chance_name(enum sim_chance_kind kind);
/* the whole list; 0, or E_CONFIG, a text, and what it is about (may stay as it was) */
int lab_chance_parse(struct lab_chances *l, const struct cJSON *list, char *ret_why, size_t cap,
                     const struct cJSON **ret_bad);
/* has it the field: "to", "for", "n", "site"? */
bool lab_chance_has_field(enum sim_chance_kind kind, const char *field);
/* as one JSON object in one line, which gives the same */
void lab_chance_write(const struct sim_chance *c, FILE *to);
/* told: is filled with what hits from now on, in the order of time; given: hits; either may be
 * NULL. All nodes are there. */
void lab_chance_begin(struct sim *s, struct lab_chances *told, const struct lab_chances *given);

#endif
