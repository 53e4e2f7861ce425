/* journal/snap.c - one state machine reads, writes and prunes images, one operation at a time.
 *
 *   open:     LIST -> LOAD_OPEN -> LOAD -> LOAD_CLOSE (-> LOAD_OPEN, an older one)
 *   write:    WRITE_OPEN -> WRITE (-> FREE_RESERVE) -> PAUSE -> ... -> SYNC -> CLOSE -> RENAME
 *             -> PRUNE; no room, and a reserve that goes in parts: WRITE -> GIVE_OPEN -> GIVE
 *             -> GIVE_CLOSE -> FREE_RESERVE
 *   an error: ABORT_CLOSE -> ABORT_UNLINK
 *   install:  LOAD_OPEN -> LOAD -> LOAD_CLOSE -> PRUNE
 *   reserve:  (SWEEP ->) RESERVE_OPEN -> RESERVE (-> PAUSE) -> SYNC -> CLOSE; (-> CUT) -> CLOSE
 *   release:  (SWEEP ->) RELEASE
 *   give:     (SWEEP ->) GIVE_OPEN -> GIVE -> GIVE_CLOSE
 *
 * What a crash left of an unfinished image is swept away only after the start has succeeded: until
 * then nothing on disk changes.
 *
 * Those who are served come first: while appends are under way a write is small, because one turn
 * of the loop fills it and an append may wait behind it, and a pause of three times what it took
 * follows, so an image has a quarter of the disk at most.  Loading has nobody to wait for it and
 * overlaps: while one window is taken in, the next is read.
 *
 * An image passes the page cache (O_DIRECT): a large one would push everything else out, and its
 * write-back would hold up the log's writes. */
#include "journal/snap_impl.h"
#include "core/mutant.h"

/* what an unlink gave back can be used when the file system has made that durable */
static const int64_t SNAP_FREED_NS = 10 * 1000 * 1000000LL;

static void snap_run(struct snap *s);

static void snap_op_done(struct env_op *op)
{
    struct snap *s = container_of(op, struct snap, op);
    s->fresh = true;
    snap_run(s);
}

static void snap_timer_done(struct env_op *op)
{
    struct snap *s = container_of(op, struct snap, timer.op);
    s->fresh = true;
    snap_run(s);
}

struct snap *snap_create(struct env *e, struct mem *m, const struct snap_config *cfg,
                         struct journal_host *host)
{
    struct snap *s = mem_zalloc(m, sizeof *s);
    if (!s)
        return NULL;
    s->memory = mem_alloc(m, SNAP_BUF + LOG_BLOCK);
    if (!s->memory) {
        mem_free(m, s, sizeof *s);
        return NULL;
    }
    s->buf = s->memory + (-(uintptr_t)s->memory & (LOG_BLOCK - 1));
    s->env = e;
    s->mem = m;
    s->host = host;
    s->cfg = *cfg;
    s->op.done = snap_op_done;
    s->timer.op.done = snap_timer_done;
    fmt_into(s->dir, sizeof s->dir - LOG_NAME_MAX, "%s%s", cfg->dir, *cfg->dir ? "/" : "");
    return s;
}

void snap_free(struct snap *s)
{
    ASSERT(s->state == SNAP_REST);
    mem_free(s->mem, s->memory, SNAP_BUF + LOG_BLOCK);
    mem_free(s->mem, s, sizeof *s);
}

uint64_t snap_index(const struct snap *s)
{
    return s->loaded;
}

uint64_t snap_epoch(const struct snap *s)
{
    return s->loaded_epoch;
}

uint64_t snap_named(const struct snap *s)
{
    return s->named;
}

uint64_t snap_trim_index(const struct snap *s)
{
    uint32_t good = 0;
    for (uint32_t i = s->n_files; i-- > 0;)
        if (!s->files[i].bad && ++good == SNAP_KEEP)
            return s->files[i].index;
    return 0;
}

