/* cluster/client_piece.c - one piece of file I/O: at most a page, one worker at a time.
 *
 *   LEASE
 *    | ^
 *    v |
 *   PICK --> CONNECT --> CALL --> REVOKE --> done
 *    ^ \                            |
 *    |  +--> MOUNTS --> UFS --------+--> (FENCE) next rank, REFRESH, BACKOFF
 *    +------------------------------------------+
 *
 * INVARIANTS
 *  1. Memory is shared for one attempt: it is revoked before the next attempt begins, so a late
 *     transfer of the last one cannot land on the bytes of another version.
 *  2. Bytes count only if they are of the version that the handle is pinned to when they arrive.
 *  3. A lost or silent worker costs one attempt: it is suspected for a while and others come first.
 *  4. The under-store is read and written through a buffer of our own: it cannot be cancelled.
 *
 *  5. A write of unknown outcome is over before the caller hears of it or another way is tried: its
 *     worker cannot pull the bytes once the region is revoked, and does not begin to write what it
 *     pulled before that later than RPC_WRITE_VALID_MS; FENCE waits for longer than that.  So the
 *     last attempt ends that long before the deadline (who has little time gives the worker less,
 *     too), and a worker that was stopped and wakes up
 *     never puts old bytes over newer ones.  (What this cannot stop is one write call that hangs
 *     inside the worker's kernel for longer.)
 *     So is one that is given up, which begins no other attempt (client_give_up).
 *  6. An attempt to write begins within the lease of the session that has the file open for
 *     writing, and is given up when that lease runs out: as 5 says, it is over RPC_WRITE_VALID_MS
 *     later, and the master ends no session sooner than that after its lease.  So the last bytes
 *     land while the file is LIVE for everybody.  (What this cannot stop is a process that stands
 *     still with its memory shared, while a request of its own is under way to a worker for as
 *     long as a session lasts.) */
#include "cluster/client_impl.h"
#include "core/fmt.h"
#include "core/mutant.h"
#include "core/sometimes.h"

static const int64_t PIECE_ATTEMPT_MIN_NS = 1000 * CLIENT_MS;
static const int64_t PIECE_BACKOFF_MIN_NS = 20 * CLIENT_MS;
/* a truncation waits so long for appends that were begun before it, and then for attempts alone */
static const int64_t PIECE_AWAITED_NS = 1000 * CLIENT_MS;

enum { PIECE_REFRESHES_MAX = 8 };

static void piece_run(struct client_piece *p);

struct client_piece *client_piece_get(struct client_file *f, int kind)
{
    struct client *c = f->cf->c;
    struct client_piece *p = pool_get(&c->piece_pool);
    if (!p)
        return NULL;
    p->c = c;
    p->f = f;
    p->kind = (uint8_t)kind;
    list_init(&p->wait);
    list_push_back(&c->pieces, &p->all);
    f->n_busy++;
    return p;
}

void client_piece_put(struct client_piece *p)
{
    struct client *c = p->c;
    struct client_file *f = p->f;
    env_timer_stop(c->env, &p->timer);
    list_remove(&p->all);
    mem_free(c->mem, p->ufs_path, p->ufs_path_len);
    mem_free(c->mem, p->bounce, p->len);
    pool_put(&c->piece_pool, p);
    if (f)
        client_file_unref(f);
    if (!list_empty(&c->io_waiting)) {
        struct client_ior *s = list_entry(list_pop(&c->io_waiting), struct client_ior, wait);
        client_io_step(client_io_of(s));
    }
}

static void piece_end(struct client_piece *p, int64_t ret)
{
    p->ret = ret;
    p->state = PIECE_DONE;
    env_timer_stop(p->c->env, &p->timer);
    if (p->io)
        client_io_piece_done(p);
    else if (p->ra)
        client_readahead_done(p);
    else if (p->page)
        client_pages_done(p);
    else
        client_piece_put(p);
}

/* waits on a list, or only for the time, until at_ns */
static void piece_wait(struct client_piece *p, enum client_piece_state state, struct list *on,
                       int64_t at_ns)
{
    p->state = (uint8_t)state;
    if (on)
        list_push_back(on, &p->wait);
    env_timer_set(p->c->env, &p->timer, at_ns < p->deadline_ns ? at_ns : p->deadline_ns);
}

