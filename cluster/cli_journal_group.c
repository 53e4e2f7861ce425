/* cluster/cli_journal_group.c - `tarn journal`: the group of masters that keeps the journal.
 *
 *   status, members              ask every master by itself
 *   elect, add, remove, replace, priority, snapshot
 *                                go to the leader, and are over when what was asked for is so
 *
 * INVARIANTS
 *  1. Exit status 0 says that it is so, as the masters tell it.  What ran out of time may come to
 * be later, and the message says that.
 *  2. A verb is repeated when its leader is lost on the way; that it is so already is then success.
 *  3. Nothing that would leave too few members that answer is done without --force. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_masters.h"
#include "cluster/config_members.h"

static const int64_t group_ask_ns = 1000000000LL;
static const int64_t group_timeout_ns = 30000000000LL;
static const int64_t group_reach_ns = 3000000000LL;
enum { GROUP_PAUSE_US = 100000, GROUP_MEMBERS = JOURNAL_MEMBERS_MAX };

/* one line of a status: a member as its leader, or else somebody, knows it, and as it says itself
 */
struct group_member {
    uint32_t id, priority;
    bool votes, leads, joins, leaving, connected, unfit;
    uint64_t match, lag;
    int64_t heard_ago_ns;
    char addr[ENV_ADDR_MAX];
    const struct cli_masters_one *self; /* its own answer; NULL: none */
};

struct group {
    const struct cli *cli;
    struct cli_masters m;
    const struct cli_masters_one *view; /* whose word it is: the leader's, or the newest; or NULL */
    bool has_leader;
    struct group_member member[GROUP_MEMBERS];
    unsigned n, voters, up;   /* up: voters that answer the leader */
    int64_t until_ns, ask_ns; /* ask_ns: how long one of them has to answer */
    bool was_tried;
};

/* --- what the masters say --- */

static bool group_flag(const struct cli_masters_one *o, unsigned k, const char *key)
{
    return cli_masters_member(o, k, key) != 0;
}

static void group_read_member(struct group *g, unsigned k)
{
    const struct cli_masters_one *o = g->view;
    struct group_member *m = &g->member[g->n++];
    char key[64];
    snprintf(key, sizeof key, "journal.members.%u.addr", k);
    char heard[24];
    *m = (struct group_member){.id = (uint32_t)cli_masters_member(o, k, "id"),
                               .priority = (uint32_t)cli_masters_member(o, k, "priority"),
                               .votes = group_flag(o, k, "votes"),
                               .leads = group_flag(o, k, "leads"),
                               .joins = group_flag(o, k, "joins"),
                               .leaving = group_flag(o, k, "leaving"),
                               .connected = group_flag(o, k, "connected"),
                               .unfit = group_flag(o, k, "unfit"),
                               .match = cli_masters_member(o, k, "match"),
                               .lag = cli_masters_member(o, k, "lag")};
    cli_masters_str(o, key, m->addr, sizeof m->addr);
    snprintf(key, sizeof key, "journal.members.%u.heard_ago_ns", k);
    cli_masters_str(o, key, heard, sizeof heard);
    m->heard_ago_ns = *heard ? strtoll(heard, NULL, 10) : -1;
    const struct cli_masters_one *self = cli_masters_at(&g->m, m->addr);
    m->self = self && self->text && cli_masters_u64(self, "journal.self") == m->id ? self : NULL;
    m->leads = m->leads && g->has_leader && m->self == g->view;
    if (!g->has_leader) { /* nobody else knows */
        m->connected = m->self != NULL;
        m->match = m->self ? cli_masters_u64(m->self, "journal.last") : 0;
    }
    g->voters += m->votes && !m->leaving;
    g->up += m->votes && !m->leaving && m->connected && !m->unfit;
}

/* asks everybody anew */
static void group_look(struct group *g)
{
    cli_masters_ask(&g->m, g->ask_ns);
    g->view = cli_masters_leader(&g->m);
    g->has_leader = g->view != NULL;
    g->n = g->voters = g->up = 0;
    for (unsigned i = 0; !g->has_leader && i < g->m.n; i++) {
        const struct cli_masters_one *o = &g->m.one[i];
        if (o->text && cli_masters_u64(o, "journal.members.count") &&
            (!g->view ||
             cli_masters_u64(o, "journal.term") > cli_masters_u64(g->view, "journal.term")))
            g->view = o;
    }
    uint64_t n = g->view ? cli_masters_u64(g->view, "journal.members.count") : 0;
    for (unsigned k = 0; k < n && k < GROUP_MEMBERS; k++)
        group_read_member(g, k);
}

