/* journal/raft_image.c - state images of a member: its own, and those it takes over.
 *
 * An image is the host's state behind a first piece of our own: the index, the term and the
 * configuration in effect there.  Members that apply the same entries write the same images.
 *
 *   own:    due -> written while entries are applied -> told to the core -> old entries leave
 *   taken:  the core wants it -> shipped, checked -> the core says install -> it is the state
 *
 * An image that is due at a start waits until what was found there is applied; but for a log with
 * so many terms that nobody could lead before some of them have left.
 *
 * An image that others want and that is damaged is written anew at once, whatever is due: until
 * then nobody who needs one could join in.
 *
 * One thing at a time: an image that is being written is given up when another is taken over. */
#include "journal/raft_drive_impl.h"

enum { DRIVE_HOLD_IMAGES = 4 }; /* of log, beside images */

static const int64_t DRIVE_SHIP_RETRY_NS = 500 * 1000000LL;
static const int64_t DRIVE_AGAIN_RETRY_NS = 5000 * 1000000LL;
static const int64_t DRIVE_RUNS_RETRY_NS = 1000 * 1000000LL;
/* Terms in the log since the last image, after which another one is due.  Two are kept, and the log
 * from the older one on, unless there are so many terms in between that they, and those which come
 * until the next one, might not have room (RAFT_RUNS_MAX): then from the newer one on. */
enum { DRIVE_IMAGE_RUNS = RAFT_RUNS_MAX / 4 };
enum { DRIVE_SHIP_FAILS = 6 }; /* after so many in a row it waits no longer: half a minute */

static struct drive *drive_of_snap(struct journal_host *h)
{
    return container_of(h, struct drive, snap_host);
}

/* --- the first piece --- */

static uint32_t drive_conf_piece(const struct drive *d, void *buf, uint32_t cap)
{
    struct wbuf w = wbuf_make(buf, cap);
    raft_format_image_put(&w, d->image_index, d->image_term, &d->image_conf);
    ASSERT(!w.bad);
    return (uint32_t)w.len;
}

static int drive_conf_load(struct drive *d, const void *piece, uint32_t len)
{
    struct rbuf r = rbuf_make(piece, len);
    if (raft_format_image_get(&r, &d->image_index, &d->image_term, &d->image_conf)) {
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%s': the state image is of a single master's journal: migrate it.",
                env_disk(d->env, d->dir));
        return E_VERSION;
    }
    d->conf_loaded = true;
    return 0;
}

static void drive_on_image_begin(struct journal_host *h)
{
    struct drive *d = drive_of_snap(h);
    d->conf_due = true;
    d->host->image_begin(d->host);
}

static uint32_t drive_on_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct drive *d = drive_of_snap(h);
    if (d->conf_due) {
        d->conf_due = false;
        return drive_conf_piece(d, buf, cap);
    }
    return d->host->image_next(d->host, buf, cap);
}

static void drive_on_image_end(struct journal_host *h)
{
    struct drive *d = drive_of_snap(h);
    d->host->image_end(d->host);
}

static int drive_on_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct drive *d = drive_of_snap(h);
    if (!d->conf_loaded)
        return drive_conf_load(d, piece, len);
    return d->host->image_load(d->host, piece, len);
}

static void drive_on_image_reset(struct journal_host *h)
{
    struct drive *d = drive_of_snap(h);
    d->conf_loaded = false;
    d->host->image_reset(d->host);
}

void raft_drive_init_images(struct drive *d)
{
    d->snap_host =
        (struct journal_host){.image_begin = drive_on_image_begin,
                              .image_next = drive_on_image_next,
                              .image_end = drive_on_image_end,
                              .image_load = drive_on_image_load,
                              .image_reset = d->host->image_reset ? drive_on_image_reset : NULL};
    d->snap_op.done = raft_drive_snap_done;
    d->ship_op.done = raft_drive_ship_done;
}

/* --- writing one --- */

static bool drive_image_due(const struct drive *d)
{
    bool is_full = raft_runs(d->raft, snap_index(d->snap)) >= 2 * DRIVE_IMAGE_RUNS;
    bool waits = is_full && d->applied >= raft_commit(d->raft) && d->applied > snap_index(d->snap);
    if (d->applied < base_min_u64(d->image_past, raft_log_last(d->log)) && !waits)
        return false; /* the start goes on: the next one had to read most of it again */
    if (raft_runs(d->raft, snap_index(d->snap)) >= DRIVE_IMAGE_RUNS &&
        env_now_ns(d->env) >= d->image_runs_ns)
        return true; /* many leaders and few records */
    uint64_t since = raft_log_written(d->log) - d->image_mark;
    uint64_t after = base_max_u64(d->cfg.image_after_bytes, snap_bytes(d->snap) / 4);
    bool is_due = since >= after || (since >= after / 8 && env_fault(d->env, "image.early"));
    return is_due && since >= d->retry_bytes;
}

