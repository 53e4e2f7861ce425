/* bench/zktree_main.c - what ZooKeeper's own C client library (libzookeeper_mt) sees of a tree, as
 * lines, to be compared with what our client sees (tests/e2e/test_zk.sh).
 *
 *     bench-zktree HOST:PORT PATH         prints it
 *     bench-zktree HOST:PORT PATH make    makes some nodes below PATH first, and PATH itself
 *
 * Built only where the library is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define THREADED
#include <zookeeper/zookeeper.h>

static zhandle_t *zk;

static int failed(const char *what, const char *path, int rc)
{
    fprintf(stderr, "zktree: %s %s: %s\n", what, path, zerror(rc));
    return 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int print(const char *path)
{
    static char data[1 << 20];
    int n = sizeof data, err = 0;
    struct Stat s;
    struct String_vector kids;
    int rc = zoo_get(zk, path, 0, data, &n, &s);
    if (rc)
        return failed("get", path, rc);
    printf("node %s %" PRIx64 " %" PRIx64 " %" PRIx64 " %d %d %d %" PRIx64 " %d ", path, s.czxid,
           s.mzxid, s.pzxid, s.version, s.cversion, s.aversion, s.ephemeralOwner, s.numChildren);
    if (n < 0)
        printf("null");
    for (int i = 0; i < n; i++)
        printf("%02x", (unsigned char)data[i]);
    printf("\n");
    rc = zoo_get_children(zk, path, 0, &kids);
    if (rc)
        return failed("get_children", path, rc);
    qsort(kids.data, (size_t)kids.count, sizeof kids.data[0], by_name);
    for (int i = 0; i < kids.count && !err; i++) {
        char below[1024];
        snprintf(below, sizeof below, "%s/%s", path, kids.data[i]);
        err = print(below);
    }
    deallocate_String_vector(&kids);
    return err;
}

static int make(const char *path)
{
    char name[1024];
    int rc = zoo_create(zk, path, "root", 4, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    for (int i = 0; i < 30 && !rc; i++) {
        int flags = i % 3 == 1 ? ZOO_SEQUENCE : 0;
        snprintf(name, sizeof name, "%s/n%d%s", path, i, flags ? "-" : "");
        rc = zoo_create(zk, name, name, i % 3 ? i : -1, &ZOO_OPEN_ACL_UNSAFE, flags, NULL, 0);
        for (int k = 0; k < i && !rc && i % 3 == 0; k++)
            rc = zoo_set(zk, name, "changed", k, -1);
    }
    return rc ? failed("create", path, rc) : 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zk = zookeeper_init(argv[1], NULL, 10000, NULL, NULL, 0);
    for (int i = 0; zk && zoo_state(zk) != ZOO_CONNECTED_STATE && i < 1000; i++)
        usleep(10000);
    if (!zk || zoo_state(zk) != ZOO_CONNECTED_STATE) {
        fprintf(stderr, "zktree: no connection to %s\n", argv[1]);
        return 1;
    }
    int err = argc > 3 ? make(argv[2]) : 0;
    err = err ? err : print(argv[2]);
    zookeeper_close(zk);
    return err;
}
