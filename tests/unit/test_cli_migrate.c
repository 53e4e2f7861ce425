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

/* slots: few; a real one takes 192 MiB.  served: so many epochs have, each on the one before */
static void begin_with(uint32_t slots, uint64_t served)
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
    zk_fence_format(&f, 11, 12, slots, &d.op);
    CU_ASSERT_FATAL(cli_dir_wait(&d, &d.done) == 0 && d.op.ret == 0);
    for (uint64_t i = 0; i <= 2 * served + 1 && served; i++) {
        d.done = false;
        if (!i)
            zk_fence_open(&f, &d.op);
        else if (i > 2 * served)
            zk_fence_close(&f, &d.op);
        else if (i % 2)
            zk_fence_claim(&f, (i + 1) / 2, 1, i, &d.op);
        else
            zk_fence_serve(&f, i / 2 - 1, 0, 0, &d.op);
        CU_ASSERT_FATAL(cli_dir_wait(&d, &d.done) == 0 && d.op.ret == 0);
    }
    zk_fence_drop(&f);
    cli_dir_close(&d);
}

static void begin(void)
{
    begin_with(64, 0);
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

static int zeros(const char *path, off_t from)
{
    static const uint8_t none[LOG_BLOCK];
    struct stat st;
    int fd = open(path, O_RDWR);
    bool ok = fd >= 0 && !fstat(fd, &st);
    for (off_t at = from; ok && at < st.st_size; at += LOG_BLOCK)
        ok = pwrite(fd, none, LOG_BLOCK, at) == LOG_BLOCK;
    if (fd >= 0)
        close(fd);
    return ok ? 0 : -1;
}

/* An image tells that so much was acknowledged, also when it cannot be read: a log that ends before
 * it is no older state. */
static void test_migrate_knows_a_bad_image(void)
{
    static struct member m;
    char log[160], wal[200], image[200] = "";
    begin();
    member_open(&m, 1);
    member_put(&m, 20);
    member_kill(&m);
    member_forget(&m);
    member_open(&m, 2);
    member_put(&m, 20);
    member_image(&m);
    member_kill(&m);
    snprintf(image, sizeof image, "%s/images/2", shared_dir);
    DIR *d = opendir(image);
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, "image-", 6))
            snprintf(image, sizeof image, "%s/images/2/%.40s", shared_dir, e->d_name);
    closedir(d);
    CU_ASSERT_FATAL(flip(image, LOG_BLOCK + 40) == 0);
    read_and_compare(&m); /* the log has it all */
    newest_log(log, sizeof log);
    snprintf(wal, sizeof wal, "%s/wal-%016x", log, 1);
    CU_ASSERT_FATAL(zeros(wal, 6 * LOG_BLOCK) == 0);
    CU_ASSERT_EQUAL(read_it(), CLI_DATA);
    cli_migrate_state_end(&state);
    member_forget(&m);
    end();
}

/* --- verify and dump --- */

static char said[1 << 16];

