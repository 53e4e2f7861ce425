/* bench/memfs_main.c - the yardstick: the plainest multi-threaded in-memory file system that
 * libfuse can serve.  `tarn bench fuse` measures a tarn mount beside it, in the same run.
 *
 * One preset flat directory: --files N files f000000, f000001, ... of --size S bytes each.
 *
 * INVARIANTS
 *  1. Nothing clever: no cache of its own, no splice, replies by plain writev.  What it reaches is
 *     what the kernel and libfuse allow; a difference to tarn is tarn's doing.
 *  2. Preset files share one pattern of S bytes until they are written; the pattern never changes.
 *  3. The table and every node are guarded by one read-write lock.
 *
 * With --peer it is another yardstick: each read asks a second process for the bytes, by a question
 * of 64 bytes and an answer of as many as are read, over TCP on loopback, blocking, one connection
 * a thread.  No file system whose bytes are in another process can do with less.  Preset files
 * only. */
#define FUSE_USE_VERSION 314
#include <arpa/inet.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MEMFS_NAME = 64, MEMFS_EXTRA = 1 << 20, MEMFS_HASH = 1 << 18, MEMFS_ASK = 64 };

struct memfs_node {
    char name[MEMFS_NAME]; /* "" when free */
    char *data;            /* NULL: the shared pattern */
    size_t size, cap;
    unsigned next; /* in the hash chain; index + 1 */
    struct timespec mtime;
};

static struct {
    pthread_rwlock_t lock;
    struct memfs_node *nodes;
    size_t n_nodes, n_preset, size, n_used;
    unsigned buckets[MEMFS_HASH];
    char *pattern;
    double timeout_s;
    bool direct_io, keep_cache;
    int ready_fd;
    in_port_t peer_port; /* of the process that has the bytes; 0: they are here */
    struct timespec start;
} fs;

static _Thread_local int peer_fd = -1;
static _Thread_local char *peer_buf;

static unsigned memfs_hash(const char *name)
{
    unsigned h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h % MEMFS_HASH;
}

/* index of the node, or -1 */
static long memfs_find(const char *name)
{
    for (unsigned i = fs.buckets[memfs_hash(name)]; i; i = fs.nodes[i - 1].next)
        if (!strcmp(fs.nodes[i - 1].name, name))
            return (long)i - 1;
    return -1;
}

static void memfs_link(size_t i, const char *name)
{
    unsigned h = memfs_hash(name);
    snprintf(fs.nodes[i].name, MEMFS_NAME, "%s", name);
    fs.nodes[i].next = fs.buckets[h];
    fs.buckets[h] = (unsigned)i + 1;
}

static void memfs_unlink_name(size_t i)
{
    unsigned *at = &fs.buckets[memfs_hash(fs.nodes[i].name)];
    while (*at != i + 1)
        at = &fs.nodes[*at - 1].next;
    *at = fs.nodes[i].next;
    fs.nodes[i].name[0] = '\0';
}

/* inode 1 is the directory, node i is inode i + 2 */
static void memfs_stat(fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = ino;
    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_nlink = ino == 1 ? 2 : 1;
    st->st_mode = ino == 1 ? S_IFDIR | 0755 : S_IFREG | 0644;
    st->st_blksize = 4096;
    st->st_mtim = st->st_ctim = st->st_atim = fs.start;
    if (ino != 1) {
        const struct memfs_node *n = &fs.nodes[ino - 2];
        st->st_size = (off_t)n->size;
        st->st_blocks = (blkcnt_t)((n->size + 511) / 512);
        st->st_mtim = n->mtime;
    }
}

static struct fuse_entry_param memfs_entry(fuse_ino_t ino)
{
    struct fuse_entry_param e = {
        .ino = ino, .attr_timeout = fs.timeout_s, .entry_timeout = fs.timeout_s};
    memfs_stat(ino, &e.attr);
    return e;
}

