/* journal/wal_prep.c - segments made before they are needed and removed when they no longer are.
 *
 * INVARIANTS
 *  1. A file called wal-<seq> was complete and synced, all zeros, before it got that name.
 *  2. While there is time zeros are written one block every few milliseconds, so that appends do
 *     not queue behind them; once the active segment fills faster than that, without a pause.
 *  3. Removal overwrites the segment's header with zeros, durably, before the unlink: an unlink
 *     that a power loss undoes brings back a segment that no restart takes for part of the log.
 *  4. Superseded segments go first, then the oldest, and that only when the header of its successor
 *     is known durable: what is left is always a chain from its first segment on.
 *  5. A segment that is removed becomes a spare when few are there: without its header it keeps
 *     its blocks and its name, and a restart takes it for a file of zeros and removes it.  The next
 *     segment is made of a spare: all of it is written with zeros again, synced, and only then it
 *     gets its new name, so 1 holds for it, and nobody ever meets an old record in a new segment.
 *     (And would not take it for one: a batch says the segment's number, its place and what it
 *     stands on.) So a log that is trimmed as fast as it is filled makes and removes no files: each
 *     of these has the file system write its own journal, and appends wait for that.  Spares are
 *     given back when anything finds the disk full (wal_give), and at a stop.
 *  6. A start needs a segment.  When there is no room for one of the usual size, a small one is
 *     made: a master on a full disk can at least be read.
 *  7. A segment is made while the one before it fills.  Whoever else writes to the same file
 *     system can hold up its name for seconds (ext4's journal commits everybody's changes, and
 *     writes their data first), while a write in place takes no longer than the disk.  So each time
 *     the log had to wait for a segment, or nearly, one more is kept ready, up to WAL_AHEAD_MAX.  A
 *     restart removes those that were never used.
 *  8. Where others read along (wal_host.names) they are told of a segment after it got its name and
 *     before it is used, and that it goes before it loses its header; numbers have no gaps there.
 */
#include "journal/wal_impl.h"
#include "core/mutant.h"
#include "core/sometimes.h"

static void wal_prep_wake(struct wal *w)
{
    wal_run(w);
    if (w->recover)
        wal_recover_run(w);
}

/* the file that becomes the segment, and the name that it gets then */
static void wal_prep_names(const struct wal *w, char *ret_from, char *ret_to)
{
    if (w->prep.from_seq)
        wal_name(w, w->prep.from_seq, ret_from);
    else
        fmt_into(ret_from, ENV_NAME_MAX, "%swal.new", w->dir);
    wal_name(w, w->prep.seq, ret_to);
}

/* --- ahead --- */

static void wal_ahead_more(struct wal *w)
{
    SOMETIMES(WAL_AHEAD);
    if (w->ahead.want < WAL_AHEAD_MAX)
        w->ahead.want++;
    w->ahead.calm = 0;
}

void wal_prep_wanted(struct wal *w)
{
    if (!w->ahead.is_wanted && w->state == WAL_RUNNING)
        wal_ahead_more(w);
    w->ahead.is_wanted = true;
}

static void wal_prep_made(struct wal *w)
{
    struct wal_prep *p = &w->prep;
    struct wal_ahead *a = &w->ahead;
    bool is_late = w->n_segs && w->off > w->segs[w->n_segs - 1].bytes / 4 * 3;
    if (w->state == WAL_RUNNING && a->n == 0 && !a->is_wanted && is_late)
        wal_ahead_more(w);
    a->made[a->n].seq = p->seq;
    a->made[a->n].bytes = p->bytes;
    a->made[a->n++].is_proof = p->is_proof;
    a->gives = false;
    p->state = WAL_PREP_IDLE;
    p->tight = false;
    p->fulls = 0;
}

/* --- what others know --- */

static void wal_told_done(struct env_op *op)
{
    struct wal_told *t = container_of(op, struct wal_told, op);
    struct wal *w = container_of(t, struct wal, told);
    t->busy = false;
    if (op->ret < 0) {
        wal_fail(w, (int)op->ret, "telling others of a segment");
    } else {
        t->first = t->to_first;
        t->last = t->to_last;
    }
    wal_prep_wake(w);
}