static int64_t group_ask_within(int64_t timeout_ns)
{
    return timeout_ns < group_ask_ns ? timeout_ns : group_ask_ns;
}

static int group_begin(struct group *g, const struct cli *c, int64_t timeout_ns, int64_t ask_ns)
{
    memset(g, 0, sizeof *g);
    g->cli = c;
    g->ask_ns = ask_ns < 1000000 ? 1000000 : ask_ns;
    g->until_ns = cli_now_ns() + timeout_ns;
    return cli_masters_open(&g->m, c);
}

/* for a change: it takes its time, and each look must not */
static int group_open(struct group *g, const struct cli *c)
{
    int64_t timeout_ns;
    if (!cli_duration(c, "timeout", group_timeout_ns, &timeout_ns))
        return CLI_USAGE;
    return group_begin(g, c, timeout_ns, group_ask_within(timeout_ns));
}

/* for a look: each master may take as long as was given */
static int group_open_look(struct group *g, const struct cli *c)
{
    int64_t timeout_ns;
    if (!cli_duration(c, "timeout", group_ask_ns, &timeout_ns))
        return CLI_USAGE;
    return group_begin(g, c, timeout_ns, timeout_ns);
}

static const struct group_member *group_find(const struct group *g, uint32_t id)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->member[i].id == id)
            return &g->member[i];
    return NULL;
}

/* how many more may be lost; -1: nothing can be decided now */
static int group_spare(unsigned voters, unsigned up)
{
    unsigned needs = voters / 2 + 1;
    return up >= needs ? (int)(up - needs) : -1;
}

/* why nobody can be asked; the exit code */
static int group_nobody(struct group *g)
{
    const struct cli *c = g->cli;
    if (!g->view) {
        for (unsigned i = 0; i < g->m.n; i++)
            if (cli_masters_u64(&g->m.one[i], "journal.self"))
                return cli_error(c, CLI_UNREACHABLE,
                                 "no master leads: the one at %s reads its journal, or waits to be "
                                 "added to the group",
                                 g->m.one[i].addr);
        for (unsigned i = 0; i < g->m.n; i++)
            if (g->m.one[i].text)
                return cli_error(
                    c, CLI_FAILED,
                    "the master at %s is alone: there is no group (journal.type local)",
                    g->m.one[i].addr);
        return cli_error(c, CLI_UNREACHABLE, "no master answers at %s", config_masters(c->config));
    }
    return cli_error(c, CLI_UNREACHABLE,
                     "no master leads: %u of %u that vote answer, %u are needed", g->up, g->voters,
                     g->voters / 2 + 1);
}

/* --- status, members --- */

static const char *group_role(const struct group_member *m)
{
    return !m->self     ? "unreachable"
           : m->leads   ? "leader"
           : m->joins   ? "joining"
           : !m->votes  ? "learner"
           : m->leaving ? "leaving"
                        : "standby";
}

/* in what a member is configured otherwise than whose word counts: a list, "" for nothing */
static const char *group_differs(const struct group *g, const struct group_member *m, char to[256])
{
    static const char *const keys[][2] = {{"mounts", "mounts"},
                                          {"lease_ns", "master.lease"},
                                          {"session_ns", "master.session"},
                                          {"promise_ns", "journal.promise"},
                                          {"page_bytes", "cluster.page"},
                                          {"stripe_bytes", "cluster.stripe"},
                                          {"inodes_max", "master.inodes_max"},
                                          {"state_bytes_max", "master.memory"}};
    char key[64], a[32], b[32];
    int n = 0;
    to[0] = 0;
    for (unsigned i = 0; m->self && i < ARRAY_LEN(keys); i++) {
        snprintf(key, sizeof key, "settings.%s", keys[i][0]);
        cli_masters_str(g->view, key, a, sizeof a);
        cli_masters_str(m->self, key, b, sizeof b);
        if (*a && *b && strcmp(a, b) != 0)
            n += snprintf(to + n, 256 - (size_t)n, "%s%s", n ? ", " : "", keys[i][1]);
    }
    return to;
}

