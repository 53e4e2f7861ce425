/* cluster/cli_copy.c - `tarn fs` cat, cp, put, get: bytes between the cluster and here.
 *
 * A side is where files are (the cluster, or this host) behind five calls, so that cp, put and get
 * are one copy with different sides.  A local file is written beside its name and renamed when it
 * is complete, so that an interrupted get never leaves half a file under the right name; what is
 * no file (a device, a fifo, "-" for a standard stream) is written as it is.
 *
 * Of a tree several files are on their way at once: one thread walks it, makes directories and
 * links, and gives the files to others, each with a connection of its own; it waits when the queue
 * is full, and for all of them before a directory is made unwritable and at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_fs.h"
#include "net/net_errno.h"

enum { CLI_COPY_STEP = 4 << 20, CLI_COPY_JOBS = 4, CLI_COPY_JOBS_MAX = 64, CLI_COPY_QUEUE = 64 };

struct cli_copy_pool;

struct cli_copy {
    struct cli_fs_visitor v; /* for a tree in the cluster */
    const struct cli *cli;
    struct tarn *t;
    const char *from, *to; /* tops */
    bool from_cluster, to_cluster;
    char *buf;
    struct cli_progress *progress;
    int code;                   /* of the first file that failed: the copy goes on without it */
    struct cli_copy_pool *pool; /* the walker's, or NULL: it copies itself */
    unsigned slot, parts;
};

struct cli_copy_pool {
    pthread_mutex_t lock;
    struct cli_copy_job {
        char from[LIMIT_PATH], to[LIMIT_PATH];
        uint32_t mode;
    } queue[CLI_COPY_QUEUE];
    unsigned first, n, busy, n_threads;
    bool is_closing;
    int code; /* as cli_copy's */
    struct cli_copy copies[CLI_COPY_JOBS_MAX];
    pthread_t threads[CLI_COPY_JOBS_MAX];
};

struct cli_copy_target {
    struct tarn_file *file;
    int fd;
    bool is_part; /* local: to be renamed to `real` */
    char part[PATH_MAX], real[PATH_MAX];
};

/* the files being written, for the handler of a signal that ends us */
static char cli_copy_unfinished[CLI_COPY_JOBS_MAX + 1][PATH_MAX];
static volatile sig_atomic_t cli_copy_is_unfinished[CLI_COPY_JOBS_MAX + 1];
/* what is printed and counted */
static pthread_mutex_t cli_copy_said = PTHREAD_MUTEX_INITIALIZER;

static int cli_copy_fail(struct cli_copy *k, const char *what, int err)
{
    pthread_mutex_lock(&cli_copy_said);
    int code = cli_fail(k->cli, what, err);
    pthread_mutex_unlock(&cli_copy_said);
    return code;
}

static void cli_copy_count(struct cli_copy *k, uint64_t bytes, uint64_t files)
{
    pthread_mutex_lock(&cli_copy_said);
    cli_progress_add(k->progress, bytes, files);
    pthread_mutex_unlock(&cli_copy_said);
}

static void cli_copy_on_signal(int number)
{
    for (int i = 0; i <= CLI_COPY_JOBS_MAX; i++)
        if (cli_copy_is_unfinished[i])
            unlink(cli_copy_unfinished[i]);
    signal(number, SIG_DFL);
    raise(number);
}

