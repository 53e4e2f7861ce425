/* sim/lab_load_probe.c - after the storm: every client walks the whole tree, and writes, reads and
 * removes a file of its own.  All of it must succeed (see sim/lab_load.h).
 *
 *   LIST a directory -> ATTR of each of its names [-> FILE_OPEN -> FILE_READ -> FILE_RELEASE] ->
 *   ... next directory -> CREATE -> OPEN -> WRITE -> RELEASE -> REOPEN -> READ -> RERELEASE ->
 *   UNLINK -> DONE
 *
 * Each file is read by one of the clients.
 *
 * Others walk and remove their probes at the same time, so a name may be gone (E_STALE, E_NOENT):
 * that is success too. */
#include "sim/lab_load_impl.h"

static const uint32_t PROBE_BYTES = 5000;

static void probe_fs(struct load_thread *t, uint16_t kind, struct ino ino)
{
    memset(&t->req.fsop, 0, sizeof t->req.fsop);
    t->req.fsop.kind = kind;
    t->req.fsop.ino = ino;
    if (kind == FSOP_MKNOD || kind == FSOP_UNLINK) {
        t->req.fsop.name = t->name;
        t->req.fsop.name_len =
            (uint32_t)fmt_into(t->name, sizeof t->name, "probe-%u", t->lc->number);
        t->req.fsop.mode = kind == FSOP_MKNOD ? 0644 : 0;
    }
    lab_load_fs(t);
}

static void probe_open(struct load_thread *t, struct ino ino, uint32_t mode)
{
    memset(&t->req.fsop, 0, sizeof t->req.fsop);
    t->req.fsop = (struct fsop){.kind = FSOP_OPEN, .ino = ino, .mode = mode};
    lab_load_fs(t);
}

static void probe_failed(struct load_thread *t, int64_t ret)
{
    static const char *const names[] = {"",        "list",   "getattr", "open",   "read",
                                        "release", "create", "open",    "write",  "release",
                                        "reopen",  "read",   "release", "unlink", ""};
    lab_check_fail(t->lc->l->check, LAB_LIVENESS,
                   "%s: all is healed, but %s of the last walk (inode %llu) ended with %s",
                   lab_load_who(t), names[t->lc->probe], (unsigned long long)t->req.fsop.ino.v,
                   ret < 0 ? err_name((int)ret) : "too few bytes");
    t->lc->probe = PROBE_DONE;
    t->state = LOAD_IDLE;
}

/* the names of the listing that has just ended: directories are walked, all are asked about */
static void probe_next_entry(struct load_thread *t)
{
    struct load_client *lc = t->lc;
    if (lc->entry_at < t->n_list) {
        lc->probe = PROBE_ATTR;
        probe_fs(t, FSOP_GETATTR, t->list[lc->entry_at++].ino);
        return;
    }
    if (lc->dir_at < lc->n_dirs) {
        lc->probe = PROBE_LIST;
        t->n_list = 0;
        lc->entry_at = 0;
        probe_fs(t, FSOP_READDIR, lc->dirs[lc->dir_at++]);
        return;
    }
    lc->probe = PROBE_CREATE;
    probe_fs(t, FSOP_MKNOD, INO_ROOT);
}

void lab_load_probe_begin(struct load_client *lc)
{
    struct load_thread *t = lc->threads;
    lc->dirs[0] = INO_ROOT;
    lc->n_dirs = 1;
    lc->dir_at = lc->entry_at = 0;
    t->n_list = 0;
    t->kind = LAB_LOAD_LIST;
    probe_next_entry(t);
}

