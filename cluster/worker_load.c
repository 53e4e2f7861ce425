/* cluster/worker_load.c - what a worker finds in its directory: identity, and the index from the
 * maps.
 *
 * Several lanes go through the shards side by side, each reading one map after the other; no data
 * is read.  Whatever is half there goes: a map without data, data without a map, a map whose head
 * is damaged or of another page size, a file without pages, and pages that do not fit any more.
 *
 * Lane:  LIST > NAME > OPEN > HEAD > RECS (> CLEAR > RECS ...) > CLOSE > NAME ... > LIST ... > DONE
 *              \--> UNLINK > NAME
 *
 * The directory is ours alone: a name that we did not make means that somebody pointed us at his
 * data, and then we touch nothing. */
#include "cluster/worker_impl.h"
#include "core/fmt.h"

enum worker_boot_step {
    WB_LIST,
    WB_OPEN,
    WB_READ,
    WB_CLOSE,
    WB_W_OPEN,
    WB_W_WRITE,
    WB_W_SYNC,
    WB_W_CLOSE,
    WB_W_RENAME,
};

enum { WORKER_LANE_NAMES = 16 * 1024, WORKER_LANE_RECS = 64 * 1024, WORKER_SHARDS = 256 };

static void worker_load_start(struct worker *w);
static void worker_boot_done(struct env_op *op);

/* ---- identity ---- */

static struct env_op *worker_boot_op(struct worker *w, enum worker_boot_step step)
{
    w->boot_step = step;
    w->is_booting = true;
    w->boot.done = worker_boot_done;
    return &w->boot;
}

static void worker_boot_list(struct worker *w)
{
    char dir[ENV_NAME_MAX];
    fmt_into(dir, sizeof dir, "%s", w->prefix);
    if (*dir)
        dir[strlen(dir) - 1] = 0;
    env_list(w->env, dir, w->boot_after, w->boot_names, sizeof w->boot_names,
             worker_boot_op(w, WB_LIST));
}

static bool worker_boot_is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* false: not our name */
static bool worker_boot_know(struct worker *w, const char *name)
{
    if (!strcmp(name, "worker"))
        w->has_id = true;
    else if (strlen(name) == 3 && worker_boot_is_hex(name[0]) && worker_boot_is_hex(name[1]) &&
             name[2] == '/')
        w->has_shards = true;
    else
        return !strcmp(name, "worker.tmp") || !strcmp(name, "lost+found/");
    return true;
}

static void worker_boot_write(struct worker *w)
{
    char name[ENV_NAME_MAX];
    worker_format_id_put(w->boot_id, &w->id);
    fmt_into(name, sizeof name, "%sworker.tmp", w->prefix);
    env_open(w->env, name, ENV_O_WRITE | ENV_O_CREATE | ENV_O_TRUNC, &w->boot_file,
             worker_boot_op(w, WB_W_OPEN));
}

/* the whole root was listed */
static void worker_boot_listed(struct worker *w)
{
    char name[ENV_NAME_MAX];
    if (w->has_id) {
        fmt_into(name, sizeof name, "%sworker", w->prefix);
        env_open(w->env, name, ENV_O_READ, &w->boot_file, worker_boot_op(w, WB_OPEN));
    } else if (w->has_shards) {
        fmt_log(w->env, ENV_LOG_ERROR,
                "worker %s: the cache directory has pages but no identity: empty it",
                w->cfg.listen);
        worker_fail(w, E_CONFIG);
    } else {
        do
            w->id.id.v = env_random(w->env);
        while (!w->id.id.v);
        worker_boot_write(w);
    }
}

static void worker_boot_names(struct worker *w, uint32_t len)
{
    uint32_t at = 0;
    while (at < len) {
        const char *name = w->boot_names + at;
        at += (uint32_t)strlen(name) + 1;
        if (!worker_boot_know(w, name)) {
            fmt_log(w->env, ENV_LOG_ERROR,
                    "worker %s: the cache directory holds '%s', which is not ours: give the worker "
                    "an empty directory",
                    w->cfg.listen, name);
            worker_fail(w, E_CONFIG);
            return;
        }
        fmt_into(w->boot_after, sizeof w->boot_after, "%s", name);
    }
    worker_boot_list(w);
}

