/*
 * Listening sockets.
 */

#include "listen.h"

#include "clock.h"
#include "conf.h"
#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SVC_BACKLOG      4096
#define SVC_ACCEPT_REST  100        /* ms */
#define SVC_ACCEPT_TURN  64         /* connections a turn of the loop */


struct svc_listener_s {
    int             fd;
    struct event   *ready;
    struct event   *rest;
    svc_accept_pt   cb;
    void           *data;
};


int
svc_listen_unix(const char *addr)
{
    return strncmp(addr, SVC_LISTEN_UNIX, sizeof(SVC_LISTEN_UNIX) - 1) == 0;
}


static int
svc_listen_path(const char *path, struct sockaddr_storage *ss,
    socklen_t *len, char *err, size_t size)
{
    struct sockaddr_un  *sun;

    sun = (struct sockaddr_un *) ss;

    if (path[0] == '\0' || strlen(path) >= sizeof(sun->sun_path)) {
        snprintf(err, size, "\"" SVC_LISTEN_UNIX "%s\" is not a path of 1 to "
                 "%zu bytes", path, sizeof(sun->sun_path) - 1);
        return -1;
    }

    sun->sun_family = AF_UNIX;
    strcpy(sun->sun_path, path);
    *len = sizeof(struct sockaddr_un);

    return 0;
}


static int
svc_listen_addr(const char *addr, struct sockaddr_storage *ss,
    socklen_t *len, char *err, size_t size)
{
    char                  host[256];
    uint16_t              port;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    memset(ss, 0, sizeof(*ss));
    sin = (struct sockaddr_in *) ss;
    sin6 = (struct sockaddr_in6 *) ss;

    if (svc_listen_unix(addr)) {
        return svc_listen_path(addr + sizeof(SVC_LISTEN_UNIX) - 1, ss, len,
                               err, size);
    }

    if (conf_addr(addr, host, sizeof(host), &port) != 0) {
        snprintf(err, size, "\"%s\" is neither IP:port nor "
                 SVC_LISTEN_UNIX "path", addr);
        return -1;
    }

    if (host[0] == '\0' || inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        *len = sizeof(struct sockaddr_in);
        return 0;
    }

    if (inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1) {
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        *len = sizeof(struct sockaddr_in6);
        return 0;
    }

    snprintf(err, size, "\"%s\" is not at an IP address", addr);

    return -1;
}


int
svc_listen_check(const char *addr, char *err, size_t size)
{
    socklen_t                len;
    struct sockaddr_storage  ss;

    return svc_listen_addr(addr, &ss, &len, err, size);
}


int
svc_listen_local(const char *addr)
{
    char                     err[256];
    socklen_t                len;
    struct sockaddr_storage  ss;

    if (svc_listen_addr(addr, &ss, &len, err, sizeof(err)) != 0) {
        return 0;
    }

    switch (ss.ss_family) {

    case AF_UNIX:
        return 1;

    case AF_INET:
        return ntohl(((struct sockaddr_in *) &ss)->sin_addr.s_addr) >> 24
               == IN_LOOPBACKNET;

    default:
        return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *) &ss)->sin6_addr);
    }
}


/* Remove the file of a unix socket that nobody listens on. */

static void
svc_listen_clear(const struct sockaddr_un *sun, socklen_t len)
{
    int          fd;
    struct stat  st;

    if (lstat(sun->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1) {
        return;
    }

    if (connect(fd, (const struct sockaddr *) sun, len) == -1
        && errno == ECONNREFUSED)
    {
        unlink(sun->sun_path);
    }

    close(fd);
}


static int
svc_listen_options(int fd, int family, int share)
{
    int  on;

    on = 1;

    if (family == AF_UNIX) {
        return 0;
    }

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
    {
        return -1;
    }

    return share ? setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on))
                 : 0;
}


int
svc_listen(const char *addr, int share, char *err, size_t size)
{
    int                      fd;
    socklen_t                len;
    struct sockaddr_storage  ss;

    if (svc_listen_addr(addr, &ss, &len, err, size) != 0) {
        return -1;
    }

    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1) {
        snprintf(err, size, "socket(): %s", strerror(errno));
        return -1;
    }

    if (ss.ss_family == AF_UNIX) {
        svc_listen_clear((struct sockaddr_un *) &ss, len);
    }

    if (svc_listen_options(fd, ss.ss_family, share) == -1
        || bind(fd, (struct sockaddr *) &ss, len) == -1
        || listen(fd, SVC_BACKLOG) == -1)
    {
        snprintf(err, size, "cannot listen on %s: %s", addr,
                 strerror(errno));
        close(fd);
        return -1;
    }

    return fd;
}


/* -1: nothing more for now. */

static int
svc_listener_accept(svc_listener_t *l)
{
    int  fd;

    static log_once_t  once;

    fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd != -1) {
        l->cb(fd, l->data);
        return 0;
    }

    switch (errno) {

    case EAGAIN:
        return -1;

    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        log_seldom(&once, LOG_CRIT, "accept(): %s", strerror(errno));
        event_del(l->ready);
        svc_timer(l->rest, SVC_ACCEPT_REST);
        return -1;

    default:
        return 0;           /* that one has gone already */
    }
}


static void
svc_listener_ready(evutil_socket_t fd, short what, void *data)
{
    int  i;

    (void) fd;
    (void) what;

    for (i = 0; i < SVC_ACCEPT_TURN; i++) {
        if (svc_listener_accept(data) == -1) {
            return;
        }
    }
}


static void
svc_listener_rested(evutil_socket_t fd, short what, void *data)
{
    svc_listener_t  *l = data;

    (void) fd;
    (void) what;

    event_add(l->ready, NULL);
}


svc_listener_t *
svc_listener_new(struct event_base *base, int fd, svc_accept_pt cb,
    void *data)
{
    svc_listener_t  *l;

    l = calloc(1, sizeof(svc_listener_t));

    if (l == NULL) {
        close(fd);
        return NULL;
    }

    l->fd = fd;
    l->cb = cb;
    l->data = data;
    l->ready = event_new(base, fd, EV_READ | EV_PERSIST, svc_listener_ready,
                         l);
    l->rest = evtimer_new(base, svc_listener_rested, l);

    if (l->ready == NULL || l->rest == NULL
        || event_add(l->ready, NULL) != 0)
    {
        if (l->ready != NULL) {
            event_free(l->ready);
        }

        if (l->rest != NULL) {
            event_free(l->rest);
        }

        close(fd);
        free(l);
        return NULL;
    }

    return l;
}


void
svc_listener_free(svc_listener_t *l)
{
    int  i;

    for (i = 0; i < SVC_BACKLOG; i++) {
        if (svc_listener_accept(l) == -1) {
            break;
        }
    }

    event_free(l->ready);
    event_free(l->rest);
    close(l->fd);
    free(l);
}
