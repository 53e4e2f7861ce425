/* sim/lab_zk_watch.c - the watches of one server: on data (which EXISTS sets, too) and on children.
 * A watch is of a connection, fires once, and is there once however often it was asked for. */
#include "sim/lab_zk_impl.h"

static struct lab_zk_watch **watch_bucket(struct lab_zk_proc *r, bool is_child, const char *path,
                                          uint32_t len)
{
    return &r->watch[base_hash(path, len, is_child) % LAB_ZK_WATCH_BUCKETS];
}

static bool watch_is(const struct lab_zk_watch *w, bool is_child, const char *path, uint32_t len)
{
    return w->is_child == is_child && w->path_len == len && !memcmp(w->path, path, len);
}

static struct lab_zk_watch **watch_place(const struct lab_zk_conn *c, bool is_child,
                                         const char *path, uint32_t len)
{
    struct lab_zk_watch **at = watch_bucket(c->p->proc, is_child, path, len);
    while (*at && ((*at)->c != c || !watch_is(*at, is_child, path, len)))
        at = &(*at)->chain;
    return at;
}

static void watch_free(struct lab_zk_proc *r, struct lab_zk_watch **at)
{
    struct lab_zk_watch *w = *at;
    *at = w->chain;
    list_remove(&w->in_conn);
    r->n_watches--;
    mem_free(r->mem, w, sizeof *w + w->path_len);
}

bool lab_zk_watch_has(const struct lab_zk_conn *c, bool is_child, const char *path, uint32_t len)
{
    return *watch_place(c, is_child, path, len) != NULL;
}

bool lab_zk_watch_add(struct lab_zk_conn *c, bool is_child, const char *path, uint32_t len)
{
    struct lab_zk_proc *r = c->p->proc;
    struct lab_zk_watch **at = watch_place(c, is_child, path, len);
    if (*at)
        return true;
    struct lab_zk_watch *w = NULL;
    if (r->n_watches < c->p->z->cfg.watches)
        w = mem_alloc(r->mem, sizeof *w + len);
    if (!w) {
        lab_zk_conn_doom(c);
        return false;
    }
    *w = (struct lab_zk_watch){.c = c, .is_child = is_child, .path_len = len};
    memcpy(w->path, path, len);
    *at = w;
    list_push_back(&c->watches, &w->in_conn);
    r->n_watches++;
    return true;
}

bool lab_zk_watch_remove(struct lab_zk_conn *c, bool is_child, const char *path, uint32_t len)
{
    struct lab_zk_watch **at = watch_place(c, is_child, path, len);
    if (!*at)
        return false;
    watch_free(c->p->proc, at);
    return true;
}

void lab_zk_watch_drop(struct lab_zk_conn *c)
{
    while (!list_empty(&c->watches)) {
        struct lab_zk_watch *w = list_entry(c->watches.next, struct lab_zk_watch, in_conn);
        watch_free(c->p->proc, watch_place(c, w->is_child, w->path, w->path_len));
    }
}

void lab_zk_watch_tell(struct lab_zk_conn *c, enum zk_event what, const char *path, uint32_t len)
{
    const struct zk_reply a = {.xid = ZK_XID_EVENT,
                               .zxid = -1,
                               .path = path,
                               .path_len = len,
                               .event = what,
                               .keeper = ZK_KEEPER_CONNECTED};
    c->p->z->stats.events++;
    lab_zk_reply(c, &a);
}

/* those of one path and kind; who has been told in this event is not told again */
static void watch_fire(struct lab_zk_proc *r, bool is_child, enum zk_event what, const char *path,
                       uint32_t len)
{
    struct lab_zk_watch **at = watch_bucket(r, is_child, path, len);
    while (*at) {
        struct lab_zk_watch *w = *at;
        if (!watch_is(w, is_child, path, len)) {
            at = &w->chain;
            continue;
        }
        struct lab_zk_conn *c = w->c;
        watch_free(r, at);
        if (c->told != r->n_events)
            lab_zk_watch_tell(c, what, path, len);
        c->told = r->n_events;
    }
}

void lab_zk_watch_event(void *place, enum zk_event what, const struct lab_zk_node *n)
{
    struct lab_zk_place *p = place;
    if (!lab_zk_serves(p) || !lab_zk_is_up(p))
        return;
    struct lab_zk_proc *r = p->proc;
    r->n_events++;
    watch_fire(r, false, what, n->path, n->path_len);
    if (what == ZK_EVENT_DATA)
        return;
    if (what == ZK_EVENT_DELETED)
        watch_fire(r, true, what, n->path, n->path_len);
    r->n_events++;
    watch_fire(r, true, ZK_EVENT_CHILDREN, n->parent->path, n->parent->path_len);
}
