/* cluster/cli_journal_group_zk.c - the masters of a ZooKeeper journal, as a command sees them.
 *
 * None of them knows the others, and who takes part is written down nowhere: each is known by its
 * own word; one that is silent, by what the others or the configuration say of it. */
#include <inttypes.h>
#include "cluster/cli_journal_group.h"
#include "cluster/config_members.h"

static struct cli_journal_member *zk_put(struct cli_journal_group *g, uint32_t id, const char *addr)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->member[i].id == id && !strcmp(g->member[i].addr, addr))
            return NULL;
    if (g->n == JOURNAL_MEMBERS_MAX)
        return NULL;
    struct cli_journal_member *m = &g->member[g->n++];
    *m = (struct cli_journal_member){.id = id, .votes = true, .heard_ago_ns = -1};
    snprintf(m->addr, sizeof m->addr, "%s", addr);
    return m;
}

/* the same process, reached by another name */
static bool zk_is_one(const struct cli_journal_group *g, const struct cli_masters_one *o,
                      uint32_t id)
{
    char theirs[ENV_ADDR_MAX], ours[ENV_ADDR_MAX];
    cli_masters_str(o, "listen", ours, sizeof ours);
    for (unsigned i = 0; i < g->n; i++)
        if (g->member[i].id == id &&
            !strcmp(cli_masters_str(g->member[i].self, "listen", theirs, sizeof theirs), ours))
            return true;
    return false;
}

static void zk_put_self(struct cli_journal_group *g, const struct cli_masters_one *o)
{
    uint32_t id = (uint32_t)cli_masters_u64(o, "journal.self");
    struct cli_journal_member *m = id && !zk_is_one(g, o, id) ? zk_put(g, id, o->addr) : NULL;
    if (!m)
        return;
    uint64_t last = cli_masters_u64(g->view, "journal.committed");
    m->self = o;
    m->leads = g->has_leader && o == g->view;
    m->connected = m->is_known = true;
    m->is_electable = cli_masters_u64(o, "journal.zk.electable");
    g->electable += m->is_electable;
    g->is_full |= m->leads && cli_masters_u64(o, "journal.full");
    g->is_lost |= cli_masters_u64(o, "journal.zk.room_lost") != 0;
    m->match = cli_masters_u64(o, "journal.applied");
    /* when all is quiet, the leader's last record tells what was acknowledged, and nobody tells of
     * that one */
    m->lag = last > m->match + 1 ? last - m->match : 0;
    g->up++;
}

static bool zk_is_known(const struct cli_journal_group *g, uint32_t id)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->member[i].id == id)
            return true;
    return false;
}

static void zk_sort(struct cli_journal_group *g)
{
    for (unsigned i = 1; i < g->n; i++)
        for (unsigned k = i; k && g->member[k].id < g->member[k - 1].id; k--) {
            struct cli_journal_member m = g->member[k];
            g->member[k] = g->member[k - 1];
            g->member[k - 1] = m;
        }
}

void cli_journal_group_zk(struct cli_journal_group *g)
{
    struct config_member of[JOURNAL_MEMBERS_MAX];
    char cluster[40], other[40], addr[ENV_ADDR_MAX], key[64], err[CONFIG_ERROR_MAX];
    uint32_t n = 0;
    for (unsigned i = 0; !g->has_leader && i < g->m.n; i++) {
        const struct cli_masters_one *o = &g->m.one[i];
        if (o->text && cli_masters_u64(o, "journal.self") &&
            (!g->view ||
             cli_masters_u64(o, "journal.term") > cli_masters_u64(g->view, "journal.term")))
            g->view = o;
    }
    if (!g->view)
        return;
    cli_masters_str(g->view, "journal.cluster", cluster, sizeof cluster);
    for (unsigned i = 0; i < g->m.n; i++) {
        const struct cli_masters_one *o = &g->m.one[i];
        if (o->text && !strcmp(cli_masters_str(o, "journal.cluster", other, sizeof other), cluster))
            zk_put_self(g, o);
    }
    for (unsigned k = 0; k < cli_masters_u64(g->view, "journal.members.count"); k++) {
        uint32_t id = (uint32_t)cli_masters_member(g->view, k, "id");
        snprintf(key, sizeof key, "journal.members.%u.addr", k);
        cli_masters_str(g->view, key, addr, sizeof addr);
        if (id && *addr && !zk_is_known(g, id))
            zk_put(g, id, addr);
    }
    if (!config_members_parse(config_str(g->cli->config, CONFIG_JOURNAL_MEMBERS), of, &n, err,
                              sizeof err))
        for (uint32_t i = 0; i < n; i++)
            if (!zk_is_known(g, of[i].id))
                zk_put(g, of[i].id, of[i].addr);
    g->voters = g->n;
    zk_sort(g);
}

