/*
 * A list of things that carry their place in it; nothing is allocated. A link
 * that is in no list is one by itself, so it may be removed at any time.
 */

#ifndef GOIM_LINK_H
#define GOIM_LINK_H

#include <stddef.h>

typedef struct goim_link_s  goim_link_t;

struct goim_link_s {
    goim_link_t  *prev;
    goim_link_t  *next;
};


#define goim_link_data(l, type, field)                                        \
    ((type *) ((char *) (l) - offsetof(type, field)))


static inline void
goim_link_init(goim_link_t *l)
{
    l->prev = l;
    l->next = l;
}


static inline int
goim_link_empty(const goim_link_t *l)
{
    return l->next == l;
}


static inline void
goim_link_remove(goim_link_t *l)
{
    l->next->prev = l->prev;
    l->prev->next = l->next;
    goim_link_init(l);
}


/* from where it was to the end of that list */

static inline void
goim_link_move(goim_link_t *list, goim_link_t *l)
{
    goim_link_remove(l);

    l->prev = list->prev;
    l->next = list;
    list->prev->next = l;
    list->prev = l;
}


/* all of one list to the end of another */

static inline void
goim_link_join(goim_link_t *list, goim_link_t *from)
{
    if (goim_link_empty(from)) {
        return;
    }

    from->next->prev = list->prev;
    list->prev->next = from->next;
    from->prev->next = list;
    list->prev = from->prev;

    goim_link_init(from);
}

#endif