bool snap_mark_bad(struct snap *s, uint64_t index)
{
    for (uint32_t i = 0; i < s->n_files; i++)
        if (s->files[i].index == index && !s->files[i].bad) {
            s->files[i].bad = true;
            return true;
        }
    return false;
}

bool snap_is_bad(const struct snap *s, uint64_t index)
{
    for (uint32_t i = 0; i < s->n_files; i++)
        if (s->files[i].index == index)
            return s->files[i].bad;
    return false;
}

uint64_t snap_bytes(const struct snap *s)
{
    for (uint32_t i = s->n_files; i-- > 0;)
        if (!s->files[i].bad)
            return s->files[i].bytes;
    return s->n_files ? s->files[s->n_files - 1].bytes : 0;
}

bool snap_at_rest(const struct snap *s)
{
    return s->state == SNAP_REST;
}

static void snap_name(const struct snap *s, uint64_t index, char *ret_name)
{
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "image-", index);
    fmt_into(ret_name, ENV_NAME_MAX, "%s%s", s->dir, leaf);
}

void snap_path(const struct snap *s, const char *leaf, char *ret_name)
{
    fmt_into(ret_name, ENV_NAME_MAX, "%s%s", s->dir, leaf);
}

void snap_tmp(const struct snap *s, char *ret_name)
{
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "tmp-", s->cfg.tag);
    snap_path(s, s->cfg.tag && !MUTANT(ZK_IMAGE_NAME_SHARED) ? leaf : "image.tmp", ret_name);
}

static size_t snap_window(const struct snap *s)
{
    return SNAP_TAIL + s->read_bytes;
}

static void snap_windows_end(struct snap *s)
{
    mem_free(s->mem, s->load_memory, 2 * snap_window(s) + LOG_BLOCK);
    s->load_memory = NULL;
}

/* for a file of this size; false: no memory */
static bool snap_windows_new(struct snap *s, uint64_t size)
{
    snap_windows_end(s);
    s->read_bytes = (uint32_t)base_min_u64(s->installing ? SNAP_READ_BESIDE : SNAP_READ,
                                           base_align_up(base_max_u64(size, 1), LOG_BLOCK));
    s->load_memory = mem_alloc(s->mem, 2 * snap_window(s) + LOG_BLOCK);
    if (s->load_memory)
        s->load = s->load_memory + (-(uintptr_t)s->load_memory & (LOG_BLOCK - 1));
    return s->load_memory;
}

void snap_end(struct snap *s, int ret)
{
    snap_windows_end(s);
    struct env_op *op = s->user;
    s->state = SNAP_REST;
    s->user = NULL;
    op->ret = ret;
    env_post(s->env, op);
}

void snap_close(struct snap *s, enum snap_state next)
{
    struct env_file *f = s->file;
    s->state = next;
    s->file = NULL;
    env_close(f, &s->op);
}

/* --- finding and loading --- */

static bool snap_list(struct snap *s)
{
    if (s->fresh) {
        s->fresh = false;
        if (s->op.ret < 0) {
            snap_end(s, (int)s->op.ret);
            return false;
        }
        for (const char *n = s->names; n < s->names + s->op.ret; n += strlen(n) + 1) {
            uint64_t index;
            fmt_into(s->after, sizeof s->after, "%s", n);
            if (!strcmp(n, "journal.reserve"))
                s->has_reserve = true;
            if (!strcmp(n, "image.tmp"))
                s->has_tmp = !s->cfg.tag;
            if (s->cfg.tag && s->n_old < SNAP_OLD_MAX && log_format_name_parse(n, "tmp-", &index) &&
                index != s->cfg.tag)
                s->old[s->n_old++] = index;
            if (!log_format_name_parse(n, "image-", &index))
                continue;
            if (s->n_files == SNAP_FILES_MAX)
                memmove(s->files, s->files + 1, --s->n_files * sizeof *s->files);
            s->files[s->n_files++] = (struct snap_file){.index = index};
            s->named = index;
        }
        if (s->op.ret == 0) {
            s->at_file = s->n_files;
            s->checking = !s->host->image_reset;
            s->state = SNAP_LOAD_OPEN;
            return true;
        }
    }
    env_list(s->env, s->cfg.dir, s->after, s->names, sizeof s->names, &s->op);
    return false;
}

