/* fuse/fuse_mount.h - mounts a tarn cluster at a directory and serves it until it is unmounted.
 *
 * The caller has a net (one loop, one thread) and the client's configuration; fuse_mount_run opens
 * the client on that loop, checks that a master answers, mounts, serves, unmounts and cleans up.
 * To run in the background, fork before net_open and hand ready_fd to the child: the parent reads
 * "ready" when the mount is usable, or end of file when it failed. */
#ifndef FUSE_FUSE_MOUNT_H
#define FUSE_FUSE_MOUNT_H

#include "cluster/client.h"
#include "net/net.h"

enum fuse_mount_exit {                         /* exit codes of `tarn mount` */
                       FUSE_MOUNT_DONE = 0,    /* was mounted and has been unmounted */
                       FUSE_MOUNT_FAILED = 1,  /* mount point or kernel refused; the log says why */
                       FUSE_MOUNT_USAGE = 2,   /* bad -o option or value */
                       FUSE_MOUNT_NO_FUSE = 3, /* no /dev/fuse here, or no permission to use it */
                       FUSE_MOUNT_NO_MASTER = 4, /* no master answered in start_timeout_ns */
};

struct fuse_mount;

struct fuse_mount_config {
    const char *mountpoint;   /* an existing, empty directory */
    const char *fsname;       /* shown as the source in /proc/mounts; default "tarn" */
    bool no_passthrough;      /* as the option of that name */
    const char *options;      /* as after -o: "ro,allow_other,attr_timeout=5"; may be NULL */
    uint32_t readahead_kb;    /* the kernel's read-ahead of this mount; default 1024; 0: as it is */
    uint32_t buffers;         /* 1 MiB each, for reads and writes under way; default 64 */
    uint64_t memory_bytes;    /* budget of the client and of what the kernel holds; default 1 GiB */
    int64_t start_timeout_ns; /* for the first answer of a master; default 30 s */
    bool no_signals;          /* leave SIGTERM, SIGINT and SIGHUP alone; net_stop() unmounts too */
    bool no_hangup;           /* leave SIGHUP alone */
    void (*on_ready)(void *ctx, const char *mountpoint); /* on the loop, once it is usable */
    void *ready_ctx;
    struct fuse_mount **ret_mount; /* set while it is served, else NULL; may be NULL */
    int ready_fd;                  /* gets "ready", then is closed; -1: none */
};

struct fuse_mount_config fuse_mount_config_default(void);
/* Checks the options and the mount point without mounting.  FUSE_MOUNT_DONE, or an exit code with a
 * sentence in err_text that says what to do. */
int fuse_mount_check(const struct fuse_mount_config *cfg, char *err_text, size_t cap);
/* Blocks until unmounted (umount, fusermount3 -u, a signal, net_stop).  enum fuse_mount_exit. */
int fuse_mount_run(struct net *n, const struct client_config *cc,
                   const struct fuse_mount_config *cfg);
/* On the loop: what it has to say, lines "key value\n" (cluster/rpc_text.h); the length. */
size_t fuse_mount_status_text(const struct fuse_mount *m, char *to, size_t cap);
/* "fusermount3 -u" or umount; 0, or E_* with a sentence in err_text.  lazy: detach it even if busy
 */
int fuse_mount_unmount(const char *mountpoint, bool lazy, char *err_text, size_t cap);

#endif
