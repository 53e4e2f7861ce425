/* fuse/fuse_ops_dir.c - listings, streamed batch by batch.
 *
 * An offset is 0 at the start, 1 after ".", 2 after "..", and cookie + 2 after an entry.
 *
 * INVARIANTS
 *  1. A handle holds one batch (at most LIMIT_BATCH bytes) whatever the size of the directory, and
 *     perhaps the first one of names (8).
 *  2. The kernel may read in any steps and seek anywhere: an offset that is not in the batch is
 *     asked for by its cookie.
 *  3. Attributes from a batch are given to the kernel for what is left of the batch's lease, and
 *     without a lifetime once anything was invalidated since the batch was asked for.
 *  4. Attributes are not fetched for who does not look at them (find, a plain ls): the kernel asks
 *     READDIR instead of READDIRPLUS for what follows a batch of which nothing was looked at. After
 *     DIR_PLAIN such listings the next one is begun with names only; one READDIRPLUS, or a LOOKUP
 *     of something listed that is no directory (fuse_ops.c), ends that.
 *  5. Who asks for the names of a listed directory one by one (ls -l of one that was listed without
 *     attributes, or so large that they are out of date again) makes the client bring them by the
 *     batch: one for each DIR_MISSES questions, the next part of the directory each time, so that a
 *     question causes no more work than it has shown to be of use.
 *  6. The handle lives until it is released and no call is under way on it.
 *  7. A listing that was begun with names only goes on with attributes when the kernel wants them
 *     (READDIRPLUS anywhere but at the start: what came before was looked at).
 *  8. Names from below the tree (FSOP_COOKIE_BELOW) come in another order than with attributes:
 *     such a listing begins anew behind the last name given, and leaves out what was given before.
 *     Only out of the first batch, which is then kept for it.  Places before that one stay what
 *     they were: who goes back there reads the rest below. */
#include <errno.h>
#include <stdio.h>
#include "fuse/fuse_ops.h"

enum { DIR_PLAIN = 2, DIR_MISSES = 4 };
enum { DIR_SLOTS = 4096 }; /* more than twice the entries of a batch */

static_assert(LIMIT_BATCH / 64 * 2 < DIR_SLOTS, "an entry has a cookie and attributes");

/* names by their hash, open addressing */
struct fuse_ops_given {
    uint64_t cookie;          /* of the last one: after it comes the start of the other listing */
    uint32_t slot[DIR_SLOTS]; /* where the entry begins in the batch, + 1 */
    char batch[LIMIT_BATCH];
};

static struct fuse_ops_dir *dir_handle(const struct fuse_file_info *fi)
{
    return (struct fuse_ops_dir *)(uintptr_t)fi->fh;
}

static void dir_free_if_over(struct fuse_ops *o, struct fuse_ops_dir *d)
{
    if (d->busy || !d->is_released)
        return;
    mem_free(o->mem, d->batch, LIMIT_BATCH);
    mem_free(o->mem, d->given, sizeof *d->given);
    mem_free(o->mem, d, sizeof *d);
}

/* ends c, answered or not */
static void dir_end(struct fuse_ops_call *c, int err)
{
    struct fuse_ops *o = c->o;
    struct fuse_ops_dir *d = c->dir;
    fuse_ops_err(c, err);
    d->busy--;
    dir_free_if_over(o, d);
}

void fuse_ops_dir_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fuse_ops *o = fuse_req_userdata(req);
    struct fuse_ops_dir *d = mem_zalloc(o->mem, sizeof *d);
    if (!d) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    d->ino.v = ino;
    fi->fh = (uint64_t)(uintptr_t)d;
    if (fuse_reply_open(req, fi)) {
        d->is_released = true;
        dir_free_if_over(o, d);
    }
}

/* Appends one entry; false when it does not fit. */
static bool dir_add(struct fuse_ops_call *c, char *to, size_t *used, const char *name,
                    const struct fuse_entry_param *e, off_t next)
{
    size_t left = c->size - *used;
    size_t n = c->plus ? fuse_add_direntry_plus(c->fuse, to + *used, left, name, e, next)
                       : fuse_add_direntry(c->fuse, to + *used, left, name, &e->attr, next);
    if (n > left)
        return false;
    *used += n;
    return true;
}

static void dir_add_dots(struct fuse_ops_call *c, char *to, size_t *used, off_t *off)
{
    struct fuse_node *n = fuse_node_find(&c->o->nodes, c->dir->ino);
    struct fuse_entry_param e = {.attr.st_mode = S_IFDIR};
    for (; *off < 2; ++*off) {
        bool up = *off == 1 && n && n->parent.v;
        e.attr.st_ino = up ? n->parent.v : c->dir->ino.v;
        if (!dir_add(c, to, used, *off ? ".." : ".", &e, *off + 1))
            return;
    }
}

