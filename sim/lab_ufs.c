/* sim/lab_ufs.c - the trees of the model: names, attributes, and what each operation does to them
 * (contract: sim/lab_ufs.h and cluster/ufs.h). */
#include "sim/lab_ufs_impl.h"
#include "core/fmt.h"

#define UFS_HIDDEN ".tarn"

/* a fingerprint of a younger change is not given: as in ufs_dir */
static const int64_t UFS_YOUNG_NS = 20 * 1000 * 1000;

void *lab_ufs_alloc(struct lab_ufs *u, size_t n)
{
    void *p = mem_zalloc(u->mem, n);
    ASSERT(p != NULL);
    return p;
}

char *lab_ufs_text(struct lab_ufs *u, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    char *copy = lab_ufs_alloc(u, n + 1);
    if (n)
        memcpy(copy, s, n);
    return copy;
}

void lab_ufs_text_free(struct lab_ufs *u, char *s)
{
    if (s)
        mem_free(u->mem, s, strlen(s) + 1);
}

int64_t lab_ufs_clock(const struct lab_ufs *u)
{
    int64_t now = 1700000000LL * 1000000000 + sim_now_ns(u->sim);
    return now - now % u->cfg.granularity_ns;
}

static bool node_is(const struct lab_ufs_node *n, uint32_t type)
{
    return (n->mode & FSOP_S_IFMT) == type;
}

uint64_t lab_ufs_fp(const struct lab_ufs *u, const struct lab_ufs_node *n)
{
    if (n->ctime_ns > lab_ufs_clock(u) - UFS_YOUNG_NS)
        return 0;
    uint64_t f[4] = {n->ino, node_is(n, FSOP_S_IFDIR) ? 0 : n->size, (uint64_t)n->mtime_ns,
                     (uint64_t)n->ctime_ns};
    uint64_t h = base_hash(f, sizeof f, 1);
    return h ? h : 1;
}

static struct lab_ufs_node *node_new(struct lab_ufs *u, uint32_t mode, uint32_t uid, uint32_t gid)
{
    if (u->n_nodes == u->cap_nodes) {
        uint32_t cap = u->cap_nodes ? 2 * u->cap_nodes : 64;
        struct lab_ufs_node **more = lab_ufs_alloc(u, cap * sizeof *more);
        if (u->n_nodes)
            memcpy(more, u->nodes, u->n_nodes * sizeof *more);
        mem_free(u->mem, u->nodes, u->cap_nodes * sizeof *more);
        u->nodes = more;
        u->cap_nodes = cap;
    }
    struct lab_ufs_node *n = lab_ufs_alloc(u, sizeof *n);
    n->ino = u->n_nodes;
    u->nodes[u->n_nodes++] = n;
    n->mode = mode;
    n->uid = uid;
    n->gid = gid;
    n->atime_ns = n->mtime_ns = n->ctime_ns = lab_ufs_clock(u);
    return n;
}

static void node_changed(struct lab_ufs *u, struct lab_ufs_node *n, bool content)
{
    n->ctime_ns = lab_ufs_clock(u);
    if (content)
        n->mtime_ns = n->ctime_ns;
}

static void node_ent(const struct lab_ufs *u, const struct lab_ufs_node *n, struct fsent *ret_ent)
{
    bool is_dir = node_is(n, FSOP_S_IFDIR);
    *ret_ent = (struct fsent){
        .mode = n->mode,
        .nlink = is_dir ? 2 + n->subdirs : n->nlink,
        .uid = n->uid,
        .gid = n->gid,
        .rdev = n->rdev,
        .size = is_dir ? 4096 : n->size,
        .fp = lab_ufs_fp(u, n),
        .ufs_ino = n->ino,
        .atime_ns = n->atime_ns,
        .mtime_ns = n->mtime_ns,
        .ctime_ns = n->ctime_ns,
    };
}

/* ---- names ---- */

