/* core/list.h - an intrusive, circular, doubly linked list.  An entry knows whether it is linked.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include "core/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* true while an entry is on some list; an entry must be list_init()ed or zero before it is asked */
static inline bool list_linked(const struct list *entry)
{
    return entry->next && entry->next != entry;
}

static inline void list_insert(struct list *entry, struct list *prev, struct list *next)
{
    entry->prev = prev;
    entry->next = next;
    prev->next = entry;
    next->prev = entry;
}

static inline void list_push_back(struct list *head, struct list *entry)
{
    list_insert(entry, head->prev, head);
}

static inline void list_push_front(struct list *head, struct list *entry)
{
    list_insert(entry, head, head->next);
}

static inline void list_remove(struct list *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    list_init(entry);
}

/* the first entry unlinked and returned, or NULL */
static inline struct list *list_pop(struct list *head)
{
    struct list *e = head->next;
    if (e == head)
        return NULL;
    list_remove(e);
    return e;
}

/* moves every entry of from to the end of to */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_each(it, head)           for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_each_safe(it, head)                                              \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
