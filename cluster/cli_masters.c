/* cluster/cli_masters.c - masters asked one by one.  No session, no client: a few connections and
 * calls on a loop of our own, all of a round at once, each with the round's deadline. */
#include "cluster/cli_masters.h"
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "journal/era.h"

enum { MASTERS_MEM = 32 << 20 };
static const int64_t masters_heed_ns = 100000000LL;

struct masters_ask {
    struct cli_masters *m;
    struct rpc_conn *conn;
    struct env_op connecting;
    struct rpc_call call;
    bool done;
    unsigned *left;
    bool *all;
    const char *addr;
    uint16_t method;
    const void *body;
    uint32_t len;
    int64_t until_ns;
    int err;
    char *to; /* malloc()ed */
    uint32_t to_len;
};

static void masters_end(struct masters_ask *a, int err)
{
    a->err = err;
    a->done = true;
    if (a->conn)
        rpc_hangup(a->conn);
    a->conn = NULL;
    *a->all = --*a->left == 0;
}

static void masters_called(struct env_op *op)
{
    struct masters_ask *a =
        container_of(container_of(op, struct rpc_call, op), struct masters_ask, call);
    a->to = malloc(a->call.reply_len + 2);
    ASSERT(a->to);
    a->to[0] = '\n';
    if (a->call.reply_len)
        memcpy(a->to + 1, a->call.reply, a->call.reply_len);
    a->to_len = a->call.reply_len;
    a->to[a->to_len + 1] = 0;
    masters_end(a, (int)op->ret);
}

static void masters_connected(struct env_op *op)
{
    struct masters_ask *a = container_of(op, struct masters_ask, connecting);
    if (op->ret < 0) {
        a->conn = NULL;
        masters_end(a, (int)op->ret);
        return;
    }
    a->call.op.done = masters_called;
    rpc_call(a->conn, a->method, a->body, a->len, a->until_ns, &a->call);
}

/* every one of them at once; each is done by its deadline */
static void masters_round(struct cli_masters *m, struct masters_ask *a, unsigned n,
                          int64_t timeout_ns)
{
    bool all = !n;
    unsigned left = n;
    int64_t now = env_now_ns(net_env(m->net));
    for (unsigned i = 0; i < n; i++) {
        a[i].m = m;
        a[i].left = &left;
        a[i].all = &all;
        a[i].until_ns = now + timeout_ns;
        a[i].connecting.done = masters_connected;
        rpc_connect(&m->rpc, a[i].addr, timeout_ns, &a[i].connecting, &a[i].conn);
    }
    int err = 0;
    while (!all && !err)
        err = net_run_until(m->net, &all, now + timeout_ns + 5000000000LL);
    ASSERT(all); /* connecting and calls have deadlines of their own */
}

static void masters_know(struct cli_masters *m, const char *addr, size_t len)
{
    if (!len || len >= ENV_ADDR_MAX || m->n == CLI_MASTERS_MAX)
        return;
    for (unsigned i = 0; i < m->n; i++)
        if (strlen(m->one[i].addr) == len && !memcmp(m->one[i].addr, addr, len))
            return;
    snprintf(m->one[m->n++].addr, ENV_ADDR_MAX, "%.*s", (int)len, addr);
}

void cli_masters_add(struct cli_masters *m, const char *addr)
{
    masters_know(m, addr, strlen(addr));
}

int cli_masters_open_none(struct cli_masters *m, const struct cli *c)
{
    memset(m, 0, sizeof *m);
    int code = cli_secret_ready(c);
    if (code)
        return code;
    struct net_config nc = {.node = "tarn",
                            .log_level = ENV_LOG_ERROR,
                            .held_max = 16 << 20,
                            .secret_file = config_str(c->config, CONFIG_CLUSTER_SECRET_FILE)};
    int err = net_open(&nc, &m->net);
    if (err)
        return cli_error(c, CLI_FAILED, "event loop: %s", err_text(err));
    m->cli = c;
    mem_init(&m->mem, net_mem_source(), MASTERS_MEM);
    err = rpc_host_init(&m->rpc, net_env(m->net), &m->mem, 2 * CLI_MASTERS_MAX, 16);
    ASSERT(!err);
    return CLI_OK;
}

