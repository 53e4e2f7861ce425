/* cluster/client_walk.c - from a path to an inode: one LOOKUP per name, one READLINK per link.
 *
 * What is left of the path lies at the end of one buffer; a link's target is put in front of it. As
 * long as no more is left than was left of the caller's own path when the first link was met, the
 * names are the caller's, and a missing one can be reported by its offset.
 *
 * ".." steps back along the directories that were walked, so it needs nothing of the master. */
#include "cluster/client_impl.h"

enum { WALK_DEPTH = 512 };

struct walk {
    struct client *c;
    struct client_req *r;
    struct client_req sub;
    bool follow, must_dir;
    uint32_t links;
    uint32_t at, own_left; /* rest[at..LIMIT_PATH * 2); bytes left that are the caller's */
    uint32_t name_at, name_len;
    uint32_t depth;
    struct fsattr cur; /* where we are */
    struct fsattr link;
    struct ino up[WALK_DEPTH];
    struct env_op post;
    char rest[2 * LIMIT_PATH];
};

enum { WALK_END = 2 * LIMIT_PATH };

static void walk_step(struct walk *w);

static void walk_posted(struct env_op *op)
{
    struct walk *w = container_of(op, struct walk, post);
    struct client_req *r = w->r;
    struct client *c = w->c;
    c->pending--;
    mem_free(c->mem, w, sizeof *w);
    r->op.done(&r->op);
    client_quiet(c);
}

static void walk_finish(struct walk *w, int err, const struct fsattr *a)
{
    struct client_req *r = w->r;
    uint64_t lease_ns = w->sub.reply.lease_ns, index = w->sub.reply.index;
    memset(&r->reply, 0, sizeof r->reply);
    r->reply.err = err;
    r->op.ret = err;
    if (a)
        r->reply.attr = *a;
    r->reply.lease_ns = lease_ns;
    r->reply.index = index;
    w->post.done = walk_posted;
    w->c->pending++;
    env_post(w->c->env, &w->post);
}

/* a subrequest for the caller */
static void walk_ask(struct walk *w, uint16_t kind, struct ino ino, void (*done)(struct env_op *op))
{
    const struct fsop *from = &w->r->fsop;
    struct fsop *op = &w->sub.fsop;
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->ino = ino;
    op->uid = from->uid;
    op->gid = from->gid;
    op->n_groups = from->n_groups;
    memcpy(op->groups, from->groups, sizeof op->groups);
    op->name = kind == FSOP_LOOKUP ? w->rest + w->name_at : NULL;
    op->name_len = kind == FSOP_LOOKUP ? w->name_len : 0;
    w->sub.deadline_ns = w->r->deadline_ns;
    w->sub.op.done = done;
    client_fs(w->c, &w->sub);
}

/* the next name; false at the end of the path */
static bool walk_name(struct walk *w)
{
    while (w->at < WALK_END && w->rest[w->at] == '/')
        w->at++;
    w->name_at = w->at;
    while (w->at < WALK_END && w->rest[w->at] != '/')
        w->at++;
    w->name_len = w->at - w->name_at;
    return w->name_len > 0;
}

static bool walk_is_last(const struct walk *w)
{
    for (uint32_t i = w->at; i < WALK_END; i++)
        if (w->rest[i] != '/')
            return false;
    return true;
}

static void walk_root_done(struct env_op *op)
{
    struct walk *w = container_of(op, struct walk, sub.op);
    if (op->ret) {
        walk_finish(w, (int)op->ret, NULL);
        return;
    }
    w->cur = w->sub.reply.attr;
    walk_step(w);
}

static void walk_root(struct walk *w)
{
    w->depth = 0;
    walk_ask(w, FSOP_GETATTR, INO_ROOT, walk_root_done);
}

