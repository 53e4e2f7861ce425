/* sim/sim_disk_io.c - the disk calls of core/env.h: their costs, their faults, and what a crash
 * does to those under way.
 *
 *  1. A call takes effect at the moment it completes; a crash before that lets it happen in full,
 *     in part or not at all (a rename: in full or not at all).
 *  2. The transfers of one disk queue behind each other; latencies overlap.  A durable write of
 *     which a model knows what it takes (sim.h) takes that, beside so many others of its machine:
 *     when their number changes, what is left of each becomes as much longer or shorter as the
 *     medians say.
 *  3. Names are copied at the call; data is not, and must not change while it is under way.
 *  4. The calls of a mount (sim_shared.c) begin here, too, and have their effects from here; what
 *     lies between is its own. */
#include "sim/sim_internal.h"

enum { SIM_DISK_CHECK_MAX = 64 * 1024 }; /* buffers up to here are watched */
#define SIM_DISK_SIZE_MAX (1ULL << 40)

/* The parameters in an event: a handle, b bytes or names (c: the second name, or results), x offset
 * or size, y length or flags, z hash of the bytes, or the sync's epoch. */

static struct sim_handle *sim_disk_io_handle(struct env_file *f)
{
    return container_of(f, struct sim_handle, pub);
}

static struct sim_node *sim_disk_io_node(struct env *e)
{
    return container_of(e, struct sim_node, env);
}

__extension__ typedef __int128 sim_disk_i128;

/* of all writes under way on m, which were `before`, and are m->writes */
static void sim_disk_io_rescale(struct sim *s, struct sim_machine *m, uint32_t before)
{
    const struct sim_grid *g = &s->cfg.model->write;
    list_each_safe(l, &m->on_disk) {
        struct sim_ev *ev = container_of(l, struct sim_ev, disk);
        int64_t was = sim_model_median_ns(g, ev->y, before);
        int64_t is = sim_model_median_ns(g, ev->y, m->writes), left = ev->at_ns - s->now_ns;
        if (was > 0 && left > 0 && sim_ev_is_queued(s, ev))
            sim_ev_at(s, ev, s->now_ns + (int64_t)((sim_disk_i128)left * is / was));
    }
}

void sim_disk_io_uncount(struct sim *s, struct sim_ev *ev)
{
    struct sim_machine *m = ev->node->machine;
    ev->counted = false;
    list_remove(&ev->disk);
    m->writes--;
    if (m->writes)
        sim_disk_io_rescale(s, m, m->writes + 1);
}

static void sim_disk_io_count(struct sim *s, struct sim_ev *ev)
{
    struct sim_machine *m = ev->node->machine;
    if (m->writes++)
        sim_disk_io_rescale(s, m, m->writes - 1);
    ev->counted = true;
    list_push_back(&m->on_disk, &ev->disk);
}

int64_t sim_disk_io_lat_ns(struct sim_node *n, enum sim_disk_call call)
{
    struct sim_disk *d = &n->disk;
    if (call == SIM_DISK_READ || call == SIM_DISK_OPEN || call == SIM_DISK_LIST)
        return sim_draw_ns(&d->prng, d->cfg.read_min_ns, d->cfg.read_mean_ns);
    if (call == SIM_DISK_SYNC || call == SIM_DISK_RENAME)
        return sim_draw_ns(&d->prng, d->cfg.sync_min_ns, d->cfg.sync_mean_ns);
    return sim_draw_ns(&d->prng, d->cfg.write_min_ns, d->cfg.write_mean_ns);
}

int64_t sim_disk_io_moved_ns(struct sim_node *n, uint64_t bytes, int64_t now_ns)
{
    struct sim_disk *d = &n->disk;
    if (d->free_ns < now_ns)
        d->free_ns = now_ns;
    struct sim_hit hit = {.kind = SIM_CHANCE_DISK_STALL};
    bool drawn = prng_chance_ppm(&d->prng, d->cfg.stall_ppm);
    if (drawn)
        hit.for_ns = prng_exp(&d->prng, d->cfg.stall_mean_ns);
    if (sim_chance(n->sim, n, NULL, drawn, &hit)) {
        n->sim->stats.stalls++;
        d->free_ns += hit.for_ns;
    }
    d->free_ns += sim_transfer_ns(bytes, d->cfg.bytes_per_s);
    return d->free_ns;
}

