/* sim/tarn_sim_words.c - words of the command line: which option is of which command, numbers and
 * times, and what is said to who errs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/fmt.h"
#include "sim/lab_word.h"
#include "sim/tarn_sim.h"

/* Every option and the commands that take it; each command's own text says what it is there. */
static const struct {
    const char *option, *commands;
} options[] = {
    {"--seed", " run points shrink elections diff "},
    {"--set", " run seeds keys campaign shrink elections diff "},
    {"--sweep", " campaign "},
    {"--other", " diff "},
    {"--mutant", " run seeds points campaign shrink diff "},
    {"--twice", " run campaign "},
    {"--first", " seeds campaign "},
    {"--json", " run campaign merge shrink check-history list diff "},
    {"--plant", " run campaign "},
    {"--until", " run diff "},
    {"--stop-at-event", " run "},
    {"--branch", " run "},
    {"--vary", " run "},
    {"--log", " run "},
    {"--trace", " run "},
    {"--history", " run "},
    {"--timeline", " run "},
    {"--from", " seeds "},
    {"--to", " seeds "},
    {"--stride", " points "},
    {"--at", " points "},
    {"--at2", " points "},
    {"--mode", " points "},
    {"--seeds", " campaign "},
    {"--db", " campaign report shrink "},
    {"--jobs", " campaign "},
    {"--shard", " campaign "},
    {"--budget", " campaign shrink "},
    {"--seed-timeout", " campaign "},
    {"--marks", " campaign merge "},
    {"--excuse", " campaign merge report "},
    {"--quiet", " campaign shrink check-history "},
    {"--same-sources", " merge "},
    {"--text", " report "},
    {"--out", " shrink "},
    {"--record", " shrink "},
    {"--scenario", " shrink "},
    {"--model", " check-history "},
    {"--steps", " check-history "},
    {"--memory", " check-history "},
    {"--html", " check-history "},
    {"--schema", " list "},
    {"--trials", " elections "},
    {"--keys", " elections "},
    {"--worker", " campaign "}, /* a campaign's own: nobody is told of it */
};

static bool takes(size_t option, const char *command)
{
    char word[40];
    fmt_into(word, sizeof word, " %s ", command);
    return strstr(options[option].commands, word);
}

bool tarn_sim_takes(const char *command, const char *option)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (!strcmp(option, options[i].option))
            return takes(i, command);
    return !strcmp(option, "--help") || !strcmp(option, "-h");
}

int tarn_sim_unknown_option(const char *command, const char *option)
{
    const char *near[ARRAY_LEN(options)], *of = NULL;
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (!strcmp(option, options[i].option))
            of = options[i].commands;
        if (takes(i, command) && strcmp(options[i].option, "--worker") != 0)
            near[n++] = options[i].option;
    }
    if (!of)
        return tarn_sim_unknown("option", option, near, n);
    tarn_sim_say("%s is no option of %s, but of%.*s; %s takes", option, command,
                 (int)strlen(of) - 1, of, command);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%s %s", i ? "," : "", near[i]);
    fprintf(stderr, n ? " (see --help)\n" : " none\n");
    return EXIT_USAGE;
}

/* ---- what is said ---- */

void tarn_sim_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", tarn_sim_name());
    vfprintf(stderr, format, args);
    va_end(args);
}

int tarn_sim_unknown(const char *what, const char *word, const char *const *names, size_t n)
{
    const char *near = lab_word_near(word, names, n);
    tarn_sim_say("unknown %s %s%s%s%s (see --help)\n", what, word, near ? "; did you mean " : "",
                 near ? near : "", near ? "?" : "");
    return EXIT_USAGE;
}

int tarn_sim_bad(const char *what, const char *arg)
{
    tarn_sim_say("%s %s (see --help)\n", what, arg ? arg : "");
    return EXIT_USAGE;
}

int tarn_sim_bad_value(const char *option, const char *v)
{
    static const char *const times[] = {"--until", "--branch", "--budget", "--seed-timeout"};
    bool is_bare = v && *v && !v[strspn(v, "0123456789")];
    for (size_t i = 0; i < ARRAY_LEN(times) && is_bare; i++)
        if (!strcmp(option, times[i]) && v[strspn(v, "0")]) {
            tarn_sim_say("%s %s: a time needs a unit, like %ss or %sms\n", option, v, v, v);
            return EXIT_USAGE;
        }
    bool is_shard = v && !strcmp(option, "--shard");
    tarn_sim_say("missing or bad value of %s%s%s%s (see --help)\n", option, v ? ": " : "",
                 v ? v : "", is_shard ? ": of N parts the first is 0/N, the last N-1/N" : "");
    return EXIT_USAGE;
}

/* ---- numbers, times, words for a shell ---- */

bool tarn_sim_number(const char *s, uint64_t *ret_v)
{
    char *end = NULL;
    errno = 0;
    *ret_v = s ? strtoull(s, &end, 10) : 0;
    return s && *s >= '0' && *s <= '9' && !*end && !errno;
}

bool tarn_sim_time(const char *s, int64_t *ret_ns)
{
    static struct lab_scenario scratch;
    char assignment[80], why[LAB_ERROR];
    fmt_into(assignment, sizeof assignment, "duration=%s", s ? s : "");
    int err = lab_scenario_set(&scratch, assignment, why);
    *ret_ns = scratch.duration_ns;
    return !err;
}

size_t tarn_sim_quote(char *to, size_t cap, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./=:,@%+-";
    if (*word && !word[strspn(word, plain)])
        return fmt_into(to, cap, "%s", word);
    size_t n = fmt_into(to, cap, "'");
    for (const char *p = word; *p; p++)
        n += *p == '\'' ? fmt_into(to + n, cap - n, "'\\''") : fmt_into(to + n, cap - n, "%c", *p);
    return n + fmt_into(to + n, cap - n, "'");
}

bool tarn_sim_next_set(const char **at, char *to, size_t cap)
{
    size_t n = strcspn(*at, " ");
    if (!**at)
        return false;
    for (;
         ;) { /* a word without "=" goes on with the value before it: a file's name, with a blank */
        size_t more = (*at)[n] ? strcspn(*at + n + 1, " ") : 0;
        if (!(*at)[n] || memchr(*at + n + 1, '=', more))
            break;
        n += 1 + more;
    }
    fmt_into(to, cap, "%.*s", (int)n, *at);
    *at += n + ((*at)[n] == ' ');
    return true;
}
