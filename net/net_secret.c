/* net/net_secret.c - reads and makes the file of the cluster secret.
 *
 * Invariants:
 *  1. A file that others may read is refused: its bytes are a secret no more.  A group may read it
 *     (a service's), nobody but the owner may write it.
 *  2. A secret is 32 to 128 printable characters without blanks, taken as they are.  `#` begins a
 *     comment line.  No message ever shows one.
 *
 * Format: text, so that a person can look at it and any tool can distribute it. */
#include "net/net_secret.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "net/net_auth.h"
#include "net/net_errno.h"

enum { NET_SECRET_FILE_MAX = 4096, NET_SECRET_FRESH = 32 /* random bytes, written as hex */ };

void net_secret_wipe(struct net_secrets *s)
{
    explicit_bzero(s, sizeof *s);
}

static int net_secret_line(const char *line, size_t n, struct net_secrets *s, char *err, size_t cap)
{
    if (s->n == 2) {
        snprintf(err, cap, "more than two secrets: one, or two while it is being changed");
        return E_CONFIG;
    }
    for (size_t i = 0; i < n; i++)
        if (line[i] <= ' ' || line[i] > '~') {
            snprintf(err, cap, "a secret has printable ASCII characters only, without blanks");
            return E_CONFIG;
        }
    if (n < NET_SECRET_MIN || n > NET_SECRET_MAX) {
        snprintf(err, cap, "a secret has %d to %d characters, not %zu", NET_SECRET_MIN,
                 NET_SECRET_MAX, n);
        return E_CONFIG;
    }
    memcpy(s->key[s->n], line, n);
    s->len[s->n++] = (uint8_t)n;
    return 0;
}

int net_secret_parse(const char *text, size_t n, struct net_secrets *ret_s, char *err, size_t cap)
{
    int bad = 0;
    memset(ret_s, 0, sizeof *ret_s);
    for (size_t at = 0; at < n && !bad;) {
        const char *line = text + at, *nl = memchr(line, '\n', n - at);
        size_t len = nl ? (size_t)(nl - line) : n - at;
        at += len + 1;
        if (len && line[len - 1] == '\r')
            len--;
        if (len && *line != '#')
            bad = net_secret_line(line, len, ret_s, err, cap);
    }
    if (!bad && !ret_s->n) {
        snprintf(err, cap, "there is no secret in it");
        bad = E_CONFIG;
    }
    if (bad) {
        net_secret_wipe(ret_s);
    } else if (ret_s->n == 1) {
        memcpy(ret_s->key[1], ret_s->key[0], NET_SECRET_MAX);
        ret_s->len[1] = ret_s->len[0];
    }
    return bad;
}

int net_secret_load(const char *path, struct net_secrets *ret_s, char *err, size_t cap)
{
    char text[NET_SECRET_FILE_MAX + 1], why[160] = "";
    struct stat st;
    int ret = E_CONFIG;
    memset(ret_s, 0, sizeof *ret_s);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        ret = errno == ENOENT ? E_NOENT : E_ACCES;
        snprintf(why, sizeof why, "%s%s", strerror(errno),
                 errno == ENOENT ? "; `tarn secret new FILE` makes one" : "");
    } else if (!S_ISREG(st.st_mode)) {
        snprintf(why, sizeof why, "not a file");
    } else if (st.st_mode & 037) {
        ret = E_ACCES;
        snprintf(why, sizeof why,
                 "mode %04o lets others at it: chmod 600 (or 640 for the group of a service)",
                 (unsigned)st.st_mode & 07777);
    } else {
        ssize_t n = read(fd, text, sizeof text);
        if (n < 0)
            snprintf(why, sizeof why, "%s", strerror(errno));
        else if (n > NET_SECRET_FILE_MAX)
            snprintf(why, sizeof why, "larger than %d bytes", NET_SECRET_FILE_MAX);
        else
            ret = net_secret_parse(text, (size_t)n, ret_s, why, sizeof why);
        explicit_bzero(text, sizeof text);
    }
    if (fd >= 0)
        close(fd);
    if (ret)
        snprintf(err, cap, "the cluster secret %.300s: %s", path, why);
    return ret;
}

int net_secret_make(const char *path, char *err, size_t cap)
{
    uint8_t fresh[NET_SECRET_FRESH];
    char text[2 * NET_SECRET_FRESH + 2];
    int ret = 0;
    if (getrandom(fresh, sizeof fresh, 0) != sizeof fresh) {
        snprintf(err, cap, "no random bytes: %s", strerror(errno));
        return E_IO;
    }
    for (size_t i = 0; i < sizeof fresh; i++)
        snprintf(text + 2 * i, 3, "%02x", fresh[i]);
    memcpy(text + 2 * sizeof fresh, "\n", 2);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1 || fsync(fd)) {
        ret = net_errno_to_err(errno);
        snprintf(err, cap, "%.300s: %s", path, strerror(errno));
        if (fd >= 0)
            unlink(path);
    }
    if (fd >= 0)
        close(fd);
    explicit_bzero(fresh, sizeof fresh);
    explicit_bzero(text, sizeof text);
    return ret;
}

void net_secret_print(const struct net_secrets *s, unsigned i, char ret_text[17])
{
    static const char label[] = "tarn fingerprint";
    uint8_t mac[NET_FRAME_MAC];
    net_auth_mac(s, i, label, sizeof label, NULL, 0, NULL, 0, mac);
    for (unsigned k = 0; k < 8; k++)
        snprintf(ret_text + 2 * (size_t)k, 3, "%02x", mac[k]);
}
