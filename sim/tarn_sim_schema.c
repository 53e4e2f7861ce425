/* sim/tarn_sim_schema.c - tarn-sim list --schema: what a scenario file may say, as JSON schema.
 *
 *  1. It is made of the table that the parser uses (lab_scenario_key_name and the others), so a
 *     knob is in both or in none.
 *  2. What it accepts the parser accepts, but for numbers in texts, whose range it does not see,
 *     and what depends on other values (is there such a machine?).  The parser takes "net.loss_ppm"
 *     at the top, too, as --set does; the schema does not.
 *  3. sim/scenario.schema.json is its output; tests/e2e/test_schema.sh compares them, and the
 *     schema with the parser. */
#include <stdio.h>
#include <string.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/tarn_sim.h"

static const char time_pattern[] = "^[0-9]+(\\\\.[0-9]*)?(ns|us|ms|s|m|h)?$";

static void knob_range(FILE *to, uint32_t i)
{
    struct lab_scenario_range r = lab_scenario_key_range(i);
    bool is_time = lab_scenario_key_is_time(i);
    fprintf(to, "\"anyOf\": [{");
    if (r.is_power) {
        fprintf(to, "\"enum\": [");
        for (uint64_t v = r.min; v <= r.max; v *= 2)
            fprintf(to, "%s%llu", v > r.min ? ", " : "", (unsigned long long)v);
        fprintf(to, "]");
    } else {
        uint64_t most = base_min_u64(r.max, ((uint64_t)9 << 50) / 2); /* what JSON has exactly */
        fprintf(to, "\"type\": \"integer\", \"minimum\": %llu, \"maximum\": %llu",
                (unsigned long long)r.min, (unsigned long long)most);
    }
    fprintf(to, "}, {\"type\": \"string\", \"pattern\": \"%s\"}]",
            is_time ? time_pattern : "^[0-9]+$");
}

static void knob(FILE *to, const struct lab_scenario *usual, uint32_t i, const char *name,
                 const char *indent)
{
    char value[40];
    uint64_t v = lab_scenario_get(usual, i);
    fprintf(to, "\n%s\"%s\": {\"description\": ", indent, name);
    lab_json_string(to, tarn_sim_knob(lab_scenario_key_name(i)));
    fprintf(to, ", \"default\": ");
    lab_op_time((int64_t)v, value, sizeof value);
    if (lab_scenario_key_is_time(i))
        fprintf(to, "\"%s\", ", v ? value : "0s");
    else
        fprintf(to, "%llu, ", (unsigned long long)v);
    knob_range(to, i);
    fprintf(to, "}");
}

/* keys of one group are together in the table, but some groups come twice */
static bool group_is_first(uint32_t at, size_t len)
{
    const char *name = lab_scenario_key_name(at);
    for (uint32_t i = 0; i < at; i++)
        if (!strncmp(lab_scenario_key_name(i), name, len + 1))
            return false;
    return true;
}

static void knobs(FILE *to)
{
    static struct lab_scenario usual;
    const char *name;
    lab_scenario_default(&usual);
    for (uint32_t i = 0; (name = lab_scenario_key_name(i)); i++) {
        const char *dot = strchr(name, '.');
        size_t len = dot ? (size_t)(dot - name) : 0;
        if (!dot) {
            fputc(',', to);
            knob(to, &usual, i, name, "    ");
            continue;
        }
        if (!group_is_first(i, len))
            continue;
        fprintf(to,
                ",\n    \"%.*s\": {\"type\": \"object\", \"additionalProperties\": false, "
                "\"properties\": {",
                (int)len, name);
        for (uint32_t k = i, n = 0; lab_scenario_key_name(k); k++) {
            if (strncmp(lab_scenario_key_name(k), name, len + 1) != 0)
                continue;
            fputs(n++ ? "," : "", to);
            knob(to, &usual, k, lab_scenario_key_name(k) + len + 1, "        ");
        }
        fputs("}}", to);
    }
}

/* the kinds that have the field, or all */
static void fault_kinds(FILE *to, const char *field)
{
    for (int k = 0, n = 0; k < LAB_FAULTS; k++)
        if (!field || lab_scenario_fault_has((enum lab_fault_kind)k, field))
            fprintf(to, "%s\"%s\"", n++ ? ", " : "",
                    lab_scenario_fault_name((enum lab_fault_kind)k));
}

