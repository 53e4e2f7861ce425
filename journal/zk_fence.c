/* journal/zk_fence.c - see zk_fence.h.
 *
 * A claim, step by step:
 *   ABOVE  from slot n up, a window of slots at a time, until one is free: is n itself free?
 *   BELOW  from slot n - 1 down, until one is in use
 *   FILL   from that one up to n, one write at a time
 *   PROVE  slots n and n + 1 */
#include "core/mutant.h"
#include "journal/zk_fence.h"

static void zk_fence_step(struct env_op *op);

bool zk_fence_init(struct zk_fence *f, struct env *shared, struct mem *m, const char *dir)
{
    memset(f, 0, sizeof *f);
    f->env = shared;
    f->mem = m;
    f->op.done = zk_fence_step;
    size_t n = strlen(dir);
    ASSERT(n + sizeof "fence" <= sizeof f->name);
    memcpy(f->name, dir, n);
    memcpy(f->name + n, "fence", sizeof "fence");
    f->memory = mem_alloc(m, ZK_FENCE_WINDOW * LOG_BLOCK + ENV_DIRECT_ALIGN);
    if (!f->memory)
        return false;
    uintptr_t at = (uintptr_t)f->memory;
    f->block = f->memory + (base_align_up(at, ENV_DIRECT_ALIGN) - at);
    return true;
}

void zk_fence_drop(struct zk_fence *f)
{
    ASSERT(f->state == ZK_FENCE_REST && !f->file);
    if (f->memory)
        mem_free(f->mem, f->memory, ZK_FENCE_WINDOW * LOG_BLOCK + ENV_DIRECT_ALIGN);
    f->memory = NULL;
}

static uint64_t zk_fence_offset(uint64_t epoch)
{
    return LOG_BLOCK * (1 + epoch);
}

static bool zk_fence_is_free(const uint8_t *block)
{
    return !block[0] && !memcmp(block, block + 1, LOG_BLOCK - 1);
}

/* ---- starting, ending ---- */

static void zk_fence_begin(struct zk_fence *f, enum zk_fence_state s, struct env_op *user)
{
    ASSERT(f->state == ZK_FENCE_REST);
    f->state = s;
    f->user = user;
}

static void zk_fence_end(struct zk_fence *f, int64_t ret)
{
    struct env_op *user = f->user;
    f->user = NULL;
    f->state = ZK_FENCE_REST;
    user->ret = ret;
    user->done(user);
}

/* at rest, before anything was submitted: the caller hears of it later, as of everything */
static void zk_fence_refuse(struct zk_fence *f, struct env_op *op, int why)
{
    env_reply(f->env, op, why);
}

static void zk_fence_shut(struct zk_fence *f, int ret)
{
    struct env_file *file = f->file;
    f->ret = ret;
    f->file = NULL;
    f->state = ZK_FENCE_SHUT;
    env_close(file, &f->op);
}

static void zk_fence_read(struct zk_fence *f, uint64_t from, uint64_t slots)
{
    f->at = from;
    f->want = (uint32_t)(slots * LOG_BLOCK);
    env_read(f->file, f->block, f->want, zk_fence_offset(from), &f->op);
}

/* ---- made and opened ---- */

void zk_fence_format(struct zk_fence *f, uint64_t cluster_hi, uint64_t cluster_lo, uint64_t slots,
                     struct env_op *op)
{
    ASSERT(!f->file && slots > 1);
    zk_fence_begin(f, ZK_FENCE_MAKE_OPEN, op);
    f->cluster_hi = cluster_hi;
    f->cluster_lo = cluster_lo;
    f->slots = slots;
    env_open(f->env, f->name, ENV_O_WRITE | ENV_O_CREATE | ENV_O_EXCL | ENV_O_DIRECT, &f->file,
             &f->op);
}

static void zk_fence_put_head(struct zk_fence *f)
{
    struct zk_fence_head h = {
        .cluster_hi = f->cluster_hi, .cluster_lo = f->cluster_lo, .slots = f->slots};
    memset(f->block, 0, LOG_BLOCK);
    memcpy(f->block, &h, sizeof h);
    log_format_seal(f->block, LOG_BLOCK, ZK_FENCE_HEAD_MAGIC);
}