static void memfs_init(void *ctx, struct fuse_conn_info *conn)
{
    (void)ctx;
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_AUTO_INVAL_DATA);
    if (fs.ready_fd >= 0 && write(fs.ready_fd, "ready", 5) == 5)
        close(fs.ready_fd);
}

static void memfs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    pthread_rwlock_rdlock(&fs.lock);
    long i = parent == 1 ? memfs_find(name) : -1;
    struct fuse_entry_param e = {0};
    if (i >= 0)
        e = memfs_entry((fuse_ino_t)i + 2);
    pthread_rwlock_unlock(&fs.lock);
    if (i < 0)
        fuse_reply_err(req, ENOENT);
    else
        fuse_reply_entry(req, &e);
}

static void memfs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct stat st;
    pthread_rwlock_rdlock(&fs.lock);
    memfs_stat(ino, &st);
    pthread_rwlock_unlock(&fs.lock);
    fuse_reply_attr(req, &st, fs.timeout_s);
}

/* makes room for n bytes of its own; false when memory is out */
static bool memfs_own(struct memfs_node *n, size_t want)
{
    if (n->data && want <= n->cap)
        return true;
    size_t cap = n->cap * 2 > want ? n->cap * 2 : want;
    char *p = realloc(n->data, cap ? cap : 1);
    if (!p)
        return false;
    if (!n->data && n->size)
        memcpy(p, fs.pattern, n->size < cap ? n->size : cap);
    n->data = p;
    n->cap = cap;
    return true;
}

static void memfs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int valid,
                          struct fuse_file_info *fi)
{
    int err = 0;
    pthread_rwlock_wrlock(&fs.lock);
    if (ino != 1 && (valid & FUSE_SET_ATTR_SIZE)) {
        struct memfs_node *n = &fs.nodes[ino - 2];
        size_t size = (size_t)st->st_size;
        if (memfs_own(n, size)) {
            if (size > n->size)
                memset(n->data + n->size, 0, size - n->size);
            n->size = size;
        } else {
            err = ENOSPC;
        }
    }
    pthread_rwlock_unlock(&fs.lock);
    if (err)
        fuse_reply_err(req, err);
    else
        memfs_getattr(req, ino, fi);
}

static void memfs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (fi->flags & O_TRUNC) {
        pthread_rwlock_wrlock(&fs.lock);
        if (memfs_own(&fs.nodes[ino - 2], 0))
            fs.nodes[ino - 2].size = 0;
        pthread_rwlock_unlock(&fs.lock);
    }
    fi->direct_io = fs.direct_io;
    fi->keep_cache = fs.keep_cache;
    fi->noflush = 1;
    fuse_reply_open(req, fi);
}

static void memfs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                         struct fuse_file_info *fi)
{
    (void)parent, (void)mode;
    int err = 0;
    struct fuse_entry_param e = {0};
    pthread_rwlock_wrlock(&fs.lock);
    if (memfs_find(name) >= 0) {
        err = EEXIST;
    } else if (fs.n_used == fs.n_nodes || strlen(name) >= MEMFS_NAME) {
        err = fs.n_used == fs.n_nodes ? ENOSPC : ENAMETOOLONG;
    } else {
        struct memfs_node *n = &fs.nodes[fs.n_used];
        memset(n, 0, sizeof *n);
        clock_gettime(CLOCK_REALTIME, &n->mtime);
        memfs_link(fs.n_used, name);
        e = memfs_entry(fs.n_used++ + 2);
    }
    pthread_rwlock_unlock(&fs.lock);
    fi->direct_io = fs.direct_io;
    fi->noflush = 1;
    if (err)
        fuse_reply_err(req, err);
    else
        fuse_reply_create(req, &e, fi);
}

static void memfs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    pthread_rwlock_wrlock(&fs.lock);
    long i = memfs_find(name);
    if (i >= 0)
        memfs_unlink_name((size_t)i);
    pthread_rwlock_unlock(&fs.lock);
    fuse_reply_err(req, i < 0 ? ENOENT : 0);
}

