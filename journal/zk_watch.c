/* journal/zk_watch.c - the client's watches: armed by answers, fired once, armed again on each new
 * connection.
 *
 * A server forgets watches with their connection.  SET_WATCHES on the next one names them all, and
 * a zxid: what changed after it fires at once, the rest is armed.
 *
 * INVARIANTS
 *  1. That zxid is never newer than the state in which the server last had all of them armed.  So
 *     it is not taken from events (of several of one zxid the later ones may be lost), nor moved on
 *     while a SET_WATCHES of the connection before is unanswered: what that one would have fired is
 *     only older than the zxid of answers that came meanwhile.
 *  2. Watches of one path and kind are one for the server: its event fires all of them.
 *
 * SET_WATCHES rather than SET_WATCHES2: the latter differs in persistent watches only, which this
 * client has none of, and a server that does not know it closes the connection with all that was
 * sent behind it. */
#include "core/mutant.h"
#include "core/sometimes.h"
#include "journal/zk_impl.h"

bool zk_watch_kind(int32_t what, uint8_t *ret_kind)
{
    switch (what) {
    case ZK_OP_GET_DATA:
        *ret_kind = ZK_KIND_DATA;
        return true;
    case ZK_OP_EXISTS:
        *ret_kind = ZK_KIND_EXIST;
        return true;
    case ZK_OP_GET_CHILDREN:
    case ZK_OP_GET_CHILDREN2:
        *ret_kind = ZK_KIND_CHILD;
        return true;
    default:
        return false;
    }
}

bool zk_watch_ask(struct zk *z, struct zk_watch *w, const char *path, uint8_t kind)
{
    size_t n = strlen(path) + 1;
    w->path = mem_alloc(z->mem, n);
    if (!w->path)
        return false;
    memcpy(w->path, path, n);
    w->kind = kind;
    w->state = ZK_WATCH_ASKED;
    list_init(&w->link);
    z->n_watches++;
    return true;
}

void zk_watch_dropped(struct zk *z, struct zk_watch *w)
{
    if (w->state == ZK_WATCH_ARMED)
        list_remove(&w->link);
    w->state = ZK_WATCH_IDLE;
    mem_free(z->mem, w->path, strlen(w->path) + 1);
    w->path = NULL;
    z->n_watches--;
}

void zk_watch_answered(struct zk *z, struct zk_watch *w, int32_t err)
{
    bool is_absent = w->kind == ZK_KIND_EXIST && err == ZK_ERR_NO_NODE;
    if (err && !is_absent) {
        zk_watch_dropped(z, w);
        return;
    }
    if (w->kind == ZK_KIND_EXIST && !is_absent) /* of a node that is there: like one of its data */
        w->kind = ZK_KIND_DATA;
    w->state = ZK_WATCH_ARMED;
    list_push_back(&z->armed[w->kind], &w->link);
}

void zk_watch_drop_all(struct zk *z)
{
    struct list *l;
    for (uint32_t k = 0; k < ZK_KINDS; k++)
        while ((l = z->armed[k].next) != &z->armed[k])
            zk_watch_dropped(z, list_entry(l, struct zk_watch, link));
    while ((l = z->firing.next) != &z->firing)
        zk_watch_dropped(z, list_entry(l, struct zk_watch, link));
}

static void watch_collect(struct zk *z, enum zk_kind kind, const char *path, uint32_t len)
{
    list_each_safe(l, &z->armed[kind]) {
        const struct zk_watch *w = list_entry(l, struct zk_watch, link);
        if (strlen(w->path) == len && !memcmp(w->path, path, len)) {
            list_remove(l);
            list_push_back(&z->firing, l);
        }
    }
}

