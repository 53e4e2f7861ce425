/* sim/tarn_sim_child.h - a run in a process of its own, and what it says of its end.
 *
 * What fails an assertion or is ended by a signal is an end like the others. */
#ifndef SIM_TARN_SIM_CHILD_H
#define SIM_TARN_SIM_CHILD_H

#include <sys/types.h>
#include "sim/lab_group.h"
#include "sim/lab_run.h"
#include "sim/tarn_sim.h"

enum { CHILD_TEXT = 512 };

/* how a run ended */
struct child_end {
    int32_t status; /* 0 or EXIT_* */
    int64_t at_ns;
    uint64_t events;
    char checker[24], what[CHILD_TEXT], kind[CHILD_TEXT];
};

struct child_world {
    struct sim *sim;
    const struct lab_scenario *s;
    struct lab_run *run; /* or group */
    struct lab_group *group;
    const struct lab_ops *record; /* told, too, with what chance did; may be NULL */
    const struct lab_chances *chances;
};

void tarn_sim_child_open(struct child_world *w, struct mem *m, const struct lab_scenario *s,
                         struct lab_ops *record);
/* up to t_ns, 0: to the end; ret: it is over */
bool tarn_sim_child_go(struct child_world *w, int64_t t_ns);
/* as the exit status of a run has it: the first verdict that is about safety, or else liveness */
bool tarn_sim_child_judge(const struct child_world *w, struct child_end *ret_e);
bool tarn_sim_child_alike(const struct child_end *a, const struct child_end *b);

/* From where w stands, in a process of its own, on to the end, with other chances in the i-th way;
 * 0: as it would.  like: it may end as soon as it has failed in that way (NULL: it does not).
 * false: it has not said how it ended. */
bool tarn_sim_child_vary(struct child_world *w, uint64_t i, const struct child_end *like,
                         struct child_end *ret_e);

/* ---- in the child: a failed assertion is told and ends it ---- */
void tarn_sim_child_begin(int fd, const struct child_world *w);
__attribute__((noreturn)) void tarn_sim_child_tell(struct child_end *e);

/* A copy of this process, which writes to *ret_fd what its parent reads there; each closes its own
 * end.  ret: 0 in the child, in the parent its pid; -1: there are no processes */
pid_t tarn_sim_child_fork(int *ret_fd);

/* ---- in the parent ---- */
bool tarn_sim_child_get(int fd, void *to, size_t n);
/* how pid ended; ok: it has told it.  ret: it has, or is ended by a signal (but for SIGALRM) */
bool tarn_sim_child_wait(pid_t pid, bool ok, struct child_end *e);

#endif
