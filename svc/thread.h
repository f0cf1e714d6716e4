/*
 * What blocks stays out of the loop: threads, and the ways between them and a
 * loop.
 */

#ifndef SVC_THREAD_H
#define SVC_THREAD_H

#include <event2/event.h>

#include <stdint.h>


/*
 * A loop that is woken. Waking it several times before it gets to that is
 * once; its owner may end it in the callback. `fd` is an eventfd, for
 * libraries that write to one themselves.
 */
typedef struct {
    int             fd;
    struct event   *ev;
    void          (*woken)(void *data);
    void           *data;
} svc_wake_t;

/* -1: out of descriptors. */
int svc_wake_init(svc_wake_t *w, struct event_base *base,
    void (*woken)(void *data), void *data);
void svc_wake_done(svc_wake_t *w);

/* From any thread. */
void svc_wake(svc_wake_t *w);


/*
 * A thread that sleeps: for so many ms, by a clock that does not step and that
 * goes on while the machine sleeps, or until it is woken, from any thread.
 */
typedef struct {
    int  wake;
    int  timer;
} svc_nap_t;

/* -1: out of descriptors. */
int svc_nap_init(svc_nap_t *nap);
void svc_nap_done(svc_nap_t *nap);
void svc_nap(svc_nap_t *nap, int64_t ms);
void svc_nap_end(svc_nap_t *nap);


/*
 * `run` in a thread of its own, then `done` in the loop, unless that was
 * cancelled, then `free`, in either. A `run` of NULL has been run. NULL: out
 * of threads or descriptors, and nothing is called.
 */
typedef struct svc_task_s  svc_task_t;

svc_task_t *svc_task(struct event_base *base, void (*run)(void *data),
    void (*done)(void *data), void (*free)(void *data), void *data);
void svc_task_cancel(svc_task_t *t);


/* `run` in a thread of its own that is waited for so long at most; whether it
 * is over. Without threads it is run here. */
int svc_run(void (*run)(void *data), void *data, int seconds);

#endif
