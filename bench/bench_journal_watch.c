/* bench/bench_journal_watch.c - a client that keeps on: so many records outstanding, sent to
 * whoever leads; it notes for how long nothing was acknowledged.
 *
 *     journal-watch DEPTH ADDR...      (one address for each member, by ascending id from 1)
 *
 * It looks for the leader as a client of masters does: it goes where a member that does not lead
 * says; when it does not say, a connection is lost, or nothing came back for WATCH_PATIENCE_NS, it
 * asks one member after the other, one every WATCH_TICK_NS.  A record may be sent again, so more
 * are applied than were acknowledged, never less.
 *
 *     fault N   ->  ok                 member N (1..) is about to fail; forget the longest silence
 *     gap       ->  gap NS COUNT ALL   the longest silence since, the one that goes on included;
 *                                      how many others than N have acknowledged since; ever */
#include "bench/bench_journal.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench/bench_load.h"
#include "net/net.h"

enum { WATCH_MEMBERS = 5, WATCH_SIZE = 100, WATCH_PROBE = 0xffff };
static const int64_t WATCH_TICK_NS = 2000000, WATCH_PATIENCE_NS = 100000000;

struct watch;

struct watch_member {
    struct env_peer peer;
    struct env_op op;
    bool up, busy; /* connected; connecting */
    int64_t again_ns;
    const char *addr;
};

struct watch_slot {
    int64_t sent_ns; /* 0: nothing outstanding */
    uint32_t gen;
};

static struct watch {
    struct net *net;
    struct env_timer tick;
    uv_poll_t in;
    struct bench_load_lines lines;
    int members, depth, target, probe, victim;
    struct watch_member member[WATCH_MEMBERS];
    struct watch_slot slot[BENCH_LOAD_DEPTH_MAX];
    int64_t last_ns, longest_ns, turned_ns;
    bool refused; /* the target said that it does not lead, and not who does */
    uint64_t others, all;
} watch;

static void watch_send(int member, uint64_t tag)
{
    uint8_t rest[WATCH_SIZE - 8] = {0};
    struct env_iov iov[2] = {{&tag, 8}, {rest, sizeof rest}};
    if (watch.member[member].up)
        env_send(watch.member[member].peer.conn, BENCH_JOURNAL_SUBMIT, iov, 2);
}

static void watch_submit(int i)
{
    struct watch_slot *s = &watch.slot[i];
    s->sent_ns = bench_load_now_ns();
    s->gen++;
    watch_send(watch.target, (uint64_t)s->gen << 16 | (uint64_t)i);
}

/* everything goes there from now on */
static void watch_turn_to(int member)
{
    watch.target = member;
    watch.turned_ns = bench_load_now_ns();
    for (int i = 0; i < watch.depth; i++)
        watch_submit(i);
}

static void watch_acked(int member)
{
    int64_t now = bench_load_now_ns();
    if (now - watch.last_ns > watch.longest_ns)
        watch.longest_ns = now - watch.last_ns;
    watch.last_ns = now;
    watch.refused = false;
    watch.all++;
    watch.others += member != watch.victim;
}

static void watch_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    struct watch_member *m = container_of(p, struct watch_member, peer);
    int from = (int)(m - watch.member);
    uint64_t tag;
    int32_t err;
    uint32_t leader;
    if (type != BENCH_JOURNAL_DONE || len != BENCH_JOURNAL_DONE_LEN)
        _exit(1);
    memcpy(&tag, b, 8);
    memcpy(&err, (const uint8_t *)b + 8, 4);
    memcpy(&leader, (const uint8_t *)b + 12, 4);
    uint64_t i = tag & 0xffff;
    bool probe = i == WATCH_PROBE;
    if (!probe && (i >= (uint64_t)watch.depth || watch.slot[i].gen != (uint32_t)(tag >> 16)))
        return; /* sent again since */
    if (!err) {
        watch_acked(from);
        if (from != watch.target || probe)
            watch_turn_to(from); /* what it refused before, too */
        else
            watch_submit((int)i);
    } else if (leader && leader <= (uint32_t)watch.members && (int)leader - 1 != from &&
               (int)leader - 1 != watch.target && watch.member[leader - 1].up &&
               bench_load_now_ns() - watch.turned_ns > WATCH_TICK_NS / 2) {
        watch_turn_to((int)leader - 1);
    } else {
        watch.refused |= from == watch.target;
    }
    /* otherwise the tick asks around */
}

