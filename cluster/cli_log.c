/* cluster/cli_log.c - see cli_log.h.
 *
 * INVARIANTS
 *  1. A line is one write() to a descriptor opened for appending: lines of several threads and
 *     processes do not mix.
 *  2. The descriptor's number never changes: opening again puts the new file under it, so no
 *     writer needs a lock.
 *  3. Of one shape at most LOG_SHAPE lines are written in LOG_WINDOW_NS, of all together LOG_ALL;
 *     debug lines are not counted: who asks for them wants them.  What is held back is counted, and
 *     told of by shape while there is a place to remember it.
 *  4. A line that cannot be written (a full disk) is counted, and no reason to stop. */
#include "cluster/cli_log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/fmt.h"

enum { LOG_SHAPE = 20, LOG_ALL = 2000, LOG_LINE = 4096 };
static const int64_t LOG_WINDOW_NS = 10000000000LL;
static const char *const cli_log_levels[] = {"error", "warn", "info", "debug"};

/* ---- what is held back ---- */

/* numbers do not make a line another one */
static uint64_t cli_log_shape(enum env_log level, const char *line)
{
    uint64_t h = 14695981039346656037u + level;
    for (const char *p = line; *p; p++) {
        bool digit = *p >= '0' && *p <= '9';
        if (digit && p[1] >= '0' && p[1] <= '9')
            continue;
        h = (h ^ (uint8_t)(digit ? '0' : *p)) * 1099511628211u;
    }
    return h | 1;
}

/* its place, or one for it: a free one, or that of a shape of which nothing is untold */
static struct cli_log_shape *cli_log_place(struct cli_log_limit *m, uint64_t hash)
{
    struct cli_log_shape *free = NULL;
    for (unsigned i = 0; i < CLI_LOG_SHAPES; i++) {
        struct cli_log_shape *s = &m->shapes[i];
        if (s->hash == hash)
            return s;
        if (!s->held && (!free || !s->hash || (free->hash && s->since_ns < free->since_ns)))
            free = s;
    }
    if (free)
        *free = (struct cli_log_shape){.since_ns = INT64_MIN};
    return free;
}

bool cli_log_may(struct cli_log_limit *m, enum env_log level, const char *line, int64_t now_ns)
{
    if (level == ENV_LOG_DEBUG)
        return true;
    uint64_t hash = cli_log_shape(level, line);
    struct cli_log_shape *s = cli_log_place(m, hash);
    if (now_ns - m->since_ns >= LOG_WINDOW_NS) {
        m->since_ns = now_ns;
        m->n = 0;
    }
    if (!s) /* every place is taken by what is held back: it is a storm */
        return m->n++ < LOG_ALL;
    if (s->hash != hash || (!s->held && now_ns - s->since_ns >= LOG_WINDOW_NS)) {
        s->hash = hash;
        s->since_ns = now_ns;
        s->level = level;
        s->n = 0;
    }
    if (s->n < LOG_SHAPE && !s->held && m->n < LOG_ALL) {
        s->n++;
        m->n++;
        return true;
    }
    s->held++;
    fmt_into(s->sample, sizeof s->sample, "%s", line);
    return false;
}

bool cli_log_over(struct cli_log_limit *m, int64_t now_ns, struct cli_log_shape *ret_s)
{
    for (unsigned i = 0; i < CLI_LOG_SHAPES; i++) {
        struct cli_log_shape *s = &m->shapes[i];
        if (!s->held || now_ns - s->since_ns < LOG_WINDOW_NS)
            continue;
        *ret_s = *s;
        s->hash = 0;
        s->held = s->n = 0;
        return true;
    }
    return false;
}

/* ---- how a line looks ---- */

