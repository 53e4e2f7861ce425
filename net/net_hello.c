/* net/net_hello.c - what is said first on a connection, between net_tcp (sockets) and net_auth (who
 * is it): the secret, the bounds of the unknown, and the log lines.
 *
 * Invariants:
 *  1. Without a secret no packet leaves the machine, and none that came from outside is answered;
 *     but raw connections go where their owner wants: who is there has its own ways to prove it.
 *  2. Strangers hold at most max_greeting connections, each until one deadline that no byte of
 *     theirs moves, and each less memory than one chunk of output.
 *  3. For one more than that the oldest is closed, not the new one refused: who is honest needs
 *     milliseconds, so a flood must fill the whole list within them to shut anybody out.
 *  4. A secret file that was changed is read at the next connection, a second later at most, so
 *     that a secret is changed without a restart; one that cannot be used changes nothing.
 *
 * The file is read on the loop: it is small, and looked at only when somebody connects. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "net/net_impl.h"

bool net_hello_may_log(struct net *net)
{
    int64_t now = net_loop_now(net);
    if (now < net->hello_log_ns) {
        net->hellos_unlogged++;
        return false;
    }
    if (net->hellos_unlogged)
        fmt_log(&net->env, ENV_LOG_WARN,
                "net: %llu more connections were refused or had no proper hello",
                (unsigned long long)net->hellos_unlogged);
    net->hellos_unlogged = 0;
    net->hello_log_ns = now + NET_HELLO_LOG_NS;
    return true;
}

/* ---- the secret ---- */

bool net_hello_is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)sa;
    return sa->sa_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
            (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127));
}

bool net_hello_is_local(const char *addr)
{
    char host[ENV_ADDR_MAX];
    const char *colon = strrchr(addr, ':');
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    bool is_local = true;
    bool bracket = *addr == '[';
    if (!colon || colon - addr <= 2 * bracket || colon - addr >= ENV_ADDR_MAX)
        return true;
    snprintf(host, sizeof host, "%.*s", (int)(colon - addr) - 2 * bracket, addr + bracket);
    if (getaddrinfo(host, NULL, &hints, &list))
        return true;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        is_local &= net_hello_is_loopback(a->ai_addr);
    freeaddrinfo(list);
    return is_local;
}

bool net_hello_may_reach(const struct net *net, const struct sockaddr *sa)
{
    return net->secrets.n || net_hello_is_loopback(sa);
}

/* true: it is another file than the one that was read, or gone */
static bool net_hello_secret_changed(struct net *net)
{
    struct stat st = {0};
    (void)!stat(net->secret_file, &st);
    bool same =
        net->secret_ino == (uint64_t)st.st_ino && net->secret_size == (uint64_t)st.st_size &&
        net->secret_ct.tv_sec == st.st_ctim.tv_sec && net->secret_ct.tv_nsec == st.st_ctim.tv_nsec;
    net->secret_ino = (uint64_t)st.st_ino;
    net->secret_size = (uint64_t)st.st_size; /* cut and written again within a tick of the clock */
    net->secret_ct = st.st_ctim;
    return !same;
}

int net_hello_secret(struct net *net)
{
    char err[512];
    if (!net->config.secret_file || !*net->config.secret_file)
        return 0;
    net->secret_file = strdup(net->config.secret_file);
    ASSERT(net->secret_file);
    (void)net_hello_secret_changed(net);
    int ret = net_secret_load(net->secret_file, &net->secrets, err, sizeof err);
    if (ret)
        fmt_log(&net->env, ENV_LOG_ERROR, "net: %s", err);
    return ret;
}

static void net_hello_secret_again(struct net *net)
{
    char err[512];
    struct net_secrets s;
    int64_t now = net_loop_now(net);
    if (!net->secret_file || now < net->secret_look_ns)
        return;
    net->secret_look_ns = now + net_seconds(1);
    if (!net_hello_secret_changed(net))
        return;
    if (net_secret_load(net->secret_file, &s, err, sizeof err)) {
        fmt_log(&net->env, ENV_LOG_ERROR, "net: %s; what was read before stays in force", err);
        return;
    }
    net->secrets = s;
    net_secret_wipe(&s);
    fmt_log(&net->env, ENV_LOG_INFO, "net: the cluster secret was read again: %s",
            net->secrets.n == 2 ? "two are accepted" : "one is accepted");
}

/* ---- a connection ---- */

static void net_hello_admit(struct net_conn *c)
{
    struct net *net = c->net;
    list_push_back(&net->greeting, &c->greet_link);
    if (net->greeting_n++ < net->config.max_greeting)
        return;
    struct net_conn *oldest = list_entry(net->greeting.next, struct net_conn, greet_link);
    if (net_hello_may_log(net))
        fmt_log(&net->env, ENV_LOG_WARN,
                "net: %u connections are accepted and have not proved who they are: the oldest, "
                "%s, is closed; does something flood this port?",
                net->config.max_greeting, oldest->name);
    net_tcp_kill(oldest, E_TIMEOUT);
}

