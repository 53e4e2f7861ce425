/* tests/unit/test_cli_history.c - what the recorder writes for each operation and each end of it.
 */
#include "cluster/cli_history.h"
#include <unistd.h>
#include "sim/lab_history.h"
#include "tests/unit/unit.h"

static struct cli_history h;
static char path[64], said[600];

static void say(void *ctx, const char *text)
{
    CU_ASSERT_PTR_EQUAL(ctx, said);
    snprintf(said, sizeof said, "%s", text);
}

static void begin(void)
{
    snprintf(path, sizeof path, "/tmp/test_cli_history-%d", (int)getpid());
    unlink(path);
    said[0] = 0;
    h.say = say;
    h.ctx = said;
    CU_ASSERT_FATAL(cli_history_open(&h, path, "a \"test\"") == 0);
}

/* what the file has, ended by NUL */
static char *text_of(size_t *ret_n)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "r");
    CU_ASSERT_FATAL(f != NULL);
    *ret_n = fread(text, 1, sizeof text - 1, f);
    text[*ret_n] = 0;
    fclose(f);
    return text;
}

static struct client_req req(uint16_t kind, const char *name, const char *name2)
{
    struct client_req r = {.fsop = {.kind = kind, .ino = {0x1f}, .ino2 = {0x2f}}};
    r.fsop.name = name;
    r.fsop.name_len = name ? (uint32_t)strlen(name) : 0;
    r.fsop.name2 = name2;
    r.fsop.name2_len = name2 ? (uint32_t)strlen(name2) : 0;
    return r;
}

static void ask(struct client_req *r, int err)
{
    h.of.tap.asked(&h.of.tap, r);
    r->reply.err = err;
    h.of.tap.answered(&h.of.tap, r);
}

/* the line after `skip` others begins the same way for every process: from its type on */
static void expect(unsigned skip, const char *want)
{
    size_t n;
    const char *p = text_of(&n);
    for (unsigned i = 0; i < skip && p; i++)
        p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
    const char *type = p ? strstr(p, "\"type\"") : NULL;
    bool ok = type && !strncmp(type, want, strlen(want)) &&
              !strncmp(type + strlen(want), ", \"time\": ", 10);
    if (!ok)
        fprintf(stderr, "not %s but %.200s\n", want, type ? type : "nothing");
    CU_ASSERT(ok);
}

static void test_cli_history_lines(void)
{
    static const char cas[] =
        "\"type\": \"%s\", \"f\": \"cas\", \"key\": \"name %s\", \"value\": %s";
    static const struct {
        uint16_t kind, flags;
        int err;
        const char *type, *key, *value;
    } cases[] = {
        {FSOP_MKDIR, 0, 0, "ok", "1f/a", "[null, 1]"},
        {FSOP_MKNOD, FSOP_F_OPEN, E_EXIST, "fail", "1f/a", "[null, 1]"},
        {FSOP_SYMLINK, 0, E_ACCES, "refused", "1f/a", "[null, 1]"},
        {FSOP_LINK, 0, E_TIMEOUT, "info", "2f/a", "[null, 1]"},
        {FSOP_MKDIR, 0, E_IO, "info", "1f/a", "[null, 1]"},
        {FSOP_MKDIR, 0, E_SESSION_EXPIRED, "info", "1f/a", "[null, 1]"},
        {FSOP_MKDIR, 0, E_NOENT, "refused", "1f/a", "[null, 1]"},
        {FSOP_UNLINK, 0, 0, "ok", "1f/a", "[1, null]"},
        {FSOP_RMDIR, 0, E_NOENT, "fail", "1f/a", "[1, null]"},
        {FSOP_RMDIR, 0, E_NOTEMPTY, "refused", "1f/a", "[1, null]"},
        {FSOP_UNLINK, 0, E_CANCELLED, "info", "1f/a", "[1, null]"},
    };
    char want[200];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        begin();
        struct client_req r = req(cases[i].kind, "a", NULL);
        r.fsop.flags = cases[i].flags;
        ask(&r, cases[i].err);
        snprintf(want, sizeof want, cas, "invoke", cases[i].key, cases[i].value);
        expect(1, want);
        snprintf(want, sizeof want, cas, cases[i].type, cases[i].key, cases[i].value);
        expect(2, want);
        CU_ASSERT(h.lines == 3 && cli_history_close(&h));
    }
    unlink(path);
}

