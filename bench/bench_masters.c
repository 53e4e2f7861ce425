/* bench/bench_masters.c - a cluster of several masters, as an operator makes one. */
#include "bench/bench_masters.h"
#include <cjson/cJSON.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* what a command prints, whole */
static cJSON *bench_masters_json(const char *command)
{
    static char text[64 * 1024];
    FILE *p = popen(command, "r");
    size_t n = p ? fread(text, 1, sizeof text - 1, p) : 0;
    if (p)
        pclose(p);
    text[n] = 0;
    return cJSON_Parse(text);
}

bool bench_masters_start(struct bench_masters *m, int i)
{
    char verb[] = "master", config[] = "--config", set[] = "--set", id[32], dir[600], listen[64],
         log[600];
    snprintf(id, sizeof id, "journal.id=%d", i + 1);
    snprintf(dir, sizeof dir, "master.dir=%s/master%d", m->dir, i + 1);
    snprintf(listen, sizeof listen, "master.listen=%s", m->listen[i]);
    snprintf(log, sizeof log, "%s/master%d.log", m->dir, i + 1);
    char *argv[] = {m->b->self, verb, config, m->config, set, id, set, dir, set, listen, NULL};
    return bench_proc_start(&m->proc[i], argv, log, false);
}

static bool bench_masters_bootstrap(struct bench_masters *m, int i, char cluster[64])
{
    char command[2600];
    snprintf(command, sizeof command,
             "'%s' journal bootstrap --json --config '%s' --set journal.id=%d --set "
             "master.listen=%s --set 'master.dir=%s/master%d' %s %s 2>> '%s/bootstrap.log'",
             m->b->self, m->config, i + 1, m->listen[i], m->dir, i + 1, *cluster ? "--cluster" : "",
             cluster, m->dir);
    cJSON *j = bench_masters_json(command);
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(j, "cluster"));
    if (id)
        snprintf(cluster, 64, "%s", id);
    else
        fprintf(stderr, "tarn bench: bootstrap: %s\n", command);
    cJSON_Delete(j);
    return id != NULL;
}

bool bench_masters_open(struct bench_masters *m, struct bench *b, const char *dir, int n, int ports,
                        const char *memory)
{
    char members[300] = "", cluster[64] = "";
    m->b = b;
    m->n = n;
    m->all[0] = 0;
    snprintf(m->dir, sizeof m->dir, "%s", dir);
    snprintf(m->config, sizeof m->config, "%s/masters.json", dir);
    for (int i = 0; i < n; i++) {
        size_t k = strlen(members), a = strlen(m->all);
        snprintf(m->listen[i], sizeof m->listen[i], "127.0.0.1:%d", ports + i);
        snprintf(members + k, sizeof members - k, "%s%d@%s", i ? "," : "", i + 1, m->listen[i]);
        snprintf(m->all + a, sizeof m->all - a, "%s%s", i ? "," : "", m->listen[i]);
    }
    FILE *f = fopen(m->config, "we");
    if (!f)
        return bench_fail(m->config);
    fprintf(f,
            "{\"journal\": {\"type\": \"raft\", \"members\": \"%s\"},\n \"master\": {\"memory\": "
            "\"%s\"},\n \"mounts\": %s}\n",
            members, memory, m->mounts ? m->mounts : "[{\"path\": \"/\", \"mode\": \"meta\"}]");
    fclose(f);
    for (int i = 0; i < n; i++)
        if (!bench_masters_bootstrap(m, i, cluster))
            return false;
    for (int i = 0; i < n; i++)
        if (!bench_masters_start(m, i))
            return false;
    return true;
}

void bench_masters_close(struct bench_masters *m)
{
    for (int i = 0; i < m->n; i++)
        bench_proc_kill(&m->proc[i]);
}

int bench_masters_ask(struct bench_masters *m, struct bench_masters_member *ret,
                      double *ret_committed)
{
    char command[1400];
    int answers = 0;
    snprintf(command, sizeof command, "'%s' journal status --json --config '%s' 2> /dev/null",
             m->b->self, m->config);
    cJSON *j = bench_masters_json(command), *e;
    *ret_committed = cJSON_GetNumberValue(cJSON_GetObjectItem(j, "committed"));
    memset(ret, 0, sizeof *ret * (size_t)m->n);
    cJSON_ArrayForEach(e, cJSON_GetObjectItem(j, "members"))
    {
        int i = (int)cJSON_GetNumberValue(cJSON_GetObjectItem(e, "id")) - 1;
        const char *role = cJSON_GetStringValue(cJSON_GetObjectItem(e, "role"));
        if (i < 0 || i >= m->n)
            continue;
        ret[i].answers = cJSON_IsTrue(cJSON_GetObjectItem(e, "answers"));
        snprintf(ret[i].role, sizeof ret[i].role, "%s", role ? role : "");
        ret[i].match = cJSON_GetNumberValue(cJSON_GetObjectItem(e, "match"));
        ret[i].applied = cJSON_GetNumberValue(cJSON_GetObjectItem(e, "applied"));
        ret[i].image = cJSON_GetNumberValue(cJSON_GetObjectItem(e, "image"));
        answers += ret[i].answers;
    }
    cJSON_Delete(j);
    return answers;
}

int bench_masters_leader(struct bench_masters *m, bool whole, int timeout_ms)
{
    int64_t limit = bench_now_ns() + timeout_ms * 1000000LL;
    struct bench_masters_member e[BENCH_MASTERS_MAX];
    double committed;
    for (; bench_now_ns() < limit; usleep(100000)) {
        int leader = -1, answers = bench_masters_ask(m, e, &committed);
        bool all = answers == m->n;
        for (int i = 0; i < m->n; i++) {
            if (e[i].answers && !strcmp(e[i].role, "leader"))
                leader = i;
            all = all && e[i].applied + 1000 >= committed;
        }
        if (leader >= 0 && (all || !whole))
            return leader;
    }
    fprintf(stderr, "tarn bench: the masters do not come together; see %s\n", m->dir);
    return -1;
}