static cJSON *group_member_json(const struct group *g, const struct group_member *m)
{
    cJSON *j = cJSON_CreateObject();
    char differs[256];
    cJSON_AddNumberToObject(j, "id", m->id);
    cJSON_AddStringToObject(j, "address", m->addr);
    cJSON_AddStringToObject(j, "role", group_role(m));
    cJSON_AddBoolToObject(j, "votes", m->votes);
    cJSON_AddNumberToObject(j, "priority", m->priority);
    cJSON_AddBoolToObject(j, "answers", m->self != NULL);
    cJSON_AddBoolToObject(j, "connected", m->connected);
    if (m->heard_ago_ns >= 0)
        cJSON_AddNumberToObject(j, "heard_ago_s", (double)(m->heard_ago_ns / 1000000000));
    cJSON_AddBoolToObject(j, "fit", !m->unfit);
    cli_json_u64(j, "match", m->match);
    if (g->has_leader)
        cli_json_u64(j, "lag", m->lag);
    if (m->self) {
        cli_json_u64(j, "term", cli_masters_u64(m->self, "journal.term"));
        cli_json_u64(j, "applied", cli_masters_u64(m->self, "journal.applied"));
        cli_json_u64(j, "image", cli_masters_u64(m->self, "journal.image.index"));
        cli_json_u64(j, "log_bytes", cli_masters_u64(m->self, "journal.wal.bytes"));
        cJSON_AddStringToObject(j, "configured_otherwise", group_differs(g, m, differs));
    }
    return j;
}

static void group_say_health(const struct group *g)
{
    int spare = group_spare(g->voters, g->up);
    char id[40];
    printf("cluster  %s, term %" PRIu64 ", committed %" PRIu64 "%s\n",
           cli_masters_str(g->view, "journal.cluster", id, sizeof id),
           cli_masters_u64(g->view, "journal.term"), cli_masters_u64(g->view, "journal.committed"),
           cli_masters_u64(g->view, "journal.changing") ? "; a change of members is under way"
                                                        : "");
    printf("quorum   %u of %u that vote answer; ", g->up, g->voters);
    if (!g->has_leader)
        printf("nobody leads%s\n", spare < 0 ? ": too few" : " (an election?)");
    else if (spare < 0)
        printf("the cluster stands still until %u do\n", g->voters / 2 + 1);
    else
        printf("tolerates the loss of %d more\n", spare);
}

/* what is wrong with a member; "" when nothing is */
static const char *group_trouble(const struct group *g, const struct group_member *m, char to[128])
{
    int64_t s = m->heard_ago_ns / 1000000000;
    const char *unfit = m->unfit ? "  its disk is full or stalls" : "";
    if (m->self)
        snprintf(to, 128, "%s%s", m->connected ? "" : "not connected to the leader", unfit);
    else if (!g->has_leader)
        snprintf(to, 128, "does not answer");
    else if (m->connected)
        snprintf(to, 128, "does not answer here; the leader hears it%s", unfit);
    else if (m->heard_ago_ns >= 0)
        snprintf(to, 128, "does not answer; last heard by the leader %" PRId64 "%s ago",
                 s < 600 ? s : s / 60, s < 600 ? " s" : " min");
    else
        snprintf(to, 128, "does not answer; not heard since this leader was elected");
    return to;
}

static void group_say(const struct group *g)
{
    char image[32], log[16], trouble[128], differs[256];
    group_say_health(g);
    printf("  %4s %-24s %-11s %6s %10s %8s %12s %10s  %s\n", "id", "address", "role", "term",
           "match", "lag", "last image", "log", "");
    for (unsigned i = 0; i < g->n; i++) {
        const struct group_member *m = &g->member[i];
        const struct cli_masters_one *s = m->self;
        snprintf(image, sizeof image, "%" PRIu64,
                 s ? cli_masters_u64(s, "journal.image.index") : 0);
        printf("  %4u %-24s %-11s %6" PRIu64 " %10" PRIu64 " %8" PRIu64 " %12s %10s  %s\n", m->id,
               m->addr, group_role(m), s ? cli_masters_u64(s, "journal.term") : 0, m->match,
               g->has_leader ? m->lag : 0, s ? image : "?",
               s ? cli_bytes(log, cli_masters_u64(s, "journal.wal.bytes")) : "?",
               group_trouble(g, m, trouble));
    }
    for (unsigned i = 0; i < g->n; i++)
        if (*group_differs(g, &g->member[i], differs))
            printf("note: member %u is configured otherwise than member %" PRIu64
                   ": %s; make them equal, and restart it\n",
                   g->member[i].id, cli_masters_u64(g->view, "journal.self"), differs);
}

