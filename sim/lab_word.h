/* sim/lab_word.h - words that somebody has written, and those that may have been meant. */
#ifndef SIM_LAB_WORD_H
#define SIM_LAB_WORD_H

#include "core/base.h"

/* letters that must be changed, added or dropped to make b of a; long words are far from all */
unsigned lab_word_distance(const char *a, const char *b);
/* is b near enough to a to have been meant by it? */
bool lab_word_is_near(const char *a, const char *b);
/* the nearest of the names, if it is near enough; else NULL */
const char *lab_word_near(const char *word, const char *const *names, size_t n);
/* "0.05" as 50000 parts per million: at most six places behind the point, 0 to 1 */
bool lab_word_ppm(const char *text, uint64_t *ret_ppm);

#endif
