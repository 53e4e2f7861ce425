/* cluster/worker_rpc.c - what is asked of a worker: one request struct, one state, one switch.
 *
 * READ (and LOAD, which stops where READ would send):
 *
 *   NEXT --cached--> DISK --checksum good--> RMA --> NEXT ... --> answer
 *     |                \--doubtful--> DROPPED --> NEXT (fetched again)
 *     |--being fetched--> ON_FILL --> RMA_FILL --> NEXT ...
 *     |--not here--> a fill is started, then as above
 *     \--live, no fingerprint--> UFS_READ --> RMA --> NEXT ...
 *
 * WRITE:  NEXT > PULL > UFS_WRITE > NEXT ... > answer      SYNC:  NEXT > UFS_SYNC > answer
 * ALLOC:  as WRITE; what is pulled says which range
 *
 * A process that was stopped between PULL and UFS_WRITE goes on when its client has long written
 * something newer elsewhere.  So what was pulled is valid for RPC_WRITE_VALID_MS, or less where the
 * client says so, which is looked at right before the write; clients wait that long before they
 * write another way.  Who does not
 * give the bytes in WORKER_PULL_NS is hung up on: a process that is stopped would keep the buffers.
 *
 * In NEXT a request that needs a buffer or a place among the fetches waits in a queue and comes
 * back to NEXT when something became free; a wait ends at its deadline. */
#include "cluster/worker_impl.h"
#include "core/crc.h"
#include "core/fmt.h"
#include "core/mutant.h"
#include "core/sometimes.h"

enum { WORKER_CHUNK = 256 * 1024 };

static const int64_t WORKER_WAIT_NS = 20 * 1000000000LL;
static const int64_t WORKER_PULL_NS = 5 * 1000000000LL;

static void worker_req_run(struct worker_req *r);

/* ---- waiting and ending ---- */

static void worker_req_wait(struct worker_req *r, struct list *queue)
{
    struct worker *w = r->w;
    list_push_back(queue, &r->wait);
    list_push_back(&w->aging, &r->aging);
    r->since_ns = env_now_ns(w->env);
}

static void worker_req_unwait(struct worker_req *r)
{
    if (list_linked(&r->wait))
        list_remove(&r->wait);
    if (list_linked(&r->aging))
        list_remove(&r->aging);
}

static void worker_req_buf_put(struct worker_req *r)
{
    if (r->buf)
        worker_buf_put(r->w, r->buf, r->is_ufs_buf ? r->mount : NULL);
    r->buf = NULL;
    r->is_ufs_buf = false;
}

static void worker_req_end(struct worker_req *r, int err)
{
    struct worker *w = r->w;
    worker_req_unwait(r);
    worker_req_buf_put(r);
    worker_hot_put(w, r->hot);
    if (r->mount)
        r->mount->reqs--;
    worker_mount_put(w, r->mount);
    if (r->method == RPC_READ && !err) {
        w->stats.reads++;
        w->stats.hits += r->all_hit;
        w->stats.misses += !r->all_hit && !(r->io.flags & RPC_IO_LIVE);
    }
    uint8_t body[16];
    struct wbuf b = wbuf_make(body, sizeof body);
    struct rpc_io_reply reply = {(uint32_t)(r->at - r->io.off), r->all_hit, w->kernel};
    if (!err)
        rpc_format_io_reply_put(&b, &reply);
    rpc_reply(r->token, err, body, (uint32_t)b.len);
    mem_free(w->mem, (void *)(uintptr_t)r->io.path, r->io.path_len + 1);
    list_remove(&r->open);
    pool_put(&w->reqs, r);
    worker_rpc_kick(w);
}

static bool worker_req_may_buf(const struct worker_req *r)
{
    return worker_buf_may(r->w, r->is_ufs_buf ? r->mount : NULL);
}

static bool worker_req_may_fill(const struct worker_req *r)
{
    return worker_fill_may_start(r->w, r->mount);
}

