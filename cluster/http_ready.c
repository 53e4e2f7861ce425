/* cluster/http_ready.c - can a process serve?  Told from its status text alone.
 *
 *   master   leads and serves; or stands by, hears the leader, and (ZooKeeper) can be elected.  One
 *            that leads and serves is ready, whatever else is wrong: that is "degraded"
 *   worker   serves, and a master has answered a report within a few intervals
 *   mount    the kernel's requests are served, and the client has a session */
#include <inttypes.h>
#include <stdlib.h>
#include "cluster/http.h"
#include "core/fmt.h"

static const uint64_t http_ready_heard_ns = 3000000000LL; /* at least so long a silence is borne */

bool http_ready_value(const char *text, const char *key, char *to, size_t cap)
{
    size_t n = strlen(key);
    for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1)
        if ((size_t)(end - p) > n && !memcmp(p, key, n) && p[n] == ' ') {
            fmt_into(to, cap, "%.*s", (int)(end - p - (ptrdiff_t)n - 1), p + n + 1);
            return true;
        }
    to[0] = 0;
    return false;
}

static uint64_t http_ready_u64(const char *text, const char *key, uint64_t def)
{
    char value[32];
    return http_ready_value(text, key, value, sizeof value) ? strtoull(value, NULL, 10) : def;
}

/* ns since member or master number i of a list was heard of; UINT64_MAX: not known */
static uint64_t http_ready_heard(const char *text, const char *list, uint64_t i)
{
    char key[64];
    fmt_into(key, sizeof key, "%s.%" PRIu64 ".heard_ago_ns", list, i);
    return http_ready_u64(text, key, UINT64_MAX);
}

/* why a master of a ZooKeeper journal would not be elected, for longer than a moment; NULL: it
 * would
 */
static const char *http_ready_barred(const char *text)
{
    static const char *const why[][2] = {
        {"session", "no ZooKeeper session: this master can not be elected"},
        {"cluster", "ZooKeeper does not know this cluster: this master can not be elected"},
        {"access", "ZooKeeper refuses access: this master can not be elected"},
        {"storage", "the shared directory does not answer: this master can not be elected"},
        {"room", "the shared directory is full: this master can not be elected"},
        {"damaged", "the log is damaged: this master can not be elected"},
        {"image", "no state image goes on with the log: this master can not be elected"},
    };
    char bar[32];
    if (!http_ready_value(text, "journal.zk.bar", bar, sizeof bar) || !strcmp(bar, "none") ||
        http_ready_u64(text, "journal.zk.barred_ns", 0) <= http_ready_heard_ns)
        return NULL;
    for (unsigned i = 0; i < ARRAY_LEN(why); i++)
        if (!strcmp(bar, why[i][0]))
            return why[i][1];
    return "this master does not stand for election";
}

/* what a master writes is in files that were removed */
static const char *http_ready_lost(const char *text)
{
    return http_ready_u64(text, "journal.zk.room_lost", 0)
               ? "the shared directory was emptied or replaced: what is written is lost when the "
                 "masters end"
               : NULL;
}

/* of a master that leads: what its users do not notice yet, or only who changes something */
static const char *http_ready_degraded(const char *text)
{
    return http_ready_lost(text) ? http_ready_lost(text)
           : http_ready_u64(text, "journal.full", 0)
               ? "no room for the journal: changes are refused"
           : http_ready_u64(text, "journal.zk.room_low", 0)
               ? (http_ready_u64(text, "journal.zk.room_free", 1)
                      ? "the shared directory is nearly full"
                      : "the shared directory is full")
           : http_ready_barred(text) ? "no ZooKeeper session, or this master does not stand: "
                                       "nobody may be there to lead after it"
                                     : NULL;
}

static const char *http_ready_standby(const char *text, uint64_t leader)
{
    char key[64];
    uint64_t n = http_ready_u64(text, "journal.members.count", 0);
    if (http_ready_u64(text, "journal.gone", 0))
        return "this master is no member of its group any more";
    if (http_ready_lost(text))
        return http_ready_lost(text);
    if (http_ready_barred(text))
        return http_ready_barred(text);
    if (!leader)
        return "no leader is known";
    for (uint64_t i = 0; i < n; i++) {
        fmt_into(key, sizeof key, "journal.members.%" PRIu64 ".id", i);
        if (http_ready_u64(text, key, 0) != leader)
            continue;
        uint64_t ago = http_ready_heard(text, "journal.members", i);
        return ago != UINT64_MAX && ago > http_ready_heard_ns ? "the leader is silent" : NULL;
    }
    return NULL;
}

