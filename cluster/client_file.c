/* cluster/client_file.c - open files.
 *
 * An inode that is open has one cfile, shared by its handles; a handle has the version it is pinned
 * to.  The session is a writer of a file once, however many handles write:
 *
 *     NONE --first writer--> OPENING --WRITE_OPEN--> OPEN --last writer's release--> CLOSING -->
 * NONE
 *
 * A file that is created to be written (FSOP_F_OPEN) is OPEN at once; unless it was opened and
 * closed by its name before the answer came, and the session is not its writer any more: then that
 * handle goes the usual way.
 *
 * Everything a cfile asks of the master on its own (refresh of layout and version, WRITE_OPEN under
 * a new session, WRITE_CLOSE) goes through its one request, in the order owed.
 *
 * INVARIANTS
 *  1. While `writers` > 0 the file is LIVE here: reads and writes pass the caches.
 *  2. A WRITE_OPEN or WRITE_CLOSE is repeated under its number until it is answered or the session
 *     ends, also when its caller has given up, and a WRITE_OPEN without a caller is followed by a
 *     WRITE_CLOSE: the cluster never believes for ever that we write, and no late one of either
 *     meets what came after it.
 *  3. A handle that saw LIVE contents has no version of its own: it is pinned anew when the writers
 *     are gone.
 *  4. A file of whose creation with FSOP_F_OPEN nothing is known is asked for until the answer is
 *     here or the session ends (client_fs.c), and closed.
 *  5. Nothing is read of a version whose fingerprint is too young to be trusted: it could not be
 *     told from the next one.  The first read asks again when it is older, and takes the version
 *     that there is then.  A file that is changed from outside without a pause of CFILE_YOUNG_NS
 *     for CFILE_YOUNG_MOST_NS is read as it comes.
 *  6. A cfile dies when it has no handle, owes nothing and nobody waits for it. */
#include "cluster/client_impl.h"
#include "core/mutant.h"

static const int64_t CFILE_LIVE_NS = 1000 * CLIENT_MS;
static const int64_t CFILE_YOUNG_NS = 21 * CLIENT_MS; /* more than every clock's granularity */
static const int64_t CFILE_YOUNG_MOST_NS = 500 * CLIENT_MS;
static const int64_t CFILE_REFRESH_NS = 3000 * CLIENT_MS;
static const int64_t CFILE_CLOSE_NS = 24 * 3600 * 1000 * CLIENT_MS; /* the session ends before */

static void cfile_next(struct cfile *cf);
static void release_try(struct client_file *f);

static struct list *file_bucket(const struct client *c, struct ino ino)
{
    return (struct list *)&c->files[base_mix_u64(ino.v) % CLIENT_FILE_BUCKETS];
}

struct cfile *client_file_find(const struct client *c, struct ino ino)
{
    list_each(it, file_bucket(c, ino)) {
        struct cfile *cf = list_entry(it, struct cfile, link);
        if (cf->ino.v == ino.v)
            return cf;
    }
    return NULL;
}

static struct cfile *cfile_get(struct client *c, struct ino ino)
{
    struct cfile *cf = client_file_find(c, ino);
    if (cf)
        return cf;
    cf = mem_zalloc(c->mem, sizeof *cf);
    if (!cf)
        return NULL;
    cf->c = c;
    cf->ino = ino;
    list_init(&cf->handles);
    list_init(&cf->waiting);
    list_init(&cf->ios);
    list_init(&cf->pieces);
    list_push_back(file_bucket(c, ino), &cf->link);
    c->n_files++;
    return cf;
}

static void cfile_maybe_free(struct cfile *cf)
{
    struct client *c = cf->c;
    if (cf->n_handles || cf->busy || cf->writer != WRITER_NONE || !list_empty(&cf->waiting) ||
        !list_empty(&cf->ios) || !list_empty(&cf->pieces))
        return;
    list_remove(&cf->link);
    env_timer_stop(c->env, &cf->young);
    mem_free(c->mem, cf->path, cf->path_len + 1);
    mem_free(c->mem, cf, sizeof *cf);
    c->n_files--;
}