/* The first of a queue that may go on runs; those of a mount that hangs are passed over. */
static bool worker_rpc_kick_one(struct list *queue, bool (*may)(const struct worker_req *r))
{
    list_each(it, queue) {
        struct worker_req *r = list_entry(it, struct worker_req, wait);
        if (!may(r))
            continue;
        worker_req_unwait(r);
        worker_req_run(r);
        return true;
    }
    return false;
}

/* Gives what became free to those who wait, in the order of their coming. */
void worker_rpc_kick(struct worker *w)
{
    if (w->in_kick)
        return;
    w->in_kick = true;
    for (bool more = true; more;) {
        more = w->free_bufs && worker_rpc_kick_one(&w->wait_buf, worker_req_may_buf);
        if (w->free_bufs && w->fetching < w->cfg.fetches_max)
            more |= worker_rpc_kick_one(&w->wait_fill, worker_req_may_fill);
    }
    w->in_kick = false;
}

void worker_rpc_expire(struct worker *w)
{
    int64_t now = env_now_ns(w->env);
    while (!list_empty(&w->aging)) {
        struct worker_req *r = list_entry(w->aging.next, struct worker_req, aging);
        if (now - r->since_ns < WORKER_WAIT_NS)
            break;
        w->stats.errors++;
        worker_req_end(r, E_TIMEOUT);
    }
    list_each(it, &w->reqs_open) { /* they end on a later turn */
        struct worker_req *r = list_entry(it, struct worker_req, open);
        struct rpc_conn *c = r->state == WR_PULL ? rpc_token_conn(r->token) : NULL;
        if (c && now - r->since_ns >= WORKER_PULL_NS)
            rpc_hangup(c);
    }
}

void worker_rpc_abort(struct worker *w, int err)
{
    while (!list_empty(&w->aging))
        worker_req_end(list_entry(w->aging.next, struct worker_req, aging), err);
}

/* ---- operations ---- */

static void worker_req_job_done(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, op);
    worker_req_run(container_of(j, struct worker_req, job));
}

static void worker_req_ufs_done(struct env_op *op)
{
    struct ufs_op *u = container_of(op, struct ufs_op, op);
    worker_req_run(container_of(u, struct worker_req, ufs));
}

static void worker_req_rma_done(struct env_op *op)
{
    worker_req_run(container_of(op, struct worker_req, rma));
}

/* bytes between our memory and the caller's, for the piece at hand; false: the caller has gone */
static bool worker_req_rma(struct worker_req *r, enum worker_req_state state, enum env_rma dir,
                           uint8_t *mem)
{
    struct rpc_conn *c = rpc_token_conn(r->token);
    struct env_conn *e = c ? rpc_env_conn(c) : NULL;
    if (!e)
        return false;
    r->state = state;
    r->rma.done = worker_req_rma_done;
    env_rma(e, dir, mem, r->piece, r->io.key, r->io.key_off + (r->at - r->io.off), &r->rma);
    return true;
}

static void worker_req_ufs(struct worker_req *r, enum worker_req_state state, enum ufs_kind kind)
{
    r->state = state;
    r->ufs = (struct ufs_op){
        .op.done = worker_req_ufs_done,
        .kind = kind,
        .path = r->io.path,
        .buf = r->buf,
        .len = r->piece,
        .off = r->at,
        .expect_fp = kind == UFS_READ && !(r->io.flags & RPC_IO_LIVE) ? r->io.fp : 0,
        .flags = kind == UFS_SYNC && (r->io.flags & RPC_IO_DATA) ? UFS_F_DATA : 0,
        .expect_ino = MUTANT(PATH_TRUSTED) ? 0 : r->io.ufs_ino,
        .not_after_ns = r->method != RPC_SYNC && !MUTANT(FENCE_IGNORED) ? r->valid_ns : 0,
    };
    if (kind == UFS_ALLOC) {
        struct rbuf in = rbuf_make(r->buf, RPC_ALLOC_BYTES);
        struct rpc_alloc a;
        (void)rpc_format_alloc_get(&in, &a); /* any bytes are one; the under-store checks them */
        r->ufs.size = a.len;
        r->ufs.mode = a.how;
    }
    ufs_submit(r->mount->ufs, &r->ufs);
}

