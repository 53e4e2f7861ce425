/* tests/fuzz/fuzz_lab_history.c - histories as others write them: whatever the text, it is refused
 * with a line, or its operations can be searched; and what is said of them holds. */
#include "sim/lab_history.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS = 2000 };

static void fuzz_key(struct mem *m, const struct lab_wgl_op *ops, uint32_t n, uint64_t start)
{
    struct lab_wgl_result r;
    struct lab_wgl_witness w;
    lab_wgl_explain(m, ops, n, start, STEPS, &r, &w);
    ASSERT(w.n <= n && w.n_states <= LAB_WGL_STATES && (!w.cap || w.blocked < n));
    ASSERT(r.verdict != LAB_WGL_BAD || !w.cap || ops[w.blocked].to != INT64_MAX);
    for (uint32_t i = 0; i < w.n; i++)
        ASSERT(w.order[i] < n && w.order[i] != w.blocked);
    mem_free(m, w.order, w.cap * sizeof *w.order);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lab_history h;
    struct lab_wgl_result r;
    struct mem m;
    fuzz_mem(&m, 64 << 20);
    if (!size)
        return 0;
    int err = lab_history_read(&h, &m, (enum lab_history_model)(data[0] % 4),
                               (const char *)data + 1, size - 1);
    ASSERT(!err || err == E_NOMEM || (err == E_INVAL && h.bad_line && h.why[0]));
    for (uint32_t i = 0; i < h.n; i++) {
        const struct lab_history_note *n = &h.notes[h.ops[i].tag];
        ASSERT(h.ops[i].from < h.ops[i].to && n->asked_line && n->asked_line <= h.lines);
        ASSERT(h.ops[i].to == INT64_MAX || h.ops[i].to == n->answered_line);
    }
    if (!err) {
        lab_wgl_check(&m, h.ops, h.n, h.start, STEPS, &r);
        for (uint32_t i = 0, end; i < h.n; i = end) {
            for (end = i + 1; end < h.n && h.ops[end].key == h.ops[i].key;)
                end++;
            fuzz_key(&m, h.ops + i, end - i, h.start);
        }
    }
    lab_history_drop(&h);
    mem_drop(&m);
    return 0;
}
