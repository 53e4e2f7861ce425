/* cluster/cli_migrate_spec.c - --from and --to of `tarn journal migrate`: a journal by its type and
 * directory (local:DIR, raft:DIR[,DIR...], zk:DIR), or the configuration of the masters that have
 * it or are to have it. */
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_migrate.h"
#include "cluster/cli_touch.h"
#include "cluster/config_members.h"
#include "core/fmt.h"

static const char *const migrate_types[] = {[CLI_MIGRATE_LOCAL] = "local",
                                            [CLI_MIGRATE_RAFT] = "raft",
                                            [CLI_MIGRATE_ZK] = "zk",
                                            [CLI_MIGRATE_BACKUP] = "backup"};

const char *cli_migrate_type(enum cli_migrate_type t)
{
    return migrate_types[t];
}

/* "local:..." -> what is behind the colon; NULL: it is no such text */
static const char *migrate_typed(const char *spec, enum cli_migrate_type *ret_type)
{
    for (unsigned t = 0; t < ARRAY_LEN(migrate_types); t++) {
        size_t n = strlen(migrate_types[t]);
        if (strncmp(spec, migrate_types[t], n) != 0 || spec[n] != ':')
            continue;
        *ret_type = (enum cli_migrate_type)t;
        return spec + n + 1;
    }
    return NULL;
}

bool cli_migrate_is_typed(const char *spec)
{
    enum cli_migrate_type t;
    return migrate_typed(spec, &t) != NULL;
}

static void migrate_text(struct cli_migrate_place *p, const char *dir)
{
    fmt_into(p->text, sizeof p->text, "%s:%s", migrate_types[p->type], dir);
}

static int migrate_add(struct cli_migrate_place *p, const struct cli *c, const char *dir, size_t n)
{
    char path[CLI_DIR_PATH];
    struct stat st;
    if (!n)
        return cli_error(c, CLI_USAGE, "\"%s:\" names no directory: %s:DIR", migrate_types[p->type],
                         migrate_types[p->type]);
    if (n >= sizeof path - 16)
        return cli_error(c, CLI_USAGE, "%s: the directory's name is too long", p->option);
    if (p->n == JOURNAL_MEMBERS_MAX)
        return cli_error(c, CLI_USAGE, "%s: more than %d directories", p->option,
                         JOURNAL_MEMBERS_MAX);
    snprintf(path, sizeof path, "%.*s", (int)n, dir);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    /* as `tarn up --masters` makes them: DIR-1, DIR-2, ... */
    unsigned members = 0;
    if (p->type == CLI_MIGRATE_RAFT && stat(path, &st))
        members = cli_dir_members(path, p->dir + p->n, JOURNAL_MEMBERS_MAX - p->n);
    if (!members)
        snprintf(p->dir[p->n], CLI_DIR_PATH, "%s", path);
    p->n += members ? members : 1;
    return CLI_OK;
}

/* --- the configuration --- */

/* by name: "journal.zk.shared_dir" lies below "journal", "zk"; or "zk.shared_dir" */
static const cJSON *migrate_find(const cJSON *j, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(j, key);
    const char *dot = strchr(key, '.');
    char head[64];
    if (item || !dot || (size_t)(dot - key) >= sizeof head)
        return item;
    snprintf(head, sizeof head, "%.*s", (int)(dot - key), key);
    item = cJSON_GetObjectItemCaseSensitive(j, head);
    return item ? migrate_find(item, dot + 1) : NULL;
}

static void migrate_key(const struct config *g, const char *key, char *to, size_t cap)
{
    char *text = config_json(g, false);
    cJSON *j = text ? cJSON_Parse(text) : NULL;
    const cJSON *item = j ? migrate_find(j, key) : NULL;
    fmt_into(to, cap, "%s", cJSON_IsString(item) ? item->valuestring : "");
    cJSON_Delete(j);
    free(text);
}

static int migrate_config(struct cli_migrate_place *p, struct cli *c, const char *file)
{
    char err[CONFIG_ERROR_MAX];
    if (*file) {
        p->config = config_new();
        ASSERT(p->config);
        if (config_load(p->config, file, err, sizeof err) ||
            config_check(p->config, err, sizeof err))
            return cli_error(c, CLI_CONFIG,
                             "%s: %s  (or name a journal by its type and place: local:DIR, "
                             "raft:DIR, zk:DIR)",
                             p->option, err);
    }
    const struct config *g = p->config ? p->config : c->config;
    const char *type = config_str(g, CONFIG_JOURNAL_TYPE);
    char shared[CLI_DIR_PATH] = "";
    p->type = !strcmp(type, "raft") ? CLI_MIGRATE_RAFT
              : !strcmp(type, "zk") ? CLI_MIGRATE_ZK
                                    : CLI_MIGRATE_LOCAL;
    if (p->type == CLI_MIGRATE_ZK)
        migrate_key(g, "journal.zk.shared_dir", shared, sizeof shared);
    const char *dir = p->type == CLI_MIGRATE_ZK ? shared : config_str(g, CONFIG_MASTER_DIR);
    if (!*dir)
        return cli_error(c, CLI_USAGE,
                         "%s: the configuration names no %s; or name a journal by "
                         "its type and place: local:DIR, raft:DIR, zk:DIR",
                         p->option,
                         p->type == CLI_MIGRATE_ZK ? "journal.zk.shared_dir" : "master.dir");
    int code = *file ? cli_touch(c, dir) : CLI_OK; /* that of the command's own did answer */
    if (code)
        return code;
    migrate_text(p, dir);
    return migrate_add(p, c, dir, strlen(dir));
}