/* ---- the next piece ---- */

static uint32_t worker_req_piece(const struct worker_req *r)
{
    uint64_t page = r->w->id.page_bytes;
    if (r->method == RPC_ALLOC)
        return RPC_ALLOC_BYTES;
    return (uint32_t)base_min_u64(page - r->at % page, r->end - r->at);
}

static bool worker_req_need_buf(struct worker_req *r, bool is_ufs)
{
    if (!r->buf) {
        r->is_ufs_buf = is_ufs;
        r->buf = worker_buf_get(r->w, is_ufs ? r->mount : NULL);
    }
    if (!r->buf)
        worker_req_wait(r, &r->w->wait_buf);
    return r->buf;
}

static void worker_req_mount(struct worker_req *r)
{
    r->mount = worker_mount_get(r->w, r->io.mount);
    if (r->mount)
        r->mount->reqs++;
}

static bool worker_req_need_mount(struct worker_req *r)
{
    if (!r->mount)
        worker_req_mount(r);
    if (r->mount)
        return true;
    worker_beat_now(r->w); /* a master may know it by now */
    worker_req_end(r, E_AGAIN);
    return false;
}

/* the piece went to the caller: on to the next; ret: true to go on at once */
static bool worker_req_advance(struct worker_req *r)
{
    r->at += r->piece;
    r->retries = 0;
    r->is_direct = false;
    r->state = WR_NEXT;
    return true;
}

static void worker_req_hot_put(struct worker_req *r)
{
    worker_hot_put(r->w, r->hot);
    r->hot = NULL;
}

/* r->hot for the page at hand: what is in memory, what this request brings there, or nothing */
static void worker_req_hot(struct worker_req *r, struct cache_key key, uint32_t in_page,
                           uint32_t size)
{
    const struct worker_hot_page *p = r->hot;
    if (p && (p->key.page != key.page || p->key.version != key.version))
        worker_req_hot_put(r);
    if (!r->hot)
        r->hot = worker_hot_find(r->w, key);
    if (!r->hot && !in_page && r->piece == size)
        r->hot = worker_hot_begin(r->w, key, size);
}

static bool worker_req_cached(struct worker_req *r, uint32_t slot)
{
    struct worker *w = r->w;
    if (r->method == RPC_LOAD) {
        cache_hit(&w->cache, slot);
        return worker_req_advance(r);
    }
    const struct cache_slot *s = &w->cache.slot[slot];
    struct cache_key key = {s->file->ino, s->file->version, s->page};
    uint32_t in_page = (uint32_t)(r->at % w->id.page_bytes);
    if (r->at == r->io.off || in_page == 0)
        cache_hit(&w->cache, slot);
    worker_req_hot(r, key, in_page, s->size);
    if (r->hot && r->hot->is_ready) {
        if (!worker_req_rma(r, WR_RMA, ENV_RMA_WRITE, r->hot->buf + in_page))
            worker_req_end(r, E_CLOSED);
        return false;
    }
    if (!r->hot && !worker_req_need_buf(r, false))
        return false;
    uint32_t from = in_page / WORKER_FORMAT_BLOCK * WORKER_FORMAT_BLOCK;
    /* in chunks: what was read is still in the CPU's cache when it is checked and sent, and the
     * caller takes one chunk while we read the next */
    r->piece = (uint32_t)base_min_u64(r->piece, from + WORKER_CHUNK - in_page);
    uint32_t to =
        (uint32_t)base_min_u64(base_align_up(in_page + r->piece, WORKER_FORMAT_BLOCK), s->size);
    cache_pin(&w->cache, slot);
    r->slot = slot;
    r->state = WR_DISK;
    r->job = (struct worker_job){
        .op.done = worker_req_job_done,
        .kind = WORKER_JOB_READ,
        .key = key,
        .buf = r->hot ? r->hot->buf + from : r->buf,
        .len = to - from,
        .off = r->at - in_page + from,
    };
    worker_store_submit(&w->store, &r->job);
    return false;
}

