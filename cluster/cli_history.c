/* cluster/cli_history.c - recorded histories of a real client (see cluster/cli_history.h). */
#include "cluster/cli_history.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "core/fmt.h"

static void history_fail(struct cli_history *h, const char *why)
{
    char text[512];
    h->failed = h->of.is_over = true;
    fmt_into(text, sizeof text, "the history %s ends here, and is not whole: %s", h->path, why);
    if (h->say)
        h->say(h->ctx, text);
    else
        fprintf(stderr, "tarn: %s\n", text);
}

static void history_put(struct client_history *of, const char *line, size_t n)
{
    struct cli_history *h = container_of(of, struct cli_history, of);
    ssize_t did;
    do
        did = write(h->fd, line, n);
    while (did < 0 && errno == EINTR);
    if (did < 0)
        history_fail(h, strerror(errno));
    else if ((size_t)did != n)
        history_fail(h, strerror(ENOSPC));
    else
        h->lines++;
}

static void history_too_many(struct client_history *of)
{
    history_fail(container_of(of, struct cli_history, of),
                 "more operations at once than it has room for");
}

static int64_t history_now_ns(const struct client_history *of)
{
    struct timespec t;
    (void)of;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int cli_history_open(struct cli_history *h, const char *path, const char *by)
{
    uint64_t base = 0;
    h->of.put = history_put;
    h->of.too_many = history_too_many;
    h->of.now_ns = history_now_ns;
    h->path = path;
    h->failed = false;
    h->lines = 0;
    h->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (h->fd < 0)
        return errno;
    if (getrandom(&base, 4, 0) != 4)
        base = (uint64_t)getpid();
    client_history_start(&h->of, base, by);
    return 0;
}

int cli_history_of(const struct cli *c, struct cli_history *h, const char *path,
                   struct client_config *cc)
{
    if (!*path)
        return CLI_OK;
    int err = cli_history_open(h, path, cc->name);
    if (err)
        return cli_error(c, CLI_FAILED, "the history %s: %s", path, strerror(err));
    cc->tap = &h->of.tap;
    cc->ask_always = true;
    return CLI_OK;
}

bool cli_history_close(struct cli_history *h)
{
    if (close(h->fd) && !h->failed)
        history_fail(h, strerror(errno));
    return !h->failed;
}
