/* bench/bench.c - the frame around every benchmark: options, rounds, medians, report. */
#include "bench/bench.h"
#include "bench/bench_calibrate.h"
#include "bench/bench_journal.h"
#include "cluster/config.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void bench_pin(const struct bench *b, bool is_server)
{
    cpu_set_t set;
    if (!strcmp(b->pin, "free"))
        return;
    CPU_ZERO(&set);
    CPU_SET(is_server && !strcmp(b->pin, "two"), &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "tarn bench: --pin %s: %s\n", b->pin, strerror(errno));
}

int bench_row(struct bench *b, const char *name, const char *unit, int baseline)
{
    for (int i = 0; i < b->n_rows; i++)
        if (!strcmp(b->row[i].name, name))
            return i;
    if (b->n_rows == BENCH_ROWS_MAX)
        abort();
    struct bench_row *r = &b->row[b->n_rows];
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->unit, sizeof r->unit, "%s", unit);
    r->baseline = baseline;
    return b->n_rows++;
}

void bench_sample(struct bench *b, int row, double value)
{
    struct bench_row *r = &b->row[row];
    if (r->n < BENCH_ROUNDS_MAX)
        r->sample[r->n++] = value;
}

static int bench_compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* the rank-th smallest sample */
static double bench_rank(const struct bench_row *r, int rank)
{
    double s[BENCH_ROUNDS_MAX];
    if (!r->n)
        return 0;
    memcpy(s, r->sample, sizeof(double) * (size_t)r->n);
    qsort(s, (size_t)r->n, sizeof(double), bench_compare);
    return s[rank];
}

double bench_median(const struct bench_row *r)
{
    return bench_rank(r, r->n / 2);
}

double bench_quantile(const struct bench_row *r, int of_100)
{
    int rank = (r->n * of_100 + 99) / 100 - 1;
    return bench_rank(r, rank > 0 ? rank : 0);
}

/* the first line that a command prints */
static void bench_ask(const char *command, char *to, size_t cap)
{
    FILE *p = popen(command, "r");
    snprintf(to, cap, "unknown");
    if (p && fgets(to, (int)cap, p))
        to[strcspn(to, "\n")] = 0;
    if (p)
        pclose(p);
}

void bench_machine(char *to, size_t cap)
{
    struct utsname u;
    char cpu[128];
    bench_ask("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo", cpu, sizeof cpu);
    uname(&u);
    snprintf(to, cap, "%s, %ld CPUs, Linux %s", cpu, sysconf(_SC_NPROCESSORS_ONLN), u.release);
}

void bench_commit(char *to, size_t cap)
{
    bench_ask("git rev-parse --short HEAD 2>/dev/null", to, cap);
}

