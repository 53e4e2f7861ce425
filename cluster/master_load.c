/* cluster/master_load.c - what the under-store has: listings, single names, comparisons.
 *
 * INVARIANTS
 *  1. One listing of a directory is under way at a time; whoever else needs it waits for that one.
 *     Names and comparisons are shared only in mounts whose check interval lets an answer be a
 *     moment old.
 *  2. A job that failed leaves nothing behind: the next request tries anew.
 *  3. A directory's own fingerprint is taken before its names are read, so a change during the
 *     listing shows as a difference at the next comparison.
 *  4. A listing's lock (the LOAD intent) is ended by its last batch, or by an outcome with the
 *     error, which is given until the journal takes it; else by whoever leads next.
 *  5. The table of comparisons is direct-mapped and forgets; what it does not know is compared
 *     again.
 *
 *   LIST:  STAT -> PAGE -> BATCH -> PAGE -> ... -> BATCH(last) -> end      (unchanged: end)
 *                    |       +--error--> CURSOR_END -> ABORT -> end
 *                    |       +--names changed while read--> CURSOR_END -> LOCK -> PAGE -> ...
 *                    +--error--> ABORT -> end
 *   NAME:  STAT -> LOAD -> end           (absent: end)
 *   CHECK: STAT -> [REFRESH] -> end      (a directory that differs is not loaded any more; a file
 *                                         that lost one of several names: STAT of the next) */
#include "cluster/master_impl.h"
#include "core/mutant.h"

static void load_step(struct master_job *j);

/* --- when was it compared? --- */

uint64_t master_load_name_key(struct ino dir, const char *name, uint32_t name_len)
{
    return base_hash(name, name_len, dir.v) | 1ULL << 63;
}

int64_t master_load_verified_ns(const struct master *m, struct ino ino)
{
    const struct master_verified *v = &m->verified[base_mix_u64(ino.v) & (m->n_verified - 1)];
    return v->key == ino.v && v->at_ns >= m->verified_after_ns ? v->at_ns : INT64_MIN;
}

void master_load_verified_set(struct master *m, struct ino ino, int64_t at_ns)
{
    struct master_verified *v = &m->verified[base_mix_u64(ino.v) & (m->n_verified - 1)];
    if (v->key == ino.v && v->at_ns > at_ns)
        return;
    v->key = ino.v;
    v->at_ns = at_ns;
}

void master_load_doubt(struct master *m, struct ino ino)
{
    struct master_verified *v = &m->verified[base_mix_u64(ino.v) & (m->n_verified - 1)];
    if (v->key == ino.v)
        *v = (struct master_verified){0};
}

bool master_load_is_due_in(const struct master *m, const struct fsattr *a, int64_t eighths)
{
    const struct master_ufs *u = master_mount_at(m, a->mount);
    /* nobody outside reaches an orphan; but the look at the end of writing may have failed */
    if (!u->ufs || ((a->flags & FSATTR_ORPHAN) && a->fp))
        return false;
    int64_t at = master_load_verified_ns(m, a->ino), interval = u->check_interval_ns;
    return at == INT64_MIN || env_now_ns(m->env) - at >= interval - interval / 8 * eighths;
}

bool master_load_is_due(const struct master *m, const struct fsattr *a)
{
    return master_load_is_due_in(m, a, 0);
}

int master_load_attr(struct master *m, struct ino ino, struct fsattr *ret_a)
{
    struct fsop op = {.kind = FSOP_GETATTR, .ino = ino};
    struct fsop_reply rep;
    meta_query(m->meta, &op, m->rec, JOURNAL_RECORD_MAX, &rep);
    *ret_a = rep.attr;
    return rep.err;
}

