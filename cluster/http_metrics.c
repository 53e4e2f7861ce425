/* cluster/http_metrics.c - a status text as Prometheus' text format 0.0.4.
 *
 * All samples of a metric stand together behind its HELP and TYPE, so the lines are looked through
 * once for each row of the table: a few hundred times a few thousand, off the loop. */
#include "cluster/http_metrics.h"
#include <inttypes.h>
#include <stdlib.h>
#include "core/fmt.h"

enum { HTTP_LABEL = 512, HTTP_NEAR = 64, HTTP_KEY = 160 };

struct http_line {
    const char *key, *value;
    size_t key_len, value_len;
    bool is_done;
};

struct http_lines {
    struct http_line *at;
    size_t n;
};

static bool http_lines_cut(const char *text, struct http_lines *ret)
{
    size_t max = 0;
    for (const char *p = text; *p; p++)
        max += *p == '\n';
    ret->n = 0;
    ret->at = calloc(max + 1, sizeof *ret->at);
    if (!ret->at)
        return false;
    for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        if (space)
            ret->at[ret->n++] = (struct http_line){p, space + 1, (size_t)(space - p),
                                                   (size_t)(end - space - 1), false};
    }
    return true;
}

/* does the key fit the pattern?  *part is what the '*' stands for */
static bool http_fits(const struct http_line *l, const char *pattern, const char **ret_part,
                      size_t *ret_part_len)
{
    const char *k = l->key, *end = l->key + l->key_len;
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : strlen(pattern);
    *ret_part_len = 0;
    if (l->key_len < before || memcmp(k, pattern, before) != 0)
        return false;
    if (!star)
        return l->key_len == before;
    *ret_part = k + before;
    while (k + before + *ret_part_len < end && k[before + *ret_part_len] != '.')
        ++*ret_part_len;
    size_t rest = strlen(star + 1), at = before + *ret_part_len;
    return *ret_part_len && l->key_len == at + rest && !memcmp(k + at, star + 1, rest);
}

const struct http_metric *http_metrics_find(const char *key)
{
    struct http_line l = {.key = key, .key_len = strlen(key)};
    const char *part;
    size_t part_len;
    for (size_t row = 0; row < http_table_rows; row++)
        if (http_fits(&l, http_table[row].key, &part, &part_len))
            return &http_table[row];
    return NULL;
}

/* a label's value, escaped */
static void http_escape(char to[HTTP_LABEL], const char *from, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 3 < HTTP_LABEL; i++) {
        bool special = from[i] == '\\' || from[i] == '"' || from[i] == '\n';
        if (special)
            to[at++] = '\\';
        to[at++] = from[i];
        if (from[i] == '\n')
            to[at - 1] = 'n';
    }
    to[at] = 0;
}

/* the value of the key that stands beside l: the same up to the '*''s part, then `name` */
static const struct http_line *http_beside(const struct http_lines *all, const struct http_line *l,
                                           size_t head, const char *name)
{
    size_t i = (size_t)(l - all->at), n = strlen(name);
    size_t from = i > HTTP_NEAR ? i - HTTP_NEAR : 0, to = base_min_u64(all->n, i + HTTP_NEAR);
    for (size_t k = from; k < to; k++) {
        const struct http_line *s = &all->at[k];
        if (s->key_len == head + 1 + n && !memcmp(s->key, l->key, head + 1) &&
            !memcmp(s->key + head + 1, name, n))
            return s;
    }
    return NULL;
}

static bool http_u64(const struct http_line *l, uint64_t *ret_v)
{
    char number[24];
    if (!l->value_len || l->value_len >= sizeof number)
        return false;
    memcpy(number, l->value, l->value_len);
    number[l->value_len] = 0;
    if (strspn(number, "0123456789") != l->value_len)
        return false;
    *ret_v = strtoull(number, NULL, 10);
    return true;
}