static struct lab_ufs_dent *dent_find(const struct lab_ufs_node *dir, const char *name, size_t n)
{
    uint32_t hash = (uint32_t)base_hash(name, n, 0);
    struct lab_ufs_dent *d = dir->first;
    while (d && (d->hash != hash || d->len != n || memcmp(d->name, name, n) != 0))
        d = d->next;
    return d;
}

struct lab_ufs_dent *lab_ufs_find(const struct lab_ufs_node *dir, const char *name)
{
    return dent_find(dir, name, strlen(name));
}

static void dent_add(struct lab_ufs *u, struct lab_ufs_node *dir, const char *name,
                     struct lab_ufs_node *n)
{
    struct lab_ufs_dent *d = lab_ufs_alloc(u, sizeof *d);
    d->len = (uint32_t)strlen(name);
    memcpy(d->name, name, d->len);
    d->hash = (uint32_t)base_hash(name, d->len, 0);
    d->id = ++u->next_dent;
    d->node = n;
    d->prev = dir->last;
    if (dir->last)
        dir->last->next = d;
    else
        dir->first = d;
    dir->last = d;
    n->nlink++;
    dir->subdirs += node_is(n, FSOP_S_IFDIR);
    node_changed(u, dir, true);
    node_changed(u, n, false);
}

static void dent_drop(struct lab_ufs *u, struct lab_ufs_node *dir, struct lab_ufs_dent *d)
{
    *(d->prev ? &d->prev->next : &dir->first) = d->next;
    *(d->next ? &d->next->prev : &dir->last) = d->prev;
    d->node->nlink--;
    dir->subdirs -= node_is(d->node, FSOP_S_IFDIR);
    node_changed(u, dir, true);
    node_changed(u, d->node, false);
    if (!d->node->nlink && node_is(d->node, FSOP_S_IFREG))
        u->used -= d->node->size;
    mem_free(u->mem, d, sizeof *d);
}

/* The directory that holds the last component; for "" the root itself and an empty name. */
int lab_ufs_resolve(const struct lab_ufs_node *root, const char *path,
                    struct lab_ufs_node **ret_dir, const char **ret_name)
{
    const struct lab_ufs_node *dir = root;
    if (strlen(path) >= LIMIT_BELOW)
        return E_NAMETOOLONG;
    for (const char *at = path;;) {
        const char *slash = strchr(at, '/');
        size_t n = slash ? (size_t)(slash - at) : strlen(at);
        if (n > LIMIT_NAME)
            return E_NAMETOOLONG;
        if ((n == 0 && (slash || at != path)) || (n == 1 && at[0] == '.') ||
            (n == 2 && at[0] == '.' && at[1] == '.'))
            return E_INVAL;
        if (!slash) {
            *ret_dir = (struct lab_ufs_node *)(uintptr_t)dir;
            *ret_name = at;
            return 0;
        }
        const struct lab_ufs_dent *d = dent_find(dir, at, n);
        if (!d)
            return E_NOENT;
        if (!node_is(d->node, FSOP_S_IFDIR))
            return node_is(d->node, FSOP_S_IFLNK) ? E_LOOP : E_NOTDIR;
        dir = d->node;
        at = slash + 1;
    }
}

/* what the path names, or an error */
static int node_at(struct lab_ufs_node *root, const char *path, struct lab_ufs_node **ret_n)
{
    struct lab_ufs_node *dir;
    const char *name;
    int err = lab_ufs_resolve(root, path, &dir, &name);
    if (err)
        return err;
    const struct lab_ufs_dent *d = *name ? lab_ufs_find(dir, name) : NULL;
    if (*name && !d)
        return E_NOENT;
    *ret_n = d ? d->node : dir;
    return 0;
}

static bool is_reserved(const char *path)
{
    return !strcmp(path, UFS_HIDDEN);
}

/* ---- operations ---- */

static int64_t op_stat(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *n;
    if (is_reserved(c->path))
        return E_NOENT;
    int err = node_at(c->root, c->path, &n);
    if (err)
        return err;
    node_ent(u, n, &c->ent);
    if (node_is(n, FSOP_S_IFLNK) && c->len) {
        if (n->size >= c->len)
            return E_RANGE;
        memcpy(c->buf, n->target, n->size);
        c->out_len = c->ent.target_len = (uint32_t)n->size;
    }
    return 0;
}

