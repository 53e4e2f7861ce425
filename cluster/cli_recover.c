/* cluster/cli_recover.c - `tarn journal recover`: a group that has lost its majority for good goes
 * on with one survivor.  What that means, and what keeps it from doing harm: raft_offline.c.
 *
 * A wrong use is made hard: the directory must be intact; whoever of the old group still answers,
 * or cannot be asked, stops the command (--force); it says what it would do, and does it with --yes
 * only. */
#include "cluster/cli_dir.h"
#include "cluster/cli_masters.h"
#include "cluster/config_members.h"
#include "cluster/config_zk.h"
#include "core/fmt.h"

/* a lost packet is sent again after 1 s, and after 3 s */
static const int64_t recover_ask_ns = 5000000000LL;

struct recover {
    struct cli *cli;
    struct cli_dir d;
    struct cli_dir_journal j;
    struct journal_status before;
    char members[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)];
    uint32_t n;                                      /* of the new group */
    enum cli_masters_said said[JOURNAL_MEMBERS_MAX]; /* of each member of before */
    uint32_t voters, up, answers, barred;            /* up: of those that vote */
    uint64_t era;                                    /* the latest that is known of elsewhere */
};

/* what each of the others says; with the cluster's secret, as a member would ask */
static int recover_ask(struct recover *r)
{
    static struct cli_masters m;
    struct cli *c = r->cli;
    const struct journal_status *st = &r->before;
    int code = cli_masters_open_none(&m, c);
    if (code)
        return code;
    for (uint32_t i = 0; i < st->n; i++)
        if (st->member[i].id != r->d.meta.member)
            cli_masters_add(&m, st->member[i].addr);
    cli_masters_ask(&m, recover_ask_ns);
    for (uint32_t i = 0; i < st->n; i++) {
        const struct journal_member *k = &st->member[i];
        const struct cli_masters_one *o = cli_masters_at(&m, k->addr);
        r->voters += k->votes;
        r->said[i] = o ? cli_masters_said(o) : CLI_MASTERS_GONE;
        if (k->id == r->d.meta.member || !o)
            continue;
        r->era = base_max_u64(r->era, cli_masters_u64(o, "journal.era"));
        if (r->said[i] == CLI_MASTERS_ANSWERS)
            cli_error(c, 0, "member %u answers at %s", k->id, k->addr);
        else if (r->said[i] == CLI_MASTERS_BARRED)
            cli_error(c, 0, "member %u cannot be asked at %s: %s", k->id, k->addr,
                      o->err == E_UNAVAILABLE
                          ? "its name is not known here, or no route leads there"
                          : err_text(o->err));
        r->up += k->votes && r->said[i] == CLI_MASTERS_ANSWERS;
        r->answers += r->said[i] == CLI_MASTERS_ANSWERS;
        r->barred += r->said[i] == CLI_MASTERS_BARRED;
    }
    cli_masters_close(&m);
    return CLI_OK;
}

static int recover_alone(struct recover *r)
{
    struct cli *c = r->cli;
    int code = recover_ask(r);
    if (code || (!r->answers && !r->barred) || cli_flag(c, "force"))
        return code;
    if (r->up > r->voters / 2)
        return cli_error(c, CLI_FAILED,
                         "that is a majority of %u: the group can go on by itself, and nothing is "
                         "lost.  Start this member again, or replace it (`tarn journal replace`)",
                         r->voters);
    if (r->answers)
        return cli_error(c, CLI_FAILED,
                         "stop it, and compare the logs first: `tarn journal verify DIR DIR` says "
                         "which is the most complete, and that one is to be recovered (--force: it "
                         "is no member, or I know better)");
    return cli_error(c, CLI_FAILED,
                     "so it may well run, and a majority with it, which would be ended by this.  "
                     "Ask with the cluster's configuration (-c FILE, cluster.secret_file), from a "
                     "host that reaches the others; --force: I know that they are off");
}

static int recover_plan(struct recover *r)
{
    struct cli *c = r->cli;
    const struct journal_status *st = &r->before;
    struct config_member m[JOURNAL_MEMBERS_MAX];
    const char *text = cli_value(c, "members", NULL);
    char err[CONFIG_ERROR_MAX];
    bool found = false;
    for (uint32_t i = 0; !text && i < st->n; i++)
        if (st->member[i].id == r->d.meta.member)
            cli_dir_member(r->members, sizeof r->members, st->member[i].id, st->member[i].addr,
                           st->member[i].priority);
    if (text)
        snprintf(r->members, sizeof r->members, "%s", text);
    if (config_members_parse(r->members, m, &r->n, err, sizeof err))
        return cli_error(c, CLI_USAGE, "--members: %s", err);
    for (uint32_t i = 0; i < r->n; i++)
        found |= m[i].id == r->d.meta.member;
    return found ? CLI_OK
                 : cli_error(c, CLI_USAGE,
                             "--members ID@HOST:PORT must name member %u, whose directory this is",
                             r->d.meta.member);
}