/* a fill has the page: send from its buffer; ret: true to go on at once */
static bool worker_req_from_fill(struct worker_req *r, struct worker_fill *f)
{
    r->all_hit = false;
    if (r->method == RPC_LOAD)
        return worker_req_advance(r);
    r->fill = f;
    if (!worker_req_rma(r, WR_RMA_FILL, ENV_RMA_WRITE, f->buf + r->at % r->w->id.page_bytes)) {
        worker_req_end(r, E_CLOSED);
        return false;
    }
    f->readers++;
    return false;
}

static bool worker_req_missing(struct worker_req *r, struct cache_key key)
{
    struct worker *w = r->w;
    struct cache_fill *c = cache_fill_find(&w->cache, key);
    struct worker_fill *f = c ? container_of(c, struct worker_fill, fill) : NULL;
    r->all_hit = false;
    if (f && (f->fp != r->io.fp || f->file_size != r->io.size)) {
        r->is_direct = true; /* one of the two is not what this version is: ask the under-store */
        return true;
    }
    if (!f) {
        if (!worker_req_need_mount(r))
            return false;
        if (!worker_fill_may_start(w, r->mount)) {
            worker_req_wait(r, &w->wait_fill);
            return false;
        }
        f = worker_fill_start(w, r, key);
        if (!f) {
            worker_req_end(r, E_NOMEM);
            return false;
        }
    }
    if (MUTANT(FETCH_STICKS) && f->state == WF_DONE) {
        worker_req_end(r, E_IO);
        return false;
    }
    if (f->state != WF_FETCH)
        return worker_req_from_fill(r, f);
    r->state = WR_ON_FILL;
    worker_req_wait(r, &f->waiters);
    return false;
}

static bool worker_req_direct(struct worker_req *r)
{
    r->all_hit = false;
    if (!worker_req_need_mount(r) || !worker_req_need_buf(r, true))
        return false;
    r->w->stats.live_reads++;
    r->w->stats.ufs_reads++;
    worker_req_ufs(r, WR_UFS_READ, UFS_READ);
    return false;
}

static bool worker_req_next_read(struct worker_req *r)
{
    struct worker *w = r->w;
    uint64_t page = r->at / w->id.page_bytes;
    if ((r->io.flags & RPC_IO_LIVE) || !r->io.fp || r->is_direct || page > UINT32_MAX)
        return worker_req_direct(r);
    struct cache_key key = {r->io.ino, MUTANT(PAGE_ANY_VERSION) ? 1 : r->io.version,
                            (uint32_t)page};
    uint32_t slot = cache_find(&w->cache, key);
    if (slot == CACHE_NONE) {
        worker_req_buf_put(r); /* nothing may be held while waiting for a fill */
        return worker_req_missing(r, key);
    }
    if (w->cache.slot[slot].file->size != r->io.size)
        return worker_req_direct(r);
    return worker_req_cached(r, slot);
}

/* ret: true to go on at once; the request may have ended when false */
static bool worker_req_next(struct worker_req *r)
{
    struct worker *w = r->w;
    if (w->stopping || w->phase != WP_SERVE) {
        worker_req_end(r, E_UNAVAILABLE);
        return false;
    }
    if (!rpc_token_conn(r->token)) {
        worker_req_end(r, E_CLOSED);
        return false;
    }
    if (r->method == RPC_SYNC) {
        if (worker_req_need_mount(r))
            worker_req_ufs(r, WR_UFS_SYNC, UFS_SYNC);
        return false;
    }
    if (r->at >= r->end) {
        worker_req_end(r, 0);
        return false;
    }
    r->piece = worker_req_piece(r);
    if (r->method != RPC_WRITE && r->method != RPC_ALLOC)
        return worker_req_next_read(r);
    if (!worker_req_need_mount(r) || !worker_req_need_buf(r, true))
        return false;
    r->since_ns = env_now_ns(w->env);
    r->valid_ns = r->since_ns + r->io.valid_ms * 1000000LL;
    if (!worker_req_rma(r, WR_PULL, ENV_RMA_READ, r->buf))
        worker_req_end(r, E_CLOSED);
    return false;
}

