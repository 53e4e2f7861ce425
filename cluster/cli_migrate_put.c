/* cluster/cli_migrate_put.c - a state written as a journal of any type, into an empty directory.
 *
 *   migrating (of what, and of which era) -> image-<index> -> journal.meta, or the fence in new/
 *   -> it is read again and compared (cli_migrate.c) -> (zk: the fence takes its place)
 *   -> "migrating" is called "migrated"
 *
 * INVARIANTS
 *  1. The file "migrating" is durable before anything else is, and goes last.  While it is there no
 *     master starts: local and raft look for it, and of zk there is no fence yet.
 *  2. It says of what source, up to which record, with which digest, and what the new era is: who
 *     goes on after an interruption goes on with the same, or not at all.
 *  3. What each step makes has its name only when it is whole and durable; so a step that was
 *     interrupted is done again, and one that was done is not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_migrate.h"
#include "core/crc.h"
#include "core/fmt.h"
#include "journal/backup.h"
#include "journal/log_meta.h"
#include "journal/raft_format.h"

enum { PUT_PIECE = 128 * 1024, PUT_SEGMENT = 64 * 1024, PUT_PATH = CLI_DIR_PATH + 64 };
static_assert((int)PUT_PIECE >= (int)JOURNAL_PIECE_MIN, "what an image's pieces may take");

struct put {
    const struct cli *cli;
    const struct cli_migrate_place *place;
    const struct cli_migrate_mark *mark;
    const char *dir;
    uint32_t id;
    char images[CLI_DIR_PATH + 32]; /* where its image goes */
    int fd;
    char tmp[PUT_PATH + 64];
    struct cli_progress progress;
};

static int put_error(const struct cli *c, const char *path)
{
    return cli_error(c, CLI_FAILED, "%s: %s", path, strerror(errno));
}

