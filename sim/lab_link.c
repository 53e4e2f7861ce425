/* sim/lab_link.c - see lab_link.h. */
#include "sim/lab_link.h"
#include <cjson/cJSON.h>
#include "core/fmt.h"
#include "sim/lab_scenario.h"
#include "sim/lab_word.h"

/* Links that are stored one by one: more of them than this would be most of a run's memory. */
enum { LINK_PAIRS_MAX = 1000000 };

/* ---- who is meant ---- */

static bool link_is_role(const char *name)
{
    return name[0] && strchr("mwc", name[0]) && !strcmp(name + 1, "*");
}

static bool link_means(const char *name, const char *machine)
{
    return !strcmp(name, "*") ||
           (link_is_role(name) ? name[0] == machine[0] : !strcmp(name, machine));
}

static bool link_is_known(const struct lab_scenario *s, const char *name)
{
    return !strcmp(name, "*") || link_is_role(name) || lab_scenario_has_machine(s, name);
}

/* how many machines are meant, or a few more */
static uint64_t link_count(const struct lab_scenario *s, const char *name)
{
    if (!strcmp(name, "*"))
        return (uint64_t)s->masters + s->workers + s->clients + 1;
    if (!link_is_role(name))
        return 1;
    return name[0] == 'm' ? s->masters : name[0] == 'w' ? s->workers : s->clients;
}

/* ---- text ---- */

enum link_type { LINK_NAME, LINK_TIME, LINK_NUMBER, LINK_BOOL };

struct link_field {
    const char *name;
    enum link_type type;
    size_t at; /* in its row: a text, a bool, or a number of 64 bits */
    uint64_t most;
    bool is_needed;
};

/* one of the two lists: what its rows are, and where they are in a struct lab_links */
struct link_list {
    const char *name, *one, *like;
    struct link_field fields[6];
    const void *blank; /* a row of which nothing was said */
    size_t row, rows_at, n_at;
    uint32_t most;
};

#define LINK_TIME_MOST ((uint64_t)3600 * 1000000000 * 24)
static const struct lab_link link_blank = {.min_ns = -1, .mean_ns = -1, .loss_ppm = -1};
static const struct lab_nic nic_blank = {.bytes_per_s = 0};

#define AT(f) offsetof(struct lab_link, f)
static const struct link_list link_lists[] = {
    {"links",
     "a link",
     "{\"from\": \"m1\", \"to\": \"c*\", \"latency_mean\": \"40ms\"}",
     {{"from", LINK_NAME, AT(from), 0, true},
      {"to", LINK_NAME, AT(to), 0, true},
      {"latency_min", LINK_TIME, AT(min_ns), LINK_TIME_MOST, false},
      {"latency_mean", LINK_TIME, AT(mean_ns), LINK_TIME_MOST, false},
      {"loss_ppm", LINK_NUMBER, AT(loss_ppm), 1000000, false},
      {"one_way", LINK_BOOL, AT(one_way), 0, false}},
     &link_blank,
     sizeof(struct lab_link),
     offsetof(struct lab_links, link),
     offsetof(struct lab_links, n),
     LAB_LINKS_MAX},
    {"nics",
     "a nic",
     "{\"node\": \"w1\", \"bytes_per_s\": 12500000}",
     {{"node", LINK_NAME, offsetof(struct lab_nic, node), 0, true},
      {"bytes_per_s", LINK_NUMBER, offsetof(struct lab_nic, bytes_per_s), INT64_MAX, true}},
     &nic_blank,
     sizeof(struct lab_nic),
     offsetof(struct lab_links, nic),
     offsetof(struct lab_links, n_nics),
     LAB_NICS_MAX},
};
#undef AT
static_assert(sizeof(((struct lab_link *)0)->to) == sizeof(((struct lab_nic *)0)->node),
              "names of one size");
enum { LINK_NAME_CAP = sizeof(((struct lab_link *)0)->to) };