static bool http_ready_master(const char *text, const char *state, char *json, size_t cap)
{
    char role[32], journal[32];
    const char *why = NULL, *degraded = NULL;
    uint64_t leader = http_ready_u64(text, "journal.leader", 0);
    http_ready_value(text, "role", role, sizeof role);
    http_ready_value(text, "journal.role", journal, sizeof journal);
    if (!strcmp(state, "failed") || !strcmp(journal, "failed"))
        why = "the journal has failed";
    else if (!strcmp(state, "stopped"))
        why = "the master is stopping";
    else if (!strcmp(role, "leader"))
        why = strcmp(state, "serving") != 0 ? "the leadership is beginning" : NULL;
    else if (!strcmp(journal, "standby"))
        why = http_ready_standby(text, leader);
    else
        why = "the journal is being read";
    if (!why && !strcmp(role, "leader"))
        degraded = http_ready_degraded(text);
    fmt_into(json, cap,
             "{\"ready\": %s, \"process\": \"master\", \"role\": \"%s\", \"state\": \"%s\", "
             "\"term\": %" PRIu64 ", \"leader\": %" PRIu64 ", \"lag\": %" PRIu64 "%s%s%s}\n",
             why ? "false" : "true", role, state, http_ready_u64(text, "journal.term", 0), leader,
             http_ready_u64(text, "journal.lag", 0),
             why        ? ", \"reason\": \""
             : degraded ? ", \"degraded\": \""
                        : "",
             why        ? why
             : degraded ? degraded
                        : "",
             why || degraded ? "\"" : "");
    return !why;
}

static bool http_ready_worker(const char *text, const char *state, char *json, size_t cap)
{
    const char *why = NULL;
    uint64_t n = http_ready_u64(text, "masters.count", 0), hears = 0;
    for (uint64_t i = 0; i < n; i++) {
        char key[64];
        fmt_into(key, sizeof key, "masters.%" PRIu64 ".interval_ns", i);
        uint64_t bears = base_max_u64(4 * http_ready_u64(text, key, 0), http_ready_heard_ns);
        hears += http_ready_heard(text, "masters", i) <= bears;
    }
    if (!strcmp(state, "failed"))
        why = "the worker has failed";
    else if (!strcmp(state, "stopped"))
        why = "the worker is stopping";
    else if (!hears)
        why = "no master answers";
    else if (strcmp(state, "serving") != 0)
        why = "the cache is being read";
    fmt_into(json, cap,
             "{\"ready\": %s, \"process\": \"worker\", \"state\": \"%s\", \"masters\": %" PRIu64
             ", \"masters_heard\": %" PRIu64 "%s%s%s}\n",
             why ? "false" : "true", state, n, hears, why ? ", \"reason\": \"" : "", why ? why : "",
             why ? "\"" : "");
    return !why;
}

static bool http_ready_mount(const char *text, uint64_t serving, char *json, size_t cap)
{
    char state[32];
    const char *why = NULL;
    http_ready_value(text, "client.state", state, sizeof state);
    if (!http_ready_u64(text, "client.connected", 0) || !http_ready_u64(text, "client.session", 0))
        why = "no master has taken it in";
    else if (!serving)
        why = "not mounted";
    fmt_into(
        json, cap,
        "{\"ready\": %s, \"process\": \"mount\", \"session\": \"%s\", \"mounted\": %s%s%s%s}\n",
        why ? "false" : "true", state, serving ? "true" : "false", why ? ", \"reason\": \"" : "",
        why ? why : "", why ? "\"" : "");
    return !why;
}

bool http_ready(const char *text, char *json, size_t cap)
{
    char state[32];
    if (http_ready_value(text, "worker.state", state, sizeof state))
        return http_ready_worker(text, state, json, cap);
    if (http_ready_value(text, "state", state, sizeof state))
        return http_ready_master(text, state, json, cap);
    if (http_ready_value(text, "mount.serving", state, sizeof state))
        return http_ready_mount(text, strtoull(state, NULL, 10), json, cap);
    fmt_into(json, cap, "{\"ready\": false, \"reason\": \"the process is starting\"}\n");
    return false;
}