static struct client_file *handle_new(struct client *c, struct ino ino, uint32_t mode)
{
    struct client_file *f = mem_zalloc(c->mem, sizeof *f);
    struct cfile *cf = f ? cfile_get(c, ino) : NULL;
    if (!cf) {
        mem_free(c->mem, f, sizeof *f);
        return NULL;
    }
    f->cf = cf;
    f->mode = mode;
    f->sync_seen = cf->sync_fails;
    list_init(&f->ra);
    list_push_back(&cf->handles, &f->link);
    cf->n_handles++;
    c->n_handles++;
    return f;
}

static void handle_free(struct client_file *f)
{
    struct cfile *cf = f->cf;
    struct client *c = cf->c;
    list_remove(&f->link);
    cf->n_handles--;
    c->n_handles--;
    mem_free(c->mem, f, sizeof *f);
    cfile_maybe_free(cf);
}

/* --- what the master says about a file --- */

static int cfile_path(struct cfile *cf, uint16_t mount, const void *path, uint32_t len)
{
    struct client *c = cf->c;
    cf->mount = mount;
    if (cf->path && cf->path_len == len && (!len || !memcmp(cf->path, path, len)))
        return 0;
    char *copy = len < LIMIT_BELOW ? mem_alloc(c->mem, len + 1) : NULL;
    if (!copy)
        return len < LIMIT_BELOW ? E_NOMEM : E_PROTO;
    if (len)
        memcpy(copy, path, len);
    copy[len] = 0;
    mem_free(c->mem, cf->path, cf->path ? cf->path_len + 1 : 0);
    cf->path = copy;
    cf->path_len = len;
    return 0;
}

/* news of attributes: every handle takes what its rule allows */
static void cfile_attr(struct cfile *cf, const struct fsattr *a)
{
    cf->attr = *a;
    cf->known_ns = env_now_ns(cf->c->env);
    cf->live = cf->writers > 0 || (a->flags & FSATTR_LIVE);
    cf->check = false;
    list_each(it, &cf->handles) {
        struct client_file *f = list_entry(it, struct client_file, link);
        if (cf->live) {
            f->was_live = true;
            client_readahead_drop(f);
        } else if (f->was_live || !f->read_any || f->pin.version == a->version ||
                   MUTANT(VERSIONS_MIXED)) {
            if (f->was_live || f->pin.version != a->version)
                f->read_any = false;
            if (f->pin.version != a->version)
                client_readahead_drop(f);
            f->young_until_ns = f->was_live ? 0 : f->young_until_ns;
            f->was_live = false;
            f->pin = *a;
        }
    }
}

struct fsattr client_file_attr(const struct client_file *f)
{
    struct fsattr a = f->cf->live ? f->cf->attr : f->pin;
    client_file_overlay(f->cf->c, &a);
    return a;
}

void client_file_pin(struct client_file *f)
{
    f->read_any = true;
}

bool client_file_is_live(const struct client_file *f)
{
    return f->cf->live;
}

void client_file_overlay(const struct client *c, struct fsattr *a)
{
    struct cfile *cf = a->ino.v ? client_file_find(c, a->ino) : NULL;
    if (!cf || !cf->writers)
        return;
    a->size = base_max_u64(a->size, cf->wend);
    a->flags |= FSATTR_LIVE;
}

/* The master looks below for the size of a LIVE file: what it saw after our last write is the
 * truth, also when another writer has cut the file. */
void client_file_seen(struct client *c, const struct fsattr *a, int64_t asked_ns)
{
    struct cfile *cf = a->ino.v ? client_file_find(c, a->ino) : NULL;
    if (cf && a->flags & FSATTR_LIVE && asked_ns >= cf->wend_ns)
        cf->wend = base_min_u64(cf->wend, a->size);
}

void client_file_changed(struct cfile *cf)
{
    cf->is_synced = cf->is_named = false;
    cf->dirty_count++;
}

