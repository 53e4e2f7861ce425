/* sim/lab_chance.c - see sim/lab_chance.h. */
#include "sim/lab_chance.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/lab_scenario.h"

static const struct {
    const char *name;
    bool is_link, lasts, counts; /* has "to", "for", "n" */
} kinds[SIM_CHANCES] = {
    [SIM_CHANCE_LOSS] = {"loss", true, false, true},
    [SIM_CHANCE_LATE] = {"late", true, true, false},
    [SIM_CHANCE_CLOG] = {"clog", true, true, false},
    [SIM_CHANCE_HALF_OPEN] = {"half_open", true, false, false},
    [SIM_CHANCE_RESET] = {"reset", true, false, false},
    [SIM_CHANCE_DISK_STALL] = {"disk_stall", false, true, false},
    [SIM_CHANCE_READ_ERROR] = {"read_error", false, false, false},
    [SIM_CHANCE_WRITE_ERROR] = {"write_error", false, false, true},
    [SIM_CHANCE_MISDIRECT] = {"misdirect", false, false, true},
    [SIM_CHANCE_MISREAD] = {"misread", false, false, true},
    [SIM_CHANCE_SYNC_ERROR] = {"sync_error", false, false, false},
    [SIM_CHANCE_SECTOR_LOST] = {"sector_lost", false, false, false},
    [SIM_CHANCE_SECTOR_TORN] = {"sector_torn", false, false, true},
    [SIM_CHANCE_SECTOR_GARBAGE] = {"sector_garbage", false, false, true},
    [SIM_CHANCE_NAME_UNDONE] = {"name_undone", false, false, false},
    [SIM_CHANCE_SIZE_UNDONE] = {"size_undone", false, false, false},
    [SIM_CHANCE_TURN_STALL] = {"turn_stall", false, true, true},
    [SIM_CHANCE_SITE] = {"site", false, false, false},
    [SIM_CHANCE_STORE_ERROR] = {"store_error", false, false, false},
    [SIM_CHANCE_STORE_SHORT] = {"store_short", false, false, true},
    [SIM_CHANCE_WRITE_LATE] = {"write_late", false, true, false},
    [SIM_CHANCE_NAME_LATE] = {"name_late", false, true, false},
    [SIM_CHANCE_CALL_STRAY] = {"call_stray", false, true, false},
    [SIM_CHANCE_CREATE_BOTH] = {"create_both", false, false, false},
};

const char *lab_chance_name(enum sim_chance_kind kind)
{
    return kinds[kind].name;
}

struct sim_chance *lab_chance_add(struct lab_chances *l)
{
    if (l->n == LAB_CHANCES_MAX)
        return NULL;
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 256;
        struct sim_chance *to = realloc(l->c, cap * sizeof *to);
        if (!to)
            return NULL;
        l->c = to;
        l->cap = cap;
    }
    memset(&l->c[l->n], 0, sizeof l->c[0]);
    return &l->c[l->n++];
}

void lab_chance_free(struct lab_chances *l)
{
    free(l->c);
    *l = (struct lab_chances){NULL, 0, 0};
}

bool lab_chance_has(const struct lab_chances *l, enum sim_chance_kind kind)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->c[i].kind == kind)
            return true;
    return false;
}

/* merges two neighbours, from and to again */
static void chance_merge(struct sim_chance *to, const struct sim_chance *a, uint32_t n_a,
                         const struct sim_chance *b, uint32_t n_b)
{
    while (n_a || n_b) {
        bool first = n_a && (!n_b || a->at_ns <= b->at_ns);
        *to++ = first ? *a++ : *b++;
        *(first ? &n_a : &n_b) -= 1;
    }
}

void lab_chance_sort(struct lab_chances *l)
{
    bool sorted = true;
    for (uint32_t i = 1; i < l->n; i++)
        sorted &= l->c[i - 1].at_ns <= l->c[i].at_ns;
    if (sorted)
        return;
    struct sim_chance *other = malloc(l->n * sizeof *other);
    ASSERT(other != NULL);
    for (uint32_t piece = 1; piece < l->n; piece *= 2) {
        for (uint32_t at = 0; at < l->n; at += 2 * piece) {
            uint32_t left = l->n - at, n_a = left < piece ? left : piece;
            uint32_t n_b = left - n_a < piece ? left - n_a : piece;
            chance_merge(other + at, l->c + at, n_a, l->c + at + n_a, n_b);
        }
        memcpy(l->c, other, l->n * sizeof *other);
    }
    free(other);
}

/* ---- text ---- */

static bool chance_copy(char *to, size_t cap, const cJSON *j)
{
    if (!cJSON_IsString(j) || strlen(j->valuestring) >= cap)
        return false;
    fmt_into(to, cap, "%s", j->valuestring);
    return true;
}

static bool chance_time(const cJSON *j, int64_t *ret_ns)
{
    uint64_t v = 0;
    bool ok = cJSON_IsString(j) ? lab_scenario_number(j->valuestring, true, &v)
                                : cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble < 9e15;
    if (ok && !cJSON_IsString(j))
        v = (uint64_t)j->valuedouble;
    *ret_ns = (int64_t)v;
    return ok && v <= INT64_MAX;
}

static bool chance_number(const cJSON *j, uint64_t most, uint64_t *ret_v)
{
    bool ok = cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble <= (double)most;
    *ret_v = ok ? (uint64_t)j->valuedouble : 0;
    return ok;
}

