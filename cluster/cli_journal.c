/* cluster/cli_journal.c - `tarn journal`: looks into the directory of a stopped master.
 *
 *   dump    every record in the order of its index, as text or as one JSON object a line
 *   verify  what a start would read: identity, every image, the log to its end
 *
 * Both only read.  The directory is locked meanwhile, so a running master is noticed.  verify is
 * the journal's own start with nothing written, so it knows and says just what a start would. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_commands.h"
#include "core/fmt.h"
#include "core/fsop.h"
#include "journal/journal.h"
#include "journal/wal_dump.h"
#include "net/net.h"

enum { CLI_JOURNAL_MEM = 64 << 20, CLI_JOURNAL_LINE = 1024 };

struct cli_journal {
    struct cli *cli;
    struct net *net;
    struct mem mem;
    struct env_op op;
    bool done;
    uint32_t complaints;
    char complaint[CLI_JOURNAL_LINE]; /* the last */
};

static void cli_journal_done(struct env_op *op)
{
    container_of(op, struct cli_journal, op)->done = true;
}

static void cli_journal_log(void *ctx, enum env_log level, const char *node, const char *line)
{
    struct cli_journal *j = ctx;
    (void)node;
    if (level > ENV_LOG_WARN)
        return;
    j->complaints++;
    fmt_into(j->complaint, sizeof j->complaint, "%s", line);
    if (!j->cli->json)
        cli_error(j->cli, 0, "%s", line);
}

/* a minute without a single disk operation done: give up */
static int cli_journal_wait(struct cli_journal *j, const bool *flag)
{
    return net_run_until(j->net, flag, env_now_ns(net_env(j->net)) + 60000000000LL);
}

static int cli_journal_open(struct cli_journal *j, struct cli *c)
{
    const char *dir = c->n_args ? c->args[0] : config_str(c->config, CONFIG_MASTER_DIR);
    memset(j, 0, sizeof *j);
    j->cli = c;
    j->op.done = cli_journal_done;
    if (!*dir)
        return cli_error(c, CLI_USAGE, "name a master's directory, or set master.dir");
    if (access(dir, F_OK)) /* it would be made */
        return cli_error(c, CLI_FAILED, "%s: %s", dir, strerror(errno));
    struct net_config nc = {.dir = dir,
                            .node = "journal",
                            .log_level = ENV_LOG_WARN,
                            .log = cli_journal_log,
                            .log_ctx = j};
    int err = net_open(&nc, &j->net);
    if (err)
        return cli_error(c, CLI_FAILED, "%s: %s", dir,
                         err == E_BUSY ? "a running master has it; stop that first"
                                       : err_text(err));
    mem_init(&j->mem, net_mem_source(), CLI_JOURNAL_MEM);
    return CLI_OK;
}

static void cli_journal_close(struct cli_journal *j)
{
    net_close(j->net);
    mem_drop(&j->mem);
}

/* --- dump --- */

/* printable ASCII as it is, the rest as \xNN */
static const char *cli_journal_text(char *buf, size_t cap, const char *s, uint32_t n)
{
    size_t at = 0;
    for (uint32_t i = 0; i < n && at + 8 < cap; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (ch >= ' ' && ch < 0x7f && ch != '\\' && ch != '"')
            buf[at++] = (char)ch;
        else
            at += fmt_into(buf + at, cap - at, "\\x%02x", ch);
    }
    buf[at] = 0;
    return buf;
}

/* what is printed of a record: fields that are not zero */
struct cli_journal_line {
    bool json;
    cJSON *j;
};

static void cli_journal_number(struct cli_journal_line *l, const char *key, uint64_t v)
{
    if (!v)
        return;
    if (l->json)
        cli_json_u64(l->j, key, v);
    else
        printf(" %s=%llu", key, (unsigned long long)v);
}

