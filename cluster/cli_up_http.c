/* cluster/cli_up_http.c - where the processes of `tarn up` answer for health and metrics.
 *
 * What is configured counts its port up for each further process of a kind.  Else a free port is
 * taken and kept for as long as `tarn up` runs, also while the process is being started again: a
 * socket bound to it, with SO_REUSEADDR and not listening, lets a child that sets the same bind and
 * listen, and keeps the kernel from giving the port to anybody else. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cluster/cli_commands.h"

uint16_t cli_up_port(uint16_t wanted)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(wanted)};
    socklen_t n = sizeof a;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&a, n) || getsockname(fd, (struct sockaddr *)&a, &n)) {
        close(fd);
        return wanted ? cli_up_port(0) : 0;
    }
    return ntohs(a.sin_port); /* fd stays open on purpose */
}

bool cli_up_http(const struct config *g, const char *role, int n, char *to, size_t cap)
{
    const char *set = config_str(g, !strcmp(role, "master")   ? CONFIG_MASTER_HTTP
                                    : !strcmp(role, "worker") ? CONFIG_WORKER_HTTP
                                                              : CONFIG_MOUNT_HTTP);
    const char *colon = strrchr(set, ':');
    uint16_t port = 0;
    if (colon)
        snprintf(to, cap, "%.*s:%d", (int)(colon - set), set, atoi(colon + 1) + n);
    else if (config_int(g, CONFIG_UP_HTTP) && (port = cli_up_port(0)))
        snprintf(to, cap, "127.0.0.1:%u", (unsigned)port);
    else
        to[0] = 0;
    return to[0] != 0;
}
