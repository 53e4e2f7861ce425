/* cluster/cli_migrate_read.c - a stopped journal, read to its end: the newest good image, and every
 * record after it applied to a state as a master would.  Nothing is written.
 *
 * Of a group every directory that is named is checked, and the most complete log counts, as in an
 * election: the latest era, there the highest last term, there the longest.  With a majority of the
 * members that vote, whatever was acknowledged is in it.  What is in it beyond that may have been
 * acknowledged or not, and is taken over, as a new leader would.
 *
 * A group's log is never cut: an entry voids what stood at its index and above before.  So it is
 * read twice; the first time tells which entries count in the end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cluster/cli_backup.h"
#include "cluster/cli_migrate.h"
#include "core/fmt.h"
#include "journal/era.h"
#include "journal/raft_log.h"

static const uint64_t migrate_state_max = (uint64_t)1 << 40; /* the machine has less */

static struct cli_migrate_state *migrate_of(struct journal_host *h)
{
    return container_of(container_of(h, struct cli_dir_journal, host), struct cli_migrate_state, j);
}

/* --- the state --- */

int cli_migrate_state_begin(struct cli_migrate_state *s, struct cli *c,
                            const struct cli_migrate_place *p)
{
    const struct config *g = p->config ? p->config : c->config;
    memset(s, 0, sizeof *s);
    s->cli = c;
    s->limits =
        (struct meta_limits){.inodes_max = (uint64_t)config_int(g, CONFIG_MASTER_INODES_MAX),
                             .sessions_max = master_config_default().limits.sessions_max};
    mem_init(&s->mem, net_mem_source(), migrate_state_max);
    int err = meta_open(&s->mem, &s->limits, &s->meta);
    return err ? cli_error(c, CLI_FAILED, "%s", err_text(err)) : CLI_OK;
}

void cli_migrate_state_end(struct cli_migrate_state *s)
{
    if (s->meta)
        meta_close(s->meta);
    if (s->cli)
        mem_drop(&s->mem);
    cli_spans_free(&s->spans);
    memset(s, 0, sizeof *s);
}

bool cli_migrate_apply(struct cli_migrate_state *s, uint64_t index, const void *rec, uint32_t len)
{
    static struct meta_result res;
    struct rbuf r = rbuf_make(rec, len);
    struct fsop op;
    if (index <= meta_applied(s->meta)) {
        s->is_bad = true;
        return false;
    }
    if (fsop_get(&r, &op) != 0)
        memset(&op, 0, sizeof op); /* as every master does */
    meta_apply(s->meta, index, &op, &res);
    s->replayed++;
    return true;
}

void cli_migrate_raise(struct cli_migrate_state *s, uint64_t era)
{
    static struct meta_result res;
    struct meta_limits have = meta_limits(s->meta);
    struct fsop op = {.kind = FSOP_LIMITS,
                      .size = have.inodes_max,
                      .arg = have.sessions_max,
                      .mtime_ns = (int64_t)have.bytes_max,
                      .atime_ns = (int64_t)era};
    meta_apply(s->meta, ++s->index, &op, &res);
    s->era = era;
}

static void migrate_on_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    cli_migrate_apply(migrate_of(h), index, rec, len);
}

static int migrate_on_image(struct journal_host *h, const void *piece, uint32_t len)
{
    struct cli_migrate_state *s = migrate_of(h);
    int err = meta_image_load(s->meta, piece, len);
    s->is_loaded = !err && !len;
    return err;
}

static void migrate_on_image_reset(struct journal_host *h)
{
    struct cli_migrate_state *s = migrate_of(h);
    meta_close(s->meta);
    int err = meta_open(&s->mem, &s->limits, &s->meta);
    ASSERT(err == 0); /* what was just given back is enough */
    s->is_loaded = false;
}

struct journal_host *cli_migrate_host(struct cli_migrate_state *s)
{
    s->j.host = (struct journal_host){.apply = migrate_on_apply,
                                      .image_load = migrate_on_image,
                                      .image_reset = migrate_on_image_reset};
    return &s->j.host;
}

