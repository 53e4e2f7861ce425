/* cluster/cli_backup.c - `tarn journal backup`: the state of a running group, in one file.
 *
 *   online    the leader is asked for a state image, as it makes them all the time beside its work;
 *             its bytes come in pieces
 *   --from    the newest image in the directory of a stopped master; or, of a journal that is named
 *             with its type (cli_migrate.h), all that it holds
 *
 * INVARIANTS
 *  1. A file of the given name is a whole backup, checked to its last byte and durable: until then
 *     it has another name, and its first block, which is written last, is zeros.
 *  2. Nothing waits for a backup: an image is written beside appends, read beside everything, and
 *     when it has gone meanwhile the backup begins again with a newer one. */
#include "cluster/cli_backup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cluster/cli_dir.h"
#include "cluster/cli_masters.h"
#include "cluster/cli_migrate.h"
#include "core/limits.h"
#include "journal/raft_format.h"

enum { BACKUP_ATTEMPTS = 5, BACKUP_TRIES = 50, BACKUP_PAUSE_US = 100000 };
static const int64_t backup_timeout_ns = 600000000000LL, backup_ask_ns = 1000000000LL,
                     backup_call_ns = 10000000000LL, backup_lead_ns = 30000000000LL,
                     backup_none_ns = 5000000000LL;

struct backup_take {
    struct cli *cli;
    const char *path;
    char tmp[PATH_MAX];
    int fd;
    uint64_t bytes, index, era, behind; /* behind: entries that are not in it */
    int64_t until_ns, ask_ns;
    uint32_t member;
};

/* --- reading one --- */

static int backup_map(struct cli_backup *f, const struct cli *c, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(f, 0, sizeof *f);
    if (fd < 0 || fstat(fd, &st)) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return cli_error(c, CLI_FAILED, "%s: %s", path, strerror(why));
    }
    f->n = (uint64_t)st.st_size;
    void *p = f->n ? mmap(NULL, f->n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (p == MAP_FAILED)
        return cli_error(c, CLI_DATA, "%s: %s", path, f->n ? strerror(errno) : "it is empty");
    f->p = p;
    return CLI_OK;
}

/* every piece of the image at p; the first one's configuration goes to *ret_conf */
static int backup_check_image(struct cli_backup *f, const uint8_t *p, uint64_t n,
                              struct backup_walk *w, struct raft_conf *ret_conf)
{
    const uint8_t *bytes;
    uint32_t len;
    uint64_t index, term;
    int ret = backup_walk_begin(w, p, n);
    if (ret)
        return ret;
    while ((ret = backup_walk_next(w, &bytes, &len)) == 1) {
        struct rbuf r = rbuf_make(bytes, len);
        if (w->number == 1)
            f->has_conf = !raft_format_image_get(&r, &index, &term, ret_conf);
    }
    f->pieces = w->number;
    f->data_bytes = w->data_bytes;
    return ret;
}

static int backup_check(struct cli_backup *f)
{
    struct backup_walk w;
    struct raft_conf conf;
    const struct backup_head *h = &f->b.head;
    int ret = f->n < LOG_BLOCK ? E_EOF : backup_head_get(f->p, &f->b);
    if (!ret && f->n - LOG_BLOCK != h->image_bytes)
        ret = E_EOF;
    if (!ret)
        ret = backup_check_image(f, f->p + LOG_BLOCK, f->n - LOG_BLOCK, &w, &conf);
    if (!ret && (w.crc != h->chain || w.head.index != h->index || w.head.epoch != h->term ||
                 w.head.cluster_hi != h->cluster_hi || w.head.cluster_lo != h->cluster_lo))
        ret = E_CORRUPT;
    return ret;
}

