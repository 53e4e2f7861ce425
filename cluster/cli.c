/* cluster/cli.c - parsing, help and errors for every command, from its row in the table. */
#include "cluster/cli.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "cluster/cli_touch.h"
#include "net/net.h"

static const struct cli_option cli_common[] = {
    {"help", 'h', NULL, "print this help"},
    {"json", 0, NULL, "print one JSON document instead of text"},
    {"quiet", 'q', NULL, "no progress on stderr"},
    {"config", 'c', "FILE", "configuration (default: $TARN_CONFIG; `tarn config show --defaults`)"},
    {"set", 0, "KEY=VALUE", "override one configuration key; may be repeated"},
    {"masters", 0, "HOST:PORT,...", "the cluster to talk to (client.masters)"},
};

/* the last error, for the document that --json prints when the command printed none */
static char cli_said[1024];
static int cli_said_code;
static bool cli_has_bar; /* the terminal's last line is a progress bar */

static size_t cli_option_count(const struct cli_command *cmd)
{
    size_t n = 0;
    while (n < CLI_OPTIONS_MAX && cmd->options[n].name)
        n++;
    return n;
}

/* what `own` means itself is left out */
static void cli_help_options(FILE *out, const struct cli_option *o, size_t n,
                             const struct cli_command *own)
{
    for (size_t i = 0; i < n; i++) {
        char left[64];
        bool is_own = false;
        for (size_t k = 0; own && k < cli_option_count(own); k++)
            is_own = is_own || !strcmp(own->options[k].name, o[i].name);
        if (is_own)
            continue;
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o[i].letter ? '-' : ' ',
                 o[i].letter ? o[i].letter : ' ', o[i].letter ? "," : " ", o[i].name,
                 o[i].arg ? " " : "", o[i].arg ? o[i].arg : "");
        fprintf(out, "  %-30s %s\n", left, o[i].help);
    }
}

static void cli_help(const struct cli_command *cmd)
{
    printf("usage: tarn %s%s%s [options]%s%s\n\n%s\n", cmd->group ? cmd->group : "",
           cmd->group ? " " : "", cmd->name, *cmd->operands ? " " : "", cmd->operands,
           cmd->summary);
    if (cmd->details)
        printf("\n%s\n", cmd->details);
    size_t n = cli_option_count(cmd);
    if (n) {
        printf("\noptions:\n");
        cli_help_options(stdout, cmd->options, n, NULL);
    }
    printf("\ncommon options:\n");
    cli_help_options(stdout, cli_common, ARRAY_LEN(cli_common), cmd);
    printf("\nexit status: 0 done, 1 failed, 2 usage, 3 nobody answered, 4 configuration, 5 wrong "
           "data\n");
}

static void cli_overview(FILE *out, const struct cli_command *const *commands, size_t n,
                         const char *group)
{
    fprintf(out, "usage: tarn %s%sCOMMAND [options] [operands]\n\n", group ? group : "",
            group ? " " : "");
    if (!group)
        fprintf(out, "A caching file system for AI and analytics data over an under-store.\n\n");
    for (size_t i = 0; i < n; i++) {
        const struct cli_command *c = commands[i];
        if (group && (!c->group || strcmp(c->group, group)))
            continue;
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", c->group ? c->group : "", c->group ? " " : "",
                 c->name);
        fprintf(out, "  %-18s %s\n", left, c->summary);
    }
    if (!group)
        fprintf(out, "  %-18s %s\n", "bench", "measure, beside a baseline; `tarn bench --help`");
    fprintf(out, "\n`tarn COMMAND --help` says more.  Start with `tarn up --help`.\n");
}