/* --- a group's entries --- */

static void migrate_on_found(struct journal_host *h, uint64_t index, uint64_t term, uint8_t type,
                             const void *bytes, uint32_t len)
{
    struct cli_migrate_state *s = migrate_of(h);
    (void)term, (void)bytes, (void)len;
    cli_spans_add(&s->spans, index, ++s->place, type);
}

static void migrate_on_entry(struct journal_host *h, uint64_t index, uint64_t term, uint8_t type,
                             const void *bytes, uint32_t len)
{
    struct cli_migrate_state *s = migrate_of(h);
    uint64_t place = ++s->place;
    (void)term;
    if (!cli_spans_counts(&s->spans, place) || type == RAFT_LOG_RESET || index < s->next)
        return;
    if (index != s->next) {
        s->is_bad = true;
        return;
    }
    s->next++;
    if (type == RAFT_DATA)
        cli_migrate_apply(s, index, bytes, len);
}

/* --- reading --- */

static int migrate_bad(const struct cli *c, const char *dir, int why)
{
    return cli_error(c, err_class(why) == ERR_CLASS_DATA ? CLI_DATA : CLI_FAILED,
                     "%s: %s.  Nothing was changed; `tarn journal verify %s` says more", dir,
                     err_text(why), dir);
}

static int migrate_journal(struct cli_migrate_state *s, struct cli_dir *d,
                           const struct journal_config *jc)
{
    int err = cli_dir_journal(d, &s->j, jc);
    if (!err && s->j.role != JOURNAL_STANDBY)
        err = s->j.why ? s->j.why : E_IO;
    return err ? migrate_bad(s->cli, d->dir, err) : CLI_OK;
}

static int migrate_of_type(const struct cli *c, const struct cli_dir *d, bool is_member)
{
    if (d->meta_err == E_NODATA && !cli_dir_has_log(d->dir))
        return cli_error(c, CLI_FAILED, "%s: there is no journal of a %s here", d->dir,
                         is_member ? "group's member" : "single master");
    if (d->meta_err)
        return migrate_bad(c, d->dir, d->meta_err == E_NODATA ? E_CORRUPT : d->meta_err);
    if ((d->meta.member != 0) != is_member)
        return cli_error(c, CLI_FAILED, "%s: this is the journal of a %s: name it as %s:%s", d->dir,
                         is_member ? "single master" : "group's member",
                         is_member ? "local" : "raft", d->dir);
    return CLI_OK;
}

static void migrate_identity(struct cli_migrate_state *s, const struct cli_dir *d)
{
    s->cluster_hi = d->meta.cluster_hi;
    s->cluster_lo = d->meta.cluster_lo;
    s->epoch = base_max_u64(s->epoch, base_max_u64(d->meta.epoch, s->j.status.last_term));
    s->era = base_max_u64(s->era, d->meta.era);
}

static int migrate_local(struct cli_migrate_state *s, struct cli_dir *d, bool is_new)
{
    struct journal_config jc = journal_config_default();
    int code = migrate_of_type(s->cli, d, false);
    if (code)
        return code;
    cli_migrate_host(s);
    jc.check_only = jc.replays = true;
    jc.unfinished = is_new;
    code = migrate_journal(s, d, &jc);
    s->image_index = s->j.status.image_index;
    s->index = base_max_u64(s->j.status.last_index, s->image_index);
    migrate_identity(s, d);
    s->epoch = base_max_u64(s->epoch, s->j.status.epoch);
    return code;
}