int cli_backup_open(struct cli_backup *f, const struct cli *c, const char *path)
{
    int code = backup_map(f, c, path);
    if (code)
        return code;
    int ret = backup_check(f);
    if (!ret)
        return CLI_OK;
    cli_backup_close(f);
    if (ret == E_VERSION)
        return cli_error(c, CLI_DATA,
                         "%s: downgrade refused: a newer release of tarn wrote it, in a format "
                         "that this one does not know.  Nothing was changed.  Use that release",
                         path);
    return cli_error(c, CLI_DATA,
                     "%s: this is no whole backup: %s.  Nothing was changed.  Use another one",
                     path, ret == E_NODATA ? "it was never finished" : err_text(ret));
}

void cli_backup_close(struct cli_backup *f)
{
    if (f->p)
        munmap(f->p, f->n);
    f->p = NULL;
}

const char *cli_backup_time(char to[32], int64_t ns)
{
    time_t t = (time_t)(ns / 1000000000LL);
    struct tm tm;
    strftime(to, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    return to;
}

int cli_backup_show(struct cli *c, const char *path, uint64_t behind)
{
    struct cli_backup f;
    char id[40], size[16], time[32], one[ENV_ADDR_MAX + 32];
    int code = cli_backup_open(&f, c, path);
    if (code)
        return code;
    const struct backup_head *h = &f.b.head;
    snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)h->cluster_hi,
             (unsigned long long)h->cluster_lo);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "file", path);
        cJSON_AddStringToObject(j, "cluster", id);
        cli_json_u64(j, "index", h->index);
        cli_json_u64(j, "term", h->term);
        cli_dir_era_json(j, h->era);
        cJSON_AddStringToObject(j, "time", cli_backup_time(time, h->time_ns));
        cli_json_u64(j, "bytes", f.n);
        cJSON_AddNumberToObject(j, "format", h->version);
        cli_json_u64(j, "entries_not_in_it", behind);
        cJSON *m = cJSON_AddArrayToObject(j, "members");
        for (uint32_t i = 0; i < f.b.conf.n; i++) {
            const struct raft_member *o = &f.b.conf.member[i];
            cli_dir_member(one, sizeof one, o->id.v, o->addr, o->priority);
            cJSON_AddItemToArray(m, cJSON_CreateString(one));
        }
        cli_print_json(j);
    } else {
        printf("%s: cluster %s, up to entry %llu of term %llu, %s, taken at %s\n", path, id,
               (unsigned long long)h->index, (unsigned long long)h->term, cli_bytes(size, f.n),
               cli_backup_time(time, h->time_ns));
        if (behind)
            printf("note: %llu entries behind it are in the log only, and not in this backup\n",
                   (unsigned long long)behind);
    }
    cli_backup_close(&f);
    return CLI_OK;
}

/* --- taking one --- */

