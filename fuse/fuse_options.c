/* fuse/fuse_options.c - one table of options: how each is read and where it goes.
 *
 * INVARIANTS
 *  1. Every option is known or refused; a refused one names the nearest known one.
 *  2. default_permissions is always on: the kernel checks modes before a request is made, which is
 *     what lets ops ask as root where the kernel has decided already (fuse_ops.c).
 *  3. What fstab tools add for themselves (x-..., _netdev, noauto, ...) is accepted and dropped.
 *
 * Why not libfuse's fuse_opt_parse: it passes unknown options to the kernel, whose refusal names
 * neither the option nor a remedy. */
#include "fuse/fuse_options.h"
#include "core/fmt.h"

enum fuse_options_kind {
    OPT_KERNEL,  /* passed on as it is */
    OPT_IGNORED, /* accepted, of no effect */
    OPT_FLAG,    /* sets a bool */
    OPT_SECONDS, /* decimal seconds to ns */
    OPT_COUNT,   /* a number in [min, max] */
    OPT_TEXT,
};

struct fuse_options_row {
    const char *name;
    enum fuse_options_kind kind;
    size_t at; /* in struct fuse_options */
    uint64_t min, max;
};

#define AT(field) offsetof(struct fuse_options, field)

static const struct fuse_options_row rows[] = {
    {"attr_timeout", OPT_SECONDS, AT(attr_ns), 0, 86400},
    {"entry_timeout", OPT_SECONDS, AT(entry_ns), 0, 86400},
    {"negative_timeout", OPT_SECONDS, AT(negative_ns), 0, 86400},
    {"max_read", OPT_COUNT, AT(max_read), 4096, 1 << 20},
    {"max_background", OPT_COUNT, AT(max_background), 1, 1024},
    {"readahead_kb", OPT_COUNT, AT(readahead_kb), 0, 65536},
    {"fsname", OPT_TEXT, AT(fsname), 0, 0},
    {"direct_io", OPT_FLAG, AT(direct_io), 0, 0},
    {"kernel_cache", OPT_FLAG, AT(kernel_cache), 0, 0},
    {"noxattr", OPT_FLAG, AT(noxattr), 0, 0},
    {"no_passthrough", OPT_FLAG, AT(no_passthrough), 0, 0},
    {"nonempty", OPT_FLAG, AT(nonempty), 0, 0},
    {"inner_mounts", OPT_FLAG, AT(inner_mounts), 0, 0},
    {"ro", OPT_KERNEL, 0, 0, 0},
    {"rw", OPT_KERNEL, 0, 0, 0},
    {"allow_other", OPT_KERNEL, 0, 0, 0},
    {"allow_root", OPT_KERNEL, 0, 0, 0},
    {"noatime", OPT_KERNEL, 0, 0, 0},
    {"atime", OPT_KERNEL, 0, 0, 0},
    {"nodev", OPT_KERNEL, 0, 0, 0},
    {"dev", OPT_KERNEL, 0, 0, 0},
    {"nosuid", OPT_KERNEL, 0, 0, 0},
    {"suid", OPT_KERNEL, 0, 0, 0},
    {"noexec", OPT_KERNEL, 0, 0, 0},
    {"exec", OPT_KERNEL, 0, 0, 0},
    {"sync", OPT_KERNEL, 0, 0, 0},
    {"async", OPT_KERNEL, 0, 0, 0},
    {"dirsync", OPT_KERNEL, 0, 0, 0},
    {"default_permissions", OPT_IGNORED, 0, 0, 0},
    {"auto_cache", OPT_IGNORED, 0, 0, 0},
    {"big_writes", OPT_IGNORED, 0, 0, 0},
    {"relatime", OPT_IGNORED, 0, 0, 0},
    {"nodiratime", OPT_IGNORED, 0, 0, 0},
    {"defaults", OPT_IGNORED, 0, 0, 0},
    {"auto", OPT_IGNORED, 0, 0, 0},
    {"noauto", OPT_IGNORED, 0, 0, 0},
    {"nofail", OPT_IGNORED, 0, 0, 0},
    {"user", OPT_IGNORED, 0, 0, 0},
    {"nouser", OPT_IGNORED, 0, 0, 0},
    {"users", OPT_IGNORED, 0, 0, 0},
    {"_netdev", OPT_IGNORED, 0, 0, 0},
    {"xattr", OPT_IGNORED, 0, 0, 0},
};

/* edits that turn a[0..n) into b, for words of fewer than 32 letters; 99 beyond */
static unsigned options_distance(const char *a, size_t n, const char *b)
{
    unsigned row[32];
    size_t m = strlen(b);
    if (n >= 32 || m >= 32)
        return 99;
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

static const char *options_nearest(const char *name, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = n / 3 + 2;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned d = options_distance(name, n, rows[i].name);
        if (d < best_distance) {
            best_distance = d;
            best = rows[i].name;
        }
    }
    return best;
}

