/* cluster/cli_journal_group.c - `tarn journal`: the group of masters that keeps the journal, and
 * how it is.
 *
 *   status, members   ask every master by itself
 *   snapshot          goes to the leader, or to the members that are meant
 *
 * INVARIANTS
 *  1. What nobody knows is not told: a leader knows nothing of whom it has not heard, and without a
 *     leader each is known by its own word only.
 *  2. The words of a single master are not taken for a group's. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_journal_group.h"

static const int64_t group_ask_ns = 1000000000LL;
static const int64_t group_ask_least_ns = 200000000LL; /* also when time is over */
static const int64_t group_timeout_ns = 30000000000LL;
static const int64_t group_few_ns = 5000000000LL;
static const int64_t group_say_ns = 3000000000LL; /* an election is over by then */
enum { GROUP_PAUSE_US = 100000 };

/* --- what the masters say --- */

static bool group_flag(const struct cli_masters_one *o, unsigned k, const char *key)
{
    return cli_masters_member(o, k, key) != 0;
}

/* what it says of itself as a member */
static bool group_own_flag(const struct cli_masters_one *o, const char *key)
{
    for (unsigned k = 0; k < cli_masters_u64(o, "journal.members.count"); k++)
        if (cli_masters_member(o, k, "id") == cli_masters_u64(o, "journal.self"))
            return group_flag(o, k, key);
    return false;
}

static void group_read_member(struct cli_journal_group *g, unsigned k)
{
    const struct cli_masters_one *o = g->view;
    struct cli_journal_member *m = &g->member[g->n++];
    char key[64];
    snprintf(key, sizeof key, "journal.members.%u.addr", k);
    char heard[24];
    *m = (struct cli_journal_member){.id = (uint32_t)cli_masters_member(o, k, "id"),
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
    m->is_known = g->has_leader && (m->leads || m->heard_ago_ns >= 0);
    if (!g->has_leader) { /* nobody else knows */
        m->is_known = m->connected = m->self != NULL;
        m->match = m->self ? cli_masters_u64(m->self, "journal.last") : 0;
        m->unfit = m->self && group_own_flag(m->self, "unfit");
    }
    g->voters += m->votes && !m->leaving;
    g->up += m->votes && !m->leaving && m->connected && !m->unfit;
}

static bool group_is_zk(const struct cli_masters_one *o)
{
    char kind[16];
    return o->text && !strcmp(cli_masters_str(o, "journal.kind", kind, sizeof kind), "zk");
}

void cli_journal_group_look(struct cli_journal_group *g)
{
    int64_t left_ns = g->until_ns - cli_now_ns();
    left_ns = left_ns > group_ask_least_ns ? left_ns : group_ask_least_ns;
    cli_masters_ask(&g->m, base_min_i64(g->ask_ns, left_ns));
    g->view = cli_masters_leader(&g->m);
    g->has_leader = g->view != NULL;
    g->n = g->voters = g->up = g->electable = 0;
    g->is_zk = g->is_full = g->is_lost = false;
    for (unsigned i = 0; i < g->m.n; i++)
        g->is_zk = g->is_zk || group_is_zk(&g->m.one[i]);
    if (g->is_zk) {
        cli_journal_group_zk(g);
        return;
    }
    for (unsigned i = 0; !g->has_leader && i < g->m.n; i++) {
        const struct cli_masters_one *o = &g->m.one[i];
        if (o->text && cli_masters_u64(o, "journal.members.count") &&
            (!g->view ||
             cli_masters_u64(o, "journal.term") > cli_masters_u64(g->view, "journal.term")))
            g->view = o;
    }
    uint64_t n = g->view ? cli_masters_u64(g->view, "journal.members.count") : 0;
    for (unsigned k = 0; k < n && k < JOURNAL_MEMBERS_MAX; k++)
        group_read_member(g, k);
}

static int64_t group_ask_within(int64_t timeout_ns)
{
    return timeout_ns < group_ask_ns ? timeout_ns : group_ask_ns;
}

static int group_begin(struct cli_journal_group *g, const struct cli *c, int64_t timeout_ns,
                       int64_t ask_ns)
{
    memset(g, 0, sizeof *g);
    g->cli = c;
    g->ask_ns = ask_ns < 1000000 ? 1000000 : ask_ns;
    g->until_ns = cli_now_ns() + timeout_ns;
    g->few_until_ns = g->until_ns;
    return cli_masters_open(&g->m, c);
}

int cli_journal_group_open(struct cli_journal_group *g, const struct cli *c)
{
    int64_t timeout_ns;
    if (!cli_duration(c, "timeout", group_timeout_ns, &timeout_ns))
        return CLI_USAGE;
    int code = group_begin(g, c, timeout_ns, group_ask_within(timeout_ns));
    if (!cli_value(c, "timeout", NULL)) /* who says how long knows that others are coming */
        g->few_until_ns = cli_now_ns() + group_few_ns;
    return code;
}

/* for a look: each master may take as long as was given */
static int group_open_look(struct cli_journal_group *g, const struct cli *c)
{
    int64_t timeout_ns;
    if (!cli_duration(c, "timeout", group_ask_ns, &timeout_ns))
        return CLI_USAGE;
    return group_begin(g, c, timeout_ns, timeout_ns);
}

const struct cli_journal_member *cli_journal_group_find(const struct cli_journal_group *g,
                                                        uint32_t id)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->member[i].id == id)
            return &g->member[i];
    return NULL;
}