static void worker_boot_known(struct worker *w)
{
    worker_beat_start(w);
    if (!w->id.page_bytes)
        w->phase = WP_TOLD;
    else
        worker_load_start(w);
}

static void worker_boot_read(struct worker *w, int64_t len)
{
    int err = worker_format_id_get(w->boot_id, len > 0 ? (size_t)len : 0, &w->id);
    if (err) {
        fmt_log(w->env, ENV_LOG_ERROR,
                "worker %s: the identity of the cache directory is damaged: empty the directory",
                w->cfg.listen);
        worker_fail(w, err);
    }
}

static void worker_boot_done(struct env_op *op)
{
    struct worker *w = container_of(op, struct worker, boot);
    w->is_booting = false;
    if (w->phase == WP_FAILED || w->stopping)
        return; /* a handle may stay open until the process ends */
    if (op->ret < 0) {
        fmt_log(w->env, ENV_LOG_ERROR, "worker %s: the cache directory: %s", w->cfg.listen,
                err_text((int)op->ret));
        worker_fail(w, (int)op->ret);
        return;
    }
    char from[ENV_NAME_MAX], to[ENV_NAME_MAX];
    switch ((enum worker_boot_step)w->boot_step) {
    case WB_LIST:
        if (op->ret)
            worker_boot_names(w, (uint32_t)op->ret);
        else
            worker_boot_listed(w);
        return;
    case WB_OPEN:
        env_read(w->boot_file, w->boot_id, sizeof w->boot_id, 0, worker_boot_op(w, WB_READ));
        return;
    case WB_READ:
        worker_boot_read(w, op->ret);
        env_close(w->boot_file, worker_boot_op(w, WB_CLOSE));
        return;
    case WB_CLOSE:
        worker_boot_known(w);
        return;
    case WB_W_OPEN:
        env_write(w->boot_file, w->boot_id, sizeof w->boot_id, 0, worker_boot_op(w, WB_W_WRITE));
        return;
    case WB_W_WRITE:
        env_sync(w->boot_file, worker_boot_op(w, WB_W_SYNC));
        return;
    case WB_W_SYNC:
        env_close(w->boot_file, worker_boot_op(w, WB_W_CLOSE));
        return;
    case WB_W_CLOSE:
        fmt_into(from, sizeof from, "%sworker.tmp", w->prefix);
        fmt_into(to, sizeof to, "%sworker", w->prefix);
        env_rename(w->env, from, to, worker_boot_op(w, WB_W_RENAME));
        return;
    case WB_W_RENAME:
        if (w->phase == WP_ID)
            worker_boot_known(w);
        else if (w->phase == WP_TOLD)
            worker_load_start(w);
        else /* everything in memory and on disk has the old size: the next start begins afresh */
            worker_fail(w, E_CONFIG);
        return;
    }
}

void worker_load_boot(struct worker *w)
{
    w->phase = WP_ID;
    worker_boot_list(w);
}

void worker_load_page_bytes(struct worker *w, uint32_t page_bytes)
{
    if (w->phase == WP_ID || w->phase >= WP_FAILED || w->is_booting ||
        w->id.page_bytes == page_bytes)
        return;
    if (!worker_format_page_bytes_ok(page_bytes)) {
        fmt_log(w->env, ENV_LOG_ERROR, "worker %s: a master wants pages of %u bytes", w->cfg.listen,
                page_bytes);
        return;
    }
    uint32_t before = w->id.page_bytes;
    w->id.page_bytes = page_bytes;
    worker_boot_write(w);
    if (before) {
        w->id.page_bytes = before; /* of every buffer and checksum in use */
        fmt_log(w->env, ENV_LOG_ERROR,
                "worker %s: the cluster's page size is now %u: restart the worker (its cache will "
                "be emptied)",
                w->cfg.listen, page_bytes);
    }
}