static const char *recover_found(const struct recover *r, uint32_t i)
{
    static const char *const said[] = {
        [CLI_MASTERS_ANSWERS] = "answers",
        [CLI_MASTERS_GONE] = "nothing runs there",
        [CLI_MASTERS_SILENT] = "silent: down, or cut off from here",
        [CLI_MASTERS_BARRED] = "could not be asked",
    };
    return r->before.member[i].id == r->d.meta.member ? "this one" : said[r->said[i]];
}

/* what would be done */
static void recover_warn(const struct recover *r)
{
    const struct journal_status *st = &r->before;
    fprintf(stderr,
            "%s is member %u's.  Its log ends with entry %llu of term %llu; its group was:\n",
            r->d.dir, r->d.meta.member, (unsigned long long)st->last_index,
            (unsigned long long)st->last_term);
    for (uint32_t i = 0; i < st->n; i++)
        fprintf(stderr, "  %u@%s%s: %s\n", st->member[i].id, st->member[i].addr,
                st->member[i].votes ? "" : " (learner)", recover_found(r, i));
    fprintf(
        stderr,
        "The new group will be: %s\n"
        "LOST is what a majority acknowledged and this member does not have: everything after\n"
        "entry %llu, if there was more.  If another member's directory is left, compare first:\n"
        "  tarn journal verify DIR DIR ...   (the most complete one is to be recovered)\n"
        "The other members of before can never come back with what they have: they stop when\n"
        "they hear of this group.  Each comes back as a new member, with an empty directory.\n",
        r->members, (unsigned long long)st->last_index);
    if (r->n > 1)
        fprintf(stderr,
                "Members other than %u must begin with empty directories, by --join; each gets a "
                "vote when it has caught up.\n",
                r->d.meta.member);
}

static int recover_look(struct recover *r)
{
    struct cli *c = r->cli;
    struct journal_config jc = journal_config_default();
    jc.check_only = true;
    if (!r->d.meta.member)
        return cli_error(c, CLI_FAILED, "%s: %s", r->d.dir,
                         r->d.meta_err == E_VERSION
                             ? "downgrade refused: a newer release wrote it; run that one"
                         : r->d.meta_err && cli_dir_has_log(r->d.dir)
                             ? "journal.meta is missing or damaged while a log is there: bring it "
                               "back from a copy, or use another member's directory"
                         : r->d.meta_err ? "there is no member of a group here"
                                         : "a single master's: it needs no group");
    int err = cli_dir_journal(&r->d, &r->j, &jc);
    r->before = r->j.status;
    if (err || r->j.role != JOURNAL_STANDBY)
        return cli_error(c, CLI_DATA,
                         "%s cannot be started: %s.  Nothing was changed.  Use another member's "
                         "directory, or a backup",
                         r->d.dir, err_text(err ? err : r->j.why));
    return CLI_OK;
}

static cJSON *recover_json(const struct recover *r, bool is_changed)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddBoolToObject(j, "changed", is_changed);
    cJSON_AddStringToObject(j, "dir", r->d.dir);
    cJSON_AddNumberToObject(j, "member", r->d.meta.member);
    cJSON_AddStringToObject(j, "members", r->members);
    cli_json_u64(j, "last_index", r->before.last_index);
    cli_json_u64(j, "last_term", r->before.last_term);
    cJSON *list = cJSON_AddArrayToObject(j, "before");
    for (uint32_t i = 0; i < r->before.n; i++) {
        cJSON *m = cJSON_CreateObject();
        cJSON_AddNumberToObject(m, "id", r->before.member[i].id);
        cJSON_AddStringToObject(m, "address", r->before.member[i].addr);
        cJSON_AddBoolToObject(m, "votes", r->before.member[i].votes);
        cJSON_AddStringToObject(m, "found", recover_found(r, i));
        cJSON_AddItemToArray(list, m);
    }
    return j;
}

