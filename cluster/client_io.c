/* cluster/client_io.c - file I/O: a request is cut into pieces at page and stripe boundaries, and
 * the pieces go their own ways (client_piece.c).
 *
 * INVARIANTS
 *  1. The caller's buffer is not touched after done(): a piece that reaches it through remote
 *     memory holds the request open until the region is revoked.
 *  2. At the deadline every piece is cancelled; what remains is revoking, which needs no one else.
 *  3. A request looks at the file's state each time it goes on, so it sees a new pin or LIVE. */
#include "cluster/client_impl.h"

static uint64_t io_limit(const struct client_io *io)
{
    const struct client_file *f = io->file;
    if (client_ior_of((struct client_io *)(uintptr_t)io)->kind == IO_WRITE || f->cf->live)
        return io->len;
    return f->pin.size > io->off ? base_min_u64(io->len, f->pin.size - io->off) : 0;
}

static void io_done(struct env_op *op)
{
    struct client_ior *s = container_of(op, struct client_ior, fin);
    struct client *c = s->c;
    struct client_io *io = client_io_of(s);
    c->pending--;
    io->op.ret = op->ret;
    io->op.done(&io->op); /* io may be gone */
    client_quiet(c);
}

void client_io_finish(struct client_io *io, int64_t ret)
{
    struct client_ior *s = client_ior_of(io);
    struct client *c = s->c;
    if (s->finished)
        return;
    s->finished = true;
    list_remove(&s->link);
    if (list_linked(&s->wait))
        list_remove(&s->wait);
    env_timer_stop(c->env, &s->timer);
    if (ret > 0 && s->kind == IO_READ)
        c->stats.bytes_read += (uint64_t)ret;
    if (ret > 0 && s->is_alloc)
        ret = 0;
    if (ret > 0 && s->kind == IO_WRITE)
        c->stats.bytes_written += (uint64_t)ret;
    s->fin.ret = ret;
    s->fin.done = io_done;
    c->pending++;
    env_post(c->env, &s->fin);
    if (s->kind != IO_RELEASE)
        client_file_unref(io->file);
}

void client_io_wake(struct list *waiting)
{
    struct list now;
    list_init(&now);
    list_splice(&now, waiting);
    for (struct list *it; (it = list_pop(&now));)
        client_io_step(client_io_of(list_entry(it, struct client_ior, wait)));
}

/* --- pieces --- */

static struct client_piece *io_piece(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    struct client_piece *p = client_piece_get(io->file, s->kind);
    if (!p) {
        list_push_back(&s->c->io_waiting, &s->wait);
        return NULL;
    }
    p->io = io;
    p->deadline_ns = s->deadline_ns;
    s->n_pieces++;
    return p;
}

/* takes what is read ahead already; true when the request must wait for it */
static bool io_from_readahead(struct client_io *io, uint64_t limit)
{
    struct client_ior *s = client_ior_of(io);
    while (s->next < limit) {
        uint64_t off = io->off + s->next;
        struct client_ra *ra = client_readahead_find(io->file, off);
        if (!ra)
            return false;
        if (!ra->ready) {
            list_push_back(&ra->waiting, &s->wait);
            return true;
        }
        uint32_t n = (uint32_t)base_min_u64(limit - s->next, ra->off + ra->len - off);
        if (io->may_lend && !s->next && n == limit) {
            s->lender = ra;
            s->next = n;
            io->file->read_any = true;
            io->lent = client_readahead_lend(ra, off, n);
            return false;
        }
        memcpy((char *)io->buf + s->next, ra->buf + (off - ra->off), n);
        s->next += n;
        io->file->read_any = true;
        client_readahead_used(ra, off, n);
    }
    return false;
}

/* false when nothing more can be started now */
static bool io_issue(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    struct client *c = s->c;
    uint64_t limit = io_limit(io);
    bool is_pinned = s->kind == IO_READ && !io->file->cf->live;
    if (is_pinned && (io_from_readahead(io, limit) || client_pages_take(io, limit)))
        return false;
    if (s->next >= limit || s->n_pieces >= CLIENT_IO_PIECES)
        return false;
    uint64_t off = io->off + s->next;
    if (s->is_alloc) {
        struct client_piece *p = io_piece(io);
        if (!p)
            return false;
        p->is_alloc = true;
        p->buf = (char *)s->alloc;
        p->off = off;
        s->next = p->len = RPC_ALLOC_BYTES;
        client_piece_start(p);
        return true;
    }
    uint64_t end = base_min_u64((off / c->page_bytes + 1) * c->page_bytes,
                                (off / c->stripe_bytes + 1) * c->stripe_bytes);
    if (s->kind == IO_READ)
        end = base_min_u64(end, client_readahead_next(io->file, off));
    uint32_t n = (uint32_t)base_min_u64(end - off, limit - s->next);
    struct client_piece *p = io_piece(io);
    if (!p)
        return false;
    p->buf = s->kind == IO_LOAD ? NULL : (char *)io->buf + s->next;
    p->off = off;
    p->len = n;
    s->next += n;
    client_piece_start(p);
    return true;
}

