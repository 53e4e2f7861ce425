/* bench/bench_journal_node.c - one member of a group of masters with nothing behind its journal: a
 * state machine that counts.  It makes load itself, in the leader's process, and serves clients
 * through a front of two frames, so that what is measured is the journal's. */
#include "bench/bench_journal.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "bench/bench_load.h"
#include "core/buf.h"
#include "journal/journal.h"
#include "journal/zk_client.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "net/net.h"

enum { NODE_CALLS = 8192, NODE_CONNS = 64 };

struct node;

struct node_slot {
    struct env_op op;
    struct node *n;
    int64_t began_ns;
};

struct node_conn { /* a client, or a connection that has not said yet what it is */
    struct env_peer peer;
    struct node *n;
    bool used;
    int busy; /* calls under way; the connection may be gone */
};

struct node_call {
    struct env_op op;
    struct node_conn *c;
    uint64_t tag;
    struct node_call *next;
};

struct node {
    struct net *net;
    struct mem mem;
    struct journal *journal;
    struct journal_host host;
    struct env_acceptor acceptor;
    struct env_op listen_op, change_op;
    uv_poll_t in;
    struct bench_load_lines lines;
    enum journal_role role;
    uint64_t applied, sum;
    bool image_given, fence_done;
    struct env_op fence_op;
    char connect[128];
    /* its own load */
    struct bench_load load;
    struct node_slot slot[BENCH_LOAD_DEPTH_MAX];
    uint8_t record[BENCH_LOAD_SIZE_MAX];
    int err;
    /* clients */
    struct node_conn conn[NODE_CONNS];
    struct node_call call[NODE_CALLS], *free_calls;
};

/* --- the state machine: how many records there were, and a sum of their first bytes --- */

static struct node *node_of(struct journal_host *h)
{
    return container_of(h, struct node, host);
}

static void node_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct node *n = node_of(h);
    (void)index;
    n->applied++;
    n->sum += len ? *(const uint8_t *)rec : 0;
}

static void node_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    (void)epoch;
    node_of(h)->role = role;
    if (role == JOURNAL_FAILED) {
        fprintf(stderr, "tarn bench: the journal failed: %s\n", err_text(why));
        _exit(1);
    }
}

static void node_image_begin(struct journal_host *h)
{
    node_of(h)->image_given = false;
}

static uint32_t node_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    struct node *n = node_of(h);
    (void)cap;
    if (n->image_given)
        return 0;
    n->image_given = true;
    memcpy(buf, &n->applied, 8);
    memcpy((uint8_t *)buf + 8, &n->sum, 8);
    return 16;
}

static void node_image_end(struct journal_host *h)
{
    (void)h;
}

static int node_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    struct node *n = node_of(h);
    if (!len)
        return 0;
    if (len != 16)
        return E_CORRUPT;
    memcpy(&n->applied, piece, 8);
    memcpy(&n->sum, (const uint8_t *)piece + 8, 8);
    return 0;
}

static void node_image_reset(struct journal_host *h)
{
    node_of(h)->applied = node_of(h)->sum = 0;
}

/* --- load from within --- */

static void node_submit(struct node_slot *s)
{
    s->began_ns = bench_load_now_ns();
    journal_submit(s->n->journal, s->n->record, (uint32_t)s->n->load.size, &s->op);
}

static void node_submitted(struct env_op *op)
{
    struct node_slot *s = container_of(op, struct node_slot, op);
    struct node *n = s->n;
    if (op->ret < 0 && !n->err) {
        n->err = (int)op->ret;
        n->load.end_ns = 0;
    }
    if (bench_load_done(&n->load, s->began_ns))
        node_submit(s);
    else if (!n->load.busy && n->err)
        bench_load_failed("%s", err_text(n->err));
    else if (!n->load.busy)
        bench_load_print(&n->load);
}

/* --- clients --- */

static void node_answer(struct node_conn *c, uint64_t tag, int64_t ret)
{
    struct journal_status st;
    uint8_t body[BENCH_JOURNAL_DONE_LEN];
    struct wbuf w = wbuf_make(body, sizeof body);
    uint32_t leader = 0;
    if (ret < 0) {
        journal_status(c->n->journal, &st);
        leader = st.leader;
    }
    wbuf_u64(&w, tag);
    wbuf_u32(&w, (uint32_t)(ret < 0 ? ret : 0));
    wbuf_u32(&w, leader);
    env_send(c->peer.conn, BENCH_JOURNAL_DONE, &(struct env_iov){body, w.len}, 1);
}

static void node_called(struct env_op *op)
{
    struct node_call *k = container_of(op, struct node_call, op);
    struct node_conn *c = k->c;
    struct node *n = c->n;
    c->busy--;
    if (c->peer.conn)
        node_answer(c, k->tag, op->ret);
    else if (!c->busy)
        c->used = false;
    k->next = n->free_calls;
    n->free_calls = k;
}

