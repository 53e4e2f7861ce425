/* bench/bench_canary.c - two threads that note how late they are. */
#include "bench/bench_canary.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    atomic_bool stop;
    pthread_mutex_t lock;
    struct bench_canary seen;
    int64_t long_ns;
    char path[600];
    pthread_t thread[2];
    int n;
} canary = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void canary_saw(int64_t late_ns, int64_t *worst_ns, uint64_t *long_ones)
{
    pthread_mutex_lock(&canary.lock);
    *worst_ns = late_ns > *worst_ns ? late_ns : *worst_ns;
    *long_ones += late_ns >= canary.long_ns;
    pthread_mutex_unlock(&canary.lock);
}

static void *canary_sleeps(void *arg)
{
    (void)arg;
    while (!canary.stop) {
        int64_t from = bench_now_ns();
        usleep(10000);
        canary_saw(bench_now_ns() - from - 10000000, &canary.seen.worst_ns, &canary.seen.long_ones);
    }
    return NULL;
}

/* 4 KiB: the disk is a part of the machine */
static void *canary_writes(void *arg)
{
    void *block = NULL;
    int fd = open(canary.path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    (void)arg;
    if (fd < 0 || posix_memalign(&block, 4096, 4096)) {
        bench_fail(canary.path);
        return NULL;
    }
    memset(block, 0, 4096);
    while (!canary.stop) {
        int64_t from = bench_now_ns();
        if (pwrite(fd, block, 4096, 0) != 4096)
            break;
        canary_saw(bench_now_ns() - from, &canary.seen.worst_write_ns, &canary.seen.long_writes);
        usleep(10000);
    }
    close(fd);
    free(block);
    return NULL;
}

bool bench_canary_start(const char *dir, int64_t long_ns)
{
    bench_canary_stop();
    canary.stop = false;
    memset(&canary.seen, 0, sizeof canary.seen);
    canary.long_ns = long_ns;
    snprintf(canary.path, sizeof canary.path, "%s/canary", dir);
    for (int i = 0; i < 2; i++)
        if (!pthread_create(&canary.thread[canary.n], NULL, i ? canary_writes : canary_sleeps,
                            NULL))
            canary.n++;
    return canary.n == 2 || bench_fail("canaries");
}

struct bench_canary bench_canary_take(void)
{
    pthread_mutex_lock(&canary.lock);
    struct bench_canary c = canary.seen;
    memset(&canary.seen, 0, sizeof canary.seen);
    pthread_mutex_unlock(&canary.lock);
    return c;
}

void bench_canary_stop(void)
{
    canary.stop = true;
    while (canary.n)
        pthread_join(canary.thread[--canary.n], NULL);
}