static void faults(FILE *to)
{
    static const char *const some[] = {"to", "one_way", "chance"};
    fprintf(to,
            ",\n    \"faults\": {\"description\": \"what goes wrong when, beside what random.* "
            "draws\", \"type\": \"array\", \"maxItems\": %d, \"items\": {\n"
            "        \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"at\", "
            "\"do\"], \"properties\": {\n"
            "        \"at\": {\"$ref\": \"#/$defs/time\"},\n"
            "        \"for\": {\"$ref\": \"#/$defs/time\"},\n"
            "        \"node\": {\"$ref\": \"#/$defs/machine\"},\n"
            "        \"to\": {\"anyOf\": [{\"$ref\": \"#/$defs/machine\"}, {\"enum\": [\"*\", "
            "\"half\"]}]},\n"
            "        \"one_way\": {\"type\": \"boolean\"},\n"
            "        \"chance\": {\"description\": \"what chance made of it, as a recorded run "
            "says\", \"type\": \"array\", \"maxItems\": %d, \"items\": {\"type\": \"integer\", "
            "\"minimum\": 0}},\n"
            "        \"do\": {\"enum\": [",
            LAB_FAULTS_MAX, LAB_CHANCES);
    fault_kinds(to, NULL);
    fprintf(to, "]}},\n        \"allOf\": [{\"if\": {\"properties\": {\"do\": {\"enum\": [");
    for (int n = LAB_FAULT_STORE_CHANGE; n < LAB_FAULTS; n++)
        fprintf(to, "%s\"%s\"", n > LAB_FAULT_STORE_CHANGE ? ", " : "",
                lab_scenario_fault_name((enum lab_fault_kind)n));
    fprintf(to, "]}}}, \"else\": {\"required\": [\"node\"]}}");
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        fprintf(
            to,
            ", {\"if\": {\"required\": [\"%s\"]}, \"then\": {\"properties\": {\"do\": {\"enum\": [",
            some[i]);
        fault_kinds(to, some[i]);
        fprintf(to, "]}}}}");
    }
    fprintf(to, "]}}");
}

static void links(FILE *to)
{
    fprintf(to,
            ",\n    \"links\": {\"description\": \"links that are not as net.* says\", \"type\": "
            "\"array\", \"maxItems\": %d, \"items\": {\n"
            "        \"type\": \"object\", \"additionalProperties\": false, \"required\": "
            "[\"from\", \"to\"], \"properties\": {\n"
            "        \"from\": {\"$ref\": \"#/$defs/machines\"},\n"
            "        \"to\": {\"$ref\": \"#/$defs/machines\"},\n"
            "        \"latency_min\": {\"$ref\": \"#/$defs/time\"},\n"
            "        \"latency_mean\": {\"$ref\": \"#/$defs/time\"},\n"
            "        \"loss_ppm\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": "
            "1000000},\n"
            "        \"one_way\": {\"type\": \"boolean\"}}}},\n"
            "    \"nics\": {\"description\": \"machines whose bandwidth is not as "
            "net.nic_bytes_per_s says; 0: no limit\", \"type\": \"array\", \"maxItems\": %d, "
            "\"items\": {\n"
            "        \"type\": \"object\", \"additionalProperties\": false, \"required\": "
            "[\"node\", \"bytes_per_s\"], \"properties\": {\n"
            "        \"node\": {\"$ref\": \"#/$defs/machines\"},\n"
            "        \"bytes_per_s\": {\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0}, "
            "{\"type\": \"string\", \"pattern\": \"^[0-9]+$\"}]}}}}",
            LAB_LINKS_MAX, LAB_NICS_MAX);
}

/* the kinds that have the field */
static void chance_kinds(FILE *to, const char *field)
{
    for (int k = 0, n = 0; k < SIM_CHANCES; k++)
        if (!field || lab_chance_has_field((enum sim_chance_kind)k, field))
            fprintf(to, "%s\"%s\"", n++ ? ", " : "", lab_chance_name((enum sim_chance_kind)k));
}

static void chances(FILE *to)
{
    static const char *const fields[] = {"to", "for", "site"};
    fprintf(
        to,
        ",\n    \"chances\": {\"description\": \"what chance does, instead of what the rates "
        "and the seed draw\", \"type\": \"array\", \"maxItems\": %d, \"items\": {\n"
        "        \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"at\", "
        "\"do\", \"node\"], \"properties\": {\n"
        "        \"at\": {\"$ref\": \"#/$defs/time\"},\n"
        "        \"for\": {\"$ref\": \"#/$defs/time\"},\n"
        "        \"skip\": {\"description\": \"so many occasions from then on are passed "
        "over\", \"type\": \"integer\", \"minimum\": 0, \"maximum\": 4294967295},\n"
        "        \"node\": {\"type\": \"string\", \"pattern\": \"^([mwczs][1-9][0-9]*|op)$\"},\n"
        "        \"to\": {\"type\": \"string\", \"pattern\": \"^([mwczs][1-9][0-9]*|op)$\"},\n"
        "        \"site\": {\"type\": \"string\", \"maxLength\": 39},\n"
        "        \"n\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": "
        "9007199254740992},\n"
        "        \"do\": {\"enum\": [",
        LAB_CHANCES_MAX);
    chance_kinds(to, NULL);
    fprintf(to, "]}},\n        \"allOf\": [");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        fprintf(to, "%s{\"if\": {\"properties\": {\"do\": {\"enum\": [", i ? ", " : "");
        chance_kinds(to, fields[i]);
        fprintf(to,
                "]}}}, \"then\": {\"required\": [\"%s\"]}, \"else\": {\"not\": {\"required\": "
                "[\"%s\"]}}}",
                fields[i], fields[i]);
    }
    fprintf(to, "]}}");
}

