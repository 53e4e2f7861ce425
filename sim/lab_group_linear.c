/* sim/lab_group_linear.c - the verdict `linear` of a group's registers, black-box (see
 * sim/lab_wgl.h).
 *
 * A history is judged in pieces.  When an operation on a register was alone (every other one that
 * is answered had ended before it, or began after it), what the register is after it is known: all
 * before it and itself is a piece, and the next one begins with that state.
 *
 * No value is written twice.  So what nobody was told of took effect before the first answer that
 * shows its value; and if none does, it explains nothing, and may as well not have happened.  In
 * pieces that is the same: it is of the piece in which that answer is.  Had it taken effect in an
 * earlier one, the state at the end, which is another, would have come over it, and nobody could
 * show its value any more. */
#include "sim/lab_group_impl.h"

void lab_group_linear_op(struct lab_group *g, struct lab_wgl_op op)
{
    struct group_check *c = &g->check;
    uint64_t cap = c->cap_ops;
    c->ops = lab_group_check_room(g, c->ops, c->n_ops + 1, &cap, sizeof *c->ops);
    c->cap_ops = (uint32_t)cap;
    op.tag = c->n_ops;
    c->ops[c->n_ops++] = op;
}

static uint64_t linear_written(const struct lab_wgl_op *o)
{
    return o->f == LAB_WGL_WRITE ? o->a : o->b;
}

/* when the first of the n answers comes that shows the value; INT64_MAX: none does */
static int64_t linear_shown_ns(const struct lab_wgl_op *ops, uint32_t n, const struct lab_wgl_op *o)
{
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const struct lab_wgl_op *x = &ops[i];
        if ((x->f == LAB_WGL_READ || x->f == LAB_WGL_CAS) && x->a == linear_written(o) &&
            x->key == o->key)
            first = base_min_i64(first, x->to);
    }
    return first;
}

static void linear_close(struct lab_wgl_op *o, int64_t shown_ns)
{
    o->to = shown_ns;
    if (o->to == INT64_MAX)
        o->f = LAB_WGL_DROPPED;
    else if (o->f == LAB_WGL_CAS_MAYBE)
        o->f = LAB_WGL_CAS;
}

/* n operations on one register, all closed */
static void linear_judge(struct lab_group *g, struct lab_wgl_op *ops, uint32_t n, uint64_t initial)
{
    enum { STEPS = 100000 };
    struct lab_finding *f = &g->check.findings[LAB_GROUP_LINEAR];
    struct lab_wgl_result r;
    for (uint32_t i = 0; i < n; i++)
        ops[i].tag = i;
    lab_wgl_check(g->mem, ops, n, initial, STEPS, &r);
    g->stats.wgl_steps += r.steps;
    f->unknown += r.unknown;
    if (r.unknown && r.no_memory)
        fmt_into(f->budget, sizeof f->budget, "memory");
    else if (r.unknown)
        fmt_into(f->budget, sizeof f->budget, "%d steps of search for each", STEPS);
    for (uint32_t i = 0; i < n && r.verdict == LAB_WGL_BAD; i++) {
        const struct lab_wgl_op *o = &ops[i];
        if (o->tag != r.tag || f->failures)
            continue;
        lab_group_fail(g, LAB_GROUP_LINEAR,
                       "no order explains the %s of key %llu, value %llu, from %.6f to %.6f s",
                       o->f == LAB_WGL_READ ? "read" : "write", (unsigned long long)o->key,
                       (unsigned long long)(o->f == LAB_WGL_CAS ? o->b : o->a),
                       (double)o->from / 1e9, (double)o->to / 1e9);
    }
}

static uint64_t linear_initial(const struct lab_group *g, uint64_t key)
{
    return key < GROUP_KEYS ? g->check.initial[key] : 0;
}

/* The last of one register's n operations that was alone; UINT32_MAX: none.  They are sorted by
 * their beginning; one that is open began at open_ns. */