void client_file_own(struct client *c, const struct fsop *op, const struct fsop_reply *rep)
{
    struct cfile *cf = client_file_find(c, op->ino);
    bool is_cut = op->kind == FSOP_WRITE_OPEN && op->flags & FSOP_F_TRUNC;
    if (cf && (op->kind == FSOP_SETATTR || is_cut))
        client_file_changed(cf);
    if (!cf || op->kind != FSOP_SETATTR || rep->err)
        return;
    if (rep->attr.ino.v)
        cf->attr = rep->attr;
    if (!(op->valid & FSOP_SET_SIZE))
        return;
    /* Never raised: others were waited for, so somebody may have cut it since, of which we were
     * told before this answer came. */
    cf->wend = base_min_u64(cf->wend, op->size);
    cf->wend_ns = env_now_ns(c->env);
    cf->cuts++;
    cf->check |= cf->writers == 0;
}

void client_file_inval(struct client *c, const struct rpc_inval *i)
{
    if (i->kind == RPC_INVAL_ENTRY)
        return;
    for (uint32_t b = 0; b < CLIENT_FILE_BUCKETS; b++) {
        struct list *bucket = i->ino.v ? file_bucket(c, i->ino) : &c->files[b];
        list_each(it, bucket) {
            struct cfile *cf = list_entry(it, struct cfile, link);
            if (i->ino.v && cf->ino.v != i->ino.v)
                continue;
            cf->check = true;
            cf->wend = 0;
            cf->cuts++;
            list_each(at, &cf->handles)
                client_readahead_drop(list_entry(at, struct client_file, link));
        }
        if (i->ino.v)
            return;
    }
}

/* --- the cfile's own request --- */

static void cfile_wake(struct cfile *cf)
{
    client_piece_wake(&cf->pieces, 0);
    client_io_wake(&cf->ios);
    client_fs_wake(&cf->waiting);
}

static void cfile_refreshed(struct cfile *cf)
{
    int err = (int)cf->req.op.ret;
    const struct fsop_reply *rep = &cf->req.reply;
    if (!err)
        err = cfile_path(cf, rep->attr.mount, rep->data, rep->data_len);
    if (!err) {
        cf->seen_changed = false;
        cfile_attr(cf, &rep->attr);
    }
    /* An unreachable master does not stop readers of what is pinned: a new connection asks again.
     */
    if (err)
        cf->check = false;
    cf->known_ns = env_now_ns(cf->c->env);
    cf->refresh_err = err;
    cf->gen++;
}

static void cfile_reopened(struct cfile *cf)
{
    int err = (int)cf->req.op.ret;
    if (!err) {
        cf->writer_session = client_fsr_of(&cf->req)->session;
        cf->doubts_over = cf->doubts_asked;
    } else if (!err_is_retry(err) && err != E_SESSION_EXPIRED) {
        cf->reopen_err = err;
    }
}

static void cfile_closed(struct cfile *cf)
{
    struct client *c = cf->c;
    int err = (int)cf->req.op.ret;
    struct client_io *io = cf->closer;
    cf->closer = NULL;
    bool unknown = err_is_retry(err) && c->state < CLIENT_STOPPING;
    if (!unknown || cf->writer_session.v != c->session.v) {
        cf->writer = WRITER_NONE;
        cf->close_owed = false;
        c->closed[c->n_closed++ % CLIENT_CLOSED] = cf->ino;
        if (!err && cf->req.reply.attr.ino.v)
            cfile_attr(cf, &cf->req.reply.attr);
        else
            cf->check = true;
    }
    if (io) {
        client_ior_of(io)->err = err;
        io->file->closing = false;
        release_try(io->file);
    }
}

static void cfile_req_done(struct env_op *op)
{
    struct cfile *cf = container_of(op, struct cfile, req.op);
    switch (cf->req.fsop.kind) {
    case FSOP_OPEN:
        cfile_refreshed(cf);
        break;
    case FSOP_WRITE_OPEN:
        cfile_reopened(cf);
        break;
    default: /* releases may free the last handle, but not a cfile whose request is under way */
        cfile_closed(cf);
        break;
    }
    cf->busy = false;
    cfile_wake(cf);
    cfile_next(cf);
    cfile_maybe_free(cf);
}

