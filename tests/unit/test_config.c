/* tests/unit/test_config.c - the configuration: what is accepted, and what each error says. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/config_members.h"
#include "cluster/config_zk.h"
#include "tests/unit/unit.h"

static char err[CONFIG_ERROR_MAX];

static int parse(const char *json)
{
    struct config *c = config_new();
    err[0] = 0;
    int e = config_parse(c, json, "t.json", err, sizeof err);
    if (!e)
        e = config_check(c, err, sizeof err);
    config_free(c);
    return e;
}

static void test_config_defaults_are_valid(void)
{
    CU_ASSERT_EQUAL(parse("{}"), 0);
}

static void test_config_values_are_read(void)
{
    struct config *c = config_new();
    uint32_t n;
    CU_ASSERT_EQUAL_FATAL(
        config_parse(c,
                     "{\"cluster\":{\"page\":\"2MiB\"},\"worker\":{\"capacity\":1073741824,"
                     "\"eviction\":\"lru\"},\"client\":{\"direct_under_store\":false},"
                     "\"mounts\":[{\"path\":\"/\",\"ufs\":\"dir:/srv\",\"mode\":\"through\","
                     "\"check_interval\":\"250ms\"}]}",
                     "t.json", err, sizeof err),
        0);
    CU_ASSERT_EQUAL(config_int(c, CONFIG_CLUSTER_PAGE), 2 << 20);
    CU_ASSERT_EQUAL(config_int(c, CONFIG_WORKER_CAPACITY), 1 << 30);
    CU_ASSERT_EQUAL(config_int(c, CONFIG_CLIENT_DIRECT), 0);
    CU_ASSERT_STRING_EQUAL(config_str(c, CONFIG_WORKER_EVICTION), "lru");
    const struct master_mount *m = config_mounts(c, &n);
    CU_ASSERT_EQUAL_FATAL(n, 1);
    CU_ASSERT_EQUAL(m[0].mode, FSOP_MOUNT_THROUGH);
    CU_ASSERT_EQUAL(m[0].check_interval_ns, 250000000);
    CU_ASSERT_STRING_EQUAL(config_masters(c), "127.0.0.1:7700");
    /* what is shown can be read again */
    char *json = config_json(c, false);
    CU_ASSERT_EQUAL(parse(json), 0);
    free(json);
    config_free(c);
}

static void test_config_unknown_key_suggests(void)
{
    CU_ASSERT_EQUAL(parse("{\"worker\":{\"capacty\":\"1GiB\"}}"), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "worker.capacity"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "t.json"));
    CU_ASSERT_EQUAL(parse("{\"mounts\":[{\"path\":\"/\",\"uf\":\"dir:/x\"}]}"), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "\"ufs\""));
    CU_ASSERT_EQUAL(parse("{\"zzzzzzzz\":{\"q\":1}}"), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "zzzzzzzz.q"));
}

