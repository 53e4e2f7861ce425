#ifndef JOURNAL_SHIP_H
#define JOURNAL_SHIP_H
#include "journal/journal.h"
enum { SHIP_FRAME_GET = JOURNAL_FRAME_MIN + 0x10, SHIP_FRAME_DATA };
struct ship;
struct ship *ship_create(struct env *e, struct mem *m, const char *dir);
void ship_free(struct ship *s);
void ship_on_get(struct ship *s, struct env_peer *from, const void *b, uint32_t n);
void ship_on_data(struct ship *s, struct env_peer *from, const void *b, uint32_t n);
void ship_lost(struct ship *s, struct env_peer *p);
void ship_fetch(struct ship *s, uint64_t index, uint64_t term, struct env_peer *holder,
                struct env_op *op);
void ship_cancel(struct ship *s);
#endif