/* a number below 2^53, or text: of a time, or digits */
static bool link_number(const cJSON *j, bool is_time, uint64_t most, uint64_t *ret_v)
{
    bool ok = cJSON_IsString(j) ? lab_scenario_number(j->valuestring, is_time, ret_v)
                                : cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble < 9e15;
    if (ok && !cJSON_IsString(j)) {
        *ret_v = (uint64_t)j->valuedouble;
        ok = j->valuedouble == (double)*ret_v;
    }
    return ok && *ret_v <= most;
}

/* false: that is no value of it */
static bool link_put(const struct link_field *f, char *row, const cJSON *j)
{
    uint64_t v = 0;
    bool is_true = cJSON_IsTrue(j);
    switch (f->type) {
    case LINK_NAME:
        if (!cJSON_IsString(j) || !j->valuestring[0] || strlen(j->valuestring) >= LINK_NAME_CAP)
            return false;
        fmt_into(row + f->at, LINK_NAME_CAP, "%s", j->valuestring);
        return true;
    case LINK_BOOL:
        memcpy(row + f->at, &is_true, sizeof is_true);
        return cJSON_IsBool(j);
    default:
        if (!link_number(j, f->type == LINK_TIME, f->most, &v))
            return false;
        memcpy(row + f->at, &v, sizeof v);
        return true;
    }
}

static void link_say_bad(const struct link_field *f, const cJSON *j, char *ret_why, size_t cap)
{
    size_t n = lab_scenario_value(j, ret_why, cap);
    switch (f->type) {
    case LINK_NAME:
        fmt_into(ret_why + n, cap - n, " names no machines (m1, w1, c1, m*, w*, c*, *)");
        break;
    case LINK_BOOL:
        fmt_into(ret_why + n, cap - n, " is neither true nor false");
        break;
    case LINK_TIME:
        fmt_into(ret_why + n, cap - n, " is not a time from 0 to 24h (like 250ms, 2s)");
        break;
    case LINK_NUMBER:
        fmt_into(ret_why + n, cap - n, " is not a whole number from 0 to %llu",
                 (unsigned long long)f->most);
        break;
    }
}

static void link_say_fields(const struct link_list *l, const char *name, char *ret_why, size_t cap)
{
    size_t n = fmt_into(ret_why, cap, "unknown key \"%s\"", name);
    for (size_t i = 0; i < ARRAY_LEN(l->fields) && l->fields[i].name; i++)
        n += fmt_into(ret_why + n, cap - n, "%s%s", i ? ", " : " (", l->fields[i].name);
    fmt_into(ret_why + n, cap - n, ")");
}

static int link_parse_row(const struct link_list *l, char *row, const cJSON *j, char *ret_why,
                          size_t cap, const cJSON **ret_bad)
{
    const cJSON *field;
    uint32_t said = 0;
    cJSON_ArrayForEach(field, j)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(l->fields) && l->fields[i].name &&
               strcmp(l->fields[i].name, field->string) != 0)
            i++;
        *ret_bad = field;
        if (i == ARRAY_LEN(l->fields) || !l->fields[i].name) {
            link_say_fields(l, field->string, ret_why, cap);
            return E_CONFIG;
        }
        if (!link_put(&l->fields[i], row, field)) {
            link_say_bad(&l->fields[i], field, ret_why, cap);
            return E_CONFIG;
        }
        said |= 1U << i;
    }
    *ret_bad = j;
    for (size_t i = 0; i < ARRAY_LEN(l->fields); i++) {
        if (!l->fields[i].is_needed || said >> i & 1)
            continue;
        fmt_into(ret_why, cap, "%s needs \"%s\", like %s", l->one, l->fields[i].name, l->like);
        return E_CONFIG;
    }
    return 0;
}

int lab_link_parse(struct lab_links *links, const char *name, const struct cJSON *list,
                   char *ret_why, size_t cap, const struct cJSON **ret_bad)
{
    const struct link_list *l = &link_lists[!strcmp(name, "nics")];
    uint32_t *n = (uint32_t *)(void *)((char *)links + l->n_at);
    const cJSON *j;
    ASSERT(!strcmp(name, l->name));
    *ret_bad = list;
    fmt_into(ret_why, cap, "%s are a list of at most %u objects", l->name, l->most);
    if (!cJSON_IsArray(list))
        return E_CONFIG;
    cJSON_ArrayForEach(j, list)
    {
        *ret_bad = j;
        if (!cJSON_IsObject(j) || *n == l->most)
            return E_CONFIG;
        char *row = (char *)links + l->rows_at + (*n)++ * l->row;
        memcpy(row, l->blank, l->row);
        int err = link_parse_row(l, row, j, ret_why, cap, ret_bad);
        if (err)
            return err;
        fmt_into(ret_why, cap, "%s are a list of at most %u objects", l->name, l->most);
    }
    *ret_bad = NULL;
    return 0;
}