/* from the first worker on; but what was written past all workers no worker can sync */
static void piece_anew(struct client_piece *p)
{
    p->n_tried = 0;
    if (p->kind != IO_SYNC || p->any)
        p->direct = false;
}

static void piece_back_off(struct client_piece *p)
{
    int64_t wait_ns = PIECE_BACKOFF_MIN_NS << (p->tries < 5 ? p->tries : 5);
    p->tries++;
    piece_anew(p);
    piece_wait(p, PIECE_BACKOFF, NULL, env_now_ns(p->c->env) + wait_ns);
}

/* --- what an attempt led to --- */

static bool piece_is_final(const struct client_piece *p, int64_t err)
{
    switch (err) {
    case E_ACCES:
    case E_PERM:
    case E_ISDIR:
    case E_INVAL:
        return true;
    case E_NOSPC:
    case E_DQUOT:
    case E_FBIG:
    case E_ROFS:
        return p->kind == IO_WRITE;
    case E_NOTSUP:
        return p->is_alloc;
    default:
        return false;
    }
}

/* what is at the path is no regular file any more: ours is elsewhere */
static bool piece_is_elsewhere(int64_t err)
{
    return err == E_ISDIR || err == E_NOTDIR || err == E_INVAL || err == E_LOOP || err == E_NXIO;
}

static struct client_worker *piece_choice(const struct client_piece *p)
{
    return client_worker_pick(p->c, p->f->cf->ino, p->off, p->tried, p->n_tried);
}

/* this way is closed: the next worker, then the under-store, then again from the start */
static void piece_next(struct client_piece *p, int64_t err)
{
    struct client *c = p->c;
    c->stats.failovers++;
    if (p->kind == IO_SYNC && !p->any) {
        /* until the worker is back, or its neighbour stands in for it; before the deadline */
        if (err_is_retry((int)err))
            piece_back_off(p);
        else
            piece_end(p, err);
        return;
    }
    bool can_direct = c->cfg.ufs && p->kind != IO_LOAD;
    bool more = !p->direct && p->n_tried < CLIENT_RANKS && piece_choice(p);
    if (more || (!p->direct && can_direct)) {
        p->direct = !more;
        p->state = PIECE_PICK;
        piece_run(p);
    } else if (p->ra || p->page || (!err_is_retry((int)err) && p->tries > 0)) {
        piece_end(p, err);
    } else {
        piece_back_off(p);
    }
}

/* the file is not what or where we thought */
static void piece_refresh(struct client_piece *p, int64_t err)
{
    struct cfile *cf = p->f->cf;
    if (p->ra || p->page || ++p->refreshes > PIECE_REFRESHES_MAX) {
        piece_end(p, E_STALE);
        return;
    }
    if (err == E_CHANGED || err == E_EOF)
        cf->seen_changed = true;
    p->gen = cf->gen;
    piece_wait(p, PIECE_REFRESH, &cf->pieces, p->deadline_ns);
    client_file_refresh(cf);
}

static void piece_refreshed(struct client_piece *p)
{
    struct client_file *f = p->f;
    struct cfile *cf = f->cf;
    if (cf->gen == p->gen) { /* woken by another request of the file */
        piece_wait(p, PIECE_REFRESH, &cf->pieces, p->deadline_ns);
        client_file_refresh(cf);
    } else if (cf->refresh_err) {
        if (err_is_retry(cf->refresh_err))
            piece_back_off(p);
        else
            piece_end(p, cf->refresh_err == E_NOENT ? E_STALE : cf->refresh_err);
    } else if (!cf->live && p->kind != IO_WRITE && p->kind != IO_SYNC &&
               f->pin.version != cf->attr.version) {
        SOMETIMES(CLIENT_STALE);
        piece_end(p, E_STALE); /* some of the old version was read already */
    } else if (p->refreshes > 1) {
        piece_back_off(p); /* the master may not have noticed yet what the worker saw */
    } else {
        piece_anew(p);
        p->state = PIECE_PICK;
        piece_run(p);
    }
}

/* it may be under way still */
static bool piece_is_unknown(int64_t err)
{
    return err == E_CLOSED || err == E_TIMEOUT || err == E_PROTO || err == E_CANCELLED;
}

