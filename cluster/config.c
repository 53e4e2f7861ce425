/* cluster/config.c - one table, read four ways: parse, check, show, document.
 *
 * Values are kept as text and as a checked integer side by side, so that `show` prints what the
 * user wrote and the program uses what was checked. */
#include "cluster/config.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include "cluster/config_members.h"

enum { CONFIG_MASTERS_BYTES = 8192 };

struct config_key {
    const char *key;
    enum config_type type;
    const char *def;
    int64_t min, max;
    const char *values, *doc;
};

#define CONFIG_ROW(id, key, type, def, min, max, values, doc) \
    {key, CONFIG_##type, def, min, max, values, doc},
static const struct config_key config_keys[CONFIG_COUNT] = {CONFIG_KEYS(CONFIG_ROW)};
#undef CONFIG_ROW

static const char *const config_type_names[] = {"string",   "address", "path",    "size",
                                                "duration", "integer", "boolean", "choice"};
static const char *const config_mount_keys[] = {"path", "ufs", "mode", "check_interval"};

struct config {
    char *text[CONFIG_COUNT];
    int64_t number[CONFIG_COUNT];
    bool is_default[CONFIG_COUNT];
    struct master_mount mounts[CONFIG_MOUNTS_MAX];
    uint32_t n_mounts;
    char *masters; /* of the members */
    void (*say)(void *ctx, const char *text);
    void *say_ctx;
};

PRINTF_LIKE(3, 4) static int config_fail(char *err, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err, cap, format, args);
    va_end(args);
    return E_CONFIG;
}

void config_on_mistake(struct config *c, void (*say)(void *ctx, const char *text), void *ctx)
{
    c->say = say;
    c->say_ctx = ctx;
}

/* Is a mistake the end?  Else it is told, kept as the first in *bad and `first`, and passed over.
 */
static bool config_ends(const struct config *c, int now, const char *err, int *bad, char *first,
                        size_t cap)
{
    if (now && !*bad && first != err)
        snprintf(first, cap, "%s", err);
    if (now && c->say)
        c->say(c->say_ctx, err);
    *bad = *bad ? *bad : now;
    return now && !c->say;
}

static unsigned config_distance(const char *a, const char *b)
{
    unsigned row[80];
    size_t na = strlen(a), nb = strlen(b);
    if (na >= 78 || nb >= 78)
        return 99;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned add = row[j] + 1, drop = row[j - 1] + 1;
            row[j] = change < add ? change : add;
            row[j] = row[j] < drop ? row[j] : drop;
        }
    }
    return row[nb];
}

const char *config_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = (unsigned)strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        unsigned d = config_distance(word, candidates[i]);
        if (d < best_distance) {
            best_distance = d;
            best = candidates[i];
        }
    }
    return best;
}

struct config_unit {
    const char *name;
    int64_t factor;
};

static bool config_parse_units(const char *s, const struct config_unit *units, size_t n,
                               int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (end == s || errno || v < 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(end, units[i].name)) {
            if (v > INT64_MAX / units[i].factor)
                return false;
            *ret_value = v * units[i].factor;
            return true;
        }
    return false;
}

bool config_parse_size(const char *s, int64_t *ret_bytes)
{
    static const struct config_unit units[] = {{"", 1},
                                               {"B", 1},
                                               {"KiB", 1LL << 10},
                                               {"MiB", 1LL << 20},
                                               {"GiB", 1LL << 30},
                                               {"TiB", 1LL << 40},
                                               {"K", 1LL << 10},
                                               {"M", 1LL << 20},
                                               {"G", 1LL << 30},
                                               {"T", 1LL << 40},
                                               {"KB", 1000},
                                               {"MB", 1000000},
                                               {"GB", 1000000000LL},
                                               {"TB", 1000000000000LL}};
    return config_parse_units(s, units, ARRAY_LEN(units), ret_bytes);
}

