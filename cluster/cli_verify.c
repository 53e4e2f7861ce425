/* cluster/cli_verify.c - `tarn journal verify`: what a start would read of a stopped master's
 * directory, and whether members of a group tell the same story.
 *
 * verify is the journal's own start with nothing written, so it knows and says just what a start
 * would.  Of several directories it also compares
 *
 *   entries  the same index and term: the same bytes, and the same term at every index before
 *   images   of the same index: the same bytes
 *
 * and says which member has the most complete log: the one with the highest last term, and of
 * those the longest.  Entries that only some have behind the last common one are what an election
 * decides about, and no damage.  The directories are read one after the other, and each is locked
 * meanwhile. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_backup.h"
#include "cluster/cli_commands.h"
#include "cluster/cli_dir.h"
#include "cluster/cli_migrate.h"
#include "core/crc.h"
#include "core/fmt.h"
#include "journal/era.h"
#include "journal/raft_log.h"

enum { VERIFY_MAX = JOURNAL_MEMBERS_MAX, VERIFY_IMAGES = 8 };

struct verify_entry {
    uint64_t term;
    uint32_t crc, type;
};

struct verify {
    struct cli_dir d;
    struct cli_dir_journal j;
    const char *dir;
    struct log_meta meta;
    bool ok, readable, damaged;
    char complaint[CLI_DIR_LINE];
    int why;
    /* of a member: entries base+1 .. base+n */
    uint64_t base, n, cap;
    struct verify_entry *entry;
    uint64_t image[VERIFY_IMAGES];
    uint32_t n_images;
};

static void verify_entry(struct journal_host *h, uint64_t index, uint64_t term, uint8_t type,
                         const void *bytes, uint32_t len)
{
    struct verify *v =
        container_of(container_of(h, struct cli_dir_journal, host), struct verify, j);
    if (type == RAFT_LOG_RESET || (v->n == 0 && v->base == 0) || index <= v->base) {
        v->base = type == RAFT_LOG_RESET ? index : index - 1;
        v->n = 0;
        if (type == RAFT_LOG_RESET)
            return;
    }
    if (index - v->base - 1 > v->n)
        return; /* the journal complains */
    v->n = index - v->base;
    if (v->n > v->cap) {
        v->cap = 2 * v->n + 1024;
        v->entry = realloc(v->entry, v->cap * sizeof *v->entry);
        ASSERT(v->entry);
    }
    v->entry[v->n - 1] = (struct verify_entry){term, crc_update(0, bytes, len), type};
}

static void verify_images(struct verify *v)
{
    DIR *d = opendir(v->dir);
    uint64_t index;
    for (struct dirent *e; d && (e = readdir(d)) && v->n_images < VERIFY_IMAGES;)
        if (log_format_name_parse(e->d_name, "image-", &index))
            v->image[v->n_images++] = index;
    if (d)
        closedir(d);
}

/* one directory; CLI_OK when it could be looked at, whatever was found */
static int verify_look(struct verify *v, const struct cli *c, const char *dir, bool compare)
{
    struct journal_config jc = journal_config_default();
    int code = cli_dir_open(&v->d, c, dir, CLI_DIR_LOOK);
    v->dir = dir;
    if (code)
        return code;
    jc.check_only = true;
    if (compare)
        jc.raft.entry = verify_entry;
    int err = cli_dir_journal(&v->d, &v->j, &jc);
    v->meta = v->d.meta;
    v->why = v->j.why;
    v->readable = v->j.role == JOURNAL_STANDBY;
    v->ok = v->readable && !v->d.complaints;
    v->damaged = v->readable || err_class(v->why) == ERR_CLASS_DATA || v->why == E_IO;
    snprintf(v->complaint, sizeof v->complaint, "%s",
             *v->d.complaint ? v->d.complaint : err_text(v->why));
    if (!err && !v->readable && !v->d.complaints)
        cli_error(c, 0, "%s", err_text(v->why));
    cli_dir_close(&v->d);
    if (compare)
        verify_images(v);
    return err ? cli_error(c, CLI_FAILED, "%s: the disk did not answer", dir) : CLI_OK;
}