static void test_config_bad_values_name_the_range(void)
{
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"{\"cluster\":{\"page\":\"3MiB\"}}", "power of two"},
        {"{\"cluster\":{\"page\":\"1KiB\"}}", "65536"},
        {"{\"cluster\":{\"page\":\"99999999TiB\"}}", "not a size"},
        {"{\"worker\":{\"eviction\":\"best\"}}", "s3fifo|lru|fifo"},
        {"{\"master\":{\"lease\":\"5 parsecs\"}}", "not a duration"},
        {"{\"master\":{\"lease\":\"40s\"}}", "longer than"},
        {"{\"master\":{\"listen\":\"nowhere\"}}", "host:port"},
        {"{\"worker\":{\"fetches_max\":0}}", "out of range"},
        {"{\"worker\":{\"fetches_max\":1.5}}", "whole number"},
        {"{\"client\":{\"direct_under_store\":\"maybe\"}}", "true nor false"},
        {"{\"worker\":[1]}", "must be an object"},
        {"{\"worker\":{\"dir\":null}}", "must be a string"},
        {"{\"mounts\":[{\"path\":\"x\",\"ufs\":\"dir:/y\"}]}", "begin with /"},
        {"{\"mounts\":[{\"path\":\"/\",\"ufs\":\"s3:/y\"}]}", "dir:/absolute"},
        {"{\"mounts\":[{\"path\":\"/\",\"ufs\":\"dir:/y\",\"mode\":\"rw\"}]}", "ro|through|meta"},
        {"{\"cluster\":{\"id\":\"xyz\"}}", "32 hex"},
        {"{\"cluster\":\n{\"id\" \"xyz\"}}", "line 2"},
        {"{\"journal\":{\"type\":\"raft\"}}", "must name the masters"},
        {"{\"journal\":{\"members\":\"1@a:1\"}}", "journal.type is local"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"a:1\"}}", "\"a:1\" is not ID@HOST:PORT"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"0@a:1\"}}", "from 1 on"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"-1@a:1\"}}", "from 1 on"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1=256\"}}", "PRIORITY 0 to 255"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1,,2@b:1\"}}", "is not ID"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1,1@b:1\"}}", "the number 1"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1,2@a:1=3\"}}", "the address a:1"},
        {"{\"journal\":{\"type\":\"raft\",\"id\":4,\"members\":\"1@a:1,2@b:1\"}}",
         "journal.id is 4, which"},
        {"{\"journal\":{\"type\":\"raft\",\"id\":2,\"members\":\"1@a:1,2@b:1\"}}",
         "master.listen is 127.0.0.1:7700"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1\",\"promise\":\"80ms\"}}",
         "twice journal.heartbeat"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1\",\"suspect_min\":\"200ms\"}}",
         "twice journal.promise"},
        {"{\"journal\":{\"type\":\"raft\",\"members\":\"1@a:1\",\"suspect_max\":\"1s\"}}",
         "suspect_max must"},
        {"{\"journal\":{\"type\":\"zk\"}}", "journal.zk.connect must name"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"conect\":\"h\"}}}", "journal.zk.connect"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":[]}}}", "journal.zk.connect: must be"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h:0/t\"}}}", "port from 1 to 65535"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h,,i/t\"}}}", "one comma too many"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h/t//u\"}}}", "its path"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h/t\"}}}", "shared_dir must name"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h/t\",\"shared_dir\":\"x\"}}}",
         "must begin with /"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h/t\",\"shared_dir\":\"/x\","
         "\"auth\":\"me\"}}}",
         "USER:PASSWORD"},
        {"{\"journal\":{\"type\":\"zk\",\"zk\":{\"connect\":\"h/t\",\"shared_dir\":\"/x\","
         "\"session\":\"1ms\"}}}",
         "journal.zk.session: 1ms is out of range"},
        {"{\"journal\":{\"type\":\"zk\",\"id\":1,\"zk\":{\"connect\":\"h/t\","
         "\"shared_dir\":\"/x\"}},\"master\":{\"listen\":\"0.0.0.0:7700\"}}",
         "nobody can connect to"},
        {"{\"journal\":{\"type\":\"zk\",\"id\":3,\"members\":\"1@a:1\",\"zk\":{\"connect\":\"h/t\","
         "\"shared_dir\":\"/x\"}}}",
         "journal.id is 3, which"},
        {"[]", "JSON object"},
        {"", "not valid JSON"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(parse(bad[i].json), E_CONFIG);
        if (!strstr(err, bad[i].says)) {
            CU_FAIL("the message does not help");
            printf("\n  %s -> %s\n", bad[i].json, err);
        }
    }
}