bool worker_load_idle(const struct worker *w)
{
    return !w->is_booting && w->lanes_busy == 0;
}

/* ---- lanes ---- */

static void worker_lane_run(struct worker_lane *l);

static void worker_lane_done(struct env_op *op)
{
    worker_lane_run(container_of(op, struct worker_lane, op));
}

static void worker_lane_job_done(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, op);
    struct worker_lane *l = container_of(j, struct worker_lane, job);
    l->op.ret = op->ret;
    worker_lane_run(l);
}

static struct env_op *worker_lane_op(struct worker_lane *l, enum worker_lane_step step)
{
    l->step = step;
    l->op.done = worker_lane_done;
    return &l->op;
}

static void worker_lane_job(struct worker_lane *l, enum worker_job_kind kind, uint32_t page)
{
    l->step = WL_CLEAR;
    l->job.kind = kind;
    l->job.key = (struct cache_key){l->head.ino, l->head.version, page};
    l->job.op.done = worker_lane_job_done;
    worker_store_submit(&l->w->store, &l->job);
}

static void worker_lane_list(struct worker_lane *l)
{
    char dir[ENV_NAME_MAX];
    fmt_into(dir, sizeof dir, "%s%02x", l->w->prefix, l->shard);
    env_list(l->w->env, dir, l->after, (char *)l->buf, WORKER_LANE_NAMES,
             worker_lane_op(l, WL_LIST));
}

static void worker_lane_unlink(struct worker_lane *l, const struct worker_format_head *h,
                               enum worker_format_kind kind)
{
    worker_format_name(l->unlink_name, sizeof l->unlink_name, l->w->prefix, h->ino, h->version,
                       kind);
    env_unlink(l->w->env, l->unlink_name, worker_lane_op(l, WL_UNLINK));
}

/* Names come in byte order, so a file's data stands right before its map.  ret: true to go on. */
static bool worker_lane_name(struct worker_lane *l)
{
    if (l->names_at >= l->names_len) {
        worker_lane_list(l);
        return false;
    }
    const char *name = (const char *)l->buf + l->names_at;
    struct worker_format_head h = {0};
    size_t n = strlen(name);
    enum worker_format_kind kind =
        n < sizeof l->after ? worker_format_parse(name, &h.ino, &h.version) : WORKER_FORMAT_NONE;
    if (l->has_data &&
        (kind != WORKER_FORMAT_MAP || h.ino.v != l->data.ino.v || h.version != l->data.version)) {
        l->has_data = false;
        worker_lane_unlink(l, &l->data, WORKER_FORMAT_DATA);
        return false; /* the name at hand comes again */
    }
    l->names_at += (uint32_t)n + 1;
    if (n < sizeof l->after)
        memcpy(l->after, name, n + 1);
    if (kind == WORKER_FORMAT_NONE) {
        fmt_log(l->w->env, ENV_LOG_WARN, "worker %s: unknown name in the cache directory: %s",
                l->w->cfg.listen, name);
        return true;
    }
    if (kind == WORKER_FORMAT_DATA) {
        l->data = h;
        l->has_data = true;
        return true;
    }
    if (!l->has_data) {
        worker_lane_unlink(l, &h, WORKER_FORMAT_MAP);
        return false;
    }
    l->has_data = false;
    l->head = h;
    l->is_bad = l->has_hole = false;
    l->kept = l->page = 0;
    char path[ENV_NAME_MAX];
    worker_format_name(path, sizeof path, l->w->prefix, h.ino, h.version, WORKER_FORMAT_MAP);
    env_open(l->w->env, path, ENV_O_READ, &l->map, worker_lane_op(l, WL_OPEN));
    return false;
}

static void worker_lane_read(struct worker_lane *l)
{
    uint32_t n = WORKER_LANE_RECS / l->w->store.rec_bytes * l->w->store.rec_bytes;
    env_read(l->map, l->recs, n, l->map_at, worker_lane_op(l, WL_RECS));
}

