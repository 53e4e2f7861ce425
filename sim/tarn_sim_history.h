/* sim/tarn_sim_history.h - what tarn-sim check-history found in one file; shared with its page. */
#ifndef SIM_TARN_SIM_HISTORY_H
#define SIM_TARN_SIM_HISTORY_H

#include <stdio.h>
#include "sim/lab_history.h"

struct history_key {   /* one that is not linearizable, or of which nobody knows */
    uint32_t first, n; /* its operations, in h.ops */
    struct lab_wgl_result result;
    struct lab_wgl_witness w;
};

struct history_file {
    const char *path;
    char *text;
    size_t len;
    struct lab_history h;
    struct lab_wgl_result result;
    struct history_key *keys;
    uint32_t n_keys, cap_keys, more_keys; /* more: that are not kept */
    double wall_s;
};

enum { HISTORY_KEYS = 64, HISTORY_TEXT = 120 };

/* an operation as text: what was asked, and answered */
void tarn_sim_history_op(const struct history_file *f, const struct lab_wgl_op *o, char *ret_text,
                         size_t cap);
/* a state of the key as text, as far as anybody wrote or read it */
void tarn_sim_history_state(const struct history_file *f, const struct history_key *k, uint32_t i,
                            char *ret_text, size_t cap);
/* is the operation in the order? */
bool tarn_sim_history_placed(const struct history_key *k, uint32_t op);
/* text for HTML */
void tarn_sim_history_escape(FILE *to, const char *s, size_t n);
/* what is called the verdict of a key or file */
const char *tarn_sim_history_verdict(enum lab_wgl_verdict v);

/* ---- tarn_sim_history_page.c ---- */

void tarn_sim_history_page_begin(FILE *to);
void tarn_sim_history_page_file(FILE *to, const struct history_file *f);
void tarn_sim_history_page_end(FILE *to);

#endif
