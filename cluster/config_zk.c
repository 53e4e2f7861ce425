/* cluster/config_zk.c - journal.zk: what must hold there, and the credentials.
 *
 * A password that stands in the configuration itself is read by whoever reads that; so it may stand
 * in a file of its own, which nobody else may read. */
#include "cluster/config_zk.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

PRINTF_LIKE(3, 4) static int config_zk_fail(char *err, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err, cap, format, args);
    va_end(args);
    return E_CONFIG;
}

bool config_zk_is(const struct config *c)
{
    return !strcmp(config_str(c, CONFIG_JOURNAL_TYPE), "zk");
}

int config_zk_alone(const struct config *c, char *err, size_t cap)
{
    static const struct {
        enum config_id id;
        const char *key;
    } keys[] = {{CONFIG_JOURNAL_ZK_CONNECT, "journal.zk.connect"},
                {CONFIG_JOURNAL_ZK_SHARED_DIR, "journal.zk.shared_dir"},
                {CONFIG_JOURNAL_ZK_AUTH, "journal.zk.auth"}};
    for (size_t i = 0; i < ARRAY_LEN(keys) && !config_zk_is(c); i++)
        if (*config_str(c, keys[i].id))
            return config_zk_fail(err, cap,
                                  "%s is set, but journal.type is %s: set it to zk, or leave that "
                                  "out",
                                  keys[i].key, config_str(c, CONFIG_JOURNAL_TYPE));
    return 0;
}

static bool config_zk_is_digest(const char *s)
{
    const char *colon = strchr(s, ':');
    return colon && colon > s && colon[1] && strlen(s) <= ZK_AUTH_BYTES;
}

int config_zk_check(const struct config *c, char *err, size_t cap)
{
    const char *connect = config_str(c, CONFIG_JOURNAL_ZK_CONNECT);
    const char *dir = config_str(c, CONFIG_JOURNAL_ZK_SHARED_DIR);
    const char *auth = config_str(c, CONFIG_JOURNAL_ZK_AUTH);
    static struct zk_address a;
    char why[CONFIG_ERROR_MAX / 2];
    if (!config_zk_is(c))
        return 0;
    if (!*connect)
        return config_zk_fail(err, cap,
                              "journal.type is zk: journal.zk.connect must name the ZooKeeper "
                              "servers, like \"h1:2181,h2:2181,h3:2181/tarn\"");
    if (zk_address_parse(connect, &a, why, sizeof why))
        return config_zk_fail(err, cap, "journal.zk.connect: %s", why);
    if (!*dir)
        return config_zk_fail(err, cap,
                              "journal.type is zk: journal.zk.shared_dir must name the directory "
                              "of the journal, which all masters share");
    if (*dir != '/')
        return config_zk_fail(err, cap,
                              "journal.zk.shared_dir: \"%.200s\" must begin with /: it is the same "
                              "for every master, wherever that was started",
                              dir);
    if (*auth && *auth != '/' && !config_zk_is_digest(auth))
        return config_zk_fail(err, cap,
                              "journal.zk.auth: neither USER:PASSWORD (at most %d bytes) nor the "
                              "absolute path of a file that has it",
                              ZK_AUTH_BYTES);
    return 0;
}

int config_zk_auth(const struct config *c, char to[CONFIG_ZK_AUTH], char *err, size_t cap)
{
    const char *auth = config_str(c, CONFIG_JOURNAL_ZK_AUTH);
    char line[CONFIG_ZK_AUTH + 8] = "";
    struct stat st = {0};
    if (*auth != '/') {
        snprintf(to, CONFIG_ZK_AUTH, "%s", auth);
        return 0;
    }
    FILE *f = fopen(auth, "re");
    if (!f)
        return config_zk_fail(err, cap, "journal.zk.auth: %s: %s", auth, strerror(errno));
    bool is_open = fstat(fileno(f), &st) || (st.st_mode & 037);
    bool has_line = fgets(line, sizeof line, f);
    fclose(f);
    line[strcspn(line, "\r\n")] = 0;
    if (is_open)
        return config_zk_fail(err, cap,
                              "journal.zk.auth: %s has mode %04o, so others may read it: chmod "
                              "0600 %s",
                              auth, (unsigned)st.st_mode & 07777, auth);
    if (!has_line || !config_zk_is_digest(line))
        return config_zk_fail(err, cap,
                              "journal.zk.auth: %s has not one line USER:PASSWORD of at most %d "
                              "bytes",
                              auth, ZK_AUTH_BYTES);
    snprintf(to, CONFIG_ZK_AUTH, "%.*s", ZK_AUTH_BYTES, line);
    return 0;
}