/* all of it is there, in blocks of its own, before it says that it is a fence */
static void zk_fence_make_zero(struct zk_fence *f)
{
    uint64_t left = zk_fence_offset(3 * f->slots) - f->at;
    f->want = (uint32_t)base_min_u64(ZK_FENCE_WINDOW * LOG_BLOCK, left);
    f->state = ZK_FENCE_MAKE_ZERO;
    if (f->want)
        env_write(f->file, f->block, f->want, f->at, &f->op);
    else
        env_sync(f->file, &f->op);
    f->at += f->want;
}

static void zk_fence_make(struct zk_fence *f)
{
    switch (f->state) {
    case ZK_FENCE_MAKE_OPEN:
        memset(f->block, 0, ZK_FENCE_WINDOW * LOG_BLOCK);
        f->at = 0;
        zk_fence_make_zero(f);
        return;
    case ZK_FENCE_MAKE_ZERO:
        if (f->want) {
            zk_fence_make_zero(f);
            return;
        }
        zk_fence_put_head(f);
        f->state = ZK_FENCE_MAKE_HEAD;
        env_write(f->file, f->block, LOG_BLOCK, 0, &f->op);
        return;
    case ZK_FENCE_MAKE_HEAD:
        f->state = ZK_FENCE_MAKE_SYNC;
        env_sync(f->file, &f->op);
        return;
    default:
        zk_fence_shut(f, 0);
    }
}

/* what was made of it goes; f->ret: why */
static void zk_fence_undo(struct zk_fence *f)
{
    struct env_file *file = f->file;
    if (file) {
        f->file = NULL;
        f->state = ZK_FENCE_UNDO_SHUT;
        env_close(file, &f->op);
    } else if (f->state == ZK_FENCE_UNDO_SHUT) {
        f->state = ZK_FENCE_UNDO;
        env_unlink(f->env, f->name, &f->op);
    } else {
        zk_fence_end(f, f->ret);
    }
}

void zk_fence_open(struct zk_fence *f, struct env_op *op)
{
    ASSERT(!f->file);
    zk_fence_begin(f, ZK_FENCE_OPEN, op);
    env_open(f->env, f->name, ENV_O_WRITE | ENV_O_DIRECT | ENV_O_DSYNC | ENV_O_COHERENT, &f->file,
             &f->op);
}

static void zk_fence_opened(struct zk_fence *f, int64_t got)
{
    struct zk_fence_head h;
    int ret = got < LOG_BLOCK ? E_EOF : log_format_check(f->block, LOG_BLOCK, ZK_FENCE_HEAD_MAGIC);
    memcpy(&h, f->block, sizeof h);
    if (!ret && (h.slots < 2 || h.slots > UINT32_MAX || zk_fence_offset(3 * h.slots) > f->at))
        ret = E_EOF;
    if (ret) {
        zk_fence_shut(f, ret == E_NODATA ? E_CORRUPT : ret);
        return;
    }
    f->cluster_hi = h.cluster_hi;
    f->cluster_lo = h.cluster_lo;
    f->slots = h.slots;
    zk_fence_end(f, 0);
}

void zk_fence_close(struct zk_fence *f, struct env_op *op)
{
    if (!f->file) {
        zk_fence_refuse(f, op, 0);
        return;
    }
    zk_fence_begin(f, ZK_FENCE_SHUT, op);
    zk_fence_shut(f, 0);
}

/* ---- a claim ---- */

static void zk_fence_above(struct zk_fence *f, uint64_t from)
{
    f->state = ZK_FENCE_CLAIM_ABOVE;
    zk_fence_read(f, from, base_min_u64(ZK_FENCE_WINDOW, f->slots - from));
}

static void zk_fence_below(struct zk_fence *f, uint64_t end)
{
    uint64_t n = base_min_u64(ZK_FENCE_WINDOW, end);
    f->state = ZK_FENCE_CLAIM_BELOW;
    zk_fence_read(f, end - n, n);
}