static int64_t op_list(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *n;
    if (is_reserved(c->path))
        return E_NOENT;
    int err = node_at(c->root, c->path, &n);
    if (err)
        return err;
    if (!node_is(n, FSOP_S_IFDIR))
        return E_NOTDIR;
    struct wbuf w = wbuf_make(c->buf, c->len);
    for (const struct lab_ufs_dent *d = n->first; d; d = d->next) {
        struct fsent e;
        if (d->id <= c->cursor || (n == c->root && is_reserved(d->name)))
            continue;
        node_ent(u, d->node, &e);
        e.name = d->name;
        e.name_len = d->len;
        if (node_is(d->node, FSOP_S_IFLNK)) {
            e.target = d->node->target;
            e.target_len = (uint32_t)d->node->size;
        }
        size_t before = w.len;
        fsop_ent_put(&w, &e);
        if (w.bad) {
            w.len = before;
            if (!before)
                return E_RANGE;
            break;
        }
        c->cursor = d->id;
    }
    c->out_len = (uint32_t)w.len;
    return (int64_t)w.len;
}

static int64_t op_look(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *n;
    int err = is_reserved(c->path) ? E_NOENT : node_at(c->root, c->path, &n);
    if (err)
        return err;
    if (!node_is(n, FSOP_S_IFDIR))
        return E_NOTDIR;
    node_ent(u, n, &c->ent);
    struct rbuf in = rbuf_make(c->names, c->names_len);
    struct wbuf w = wbuf_make(c->buf, c->len);
    while (rbuf_left(&in)) {
        struct fsent e = {0};
        size_t len, before = w.len;
        const char *name = rbuf_str16(&in, &len);
        const struct lab_ufs_dent *d = dent_find(n, name, len);
        if (d)
            node_ent(u, d->node, &e);
        if (d && node_is(d->node, FSOP_S_IFLNK)) {
            e.target = d->node->target;
            e.target_len = (uint32_t)d->node->size;
        }
        e.name = name;
        e.name_len = (uint32_t)len;
        fsop_ent_put(&w, &e);
        if (w.bad) {
            w.len = before;
            break;
        }
    }
    c->out_len = (uint32_t)w.len;
    return (int64_t)w.len;
}

/* the path leads to another file than the caller means */
static bool is_other(const struct lab_ufs_call *c, const struct lab_ufs_node *n)
{
    return c->expect_ino && c->expect_ino != n->ino;
}

static int64_t op_read(struct lab_ufs *u, struct lab_ufs_call *c)
{
    int err = 0;
    if (!c->half)
        err = node_at(c->root, c->path, &c->seen); /* the descriptor */
    if (err)
        return err;
    const struct lab_ufs_node *n = c->seen;
    if (is_other(c, n))
        return E_CHANGED;
    if (!node_is(n, FSOP_S_IFREG))
        return node_is(n, FSOP_S_IFDIR) ? E_ISDIR : E_INVAL;
    if (c->expect_fp && lab_ufs_fp(u, n) != c->expect_fp)
        return E_CHANGED;
    uint32_t from = c->half ? c->len / 2 : 0, to = c->half ? c->len : (c->len + 1) / 2;
    if (c->rest_ns == 0) /* looks once */
        to = c->len;
    uint32_t got = lab_ufs_data_len(n, n->n_changes, c->off + from, to - from);
    c->look[c->half] = n->n_changes;
    c->middle = c->half ? from : to;
    c->out_len = c->half && c->out_len < from ? c->out_len : from + got;
    /* as a network file system may: no error, and the fingerprint is as it was */
    bool cut = c->out_len && prng_chance_ppm(&u->prng, u->cfg.short_ppm);
    uint64_t left = cut ? prng_below(&u->prng, c->out_len) : 0;
    if (c->out_len && sim_chance_driver(u->sim, SIM_CHANCE_STORE_SHORT, c->by, cut, &left)) {
        c->out_len = (uint32_t)base_min_u64(left, c->out_len);
        u->stats.cut++;
    }
    u->stats.reads += !c->half;
    u->stats.read_bytes += got;
    return c->out_len;
}

