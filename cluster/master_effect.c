/* cluster/master_effect.c - what is owed to the under-store: intents, and the bytes of orphans.
 *
 * INVARIANTS
 *  1. Every open intent is brought to an outcome by the leading master, whether or not anybody
 *     still waits for the answer.  intent_cursor passes over open intents in id order; a job exists
 *     for each it has passed (a LOAD's is its listing).
 *  2. An intent of an earlier leadership is performed with UFS_F_RESUME: it may have been done.
 *  3. Leadership is checked right before an effect is submitted, and an effect that would begin
 *     when another may lead already does not; it is idempotent, so what remains (a hand-over while
 *     it is under way) does no harm.  Of one intent this master has one effect under way at most:
 *     what an earlier leadership of its own began, and what still hangs, is waited for.
 *  4. A parent's new attributes are recorded only if what was known of it was true just before the
 *     effect: else a change made behind our back would be taken for ours and never be listed.  What
 *     remains is a change between the look before and the look after: it shows when the directory
 *     changes again below, when its name is asked for, or by a refresh.
 *  5. An orphan's bytes go before its record: a crash between leaves an orphan whose bytes are
 *     gone, and reclaiming it again succeeds.
 *
 *  6. An outcome says what is true below.  An error that leaves that open (a time-out, an
 *     under-store that cannot be reached) is no outcome: the effect is repeated with UFS_F_RESUME
 *     until the under-store tells, and the names stay locked so long.  After any other error what
 *     the effect concerned is compared at the next question, in case a part of it was done.
 *
 *  7. An outcome that the journal does not take is kept by its job and given again: what was done
 *     below is not done twice for it.
 *
 *  8. An exchange is only tried after a record says what the under-store calls the two, and only
 *     with those two: that tells a repetition whether it was done.
 *
 *  9. A file to whose end bytes may be on their way is truncated when those who write it have said
 *     that they are there, or come no more (master_append.c).
 *
 * 10. A file that loses one of several names gets another fingerprint below, though its contents
 *     are what they were.  An effect that does not say which (a repetition finds nothing to take
 *     away; some under-stores never do) is followed by a look at another of its names (LEFT): else
 *     the next comparison would take it for changed, and raise its version.
 *
 *   EFFECT:  [BEFORE] -> [BEFORE2] -> [NOTE -> NOTE2 -> NOTED] -> EFFECT -> [LEFT]
 *                                                                 |   ^       |
 *                                                                 v   |       v
 *                                                                 AGAIN    [AFTER]
 *                                                                             |
 *                                                                             v
 *                                       OUTCOME_AGAIN <-> OUTCOME <-------- [AFTER2]
 *                                                            |
 *                                                            v
 *                                                           end
 *   of a truncation: [PLACES] -> EFFECT
 *   RECLAIM: UNLINK -> RECLAIM -> end */
#include "cluster/master_impl.h"
#include "core/fmt.h"
#include "core/mutant.h"

static void effect_perform(struct master_job *j);

static bool effect_has_job(struct master *m, uint64_t intent)
{
    list_each(it, &m->job_list) {
        const struct master_job *j = list_entry(it, struct master_job, link);
        if (j->kind == JOB_EFFECT ? j->intent.id == intent
                                  : j->load == intent && j->epoch == m->epoch)
            return true;
    }
    return false;
}

static bool effect_cuts(const struct master_job *j)
{
    return j->kind == JOB_EFFECT && j->intent.valid & FSOP_SET_SIZE &&
           (j->intent.kind == FSOP_SETATTR || j->intent.kind == FSOP_WRITE_OPEN);
}

uint64_t master_effect_cutting(struct master *m, struct ino ino)
{
    list_each(it, &m->job_list) {
        const struct master_job *j = list_entry(it, struct master_job, link);
        if (effect_cuts(j) && j->intent.ino.v == ino.v &&
            meta_intent_is_open(m->meta, j->intent.id))
            return j->intent.id;
    }
    return 0;
}

struct ino master_effect_cut_by(struct master *m, uint64_t intent)
{
    list_each(it, &m->job_list) {
        const struct master_job *j = list_entry(it, struct master_job, link);
        if (effect_cuts(j) && j->intent.id == intent)
            return j->intent.ino;
    }
    return (struct ino){0};
}

