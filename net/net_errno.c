/* net/net_errno.c - two tables, not one: several errno values fall into one E_*, and the codes that
 * only we have (leadership, checksums, sessions) must still tell an application something true.
 *
 * Invariants:
 *  1. from(to(x)) == x for every errno that has an FS class E_* of its own.
 *  2. Every E_* maps to an errno other than 0. */
#include <errno.h>
#include "net/net_errno.h"

int net_errno_to_err(int sys)
{
    switch (sys < 0 ? -sys : sys) {
    case 0:
        return 0;
    case ENOENT:
        return E_NOENT;
    case EEXIST:
        return E_EXIST;
    case ENOTDIR:
        return E_NOTDIR;
    case EISDIR:
        return E_ISDIR;
    case ENOTEMPTY:
        return E_NOTEMPTY;
    case EPERM:
        return E_PERM;
    case EACCES:
        return E_ACCES;
    case EINVAL:
        return E_INVAL;
    case ENAMETOOLONG:
        return E_NAMETOOLONG;
    case ELOOP:
        return E_LOOP;
    case EXDEV:
        return E_XDEV;
    case EROFS:
        return E_ROFS;
    case ENOSPC:
        return E_NOSPC;
    case ENODATA:
        return E_NODATA;
    case ERANGE:
        return E_RANGE;
    case EOVERFLOW:
    case EFBIG:
        return E_FBIG;
    case EMLINK:
        return E_MLINK;
    case EBUSY:
        return E_BUSY;
    case ESTALE:
        return E_STALE;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOTTY:
        return E_NOTSUP;
    case EBADF:
        return E_BADF;
    case ENXIO:
    case ENODEV:
        return E_NXIO;
    case E2BIG:
        return E_2BIG;
    case ETXTBSY:
        return E_TXTBSY;
    case EDQUOT:
        return E_DQUOT;
    case ETIMEDOUT:
        return E_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
    case ENOTCONN:
    case ESHUTDOWN:
        return E_CLOSED;
    case ECONNREFUSED:
        return E_REFUSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return E_UNAVAILABLE;
    case EAGAIN:
    case EINTR:
        return E_AGAIN;
    case ECANCELED:
        return E_CANCELLED;
    case EPROTO:
        return E_PROTO;
    case EMSGSIZE:
        return E_TOOBIG;
    case EADDRINUSE:
        return E_ADDRINUSE;
    case EADDRNOTAVAIL:
        return E_INVAL;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
        return E_NOMEM;
    default:
        return E_IO;
    }
}

/* the codes of class FS: each has an errno of its own */
static int net_errno_of_fs(int err)
{
    switch (err) {
#define SAME(name) \
    case E_##name: \
        return E##name;
        SAME(NOENT)
        SAME(EXIST)
        SAME(NOTDIR)
        SAME(ISDIR)
        SAME(NOTEMPTY)
        SAME(PERM)
        SAME(ACCES)
        SAME(INVAL)
        SAME(NAMETOOLONG)
        SAME(LOOP)
        SAME(XDEV)
        SAME(ROFS)
        SAME(NOSPC)
        SAME(IO)
        SAME(NODATA)
        SAME(RANGE)
        SAME(FBIG)
        SAME(MLINK)
        SAME(BUSY)
        SAME(STALE)
        SAME(BADF)
        SAME(NXIO)
        SAME(2BIG)
        SAME(TXTBSY)
        SAME(DQUOT)
#undef SAME
    case E_NOTSUP:
        return EOPNOTSUPP;
    default:
        return EIO;
    }
}

int net_errno_from_err(int err)
{
    if (err >= 0)
        return 0;
    switch (err) {
    case E_TIMEOUT:
        return ETIMEDOUT;
    case E_AGAIN:
    case E_CONFLICT:
        return EAGAIN;
    case E_CANCELLED:
        return EINTR;
    case E_CHANGED:
        return ESTALE;
    case E_TOOBIG:
        return EMSGSIZE;
    case E_AUTH:
        return EACCES;
    case E_ADDRINUSE:
        return EADDRINUSE;
    case E_NOMEM:
        return ENOMEM;
    default:
        /* E_CLOSED, E_UNAVAILABLE, E_CORRUPT, E_SESSION_EXPIRED, ...: the retries are over by the
         * time a code gets here, and no errno says more than EIO without saying something false */
        return net_errno_of_fs(err);
    }
}