static void zk_fence_fill(struct zk_fence *f, uint64_t slot)
{
    struct zk_fence_slot s = {.member = f->member, .epoch = f->epoch, .mark = f->mark};
    memset(f->block, 0, LOG_BLOCK);
    memcpy(f->block, &s, sizeof s);
    log_format_seal(f->block, LOG_BLOCK, ZK_FENCE_SLOT_MAGIC);
    f->state = ZK_FENCE_CLAIM_FILL;
    f->at = slot;
    env_write(f->file, f->block, LOG_BLOCK, zk_fence_offset(slot), &f->op);
}

static void zk_fence_prove(struct zk_fence *f, enum zk_fence_state s)
{
    f->state = s;
    zk_fence_read(f, f->epoch, 2);
}

void zk_fence_claim(struct zk_fence *f, uint64_t epoch, uint32_t member, uint64_t mark,
                    struct env_op *op)
{
    ASSERT(f->file && epoch);
    if (epoch + 1 >= f->slots) { /* the one above must be there to be looked at */
        zk_fence_refuse(f, op, E_RANGE);
        return;
    }
    zk_fence_begin(f, ZK_FENCE_CLAIM_ABOVE, op);
    f->epoch = epoch;
    f->member = member;
    f->mark = mark;
    zk_fence_above(f, epoch);
}

/* slots at..at+n were read: in use are the first so many */
static void zk_fence_looked_up(struct zk_fence *f, uint64_t n)
{
    uint64_t used = 0;
    while (used < n && !zk_fence_is_free(f->block + used * LOG_BLOCK))
        used++;
    if (used)
        f->seen = base_max_u64(f->seen, f->at + used - 1);
    if (used == n && f->at + n < f->slots)
        zk_fence_above(f, f->at + n);
    else if (f->seen >= f->epoch)
        zk_fence_end(f, E_STALE);
    else
        zk_fence_below(f, f->epoch);
}

/* the free ones end at f->at + n */
static void zk_fence_looked_down(struct zk_fence *f, uint64_t n)
{
    while (n && zk_fence_is_free(f->block + (n - 1) * LOG_BLOCK))
        n--;
    if (!n && f->at) {
        zk_fence_below(f, f->at);
        return;
    }
    uint64_t first = n ? f->at + n - 1 : 0; /* the last one in use is written anew */
    if (MUTANT(ZK_FENCE_BACK) && n)
        first++;
    zk_fence_fill(f, MUTANT(ZK_FENCE_GAPS) ? f->epoch : first);
}

/* slots epoch and epoch + 1 were read */
static int zk_fence_holds(struct zk_fence *f)
{
    struct zk_fence_slot s;
    memcpy(&s, f->block, sizeof s);
    bool own = !log_format_check(f->block, LOG_BLOCK, ZK_FENCE_SLOT_MAGIC) && s.epoch == f->epoch &&
               (s.mark == f->mark || MUTANT(ZK_MARK_IGNORED));
    if (own && (zk_fence_is_free(f->block + LOG_BLOCK) || MUTANT(ZK_FENCE_BACK)))
        return 0;
    f->seen = base_max_u64(f->seen, f->epoch + !zk_fence_is_free(f->block + LOG_BLOCK));
    return E_STALE;
}

void zk_fence_check(struct zk_fence *f, struct env_op *op)
{
    ASSERT(f->file && f->epoch);
    zk_fence_begin(f, ZK_FENCE_CHECK, op);
    zk_fence_prove(f, ZK_FENCE_CHECK);
}

void zk_fence_is_last(struct zk_fence *f, uint64_t epoch, struct env_op *op)
{
    ASSERT(f->file);
    if (epoch + 1 >= f->slots) {
        zk_fence_refuse(f, op, E_RANGE);
        return;
    }
    zk_fence_begin(f, ZK_FENCE_FREE, op);
    zk_fence_read(f, epoch + 1, 1);
}

/* ---- who served ---- */

static uint64_t zk_fence_served_offset(const struct zk_fence *f, uint64_t epoch, uint32_t copy)
{
    return zk_fence_offset((1 + (uint64_t)copy) * f->slots + epoch);
}

static void zk_fence_put_served(struct zk_fence *f, const struct zk_fence_served *s)
{
    memset(f->block, 0, LOG_BLOCK);
    memcpy(f->block, s, sizeof *s);
    log_format_seal(f->block, LOG_BLOCK, ZK_FENCE_SERVED_MAGIC);
    f->at = s->epoch;
    env_write(f->file, f->block, LOG_BLOCK, zk_fence_served_offset(f, f->at, 0), &f->op);
}

