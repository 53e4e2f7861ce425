/* sim/lab_measured.c - reading what was measured of a machine (see sim/lab_measured.h). */
#include "sim/lab_measured.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "core/fmt.h"

enum { MEASURED_VERSION = 1 };
static const int64_t measured_max_ns = 60 * 1000000000LL;

struct measured {
    struct lab_scenario *s;
    struct sim_model *m;
    const cJSON *bad;
    char *why;
};

void lab_measured_drop(struct lab_scenario *s)
{
    free(s->measured);
    s->measured = NULL;
    s->sim.model = NULL;
}

static bool measured_wrong(struct measured *x, const cJSON *bad, const char *what)
{
    x->bad = bad;
    fmt_into(x->why, LAB_ERROR, "%s", what);
    return false;
}

static bool measured_whole(const cJSON *j, uint64_t max, uint64_t *ret)
{
    bool ok = cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble < 9e15 &&
              j->valuedouble == (double)(uint64_t)j->valuedouble;
    *ret = ok ? (uint64_t)j->valuedouble : 0;
    return ok && *ret <= max;
}

/* v's place among at[], which stay ascending; a new one takes its place.  SIM_GRID: no room */
static uint32_t measured_place(uint64_t *at, uint32_t *n, uint64_t v)
{
    uint32_t i = 0;
    while (i < *n && at[i] < v)
        i++;
    if (i < *n && at[i] == v)
        return i;
    if (*n == SIM_GRID)
        return SIM_GRID;
    memmove(at + i + 1, at + i, (*n - i) * sizeof *at);
    at[i] = v;
    ++*n;
    return i;
}

static bool measured_table(struct measured *x, const cJSON *t, bool by_at_once, uint64_t *ret_bytes,
                           uint64_t *ret_at_once)
{
    const cJSON *j;
    *ret_at_once = 1;
    bool has_bytes = false, has_at_once = !by_at_once, has_ns = false;
    if (!cJSON_IsObject(t))
        return measured_wrong(x, t, "not a table: {\"bytes\": N, \"ns\": [33 numbers]}");
    cJSON_ArrayForEach(j, t)
    {
        if (!strcmp(j->string, "bytes")) {
            has_bytes = measured_whole(j, (uint64_t)1 << 30, ret_bytes) && *ret_bytes;
            if (!has_bytes)
                return measured_wrong(x, j, "not a number of bytes from 1 to 2^30");
        } else if (by_at_once && !strcmp(j->string, "at_once")) {
            has_at_once = measured_whole(j, 1024, ret_at_once) && *ret_at_once;
            if (!has_at_once)
                return measured_wrong(x, j, "not a number from 1 to 1024");
        } else if (!strcmp(j->string, "ns")) {
            has_ns = true;
        } else {
            return measured_wrong(x, j,
                                  by_at_once ? "a table has bytes, at_once and ns only"
                                             : "a table has bytes and ns only");
        }
    }
    if (!has_bytes || !has_at_once || !has_ns)
        return measured_wrong(x, t,
                              by_at_once ? "a table needs bytes, at_once and ns"
                                         : "a table needs bytes and ns");
    return true;
}

static bool measured_points(struct measured *x, const cJSON *list, int64_t *to)
{
    const cJSON *j;
    uint32_t n = 0;
    uint64_t v;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != SIM_POINTS)
        return measured_wrong(x, list, "not a list of 33 numbers");
    cJSON_ArrayForEach(j, list)
    {
        if (!measured_whole(j, (uint64_t)measured_max_ns, &v))
            return measured_wrong(x, j, "not a whole number of ns up to a minute");
        if (n && (int64_t)v < to[n - 1])
            return measured_wrong(x, j, "less than the number before it: quantiles ascend");
        to[n++] = (int64_t)v;
    }
    return true;
}

static bool measured_grid(struct measured *x, const cJSON *list, bool by_at_once,
                          struct sim_grid *g)
{
    bool seen[SIM_GRID][SIM_GRID] = {{false}};
    const cJSON *t;
    uint64_t bytes = 0, at_once = 0;
    if (!cJSON_IsArray(list) || !cJSON_GetArraySize(list))
        return measured_wrong(x, list, "not a list of tables");
    cJSON_ArrayForEach(t, list)
    {
        if (!measured_table(x, t, by_at_once, &bytes, &at_once))
            return false;
        if (measured_place(g->bytes, &g->n_bytes, bytes) == SIM_GRID ||
            measured_place(g->at_once, &g->n_at_once, at_once) == SIM_GRID)
            return measured_wrong(x, t, "more than 8 different sizes, or numbers under way");
    }
    cJSON_ArrayForEach(t, list)
    {
        measured_table(x, t, by_at_once, &bytes, &at_once);
        uint32_t k = measured_place(g->at_once, &g->n_at_once, at_once);
        uint32_t i = measured_place(g->bytes, &g->n_bytes, bytes);
        if (seen[k][i])
            return measured_wrong(x, t, "the second table of this size and number under way");
        seen[k][i] = true;
        if (!measured_points(x, cJSON_GetObjectItemCaseSensitive(t, "ns"), g->ns[k][i]))
            return false;
    }
    if ((uint32_t)cJSON_GetArraySize(list) != g->n_bytes * g->n_at_once)
        return measured_wrong(x, list, "each size must be there for each number under way");
    return true;
}