static int64_t op_write(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *n;
    int err = node_at(c->root, c->path, &n);
    if (err)
        return err;
    if (is_other(c, n))
        return E_CHANGED;
    if (!node_is(n, FSOP_S_IFREG))
        return node_is(n, FSOP_S_IFDIR) ? E_ISDIR : E_INVAL;
    uint64_t size = base_max_u64(n->size, c->off + c->len);
    bool full = sim_now_ns(u->sim) < u->full_until_ns;
    if (full || (u->cfg.capacity && u->used + size - n->size > u->cfg.capacity))
        return E_NOSPC;
    lab_ufs_data_write(u, n, c->off, c->buf, c->len);
    c->buf = NULL;
    c->ino = n->ino;
    node_changed(u, n, true);
    u->stats.writes++;
    u->stats.written_bytes += c->len;
    return c->len;
}

/* does what is there look like the outcome of the same operation? */
static bool looks_made(const struct lab_ufs_node *n, const struct lab_ufs_call *c)
{
    uint32_t type = c->kind == UFS_MKDIR     ? FSOP_S_IFDIR
                    : c->kind == UFS_SYMLINK ? FSOP_S_IFLNK
                    : c->mode & FSOP_S_IFMT  ? c->mode & FSOP_S_IFMT
                                             : FSOP_S_IFREG;
    if (!node_is(n, type))
        return false;
    if (type == FSOP_S_IFLNK)
        return !strcmp(n->target, c->path2);
    return type != FSOP_S_IFREG || n->size == 0;
}

static int64_t op_make(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *dir, *n;
    const char *name;
    if (is_reserved(c->path))
        return E_PERM;
    int err = lab_ufs_resolve(c->root, c->path, &dir, &name);
    if (err)
        return err;
    if (!*name)
        return E_EXIST;
    const struct lab_ufs_dent *d = lab_ufs_find(dir, name);
    if (d && !((c->flags & UFS_F_RESUME) && looks_made(d->node, c)))
        return E_EXIST;
    if (!d && sim_now_ns(u->sim) < u->full_until_ns)
        return E_NOSPC;
    if (d) {
        n = d->node;
    } else {
        uint32_t type = c->mode & FSOP_S_IFMT ? c->mode & FSOP_S_IFMT : FSOP_S_IFREG;
        type = c->kind == UFS_MKDIR ? FSOP_S_IFDIR : c->kind == UFS_SYMLINK ? FSOP_S_IFLNK : type;
        n = node_new(u, type, c->uid, c->gid);
        n->rdev = c->rdev;
        if (type == FSOP_S_IFREG)
            lab_ufs_data_size(u, n, 0);
        if (type == FSOP_S_IFLNK) {
            n->target = lab_ufs_text(u, c->path2);
            n->size = strlen(n->target);
        }
        dent_add(u, dir, name, n);
    }
    n->uid = c->uid;
    n->gid = c->gid;
    n->mode = (n->mode & FSOP_S_IFMT) | (node_is(n, FSOP_S_IFLNK) ? 0777 : c->mode & 07777);
    node_changed(u, n, false);
    node_ent(u, n, &c->ent);
    return 0;
}

static int64_t op_link(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *n, *dir;
    const char *name;
    if (is_reserved(c->path2))
        return E_PERM;
    int err = node_at(c->root, c->path, &n);
    if (!err)
        err = lab_ufs_resolve(c->root, c->path2, &dir, &name);
    if (err)
        return err;
    if (node_is(n, FSOP_S_IFDIR))
        return E_PERM;
    const struct lab_ufs_dent *d = *name ? lab_ufs_find(dir, name) : NULL;
    if (!*name || (d && !((c->flags & UFS_F_RESUME) && d->node == n)))
        return E_EXIST;
    if (!d)
        dent_add(u, dir, name, n);
    node_ent(u, n, &c->ent);
    return 0;
}

