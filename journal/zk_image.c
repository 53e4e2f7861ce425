/* journal/zk_image.c - state images of the ZooKeeper journal: images/<member>/ in the shared
 * directory, where each member writes its own and everybody reads all.
 *
 * INVARIANTS
 *  1. A start takes the image with the highest index that is good, whoever wrote it: what is in an
 *     image was acknowledged.
 *  2. A member writes and removes in its own directory only.  An unfinished image has a name
 *     of this process's life: one that stands still in the middle of it, or was given the same id,
 *     overwrites nothing.  What goes is behind an image that is durable and complete; one that
 *     could not be read at the start, because the storage did not answer, goes when two are.
 *  3. A standby whose next record was removed from the log takes the best image again.
 *  4. An image is due by what was written since the last one, and by the epochs since then: each
 *     change of leader leaves a log behind that takes a segment or two, however little is in it,
 *     and goes when images hold what is there.  How many there were is known from the own image's
 *     epoch, so a member that is started anew each time counts them as well. */
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"

static const int64_t ZK_IMAGE_PAUSE_NS = 500 * 1000000LL, ZK_IMAGE_AGAIN_NS = 10000 * 1000000LL;

enum { ZK_IMAGE_LOGS = 4 }; /* that older epochs may leave, also where images are due more often */

static bool zk_image_is_busy(void *ctx)
{
    const struct zk_drive *d = ctx;
    return d->state == ZK_LEAD && !wal_is_idle(d->wal);
}

static struct snap *zk_image_snap(struct zk_drive *d, const char *dir)
{
    struct snap_config sc = {
        .dir = dir,
        .reserve_bytes = base_max_u64(d->cfg.segment_bytes, ZK_ROOM_PARTS * zk_room_part(d)),
        .reserve_part = zk_room_part(d),
        .tag = d->tag,
        .keeps_unread = true,
        .cluster_hi = d->fence.cluster_hi,
        .cluster_lo = d->fence.cluster_lo,
        .busy = zk_image_is_busy,
        .busy_ctx = d};
    return snap_create(d->shared, d->mem, &sc, &d->front);
}

/* --- the host, or nobody --- */

static struct journal_host *zk_image_host(struct journal_host *front)
{
    return container_of(front, struct zk_drive, front)->host;
}

static void zk_image_begin_out(struct journal_host *h)
{
    if (zk_image_host(h))
        zk_image_host(h)->image_begin(zk_image_host(h));
}

static uint32_t zk_image_next_out(struct journal_host *h, void *buf, uint32_t cap)
{
    return zk_image_host(h) ? zk_image_host(h)->image_next(zk_image_host(h), buf, cap) : 0;
}

static void zk_image_end_out(struct journal_host *h)
{
    if (zk_image_host(h))
        zk_image_host(h)->image_end(zk_image_host(h));
}

static int zk_image_load_in(struct journal_host *h, const void *piece, uint32_t len)
{
    return zk_image_host(h) ? zk_image_host(h)->image_load(zk_image_host(h), piece, len)
                            : E_CANCELLED;
}

static void zk_image_reset_in(struct journal_host *h)
{
    if (zk_image_host(h))
        zk_image_host(h)->image_reset(zk_image_host(h));
}

/* What is being written is not finished: there is nobody who has the rest of it. */
void zk_image_leave(struct zk_drive *d)
{
    env_reply_all(d->env, &d->image_ops_running, E_CANCELLED);
    if (d->snap_busy)
        snap_cancel(d->snap);
    if (d->other)
        snap_cancel(d->other);
    d->host = NULL;
}

static void zk_image_member_dir(const struct zk_drive *d, uint32_t member, char *ret_dir)
{
    fmt_into(ret_dir, ENV_NAME_MAX, "%simages/%u", d->dir, member);
}

/* --- loading --- */

static void zk_image_add(struct zk_drive *d, uint32_t member, uint64_t index)
{
    uint32_t i = 0;
    if (d->n_images == ZK_IMAGES)
        d->n_images--; /* the lowest */
    zk_drive_know(d, index);
    while (i < d->n_images && d->image[i].index >= index)
        i++;
    memmove(d->image + i + 1, d->image + i, (d->n_images++ - i) * sizeof *d->image);
    d->image[i] = (struct zk_image_name){member, index};
}

uint32_t zk_image_member(const char *n)
{
    uint64_t v = 0;
    for (; *n >= '0' && *n <= '9' && v <= UINT32_MAX; n++)
        v = v * 10 + (uint64_t)(*n - '0');
    return *n == '/' && n[1] == 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
}

static void zk_image_members(struct zk_drive *d, int64_t ret)
{
    for (const char *n = d->names; n < d->names + ret; n += strlen(n) + 1) {
        fmt_into(d->after, sizeof d->after, "%s", n);
        if (zk_image_member(n) && d->n_members < ZK_IMAGE_MEMBERS_MAX)
            d->member[d->n_members++] = zk_image_member(n);
    }
    if (ret > 0)
        return;
    d->image_state = ZK_IMAGE_NAMES;
    *d->after = 0;
}