void lab_load_probe_step(struct load_thread *t, int64_t ret)
{
    struct load_client *lc = t->lc;
    const struct fsattr *a = &t->req.reply.attr;
    bool gone = ret == E_STALE || ret == E_NOENT;
    bool may_go = lc->probe == PROBE_ATTR || lc->probe == PROBE_LIST ||
                  lc->probe == PROBE_FILE_OPEN || lc->probe == PROBE_FILE_READ;
    if (ret < 0 && !(gone && may_go) && !(lc->probe == PROBE_CREATE && ret == E_EXIST)) {
        probe_failed(t, ret);
        return;
    }
    switch (lc->probe) {
    case PROBE_ATTR:
        if (!gone && (a->mode & FSOP_S_IFMT) == FSOP_S_IFDIR && lc->n_dirs < LOAD_DIRS)
            lc->dirs[lc->n_dirs++] = a->ino;
        if (!gone && (a->mode & FSOP_S_IFMT) == FSOP_S_IFREG &&
            a->ino.v % lc->l->n_clients == lc->number) {
            lc->probe = PROBE_FILE_OPEN;
            probe_open(t, a->ino, FSOP_ACCESS_R);
            break;
        }
        probe_next_entry(t);
        break;
    case PROBE_FILE_OPEN:
        if (gone) {
            probe_next_entry(t);
            break;
        }
        lc->probe = PROBE_FILE_READ;
        t->io.off = 0;
        t->io.len = t->buf_bytes;
        lab_load_io(t, LOAD_READ);
        break;
    case PROBE_FILE_READ:
        lc->probe = PROBE_FILE_RELEASE;
        lab_load_io(t, LOAD_RELEASE);
        break;
    case PROBE_FILE_RELEASE:
        probe_next_entry(t);
        break;
    case PROBE_LIST:
        if (gone)
            t->n_list = 0;
        probe_next_entry(t);
        break;
    case PROBE_CREATE:
        if (ret == E_EXIST) { /* of an earlier life */
            probe_failed(t, ret);
            break;
        }
        lc->probe_ino = a->ino;
        lc->probe = PROBE_OPEN;
        probe_open(t, lc->probe_ino, FSOP_ACCESS_R | FSOP_ACCESS_W);
        break;
    case PROBE_OPEN:
        lc->probe = PROBE_WRITE;
        t->io.off = 0;
        t->io.len = PROBE_BYTES < t->buf_bytes ? PROBE_BYTES : t->buf_bytes;
        lab_load_fill(t->buf, t->io.len, lc->number + 1);
        lab_load_io(t, LOAD_WRITE);
        break;
    case PROBE_WRITE:
        lc->probe = PROBE_RELEASE;
        lab_load_io(t, LOAD_RELEASE);
        break;
    case PROBE_RELEASE:
        lc->probe = PROBE_REOPEN;
        probe_open(t, lc->probe_ino, FSOP_ACCESS_R);
        break;
    case PROBE_REOPEN:
        lc->probe = PROBE_READ;
        lab_load_io(t, LOAD_READ);
        break;
    case PROBE_READ:
        if (ret != t->io.len) {
            probe_failed(t, ret);
            break;
        }
        lc->probe = PROBE_RERELEASE;
        lab_load_io(t, LOAD_RELEASE);
        break;
    case PROBE_RERELEASE:
        lc->probe = PROBE_UNLINK;
        probe_fs(t, FSOP_UNLINK, INO_ROOT);
        break;
    case PROBE_UNLINK:
        lc->probe = PROBE_DONE;
        lc->l->stats.probes_ok++;
        t->state = LOAD_IDLE;
        break;
    case PROBE_NO:
    case PROBE_DONE:
        break;
    }
}

void lab_load_probe(struct lab_load *l)
{
    for (uint32_t i = 0; i < l->n_clients; i++) {
        struct load_client *lc = l->clients[i];
        if (!lc->client) {
            lab_check_fail(l->check, LAB_LIVENESS, "%s does not run", sim_node_name(lc->node));
            continue;
        }
        lc->probe = PROBE_LIST;
        lab_load_probe_begin(lc);
    }
}

uint32_t lab_load_probes_left(const struct lab_load *l)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < l->n_clients; i++)
        left += l->clients[i]->probe != PROBE_DONE;
    return left;
}
