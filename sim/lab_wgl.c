/* sim/lab_wgl.c - the search (see sim/lab_wgl.h).
 *
 * Calls and answers of one key stand in a list by time.  From its head, the first operation whose
 * step is possible is taken out, with its answer; an answer at the head whose call is still in the
 * list means that one of those taken before was wrong.  A pair (operations taken, state) that was
 * there before is not gone into again: what follows depends on it alone. */
#include "sim/lab_wgl.h"

struct wgl_entry {
    struct wgl_entry *prev, *next, *match; /* of a call: its answer, or NULL; of an answer: NULL */
    const struct lab_wgl_op *op;
    int64_t at;
    uint32_t id;  /* of the operation */
    uint32_t pos; /* in time */
    bool is_call;
};

/* A place of the memo; its bits are in the arena, but for words of ones before them and of zeros
 * after them: nearly all of them, because operations are numbered by time. */
struct wgl_seen {
    uint64_t hash, state;
    uint64_t *bits; /* NULL: empty */
    uint32_t low, high;
};

struct wgl_step {
    struct wgl_entry *call;
    uint64_t state; /* before it */
};

enum { WGL_ARENA = 64 * 1024 }; /* words of a chunk */

struct wgl_chunk {
    struct wgl_chunk *next;
    uint32_t used;
    uint64_t word[WGL_ARENA];
};

struct wgl {
    struct mem *mem;
    struct wgl_entry *entries, head;
    struct wgl_step *stack;
    uint64_t *bits, hash;
    uint32_t low, high; /* words below low are ones, those from high on zeros */
    struct wgl_seen *seen;
    uint64_t cap_seen, n_seen, steps;
    struct wgl_chunk *arena;
    uint32_t n, words, depth, answers; /* answers: still in the list */
    uint32_t farthest;                 /* pos of the last answer that the search stood before */
    struct lab_wgl_witness *witness;   /* wanted of the orders that come to `farthest` */
};

static bool wgl_apply(const struct lab_wgl_op *o, uint64_t state, uint64_t *ret_state)
{
    bool is_any = state == LAB_WGL_ANY;
    *ret_state = state;
    switch (o->f) {
    case LAB_WGL_READ:
        *ret_state = o->a;
        return is_any || state == o->a;
    case LAB_WGL_WRITE:
        *ret_state = o->a;
        return true;
    case LAB_WGL_CAS:
        *ret_state = o->b;
        return is_any || state == o->a;
    case LAB_WGL_CAS_FAILED:
        return state != o->a;
    case LAB_WGL_CAS_MAYBE: /* of ANY: it was a; that it was not is the order without this */
        *ret_state = is_any || state == o->a ? o->b : state;
        return true;
    case LAB_WGL_APPEND:
        *ret_state = is_any ? state : state * o->b + o->a;
        return true;
    case LAB_WGL_DROPPED:
        return true;
    }
    return false;
}

/* ---- the memo ---- */

static uint64_t *wgl_arena(struct wgl *w, uint32_t words)
{
    if (!w->arena || w->arena->used + words > WGL_ARENA) {
        struct wgl_chunk *c = mem_alloc(w->mem, sizeof *c);
        if (!c)
            return NULL;
        c->next = w->arena;
        c->used = 0;
        w->arena = c;
    }
    uint64_t *p = &w->arena->word[w->arena->used];
    w->arena->used += words;
    return p;
}

static bool wgl_seen_grow(struct wgl *w)
{
    uint64_t cap = w->cap_seen ? 2 * w->cap_seen : 1024;
    struct wgl_seen *to = mem_zalloc(w->mem, cap * sizeof *to);
    if (!to)
        return false;
    for (uint64_t i = 0; i < w->cap_seen; i++) {
        if (!w->seen[i].bits)
            continue;
        uint64_t k = w->seen[i].hash & (cap - 1);
        while (to[k].bits)
            k = (k + 1) & (cap - 1);
        to[k] = w->seen[i];
    }
    mem_free(w->mem, w->seen, w->cap_seen * sizeof *w->seen);
    w->seen = to;
    w->cap_seen = cap;
    return true;
}

/* 1: new, and noted; 0: seen before; or E_NOMEM */
static int wgl_note(struct wgl *w, uint64_t state)
{
    if (2 * w->n_seen >= w->cap_seen && !wgl_seen_grow(w))
        return E_NOMEM;
    uint64_t hash = base_mix_u64(w->hash ^ base_mix_u64(state + 1)), mask = w->cap_seen - 1;
    uint64_t k = hash & mask;
    uint32_t words = w->high > w->low ? w->high - w->low : 0;
    for (; w->seen[k].bits; k = (k + 1) & mask)
        if (w->seen[k].hash == hash && w->seen[k].state == state && w->seen[k].low == w->low &&
            w->seen[k].high == w->high &&
            !memcmp(w->seen[k].bits, w->bits + w->low, words * sizeof *w->bits))
            return 0;
    uint64_t *bits = wgl_arena(w, words);
    if (!bits)
        return E_NOMEM;
    memcpy(bits, w->bits + w->low, words * sizeof *bits);
    w->seen[k] = (struct wgl_seen){hash, state, bits, w->low, w->high};
    w->n_seen++;
    return 1;
}

