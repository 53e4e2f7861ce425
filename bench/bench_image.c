/* bench/bench_image.c - a large state: bytes of memory a file, how long its image takes to load,
 * and what writing one does to those who are being served.
 *
 * The state machine and the local journal run in this process as they do in a master, without the
 * network: what is measured is theirs.  Changes are kept outstanding in the loop, three of four the
 * attributes of any file (each may have a page copied for the image, the worst there is), one of
 * four a new file.  Stats come from another thread at random moments, as requests do, so that a
 * loop that is busy shows.
 *
 * Baselines of the same run: reading the very image file past the page cache and checksumming it,
 * without making anything of it; and the same load while no image is written, in turn with it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "bench/bench.h"
#include "core/crc.h"
#include "core/meta.h"
#include "journal/journal.h"
#include "net/net.h"

enum { BENCH_IMAGE_OUT = 64, BENCH_IMAGE_DIR = 10000, BENCH_IMAGE_SAMPLES = 1 << 22 };

struct bench_image;

struct bench_image_slot {
    struct env_op op;
    struct bench_image *bi;
    int64_t began_ns;
};

struct bench_image_times {
    uint32_t *ns;
    uint32_t n;
};

struct bench_image {
    struct bench *b;
    char dir[512];
    struct net *net;
    struct mem mem;
    struct meta *meta;
    struct journal *journal;
    struct journal_host host;
    struct meta_limits limits;
    uint64_t files;
    bool leads, failed, stopped, imaged, is_over;
    int64_t image_ret;
    struct env_op image_op, stop_op;
    /* the load */
    struct bench_image_slot slot[BENCH_IMAGE_OUT];
    int busy;
    int64_t end_ns;
    uint64_t made;
    struct ino into, first;
    struct bench_image_times changes, stats, held;
    clockid_t loop_clock; /* processor time of the loop's thread */
    struct env_op stat_op;
    sem_t answered;
    uint64_t asked;
    bool stop_asking;
};

static struct bench_image bench_image_one;

static struct bench_image *bench_image_of(struct journal_host *h)
{
    return container_of(h, struct bench_image, host);
}

static void bench_image_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct bench_image *bi = bench_image_of(h);
    static struct meta_result res;
    struct rbuf r = rbuf_make(rec, len);
    struct fsop op;
    (void)index; /* the first files were not journaled */
    if (fsop_get(&r, &op) == 0)
        meta_apply(bi->meta, meta_applied(bi->meta) + 1, &op, &res);
    bi->failed |= res.reply.err != 0;
}

static void bench_image_role(struct journal_host *h, enum journal_role role, uint64_t epoch,
                             int why)
{
    struct bench_image *bi = bench_image_of(h);
    (void)epoch;
    if (role == JOURNAL_FAILED)
        fprintf(stderr, "tarn bench: the journal failed: %s\n", err_text(why));
    bi->failed = role == JOURNAL_FAILED;
    bi->leads = true;
}

static void bench_image_begin(struct journal_host *h)
{
    meta_image_begin(bench_image_of(h)->meta);
}

static uint32_t bench_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    return meta_image_next(bench_image_of(h)->meta, buf, cap);
}

static void bench_image_end(struct journal_host *h)
{
    meta_image_end(bench_image_of(h)->meta);
}

static int bench_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    return meta_image_load(bench_image_of(h)->meta, piece, len);
}

static void bench_image_reset(struct journal_host *h)
{
    bench_image_of(h)->failed = true;
}

static bool bench_image_wait(struct bench_image *bi, const bool *flag)
{
    int64_t limit = env_now_ns(net_env(bi->net)) + 900000000000LL;
    return net_run_until(bi->net, flag, limit) == 0 && !bi->failed;
}

/* from local_open until it leads, in seconds; -1 */
static double bench_image_open(struct bench_image *bi)
{
    struct journal_config jc = journal_config_default();
    jc.dir = "";
    jc.cluster_hi = jc.cluster_lo = 1;
    jc.image_after_bytes = (uint64_t)1 << 50;
    bi->leads = false;
    int64_t start = bench_now_ns();
    bi->journal = local_open(net_env(bi->net), &bi->mem, &jc, &bi->host);
    if (!bi->journal || !bench_image_wait(bi, &bi->leads))
        return -1;
    return (double)(bench_now_ns() - start) / 1e9;
}

