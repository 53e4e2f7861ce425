/* sim/lab_scenario_text.c - scenarios as text again, and whether they make sense (see
 * sim/lab_scenario.h). */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/lab_measured.h"
#include "sim/lab_own.h"
#include "sim/lab_scenario.h"

void lab_scenario_drop(struct lab_scenario *s)
{
    lab_ops_free(&s->ops);
    lab_chance_free(&s->chances);
    lab_measured_drop(s);
}

/* ---- where an error is ---- */

/* The place of `bad` among all values of the document, in its order, from 1, and its path; 0: it is
 * not in there. */
static uint32_t where_find(const cJSON *at, const cJSON *bad, uint32_t *n, char *path, size_t cap)
{
    size_t len = strlen(path);
    uint32_t i = 0, place = ++*n;
    if (at == bad)
        return place;
    for (const cJSON *j = at->child; j; j = j->next, i++) {
        if (cJSON_IsArray(at))
            fmt_into(path + len, cap - len, "[%u]", i);
        else
            fmt_into(path + len, cap - len, "%s%s", len ? "." : "", j->string);
        place = where_find(j, bad, n, path, cap);
        if (place)
            return place;
    }
    path[len] = 0;
    return 0;
}

const cJSON *lab_scenario_twice(const cJSON *root)
{
    const cJSON *found = NULL;
    for (const cJSON *j = root->child; j && !found; j = j->next) {
        for (const cJSON *k = root->child; cJSON_IsObject(root) && k != j; k = k->next)
            if (!strcmp(k->string, j->string))
                return j;
        found = lab_scenario_twice(j);
    }
    return found;
}

/* the line of the place-th value of a document that is right */
static unsigned where_line(const char *json, uint32_t place)
{
    unsigned line = 1;
    uint32_t n = 0;
    for (const char *p = json; *p;) {
        size_t len = 1;
        bool is_text = *p == '"';
        while (is_text && p[len] && p[len] != '"')
            len += p[len] == '\\' && p[len + 1] ? 2 : 1;
        len += is_text && p[len];
        if (!is_text && !strchr("{[", *p))
            len += strcspn(p + 1, " \t\r\n,:{}[]\"") * !strchr(" \t\r\n,:}]", *p);
        bool is_key = is_text && p[len + strspn(p + len, " \t\r\n")] == ':';
        n += !is_key && !strchr(" \t\r\n,:}]", *p);
        if (n == place)
            break;
        line += *p == '\n';
        p += len;
    }
    return line;
}

void lab_scenario_where(const struct cJSON *root, const struct cJSON *bad, const char *json,
                        char *why)
{
    char path[128] = "", what[LAB_ERROR];
    uint32_t n = 0, place = bad ? where_find(root, bad, &n, path, sizeof path) : 0;
    size_t len = strlen(path);
    if (!place)
        return;
    fmt_into(what, sizeof what, "%s", why);
    bool named = !strncmp(what, path, len) && what[len] == ':';
    fmt_into(why, LAB_ERROR, "line %u, %s%s%s", where_line(json, place), named ? "" : path,
             named ? "" : ": ", what);
}

size_t lab_scenario_value(const struct cJSON *j, char *to, size_t cap)
{
    char text[80];
    if (cJSON_IsArray(j) || cJSON_IsObject(j))
        return fmt_into(to, cap, cJSON_IsArray(j) ? "a list" : "an object");
    if (!cJSON_PrintPreallocated((cJSON *)(uintptr_t)j, text, sizeof text, 0))
        return fmt_into(to, cap, "so long a text");
    return fmt_into(to, cap, "%s", text);
}

/* ---- sense ---- */

