/* journal/local.c - the journal of a single master: a log, state images and a small meta file.
 *
 *   LIST -> META -> IMAGES -> RECOVER -> EPOCH -> START -> REPLAY -> LEADER
 *   or, when only checking: RECOVER (-> REPLAY) -> CHECKED
 *   LEADER, CHECKED, or FAILED from any of them -> STOP_SNAP -> STOP_WAL -> STOPPED
 *
 * INVARIANTS
 *  1. journal.meta (log_meta.h) holds the cluster's identity and the highest epoch ever used.
 *  2. An epoch is durable there before anything is written under it.
 *  3. Nothing on disk changes until identity, images and log have been checked.
 *  4. A record is applied once it is durable, and its submit answered after that, in index order:
 *     the waiting submits are a queue whose head belongs to the next record that the log hands
 *     out. */
#include "core/fmt.h"
#include "journal/image_read.h"
#include "journal/journal.h"
#include "journal/log_meta.h"
#include "journal/snap.h"
#include "journal/wal.h"
#include "core/mutant.h"

enum local_state {
    LOCAL_LIST,
    LOCAL_META,
    LOCAL_IMAGES,
    LOCAL_RECOVER,
    LOCAL_EPOCH,
    LOCAL_START,
    LOCAL_REPLAY,
    LOCAL_LEADER,
    LOCAL_FAILED,
    LOCAL_CHECKED,
    LOCAL_STOP_SNAP,
    LOCAL_STOP_WAL,
    LOCAL_STOPPED,
};

struct local {
    struct journal journal;
    struct env *env;
    struct mem *mem;
    struct journal_host *host;
    struct journal_config cfg;
    char own_dir[ENV_NAME_MAX], dir[ENV_NAME_MAX]; /* as given; with a '/' behind it */
    struct wal *wal;
    struct snap *snap;
    struct image_read image_read; /* for a backup */
    struct wal_host wal_host;
    enum local_state state;
    enum journal_role role;
    bool has_data, busy, begun; /* files of a journal are there; op is under way; or was */
    struct env_op op;
    struct log_meta_file file;
    uint64_t epoch, applied;
    struct list waiting; /* submits, in index order */
    /* images */
    struct env_op snap_op;
    bool snap_busy, imaging, image_wanted, full, reserve_due, release_due;
    uint64_t image_mark;  /* wal_written when the last image began */
    uint64_t retry_bytes; /* bytes since then at which to try again after a failure */
    struct list image_ops, image_ops_running;
    struct env_op *stop_op, kick_op, wal_stop_op;
    bool wal_stopping, wal_stopped, kicked;
    char names[LOG_BLOCK], after[ENV_NAME_MAX];
};

static void local_run(struct local *l);

static void local_op_done(struct env_op *op)
{
    struct local *l = container_of(op, struct local, op);
    l->busy = false;
    local_run(l);
}

static void local_fail(struct local *l, int why)
{
    if (l->role == JOURNAL_FAILED)
        return;
    l->role = JOURNAL_FAILED;
    if (l->state < LOCAL_FAILED)
        l->state = LOCAL_FAILED;
    env_reply_all(l->env, &l->waiting, E_NOT_LEADER);
    env_reply_all(l->env, &l->image_ops, E_NOT_LEADER);
    if (l->snap)
        snap_cancel(l->snap);
    l->host->role(l->host, JOURNAL_FAILED, l->epoch, why);
}

/* --- the log's calls --- */

static struct local *local_of(struct wal_host *h)
{
    return container_of(h, struct local, wal_host);
}

/* What counts is what a start would have to read: a batch takes whole blocks, however small its
 * records.  Beside a large image the log may grow with it, so that a steady load writes a bounded
 * multiple of its own bytes in images. */
static bool local_image_due(const struct local *l)
{
    uint64_t since = wal_written(l->wal) - l->image_mark;
    uint64_t after = base_max_u64(l->cfg.image_after_bytes, snap_bytes(l->snap) / 4);
    bool is_due = since >= after || (since >= after / 8 && env_fault(l->env, "image.early"));
    return is_due && since >= l->retry_bytes && !l->image_wanted && !l->imaging;
}

