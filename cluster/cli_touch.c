/* cluster/cli_touch.c - see cli_touch.h.
 *
 * The child says which directory comes next, and ends when all have answered.  It keeps no file of
 * ours open, no terminal and no lock: whoever waits for the end of our output does not wait for it.
 */
#include "cluster/cli_touch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cluster/config_zk.h"

enum { TOUCH_DIRS = 64, TOUCH_AGAIN_S = 60 };

struct touch {
    const char *dir[TOUCH_DIRS];
    unsigned n;
    char *text[TOUCH_DIRS]; /* that the names lie in */
    unsigned n_texts;
    pid_t child;
    int from; /* the child: numbers of directories, a byte each */
    unsigned at;
};

/* what commands do first, and what asks the server and not what the kernel remembers */
static void touch_one(const char *dir)
{
    char leaf[PATH_MAX], block[512];
    struct stat st;
    if (stat(dir, &st))
        return;
    DIR *d = S_ISDIR(st.st_mode) ? opendir(dir) : NULL;
    if (d) {
        readdir(d);
        closedir(d);
        snprintf(leaf, sizeof leaf, "%.4000s/fence", dir);
        dir = leaf;
    }
    int fd = open(dir, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, block, sizeof block);
    (void)n; /* it came back */
    close(fd);
}

static _Noreturn void touch_child(const struct touch *t, int to)
{
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (to > 3)
        close_range(3, (unsigned)to - 1, 0);
    close_range((unsigned)to + 1, ~0U, 0);
    for (unsigned i = 0; i < t->n; i++) {
        uint8_t at = (uint8_t)i;
        if (write(to, &at, 1) != 1)
            break;
        touch_one(t->dir[i]);
    }
    _exit(0);
}

static bool touch_begin(struct touch *t)
{
    int p[2];
    if (!t->n || pipe2(p, O_CLOEXEC))
        return false;
    fflush(NULL);
    t->child = fork();
    if (!t->child)
        touch_child(t, p[1]);
    close(p[1]);
    t->from = p[0];
    if (t->child < 0)
        close(p[0]);
    return t->child > 0;
}

/* false: nothing has come for so long; the directory at t->at is where it waits */
static bool touch_wait(struct touch *t, int64_t ns)
{
    int64_t until = cli_now_ns() + ns, left;
    while ((left = until - cli_now_ns()) > 0) {
        uint8_t at;
        struct pollfd f = {.fd = t->from, .events = POLLIN};
        if (poll(&f, 1, (int)(left / 1000000) + 1) <= 0)
            continue;
        if (read(t->from, &at, 1) != 1)
            return true;
        t->at = at;
    }
    return false;
}

static void touch_end(struct touch *t)
{
    kill(t->child, SIGKILL);
    close(t->from);
    for (int i = 0; i < 50 && !waitpid(t->child, NULL, WNOHANG); i++)
        usleep(1000);
}

static int touch_run(const struct cli *c, struct touch *t)
{
    int code = CLI_OK;
    if (!touch_begin(t))
        return CLI_OK;
    if (!touch_wait(t, CLI_TOUCH_S * 1000000000LL))
        code = cli_error(c, CLI_FAILED,
                         "%s does not answer (waited %d s): is the server that it is mounted from "
                         "there?  Nothing was begun; again when it answers",
                         t->dir[t->at], CLI_TOUCH_S);
    touch_end(t);
    return code;
}

int cli_touch(const struct cli *c, const char *dir)
{
    struct touch t = {.dir = {dir}, .n = *dir != 0};
    return touch_run(c, &t);
}

void cli_touch_patiently(const struct cli *c, const char *dir)
{
    struct touch t = {.dir = {dir}, .n = *dir != 0};
    bool is_late = false;
    if (!touch_begin(&t))
        return;
    while (!touch_wait(&t, (is_late ? TOUCH_AGAIN_S : CLI_TOUCH_S) * 1000000000LL)) {
        cli_error(c, 0,
                  "%s does not answer: waiting for it.  Is the server that it is mounted from "
                  "there?",
                  dir);
        is_late = true;
    }
    if (is_late)
        cli_error(c, 0, "%s answers", dir);
    touch_end(&t);
}

/* --- what a command is about to use --- */

static void touch_add(struct touch *t, const char *dir)
{
    if (*dir && t->n < TOUCH_DIRS)
        t->dir[t->n++] = dir;
}

/* "DIR", "TYPE:DIR", "TYPE:DIR,DIR,..." */
static void touch_add_list(struct touch *t, const char *spec)
{
    static const char *const types[] = {"local:", "raft:", "zk:", "backup:"};
    char *save = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(types); i++)
        if (!strncmp(spec, types[i], strlen(types[i]))) {
            spec += strlen(types[i]);
            break;
        }
    if (t->n_texts == TOUCH_DIRS)
        return;
    char *text = strdup(spec);
    ASSERT(text);
    t->text[t->n_texts++] = text;
    for (char *d = strtok_r(text, ",", &save); d; d = strtok_r(NULL, ",", &save))
        touch_add(t, d);
}

int cli_touch_all(const struct cli *c)
{
    static const char *const named[] = {"from", "to", "dir"};
    struct touch t = {.n = 0};
    bool is_own = c->command->touches == CLI_TOUCHES_OWN;
    if (c->command->touches == CLI_TOUCHES_NOTHING)
        return CLI_OK;
    for (int i = 0; i < c->n_args; i++)
        touch_add_list(&t, c->args[i]);
    for (size_t i = 0; i < CLI_OPTIONS_MAX && c->command->options[i].name; i++)
        for (size_t k = 0; k < ARRAY_LEN(named); k++)
            if (c->value[i] && !strcmp(c->command->options[i].name, named[k])) {
                touch_add_list(&t, c->value[i]);
                is_own = true;
            }
    if (is_own)
        touch_add(&t, config_str(c->config, config_zk_is(c->config) ? CONFIG_JOURNAL_ZK_SHARED_DIR
                                                                    : CONFIG_MASTER_DIR));
    int code = touch_run(c, &t);
    while (t.n_texts)
        free(t.text[--t.n_texts]);
    return code;
}
