/* bench/bench_zookeeper.c - see bench_zookeeper.h. */
#include "bench/bench_zookeeper.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ZOOKEEPER_JAR "/usr/share/java/zookeeper.jar"

bool bench_zookeeper_is_there(void)
{
    return !access(ZOOKEEPER_JAR, R_OK) && !system("command -v java > /dev/null");
}

bool bench_zookeeper_start(struct bench_proc *p, const char *dir, const char *log, int port, int id,
                           const char *servers)
{
    char program[] = "java", path[700], least[] = "-Xms128m", most[] = "-Xmx512m", cp[] = "-cp",
         jars[] = ZOOKEEPER_JAR ":/usr/share/java/slf4j-nop.jar",
         name[] = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    snprintf(path, sizeof path, "%s/myid", dir);
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%d\n", id) < 0 || fclose(f))
        return bench_fail(path);
    snprintf(path, sizeof path, "%s/zoo.cfg", dir);
    if (!(f = fopen(path, "we")))
        return bench_fail(path);
    /* sessions from two to twenty ticks are granted */
    fprintf(f,
            "tickTime=%d\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%d\n"
            "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
            "4lw.commands.whitelist=srvr\n%s",
            servers ? 2000 : 500, dir, port, servers ? servers : "");
    if (fclose(f))
        return bench_fail(path);
    char *argv[] = {program, least, most, cp, jars, name, path, NULL};
    return bench_proc_start(p, argv, log, false);
}
