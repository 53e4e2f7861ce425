/* net/net_denied.c - see net_denied.h. */
#include "net/net_denied.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fmt.h"

enum { NET_DENIED_USER = 64 };

/* its name if it has one: any thread may ask */
static const char *net_denied_user(char to[NET_DENIED_USER], uid_t id)
{
    char buf[2048];
    struct passwd p, *found = NULL;
    if (!getpwuid_r(id, &p, buf, sizeof buf, &found) && found)
        fmt_into(to, NET_DENIED_USER, "%.40s", p.pw_name);
    else
        fmt_into(to, NET_DENIED_USER, "user %u", (unsigned)id);
    return to;
}

static bool net_denied_say(int dir_fd, const char *root, const char *name, int err, char *to,
                           size_t cap)
{
    char path[PATH_MAX], theirs[NET_DENIED_USER], ours[NET_DENIED_USER];
    struct stat st;
    fmt_into(path, sizeof path, "%s%s%s", root, *name ? "/" : "", name);
    if (err == EROFS) {
        fmt_into(to, cap,
                 "%s is on a file system that is mounted read-only: mount it to be written", path);
        return true;
    }
    if (*name ? fstatat(dir_fd, name, &st, 0) : fstat(dir_fd, &st))
        return false;
    net_denied_user(theirs, st.st_uid);
    net_denied_user(ours, geteuid());
    unsigned mode = (unsigned)st.st_mode & 07777;
    if (st.st_uid == geteuid())
        fmt_into(to, cap,
                 "%s has mode %04o, which keeps its owner %s out, as whom this process "
                 "runs: chmod u+rw%s %s",
                 path, mode, ours, S_ISDIR(st.st_mode) ? "x" : "", path);
    else
        fmt_into(to, cap,
                 "%s belongs to %s (mode %04o), and this process runs as %s: chown %s%s %s, or run "
                 "it as %s",
                 path, theirs, mode, ours, S_ISDIR(st.st_mode) ? "-R " : "", ours, path, theirs);
    return true;
}

bool net_denied(int dir_fd, const char *root, const char *name, int wants, char *to, size_t cap)
{
    char part[PATH_MAX];
    size_t n = strlen(name);
    if (n >= sizeof part)
        return false;
    /* the directories on the way */
    if (faccessat(dir_fd, ".", *name ? X_OK : wants, AT_EACCESS))
        return errno != ENOENT && net_denied_say(dir_fd, root, "", errno, to, cap);
    for (size_t at = 0; at <= n && *name; at++) {
        if (name[at] && name[at] != '/')
            continue;
        fmt_into(part, sizeof part, "%.*s", (int)at, name);
        if (!faccessat(dir_fd, part, name[at] ? X_OK : wants, AT_EACCESS))
            continue;
        return errno != ENOENT && errno != ENOTDIR &&
               net_denied_say(dir_fd, root, part, errno, to, cap);
    }
    return false;
}