static void zk_image_names(struct zk_drive *d, int64_t ret)
{
    uint64_t index;
    for (const char *n = d->names; n < d->names + ret; n += strlen(n) + 1) {
        fmt_into(d->after, sizeof d->after, "%s", n);
        if (log_format_name_parse(n, "image-", &index) && index)
            zk_image_add(d, d->member[d->n_members - 1], index);
    }
    if (ret > 0)
        return;
    *d->after = 0;
    d->n_members--;
}

/* the best of those that were not tried, if it is better than what is here; false: there is none */
static bool zk_image_install(struct zk_drive *d)
{
    if (d->image_at == d->n_images || d->image[d->image_at].index <= d->applied)
        return false;
    zk_image_member_dir(d, d->image[d->image_at].member, d->other_dir);
    d->other = zk_image_snap(d, d->other_dir);
    if (!d->other) {
        zk_drive_fail(d, E_NOMEM);
        return false;
    }
    d->busy = true;
    snap_install(d->other, d->image[d->image_at].index, &d->op);
    return true;
}

static void zk_image_installed(struct zk_drive *d, int64_t ret)
{
    snap_free(d->other);
    d->other = NULL;
    if (ret == 0) {
        if (d->image[d->image_at].member != d->cfg.zk.id)
            SOMETIMES(ZK_IMAGE_OTHER);
        d->applied = d->image[d->image_at].index;
        fmt_log(d->env, ENV_LOG_INFO, "journal: image of record %llu from '%s'.",
                (unsigned long long)d->applied, d->other_dir);
        d->image_at = d->n_images;
        return;
    }
    d->applied = 0; /* the host is empty */
    d->image_at++;
    if (ret == E_VERSION || ret == E_NOMEM || ret == E_CLUSTER)
        zk_drive_fail(d, (int)ret);
}

static void zk_image_opened(struct zk_drive *d, int64_t ret)
{
    if (ret < 0) {
        zk_drive_fail(d, (int)ret);
        return;
    }
    d->applied = snap_index(d->snap);
    d->image_state = ZK_IMAGE_MEMBERS;
}

static void zk_image_done(struct zk_drive *d)
{
    d->acked = d->applied;
    d->has_log = false;
    zk_pend_reset(&d->pend, d->applied + 1);
    d->image_mark = zk_drive_written(d);
    if (d->role == JOURNAL_STARTING && !d->cfg.check_only) {
        d->role = JOURNAL_STANDBY;
        d->host->role(d->host, JOURNAL_STANDBY, d->epoch, 0);
    }
    zk_drive_pause(d, d->unseen_ns ? ZK_IMAGE_PAUSE_NS / 10 : 0);
}

/* begins what the state asks for; false: nothing was to be begun */
static bool zk_image_begin(struct zk_drive *d)
{
    switch (d->image_state) {
    case ZK_IMAGE_OWN:
        if (d->cfg.check_only) { /* an own one is a member's as well; nothing is tidied up */
            d->image_state = ZK_IMAGE_MEMBERS;
            return false;
        }
        zk_image_member_dir(d, d->cfg.zk.id, d->snap_dir);
        d->snap = zk_image_snap(d, d->snap_dir);
        if (!d->snap) {
            zk_drive_fail(d, E_NOMEM);
            return false;
        }
        d->busy = true;
        snap_open(d->snap, &d->op);
        return true;
    case ZK_IMAGE_MEMBERS:
        if (!d->image_first)
            break;
        d->busy = true;
        env_list(d->shared, d->images_dir, d->after, d->names, sizeof d->names, &d->op);
        return true;
    case ZK_IMAGE_NAMES:
        if (!d->n_members) {
            d->image_at = 0;
            d->image_state = ZK_IMAGE_INSTALL;
            return false;
        }
        zk_image_member_dir(d, d->member[d->n_members - 1], d->other_dir);
        d->busy = true;
        env_list(d->shared, d->other_dir, d->after, d->names, sizeof d->names, &d->op);
        return true;
    case ZK_IMAGE_INSTALL:
        if (zk_image_install(d))
            return true;
        break;
    }
    if (d->image_state == ZK_IMAGE_MEMBERS) { /* once more, from the beginning */
        d->image_first = true;
        d->n_images = d->n_members = 0;
        *d->after = 0;
    } else if (d->state == ZK_LOAD) {
        d->image_first = false;
        zk_image_done(d);
    }
    return false;
}

