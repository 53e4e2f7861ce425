/* cluster/cli_dir.c - see cli_dir.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cluster/cli_dir.h"
#include "cluster/config_zk.h"
#include "core/fmt.h"
#include "journal/era.h"
#include "journal/log_meta.h"
#include "net/net_denied.h"

enum { CLI_DIR_MEM = 192 << 20, DIR_TRIES = 10, DIR_PAUSE_US = 50000 };
static const int64_t dir_wait_ns = 60000000000LL, dir_journal_ns = 3600000000000LL;

static void dir_done(struct env_op *op)
{
    container_of(op, struct cli_dir, op)->done = true;
}

static void dir_log(void *ctx, enum env_log level, const char *node, const char *line)
{
    struct cli_dir *d = ctx;
    (void)node;
    if (level > ENV_LOG_WARN || d->is_opening)
        return;
    d->complaints++;
    fmt_into(d->complaint, sizeof d->complaint, "%s", line);
    if (!d->cli->json)
        cli_error(d->cli, 0, "%s", line);
}

int cli_dir_wait(struct cli_dir *d, const bool *flag)
{
    return net_run_until(d->net, flag, env_now_ns(net_env(d->net)) + dir_wait_ns);
}

/* whose journal it is; what is wrong with the file is said by those who need it */
static void dir_meta(struct cli_dir *d)
{
    struct log_meta_file f = {0};
    d->meta_err = E_NOMEM;
    if (!log_meta_init(&f, net_env(d->net), &d->mem, ""))
        return;
    d->done = false;
    log_meta_read(&f, &d->op);
    d->meta_err = cli_dir_wait(d, &d->done);
    if (d->meta_err)
        return;
    d->meta_err = (int)d->op.ret;
    if (!d->meta_err)
        d->meta = f.meta;
    log_meta_drop(&f);
}

static int dir_by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

unsigned cli_dir_members(const char *base, char (*to)[CLI_DIR_PATH], unsigned cap)
{
    char parent[CLI_DIR_PATH];
    uint32_t id[JOURNAL_MEMBERS_MAX];
    unsigned n = 0;
    const char *slash = strrchr(base, '/'), *leaf = slash ? slash + 1 : base;
    size_t len = strlen(leaf);
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - base) + 1 : 1,
             slash ? base : ".");
    DIR *d = opendir(parent);
    for (struct dirent *e; d && (e = readdir(d)) && n < cap && n < ARRAY_LEN(id);) {
        char *end, meta[CLI_DIR_PATH + 32];
        if (strncmp(e->d_name, leaf, len) != 0 || e->d_name[len] != '-' ||
            e->d_name[len + 1] < '1' || e->d_name[len + 1] > '9')
            continue;
        unsigned long v = strtoul(e->d_name + len + 1, &end, 10);
        snprintf(meta, sizeof meta, "%s-%lu/journal.meta", base, v);
        if (!*end && v <= UINT32_MAX && !access(meta, F_OK))
            id[n++] = (uint32_t)v;
    }
    if (d)
        closedir(d);
    qsort(id, n, sizeof *id, dir_by_number);
    for (unsigned i = 0; i < n; i++)
        snprintf(to[i], CLI_DIR_PATH, "%s-%u", base, id[i]);
    return n;
}

static int dir_missing(const struct cli *c, const char *dir)
{
    static char member[JOURNAL_MEMBERS_MAX][CLI_DIR_PATH];
    char text[CLI_DIR_LINE] = "";
    size_t at = 0;
    int why = errno;
    unsigned n = cli_dir_members(dir, member, ARRAY_LEN(member));
    for (unsigned i = 0; i < n; i++)
        at += fmt_into(text + at, sizeof text - at, " %s", member[i]);
    return n ? cli_error(c, CLI_FAILED, "%s: %s; the members of its group lie in%s: name one", dir,
                         strerror(why), text)
             : cli_error(c, CLI_FAILED, "%s: %s", dir, strerror(why));
}

static int dir_unusable(const struct cli *c, const char *dir, enum cli_dir_use use, int err)
{
    char why[NET_DENIED];
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool is_denied =
        fd >= 0 && err != E_BUSY &&
        net_denied(fd, dir, "", R_OK | X_OK | (use == CLI_DIR_LOOK ? 0 : W_OK), why, sizeof why);
    if (fd >= 0)
        close(fd);
    return is_denied ? cli_error(c, CLI_FAILED, "%s", why)
                     : cli_error(c, CLI_FAILED, "%s: %s", dir,
                                 err == E_BUSY ? "a running master has it; stop that first"
                                               : err_text(err));
}

int cli_dir_open(struct cli_dir *d, const struct cli *c, const char *dir, enum cli_dir_use use)
{
    memset(d, 0, sizeof *d);
    d->cli = c;
    d->dir = dir;
    d->op.done = dir_done;
    if (!*dir)
        return cli_error(c, CLI_USAGE, "name a master's directory, or set master.dir");
    if (access(dir, F_OK)) /* it would be made */
        return dir_missing(c, dir);
    struct net_config nc = {.dir = dir,
                            .dir_readonly = use == CLI_DIR_LOOK,
                            .node = "journal",
                            .log_level = ENV_LOG_WARN,
                            .log = dir_log,
                            .log_ctx = d};
    d->is_opening = true;
    int err = net_open(&nc, &d->net);
    for (int i = 0; err == E_BUSY && i < DIR_TRIES; i++) { /* who was killed may not be gone yet */
        usleep(DIR_PAUSE_US);
        err = net_open(&nc, &d->net);
    }
    d->is_opening = false;
    if (err)
        return dir_unusable(c, dir, use, err);
    mem_init(&d->mem, net_mem_source(), CLI_DIR_MEM);
    dir_meta(d);
    return CLI_OK;
}