int cli_masters_open(struct cli_masters *m, const struct cli *c)
{
    int code = cli_masters_open_none(m, c);
    if (code)
        return code;
    for (const char *p = config_masters(c->config); *p;) {
        size_t n = strcspn(p, ",");
        masters_know(m, p, n);
        p += n + (p[n] == ',');
    }
    return CLI_OK;
}

/* Its name is known, and a route leads there.  (Connecting a datagram socket sends nothing.) */
static bool masters_has_way(const char *addr)
{
    char host[ENV_ADDR_MAX];
    const char *colon = strrchr(addr, ':');
    struct addrinfo *list, hints = {.ai_socktype = SOCK_DGRAM};
    bool is_ipv6 = *addr == '[', has = false;
    if (!colon || colon - addr < 2 * is_ipv6)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - addr) - 2 * is_ipv6, addr + is_ipv6);
    if (getaddrinfo(host, colon + 1, &hints, &list))
        return false;
    for (const struct addrinfo *a = list; a && !has; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        has = fd >= 0 && !connect(fd, a->ai_addr, a->ai_addrlen);
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(list);
    return has;
}

enum cli_masters_said cli_masters_said(const struct cli_masters_one *o)
{
    switch (o->err) {
    case 0:
        return CLI_MASTERS_ANSWERS;
    case E_REFUSED:
        return CLI_MASTERS_GONE;
    case E_TIMEOUT:
        return CLI_MASTERS_SILENT;
    case E_UNAVAILABLE:
        return masters_has_way(o->addr) ? CLI_MASTERS_SILENT : CLI_MASTERS_BARRED;
    default: /* somebody is there, and does not talk to us; or we may not */
        return CLI_MASTERS_BARRED;
    }
}

int cli_masters_refused(const struct cli_masters *m)
{
    const struct cli_masters_one *by = NULL;
    for (unsigned i = 0; i < m->n; i++) {
        int err = m->one[i].err;
        if (!err)
            return CLI_OK;
        if (err == E_AUTH || err == E_CONFIG || err == E_VERSION || err == E_CLUSTER)
            by = &m->one[i];
    }
    return by ? cli_refused(m->cli, by->addr, by->err) : CLI_OK;
}

static void masters_forget(struct cli_masters *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        free(m->one[i].text);
        m->one[i].text = NULL;
        m->one[i].err = E_UNAVAILABLE;
    }
}

void cli_masters_close(struct cli_masters *m)
{
    masters_forget(m);
    net_close(m->net);
    mem_drop(&m->mem);
}

/* Under one list two clusters, or the two of a cluster of which one was given up (journal/era.c):
 * one of them answers what is asked, perhaps not the one that was meant. */
static void masters_warn(struct cli_masters *m)
{
    const struct cli_masters_one *first = NULL;
    char cluster[40], other[40];
    for (unsigned i = 0; i < m->n && !m->was_warned; i++) {
        const struct cli_masters_one *o = &m->one[i];
        if (o->err || !cli_masters_u64(o, "journal.members.count"))
            continue;
        if (!first) {
            first = o;
            cli_masters_str(first, "journal.cluster", cluster, sizeof cluster);
            continue;
        }
        cli_masters_str(o, "journal.cluster", other, sizeof other);
        bool is_same = !strcmp(cluster, other);
        if (is_same && cli_masters_u64(o, "journal.era") == cli_masters_u64(first, "journal.era"))
            continue;
        uint32_t era[] = {era_number(cli_masters_u64(first, "journal.era")),
                          era_number(cli_masters_u64(o, "journal.era"))};
        cli_error(m->cli, 0,
                  "note: the masters at %s and %s are not of one group: %s%s%s.  Name those of one "
                  "(--masters, client.masters)",
                  first->addr, o->addr,
                  is_same ? "one was recovered or restored without the other"
                          : "they are of different clusters",
                  is_same && era[0] != era[1] ? ", the later at " : "",
                  !is_same || era[0] == era[1] ? ""
                  : era[0] > era[1]            ? first->addr
                                               : o->addr);
        m->was_warned = true;
    }
}

void cli_masters_heed(const struct cli *c)
{
    static struct cli_masters m;
    if (!strchr(config_masters(c->config), ',') || cli_masters_open(&m, c))
        return;
    cli_masters_ask(&m, masters_heed_ns);
    cli_masters_close(&m);
}

