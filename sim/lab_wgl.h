/* sim/lab_wgl.h - are these answers possible?  A search for an order of the operations on one
 * object that respects real time and explains every answer: linearizability, black-box.
 *
 * The algorithm is Wing and Gong's (1993) with Lowe's memo of (set of operations done, state); each
 * key is an object of its own (locality: Herlihy and Wing 1990).  It is exponential in what runs at
 * once, so the search has a bound; over it the verdict is UNKNOWN.
 *
 *  1. An operation takes effect at one moment between its call and its answer.
 *  2. One without an answer takes effect at any moment after its call, or never.
 *  3. An answer and a call at the same time overlap.
 *
 * How far an order can go is exact: when the search stands before an answer that it cannot explain,
 * all answers before it are explained; the last such place of all orders is the first answer of the
 * history that no order explains.  Histories as text: sim/lab_history.h. */
#ifndef SIM_LAB_WGL_H
#define SIM_LAB_WGL_H

#include "core/mem.h"

enum lab_wgl_f {
    LAB_WGL_READ,       /* saw a */
    LAB_WGL_WRITE,      /* a */
    LAB_WGL_CAS,        /* from a to b, and it did */
    LAB_WGL_CAS_FAILED, /* it was not a */
    LAB_WGL_CAS_MAYBE,  /* from a to b if it was a; nobody was told */
    LAB_WGL_APPEND,  /* to b times what was there, plus a: a text as a number (sim/lab_history.c) */
    LAB_WGL_DROPPED, /* did nothing, said nothing */
};

/* A state: what is there was there before, and nobody knows what it is until it is read. */
#define LAB_WGL_ANY 0xa11f0a11f0a11f0aULL

enum lab_wgl_verdict { LAB_WGL_OK, LAB_WGL_BAD, LAB_WGL_UNKNOWN };

struct lab_wgl_op {
    uint64_t key;
    int64_t from, to; /* to INT64_MAX: no answer */
    uint64_t a, b;
    enum lab_wgl_f f;
    uint32_t tag; /* the caller's */
};

struct lab_wgl_result {
    enum lab_wgl_verdict verdict;
    uint64_t keys, steps;
    uint64_t unknown; /* keys whose search was given up; no_memory: not for its steps */
    bool no_memory;
    uint32_t tag; /* BAD: of the first answer that no order explains, of its key; UNKNOWN, of
                     lab_wgl_explain: of the first that is not explained so far */
};

enum { LAB_WGL_STATES = 8 };

/* What is known of a key whose answers are not all explained. */
struct lab_wgl_witness {
    uint32_t *order; /* places in ops, from mem: the shortest order that explains all answers before
                        the one */
    uint32_t n, cap;
    uint32_t blocked;                /* the place of that one */
    uint64_t states[LAB_WGL_STATES]; /* that there may be then, after some order or other; the first
                                        is that of the order above */
    uint32_t n_states;
    bool more_states; /* than these, or not all orders were tried */
};

/* Each key's operations begin with state `initial` (or LAB_WGL_ANY).  ops are sorted in place.
 * steps_max: for each key. */
void lab_wgl_check(struct mem *m, struct lab_wgl_op *ops, uint32_t n, uint64_t initial,
                   uint64_t steps_max, struct lab_wgl_result *ret_result);

/* by key, and in it by when they began */
void lab_wgl_sort(struct lab_wgl_op *ops, uint32_t n);

/* One key's operations, BAD or UNKNOWN: the same verdict once more, with what is behind it.  The
 * order is of cap places of mem, for the caller to free; cap 0: there was no memory. */
void lab_wgl_explain(struct mem *m, const struct lab_wgl_op *ops, uint32_t n, uint64_t initial,
                     uint64_t steps_max, struct lab_wgl_result *ret_result,
                     struct lab_wgl_witness *ret_witness);

#endif