/* others are told of the segment that is made, and of the one that goes */
static void wal_told_run(struct wal *w)
{
    struct wal_told *t = &w->told;
    t->to_first = w->trim.state == WAL_TRIM_TELL ? w->trim.seq + 1 : t->first;
    t->to_last = w->prep.state == WAL_PREP_TELL ? w->prep.seq : t->last;
    t->busy = true;
    t->op.done = wal_told_done;
    w->host->names(w->host, t->to_first, t->to_last, &t->op);
}

/* the first is used, or gone */
static void wal_ahead_next(struct wal_ahead *a)
{
    a->file = NULL;
    memmove(a->made, a->made + 1, --a->n * sizeof *a->made);
}

static void wal_ahead_done(struct env_op *op)
{
    struct wal_ahead *a = container_of(op, struct wal_ahead, op);
    struct wal *w = container_of(a, struct wal, ahead);
    a->busy = false;
    if (op->ret == E_NOENT && !w->host->names) { /* somebody made room by hand */
        wal_ahead_next(a);
    } else if (op->ret < 0) {
        a->file = NULL;
        wal_fail(w, (int)op->ret, "preparing a segment");
    } else {
        if (a->made[0].is_proof)
            w->giving = false;
        if (w->n_segs < WAL_SEGMENTS_MOST)
            wal_set_full(w, MUTANT(RAFT_FULL_STAYS) && w->full);
    }
    wal_prep_wake(w);
}

static void wal_ahead_run(struct wal *w)
{
    struct wal_ahead *a = &w->ahead;
    char name[ENV_NAME_MAX];
    if (a->n == 0 || a->file || a->busy)
        return;
    wal_name(w, a->made[0].seq, name);
    a->busy = true;
    a->op.done = wal_ahead_done;
    env_open(w->env, name, ENV_O_WRITE | ENV_O_DIRECT | (MUTANT(LOG_NOT_SYNCED) ? 0 : ENV_O_DSYNC),
             &a->file, &a->op);
}

struct env_file *wal_prep_take(struct wal *w)
{
    struct wal_ahead *a = &w->ahead;
    struct env_file *f = a->file;
    ASSERT(f && !a->busy);
    if (a->n < a->want) {
        a->calm = 0;
    } else if (++a->calm == WAL_AHEAD_CALM) {
        a->calm = 0;
        a->want -= a->want > 1;
    }
    a->is_wanted = false;
    wal_ahead_next(a);
    return f;
}

/* --- one made --- */

static void wal_prep_drop(struct wal *w)
{
    struct wal_prep *p = &w->prep;
    p->state = WAL_PREP_DROP_CLOSE;
    if (p->file) {
        struct env_file *f = p->file;
        p->file = NULL;
        p->busy = true;
        env_close(f, &p->op);
    }
}

static void wal_prep_done(struct env_op *op)
{
    struct wal_prep *p = container_of(op, struct wal_prep, op);
    struct wal *w = container_of(p, struct wal, prep);
    p->busy = false;
    bool dropping = p->state == WAL_PREP_DROP_CLOSE || p->state == WAL_PREP_DROP_UNLINK ||
                    p->state == WAL_PREP_END_CLOSE;
    if (op->ret < 0 && !dropping) {
        if (op->ret == E_NOSPC || op->ret == E_DQUOT) {
            p->tight = w->state == WAL_STARTING || p->lent;
            w->giving = true;
            wal_prep_drop(w);
        } else if (op->ret == E_NOENT && p->from_seq && p->state == WAL_PREP_OPEN) {
            p->state = WAL_PREP_IDLE; /* somebody made room by hand */
        } else {
            wal_fail(w, (int)op->ret, "preparing a segment");
        }
        wal_prep_wake(w);
        return;
    }
    switch (p->state) {
    case WAL_PREP_OPEN:
        p->at = 0;
        p->state = MUTANT(SEGMENT_REUSED_RAW) && p->from_seq ? WAL_PREP_SYNC : WAL_PREP_ZERO;
        break;
    case WAL_PREP_ZERO:
        p->at += (uint64_t)op->ret;
        if (p->at == p->bytes)
            p->state = MUTANT(SEGMENT_NAME_LOST) ? WAL_PREP_CLOSE : WAL_PREP_SYNC;
        else if (w->state == WAL_RUNNING && p->at >= 2 * w->off && w->queued == 0)
            p->state = WAL_PREP_PAUSE;
        break;
    case WAL_PREP_SYNC:
        w->syncs++;
        p->state = WAL_PREP_CLOSE;
        break;
    case WAL_PREP_CLOSE:
        p->state = WAL_PREP_RENAME;
        if (MUTANT(SEGMENT_NAME_LOST))
            wal_prep_made(w);
        break;
    case WAL_PREP_RENAME:
        if (w->host->names)
            p->state = WAL_PREP_TELL;
        if (MUTANT(ZK_SEGMENT_UNTOLD) && w->host->names && !w->told.busy)
            wal_told_run(w);
        if (!w->host->names || MUTANT(ZK_SEGMENT_UNTOLD))
            wal_prep_made(w);
        break;
    case WAL_PREP_DROP_CLOSE:
        break;
    case WAL_PREP_DROP_UNLINK:
        p->state = WAL_PREP_FULL;
        p->fulls++;
        if (w->host->names) /* no gap: the number comes again */
            p->seq = w->seq_max = p->seq - 1;
        break;
    case WAL_PREP_END_CLOSE:
        p->state = WAL_PREP_IDLE;
        break;
    default:
        ASSERT(false);
    }
    wal_prep_wake(w);
}

