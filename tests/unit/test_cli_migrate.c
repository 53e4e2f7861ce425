/* tests/unit/test_cli_migrate.c - a shared directory as its masters leave it, read to its end: what
 * every record led to there, it leads to here. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_commands.h"
#include "cluster/cli_migrate.h"
#include "core/fmt.h"
#include "journal/zk_elect.h"
#include "journal/zk_fence.h"
#include "tests/unit/unit.h"

static char top[64], shared_dir[80];
static struct cli cli;

/* --- a member: the journal alone, with a state --- */

struct member {
    struct journal_host host;
    struct zk_elect elect;
    struct net *net;
    struct mem mem;
    struct journal *journal;
    struct meta *meta;
    struct env_op op;
    enum journal_role role;
    bool is_leading, is_done;
};

static void member_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    struct member *m = container_of(h, struct member, host);
    struct rbuf r = rbuf_make(rec, len);
    static struct meta_result res;
    struct fsop op;
    CU_ASSERT_FATAL(fsop_get(&r, &op) == 0);
    meta_apply(m->meta, index, &op, &res);
}

static void member_role(struct journal_host *h, enum journal_role role, uint64_t epoch, int why)
{
    struct member *m = container_of(h, struct member, host);
    (void)epoch, (void)why;
    CU_ASSERT(role != JOURNAL_FAILED);
    m->role = role;
    m->is_leading = role == JOURNAL_LEADER;
}

static void member_image_begin(struct journal_host *h)
{
    meta_image_begin(container_of(h, struct member, host)->meta);
}

static uint32_t member_image_next(struct journal_host *h, void *buf, uint32_t cap)
{
    return meta_image_next(container_of(h, struct member, host)->meta, buf, cap);
}

static void member_image_end(struct journal_host *h)
{
    meta_image_end(container_of(h, struct member, host)->meta);
}

static int member_image_load(struct journal_host *h, const void *piece, uint32_t len)
{
    return meta_image_load(container_of(h, struct member, host)->meta, piece, len);
}

static const struct meta_limits limits = {.inodes_max = 100000, .sessions_max = 64};

static void member_image_reset(struct journal_host *h)
{
    struct member *m = container_of(h, struct member, host);
    meta_close(m->meta);
    CU_ASSERT_FATAL(meta_open(&m->mem, &limits, &m->meta) == 0);
}

static void elect_stand(struct zk_elect *e, bool is_on)
{
    e->standing = is_on ? ZK_STANDING_FIRST : ZK_STANDING_NOT;
    if (e->changed)
        e->changed(e, e->ctx);
}

static void elect_number(struct zk_elect *e, uint64_t above, uint64_t *ret_number,
                         struct env_op *op)
{
    *ret_number = above + 1;
    env_reply(net_env(container_of(e, struct member, elect)->net), op, 0);
}

static void elect_serves(struct zk_elect *e, uint64_t epoch)
{
    (void)e, (void)epoch;
}

static void member_done(struct env_op *op)
{
    container_of(op, struct member, op)->is_done = true;
}

static void member_open(struct member *m, uint32_t id)
{
    static const struct zk_elect_vt vt = {
        .stand = elect_stand, .number = elect_number, .serves = elect_serves};
    struct journal_config jc = journal_config_default();
    struct env *shared;
    char own[80];
    memset(m, 0, sizeof *m);
    snprintf(own, sizeof own, "%s/own-%u", top, id);
    struct net_config nc = {.dir = own, .node = "test", .log_level = ENV_LOG_ERROR};
    CU_ASSERT_FATAL(net_open(&nc, &m->net) == 0);
    CU_ASSERT_FATAL(net_shared_open(m->net, shared_dir, &shared) == 0);
    mem_init(&m->mem, net_mem_source(), 1 << 30);
    CU_ASSERT_FATAL(meta_open(&m->mem, &limits, &m->meta) == 0);
    m->elect.vt = &vt;
    m->op.done = member_done;
    m->host = (struct journal_host){.apply = member_apply,
                                    .role = member_role,
                                    .image_begin = member_image_begin,
                                    .image_next = member_image_next,
                                    .image_end = member_image_end,
                                    .image_load = member_image_load,
                                    .image_reset = member_image_reset};
    jc.zk.id = id;
    jc.zk.dir = "";
    jc.segment_bytes = 1 << 20;
    m->journal = zk_drive_open(net_env(m->net), shared, &m->mem, &jc, &m->elect, &m->host);
    CU_ASSERT_FATAL(m->journal != NULL);
    CU_ASSERT_FATAL(
        net_run_until(m->net, &m->is_leading, env_now_ns(net_env(m->net)) + 30000000000LL) == 0);
}

