/* sim/sim_shared.c - see sim/sim_shared.h: the way of a call, and what a client does with it.
 *
 *      ASKED --the server hears it--> SERVED --its effect--> ANSWERED --> DONE, in a turn of its
 *        ^  \--not heard: again--/      |                  process
 *        +------- the server went ------+
 *
 *  1. An event with its call dies with the process; what may land after that is a sim_late, which
 *     has a copy of all that it needs.
 *  2. What is on the server is a disk as any other (sim_disk.c); this file says only when something
 *     happens there, and what a client is told instead of what is there (sim_shared_view.c).
 *  3. What a client was answered it sees: before another call of the same client on a file, its
 *     writes of that file that have been answered land.
 *  4. All chance is of the mount's own stream, but the costs: these are of the server's disk. */
#include "sim/sim_internal.h"

enum { SIM_SHARED_ASKED, SIM_SHARED_SERVED, SIM_SHARED_ANSWERED, SIM_SHARED_DONE };

struct sim_late { /* a change that lands later, whoever asked for it may be gone */
    struct list link;
    struct sim_mount *m;
    struct sim_ev *ev;
    enum sim_disk_call call;
    bool answered, durable;
    struct sim_file *file; /* WRITE */
    uint8_t *bytes;
    uint64_t len, off;
    char *from, *to; /* RENAME, UNLINK */
};

/* ---- the env ---- */

static struct env *sim_shared_own(struct env *e)
{
    return &container_of(e, struct sim_mount, env)->node->env;
}

static int64_t sim_shared_now(struct env *e)
{
    return env_now_ns(sim_shared_own(e));
}

static int64_t sim_shared_clock(struct env *e)
{
    return env_clock_ns(sim_shared_own(e));
}

static int64_t sim_shared_wall(struct env *e)
{
    return env_wall_ns(sim_shared_own(e));
}

static uint64_t sim_shared_random(struct env *e)
{
    return env_random(sim_shared_own(e));
}

static bool sim_shared_fault(struct env *e, const char *site)
{
    return env_fault(sim_shared_own(e), site);
}

static void sim_shared_log(struct env *e, enum env_log level, const char *line)
{
    env_log(sim_shared_own(e), level, line);
}

static void sim_shared_timer_set(struct env *e, struct env_timer *t, int64_t at_ns)
{
    env_timer_set(sim_shared_own(e), t, at_ns);
}

static void sim_shared_timer_stop(struct env *e, struct env_timer *t)
{
    env_timer_stop(sim_shared_own(e), t);
}

static void sim_shared_post(struct env *e, struct env_op *op)
{
    env_post(sim_shared_own(e), op);
}

static void sim_shared_work(struct env *e, struct env_op *op, void (*fn)(struct env_op *op))
{
    env_work(sim_shared_own(e), op, fn);
}

const struct env_vt sim_shared_vt = {
    .now_ns = sim_shared_now,
    .clock_ns = sim_shared_clock,
    .wall_ns = sim_shared_wall,
    .random = sim_shared_random,
    .fault = sim_shared_fault,
    .log = sim_shared_log,
    .timer_set = sim_shared_timer_set,
    .timer_stop = sim_shared_timer_stop,
    .post = sim_shared_post,
    .work = sim_shared_work,
    .open = sim_disk_io_open,
    .close = sim_disk_io_close,
    .read = sim_disk_io_read,
    .write = sim_disk_io_write,
    .sync = sim_disk_io_sync,
    .resize = sim_disk_io_resize,
    .punch = sim_disk_io_punch,
    .rename = sim_disk_io_rename,
    .unlink = sim_disk_io_unlink,
    .list = sim_disk_io_list,
};

/* ---- what lands late ---- */

static bool sim_shared_hears(const struct sim_mount *m)
{
    struct sim *s = m->fs->sim;
    return !m->fs->down && m->fs->out_until_ns <= s->now_ns &&
           !sim_net_blocked(s, m->node, m->fs->server) &&
           !sim_net_blocked(s, m->fs->server, m->node);
}