/* a section in a section, and the same with a dot */
static void test_config_zk(void)
{
    struct config *c = config_new();
    char auth[CONFIG_ZK_AUTH], file[] = "/tmp/tarn-test-config-XXXXXX", *json;
    CU_ASSERT_EQUAL_FATAL(
        config_parse(c,
                     "{\"journal\":{\"type\":\"zk\",\"zk.session\":\"2s\",\"zk\":{\"connect\":"
                     "\"h1,h2:7/t\",\"shared_dir\":\"/srv/j\",\"auth\":\"me:secret\"}}}",
                     "t.json", err, sizeof err),
        0);
    CU_ASSERT_EQUAL(config_check(c, err, sizeof err), 0);
    CU_ASSERT_STRING_EQUAL(config_str(c, CONFIG_JOURNAL_ZK_CONNECT), "h1,h2:7/t");
    CU_ASSERT_EQUAL(config_int(c, CONFIG_JOURNAL_ZK_SESSION), 2000000000);
    CU_ASSERT_EQUAL(config_zk_auth(c, auth, err, sizeof err), 0);
    CU_ASSERT_STRING_EQUAL(auth, "me:secret");
    CU_ASSERT_EQUAL(config_zk_alone(c, err, sizeof err), 0);
    CU_ASSERT_EQUAL(config_set(c, "journal.type", "raft", err, sizeof err), 0);
    CU_ASSERT_EQUAL(config_zk_alone(c, err, sizeof err), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "journal.zk.connect is set, but journal.type is raft"));
    CU_ASSERT_EQUAL(config_set(c, "journal.type", "zk", err, sizeof err), 0);
    json = config_json(c, false);
    CU_ASSERT_PTR_NOT_NULL(strstr(json, "\"zk\":\t{"));
    CU_ASSERT_EQUAL(parse(json), 0);
    free(json);
    int fd = mkstemp(file);
    CU_ASSERT_FATAL(fd >= 0 && write(fd, "you:too\n", 8) == 8);
    CU_ASSERT_EQUAL(config_set(c, "journal.zk.auth", file, err, sizeof err), 0);
    CU_ASSERT_EQUAL(config_check(c, err, sizeof err), 0);
    CU_ASSERT_EQUAL(config_zk_auth(c, auth, err, sizeof err), 0);
    CU_ASSERT_STRING_EQUAL(auth, "you:too");
    CU_ASSERT_EQUAL(fchmod(fd, 0644), 0);
    CU_ASSERT_EQUAL(config_zk_auth(c, auth, err, sizeof err), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "chmod 0600"));
    CU_ASSERT(!fchmod(fd, 0600) && !ftruncate(fd, 3));
    CU_ASSERT_EQUAL(config_zk_auth(c, auth, err, sizeof err), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "USER:PASSWORD"));
    CU_ASSERT(!close(fd) && !unlink(file));
    CU_ASSERT_EQUAL(config_zk_auth(c, auth, err, sizeof err), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "No such file"));
    config_free(c);
}

