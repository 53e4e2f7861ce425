/* cluster/cli_config.c - `tarn config show|check`. */
#include "cluster/cli_commands.h"
#include <stdlib.h>
#include "cluster/config_members.h"
#include "cluster/config_zk.h"
#include "net/net.h"
#include "net/net_secret.h"

static int cli_config_show_run(struct cli *c)
{
    bool docs = cli_flag(c, "defaults");
    char *text = config_json(c->config, docs);
    cli_printed_raw(); /* it is one document, --json or not */
    puts(text);
    free(text);
    return CLI_OK;
}

struct cli_config_check {
    const struct cli *cli;
    const char *file;
    cJSON *mistakes;
    unsigned n;
};

static void cli_config_say(void *ctx, const char *text)
{
    struct cli_config_check *k = ctx;
    k->n++;
    cJSON_AddItemToArray(k->mistakes, cJSON_CreateString(text));
    if (!k->cli->json)
        (void)cli_error(k->cli, CLI_CONFIG, "%s: %s", k->file, text);
}

/* Loopback addresses are for one host, and others need a secret: what no process would accept is
 * found before one is started.  true: a mistake was said. */
static bool cli_config_reach(struct cli_config_check *k, const struct config *g)
{
    struct config_member m[JOURNAL_MEMBERS_MAX];
    char err[CONFIG_ERROR_MAX];
    const char *near = NULL, *far = NULL;
    uint32_t n = 0;
    if (config_members_parse(config_str(g, CONFIG_JOURNAL_MEMBERS), m, &n, err, sizeof err))
        return false; /* said already */
    for (uint32_t i = 0; i < n; i++)
        *(net_hello_is_local(m[i].addr) ? &near : &far) = m[i].addr;
    const char *listen = config_str(g, CONFIG_MASTER_LISTEN);
    if (!far && !net_hello_is_local(listen))
        far = listen;
    if (near && far && n > 1) {
        snprintf(err, sizeof err,
                 "journal.members: %s is a loopback address, which %s cannot be told: members on "
                 "several hosts need addresses that all of them reach",
                 near, far);
        cli_config_say(k, err);
    }
    if (far && !*config_str(g, CONFIG_CLUSTER_SECRET_FILE)) {
        snprintf(err, sizeof err,
                 "%s is not a loopback address, and cluster.secret_file is not set: no process "
                 "listens there or connects to it (`tarn secret new FILE`)",
                 far);
        cli_config_say(k, err);
        return true;
    }
    return near && far && n > 1;
}

static int cli_config_check_run(struct cli *c)
{
    char err[CONFIG_ERROR_MAX];
    struct cli_config_check k = {.cli = c, .file = c->n_args ? c->args[0] : c->config_file};
    if (!k.file)
        return cli_error(c, CLI_USAGE, "name a file, or give --config");
    k.mistakes = cJSON_CreateArray();
    struct config *fresh = config_new();
    config_on_mistake(fresh, cli_config_say, &k);
    int bad = config_load(fresh, k.file, err, sizeof err);
    if (bad && !k.n) /* it cannot be read at all */
        cJSON_AddItemToArray(k.mistakes, cJSON_CreateString(err));
    if (bad && !k.n && !c->json)
        (void)cli_error(c, CLI_CONFIG, "%s", err);
    if (!bad || k.n) /* what could not be set keeps its default */
        bad |= config_check(fresh, err, sizeof err);
    const char *secret = config_str(fresh, CONFIG_CLUSTER_SECRET_FILE);
    struct net_secrets s;
    if (*secret && net_secret_load(secret, &s, err, sizeof err)) {
        cli_config_say(&k, err);
        bad = E_CONFIG;
    } else if (*secret) {
        net_secret_wipe(&s);
    }
    if (cli_config_reach(&k, fresh))
        bad = E_CONFIG;
    char auth[CONFIG_ZK_AUTH];
    if (config_zk_alone(fresh, err, sizeof err) ||
        (config_zk_is(fresh) && config_zk_auth(fresh, auth, err, sizeof err))) {
        cli_config_say(&k, err);
        bad = E_CONFIG;
    }
    config_free(fresh);
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "file", k.file);
        cJSON_AddBoolToObject(j, "ok", !bad);
        cJSON_AddItemToObject(j, "errors", k.mistakes);
        cli_print_json(j);
        return bad ? CLI_CONFIG : CLI_OK;
    }
    cJSON_Delete(k.mistakes);
    if (!bad)
        printf("%s: ok\n", k.file);
    return bad ? CLI_CONFIG : CLI_OK;
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

const struct cli_command cli_config_check = {"config",
                                             "check",
                                             "[FILE]",
                                             "check a configuration file",
                                             "Every mistake is a line on standard error, and the "
                                             "exit status is 4.",
                                             cli_config_check_run,
                                             0,
                                             1,
                                             {{0}},
                                             true};