static void wal_prep_timer(struct env_op *op)
{
    struct wal_prep *p = container_of(op, struct wal_prep, timer.op);
    struct wal *w = container_of(p, struct wal, prep);
    if (p->state == WAL_PREP_PAUSE)
        p->state = WAL_PREP_ZERO;
    else if (!p->hold)
        p->state = WAL_PREP_IDLE;
    wal_prep_wake(w);
}

/* What the next segment is made of.  A start takes a new file: it has no spares. */
static void wal_prep_choose(struct wal *w)
{
    struct wal_prep *p = &w->prep;
    if (p->seq <= w->seq_max)
        p->seq = w->seq_max = w->seq_max + 1;
    p->bytes = p->tight ? 2 * LOG_BLOCK + 2 * (uint64_t)wal_batch_cap(w) : w->cfg.segment_bytes;
    p->bytes = base_max_u64(p->bytes, p->least_bytes);
    p->from_seq = 0;
    p->is_proof = w->giving;
    if (w->n_spares && !w->giving && p->bytes == w->cfg.segment_bytes) {
        SOMETIMES(WAL_REUSED);
        p->from_seq = w->spare[0];
        memmove(w->spare, w->spare + 1, --w->n_spares * sizeof *w->spare);
    }
}

/* Starts whatever the state asks for, unless it is under way already. */
void wal_prep_run(struct wal *w)
{
    struct wal_prep *p = &w->prep;
    char name[ENV_NAME_MAX], to[ENV_NAME_MAX];
    if (w->failed || (w->stop_op && wal_is_idle(w)))
        return;
    wal_ahead_run(w);
    uint32_t want = w->giving || w->state != WAL_RUNNING ? 1 : w->ahead.want;
    if (p->busy || (w->ahead.n >= want && p->state == WAL_PREP_IDLE))
        return;
    p->op.done = wal_prep_done;
    p->timer.op.done = wal_prep_timer;
    if (p->state == WAL_PREP_IDLE)
        wal_prep_choose(w);
    switch (p->state) {
    case WAL_PREP_IDLE:
        wal_prep_names(w, name, to);
        p->state = WAL_PREP_OPEN;
        p->busy = true;
        env_open(w->env, MUTANT(SEGMENT_NAME_LOST) ? to : name,
                 ENV_O_WRITE | ENV_O_DIRECT | (p->from_seq ? 0 : ENV_O_CREATE | ENV_O_TRUNC),
                 &p->file, &p->op);
        break;
    case WAL_PREP_ZERO:
        p->busy = true;
        env_write(p->file, w->zeros, (uint32_t)base_min_u64(WAL_ZERO_BYTES, p->bytes - p->at),
                  p->at, &p->op);
        break;
    case WAL_PREP_PAUSE:
        if (!env_timer_is_set(&p->timer))
            env_timer_set(w->env, &p->timer, env_now_ns(w->env) + WAL_PREP_PAUSE_NS);
        break;
    case WAL_PREP_SYNC:
        p->busy = true;
        env_sync(p->file, &p->op);
        break;
    case WAL_PREP_CLOSE: {
        struct env_file *f = p->file;
        p->file = NULL;
        p->busy = true;
        env_close(f, &p->op);
        break;
    }
    case WAL_PREP_RENAME:
        wal_prep_names(w, name, to);
        p->busy = true;
        env_rename(w->env, name, to, &p->op);
        break;
    case WAL_PREP_TELL:
        if (w->told.last >= p->seq) {
            wal_prep_made(w);
            wal_ahead_run(w);
            wal_kick(w);
        } else if (!w->told.busy) {
            wal_told_run(w);
        }
        break;
    case WAL_PREP_DROP_CLOSE:
        wal_prep_names(w, name, to);
        p->state = WAL_PREP_DROP_UNLINK;
        p->busy = true;
        env_unlink(w->env, name, &p->op);
        break;
    case WAL_PREP_FULL:
        if (w->state == WAL_STARTING)
            wal_set_full(w, true);
        if (!env_timer_is_set(&p->timer))
            env_timer_set(w->env, &p->timer, env_now_ns(w->env) + WAL_SPACE_RETRY_NS);
        break;
    case WAL_PREP_OPEN:
    case WAL_PREP_DROP_UNLINK:
    case WAL_PREP_END_CLOSE:
        break;
    }
}