/* the event's time, for an operation that is given to the disk at now_ns */
static void sim_disk_io_start(struct sim_node *n, struct sim_ev *ev, const struct sim_handle *h,
                              uint64_t bytes, int64_t now_ns)
{
    struct sim *s = n->sim;
    const struct sim_grid *grid = s->cfg.model ? &s->cfg.model->write : NULL;
    enum sim_disk_call call = (enum sim_disk_call)ev->stage;
    bool known = grid && grid->n_bytes && call == SIM_DISK_WRITE && h && h->flags & ENV_O_DSYNC;
    int64_t lat_ns;
    if (known) {
        sim_disk_io_count(s, ev);
        lat_ns = sim_model_draw_ns(grid, bytes, n->machine->writes, &n->disk.prng);
    } else {
        lat_ns = sim_disk_io_lat_ns(n, call);
    }
    sim_ev_at(s, ev, sim_disk_io_moved_ns(n, known ? 0 : bytes, now_ns) + lat_ns);
}

static struct sim_ev *sim_disk_io_begin(struct env *e, struct env_op *op, enum sim_disk_call call,
                                        struct sim_handle *h, uint64_t bytes)
{
    struct sim_mount *m = sim_shared_mount_of(e);
    struct sim_node *n = m ? m->node : sim_disk_io_node(e);
    int64_t now_ns = sim_submit_ns(n);
    struct sim_ev *ev = sim_op_begin(n, op, m ? SIM_EV_SHARED : SIM_EV_DISK);
    ev->stage = (uint8_t)call;
    ev->a = h;
    if (call == SIM_DISK_WRITE && h->flags & ENV_O_DSYNC && n->is_cold)
        sim_node_spend(n, n->sim->cfg.serve.batch_ns);
    if (m) {
        sim_shared_start(m, ev, bytes, now_ns);
    } else if (n->serves) { /* it leaves with all others of the turn */
        ev->held = true;
        list_push_back(&n->submits, &ev->hold);
    } else {
        sim_disk_io_start(n, ev, h, bytes, now_ns);
    }
    return ev;
}

void sim_disk_io_leave(struct sim_node *n)
{
    struct list *l;
    while ((l = list_pop(&n->submits))) {
        struct sim_ev *ev = container_of(l, struct sim_ev, hold);
        bool moves = ev->stage == SIM_DISK_READ || ev->stage == SIM_DISK_WRITE;
        ev->held = false;
        sim_node_spend(n, n->sim->cfg.serve.io_ns);
        sim_disk_io_start(n, ev, ev->a, moves ? ev->y : 0, sim_node_at_ns(n) + n->lag_ns);
    }
}

static struct sim_ev *sim_disk_io_begin_file(struct env_file *f, struct env_op *op,
                                             enum sim_disk_call call, uint64_t bytes)
{
    struct sim_handle *h = sim_disk_io_handle(f);
    struct sim_ev *ev = sim_disk_io_begin(f->env, op, call, h, bytes);
    h->under_way++;
    return ev;
}

static bool sim_disk_io_has_names(const struct sim_ev *ev)
{
    return ev->stage == SIM_DISK_OPEN || ev->stage >= SIM_DISK_RENAME;
}

/* one or two names kept in the event; a name that cannot be is remembered as an error */
static void sim_disk_io_names(struct sim_ev *ev, const char *one, const char *two)
{
    struct sim *s = ev->node->sim;
    const char *in[2] = {one, two};
    void **out[2] = {&ev->b, &ev->c};
    for (int i = 0; i < 2 && in[i]; i++) {
        size_t len = 0;
        int err = sim_disk_check_name(in[i], &len);
        if (err) {
            ev->ret = err;
            continue;
        }
        *out[i] = sim_alloc(s, ENV_NAME_MAX + 1);
        memcpy(*out[i], in[i], strlen(in[i]) + 1);
    }
}