static bool number_in(const char *p, uint32_t most)
{
    uint32_t v = 0;
    if (*p < '1' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9' && v < 100000; p++)
        v = 10 * v + (uint32_t)(*p - '0');
    return !*p && v <= most;
}

static bool machine_is(const struct lab_scenario *s, const char *name)
{
    return (name[0] == 'm' && number_in(name + 1, s->masters)) ||
           (name[0] == 'w' && number_in(name + 1, s->workers)) ||
           (name[0] == 'c' && number_in(name + 1, s->clients)) ||
           (s->journal.zk && name[0] == 'z' && number_in(name + 1, s->zk.servers)) ||
           (s->journal.zk && !strcmp(name, "s1")) || (!strcmp(name, "leader") && s->masters > 1);
}

/* of a protocol of one's own */
static int sense_own(const struct lab_scenario *s, char *ret_why)
{
    const struct lab_own *own = lab_own_registered();
    if (!own || strcmp(own->name, s->protocol) != 0) {
        fmt_into(
            ret_why, LAB_ERROR,
            "protocol: this program has no \"%s\"%s%s%s: a protocol comes with a program of its "
            "own (docs/simulator.md)",
            s->protocol, own ? "; did you mean \"" : "", own ? own->name : "", own ? "\"" : "");
        return E_CONFIG;
    }
    if (s->core) {
        fmt_into(ret_why, LAB_ERROR, "core: not with a protocol of one's own");
        return E_CONFIG;
    }
    for (uint32_t i = 0; i < s->n_faults; i++) {
        const struct lab_fault *f = &s->faults[i];
        if (lab_own_has_fault(f->kind) && strcmp(f->node, "leader") && strcmp(f->to, "leader"))
            continue;
        fmt_into(ret_why, LAB_ERROR, "faults[%u] (%s): not with a protocol of one's own", i,
                 lab_own_has_fault(f->kind) ? "leader" : lab_scenario_fault_name(f->kind));
        return E_CONFIG;
    }
    for (int k = 0; k < LAB_FAULTS; k++) {
        if (!s->every_ns[k] || lab_own_has_fault((enum lab_fault_kind)k))
            continue;
        fmt_into(ret_why, LAB_ERROR, "random.%s_every: not with a protocol of one's own",
                 lab_scenario_fault_name((enum lab_fault_kind)k));
        return E_CONFIG;
    }
    return 0;
}

/* what does nothing to a whole file system */
static int sense_journals(const struct lab_scenario *s, char *ret_why)
{
    static const enum lab_fault_kind of_journals[] = {LAB_FAULT_LOSE, LAB_FAULT_SIEGE,
                                                      LAB_FAULT_ROT};
    for (size_t k = 0; k < ARRAY_LEN(of_journals); k++) {
        const char *name = lab_scenario_fault_name(of_journals[k]);
        bool every = s->every_ns[of_journals[k]] != 0;
        uint32_t i = 0;
        while (i < s->n_faults && s->faults[i].kind != of_journals[k])
            i++;
        if (!every && i == s->n_faults)
            continue;
        if (every)
            fmt_into(ret_why, LAB_ERROR, "random.%s_every: for journals alone (journal.only)",
                     name);
        else
            fmt_into(ret_why, LAB_ERROR, "faults[%u] (%s): for journals alone (journal.only)", i,
                     name);
        return E_CONFIG;
    }
    return 0;
}

/* the operator's machine, too, and nobody by role */
static bool chance_is_of(const struct lab_scenario *s, const char *name)
{
    bool has_operator = s->masters > 1 || lab_scenario_is_group(s);
    return (!strcmp(name, "op") && has_operator) ||
           (strcmp(name, "leader") != 0 && machine_is(s, name));
}

bool lab_scenario_has_machine(const struct lab_scenario *s, const char *name)
{
    return chance_is_of(s, name);
}

/* a mean is of the whole, its least part included */
static int sense_latency(const char *of, int64_t least_ns, int64_t mean_ns, char *ret_why)
{
    char least[40], mean[40];
    if (least_ns <= mean_ns)
        return 0;
    lab_op_time(least_ns, least, sizeof least);
    lab_op_time(mean_ns, mean, sizeof mean);
    fmt_into(ret_why, LAB_ERROR, "%s.latency_mean is %s, less than %s.latency_min, %s: set both",
             of, mean, of, least);
    return E_CONFIG;
}

/* what is only there with ZooKeeper */
static int sense_zk(const struct lab_scenario *s, char *ret_why)
{
    uint32_t i = 0;
    if (s->journal.zk && (s->journal.raft || *s->protocol)) {
        fmt_into(ret_why, LAB_ERROR, "journal.zk: with journal.raft 0");
        return E_CONFIG;
    }
    if (s->journal.zk && !s->journal.only && (s->masters < 2 || s->journal.members)) {
        fmt_into(ret_why, LAB_ERROR,
                 "journal.zk: with two masters or more, all of which begin (journal.members 0)");
        return E_CONFIG;
    }
    if (s->journal.zk && s->core) {
        fmt_into(ret_why, LAB_ERROR, "core: not with journal.zk, where no majority is needed");
        return E_CONFIG;
    }
    if (s->journal.zk && s->zk.session_ns < 2 * s->zk.tick_ns) {
        fmt_into(ret_why, LAB_ERROR, "zk.session must be two ticks (zk.tick) at least");
        return E_CONFIG;
    }
    while (i < s->n_faults && !lab_scenario_fault_is_zk(s->faults[i].kind))
        i++;
    if (!s->journal.zk && i < s->n_faults) {
        fmt_into(ret_why, LAB_ERROR, "faults[%u] (%s): with journal.zk only", i,
                 lab_scenario_fault_name(s->faults[i].kind));
        return E_CONFIG;
    }
    for (int k = LAB_FAULT_ZK_CRASH; k < LAB_FAULTS; k++) {
        if (!s->every_ns[k] || s->journal.zk)
            continue;
        fmt_into(ret_why, LAB_ERROR, "random.%s_every: with journal.zk only",
                 lab_scenario_fault_name((enum lab_fault_kind)k));
        return E_CONFIG;
    }
    return 0;
}

static int sense_faults(const struct lab_scenario *s, char *ret_why)
{
    for (uint32_t i = 0; i < s->n_faults; i++) {
        const struct lab_fault *f = &s->faults[i];
        if (lab_scenario_fault_is_link(f->kind) && !strcmp(f->node, f->to)) {
            fmt_into(ret_why, LAB_ERROR, "faults[%u] (%s): from %s to itself there is no link", i,
                     lab_scenario_fault_name(f->kind), f->node);
            return E_CONFIG;
        }
        bool to_ok = !strcmp(f->to, "*") || !strcmp(f->to, "half") || machine_is(s, f->to);
        if ((!f->node[0] || machine_is(s, f->node)) && to_ok)
            continue;
        fmt_into(ret_why, LAB_ERROR,
                 "faults[%u] (%s): there is no machine \"%s\" (%u masters, %u workers, %u "
                 "clients)",
                 i, lab_scenario_fault_name(f->kind), to_ok ? f->node : f->to, s->masters,
                 s->workers, s->clients);
        return E_CONFIG;
    }
    return 0;
}

int lab_scenario_check(const struct lab_scenario *s, char *ret_why)
{
    if (sense_latency("net", s->sim.net.latency_min_ns, s->sim.net.latency_mean_ns, ret_why) ||
        sense_latency("store", s->store.latency_min_ns, s->store.latency_mean_ns, ret_why))
        return E_CONFIG;
    if (lab_link_check(s, ret_why, LAB_ERROR))
        return E_CONFIG;
    if (*s->protocol && sense_own(s, ret_why))
        return E_CONFIG;
    if (sense_zk(s, ret_why))
        return E_CONFIG;
    if (!lab_scenario_is_group(s) && sense_journals(s, ret_why))
        return E_CONFIG;
    struct journal_raft raft = {.promise_ns = s->journal.promise_ns,
                                .suspect_min_ns = s->journal.suspect_min_ns,
                                .drift_ppm = lab_scenario_belief_ppm(s)};
    if (s->masters > 1 && !s->journal.zk && !lab_scenario_is_group(s) &&
        journal_sure_ns(&raft) <= 0) {
        fmt_into(ret_why, LAB_ERROR,
                 "journal.promise must be shorter than journal.suspect_min, also by clocks that "
                 "differ by %u ppm: masters change the under-store while nobody else can lead",
                 raft.drift_ppm);
        return E_CONFIG;
    }
    if (sense_faults(s, ret_why))
        return E_CONFIG;
    for (uint32_t i = 0; i < s->chances.n; i++) {
        const struct sim_chance *c = &s->chances.c[i];
        bool node_ok = chance_is_of(s, c->node);
        if (node_ok && (!c->to[0] || chance_is_of(s, c->to)))
            continue;
        fmt_into(ret_why, LAB_ERROR, "chances[%u] (%s): there is no machine \"%s\"", i,
                 lab_chance_name(c->kind), node_ok ? c->to : c->node);
        return E_CONFIG;
    }
    for (uint32_t i = 0; i < s->ops.n; i++) {
        const struct lab_op *op = &s->ops.op[i];
        bool known = op->client < s->clients && op->thread < s->load.threads;
        bool fits = (op->kind >= LAB_OP_SET) == lab_scenario_is_group(s);
        if (known && fits)
            continue;
        if (!known)
            fmt_into(ret_why, LAB_ERROR,
                     "operations: there is no c%u.%u (%u clients with %u threads, from c1.0)",
                     op->client + 1, op->thread, s->clients, s->load.threads);
        else
            fmt_into(ret_why, LAB_ERROR, "operations: \"%s\" is for %s", lab_op_kind_name(op->kind),
                     lab_scenario_is_group(s) ? "a file system; journals know set, cas and get"
                                              : "journals alone (journal.only)");
        return E_CONFIG;
    }
    return 0;
}

/* ---- text ---- */

/* Keys that only say how something is drawn: not of who draws no more. */
static bool key_is_drawing(const struct lab_scenario *s, const char *name)
{
    static const char *const of_load[] = {"load.think",        "load.linger",        "load.names",
                                          "load.users",        "load.file_bytes",    "load.logs",
                                          "journal.reads_ppm", "journal.standby_ppm"};
    bool is_weight = false;
    if (!strncmp(name, "random.", 7) || !strcmp(name, "swarm"))
        return true;
    if (!s->has_ops)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(of_load); i++)
        if (!strcmp(name, of_load[i]))
            return true;
    for (unsigned k = 0; k < LAB_LOAD_KINDS; k++)
        is_weight |= !strncmp(name, "load.", 5) &&
                     !strcmp(name + 5, lab_load_kind_name((enum lab_load_kind)k));
    return is_weight;
}

