/* cluster/worker_store.c - see cluster/worker_store.h.
 *
 * A file at work is one struct with one step, advanced by worker_store_step():
 *
 *   IDLE --read waits, data closed--> OPEN_READ --> IDLE
 *   IDLE --WRITE--> W_DATA_OPEN > W_MAP_OPEN > W_HEAD > W_DATA > W_MAP --> IDLE
 *   IDLE --CLEAR--> C_MAP_OPEN > C_MAP > C_DATA_OPEN > C_PUNCH --> IDLE
 *   IDLE --DROP--> D_WAIT (no reader left) > D_CLOSE_DATA > D_CLOSE_MAP > D_MAP > D_DATA --> IDLE
 *   IDLE --handles needed elsewhere--> X_DATA > X_MAP --> gone
 *
 * The map goes before the data, so that a map never speaks of data that is not there.  The head is
 * written whenever the map was opened to be written: 64 bytes, and no question about its age. */
#include "cluster/worker_store.h"
#include "core/fmt.h"

enum worker_store_step {
    WS_IDLE,
    WS_OPEN_READ,
    WS_W_DATA_OPEN,
    WS_W_MAP_OPEN,
    WS_W_HEAD,
    WS_W_DATA,
    WS_W_MAP,
    WS_C_MAP_OPEN,
    WS_C_MAP,
    WS_C_DATA_OPEN,
    WS_C_PUNCH,
    WS_D_WAIT,
    WS_D_CLOSE_DATA,
    WS_D_CLOSE_MAP,
    WS_D_MAP,
    WS_D_DATA,
    WS_X_DATA,
    WS_X_MAP,
};

struct worker_store_file {
    struct list link; /* bucket */
    struct list idle;
    struct worker_store *store;
    struct ino ino;
    uint64_t version;
    struct env_file *data, *map;
    enum worker_store_step step;
    bool is_busy;      /* op is submitted */
    bool has_head;     /* this handle of the map wrote one */
    uint32_t reading;  /* reads submitted */
    struct list reads; /* waiting for the data file */
    struct list jobs;  /* waiting for their turn */
    struct worker_job *cur;
    struct env_op op;
    uint8_t head[WORKER_FORMAT_HEAD];
};

static const uint8_t worker_store_zeros[WORKER_FORMAT_REC_MAX];

int worker_store_init(struct worker_store *s, struct env *e, struct mem *m, const char *prefix,
                      uint32_t page_bytes, uint32_t files_max)
{
    memset(s, 0, sizeof *s);
    s->env = e;
    s->mem = m;
    s->prefix = prefix;
    s->page_bytes = page_bytes;
    s->rec_bytes = worker_format_rec_bytes(page_bytes);
    list_init(&s->idle);
    list_init(&s->waiting);
    for (unsigned i = 0; i < WORKER_STORE_BUCKETS; i++)
        list_init(&s->bucket[i]);
    return pool_init(&s->files, m, sizeof(struct worker_store_file), files_max);
}

void worker_store_free(struct worker_store *s)
{
    mem_free(s->mem, s->files.base, (size_t)s->files.object_size * s->files.count);
    memset(s, 0, sizeof *s);
}

static void worker_store_step(struct worker_store_file *f);

static void worker_store_stepped(struct env_op *op)
{
    struct worker_store_file *f = container_of(op, struct worker_store_file, op);
    f->is_busy = false;
    worker_store_step(f);
}

static struct env_op *worker_store_op(struct worker_store_file *f, enum worker_store_step step)
{
    ASSERT(!f->is_busy);
    f->is_busy = true;
    f->step = step;
    f->op.done = worker_store_stepped;
    return &f->op;
}

static void worker_store_end_job(struct worker_store *s, struct worker_job *j, int64_t ret)
{
    s->jobs--;
    j->file = NULL;
    j->op.ret = ret;
    j->op.done(&j->op);
}

static void worker_store_name(const struct worker_store_file *f, enum worker_format_kind kind,
                              char to[ENV_NAME_MAX])
{
    worker_format_name(to, ENV_NAME_MAX, f->store->prefix, f->ino, f->version, kind);
}

static void worker_store_open_data(struct worker_store_file *f, enum worker_store_step step,
                                   unsigned flags)
{
    char name[ENV_NAME_MAX];
    worker_store_name(f, WORKER_FORMAT_DATA, name);
    env_open(f->store->env, name, ENV_O_WRITE | flags, &f->data, worker_store_op(f, step));
}