static void test_config_members(void)
{
    struct config_member m[JOURNAL_MEMBERS_MAX];
    char json[4096], text[4096];
    uint32_t n;
    CU_ASSERT_EQUAL(config_members_parse("1@a:7700,20@[::1]:77=3,7@c.d:1", m, &n, err, sizeof err),
                    0);
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT(m[1].id == 20 && m[1].priority == 3 && m[2].priority == 0);
    CU_ASSERT_STRING_EQUAL(m[1].addr, "[::1]:77");
    static const char *const bad[] = {
        "0@a:1", "1@",  "1@a:1=256", "1@a:1=",       "4294967296@a:1", "1@a@b:1",  "@a:1",
        "1a:1",  "1@a", "1@a:1=3x",  "1@a:1,,2@b:1", "-1@a:1",         "1@a:65536"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        CU_ASSERT_EQUAL(config_members_parse(bad[i], m, &n, err, sizeof err), E_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(err, "is not ID@HOST:PORT"));
    }
    int at = 0;
    for (int i = 1; i <= JOURNAL_MEMBERS_MAX + 1; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%d@h:%d", at ? "," : "", i, i);
    CU_ASSERT_EQUAL(config_members_parse(text, m, &n, err, sizeof err), E_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err, "more than 16"));
    /* clients find the masters by the members; any address may be listened on */
    static const char *const listens[] = {"a:7701", "0.0.0.0:7701", "[::]:7701", "b:7701"};
    for (unsigned i = 0; i < 4; i++) {
        snprintf(json, sizeof json,
                 "{\"master\":{\"listen\":\"%s\"},\"journal\":{\"type\":\"raft\",\"id\":1,"
                 "\"members\":\"1@a:7701=9,2@b:7702\"}}",
                 listens[i]);
        CU_ASSERT_EQUAL(parse(json), i < 3 ? 0 : E_CONFIG);
    }
    struct config *c = config_new();
    CU_ASSERT_EQUAL(config_parse(c, json, "t.json", err, sizeof err), 0);
    CU_ASSERT_STRING_EQUAL(config_masters(c), "a:7701,b:7702");
    CU_ASSERT_EQUAL(config_set(c, "client.masters", "x:1", err, sizeof err), 0);
    CU_ASSERT_STRING_EQUAL(config_masters(c), "x:1");
    config_free(c);
}

static void test_config_mounts(void)
{
    struct config *c = config_new();
    uint32_t n;
    CU_ASSERT_EQUAL(config_put_mount(c, "/", "dir:/srv/a,b", "ro", "1s", err, sizeof err), 0);
    CU_ASSERT_EQUAL(config_put_mount(c, "/w", "dir:/w", "through", "0", err, sizeof err), 0);
    CU_ASSERT_EQUAL(config_put_mount(c, "/w", "dir:/v", "ro", "1s", err, sizeof err), E_CONFIG);
    CU_ASSERT_EQUAL(config_put_mount(c, "w", "dir:/v", "ro", "1s", err, sizeof err), E_CONFIG);
    CU_ASSERT_EQUAL(config_put_mount(c, "/v", "dir:v", "ro", "1s", err, sizeof err), E_CONFIG);
    CU_ASSERT_EQUAL(config_put_mount(c, "/v", "dir:/v", "rw", "1s", err, sizeof err), E_CONFIG);
    CU_ASSERT_EQUAL(config_put_mount(c, "/v", "dir:/v", "ro", "soon", err, sizeof err), E_CONFIG);
    CU_ASSERT_EQUAL(config_put_mount(c, "/v", "dir:/v", "meta", "1s", err, sizeof err), E_CONFIG);
    CU_ASSERT_STRING_EQUAL(config_mounts(c, &n)[0].uri, "dir:/srv/a,b");
    CU_ASSERT_EQUAL(config_mounts(c, &n)[1].mode, FSOP_MOUNT_THROUGH);
    CU_ASSERT_EQUAL(n, 2);
    config_drop_mount(c, "/");
    config_drop_mount(c, "/nothing");
    CU_ASSERT_STRING_EQUAL(config_mounts(c, &n)[0].path, "/w");
    CU_ASSERT_EQUAL(n, 1);
    config_free(c);
}

static void test_config_docs_cover_every_key(void)
{
    struct config *c = config_new();
    char *json = config_json(c, true);
#define CHECK(id, key, type, def, min, max, values, doc) \
    CU_ASSERT(strlen(doc) > 8);                          \
    CU_ASSERT_PTR_NOT_NULL(strstr(json, strrchr(key, '.') + 1));
    CONFIG_KEYS(CHECK)
#undef CHECK
    free(json);
    config_free(c);
}

UNIT_MAIN("config", UNIT(test_config_defaults_are_valid), UNIT(test_config_values_are_read),
          UNIT(test_config_unknown_key_suggests), UNIT(test_config_bad_values_name_the_range),
          UNIT(test_config_zk), UNIT(test_config_members), UNIT(test_config_mounts),
          UNIT(test_config_docs_cover_every_key))