static int cli_copy_open_local(struct cli_copy *k, const char *to, uint32_t mode,
                               struct cli_copy_target *ret)
{
    struct stat st;
    ret->is_part = false;
    if (!strcmp(to, "-"))
        return (ret->fd = dup(1)) < 0 ? net_errno_to_err(errno) : 0;
    if (!stat(to, &st) && !S_ISREG(st.st_mode)) {
        ret->fd = open(to, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        return ret->fd < 0 ? net_errno_to_err(errno) : 0;
    }
    if (!realpath(to, ret->real)) { /* through a symbolic link to the file it names, as cp does */
        if (errno != ENOENT)
            return net_errno_to_err(errno);
        if (strlen(to) >= sizeof ret->real)
            return E_NAMETOOLONG;
        memcpy(ret->real, to, strlen(to) + 1);
    }
    const char *slash = strrchr(ret->real, '/');
    int dir = slash ? (int)(slash + 1 - ret->real) : 0;
    int n = snprintf(ret->part, sizeof ret->part, "%.*s.tarn-%d-%u-%u.part", dir, ret->real,
                     (int)getpid(), k->slot, k->parts++);
    if (n >= (int)sizeof ret->part)
        return E_NAMETOOLONG;
    ret->fd = open(ret->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    if (ret->fd < 0)
        return net_errno_to_err(errno);
    ret->is_part = true;
    memcpy(cli_copy_unfinished[k->slot], ret->part, (size_t)n + 1);
    cli_copy_is_unfinished[k->slot] = 1;
    return 0;
}

static int cli_copy_open_target(struct cli_copy *k, const char *to, uint32_t mode,
                                struct cli_copy_target *ret)
{
    if (k->to_cluster)
        return tarn_open(k->t, to, TARN_WRITE | TARN_CREATE | TARN_TRUNC, mode & 07777, &ret->file);
    return cli_copy_open_local(k, to, mode, ret);
}

static int cli_copy_write(struct cli_copy *k, struct cli_copy_target *t, size_t len, uint64_t off)
{
    for (size_t done = 0; done < len;) {
        int64_t n = k->to_cluster ? tarn_pwrite(t->file, k->buf + done, len - done, off + done)
                                  : write(t->fd, k->buf + done, len - done);
        if (n < 0 && !k->to_cluster && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && k->to_cluster ? (int)n : n < 0 ? net_errno_to_err(errno) : E_IO;
        done += (size_t)n;
    }
    return 0;
}

static int cli_copy_close_target(struct cli_copy *k, struct cli_copy_target *t, int err)
{
    if (k->to_cluster) {
        int closing = tarn_close(t->file);
        return err ? err : closing;
    }
    if (close(t->fd) && !err)
        err = net_errno_to_err(errno);
    if (!t->is_part)
        return err;
    if (!err && rename(t->part, t->real))
        err = net_errno_to_err(errno);
    if (err)
        unlink(t->part);
    cli_copy_is_unfinished[k->slot] = 0;
    return err;
}

static bool cli_copy_is_same(struct cli_copy *k, struct ino ino, const char *path)
{
    struct fsattr a;
    return !tarn_stat(k->t, path, &a) && a.ino.v == ino.v;
}

/* does `path`, there or not yet, lie in the directory `ino` of the cluster? */
static bool cli_copy_is_inside(struct cli_copy *k, struct ino ino, const char *path)
{
    char at[LIMIT_PATH];
    if (ino.v == INO_ROOT.v || strlen(path) >= sizeof at)
        return ino.v == INO_ROOT.v;
    memcpy(at, path, strlen(path) + 1);
    while (*at) {
        if (cli_copy_is_same(k, ino, at))
            return true;
        char *slash = strrchr(at, '/');
        if (!slash)
            break;
        *slash = 0;
    }
    return false;
}

static int cli_copy_file(struct cli_copy *k, const char *from, const char *to, uint32_t mode)
{
    struct tarn_file *source = NULL;
    struct cli_copy_target target = {.fd = -1};
    int fd = -1, err = 0;
    uint64_t off = 0;
    if (k->from_cluster)
        err = tarn_open(k->t, from, TARN_READ, 0, &source);
    else if ((fd = strcmp(from, "-") ? open(from, O_RDONLY | O_CLOEXEC) : dup(0)) < 0)
        err = net_errno_to_err(errno);
    if (err)
        return cli_copy_fail(k, from, err);
    if (source && k->to_cluster && cli_copy_is_same(k, tarn_fstat(source).ino, to)) {
        tarn_close(source);
        pthread_mutex_lock(&cli_copy_said);
        (void)cli_error(k->cli, CLI_FAILED, "%s and %s are the same file", from, to);
        pthread_mutex_unlock(&cli_copy_said);
        return CLI_FAILED;
    }
    err = cli_copy_open_target(k, to, mode, &target);
    const char *blame = to;
    bool opened = !err;
    while (!err) {
        int64_t n = source ? tarn_pread(source, k->buf, CLI_COPY_STEP, off)
                           : read(fd, k->buf, CLI_COPY_STEP);
        if (n < 0) {
            blame = from;
            err = source ? (int)n : net_errno_to_err(errno);
        }
        if (n <= 0)
            break;
        err = cli_copy_write(k, &target, (size_t)n, off);
        off += (uint64_t)n;
        cli_copy_count(k, (uint64_t)n, 0);
    }
    if (opened)
        err = cli_copy_close_target(k, &target, err);
    if (source)
        tarn_close(source);
    if (fd >= 0)
        close(fd);
    cli_copy_count(k, 0, 1);
    return err ? cli_copy_fail(k, blame, err) : CLI_OK;
}

/* --- several at once --- */

/* A while without the pool's lock.  A connection that does not run hears nothing, and whoever
 * changes what it has cached would wait for its lease to end: so all run while they wait. */
static void cli_copy_idle(struct cli_copy *k)
{
    const bool never = false;
    pthread_mutex_unlock(&k->pool->lock);
    (void)tarn_run_until(k->t, &never, env_now_ns(tarn_env(k->t)) + 2000000);
    pthread_mutex_lock(&k->pool->lock);
}

static void *cli_copy_thread(void *arg)
{
    struct cli_copy *k = arg;
    struct cli_copy_pool *p = k->pool;
    struct cli_copy_job *job = malloc(sizeof *job);
    ASSERT(job);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->n && !p->is_closing)
            cli_copy_idle(k);
        if (!p->n)
            break;
        *job = p->queue[p->first];
        p->first = (p->first + 1) % CLI_COPY_QUEUE;
        p->n--;
        p->busy++;
        pthread_mutex_unlock(&p->lock);
        int code = cli_copy_file(k, job->from, job->to, job->mode);
        pthread_mutex_lock(&p->lock);
        p->code = p->code ? p->code : code;
        p->busy--;
    }
    pthread_mutex_unlock(&p->lock);
    free(job);
    return NULL;
}

/* as many as can be had; with none the walker copies itself */
static void cli_copy_pool_open(struct cli_copy *k, unsigned jobs)
{
    struct cli_copy_pool *p = calloc(1, sizeof *p);
    if (!p)
        return;
    pthread_mutex_init(&p->lock, NULL);
    while (p->n_threads < jobs) {
        struct cli_copy *w = &p->copies[p->n_threads];
        *w = *k;
        w->pool = p;
        w->slot = p->n_threads + 1;
        w->buf = malloc(CLI_COPY_STEP);
        if (!w->buf || cli_fs_connect(k->cli, &w->t)) {
            free(w->buf);
            break;
        }
        if (pthread_create(&p->threads[p->n_threads], NULL, cli_copy_thread, w)) {
            tarn_disconnect(w->t);
            free(w->buf);
            break;
        }
        p->n_threads++;
    }
    k->pool = p;
}

/* until nothing is on its way; the code of the first that failed */
static int cli_copy_pool_wait(struct cli_copy *k)
{
    struct cli_copy_pool *p = k->pool;
    if (!p)
        return CLI_OK;
    pthread_mutex_lock(&p->lock);
    while (p->n || p->busy)
        cli_copy_idle(k);
    int code = p->code;
    pthread_mutex_unlock(&p->lock);
    return code;
}

static void cli_copy_pool_close(struct cli_copy *k)
{
    struct cli_copy_pool *p = k->pool;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->is_closing = true;
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_threads; i++) {
        pthread_join(p->threads[i], NULL);
        tarn_disconnect(p->copies[i].t);
        free(p->copies[i].buf);
    }
    free(p);
    k->pool = NULL;
}

