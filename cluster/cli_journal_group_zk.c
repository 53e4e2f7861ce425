/* cluster/cli_journal_group_zk.c - the masters of a ZooKeeper journal, as a command sees them.
 *
 * None of them knows the others, and who takes part is written down nowhere: each is known by its
 * own word; one that is silent, by what the others or the configuration say of it. */
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