static bool put_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && !fsync(fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* --- the mark --- */

static size_t put_mark_text(const struct cli_migrate_mark *m, char *to, size_t cap)
{
    size_t n = fmt_into(to, cap,
                        "tarn migration 1\ncluster %s\nfrom %s\nindex %llu\nepoch %llu\n"
                        "digest %016llx\nera %016llx\nto %s\nmember %u\nmembers %s\n",
                        m->cluster, m->from, (unsigned long long)m->index,
                        (unsigned long long)m->epoch, (unsigned long long)m->digest,
                        (unsigned long long)m->era, m->type, m->id, m->members);
    return n + fmt_into(to + n, cap - n, "sum %08x\n", crc_update(0, to, n));
}

static void put_line(const char *text, const char *key, char *to, size_t cap)
{
    char head[32];
    size_t n = fmt_into(head, sizeof head, "\n%s ", key);
    const char *at = strstr(text, head);
    *to = 0;
    if (at)
        fmt_into(to, cap, "%.*s", (int)strcspn(at + n, "\n"), at + n);
}

static uint64_t put_line_u64(const char *text, const char *key, int base)
{
    char value[32];
    put_line(text, key, value, sizeof value);
    return strtoull(value, NULL, base);
}

static bool put_mark_read(const char *dir, const char *leaf, struct cli_migrate_mark *m)
{
    static char text[4 * CLI_DIR_PATH];
    char path[PUT_PATH];
    memset(m, 0, sizeof *m);
    snprintf(path, sizeof path, "%s/%s", dir, leaf);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    char *sum = strstr(text, "\nsum ");
    if (strncmp(text, "tarn migration 1\n", 17) != 0 || !sum ||
        put_line_u64(text, "sum", 16) != crc_update(0, text, (size_t)(sum + 1 - text)))
        return false;
    put_line(text, "cluster", m->cluster, sizeof m->cluster);
    put_line(text, "from", m->from, sizeof m->from);
    put_line(text, "to", m->type, sizeof m->type);
    put_line(text, "members", m->members, sizeof m->members);
    m->index = put_line_u64(text, "index", 10);
    m->epoch = put_line_u64(text, "epoch", 10);
    m->digest = put_line_u64(text, "digest", 16);
    m->era = put_line_u64(text, "era", 16);
    m->id = (uint32_t)put_line_u64(text, "member", 10);
    return true;
}

enum cli_migrate_life cli_migrate_look(const char *dir, struct cli_migrate_mark *ret_m)
{
    DIR *d = opendir(dir);
    bool is_empty = true, is_begun = false, is_whole = false;
    for (struct dirent *e; d && (e = readdir(d));) {
        is_begun |= !strcmp(e->d_name, LOG_META_UNFINISHED);
        is_whole |= !strcmp(e->d_name, CLI_MIGRATE_DONE);
        is_empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
                    !strcmp(e->d_name, LOG_META_UNFINISHED ".tmp"); /* then there is no more */
    }
    if (d)
        closedir(d);
    memset(ret_m, 0, sizeof *ret_m);
    if (is_begun && put_mark_read(dir, LOG_META_UNFINISHED, ret_m))
        return CLI_MIGRATE_BEGUN;
    if (!is_begun && is_whole && put_mark_read(dir, CLI_MIGRATE_DONE, ret_m))
        return CLI_MIGRATE_WHOLE;
    return is_empty ? CLI_MIGRATE_EMPTY : CLI_MIGRATE_FOREIGN;
}

static int put_write(struct put *p, const void *bytes, size_t n)
{
    for (const char *b = bytes; n;) {
        ssize_t done = write(p->fd, b, n);
        if (done <= 0)
            return put_error(p->cli, p->tmp);
        b += done;
        n -= (size_t)done;
        if (p->progress.what)
            cli_progress_add(&p->progress, (uint64_t)done, 0);
    }
    return CLI_OK;
}

/* p->tmp is written: durable, and then with its name */
static int put_seal(struct put *p, int code, const char *path, const char *dir)
{
    if (!code && (fsync(p->fd) || rename(p->tmp, path) || !put_sync_dir(dir)))
        code = put_error(p->cli, path);
    close(p->fd);
    return code;
}

static int put_create(struct put *p)
{
    p->fd = open(p->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return p->fd < 0 ? put_error(p->cli, p->tmp) : CLI_OK;
}

static int put_mark(struct put *p)
{
    static char text[4 * CLI_DIR_PATH];
    char path[PUT_PATH];
    struct cli_migrate_mark m = *p->mark;
    m.id = p->id;
    snprintf(path, sizeof path, "%s/" LOG_META_UNFINISHED, p->dir);
    snprintf(p->tmp, sizeof p->tmp, "%s.tmp", path);
    int code = put_create(p);
    if (code)
        return code;
    return put_seal(p, put_write(p, text, put_mark_text(&m, text, sizeof text)), path, p->dir);
}

/* --- the image --- */

/* an interrupted migration came so far */
static bool put_has_image(const char *path, const struct log_image *want)
{
    struct stat st;
    struct backup_walk w;
    const uint8_t *bytes;
    uint32_t len;
    int fd = open(path, O_RDONLY | O_CLOEXEC), ret = E_EOF;
    void *p = fd < 0 || fstat(fd, &st) || !st.st_size
                  ? MAP_FAILED
                  : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED)
        return false;
    ret = backup_walk_begin(&w, p, (uint64_t)st.st_size);
    while (!ret && (ret = backup_walk_next(&w, &bytes, &len)) == 1)
        ret = 0;
    bool ok = !ret && w.head.index == want->index && w.head.epoch == want->epoch &&
              w.head.cluster_hi == want->cluster_hi && w.head.cluster_lo == want->cluster_lo;
    munmap(p, (size_t)st.st_size);
    return ok;
}

/* --- its writing --- */

static int put_flush(struct put *p, struct backup_out *o)
{
    int code = put_write(p, o->buf, o->len);
    o->len = 0;
    return code;
}

static int put_pieces(struct put *p, struct backup_out *o, struct cli_migrate_state *s,
                      const struct raft_conf *conf)
{
    static uint8_t piece[PUT_PIECE];
    uint32_t n;
    int code = put_flush(p, o);
    if (conf->n) { /* the group, as of this image */
        struct wbuf w = wbuf_make(piece, sizeof piece);
        raft_format_image_put(&w, s->index, s->epoch, conf);
        ASSERT(!w.bad);
        backup_out_piece(o, piece, (uint32_t)w.len);
        code = code ? code : put_flush(p, o);
    }
    meta_image_begin(s->meta);
    while (!code && (n = meta_image_next(s->meta, piece, sizeof piece)) > 0) {
        backup_out_piece(o, piece, n);
        code = put_flush(p, o);
    }
    meta_image_end(s->meta);
    if (code)
        return code;
    backup_out_end(o);
    return put_flush(p, o);
}

static struct log_image put_head(const struct cli_migrate_state *s)
{
    return (struct log_image){.cluster_hi = s->cluster_hi,
                              .cluster_lo = s->cluster_lo,
                              .index = s->index,
                              .epoch = s->epoch};
}

int cli_migrate_image(const struct cli *c, int fd, const char *path, struct cli_migrate_state *s,
                      const struct raft_conf *conf)
{
    static struct put u;
    struct backup_out o = {0};
    struct log_image head = put_head(s);
    struct meta_stats st;
    uint8_t *buf = malloc(LOG_PIECE_MAX + LOG_BLOCK);
    ASSERT(buf);
    u = (struct put){.cli = c, .fd = fd};
    fmt_into(u.tmp, sizeof u.tmp, "%s", path);
    o.buf = buf;
    meta_stats(s->meta, &st);
    cli_progress_start(&u.progress, c, path, st.bytes);
    backup_out_begin(&o, &head);
    int code = put_pieces(&u, &o, s, conf);
    cli_progress_end(&u.progress);
    free(buf);
    return code;
}

static int put_image(struct put *p, struct cli_migrate_state *s)
{
    static const struct raft_conf none;
    char leaf[LOG_NAME_MAX], path[PUT_PATH + 32];
    struct log_image head = put_head(s);
    log_format_name(leaf, "image-", s->index);
    snprintf(path, sizeof path, "%s/%s", p->images, leaf);
    snprintf(p->tmp, sizeof p->tmp, "%s/image.tmp", p->images);
    if (put_has_image(path, &head))
        return CLI_OK;
    int code = put_create(p);
    if (code)
        return code;
    code = cli_migrate_image(p->cli, p->fd, p->tmp, s,
                             p->place->type == CLI_MIGRATE_RAFT ? &p->place->conf : &none);
    return put_seal(p, code, path, p->images);
}

/* --- what makes a journal of it --- */

/* A log without records.  A single master's says where it begins: with none at all the image would
 * prove that one is lost.  One on shared storage counts from what the fence says that it stands on.
 */
static int put_log(struct put *p, const struct cli_migrate_state *s, const char *dir,
                   uint64_t first_index)
{
    static uint8_t block[LOG_BLOCK], zeros[PUT_SEGMENT - LOG_BLOCK];
    char leaf[LOG_NAME_MAX], path[PUT_PATH + 32];
    struct log_segment h = {.cluster_hi = s->cluster_hi,
                            .cluster_lo = s->cluster_lo,
                            .seq = 1,
                            .first_index = first_index,
                            .epoch = p->mark->epoch,
                            .durable_upto = first_index - 1,
                            .bytes = PUT_SEGMENT};
    memcpy(block, &h, sizeof h);
    log_format_seal(block, sizeof block, LOG_SEGMENT_MAGIC);
    log_format_name(leaf, "wal-", h.seq);
    snprintf(path, sizeof path, "%s/%s", dir, leaf);
    snprintf(p->tmp, sizeof p->tmp, "%s/wal.tmp", dir);
    int code = put_create(p);
    if (code)
        return code;
    code = put_write(p, block, sizeof block);
    return put_seal(p, code ? code : put_write(p, zeros, sizeof zeros), path, dir);
}

static int put_meta(struct put *p, struct cli_migrate_state *s, struct cli_dir *d)
{
    static struct log_meta_file f;
    uint64_t disk;
    if (!d->meta_err)
        return CLI_OK; /* it was there when the directory was opened */
    if (getrandom(&disk, sizeof disk, 0) != sizeof disk)
        return cli_error(p->cli, CLI_FAILED, "no random numbers: %s", strerror(errno));
    bool ok = log_meta_init(&f, net_env(d->net), &d->mem, "");
    ASSERT(ok);
    f.meta = (struct log_meta){.cluster_hi = s->cluster_hi,
                               .cluster_lo = s->cluster_lo,
                               .epoch = p->mark->epoch,
                               .disk = disk | 1,
                               .member = p->place->type == CLI_MIGRATE_RAFT ? p->id : 0,
                               .era = s->era};
    f.is_new = true;
    d->done = false;
    log_meta_save(&f, &d->op);
    int err = cli_dir_wait(d, &d->done);
    if (err)
        return cli_error(p->cli, CLI_FAILED, "%s: the disk did not answer", p->dir);
    err = (int)d->op.ret;
    log_meta_drop(&f);
    if (!err && !put_sync_dir(p->dir))
        err = E_IO;
    return err ? cli_error(p->cli, CLI_FAILED, "%s/journal.meta: %s", p->dir, err_text(err))
               : CLI_OK;
}

/* As if who wrote the image had led up to it, and then a last one who wrote nothing: masters that
 * start find an epoch that served, and go on from there. */
static int put_fence(struct put *p, struct cli_migrate_state *s, struct cli_dir *d)
{
    char path[PUT_PATH];
    snprintf(path, sizeof path, "%s/fence", p->dir);
    if (!access(path, F_OK)) /* it takes its place when all was compared */
        return CLI_OK;
    snprintf(path, sizeof path, "%s/new", p->dir);
    if (mkdir(path, 0777) && errno != EEXIST)
        return put_error(p->cli, path);
    struct zk_fence_served e = {
        .epoch = p->mark->epoch, .base = s->index, .end = s->index, .member = p->id};
    char leaf[LOG_NAME_MAX];
    log_format_name(leaf, "log-", e.epoch);
    snprintf(path, sizeof path, "%s/%s", p->dir, leaf);
    if (mkdir(path, 0777) && errno != EEXIST)
        return put_error(p->cli, path);
    int code = put_log(p, s, path, 1);
    return code ? code : cli_migrate_zk_fence(p->cli, d, "new/", s->cluster_hi, s->cluster_lo, &e);
}

static int put_dirs(struct put *p)
{
    snprintf(p->images, sizeof p->images, "%s", p->dir);
    if (p->place->type != CLI_MIGRATE_ZK)
        return CLI_OK;
    snprintf(p->images, sizeof p->images, "%s/images", p->dir);
    if (mkdir(p->images, 0777) && errno != EEXIST)
        return put_error(p->cli, p->images);
    snprintf(p->images, sizeof p->images, "%s/images/%u", p->dir, p->id);
    if (mkdir(p->images, 0777) && errno != EEXIST)
        return put_error(p->cli, p->images);
    return put_sync_dir(p->dir) ? CLI_OK : put_error(p->cli, p->dir);
}

int cli_migrate_put(struct cli *c, const struct cli_migrate_place *p, unsigned i,
                    const struct cli_migrate_mark *m, struct cli_migrate_state *s,
                    struct cli_dir *d)
{
    static struct put u;
    struct cli_migrate_mark there;
    u = (struct put){.cli = c, .place = p, .mark = m, .dir = p->dir[i], .id = p->id[i], .fd = -1};
    int code = CLI_OK;
    if (cli_migrate_look(u.dir, &there) == CLI_MIGRATE_EMPTY)
        code = put_mark(&u);
    if (!code)
        code = put_dirs(&u);
    if (!code)
        code = put_image(&u, s);
    if (!code && p->type == CLI_MIGRATE_LOCAL)
        code = put_log(&u, s, u.dir, s->index + 1);
    if (!code)
        code = p->type == CLI_MIGRATE_ZK ? put_fence(&u, s, d) : put_meta(&u, s, d);
    return code;
}

int cli_migrate_finish(struct cli *c, const struct cli_migrate_place *p, unsigned i)
{
    char from[PUT_PATH], to[PUT_PATH];
    const char *dir = p->dir[i];
    if (p->type == CLI_MIGRATE_ZK) {
        snprintf(from, sizeof from, "%s/new/fence", dir);
        snprintf(to, sizeof to, "%s/fence", dir);
        if (!access(from, F_OK) && (rename(from, to) || !put_sync_dir(dir)))
            return put_error(c, to);
        snprintf(from, sizeof from, "%s/new", dir);
        rmdir(from);
    }
    snprintf(from, sizeof from, "%s/" LOG_META_UNFINISHED, dir);
    snprintf(to, sizeof to, "%s/" CLI_MIGRATE_DONE, dir);
    return rename(from, to) || !put_sync_dir(dir) ? put_error(c, to) : CLI_OK;
}
