/* cluster/master_names.c - the entries of one READDIR, looked at below in one piece of work.
 *
 * NAMES answers who wants nothing but names (find, a plain ls) of a directory that is not loaded
 * from the under-store's own listing, past the tree: no inode is read below, nothing is journaled,
 * nothing is remembered here, whatever the size of the directory.  LOOK compares all entries that
 * an answer is about to show, where that is due, so that the answer has a lease and its reader does
 * not come back for each of them.
 *
 * INVARIANTS
 *  1. A listing that began with NAMES goes on with NAMES: its cookies say so (FSOP_COOKIE_BELOW),
 *     also when the directory has been loaded meanwhile.  What it shows has no lease.
 *  2. What is in the under-store is what the cluster has acknowledged, and at most what it is about
 *     to acknowledge; only mount points are not there, so their parents are not listed this way.
 *  3. LOOK journals only what differs.
 *  4. What is due soon is looked at as well: an answer whose lease ends while its reader still goes
 *     through it makes him come back for each entry (and the kernel list names only from then on).
 *  5. What did not fit into one look or one record is not taken for compared: it comes next.
 *
 *  6. What differed and is still as it was known, though nobody has changed it, is looked at again.
 *
 *   NAMES: NAMES -> end
 *   LOOK:  LOOK -> [LOOKED] -> end, or LOOK at the rest */
#include "cluster/master_impl.h"

/* --- NAMES --- */

static bool names_is_above_mount(struct master *m, struct ino dir)
{
    for (unsigned i = 1; i <= LIMIT_MOUNTS; i++) {
        struct fsop op = {.kind = FSOP_LOOKUP, .ino = m->ufs[i].root, .name = "..", .name_len = 2};
        struct fsop_reply rep;
        if (!m->ufs[i].root.v || m->ufs[i].root.v == dir.v)
            continue;
        meta_query(m->meta, &op, m->rec, JOURNAL_RECORD_MAX, &rep);
        if (!rep.err && rep.attr.ino.v == dir.v)
            return true;
    }
    return false;
}

bool master_names_may(struct master *m, const struct master_req *r)
{
    struct fsattr a;
    const struct fsop *op = &r->op;
    if (op->kind != FSOP_READDIR || r->loads || master_load_attr(m, op->ino, &a) != 0 ||
        !master_mount_at(m, a.mount)->ufs)
        return false;
    return op->arg & FSOP_COOKIE_BELOW ||
           (op->mode && !op->arg && !names_is_above_mount(m, op->ino));
}

bool master_names_wait(struct master *m, struct master_req *r)
{
    struct master_job *j = master_load_job_new(m, JOB_NAMES);
    if (!j)
        return false;
    list_push_back(&j->waiters, &r->link);
    j->ino = r->op.ino;
    int err = meta_path(m->meta, j->ino, j->path, sizeof j->path, &j->mount);
    if (!err && !master_load_page_new(j, LIMIT_BATCH))
        err = E_AGAIN;
    if (err) {
        master_load_job_end(j, err);
        return true;
    }
    j->mark = meta_path_mark(m->meta, j->ino);
    j->uop.path = j->path;
    j->uop.off = r->op.arg;
    j->uop.buf = j->page;
    j->uop.len = (uint32_t)base_min_u64(r->op.size ? r->op.size : LIMIT_BATCH, LIMIT_BATCH);
    m->n.names++;
    master_load_submit_ufs(j, UFS_NAMES, STEP_NAMES);
    return true;
}

static void names_found(struct master_job *j)
{
    struct master_req *r =
        list_empty(&j->waiters) ? NULL : list_entry(j->waiters.next, struct master_req, link);
    if (j->ret >= 0 && meta_path_steady(j->m->meta, j->ino, j->mark, &j->conflict))
        j->ret = E_CONFLICT; /* it may be the listing of another directory */
    if (j->ret >= 0 && r) {  /* not given up meanwhile */
        mem_free(j->m->mem, r->page, r->page ? LIMIT_BATCH : 0);
        r->page = j->page;
        r->page_len = (uint32_t)j->ret;
        r->page_is_end = j->uop.is_end;
        j->page = NULL;
        j->page_bytes = 0;
    }
    master_load_job_end(j, j->ret < 0 ? j->ret : 0);
}

/* --- LOOK --- */

enum { NAMES_SOON = 3 }; /* eighths of the check interval */