static void operations(FILE *to)
{
    static const char *const texts[][2] = {{"in", "the directory, or the file that it is on"},
                                           {"name", "a name in it"},
                                           {"to", "another directory or file"},
                                           {"as", "a name in that"},
                                           {"data", "a link's target, an attribute's value"}};
    static const char *const numbers[] = {"user", "mode", "flags", "valid", "key"};
    fprintf(
        to,
        ",\n    \"operations\": {\"description\": \"what the clients do, instead of what load.* "
        "draws (sim/lab_op.h)\", \"type\": \"array\", \"maxItems\": %d, \"items\": {\n"
        "        \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"at\", "
        "\"by\", \"do\"], \"properties\": {\n"
        "        \"at\": {\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0}, {\"type\": "
        "\"string\", \"pattern\": \"^[0-9]+(\\\\.[0-9]*)?(ns|us|ms|s)?$\"}]},\n"
        "        \"by\": {\"description\": \"client and thread\", \"type\": \"string\", "
        "\"pattern\": \"^c[1-9][0-9]*\\\\.[0-9]+$\"},\n"
        "        \"size\": {\"type\": \"integer\", \"minimum\": 0},\n"
        "        \"stamp\": {\"type\": \"string\", \"pattern\": \"^[0-9]+$\"},\n"
        "        \"steps\": {\"description\": \"read 0+500, wait 20ms, write 500+100\", "
        "\"type\": \"string\"}",
        LAB_OPS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        fprintf(
            to,
            ",\n        \"%s\": {\"description\": \"%s\", \"type\": \"string\", \"maxLength\": %d}",
            texts[i][0], texts[i][1],
            !strcmp(texts[i][0], "in") || !strcmp(texts[i][0], "to") ? LAB_OP_PATH - 1
                                                                     : LAB_OP_NAME - 1);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        fprintf(to,
                ",\n        \"%s\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": "
                "4294967295}",
                numbers[i]);
    fprintf(to, ",\n        \"do\": {\"enum\": [");
    for (uint32_t i = 0, n = 0; i < 2000; i++)
        if (lab_op_is_kind((uint16_t)i))
            fprintf(to, "%s\"%s\"", n++ ? ", " : "", lab_op_kind_name((uint16_t)i));
    fprintf(to, "]}}}}");
}

int tarn_sim_schema(FILE *to)
{
    fprintf(
        to,
        "{\n\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
        "\"title\": \"a scenario of tarn-sim\",\n"
        "\"description\": \"Made by: tarn-sim list --schema\",\n"
        "\"type\": \"object\",\n\"additionalProperties\": false,\n"
        "\"$defs\": {\n"
        "    \"time\": {\"description\": \"250ms, 2s, 3m, or a number of nanoseconds\", "
        "\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0}, {\"type\": \"string\", "
        "\"pattern\": \"%s\"}]},\n"
        "    \"machine\": {\"description\": \"m1 (master), w1 (worker), c1 (client), z1 "
        "(ZooKeeper), s1 (shared storage), or who "
        "leads\", \"type\": \"string\", \"pattern\": \"^([mwczs][1-9][0-9]*|leader)$\"},\n"
        "    \"machines\": {\"description\": \"one, all of a role (m*, w*, c*), or all (*)\", "
        "\"type\": \"string\", \"pattern\": \"^([mwczs]([1-9][0-9]*|\\\\*)|op|\\\\*)$\"}\n},\n"
        "\"properties\": {\n"
        "    \"$schema\": {\"description\": \"for editors\", \"type\": \"string\"},\n"
        "    \"about\": {\"description\": \"one line for tarn-sim list\", \"type\": "
        "\"string\"},\n"
        "    \"profile\": {\"description\": \"quiet: latencies only; stormy: also random loss, "
        "resets, stalls, drifting clocks, rare paths\", \"enum\": [\"quiet\", \"stormy\"]},\n"
        "    \"mutant\": {\"description\": \"with that known bug\", \"type\": \"string\"},\n"
        "    \"model\": {\"description\": \"a file of tarn bench calibrate: what was measured of a "
        "machine\", \"type\": \"string\", \"minLength\": 1},\n"
        "    \"protocol\": {\"description\": \"of the program's own (sim/lab_own.h), not a file "
        "system\", \"type\": \"string\"}",
        time_pattern);
    knobs(to);
    links(to);
    faults(to);
    chances(to);
    operations(to);
    fprintf(to, "\n}\n}\n");
    return ferror(to) ? EXIT_BROKEN : 0;
}
