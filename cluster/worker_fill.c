/* cluster/worker_fill.c - a page on its way from the under-store to its readers and to the disk.
 *
 *   FETCH --bytes--> ROOM --reserved--> WRITE --written--> (in the index) DONE --no reader--> gone
 *     |               |  ^                |--disk full--> ROOM (another page goes first)
 *     |               |  \--cleared-- EVICT
 *     |               \--no room, rejected--> DONE         \--failed--> CLEAN --> DONE
 *     \--failed: every waiter gets the error--> DONE
 *
 * Readers are served from ROOM on, before the page is on disk.  A failed fetch leaves nothing
 * behind: the next reader starts a new one.  A page that cannot be kept (disk full, everything
 * pinned) was served all the same. */
#include "cluster/worker_impl.h"
#include "core/crc.h"
#include "core/fmt.h"
#include "core/mutant.h"

static void worker_fill_run(struct worker_fill *f);

static void worker_fill_job_done(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, op);
    worker_fill_run(container_of(j, struct worker_fill, job));
}

static void worker_fill_fetched(struct env_op *op)
{
    struct ufs_op *u = container_of(op, struct ufs_op, op);
    worker_fill_run(container_of(u, struct worker_fill, ufs));
}

bool worker_fill_may_start(const struct worker *w, const struct worker_mount *m)
{
    return w->fetching < w->cfg.fetches_max &&
           m->fetching < worker_mount_share(w, w->cfg.fetches_max) && worker_buf_may(w, m);
}

struct worker_fill *worker_fill_start(struct worker *w, struct worker_req *r, struct cache_key key)
{
    uint8_t *buf = worker_buf_get(w, r->mount);
    ASSERT(buf);
    struct worker_fill *f = pool_get(&w->fills);
    char *path = mem_alloc(w->mem, r->io.path_len + 1);
    if (!f || !path) {
        if (f)
            pool_put(&w->fills, f);
        mem_free(w->mem, path, r->io.path_len + 1);
        worker_buf_put(w, buf, r->mount);
        return NULL;
    }
    memcpy(path, r->io.path, r->io.path_len + 1);
    f->w = w;
    f->state = WF_FETCH;
    f->fill.key = key;
    f->buf = buf;
    f->path = path;
    f->path_len = r->io.path_len;
    f->file_size = r->io.size;
    f->fp = r->io.fp;
    f->len = worker_format_page_len(f->file_size, w->id.page_bytes, key.page);
    f->mount = r->mount;
    f->mount->refs++;
    ASSERT(f->len);
    list_init(&f->waiters);
    list_push_back(&w->fills_open, &f->link);
    cache_fill_add(&w->cache, &f->fill);
    f->is_listed = true;
    w->fetching++;
    f->mount->fetching++;
    w->stats.ufs_reads++;
    f->ufs = (struct ufs_op){
        .op.done = worker_fill_fetched,
        .kind = UFS_READ,
        .path = f->path,
        .buf = buf,
        .len = f->len,
        .off = (uint64_t)key.page * w->id.page_bytes,
        .expect_fp = MUTANT(PAGE_TWO_VERSIONS) ? 0 : f->fp,
        /* its path may lead elsewhere: something above was moved */
        .expect_ino = MUTANT(PATH_TRUSTED) ? 0 : r->io.ufs_ino,
    };
    ufs_submit(f->mount->ufs, &f->ufs);
    return f;
}

/* nobody can join any more; gone when the last reader is */
static void worker_fill_close(struct worker_fill *f)
{
    struct worker *w = f->w;
    f->state = WF_DONE;
    if (f->is_reserved)
        cache_unreserve(&w->cache, f->len);
    f->is_reserved = false;
    if (f->is_listed)
        cache_fill_remove(&w->cache, &f->fill);
    f->is_listed = false;
    mem_free(w->mem, f->crc, 4 * (size_t)worker_format_blocks(f->len));
    f->crc = NULL;
    mem_free(w->mem, f->rec, w->store.rec_bytes);
    f->rec = NULL;
    if (f->readers)
        return;
    list_remove(&f->link);
    worker_buf_put(w, f->buf, f->mount);
    worker_mount_put(w, f->mount);
    mem_free(w->mem, f->path, f->path_len + 1);
    pool_put(&w->fills, f);
    worker_rpc_kick(w);
}

void worker_fill_reader_done(struct worker_fill *f)
{
    ASSERT(f->readers);
    f->readers--;
    if (f->state == WF_DONE && !f->readers)
        worker_fill_close(f);
}

static void worker_fill_answer(struct worker_fill *f, int err)
{
    struct list waiters, *l;
    list_init(&waiters);
    list_splice(&waiters, &f->waiters);
    f->readers++; /* so that it outlives its readers' ends */
    while ((l = list_pop(&waiters)))
        worker_rpc_filled(list_entry(l, struct worker_req, wait), f, err);
    f->readers--;
}

