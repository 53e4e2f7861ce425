/* bench/bench_journal_client.c - load over TCP: one connection to a member's front, from a process
 * of its own. */
#include "bench/bench_journal.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "bench/bench_load.h"
#include "net/net.h"

static struct client {
    struct net *net;
    struct env_peer peer;
    struct env_op op;
    uv_poll_t in;
    struct bench_load_lines lines;
    struct bench_load load;
    int64_t began_ns[BENCH_LOAD_DEPTH_MAX];
    uint8_t record[BENCH_LOAD_SIZE_MAX];
    int err;
} client;

static void client_submit(uint64_t slot)
{
    client.began_ns[slot] = bench_load_now_ns();
    struct env_iov iov[2] = {{&slot, 8}, {client.record, (size_t)client.load.size - 8}};
    env_send(client.peer.conn, BENCH_JOURNAL_SUBMIT, iov, 2);
}

static void client_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    uint64_t slot;
    int32_t err;
    (void)p;
    if (type != BENCH_JOURNAL_DONE || len != BENCH_JOURNAL_DONE_LEN)
        _exit(1);
    memcpy(&slot, b, 8);
    memcpy(&err, (const uint8_t *)b + 8, 4);
    if (slot >= BENCH_LOAD_DEPTH_MAX)
        _exit(1);
    if (err && !client.err) {
        client.err = err;
        client.load.end_ns = 0;
    }
    if (bench_load_done(&client.load, client.began_ns[slot]))
        client_submit(slot);
    else if (!client.load.busy && client.err)
        bench_load_failed("%s", err_text(client.err));
    else if (!client.load.busy)
        bench_load_print(&client.load);
}

static void client_closed(struct env_peer *p, int why)
{
    (void)p;
    bench_load_failed("connection: %s", err_text(why));
    _exit(1);
}

static void client_line(void *ctx, const char *line)
{
    (void)ctx;
    if (client.load.busy || !bench_load_parse(&client.load, line)) {
        bench_load_failed("not understood: %s", line);
        return;
    }
    client.err = 0;
    for (int i = 0; i < client.load.depth; i++)
        client_submit((uint64_t)i);
}

static void client_readable(uv_poll_t *h, int status, int events)
{
    (void)h, (void)events;
    if (status < 0 || !bench_load_read(&client.lines, 0, client_line, NULL))
        net_stop(client.net);
    net_event(client.net);
}

static void client_connected(struct env_op *op)
{
    if (op->ret) {
        bench_load_failed("connect: %s", err_text((int)op->ret));
        net_stop(client.net);
        return;
    }
    fcntl(0, F_SETFL, O_NONBLOCK);
    if (uv_poll_init(net_uv(client.net), &client.in, 0) ||
        uv_poll_start(&client.in, UV_READABLE, client_readable))
        net_stop(client.net);
}

int bench_journal_client(int argc, char **argv)
{
    struct net_config nc = {.node = "client", .cluster_hi = 1, .cluster_lo = 1};
    if (argc != 1)
        return 2;
    if (net_open(&nc, &client.net))
        return 1;
    client.peer = (struct env_peer){.on_frame = client_frame, .on_close = client_closed};
    client.op.done = client_connected;
    env_connect(net_env(client.net), argv[0], 5000000000LL, &client.peer, &client.op);
    net_run(client.net);
    _exit(0);
}
