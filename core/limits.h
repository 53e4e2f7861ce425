/* core/limits.h - every maximum that is part of a contract or a format, in one place. */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

enum {
    LIMIT_NAME = 255,         /* bytes of one file name */
    LIMIT_PATH = 4096,        /* bytes of a path or link target in one call, NUL included */
    LIMIT_BELOW = 2 * 4096,   /* bytes of a path from its mount's root, NUL included: a program that
                                 walks gets deeper than one call */
    LIMIT_HIDDEN = 64,        /* bytes of a name under which an unlinked file stays, NUL included */
    LIMIT_GROUPS = 32,        /* supplementary groups of a caller */
    LIMIT_LINKS = 65000,      /* hard links of one file */
    LIMIT_SYMLINK_DEPTH = 40, /* links followed in one walk */
    LIMIT_XATTR_NAME = 255,   /* bytes */
    LIMIT_XATTR_VALUE = 65536, /* bytes */
    LIMIT_XATTR_LIST = 65536,  /* bytes of all names of one file */
    LIMIT_MOUNTS = 64,
    LIMIT_WORKERS = 4096,
    LIMIT_SESSION_WINDOW = 1024, /* unanswered requests of one session */
    LIMIT_BATCH = 64 * 1024,     /* bytes of directory entries in one record or reply */
    LIMIT_PAGE_MIN = 64 * 1024,
    LIMIT_PAGE_MAX = 16 * 1024 * 1024,
};

#endif