void cli_dir_close(struct cli_dir *d)
{
    cli_net_close(d->net);
    mem_drop(&d->mem);
}

static void dir_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    (void)h, (void)index, (void)rec, (void)len;
    ASSERT(!"a look applies nothing");
}

static void dir_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct cli_dir_journal *j = container_of(h, struct cli_dir_journal, host);
    (void)epoch;
    j->role = role;
    j->why = why;
    j->decided = true;
}

static int dir_image(struct journal_host *h, const void *piece, uint32_t len)
{
    (void)h, (void)piece, (void)len;
    return 0;
}

static void dir_image_reset(struct journal_host *h)
{
    (void)h;
}

int cli_dir_journal(struct cli_dir *d, struct cli_dir_journal *j, const struct journal_config *cfg)
{
    struct journal_config jc = *cfg;
    struct env *e = net_env(d->net);
    if (!j->host.apply)
        j->host = (struct journal_host){
            .apply = dir_apply, .image_load = dir_image, .image_reset = dir_image_reset};
    j->host.role = dir_role;
    j->decided = false;
    jc.dir = "";
    jc.raft.id = d->meta.member;
    struct journal *of = d->meta.member ? raft_open(e, &d->mem, &jc, &j->host)
                                        : local_open(e, &d->mem, &jc, &j->host);
    ASSERT(of);
    if (net_run_until(d->net, &j->decided, env_now_ns(e) + dir_journal_ns))
        return E_TIMEOUT;
    journal_status(of, &j->status);
    d->done = false;
    journal_stop(of, &d->op);
    return cli_dir_wait(d, &d->done);
}

bool cli_dir_has_log(const char *dir)
{
    DIR *d = opendir(dir);
    uint64_t number;
    bool has = false;
    for (struct dirent *e; d && (e = readdir(d));)
        has = has || log_format_name_parse(e->d_name, "wal-", &number) ||
              log_format_name_parse(e->d_name, "image-", &number);
    if (d)
        closedir(d);
    return has;
}

bool cli_dir_is_zk(const struct cli *c, const char *dir)
{
    char fence[CLI_DIR_PATH + 8];
    if (!dir)
        return config_zk_is(c->config);
    snprintf(fence, sizeof fence, "%.4000s/fence", dir);
    return !strncmp(dir, "zk:", 3) || !access(fence, F_OK);
}

int cli_dir_open_zk(struct cli_dir *d, const struct cli *c, const char *dir)
{
    return access(dir, F_OK) ? cli_error(c, CLI_FAILED, "%s: %s%s", dir, strerror(errno),
                                         errno == ENOENT ? ": is the shared storage mounted?" : "")
                             : cli_dir_open(d, c, dir, CLI_DIR_LOOK);
}

enum cli_dir_life cli_dir_life(struct cli_dir *d, struct cli_dir_journal *j)
{
    const struct log_meta *m = &d->meta;
    struct journal_config jc = journal_config_default();
    memset(j, 0, sizeof *j);
    if (d->meta_err == E_NODATA)
        return cli_dir_has_log(d->dir) ? CLI_DIR_BAD : CLI_DIR_BLANK;
    jc.check_only = true;
    if (d->meta_err || !m->member || cli_dir_journal(d, j, &jc) || j->role != JOURNAL_STANDBY)
        return CLI_DIR_BAD;
    if (m->is_guest || m->epoch || m->vote || m->era || j->status.image_index ||
        j->status.last_index > 1)
        return CLI_DIR_USED;
    return j->status.last_index ? CLI_DIR_MADE : CLI_DIR_BEGUN;
}

size_t cli_dir_member(char *to, size_t cap, uint32_t id, const char *addr, unsigned priority)
{
    size_t n = fmt_into(to, cap, "%u@%s", id, addr);
    return priority ? n + fmt_into(to + n, cap - n, "=%u", priority) : n;
}

void cli_dir_member_list(char *to, size_t cap, const struct journal_status *st)
{
    size_t at = 0;
    *to = 0;
    for (uint32_t i = 0; i < st->n; i++) {
        at += fmt_into(to + at, cap - at, "%s", i ? "," : "");
        at += cli_dir_member(to + at, cap - at, st->member[i].id, st->member[i].addr,
                             st->member[i].priority);
    }
}

const char *cli_dir_era(char to[CLI_DIR_ERA], uint64_t era)
{
    time_t t = era_number(era);
    struct tm tm;
    size_t n = era ? strftime(to, CLI_DIR_ERA, "%Y-%m-%dT%H:%M:%SZ ", gmtime_r(&t, &tm)) : 0;
    snprintf(to + n, CLI_DIR_ERA - n, era ? "%016llx" : "%llu", (unsigned long long)era);
    return to;
}

void cli_dir_era_json(cJSON *j, uint64_t era)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)era);
    cJSON_AddStringToObject(j, "era", hex);
}

bool cli_dir_era_parse(const char *hex, uint64_t *ret_era)
{
    *ret_era = strtoull(hex, NULL, 16);
    return strlen(hex) == 16 && strspn(hex, "0123456789abcdefABCDEF") == 16;
}
