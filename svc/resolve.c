/*
 * Names to addresses off the loop.
 */

#include "resolve.h"

#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


struct svc_resolve_s {
    svc_task_t        *task;
    int                rc;
    struct addrinfo   *list;
    char              *host;
    char               port[8];
    svc_resolve_pt     cb;
    void              *data;
};


static void
svc_resolve_lookup(svc_resolve_t *s, int flags)
{
    struct addrinfo  hints;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;

    s->list = NULL;
    s->rc = getaddrinfo(s->host, s->port, &hints, &s->list);
}


static void
svc_resolve_run(void *data)
{
    svc_resolve_lookup(data, 0);
}


static void
svc_resolve_done(void *data)
{
    const char       *error;
    svc_resolve_t    *s;
    struct addrinfo  *list;

    s = data;
    list = s->list;
    s->list = NULL;

    error = (list != NULL) ? NULL
                           : (s->rc != 0 ? gai_strerror(s->rc)
                                         : "no address");

    s->cb(list, error, s->data);
}


static void
svc_resolve_free(void *data)
{
    svc_resolve_t  *s;

    s = data;

    if (s->list != NULL) {
        freeaddrinfo(s->list);
    }

    free(s->host);
    free(s);
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

    s->cb = cb;
    s->data = data;
    s->host = strdup(host[0] != '\0' ? host : "127.0.0.1");
    snprintf(s->port, sizeof(s->port), "%u", port);

    if (s->host == NULL) {
        goto failed;
    }

    svc_resolve_lookup(s, AI_NUMERICHOST);

    s->task = svc_task(base, s->rc == 0 ? NULL : svc_resolve_run,
                       svc_resolve_done, svc_resolve_free, s);

    if (s->task != NULL) {
        return s;
    }

failed:

    svc_resolve_free(s);

    return NULL;
}


void
svc_resolve_cancel(svc_resolve_t *s)
{
    svc_task_cancel(s->task);
}
