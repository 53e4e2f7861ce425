/* sim/sim_shared_view.c - what a client of a shared directory is told: names, sizes and pages as
 * they are, or as it remembers them.
 *
 *  1. A weakness that is off costs nothing and draws nothing: the client is told what is there.
 *  2. Names: one moment for all of a client, up to stale_names_ns ago; it never goes back.  Of its
 *     own changes a client always knows.
 *  3. A file of which names of the past or a client's memory speak stays on the server's disk as
 *     long, and takes its room. */
#include "sim/sim_internal.h"

struct sim_past { /* a change of a name */
    struct list link;
    int64_t at_ns;
    const struct sim_mount *by;
    struct sim_file *before; /* what was there; NULL: nothing */
    char name[ENV_NAME_MAX];
};

struct sim_seen { /* what a client remembers of a file */
    struct list link;
    struct sim_file *file;
    uint64_t size;
    int64_t size_until_ns, pages_until_ns;
    struct sim_file *pages; /* on the shade's disk; NULL: none */
};

/* when something that is remembered from now on, for at most so long, is asked for again */
static int64_t sim_shared_until_ns(struct sim_mount *m, int64_t most_ns)
{
    int64_t now_ns = m->fs->sim->now_ns;
    if (most_ns > INT64_MAX - 1 - now_ns)
        return INT64_MAX;
    return now_ns + 1 + (int64_t)prng_below(&m->prng, (uint64_t)most_ns);
}

/* ---- files ---- */

static void sim_shared_pages_drop(struct sim_mount *m, struct sim_seen *x)
{
    if (x->pages)
        sim_disk_file_put(m->fs->shade, x->pages);
    x->pages = NULL;
}

static void sim_shared_seen_free(struct sim_mount *m, struct sim_seen *x)
{
    sim_shared_pages_drop(m, x);
    sim_disk_file_put(m->fs->server, x->file);
    list_remove(&x->link);
    sim_free(m->fs->sim, x, sizeof *x);
}

/* what m remembers of f; NULL: nothing */
static struct sim_seen *sim_shared_seen(struct sim_mount *m, const struct sim_file *f)
{
    struct sim_seen *found = NULL;
    list_each_safe(l, &m->seen) {
        struct sim_seen *x = container_of(l, struct sim_seen, link);
        if (x->file == f)
            found = x;
        else if (x->file->users == 1)
            sim_shared_seen_free(m, x);
    }
    return found;
}

static struct sim_seen *sim_shared_see(struct sim_mount *m, struct sim_file *f)
{
    struct sim_seen *x = sim_shared_seen(m, f);
    if (x)
        return x;
    x = sim_alloc(m->fs->sim, sizeof *x);
    x->file = f;
    f->users++;
    list_push_front(&m->seen, &x->link);
    return x;
}

static bool sim_shared_is_stale(const struct sim_mount *m, unsigned flags)
{
    return m->fs->cfg.stale_direct || !(flags & ENV_O_DIRECT);
}

static uint64_t sim_shared_size(struct sim_mount *m, struct sim_file *f, unsigned flags)
{
    int64_t most_ns = m->fs->cfg.stale_sizes_ns;
    if (!most_ns || !sim_shared_is_stale(m, flags))
        return f->size;
    struct sim_seen *x = sim_shared_see(m, f);
    if (x->size_until_ns <= m->fs->sim->now_ns) {
        x->size = f->size;
        x->size_until_ns = sim_shared_until_ns(m, most_ns);
    }
    m->fs->sim->stats.stale_sizes += x->size != f->size;
    return x->size;
}

void sim_shared_wrote(struct sim_mount *m, struct sim_file *f, uint64_t off, uint64_t len)
{
    struct sim_seen *x = sim_shared_seen(m, f);
    if (!x || !len)
        return;
    if (off + len <= f->size)
        x->size = base_max_u64(x->size, off + len);
    for (uint64_t i = off / SIM_BLOCK;
         x->pages && i <= (off + len - 1) / SIM_BLOCK && i * SIM_BLOCK < x->pages->size; i++)
        sim_disk_file_write(m->fs->shade, x->pages, NULL, SIM_BLOCK, i * SIM_BLOCK, false, NULL);
}

void sim_shared_resized(struct sim_mount *m, struct sim_file *f)
{
    struct sim_seen *x = sim_shared_seen(m, f);
    if (!x)
        return;
    x->size = f->size;
    sim_shared_pages_drop(m, x);
}

