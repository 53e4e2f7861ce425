/* journal/zk_gc.c - the leader lets go of what images hold.
 *
 *   REST -> MEMBERS -> IMAGES (-> CHAIN)* -> (LOGS -> FILES -> REMOVE)* -> REST
 *
 * INVARIANTS
 *  1. What goes is covered by two complete images, of any members: losing one loses nothing.
 *  2. That is so for ever (images are only replaced by later ones), so what a leader removes that
 *     is none any more was to be removed.
 *  3. Of the own log segments go, oldest first (wal_trim).  Of older epochs whole logs go: all that
 *     are older than one in the chain that leads here which begins at or before what images hold.
 *     Nothing of them is needed, whichever of them the chain leads through.  That chain is known
 *     from what was read on the way here (zk_gc_link), or read between two looks at the fence; each
 *     link was written once, for good, before the next one was.
 *  4. Logs of epochs between the one that this one stands on and this one go at once, whatever
 *     images hold: from here on every chain passes them by.  (They never served, or served and
 *     acknowledged nothing, and found this claim: zk_take.c, 1.)
 *  5. Who still reads what goes finds a name missing, and never an end: it looks for an image, and
 *     where the chain leads now (zk_follow.c).  Whoever it was, a standby, one that is to lead, a
 *     start or a restore, an image has what it lacks, by 1; or by 4 there is another log.
 *  6. The owner file goes with its log: it keeps those apart that claim one epoch, and none of them
 *     can begin a log any more when a later epoch is claimed (zk_owner.h, 5).  What one that stood
 *     still leaves there after that is removed by the next leader.  The directories stay, empty. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_drive_impl.h"

static const int64_t ZK_GC_AGAIN_NS = 5000 * 1000000LL, ZK_GC_SOON_NS = 1000 * 1000000LL;

void zk_gc_link(struct zk_drive *d, uint64_t epoch, uint64_t prev, uint64_t base)
{
    d->gc.link[epoch % ZK_LINKS] = (struct zk_link){epoch, prev, base};
}

/* the epoch in the chain that leads here whose log holds what follows that index; 0: not known */
static uint64_t zk_gc_first(struct zk_drive *d, uint64_t upto)
{
    struct zk_gc *g = &d->gc;
    struct zk_link l = {d->epoch, d->prev, d->log.base};
    g->unknown = 0;
    while (l.base > upto && l.prev) {
        uint64_t prev = l.prev;
        l = g->link[prev % ZK_LINKS];
        if (l.epoch != prev) {
            g->unknown = prev;
            return 0;
        }
    }
    return l.base > upto ? 0 : l.epoch;
}

/* images hold what is there of it, or no chain leads through it: true */
static bool zk_gc_goes(const struct zk_drive *d, uint64_t epoch)
{
    const struct zk_gc *g = &d->gc;
    bool is_older = MUTANT(ZK_GC_LATER) ? epoch != d->epoch : epoch < d->epoch;
    return epoch < g->first ? epoch > g->gone
                            : epoch > d->prev && is_older && epoch > g->gone_between;
}

static void zk_gc_list(struct zk_drive *d, const char *dir)
{
    struct zk_gc *g = &d->gc;
    fmt_into(g->dir, sizeof g->dir, "%s", dir);
    env_list(d->shared, g->dir, g->after, g->names, sizeof g->names, &g->op);
}

static void zk_gc_image(struct zk_gc *g, uint64_t index)
{
    if (index > g->best) {
        g->second = g->best;
        g->best = index;
    } else if (index > g->second) {
        g->second = index;
    }
}

/* one name of a list; false: it is to be dealt with first */
static bool zk_gc_name(struct zk_drive *d, const char *n)
{
    struct zk_gc *g = &d->gc;
    uint64_t v;
    char leaf[LOG_NAME_MAX];
    size_t len = strlen(n);
    switch (g->state) {
    case ZK_GC_MEMBERS:
        if (zk_image_member(n) && g->n_members < ZK_IMAGE_MEMBERS_MAX)
            g->member[g->n_members++] = zk_image_member(n);
        return true;
    case ZK_GC_IMAGES:
        if (log_format_name_parse(n, "image-", &v))
            zk_gc_image(g, v);
        return true;
    case ZK_GC_LOGS:
        if (len >= sizeof leaf || !len || n[len - 1] != '/')
            return true;
        fmt_into(leaf, sizeof leaf, "%.*s", (int)len - 1, n);
        if (!log_format_name_parse(leaf, "log-", &v) || !zk_gc_goes(d, v))
            return true;
        g->log = v;
        return false;
    default:
        return false;
    }
}

static void zk_gc_logs(struct zk_drive *d)
{
    *d->gc.after = 0;
    d->gc.state = ZK_GC_LOGS;
}

/* images are known: which logs may go? */
static void zk_gc_chain(struct zk_drive *d)
{
    struct zk_gc *g = &d->gc;
    uint64_t upto = MUTANT(ZK_GC_EAGER) ? g->best : g->second;
    g->first = zk_gc_first(d, upto);
    if (g->unknown && upto && g->links_read++ < ZK_LINKS_READ) {
        g->state = ZK_GC_CHAIN;
        return;
    }
    if (g->first == d->epoch)
        wal_trim(d->wal, upto - d->log.base);
    zk_gc_logs(d);
}