void cli_masters_ask(struct cli_masters *m, int64_t timeout_ns)
{
    masters_forget(m);
    for (unsigned from = 0, to; from < m->n; from = to) { /* the second round: whom they named */
        struct masters_ask ask[CLI_MASTERS_MAX] = {0};
        to = m->n;
        for (unsigned i = from; i < to; i++) {
            ask[i - from].addr = m->one[i].addr;
            ask[i - from].method = RPC_STATUS;
        }
        masters_round(m, ask, to - from, timeout_ns);
        for (unsigned i = from; i < to; i++) {
            struct masters_ask *a = &ask[i - from];
            m->one[i].err = a->err;
            m->one[i].text = a->err ? NULL : a->to;
            if (a->err)
                free(a->to);
        }
        for (unsigned i = from; i < to; i++)
            for (unsigned k = 0; k < cli_masters_u64(&m->one[i], "journal.members.count"); k++) {
                char key[64], addr[ENV_ADDR_MAX];
                snprintf(key, sizeof key, "journal.members.%u.addr", k);
                cli_masters_str(&m->one[i], key, addr, sizeof addr);
                masters_know(m, addr, strlen(addr));
            }
    }
    masters_warn(m);
}

int cli_masters_call(struct cli_masters *m, const char *addr, uint16_t method, const void *body,
                     uint32_t len, int64_t timeout_ns, void *reply, uint32_t cap, uint32_t *ret_len)
{
    struct masters_ask a = {.addr = addr, .method = method, .body = body, .len = len};
    masters_round(m, &a, 1, timeout_ns);
    uint32_t n = a.to ? (uint32_t)base_min_u64(a.to_len, cap) : 0;
    if (n)
        memcpy(reply, a.to + 1, n);
    if (ret_len)
        *ret_len = n;
    free(a.to);
    return a.err;
}

int cli_masters_image(struct cli_masters *m, const char *addr, int64_t timeout_ns,
                      uint64_t *ret_index)
{
    uint8_t body[64];
    char text[64] = "";
    uint32_t n = 0;
    struct wbuf w = wbuf_make(body, sizeof body);
    struct rpc_admin a = {.kind = RPC_ADMIN_IMAGE};
    rpc_format_admin_put(&w, &a);
    int err = cli_masters_call(m, addr, RPC_ADMIN, w.p, (uint32_t)w.len, timeout_ns, text,
                               sizeof text - 1, &n);
    text[n] = 0;
    *ret_index = err ? 0 : strtoull(text + strcspn(text, " "), NULL, 10);
    return err;
}

const char *cli_masters_str(const struct cli_masters_one *o, const char *key, char *to, size_t cap)
{
    char line[96];
    int n = snprintf(line, sizeof line, "\n%s ", key);
    const char *at = o->text ? strstr(o->text, line) : NULL;
    snprintf(to, cap, "%.*s", at ? (int)strcspn(at + n, "\n") : 0, at ? at + n : "");
    return to;
}

uint64_t cli_masters_u64(const struct cli_masters_one *o, const char *key)
{
    char text[32];
    return strtoull(cli_masters_str(o, key, text, sizeof text), NULL, 10);
}

uint64_t cli_masters_member(const struct cli_masters_one *o, unsigned n, const char *key)
{
    char full[96];
    snprintf(full, sizeof full, "journal.members.%u.%s", n, key);
    return cli_masters_u64(o, full);
}

const struct cli_masters_one *cli_masters_leader(const struct cli_masters *m)
{
    const struct cli_masters_one *best = NULL;
    for (unsigned i = 0; i < m->n; i++) {
        const struct cli_masters_one *o = &m->one[i];
        if (!o->text || !strstr(o->text, "\nrole leader\n"))
            continue;
        uint32_t era = era_number(cli_masters_u64(o, "journal.era"));
        uint32_t best_era = best ? era_number(cli_masters_u64(best, "journal.era")) : 0;
        if (!best || era > best_era ||
            (era == best_era && cli_masters_u64(o, "epoch") > cli_masters_u64(best, "epoch")))
            best = o;
    }
    return best;
}

const struct cli_masters_one *cli_masters_at(const struct cli_masters *m, const char *addr)
{
    for (unsigned i = 0; i < m->n; i++)
        if (!strcmp(m->one[i].addr, addr))
            return &m->one[i];
    return NULL;
}
