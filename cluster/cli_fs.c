/* cluster/cli_fs.c - `tarn fs`: looking at the namespace and changing it. */
#include "cluster/cli_fs.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cluster/cli_history.h"
#include "cluster/cli_masters.h"

enum { CLI_FS_DEPTH_MAX = 512 };

int cli_fs_connect(const struct cli *c, struct tarn **ret_t)
{
    const struct config *g = c->config;
    struct tarn_options o = tarn_options_default();
    static struct cli_history history; /* to the end of the process */
    o.client.masters = config_masters(g);
    o.client.name = "tarn fs";
    o.client.deadline_ns = config_int(g, CONFIG_CLIENT_DEADLINE);
    o.client.read_any = config_int(g, CONFIG_CLIENT_READ_FROM) != 0;
    o.client.readahead_pages = (uint32_t)config_int(g, CONFIG_CLIENT_READAHEAD);
    o.client.buffer_bytes = config_share(g, CONFIG_CLIENT_BUFFER, CONFIG_CLIENT_MEMORY, 4);
    o.client.page_cache_bytes = config_share(g, CONFIG_CLIENT_PAGE_CACHE, CONFIG_CLIENT_MEMORY, 2);
    o.client.cache_entries = (uint32_t)config_int(g, CONFIG_CLIENT_CACHE_ENTRIES);
    o.secret_file = config_str(g, CONFIG_CLUSTER_SECRET_FILE);
    o.memory_bytes = (uint64_t)config_int(g, CONFIG_CLIENT_MEMORY);
    o.direct_under_store = config_int(g, CONFIG_CLIENT_DIRECT) != 0;
    int code = cli_secret_ready(c);
    if (!code)
        code = cli_history_of(c, &history, config_str(g, CONFIG_CLIENT_HISTORY), &o.client);
    if (code)
        return code;
    cli_waiting(c, o.client.deadline_ns);
    int err = tarn_connect(&o, ret_t);
    cli_waited();
    if (err == E_AUTH || err == E_CONFIG || err == E_VERSION)
        return cli_refused(c, config_masters(g), err);
    if (!err)
        cli_masters_heed(c);
    return err ? cli_fail(c, "connecting", err) : CLI_OK;
}