static int cli_journal_group_status_run(struct cli *c)
{
    static struct group g;
    int code = group_open_look(&g, c);
    if (code)
        return code;
    group_look(&g);
    int spare = group_spare(g.voters, g.up);
    if (!g.n) {
        code = group_nobody(&g);
    } else if (c->json) {
        char id[40];
        cJSON *j = cJSON_CreateObject(), *list;
        cJSON_AddStringToObject(j, "cluster",
                                cli_masters_str(g.view, "journal.cluster", id, sizeof id));
        cli_json_u64(j, "term", cli_masters_u64(g.view, "journal.term"));
        cli_json_u64(j, "committed", cli_masters_u64(g.view, "journal.committed"));
        cJSON_AddNumberToObject(j, "leader",
                                g.has_leader ? (double)cli_masters_u64(g.view, "journal.self") : 0);
        cJSON_AddBoolToObject(j, "changing", cli_masters_u64(g.view, "journal.changing") != 0);
        cJSON_AddNumberToObject(j, "voters", g.voters);
        cJSON_AddNumberToObject(j, "voters_up", g.up);
        cJSON_AddNumberToObject(j, "tolerates", spare < 0 ? 0 : spare);
        cJSON_AddBoolToObject(j, "ok", g.has_leader && spare >= 0);
        list = cJSON_AddArrayToObject(j, "members");
        for (unsigned i = 0; i < g.n; i++)
            cJSON_AddItemToArray(list, group_member_json(&g, &g.member[i]));
        cli_print_json(j);
    } else {
        group_say(&g);
    }
    if (!code && (!g.has_leader || spare < 0))
        code = CLI_FAILED;
    cli_masters_close(&g.m);
    return code;
}

/* --- for `tarn status` --- */

static const int64_t group_election_ns = 4000000000LL;

int cli_journal_group_ready(const struct cli *c)
{
    static struct group g;
    int64_t timeout_ns;
    int code = CLI_OK;
    if (!strchr(config_masters(c->config), ','))
        return CLI_OK;
    if (!cli_duration(c, "timeout", group_election_ns, &timeout_ns))
        return CLI_USAGE;
    code = group_begin(&g, c, timeout_ns, group_ask_within(timeout_ns));
    if (code)
        return code;
    for (group_look(&g); !g.has_leader && cli_now_ns() < g.until_ns; group_look(&g))
        usleep(GROUP_PAUSE_US);
    if (!g.has_leader) {
        if (g.n && !c->json)
            group_say(&g);
        code = group_nobody(&g);
    }
    cli_masters_close(&g.m);
    return code;
}

void cli_journal_group_page(const struct cli *c)
{
    static struct group g;
    if (group_begin(&g, c, group_ask_ns, group_ask_ns))
        return;
    group_look(&g);
    if (g.n)
        group_say(&g);
    cli_masters_close(&g.m);
}

static int cli_journal_group_members_run(struct cli *c)
{
    static struct group g;
    struct cli_json_list list = {0};
    int code = group_open_look(&g, c);
    if (code)
        return code;
    group_look(&g);
    if (!g.has_leader)
        code = group_nobody(&g);
    for (unsigned i = 0; i < g.n && !code; i++) {
        const struct group_member *m = &g.member[i];
        if (c->json)
            cli_json_item(&list, group_member_json(&g, m));
        else
            printf("%u@%s=%u %s\n", m->id, m->addr, m->priority, group_role(m));
    }
    if (c->json && !code)
        cli_json_end(&list);
    cli_masters_close(&g.m);
    return code;
}

/* --- changes --- */

/* a member's number; false, and said, for anything else */
static bool group_id(const struct cli *c, const char *text, uint32_t *ret_id)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    bool ok = *text >= '0' && *text <= '9' && !*end && !errno && v && v <= UINT32_MAX;
    *ret_id = ok ? (uint32_t)v : 0;
    if (!ok)
        cli_error(c, CLI_USAGE, "\"%s\" is not a member's number", text);
    return ok;
}

/* ID@HOST:PORT */
static bool group_id_addr(const struct cli *c, const char *text, struct config_member *ret_m)
{
    struct config_member m[JOURNAL_MEMBERS_MAX];
    char err[CONFIG_ERROR_MAX];
    uint32_t n;
    if (config_members_parse(text, m, &n, err, sizeof err) || n != 1) {
        cli_error(c, CLI_USAGE, "\"%s\" is not ID@HOST:PORT or ID@HOST:PORT=PRIORITY", text);
        return false;
    }
    *ret_m = m[0];
    return true;
}

