/* cluster/cli_journal_change.c - `tarn journal`: changes of the group of masters.
 *
 *   elect, add, remove, replace, priority     go to the leader, and are over when what was asked
 *                                             for is so
 *
 * INVARIANTS
 *  1. Exit status 0 says that it is so, as the masters tell it; that it was so before is as good.
 *     What ran out of time may come to be later: the message says how far it came.
 *  2. A verb is repeated when its leader is lost on the way: the next one goes on with it.
 *  3. Nothing that would leave too few members that answer, or a single vote, is done without
 *     --force; nor is one that works replaced by one that does not answer, or a voter added that
 *     does not.
 *  4. A member that the leader does not hear is not called to lead again and again. */
#include <netdb.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_journal_group.h"
#include "cluster/config_members.h"

static const int64_t change_answer_ns = 300000000LL; /* behind the leader's own time-out */
static const int64_t change_reach_ns = 3000000000LL; /* for one that was just started */
static const int64_t change_come_ns = 10000000000LL; /* the same, of a process */
static const int64_t change_silent_ns = 1000000000LL;
enum { CHANGE_PAUSE_US = 100000 };

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

/* What is written into the group is tried for ever: a name must lead somewhere.  And without a
 * secret nobody connects to another host, so a member there could never take part. */
static int group_may_reach(const struct cli *c, const char *addr)
{
    char host[ENV_ADDR_MAX];
    bool is_quoted = *addr == '[';
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
    snprintf(host, sizeof host, "%s", addr + is_quoted);
    *strrchr(host, ':') = 0; /* config_members_is_addr */
    if (is_quoted && *host)
        host[strlen(host) - 1] = 0;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc)
        return cli_error(c, CLI_USAGE, "%s: the host is not found: %s", addr, gai_strerror(rc));
    freeaddrinfo(found);
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

/* the leader does not hear whom it shall call, or it was called and did not come: is that all? */
static bool group_calls_in_vain(const struct cli_journal_group *g, const struct rpc_change *ch,
                                int err, int64_t since_ns)
{
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    if (err != E_UNAVAILABLE || ch->verb != RPC_CHANGE_ELECT || !ch->id)
        return false;
    return cli_now_ns() - since_ns >= change_reach_ns ||
           (g->has_leader && m && m->heard_ago_ns >= change_silent_ns);
}

/* to the leader, and again to the next one, in time: what the journal says */
static int group_call(struct cli_journal_group *g, const struct rpc_change *ch)
{
    uint8_t body[512];
    int64_t since_ns = cli_now_ns();
    int err = E_TIMEOUT, last = E_TIMEOUT;
    while (cli_now_ns() < g->until_ns) {
        int64_t left_ns = g->until_ns - cli_now_ns();
        struct rpc_change c = *ch;
        struct wbuf w = wbuf_make(body, sizeof body);
        c.timeout_ns = (uint64_t)left_ns;
        rpc_format_change_put(&w, &c);
        err = cli_masters_call(&g->m, g->view->addr, RPC_CHANGE, w.p, (uint32_t)w.len,
                               left_ns + change_answer_ns, NULL, 0, NULL);
        if (ch->verb != RPC_CHANGE_ELECT && err == E_EXIST)
            return 0; /* it is so already */
        if (g->was_tried && err == E_INVAL && ch->verb == RPC_CHANGE_REMOVE)
            return 0; /* what was asked for before, of a leader that did not see its end */
        if (!group_is_passing(err))
            return err;
        last = err == E_TIMEOUT ? last : err;
        g->was_tried = g->was_tried || (err != E_AGAIN && err != E_REFUSED);
        usleep(CHANGE_PAUSE_US);
        do
            cli_journal_group_look(g);
        while (!g->has_leader && cli_now_ns() < g->until_ns && !usleep(CHANGE_PAUSE_US));
        if (!g->has_leader || group_calls_in_vain(g, ch, err, since_ns))
            break;
    }
    return last == E_AGAIN || last == E_UNAVAILABLE ? last : err;
}