static bool snap_load_open(struct snap *s)
{
    char name[ENV_NAME_MAX];
    if (s->at_file == 0) {
        snap_end(s, 0);
        return false;
    }
    s->file = NULL;
    s->window_len = s->read_into = 0;
    s->window_at = s->pos = s->data_bytes = s->read_at = 0;
    s->is_reading = s->is_drained = s->is_refused = false;
    s->crc = s->number = s->n_looks = 0;
    s->sure = 0;
    s->state = SNAP_LOAD;
    snap_name(s, s->files[s->at_file - 1].index, name);
    env_open(s->env, name, ENV_O_READ | ENV_O_DIRECT, &s->file, &s->op);
    return false;
}

/* the next window, as far as the file goes */
static void snap_read(struct snap *s)
{
    if (s->read_at >= s->size)
        return;
    s->is_reading = true;
    env_read(s->file, s->load + s->read_into * snap_window(s) + SNAP_TAIL, s->read_bytes,
             s->read_at, &s->op);
}

/* what was read becomes the window, behind what is left of the one before */
static void snap_take(struct snap *s, uint32_t n)
{
    uint64_t end = s->window_at + s->window_len;
    uint32_t tail = s->pos < end ? (uint32_t)(end - s->pos) : 0;
    ASSERT(tail <= SNAP_TAIL);
    uint8_t *p = s->load + s->read_into * snap_window(s) + SNAP_TAIL - tail;
    if (tail)
        memcpy(p, s->window + (s->pos - s->window_at), tail);
    s->window = p;
    s->window_at = s->read_at - tail;
    s->window_len = tail + n;
    s->read_at += n;
    s->read_into ^= 1;
    if (n < s->read_bytes)
        s->size = base_min_u64(s->size, s->read_at);
}

/* n bytes at pos; NULL while they are not there, or past the end of the file */
static const uint8_t *snap_have(struct snap *s, uint64_t n, bool *ret_eof)
{
    *ret_eof = n > s->size || s->pos > s->size - n;
    if (*ret_eof || s->pos < s->window_at || s->pos + n > s->window_at + s->window_len)
        return NULL;
    return s->window + (s->pos - s->window_at);
}

static int snap_load_header(struct snap *s, const uint8_t *p)
{
    struct log_image h;
    int ret = log_format_check(p, LOG_BLOCK, LOG_IMAGE_MAGIC);
    if (ret)
        return ret == E_NODATA ? E_CORRUPT : ret;
    memcpy(&h, p, sizeof h);
    if (h.cluster_hi != s->cfg.cluster_hi || h.cluster_lo != s->cfg.cluster_lo)
        return E_CLUSTER;
    if (h.index != s->files[s->at_file - 1].index)
        return E_CORRUPT;
    s->crc = h.crc;
    s->epoch = h.epoch;
    s->pos = s->sure = LOG_BLOCK;
    s->n_looks = 0;
    return 0;
}

/* E_VERSION and E_NOMEM are no damage: an older image would not help, so they stop the start */
static int snap_load_host(struct snap *s, const uint8_t *p, uint32_t len)
{
    int ret = s->checking ? 0 : s->host->image_load(s->host, p, len);
    s->is_refused = ret != 0;
    return ret == 0 || ret == E_VERSION || ret == E_NOMEM ? ret : E_CORRUPT;
}