/* Without a secret nobody connects to another host, so a member there could never take part. */
static int group_may_reach(const struct cli *c, const char *addr)
{
    if (*config_str(c->config, CONFIG_CLUSTER_SECRET_FILE) || net_hello_is_local(addr))
        return CLI_OK;
    return cli_error(c, CLI_CONFIG,
                     "%s is not a loopback address, and this cluster has no secret: the masters "
                     "would refuse to connect to it.  Make one by `tarn secret new FILE`, copy it "
                     "to every host, set cluster.secret_file everywhere and restart the processes",
                     addr);
}

/* it may pass, or another leader may have to be asked */
static bool group_is_passing(int err)
{
    return err == E_NOT_LEADER || err == E_CLOSED || err == E_REFUSED || err == E_AGAIN ||
           err == E_TIMEOUT || err == E_UNAVAILABLE || err == E_CONFLICT || err == E_CANCELLED;
}

/* until a leader is known; an exit code if there is none in time */
static int group_wait_leader(struct group *g)
{
    for (;;) {
        group_look(g);
        if (g->has_leader)
            return CLI_OK;
        if (cli_now_ns() >= g->until_ns || (!g->view && !g->was_tried))
            return group_nobody(g);
        usleep(GROUP_PAUSE_US);
    }
}

/* to the leader, and again to the next one, in time: what the journal says */
static int group_call(struct group *g, const struct rpc_change *ch)
{
    uint8_t body[512];
    int err = E_TIMEOUT, last = E_TIMEOUT;
    while (cli_now_ns() < g->until_ns) {
        int64_t left_ns = g->until_ns - cli_now_ns();
        struct rpc_change c = *ch;
        struct wbuf w = wbuf_make(body, sizeof body);
        c.timeout_ns = (uint64_t)left_ns;
        rpc_format_change_put(&w, &c);
        err = cli_masters_call(&g->m, g->view->addr, RPC_CHANGE, w.p, (uint32_t)w.len,
                               left_ns + group_ask_ns, NULL, 0, NULL);
        if (g->was_tried && (err == E_EXIST || (err == E_INVAL && ch->verb == RPC_CHANGE_REMOVE)))
            err = 0; /* what was asked for before, of a leader that did not see its end */
        if (!group_is_passing(err))
            return err;
        last = err == E_TIMEOUT ? last : err;
        g->was_tried = g->was_tried || (err != E_AGAIN && err != E_REFUSED);
        usleep(GROUP_PAUSE_US);
        do
            group_look(g);
        while (!g->has_leader && cli_now_ns() < g->until_ns && !usleep(GROUP_PAUSE_US));
        if (!g->has_leader)
            break;
    }
    return last == E_AGAIN || last == E_UNAVAILABLE ? last : err;
}

/* says it, and why not; the exit code */
static int group_end(struct group *g, const struct rpc_change *ch, int err, const char *done)
{
    const struct cli *c = g->cli;
    int code = CLI_OK;
    if (!err && c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddBoolToObject(j, "ok", true);
        cJSON_AddStringToObject(j, "done", done);
        cli_print_json(j);
    } else if (!err) {
        printf("%s\n", done);
    } else if (err == E_EXIST) {
        code = cli_error(c, CLI_FAILED, "it is so already, or another member has that number");
    } else if (err == E_INVAL) {
        code = cli_error(c, CLI_FAILED, "no such member, or nobody would be left to vote");
    } else if (err == E_AGAIN) {
        code = cli_error(c, CLI_FAILED,
                         "another change is under way; try again when it is over "
                         "(`tarn journal status`)");
    } else if (err == E_BUSY && ch->verb == RPC_CHANGE_ELECT) {
        code = cli_error(
            c, CLI_FAILED,
            "the leader stays: changes that it began in the under-store do not end (does it "
            "hang?), and its successor might do them once more");
    } else if (err == E_UNAVAILABLE && ch->verb == RPC_CHANGE_ELECT) {
        code = cli_error(c, CLI_FAILED,
                         "it did not come to the front in time: the old leader goes on (is that "
                         "member connected, and without lag? `tarn journal status`)");
    } else if (err == E_TIMEOUT) {
        code =
            cli_error(c, CLI_UNREACHABLE,
                      "not whole in time; it may come to be later, `tarn journal status` tells%s",
                      ch->verb == RPC_CHANGE_ADD || ch->verb == RPC_CHANGE_REPLACE
                          ? ".  A new member must run (`tarn master --join`) and catch up first; "
                            "`tarn journal remove` takes it back"
                          : "");
    } else {
        code = cli_fail(c, "the change", err);
    }
    return code;
}