static void local_on_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                            const void *bytes)
{
    struct local *l = local_of(h);
    ASSERT(index == l->applied + 1);
    l->applied = index;
    l->host->apply(l->host, index, bytes, r->len);
    if (l->state == LOCAL_REPLAY)
        return;
    struct list *e = list_pop(&l->waiting);
    ASSERT(e);
    struct env_op *op = list_entry(e, struct env_op, link);
    op->ret = (int64_t)index;
    op->done(op);
    if (local_image_due(l)) {
        l->image_wanted = true;
        local_run(l);
    }
}

static void local_on_rejected(struct wal_host *h, uint32_t n, int why)
{
    struct local *l = local_of(h);
    struct list dropped;
    list_init(&dropped);
    for (; n; n--) {
        struct list *e = l->waiting.prev;
        ASSERT(e != &l->waiting);
        list_remove(e);
        list_push_front(&dropped, e);
    }
    env_reply_all(l->env, &dropped, why);
}

static void local_on_failed(struct wal_host *h, int why)
{
    local_fail(local_of(h), why);
}

static void local_on_space(struct wal_host *h, bool full)
{
    struct local *l = local_of(h);
    l->full = full;
    if (full && l->state == LOCAL_START)
        l->release_due = true; /* without a segment there is no start: give it the reserve */
    else if (full && l->applied > snap_index(l->snap))
        l->image_wanted = true; /* an image lets old segments go */
    else if (!full)
        l->reserve_due = true;
    local_run(l);
}

static bool local_is_busy(void *ctx)
{
    return !wal_is_idle(((struct local *)ctx)->wal);
}

/* --- images --- */

static void local_snap_done(struct env_op *op)
{
    struct local *l = container_of(op, struct local, snap_op);
    l->snap_busy = false;
    if (l->imaging) {
        l->imaging = false;
        wal_hold(l->wal, false);
        int64_t ret = op->ret < 0 ? op->ret : (int64_t)snap_index(l->snap);
        l->retry_bytes =
            op->ret < 0 ? wal_written(l->wal) - l->image_mark + l->cfg.image_after_bytes / 4 + 1
                        : 0;
        env_reply_all(l->env, &l->image_ops_running, ret);
        if (op->ret == 0)
            wal_trim(l->wal, snap_trim_index(l->snap));
        if (op->ret == 0 || op->ret == E_NOSPC) /* it has grown, or was used up in vain */
            l->reserve_due = true;
        if (op->ret == E_NOSPC && wal_give(l->wal))
            l->image_wanted = true;
    } else if (op->ret == E_NOSPC && wal_give(l->wal)) {
        l->reserve_due = true;
    }
    local_run(l);
}

static void local_images(struct local *l)
{
    if (l->snap_busy || l->stop_op)
        return;
    if (l->release_due) {
        l->release_due = false;
        l->snap_busy = true;
        snap_release(l->snap, &l->snap_op);
        return;
    }
    if (l->state != LOCAL_LEADER)
        return;
    if (!list_empty(&l->image_ops) && l->applied == snap_index(l->snap))
        env_reply_all(l->env, &l->image_ops, (int64_t)l->applied);
    if (l->image_wanted || !list_empty(&l->image_ops)) {
        l->image_wanted = false;
        if (l->applied == snap_index(l->snap))
            return;
        list_splice(&l->image_ops_running, &l->image_ops);
        l->image_mark = wal_written(l->wal);
        l->imaging = true;
        l->snap_busy = true;
        wal_hold(l->wal, true); /* what the reserve gives back is for the image */
        snap_write(l->snap, l->applied, l->epoch, &l->snap_op);
    } else if (l->reserve_due) {
        l->reserve_due = false;
        l->snap_busy = true;
        snap_reserve(l->snap, &l->snap_op);
    }
}

/* --- start --- */

static bool local_listed(struct local *l)
{
    if (l->op.ret <= 0) {
        if (l->op.ret < 0)
            local_fail(l, (int)l->op.ret);
        return l->op.ret == 0;
    }
    if (!l->cfg.unfinished && log_meta_is_unfinished(l->env, l->dir, l->names, l->op.ret))
        local_fail(l, E_BUSY);
    l->has_data |= log_meta_listed(l->names, l->op.ret, l->after, sizeof l->after);
    return false;
}

