/* cluster/cli_secret.c - `tarn secret new|check`: the file of cluster.secret_file. */
#include "cluster/cli_commands.h"
#include "net/net_secret.h"

int cli_secret_ready(const struct cli *c)
{
    char err[CONFIG_ERROR_MAX];
    struct net_secrets s;
    const char *file = config_str(c->config, CONFIG_CLUSTER_SECRET_FILE);
    int bad = *file ? net_secret_load(file, &s, err, sizeof err) : 0;
    if (bad)
        return cli_error(c, CLI_CONFIG, "%s", err);
    if (*file)
        net_secret_wipe(&s);
    return CLI_OK;
}

static int cli_secret_show(struct cli *c, const char *file)
{
    char err[CONFIG_ERROR_MAX], print[17];
    struct net_secrets s;
    if (net_secret_load(file, &s, err, sizeof err))
        return cli_error(c, CLI_FAILED, "%s", err);
    cJSON *j = cJSON_CreateObject(), *prints = cJSON_CreateArray();
    for (unsigned i = 0; i < s.n; i++) {
        net_secret_print(&s, i, print);
        cJSON_AddItemToArray(prints, cJSON_CreateString(print));
        if (!c->json)
            printf("fingerprint %s\n", print);
    }
    net_secret_wipe(&s);
    cJSON_AddStringToObject(j, "file", file);
    cJSON_AddItemToObject(j, "fingerprints", prints);
    if (c->json)
        cli_print_json(j);
    else
        cJSON_Delete(j);
    return CLI_OK;
}

static int cli_secret_new_run(struct cli *c)
{
    char err[CONFIG_ERROR_MAX];
    if (net_secret_make(c->args[0], err, sizeof err))
        return cli_error(c, CLI_FAILED, "%s", err);
    if (!c->json && !c->quiet)
        printf("%s: made; copy it to every host of the cluster (mode 0600) and set "
               "cluster.secret_file\n",
               c->args[0]);
    return cli_secret_show(c, c->args[0]);
}

static int cli_secret_check_run(struct cli *c)
{
    const char *file = c->n_args ? c->args[0] : config_str(c->config, CONFIG_CLUSTER_SECRET_FILE);
    if (!*file)
        return cli_error(c, CLI_USAGE, "name a file, or set cluster.secret_file");
    return cli_secret_show(c, file);
}

const struct cli_command cli_secret_new = {
    "secret",
    "new",
    "FILE",
    "make a cluster secret",
    "FILE must not exist; it gets mode 0600.  To change a secret, append the line of a new file "
    "to\n"
    "the old file on every host, and later take the old line out on every host: both are accepted\n"
    "in between, and a file that has changed is read again without a restart.",
    cli_secret_new_run,
    1,
    1,
    {{0}}};

const struct cli_command cli_secret_check = {
    "secret",
    "check",
    "[FILE]",
    "is it a good file, and the same as another host's?",
    "Prints a fingerprint of each secret in it; two files with one in common fit each other.\n"
    "Without FILE: cluster.secret_file of the configuration.",
    cli_secret_check_run,
    0,
    1,
    {{0}}};
