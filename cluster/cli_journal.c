/* cluster/cli_journal.c - `tarn journal`: looks into the directory of a stopped master.
 *
 *   dump    every record in the order of its index, as text or as one JSON object a line
 *
 * It only reads.  The directory is locked meanwhile, so a running master is noticed.  Of a group's
 * member the records are Raft's entries: each with its index, its term and its place in the log,
 * which is never cut: an entry voids what stood at its index and above before, so a first pass
 * finds out what counts in the end. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_commands.h"
#include "cluster/cli_dump.h"
#include "cluster/cli_group.h"
#include "core/fmt.h"
#include "core/fsop.h"
#include "journal/raft_format.h"
#include "journal/raft_log.h"
#include "journal/wal_dump.h"
#include "journal/zk_record.h"

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

/* "1@h:p(voter),..." or a list of objects */
static void cli_journal_conf(struct cli_journal_line *l, const struct raft_conf *c)
{
    char text[RAFT_MEMBERS_MAX * (ENV_ADDR_MAX + 64)] = "", one[ENV_ADDR_MAX + 32];
    size_t n = 0;
    cJSON *list = l->json ? cJSON_AddArrayToObject(l->j, "members") : NULL;
    for (uint32_t i = 0; i < c->n; i++) {
        const struct raft_member *m = &c->member[i];
        const char *role = m->flags & RAFT_LEARNER    ? m->flags & RAFT_PROMOTE ? "joining"
                                                        : m->flags & RAFT_OLD   ? "becomes a learner"
                                                                                : "learner"
                           : !(m->flags & RAFT_VOTER) ? "leaving"
                           : m->flags & RAFT_OLD      ? "voter, also before"
                                                      : "voter";
        cli_dir_member(one, sizeof one, m->id.v, m->addr, m->priority);
        if (list) {
            cJSON *o = cJSON_CreateObject();
            cJSON_AddNumberToObject(o, "id", m->id.v);
            cJSON_AddStringToObject(o, "addr", m->addr);
            cJSON_AddStringToObject(o, "role", role);
            cJSON_AddNumberToObject(o, "priority", m->priority);
            cli_json_u64(o, "disk", m->disk);
            cJSON_AddItemToArray(list, o);
        } else {
            n += fmt_into(text + n, sizeof text - n, "%s%s(%s)", i ? "," : "", one, role);
        }
    }
    if (!list)
        printf(" members=%s", text);
}

static struct cli_json_list cli_journal_records;

static void cli_journal_end_line(struct cli_journal_line *l)
{
    if (l->json)
        cli_json_item(&cli_journal_records, l->j);
    else
        putchar('\n');
}

static struct cli_journal_line cli_journal_begin_line(const struct cli *c, const char *kind)
{
    struct cli_journal_line l = {.json = c->json};
    if (l.json) {
        l.j = cJSON_CreateObject();
        cJSON_AddStringToObject(l.j, "kind", kind);
    }
    return l;
}

static void cli_journal_record(struct cli *c, uint64_t index, const struct log_record *r,
                               const void *bytes)
{
    struct rbuf b = rbuf_make(bytes, r->len);
    struct fsop op;
    int err = fsop_get(&b, &op);
    const char *kind = err ? "unreadable" : fsop_kind_name(op.kind);
    struct cli_journal_line l = cli_journal_begin_line(c, kind);
    if (c->json)
        cli_journal_number(&l, "index", index);
    else
        printf("%llu", (unsigned long long)index);
    cli_journal_number(&l, "epoch", r->epoch);
    if (!c->json)
        printf(" %s", kind);
    if (err)
        cli_journal_number(&l, "bytes", r->len);
    else
        cli_journal_fsop(&l, &op);
    cli_journal_end_line(&l);
}

/* --- of an epoch's log on shared storage (zk_drive.c) --- */