/* do calls of that file wait? */
static bool sim_shared_sticks(const struct sim_mount *m, const struct sim_ev *ev)
{
    const struct sim_handle *h = ev->a;
    const char *name = h ? h->file->name : NULL;
    return name && m->stuck_until_ns > m->fs->sim->now_ns &&
           (base_mix_u64(sim_digest(name, strlen(name)) ^ m->stuck_salt) & 1);
}

/* is this one to be late, and how much? */
static bool sim_shared_is_late(struct sim_mount *m, enum sim_chance_kind kind, uint32_t ppm,
                               int64_t mean_ns, int64_t *ret_ns)
{
    struct sim_hit hit = {.kind = kind};
    if (!ppm)
        return false;
    bool drawn = prng_chance_ppm(&m->prng, ppm);
    if (drawn)
        hit.for_ns = prng_exp(&m->prng, mean_ns);
    *ret_ns = 0;
    if (!sim_chance(m->fs->sim, m->node, NULL, drawn, &hit))
        return false;
    *ret_ns = hit.for_ns;
    return true;
}

static char *sim_shared_copy(struct sim *s, const char *name)
{
    size_t n = name ? strlen(name) + 1 : 0;
    char *to = n ? sim_alloc(s, n) : NULL;
    if (n)
        memcpy(to, name, n);
    return to;
}

/* what ev asks for lands for_ns from now */
static void sim_shared_later(struct sim_mount *m, const struct sim_ev *ev, bool answered,
                             int64_t for_ns)
{
    struct sim *s = m->fs->sim;
    struct sim_late *t = sim_alloc(s, sizeof *t);
    t->m = m;
    t->call = (enum sim_disk_call)ev->stage;
    t->answered = answered;
    if (t->call == SIM_DISK_WRITE) {
        const struct sim_handle *h = ev->a;
        t->durable = h->flags & ENV_O_DSYNC;
        t->file = h->file;
        t->file->users++;
        t->off = ev->x;
        t->len = ev->y;
        t->bytes = t->len ? sim_alloc(s, t->len) : NULL;
        if (t->len)
            memcpy(t->bytes, ev->b, t->len);
    } else {
        t->from = sim_shared_copy(s, ev->b);
        t->to = t->call == SIM_DISK_RENAME ? sim_shared_copy(s, ev->c) : NULL;
    }
    t->ev = sim_ev_new(s, NULL, SIM_EV_LANDS);
    t->ev->a = t;
    list_push_back(&m->fs->late, &t->link);
    sim_ev_at(s, t->ev, s->now_ns + for_ns);
}

static void sim_shared_late_free(struct sim_late *t)
{
    struct sim *s = t->m->fs->sim;
    sim_ev_free(s, t->ev);
    list_remove(&t->link);
    if (t->file)
        sim_disk_file_put(t->m->fs->server, t->file);
    sim_free(s, t->bytes, t->len);
    sim_free(s, t->from, t->from ? strlen(t->from) + 1 : 0);
    sim_free(s, t->to, t->to ? strlen(t->to) + 1 : 0);
    sim_free(s, t, sizeof *t);
}

/* what was answered did not get there: whoever of the client has the file open is told by a sync */
static void sim_shared_lost(struct sim_late *t, int why)
{
    list_each(l, &t->m->handles) {
        struct sim_handle *h = container_of(l, struct sim_handle, link);
        if (t->answered && h->file == t->file)
            h->lost = why;
    }
}

static void sim_shared_land(struct sim_late *t)
{
    struct sim_shared *fs = t->m->fs;
    struct sim_node *n = fs->server;
    int64_t ret = (int64_t)t->len;
    if (t->call != SIM_DISK_WRITE) {
        ret = sim_shared_name(t->m, t->call, t->from, t->to);
    } else if (n->disk.cfg.capacity &&
               n->disk.used + sim_disk_file_need(t->file, t->len, t->off) > n->disk.cfg.capacity) {
        ret = E_NOSPC;
        fs->sim->stats.enospc++;
        sim_shared_lost(t, E_NOSPC);
    } else {
        sim_disk_file_write(n, t->file, t->bytes, t->len, t->off, t->durable, NULL);
    }
    sim_record(fs->sim, t->m->node, SIM_K_DISK, (uint64_t)ret,
               (uint64_t)t->call << 56 | sim_digest(t->bytes, t->len) >> 8);
    sim_shared_late_free(t);
}

