/* bench/bench_load.c - the load's bookkeeping: when it ends, and a histogram of what it saw. */
#include "bench/bench_load.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_LOAD_SUB = 64 }; /* buckets to a power of two: a quantile is right within 1.6 % */

int64_t bench_load_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

bool bench_load_parse(struct bench_load *l, const char *line)
{
    int depth, size, ms;
    if (sscanf(line, "run %d %d %d", &depth, &size, &ms) != 3 || depth < 1 ||
        depth > BENCH_LOAD_DEPTH_MAX || size < 16 || size > BENCH_LOAD_SIZE_MAX || ms < 1)
        return false;
    memset(l, 0, sizeof *l);
    l->depth = depth;
    l->size = size;
    int64_t now = bench_load_now_ns();
    l->from_ns = now + ms * 100000LL;
    l->end_ns = l->from_ns + ms * 900000LL;
    l->busy = depth;
    return true;
}

static unsigned bench_load_bucket(uint64_t ns)
{
    if (ns < 2 * BENCH_LOAD_SUB)
        return (unsigned)ns;
    unsigned shift = 57 - (unsigned)__builtin_clzll(ns); /* ns >> shift is 64 to 127 */
    unsigned at = BENCH_LOAD_SUB * shift + (unsigned)(ns >> shift);
    return at < BENCH_LOAD_BUCKETS ? at : BENCH_LOAD_BUCKETS - 1;
}

/* the middle of a bucket */
static uint64_t bench_load_value(unsigned at)
{
    if (at < 2 * BENCH_LOAD_SUB)
        return at;
    unsigned shift = at / BENCH_LOAD_SUB - 1;
    return ((uint64_t)(at - BENCH_LOAD_SUB * shift) << shift) + ((uint64_t)1 << shift) / 2;
}

bool bench_load_done(struct bench_load *l, int64_t began_ns)
{
    int64_t now = bench_load_now_ns();
    uint64_t ns = now > began_ns ? (uint64_t)(now - began_ns) : 0;
    if (now >= l->from_ns && now < l->end_ns) {
        l->n++;
        l->count[bench_load_bucket(ns)]++;
        if (ns > l->max_ns)
            l->max_ns = ns;
    }
    if (now < l->end_ns)
        return true;
    l->busy--;
    return false;
}

uint64_t bench_load_quantile(const struct bench_load *l, uint64_t of_1000)
{
    uint64_t want = l->n * of_1000 / 1000, seen = 0;
    for (unsigned i = 0; i < BENCH_LOAD_BUCKETS; i++) {
        seen += l->count[i];
        if (seen > want)
            return bench_load_value(i);
    }
    return l->max_ns;
}

void bench_load_print(const struct bench_load *l)
{
    printf("ran %llu %lld %llu %llu %llu %llu\n", (unsigned long long)l->n,
           (long long)(l->end_ns - l->from_ns), (unsigned long long)bench_load_quantile(l, 500),
           (unsigned long long)bench_load_quantile(l, 990),
           (unsigned long long)bench_load_quantile(l, 999), (unsigned long long)l->max_ns);
    fflush(stdout);
}

void bench_load_failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("failed ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    fflush(stdout);
}

void bench_gap_done(struct bench_gap *g, int64_t began_ns, bool ok)
{
    int64_t now = bench_load_now_ns();
    g->failed += !ok;
    if (!ok)
        return;
    if (g->last_ns && now - g->last_ns > g->longest_ns)
        g->longest_ns = now - g->last_ns;
    g->last_ns = now;
    g->all++;
    g->marked += g->mark_ns && began_ns >= g->mark_ns;
}

bool bench_gap_line(struct bench_gap *g, const char *line)
{
    int64_t now = bench_load_now_ns(), open = g->last_ns ? now - g->last_ns : 0;
    if (!strcmp(line, "fault")) {
        g->longest_ns = g->mark_ns = 0;
        g->marked = 0;
        puts("ok");
    } else if (!strcmp(line, "mark")) {
        g->mark_ns = now;
        puts("ok");
    } else if (!strcmp(line, "gap")) {
        printf("gap %lld %llu %llu %llu\n",
               (long long)(open > g->longest_ns ? open : g->longest_ns),
               (unsigned long long)g->marked, (unsigned long long)g->all,
               (unsigned long long)g->failed);
    } else {
        return false;
    }
    fflush(stdout);
    return true;
}

bool bench_load_read(struct bench_load_lines *b, int fd, void (*line)(void *ctx, const char *text),
                     void *ctx)
{
    ssize_t n = read(fd, b->text + b->n, sizeof b->text - 1 - b->n);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    b->n += (unsigned)n;
    b->text[b->n] = 0;
    for (char *end; (end = strchr(b->text, '\n'));) {
        *end = 0;
        line(ctx, b->text);
        b->n -= (unsigned)(end + 1 - b->text);
        memmove(b->text, end + 1, b->n + 1);
    }
    if (b->n == sizeof b->text - 1)
        b->n = 0; /* no line of ours is so long */
    return true;
}
