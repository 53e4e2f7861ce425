/* tests/chaos/chaos_main.c - clients of a real cluster that is being broken, and a judge.
 *
 *   chaos load  MASTERS PATH FILE [-c CLIENTS] [-k KEYS] [-t SECONDS] [-s SECRET-FILE] [-a]
 *   chaos check FILE
 *
 * Registers are directories below PATH, a value is a modification time: written by utimens, read by
 * stat.  Beside that each client makes directories whose names nobody else uses: that one is there
 * already means that a request was applied twice, that one is missing at the end means that an
 * answer was a lie.
 *
 * -a: clients read from any master (client.read_from), not from the leader alone.
 *
 * The history is text as sim/lab_history.h reads it, the checker is the simulator's.  A line is one
 * write() with O_APPEND before a call and after its answer, so the order of lines is real time.  A
 * client that does not know whether a write took effect goes on under another number: the write
 * stays open for ever. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cluster/tarn.h"
#include "core/prng.h"
#include "sim/lab_history.h"

enum { CLIENTS_MAX = 64, WGL_STEPS = 20 * 1000 * 1000 };

static struct {
    const char *masters, *path, *secret;
    int file;
    unsigned clients, keys;
    bool read_any;
    int64_t until_ns;
} opt = {.clients = 6, .keys = 4};

struct client_thread {
    pthread_t thread;
    unsigned n, process;
    uint64_t seq, did, maybe, failed, made;
    int64_t worst_ns, last_ns; /* longest time between two answers */
    time_t worst_at;           /* its end */
    int err;
};

static volatile sig_atomic_t ending; /* SIGTERM: what is under way is finished, then judged */

