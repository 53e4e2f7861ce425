/* sim/tarn_sim_find.c - scenarios by name: where those that come with tarn-sim are. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fmt.h"
#include "sim/lab_word.h"
#include "sim/tarn_sim.h"

/* of the machine that it was installed on, as the build was told */
#ifndef TARN_SIM_SHARE
#define TARN_SIM_SHARE ""
#endif

enum { FIND_NAMES = 500 };

/* the folder of the program, so many steps up: build/gcc/tarn-sim 2, bin/tarn-sim 1; false: there
 * is none */
static bool above_program(unsigned steps, char *path, size_t cap)
{
    ssize_t n = readlink("/proc/self/exe", path, cap - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    for (unsigned i = 0; i <= steps; i++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return false;
        *slash = 0;
    }
    return true;
}

bool tarn_sim_scenarios(unsigned i, char *ret_dir, size_t cap)
{
    char top[400];
    switch (i) {
    case 0:
        fmt_into(ret_dir, cap, "sim/scenarios");
        return true;
    case 1:
        fmt_into(ret_dir, cap, "%s/sim/scenarios", above_program(2, top, sizeof top) ? top : "");
        return true;
    case 2:
        fmt_into(ret_dir, cap, "%s/share/tarn/sim/scenarios",
                 above_program(1, top, sizeof top) ? top : "");
        return true;
    case 3:
        fmt_into(ret_dir, cap, "%s/sim/scenarios", TARN_SIM_SHARE);
        return *TARN_SIM_SHARE;
    default:
        return false;
    }
}

static bool is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && !S_ISDIR(st.st_mode);
}

const char *tarn_sim_find(const char *name, char *path, size_t cap)
{
    char dir[500];
    size_t n = strlen(name);
    if (strchr(name, '/') || (n > 5 && !strcmp(name + n - 5, ".json")) || is_file(name))
        return name;
    for (unsigned i = 0; tarn_sim_scenarios(i, dir, sizeof dir); i++) {
        fmt_into(path, cap, "%s/%s.json", dir, name);
        if (is_file(path))
            return path;
    }
    return NULL;
}

static const char *near_name(const char *name)
{
    static char names[FIND_NAMES][64];
    const char *list[FIND_NAMES];
    char dir[500];
    size_t n = 0;
    for (unsigned i = 0; tarn_sim_scenarios(i, dir, sizeof dir); i++) {
        DIR *d = opendir(dir);
        struct dirent *e;
        while (d && n < FIND_NAMES && (e = readdir(d))) {
            size_t len = strlen(e->d_name);
            if (len <= 5 || len >= sizeof names[0] || strcmp(e->d_name + len - 5, ".json") != 0)
                continue;
            fmt_into(names[n], sizeof names[n], "%.*s", (int)len - 5, e->d_name);
            list[n] = names[n];
            n++;
        }
        if (d)
            closedir(d);
    }
    return lab_word_near(name, list, n);
}

int tarn_sim_no_scenario(const char *name)
{
    const char *near = near_name(name);
    tarn_sim_say(
        "there is no scenario %s%s%s%s (a file needs \"/\" or \".json\"; `%s list scenarios` "
        "shows what there is)\n",
        name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "", tarn_sim_name());
    return EXIT_USAGE;
}