bool cli_fs_join(char *to, size_t cap, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    int len = snprintf(to, cap, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
    return len >= 0 && (size_t)len < cap;
}

bool cli_fs_basename(const char *from, char *to)
{
    size_t n = strlen(from), at;
    while (n && from[n - 1] == '/')
        n--;
    for (at = n; at && from[at - 1] != '/';)
        at--;
    n -= at;
    to[0] = 0;
    if ((n == 1 && from[at] == '.') || (n == 2 && from[at] == '.' && from[at + 1] == '.'))
        return true;
    if (n > LIMIT_NAME)
        return false;
    memcpy(to, from + at, n);
    to[n] = 0;
    return true;
}

static int cli_fs_walk_dir(struct cli_fs_visitor *v, const char *path, unsigned depth)
{
    struct tarn_dir *d;
    struct tarn_dirent e;
    char below[LIMIT_PATH];
    int code = CLI_OK, n, err = tarn_opendir(v->tarn, path, &d);
    if (err)
        return cli_fail(v->cli, path, err);
    while ((n = tarn_readdir(d, &e)) > 0) {
        int sub = CLI_FAILED;
        if (cli_fs_join(below, sizeof below, path, e.name))
            sub = cli_fs_walk(v, below, &e.attr, depth + 1);
        else
            cli_error(v->cli, CLI_FAILED, "%s/%s: path too long", path, e.name);
        code = sub ? sub : code;
    }
    if (n < 0)
        code = cli_fail(v->cli, path, n);
    tarn_closedir(d);
    return code;
}

int cli_fs_walk(struct cli_fs_visitor *v, const char *path, const struct fsattr *a, unsigned depth)
{
    if (depth > CLI_FS_DEPTH_MAX)
        return cli_error(v->cli, CLI_FAILED, "%s: more than %d levels deep", path,
                         CLI_FS_DEPTH_MAX);
    int code = v->visit(v, path, a);
    if (!code && cli_fs_is_dir(a))
        code = cli_fs_walk_dir(v, path, depth);
    if (!code && v->leave)
        code = v->leave(v, path, a);
    return code;
}

/* --- ls, stat --- */

static const char *cli_fs_mode(char *buf, uint32_t mode)
{
    static const char bits[] = "rwxrwxrwx";
    static const struct {
        uint32_t type;
        char letter;
    } types[] = {{FSOP_S_IFDIR, 'd'},  {FSOP_S_IFLNK, 'l'}, {FSOP_S_IFIFO, 'p'},
                 {FSOP_S_IFSOCK, 's'}, {FSOP_S_IFCHR, 'c'}, {FSOP_S_IFBLK, 'b'}};
    buf[0] = '-';
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if ((mode & FSOP_S_IFMT) == types[i].type)
            buf[0] = types[i].letter;
    for (int i = 0; i < 9; i++)
        buf[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
    if (mode & 04000)
        buf[3] = mode & 0100 ? 's' : 'S';
    if (mode & 02000)
        buf[6] = mode & 010 ? 's' : 'S';
    if (mode & 01000)
        buf[9] = mode & 1 ? 't' : 'T';
    buf[10] = 0;
    return buf;
}

static const char *cli_fs_time(char *buf, size_t cap, int64_t ns)
{
    time_t s = (time_t)(ns / 1000000000);
    struct tm tm;
    if (!localtime_r(&s, &tm) || !strftime(buf, cap, "%Y-%m-%d %H:%M", &tm))
        snprintf(buf, cap, "?");
    return buf;
}

static const char *cli_fs_type(uint32_t mode)
{
    switch (mode & FSOP_S_IFMT) {
    case FSOP_S_IFDIR:
        return "directory";
    case FSOP_S_IFLNK:
        return "link";
    case FSOP_S_IFIFO:
        return "fifo";
    case FSOP_S_IFSOCK:
        return "socket";
    case FSOP_S_IFREG:
        return "file";
    default:
        return "device";
    }
}

static cJSON *cli_fs_json(struct tarn *t, const char *path, const struct fsattr *a)
{
    char mode[11], target[LIMIT_PATH];
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "path", path);
    cJSON_AddStringToObject(j, "type", cli_fs_type(a->mode));
    cli_json_u64(j, "ino", a->ino.v);
    cJSON_AddStringToObject(j, "mode", cli_fs_mode(mode, a->mode));
    cli_json_u64(j, "links", a->nlink);
    cli_json_u64(j, "uid", a->uid);
    cli_json_u64(j, "gid", a->gid);
    cli_json_u64(j, "size", a->size);
    cli_json_i64(j, "mtime_ns", a->mtime_ns);
    cli_json_i64(j, "ctime_ns", a->ctime_ns);
    cli_json_u64(j, "version", a->version);
    cli_json_u64(j, "mount", a->mount);
    cJSON_AddBoolToObject(j, "being_written", a->flags & FSATTR_LIVE);
    if (cli_fs_is_link(a) && tarn_readlink(t, path, target, sizeof target) >= 0)
        cJSON_AddStringToObject(j, "target", target);
    return j;
}

/* On a terminal, a name must not move the cursor or begin a line. */
static void cli_fs_put_name(const char *name)
{
    static int is_tty = -1;
    if (is_tty < 0)
        is_tty = isatty(1);
    for (const char *s = name; *s; s++)
        putchar(is_tty && ((unsigned char)*s < 0x20 || *s == 0x7f) ? '?' : *s);
}

enum { CLI_FS_SORT_MAX = 50000 };

struct cli_fs_ls {
    struct tarn *tarn;
    const struct cli *cli;
    struct cli_json_list json;
    bool is_long, recursive;
};

struct cli_fs_entry {
    char *name;
    struct fsattr attr;
};

static void cli_fs_ls_line(struct cli_fs_ls *l, const char *path, const char *name,
                           const struct fsattr *a)
{
    char mode[11], when[32], target[LIMIT_PATH];
    if (l->cli->json) {
        cli_json_item(&l->json, cli_fs_json(l->tarn, path, a));
        return;
    }
    if (l->is_long)
        printf("%s %3u %5u %5u %12llu %s ", cli_fs_mode(mode, a->mode), a->nlink, a->uid, a->gid,
               (unsigned long long)a->size, cli_fs_time(when, sizeof when, a->mtime_ns));
    cli_fs_put_name(name);
    if (l->is_long && cli_fs_is_link(a) &&
        tarn_readlink(l->tarn, path, target, sizeof target) >= 0) {
        fputs(" -> ", stdout);
        cli_fs_put_name(target);
    }
    putchar('\n');
}

static int cli_fs_ls_dir(struct cli_fs_ls *l, const char *path, unsigned depth);

static int cli_fs_ls_entry(struct cli_fs_ls *l, const char *dir, const struct cli_fs_entry *e,
                           unsigned depth)
{
    char below[LIMIT_PATH];
    if (!cli_fs_join(below, sizeof below, dir, e->name))
        return cli_error(l->cli, CLI_FAILED, "%s/%s: path too long", dir, e->name);
    cli_fs_ls_line(l, below, l->recursive ? below : e->name, &e->attr);
    return l->recursive && cli_fs_is_dir(&e->attr) ? cli_fs_ls_dir(l, below, depth + 1) : CLI_OK;
}

static int cli_fs_by_name(const void *a, const void *b)
{
    const struct cli_fs_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* sorted; a directory that is too large for that, in sorted runs */
static int cli_fs_ls_dir(struct cli_fs_ls *l, const char *path, unsigned depth)
{
    struct tarn_dir *d;
    struct tarn_dirent e;
    struct cli_fs_entry *all = NULL;
    size_t cap = 0;
    int code = CLI_OK, got = depth > CLI_FS_DEPTH_MAX ? E_LOOP : tarn_opendir(l->tarn, path, &d);
    if (got)
        return cli_fail(l->cli, path, got);
    do {
        size_t n = 0;
        while (n < CLI_FS_SORT_MAX && (got = tarn_readdir(d, &e)) > 0) {
            if (n == cap) {
                cap = cap ? 2 * cap : 64;
                all = realloc(all, cap * sizeof *all);
                ASSERT(all);
            }
            all[n] = (struct cli_fs_entry){strdup(e.name), e.attr};
            ASSERT(all[n].name);
            n++;
        }
        if (n)
            qsort(all, n, sizeof *all, cli_fs_by_name);
        for (size_t i = 0; i < n; i++) {
            int sub = cli_fs_ls_entry(l, path, &all[i], depth);
            code = sub ? sub : code;
            free(all[i].name);
        }
    } while (got > 0);
    free(all);
    tarn_closedir(d);
    return got < 0 ? cli_fail(l->cli, path, got) : code;
}

static int cli_fs_ls_top(struct cli_fs_ls *l, const char *path, bool is_first, bool is_one)
{
    struct fsattr a;
    int err = tarn_stat(l->tarn, path, &a);
    if (err == E_NOENT) /* a link to nothing is something */
        err = tarn_lstat(l->tarn, path, &a);
    if (err)
        return cli_fail(l->cli, path, err);
    if (!cli_fs_is_dir(&a) || cli_flag(l->cli, "directory")) {
        cli_fs_ls_line(l, path, path, &a);
        return CLI_OK;
    }
    if (!is_one && !l->cli->json)
        printf("%s%s:\n", is_first ? "" : "\n", path);
    return cli_fs_ls_dir(l, path, 0);
}

static int cli_fs_ls_run(struct cli *c)
{
    static char *root[] = {(char *)(uintptr_t) "/"};
    struct cli_fs_ls l = {
        .cli = c, .is_long = cli_flag(c, "long"), .recursive = cli_flag(c, "recursive")};
    int code = cli_fs_connect(c, &l.tarn);
    if (code)
        return code;
    char **paths = c->n_args ? c->args : root;
    int n = c->n_args ? c->n_args : 1;
    for (int i = 0; i < n; i++) {
        int sub = cli_fs_ls_top(&l, paths[i], !i, n == 1);
        code = sub ? sub : code;
    }
    tarn_disconnect(l.tarn);
    if (c->json)
        cli_json_end(&l.json);
    return code;
}

const struct cli_command cli_fs_ls = {
    "fs",
    "ls",
    "[PATH...]",
    "list directories",
    "Sorted by name; PATH is / if it is not given.",
    cli_fs_ls_run,
    0,
    -1,
    {{"long", 'l', NULL, "mode, links, owner, size, time"},
     {"recursive", 'R', NULL, "everything below"},
     {"directory", 'd', NULL, "the directory itself, not its entries"}}};

static int cli_fs_stat_run(struct cli *c)
{
    struct tarn *t;
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    struct cli_json_list list = {0};
    for (int i = 0; i < c->n_args; i++) {
        struct fsattr a;
        char mode[11], when[32];
        int err = tarn_lstat(t, c->args[i], &a);
        if (err) {
            code = cli_fail(c, c->args[i], err);
            continue;
        }
        if (c->json)
            cli_json_item(&list, cli_fs_json(t, c->args[i], &a));
        else
            printf("%s\n  ino %llu  mode %s  links %u  uid %u  gid %u\n  size %llu  modified %s\n"
                   "  version %llu  mount %u%s%s%s\n",
                   c->args[i], (unsigned long long)a.ino.v, cli_fs_mode(mode, a.mode), a.nlink,
                   a.uid, a.gid, (unsigned long long)a.size,
                   cli_fs_time(when, sizeof when, a.mtime_ns), (unsigned long long)a.version,
                   a.mount, a.flags & FSATTR_LIVE ? "  being written" : "",
                   a.flags & FSATTR_LOADED ? "  listing loaded" : "",
                   a.flags & FSATTR_RO ? "  read-only" : "");
    }
    tarn_disconnect(t);
    if (c->json)
        cli_json_end(&list);
    return code;
}

const struct cli_command cli_fs_stat = {
    "fs", "stat", "PATH...", "attributes of files", NULL, cli_fs_stat_run, 1, -1, {{0}}};

/* --- mkdir, mv, rm, ln --- */

static int cli_fs_mkdir_parents(struct tarn *t, const char *path)
{
    char at[LIMIT_PATH];
    if (strlen(path) >= sizeof at)
        return E_NAMETOOLONG;
    for (const char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        memcpy(at, path, (size_t)(p - path));
        at[p - path] = 0;
        int err = tarn_mkdir(t, at, 0755);
        if (err && err != E_EXIST && err != E_ROFS)
            return err;
    }
    int err = tarn_mkdir(t, path, 0755);
    struct fsattr a;
    return err == E_EXIST && !tarn_stat(t, path, &a) && cli_fs_is_dir(&a) ? 0 : err;
}

static int cli_fs_mkdir_run(struct cli *c)
{
    struct tarn *t;
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    for (int i = 0; i < c->n_args; i++) {
        bool parents = cli_flag(c, "parents");
        int err = parents ? cli_fs_mkdir_parents(t, c->args[i]) : tarn_mkdir(t, c->args[i], 0755);
        if (err)
            code = cli_fail(c, c->args[i], err);
    }
    tarn_disconnect(t);
    return code;
}

const struct cli_command cli_fs_mkdir = {
    "fs",
    "mkdir",
    "PATH...",
    "make directories",
    NULL,
    cli_fs_mkdir_run,
    1,
    -1,
    {{"parents", 'p', NULL, "missing parents too; existing ones are fine"}}};

/* the name inside `to` when that is a directory, else `to` itself */
static const char *cli_fs_target(struct tarn *t, const char *from, const char *to, char *buf,
                                 size_t cap)
{
    struct fsattr a;
    char name[LIMIT_NAME + 1];
    if (tarn_stat(t, to, &a) || !cli_fs_is_dir(&a) || !cli_fs_basename(from, name) || !*name ||
        !cli_fs_join(buf, cap, to, name))
        return to;
    return buf;
}

/* either may be at fault: name both */
static int cli_fs_fail_pair(const struct cli *c, const char *from, const char *to, int err)
{
    char both[2 * LIMIT_PATH + 8];
    if (err == E_INVAL && *from == '/' && *to == '/')
        return cli_error(c, CLI_FAILED, "%s cannot move into itself, %s", from, to);
    snprintf(both, sizeof both, "%s%s -> %s", *from == '/' && *to == '/' ? "" : "from ", from, to);
    return cli_fail(c, both, err);
}

static int cli_fs_mv_run(struct cli *c)
{
    struct tarn *t;
    char buf[LIMIT_PATH];
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    for (int i = 0; i + 1 < c->n_args; i++) {
        const char *to = c->args[c->n_args - 1];
        struct fsattr a;
        if (c->n_args > 2 &&
            (cli_flag(c, "no-target-directory") || tarn_stat(t, to, &a) || !cli_fs_is_dir(&a))) {
            code = cli_error(c, CLI_USAGE, "%s is not a directory, and there are %d to move", to,
                             c->n_args - 1);
            break;
        }
        if (!cli_flag(c, "no-target-directory"))
            to = cli_fs_target(t, c->args[i], to, buf, sizeof buf);
        int err = tarn_rename(t, c->args[i], to);
        if (err)
            code = cli_fs_fail_pair(c, c->args[i], to, err);
    }
    tarn_disconnect(t);
    return code;
}

const struct cli_command cli_fs_mv = {
    "fs",
    "mv",
    "FROM... TO",
    "rename, atomically",
    "Into TO where that is a directory.",
    cli_fs_mv_run,
    2,
    -1,
    {{"no-target-directory", 'T', NULL, "TO is the new name even if it is a directory"}}};

struct cli_fs_rm {
    struct cli_fs_visitor v;
    struct cli_progress progress;
};

static int cli_fs_rm_done(struct cli_fs_visitor *v, const char *path, int err)
{
    struct cli_fs_rm *r = container_of(v, struct cli_fs_rm, v);
    cli_progress_add(&r->progress, 0, 1);
    return err && err != E_NOENT ? cli_fail(v->cli, path, err) : CLI_OK;
}

static int cli_fs_rm_visit(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    if (cli_fs_is_dir(a))
        return CLI_OK;
    return cli_fs_rm_done(v, path, tarn_unlink(v->tarn, path));
}

static int cli_fs_rm_leave(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    if (!cli_fs_is_dir(a))
        return CLI_OK;
    return cli_fs_rm_done(v, path, tarn_rmdir(v->tarn, path));
}

static int cli_fs_rm_run(struct cli *c)
{
    struct cli_fs_rm r = {.v = {.visit = cli_fs_rm_visit, .leave = cli_fs_rm_leave, .cli = c}};
    int code = cli_fs_connect(c, &r.v.tarn);
    if (code)
        return code;
    cli_progress_start(&r.progress, c, "removing", 0);
    for (int i = 0; i < c->n_args; i++) {
        struct fsattr a;
        int sub = CLI_OK, err = tarn_lstat(r.v.tarn, c->args[i], &a);
        if (err == E_NOENT && cli_flag(c, "force"))
            continue;
        if (err)
            sub = cli_fail(c, c->args[i], err);
        else if (a.ino.v == INO_ROOT.v)
            sub = cli_error(c, CLI_FAILED, "%s: the root is not removed; name what is in it",
                            c->args[i]);
        else if (cli_fs_is_dir(&a) && !cli_flag(c, "recursive"))
            sub = cli_error(c, CLI_FAILED, "%s: is a directory (-r removes it and all below)",
                            c->args[i]);
        else
            sub = cli_fs_walk(&r.v, c->args[i], &a, 0);
        code = sub ? sub : code;
    }
    cli_progress_end(&r.progress);
    tarn_disconnect(r.v.tarn);
    return code;
}

const struct cli_command cli_fs_rm = {"fs",
                                      "rm",
                                      "PATH...",
                                      "remove",
                                      NULL,
                                      cli_fs_rm_run,
                                      1,
                                      -1,
                                      {{"recursive", 'r', NULL, "directories and all below"},
                                       {"force", 'f', NULL, "what is missing is no error"}}};

static int cli_fs_ln_run(struct cli *c)
{
    struct tarn *t;
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    int err = cli_flag(c, "symbolic") ? tarn_symlink(t, c->args[0], c->args[1])
                                      : tarn_link(t, c->args[0], c->args[1]);
    if (err && cli_flag(c, "symbolic"))
        code = cli_fail(c, c->args[1], err);
    else if (err)
        code = cli_fs_fail_pair(c, c->args[0], c->args[1], err);
    tarn_disconnect(t);
    return code;
}

const struct cli_command cli_fs_ln = {
    "fs",
    "ln",
    "EXISTING NEW",
    "another name for a file",
    NULL,
    cli_fs_ln_run,
    2,
    2,
    {{"symbolic", 's', NULL, "a symbolic link to the text EXISTING"}}};

/* --- du, df --- */

struct cli_fs_du {
    struct cli_fs_visitor v;
    struct cli_progress progress;
    uint64_t files, dirs, bytes;
};

static int cli_fs_du_visit(struct cli_fs_visitor *v, const char *path, const struct fsattr *a)
{
    struct cli_fs_du *d = container_of(v, struct cli_fs_du, v);
    (void)path;
    d->files += !cli_fs_is_dir(a);
    d->dirs += cli_fs_is_dir(a);
    d->bytes += cli_fs_is_dir(a) ? 0 : a->size;
    cli_progress_add(&d->progress, 0, 1);
    return CLI_OK;
}

static int cli_fs_du_run(struct cli *c)
{
    struct cli_fs_du d = {.v = {.visit = cli_fs_du_visit, .cli = c}};
    int code = cli_fs_connect(c, &d.v.tarn);
    if (code)
        return code;
    static char *root[] = {(char *)(uintptr_t) "/"};
    char **paths = c->n_args ? c->args : root;
    int n = c->n_args ? c->n_args : 1;
    struct cli_json_list list = {0};
    for (int i = 0; i < n; i++) {
        struct fsattr a;
        char text[16];
        d.files = d.dirs = d.bytes = 0;
        cli_progress_start(&d.progress, c, "counting", 0);
        int err = tarn_lstat(d.v.tarn, paths[i], &a);
        int sub = err ? cli_fail(c, paths[i], err) : cli_fs_walk(&d.v, paths[i], &a, 0);
        cli_progress_end(&d.progress);
        code = sub ? sub : code;
        if (err)
            continue;
        if (!c->json) {
            printf("%10s  %8llu files  %6llu directories  %s\n", cli_bytes(text, d.bytes),
                   (unsigned long long)d.files, (unsigned long long)d.dirs, paths[i]);
            continue;
        }
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "path", paths[i]);
        cli_json_u64(j, "files", d.files);
        cli_json_u64(j, "directories", d.dirs);
        cli_json_u64(j, "bytes", d.bytes);
        cli_json_item(&list, j);
    }
    tarn_disconnect(d.v.tarn);
    if (c->json)
        cli_json_end(&list);
    return code;
}

const struct cli_command cli_fs_du = {
    "fs", "du", "[PATH...]", "files and bytes below paths", NULL, cli_fs_du_run, 0, -1, {{0}}};

static int cli_fs_df_run(struct cli *c)
{
    struct tarn *t;
    struct fsop_statfs s;
    char total[16], free_text[16];
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    int err = tarn_statfs(t, &s);
    tarn_disconnect(t);
    if (err)
        return cli_fail(c, "/", err);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cli_json_u64(j, "bytes", s.bytes);
        cli_json_u64(j, "bytes_free", s.bytes_free);
        cli_json_u64(j, "files", s.files);
        cli_json_u64(j, "files_free", s.files_free);
        cli_print_json(j);
    } else {
        printf("under-store: %s, %s free; %llu inodes, %llu free\n", cli_bytes(total, s.bytes),
               cli_bytes(free_text, s.bytes_free), (unsigned long long)s.files,
               (unsigned long long)s.files_free);
    }
    return CLI_OK;
}