static const struct config_unit config_durations[] = {
    {"ns", 1},           {"us", 1000},         {"ms", 1000000},
    {"s", 1000000000LL}, {"m", 60000000000LL}, {"h", 3600000000000LL}};

bool config_parse_duration(const char *s, int64_t *ret_ns)
{
    if (!strcmp(s, "0")) {
        *ret_ns = 0;
        return true;
    }
    return config_parse_units(s, config_durations, ARRAY_LEN(config_durations), ret_ns);
}

/* in the largest unit of which it is a whole number */
static void config_duration_text(char *to, size_t cap, int64_t ns)
{
    size_t u = ARRAY_LEN(config_durations) - 1;
    while (u && (!ns || ns % config_durations[u].factor))
        u--;
    snprintf(to, cap, "%lld%s", (long long)(ns / config_durations[u].factor),
             config_durations[u].name);
}

static bool config_choice(const char *values, const char *word, int64_t *ret_n)
{
    size_t n = strlen(word);
    *ret_n = 0;
    for (const char *p = values; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL, ++*ret_n) {
        const char *end = strchr(p, '|');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        if (len == n && !memcmp(p, word, n))
            return true;
    }
    return false;
}

/* checks text against the key's type and range; *ret_n is its number */
static int config_value(const struct config_key *k, const char *text, int64_t *ret_n, char *err,
                        size_t cap)
{
    char *end;
    *ret_n = 0;
    switch (k->type) {
    case CONFIG_STR:
    case CONFIG_PATH:
        *ret_n = (int64_t)strlen(text);
        if (k->max && (*ret_n > k->max || *ret_n < k->min))
            return config_fail(err, cap, "%s: \"%s\" must have %lld to %lld characters", k->key,
                               text, (long long)k->min, (long long)k->max);
        return 0;
    case CONFIG_ADDR:
        if (!config_members_is_addr(text) && (*text || *k->def)) /* "": off */
            return config_fail(err, cap, "%s: \"%s\" is not host:port", k->key, text);
        return 0;
    case CONFIG_SIZE:
        if (!config_parse_size(text, ret_n))
            return config_fail(err, cap,
                               "%s: \"%s\" is not a size (examples: 65536, \"64KiB\", \"10GiB\")",
                               k->key, text);
        break;
    case CONFIG_DURATION:
        if (!config_parse_duration(text, ret_n))
            return config_fail(err, cap,
                               "%s: \"%s\" is not a duration (examples: \"500ms\", \"5s\", \"2m\")",
                               k->key, text);
        break;
    case CONFIG_INT:
        errno = 0;
        *ret_n = strtoll(text, &end, 10);
        if (end == text || *end || errno)
            return config_fail(err, cap, "%s: \"%s\" is not a whole number", k->key, text);
        break;
    case CONFIG_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false"))
            return config_fail(err, cap, "%s: \"%s\" is neither true nor false", k->key, text);
        *ret_n = !strcmp(text, "true");
        return 0;
    case CONFIG_ENUM:
        if (!config_choice(k->values, text, ret_n))
            return config_fail(err, cap, "%s: \"%s\" is not one of %s", k->key, text, k->values);
        return 0;
    }
    if (*ret_n < k->min || *ret_n > k->max)
        return config_fail(err, cap, "%s: %s is out of range (%lld to %lld%s)", k->key, text,
                           (long long)k->min, (long long)k->max,
                           k->type == CONFIG_DURATION ? " ns"
                           : k->type == CONFIG_SIZE   ? " bytes"
                                                      : "");
    return 0;
}

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);
    char err[CONFIG_ERROR_MAX];
    ASSERT(c);
    c->masters = malloc(CONFIG_MASTERS_BYTES);
    ASSERT(c->masters);
    for (int i = 0; i < CONFIG_COUNT; i++) {
        int bad = config_value(&config_keys[i], config_keys[i].def, &c->number[i], err, sizeof err);
        ASSERT(!bad);
        c->text[i] = strdup(config_keys[i].def);
        c->is_default[i] = true;
    }
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (int i = 0; i < CONFIG_COUNT; i++)
        free(c->text[i]);
    for (uint32_t i = 0; i < c->n_mounts; i++) {
        free((char *)(uintptr_t)c->mounts[i].path);
        free((char *)(uintptr_t)c->mounts[i].uri);
    }
    free(c->masters);
    free(c);
}

