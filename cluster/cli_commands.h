/* cluster/cli_commands.h - every command of `tarn`, by the file that holds it. */
#ifndef CLUSTER_CLI_COMMANDS_H
#define CLUSTER_CLI_COMMANDS_H

#include "cluster/cli.h"

extern const struct cli_command cli_config_show, cli_config_check;
extern const struct cli_command cli_secret_new, cli_secret_check;
extern const struct cli_command cli_daemon_master, cli_daemon_worker;
extern const struct cli_command cli_up;
extern const struct cli_command cli_status;
extern const struct cli_command cli_journal_dump, cli_verify, cli_backup, cli_restore, cli_recover,
    cli_migrate, cli_journal_bootstrap;
extern const struct cli_command cli_journal_group_status, cli_journal_group_members,
    cli_journal_group_elect, cli_journal_group_add, cli_journal_group_remove,
    cli_journal_group_replace, cli_journal_group_priority, cli_journal_group_snapshot;
extern const struct cli_command cli_zk_ls, cli_zk_get, cli_zk_stat, cli_zk_ping;
extern const struct cli_command cli_fs_ls, cli_fs_stat, cli_fs_cat, cli_fs_cp, cli_fs_put,
    cli_fs_get, cli_fs_mkdir, cli_fs_mv, cli_fs_rm, cli_fs_ln, cli_fs_du, cli_fs_df, cli_fs_load,
    cli_fs_free, cli_fs_location, cli_fs_refresh, cli_fs_unmount, cli_fs_chmod, cli_fs_verify;

/* can the file of cluster.secret_file be used, if one is set?  CLI_OK, or says why not */
/* Where several masters are configured: waits for one that leads, through an election; without one
 * says how they are.  CLI_OK or an exit code. */
int cli_journal_group_ready(const struct cli *c);
/* prints how they are */
void cli_journal_group_page(const struct cli *c);
int cli_secret_ready(const struct cli *c);

/* a free port of loopback, ours while this process runs; 0: none.  `wanted`, if that can be */
uint16_t cli_up_port(uint16_t wanted);
/* where the n-th process of a role, from 0, answers for health and metrics; false: nowhere */
bool cli_up_http(const struct config *g, const char *role, int n, char *to, size_t cap);

#endif