static void cfile_send(struct cfile *cf, uint16_t kind, int64_t deadline_ns)
{
    struct fsop *op = &cf->req.fsop;
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->ino = cf->ino;
    cf->doubts_asked = cf->doubts;
    if (kind == FSOP_WRITE_OPEN) { /* as the one who opened it first */
        op->uid = cf->uid;
        op->gid = cf->gid;
        op->n_groups = cf->n_groups;
        memcpy(op->groups, cf->groups, sizeof cf->groups);
    }
    op->arg = kind == FSOP_OPEN && cf->seen_changed;
    cf->req.deadline_ns = deadline_ns;
    cf->req.op.done = cfile_req_done;
    cf->busy = true;
    client_fs_internal(cf->c, &cf->req);
}

static void cfile_next(struct cfile *cf)
{
    struct client *c = cf->c;
    if (cf->busy || c->state >= CLIENT_STOPPING)
        return;
    if (cf->close_owed && cf->writer == WRITER_CLOSING) {
        cfile_send(cf, FSOP_WRITE_CLOSE, env_now_ns(c->env) + CFILE_CLOSE_NS);
    } else if (cf->reopen_owed) {
        cf->reopen_owed = false;
        cfile_send(cf, FSOP_WRITE_OPEN, 0);
    } else if (cf->refresh_owed) {
        cf->refresh_owed = false;
        cfile_send(cf, FSOP_OPEN, env_now_ns(c->env) + CFILE_REFRESH_NS);
    }
}

void client_file_refresh(struct cfile *cf)
{
    cf->refresh_owed = true;
    cfile_next(cf);
}

/* --- opening --- */

int client_file_from_cache(struct client *c, struct client_req *r, const struct fsattr *a,
                           uint16_t mount, const char *path, uint32_t path_len)
{
    struct cfile *cf = client_file_find(c, r->fsop.ino);
    if (a && cf && (cf->live || cf->check || cf->writer != WRITER_NONE || cf->n_handles == 0))
        return 1;
    struct client_file *f = handle_new(c, r->fsop.ino, r->fsop.mode);
    if (!f)
        return E_NOMEM;
    if (!a) {
        client_fsr_of(r)->f = f;
        return 0;
    }
    int err = cfile_path(f->cf, mount, path, path_len);
    if (err) {
        handle_free(f);
        return err;
    }
    f->cf->attr = f->pin = *a;
    r->file = f;
    return 0;
}

void client_file_wire(struct client_req *r, struct fsop *w)
{
    struct client_fsr *s = client_fsr_of(r);
    switch ((enum client_open_phase)s->phase) {
    case OPEN_QUERY:
        w->arg = s->f->cf->seen_changed;
        break;
    case OPEN_WRITER:
        w->kind = FSOP_WRITE_OPEN;
        if (r->fsop.kind == FSOP_MKNOD) {
            w->ino = s->f->cf->ino;
            w->flags = 0;
            w->mode = w->name_len = 0;
        }
        break;
    case OPEN_TRUNC:
        w->kind = FSOP_SETATTR;
        w->flags = 0;
        w->valid = FSOP_SET_SIZE;
        w->size = 0;
        break;
    }
}

static enum client_open_next open_done(struct client_req *r, int err)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client_file *f = s->f;
    s->f = NULL;
    r->reply.err = err;
    r->reply.data = NULL; /* the layout is no business of the caller's */
    r->reply.data_len = 0;
    if (err)
        handle_free(f);
    else
        r->file = f;
    return OPEN_DONE;
}