void net_hello_begin(struct net_conn *c)
{
    struct net *net = c->net;
    uint8_t fresh[NET_FRAME_CHALLENGE];
    struct net_hello mine = {
        .version_min = NET_FRAME_VERSION_MIN,
        .version_max = NET_FRAME_VERSION,
        .frame_max = ENV_FRAME_MAX,
        .cluster_hi = net->config.cluster_hi,
        .cluster_lo = net->config.cluster_lo,
        .formats = net->config.formats,
    };
    for (size_t i = 0; i < sizeof fresh; i += 8)
        base_put_u64(fresh + i, net_loop_random(net));
    net_hello_secret_again(net);
    c->auth = net_loop_alloc(sizeof *c->auth);
    net_auth_begin(c->auth, c->listener != NULL, &mine, &net->secrets, fresh);
    net_stream_bytes(c, c->auth->out, c->auth->out_n);
    if (c->listener)
        net_hello_admit(c);
}

void net_hello_end(struct net_conn *c)
{
    free(c->auth);
    c->auth = NULL;
    if (list_linked(&c->greet_link)) {
        list_remove(&c->greet_link);
        c->net->greeting_n--;
    }
}

void net_hello_timeout(struct net_conn *c)
{
    if (!net_hello_may_log(c->net))
        return;
    fmt_log(&c->net->env, ENV_LOG_WARN,
            c->auth->state == NET_AUTH_HELLO
                ? "net: %s is connected but sent no hello in time: closed; is it a tarn node, and "
                  "is it alive?"
                : "net: %s said hello but did not prove in time that it has the cluster secret: "
                  "closed; is it alive?",
            c->name);
}

static void net_hello_log_auth(struct net_conn *c)
{
    static const char *const lines[] = {
        [NET_AUTH_FINE] = "net: %s: refused",
        [NET_AUTH_ONLY_WE] = "net: %s has no cluster secret and this node has one: refused; set "
                             "cluster.secret_file there, to a copy of this node's file",
        [NET_AUTH_ONLY_THEY] = "net: %s has a cluster secret and this node has none: refused; set "
                               "cluster.secret_file here, to a copy of that node's file",
        [NET_AUTH_WRONG] = "net: %s has another cluster secret than this node: refused; copy one's "
                           "file to the other (`tarn secret check FILE` compares)",
        [NET_AUTH_THEY_REFUSE] = "net: %s refuses this node, which has another cluster secret: "
                                 "copy one's file to the other (`tarn secret check FILE` compares)",
    };
    fmt_log(&c->net->env, ENV_LOG_ERROR, lines[c->auth->fault], c->name);
}

static void net_hello_log_version(struct net_conn *c)
{
    const struct net_hello *a = &c->auth->mine, *b = &c->auth->theirs;
    fmt_log(&c->net->env, ENV_LOG_ERROR,
            "net: %s speaks protocol %u..%u (log %u..%u, image %u..%u), this node %u..%u (%u..%u, "
            "%u..%u): refused; upgrade the older one",
            c->name, b->version_min, b->version_max, b->formats.log_min, b->formats.log_max,
            b->formats.image_min, b->formats.image_max, a->version_min, a->version_max,
            a->formats.log_min, a->formats.log_max, a->formats.image_min, a->formats.image_max);
}

static void net_hello_log(struct net_conn *c, int err)
{
    struct env *e = &c->net->env;
    const struct net_hello *a = &c->auth->mine, *b = &c->auth->theirs;
    if (err != E_REFUSED && !net_hello_may_log(c->net))
        return;
    switch (err) {
    case E_AUTH:
        net_hello_log_auth(c);
        break;
    case E_VERSION:
        net_hello_log_version(c);
        break;
    case E_CLUSTER:
        fmt_log(e, ENV_LOG_ERROR,
                "net: %s belongs to cluster %016llx%016llx, this node to %016llx%016llx: refused; "
                "check the configured addresses and cluster id",
                c->name, (unsigned long long)b->cluster_hi, (unsigned long long)b->cluster_lo,
                (unsigned long long)a->cluster_hi, (unsigned long long)a->cluster_lo);
        break;
    case E_REFUSED: /* nobody listened, and TCP connected our port to itself */
        fmt_log(e, ENV_LOG_DEBUG, "net: %s is this very socket: nobody listens there", c->name);
        break;
    default:
        fmt_log(e, ENV_LOG_WARN,
                "net: %s did not say a tarn hello (%s): closed; is something else talking to this "
                "port?",
                c->name, err_text(err));
    }
}

int64_t net_hello_take(struct net_conn *c, const uint8_t *b, size_t n)
{
    struct net *net = c->net;
    int64_t used = net_auth_take(c->auth, &net->secrets, b, n);
    if (c->auth->out_n)
        net_stream_bytes(c, c->auth->out, c->auth->out_n);
    if (used < 0) {
        *(used == E_AUTH ? &net->stats.unauthorised : &net->stats.bad_hellos) += 1;
        net_hello_log(c, (int)used);
        net_stream_flush(c); /* so that the other end can say the same in its log */
        net_tcp_kill(c, (int)used);
    } else if (c->auth->state == NET_AUTH_OPEN) {
        net_tcp_opened(c);
    }
    return c->state == NET_DEAD && used >= 0 ? E_CLOSED : used;
}
