/* bench/raft_cowsql_main.c - one member of cowsql/raft (libraft-dev), with a state machine that
 * counts and load made in its process, as bench_journal_node.c does with ours.
 *
 *     bench-raft_cowsql HOW ID DIR ADDR ADDR ADDR     (ID 1 to 3; told by lines, see bench_load.h)
 *
 * HOW "one": a raft_apply for each record, as ours is called.  "batch": the caller collects what is
 * to be submitted in a turn of the loop into one raft_apply, because the library does not: so it is
 * 3 to 6 times as fast.  As it comes, but for what would hold it back without being its design: its
 * TCP connections get TCP_NODELAY (without it, it waits 40 ms for delayed acknowledgements with
 * some loads), and a snapshot is taken after 64 Ki entries instead of 1 Ki.  Built only where the
 * library is. */
#include <fcntl.h>
#include <raft.h>
#include <raft/uv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench/bench_load.h"

enum { MEMBERS = 3 };

struct batch {
    struct raft_apply req;
    int n;
    int64_t began_ns;
};

static struct member {
    uv_loop_t loop;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    uv_poll_t in;
    uv_check_t check;
    struct bench_load_lines lines;
    struct bench_load load;
    bool one_by_one;
    int pending; /* records to be submitted at the end of this turn */
    int err;
    uint64_t applied;
    /* the transport's own, under ours */
    int (*connect)(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                   const char *address, raft_uv_connect_cb cb);
    int (*listen)(struct raft_uv_transport *t, raft_uv_accept_cb cb);
    raft_uv_accept_cb accepted;
    raft_uv_connect_cb connected; /* the same for all */
} member;

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    (void)fsm, (void)buf;
    member.applied++;
    *result = NULL;
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n)
{
    (void)fsm;
    *n = 1;
    *bufs = raft_malloc(sizeof **bufs);
    (*bufs)[0].len = 8;
    (*bufs)[0].base = raft_malloc(8);
    memcpy((*bufs)[0].base, &member.applied, 8);
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)fsm;
    memcpy(&member.applied, buf->base, 8);
    raft_free(buf->base);
    return 0;
}

/* --- load --- */

static void submit(int n);

static void applied(struct raft_apply *req, int status, void *result)
{
    struct batch *b = (struct batch *)req;
    (void)result;
    if (status && !member.err) {
        member.err = status;
        member.load.end_ns = 0;
    }
    for (int i = 0; i < b->n; i++)
        member.pending += bench_load_done(&member.load, b->began_ns);
    free(b);
    if (!member.load.busy && member.err)
        bench_load_failed("%s", raft_strerror(member.err));
    else if (!member.load.busy)
        bench_load_print(&member.load);
    if (member.one_by_one && member.pending) {
        submit(member.pending);
        member.pending = 0;
    }
}

static void submit(int n)
{
    struct raft_buffer bufs[BENCH_LOAD_DEPTH_MAX];
    struct batch *b = malloc(sizeof *b);
    b->n = n;
    b->began_ns = bench_load_now_ns();
    for (int i = 0; i < n; i++) {
        /* the length is a multiple of 8 with this library */
        bufs[i].len = (size_t)(member.load.size + 7) / 8 * 8;
        bufs[i].base = raft_malloc(bufs[i].len);
        memset(bufs[i].base, 7, bufs[i].len);
    }
    int err = raft_apply(&member.raft, &b->req, bufs, (unsigned)n, applied);
    if (!err)
        return;
    member.err = err;
    member.load.end_ns = 0;
    member.load.busy -= n;
    free(b);
    if (!member.load.busy)
        bench_load_failed("%s", raft_strerror(err));
}

static void checked(uv_check_t *h)
{
    int n = member.pending;
    (void)h;
    member.pending = 0;
    if (n && member.one_by_one)
        while (n--)
            submit(1);
    else if (n)
        submit(n);
}

static void line(void *ctx, const char *text)
{
    (void)ctx;
    if (!strcmp(text, "leads")) {
        printf("leads %d\n", raft_state(&member.raft) == RAFT_LEADER);
        fflush(stdout);
    } else if (!member.load.busy && bench_load_parse(&member.load, text)) {
        member.err = 0;
        member.pending = member.load.depth;
    } else {
        bench_load_failed("not understood: %s", text);
    }
}

static void readable(uv_poll_t *h, int status, int events)
{
    (void)h, (void)events;
    if (status < 0 || !bench_load_read(&member.lines, 0, line, NULL))
        _exit(0);
}

/* --- connections without delay --- */

static void conn_connected(struct raft_uv_connect *req, struct uv_stream_s *stream, int status)
{
    if (!status && stream->type == UV_TCP)
        uv_tcp_nodelay((uv_tcp_t *)stream, 1);
    member.connected(req, stream, status);
}

static int conn_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                        const char *address, raft_uv_connect_cb cb)
{
    member.connected = cb;
    return member.connect(t, req, id, address, conn_connected);
}

static void conn_accepted(struct raft_uv_transport *t, raft_id id, const char *address,
                          struct uv_stream_s *stream)
{
    if (stream->type == UV_TCP)
        uv_tcp_nodelay((uv_tcp_t *)stream, 1);
    member.accepted(t, id, address, stream);
}

static int conn_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
    member.accepted = cb;
    return member.listen(t, conn_accepted);
}

static int start(unsigned id, const char *dir, char **addr)
{
    struct raft_configuration conf;
    int err = uv_loop_init(&member.loop);
    member.transport.data = NULL;
    err = err ? err : raft_uv_tcp_init(&member.transport, &member.loop);
    err = err ? err : raft_uv_init(&member.io, &member.loop, dir, &member.transport);
    if (err)
        return err;
    member.connect = member.transport.connect;
    member.listen = member.transport.listen;
    member.transport.connect = conn_connect;
    member.transport.listen = conn_listen;
    member.fsm = (struct raft_fsm){
        .version = 1, .apply = fsm_apply, .snapshot = fsm_snapshot, .restore = fsm_restore};
    err = raft_init(&member.raft, &member.io, &member.fsm, id, addr[id - 1]);
    if (err)
        return err;
    raft_configuration_init(&conf);
    for (unsigned i = 0; i < MEMBERS; i++)
        err = err ? err : raft_configuration_add(&conf, i + 1, addr[i], RAFT_VOTER);
    err = err ? err : raft_bootstrap(&member.raft, &conf);
    raft_configuration_close(&conf);
    raft_set_pre_vote(&member.raft, true);
    raft_set_snapshot_threshold(&member.raft, 65536);
    raft_set_snapshot_trailing(&member.raft, 16384);
    raft_uv_set_connect_retry_delay(&member.io, 100);
    return err ? err : raft_start(&member.raft);
}

int main(int argc, char **argv)
{
    unsigned id = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    if (argc != 4 + MEMBERS || id < 1 || id > MEMBERS) {
        fprintf(stderr, "usage: bench-raft_cowsql one|batch ID DIR ADDR ADDR ADDR\n");
        return 2;
    }
    member.one_by_one = !strcmp(argv[1], "one");
    int err = start(id, argv[3], argv + 4);
    if (err) {
        fprintf(stderr, "bench-raft_cowsql: %s %s\n", raft_strerror(err),
                raft_errmsg(&member.raft));
        return 1;
    }
    fcntl(0, F_SETFL, O_NONBLOCK);
    uv_poll_init(&member.loop, &member.in, 0);
    uv_poll_start(&member.in, UV_READABLE, readable);
    uv_check_init(&member.loop, &member.check);
    uv_check_start(&member.check, checked);
    uv_run(&member.loop, UV_RUN_DEFAULT);
    return 0;
}
