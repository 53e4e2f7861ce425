/* sim/tarn_sim_history.c - tarn-sim check-history: the checkers alone, on what others recorded.
 *
 *  1. The verdict and what is told of it depend on the file and the options alone; times do not.
 *  2. A history is never called linearizable that was not read to its end, or has no operation. */
#include "sim/tarn_sim_history.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/fmt.h"
#include "sim/lab_json.h"
#include "sim/tarn_sim.h"
#include "sim/tarn_sim_args.h"

static const char usage[] =
    "tarn-sim check-history [--model register|cas|kv] FILE...\n"
    "\n"
    "Is there an order of the operations, of each key, that respects real time and explains every "
    "answer?\n"
    "A file (-: standard input) has an event in a line: logs of Jepsen, maps of Jepsen and "
    "Porcupine, or JSON,\n"
    "  {\"process\": 3, \"type\": \"ok\", \"f\": \"read\", \"key\": \"k\", \"value\": 4}\n"
    "as tarn-sim run --history FILE.jsonl writes them; docs/simulator.md has the details.\n"
    "\n"
    "  --model M     register: read, write; cas: and cas; kv: get, put, append.  Default: cas or "
    "kv, by the first\n"
    "                operation.  Anything else in a file is an error\n"
    "  --steps N     of the search, for each key; beyond that its verdict is unknown (default "
    "20000000)\n"
    "  --memory MB   likewise (default 2048)\n"
    "  --html FILE   what is wrong as a page that needs nothing else\n"
    "  --json        a line of JSON for each file\n"
    "  --quiet       verdicts only\n"
    "\n"
    "Exit status, the first that applies: 3 a history is not linearizable, 2 usage, or a file that "
    "is no history,\n8 the verdict on one is unknown, 0.\n";

struct options {
    enum lab_history_model model;
    uint64_t steps, memory_mb;
    const char *html;
    bool json, quiet, help;
    char **files;
    int n_files;
};

enum { SHOWN = 12 };

/* ---- as text ---- */

const char *tarn_sim_history_verdict(enum lab_wgl_verdict v)
{
    static const char *const names[] = {"linearizable", "NOT linearizable", "unknown"};
    return names[v];
}

void tarn_sim_history_escape(FILE *to, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '<' || c == '>' || c == '&' || c == '"')
            fprintf(to, "&#%d;", c);
        else
            fputc(c, to);
    }
}

/* a value, of which the end says most: texts grow there */
static size_t add_value(char *to, size_t cap, struct lab_history_slice s)
{
    if (s.n <= 60)
        return fmt_into(to, cap, "%.*s", (int)s.n, s.p);
    return fmt_into(to, cap, "...%.*s", 57, s.p + s.n - 57);
}

void tarn_sim_history_op(const struct history_file *f, const struct lab_wgl_op *o, char *ret_text,
                         size_t cap)
{
    const struct lab_history_note *n = &f->h.notes[o->tag];
    bool read = o->f == LAB_WGL_READ;
    size_t at = fmt_into(ret_text, cap, "%.*s ", (int)base_min_u64(n->f.n, 20), n->f.p);
    at += add_value(ret_text + at, cap - at, read ? n->answered : n->asked);
    if (o->f == LAB_WGL_CAS_FAILED)
        fmt_into(ret_text + at, cap - at, ", which failed");
    else if (o->to == INT64_MAX)
        fmt_into(ret_text + at, cap - at, ", without an answer");
}

bool tarn_sim_history_placed(const struct history_key *k, uint32_t op)
{
    for (uint32_t i = 0; i < k->w.n; i++)
        if (k->w.order[i] == op)
            return true;
    return false;
}

/* the second of [old new] */
static struct lab_history_slice second_of(struct lab_history_slice s)
{
    const char *end = s.p + s.n;
    while (end > s.p && (end[-1] == ']' || end[-1] == ' '))
        end--;
    const char *from = end;
    while (from > s.p && !strchr(" ,[\t", from[-1]))
        from--;
    return (struct lab_history_slice){from, (uint32_t)(end - from)};
}

/* what the order wrote, with appended texts put together; its end */
static void order_text(const struct history_file *f, const struct history_key *k, char *ret_text,
                       size_t cap)
{
    char *text = NULL;
    size_t size = 0;
    uint32_t from = k->w.n;
    FILE *to = open_memstream(&text, &size);
    while (from && f->h.ops[k->first + k->w.order[from - 1]].f != LAB_WGL_WRITE)
        from--;
    for (uint32_t i = from ? from - 1 : 0; to && i < k->w.n; i++) {
        const struct lab_wgl_op *o = &f->h.ops[k->first + k->w.order[i]];
        const struct lab_history_note *n = &f->h.notes[o->tag];
        if (o->f == LAB_WGL_WRITE || o->f == LAB_WGL_APPEND)
            fwrite(n->asked.p, 1, n->asked.n, to);
    }
    if (to && !fclose(to))
        add_value(ret_text, cap, (struct lab_history_slice){text, (uint32_t)size});
    free(text);
}

