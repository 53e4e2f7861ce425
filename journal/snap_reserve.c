/* journal/snap_reserve.c - a file that keeps room for an image, or for what its owner gives it for.
 *
 * INVARIANTS
 *  1. With reserve_part it goes from its end, a part at a time, no more than is needed: others fill
 *     the same file system, and what is free is theirs as well.
 *  2. One that cannot grow keeps the bytes that it had; or, of those that it got, a part. */
#include "journal/snap_impl.h"

/* it does not get as large as it should be: what it got goes back */
static void snap_reserve_cut(struct snap *s)
{
    if (s->pos >= s->cfg.reserve_part)
        s->reserve_has = base_max_u64(s->reserve_has, s->cfg.reserve_part);
    s->has_reserve = s->reserve_has > 0;
    s->reserve_safe = false;
    s->state = SNAP_RESERVE_CUT;
    env_resize(s->file, s->reserve_has, &s->op);
}

static uint64_t snap_reserve_want(const struct snap *s)
{
    return base_align_up(base_max_u64(s->cfg.reserve_bytes, snap_bytes(s) + snap_bytes(s) / 8),
                         LOG_BLOCK);
}

uint64_t snap_reserve_bytes(const struct snap *s)
{
    return s->reserve_has;
}

bool snap_reserve_step(struct snap *s)
{
    uint64_t want = snap_reserve_want(s);
    if (s->fresh) {
        s->fresh = false;
        if (s->op.ret < 0) {
            s->ret = (int)s->op.ret;
            if (s->cfg.reserve_part && snap_is_full(s->ret))
                snap_reserve_cut(s);
            else
                snap_close(s, SNAP_RESERVE_CLOSE);
            return false;
        }
        s->pos += (uint64_t)s->op.ret;
        if (!s->len)
            s->reserve_has = s->pos & ~(uint64_t)(LOG_BLOCK - 1);
        if (s->pos < want && s->len) {
            s->state = SNAP_RESERVE_PAUSE;
            env_timer_set(s->env, &s->timer, env_now_ns(s->env) + 4 * SNAP_PAUSE_NS);
            return false;
        }
    }
    if (s->pos >= want && !s->len && s->reserve_safe) { /* a sync for nothing holds up appends */
        s->reserve_has = s->pos;
        snap_close(s, SNAP_RESERVE_CLOSE);
        return false;
    }
    if (s->pos >= want || s->cancel) {
        s->reserve_has = s->pos;
        s->state = SNAP_RESERVE_SYNC;
        env_sync(s->file, &s->op);
        return false;
    }
    s->pos &= ~(uint64_t)(LOG_BLOCK - 1);
    s->len = (uint32_t)base_min_u64(LOG_PIECE_MAX, want - s->pos);
    memset(s->buf, 0, s->len);
    env_write(s->file, s->buf, s->len, s->pos, &s->op);
    return false;
}

void snap_reserve_begin(struct snap *s, enum snap_state next)
{
    char name[ENV_NAME_MAX], leaf[LOG_NAME_MAX];
    if (s->n_old) {
        log_format_name(leaf, "tmp-", s->old[s->n_old - 1]);
        snap_path(s, leaf, name);
    } else if (s->has_tmp) {
        snap_tmp(s, name);
    } else {
        snap_path(s, "journal.reserve", name);
    }
    s->after_sweep = next;
    s->state = s->has_tmp || s->n_old ? SNAP_SWEEP : next;
    if (s->state == SNAP_RESERVE_OPEN)
        env_open(s->env, name, ENV_O_WRITE | ENV_O_CREATE | ENV_O_DIRECT, &s->file, &s->op);
    else if (s->state == SNAP_GIVE_OPEN)
        env_open(s->env, name, ENV_O_WRITE | ENV_O_DIRECT, &s->spare, &s->op);
    else
        env_unlink(s->env, name, &s->op);
}

void snap_reserve(struct snap *s, struct env_op *op)
{
    snap_begin(s, SNAP_RESERVE_OPEN, op);
    snap_reserve_begin(s, SNAP_RESERVE_OPEN);
}

void snap_release(struct snap *s, struct env_op *op)
{
    snap_begin(s, SNAP_RELEASE, op);
    s->has_reserve = s->reserve_safe = false;
    snap_reserve_begin(s, SNAP_RELEASE);
}

/* --- a part of it --- */

void snap_give_piece(struct snap *s)
{
    char name[ENV_NAME_MAX];
    snap_path(s, "journal.reserve", name);
    s->give_bytes = s->len;
    s->after_give = SNAP_FREE_RESERVE;
    s->state = SNAP_GIVE_OPEN;
    env_open(s->env, name, ENV_O_WRITE | ENV_O_DIRECT, &s->spare, &s->op);
}

void snap_give(struct snap *s, uint64_t bytes, struct env_op *op)
{
    snap_begin(s, SNAP_GIVE_OPEN, op);
    s->give_bytes = bytes;
    s->after_give = SNAP_REST;
    snap_reserve_begin(s, SNAP_GIVE_OPEN);
}

static bool snap_given(struct snap *s)
{
    s->has_reserve = s->reserve_has > 0;
    if (s->after_give == SNAP_REST) {
        snap_end(s, s->ret);
        return false;
    }
    s->fresh = true;
    s->state = s->ret ? SNAP_WRITE : SNAP_FREE_RESERVE;
    s->op.ret = s->ret;
    s->ret = 0;
    return true;
}

bool snap_give_step(struct snap *s)
{
    struct env_file *f = s->spare;
    int64_t ret = s->op.ret;
    s->fresh = false;
    switch (s->state) {
    case SNAP_GIVE_OPEN:
        if (ret <= 0)
            s->reserve_has = 0;
        s->ret = ret > 0 ? 0 : E_NOSPC;
        if (ret < 0)
            return snap_given(s);
        s->give_bytes = base_max_u64(s->give_bytes, (uint64_t)ret / 16);
        s->reserve_has = (uint64_t)ret > s->give_bytes
                             ? ((uint64_t)ret - s->give_bytes) & ~(uint64_t)(LOG_BLOCK - 1)
                             : 0;
        s->state = SNAP_GIVE;
        env_resize(f, s->reserve_has, &s->op);
        return false;
    case SNAP_GIVE:
        if (ret < 0) { /* it keeps what it has, and nothing more is asked of it now */
            s->ret = E_NOSPC;
            s->reserve_has = 0;
        }
        s->spare = NULL;
        s->state = SNAP_GIVE_CLOSE;
        env_close(f, &s->op);
        return false;
    default:
        return snap_given(s);
    }
}
