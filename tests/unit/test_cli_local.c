/* tests/unit/test_cli_local.c - a descriptor from a worker of this host: from whom it is taken. */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cluster/cli_local.h"
#include "tests/unit/unit.h"

/* a process of that user that has the name, and answers anything with n descriptors */
static pid_t answer(const char *name, uid_t uid, int n)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, from;
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(a.sun_path + 1, name + 1, strlen(name) - 1);
    CU_ASSERT_FATAL(!bind(s, (struct sockaddr *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))));
    pid_t pid = fork();
    if (pid) {
        close(s);
        return pid;
    }
    union {
        struct cmsghdr head;
        char b[CMSG_SPACE(3 * sizeof(int))];
    } control = {.b = {0}};
    uint64_t token, zero = 0;
    int fd[3];
    struct pollfd p = {.fd = s, .events = POLLIN};
    struct iovec iov = {&zero, sizeof zero};
    socklen_t len = sizeof from;
    if (uid != getuid() && setresuid(uid, uid, uid))
        _exit(1);
    for (int i = 0; i < 3; i++)
        fd[i] = open("/dev/null", O_RDONLY);
    if (poll(&p, 1, 20000) != 1 ||
        recvfrom(s, &token, sizeof token, 0, (struct sockaddr *)&from, &len) != sizeof token)
        _exit(1);
    struct msghdr m = {.msg_name = &from, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1};
    if (n) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
        memcpy(CMSG_DATA(c), fd, (size_t)n * sizeof(int));
    }
    _exit(sendmsg(s, &m, 0) != sizeof zero);
}

static int fetched(uid_t says, uid_t is, int n)
{
    char name[80];
    static unsigned count;
    int status;
    snprintf(name, sizeof name, "@tarn-test-%d-%u-%u", (int)getpid(), count++, (unsigned)says);
    pid_t pid = answer(name, is, n);
    int fd = cli_local_fetch(name, 7);
    CU_ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
    return fd;
}

/* the lowest descriptor that is free: they do not grow more */
static int lowest(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static void test_local_from_whom(void)
{
    uid_t us = getuid(), other = us ? us : 65534; /* as root we can be somebody else */
    int before = lowest(), fd = fetched(other, other, 1);
    struct stat st;
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(!fstat(fd, &st) && S_ISCHR(st.st_mode));
    close(fd);
    CU_ASSERT_EQUAL(fetched(us, us, 0), E_PROTO);
    fd = fetched(us, us, 3); /* one is taken, no other is kept */
    CU_ASSERT(fd >= 0);
    close(fd);
    CU_ASSERT_EQUAL(fetched(other + 1, other, 1), E_ACCES);
    CU_ASSERT_EQUAL(fetched(other + 1, other, 0), E_ACCES);
    if (!us) {
        fd = fetched(other, 0, 1); /* root may do anything here as it is */
        CU_ASSERT(fd >= 0);
        close(fd);
    }
    CU_ASSERT_EQUAL(cli_local_fetch("@tarn-test-no-user-", 7), E_PROTO);
    CU_ASSERT_EQUAL(cli_local_fetch("@tarn-test-no-user-1x", 7), E_PROTO);
    CU_ASSERT_EQUAL(lowest(), before);
}

UNIT_MAIN("cli_local", UNIT(test_local_from_whom))