int cli_journal_group_spare(unsigned voters, unsigned up)
{
    unsigned needs = voters / 2 + 1;
    return up >= needs ? (int)(up - needs) : -1;
}

int cli_journal_group_tolerates(const struct cli_journal_group *g)
{
    return g->is_zk ? (int)g->electable - 1 : cli_journal_group_spare(g->voters, g->up);
}

int cli_journal_group_nobody(struct cli_journal_group *g)
{
    const struct cli *c = g->cli;
    unsigned needs = g->voters / 2 + 1;
    if (g->is_zk)
        return cli_error(c, CLI_UNREACHABLE,
                         "no master leads, though %u answer%s: an election is under way, or they "
                         "do not reach ZooKeeper (`tarn zk ping`), or the shared directory does "
                         "not answer (their logs say)",
                         g->up, g->up == 1 ? "s" : "");
    for (unsigned i = 0; !g->n && i < g->m.n; i++)
        if (cli_masters_u64(&g->m.one[i], "journal.self"))
            return cli_error(c, CLI_UNREACHABLE,
                             "no master leads: the one at %s reads its journal, or waits to be "
                             "added to the group",
                             g->m.one[i].addr);
    for (unsigned i = 0; !g->n && i < g->m.n; i++)
        if (g->m.one[i].text)
            return cli_error(c, CLI_FAILED,
                             "the one at %s is a single master, not a group (journal.type local)",
                             g->m.one[i].addr);
    int refused = g->n ? CLI_OK : cli_masters_refused(&g->m);
    if (refused)
        return refused;
    if (!g->n)
        return cli_error(c, CLI_UNREACHABLE, "no master answers at %s", config_masters(c->config));
    if (g->up >= needs)
        return cli_error(c, CLI_UNREACHABLE,
                         "no master leads at the moment, though %u of %u that vote answer: an "
                         "election is under way, or they do not reach each other (`tarn journal "
                         "status`)",
                         g->up, g->voters);
    return cli_error(c, CLI_UNREACHABLE,
                     "no master leads: %u of %u that vote answer%s, %u are needed.  Start the "
                     "others; if they are lost for good: docs/recovery.md",
                     g->up, g->voters, g->up == 1 ? "s" : "", needs);
}

int cli_journal_group_wait(struct cli_journal_group *g)
{
    const struct cli *c = g->cli;
    int64_t say_ns = cli_now_ns() + group_say_ns;
    bool is_said = c->quiet;
    for (;;) {
        cli_journal_group_look(g);
        if (g->has_leader)
            return CLI_OK;
        int64_t now = cli_now_ns();
        bool is_few = cli_journal_group_tolerates(g) < 0;
        if (now >= g->until_ns || (!g->view && !g->was_tried) || (is_few && now >= g->few_until_ns))
            return cli_journal_group_nobody(g);
        if (!is_said && now >= say_ns) {
            is_said = true;
            fprintf(stderr,
                    "tarn %s%s%s: nobody leads: waiting for a leader (`tarn journal status` says "
                    "more)\n",
                    c->command->group ? c->command->group : "", c->command->group ? " " : "",
                    c->command->name);
        }
        usleep(GROUP_PAUSE_US);
    }
}