/* ---- after a state's operation ---- */

bool worker_rpc_verify(const struct worker *w, const struct cache_slot *s, const uint8_t *bytes,
                       uint32_t len, uint64_t off)
{
    const uint32_t *crc = s->tag;
    if (MUTANT(CRC_UNCHECKED))
        return true;
    uint32_t first = (uint32_t)(off % w->id.page_bytes) / WORKER_FORMAT_BLOCK;
    for (uint32_t at = 0, i = first; at < len; at += WORKER_FORMAT_BLOCK, i++) {
        uint64_t n = base_min_u64(WORKER_FORMAT_BLOCK, len - at);
        if (crc_update(0, bytes + at, n) != crc[i]) {
            SOMETIMES(WORKER_DAMAGED);
            return false;
        }
    }
    return true;
}

/* ret: true to go on at once */
static bool worker_req_read(struct worker_req *r)
{
    struct worker *w = r->w;
    int64_t ret = r->job.op.ret;
    struct cache_slot *s = &w->cache.slot[r->slot];
    bool good =
        ret == (int64_t)r->job.len && worker_rpc_verify(w, s, r->job.buf, r->job.len, r->job.off);
    bool is_there = s->file; /* false: removed while we read, and its place may be reused */
    enum worker_job_kind then = WORKER_JOB_CLEAR;
    if (!good && is_there && ret != E_AGAIN) {
        w->stats.corrupt++;
        fmt_log(w->env, ENV_LOG_WARN,
                "worker %s: page %u of file %llx is damaged on disk (%s): fetching it again",
                w->cfg.listen, s->page, (unsigned long long)r->io.ino.v,
                ret < 0 ? err_text((int)ret) : "checksum");
        then = worker_fill_forget(w, r->slot, EVICT_DELETED);
    }
    cache_unpin(&w->cache, r->slot);
    if (good) {
        uint8_t *from = (uint8_t *)r->job.buf + (r->at - r->job.off);
        if (r->hot && r->job.off % w->id.page_bytes + r->job.len == r->hot->len)
            worker_hot_ready(w, r->hot);
        if (!worker_req_rma(r, WR_RMA, ENV_RMA_WRITE, from))
            worker_req_end(r, E_CLOSED);
        return false;
    }
    worker_req_buf_put(r);
    worker_req_hot_put(r);
    r->all_hit = false;
    if (++r->retries > WORKER_RETRIES || ret == E_AGAIN)
        r->is_direct = true;
    r->state = WR_NEXT;
    if (!is_there || ret == E_AGAIN)
        return true;
    r->state = WR_DROPPED;
    r->job.kind = then;
    worker_store_submit(&w->store, &r->job);
    return false;
}

static bool worker_req_fail(struct worker_req *r, int64_t ret)
{
    r->w->stats.errors += ret != E_CHANGED && ret != E_CLOSED;
    worker_req_end(r, (int)ret);
    return false;
}

static bool worker_req_sent(struct worker_req *r)
{
    if (r->rma.ret < 0)
        return worker_req_fail(r, r->rma.ret);
    r->w->stats.bytes_served += r->piece;
    worker_req_buf_put(r);
    worker_req_advance(r);
    return true;
}

/* ret: true to go on at once */
static bool worker_req_from_ufs(struct worker_req *r)
{
    int64_t ret = r->ufs.op.ret;
    if (ret < 0)
        return worker_req_fail(r, ret);
    r->w->stats.ufs_bytes += (uint64_t)ret;
    if ((uint32_t)ret < r->piece)
        r->end = r->at + (uint32_t)ret;
    r->piece = (uint32_t)ret;
    if (!ret || r->method == RPC_LOAD) {
        worker_req_buf_put(r);
        return worker_req_advance(r);
    }
    if (!worker_req_rma(r, WR_RMA, ENV_RMA_WRITE, r->buf))
        worker_req_end(r, E_CLOSED);
    return false;
}

