/* cluster/tarn_main.c - the program: the table of commands, and those that need FUSE or benchmarks.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "bench/bench.h"
#include "cluster/cli_daemon.h"
#include "cluster/cli_history.h"
#include "cluster/cli_local.h"
#include "cluster/cli_masters.h"
#include "core/fmt.h"
#include "fuse/fuse_mount.h"

static void panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "tarn: bug: %s:%d: %s; please report it with the lines above\n", file, line,
            what);
    fflush(NULL);
}

static void on_ready(void *ctx, const char *mountpoint)
{
    const struct cli *c = ctx;
    cli_waited();
    if (c->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "mount", mountpoint);
        cli_print_json(j);
    } else if (!c->quiet && !cli_flag(c, "ready-fd"))
        printf("mounted at %s; end it with `tarn umount %s`\n", mountpoint, mountpoint);
    fflush(stdout);
    cli_daemon_announce(c);
}

struct mount_daemon {
    struct cli_daemon d;
    struct fuse_mount *mount; /* while it is served */
};

static void mount_say(void *ctx, const char *text)
{
    struct mount_daemon *m = ctx;
    fmt_log(net_env(m->d.net), ENV_LOG_ERROR, "mount: %s", text);
}

static size_t mount_text(struct cli_daemon *d, char *to, size_t cap)
{
    struct mount_daemon *m = container_of(d, struct mount_daemon, d);
    return m->mount ? fuse_mount_status_text(m->mount, to, cap) : 0;
}

static int mount_run(struct cli *c)
{
    static struct cli_history history;
    const struct config *g = c->config;
    struct mount_daemon m = {.d.text = mount_text};
    struct client_config cc = client_config_default();
    struct fuse_mount_config mc = fuse_mount_config_default();
    char host[64] = "localhost", name[128], options[2048], err[CONFIG_ERROR_MAX];
    char kernel[CLI_LOCAL_TEXT];
    const char *extra = cli_value(c, "options", "");
    mc.mountpoint = c->args[0];
    snprintf(options, sizeof options, "%s%s%s", config_str(g, CONFIG_MOUNT_OPTIONS),
             *config_str(g, CONFIG_MOUNT_OPTIONS) && *extra ? "," : "", extra);
    mc.options = options;
    mc.no_passthrough = !config_int(g, CONFIG_MOUNT_PASSTHROUGH);
    mc.readahead_kb = (uint32_t)(config_int(g, CONFIG_MOUNT_READAHEAD) >> 10);
    mc.memory_bytes = (uint64_t)config_int(g, CONFIG_CLIENT_MEMORY);
    mc.memory_bytes -= config_net_share(mc.memory_bytes);
    mc.ready_fd = -1;
    mc.on_ready = on_ready;
    mc.ready_ctx = c;
    mc.ret_mount = &m.mount;
    mc.no_hangup = cli_watch_keeps_hangup(g);
    signal(SIGPIPE, SIG_IGN);
    int code = fuse_mount_check(&mc, err, sizeof err);
    if (code)
        return cli_error(c, code == FUSE_MOUNT_USAGE ? CLI_USAGE : CLI_FAILED, "%s", err);
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "mount %s:%s", host, c->args[0]);
    cc.masters = config_masters(g);
    cc.name = name;
    cc.host = host;
    cli_local_kernel(kernel);
    cc.kernel = kernel;
    cc.ufs = config_int(g, CONFIG_CLIENT_DIRECT) ? ufs_dir_factory() : NULL;
    cc.deadline_ns = config_int(g, CONFIG_CLIENT_DEADLINE);
    cc.read_any = config_int(g, CONFIG_CLIENT_READ_FROM) != 0;
    cc.readahead_pages = (uint32_t)config_int(g, CONFIG_CLIENT_READAHEAD);
    cc.buffer_bytes = config_share(g, CONFIG_CLIENT_BUFFER, CONFIG_CLIENT_MEMORY, 4);
    cc.page_cache_bytes = config_share(g, CONFIG_CLIENT_PAGE_CACHE, CONFIG_CLIENT_MEMORY, 2);
    cc.cache_entries = (uint32_t)config_int(g, CONFIG_CLIENT_CACHE_ENTRIES);
    code = cli_daemon_open(&m.d, c, "mount", NULL, config_int(g, CONFIG_CLIENT_MEMORY));
    if (code)
        return code;
    cli_masters_heed(c);
    history.say = mount_say;
    history.ctx = &m;
    cli_waiting(c, mc.start_timeout_ns);
    code = cli_history_of(c, &history,
                          cli_value(c, "history", config_str(g, CONFIG_CLIENT_HISTORY)), &cc);
    if (!code)
        code = fuse_mount_run(m.d.net, &cc, &mc);
    cli_waited();
    if (cc.tap && !cli_history_close(&history) && !code)
        code = FUSE_MOUNT_FAILED;
    cli_daemon_close(&m.d);
    return code == FUSE_MOUNT_NO_MASTER ? CLI_UNREACHABLE
           : code == FUSE_MOUNT_USAGE   ? CLI_USAGE
           : code                       ? CLI_FAILED
                                        : CLI_OK;
}