int cli_journal_group_wait_leader(struct cli_journal_group *g)
{
    int code = cli_journal_group_wait(g);
    return code || g->n ? code : cli_journal_group_nobody(g);
}

/* --- status, members --- */

static const char *group_role(const struct cli_journal_member *m)
{
    return !m->self     ? "unreachable"
           : m->leads   ? "leader"
           : m->joins   ? "joining"
           : !m->votes  ? "learner"
           : m->leaving ? "leaving"
                        : "standby";
}

static const char *group_standing(const struct cli_journal_member *m)
{
    return m->joins ? "joining" : m->leaving ? "leaving" : m->votes ? "voter" : "learner";
}

/* one that was added has no vote yet, or a change is not committed */
static bool group_is_changing(const struct cli_journal_group *g)
{
    bool is_changing = cli_masters_u64(g->view, "journal.changing");
    for (unsigned i = 0; i < g->n; i++)
        is_changing = is_changing || g->member[i].joins;
    return is_changing;
}

/* in what a member is configured otherwise than whose word counts: a list, "" for nothing */
static const char *group_differs(const struct cli_journal_group *g,
                                 const struct cli_journal_member *m, char to[256])
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

static cJSON *group_member_json(const struct cli_journal_group *g,
                                const struct cli_journal_member *m)
{
    cJSON *j = cJSON_CreateObject();
    char differs[256];
    cJSON_AddNumberToObject(j, "id", m->id);
    cJSON_AddStringToObject(j, "address", m->addr);
    cJSON_AddStringToObject(j, "role", group_role(m));
    cJSON_AddStringToObject(j, "standing", group_standing(m));
    cJSON_AddBoolToObject(j, "votes", m->votes);
    cJSON_AddNumberToObject(j, "priority", m->priority);
    cJSON_AddBoolToObject(j, "answers", m->self != NULL);
    cJSON_AddBoolToObject(j, "connected", m->connected);
    if (m->heard_ago_ns >= 0)
        cJSON_AddNumberToObject(j, "heard_ago_s", (double)(m->heard_ago_ns / 1000000000));
    if (m->is_known) {
        cJSON_AddBoolToObject(j, "fit", !m->unfit);
        cli_json_u64(j, "match", m->match);
    }
    if (m->is_known && g->has_leader)
        cli_json_u64(j, "lag", m->lag);
    if (g->is_zk)
        cli_journal_group_zk_json(m, j);
    if (m->self) {
        cli_json_u64(j, "term", cli_masters_u64(m->self, "journal.term"));
        cli_json_u64(j, "applied", cli_masters_u64(m->self, "journal.applied"));
        cli_json_u64(j, "image", cli_masters_u64(m->self, "journal.image.index"));
        cli_json_u64(j, "log_bytes", cli_masters_u64(m->self, "journal.wal.bytes"));
        cJSON_AddStringToObject(j, "configured_otherwise", group_differs(g, m, differs));
    }
    return j;
}

static void group_say_health(const struct cli_journal_group *g)
{
    int spare = cli_journal_group_tolerates(g);
    char id[40];
    printf("cluster  %s, term %" PRIu64 ", committed %" PRIu64 "%s\n",
           cli_masters_str(g->view, "journal.cluster", id, sizeof id),
           cli_masters_u64(g->view, "journal.term"), cli_masters_u64(g->view, "journal.committed"),
           group_is_changing(g) ? "; a change of members is under way" : "");
    if (g->is_zk && g->electable == g->up)
        printf("masters  %u of %u answer, elected through ZooKeeper; ", g->up, g->voters);
    else if (g->is_zk)
        printf("masters  %u of %u answer, %u can be elected through ZooKeeper; ", g->up, g->voters,
               g->electable);
    else
        printf("quorum   %u of %u that vote answer; ", g->up, g->voters);
    if (!g->has_leader)
        printf("nobody leads%s\n", g->is_zk ? " (an election?  `tarn zk ping`)"
                                   : spare < 0
                                       ? ": too few.  Start the others; if they are lost for "
                                         "good: docs/recovery.md"
                                       : " (an election?)");
    else if (spare < 0 && g->is_zk)
        printf("nobody would go on if the leader were lost\n");
    else if (spare < 0)
        printf("the cluster stands still until %u do\n", g->voters / 2 + 1);
    else
        printf("tolerates the loss of %d more\n", spare);
    if (g->is_zk)
        cli_journal_group_zk_room(g);
}