static int group_done(const struct cli *c, const char *done)
{
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddBoolToObject(j, "ok", true);
        cJSON_AddStringToObject(j, "done", done);
        cli_print_json(j);
    } else {
        printf("%s\n", done);
    }
    return CLI_OK;
}

/* --- who is there, where a new member is said to be --- */

enum group_there { GROUP_NOBODY, GROUP_FITS, GROUP_STRANGER };

/* What answers there, by its own word.  why: what is wrong with it, to cap 256. */
static enum group_there group_is_fit(const struct cli_journal_group *g,
                                     const struct cli_masters_one *o, uint32_t id, char *why)
{
    char theirs[40], ours[40];
    uint64_t self = cli_masters_u64(o, "journal.self");
    cli_masters_str(o, "journal.cluster", theirs, sizeof theirs);
    cli_masters_str(g->view, "journal.cluster", ours, sizeof ours);
    bool is_blank = strspn(theirs, "0") == strlen(theirs);
    bool is_in = cli_masters_u64(o, "journal.members.count") != 0;
    if (!self)
        snprintf(why, 256, "what runs there is no master of a group (journal.type raft)");
    else if (self != id)
        snprintf(why, 256, "the master there has the number %" PRIu64 " (journal.id)", self);
    else if (!is_blank && strcmp(theirs, ours) != 0)
        snprintf(why, 256, "the master there is of another cluster, %s", theirs);
    else if (is_in && cli_masters_u64(o, "journal.era") != cli_masters_u64(g->view, "journal.era"))
        snprintf(why, 256,
                 "the master there is of before this group was recovered or restored: it comes "
                 "back with an empty directory");
    else if (cli_masters_u64(o, "journal.gone"))
        snprintf(why, 256,
                 "the master there was taken out of the group: it comes back under a new number, "
                 "with an empty directory");
    else
        return GROUP_FITS;
    return GROUP_STRANGER;
}

/* who answers at addr, now or in a while: it may just be starting */
static enum group_there group_who(struct cli_journal_group *g, uint32_t id, const char *addr,
                                  int64_t patience_ns, char *why)
{
    static char text[1 << 17];
    const struct cli_masters_one o = {.text = text};
    int64_t until_ns = base_min_i64(cli_now_ns() + patience_ns, g->until_ns);
    do {
        uint32_t n = 0;
        int err = cli_masters_call(&g->m, addr, RPC_STATUS, NULL, 0, g->ask_ns, text + 1,
                                   sizeof text - 2, &n);
        text[0] = '\n';
        text[n + 1] = 0;
        if (!err || err == E_NOTSUP) /* a worker does not know that question */
            return group_is_fit(g, &o, id, why);
        snprintf(why, 256, "nobody answers there (%s)", err_text(err));
    } while (cli_now_ns() < until_ns && !usleep(CHANGE_PAUSE_US));
    return GROUP_NOBODY;
}

/* what keeps a newcomer that the leader does not hear: "; TEXT", or "" for one that it hears */
static const char *group_absence(struct cli_journal_group *g, const struct cli_journal_member *m,
                                 char to[ENV_ADDR_MAX + 320])
{
    char why[256];
    to[0] = 0;
    if (m->connected)
        return to;
    enum group_there there = group_who(g, m->id, m->addr, 0, why);
    snprintf(to, ENV_ADDR_MAX + 320, "; %s %s%s%s",
             there == GROUP_NOBODY ? "nobody answers at"
             : there == GROUP_FITS ? "the leader does not reach it at"
                                   : "at",
             m->addr, there == GROUP_STRANGER ? ": " : "", there == GROUP_STRANGER ? why : "");
    return to;
}

