/* cluster/cli_restore.c - `tarn journal restore`: an empty directory becomes a member whose state
 * is a backup's.
 *
 * INVARIANTS
 *  1. Members that are restored from the same file with the same list and the same era begin with
 *     the same bytes.  The first one's restore makes the era and prints it, the others are given it
 *     (--era), and refuse one that was made for another file or list.  Only the disk's incarnation
 *     is made by chance.
 *  2. The era is after every one that can be known of (journal/era.c): of the backup, of members
 *     that answer, of the wall clock.  Whoever is left of the old group, or of another restore, is
 *     not listened to, and stops when it hears of this one.
 *  3. Nobody of the group runs meanwhile but members of this same era: a running group of before
 *     would be ended by the restored one, and one that cannot be asked may be such (--force).
 *  4. journal.meta comes last.  Before, the directory is nobody's, and a start refuses it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cluster/cli_backup.h"
#include "cluster/cli_commands.h"
#include "cluster/cli_dir.h"
#include "cluster/cli_group.h"
#include "cluster/cli_masters.h"
#include "cluster/cli_migrate.h"
#include "cluster/config_members.h"
#include "cluster/config_zk.h"
#include "core/fmt.h"
#include "journal/era.h"
#include "journal/log_meta.h"
#include "journal/raft_format.h"

static const int64_t restore_ask_ns = 2000000000LL;

struct restore {
    struct cli *cli;
    struct cli_backup f;
    struct cli_dir d;
    const char *dir;
    uint32_t id;
    struct raft_conf conf;
    struct backup_plan plan;
    uint64_t era; /* given; 0: none */
    struct log_meta_file meta;
    char tmp[PATH_MAX], path[PATH_MAX];
    int fd;
};

/* --members as a configuration: by ascending id, all of them voters */
static int restore_members(struct restore *r)
{
    struct cli *c = r->cli;
    struct config_member m[JOURNAL_MEMBERS_MAX];
    const char *text = cli_value(c, "members", config_str(c->config, CONFIG_JOURNAL_MEMBERS));
    char err[CONFIG_ERROR_MAX];
    uint32_t n;
    int64_t id;
    bool found = false;
    if (!cli_number(c, "id", config_int(c->config, CONFIG_JOURNAL_ID), 0, UINT32_MAX, &id))
        return CLI_USAGE;
    r->id = (uint32_t)id;
    if (config_members_parse(text, m, &n, err, sizeof err))
        return cli_error(c, CLI_USAGE, "--members: %s", err);
    if (!n || !id)
        return cli_error(c, CLI_USAGE,
                         "--members ID@HOST:PORT,... and --id N say which group this becomes a "
                         "member of (or journal.members and journal.id in the configuration)");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = r->conf.n++;
        for (; at > 0 && r->conf.member[at - 1].id.v > m[i].id; at--)
            r->conf.member[at] = r->conf.member[at - 1];
        struct raft_member *o = &r->conf.member[at];
        memset(o, 0, sizeof *o);
        *o = (struct raft_member){.id = {m[i].id}, .flags = RAFT_VOTER, .priority = m[i].priority};
        fmt_into(o->addr, sizeof o->addr, "%s", m[i].addr);
        found |= m[i].id == r->id;
    }
    return found ? CLI_OK
                 : cli_error(c, CLI_USAGE, "--id %u is not among --members %s", r->id, text);
}

static bool restore_is_ours(const struct restore *r, const struct cli_masters_one *o)
{
    char id[33], theirs[33];
    cli_group_id_text(id, r->f.b.head.cluster_hi, r->f.b.head.cluster_lo);
    return !strcmp(cli_masters_str(o, "journal.cluster", theirs, sizeof theirs), id);
}

