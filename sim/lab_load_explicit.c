/* sim/lab_load_explicit.c - a load that is a list of operations, and how a drawn one becomes such a
 * list (see sim/lab_op.h).
 *
 *  1. The list of a recorded run, done in the same world, is the same run: every time, name, length
 *     and wait that was drawn is in it, and nothing else is drawn.
 *  2. An operation begins at its time, or as soon as its thread is through with the last one. Those
 *     whose time passes while the client's machine is down are left out. */
#include "sim/lab_load_impl.h"

static uint32_t explicit_thread(const struct load_thread *t)
{
    return (uint32_t)(t - t->lc->threads);
}

/* ---- doing ---- */

static void explicit_at(struct load_thread *t)
{
    struct load_client *lc = t->lc;
    int64_t now = env_now_ns(lc->env), at = sim_clock_at(lc->node, t->op->at_ns);
    env_timer_set(lc->env, &t->timer, at > now ? at : now);
}

bool lab_load_op_wait(struct load_thread *t)
{
    const struct load_client *lc = t->lc;
    const struct lab_load_config *cfg = &lc->l->cfg;
    for (; t->next_op < cfg->n_ops; t->next_op++) {
        const struct lab_op *op = &cfg->ops[t->next_op];
        if (op->client != lc->number || op->thread != explicit_thread(t))
            continue;
        t->next_op++;
        t->op = op;
        t->step = 0;
        explicit_at(t);
        return true;
    }
    return false;
}

/* their times are the world's */
void lab_load_clock(struct lab_load *l, struct sim_node *n)
{
    for (uint32_t i = 0; i < l->n_clients; i++) {
        struct load_client *lc = l->clients[i];
        for (uint32_t k = 0; lc->node == n && lc->client && k < l->cfg.threads; k++)
            if (lc->threads[k].state == LOAD_THINK && lc->threads[k].op)
                explicit_at(&lc->threads[k]);
    }
}

void lab_load_op_boot(struct load_thread *t)
{
    const struct lab_load_config *cfg = &t->lc->l->cfg;
    int64_t now = sim_now_ns(t->lc->l->sim);
    t->next_op = 0; /* one whose time had not come is begun after all */
    while (t->next_op < cfg->n_ops && cfg->ops[t->next_op].at_ns < now)
        t->next_op++;
}

static enum lab_load_kind explicit_kind(const struct lab_op *o)
{
    switch (o->kind) {
    case FSOP_MKNOD:
        return LAB_LOAD_CREATE;
    case FSOP_MKDIR:
        return LAB_LOAD_MKDIR;
    case FSOP_SYMLINK:
        return LAB_LOAD_SYMLINK;
    case FSOP_LINK:
        return LAB_LOAD_LINK;
    case FSOP_UNLINK:
        return LAB_LOAD_UNLINK;
    case FSOP_RMDIR:
        return LAB_LOAD_RMDIR;
    case FSOP_RENAME:
        return LAB_LOAD_RENAME;
    case FSOP_SETATTR:
        return LAB_LOAD_SETATTR;
    case FSOP_LOOKUP:
        return LAB_LOAD_LOOKUP;
    case FSOP_READDIR:
        return LAB_LOAD_LIST;
    case FSOP_OPEN:
        return o->mode & FSOP_ACCESS_W ? LAB_LOAD_WRITE : LAB_LOAD_READ;
    case FSOP_GETATTR:
    case FSOP_READLINK:
    case FSOP_ACCESS:
        return LAB_LOAD_GETATTR;
    default:
        return LAB_LOAD_XATTR;
    }
}

bool lab_load_op_pick(struct load_thread *t)
{
    const struct lab_op *o = t->op;
    const struct lab_names *names = t->lc->l->names;
    struct fsop *op = &t->req.fsop;
    memset(op, 0, sizeof *op);
    op->kind = o->kind;
    op->flags = (uint16_t)o->flags;
    op->uid = op->gid = o->user;
    op->ino = lab_names_find(names, o->in);
    if (*o->to)
        op->ino2 = lab_names_find(names, o->to);
    op->mode = o->mode;
    op->valid = o->valid;
    op->size = o->size;
    op->atime_ns = (int64_t)o->stamp;
    op->set_uid = op->set_gid = o->key;
    fmt_into(t->name, sizeof t->name, "%s", o->name);
    fmt_into(t->name2, sizeof t->name2, "%s", o->as);
    fmt_into(t->data, sizeof t->data, "%s", o->data);
    op->name = t->name;
    op->name_len = (uint32_t)strlen(o->name);
    op->name2 = t->name2;
    op->name2_len = (uint32_t)strlen(o->as);
    op->data = t->data;
    op->data_len = (uint32_t)strlen(o->data);
    t->n_list = 0;
    t->at = 0;
    t->kind = explicit_kind(o); /* for the accounts */
    return o->kind < LAB_OP_SET && op->ino.v && (!*o->to || op->ino2.v);
}

