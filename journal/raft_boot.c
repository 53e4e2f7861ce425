/* journal/raft_boot.c - from a directory to a running member, and back.
 *
 *   LIST -> META -> (JOIN ->) IMAGES -> RECOVER -> (SAVE ->) BEGIN -> REPLAY -> (FOUND ->) RUNNING
 *   or, when only checking: RECOVER -> REPLAY -> CHECKED (raft_offline.c)
 *   any of them -> STOP_SNAP -> STOP_PEERS -> STOP_SHIP -> STOP_META -> STOP_LOG -> STOPPED
 *
 * INVARIANTS
 *  1. Nothing on disk changes until identity, images and log have been checked.
 *  2. A disk has an identity of its own, made by chance when its journal.meta is: a member whose
 *     disk was lost comes back as another one, never under its old promises.
 *  3. A new cluster begins with the same first entry on every member: its configuration, of term 1.
 *     It is only written where no term was ever known. */
#include "core/mutant.h"
#include "journal/raft_drive_impl.h"

static void drive_op_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, op);
    d->busy = false;
    raft_drive_run(d);
}

static bool drive_listed(struct drive *d)
{
    if (d->op.ret <= 0) {
        if (d->op.ret < 0)
            raft_drive_fail(d, (int)d->op.ret);
        return d->op.ret == 0;
    }
    if (!d->cfg.unfinished && log_meta_is_unfinished(d->env, d->dir, d->names, d->op.ret))
        raft_drive_fail(d, E_BUSY);
    d->has_data |= log_meta_listed(d->names, d->op.ret, d->after, sizeof d->after);
    return false;
}

static void drive_identify(struct drive *d, int read)
{
    struct journal_config *c = &d->cfg;
    bool wants = c->raft.members || c->raft.join;
    int ret =
        log_meta_identify(&d->file, read, d->has_data, c->cluster_hi, c->cluster_lo, c->raft.id);
    /* also where the cluster is known beforehand: its era is not, but for who calls */
    if (c->raft.join && !d->is_called && (ret == E_NOENT || (ret == 0 && d->file.is_new))) {
        d->state = DRIVE_JOIN;
        fmt_log(d->env, ENV_LOG_INFO,
                "journal: '%s': member %u waits to be added to a cluster "
                "(`tarn journal add %u@HOST:PORT` there).",
                env_disk(d->env, d->dir), d->self.v, d->self.v);
        d->role = JOURNAL_STANDBY;
        d->host->role(d->host, JOURNAL_STANDBY, 0, 0);
        return;
    }
    if ((ret == 0 && d->file.is_new && !wants) || ret == E_NOENT) {
        fmt_log(d->env, ENV_LOG_ERROR,
                "journal: '%s': there is no journal here. A new cluster is made by `tarn journal "
                "bootstrap`; a new or replaced member of one that exists starts with --join.",
                env_disk(d->env, d->dir));
        ret = E_NOENT;
    }
    if (ret) {
        raft_drive_fail(d, ret);
        return;
    }
    if (d->file.is_new) {
        d->file.meta.disk = MUTANT(RAFT_WIPED) ? d->self.v : env_random(d->env) | 1;
        d->file.meta.era = d->join_era;
        d->file.meta.is_guest = d->is_called;
    }
    d->meta_want = (struct raft_meta){d->file.meta.epoch, {d->file.meta.vote}};
    d->state = DRIVE_IMAGES;
}

static bool drive_is_busy(void *ctx)
{
    return !raft_log_is_idle(((struct drive *)ctx)->log);
}

static bool drive_make_parts(struct drive *d)
{
    const struct log_meta *m = &d->file.meta;
    d->log_cfg = (struct raft_log_config){.mem_entries = DRIVE_MEM_ENTRIES,
                                          .watch = d->cfg.raft.watch,
                                          .wal = {.dir = d->own_dir,
                                                  .segment_bytes = d->cfg.segment_bytes,
                                                  .batch_bytes = d->cfg.batch_bytes,
                                                  .batches_in_flight = d->cfg.batches_in_flight,
                                                  .queue_bytes = d->cfg.queue_bytes,
                                                  .cluster_hi = m->cluster_hi,
                                                  .cluster_lo = m->cluster_lo}};
    struct snap_config sc = {.dir = d->own_dir,
                             .reserve_bytes = d->cfg.segment_bytes,
                             .cluster_hi = m->cluster_hi,
                             .cluster_lo = m->cluster_lo,
                             .check_all = d->cfg.check_only && !d->cfg.replays,
                             .busy = drive_is_busy,
                             .busy_ctx = d,
                             .wanted = raft_drive_image_wanted,
                             .wanted_ctx = d};
    d->log = raft_log_create(d->env, d->mem, &d->log_cfg, &d->log_host);
    d->snap = snap_create(d->env, d->mem, &sc, &d->snap_host);
    struct ship_config hc = {.dir = d->own_dir,
                             .cluster_hi = m->cluster_hi,
                             .cluster_lo = m->cluster_lo,
                             .busy = drive_is_busy,
                             .busy_ctx = d,
                             .bad = raft_drive_image_bad,
                             .is_bad = raft_drive_image_is_bad,
                             .bad_ctx = d};
    d->ship = ship_create(d->env, d->mem, &hc);
    return d->log && d->snap && d->ship;
}

