/* cluster/http_process.c - the process itself, by the names that Prometheus' own clients use. */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "cluster/http_metrics.h"

static void http_process_row(FILE *out, const char *name, const char *type, const char *help,
                             uint64_t v)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name, v);
}

static void http_process_seconds(FILE *out, const char *name, const char *type, const char *help,
                                 uint64_t ticks, uint64_t plus_s)
{
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 ".%02" PRIu64 "\n", name, help, name,
            type, name, plus_s + ticks / hz, ticks % hz * 100 / hz);
}

static uint64_t http_process_booted_s(void)
{
    char line[256];
    uint64_t at = 0;
    FILE *f = fopen("/proc/stat", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "btime %" SCNu64, &at) == 1)
            break;
    if (f)
        fclose(f);
    return at;
}

static uint64_t http_process_fds(void)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n ? n - 1 : 0; /* not the one that reads them */
}

void http_metrics_process(FILE *out)
{
    char text[1024];
    uint64_t user = 0, system = 0, threads = 0, start = 0, size = 0, pages = 0;
    struct rlimit files;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *p = strrchr(text, ')'); /* the name may hold anything */
    if (p && sscanf(p + 1,
                    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                    " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %" SCNu64 " %" SCNu64,
                    &user, &system, &threads, &start, &size, &pages) == 6) {
        http_process_seconds(out, "process_cpu_seconds_total", "counter",
                             "Processor time in user and kernel mode.", user + system, 0);
        http_process_seconds(out, "process_start_time_seconds", "gauge",
                             "When the process was started, since 1970.", start,
                             http_process_booted_s());
        http_process_row(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.", size);
        http_process_row(out, "process_resident_memory_bytes", "gauge", "Memory in use.",
                         pages * (uint64_t)sysconf(_SC_PAGESIZE));
        http_process_row(out, "process_threads", "gauge", "Threads.", threads);
    }
    http_process_row(out, "process_open_fds", "gauge", "Open descriptors.", http_process_fds());
    if (!getrlimit(RLIMIT_NOFILE, &files))
        http_process_row(out, "process_max_fds", "gauge", "Descriptors that may be open.",
                         files.rlim_cur);
    fprintf(out,
            "# HELP tarn_build_info Version and compiler of the program.\n"
            "# TYPE tarn_build_info gauge\n"
            "tarn_build_info{version=\"%s\",compiler=\"%s\"} 1\n",
            TARN_VERSION, __VERSION__);
}