void master_load_verify(struct master_job *j, const void *batch, uint32_t len)
{
    struct rbuf b = rbuf_make(batch, len);
    struct fsent e;
    while (rbuf_left(&b) && fsop_ent_get(&b, &e) == 0) {
        struct fsop op = {
            .kind = FSOP_LOOKUP, .ino = j->ino, .name = e.name, .name_len = e.name_len};
        struct fsop_reply rep;
        meta_query(j->m->meta, &op, j->m->rec, JOURNAL_RECORD_MAX, &rep);
        /* one that was changed meanwhile was left as it is: it is looked at anew */
        if (!rep.err && master_load_is_same(&rep.attr, &e))
            master_load_verified_set(j->m, rep.attr.ino, j->began_ns);
    }
}

/* --- jobs --- */

static bool load_is_effect(enum master_job_kind kind)
{
    return kind == JOB_EFFECT || kind == JOB_EXPIRE || kind == JOB_RECLAIM;
}

/* one of each size is kept at hand: fresh ones cost more than what is done with them */
static uint8_t **load_page_spare(struct master *m, uint32_t bytes)
{
    return &m->spare_page[bytes != LIMIT_BATCH];
}

uint8_t *master_load_page_take(struct master *m, uint32_t bytes)
{
    uint8_t **spare = load_page_spare(m, bytes), *p = *spare;
    ASSERT(bytes == LIMIT_BATCH || bytes == MASTER_LOOK_BYTES);
    *spare = NULL;
    return p ? p : mem_alloc(m->mem, bytes);
}

void master_load_page_put(struct master *m, uint8_t *p, uint32_t bytes)
{
    uint8_t **spare = load_page_spare(m, bytes);
    if (!p || *spare)
        mem_free(m->mem, p, bytes);
    else
        *spare = p;
}

/* neither those who ask nor what is owed may take every job from the other */
struct master_job *master_load_job_new(struct master *m, enum master_job_kind kind)
{
    uint32_t *used = &m->jobs_used[load_is_effect(kind)];
    if (*used >= m->jobs.count / 4 * 3)
        return NULL;
    struct master_job *j = pool_get_part(&m->jobs, offsetof(struct master_job, path));
    if (!j)
        return NULL;
    ++*used;
    j->path[0] = j->path2[0] = j->target[0] = 0;
    meta_intent_clear(&j->intent);
    j->m = m;
    j->kind = kind;
    j->epoch = m->epoch;
    j->began_ns = env_now_ns(m->env);
    list_init(&j->waiters);
    list_init(&j->sub.link);
    list_push_back(&m->job_list, &j->link);
    master_busy(m);
    return j;
}

void master_load_job_end(struct master_job *j, int err)
{
    struct master *m = j->m;
    struct list waiters, *e;
    list_init(&waiters);
    list_splice(&waiters, &j->waiters);
    list_each(it, &waiters) {
        struct master_req *r = list_entry(it, struct master_req, link);
        r->job_err = err;
        r->blocker = j->conflict;
        r->absents = (uint8_t)(r->absents + j->is_absent);
        r->found = j->ent;
        r->mark = j->mark;
        r->seen = j->seen;
        r->found.name = r->found.target = NULL;
        r->found.name_len = r->found.target_len = 0;
        r->statfs = j->uop.statfs;
    }
    master_load_page_put(m, j->page, j->page_bytes);
    master_effect_ended(j);
    list_remove(&j->link);
    m->jobs_used[load_is_effect(j->kind)]--;
    pool_put(&m->jobs, j);
    master_effect_kick(m);
    while ((e = list_pop(&waiters)))
        master_rpc_wake(list_entry(e, struct master_req, link));
    master_rpc_unpark(m, 4);
    master_stop_step(m);
}

bool master_load_job_leads(struct master_job *j)
{
    bool is_here = j->kind == JOB_ASIDE ? j->m->is_standby && !j->m->is_loading : j->m->is_leading;
    if (is_here && j->epoch == j->m->epoch)
        return true;
    if (j->is_listing) {
        j->is_listing = false;
        master_load_submit_ufs(j, UFS_LIST_END, STEP_CURSOR_END);
        return false;
    }
    master_load_job_end(j, E_NOT_LEADER);
    return false;
}