static void wgl_flip(struct wgl *w, uint32_t id)
{
    uint32_t at = id / 64;
    w->bits[at] ^= 1ULL << id % 64;
    w->hash ^= base_mix_u64(id + 1);
    if (w->bits[at] >> id % 64 & 1) {
        w->high = w->high > at ? w->high : at + 1;
        while (w->low < w->words && w->bits[w->low] == UINT64_MAX)
            w->low++;
    } else {
        w->low = w->low < at ? w->low : at;
        while (w->high && !w->bits[w->high - 1])
            w->high--;
    }
}

/* ---- the list ---- */

static void wgl_out(struct wgl_entry *e)
{
    e->prev->next = e->next;
    if (e->next)
        e->next->prev = e->prev;
}

static void wgl_in(struct wgl_entry *e)
{
    e->prev->next = e;
    if (e->next)
        e->next->prev = e;
}

static void wgl_lift(struct wgl *w, struct wgl_entry *call)
{
    wgl_out(call);
    if (call->match) {
        wgl_out(call->match);
        w->answers--;
    }
}

static void wgl_unlift(struct wgl *w, struct wgl_entry *call)
{
    if (call->match) {
        wgl_in(call->match);
        w->answers++;
    }
    wgl_in(call);
}

static bool wgl_before(const struct wgl_entry *a, const struct wgl_entry *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->is_call != b->is_call ? a->is_call : a->id < b->id;
}

/* merge sort of a list by `next` */
static struct wgl_entry *wgl_sort(struct wgl_entry *l, uint32_t n)
{
    if (n < 2)
        return l;
    struct wgl_entry *mid = l, first = {.next = NULL}, *tail = &first;
    for (uint32_t i = 1; i < n / 2; i++)
        mid = mid->next;
    struct wgl_entry *b = mid->next, *a = l;
    mid->next = NULL;
    a = wgl_sort(a, n / 2);
    b = wgl_sort(b, n - n / 2);
    while (a || b) {
        struct wgl_entry **from = !b || (a && wgl_before(a, b)) ? &a : &b;
        tail->next = *from;
        tail = *from;
        *from = (*from)->next;
    }
    tail->next = NULL;
    return first.next;
}

static void wgl_make_list(struct wgl *w, const struct lab_wgl_op *ops)
{
    struct wgl_entry *e = w->entries, *last = NULL;
    for (uint32_t i = 0; i < w->n; i++) {
        struct wgl_entry *call = e++;
        *call = (struct wgl_entry){.op = &ops[i], .at = ops[i].from, .id = i, .is_call = true};
        if (last)
            last->next = call;
        last = call;
        if (ops[i].to == INT64_MAX)
            continue;
        *e = (struct wgl_entry){.op = &ops[i], .at = ops[i].to, .id = i};
        call->match = e;
        last->next = e;
        last = e++;
        w->answers++;
    }
    w->head.next = wgl_sort(w->entries, (uint32_t)(e - w->entries));
    for (struct wgl_entry *p = &w->head; p->next; p = p->next) {
        p->next->prev = p;
        p->next->pos = p->pos + 1;
    }
}

/* ---- one key ---- */

/* an order that comes as far as the farthest: of these the shortest */
static void wgl_witness(struct wgl *w, const struct wgl_entry *e, uint64_t state)
{
    struct lab_wgl_witness *x = w->witness;
    bool is_first = !x->n_states;
    uint32_t at = 0;
    while (at < x->n_states && x->states[at] != state)
        at++;
    if (at == LAB_WGL_STATES) {
        x->more_states = true;
        at--; /* it may be the shortest's */
    } else if (at == x->n_states) {
        x->states[x->n_states++] = state;
    }
    if (!is_first && w->depth >= x->n)
        return;
    x->states[at] = x->states[0];
    x->states[0] = state;
    x->blocked = e->id;
    x->n = w->depth;
    for (uint32_t i = 0; i < w->depth; i++)
        x->order[i] = w->stack[i].call->id;
}

static enum lab_wgl_verdict wgl_search(struct wgl *w, uint64_t state, uint64_t steps_max,
                                       uint32_t *ret_tag)
{
    struct wgl_entry *e = w->head.next;
    while (w->answers) {
        if (e->is_call) {
            uint64_t next;
            if (++w->steps > steps_max)
                return LAB_WGL_UNKNOWN;
            if (wgl_apply(e->op, state, &next)) {
                wgl_flip(w, e->id);
                int is_new = wgl_note(w, next);
                if (is_new < 0)
                    return LAB_WGL_UNKNOWN;
                if (is_new) {
                    w->stack[w->depth++] = (struct wgl_step){e, state};
                    state = next;
                    wgl_lift(w, e);
                    e = w->head.next;
                    continue;
                }
                wgl_flip(w, e->id);
            }
            e = e->next;
            continue;
        }
        if (e->pos > w->farthest) {
            w->farthest = e->pos;
            *ret_tag = e->op->tag;
        }
        if (w->witness && e->pos == w->farthest)
            wgl_witness(w, e, state);
        if (w->depth == 0)
            return LAB_WGL_BAD;
        struct wgl_step *s = &w->stack[--w->depth];
        state = s->state;
        wgl_flip(w, s->call->id);
        wgl_unlift(w, s->call);
        e = s->call->next;
    }
    return LAB_WGL_OK;
}

