/* bench/zookeeper_main.c - a client of Apache ZooKeeper that makes load: asynchronous setData by
 * its own C client library (libzookeeper_mt).
 *
 *     bench-zookeeper PORT     (of a server on this host; told by lines, see bench_load.h)
 *
 * Each outstanding request has a node of its own.  Built only where the library is. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define THREADED
#include <zookeeper/zookeeper.h>
#include "bench/bench_load.h"

struct slot {
    char path[32];
    int64_t began_ns;
};

static struct client {
    zhandle_t *zk;
    struct bench_load load;
    struct slot slot[BENCH_LOAD_DEPTH_MAX];
    char value[BENCH_LOAD_SIZE_MAX];
    pthread_mutex_t lock;
    pthread_cond_t over;
    int err;
} client = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};

static void answered(int rc, const struct Stat *stat, const void *data);

static void submit(struct slot *s)
{
    s->began_ns = bench_load_now_ns();
    int rc = zoo_aset(client.zk, s->path, client.value, client.load.size, -1, answered, s);
    if (rc != ZOK)
        answered(rc, NULL, s);
}

/* in the library's thread for completions, but for the first ones */
static void answered(int rc, const struct Stat *stat, const void *data)
{
    struct slot *s = (struct slot *)data;
    (void)stat;
    pthread_mutex_lock(&client.lock);
    if (rc != ZOK && !client.err) {
        client.err = rc;
        client.load.end_ns = 0;
    }
    bool again = bench_load_done(&client.load, s->began_ns);
    if (!client.load.busy)
        pthread_cond_signal(&client.over);
    pthread_mutex_unlock(&client.lock);
    if (again)
        submit(s);
}

static bool make_nodes(void)
{
    int rc = zoo_create(client.zk, "/bench", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    for (int i = 0; i < BENCH_LOAD_DEPTH_MAX && (rc == ZOK || rc == ZNODEEXISTS); i++) {
        snprintf(client.slot[i].path, sizeof client.slot[i].path, "/bench/%d", i);
        rc = zoo_create(client.zk, client.slot[i].path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    }
    return rc == ZOK || rc == ZNODEEXISTS;
}

static void load(void)
{
    client.err = 0;
    for (int i = 0, depth = client.load.depth; i < depth; i++)
        submit(&client.slot[i]);
    pthread_mutex_lock(&client.lock);
    while (client.load.busy)
        pthread_cond_wait(&client.over, &client.lock);
    pthread_mutex_unlock(&client.lock);
    if (client.err)
        bench_load_failed("%s", zerror(client.err));
    else
        bench_load_print(&client.load);
}

int main(int argc, char **argv)
{
    char addr[64], line[256];
    if (argc != 2) {
        fprintf(stderr, "usage: bench-zookeeper PORT\n");
        return 2;
    }
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    snprintf(addr, sizeof addr, "127.0.0.1:%s", argv[1]);
    client.zk = zookeeper_init(addr, NULL, 10000, NULL, NULL, 0);
    for (int i = 0; client.zk && i < 1000 && zoo_state(client.zk) != ZOO_CONNECTED_STATE; i++)
        usleep(10000);
    if (!client.zk || zoo_state(client.zk) != ZOO_CONNECTED_STATE || !make_nodes()) {
        fprintf(stderr, "bench-zookeeper: no answer at %s\n", addr);
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "leads", 5)) {
            puts("leads 1"); /* whoever started it asked the server */
            fflush(stdout);
        } else if (bench_load_parse(&client.load, line)) {
            load();
        } else {
            bench_load_failed("not understood: %s", line);
        }
    }
    zookeeper_close(client.zk);
    return 0;
}