/* an object whose only member is a grid */
static bool measured_section(struct measured *x, const cJSON *o, const char *name, bool by_at_once,
                             struct sim_grid *g)
{
    const cJSON *j = cJSON_IsObject(o) ? o->child : NULL;
    if (!j || j->next || strcmp(j->string, name) != 0)
        return measured_wrong(x, o,
                              by_at_once ? "not {\"write\": [tables]}" : "not {\"way\": [tables]}");
    return measured_grid(x, j, by_at_once, g);
}

static bool measured_cpu(struct measured *x, const cJSON *o)
{
    struct lab_scenario *s = x->s;
    const struct {
        const char *name;
        uint64_t max;
        int64_t *ns;
        uint32_t *n;
    } known[] = {{"cores", 1024, NULL, &s->sim.serve.cores},
                 {"turn", 1000000000, &s->sim.serve.turn_ns, NULL},
                 {"send", 1000000000, &s->sim.serve.send_ns, NULL},
                 {"receive", 1000000000, &s->sim.serve.receive_ns, NULL},
                 {"io", 1000000000, &s->sim.serve.io_ns, NULL},
                 {"wake", 1000000000, &s->sim.serve.wake_ns, NULL},
                 {"batch", 1000000000, &s->sim.serve.batch_ns, NULL},
                 {"byte", 1000000, NULL, &s->sim.serve.byte_ps},
                 {"submit", 1000000000, &s->journal.submit_ns, NULL},
                 {"apply", 1000000000, &s->journal.apply_ns, NULL},
                 {"submit_byte", 1000000, NULL, &s->journal.submit_byte_ps},
                 {"apply_byte", 1000000, NULL, &s->journal.apply_byte_ps}};
    const cJSON *j;
    if (!cJSON_IsObject(o))
        return measured_wrong(x, o, "not an object");
    cJSON_ArrayForEach(j, o)
    {
        size_t i = 0;
        uint64_t v;
        while (i < ARRAY_LEN(known) && strcmp(known[i].name, j->string) != 0)
            i++;
        if (i == ARRAY_LEN(known))
            return measured_wrong(
                x, j,
                "unknown; there are cores, turn, send, receive, io, wake, batch, byte, "
                "submit, apply, submit_byte, apply_byte");
        if (!measured_whole(j, known[i].max, &v)) {
            x->bad = j;
            fmt_into(x->why, LAB_ERROR, "not a whole number from 0 to %llu",
                     (unsigned long long)known[i].max);
            return false;
        }
        if (known[i].ns)
            *known[i].ns = (int64_t)v;
        else
            *known[i].n = (uint32_t)v;
    }
    return true;
}

static bool measured_object(struct measured *x, const cJSON *o)
{
    const cJSON *j, *version = cJSON_GetObjectItemCaseSensitive(o, "tarn_model");
    if (!cJSON_IsNumber(version) || version->valuedouble != MEASURED_VERSION)
        return measured_wrong(x, version ? version : o,
                              "not a model of this version (\"tarn_model\": 1)");
    cJSON_ArrayForEach(j, o)
    {
        bool ok = true;
        if (!strcmp(j->string, "disk"))
            ok = measured_section(x, j, "write", true, &x->m->write);
        else if (!strcmp(j->string, "net"))
            ok = measured_section(x, j, "way", false, &x->m->way);
        else if (!strcmp(j->string, "cpu"))
            ok = measured_cpu(x, j);
        else if (strcmp(j->string, "about") != 0 && j != version)
            ok = measured_wrong(x, j, "unknown; there are tarn_model, about, disk, net, cpu");
        if (!ok)
            return false;
    }
    return true;
}

int lab_measured_parse(struct lab_scenario *s, const char *path, const char *json, char *ret_why)
{
    char why[LAB_ERROR] = "";
    const char *end = NULL;
    struct measured x = {.s = s, .why = why};
    lab_measured_drop(s);
    x.m = calloc(1, sizeof *x.m);
    ASSERT(x.m != NULL);
    s->measured = x.m;
    cJSON *o = cJSON_ParseWithOpts(json, &end, 1);
    bool ok = cJSON_IsObject(o) && measured_object(&x, o);
    if (!cJSON_IsObject(o)) {
        unsigned line = 1;
        for (const char *p = json; end && p < end; p++)
            line += *p == '\n';
        fmt_into(why, sizeof why, "line %u: not a JSON object", line);
    } else if (!ok) {
        lab_scenario_where(o, x.bad, json, why);
    }
    cJSON_Delete(o);
    if (ok) {
        s->sim.model = s->measured;
        fmt_into(s->model, sizeof s->model, "%s", path);
        return 0;
    }
    lab_measured_drop(s);
    fmt_into(ret_why, LAB_ERROR, "%s: %s", path, why);
    return E_CONFIG;
}

int lab_measured_take(struct lab_scenario *s, const char *path, char *ret_why)
{
    char *text = NULL;
    int err = strlen(path) < LAB_PATH ? lab_scenario_text(path, (size_t)16 << 20, &text) : E_INVAL;
    if (err)
        fmt_into(ret_why, LAB_ERROR,
                 err == E_NOENT ? "model: cannot open \"%s\""
                                : "model: cannot read \"%s\", or too large",
                 path);
    else
        err = lab_measured_parse(s, path, text, ret_why);
    free(text);
    return err ? E_CONFIG : 0;
}