static void worker_store_open_map(struct worker_store_file *f, enum worker_store_step step,
                                  unsigned flags)
{
    char name[ENV_NAME_MAX];
    worker_store_name(f, WORKER_FORMAT_MAP, name);
    env_open(f->store->env, name, ENV_O_WRITE | flags, &f->map, worker_store_op(f, step));
}

/* ---- reads ---- */

static void worker_store_read_done(struct env_op *op)
{
    struct worker_job *j = container_of(op, struct worker_job, io);
    struct worker_store_file *f = j->file;
    f->reading--;
    worker_store_end_job(f->store, j, op->ret);
    worker_store_step(f);
}

static void worker_store_start_reads(struct worker_store_file *f)
{
    struct list *l;
    while ((l = list_pop(&f->reads))) {
        struct worker_job *j = list_entry(l, struct worker_job, link);
        f->reading++;
        j->io.done = worker_store_read_done;
        env_read(f->data, j->buf, j->len, j->off, &j->io);
    }
}

static void worker_store_fail_reads(struct worker_store_file *f, int64_t ret)
{
    struct list failed;
    list_init(&failed);
    list_splice(&failed, &f->reads);
    struct list *l;
    while ((l = list_pop(&failed)))
        worker_store_end_job(f->store, list_entry(l, struct worker_job, link), ret);
}

/* ---- one step after the other ---- */

/* the current job is over; its file is idle again */
static void worker_store_finish(struct worker_store_file *f, int64_t ret)
{
    struct worker_job *j = f->cur;
    f->cur = NULL;
    f->step = WS_IDLE;
    worker_store_end_job(f->store, j, ret);
}

static uint64_t worker_store_rec_off(const struct worker_store_file *f)
{
    return WORKER_FORMAT_HEAD + (uint64_t)f->cur->key.page * f->store->rec_bytes;
}

static void worker_store_write_map(struct worker_store_file *f, const uint8_t *rec,
                                   enum worker_store_step step)
{
    env_write(f->map, rec, f->store->rec_bytes, worker_store_rec_off(f), worker_store_op(f, step));
}

static void worker_store_begin_data(struct worker_store_file *f)
{
    uint64_t off = (uint64_t)f->cur->key.page * f->store->page_bytes;
    env_write(f->data, f->cur->buf, f->cur->len, off, worker_store_op(f, WS_W_DATA));
}

static void worker_store_begin_head(struct worker_store_file *f)
{
    struct worker_format_head h = {f->ino, f->version, f->cur->file_size, f->store->page_bytes};
    worker_format_head_put(f->head, &h);
    env_write(f->map, f->head, sizeof f->head, 0, worker_store_op(f, WS_W_HEAD));
}

/* the data file is open */
static void worker_store_begin_write(struct worker_store_file *f)
{
    if (!f->map)
        worker_store_open_map(f, WS_W_MAP_OPEN, ENV_O_CREATE);
    else if (!f->has_head)
        worker_store_begin_head(f);
    else
        worker_store_begin_data(f);
}

static void worker_store_unlink(struct worker_store_file *f, enum worker_format_kind kind,
                                enum worker_store_step step)
{
    char name[ENV_NAME_MAX];
    worker_store_name(f, kind, name);
    env_unlink(f->store->env, name, worker_store_op(f, step));
}

/* closes what is open and goes on to `then`; ret: false when nothing was open */
static bool worker_store_shut(struct worker_store_file *f, struct env_file **at,
                              enum worker_store_step step)
{
    struct env_file *file = *at;
    if (!file)
        return false;
    *at = NULL;
    f->has_head = false;
    env_close(file, worker_store_op(f, step));
    return true;
}

static void worker_store_begin(struct worker_store_file *f)
{
    f->cur = list_entry(list_pop(&f->jobs), struct worker_job, link);
    switch (f->cur->kind) {
    case WORKER_JOB_WRITE:
        if (!f->data)
            worker_store_open_data(f, WS_W_DATA_OPEN, ENV_O_CREATE);
        else
            worker_store_begin_write(f);
        return;
    case WORKER_JOB_CLEAR:
        if (!f->map)
            worker_store_open_map(f, WS_C_MAP_OPEN, 0);
        else
            worker_store_write_map(f, worker_store_zeros, WS_C_MAP);
        return;
    case WORKER_JOB_DROP:
        f->step = WS_D_WAIT;
        return;
    case WORKER_JOB_READ:
        break;
    }
    ASSERT(!"a read in the queue of changes");
}