/* Time is over: how far did it come? */
static int group_late(struct cli_journal_group *g, const struct rpc_change *ch, const char *done)
{
    const struct cli *c = g->cli;
    char there[ENV_ADDR_MAX + 320] = "";
    cli_journal_group_look(g);
    if (!g->has_leader)
        return cli_error(c, CLI_UNREACHABLE,
                         "not done in time, and nobody leads now; it may come to be later: `tarn "
                         "journal status` tells");
    bool adds = ch->verb == RPC_CHANGE_ADD, replaces = ch->verb == RPC_CHANGE_REPLACE;
    const struct cli_journal_member *m = cli_journal_group_find(g, replaces ? ch->new_id : ch->id);
    bool is_in = (adds || replaces) && m && !strcmp(m->addr, ch->addr);
    bool is_out = replaces && !cli_journal_group_find(g, ch->id);
    if (is_in && m->votes && !m->joins && (adds || is_out))
        return group_done(c, done);
    if (is_in)
        group_absence(g, m, there);
    if (is_in && adds && m->joins)
        return cli_error(
            c, CLI_FAILED,
            "member %u is in the group and has no vote yet: it votes by itself once it "
            "runs (`tarn master --join`) and has caught up%s.  `tarn journal remove "
            "%u` takes it back",
            m->id, there, m->id);
    if (is_in && is_out)
        return cli_error(
            c, CLI_FAILED,
            "%u is no member any more, and %u, in its place, has no vote yet: it votes "
            "by itself once it runs (`tarn master --join`) and has caught up%s.  Until "
            "then %u vote.  If it does not come, another one can take its place: "
            "`tarn journal replace %u NEWID@HOST:PORT`",
            ch->id, m->id, there, g->voters, m->id);
    return cli_error(c, CLI_FAILED,
                     "not done in time; it may come to be later: `tarn journal status` tells");
}

static int group_has_no_session(const struct cli *c)
{
    return cli_error(
        c, CLI_FAILED,
        "the leader has no ZooKeeper session, or no answer there: nobody can be called, and "
        "it goes on (`tarn zk ping`)");
}

static int group_elect_fails(const struct cli_journal_group *g, const struct rpc_change *ch,
                             int err)
{
    const struct cli *c = g->cli;
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    if (err == E_BUSY)
        return cli_error(
            c, CLI_FAILED,
            "the leader stays: changes that it began in the under-store do not end (does it "
            "hang?), and its successor might do them once more");
    if (err == E_SESSION_EXPIRED)
        return group_has_no_session(c);
    if (m && g->has_leader && m->heard_ago_ns >= change_silent_ns)
        return cli_error(c, CLI_FAILED,
                         "the leader has not heard member %u for %" PRId64 " s, and goes on: is "
                         "that one stopped?",
                         ch->id, m->heard_ago_ns / 1000000000);
    if (ch->id)
        return cli_error(c, CLI_FAILED,
                         "it did not come to the front in time: the old leader goes on (is that "
                         "member connected, and without lag? `tarn journal status`)");
    return cli_error(
        c, CLI_FAILED,
        "nobody else could lead now: no other one that votes is heard, fit and without "
        "lag (`tarn journal status`)");
}

/* of a ZooKeeper journal: nobody of that number stands for election */
static int group_zk_elect_barred(struct cli_journal_group *g, const struct rpc_change *ch)
{
    char bar[256] = "";
    cli_journal_group_look(g);
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    if (m && m->self && !m->is_electable)
        cli_journal_group_zk_bar(m, bar);
    if (*bar)
        return cli_error(g->cli, CLI_FAILED, "member %u %s; `tarn journal status` says what to do",
                         ch->id, bar);
    return cli_error(g->cli, CLI_FAILED, "member %u %s (`tarn journal status`; its log says why)",
                     ch->id,
                     m && m->self ? "does not stand for election, or has only just begun to"
                                  : "does not answer, and does not stand for election");
}

/* says it, and why not; the exit code */
static int group_end(struct cli_journal_group *g, const struct rpc_change *ch, int err,
                     const char *done)
{
    const struct cli *c = g->cli;
    if (!err)
        return group_done(c, done);
    if (ch->verb == RPC_CHANGE_ELECT && g->is_zk && ch->id &&
        (err == E_INVAL || err == E_UNAVAILABLE))
        return group_zk_elect_barred(g, ch);
    if (ch->verb == RPC_CHANGE_ELECT &&
        (err == E_BUSY || err == E_UNAVAILABLE || err == E_SESSION_EXPIRED))
        return group_elect_fails(g, ch, err);
    if (err == E_INVAL && (ch->verb == RPC_CHANGE_ADD || ch->verb == RPC_CHANGE_ADD_LEARNER))
        return cli_error(c, CLI_FAILED, "member %u is at another address", ch->id);
    if (err == E_INVAL)
        return cli_error(c, CLI_FAILED, "no such member, or nobody would be left to vote");
    if (err == E_NOENT)
        return cli_error(c, CLI_FAILED, "member %u was taken out again before it had a vote",
                         ch->verb == RPC_CHANGE_REPLACE ? ch->new_id : ch->id);
    if (err == E_AGAIN)
        return cli_error(c, CLI_FAILED,
                         "another change is under way; try again when it is over "
                         "(`tarn journal status`)");
    if (err == E_NOTSUP)
        return cli_journal_group_nobody(g);
    return group_is_passing(err) ? group_late(g, ch, done) : cli_fail(c, "the change", err);
}

