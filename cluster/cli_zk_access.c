/* cluster/cli_zk_access.c - may this user do in the shared directory what a master does there?
 *
 * Masters that ran as another user, or a command that root gave, leave files behind that the others
 * find when they need them: an image that cannot be written, a log that cannot be read to its end.
 * So all that is there is tried at start, as far as modes tell. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_zk.h"
#include "net/net_denied.h"

enum { ACCESS_ENTRIES = 10000, ACCESS_DIR = R_OK | W_OK | X_OK }; /* more are not looked at */

struct access {
    const struct cli *cli;
    const char *dir;
    int fd;
    unsigned looked;
    char why[NET_DENIED];
};

static bool access_denied(struct access *a, const char *name, int wants)
{
    return net_denied(a->fd, a->dir, name, wants, a->why, sizeof a->why);
}

/* each name in `name` by fn; true: one is denied */
static bool access_each(struct access *a, const char *name,
                        bool (*fn)(struct access *a, const char *path, const char *leaf))
{
    char path[PATH_MAX];
    int fd = openat(a->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool is_denied = false;
    for (struct dirent *e; d && !is_denied && a->looked < ACCESS_ENTRIES && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        a->looked++;
        snprintf(path, sizeof path, "%s/%s", name, e->d_name);
        is_denied = fn(a, strncmp(path, "./", 2) ? path : path + 2, e->d_name);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return is_denied;
}

static bool access_file(struct access *a, const char *path, const char *leaf)
{
    (void)leaf;
    return access_denied(a, path, R_OK);
}

/* images/ID: others' are read, one's own is written */
static bool access_images(struct access *a, const char *path, const char *leaf)
{
    char own[24];
    snprintf(own, sizeof own, "%lld", (long long)config_int(a->cli->config, CONFIG_JOURNAL_ID));
    return access_denied(a, path, strcmp(leaf, own) != 0 ? R_OK | X_OK : ACCESS_DIR) ||
           access_each(a, path, access_file);
}

/* an old log is read, and then removed by whoever comes to it */
static bool access_log(struct access *a, const char *path, const char *leaf)
{
    return !strncmp(leaf, "log-", 4) &&
           (access_denied(a, path, ACCESS_DIR) || access_each(a, path, access_file));
}

int cli_zk_access(const struct cli *c, const char *dir)
{
    struct access a = {.cli = c, .dir = dir, .fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (a.fd < 0)
        return CLI_OK; /* who opens it says why */
    bool is_denied = access_denied(&a, "", ACCESS_DIR) || access_denied(&a, "fence", R_OK | W_OK) ||
                     access_denied(&a, "probe", ACCESS_DIR) ||
                     access_denied(&a, "images", ACCESS_DIR) ||
                     access_each(&a, "images", access_images) || access_each(&a, ".", access_log);
    close(a.fd);
    return is_denied ? cli_error(c, CLI_FAILED, "journal.zk.shared_dir: %s", a.why) : CLI_OK;
}