static int recover_write(struct recover *r)
{
    struct cli *c = r->cli;
    struct journal_config jc = journal_config_default();
    jc.segment_bytes = (uint64_t)config_int(c->config, CONFIG_JOURNAL_SEGMENT);
    jc.raft.recover = r->members;
    jc.raft.recover_era = r->era;
    int err = cli_dir_journal(&r->d, &r->j, &jc);
    if (err || r->j.role != JOURNAL_STANDBY)
        return cli_error(c, CLI_FAILED, "%s: %s: give the same command again", r->d.dir,
                         err_text(err ? err : r->j.why));
    const struct journal_status *st = &r->j.status;
    if (c->json) {
        cJSON *j = recover_json(r, true);
        cli_json_u64(j, "term", st->epoch);
        cli_dir_era_json(j, st->era);
        cli_print_json(j);
    } else {
        char era[CLI_DIR_ERA];
        printf("%s: the group is %s now (era %s, term %llu), with every entry up to %llu.  Start "
               "its master; `tarn journal add` brings others in.\n",
               r->d.dir, r->members, cli_dir_era(era, st->era), (unsigned long long)st->epoch,
               (unsigned long long)r->before.last_index);
    }
    return CLI_OK;
}

/* It is the whole group already: recovered before, or the others were removed. */
static bool recover_is_alone(const struct recover *r)
{
    const struct journal_status *st = &r->before;
    return !cli_flag(r->cli, "members") && !cli_flag(r->cli, "force") && st->n == 1 &&
           st->member[0].id == r->d.meta.member && st->member[0].votes;
}

static int recover_not(struct recover *r)
{
    struct cli *c = r->cli;
    const struct journal_status *st = &r->before;
    char era[CLI_DIR_ERA];
    if (c->json) {
        cJSON *j = recover_json(r, false);
        cli_json_u64(j, "term", st->epoch);
        cli_dir_era_json(j, st->era);
        cli_print_json(j);
    } else {
        printf("%s: the group is %s already (era %s), which needs nobody else: start its master.  "
               "Nothing was changed (--force: begin another era all the same)\n",
               r->d.dir, r->members, cli_dir_era(era, st->era));
    }
    return CLI_OK;
}

/* without --yes */
static int recover_only_said(struct recover *r)
{
    static const char text[] = "nothing was changed: say --yes to do it";
    struct cli *c = r->cli;
    if (c->json) {
        cJSON *j = recover_json(r, false);
        cJSON_AddBoolToObject(j, "ok", false);
        cJSON_AddNumberToObject(j, "status", CLI_FAILED);
        cJSON_AddStringToObject(j, "error", text);
        cli_print_json(j);
    }
    return cli_error(c, CLI_FAILED, "%s", text);
}

static int cli_recover_run(struct cli *c)
{
    static struct recover r;
    memset(&r, 0, sizeof r);
    r.cli = c;
    if (config_zk_is(c->config) && !cli_flag(c, "dir"))
        return cli_error(c, CLI_FAILED,
                         "journal.type is zk, which has no majority to lose: any master that is "
                         "started leads.  If the shared directory is lost: `tarn journal restore "
                         "FILE --to zk:DIR`");
    int code = cli_dir_open(&r.d, c, cli_value(c, "dir", config_str(c->config, CONFIG_MASTER_DIR)),
                            CLI_DIR_CHANGE);
    if (code)
        return code;
    code = recover_look(&r);
    if (!code)
        code = recover_plan(&r);
    bool is_alone = !code && recover_is_alone(&r);
    if (is_alone)
        code = recover_not(&r);
    else if (!code)
        code = recover_alone(&r);
    if (!code && !is_alone && !c->quiet)
        recover_warn(&r);
    if (!code && !is_alone)
        code = cli_flag(c, "yes") ? recover_write(&r) : recover_only_said(&r);
    cli_dir_close(&r.d);
    return code;
}

const struct cli_command cli_recover = {
    "journal",
    "recover",
    "",
    "after a majority of the masters was lost for good: go on with one",
    "On the survivor with the most complete log (`tarn journal verify DIR...` says which), while\n"
    "its master is stopped.  It becomes the only member; others are added as new ones.  What only\n"
    "the lost members had is lost.  Not for a group that only waits for members that can be\n"
    "started again: then nothing is lost, and they must be.  See docs/recovery.md.",
    cli_recover_run,
    0,
    0,
    {{"dir", 0, "DIR", "the survivor's directory (default: master.dir)"},
     {"members", 0, "LIST",
      "ID@HOST:PORT[=PRIORITY],...: the new group, this member and such as begin empty (default: "
      "this member alone, where it was)"},
     {"yes", 'y', NULL, "do it"},
     {"force", 0, NULL,
      "even if somebody answers where a lost member was, or cannot be asked, or nobody "
      "else votes"}},
    .touches = CLI_TOUCHES_OWN};