void zk_watch_event(struct zk *z, const struct zk_reply *a)
{
    const char *path = a->path;
    uint32_t len = a->path_len;
    bool is_data =
        a->event == ZK_EVENT_CREATED || a->event == ZK_EVENT_DELETED || a->event == ZK_EVENT_DATA;
    bool is_child = a->event == ZK_EVENT_DELETED || a->event == ZK_EVENT_CHILDREN;
    if (!path || !zk_client_strip(z, &path, &len))
        return;
    if (is_data) {
        watch_collect(z, ZK_KIND_DATA, path, len);
        watch_collect(z, ZK_KIND_EXIST, path, len);
    }
    if (is_child)
        watch_collect(z, ZK_KIND_CHILD, path, len);
    while (!list_empty(&z->firing)) { /* whoever is told may drop the others, or end the session */
        struct zk_watch *w = list_entry(z->firing.next, struct zk_watch, link);
        zk_watch_dropped(z, w);
        w->fired(w, (enum zk_event)a->event);
    }
}

/* where a walk over all armed watches has come to */
struct watch_cursor {
    uint32_t kind;
    struct list *at;
};

/* the next watches' paths as three lists, of most bytes in all, in w; false: there are no more */
static bool watch_batch(struct zk *z, struct watch_cursor *c, struct wbuf *w, size_t most,
                        struct zk_list lists[ZK_KINDS])
{
    memset(lists, 0, ZK_KINDS * sizeof *lists);
    for (; c->kind < ZK_KINDS; c->at = ++c->kind < ZK_KINDS ? z->armed[c->kind].next : NULL) {
        size_t from = w->len;
        uint32_t n = 0;
        bool is_full = false;
        for (; c->at != &z->armed[c->kind]; c->at = c->at->next) {
            const struct zk_watch *v = list_entry(c->at, struct zk_watch, link);
            uint32_t len = (uint32_t)strlen(v->path);
            is_full = w->len && w->len + 4 + z->root_len + len > most;
            if (is_full)
                break;
            zk_proto_path_put(w, &n, z->address.root, z->root_len, v->path, len);
        }
        lists[c->kind] = (struct zk_list){w->p + from, (uint32_t)(w->len - from), n};
        if (is_full)
            return true;
    }
    return w->len > 0;
}

void zk_watch_rearm(struct zk *z)
{
    if (z->is_rearmed)
        z->rearm_zxid = z->zxid;
    z->is_rearmed = true;
    z->rearms_out = 0;
    if (MUTANT(ZK_WATCH_LOST))
        return;
    struct watch_cursor c = {0, z->armed[0].next};
    size_t half = z->io_cap / 2, most = base_min_u64(half - 64, ZK_WATCHES_BATCH - 64);
    for (;;) { /* paths are gathered in the upper half of out, the packet is made in the lower */
        struct zk_list lists[ZK_KINDS];
        struct wbuf paths = wbuf_make(z->out + half, half), w = wbuf_make(z->out, half);
        if (!watch_batch(z, &c, &paths, most, lists))
            return;
        struct zk_request q = {.xid = ZK_XID_SET_WATCHES,
                               .op = ZK_OP_SET_WATCHES,
                               .zxid = z->rearm_zxid,
                               .data_watches = lists[ZK_KIND_DATA],
                               .exist_watches = lists[ZK_KIND_EXIST],
                               .child_watches = lists[ZK_KIND_CHILD]};
        zk_proto_request_put(&w, &q);
        ASSERT(!w.bad && !paths.bad); /* a path has at most ZK_PATH_MAX bytes, out has more */
        zk_session_send(z, &w);
        SOMETIMES(ZK_REARMED);
        z->is_rearmed = false;
        z->rearms_out++;
    }
}

void zk_unwatch(struct zk *z, struct zk_watch *w)
{
    struct list *const lists[] = {&z->waiting, &z->sent};
    for (uint32_t i = 0; i < ARRAY_LEN(lists) && w->state == ZK_WATCH_ASKED; i++)
        list_each(l, lists[i]) {
            struct zk_call *c = list_entry(l, struct zk_slot, link)->call;
            if (c && c->watch == w)
                c->watch = NULL;
        }
    if (w->state != ZK_WATCH_IDLE)
        zk_watch_dropped(z, w);
}