static void walk_link_done(struct env_op *op)
{
    struct walk *w = container_of(op, struct walk, sub.op);
    uint32_t n = w->sub.reply.data_len;
    if (op->ret || !n || n > w->at || ++w->links > LIMIT_SYMLINK_DEPTH) {
        int err = op->ret ? (int)op->ret : !n ? E_NOENT : n > w->at ? E_NAMETOOLONG : E_LOOP;
        walk_finish(w, err, NULL);
        return;
    }
    uint32_t left = WALK_END - w->at;
    w->own_left = left < w->own_left ? left : w->own_left;
    w->at -= n;
    memcpy(w->rest + w->at, w->sub.reply.data, n);
    if (w->rest[w->at] == '/')
        walk_root(w);
    else
        walk_step(w);
}

static void walk_missing(struct walk *w, int err)
{
    bool own = WALK_END - w->name_at <= w->own_left;
    if (err != E_NOENT || !walk_is_last(w) || !own) {
        walk_finish(w, err, NULL);
        return;
    }
    uint32_t offset = w->r->fsop.name_len - (WALK_END - w->name_at);
    walk_finish(w, err, &w->cur);
    w->r->reply.value = offset;
}

static void walk_looked_up(struct env_op *op)
{
    struct walk *w = container_of(op, struct walk, sub.op);
    const struct fsattr *a = &w->sub.reply.attr;
    if (op->ret) {
        walk_missing(w, (int)op->ret);
        return;
    }
    bool last = walk_is_last(w);
    bool slash = w->at < WALK_END; /* "name/" means the directory */
    if ((a->mode & FSOP_S_IFMT) == FSOP_S_IFLNK && (!last || w->follow || slash)) {
        w->link = *a;
        walk_ask(w, FSOP_READLINK, w->link.ino, walk_link_done);
        return;
    }
    if ((a->mode & FSOP_S_IFMT) != FSOP_S_IFDIR && slash) {
        walk_finish(w, E_NOTDIR, NULL);
        return;
    }
    if (last) {
        walk_finish(w, 0, a);
        return;
    }
    if (w->depth == WALK_DEPTH) {
        walk_finish(w, E_NAMETOOLONG, NULL);
        return;
    }
    w->up[w->depth++] = w->cur.ino;
    w->cur = *a;
    walk_step(w);
}

static void walk_up_done(struct env_op *op)
{
    struct walk *w = container_of(op, struct walk, sub.op);
    if (op->ret) {
        walk_finish(w, (int)op->ret, NULL);
        return;
    }
    w->cur = w->sub.reply.attr;
    walk_step(w);
}

static void walk_step(struct walk *w)
{
    while (walk_name(w)) {
        const char *name = w->rest + w->name_at;
        if (w->name_len == 1 && name[0] == '.')
            continue;
        if (w->name_len == 2 && name[0] == '.' && name[1] == '.') {
            if (!w->depth)
                continue;
            walk_ask(w, FSOP_GETATTR, w->up[--w->depth], walk_up_done);
            return;
        }
        walk_ask(w, FSOP_LOOKUP, w->cur.ino, walk_looked_up);
        return;
    }
    walk_finish(w, 0, &w->cur);
}

void client_walk(struct client *c, struct client_req *r, bool follow)
{
    const struct fsop *op = &r->fsop;
    bool bad = !op->name_len || op->name[0] != '/';
    struct walk *w = NULL;
    r->file = NULL;
    memset(&r->reply, 0, sizeof r->reply);
    if (!bad && op->name_len < LIMIT_PATH)
        w = mem_alloc(c->mem, sizeof *w);
    if (!w) {
        r->reply.err = bad ? E_INVAL : op->name_len >= LIMIT_PATH ? E_NAMETOOLONG : E_NOMEM;
        r->op.ret = r->reply.err;
        env_post(c->env, &r->op);
        return;
    }
    memset(w, 0, offsetof(struct walk, rest));
    w->c = c;
    w->r = r;
    w->follow = follow;
    w->own_left = op->name_len;
    w->at = WALK_END - op->name_len;
    memcpy(w->rest + w->at, op->name, op->name_len);
    if (!r->deadline_ns)
        r->deadline_ns = env_now_ns(c->env) + c->cfg.deadline_ns;
    walk_root(w);
}
