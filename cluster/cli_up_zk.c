/* cluster/cli_up_zk.c - `tarn up --journal zk`: masters with one journal in a shared directory, and
 * a ZooKeeper server of the distribution's package to elect them, to try it out.
 *
 *   DIR/shared        the journal (journal.zk.shared_dir, if none is configured)
 *   DIR/zookeeper/    the server's configuration and data; it listens on loopback
 *   DIR/zk-master-N   locked by master N, else empty
 *
 * Where journal.zk.connect names an ensemble, none is started.  One's own keeps its port, as far as
 * that is free: so the configuration written before is still right.  Masters keep nothing of their
 * own, so any number of them may be started the next time. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_up.h"
#include "cluster/cli_zk.h"

enum { UP_ZK_TICK_MS = 200 };
static const char up_zk_jar[] = "/usr/share/java/zookeeper.jar";
static const char up_zk_jars[] = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";
static const char up_zk_path[] = "/tarn";

/* --- the server --- */

static bool up_zk_has_java(void)
{
    const char *p = getenv("PATH");
    char file[PATH_MAX];
    while (p && *p) {
        int n = (int)strcspn(p, ":");
        snprintf(file, sizeof file, "%.*s/java", n, p);
        if (!access(file, X_OK))
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static int up_zk_needs(const struct cli *c)
{
    bool has_java = up_zk_has_java();
    if (has_java && !access(up_zk_jar, R_OK))
        return CLI_OK;
    return cli_error(
        c, CLI_FAILED,
        "--journal zk starts a ZooKeeper server, and there is no %s here: apt-get "
        "install zookeeper default-jre-headless.  Or name an ensemble that runs: --set "
        "journal.zk.connect=HOST:PORT/PATH",
        has_java ? up_zk_jar : "java");
}

/* of the server that was configured here before; 0: none was */
static uint16_t up_zk_port_before(const struct cli_up *u)
{
    char path[PATH_MAX + 16], line[256];
    unsigned port = 0;
    snprintf(path, sizeof path, "%s/zoo.cfg", u->zk_dir);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "clientPort=", 11))
            port = (unsigned)atoi(line + 11);
    if (f)
        fclose(f);
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static void up_zk_connect(char to[64], uint16_t port)
{
    snprintf(to, 64, "127.0.0.1:%u%s", (unsigned)port, up_zk_path);
}

/* Only elections are in it, and the journal is safe without them: so it does not sync. */
static int up_zk_configure(struct cli_up *u)
{
    char path[PATH_MAX + 16];
    if (mkdir(u->zk_dir, 0755) && errno != EEXIST)
        return cli_error(u->cli, CLI_FAILED, "%s: %s", u->zk_dir, strerror(errno));
    snprintf(path, sizeof path, "%s/zoo.cfg", u->zk_dir);
    FILE *f = fopen(path, "we");
    bool ok = f && fprintf(f,
                           "# of `tarn up`: not for production\n"
                           "tickTime=%d\n"
                           "minSessionTimeout=%d\n"
                           "maxSessionTimeout=60000\n"
                           "dataDir=%s/data\n"
                           "clientPortAddress=127.0.0.1\n"
                           "clientPort=%u\n"
                           "admin.enableServer=false\n"
                           "autopurge.purgeInterval=1\n"
                           "4lw.commands.whitelist=srvr\n",
                           UP_ZK_TICK_MS, UP_ZK_TICK_MS, u->zk_dir, (unsigned)u->zk_port) > 0;
    if (f && fclose(f))
        ok = false;
    return ok ? CLI_OK : cli_error(u->cli, CLI_FAILED, "%s: %s", path, strerror(errno));
}

void cli_up_zk_plan(struct cli_up *u, struct cli_up_child *k)
{
    static const char *const argv[] = {"java",
                                       "-Dzookeeper.forceSync=no",
                                       "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                                       "-Xms32m",
                                       "-Xmx192m",
                                       "-XX:TieredStopAtLevel=1",
                                       "-XX:+UseSerialGC",
                                       "-cp",
                                       up_zk_jars,
                                       "org.apache.zookeeper.server.quorum.QuorumPeerMain"};
    static_assert(ARRAY_LEN(argv) + 2 <= UP_ARGS, "and its configuration, and the end");
    memset(k->argv, 0, sizeof k->argv);
    memcpy(k->argv, argv, sizeof argv);
    snprintf(k->sets[0], sizeof k->sets[0], "%s/zoo.cfg", u->zk_dir);
    k->argv[ARRAY_LEN(argv)] = k->sets[0];
    k->http[0] = 0;
    k->is_foreign = true;
}

/* it says whether it serves, by the four letters; a moment's patience */
bool cli_up_zk_is_ready(const struct cli_up *u)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(u->zk_port)};
    const struct timeval patience = {.tv_sec = 1};
    char text[1024] = "";
    size_t n = 0;
    ssize_t got = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_asked = fd >= 0 &&
                    !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) &&
                    !connect(fd, (struct sockaddr *)&a, sizeof a) && write(fd, "srvr", 4) == 4;
    while (is_asked && n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    if (fd >= 0)
        close(fd);
    return strstr(text, "Mode:") != NULL;
}

/* --- what lies here --- */

static bool up_zk_is_there(const char *dir)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/fence", dir);
    return !access(path, F_OK);
}

int cli_up_zk_none(const struct cli_up *u)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s/shared", u->dir);
    return up_zk_is_there(dir) ? cli_error(u->cli, CLI_FAILED,
                                           "%s has a ZooKeeper journal, and another kind of it "
                                           "would begin a new, empty cluster beside it: start it "
                                           "with --journal zk, name another --dir, or move it "
                                           "away.  Nothing was changed",
                                           dir)
                               : CLI_OK;
}