/* What damage took comes back from the others, if there are any.  false: it has to be written down
 * first that it is missing. */
static bool drive_is_undamaged(struct drive *d)
{
    struct log_meta *m = &d->file.meta;
    uint64_t index, term, known;
    if (!raft_log_loss(d->log, &index, &term, &known))
        return true;
    /* of a term that is not known it is one that was answered for, so not above the current one */
    if (!term)
        term = base_max_u64(base_max_u64(m->epoch, snap_epoch(d->snap)), m->lost_term);
    if (term > m->lost_term || (term == m->lost_term && index > m->lost)) {
        m->lost = index;
        m->lost_term = term;
    }
    m->durable = known;
    fmt_log(d->env, ENV_LOG_ERROR,
            "journal: '%s': damaged: member %u lost entries that it had answered for. It votes for "
            "nobody who lacks them, and leads when it has got them back. Check its disk.",
            env_disk(d->env, d->dir), d->self.v);
    return false;
}

/* starts the operation of the present state; false: it has none */
static bool drive_begin(struct drive *d)
{
    switch (d->state) {
    case DRIVE_LIST:
        env_list(d->env, d->own_dir, d->after, d->names, sizeof d->names, &d->op);
        return true;
    case DRIVE_META:
        log_meta_read(&d->file, &d->op);
        return true;
    case DRIVE_IMAGES:
        snap_open(d->snap, &d->op);
        return true;
    case DRIVE_RECOVER:
        if (d->file.meta.voters > 1 && !d->cfg.check_only && !d->cfg.raft.recover)
            raft_log_allow_loss(d->log);
        raft_log_recover(d->log, d->file.meta.trimmed + 1, d->file.meta.durable, &d->op);
        return true;
    case DRIVE_SAVE:
        log_meta_save(&d->file, &d->op);
        return true;
    case DRIVE_BEGIN:
        raft_log_begin(d->log, &d->op);
        return true;
    case DRIVE_REPLAY:
        raft_log_replay(d->log, &d->op);
        return true;
    default:
        return false;
    }
}

static struct raft_start drive_start_of(struct drive *d)
{
    bool has = snap_index(d->snap) != 0;
    if (!has)
        memset(&d->image_conf, 0, sizeof d->image_conf);
    return (struct raft_start){.meta = d->meta_want,
                               .floor = d->file.meta.lost,
                               .floor_term = d->file.meta.lost_term,
                               .commit = d->file.meta.committed,
                               .commit_term = d->file.meta.committed_term,
                               .is_guest = d->file.meta.is_guest != 0,
                               .image = {.index = has ? d->image_index : 0,
                                         .term = has ? d->image_term : 0,
                                         .conf = &d->image_conf}};
}

static void drive_found(struct drive *d)
{
    uint8_t conf[RAFT_FORMAT_CONF_MAX];
    struct wbuf w = wbuf_make(conf, sizeof conf);
    raft_format_conf_put(&w, &d->first_conf);
    struct raft_entry e = {.term = 1, .type = RAFT_CONF, .len = (uint32_t)w.len};
    if (raft_log_append(d->log, 1, &e, conf)) {
        raft_drive_fail(d, E_NOMEM);
        return;
    }
    d->state = DRIVE_FOUND;
}

static void drive_founded(struct drive *d)
{
    static const uint64_t one = 1;
    static const struct raft_run run = {1, 1};
    struct raft_start s = drive_start_of(d);
    s.n = s.n_runs = s.n_confs = 1;
    s.run = &run;
    s.conf_index = &one;
    s.conf = &d->first_conf;
    raft_log_release(d->log, 2);
    raft_drive_launch(d, &s);
}