/* Masters of the cluster that run; *ret_era: the latest that they know of. */
static int restore_ask(struct restore *r, uint64_t *ret_era)
{
    static struct cli_masters m;
    struct cli *c = r->cli;
    char theirs[CLI_DIR_ERA];
    int code = cli_masters_open_none(&m, c);
    if (code)
        return code;
    for (uint32_t i = 0; i < r->conf.n; i++)
        cli_masters_add(&m, r->conf.member[i].addr);
    for (uint32_t i = 0; i < r->f.b.conf.n; i++)
        cli_masters_add(&m, r->f.b.conf.member[i].addr);
    cli_masters_ask(&m, restore_ask_ns);
    for (unsigned i = 0; i < m.n && !code; i++) {
        const struct cli_masters_one *o = &m.one[i];
        enum cli_masters_said said = cli_masters_said(o);
        uint64_t era = cli_masters_u64(o, "journal.era");
        bool is_ours = said == CLI_MASTERS_ANSWERS && restore_is_ours(r, o);
        *ret_era = base_max_u64(*ret_era, is_ours ? era : 0);
        if (cli_flag(c, "force") || (is_ours && r->era && era == r->era))
            continue;
        if (is_ours)
            code = cli_error(c, CLI_FAILED,
                             "the master at %s runs, in this cluster, era %s; the restored group "
                             "would end its group.  Stop all masters first; or, if it was restored "
                             "from this same file: --era (--force: restore all the same)",
                             o->addr, cli_dir_era(theirs, era));
        else if (said == CLI_MASTERS_BARRED)
            code = cli_error(c, CLI_FAILED,
                             "%s cannot be asked (%s), so it may run, and the restored group would "
                             "end its group.  Use the cluster's configuration (-c FILE, "
                             "cluster.secret_file); --force: I know that it is off",
                             o->addr,
                             o->err == E_UNAVAILABLE
                                 ? "its name is not known here, or no route leads there"
                                 : err_text(o->err));
    }
    cli_masters_close(&m);
    return code;
}

/* the new group's era: as --era says, or one of its own */
static int restore_era(struct restore *r)
{
    struct cli *c = r->cli;
    const char *given = cli_value(c, "era", NULL);
    bool is_new = cli_flag(c, "new-cluster");
    uint64_t known = 0;
    uint16_t chance;
    struct timespec now;
    if (given && !cli_dir_era_parse(given, &r->era))
        return cli_error(c, CLI_USAGE, "--era: \"%s\" is not 16 hex digits", given);
    if (given && !backup_restore_fits(&r->f.b, &r->conf, r->era))
        return cli_error(c, CLI_FAILED,
                         "--era %s was made for another FILE or other --members: every member is "
                         "restored from the same ones.  Nothing was changed",
                         given);
    int code = is_new ? CLI_OK : restore_ask(r, &known);
    if (code)
        return code;
    if (given && era_is_over(r->era, known))
        return cli_error(c, CLI_FAILED,
                         "--era %s: the cluster was recovered or restored since: begin anew, "
                         "without --era.  Nothing was changed",
                         given);
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        return cli_error(c, CLI_FAILED, "no random numbers: %s", strerror(errno));
    clock_gettime(CLOCK_REALTIME, &now);
    if (!given)
        r->era = backup_restore_era(&r->f.b, &r->conf, known,
                                    now.tv_sec * 1000000000LL + now.tv_nsec, chance);
    r->plan = backup_restore_plan(&r->f.b, &r->conf, r->era, is_new);
    return CLI_OK;
}

/* an empty directory, made if there is none */
static int restore_dir(struct restore *r)
{
    struct cli *c = r->cli;
    r->dir = cli_value(c, "dir", config_str(c->config, CONFIG_MASTER_DIR));
    if (!*r->dir)
        return cli_error(c, CLI_USAGE, "--dir DIR, or set master.dir");
    if (mkdir(r->dir, 0700) && errno != EEXIST)
        return cli_error(c, CLI_FAILED, "%s: %s", r->dir, strerror(errno));
    DIR *d = opendir(r->dir);
    if (!d)
        return cli_error(c, CLI_FAILED, "%s: %s", r->dir, strerror(errno));
    bool empty = true;
    for (struct dirent *e; (e = readdir(d));)
        empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(d);
    return empty ? CLI_OK
                 : cli_error(c, CLI_FAILED,
                             "%s is not empty.  Nothing was changed.  Move away what is there (it "
                             "may be the only copy of something), or name another directory",
                             r->dir);
}

static int restore_flush(struct restore *r, struct backup_out *o)
{
    const uint8_t *p = o->buf;
    while (o->len) {
        ssize_t n = write(r->fd, p, o->len);
        if (n <= 0)
            return cli_error(r->cli, CLI_FAILED, "%s: %s", r->tmp, strerror(errno));
        p += n;
        o->len -= (uint32_t)n;
    }
    return CLI_OK;
}