/* The page: names to look at, what was found of them, what of that differs. */
enum { LOOK_FOUND = LIMIT_BATCH, LOOK_DIFFERS = MASTER_LOOK_BYTES - LIMIT_BATCH };

static void names_look(struct master_job *j)
{
    j->seen = meta_applied(j->m->meta);
    j->uop.path = j->path;
    j->uop.buf = j->page + LOOK_FOUND;
    j->uop.len = LOOK_DIFFERS - LOOK_FOUND;
    j->m->n.looks++;
    master_load_submit_ufs(j, UFS_LOOK, STEP_LOOK);
}

/* an entry of a listing that shows what may have changed below */
static bool names_is_due(const struct master *m, const struct fsattr *dir, const struct fsattr *a)
{
    return a->mount == dir->mount && !(a->flags & FSATTR_LIVE) &&
           master_load_is_due_in(m, a, NAMES_SOON);
}

int64_t master_names_verified_ns(const struct master *m, const struct master_req *r,
                                 const struct fsop_reply *rep)
{
    struct rbuf b = rbuf_make(rep->data, rep->data_len);
    struct fsop_dirent d;
    int64_t oldest = master_load_verified_ns(m, r->op.ino);
    if (r->is_looked && r->looked_ns > oldest)
        oldest = r->looked_ns;
    while (rbuf_left(&b) && fsop_dirent_get(&b, &d) == 0) {
        int64_t at = master_load_verified_ns(m, d.attr.ino);
        if (d.attr.mount != rep->attr.mount || (d.attr.flags & FSATTR_LIVE))
            continue; /* these are looked at, or given without a lifetime, each time */
        if (r->is_looked && at < r->looked_ns)
            at = r->looked_ns; /* the table of comparisons may have forgotten it again */
        oldest = at < oldest ? at : oldest;
    }
    return oldest;
}

bool master_names_look(struct master *m, struct master_req *r, const struct fsop_reply *rep,
                       bool *ret_free)
{
    struct rbuf b = rbuf_make(rep->data, rep->data_len);
    struct fsop_dirent d;
    bool is_due = master_load_is_due_in(m, &rep->attr, NAMES_SOON);
    *ret_free = true;
    while (!is_due && rbuf_left(&b) && fsop_dirent_get(&b, &d) == 0)
        is_due = names_is_due(m, &rep->attr, &d.attr);
    if (!is_due)
        return false;
    /* The page first: a job that ends lets others try, which have no page either, and so on for
     * ever. */
    uint8_t *page = master_load_page_take(m, MASTER_LOOK_BYTES);
    struct master_job *j = page ? master_load_job_new(m, JOB_LOOK) : NULL;
    if (!j) {
        master_load_page_put(m, page, MASTER_LOOK_BYTES);
        *ret_free = false;
        return true;
    }
    j->page = page;
    j->page_bytes = MASTER_LOOK_BYTES;
    struct wbuf w = wbuf_make(j->page, LIMIT_BATCH);
    b = rbuf_make(rep->data, rep->data_len);
    while (rbuf_left(&b) && fsop_dirent_get(&b, &d) == 0)
        if (names_is_due(m, &rep->attr, &d.attr))
            wbuf_str16(&w, d.name, d.name_len);
    j->ino = r->op.ino;
    j->attr = rep->attr;
    j->mark = meta_path_mark(m->meta, j->ino);
    r->looked_ns = j->began_ns;
    list_push_back(&j->waiters, &r->link);
    int err = meta_path(m->meta, j->ino, j->path, sizeof j->path, &j->mount);
    if (err) {
        master_load_job_end(j, err);
        return true;
    }
    j->uop.names = j->page;
    j->uop.names_len = (uint32_t)w.len;
    names_look(j);
    return true;
}

/* What differs goes to the end of the page; returns its bytes, and what it has dealt with is taken
 * from the names. */
static uint32_t names_differences(struct master_job *j)
{
    struct master *m = j->m;
    struct rbuf b = rbuf_make(j->uop.buf, (uint32_t)j->ret);
    struct wbuf w = wbuf_make(j->page + LOOK_DIFFERS, LIMIT_BATCH);
    struct rbuf names = rbuf_make(j->uop.names, j->uop.names_len);
    size_t n;
    struct fsent e;
    while (rbuf_left(&b) && fsop_ent_get(&b, &e) == 0) {
        struct fsop op = {
            .kind = FSOP_LOOKUP, .ino = j->ino, .name = e.name, .name_len = e.name_len};
        struct fsop_reply rep;
        meta_query(m->meta, &op, m->rec, JOURNAL_RECORD_MAX, &rep);
        size_t before = w.len;
        if (rep.err ? !e.mode : master_load_is_same(&rep.attr, &e)) {
            if (!rep.err)
                master_load_verified_set(m, rep.attr.ino, j->began_ns);
        } else {
            fsop_ent_put(&w, &e);
        }
        if (w.bad) {
            w.len = before;
            break;
        }
        (void)rbuf_str16(&names, &n);
    }
    j->uop.names += names.pos;
    j->uop.names_len -= (uint32_t)names.pos;
    return (uint32_t)w.len;
}