static void test_cli_history_reads(void)
{
    begin();
    struct client_req r = req(FSOP_LOOKUP, "q\"\xe9", NULL);
    ask(&r, 0);
    expect(2,
           "\"type\": \"ok\", \"f\": \"read\", \"key\": \"name 1f/q\\u0022\\u00e9\", \"value\": 1");
    ask(&r, E_NOENT);
    expect(
        4,
        "\"type\": \"ok\", \"f\": \"read\", \"key\": \"name 1f/q\\u0022\\u00e9\", \"value\": null");
    ask(&r, E_ACCES);
    expect(6, "\"type\": \"refused\", \"f\": \"read\", \"key\": \"name 1f/q\\u0022\\u00e9\", "
              "\"value\": null");
    r = req(FSOP_GETATTR, NULL, NULL);
    r.reply.attr.mode = FSOP_S_IFREG | 04751;
    ask(&r, 0);
    expect(8, "\"type\": \"ok\", \"f\": \"read\", \"key\": \"mode 1f\", \"value\": 489");
    r.fsop.size = 1; /* a place to append to */
    ask(&r, 0);
    CU_ASSERT_EQUAL(h.lines, 9);
    r = req(FSOP_SETATTR, NULL, NULL);
    r.fsop.mode = 0751;
    ask(&r, 0); /* times, or a size */
    CU_ASSERT_EQUAL(h.lines, 9);
    r.fsop.valid = FSOP_SET_MODE;
    ask(&r, E_PERM);
    expect(10, "\"type\": \"refused\", \"f\": \"write\", \"key\": \"mode 1f\", \"value\": 489");
    r = req(FSOP_READDIR, NULL, NULL);
    ask(&r, 0);
    CU_ASSERT_EQUAL(h.lines, 11);
    CU_ASSERT(cli_history_close(&h));
    unlink(path);
}

#define XATTR(f, type, value) \
    "\"type\": \"" #type "\", \"f\": \"" #f "\", \"key\": \"xattr 1f/user.a\", \"value\": " value

static void test_cli_history_xattrs(void)
{
    static const char long_one[] = "0123456789012345678901234567890123456789012345678901234567890";
    begin();
    struct client_req r = req(FSOP_SETXATTR, "user.a", NULL);
    r.fsop.data = "v\\1";
    r.fsop.data_len = 3;
    ask(&r, 0);
    expect(2, XATTR(write, ok, "\"v\\u005c1\""));
    r.fsop.flags = FSOP_F_XATTR_CREATE;
    ask(&r, E_EXIST);
    expect(4, XATTR(cas, fail, "[null, \"v\\u005c1\"]"));
    r = req(FSOP_REMOVEXATTR, "user.a", NULL);
    ask(&r, E_NODATA);
    expect(6, XATTR(write, refused, "null"));
    r = req(FSOP_GETXATTR, "user.a", NULL);
    ask(&r, E_NODATA);
    expect(8, XATTR(read, ok, "null"));
    r.reply.data = long_one;
    r.reply.data_len = sizeof long_one - 1;
    ask(&r, 0);
    size_t n;
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(&n), "\"value\": \"#61 ")); /* told apart, not kept */
    r.reply.data_len = 0;
    ask(&r, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(&n), "\"value\": \"#0 ")); /* empty is not none */
    CU_ASSERT(cli_history_close(&h));
    unlink(path);
}

/* Two names: two operations.  Where both led to one file, nothing happened, and who was told does
 * not know that. */