/* the piece at p, n bytes of which were asked for: 0, E_AGAIN with *ret_need more, 1 at the end */
static int snap_load_piece(struct snap *s, const uint8_t *p, uint64_t n, uint64_t *ret_need)
{
    struct log_piece h;
    memcpy(&h, p, sizeof h);
    if (h.kind == 0) {
        s->pos = base_align_up(s->pos + 1, LOG_BLOCK);
        return 0;
    }
    if ((h.kind != LOG_PIECE_DATA && h.kind != LOG_PIECE_END) || h.number != s->number ||
        h.len > LOG_PIECE_MAX - sizeof h || h.len == 0)
        return E_CORRUPT;
    *ret_need = sizeof h + h.len;
    if (n < *ret_need)
        return E_AGAIN;
    if (log_format_piece_crc(&h, p + sizeof h, s->crc) != h.crc)
        return E_CORRUPT;
    s->crc = h.crc;
    if (h.kind == LOG_PIECE_END) {
        struct log_image_end end;
        if (h.len != sizeof end)
            return E_CORRUPT;
        memcpy(&end, p + sizeof h, sizeof end);
        if (end.index != s->files[s->at_file - 1].index || end.data_bytes != s->data_bytes)
            return E_CORRUPT;
        int ret = snap_load_host(s, NULL, 0);
        return ret ? ret : 1;
    }
    s->number++;
    s->data_bytes += h.len;
    s->pos = s->sure = base_align_up(s->pos + sizeof h + h.len, 8);
    s->n_looks = 0;
    return snap_load_host(s, p + sizeof h, h.len);
}

/* the image that was installed stands for the state now, or nothing does */
static void snap_install_verdict(struct snap *s, int ret)
{
    struct snap_file *f = &s->files[s->at_file - 1];
    char name[ENV_NAME_MAX];
    s->ret = ret == 1 ? 0 : ret == E_EOF ? E_CORRUPT : ret;
    f->bytes = s->size;
    f->bad = s->ret != 0;
    s->loaded = s->ret ? 0 : f->index;
    s->loaded_epoch = s->ret ? 0 : s->epoch;
    if (s->ret) {
        s->host->image_reset(s->host);
        snap_name(s, f->index, name);
        if (s->ret != E_CANCELLED)
            fmt_log(s->env, ENV_LOG_ERROR,
                    "journal: %s: %s; another master's image cannot be used.", name,
                    err_text(s->ret));
    } else {
        s->named = base_max_u64(s->named, f->index);
    }
}

/* a place among the files for that of `index`, if it has none; is it new? */
static bool snap_place(struct snap *s, uint64_t index, uint32_t *ret_at)
{
    uint32_t i = s->n_files;
    while (i > 0 && s->files[i - 1].index >= index)
        i--;
    bool is_new = i == s->n_files || s->files[i].index != index;
    if (is_new) {
        if (s->n_files == SNAP_FILES_MAX) {
            memmove(s->files, s->files + 1, --s->n_files * sizeof *s->files);
            i -= i > 0;
        }
        memmove(s->files + i + 1, s->files + i, (s->n_files++ - i) * sizeof *s->files);
        s->files[i] = (struct snap_file){.index = index};
    }
    *ret_at = i;
    return is_new;
}

/* the file of s->index is a new one now, of the state that is this one from here on */
static struct snap_file *snap_place_newest(struct snap *s, uint32_t *ret_at)
{
    (void)snap_place(s, s->index, ret_at);
    for (uint32_t i = *ret_at + 1; i < s->n_files; i++)
        s->files[i].bad = true;
    s->files[*ret_at] = (struct snap_file){.index = s->index};
    return &s->files[*ret_at];
}

void snap_leave(struct snap *s, uint64_t index)
{
    uint32_t i;
    if (snap_place(s, index, &i))
        s->files[i].bad = true;
}