void sim_disk_io_names_free(struct sim *s, struct sim_ev *ev)
{
    if (!sim_disk_io_has_names(ev))
        return;
    sim_free(s, ev->b, ENV_NAME_MAX + 1);
    if (ev->stage == SIM_DISK_RENAME)
        sim_free(s, ev->c, ENV_NAME_MAX + 1);
    ev->b = NULL;
}

/* whose disk it is on */
static struct sim_node *sim_disk_io_home(const struct sim_handle *h)
{
    struct sim_mount *m = sim_shared_mount_of(h->pub.env);
    return m ? m->fs->server : h->node;
}

struct sim_handle *sim_disk_io_handle_new(struct env *e, struct sim_node *n, struct sim_file *f,
                                          unsigned flags, struct list *on)
{
    struct sim_handle *h = sim_alloc(n->sim, sizeof *h);
    h->pub.env = e;
    h->node = n;
    h->file = f;
    h->flags = flags;
    f->users++;
    list_push_back(on, &h->link);
    return h;
}

void sim_disk_io_forget(struct sim_handle *h)
{
    struct sim *s = h->node->sim;
    sim_disk_file_put(sim_disk_io_home(h), h->file);
    list_remove(&h->link);
    sim_free(s, h, sizeof *h);
}

/* ---- submits ---- */

void sim_disk_io_open(struct env *e, const char *name, unsigned flags, struct env_file **ret_file,
                      struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin(e, op, SIM_DISK_OPEN, NULL, 0);
    sim_disk_io_names(ev, name, NULL);
    ev->c = ret_file;
    ev->y = flags & ~(unsigned)ENV_O_COHERENT; /* here nobody knows that he is alone */
}

void sim_disk_io_close(struct env_file *f, struct env_op *op)
{
    struct sim_handle *h = sim_disk_io_handle(f);
    ASSERT(h->under_way == 0);
    sim_disk_io_begin(f->env, op, SIM_DISK_CLOSE, NULL, 0);
    sim_disk_io_forget(h);
}

void sim_disk_io_read(struct env_file *f, void *to, uint32_t len, uint64_t off, struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin_file(f, op, SIM_DISK_READ, len);
    memset(to, 0x5a, base_min_u64(len, SIM_DISK_CHECK_MAX));
    ev->b = to;
    ev->y = len;
    ev->x = off;
}

void sim_disk_io_write(struct env_file *f, const void *from, uint32_t len, uint64_t off,
                       struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin_file(f, op, SIM_DISK_WRITE, len);
    memcpy(&ev->b, &from, sizeof from);
    ev->y = len;
    ev->x = off;
    ev->z = len <= SIM_DISK_CHECK_MAX ? sim_digest(from, len) : 0;
}

void sim_disk_io_sync_begins(struct sim_ev *ev)
{
    struct sim_file *file = ((struct sim_handle *)ev->a)->file;
    ev->z = ++file->epoch;
    file->syncs++;
}

void sim_disk_io_sync(struct env_file *f, struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin_file(f, op, SIM_DISK_SYNC, 0);
    if (!sim_shared_mount_of(f->env)) /* there it counts from when it reaches the server */
        sim_disk_io_sync_begins(ev);
}

void sim_disk_io_resize(struct env_file *f, uint64_t size, struct env_op *op)
{
    sim_disk_io_begin_file(f, op, SIM_DISK_RESIZE, 0)->x = size;
}

void sim_disk_io_punch(struct env_file *f, uint64_t off, uint64_t len, struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin_file(f, op, SIM_DISK_PUNCH, 0);
    ev->x = off;
    ev->y = len;
}

void sim_disk_io_rename(struct env *e, const char *from, const char *to, struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin(e, op, SIM_DISK_RENAME, NULL, 0);
    sim_disk_io_names(ev, from, to);
}

void sim_disk_io_unlink(struct env *e, const char *name, struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin(e, op, SIM_DISK_UNLINK, NULL, 0);
    sim_disk_io_names(ev, name, NULL);
}