static void node_closed(struct env_peer *p, int why)
{
    struct node_conn *c = container_of(p, struct node_conn, peer);
    (void)why;
    p->conn = NULL;
    c->used = c->busy > 0;
}

static void node_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t len)
{
    struct node_conn *c = container_of(p, struct node_conn, peer);
    struct node *n = c->n;
    if (type >= JOURNAL_FRAME_MIN && type <= JOURNAL_FRAME_MAX) {
        struct env_conn *conn = p->conn;
        struct env_peer *to = journal_accept(n->journal, "a member");
        if (!to) {
            env_hangup(conn);
        } else {
            env_adopt(conn, to);
            to->on_frame(to, type, b, len);
        }
        p->conn = NULL;
        c->used = false;
        return;
    }
    uint64_t tag = 0;
    if (type != BENCH_JOURNAL_SUBMIT || len < 8) {
        env_hangup(p->conn);
        node_closed(p, E_PROTO);
        return;
    }
    memcpy(&tag, b, 8);
    struct node_call *k = n->free_calls;
    if (!k) {
        node_answer(c, tag, E_AGAIN);
        return;
    }
    n->free_calls = k->next;
    k->c = c;
    k->tag = tag;
    k->op.done = node_called;
    c->busy++;
    journal_submit(n->journal, b, len, &k->op);
}

static struct env_peer *node_open(struct env_acceptor *a, const char *from)
{
    struct node *n = container_of(a, struct node, acceptor);
    (void)from;
    for (int i = 0; i < NODE_CONNS; i++) {
        struct node_conn *c = &n->conn[i];
        if (c->used)
            continue;
        *c = (struct node_conn){
            .peer = {.on_frame = node_frame, .on_close = node_closed}, .n = n, .used = true};
        return &c->peer;
    }
    return NULL;
}

/* --- what it is told --- */

static void node_changed(struct env_op *op)
{
    printf("elected %lld\n", (long long)op->ret);
    fflush(stdout);
}

static void node_status(struct node *n)
{
    struct journal_status st;
    struct net_stats ns;
    journal_status(n->journal, &st);
    net_stats(n->net, &ns);
    printf("status role %d epoch %llu leader %u last %llu committed %llu applied %llu elections "
           "%llu lost %llu records %llu batches %llu messages %llu bytes %llu turns %llu reads "
           "%llu writes %llu io %llu wire %llu\n",
           (int)st.role, (unsigned long long)st.epoch, st.leader, (unsigned long long)st.last_index,
           (unsigned long long)st.committed, (unsigned long long)st.applied,
           (unsigned long long)st.elections, (unsigned long long)st.lost,
           (unsigned long long)st.records, (unsigned long long)st.batches,
           (unsigned long long)st.messages, (unsigned long long)st.message_bytes,
           (unsigned long long)ns.turns, (unsigned long long)ns.reads,
           (unsigned long long)ns.writes, (unsigned long long)ns.disk_ops,
           (unsigned long long)(ns.bytes_in + ns.bytes_out));
    fflush(stdout);
}

static void node_line(void *ctx, const char *line)
{
    struct node *n = ctx;
    unsigned id;
    if (!strcmp(line, "leads")) {
        printf("leads %d\n", n->role == JOURNAL_LEADER);
        fflush(stdout);
    } else if (!strcmp(line, "applied")) {
        printf("applied %llu\n", (unsigned long long)n->applied);
        fflush(stdout);
    } else if (!strcmp(line, "status")) {
        node_status(n);
    } else if (sscanf(line, "elect %u", &id) == 1) {
        struct journal_change c = {.verb = JOURNAL_ELECT, .id = id};
        n->change_op.done = node_changed;
        journal_change(n->journal, &c, env_now_ns(net_env(n->net)) + 10000000000LL, &n->change_op);
    } else if (!n->load.busy && bench_load_parse(&n->load, line)) {
        n->err = 0;
        for (int i = 0; i < n->load.depth; i++) {
            n->slot[i] = (struct node_slot){.op.done = node_submitted, .n = n};
            node_submit(&n->slot[i]);
        }
    } else {
        bench_load_failed("not understood: %s", line);
    }
}

static void node_readable(uv_poll_t *h, int status, int events)
{
    struct node *n = h->data;
    (void)events;
    if (status < 0 || !bench_load_read(&n->lines, 0, node_line, n))
        net_stop(n->net);
    net_event(n->net);
}

static void node_listening(struct env_op *op)
{
    struct node *n = container_of(op, struct node, listen_op);
    if (op->ret) {
        fprintf(stderr, "tarn bench: cannot listen: %s\n", err_text((int)op->ret));
        net_stop(n->net);
    }
}

/* --- a log on a shared directory --- */

enum { NODE_EPOCHS = 1 << 16 };

