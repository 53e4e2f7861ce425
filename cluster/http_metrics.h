/* cluster/http_metrics.h - Prometheus' text format 0.0.4, made of a status text.
 *
 * One table (http_table.c) says what each key of a status text is: metric, type, unit, meaning.  A
 * number whose key is not in the table is shown all the same, as untyped, under its key's name. */
#ifndef CLUSTER_HTTP_METRICS_H
#define CLUSTER_HTTP_METRICS_H

#include <stdio.h>
#include "core/base.h"

enum http_kind {
    HTTP_GAUGE,
    HTTP_COUNTER,
    HTTP_SECONDS,         /* a gauge; the text has nanoseconds */
    HTTP_SECONDS_COUNTER, /* a counter; the same */
    HTTP_STATE,           /* the value is a word: {label="word"} 1 */
    HTTP_TIMES,           /* a histogram: see rpc_text_calls() */
    HTTP_SILENT,          /* not a number, or told by another metric */
};

struct http_metric {
    const char *key;  /* a '*' stands for one part between dots */
    const char *name; /* without "tarn_" */
    enum http_kind kind;
    const char *label; /* the '*' becomes a label of this name; STATE: the word does */
    const char *of;    /* the label's value is that of this key beside it; NULL: the part itself */
    const char *help;
};

extern const struct http_metric http_table[];
extern const size_t http_table_rows;

/* the row of a key; NULL: none */
const struct http_metric *http_metrics_find(const char *key);
void http_metrics(FILE *out, const char *text);
/* memory, descriptors, processor time, build; from /proc */
void http_metrics_process(FILE *out);

#endif
