/* journal/zk_address.c - reads a connection string; zk_address.h says of which form. */
#include "journal/zk_address.h"
#include "core/fmt.h"
#include "journal/zk_proto.h"

static const char address_port[] = ":2181";

static bool address_is_port(const char *s, size_t n)
{
    uint32_t v = 0;
    if (!n || n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (uint32_t)(s[i] - '0');
    }
    return v >= 1 && v <= 65535;
}

/* bytes of the host at s, brackets included; 0: it is none */
static size_t address_host(const char *s, size_t n)
{
    size_t host = 0;
    if (n && s[0] == '[') {
        const char *end = memchr(s, ']', n);
        host = end && end > s + 1 ? (size_t)(end - s) + 1 : 0;
    } else {
        while (host < n && s[host] != ':')
            host++;
    }
    for (size_t i = 0; i < host; i++) {
        bool is_bracketed = s[0] == '[';
        bool is_wrong = s[i] <= ' ' || s[i] == 0x7f || s[i] == '@' || s[i] == '=';
        if (is_wrong || (!is_bracketed && (s[i] == '[' || s[i] == ']')))
            return 0;
    }
    return host;
}

/* NULL, or what is wrong with the server in s */
static const char *address_server(struct zk_address *a, const char *s, size_t n)
{
    if (!n)
        return "is empty: one comma too many";
    size_t host = address_host(s, n);
    if (!host)
        return "has no host name that can be read";
    bool has_port = host < n;
    if (has_port && (s[host] != ':' || !address_is_port(s + host + 1, n - host - 1)))
        return "has no port from 1 to 65535 behind its host";
    if (n + (has_port ? 0 : sizeof address_port - 1) >= ENV_ADDR_MAX)
        return "is too long";
    if (a->n == ZK_SERVERS_MAX)
        return "is one too many";
    char *to = a->server[a->n++];
    memcpy(to, s, n);
    memcpy(to + n, address_port, has_port ? 0 : sizeof address_port);
    return NULL;
}

int zk_address_parse(const char *text, struct zk_address *ret_a, char *why, size_t why_cap)
{
    memset(ret_a, 0, sizeof *ret_a);
    const char *root = strchr(text, '/');
    size_t n = root ? (size_t)(root - text) : strlen(text);
    if (!n) {
        fmt_into(why, why_cap, "the ZooKeeper address \"%s\" names no server (host:port,.../path)",
                 text);
        return E_CONFIG;
    }
    for (size_t at = 0; at <= n;) {
        const char *comma = at < n ? memchr(text + at, ',', n - at) : NULL;
        size_t len = comma ? (size_t)(comma - text) - at : n - at;
        const char *wrong = address_server(ret_a, text + at, len);
        if (wrong) {
            fmt_into(why, why_cap, "the ZooKeeper address \"%s\": server %u \"%.*s\" %s", text,
                     ret_a->n + 1, (int)base_min_u64(len, 200), text + at, wrong);
            return E_CONFIG;
        }
        at += len + 1;
    }
    if (!root || !root[1])
        return 0;
    const char *wrong = zk_proto_path_wrong(root, strlen(root), false);
    if (!wrong && strlen(root) >= ZK_ROOT_MAX)
        wrong = "is too long";
    if (!wrong && (strchr(root, ',') || strchr(root, ':')))
        wrong = "has a comma or colon: it is said once, behind the last server";
    if (wrong) {
        fmt_into(why, why_cap, "the ZooKeeper address \"%s\": its path %s", text, wrong);
        return E_CONFIG;
    }
    memcpy(ret_a->root, root, strlen(root) + 1);
    return 0;
}