/* the log of one member */
static int migrate_member(struct cli_migrate_state *s, struct cli_dir *d, bool is_new)
{
    struct journal_config jc = journal_config_default();
    jc.check_only = jc.replays = true;
    jc.unfinished = is_new;
    memset(&s->j, 0, sizeof s->j);
    jc.raft.entry = migrate_on_found;
    s->place = 0;
    int code = migrate_journal(s, d, &jc);
    if (code)
        return code;
    s->image_index = s->j.status.image_index;
    s->index = base_max_u64(s->j.status.last_index, s->image_index);
    s->next = s->image_index + 1;
    s->place = 0;
    s->member = d->meta.member;
    cli_dir_member_list(s->members, sizeof s->members, &s->j.status);
    jc.raft.entry = migrate_on_entry;
    cli_migrate_host(s);
    code = migrate_journal(s, d, &jc);
    migrate_identity(s, d);
    if (!code &&
        (s->is_bad || s->next != s->index + 1 || s->image_index != s->j.status.image_index))
        code = cli_error(s->cli, CLI_DATA,
                         "%s: entry %llu is not where it should be.  Nothing was changed; "
                         "`tarn journal verify %s` says more",
                         d->dir, (unsigned long long)s->next, d->dir);
    return code;
}

/* as Raft's elections see it; an era counts before that */
static bool migrate_is_better(const struct cli_dir *d, const struct journal_status *st,
                              const struct cli_dir *than, const struct journal_status *best)
{
    if (era_number(d->meta.era) != era_number(than->meta.era))
        return era_is_over(than->meta.era, d->meta.era);
    return st->last_term != best->last_term ? st->last_term > best->last_term
                                            : st->last_index > best->last_index;
}

/* are those that are here a majority of the group as the best of them knows it? */
static int migrate_majority(const struct cli_migrate_state *s, const struct cli_dir *d, unsigned n,
                            const struct journal_status *st, uint64_t era)
{
    unsigned voters = 0, here = 0;
    char lacking[CLI_DIR_LINE] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        bool is_here = false;
        for (unsigned k = 0; k < n; k++)
            is_here |= d[k].meta.member == st->member[i].id && d[k].meta.era == era;
        voters += st->member[i].votes;
        here += st->member[i].votes && is_here;
        if (st->member[i].votes && !is_here)
            at += fmt_into(lacking + at, sizeof lacking - at, " %u@%s", st->member[i].id,
                           st->member[i].addr);
    }
    if (here > voters / 2)
        return CLI_OK;
    return cli_error(s->cli, CLI_FAILED,
                     "directories of %u of the %u members that vote are named, and only a majority "
                     "surely holds all that was acknowledged; lacking:%s.  Bring their directories "
                     "here (raft:DIR,DIR), or `migrate --force`: these have all of it",
                     here, voters, lacking);
}

static int migrate_raft(struct cli_migrate_state *s, struct cli_dir *d, unsigned n, bool is_part)
{
    static struct journal_status st[JOURNAL_MEMBERS_MAX];
    unsigned best = 0;
    for (unsigned i = 0; i < n; i++) {
        struct journal_config jc = journal_config_default();
        int code = migrate_of_type(s->cli, &d[i], true);
        jc.check_only = true;
        memset(&s->j, 0, sizeof s->j);
        if (!code)
            code = migrate_journal(s, &d[i], &jc);
        if (code)
            return code;
        if (d[i].meta.cluster_hi != d[0].meta.cluster_hi ||
            d[i].meta.cluster_lo != d[0].meta.cluster_lo)
            return cli_error(s->cli, CLI_FAILED, "%s and %s are of different clusters", d[0].dir,
                             d[i].dir);
        for (unsigned k = 0; k < i; k++)
            if (d[k].meta.member == d[i].meta.member)
                return cli_error(s->cli, CLI_FAILED, "%s and %s are both member %u's", d[k].dir,
                                 d[i].dir, d[i].meta.member);
        st[i] = s->j.status;
        migrate_identity(s, &d[i]);
        if (i && migrate_is_better(&d[i], &st[i], &d[best], &st[best]))
            best = i;
    }
    int code = is_part ? CLI_OK : migrate_majority(s, d, n, &st[best], d[best].meta.era);
    return code ? code : migrate_member(s, &d[best], false);
}