static void cli_journal_shared(struct cli_journal_dump *d, uint64_t index,
                               const struct log_record *r, const uint8_t *bytes)
{
    struct cli *c = d->cli;
    bool has_head = r->len >= ZK_ACKED_BYTES, counts = index <= d->limit;
    struct rbuf b = rbuf_make(bytes + ZK_ACKED_BYTES, has_head ? r->len - ZK_ACKED_BYTES : 0);
    struct fsop op;
    bool is_data = has_head && r->type == ZK_REC_DATA && !fsop_get(&b, &op);
    const char *kind = is_data                               ? fsop_kind_name(op.kind)
                       : has_head && r->type == ZK_REC_ACKED ? "acked"
                                                             : "unreadable";
    if (index < (uint64_t)d->from || index > (uint64_t)d->to || (!counts && !d->all))
        return;
    struct cli_journal_line l = cli_journal_begin_line(c, kind);
    if (c->json) {
        cli_json_u64(l.j, "index", index);
        cJSON_AddBoolToObject(l.j, "superseded", !counts);
    } else {
        printf("%llu", (unsigned long long)index);
    }
    cli_journal_number(&l, "epoch", d->epoch);
    if (!c->json)
        printf(" %s", kind);
    if (has_head && (d->all || !is_data))
        cli_journal_number(&l, "acked_upto", base_get_u64(bytes));
    if (is_data)
        cli_journal_fsop(&l, &op);
    else if (!strcmp(kind, "unreadable"))
        cli_journal_number(&l, "bytes", r->len);
    if (!c->json && !counts)
        printf(" (superseded)");
    cli_journal_end_line(&l);
}

/* --- of a group's member --- */

static void cli_journal_entry(struct cli_journal_dump *d, uint64_t place,
                              const struct log_record *r, const uint8_t *bytes)
{
    struct cli *c = d->cli;
    uint64_t index = r->len >= RAFT_LOG_HEAD ? base_get_u64(bytes) : 0;
    struct rbuf b = rbuf_make(bytes + RAFT_LOG_HEAD, index ? r->len - RAFT_LOG_HEAD : 0);
    struct raft_conf conf;
    struct fsop op;
    bool is_data = r->type == RAFT_DATA && index && !fsop_get(&b, &op);
    bool is_conf = r->type == RAFT_CONF && index && !raft_format_conf_get(&b, &conf);
    const char *kind = is_data                     ? fsop_kind_name(op.kind)
                       : is_conf                   ? "configuration"
                       : r->type == RAFT_NOOP      ? "noop"
                       : r->type == RAFT_LOG_RESET ? "reset"
                                                   : "unreadable";
    if (d->looking) {
        cli_spans_add(&d->spans, index, place, r->type);
        return;
    }
    if (index < (uint64_t)d->from || index > (uint64_t)d->to)
        return;
    struct cli_journal_line l = cli_journal_begin_line(c, kind);
    bool counts = cli_spans_counts(&d->spans, place);
    if (c->json) {
        cli_json_u64(l.j, "index", index);
        cJSON_AddBoolToObject(l.j, "superseded", !counts);
    } else {
        printf("%llu", (unsigned long long)index);
    }
    cli_journal_number(&l, "term", r->epoch);
    cli_journal_number(&l, "place", place);
    if (!c->json)
        printf(" %s", kind);
    if (is_data)
        cli_journal_fsop(&l, &op);
    else if (is_conf)
        cli_journal_conf(&l, &conf);
    else if (!strcmp(kind, "unreadable"))
        cli_journal_number(&l, "bytes", r->len);
    if (!c->json && !counts)
        printf(" (superseded)");
    cli_journal_end_line(&l);
}

/* the image's first piece says where it stands in the group's history */
void cli_journal_image(struct cli_journal_dump *d, const char *leaf)
{
    static uint8_t b[LOG_BLOCK + sizeof(struct log_piece) + RAFT_FORMAT_IMAGE_MAX];
    char path[PATH_MAX];
    struct log_image h;
    struct log_piece p;
    struct raft_conf conf = {0};
    uint64_t index, term = 0;
    snprintf(path, sizeof path, "%s/%s", d->d.dir, leaf);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, b, sizeof b, 0);
    if (fd >= 0)
        close(fd);
    if (n < (ssize_t)(LOG_BLOCK + sizeof p) || log_format_check(b, LOG_BLOCK, LOG_IMAGE_MAGIC)) {
        d->bad++;
        cli_error(d->cli, 0, "%s: its header is not intact", leaf);
        return;
    }
    memcpy(&h, b, sizeof h);
    memcpy(&p, b + LOG_BLOCK, sizeof p);
    struct rbuf r =
        rbuf_make(b + LOG_BLOCK + sizeof p, base_min_u64(p.len, (size_t)n - LOG_BLOCK - sizeof p));
    bool is_raft = d->is_raft && !raft_format_image_get(&r, &index, &term, &conf);
    struct cli_journal_line l = cli_journal_begin_line(d->cli, "image");
    if (!l.json)
        printf("# %s:", leaf);
    cli_journal_number(&l, "index", h.index);
    cli_journal_number(&l, is_raft ? "term" : "epoch", h.epoch);
    if (is_raft)
        cli_journal_conf(&l, &conf);
    cli_journal_end_line(&l);
}