static bool worker_req_written(struct worker_req *r)
{
    if (r->ufs.op.ret < 0) /* too late: nothing was written, and it may be tried again */
        return worker_req_fail(r, r->ufs.op.ret == E_TIMEOUT ? E_AGAIN : r->ufs.op.ret);
    r->w->stats.writes++;
    worker_req_buf_put(r);
    return worker_req_advance(r);
}

static void worker_req_run(struct worker_req *r)
{
    struct worker_fill *f;
    for (bool more = true; more;) {
        switch (r->state) {
        case WR_NEXT:
            more = worker_req_next(r);
            break;
        case WR_DISK:
            more = worker_req_read(r);
            break;
        case WR_DROPPED:
            r->state = WR_NEXT;
            break;
        case WR_RMA:
            more = worker_req_sent(r);
            break;
        case WR_RMA_FILL:
            f = r->fill;
            r->fill = NULL;
            more = worker_req_sent(r);
            worker_fill_reader_done(f);
            break;
        case WR_UFS_READ:
            more = worker_req_from_ufs(r);
            break;
        case WR_PULL:
            if (r->rma.ret < 0) {
                worker_req_fail(r, r->rma.ret);
                return;
            }
            worker_req_ufs(r, WR_UFS_WRITE, r->method == RPC_ALLOC ? UFS_ALLOC : UFS_WRITE);
            return;
        case WR_UFS_WRITE:
            more = worker_req_written(r);
            break;
        case WR_UFS_SYNC:
            worker_req_end(r, r->ufs.op.ret < 0 ? (int)r->ufs.op.ret : 0);
            return;
        case WR_ON_FILL:
            ASSERT(!"woken by worker_rpc_filled only");
        }
    }
}

void worker_rpc_filled(struct worker_req *r, struct worker_fill *f, int err)
{
    worker_req_unwait(r);
    r->state = WR_NEXT;
    if (err)
        worker_req_end(r, err);
    else if (worker_req_from_fill(r, f))
        worker_req_run(r);
}

/* ---- calls ---- */

static void worker_rpc_io(struct worker *w, struct rpc_token t, uint16_t method, const void *body,
                          uint32_t len)
{
    struct rbuf in = rbuf_make(body, len);
    struct rpc_io io;
    int err = rpc_format_io_get(&in, &io);
    if (!err && (!io.ino.v || io.off > INT64_MAX || io.path_len >= LIMIT_BELOW ||
                 (io.path_len && memchr(io.path, 0, io.path_len)) ||
                 (method == RPC_ALLOC && io.len != RPC_ALLOC_BYTES)))
        err = E_INVAL;
    if (!err && w->phase != WP_SERVE)
        err = w->stopping || w->phase == WP_FAILED ? E_UNAVAILABLE : E_AGAIN;
    if (!err && env_fault(w->env, "worker.busy"))
        err = E_AGAIN;
    struct worker_req *r = err ? NULL : pool_get(&w->reqs);
    char *path = r ? mem_alloc(w->mem, io.path_len + 1) : NULL;
    if (!err && !path)
        err = E_AGAIN;
    if (err) {
        if (r)
            pool_put(&w->reqs, r);
        rpc_reply(t, err, NULL, 0);
        return;
    }
    if (io.path_len)
        memcpy(path, io.path, io.path_len);
    path[io.path_len] = 0;
    r->w = w;
    r->token = t;
    r->method = method;
    r->io = io;
    r->io.path = path;
    if (!io.valid_ms || io.valid_ms > RPC_WRITE_VALID_MS)
        r->io.valid_ms = RPC_WRITE_VALID_MS;
    r->at = io.off;
    r->end = io.off + io.len;
    if (method != RPC_WRITE && method != RPC_ALLOC && !(io.flags & RPC_IO_LIVE))
        r->end = base_max_u64(io.off, base_min_u64(r->end, io.size));
    r->all_hit = true;
    list_init(&r->wait);
    list_init(&r->aging);
    list_push_back(&w->reqs_open, &r->open);
    worker_req_mount(r);
    if (r->mount && r->mount->reqs > worker_mount_share(w, w->reqs.count))
        worker_req_end(r, E_AGAIN);
    else
        worker_req_run(r);
}