bool worker_fill_is_writing(const struct worker *w, struct ino ino, uint64_t version)
{
    list_each(it, &w->fills_open) {
        const struct worker_fill *f = list_entry(it, struct worker_fill, link);
        if (f->state == WF_WRITE && f->fill.key.ino.v == ino.v && f->fill.key.version == version)
            return true;
    }
    return false;
}

enum worker_job_kind worker_fill_forget(struct worker *w, uint32_t slot, enum evict_why why)
{
    struct cache_file *file = w->cache.slot[slot].file;
    struct ino ino = file->ino;
    uint64_t version = file->version;
    bool was_whole = file->goes_whole, all = was_whole || file->pages == 1;
    worker_local_leaving(w, file, all);
    if (!all) {
        cache_remove(&w->cache, slot, why);
        return WORKER_JOB_CLEAR;
    }
    for (uint32_t n = file->pages; n; n--) /* the file may be gone with its last page */
        cache_remove(&w->cache, file->first, why);
    /* no page of what goes as a whole can be on its way in: it is whole */
    return was_whole || !worker_fill_is_writing(w, ino, version) ? WORKER_JOB_DROP
                                                                 : WORKER_JOB_CLEAR;
}

/* Removes a page from the index and has the disk follow. */
static void worker_fill_evict(struct worker_fill *f, uint32_t victim)
{
    struct worker *w = f->w;
    struct cache_slot *s = &w->cache.slot[victim];
    struct cache_key key = {s->file->ino, s->file->version, s->page};
    w->stats.evictions += s->file->goes_whole ? s->file->pages : 1;
    f->state = WF_EVICT;
    f->job = (struct worker_job){
        .op.done = worker_fill_job_done,
        .kind = worker_fill_forget(w, victim, EVICT_EVICTED),
        .key = key,
    };
    if (MUTANT(EVICTION_HALF))
        env_post(w->env, &f->job.op);
    else
        worker_store_submit(&w->store, &f->job);
}

static bool worker_fill_checksums(struct worker_fill *f)
{
    uint32_t n = worker_format_blocks(f->len);
    if (f->crc)
        return true;
    f->crc = mem_alloc(f->w->mem, 4 * (size_t)n);
    for (uint32_t i = 0; f->crc && i < n; i++) {
        uint32_t at = i * WORKER_FORMAT_BLOCK;
        f->crc[i] = crc_update(0, f->buf + at, base_min_u64(WORKER_FORMAT_BLOCK, f->len - at));
    }
    return f->crc;
}

static void worker_fill_write(struct worker_fill *f)
{
    struct worker *w = f->w;
    struct worker_format_head h = {f->fill.key.ino, f->fill.key.version, f->file_size,
                                   w->id.page_bytes};
    if (!f->rec)
        f->rec = mem_alloc(w->mem, w->store.rec_bytes);
    if (!worker_fill_checksums(f) || !f->rec) {
        worker_fill_close(f);
        return;
    }
    worker_format_rec_put(f->rec, &h, f->fill.key.page, f->len, f->crc);
    f->state = WF_WRITE;
    f->job = (struct worker_job){
        .op.done = worker_fill_job_done,
        .kind = WORKER_JOB_WRITE,
        .key = f->fill.key,
        .buf = f->buf,
        .rec = f->rec,
        .len = f->len,
        .file_size = f->file_size,
    };
    worker_store_submit(&w->store, &f->job);
}

/* The page is not kept; what a failed write left on disk goes. */
static void worker_fill_clean(struct worker_fill *f)
{
    struct worker *w = f->w;
    struct cache_key key = f->fill.key;
    struct cache_file *file = cache_find_file(&w->cache, key.ino, key.version);
    f->state = WF_CLEAN;
    bool whole = !(file && file->pages) && !worker_fill_is_writing(w, key.ino, key.version);
    f->job = (struct worker_job){
        .op.done = worker_fill_job_done,
        .kind = whole ? WORKER_JOB_DROP : WORKER_JOB_CLEAR,
        .key = key,
    };
    worker_store_submit(&w->store, &f->job);
}

static void worker_fill_give_up(struct worker_fill *f)
{
    if (f->nospc)
        worker_fill_clean(f);
    else
        worker_fill_close(f);
}

/* another fill may have brought pages of the same version with another size: one of them lies */
static bool worker_fill_fits(const struct worker_fill *f)
{
    struct cache_file *file = cache_find_file(&f->w->cache, f->fill.key.ino, f->fill.key.version);
    return !file || !file->pages || file->size == f->file_size;
}