/* "12.5" as thousand millionths; false if it is no such number */
static bool options_decimal(const char *s, size_t n, uint64_t *ret_nano)
{
    uint64_t whole = 0, part = 0, scale = 1000000000;
    size_t i = 0;
    for (; i < n && s[i] >= '0' && s[i] <= '9' && whole < 1000000000; i++)
        whole = whole * 10 + (uint64_t)(s[i] - '0');
    if (!i)
        return false;
    if (i < n && s[i] == '.')
        for (i++; i < n && s[i] >= '0' && s[i] <= '9'; i++) {
            scale /= 10;
            part += (uint64_t)(s[i] - '0') * scale;
        }
    *ret_nano = whole * 1000000000 + part;
    return i == n;
}

static int options_number(const struct fuse_options_row *row, struct fuse_options *o,
                          const char *value, size_t n, char *err_text, size_t cap)
{
    uint64_t nano = 0;
    bool ok = value && options_decimal(value, n, &nano);
    if (ok && row->kind == OPT_COUNT && nano % 1000000000)
        ok = false;
    if (!ok || nano < row->min * 1000000000 || nano > row->max * 1000000000) {
        fmt_into(err_text, cap, "option %s needs %s from %llu to %llu, as in %s=%llu", row->name,
                 row->kind == OPT_SECONDS ? "seconds" : "a number", (unsigned long long)row->min,
                 (unsigned long long)row->max, row->name, (unsigned long long)row->max);
        return E_CONFIG;
    }
    char *at = (char *)o + row->at;
    if (row->kind == OPT_SECONDS || row->at == AT(readahead_kb)) {
        int64_t v = row->kind == OPT_SECONDS ? (int64_t)nano : (int64_t)(nano / 1000000000);
        memcpy(at, &v, sizeof v);
    } else {
        uint32_t v = (uint32_t)(nano / 1000000000);
        memcpy(at, &v, sizeof v);
    }
    return 0;
}

static int options_kernel(struct fuse_options *o, const char *name, char *err_text, size_t cap)
{
    size_t used = strlen(o->kernel), n = strlen(name);
    if (used + n + 2 > sizeof o->kernel) {
        fmt_into(err_text, cap, "too many mount options");
        return E_CONFIG;
    }
    if (used)
        o->kernel[used++] = ',';
    memcpy(o->kernel + used, name, n + 1);
    if (!strcmp(name, "ro") || !strcmp(name, "rw"))
        o->ro = name[1] == 'o';
    if (!strcmp(name, "allow_other") || !strcmp(name, "allow_root"))
        o->is_other_allowed = true;
    return 0;
}

static int options_one(struct fuse_options *o, const char *word, size_t n, char *err_text,
                       size_t cap)
{
    const char *eq = memchr(word, '=', n);
    size_t name_n = eq ? (size_t)(eq - word) : n;
    const char *value = eq ? eq + 1 : NULL;
    size_t value_n = eq ? n - name_n - 1 : 0;
    if (n > 2 && !memcmp(word, "x-", 2))
        return 0;
    const struct fuse_options_row *row = NULL;
    for (size_t i = 0; i < ARRAY_LEN(rows) && !row; i++)
        if (strlen(rows[i].name) == name_n && !memcmp(rows[i].name, word, name_n))
            row = &rows[i];
    if (!row) {
        const char *near = options_nearest(word, name_n);
        fmt_into(err_text, cap, "unknown mount option '%.*s'%s%s%s", (int)name_n, word,
                 near ? ": did you mean '" : "; see tarn mount --help", near ? near : "",
                 near ? "'?" : "");
        return E_CONFIG;
    }
    if (value && (row->kind == OPT_KERNEL || row->kind == OPT_FLAG)) {
        fmt_into(err_text, cap, "mount option %s takes no value", row->name);
        return E_CONFIG;
    }
    switch (row->kind) {
    case OPT_IGNORED:
        return 0;
    case OPT_KERNEL:
        return options_kernel(o, row->name, err_text, cap);
    case OPT_FLAG:
        *(bool *)((char *)o + row->at) = true;
        return 0;
    case OPT_SECONDS:
    case OPT_COUNT:
        return options_number(row, o, value, value_n, err_text, cap);
    case OPT_TEXT:
        if (!value_n || value_n >= sizeof o->fsname) {
            fmt_into(err_text, cap, "mount option %s needs a value of 1 to %zu bytes", row->name,
                     sizeof o->fsname - 1);
            return E_CONFIG;
        }
        memcpy(o->fsname, value, value_n);
        o->fsname[value_n] = '\0';
        return 0;
    }
    return 0;
}

int fuse_options_parse(const char *text, struct fuse_options *ret_o, char *err_text, size_t cap)
{
    memset(ret_o, 0, sizeof *ret_o);
    ret_o->attr_ns = ret_o->entry_ns = 60 * INT64_C(1000000000);
    ret_o->negative_ns = 5 * INT64_C(1000000000);
    ret_o->readahead_kb = -1;
    if (cap)
        err_text[0] = '\0';
    while (text && *text) {
        size_t n = strcspn(text, ",");
        int err = n ? options_one(ret_o, text, n, err_text, cap) : 0;
        if (err)
            return err;
        text += n + (text[n] == ',');
    }
    return 0;
}