static cJSON *verify_json(const struct verify *v)
{
    const struct journal_status *st = &v->j.status;
    cJSON *j = cJSON_CreateObject();
    char id[40], addr[ENV_ADDR_MAX + 32];
    cJSON_AddBoolToObject(j, "ok", v->ok);
    cJSON_AddBoolToObject(j, "starts", v->readable);
    cli_json_u64(j, "first_index", st->first_index);
    cli_json_u64(j, "last_index", st->last_index);
    cli_json_u64(j, "image_index", st->image_index);
    cli_json_u64(j, "epoch", st->epoch);
    cli_json_u64(j, "log_bytes", st->wal_bytes);
    snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)v->meta.cluster_hi,
             (unsigned long long)v->meta.cluster_lo);
    cJSON_AddStringToObject(j, "dir", v->dir);
    cJSON_AddStringToObject(j, "cluster", id);
    if (v->meta.member) {
        cJSON_AddNumberToObject(j, "member", v->meta.member);
        cli_json_u64(j, "term", v->meta.epoch);
        cli_json_u64(j, "last_term", st->last_term);
        cli_json_u64(j, "vote", v->meta.vote);
        cli_dir_era_json(j, v->meta.era);
        cJSON *m = cJSON_AddArrayToObject(j, "members");
        for (uint32_t i = 0; i < st->n; i++) {
            const struct journal_member *o = &st->member[i];
            cli_dir_member(addr, sizeof addr, o->id, o->addr, o->priority);
            cJSON_AddItemToArray(m, cJSON_CreateString(addr));
        }
    }
    if (!v->ok)
        cJSON_AddStringToObject(j, "error", v->complaint);
    return j;
}

static void verify_print(const struct verify *v, const struct cli *c)
{
    const struct journal_status *st = &v->j.status;
    char size[16], era[CLI_DIR_ERA], members[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)] = "";
    size_t n = 0;
    if (!v->readable)
        return;
    for (uint32_t i = 0; i < st->n; i++) {
        n += fmt_into(members + n, sizeof members - n, "%s", i ? "," : "");
        n += cli_dir_member(members + n, sizeof members - n, st->member[i].id, st->member[i].addr,
                            st->member[i].priority);
        if (!st->member[i].votes)
            n += fmt_into(members + n, sizeof members - n, "(learner)");
    }
    if (!v->ok)
        cli_error(c, 0, "a master starts from here, with every record: %llu to %llu",
                  (unsigned long long)st->image_index + 1, (unsigned long long)st->last_index);
    else if (v->meta.member)
        printf("ok: member %u, last entry %llu of term %llu, image at %llu, log from %llu (%s), "
               "term %llu, era %s, members %s: %s\n",
               v->meta.member, (unsigned long long)st->last_index,
               (unsigned long long)st->last_term, (unsigned long long)st->image_index,
               (unsigned long long)st->first_index, cli_bytes(size, st->wal_bytes),
               (unsigned long long)v->meta.epoch, cli_dir_era(era, v->meta.era), members, v->dir);
    else
        printf("ok: records %llu to %llu in %llu segments (%s), image at %llu, epoch %llu\n",
               (unsigned long long)st->first_index, (unsigned long long)st->last_index,
               (unsigned long long)st->wal_segments, cli_bytes(size, st->wal_bytes),
               (unsigned long long)st->image_index, (unsigned long long)st->epoch);
}

/* --- several --- */

struct verify_all {
    const struct cli *cli;
    struct verify *v;
    int n;
    uint32_t bad;
    cJSON *differences;
};

static void verify_differ(struct verify_all *a, const char *format, ...) PRINTF_LIKE(2, 3);
static void verify_differ(struct verify_all *a, const char *format, ...)
{
    char text[CLI_DIR_LINE];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    a->bad++;
    cJSON_AddItemToArray(a->differences, cJSON_CreateString(text));
    if (!a->cli->json)
        cli_error(a->cli, 0, "%s", text);
}

static const struct verify_entry *verify_at(const struct verify *v, uint64_t index)
{
    return &v->entry[index - v->base - 1];
}