static int cli_copy_give(struct cli_copy *k, const char *from, const char *to, uint32_t mode)
{
    struct cli_copy_pool *p = k->pool;
    if (!p || !p->n_threads || strlen(from) >= LIMIT_PATH)
        return cli_copy_file(k, from, to, mode);
    pthread_mutex_lock(&p->lock);
    while (p->n == CLI_COPY_QUEUE)
        cli_copy_idle(k);
    struct cli_copy_job *job = &p->queue[(p->first + p->n++) % CLI_COPY_QUEUE];
    memcpy(job->from, from, strlen(from) + 1);
    memcpy(job->to, to, strlen(to) + 1);
    job->mode = mode;
    pthread_mutex_unlock(&p->lock);
    return CLI_OK;
}

static int cli_copy_mkdir(struct cli_copy *k, const char *to, uint32_t mode)
{
    int err = k->to_cluster                     ? tarn_mkdir(k->t, to, (mode & 07777) | 0700)
              : mkdir(to, (mode & 0777) | 0700) ? net_errno_to_err(errno)
                                                : 0;
    return err && err != E_EXIST ? cli_copy_fail(k, to, err) : CLI_OK;
}

static bool cli_copy_has_link(struct cli_copy *k, const char *path, const char *target)
{
    char there[LIMIT_PATH];
    ssize_t n = k->to_cluster ? tarn_readlink(k->t, path, there, sizeof there)
                              : readlink(path, there, sizeof there - 1);
    return n >= 0 && (size_t)n == strlen(target) && !memcmp(there, target, (size_t)n);
}