int config_set(struct config *c, const char *key, const char *value, char *err, size_t err_cap)
{
    const char *names[CONFIG_COUNT];
    for (int i = 0; i < CONFIG_COUNT; i++) {
        const struct config_key *k = &config_keys[i];
        names[i] = k->key;
        if (strcmp(k->key, key))
            continue;
        int64_t n;
        int bad = config_value(k, value, &n, err, err_cap);
        if (bad)
            return bad;
        free(c->text[i]);
        c->text[i] = strdup(value);
        c->number[i] = n;
        c->is_default[i] = false;
        return 0;
    }
    const char *near = config_nearest(key, names, CONFIG_COUNT);
    return config_fail(err, err_cap,
                       "unknown key \"%s\"%s%s%s; `tarn config show --defaults` lists all", key,
                       near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int config_put_mount(struct config *c, const char *path, const char *uri, const char *mode,
                     const char *interval, char *err, size_t cap)
{
    struct master_mount *m = &c->mounts[c->n_mounts];
    int64_t which;
    if (c->n_mounts == CONFIG_MOUNTS_MAX)
        return config_fail(err, cap, "mounts: more than %d", CONFIG_MOUNTS_MAX);
    if (!path || path[0] != '/')
        return config_fail(err, cap, "mounts: path \"%s\" must begin with /", path ? path : "");
    if (!config_choice("ro|through|meta", mode, &which))
        return config_fail(err, cap, "mounts: mode \"%s\" of %s is not one of ro|through|meta",
                           mode, path);
    m->mode = (enum fsop_mount_mode)(which + 1);
    bool is_meta = m->mode == FSOP_MOUNT_META;
    if (is_meta != !uri[0] || (!is_meta && strncmp(uri, "dir:/", 5)))
        return config_fail(err, cap, "mounts: ufs \"%s\" of %s must be %s", uri, path,
                           is_meta ? "absent in mode meta" : "dir:/absolute/path");
    if (!config_parse_duration(interval, &m->check_interval_ns))
        return config_fail(err, cap, "mounts: check_interval \"%s\" of %s is not a duration",
                           interval, path);
    for (uint32_t i = 0; i < c->n_mounts; i++)
        if (!strcmp(c->mounts[i].path, path))
            return config_fail(err, cap, "mounts: %s is there twice", path);
    m->path = strdup(path);
    m->uri = strdup(uri);
    c->n_mounts++;
    return 0;
}

void config_drop_mount(struct config *c, const char *path)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_mounts; i++) {
        if (strcmp(c->mounts[i].path, path)) {
            c->mounts[n++] = c->mounts[i];
            continue;
        }
        free((char *)(uintptr_t)c->mounts[i].path);
        free((char *)(uintptr_t)c->mounts[i].uri);
    }
    c->n_mounts = n;
}

/* strings stay, numbers and booleans become text; buf holds the latter */
static const char *config_json_text(const cJSON *v, char *buf, size_t cap)
{
    if (cJSON_IsString(v))
        return v->valuestring;
    if (cJSON_IsBool(v))
        return cJSON_IsTrue(v) ? "true" : "false";
    if (cJSON_IsNumber(v)) {
        if (v->valuedouble != (double)(long long)v->valuedouble)
            return NULL;
        snprintf(buf, cap, "%lld", (long long)v->valuedouble);
        return buf;
    }
    return NULL;
}