static uint32_t linear_alone(const struct lab_wgl_op *ops, uint32_t n, int64_t open_ns)
{
    uint32_t alone = UINT32_MAX, last = UINT32_MAX;
    int64_t ended_ns = INT64_MIN; /* of all before the last one */
    for (uint32_t i = 0; i < n; i++) {
        if (ops[i].to == INT64_MAX)
            continue;
        if (last != UINT32_MAX) {
            if (ended_ns < ops[last].from && ops[last].to < ops[i].from && ops[last].to < open_ns)
                alone = last;
            ended_ns = ops[last].to > ended_ns ? ops[last].to : ended_ns;
        }
        last = i;
    }
    if (last != UINT32_MAX && ended_ns < ops[last].from && ops[last].to < open_ns)
        alone = last;
    return alone;
}

/* judges all up to the one that was alone, and moves what is left to `to`; ret: how many */
static uint32_t linear_piece(struct lab_group *g, struct lab_wgl_op *ops, uint32_t n,
                             uint32_t alone, struct lab_wgl_op *piece, struct lab_wgl_op *to)
{
    uint64_t key = ops[0].key;
    uint32_t known = 0, left = 0, all;
    for (uint32_t i = 0; i <= alone; i++)
        if (ops[i].to != INT64_MAX)
            piece[known++] = ops[i];
    all = known;
    for (uint32_t i = 0; i < n; i++) {
        bool is_known = ops[i].to != INT64_MAX;
        int64_t shown_ns = is_known ? 0 : linear_shown_ns(piece, known, &ops[i]);
        if (is_known ? i <= alone : shown_ns != INT64_MAX) {
            if (is_known)
                continue;
            piece[all] = ops[i];
            linear_close(&piece[all++], shown_ns);
        } else {
            to[left++] = ops[i];
        }
    }
    const struct lab_wgl_op last = piece[known - 1];
    linear_judge(g, piece, all, g->check.initial[key]);
    g->check.initial[key] = last.f == LAB_WGL_CAS ? last.b : last.a;
    g->check.had[key] = true;
    return left;
}

static uint32_t linear_of_key(const struct lab_wgl_op *ops, uint32_t n)
{
    uint32_t k = 1;
    while (k < n && ops[k].key == ops[0].key)
        k++;
    return k;
}

void lab_group_linear_forget(struct lab_group *g)
{
    struct group_check *c = &g->check;
    int64_t from_ns[GROUP_KEYS];
    uint32_t left = 0;
    if (c->n_ops < GROUP_PIECE)
        return;
    struct lab_wgl_op *piece = mem_alloc(g->mem, c->n_ops * sizeof *piece);
    ASSERT(piece != NULL);
    lab_group_load_oldest(g->load, from_ns);
    lab_wgl_sort(c->ops, c->n_ops);
    for (uint32_t i = 0, n; i < c->n_ops; i += n) {
        struct lab_wgl_op *ops = &c->ops[i], *to = &c->ops[left];
        n = linear_of_key(ops, c->n_ops - i);
        uint32_t alone =
            ops->key < GROUP_KEYS ? linear_alone(ops, n, from_ns[ops->key]) : UINT32_MAX;
        if (alone == UINT32_MAX) {
            memmove(to, ops, n * sizeof *ops);
            left += n;
        } else {
            left += linear_piece(g, ops, n, alone, piece, to);
        }
    }
    mem_free(g->mem, piece, c->n_ops * sizeof *piece);
    c->n_ops = left;
}

void lab_group_linear_end(struct lab_group *g)
{
    struct group_check *c = &g->check;
    uint64_t *checks = &c->findings[LAB_GROUP_LINEAR].checks;
    lab_wgl_sort(c->ops, c->n_ops);
    for (uint32_t i = 0, n; i < c->n_ops; i += n) {
        struct lab_wgl_op *ops = &c->ops[i];
        n = linear_of_key(ops, c->n_ops - i);
        for (uint32_t k = 0; k < n; k++)
            if (ops[k].to == INT64_MAX)
                linear_close(&ops[k], linear_shown_ns(ops, n, &ops[k]));
        linear_judge(g, ops, n, linear_initial(g, ops->key));
        if (ops->key < GROUP_KEYS)
            c->had[ops->key] = true;
        else
            ++*checks;
    }
    for (uint32_t k = 0; k < GROUP_KEYS; k++)
        *checks += c->had[k];
}
