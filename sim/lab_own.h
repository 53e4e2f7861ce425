/* sim/lab_own.h - a protocol of your own in the simulator: servers m1, m2, ..., clients c1, c2,
 * ..., a workload and checkers, under the faults of a scenario that says "protocol": "NAME".
 *
 *   servers, clients: code on core/env.h, as for the real world     draw: what a client's thread
 * does the simulator: machines, chance, faults, threads, the history   judge: what must hold of it
 *
 * A program of yours is one file with such a struct and a main that calls tarn_sim_own() (see
 * sim/tarn_sim_own.h): it has all commands of tarn-sim.  sim/example/register_main.c is a whole
 * one.
 *
 *   load and faults (duration) -> everything is healed, the load ends -> each thread does one more
 *   operation, which must be answered within bound -> judge
 *
 *  1. Servers and clients know nothing but their env, their memory and what a place says.  Chance
 *     is env_random(); nothing depends on addresses, and nothing outlives a process but its disk.
 *  2. An operation is open until lab_own_end(), or until client.deadline: then nobody knows whether
 *     it happened (LAB_OWN_UNKNOWN), and a later end of it is passed over.
 *  3. Faults hit servers; of clients only the links.  Who leads is nobody's business here: faults
 *     of leaders, members, images and the under-store are refused by lab_scenario_check. */
#ifndef SIM_LAB_OWN_H
#define SIM_LAB_OWN_H

#include "core/env.h"
#include "core/mem.h"
#include "core/prng.h"
#include "sim/lab_scenario.h"
#include "sim/lab_wgl.h"

enum { LAB_OWN_CHECKS = 4, LAB_OWN_MEMO = 16 };

struct lab_own_run;

/* Where a process runs; it outlives the process. */
struct lab_own_place {
    struct lab_own_run *run;
    struct env *env; /* of the process that runs, */
    struct mem *mem; /* and its memory: all is gone when it ends */
    const struct lab_scenario *s;
    uint32_t index; /* of m1: 0; of c1: 0 */
    bool is_client;
    uint64_t memo[LAB_OWN_MEMO]; /* for checkers alone: what they remember of the machine */
};

enum lab_own_state {
    LAB_OWN_OPEN,
    LAB_OWN_OK,
    LAB_OWN_FAILED,  /* it surely did not happen; of a cas: the comparison failed */
    LAB_OWN_UNKNOWN, /* it may happen at any time from then on, or never */
};

struct lab_own_op {
    uint64_t number;         /* of all, from 1 */
    uint32_t client, thread; /* from 0 */
    uint16_t kind;           /* LAB_OP_GET, LAB_OP_SET, LAB_OP_CAS (sim/lab_op.h) */
    enum lab_own_state state;
    uint32_t key;
    uint64_t a, b;          /* set a; cas a to b: no two sets are of the same value */
    uint64_t value;         /* that a get saw */
    int64_t from_ns, to_ns; /* to_ns INT64_MAX: no answer */
};

struct lab_own {
    const char *name, *about;
    const char *const (*bugs)[2]; /* known ones for --mutant: name and text; NULL at the end */
    /* a process begins; what client gives is handed to begin */
    void (*server)(struct lab_own_place *at);
    void *(*client)(struct lab_own_place *at);
    /* the client, as client() gave it, shall do it and call lab_own_end */
    void (*begin)(void *client, const struct lab_own_op *op);
    /* the workload: sets kind and key */
    void (*draw)(struct prng *p, const struct lab_scenario *s, struct lab_own_op *op);
    struct lab_own_check { /* name NULL: no more */
        const char *name, *what;
        void (*judge)(struct lab_own_run *r); /* at the end; may be NULL */
    } checks[LAB_OWN_CHECKS + 1];
};

/* ---- for the protocol ---- */

/* an operation has ended; from its client's process */
void lab_own_end(struct lab_own_place *at, uint64_t number, enum lab_own_state state,
                 uint64_t value);
/* is this known bug switched on? */
bool lab_own_bug(const char *name);
/* the process gives up (its disk failed, say), and starts again a little later */
void lab_own_exit(struct lab_own_place *at);

/* ---- for checkers, also while the run goes on ---- */

const struct lab_own_op *lab_own_history(const struct lab_own_run *r, uint32_t *ret_n);
/* the same for lab_wgl_check, from the run's memory; an op's tag is its place in the history */
struct lab_wgl_op *lab_own_wgl(struct lab_own_run *r, uint32_t *ret_n);
struct mem *lab_own_mem(struct lab_own_run *r);
/* so many things were looked at */
void lab_own_checked(struct lab_own_run *r, const char *check, uint64_t n);
/* at_ns: when it went wrong; 0: now */
void lab_own_fail(struct lab_own_run *r, const char *check, int64_t at_ns, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* ---- for the program ---- */

/* before anything else; one program has one protocol */
void lab_own_register(const struct lab_own *own);
const struct lab_own *lab_own_registered(void); /* NULL: none */
/* switches a known bug on; false: there is no such */
bool lab_own_plant(const char *bug);
/* the i-th verdict of a run of that scenario; "": there are fewer */
const char *lab_own_verdict(const struct lab_scenario *s, unsigned i);
/* may such a fault be in a scenario of a protocol of one's own? */
bool lab_own_has_fault(enum lab_fault_kind k);

#endif