static void bench_report_json(const struct bench *b, const char *machine, const char *commit)
{
    cJSON *j = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    cJSON_AddStringToObject(j, "benchmark", b->title);
    cJSON_AddStringToObject(j, "machine", machine);
    cJSON_AddStringToObject(j, "commit", commit);
    cJSON_AddStringToObject(j, "parameters", b->params);
    cJSON_AddItemToObject(j, "rows", rows);
    for (int i = 0; i < b->n_rows; i++) {
        const struct bench_row *r = &b->row[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", r->name);
        cJSON_AddStringToObject(o, "unit", r->unit);
        cJSON_AddNumberToObject(o, "median", bench_median(r));
        cJSON_AddItemToObject(o, "samples", cJSON_CreateDoubleArray(r->sample, r->n));
        if (r->baseline >= 0 && bench_median(&b->row[r->baseline]) > 0) {
            cJSON_AddStringToObject(o, "baseline", b->row[r->baseline].name);
            cJSON_AddNumberToObject(o, "ratio",
                                    bench_median(r) / bench_median(&b->row[r->baseline]));
        }
        cJSON_AddItemToArray(rows, o);
    }
    char *text = cJSON_Print(j);
    puts(text);
    free(text);
    cJSON_Delete(j);
}

void bench_report(const struct bench *b)
{
    char machine[512], commit[64];
    bench_machine(machine, sizeof machine);
    bench_commit(commit, sizeof commit);
    if (b->json) {
        bench_report_json(b, machine, commit);
        return;
    }
    printf("%s\n  machine   %s\n  commit    %s\n  settings  %s, %d rounds, medians [min..max]\n\n",
           b->title, machine, commit, b->params, b->rounds);
    for (int i = 0; i < b->n_rows; i++) {
        const struct bench_row *r = &b->row[i];
        int digits = strcmp(r->unit, "x") && strcmp(r->unit, "/rec") ? 1 : 2;
        printf("  %-44s %10.*f %-5s [%.*f..%.*f]", r->name, digits, bench_median(r), r->unit,
               digits, bench_rank(r, 0), digits, bench_rank(r, r->n ? r->n - 1 : 0));
        if (r->baseline >= 0 && bench_median(&b->row[r->baseline]) > 0)
            printf("  %.2f x %s", bench_median(r) / bench_median(&b->row[r->baseline]),
                   b->row[r->baseline].name);
        putchar('\n');
    }
}

/* what is to be ended and removed when we are interrupted */
static pthread_mutex_t bench_left_lock = PTHREAD_MUTEX_INITIALIZER;
enum { BENCH_CHILDREN = 64 };
static struct {
    pid_t pid[BENCH_CHILDREN];
    int n;
    char dir[PATH_MAX];
} bench_left;

void bench_track(pid_t pid)
{
    pthread_mutex_lock(&bench_left_lock);
    if (bench_left.n < BENCH_CHILDREN)
        bench_left.pid[bench_left.n++] = pid;
    pthread_mutex_unlock(&bench_left_lock);
}

void bench_forget(pid_t pid)
{
    pthread_mutex_lock(&bench_left_lock);
    int n = 0;
    for (int i = 0; i < bench_left.n; i++)
        if (bench_left.pid[i] != pid)
            bench_left.pid[n++] = bench_left.pid[i];
    bench_left.n = n;
    pthread_mutex_unlock(&bench_left_lock);
}

pid_t bench_spawn(char *const argv[], const char *log)
{
    int p[2], n = 0;
    char word[8], fd_text[16], ready_fd[] = "--ready-fd";
    char *args[64];
    if (pipe(p))
        return -1;
    snprintf(fd_text, sizeof fd_text, "%d", p[1]);
    for (; argv[n] && n < 60; n++)
        args[n] = argv[n];
    args[n++] = ready_fd;
    args[n++] = fd_text;
    args[n] = NULL;
    pid_t us = getpid();
    pid_t pid = fork();
    if (!pid) {
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setpgid(0, 0); /* Ctrl-C is for us, who end them in order */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != us)
            _exit(127);
        dup2(out, 1);
        dup2(out, 2);
        close(p[0]);
        execv(args[0], args);
        _exit(127);
    }
    close(p[1]);
    if (pid > 0)
        bench_track(pid);
    struct pollfd f = {.fd = p[0], .events = POLLIN};
    bool ready = pid > 0 && poll(&f, 1, 30000) > 0 && read(p[0], word, sizeof word) > 0;
    close(p[0]);
    if (ready)
        return pid;
    fprintf(stderr, "tarn bench: %s %s did not start; see %s\n", argv[0], argv[1], log);
    if (pid > 0)
        bench_end(pid);
    return -1;
}