static int64_t member_wait(struct member *m)
{
    CU_ASSERT_FATAL(
        net_run_until(m->net, &m->is_done, env_now_ns(net_env(m->net)) + 30000000000LL) == 0);
    return m->op.ret;
}

static uint64_t records;

static void member_put(struct member *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t rec[512];
        char name[64];
        struct wbuf w = wbuf_make(rec, sizeof rec);
        size_t len = fmt_into(name, sizeof name, "dir-%llu", (unsigned long long)records++);
        struct fsop op = {.kind = records == 1 ? FSOP_SESSION_OPEN : FSOP_MKDIR,
                          .ino = INO_ROOT,
                          .name = name,
                          .name_len = (uint32_t)len,
                          .mode = 0755,
                          .time_ns = (int64_t)records};
        fsop_put(&w, &op);
        m->is_done = false;
        journal_submit(m->journal, w.p, (uint32_t)w.len, &m->op);
        CU_ASSERT_FATAL(member_wait(m) > 0);
    }
}

static void member_image(struct member *m)
{
    m->is_done = false;
    journal_image_now(m->journal, &m->op);
    CU_ASSERT_FATAL(member_wait(m) > 0);
}

/* as kill -9 does: nothing is told, closed or proven any more */
static void member_kill(struct member *m)
{
    net_close(m->net);
}

static void member_forget(struct member *m)
{
    mem_drop(&m->mem);
}

/* --- reading it --- */

static struct cli_migrate_state state;
static struct cli_dir dirs[JOURNAL_MEMBERS_MAX];
static unsigned n_dirs;

static int read_it(void)
{
    static struct cli_migrate_place p;
    char spec[96];
    snprintf(spec, sizeof spec, "zk:%s", shared_dir);
    CU_ASSERT_EQUAL_FATAL(cli_migrate_place(&p, &cli, "--from", spec, false), CLI_OK);
    int code = cli_migrate_read(&state, &cli, &p, false, dirs, &n_dirs);
    for (unsigned i = 0; i < n_dirs; i++)
        cli_dir_close(&dirs[i]);
    return code;
}

static void differs(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "  %s\n", text);
}

static void read_and_compare(const struct member *m)
{
    CU_ASSERT_EQUAL_FATAL(read_it(), CLI_OK);
    CU_ASSERT_EQUAL(meta_compare(m->meta, state.meta, differs, NULL), 0);
    CU_ASSERT(state.index >= meta_applied(m->meta));
    CU_ASSERT_EQUAL(state.cluster_hi, 11);
    cli_migrate_state_end(&state);
}

static void begin(void)
{
    static struct cli_dir d;
    static struct zk_fence f;
    const char *tmp = getenv("TMPDIR");
    records = 0;
    snprintf(top, sizeof top, "%.30s/tarn-test-XXXXXX", tmp ? tmp : "/tmp");
    CU_ASSERT_FATAL(mkdtemp(top) != NULL);
    snprintf(shared_dir, sizeof shared_dir, "%s/shared", top);
    CU_ASSERT_FATAL(mkdir(shared_dir, 0700) == 0);
    cli = (struct cli){.quiet = true, .command = &cli_migrate, .config = config_new()};
    CU_ASSERT_EQUAL_FATAL(cli_dir_open(&d, &cli, shared_dir, CLI_DIR_CHANGE), CLI_OK);
    CU_ASSERT_FATAL(zk_fence_init(&f, net_env(d.net), &d.mem, ""));
    d.done = false;
    zk_fence_format(&f, 11, 12, 64, &d.op); /* small: a real one takes 192 MiB */
    CU_ASSERT_FATAL(cli_dir_wait(&d, &d.done) == 0 && d.op.ret == 0);
    zk_fence_drop(&f);
    cli_dir_close(&d);
}

