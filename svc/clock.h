/*
 * Time for timers and deadlines.
 */

#ifndef SVC_CLOCK_H
#define SVC_CLOCK_H

#include <event2/event.h>

#include <stdint.h>
#include <time.h>


/* Milliseconds that only grow. */
static inline int64_t
svc_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* Milliseconds since 1970, as this machine has it. */
static inline int64_t
svc_date(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* Arm a timer to fire in `ms`; negative: at once. */
static inline void
svc_timer(struct event *ev, int64_t ms)
{
    struct timeval  tv;

    if (ms < 0) {
        ms = 0;
    }

    tv.tv_sec = (time_t) (ms / 1000);
    tv.tv_usec = (suseconds_t) (ms % 1000 * 1000);

    event_add(ev, &tv);
}

#endif