/* a leader, and the check whether it may be asked */
static int group_change(struct cli *c, struct rpc_change *ch,
                        int (*may)(struct group *g, const struct rpc_change *ch), const char *done)
{
    static struct group g;
    ch->addr_len = ch->addr ? (uint32_t)strlen(ch->addr) : 0;
    int code = group_open(&g, c);
    if (code)
        return code;
    code = group_wait_leader(&g);
    if (!code && may)
        code = may(&g, ch);
    if (!code)
        code = group_end(&g, ch, group_call(&g, ch), done);
    cli_masters_close(&g.m);
    return code;
}

/* --- elect --- */

/* until it says itself that it leads and serves */
static int group_see_leader(struct group *g, uint32_t id, char *done, size_t cap)
{
    while (cli_now_ns() < g->until_ns) {
        group_look(g);
        if (g->has_leader && (!id || cli_masters_u64(g->view, "journal.self") == id)) {
            snprintf(done, cap, "member %" PRIu64 " at %s leads, in term %" PRIu64,
                     cli_masters_u64(g->view, "journal.self"), g->view->addr,
                     cli_masters_u64(g->view, "journal.term"));
            return 0;
        }
        usleep(GROUP_PAUSE_US / 10);
    }
    return E_TIMEOUT;
}

/* the member, once the leader reaches it: one that has just begun to lead needs a moment */
static const struct group_member *group_wait_member(struct group *g, uint32_t id)
{
    int64_t until_ns = cli_now_ns() + group_reach_ns;
    const struct group_member *m = group_find(g, id);
    while (m && !m->connected && cli_now_ns() < until_ns && cli_now_ns() < g->until_ns) {
        usleep(GROUP_PAUSE_US);
        group_look(g);
        m = group_find(g, id);
    }
    return m;
}

static int cli_journal_group_elect_run(struct cli *c)
{
    static struct group g;
    struct rpc_change ch = {.verb = RPC_CHANGE_ELECT};
    char done[256] = "";
    if (c->n_args && !group_id(c, c->args[0], &ch.id))
        return CLI_USAGE;
    int code = group_open(&g, c);
    if (code)
        return code;
    code = group_wait_leader(&g);
    if (!code) {
        const struct group_member *m = group_wait_member(&g, ch.id);
        uint64_t old = cli_masters_u64(g.view, "journal.self");
        int err = 0;
        if (ch.id && (!m || !m->votes))
            code = cli_error(c, CLI_FAILED, "%u is %s", ch.id,
                             m ? "a learner, which cannot lead" : "no member");
        else if (ch.id && old != ch.id && !m->connected)
            code = g.has_leader
                       ? cli_error(c, CLI_FAILED, "the leader does not reach member %u", ch.id)
                       : group_nobody(&g);
        else if (old != ch.id)
            err = group_call(&g, &ch);
        if (!code && (!err || err == E_EXIST))
            err = group_see_leader(&g, ch.id, done, sizeof done);
        if (!code)
            code = group_end(&g, &ch, err, done);
    }
    cli_masters_close(&g.m);
    return code;
}

/* --- add, remove, replace, priority --- */

static int group_may_add(struct group *g, const struct rpc_change *ch)
{
    const struct group_member *m = group_find(g, ch->id);
    for (unsigned i = 0; i < g->n; i++)
        if (!strcmp(g->member[i].addr, ch->addr) && g->member[i].id != ch->id)
            return cli_error(g->cli, CLI_FAILED, "%s is member %u's address", ch->addr,
                             g->member[i].id);
    if (m && strcmp(m->addr, ch->addr) != 0)
        return cli_error(g->cli, CLI_FAILED, "member %u is at %s; give the new one another number",
                         ch->id, m->addr);
    if (m && m->votes)
        return cli_error(g->cli, CLI_FAILED, "%u is a member already, and votes", ch->id);
    return CLI_OK;
}

static int cli_journal_group_add_run(struct cli *c)
{
    struct config_member m;
    char done[256];
    if (!group_id_addr(c, c->args[0], &m))
        return CLI_USAGE;
    int code = group_may_reach(c, m.addr);
    if (code)
        return code;
    bool learns = cli_flag(c, "learner");
    struct rpc_change ch = {.verb = learns ? RPC_CHANGE_ADD_LEARNER : RPC_CHANGE_ADD,
                            .id = m.id,
                            .priority = m.priority,
                            .addr = m.addr};
    snprintf(done, sizeof done, "member %u at %s %s", m.id, m.addr,
             learns ? "gets the log, and does not vote" : "votes");
    return group_change(c, &ch, group_may_add, done);
}