static void piece_decide(struct client_piece *p)
{
    struct client_file *f = p->f;
    int64_t ret = p->ret;
    if (p->cancelled) {
        piece_end(p, ret < 0 ? ret : E_CANCELLED);
        return;
    }
    if (p->given_up) {
        if (!p->direct && piece_is_unknown(ret))
            piece_wait(p, PIECE_FENCE, NULL, env_now_ns(p->c->env) + p->fence_ns);
        else
            piece_end(p, ret < 0 ? ret : (int64_t)p->len);
        return;
    }
    bool pinned = p->kind == IO_READ && !p->is_live;
    if (ret >= 0 && pinned && (f->cf->live || f->pin.version != p->version)) {
        p->n_tried = 0; /* pinned anew while it was under way */
        p->state = PIECE_PICK;
        piece_run(p);
        return;
    }
    if (ret >= 0 && pinned) {
        uint64_t there = f->pin.size > p->off ? f->pin.size - p->off : 0;
        if ((uint64_t)ret < base_min_u64(p->len, there))
            ret = E_CHANGED; /* shorter than its version says */
    }
    if (ret > p->len && p->kind != IO_LOAD)
        ret = E_PROTO;
    if (ret >= 0)
        piece_end(p, p->kind == IO_WRITE ? (int64_t)p->len : ret);
    else if (ret == E_CHANGED || ret == E_STALE || ret == E_NOENT || ret == E_EOF)
        piece_refresh(p, ret);
    else if (pinned && piece_is_elsewhere(ret))
        piece_refresh(p, E_STALE);
    else if (piece_is_final(p, ret))
        piece_end(p, ret);
    else if (p->kind == IO_WRITE && !p->direct && piece_is_unknown(ret))
        piece_wait(p, PIECE_FENCE, NULL, env_now_ns(p->c->env) + p->fence_ns);
    else
        piece_next(p, ret);
}

static void piece_revoked(struct env_op *op)
{
    struct client_piece *p = container_of(op, struct client_piece, revoke);
    struct client *c = p->c;
    c->pending--;
    p->shared = false;
    piece_decide(p);
    client_quiet(c);
}

/* the attempt is over with p->ret */
static void piece_attempted(struct client_piece *p)
{
    if (!p->shared) {
        piece_decide(p);
        return;
    }
    p->state = PIECE_REVOKE;
    p->revoke.done = piece_revoked;
    p->c->pending++;
    env_revoke(&p->region, &p->revoke);
}

/* A place to append to is kept by the leader that gave it, for the session that asked: the next
 * leader gives it again.  When the file is truncated there is no such place any more; what has
 * begun by then goes on for a while, because it is waited for. */
static bool piece_is_displaced(const struct client_piece *p)
{
    if (p->kind != IO_WRITE || !p->io || !p->io->placed || MUTANT(APPEND_PLACE_OUTLIVES))
        return false;
    const struct client_ior *s = client_ior_of(p->io);
    return p->io->placed < p->c->places_from || s->is_void ||
           (!s->is_tried && p->io->placed < p->f->cf->places_from);
}

/* false: a write has to wait for the lease, or for the session's successor, or is over; or what is
 * to be read was pinned anew, and is too young */
static bool piece_may_begin(struct client_piece *p)
{
    if (piece_is_displaced(p)) {
        p->io->is_displaced = true;
        piece_end(p, client_ior_of(p->io)->is_tried ? E_IO : E_NOT_LEADER);
        return false;
    }
    int may = p->kind == IO_WRITE ? client_file_may_write(p->f) : 0;
    if ((p->kind == IO_READ || p->kind == IO_LOAD) && client_file_is_young(p->f)) {
        piece_wait(p, PIECE_LEASE, &p->f->cf->pieces, p->deadline_ns);
        return false;
    }
    if (may > 0) {
        struct cfile *cf = p->f->cf;
        p->n_tried = 0;
        p->direct = false;
        piece_wait(p, PIECE_LEASE, &cf->pieces, p->deadline_ns);
        client_file_ask(cf);
    } else if (may < 0) {
        piece_end(p, may);
    }
    return !may;
}

/* --- through a worker --- */

/* These bytes are in the hands of a worker, or of our own kernel, until they are synced.  Noted
 * before the attempt, because one that fails may write too, and after it, because a sync that ran
 * meanwhile need not have met them. */