/* the bytes of one character of UTF-8, or 0 */
static size_t cli_log_utf8(const char *s)
{
    const uint8_t *p = (const uint8_t *)s;
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* as the inside of a JSON string; always whole characters */
static size_t cli_log_json(char *to, size_t cap, const char *s)
{
    size_t n = 0;
    while (*s && n + 8 < cap) {
        size_t len = cli_log_utf8(s);
        uint8_t c = (uint8_t)*s;
        if (!len)
            n += fmt_into(to + n, cap - n, "\\ufffd");
        else if (c < 0x20)
            n += fmt_into(to + n, cap - n, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            n += fmt_into(to + n, cap - n, "\\%c", c);
        else
            n += fmt_into(to + n, cap - n, "%.*s", (int)len, s);
        s += len ? len : 1;
    }
    return n;
}

/* a line must stay one: what would end it, or hide it on a terminal, is shown as '?' */
static void cli_log_plain(char *s)
{
    for (; *s; s++)
        if (((uint8_t)*s < 0x20 && *s != '\t') || *s == 0x7f)
            *s = '?';
}

size_t cli_log_format(const struct cli_log_config *cfg, enum env_log level, int64_t wall_ns,
                      const char *line, char *to, size_t cap)
{
    time_t s = (time_t)(wall_ns / 1000000000);
    int ms = (int)(wall_ns % 1000000000 / 1000000);
    struct tm tm;
    char stamp[32];
    size_t n;
    if (!cfg->is_json) {
        localtime_r(&s, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
        n = fmt_into(to, cap - 1, "%s.%03d %-5s %s%s%s: %s", stamp, ms, cli_log_levels[level],
                     cfg->role, *cfg->id ? " " : "", cfg->id, line);
        cli_log_plain(to);
    } else {
        gmtime_r(&s, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
        n = fmt_into(to, cap,
                     "{\"time\": \"%s.%03dZ\", \"level\": \"%s\", \"role\": \"%s\", \"id\": \"",
                     stamp, ms, cli_log_levels[level], cfg->role);
        n += cli_log_json(to + n, cap / 4, cfg->id);
        n += fmt_into(to + n, cap - n, "\", \"pid\": %d, \"message\": \"", (int)getpid());
        n += cli_log_json(to + n, cap - n - 4, line);
        n += fmt_into(to + n, cap - n, "\"}");
    }
    to[n++] = '\n';
    return n;
}

/* ---- writing ---- */

static void cli_log_write(struct cli_log *l, enum env_log level, const char *line)
{
    char text[LOG_LINE];
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    size_t n = cli_log_format(&l->cfg, level, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec, line,
                              text, sizeof text);
    ssize_t done;
    do
        done = write(l->fd, text, n);
    while (done < 0 && errno == EINTR);
    atomic_fetch_add(&l->lines, 1);
    atomic_fetch_add(&l->errors, level == ENV_LOG_ERROR);
    atomic_fetch_add(&l->warnings, level == ENV_LOG_WARN);
    atomic_fetch_add(&l->lost, done != (ssize_t)n);
}

static int64_t cli_log_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void cli_log_line(void *ctx, enum env_log level, const char *node, const char *line)
{
    struct cli_log *l = ctx;
    (void)node;
    if ((int)level > atomic_load(&l->level))
        return;
    pthread_mutex_lock(&l->lock);
    bool may = cli_log_may(&l->limit, level, line, cli_log_now_ns());
    pthread_mutex_unlock(&l->lock);
    if (may)
        cli_log_write(l, level, line);
    else
        atomic_fetch_add(&l->held, 1);
}

void cli_log_say(struct cli_log *l, enum env_log level, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    fmt_into_v(line, sizeof line, format, args);
    va_end(args);
    cli_log_line(l, level, NULL, line);
}

void cli_log_tick(struct cli_log *l)
{
    struct cli_log_shape s;
    char line[CLI_LOG_SAMPLE + 64];
    for (;;) {
        pthread_mutex_lock(&l->lock);
        bool is = cli_log_over(&l->limit, cli_log_now_ns(), &s);
        pthread_mutex_unlock(&l->lock);
        if (!is)
            return;
        fmt_into(line, sizeof line, "%u more lines like this one: %s", (unsigned)s.held, s.sample);
        cli_log_write(l, s.level, line);
    }
}

/* ---- the file ---- */

static int cli_log_file(const char *name)
{
    return open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

int cli_log_open(struct cli_log *l, const struct cli_log_config *cfg, char *err_to, size_t cap)
{
    memset(l, 0, sizeof *l);
    l->cfg = *cfg;
    atomic_init(&l->level, (int)cfg->level);
    l->fd = STDERR_FILENO;
    if (cfg->file && *cfg->file) {
        l->fd = cli_log_file(cfg->file);
        if (l->fd < 0) {
            fmt_into(err_to, cap, "log.file %s: %s", cfg->file, strerror(errno));
            return errno == EACCES ? E_ACCES : errno == ENOENT ? E_NOENT : E_IO;
        }
    }
    pthread_mutex_init(&l->lock, NULL);
    return 0;
}

void cli_log_close(struct cli_log *l)
{
    if (l->fd != STDERR_FILENO)
        close(l->fd);
    l->fd = STDERR_FILENO;
}

void cli_log_reopen(struct cli_log *l)
{
    if (l->fd == STDERR_FILENO)
        return;
    int fd = cli_log_file(l->cfg.file);
    if (fd < 0 || dup3(fd, l->fd, O_CLOEXEC) < 0)
        cli_log_say(l, ENV_LOG_ERROR,
                    "log.file %s cannot be opened again (%s): the old one goes on", l->cfg.file,
                    strerror(errno));
    else
        cli_log_say(l, ENV_LOG_INFO, "log opened again");
    if (fd >= 0)
        close(fd);
}

void cli_log_louder(struct cli_log *l, int by)
{
    int was = atomic_load(&l->level), now = was + by;
    now = now < ENV_LOG_ERROR ? ENV_LOG_ERROR : now > ENV_LOG_DEBUG ? ENV_LOG_DEBUG : now;
    atomic_store(&l->level, now);
    char line[64];
    fmt_into(line, sizeof line, "log.level is %s now", cli_log_levels[now]);
    cli_log_write(l, ENV_LOG_INFO, line);
}

void cli_log_text(struct cli_log *l, struct rpc_text *t)
{
    rpc_text_line(t, "log.level %s", cli_log_levels[atomic_load(&l->level)]);
    rpc_text_u64(t, "log.lines", atomic_load(&l->lines));
    rpc_text_u64(t, "log.errors", atomic_load(&l->errors));
    rpc_text_u64(t, "log.warnings", atomic_load(&l->warnings));
    rpc_text_u64(t, "log.held_back", atomic_load(&l->held));
    rpc_text_u64(t, "log.lost", atomic_load(&l->lost));
}