void bench_end(pid_t pid)
{
    kill(pid, SIGTERM);
    for (int i = 0; i < 500; i++) {
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            bench_forget(pid);
            return;
        }
        usleep(10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    bench_forget(pid);
}

bool bench_temp_dir(const struct bench *b, char *path, size_t cap)
{
    snprintf(path, cap, "%s/tarn-bench-XXXXXX", b->dir);
    if (mkdtemp(path)) {
        pthread_mutex_lock(&bench_left_lock);
        snprintf(bench_left.dir, sizeof bench_left.dir, "%s", path);
        pthread_mutex_unlock(&bench_left_lock);
        return true;
    }
    fprintf(stderr, "tarn bench: %s: %s; --dir names another place\n", b->dir, strerror(errno));
    return false;
}

static int bench_remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

void bench_remove(const char *path)
{
    nftw(path, bench_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Interrupted: what was started is ended, the last first, and what was made is removed.  By a
 * thread, because that is more than a handler of signals may do. */
static void *bench_guard_main(void *arg)
{
    sigset_t *set = arg;
    int number;
    while (sigwait(set, &number))
        ;
    pthread_mutex_lock(&bench_left_lock);
    int n = bench_left.n;
    while (n-- > 0) {
        kill(bench_left.pid[n], SIGTERM);
        int i = 0;
        while (i < 500 && !kill(bench_left.pid[n], 0) &&
               waitpid(bench_left.pid[n], NULL, WNOHANG) != bench_left.pid[n]) {
            usleep(10000);
            i++;
        }
        if (i == 500 && !kill(bench_left.pid[n], SIGKILL))
            waitpid(bench_left.pid[n], NULL, 0);
    }
    if (bench_left.dir[0])
        bench_remove(bench_left.dir);
    _exit(128 + number);
}

static void bench_guard(void)
{
    static sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, bench_guard_main, &set))
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    else
        pthread_detach(thread);
}

bool bench_fail(const char *what)
{
    fprintf(stderr, "tarn bench: %s: %s\n", what, strerror(errno));
    return false;
}

int bench_port(void)
{
    return 10000 + 2 * (getpid() % 5000);
}

bool bench_config(const char *dir, char *ret_path, size_t cap)
{
    int port = bench_port();
    snprintf(ret_path, cap, "%s/tarn.json", dir);
    FILE *f = fopen(ret_path, "we");
    if (!f)
        return bench_fail(ret_path);
    fprintf(f,
            "{\"master\": {\"dir\": \"%s/master\", \"listen\": \"127.0.0.1:%d\"},\n"
            " \"worker\": {\"dir\": \"%s/worker\", \"listen\": \"127.0.0.1:%d\"},\n"
            " \"mounts\": [{\"path\": \"/\", \"ufs\": \"dir:%s/under\", \"mode\": \"through\"}]}\n",
            dir, port, dir, port + 1, dir);
    fclose(f);
    return true;
}

static int bench_usage(FILE *out, int code)
{
    fprintf(
        out,
        "usage: tarn bench NAME [options]\n\n"
        "  meta    durable creates and stats on one master, beside raw log writes and round trips\n"
        "  image   a large state: memory, loading its image, latencies while one is written\n"
        "  journal appends to the journal of three masters, beside raw quorum writes, cowsql/raft, "
        "etcd,\n"
        "          ZooKeeper (those that are installed: deploy/setup bench)\n"
        "  failover  how long a client gets no answer when the leader is killed, stopped, cut off\n"
        "  restart  a master of three is killed and started again with a large state\n"
        "  fuse    reads, stats and creates through the mount, beside a trivial in-memory mount\n"
        "  names   find, ls -l, tar and rm -r through the mount, beside the local file system\n"
        "  connect connections made, with the cluster secret and without\n"
        "  reads   questions to three masters: to the leader, and to all in turn\n"
        "  calibrate  measures this machine for the simulator: disk, loopback, processor\n"
        "  predict    three journals, simulated with such a model and real: does it hold?\n"
        "  sim     events a second of the simulator, beside a bare queue; seeds a minute\n\n"
        "options:\n"
        "  --rounds N    of each measurement; medians are printed (default 5)\n"
        "  --seconds S   of each measurement (default 1); --minutes M is the same\n"
        "  --pin WHERE   fuse: processes run free (default), all on one CPU, or on two: the "
        "reader\n"
        "                on one, everything that serves him on the other\n"
        "  --files N     image, restart: files of the state; names: of the tree that find walks; "
        "with K or "
        "M\n"
        "                (default 1M)\n"
        "  --tail N      restart: files that are made while the master is down (default: a "
        "twentieth)\n"
        "  --depth N     meta, journal, reads: only with N requests outstanding (default: 1, 8, "
        "64, 512)\n"
        "  --only WHAT   meta: only create, or only stat; journal: of raw,cowsql,batched,tarn,\n"
        "                etcd,zk,tcp,masters,local,shared,alone (batched: cowsql called in\n"
        "                batches; tcp: ours over TCP; masters: with a namespace; local: the\n"
        "                journal of one; shared: the log on a shared directory; alone: that of "
        "one)\n"
        "                failover: of kill,transfer,stop,link,cut,deaf,mute,busy,zk-kill,\n"
        "                zk-transfer (at the journal alone), masters (kill, transfer, stop at a\n"
        "                client of masters), mount (the same at a program that writes files);\n"
        "                graceful beside these: only\n"
        "                their hand-overs\n"
        "                sim: of files,failures,journals,light,failover; large: 1,000 workers\n"
        "  --out FILE    calibrate: the model that is written (default: model.json)\n"
        "  --model FILE  predict: such a model (default: model.json)\n"
        "  --quick       one round of 0.05 s: does it work?\n"
        "  --dir DIR     where files are made (default: the current directory)\n"
        "  --json        one JSON document\n");
    return code;
}

/* "10M"; 0: not a number */
static uint64_t bench_count(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    n *= *end == 'K' ? 1000 : *end == 'M' ? 1000000 : 1;
    return *end && (end[1] || !strchr("KM", *end)) ? 0 : n;
}

static const char *const bench_all[] = {"meta",      "image",   "journal", "failover",
                                        "fuse",      "names",   "connect", "reads",
                                        "calibrate", "predict", "sim"};

static int bench_unknown(const char *what, const char *word, const char *const *names, size_t n)
{
    const char *near = config_nearest(word, names, n);
    fprintf(stderr, "tarn bench: unknown %s \"%s\"%s%s%s; see --help\n", what, word,
            near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    return 2;
}

static void bench_option(struct bench *b, const char *name, const char *value)
{
    if (!strcmp(name, "--rounds"))
        b->rounds = atoi(value);
    else if (!strcmp(name, "--seconds"))
        b->seconds = atof(value);
    else if (!strcmp(name, "--minutes"))
        b->seconds = atof(value) * 60;
    else if (!strcmp(name, "--files"))
        b->files = bench_count(value);
    else if (!strcmp(name, "--tail"))
        b->tail = bench_count(value);
    else if (!strcmp(name, "--dir"))
        b->dir = value;
    else if (!strcmp(name, "--pin"))
        b->pin = value;
    else if (!strcmp(name, "--depth"))
        b->depth = atoi(value);
    else if (!strcmp(name, "--model"))
        b->model = value;
    else if (!strcmp(name, "--out"))
        b->out = value;
    else
        b->only = value;
}

/* 0, or an exit code + 1 */
static int bench_options(struct bench *b, int argc, char **argv)
{
    static const char *const names[] = {"--rounds",  "--seconds", "--files", "--dir",   "--pin",
                                        "--depth",   "--only",    "--json",  "--quick", "--help",
                                        "--minutes", "-h",        "--tail",  "--model", "--out"};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(names) && strcmp(names[k], argv[i]))
            k++;
        if (k == ARRAY_LEN(names))
            return bench_unknown("option", argv[i], names, ARRAY_LEN(names)) + 1;
        if (k == 9 || k == 11)
            return bench_usage(stdout, 0) + 1;
        if (k == 7) {
            b->json = true;
        } else if (k == 8) {
            b->rounds = 1;
            b->seconds = 0.05;
        } else if (i + 1 == argc) {
            fprintf(stderr, "tarn bench: %s needs a value; see --help\n", argv[i]);
            return 3;
        } else {
            bench_option(b, argv[i], argv[i + 1]);
            i++;
        }
    }
    if (strcmp(b->pin, "free") && strcmp(b->pin, "one") && strcmp(b->pin, "two")) {
        fprintf(stderr, "tarn bench: --pin is free, one or two\n");
        return 3;
    }
    if (b->files < 100 || b->files > 200000000) {
        fprintf(stderr, "tarn bench: --files is 100 to 200M\n");
        return 3;
    }
    if (b->depth < 0 || b->depth > BENCH_DEPTH_MAX ||
        (b->only && !strcmp(argv[0], "meta") && strcmp(b->only, "create") &&
         strcmp(b->only, "stat"))) {
        fprintf(stderr, "tarn bench: --depth is 1 to %d, --only create or stat\n", BENCH_DEPTH_MAX);
        return 3;
    }
    if (b->rounds >= 1 && b->rounds <= BENCH_ROUNDS_MAX && b->seconds >= 0.01 &&
        b->seconds <= 86400)
        return 0;
    fprintf(stderr, "tarn bench: --rounds is 1 to %d, --seconds 0.01 to 86400\n", BENCH_ROUNDS_MAX);
    return 3;
}

