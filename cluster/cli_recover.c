/* cluster/cli_recover.c - `tarn journal recover`: a group that has lost its majority for good goes
 * on with one survivor.  What that means, and what keeps it from doing harm: raft_offline.c.
 *
 * A wrong use is made hard: the directory must be intact; whoever of the old group still answers
 * stops the command (--force); it says what it would do, and does it with --yes only. */
#include <stdlib.h>
#include "cluster/cli_commands.h"
#include "cluster/cli_dir.h"
#include "cluster/config_members.h"
#include "core/fmt.h"

static const int64_t recover_ask_ns = 1500000000LL;

struct recover_ask {
    struct env_peer peer;
    struct env_op op;
    bool done, answers;
};

struct recover {
    struct cli *cli;
    struct cli_dir d;
    struct cli_dir_journal j;
    struct journal_status before;
    char members[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)];
    uint32_t n; /* of the new group */
};

static void recover_frame(struct env_peer *p, uint16_t type, const void *b, uint32_t n)
{
    (void)p, (void)type, (void)b, (void)n;
}

static void recover_closed(struct env_peer *p, int why)
{
    (void)p, (void)why;
}

static void recover_asked(struct env_op *op)
{
    struct recover_ask *a = container_of(op, struct recover_ask, op);
    a->answers = op->ret == 0;
    a->done = true;
}

/* does a process answer there? */
static bool recover_answers(struct recover *r, const char *addr)
{
    static struct recover_ask a[JOURNAL_MEMBERS_MAX]; /* they outlive a late answer */
    static uint32_t n;
    struct recover_ask *k = &a[n++ % JOURNAL_MEMBERS_MAX];
    *k = (struct recover_ask){.peer = {.on_frame = recover_frame, .on_close = recover_closed},
                              .op = {.done = recover_asked}};
    env_connect(net_env(r->d.net), addr, recover_ask_ns, &k->peer, &k->op);
    if (cli_dir_wait(&r->d, &k->done) || !k->answers)
        return false;
    env_hangup(k->peer.conn);
    return true;
}

static int recover_alone(struct recover *r)
{
    struct cli *c = r->cli;
    const struct journal_status *st = &r->before;
    uint32_t up = 0, voters = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        const struct journal_member *m = &st->member[i];
        voters += m->votes;
        if (m->id == r->d.meta.member || !recover_answers(r, m->addr))
            continue;
        up++;
        cli_error(c, 0, "member %u answers at %s", m->id, m->addr);
    }
    if (!up || cli_flag(c, "force"))
        return CLI_OK;
    if (up > voters / 2)
        return cli_error(c, CLI_FAILED,
                         "that is a majority of %u: the group can go on by itself, and nothing is "
                         "lost.  Start this member again, or replace it (`tarn journal replace`)",
                         voters);
    return cli_error(c, CLI_FAILED,
                     "stop it, and compare the logs first: `tarn journal verify DIR DIR` says "
                     "which is the most complete, and that one is to be recovered (--force: it is "
                     "no member, or I know better)");
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

/* what would be done */
static void recover_warn(const struct recover *r)
{
    const struct journal_status *st = &r->before;
    fprintf(stderr,
            "%s is member %u's.  Its log ends with entry %llu of term %llu; its group was:\n",
            r->d.dir, r->d.meta.member, (unsigned long long)st->last_index,
            (unsigned long long)st->last_term);
    for (uint32_t i = 0; i < st->n; i++)
        fprintf(stderr, "  %u@%s%s\n", st->member[i].id, st->member[i].addr,
                st->member[i].votes ? "" : " (learner)");
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
                "Members other than %u must begin with empty directories, by --join; until "
                "a majority of them runs, nobody leads.\n",
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

static int recover_write(struct recover *r)
{
    struct cli *c = r->cli;
    struct journal_config jc = journal_config_default();
    jc.segment_bytes = (uint64_t)config_int(c->config, CONFIG_JOURNAL_SEGMENT);
    jc.raft.recover = r->members;
    int err = cli_dir_journal(&r->d, &r->j, &jc);
    if (err || r->j.role != JOURNAL_STANDBY)
        return cli_error(c, CLI_FAILED, "%s: %s: give the same command again", r->d.dir,
                         err_text(err ? err : r->j.why));
    const struct journal_status *st = &r->j.status;
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "dir", r->d.dir);
        cJSON_AddNumberToObject(j, "member", r->d.meta.member);
        cJSON_AddStringToObject(j, "members", r->members);
        cli_json_u64(j, "last_index", r->before.last_index);
        cli_json_u64(j, "last_term", r->before.last_term);
        cli_json_u64(j, "term", st->epoch);
        cli_json_u64(j, "era", st->era >> 32);
        cli_print_json(j);
    } else {
        printf("%s: the group is %s now (era %llu, term %llu), with every entry up to %llu.  Start "
               "its master; `tarn journal add` brings others in.\n",
               r->d.dir, r->members, (unsigned long long)(st->era >> 32),
               (unsigned long long)st->epoch, (unsigned long long)r->before.last_index);
    }
    return CLI_OK;
}

static int cli_recover_run(struct cli *c)
{
    static struct recover r;
    memset(&r, 0, sizeof r);
    r.cli = c;
    int code = cli_dir_open(&r.d, c, cli_value(c, "dir", config_str(c->config, CONFIG_MASTER_DIR)));
    if (code)
        return code;
    code = recover_look(&r);
    if (!code)
        code = recover_plan(&r);
    if (!code)
        code = recover_alone(&r);
    if (!code && !c->quiet)
        recover_warn(&r);
    if (!code && !cli_flag(c, "yes"))
        code = cli_error(c, CLI_FAILED, "nothing was changed: say --yes to do it");
    if (!code)
        code = recover_write(&r);
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
     {"force", 0, NULL, "even if somebody answers where a lost member was"}}};