void master_effect_ended(const struct master_job *j)
{
    struct master *m = j->m;
    if (j->kind == JOB_EFFECT && j->epoch != m->epoch && m->intent_cursor >= j->intent.id)
        m->intent_cursor = j->intent.id - 1; /* passed over, because this was under way */
}

/* --- outcome --- */

static bool effect_is_exchange(const struct meta_intent *i)
{
    return i->kind == FSOP_RENAME && (i->flags & FSOP_F_EXCHANGE);
}

static void effect_outcome(struct master_job *j, int err)
{
    static const struct fsent none;
    j->err = err;
    uint8_t buf[LIMIT_PATH + 1024];
    struct wbuf w = wbuf_make(buf, sizeof buf);
    if (!err) {
        fsop_ent_put(&w, &j->ent);
        fsop_ent_put(&w, j->adopt ? &j->ent_parent : &none);
        fsop_ent_put(&w, j->adopt2 ? &j->ent_parent2 : &none);
        if (j->intent.kind == FSOP_RENAME)
            fsop_ent_put(&w, &j->ent_other);
    }
    struct fsop op = {.kind = FSOP_OUTCOME,
                      .arg = j->intent.id,
                      .err = err,
                      .data = buf,
                      .data_len = (uint32_t)w.len};
    master_load_submit_rec(j, &op, STEP_OUTCOME);
}

/* --- the effect --- */

static bool effect_touches_parent(uint16_t kind)
{
    return kind != FSOP_SETATTR && kind != FSOP_WRITE_OPEN;
}

static void effect_stat(struct master_job *j, const char *path, enum master_job_step step)
{
    j->uop.path = path;
    j->uop.path2 = j->uop.hidden = "";
    j->uop.flags = 0;
    j->uop.buf = j->target;
    j->uop.len = sizeof j->target;
    master_load_submit_ufs(j, UFS_STAT, step);
}

static bool effect_stat_parent(struct master_job *j, struct ino parent, char *path,
                               enum master_job_step step)
{
    struct master *m = j->m;
    uint16_t mount;
    if (master_load_attr(m, parent, &j->attr) != 0 || !j->attr.fp ||
        meta_path(m->meta, parent, path, LIMIT_BELOW, &mount) != 0 || mount != j->mount)
        return false;
    effect_stat(j, path, step);
    return true;
}

static enum ufs_kind effect_kind(const struct meta_intent *i)
{
    switch (i->kind) {
    case FSOP_MKNOD:
        return UFS_CREATE;
    case FSOP_MKDIR:
        return UFS_MKDIR;
    case FSOP_SYMLINK:
        return UFS_SYMLINK;
    case FSOP_LINK:
        return UFS_LINK;
    case FSOP_UNLINK:
        return UFS_UNLINK;
    case FSOP_RMDIR:
        return UFS_RMDIR;
    case FSOP_RENAME:
        return UFS_RENAME;
    default:
        return UFS_SETATTR;
    }
}

static void effect_times(struct ufs_op *u, const struct meta_intent *i)
{
    if (u->valid & FSOP_SET_ATIME_NOW)
        u->atime_ns = i->time_ns;
    if (u->valid & FSOP_SET_MTIME_NOW)
        u->mtime_ns = i->time_ns;
    if (u->valid & FSOP_SET_ATIME_NOW)
        u->valid |= FSOP_SET_ATIME;
    if (u->valid & FSOP_SET_MTIME_NOW)
        u->valid |= FSOP_SET_MTIME;
    u->valid &= ~(uint32_t)(FSOP_SET_ATIME_NOW | FSOP_SET_MTIME_NOW);
}

static void effect_note_submit(struct master_job *j)
{
    struct fsop op = {.kind = FSOP_NOTE,
                      .arg = j->intent.id,
                      .size = j->intent.below,
                      .mtime_ns = (int64_t)j->intent.below2};
    if (!j->intent.below || !j->intent.below2) /* it has no names of its own for things */
        effect_outcome(j, E_NOTSUP);
    else if (MUTANT(NOTE_NOT_KEPT))
        effect_perform(j);
    else
        master_load_submit_rec(j, &op, STEP_NOTED);
}