static void piece_dirty(struct client_piece *p, uint64_t kernel)
{
    struct cfile *cf = p->f->cf;
    client_file_changed(cf);
    if (p->direct) {
        cf->dirty_direct = true;
        return;
    }
    for (uint32_t i = 0; i < cf->n_dirty; i++)
        if (cf->dirty[i].id.v == p->used.v) {
            /* the first that is known: a sync by a later one says nothing of what that took */
            if (!cf->dirty[i].kernel)
                cf->dirty[i].kernel = kernel;
            return;
        }
    if (cf->n_dirty < CLIENT_DIRTY_MAX)
        cf->dirty[cf->n_dirty++] = (struct client_dirty){p->used, kernel};
    else
        cf->dirty_many = true;
}

static void piece_called(struct env_op *op)
{
    struct client_piece *p = container_of(op, struct client_piece, call.op);
    struct client *c = p->c;
    struct rpc_io_reply rep = {0};
    env_timer_stop(c->env, &p->timer);
    int64_t ret = op->ret;
    if (!ret && p->call.reply_len) {
        struct rbuf r = rbuf_make(p->call.reply, p->call.reply_len);
        ret = rpc_format_io_reply_get(&r, &rep);
        if (!ret)
            ret = rep.bytes;
    } else if (!ret) {
        ret = E_PROTO;
    }
    if (p->kind == IO_SYNC && !ret && p->to_kernel && rep.kernel && rep.kernel != p->to_kernel)
        ret = E_IO; /* the host has started anew: the bytes may be lost */
    struct client_worker *w = client_worker_find(c, p->used);
    if (w && (ret == E_TIMEOUT || ret == E_CLOSED))
        client_worker_suspect(w);
    if (p->kind == IO_READ && ret >= 0) {
        c->stats.worker_hits += rep.hit != 0;
        c->stats.worker_misses += rep.hit == 0;
    }
    if (p->kind == IO_WRITE)
        piece_dirty(p, ret < 0 ? 0 : rep.kernel);
    if (p->kind == IO_WRITE && ret >= 0 && (uint64_t)ret != p->len)
        ret = E_IO;
    p->ret = ret;
    piece_attempted(p);
}

/* a write's attempt is given up: it may have done its work, or do it still */
static void piece_call_off(struct client_piece *p, int why)
{
    rpc_cancel(&p->call);
    piece_dirty(p, 0);
    p->ret = why;
    piece_attempted(p);
}

/* the lease ends, or would have without a renewal */
static void piece_lease_over(struct client_piece *p)
{
    struct client *c = p->c;
    if (client_leased(c)) {
        env_timer_set(c->env, &p->timer, c->lease_until_ns);
        return;
    }
    piece_call_off(p, E_TIMEOUT);
}

/* how long what a worker pulls may be written, and p->fence_ns; 0: there is no time left */
static uint16_t piece_valid_ms(struct client_piece *p)
{
    int64_t left_ns = p->deadline_ns - env_now_ns(p->c->env);
    int64_t ms = left_ns / CLIENT_MS / 4;
    ms = ms < RPC_WRITE_VALID_MS ? ms : RPC_WRITE_VALID_MS;
    /* clocks of two machines may differ by an eighth of their speed */
    p->fence_ns = ms * CLIENT_MS * 9 / 8;
    return ms > 0 ? (uint16_t)ms : 0;
}