static void worker_lane_headed(struct worker_lane *l, int64_t ret)
{
    struct worker_format_head h;
    if (ret < 0 || worker_format_head_get(l->recs, (size_t)ret, &h) || h.ino.v != l->head.ino.v ||
        h.version != l->head.version || h.page_bytes != l->w->id.page_bytes) {
        l->is_bad = true;
        env_close(l->map, worker_lane_op(l, WL_CLOSE));
        return;
    }
    l->head = h;
    l->map_at = WORKER_FORMAT_HEAD;
    worker_lane_read(l);
}

/* ret: false when the page's place must be cleared */
static bool worker_lane_page(struct worker_lane *l, const uint8_t *rec)
{
    struct worker *w = l->w;
    const uint8_t *crc;
    int64_t len = worker_format_rec_get(rec, &l->head, l->page, &crc);
    if (len == 0) {
        l->has_hole = true;
        return true;
    }
    if (len < 0) {
        w->stats.corrupt++;
        return false;
    }
    struct cache_key key = {l->head.ino, l->head.version, l->page};
    size_t n = 4 * (size_t)worker_format_blocks((uint32_t)len);
    enum evict_class class = cache_admit(&w->cache, key, (uint32_t)len);
    uint32_t *copy = class != EVICT_CLASS_REJECT ? mem_alloc(w->mem, n) : NULL;
    if (!copy || !cache_reserve(&w->cache, (uint32_t)len)) {
        mem_free(w->mem, copy, n);
        return false;
    }
    memcpy(copy, crc, n);
    uint32_t slot;
    if (cache_insert(&w->cache, key, l->head.file_size, (uint32_t)len, class, copy, &slot)) {
        cache_unreserve(&w->cache, (uint32_t)len);
        mem_free(w->mem, copy, n);
        return false;
    }
    l->kept++;
    return true;
}

/* A page cannot stay, and it may be that the file was whole: then somebody may still read it past
 * us, and it must not be punched.  All of it goes. */
static void worker_lane_give_up(struct worker_lane *l)
{
    struct cache *c = &l->w->cache;
    struct cache_file *file = cache_find_file(c, l->head.ino, l->head.version);
    for (uint32_t n = file ? file->pages : 0; n; n--)
        cache_remove(c, file->first, EVICT_DELETED);
    l->kept = 0; /* and then both files go */
    env_close(l->map, worker_lane_op(l, WL_CLOSE));
}

/* ret: true to go on at once */
static bool worker_lane_recs(struct worker_lane *l)
{
    uint32_t rec = l->w->store.rec_bytes;
    while (l->recs_at + rec <= l->recs_len) {
        bool ok = worker_lane_page(l, l->recs + l->recs_at);
        l->recs_at += rec;
        l->page++;
        if (!ok && !l->has_hole) {
            worker_lane_give_up(l);
            return false;
        }
        if (!ok) {
            worker_lane_job(l, WORKER_JOB_CLEAR, l->page - 1);
            return false;
        }
    }
    uint64_t pages = (l->head.file_size + l->head.page_bytes - 1) / l->head.page_bytes;
    if (l->recs_len < rec || l->page >= pages) {
        env_close(l->map, worker_lane_op(l, WL_CLOSE));
        return false;
    }
    l->map_at += l->recs_at;
    worker_lane_read(l);
    return false;
}

void worker_load_free(struct worker *w)
{
    for (uint32_t i = 0; w->lanes && i < WORKER_LANES; i++)
        mem_free(w->mem, w->lanes[i].buf, WORKER_LANE_NAMES + WORKER_LANE_RECS);
    mem_free(w->mem, w->lanes, WORKER_LANES * sizeof *w->lanes);
    w->lanes = NULL;
}

static void worker_load_finish(struct worker *w)
{
    if (w->phase != WP_LOAD)
        return;
    worker_load_free(w);
    w->phase = WP_SERVE;
    fmt_log(w->env, ENV_LOG_INFO, "worker %s: serving with %u pages, %llu MiB of %llu MiB",
            w->cfg.listen, w->cache.evict.count, (unsigned long long)(w->cache.evict.used >> 20),
            (unsigned long long)(w->cfg.capacity_bytes >> 20));
    worker_beat_now(w);
}

