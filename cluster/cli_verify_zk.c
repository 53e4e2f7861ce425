/* cluster/cli_verify_zk.c - `tarn journal verify` of a shared directory (journal.type zk): the
 * fence, every state image of every member, and the logs that a start would read, to their end.
 *
 * Masters on this host are noticed by their lock.  Those on others may run: then something may be
 * removed while it is read, so when something is wrong ZooKeeper is asked, too.
 *
 * What is read is applied, as `migrate` does it, so the state that it leads to is looked at, too.
 * Logs of epochs that an image has are no longer needed, and are not read. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cluster/cli_commands.h"
#include "cluster/cli_group.h"
#include "cluster/cli_migrate.h"
#include "cluster/cli_zk.h"
#include "core/fmt.h"

struct verify_zk {
    struct cli_migrate_place p;
    struct cli_migrate_state s;
    struct cli_dir d;
    uint64_t segments, bytes;
    bool ok, starts;
    char broken[CLI_DIR_LINE];
};

static bool verify_zk_is_log(const char *name)
{
    uint64_t n;
    return log_format_name_parse(name, "log-", &n);
}

static bool verify_zk_is_segment(const char *name)
{
    uint64_t n;
    return log_format_name_parse(name, "wal-", &n);
}

/* what all logs take, needed or not */
static void verify_zk_size(struct verify_zk *v, const char *dir, bool is_log)
{
    char path[CLI_DIR_PATH + 300];
    struct stat st;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%.4000s/%.255s", dir, e->d_name);
        if (!is_log && verify_zk_is_log(e->d_name)) {
            verify_zk_size(v, path, true);
        } else if (is_log && verify_zk_is_segment(e->d_name) && !stat(path, &st)) {
            v->segments++;
            v->bytes += (uint64_t)st.st_size;
        }
    }
    if (d)
        closedir(d);
}

/* the fence's last two slots take no claim */
static uint64_t verify_zk_left(const struct verify_zk *v)
{
    return v->s.zk.slots - base_min_u64(v->s.zk.slots, v->s.zk.claimed + 2);
}

static void verify_zk_json(const struct verify_zk *v, const char *error)
{
    const struct cli_migrate_state *s = &v->s;
    cJSON *j = cJSON_CreateObject();
    char id[33];
    cJSON_AddBoolToObject(j, "ok", v->ok);
    cJSON_AddBoolToObject(j, "starts", v->starts);
    cli_json_u64(j, "first_index", s->zk.first);
    cli_json_u64(j, "last_index", s->index);
    cli_json_u64(j, "image_index", s->image_index);
    cli_json_u64(j, "epoch", s->zk.served);
    cli_json_u64(j, "log_bytes", v->bytes);
    cJSON_AddStringToObject(j, "dir", v->p.dir[0]);
    cli_group_id_text(id, s->cluster_hi, s->cluster_lo);
    cJSON_AddStringToObject(j, "cluster", id);
    cli_json_u64(j, "image_member", s->member);
    cli_json_u64(j, "images", s->zk.images);
    cli_json_u64(j, "logs", s->zk.logs);
    cli_json_u64(j, "epoch_claimed", s->zk.claimed);
    cli_json_u64(j, "epochs_left", verify_zk_left(v));
    if (!v->ok)
        cJSON_AddStringToObject(j, "error", error);
    cli_print_json(j);
}

static void verify_zk_print(const struct verify_zk *v)
{
    const struct cli_migrate_state *s = &v->s;
    char size[16], records[64] = "no records";
    uint64_t first = base_max_u64(s->zk.first, 1);
    if (s->index >= first)
        snprintf(records, sizeof records, "records %llu to %llu", (unsigned long long)first,
                 (unsigned long long)s->index);
    if (!v->ok)
        cli_error(s->cli, 0,
                  "a master starts from here, with every record: image %llu, and %s in the logs",
                  (unsigned long long)s->image_index, records);
    else if (!s->index)
        printf("ok: no record yet: no master has served from it\n");
    else
        printf("ok: %s in %llu segments (%s), image at %llu of member %u, %u "
               "images, epoch %llu, %llu epochs left\n",
               records, (unsigned long long)v->segments, cli_bytes(size, v->bytes),
               (unsigned long long)s->image_index, s->member, s->zk.images,
               (unsigned long long)s->zk.served, (unsigned long long)verify_zk_left(v));
}

static int verify_zk_look(struct verify_zk *v, struct cli *c)
{
    int code = cli_migrate_state_begin(&v->s, c, &v->p);
    v->s.zk.checks_all = true;
    if (!code)
        code = cli_migrate_zk_read(&v->s, &v->d, "");
    v->starts = !code;
    if (!code && !meta_check(v->s.meta, v->broken, sizeof v->broken)) {
        v->starts = false;
        code = cli_error(c, CLI_DATA,
                         "%s: the state that it leads to is not sound: %s.  Nothing was changed.  "
                         "Restore a backup (`tarn journal restore`)",
                         v->p.dir[0], v->broken);
    }
    v->ok = !code && !v->d.complaints;
    return code ? code : v->ok ? CLI_OK : CLI_DATA;
}

int cli_verify_zk(struct cli *c, const char *spec)
{
    static struct verify_zk v;
    memset(&v, 0, sizeof v);
    int code = cli_migrate_place_zk(&v.p, c, "verify", spec);
    if (!code)
        code = cli_dir_open_zk(&v.d, c, v.p.dir[0]);
    if (code) {
        cli_migrate_place_end(&v.p);
        return code;
    }
    code = verify_zk_look(&v, c);
    verify_zk_size(&v, v.p.dir[0], false);
    if (c->json && (!code || v.s.zk.slots))
        verify_zk_json(&v, *v.d.complaint ? v.d.complaint : cli_error_text());
    else if (!c->json && v.starts)
        verify_zk_print(&v);
    if (code == CLI_DATA && v.s.zk.slots) /* or was it read while it changed? */
        (void)cli_zk_living(c, v.p.config, v.p.dir[0], v.s.cluster_hi, v.s.cluster_lo);
    cli_dir_close(&v.d);
    cli_migrate_state_end(&v.s);
    cli_migrate_place_end(&v.p);
    return code;
}