/* 1: it is a key with a good value, 0: a bad one, -1: there is no such key */
static int chance_field(struct sim_chance *c, const cJSON *j, bool *named)
{
    uint64_t v;
    if (!strcmp(j->string, "at"))
        return chance_time(j, &c->at_ns);
    if (!strcmp(j->string, "for"))
        return chance_time(j, &c->for_ns);
    if (!strcmp(j->string, "node"))
        return chance_copy(c->node, sizeof c->node, j);
    if (!strcmp(j->string, "to"))
        return chance_copy(c->to, sizeof c->to, j);
    if (!strcmp(j->string, "site"))
        return chance_copy(c->site, sizeof c->site, j);
    if (!strcmp(j->string, "n"))
        return chance_number(j, (uint64_t)1 << 53, &c->n);
    if (!strcmp(j->string, "skip")) {
        bool ok = chance_number(j, UINT32_MAX, &v);
        c->skip = (uint32_t)v;
        return ok;
    }
    if (strcmp(j->string, "do") != 0)
        return -1;
    for (unsigned k = 0; k < SIM_CHANCES && cJSON_IsString(j); k++)
        if (!strcmp(j->valuestring, kinds[k].name)) {
            c->kind = (enum sim_chance_kind)k;
            *named = true;
        }
    return *named;
}

bool lab_chance_has_field(enum sim_chance_kind kind, const char *field)
{
    return !strcmp(field, "to")    ? kinds[kind].is_link
           : !strcmp(field, "for") ? kinds[kind].lasts
           : !strcmp(field, "n")   ? kinds[kind].counts
                                   : !strcmp(field, "site") && kind == SIM_CHANCE_SITE;
}

static int chance_one(struct sim_chance *c, const cJSON *o, char *ret_why, size_t cap,
                      const cJSON **ret_bad)
{
    static const char *const fields[] = {"to", "for", "n", "site"};
    const cJSON *j;
    bool named = false;
    c->at_ns = -1;
    c->n = 1;
    cJSON_ArrayForEach(j, o)
    {
        int ok = chance_field(c, j, &named);
        if (ok == 1)
            continue;
        fmt_into(ret_why, cap,
                 ok ? "unknown key (at, skip, do, node, to, site, for, n)" : "bad value");
        *ret_bad = j;
        return E_CONFIG;
    }
    bool ok = named && c->at_ns >= 0 && c->node[0];
    for (size_t i = 0; i < ARRAY_LEN(fields) && ok; i++) {
        bool there = cJSON_HasObjectItem(o, fields[i]),
             has = lab_chance_has_field(c->kind, fields[i]);
        bool needs = has && strcmp(fields[i], "n") != 0; /* "n" is 1 else */
        if (there ? has : !needs)
            continue;
        fmt_into(ret_why, cap, "\"%s\" %s \"%s\"", kinds[c->kind].name, has ? "needs" : "has no",
                 fields[i]);
        *ret_bad = o;
        return E_CONFIG;
    }
    if (ok)
        return 0;
    fmt_into(ret_why, cap,
             "a chance needs \"at\", \"do\" and \"node\", like {\"at\": \"1.2s\", \"do\": "
             "\"loss\", \"node\": \"c1\", \"to\": \"m1\"}");
    *ret_bad = o;
    return E_CONFIG;
}

int lab_chance_parse(struct lab_chances *l, const struct cJSON *list, char *ret_why, size_t cap,
                     const struct cJSON **ret_bad)
{
    const cJSON *j;
    if (!cJSON_IsArray(list)) {
        fmt_into(ret_why, cap, "not a list");
        return E_CONFIG;
    }
    cJSON_ArrayForEach(j, list)
    {
        struct sim_chance *c = cJSON_IsObject(j) ? lab_chance_add(l) : NULL;
        if (!c) {
            fmt_into(ret_why, cap, "chances are a list of at most %d objects", LAB_CHANCES_MAX);
            *ret_bad = j;
            return E_CONFIG;
        }
        int err = chance_one(c, j, ret_why, cap, ret_bad);
        if (err)
            return err;
    }
    lab_chance_sort(l);
    return 0;
}

void lab_chance_write(const struct sim_chance *c, FILE *to)
{
    char time[40];
    lab_op_time(c->at_ns, time, sizeof time);
    fprintf(to, "{\"at\": \"%s\"", time);
    if (c->skip)
        fprintf(to, ", \"skip\": %u", c->skip);
    fprintf(to, ", \"do\": \"%s\", \"node\": ", kinds[c->kind].name);
    lab_json_string(to, c->node);
    if (kinds[c->kind].is_link) {
        fprintf(to, ", \"to\": ");
        lab_json_string(to, c->to);
    }
    if (c->kind == SIM_CHANCE_SITE) {
        fprintf(to, ", \"site\": ");
        lab_json_string(to, c->site);
    }
    if (kinds[c->kind].lasts) {
        lab_op_time(c->for_ns, time, sizeof time);
        fprintf(to, ", \"for\": \"%s\"", time);
    }
    if (kinds[c->kind].counts && c->n != 1)
        fprintf(to, ", \"n\": %llu", (unsigned long long)c->n);
    fputc('}', to);
}

/* ---- a run ---- */

static void chance_tell(void *ctx, const struct sim_chance *c)
{
    struct sim_chance *to = lab_chance_add(ctx);
    ASSERT(to != NULL); /* what is not whole is no record */
    *to = *c;
}

void lab_chance_begin(struct sim *s, struct lab_chances *told, const struct lab_chances *given)
{
    if (told)
        sim_chance_hook(s, chance_tell, told);
    if (given)
        sim_chance_give(s, given->c, given->n);
}