static void sim_shared_land_event(struct sim *s, struct sim_late *t)
{
    if (t->answered && !sim_shared_hears(t->m)) /* the client's system has it, and goes on trying */
        sim_ev_at(s, t->ev, s->now_ns + t->m->fs->cfg.retry_ns);
    else if (t->m->fs->down)
        sim_shared_late_free(t);
    else
        sim_shared_land(t);
}

/* what m was answered of f lands; of a write only where it is in its way */
void sim_shared_settle(struct sim_mount *m, const struct sim_file *f, const struct sim_ev *w)
{
    list_each_safe(l, &m->fs->late) {
        struct sim_late *t = container_of(l, struct sim_late, link);
        bool apart = w && (t->off + t->len <= w->x || w->x + w->y <= t->off);
        if (t->m == m && t->file == f && t->answered && !apart)
            sim_shared_land(t);
    }
}

/* ---- effects ---- */

static int64_t sim_shared_write(struct sim_mount *m, struct sim_ev *ev)
{
    struct sim_shared *fs = m->fs;
    const struct sim_handle *h = ev->a;
    uint64_t align = h->flags & ENV_O_DIRECT ? ENV_DIRECT_ALIGN - 1 : 0;
    bool fine = h->flags & ENV_O_WRITE && !(((uintptr_t)ev->b | ev->x | ev->y) & align);
    int64_t for_ns = 0;
    sim_shared_settle(m, h->file, ev);
    if (fine && fs->cfg.write_back && !(h->flags & ENV_O_DSYNC) &&
        sim_shared_is_late(m, SIM_CHANCE_WRITE_LATE, fs->cfg.late_write_ppm,
                           fs->cfg.late_write_mean_ns, &for_ns)) {
        fs->sim->stats.shared_late++;
        sim_shared_later(m, ev, true, for_ns);
        ev->z = sim_digest(ev->b, ev->y);
        return (int64_t)ev->y;
    }
    int64_t ret = sim_disk_io_effect(fs->server, ev);
    sim_shared_wrote(m, h->file, ev->x, ev->y);
    return ret;
}

static int64_t sim_shared_effect(struct sim_mount *m, struct sim_ev *ev)
{
    struct sim_handle *h = ev->a;
    struct sim_node *n = m->fs->server;
    enum sim_disk_call call = (enum sim_disk_call)ev->stage;
    int64_t ret;
    if (ev->ret)
        return ev->ret;
    if (h && call != SIM_DISK_WRITE)
        sim_shared_settle(m, h->file, NULL);
    switch (call) {
    case SIM_DISK_OPEN:
        return sim_shared_find(m, ev->b, (unsigned)ev->y, ev->c);
    case SIM_DISK_READ:
        return sim_shared_read(m, ev);
    case SIM_DISK_WRITE:
        return sim_shared_write(m, ev);
    case SIM_DISK_SYNC:
        sim_disk_io_sync_begins(ev);
        ret = sim_disk_io_effect(n, ev);
        ret = ret ? ret : h->lost;
        h->lost = 0;
        return ret;
    case SIM_DISK_RESIZE:
        ret = sim_disk_io_effect(n, ev);
        sim_shared_resized(m, h->file);
        return ret;
    case SIM_DISK_PUNCH:
        ret = sim_disk_io_effect(n, ev);
        sim_shared_wrote(m, h->file, ev->x, ev->y);
        return ret;
    case SIM_DISK_RENAME:
    case SIM_DISK_UNLINK:
        return sim_shared_name(m, call, ev->b, ev->c);
    case SIM_DISK_LIST:
        return sim_shared_list(m, ev);
    case SIM_DISK_CLOSE:
        break;
    }
    return 0;
}

/* ---- the way of a call ---- */

static int64_t sim_shared_way_ns(struct sim_mount *m)
{
    return sim_draw_ns(&m->prng, m->fs->cfg.way_min_ns, m->fs->cfg.way_mean_ns);
}