static int group_may_remove(struct group *g, const struct rpc_change *ch)
{
    const struct cli *c = g->cli;
    const struct group_member *m = group_find(g, ch->id);
    if (!m)
        return cli_error(c, CLI_FAILED, "%u is no member", ch->id);
    if (!m->votes)
        return CLI_OK;
    unsigned voters = g->voters - 1, up = g->up - (m->connected && !m->unfit);
    int spare = group_spare(voters, up);
    if (!voters)
        return cli_error(c, CLI_FAILED, "nobody would be left to vote");
    if (spare < 0 && !cli_flag(c, "force"))
        return cli_error(
            c, CLI_FAILED,
            "of the %u that would be left to vote only %u answer%s, and %u are needed: "
            "the cluster would stand still.  Bring another back first (--force: do it "
            "all the same)",
            voters, up, up == 1 ? "s" : "", voters / 2 + 1);
    if (spare <= 0 && !c->quiet)
        fprintf(stderr, "tarn journal remove: the cluster then %s\n",
                spare < 0 ? "stands still until others are back"
                          : "does not tolerate the loss of another member");
    return CLI_OK;
}

static int cli_journal_group_remove_run(struct cli *c)
{
    struct rpc_change ch = {.verb = RPC_CHANGE_REMOVE};
    char done[64];
    if (!group_id(c, c->args[0], &ch.id))
        return CLI_USAGE;
    snprintf(done, sizeof done, "%u is no member any more", ch.id);
    return group_change(c, &ch, group_may_remove, done);
}

static int group_may_replace(struct group *g, const struct rpc_change *ch)
{
    const struct group_member *m = group_find(g, ch->id);
    struct rpc_change add = {.id = ch->new_id, .addr = ch->addr};
    if (!m)
        return cli_error(g->cli, CLI_FAILED, "%u is no member", ch->id);
    if (group_find(g, ch->new_id))
        return cli_error(g->cli, CLI_FAILED,
                         "%u is a member already: a new disk needs a number that was never used",
                         ch->new_id);
    /* at the same address: the old one does not come back */
    return strcmp(m->addr, ch->addr) != 0 ? group_may_add(g, &add) : CLI_OK;
}

static int cli_journal_group_replace_run(struct cli *c)
{
    struct rpc_change ch = {.verb = RPC_CHANGE_REPLACE};
    struct config_member m;
    char done[256];
    if (!group_id(c, c->args[0], &ch.id) || !group_id_addr(c, c->args[1], &m))
        return CLI_USAGE;
    int code = group_may_reach(c, m.addr);
    if (code)
        return code;
    ch.new_id = m.id;
    ch.priority = m.priority;
    ch.addr = m.addr;
    snprintf(done, sizeof done, "member %u at %s has the place of %u", m.id, m.addr, ch.id);
    return group_change(c, &ch, group_may_replace, done);
}

static int group_may_priority(struct group *g, const struct rpc_change *ch)
{
    return group_find(g, ch->id) ? CLI_OK
                                 : cli_error(g->cli, CLI_FAILED, "%u is no member", ch->id);
}

static int cli_journal_group_priority_run(struct cli *c)
{
    struct rpc_change ch = {.verb = RPC_CHANGE_PRIORITY};
    char done[64], *end;
    unsigned long priority = strtoul(c->args[1], &end, 10);
    if (!group_id(c, c->args[0], &ch.id))
        return CLI_USAGE;
    if (*c->args[1] < '0' || *c->args[1] > '9' || *end || priority > UINT8_MAX)
        return cli_error(c, CLI_USAGE, "\"%s\" is not a priority from 0 to 255", c->args[1]);
    ch.priority = (uint32_t)priority;
    snprintf(done, sizeof done, "member %u has priority %lu", ch.id, priority);
    return group_change(c, &ch, group_may_priority, done);
}

/* --- snapshot --- */