/* --- the process that has the bytes --- */

struct memfs_ask {
    uint64_t off, size;
    char rest[MEMFS_ASK - 16];
};

static void *peer_serve(void *arg)
{
    int fd = (int)(intptr_t)arg, on = 1;
    struct memfs_ask ask;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    while (recv(fd, &ask, sizeof ask, MSG_WAITALL) == (ssize_t)sizeof ask) {
        size_t at = 0;
        while (at < ask.size) {
            ssize_t n = send(fd, fs.pattern + ask.off + at, ask.size - at, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            at += (size_t)n;
        }
    }
    close(fd);
    return NULL;
}

static struct sockaddr_in peer_address(in_port_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* starts it; it ends with us */
static bool peer_start(void)
{
    struct sockaddr_in a = peer_address(0);
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        return false;
    fs.peer_port = a.sin_port;
    pid_t parent = getpid(), pid = fork();
    if (pid) {
        close(fd);
        return pid > 0;
    }
    if (fs.ready_fd >= 0)
        close(fs.ready_fd);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (;;) {
        int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        pthread_t t;
        if (c < 0 || pthread_create(&t, NULL, peer_serve, (void *)(intptr_t)c))
            _exit(1);
        pthread_detach(t);
    }
}

/* size bytes from there, in the thread's own buffer; NULL: it does not answer */
static const char *peer_read(off_t off, size_t size)
{
    struct memfs_ask ask = {(uint64_t)off, size, {0}};
    if (peer_fd < 0) {
        struct sockaddr_in a = peer_address(fs.peer_port);
        int on = 1;
        peer_buf = malloc(fs.size + 1);
        peer_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!peer_buf || peer_fd < 0 || connect(peer_fd, (struct sockaddr *)&a, sizeof a))
            return NULL;
        setsockopt(peer_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (send(peer_fd, &ask, sizeof ask, MSG_NOSIGNAL) != (ssize_t)sizeof ask ||
        (size && recv(peer_fd, peer_buf, size, MSG_WAITALL) != (ssize_t)size))
        return NULL;
    return peer_buf;
}

static void memfs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_rdlock(&fs.lock);
    const struct memfs_node *n = &fs.nodes[ino - 2];
    size_t left = (size_t)off < n->size ? n->size - (size_t)off : 0;
    size = left < size ? left : size;
    const char *at =
        fs.peer_port && !n->data ? peer_read(off, size) : (n->data ? n->data : fs.pattern) + off;
    if (at)
        fuse_reply_buf(req, at, size);
    else
        fuse_reply_err(req, EIO);
    pthread_rwlock_unlock(&fs.lock);
}

static void memfs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                        struct fuse_file_info *fi)
{
    (void)fi;
    pthread_rwlock_wrlock(&fs.lock);
    struct memfs_node *n = &fs.nodes[ino - 2];
    size_t end = (size_t)off + size;
    bool ok = memfs_own(n, end);
    if (ok) {
        if ((size_t)off > n->size)
            memset(n->data + n->size, 0, (size_t)off - n->size);
        memcpy(n->data + off, buf, size);
        n->size = end > n->size ? end : n->size;
    }
    pthread_rwlock_unlock(&fs.lock);
    if (ok)
        fuse_reply_write(req, size);
    else
        fuse_reply_err(req, ENOSPC);
}

static void memfs_list(fuse_req_t req, size_t size, off_t off, bool plus)
{
    char *buf = malloc(size);
    size_t used = 0;
    if (!buf) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    pthread_rwlock_rdlock(&fs.lock);
    for (size_t i = (size_t)off; i < fs.n_used; i++) {
        if (!fs.nodes[i].name[0])
            continue;
        struct fuse_entry_param e = memfs_entry(i + 2);
        const char *name = fs.nodes[i].name;
        off_t next = (off_t)i + 1;
        size_t n = plus ? fuse_add_direntry_plus(req, buf + used, size - used, name, &e, next)
                        : fuse_add_direntry(req, buf + used, size - used, name, &e.attr, next);
        if (n > size - used)
            break;
        used += n;
    }
    pthread_rwlock_unlock(&fs.lock);
    fuse_reply_buf(req, buf, used);
    free(buf);
}

static void memfs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                          struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    memfs_list(req, size, off, false);
}

