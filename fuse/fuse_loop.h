/* fuse/fuse_loop.h - the kernel's requests, read on the loop that answers them. */
#ifndef FUSE_FUSE_LOOP_H
#define FUSE_FUSE_LOOP_H

#include "core/limits.h"
#include "fuse/fuse_ops.h"
#include "net/net.h"

enum { FUSE_LOOP_SIGNALS = 3 };

struct fuse_loop {
    struct net *net;
    struct env *env;
    struct fuse_ops *ops;
    struct fuse_session *se;
    int fd;
    uv_poll_t poll;
    uv_signal_t signals[FUSE_LOOP_SIGNALS];
    unsigned handles; /* of libuv, open */
    bool is_closed;   /* all of them are closed */
    bool is_mounted;
    bool is_paused;  /* there is no room for another request */
    bool is_passing; /* the kernel was told that we give it backing files */
    bool is_ready;   /* INIT was answered */
    bool ended;      /* the kernel let go of us, or we of it */
    bool is_unmounting, is_unmounted;
    uint32_t singles;     /* wake-ups in a row that brought one request only */
    int lost;             /* why the device could not be read, or 0 */
    uint64_t init_unique; /* of the INIT under way */
    uint64_t init_flags;  /* what the kernel offers */
    struct env_op unmount;
    char mountpoint[LIMIT_PATH];
    void (*on_ready)(struct fuse_loop *l);
};

/* Mounts and begins to serve on net's loop; of SIGTERM, SIGINT and SIGHUP the first n_signals end
 * it.  enum fuse_mount_exit. */
int fuse_loop_mount(struct fuse_loop *l, struct net *n, struct fuse_ops *o, const char *abs,
                    const char *fsname, int n_signals, char *err_text, size_t cap);
/* Unmounts off the loop; a mount in use is detached.  l->ended follows.  A second call hurries. */
void fuse_loop_unmount(struct fuse_loop *l);
/* Stops serving (ended or not) and closes libuv's handles; the session stays for late answers. */
void fuse_loop_stop(struct fuse_loop *l);
/* when no request is under way */
void fuse_loop_drop(struct fuse_loop *l);

#endif
