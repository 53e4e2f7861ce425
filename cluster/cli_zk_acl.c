/* cluster/cli_zk_acl.c - whose the nodes are that stay in ZooKeeper: the cluster's path, and what
 * is in it for good.
 *
 * With journal.zk.auth masters make nodes that are their user's.  Those from before stay
 * everybody's until an operator has them closed: a master does not, for one with the wrong
 * credentials would lock out all others. */
#include <stdlib.h>
#include "cluster/cli_zk.h"

static const int64_t acl_call_ns = 5000000000LL;

unsigned cli_zk_acl_open(struct cli_zk_ask *a, const char *root, bool closes, char to[CLI_ZK_OPEN],
                         int *ret_err)
{
    static const char *const nodes[] = {"", "/cluster", "/election", "/epoch", "/masters"};
    char path[ZK_ROOT_MAX + 16];
    size_t at = 0;
    unsigned n = 0;
    *ret_err = 0;
    to[0] = 0;
    for (uint32_t i = *root ? 0 : 1; *a->auth && i < ARRAY_LEN(nodes) && !*ret_err; i++) {
        snprintf(path, sizeof path, "%s%s", root, nodes[i]);
        struct zk_call get = {.what = ZK_OP_GET_ACL, .path = path, .is_absolute = true};
        struct zk_call set = {.what = ZK_OP_SET_ACL,
                              .path = path,
                              .is_absolute = true,
                              .version = -1,
                              .acl = zk_proto_acl_own};
        int err = cli_zk_ask_call(a, &get, acl_call_ns);
        if (err || !zk_proto_acl_is_open(a->call.reply.acl)) {
            *ret_err = err == E_NOENT ? 0 : err;
            continue;
        }
        at += (size_t)snprintf(to + at, CLI_ZK_OPEN - at, "%s%s", n++ ? ", " : "", path);
        if (closes)
            *ret_err = cli_zk_ask_call(a, &set, acl_call_ns);
    }
    return n;
}

/* the number of whom ID or GUID-ID-n-SEQUENCE is of; 0: it is no master's */
static uint32_t acl_master(const char *name, uint32_t len)
{
    char text[24];
    if (zk_elect_who(name, len))
        return zk_elect_who(name, len);
    snprintf(text, sizeof text, "%.*s", (int)base_min_u64(len, sizeof text - 1), name);
    return (uint32_t)strtoul(text, NULL, 10);
}

/* those of dir's nodes that everybody may change go into id, sorted, each once */
static int acl_masters_in(struct cli_zk_ask *a, const char *dir, uint32_t id[JOURNAL_MEMBERS_MAX],
                          unsigned *n)
{
    char path[ZK_ROOT_MAX + 128];
    const char *name;
    uint32_t len;
    struct zk_call list = {.what = ZK_OP_GET_CHILDREN2, .path = dir, .is_absolute = true};
    int err = cli_zk_ask_call(a, &list, acl_call_ns);
    if (err)
        return err == E_NOENT ? 0 : err;
    struct zk_list kids = a->call.reply.children;
    void *names = a->copy; /* the next call would free them */
    a->copy = NULL;
    while (!err && *n < JOURNAL_MEMBERS_MAX && zk_proto_text_next(&kids, &name, &len)) {
        uint32_t who = acl_master(name, len), at = 0;
        snprintf(path, sizeof path, "%s/%.*s", dir, (int)base_min_u64(len, 100), name);
        struct zk_call get = {.what = ZK_OP_GET_ACL, .path = path, .is_absolute = true};
        err = cli_zk_ask_call(a, &get, acl_call_ns);
        bool is_open = !err && zk_proto_acl_is_open(a->call.reply.acl);
        err = err == E_NOENT || err == E_ACCES ? 0 : err; /* it has left, or is another user's */
        while (at < *n && id[at] < who)
            at++;
        if (!is_open || !who || (at < *n && id[at] == who))
            continue;
        memmove(id + at + 1, id + at, (*n - at) * sizeof *id);
        id[at] = who;
        *n += 1;
    }
    free(names);
    return err;
}

unsigned cli_zk_acl_masters(struct cli_zk_ask *a, const char *root, char to[CLI_ZK_IDS],
                            int *ret_err)
{
    static const char *const dirs[] = {"/masters", "/election"};
    char dir[ZK_ROOT_MAX + 16];
    uint32_t id[JOURNAL_MEMBERS_MAX + 1];
    unsigned n = 0;
    size_t at = 0;
    *ret_err = 0;
    to[0] = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(dirs) && !*ret_err; i++) {
        snprintf(dir, sizeof dir, "%s%s", root, dirs[i]);
        *ret_err = acl_masters_in(a, dir, id, &n);
    }
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(to + at, CLI_ZK_IDS - at, "%s%u", i ? ", " : "", id[i]);
    return n;
}