static bool local_make_parts(struct local *l)
{
    struct wal_config wc = {.dir = l->cfg.dir,
                            .segment_bytes = l->cfg.segment_bytes,
                            .batch_bytes = l->cfg.batch_bytes,
                            .batches_in_flight = l->cfg.batches_in_flight,
                            .queue_bytes = l->cfg.queue_bytes,
                            .cluster_hi = l->file.meta.cluster_hi,
                            .cluster_lo = l->file.meta.cluster_lo};
    struct snap_config sc = {.dir = l->cfg.dir,
                             .reserve_bytes = l->cfg.segment_bytes,
                             .cluster_hi = l->file.meta.cluster_hi,
                             .cluster_lo = l->file.meta.cluster_lo,
                             .check_all = l->cfg.check_only && !l->cfg.replays,
                             .busy = local_is_busy,
                             .busy_ctx = l};
    l->wal = wal_create(l->env, l->mem, &wc, &l->wal_host);
    l->snap = snap_create(l->env, l->mem, &sc, l->host);
    return l->wal && l->snap;
}

/* starts the operation of the present state */
static void local_begin(struct local *l)
{
    l->busy = true;
    switch (l->state) {
    case LOCAL_LIST:
        env_list(l->env, l->own_dir, l->after, l->names, sizeof l->names, &l->op);
        return;
    case LOCAL_META:
        log_meta_read(&l->file, &l->op);
        return;
    case LOCAL_IMAGES:
        snap_open(l->snap, &l->op);
        return;
    case LOCAL_RECOVER:
        wal_recover(l->wal, snap_index(l->snap) + 1, snap_named(l->snap), &l->op);
        return;
    case LOCAL_EPOCH:
        l->file.meta.epoch = l->epoch;
        log_meta_save(&l->file, &l->op);
        return;
    case LOCAL_START:
        wal_recover_start(l->wal, l->epoch, &l->op);
        return;
    case LOCAL_REPLAY:
        wal_recover_replay(l->wal, l->applied + 1, &l->op);
        return;
    default:
        l->busy = false;
    }
}

static void local_set_epoch(struct local *l)
{
    uint64_t seen = base_max_u64(wal_epoch(l->wal), snap_epoch(l->snap));
    l->epoch = base_max_u64(l->file.meta.epoch, seen) + !MUTANT(EPOCH_REPEATED);
}

static void local_lead(struct local *l)
{
    l->state = LOCAL_LEADER;
    l->role = JOURNAL_LEADER;
    l->reserve_due = true;
    l->image_wanted = local_image_due(l);
    fmt_log(l->env, ENV_LOG_INFO, "journal: '%s' open: %llu records, epoch %llu.",
            env_disk(l->env, l->dir), (unsigned long long)l->applied, (unsigned long long)l->epoch);
    l->host->role(l->host, JOURNAL_LEADER, l->epoch, 0);
}

/* all has been read and nothing is wrong; that is all that was wanted */
static void local_checked(struct local *l)
{
    l->state = LOCAL_CHECKED;
    l->role = JOURNAL_STANDBY;
    l->applied = base_max_u64(l->applied, wal_last_index(l->wal));
    l->host->role(l->host, JOURNAL_STANDBY, l->file.meta.epoch, 0);
}

