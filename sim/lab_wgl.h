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
 * A history as text has one event in a line, the order of the lines is the real time, and lines
 * that are none are skipped:
 *     {:process 3, :type :invoke, :f :write, :key "k", :value 4}      key may be left out
 *     INFO  jepsen.util - 3 :ok :cas [3 0]
 * :type is invoke, ok, fail (it did not take effect; of a cas: the comparison failed) or info (not
 * known).  :f is read or get, write or put, cas (:value [old new]), append (text to text).  A value
 * is nil (what an object begins with), a number or a "text". */
#ifndef SIM_LAB_WGL_H
#define SIM_LAB_WGL_H

#include "core/mem.h"

enum lab_wgl_f {
    LAB_WGL_READ,       /* saw a */
    LAB_WGL_WRITE,      /* a */
    LAB_WGL_CAS,        /* from a to b, and it did */
    LAB_WGL_CAS_FAILED, /* it was not a */
    LAB_WGL_CAS_MAYBE,  /* from a to b if it was a; nobody was told */
    LAB_WGL_APPEND,     /* the text that lab_wgl_text made a and b of */
    LAB_WGL_DROPPED,    /* did nothing, said nothing */
};

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
    uint32_t tag; /* BAD: of an answer that no order explains, in the longest order found */
};

/* Each key's operations begin with state `initial`.  ops are sorted in place.  steps_max: for each
 * key. */
void lab_wgl_check(struct mem *m, struct lab_wgl_op *ops, uint32_t n, uint64_t initial,
                   uint64_t steps_max, struct lab_wgl_result *ret_result);

/* for a text: a = its value from nothing, b = the factor by which what stands before it counts */
void lab_wgl_text(const char *text, size_t len, uint64_t *ret_a, uint64_t *ret_b);

enum { LAB_WGL_NIL = 0 }; /* the state `nil` of a history as text, and the empty text */

/* Reads a history as text.  ret: number of operations with *ret_ops from m (tags are line numbers),
 * E_NOMEM, or E_INVAL with *ret_line: an event that cannot be. */
int64_t lab_wgl_parse(struct mem *m, const char *text, size_t len, struct lab_wgl_op **ret_ops,
                      uint32_t *ret_cap, uint32_t *ret_line);

#endif