static void worker_rpc_free(struct worker *w, struct rpc_token t, const void *body, uint32_t len)
{
    struct rbuf in = rbuf_make(body, len);
    struct cache_file *file;
    int err = 0;
    while (!err && rbuf_left(&in) && w->has_cache) {
        struct rpc_free f;
        err = rpc_format_free_get(&in, &f);
        while (!err && (file = cache_find_below(&w->cache, f.ino, f.below)))
            if (!worker_fill_drop_file(w, file))
                err = E_AGAIN;
    }
    rpc_reply(t, err, NULL, 0);
}

size_t worker_status_text(const struct worker *w, char *to, size_t cap)
{
    struct worker_stats s;
    worker_stats(w, &s);
    int why = 0;
    static const char *const states[] = {"starting", "serving", "failed", "stopped"};
    const struct {
        const char *key;
        uint64_t value;
    } all[] = {
        {"pages", s.pages},
        {"bytes", s.bytes},
        {"capacity", s.capacity},
        {"page_bytes", w->id.page_bytes},
        {"reads", s.reads},
        {"hits", s.hits},
        {"misses", s.misses},
        {"live_reads", s.live_reads},
        {"memory_hits", s.memory_hits},
        {"writes", s.writes},
        {"bytes_served", s.bytes_served},
        {"ufs.reads", s.ufs_reads},
        {"ufs.bytes", s.ufs_bytes},
        {"evictions", s.evictions},
        {"corrupt", s.corrupt},
        {"errors", s.errors},
        {"local.handed_out", s.handed_out},
        {"local.held_bytes", s.held_bytes},
        {"local.lent_bytes", s.lent_bytes},
        {"local.checked", s.checked},
        {"local.refused", s.refused},
        {"requests", w->reqs.count - w->reqs.free_count},
        {"fetching", w->fetching},
        {"buffers", w->n_bufs},
        {"buffers_free", w->free_bufs},
    };
    struct rpc_text t = rpc_text_make(to, cap);
    rpc_text_line(&t, "worker.id %016llx", (unsigned long long)w->id.id.v);
    rpc_text_line(&t, "worker.state %s", states[worker_state(w, &why)]);
    rpc_text_line(&t, "worker.why %s", why ? err_name(why) : "-");
    rpc_text_line(&t, "worker.listen %s", w->cfg.listen);
    rpc_text_line(&t, "worker.eviction %s", w->policy->name);
    rpc_text_u64(&t, "worker.epoch", w->epoch);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        rpc_text_line(&t, "worker.%s %llu", all[i].key, (unsigned long long)all[i].value);
    rpc_text_u64(&t, "memory.used", w->mem->used);
    rpc_text_u64(&t, "memory.max", w->mem->used_max);
    rpc_text_u64(&t, "memory.budget", w->mem->budget);
    worker_beat_text(w, &t);
    rpc_text_calls(&t, &w->host);
    return rpc_text_end(&t);
}

void worker_rpc_call(struct rpc_host *h, struct rpc_token t, uint16_t method, const void *body,
                     uint32_t len)
{
    struct worker *w = container_of(h, struct worker, host);
    char text[16384];
    switch (method) {
    case RPC_READ:
    case RPC_LOAD:
    case RPC_WRITE:
    case RPC_SYNC:
    case RPC_ALLOC:
        worker_rpc_io(w, t, method, body, len);
        return;
    case RPC_LOCAL:
        worker_local_call(w, t, body, len);
        return;
    case RPC_FREE:
        worker_rpc_free(w, t, body, len);
        return;
    case RPC_WORKER_STATUS:
        rpc_reply(t, 0, text, (uint32_t)worker_status_text(w, text, sizeof text));
        return;
    default:
        rpc_reply(t, E_NOTSUP, NULL, 0);
    }
}