/* the operation of this state is done: what follows? */
static void local_next(struct local *l)
{
    int64_t ret = l->op.ret;
    enum local_state s = l->state;
    if (s == LOCAL_LIST) {
        if (local_listed(l))
            l->state = LOCAL_META;
        return;
    }
    if (s == LOCAL_META && (ret == 0 || ret == E_NODATA || ret == E_VERSION)) {
        ret = log_meta_identify(&l->file, (int)ret, l->has_data, l->cfg.cluster_hi,
                                l->cfg.cluster_lo, 0);
        if (ret == E_NOENT)
            fmt_log(l->env, ENV_LOG_ERROR, "journal: '%s': there is no journal here.",
                    env_disk(l->env, l->dir));
        if (ret)
            local_fail(l, (int)ret);
        ret = 0;
    }
    if (ret < 0) {
        bool said = s == LOCAL_IMAGES && ret == E_NOMEM;
        if (ret != E_CORRUPT && ret != E_VERSION && ret != E_CLUSTER && ret != E_CANCELLED && !said)
            fmt_log(l->env, ENV_LOG_ERROR, "journal: '%s': cannot start: %s%s.",
                    env_disk(l->env, l->dir), err_text((int)ret),
                    ret == E_NOSPC ? "; free some space there, or give it more" : "");
        local_fail(l, (int)ret);
        return;
    }
    if (s == LOCAL_IMAGES)
        l->applied = snap_index(l->snap) + (MUTANT(REPLAY_GAP) && snap_index(l->snap));
    if (s == LOCAL_RECOVER)
        local_set_epoch(l);
    if (s == LOCAL_META && l->role != JOURNAL_FAILED && !local_make_parts(l)) {
        fmt_log(l->env, ENV_LOG_ERROR,
                "journal: '%s': no memory for its buffers; raise the master's budget.",
                env_disk(l->env, l->dir));
        local_fail(l, E_NOMEM);
    }
    if (l->role == JOURNAL_FAILED)
        return;
    if (s == LOCAL_REPLAY && !l->cfg.check_only)
        local_lead(l);
    else if (s == LOCAL_RECOVER && l->cfg.replays)
        l->state = LOCAL_REPLAY;
    else if ((s == LOCAL_RECOVER || s == LOCAL_REPLAY) && l->cfg.check_only)
        local_checked(l);
    else
        l->state = s + 1;
}

/* --- stop --- */

static void local_free(struct local *l)
{
    struct env_op *op = l->stop_op;
    if (l->wal)
        wal_free(l->wal);
    if (l->snap)
        snap_free(l->snap);
    env_reply(l->env, op, 0);
    log_meta_drop(&l->file);
    mem_free(l->mem, l, sizeof *l);
}

static void local_wal_stop(struct local *l)
{
    if (l->wal_stopping)
        return;
    l->wal_stopping = true;
    wal_stop(l->wal, &l->wal_stop_op);
}

static void local_wal_stop_done(struct env_op *op)
{
    struct local *l = container_of(op, struct local, wal_stop_op);
    l->wal_stopped = true;
    local_run(l);
}

static void local_stop_step(struct local *l)
{
    switch (l->state) {
    case LOCAL_STOP_SNAP:
        if (l->snap)
            snap_cancel(l->snap);
        if (!l->snap_busy && image_read_at_rest(&l->image_read))
            l->state = LOCAL_STOP_WAL;
        break;
    case LOCAL_STOP_WAL:
        if (l->wal)
            local_wal_stop(l);
        if (!l->wal || l->wal_stopped)
            l->state = LOCAL_STOPPED;
        break;
    case LOCAL_STOPPED:
        break; /* until the kick came */
    default:
        l->state = LOCAL_STOP_SNAP;
    }
}

static void local_run(struct local *l)
{
    while (!l->busy) {
        if (l->stop_op) {
            enum local_state before = l->state;
            local_stop_step(l);
            if (l->state == LOCAL_STOPPED && !l->kicked) {
                local_free(l);
                return;
            }
            if (l->state == before && !l->busy)
                return; /* an image or the log comes to its end first */
            continue;
        }
        if (l->state >= LOCAL_LEADER)
            break;
        if (!l->begun) {
            l->begun = true;
            local_begin(l);
            continue;
        }
        l->begun = false;
        local_next(l);
    }
    if (!l->stop_op)
        local_images(l);
}

/* --- the door --- */

static struct local *local_self(struct journal *j)
{
    return container_of(j, struct local, journal);
}

static bool local_leads(const struct local *l)
{
    return l->state == LOCAL_LEADER && !l->stop_op;
}

static void local_submit(struct journal *j, const void *rec, uint32_t len, struct env_op *op)
{
    struct local *l = local_self(j);
    struct env_iov iov = {rec, len};
    uint64_t index;
    int ret = !local_leads(l)            ? E_NOT_LEADER
              : len > JOURNAL_RECORD_MAX ? E_TOOBIG
                                         : wal_append(l->wal, 0, l->epoch, &iov, 1, &index);
    if (ret)
        env_reply(l->env, op, ret);
    else
        list_push_back(&l->waiting, &op->link);
}

static void local_barrier(struct journal *j, struct env_op *op)
{
    struct local *l = local_self(j);
    /* one master, and a record is applied in the same turn in which it becomes durable */
    env_reply(l->env, op, local_leads(l) ? 0 : E_NOT_LEADER);
}

