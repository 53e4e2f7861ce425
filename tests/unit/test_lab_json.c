/* tests/unit/test_lab_json.c - whatever the bytes are, what is written is JSON, and says the same
 * again. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "core/prng.h"
#include "sim/lab_json.h"
#include "unit.h"

static char *written(const char *s, size_t n)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    lab_json_bytes(f, s, n);
    fclose(f);
    return text;
}

static void test_lab_json_table(void)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"\"\\/", "\"\\\"\\\\/\""},
        {"\n\t\x01\x1f\x7f", "\"\\u000a\\u0009\\u0001\\u001f\x7f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\x80", "\"\\u0080\""},                                  /* nothing goes on */
        {"\xc3", "\"\\u00c3\""},                                  /* cut off */
        {"\xe2\x82", "\"\\u00e2\\u0082\""},                       /* likewise */
        {"\xe2x", "\"\\u00e2x\""},                                /* broken off */
        {"\xc0\xaf", "\"\\u00c0\\u00af\""},                       /* too long for what it says */
        {"\xe0\x80\xaf", "\"\\u00e0\\u0080\\u00af\""},            /* likewise */
        {"\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""},            /* half a pair */
        {"\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\""}, /* beyond the last */
        {"\xff\xfe", "\"\\u00ff\\u00fe\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = written(rows[i].bytes, strlen(rows[i].bytes));
        CU_ASSERT_STRING_EQUAL(text, rows[i].text);
        free(text);
    }
    char *text = written("a\0b", 3); /* a zero is a byte like the others */
    CU_ASSERT_STRING_EQUAL(text, "\"a\\u0000b\"");
    free(text);
}

/* any bytes: a parser takes it, all of it; what it reads is written as it reads it */
static void test_lab_json_random(void)
{
    struct prng p;
    prng_seed(&p, 1, "json", 0);
    for (int i = 0; i < 20000; i++) {
        char s[12];
        size_t n = prng_below(&p, sizeof s);
        for (size_t k = 0; k < n; k++)
            s[k] = (char)(1 + prng_below(&p, 255));
        char *text = written(s, n);
        const char *end = NULL;
        cJSON *j = cJSON_ParseWithOpts(text, &end, true);
        CU_ASSERT_PTR_NOT_NULL_FATAL(j);
        char *again = written(j->valuestring, strlen(j->valuestring));
        cJSON *k = cJSON_Parse(again);
        CU_ASSERT_PTR_NOT_NULL_FATAL(k);
        CU_ASSERT_STRING_EQUAL(k->valuestring, j->valuestring);
        for (const char *c = text; *c; c++)
            CU_ASSERT((unsigned char)*c >= 32);
        cJSON_Delete(j);
        cJSON_Delete(k);
        free(text);
        free(again);
    }
}

UNIT_MAIN("lab_json", UNIT(test_lab_json_table), UNIT(test_lab_json_random))