bool zk_image_load(struct zk_drive *d)
{
    int64_t ret = d->op.ret;
    if (!d->image_begun) {
        if (d->snap_busy) { /* an own one is being written of a state that is given up */
            snap_cancel(d->snap);
            return false;
        }
        d->image_begun = zk_image_begin(d);
        return !d->image_begun || !d->busy;
    }
    d->image_begun = false;
    if (ret < 0 && d->image_state != ZK_IMAGE_OWN && d->image_state != ZK_IMAGE_INSTALL) {
        d->image_first = false;
        zk_drive_pause(d, ZK_IMAGE_PAUSE_NS);
        d->has_log = false;
        d->load_again = true;
        return true;
    }
    switch (d->image_state) {
    case ZK_IMAGE_OWN:
        zk_image_opened(d, ret);
        break;
    case ZK_IMAGE_MEMBERS:
        zk_image_members(d, ret);
        break;
    case ZK_IMAGE_NAMES:
        zk_image_names(d, ret);
        break;
    case ZK_IMAGE_INSTALL:
        zk_image_installed(d, ret);
        break;
    }
    return true;
}

/* --- writing --- */

static void zk_image_written(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, snap_op);
    d->snap_busy = false;
    zk_room_used(d, op->ret); /* also, it may be too small now */
    d->gc.again_ns = 0;
    if (op->ret)
        d->old_again_ns = env_now_ns(d->env) + ZK_IMAGE_AGAIN_NS;
    d->retry_bytes = op->ret ? d->cfg.image_after_bytes + d->cfg.image_after_bytes / 4 : 0;
    env_reply_all(d->env, &d->image_ops_running, op->ret ? op->ret : (int64_t)snap_index(d->snap));
    zk_drive_run(d);
}

/* What logs of older epochs take at least that wait for an image of this member's.  Each has a
 * segment, however little is in it. */
static uint64_t zk_image_old(const struct zk_drive *d)
{
    uint64_t epoch = snap_epoch(d->snap);
    if (snap_index(d->snap) >= d->log.base || epoch >= d->log.epoch)
        return 0;
    return (d->log.epoch - epoch) * d->cfg.segment_bytes;
}

/* Was there too little room for a segment as it should be?  Whoever leads, the logs that it found
 * are to go soon. */
static bool zk_image_is_tight(const struct zk_drive *d)
{
    struct wal_stats s = {0};
    if (d->role == JOURNAL_LEADER)
        wal_stats(d->wal, &s);
    else if (d->has_log)
        zk_tail_size(&d->tail, &s.segments, &s.bytes);
    return d->full || d->room.lacks || s.bytes < s.segments * d->cfg.segment_bytes;
}

static bool zk_image_is_due(const struct zk_drive *d)
{
    uint64_t written = zk_drive_written(d); /* less than before while a log of its own ends */
    uint64_t since = written > d->image_mark ? written - d->image_mark : 0;
    uint64_t old = zk_image_old(d);
    uint64_t most = base_max_u64(d->cfg.image_after_bytes, snap_bytes(d->snap) / 4);
    if (since >= most && since >= d->retry_bytes)
        return true;
    if (old && env_now_ns(d->env) >= d->old_again_ns &&
        (old >= base_max_u64(most, ZK_IMAGE_LOGS * d->cfg.segment_bytes) || zk_image_is_tight(d)))
        return true;
    return zk_room_wants_image(d);
}

void zk_image_run(struct zk_drive *d)
{
    if (d->snap_busy || d->state == ZK_LOAD || d->state == ZK_OPEN || d->stop_op || !d->snap ||
        d->role == JOURNAL_FAILED)
        return;
    if (!list_empty(&d->image_ops) && d->applied == snap_index(d->snap))
        env_reply_all(d->env, &d->image_ops, (int64_t)d->applied);
    if (!d->image_wanted && list_empty(&d->image_ops) && !zk_image_is_due(d))
        return;
    d->image_wanted = false;
    if (d->applied <= snap_index(d->snap))
        return;
    list_splice(&d->image_ops_running, &d->image_ops);
    d->image_mark = zk_drive_written(d);
    d->snap_busy = true;
    snap_write(d->snap, d->applied, d->log.epoch, &d->snap_op);
}

bool zk_image_end(struct zk_drive *d)
{
    if (d->snap_busy)
        snap_cancel(d->snap);
    return !d->snap_busy && image_read_at_rest(&d->image_read);
}

static void zk_image_read_idle(struct image_read *r)
{
    zk_drive_run(container_of(r, struct zk_drive, image_read));
}

void zk_image_init(struct zk_drive *d)
{
    d->snap_op.done = zk_image_written;
    d->image_read.env = d->shared;
    d->image_read.idle = zk_image_read_idle;
    fmt_into(d->images_dir, sizeof d->images_dir, "%simages", d->dir);
    d->front = (struct journal_host){.image_begin = zk_image_begin_out,
                                     .image_next = zk_image_next_out,
                                     .image_end = zk_image_end_out,
                                     .image_load = zk_image_load_in,
                                     .image_reset = zk_image_reset_in};
    list_init(&d->image_ops);
    list_init(&d->image_ops_running);
}