static void piece_call(struct client_piece *p, struct client_worker *w)
{
    static const uint16_t methods[] = {RPC_READ, RPC_WRITE, RPC_SYNC, RPC_LOAD};
    struct client *c = p->c;
    struct client_file *f = p->f;
    struct cfile *cf = f->cf;
    uint16_t valid_ms = 0;
    if (p->kind == IO_WRITE && !(valid_ms = piece_valid_ms(p))) {
        piece_end(p, E_TIMEOUT);
        return;
    }
    if (p->io)
        client_ior_of(p->io)->is_tried = true;
    p->is_live = cf->live || p->kind == IO_WRITE || p->kind == IO_SYNC;
    const struct fsattr *a = p->is_live ? &cf->attr : &f->pin;
    p->version = a->version;
    struct rpc_io io = {
        .ino = cf->ino,
        .version = a->version,
        .size = a->size,
        .fp = a->fp,
        .ufs_ino = a->ufs_ino,
        .mount = cf->mount,
        .flags = (uint16_t)((p->is_live ? RPC_IO_LIVE : 0) | (p->data_only ? RPC_IO_DATA : 0)),
        .off = p->off,
        .len = p->len,
        .valid_ms = valid_ms,
        .path = cf->path,
        .path_len = cf->path_len};
    if (p->kind == IO_READ || p->kind == IO_WRITE) {
        env_share(c->env, p->buf, p->len, &p->region, &p->key);
        p->shared = true;
        io.key = p->key;
    }
    struct wbuf b = wbuf_make(c->scratch, RPC_BODY_MAX);
    rpc_format_io_put(&b, &io);
    int64_t now_ns = env_now_ns(c->env);
    int64_t attempt_ns = (p->deadline_ns - now_ns) / 4;
    if (attempt_ns < PIECE_ATTEMPT_MIN_NS)
        attempt_ns = PIECE_ATTEMPT_MIN_NS;
    int64_t last_ns = p->deadline_ns - p->fence_ns;
    int64_t until_ns = now_ns + attempt_ns < last_ns ? now_ns + attempt_ns : last_ns;
    p->state = PIECE_CALL;
    p->used = w->id;
    p->call.op.done = piece_called;
    if (p->kind == IO_WRITE)
        piece_dirty(p, 0);
    if (p->kind == IO_WRITE && !MUTANT(EXPIRY_IGNORED))
        env_timer_set(c->env, &p->timer, c->lease_until_ns);
    rpc_call(w->conn, p->is_alloc ? RPC_ALLOC : methods[p->kind], b.p, (uint32_t)b.len, until_ns,
             &p->call);
}

/* a worker that can sync what `to` wrote: itself, or another one on its host */
static struct client_worker *piece_syncer(struct client_piece *p)
{
    struct client *c = p->c;
    struct client_worker *w = client_worker_find(c, p->to);
    if (!w || w->alive)
        return w;
    for (uint32_t i = 0; i < c->n_alive; i++) {
        struct client_worker *other = c->workers[c->alive_at[i]];
        if (w->host[0] && !strcmp(other->host, w->host))
            return other;
    }
    return NULL;
}

/* --- past the workers --- */

static void piece_ufs_done(struct env_op *op)
{
    struct client_piece *p = container_of(op, struct client_piece, ufs.op);
    struct client *c = p->c;
    c->pending--;
    int64_t ret = op->ret;
    if (!p->cancelled && p->kind == IO_WRITE)
        piece_dirty(p, 0);
    if (!p->cancelled && ret >= 0) {
        if (p->kind == IO_READ)
            memcpy(p->buf, p->bounce, (size_t)base_min_u64((uint64_t)ret, p->len));
        c->stats.fallback_reads += p->kind == IO_READ;
    }
    mem_free(c->mem, p->bounce, p->len);
    mem_free(c->mem, p->ufs_path, p->ufs_path_len);
    p->bounce = p->ufs_path = NULL;
    p->ret = ret;
    if (p->cancelled)
        client_piece_put(p); /* its owner went long ago */
    else
        piece_decide(p);
    client_quiet(c);
}

