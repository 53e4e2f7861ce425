/* cluster/ufs_dir.h - the under-store over a POSIX directory: URIs "dir:/abs/path". */
#ifndef CLUSTER_UFS_DIR_H
#define CLUSTER_UFS_DIR_H

#include "cluster/ufs.h"

/* one for the whole process; nothing to free */
struct ufs_factory *ufs_dir_factory(void);

#endif