/* It differs still, and was not changed since it was looked at, nor is it being changed: another
 * inode was that shares its place (inode_is_newer() in core/), or it was given up. */
static bool names_is_left_out(struct master *m, const struct master_job *j, const struct fsent *e)
{
    struct fsop op = {.kind = FSOP_LOOKUP, .ino = j->ino, .name = e->name, .name_len = e->name_len};
    struct fsop_reply rep;
    uint64_t intent;
    meta_query(m->meta, &op, m->rec, JOURNAL_RECORD_MAX, &rep);
    struct ino ino = rep.attr.ino;
    return !rep.err && !(rep.attr.flags & FSATTR_LIVE) && !master_load_is_same(&rep.attr, e) &&
           recent_at(&m->touched, ino.v) <= j->seen &&
           !meta_path_steady(m->meta, ino, meta_path_mark(m->meta, ino), &intent);
}

/* Those of the differences that the record has left out are asked for once more, before the rest:
 * in the page there is room for them where they were taken from.  false: too often. */
static bool names_again(struct master_job *j)
{
    uint32_t taken = (uint32_t)((const uint8_t *)j->uop.names - j->page);
    struct rbuf b = rbuf_make(j->page + LOOK_DIFFERS, j->uop.len);
    struct wbuf w = wbuf_make(j->page, taken);
    struct fsent e;
    while (rbuf_left(&b) && fsop_ent_get(&b, &e) == 0)
        if (names_is_left_out(j->m, j, &e))
            wbuf_str16(&w, e.name, e.name_len);
    if (!w.len)
        return true;
    ASSERT(!w.bad);
    memmove(j->page + taken - w.len, j->page, w.len);
    j->uop.names -= w.len;
    j->uop.names_len += (uint32_t)w.len;
    j->m->n.outruns++;
    return j->outruns++ < MASTER_OUTRUNS_MAX;
}

static void names_end(struct master_job *j, bool is_looked)
{
    if (!list_empty(&j->waiters))
        list_entry(j->waiters.next, struct master_req, link)->is_looked = is_looked;
    master_load_job_end(j, 0); /* what could not be compared is shown without a lease */
}

/* so far all was compared, or not */
static void names_go_on(struct master_job *j, bool is_good)
{
    if (is_good && j->uop.names_len)
        names_look(j);
    else
        names_end(j, is_good);
}

static void names_rec(struct master_job *j)
{
    struct fsop op = {.kind = FSOP_LOAD,
                      .flags = FSOP_F_PART,
                      .ino = j->ino,
                      .size = j->mark,
                      .mtime_ns = (int64_t)j->seen,
                      .data = j->page + LOOK_DIFFERS,
                      .data_len = j->uop.len};
    j->m->n.refreshes++;
    master_load_submit_rec(j, &op, STEP_LOOKED);
}

static void names_looked(struct master_job *j)
{
    if (j->ret < 0) {
        names_end(j, false);
        return;
    }
    if (j->attr.fp && j->uop.ent.fp == j->attr.fp)
        master_load_verified_set(j->m, j->ino, j->began_ns);
    uint32_t left = j->uop.names_len;
    j->uop.len = names_differences(j);
    if (!j->uop.len) {
        names_go_on(j, j->uop.names_len < left || !left);
        return;
    }
    names_rec(j);
}

void master_names_step(struct master_job *j)
{
    switch (j->step) {
    case STEP_NAMES:
        names_found(j);
        break;
    case STEP_LOOK:
        names_looked(j);
        break;
    case STEP_LOOKED:
        if (j->ret == 0 && j->sub.reply.value) {
            names_rec(j);
            break;
        }
        if (j->ret == 0)
            master_load_verify(j, j->page + LOOK_DIFFERS, j->uop.len);
        names_go_on(j, j->ret == 0 && names_again(j));
        break;
    default:
        ASSERT(!"a step of another kind of job");
    }
}