void zk_fence_serve(struct zk_fence *f, uint64_t prev, uint64_t base, uint64_t end,
                    struct env_op *op)
{
    struct zk_fence_served s = {
        .member = f->member, .epoch = f->epoch, .prev = prev, .base = base, .end = end};
    ASSERT(f->file && f->epoch && prev < f->epoch && base <= end);
    zk_fence_begin(f, ZK_FENCE_SERVE, op);
    zk_fence_put_served(f, &s);
}

void zk_fence_serve_again(struct zk_fence *f, const struct zk_fence_served *s, struct env_op *op)
{
    struct zk_fence_served same = {
        .member = s->member, .epoch = s->epoch, .prev = s->prev, .base = s->base, .end = s->end};
    ASSERT(f->file && s->epoch && s->epoch < f->slots);
    zk_fence_begin(f, ZK_FENCE_SERVE, op);
    zk_fence_put_served(f, &same);
}

void zk_fence_find_served(struct zk_fence *f, uint64_t upto, struct env_op *op)
{
    ASSERT(f->file);
    zk_fence_begin(f, ZK_FENCE_SERVED_ABOVE, op);
    f->upto = upto;
    f->at = base_min_u64(f->seen + 1, f->slots - 1);
    zk_fence_read(f, f->at, base_min_u64(ZK_FENCE_WINDOW, f->slots - f->at));
}

/* the epochs before `end` */
static void zk_fence_served_below(struct zk_fence *f, uint64_t end)
{
    uint64_t n = base_min_u64(ZK_FENCE_WINDOW, end);
    if (!n) {
        zk_fence_end(f, E_NOENT);
        return;
    }
    f->state = ZK_FENCE_SERVED;
    f->at = end - n;
    f->want = (uint32_t)(n * LOG_BLOCK);
    env_read(f->file, f->block, f->want, zk_fence_served_offset(f, f->at, 0), &f->op);
}

/* claims at f->at and n more were read */
static void zk_fence_served_claims(struct zk_fence *f, uint64_t n)
{
    uint64_t used = 0;
    while (used < n && !zk_fence_is_free(f->block + used * LOG_BLOCK))
        used++;
    if (used)
        f->seen = base_max_u64(f->seen, f->at + used - 1);
    uint64_t next = f->at + n;
    if (used == n && next < f->slots)
        zk_fence_read(f, next, base_min_u64(ZK_FENCE_WINDOW, f->slots - next));
    else
        zk_fence_served_below(f, base_min_u64(f->seen, f->upto) + 1);
}

static bool zk_fence_take_served(struct zk_fence *f, const uint8_t *block, uint64_t epoch)
{
    struct zk_fence_served s;
    memcpy(&s, block, sizeof s);
    if (log_format_check(block, LOG_BLOCK, ZK_FENCE_SERVED_MAGIC) || s.epoch != epoch ||
        s.prev >= epoch || s.end < s.base)
        return false;
    f->served = s;
    return true;
}

/* first copies of f->at and n more were read */
static void zk_fence_looked_served(struct zk_fence *f, uint64_t n)
{
    while (n && zk_fence_is_free(f->block + (n - 1) * LOG_BLOCK))
        n--;
    if (!n) {
        zk_fence_served_below(f, f->at);
    } else if (zk_fence_take_served(f, f->block + (n - 1) * LOG_BLOCK, f->at + n - 1)) {
        zk_fence_end(f, 0);
    } else {
        f->state = ZK_FENCE_SERVED_OTHER;
        f->at += n - 1;
        f->want = LOG_BLOCK;
        env_read(f->file, f->block, LOG_BLOCK, zk_fence_served_offset(f, f->at, 1), &f->op);
    }
}

static void zk_fence_looked_other(struct zk_fence *f)
{
    if (zk_fence_take_served(f, f->block, f->at))
        zk_fence_end(f, 0);
    else if (zk_fence_is_free(f->block))
        zk_fence_served_below(f, f->at);
    else
        zk_fence_end(f, E_CORRUPT);
}

