/* cluster/config_members.c - the masters of a group, as the configuration names them.
 *
 * The list is what a new cluster is made of, and where clients look for masters.  Once there is a
 * cluster, who belongs to it is in its journal; `tarn journal members` says so. */
#include "cluster/config_members.h"
#include <stdarg.h>
#include <stdlib.h>
#include "cluster/config_zk.h"

PRINTF_LIKE(3, 4) static int members_fail(char *err, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err, cap, format, args);
    va_end(args);
    return E_CONFIG;
}

bool config_members_is_addr(const char *s)
{
    const char *colon = strrchr(s, ':');
    if (!colon || colon == s || strlen(s) >= ENV_ADDR_MAX || strpbrk(s, " \t@,="))
        return false;
    char *end;
    long port = strtol(colon + 1, &end, 10);
    return end != colon + 1 && !*end && port >= 0 && port <= 65535;
}

/* one of the list, n bytes; false: not of that form */
static bool members_one(const char *s, size_t n, struct config_member *to)
{
    memset(to, 0, sizeof *to);
    return journal_member_parse(s, n, &to->id, to->addr, &to->priority) &&
           config_members_is_addr(to->addr);
}

int config_members_parse(const char *text, struct config_member to[JOURNAL_MEMBERS_MAX],
                         uint32_t *ret_n, char *err, size_t cap)
{
    uint32_t n = 0;
    *ret_n = 0;
    while (*text) {
        size_t len = strcspn(text, ",");
        struct config_member m;
        if (!members_one(text, len, &m))
            return members_fail(err, cap,
                                "journal.members: \"%.*s\" is not ID@HOST:PORT or "
                                "ID@HOST:PORT=PRIORITY (ID from 1 on, PRIORITY 0 to 255)",
                                (int)base_min_u64(len, 100), text);
        if (n == JOURNAL_MEMBERS_MAX)
            return members_fail(err, cap, "journal.members: more than %d", JOURNAL_MEMBERS_MAX);
        for (uint32_t i = 0; i < n; i++) {
            if (to[i].id == m.id)
                return members_fail(err, cap, "journal.members: two have the number %u", m.id);
            if (!strcmp(to[i].addr, m.addr))
                return members_fail(err, cap, "journal.members: two have the address %s", m.addr);
        }
        to[n++] = m;
        text += len + (text[len] == ',');
    }
    *ret_n = n;
    return 0;
}

static bool members_is_any(const char *listen, size_t host)
{
    return (host == 7 && !memcmp(listen, "0.0.0.0", 7)) ||
           (host == 4 && !memcmp(listen, "[::]", 4)) || (host == 2 && !memcmp(listen, "::", 2));
}

/* a master that listens on every address is reached at any with that port */
static bool members_is_here(const char *listen, const char *addr)
{
    const char *port = strrchr(listen, ':'), *theirs = strrchr(addr, ':');
    size_t host = (size_t)(port - listen);
    return !strcmp(listen, addr) || (members_is_any(listen, host) && !strcmp(port, theirs));
}

/* without a list the others and clients are told master.listen */
static int members_check_reach(const struct config *c, char *err, size_t cap)
{
    const char *listen = config_str(c, CONFIG_MASTER_LISTEN);
    bool is_any = members_is_any(listen, (size_t)(strrchr(listen, ':') - listen));
    return is_any ? members_fail(err, cap,
                                 "master.listen is %s, which nobody can connect to: "
                                 "journal.members must name this master (journal.id %u) as others "
                                 "reach it",
                                 listen, (unsigned)config_int(c, CONFIG_JOURNAL_ID))
                  : 0;
}

static int members_check_own(const struct config *c, const struct config_member *m, uint32_t n,
                             char *err, size_t cap)
{
    uint32_t id = (uint32_t)config_int(c, CONFIG_JOURNAL_ID), i = 0;
    const char *listen = config_str(c, CONFIG_MASTER_LISTEN);
    while (i < n && m[i].id != id)
        i++;
    if (i == n)
        return members_fail(err, cap, "journal.id is %u, which journal.members does not name", id);
    if (!members_is_here(listen, m[i].addr))
        return members_fail(err, cap,
                            "journal.members has %s for this master (journal.id %u), but "
                            "master.listen is %s",
                            m[i].addr, id, listen);
    return 0;
}

int config_members_check(const struct config *c, char *err, size_t cap)
{
    struct config_member m[JOURNAL_MEMBERS_MAX];
    uint32_t n;
    bool is_raft = !strcmp(config_str(c, CONFIG_JOURNAL_TYPE), "raft");
    int64_t heartbeat = config_int(c, CONFIG_JOURNAL_HEARTBEAT);
    int64_t promise = config_int(c, CONFIG_JOURNAL_PROMISE);
    int64_t least = config_int(c, CONFIG_JOURNAL_SUSPECT_MIN);
    int bad = config_members_parse(config_str(c, CONFIG_JOURNAL_MEMBERS), m, &n, err, cap);
    if (bad)
        return bad;
    bad = config_zk_check(c, err, cap);
    if (bad)
        return bad;
    if (config_zk_is(c))
        return !config_int(c, CONFIG_JOURNAL_ID) ? 0
               : n                               ? members_check_own(c, m, n, err, cap)
                                                 : members_check_reach(c, err, cap);
    if (!is_raft)
        return n ? members_fail(err, cap,
                                "journal.members is set, but journal.type is local: set it to "
                                "raft or zk, or leave the members out")
                 : 0;
    if (!n)
        return members_fail(err, cap,
                            "journal.type is raft: journal.members must name the masters, like "
                            "\"1@host-a:7700,2@host-b:7700,3@host-c:7700\"");
    if (promise < 2 * heartbeat)
        return members_fail(err, cap, "journal.promise must be at least twice journal.heartbeat");
    if (least < 2 * promise)
        return members_fail(err, cap, "journal.suspect_min must be at least twice journal.promise");
    if (config_int(c, CONFIG_JOURNAL_SUSPECT_MAX) < least + heartbeat)
        return members_fail(err, cap,
                            "journal.suspect_max must be longer than journal.suspect_min by "
                            "journal.heartbeat at least");
    if (config_int(c, CONFIG_MASTER_LEASE) < promise)
        return members_fail(err, cap, "master.lease must not be shorter than journal.promise");
    return config_int(c, CONFIG_JOURNAL_ID) ? members_check_own(c, m, n, err, cap) : 0;
}

void config_members_addresses(const char *text, char *to, size_t cap)
{
    struct config_member m;
    size_t at = 0;
    to[0] = 0;
    while (*text) {
        size_t len = strcspn(text, ",");
        if (members_one(text, len, &m) && at + strlen(m.addr) + 2 < cap)
            at += (size_t)snprintf(to + at, cap - at, "%s%s", at ? "," : "", m.addr);
        text += len + (text[len] == ',');
    }
}
