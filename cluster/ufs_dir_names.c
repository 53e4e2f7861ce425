/* cluster/ufs_dir_names.c - many names of one directory in one operation: NAMES, LOOK.
 *
 * INVARIANTS
 *  1. NAMES reads no inode: what `find` costs below is what it costs here.  It keeps nothing
 *     between calls; the place to go on from is the kernel's own (d_off), which file systems keep
 *     valid for NFS servers, who depend on it in the same way.
 *  2. A place below 2^61 is told exactly; one above (hashes, as ext4 has) loses two bits and begins
 *     again at or a little before itself: of the names in that gap, of which there are none but by
 *     a chance of 2^-60, one could be told twice. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cluster/ufs_dir_impl.h"

enum { NAMES_READ = 32 * 1024 };

#define NAMES_HASHED ((uint64_t)1 << 61)

/* as getdents64 gives it */
struct names_dirent {
    uint64_t d_ino;
    int64_t d_off;
    uint16_t d_reclen;
    uint8_t d_type;
    char d_name[];
};

static uint64_t names_cookie(int64_t place)
{
    uint64_t p = (uint64_t)place & INT64_MAX, h = p >> 2;
    /* the largest of all, the end in ext4, leaves room for what FUSE adds to an offset */
    return FSOP_COOKIE_BELOW |
           (p < NAMES_HASHED ? p : base_min_u64(h, NAMES_HASHED - 8) | NAMES_HASHED);
}

static int64_t names_place(uint64_t cookie)
{
    uint64_t p = cookie & (NAMES_HASHED - 1);
    return (int64_t)(cookie & NAMES_HASHED ? p << 2 : p);
}

static uint32_t names_type(int dir, const struct names_dirent *e)
{
    struct stat st;
    if (e->d_type) /* DT_* are the type bits of a mode */
        return (uint32_t)e->d_type << 12;
    return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_mode & S_IFMT;
}

/* false: no room, or the end of what was read is broken */
static bool names_put(struct wbuf *w, int dir, const struct names_dirent *e, bool is_root)
{
    size_t n = strlen(e->d_name), before = w->len;
    bool is_dots = e->d_name[0] == '.' && (n == 1 || (n == 2 && e->d_name[1] == '.'));
    if (is_dots || n > LIMIT_NAME || (is_root && ufs_dir_is_reserved(e->d_name)))
        return true;
    struct fsop_dirent d = {.cookie = names_cookie(e->d_off),
                            .name = e->d_name,
                            .name_len = (uint32_t)n,
                            .attr = {.ino = {e->d_ino ? e->d_ino : 1},
                                     .mode = names_type(dir, e),
                                     .flags = FSATTR_BARE}};
    if (!d.attr.mode) /* gone meanwhile */
        return true;
    fsop_dirent_put(w, &d);
    if (w->bad)
        w->len = before;
    return !w->bad;
}

/* 1: more may follow, 0: all is told, or an error; *room: the last name fitted */
static int names_read(struct ufs_op *o, int dir, struct wbuf *w, bool *room)
{
    _Alignas(8) char raw[NAMES_READ];
    const char *path = o->path ? o->path : "";
    long n = syscall(SYS_getdents64, dir, raw, sizeof raw);
    if (n <= 0)
        return n < 0 ? ufs_dir_err() : 0;
    for (long at = 0; at < n && *room;) {
        const struct names_dirent *e = (const void *)(raw + at);
        *room = names_put(w, dir, e, !*path);
        at += e->d_reclen;
    }
    return 1;
}

static int names_open(struct ufs_dir *d, struct ufs_op *o)
{
    const char *path = o->path ? o->path : "";
    int err = ufs_dir_is_reserved(path) ? E_NOENT : ufs_dir_path_check(path);
    if (err)
        return err;
    int fd = ufs_dir_open_path(d, path, O_RDONLY | O_DIRECTORY);
    return fd < 0 ? ufs_dir_err() : fd;
}

int64_t ufs_dir_names_list(struct ufs_dir *d, struct ufs_op *o)
{
    int dir = names_open(d, o), more = 1;
    if (dir < 0)
        return dir;
    struct wbuf w = wbuf_make(o->buf, o->len);
    bool room = true;
    o->is_end = false;
    if (o->off && lseek(dir, names_place(o->off), SEEK_SET) < 0)
        more = ufs_dir_err();
    while (more == 1 && room)
        more = names_read(o, dir, &w, &room);
    close(dir);
    if (more == 0)
        o->is_end = room;
    if (more >= 0 && !room && !w.len)
        more = E_RANGE;
    return more < 0 ? more : (int64_t)w.len;
}

int64_t ufs_dir_names_look(struct ufs_dir *d, struct ufs_op *o)
{
    struct ufs_dir_at at = {.fd = names_open(d, o)};
    struct stat st;
    char target[LIMIT_PATH];
    if (at.fd < 0)
        return at.fd;
    int err = fstat(at.fd, &st) ? ufs_dir_err() : 0;
    if (!err)
        ufs_dir_ent(&st, &o->ent);
    struct rbuf in = rbuf_make(o->names, o->names_len);
    struct wbuf w = wbuf_make(o->buf, o->len);
    while (!err && rbuf_left(&in)) {
        size_t n, before = w.len;
        const char *name = rbuf_str16(&in, &n);
        if (!name || !n || n > LIMIT_NAME || memchr(name, '/', n))
            err = E_INVAL;
        if (err)
            break;
        memcpy(at.name, name, n);
        at.name[n] = 0;
        struct fsent ent;
        err = ufs_dir_look(&at, target, sizeof target, &ent);
        if (err == E_NOENT) {
            ent = (struct fsent){0};
            err = 0;
        }
        ent.name = name;
        ent.name_len = (uint32_t)n;
        fsop_ent_put(&w, &ent);
        if (!w.bad)
            continue;
        w.len = before;
        break;
    }
    close(at.fd);
    return err ? err : (int64_t)w.len;
}