/* the directory of a hidden name, made where missing */
static int hidden_dir(struct lab_ufs *u, struct lab_ufs_node *root, const char *hidden,
                      struct lab_ufs_node **ret_dir, const char **ret_name)
{
    if (!strncmp(hidden, UFS_HIDDEN "/", 6) && !lab_ufs_find(root, UFS_HIDDEN))
        dent_add(u, root, UFS_HIDDEN, node_new(u, FSOP_S_IFDIR | 0700, 0, 0));
    return lab_ufs_resolve(root, hidden, ret_dir, ret_name);
}

/* of a file that has lost a name */
static void node_left(const struct lab_ufs *u, const struct lab_ufs_node *n, struct fsent *ret_ent)
{
    if (n->nlink && node_is(n, FSOP_S_IFREG))
        node_ent(u, n, ret_ent);
}

static int64_t op_unlink(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *dir, *hdir;
    const char *name, *hname;
    int err = lab_ufs_resolve(c->root, c->path, &dir, &name);
    struct lab_ufs_dent *d = !err && *name ? lab_ufs_find(dir, name) : NULL;
    if (!err && !d)
        err = *name ? E_NOENT : E_ISDIR;
    if (!err && node_is(d->node, FSOP_S_IFDIR))
        err = E_ISDIR;
    if (!err && *c->hidden) {
        err = hidden_dir(u, c->root, c->hidden, &hdir, &hname);
        if (!err) {
            struct lab_ufs_dent *h = lab_ufs_find(hdir, hname);
            if (h && h->node != d->node && (c->flags & UFS_F_RESUME) &&
                h->node->ino == c->expect_ino)
                return 0; /* it was done, and the name is another's */
            if (h && h->node != d->node) {
                dent_drop(u, hdir, h);
                h = NULL;
            }
            if (!h)
                dent_add(u, hdir, hname, d->node);
        }
    }
    struct lab_ufs_node *n = err ? NULL : d->node;
    if (!err)
        dent_drop(u, dir, d);
    if (n && !*c->hidden)
        node_left(u, n, &c->ent);
    return err == E_NOENT && (c->flags & UFS_F_RESUME) ? 0 : err;
}

static int64_t op_rmdir(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *dir;
    const char *name;
    if (!*c->path || is_reserved(c->path))
        return E_BUSY;
    int err = lab_ufs_resolve(c->root, c->path, &dir, &name);
    struct lab_ufs_dent *d = err ? NULL : lab_ufs_find(dir, name);
    if (!err && !d)
        err = E_NOENT;
    if (!err && !node_is(d->node, FSOP_S_IFDIR))
        err = E_NOTDIR;
    if (!err && d->node->first)
        err = E_NOTEMPTY;
    if (!err)
        dent_drop(u, dir, d);
    return err == E_NOENT && (c->flags & UFS_F_RESUME) ? 0 : err;
}

/* what POSIX says about replacing `to` by `from` */
static int rename_may(const struct lab_ufs_node *from, const struct lab_ufs_node *to)
{
    bool is_dir = node_is(from, FSOP_S_IFDIR);
    if (is_dir != node_is(to, FSOP_S_IFDIR))
        return is_dir ? E_NOTDIR : E_ISDIR;
    return is_dir && to->first ? E_NOTEMPTY : 0;
}

static bool is_below(const struct lab_ufs_node *top, const struct lab_ufs_node *n)
{
    if (top == n)
        return true;
    for (const struct lab_ufs_dent *d = top->first; d; d = d->next)
        if (node_is(d->node, FSOP_S_IFDIR) && is_below(d->node, n))
            return true;
    return false;
}