/* A learner is in the group at once: does it get anything? */
static int group_see_learner(struct cli_journal_group *g, const struct rpc_change *ch)
{
    const struct cli_journal_member *m;
    char there[ENV_ADDR_MAX + 320] = "";
    uint32_t id = ch->verb == RPC_CHANGE_REPLACE ? ch->new_id : ch->id;
    do {
        cli_journal_group_look(g);
        m = cli_journal_group_find(g, id);
        if (g->has_leader && m && (m->votes || (m->connected && m->is_known && m->match)))
            return CLI_OK;
    } while (cli_now_ns() < g->until_ns && !usleep(CHANGE_PAUSE_US));
    if (ch->verb == RPC_CHANGE_REPLACE && !m)
        return CLI_OK; /* it is done, and nobody leads just now */
    return cli_error(g->cli, CLI_FAILED,
                     "member %u is a learner of the group now, and gets the log once it runs "
                     "(`tarn master --join`)%s.  `tarn journal remove %u` takes it back",
                     id, m ? group_absence(g, m, there) : "", id);
}

/* Who takes part is nobody's decision there, and written down nowhere. */
static int group_zk_cannot(const struct cli *c, const struct rpc_change *ch)
{
    return cli_error(
        c, CLI_FAILED, "these masters have a ZooKeeper journal, which keeps no list of them: %s",
        ch->verb == RPC_CHANGE_REMOVE ? "one that is stopped takes no part any more"
        : ch->verb == RPC_CHANGE_REPLACE
            ? "start the new one (`tarn master`, with a journal.id of its own), and stop the old"
        : ch->verb == RPC_CHANGE_PRIORITY
            ? "who stands longest in ZooKeeper leads next; `tarn journal elect ID` calls one"
            : "one that is started (`tarn master`, with a journal.id of its own and the same "
              "journal.zk.connect and shared_dir) takes part at once");
}

/* a leader, and the check whether it may be asked */
static int group_change(struct cli *c, struct rpc_change *ch,
                        int (*may)(struct cli_journal_group *g, const struct rpc_change *ch),
                        const char *done)
{
    static struct cli_journal_group g;
    ch->addr_len = ch->addr ? (uint32_t)strlen(ch->addr) : 0;
    int code = cli_journal_group_open(&g, c);
    if (code)
        return code;
    code = cli_journal_group_wait_leader(&g);
    if (!code)
        code = g.is_zk ? group_zk_cannot(c, ch) : may(&g, ch);
    if (!code) {
        int err = group_call(&g, ch);
        if (!err && (ch->verb == RPC_CHANGE_ADD_LEARNER || ch->verb == RPC_CHANGE_REPLACE))
            code = group_see_learner(&g, ch);
        if (!code)
            code = group_end(&g, ch, err, done);
    }
    cli_masters_close(&g.m);
    return code;
}

/* --- elect --- */

/* until it says itself that it leads and serves */
static int group_see_leader(struct cli_journal_group *g, uint32_t id, char *done, size_t cap)
{
    while (cli_now_ns() < g->until_ns) {
        cli_journal_group_look(g);
        if (g->has_leader && (!id || cli_masters_u64(g->view, "journal.self") == id)) {
            snprintf(done, cap, "member %" PRIu64 " at %s leads, in term %" PRIu64,
                     cli_masters_u64(g->view, "journal.self"), g->view->addr,
                     cli_masters_u64(g->view, "journal.term"));
            return 0;
        }
        usleep(CHANGE_PAUSE_US / 10);
    }
    return E_TIMEOUT;
}

