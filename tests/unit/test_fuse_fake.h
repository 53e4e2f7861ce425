/* tests/unit/test_fuse_fake.h - cluster/client.h over a small tree in memory: the linker takes
 * these functions instead of the library's.  It can fall silent (nothing is answered before its
 * deadline), call a file LIVE, and choose the lease of its answers. */
#ifndef TESTS_UNIT_TEST_FUSE_FAKE_H
#define TESTS_UNIT_TEST_FUSE_FAKE_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "cluster/client.h"

#define MS INT64_C(1000000)

enum { FAKE_NODES = 8192 };

struct fake_node {
    struct fsattr a;
    char *data; /* content, or a link's target */
    char *xattr_name, *xattr_value;
    size_t xattr_len;
};

struct fake_name {
    struct ino parent, ino;
    char name[LIMIT_NAME + 1];
};

struct client_file {
    struct ino ino;
    struct fsattr pinned;
    struct list link;
};

static struct client {
    struct env *env;
    struct client_host *host;
    int64_t deadline_ns;
    struct fake_node nodes[FAKE_NODES];
    struct fake_name names[FAKE_NODES]; /* ino.v 0: free.  Its index + 1 is its cookie */
    uint32_t n_nodes, n_names;
    struct list held; /* ops that wait for a deadline */
    struct list files;
    struct env_timer tick;
    _Atomic bool is_silent; /* no answer until the deadline */
    _Atomic bool is_live;
    _Atomic uint64_t lease_ns;
    _Atomic uint64_t seen[128];
    _Atomic uint64_t names_only; /* READDIRs that wanted no attributes */
    _Atomic int below;           /* 1, 2: these have cookies of their own; 1: and another order */
    _Atomic uint64_t neighbours; /* LOOKUPs that said that others follow */
    _Atomic int files_open;
    _Atomic uint64_t reads;
    _Atomic uint32_t uid, gid;
} fake;

static struct fake_node *fake_node(struct ino ino)
{
    return ino.v && ino.v <= fake.n_nodes ? &fake.nodes[ino.v - 1] : NULL;
}

static struct fake_name *fake_find(struct ino parent, const char *name, uint32_t n)
{
    for (uint32_t i = 0; i < fake.n_names; i++)
        if (fake.names[i].ino.v && fake.names[i].parent.v == parent.v &&
            strlen(fake.names[i].name) == n && !memcmp(fake.names[i].name, name, n))
            return &fake.names[i];
    return NULL;
}

static struct fake_node *fake_new(uint32_t mode)
{
    struct fake_node *n = &fake.nodes[fake.n_nodes++];
    memset(n, 0, sizeof *n);
    n->a.ino.v = fake.n_nodes;
    n->a.mode = mode;
    n->a.nlink = 1;
    n->a.version = 1;
    n->a.mtime_ns = n->a.ctime_ns = n->a.atime_ns = 1700000000 * INT64_C(1000000000) + 123456789;
    return n;
}

static void fake_link(struct ino parent, const char *name, uint32_t len, struct ino ino)
{
    struct fake_name *n = &fake.names[fake.n_names++];
    n->parent = parent;
    n->ino = ino;
    memcpy(n->name, name, len);
    n->name[len] = '\0';
}

static void fake_resize(struct fake_node *n, uint64_t size)
{
    n->data = realloc(n->data, size + 1);
    if (size > n->a.size)
        memset(n->data + n->a.size, 0, size - n->a.size);
    n->a.size = size;
    n->a.version++;
}

static struct ino fake_file(struct ino parent, const char *name, uint64_t size)
{
    struct fake_node *n = fake_new(FSOP_S_IFREG | 0644);
    fake_resize(n, size);
    for (uint64_t i = 0; i < size; i++)
        n->data[i] = (char)(i * 31 + i / 4096);
    fake_link(parent, name, (uint32_t)strlen(name), n->a.ino);
    return n->a.ino;
}

static void fake_tick(struct env_op *op)
{
    (void)op;
    int64_t now = env_now_ns(fake.env);
    list_each_safe(l, &fake.held) {
        struct env_op *held = list_entry(l, struct env_op, link);
        if ((int64_t)held->impl[0] > now && fake.is_silent)
            continue;
        list_remove(&held->link);
        held->ret = E_TIMEOUT;
        env_post(fake.env, held);
    }
    env_timer_set(fake.env, &fake.tick, now + 20 * MS);
}