enum client_open_next client_file_resume(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct cfile *cf = s->f->cf;
    switch ((enum client_writer)cf->writer) {
    case WRITER_OPENING:
    case WRITER_CLOSING:
        return OPEN_WAIT;
    case WRITER_NONE:
        cf->writer = WRITER_OPENING;
        s->phase = OPEN_WRITER;
        s->is_mutation = true;
        return OPEN_SEND;
    case WRITER_OPEN:
        break;
    }
    cf->writers++;
    s->f->is_writer = true;
    if (r->fsop.flags & FSOP_F_TRUNC) {
        s->phase = OPEN_TRUNC;
        s->is_mutation = true;
        return OPEN_SEND;
    }
    memset(&r->reply, 0, sizeof r->reply);
    r->reply.attr = client_file_attr(s->f);
    return open_done(r, 0);
}

/* one writer less; true when the file must now be closed in the cluster */
static bool writer_gone(struct client_file *f)
{
    struct cfile *cf = f->cf;
    f->is_writer = false;
    if (--cf->writers || cf->writer != WRITER_OPEN)
        return false;
    cf->writer = WRITER_CLOSING;
    cf->close_owed = true;
    return true;
}

static enum client_open_next open_queried(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client_file *f = s->f;
    struct cfile *cf = f->cf;
    struct fsattr *a = &r->reply.attr;
    if ((a->mode & FSOP_S_IFMT) != FSOP_S_IFREG)
        return open_done(r, (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR ? E_ISDIR : E_NXIO);
    int err = cfile_path(cf, a->mount, r->reply.data, r->reply.data_len);
    if (err)
        return open_done(r, err);
    cf->seen_changed = false;
    f->pin = *a;
    cfile_attr(cf, a);
    if (r->fsop.mode & FSOP_ACCESS_W || r->fsop.flags & FSOP_F_TRUNC)
        return client_file_resume(r);
    return open_done(r, 0);
}

static enum client_open_next open_writer_answer(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client_file *f = s->f;
    struct cfile *cf = f->cf;
    struct client *c = cf->c;
    struct ino ino = cf->ino;
    int err = r->reply.err;
    cf->writer = err ? WRITER_NONE : WRITER_OPEN;
    if (!err) {
        cf->writer_session = s->session;
        cf->writers++;
        f->is_writer = true;
        cf->wend = 0;
        cf->reopen_err = 0;
        cf->uid = r->fsop.uid;
        cf->gid = r->fsop.gid;
        cf->n_groups = r->fsop.n_groups;
        memcpy(cf->groups, r->fsop.groups, sizeof cf->groups);
        struct fsattr a = r->reply.attr.ino.v ? r->reply.attr : cf->attr;
        if (r->fsop.flags & FSOP_F_TRUNC)
            a.size = 0;
        cfile_attr(cf, &a);
        r->reply.attr = client_file_attr(f);
    } else if (err_is_retry(err) && s->was_sent && s->session.v == c->session.v) {
        cf->writer_session = s->session; /* it may have happened: invariant 2 */
        cf->writer = WRITER_CLOSING;
        cf->close_owed = true;
        cfile_next(cf);
    }
    open_done(r, err); /* with an error cf may be gone, unless somebody waits on it */
    cf = client_file_find(c, ino);
    if (cf && cf->writer != WRITER_CLOSING) {
        client_fs_wake(&cf->waiting);
        cfile_maybe_free(cf);
    }
    return OPEN_DONE;
}

enum client_open_next client_file_answer(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client_file *f = s->f;
    int err = r->reply.err;
    switch ((enum client_open_phase)s->phase) {
    case OPEN_QUERY:
        return err ? open_done(r, err) : open_queried(r);
    case OPEN_WRITER:
        return open_writer_answer(r);
    case OPEN_TRUNC:
        if (err && writer_gone(f))
            cfile_next(f->cf);
        if (!err)
            r->reply.attr = client_file_attr(f);
        return open_done(r, err);
    }
    return OPEN_DONE;
}

static bool created_was_closed(const struct client *c, struct ino ino, uint32_t since)
{
    if (c->n_closed - since > CLIENT_CLOSED)
        return true;
    for (uint32_t n = since; n != c->n_closed; n++)
        if (c->closed[n % CLIENT_CLOSED].v == ino.v)
            return true;
    return false;
}

enum client_open_next client_file_created(struct client_req *r)
{
    struct client_fsr *s = client_fsr_of(r);
    struct client *c = s->c;
    struct fsop_reply *rep = &r->reply;
    if (r->fsop.kind != FSOP_MKNOD || !(r->fsop.flags & FSOP_F_OPEN) || rep->err)
        return OPEN_DONE;
    struct client_file *f = handle_new(c, rep->attr.ino, FSOP_ACCESS_R | FSOP_ACCESS_W);
    int err = f ? cfile_path(f->cf, rep->attr.mount, rep->data, rep->data_len) : E_NOMEM;
    rep->data = NULL;
    rep->data_len = 0;
    if (err) { /* the cluster believes that we write it, until the session ends */
        if (f)
            handle_free(f);
        rep->err = err;
        return OPEN_DONE;
    }
    s->f = f;
    s->phase = OPEN_QUERY;
    f->pin = rep->attr;
    if (f->cf->writer != WRITER_NONE || created_was_closed(c, rep->attr.ino, s->closes))
        return client_file_resume(r);
    s->phase = OPEN_WRITER;
    if (s->epoch != c->epoch) /* who made it may have closed it since */
        f->cf->doubts++;
    return open_writer_answer(r);
}

/* --- before I/O, and the end of a handle --- */

static void cfile_young_fired(struct env_op *op)
{
    struct cfile *cf = container_of(op, struct cfile, young.op);
    cf->seen_changed = true; /* compared, however lately it was */
    client_file_refresh(cf);
}

/* when its fingerprint may be old enough, unless something is being asked already */
static void cfile_wait_young(struct cfile *cf)
{
    struct env *e = cf->c->env;
    if (cf->busy || cf->refresh_owed || env_timer_is_set(&cf->young))
        return;
    int64_t at = cf->known_ns + CFILE_YOUNG_NS, now = env_now_ns(e);
    cf->young.op.done = cfile_young_fired;
    env_timer_set(e, &cf->young, at > now ? at : now);
}

bool client_file_is_young(struct client_file *f)
{
    struct cfile *cf = f->cf;
    int64_t now = env_now_ns(cf->c->env);
    if (cf->live || f->pin.fp || f->read_any || !f->pin.size)
        return false;
    if (!f->young_until_ns)
        f->young_until_ns = now + CFILE_YOUNG_MOST_NS;
    if (now >= f->young_until_ns)
        return false;
    cfile_wait_young(cf);
    return true;
}

/* Without a lease the session may be over, and the file closed in the cluster: then nobody would
 * notice the write.  An answer of the master tells. */
int client_file_may_write(struct client_file *f)
{
    struct cfile *cf = f->cf;
    if (!f->is_writer)
        return E_BADF;
    if (cf->reopen_err)
        return E_STALE;
    if (MUTANT(EXPIRY_IGNORED))
        return 0;
    if (cf->writer_session.v != cf->c->session.v || cf->doubts != cf->doubts_over)
        cf->reopen_owed = true;
    else if (!client_leased(cf->c))
        cf->refresh_owed = true;
    else
        return 0;
    return 1;
}

void client_file_no_place(struct client *c, struct ino ino)
{
    struct cfile *cf = client_file_find(c, ino);
    if (!cf || cf->writer != WRITER_OPEN || cf->reopen_err || cf->busy)
        return;
    cf->reopen_owed |= cf->writer_session.v != c->session.v || cf->doubts != cf->doubts_over;
    cfile_next(cf);
}

void client_file_ask(struct cfile *cf)
{
    cfile_next(cf);
}

int client_file_ready(struct client_io *io, bool to_write)
{
    struct client_file *f = io->file;
    struct cfile *cf = f->cf;
    struct client *c = cf->c;
    struct client_ior *s = client_ior_of(io);
    if (to_write) {
        int may = client_file_may_write(f);
        if (may <= 0)
            return may;
    } else {
        /* of a file that others write there is no lease: nobody tells when they are done */
        bool old = cf->live && !cf->writers && env_now_ns(c->env) - cf->known_ns > CFILE_LIVE_NS;
        bool must_ask = cf->check || old;
        if (!must_ask && (s->kind == IO_SYNC || !client_file_is_young(f)))
            return s->kind == IO_LOAD && (cf->live || (!f->pin.fp && f->pin.size)) ? E_BUSY : 0;
        cf->refresh_owed |= must_ask;
    }
    list_push_back(&cf->ios, &s->wait);
    cfile_next(cf);
    return 1;
}

static void release_freed(struct env_op *op)
{
    struct client_file *f = container_of(op, struct client_file, free_op);
    struct client *c = f->cf->c;
    struct client_io *io = f->releasing;
    c->pending--;
    int err = client_ior_of(io)->err;
    handle_free(f);
    client_io_finish(io, err);
    client_quiet(c);
}

/* The handle dies when its I/O has ended and its file is closed: from the top of the loop, because
 * this may be called while somebody walks a list that it is on. */
static void release_try(struct client_file *f)
{
    if (!f->releasing || f->n_busy || f->closing || f->dying)
        return;
    f->dying = true;
    f->free_op.done = release_freed;
    f->cf->c->pending++;
    env_post(f->cf->c->env, &f->free_op);
}

void client_file_unref(struct client_file *f)
{
    ASSERT(f->n_busy);
    f->n_busy--;
    release_try(f);
}

void client_file_release(struct client_io *io)
{
    struct client_file *f = io->file;
    struct cfile *cf = f->cf;
    f->releasing = io;
    client_readahead_drop(f);
    client_pages_release(f);
    if (f->is_writer && writer_gone(f)) {
        if (cf->writer_session.v != cf->c->session.v) {
            /* the master closed it when the session ended */
            cf->writer = WRITER_NONE;
            cf->close_owed = false;
            cf->check = true;
            client_ior_of(io)->err = E_SESSION_EXPIRED;
            client_fs_wake(&cf->waiting);
        } else {
            f->closing = true;
            cf->closer = io;
            cfile_next(cf);
        }
    }
    release_try(f);
}

void client_file_release_late(struct client_io *io)
{
    struct client_file *f = io->file;
    struct cfile *cf = f->cf;
    client_ior_of(io)->err = E_TIMEOUT;
    if (cf->closer == io)
        cf->closer = NULL; /* the WRITE_CLOSE goes on without it */
    f->closing = false;
    release_try(f);
}

void client_file_session_lost(struct client *c)
{
    for (uint32_t b = 0; b < CLIENT_FILE_BUCKETS; b++) {
        list_each_safe(it, &c->files[b]) {
            struct cfile *cf = list_entry(it, struct cfile, link);
            if (cf->writer != WRITER_CLOSING || cf->busy)
                continue; /* a request under way brings its own news */
            cf->writer = WRITER_NONE;
            cf->close_owed = false;
            client_fs_wake(&cf->waiting);
            cfile_maybe_free(cf);
        }
    }
}

void client_file_epoch_changed(struct client *c)
{
    for (uint32_t b = 0; b < CLIENT_FILE_BUCKETS; b++)
        list_each(it, &c->files[b])
            list_entry(it, struct cfile, link)->doubts++;
}

void client_file_stop(struct client *c)
{
    for (uint32_t b = 0; b < CLIENT_FILE_BUCKETS; b++) {
        while (!list_empty(&c->files[b])) {
            struct cfile *cf = list_entry(c->files[b].next, struct cfile, link);
            ASSERT(!cf->busy && list_empty(&cf->waiting) && list_empty(&cf->ios));
            cf->writer = WRITER_NONE;
            if (!cf->n_handles)
                cfile_maybe_free(cf);
            else /* handles that the owner never released */
                handle_free(list_entry(cf->handles.next, struct client_file, link));
        }
    }
}
