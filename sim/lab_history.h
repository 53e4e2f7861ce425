/* sim/lab_history.h - recorded histories of clients, as text: operations for sim/lab_wgl.h.
 *
 * One event in a line; the order of the lines is the real time.  Three forms, also mixed:
 *     INFO  jepsen.util - 3 :ok :cas [3 0]                                 a log of Jepsen
 *     {:process 3, :type :invoke, :f :write, :key "k", :value 4}           a map of Jepsen or
 * Porcupine
 *     {"process": 3, "type": "ok", "f": "read", "key": "k", "value": 4}    ours: JSON
 * type is invoke, ok, fail (it did not take effect; of a cas: the comparison failed) or info (not
 * known).  f is read or get, write or put, cas (value [old new]), append (text to text).  A value
 * is nil or null (what an object begins with, and the empty text), a whole number or a "text".
 * Other fields are left out; no key: one object.  A line {"start": "any"} says that nobody knows
 * what the objects begin with: what is read first was there.  type refused: as fail, also of a cas
 * that did not come to compare anything.  Lines of logs that are no events are skipped, and so are
 * those of processes without a number (Jepsen's nemesis); a line of JSON must be right.
 *
 *  1. A process has one operation at a time, and an answer is of what it asked.
 *  2. An operation without an answer may have taken effect at any time after it was asked. */
#ifndef SIM_LAB_HISTORY_H
#define SIM_LAB_HISTORY_H

#include "sim/lab_wgl.h"

enum lab_history_model {
    LAB_HISTORY_ANY,      /* cas or kv, as the first operation is */
    LAB_HISTORY_REGISTER, /* read, write */
    LAB_HISTORY_CAS,      /* and cas */
    LAB_HISTORY_KV,       /* get, put, append */
};

struct lab_history_slice { /* of the text */
    const char *p;
    uint32_t n;
};

struct lab_history_note { /* of an operation: an op's tag is the place of its note */
    uint64_t process;
    uint32_t asked_line, answered_line; /* 0: it has no answer */
    struct lab_history_slice f, key, asked, answered;
    uint64_t asked_state, answered_state; /* what the values are as states, unless they are pairs */
};

struct lab_history {
    struct mem *mem;
    struct lab_wgl_op *ops;
    struct lab_history_note *notes;
    struct lab_history_open *open;
    uint32_t n, n_open, processes;
    uint32_t cap_ops, cap_notes, cap_open;
    uint32_t lines;
    enum lab_history_model model;
    uint64_t start; /* the state that each key begins with */
    uint32_t bad_line;
    char why[160];
};

enum { LAB_HISTORY_NIL = 0 }; /* the state `nil` */

/* of the heap, for a history and the search in it; not kept from one to the next */
void lab_history_mem(struct mem *m, uint64_t budget_bytes);
/* The text stays as long as the history.  0, E_NOMEM, or E_INVAL with bad_line and why. */
int lab_history_read(struct lab_history *h, struct mem *m, enum lab_history_model model,
                     const char *text, size_t len);
void lab_history_drop(struct lab_history *h);
const char *lab_history_model_name(enum lab_history_model m);

#endif