/* the image with the new group in its first piece */
static int restore_copy(struct restore *r, struct backup_out *o)
{
    const struct backup_head *h = &r->f.b.head;
    struct backup_walk w;
    uint8_t piece[RAFT_FORMAT_IMAGE_MAX];
    const uint8_t *bytes;
    uint32_t len;
    struct wbuf first = wbuf_make(piece, sizeof piece);
    int code, ret = backup_walk_begin(&w, r->f.p + LOG_BLOCK, r->f.n - LOG_BLOCK);
    ASSERT(!ret); /* it was checked */
    struct log_image head = w.head;
    head.cluster_hi = r->plan.cluster_hi;
    head.cluster_lo = r->plan.cluster_lo;
    raft_format_image_put(&first, h->index, h->term, &r->conf);
    ASSERT(!first.bad);
    backup_out_begin(o, &head);
    code = restore_flush(r, o);
    backup_out_piece(o, piece, (uint32_t)first.len);
    while (!code && (ret = backup_walk_next(&w, &bytes, &len)) == 1) {
        if (r->f.has_conf && w.number == 1)
            continue; /* the old group */
        code = restore_flush(r, o);
        if (!code)
            backup_out_piece(o, bytes, len);
    }
    if (!code && ret)
        return cli_error(r->cli, CLI_DATA, "%s: %s", r->cli->args[0], err_text(ret));
    if (!code)
        code = restore_flush(r, o);
    if (!code)
        backup_out_end(o);
    return code ? code : restore_flush(r, o);
}

static int restore_image(struct restore *r)
{
    struct backup_out o = {.buf = malloc(LOG_PIECE_MAX + LOG_BLOCK)};
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "image-", r->f.b.head.index);
    snprintf(r->tmp, sizeof r->tmp, "%s/image.tmp", r->dir);
    snprintf(r->path, sizeof r->path, "%s/%s", r->dir, leaf);
    r->fd = open(r->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int code = r->fd < 0 || !o.buf
                   ? cli_error(r->cli, CLI_FAILED, "%s: %s", r->tmp, strerror(errno))
                   : restore_copy(r, &o);
    if (!code && (fsync(r->fd) || rename(r->tmp, r->path)))
        code = cli_error(r->cli, CLI_FAILED, "%s: %s", r->path, strerror(errno));
    if (r->fd >= 0)
        close(r->fd);
    free(o.buf);
    return code;
}

/* durable, with the names of both files */
static int restore_meta(struct restore *r)
{
    struct log_meta *m = &r->meta.meta;
    uint64_t disk;
    if (getrandom(&disk, sizeof disk, 0) != sizeof disk)
        return cli_error(r->cli, CLI_FAILED, "no random numbers: %s", strerror(errno));
    bool ok = log_meta_init(&r->meta, net_env(r->d.net), &r->d.mem, "");
    ASSERT(ok);
    *m = (struct log_meta){.cluster_hi = r->plan.cluster_hi,
                           .cluster_lo = r->plan.cluster_lo,
                           .epoch = r->f.b.head.term,
                           .disk = disk | 1,
                           .member = r->id,
                           .era = r->plan.era};
    r->meta.is_new = true;
    r->d.done = false;
    log_meta_save(&r->meta, &r->d.op);
    int err = cli_dir_wait(&r->d, &r->d.done);
    if (err)
        return cli_error(r->cli, CLI_FAILED, "%s: the disk did not answer", r->dir);
    err = (int)r->d.op.ret;
    log_meta_drop(&r->meta);
    int fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        err = err ? err : E_IO;
    if (fd >= 0)
        close(fd);
    return err ? cli_error(r->cli, CLI_FAILED, "%s/journal.meta: %s", r->dir, err_text(err))
               : CLI_OK;
}