static void drive_image_write(struct drive *d)
{
    d->image_index = d->applied;
    d->image_term = raft_term_at(d->raft, d->applied);
    d->image_conf = *raft_conf_at(d->raft, d->applied);
    list_splice(&d->image_ops_running, &d->image_ops);
    d->image_mark = raft_log_written(d->log);
    d->image_runs_ns = env_now_ns(d->env) + DRIVE_RUNS_RETRY_NS;
    d->snap_doing = DRIVE_SNAP_WRITE;
    raft_log_hold(d->log, true); /* what the reserve gives back is for the image */
    snap_write(d->snap, d->image_index, d->image_term, &d->snap_op);
}

/* The log is kept for whoever fetches an image from here, and the image for whoever is cut off
 * meanwhile, or it would come in vain; but not for ever.  Where images are written faster than one
 * is fetched the next would come in vain, too. */
static uint64_t drive_image_hold(const struct drive *d)
{
    uint64_t serving = ship_serving(d->ship);
    struct wal_stats w;
    raft_log_stats(d->log, &w);
    bool is_much = w.bytes / DRIVE_HOLD_IMAGES > d->cfg.image_after_bytes + snap_bytes(d->snap);
    return serving && !is_much && !d->full ? serving : UINT64_MAX;
}

uint64_t raft_drive_image_wanted(void *ctx)
{
    return drive_image_hold(ctx);
}

/* what is left of images that nobody wants any more */
static void drive_ship_sweep(struct drive *d)
{
    if (d->is_shipping || d->ship_wanted)
        return;
    d->is_shipping = true;
    d->shipping_index = 0;
    d->ship_resume = false;
    ship_sweep(d->ship, &d->ship_op);
}

/* What others may fetch from here: an image below the older kept one is of no use to them, as the
 * log does not begin there any more.  Whoever writes images itself fetches none. */
static void drive_images_kept(struct drive *d)
{
    uint64_t oldest = base_min_u64(snap_trim_index(d->snap), drive_image_hold(d));
    ship_kept(d->ship, oldest, snap_index(d->snap), snap_epoch(d->snap));
    drive_ship_sweep(d);
}

static void drive_image_written(struct drive *d, int64_t ret)
{
    raft_log_hold(d->log, false);
    d->retry_bytes =
        ret < 0 ? raft_log_written(d->log) - d->image_mark + d->cfg.image_after_bytes / 4 + 1 : 0;
    raft_drive_reply_all(d, &d->image_ops_running, ret < 0 ? ret : (int64_t)d->image_index);
    if (ret < 0)
        d->image_runs_ns = env_now_ns(d->env) + DRIVE_AGAIN_RETRY_NS;
    if (ret < 0 && d->image_mends) { /* nobody can join in until it is there */
        d->image_again = true;
        d->image_again_ns = env_now_ns(d->env) + DRIVE_AGAIN_RETRY_NS;
    }
    if (ret == 0 || ret == E_NOSPC) /* the reserve shall grow, or was used up in vain */
        d->reserve_due = true;
    if (ret == E_NOSPC && raft_log_give(d->log))
        d->image_wanted = true;
    if (ret < 0 || d->state != DRIVE_RUNNING || d->stop_op)
        return;
    drive_images_kept(d);
    struct raft_event ev = {.type = RAFT_IMAGE_SAVED,
                            .u.image = {d->image_index, d->image_term, &d->image_conf}};
    raft_drive_event(d, &ev, NULL);
    uint64_t keep = raft_runs(d->raft, 0) >= DRIVE_IMAGE_RUNS ? 0 : d->cfg.raft.keep_entries;
    bool is_crowded = raft_runs(d->raft, snap_trim_index(d->snap)) >= 2 * DRIVE_IMAGE_RUNS;
    uint64_t upto = is_crowded ? d->image_index : snap_trim_index(d->snap);
    uint64_t trim = base_min_u64(upto, raft_trim_limit(d->raft, keep));
    trim = base_min_u64(trim, drive_image_hold(d));
    if (raft_log_place(d->log, trim)) {
        d->trim_want = trim;
        raft_drive_meta_save(d);
    }
}