/* --- the group that is to be --- */

bool cli_migrate_conf(const char *text, struct raft_conf *ret_conf, char *err, size_t cap)
{
    struct config_member m[JOURNAL_MEMBERS_MAX];
    uint32_t n;
    memset(ret_conf, 0, sizeof *ret_conf);
    if (config_members_parse(text, m, &n, err, cap))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = ret_conf->n++;
        for (; at > 0 && ret_conf->member[at - 1].id.v > m[i].id; at--)
            ret_conf->member[at] = ret_conf->member[at - 1];
        struct raft_member *o = &ret_conf->member[at];
        memset(o, 0, sizeof *o);
        *o = (struct raft_member){.id = {m[i].id}, .flags = RAFT_VOTER, .priority = m[i].priority};
        fmt_into(o->addr, sizeof o->addr, "%s", m[i].addr);
    }
    return true;
}

static int migrate_members(struct cli_migrate_place *p, struct cli *c, const struct config *g)
{
    char err[CONFIG_ERROR_MAX];
    if (!cli_migrate_conf(cli_value(c, "members", config_str(g, CONFIG_JOURNAL_MEMBERS)), &p->conf,
                          err, sizeof err))
        return cli_error(c, CLI_USAGE, "--members: %s", err);
    return p->conf.n ? CLI_OK
                     : cli_error(c, CLI_USAGE,
                                 "--members ID@HOST:PORT,... says which group it becomes (or "
                                 "journal.members in the configuration)");
}

/* a directory for each member, or for the one that --id names */
static int migrate_to(struct cli_migrate_place *p, struct cli *c, const char *dir)
{
    const struct config *g = p->config ? p->config : c->config;
    int64_t own = strcmp(config_str(g, CONFIG_JOURNAL_TYPE), "local") != 0
                      ? config_int(g, CONFIG_JOURNAL_ID)
                      : 0;
    int64_t id;
    if (!cli_number(c, "id", own, 0, UINT32_MAX, &id))
        return CLI_USAGE;
    p->n = 1;
    snprintf(p->dir[0], CLI_DIR_PATH, "%s", dir);
    p->id[0] = p->type == CLI_MIGRATE_LOCAL ? 0 : (uint32_t)id;
    if (p->type == CLI_MIGRATE_ZK && !id)
        p->id[0] = 1;
    if (p->type != CLI_MIGRATE_RAFT)
        return CLI_OK;
    int code = migrate_members(p, c, g);
    if (code)
        return code;
    if (id) {
        for (uint32_t i = 0; i < p->conf.n; i++)
            if (p->conf.member[i].id.v == id)
                return CLI_OK;
        return cli_error(c, CLI_USAGE, "--id %lld is not among the members", (long long)id);
    }
    for (p->n = 0; p->n < p->conf.n; p->n++) {
        p->id[p->n] = p->conf.member[p->n].id.v;
        snprintf(p->dir[p->n], CLI_DIR_PATH, "%.4000s-%u", dir, p->id[p->n]);
    }
    return CLI_OK;
}

int cli_migrate_place(struct cli_migrate_place *p, struct cli *c, const char *option,
                      const char *spec, bool is_to)
{
    memset(p, 0, sizeof *p);
    p->option = option;
    const char *dir = migrate_typed(spec, &p->type);
    int code = CLI_OK;
    if (dir && is_to && p->type == CLI_MIGRATE_BACKUP)
        return cli_error(c, CLI_USAGE,
                         "--to: local, raft or zk; a file is written by `tarn journal "
                         "backup`");
    if (!dir) {
        code = migrate_config(p, c, spec);
        dir = strchr(p->text, ':');
        dir = dir ? dir + 1 : "";
    } else if (is_to || p->type != CLI_MIGRATE_RAFT) {
        migrate_text(p, dir);
        code = migrate_add(p, c, dir, strlen(dir));
    } else {
        migrate_text(p, dir);
        for (const char *at = dir; !code; at++) {
            size_t n = strcspn(at, ",");
            code = migrate_add(p, c, at, n);
            at += n;
            if (!*at)
                break;
        }
    }
    if (code || !is_to)
        return code;
    char base[CLI_DIR_PATH];
    size_t n = (size_t)snprintf(base, sizeof base, "%.4000s", dir);
    while (n > 1 && base[n - 1] == '/')
        base[--n] = 0;
    return migrate_to(p, c, base);
}

int cli_migrate_place_zk(struct cli_migrate_place *p, struct cli *c, const char *option,
                         const char *spec)
{
    char typed[CLI_DIR_PATH + 8];
    snprintf(typed, sizeof typed, "%s%.4000s",
             !*spec || cli_migrate_is_typed(spec) ? "" : "zk:", spec);
    return cli_migrate_place(p, c, option, typed, false);
}

void cli_migrate_place_end(struct cli_migrate_place *p)
{
    if (p->config)
        config_free(p->config);
    p->config = NULL;
}