/* ---- the steps ---- */

static bool zk_fence_is_short(const struct zk_fence *f)
{
    bool reads = f->state == ZK_FENCE_CLAIM_ABOVE || f->state == ZK_FENCE_CLAIM_BELOW ||
                 f->state == ZK_FENCE_CLAIM_PROVE || f->state == ZK_FENCE_CHECK ||
                 f->state == ZK_FENCE_FREE || f->state == ZK_FENCE_SERVED_ABOVE ||
                 f->state == ZK_FENCE_SERVED || f->state == ZK_FENCE_SERVED_OTHER;
    return reads && f->op.ret < f->want;
}

static void zk_fence_failed(struct zk_fence *f, int why)
{
    if (f->state >= ZK_FENCE_MAKE_ZERO && f->state <= ZK_FENCE_UNDO) {
        if (f->state < ZK_FENCE_UNDO_SHUT)
            f->ret = why;
        zk_fence_undo(f);
    } else if (f->state <= ZK_FENCE_OPEN_HEAD && f->file) {
        zk_fence_shut(f, why);
    } else {
        zk_fence_end(f, f->state == ZK_FENCE_SHUT ? f->ret : why);
    }
}

static void zk_fence_step(struct env_op *op)
{
    struct zk_fence *f = container_of(op, struct zk_fence, op);
    if (op->ret < 0) {
        zk_fence_failed(f, (int)op->ret);
        return;
    }
    if (zk_fence_is_short(f)) { /* never resized: its end cannot have come before */
        zk_fence_failed(f, E_EOF);
        return;
    }
    switch (f->state) {
    case ZK_FENCE_REST:
        return;
    case ZK_FENCE_MAKE_OPEN:
    case ZK_FENCE_MAKE_ZERO:
    case ZK_FENCE_MAKE_HEAD:
    case ZK_FENCE_MAKE_SYNC:
        zk_fence_make(f);
        return;
    case ZK_FENCE_UNDO_SHUT:
    case ZK_FENCE_UNDO:
        zk_fence_undo(f);
        return;
    case ZK_FENCE_OPEN:
        f->state = ZK_FENCE_OPEN_HEAD;
        f->at = (uint64_t)op->ret;
        env_read(f->file, f->block, LOG_BLOCK, 0, &f->op);
        return;
    case ZK_FENCE_OPEN_HEAD:
        zk_fence_opened(f, op->ret);
        return;
    case ZK_FENCE_CLAIM_ABOVE:
        zk_fence_looked_up(f, (uint64_t)op->ret / LOG_BLOCK);
        return;
    case ZK_FENCE_CLAIM_BELOW:
        zk_fence_looked_down(f, (uint64_t)op->ret / LOG_BLOCK);
        return;
    case ZK_FENCE_CLAIM_FILL:
        if (f->at < f->epoch)
            zk_fence_fill(f, f->at + 1);
        else
            zk_fence_prove(f, ZK_FENCE_CLAIM_PROVE);
        return;
    case ZK_FENCE_CLAIM_PROVE:
    case ZK_FENCE_CHECK:
        zk_fence_end(f, zk_fence_holds(f));
        return;
    case ZK_FENCE_FREE:
        zk_fence_end(f, zk_fence_is_free(f->block) ? 0 : E_STALE);
        return;
    case ZK_FENCE_SERVE:
        f->state = ZK_FENCE_SERVE_AGAIN;
        env_write(f->file, f->block, LOG_BLOCK, zk_fence_served_offset(f, f->at, 1), &f->op);
        return;
    case ZK_FENCE_SERVE_AGAIN:
        zk_fence_end(f, 0);
        return;
    case ZK_FENCE_SERVED_ABOVE:
        zk_fence_served_claims(f, (uint64_t)op->ret / LOG_BLOCK);
        return;
    case ZK_FENCE_SERVED:
        zk_fence_looked_served(f, (uint64_t)op->ret / LOG_BLOCK);
        return;
    case ZK_FENCE_SERVED_OTHER:
        zk_fence_looked_other(f);
        return;
    case ZK_FENCE_SHUT:
        zk_fence_end(f, f->ret);
        return;
    }
}