/* --- removal --- */

void wal_prep_supersede(struct wal *w, uint64_t upto, uint64_t before_seq)
{
    for (uint32_t i = 0; i < w->n_segs && w->segs[i].seq < before_seq; i++)
        if (w->segs[i].accepted && w->segs[i].first_index > upto)
            w->segs[i].superseded = true;
}

void wal_prep_clip(struct wal *w)
{
    uint64_t upto = UINT64_MAX;
    for (uint32_t i = w->n_segs; i-- > 0;) {
        struct wal_segment *s = &w->segs[i];
        s->last_index = base_min_u64(s->last_index, upto);
        if (s->accepted)
            upto = base_min_u64(upto, s->first_index - 1);
    }
}

/* which segment may go; n_segs: none */
static uint32_t wal_trim_pick(const struct wal *w)
{
    for (uint32_t i = 0; i + 1 < w->n_segs; i++)
        if (w->segs[i].superseded)
            return i;
    if (w->n_segs >= 2 && w->segs[0].last_index <= w->trim.upto &&
        w->durable >= w->segs[1].first_index)
        return 0;
    return w->n_segs;
}

/* t->seq is no part of the log any more */
static void wal_trim_gone(struct wal *w)
{
    uint32_t i = 0;
    while (i < w->n_segs && w->segs[i].seq != w->trim.seq)
        i++;
    if (i < w->n_segs) { /* else it was a spare */
        w->n_segs--;
        memmove(w->segs + i, w->segs + i + 1, (w->n_segs - i) * sizeof *w->segs);
        if (wal_is_ready(w) && w->n_segs < WAL_SEGMENTS_MOST)
            wal_set_full(w, false); /* there were too many */
    }
    w->trim.state = WAL_TRIM_IDLE;
    wal_cursor_gone(w);
}

/* Without its header it is a spare, or not wanted: true. */
static bool wal_trim_keep(struct wal *w)
{
    struct wal_prep *p = &w->prep;
    uint32_t i = 0;
    while (w->segs[i].seq != w->trim.seq)
        i++;
    if (w->n_spares == WAL_SPARES_MAX || w->cfg.keeps_none || w->giving || w->stop_op ||
        MUTANT(SEGMENT_NAME_LOST) || w->segs[i].bytes != w->cfg.segment_bytes)
        return false;
    w->spare[w->n_spares++] = w->trim.seq;
    wal_trim_gone(w);
    if (p->state == WAL_PREP_FULL) { /* it needs no room now */
        env_timer_stop(w->env, &p->timer);
        p->state = WAL_PREP_IDLE;
    }
    return true;
}

