/* cluster/cli_backup.h - files that `tarn journal backup` makes, as others read them. */
#ifndef CLUSTER_CLI_BACKUP_H
#define CLUSTER_CLI_BACKUP_H

#include "cluster/cli.h"
#include "journal/backup.h"

struct cli_backup {
    uint8_t *p; /* all of the file, mapped */
    uint64_t n;
    struct backup b;
    bool has_conf; /* the image's first piece is a group's */
    uint64_t pieces, data_bytes;
};

/* Opens and checks every byte.  CLI_OK, or an exit code that was explained. */
int cli_backup_open(struct cli_backup *f, const struct cli *c, const char *path);
void cli_backup_close(struct cli_backup *f);
/* Checks the file and says what it is; behind: entries that are known not to be in it. */
int cli_backup_show(struct cli *c, const char *path, uint64_t behind);
/* "2026-11-21T23:30:00Z" */
const char *cli_backup_time(char to[32], int64_t ns);

#endif