/* --- who could not lead, and why --- */

static const struct {
    const char *bar, *is, *to_do;
} zk_bars[] = {
    {"session", "no ZooKeeper session",
     "does its host reach the servers of journal.zk.connect, and are they a majority?  (there: "
     "`tarn zk ping`)"},
    {"cluster", "ZooKeeper does not know the cluster",
     "see journal.zk.connect; `tarn journal bootstrap` makes the path"},
    {"access", "ZooKeeper refuses it", "its journal.zk.auth is not that of the others"},
    {"storage", "the shared directory does not answer there",
     "is it mounted on its host, and does its server run?"},
    {"room", "no room for a log in the shared directory", "free some space there"},
    {"damaged", "what it reads of the log is damaged", "its log says where; docs/recovery.md"},
    {"image", "the log goes on behind what its state images have", "its log says where"},
    {"candidacy", "it does not stand for election (yet)",
     "if that goes on for longer than a minute its log says why"},
    {"starting", "it reads its journal", "wait for it"},
    {"failed", "its journal has failed", "its log says why; start it again"},
};

static const char *zk_for(char to[32], const struct cli_masters_one *o, const char *key)
{
    uint64_t s = cli_masters_u64(o, key) / 1000000000;
    snprintf(to, 32, "%" PRIu64 "%s", s < 600 ? s : s / 60, s < 600 ? " s" : " min");
    return to;
}

static unsigned zk_bar_at(const struct cli_journal_member *m)
{
    char bar[16];
    unsigned i = 0;
    cli_masters_str(m->self, "journal.zk.bar", bar, sizeof bar);
    while (i < ARRAY_LEN(zk_bars) && strcmp(bar, zk_bars[i].bar) != 0)
        i++;
    return i;
}

const char *cli_journal_group_zk_bar(const struct cli_journal_member *m, char to[256])
{
    char ago[32];
    unsigned at = m->self ? zk_bar_at(m) : ARRAY_LEN(zk_bars);
    to[0] = 0;
    if (m->self && at == ARRAY_LEN(zk_bars))
        snprintf(to, 256, "session for %s", zk_for(ago, m->self, "journal.zk.session_ns"));
    if (at < ARRAY_LEN(zk_bars))
        snprintf(to, 256, "%s: %s, for %s", m->leads ? "would not be elected again" : "cannot lead",
                 zk_bars[at].is, zk_for(ago, m->self, "journal.zk.barred_ns"));
    return to;
}

void cli_journal_group_zk_json(const struct cli_journal_member *m, cJSON *j)
{
    char bar[16];
    cJSON_AddBoolToObject(j, "electable", m->is_electable);
    if (!m->self)
        return;
    if (!m->is_electable) {
        cJSON_AddStringToObject(j, "barred_by",
                                cli_masters_str(m->self, "journal.zk.bar", bar, sizeof bar));
        cli_json_u64(j, "barred_s", cli_masters_u64(m->self, "journal.zk.barred_ns") / 1000000000);
    }
    cJSON_AddBoolToObject(j, "zookeeper_session", cli_masters_u64(m->self, "journal.zk.session"));
    cli_json_u64(j, "zookeeper_for_s",
                 cli_masters_u64(m->self, "journal.zk.session_ns") / 1000000000);
    if (!cli_masters_u64(m->self, "journal.zk.room_size"))
        return;
    cli_json_u64(j, "room_free", cli_masters_u64(m->self, "journal.zk.room_free"));
    cli_json_u64(j, "room_size", cli_masters_u64(m->self, "journal.zk.room_size"));
    cJSON_AddBoolToObject(j, "room_low", cli_masters_u64(m->self, "journal.zk.room_low"));
    cJSON_AddBoolToObject(j, "room_lost", cli_masters_u64(m->self, "journal.zk.room_lost"));
}