/* what is to be said of a member; "" when nothing is */
static const char *group_trouble(const struct cli_journal_group *g,
                                 const struct cli_journal_member *m, char to[256])
{
    int64_t s = m->heard_ago_ns / 1000000000;
    const char *unfit = m->unfit ? "  its disk is full or stalls" : "";
    const char *is = m->self || (m->votes && !m->leaving) ? "" : group_standing(m);
    const char *sep = *is ? ": " : "";
    if (g->is_zk && m->self)
        cli_journal_group_zk_bar(m, to);
    else if (g->is_zk)
        snprintf(to, 256, "does not answer");
    else if (m->self)
        snprintf(to, 256, "%s%s", m->connected ? "" : "not connected to the leader", unfit);
    else if (!g->has_leader)
        snprintf(to, 256, "%s%sdoes not answer", is, sep);
    else if (m->connected)
        snprintf(to, 256, "%s%sdoes not answer here; the leader hears it%s", is, sep, unfit);
    else if (m->heard_ago_ns >= 0)
        snprintf(to, 256, "%s%sdoes not answer; last heard by the leader %" PRId64 "%s ago", is,
                 sep, s < 600 ? s : s / 60, s < 600 ? " s" : " min");
    else
        snprintf(to, 256, "%s%sdoes not answer; not heard since this leader was elected", is, sep);
    return to;
}

static const char *group_number(char to[32], bool is_known, uint64_t v)
{
    snprintf(to, 32, is_known ? "%" PRIu64 : "?", v);
    return to;
}

static void group_say_member(const struct cli_journal_group *g, const struct cli_journal_member *m)
{
    const struct cli_masters_one *s = m->self;
    char term[32], match[32], lag[32], image[32], log[16], trouble[256];
    printf("  %4u %-24s %-11s %6s %10s %8s %12s %10s  %s\n", m->id, m->addr, group_role(m),
           group_number(term, s, s ? cli_masters_u64(s, "journal.term") : 0),
           group_number(match, m->is_known, m->match),
           group_number(lag, m->is_known && g->has_leader, m->lag),
           group_number(image, s, s ? cli_masters_u64(s, "journal.image.index") : 0),
           s ? cli_bytes(log, cli_masters_u64(s, "journal.wal.bytes")) : "?",
           group_trouble(g, m, trouble));
}

static void group_say_warning(void *ctx, const char *line)
{
    (void)ctx;
    printf("warning: %s\n", line);
}

static void group_put_warning(void *ctx, const char *line)
{
    cJSON_AddItemToArray(ctx, cJSON_CreateString(line));
}

static bool group_is_ok(const struct cli_journal_group *g)
{
    return g->has_leader && cli_journal_group_tolerates(g) >= 0 && !g->is_full && !g->is_lost;
}

static void group_say(const struct cli_journal_group *g)
{
    char differs[256];
    group_say_health(g);
    printf("  %4s %-24s %-11s %6s %10s %8s %12s %10s  %s\n", "id", "address", "role", "term",
           "match", "lag", "last image", "log", "");
    for (unsigned i = 0; i < g->n; i++)
        group_say_member(g, &g->member[i]);
    for (unsigned i = 0; i < g->n; i++) {
        const struct cli_journal_member *m = &g->member[i];
        if (m->joins)
            printf("note: member %u has no vote yet: it votes by itself once it has caught up%s\n",
                   m->id,
                   m->self || m->connected ? "" : "; nobody answers there (`tarn master --join`)");
    }
    for (unsigned i = 0; i < g->m.n; i++)
        if (cli_masters_u64(&g->m.one[i], "journal.gone"))
            printf("note: the master at %s, number %" PRIu64
                   ", is no member any more: stop it, and take it out of journal.members\n",
                   g->m.one[i].addr, cli_masters_u64(&g->m.one[i], "journal.self"));
    for (unsigned i = 0; i < g->n; i++)
        if (*group_differs(g, &g->member[i], differs))
            printf("note: member %u is configured otherwise than member %" PRIu64
                   ": %s; make them equal, and restart it\n",
                   g->member[i].id, cli_masters_u64(g->view, "journal.self"), differs);
    if (g->is_zk)
        cli_journal_group_zk_warn(g, group_say_warning, NULL);
}