/* what was read of f goes through m's memory of its pages; true: something was older */
static bool sim_shared_pages(struct sim_mount *m, struct sim_file *f, uint8_t *b, uint64_t len,
                             uint64_t off)
{
    struct sim_seen *x = sim_shared_see(m, f);
    uint8_t page[SIM_BLOCK];
    bool older = false;
    if (x->pages_until_ns <= m->fs->sim->now_ns)
        sim_shared_pages_drop(m, x);
    if (!x->pages) {
        x->pages = sim_alloc(m->fs->sim, sizeof *x->pages);
        x->pages->users = 1;
        x->pages_until_ns = sim_shared_until_ns(m, m->fs->cfg.stale_pages_ns);
    }
    while (len) {
        uint64_t i = off / SIM_BLOCK, at = off % SIM_BLOCK;
        uint64_t part = base_min_u64(len, SIM_BLOCK - at);
        if (!sim_disk_file_need(x->pages, SIM_BLOCK, i * SIM_BLOCK)) {
            sim_disk_file_read(x->pages, page, part, off, NULL);
            older |= memcmp(b, page, part) != 0;
            memcpy(b, page, part);
        } else {
            sim_disk_file_read(f, page, SIM_BLOCK, i * SIM_BLOCK, NULL);
            sim_disk_file_write(m->fs->shade, x->pages, page, SIM_BLOCK, i * SIM_BLOCK, true, NULL);
        }
        b += part;
        off += part;
        len -= part;
    }
    return older;
}

int64_t sim_shared_read(struct sim_mount *m, struct sim_ev *ev)
{
    const struct sim_shared_config *c = &m->fs->cfg;
    const struct sim_handle *h = ev->a;
    struct sim_file *f = h->file;
    int64_t ret = sim_disk_io_effect(m->fs->server, ev);
    if (ret < 0 || !sim_shared_is_stale(m, h->flags) || !(c->stale_sizes_ns || c->stale_pages_ns))
        return ret;
    uint64_t size = sim_shared_size(m, f, h->flags);
    uint64_t want = ev->x < size ? base_min_u64(ev->y, size - ev->x) : 0, got = (uint64_t)ret;
    uint8_t *b = ev->b;
    if (c->stale_pages_ns)
        m->fs->sim->stats.stale_pages += sim_shared_pages(m, f, b, got, ev->x);
    if (want > got) {
        memset(b + got, 0, want - got);
        got = want;
    } else if (want < got && prng_u64(&m->prng) & 1) {
        memset(b + want, 0, got - want);
    } else {
        got = want;
    }
    ev->z = sim_digest(b, got);
    return (int64_t)got;
}

void sim_shared_forget(struct sim_mount *m)
{
    while (!list_empty(&m->seen))
        sim_shared_seen_free(m, container_of(m->seen.next, struct sim_seen, link));
    m->names_until_ns = 0;
}

/* ---- names ---- */

static struct sim_file *sim_shared_is(const struct sim_mount *m, const char *name)
{
    const struct sim_dent *x = sim_disk_find(&m->fs->server->disk, name);
    return x ? x->cur : NULL;
}

void sim_shared_forget_past(struct sim_shared *fs, int64_t until_ns)
{
    while (!list_empty(&fs->past)) {
        struct sim_past *p = container_of(fs->past.next, struct sim_past, link);
        if (p->at_ns > until_ns)
            break;
        list_remove(&p->link);
        if (p->before)
            sim_disk_file_put(fs->server, p->before);
        sim_free(fs->sim, p, sizeof *p);
    }
}

/* m is about to change a name */
static void sim_shared_note(struct sim_mount *m, const char *name, struct sim_file *before)
{
    struct sim_shared *fs = m->fs;
    int64_t keep_ns = fs->cfg.stale_names_ns > fs->cfg.create_both_ns ? fs->cfg.stale_names_ns
                                                                      : fs->cfg.create_both_ns;
    sim_shared_forget_past(fs, fs->sim->now_ns - keep_ns - 2);
    if (!keep_ns)
        return;
    struct sim_past *p = sim_alloc(fs->sim, sizeof *p);
    p->at_ns = fs->sim->now_ns;
    p->by = m;
    p->before = before;
    if (before)
        before->users++;
    memcpy(p->name, name, strlen(name) + 1);
    list_push_back(&fs->past, &p->link);
}

/* the moment of which m knows the names */
static int64_t sim_shared_view_ns(struct sim_mount *m)
{
    int64_t most_ns = m->fs->cfg.stale_names_ns, now_ns = m->fs->sim->now_ns;
    if (!most_ns)
        return now_ns;
    if (m->names_until_ns <= now_ns) {
        m->names_ns = now_ns;
        m->names_until_ns = sim_shared_until_ns(m, most_ns);
    }
    return m->names_ns;
}

/* what m thinks that name is */
static struct sim_file *sim_shared_was(const struct sim_mount *m, const char *name, int64_t view_ns)
{
    struct sim_file *f = sim_shared_is(m, name);
    for (const struct list *l = m->fs->past.prev; l != &m->fs->past; l = l->prev) {
        const struct sim_past *p = container_of(l, struct sim_past, link);
        if (p->at_ns <= view_ns)
            break;
        if (strcmp(p->name, name))
            continue;
        if (p->by == m)
            break;
        f = p->before;
    }
    return f;
}

int64_t sim_shared_name(struct sim_mount *m, enum sim_disk_call call, const char *from,
                        const char *to)
{
    struct sim_node *n = m->fs->server;
    struct sim_file *a = sim_shared_is(m, from);
    if (call == SIM_DISK_UNLINK) {
        if (a)
            sim_shared_note(m, from, a);
        return sim_disk_io_do_unlink(n, from);
    }
    struct sim_file *b = sim_shared_is(m, to);
    bool moves = a && strcmp(from, to) && !sim_disk_check_place(&n->disk, to);
    if (moves) {
        sim_shared_note(m, from, a);
        sim_shared_note(m, to, b);
    }
    return sim_disk_io_do_rename(n, from, to);
}

