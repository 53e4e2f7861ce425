/* sim/lab_load_history.c - black-box: what clients asked and were told is linearizable (see
 * sim/lab_load.h).
 *
 * Each client has the recorder of real ones at its tap, and all ask the masters for everything.
 * The lines are what `tarn mount --history` writes, and are judged by what `check-history` does.
 *
 *  1. A client that starts again is another one: what the last one asked stays open for ever.
 *  2. Where somebody outside has changed the under-store nothing is said: he did not record it. */
#include "sim/lab_history.h"
#include "sim/lab_load_impl.h"

enum { HISTORY_MOST = 256 << 20, HISTORY_LIVES = 4096, HISTORY_STEPS = 1000000 };

void lab_load_history_budget(struct lab_load *l, int steps)
{
    l->history_steps = steps;
}

static struct load_history *history_of(const struct client_history *h)
{
    return (struct load_history *)(uintptr_t)container_of(h, struct load_history, of);
}

void lab_load_history_put(struct lab_load *l, const char *line, size_t n)
{
    if (l->history_n + n > HISTORY_MOST) {
        l->history_is_cut = true;
        return;
    }
    if (l->history_n + n > l->history_cap) {
        size_t cap = l->history_cap ? 2 * l->history_cap : 1 << 20;
        char *more = mem_alloc(l->mem, cap);
        ASSERT(more != NULL);
        if (l->history_n)
            memcpy(more, l->history, l->history_n);
        mem_free(l->mem, l->history, l->history_cap);
        l->history = more;
        l->history_cap = cap;
    }
    memcpy(l->history + l->history_n, line, n);
    l->history_n += n;
    if (l->on_history)
        l->on_history(l->history_ctx, line, n);
}

static void history_put(struct client_history *h, const char *line, size_t n)
{
    lab_load_history_put(history_of(h)->lc->l, line, n);
}

static void history_too_many(struct client_history *h)
{
    history_of(h)->lc->l->history_is_cut = true;
    h->is_over = true;
}

static int64_t history_now_ns(const struct client_history *h)
{
    return sim_now_ns(history_of(h)->lc->l->sim);
}

struct client_tap *lab_load_history_tap(struct load_client *lc)
{
    struct lab_load *l = lc->l;
    struct load_history *h = lc->history;
    if (!l->cfg.client.ask_always)
        return NULL;
    if (!h) {
        h = lc->history = mem_zalloc(l->mem, sizeof *h);
        ASSERT(h != NULL);
        h->lc = lc;
        h->of.put = history_put;
        h->of.too_many = history_too_many;
        h->of.now_ns = history_now_ns;
    }
    client_history_start(&h->of, (lc->number + 1ULL) * HISTORY_LIVES + h->lives++,
                         sim_node_name(lc->node));
    return &h->of.tap;
}

void lab_load_on_history(struct lab_load *l, void (*fn)(void *ctx, const char *line, size_t n),
                         void *ctx)
{
    l->on_history = fn;
    l->history_ctx = ctx;
}

static void history_wrong(struct lab_load *l, const struct lab_history *h, uint32_t tag)
{
    const struct lab_history_note *n = &h->notes[tag];
    lab_check_fail(l->check, LAB_LINEAR,
                   "no order explains the %.*s of \"%.*s\", answered %.*s (lines %u and %u "
                   "of --history)",
                   (int)n->f.n, n->f.p, (int)n->key.n, n->key.p, (int)n->answered.n, n->answered.p,
                   n->asked_line, n->answered_line);
}

void lab_load_judge(struct lab_load *l)
{
    struct lab_history h;
    struct lab_wgl_result r = {.verdict = LAB_WGL_OK};
    int steps = l->history_steps ? l->history_steps : HISTORY_STEPS;
    struct lab_finding *f = lab_check_finding(l->check, LAB_LINEAR);
    if (!l->history_n || lab_check_is_disturbed(l->check))
        return;
    if (l->history_is_cut) {
        f->unknown++;
        fmt_into(f->budget, sizeof f->budget, "a history of %d MiB, or of %d operations at once",
                 HISTORY_MOST >> 20, CLIENT_HISTORY_SLOTS);
        return;
    }
    int err = lab_history_read(&h, l->mem, LAB_HISTORY_CAS, l->history, l->history_n);
    if (err) {
        lab_check_fail(l->check, LAB_STRUCTURE, "history, line %u: %s", h.bad_line, h.why);
        return;
    }
    lab_wgl_check(l->mem, h.ops, h.n, h.start, (uint64_t)steps, &r);
    f->checks += r.keys;
    f->unknown += r.unknown;
    if (r.unknown && r.no_memory)
        fmt_into(f->budget, sizeof f->budget, "memory");
    else if (r.unknown)
        fmt_into(f->budget, sizeof f->budget, "%d steps of search for each", steps);
    if (r.verdict == LAB_WGL_BAD)
        history_wrong(l, &h, r.tag);
    lab_history_drop(&h);
}
