/* tests/unit/test_cli_log.c - which lines are kept, how they look, where they go; and what the
 * service manager hears. */
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "cluster/cli_log.h"
#include "cluster/cli_notify.h"
#include "tests/unit/unit.h"

#define S INT64_C(1000000000)

static struct cli_log_limit limit;

static unsigned many(enum env_log level, const char *format, unsigned n, int64_t now_ns)
{
    char line[256];
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        snprintf(line, sizeof line, format, i);
        kept += cli_log_may(&limit, level, line, now_ns + i);
    }
    return kept;
}

static unsigned over(int64_t now_ns, unsigned *ret_held)
{
    struct cli_log_shape s;
    unsigned n = 0;
    *ret_held = 0;
    while (cli_log_over(&limit, now_ns, &s)) {
        n++;
        *ret_held += s.held;
    }
    return n;
}

static void test_cli_log_holds_back_what_repeats(void)
{
    unsigned held;
    memset(&limit, 0, sizeof limit);
    int64_t t = 100 * S;
    CU_ASSERT_EQUAL(many(ENV_LOG_WARN, "worker 10.0.0.%u: refused", 500, t), 20);
    CU_ASSERT_EQUAL(many(ENV_LOG_WARN, "quite another line", 3, t + 1000), 3);
    CU_ASSERT_EQUAL(many(ENV_LOG_ERROR, "worker 10.0.0.%u: refused", 3, t + 1000), 3);
    CU_ASSERT_EQUAL(many(ENV_LOG_DEBUG, "worker 10.0.0.%u: refused", 100, t + 1000), 100);
    CU_ASSERT_EQUAL(over(t + 9 * S, &held), 0);
    CU_ASSERT_EQUAL(over(t + 11 * S, &held), 1);
    CU_ASSERT_EQUAL(held, 480);
    CU_ASSERT_EQUAL(over(t + 12 * S, &held), 0);
    CU_ASSERT_EQUAL(many(ENV_LOG_WARN, "worker 10.0.0.%u: refused", 500, t + 12 * S), 20);
}

/* one a second is no storm, however long it goes on */
static void test_cli_log_keeps_what_is_rare(void)
{
    unsigned held;
    memset(&limit, 0, sizeof limit);
    for (int i = 0; i < 1000; i++)
        CU_ASSERT(cli_log_may(&limit, ENV_LOG_INFO, "an election", (100 + i) * S));
    CU_ASSERT_EQUAL(over(2000 * S, &held), 0);
}

/* shapes without end: as many lines as all together may have, and every other one is told of or
 * counted by the caller */
static void test_cli_log_a_storm_of_shapes(void)
{
    char line[64];
    unsigned kept = 0, held = 0;
    memset(&limit, 0, sizeof limit);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned n = 0;
        for (unsigned k = i; n < 20; k /= 2)
            line[n++] = (char)('a' + k % 2);
        line[n] = 0;
        kept += cli_log_may(&limit, ENV_LOG_ERROR, line, 100 * S + i);
    }
    CU_ASSERT_EQUAL(kept, 2000);
    CU_ASSERT(over(200 * S, &held) <= CLI_LOG_SHAPES && held > 0);
    CU_ASSERT(cli_log_may(&limit, ENV_LOG_ERROR, "after the storm", 200 * S));
}