static void load_job_step(struct master_job *j)
{
    if (!master_load_job_leads(j))
        return;
    switch (j->kind) {
    case JOB_LIST:
    case JOB_NAME:
    case JOB_CHECK:
    case JOB_STATFS:
    case JOB_SYNC:
        load_step(j);
        break;
    case JOB_NAMES:
    case JOB_LOOK:
        master_names_step(j);
        break;
    case JOB_ASIDE:
        master_standby_step(j);
        break;
    case JOB_EFFECT:
    case JOB_RECLAIM:
        master_effect_step(j);
        break;
    case JOB_EXPIRE:
        master_lease_expire_step(j);
        break;
    }
}

static void load_ufs_done(struct env_op *op)
{
    struct master_job *j = container_of(op, struct master_job, uop.op);
    j->ret = (int)op->ret;
    master_hold_ended(j);
    load_job_step(j);
}

static void load_rec_done(struct env_op *op)
{
    struct master_job *j = container_of(op, struct master_job, sub.op);
    list_remove(&j->sub.link);
    j->ret = op->ret < 0 ? (int)op->ret : j->sub.reply.err;
    j->conflict = j->ret == E_CONFLICT ? j->sub.conflict : 0;
    load_job_step(j);
}

static void load_retry_fired(struct env_op *op)
{
    load_job_step(container_of(op, struct master_job, retry.op));
}

void master_load_retry(struct master_job *j, enum master_job_step step)
{
    struct env *e = j->m->env;
    j->step = step;
    j->backoff_ns = j->backoff_ns ? j->backoff_ns * 2 : 50 * MASTER_MS;
    if (j->backoff_ns > 2000 * MASTER_MS)
        j->backoff_ns = 2000 * MASTER_MS;
    j->retry.op.done = load_retry_fired;
    env_timer_set(e, &j->retry, env_now_ns(e) + j->backoff_ns);
}

void master_load_hurry(struct master *m)
{
    list_each(it, &m->job_list) {
        struct master_job *j = list_entry(it, struct master_job, link);
        if (env_timer_is_set(&j->retry))
            env_timer_set(m->env, &j->retry, env_now_ns(m->env));
    }
}

static bool load_is_change(const struct master_job *j)
{
    return j->uop.kind >= UFS_CREATE && j->uop.kind <= UFS_SETATTR;
}

static void load_ufs_go(struct master_job *j)
{
    struct ufs *u = master_mount_at(j->m, j->mount)->ufs;
    if (load_is_change(j))
        master_hold_began(j);
    if (u) {
        ufs_submit(u, &j->uop);
    } else {
        j->uop.op.ret = load_is_effect(j->kind) ? E_UNAVAILABLE : E_IO;
        env_post(j->m->env, &j->uop.op);
    }
}

static void load_ufs_sure(struct env_op *op)
{
    struct master_job *j = container_of(op, struct master_job, sub.op);
    if (op->ret >= 0 && j->m->is_leading && j->epoch == j->m->epoch) {
        if (!master_hold_parks(j))
            load_ufs_go(j);
        return;
    }
    j->ret = E_UNAVAILABLE; /* nothing was done; if it leads no more, the job ends */
    load_job_step(j);
}

/* One of a group may be deposed and not know it yet: before it changes anything below, it asks.
 * Nobody is called to lead while a change is under way (master_hold.c), so a master that stands
 * still between its question and the effect does no harm: of a raft group, because others are bound
 * for longer than it may begin; of zk, where nobody is bound, as far as its session lasts longer.
 */
static void load_ufs_ask(struct master_job *j)
{
    struct master *m = j->m;
    j->uop.not_after_ns = 0;
    if (load_is_change(j) && master_hold_parks(j))
        return;
    if (m->is_group && load_is_change(j) && !MUTANT(EFFECT_UNASKED)) {
        j->uop.not_after_ns = env_now_ns(m->env) + journal_begin_ns(&m->cfg.journal);
        j->sub.op.done = load_ufs_sure;
        journal_barrier(m->journal, &j->sub.op);
    } else {
        load_ufs_go(j);
    }
}