void sim_disk_io_list(struct env *e, const char *dir, const char *after, char *buf, uint32_t cap,
                      struct env_op *op)
{
    struct sim_ev *ev = sim_disk_io_begin(e, op, SIM_DISK_LIST, NULL, 0);
    char both[2 * ENV_NAME_MAX];
    size_t d = strlen(dir), a = strlen(after);
    while (d && dir[d - 1] == '/')
        d--;
    if (d + a + 3 > ENV_NAME_MAX) {
        ev->ret = E_NAMETOOLONG;
        return;
    }
    memcpy(both, dir, d);
    if (d)
        both[d++] = '/';
    memcpy(both + d, after, a + 1);
    ev->b = sim_alloc(ev->node->sim, ENV_NAME_MAX + 1);
    memcpy(ev->b, both, d + a + 1);
    ev->c = buf;
    ev->x = d;
    ev->y = cap;
}

/* ---- effects ---- */

int64_t sim_disk_io_find(struct sim_node *n, const char *name, unsigned flags,
                         struct sim_file **ret_f)
{
    struct sim_disk *d = &n->disk;
    struct sim_dent *x = sim_disk_find(d, name);
    struct sim_file *f = x ? x->cur : NULL;
    if (f && (flags & ENV_O_CREATE) && (flags & ENV_O_EXCL))
        return E_EXIST;
    if (!f) {
        int err = sim_disk_check_place(d, name);
        if (err || !(flags & ENV_O_CREATE))
            return err ? err : E_NOENT;
        f = sim_disk_create(n, name);
    }
    if (flags & ENV_O_TRUNC)
        sim_disk_file_resize(n, f, 0);
    *ret_f = f;
    return (int64_t)f->size;
}

static int64_t sim_disk_io_do_open(struct sim_node *n, const char *name, unsigned flags,
                                   struct env_file **ret_file)
{
    struct sim_file *f;
    int64_t ret = sim_disk_io_find(n, name, flags, &f);
    if (ret >= 0 && ret_file)
        *ret_file = &sim_disk_io_handle_new(&n->env, n, f, flags, &n->disk.handles)->pub;
    return ret;
}

static bool sim_disk_io_aligned(const struct sim_handle *h, const void *p, uint64_t len,
                                uint64_t off)
{
    return !(h->flags & ENV_O_DIRECT) ||
           !(((uintptr_t)p | len | off) & (uint64_t)(ENV_DIRECT_ALIGN - 1));
}

/* of what was read one block is another one of its file's */
static bool sim_disk_io_misread(struct sim_node *n, const struct sim_ev *ev, uint64_t got)
{
    struct sim_disk *d = &n->disk;
    const struct sim_file *f = ((struct sim_handle *)ev->a)->file;
    struct sim_hit hit = {.kind = SIM_CHANCE_MISREAD};
    uint64_t read = (got + SIM_BLOCK - 1) / SIM_BLOCK, other = f->size / SIM_BLOCK;
    if (!d->cfg.misdirect_read_ppm || !got || other < 2)
        return false;
    other--;
    bool drawn = prng_chance_ppm(&d->prng, d->cfg.misdirect_read_ppm);
    if (drawn)
        hit.n = prng_below(&d->prng, read * other);
    if (!sim_chance(n->sim, n, NULL, drawn, &hit))
        return false;
    uint64_t at = hit.n % read * SIM_BLOCK, from = hit.n / read % other;
    from += from >= (ev->x + at) / SIM_BLOCK;
    n->sim->stats.misread++;
    sim_disk_file_read(f, (uint8_t *)ev->b + at, base_min_u64(SIM_BLOCK, got - at),
                       from * SIM_BLOCK, NULL);
    return true;
}