static void cli_journal_string(struct cli_journal_line *l, const char *key, const char *s,
                               uint32_t n)
{
    char text[4 * LIMIT_PATH];
    if (!n)
        return;
    cli_journal_text(text, sizeof text, s, n);
    if (l->json)
        cJSON_AddStringToObject(l->j, key, text);
    else
        printf(" %s=\"%s\"", key, text);
}

static void cli_journal_octal(struct cli_journal_line *l, const char *key, uint32_t v)
{
    char text[16];
    if (!v)
        return;
    snprintf(text, sizeof text, "0%o", v);
    if (l->json)
        cJSON_AddStringToObject(l->j, key, text);
    else
        printf(" %s=%s", key, text);
}

static void cli_journal_fsop(struct cli_journal_line *l, const struct fsop *op)
{
    cli_journal_number(l, "session", op->session.v);
    cli_journal_number(l, "seq", op->seq);
    cli_journal_number(l, "flags", op->flags);
    cli_journal_number(l, "ino", op->ino.v);
    cli_journal_string(l, "name", op->name, op->name_len);
    cli_journal_number(l, "ino2", op->ino2.v);
    cli_journal_string(l, "name2", op->name2, op->name2_len);
    cli_journal_octal(l, "mode", op->mode);
    cli_journal_number(l, "rdev", op->rdev);
    cli_journal_number(l, "uid", op->uid);
    cli_journal_number(l, "gid", op->gid);
    cli_journal_number(l, "valid", op->valid);
    cli_journal_number(l, "size", op->size);
    cli_journal_number(l, "arg", op->arg);
    if (op->err)
        cli_journal_string(l, "err", err_name(op->err), (uint32_t)strlen(err_name(op->err)));
    cli_journal_number(l, "data_bytes", op->data_len);
    cli_journal_number(l, "time_ns", (uint64_t)op->time_ns);
}

static struct cli_json_list cli_journal_records;

static void cli_journal_record(struct cli *c, uint64_t index, const struct log_record *r,
                               const void *bytes)
{
    struct rbuf b = rbuf_make(bytes, r->len);
    struct fsop op;
    int err = fsop_get(&b, &op);
    const char *kind = err ? "unreadable" : fsop_kind_name(op.kind);
    struct cli_journal_line l = {.json = c->json};
    if (c->json) {
        l.j = cJSON_CreateObject();
        cJSON_AddStringToObject(l.j, "kind", kind);
    } else {
        printf("%llu", (unsigned long long)index);
    }
    if (c->json)
        cli_journal_number(&l, "index", index);
    cli_journal_number(&l, "epoch", r->epoch);
    if (!c->json)
        printf(" %s", kind);
    if (err)
        cli_journal_number(&l, "bytes", r->len);
    else
        cli_journal_fsop(&l, &op);
    if (c->json)
        cli_json_item(&cli_journal_records, l.j);
    else
        putchar('\n');
}

struct cli_journal_dump {
    struct cli_journal j;
    int64_t from, to;
    bool all;
    uint64_t last; /* highest index printed or skipped */
    uint64_t bad;  /* stretches that are not intact */
};

/* A restart repeats what was not proven durable: records come once, the copies only with --all. */
static void cli_journal_batch(struct cli_journal_dump *d, const struct wal_dump_item *it)
{
    struct log_record r;
    const void *bytes;
    uint32_t at = 0;
    uint64_t index = it->batch.first_index;
    if (!it->chained && !d->all)
        return;
    if (d->last && index > d->last + 1)
        cli_error(d->j.cli, 0, "%s: offset %llu: records %llu to %llu are missing before it",
                  it->name, (unsigned long long)it->at, (unsigned long long)d->last + 1,
                  (unsigned long long)index - 1);
    while (log_format_record_next(it->payload, it->batch.payload_len, &at, &r, &bytes)) {
        bool again = index <= d->last;
        d->last = base_max_u64(d->last, index);
        if ((d->all || !again) && index >= (uint64_t)d->from && index <= (uint64_t)d->to)
            cli_journal_record(d->j.cli, index, &r, bytes);
        index++;
    }
}