static int config_parse_mount(struct config *c, const cJSON *item, char *err, size_t cap)
{
    const char *value[4] = {NULL, "", "ro", "1s"};
    char number[4][32];
    const cJSON *f;
    if (!cJSON_IsObject(item))
        return config_fail(
            err, cap,
            "mounts: each must be an object {\"path\", \"ufs\", \"mode\", \"check_interval\"}");
    cJSON_ArrayForEach(f, item)
    {
        size_t i = 0;
        while (i < 4 && strcmp(f->string, config_mount_keys[i]))
            i++;
        if (i == 4) {
            const char *near = config_nearest(f->string, config_mount_keys, 4);
            return config_fail(err, cap, "unknown key \"%s\" in mounts%s%s%s", f->string,
                               near ? ", did you mean \"" : "", near ? near : "",
                               near ? "\"?" : "");
        }
        value[i] = config_json_text(f, number[i], sizeof number[i]);
        if (!value[i])
            return config_fail(err, cap, "mounts: \"%s\" must be a string", f->string);
    }
    return config_put_mount(c, value[0], value[1], value[2], value[3], err, cap);
}

/* does any key have parts below this one, as "journal.zk"? */
static bool config_has_below(const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < CONFIG_COUNT; i++)
        if (!strncmp(config_keys[i].key, name, n) && config_keys[i].key[n] == '.')
            return true;
    return false;
}

/* what is in an object of a section, or in one of those */
static int config_parse_keys(struct config *c, const cJSON *object, const char *name, char *err,
                             size_t cap)
{
    const cJSON *f;
    char why[CONFIG_ERROR_MAX - 100];
    int bad = 0;
    cJSON_ArrayForEach(f, object)
    {
        char key[128], number[32];
        snprintf(key, sizeof key, "%s.%s", name, f->string);
        const char *text = config_json_text(f, number, sizeof number);
        bool is_below = cJSON_IsObject(f) && config_has_below(key);
        int now = is_below ? config_parse_keys(c, f, key, why, sizeof why)
                  : text   ? config_set(c, key, text, why, sizeof why)
                           : config_fail(why, sizeof why,
                                         "%s: must be a string, a whole number or a boolean", key);
        if (is_below && now && c->say) { /* said already */
            if (!bad)
                snprintf(err, cap, "%s", why);
            bad = bad ? bad : now;
            continue;
        }
        if (config_ends(c, now, why, &bad, err, cap))
            break;
    }
    return bad;
}

/* several mistakes: the first is the one that err keeps */
static int config_parse_section(struct config *c, const cJSON *section, char *err, size_t cap)
{
    const cJSON *f;
    char why[CONFIG_ERROR_MAX - 100];
    int bad = 0;
    if (!strcmp(section->string, "mounts")) {
        if (!cJSON_IsArray(section)) {
            (void)config_ends(c, config_fail(why, sizeof why, "mounts must be an array"), why, &bad,
                              err, cap);
            return bad;
        }
        cJSON_ArrayForEach(f, section)
        {
            if (config_ends(c, config_parse_mount(c, f, why, sizeof why), why, &bad, err, cap))
                break;
        }
        return bad;
    }
    if (!cJSON_IsObject(section)) {
        int now =
            config_fail(why, sizeof why, "\"%.60s\" must be an object, like {\"%.60s\": {...}}",
                        section->string, section->string);
        (void)config_ends(c, now, why, &bad, err, cap);
        return bad;
    }
    return config_parse_keys(c, section, section->string, err, cap);
}

int config_parse(struct config *c, const char *json, const char *file_name, char *err,
                 size_t err_cap)
{
    const char *end = NULL;
    char why[CONFIG_ERROR_MAX - 100] = "";
    cJSON *root = cJSON_ParseWithOpts(json, &end, true);
    if (!root) {
        unsigned line = 1;
        for (const char *p = json; end && p < end; p++)
            line += *p == '\n';
        return config_fail(err, err_cap, "%.200s: line %u: not valid JSON", file_name, line);
    }
    int bad = 0;
    if (!cJSON_IsObject(root))
        (void)config_ends(c, config_fail(why, sizeof why, "must be a JSON object"), why, &bad, why,
                          sizeof why);
    const cJSON *section;
    cJSON_ArrayForEach(section, root)
    {
        char one[sizeof why];
        if ((bad && !c->say) || !section->string)
            continue;
        int now = config_parse_section(c, section, one, sizeof one);
        if (now && !bad)
            memcpy(why, one, sizeof why);
        bad = bad ? bad : now;
    }
    cJSON_Delete(root);
    return bad ? config_fail(err, err_cap, "%.200s: %s", file_name, why) : 0;
}