static void bench_image_flag(struct env_op *op)
{
    struct bench_image *bi = container_of(op, struct bench_image, stop_op);
    bi->stopped = true;
}

static bool bench_image_close(struct bench_image *bi)
{
    bi->stopped = false;
    bi->stop_op.done = bench_image_flag;
    journal_stop(bi->journal, &bi->stop_op);
    return bench_image_wait(bi, &bi->stopped);
}

static void bench_image_written(struct env_op *op)
{
    struct bench_image *bi = container_of(op, struct bench_image, image_op);
    bi->image_ret = op->ret;
    bi->imaged = true;
    bi->end_ns = 0;
}

static void bench_image_start(struct bench_image *bi)
{
    bi->imaged = false;
    bi->image_op.done = bench_image_written;
    journal_image_now(bi->journal, &bi->image_op);
}

/* --- memory --- */

static double bench_image_rss(void)
{
    unsigned long pages = 0, rss = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &pages, &rss) != 2)
        rss = 0;
    if (f)
        fclose(f);
    return (double)rss * (double)sysconf(_SC_PAGESIZE);
}

/* the most there ever was: the state, an image's copies, all buffers of this program */
static double bench_image_peak(void)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6))
            kib = atof(line + 6);
    if (f)
        fclose(f);
    return kib * 1024;
}

static struct fsop bench_image_file(struct ino dir, char *name, size_t cap, uint64_t n)
{
    int len = snprintf(name, cap, "f%011llu", (unsigned long long)n); /* 12 bytes */
    return (struct fsop){.kind = FSOP_MKNOD,
                         .ino = dir,
                         .mode = FSOP_S_IFREG | 0644,
                         .time_ns = (int64_t)n,
                         .name = name,
                         .name_len = (uint32_t)len};
}

static bool bench_image_fill(struct bench_image *bi)
{
    static struct meta_result res;
    struct bench *b = bi->b;
    char name[32];
    double rss = bench_image_rss(), used = (double)bi->mem.used;
    int64_t start = bench_now_ns();
    for (uint64_t n = 0; n < bi->files; n++) {
        if (n % BENCH_IMAGE_DIR == 0) {
            struct fsop op = bench_image_file(INO_ROOT, name, sizeof name, n);
            op.kind = FSOP_MKDIR;
            meta_apply(bi->meta, meta_applied(bi->meta) + 1, &op, &res);
            bi->into = res.reply.attr.ino;
        }
        struct fsop op = bench_image_file(bi->into, name, sizeof name, n);
        meta_apply(bi->meta, meta_applied(bi->meta) + 1, &op, &res);
        if (res.reply.err) {
            fprintf(stderr, "tarn bench: file %llu: %s\n", (unsigned long long)n,
                    err_text(res.reply.err));
            return false;
        }
        if (n == 0)
            bi->first = res.reply.attr.ino;
    }
    double files = (double)bi->files, seconds = (double)(bench_now_ns() - start) / 1e9;
    struct meta_stats st;
    meta_stats(bi->meta, &st);
    bench_sample(b, bench_row(b, "apply of creates, one after the other", "op/s", -1),
                 files / seconds);
    bench_sample(b, bench_row(b, "pages, with a name of 12 bytes", "B", -1),
                 (double)st.bytes / files);
    bench_sample(b, bench_row(b, "allocated, the same", "B", -1),
                 ((double)bi->mem.used - used) / files);
    bench_sample(b, bench_row(b, "resident, the same", "B", -1), (bench_image_rss() - rss) / files);
    return true;
}

/* --- the load --- */