void sim_shared_start(struct sim_mount *m, struct sim_ev *ev, uint64_t bytes, int64_t now_ns)
{
    struct sim_node *n = m->node;
    now_ns += sim_node_at_ns(n) - n->sim->now_ns; /* what its turn has taken until here */
    sim_node_spend(n, n->sim->cfg.serve.io_ns);
    ev->mount = m;
    ev->bytes = bytes;
    if (ev->stage == SIM_DISK_CLOSE) {
        ev->phase = SIM_SHARED_DONE;
        sim_ev_at(n->sim, ev, now_ns);
        return;
    }
    int64_t stray_ns = 0;
    ev->phase = SIM_SHARED_ASKED;
    ev->turn = NULL;
    now_ns += sim_shared_way_ns(m);
    ev->strays = sim_shared_is_late(m, SIM_CHANCE_CALL_STRAY, m->fs->cfg.stray_ppm,
                                    m->fs->cfg.stray_mean_ns, &stray_ns);
    sim_ev_at(n->sim, ev, now_ns + stray_ns);
}

/* is it of those that land late, as a whole? */
static bool sim_shared_delay(struct sim_mount *m, const struct sim_ev *ev, int64_t *ret_ns)
{
    const struct sim_shared_config *c = &m->fs->cfg;
    const struct sim_handle *h = ev->a;
    if (ev->ret)
        return false;
    if (ev->stage == SIM_DISK_WRITE && (!c->write_back || h->flags & ENV_O_DSYNC))
        return sim_shared_is_late(m, SIM_CHANCE_WRITE_LATE, c->late_write_ppm,
                                  c->late_write_mean_ns, ret_ns);
    if (ev->stage == SIM_DISK_RENAME || ev->stage == SIM_DISK_UNLINK)
        return sim_shared_is_late(m, SIM_CHANCE_NAME_LATE, c->late_name_ppm, c->late_name_mean_ns,
                                  ret_ns);
    return false;
}

static void sim_shared_answer(struct sim_mount *m, struct sim_ev *ev, int64_t ret)
{
    struct sim *s = m->fs->sim;
    ev->ret = ret;
    ev->phase = SIM_SHARED_ANSWERED;
    sim_record(s, m->node, SIM_K_DISK, (uint64_t)ret, (uint64_t)ev->stage << 56 | (ev->z >> 8));
    sim_ev_at(s, ev, s->now_ns + sim_shared_way_ns(m));
}

static void sim_shared_asked(struct sim_mount *m, struct sim_ev *ev)
{
    struct sim_shared *fs = m->fs;
    struct sim *s = fs->sim;
    int64_t late_ns = 0;
    if (fs->out_until_ns > s->now_ns && fs->out_fails && !fs->down) {
        sim_shared_answer(m, ev, E_IO);
        return;
    }
    if (!sim_shared_hears(m)) {
        sim_ev_at(s, ev, s->now_ns + fs->cfg.retry_ns);
        return;
    }
    if (sim_shared_sticks(m, ev)) {
        sim_ev_at(s, ev, m->stuck_until_ns);
        return;
    }
    int64_t lat_ns = sim_disk_io_lat_ns(fs->server, (enum sim_disk_call)ev->stage);
    int64_t at_ns = sim_disk_io_moved_ns(fs->server, ev->bytes, s->now_ns) + lat_ns;
    if (!ev->delayed && sim_shared_delay(m, ev, &late_ns)) {
        ev->delayed = true;
        *(ev->stage == SIM_DISK_WRITE ? &s->stats.shared_late : &s->stats.shared_names_late) += 1;
    }
    ev->phase = SIM_SHARED_SERVED;
    sim_ev_at(s, ev, at_ns + late_ns);
}

static void sim_shared_served(struct sim_mount *m, struct sim_ev *ev)
{
    struct sim *s = m->fs->sim;
    if (m->fs->down) {
        ev->phase = SIM_SHARED_ASKED;
        sim_ev_at(s, ev, s->now_ns + m->fs->cfg.retry_ns);
        return;
    }
    sim_disk_expire(m->fs->server);
    sim_shared_answer(m, ev, sim_shared_effect(m, ev));
}