int config_load(struct config *c, const char *file, char *err, size_t err_cap)
{
    FILE *f = fopen(file, "re");
    if (!f) {
        config_fail(err, err_cap, "%.300s: %s", file, strerror(errno));
        return errno == ENOENT ? E_NOENT : E_ACCES;
    }
    enum { MAX = 1 << 20 };
    char *text = malloc(MAX + 1);
    size_t n = text ? fread(text, 1, MAX + 1, f) : 0;
    int bad = 0;
    if (ferror(f))
        bad = config_fail(err, err_cap, "%.300s: cannot be read (is it a file?)", file);
    else if (n > MAX)
        bad = config_fail(err, err_cap, "%.300s: larger than 1 MiB", file);
    else if (text && memchr(text, 0, n))
        bad = config_fail(err, err_cap, "%.300s: not text", file);
    if (!bad && text) {
        text[n] = 0;
        bad = config_parse(c, text, file, err, err_cap);
    }
    free(text);
    fclose(f);
    return bad;
}

static int config_check_masters(const struct config *c, char *err, size_t cap)
{
    int bad = 0;
    char why[CONFIG_ERROR_MAX];
    char one[ENV_ADDR_MAX + 1];
    for (const char *p = c->text[CONFIG_CLIENT_MASTERS]; *p;) {
        size_t n = strcspn(p, ",");
        if (n < sizeof one) {
            memcpy(one, p, n);
            one[n] = 0;
        }
        bool is_wrong = n >= sizeof one || !config_members_is_addr(one);
        if (is_wrong &&
            config_ends(c,
                        config_fail(why, sizeof why, "client.masters: \"%.*s\" is not host:port",
                                    (int)base_min_u64(n, 200), p),
                        why, &bad, err, cap))
            break;
        p += n + (p[n] == ',');
    }
    return bad;
}

/* the n-th thing that must hold; what: NULL after the last */
static bool config_holds(const struct config *c, unsigned n, const char **ret_what)
{
    int64_t page = c->number[CONFIG_CLUSTER_PAGE];
    const char *id = c->text[CONFIG_CLUSTER_ID];
    const struct {
        bool holds;
        const char *what;
    } rules[] = {
        {!(page & (page - 1)), "cluster.page must be a power of two"},
        {c->number[CONFIG_CLUSTER_STRIPE] % page == 0,
         "cluster.stripe must be a multiple of cluster.page"},
        {!*id || (strlen(id) == 32 && strspn(id, "0123456789abcdefABCDEF") == 32),
         "cluster.id must be 32 hex digits"},
        {c->number[CONFIG_MASTER_SESSION] > c->number[CONFIG_MASTER_LEASE],
         "master.session must be longer than master.lease"},
        {c->number[CONFIG_WORKER_BUFFER] >= 4 * page,
         "worker.buffer must hold four pages (cluster.page)"},
        {c->number[CONFIG_WORKER_MEMORY] >= 16 * page,
         "worker.memory must hold 16 pages (cluster.page)"},
        {c->number[CONFIG_WORKER_CAPACITY] >= 4 * page,
         "worker.capacity must hold four pages (cluster.page)"},
    };
    *ret_what = n < ARRAY_LEN(rules) ? rules[n].what : NULL;
    return n >= ARRAY_LEN(rules) || rules[n].holds;
}