static void verify_pair(struct verify_all *a, const struct verify *x, const struct verify *y)
{
    uint64_t from = base_max_u64(x->base, y->base) + 1;
    uint64_t last = base_min_u64(x->base + x->n, y->base + y->n), k = last;
    uint64_t done = base_min_u64(x->j.status.image_index, y->j.status.image_index);
    while (k >= from && verify_at(x, k)->term != verify_at(y, k)->term)
        k--;
    for (uint64_t i = from; i <= k; i++) {
        const struct verify_entry *p = verify_at(x, i), *q = verify_at(y, i);
        if (p->term == q->term && p->crc == q->crc && p->type == q->type)
            continue;
        verify_differ(a,
                      "members %u and %u differ at index %llu (%s): one of the two logs is wrong; "
                      "replace the member that the others do not agree with",
                      x->meta.member, y->meta.member, (unsigned long long)i,
                      p->term == q->term ? "same term, other bytes"
                                         : "other terms before an entry they share");
        return;
    }
    if (k < last && k < done)
        verify_differ(a,
                      "members %u and %u differ from index %llu on, though both have images up to "
                      "%llu: their states differ",
                      x->meta.member, y->meta.member, (unsigned long long)k + 1,
                      (unsigned long long)done);
    else if (k < last && !a->cli->json)
        printf("note: members %u and %u have different entries from %llu on: an election decides "
               "which count\n",
               x->meta.member, y->meta.member, (unsigned long long)k + 1);
}

static FILE *verify_image_open(const struct verify *v, uint64_t index)
{
    char leaf[LOG_NAME_MAX], path[PATH_MAX];
    log_format_name(leaf, "image-", index);
    snprintf(path, sizeof path, "%s/%s", v->dir, leaf);
    return fopen(path, "rb");
}

static void verify_image(struct verify_all *a, const struct verify *x, const struct verify *y,
                         uint64_t index)
{
    static char p[1 << 16], q[1 << 16];
    FILE *f = verify_image_open(x, index), *g = verify_image_open(y, index);
    size_t n = 1, m = 1;
    bool same = f && g;
    while (same && n) {
        n = fread(p, 1, sizeof p, f);
        m = fread(q, 1, sizeof q, g);
        same = n == m && !memcmp(p, q, n);
    }
    if (f)
        fclose(f);
    if (g)
        fclose(g);
    if (!same)
        verify_differ(a,
                      "the images of entry %llu of members %u and %u differ: their states do, or "
                      "a disk lies",
                      (unsigned long long)index, x->meta.member, y->meta.member);
}

static void verify_compare(struct verify_all *a, const struct verify *x, const struct verify *y)
{
    char one[CLI_DIR_ERA], two[CLI_DIR_ERA];
    if (x->meta.cluster_hi != y->meta.cluster_hi || x->meta.cluster_lo != y->meta.cluster_lo) {
        verify_differ(a, "%s and %s are of different clusters", x->dir, y->dir);
        return;
    }
    if (x->meta.member == y->meta.member) {
        verify_differ(a, "%s and %s are both member %u's", x->dir, y->dir, x->meta.member);
        return;
    }
    if (x->meta.era != y->meta.era) {
        verify_differ(a,
                      "members %u and %u are not of one group any more: one was recovered or "
                      "restored without the other (eras %s and %s)",
                      x->meta.member, y->meta.member, cli_dir_era(one, x->meta.era),
                      cli_dir_era(two, y->meta.era));
        return;
    }
    verify_pair(a, x, y);
    for (uint32_t i = 0; i < x->n_images; i++)
        for (uint32_t k = 0; k < y->n_images; k++)
            if (x->image[i] == y->image[k])
                verify_image(a, x, y, x->image[i]);
}

/* a log is more complete as Raft's elections see it; an era counts before that */
static bool verify_is_better(const struct verify *x, const struct verify *y)
{
    const struct journal_status *p = &x->j.status, *q = &y->j.status;
    if (era_number(x->meta.era) != era_number(y->meta.era))
        return era_is_over(y->meta.era, x->meta.era);
    return p->last_term != q->last_term ? p->last_term > q->last_term
                                        : p->last_index > q->last_index;
}