static void test_cli_log_format(void)
{
    char to[512];
    struct cli_log_config cfg = {.role = "worker", .id = "h:1"};
    size_t n =
        cli_log_format(&cfg, ENV_LOG_WARN, 1700000000123456789, "one\ntwo\x1b", to, sizeof to);
    CU_ASSERT(n < sizeof to && to[n - 1] == '\n');
    to[n] = 0;
    CU_ASSERT_PTR_NOT_NULL(strstr(to, ".123 warn  worker h:1: one?two?\n"));
    CU_ASSERT_EQUAL(strcspn(to, "\n"), n - 1);
    char longest[9000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    n = cli_log_format(&cfg, ENV_LOG_WARN, 0, longest, to, sizeof to);
    CU_ASSERT(n <= sizeof to && to[n - 1] == '\n');
}

static void json_is(const char *line, const char *expect)
{
    char to[600];
    struct cli_log_config cfg = {.role = "mount", .id = "/mnt/a \"b\"", .is_json = true};
    size_t n = cli_log_format(&cfg, ENV_LOG_ERROR, 1700000000123456789, line, to, sizeof to);
    CU_ASSERT_FATAL(n < sizeof to && to[n - 1] == '\n');
    to[n] = 0;
    CU_ASSERT_EQUAL(strcspn(to, "\n"), n - 1);
    cJSON *j = cJSON_Parse(to);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j);
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(j, "message"));
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItem(j, "time")),
                           "2023-11-14T22:13:20.123Z");
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItem(j, "level")), "error");
    CU_ASSERT_STRING_EQUAL(cJSON_GetStringValue(cJSON_GetObjectItem(j, "id")), "/mnt/a \"b\"");
    if (expect)
        CU_ASSERT_STRING_EQUAL(message, expect);
    cJSON_Delete(j);
}

static void test_cli_log_json(void)
{
    char longest[3000];
    json_is("plain", "plain");
    json_is("tab\t, \"quoted\", back\\slash,\nline", "tab\t, \"quoted\", back\\slash,\nline");
    json_is("gr\xc3\xbc\xc3\x9f, \xf0\x9f\x90\x88", "gr\xc3\xbc\xc3\x9f, \xf0\x9f\x90\x88");
    json_is("\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd");
    json_is("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* half of a pair */
    for (size_t i = 0; i + 1 < sizeof longest; i++)
        longest[i] = "\"\x01\xc3"[i % 3];
    longest[sizeof longest - 1] = 0;
    for (size_t i = 0; i < 60; i++) /* wherever it is cut */
        json_is(longest + i, NULL);
}

/* ---- the file ---- */

static char dir[64], file[96];

static void read_file(const char *name, char *to, size_t cap)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, to, cap - 1);
    to[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

static void test_cli_log_file_is_opened_again(void)
{
    char moved[128], text[2048], err[256];
    struct cli_log l;
    snprintf(dir, sizeof dir, "/tmp/tarn-log-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/log", dir);
    snprintf(moved, sizeof moved, "%s.1", file);
    struct cli_log_config cfg = {.role = "master", .id = "", .level = ENV_LOG_INFO, .file = file};
    CU_ASSERT_EQUAL_FATAL(cli_log_open(&l, &cfg, err, sizeof err), 0);
    cli_log_line(&l, ENV_LOG_INFO, NULL, "first");
    cli_log_line(&l, ENV_LOG_DEBUG, NULL, "too much");
    CU_ASSERT_EQUAL(rename(file, moved), 0);
    cli_log_line(&l, ENV_LOG_INFO, NULL, "second");
    cli_log_reopen(&l);
    cli_log_louder(&l, 1);
    cli_log_line(&l, ENV_LOG_DEBUG, NULL, "third");
    cli_log_louder(&l, 1); /* there is no more */
    cli_log_louder(&l, -1);
    cli_log_louder(&l, -1);
    cli_log_line(&l, ENV_LOG_INFO, NULL, "too little");
    read_file(moved, text, sizeof text);
    CU_ASSERT(strstr(text, "master: first\n") && strstr(text, "master: second\n"));
    CU_ASSERT(!strstr(text, "too much") && !strstr(text, "third"));
    read_file(file, text, sizeof text);
    CU_ASSERT(strstr(text, "opened again\n") && strstr(text, "debug master: third\n"));
    CU_ASSERT(strstr(text, "log.level is warn now\n") && !strstr(text, "too little"));
    CU_ASSERT_EQUAL(unlink(file), 0);
    CU_ASSERT_EQUAL(mkdir(file, 0700), 0); /* cannot be opened: the old one goes on */
    cli_log_reopen(&l);
    CU_ASSERT_EQUAL(rmdir(file), 0);
    cli_log_reopen(&l);
    cli_log_line(&l, ENV_LOG_ERROR, NULL, "fourth");
    read_file(file, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "error master: fourth\n"));
    CU_ASSERT_EQUAL(atomic_load(&l.lost), 0);
    cli_log_close(&l);
    unlink(file);
    unlink(moved);
    rmdir(dir);
    cfg.file = file; /* its directory is gone */
    CU_ASSERT_EQUAL(cli_log_open(&l, &cfg, err, sizeof err), E_NOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "log.file"));
}