void sim_shared_event(struct sim *s, struct sim_ev *ev)
{
    struct sim_mount *m = ev->mount;
    if (ev->kind == SIM_EV_LANDS) {
        sim_shared_land_event(s, ev->a);
        return;
    }
    switch (ev->phase) {
    case SIM_SHARED_ASKED:
        sim_shared_asked(m, ev);
        break;
    case SIM_SHARED_SERVED:
        sim_shared_served(m, ev);
        break;
    case SIM_SHARED_ANSWERED:
        if (sim_net_blocked(s, m->fs->server, m->node) ||
            sim_net_blocked(s, m->node, m->fs->server)) {
            sim_ev_at(s, ev, s->now_ns + m->fs->cfg.retry_ns);
            break;
        }
        ev->phase = SIM_SHARED_DONE;
        ev->turn = m->node;
        sim_ev_at(s, ev, s->now_ns);
        break;
    default:
        if (ev->a)
            ((struct sim_handle *)ev->a)->under_way--;
        m->has_failed |= ev->ret == E_IO;
        sim_record(s, m->node, SIM_K_OP, (uint64_t)ev->ret, 0);
        sim_disk_io_names_free(s, ev);
        sim_op_finish(s, ev, ev->ret);
    }
}

/* ---- the process dies ---- */

static void sim_shared_crash_one(struct sim_mount *m, struct sim_ev *ev)
{
    enum sim_disk_call call = (enum sim_disk_call)ev->stage;
    if (ev->ret || ev->phase > SIM_SHARED_SERVED ||
        (ev->phase == SIM_SHARED_ASKED &&
         (ev->strays || !sim_shared_hears(m) || sim_shared_sticks(m, ev))) ||
        m->fs->down)
        return;
    if (ev->delayed && ev->phase == SIM_SHARED_SERVED)
        sim_shared_later(m, ev, false, ev->at_ns - m->fs->sim->now_ns);
    else if (call == SIM_DISK_RENAME || call == SIM_DISK_UNLINK || call == SIM_DISK_OPEN) {
        if (prng_below(&m->prng, 3) == 0)
            return;
        if (call == SIM_DISK_OPEN)
            (void)sim_shared_find(m, ev->b, (unsigned)ev->y, NULL);
        else
            (void)sim_shared_name(m, call, ev->b, ev->c);
    } else if (call != SIM_DISK_CLOSE) {
        sim_disk_io_crash_one(m->fs->server, ev);
    }
}

static void sim_shared_reboot(struct sim_mount *m)
{
    list_each_safe(l, &m->fs->late) {
        struct sim_late *t = container_of(l, struct sim_late, link);
        if (t->m == m && t->answered)
            sim_shared_late_free(t);
    }
    sim_shared_forget(m);
}

void sim_shared_crash(struct sim_node *n, bool power)
{
    list_each(l, &n->evs) {
        struct sim_ev *ev = container_of(l, struct sim_ev, link);
        if (ev->kind != SIM_EV_SHARED)
            continue;
        sim_shared_crash_one(ev->mount, ev);
        sim_disk_io_names_free(n->sim, ev);
    }
    list_each(l, &n->mounts) {
        struct sim_mount *m = container_of(l, struct sim_mount, on_node);
        while (!list_empty(&m->handles))
            sim_disk_io_forget(container_of(m->handles.next, struct sim_handle, link));
        m->has_failed = false;
        if (power)
            sim_shared_reboot(m);
    }
}

/* ---- for drivers ---- */

struct sim_shared_config sim_shared_quiet(void)
{
    return (struct sim_shared_config){
        .way_min_ns = 50000, .way_mean_ns = 100000, .retry_ns = 200000000};
}

struct sim_shared *sim_shared_open(struct sim *s, const char *name,
                                   const struct sim_shared_config *cfg)
{
    struct sim_shared *fs = sim_alloc(s, sizeof *fs);
    fs->sim = s;
    fs->server = sim_node_add(s, name);
    fs->shade = sim_alloc(s, sizeof *fs->shade);
    fs->shade->sim = s;
    list_init(&fs->mounts);
    list_init(&fs->past);
    list_init(&fs->late);
    list_push_back(&s->shared, &fs->link);
    sim_shared_set(fs, cfg);
    return fs;
}