void cli_journal_fence(struct cli_journal_dump *d, uint64_t hi, uint64_t lo, uint64_t claimed,
                       uint64_t slots)
{
    struct cli_journal_line l = cli_journal_begin_line(d->cli, "meta");
    char id[33];
    if (!l.json)
        printf("# fence:");
    cli_group_id_text(id, hi, lo);
    cli_journal_string(&l, "cluster", id, (uint32_t)strlen(id));
    cli_journal_number(&l, "claimed", claimed);
    cli_journal_number(&l, "slots", slots);
    cli_journal_end_line(&l);
}

int cli_journal_by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* --all: journal.meta and the images */
static void cli_journal_beside(struct cli_journal_dump *d)
{
    const struct log_meta *m = &d->d.meta;
    struct dirent **names;
    char id[40];
    uint64_t index;
    struct cli_journal_line l = cli_journal_begin_line(d->cli, "meta");
    snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)m->cluster_hi,
             (unsigned long long)m->cluster_lo);
    if (!l.json)
        printf("# journal.meta:");
    cli_journal_string(&l, "cluster", id, (uint32_t)strlen(id));
    cli_journal_number(&l, "member", m->member);
    cli_journal_number(&l, d->is_raft ? "term" : "epoch", m->epoch);
    cli_journal_number(&l, "vote", m->vote);
    cli_journal_number(&l, "disk", m->disk);
    cli_journal_number(&l, "era", m->era);
    cli_journal_number(&l, "trimmed", m->trimmed);
    cli_journal_number(&l, "durable", m->durable);
    cli_journal_end_line(&l);
    int n = scandir(d->d.dir, &names, NULL, cli_journal_by_name);
    for (int i = 0; i < n; i++) {
        if (log_format_name_parse(names[i]->d_name, "image-", &index))
            cli_journal_image(d, names[i]->d_name);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

/* --- the log --- */

/* A restart repeats what was not proven durable: records come once, the copies only with --all. */
static void cli_journal_batch(struct cli_journal_dump *d, const struct wal_dump_item *it)
{
    struct log_record r;
    const void *bytes;
    uint32_t at = 0;
    uint64_t index = it->batch.first_index;
    if (!it->chained && (!d->all || d->looking))
        return;
    if (d->last && index > d->last + 1 && !d->looking)
        cli_error(d->cli, 0, "%s: offset %llu: records %llu to %llu are missing before it",
                  it->name, (unsigned long long)it->at, (unsigned long long)(d->base + d->last + 1),
                  (unsigned long long)(d->base + index - 1));
    while (log_format_record_next(it->payload, it->batch.payload_len, &at, &r, &bytes)) {
        bool again = index <= d->last;
        d->last = base_max_u64(d->last, index);
        if ((d->all && !d->looking) || !again) {
            if (d->is_raft)
                cli_journal_entry(d, index, &r, bytes);
            else if (d->is_shared)
                cli_journal_shared(d, d->base + index, &r, bytes);
            else if (index >= (uint64_t)d->from && index <= (uint64_t)d->to)
                cli_journal_record(d->cli, index, &r, bytes);
        }
        index++;
    }
}

static void cli_journal_item(struct cli_journal_dump *d, const struct wal_dump_item *it)
{
    unsigned long long at = it->at;
    bool text = d->all && !d->cli->json;
    if (d->looking && it->kind != WAL_DUMP_BATCH)
        return;
    switch (it->kind) {
    case WAL_DUMP_SEGMENT:
        if (it->verdict && it->verdict != E_NODATA) {
            d->bad++;
            cli_error(d->cli, 0, "%s: its header: %s%s", it->name, err_text(it->verdict),
                      it->verdict == E_VERSION ? ": a newer release wrote it; run that one" : "");
        }
        if (text && it->verdict == E_NODATA)
            printf("# %s: not in use\n", it->name);
        else if (text && !it->verdict)
            printf("# %s: from record %llu, epoch %llu; up to %llu was durable\n", it->name,
                   (unsigned long long)(d->base + it->segment.first_index),
                   (unsigned long long)it->segment.epoch,
                   (unsigned long long)(d->base + it->segment.durable_upto));
        break;
    case WAL_DUMP_BATCH:
        if (text && !d->looking)
            printf("# offset %llu: %u records from %llu%s; up to %llu was durable\n", at,
                   it->batch.records, (unsigned long long)(d->base + it->batch.first_index),
                   it->chained ? "" : ", NOT CHAINED",
                   (unsigned long long)(d->base + it->batch.durable_upto));
        cli_journal_batch(d, it);
        break;
    case WAL_DUMP_BAD:
        d->bad++;
        cli_error(d->cli, 0,
                  "%s: offset %llu: not intact (%s): a torn end, or damage; "
                  "`tarn journal verify` tells",
                  it->name, at, err_text(it->verdict));
        break;
    case WAL_DUMP_END:
        break;
    }
}

int cli_journal_walk(struct cli_journal_dump *d, const char *log)
{
    int err;
    struct wal_dump *dump = wal_dump_open(net_env(d->d.net), &d->d.mem, log);
    ASSERT(dump);
    d->last = 0;
    do {
        d->d.done = false;
        wal_dump_next(dump, &d->d.op);
        err = cli_dir_wait(&d->d, &d->d.done);
        if (!err && d->d.op.ret > 0)
            cli_journal_item(d, wal_dump_item(dump));
    } while (!err && d->d.op.ret > 0);
    if (err)
        return err; /* the disk still has its buffers */
    wal_dump_free(dump);
    return d->d.op.ret < 0 ? (int)d->d.op.ret : 0;
}

/* Records of a single master and entries of a member look alike: journal.meta says which they are.
 */
static int cli_journal_unknown(const struct cli_journal_dump *d)
{
    const char *dir = d->d.dir;
    bool has_log = cli_dir_has_log(dir);
    if (d->d.meta_err == E_NODATA && !has_log)
        return cli_error(d->cli, CLI_FAILED, "%s: there is no journal here", dir);
    return cli_error(d->cli, CLI_DATA,
                     "%s: journal.meta %s, so whose log this is, a single master's or a member's, "
                     "is not known.  Bring it back from a copy",
                     dir,
                     d->d.meta_err == E_NODATA    ? "is missing or damaged while a log is there"
                     : d->d.meta_err == E_VERSION ? "was written by a newer release"
                                                  : err_text(d->d.meta_err));
}

static int cli_journal_dump_run(struct cli *c)
{
    struct cli_journal_dump d = {.cli = c, .all = cli_flag(c, "all")};
    if (!cli_number(c, "from", 1, 1, INT64_MAX, &d.from) ||
        !cli_number(c, "to", INT64_MAX, 1, INT64_MAX, &d.to))
        return CLI_USAGE;
    if (d.from > d.to)
        return cli_error(c, CLI_USAGE, "--from %lld lies behind --to %lld: nothing to print",
                         (long long)d.from, (long long)d.to);
    if (cli_dir_is_zk(c, c->n_args ? c->args[0] : NULL)) {
        int code_zk = cli_dump_zk(&d, c->n_args ? c->args[0] : "");
        if (c->json && !d.is_refused)
            cli_json_end(&cli_journal_records);
        return code_zk;
    }
    int err = 0,
        code =
            cli_dir_open(&d.d, c, c->n_args ? c->args[0] : config_str(c->config, CONFIG_MASTER_DIR),
                         CLI_DIR_LOOK);
    if (code)
        return code;
    if (d.d.meta_err) {
        code = cli_journal_unknown(&d);
        cli_dir_close(&d.d);
        return code;
    }
    d.is_raft = d.d.meta.member != 0;
    if (d.all)
        cli_journal_beside(&d);
    if (d.is_raft) {
        d.looking = true;
        err = cli_journal_walk(&d, "");
        d.looking = false;
    }
    if (!err)
        err = cli_journal_walk(&d, "");
    if (err)
        code = cli_error(c, CLI_FAILED, "reading the log: %s", err_text(err));
    else if (d.bad)
        code = CLI_DATA;
    if (c->json)
        cli_json_end(&cli_journal_records);
    cli_spans_free(&d.spans);
    cli_dir_close(&d.d);
    return code;
}

const struct cli_command cli_journal_dump = {
    "journal",
    "dump",
    "[DIR]",
    "print the records of a stopped master's log",
    "DIR is the master's directory (default: master.dir).  One line a record: index, epoch, kind\n"
    "and the fields that are not zero.  Of a group's member: index, term, place in the log, kind;\n"
    "an entry that a later one has replaced is marked as superseded.  Of a ZooKeeper journal DIR "
    "or\n"
    "zk:DIR is the shared directory, and the logs of all epochs come in order.  Exit status 5 when "
    "a "
    "stretch\n"
    "of the log is not intact; a torn end after a crash is nothing to worry about, and the next\n"
    "start cuts it.",
    cli_journal_dump_run,
    0,
    1,
    {{"from", 0, "N", "first index to print"},
     {"to", 0, "N", "last index to print"},
     {"all", 'a', NULL,
      "journal.meta, images, segments, batches and repeated or superseded records too"}},
    .touches = CLI_TOUCHES_OWN};