static void cli_journal_item(struct cli_journal_dump *d, const struct wal_dump_item *it)
{
    unsigned long long at = it->at;
    bool text = d->all && !d->j.cli->json;
    switch (it->kind) {
    case WAL_DUMP_SEGMENT:
        if (it->verdict && it->verdict != E_NODATA)
            cli_error(d->j.cli, 0, "%s: its header: %s", it->name, err_text(it->verdict));
        if (text && it->verdict == E_NODATA)
            printf("# %s: not in use\n", it->name);
        else if (text && !it->verdict)
            printf("# %s: from record %llu, epoch %llu; up to %llu was durable\n", it->name,
                   (unsigned long long)it->segment.first_index,
                   (unsigned long long)it->segment.epoch,
                   (unsigned long long)it->segment.durable_upto);
        break;
    case WAL_DUMP_BATCH:
        if (text)
            printf("# offset %llu: %u records from %llu%s; up to %llu was durable\n", at,
                   it->batch.records, (unsigned long long)it->batch.first_index,
                   it->chained ? "" : ", NOT CHAINED", (unsigned long long)it->batch.durable_upto);
        cli_journal_batch(d, it);
        break;
    case WAL_DUMP_BAD:
        d->bad++;
        cli_error(d->j.cli, 0,
                  "%s: offset %llu: not intact (%s): a torn end, or damage; "
                  "`tarn journal verify` tells",
                  it->name, at, err_text(it->verdict));
        break;
    case WAL_DUMP_END:
        break;
    }
}

static int cli_journal_dump_run(struct cli *c)
{
    struct cli_journal_dump d = {.all = cli_flag(c, "all")};
    if (!cli_number(c, "from", 1, 1, INT64_MAX, &d.from) ||
        !cli_number(c, "to", INT64_MAX, 1, INT64_MAX, &d.to))
        return CLI_USAGE;
    int code = cli_journal_open(&d.j, c), err;
    if (code)
        return code;
    struct wal_dump *dump = wal_dump_open(net_env(d.j.net), &d.j.mem, "");
    ASSERT(dump);
    do {
        d.j.done = false;
        wal_dump_next(dump, &d.j.op);
        err = cli_journal_wait(&d.j, &d.j.done);
        if (!err && d.j.op.ret > 0)
            cli_journal_item(&d, wal_dump_item(dump));
    } while (!err && d.j.op.ret > 0);
    if (!err && d.j.op.ret < 0)
        err = (int)d.j.op.ret;
    if (err)
        code = cli_error(c, CLI_FAILED, "reading the log: %s", err_text(err));
    else if (d.bad)
        code = CLI_DATA;
    if (c->json)
        cli_json_end(&cli_journal_records);
    cli_journal_close(&d.j);
    return code;
}

const struct cli_command cli_journal_dump = {
    "journal",
    "dump",
    "[DIR]",
    "print the records of a stopped master's log",
    "DIR is the master's directory (default: master.dir).  One line a record: index, epoch, kind\n"
    "and the fields that are not zero.  Exit status 5 when a stretch of the log is not intact;\n"
    "a torn end after a crash is nothing to worry about, and the next start cuts it.",
    cli_journal_dump_run,
    0,
    1,
    {{"from", 0, "N", "first index to print"},
     {"to", 0, "N", "last index to print"},
     {"all", 'a', NULL, "segments, batches and repeated records too"}}};

/* --- verify --- */

struct cli_journal_verify {
    struct cli_journal j;
    struct journal_host host;
    enum journal_role role;
    uint64_t epoch;
    int why;
    bool decided;
};

static void cli_journal_apply(struct journal_host *h, uint64_t index, const void *rec, uint32_t len)
{
    (void)h;
    (void)index;
    (void)rec;
    (void)len;
    ASSERT(!"a check applies nothing");
}

