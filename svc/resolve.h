/*
 * Names to addresses without stopping the loop: getaddrinfo() in a thread of
 * its own, so that everything the system's resolver knows (hosts file, DNS,
 * nsswitch) counts. A numeric address needs no thread.
 */

#ifndef SVC_RESOLVE_H
#define SVC_RESOLVE_H

#include <event2/event.h>

#include <netdb.h>
#include <stdint.h>

typedef struct svc_resolve_s  svc_resolve_t;

/* `list` (NULL: not found, `error` says why) is the callee's to free. */
typedef void (*svc_resolve_pt)(struct addrinfo *list, const char *error,
    void *data);

/* NULL: out of memory, threads or descriptors; no callback comes then. */
svc_resolve_t *svc_resolve(struct event_base *base, const char *host,
    uint16_t port, svc_resolve_pt cb, void *data);

/* No callback any more. Not from inside it. */
void svc_resolve_cancel(svc_resolve_t *s);

#endif
