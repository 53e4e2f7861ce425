/* cluster/cli_dump_zk.c - `tarn journal dump` of a shared directory (journal.type zk): the logs of
 * all epochs that are still there, the oldest first.
 *
 * A record's index is what its epoch stands on, as the fence says, plus its place in the log.  What
 * an epoch's log has behind the record that the next one stands on does not count.  Logs of epochs
 * that never served have no index and count for nothing: --all names them. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include "cluster/cli_dump.h"
#include "cluster/cli_migrate.h"
#include "core/fmt.h"

struct dump_zk {
    struct cli_journal_dump *d;
    struct zk_fence_served *served; /* the newest first */
    unsigned n;
};

/* images/<member>/image-* */
static void dump_zk_images(struct dump_zk *z)
{
    struct dirent **members, **names;
    char path[PATH_MAX];
    uint64_t index;
    snprintf(path, sizeof path, "%.4000s/images", z->d->d.dir);
    int n = scandir(path, &members, NULL, cli_journal_by_name);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%.3800s/images/%.255s", z->d->d.dir, members[i]->d_name);
        int m =
            members[i]->d_name[0] == '.' ? -1 : scandir(path, &names, NULL, cli_journal_by_name);
        for (int k = 0; k < m; k++) {
            snprintf(path, sizeof path, "images/%.255s/%.255s", members[i]->d_name,
                     names[k]->d_name);
            if (log_format_name_parse(names[k]->d_name, "image-", &index))
                cli_journal_image(z->d, path);
            free(names[k]);
        }
        if (m >= 0)
            free(names);
        free(members[i]);
    }
    if (n >= 0)
        free(members);
}

static int dump_zk_log(struct dump_zk *z, const char *name, uint64_t epoch)
{
    struct cli_journal_dump *d = z->d;
    unsigned i = 0;
    while (i < z->n && z->served[i].epoch != epoch)
        i++;
    if (i == z->n) {
        if (d->all && !d->cli->json)
            printf("# %s: its epoch never served, and nothing in it counts\n", name);
        return 0;
    }
    d->epoch = epoch;
    d->base = z->served[i].base;
    d->limit = i ? z->served[i - 1].base : UINT64_MAX;
    if (d->all && !d->cli->json)
        printf("# %s: of member %u, stands on record %llu of epoch %llu\n", name,
               z->served[i].member, (unsigned long long)d->base,
               (unsigned long long)z->served[i].prev);
    return cli_journal_walk(d, name);
}

static int dump_zk_logs(struct dump_zk *z)
{
    struct dirent **names;
    uint64_t epoch;
    int n = scandir(z->d->d.dir, &names, NULL, cli_journal_by_name), err = 0;
    for (int i = 0; i < n; i++) {
        if (!err && log_format_name_parse(names[i]->d_name, "log-", &epoch))
            err = dump_zk_log(z, names[i]->d_name, epoch);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return err;
}

int cli_dump_zk(struct cli_journal_dump *d, const char *spec)
{
    static struct dump_zk z;
    static struct cli_migrate_place p;
    static struct cli_migrate_state s;
    memset(&z, 0, sizeof z);
    memset(&s, 0, sizeof s);
    z.d = d;
    d->is_shared = d->is_refused = true;
    int code = cli_migrate_place_zk(&p, d->cli, "dump", spec);
    if (!code)
        code = cli_dir_open_zk(&d->d, d->cli, p.dir[0]);
    if (code) {
        cli_migrate_place_end(&p);
        return code;
    }
    s.cli = d->cli;
    code = cli_migrate_zk_chain(&s, &d->d, &z.served, &z.n);
    if (!code || z.n) {
        d->is_refused = false;
        if (d->all)
            cli_journal_fence(d, s.cluster_hi, s.cluster_lo, s.zk.claimed, s.zk.slots);
        if (d->all)
            dump_zk_images(&z);
        int err = dump_zk_logs(&z);
        if (err)
            code =
                cli_error(d->cli, CLI_FAILED, "%s: reading the logs: %s", p.dir[0], err_text(err));
        code = !code && d->bad ? CLI_DATA : code;
    }
    free(z.served);
    cli_dir_close(&d->d);
    cli_migrate_place_end(&p);
    return code;
}
