/* sim/tarn_sim.h - what the files of the program tarn-sim share; nobody else includes it.
 *
 * They stand at the edge: they may use POSIX and SQLite.  Nothing of them is in the archives. */
#ifndef SIM_TARN_SIM_H
#define SIM_TARN_SIM_H

#include <stdio.h>
#include "core/mem.h"
#include "sim/lab_scenario.h"

/* exit status, and the class of a run's end */
enum {
    EXIT_BROKEN = 1, /* the campaign itself could not go on */
    EXIT_USAGE,
    EXIT_SAFETY,
    EXIT_LIVENESS,
    EXIT_DIVERGED,
    EXIT_PANIC,
    EXIT_UNREACHED, /* a campaign never came to a fault site or mark */
    EXIT_UNKNOWN,   /* check-history gave up */
};

/* ---- tarn_sim_main.c ---- */

/* scenario and --set, and its mutant is on; ret: 0, or EXIT_USAGE when it has said why not */
int tarn_sim_load(struct lab_scenario *s, const char *path, const char *const *sets,
                  unsigned n_sets);
/* true when there is such a bug, and it is on now */
bool tarn_sim_mutant(const char *name);
/* of the program: tarn-sim, or what one with a protocol of its own is called */
const char *tarn_sim_name(void);
double tarn_sim_wall_s(void);
/* ---- tarn_sim_words.c ---- */

/* does the command take the option? */
bool tarn_sim_takes(const char *command, const char *option);
/* on standard error, after the program's name */
void tarn_sim_say(const char *format, ...) PRINTF_LIKE(1, 2);
/* these say what is wrong; ret: EXIT_USAGE */
int tarn_sim_unknown_option(const char *command, const char *option);
int tarn_sim_unknown(const char *what, const char *word, const char *const *names, size_t n);
int tarn_sim_bad(const char *what, const char *arg);
int tarn_sim_bad_value(const char *option, const char *v); /* v NULL: there is none */
bool tarn_sim_number(const char *s, uint64_t *ret_v);
/* with a unit, but for 0 */
bool tarn_sim_time(const char *s, int64_t *ret_ns);
/* as a shell takes it for one word; ret: its length */
size_t tarn_sim_quote(char *to, size_t cap, const char *word);
/* the next of settings that stand in one text with blanks between; false: there is none */
bool tarn_sim_next_set(const char **at, char *to, size_t cap);

/* ---- tarn_sim_find.c ---- */

/* the i-th folder in which scenarios may lie that have a name alone: here, beside the build, where
 * it is installed; false: there are no more */
bool tarn_sim_scenarios(unsigned i, char *ret_dir, size_t cap);
/* the file of a scenario: a name without "/" and ".json" is looked for in those; NULL: not there */
const char *tarn_sim_find(const char *name, char *path, size_t cap);
/* says so; ret: EXIT_USAGE */
int tarn_sim_no_scenario(const char *name);

/* ---- tarn_sim_mem.c ---- */

/* is memory kept from one run to the next? */
#if defined(__SANITIZE_ADDRESS__)
#define TARN_SIM_MEM_KEEPS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TARN_SIM_MEM_KEEPS false
#endif
#endif
#ifndef TARN_SIM_MEM_KEEPS
#define TARN_SIM_MEM_KEEPS true
#endif

/* the source of memory for a run */
void tarn_sim_mem(struct mem *m);
/* bytes that it gave and nobody had before; what comes from its lists does not count */
uint64_t tarn_sim_mem_taken(void);

/* ---- tarn_sim_list.c, tarn_sim_schema.c ---- */

/* what that knob is; "": nobody has said */
const char *tarn_sim_knob(const char *name);
/* the JSON schema of scenarios; ret: exit status */
int tarn_sim_schema(FILE *to);

/* ---- subcommands: argv is the whole command line ---- */

int tarn_sim_campaign(int argc, char **argv);
int tarn_sim_merge(int argc, char **argv);
int tarn_sim_report(int argc, char **argv);
int tarn_sim_shrink(int argc, char **argv);
int tarn_sim_history(int argc, char **argv);
int tarn_sim_list(int argc, char **argv);
int tarn_sim_elections(int argc, char **argv);
int tarn_sim_diff(int argc, char **argv);

/* ---- tarn_sim_branch.c: a run up to at_ns, and n other continuations ---- */
int tarn_sim_branch(const struct lab_scenario *s, int64_t at_ns, uint64_t n, bool json);

/* ---- tarn_sim_decided.c: from when on do most of n other continuations fail as the run does? ----
 */
int tarn_sim_decided(const struct lab_scenario *s, uint64_t n, bool json);

#endif