/* the member, once the leader reaches it: one that has just begun to lead needs a moment */
static const struct cli_journal_member *group_wait_member(struct cli_journal_group *g, uint32_t id)
{
    int64_t until_ns = cli_now_ns() + change_reach_ns;
    const struct cli_journal_member *m = cli_journal_group_find(g, id);
    while (m && !m->connected && cli_now_ns() < until_ns && cli_now_ns() < g->until_ns) {
        usleep(CHANGE_PAUSE_US);
        cli_journal_group_look(g);
        m = cli_journal_group_find(g, id);
    }
    return m;
}

/* another one that votes, and that the leader reaches */
static bool group_has_other(const struct cli_journal_group *g)
{
    for (unsigned i = 0; i < g->n; i++) {
        const struct cli_journal_member *m = &g->member[i];
        if (m->votes && !m->leaving && !m->leads && m->connected)
            return true;
    }
    return false;
}

static int group_may_elect_any(struct cli_journal_group *g)
{
    int64_t until_ns = base_min_i64(cli_now_ns() + change_reach_ns, g->until_ns);
    while (g->has_leader && g->voters > 1 && !group_has_other(g) && cli_now_ns() < until_ns) {
        usleep(CHANGE_PAUSE_US);
        cli_journal_group_look(g);
    }
    if (!g->has_leader)
        return cli_journal_group_nobody(g);
    return group_has_other(g) ? CLI_OK
           : g->voters > 1
               ? cli_error(g->cli, CLI_FAILED,
                           "nobody else could lead: the leader reaches no other one "
                           "that votes (`tarn journal status`)")
               : cli_error(g->cli, CLI_FAILED, "nobody else could lead: no other one votes");
}

static int group_may_elect(struct cli_journal_group *g, const struct rpc_change *ch)
{
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    if (g->is_zk && !cli_masters_u64(g->view, "journal.zk.session"))
        return group_has_no_session(g->cli);
    if (!ch->id)
        return group_may_elect_any(g);
    if (!m || !m->votes || m->leaving)
        return cli_error(g->cli, CLI_FAILED, "%u is %s", ch->id,
                         !m           ? "no member"
                         : m->joins   ? "on its way in, and has no vote yet"
                         : m->leaving ? "on its way out of the group"
                                      : "a learner, which cannot lead");
    m = group_wait_member(g, ch->id);
    if (!g->has_leader)
        return cli_journal_group_nobody(g);
    return m && (m->leads || m->connected)
               ? CLI_OK
               : cli_error(g->cli, CLI_FAILED,
                           "the leader does not reach member %u%s%s: start it, or name another one",
                           ch->id, m && *m->addr ? " at " : "", m ? m->addr : "");
}

static int cli_journal_group_elect_run(struct cli *c)
{
    static struct cli_journal_group g;
    struct rpc_change ch = {.verb = RPC_CHANGE_ELECT};
    char done[256] = "";
    if (c->n_args && !cli_journal_group_id(c, c->args[0], &ch.id))
        return CLI_USAGE;
    int code = cli_journal_group_open(&g, c);
    if (code)
        return code;
    code = cli_journal_group_wait_leader(&g);
    if (!code)
        code = group_may_elect(&g, &ch);
    if (!code) {
        bool leads = ch.id && cli_masters_u64(g.view, "journal.self") == ch.id;
        int err = leads ? 0 : group_call(&g, &ch);
        if (!err || err == E_EXIST)
            err = group_see_leader(&g, ch.id, done, sizeof done);
        code = group_end(&g, &ch, err, done);
    }
    cli_masters_close(&g.m);
    return code;
}

/* --- add, remove, replace, priority --- */