static const struct cli_command mount_command = {
    NULL,
    "mount",
    "DIR",
    "mount the cluster at a directory",
    "Serves until it is unmounted (`tarn umount DIR`, fusermount3 -u, umount) or gets SIGTERM.\n"
    "A request that no master or worker answers ends with an error after client.deadline.\n\n"
    "mount options (-o, and mount.options of the configuration):\n"
    "  attr_timeout=S entry_timeout=S negative_timeout=S\n"
    "      how long the kernel may keep attributes, names, missing names (60, 60, 5); never "
    "longer\n"
    "      than the master's lease\n"
    "  direct_io     no page cache in the kernel      kernel_cache  keep its pages at every open\n"
    "  max_read=BYTES readahead_kb=N max_background=N  of the kernel's requests\n"
    "  no_passthrough  the kernel never reads files from a worker's disk by itself\n"
    "  noxattr       no extended attributes           nonempty      over a directory with files\n"
    "  inner_mounts  containers mount something on directories in it (mounts of this host's own\n"
    "                namespace are seen without)\n"
    "  ro, rw, allow_other, allow_root, noatime, nodev, nosuid, noexec, sync, dirsync, "
    "fsname=TEXT\n"
    "      as everywhere; what a line of /etc/fstab also has (defaults, nofail, _netdev) is "
    "ignored",
    mount_run,
    1,
    1,
    {{"history", 0, "F", "append what is asked and answered to F, for `tarn-sim check-history`"},
     {"options", 'o', "OPT,...", "mount options: ro, allow_other, attr_timeout=S, direct_io, ..."},
     {"ready-fd", 0, "N", "write \"ready\" to this descriptor when mounted"}}};

static int umount_run(struct cli *c)
{
    char err[CONFIG_ERROR_MAX];
    if (fuse_mount_unmount(c->args[0], cli_flag(c, "lazy"), err, sizeof err))
        return cli_error(c, CLI_FAILED, "%s", err);
    return CLI_OK;
}

static const struct cli_command umount_command = {
    NULL,
    "umount",
    "DIR",
    "unmount it",
    NULL,
    umount_run,
    1,
    1,
    {{"lazy", 'z', NULL, "detach it now even if it is busy, or dead"}}};

int main(int argc, char **argv)
{
    static const struct cli_command *const commands[] = {&cli_up,
                                                         &cli_daemon_master,
                                                         &cli_daemon_worker,
                                                         &mount_command,
                                                         &umount_command,
                                                         &cli_status,
                                                         &cli_config_show,
                                                         &cli_config_check,
                                                         &cli_secret_new,
                                                         &cli_secret_check,
                                                         &cli_fs_ls,
                                                         &cli_fs_stat,
                                                         &cli_fs_cat,
                                                         &cli_fs_cp,
                                                         &cli_fs_put,
                                                         &cli_fs_get,
                                                         &cli_fs_mkdir,
                                                         &cli_fs_mv,
                                                         &cli_fs_rm,
                                                         &cli_fs_ln,
                                                         &cli_fs_du,
                                                         &cli_fs_df,
                                                         &cli_fs_load,
                                                         &cli_fs_free,
                                                         &cli_fs_location,
                                                         &cli_fs_refresh,
                                                         &cli_fs_unmount,
                                                         &cli_journal_dump,
                                                         &cli_verify,
                                                         &cli_backup,
                                                         &cli_restore,
                                                         &cli_recover,
                                                         &cli_migrate,
                                                         &cli_journal_bootstrap,
                                                         &cli_journal_group_status,
                                                         &cli_journal_group_members,
                                                         &cli_journal_group_elect,
                                                         &cli_journal_group_add,
                                                         &cli_journal_group_remove,
                                                         &cli_journal_group_replace,
                                                         &cli_journal_group_priority,
                                                         &cli_journal_group_snapshot,
                                                         &cli_zk_ls,
                                                         &cli_zk_get,
                                                         &cli_zk_stat,
                                                         &cli_zk_ping};
    base_panic_hook = panic;
    /* a standard descriptor that is closed must not be handed to the next open() */
    for (int fd = open("/dev/null", O_RDONLY); fd >= 0; fd = open("/dev/null", O_RDONLY))
        if (fd > 2) {
            close(fd);
            break;
        }
    /* benchmarks have their own options and tables */
    if (argc > 1 && !strcmp(argv[1], "bench"))
        return bench_main(argc - 2, argv + 2);
    if (argc == 3 && !strcmp(argv[1], "help") && !strcmp(argv[2], "bench")) {
        static char flag[] = "--help";
        return bench_main(1, (char *[]){flag, NULL});
    }
    return cli_main(commands, ARRAY_LEN(commands), argc, argv);
}