/* done now, or, when silent, at the deadline with E_TIMEOUT; true: the caller sets ret and posts */
static bool fake_answers(struct env_op *op, int64_t deadline_ns)
{
    if (!fake.is_silent)
        return true;
    op->impl[0] = (uint64_t)(deadline_ns ? deadline_ns : env_now_ns(fake.env) + fake.deadline_ns);
    list_push_back(&fake.held, &op->link);
    return false;
}

int client_open(struct env *e, struct mem *m, const struct client_config *cfg,
                struct client_host *host, struct client **ret_c)
{
    (void)m;
    fake.env = e;
    fake.host = host;
    fake.deadline_ns = cfg->deadline_ns;
    list_init(&fake.held);
    list_init(&fake.files);
    fake.tick.op.done = fake_tick;
    env_timer_set(e, &fake.tick, env_now_ns(e) + 20 * MS);
    *ret_c = &fake;
    return 0;
}

void client_stop(struct client *c, struct env_op *op)
{
    (void)c;
    env_timer_stop(fake.env, &fake.tick);
    struct list *l;
    while ((l = list_pop(&fake.held))) {
        struct env_op *held = list_entry(l, struct env_op, link);
        held->ret = E_CANCELLED;
        env_post(fake.env, held);
    }
    while ((l = list_pop(&fake.files))) /* those that the kernel could not release any more */
        free(list_entry(l, struct client_file, link));
    env_post(fake.env, op);
}

static int fake_make(struct client_req *r, uint32_t mode)
{
    struct fsop *op = &r->fsop;
    if (fake_find(op->ino, op->name, op->name_len))
        return E_EXIST;
    struct fake_node *n = fake_new(mode);
    n->a.uid = op->uid;
    n->a.gid = op->gid;
    n->a.rdev = op->rdev;
    if (op->data_len) {
        fake_resize(n, op->data_len);
        memcpy(n->data, op->data, op->data_len);
    }
    fake_link(op->ino, op->name, op->name_len, n->a.ino);
    r->reply.attr = n->a;
    return 0;
}

static int fake_remove(const struct fsop *op, bool is_dir)
{
    struct fake_name *n = fake_find(op->ino, op->name, op->name_len);
    if (!n)
        return E_NOENT;
    for (uint32_t i = 0; is_dir && i < fake.n_names; i++)
        if (fake.names[i].ino.v && fake.names[i].parent.v == n->ino.v)
            return E_NOTEMPTY;
    fake_node(n->ino)->a.nlink--;
    n->ino.v = 0;
    return 0;
}

static int fake_rename(const struct fsop *op)
{
    struct fake_name *from = fake_find(op->ino, op->name, op->name_len);
    struct fake_name *to = fake_find(op->ino2, op->name2, op->name2_len);
    if (!from)
        return E_NOENT;
    if (op->flags & FSOP_F_EXCHANGE) {
        if (!to)
            return E_NOENT;
        struct ino t = from->ino;
        from->ino = to->ino;
        to->ino = t;
        return 0;
    }
    if (to && op->flags & FSOP_F_NOREPLACE)
        return E_EXIST;
    if (to)
        to->ino.v = 0;
    fake_link(op->ino2, op->name2, op->name2_len, from->ino);
    from->ino.v = 0;
    return 0;
}

static int fake_setattr(struct client_req *r, struct fake_node *n)
{
    const struct fsop *op = &r->fsop;
    if (op->uid && op->uid != n->a.uid)
        return E_PERM;
    if (op->valid & FSOP_SET_MODE)
        n->a.mode = (n->a.mode & FSOP_S_IFMT) | op->mode;
    if (op->valid & FSOP_SET_UID)
        n->a.uid = op->set_uid;
    if (op->valid & FSOP_SET_GID)
        n->a.gid = op->set_gid;
    if (op->valid & FSOP_SET_SIZE)
        fake_resize(n, op->size);
    if (op->valid & FSOP_SET_MTIME)
        n->a.mtime_ns = op->mtime_ns;
    r->reply.attr = n->a;
    return 0;
}

