/* cluster/cli_zk_acl.c - whose the nodes are that stay in ZooKeeper: the cluster's path, and what
 * is in it for good.
 *
 * With journal.zk.auth masters make nodes that are their user's.  Those from before stay
 * everybody's until an operator has them closed: a master does not, for one with the wrong
 * credentials would lock out all others. */
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