static void zk_gc_chained(struct zk_drive *d, int64_t ret)
{
    const struct zk_fence_served *s = &d->fence.served;
    if (ret == 0 && s->epoch == d->gc.unknown) {
        zk_gc_link(d, s->epoch, s->prev, s->base);
        zk_gc_chain(d);
    } else {
        zk_gc_logs(d);
    }
}

/* the list has ended */
static void zk_gc_listed(struct zk_drive *d)
{
    struct zk_gc *g = &d->gc;
    *g->after = 0;
    if (g->state == ZK_GC_MEMBERS)
        g->state = ZK_GC_IMAGES;
    else if (g->state == ZK_GC_IMAGES)
        g->n_members--;
    if (g->state == ZK_GC_LOGS) {
        g->state = ZK_GC_REST;
    } else if (g->state == ZK_GC_FILES) {
        if (g->log < g->first)
            SOMETIMES(ZK_GC_LOG);
        else
            SOMETIMES(ZK_GC_ORPHAN);
        *(g->log < g->first ? &g->gone : &g->gone_between) = g->log;
        zk_gc_logs(d);
    } else if (!g->n_members) {
        zk_gc_chain(d);
    }
}

static void zk_gc_next(struct zk_drive *d)
{
    struct zk_gc *g = &d->gc;
    char path[ENV_NAME_MAX];
    switch (g->state) {
    case ZK_GC_REST:
        return;
    case ZK_GC_MEMBERS:
        zk_gc_list(d, d->images_dir);
        break;
    case ZK_GC_IMAGES:
        fmt_into(path, sizeof path, "%s/%u", d->images_dir, g->member[g->n_members - 1]);
        zk_gc_list(d, path);
        break;
    case ZK_GC_CHAIN:
        g->wants_fence = true;
        if (d->is_checking)
            return;
        zk_fence_find_served(&d->fence, g->unknown, &g->op);
        break;
    case ZK_GC_LOGS:
        zk_gc_list(d, d->cfg.zk.dir);
        break;
    case ZK_GC_FILES:
        zk_drive_log_dir(d, g->log, path);
        zk_gc_list(d, path);
        break;
    case ZK_GC_REMOVE:
        env_unlink(d->shared, g->path, &g->op);
        break;
    }
    g->busy = true;
}

static void zk_gc_removed(struct zk_drive *d, int64_t ret)
{
    struct zk_gc *g = &d->gc;
    *g->after = 0;
    bool is_gone = ret >= 0 || ret == E_NOENT || ret == E_STALE; /* names may be seen late */
    g->state = is_gone ? ZK_GC_FILES : ZK_GC_REST;
    zk_room_freed(d);
}

static void zk_gc_done(struct env_op *op)
{
    struct zk_drive *d = container_of(op, struct zk_drive, gc.op);
    struct zk_gc *g = &d->gc;
    int64_t ret = op->ret;
    bool is_chain = g->wants_fence;
    g->busy = g->wants_fence = false;
    if (d->state != ZK_LEAD || d->stop_op) {
        g->state = ZK_GC_REST;
    } else if (g->state == ZK_GC_REMOVE) {
        zk_gc_removed(d, ret);
    } else if (is_chain) {
        zk_gc_chained(d, ret);
    } else if (ret < 0) {
        g->state = ZK_GC_REST;
    } else if (ret == 0) {
        zk_gc_listed(d);
    } else {
        const char *n = g->names;
        for (; n < g->names + ret; n += strlen(n) + 1) {
            fmt_into(g->after, sizeof g->after, "%s", n);
            if (!zk_gc_name(d, n))
                break;
        }
        if (n < g->names + ret && g->state == ZK_GC_LOGS) {
            *g->after = 0;
            g->state = ZK_GC_FILES;
        } else if (n < g->names + ret) {
            fmt_into(g->path, sizeof g->path, "%s/%s", g->dir, n);
            g->state = ZK_GC_REMOVE;
        }
    }
    bool is_next = is_chain && g->state == ZK_GC_CHAIN; /* behind a look, if one is due */
    if (!is_next)
        zk_gc_next(d);
    if (g->state == ZK_GC_REST || is_chain)
        zk_drive_run(d);
}

void zk_gc_run(struct zk_drive *d)
{
    struct zk_gc *g = &d->gc;
    int64_t now = env_now_ns(d->env);
    bool is_open = g->state != ZK_GC_REST && !g->busy; /* its next call is to begin */
    if (is_open && (d->state != ZK_LEAD || d->stop_op)) {
        g->wants_fence = false;
        g->state = ZK_GC_REST;
    } else if (is_open) {
        zk_gc_next(d);
    }
    if (d->state != ZK_LEAD || d->stop_op || g->state != ZK_GC_REST || now < g->again_ns)
        return;
    g->again_ns = now + (d->room.is_short || d->full ? ZK_GC_SOON_NS : ZK_GC_AGAIN_NS);
    g->links_read = 0;
    g->best = g->second = 0;
    g->n_members = 0;
    *g->after = 0;
    g->state = ZK_GC_MEMBERS;
    zk_gc_next(d);
}

void zk_gc_init(struct zk_drive *d)
{
    d->gc.op.done = zk_gc_done;
}
