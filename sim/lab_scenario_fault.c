/* sim/lab_scenario_fault.c - the list of timed faults: which fields each kind has, and where a
 * fault can do nothing (see sim/lab_scenario.h).
 *
 *  1. A field that says nothing of its kind is refused: whoever wrote it meant another fault. "for"
 *     says of each how long it counts as lasting.
 *  2. A fault that can do nothing where it is does not count as done. */
#include <cjson/cJSON.h>
#include "core/fmt.h"
#include "sim/lab_scenario.h"
#include "sim/lab_word.h"

static const char *const fault_names[] = {
    "power_loss",    "crash",         "restart",      "wipe",         "pause",        "partition",
    "clog",          "reset",         "bit_flip",     "disk_full",    "disk_slow",    "sync_fail",
    "stall",         "image",         "members",      "lose",         "siege",        "usurp",
    "blackout",      "swizzle",       "bridge",       "link_slow",    "clock_step",   "clock_rate",
    "rot",           "disk_errors",   "store_change", "store_outage", "store_full",   "zk_crash",
    "zk_pause",      "zk_away",       "zk_cut",       "zk_lag",       "zk_depose",    "zk_expire",
    "shared_outage", "shared_errors", "shared_full",  "shared_slow",  "shared_crash", "shared_rot",
    "zk_lose",       "zk_back",       "shared_stuck", "topple"};

const char *lab_scenario_fault_name(enum lab_fault_kind k)
{
    return k < LAB_FAULTS ? fault_names[k] : "?";
}

bool lab_scenario_fault_is_link(enum lab_fault_kind k)
{
    return k == LAB_FAULT_PARTITION || k == LAB_FAULT_CLOG || k == LAB_FAULT_RESET ||
           k == LAB_FAULT_LINK_SLOW;
}

/* ---- fields ---- */

static const char *const fault_fields[] = {"at", "do", "node", "to", "for", "one_way", "chance"};

static bool fault_is_one_way(enum lab_fault_kind k)
{
    return k == LAB_FAULT_PARTITION || k == LAB_FAULT_LINK_SLOW || k == LAB_FAULT_SWIZZLE ||
           k == LAB_FAULT_BRIDGE;
}

/* does chance make something of it that a recorded run has to keep? */
static bool fault_is_drawn(enum lab_fault_kind k)
{
    return k == LAB_FAULT_WIPE || k == LAB_FAULT_BIT_FLIP ||
           (k >= LAB_FAULT_STALL && k <= LAB_FAULT_ROT) || k == LAB_FAULT_STORE_CHANGE ||
           (k >= LAB_FAULT_ZK_CRASH && k <= LAB_FAULT_ZK_EXPIRE) || k >= LAB_FAULT_SHARED_ROT;
}

bool lab_scenario_fault_has(enum lab_fault_kind k, const char *field)
{
    if (!strcmp(field, "to"))
        return lab_scenario_fault_is_link(k);
    if (!strcmp(field, "one_way"))
        return fault_is_one_way(k);
    return strcmp(field, "chance") != 0 || fault_is_drawn(k);
}

/* ---- text ---- */

static int fault_kind(const char *name, char *ret_why)
{
    const char *near = lab_word_near(name, fault_names, LAB_FAULTS);
    for (int k = 0; k < LAB_FAULTS; k++)
        if (!strcmp(name, fault_names[k]))
            return k;
    size_t n = fmt_into(ret_why, LAB_ERROR, "unknown fault \"%s\"; ", name);
    if (near)
        fmt_into(ret_why + n, LAB_ERROR - n, "did you mean \"%s\"?", near);
    else
        n += fmt_into(ret_why + n, LAB_ERROR - n, "there are ");
    for (int k = 0; k < LAB_FAULTS && !near; k++)
        n += fmt_into(ret_why + n, LAB_ERROR - n, "%s%s", k ? ", " : "", fault_names[k]);
    return E_CONFIG;
}

static int fault_refuse(const cJSON *j, const char *what, char *ret_why)
{
    size_t n = lab_scenario_value(j, ret_why, LAB_ERROR);
    fmt_into(ret_why + n, LAB_ERROR - n, " is %s", what);
    return E_CONFIG;
}