/* What was written here is synced where it was written.  A file of which nothing is known may have
 * been written before it was opened, by us or by others: one worker is asked. */
static void sync_begin(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    struct client *c = s->c;
    struct cfile *cf = io->file->cf;
    s->sync_direct = cf->dirty_direct;
    s->sync_all = cf->dirty_many;
    s->n_sync = cf->dirty_many ? c->n_alive : cf->n_dirty;
    s->dirty_count = cf->dirty_count;
    memcpy(s->sync, cf->dirty, cf->n_dirty * sizeof cf->dirty[0]);
    if ((cf->is_synced && (cf->is_named || io->data_only)) || s->n_sync || s->sync_direct)
        return;
    s->sync_any = c->n_alive || c->cfg.ufs;
    s->n_sync = s->sync_any;
}

/* Another sync under way is no reason to return early, so what is dirty stays on the list until a
 * sync has succeeded during which nothing was written. */
static int sync_end(struct client_io *io, int err)
{
    struct client_ior *s = client_ior_of(io);
    struct client_file *f = io->file;
    struct cfile *cf = f->cf;
    bool is_over = err != E_CANCELLED && err != E_TIMEOUT && cf->dirty_count == s->dirty_count;
    if (is_over) {
        cf->dirty_direct = cf->dirty_many = false;
        cf->n_dirty = 0;
        cf->is_synced = !err;
        cf->is_named = !err && (cf->is_named || !io->data_only);
    }
    if (err) {
        cf->sync_fails++;
        cf->sync_err = err;
    } else if (f->sync_seen != cf->sync_fails) {
        err = cf->sync_err;
    }
    f->sync_seen = cf->sync_fails;
    return err;
}

static bool sync_issue(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    struct client *c = s->c;
    if (s->sync_at >= s->n_sync + s->sync_direct)
        return false;
    if (s->n_pieces >= CLIENT_IO_PIECES)
        return false;
    struct client_piece *p = io_piece(io);
    if (!p)
        return false;
    uint32_t at = s->sync_at++;
    p->direct = at >= s->n_sync;
    p->any = s->sync_any;
    p->data_only = io->data_only;
    if (!p->direct && !p->any) /* all: the list may have shrunk meanwhile; a missing one is E_IO */
        p->to = !s->sync_all      ? s->sync[at].id
                : at < c->n_alive ? c->alive[at]
                                  : (struct worker_id){0};
    p->to_kernel = p->direct || p->any || s->sync_all ? 0 : s->sync[at].kernel;
    client_piece_start(p);
    return true;
}

/* --- going on --- */

static bool io_over(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    if (s->n_pieces || s->kind == IO_RELEASE)
        return false;
    if (s->kind == IO_SYNC && s->begun && (s->err || s->sync_at >= s->n_sync + s->sync_direct)) {
        client_io_finish(io, sync_end(io, s->err));
        return true;
    }
    if (s->err) {
        client_io_finish(io, s->err);
        return true;
    }
    if (s->kind == IO_SYNC)
        return false;
    uint64_t limit = io_limit(io);
    if (s->next < limit && s->short_at > s->next)
        return false;
    client_io_finish(io, (int64_t)base_min_u64(s->short_at, limit));
    return true;
}

static void io_step_once(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    if (s->err || list_linked(&s->wait)) {
        io_over(io);
        return;
    }
    int ready = client_file_ready(io, s->kind == IO_WRITE);
    if (ready > 0)
        return;
    if (ready < 0) {
        s->err = ready;
        io_over(io);
        return;
    }
    if (!s->begun) {
        s->begun = true;
        if (s->kind == IO_SYNC)
            sync_begin(io);
        if (s->kind == IO_READ && !io->file->cf->live)
            client_readahead_note(io->file, io->off, (uint32_t)io_limit(io));
    }
    while (!s->err && !s->finished && (s->kind == IO_SYNC ? sync_issue(io) : io_issue(io))) {
    }
    if (!list_linked(&s->wait))
        io_over(io);
}

/* A piece may end while it is being started: then once more, not deeper. */
void client_io_step(struct client_io *io)
{
    struct client_ior *s = client_ior_of(io);
    if (s->kind == IO_RELEASE || s->finished)
        return;
    s->again = true;
    if (s->stepping)
        return;
    s->stepping = true;
    while (s->again && !s->finished) {
        s->again = false;
        io_step_once(io);
    }
    s->stepping = false;
}

void client_io_piece_done(struct client_piece *p)
{
    struct client_io *io = p->io;
    struct client_ior *s = client_ior_of(io);
    struct client_file *f = p->f;
    struct cfile *cf = f->cf;
    s->n_pieces--;
    if (p->ret < 0) {
        if (!s->err)
            s->err = (int)p->ret;
    } else if (p->kind == IO_READ) {
        f->read_any = true;
        if (p->ret < p->len)
            s->short_at = (uint32_t)base_min_u64(s->short_at, p->off - io->off + (uint64_t)p->ret);
    } else if (p->kind == IO_WRITE) {
        uint64_t n = !s->is_alloc ? p->len : io->how & UFS_ALLOC_KEEP ? 0 : io->range;
        if (p->cuts == cf->cuts) {
            cf->wend = base_max_u64(cf->wend, n ? p->off + n : 0);
            cf->wend_ns = env_now_ns(f->cf->c->env);
        } else {
            cf->check = true; /* was it cut before or after?  The master looks */
        }
    }
    client_piece_put(p);
    client_io_step(io);
}