/* what the under-store calls the file that is to be kept: another one under its hidden name is of a
 * history that was lost */
static uint64_t effect_kept(const struct master_job *j)
{
    const struct meta_intent *i = &j->intent;
    struct fsattr a;
    struct ino lost = i->kind == FSOP_RENAME ? i->replaced : i->ino;
    return i->hidden[0] && master_load_attr(j->m, lost, &a) == 0 ? a.ufs_ino : 0;
}

static void effect_perform(struct master_job *j)
{
    struct ufs_op *u = &j->uop;
    const struct meta_intent *i = &j->intent;
    bool is_known =
        i->kind == FSOP_SETATTR || i->kind == FSOP_WRITE_OPEN || effect_kind(i) != UFS_SETATTR;
    if (!is_known) {
        effect_outcome(j, E_NOTSUP);
        return;
    }
    if (effect_is_exchange(i) && !i->below2) {
        effect_stat(j, i->path, STEP_NOTE);
        return;
    }
    u->flags = j->is_resumed && !MUTANT(EFFECT_NOT_RESUMED) ? UFS_F_RESUME : 0;
    u->flags |= effect_is_exchange(i) ? UFS_F_EXCHANGE : 0;
    u->expect_ino = i->below;
    u->expect_ino2 = i->below2;
    if (i->kind == FSOP_UNLINK)
        u->expect_ino = effect_kept(j);
    else if (i->kind == FSOP_RENAME && !effect_is_exchange(i))
        u->expect_ino2 = effect_kept(j);
    u->path = i->path;
    u->path2 = i->kind == FSOP_SYMLINK ? i->target : i->path2;
    u->hidden = i->hidden;
    u->buf = j->target;
    u->len = sizeof j->target;
    u->mode = i->mode;
    u->uid = i->uid;
    u->gid = i->gid;
    u->rdev = i->rdev;
    u->valid = i->valid;
    u->size = i->size;
    u->atime_ns = i->atime_ns;
    u->mtime_ns = i->mtime_ns;
    u->expect_fp = i->fp;
    u->ent = u->ent2 = (struct fsent){0};
    effect_times(u, i);
    j->m->n.effects++;
    if (MUTANT(RENAME_TWO_STEPS) && i->replaced.v && !j->is_resumed && !effect_is_exchange(i)) {
        u->path = i->path2;
        master_load_submit_ufs(j, UFS_UNLINK, STEP_AGAIN);
        return;
    }
    master_load_submit_ufs(j, effect_kind(i), STEP_EFFECT);
}

static bool effect_two_parents(const struct meta_intent *i)
{
    return i->parent2.v && i->parent2.v != i->parent.v;
}

static void effect_before2(struct master_job *j)
{
    if (!effect_two_parents(&j->intent) ||
        !effect_stat_parent(j, j->intent.parent2, j->path2, STEP_BEFORE2))
        effect_perform(j);
}

static void effect_after2(struct master_job *j)
{
    if (!j->adopt2 || !effect_stat_parent(j, j->intent.parent2, j->path2, STEP_AFTER2))
        effect_outcome(j, 0);
}

static void effect_after(struct master_job *j)
{
    bool has_ent = j->intent.kind != FSOP_UNLINK && j->intent.kind != FSOP_RMDIR;
    if (j->intent.kind != FSOP_RMDIR) {
        j->ent = j->uop.ent;
        j->ent_other = j->uop.ent2;
    }
    if (has_ent) {
        /* of an old directory the names may have changed since they were compared */
        if ((j->ent.mode & FSOP_S_IFMT) != FSOP_S_IFDIR || j->intent.kind == FSOP_MKDIR)
            master_load_verified_set(j->m, j->intent.ino, env_now_ns(j->m->env));
        if (effect_is_exchange(&j->intent) && (j->ent_other.mode & FSOP_S_IFMT) != FSOP_S_IFDIR)
            master_load_verified_set(j->m, j->intent.replaced, env_now_ns(j->m->env));
    }
    j->ent_other.name = j->ent_other.target = NULL;
    j->ent_other.name_len = j->ent_other.target_len = 0;
    j->ent.name = NULL;
    j->ent.name_len = 0;
    if (j->intent.kind == FSOP_SYMLINK) {
        j->ent.target = j->intent.target;
        j->ent.target_len = (uint32_t)strlen(j->intent.target);
    } else {
        j->ent.target = NULL;
        j->ent.target_len = 0;
    }
    if (!j->adopt || !effect_stat_parent(j, j->intent.parent, j->path, STEP_AFTER))
        effect_after2(j);
}