void tarn_sim_history_state(const struct history_file *f, const struct history_key *k, uint32_t i,
                            char *ret_text, size_t cap)
{
    uint64_t state = k->w.states[i];
    bool appends = false;
    fmt_into(ret_text, cap, "something that nobody read");
    if (state == LAB_HISTORY_NIL || state == LAB_WGL_ANY) {
        fmt_into(ret_text, cap, state ? "what nobody has read yet" : "nil");
        return;
    }
    for (uint32_t j = 0; j < k->n; j++) {
        const struct lab_wgl_op *o = &f->h.ops[k->first + j];
        const struct lab_history_note *n = &f->h.notes[o->tag];
        struct lab_history_slice found = {NULL, 0};
        if (o->f == LAB_WGL_READ && o->a == state)
            found = n->answered;
        else if (o->f == LAB_WGL_WRITE && o->a == state)
            found = n->asked;
        else if ((o->f == LAB_WGL_CAS || o->f == LAB_WGL_CAS_MAYBE) && o->b == state)
            found = second_of(n->asked);
        appends |= o->f == LAB_WGL_APPEND;
        if (!found.p)
            continue;
        add_value(ret_text, cap, found);
        return;
    }
    if (appends && i == 0)
        order_text(f, k, ret_text, cap);
}

static void print_op(const struct history_file *f, const struct lab_wgl_op *o)
{
    const struct lab_history_note *n = &f->h.notes[o->tag];
    char text[2 * HISTORY_TEXT], answered[16] = "-";
    tarn_sim_history_op(f, o, text, sizeof text);
    if (o->to != INT64_MAX)
        fmt_into(answered, sizeof answered, "%u", n->answered_line);
    printf("    %8u  %8s  %7llu  %s\n", n->asked_line, answered, (unsigned long long)n->process,
           text);
}

static void print_states(const struct history_file *f, const struct history_key *k)
{
    char text[2 * HISTORY_TEXT];
    for (uint32_t i = 0; i < k->w.n_states; i++) {
        tarn_sim_history_state(f, k, i, text, sizeof text);
        printf("%s%s",
               i == 0   ? "  then the value is "
               : i == 1 ? "; after other orders: "
                        : ", ",
               text);
    }
    printf("%s\n", k->w.more_states ? ", or another" : "");
}

static void print_key(const struct history_file *f, const struct history_key *k)
{
    const struct lab_wgl_op *ops = f->h.ops + k->first, *bad = &ops[k->w.blocked];
    const struct lab_history_note *n = &f->h.notes[bad->tag];
    bool is_bad = k->result.verdict == LAB_WGL_BAD;
    if (n->key.p)
        printf("  key %.*s, %u operations:\n", (int)base_min_u64(n->key.n, 60), n->key.p, k->n);
    if (!k->w.n_states) {
        printf("  the search ended before its first answer\n");
        return;
    }
    printf("  what was answered before line %u is explained by an order of %u operations%s\n",
           n->answered_line, k->w.n,
           !k->w.n          ? ""
           : k->w.n > SHOWN ? "; its end:"
                            : ":");
    if (k->w.n)
        printf("    %8s  %8s  %7s\n", "asked", "answered", "process");
    for (uint32_t i = k->w.n > SHOWN ? k->w.n - SHOWN : 0; i < k->w.n; i++)
        print_op(f, &ops[k->w.order[i]]);
    print_states(f, k);
    printf(is_bad ? "  no order explains\n" : "  not explained so far:\n");
    print_op(f, bad);
    uint32_t shown = 0, more = 0;
    for (uint32_t i = 0; i < k->n; i++) {
        if (i == k->w.blocked || ops[i].from > bad->to || ops[i].f == LAB_WGL_DROPPED ||
            tarn_sim_history_placed(k, i))
            continue;
        if (!shown)
            printf("  under way at that time, and not in the order above:\n");
        if (shown++ < SHOWN)
            print_op(f, &ops[i]);
        else
            more++;
    }
    if (more)
        printf("    and %u more\n", more);
}

static void print_file(const struct options *o, const struct history_file *f)
{
    printf(
        "%s: %s: %s, %llu key%s, %u operations of at most %u processes at once, %llu steps, %.2f "
        "ms\n",
        f->path, tarn_sim_history_verdict(f->result.verdict), lab_history_model_name(f->h.model),
        (unsigned long long)f->result.keys, f->result.keys == 1 ? "" : "s", f->h.n, f->h.processes,
        (unsigned long long)f->result.steps, 1e3 * f->wall_s);
    for (uint32_t i = 0; i < f->n_keys && !o->quiet; i++)
        print_key(f, &f->keys[i]);
    if (f->more_keys)
        printf("  and %u more keys\n", f->more_keys);
}