static void node_fence_done(struct env_op *op)
{
    container_of(op, struct node, fence_op)->fence_done = true;
}

static int64_t node_fence_wait(struct node *n)
{
    n->fence_done = false;
    n->fence_op.done = node_fence_done;
    net_run_until(n->net, &n->fence_done, env_now_ns(net_env(n->net)) + 10000000000LL);
    return n->fence_done ? n->fence_op.ret : E_TIMEOUT;
}

/* the first member makes it, unless it is there; the others wait for it */
static bool node_fence(struct node *n, struct env *shared, uint32_t id)
{
    struct zk_fence f;
    int64_t ret = E_NOENT;
    if (!zk_fence_init(&f, shared, &n->mem, ""))
        return false;
    if (id == 1) {
        zk_fence_format(&f, 1, 1, NODE_EPOCHS, &n->fence_op);
        ret = node_fence_wait(n);
        if (ret && ret != E_EXIST)
            return false;
    }
    for (int tries = 0; tries < 500; tries++, usleep(20000)) {
        zk_fence_open(&f, &n->fence_op);
        ret = node_fence_wait(n);
        if (!ret)
            break;
    }
    if (!ret) {
        zk_fence_close(&f, &n->fence_op);
        (void)node_fence_wait(n);
    }
    zk_fence_drop(&f);
    return !ret;
}

/* of: "zk CONNECT SHARED_DIR" */
static struct journal *node_zk(struct node *n, struct journal_config *jc, const char *of,
                               const char *addr)
{
    struct zk_config zc = zk_config_default();
    struct zk_elect_config ec = {.zk = &zc, .id = jc->raft.id, .addr = addr};
    struct zk_elect *elect = NULL;
    struct env *shared;
    int used = 0;
    char why[256] = "no such directory, or no memory";
    if (sscanf(of, "zk %127s %n", n->connect, &used) != 1 || !used ||
        net_shared_open(n->net, of + used, &shared) || !node_fence(n, shared, ec.id)) {
        fprintf(stderr, "tarn bench: %s: %s\n", of, why);
        return NULL;
    }
    zc.connect = n->connect;
    if (zk_elect_open(net_env(n->net), &n->mem, &ec, &elect, why, sizeof why)) {
        fprintf(stderr, "tarn bench: %s\n", why);
        return NULL;
    }
    jc->zk.id = ec.id;
    jc->zk.dir = "";
    return zk_drive_open(net_env(n->net), shared, &n->mem, jc, elect, &n->host);
}

static bool node_start(struct node *n, char **argv)
{
    struct journal_config jc = journal_config_default();
    struct net_config nc = {.dir = argv[1],
                            .node = argv[0],
                            .cluster_hi = 1,
                            .cluster_lo = 1,
                            .log_level = ENV_LOG_INFO,
                            .secret_file = getenv("TARN_BENCH_SECRET")};
    if (net_open(&nc, &n->net))
        return false;
    mem_init(&n->mem, net_mem_source(), (uint64_t)2 << 30);
    n->host = (struct journal_host){.apply = node_apply,
                                    .role = node_role,
                                    .image_begin = node_image_begin,
                                    .image_next = node_image_next,
                                    .image_end = node_image_end,
                                    .image_load = node_image_load,
                                    .image_reset = node_image_reset};
    jc.cluster_hi = jc.cluster_lo = 1;
    jc.raft.id = (uint32_t)atoi(argv[0]);
    jc.raft.members = argv[3];
    for (int i = 0; i < NODE_CALLS; i++) {
        n->call[i].next = n->free_calls;
        n->free_calls = &n->call[i];
    }
    n->journal = !strcmp(argv[3], "local")     ? local_open(net_env(n->net), &n->mem, &jc, &n->host)
                 : !strncmp(argv[3], "zk ", 3) ? node_zk(n, &jc, argv[3], argv[2])
                                               : raft_open(net_env(n->net), &n->mem, &jc, &n->host);
    if (!n->journal) {
        fprintf(stderr, "tarn bench: the journal does not open\n");
        return false;
    }
    n->acceptor.on_open = node_open;
    n->listen_op.done = node_listening;
    env_listen(net_env(n->net), argv[2], &n->acceptor, &n->listen_op);
    n->in.data = n;
    fcntl(0, F_SETFL, O_NONBLOCK);
    return !uv_poll_init(net_uv(n->net), &n->in, 0) &&
           !uv_poll_start(&n->in, UV_READABLE, node_readable);
}

int bench_journal_node(int argc, char **argv)
{
    static struct node n;
    if (argc != 4)
        return 2;
    for (size_t i = 0; i < sizeof n.record; i++)
        n.record[i] = (uint8_t)(i * 7);
    if (!node_start(&n, argv))
        return 1;
    net_run(n.net);
    /* as after a power loss: what is measured next finds what was durable */
    _exit(0);
}