static int fake_readdir(struct client_req *r)
{
    static char buf[LIMIT_BATCH];
    struct wbuf w = wbuf_make(buf, r->fsop.size < 700 ? r->fsop.size : 700); /* many batches */
    uint64_t below = r->fsop.arg & FSOP_COOKIE_BELOW;
    if (fake.below && r->fsop.mode == 1 && !r->fsop.arg)
        below = FSOP_COOKIE_BELOW;
    uint32_t i = (uint32_t)(r->fsop.arg & ~FSOP_COOKIE_BELOW);
    for (; i < fake.n_names; i++) {
        struct fake_name *n = &fake.names[below && fake.below == 1 ? fake.n_names - 1 - i : i];
        if (!n->ino.v || n->parent.v != r->fsop.ino.v)
            continue;
        struct fsop_dirent d = {.cookie = below | (i + 1),
                                .attr = fake_node(n->ino)->a,
                                .name = n->name,
                                .name_len = (uint32_t)strlen(n->name)};
        if (below)
            d.attr = (struct fsattr){
                .ino = {12345}, .mode = d.attr.mode & FSOP_S_IFMT, .flags = FSATTR_BARE};
        size_t before = w.len;
        fsop_dirent_put(&w, &d);
        if (w.bad) {
            w.len = before;
            break;
        }
    }
    r->reply.data = buf;
    r->reply.data_len = (uint32_t)w.len;
    r->reply.flags = i == fake.n_names ? FSOP_R_EOF : 0;
    return 0;
}

static int fake_xattr(struct client_req *r, struct fake_node *n)
{
    struct fsop *op = &r->fsop;
    bool is_it = n->xattr_name && strlen(n->xattr_name) == op->name_len &&
                 !memcmp(n->xattr_name, op->name, op->name_len);
    switch (op->kind) {
    case FSOP_SETXATTR:
        free(n->xattr_name);
        free(n->xattr_value);
        n->xattr_name = strndup(op->name, op->name_len);
        n->xattr_value = malloc(op->data_len + 1);
        memcpy(n->xattr_value, op->data, op->data_len);
        n->xattr_len = op->data_len;
        return 0;
    case FSOP_GETXATTR:
        r->reply.data = n->xattr_value;
        r->reply.data_len = (uint32_t)n->xattr_len;
        return is_it ? 0 : E_NODATA;
    case FSOP_LISTXATTR:
        r->reply.data = n->xattr_name;
        r->reply.data_len = n->xattr_name ? (uint32_t)strlen(n->xattr_name) + 1 : 0;
        return 0;
    default:
        if (!is_it)
            return E_NODATA;
        free(n->xattr_name);
        free(n->xattr_value);
        n->xattr_name = n->xattr_value = NULL;
        return 0;
    }
}

static int fake_open(struct client_req *r, struct fake_node *n)
{
    if (r->fsop.flags & FSOP_F_TRUNC)
        fake_resize(n, 0);
    r->file = calloc(1, sizeof *r->file);
    r->file->ino = n->a.ino;
    r->file->pinned = n->a;
    list_push_back(&fake.files, &r->file->link);
    r->reply.attr = n->a;
    fake.files_open++;
    return 0;
}

static int fake_fs(struct client_req *r)
{
    struct fsop *op = &r->fsop;
    struct fake_node *n = fake_node(op->ino);
    struct fake_name *name = NULL;
    static uint8_t statfs[256];
    if (!n)
        return E_NOENT;
    switch (op->kind) {
    case FSOP_LOOKUP:
        name = fake_find(op->ino, op->name, op->name_len);
        if (!name)
            return E_NOENT;
        r->reply.attr = fake_node(name->ino)->a;
        return 0;
    case FSOP_GETATTR:
        r->reply.attr = n->a;
        return 0;
    case FSOP_SETATTR:
        return fake_setattr(r, n);
    case FSOP_MKNOD:
        return fake_make(r, op->mode);
    case FSOP_MKDIR:
        return fake_make(r, FSOP_S_IFDIR | op->mode);
    case FSOP_SYMLINK:
        return fake_make(r, FSOP_S_IFLNK | 0777);
    case FSOP_LINK:
        fake_link(op->ino2, op->name, op->name_len, op->ino);
        n->a.nlink++;
        r->reply.attr = n->a;
        return 0;
    case FSOP_UNLINK:
        return fake_remove(op, false);
    case FSOP_RMDIR:
        return fake_remove(op, true);
    case FSOP_RENAME:
        return fake_rename(op);
    case FSOP_READDIR:
        return fake_readdir(r);
    case FSOP_READLINK:
        r->reply.data = n->data;
        r->reply.data_len = (uint32_t)n->a.size;
        return 0;
    case FSOP_SETXATTR:
    case FSOP_GETXATTR:
    case FSOP_LISTXATTR:
    case FSOP_REMOVEXATTR:
        return fake_xattr(r, n);
    case FSOP_STATFS: {
        struct wbuf w = wbuf_make(statfs, sizeof statfs);
        fsop_statfs_put(&w, &(struct fsop_statfs){1 << 30, 1 << 29, 1000, 900, 255, 4096});
        r->reply.data = statfs;
        r->reply.data_len = (uint32_t)w.len;
        return 0;
    }
    case FSOP_OPEN:
        return fake_open(r, n);
    default:
        return E_NOTSUP;
    }
}

