/* bench/bench_journal_raw.c - the least that any quorum system must pay for a durable record: the
 * leader sends a batch to two others over loopback TCP and writes it itself meanwhile; each of them
 * writes it and answers; done when the leader's own write and one answer are there.
 *
 * Writes go to a file that was written before, O_DIRECT and O_DSYNC, so that they change no
 * metadata.  No record is framed, checksummed or kept: nothing is left that could be left out. */
#include "bench/bench_journal.h"
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench/bench_load.h"

enum {
    RAW_BLOCK = 4096,
    RAW_FILE = 32 << 20,
    RAW_BATCH_MAX = 1 << 20,
    RAW_LEAST = 16,
    RAW_LAG = 4
};

struct raw {
    int fd;
    uint8_t *batch;
    uint64_t off;
    /* the leader's */
    struct io_uring ring;
    int follower[2];
    uint64_t answered[2];
    uint64_t answer[2][8];
    unsigned held[2]; /* bytes of an answer that is not whole yet */
};

/* the file as long as it will be, written and durable */
static bool raw_open(struct raw *r, const char *dir)
{
    char path[600];
    snprintf(path, sizeof path, "%s/raw.log", dir);
    r->fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    if (r->fd < 0 || posix_memalign((void **)&r->batch, RAW_BLOCK, RAW_BATCH_MAX))
        return bench_fail(path);
    memset(r->batch, 0, RAW_BATCH_MAX);
    for (off_t at = 0; at < RAW_FILE; at += RAW_BATCH_MAX)
        if (pwrite(r->fd, r->batch, RAW_BATCH_MAX, at) != RAW_BATCH_MAX)
            return bench_fail(path);
    return true;
}

static uint32_t raw_padded(uint32_t len)
{
    return (len + RAW_BLOCK - 1) / RAW_BLOCK * RAW_BLOCK;
}

static uint64_t raw_place(struct raw *r, uint32_t len)
{
    uint64_t at = r->off + len <= RAW_FILE ? r->off : 0;
    r->off = at + len;
    return at;
}

/* A message is a batch: u64 its number, u32 its length, then whatever.  One answer each: the
 * number. */
static void raw_follow(struct raw *r, int fd)
{
    uint32_t have = 0;
    for (;;) {
        uint64_t number;
        uint32_t len = 0;
        for (;;) {
            if (have >= RAW_LEAST)
                memcpy(&len, r->batch + 8, 4);
            if (len > RAW_BATCH_MAX || (len && have >= len))
                break;
            ssize_t n = read(fd, r->batch + have, RAW_BATCH_MAX - have);
            if (n <= 0)
                return;
            have += (uint32_t)n;
        }
        if (len < RAW_LEAST || len > RAW_BATCH_MAX)
            return;
        memcpy(&number, r->batch, 8);
        uint32_t padded = raw_padded(len);
        if (pwrite(r->fd, r->batch, padded, (off_t)raw_place(r, padded)) != (ssize_t)padded ||
            write(fd, &number, 8) != 8)
            _exit(1);
        memmove(r->batch, r->batch + len, have - len); /* the next one may have begun */
        have -= len;
    }
}

static int raw_socket(int port, bool listens)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (listens ? bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 8)
                : connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool raw_send(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static void raw_listen_for(struct raw *r, int i)
{
    struct io_uring_sqe *s = io_uring_get_sqe(&r->ring);
    io_uring_prep_recv(s, r->follower[i], (uint8_t *)r->answer[i] + r->held[i],
                       sizeof r->answer[i] - r->held[i], 0);
    io_uring_sqe_set_data64(s, (uint64_t)i);
}

/* on two of three, and the third at most a little behind */
static bool raw_is_done(const struct raw *r, uint64_t number)
{
    uint64_t a = r->answered[0], b = r->answered[1];
    return (a >= number || b >= number) && a + RAW_LAG >= number && b + RAW_LAG >= number;
}

/* one batch; false: somebody is gone */
static bool raw_batch(struct raw *r, uint64_t number, uint32_t len)
{
    uint32_t padded = raw_padded(len);
    bool written = false;
    memcpy(r->batch, &number, 8);
    memcpy(r->batch + 8, &len, 4);
    for (int i = 0; i < 2; i++)
        if (!raw_send(r->follower[i], r->batch, len))
            return false;
    struct io_uring_sqe *s = io_uring_get_sqe(&r->ring);
    io_uring_prep_write(s, r->fd, r->batch, padded, raw_place(r, padded));
    io_uring_sqe_set_data64(s, 2);
    while (!written || !raw_is_done(r, number)) {
        struct io_uring_cqe *c;
        if (io_uring_submit_and_wait(&r->ring, 1) < 0)
            return false;
        while (!io_uring_peek_cqe(&r->ring, &c)) {
            uint64_t who = io_uring_cqe_get_data64(c);
            int32_t res = c->res;
            io_uring_cqe_seen(&r->ring, c);
            if (res <= 0)
                return false;
            if (who == 2) {
                written = true;
                continue;
            }
            r->held[who] += (unsigned)res;
            if (r->held[who] >= 8) {
                r->answered[who] = r->answer[who][r->held[who] / 8 - 1];
                memmove(r->answer[who], &r->answer[who][r->held[who] / 8], r->held[who] % 8);
                r->held[who] %= 8;
            }
            raw_listen_for(r, (int)who);
        }
    }
    return true;
}

static int raw_lead(struct raw *r)
{
    static struct bench_load l;
    char line[256];
    uint64_t number = 0;
    if (io_uring_queue_init(8, &r->ring, 0))
        return 1;
    for (int i = 0; i < 2; i++)
        raw_listen_for(r, i);
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "leads", 5)) {
            puts("leads 1");
            fflush(stdout);
            continue;
        }
        if (!bench_load_parse(&l, line)) {
            bench_load_failed("not understood: %s", line);
            continue;
        }
        uint32_t len = (uint32_t)(l.depth * l.size);
        while (l.busy) {
            int64_t began = bench_load_now_ns();
            if (len > RAW_BATCH_MAX || !raw_batch(r, ++number, len))
                return 1;
            for (int i = 0, depth = l.busy; i < depth; i++)
                bench_load_done(&l, began);
        }
        bench_load_print(&l);
    }
    return 0;
}

int bench_journal_raw(int argc, char **argv)
{
    static struct raw r;
    if ((argc != 2 && argc != 4) || !raw_open(&r, argv[0]))
        return 2;
    if (argc == 2) {
        int l = raw_socket(atoi(argv[1]), true), fd = l < 0 ? -1 : accept(l, NULL, NULL), one = 1;
        if (fd < 0)
            return 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        raw_follow(&r, fd);
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        int64_t limit = bench_now_ns() + 10000000000LL;
        while ((r.follower[i] = raw_socket(atoi(argv[2 + i]), false)) < 0) {
            if (bench_now_ns() > limit)
                return 1;
            usleep(10000);
        }
    }
    return raw_lead(&r);
}