void master_load_go_on(struct master_job *j)
{
    if (j->m->is_leading && j->epoch == j->m->epoch) {
        load_ufs_ask(j);
        return;
    }
    j->ret = E_UNAVAILABLE; /* nothing was done, and the job ends */
    load_job_step(j);
}

void master_load_submit_ufs(struct master_job *j, enum ufs_kind kind, enum master_job_step step)
{
    j->step = step;
    j->uop.kind = kind;
    j->uop.op.done = load_ufs_done;
    if (kind != UFS_LIST && kind != UFS_LIST_END)
        memset(j->uop.impl, 0, sizeof j->uop.impl);
    memset(&j->uop.ent, 0, sizeof j->uop.ent);
    load_ufs_ask(j);
}

void master_load_submit_rec(struct master_job *j, const struct fsop *op, enum master_job_step step)
{
    struct fsop o = *op;
    o.time_ns = env_wall_ns(j->m->env);
    j->step = step;
    j->sub.op.done = load_rec_done;
    master_submit(j->m, &o, &j->sub);
}

/* --- steps --- */

static void load_stat(struct master_job *j, const char *path)
{
    j->seen = j->looked = meta_applied(j->m->meta);
    j->uop.path = path;
    j->uop.buf = j->target;
    j->uop.len = sizeof j->target;
    master_load_submit_ufs(j, UFS_STAT, STEP_STAT);
}

static void load_refresh(struct master_job *j, const struct fsent *ent)
{
    uint8_t buf[LIMIT_PATH + 256];
    struct wbuf w = wbuf_make(buf, sizeof buf);
    if (ent)
        fsop_ent_put(&w, ent);
    j->m->n.refreshes++;
    struct fsop op = {.kind = FSOP_REFRESH,
                      .flags = FSOP_F_PART,
                      .ino = j->ino,
                      .size = j->mark,
                      .data = buf,
                      .data_len = (uint32_t)w.len};
    master_load_submit_rec(j, &op, STEP_REFRESH);
}

static void load_page(struct master_job *j)
{
    struct fsattr a;
    if (!j->is_begun)
        j->version = master_load_attr(j->m, j->ino, &a) ? 0 : a.version;
    j->uop.path = j->path;
    j->uop.buf = j->page;
    j->uop.len = LIMIT_BATCH;
    j->is_listing = true;
    j->seen = meta_applied(j->m->meta);
    master_load_submit_ufs(j, UFS_LIST, STEP_PAGE);
}

bool master_load_page_new(struct master_job *j, uint32_t bytes)
{
    j->page = master_load_page_take(j->m, bytes);
    j->page_bytes = j->page ? bytes : 0;
    return j->page;
}

static void load_list_start(struct master_job *j)
{
    j->kind = JOB_LIST;
    if (!master_load_page_new(j, LIMIT_BATCH)) {
        master_load_job_end(j, E_AGAIN);
        return;
    }
    memset(j->uop.impl, 0, sizeof j->uop.impl);
    j->m->n.loads++;
    load_page(j);
}

/* the last batch holds no names but the directory itself, as it was before the listing */
static void load_batch(struct master_job *j, uint32_t len, bool is_last)
{
    uint8_t self[256];
    struct wbuf w = wbuf_make(self, sizeof self);
    struct fsop op = {.kind = FSOP_LOAD,
                      .ino = j->ino,
                      .arg = j->load,
                      .size = j->mark,
                      .mtime_ns = (int64_t)(is_last ? j->looked : j->seen)};
    if (is_last)
        fsop_ent_put(&w, &j->ent);
    if (!j->is_begun)
        op.atime_ns = (int64_t)j->version;
    op.flags = FSOP_F_PART | (j->is_begun ? 0 : FSOP_F_LOAD_BEGIN);
    op.flags |= is_last ? FSOP_F_LOAD_LAST : 0;
    op.data = is_last ? self : j->page;
    op.data_len = is_last ? (uint32_t)w.len : len;
    j->is_last = is_last;
    j->uop.len = len;
    master_load_submit_rec(j, &op, STEP_BATCH);
}