/* ---- as JSON ---- */

static void json_op(const struct history_file *f, const struct lab_wgl_op *o)
{
    const struct lab_history_note *n = &f->h.notes[o->tag];
    char text[2 * HISTORY_TEXT];
    tarn_sim_history_op(f, o, text, sizeof text);
    printf("{\"process\": %llu, \"asked_line\": %u, \"answered_line\": ",
           (unsigned long long)n->process, n->asked_line);
    printf(o->to == INT64_MAX ? "null" : "%u", n->answered_line);
    printf(", \"what\": ");
    lab_json_string(stdout, text);
    printf("}");
}

static void json_key(const struct history_file *f, const struct history_key *k)
{
    const struct lab_wgl_op *ops = f->h.ops + k->first;
    const struct lab_history_note *n = &f->h.notes[ops[k->w.blocked].tag];
    char text[2 * HISTORY_TEXT];
    printf("{\"verdict\": \"%s\", \"key\": ",
           k->result.verdict == LAB_WGL_BAD ? "violation" : "unknown");
    lab_json_bytes(stdout, n->key.p, n->key.n);
    printf(", \"operations\": %u", k->n);
    if (k->w.n_states) {
        printf(", \"unexplained\": ");
        json_op(f, &ops[k->w.blocked]);
        printf(", \"values\": [");
        for (uint32_t i = 0; i < k->w.n_states; i++) {
            tarn_sim_history_state(f, k, i, text, sizeof text);
            printf(i ? ", " : "");
            lab_json_string(stdout, text);
        }
        printf("], \"order\": [");
        for (uint32_t i = 0; i < k->w.n; i++) {
            printf(i ? ", " : "");
            json_op(f, &ops[k->w.order[i]]);
        }
        printf("]");
    }
    printf("}");
}

static void json_file(const struct history_file *f)
{
    static const char *const names[] = {"ok", "violation", "unknown"};
    printf("{\"file\": ");
    lab_json_string(stdout, f->path);
    printf(", \"verdict\": \"%s\", \"model\": \"%s\", \"keys\": %llu, \"operations\": %u, "
           "\"concurrency\": %u, \"steps\": %llu, \"wall_s\": %.6f, \"found\": [",
           names[f->result.verdict], lab_history_model_name(f->h.model),
           (unsigned long long)f->result.keys, f->h.n, f->h.processes,
           (unsigned long long)f->result.steps, f->wall_s);
    for (uint32_t i = 0; i < f->n_keys; i++) {
        printf(i ? ", " : "");
        json_key(f, &f->keys[i]);
    }
    printf("]}\n");
}

/* ---- a file ---- */

static char *slurp(const char *path, size_t *ret_len)
{
    bool is_stdin = !strcmp(path, "-");
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    char *text = NULL, block[65536];
    size_t n;
    bool ok = false;
    FILE *to = f ? open_memstream(&text, ret_len) : NULL;
    while (to && (n = fread(block, 1, sizeof block, f)) > 0)
        fwrite(block, 1, n, to);
    ok = to && !ferror(f);
    int err = errno;
    ok = to && !fclose(to) && ok;
    if (f && !is_stdin)
        fclose(f);
    errno = err;
    if (ok)
        return text;
    free(text);
    return NULL;
}

/* what is behind a verdict that is not good: the keys one by one, as lab_wgl_check sorted them */
static void explain(struct history_file *f, struct mem *m, uint64_t steps)
{
    f->keys = calloc(HISTORY_KEYS, sizeof *f->keys);
    f->result = (struct lab_wgl_result){.verdict = LAB_WGL_OK};
    for (uint32_t i = 0, end; i < f->h.n; i = end) {
        struct history_key k = {.first = i};
        for (end = i + 1; end < f->h.n && f->h.ops[end].key == f->h.ops[i].key;)
            end++;
        k.n = end - i;
        lab_wgl_explain(m, f->h.ops + i, k.n, f->h.start, steps, &k.result, &k.w);
        f->result.keys++;
        f->result.steps += k.result.steps;
        if (k.result.verdict == LAB_WGL_BAD || f->result.verdict == LAB_WGL_OK)
            f->result.verdict = k.result.verdict;
        if (k.result.verdict != LAB_WGL_OK && f->keys && f->n_keys < HISTORY_KEYS) {
            f->keys[f->n_keys++] = k;
            continue;
        }
        f->more_keys += k.result.verdict != LAB_WGL_OK;
        mem_free(m, k.w.order, k.w.cap * sizeof *k.w.order);
    }
}