static void local_kick_done(struct env_op *op)
{
    struct local *l = container_of(op, struct local, kick_op);
    l->kicked = false;
    local_run(l);
}

static void local_image_now(struct journal *j, struct env_op *op)
{
    struct local *l = local_self(j);
    if (!local_leads(l)) {
        env_reply(l->env, op, E_NOT_LEADER);
        return;
    }
    list_push_back(&l->image_ops, &op->link);
    if (l->image_ops.next == l->image_ops.prev && !l->kicked) {
        l->kicked = true;
        env_post(l->env, &l->kick_op);
    }
}

static void local_image_read(struct journal *j, uint64_t index, uint64_t offset, void *to,
                             uint32_t len, struct env_op *op)
{
    struct local *l = local_self(j);
    if (local_leads(l))
        image_read_start(&l->image_read, l->dir, index, offset, to, len, op);
    else
        env_reply(l->env, op, E_UNAVAILABLE);
}

static void local_image_read_idle(struct image_read *r)
{
    local_run(container_of(r, struct local, image_read));
}

static void local_status(struct journal *j, struct journal_status *ret_status)
{
    struct local *l = local_self(j);
    struct wal_stats w = {0};
    if (l->wal)
        wal_stats(l->wal, &w);
    *ret_status = (struct journal_status){.role = l->role,
                                          .full = l->full,
                                          .epoch = l->epoch,
                                          .first_index = w.first_index,
                                          .last_index = w.last_index,
                                          .committed = l->applied,
                                          .applied = l->applied,
                                          .image_index = l->snap ? snap_index(l->snap) : 0,
                                          .image_bytes = l->snap ? snap_bytes(l->snap) : 0,
                                          .wal_bytes = w.bytes,
                                          .wal_segments = w.segments,
                                          .records = w.records,
                                          .batches = w.batches,
                                          .syncs = w.syncs};
}

static void local_stop(struct journal *j, struct env_op *op)
{
    struct local *l = local_self(j);
    ASSERT(!l->stop_op);
    l->stop_op = op;
    env_reply_all(l->env, &l->image_ops, E_CANCELLED);
    if (l->state == LOCAL_IMAGES)
        snap_cancel(l->snap); /* a large state takes seconds */
    if (l->state == LOCAL_RECOVER || l->state == LOCAL_START || l->state == LOCAL_REPLAY)
        local_wal_stop(l); /* so does a long log; and a start may be waiting for space */
    if (!l->kicked) {
        l->kicked = true;
        env_post(l->env, &l->kick_op);
    }
}

struct journal *local_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                           struct journal_host *host)
{
    static const struct journal_vt vt = {
        .submit = local_submit,
        .barrier = local_barrier,
        .image_now = local_image_now,
        .status = local_status,
        .image_read = local_image_read,
        .stop = local_stop,
    };
    struct local *l = mem_zalloc(m, sizeof *l);
    if (!l)
        return NULL;
    l->journal.vt = &vt;
    l->env = e;
    l->mem = m;
    l->host = host;
    l->cfg = *cfg;
    fmt_into(l->dir, sizeof l->dir - LOG_NAME_MAX, "%s%s", cfg->dir, *cfg->dir ? "/" : "");
    fmt_into(l->own_dir, sizeof l->own_dir, "%s", cfg->dir);
    l->cfg.dir = l->own_dir;
    if (!log_meta_init(&l->file, e, m, l->dir)) {
        mem_free(m, l, sizeof *l);
        return NULL;
    }
    l->wal_host = (struct wal_host){.record = local_on_record,
                                    .rejected = local_on_rejected,
                                    .failed = local_on_failed,
                                    .space = local_on_space};
    l->op.done = local_op_done;
    l->snap_op.done = local_snap_done;
    l->kick_op.done = local_kick_done;
    l->image_read.env = e;
    l->image_read.idle = local_image_read_idle;
    l->wal_stop_op.done = local_wal_stop_done;
    list_init(&l->waiting);
    list_init(&l->image_ops);
    list_init(&l->image_ops_running);
    l->kicked = true;
    env_post(e, &l->kick_op);
    return &l->journal;
}