void client_io_piece_lost(struct client_io *io)
{
    client_ior_of(io)->n_pieces--;
    client_io_step(io);
}

static void io_fail(struct client_io *io, int err, void (*end)(struct client_piece *p))
{
    struct client_ior *s = client_ior_of(io);
    struct client *c = s->c;
    if (s->finished)
        return;
    if (!s->err)
        s->err = err;
    if (list_linked(&s->wait))
        list_remove(&s->wait);
    s->stepping = true; /* nothing is started and nothing ends while the list is walked */
    list_each_safe(it, &c->pieces) {
        struct client_piece *p = list_entry(it, struct client_piece, all);
        if (p->io == io)
            end(p);
    }
    s->stepping = false;
    client_io_step(io);
}

void client_io_fail(struct client_io *io, int err)
{
    io_fail(io, err, client_piece_cancel);
}

void client_give_up(struct client *c, struct client_io *io)
{
    (void)c;
    io_fail(io, E_CANCELLED, client_piece_give_up);
}

static void io_timer(struct env_op *op)
{
    struct client_ior *s = container_of(op, struct client_ior, timer.op);
    if (s->kind == IO_RELEASE)
        client_file_release_late(client_io_of(s));
    else
        client_io_fail(client_io_of(s), E_TIMEOUT);
}

/* --- from outside --- */

/* true when it can go on */
static bool io_begin(struct client *c, struct client_io *io, enum client_io_kind kind)
{
    struct client_ior *s = client_ior_of(io);
    memset(s, 0, sizeof *s);
    s->c = c;
    s->kind = (uint8_t)kind;
    s->short_at = io->len;
    io->lent = NULL;
    io->is_displaced = false;
    list_init(&s->wait);
    list_push_back(&c->ios, &s->link);
    if (kind != IO_RELEASE)
        io->file->n_busy++;
    int64_t now = env_now_ns(c->env), last = now + RPC_APPEND_VALID_MS * CLIENT_MS;
    s->deadline_ns = io->deadline_ns ? io->deadline_ns : now + c->cfg.deadline_ns;
    if (io->placed && s->deadline_ns > last)
        s->deadline_ns = last;
    s->timer.op.done = io_timer;
    int err = c->state >= CLIENT_STOPPING ? E_CANCELLED
              : kind != IO_RELEASE && kind != IO_SYNC && io->off > (uint64_t)INT64_MAX - io->len
                  ? E_INVAL
              : kind == IO_READ && !(io->file->mode & (FSOP_ACCESS_R | FSOP_ACCESS_X)) ? E_BADF
                                                                                       : 0;
    if (err) {
        client_io_finish(io, err);
        return false;
    }
    env_timer_set(c->env, &s->timer, s->deadline_ns);
    return true;
}

void client_read(struct client *c, struct client_io *io)
{
    c->stats.reads++;
    if (io_begin(c, io, IO_READ))
        client_io_step(io);
}

void client_write(struct client *c, struct client_io *io)
{
    c->stats.writes++;
    if (io_begin(c, io, IO_WRITE))
        client_io_step(io);
}

void client_alloc(struct client *c, struct client_io *io)
{
    io->len = RPC_ALLOC_BYTES;
    if (!io_begin(c, io, IO_WRITE))
        return;
    struct client_ior *s = client_ior_of(io);
    struct wbuf w = wbuf_make(s->alloc, sizeof s->alloc);
    struct rpc_alloc a = {io->range, io->how};
    rpc_format_alloc_put(&w, &a);
    s->is_alloc = true;
    client_io_step(io);
}

void client_fsync(struct client *c, struct client_io *io)
{
    if (io_begin(c, io, IO_SYNC))
        client_io_step(io);
}

void client_load(struct client *c, struct client_io *io)
{
    if (io_begin(c, io, IO_LOAD))
        client_io_step(io);
}

void client_release(struct client *c, struct client_io *io)
{
    if (io_begin(c, io, IO_RELEASE))
        client_file_release(io);
}

void client_io_stop(struct client *c)
{
    struct list now;
    list_init(&now);
    list_splice(&now, &c->ios);
    for (struct list *it; (it = list_pop(&now));) {
        struct client_ior *s = list_entry(it, struct client_ior, link);
        list_push_back(&c->ios, &s->link);
        if (s->kind != IO_RELEASE)
            client_io_fail(client_io_of(s), E_CANCELLED);
    }
    list_each_safe(at, &c->pieces) {
        struct client_piece *p = list_entry(at, struct client_piece, all);
        if (p->ra || p->page)
            client_piece_cancel(p);
    }
}
