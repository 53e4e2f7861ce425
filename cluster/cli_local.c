/* cluster/cli_local.c - see cluster/cli_local.h. */
#include "cluster/cli_local.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "net/net_errno.h"

enum { CLI_LOCAL_BATCH = 16 };

struct cli_local_answer {
    int32_t err;
    uint32_t zero;
};

union cli_local_control { /* aligned room for a descriptor and credentials */
    struct cmsghdr head;
    char fd[CMSG_SPACE(sizeof(int))];
    char both[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

void cli_local_kernel(char to[CLI_LOCAL_TEXT])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, to, CLI_LOCAL_TEXT - 1);
    if (fd >= 0)
        close(fd);
    to[n > 0 ? n : 0] = 0;
    to[strcspn(to, "\n")] = 0;
}

/* "@text" is the abstract name text; ret: bytes of the address */
static socklen_t cli_local_addr(const char *text, struct sockaddr_un *ret_a)
{
    size_t n = strlen(text);
    memset(ret_a, 0, sizeof *ret_a);
    ret_a->sun_family = AF_UNIX;
    if (n < 2 || n >= sizeof ret_a->sun_path || text[0] != '@')
        return 0;
    memcpy(ret_a->sun_path + 1, text + 1, n - 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

/* Whose process sent it: root's or uid's?  *ret_fd: a descriptor that came with it, or -1; more
 * than one are closed. */
static bool cli_local_is_from(struct msghdr *m, uid_t uid, int *ret_fd)
{
    struct ucred who;
    bool is = false;
    *ret_fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
            c->cmsg_len == CMSG_LEN(sizeof who)) {
            memcpy(&who, CMSG_DATA(c), sizeof who);
            is = who.uid == 0 || who.uid == uid;
        }
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
            if (*ret_fd >= 0)
                close(fd);
            else
                *ret_fd = fd;
        }
    }
    return is;
}

/* --- the worker's side --- */

static uint64_t cli_local_stamp(struct worker_edge *e, const char *name)
{
    struct cli_local *l = container_of(e, struct cli_local, edge);
    struct stat st;
    if (fstatat(l->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return 0;
    uint64_t at = (uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec;
    return base_mix_u64(st.st_ino ^ base_mix_u64(at)) | 1;
}

static int cli_local_file(struct cli_local *l, uint64_t token)
{
    char name[ENV_NAME_MAX];
    uint64_t size;
    struct stat st;
    if (!l->worker || !worker_local_name(l->worker, token, name, sizeof name, &size))
        return E_NOENT;
    int fd = openat(l->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return net_errno_to_err(errno);
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
        return fd;
    close(fd);
    return E_CORRUPT;
}

static void cli_local_reply(struct cli_local *l, struct sockaddr_un *to, socklen_t to_len, int fd)
{
    struct cli_local_answer a = {.err = fd < 0 ? fd : 0};
    union cli_local_control control = {.both = {0}};
    struct iovec iov = {&a, sizeof a};
    struct msghdr m = {.msg_name = to, .msg_namelen = to_len, .msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof control.fd;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    /* who has gone, or does not read, asked in vain */
    (void)!sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (fd >= 0)
        close(fd);
}

static void cli_local_readable(uv_poll_t *p, int status, int events)
{
    struct cli_local *l = p->data;
    (void)status, (void)events;
    for (int i = 0; i < CLI_LOCAL_BATCH; i++) {
        uint64_t token = 0;
        struct sockaddr_un from;
        union cli_local_control control;
        struct iovec iov = {&token, sizeof token};
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof from,
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
        ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return;
        int sent;
        bool ok = cli_local_is_from(&m, geteuid(), &sent) && n == (ssize_t)sizeof token;
        if (sent >= 0)
            close(sent);
        if (m.msg_namelen <= offsetof(struct sockaddr_un, sun_path))
            continue; /* nobody to answer */
        cli_local_reply(l, &from, m.msg_namelen, ok ? cli_local_file(l, token) : E_ACCES);
    }
}

int cli_local_open(struct cli_local *l, struct net *n, const char *dir)
{
    uint64_t random = 0;
    struct sockaddr_un a;
    int on = 1;
    memset(l, 0, sizeof *l);
    l->fd = l->dir_fd = -1;
    cli_local_kernel(l->host);
    if (!l->host[0] || getrandom(&random, sizeof random, 0) != sizeof random)
        return E_NOTSUP;
    snprintf(l->address, sizeof l->address, "@tarn-worker-%016llx-%u", (unsigned long long)random,
             (unsigned)getuid());
    socklen_t len = cli_local_addr(l->address, &a);
    l->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    l->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->dir_fd < 0 || l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ||
        bind(l->fd, (struct sockaddr *)&a, len) || uv_poll_init(net_uv(n), &l->poll, l->fd)) {
        int err = net_errno_to_err(errno);
        close(l->fd);
        close(l->dir_fd);
        l->fd = l->dir_fd = -1;
        return err ? err : E_IO;
    }
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, cli_local_readable);
    l->edge = (struct worker_edge){l->host, l->address, cli_local_stamp};
    return 0;
}

void cli_local_close(struct cli_local *l)
{
    if (!l->edge.stamp)
        return;
    uv_loop_t *loop = l->poll.loop;
    uv_close((uv_handle_t *)&l->poll, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    close(l->fd);
    close(l->dir_fd);
    memset(l, 0, sizeof *l);
}

/* --- the mount's side --- */

/* what came from uid's process, or root's */
static int cli_local_receive(int s, uid_t uid)
{
    struct cli_local_answer a = {0};
    union cli_local_control control;
    struct iovec iov = {&a, sizeof a};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(s, &m, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN ? E_TIMEOUT : net_errno_to_err(errno);
    int fd;
    bool is_worker = cli_local_is_from(&m, uid, &fd);
    int err = !is_worker               ? E_ACCES
              : n != (ssize_t)sizeof a ? E_PROTO
              : a.err < 0              ? err_checked(a.err)
                                       : 0;
    if (!err && fd < 0)
        err = E_PROTO;
    if (err && fd >= 0)
        close(fd);
    return err ? err : fd;
}

int cli_local_fetch(const char *address, uint64_t token)
{
    struct sockaddr_un a, us = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 1};
    const char *user = strrchr(address, '-');
    char *end = NULL;
    uid_t uid = user ? (uid_t)strtoul(user + 1, &end, 10) : 0;
    int on = 1;
    socklen_t len = cli_local_addr(address, &a);
    if (!len || !user || end == user + 1 || *end)
        return E_PROTO;
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return net_errno_to_err(errno);
    int ret;
    /* a name of our own, chosen by the kernel; connected, so that nobody else can answer */
    if (bind(s, (struct sockaddr *)&us, sizeof us.sun_family) ||
        setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ||
        setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ||
        connect(s, (struct sockaddr *)&a, len) ||
        send(s, &token, sizeof token, MSG_NOSIGNAL) != sizeof token)
        ret = net_errno_to_err(errno);
    else
        ret = cli_local_receive(s, uid);
    close(s);
    return ret;
}