/* --- a backup --- */

static int migrate_backup(struct cli_migrate_state *s, const char *path)
{
    struct cli_backup f;
    struct backup_walk w;
    const uint8_t *bytes;
    uint32_t len;
    size_t at = 0;
    int code = cli_backup_open(&f, s->cli, path);
    if (code)
        return code;
    int ret = backup_walk_begin(&w, f.p + LOG_BLOCK, f.n - LOG_BLOCK), err = 0;
    while (!ret && !err && (ret = backup_walk_next(&w, &bytes, &len)) == 1) {
        ret = 0;
        if (!f.has_conf || w.number > 1) /* the group it was */
            err = meta_image_load(s->meta, bytes, len);
    }
    err = err ? err : ret ? ret : meta_image_load(s->meta, NULL, 0);
    const struct backup_head *h = &f.b.head;
    s->index = s->image_index = h->index;
    s->epoch = h->term;
    s->era = h->era;
    s->cluster_hi = h->cluster_hi;
    s->cluster_lo = h->cluster_lo;
    for (uint32_t i = 0; i < f.b.conf.n; i++) {
        const struct raft_member *o = &f.b.conf.member[i];
        at += fmt_into(s->members + at, sizeof s->members - at, "%s", i ? "," : "");
        at +=
            cli_dir_member(s->members + at, sizeof s->members - at, o->id.v, o->addr, o->priority);
    }
    cli_backup_close(&f);
    return err ? cli_error(s->cli, CLI_DATA, "%s: its state cannot be read: %s", path,
                           err_text(err))
               : CLI_OK;
}

int cli_migrate_read(struct cli_migrate_state *s, struct cli *c, const struct cli_migrate_place *p,
                     bool is_part, struct cli_dir *d, unsigned *ret_n)
{
    int code = cli_migrate_state_begin(s, c, p);
    *ret_n = 0;
    while (!code && p->type != CLI_MIGRATE_BACKUP && *ret_n < p->n) {
        code = p->type == CLI_MIGRATE_ZK
                   ? cli_dir_open_zk(&d[*ret_n], c, p->dir[*ret_n])
                   : cli_dir_open(&d[*ret_n], c, p->dir[*ret_n], CLI_DIR_LOOK);
        *ret_n += code == CLI_OK;
    }
    if (code)
        return code;
    code = p->type == CLI_MIGRATE_BACKUP  ? migrate_backup(s, p->dir[0])
           : p->type == CLI_MIGRATE_LOCAL ? migrate_local(s, d, false)
           : p->type == CLI_MIGRATE_RAFT  ? migrate_raft(s, d, p->n, is_part)
                                          : cli_migrate_zk_read(s, d, "");
    s->era = base_max_u64(s->era, code ? 0 : meta_era(s->meta));
    if (!code && !s->index)
        code = cli_error(c, CLI_FAILED, "%s: it holds nothing yet: no master has served from it",
                         p->text);
    return code;
}

int cli_migrate_read_new(struct cli_migrate_state *s, struct cli *c,
                         const struct cli_migrate_place *p, unsigned i, struct cli_dir *d)
{
    int code = cli_migrate_state_begin(s, c, p);
    if (code)
        return code;
    code = p->type == CLI_MIGRATE_LOCAL  ? migrate_of_type(c, d, false)
           : p->type == CLI_MIGRATE_RAFT ? migrate_of_type(c, d, true)
                                         : CLI_OK;
    if (code)
        return code;
    if (p->type == CLI_MIGRATE_ZK) {
        char fence[CLI_DIR_PATH + 16];
        snprintf(fence, sizeof fence, "%s/new/fence", p->dir[i]);
        return cli_migrate_zk_read(s, d, access(fence, F_OK) ? "" : "new/");
    }
    return p->type == CLI_MIGRATE_LOCAL ? migrate_local(s, d, true) : migrate_member(s, d, true);
}
