/* core/fmt.h - text for operators: the one place that formats. */
#ifndef CORE_FMT_H
#define CORE_FMT_H

#include <stdarg.h>
#include "core/env.h"

/* printf into buf (always ended by NUL, cut to cap); returns the length written */
size_t fmt_into(char *buf, size_t cap, const char *format, ...) PRINTF_LIKE(3, 4);
size_t fmt_into_v(char *buf, size_t cap, const char *format, va_list args);
/* one log line */
void fmt_log(struct env *e, enum env_log level, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