static void text_keys(const struct lab_scenario *s, FILE *to)
{
    static struct lab_scenario usual;
    char group[32] = "";
    const char *name;
    lab_scenario_default(&usual);
    for (uint32_t i = 0; (name = lab_scenario_key_name(i)); i++) {
        uint64_t v = lab_scenario_get(s, i);
        const char *dot = strchr(name, '.');
        char value[40];
        if (v == lab_scenario_get(&usual, i) || key_is_drawing(s, name))
            continue;
        size_t len = dot ? (size_t)(dot - name) : 0;
        bool same = *group && dot && strlen(group) == len && !strncmp(group, name, len);
        if (*group && !same)
            fputc('}', to);
        fputs(same ? ", " : ",\n    ", to);
        if (dot && !same)
            fprintf(to, "\"%.*s\": {", (int)len, name);
        fmt_into(group, sizeof group, "%.*s", (int)len, name);
        if (lab_scenario_key_is_time(i)) {
            lab_op_time((int64_t)v, value, sizeof value);
            fprintf(to, "\"%s\": \"%s\"", dot ? dot + 1 : name, value);
        } else if (v >> 53) {
            fprintf(to, "\"%s\": \"%llu\"", dot ? dot + 1 : name, (unsigned long long)v);
        } else {
            fprintf(to, "\"%s\": %llu", dot ? dot + 1 : name, (unsigned long long)v);
        }
    }
    if (*group)
        fputc('}', to);
}