int cli_error(const struct cli *c, int code, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    if (cli_has_bar)
        fprintf(stderr, "\r\033[K");
    cli_has_bar = false;
    cli_said_code = code ? code : cli_said_code;
    fprintf(stderr, "tarn");
    if (c && c->command)
        fprintf(stderr, " %s%s%s", c->command->group ? c->command->group : "",
                c->command->group ? " " : "", c->command->name);
    fprintf(stderr, ": ");
    va_start(args, format);
    vsnprintf(cli_said, sizeof cli_said, format, args);
    va_end(args);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

const char *cli_error_text(void)
{
    return cli_said;
}

int cli_fail(const struct cli *c, const char *what, int err)
{
    switch (err) {
    case E_TIMEOUT:
    case E_REFUSED:
    case E_CLOSED:
    case E_UNAVAILABLE:
        if (!strcmp(what, "connecting"))
            return cli_error(c, CLI_UNREACHABLE, "%s: %s (masters: %s; is a master running there?)",
                             what, err_text(err), config_masters(c->config));
        return cli_error(c, CLI_UNREACHABLE,
                         "%s: %s (no master or worker answered in time; see tarn status)", what,
                         err_text(err));
    case E_CORRUPT:
        return cli_error(c, CLI_DATA, "%s: %s", what, err_text(err));
    case E_NOSPC:
        if (!strcmp(what, "connecting"))
            return cli_error(c, CLI_FAILED,
                             "%s: %s: the masters at %s take no new session while their journal is "
                             "full; free some space in master.dir, or journal.zk.shared_dir",
                             what, err_text(err), config_masters(c->config));
        return cli_error(c, CLI_FAILED, "%s: %s", what, err_text(err));
    case E_INVAL:
        return cli_error(c, CLI_FAILED, "%s: %s%s", *what ? what : "\"\"", err_text(err),
                         *what == '/' ? "" : " (a path in the cluster begins with /)");
    default:
        return cli_error(c, CLI_FAILED, "%s: %s", what, err_text(err));
    }
}

int cli_refused(const struct cli *c, const char *addr, int err)
{
    bool has = *config_str(c->config, CONFIG_CLUSTER_SECRET_FILE);
    const char *why = err == E_CONFIG ? "it is not a loopback address, and cluster.secret_file is "
                                        "not set"
                      : err != E_AUTH ? err_text(err)
                      : has
                          ? "it has another cluster secret than this command (`tarn secret check` "
                            "compares), or none"
                          : "it has a cluster secret, and cluster.secret_file is not set here";
    return cli_error(c, CLI_CONFIG, "%s %s: %s", addr,
                     err == E_CONFIG ? "may not be connected to" : "refuses this connection", why);
}

static char cli_wait_text[512];

static void cli_on_alarm(int number)
{
    (void)number;
    if (write(2, cli_wait_text, strlen(cli_wait_text)) < 0)
        return; /* it was only for a reader */
}

void cli_waiting(const struct cli *c, int64_t limit_ns)
{
    snprintf(cli_wait_text, sizeof cli_wait_text,
             "tarn: no master answers at %.300s yet; trying for %lld s\n",
             config_masters(c->config), (long long)(limit_ns / 1000000000));
    signal(SIGALRM, c->quiet || c->json ? SIG_IGN : cli_on_alarm);
    alarm(2);
}

void cli_waited(void)
{
    alarm(0);
}

static int cli_end_code;

static void cli_on_end(int number)
{
    static const char text[] = "tarn: the storage does not answer: what was begun there is left\n";
    (void)number;
    ssize_t n = cli_end_code && !*cli_said ? write(2, text, sizeof text - 1) : 0;
    (void)n; /* it was only for a reader */
    _exit(cli_end_code);
}

void cli_ending(int code)
{
    fflush(stdout); /* _exit does not */
    cli_end_code = code;
    signal(SIGALRM, cli_on_end);
    alarm(CLI_END_S);
}

void cli_net_close(struct net *net)
{
    cli_ending(cli_said_code ? cli_said_code : CLI_FAILED);
    net_close(net);
    alarm(0);
}

const char *cli_value(const struct cli *c, const char *name, const char *def)
{
    for (size_t i = 0; i < CLI_OPTIONS_MAX && c->command->options[i].name; i++)
        if (!strcmp(c->command->options[i].name, name))
            return c->value[i] ? c->value[i] : def;
    ASSERT(!"an option that the command does not have");
    return NULL;
}

bool cli_flag(const struct cli *c, const char *name)
{
    return cli_value(c, name, NULL) != NULL;
}

bool cli_number(const struct cli *c, const char *name, int64_t def, int64_t min, int64_t max,
                int64_t *ret_n)
{
    const char *text = cli_value(c, name, NULL);
    char *end;
    *ret_n = def;
    if (!text)
        return true;
    *ret_n = strtoll(text, &end, 10);
    if (end != text && !*end && *ret_n >= min && *ret_n <= max)
        return true;
    cli_error(c, CLI_USAGE, "--%s: \"%s\" is not a number from %lld to %lld", name, text,
              (long long)min, (long long)max);
    return false;
}

bool cli_size(const struct cli *c, const char *name, int64_t def, int64_t *ret_bytes)
{
    const char *text = cli_value(c, name, NULL);
    *ret_bytes = def;
    if (!text || config_parse_size(text, ret_bytes))
        return true;
    cli_error(c, CLI_USAGE, "--%s: \"%s\" is not a size like 64KiB or 10GiB", name, text);
    return false;
}

bool cli_duration(const struct cli *c, const char *name, int64_t def, int64_t *ret_ns)
{
    const char *text = cli_value(c, name, NULL);
    *ret_ns = def;
    if (!text || config_parse_duration(text, ret_ns))
        return true;
    cli_error(c, CLI_USAGE, "--%s: \"%s\" is not a duration like 500ms or 10s", name, text);
    return false;
}

/* the option that `word` ("--name[=value]" or "-x") names; *ret_common tells which table */
static const struct cli_option *cli_find(const struct cli_command *cmd, const char *word,
                                         bool *ret_common, const char **ret_inline)
{
    const char *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    *ret_inline = eq ? eq + 1 : NULL;
    for (int t = 0; t < 2; t++) {
        const struct cli_option *o = t ? cli_common : cmd->options;
        size_t count = t ? ARRAY_LEN(cli_common) : cli_option_count(cmd);
        for (size_t i = 0; i < count; i++) {
            bool is_long =
                word[1] == '-' && strlen(o[i].name) == n - 2 && !memcmp(o[i].name, word + 2, n - 2);
            bool is_short = word[1] != '-' && n == 2 && o[i].letter == word[1];
            if (is_long || is_short) {
                *ret_common = t;
                return &o[i];
            }
        }
    }
    return NULL;
}

static int cli_unknown_option(const struct cli *c, const char *word)
{
    const char *names[CLI_OPTIONS_MAX + ARRAY_LEN(cli_common)];
    size_t n = cli_option_count(c->command);
    for (size_t i = 0; i < n; i++)
        names[i] = c->command->options[i].name;
    for (size_t i = 0; i < ARRAY_LEN(cli_common); i++)
        names[n + i] = cli_common[i].name;
    const char *near =
        word[1] == '-' ? config_nearest(word + 2, names, n + ARRAY_LEN(cli_common)) : NULL;
    return cli_error(c, CLI_USAGE, "unknown option %s%s%s%s; --help lists all", word,
                     near ? ", did you mean --" : "", near ? near : "", near ? "?" : "");
}

static int cli_take_set(struct cli *c, const char *text)
{
    char key[128], err[CONFIG_ERROR_MAX];
    const char *eq = strchr(text, '=');
    if (!eq || (size_t)(eq - text) >= sizeof key)
        return cli_error(c, CLI_USAGE, "--set %s: must be KEY=VALUE", text);
    snprintf(key, sizeof key, "%.*s", (int)(eq - text), text);
    if (config_set(c->config, key, eq + 1, err, sizeof err))
        return cli_error(c, CLI_CONFIG, "--set: %s", err);
    return 0;
}

static int cli_load_config(struct cli *c, const char *const *sets, int n_sets, const char *masters)
{
    char err[CONFIG_ERROR_MAX];
    const char *env = getenv("TARN_CONFIG");
    if (!c->config_file && env && *env)
        c->config_file = env;
    if (c->command->reads_config)
        return 0;
    if (c->config_file && config_load(c->config, c->config_file, err, sizeof err))
        return cli_error(c, CLI_CONFIG, "%s%s", err,
                         c->config_file == env ? " (from $TARN_CONFIG; --config names another)"
                                               : "");
    if (masters && config_set(c->config, "client.masters", masters, err, sizeof err))
        return cli_error(c, CLI_CONFIG, "--masters: %s", err);
    for (int i = 0; i < n_sets; i++) {
        int bad = cli_take_set(c, sets[i]);
        if (bad)
            return bad;
    }
    if (config_check(c->config, err, sizeof err))
        return cli_error(c, CLI_CONFIG, "%s", err);
    return 0;
}

struct cli_parse {
    const char *sets[CLI_SETS_MAX], *masters;
    int n_sets;
};

/* one option, its value checked for presence; -1 to go on */
static int cli_take(struct cli *c, struct cli_parse *p, const struct cli_option *o, bool common,
                    const char *value)
{
    if (!common) {
        c->value[o - c->command->options] = o->arg ? value : "";
        return -1;
    }
    switch (o - cli_common) {
    case 0:
        cli_help(c->command);
        return CLI_OK;
    case 1:
        c->json = true;
        break;
    case 2:
        c->quiet = true;
        break;
    case 3:
        c->config_file = value;
        break;
    case 4:
        if (p->n_sets == CLI_SETS_MAX)
            return cli_error(c, CLI_USAGE, "more than %d --set", CLI_SETS_MAX);
        p->sets[p->n_sets++] = value;
        break;
    default:
        p->masters = value;
    }
    return -1;
}

/* "-lR", "-n3", "-n" "3": letters, the last of which may take the rest or the next word */
static int cli_take_letters(struct cli *c, struct cli_parse *p, const char *word, char *const *next,
                            bool *ret_used_next)
{
    const char *unused;
    bool common;
    for (const char *at = word + 1; *at; at++) {
        const char one[] = {'-', *at, 0}, *value = NULL;
        const struct cli_option *o = cli_find(c->command, one, &common, &unused);
        if (!o)
            return cli_unknown_option(c, word);
        if (o->arg) {
            *ret_used_next = !at[1];
            value = at[1] ? at + 1 : *next;
            if (!value)
                return cli_error(c, CLI_USAGE, "%s needs a value (%s)", one, o->arg);
        }
        int code = cli_take(c, p, o, common, value);
        if (code >= 0 || o->arg)
            return code;
    }
    return -1;
}

static int cli_take_word(struct cli *c, struct cli_parse *p, const char *word, char *const *next,
                         bool *ret_used_next)
{
    const char *value;
    bool common;
    const struct cli_option *o = cli_find(c->command, word, &common, &value);
    if (!o)
        return cli_unknown_option(c, word);
    if (!o->arg && value)
        return cli_error(c, CLI_USAGE, "--%s takes no value", o->name);
    if (o->arg && !value) {
        value = *next;
        *ret_used_next = true;
    }
    if (o->arg && !value)
        return cli_error(c, CLI_USAGE, "%s needs a value (%s)", word, o->arg);
    return cli_take(c, p, o, common, value);
}

/* argv after the command's name (ended by NULL): options into c, operands to the front of args;
 * -1 to go on */
static int cli_parse(struct cli *c, int argc, char **argv, struct cli_parse *p)
{
    bool only_operands = false;
    c->args = argv;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        bool used_next = false;
        if (only_operands || word[0] != '-' || !word[1]) {
            c->args[c->n_args++] = word;
            continue;
        }
        if (!strcmp(word, "--")) {
            only_operands = true;
            continue;
        }
        int code = word[1] == '-' ? cli_take_word(c, p, word, &argv[i + 1], &used_next)
                                  : cli_take_letters(c, p, word, &argv[i + 1], &used_next);
        if (code >= 0)
            return code;
        i += used_next;
    }
    return -1;
}