/* the lock alone, before anything is read */
static void load_lock(struct master_job *j)
{
    struct fsop op = {
        .kind = FSOP_LOAD, .flags = FSOP_F_LOAD_BEGIN, .ino = j->ino, .size = j->mark};
    j->is_last = j->is_eof = false;
    master_load_submit_rec(j, &op, STEP_LOCK);
}

/* the listing cannot go on: give back the cursor, then the lock, then end */
static void load_give_up(struct master_job *j, int err)
{
    j->err = err;
    if (j->is_listing) {
        j->is_listing = false;
        master_load_submit_ufs(j, UFS_LIST_END, STEP_CURSOR_END);
        return;
    }
    if (j->load) {
        struct fsop op = {.kind = FSOP_OUTCOME, .arg = j->load, .err = err};
        master_load_submit_rec(j, &op, STEP_ABORT);
        return;
    }
    master_load_job_end(j, err);
}

bool master_load_is_same(const struct fsattr *a, const struct fsent *e)
{
    if (a->fp || e->fp)
        return a->fp == e->fp;
    /* a directory's size means different things here and below */
    bool is_reg = (a->mode & FSOP_S_IFMT) == FSOP_S_IFREG;
    return a->mode == e->mode && (!is_reg || a->size == e->size) && a->mtime_ns == e->mtime_ns &&
           a->ctime_ns == e->ctime_ns;
}

/* nothing is at the path; one of the names on its way may be a link or a file by now */
static bool load_is_gone(const struct master_job *j)
{
    return j->ret == E_NOENT || j->ret == E_NOTDIR || j->ret == E_LOOP;
}

static void load_name_rec(struct master_job *j)
{
    uint8_t buf[LIMIT_PATH + 512];
    struct wbuf w = wbuf_make(buf, sizeof buf);
    fsop_ent_put(&w, &j->ent);
    struct fsop op = {.kind = FSOP_LOAD,
                      .flags = FSOP_F_PART,
                      .ino = j->ino,
                      .size = j->mark,
                      .mtime_ns = (int64_t)j->seen,
                      .data = buf,
                      .data_len = (uint32_t)w.len};
    master_load_submit_rec(j, &op, STEP_LOAD);
}

/* It, or a directory above it, was changed or renamed through us since this look began.  All may be
 * as it was by now, and the mark the same: what the look met may be what was between, or the state
 * after some of several changes within one tick of the under-store's clock.  The next look can
 * tell.  Where nothing has changed it is the news. */
static bool load_is_outrun(const struct master_job *j)
{
    const struct master *m = j->m;
    for (struct ino at = j->ino; at.v; at = meta_parent(m->meta, at))
        if (recent_at(&m->touched, at.v) > j->seen && !MUTANT(LOOK_OUTRUN))
            return true;
    return false;
}

static void load_start(struct master_job *j);

/* What it met may be news from outside all the same.  Where changes above it do not end, or it is
 * itself what changes, whoever asks is told what is known. */
static void load_look_again(struct master_job *j)
{
    struct fsattr a;
    j->m->n.outruns++;
    if (master_load_attr(j->m, j->ino, &a) == 0 && j->outruns++ < MASTER_OUTRUNS_MAX)
        load_start(j);
    else
        master_load_job_end(j, E_CONFLICT);
}

static void load_found_name(struct master_job *j)
{
    struct master *m = j->m;
    if (load_is_gone(j)) {
        int err = meta_path_steady(m->meta, j->ino, j->mark, &j->conflict);
        if (!err && load_is_outrun(j)) {
            load_look_again(j);
            return;
        }
        if (err) { /* its directory may be elsewhere, with the name in it */
            master_load_job_end(j, err);
            return;
        }
        j->is_absent = true;
        master_load_verified_set(
            m, (struct ino){master_load_name_key(j->ino, j->name, j->name_len)}, j->began_ns);
        master_load_job_end(j, 0);
        return;
    }
    if (j->ret < 0) {
        master_load_job_end(j, j->ret);
        return;
    }
    j->ent = j->uop.ent;
    j->ent.name = j->name;
    j->ent.name_len = j->name_len;
    m->n.loads++;
    load_name_rec(j);
}