static void worker_store_punch(struct worker_store_file *f)
{
    uint64_t off = (uint64_t)f->cur->key.page * f->store->page_bytes;
    env_punch(f->data, off, f->store->page_bytes, worker_store_op(f, WS_C_PUNCH));
}

static struct worker_store_file *worker_store_find(struct worker_store *s, struct ino ino,
                                                   uint64_t version);
static void worker_store_give(struct worker_store_file *f, struct worker_job *j);

/* a place for another file became free: for the jobs that have waited longest */
static void worker_store_gone(struct worker_store_file *f)
{
    struct worker_store *s = f->store;
    list_remove(&f->link);
    pool_put(&s->files, f);
    while (!list_empty(&s->waiting)) {
        struct worker_job *j = list_entry(s->waiting.next, struct worker_job, link);
        struct worker_store_file *to = worker_store_find(s, j->key.ino, j->key.version);
        if (!to)
            return;
        list_remove(&j->link);
        worker_store_give(to, j);
    }
}

/* Nothing is under way: what next?  ret: true if the step changed without waiting. */
static bool worker_store_pick(struct worker_store_file *f)
{
    if (f->data)
        worker_store_start_reads(f);
    else if (!list_empty(&f->reads)) {
        worker_store_open_data(f, WS_OPEN_READ, 0);
        return false;
    }
    if (!list_empty(&f->jobs)) {
        worker_store_begin(f);
        return f->step == WS_D_WAIT;
    }
    if (f->reading)
        return false;
    if (!f->data && !f->map) {
        worker_store_gone(f);
        return false;
    }
    if (f->store->is_closing || !list_empty(&f->store->waiting)) {
        f->step = WS_X_DATA;
        return !worker_store_shut(f, &f->data, WS_X_DATA);
    }
    list_push_back(&f->store->idle, &f->idle);
    return false;
}

/* after the completion of a step of WRITE */
static void worker_store_step_write(struct worker_store_file *f, int64_t ret)
{
    if (ret < 0) {
        worker_store_finish(f, ret);
        return;
    }
    switch (f->step) {
    case WS_W_DATA_OPEN:
    case WS_W_MAP_OPEN:
        worker_store_begin_write(f);
        return;
    case WS_W_HEAD:
        f->has_head = true;
        worker_store_begin_data(f);
        return;
    case WS_W_DATA:
        worker_store_write_map(f, f->cur->rec, WS_W_MAP);
        return;
    default:
        worker_store_finish(f, 0);
        return;
    }
}

/* after the completion of a step of CLEAR; what is not there need not be cleared */
static void worker_store_step_clear(struct worker_store_file *f, int64_t ret)
{
    switch (f->step) {
    case WS_C_MAP_OPEN:
        if (ret >= 0) {
            worker_store_write_map(f, worker_store_zeros, WS_C_MAP);
            return;
        }
        f->map = NULL;
        break;
    case WS_C_MAP:
        break;
    case WS_C_DATA_OPEN:
        if (ret >= 0) {
            worker_store_punch(f);
            return;
        }
        f->data = NULL;
        worker_store_finish(f, ret == E_NOENT ? 0 : ret);
        return;
    default:
        worker_store_finish(f, ret < 0 ? ret : 0);
        return;
    }
    if (f->data)
        worker_store_punch(f);
    else
        worker_store_open_data(f, WS_C_DATA_OPEN, 0);
}

/* ret: true when the step went on without waiting */
static bool worker_store_step_drop(struct worker_store_file *f, int64_t ret)
{
    switch (f->step) {
    case WS_D_WAIT:
        if (f->reading)
            return false;
        f->step = WS_D_CLOSE_DATA;
        return !worker_store_shut(f, &f->data, WS_D_CLOSE_DATA);
    case WS_D_CLOSE_DATA:
        f->step = WS_D_CLOSE_MAP;
        return !worker_store_shut(f, &f->map, WS_D_CLOSE_MAP);
    case WS_D_CLOSE_MAP:
        worker_store_unlink(f, WORKER_FORMAT_MAP, WS_D_MAP);
        return false;
    case WS_D_MAP:
        worker_store_unlink(f, WORKER_FORMAT_DATA, WS_D_DATA);
        return false;
    default:
        worker_store_finish(f, ret == E_NOENT || ret > 0 ? 0 : ret);
        return true;
    }
}