static void text_fault(const struct lab_fault *f, FILE *to)
{
    char at[40], time[40];
    uint32_t n = f->n_chance > f->n_given ? f->n_chance : f->n_given;
    lab_op_time(f->at_ns, at, sizeof at);
    lab_op_time(f->for_ns, time, sizeof time);
    fprintf(to, "{\"at\": \"%s\", \"do\": \"%s\"", at, lab_scenario_fault_name(f->kind));
    if (f->node[0])
        fprintf(to, ", \"node\": \"%s\"", f->node);
    if (strcmp(f->to, "*") != 0)
        fprintf(to, ", \"to\": \"%s\"", f->to);
    if (f->one_way)
        fprintf(to, ", \"one_way\": true");
    fprintf(to, ", \"for\": \"%s\"", time);
    for (uint32_t i = 0; i < n; i++)
        fprintf(to, "%s%llu%s", i ? ", " : ", \"chance\": [", (unsigned long long)f->chance[i],
                i + 1 == n ? "]" : "");
    fputc('}', to);
}

void lab_scenario_write(const struct lab_scenario *s, FILE *to)
{
    fprintf(to, "{\n    \"about\": ");
    lab_json_string(to, s->about);
    if (*s->protocol) {
        fprintf(to, ",\n    \"protocol\": ");
        lab_json_string(to, s->protocol);
    }
    if (*s->mutant) {
        fprintf(to, ",\n    \"mutant\": ");
        lab_json_string(to, s->mutant);
    }
    if (*s->model) {
        fprintf(to, ",\n    \"model\": ");
        lab_json_string(to, s->model);
    }
    text_keys(s, to);
    lab_link_write(&s->links, to);
    for (uint32_t i = 0; i < s->n_faults; i++) {
        fputs(i ? ",\n        " : ",\n    \"faults\": [\n        ", to);
        text_fault(&s->faults[i], to);
    }
    if (s->n_faults)
        fputs("\n    ]", to);
    if (s->has_chances)
        fputs(",\n    \"chances\": [", to);
    for (uint32_t i = 0; i < s->chances.n; i++) {
        fputs(i ? ",\n        " : "\n        ", to);
        lab_chance_write(&s->chances.c[i], to);
    }
    if (s->has_chances)
        fputs(s->chances.n ? "\n    ]" : "]", to);
    if (s->has_ops)
        fputs(",\n    \"operations\": [", to);
    for (uint32_t i = 0; i < s->ops.n; i++) {
        fputs(i ? ",\n        " : "\n        ", to);
        lab_op_write(&s->ops.op[i], to);
    }
    fputs(!s->has_ops ? "\n}\n" : s->ops.n ? "\n    ]\n}\n" : "]\n}\n", to);
}
