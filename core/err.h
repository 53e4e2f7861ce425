/* core/err.h - the project's error codes: 0 is success, errors are negative E_*.
 *
 * One table gives every code its text and its class.  A class says what a caller can do about it,
 * so callers ask err_is_retry() rather than listing codes.  errno exists only at the FUSE, network
 * and disk edges; err_from_errno/err_to_errno there are the one mapping (net/ and fuse/ include
 * <errno.h>; core does not, so the mapping functions live in net/net_errno.c). */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#include "core/base.h"

/* X(name, number, class, text) - numbers are part of the wire and log formats: never renumber. */
#define ERR_LIST(X)                                                                \
    X(E_NOENT, 1, FS, "no such file or directory")                                 \
    X(E_EXIST, 2, FS, "file exists")                                               \
    X(E_NOTDIR, 3, FS, "not a directory")                                          \
    X(E_ISDIR, 4, FS, "is a directory")                                            \
    X(E_NOTEMPTY, 5, FS, "directory not empty")                                    \
    X(E_PERM, 6, FS, "operation not permitted")                                    \
    X(E_ACCES, 7, FS, "permission denied")                                         \
    X(E_INVAL, 8, FS, "invalid argument")                                          \
    X(E_NAMETOOLONG, 9, FS, "file name too long")                                  \
    X(E_LOOP, 10, FS, "too many levels of symbolic links")                         \
    X(E_XDEV, 11, FS, "cross-mount link or rename")                                \
    X(E_ROFS, 12, FS, "read-only file system")                                     \
    X(E_NOSPC, 13, FS, "no space left")                                            \
    X(E_IO, 14, FS, "input/output error")                                          \
    X(E_NODATA, 15, FS, "no such attribute")                                       \
    X(E_RANGE, 16, FS, "result does not fit")                                      \
    X(E_FBIG, 17, FS, "file too large")                                            \
    X(E_MLINK, 18, FS, "too many links")                                           \
    X(E_BUSY, 19, FS, "device or resource busy")                                   \
    X(E_STALE, 20, FS, "stale file handle")                                        \
    X(E_NOTSUP, 21, FS, "operation not supported")                                 \
    X(E_BADF, 22, FS, "bad file handle")                                           \
    X(E_NXIO, 23, FS, "no such device or address")                                 \
    X(E_2BIG, 24, FS, "argument too long")                                         \
    X(E_TXTBSY, 25, FS, "text file busy")                                          \
    X(E_DQUOT, 26, FS, "quota exceeded")                                           \
    X(E_TIMEOUT, 40, RETRY, "deadline passed")                                     \
    X(E_CLOSED, 41, RETRY, "connection closed")                                    \
    X(E_REFUSED, 42, RETRY, "connection refused")                                  \
    X(E_NOT_LEADER, 43, RETRY, "not the leading master")                           \
    X(E_AGAIN, 44, RETRY, "busy, try again")                                       \
    X(E_CONFLICT, 45, RETRY, "another operation on the same name is under way")    \
    X(E_NOT_LOADED, 46, RETRY, "directory is not loaded from the under-store yet") \
    X(E_UNAVAILABLE, 47, RETRY, "no server can answer now")                        \
    X(E_CANCELLED, 48, RETRY, "cancelled")                                         \
    X(E_CHANGED, 60, DATA, "file changed in the under-store")                      \
    X(E_CORRUPT, 61, DATA, "checksum mismatch")                                    \
    X(E_EOF, 62, DATA, "unexpected end of data")                                   \
    X(E_PROTO, 80, PROTO, "malformed message")                                     \
    X(E_VERSION, 81, PROTO, "protocol or format version not supported")            \
    X(E_TOOBIG, 82, PROTO, "message too large")                                    \
    X(E_CLUSTER, 83, PROTO, "belongs to another cluster")                          \
    X(E_SESSION_EXPIRED, 84, PROTO, "session expired")                             \
    X(E_AUTH, 85, PROTO, "not authorised")                                         \
    X(E_ADDRINUSE, 100, LOCAL, "address already in use")                           \
    X(E_NOMEM, 101, LOCAL, "memory budget exhausted")                              \
    X(E_CONFIG, 102, LOCAL, "configuration error")                                 \
    X(E_FATAL, 103, LOCAL, "cannot continue")

enum err_class {
    ERR_CLASS_NONE,
    ERR_CLASS_FS,
    ERR_CLASS_RETRY,
    ERR_CLASS_DATA,
    ERR_CLASS_PROTO,
    ERR_CLASS_LOCAL
};

#define ERR_ENUM(name, number, class, text) name = -(number),
enum err { E_OK = 0, ERR_LIST(ERR_ENUM) };
#undef ERR_ENUM

/* "E_NOENT"; "E_?" for an unknown code */
const char *err_name(int err);
/* a sentence fragment for people; never NULL */
const char *err_text(int err);
enum err_class err_class(int err);
/* true if the same request may be sent again, to the same or another server */
bool err_is_retry(int err);
/* a code as read from wire or disk: known negative codes and 0 pass, all else becomes E_PROTO */
int err_checked(int64_t raw);

#endif