/* 0, or EXIT_USAGE when it has said why */
static int check_file(const struct options *o, struct history_file *f, struct mem *m)
{
    double t0 = tarn_sim_wall_s();
    f->text = slurp(f->path, &f->len);
    if (!f->text) {
        tarn_sim_say("%s: %s\n", f->path, strerror(errno));
        return EXIT_USAGE;
    }
    int err = lab_history_read(&f->h, m, o->model, f->text, f->len);
    if (err == E_INVAL)
        tarn_sim_say("%s:%u: %s\n", f->path, f->h.bad_line, f->h.why);
    else if (err)
        tarn_sim_say("%s: too large for --memory %llu\n", f->path,
                     (unsigned long long)o->memory_mb);
    else if (!f->h.n)
        tarn_sim_say("%s: no operation in %u lines\n", f->path, f->h.lines);
    if (err || !f->h.n)
        return EXIT_USAGE;
    lab_wgl_check(m, f->h.ops, f->h.n, f->h.start, o->steps, &f->result);
    if (f->result.verdict != LAB_WGL_OK)
        explain(f, m, o->steps);
    f->wall_s = tarn_sim_wall_s() - t0;
    return 0;
}

static int check_one(const struct options *o, const char *path, FILE *page, unsigned *counts)
{
    struct mem m;
    struct history_file f = {.path = path};
    lab_history_mem(&m, o->memory_mb << 20);
    int err = check_file(o, &f, &m);
    if (!err && o->json)
        json_file(&f);
    else if (!err)
        print_file(o, &f);
    if (!err && page)
        tarn_sim_history_page_file(page, &f);
    if (!err)
        counts[f.result.verdict]++;
    free(f.text);
    free(f.keys);
    mem_drop(&m);
    return err;
}

/* ---- the command line ---- */

static bool parse_model(const char *v, struct options *o)
{
    for (int i = LAB_HISTORY_REGISTER; v && i <= LAB_HISTORY_KV; i++)
        if (!strcmp(v, lab_history_model_name((enum lab_history_model)i))) {
            o->model = (enum lab_history_model)i;
            return true;
        }
    return false;
}

static int parse_valued(void *ctx, const char *o, const char *v)
{
    struct options *to = ctx;
    if (!strcmp(o, "--model"))
        return parse_model(v, to);
    if (!strcmp(o, "--steps"))
        return tarn_sim_number(v, &to->steps) && to->steps;
    if (!strcmp(o, "--memory"))
        return tarn_sim_number(v, &to->memory_mb) && to->memory_mb && to->memory_mb < 1 << 24;
    if (!strcmp(o, "--html"))
        return (to->html = v) != NULL;
    return -1;
}

/* moves the files to the front of argv */
static int parse_operand(void *ctx, char *v)
{
    struct options *o = ctx;
    o->files[o->n_files++] = v;
    return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    const struct args_flag flags[] = {{"--json", &o->json}, {"--quiet", &o->quiet}};
    struct args_table t = {
        o, flags, ARRAY_LEN(flags), "check-history", parse_valued, parse_operand, false};
    o->files = argv;
    int err = tarn_sim_args_read(argc, argv, &t);
    o->help = t.help;
    if (err || o->help)
        return err;
    return o->n_files ? 0 : tarn_sim_bad("which history?", "");
}

int tarn_sim_history(int argc, char **argv)
{
    struct options o = {.steps = 20000000, .memory_mb = 2048};
    unsigned counts[3] = {0}, broken = 0;
    int err = parse(argc, argv, &o), files = o.n_files;
    if (o.help)
        fputs(usage, stdout);
    if (err || o.help)
        return err;
    FILE *page = o.html ? fopen(o.html, "w") : NULL;
    if (o.html && !page) {
        tarn_sim_say("cannot write %s: %s\n", o.html, strerror(errno));
        return EXIT_USAGE;
    }
    if (page)
        tarn_sim_history_page_begin(page);
    double t0 = tarn_sim_wall_s();
    for (int i = 0; i < files; i++)
        broken += check_one(&o, o.files[i], page, counts) != 0;
    if (files > 1 && !o.json)
        printf("%d histories: %u linearizable, %u not, %u unknown, %u not readable; %.2f s\n",
               files, counts[LAB_WGL_OK], counts[LAB_WGL_BAD], counts[LAB_WGL_UNKNOWN], broken,
               tarn_sim_wall_s() - t0);
    if (page)
        tarn_sim_history_page_end(page);
    if (page && fclose(page)) {
        tarn_sim_say("%s is not whole: %s\n", o.html, strerror(errno));
        broken++;
    }
    return counts[LAB_WGL_BAD]       ? EXIT_SAFETY
           : broken                  ? EXIT_USAGE
           : counts[LAB_WGL_UNKNOWN] ? EXIT_UNKNOWN
                                     : 0;
}