/* and the other way round */
static int up_zk_only(const struct cli_up *u)
{
    static char of[JOURNAL_MEMBERS_MAX][CLI_DIR_PATH];
    char base[PATH_MAX], meta[PATH_MAX + 16];
    snprintf(base, sizeof base, "%s/master", u->dir);
    snprintf(meta, sizeof meta, "%s/journal.meta", base);
    bool is_one = !access(meta, F_OK);
    if (!is_one && !cli_dir_members(base, of, ARRAY_LEN(of)))
        return CLI_OK;
    return cli_error(u->cli, CLI_FAILED,
                     "%s has the journal of a cluster of another kind (journal.type %s), and this "
                     "would begin a new, empty one beside it: start it without --journal, name "
                     "another --dir, or move it away.  Nothing was changed",
                     u->dir, is_one ? "local" : "raft");
}

/* --- what there is to be --- */

static int up_zk_members(struct cli_up *u)
{
    const struct cli *c = u->cli;
    struct config *g = c->config;
    char err[CONFIG_ERROR_MAX], list[JOURNAL_MEMBERS_MAX * (ENV_ADDR_MAX + 16)];
    const char *listen = config_str(g, CONFIG_MASTER_LISTEN), *colon = strrchr(listen, ':');
    int64_t n;
    uint32_t have;
    if (!cli_number(c, "masters", 0, 1, UP_MASTERS, &n))
        return CLI_USAGE;
    if (config_members_parse(config_str(g, CONFIG_JOURNAL_MEMBERS), u->member, &have, err,
                             sizeof err))
        return cli_error(c, CLI_CONFIG, "%s", err);
    if (have > UP_MASTERS)
        return cli_error(c, CLI_CONFIG, "journal.members: more than %d", UP_MASTERS);
    if (n > have && have)
        return cli_error(c, CLI_USAGE, "--masters %d: journal.members names %u", (int)n, have);
    if (!have) {
        size_t at = 0;
        n = n ? n : 3;
        for (int i = 0; i < n; i++)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%d@%.*s:%d", i ? "," : "", i + 1,
                                   (int)(colon - listen), listen, atoi(colon + 1) + i);
        if (config_set(g, "journal.members", list, err, sizeof err) ||
            config_members_parse(list, u->member, &have, err, sizeof err))
            return cli_error(c, CLI_USAGE, "--masters: %s", err);
    }
    u->n_members = n ? (uint32_t)n : have;
    return CLI_OK;
}

/* one that is named is there, and others are told of it by its whole name */
static int up_zk_shared(struct cli_up *u)
{
    struct config *g = u->cli->config;
    char path[PATH_MAX], err[CONFIG_ERROR_MAX];
    const char *dir = config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR);
    struct stat st;
    if (!*dir)
        return CLI_OK;
    if (!realpath(dir, path) || stat(path, &st))
        return cli_error(u->cli, CLI_FAILED,
                         "journal.zk.shared_dir %s: %s: it is not made; is the shared storage "
                         "mounted?",
                         dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return cli_error(u->cli, CLI_FAILED, "journal.zk.shared_dir %s: not a directory", dir);
    return config_set(g, "journal.zk.shared_dir", path, err, sizeof err)
               ? cli_error(u->cli, CLI_CONFIG, "%s", err)
               : CLI_OK;
}

int cli_up_zk(struct cli_up *u)
{
    const struct cli *c = u->cli;
    struct config *g = c->config;
    char err[CONFIG_ERROR_MAX], text[PATH_MAX], before[64];
    const char *connect = config_str(g, CONFIG_JOURNAL_ZK_CONNECT);
    u->is_zk = true;
    snprintf(u->zk_dir, sizeof u->zk_dir, "%s/zookeeper", u->dir);
    uint16_t port = up_zk_port_before(u);
    up_zk_connect(before, port);
    u->has_server = !*connect || (port && !strcmp(connect, before));
    int code = up_zk_only(u);
    if (!code && u->has_server)
        code = up_zk_needs(c);
    if (!code)
        code = up_zk_members(u);
    if (!code)
        code = up_zk_shared(u);
    if (code)
        return code;
    if (u->has_server) {
        u->zk_port = cli_up_port(port);
        up_zk_connect(text, u->zk_port);
        code = u->zk_port ? up_zk_configure(u) : cli_error(c, CLI_FAILED, "no port is free");
        if (code)
            return code;
        config_set(g, "journal.zk.connect", text, err, sizeof err);
    }
    if (!*config_str(g, CONFIG_JOURNAL_ZK_SHARED_DIR)) {
        snprintf(text, sizeof text, "%s/shared", u->dir);
        if (mkdir(text, 0755) && errno != EEXIST)
            return cli_error(c, CLI_FAILED, "%s: %s", text, strerror(errno));
        config_set(g, "journal.zk.shared_dir", text, err, sizeof err);
    }
    return config_check(g, err, sizeof err) ? cli_error(c, CLI_CONFIG, "%s", err) : CLI_OK;
}

int cli_up_zk_make(struct cli_up *u)
{
    const char *argv[] = {u->self,   "journal", "bootstrap", "--if-needed",
                          "--quiet", "-c",      u->config,   NULL};
    return cli_up_bootstrap(u, &u->child[u->has_server], argv)
               ? cli_error(u->cli, CLI_FAILED,
                           "the journal in %s could not be made; the same command again goes on",
                           config_str(u->cli->config, CONFIG_JOURNAL_ZK_SHARED_DIR))
               : CLI_OK;
}