static void memfs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                              struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    memfs_list(req, size, off, true);
}

/* no getxattr: the kernel asks once and never again (ls -l asks for each file) */
static const struct fuse_lowlevel_ops memfs_ops = {
    .init = memfs_init,
    .lookup = memfs_lookup,
    .getattr = memfs_getattr,
    .setattr = memfs_setattr,
    .open = memfs_open,
    .create = memfs_create,
    .unlink = memfs_unlink,
    .read = memfs_read,
    .write = memfs_write,
    .readdir = memfs_readdir,
    .readdirplus = memfs_readdirplus,
};

static int memfs_fill(size_t files, size_t size)
{
    fs.n_preset = files;
    fs.n_nodes = files + MEMFS_EXTRA;
    fs.size = size;
    fs.nodes = calloc(fs.n_nodes, sizeof *fs.nodes);
    fs.pattern = malloc(size + 1);
    if (!fs.nodes || !fs.pattern)
        return -1;
    for (size_t i = 0; i < size; i++)
        fs.pattern[i] = (char)(i * 2654435761u >> 24);
    clock_gettime(CLOCK_REALTIME, &fs.start);
    for (; fs.n_used < files; fs.n_used++) {
        char name[MEMFS_NAME];
        snprintf(name, sizeof name, "f%06zu", fs.n_used);
        fs.nodes[fs.n_used].size = size;
        fs.nodes[fs.n_used].mtime = fs.start;
        memfs_link(fs.n_used, name);
    }
    return 0;
}

static int memfs_usage(void)
{
    fprintf(stderr,
            "usage: bench-memfs [--files N] [--size BYTES] [--timeout SECONDS] [--direct-io]"
            " [--keep-cache] [--peer] [--ready-fd N] MOUNTPOINT\nServes N equal files from memory, "
            "or from that of a second process over TCP, until unmounted.\n");
    return 2;
}

int main(int argc, char **argv)
{
    size_t files = 16, size = 1 << 20;
    const char *at = NULL;
    bool has_peer = false;
    pthread_rwlock_init(&fs.lock, NULL);
    fs.timeout_s = 60;
    fs.ready_fd = -1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--files") && value)
            files = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--size") && value)
            size = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--timeout") && value)
            fs.timeout_s = (double)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--ready-fd") && value)
            fs.ready_fd = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--direct-io"))
            fs.direct_io = true;
        else if (!strcmp(argv[i], "--keep-cache"))
            fs.keep_cache = true;
        else if (!strcmp(argv[i], "--peer"))
            has_peer = true;
        else if (argv[i][0] != '-' && !at)
            at = argv[i];
        else
            return memfs_usage();
    }
    if (!at || memfs_fill(files, size))
        return memfs_usage();
    if (has_peer && !peer_start())
        return 1;
    char *args[] = {argv[0], "-ofsname=memfs,subtype=memfs,default_permissions", NULL};
    struct fuse_args fa = FUSE_ARGS_INIT(2, args);
    struct fuse_session *se = fuse_session_new(&fa, &memfs_ops, sizeof memfs_ops, NULL);
    if (!se || fuse_set_signal_handlers(se) || fuse_session_mount(se, at))
        return 1;
    struct fuse_loop_config *cfg = fuse_loop_cfg_create();
    int rc = fuse_session_loop_mt(se, cfg);
    fuse_loop_cfg_destroy(cfg);
    fuse_session_unmount(se);
    fuse_remove_signal_handlers(se);
    fuse_session_destroy(se);
    return rc < 0 ? 1 : 0;
}