static int cli_journal_group_status_run(struct cli *c)
{
    static struct cli_journal_group g;
    int code = group_open_look(&g, c);
    if (code)
        return code;
    cli_journal_group_look(&g);
    int spare = cli_journal_group_tolerates(&g);
    if (!g.n) {
        code = cli_journal_group_nobody(&g);
    } else if (c->json) {
        char id[40];
        cJSON *j = cJSON_CreateObject(), *list;
        cJSON_AddStringToObject(j, "journal", g.is_zk ? "zk" : "raft");
        cJSON_AddStringToObject(j, "cluster",
                                cli_masters_str(g.view, "journal.cluster", id, sizeof id));
        cli_json_u64(j, "term", cli_masters_u64(g.view, "journal.term"));
        cli_json_u64(j, "committed", cli_masters_u64(g.view, "journal.committed"));
        cJSON_AddNumberToObject(j, "leader",
                                g.has_leader ? (double)cli_masters_u64(g.view, "journal.self") : 0);
        cJSON_AddBoolToObject(j, "changing", group_is_changing(&g));
        if (g.is_zk)
            cJSON_AddNumberToObject(j, "electable", g.electable);
        cJSON_AddNumberToObject(j, "voters", g.voters);
        cJSON_AddNumberToObject(j, "voters_up", g.up);
        cJSON_AddNumberToObject(j, "tolerates", spare < 0 ? 0 : spare);
        cJSON_AddBoolToObject(j, "ok", group_is_ok(&g));
        if (g.is_zk)
            cli_journal_group_zk_warn(&g, group_put_warning, cJSON_AddArrayToObject(j, "warnings"));
        list = cJSON_AddArrayToObject(j, "members");
        for (unsigned i = 0; i < g.n; i++)
            cJSON_AddItemToArray(list, group_member_json(&g, &g.member[i]));
        cli_print_json(j);
    } else {
        group_say(&g);
    }
    if (!code && !group_is_ok(&g))
        code = CLI_FAILED;
    cli_masters_close(&g.m);
    return code;
}

/* --- for `tarn status` --- */

static const int64_t group_election_ns = 4000000000LL;

int cli_journal_group_ready(const struct cli *c)
{
    static struct cli_journal_group g;
    int64_t timeout_ns;
    int code = CLI_OK;
    if (!strchr(config_masters(c->config), ','))
        return CLI_OK;
    if (!cli_duration(c, "timeout", group_election_ns, &timeout_ns))
        return CLI_USAGE;
    code = group_begin(&g, c, timeout_ns, group_ask_within(timeout_ns));
    if (code)
        return code;
    cli_journal_group_look(&g);
    code = cli_masters_refused(&g.m);
    for (; !code && !g.has_leader && cli_now_ns() < g.until_ns; cli_journal_group_look(&g))
        usleep(GROUP_PAUSE_US);
    if (!code && !g.has_leader) {
        if (g.n && !c->json)
            group_say(&g);
        code = cli_journal_group_nobody(&g);
    }
    cli_masters_close(&g.m);
    return code;
}

void cli_journal_group_page(const struct cli *c)
{
    static struct cli_journal_group g;
    if (group_begin(&g, c, group_ask_ns, group_ask_ns))
        return;
    cli_journal_group_look(&g);
    if (g.n)
        group_say(&g);
    cli_masters_close(&g.m);
}

static int cli_journal_group_members_run(struct cli *c)
{
    static struct cli_journal_group g;
    struct cli_json_list list = {0};
    int code = group_open_look(&g, c);
    if (code)
        return code;
    cli_journal_group_look(&g);
    for (unsigned i = 0; i < g.n; i++) {
        const struct cli_journal_member *m = &g.member[i];
        if (c->json)
            cli_json_item(&list, group_member_json(&g, m));
        else
            printf("%u@%s=%u %s%s%s\n", m->id, m->addr, m->priority, group_role(m),
                   m->self ? "" : " ", m->self ? "" : group_standing(m));
    }
    if (c->json && g.n)
        cli_json_end(&list);
    if (!g.has_leader || !g.n)
        code = cli_journal_group_nobody(&g);
    if (g.n && code) /* who belongs to it is known all the same */
        code = CLI_FAILED;
    cli_masters_close(&g.m);
    return code;
}

bool cli_journal_group_id(const struct cli *c, const char *text, uint32_t *ret_id)
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

