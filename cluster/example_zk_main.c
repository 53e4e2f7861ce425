/* cluster/example_zk_main.c - the ZooKeeper client alone, in one page: follows a node.
 *
 *   cluster-example_zk h1:2181,h2:2181/chroot /config     its version and bytes, whenever it
 * changes
 *
 * One call that sets a watch, again each time the watch has fired: what changes in between is seen
 * too, because the watch is armed by the very answer that brings the bytes (zk_client.h, 5).  The
 * client finds another server by itself, and arms the watch again there.  When the session is over
 * the client is, too, so a program that goes on opens another one; this one ends. */
#include <stdio.h>
#include "journal/zk_client.h"
#include "net/net.h"

struct follow {
    struct zk_host host;
    struct zk_call call;
    struct zk_watch watch;
    struct net *net;
    struct zk *zk;
    const char *path;
    int result;
};

static void ask(struct follow *f, int32_t what)
{
    zk_call_renew(&f->call);
    f->call.what = what; /* no deadline: it waits for a server as long as there may be a session */
    f->call.path = f->path;
    f->call.watch = &f->watch;
    zk_submit(f->zk, &f->call);
}

static void answered(struct env_op *op)
{
    struct follow *f = container_of(container_of(op, struct zk_call, op), struct follow, call);
    const struct zk_reply *r = &f->call.reply; /* what it points to is valid in here only */
    bool is_gone = op->ret == E_NOENT && f->call.is_answered;
    if (op->ret == 0 && f->call.what == ZK_OP_GET_DATA) {
        printf("%d: %.*s\n", r->stat.version, (int)r->data_len,
               r->data ? (const char *)r->data : "");
    } else if (op->ret == 0) { /* it was made since */
        zk_unwatch(f->zk, &f->watch);
        ask(f, ZK_OP_GET_DATA);
    } else if (is_gone && f->call.what == ZK_OP_GET_DATA) {
        printf("not there\n");
        ask(f, ZK_OP_EXISTS); /* whose watch waits for it */
    } else if (!is_gone) {
        fprintf(stderr, "%s: %s\n", f->path, err_text((int)op->ret));
        f->result = 1;
        net_stop(f->net);
    }
    fflush(stdout);
}

static void changed(struct zk_watch *w, enum zk_event event)
{
    (void)event; /* whatever it was: look */
    ask(container_of(w, struct follow, watch), ZK_OP_GET_DATA);
}

static void state(struct zk_host *h, enum zk_state s, int why)
{
    struct follow *f = container_of(h, struct follow, host);
    if (s == ZK_CONNECTED || s == ZK_SUSPENDED) {
        fprintf(stderr, "%s\n", zk_state_name(s));
    } else if (s == ZK_EXPIRED || s == ZK_AUTH_FAILED) {
        fprintf(stderr, "%s: %s\n", zk_state_name(s), err_text(why));
        f->result = 1;
        net_stop(f->net);
    }
}

int main(int argc, char **argv)
{
    struct net_config nc = {.node = argv[0]};
    struct zk_config zc = zk_config_default();
    struct follow f = {.host.state = state, .call.op.done = answered, .watch.fired = changed};
    struct mem mem;
    char why[256];
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST:PORT[,HOST:PORT...][/CHROOT] PATH\n", argv[0]);
        return 2;
    }
    zc.connect = argv[1];
    f.path = argv[2];
    if (net_open(&nc, &f.net))
        return 1;
    mem_init(&mem, net_mem_source(), 16 << 20);
    if (zk_open(net_env(f.net), &mem, &zc, &f.host, &f.zk, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    ask(&f, ZK_OP_GET_DATA);
    net_run(f.net);
    net_close(f.net); /* no callback runs any more: the memory may go */
    mem_drop(&mem);
    return f.result;
}
