/* cluster/cli_notify.c - see cli_notify.h. */
#include "cluster/cli_notify.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool cli_notify_is_wanted(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    return name && (name[0] == '/' || name[0] == '@') && name[1];
}

bool cli_notify(const char *text)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *name = getenv("NOTIFY_SOCKET");
    size_t n = name ? strlen(name) : 0;
    if (!cli_notify_is_wanted() || n >= sizeof to.sun_path)
        return false;
    memcpy(to.sun_path, name, n);
    if (name[0] == '@') /* an abstract name begins with a zero byte, and does not end with one */
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    size_t len = strlen(text);
    ssize_t sent = sendto(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
    return sent == (ssize_t)len;
}

int64_t cli_notify_watchdog_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || !cli_notify_is_wanted() || (pid && atoll(pid) != (long long)getpid()))
        return 0;
    long long us = atoll(usec);
    return us > 0 && us < INT64_MAX / 1000 ? us * 1000 : 0;
}