static int group_may_add(struct cli_journal_group *g, const struct rpc_change *ch)
{
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    for (unsigned i = 0; i < g->n; i++)
        if (!strcmp(g->member[i].addr, ch->addr) && g->member[i].id != ch->id)
            return cli_error(g->cli, CLI_FAILED, "%s is member %u's address", ch->addr,
                             g->member[i].id);
    if (m && strcmp(m->addr, ch->addr) != 0)
        return cli_error(g->cli, CLI_FAILED, "member %u is at %s; give the new one another number",
                         ch->id, m->addr);
    if (m && m->votes && ch->verb == RPC_CHANGE_ADD_LEARNER)
        return cli_error(g->cli, CLI_FAILED, "%u is a member already, and votes", ch->id);
    return CLI_OK;
}

/* A voter who does not come stays in the group without a vote, and nobody says why. */
static int group_may_add_newcomer(struct cli_journal_group *g, const struct rpc_change *ch)
{
    char why[256];
    int code = group_may_add(g, ch);
    bool is_checked = ch->verb == RPC_CHANGE_ADD && !cli_flag(g->cli, "force");
    if (code || !is_checked || cli_journal_group_find(g, ch->id) ||
        group_who(g, ch->id, ch->addr, change_come_ns, why) == GROUP_FITS)
        return code;
    return cli_error(g->cli, CLI_FAILED,
                     "no member %u is ready at %s: %s.  Start it first, with an empty directory "
                     "(`tarn master --join`).  Nothing was changed (--force: it comes later, or "
                     "only the leader reaches it)",
                     ch->id, ch->addr, why);
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
    return group_change(c, &ch, group_may_add_newcomer, done);
}

static int group_may_remove(struct cli_journal_group *g, const struct rpc_change *ch)
{
    const struct cli *c = g->cli;
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    if (!m)
        return cli_error(c, CLI_FAILED, "%u is no member", ch->id);
    if (!m->votes)
        return CLI_OK;
    unsigned voters = g->voters - 1, up = g->up - (m->connected && !m->unfit);
    int spare = cli_journal_group_spare(voters, up);
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
    if (!cli_journal_group_id(c, c->args[0], &ch.id))
        return CLI_USAGE;
    snprintf(done, sizeof done, "%u is no member any more", ch.id);
    return group_change(c, &ch, group_may_remove, done);
}

/* The old one has no vote from the beginning, the new one only at the end. */
static int group_replace_costs(struct cli_journal_group *g, const struct cli_journal_member *m,
                               const struct rpc_change *ch)
{
    const struct cli *c = g->cli;
    char why[256];
    bool works = m->connected && !m->unfit;
    unsigned voters = g->voters - 1, up = g->up - works;
    int spare = cli_journal_group_spare(voters, up);
    if (spare < 0)
        return cli_error(
            c, CLI_FAILED,
            "of the %u that would vote until %u has caught up only %u answer%s, and %u "
            "are needed: the cluster would stand still.  Bring another back first "
            "(--force: do it all the same)",
            voters, ch->new_id, up, up == 1 ? "s" : "", voters / 2 + 1);
    if (works && voters == 1)
        return cli_error(c, CLI_FAILED,
                         "until %u has caught up a single one would vote, and what is acknowledged "
                         "would be on its disk alone.  `tarn journal add` the new one first, then "
                         "remove %u (--force: do it all the same)",
                         ch->new_id, m->id);
    if (works && group_who(g, ch->new_id, ch->addr, change_come_ns, why) != GROUP_FITS)
        return cli_error(c, CLI_FAILED,
                         "member %u works, and no member %u is ready at %s: %s.  Start that one "
                         "first (`tarn master --join`) (--force: do it all the same)",
                         m->id, ch->new_id, ch->addr, why);
    if (!spare && !c->quiet)
        fprintf(stderr,
                "tarn journal replace: until %u has caught up the cluster does not tolerate the "
                "loss of another member\n",
                ch->new_id);
    return CLI_OK;
}

