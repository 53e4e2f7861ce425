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

static bool link_name(char *to, size_t cap, const cJSON *j)
{
    if (!cJSON_IsString(j) || !j->valuestring[0] || strlen(j->valuestring) >= cap)
        return false;
    fmt_into(to, cap, "%s", j->valuestring);
    return true;
}

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

static bool link_time(const cJSON *j, int64_t *ret_ns)
{
    uint64_t v = 0;
    bool ok = link_number(j, true, (uint64_t)3600 * 1000000000 * 24, &v);
    *ret_ns = (int64_t)v;
    return ok;
}

/* 1: it is a key with a good value, 0: a bad one, -1: there is no such key */
static int link_field(struct lab_link *l, const cJSON *j)
{
    uint64_t v = 0;
    if (!strcmp(j->string, "from"))
        return link_name(l->from, sizeof l->from, j);
    if (!strcmp(j->string, "to"))
        return link_name(l->to, sizeof l->to, j);
    if (!strcmp(j->string, "latency_min"))
        return link_time(j, &l->min_ns);
    if (!strcmp(j->string, "latency_mean"))
        return link_time(j, &l->mean_ns);
    if (!strcmp(j->string, "one_way")) {
        l->one_way = cJSON_IsTrue(j);
        return cJSON_IsBool(j);
    }
    if (strcmp(j->string, "loss_ppm") != 0)
        return -1;
    bool ok = link_number(j, false, 1000000, &v);
    l->loss_ppm = (int64_t)v;
    return ok;
}

static int nic_field(struct lab_nic *n, const cJSON *j)
{
    if (!strcmp(j->string, "node"))
        return link_name(n->node, sizeof n->node, j);
    if (!strcmp(j->string, "bytes_per_s"))
        return link_number(j, false, INT64_MAX, &n->bytes_per_s);
    return -1;
}

/* ok: as a field's function says */
static int link_refuse(const cJSON *j, int ok, const char *fields, char *ret_why, size_t cap,
                       const cJSON **ret_bad)
{
    if (ok < 0)
        fmt_into(ret_why, cap, "unknown key \"%s\" (%s)", j->string, fields);
    else
        fmt_into(ret_why, cap, "bad value");
    *ret_bad = j;
    return E_CONFIG;
}

int lab_link_parse(struct lab_links *l, const struct cJSON *list, char *ret_why, size_t cap,
                   const struct cJSON **ret_bad)
{
    const cJSON *j, *field;
    *ret_bad = list;
    fmt_into(ret_why, cap, "links are a list of at most %d objects", LAB_LINKS_MAX);
    if (!cJSON_IsArray(list))
        return E_CONFIG;
    cJSON_ArrayForEach(j, list)
    {
        *ret_bad = j;
        if (!cJSON_IsObject(j) || l->n == LAB_LINKS_MAX)
            return E_CONFIG;
        struct lab_link *x = &l->link[l->n++];
        *x = (struct lab_link){.min_ns = -1, .mean_ns = -1, .loss_ppm = -1};
        cJSON_ArrayForEach(field, j)
        {
            int ok = link_field(x, field);
            if (ok != 1)
                return link_refuse(field, ok,
                                   "from, to, latency_min, latency_mean, loss_ppm, one_way",
                                   ret_why, cap, ret_bad);
        }
        if (x->from[0] && x->to[0])
            continue;
        fmt_into(ret_why, cap,
                 "a link needs \"from\" and \"to\", like {\"from\": \"m1\", \"to\": \"c*\", "
                 "\"latency_mean\": \"40ms\"}");
        return E_CONFIG;
    }
    *ret_bad = NULL;
    return 0;
}

int lab_link_parse_nics(struct lab_links *l, const struct cJSON *list, char *ret_why, size_t cap,
                        const struct cJSON **ret_bad)
{
    const cJSON *j, *field;
    *ret_bad = list;
    fmt_into(ret_why, cap, "nics are a list of at most %d objects", LAB_NICS_MAX);
    if (!cJSON_IsArray(list))
        return E_CONFIG;
    cJSON_ArrayForEach(j, list)
    {
        *ret_bad = j;
        if (!cJSON_IsObject(j) || l->n_nics == LAB_NICS_MAX)
            return E_CONFIG;
        struct lab_nic *x = &l->nic[l->n_nics++];
        *x = (struct lab_nic){.bytes_per_s = UINT64_MAX};
        cJSON_ArrayForEach(field, j)
        {
            int ok = nic_field(x, field);
            if (ok != 1)
                return link_refuse(field, ok, "node, bytes_per_s", ret_why, cap, ret_bad);
        }
        if (x->node[0] && x->bytes_per_s != UINT64_MAX)
            continue;
        fmt_into(ret_why, cap,
                 "a nic needs \"node\" and \"bytes_per_s\", like {\"node\": \"w1\", "
                 "\"bytes_per_s\": 12500000}");
        return E_CONFIG;
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
        return 0;
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