/* nanoseconds as seconds, exactly, without zeros at the end */
static const char *http_seconds(char to[32], uint64_t ns)
{
    size_t n = fmt_into(to, 32, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
    while (to[n - 1] == '0')
        to[--n] = 0;
    if (to[n - 1] == '.')
        to[n - 1] = 0;
    return to;
}

/* "12 sum 345 100000:3 300000:9": buckets, sum and count */
static void http_times(FILE *out, const char *name, const char *label, const char *value,
                       const struct http_line *l)
{
    char text[1024], s[32];
    uint64_t count, sum, bound, within;
    int used = 0;
    fmt_into(text, sizeof text, "%.*s", (int)l->value_len, l->value);
    if (sscanf(text, "%" SCNu64 " sum %" SCNu64 "%n", &count, &sum, &used) != 2)
        return;
    for (const char *p = text + used;
         sscanf(p, " %" SCNu64 ":%" SCNu64 "%n", &bound, &within, &used) == 2; p += used)
        fprintf(out, "tarn_%s_bucket{%s=\"%s\",le=\"%s\"} %" PRIu64 "\n", name, label, value,
                http_seconds(s, bound), within);
    fprintf(out, "tarn_%s_bucket{%s=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, label, value, count);
    fprintf(out, "tarn_%s_sum{%s=\"%s\"} %s\n", name, label, value, http_seconds(s, sum));
    fprintf(out, "tarn_%s_count{%s=\"%s\"} %" PRIu64 "\n", name, label, value, count);
}

static void http_head(FILE *out, const struct http_metric *m)
{
    static const char *const types[] = {"gauge", "counter",   "gauge",  "counter",
                                        "gauge", "histogram", "untyped"};
    fprintf(out, "# HELP tarn_%s %s\n# TYPE tarn_%s %s\n", m->name, m->help, m->name,
            types[m->kind]);
}

/* is there a number to show? */
static bool http_sample(FILE *out, const struct http_lines *all, const struct http_line *l,
                        const struct http_metric *m, const char *part, size_t part_len)
{
    char value[HTTP_LABEL], s[32];
    uint64_t v = 1;
    const struct http_line *of = NULL;
    if (m->of)
        of = http_beside(all, l, (size_t)(part + part_len - l->key), m->of);
    if (of)
        http_escape(value, of->value, of->value_len);
    else if (m->kind == HTTP_STATE)
        http_escape(value, l->value, l->value_len);
    else
        http_escape(value, part_len ? part : "", part_len);
    if (m->kind == HTTP_TIMES) {
        http_times(out, m->name, m->label, value, l);
        return true;
    }
    if (m->kind != HTTP_STATE && !http_u64(l, &v))
        return false;
    if (m->kind == HTTP_SECONDS || m->kind == HTTP_SECONDS_COUNTER)
        http_seconds(s, v);
    else
        fmt_into(s, sizeof s, "%" PRIu64, v);
    if (m->label)
        fprintf(out, "tarn_%s{%s=\"%s\"} %s\n", m->name, m->label, value, s);
    else
        fprintf(out, "tarn_%s %s\n", m->name, s);
    return true;
}

/* "a.7.b-c" -> "a_b_c" and "7": the name of what the table does not know */
static bool http_unknown(const struct http_line *l, char name[HTTP_KEY], char index[24])
{
    size_t n = 0;
    index[0] = 0;
    for (size_t i = 0; i < l->key_len && n + 2 < HTTP_KEY;) {
        size_t part = 0, digits = 0;
        while (i + part < l->key_len && l->key[i + part] != '.')
            digits += l->key[i + part] >= '0' && l->key[i + part] <= '9', part++;
        if (part && digits == part && n) {
            fmt_into(index, 24, "%.*s", (int)part, l->key + i);
        } else {
            for (size_t k = 0; k < part && n + 2 < HTTP_KEY; k++) {
                char c = l->key[i + k];
                bool ok =
                    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                name[n++] = ok ? c : '_';
            }
            name[n++] = '_';
        }
        i += part + 1;
    }
    name[n ? n - 1 : 0] = 0;
    return n > 1;
}

static void http_others(FILE *out, struct http_lines *all)
{
    char name[HTTP_KEY], again[HTTP_KEY], index[24];
    uint64_t v;
    for (size_t i = 0; i < all->n; i++) {
        struct http_line *l = &all->at[i];
        if (l->is_done || !http_u64(l, &v) || !http_unknown(l, name, index))
            continue;
        fprintf(out, "# HELP tarn_%s Not described.\n# TYPE tarn_%s untyped\n", name, name);
        for (size_t k = i; k < all->n; k++) {
            struct http_line *s = &all->at[k];
            if (s->is_done || !http_u64(s, &v) || !http_unknown(s, again, index) ||
                strcmp(name, again) != 0)
                continue;
            s->is_done = true;
            fprintf(out, "tarn_%s%s%s%s %" PRIu64 "\n", name, index[0] ? "{index=\"" : "", index,
                    index[0] ? "\"}" : "", v);
        }
    }
}

void http_metrics(FILE *out, const char *text)
{
    struct http_lines all;
    if (!http_lines_cut(text, &all))
        return;
    for (size_t row = 0; row < http_table_rows; row++) {
        const struct http_metric *m = &http_table[row];
        const char *part = NULL;
        size_t part_len;
        bool begun = false;
        for (size_t i = 0; i < all.n; i++) {
            struct http_line *l = &all.at[i];
            if (l->is_done || !http_fits(l, m->key, &part, &part_len))
                continue;
            l->is_done = true;
            if (m->kind == HTTP_SILENT)
                continue;
            if (!begun)
                http_head(out, m);
            begun = true;
            http_sample(out, &all, l, m, part, part_len);
        }
    }
    http_others(out, &all);
    free(all.at);
}