static void drive_replayed(struct drive *d)
{
    struct raft_start s = drive_start_of(d);
    int ret = raft_log_start(d->log, &s);
    if (ret) {
        fmt_log(d->env, ENV_LOG_ERROR, "journal: '%s': cannot start: %s.", env_disk(d->env, d->dir),
                err_text(ret));
        raft_drive_fail(d, ret);
        return;
    }
    if (d->cfg.check_only || d->cfg.raft.recover) {
        raft_offline_replayed(d, &s);
        return;
    }
    uint64_t all = s.n, after = s.base + s.n - s.image.index;
    uint64_t written = raft_log_written(d->log);
    d->image_mark = all ? written - written / all * after : written;
    if (s.n == 0 && s.image.index == 0 && d->meta_want.term == 0 && d->first_conf.n)
        drive_found(d);
    else
        raft_drive_launch(d, &s);
}

/* the operation of this state is done: what follows? */
static void drive_next(struct drive *d)
{
    int64_t ret = d->op.ret;
    enum drive_state s = d->state;
    if (s == DRIVE_LIST) {
        if (drive_listed(d))
            d->state = DRIVE_META;
        return;
    }
    if (s == DRIVE_META && (ret == 0 || ret == E_NODATA || ret == E_VERSION)) {
        drive_identify(d, (int)ret);
        if (d->state == DRIVE_IMAGES && !drive_make_parts(d)) {
            fmt_log(d->env, ENV_LOG_ERROR,
                    "journal: '%s': no memory for its buffers; raise the master's budget.",
                    env_disk(d->env, d->dir));
            raft_drive_fail(d, E_NOMEM);
        }
        return;
    }
    if (ret < 0) {
        bool said = ret == E_CORRUPT || ret == E_VERSION || ret == E_CLUSTER ||
                    ret == E_CANCELLED || (s == DRIVE_IMAGES && ret == E_NOMEM);
        if (!said)
            fmt_log(d->env, ENV_LOG_ERROR, "journal: '%s': cannot start: %s%s.",
                    env_disk(d->env, d->dir), err_text((int)ret),
                    ret == E_NOSPC ? "; free some space there, or give it more" : "");
        raft_drive_fail(d, (int)ret);
        return;
    }
    if (s == DRIVE_RECOVER && d->cfg.check_only) {
        d->state = DRIVE_REPLAY;
    } else if (s == DRIVE_REPLAY) {
        drive_replayed(d);
    } else {
        bool skips =
            s == DRIVE_RECOVER && !d->file.is_new && drive_is_undamaged(d) && !d->file.is_single;
        d->state = skips ? DRIVE_BEGIN : s + 1;
    }
}

/* --- stop --- */

/* its own memory; the parts are gone */
static void drive_drop(struct drive *d)
{
    mem_free(d->mem, d->queue, d->cfg.queue_bytes);
    mem_free(d->mem, d->wait, DRIVE_MEM_ENTRIES * sizeof *d->wait);
    mem_free(d->mem, d->frame, ENV_FRAME_MAX);
    mem_free(d->mem, d->record, JOURNAL_RECORD_MAX);
    mem_free(d->mem, d, sizeof *d);
}

static void drive_free(struct drive *d)
{
    struct env_op *op = d->stop_op;
    if (d->raft)
        raft_free(d->raft);
    if (d->log)
        raft_log_free(d->log);
    if (d->snap)
        snap_free(d->snap);
    if (d->ship)
        ship_free(d->ship);
    log_meta_drop(&d->file);
    raft_drive_reply(d, op, 0);
    drive_drop(d);
}

static void drive_reader_closed(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, reader_close_op);
    d->reader_closing = false;
    raft_drive_run(d);
}

static void drive_ship_stop_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, ship_stop_op);
    d->ship_stopped = true;
    raft_drive_run(d);
}

static void drive_ship_stop(struct drive *d)
{
    if (d->ship_stopping)
        return;
    d->ship_stopping = true;
    d->ship_stop_op.done = drive_ship_stop_done;
    ship_stop(d->ship, &d->ship_stop_op);
}

static void drive_log_stop_done(struct env_op *op)
{
    struct drive *d = container_of(op, struct drive, log_stop_op);
    d->log_stopped = true;
    raft_drive_run(d);
}

static void drive_log_stop(struct drive *d)
{
    if (d->log_stopping)
        return;
    d->log_stopping = true;
    raft_log_stop(d->log, &d->log_stop_op);
}