/* two names, in directories that exist, change places */
static int64_t op_exchange(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *dir, *dir2;
    const char *name, *name2;
    int err = lab_ufs_resolve(c->root, c->path, &dir, &name);
    if (!err)
        err = lab_ufs_resolve(c->root, c->path2, &dir2, &name2);
    if (err)
        return err;
    struct lab_ufs_dent *d = lab_ufs_find(dir, name), *d2 = lab_ufs_find(dir2, name2);
    if (!d || !d2)
        return E_NOENT;
    struct lab_ufs_node *a = d->node, *b = d2->node;
    bool before = a->ino == c->expect_ino && b->ino == c->expect_ino2;
    bool after = a->ino == c->expect_ino2 || b->ino == c->expect_ino;
    if (before) {
        if ((node_is(a, FSOP_S_IFDIR) && is_below(a, dir2)) ||
            (node_is(b, FSOP_S_IFDIR) && is_below(b, dir)))
            return E_INVAL;
        d->node = b;
        d2->node = a;
        dir->subdirs += node_is(b, FSOP_S_IFDIR) - node_is(a, FSOP_S_IFDIR);
        dir2->subdirs += node_is(a, FSOP_S_IFDIR) - node_is(b, FSOP_S_IFDIR);
        node_changed(u, dir, true);
        node_changed(u, dir2, true);
        node_changed(u, a, false);
        node_changed(u, b, false);
    } else if (!after || !(c->flags & UFS_F_RESUME)) {
        return E_CHANGED;
    }
    node_ent(u, d2->node, &c->ent);
    node_ent(u, d->node, &c->ent2);
    return 0;
}

static int64_t op_rename(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *dir, *dir2, *hdir;
    const char *name, *name2, *hname;
    if (is_reserved(c->path) || is_reserved(c->path2))
        return E_PERM;
    int err = lab_ufs_resolve(c->root, c->path, &dir, &name);
    int err2 = lab_ufs_resolve(c->root, c->path2, &dir2, &name2);
    struct lab_ufs_dent *d = err ? NULL : lab_ufs_find(dir, name);
    struct lab_ufs_dent *d2 = err2 ? NULL : lab_ufs_find(dir2, name2);
    if (!d && d2 && (c->flags & UFS_F_RESUME)) {
        node_ent(u, d2->node, &c->ent);
        return 0;
    }
    if (err || err2)
        return err ? err : err2;
    if (!d)
        return E_NOENT;
    struct lab_ufs_node *n = d->node;
    if (node_is(n, FSOP_S_IFDIR) && is_below(n, dir2))
        return E_INVAL;
    if (d2 && d2->node == n) { /* two names of one file: nothing happens */
        node_ent(u, n, &c->ent);
        return 0;
    }
    struct lab_ufs_node *old = d2 ? d2->node : NULL;
    if (d2) {
        err = rename_may(n, d2->node);
        if (!err && *c->hidden && !node_is(d2->node, FSOP_S_IFDIR)) {
            err = hidden_dir(u, c->root, c->hidden, &hdir, &hname);
            struct lab_ufs_dent *h = err ? NULL : lab_ufs_find(hdir, hname);
            if (h && h->node != d2->node && d2->node->ino == c->expect_ino2) {
                dent_drop(u, hdir, h); /* of a history that was lost */
                h = NULL;
            }
            if (!err && !h)
                dent_add(u, hdir, hname, d2->node);
        }
        if (err)
            return err;
        dent_drop(u, dir2, d2);
    }
    dent_add(u, dir2, name2, n); /* first: a file without a name is gone */
    dent_drop(u, dir, d);
    node_ent(u, n, &c->ent);
    if (old && !*c->hidden)
        node_left(u, old, &c->ent2);
    return 0;
}

static int64_t op_setattr(struct lab_ufs *u, struct lab_ufs_call *c)
{
    struct lab_ufs_node *n;
    int err = node_at(c->root, c->path, &n);
    if (err)
        return err;
    if (c->valid & FSOP_SET_SIZE) {
        if (!node_is(n, FSOP_S_IFREG))
            return node_is(n, FSOP_S_IFDIR) ? E_ISDIR : E_INVAL;
        lab_ufs_data_size(u, n, c->size);
        node_changed(u, n, true);
    }
    if (c->valid & FSOP_SET_UID)
        n->uid = c->uid;
    if (c->valid & FSOP_SET_GID)
        n->gid = c->gid;
    if (c->valid & FSOP_SET_MODE)
        n->mode = (n->mode & FSOP_S_IFMT) | (c->mode & 07777);
    if (c->valid & FSOP_SET_ATIME)
        n->atime_ns = c->atime_ns;
    if (c->valid & FSOP_SET_MTIME) {
        n->mtime_ns = c->mtime_ns;
        n->touched_ns = sim_now_ns(u->sim);
    }
    node_changed(u, n, false);
    node_ent(u, n, &c->ent);
    return 0;
}

