/*
 * Listening sockets: TCP and unix, and one way to accept. When descriptors or
 * memory are used up a listener rests for a moment and goes on, instead of
 * being ready again at once for as long as it lasts.
 */

#ifndef SVC_LISTEN_H
#define SVC_LISTEN_H

#include <event2/event.h>

#include <stddef.h>

#define SVC_LISTEN_UNIX  "unix:"

typedef struct svc_listener_s  svc_listener_t;

/* fd: not blocking, closed on exec; the callback's. */
typedef void (*svc_accept_pt)(int fd, void *data);

int svc_listen_unix(const char *addr);

/* Whether it is IP:port, [IP6]:port, :port or unix:PATH. -1 with a message. */
int svc_listen_check(const char *addr, char *err, size_t size);

/* Whether only this machine reaches it: loopback, or a unix socket. */
int svc_listen_local(const char *addr);

/*
 * A socket that listens on the address, or -1 with a message. share: other
 * sockets of the process may listen there too. Threads that share a unix
 * address take copies of one socket. The file of a unix socket that nobody
 * listens on any more is replaced.
 */
int svc_listen(const char *addr, int share, char *err, size_t size);

/* fd is taken over, also when this fails (NULL: no memory). */
svc_listener_t *svc_listener_new(struct event_base *base, int fd,
    svc_accept_pt cb, void *data);

/* What has come so far is accepted yet. */
void svc_listener_free(svc_listener_t *l);

#endif
