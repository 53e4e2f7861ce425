/* cluster/cli_spans.h - which of the records of a group member's log count: one at an index voids
 * what stands at that index and above before it, a reset all of it (raft_log.h). */
#ifndef CLUSTER_CLI_SPANS_H
#define CLUSTER_CLI_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* records from place on, as long as nothing voids them: index and place count up together */
struct cli_span {
    uint64_t index, place, n;
};

/* Zero it; its memory is freed by cli_spans_free. */
struct cli_spans {
    struct cli_span *span; /* by place */
    size_t n, cap;
};

/* the record at the next place of the log; type: of raft_log.h */
void cli_spans_add(struct cli_spans *s, uint64_t index, uint64_t place, uint8_t type);
/* once all were added: does nothing void the one at that place? */
bool cli_spans_counts(const struct cli_spans *s, uint64_t place);
void cli_spans_free(struct cli_spans *s);

#endif