int config_check(const struct config *c, char *err, size_t err_cap)
{
    const char *what = "";
    char masters[CONFIG_ERROR_MAX];
    int bad = 0;
    for (unsigned n = 0; what; n++)
        if (!config_holds(c, n, &what) && config_ends(c, E_CONFIG, what, &bad, err, err_cap))
            return bad;
    int now = config_check_masters(c, masters, sizeof masters);
    if (now && !bad)
        snprintf(err, err_cap, "%s", masters);
    bad = bad ? bad : now;
    if (bad && !c->say)
        return bad;
    now = config_members_check(c, masters, sizeof masters);
    (void)config_ends(c, now, masters, &bad, err, err_cap);
    return bad;
}

const char *config_str(const struct config *c, enum config_id id)
{
    return c->text[id];
}

int64_t config_int(const struct config *c, enum config_id id)
{
    return c->number[id];
}

uint64_t config_share(const struct config *c, enum config_id id, enum config_id memory,
                      unsigned part)
{
    return base_min_u64((uint64_t)c->number[id], (uint64_t)c->number[memory] / part);
}

uint64_t config_net_share(uint64_t memory)
{
    return base_max_u64(memory / 16, 8 << 20);
}

const struct master_mount *config_mounts(const struct config *c, uint32_t *ret_n)
{
    *ret_n = c->n_mounts;
    return c->mounts;
}

const char *config_masters(const struct config *c)
{
    const char *m = c->text[CONFIG_CLIENT_MASTERS];
    if (*m)
        return m;
    config_members_addresses(c->text[CONFIG_JOURNAL_MEMBERS], c->masters, CONFIG_MASTERS_BYTES);
    return *c->masters ? c->masters : c->text[CONFIG_MASTER_LISTEN];
}

static cJSON *config_json_value(const struct config_key *k, const char *text, int64_t number)
{
    if (k->type == CONFIG_INT)
        return cJSON_CreateNumber((double)number);
    if (k->type == CONFIG_BOOL)
        return cJSON_CreateBool(number != 0);
    return cJSON_CreateString(text);
}

static cJSON *config_json_doc(const struct config_key *k, cJSON *value)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "value", value);
    cJSON_AddStringToObject(o, "default", k->def);
    cJSON_AddStringToObject(o, "type", config_type_names[k->type]);
    if (k->values)
        cJSON_AddStringToObject(o, "choices", k->values);
    if (k->max && k->type >= CONFIG_SIZE) {
        cJSON_AddNumberToObject(o, "min", (double)k->min);
        cJSON_AddNumberToObject(o, "max", (double)k->max);
    }
    cJSON_AddStringToObject(o, "meaning", k->doc);
    return o;
}

char *config_json(const struct config *c, bool with_docs)
{
    static const char *const modes[] = {"?", "ro", "through", "meta"};
    cJSON *root = cJSON_CreateObject();
    for (int i = 0; i < CONFIG_COUNT; i++) {
        const struct config_key *k = &config_keys[i];
        const char *name = k->key;
        cJSON *s = root;
        for (const char *dot; (dot = strchr(name, '.')); name = dot + 1) {
            char section[32];
            snprintf(section, sizeof section, "%.*s", (int)(dot - name), name);
            cJSON *below = cJSON_GetObjectItemCaseSensitive(s, section);
            s = below ? below : cJSON_AddObjectToObject(s, section);
        }
        cJSON *v = config_json_value(k, c->text[i], c->number[i]);
        cJSON_AddItemToObject(s, name, with_docs ? config_json_doc(k, v) : v);
    }
    cJSON *mounts = cJSON_AddArrayToObject(root, "mounts");
    for (uint32_t i = 0; i < c->n_mounts; i++) {
        cJSON *m = cJSON_CreateObject();
        char interval[32];
        config_duration_text(interval, sizeof interval, c->mounts[i].check_interval_ns);
        cJSON_AddStringToObject(m, "path", c->mounts[i].path);
        if (*c->mounts[i].uri)
            cJSON_AddStringToObject(m, "ufs", c->mounts[i].uri);
        cJSON_AddStringToObject(m, "mode", modes[c->mounts[i].mode]);
        cJSON_AddStringToObject(m, "check_interval", interval);
        cJSON_AddItemToArray(mounts, m);
    }
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}