/* what an attempt to load one image came to; may start the next */
static void snap_load_verdict(struct snap *s, int ret)
{
    struct snap_file *f = &s->files[s->at_file - 1];
    char name[ENV_NAME_MAX];
    snap_name(s, f->index, name);
    s->ret = 0;
    f->bytes = s->size;
    if (s->installing) {
        snap_install_verdict(s, ret);
    } else if (ret == 1 && s->checking) {
        s->checking = false; /* again, for the host */
    } else if (ret == 1) {
        if (!s->loaded) {
            s->loaded = f->index;
            s->loaded_epoch = s->epoch;
        }
        s->at_file = s->cfg.check_all ? s->at_file - 1 : 0;
    } else if (ret == E_CORRUPT || ret == E_EOF || ret == E_IO) {
        f->bad = true;
        f->unread = ret == E_IO && s->cfg.keeps_unread;
        if (!s->checking && !s->host->image_reset)
            s->ret = E_CORRUPT;
        fmt_log(s->env, s->ret ? ENV_LOG_ERROR : ENV_LOG_WARN, "journal: %s: %s; %s.", name,
                err_text(ret),
                s->ret ? "it checked a moment ago: check the disk, or remove the file and start "
                         "again with an older image"
                : s->loaded ? "it is not needed as long as the newest is good"
                            : "using an older image and more of the log");
        if (!s->checking && s->host->image_reset)
            s->host->image_reset(s->host);
        s->at_file--;
        s->checking = !s->host->image_reset;
    } else if (ret == E_CANCELLED) {
        s->ret = ret;
    } else {
        fmt_log(s->env, ENV_LOG_ERROR, "journal: %s: %s%s.", name, err_text(ret),
                ret == E_VERSION ? ": start the release that wrote it; nothing was changed"
                : ret == E_NOMEM ? ": the state is larger than this master may use; nothing was "
                                   "changed. Raise its budget"
                                 : "");
        s->ret = ret;
    }
    if (s->ret)
        s->at_file = 0;
    s->fresh = true;
    s->state = SNAP_LOAD_CLOSE;
    if (s->file) {
        s->fresh = false;
        snap_close(s, SNAP_LOAD_CLOSE);
    }
}

/* what does not check is read again, from the end of what did */
static bool snap_look_again(struct snap *s)
{
    bool is_bad = s->verdict == E_CORRUPT || s->verdict == E_EOF;
    if (!is_bad || s->is_refused || s->cancel || s->n_looks == SNAP_LOOKS)
        return false;
    s->n_looks++;
    s->pos = s->sure;
    s->window_at = s->read_at = s->sure & ~(uint64_t)(LOG_BLOCK - 1);
    s->window_len = 0;
    snap_read(s);
    return s->is_reading;
}

static bool snap_load(struct snap *s)
{
    bool eof;
    int ret;
    s->fresh = false;
    if (s->is_drained) {
        s->is_drained = s->is_reading = false;
        if (!snap_look_again(s))
            snap_load_verdict(s, s->verdict);
        return s->fresh;
    }
    if (s->op.ret < 0) {
        s->is_reading = false;
        snap_load_verdict(s, (int)s->op.ret);
        return s->fresh;
    }
    if (s->is_reading) {
        s->is_reading = false;
        snap_take(s, (uint32_t)s->op.ret);
    } else { /* it is open */
        s->size = (uint64_t)s->op.ret;
        if (!snap_windows_new(s, s->size)) {
            snap_load_verdict(s, E_NOMEM);
            return s->fresh;
        }
    }
    if (s->cancel) {
        snap_load_verdict(s, E_CANCELLED);
        return s->fresh;
    }
    snap_read(s); /* while the window is taken in */
    uint64_t need = s->pos == 0 ? LOG_BLOCK : sizeof(struct log_piece);
    do {
        const uint8_t *p = snap_have(s, need, &eof);
        if (!p && !eof && s->is_reading)
            return false;
        ret = !p            ? E_EOF
              : s->pos == 0 ? snap_load_header(s, p)
                            : snap_load_piece(s, p, need, &need);
        if (ret == 0)
            need = sizeof(struct log_piece);
    } while (ret == 0 || ret == E_AGAIN);
    s->verdict = ret;
    s->is_drained = s->is_reading; /* the buffer is the disk's until then */
    if (!s->is_drained && !snap_look_again(s))
        snap_load_verdict(s, ret);
    return s->fresh;
}

/* --- writing --- */