static int cli_journal_group_snapshot_run(struct cli *c)
{
    static struct group g;
    struct cli_json_list list = {0};
    uint32_t id = 0;
    if (c->n_args && !group_id(c, c->args[0], &id))
        return CLI_USAGE;
    if (id && cli_flag(c, "all"))
        return cli_error(c, CLI_USAGE, "either ID or --all");
    int code = group_open(&g, c), worst = CLI_OK;
    if (code)
        return code;
    code = group_wait_leader(&g);
    bool known = false;
    for (unsigned i = 0; i < g.m.n && !code; i++) {
        const struct cli_masters_one *o = &g.m.one[i];
        uint64_t self = cli_masters_u64(o, "journal.self"), index;
        bool wanted = cli_flag(c, "all") || (id ? self == id : o == g.view);
        if (!wanted || !o->text)
            continue;
        known = true;
        int64_t left_ns = g.until_ns - cli_now_ns();
        int err = cli_masters_image(&g.m, o->addr, left_ns > 0 ? left_ns : 1, &index);
        if (err)
            worst = cli_fail(c, o->addr, err);
        else if (c->json) {
            cJSON *j = cJSON_CreateObject();
            cJSON_AddNumberToObject(j, "id", (double)self);
            cJSON_AddStringToObject(j, "address", o->addr);
            cli_json_u64(j, "image", index);
            cli_json_item(&list, j);
        } else {
            printf("%s: an image up to record %" PRIu64 "\n", o->addr, index);
        }
    }
    if (!code && !known)
        worst = cli_error(c, CLI_FAILED, "%u %s", id,
                          group_find(&g, id) ? "does not answer" : "is no member");
    if (!code && c->json && !worst)
        cli_json_end(&list);
    cli_masters_close(&g.m);
    return code ? code : worst;
}

#define GROUP_TIMEOUT                                        \
    {                                                        \
        "timeout", 't', "TIME", "give up then (default 30s)" \
    }

#define GROUP_TIMEOUT_LOOK                                              \
    {                                                                   \
        "timeout", 't', "TIME", "for each master's answer (default 1s)" \
    }

const struct cli_command cli_journal_group_status = {
    "journal",
    "status",
    "",
    "the group of masters: who leads, who answers, how far each is",
    "Asks every master by itself.  match: records it has, as the leader knows; lag: how many it\n"
    "misses.  Exit status 1 when nobody leads or too few answer, 3 when no master answers.",
    cli_journal_group_status_run,
    0,
    0,
    {GROUP_TIMEOUT_LOOK}};

const struct cli_command cli_journal_group_members = {
    "journal",
    "members",
    "",
    "the members of the group, one a line: ID@HOST:PORT=PRIORITY ROLE",
    NULL,
    cli_journal_group_members_run,
    0,
    0,
    {GROUP_TIMEOUT_LOOK}};

const struct cli_command cli_journal_group_elect = {
    "journal",
    "elect",
    "[ID]",
    "let another master lead: ID, or whoever fits best",
    "Over when that one says that it leads; or says why it does not.",
    cli_journal_group_elect_run,
    0,
    1,
    {GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_add = {
    "journal",
    "add",
    "ID@HOST:PORT",
    "one more master",
    "Start it before, with an empty directory: `tarn master --join` with journal.id ID.  It gets\n"
    "the log first, and votes once it has caught up; the command is over then.  ID was never used.",
    cli_journal_group_add_run,
    1,
    1,
    {{"learner", 0, NULL, "it never votes"}, GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_remove = {
    "journal",
    "remove",
    "ID",
    "take a master out of the group",
    "Refused when too few of those that are left answer.",
    cli_journal_group_remove_run,
    1,
    1,
    {{"force", 0, NULL, "also if the cluster stands still then"}, GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_replace = {
    "journal",
    "replace",
    "ID NEWID@HOST:PORT",
    "a new master in the place of one that is lost, in one change",
    "Start the new one before: `tarn master --join` with journal.id NEWID.  A lost disk makes a "
    "new\n"
    "member: its old number must not vote again.  The host and port may be the old ones.",
    cli_journal_group_replace_run,
    2,
    2,
    {GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_priority = {
    "journal",
    "priority",
    "ID N",
    "how gladly a master leads, 0 to 255: the highest that is fit does",
    "Over when it is written down.  Who is preferred leads after it has kept up for twice\n"
    "journal.suspect_max (4s).",
    cli_journal_group_priority_run,
    2,
    2,
    {GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_snapshot = {
    "journal",
    "snapshot",
    "[ID]",
    "write a state image now: the leader, or member ID",
    NULL,
    cli_journal_group_snapshot_run,
    0,
    1,
    {{"all", 'a', NULL, "every member that answers"}, GROUP_TIMEOUT}};