static int64_t sim_disk_io_do_read(struct sim_node *n, struct sim_ev *ev)
{
    struct sim_disk *d = &n->disk;
    struct sim_handle *h = ev->a;
    n->sim->stats.disk_reads++;
    if (!sim_disk_io_aligned(h, ev->b, ev->y, ev->x))
        return E_INVAL;
    uint64_t got = ev->x < h->file->size ? base_min_u64(ev->y, h->file->size - ev->x) : 0;
    struct sim_hit hit = {.kind = SIM_CHANCE_READ_ERROR};
    bool eio = prng_chance_ppm(&d->prng, d->cfg.read_eio_ppm);
    eio = d->cfg.read_eio_ppm && sim_chance(n->sim, n, NULL, eio, &hit);
    if (eio || sim_disk_file_bad(h->file, got, ev->x)) {
        n->sim->stats.eio++;
        return E_IO;
    }
    struct sim_hash_run run;
    sim_hash_begin(&run);
    bool on_its_way = ev->x % SIM_HASH_STEP == 0;
    sim_disk_file_read(h->file, ev->b, got, ev->x, on_its_way ? &run : NULL);
    if (sim_disk_io_misread(n, ev, got))
        on_its_way = false;
    ev->z = on_its_way ? sim_hash_end(&run) : sim_digest(ev->b, got);
    return (int64_t)got;
}

/* off, or another block of the file that holds len bytes */
static uint64_t sim_disk_io_misdirect(struct sim_node *n, struct sim_file *f, uint64_t off,
                                      uint64_t len)
{
    struct sim_disk *d = &n->disk;
    struct sim_hit hit = {.kind = SIM_CHANCE_MISDIRECT};
    if (f->size < len + SIM_BLOCK || !d->cfg.misdirect_ppm)
        return off;
    uint64_t blocks = (f->size - len) / SIM_BLOCK + 1;
    bool drawn = prng_chance_ppm(&d->prng, d->cfg.misdirect_ppm);
    if (drawn)
        hit.n = prng_below(&d->prng, blocks);
    if (!sim_chance(n->sim, n, NULL, drawn, &hit))
        return off;
    n->sim->stats.misdirected++;
    return hit.n % blocks * SIM_BLOCK + off % SIM_BLOCK;
}

/* the bytes are what they were when the write was submitted: the env owned them */
static void sim_disk_io_unchanged(struct sim_ev *ev, uint64_t hash)
{
    ASSERT(ev->y > SIM_DISK_CHECK_MAX || ev->z == hash);
    ev->z = hash;
}

static int64_t sim_disk_io_write_failed(struct sim_ev *ev, int err)
{
    sim_disk_io_unchanged(ev, sim_digest(ev->b, ev->y));
    return err;
}

static int64_t sim_disk_io_do_write(struct sim_node *n, struct sim_ev *ev)
{
    struct sim_disk *d = &n->disk;
    struct sim_handle *h = ev->a;
    n->sim->stats.disk_writes++;
    if (!(h->flags & ENV_O_WRITE))
        return sim_disk_io_write_failed(ev, E_BADF);
    if (!sim_disk_io_aligned(h, ev->b, ev->y, ev->x))
        return sim_disk_io_write_failed(ev, E_INVAL);
    if (ev->x > SIM_DISK_SIZE_MAX || ev->y > SIM_DISK_SIZE_MAX - ev->x)
        return sim_disk_io_write_failed(ev, E_FBIG);
    if (d->cfg.capacity && d->used + sim_disk_file_need(h->file, ev->y, ev->x) > d->cfg.capacity) {
        n->sim->stats.enospc++;
        return sim_disk_io_write_failed(ev, E_NOSPC);
    }
    struct sim_hit hit = {.kind = SIM_CHANCE_WRITE_ERROR};
    bool eio = prng_chance_ppm(&d->prng, d->cfg.write_eio_ppm);
    if (eio)
        hit.n = prng_below(&d->prng, ev->y + 1);
    eio = d->cfg.write_eio_ppm && sim_chance(n->sim, n, NULL, eio, &hit);
    uint64_t len = eio ? base_min_u64(hit.n, ev->y) : ev->y;
    uint64_t off = sim_disk_io_misdirect(n, h->file, ev->x, len);
    bool on_its_way = !eio && off % SIM_HASH_STEP == 0;
    struct sim_hash_run run;
    sim_hash_begin(&run);
    sim_disk_file_write(n, h->file, ev->b, len, off, !eio && h->flags & ENV_O_DSYNC,
                        on_its_way ? &run : NULL);
    if (eio) {
        n->sim->stats.eio++;
        return sim_disk_io_write_failed(ev, E_IO);
    }
    sim_disk_io_unchanged(ev, on_its_way ? sim_hash_end(&run) : sim_digest(ev->b, ev->y));
    return (int64_t)ev->y;
}

