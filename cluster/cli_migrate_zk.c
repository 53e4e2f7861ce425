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
#include "core/fmt.h"
#include "journal/snap.h"
#include "journal/wal.h"
#include "journal/zk_fence.h"
#include "journal/zk_owner.h"
#include "journal/zk_record.h"

enum { MIGRATE_ZK_CHAIN = 4096, MIGRATE_ZK_IMAGES = 256 };
static const int64_t migrate_zk_ns = 3600000000000LL;

struct migrate_zk {
    struct cli_migrate_state *s;
    struct cli_dir *d;
    struct env *env;
    struct zk_fence fence;
    struct zk_owner own;
    struct zk_fence_served chain[MIGRATE_ZK_CHAIN]; /* the newest first */
    unsigned n_chain;
    struct zk_image_name image[MIGRATE_ZK_IMAGES];
    unsigned n_images;
    struct journal_host *host;
    struct wal_host wal_host;
    uint64_t base, limit; /* of the log that is read */
    int bad;
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

static int migrate_zk_open(struct migrate_zk *z, const char *where)
{
    const struct cli *c = z->s->cli;
    bool ok = zk_fence_init(&z->fence, z->env, &z->d->mem, where);
    ASSERT(ok);
    zk_fence_open(&z->fence, migrate_zk_op(z));
    int err = (int)migrate_zk_wait(z);
    if (err == E_NOENT)
        return cli_error(c, CLI_FAILED,
                         "%s: there is no journal of type zk here (no file \"%sfence\"), or the "
                         "shared storage is not mounted",
                         z->d->dir, where);
    if (err)
        return cli_error(c, err_class(err) == ERR_CLASS_DATA ? CLI_DATA : CLI_FAILED,
                         "%s/%sfence: %s.  Nothing was changed", z->d->dir, where, err_text(err));
    z->s->cluster_hi = z->fence.cluster_hi;
    z->s->cluster_lo = z->fence.cluster_lo;
    return CLI_OK;
}

static void migrate_zk_close(struct migrate_zk *z)
{
    zk_fence_close(&z->fence, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    zk_fence_drop(&z->fence);
}

/* which epochs served, back to the one that holds record `from` */
static int migrate_zk_chain(struct migrate_zk *z, uint64_t from)
{
    uint64_t upto = UINT64_MAX;
    for (;;) {
        zk_fence_find_served(&z->fence, upto, migrate_zk_op(z));
        int err = (int)migrate_zk_wait(z);
        if (err == E_NOENT && upto == UINT64_MAX)
            return CLI_OK; /* nobody served yet */
        if (!err && upto != UINT64_MAX && z->fence.served.epoch != upto)
            err = E_CORRUPT;
        if (!err && z->n_chain == MIGRATE_ZK_CHAIN)
            err = E_2BIG;
        if (err)
            return cli_error(z->s->cli, err_class(err) == ERR_CLASS_DATA ? CLI_DATA : CLI_FAILED,
                             "%s/fence: what epoch %llu stands on cannot be read: %s", z->d->dir,
                             (unsigned long long)upto, err_text(err));
        z->chain[z->n_chain++] = z->fence.served;
        if (z->fence.served.base < from || !z->fence.served.prev)
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

static int64_t migrate_zk_install(struct migrate_zk *z, const struct zk_image_name *i)
{
    char dir[ENV_NAME_MAX];
    fmt_into(dir, sizeof dir, "images/%u", i->member);
    struct snap_config sc = {
        .dir = dir, .cluster_hi = z->s->cluster_hi, .cluster_lo = z->s->cluster_lo};
    struct snap *snap = snap_create(z->env, &z->d->mem, &sc, z->host);
    if (!snap)
        return E_NOMEM;
    snap_install(snap, i->index, migrate_zk_op(z));
    int64_t ret = migrate_zk_wait(z);
    if (!ret)
        z->s->epoch = base_max_u64(z->s->epoch, snap_epoch(snap));
    snap_free(snap);
    return ret;
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
    for (unsigned i = 0; i < z->n_images; i++) {
        int64_t ret = migrate_zk_install(z, &z->image[i]);
        if (!ret) {
            s->index = s->image_index = z->image[i].index;
            s->member = z->image[i].member;
            return CLI_OK;
        }
        if (ret == E_VERSION || ret == E_NOMEM || ret == E_CLUSTER || ret == E_TIMEOUT)
            return cli_error(s->cli, CLI_FAILED, "%s/images/%u: %s", z->d->dir, z->image[i].member,
                             err_text((int)ret));
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

static int migrate_zk_log(struct migrate_zk *z, const struct zk_fence_served *e, uint64_t limit)
{
    struct cli_migrate_state *s = z->s;
    char dir[LOG_NAME_MAX];
    log_format_name(dir, "log-", e->epoch);
    z->base = e->base;
    z->limit = limit;
    int err = migrate_zk_told(z, dir);
    if (!err)
        err = z->own.last < z->own.first ? E_NOENT : migrate_zk_records(z, dir, e->base);
    /* what it had when it began to count, and what the next one stands on, was durable */
    if (!err && s->index < (limit == UINT64_MAX ? e->end : limit))
        err = E_EOF;
    s->epoch = base_max_u64(s->epoch, e->epoch);
    if (!err)
        return CLI_OK;
    return cli_error(s->cli,
                     err_class(err) == ERR_CLASS_DATA || err == E_NOENT ? CLI_DATA : CLI_FAILED,
                     "%s/%s: %s: records from %llu on are needed.  Nothing was changed", z->d->dir,
                     dir, err == E_NOENT ? "it is not there, or not all of it" : err_text(err),
                     (unsigned long long)s->index + 1);
}

int cli_migrate_zk_read(struct cli_migrate_state *s, struct cli_dir *d, const char *where)
{
    static struct migrate_zk z;
    memset(&z, 0, sizeof z);
    z.s = s;
    z.d = d;
    z.env = net_env(d->net);
    z.host = cli_migrate_host(s);
    int code = migrate_zk_open(&z, where);
    if (code) {
        zk_fence_drop(&z.fence);
        return code;
    }
    bool ok = zk_owner_init(&z.own, z.env, &d->mem);
    ASSERT(ok);
    code = migrate_zk_images(&z);
    if (!code)
        code = migrate_zk_chain(&z, s->index + 1);
    if (!code && z.n_chain && z.chain[z.n_chain - 1].base > s->index)
        code = cli_error(s->cli, CLI_DATA,
                         "%s: no image can be read, and the logs begin with record %llu", d->dir,
                         (unsigned long long)z.chain[z.n_chain - 1].base + 1);
    for (unsigned i = z.n_chain; i-- > 0 && !code;)
        code = migrate_zk_log(&z, &z.chain[i], i ? z.chain[i - 1].base : UINT64_MAX);
    s->epoch = base_max_u64(s->epoch, z.fence.seen);
    zk_owner_drop(&z.own);
    migrate_zk_close(&z);
    return code;
}

/* --- a new one --- */

/* an interrupted migration came so far */
static bool migrate_zk_has_fence(struct migrate_zk *z, uint64_t hi, uint64_t lo)
{
    zk_fence_open(&z->fence, migrate_zk_op(z));
    if (migrate_zk_wait(z))
        return false;
    if (z->fence.cluster_hi == hi && z->fence.cluster_lo == lo)
        return true;
    zk_fence_close(&z->fence, migrate_zk_op(z));
    (void)migrate_zk_wait(z);
    return false;
}

int cli_migrate_zk_fence(const struct cli *c, struct cli_dir *d, const char *where, uint64_t hi,
                         uint64_t lo, uint64_t epoch)
{
    static struct migrate_zk z;
    uint64_t slots = base_min_u64(ZK_FENCE_SLOTS + epoch + 1, UINT32_MAX);
    char name[ENV_NAME_MAX];
    int64_t ret = 0;
    memset(&z, 0, sizeof z);
    z.d = d;
    z.env = net_env(d->net);
    bool ok = zk_fence_init(&z.fence, z.env, &d->mem, where);
    ASSERT(ok);
    if (!migrate_zk_has_fence(&z, hi, lo)) {
        fmt_into(name, sizeof name, "%sfence", where);
        env_unlink(z.env, name, migrate_zk_op(&z));
        ret = migrate_zk_wait(&z);
        ret = ret == E_NOENT ? 0 : ret;
        if (!ret) {
            zk_fence_format(&z.fence, hi, lo, slots, migrate_zk_op(&z));
            ret = migrate_zk_wait(&z);
        }
        if (!ret) {
            zk_fence_open(&z.fence, migrate_zk_op(&z));
            ret = migrate_zk_wait(&z);
        }
    }
    if (!ret && epoch) { /* leaders here come after all that led before */
        zk_fence_claim(&z.fence, epoch, 0, env_random(z.env), migrate_zk_op(&z));
        ret = migrate_zk_wait(&z);
        ret = ret == E_STALE && z.fence.seen == epoch ? 0 : ret; /* it was claimed */
    }
    migrate_zk_close(&z);
    return ret ? cli_error(c, CLI_FAILED, "%s/%sfence: %s", d->dir, where, err_text((int)ret))
               : CLI_OK;
}
