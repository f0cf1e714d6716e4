/*
 * Names to addresses off the loop.
 */

#include "resolve.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>


/* Shared by loop and thread; the last of the two frees it. */
struct svc_resolve_s {
    pthread_mutex_t    lock;
    int                refs;
    int                fd;          /* eventfd: the thread has finished */
    int                rc;
    struct addrinfo   *list;
    char              *host;
    char               port[8];

    struct event      *ev;          /* the loop's from here on */
    svc_resolve_pt     cb;
    void              *data;
};


static int
svc_resolve_lookup(svc_resolve_t *s, int flags, struct addrinfo **list)
{
    struct addrinfo  hints;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;

    *list = NULL;

    return getaddrinfo(s->host, s->port, &hints, list);
}


static void
svc_resolve_unref(svc_resolve_t *s)
{
    int  refs;

    pthread_mutex_lock(&s->lock);
    refs = --s->refs;
    pthread_mutex_unlock(&s->lock);

    if (refs > 0) {
        return;
    }

    if (s->list != NULL) {
        freeaddrinfo(s->list);
    }

    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s->host);
    free(s);
}


static void *
svc_resolve_thread(void *data)
{
    int               rc;
    uint64_t          one;
    svc_resolve_t    *s;
    struct addrinfo  *list;

    s = data;
    one = 1;

    rc = svc_resolve_lookup(s, 0, &list);

    pthread_mutex_lock(&s->lock);
    s->rc = rc;
    s->list = list;
    pthread_mutex_unlock(&s->lock);

    if (write(s->fd, &one, sizeof(one)) == -1) {
        /* an eventfd takes a 1 always; the waiting side has a time limit */
    }

    svc_resolve_unref(s);

    return NULL;
}


static void
svc_resolve_done(evutil_socket_t fd, short what, void *data)
{
    const char       *error;
    svc_resolve_t    *s;
    struct addrinfo  *list;

    (void) fd;
    (void) what;

    s = data;

    pthread_mutex_lock(&s->lock);
    list = s->list;
    s->list = NULL;
    pthread_mutex_unlock(&s->lock);

    error = (list != NULL) ? NULL
                           : (s->rc != 0 ? gai_strerror(s->rc)
                                         : "no address");

    event_free(s->ev);
    s->cb(list, error, s->data);

    svc_resolve_unref(s);
}


static int
svc_resolve_spawn(svc_resolve_t *s)
{
    int             rc;
    pthread_t       tid;
    pthread_attr_t  attr;

    s->refs = 2;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&tid, &attr, svc_resolve_thread, s);
    pthread_attr_destroy(&attr);

    if (rc != 0) {
        s->refs = 1;
        return -1;
    }

    return 0;
}


svc_resolve_t *
svc_resolve(struct event_base *base, const char *host, uint16_t port,
    svc_resolve_pt cb, void *data)
{
    svc_resolve_t  *s;

    s = calloc(1, sizeof(svc_resolve_t));
    if (s == NULL) {
        return NULL;
    }

    pthread_mutex_init(&s->lock, NULL);
    s->refs = 1;
    s->cb = cb;
    s->data = data;
    s->host = strdup(host[0] != '\0' ? host : "127.0.0.1");
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    snprintf(s->port, sizeof(s->port), "%u", port);

    if (s->host == NULL || s->fd == -1) {
        goto failed;
    }

    s->ev = event_new(base, s->fd, EV_READ, svc_resolve_done, s);
    if (s->ev == NULL) {
        goto failed;
    }

    event_add(s->ev, NULL);

    s->rc = svc_resolve_lookup(s, AI_NUMERICHOST, &s->list);

    if (s->rc == 0) {
        event_active(s->ev, EV_READ, 0);
        return s;
    }

    if (svc_resolve_spawn(s) == 0) {
        return s;
    }

    event_free(s->ev);

failed:

    svc_resolve_unref(s);

    return NULL;
}


void
svc_resolve_cancel(svc_resolve_t *s)
{
    event_free(s->ev);
    svc_resolve_unref(s);
}
