/*
 * Word to who started the process.
 */

#include "notify.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NOTIFY_ASK  100                 /* ms */


struct notify_s {
    struct event   *ev;
    int           (*ready)(void *data);
    void           *data;
};


void
notify_say(const char *state)
{
    int                  fd;
    size_t               len;
    const char          *path;
    struct sockaddr_un   sun;

    path = getenv("NOTIFY_SOCKET");
    if (path == NULL) {
        return;
    }

    len = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || len < 2
        || len >= sizeof(sun.sun_path))
    {
        log_write(LOG_WARN, "NOTIFY_SOCKET \"%s\" is no socket's name", path);
        return;
    }

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;
    memcpy(sun.sun_path, path, len);

    if (path[0] == '@') {
        sun.sun_path[0] = '\0';
    }

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd == -1
        || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                  (struct sockaddr *) &sun,
                  (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len))
           == -1)
    {
        log_write(LOG_WARN, "NOTIFY_SOCKET \"%s\": cannot say %s: %s", path,
                  state, strerror(errno));
    }

    if (fd != -1) {
        close(fd);
    }
}


static void
notify_ask(evutil_socket_t fd, short what, void *data)
{
    notify_t  *n;

    (void) fd;
    (void) what;

    n = data;

    if (n->ready(n->data)) {
        notify_say("READY=1");

    } else {
        svc_timer(n->ev, NOTIFY_ASK);
    }
}


notify_t *
notify_new(struct event_base *base, int (*ready)(void *data), void *data)
{
    notify_t  *n;

    if (getenv("NOTIFY_SOCKET") == NULL) {
        return NULL;
    }

    n = malloc(sizeof(notify_t));
    if (n == NULL) {
        abort();
    }

    n->ready = ready;
    n->data = data;
    n->ev = evtimer_new(base, notify_ask, n);

    if (n->ev == NULL) {
        abort();
    }

    svc_timer(n->ev, 0);

    return n;
}


void
notify_free(notify_t *n)
{
    if (n != NULL) {
        event_free(n->ev);
        free(n);
    }
}