static int cli_copy_link(struct cli_copy *k, const char *from, const char *to)
{
    char target[LIMIT_PATH];
    ssize_t n = k->from_cluster ? tarn_readlink(k->t, from, target, sizeof target)
                                : readlink(from, target, sizeof target - 1);
    if (n < 0)
        return cli_copy_fail(k, from, k->from_cluster ? (int)n : net_errno_to_err(errno));
    target[n] = 0;
    int err = k->to_cluster         ? tarn_symlink(k->t, target, to)
              : symlink(target, to) ? net_errno_to_err(errno)
                                    : 0;
    if (err == E_EXIST && cli_copy_has_link(k, to, target)) /* from an earlier copy */
        err = 0;
    return err ? cli_copy_fail(k, to, err) : CLI_OK;
}

/* the copy's name of `path`, which is at or below the top of the source */
static bool cli_copy_name(const struct cli_copy *k, const char *path, char *to, size_t cap)
{
    const char *below = path + strlen(k->from);
    while (*below == '/')
        below++;
    if (*below)
        return cli_fs_join(to, cap, k->to, below);
    return snprintf(to, cap, "%s", k->to) < (int)cap;
}

static int cli_copy_one(struct cli_copy *k, const char *path, uint32_t mode)
{
    char to[LIMIT_PATH];
    if (!cli_copy_name(k, path, to, sizeof to))
        return cli_error(k->cli, CLI_FAILED, "%s: path too long", path);
    switch (mode & FSOP_S_IFMT) {
    case FSOP_S_IFDIR:
        return cli_copy_mkdir(k, to, mode);
    case FSOP_S_IFLNK:
        return cli_copy_link(k, path, to);
    case FSOP_S_IFREG:
        return cli_copy_give(k, path, to, mode);
    default:
        fprintf(stderr, "tarn fs %s: %s: neither file, directory nor link; left out\n",
                k->cli->command->name, path);
        return CLI_OK;
    }
}

/* A directory that its owner may not write is made so when all is in it. */
static int cli_copy_leave_dir(struct cli_copy *k, const char *path, uint32_t mode)
{
    char to[LIMIT_PATH];
    if ((mode & 0700) == 0700 || !cli_copy_name(k, path, to, sizeof to))
        return CLI_OK;
    (void)cli_copy_pool_wait(k);
    int err = k->to_cluster            ? tarn_chmod(k->t, to, mode & 07777)
              : chmod(to, mode & 0777) ? net_errno_to_err(errno)
                                       : 0;
    return err ? cli_copy_fail(k, to, err) : CLI_OK;
}

static int cli_copy_leave(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    struct cli_copy *k = container_of(v, struct cli_copy, v);
    return cli_fs_is_dir(a) ? cli_copy_leave_dir(k, path, a->mode) : CLI_OK;
}

static int cli_copy_visit(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    struct cli_copy *k = container_of(v, struct cli_copy, v);
    int code = cli_copy_one(k, path, a->mode);
    k->code = k->code ? k->code : code;
    return cli_fs_is_dir(a) ? code : CLI_OK;
}