/* the slot of a name, or the free one where it belongs */
static uint32_t *dir_slot(struct fuse_ops_given *g, const char *name, uint32_t n)
{
    uint32_t at = (uint32_t)base_hash(name, n, 0) % DIR_SLOTS;
    for (; g->slot[at]; at = (at + 1) % DIR_SLOTS) {
        uint32_t from = g->slot[at] - 1;
        struct rbuf r = rbuf_make(g->batch + from, LIMIT_BATCH - from);
        struct fsop_dirent e;
        if (fsop_dirent_get(&r, &e) == 0 && e.name_len == n && !memcmp(e.name, name, n))
            break;
    }
    return &g->slot[at];
}

static bool dir_is_given(struct fuse_ops_dir *d, const struct fsop_dirent *e)
{
    return d->given && !(e->cookie & FSOP_COOKIE_BELOW) &&
           *dir_slot(d->given, e->name, e->name_len);
}

/* Invariant 8: d->batch up to the entry with this cookie was given.  False: it goes on as it began.
 */
static bool dir_turn(struct fuse_ops *o, struct fuse_ops_dir *d, uint64_t cookie)
{
    struct rbuf r = rbuf_make(d->batch, d->len);
    struct fsop_dirent e = {0};
    if (!d->filled || d->first || d->given)
        return false;
    struct fuse_ops_given *g = mem_zalloc(o->mem, sizeof *g);
    if (!g)
        return false;
    memcpy(g->batch, d->batch, d->len);
    g->cookie = cookie;
    for (uint32_t from = 0; e.cookie != cookie && rbuf_left(&r); from = (uint32_t)r.pos) {
        if (fsop_dirent_get(&r, &e))
            break;
        *dir_slot(g, e.name, e.name_len) = from + 1;
    }
    if (e.cookie != cookie) {
        mem_free(o->mem, g, sizeof *g);
        return false;
    }
    d->given = g;
    return true;
}

/* the place of an offset: after which cookie */
static uint64_t dir_place(const struct fuse_ops_dir *d, off_t off)
{
    uint64_t cookie = off <= 2 ? 0 : (uint64_t)off - 2;
    return d->given && cookie == d->given->cookie ? 0 : cookie;
}

/* Adds entries of the batch from d->pos while they fit; false on malformed bytes. */
static bool dir_add_batch(struct fuse_ops_call *c, char *to, size_t *used)
{
    struct fuse_ops *o = c->o;
    struct fuse_ops_dir *d = c->dir;
    int64_t left = d->until_ns - env_now_ns(o->env);
    uint64_t lease = left > 0 && d->inval_gen == o->inval_gen ? (uint64_t)left : 0;
    while (d->pos < d->len) {
        struct rbuf r = rbuf_make(d->batch + d->pos, d->len - d->pos);
        struct fsop_dirent ent;
        char name[LIMIT_NAME + 1];
        if (fsop_dirent_get(&r, &ent) || !ent.name_len || ent.name_len > LIMIT_NAME ||
            ent.cookie > INT64_MAX - 2)
            return false;
        if (dir_is_given(d, &ent)) {
            d->pos += (uint32_t)r.pos;
            d->next = ent.cookie;
            continue;
        }
        memcpy(name, ent.name, ent.name_len);
        name[ent.name_len] = '\0';
        struct fuse_entry_param e = {.attr = fuse_ops_stat(&ent.attr)};
        bool is_bare = d->names_only || (ent.attr.flags & FSATTR_BARE); /* inode 0: ask for it */
        bool counted = c->plus && !is_bare &&
                       fuse_ops_entry(o, d->ino, ent.name, ent.name_len, &ent.attr, lease, &e);
        if (!dir_add(c, to, used, name, &e, (off_t)(ent.cookie + 2))) {
            if (counted)
                fuse_node_forget(&o->nodes, ent.attr.ino, 1);
            break;
        }
        d->pos += (uint32_t)r.pos;
        d->next = ent.cookie;
    }
    return true;
}

static void dir_fetch(struct fuse_ops_call *c, uint64_t cookie)
{
    memset(&c->req, 0, sizeof c->req);
    c->req.fsop = (struct fsop){.kind = FSOP_READDIR,
                                .ino = c->dir->ino,
                                .arg = cookie,
                                .size = LIMIT_BATCH,
                                .mode = c->dir->names_only};
    fuse_ops_send(c);
}

/* Answers from the batch, or asks for the one that is needed. */
static void dir_serve(struct fuse_ops_call *c)
{
    struct fuse_ops_dir *d = c->dir;
    uint64_t cookie = dir_place(d, c->off);
    if (d->filled && cookie == d->first && cookie != d->next) {
        d->pos = 0;
        d->next = d->first;
    }
    if (!d->filled || cookie != d->next || (d->pos == d->len && !d->eof)) {
        dir_fetch(c, cookie);
        return;
    }
    size_t used = 0;
    off_t off = c->off;
    char *to = c->o->scratch;
    dir_add_dots(c, to, &used, &off);
    if (off >= 2 && !dir_add_batch(c, to, &used)) {
        dir_end(c, E_PROTO);
        return;
    }
    if (!used && d->pos == d->len && !d->eof) { /* all were given before */
        c->off = (off_t)d->next + 2;
        dir_fetch(c, d->next);
        return;
    }
    fuse_reply_buf(c->fuse, to, used);
    c->fuse = NULL;
    dir_end(c, 0);
}

