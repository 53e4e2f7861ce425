/* cluster/cli_up.c - `tarn up`: a master, workers and a mount on this host, from one configuration.
 *
 * A small supervisor: it starts each process with a pipe on which it says "ready", in the order
 * masters, workers, mount; restarts one that died (a second later, or more if it dies again and
 * again); and on SIGINT or
 * SIGTERM ends them in the reverse order.  One of several masters is not restarted: the others go
 * on without it, which is what they are for; how to start it again is said.  Everything lives below
 * one directory:
 *   tarn.json  the effective configuration: TARN_CONFIG=DIR/tarn.json makes other commands find it
 *   master/ worker-N/  data      master.log worker-N.log mount.log  what they said
 *   (master-N/, master-N.log where there are several: cli_up_group.c)
 *   (zookeeper/, zookeeper.log, shared/ with a ZooKeeper journal: cli_up_zk.c) */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cluster/cli_up.h"

enum {
    UP_START_MS = 60000,
    UP_STOP_MS = 12000,
};
/* a process that lived shorter than this fails for a reason that stays for a while */
#define UP_LIVED_NS     10000000000LL
#define UP_PAUSE_NS     1000000000LL
#define UP_PAUSE_MAX_NS 30000000000LL

static volatile sig_atomic_t cli_up_signalled;

static void cli_up_on_signal(int number)
{
    (void)number;
    cli_up_signalled = 1;
}

