/* cluster/cli_config.c - `tarn config show|check`. */
#include "cluster/cli_commands.h"
#include <stdlib.h>

static int cli_config_show_run(struct cli *c)
{
    bool docs = cli_flag(c, "defaults");
    char *text = config_json(c->config, docs);
    puts(text);
    free(text);
    return CLI_OK;
}

static int cli_config_check_run(struct cli *c)
{
    char err[CONFIG_ERROR_MAX];
    const char *file = c->n_args ? c->args[0] : c->config_file;
    if (!file)
        return cli_error(c, CLI_USAGE, "name a file, or give --config");
    struct config *fresh = config_new();
    int bad = config_load(fresh, file, err, sizeof err);
    if (!bad)
        bad = config_check(fresh, err, sizeof err);
    config_free(fresh);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "file", file);
        cJSON_AddBoolToObject(j, "ok", !bad);
        if (bad)
            cJSON_AddStringToObject(j, "error", err);
        cli_print_json(j);
        return bad ? CLI_CONFIG : CLI_OK;
    }
    if (bad)
        return cli_error(c, CLI_CONFIG, "%s", err);
    printf("%s: ok\n", file);
    return CLI_OK;
}

const struct cli_command cli_config_show = {
    "config",
    "show",
    "",
    "print the configuration in force",
    NULL,
    cli_config_show_run,
    0,
    0,
    {{"defaults", 0, NULL, "with type, default, range and meaning of every key"}}};

const struct cli_command cli_config_check = {
    "config", "check", "[FILE]", "check a configuration file", NULL, cli_config_check_run,
    0,        1,       {{0}}};