static void link_write(const struct lab_link *x, FILE *to)
{
    char time[40];
    fprintf(to, "{\"from\": \"%s\", \"to\": \"%s\"", x->from, x->to);
    if (x->min_ns >= 0) {
        lab_op_time(x->min_ns, time, sizeof time);
        fprintf(to, ", \"latency_min\": \"%s\"", time);
    }
    if (x->mean_ns >= 0) {
        lab_op_time(x->mean_ns, time, sizeof time);
        fprintf(to, ", \"latency_mean\": \"%s\"", time);
    }
    if (x->loss_ppm >= 0)
        fprintf(to, ", \"loss_ppm\": %lld", (long long)x->loss_ppm);
    fputs(x->one_way ? ", \"one_way\": true}" : "}", to);
}

void lab_link_write(const struct lab_links *l, FILE *to)
{
    for (uint32_t i = 0; i < l->n; i++) {
        fputs(i ? ",\n        " : ",\n    \"links\": [\n        ", to);
        link_write(&l->link[i], to);
    }
    fputs(l->n ? "\n    ]" : "", to);
    for (uint32_t i = 0; i < l->n_nics; i++)
        fprintf(to, "%s{\"node\": \"%s\", \"bytes_per_s\": \"%llu\"}",
                i ? ",\n        " : ",\n    \"nics\": [\n        ", l->nic[i].node,
                (unsigned long long)l->nic[i].bytes_per_s);
    fputs(l->n_nics ? "\n    ]" : "", to);
}

/* ---- sense ---- */

static int64_t link_min_ns(const struct lab_scenario *s, const struct lab_link *x)
{
    return x->min_ns >= 0 ? x->min_ns : s->sim.net.latency_min_ns;
}

static int64_t link_mean_ns(const struct lab_scenario *s, const struct lab_link *x)
{
    return x->mean_ns >= 0 ? x->mean_ns : s->sim.net.latency_mean_ns;
}

/* are all machines that b means among those of a? */
static bool link_covers(const char *a, const char *b)
{
    return !strcmp(a, "*") || !strcmp(a, b) || (link_is_role(a) && a[0] == b[0]);
}

/* does link k say anew what from means to `to`? */
static bool link_says_anew(const struct lab_link *k, const char *from, const char *to)
{
    return (link_covers(k->from, from) && link_covers(k->to, to)) ||
           (!k->one_way && link_covers(k->to, from) && link_covers(k->from, to));
}

/* A link counts whole, so one that later ones are about in each direction says nothing. */
static int link_check_wiped(const struct lab_links *l, char *ret_why, size_t cap)
{
    for (uint32_t i = 0; i < l->n; i++) {
        const struct lab_link *x = &l->link[i];
        uint32_t there = 0, back = 0;
        for (uint32_t k = i + 1; k < l->n; k++) {
            there = link_says_anew(&l->link[k], x->from, x->to) ? k : there;
            back = link_says_anew(&l->link[k], x->to, x->from) ? k : back;
        }
        if (!there || (!back && !x->one_way))
            continue;
        fmt_into(ret_why, cap,
                 "links[%u]: nothing of it counts, as links[%u] comes later and is about all its "
                 "machines: a link counts whole, so put the general ones first, and say all in one",
                 i, there > back || x->one_way ? there : back);
        return E_CONFIG;
    }
    for (uint32_t i = 0; i < l->n_nics; i++)
        for (uint32_t k = i + 1; k < l->n_nics; k++) {
            if (!link_covers(l->nic[k].node, l->nic[i].node))
                continue;
            fmt_into(ret_why, cap,
                     "nics[%u]: it counts nowhere, as nics[%u] comes later and is about all its "
                     "machines: put the general ones first",
                     i, k);
            return E_CONFIG;
        }
    return 0;
}