static bool effect_replaces(const struct meta_intent *i)
{
    return i->kind == FSOP_RENAME && i->replaced.v && !effect_is_exchange(i);
}

/* false: nothing has lost a name and goes on under another, or the effect said what became of it */
static bool effect_look_left(struct master_job *j)
{
    const struct meta_intent *i = &j->intent;
    bool is_over = effect_replaces(i);
    const struct fsent *said = is_over ? &j->uop.ent2 : &j->uop.ent;
    struct ino lost = is_over ? i->replaced : i->ino;
    if ((i->kind != FSOP_UNLINK && !is_over) || said->mode ||
        master_load_attr(j->m, lost, &j->attr) || (j->attr.mode & FSOP_S_IFMT) != FSOP_S_IFREG ||
        meta_path_other(j->m->meta, lost, is_over ? i->path2 : i->path, j->path, LIMIT_BELOW))
        return false;
    j->ent = j->uop.ent;
    effect_stat(j, j->path, STEP_LEFT);
    return true;
}

static void effect_left(struct master_job *j)
{
    struct fsent left = j->ret < 0 ? (struct fsent){0} : j->uop.ent;
    bool is_over = effect_replaces(&j->intent);
    j->uop.ent = is_over ? j->ent : left;
    j->uop.ent2 = is_over ? left : (struct fsent){0};
    effect_after(j);
}

static void effect_start(struct master_job *j)
{
    struct meta_intent *i = &j->intent;
    j->mount = i->mount;
    if (!i->parent.v) { /* LINK: only the new name's directory changes */
        i->parent = i->parent2;
        i->parent2.v = 0;
    }
    if (i->kind == FSOP_LOAD) {
        effect_outcome(j, E_CANCELLED);
        return;
    }
    j->is_resumed = i->id <= j->m->intent_resume;
    if (!j->is_resumed && !master_mount_at(j->m, j->mount)->ufs)
        effect_outcome(j, E_IO); /* surely nothing was done */
    else if (effect_cuts(j) && !master_append_wait(j))
        return;
    else if (j->is_resumed || !effect_touches_parent(i->kind))
        effect_perform(j);
    else if (!effect_stat_parent(j, i->parent, j->path, STEP_BEFORE))
        effect_before2(j);
}

static void effect_failed(struct master_job *j)
{
    const struct meta_intent *i = &j->intent;
    if (j->ret == E_CHANGED) /* another thing is behind that name: look again */
        j->ret = E_STALE;
    if (err_is_retry(j->ret)) {
        master_load_retry(j, STEP_AGAIN);
        return;
    }
    if (j->ret == E_EXIST && i->hidden[0])
        fmt_log(j->m->env, ENV_LOG_WARN,
                "\"%s\" is not replaced: in the under-store another file has the name %s", i->path2,
                i->hidden);
    master_load_doubt(j->m, i->ino);
    if (effect_is_exchange(i))
        master_load_doubt(j->m, i->replaced);
    master_load_doubt(j->m, i->parent);
    master_load_doubt(j->m, i->parent2);
    effect_outcome(j, j->ret);
}

static bool effect_found(struct master_job *j, struct fsent *ret_ent)
{
    *ret_ent = j->uop.ent;
    ret_ent->name = ret_ent->target = NULL;
    ret_ent->name_len = ret_ent->target_len = 0;
    return j->ret >= 0;
}