/* also of a command line that cannot be parsed up to there */
static bool cli_wants_json(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--json"))
            return true;
    return false;
}

/* what --json prints of a command that printed no document itself */
static void cli_json_end_of(int code)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddBoolToObject(j, "ok", code == CLI_OK);
    cJSON_AddNumberToObject(j, "status", code);
    if (code)
        cJSON_AddStringToObject(j, "error", cli_said);
    cli_print_json(j);
}

static int cli_run(struct cli *c, int argc, char **argv)
{
    struct cli_parse p = {.n_sets = 0};
    bool wants_json = cli_wants_json(argc, argv);
    int code = cli_parse(c, argc, argv, &p);
    if (code >= 0) {
        c->json = code != CLI_OK && wants_json; /* not with the help */
        return code;
    }
    if (c->n_args < c->command->args_min)
        return cli_error(c, CLI_USAGE, "needs %s; see --help", c->command->operands);
    if (c->command->args_max >= 0 && c->n_args > c->command->args_max)
        return cli_error(c, CLI_USAGE, "unexpected operand \"%s\"; see --help",
                         c->args[c->command->args_max]);
    code = cli_load_config(c, p.sets, p.n_sets, p.masters);
    code = code ? code : cli_touch_all(c);
    return code ? code : c->command->run(c);
}