static void wal_trim_done(struct env_op *op)
{
    struct wal_trim *t = container_of(op, struct wal_trim, op);
    struct wal *w = container_of(t, struct wal, trim);
    t->busy = false;
    if (op->ret < 0 && op->ret != E_NOENT) {
        wal_fail(w, (int)op->ret, "removing an old segment");
    } else {
        switch (t->state) {
        case WAL_TRIM_OPEN:
            t->state = op->ret < 0 ? WAL_TRIM_UNLINK : WAL_TRIM_ERASE;
            break;
        case WAL_TRIM_ERASE:
            t->state = WAL_TRIM_CLOSE;
            break;
        case WAL_TRIM_CLOSE:
            if (!wal_trim_keep(w))
                t->state = WAL_TRIM_UNLINK;
            break;
        case WAL_TRIM_UNLINK:
            wal_trim_gone(w);
            break;
        case WAL_TRIM_IDLE:
        case WAL_TRIM_TELL:
            ASSERT(false);
        }
    }
    wal_run(w);
}

void wal_prep_trim_run(struct wal *w)
{
    struct wal_trim *t = &w->trim;
    char name[ENV_NAME_MAX];
    if (t->busy || w->failed || w->state != WAL_RUNNING || w->recover)
        return;
    t->op.done = wal_trim_done;
    if (t->state == WAL_TRIM_IDLE && w->n_spares && (w->giving || w->stop_op)) {
        t->seq = w->spare[--w->n_spares];
        t->state = WAL_TRIM_UNLINK;
    } else if (t->state == WAL_TRIM_IDLE && w->ahead.gives && w->ahead.n > 1 && !w->stop_op) {
        t->seq = w->ahead.made[--w->ahead.n].seq;
        t->state = WAL_TRIM_UNLINK;
    }
    if (t->state == WAL_TRIM_IDLE) {
        uint32_t i = wal_trim_pick(w);
        if (w->stop_op || i == w->n_segs)
            return;
        t->seq = w->segs[i].seq;
        t->state = w->host->names && !MUTANT(ZK_TRIM_UNTOLD) ? WAL_TRIM_TELL : WAL_TRIM_OPEN;
    }
    if (t->state == WAL_TRIM_TELL && w->told.first > t->seq)
        t->state = WAL_TRIM_OPEN;
    if (t->state == WAL_TRIM_TELL) {
        if (!w->told.busy)
            wal_told_run(w);
        return;
    }
    if (t->state == WAL_TRIM_OPEN) {
        wal_name(w, t->seq, name);
        t->busy = true;
        env_open(w->env, name, ENV_O_WRITE | ENV_O_DIRECT | ENV_O_DSYNC, &t->file, &t->op);
        return;
    }
    t->busy = true;
    if (t->state == WAL_TRIM_ERASE) {
        env_write(t->file, w->zeros, LOG_BLOCK, 0, &t->op);
    } else if (t->state == WAL_TRIM_CLOSE) {
        struct env_file *f = t->file;
        t->file = NULL;
        env_close(f, &t->op);
    } else {
        wal_name(w, t->seq, name);
        env_unlink(w->env, name, &t->op);
    }
}

void wal_lend(struct wal *w, bool on)
{
    w->prep.lent = on;
}

void wal_hold(struct wal *w, bool on)
{
    w->prep.hold = on;
}

void wal_trim(struct wal *w, uint64_t upto)
{
    w->trim.upto = base_max_u64(w->trim.upto, upto);
    wal_prep_trim_run(w);
}

bool wal_give(struct wal *w)
{
    bool any = w->n_spares || w->ahead.n > 1;
    w->giving = w->ahead.gives = true;
    w->ahead.want = 1;
    wal_prep_trim_run(w);
    return any;
}

bool wal_prep_end(struct wal *w)
{
    struct wal_prep *p = &w->prep;
    struct wal_trim *t = &w->trim;
    env_timer_stop(w->env, &p->timer);
    if (p->busy || t->busy || w->ahead.busy || w->told.busy)
        return false;
    if (!p->file && w->ahead.file) {
        p->file = w->ahead.file;
        w->ahead.file = NULL;
    }
    if (!p->file && t->file) { /* after a failure only */
        p->file = t->file;
        t->file = NULL;
    }
    if (p->file) {
        struct env_file *f = p->file;
        p->file = NULL;
        p->state = WAL_PREP_END_CLOSE;
        p->busy = true;
        p->op.done = wal_prep_done;
        env_close(f, &p->op);
        return false;
    }
    return w->failed || (t->state == WAL_TRIM_IDLE && !w->n_spares);
}