/* *farthest: 0, or where an earlier search came to */
static enum lab_wgl_verdict wgl_key(struct mem *m, const struct lab_wgl_op *ops, uint32_t n,
                                    uint64_t initial, uint64_t steps_max, struct lab_wgl_result *r,
                                    uint32_t *farthest, struct lab_wgl_witness *witness)
{
    struct wgl w = {
        .mem = m, .n = n, .words = (n + 63) / 64, .farthest = *farthest, .witness = witness};
    enum lab_wgl_verdict v = LAB_WGL_UNKNOWN;
    size_t entries = 2 * (size_t)n * sizeof *w.entries, stack = n * sizeof *w.stack;
    w.entries = mem_zalloc(m, entries);
    w.stack = mem_zalloc(m, stack);
    w.bits = mem_zalloc(m, w.words * sizeof *w.bits);
    if (w.entries && w.stack && w.bits && w.words <= WGL_ARENA) {
        wgl_make_list(&w, ops);
        v = wgl_search(&w, initial, steps_max, &r->tag);
        *farthest = w.farthest;
    }
    r->steps += w.steps;
    r->no_memory |= v == LAB_WGL_UNKNOWN && w.steps <= steps_max;
    mem_free(m, w.entries, entries);
    mem_free(m, w.stack, stack);
    mem_free(m, w.bits, w.words * sizeof *w.bits);
    mem_free(m, w.seen, w.cap_seen * sizeof *w.seen);
    for (struct wgl_chunk *c = w.arena, *next; c; c = next) {
        next = c->next;
        mem_free(m, c, sizeof *c);
    }
    return v;
}

static bool wgl_is_before(const struct lab_wgl_op *a, const struct lab_wgl_op *b)
{
    return a->key != b->key ? a->key < b->key : a->from < b->from;
}

/* shell sort: short code, no memory, and the order of equals does not matter */
void lab_wgl_sort(struct lab_wgl_op *ops, uint32_t n)
{
    uint32_t gap = 1;
    while (gap < n / 3)
        gap = 3 * gap + 1;
    for (; gap; gap /= 3)
        for (uint32_t i = gap; i < n; i++) {
            struct lab_wgl_op o = ops[i];
            uint32_t k = i;
            for (; k >= gap && wgl_is_before(&o, &ops[k - gap]); k -= gap)
                ops[k] = ops[k - gap];
            ops[k] = o;
        }
}

void lab_wgl_check(struct mem *m, struct lab_wgl_op *ops, uint32_t n, uint64_t initial,
                   uint64_t steps_max, struct lab_wgl_result *ret_result)
{
    struct lab_wgl_result *r = ret_result;
    *r = (struct lab_wgl_result){.verdict = LAB_WGL_OK};
    lab_wgl_sort(ops, n);
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && ops[end].key == ops[i].key;)
            end++;
        uint32_t tag = r->tag, farthest = 0;
        enum lab_wgl_verdict v =
            wgl_key(m, ops + i, end - i, initial, steps_max, r, &farthest, NULL);
        r->keys++;
        if (v == LAB_WGL_BAD) {
            r->verdict = v;
            return;
        }
        r->tag = tag;
        if (v == LAB_WGL_UNKNOWN) {
            r->verdict = v;
            r->unknown++;
        }
    }
}

void lab_wgl_explain(struct mem *m, const struct lab_wgl_op *ops, uint32_t n, uint64_t initial,
                     uint64_t steps_max, struct lab_wgl_result *ret_result,
                     struct lab_wgl_witness *ret_witness)
{
    struct lab_wgl_witness *x = ret_witness;
    struct lab_wgl_result again = {.verdict = LAB_WGL_OK};
    uint32_t farthest = 0;
    *x = (struct lab_wgl_witness){.order = mem_zalloc(m, n * sizeof *x->order)};
    *ret_result = (struct lab_wgl_result){.keys = 1};
    ret_result->verdict =
        wgl_key(m, ops, n, initial, steps_max, ret_result, &farthest, NULL); /* how far? */
    if (!x->order)
        return;
    x->cap = n;
    if (ret_result->verdict != LAB_WGL_OK && farthest) /* and who gets there? */
        x->more_states |=
            wgl_key(m, ops, n, initial, steps_max, &again, &farthest, x) == LAB_WGL_UNKNOWN;
}