static int cli_unknown_command(const struct cli_command *const *commands, size_t n,
                               const char *group, const char *word)
{
    const char *names[128] = {0};
    size_t n_names = 0;
    for (size_t i = 0; i < n && n_names < ARRAY_LEN(names); i++)
        if (group ? commands[i]->group && !strcmp(commands[i]->group, group) : !commands[i]->group)
            names[n_names++] = commands[i]->name;
    const char *near = config_nearest(word, names, n_names);
    if (*word == '-')
        return cli_error(NULL, CLI_USAGE, "%s: options come after the command: tarn %s%sCOMMAND %s",
                         word, group ? group : "", group ? " " : "", word);
    return cli_error(NULL, CLI_USAGE, "unknown command \"%s%s%s\"%s%s%s; `tarn --help` lists all",
                     group ? group : "", group ? " " : "", word, near ? ", did you mean \"" : "",
                     near ? near : "", near ? "\"?" : "");
}

/* `tarn help fs ls` is `tarn fs ls --help` */
static int cli_main_help(const struct cli_command *const *commands, size_t n, int argc, char **argv)
{
    static char flag[] = "--help";
    char **words = calloc((size_t)argc + 1, sizeof *words);
    ASSERT(words);
    words[0] = argv[0];
    memcpy(words + 1, argv + 2, (size_t)(argc - 2) * sizeof *words);
    words[argc - 1] = flag;
    int code = cli_main(commands, n, argc, words);
    free(words);
    return code;
}