/* A name that leads nowhere, or to another file than the one that is written: something is just
 * being moved away or put there, or it is gone. */
static void load_found_live(struct master_job *j)
{
    const struct fsent *e = &j->uop.ent;
    bool is_file = j->ret >= 0 && (e->mode & FSOP_S_IFMT) == FSOP_S_IFREG;
    bool is_other = j->ret >= 0 &&
                    (!is_file || (j->attr.ufs_ino && e->ufs_ino && j->attr.ufs_ino != e->ufs_ino));
    int err = j->ret < 0 ? j->ret : 0;
    if (load_is_gone(j) || is_other)
        err = meta_path_steady(j->m->meta, j->ino, j->mark, &j->conflict);
    if (load_is_gone(j))
        err = E_CONFLICT;
    if (!err && is_file)
        j->ent = *e;
    master_load_job_end(j, err);
}

static void load_found(struct master_job *j)
{
    struct master *m = j->m;
    const struct fsent *e = &j->uop.ent;
    bool is_loaded = j->attr.flags & FSATTR_LOADED;
    bool is_dir = (e->mode & FSOP_S_IFMT) == FSOP_S_IFDIR;
    if (j->is_live) {
        load_found_live(j);
        return;
    }
    if (j->ret >= 0)
        j->ent = *e;
    bool is_gone = load_is_gone(j), is_same = !is_gone && master_load_is_same(&j->attr, e);
    if (j->ret < 0 && !is_gone) {
        master_load_job_end(j, j->ret);
    } else if (!is_gone && j->kind == JOB_LIST && is_dir && !(is_loaded && e->fp && is_same)) {
        load_list_start(j);
    } else if (!is_same && load_is_outrun(j)) {
        load_look_again(j);
    } else if (!is_same) {
        load_refresh(j, is_gone ? NULL : e);
    } else {
        master_load_verified_set(m, j->ino, j->began_ns);
        master_load_job_end(j, 0);
    }
}

/* Most directories are left alone while they are read: so one record fewer. */
static void load_again(struct master_job *j)
{
    j->locks_first = true;
    if (j->is_listing) {
        j->is_listing = false;
        master_load_submit_ufs(j, UFS_LIST_END, STEP_CURSOR_END);
    } else {
        load_lock(j);
    }
}

static void load_batched(struct master_job *j)
{
    if (j->ret == E_CONFLICT && !j->conflict && !j->is_begun && !j->locks_first) {
        load_again(j);
        return;
    }
    if (j->ret < 0) {
        /* an unknown end (no longer leading) is the next leader's; a lock that is ours we end */
        load_give_up(j, j->ret);
        return;
    }
    if (!j->is_begun)
        j->load = j->sub.reply.intent;
    j->is_begun = true;
    if (j->sub.reply.value) { /* the same again: see FSOP_F_PART */
        load_batch(j, j->uop.len, j->is_last);
        return;
    }
    master_load_verify(j, j->page, j->uop.len);
    if (j->is_last) {
        master_load_verified_set(j->m, j->ino, j->began_ns);
        master_load_job_end(j, 0);
    } else if (j->is_eof) {
        load_batch(j, 0, true);
    } else {
        load_page(j);
    }
}

/* A file lost the name by which it was compared: its next one is. */
static bool load_is_name_less(const struct master_job *j)
{
    struct fsattr a;
    return (j->attr.mode & FSOP_S_IFMT) != FSOP_S_IFDIR &&
           master_load_attr(j->m, j->ino, &a) == 0 && a.nlink && a.nlink < j->attr.nlink;
}