static void snap_abort(struct snap *s, int ret)
{
    s->ret = ret;
    s->host->image_end(s->host);
    if (ret != E_CANCELLED)
        fmt_log(
            s->env, ENV_LOG_WARN,
            "journal: no state image at record %llu in '%s': %s. The log stays longer until one "
            "can be written.",
            (unsigned long long)s->index, env_disk(s->env, s->dir), err_text(ret));
    if (s->file) {
        snap_close(s, SNAP_ABORT_CLOSE);
    } else {
        s->state = SNAP_ABORT_CLOSE;
        s->fresh = true;
    }
}

static uint32_t snap_put(struct snap *s, uint32_t at, uint32_t kind, uint32_t len)
{
    struct log_piece h = {.kind = kind, .len = len, .number = s->number};
    s->crc = h.crc = log_format_piece_crc(&h, s->buf + at + sizeof h, s->crc);
    memcpy(s->buf + at, &h, sizeof h);
    uint32_t end = at + (uint32_t)sizeof h + len, to = (uint32_t)base_align_up(end, 8);
    memset(s->buf + end, 0, to - end);
    return to;
}

/* fills at most `most` bytes of the buffer with pieces; their padded length goes to s->len */
static void snap_fill(struct snap *s, uint32_t most)
{
    const uint32_t head = sizeof(struct log_piece);
    uint32_t at = 0;
    if (s->pos == 0) {
        struct log_image h = {.cluster_hi = s->cfg.cluster_hi,
                              .cluster_lo = s->cfg.cluster_lo,
                              .index = s->index,
                              .epoch = s->epoch};
        memset(s->buf, 0, LOG_BLOCK);
        memcpy(s->buf, &h, sizeof h);
        log_format_seal(s->buf, LOG_BLOCK, LOG_IMAGE_MAGIC);
        memcpy(&h, s->buf, sizeof h);
        s->crc = h.crc;
        at = LOG_BLOCK;
    }
    while (!s->ended && most - at >= JOURNAL_PIECE_MIN + 3 * head) {
        uint32_t room = most - at - 3 * head;
        uint32_t n = s->host->image_next(s->host, s->buf + at + head, room);
        ASSERT(n <= room);
        if (n == 0) {
            struct log_image_end end = {s->index, s->data_bytes};
            s->ended = true;
            memcpy(s->buf + at + head, &end, sizeof end);
            at = snap_put(s, at, LOG_PIECE_END, sizeof end);
            break;
        }
        at = snap_put(s, at, LOG_PIECE_DATA, n);
        s->number++;
        s->data_bytes += n;
    }
    s->len = (uint32_t)base_align_up(at, LOG_BLOCK);
    memset(s->buf + at, 0, s->len - at);
}

void snap_submit(struct snap *s)
{
    s->write_began_ns = env_now_ns(s->env);
    env_write(s->file, s->buf, s->len, s->pos, &s->op);
}

static bool snap_write_step(struct snap *s)
{
    if (s->fresh) {
        s->fresh = false;
        if (snap_is_full(s->op.ret) && s->has_reserve && s->cfg.reserve_part) {
            snap_give_piece(s);
            return false;
        }
        if (snap_is_full(s->op.ret) && s->has_reserve) {
            char name[ENV_NAME_MAX];
            snap_path(s, "journal.reserve", name);
            s->has_reserve = s->reserve_safe = false;
            s->state = SNAP_FREE_RESERVE;
            env_unlink(s->env, name, &s->op);
            return false;
        }
        if (snap_is_full(s->op.ret) && !s->cancel && env_now_ns(s->env) < s->freed_until_ns) {
            s->state = SNAP_FREE_WAIT;
            env_timer_set(s->env, &s->timer, env_now_ns(s->env) + SNAP_FREED_RETRY_NS);
            return false;
        }
        if (s->op.ret != (int64_t)s->len || s->cancel) {
            snap_abort(s, s->op.ret < 0 ? (int)s->op.ret : s->cancel ? E_CANCELLED : E_IO);
            return s->fresh;
        }
        s->pos += s->len;
        if (s->ended) {
            s->host->image_end(s->host);
            s->state = SNAP_SYNC;
            if (MUTANT(IMAGE_NOT_SYNCED))
                env_post(s->env, &s->op);
            else
                env_sync(s->file, &s->op);
            return false;
        }
        if (s->cfg.busy(s->cfg.busy_ctx)) {
            int64_t pause_ns = 3 * (env_now_ns(s->env) - s->write_began_ns);
            s->state = SNAP_WRITE_PAUSE;
            env_timer_set(s->env, &s->timer,
                          env_now_ns(s->env) +
                              (pause_ns > SNAP_PAUSE_NS ? pause_ns : SNAP_PAUSE_NS));
            return false;
        }
    }
    snap_fill(s, s->cfg.busy(s->cfg.busy_ctx) ? SNAP_STEP : LOG_PIECE_MAX);
    snap_submit(s);
    return false;
}