void raft_drive_image_bad(void *ctx, uint64_t index)
{
    struct drive *d = ctx;
    if (!snap_mark_bad(d->snap, index))
        return;
    fmt_log(d->env, ENV_LOG_ERROR,
            "journal: '%s': the image of record %llu is damaged: another member could not use it. "
            "A new one is written. Check the disk.",
            env_disk(d->env, d->dir), (unsigned long long)index);
    d->image_again = true;
    raft_drive_kick(d);
}

bool raft_drive_image_is_bad(void *ctx, uint64_t index)
{
    return snap_is_bad(((struct drive *)ctx)->snap, index);
}

/* --- taking one over --- */

/* It may be older than what was wished for meanwhile.  The core takes it, or it knows better: then
 * that is still to be fetched. */
static void drive_ship_came(struct drive *d)
{
    struct raft_conf conf = d->shipping_conf;
    uint64_t index = d->ship_index, term = d->ship_term;
    bool other = d->ship_wanted && (index != d->shipping_index || term != d->shipping_term);
    d->ship_fails = 0;
    d->ship_in_vain = false;
    d->ship_resume = false;
    d->ship_wanted = false;
    d->ship_index = d->shipping_index;
    d->ship_term = d->shipping_term;
    struct raft_event ev = {.type = RAFT_IMAGE_READY,
                            .u.image = {d->ship_index, d->ship_term, &conf}};
    raft_drive_event(d, &ev, NULL);
    if (!d->installing)
        snap_leave(d->snap, d->shipping_index);
    if (!other || d->installing || d->ship_wanted)
        return;
    d->ship_index = index;
    d->ship_term = term;
    d->ship_wanted = true;
    raft_drive_kick(d);
}

static void drive_ship_failed(struct drive *d, int why)
{
    bool at_once = why == E_CLOSED || why == E_CANCELLED;
    if (why == E_NOSPC)
        (void)raft_log_give(d->log);
    bool soon = at_once || why == E_TIMEOUT || why == E_AGAIN;
    d->ship_resume = why == E_CLOSED || why == E_TIMEOUT;
    d->ship_in_vain = d->ship_in_vain || (!soon && why != E_NOENT);
    if (!soon)
        d->ship_fails = (uint32_t)base_min_u64(d->ship_fails + 1, DRIVE_SHIP_FAILS);
    else if (!d->ship_in_vain)
        d->ship_fails = 0;
    int64_t wait_ns = soon ? DRIVE_SHIP_RETRY_NS : DRIVE_SHIP_RETRY_NS << d->ship_fails;
    d->ship_again_ns = env_now_ns(d->env) + (at_once ? 0 : wait_ns);
    if (!at_once)
        fmt_log(d->env, ENV_LOG_WARN, "journal: '%s': the image of record %llu did not come: %s.",
                env_disk(d->env, d->dir), (unsigned long long)d->shipping_index, err_text(why));
    drive_ship_sweep(d);
    raft_drive_settle(d);
}

void raft_drive_ship_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, ship_op);
    d->is_shipping = false;
    if (d->state != DRIVE_RUNNING || d->stop_op)
        raft_drive_run(d);
    else if (d->shipping_index == 0) /* a sweep */
        raft_drive_settle(d);
    else if (op->ret == 0)
        drive_ship_came(d);
    else
        drive_ship_failed(d, (int)op->ret);
}

/* what an image was wanted for has come by the log, from another leader perhaps */
static void drive_ship_overtaken(struct drive *d)
{
    uint64_t commit = raft_commit(d->raft);
    if (d->ship_wanted && d->ship_index <= commit) {
        d->ship_wanted = d->ship_in_vain = false;
        drive_ship_sweep(d);
    }
    if (d->is_shipping && d->shipping_index && d->shipping_index <= commit)
        ship_cancel(d->ship);
}