static void worker_store_step(struct worker_store_file *f)
{
    for (bool more = true; more && !f->is_busy;) {
        int64_t ret = f->op.ret;
        switch (f->step) {
        case WS_IDLE:
            more = worker_store_pick(f);
            if (!more)
                return; /* f may be gone */
            break;
        case WS_OPEN_READ:
            f->step = WS_IDLE;
            if (ret < 0) {
                f->data = NULL;
                worker_store_fail_reads(f, ret);
            }
            break;
        case WS_W_DATA_OPEN:
        case WS_W_MAP_OPEN:
            if (ret < 0 && f->step == WS_W_DATA_OPEN)
                f->data = NULL;
            if (ret < 0 && f->step == WS_W_MAP_OPEN)
                f->map = NULL;
            worker_store_step_write(f, ret);
            break;
        case WS_W_HEAD:
        case WS_W_DATA:
        case WS_W_MAP:
            worker_store_step_write(f, ret);
            break;
        case WS_C_MAP_OPEN:
        case WS_C_MAP:
        case WS_C_DATA_OPEN:
        case WS_C_PUNCH:
            worker_store_step_clear(f, ret);
            break;
        case WS_D_WAIT:
        case WS_D_CLOSE_DATA:
        case WS_D_CLOSE_MAP:
        case WS_D_MAP:
        case WS_D_DATA:
            more = worker_store_step_drop(f, ret);
            break;
        case WS_X_DATA:
            f->step = WS_X_MAP;
            more = !worker_store_shut(f, &f->map, WS_X_MAP);
            break;
        case WS_X_MAP:
            f->step = WS_IDLE;
            break;
        }
    }
}

/* ---- submitting ---- */

static struct list *worker_store_bucket(struct worker_store *s, struct ino ino, uint64_t version)
{
    return &s->bucket[base_mix_u64(ino.v ^ version << 40) & (WORKER_STORE_BUCKETS - 1)];
}

/* Makes one handle free for another file; it is gone on a later turn. */
static void worker_store_close_oldest(struct worker_store *s)
{
    struct list *l = list_pop(&s->idle);
    if (!l)
        return;
    struct worker_store_file *f = list_entry(l, struct worker_store_file, idle);
    f->step = WS_X_DATA;
    if (!worker_store_shut(f, &f->data, WS_X_DATA))
        worker_store_step(f);
}

static struct worker_store_file *worker_store_find(struct worker_store *s, struct ino ino,
                                                   uint64_t version)
{
    struct list *b = worker_store_bucket(s, ino, version);
    list_each(it, b) {
        struct worker_store_file *f = list_entry(it, struct worker_store_file, link);
        if (f->ino.v == ino.v && f->version == version)
            return f;
    }
    /* a few are kept free, so that a burst does not wait for closes */
    if (s->files.free_count <= s->files.count / 4)
        worker_store_close_oldest(s);
    struct worker_store_file *f = pool_get(&s->files);
    if (!f)
        return NULL;
    f->store = s;
    f->ino = ino;
    f->version = version;
    list_init(&f->idle);
    list_init(&f->reads);
    list_init(&f->jobs);
    list_push_back(b, &f->link);
    return f;
}

/* a change of the same file waits for a place: what comes later waits behind it */
static bool worker_store_must_wait(const struct worker_store *s, const struct worker_job *j)
{
    list_each(it, &s->waiting) {
        const struct worker_job *k = list_entry(it, struct worker_job, link);
        if (k->key.ino.v == j->key.ino.v && k->key.version == j->key.version)
            return true;
    }
    return false;
}

void worker_store_submit(struct worker_store *s, struct worker_job *j)
{
    struct worker_store_file *f =
        worker_store_must_wait(s, j) ? NULL : worker_store_find(s, j->key.ino, j->key.version);
    j->file = NULL;
    if (!f && j->kind == WORKER_JOB_READ) {
        j->op.ret = E_AGAIN;
        env_post(s->env, &j->op);
        return;
    }
    s->jobs++;
    if (f)
        worker_store_give(f, j);
    else
        list_push_back(&s->waiting, &j->link);
}

static void worker_store_give(struct worker_store_file *f, struct worker_job *j)
{
    j->file = f;
    list_push_back(j->kind == WORKER_JOB_READ ? &f->reads : &f->jobs, &j->link);
    if (list_linked(&f->idle))
        list_remove(&f->idle);
    if (j->kind == WORKER_JOB_READ && f->data && f->step != WS_D_WAIT)
        worker_store_start_reads(f);
    if (f->step == WS_IDLE && !f->is_busy)
        worker_store_step(f);
}

bool worker_store_close(struct worker_store *s)
{
    s->is_closing = true;
    while (!list_empty(&s->idle))
        worker_store_close_oldest(s);
    return s->jobs == 0 && s->files.free_count == s->files.count;
}