static void load_step(struct master_job *j)
{
    switch (j->step) {
    case STEP_STAT:
        if (j->kind == JOB_NAME)
            load_found_name(j);
        else
            load_found(j);
        break;
    case STEP_STATFS:
        j->ent.mode = j->ret < 0 ? 0 : 1;
        master_load_job_end(j, 0);
        break;
    case STEP_SYNC:
        /* it may be on its way to another name */
        if (load_is_gone(j) && j->backoff_ns < 400 * MASTER_MS)
            master_load_retry(j, STEP_SYNC_AGAIN);
        else
            master_load_job_end(j, j->ret < 0 ? j->ret : 0);
        break;
    case STEP_SYNC_AGAIN:
        load_start(j);
        break;
    case STEP_REFRESH:
        if (j->ret == 0 && j->sub.reply.value) {
            load_refresh(j, j->ent.mode ? &j->ent : NULL);
            break;
        }
        if (j->ret == 0 && load_is_name_less(j)) {
            load_start(j);
            break;
        }
        if (j->ret == 0)
            master_load_verified_set(j->m, j->ino, j->began_ns);
        master_load_job_end(j, j->ret == E_STALE ? 0 : j->ret);
        break;
    case STEP_PAGE:
        if (j->ret <= 0)
            j->is_listing = false;
        j->is_eof = j->ret == 0;
        if (load_is_gone(j))
            j->ret = E_CONFLICT; /* moved or removed since it was looked at: from the start */
        if (j->ret < 0)
            load_give_up(j, j->ret);
        else
            load_batch(j, (uint32_t)j->ret, j->is_eof && j->is_begun);
        break;
    case STEP_BATCH:
        load_batched(j);
        break;
    case STEP_CURSOR_END:
        if (j->locks_first && !j->is_begun)
            load_lock(j);
        else
            load_give_up(j, j->err);
        break;
    case STEP_LOCK:
        if (j->ret < 0) {
            load_give_up(j, j->ret);
            break;
        }
        j->load = j->sub.reply.intent;
        j->is_begun = true;
        memset(j->uop.impl, 0, sizeof j->uop.impl);
        load_page(j);
        break;
    case STEP_ABORT:
        if (j->ret < 0 && meta_intent_is_open(j->m->meta, j->load))
            master_load_retry(j, STEP_ABORT_AGAIN);
        else
            master_load_job_end(j, j->err);
        break;
    case STEP_ABORT_AGAIN:
        load_give_up(j, j->err);
        break;
    case STEP_LOAD:
        if (j->ret == 0 && j->sub.reply.value) {
            load_name_rec(j);
            break;
        }
        if (j->ret == 0) {
            uint8_t buf[LIMIT_PATH + 512];
            struct wbuf w = wbuf_make(buf, sizeof buf);
            fsop_ent_put(&w, &j->ent);
            master_load_verify(j, buf, (uint32_t)w.len);
            /* if it is not known even so, it is about to be made through us: not there yet */
            j->is_absent = meta_name_is_locked(j->m->meta, j->ino, j->name, j->name_len);
        }
        master_load_job_end(j, j->ret);
        break;
    default:
        ASSERT(!"a step of another kind of job");
    }
}

/* --- asking --- */

static struct master_job *load_find(struct master *m, enum master_job_kind kind, struct ino ino,
                                    const char *name, uint32_t name_len)
{
    list_each(it, &m->job_list) {
        struct master_job *j = list_entry(it, struct master_job, link);
        bool may_share = kind == JOB_LIST || kind == JOB_STATFS ||
                         master_mount_at(m, j->mount)->check_interval_ns > 0;
        if (j->kind == kind && kind != JOB_SYNC && j->ino.v == ino.v && j->name_len == name_len &&
            !j->is_live && j->epoch == m->epoch && may_share &&
            (!name_len || !memcmp(j->name, name, name_len)))
            return j;
    }
    return NULL;
}

