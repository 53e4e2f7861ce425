/* sim/lab_json.h - strings as JSON, and what a reader of JSON gets back.
 *
 *  1. What is written is valid JSON and valid UTF-8, whatever the bytes are: control characters are
 *     \u00XX, and so is each byte that belongs to no character of UTF-8 (it comes back as the
 *     character of that number). */
#ifndef SIM_LAB_JSON_H
#define SIM_LAB_JSON_H

#include <stdio.h>
#include "core/base.h"

/* in quotes */
void lab_json_string(FILE *to, const char *s);
void lab_json_bytes(FILE *to, const char *s, size_t n);

#endif