void master_effect_step(struct master_job *j)
{
    struct master *m = j->m;
    switch (j->step) {
    case STEP_BEFORE:
        j->adopt = j->ret >= 0 && j->uop.ent.fp == j->attr.fp;
        effect_before2(j);
        break;
    case STEP_BEFORE2:
        j->adopt2 = j->ret >= 0 && j->uop.ent.fp == j->attr.fp;
        effect_perform(j);
        break;
    case STEP_NOTE:
    case STEP_NOTE2:
        if (j->ret < 0) {
            effect_failed(j);
        } else if (j->step == STEP_NOTE) {
            j->intent.below = j->uop.ent.ufs_ino;
            effect_stat(j, j->intent.path2, STEP_NOTE2);
        } else {
            j->intent.below2 = j->uop.ent.ufs_ino;
            effect_note_submit(j);
        }
        break;
    case STEP_NOTED:
        if (j->ret == 0)
            effect_perform(j);
        else if (meta_intent_get(m->meta, j->intent.id, &j->intent) == 0)
            master_load_retry(j, STEP_AGAIN);
        else
            master_load_job_end(j, 0);
        break;
    case STEP_PLACES:
        if (master_append_wait(j))
            effect_perform(j);
        break;
    case STEP_EFFECT:
        if (j->ret < 0)
            effect_failed(j);
        else if (!effect_look_left(j))
            effect_after(j);
        break;
    case STEP_LEFT:
        effect_left(j);
        break;
    case STEP_AGAIN:
        j->is_resumed = true;
        effect_perform(j);
        break;
    case STEP_AFTER:
        j->adopt = effect_found(j, &j->ent_parent);
        effect_after2(j);
        break;
    case STEP_AFTER2:
        j->adopt2 = effect_found(j, &j->ent_parent2);
        effect_outcome(j, 0);
        break;
    case STEP_OUTCOME:
        if (j->ret < 0 && meta_intent_is_open(m->meta, j->intent.id))
            master_load_retry(j, STEP_OUTCOME_AGAIN);
        else
            master_load_job_end(j, 0);
        break;
    case STEP_OUTCOME_AGAIN:
        effect_outcome(j, j->err);
        break;
    case STEP_UNLINK:
        if (j->ret < 0 && j->ret != E_NOENT) {
            master_load_job_end(j, j->ret);
        } else {
            struct fsop op = {.kind = FSOP_RECLAIM, .ino = j->ino};
            master_load_submit_rec(j, &op, STEP_RECLAIM);
        }
        break;
    case STEP_RECLAIM:
        m->n.reclaimed += j->ret == 0;
        master_load_job_end(j, j->ret);
        break;
    default:
        ASSERT(!"a step of another kind of job");
    }
}

void master_effect_kick(struct master *m)
{
    if (!m->is_leading || m->mounting < m->cfg.n_mounts)
        return;
    while (meta_intent_next(m->meta, m->intent_cursor, &m->scratch) == 0) {
        uint64_t id = m->scratch.id;
        bool is_listing = m->scratch.kind == FSOP_LOAD && id > m->intent_resume;
        if (!is_listing && !effect_has_job(m, id)) {
            struct master_job *j = master_load_job_new(m, JOB_EFFECT);
            if (!j)
                return;
            meta_intent_copy(&j->intent, &m->scratch);
            m->n.resumed += id <= m->intent_resume;
            m->intent_cursor = id;
            effect_start(j);
        }
        m->intent_cursor = base_max_u64(m->intent_cursor, id);
    }
}

bool master_effect_reclaim(struct master *m, struct ino orphan)
{
    struct master_job *j = master_load_job_new(m, JOB_RECLAIM);
    if (!j)
        return false;
    j->ino = orphan;
    if (meta_path(m->meta, orphan, j->path, sizeof j->path, &j->mount) != 0) {
        master_load_job_end(j, E_STALE);
        return true;
    }
    j->uop.path = j->path;
    j->uop.path2 = j->uop.hidden = "";
    j->uop.flags = UFS_F_RESUME;
    const struct master_ufs *u = master_mount_at(m, j->mount);
    if (!u->ufs && u->mode != FSOP_MOUNT_THROUGH) {
        struct fsop op = {.kind = FSOP_RECLAIM, .ino = orphan};
        master_load_submit_rec(j, &op, STEP_RECLAIM);
        return true;
    }
    master_load_submit_ufs(j, UFS_UNLINK, STEP_UNLINK);
    return true;
}
