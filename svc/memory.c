/*
 * What is free in the heap, given back.
 */

#include "memory.h"

#include <malloc.h>
#include <stddef.h>

#define SVC_MEMORY_TICK  5                      /* s */
#define SVC_MEMORY_MUCH  (32 * 1024 * 1024)


static void svc_memory_tick(evutil_socket_t fd, short what, void *data);


static struct event  *svc_memory_event;


int
svc_memory_start(struct event_base *base)
{
    struct timeval  tv;

    svc_memory_event = event_new(base, -1, EV_PERSIST, svc_memory_tick, NULL);
    if (svc_memory_event == NULL) {
        return -1;
    }

    tv.tv_sec = SVC_MEMORY_TICK;
    tv.tv_usec = 0;

    return event_add(svc_memory_event, &tv);
}


void
svc_memory_stop(void)
{
    event_free(svc_memory_event);
}


/* What was given back still counts as free: only what came since is news. */

static void
svc_memory_tick(evutil_socket_t fd, short what, void *data)
{
#if (defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33))

    size_t         free;
    static size_t  given;

    free = mallinfo2().fordblks;

    if (free > given + SVC_MEMORY_MUCH) {
        malloc_trim(0);
        free = mallinfo2().fordblks;
        given = free;

    } else if (free < given) {
        given = free;
    }

#endif

    (void) fd;
    (void) what;
    (void) data;
}
