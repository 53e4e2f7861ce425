/* cluster/cli_migrate_zk.c - a shared directory (journal.type zk) without its masters: read to its
 * end, as one who comes to lead would (zk_take.c), but without a claim: so nothing is written, and
 * its masters must be stopped.  And the fence of a new one.
 *
 *   fence open -> the best image of any member -> the chain of epochs that served, from the newest
 *   back to the one that holds what comes after the image -> their logs, oldest first: each up to
 *   where the next one stands, the newest to its end
 *
 * The newest log's records behind the last acked_upto may have been acknowledged, and count: they
 * are what a successor would take over. */
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_migrate.h"
#include "cluster/cli_zk.h"
#include "core/fmt.h"
#include "journal/log_meta.h"
#include "journal/snap.h"
#include "journal/wal.h"
#include "journal/zk_fence.h"
#include "journal/zk_owner.h"
#include "journal/zk_record.h"

enum { MIGRATE_ZK_CHAIN = 256, MIGRATE_ZK_IMAGES = 256 };
static const int64_t migrate_zk_ns = 3600000000000LL;

struct migrate_zk {
    struct cli_migrate_state *s;
    struct cli_dir *d;
    struct env *env;
    struct zk_fence fence;
    struct zk_owner own;
    struct zk_fence_served *chain; /* the newest first */
    unsigned n_chain, cap_chain;
    struct zk_image_name image[MIGRATE_ZK_IMAGES];
    unsigned n_images;
    struct journal_host *host;
    struct wal_host wal_host;
    uint64_t known;       /* an image of it was made, readable or not: it was acknowledged */
    uint64_t base, limit; /* of the log that is read */
    int bad;
    char what[CLI_DIR_PATH + 2 * LOG_NAME_MAX]; /* the file that an error is about */
};

/* the op's ret, or E_TIMEOUT */
static int64_t migrate_zk_wait(struct migrate_zk *z)
{
    int err = net_run_until(z->d->net, &z->d->done, env_now_ns(z->env) + migrate_zk_ns);
    return err ? E_TIMEOUT : z->d->op.ret;
}

static struct env_op *migrate_zk_op(struct migrate_zk *z)
{
    z->d->done = false;
    return &z->d->op;
}

/* --- the fence --- */

static int migrate_zk_code(int err)
{
    return err_class(err) == ERR_CLASS_DATA || err == E_NOENT ? CLI_DATA : CLI_FAILED;
}

static const char *migrate_zk_advice(int err)
{
    return err == E_VERSION ? ".  Nothing was changed.  Use the release that wrote it"
           : migrate_zk_code(err) == CLI_DATA
               ? ".  Nothing was changed.  Restore the file from a copy, or the directory from a "
                 "backup (`tarn journal restore`)"
           : err == E_TIMEOUT
               ? ": the shared storage does not answer.  Nothing was changed"
               : ".  Nothing was changed.  See that the shared storage is mounted, and may be read "
                 "by this user";
}

static bool migrate_zk_is_begun(const char *dir)
{
    char mark[CLI_DIR_PATH + 16];
    snprintf(mark, sizeof mark, "%.4000s/" LOG_META_UNFINISHED, dir);
    return !access(mark, F_OK);
}

static int migrate_zk_open(struct migrate_zk *z, const char *where)
{
    const struct cli *c = z->s->cli;
    bool ok = zk_fence_init(&z->fence, z->env, &z->d->mem, where);
    ASSERT(ok);
    zk_fence_open(&z->fence, migrate_zk_op(z));
    int err = (int)migrate_zk_wait(z);
    if (err == E_NOENT)
        return cli_error(c, CLI_FAILED,
                         "%s: there is no journal of type zk here (no file \"%sfence\"): %s",
                         z->d->dir, where,
                         migrate_zk_is_begun(z->d->dir)
                             ? "a migration into it was begun and has not ended; the same `tarn "
                               "journal migrate` again goes on"
                             : "is the shared storage mounted?");
    if (err)
        return cli_error(c, migrate_zk_code(err), "%s/%sfence: %s%s", z->d->dir, where,
                         err_text(err), migrate_zk_advice(err));
    z->s->cluster_hi = z->fence.cluster_hi;
    z->s->cluster_lo = z->fence.cluster_lo;
    z->s->zk.slots = z->fence.slots;
    return CLI_OK;
}