static int64_t sim_disk_io_do_sync(struct sim_node *n, struct sim_ev *ev)
{
    struct sim_disk *d = &n->disk;
    struct sim_file *f = ((struct sim_handle *)ev->a)->file;
    struct sim_hit hit = {.kind = SIM_CHANCE_SYNC_ERROR};
    bool drawn = prng_chance_ppm(&d->prng, d->cfg.sync_fail_ppm);
    bool ok = !d->cfg.sync_fail_ppm || !sim_chance(n->sim, n, NULL, drawn, &hit);
    n->sim->stats.disk_syncs++;
    n->sim->stats.eio += !ok;
    f->syncs--;
    sim_disk_file_synced(n, f, ev->z, ok);
    return ok ? 0 : E_IO;
}

static int64_t sim_disk_io_do_resize(struct sim_node *n, struct sim_ev *ev)
{
    struct sim_handle *h = ev->a;
    if (!(h->flags & ENV_O_WRITE))
        return E_BADF;
    if (ev->x > SIM_DISK_SIZE_MAX)
        return E_FBIG;
    sim_disk_file_resize(n, h->file, ev->x);
    return 0;
}

static int64_t sim_disk_io_do_punch(struct sim_node *n, struct sim_ev *ev)
{
    struct sim_handle *h = ev->a;
    if (!(h->flags & ENV_O_WRITE))
        return E_BADF;
    uint64_t len = base_min_u64(ev->y, UINT64_MAX - ev->x);
    sim_disk_file_write(n, h->file, NULL, len, ev->x, false, NULL);
    return 0;
}

int64_t sim_disk_io_do_rename(struct sim_node *n, const char *from, const char *to)
{
    struct sim_dent *x = sim_disk_find(&n->disk, from);
    if (!x || !x->cur)
        return sim_disk_check_place(&n->disk, from) == E_ISDIR ? E_NOTSUP : E_NOENT;
    int err = sim_disk_check_place(&n->disk, to);
    if (err)
        return err;
    sim_disk_move(n, from, to);
    return 0;
}

int64_t sim_disk_io_do_unlink(struct sim_node *n, const char *name)
{
    struct sim_dent *x = sim_disk_find(&n->disk, name);
    if (!x || !x->cur)
        return sim_disk_check_place(&n->disk, name) == E_ISDIR ? E_ISDIR : E_NOENT;
    sim_disk_remove(n, name);
    return 0;
}

int64_t sim_disk_io_do_list(const struct sim_disk *d, const char *from, uint64_t dir_len, char *buf,
                            uint64_t cap)
{
    size_t after = strlen(from) - dir_len;
    bool after_dir = after && from[dir_len + after - 1] == '/';
    uint64_t used = 0;
    const char *last = from + dir_len; /* the name given last, or after */
    size_t last_len = after;
    bool last_dir = after_dir;
    for (uint32_t i = sim_disk_lower(d, from); i < d->n; i++) {
        const char *name = d->dents[i].name;
        if (strncmp(name, from, dir_len))
            break;
        if (!d->dents[i].cur)
            continue;
        name += dir_len;
        const char *slash = strchr(name, '/');
        size_t len = slash ? (size_t)(slash - name) + 1 : strlen(name);
        bool seen = len == last_len && !memcmp(name, last, len);
        if (seen || (last_dir && !strncmp(name, last, last_len)))
            continue;
        if (len + 1 > cap - used)
            return used ? (int64_t)used : E_RANGE;
        memcpy(buf + used, name, len);
        buf[used + len] = 0;
        last = buf + used;
        last_len = len;
        last_dir = slash != NULL;
        used += len + 1;
    }
    return (int64_t)used;
}