static void restore_say(const struct restore *r)
{
    const struct backup_head *h = &r->f.b.head;
    struct cli *c = r->cli;
    char id[40], time[32], era[CLI_DIR_ERA],
        members[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)] = "";
    size_t n = 0;
    snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)r->plan.cluster_hi,
             (unsigned long long)r->plan.cluster_lo);
    for (uint32_t i = 0; i < r->conf.n; i++) {
        n += fmt_into(members + n, sizeof members - n, "%s", i ? "," : "");
        n += cli_dir_member(members + n, sizeof members - n, r->conf.member[i].id.v,
                            r->conf.member[i].addr, r->conf.member[i].priority);
    }
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "dir", r->dir);
        cJSON_AddNumberToObject(j, "id", r->id);
        cJSON_AddStringToObject(j, "cluster", id);
        cJSON_AddStringToObject(j, "members", members);
        cli_json_u64(j, "index", h->index);
        cli_json_u64(j, "term", h->term);
        cli_dir_era_json(j, r->plan.era);
        cJSON_AddStringToObject(j, "time", cli_backup_time(time, h->time_ns));
        cli_print_json(j);
        return;
    }
    printf("%s: member %u of cluster %s, era %s, as of %s (entry %llu of term %llu), members %s\n",
           r->dir, r->id, id, cli_dir_era(era, r->plan.era), cli_backup_time(time, h->time_ns),
           (unsigned long long)h->index, (unsigned long long)h->term, members);
    if (!c->quiet && !cli_flag(c, "era"))
        fprintf(stderr,
                "What was done after that is lost.  Restore every other member from this same file "
                "with these same members and: --era %016llx\n",
                (unsigned long long)r->plan.era);
}

static int cli_restore_run(struct cli *c)
{
    static struct restore r;
    static char from[PATH_MAX + 8];
    memset(&r, 0, sizeof r);
    r.cli = c;
    if (cli_flag(c, "to")) {
        if (cli_flag(c, "new-cluster") || cli_flag(c, "dir"))
            return cli_error(c, CLI_USAGE,
                             "--to names the destination, and keeps the cluster: "
                             "--dir and --new-cluster go without it");
        snprintf(from, sizeof from, "backup:%s", c->args[0]);
        return cli_migrate_do(c, from);
    }
    if (config_zk_is(c->config))
        return cli_error(
            c, CLI_USAGE,
            "journal.type is zk: --to zk:DIR says which directory, which must be empty, "
            "becomes the shared one (journal.zk.shared_dir is %s)",
            config_str(c->config, CONFIG_JOURNAL_ZK_SHARED_DIR));
    int code = restore_members(&r);
    if (!code)
        code = cli_backup_open(&r.f, c, c->args[0]);
    if (code)
        return code;
    code = restore_dir(&r);
    if (!code)
        code = restore_era(&r);
    if (!code)
        code = cli_dir_open(&r.d, c, r.dir, CLI_DIR_CHANGE);
    if (!code) {
        code = restore_image(&r);
        if (!code)
            code = restore_meta(&r);
        cli_dir_close(&r.d);
        if (code && *r.tmp) { /* it was empty */
            unlink(r.tmp);
            unlink(r.path);
        }
    }
    if (!code)
        restore_say(&r);
    cli_backup_close(&r.f);
    return code;
}

const struct cli_command cli_restore = {
    "journal",
    "restore",
    "FILE",
    "make an empty directory into a member that begins with a backup",
    "FILE was written by `tarn journal backup`.  Once for each member of the new group, from the\n"
    "same FILE with the same --members; the first one's prints the era that the others are given\n"
    "by --era: they begin equal, and find each other.  What was done after the backup is lost.\n"
    "Members of the old group are not listened to any more, and stop.\n"
    "--new-cluster: with another cluster id, which follows from FILE, --members and the era; so a\n"
    "copy can run beside the cluster that the backup is of.  See docs/recovery.md.",
    cli_restore_run,
    1,
    1,
    {{"to", 0, "JOURNAL",
      "a journal of another type, or all members at once: local:DIR, zk:DIR, raft:DIR, as in `tarn "
      "journal migrate`"},
     {"dir", 0, "DIR", "the member's directory, empty or missing (default: master.dir)"},
     {"members", 0, "LIST", "ID@HOST:PORT[=PRIORITY],... (default: journal.members)"},
     {"id", 0, "N", "this member's (default: journal.id)"},
     {"era", 0, "ERA", "as the first member's restore printed it; for all but the first"},
     {"new-cluster", 0, NULL, "a cluster of its own"},
     {"force", 0, NULL, "even if a master of the cluster runs, or cannot be asked"}},
    .touches = CLI_TOUCHES_OWN};