static void on_term(int sig)
{
    (void)sig;
    ending = 1;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void line(const char *fmt, ...)
{
    char b[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b, sizeof b, fmt, ap);
    va_end(ap);
    if (write(opt.file, b, (size_t)n) != n) {
        perror("chaos: history");
        exit(1);
    }
}

static void answered(struct client_thread *c)
{
    int64_t now = now_ns();
    if (c->last_ns && now - c->last_ns > c->worst_ns) {
        c->worst_ns = now - c->last_ns;
        c->worst_at = time(NULL);
    }
    c->last_ns = now;
}

/* one operation more, of what it was or, if it failed, of what that means */
static void count(struct client_thread *c, int err, uint64_t *did, uint64_t *not_done)
{
    ++*(err ? not_done : did);
    if (err)
        c->err = err;
    else
        answered(c);
}

/* a number that no other write has */
static int64_t value_new(struct client_thread *c)
{
    return ((int64_t)(c->n + 1) << 40) + (int64_t)++c->seq;
}

static void write_one(struct client_thread *c, struct tarn *t, unsigned key, const char *path)
{
    int64_t v = value_new(c);
    line("{:process %u, :type :invoke, :f :write, :key \"%u\", :value %lld}\n", c->process, key,
         (long long)v);
    int err = tarn_utimens(t, path, v, v);
    line("{:process %u, :type :%s, :f :write, :key \"%u\", :value %lld}\n", c->process,
         err ? "info" : "ok", key, (long long)v);
    count(c, err, &c->did, &c->maybe);
    c->process += err ? CLIENTS_MAX : 0;
}

static void read_one(struct client_thread *c, struct tarn *t, unsigned key, const char *path)
{
    struct fsattr a;
    line("{:process %u, :type :invoke, :f :read, :key \"%u\", :value nil}\n", c->process, key);
    int err = tarn_stat(t, path, &a);
    if (err)
        line("{:process %u, :type :fail, :f :read, :key \"%u\", :value nil}\n", c->process, key);
    else
        line("{:process %u, :type :ok, :f :read, :key \"%u\", :value %lld}\n", c->process, key,
             (long long)a.mtime_ns);
    count(c, err, &c->did, &c->failed);
}

static void make_one(struct client_thread *c, struct tarn *t)
{
    char path[512];
    uint64_t n = ++c->seq;
    snprintf(path, sizeof path, "%s/made-%d-%u-%llu", opt.path, (int)getpid(), c->n,
             (unsigned long long)n);
    int err = tarn_mkdir(t, path, 0755);
    if (!err || err == E_EXIST)
        line("# %s %s\n", err ? "twice" : "made", strstr(path, "made-"));
    count(c, err, &c->made, &c->maybe);
}

static struct tarn *connected(unsigned patience_s)
{
    struct tarn_options o = tarn_options_default();
    struct tarn *t = NULL;
    int err = E_TIMEOUT;
    o.client.masters = opt.masters;
    o.client.ask_always = true;
    o.client.read_any = opt.read_any;
    o.secret_file = opt.secret;
    o.uid = o.gid = 0;
    for (int64_t end = now_ns() + patience_s * 1000000000LL; err && now_ns() < end;) {
        err = tarn_connect(&o, &t);
        if (err)
            usleep(100000);
    }
    if (err)
        fprintf(stderr, "chaos: %s: %s\n", opt.masters, tarn_strerror(err));
    return err ? NULL : t;
}

static void *client_main(void *ctx)
{
    struct client_thread *c = ctx;
    struct prng rng;
    struct tarn *t = connected(30);
    prng_seed(&rng, (uint64_t)now_ns(), "chaos", c->n);
    while (t && !ending && now_ns() < opt.until_ns) {
        char path[512];
        unsigned key = (unsigned)prng_below(&rng, opt.keys), what = (unsigned)prng_below(&rng, 20);
        snprintf(path, sizeof path, "%s/register-%u", opt.path, key);
        if (what < 9)
            write_one(c, t, key, path);
        else if (what < 18)
            read_one(c, t, key, path);
        else
            make_one(c, t);
        usleep(2000 + (unsigned)prng_below(&rng, 6000));
    }
    if (!t)
        c->err = E_UNAVAILABLE;
    else
        tarn_disconnect(t);
    return NULL;
}

static int registers_make(void)
{
    struct tarn *t = connected(30);
    int err = t ? 0 : E_UNAVAILABLE;
    for (unsigned k = 0; !err && k < opt.keys; k++) {
        char path[512];
        int64_t v = (int64_t)k + 1;
        snprintf(path, sizeof path, "%s/register-%u", opt.path, k);
        err = tarn_mkdir(t, path, 0755);
        line("{:process %u, :type :invoke, :f :write, :key \"%u\", :value %lld}\n",
             50 * CLIENTS_MAX, k, (long long)v);
        if (!err || err == E_EXIST)
            err = tarn_utimens(t, path, v, v);
        line("{:process %u, :type :ok, :f :write, :key \"%u\", :value %lld}\n", 50 * CLIENTS_MAX, k,
             (long long)v);
    }
    if (err)
        fprintf(stderr, "chaos: making the registers: %s\n", tarn_strerror(err));
    if (t)
        tarn_disconnect(t);
    return err;
}

/* every name that is there at the end */
static int names_list(void)
{
    struct tarn *t = connected(60);
    struct tarn_dir *d;
    struct tarn_dirent e;
    int err = t ? tarn_opendir(t, opt.path, &d) : E_UNAVAILABLE;
    while (!err && (err = tarn_readdir(d, &e)) > 0) {
        if (!strncmp(e.name, "made-", 5))
            line("# there %s\n", e.name);
        err = 0;
    }
    line(err ? "# unlisted\n" : "# listed\n");
    if (err)
        fprintf(stderr, "chaos: listing: %s\n", tarn_strerror(err));
    return err;
}

static int load(unsigned seconds)
{
    static struct client_thread c[CLIENTS_MAX];
    uint64_t did = 0, maybe = 0, failed = 0, made = 0;
    int64_t worst = 0;
    time_t worst_at = 0;
    char at[16] = "";
    int err = registers_make();
    if (err)
        return 1;
    signal(SIGTERM, on_term);
    opt.until_ns = now_ns() + seconds * 1000000000LL;
    for (unsigned i = 0; i < opt.clients; i++) {
        c[i].n = c[i].process = i;
        if (pthread_create(&c[i].thread, NULL, client_main, &c[i]))
            return 1;
    }
    for (unsigned i = 0; i < opt.clients; i++) {
        pthread_join(c[i].thread, NULL);
        did += c[i].did;
        maybe += c[i].maybe;
        failed += c[i].failed;
        made += c[i].made;
        if (c[i].worst_ns > worst) {
            worst = c[i].worst_ns;
            worst_at = c[i].worst_at;
        }
        err = c[i].err ? c[i].err : err;
    }
    if (names_list())
        return 1;
    strftime(at, sizeof at, "%T", localtime(&worst_at));
    printf("chaos: %llu reads and writes, %llu names, %llu unknown, %llu reads failed (last error: "
           "%s), longest silence of a client %lld ms, until %s\n",
           (unsigned long long)did, (unsigned long long)made, (unsigned long long)maybe,
           (unsigned long long)failed, err ? tarn_strerror(err) : "none",
           (long long)(worst / 1000000), at);
    return did ? 0 : 1;
}

/* --- the judge --- */

static char *read_all(const char *file, size_t *ret_n)
{
    FILE *f = fopen(file, "rb");
    char *text = NULL;
    size_t n = 0, cap = 0;
    if (!f)
        return NULL;
    for (;;) {
        if (n == cap) {
            cap = cap ? 2 * cap : 1 << 20;
            text = realloc(text, cap + 1);
            if (!text)
                exit(1);
        }
        size_t got = fread(text + n, 1, cap - n, f);
        if (!got)
            break;
        n += got;
    }
    fclose(f);
    text[n] = 0;
    *ret_n = n;
    return text;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* 0: all that were made are there, none was made twice */
static int check_names(const char *text)
{
    char *copy = strdup(text), *save = NULL;
    char **made = malloc(sizeof *made * (strlen(text) / 8 + 1));
    char **there = malloc(sizeof *there * (strlen(text) / 8 + 1));
    size_t n_made = 0, n_there = 0;
    bool listed = false;
    int bad = 0;
    for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(l, "# made ", 7))
            made[n_made++] = l + 7;
        else if (!strncmp(l, "# there ", 8))
            there[n_there++] = l + 8;
        else if (!strncmp(l, "# twice ", 8) && ++bad)
            fprintf(stderr, "chaos: APPLIED TWICE: %s\n", l + 8);
        listed |= !strcmp(l, "# listed");
    }
    if (!listed && ++bad)
        fprintf(stderr, "chaos: the names at the end are not known\n");
    qsort(there, n_there, sizeof *there, name_order);
    for (size_t i = 0; listed && i < n_made; i++)
        if (!bsearch(&made[i], there, n_there, sizeof *there, name_order) && ++bad < 20)
            fprintf(stderr, "chaos: LOST: %s\n", made[i]);
    printf("chaos: %zu names acknowledged, %zu there\n", n_made, n_there);
    free(made);
    free(there);
    free(copy);
    return bad;
}