static void migrate_zk_close(struct migrate_zk *z)
{
    zk_fence_close(&z->fence, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    zk_fence_drop(&z->fence);
    free(z->chain);
    z->chain = NULL;
}

/* as many as the fence has, however long that lives */
static void migrate_zk_chain_add(struct migrate_zk *z, const struct zk_fence_served *e)
{
    if (z->n_chain == z->cap_chain) {
        z->cap_chain = z->cap_chain ? 2 * z->cap_chain : MIGRATE_ZK_CHAIN;
        z->chain = realloc(z->chain, z->cap_chain * sizeof *z->chain);
        ASSERT(z->chain);
    }
    z->chain[z->n_chain++] = *e;
}

/* which epochs served, back to the one that holds record `from`; is_all: and on to the first */
static int migrate_zk_chain(struct migrate_zk *z, uint64_t from, bool is_all)
{
    uint64_t upto = UINT64_MAX;
    bool is_needed = true;
    for (;;) {
        zk_fence_find_served(&z->fence, upto, migrate_zk_op(z));
        int err = (int)migrate_zk_wait(z);
        if (err == E_NOENT && upto == UINT64_MAX)
            return CLI_OK; /* nobody served yet */
        if (!err && upto != UINT64_MAX && z->fence.served.epoch != upto)
            err = E_CORRUPT;
        if (err) {
            uint64_t epoch = base_min_u64(upto, z->fence.seen);
            return cli_error(z->s->cli, migrate_zk_code(err),
                             "%s/fence: what epoch %llu%s stands on cannot be read (offset %llu): "
                             "%s%s",
                             z->d->dir, (unsigned long long)epoch,
                             epoch == upto ? "" : ", or one before it,",
                             (unsigned long long)(1 + z->fence.slots + epoch) * LOG_BLOCK,
                             err_text(err), migrate_zk_advice(err));
        }
        if (is_needed)
            migrate_zk_chain_add(z, &z->fence.served);
        is_needed &= z->fence.served.base >= from;
        if ((!is_needed && !is_all) || !z->fence.served.prev)
            return CLI_OK;
        upto = z->fence.served.prev;
    }
}

/* --- images --- */

static int migrate_zk_by_index(const void *a, const void *b)
{
    const struct zk_image_name *x = a, *y = b;
    return x->index != y->index ? (x->index < y->index ? 1 : -1)
                                : (x->member > y->member) - (x->member < y->member);
}

/* every name of a directory: 0 or E_* */
static int migrate_zk_list(struct migrate_zk *z, const char *dir,
                           void (*name)(struct migrate_zk *z, const char *n, uint32_t member),
                           uint32_t member)
{
    static char names[2][LOG_BLOCK];
    char after[ENV_NAME_MAX] = "", *to = names[member != 0];
    for (;;) {
        env_list(z->env, dir, after, to, LOG_BLOCK, migrate_zk_op(z));
        int64_t ret = migrate_zk_wait(z);
        if (ret <= 0)
            return (int)ret;
        for (const char *n = to; n < to + ret; n += strlen(n) + 1) {
            fmt_into(after, sizeof after, "%s", n);
            name(z, n, member);
        }
    }
}

static void migrate_zk_image(struct migrate_zk *z, const char *n, uint32_t member)
{
    uint64_t index;
    if (!log_format_name_parse(n, "image-", &index) || !index)
        return;
    if (z->n_images == MIGRATE_ZK_IMAGES) {
        qsort(z->image, z->n_images, sizeof *z->image, migrate_zk_by_index);
        z->n_images--;
    }
    z->image[z->n_images++] = (struct zk_image_name){member, index};
}

static void migrate_zk_member(struct migrate_zk *z, const char *n, uint32_t member)
{
    char dir[ENV_NAME_MAX];
    (void)member;
    uint32_t id = zk_image_member(n);
    if (!id)
        return;
    fmt_into(dir, sizeof dir, "images/%u", id);
    int err = migrate_zk_list(z, dir, migrate_zk_image, id);
    z->bad = z->bad ? z->bad : err;
}

static int64_t migrate_zk_install(struct migrate_zk *z, const struct zk_image_name *i,
                                  struct journal_host *host)
{
    char dir[ENV_NAME_MAX];
    fmt_into(dir, sizeof dir, "images/%u", i->member);
    struct snap_config sc = {
        .dir = dir, .cluster_hi = z->s->cluster_hi, .cluster_lo = z->s->cluster_lo};
    struct snap *snap = snap_create(z->env, &z->d->mem, &sc, host);
    if (!snap)
        return E_NOMEM;
    snap_install(snap, i->index, migrate_zk_op(z));
    int64_t ret = migrate_zk_wait(z);
    if (!ret)
        z->s->epoch = base_max_u64(z->s->epoch, snap_epoch(snap));
    if (ret != E_TIMEOUT)
        snap_free(snap);
    z->s->zk.images++;
    z->s->zk.bad_images += ret != 0;
    return ret;
}

static int migrate_zk_image_piece(struct journal_host *h, const void *piece, uint32_t len)
{
    (void)h, (void)piece, (void)len;
    return 0;
}

static void migrate_zk_image_reset(struct journal_host *h)
{
    (void)h;
}

/* the others are looked at only; what is wrong is said there */
static void migrate_zk_other_images(struct migrate_zk *z, unsigned from)
{
    static struct journal_host blank = {.image_load = migrate_zk_image_piece,
                                        .image_reset = migrate_zk_image_reset};
    for (unsigned i = from; i < z->n_images && z->s->zk.checks_all; i++)
        (void)migrate_zk_install(z, &z->image[i], &blank);
}

/* the best that is good */
static int migrate_zk_images(struct migrate_zk *z)
{
    struct cli_migrate_state *s = z->s;
    int err = migrate_zk_list(z, "images", migrate_zk_member, 0);
    err = err ? err : z->bad;
    if (err)
        return cli_error(s->cli, CLI_FAILED, "%s/images: %s", z->d->dir, err_text(err));
    qsort(z->image, z->n_images, sizeof *z->image, migrate_zk_by_index);
    z->known = z->n_images ? z->image[0].index : 0;
    for (unsigned i = 0; i < z->n_images; i++) {
        int64_t ret = migrate_zk_install(z, &z->image[i], z->host);
        if (!ret) {
            s->index = s->image_index = z->image[i].index;
            s->member = z->image[i].member;
            migrate_zk_other_images(z, i + 1);
            return CLI_OK;
        }
        if (ret == E_VERSION || ret == E_NOMEM || ret == E_CLUSTER || ret == E_TIMEOUT)
            return cli_error(s->cli, CLI_FAILED, "%s/images/%u: %s%s", z->d->dir,
                             z->image[i].member, err_text((int)ret), migrate_zk_advice((int)ret));
    }
    return CLI_OK; /* the logs may reach back to the beginning */
}

/* --- logs --- */

static void migrate_zk_record(struct wal_host *h, uint64_t index, const struct log_record *r,
                              const void *bytes)
{
    struct migrate_zk *z = container_of(h, struct migrate_zk, wal_host);
    struct cli_migrate_state *s = z->s;
    uint64_t at = z->base + index;
    if (z->bad || at <= s->index || at > z->limit)
        return;
    if (at != s->index + 1 || r->len < ZK_ACKED_BYTES || r->type > ZK_REC_ACKED) {
        z->bad = E_CORRUPT;
        return;
    }
    s->index = at;
    if (r->type == ZK_REC_DATA &&
        !cli_migrate_apply(s, at, (const uint8_t *)bytes + ZK_ACKED_BYTES, r->len - ZK_ACKED_BYTES))
        z->bad = E_CORRUPT;
}

static void migrate_zk_failed(struct wal_host *h, int why)
{
    (void)h, (void)why;
}

/* which segments the log has: z->own says so then */
static int migrate_zk_told(struct migrate_zk *z, const char *dir)
{
    fmt_into(z->what, sizeof z->what, "%s/%s/owner", z->d->dir, dir);
    zk_owner_open(&z->own, dir, migrate_zk_op(z));
    int err = (int)migrate_zk_wait(z);
    if (err)
        return err;
    zk_owner_read(&z->own, migrate_zk_op(z));
    err = (int)migrate_zk_wait(z);
    if (err == E_TIMEOUT)
        return err;
    zk_owner_shut(&z->own, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    return err;
}

/* every record that it has from s->index + 1 on */
static int migrate_zk_records(struct migrate_zk *z, const char *dir, uint64_t base)
{
    struct cli_migrate_state *s = z->s;
    struct journal_config jc = journal_config_default();
    struct wal_config wc = {.dir = dir,
                            .segment_bytes = jc.segment_bytes,
                            .batch_bytes = jc.batch_bytes,
                            .batches_in_flight = jc.batches_in_flight,
                            .queue_bytes = jc.queue_bytes,
                            .cluster_hi = s->cluster_hi,
                            .cluster_lo = s->cluster_lo,
                            .keeps_none = true};
    uint64_t from = s->index + 1 - base;
    z->wal_host = (struct wal_host){.record = migrate_zk_record, .failed = migrate_zk_failed};
    struct wal *w = wal_create(z->env, &z->d->mem, &wc, &z->wal_host);
    ASSERT(w);
    wal_expect(w, z->own.first, z->own.last);
    wal_recover(w, from, from - 1, migrate_zk_op(z));
    int err = (int)migrate_zk_wait(z);
    if (!err && wal_last_index(w) >= from) {
        wal_recover_replay(w, from, migrate_zk_op(z));
        err = (int)migrate_zk_wait(z);
    }
    if (err == E_TIMEOUT)
        return err;
    wal_stop(w, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    wal_free(w);
    return err ? err : z->bad;
}

/* the first segment that it should have, and has not */
static void migrate_zk_missing(struct migrate_zk *z, const char *dir)
{
    char leaf[LOG_NAME_MAX];
    for (uint64_t i = z->own.first; i <= z->own.last; i++) {
        log_format_name(leaf, "wal-", i);
        fmt_into(z->what, sizeof z->what, "%s/%s/%s", z->d->dir, dir, leaf);
        if (access(z->what, F_OK))
            return;
    }
    fmt_into(z->what, sizeof z->what, "%s/%s", z->d->dir, dir);
}

static int migrate_zk_log(struct migrate_zk *z, const struct zk_fence_served *e, uint64_t limit)
{
    struct cli_migrate_state *s = z->s;
    char dir[LOG_NAME_MAX];
    log_format_name(dir, "log-", e->epoch);
    z->base = e->base;
    z->limit = limit;
    int err = migrate_zk_told(z, dir);
    if (!err) {
        fmt_into(z->what, sizeof z->what, "%s/%s", z->d->dir, dir);
        err = z->own.last < z->own.first ? E_NOENT : migrate_zk_records(z, dir, e->base);
        if (err == E_NOENT)
            migrate_zk_missing(z, dir);
    }
    /* what it had when it began to count, and what the next one stands on, was durable */
    if (!err && s->index < (limit == UINT64_MAX ? e->end : limit))
        err = E_EOF;
    s->epoch = base_max_u64(s->epoch, e->epoch);
    s->zk.logs++;
    if (!err)
        return CLI_OK;
    return cli_error(s->cli, migrate_zk_code(err), "%s: %s: records from %llu on are needed%s",
                     z->what,
                     err == E_NOENT ? "it is not there"
                     : err == E_EOF ? "it ends too early"
                                    : err_text(err),
                     (unsigned long long)s->index + 1, migrate_zk_advice(err));
}

static int migrate_zk_begin(struct migrate_zk *z, struct cli_migrate_state *s, struct cli_dir *d,
                            const char *where)
{
    memset(z, 0, sizeof *z);
    z->s = s;
    z->d = d;
    z->env = net_env(d->net);
    z->host = cli_migrate_host(s);
    int code = migrate_zk_open(z, where);
    if (code)
        zk_fence_drop(&z->fence);
    return code;
}

int cli_migrate_zk_chain(struct cli_migrate_state *s, struct cli_dir *d,
                         struct zk_fence_served **ret, unsigned *ret_n)
{
    static struct migrate_zk z;
    int code = migrate_zk_begin(&z, s, d, "");
    *ret = NULL;
    *ret_n = 0;
    if (code)
        return code;
    code = migrate_zk_chain(&z, 0, false);
    *ret = z.chain;
    *ret_n = z.n_chain;
    z.chain = NULL;
    s->zk.claimed = z.fence.seen;
    migrate_zk_close(&z);
    return code;
}

int cli_migrate_zk_read(struct cli_migrate_state *s, struct cli_dir *d, const char *where)
{
    static struct migrate_zk z;
    int code = migrate_zk_begin(&z, s, d, where);
    if (code)
        return code;
    bool ok = zk_owner_init(&z.own, z.env, &d->mem);
    ASSERT(ok);
    code = migrate_zk_images(&z);
    if (!code)
        code = migrate_zk_chain(&z, s->index + 1, s->zk.checks_all);
    if (!code && (z.n_chain ? z.chain[z.n_chain - 1].base > s->index : z.n_images && !s->index))
        code =
            cli_error(s->cli, CLI_DATA, "%s/images: no image can be read, and %s%s", d->dir,
                      z.n_chain ? "the logs do not begin with the first record" : "there is no log",
                      migrate_zk_advice(E_CORRUPT));
    if (!code && z.n_chain) {
        s->zk.served = z.chain[0].epoch;
        s->zk.first = z.chain[z.n_chain - 1].base + 1;
    }
    for (unsigned i = z.n_chain; i-- > 0 && !code;)
        code = migrate_zk_log(&z, &z.chain[i], i ? z.chain[i - 1].base : UINT64_MAX);
    if (!code && s->index < z.known)
        code = cli_error(s->cli, CLI_DATA,
                         "%s/images/%u: the image up to record %llu cannot be read, and the logs "
                         "end at record %llu%s",
                         d->dir, z.image[0].member, (unsigned long long)z.known,
                         (unsigned long long)s->index, migrate_zk_advice(E_CORRUPT));
    s->zk.claimed = z.fence.seen;
    s->epoch = base_max_u64(s->epoch, z.fence.seen);
    zk_owner_drop(&z.own);
    migrate_zk_close(&z);
    return code;
}

int cli_migrate_zk_ask(struct cli *c, const struct cli_migrate_place *p)
{
    static struct migrate_zk z;
    static struct cli_migrate_state s;
    static struct cli_dir d;
    memset(&s, 0, sizeof s);
    s.cli = c;
    int code = cli_dir_open_zk(&d, c, p->dir[0]);
    if (code)
        return code;
    code = migrate_zk_begin(&z, &s, &d, "");
    if (!code)
        migrate_zk_close(&z);
    cli_dir_close(&d);
    return code ? code : cli_zk_living(c, p->config, p->dir[0], s.cluster_hi, s.cluster_lo);
}

int cli_migrate_zk_again(struct cli *c, const struct cli_migrate_place *p, struct cli_dir *d,
                         const struct cli_migrate_mark *m, const char *made)
{
    static struct cli_migrate_state s;
    int code = cli_migrate_state_begin(&s, c, p);
    if (!code)
        code = cli_migrate_zk_read(&s, d, "");
    if (!code && (s.index != m->index || s.epoch != m->epoch || meta_hash(s.meta) != m->digest))
        code = cli_error(c, CLI_FAILED,
                         "%s has changed while it was read (up to record %llu, now %llu): its "
                         "masters run.  Stop all of them%s%s, and begin anew",
                         p->text, (unsigned long long)m->index, (unsigned long long)s.index,
                         *made ? ", remove what is in " : "", made);
    cli_migrate_state_end(&s);
    return code;
}

/* --- a new one --- */

/* an interrupted migration came so far */
static bool migrate_zk_has_fence(struct migrate_zk *z, uint64_t hi, uint64_t lo,
                                 const struct zk_fence_served *e)
{
    zk_fence_open(&z->fence, migrate_zk_op(z));
    if (migrate_zk_wait(z))
        return false;
    zk_fence_find_served(&z->fence, UINT64_MAX, migrate_zk_op(z));
    const struct zk_fence_served *s = &z->fence.served;
    bool is_ours = !migrate_zk_wait(z) && z->fence.cluster_hi == hi && z->fence.cluster_lo == lo &&
                   s->epoch == e->epoch && s->base == e->base;
    zk_fence_close(&z->fence, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    return is_ours;
}

/* the file that says which segments the epoch's log has: one */
static int64_t migrate_zk_own(struct migrate_zk *z, const struct zk_fence_served *e)
{
    char dir[LOG_NAME_MAX], name[ENV_NAME_MAX];
    log_format_name(dir, "log-", e->epoch);
    fmt_into(name, sizeof name, "%s/owner", dir);
    env_unlink(z->env, name, migrate_zk_op(z)); /* what an interruption left */
    int64_t ret = migrate_zk_wait(z);
    if (ret && ret != E_NOENT)
        return ret;
    zk_owner_make(&z->own, dir, e->epoch, e->member, migrate_zk_op(z));
    ret = migrate_zk_wait(z);
    if (ret)
        return ret;
    zk_owner_tell(&z->own, 1, 1, migrate_zk_op(z));
    ret = migrate_zk_wait(z);
    if (ret == E_TIMEOUT)
        return ret;
    zk_owner_shut(&z->own, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    return ret;
}

static int64_t migrate_zk_make(struct migrate_zk *z, const char *name, uint64_t hi, uint64_t lo,
                               const struct zk_fence_served *e)
{
    env_unlink(z->env, name, migrate_zk_op(z));
    int64_t ret = migrate_zk_wait(z);
    if (ret && ret != E_NOENT)
        return ret;
    zk_fence_format(&z->fence, hi, lo, base_min_u64(ZK_FENCE_SLOTS + e->epoch + 1, UINT32_MAX),
                    migrate_zk_op(z));
    ret = migrate_zk_wait(z);
    if (ret)
        return ret;
    zk_fence_open(&z->fence, migrate_zk_op(z));
    ret = migrate_zk_wait(z);
    if (ret)
        return ret;
    zk_fence_claim(&z->fence, e->epoch, e->member, env_random(z->env), migrate_zk_op(z));
    ret = migrate_zk_wait(z);
    if (!ret) {
        zk_fence_serve(&z->fence, e->prev, e->base, e->end, migrate_zk_op(z));
        ret = migrate_zk_wait(z);
    }
    return ret;
}

int cli_migrate_zk_fence(const struct cli *c, struct cli_dir *d, const char *where, uint64_t hi,
                         uint64_t lo, const struct zk_fence_served *e)
{
    static struct migrate_zk z;
    char name[ENV_NAME_MAX];
    int64_t ret = 0;
    memset(&z, 0, sizeof z);
    z.d = d;
    z.env = net_env(d->net);
    bool ok =
        zk_fence_init(&z.fence, z.env, &d->mem, where) && zk_owner_init(&z.own, z.env, &d->mem);
    ASSERT(ok);
    fmt_into(name, sizeof name, "%sfence", where);
    if (!migrate_zk_has_fence(&z, hi, lo, e)) {
        ret = migrate_zk_own(&z, e);
        if (!ret)
            ret = migrate_zk_make(&z, name, hi, lo, e);
        migrate_zk_close(&z);
    } else {
        zk_fence_drop(&z.fence);
    }
    zk_owner_drop(&z.own);
    return ret ? cli_error(c, CLI_FAILED, "%s/%s: %s%s", d->dir, name, err_text((int)ret),
                           ret == E_NOSPC || ret == E_DQUOT
                               ? ": make room, and give the same command again"
                               : "")
               : CLI_OK;
}