static void test_cli_history_renames(void)
{
#define NAME(f, type, key, value) \
    "\"type\": \"" #type "\", \"f\": \"" #f "\", \"key\": \"name " key "\", \"value\": " value
    begin();
    struct client_req r = req(FSOP_RENAME, "a", "b");
    r.reply.attr.mode = FSOP_S_IFREG;
    r.reply.attr.nlink = 1;
    ask(&r, 0);
    expect(1, NAME(cas, invoke, "1f/a", "[1, null]"));
    expect(2, NAME(write, invoke, "2f/b", "1"));
    expect(3, NAME(cas, ok, "1f/a", "[1, null]"));
    expect(4, NAME(write, ok, "2f/b", "1"));
    r.reply.attr.nlink = 2;
    ask(&r, 0);
    expect(7, NAME(cas, info, "1f/a", "[1, null]"));
    expect(8, NAME(write, ok, "2f/b", "1"));
    r.reply.attr.mode = FSOP_S_IFDIR;
    ask(&r, 0);
    expect(11, NAME(cas, ok, "1f/a", "[1, null]"));
    r.fsop.flags = FSOP_F_NOREPLACE;
    ask(&r, E_EXIST);
    expect(15, NAME(cas, refused, "1f/a", "[1, null]"));
    expect(16, NAME(cas, fail, "2f/b", "[null, 1]"));
    r.fsop.flags = FSOP_F_EXCHANGE;
    ask(&r, 0);
    r = req(FSOP_RENAME, "a", "a");
    r.fsop.ino2 = r.fsop.ino;
    ask(&r, 0);
    CU_ASSERT_EQUAL(h.lines, 17);
    CU_ASSERT(cli_history_close(&h));
    unlink(path);
}

/* It reads back; who does not know goes on under another number; slots come back. */
static void test_cli_history_reads_back(void)
{
    static struct client_req many[CLIENT_HISTORY_SLOTS + 1];
    struct lab_history l;
    struct mem m;
    size_t n;
    begin();
    for (int i = 0; i <= CLIENT_HISTORY_SLOTS; i++)
        many[i] = req(FSOP_MKDIR, "a", NULL);
    for (int i = 0; i < CLIENT_HISTORY_SLOTS; i++)
        h.of.tap.asked(&h.of.tap, &many[i]);
    for (int i = 0; i < CLIENT_HISTORY_SLOTS; i++) {
        many[i].reply.err = i % 2 ? E_TIMEOUT : E_EXIST;
        h.of.tap.answered(&h.of.tap, &many[i]);
    }
    for (int i = 0; i < 10; i++)
        ask(&many[i], E_EXIST);
    CU_ASSERT(!said[0] && h.of.n_free == CLIENT_HISTORY_SLOTS);
    const char *text = text_of(&n);
    unit_mem(&m, 64 << 20);
    int err = lab_history_read(&l, &m, LAB_HISTORY_ANY, text, n);
    if (err)
        fprintf(stderr, "line %u: %s\n", l.bad_line, l.why);
    CU_ASSERT(!err && l.n == CLIENT_HISTORY_SLOTS + 10 && l.start == LAB_WGL_ANY);
    lab_history_drop(&l);
    mem_drop(&m);
    /* one more than there is room for ends it, and is said */
    for (int i = 0; i <= CLIENT_HISTORY_SLOTS; i++)
        h.of.tap.asked(&h.of.tap, &many[i]);
    CU_ASSERT(strstr(said, "not whole") && !cli_history_close(&h));
    unlink(path);
}

static void test_cli_history_full(void)
{
    struct client_req r = req(FSOP_MKDIR, "a", NULL);
    h.say = say;
    h.ctx = said;
    CU_ASSERT_FATAL(cli_history_open(&h, "/dev/full", "x") == 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "not whole: No space left"));
    said[0] = 0;
    ask(&r, 0); /* goes on, and says it once */
    CU_ASSERT(!said[0] && !h.lines && !cli_history_close(&h));
    CU_ASSERT(cli_history_open(&h, "/nowhere/at/all", "x") > 0);
}

UNIT_MAIN("cli_history", UNIT(test_cli_history_lines), UNIT(test_cli_history_reads),
          UNIT(test_cli_history_xattrs), UNIT(test_cli_history_renames),
          UNIT(test_cli_history_reads_back), UNIT(test_cli_history_full))