static int fault_chance(struct lab_fault *f, const cJSON *list, char *ret_why)
{
    const cJSON *j;
    if (!cJSON_IsArray(list))
        return fault_refuse(list, "no list of numbers", ret_why);
    cJSON_ArrayForEach(j, list)
    {
        bool ok = cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble < 9e15 &&
                  j->valuedouble == (double)(uint64_t)j->valuedouble;
        if (!ok)
            return fault_refuse(j, "no whole number below 2^53", ret_why);
        if (f->n_given == LAB_CHANCES) {
            fmt_into(ret_why, LAB_ERROR, "at most %d numbers", LAB_CHANCES);
            return E_CONFIG;
        }
        f->chance[f->n_given++] = (uint64_t)j->valuedouble;
    }
    return 0;
}

static int fault_unknown(const char *name, char *ret_why)
{
    const char *near = lab_word_near(name, fault_fields, ARRAY_LEN(fault_fields));
    fmt_into(ret_why, LAB_ERROR,
             "unknown key \"%s\"%s%s%s (at, do, node, to, for, one_way, chance)", name,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return E_CONFIG;
}

static int fault_time(const cJSON *j, int64_t *ret_ns, char *ret_why)
{
    uint64_t v = 0;
    bool ok = cJSON_IsString(j)
                  ? lab_scenario_number(j->valuestring, true, &v)
                  : cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble < 9e15 &&
                        j->valuedouble == (double)(uint64_t)j->valuedouble;
    if (!ok)
        return fault_refuse(j, "not a time (like 250ms, 2s)", ret_why);
    *ret_ns = cJSON_IsString(j) ? (int64_t)v : (int64_t)j->valuedouble;
    return 0;
}

static int fault_machine(const cJSON *j, char *to, size_t cap, const char *what, char *ret_why)
{
    if (!cJSON_IsString(j) || !*j->valuestring || strlen(j->valuestring) >= cap)
        return fault_refuse(j, what, ret_why);
    fmt_into(to, cap, "%s", j->valuestring);
    return 0;
}

static int fault_field(struct lab_fault *f, const cJSON *j, char *ret_why)
{
    if (!strcmp(j->string, "at"))
        return fault_time(j, &f->at_ns, ret_why);
    if (!strcmp(j->string, "for"))
        return fault_time(j, &f->for_ns, ret_why);
    if (!strcmp(j->string, "do")) {
        int k = cJSON_IsString(j) ? fault_kind(j->valuestring, ret_why)
                                  : fault_refuse(j, "no name of a fault", ret_why);
        f->kind = (enum lab_fault_kind)(k < 0 ? 0 : k);
        return k < 0 ? k : 0;
    }
    if (!strcmp(j->string, "node"))
        return fault_machine(j, f->node, sizeof f->node, "no machine (m1, w1, c1, leader)",
                             ret_why);
    if (!strcmp(j->string, "to"))
        return fault_machine(j, f->to, sizeof f->to, "no machine (m1, w1, c1, leader, half, *)",
                             ret_why);
    if (!strcmp(j->string, "chance"))
        return fault_chance(f, j, ret_why);
    if (strcmp(j->string, "one_way") != 0)
        return fault_unknown(j->string, ret_why);
    f->one_way = cJSON_IsTrue(j);
    return cJSON_IsBool(j) ? 0 : fault_refuse(j, "neither true nor false", ret_why);
}

/* what says nothing of its kind */
static int fault_meaning(struct lab_scenario *s, const struct lab_fault *f, const cJSON *j,
                         char *ret_why)
{
    const cJSON *field;
    cJSON_ArrayForEach(field, j)
    {
        if (lab_scenario_fault_has(f->kind, field->string))
            continue;
        size_t n = fmt_into(ret_why, LAB_ERROR, "%s has no \"%s\"",
                            lab_scenario_fault_name(f->kind), field->string);
        for (size_t i = 0, k = 0; i < ARRAY_LEN(fault_fields); i++)
            if (lab_scenario_fault_has(f->kind, fault_fields[i]))
                n += fmt_into(ret_why + n, LAB_ERROR - n, "%s%s", k++ ? ", " : " (",
                              fault_fields[i]);
        fmt_into(ret_why + n, LAB_ERROR - n, ")");
        s->bad = field;
        return E_CONFIG;
    }
    return 0;
}

static int fault_parse(struct lab_scenario *s, struct lab_fault *f, const cJSON *j, char *ret_why)
{
    const cJSON *field;
    bool named = false;
    cJSON_ArrayForEach(field, j)
    {
        int err = fault_field(f, field, ret_why);
        if (err) {
            s->bad = field;
            return err;
        }
        named |= !strcmp(field->string, "do");
    }
    /* drawn ones of the under-store have a node, too: "leader" says that somebody must lead */
    if (named && f->at_ns >= 0 && (f->node[0] || f->kind >= LAB_FAULT_STORE_CHANGE))
        return fault_meaning(s, f, j, ret_why);
    fmt_into(ret_why, LAB_ERROR,
             "fault %u needs \"at\", \"do\" and \"node\", like {\"at\": \"5s\", \"do\": "
             "\"crash\", \"node\": \"m1\"}",
             s->n_faults);
    s->bad = j;
    return E_CONFIG;
}

int lab_scenario_faults(struct lab_scenario *s, const struct cJSON *list, char *ret_why)
{
    const cJSON *j;
    if (!cJSON_IsArray(list)) {
        fmt_into(ret_why, LAB_ERROR, "not a list");
        return E_CONFIG;
    }
    cJSON_ArrayForEach(j, list)
    {
        if (s->n_faults == LAB_FAULTS_MAX || !cJSON_IsObject(j)) {
            fmt_into(ret_why, LAB_ERROR, "faults are a list of at most %d objects", LAB_FAULTS_MAX);
            s->bad = j;
            return E_CONFIG;
        }
        struct lab_fault *f = &s->faults[s->n_faults++];
        *f = (struct lab_fault){.at_ns = -1, .for_ns = 1000000000, .to = "*"};
        int err = fault_parse(s, f, j, ret_why);
        if (err)
            return err;
    }
    return 0;
}

/* ---- sense ---- */

static bool fault_is_disk(enum lab_fault_kind k)
{
    return k == LAB_FAULT_BIT_FLIP || k == LAB_FAULT_DISK_FULL || k == LAB_FAULT_DISK_SLOW ||
           k == LAB_FAULT_SYNC_FAIL || k == LAB_FAULT_DISK_ERRORS;
}

const char *lab_scenario_fault_idle(const struct lab_scenario *s, const struct lab_fault *f)
{
    bool is_group = lab_scenario_is_group(s), is_client = f->node[0] == 'c';
    bool is_alone = s->masters == 1 && !is_group;
    if (f->kind == LAB_FAULT_CLOCK_RATE && !s->sim.clock.drift_max_ppm)
        return "clock.drift_max_ppm is 0, so there is no other rate";
    if (f->kind == LAB_FAULT_DISK_ERRORS && is_alone && f->node[0] == 'm')
        return "a single master's disk is spared";
    if (s->journal.zk && f->node[0] != 'w' &&
        (fault_is_disk(f->kind) || f->kind == LAB_FAULT_ROT || f->kind == LAB_FAULT_LOSE ||
         f->kind == LAB_FAULT_WIPE))
        return "with journal.zk masters keep nothing on their disks";
    if (f->node[0] == 'z' || f->node[0] == 's')
        return "faults of ZooKeeper's servers and of the storage have names of their own";
    if (f->kind == LAB_FAULT_TOPPLE && !is_group)
        return "it is for journals alone";
    if (fault_is_disk(f->kind) && is_client)
        return "a client has no disk";
    if (is_alone &&
        (f->kind == LAB_FAULT_IMAGE || f->kind == LAB_FAULT_MEMBERS || f->kind == LAB_FAULT_USURP))
        return "it is for several masters";
    return is_group && is_client ? "where there are no file systems it hits masters" : NULL;
}

bool lab_scenario_comes_to(const struct lab_scenario *s, const struct lab_fault *f, int64_t end_ns)
{
    return f->at_ns <= end_ns && f->at_ns < s->duration_ns && !lab_scenario_fault_idle(s, f);
}