static int verify_several(struct verify_all *a)
{
    const struct cli *c = a->cli;
    const struct verify *best = NULL;
    bool ok = true, damaged = false;
    for (int i = 0; i < a->n; i++) {
        struct verify *v = &a->v[i];
        ok &= v->ok;
        damaged |= !v->ok && v->damaged;
        if (v->readable && !v->meta.member)
            verify_differ(a, "%s is a single master's: only members of a group are compared",
                          v->dir);
        if (!v->readable || !v->meta.member)
            continue;
        if (!best || verify_is_better(v, best))
            best = v;
        for (int k = 0; k < i; k++)
            if (a->v[k].readable && a->v[k].meta.member)
                verify_compare(a, &a->v[k], v);
    }
    if (c->json) {
        cJSON *j = cJSON_CreateObject(), *all;
        cJSON_AddBoolToObject(j, "ok", ok && !a->bad);
        all = cJSON_AddArrayToObject(j, "directories");
        for (int i = 0; i < a->n; i++)
            cJSON_AddItemToArray(all, verify_json(&a->v[i]));
        if (best)
            cJSON_AddNumberToObject(j, "most_complete", best->meta.member);
        cJSON_AddItemToObject(j, "differences", a->differences);
        cli_print_json(j);
    } else {
        if (best)
            printf("most complete: member %u, last entry %llu of term %llu: %s\n",
                   best->meta.member, (unsigned long long)best->j.status.last_index,
                   (unsigned long long)best->j.status.last_term, best->dir);
        cJSON_Delete(a->differences);
    }
    return ok && !a->bad ? CLI_OK : damaged || a->bad ? CLI_DATA : CLI_FAILED;
}

/* local:DIR, raft:DIR and backup:FILE, as `migrate` has them: what lies there says what it is */
static const char *verify_bare(const char *arg)
{
    static const char *const types[] = {"local:", "raft:", "backup:"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (!strncmp(arg, types[i], strlen(types[i])) && arg[strlen(types[i])] && access(arg, F_OK))
            return arg + strlen(types[i]);
    return arg;
}

static int cli_verify_run(struct cli *c)
{
    static struct verify v[VERIFY_MAX];
    static char member[VERIFY_MAX][CLI_DIR_PATH];
    struct verify_all a = {.cli = c, .v = v, .n = c->n_args ? c->n_args : 1};
    const char *base = config_str(c->config, CONFIG_MASTER_DIR), *arg[VERIFY_MAX] = {NULL};
    int code = CLI_OK;
    unsigned members = 0;
    struct stat st;
    if (c->n_args < 2 && cli_dir_is_zk(c, c->n_args ? c->args[0] : NULL))
        return cli_verify_zk(c, c->n_args ? c->args[0] : "");
    for (int i = 0; i < c->n_args; i++)
        arg[i] = verify_bare(c->args[i]);
    if (!c->n_args && *base && stat(base, &st))
        members = cli_dir_members(base, member, VERIFY_MAX);
    if (c->n_args == 1 && !strncmp(c->args[0], "raft:", 5) && stat(arg[0], &st))
        members = cli_dir_members(arg[0], member, VERIFY_MAX);
    a.n = members ? (int)members : a.n;
    if (c->n_args == 1 && !stat(arg[0], &st) && S_ISREG(st.st_mode))
        return cli_backup_show(c, arg[0], 0);
    for (int i = 0; i < a.n && !code; i++) {
        code = verify_look(&v[i], c, members ? member[i] : c->n_args ? arg[i] : base, a.n > 1);
        if (!code && !c->json)
            verify_print(&v[i], c);
    }
    if (!code && a.n == 1) {
        if (c->json)
            cli_print_json(verify_json(v));
        code = v->ok ? CLI_OK : v->damaged ? CLI_DATA : CLI_FAILED;
    } else if (!code) {
        a.differences = cJSON_CreateArray();
        code = verify_several(&a);
    }
    for (int i = 0; i < a.n; i++)
        free(v[i].entry);
    return code;
}

const struct cli_command cli_verify = {
    "journal",
    "verify",
    "[DIR... | FILE]",
    "check stopped masters' logs and images, and compare members",
    "DIR is a master's directory (default: master.dir; after `tarn up --masters` all of them), or\n"
    "the shared directory of a ZooKeeper journal, DIR or zk:DIR (with journal.type zk the "
    "default).\n"
    "local:DIR, raft:DIR and backup:FILE, as of `tarn journal migrate`, are the same as without.\n"
    "Reads what a start would read and all images, and changes nothing.  Exit status 5 names the\n"
    "file, the offset and what to do.\n"
    "Of several members of a group: do their logs and images agree, and whose is most complete?\n"
    "A file is a backup (`tarn journal backup`), and is checked to its last byte.",
    cli_verify_run,
    0,
    VERIFY_MAX,
    {{0}},
    .touches = CLI_TOUCHES_OWN};
