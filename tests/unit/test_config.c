/* tests/unit/test_config.c - the configuration: what is accepted, and what each error says. */
#include "cluster/config.h"
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
    CU_ASSERT_PTR_NOT_NULL(strstr(json, strchr(key, '.') + 1));
    CONFIG_KEYS(CHECK)
#undef CHECK
    free(json);
    config_free(c);
}

UNIT_MAIN("config", UNIT(test_config_defaults_are_valid), UNIT(test_config_values_are_read),
          UNIT(test_config_unknown_key_suggests), UNIT(test_config_bad_values_name_the_range),
          UNIT(test_config_mounts), UNIT(test_config_docs_cover_every_key))