static void drive_ship(struct drive *d)
{
    struct drive_link *k = raft_drive_link_find(d, d->ship_from);
    struct env_peer *p = k ? raft_drive_link_peer(k) : NULL;
    drive_ship_overtaken(d);
    if (!d->ship_wanted || d->is_shipping || !p || env_now_ns(d->env) < d->ship_again_ns)
        return;
    d->is_shipping = true;
    bool goes_on = d->ship_resume && d->shipping_from.v == d->ship_from.v &&
                   d->shipping_index > raft_commit(d->raft);
    if (!goes_on) {
        d->shipping_from = d->ship_from;
        d->shipping_index = d->ship_index;
        d->shipping_term = d->ship_term;
        d->shipping_conf = d->ship_conf;
    }
    ship_fetch(d->ship, d->shipping_index, d->shipping_term, p, &d->ship_op);
}

static void drive_installed(struct drive *d, int64_t ret)
{
    if (ret == E_CANCELLED && d->stop_op)
        return; /* the state is empty, and nobody asks for it any more */
    if (ret < 0) {
        if (ret != E_CANCELLED)
            fmt_log(d->env, ENV_LOG_ERROR,
                    "journal: '%s': the image of record %llu cannot be taken over: %s. This master "
                    "stops; a restart begins with its own.",
                    env_disk(d->env, d->dir), (unsigned long long)d->ship_index,
                    err_text((int)ret));
        raft_drive_fail(d, (int)ret);
        return;
    }
    ship_kept(d->ship, d->ship_index, d->ship_index, d->ship_term);
    raft_log_reset(d->log, d->ship_index, d->ship_term);
    d->applied = d->ship_index;
    d->installing = d->image_again = false;
    d->image_mark = raft_log_written(d->log);
    fmt_log(d->env, ENV_LOG_INFO, "journal: '%s': took over the image of record %llu.",
            env_disk(d->env, d->dir), (unsigned long long)d->applied);
    struct raft_event ev = {.type = RAFT_IMAGE_INSTALLED};
    raft_drive_event(d, &ev, NULL);
}

/* --- one at a time --- */

void raft_drive_snap_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, snap_op);
    enum drive_snap did = d->snap_doing;
    d->snap_doing = DRIVE_SNAP_NOTHING;
    if (did == DRIVE_SNAP_WRITE)
        drive_image_written(d, op->ret);
    else if (did == DRIVE_SNAP_INSTALL)
        drive_installed(d, op->ret);
    else if (op->ret == E_NOSPC && raft_log_give(d->log))
        d->reserve_due = true;
    else if (op->ret == 0 && d->reserving && d->is_poor) {
        d->is_poor = false;
        raft_log_lend(d->log, false);
    }
    d->reserving = false;
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        raft_drive_settle(d);
    else
        raft_drive_run(d);
}

void raft_drive_on_space(struct drive *d, bool full)
{
    d->full = full;
    if (full && d->state == DRIVE_BEGIN)
        d->release_due = true; /* without a segment there is no start: give it the reserve */
    else if (full && d->state == DRIVE_RUNNING && d->applied > snap_index(d->snap))
        d->image_wanted = true; /* an image lets old segments go */
    else if (!full)
        d->reserve_due = true;
    raft_drive_kick(d);
}

void raft_drive_images(struct drive *d)
{
    if (d->installing && d->snap_doing == DRIVE_SNAP_WRITE)
        snap_cancel(d->snap);
    if (d->state == DRIVE_RUNNING && !d->stop_op)
        drive_ship(d);
    if (d->snap_doing || d->stop_op || !d->snap || d->role == JOURNAL_FAILED)
        return;
    if (d->release_due) {
        d->release_due = false;
        d->snap_doing = DRIVE_SNAP_SPACE;
        snap_release(d->snap, &d->snap_op);
        return;
    }
    if (d->state != DRIVE_RUNNING)
        return;
    if (d->installing) {
        d->snap_doing = DRIVE_SNAP_INSTALL;
        snap_install(d->snap, d->ship_index, &d->snap_op);
        return;
    }
    bool again = d->image_again && d->applied && env_now_ns(d->env) >= d->image_again_ns;
    bool is_new = d->applied > snap_index(d->snap) || again;
    if (!is_new)
        raft_drive_reply_all(d, &d->image_ops, (int64_t)d->applied);
    d->image_wanted |= drive_image_due(d);
    if (is_new && (d->image_wanted || again || !list_empty(&d->image_ops))) {
        d->image_mends = d->image_again;
        d->image_wanted = d->image_again = false;
        drive_image_write(d);
    } else if (d->reserve_due && !(d->is_poor && d->full)) {
        d->reserve_due = false;
        d->reserving = true;
        d->snap_doing = DRIVE_SNAP_SPACE;
        snap_reserve(d->snap, &d->snap_op);
    }
}