/* may m create what another has just created? */
static bool sim_shared_both(struct sim_mount *m, const char *name)
{
    const struct sim_shared *fs = m->fs;
    struct sim_hit hit = {.kind = SIM_CHANCE_CREATE_BOTH};
    if (!fs->cfg.create_both_ppm || !fs->cfg.create_both_ns)
        return false;
    for (const struct list *l = fs->past.prev; l != &fs->past; l = l->prev) {
        const struct sim_past *p = container_of(l, struct sim_past, link);
        if (strcmp(p->name, name))
            continue;
        if (p->before || p->by == m || p->at_ns < fs->sim->now_ns - fs->cfg.create_both_ns)
            return false;
        bool drawn = prng_chance_ppm(&m->prng, fs->cfg.create_both_ppm);
        bool hits = sim_chance(fs->sim, m->node, NULL, drawn, &hit);
        fs->sim->stats.shared_both += hits;
        return hits;
    }
    return false;
}

/* the file that m finds by a name that it does not create; or an error */
static int64_t sim_shared_look(struct sim_mount *m, const char *name, unsigned flags,
                               struct sim_file **ret_f)
{
    struct sim_file *is = sim_shared_is(m, name);
    struct sim_file *f = sim_shared_was(m, name, sim_shared_view_ns(m));
    if (f == is)
        return sim_disk_io_find(m->fs->server, name, flags, ret_f);
    m->fs->sim->stats.stale_names++;
    if (!f)
        return E_NOENT;
    if (!f->name)
        return E_STALE;
    if (flags & ENV_O_TRUNC)
        sim_disk_file_resize(m->fs->server, f, 0);
    *ret_f = f;
    return 0;
}

int64_t sim_shared_find(struct sim_mount *m, const char *name, unsigned flags,
                        struct env_file **ret_file)
{
    struct sim_file *f = NULL;
    int64_t err;
    if (!(flags & ENV_O_CREATE)) {
        err = sim_shared_look(m, name, flags, &f);
    } else {
        bool is_new = !sim_shared_is(m, name);
        err = sim_disk_io_find(m->fs->server, name, flags, &f);
        if (err == E_EXIST && sim_shared_both(m, name))
            err = sim_disk_io_find(m->fs->server, name, 0, &f);
        else if (err >= 0 && is_new)
            sim_shared_note(m, name, NULL);
    }
    if (err < 0 || !ret_file)
        return err;
    sim_shared_settle(m, f, NULL);
    if (flags & ENV_O_TRUNC)
        sim_shared_resized(m, f);
    *ret_file = &sim_disk_io_handle_new(&m->env, m->node, f, flags, &m->handles)->pub;
    return (int64_t)sim_shared_size(m, f, flags);
}

/* the names as m thinks they are, sorted; ret: do they differ from what is there? */
static bool sim_shared_names(struct sim_mount *m, int64_t view_ns, struct sim_disk *ret_d)
{
    const struct sim_disk *d = &m->fs->server->disk;
    bool differs = false;
    for (uint32_t i = 0; i < d->n; i++) {
        struct sim_file *f = sim_shared_was(m, d->dents[i].name, view_ns);
        differs |= f != d->dents[i].cur;
        if (f)
            ret_d->dents[ret_d->n++] = (struct sim_dent){.name = d->dents[i].name, .cur = f};
    }
    list_each(l, &m->fs->past) {
        struct sim_past *p = container_of(l, struct sim_past, link);
        struct sim_file *f = sim_shared_was(m, p->name, view_ns);
        uint32_t at = sim_disk_lower(ret_d, p->name);
        bool there = at < ret_d->n && !strcmp(ret_d->dents[at].name, p->name);
        if (!f || there)
            continue;
        differs = true;
        memmove(&ret_d->dents[at + 1], &ret_d->dents[at], (ret_d->n++ - at) * sizeof *ret_d->dents);
        ret_d->dents[at] = (struct sim_dent){.name = p->name, .cur = f};
    }
    return differs;
}

int64_t sim_shared_list(struct sim_mount *m, struct sim_ev *ev)
{
    struct sim_shared *fs = m->fs;
    int64_t view_ns = sim_shared_view_ns(m);
    if (view_ns == fs->sim->now_ns)
        return sim_disk_io_effect(fs->server, ev);
    struct sim_disk d = {.cap = fs->server->disk.n + 1};
    list_each(l, &fs->past)
        d.cap++;
    d.dents = sim_alloc(fs->sim, d.cap * sizeof *d.dents);
    fs->sim->stats.stale_names += sim_shared_names(m, view_ns, &d);
    int64_t ret = sim_disk_io_do_list(&d, ev->b, ev->x, ev->c, ev->y);
    sim_free(fs->sim, d.dents, d.cap * sizeof *d.dents);
    return ret;
}