const struct cli_command cli_fs_df = {
    "fs", "df", "",   "space of the under-store and of the namespace", NULL, cli_fs_df_run,
    0,    0,    {{0}}};

/* --- free, refresh: the master's admin calls --- */

static int cli_fs_admin_one(struct cli *c, struct tarn *t, enum rpc_admin_kind kind,
                            const char *path, struct cli_json_list *list)
{
    uint8_t body[LIMIT_PATH + 16];
    char text[1024];
    uint32_t n;
    struct wbuf w = wbuf_make(body, sizeof body);
    rpc_format_admin_put(&w, &(struct rpc_admin){kind, path, (uint32_t)strlen(path)});
    int err = w.bad ? E_NAMETOOLONG
                    : tarn_call(t, RPC_ADMIN, body, (uint32_t)w.len, text, sizeof text - 1, &n);
    if (err == E_EXIST && kind == RPC_ADMIN_UNMOUNT)
        return cli_error(
            c, CLI_FAILED,
            "%s: the master's configuration mounts it: take it out there and start the "
            "master anew, then unmount it",
            path);
    if (err == E_NOENT && kind == RPC_ADMIN_UNMOUNT)
        return cli_error(c, CLI_FAILED, "%s: nothing is mounted there (see tarn status)", path);
    if (err == E_BUSY && kind == RPC_ADMIN_UNMOUNT)
        return cli_error(c, CLI_FAILED,
                         "%s: in use: a file there is being written, or something is mounted below",
                         path);
    if (err)
        return cli_fail(c, path, err);
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    bool is_free = kind == RPC_ADMIN_FREE && !strncmp(text, "files ", 6);
    uint64_t files = is_free ? strtoull(text + 6, NULL, 10) : 0;
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "path", path);
        if (is_free)
            cli_json_u64(j, "files", files);
        else
            cJSON_AddStringToObject(j, "result", text);
        cli_json_item(list, j);
    } else if (is_free && !c->quiet) {
        printf("%s: dropped %llu file%s\n", path, (unsigned long long)files, files == 1 ? "" : "s");
    } else if (n && !c->quiet) {
        printf("%s: %s\n", path, text);
    }
    return CLI_OK;
}

