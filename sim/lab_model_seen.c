/* sim/lab_model_seen.c - nobody sees something new and then something old (see sim/lab_model.h).
 *
 * INVARIANTS
 *  1. Each fact goes by itself.  What a client has kept under its lease may be older than what it
 *     has just seen of another thing, until the change is answered; not than what it saw of this.
 *  2. What any client has seen binds an answer that a master gives to a question which was put
 *     later: masters answer what is so (cluster/master_standby.c).  What a client had kept it does
 *     not bind: its lease is waited for.
 *  3. A question that was put before the other answer came is bound by nothing of it.
 *  4. Of each fact and client MODEL_SEEN_LAST indices are kept, of all of them MODEL_SEEN facts.
 *     One that was forgotten binds nobody: less is judged, never too much. */
#include "sim/lab_model_impl.h"

struct lab_asker lab_model_asker(const char *client, bool is_master)
{
    return (struct lab_asker){base_hash(client, strlen(client), 9) | 1, is_master};
}

static struct model_seen *seen_at(const struct lab_model *m, uint64_t client, enum lab_fact fact,
                                  uint64_t id, uint64_t name, uint64_t *ret_key)
{
    const uint64_t what[] = {client, fact, id, name};
    *ret_key = base_hash(what, sizeof what, 11);
    return &m->seen[*ret_key % MODEL_SEEN];
}

static uint64_t seen_by(const struct lab_model *m, uint64_t client, enum lab_fact fact, uint64_t id,
                        uint64_t name, int64_t from_ns)
{
    uint64_t key;
    const struct model_seen *s = seen_at(m, client, fact, id, name, &key);
    for (int i = 0; s->key == key && i < MODEL_SEEN_LAST; i++)
        if (s->last[i].at_ns < from_ns)
            return s->last[i].index;
    return 0;
}

uint64_t lab_model_seen(const struct lab_model *m, struct lab_asker by, enum lab_fact fact,
                        uint64_t id, uint64_t name, int64_t from_ns)
{
    uint64_t own = by.client ? seen_by(m, by.client, fact, id, name, from_ns) : 0;
    uint64_t all = by.is_master ? seen_by(m, 0, fact, id, name, from_ns) : 0;
    return base_max_u64(own, all);
}

static void seen_put(struct lab_model *m, uint64_t client, enum lab_fact fact, uint64_t id,
                     uint64_t name, uint64_t index, int64_t now_ns)
{
    uint64_t key;
    struct model_seen *s = seen_at(m, client, fact, id, name, &key);
    if (s->key != key)
        *s = (struct model_seen){.key = key};
    if (index <= s->last[0].index)
        return;
    memmove(s->last + 1, s->last, sizeof s->last - sizeof s->last[0]);
    s->last[0].at_ns = now_ns;
    s->last[0].index = index;
}

void lab_model_see(struct lab_model *m, struct lab_asker by, enum lab_fact fact, uint64_t id,
                   uint64_t name, uint64_t index, int64_t now_ns)
{
    if (by.client)
        seen_put(m, by.client, fact, id, name, index, now_ns);
    seen_put(m, 0, fact, id, name, index, now_ns);
}