static int backup_begin(struct backup_take *t, struct cli *c)
{
    memset(t, 0, sizeof *t);
    t->cli = c;
    t->path = c->args[0];
    t->fd = -1;
    if (!access(t->path, F_OK) && !cli_flag(c, "force"))
        return cli_error(c, CLI_FAILED, "%s is there already (--force: replace it)", t->path);
    snprintf(t->tmp, sizeof t->tmp, "%s.part", t->path);
    t->fd = open(t->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return t->fd < 0 ? cli_error(c, CLI_FAILED, "%s: %s", t->tmp, strerror(errno)) : CLI_OK;
}

static int backup_put(struct backup_take *t, const void *p, size_t n, uint64_t at)
{
    for (const char *b = p; n > 0;) {
        ssize_t done = pwrite(t->fd, b, n, (off_t)at);
        if (done <= 0)
            return cli_error(t->cli, CLI_FAILED, "%s: %s", t->tmp, strerror(errno));
        b += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return CLI_OK;
}

static int backup_sync_name(struct backup_take *t)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", t->path);
    char *slash = strrchr(dir, '/');
    snprintf(slash ? slash + (slash == dir) : dir, slash ? 2 : sizeof dir, "%s", slash ? "" : ".");
    if (rename(t->tmp, t->path))
        return cli_error(t->cli, CLI_FAILED, "%s: %s", t->path, strerror(errno));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && !fsync(fd);
    if (fd >= 0)
        close(fd);
    return ok ? CLI_OK : cli_error(t->cli, CLI_FAILED, "%s: %s", dir, strerror(errno));
}

/* the image is there: its head, then its name */
static int backup_seal(struct backup_take *t)
{
    struct cli_backup f;
    struct backup_walk w;
    struct backup b = {0};
    uint8_t block[LOG_BLOCK];
    struct timespec now;
    int code = backup_map(&f, t->cli, t->tmp);
    if (code)
        return code;
    int ret = backup_check_image(&f, f.p + LOG_BLOCK, f.n - LOG_BLOCK, &w, &b.conf);
    uint64_t used = base_align_up(w.pos, LOG_BLOCK);
    bool is_exact = used == f.n - LOG_BLOCK;
    cli_backup_close(&f);
    if (ret || !is_exact || w.head.index != t->index)
        return cli_error(t->cli, CLI_DATA, "the image of entry %llu is not intact: %s",
                         (unsigned long long)t->index, err_text(ret ? ret : E_CORRUPT));
    if (!f.has_conf)
        memset(&b.conf, 0, sizeof b.conf);
    clock_gettime(CLOCK_REALTIME, &now);
    b.head = (struct backup_head){.chain = w.crc,
                                  .cluster_hi = w.head.cluster_hi,
                                  .cluster_lo = w.head.cluster_lo,
                                  .index = w.head.index,
                                  .term = w.head.epoch,
                                  .era = t->era,
                                  .time_ns = now.tv_sec * 1000000000LL + now.tv_nsec,
                                  .image_bytes = f.n - LOG_BLOCK};
    backup_head_put(block, &b);
    t->bytes = f.n;
    if (fsync(t->fd)) /* before it can be taken for whole */
        return cli_error(t->cli, CLI_FAILED, "%s: %s", t->tmp, strerror(errno));
    code = backup_put(t, block, sizeof block, 0);
    if (!code && fsync(t->fd))
        code = cli_error(t->cli, CLI_FAILED, "%s: %s", t->tmp, strerror(errno));
    return code ? code : backup_sync_name(t);
}

/* --- of a running group --- */

static bool backup_is_late(const struct backup_take *t)
{
    return cli_now_ns() >= t->until_ns;
}

/* at most so long, and not beyond --timeout */
static int64_t backup_within(const struct backup_take *t, int64_t ns)
{
    int64_t left = t->until_ns - cli_now_ns();
    return left < 1000000 ? 1000000 : base_min_i64(left, ns);
}

/* E_*; or 0 with *ret_code: the file could not be written, or it is all there */
static int backup_pull(struct backup_take *t, struct cli_masters *m, const char *addr,
                       int *ret_code)
{
    static uint8_t piece[LIMIT_BATCH];
    uint8_t body[32];
    uint64_t offset = 0;
    int tries = 0;
    if (ftruncate(t->fd, 0))
        return E_IO;
    for (;;) {
        uint32_t n = 0;
        struct wbuf w = wbuf_make(body, sizeof body);
        struct rpc_backup q = {t->index, offset};
        rpc_format_backup_put(&w, &q);
        int err = cli_masters_call(m, addr, RPC_BACKUP, w.p, (uint32_t)w.len,
                                   backup_within(t, backup_call_ns), piece, sizeof piece, &n);
        if (err && (err != E_AGAIN || ++tries > BACKUP_TRIES || backup_is_late(t)))
            return err; /* who leads now? */
        if (err) {
            usleep(BACKUP_PAUSE_US);
            continue;
        }
        tries = 0;
        *ret_code = backup_put(t, piece, n, LOG_BLOCK + offset);
        offset += n;
        if (*ret_code || n < sizeof piece)
            return 0;
    }
}

/* who leads, through an election; NULL, and said why, when nobody does */
static const struct cli_masters_one *backup_leader(struct backup_take *t, struct cli_masters *m,
                                                   int *ret_code)
{
    const struct cli *c = t->cli;
    int64_t now = cli_now_ns(), until_ns = base_min_i64(now + backup_lead_ns, t->until_ns);
    int64_t none_until_ns = base_min_i64(now + backup_none_ns, t->until_ns);
    for (;;) {
        bool answers = false;
        cli_masters_ask(m, base_min_i64(backup_ask_ns, t->ask_ns));
        const struct cli_masters_one *leader = cli_masters_leader(m);
        if (leader)
            return leader;
        for (unsigned i = 0; i < m->n; i++)
            answers = answers || m->one[i].text;
        if ((*ret_code = cli_masters_refused(m)))
            return NULL;
        if (cli_now_ns() < (answers ? until_ns : none_until_ns)) {
            usleep(BACKUP_PAUSE_US);
            continue;
        }
        *ret_code = answers ? cli_error(c, CLI_UNREACHABLE,
                                        "no master leads: a group without a quorum has no backup "
                                        "but of a stopped member (--from)")
                            : cli_error(c, CLI_UNREACHABLE, "no master answers at %s",
                                        config_masters(c->config));
        return NULL;
    }
}

static int backup_online(struct backup_take *t)
{
    static struct cli_masters m;
    struct cli *c = t->cli;
    int err = E_TIMEOUT, code = cli_masters_open(&m, c);
    if (code)
        return code;
    for (int attempt = 0; attempt < BACKUP_ATTEMPTS && err && !backup_is_late(t); attempt++) {
        const struct cli_masters_one *leader = backup_leader(t, &m, &code);
        if (!leader)
            break;
        t->era = cli_masters_u64(leader, "journal.era");
        t->member = (uint32_t)cli_masters_u64(leader, "journal.self");
        err = cli_masters_image(&m, leader->addr, backup_within(t, 60 * backup_ask_ns), &t->index);
        if (!err)
            err = backup_pull(t, &m, leader->addr, &code);
        if (code)
            break;
    }
    cli_masters_close(&m);
    if (!code && err)
        code = cli_fail(c, "the leader", err);
    return code ? code : backup_seal(t);
}

/* --- of a stopped master --- */

static int backup_copy(struct backup_take *t, const char *dir)
{
    static uint8_t piece[1 << 18];
    char leaf[LOG_NAME_MAX], path[PATH_MAX];
    uint64_t offset = LOG_BLOCK;
    ssize_t n;
    log_format_name(leaf, "image-", t->index);
    snprintf(path, sizeof path, "%s/%s", dir, leaf);
    int code = CLI_OK, fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && !code && (n = read(fd, piece, sizeof piece)) > 0) {
        code = backup_put(t, piece, (size_t)n, offset);
        offset += (uint64_t)n;
    }
    if (fd < 0 || n < 0)
        code = cli_error(t->cli, CLI_FAILED, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return code ? code : backup_seal(t);
}

static int backup_offline(struct backup_take *t, const char *dir)
{
    struct cli_dir d;
    struct cli_dir_journal j = {0};
    struct journal_config jc = journal_config_default();
    struct cli *c = t->cli;
    int code = cli_dir_open(&d, c, dir, CLI_DIR_LOOK);
    if (code)
        return code;
    if (d.meta_err == E_NODATA && !cli_dir_has_log(dir)) {
        cli_dir_close(&d);
        return cli_error(c, CLI_FAILED, "%s: there is no journal here", dir);
    }
    jc.check_only = true;
    int err = cli_dir_journal(&d, &j, &jc);
    t->index = j.status.image_index;
    t->era = d.meta.era;
    t->member = d.meta.member;
    t->behind = j.status.last_index - base_min_u64(j.status.last_index, t->index);
    if (err || j.role != JOURNAL_STANDBY)
        code = cli_error(c, CLI_DATA, "%s: %s; `tarn journal verify` says more", dir,
                         err_text(err ? err : j.why));
    else if (!t->index)
        code = cli_error(c, CLI_FAILED,
                         "%s holds no state image yet, only a log: start the master and take the "
                         "backup from it (without --from), or keep the directory itself",
                         dir);
    else
        code = backup_copy(t, dir);
    cli_dir_close(&d);
    return code;
}

/* a shared directory has no newest image of one's own, and a log of several epochs */
static bool backup_is_shared(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.4000s/fence", dir);
    return !access(path, F_OK);
}

static int backup_state(struct backup_take *t, const char *spec)
{
    static struct cli_migrate_place p;
    static struct cli_migrate_state s;
    static struct cli_dir d[JOURNAL_MEMBERS_MAX];
    static struct cli_migrate_mark found;
    struct raft_conf conf;
    char err[CONFIG_ERROR_MAX];
    unsigned n = 0;
    int code = cli_migrate_place_zk(&p, t->cli, "--from", spec);
    if (!code && p.type == CLI_MIGRATE_ZK)
        code = cli_migrate_zk_ask(t->cli, &p);
    if (!code)
        code = cli_migrate_read(&s, t->cli, &p, false, d, &n);
    if (!code && p.type == CLI_MIGRATE_ZK) {
        found.index = s.index;
        found.epoch = s.epoch;
        found.digest = meta_hash(s.meta);
        code = cli_migrate_zk_again(t->cli, &p, d, &found, "");
    }
    if (!code && (!cli_migrate_conf(s.members, &conf, err, sizeof err) ||
                  lseek(t->fd, LOG_BLOCK, SEEK_SET) != LOG_BLOCK))
        code = cli_error(t->cli, CLI_FAILED, "%s: %s", t->tmp, strerror(errno));
    if (!code)
        code = cli_migrate_image(t->cli, t->fd, t->tmp, &s, &conf);
    t->index = s.index;
    t->era = s.era;
    for (unsigned i = 0; i < n; i++)
        cli_dir_close(&d[i]);
    cli_migrate_state_end(&s);
    cli_migrate_place_end(&p);
    return code ? code : backup_seal(t);
}

static int cli_backup_run(struct cli *c)
{
    struct backup_take t;
    const char *from = cli_value(c, "from", NULL);
    int64_t timeout_ns;
    if (!cli_duration(c, "timeout", backup_timeout_ns, &timeout_ns))
        return CLI_USAGE;
    int code = backup_begin(&t, c);
    if (code)
        return code;
    t.until_ns = cli_now_ns() + timeout_ns;
    t.ask_ns = timeout_ns > 1000000 ? timeout_ns : 1000000;
    code = !from                                                  ? backup_online(&t)
           : cli_migrate_is_typed(from) || backup_is_shared(from) ? backup_state(&t, from)
                                                                  : backup_offline(&t, from);
    close(t.fd);
    if (code)
        unlink(t.tmp);
    else
        code = cli_backup_show(c, t.path, t.behind);
    return code;
}

const struct cli_command cli_backup = {
    "journal",
    "backup",
    "FILE",
    "write the state of the group, or of a single master, to one file",
    "The leader makes a state image, as it does from time to time anyway, and its bytes come "
    "here;\n"
    "nobody waits for that.  FILE is whole and checked when the command has ended with 0.  It "
    "holds\n"
    "names, attributes and sessions, no files' contents: keep it as you keep the journal itself.\n"
    "See `tarn journal restore` and docs/recovery.md.",
    cli_backup_run,
    1,
    1,
    {{"from", 0, "DIR",
      "of the directory of a stopped master instead: its newest state image; local:DIR, "
      "raft:DIR,DIR or zk:DIR: all that the stopped journal holds"},
     {"force", 'f', NULL, "replace FILE"},
     {"timeout", 0, "TIME", "give up after this long (default 10m; 30s while nobody leads)"}},
    .touches = CLI_TOUCHES_NAMED};
