/* tests/unit/test_cli_dir.c - what a master's directory is taken for. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cluster/cli_dir.h"
#include "tests/unit/unit.h"

static enum cli_dir_life life(const struct log_meta *m)
{
    static struct cli_dir d;
    static struct cli_dir_journal j;
    static uint8_t b[2 * LOG_BLOCK];
    char dir[] = "/tmp/tarn-test-XXXXXX", name[64];
    struct cli c = {.quiet = true};
    CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
    snprintf(name, sizeof name, "%s/journal.meta", dir);
    if (m) {
        memset(b, 0, sizeof b);
        memcpy(b, m, sizeof *m);
        log_format_seal(b, LOG_BLOCK, LOG_META_MAGIC);
        memcpy(b + LOG_BLOCK, b, LOG_BLOCK);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        CU_ASSERT_FATAL(fd >= 0 && write(fd, b, sizeof b) == sizeof b && !close(fd));
    }
    CU_ASSERT_EQUAL_FATAL(cli_dir_open(&d, &c, dir, CLI_DIR_LOOK), CLI_OK);
    enum cli_dir_life l = cli_dir_life(&d, &j);
    cli_dir_close(&d);
    unlink(name);
    rmdir(dir);
    return l;
}

/* What bootstrap was interrupted in, it goes on with; a member that was called into a group that
 * there is has nothing yet, either, and is not made the beginning of another one. */
static void test_who_was_called_is_not_being_made(void)
{
    struct log_meta m = {.cluster_hi = 1, .cluster_lo = 2, .member = 3, .disk = 4};
    CU_ASSERT_EQUAL(life(NULL), CLI_DIR_BLANK);
    CU_ASSERT_EQUAL(life(&m), CLI_DIR_BEGUN);
    m.is_guest = 1;
    CU_ASSERT_EQUAL(life(&m), CLI_DIR_USED);
    m.is_guest = 0;
    m.epoch = 1;
    CU_ASSERT_EQUAL(life(&m), CLI_DIR_USED);
    m.member = 0;
    CU_ASSERT_EQUAL(life(&m), CLI_DIR_BAD);
}

/* a pipe that nobody writes to: to open it for reading takes for ever */
static int hang(const char *dir)
{
    static struct cli_dir d;
    struct cli c = {.quiet = true};
    struct env_file *f = NULL;
    int code = cli_dir_open(&d, &c, dir, CLI_DIR_LOOK);
    if (code)
        return 99;
    env_open(net_env(d.net), "pipe", 0, &f, &d.op);
    usleep(200000);
    cli_error(&c, CLI_DATA, "%s", "as it should be");
    cli_dir_close(&d);
    return 98;
}

/* the command ends all the same, and with the status of what it has said */
static void test_storage_that_hangs_does_not_keep_a_command(void)
{
    char dir[] = "/tmp/tarn-test-XXXXXX", name[64];
    int status = 0, tries = 0;
    CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
    snprintf(name, sizeof name, "%s/pipe", dir);
    CU_ASSERT_FATAL(mkfifo(name, 0600) == 0);
    pid_t child = fork();
    if (!child)
        _exit(hang(dir));
    CU_ASSERT_FATAL(child > 0);
    while (!waitpid(child, &status, WNOHANG) && ++tries < 4 * CLI_END_S * 10)
        usleep(100000);
    if (tries == 4 * CLI_END_S * 10)
        kill(child, SIGKILL);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == CLI_DATA);
    CU_ASSERT(tries >= CLI_END_S * 5); /* it did hang */
    unlink(name);
    rmdir(dir);
}

UNIT_MAIN("cli_dir", UNIT(test_storage_that_hangs_does_not_keep_a_command),
          UNIT(test_who_was_called_is_not_being_made))