int lab_link_check(const struct lab_scenario *s, char *ret_why, size_t cap)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < s->links.n; i++) {
        const struct lab_link *x = &s->links.link[i];
        size_t n = fmt_into(ret_why, cap, "links[%u]: ", i);
        pairs += 2 * link_count(s, x->from) * link_count(s, x->to);
        if (!link_is_known(s, x->from) || !link_is_known(s, x->to)) {
            fmt_into(ret_why + n, cap - n, "there is no machine \"%s\" (m1, w1, c1, m*, w*, c*, *)",
                     link_is_known(s, x->from) ? x->to : x->from);
            return E_CONFIG;
        }
        if (!strcmp(x->from, x->to) && !strchr(x->from, '*')) {
            fmt_into(ret_why + n, cap - n, "from %s to itself there is no link", x->from);
            return E_CONFIG;
        }
        if (link_min_ns(s, x) > link_mean_ns(s, x)) {
            fmt_into(ret_why + n, cap - n, "latency_mean%s is less than latency_min%s: set both",
                     x->mean_ns < 0 ? " (of net)" : "", x->min_ns < 0 ? " (of net)" : "");
            return E_CONFIG;
        }
    }
    for (uint32_t i = 0; i < s->links.n_nics; i++)
        if (!link_is_known(s, s->links.nic[i].node)) {
            fmt_into(ret_why, cap,
                     "nics[%u]: there is no machine \"%s\" (m1, w1, c1, m*, w*, c*, *)", i,
                     s->links.nic[i].node);
            return E_CONFIG;
        }
    if (pairs <= LINK_PAIRS_MAX)
        return link_check_wiped(&s->links, ret_why, cap);
    fmt_into(ret_why, cap, "links: %llu pairs of machines, at most %d: net.* is for all of them",
             (unsigned long long)pairs, LINK_PAIRS_MAX);
    return E_CONFIG;
}

void lab_link_cut_strangers(struct lab_scenario *s)
{
    struct lab_links *l = &s->links;
    uint32_t n = 0, n_nics = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (link_is_known(s, l->link[i].from) && link_is_known(s, l->link[i].to))
            l->link[n++] = l->link[i];
    for (uint32_t i = 0; i < l->n_nics; i++)
        if (link_is_known(s, l->nic[i].node))
            l->nic[n_nics++] = l->nic[i];
    l->n = n;
    l->n_nics = n_nics;
}

/* ---- a run ---- */

static void link_set(const struct lab_scenario *s, const struct lab_link *x, struct sim *sim,
                     const char *from, const char *to, bool is_healed)
{
    uint32_t loss_ppm = x->loss_ppm >= 0 ? (uint32_t)x->loss_ppm : s->sim.net.loss_ppm;
    for (uint32_t i = 0; i < sim_node_count(sim); i++) {
        struct sim_node *a = sim_node_at(sim, i);
        for (uint32_t k = 0; link_means(from, sim_node_name(a)) && k < sim_node_count(sim); k++) {
            struct sim_node *b = sim_node_at(sim, k);
            if (a != b && link_means(to, sim_node_name(b)))
                sim_net_link(a, b, link_min_ns(s, x), link_mean_ns(s, x), is_healed ? 0 : loss_ppm);
        }
    }
}

void lab_link_begin(const struct lab_scenario *s, struct sim *sim, bool is_healed)
{
    for (uint32_t i = 0; i < s->links.n; i++) {
        const struct lab_link *x = &s->links.link[i];
        link_set(s, x, sim, x->from, x->to, is_healed);
        if (!x->one_way)
            link_set(s, x, sim, x->to, x->from, is_healed);
    }
    for (uint32_t i = 0; i < s->links.n_nics; i++)
        for (uint32_t k = 0; k < sim_node_count(sim); k++)
            if (link_means(s->links.nic[i].node, sim_node_name(sim_node_at(sim, k))))
                sim_net_nic(sim_node_at(sim, k), s->links.nic[i].bytes_per_s);
}