static void load_start(struct master_job *j)
{
    struct master *m = j->m;
    int err = master_load_attr(m, j->ino, &j->attr);
    if (!err)
        err = meta_path(m->meta, j->ino, j->path, sizeof j->path, &j->mount);
    j->mark = meta_path_mark(m->meta, j->ino);
    if (!err && !master_mount_at(m, j->mount)->ufs)
        err = E_IO; /* its mount could not be opened; not "this master is unavailable" */
    size_t n = err ? 0 : strlen(j->path);
    if (!err && j->name_len && n + (n > 0) + j->name_len >= sizeof j->path)
        err = E_NAMETOOLONG;
    if (err) {
        master_load_job_end(j, err);
        return;
    }
    m->n.checks++;
    if (j->kind == JOB_STATFS) {
        j->uop.path = "";
        master_load_submit_ufs(j, UFS_STATFS, STEP_STATFS);
        return;
    }
    if (j->kind == JOB_SYNC) {
        j->uop.path = j->path;
        master_load_submit_ufs(j, UFS_SYNC, STEP_SYNC);
        return;
    }
    if (j->kind == JOB_NAME) {
        bool is_reserved = !n && j->name_len == 5 && !memcmp(j->name, ".tarn", 5);
        if (n)
            j->path[n++] = '/';
        memcpy(j->path + n, j->name, j->name_len);
        j->path[n + j->name_len] = 0;
        if (is_reserved) {
            j->is_absent = true;
            master_load_job_end(j, 0);
            return;
        }
    }
    load_stat(j, j->path);
}

bool master_load_wait(struct master *m, enum master_job_kind kind, struct ino ino, const char *name,
                      uint32_t name_len, struct master_req *r)
{
    bool is_live = kind == JOB_CHECK && r->is_live_known;
    struct master_job *j = is_live ? NULL : load_find(m, kind, ino, name, name_len);
    if (name_len > LIMIT_NAME)
        name_len = 0; /* the state machine has refused such a name already */
    if (j) {
        list_push_back(&j->waiters, &r->link);
        return true;
    }
    j = master_load_job_new(m, kind);
    if (!j)
        return false;
    j->ino = ino;
    j->is_live = is_live;
    if (name_len)
        memcpy(j->name, name, name_len);
    j->name_len = name_len;
    list_push_back(&j->waiters, &r->link);
    load_start(j);
    return true;
}

void master_load_name(struct master *m, struct ino dir, const char *name, uint32_t name_len)
{
    struct master_job *j = NULL;
    if (name_len <= LIMIT_NAME && !load_find(m, JOB_NAME, dir, name, name_len))
        j = master_load_job_new(m, JOB_NAME);
    if (!j)
        return;
    j->ino = dir;
    memcpy(j->name, name, name_len);
    j->name_len = name_len;
    load_start(j);
}

void master_load_reset(struct master *m)
{
    memset(m->verified, 0, sizeof *m->verified * m->n_verified);
    m->verified_after_ns = INT64_MIN + 1;
    memset(m->appends, 0, sizeof m->appends);
}

void master_load_free(struct master *m)
{
    mem_free(m->mem, m->spare_page[0], LIMIT_BATCH);
    mem_free(m->mem, m->spare_page[1], MASTER_LOOK_BYTES);
}

int master_load_init(struct master *m)
{
    uint64_t want = m->cfg.limits.inodes_max / 4;
    uint32_t n = 1024;
    while (n < want && n < 1u << 20)
        n *= 2;
    m->n_verified = n;
    m->verified = master_keep(m, sizeof *m->verified * n);
    if (!m->verified)
        return E_NOMEM;
    uint32_t jobs = m->cfg.requests_max / 32;
    jobs = jobs < 8 ? 8 : jobs > 128 ? 128 : jobs;
    int err = pool_init(&m->jobs, m->mem, sizeof(struct master_job), jobs);
    if (!err) {
        m->owned[m->n_owned].p = m->jobs.base;
        m->owned[m->n_owned++].n = (size_t)m->jobs.object_size * m->jobs.count;
    }
    return err;
}