int bench_main(int argc, char **argv)
{
    static struct bench b = {
        .rounds = 5, .seconds = 1, .files = 1000000, .pin = "free", .dir = "."};
    if (argc < 1 || !strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))
        return bench_usage(argc < 1 ? stderr : stdout, argc < 1 ? 2 : 0);
    if (!strcmp(argv[0], "journal-node")) /* started by us, see bench_journal.h */
        return bench_journal_node(argc - 1, argv + 1);
    if (!strcmp(argv[0], "journal-watch"))
        return bench_journal_watch(argc - 1, argv + 1);
    if (!strcmp(argv[0], "journal-meta"))
        return bench_journal_meta(argc - 1, argv + 1);
    if (!strcmp(argv[0], "failover-files"))
        return bench_failover_files(argc - 1, argv + 1);
    if (!strcmp(argv[0], "journal-client"))
        return bench_journal_client(argc - 1, argv + 1);
    if (!strcmp(argv[0], "calibrate-node"))
        return bench_calibrate_node(argc - 1, argv + 1);
    if (!strcmp(argv[0], "journal-raw"))
        return bench_journal_raw(argc - 1, argv + 1);
    int code = bench_options(&b, argc, argv);
    if (code)
        return code - 1;
    ssize_t n = readlink("/proc/self/exe", b.self, sizeof b.self - 1);
    b.self[n > 0 ? n : 0] = 0;
    signal(SIGPIPE, SIG_IGN);
    bench_guard();
    if (!strcmp(argv[0], "meta"))
        return bench_meta_main(&b);
    if (!strcmp(argv[0], "fuse"))
        return bench_fuse_main(&b);
    if (!strcmp(argv[0], "names"))
        return bench_names_main(&b);
    if (!strcmp(argv[0], "image"))
        return bench_image_main(&b);
    if (!strcmp(argv[0], "journal"))
        return bench_journal_main(&b);
    if (!strcmp(argv[0], "restart"))
        return bench_restart_main(&b);
    if (!strcmp(argv[0], "failover"))
        return bench_failover_main(&b);
    if (!strcmp(argv[0], "connect"))
        return bench_connect_main(&b);
    if (!strcmp(argv[0], "reads"))
        return bench_reads_main(&b);
    if (!strcmp(argv[0], "calibrate"))
        return bench_calibrate_main(&b);
    if (!strcmp(argv[0], "predict"))
        return bench_predict_main(&b);
    if (!strcmp(argv[0], "sim"))
        return bench_sim_main(&b);
    return bench_unknown("benchmark", argv[0], bench_all, ARRAY_LEN(bench_all));
}