/* --- snapshot --- */

struct group_images {
    struct cli_json_list list;
    int worst;
};

static void group_image(struct cli_journal_group *g, uint32_t id, const char *addr, bool answers,
                        struct group_images *im)
{
    const struct cli *c = g->cli;
    int64_t left_ns = g->until_ns - cli_now_ns();
    uint64_t index = 0;
    int err = answers ? cli_masters_image(&g->m, addr, left_ns > 0 ? left_ns : 1, &index) : 0;
    if (!answers)
        im->worst = cli_error(c, CLI_UNREACHABLE, "%u at %s does not answer", id, addr);
    else if (err)
        im->worst = cli_fail(c, addr, err);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddNumberToObject(j, "id", id);
        cJSON_AddStringToObject(j, "address", addr);
        if (answers && !err)
            cli_json_u64(j, "image", index);
        else
            cJSON_AddStringToObject(j, "error", answers ? err_text(err) : "does not answer");
        cli_json_item(&im->list, j);
    } else if (answers && !err) {
        printf("%s: an image up to record %" PRIu64 "\n", addr, index);
    }
}

/* of members whose own word is enough: nobody need lead.  CLI_OK, or why they cannot be asked */
static int group_wait_members(struct cli_journal_group *g, uint32_t id)
{
    int64_t until_ns = base_min_i64(cli_now_ns() + group_few_ns, g->until_ns);
    const struct cli_journal_member *m = NULL;
    for (;;) {
        cli_journal_group_look(g);
        m = cli_journal_group_find(g, id);
        bool is_none = id && !m && g->has_leader; /* it knows them all */
        if ((g->n && (!id || (m && m->self))) || !g->view || is_none || cli_now_ns() >= until_ns)
            break;
        usleep(GROUP_PAUSE_US);
    }
    if (!g->n && (id || !g->has_leader))
        return cli_journal_group_nobody(g);
    return id && !m ? cli_error(g->cli, CLI_FAILED, "%u is no member", id) : CLI_OK;
}

static int cli_journal_group_snapshot_run(struct cli *c)
{
    static struct cli_journal_group g;
    struct group_images im = {0};
    bool all = cli_flag(c, "all");
    uint32_t id = 0;
    if (c->n_args && !cli_journal_group_id(c, c->args[0], &id))
        return CLI_USAGE;
    if (id && all)
        return cli_error(c, CLI_USAGE, "either ID or --all");
    int code = cli_journal_group_open(&g, c);
    if (code)
        return code;
    code = id || all ? group_wait_members(&g, id) : cli_journal_group_wait(&g);
    if (!code && !g.n) /* a single master */
        group_image(&g, 0, g.view->addr, true, &im);
    for (unsigned i = 0; i < g.n && !code; i++) {
        const struct cli_journal_member *m = &g.member[i];
        if (all || (id ? m->id == id : m->leads))
            group_image(&g, m->id, m->addr, m->self, &im);
    }
    if (!code && c->json)
        cli_json_end(&im.list);
    cli_masters_close(&g.m);
    return code ? code : im.worst;
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
    "misses.  Exit status 1 when nobody leads, too few answer, or (ZooKeeper) none can be elected "
    "or\nthe leader has no room for the log, or the shared directory was emptied; 3 when no master "
    "answers.",
    cli_journal_group_status_run,
    0,
    0,
    {GROUP_TIMEOUT_LOOK}};

const struct cli_command cli_journal_group_members = {
    "journal",
    "members",
    "",
    "the members of the group, one a line: ID@HOST:PORT=PRIORITY ROLE",
    "ROLE: leader, standby, learner, joining or leaving; of one that does not answer "
    "\"unreachable\"\n"
    "and voter, learner, joining or leaving.  Exit status 1 when nobody leads: the list is then "
    "as\n"
    "old as what the newest of those that answer knows.",
    cli_journal_group_members_run,
    0,
    0,
    {GROUP_TIMEOUT_LOOK}};

const struct cli_command cli_journal_group_snapshot = {
    "journal",
    "snapshot",
    "[ID]",
    "write a state image now: the leader, or member ID",
    "ID and --all need no leader.  Exit status 3 when one that is meant does not answer.",
    cli_journal_group_snapshot_run,
    0,
    1,
    {{"all", 'a', NULL, "every member"}, CLI_JOURNAL_GROUP_TIMEOUT}};