static void watch_closed(struct env_peer *p, int why)
{
    struct watch_member *m = container_of(p, struct watch_member, peer);
    (void)why;
    m->up = m->busy = false;
    m->again_ns = 0;
}

static void watch_connected(struct env_op *op)
{
    struct watch_member *m = container_of(op, struct watch_member, op);
    m->busy = false;
    m->up = op->ret == 0;
    m->again_ns = env_now_ns(net_env(watch.net)) + 10000000;
}

static void watch_connect(struct watch_member *m)
{
    m->busy = true;
    m->peer = (struct env_peer){.on_frame = watch_frame, .on_close = watch_closed};
    m->op.done = watch_connected;
    env_connect(net_env(watch.net), m->addr, 300000000, &m->peer, &m->op);
}

static void watch_ticked(struct env_op *op)
{
    struct env *e = net_env(watch.net);
    int64_t now = env_now_ns(e), clock = bench_load_now_ns();
    (void)op;
    for (int i = 0; i < watch.members; i++)
        if (!watch.member[i].up && !watch.member[i].busy && watch.member[i].again_ns <= now)
            watch_connect(&watch.member[i]);
    if (watch.refused || !watch.member[watch.target].up ||
        clock - watch.last_ns > WATCH_PATIENCE_NS) {
        watch.probe = (watch.probe + 1) % watch.members;
        watch_send(watch.probe, WATCH_PROBE);
    } else {
        for (int i = 0; i < watch.depth; i++) /* refused, or lost on the way */
            if (clock - watch.slot[i].sent_ns > WATCH_PATIENCE_NS)
                watch_submit(i);
    }
    env_timer_set(e, &watch.tick, now + WATCH_TICK_NS);
}

static void watch_line(void *ctx, const char *line)
{
    int victim;
    (void)ctx;
    if (sscanf(line, "fault %d", &victim) == 1) {
        watch.victim = victim - 1;
        watch.others = 0;
        watch.longest_ns = 0;
        puts("ok");
    } else if (!strcmp(line, "gap")) {
        int64_t open = bench_load_now_ns() - watch.last_ns;
        printf("gap %lld %llu %llu\n",
               (long long)(open > watch.longest_ns ? open : watch.longest_ns),
               (unsigned long long)watch.others, (unsigned long long)watch.all);
    } else {
        printf("failed not understood: %s\n", line);
    }
    fflush(stdout);
}

static void watch_readable(uv_poll_t *h, int status, int events)
{
    (void)h, (void)events;
    if (status < 0 || !bench_load_read(&watch.lines, 0, watch_line, NULL))
        net_stop(watch.net);
    net_event(watch.net);
}

int bench_journal_watch(int argc, char **argv)
{
    struct net_config nc = {.node = "watch",
                            .cluster_hi = 1,
                            .cluster_lo = 1,
                            .secret_file = getenv("TARN_BENCH_SECRET")};
    watch.depth = argc > 1 ? atoi(argv[0]) : 0;
    watch.members = argc - 1;
    if (watch.depth < 1 || watch.depth > BENCH_LOAD_DEPTH_MAX || watch.members > WATCH_MEMBERS)
        return 2;
    if (net_open(&nc, &watch.net))
        return 1;
    for (int i = 0; i < watch.members; i++)
        watch.member[i].addr = argv[1 + i];
    watch.last_ns = bench_load_now_ns();
    watch.tick.op.done = watch_ticked;
    env_timer_set(net_env(watch.net), &watch.tick, env_now_ns(net_env(watch.net)));
    fcntl(0, F_SETFL, O_NONBLOCK);
    if (uv_poll_init(net_uv(watch.net), &watch.in, 0) ||
        uv_poll_start(&watch.in, UV_READABLE, watch_readable))
        return 1;
    net_run(watch.net);
    _exit(0);
}