const struct lab_step *lab_load_op_step(const struct load_thread *t)
{
    const struct lab_op *op = t->op;
    bool is_writer = t->req.fsop.mode & FSOP_ACCESS_W;
    for (uint32_t i = t->step; op && i < op->n_steps; i++) {
        bool writes = op->steps[i].kind == LAB_STEP_WRITE || op->steps[i].kind == LAB_STEP_APPEND;
        bool skips = writes && !is_writer;
        if (op->steps[i].kind == LAB_STEP_REOPEN || op->steps[i].kind >= LAB_STEP_ASK)
            return NULL;
        if (!skips)
            return &op->steps[i];
    }
    return NULL;
}

void lab_load_op_skip(struct load_thread *t)
{
    while (t->op && t->step < t->op->n_steps && t->op->steps[t->step].kind != LAB_STEP_REOPEN)
        t->step++;
}

bool lab_load_op_reopen(struct load_thread *t)
{
    lab_load_op_skip(t);
    return t->op && t->step++ < t->op->n_steps;
}

/* ---- recording ---- */

void lab_load_record(struct lab_load *l, struct lab_ops *to)
{
    l->record = to;
    if (!l->names)
        l->names = lab_names_open(l->mem);
}

static void record_text(char *to, size_t cap, const void *text, uint32_t len)
{
    if (len)
        fmt_into(to, cap, "%.*s", (int)len, (const char *)text);
}

void lab_load_record_op(struct load_thread *t)
{
    struct lab_load *l = t->lc->l;
    const struct fsop *op = &t->req.fsop;
    struct lab_op *o = l->record ? lab_ops_add(l->record) : NULL;
    if (!o)
        return;
    t->record = l->record->n;
    o->at_ns = sim_now_ns(l->sim);
    o->client = t->lc->number;
    o->thread = explicit_thread(t);
    o->kind = op->kind;
    o->flags = op->flags;
    o->user = op->uid;
    fmt_into(o->in, sizeof o->in, "%s", lab_names_of(l->names, op->ino));
    if (op->ino2.v)
        fmt_into(o->to, sizeof o->to, "%s", lab_names_of(l->names, op->ino2));
    o->mode = op->mode;
    o->valid = op->valid;
    o->size = op->size;
    o->stamp = (uint64_t)op->atime_ns;
    o->key = op->set_uid;
    record_text(o->name, sizeof o->name, op->name, op->name_len);
    record_text(o->as, sizeof o->as, op->name2, op->name2_len);
    record_text(o->data, sizeof o->data, op->data, op->data_len);
    t->linger_ns = 0;
}

void lab_load_record_step(struct load_thread *t, enum lab_step_kind kind)
{
    struct lab_load *l = t->lc->l;
    bool appends = kind == LAB_STEP_APPEND;
    bool bytes = kind == LAB_STEP_READ || kind == LAB_STEP_WRITE || appends;
    if (!t->record)
        return;
    struct lab_step s = {.kind = kind, .wait_ns = t->linger_ns};
    s.off = bytes && !appends ? t->io.off : 0;
    s.len = bytes ? t->io.len : 0;
    s.fill = kind == LAB_STEP_WRITE || appends ? t->fill : 0;
    struct lab_op *op = &l->record->op[t->record - 1];
    struct lab_step *last = op->n_steps ? &op->steps[op->n_steps - 1] : NULL;
    if (last && last->kind == LAB_STEP_WAIT && bytes) {
        s.wait_ns = last->wait_ns; /* it was waited for this */
        *last = s;
    } else {
        lab_op_step_add(op, &s);
    }
    t->linger_ns = 0;
}

void lab_load_vary(struct lab_load *l, uint64_t seed)
{
    for (uint32_t i = 0; i < l->n_clients; i++)
        for (uint32_t k = 0; k < l->cfg.threads; k++)
            prng_seed(&l->clients[i]->threads[k].prng, seed, "lab_load", (uint64_t)i << 32 | k);
}