static void test_cli_log_full_disk_is_counted(void)
{
    struct cli_log l;
    char err[256];
    struct cli_log_config cfg = {.role = "master", .id = "", .file = "/dev/full"};
    CU_ASSERT_EQUAL_FATAL(cli_log_open(&l, &cfg, err, sizeof err), 0);
    cli_log_line(&l, ENV_LOG_ERROR, NULL, "nobody will read it");
    CU_ASSERT_EQUAL(atomic_load(&l.lost), 1);
    cli_log_close(&l);
}

/* ---- the service manager ---- */

static int manager(const char *name, bool is_abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 30};
    size_t n = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, name, n);
    if (is_abstract)
        a.sun_path[0] = 0;
    CU_ASSERT_EQUAL(
        bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void hears(int fd, const char *text)
{
    char got[256];
    CU_ASSERT(cli_notify(text));
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    got[n > 0 ? n : 0] = 0;
    CU_ASSERT_STRING_EQUAL(got, text);
    close(fd);
}

static void test_cli_notify(void)
{
    char name[128];
    unsetenv("NOTIFY_SOCKET");
    CU_ASSERT(!cli_notify_is_wanted() && !cli_notify("READY=1\n"));
    snprintf(name, sizeof name, "@tarn-test-%d", (int)getpid());
    hears(manager(name, true), "READY=1\n");
    snprintf(name, sizeof name, "/tmp/tarn-notify-%d", (int)getpid());
    int fd = manager(name, false);
    hears(fd, "WATCHDOG=1\n");
    unlink(name);
    CU_ASSERT(!cli_notify("WATCHDOG=1\n")); /* nobody is there, and nothing waits */
    setenv("NOTIFY_SOCKET", "nonsense", 1);
    CU_ASSERT(!cli_notify_is_wanted() && !cli_notify("READY=1\n"));
}

static void test_cli_notify_watchdog(void)
{
    char pid[24];
    setenv("NOTIFY_SOCKET", "@x", 1);
    unsetenv("WATCHDOG_USEC");
    CU_ASSERT_EQUAL(cli_notify_watchdog_ns(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    CU_ASSERT_EQUAL(cli_notify_watchdog_ns(), 30 * S);
    setenv("WATCHDOG_PID", "1", 1); /* another process's */
    CU_ASSERT_EQUAL(cli_notify_watchdog_ns(), 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    CU_ASSERT_EQUAL(cli_notify_watchdog_ns(), 30 * S);
    setenv("WATCHDOG_USEC", "-5", 1);
    CU_ASSERT_EQUAL(cli_notify_watchdog_ns(), 0);
}

UNIT_MAIN("cli_log", UNIT(test_cli_log_holds_back_what_repeats),
          UNIT(test_cli_log_keeps_what_is_rare), UNIT(test_cli_log_a_storm_of_shapes),
          UNIT(test_cli_log_format), UNIT(test_cli_log_json),
          UNIT(test_cli_log_file_is_opened_again), UNIT(test_cli_log_full_disk_is_counted),
          UNIT(test_cli_notify), UNIT(test_cli_notify_watchdog))