static void piece_direct(struct client_piece *p)
{
    static const enum ufs_kind kinds[] = {UFS_READ, UFS_WRITE, UFS_SYNC};
    struct client *c = p->c;
    struct cfile *cf = p->f->cf;
    struct ufs *u = NULL;
    int err = client_worker_ufs(c, cf->mount, &u);
    if (err > 0) {
        piece_wait(p, PIECE_MOUNTS, &c->mount_waiting, p->deadline_ns);
        return;
    }
    if (err == E_NOTSUP) {
        piece_end(p, err);
        return;
    }
    if (p->io)
        client_ior_of(p->io)->is_tried = true;
    p->is_live = cf->live || p->kind != IO_READ;
    p->version = p->f->pin.version;
    p->ufs_path_len = cf->path_len + 1;
    p->ufs_path = err ? NULL : mem_alloc(c->mem, p->ufs_path_len);
    p->bounce = err || !p->len ? NULL : mem_alloc(c->mem, p->len);
    if (!p->ufs_path || (p->len && !p->bounce)) {
        mem_free(c->mem, p->ufs_path, p->ufs_path_len);
        mem_free(c->mem, p->bounce, p->len);
        p->ufs_path = p->bounce = NULL;
        piece_next(p, err ? err : E_NOMEM);
        return;
    }
    memcpy(p->ufs_path, cf->path ? cf->path : "", p->ufs_path_len);
    if (p->kind == IO_WRITE) {
        memcpy(p->bounce, p->buf, p->len);
        piece_dirty(p, 0);
    }
    memset(&p->ufs, 0, sizeof p->ufs);
    p->ufs.kind = kinds[p->kind];
    p->ufs.flags = p->data_only ? UFS_F_DATA : 0;
    if (p->is_alloc) {
        p->ufs.kind = UFS_ALLOC;
        p->ufs.size = p->io->range;
        p->ufs.mode = p->io->how;
    }
    p->ufs.path = p->ufs_path;
    p->ufs.buf = p->bounce;
    p->ufs.len = p->len;
    p->ufs.off = p->off;
    p->ufs.expect_fp = p->is_live ? 0 : p->f->pin.fp;
    p->ufs.expect_ino = MUTANT(PATH_TRUSTED) ? 0
                        : p->is_live         ? cf->attr.ufs_ino
                                             : p->f->pin.ufs_ino;
    if (p->kind == IO_WRITE)
        p->ufs.not_after_ns = p->deadline_ns < c->lease_until_ns || MUTANT(EXPIRY_IGNORED)
                                  ? p->deadline_ns
                                  : c->lease_until_ns;
    p->ufs.op.done = piece_ufs_done;
    p->state = PIECE_UFS;
    env_timer_stop(c->env, &p->timer);
    c->pending++;
    ufs_submit(u, &p->ufs);
}

/* --- the switch --- */

static void piece_pick(struct client_piece *p)
{
    struct client *c = p->c;
    if (env_now_ns(c->env) >= p->deadline_ns) {
        piece_end(p, E_TIMEOUT);
        return;
    }
    if (!piece_may_begin(p))
        return;
    if (p->direct) {
        piece_direct(p);
        return;
    }
    struct client_worker *w = p->kind == IO_SYNC && !p->any ? piece_syncer(p) : piece_choice(p);
    if (!w) {
        p->n_tried = CLIENT_RANKS;
        piece_next(p, E_UNAVAILABLE);
        return;
    }
    if (p->n_tried < CLIENT_RANKS)
        p->tried[p->n_tried++] = w->id;
    if (w->conn) {
        piece_call(p, w);
        return;
    }
    p->used = w->id;
    piece_wait(p, PIECE_CONNECT, &w->waiting, p->deadline_ns);
    client_worker_connect(w);
}

static void piece_connected(struct client_piece *p)
{
    struct client_worker *w = client_worker_find(p->c, p->used);
    if (p->ret < 0 || !w || !w->conn)
        piece_next(p, p->ret < 0 ? p->ret : E_CLOSED);
    else if (piece_may_begin(p))
        piece_call(p, w);
}

static void piece_run(struct client_piece *p)
{
    switch ((enum client_piece_state)p->state) {
    case PIECE_PICK:
    case PIECE_LEASE:
    case PIECE_BACKOFF:
        piece_pick(p);
        break;
    case PIECE_CONNECT: /* ret says how it went */
        piece_connected(p);
        break;
    case PIECE_REFRESH:
        piece_refreshed(p);
        break;
    case PIECE_FENCE:
        if (p->given_up)
            piece_end(p, p->ret);
        else
            piece_next(p, p->ret);
        break;
    case PIECE_MOUNTS:
        if (p->ret < 0)
            piece_next(p, p->ret);
        else if (piece_may_begin(p))
            piece_direct(p);
        break;
    case PIECE_CALL:
    case PIECE_REVOKE:
    case PIECE_UFS:
    case PIECE_DONE:
        ASSERT(false); /* these end by their own completion */
    }
}

static void piece_timer(struct env_op *op)
{
    struct client_piece *p = container_of(op, struct client_piece, timer.op);
    struct client *c = p->c;
    if (list_linked(&p->wait))
        list_remove(&p->wait);
    if (p->state == PIECE_CALL)
        piece_lease_over(p);
    else if (env_now_ns(c->env) >= p->deadline_ns)
        piece_end(p, E_TIMEOUT);
    else
        piece_run(p);
    client_quiet(c);
}

