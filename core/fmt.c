/* core/fmt.c - vsnprintf is pure for integers and strings; no other file of core includes stdio. */
#include <stdio.h>
#include "core/fmt.h"

size_t fmt_into_v(char *buf, size_t cap, const char *format, va_list args)
{
    if (!cap)
        return 0;
    int n = vsnprintf(buf, cap, format, args);
    if (n < 0) {
        buf[0] = 0;
        return 0;
    }
    return (size_t)n < cap ? (size_t)n : cap - 1;
}

size_t fmt_into(char *buf, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = fmt_into_v(buf, cap, format, args);
    va_end(args);
    return n;
}

void fmt_log(struct env *e, enum env_log level, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    fmt_into_v(line, sizeof line, format, args);
    va_end(args);
    env_log(e, level, line);
}