/* Makes room for the page, one victim at a time, and then writes it. */
static void worker_fill_room(struct worker_fill *f, bool must_evict)
{
    struct worker *w = f->w;
    if (f->class == EVICT_CLASS_REJECT || w->stopping || w->phase != WP_SERVE ||
        !worker_fill_fits(f) || (!must_evict && env_fault(w->env, "worker.not_kept"))) {
        worker_fill_give_up(f);
        return;
    }
    if (!must_evict && cache_reserve(&w->cache, f->len)) {
        f->is_reserved = true;
        worker_fill_write(f);
        return;
    }
    uint32_t victim = cache_victim(&w->cache);
    if (victim == CACHE_NONE)
        worker_fill_give_up(f);
    else
        worker_fill_evict(f, victim);
}

static void worker_fill_written(struct worker_fill *f, int64_t ret)
{
    struct worker *w = f->w;
    if (ret == 0 && f->class != EVICT_CLASS_REJECT && worker_fill_fits(f)) {
        uint32_t slot;
        if (!cache_insert(&w->cache, f->fill.key, f->file_size, f->len, f->class, f->crc, &slot)) {
            f->crc = NULL;
            f->is_reserved = false;
            worker_local_filled(w, f->fill.key.ino, f->fill.key.version);
            worker_fill_close(f);
            return;
        }
    }
    if (ret == E_NOSPC && f->nospc++ < WORKER_RETRIES) {
        cache_unreserve(&w->cache, f->len);
        f->is_reserved = false;
        worker_fill_room(f, true);
        return;
    }
    if (ret < 0 && ret != E_NOSPC) {
        w->stats.errors++;
        if (worker_may_say(w, &w->say_keep_ns))
            fmt_log(w->env, ENV_LOG_WARN, "worker %s: cannot keep a page: %s", w->cfg.listen,
                    err_text((int)ret));
    }
    worker_fill_clean(f);
}

static void worker_fill_arrived(struct worker_fill *f, int64_t ret)
{
    struct worker *w = f->w;
    w->fetching--;
    f->mount->fetching--;
    if (ret >= 0)
        w->stats.ufs_bytes += (uint64_t)ret;
    /* shorter than the size that its version has */
    int err = ret < 0 ? (int)ret : ret < f->len && !MUTANT(PAGE_PARTIAL) ? E_CHANGED : 0;
    if (err) {
        w->stats.errors += err != E_CHANGED;
        if (MUTANT(FETCH_STICKS)) {
            worker_fill_answer(f, err);
            f->state = WF_DONE;
            return;
        }
        cache_fill_remove(&w->cache, &f->fill);
        f->is_listed = false;
        worker_fill_answer(f, err);
        worker_fill_close(f);
        return;
    }
    f->state = WF_ROOM;
    worker_fill_answer(f, 0);
    f->class = cache_admit(&w->cache, f->fill.key, f->len);
    worker_fill_room(f, false);
    worker_rpc_kick(w);
}

static void worker_fill_run(struct worker_fill *f)
{
    switch (f->state) {
    case WF_FETCH:
        worker_fill_arrived(f, f->ufs.op.ret);
        return;
    case WF_EVICT:
        f->state = WF_ROOM;
        worker_fill_room(f, false);
        return;
    case WF_WRITE:
        worker_fill_written(f, f->job.op.ret);
        return;
    case WF_CLEAN:
        worker_fill_close(f);
        return;
    case WF_ROOM:
    case WF_DONE:
        break;
    }
    ASSERT(!"nothing is under way");
}

/* ---- clearing that nobody waits for ---- */

static void worker_fill_dropped(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, op);
    struct worker_drop *d = container_of(j, struct worker_drop, job);
    pool_put(&d->w->drops, d);
}

bool worker_fill_drop_file(struct worker *w, struct cache_file *file)
{
    struct worker_drop *d = pool_get(&w->drops);
    if (!d)
        return false;
    d->w = w;
    d->job.op.done = worker_fill_dropped;
    d->job.kind = WORKER_JOB_DROP;
    d->job.key = (struct cache_key){file->ino, file->version, 0};
    list_each(it, &w->fills_open) { /* what is being written goes with the files */
        struct worker_fill *f = list_entry(it, struct worker_fill, link);
        if (f->state == WF_WRITE && f->fill.key.ino.v == file->ino.v &&
            f->fill.key.version == file->version)
            f->class = EVICT_CLASS_REJECT;
    }
    worker_local_leaving(w, file, true);
    for (uint32_t n = file->pages; n; n--) /* the file may be gone with its last page */
        cache_remove(&w->cache, file->first, EVICT_DELETED);
    worker_store_submit(&w->store, &d->job);
    return true;
}