int cli_main(const struct cli_command *const *commands, size_t n, int argc, char **argv)
{
    const char *group = NULL;
    int at = 1;
    if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version"))) {
        printf("tarn 0.1.0\n");
        return CLI_OK;
    }
    if (argc > 2 && !strcmp(argv[1], "help"))
        return cli_main_help(commands, n, argc, argv);
    for (size_t i = 0; at == 1 && argc > 1 && i < n; i++)
        if (commands[i]->group && !strcmp(commands[i]->group, argv[1])) {
            group = argv[1];
            at = 2;
        }
    bool asked = argc > at && (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h") ||
                               !strcmp(argv[at], "help"));
    if (argc <= at || asked) {
        cli_overview(asked ? stdout : stderr, commands, n, group);
        return asked ? CLI_OK : CLI_USAGE;
    }
    for (size_t i = 0; i < n; i++) {
        const struct cli_command *cmd = commands[i];
        if ((group ? !cmd->group || strcmp(cmd->group, group) : cmd->group != NULL) ||
            strcmp(cmd->name, argv[at]))
            continue;
        struct cli c = {.command = cmd, .program = argv[0], .config = config_new()};
        int code = cli_run(&c, argc - at - 1, argv + at + 1);
        if (c.json && !cli_has_printed())
            cli_json_end_of(code);
        config_free(c.config);
        if (fflush(stdout) && !code)
            code = cli_error(&c, CLI_FAILED, "standard output: %s", strerror(errno));
        return code;
    }
    int code = cli_unknown_command(commands, n, group, argv[at]);
    if (cli_wants_json(argc, argv))
        cli_json_end_of(code);
    return code;
}