void cli_journal_group_zk_room(const struct cli_journal_group *g)
{
    char free[16], size[16];
    if (cli_masters_u64(g->view, "journal.zk.room_size"))
        printf("room     %s of %s free in the shared directory\n",
               cli_bytes(free, cli_masters_u64(g->view, "journal.zk.room_free")),
               cli_bytes(size, cli_masters_u64(g->view, "journal.zk.room_size")));
}

/* one member's word is enough: all share that directory */
static bool zk_warn_room(const struct cli_journal_group *g, char line[512])
{
    char free[16], size[16];
    const struct cli_masters_one *low = NULL;
    for (unsigned i = 0; i < g->n; i++) {
        const struct cli_journal_member *m = &g->member[i];
        if (m->self && (!low || m->leads) && cli_masters_u64(m->self, "journal.zk.room_low"))
            low = m->self;
    }
    if (!low && !g->is_full)
        return false;
    bool is_full = g->is_full || (low && !cli_masters_u64(low, "journal.zk.room_free"));
    snprintf(line, 512,
             "the shared directory is %sfull%s: free some space there (`tarn journal "
             "snapshot` lets old logs go)",
             is_full ? "" : "nearly ", g->is_full ? ", changes are refused" : "");
    if (low) {
        size_t at = strlen(line);
        snprintf(line + at, 512 - at, ".  %s of %s are free",
                 cli_bytes(free, cli_masters_u64(low, "journal.zk.room_free")),
                 cli_bytes(size, cli_masters_u64(low, "journal.zk.room_size")));
    }
    return true;
}

/* which masters say that their directory was removed under them */
static void zk_warn_lost(const struct cli_journal_group *g, char line[512])
{
    const char *dir = config_str(g->cli->config, CONFIG_JOURNAL_ZK_SHARED_DIR);
    size_t at = 0;
    snprintf(line, 512,
             "the shared directory%s%.120s was emptied or replaced while masters run (so say",
             *dir ? " at " : "", dir);
    for (unsigned i = 0; i < g->n; i++) {
        const struct cli_journal_member *m = &g->member[i];
        at = strlen(line);
        if (m->self && cli_masters_u64(m->self, "journal.zk.room_lost"))
            snprintf(line + at, 512 - at, " %u", m->id);
    }
    at = strlen(line);
    snprintf(
        line + at, 512 - at,
        "): what they write is in removed files and is lost when they end; take a "
        "backup now (`tarn journal backup`; it fails where the directory itself was removed: then "
        "copy the files away through a mount)");
}

/* ZooKeeper as a whole, not the way to it from one host */
static bool zk_is_away(const struct cli_journal_group *g)
{
    unsigned without = 0;
    for (unsigned i = 0; i < g->n; i++)
        without += g->member[i].self && !cli_masters_u64(g->member[i].self, "journal.zk.session");
    return without && without == g->up;
}

void cli_journal_group_zk_warn(const struct cli_journal_group *g,
                               void (*say)(void *ctx, const char *line), void *ctx)
{
    char line[512], ago[32];
    bool is_away = zk_is_away(g);
    if (is_away) {
        snprintf(line, sizeof line,
                 "no master has a ZooKeeper session (member %" PRIu64 ": for %s): %s.  Start its "
                 "servers, a majority of them (`tarn zk ping`)",
                 cli_masters_u64(g->view, "journal.self"),
                 zk_for(ago, g->view, "journal.zk.session_ns"),
                 g->has_leader ? "the leader goes on, and nobody can take over from it"
                               : "nobody can be elected");
        say(ctx, line);
    }
    for (unsigned i = 0; i < g->n; i++) {
        const struct cli_journal_member *m = &g->member[i];
        unsigned at = m->self ? zk_bar_at(m) : ARRAY_LEN(zk_bars);
        if (at == ARRAY_LEN(zk_bars) || (is_away && !at))
            continue;
        snprintf(line, sizeof line, "member %u cannot be elected, for %s: %s: %s", m->id,
                 zk_for(ago, m->self, "journal.zk.barred_ns"), zk_bars[at].is, zk_bars[at].to_do);
        say(ctx, line);
    }
    if (g->is_lost) {
        zk_warn_lost(g, line);
        say(ctx, line);
    }
    if (zk_warn_room(g, line))
        say(ctx, line);
}
