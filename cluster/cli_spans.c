/* cluster/cli_spans.c - see cli_spans.h. */
#include "cluster/cli_spans.h"
#include <stdlib.h>
#include <string.h>
#include "core/base.h"
#include "journal/raft_log.h"

void cli_spans_add(struct cli_spans *s, uint64_t index, uint64_t place, uint8_t type)
{
    while (s->n && (type == RAFT_LOG_RESET || s->span[s->n - 1].index >= index))
        s->n--;
    struct cli_span *l = s->n ? &s->span[s->n - 1] : NULL;
    if (l && l->index + l->n > index)
        l->n = index - l->index;
    if (l && type != RAFT_LOG_RESET && l->index + l->n == index && l->place + l->n == place) {
        l->n++;
        return;
    }
    if (s->n == s->cap) {
        s->cap = 2 * s->cap + 64;
        s->span = realloc(s->span, s->cap * sizeof *s->span);
        ASSERT(s->span);
    }
    s->span[s->n++] = (struct cli_span){index, place, 1};
}

bool cli_spans_counts(const struct cli_spans *s, uint64_t place)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->span[mid].place + s->span[mid].n <= place)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->n && s->span[low].place <= place;
}

void cli_spans_free(struct cli_spans *s)
{
    free(s->span);
    memset(s, 0, sizeof *s);
}
