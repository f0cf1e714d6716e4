/*
 * Threads for what blocks.
 */

#include "thread.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>


static int
svc_eventfd(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}


static void
svc_eventfd_set(int fd)
{
    uint64_t  one;

    one = 1;

    if (write(fd, &one, sizeof(one)) == -1) {
        /* an eventfd takes a 1 always */
    }
}


static void
svc_eventfd_clear(int fd)
{
    uint64_t  n;

    if (read(fd, &n, sizeof(n)) == -1) {
        /* nobody has set it */
    }
}


/* ---- a loop that is woken ---- */

static void
svc_on_wake(evutil_socket_t fd, short what, void *data)
{
    svc_wake_t  *w;

    (void) what;

    w = data;

    svc_eventfd_clear(fd);
    w->woken(w->data);
}


int
svc_wake_init(svc_wake_t *w, struct event_base *base,
    void (*woken)(void *data), void *data)
{
    w->woken = woken;
    w->data = data;
    w->fd = svc_eventfd();

    if (w->fd == -1) {
        return -1;
    }

    w->ev = event_new(base, w->fd, EV_READ | EV_PERSIST, svc_on_wake, w);

    if (w->ev == NULL) {
        abort();
    }

    event_add(w->ev, NULL);

    return 0;
}


void
svc_wake_done(svc_wake_t *w)
{
    event_free(w->ev);
    close(w->fd);
}


void
svc_wake(svc_wake_t *w)
{
    svc_eventfd_set(w->fd);
}


/* ---- a thread that sleeps ---- */

int
svc_nap_init(svc_nap_t *nap)
{
    nap->wake = svc_eventfd();

    if (nap->wake == -1) {
        return -1;
    }

    nap->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);

    if (nap->timer == -1) {
        close(nap->wake);
        return -1;
    }

    return 0;
}


void
svc_nap_done(svc_nap_t *nap)
{
    close(nap->wake);
    close(nap->timer);
}


void
svc_nap(svc_nap_t *nap, int64_t ms)
{
    struct pollfd      fds[2];
    struct itimerspec  it;

    memset(&it, 0, sizeof(it));
    it.it_value.tv_sec = (time_t) (ms / 1000);
    it.it_value.tv_nsec = (long) (ms % 1000 * 1000000);
    timerfd_settime(nap->timer, 0, &it, NULL);

    fds[0].fd = nap->wake;
    fds[0].events = POLLIN;
    fds[1].fd = nap->timer;
    fds[1].events = POLLIN;

    poll(fds, 2, -1);

    svc_eventfd_clear(nap->wake);
}


void
svc_nap_end(svc_nap_t *nap)
{
    svc_eventfd_set(nap->wake);
}


/* ---- work ---- */

/* Shared by loop and thread; the last of the two frees it. */
struct svc_task_s {
    pthread_mutex_t    lock;        /* of the next two */
    int                refs;
    int                left;        /* the loop has */
    svc_wake_t         wake;
    void             (*run)(void *data);
    void             (*done)(void *data);
    void             (*free)(void *data);
    void              *data;
};


static void
svc_task_unref(svc_task_t *t)
{
    int  refs;

    pthread_mutex_lock(&t->lock);
    refs = --t->refs;
    pthread_mutex_unlock(&t->lock);

    if (refs == 0) {
        t->free(t->data);
        pthread_mutex_destroy(&t->lock);
        free(t);
    }
}


static void *
svc_task_thread(void *data)
{
    svc_task_t  *t;

    t = data;
    t->run(t->data);

    pthread_mutex_lock(&t->lock);

    if (!t->left) {
        svc_wake(&t->wake);
    }

    pthread_mutex_unlock(&t->lock);

    svc_task_unref(t);

    return NULL;
}


static void
svc_task_leave(svc_task_t *t)
{
    pthread_mutex_lock(&t->lock);
    t->left = 1;
    pthread_mutex_unlock(&t->lock);

    svc_wake_done(&t->wake);
}


static void
svc_task_over(void *data)
{
    svc_task_t  *t;

    t = data;

    svc_task_leave(t);
    t->done(t->data);
    svc_task_unref(t);
}


void
svc_task_cancel(svc_task_t *t)
{
    svc_task_leave(t);
    svc_task_unref(t);
}


static int
svc_task_start(svc_task_t *t)
{
    int        rc;
    pthread_t  tid;

    if (t->run == NULL) {
        svc_wake(&t->wake);
        return 0;
    }

    t->refs++;
    rc = pthread_create(&tid, NULL, svc_task_thread, t);

    if (rc != 0) {
        return -1;
    }

    pthread_detach(tid);

    return 0;
}


svc_task_t *
svc_task(struct event_base *base, void (*run)(void *data),
    void (*done)(void *data), void (*freed)(void *data), void *data)
{
    svc_task_t  *t;

    t = calloc(1, sizeof(svc_task_t));
    if (t == NULL) {
        return NULL;
    }

    t->refs = 1;
    t->run = run;
    t->done = done;
    t->free = freed;
    t->data = data;

    if (svc_wake_init(&t->wake, base, svc_task_over, t) != 0) {
        free(t);
        return NULL;
    }

    pthread_mutex_init(&t->lock, NULL);

    if (svc_task_start(t) != 0) {
        svc_wake_done(&t->wake);
        pthread_mutex_destroy(&t->lock);
        free(t);
        return NULL;
    }

    return t;
}


typedef struct {
    void   (*run)(void *data);
    void    *data;
} svc_run_t;


static void *
svc_run_thread(void *data)
{
    svc_run_t  r;

    r = *(svc_run_t *) data;
    free(data);

    r.run(r.data);

    return NULL;
}


int
svc_run(void (*run)(void *data), void *data, int seconds)
{
    pthread_t         tid;
    svc_run_t        *r;
    struct timespec   ts;

    r = malloc(sizeof(svc_run_t));
    if (r == NULL) {
        abort();
    }

    r->run = run;
    r->data = data;

    if (pthread_create(&tid, NULL, svc_run_thread, r) != 0) {
        svc_run_thread(r);
        return 1;
    }

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += seconds;

    if (seconds > 0
        && pthread_clockjoin_np(tid, NULL, CLOCK_MONOTONIC, &ts) == 0)
    {
        return 1;
    }

    pthread_detach(tid);

    return 0;
}