int64_t lab_ufs_perform(struct lab_ufs *u, struct lab_ufs_call *c)
{
    switch (c->kind) {
    case UFS_STAT:
        return op_stat(u, c);
    case UFS_LIST:
        return op_list(u, c);
    case UFS_LIST_END:
        c->cursor = 0;
        return 0;
    case UFS_NAMES:
    case UFS_ALLOC:
        return E_NOTSUP;
    case UFS_LOOK:
        return op_look(u, c);
    case UFS_READ:
        return op_read(u, c);
    case UFS_WRITE:
        return op_write(u, c);
    case UFS_SYNC: {
        struct lab_ufs_node *n;
        int err = node_at(c->root, c->path, &n);
        return err ? err : is_other(c, n) ? E_CHANGED : 0;
    }
    case UFS_CREATE:
    case UFS_MKDIR:
    case UFS_SYMLINK:
        return op_make(u, c);
    case UFS_LINK:
        return op_link(u, c);
    case UFS_UNLINK:
        return op_unlink(u, c);
    case UFS_RMDIR:
        return op_rmdir(u, c);
    case UFS_RENAME:
        return c->flags & UFS_F_EXCHANGE ? op_exchange(u, c) : op_rename(u, c);
    case UFS_SETATTR:
        return op_setattr(u, c);
    case UFS_STATFS:
        c->statfs = (struct fsop_statfs){.bytes = (uint64_t)1 << 40,
                                         .bytes_free = ((uint64_t)1 << 40) - u->used,
                                         .files = 1 << 20,
                                         .files_free = (1 << 20) - u->n_nodes,
                                         .name_max = LIMIT_NAME,
                                         .block = 4096};
        return 0;
    }
    return E_NOTSUP;
}

/* ---- from outside the cluster ---- */

struct lab_ufs_config lab_ufs_config_default(uint64_t seed)
{
    return (struct lab_ufs_config){.seed = seed,
                                   .latency_min_ns = 200 * 1000,
                                   .latency_mean_ns = 600 * 1000,
                                   .granularity_ns = 4 * 1000 * 1000};
}

struct lab_ufs *lab_ufs_open(struct mem *m, struct sim *s, const struct lab_ufs_config *cfg)
{
    struct lab_ufs *u = mem_zalloc(m, sizeof *u);
    ASSERT(u != NULL);
    u->mem = m;
    u->sim = s;
    u->cfg = *cfg;
    u->factory.open = lab_ufs_run_open;
    prng_seed(&u->prng, cfg->seed, "lab_ufs", 0);
    list_init(&u->calls);
    node_new(u, FSOP_S_IFDIR | 0755, 0, 0);
    return u;
}

struct ufs_factory *lab_ufs_factory(struct lab_ufs *u)
{
    return &u->factory;
}

const struct lab_ufs_stats *lab_ufs_stats(const struct lab_ufs *u)
{
    return &u->stats;
}

int lab_ufs_mkdir(struct lab_ufs *u, const char *path)
{
    struct lab_ufs_node *dir;
    const char *name;
    int err = lab_ufs_resolve(u->nodes[0], path, &dir, &name);
    if (!err && lab_ufs_find(dir, name))
        err = E_EXIST;
    if (!err)
        dent_add(u, dir, name, node_new(u, FSOP_S_IFDIR | 0755, 0, 0));
    return err;
}

