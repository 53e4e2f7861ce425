/* sim/lab_op.h - one operation of the load, said explicitly: who begins it when, and on what.
 *
 * A run whose load is drawn from the seed can be recorded as a list of these, and a scenario that
 * has such a list ("operations") does them and nothing else.
 *
 * WHAT IT IS ON.  Inode numbers are given out in the order of events, so they mean nothing in
 * another run.  A thing is called by the name under which anybody first heard of it: "/d1/f5"; the
 * second one that was first heard of there is "/d1/f5#2".  Whoever does the list looks the name up
 * among what the clients of its run have heard of; what nobody has is left out.  See
 * sim/lab_name.h.
 *
 * ITS STEPS are a text: what is done with an open file, or between the parts of a listing.
 *     read 0+500, wait 20ms, write 500+100, sync; read 0+600
 * An offset and a number of bytes, of "append" it is 0 (the master says where); "wait": before the
 * next step; "sync"; ";": close it, and open it again to read.  "fill 77": the bytes that are
 * written are those of seed 77 (else of the offset). Of a journal's client: "ask 2": the machine m3
 * is asked, "again 1 3ms": when nobody answered, m2 is asked after 3 ms. */
#ifndef SIM_LAB_OP_H
#define SIM_LAB_OP_H

#include <stdio.h>
#include "core/fsop.h"

enum { LAB_OP_PATH = 96, LAB_OP_NAME = 32, LAB_OP_STEPS = 48, LAB_OPS_MAX = 200000 };

/* beside enum fsop_kind: of a journal's clients */
enum { LAB_OP_SET = 1000, LAB_OP_CAS, LAB_OP_GET };

enum lab_step_kind {
    LAB_STEP_READ,
    LAB_STEP_WRITE,
    LAB_STEP_APPEND, /* len alone counts */
    LAB_STEP_SYNC,
    LAB_STEP_REOPEN,
    LAB_STEP_WAIT,  /* alone: before the next part of a listing */
    LAB_STEP_ASK,   /* off: the machine's number from 0 */
    LAB_STEP_AGAIN, /* likewise */
    LAB_STEP_KINDS
};

struct lab_step {
    uint32_t kind; /* enum lab_step_kind */
    uint32_t len;
    uint64_t off, fill;
    int64_t wait_ns; /* before it */
};

struct lab_op {
    int64_t at_ns;           /* of the world; later if its thread is still at another */
    uint32_t client, thread; /* from 0 */
    uint16_t kind;           /* FSOP_* or LAB_OP_* */
    uint16_t n_steps;
    uint32_t order; /* lab_ops_sort's own */
    uint32_t flags, user, mode, valid;
    uint64_t size;  /* of a file; bytes of a listing's part; of a record's filling */
    uint64_t stamp; /* FSOP_SET_ATIME: ns */
    uint32_t key;
    char in[LAB_OP_PATH], to[LAB_OP_PATH]; /* what it is on: a file, or the directory of the name */
    char name[LAB_OP_NAME], as[LAB_OP_NAME];
    char data[LAB_OP_NAME]; /* a link's target, an attribute's value */
    struct lab_step steps[LAB_OP_STEPS];
};

struct cJSON;

/* 0, or E_CONFIG and a text */
int lab_op_parse(struct lab_op *ret_op, const struct cJSON *j, char *ret_why, size_t cap);
/* as one JSON object in one line, which gives the same operation */
void lab_op_write(const struct lab_op *op, FILE *to);
int lab_op_steps_parse(struct lab_op *op, const char *text);
/* "1.5s", "20ms": the shortest that is exact */
size_t lab_op_time(int64_t ns, char *ret, size_t cap);
/* "mknod", "set" */
const char *lab_op_kind_name(uint16_t kind);
/* may an operation be of that kind? */
bool lab_op_is_kind(uint16_t kind);
/* false: its steps are all there is room for */
bool lab_op_step_add(struct lab_op *op, const struct lab_step *s);

/* A list that grows. */
struct lab_ops {
    struct lab_op *op;
    uint32_t n, cap;
};

/* an empty one at the end of the list, or NULL: there are too many */
struct lab_op *lab_ops_add(struct lab_ops *l);
/* by time; those of one time stay in their order */
void lab_ops_sort(struct lab_ops *l);
void lab_ops_free(struct lab_ops *l);

#endif