void client_fs(struct client *c, struct client_req *r)
{
    (void)c;
    fake.seen[r->fsop.kind]++;
    fake.names_only += r->fsop.kind == FSOP_READDIR && r->fsop.mode == 1;
    fake.neighbours += r->fsop.kind == FSOP_LOOKUP && r->fsop.mode == 1;
    fake.uid = r->fsop.uid;
    fake.gid = r->fsop.gid;
    if (!fake_answers(&r->op, r->deadline_ns))
        return;
    r->op.ret = r->reply.err = fake_fs(r);
    r->reply.lease_ns = fake.lease_ns;
    r->reply.index = 1; /* nothing comes from a cache here */
    env_post(fake.env, &r->op);
}

void client_read(struct client *c, struct client_io *io)
{
    (void)c;
    fake.reads++;
    if (!fake_answers(&io->op, io->deadline_ns))
        return;
    struct fake_node *n = fake_node(io->file->ino);
    uint64_t left = io->off < n->a.size ? n->a.size - io->off : 0;
    io->op.ret = (int64_t)(left < io->len ? left : io->len);
    memcpy(io->buf, n->data + io->off, (size_t)io->op.ret);
    env_post(fake.env, &io->op);
}

void client_give_back(struct client *c, struct client_io *io)
{
    (void)c, (void)io;
    ASSERT(!"nothing was lent");
}

void client_write(struct client *c, struct client_io *io)
{
    (void)c;
    if (!fake_answers(&io->op, io->deadline_ns))
        return;
    struct fake_node *n = fake_node(io->file->ino);
    if (io->off + io->len > n->a.size)
        fake_resize(n, io->off + io->len);
    memcpy(n->data + io->off, io->buf, io->len);
    n->a.version++;
    io->op.ret = io->len;
    env_post(fake.env, &io->op);
}

/* it ends at its deadline, as everything here that is not answered */
void client_give_up(struct client *c, struct client_io *io)
{
    (void)c, (void)io;
}

void client_fsync(struct client *c, struct client_io *io)
{
    (void)c;
    if (fake_answers(&io->op, io->deadline_ns))
        env_post(fake.env, &io->op);
}

void client_alloc(struct client *c, struct client_io *io)
{
    (void)c;
    if (fake_answers(&io->op, io->deadline_ns))
        env_post(fake.env, &io->op);
}

void client_release(struct client *c, struct client_io *io)
{
    (void)c;
    list_remove(&io->file->link);
    free(io->file);
    fake.files_open--;
    env_post(fake.env, &io->op);
}

struct fsattr client_file_attr(const struct client_file *f)
{
    return f->pinned;
}

void client_file_pin(struct client_file *f)
{
    (void)f;
}

void client_local_ask(struct client *c, struct client_local *l)
{
    l->op.ret = E_NOTSUP; /* tests/e2e/test_passthrough.sh has workers */
    env_post(c->env, &l->op);
}

void client_local_return(struct client *c, struct client_local *l)
{
    l->op.ret = 0;
    env_post(c->env, &l->op);
}

bool client_file_is_live(const struct client_file *f)
{
    (void)f;
    return fake.is_live;
}

#endif
