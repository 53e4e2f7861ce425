/* fuse/fuse_options.h - the -o options of a mount, parsed and checked. */
#ifndef FUSE_FUSE_OPTIONS_H
#define FUSE_FUSE_OPTIONS_H

#include "core/base.h"
#include "core/err.h"

struct fuse_options {
    int64_t attr_ns, entry_ns, negative_ns; /* longest lifetimes given to the kernel */
    uint32_t max_read, max_background;      /* 0: the default */
    int64_t readahead_kb;                   /* -1: not given */
    bool ro, direct_io, kernel_cache, noxattr, nonempty, is_other_allowed, no_passthrough,
        inner_mounts;
    char fsname[256];  /* "": not given */
    char kernel[1024]; /* the rest, for the kernel and fusermount3: "ro,noatime,allow_other" */
};

/* 0, or E_CONFIG with a sentence (and the nearest known name) in err_text.  text may be NULL. */
int fuse_options_parse(const char *text, struct fuse_options *ret_o, char *err_text,
                       size_t cap) MUST_CHECK;

#endif