/* the command on the shared directory; what it says, on either output, is in said[] */
static int say(const struct cli_command *what, bool json)
{
    char path[96], spec[96];
    char *args[] = {spec};
    struct cli c = {.quiet = true, .json = json, .command = what, .config = cli.config};
    snprintf(spec, sizeof spec, "zk:%s", shared_dir);
    c.args = args;
    c.n_args = 1;
    snprintf(path, sizeof path, "%s/said", top);
    int out = dup(1), err = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    fflush(stdout);
    CU_ASSERT_FATAL(out >= 0 && err >= 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2);
    int code = what->run(&c);
    fflush(stdout);
    ssize_t n = pread(fd, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = 0;
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    close(fd);
    return code;
}

static bool says(const char *text)
{
    if (strstr(said, text))
        return true;
    fprintf(stderr, "not \"%s\", but: %.600s\n", text, said);
    return false;
}

/* records from 1 on, without a gap */
static unsigned said_records(void)
{
    unsigned n = 0;
    for (const char *p = said; p && *p; p = strchr(p, '\n'), p += p != NULL)
        if (*p >= '0' && *p <= '9' && strtoul(p, NULL, 10) == n + 1)
            n++;
    return n;
}

static void test_verify_and_dump_of_a_shared_directory(void)
{
    static struct member m;
    char log[160], path[200];
    begin();
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_OK);
    CU_ASSERT(says("ok: no record yet"));
    member_open(&m, 1);
    member_put(&m, 20);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_FAILED);
    CU_ASSERT(says("a running master has it; stop that first"));
    CU_ASSERT_EQUAL(say(&cli_journal_dump, false), CLI_FAILED);
    CU_ASSERT(says("a running master has it; stop that first"));
    member_kill(&m);
    member_forget(&m);
    member_open(&m, 2);
    member_put(&m, 20);
    member_kill(&m);
    member_forget(&m);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_OK);
    CU_ASSERT(says("ok: records 1 to 4"));
    CU_ASSERT(says("epoch 2, 60 epochs left"));
    CU_ASSERT_EQUAL(say(&cli_verify, true), CLI_OK);
    CU_ASSERT(says("\"starts\":\ttrue") && says("\"epoch\":\t2") && says("\"logs\":\t2"));
    CU_ASSERT_EQUAL(say(&cli_journal_dump, false), CLI_OK);
    CU_ASSERT(said_records() >= 40);
    CU_ASSERT(says(" epoch=1 mkdir ") && says(" epoch=2 mkdir ") && says("name=\"dir-39\""));
    CU_ASSERT(strstr(said, "# ") == NULL);
    CU_ASSERT_EQUAL(say(&cli_journal_dump, true), CLI_OK);
    CU_ASSERT(said[0] == '[' && says("\"kind\":\"mkdir\""));

    /* a log that is damaged where it counts, and one that lacks a segment */
    newest_log(log, sizeof log);
    snprintf(path, sizeof path, "%s/wal-%016x", log, 1);
    CU_ASSERT_FATAL(flip(path, 3 * LOG_BLOCK + 110) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_DATA);
    CU_ASSERT(says("log-0000000000000002/wal-0000000000000001: damaged at offset 12288"));
    CU_ASSERT(says("Restore the file from a copy"));
    CU_ASSERT_EQUAL(say(&cli_verify, true), CLI_DATA);
    CU_ASSERT(says("\"starts\":\tfalse") && says("damaged at offset 12288"));
    CU_ASSERT_EQUAL(say(&cli_journal_dump, false), CLI_DATA);
    CU_ASSERT(says("log-0000000000000002/wal-0000000000000001: offset 12288: not intact"));
    char away[200];
    snprintf(away, sizeof away, "%s/away", top);
    CU_ASSERT_FATAL(rename(path, away) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_DATA);
    CU_ASSERT(says("log-0000000000000002/wal-0000000000000001: it is not there"));
    CU_ASSERT_FATAL(rename(away, path) == 0);
    CU_ASSERT_FATAL(flip(path, 3 * LOG_BLOCK + 110) == 0);
    snprintf(path, sizeof path, "%s/owner", log);
    CU_ASSERT_FATAL(flip(path, 20) == 0 && flip(path, LOG_BLOCK + 20) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_DATA);
    CU_ASSERT(says("log-0000000000000002/owner: checksum mismatch"));
    CU_ASSERT_FATAL(flip(path, 20) == 0 && flip(path, LOG_BLOCK + 20) == 0);

    /* the fence: both copies of what an older epoch stands on; its head */
    snprintf(path, sizeof path, "%s/fence", shared_dir);
    off_t at[] = {(1 + 64 + 1) * LOG_BLOCK + 20, (1 + 2 * 64 + 1) * LOG_BLOCK + 20};
    CU_ASSERT_FATAL(flip(path, at[0]) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_OK); /* one is enough */
    CU_ASSERT_FATAL(flip(path, at[1]) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_DATA);
    CU_ASSERT(says("shared/fence: what epoch 1 stands on cannot be read (offset 270336)"));
    CU_ASSERT_FATAL(flip(path, at[0]) == 0 && flip(path, at[1]) == 0 && flip(path, 20) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_DATA);
    CU_ASSERT(says("shared/fence: checksum mismatch.  Nothing was changed.  Restore"));
    CU_ASSERT_FATAL(flip(path, 20) == 0);
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_OK);
    end();
}

/* more epochs than the list of them begins with */
static void test_dump_of_many_epochs(void)
{
    begin_with(320, 300);
    CU_ASSERT_EQUAL(say(&cli_journal_dump, false), CLI_OK);
    end();
}

/* one that is bad is named, though a master starts without it */
static void test_verify_reads_every_image(void)
{
    static struct member m;
    char path[200] = "";
    begin();
    for (uint32_t i = 1; i <= 2; i++) {
        member_open(&m, i);
        member_put(&m, 20);
        member_image(&m);
        member_kill(&m);
        member_forget(&m);
    }
    CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_OK);
    CU_ASSERT(says("of member 2, 2 images"));
    CU_ASSERT_EQUAL(say(&cli_journal_dump, false), CLI_OK);
    for (uint32_t member = 1; member <= 2; member++) {
        snprintf(path, sizeof path, "%s/images/%u", shared_dir, member);
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));)
            if (!strncmp(e->d_name, "image-", 6))
                snprintf(path, sizeof path, "%s/images/%u/%.40s", shared_dir, member, e->d_name);
        closedir(d);
        CU_ASSERT_FATAL(flip(path, LOG_BLOCK + 40) == 0);
        CU_ASSERT_EQUAL(say(&cli_verify, false), CLI_DATA);
        CU_ASSERT(says(path + strlen(shared_dir) + 1) && says("a master starts from here"));
        CU_ASSERT_EQUAL(say(&cli_verify, true), CLI_DATA);
        CU_ASSERT(says("\"ok\":\tfalse") && says("\"starts\":\ttrue") && says("images/"));
        CU_ASSERT_FATAL(flip(path, LOG_BLOCK + 40) == 0);
    }
    end();
}

UNIT_MAIN("cli_migrate", UNIT(test_migrate_reads_a_shared_directory),
          UNIT(test_migrate_refuses_what_is_damaged),
          UNIT(test_verify_and_dump_of_a_shared_directory), UNIT(test_verify_reads_every_image),
          UNIT(test_migrate_knows_a_bad_image), UNIT(test_dump_of_many_epochs))
