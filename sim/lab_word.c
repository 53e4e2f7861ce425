/* sim/lab_word.c - see sim/lab_word.h. */
#include "sim/lab_word.h"
#include <string.h>

unsigned lab_word_distance(const char *a, const char *b)
{
    unsigned row[80], n = (unsigned)strlen(b);
    if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
        return 1000;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned keep = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned edit = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = keep < edit ? keep : edit;
        }
    }
    return row[n];
}

bool lab_word_is_near(const char *a, const char *b)
{
    unsigned d = lab_word_distance(a, b);
    return d < strlen(a) && d <= 1 + strlen(a) / 4;
}

const char *lab_word_near(const char *word, const char *const *names, size_t n)
{
    const char *near = NULL;
    unsigned best = 1000;
    for (size_t i = 0; i < n; i++) {
        unsigned d = lab_word_distance(word, names[i]);
        if (d >= best || !lab_word_is_near(word, names[i]))
            continue;
        best = d;
        near = names[i];
    }
    return near;
}

bool lab_word_ppm(const char *text, uint64_t *ret_ppm)
{
    const char *p = text + 1;
    uint64_t scale = 1000000, v = (uint64_t)(*text - '0') * scale;
    if (*text < '0' || *text > '1' || (*p && (*p != '.' || !p[1])))
        return false;
    for (p += *p == '.'; *p >= '0' && *p <= '9' && scale > 1; p++) {
        scale /= 10;
        v += (uint64_t)(*p - '0') * scale;
    }
    *ret_ppm = v;
    return !*p && v <= 1000000;
}