static bool snap_prune(struct snap *s)
{
    uint64_t wanted = s->cfg.wanted ? s->cfg.wanted(s->cfg.wanted_ctx) : 0;
    uint32_t good = 0, all_good = 0;
    char name[ENV_NAME_MAX];
    for (uint32_t i = 0; i < s->n_files; i++)
        all_good += !s->files[i].bad;
    for (uint32_t i = s->n_files; i-- > 0 && all_good;) { /* they may turn bad meanwhile */
        if (!s->files[i].bad && (++good <= SNAP_KEEP || s->files[i].index == wanted))
            continue;
        if (s->files[i].unread && good < SNAP_KEEP)
            continue;
        snap_name(s, s->files[i].index, name);
        s->n_files--;
        memmove(s->files + i, s->files + i + 1, (s->n_files - i) * sizeof *s->files);
        env_unlink(s->env, name, &s->op);
        return false;
    }
    snap_end(s, 0);
    return false;
}

static bool snap_renamed(struct snap *s)
{
    uint32_t at;
    if (s->op.ret < 0) {
        s->ret = (int)s->op.ret;
        s->state = SNAP_ABORT_CLOSE;
        return true;
    }
    snap_place_newest(s, &at)->bytes = s->pos;
    s->loaded = s->index;
    s->loaded_epoch = s->epoch;
    s->named = base_max_u64(s->named, s->index);
    s->state = SNAP_PRUNE;
    return true;
}

/* Moves on; true: go round again.  Each case either starts an operation and says false, or moves to
 * another state and says true. */