void client_piece_start(struct client_piece *p)
{
    p->timer.op.done = piece_timer;
    p->cuts = p->f->cf->cuts;
    p->state = PIECE_PICK;
    piece_run(p);
}

void client_piece_wake(struct list *waiting, int err)
{
    struct list now;
    list_init(&now);
    list_splice(&now, waiting);
    for (struct list *it; (it = list_pop(&now));) {
        struct client_piece *p = list_entry(it, struct client_piece, wait);
        env_timer_stop(p->c->env, &p->timer);
        p->ret = err;
        piece_run(p);
    }
}

void client_piece_void_all(struct client *c)
{
    c->places_from = ++c->places;
    list_each_safe(it, &c->pieces) {
        struct client_piece *p = list_entry(it, struct client_piece, all);
        bool is_placed = p->kind == IO_WRITE && p->io && p->io->placed;
        if (!is_placed || p->state != PIECE_CALL || MUTANT(APPEND_PLACE_OUTLIVES))
            continue;
        env_timer_stop(c->env, &p->timer);
        piece_call_off(p, E_TIMEOUT);
    }
}

static bool piece_is_begun(const struct client_piece *p)
{
    switch ((enum client_piece_state)p->state) {
    case PIECE_CALL:
    case PIECE_REVOKE:
    case PIECE_FENCE:
    case PIECE_UFS:
        return true;
    default:
        return false;
    }
}

bool client_piece_void(struct client *c, struct ino ino)
{
    struct cfile *cf = client_file_find(c, ino);
    int64_t now = env_now_ns(c->env);
    bool is_over = true;
    if (!cf)
        return true;
    cf->places_from = ++c->places;
    list_each(it, &c->ios) {
        struct client_ior *s = list_entry(it, struct client_ior, link);
        const struct client_io *io = client_io_of(s);
        if (s->kind != IO_WRITE || !io->placed || io->file->cf != cf || !s->is_tried)
            continue;
        s->awaited_ns = s->awaited_ns ? s->awaited_ns : now;
        s->is_void |= now - s->awaited_ns >= PIECE_AWAITED_NS;
        is_over &= s->is_void;
    }
    list_each(it, &c->pieces) {
        const struct client_piece *p = list_entry(it, struct client_piece, all);
        bool is_placed = p->kind == IO_WRITE && p->io && p->io->placed && p->f->cf == cf;
        is_over &= !is_placed || !piece_is_begun(p);
    }
    return is_over;
}

void client_piece_give_up(struct client_piece *p)
{
    if (p->cancelled || p->given_up)
        return;
    p->given_up = true;
    switch ((enum client_piece_state)p->state) {
    case PIECE_CALL:
        env_timer_stop(p->c->env, &p->timer);
        piece_call_off(p, E_CANCELLED);
        break;
    case PIECE_REVOKE:
    case PIECE_FENCE:
    case PIECE_UFS:
    case PIECE_DONE:
        break; /* on the way to its end */
    default:
        if (list_linked(&p->wait))
            list_remove(&p->wait);
        piece_end(p, E_CANCELLED);
        break;
    }
}

void client_piece_cancel(struct client_piece *p)
{
    struct client *c = p->c;
    if (p->cancelled)
        return;
    p->cancelled = true;
    p->ret = E_CANCELLED;
    if (list_linked(&p->wait))
        list_remove(&p->wait);
    env_timer_stop(c->env, &p->timer);
    switch ((enum client_piece_state)p->state) {
    case PIECE_CALL:
        rpc_cancel(&p->call);
        piece_attempted(p);
        break;
    case PIECE_REVOKE:
        break;        /* ends soon */
    case PIECE_UFS: { /* lives on alone, with its own buffer */
        struct client_io *io = p->io;
        struct client_ra *ra = p->ra;
        struct client_page *page = p->page;
        struct client_file *f = p->f;
        p->io = NULL;
        p->ra = NULL;
        p->page = NULL;
        p->f = NULL;
        if (io)
            client_io_piece_lost(io);
        if (ra)
            client_readahead_lost(ra);
        if (page)
            client_pages_lost(page);
        client_file_unref(f);
        break;
    }
    case PIECE_DONE:
        break;
    default:
        piece_end(p, E_CANCELLED);
        break;
    }
}