static int cli_copy_local_tree(struct cli_copy *k, const char *path, unsigned depth)
{
    struct stat st;
    char below[LIMIT_PATH];
    if (lstat(path, &st))
        return cli_copy_fail(k, path, net_errno_to_err(errno));
    int code = cli_copy_one(k, path, st.st_mode);
    if (code || !S_ISDIR(st.st_mode))
        return code;
    DIR *d = depth < 512 ? opendir(path) : NULL;
    if (!d)
        return cli_copy_fail(k, path, depth < 512 ? net_errno_to_err(errno) : E_LOOP);
    for (struct dirent *e; errno = 0, (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        int sub = cli_fs_join(below, sizeof below, path, e->d_name)
                      ? cli_copy_local_tree(k, below, depth + 1)
                      : cli_error(k->cli, CLI_FAILED, "%s/%s: path too long", path, e->d_name);
        code = sub ? sub : code;
    }
    if (errno)
        code = cli_copy_fail(k, path, net_errno_to_err(errno));
    closedir(d);
    int sub = cli_copy_leave_dir(k, path, st.st_mode);
    return code ? code : sub;
}

static bool cli_copy_is_dir(struct cli_copy *k, const char *path)
{
    struct fsattr a;
    struct stat st;
    return k->to_cluster ? !tarn_stat(k->t, path, &a) && cli_fs_is_dir(&a)
                         : !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* to, or the name inside it when it is a directory */
static const char *cli_copy_into(struct cli_copy *k, const char *from, const char *to, char *buf,
                                 size_t cap)
{
    char name[LIMIT_NAME + 1];
    return cli_copy_is_dir(k, to) && cli_fs_basename(from, name) && *name &&
                   cli_fs_join(buf, cap, to, name)
               ? buf
               : to;
}

static uint32_t cli_copy_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

static int cli_copy_top(struct cli_copy *k, const char *from, const char *to)
{
    struct fsattr a;
    struct stat st;
    char buf[LIMIT_PATH];
    bool is_stdin = !k->from_cluster && !strcmp(from, "-");
    int err = k->from_cluster   ? tarn_stat(k->t, from, &a)
              : is_stdin        ? (fstat(0, &st) ? net_errno_to_err(errno) : 0)
              : stat(from, &st) ? net_errno_to_err(errno)
                                : 0;
    if (err)
        return cli_copy_fail(k, from, err);
    bool is_dir = k->from_cluster ? cli_fs_is_dir(&a) : S_ISDIR(st.st_mode);
    if (is_dir && !cli_flag(k->cli, "recursive"))
        return cli_error(k->cli, CLI_FAILED, "%s: is a directory (-r copies it and all below)",
                         from);
    k->from = from;
    k->to = is_stdin ? to : cli_copy_into(k, from, to, buf, sizeof buf);
    if (is_dir && k->from_cluster && k->to_cluster && cli_copy_is_inside(k, a.ino, k->to))
        return cli_error(k->cli, CLI_FAILED, "%s cannot be copied into itself, %s", from, k->to);
    size_t n = strlen(k->to);
    if (!is_dir && n > 1 && k->to[n - 1] == '/')
        return cli_error(k->cli, CLI_FAILED, "%s: no such directory", k->to);
    cli_progress_start(k->progress, k->cli, "copying",
                       is_dir            ? 0
                       : k->from_cluster ? a.size
                                         : (uint64_t)st.st_size);
    int64_t jobs;
    if (!cli_number(k->cli, "jobs", CLI_COPY_JOBS, 1, CLI_COPY_JOBS_MAX, &jobs))
        return CLI_USAGE;
    if (is_dir && jobs > 1 && !k->pool)
        cli_copy_pool_open(k, (unsigned)jobs);
    uint32_t mode = k->from_cluster ? a.mode : is_stdin ? 0666 & ~cli_copy_umask() : st.st_mode;
    int code = !is_dir           ? cli_copy_file(k, from, k->to, mode)
               : k->from_cluster ? cli_fs_walk(&k->v, from, &a, 0)
                                 : cli_copy_local_tree(k, from, 0);
    int others = cli_copy_pool_wait(k);
    cli_progress_end(k->progress);
    return code ? code : k->code ? k->code : others;
}

static int cli_copy_run(struct cli *c, bool from_cluster, bool to_cluster)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct cli_progress progress;
    struct cli_copy k = {
        .cli = c, .from_cluster = from_cluster, .to_cluster = to_cluster, .progress = &progress};
    int code = cli_fs_connect(c, &k.t);
    if (code)
        return code;
    k.v = (struct cli_fs_visitor){
        .visit = cli_copy_visit, .leave = cli_copy_leave, .cli = c, .tarn = k.t};
    k.buf = malloc(CLI_COPY_STEP);
    ASSERT(k.buf);
    const char *to = c->args[c->n_args - 1];
    if (!to_cluster && !strcmp(to, "-"))
        cli_printed_raw();
    if (c->n_args > 2 && !cli_copy_is_dir(&k, to))
        code = cli_error(c, CLI_USAGE, "%s is not a directory, and there are %d to copy", to,
                         c->n_args - 1);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        signal(signals[i], cli_copy_on_signal);
    for (int i = 0; i + 1 < c->n_args && code != CLI_USAGE; i++) {
        int sub = cli_copy_top(&k, c->args[i], to);
        code = sub ? sub : code;
    }
    cli_copy_pool_close(&k);
    free(k.buf);
    tarn_disconnect(k.t);
    return code;
}

static int cli_copy_cp_run(struct cli *c)
{
    return cli_copy_run(c, true, true);
}

static int cli_copy_put_run(struct cli *c)
{
    return cli_copy_run(c, false, true);
}

static int cli_copy_get_run(struct cli *c)
{
    return cli_copy_run(c, true, false);
}

/* clang-format off */
#define CLI_COPY_OPTIONS \
    {{"recursive", 'r', NULL, "directories and all below"}, \
     {"jobs", 'j', "N", "files of a tree that are copied at once (4)"}}
/* clang-format on */

const struct cli_command cli_fs_cp = {"fs",
                                      "cp",
                                      "FROM... TO",
                                      "copy within the cluster",
                                      "Into TO where that is a directory.",
                                      cli_copy_cp_run,
                                      2,
                                      -1,
                                      CLI_COPY_OPTIONS};
const struct cli_command cli_fs_put = {
    "fs",
    "put",
    "LOCAL... PATH",
    "copy files from here into the cluster",
    "Into PATH where that is a directory.  LOCAL - is standard input.  A put that is interrupted\n"
    "leaves what it has written.",
    cli_copy_put_run,
    2,
    -1,
    CLI_COPY_OPTIONS};
const struct cli_command cli_fs_get = {
    "fs",
    "get",
    "PATH... LOCAL",
    "copy files out of the cluster",
    "Into LOCAL where that is a directory.  LOCAL - is standard output.  A file appears under its\n"
    "name when it is complete.",
    cli_copy_get_run,
    2,
    -1,
    CLI_COPY_OPTIONS};

static int cli_copy_cat_run(struct cli *c)
{
    struct tarn *t;
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    char *buf = malloc(CLI_COPY_STEP);
    ASSERT(buf);
    cli_printed_raw();
    for (int i = 0; i < c->n_args; i++) {
        struct tarn_file *f;
        int64_t n = tarn_open(t, c->args[i], TARN_READ, 0, &f);
        if (n) {
            code = cli_fail(c, c->args[i], (int)n);
            continue;
        }
        for (uint64_t off = 0; (n = tarn_pread(f, buf, CLI_COPY_STEP, off)) > 0; off += (uint64_t)n)
            if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n) {
                code = cli_error(c, CLI_FAILED, "standard output: %s", strerror(errno));
                break;
            }
        if (n < 0)
            code = cli_fail(c, c->args[i], (int)n);
        tarn_close(f);
    }
    free(buf);
    tarn_disconnect(t);
    return code;
}

const struct cli_command cli_fs_cat = {
    "fs", "cat", "PATH...", "write files to standard output", NULL, cli_copy_cat_run, 1, -1, {{0}}};