static int group_may_replace(struct cli_journal_group *g, const struct rpc_change *ch)
{
    const struct cli_journal_member *m = cli_journal_group_find(g, ch->id);
    const struct cli_journal_member *now = cli_journal_group_find(g, ch->new_id);
    struct rpc_change add = {.verb = RPC_CHANGE_ADD, .id = ch->new_id, .addr = ch->addr};
    if (!m && now && !strcmp(now->addr, ch->addr))
        return CLI_OK; /* it was asked for before: the rest is waited for */
    if (!m)
        return cli_error(g->cli, CLI_FAILED, "%u is no member", ch->id);
    if (now)
        return cli_error(g->cli, CLI_FAILED,
                         "%u is a member already: a new disk needs a number that was never used",
                         ch->new_id);
    /* at the same address: the old one does not come back */
    int code = strcmp(m->addr, ch->addr) != 0 ? group_may_add(g, &add) : CLI_OK;
    if (!code && m->votes && !m->leaving && g->voters == 1)
        return cli_error(g->cli, CLI_FAILED,
                         "nobody else votes: `tarn journal add` the new one first, then remove %u",
                         m->id);
    if (!code && m->votes && !m->leaving && !cli_flag(g->cli, "force"))
        code = group_replace_costs(g, m, ch);
    return code;
}

static int cli_journal_group_replace_run(struct cli *c)
{
    struct rpc_change ch = {.verb = RPC_CHANGE_REPLACE};
    struct config_member m;
    char done[256];
    if (!cli_journal_group_id(c, c->args[0], &ch.id) || !group_id_addr(c, c->args[1], &m))
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

static int group_may_priority(struct cli_journal_group *g, const struct rpc_change *ch)
{
    return cli_journal_group_find(g, ch->id)
               ? CLI_OK
               : cli_error(g->cli, CLI_FAILED, "%u is no member", ch->id);
}

static int cli_journal_group_priority_run(struct cli *c)
{
    struct rpc_change ch = {.verb = RPC_CHANGE_PRIORITY};
    char done[64], *end;
    unsigned long priority = strtoul(c->args[1], &end, 10);
    if (!cli_journal_group_id(c, c->args[0], &ch.id))
        return CLI_USAGE;
    if (*c->args[1] < '0' || *c->args[1] > '9' || *end || priority > UINT8_MAX)
        return cli_error(c, CLI_USAGE, "\"%s\" is not a priority from 0 to 255", c->args[1]);
    ch.priority = (uint32_t)priority;
    snprintf(done, sizeof done, "member %u has priority %lu", ch.id, priority);
    return group_change(c, &ch, group_may_priority, done);
}

const struct cli_command cli_journal_group_elect = {
    "journal",
    "elect",
    "[ID]",
    "let another master lead: ID, or whoever fits best",
    "Over when that one says that it leads; or says why it does not.",
    cli_journal_group_elect_run,
    0,
    1,
    {CLI_JOURNAL_GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_add = {
    "journal",
    "add",
    "ID@HOST:PORT",
    "one more master",
    "Start it before, with an empty directory: `tarn master --join` with journal.id ID.  It gets\n"
    "the log first, and votes once it has caught up; the command is over then.  ID was never "
    "used.\n"
    "Refused when member ID does not answer there, but for a learner.",
    cli_journal_group_add_run,
    1,
    1,
    {{"learner", 0, NULL, "it never votes"},
     {"force", 0, NULL, "also if it does not answer"},
     CLI_JOURNAL_GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_remove = {
    "journal",
    "remove",
    "ID",
    "take a master out of the group",
    "Refused when too few of those that are left answer.",
    cli_journal_group_remove_run,
    1,
    1,
    {{"force", 0, NULL, "also if the cluster stands still then"}, CLI_JOURNAL_GROUP_TIMEOUT}};

const struct cli_command cli_journal_group_replace = {
    "journal",
    "replace",
    "ID NEWID@HOST:PORT",
    "a new master in the place of one that is lost, in one change",
    "Start the new one before: `tarn master --join` with journal.id NEWID.  A lost disk makes a "
    "new\n"
    "member: its old number must not vote again.  The host and port may be the old ones.  Refused\n"
    "when too few votes would be left until the new one has caught up, and when the old one works "
    "and\n"
    "the new one does not answer.",
    cli_journal_group_replace_run,
    2,
    2,
    {{"force", 0, NULL,
      "also if too few votes are left until the new one has caught up, or it does "
      "not answer"},
     CLI_JOURNAL_GROUP_TIMEOUT}};

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
    {CLI_JOURNAL_GROUP_TIMEOUT}};