static int64_t bench_image_loop_ns(const struct bench_image *bi)
{
    struct timespec t;
    clock_gettime(bi->loop_clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void bench_image_note(struct bench_image_times *t, int64_t took)
{
    if (t->n < BENCH_IMAGE_SAMPLES)
        t->ns[t->n++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

/* inodes were given out one after the other, one for the directory before every BENCH_IMAGE_DIR */
static struct ino bench_image_any(const struct bench_image *bi, uint64_t random)
{
    uint64_t n = base_mix_u64(random) % bi->files;
    return (struct ino){bi->first.v + n + n / BENCH_IMAGE_DIR};
}

static void bench_image_change(struct bench_image_slot *s)
{
    struct bench_image *bi = s->bi;
    uint8_t rec[256];
    char name[32];
    struct wbuf w = wbuf_make(rec, sizeof rec);
    struct fsop op = {.kind = FSOP_SETATTR,
                      .ino = bench_image_any(bi, ++bi->made),
                      .valid = FSOP_SET_MODE,
                      .mode = 0600 | (bi->made & 0177),
                      .time_ns = (int64_t)(bi->files + bi->made)};
    if (bi->made % 4 == 0)
        op = bench_image_file(bi->into, name, sizeof name, bi->files + bi->made);
    fsop_put(&w, &op);
    s->began_ns = bench_now_ns();
    journal_submit(bi->journal, rec, (uint32_t)w.len, &s->op);
}

static void bench_image_changed(struct env_op *op)
{
    struct bench_image_slot *s = container_of(op, struct bench_image_slot, op);
    struct bench_image *bi = s->bi;
    bi->failed |= op->ret < 0;
    bench_image_note(&bi->changes, bench_now_ns() - s->began_ns);
    if (bench_now_ns() < bi->end_ns && !bi->failed)
        bench_image_change(s);
    else if (--bi->busy == 0)
        bi->is_over = true;
}

static void bench_image_slots(struct bench_image *bi, int n)
{
    bi->is_over = false;
    bi->busy = n;
    for (int i = 0; i < n; i++) {
        bi->slot[i].bi = bi;
        bi->slot[i].op.done = bench_image_changed;
        bench_image_change(&bi->slot[i]);
    }
}

static void bench_image_stat(struct env_op *op)
{
    struct bench_image *bi = container_of(op, struct bench_image, stat_op);
    static uint8_t buf[4096];
    struct fsop_reply rep;
    struct fsop get = {.kind = FSOP_GETATTR, .ino = bench_image_any(bi, bi->asked)};
    meta_query(bi->meta, &get, buf, sizeof buf, &rep);
    bi->failed |= rep.err != 0;
    sem_post(&bi->answered);
}

static void *bench_image_ask(void *arg)
{
    struct bench_image *bi = arg;
    while (!__atomic_load_n(&bi->stop_asking, __ATOMIC_ACQUIRE)) {
        int64_t began = bench_now_ns(), loop = bench_image_loop_ns(bi);
        bi->asked++;
        env_post(net_env(bi->net), &bi->stat_op);
        while (sem_wait(&bi->answered) && errno == EINTR)
            ;
        bench_image_note(&bi->stats, bench_now_ns() - began);
        bench_image_note(&bi->held, bench_image_loop_ns(bi) - loop);
        usleep(50 + (unsigned)(base_mix_u64(bi->asked) % 200));
    }
    return NULL;
}

static int bench_image_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void bench_image_quantiles(struct bench *b, struct bench_image_times *t, const char *what,
                                  bool image)
{
    static const struct {
        const char *name;
        uint32_t per_mille;
    } q[] = {{"p50", 500}, {"p99", 990}, {"p99.9", 999}};
    char name[96];
    qsort(t->ns, t->n, sizeof *t->ns, bench_image_u32);
    for (size_t i = 0; t->n && i < ARRAY_LEN(q); i++) {
        snprintf(name, sizeof name, "%s %s", what, q[i].name);
        int base = bench_row(b, name, "us", -1), row = base;
        if (image) {
            snprintf(name, sizeof name, "%s %s, image being written", what, q[i].name);
            row = bench_row(b, name, "us", base);
        }
        bench_sample(b, row, (double)t->ns[(uint64_t)t->n * q[i].per_mille / 1000] / 1000);
    }
}

/* until the image is written, or without one for b->seconds; false: something failed */
static bool bench_image_round(struct bench_image *bi, bool image)
{
    struct bench *b = bi->b;
    pthread_t asker;
    int64_t start = bench_now_ns();
    bi->changes.n = bi->stats.n = bi->held.n = 0;
    bi->stop_asking = false;
    bi->end_ns = image ? INT64_MAX : start + (int64_t)(b->seconds * 1e9);
    bi->stat_op.done = bench_image_stat;
    if (image)
        bench_image_start(bi);
    bench_image_slots(bi, BENCH_IMAGE_OUT);
    if (pthread_create(&asker, NULL, bench_image_ask, bi))
        return false;
    bool ok = bench_image_wait(bi, &bi->is_over);
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    __atomic_store_n(&bi->stop_asking, true, __ATOMIC_RELEASE);
    bool drained = false; /* its last question needs the loop */
    for (int i = 0; i < 50 && !drained; i++)
        (void)net_run_until(bi->net, &drained, env_now_ns(net_env(bi->net)) + 1000000);
    pthread_join(asker, NULL);
    int base = bench_row(b, "changes, 64 outstanding", "op/s", -1);
    bench_sample(b, image ? bench_row(b, "changes, image being written", "op/s", base) : base,
                 (double)bi->changes.n / seconds);
    bench_image_quantiles(b, &bi->changes, "change", image);
    bench_image_quantiles(b, &bi->stats, "stat", image);
    bench_image_quantiles(b, &bi->held, "loop's CPU time before a stat", image);
    if (image && ok) {
        struct journal_status st;
        journal_status(bi->journal, &st);
        bench_sample(b, bench_row(b, "image written under that load", "MB/s", -1),
                     (double)st.image_bytes / 1e6 / seconds);
    }
    return ok && (!image || bi->image_ret >= 0);
}

/* --- loading --- */

/* of this process and its kernel threads: what other work on the machine does not change much */
static double bench_image_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

double bench_image_raw(const char *dir, const char *prefix, double *ret_bytes)
{
    enum { CHUNK = 1 << 20 };
    char path[800];
    void *buf = NULL;
    uint32_t crc = 0;
    int64_t start = bench_now_ns();
    DIR *d = opendir(dir);
    *ret_bytes = 0;
    if (!d || posix_memalign(&buf, 4096, CHUNK)) {
        if (d)
            closedir(d);
        return -1;
    }
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        int fd = strncmp(e->d_name, prefix, strlen(prefix))
                     ? -1
                     : open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        for (ssize_t n; fd >= 0 && (n = read(fd, buf, CHUNK)) > 0; *ret_bytes += (double)n)
            crc = crc_update(crc, buf, (size_t)n);
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
    free(buf);
    return (double)(bench_now_ns() - start) / 1e9 + (crc == 1 ? 1e-9 : 0);
}

/* what a start of the process would do; seconds, or -1 */
static double bench_image_restart(struct bench_image *bi)
{
    if (!bench_image_close(bi))
        return -1;
    meta_close(bi->meta);
    bi->meta = NULL;
    return meta_open(&bi->mem, &bi->limits, &bi->meta) ? -1 : bench_image_open(bi);
}

static bool bench_image_loads(struct bench_image *bi)
{
    struct bench *b = bi->b;
    struct journal_status st;
    char name[64];
    double bytes = 0;
    journal_status(bi->journal, &st);
    snprintf(name, sizeof name, "image-%016llx", (unsigned long long)st.image_index);
    for (int round = 0; round < b->rounds; round++) {
        double raw = bench_image_raw(bi->dir, name, &bytes), cpu = bench_image_cpu();
        double load = bench_image_restart(bi);
        if (raw < 0 || load < 0)
            return false;
        cpu = bench_image_cpu() - cpu;
        int row = bench_row(b, "image read and checksummed", "s", -1);
        bench_sample(b, row, raw);
        bench_sample(b, bench_row(b, "image loaded, journal open", "s", row), load);
        bench_sample(b, bench_row(b, "CPU time of that", "s", -1), cpu);
        bench_sample(b, bench_row(b, "image", "MB", -1), bytes / 1e6);
        fprintf(stderr, "load %d of %d\n", round + 1, b->rounds);
    }
    return true;
}

/* a start that finds a second's records behind the image, and the log of the image before it */
static bool bench_image_replays(struct bench_image *bi)
{
    struct bench *b = bi->b;
    for (int round = 0; round < b->rounds; round++) {
        struct journal_status st;
        double bytes;
        if (round == 0 && !bench_image_round(bi, false))
            return false;
        journal_status(bi->journal, &st);
        double raw = bench_image_raw(bi->dir, "wal-", &bytes), cpu = bench_image_cpu();
        double load = bench_image_restart(bi);
        if (raw < 0 || load < 0)
            return false;
        cpu = bench_image_cpu() - cpu;
        bench_sample(b, bench_row(b, "log", "MB", -1), bytes / 1e6);
        bench_sample(b, bench_row(b, "records of it behind the image", "K", -1),
                     (double)(st.applied - st.image_index) / 1000);
        int row = bench_row(b, "log read and checksummed", "s", -1);
        bench_sample(b, row, raw);
        bench_sample(b, bench_row(b, "image loaded, log recovered and applied", "s", row), load);
        bench_sample(b, bench_row(b, "CPU time of this", "s", -1), cpu);
    }
    return true;
}

/* After an image the journal makes its reserve as large: that is no part of either side. */
static void bench_image_settle(struct bench_image *bi)
{
    char path[640];
    struct stat st;
    int64_t size = -1;
    bool never = false;
    snprintf(path, sizeof path, "%s/journal.reserve", bi->dir);
    for (int i = 0; i < 600 && (stat(path, &st) || st.st_size != size); i++) {
        size = stat(path, &st) ? -1 : st.st_size;
        (void)net_run_until(bi->net, &never, env_now_ns(net_env(bi->net)) + 300000000);
    }
}

static bool bench_image_rounds(struct bench_image *bi)
{
    struct bench *b = bi->b;
    if (!bench_image_fill(bi) || bench_image_open(bi) < 0)
        return false;
    bench_sample(b, bench_row(b, "resident, whole process", "MB", -1), bench_image_rss() / 1e6);
    bench_image_slots(bi, 1); /* an image wants a record to stand on */
    if (!bench_image_wait(bi, &bi->is_over))
        return false;
    bench_image_start(bi);
    if (!bench_image_wait(bi, &bi->imaged) || !bench_image_loads(bi))
        return false;
    bench_sample(b, bench_row(b, "resident at most, loading", "MB", -1), bench_image_peak() / 1e6);
    for (int round = 0; round < b->rounds; round++) {
        bench_image_settle(bi);
        if (!bench_image_round(bi, false))
            return false;
        bench_image_settle(bi);
        if (!bench_image_round(bi, true))
            return false;
        fprintf(stderr, "round %d of %d\n", round + 1, b->rounds);
    }
    bench_sample(b, bench_row(b, "resident at most, images being written", "MB", -1),
                 bench_image_peak() / 1e6);
    return bench_image_replays(bi) && bench_image_close(bi);
}

int bench_image_main(struct bench *b)
{
    struct bench_image *bi = &bench_image_one;
    int code = 1;
    *bi = (struct bench_image){.b = b, .files = b->files};
    if (!bench_temp_dir(b, bi->dir, sizeof bi->dir))
        return 1;
    bi->limits = (struct meta_limits){.inodes_max = 4000000000, .sessions_max = 16};
    bi->host = (struct journal_host){.apply = bench_image_apply,
                                     .role = bench_image_role,
                                     .image_begin = bench_image_begin,
                                     .image_next = bench_image_next,
                                     .image_end = bench_image_end,
                                     .image_load = bench_image_load,
                                     .image_reset = bench_image_reset};
    bi->changes.ns = malloc(sizeof(uint32_t) * BENCH_IMAGE_SAMPLES);
    bi->stats.ns = malloc(sizeof(uint32_t) * BENCH_IMAGE_SAMPLES);
    bi->held.ns = malloc(sizeof(uint32_t) * BENCH_IMAGE_SAMPLES);
    sem_init(&bi->answered, 0, 0);
    mem_init(&bi->mem, net_mem_source(), (uint64_t)1 << 40);
    struct net_config nc = {.dir = bi->dir, .node = "bench"};
    if (bi->changes.ns && bi->stats.ns && bi->held.ns &&
        !pthread_getcpuclockid(pthread_self(), &bi->loop_clock) && !net_open(&nc, &bi->net) &&
        !meta_open(&bi->mem, &bi->limits, &bi->meta)) {
        b->title = "a large state: memory, image, and the load beside it";
        snprintf(b->params, sizeof b->params,
                 "%llu files in directories of %d, names of 12 bytes; in process, local journal",
                 (unsigned long long)bi->files, BENCH_IMAGE_DIR);
        code = bench_image_rounds(bi) ? 0 : 1;
    }
    if (bi->net)
        net_close(bi->net);
    mem_drop(&bi->mem);
    free(bi->changes.ns);
    free(bi->stats.ns);
    free(bi->held.ns);
    if (!code) {
        bench_report(b);
        bench_remove(bi->dir);
    }
    return code;
}
