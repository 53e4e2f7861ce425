/* sim/lab_load_append.c - appends, as the mount makes them (fuse/fuse_ops_io.c): the master is
 * asked for a place, the bytes are written there; a place that is nobody's any more is asked for
 * anew, and what was not used is given back.
 *
 *   [ask] LOAD_PLACE --place--> LOAD_WRITE --> done
 *            ^                     | displaced   \ failed
 *            +---------------------+              LOAD_UNDO --> done */
#include "sim/lab_load_impl.h"

bool lab_load_is_log(const struct lab_load *l, struct ino ino)
{
    for (uint32_t i = 0; i < l->n_logs; i++)
        if (l->logs[i].v == ino.v)
            return true;
    return false;
}

void lab_load_log_add(struct lab_load *l, struct ino ino)
{
    if (!lab_load_is_log(l, ino) && l->n_logs < LOAD_LOGS)
        l->logs[l->n_logs++] = ino;
}

static void append_placed(struct env_op *op);

static uint64_t append_session(const struct load_thread *t)
{
    struct client_stats s;
    client_stats(t->lc->client, &s);
    return s.session;
}

static void append_send(struct load_thread *t, enum load_state state, uint64_t undo)
{
    struct load_client *lc = t->lc;
    lab_load_ask(t, state);
    if (!undo)
        lc->n_places++;
    struct fsop q = {.kind = FSOP_GETATTR,
                     .ino = t->reading.ino,
                     .size = t->io.len,
                     .arg = undo,
                     .mtime_ns = undo ? t->place.fsop.mtime_ns : lc->n_places};
    memset(&t->place, 0, sizeof t->place);
    t->place.fsop = q;
    t->place.op.done = append_placed;
    t->place.deadline_ns = env_now_ns(lc->env) + lc->l->cfg.deadline_ns;
    t->place_session = append_session(t);
    client_fs(lc->client, &t->place);
}

static void append_ask(struct load_thread *t)
{
    lab_check_append_ask(t->lc->l->check, t, t->reading.ino, t->buf, t->io.len);
    append_send(t, LOAD_PLACE, 0);
}

void lab_load_append(struct load_thread *t)
{
    struct lab_load *l = t->lc->l;
    l->n_appends++;
    lab_load_log_add(l, t->reading.ino);
    lab_load_record_step(t, LAB_STEP_APPEND);
    append_ask(t);
}

static void append_placed(struct env_op *op)
{
    struct load_thread *t = container_of(op, struct load_thread, place.op);
    struct lab_check *c = t->lc->l->check;
    bool gave_back = t->state == LOAD_UNDO;
    lab_load_answered(t, op->ret);
    if (!gave_back && !op->ret) {
        t->io.off = t->place.reply.attr.size;
        t->io.placed = t->place.placed;
        lab_check_append_place(c, t, t->io.off, append_session(t) != t->place_session);
        lab_load_io(t, LOAD_WRITE);
        return;
    }
    if (!gave_back)
        lab_check_append_end(c, t, LAB_APPEND_LOST);
    lab_load_no_more_io(t);
    lab_load_next_io(t);
}

bool lab_load_append_written(struct load_thread *t, int64_t ret)
{
    struct lab_check *c = t->lc->l->check;
    bool again = ret == E_NOT_LEADER && t->io.is_displaced;
    lab_check_append_end(c, t,
                         ret >= 0 ? LAB_APPEND_DONE
                         : again  ? LAB_APPEND_UNUSED
                                  : LAB_APPEND_LOST);
    if (again)
        append_ask(t);
    else if (ret < 0 && !t->io.is_displaced)
        append_send(t, LOAD_UNDO, t->io.off + 1);
    else
        return false;
    return true;
}

void lab_load_append_crashed(struct load_thread *t)
{
    if (t->state == LOAD_PLACE || (t->state == LOAD_WRITE && t->io.placed))
        lab_check_append_end(t->lc->l->check, t, LAB_APPEND_LOST);
}
