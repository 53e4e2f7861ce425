/* bench/bench_failover_files.c - programs that write small files somewhere and never give up, in
 * one process: each thread creates a file, writes it and closes it, then the next.
 *
 *     failover-files DIR THREADS      (told by lines, see bench_gap in bench_load.h)
 *
 * A file counts as acknowledged when close() has said that it is there. */
#include "bench/bench_journal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench/bench_load.h"

enum { FILES_THREADS = 64, FILES_BYTES = 1000 };

static struct files {
    const char *dir;
    pthread_mutex_t lock;
    struct bench_gap gap;
} files = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool files_one(const char *path)
{
    static const char bytes[FILES_BYTES];
    const char *what = "open";
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    bool ok = fd >= 0;
    if (ok) {
        what = "write";
        ok = write(fd, bytes, sizeof bytes) == sizeof bytes;
        if (close(fd) && ok) {
            what = "close";
            ok = false;
        }
    }
    if (!ok)
        fprintf(stderr, "tarn bench: %s: %s: %s\n", path, what, strerror(errno));
    return ok;
}

static void *files_main(void *arg)
{
    int me = (int)(intptr_t)arg;
    char path[700];
    snprintf(path, sizeof path, "%s/t%d", files.dir, me);
    if (mkdir(path, 0755) && errno != EEXIST)
        fprintf(stderr, "tarn bench: %s: %s\n", path, strerror(errno));
    for (unsigned long i = 0;; i++) {
        snprintf(path, sizeof path, "%s/t%d/f%lu", files.dir, me, i);
        int64_t began = bench_load_now_ns();
        bool ok = files_one(path);
        pthread_mutex_lock(&files.lock);
        bench_gap_done(&files.gap, began, ok);
        pthread_mutex_unlock(&files.lock);
        if (!ok)
            usleep(10000);
    }
    return NULL;
}

static void files_line(void *ctx, const char *line)
{
    (void)ctx;
    pthread_mutex_lock(&files.lock);
    if (!bench_gap_line(&files.gap, line))
        bench_load_failed("not understood: %s", line);
    pthread_mutex_unlock(&files.lock);
}

int bench_failover_files(int argc, char **argv)
{
    struct bench_load_lines lines = {0};
    int n = argc == 2 ? atoi(argv[1]) : 0;
    if (n < 1 || n > FILES_THREADS)
        return 2;
    files.dir = argv[0];
    for (int i = 0; i < n; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, files_main, (void *)(intptr_t)i))
            return 1;
    }
    while (bench_load_read(&lines, 0, files_line, NULL))
        ;
    _exit(0);
}
