#include "journal/ship.h"
struct ship {
    struct env *e;
    struct mem *m;
};
struct ship *ship_create(struct env *e, struct mem *m, const char *dir)
{
    (void)dir;
    struct ship *s = mem_zalloc(m, sizeof *s);
    if (s) {
        s->e = e;
        s->m = m;
    }
    return s;
}
void ship_free(struct ship *s)
{
    mem_free(s->m, s, sizeof *s);
}
void ship_on_get(struct ship *s, struct env_peer *from, const void *b, uint32_t n)
{
    (void)s, (void)from, (void)b, (void)n;
}
void ship_on_data(struct ship *s, struct env_peer *from, const void *b, uint32_t n)
{
    (void)s, (void)from, (void)b, (void)n;
}
void ship_lost(struct ship *s, struct env_peer *p)
{
    (void)s, (void)p;
}
void ship_fetch(struct ship *s, uint64_t index, uint64_t term, struct env_peer *holder,
                struct env_op *op)
{
    (void)index, (void)term, (void)holder;
    op->ret = E_TIMEOUT;
    env_post(s->e, op);
}
void ship_cancel(struct ship *s)
{
    (void)s;
}