int lab_ufs_file(struct lab_ufs *u, const char *path, uint64_t size)
{
    struct lab_ufs_node *dir;
    const char *name;
    int err = lab_ufs_resolve(u->nodes[0], path, &dir, &name);
    if (err)
        return err;
    struct lab_ufs_dent *d = lab_ufs_find(dir, name);
    if (d && !node_is(d->node, FSOP_S_IFREG))
        return E_EXIST;
    struct lab_ufs_node *n = node_new(u, FSOP_S_IFREG | 0644, 0, 0);
    lab_ufs_data_seed(u, n, size, true);
    if (d) {
        d->node->is_displaced = true;
        dent_drop(u, dir, d);
    }
    dent_add(u, dir, name, n);
    u->stats.behind++;
    return 0;
}

int lab_ufs_rewrite(struct lab_ufs *u, const char *path, uint64_t size)
{
    struct lab_ufs_node *n;
    int err = node_at(u->nodes[0], path, &n);
    if (!err && !node_is(n, FSOP_S_IFREG))
        err = E_INVAL;
    if (err)
        return err;
    lab_ufs_data_seed(u, n, size, true);
    node_changed(u, n, true);
    u->stats.behind++;
    return 0;
}

int lab_ufs_remove(struct lab_ufs *u, const char *path)
{
    struct lab_ufs_node *dir;
    const char *name;
    int err = lab_ufs_resolve(u->nodes[0], path, &dir, &name);
    struct lab_ufs_dent *d = err ? NULL : lab_ufs_find(dir, name);
    if (!err && !d)
        err = E_NOENT;
    if (!err && d->node->first)
        err = E_NOTEMPTY;
    if (!err) {
        d->node->is_displaced = true;
        dent_drop(u, dir, d);
    }
    u->stats.behind += !err;
    return err;
}

bool lab_ufs_is_displaced(const struct lab_ufs *u, uint64_t ino)
{
    const struct lab_ufs_node *n = ino < u->n_nodes ? u->nodes[ino] : NULL;
    return !n || n->is_displaced; /* of one that was forgotten nothing is said */
}

void lab_ufs_outage(struct lab_ufs *u, int64_t until_ns)
{
    u->outage_until_ns = until_ns;
}

void lab_ufs_full(struct lab_ufs *u, int64_t until_ns)
{
    u->full_until_ns = until_ns;
}

void lab_ufs_eio(struct lab_ufs *u, uint32_t ppm)
{
    u->cfg.eio_ppm = ppm;
}

void lab_ufs_short(struct lab_ufs *u, uint32_t ppm)
{
    u->cfg.short_ppm = ppm;
}

int lab_ufs_look(const struct lab_ufs *u, const char *path, struct fsent *ret_ent, char *target)
{
    struct lab_ufs_node *n;
    int err = node_at(u->nodes[0], path, &n);
    if (err)
        return err;
    node_ent(u, n, ret_ent);
    if (target && n->target)
        memcpy(target, n->target, n->size + 1);
    return 0;
}

const char *lab_ufs_name(const struct lab_ufs *u, const char *path, uint32_t i)
{
    struct lab_ufs_node *n;
    if (node_at(u->nodes[0], path, &n) || !node_is(n, FSOP_S_IFDIR))
        return NULL;
    const struct lab_ufs_dent *d = n->first;
    while (d && i--)
        d = d->next;
    return d ? d->name : NULL;
}

bool lab_ufs_check(const struct lab_ufs *u, char *err_text, size_t cap)
{
    for (uint32_t i = 0; i < u->n_nodes; i++) {
        const struct lab_ufs_node *n = u->nodes[i];
        uint32_t subdirs = 0;
        if (!n) /* forgotten */
            continue;
        for (const struct lab_ufs_dent *d = n->first; d; d = d->next)
            subdirs += node_is(d->node, FSOP_S_IFDIR);
        if (subdirs != n->subdirs ||
            (n->n_changes && lab_ufs_data_change(n, n->n_changes - 1)->size != n->size)) {
            fmt_into(err_text, cap, "under-store inode %u: %u subdirectories counted as %u", i,
                     subdirs, n->subdirs);
            return false;
        }
    }
    return true;
}