/* false: something has to end first */
static bool drive_stop_step(struct drive *d)
{
    switch (d->stop) {
    case DRIVE_STOP_NOT:
        if (d->state == DRIVE_RECOVER || d->state == DRIVE_BEGIN || d->state == DRIVE_REPLAY)
            drive_log_stop(d); /* a long log takes seconds; and a start may wait for space */
        d->stop = DRIVE_STOP_SNAP;
        return true;
    case DRIVE_STOP_SNAP:
        if (d->busy || d->snap_doing || d->is_shipping || d->meta_saving ||
            !image_read_at_rest(&d->image_read))
            return false;
        d->stop = DRIVE_STOP_PEERS;
        return true;
    case DRIVE_STOP_PEERS:
        if (d->reader && !d->is_reading) {
            d->reader_closing = true;
            raft_log_reader_close(d->reader, &d->reader_close_op);
            d->reader = NULL;
        }
        if (!raft_drive_peers_end(d) || d->is_reading || d->reader_closing)
            return false;
        d->stop = DRIVE_STOP_SHIP;
        return true;
    case DRIVE_STOP_SHIP:
        if (d->ship)
            drive_ship_stop(d);
        if (d->ship && !d->ship_stopped)
            return false;
        d->stop = DRIVE_STOP_META;
        d->busy = true;
        log_meta_close(&d->file, &d->op);
        return true;
    case DRIVE_STOP_META:
        if (d->busy)
            return false;
        d->stop = DRIVE_STOP_LOG;
        return true;
    case DRIVE_STOP_LOG:
        if (d->log)
            drive_log_stop(d);
        if (d->log && !d->log_stopped)
            return false;
        d->stop = DRIVE_STOPPED;
        return true;
    case DRIVE_STOPPED:
        break;
    }
    return false;
}

void raft_drive_run(struct drive *d)
{
    if (d->stop_op) {
        while (drive_stop_step(d))
            ;
        if (d->stop == DRIVE_STOPPED && !d->kicked)
            drive_free(d);
        return;
    }
    if (d->state == DRIVE_FAILED)
        raft_drive_peers_end(d);
    if (d->state == DRIVE_FOUND && raft_log_stored(d->log) == 1)
        drive_founded(d);
    if (d->state == DRIVE_OFFLINE)
        raft_offline_run(d);
    raft_drive_images(d); /* the reserve may be what a start waits for */
    while (!d->busy && d->state < DRIVE_FOUND && d->state != DRIVE_JOIN) {
        if (!d->begun) {
            d->begun = true;
            d->busy = drive_begin(d);
            ASSERT(d->busy);
            continue;
        }
        d->begun = false;
        drive_next(d);
    }
}

struct journal *raft_open(struct env *e, struct mem *m, const struct journal_config *cfg,
                          struct journal_host *host)
{
    struct drive *d = mem_zalloc(m, sizeof *d);
    if (!d)
        return NULL;
    ASSERT(cfg->raft.id);
    d->env = e;
    d->mem = m;
    d->host = host;
    d->cfg = *cfg;
    d->self.v = cfg->raft.id;
    fmt_into(d->dir, sizeof d->dir - LOG_NAME_MAX, "%s%s", cfg->dir, *cfg->dir ? "/" : "");
    fmt_into(d->own_dir, sizeof d->own_dir, "%s", cfg->dir);
    d->cfg.dir = d->own_dir;
    raft_drive_init(d);
    raft_drive_init_images(d);
    d->op.done = drive_op_done;
    d->log_stop_op.done = drive_log_stop_done;
    d->reader_close_op.done = drive_reader_closed;
    d->queue = mem_alloc(m, d->cfg.queue_bytes);
    d->wait = mem_alloc(m, DRIVE_MEM_ENTRIES * sizeof *d->wait);
    d->frame = mem_alloc(m, ENV_FRAME_MAX);
    d->record = mem_alloc(m, JOURNAL_RECORD_MAX);
    if (!d->queue || !d->wait || !d->frame || !d->record ||
        !log_meta_init(&d->file, e, m, d->dir)) {
        drive_drop(d);
        return NULL;
    }
    d->file.keeps_open = true; /* a vote waits for it, and to open may take longer than to write */
    const char *group = cfg->raft.recover ? cfg->raft.recover : cfg->raft.members;
    if (group && raft_drive_members_parse(group, &d->first_conf)) {
        fmt_log(e, ENV_LOG_ERROR, "journal: members '%s': expected ID@HOST:PORT[=PRIORITY],...",
                group);
        d->first_conf.n = 0;
    }
    raft_drive_kick(d);
    return &d->journal;
}