static void cli_journal_role(struct journal_host *h, enum journal_role role, uint64_t epoch,
                             int why)
{
    struct cli_journal_verify *v = container_of(h, struct cli_journal_verify, host);
    v->role = role;
    v->epoch = epoch;
    v->why = why;
    v->decided = true;
}

static int cli_journal_image(struct journal_host *h, const void *piece, uint32_t len)
{
    (void)h;
    (void)piece;
    (void)len;
    return 0;
}

static void cli_journal_image_reset(struct journal_host *h)
{
    (void)h;
}

/* what was found; the exit code */
static int cli_journal_verdict(struct cli_journal_verify *v, const struct journal_status *st)
{
    struct cli *c = v->j.cli;
    bool readable = v->role == JOURNAL_STANDBY, ok = readable && !v->j.complaints;
    bool damaged = readable || err_class(v->why) == ERR_CLASS_DATA || v->why == E_IO;
    char size[16];
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddBoolToObject(j, "ok", ok);
        cJSON_AddBoolToObject(j, "starts", readable);
        cJSON_AddNumberToObject(j, "first_index", (double)st->first_index);
        cJSON_AddNumberToObject(j, "last_index", (double)st->last_index);
        cJSON_AddNumberToObject(j, "image_index", (double)st->image_index);
        cJSON_AddNumberToObject(j, "epoch", (double)v->epoch);
        cJSON_AddNumberToObject(j, "log_bytes", (double)st->wal_bytes);
        if (!ok)
            cJSON_AddStringToObject(j, "error",
                                    *v->j.complaint ? v->j.complaint : err_text(v->why));
        cli_print_json(j);
    } else if (ok) {
        printf("ok: records %llu to %llu in %llu segments (%s), image at %llu, epoch %llu\n",
               (unsigned long long)st->first_index, (unsigned long long)st->last_index,
               (unsigned long long)st->wal_segments, cli_bytes(size, st->wal_bytes),
               (unsigned long long)st->image_index, (unsigned long long)v->epoch);
    } else if (readable) {
        cli_error(c, 0, "a master starts from here, with every record: %llu to %llu",
                  (unsigned long long)st->image_index + 1, (unsigned long long)st->last_index);
    } else if (!v->j.complaints) {
        cli_error(c, 0, "%s", err_text(v->why));
    }
    return ok ? CLI_OK : damaged ? CLI_DATA : CLI_FAILED;
}

static int cli_journal_verify_run(struct cli *c)
{
    struct cli_journal_verify v = {.host = {.apply = cli_journal_apply,
                                            .role = cli_journal_role,
                                            .image_load = cli_journal_image,
                                            .image_reset = cli_journal_image_reset}};
    struct journal_config jc = journal_config_default();
    struct journal_status st;
    int code = cli_journal_open(&v.j, c);
    if (code)
        return code;
    jc.check_only = true;
    struct journal *j = local_open(net_env(v.j.net), &v.j.mem, &jc, &v.host);
    ASSERT(j);
    while (!v.decided &&
           net_run_until(v.j.net, &v.decided, env_now_ns(net_env(v.j.net)) + 3600000000000LL) == 0)
        ;
    if (v.decided) {
        journal_status(j, &st);
        code = cli_journal_verdict(&v, &st);
        journal_stop(j, &v.j.op);
        cli_journal_wait(&v.j, &v.j.done);
    } else {
        code = cli_error(c, CLI_FAILED, "the disk did not answer");
    }
    cli_journal_close(&v.j);
    return code;
}

const struct cli_command cli_journal_verify = {
    "journal",
    "verify",
    "[DIR]",
    "check a stopped master's log and images",
    "DIR is the master's directory (default: master.dir).  Reads what a start would read and both\n"
    "images, and changes nothing.  Exit status 5 names the file, the offset and what to do.",
    cli_journal_verify_run,
    0,
    1,
    {{0}}};