static int check(const char *file)
{
    static const char *const verdicts[] = {"linearizable", "NOT LINEARIZABLE", "unknown"};
    struct lab_wgl_result r;
    struct lab_history h;
    struct mem m;
    size_t len;
    char *text = read_all(file, &len);
    if (!text) {
        fprintf(stderr, "chaos: %s: %s\n", file, strerror(errno));
        return 2;
    }
    lab_history_mem(&m, 4ull << 30);
    if (lab_history_read(&h, &m, LAB_HISTORY_ANY, text, len)) {
        fprintf(stderr, "chaos: %s:%u: no history: %s\n", file, h.bad_line, h.why);
        return 2;
    }
    int bad = check_names(text);
    lab_wgl_check(&m, h.ops, h.n, h.start, WGL_STEPS, &r);
    printf("chaos: %u operations on %llu registers: %s (%llu steps)\n", h.n,
           (unsigned long long)r.keys, verdicts[r.verdict], (unsigned long long)r.steps);
    if (r.verdict == LAB_WGL_BAD)
        fprintf(stderr, "chaos: %s:%u: no order explains this answer\n", file,
                h.notes[r.tag].answered_line);
    free(text);
    return bad || r.verdict == LAB_WGL_BAD ? 3 : 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: chaos load MASTERS PATH FILE [-c CLIENTS] [-k KEYS] [-t SECONDS] [-s "
                    "SECRET-FILE] [-a]\n       chaos check FILE\n"
                    "Exit status: 0 all is well, 1 nobody answered, 2 usage, 3 a lie was found.\n");
    return 2;
}

int main(int argc, char **argv)
{
    unsigned seconds = 10;
    int o;
    if (argc == 3 && !strcmp(argv[1], "check"))
        return check(argv[2]);
    if (argc < 5 || strcmp(argv[1], "load"))
        return usage();
    opt.masters = argv[2];
    opt.path = argv[3];
    opt.file = open(argv[4], O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (opt.file < 0) {
        fprintf(stderr, "chaos: %s: %s\n", argv[4], strerror(errno));
        return 2;
    }
    optind = 5;
    while ((o = getopt(argc, argv, "c:k:t:s:a")) >= 0) {
        unsigned v = optarg ? (unsigned)atoi(optarg) : 0;
        if (o == 'a')
            opt.read_any = true;
        else if (o == 's')
            opt.secret = optarg;
        else if (o == 't')
            seconds = v;
        else if (o == 'c' && v && v <= CLIENTS_MAX)
            opt.clients = v;
        else if (o == 'k' && v)
            opt.keys = v;
        else
            return usage();
    }
    return load(seconds);
}