static void end(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", top);
    CU_ASSERT(system(line) == 0);
    config_free(cli.config);
}

/* leaders come and go, one after the other, images are here and there */
static void test_migrate_reads_a_shared_directory(void)
{
    static struct member m;
    begin();
    CU_ASSERT_EQUAL(read_it(), CLI_FAILED); /* nobody has served: it holds nothing */
    cli_migrate_state_end(&state);
    member_open(&m, 1);
    member_put(&m, 40);
    member_kill(&m);
    read_and_compare(&m); /* a log alone, and its last records were not told */
    member_forget(&m);
    member_open(&m, 2);
    member_put(&m, 20);
    member_image(&m);
    member_put(&m, 20);
    member_kill(&m);
    read_and_compare(&m); /* an image in the middle of a log */
    member_forget(&m);
    for (uint32_t i = 0; i < 3; i++) {
        member_open(&m, 1 + i);
        member_put(&m, 7);
        member_kill(&m);
        read_and_compare(&m); /* three logs behind it */
        member_forget(&m);
    }
    member_open(&m, 3);
    member_image(&m);
    member_kill(&m);
    read_and_compare(&m); /* an image at the end */
    member_forget(&m);
    end();
}

static void newest_log(char *to, size_t cap)
{
    DIR *d = opendir(shared_dir);
    char newest[64] = "";
    for (struct dirent *e; (e = readdir(d));)
        if (!strncmp(e->d_name, "log-", 4) && strcmp(e->d_name, newest) > 0)
            snprintf(newest, sizeof newest, "%.40s", e->d_name);
    closedir(d);
    snprintf(to, cap, "%s/%s", shared_dir, newest);
}

static int flip(const char *path, off_t at)
{
    uint8_t b = 0;
    int fd = open(path, O_RDWR);
    bool ok = fd >= 0 && pread(fd, &b, 1, at) == 1;
    b ^= 0x20;
    ok = ok && pwrite(fd, &b, 1, at) == 1;
    if (fd >= 0)
        close(fd);
    return ok ? 0 : -1;
}

/* a log that is gone, or damaged where it was acknowledged, is no shorter log */
static void test_migrate_refuses_what_is_damaged(void)
{
    static struct member m;
    char log[160], path[200], away[200];
    begin();
    member_open(&m, 1);
    member_put(&m, 40);
    member_kill(&m);
    member_forget(&m);
    member_open(&m, 1);
    member_put(&m, 40);
    member_kill(&m);
    newest_log(log, sizeof log);
    snprintf(away, sizeof away, "%s/away", top);
    CU_ASSERT_FATAL(rename(log, away) == 0);
    CU_ASSERT_EQUAL(read_it(), CLI_DATA);
    cli_migrate_state_end(&state);
    CU_ASSERT_FATAL(rename(away, log) == 0);
    snprintf(path, sizeof path, "%s/wal-%016x", log, 1);
    CU_ASSERT_FATAL(flip(path, 3 * LOG_BLOCK + 110) == 0);
    CU_ASSERT_EQUAL(read_it(), CLI_DATA);
    cli_migrate_state_end(&state);
    CU_ASSERT_FATAL(flip(path, 3 * LOG_BLOCK + 110) == 0);
    read_and_compare(&m);
    snprintf(path, sizeof path, "%s/fence", shared_dir);
    CU_ASSERT_FATAL(flip(path, 20) == 0);
    CU_ASSERT_EQUAL(read_it(), CLI_DATA);
    cli_migrate_state_end(&state);
    member_forget(&m);
    end();
}

UNIT_MAIN("cli_migrate", UNIT(test_migrate_reads_a_shared_directory),
          UNIT(test_migrate_refuses_what_is_damaged))