static bool snap_step(struct snap *s)
{
    char name[ENV_NAME_MAX], tmp[ENV_NAME_MAX];
    snap_tmp(s, tmp);
    switch (s->state) {
    case SNAP_REST:
        return false;
    case SNAP_LIST:
        return snap_list(s);
    case SNAP_LOAD_OPEN:
        s->size = 0;
        return snap_load_open(s);
    case SNAP_LOAD:
        return snap_load(s);
    case SNAP_LOAD_CLOSE:
        s->fresh = false;
        if (s->ret) {
            snap_end(s, s->ret);
            return false;
        }
        s->state = s->installing ? SNAP_PRUNE : SNAP_LOAD_OPEN;
        return true;
    case SNAP_WRITE_OPEN:
        s->fresh = false;
        if (s->op.ret < 0) {
            s->file = NULL;
            snap_abort(s, (int)s->op.ret);
            return s->fresh;
        }
        s->state = SNAP_WRITE;
        return true;
    case SNAP_WRITE:
        return snap_write_step(s);
    case SNAP_WRITE_PAUSE:
        s->fresh = false;
        s->state = SNAP_WRITE;
        return true;
    case SNAP_FREE_RESERVE:
        s->freed_until_ns = env_now_ns(s->env) + SNAP_FREED_NS;
        s->fresh = false;
        s->state = SNAP_WRITE;
        snap_submit(s);
        return false;
    case SNAP_FREE_WAIT:
        s->fresh = false;
        s->state = SNAP_WRITE;
        snap_submit(s);
        return false;
    case SNAP_SYNC:
        s->fresh = false;
        s->ret = s->op.ret < 0 ? (int)s->op.ret : 0;
        snap_close(s, SNAP_CLOSE);
        return false;
    case SNAP_CLOSE:
        s->fresh = false;
        s->state = s->ret ? SNAP_ABORT_CLOSE : SNAP_RENAME;
        if (s->ret)
            return true;
        snap_name(s, s->index, name);
        env_rename(s->env, tmp, name, &s->op);
        return false;
    case SNAP_RENAME:
        s->fresh = false;
        return snap_renamed(s);
    case SNAP_PRUNE:
        s->fresh = false;
        return snap_prune(s);
    case SNAP_ABORT_CLOSE:
        s->fresh = false;
        s->state = SNAP_ABORT_UNLINK;
        env_unlink(s->env, tmp, &s->op);
        return false;
    case SNAP_SWEEP:
        s->fresh = false;
        if (s->n_old)
            s->n_old--;
        else
            s->has_tmp = false;
        snap_reserve_begin(s, s->after_sweep);
        return false;
    case SNAP_RESERVE_OPEN:
        s->fresh = s->op.ret >= 0;
        if (!s->fresh) {
            snap_end(s, (int)s->op.ret);
            return false;
        }
        s->has_reserve = true;
        s->len = 0;
        s->state = SNAP_RESERVE;
        return true;
    case SNAP_RESERVE:
        return snap_reserve_step(s);
    case SNAP_RESERVE_PAUSE:
        s->fresh = false;
        s->state = SNAP_RESERVE;
        return true;
    case SNAP_RESERVE_SYNC:
        s->fresh = false;
        s->ret = s->op.ret < 0 ? (int)s->op.ret : 0;
        s->reserve_safe = !s->ret;
        snap_close(s, SNAP_RESERVE_CLOSE);
        return false;
    case SNAP_RESERVE_CUT:
        s->fresh = false;
        snap_close(s, SNAP_RESERVE_CLOSE);
        return false;
    case SNAP_GIVE_OPEN:
    case SNAP_GIVE:
    case SNAP_GIVE_CLOSE:
        return snap_give_step(s);
    case SNAP_ABORT_UNLINK:
    case SNAP_RESERVE_CLOSE:
    case SNAP_RELEASE:
        s->fresh = false;
        snap_end(s, s->ret);
        return false;
    }
    return false;
}

static void snap_run(struct snap *s)
{
    while (snap_step(s))
        ;
}

void snap_begin(struct snap *s, enum snap_state state, struct env_op *op)
{
    ASSERT(s->state == SNAP_REST && !s->user);
    s->state = state;
    s->user = op;
    s->ret = 0;
    s->cancel = false;
    s->fresh = false;
    s->installing = false;
    s->pos = 0;
}

void snap_open(struct snap *s, struct env_op *op)
{
    snap_begin(s, SNAP_LIST, op);
    snap_run(s);
}

void snap_write(struct snap *s, uint64_t index, uint64_t epoch, struct env_op *op)
{
    char tmp[ENV_NAME_MAX];
    snap_begin(s, SNAP_WRITE_OPEN, op);
    s->index = index;
    s->epoch = epoch;
    s->data_bytes = 0;
    s->freed_until_ns = 0;
    s->number = 0;
    s->ended = false;
    s->has_tmp = false; /* it is written over */
    s->host->image_begin(s->host);
    snap_tmp(s, tmp);
    env_open(s->env, tmp, ENV_O_WRITE | ENV_O_CREATE | ENV_O_TRUNC | ENV_O_DIRECT, &s->file,
             &s->op);
}

void snap_install(struct snap *s, uint64_t index, struct env_op *op)
{
    uint32_t at;
    ASSERT(s->host->image_reset && index);
    snap_begin(s, SNAP_LOAD_OPEN, op);
    s->installing = true;
    s->checking = false;
    s->index = index;
    (void)snap_place_newest(s, &at);
    s->at_file = at + 1;
    s->host->image_reset(s->host);
    snap_run(s);
}

void snap_cancel(struct snap *s)
{
    s->cancel = true;
}
