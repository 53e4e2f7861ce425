/* journal/ship_doubt.c - somebody who fetched an image from here says that it is bad.  Is it?
 *
 *   OPEN -> READ (a pause) -> READ ... -> CLOSE
 *
 * It may be the other's disk, or its memory, that damages what comes; then a new image would fare
 * no better, and one would be written for each that is fetched.  So the file is read as a whole,
 * beside those who are served and with the same pauses, and counts as bad only if it is.  One at a
 * time: who is not heard now fetches again, and says it again. */
#include "journal/ship_impl.h"

static void ship_doubt_close(struct ship_doubt *t, int verdict)
{
    struct env_file *f = t->file;
    t->file = NULL;
    t->verdict = verdict;
    t->state = SHIP_DOUBT_CLOSE;
    t->busy = true;
    env_close(f, &t->op);
}

static void ship_doubt_end(struct ship *s)
{
    struct ship_doubt *t = &s->doubt;
    t->state = SHIP_DOUBT_REST;
    if (s->stop_op || t->is_stale)
        return;
    if (t->verdict)
        ship_found_bad(s, t->index);
    else
        fmt_log(s->env, ENV_LOG_WARN,
                "journal: another member says that the image of record %llu, which it has from "
                "here, is damaged. Here it is good: check that member's disk.",
                (unsigned long long)t->index);
}

/* what was read is looked at; the verdict, or E_AGAIN: there is more of it */
static int ship_doubt_look(struct ship *s)
{
    struct ship_doubt *t = &s->doubt;
    int ret = t->op.ret < 0 ? (int)t->op.ret : t->op.ret == 0 ? E_CORRUPT : E_AGAIN;
    if (ret == E_AGAIN) {
        t->pos += (uint64_t)t->op.ret;
        if (!image_check_feed(&t->check, t->buf, (size_t)t->op.ret))
            ret = t->check.verdict;
        else if (t->pos >= t->total)
            ret = image_check_is_whole(&t->check, t->total) ? 0 : E_CORRUPT;
    }
    s->free_buf[s->n_free++] = t->buf;
    t->buf = NULL;
    return ret;
}

static void ship_doubt_done(struct env_op *op)
{
    struct ship_doubt *t = container_of(op, struct ship_doubt, op);
    struct ship *s = container_of(t, struct ship, doubt);
    t->busy = false;
    switch (t->state) {
    case SHIP_DOUBT_OPEN:
        t->state = SHIP_DOUBT_READ;
        t->total = op->ret < 0 ? 0 : (uint64_t)op->ret;
        if (op->ret < 0) {
            t->file = NULL;
            t->verdict = (int)op->ret;
            ship_doubt_end(s);
        }
        break;
    case SHIP_DOUBT_READ: {
        int64_t now = env_now_ns(s->env), pause_ns = 3 * (now - t->began_ns);
        int ret = ship_doubt_look(s);
        if (ret != E_AGAIN) {
            ship_doubt_close(t, ret);
        } else if (s->cfg.busy && s->cfg.busy(s->cfg.busy_ctx)) {
            t->busy = true;
            env_timer_set(s->env, &t->timer,
                          now + (pause_ns > SHIP_PAUSE_NS ? pause_ns : SHIP_PAUSE_NS));
        }
        break;
    }
    default:
        ship_doubt_end(s);
    }
    ship_wake(s, 0); /* whoever waited for the buffer */
    ship_doubt_run(s);
    ship_rest(s);
}

static void ship_doubt_timer(struct env_op *op)
{
    struct ship_doubt *t = container_of(op, struct ship_doubt, timer.op);
    t->busy = false;
    ship_doubt_run(container_of(t, struct ship, doubt));
}

void ship_doubt_run(struct ship *s)
{
    struct ship_doubt *t = &s->doubt;
    if (t->state != SHIP_DOUBT_READ)
        return;
    if (s->stop_op && env_timer_is_set(&t->timer)) {
        env_timer_stop(s->env, &t->timer);
        t->busy = false;
    }
    if (t->busy)
        return;
    if (s->stop_op || t->is_stale) {
        ship_doubt_close(t, 0);
    } else if (s->n_free) { /* else it comes back to this */
        t->buf = s->free_buf[--s->n_free];
        t->busy = true;
        t->began_ns = env_now_ns(s->env);
        env_read(t->file, t->buf, SHIP_CHUNK, t->pos, &t->op);
    }
}

void ship_doubt(struct ship *s, uint64_t index)
{
    struct ship_doubt *t = &s->doubt;
    char name[ENV_NAME_MAX];
    if (t->state != SHIP_DOUBT_REST || index < s->oldest ||
        (s->cfg.is_bad && s->cfg.is_bad(s->cfg.bad_ctx, index)))
        return;
    t->index = index;
    t->pos = 0;
    t->is_stale = false;
    image_check_begin(&t->check, index, 0, s->cfg.cluster_hi, s->cfg.cluster_lo);
    t->state = SHIP_DOUBT_OPEN;
    t->busy = true;
    ship_name(s, index, name);
    env_open(s->env, name, ENV_O_READ | ENV_O_DIRECT, &t->file, &t->op);
}

void ship_doubt_init(struct ship *s)
{
    s->doubt.op.done = ship_doubt_done;
    s->doubt.timer.op.done = ship_doubt_timer;
}