static int cli_fs_admin(struct cli *c, enum rpc_admin_kind kind)
{
    struct tarn *t;
    struct cli_json_list list = {0};
    int code = cli_fs_connect(c, &t);
    if (code)
        return code;
    /* the master drops what it was told of, so it is told of everything first; and what is loaded
     * after this must not be dropped by it */
    int err = kind == RPC_ADMIN_FREE ? cli_status_fresh(c, t) : 0;
    for (int i = 0; i < c->n_args && !err; i++) {
        int sub = cli_fs_admin_one(c, t, kind, c->args[i], &list);
        code = sub ? sub : code;
    }
    if (!err && kind == RPC_ADMIN_FREE)
        err = cli_status_freed(c, t);
    if (err)
        code = cli_fail(c, "waiting for the workers", err);
    tarn_disconnect(t);
    if (c->json)
        cli_json_end(&list);
    return code;
}

static int cli_fs_free_run(struct cli *c)
{
    return cli_fs_admin(c, RPC_ADMIN_FREE);
}

static int cli_fs_refresh_run(struct cli *c)
{
    return cli_fs_admin(c, RPC_ADMIN_REFRESH);
}

static int cli_fs_unmount_run(struct cli *c)
{
    return cli_fs_admin(c, RPC_ADMIN_UNMOUNT);
}

const struct cli_command cli_fs_unmount = {
    "fs",
    "unmount",
    "PATH...",
    "end the mount of an under-store",
    "What was mounted once stays mounted when it is taken out of the configuration, until this.\n"
    "The under-store keeps its files; caches and attributes that only the cluster knows (xattrs)\n"
    "are forgotten.",
    cli_fs_unmount_run,
    1,
    -1,
    {{0}}};
const struct cli_command cli_fs_free = {
    "fs",
    "free",
    "PATH...",
    "drop cached pages of files and trees",
    "The files stay; their next read comes from the under-store again.",
    cli_fs_free_run,
    1,
    -1,
    {{0}}};
const struct cli_command cli_fs_refresh = {"fs",
                                           "refresh",
                                           "PATH...",
                                           "compare with the under-store now",
                                           "Notices what was changed there behind the cluster's "
                                           "back, whatever the mount's check_interval.",
                                           cli_fs_refresh_run,
                                           1,
                                           -1,
                                           {{0}}};
