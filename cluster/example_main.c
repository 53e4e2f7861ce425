/* cluster/example_main.c - the blocking C API in one page: lists a directory, copies one file out.
 *
 *   cluster-example 127.0.0.1:7700 /            list
 *   cluster-example 127.0.0.1:7700 /some/file   its bytes on standard output */
#include <stdio.h>
#include <stdlib.h>
#include "cluster/tarn.h"

static int list(struct tarn *t, const char *path)
{
    struct tarn_dir *d;
    struct tarn_dirent e;
    int n, err = tarn_opendir(t, path, &d);
    if (err)
        return err;
    while ((n = tarn_readdir(d, &e)) > 0)
        printf("%12llu %s%s\n", (unsigned long long)e.attr.size, e.name,
               (e.attr.mode & FSOP_S_IFMT) == FSOP_S_IFDIR ? "/" : "");
    tarn_closedir(d);
    return n;
}

static int copy_out(struct tarn *t, const char *path)
{
    static char buf[1 << 20];
    struct tarn_file *f;
    int64_t n, off = 0;
    int err = tarn_open(t, path, TARN_READ, 0, &f);
    if (err)
        return err;
    while ((n = tarn_pread(f, buf, sizeof buf, (uint64_t)off)) > 0) {
        if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n) {
            n = E_IO;
            break;
        }
        off += n;
    }
    err = tarn_close(f);
    return n < 0 ? (int)n : err;
}

int main(int argc, char **argv)
{
    struct tarn_options o = tarn_options_default();
    struct tarn *t;
    struct fsattr a;
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST:PORT PATH\n", argv[0]);
        return 2;
    }
    o.client.masters = argv[1];
    int err = tarn_connect(&o, &t);
    if (err) {
        fprintf(stderr, "%s: %s\n", argv[1], tarn_strerror(err));
        return 1;
    }
    err = tarn_stat(t, argv[2], &a);
    if (!err)
        err = (a.mode & FSOP_S_IFMT) == FSOP_S_IFDIR ? list(t, argv[2]) : copy_out(t, argv[2]);
    if (err)
        fprintf(stderr, "%s: %s\n", argv[2], tarn_strerror(err));
    tarn_disconnect(t);
    return err ? 1 : 0;
}