static int cli_up_spawn(struct cli_up *u, struct cli_up_child *k, int *ret_ready)
{
    int p[2];
    char fd[16];
    if (pipe(p))
        return cli_error(u->cli, CLI_FAILED, "pipe: %s", strerror(errno));
    snprintf(fd, sizeof fd, "%d", p[1]);
    struct stat st;
    k->log_from = stat(k->log, &st) ? 0 : (long)st.st_size;
    pid_t us = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        close(p[0]);
        close(p[1]);
        return cli_error(u->cli, CLI_FAILED, "fork: %s", strerror(errno));
    }
    if (!pid) {
        int log = open(k->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        int null = open("/dev/null", O_RDONLY);
        if (log < 0 || null < 0)
            _exit(127);
        close(p[0]);
        if (k->is_foreign)
            close(p[1]);
        dup2(null, 0);
        dup2(log, 1);
        dup2(log, 2);
        setpgid(0, 0); /* Ctrl-C is for the supervisor, which ends them in order */
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* and none outlives it */
        if (getppid() != us)
            _exit(127);
        if (k->is_foreign) {
            execvp(k->argv[0], (char *const *)(uintptr_t)k->argv);
            _exit(127);
        }
        const char *argv[UP_ARGS + 5];
        int n = 0;
        for (int i = 0; k->argv[i]; i++) {
            argv[n++] = k->argv[i];
            if (i == 1) {
                argv[n++] = "--ready-fd";
                argv[n++] = fd;
                if (*k->http) {
                    argv[n++] = "--set";
                    argv[n++] = k->http_set;
                }
            }
        }
        argv[n] = NULL;
        execv(u->self, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(p[1]);
    fcntl(p[0], F_SETFD, FD_CLOEXEC);
    k->pid = pid;
    k->started_ns = cli_now_ns();
    *ret_ready = p[0];
    return CLI_OK;
}

/* what a child said since it was started, at least the end of it, and what may help */
void cli_up_tail(const struct cli_up_child *k)
{
    char text[2048];
    FILE *f = fopen(k->log, "re");
    if (!f)
        return;
    fseek(f, 0, SEEK_END);
    long size = ftell(f), from = size - (long)sizeof text + 1;
    fseek(f, from > k->log_from ? from : k->log_from, SEEK_SET);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    fprintf(stderr, "%s:\n%s", k->log, text);
    if (strstr(text, "cannot listen on"))
        fprintf(stderr, "for a second cluster on this host: --dir, and other ports by --set "
                        "master.listen=HOST:PORT --set worker.listen=HOST:PORT\n");
}

/* 1: it is ready, or it ended (pid 0); 0: not yet */
static int cli_up_foreign(const struct cli_up *u, struct cli_up_child *k)
{
    if (waitpid(k->pid, NULL, WNOHANG) == k->pid)
        k->pid = 0;
    else if (!cli_up_zk_is_ready(u))
        return usleep(100000), 0;
    return 1;
}

static int cli_up_start(struct cli_up *u, struct cli_up_child *k)
{
    int ready, code = cli_up_spawn(u, k, &ready);
    if (code)
        return code;
    int64_t until = cli_now_ns() + UP_START_MS * 1000000LL;
    char word[8] = "";
    for (;;) {
        struct pollfd p = {.fd = ready, .events = POLLIN};
        int n = k->is_foreign ? cli_up_foreign(u, k) : poll(&p, 1, 100);
        if (n > 0) {
            bool said = k->is_foreign ? k->pid != 0 : read(ready, word, sizeof word) > 0;
            close(ready);
            if (said)
                return CLI_OK;
            if (k->pid)
                waitpid(k->pid, NULL, 0);
            k->pid = 0;
            cli_up_tail(k);
            return cli_error(u->cli, CLI_FAILED, "%s did not start", k->name);
        }
        if (cli_up_signalled || cli_now_ns() > until) {
            close(ready);
            return cli_error(u->cli, CLI_FAILED,
                             cli_up_signalled ? "interrupted"
                                              : "%s was not ready in a minute; see %s",
                             k->name, k->log);
        }
    }
}

static void cli_up_end(struct cli_up_child *k)
{
    if (!k->pid)
        return;
    kill(k->pid, SIGTERM);
    for (int ms = 0; ms < UP_STOP_MS; ms += 20) {
        if (waitpid(k->pid, NULL, WNOHANG) == k->pid) {
            k->pid = 0;
            return;
        }
        usleep(20000);
    }
    kill(k->pid, SIGKILL);
    waitpid(k->pid, NULL, 0);
    k->pid = 0;
}

static struct cli_up_child *cli_up_child(struct cli_up *u, const char *name, const char *command)
{
    struct cli_up_child *k = &u->child[u->n++];
    snprintf(k->name, sizeof k->name, "%s", name);
    snprintf(k->log, sizeof k->log, "%s/%s.log", u->dir, name);
    k->argv[0] = u->self;
    k->argv[1] = command;
    k->argv[2] = "--config";
    k->argv[3] = u->config;
    int before = 0;
    for (const struct cli_up_child *other = u->child; other < k; other++)
        before += !strcmp(other->argv[1], command);
    char http[ENV_ADDR_MAX];
    if (cli_up_http(u->cli->config, command, before, http, sizeof http)) {
        snprintf(k->http, sizeof k->http, "%s", http);
        snprintf(k->http_set, sizeof k->http_set, "%s.http=%s", command, http);
    }
    return k;
}

static int cli_up_write_config(struct cli_up *u)
{
    char *json = config_json(u->cli->config, false);
    FILE *f = fopen(u->config, "we");
    bool is_secret = *config_str(u->cli->config, CONFIG_JOURNAL_ZK_AUTH) != 0; /* or its file */
    bool ok = f && (!is_secret || !fchmod(fileno(f), 0600)) && fputs(json, f) >= 0 &&
              fputc('\n', f) == '\n';
    if (f && fclose(f))
        ok = false;
    free(json);
    return ok ? CLI_OK : cli_error(u->cli, CLI_FAILED, "%s: %s", u->config, strerror(errno));
}

static void cli_up_sets(struct cli_up_child *k, int n)
{
    for (int s = 0; s < n; s++) {
        k->argv[4 + 2 * s] = "--set";
        k->argv[5 + 2 * s] = k->sets[s];
    }
}

static void cli_up_master(struct cli_up *u, const struct config_member *m)
{
    char name[24], dir[PATH_MAX];
    snprintf(name, sizeof name, "master-%u", m->id);
    struct cli_up_child *k = cli_up_child(u, name, "master");
    snprintf(k->sets[0], sizeof k->sets[0], "journal.id=%u", m->id);
    snprintf(k->sets[1], sizeof k->sets[1], "master.listen=%s", m->addr);
    snprintf(k->sets[2], sizeof k->sets[2], "master.dir=%s", cli_up_group_dir(u, m->id, dir));
    cli_up_sets(k, UP_SETS);
    k->is_one_of = true;
}

static int cli_up_plan(struct cli_up *u)
{
    struct config *g = u->cli->config;
    const char *base = *config_str(g, CONFIG_WORKER_DIR) ? config_str(g, CONFIG_WORKER_DIR) : NULL;
    char worker_base[PATH_MAX];
    snprintf(worker_base, sizeof worker_base, "%s%s", base ? base : u->dir, base ? "" : "/worker");
    if (u->has_server)
        cli_up_zk_plan(u, cli_up_child(u, "zookeeper", "zookeeper"));
    for (uint32_t i = 0; i < u->n_members; i++)
        cli_up_master(u, &u->member[i]);
    if (!u->n_members)
        cli_up_child(u, "master", "master");
    const char *listen = config_str(g, CONFIG_WORKER_LISTEN), *colon = strrchr(listen, ':');
    for (int i = 0; i < config_int(g, CONFIG_UP_WORKERS); i++) {
        char name[24];
        snprintf(name, sizeof name, "worker-%d", i + 1);
        struct cli_up_child *k = cli_up_child(u, name, "worker");
        snprintf(k->sets[0], sizeof k->sets[0], "worker.dir=%s-%d", worker_base, i + 1);
        snprintf(k->sets[1], sizeof k->sets[1], "worker.listen=%.*s:%d", (int)(colon - listen),
                 listen, atoi(colon + 1) + i);
        cli_up_sets(k, 2);
    }
    if (*config_str(g, CONFIG_MOUNT_POINT)) {
        struct cli_up_child *k = cli_up_child(u, "mount", "mount");
        k->argv[4] = config_str(g, CONFIG_MOUNT_POINT);
        k->is_mount = true;
    }
    return cli_up_write_config(u);
}

/* As realpath, but a dead mount there, which the mount process replaces, cannot be looked at. */
static bool cli_up_point(const char *point, char path[PATH_MAX])
{
    char parent[PATH_MAX];
    if (realpath(point, path))
        return true;
    size_t n = strlen(point);
    while (n > 1 && point[n - 1] == '/')
        n--;
    if (errno != ENOTCONN || n >= sizeof parent)
        return false;
    size_t at = n;
    while (at && point[at - 1] != '/')
        at--;
    snprintf(parent, sizeof parent, "%.*s", at ? (int)at : 1, at ? point : ".");
    if (!realpath(parent, path))
        return false;
    size_t used = strlen(path);
    used -= used == 1; /* "/" */
    return snprintf(path + used, PATH_MAX - used, "/%.*s", (int)(n - at), point + at) <
           (int)(PATH_MAX - used);
}

static bool cli_up_is_inside(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    while (n && dir[n - 1] == '/')
        n--;
    return !strncmp(path, dir, n) && (path[n] == '/' || !path[n]);
}

/* A mount that serves itself hangs, and caches are nothing to be served. */
static int cli_up_check(struct cli_up *u)
{
    uint32_t n;
    const struct master_mount *m = config_mounts(u->cli->config, &n);
    const char *point = config_str(u->cli->config, CONFIG_MOUNT_POINT);
    for (uint32_t i = 0; i < n; i++) {
        char store[PATH_MAX];
        if (strncmp(m[i].uri, "dir:", 4) || !realpath(m[i].uri + 4, store))
            continue;
        if (cli_up_is_inside(u->dir, store))
            return cli_error(u->cli, CLI_USAGE,
                             "%s, for journal and caches, lies in the under-store %s: name another "
                             "directory by --dir",
                             u->dir, store);
        if (*point && cli_up_is_inside(point, store))
            return cli_error(
                u->cli, CLI_USAGE,
                "the mount point %s lies in the under-store %s: name another directory "
                "by --mount",
                point, store);
    }
    return CLI_OK;
}

static int cli_up_options(struct cli_up *u)
{
    const struct cli *c = u->cli;
    struct stat st;
    char err[CONFIG_ERROR_MAX], path[PATH_MAX], uri[PATH_MAX + 8];
    const char *store = cli_value(c, "under-store", NULL), *point = cli_value(c, "mount", NULL);
    const char *workers = cli_value(c, "workers", NULL), *dir = cli_value(c, "dir", ".tarn");
    if (workers && config_set(c->config, "up.workers", workers, err, sizeof err))
        return cli_error(c, CLI_USAGE, "--workers: %s", err);
    if (store) {
        if (!realpath(store, path))
            return cli_error(c, CLI_FAILED, "--under-store %s: %s", store, strerror(errno));
        if (access(path, R_OK | X_OK) || stat(path, &st) || !S_ISDIR(st.st_mode))
            return cli_error(c, CLI_FAILED, "--under-store %s: not a directory that may be read",
                             store);
        snprintf(uri, sizeof uri, "dir:%s", path);
        config_drop_mount(c->config, "/"); /* as with --set, the command line prevails */
        if (config_put_mount(c->config, "/", uri, cli_value(c, "mode", "ro"), "1s", err,
                             sizeof err))
            return cli_error(c, CLI_USAGE, "--under-store: %s", err);
    }
    uint32_t n;
    config_mounts(c->config, &n);
    if (!n)
        return cli_error(
            c, CLI_USAGE,
            "nothing to serve: give --under-store DIR, or mounts in the configuration");
    bool made_dir = !mkdir(dir, 0755), made_point = false;
    if ((!made_dir && errno != EEXIST) || !realpath(dir, path) || strlen(path) >= sizeof u->dir)
        return cli_error(c, CLI_FAILED, "--dir %s: %s", dir, strerror(errno));
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return cli_error(c, CLI_FAILED, "--dir %s: not a directory", dir);
    memcpy(u->dir, path, strlen(path) + 1);
    if (cli_value(c, "dir", NULL)) { /* not those of a configuration, perhaps another cluster's */
        config_set(c->config, "master.dir", "", err, sizeof err);
        config_set(c->config, "worker.dir", "", err, sizeof err);
    }
    const char *secret = config_str(c->config, CONFIG_CLUSTER_SECRET_FILE);
    if (*secret && realpath(secret, path)) /* other commands run elsewhere */
        config_set(c->config, "cluster.secret_file", path, err, sizeof err);
    snprintf(u->config, sizeof u->config, "%s/tarn.json", u->dir);
    if (point) {
        made_point = !mkdir(point, 0755);
        if ((!made_point && errno != EEXIST && errno != ENOTCONN) || !cli_up_point(point, path))
            return cli_error(c, CLI_FAILED, "--mount %s: %s", point, strerror(errno));
        config_set(c->config, "mount.point", path, err, sizeof err);
    }
    int code = cli_up_check(u);
    if (code) {
        if (made_point)
            rmdir(point);
        if (made_dir)
            rmdir(dir);
        return code;
    }
    ssize_t len = readlink("/proc/self/exe", u->self, sizeof u->self - 1);
    if (len < 0)
        return cli_error(c, CLI_FAILED, "/proc/self/exe: %s", strerror(errno));
    u->self[len] = 0;
    return CLI_OK;
}

static void cli_up_say_http(const struct cli_up *u)
{
    const char *before = "health and metrics:";
    for (int i = 0; i < u->n; i++)
        if (*u->child[i].http) {
            printf("%s %s http://%s", before, u->child[i].name, u->child[i].http);
            before = ",";
        }
    if (*before == ',')
        printf("\n");
}

static void cli_up_say(const struct cli_up *u)
{
    const struct config *g = u->cli->config;
    if (u->cli->json) {
        cJSON *j = cJSON_CreateObject(), *pids = cJSON_AddObjectToObject(j, "pids");
        cJSON_AddStringToObject(j, "config", u->config);
        cJSON_AddStringToObject(j, "masters", config_masters(g));
        cJSON_AddStringToObject(j, "journal", config_str(g, CONFIG_JOURNAL_TYPE));
        cJSON_AddStringToObject(j, "mount", config_str(g, CONFIG_MOUNT_POINT));
        cJSON *http = cJSON_AddObjectToObject(j, "http");
        for (int i = 0; i < u->n; i++) {
            cJSON_AddNumberToObject(pids, u->child[i].name, u->child[i].pid);
            if (*u->child[i].http)
                cJSON_AddStringToObject(http, u->child[i].name, u->child[i].http);
        }
        cli_print_json(j);
    } else {
        printf("tarn is up: master%s at %s, %d worker%s, logs in %s\n", u->n_members ? "s" : "",
               config_masters(g), (int)config_int(g, CONFIG_UP_WORKERS),
               config_int(g, CONFIG_UP_WORKERS) == 1 ? "" : "s", u->dir);
        if (u->is_zk)
            printf("journal in %s, elected through ZooKeeper at %s%s\n",
                   config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR),
                   config_str(g, CONFIG_JOURNAL_ZK_CONNECT), u->has_server ? ", started here" : "");
        if (*config_str(g, CONFIG_MOUNT_POINT))
            printf("mounted at %s\n", config_str(g, CONFIG_MOUNT_POINT));
        cli_up_say_http(u);
        printf("other commands find it by: export TARN_CONFIG=%s\nCtrl-C ends it\n", u->config);
    }
    fflush(stdout);
}

/* what became of a process that ended, and what is done about it */
static void cli_up_ended(struct cli_up_child *k, int status)
{
    const char *how = WIFSIGNALED(status) ? "signal" : "status";
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    if (k->is_one_of) {
        k->is_over = true;
        fprintf(stderr, "tarn up: %s ended (%s %d); its log: %s; to start it again:\n  ", k->name,
                how, number, k->log);
        for (int i = 0; k->argv[i]; i++)
            fprintf(stderr, "%s ", k->argv[i]);
        fprintf(stderr, "%s%s\n", *k->http ? "--set " : "", *k->http ? k->http_set : "");
        return;
    }
    bool lived = cli_now_ns() - k->started_ns > UP_LIVED_NS;
    k->pause_ns = lived ? UP_PAUSE_NS : 2 * k->pause_ns + UP_PAUSE_NS;
    if (k->pause_ns > UP_PAUSE_MAX_NS)
        k->pause_ns = UP_PAUSE_MAX_NS;
    k->restart_at_ns = cli_now_ns() + k->pause_ns;
    fprintf(stderr, "tarn up: %s ended (%s %d); starting it again in %lld s; its log: %s\n",
            k->name, how, number, (long long)(k->pause_ns / 1000000000), k->log);
}

static void cli_up_supervise(struct cli_up *u)
{
    while (!cli_up_signalled) {
        int status;
        usleep(100000);
        for (int i = 0; i < u->n; i++) {
            struct cli_up_child *k = &u->child[i];
            if (k->pid && waitpid(k->pid, &status, WNOHANG) == k->pid) {
                bool clean = WIFEXITED(status) && !WEXITSTATUS(status);
                k->pid = 0;
                if (k->is_mount && clean)
                    return; /* unmounted by the user: the cluster has served its purpose */
                cli_up_ended(k, status);
            }
            int ready;
            if (!k->pid && !k->is_over && cli_now_ns() > k->restart_at_ns &&
                !cli_up_spawn(u, k, &ready))
                close(ready); /* a write to it fails with EPIPE, which the child ignores */
        }
    }
}

static int cli_up_run(struct cli *c)
{
    struct cli_up *u = calloc(1, sizeof *u);
    struct sigaction on = {.sa_handler = cli_up_on_signal};
    if (!u)
        return CLI_FAILED;
    u->cli = c;
    sigaction(SIGINT, &on, NULL);
    sigaction(SIGTERM, &on, NULL);
    signal(SIGPIPE, SIG_IGN);
    int code = cli_up_options(u);
    if (!code)
        code = cli_up_group(u);
    if (!code)
        code = cli_up_plan(u);
    if (!code && !u->is_zk)
        code = cli_up_group_make(u);
    for (int i = 0; i < u->n && !code; i++) {
        if (u->is_zk && i == u->has_server) /* what elects is there, and no master yet */
            code = cli_up_zk_make(u);
        if (!code)
            code = cli_up_start(u, &u->child[i]);
    }
    if (!code) {
        cli_up_say(u);
        cli_up_supervise(u);
    }
    for (int i = u->n; i-- > 0;)
        cli_up_end(&u->child[i]);
    free(u);
    return code;
}

const struct cli_command cli_up = {
    NULL,
    "up",
    "",
    "start a cluster on this host: masters, workers, a mount",
    "Runs until Ctrl-C.  A process that dies is started again, but for one of several masters:\n"
    "the others go on, and how to start it again is said.\n"
    "example: tarn up --under-store /srv/data --mount ./mnt",
    cli_up_run,
    0,
    0,
    {{"under-store", 'u', "DIR",
      "serve this directory at / (default: mounts of the configuration)"},
     {"mode", 0, "ro|through", "of --under-store: read-only (default), or changes reach it"},
     {"mount", 'm', "DIR", "mount the cluster there"},
     {"masters", 0, "N",
      "masters to start, which keep one journal together (default 1; raft, zk: 3)"},
     {"journal", 'j', "local|raft|zk",
      "how they keep it: several masters by raft if nothing is said; zk: in a shared directory, "
      "elected by ZooKeeper, which is started unless journal.zk.connect names one"},
     {"workers", 'n', "N", "workers to start (up.workers)"},
     {"dir", 'd', "DIR", "journal, caches, logs below it (default: ./.tarn)"}}};