/* A whole file may have been handed out by the process before us. */
static void worker_lane_kept(struct worker_lane *l)
{
    struct cache_file *file = cache_find_file(&l->w->cache, l->head.ino, l->head.version);
    if (cache_is_whole(file))
        file->goes_whole = true;
}

/* the shard's names are at an end; ret: true to go on at once */
static bool worker_lane_shard_end(struct worker_lane *l)
{
    if (l->has_data) {
        l->has_data = false;
        worker_lane_unlink(l, &l->data, WORKER_FORMAT_DATA);
        return false;
    }
    l->after[0] = 0;
    l->shard += WORKER_LANES;
    if (l->shard < WORKER_SHARDS && !l->w->stopping) {
        worker_lane_list(l);
        return false;
    }
    l->step = WL_DONE;
    return true;
}

static void worker_lane_run(struct worker_lane *l)
{
    for (bool more = true; more;) {
        int64_t ret = l->op.ret;
        switch (l->step) {
        case WL_LIST:
            if (ret < 0)
                fmt_log(l->w->env, ENV_LOG_WARN, "worker %s: cannot list shard %02x: %s",
                        l->w->cfg.listen, l->shard, err_text((int)ret));
            l->names_at = 0;
            l->names_len = ret > 0 ? (uint32_t)ret : 0;
            l->step = WL_NAME;
            more = l->names_len ? true : worker_lane_shard_end(l);
            break;
        case WL_NAME:
            more = worker_lane_name(l);
            break;
        case WL_OPEN:
            l->map = ret < 0 ? NULL : l->map;
            if (l->map) {
                env_read(l->map, l->recs, WORKER_FORMAT_HEAD, 0, worker_lane_op(l, WL_HEAD));
                return;
            }
            worker_lane_job(l, WORKER_JOB_DROP, 0);
            return;
        case WL_HEAD:
            worker_lane_headed(l, ret);
            return;
        case WL_RECS:
            l->recs_at = 0;
            l->recs_len = ret > 0 ? (uint32_t)ret : 0;
            l->is_bad = ret < 0;
            if (l->is_bad) { /* the rest would take room, and nobody knew */
                worker_lane_give_up(l);
                return;
            }
            more = worker_lane_recs(l);
            break;
        case WL_CLEAR:
            if (l->map) {
                more = worker_lane_recs(l);
                break;
            }
            l->step = WL_NAME;
            break;
        case WL_CLOSE:
            l->map = NULL;
            l->step = WL_NAME;
            if (l->is_bad)
                l->w->stats.corrupt++;
            if (l->is_bad || !l->kept) {
                worker_lane_job(l, WORKER_JOB_DROP, 0);
                return;
            }
            worker_lane_kept(l);
            break;
        case WL_UNLINK:
            l->step = WL_NAME;
            break;
        case WL_DONE:
            if (--l->w->lanes_busy == 0)
                worker_load_finish(l->w);
            return;
        }
    }
}

static void worker_load_start(struct worker *w)
{
    if (!worker_make_cache(w))
        return;
    w->lanes = mem_zalloc(w->mem, WORKER_LANES * sizeof *w->lanes);
    bool ok = w->lanes;
    for (uint32_t i = 0; ok && i < WORKER_LANES; i++) {
        struct worker_lane *l = &w->lanes[i];
        l->w = w;
        l->shard = i;
        l->buf = mem_alloc(w->mem, WORKER_LANE_NAMES + WORKER_LANE_RECS);
        l->recs = l->buf ? l->buf + WORKER_LANE_NAMES : NULL;
        ok = l->buf;
    }
    if (!ok) {
        worker_fail(w, E_NOMEM);
        return;
    }
    w->phase = WP_LOAD;
    w->lanes_busy = WORKER_LANES;
    for (uint32_t i = 0; i < WORKER_LANES; i++)
        worker_lane_list(&w->lanes[i]);
}