int64_t sim_disk_io_effect(struct sim_node *n, struct sim_ev *ev)
{
    if (ev->ret)
        return ev->ret;
    switch ((enum sim_disk_call)ev->stage) {
    case SIM_DISK_OPEN:
        return sim_disk_io_do_open(n, ev->b, (unsigned)ev->y, ev->c);
    case SIM_DISK_CLOSE:
        return 0;
    case SIM_DISK_READ:
        return sim_disk_io_do_read(n, ev);
    case SIM_DISK_WRITE:
        return sim_disk_io_do_write(n, ev);
    case SIM_DISK_SYNC:
        return sim_disk_io_do_sync(n, ev);
    case SIM_DISK_RESIZE:
        return sim_disk_io_do_resize(n, ev);
    case SIM_DISK_PUNCH:
        return sim_disk_io_do_punch(n, ev);
    case SIM_DISK_RENAME:
        return sim_disk_io_do_rename(n, ev->b, ev->c);
    case SIM_DISK_UNLINK:
        return sim_disk_io_do_unlink(n, ev->b);
    case SIM_DISK_LIST:
        return sim_disk_io_do_list(&n->disk, ev->b, ev->x, ev->c, ev->y);
    }
    return E_INVAL;
}

void sim_disk_io_event(struct sim *s, struct sim_ev *ev)
{
    struct sim_node *n = ev->node;
    sim_disk_expire(n);
    int64_t ret = sim_disk_io_effect(n, ev);
    if (ev->a)
        ((struct sim_handle *)ev->a)->under_way--;
    sim_record(s, n, SIM_K_DISK, (uint64_t)ret, (uint64_t)ev->stage << 56 | (ev->z >> 8));
    sim_disk_io_names_free(s, ev);
    sim_op_finish(s, ev, ret);
}

/* One call under way when the process dies.  The kernel may have taken it or not. */
void sim_disk_io_crash_one(struct sim_node *n, struct sim_ev *ev)
{
    struct sim_disk *d = &n->disk;
    struct sim_handle *h = ev->a;
    uint64_t r = prng_below(&d->prng, 3), len;
    if (ev->stage == SIM_DISK_SYNC && ev->kind == SIM_EV_SHARED)
        sim_disk_io_sync_begins(ev);
    if (ev->stage == SIM_DISK_SYNC)
        h->file->syncs--;
    if (r == 0 || ev->ret)
        return;
    switch ((enum sim_disk_call)ev->stage) {
    case SIM_DISK_OPEN:
        sim_disk_io_do_open(n, ev->b, (unsigned)ev->y, NULL);
        break;
    case SIM_DISK_WRITE:
        if (!(h->flags & ENV_O_WRITE) || ev->x > SIM_DISK_SIZE_MAX ||
            ev->y > SIM_DISK_SIZE_MAX - ev->x ||
            (d->cfg.capacity &&
             d->used + sim_disk_file_need(h->file, ev->y, ev->x) > d->cfg.capacity))
            break;
        len = r == 1 ? ev->y : prng_below(&d->prng, ev->y + 1);
        sim_disk_file_write(n, h->file, ev->b, len, ev->x, false, NULL);
        break;
    case SIM_DISK_SYNC:
        sim_disk_file_synced(n, h->file, ev->z, true);
        break;
    case SIM_DISK_RESIZE:
        sim_disk_io_do_resize(n, ev);
        break;
    case SIM_DISK_PUNCH:
        sim_disk_io_do_punch(n, ev);
        break;
    case SIM_DISK_RENAME:
        sim_disk_io_do_rename(n, ev->b, ev->c);
        break;
    case SIM_DISK_UNLINK:
        sim_disk_io_do_unlink(n, ev->b);
        break;
    case SIM_DISK_CLOSE:
    case SIM_DISK_READ:
    case SIM_DISK_LIST:
        break;
    }
}

void sim_disk_io_crash(struct sim_node *n)
{
    list_each(l, &n->evs) {
        struct sim_ev *ev = container_of(l, struct sim_ev, link);
        if (ev->kind != SIM_EV_DISK)
            continue;
        sim_disk_io_crash_one(n, ev);
        sim_disk_io_names_free(n->sim, ev);
    }
    while (!list_empty(&n->disk.handles))
        sim_disk_io_forget(container_of(n->disk.handles.next, struct sim_handle, link));
}