const char *cli_bytes(char *buf, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    unsigned u = 0;
    double v = (double)bytes;
    while (v >= 1024 && u < ARRAY_LEN(units) - 1) {
        v /= 1024;
        u++;
    }
    snprintf(buf, 16, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return buf;
}

int64_t cli_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* a line that is wider than the terminal could not be written over */
static void cli_progress_put(const struct cli_progress *p, char *line, bool last)
{
    struct winsize w = {0};
    if (p->tty && !ioctl(2, TIOCGWINSZ, &w) && w.ws_col > 1 && strlen(line) >= w.ws_col)
        line[w.ws_col - 1] = 0;
    fprintf(stderr, "%s%s%s", p->tty ? "\r\033[K" : "", line, !p->tty || last ? "\n" : "");
    cli_has_bar = p->tty && !last;
    fflush(stderr);
}

static void cli_progress_show(struct cli_progress *p, bool last)
{
    char done[16], total[16], rate[16], eta[32] = "", line[256], bar[21];
    double s = (double)(cli_now_ns() - p->start_ns) / 1e9;
    double per_s = s > 0 ? (double)p->done / s : 0;
    unsigned long long items = p->items;
    const char *plural = items == 1 ? "" : "s";
    cli_bytes(done, p->done);
    cli_bytes(rate, (uint64_t)per_s);
    if (p->total && per_s > 0 && !last && p->done <= p->total)
        snprintf(eta, sizeof eta, ", ETA %.0f s", (double)(p->total - p->done) / per_s);
    if (!p->total && !p->done) {
        snprintf(line, sizeof line, "%s: %llu file%s, %.0f/s", p->what, items, plural,
                 s > 0 ? (double)items / s : 0);
    } else if (!p->total) {
        snprintf(line, sizeof line, "%s: %llu file%s, %s, %s/s", p->what, items, plural, done,
                 rate);
    } else {
        unsigned fill = (unsigned)(20 * base_min_u64(p->done, p->total) / p->total);
        for (unsigned i = 0; i < 20; i++)
            bar[i] = i < fill ? '=' : ' ';
        bar[20] = 0;
        snprintf(line, sizeof line, "%s [%s] %s of %s, %llu file%s, %s/s%s", p->what, bar, done,
                 cli_bytes(total, p->total), items, plural, rate, eta);
    }
    cli_progress_put(p, line, last);
}

void cli_progress_start(struct cli_progress *p, const struct cli *c, const char *what,
                        uint64_t total)
{
    memset(p, 0, sizeof *p);
    p->what = what;
    p->total = total;
    p->start_ns = p->last_ns = cli_now_ns();
    p->tty = isatty(2);
    p->quiet = c->quiet || c->json;
}

void cli_progress_add(struct cli_progress *p, uint64_t bytes, uint64_t items)
{
    p->done += bytes;
    p->items += items;
    int64_t now = cli_now_ns();
    if (p->quiet || now - p->last_ns < (p->tty ? 100000000LL : 2000000000LL))
        return;
    p->last_ns = now;
    cli_progress_show(p, false);
}

void cli_progress_end(struct cli_progress *p)
{
    /* silent when nothing was shown: a short job needs no line */
    if (!p->quiet && p->last_ns != p->start_ns)
        cli_progress_show(p, true);
}