struct sim_node *sim_shared_node(struct sim_shared *fs)
{
    return fs->server;
}

struct env *sim_shared_mount(struct sim_shared *fs, struct sim_node *n)
{
    list_each(l, &n->mounts) {
        struct sim_mount *m = container_of(l, struct sim_mount, on_node);
        if (m->fs == fs)
            return &m->env;
    }
    struct sim_mount *m = sim_alloc(fs->sim, sizeof *m);
    m->env.vt = &sim_shared_vt;
    m->env.disk = fs->server->name;
    m->node = n;
    m->fs = fs;
    list_init(&m->handles);
    list_init(&m->seen);
    prng_seed(&m->prng, fs->sim->cfg.seed, fs->server->name, n->id);
    list_push_back(&n->mounts, &m->on_node);
    list_push_back(&fs->mounts, &m->on_fs);
    return &m->env;
}

void sim_shared_set(struct sim_shared *fs, const struct sim_shared_config *cfg)
{
    ASSERT(cfg->retry_ns > 0);
    fs->cfg = *cfg;
}

const struct sim_shared_config *sim_shared_get(const struct sim_shared *fs)
{
    return &fs->cfg;
}

void sim_shared_down(struct sim_shared *fs)
{
    if (fs->down)
        return;
    fs->down = true;
    sim_record(fs->sim, fs->server, SIM_K_CRASH, fs->cfg.loses_unsynced, 0);
    if (fs->cfg.loses_unsynced)
        sim_disk_lose(fs->server);
}

void sim_shared_up(struct sim_shared *fs)
{
    if (fs->down)
        sim_record(fs->sim, fs->server, SIM_K_BOOT, 0, 0);
    fs->down = false;
}

void sim_shared_outage(struct sim_shared *fs, int64_t for_ns, bool fails)
{
    fs->out_until_ns = fs->sim->now_ns + for_ns;
    fs->out_fails = fails;
    sim_record(fs->sim, fs->server, SIM_K_PAUSE, 1, fails);
}

void sim_shared_stick(struct sim_shared *fs, const struct sim_node *n, uint64_t salt,
                      int64_t for_ns)
{
    list_each(l, &fs->mounts) {
        struct sim_mount *m = container_of(l, struct sim_mount, on_fs);
        if (n && m->node != n)
            continue;
        m->stuck_until_ns = fs->sim->now_ns + for_ns;
        m->stuck_salt = salt;
    }
    sim_record(fs->sim, fs->server, SIM_K_PAUSE, 2, (uint64_t)for_ns);
}

bool sim_shared_has_failed(const struct sim_shared *fs, const struct sim_node *n)
{
    list_each(l, &n->mounts) {
        const struct sim_mount *m = container_of(l, struct sim_mount, on_node);
        if (m->fs == fs)
            return m->has_failed;
    }
    return false;
}

/* ---- the world's side ---- */

void sim_shared_vary(struct sim *s, uint64_t seed)
{
    list_each(f, &s->shared) {
        struct sim_shared *fs = container_of(f, struct sim_shared, link);
        list_each(l, &fs->mounts) {
            struct sim_mount *m = container_of(l, struct sim_mount, on_fs);
            prng_seed(&m->prng, seed, fs->server->name, m->node->id);
        }
    }
}

void sim_shared_close_world(struct sim *s)
{
    struct list *f, *l;
    while ((f = list_pop(&s->shared))) {
        struct sim_shared *fs = container_of(f, struct sim_shared, link);
        while (!list_empty(&fs->late))
            sim_shared_late_free(container_of(fs->late.next, struct sim_late, link));
        sim_shared_forget_past(fs, INT64_MAX);
        while ((l = list_pop(&fs->mounts))) {
            struct sim_mount *m = container_of(l, struct sim_mount, on_fs);
            ASSERT(list_empty(&m->handles));
            sim_shared_forget(m);
            list_remove(&m->on_node);
            sim_free(s, m, sizeof *m);
        }
        ASSERT(fs->shade->disk.used == 0);
        sim_free(s, fs->shade, sizeof *fs->shade);
        sim_free(s, fs, sizeof *fs);
    }
}