/* CALL_READDIR: a batch came */
void fuse_ops_dir_filled(struct fuse_ops_call *c, int err)
{
    struct fuse_ops *o = c->o;
    struct fuse_ops_dir *d = c->dir;
    const struct fsop_reply *rep = &c->req.reply;
    if (!err && rep->data_len > LIMIT_BATCH)
        err = E_PROTO;
    if (!err && !d->batch && !(d->batch = mem_alloc(o->mem, LIMIT_BATCH)))
        err = E_NOMEM;
    if (err || !c->fuse) {
        dir_end(c, err);
        return;
    }
    if (rep->data_len)
        memcpy(d->batch, rep->data, rep->data_len);
    d->len = rep->data_len;
    d->pos = 0;
    d->first = d->next = c->req.fsop.arg;
    d->filled = true;
    /* nothing and not the end would be asked for again, for ever */
    d->eof = rep->flags & FSOP_R_EOF || !rep->data_len;
    d->until_ns = env_now_ns(o->env) + (int64_t)base_min_u64(rep->lease_ns, INT64_MAX / 4);
    d->inval_gen = o->inval_gen; /* listings are not cached below: it is newer than all before it */
    dir_serve(c);
}

/* what the kernel asks with tells how the batch before was used */
static void dir_learn(struct fuse_ops *o, struct fuse_ops_dir *d, off_t off, bool plus)
{
    struct fuse_node *n = fuse_node_find(&o->nodes, d->ino);
    if (off == 0) {
        d->names_only = o->plain >= DIR_PLAIN;
        mem_free(o->mem, d->given, sizeof *d->given);
        d->given = NULL;
        d->filled = false; /* a rewound directory is read anew */
        if (n) {
            n->is_listed = true;
            n->names_only = d->names_only;
        }
    } else if (plus) {
        uint64_t cookie = off <= 2 ? 0 : (uint64_t)off - 2;
        bool is_end = d->filled && d->eof && d->pos == d->len && cookie == d->next;
        o->plain = 0;
        if (d->names_only && !is_end && (!(cookie & FSOP_COOKIE_BELOW) || dir_turn(o, d, cookie)))
            d->names_only = d->filled = false;
    } else if (d->eof && d->pos == d->len) {
        o->plain += o->plain < DIR_PLAIN;
    }
}

static void dir_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_READDIR);
    c->dir = dir_handle(fi);
    c->dir->busy++;
    c->size = size < FUSE_OPS_IO ? size : FUSE_OPS_IO;
    c->off = off;
    c->plus = plus;
    dir_learn(c->o, c->dir, off, plus);
    fuse_ops_watch(c);
    dir_serve(c);
}

void fuse_ops_dir_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)ino;
    dir_read(req, size, off, fi, false);
}

void fuse_ops_dir_readplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    (void)ino;
    dir_read(req, size, off, fi, true);
}

/* the client has kept what came */
static void dir_ahead_done(struct env_op *op)
{
    struct fuse_ops *o = container_of(op, struct fuse_ops, ahead.op);
    const struct fsop_reply *rep = &o->ahead.reply;
    struct rbuf r = rbuf_make(rep->data, rep->data_len);
    struct fsop_dirent ent;
    o->is_ahead = false;
    if (o->ahead.fsop.ino.v != o->missed.v)
        return;
    o->ahead_cookie = 0;
    if (op->ret < 0 || rep->flags & FSOP_R_EOF)
        return;
    while (rbuf_left(&r) && fsop_dirent_get(&r, &ent) == 0)
        o->ahead_cookie = ent.cookie;
}

void fuse_ops_dir_missed(struct fuse_ops *o, struct ino dir)
{
    if (o->missed.v != dir.v) {
        o->missed = dir;
        o->misses = 0;
        o->ahead_cookie = 0;
    }
    if (++o->misses < DIR_MISSES || o->is_ahead)
        return;
    o->misses = 0;
    o->is_ahead = true;
    memset(&o->ahead, 0, sizeof o->ahead);
    o->ahead.fsop = (struct fsop){
        .kind = FSOP_READDIR, .ino = dir, .arg = o->ahead_cookie, .size = LIMIT_BATCH};
    o->ahead.op.done = dir_ahead_done;
    client_fs(o->client, &o->ahead);
}

void fuse_ops_dir_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct fuse_ops *o = fuse_req_userdata(req);
    struct fuse_ops_dir *d = dir_handle(fi);
    d->is_released = true;
    dir_free_if_over(o, d);
    fuse_reply_err(req, 0);
}

void fuse_ops_dir_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync, (void)fi;
    struct fuse_ops_call *c = fuse_ops_begin(req, CALL_NONE);
    c->req.fsop = (struct fsop){.kind = FSOP_STATFS, .ino = {ino}, .mode = 1};
    fuse_ops_watch(c);
    fuse_ops_send(c);
}
