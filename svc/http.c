/*
 * The HTTP server: connections, and requests coming in.
 *
 * A connection's read event stays set: it is taken away only when something
 * comes while the connection waits for its handler, which most clients never
 * do. So a request costs one read and one write.
 */

#include "http_int.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HTTP_BUFFER       4096
#define HTTP_BUFFER_KEPT  65536         /* by a connection that is idle */
#define HTTP_LINGER       65536         /* read at once, thrown away */
#define HTTP_LINGER_TIME  5000          /* ms */


static void http_accept(int fd, void *data);
static void http_read(evutil_socket_t fd, short what, void *data);
static void http_advance(http_request_t *c);
static void http_timeout(evutil_socket_t fd, short what, void *data);


http_server_t *
http_server_new(struct event_base *base, const http_conf_t *conf)
{
    int             i;
    http_server_t  *s;

    s = calloc(1, sizeof(http_server_t));
    if (s == NULL) {
        return NULL;
    }

    s->timer = evtimer_new(base, http_timeout, s);

    if (s->timer == NULL) {
        free(s);
        return NULL;
    }

    s->base = base;
    s->conf = *conf;

    for (i = 0; i < HTTP_LISTS; i++) {
        TAILQ_INIT(&s->lists[i]);
        s->time[i] = conf->timeout;
    }

    s->time[HTTP_LIST_IDLE] = conf->keepalive;
    s->time[HTTP_LIST_LINGER] = HTTP_LINGER_TIME;

    return s;
}


int
http_server_listen(http_server_t *s, int fd, const http_route_t *routes,
    void *data)
{
    http_listener_t  *l;

    l = calloc(1, sizeof(http_listener_t));

    if (l == NULL) {
        close(fd);
        return -1;
    }

    l->server = s;
    l->routes = routes;
    l->data = data;
    l->socket = svc_listener_new(s->base, fd, http_accept, l);

    if (l->socket == NULL) {
        free(l);
        return -1;
    }

    l->next = s->listeners;
    s->listeners = l;

    return 0;
}


void
http_server_drain(http_server_t *s)
{
    http_listener_t  *l;

    for (l = s->listeners; l != NULL; l = l->next) {

        if (l->socket != NULL) {
            svc_listener_free(l->socket);
            l->socket = NULL;
        }
    }

    s->draining = 1;
}


size_t
http_server_handling(const http_server_t *s)
{
    return s->n[HTTP_LIST_HANDLED];
}


size_t
http_server_moving(const http_server_t *s)
{
    return s->n[HTTP_LIST_MOVING];
}


void
http_server_free(http_server_t *s)
{
    int               i;
    http_request_t   *c;
    http_listener_t  *l;

    http_server_drain(s);

    for (i = 0; i < HTTP_LISTS; i++) {
        while ((c = TAILQ_FIRST(&s->lists[i])) != NULL) {
            http_close(c);
        }
    }

    while ((l = s->listeners) != NULL) {
        s->listeners = l->next;
        free(l);
    }

    event_free(s->timer);
    free(s);
}


/* ---- time -------------------------------------------------------------- */

static http_list_t
http_list(const http_request_t *c)
{
    switch (c->state) {

    case HTTP_IN_HEAD:
        return c->used > c->start ? HTTP_LIST_MOVING
               : c->served ? HTTP_LIST_IDLE : HTTP_LIST_NEW;

    case HTTP_IN_HANDLER:
        return HTTP_LIST_HANDLED;

    case HTTP_IN_LINGER:
        return HTTP_LIST_LINGER;

    default:
        return HTTP_LIST_MOVING;
    }
}


static void
http_list_leave(http_request_t *c)
{
    TAILQ_REMOVE(&c->server->lists[c->list], c, entry);
    c->server->n[c->list]--;
}


static void
http_list_enter(http_request_t *c)
{
    http_server_t  *s;

    s = c->server;

    c->list = http_list(c);
    TAILQ_INSERT_TAIL(&s->lists[c->list], c, entry);
    s->n[c->list]++;

    if (c->list == HTTP_LIST_HANDLED) {
        return;
    }

    c->deadline = svc_now() + s->time[c->list];

    if (s->due == 0 || c->deadline < s->due) {
        s->due = c->deadline;
        svc_timer(s->timer, s->time[c->list]);
    }
}


void
http_state(http_request_t *c, http_state_t state)
{
    http_list_leave(c);
    c->state = state;
    http_list_enter(c);
}


static void
http_late(http_request_t *c)
{
    if (c->list == HTTP_LIST_MOVING && c->state != HTTP_IN_SEND) {
        http_refuse(c, 408, "the request did not come in time");
        return;
    }

    http_close(c);
}


static void
http_timeout(evutil_socket_t fd, short what, void *data)
{
    http_server_t  *s = data;

    int              i;
    int64_t          now;
    http_request_t  *c;

    (void) fd;
    (void) what;

    now = svc_now();
    s->due = 0;

    for (i = 0; i < HTTP_LIST_HANDLED; i++) {
        while ((c = TAILQ_FIRST(&s->lists[i])) != NULL && c->deadline <= now)
        {
            http_late(c);
        }
    }

    for (i = 0; i < HTTP_LIST_HANDLED; i++) {
        c = TAILQ_FIRST(&s->lists[i]);

        if (c != NULL && (s->due == 0 || c->deadline < s->due)) {
            s->due = c->deadline;
        }
    }

    if (s->due != 0) {
        svc_timer(s->timer, s->due - now);
    }
}


/* ---- connections ------------------------------------------------------- */

static void
http_accept(int fd, void *data)
{
    http_listener_t  *l = data;

    int              full;
    http_server_t   *s;
    http_request_t  *c, *idle;

    s = l->server;
    full = s->connections >= s->conf.max_connections;
    idle = TAILQ_FIRST(&s->lists[HTTP_LIST_IDLE]);

    if (full && idle != NULL) {
        http_close(idle);
        full = 0;
    }

    c = calloc(1, sizeof(http_request_t));

    if (c == NULL) {
        close(fd);
        return;
    }

    c->server = s;
    c->listener = l;
    c->fd = fd;
    s->connections++;

    event_assign(&c->read, s->base, fd, EV_READ | EV_PERSIST, http_read, c);
    event_assign(&c->write, s->base, fd, EV_WRITE | EV_PERSIST, http_write,
                 c);

    http_head_init(&c->head, s->conf.max_head);
    http_list_enter(c);

    if (event_add(&c->read, NULL) != 0) {
        http_close(c);
        return;
    }

    if (full) {
        http_refuse(c, 503, "too many connections");
    }
}


void
http_close(http_request_t *c)
{
    http_list_leave(c);
    c->server->connections--;

    event_del(&c->read);
    event_del(&c->write);
    close(c->fd);

    svc_pool_free(&c->pool);
    free(c->out);
    free(c->buf);
    free(c);
}


/* Room for at least one more byte. */

static int
http_room(http_request_t *c)
{
    char    *buf;
    size_t   size;

    if (c->start > 0 && c->start == c->used) {
        c->start = 0;
        c->used = 0;
    }

    if (c->size > c->used) {
        return 0;
    }

    if (c->start > 0) {
        memmove(c->buf, c->buf + c->start, c->used - c->start);
        c->used -= c->start;
        c->start = 0;

        if (c->size - c->used > c->size / 2) {
            return 0;
        }
    }

    size = c->size > 0 ? c->size * 2 : HTTP_BUFFER;
    buf = realloc(c->buf, size);

    if (buf == NULL) {
        return -1;
    }

    c->buf = buf;
    c->size = size;

    return 0;
}


static void
http_linger(http_request_t *c)
{
    ssize_t  n;

    static __thread char  scratch[HTTP_LINGER];

    n = recv(c->fd, scratch, sizeof(scratch), 0);

    if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
        http_close(c);
    }
}


static void
http_read(evutil_socket_t fd, short what, void *data)
{
    http_request_t  *c = data;

    ssize_t  n;

    (void) fd;

    if (c->state == HTTP_IN_HANDLER || c->state == HTTP_IN_SEND) {
        event_del(&c->read);
        c->deaf = 1;
        return;
    }

    if (c->state == HTTP_IN_LINGER) {
        http_linger(c);
        return;
    }

    /* there is more in the buffer, see http_sent() */

    if (what & EV_TIMEOUT) {
        http_advance(c);
        return;
    }

    if (http_room(c) != 0) {
        http_close(c);
        return;
    }

    n = recv(c->fd, c->buf + c->used, c->size - c->used, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        http_close(c);
        return;
    }

    c->used += (size_t) n;

    http_advance(c);
}


/* ---- requests ---------------------------------------------------------- */

/* Ends are written over what separated the parts. */

static void
http_terminate(http_request_t *c)
{
    char          *p;
    unsigned       i;
    http_field_t  *f;

    p = c->buf + c->start;

    for (i = 0; i < c->head.nfields; i++) {
        f = &c->head.fields[i];
        p[f->name.at + f->name.len] = '\0';
        p[f->value.at + f->value.len] = '\0';
    }

    if (c->head.query.at > 0) {
        p[c->head.query.at + c->head.query.len] = '\0';
    }

    p[c->head.path.at + c->head.path.len] = '\0';
}


static const http_route_t *
http_route(http_request_t *c)
{
    const char          *path;
    http_method_t        method;
    const http_route_t  *route;

    method = c->head.method == HTTP_HEAD ? HTTP_GET : c->head.method;
    path = http_path(c);

    for (route = c->listener->routes; route->path != NULL; route++) {
        if (route->method == method && strcmp(route->path, path) == 0) {
            break;
        }
    }

    return route;
}


static void
http_handle(http_request_t *c)
{
    c->keep = c->head.keep && c->keep;

    http_state(c, HTTP_IN_HANDLER);
    c->route->handler(c, c->listener->data);
}


/* The head is whole: 0 to go on with the body, else it was answered. */

static int
http_begin(http_request_t *c)
{
    http_head_t  *h;

    h = &c->head;

    http_terminate(c);

    c->route = http_route(c);
    c->keep = 1;
    c->body = 0;
    c->end = c->start + h->end;

    if (h->length > c->server->conf.max_body) {
        http_refuse(c, 413, "the body is too large");
        return -1;
    }

    if (h->chunked) {
        http_chunks_init(&c->chunks, c->server->conf.max_body,
                         c->server->conf.max_head);

    } else if (h->length == 0) {
        http_handle(c);
        return -1;
    }

    http_state(c, HTTP_IN_BODY);

    if (!h->expects || c->used > c->end) {
        return 0;
    }

    if (c->route->path == NULL) {

        /* no such route: the body is not asked for */

        c->keep = 0;
        c->linger = 1;
        http_handle(c);
        return -1;
    }

    http_continue(c);

    return 0;
}


static void
http_body_chunked(http_request_t *c)
{
    int      rc;
    size_t   used, made;

    rc = http_chunks_parse(&c->chunks, c->buf + c->end, c->used - c->end,
                           &used, &made);

    if (rc > HTTP_WHOLE) {
        http_refuse(c, rc, c->chunks.reason);
        return;
    }

    c->body += made;

    if (rc == HTTP_MORE) {

        /* the next bytes come where the body goes on */

        c->end += made;
        c->used = c->end;
        return;
    }

    c->end += used;
    http_handle(c);
}


static void
http_body_counted(http_request_t *c)
{
    size_t  have;

    have = c->used - c->start - c->head.end;

    if (have < c->head.length) {
        return;
    }

    c->body = (size_t) c->head.length;
    c->end = c->start + c->head.end + c->body;

    http_handle(c);
}


static void
http_advance(http_request_t *c)
{
    int  rc;

    if (c->state == HTTP_IN_HEAD) {

        rc = http_head_parse(&c->head, c->buf + c->start,
                             c->used - c->start);

        if (rc > HTTP_WHOLE) {
            http_refuse(c, rc, c->head.reason);
            return;
        }

        if (rc == HTTP_MORE) {

            /* the time runs from its first byte */

            if (c->list != HTTP_LIST_MOVING) {
                http_state(c, HTTP_IN_HEAD);
            }

            return;
        }

        if (http_begin(c) != 0) {
            return;
        }
    }

    if (c->head.chunked) {
        http_body_chunked(c);

    } else {
        http_body_counted(c);
    }
}


static void
http_listen_again(http_request_t *c)
{
    if (c->deaf) {
        c->deaf = 0;
        event_add(&c->read, NULL);
    }
}


void
http_sent(http_request_t *c)
{
    if (!c->keep) {

        if (!c->linger && c->used == c->end) {
            http_close(c);
            return;
        }

        shutdown(c->fd, SHUT_WR);
        http_state(c, HTTP_IN_LINGER);
        http_listen_again(c);
        return;
    }

    svc_pool_reset(&c->pool);
    c->fields = NULL;
    c->fields_len = 0;

    c->start = c->end;
    c->served = 1;
    c->peer[0] = '\0';

    if (c->start == c->used && c->size > HTTP_BUFFER_KEPT) {
        free(c->buf);
        c->buf = NULL;
        c->size = 0;
        c->start = 0;
        c->used = 0;
    }

    http_head_init(&c->head, c->server->conf.max_head);
    http_state(c, HTTP_IN_HEAD);
    http_listen_again(c);

    /* an event that is active already would not be set by the former */

    if (c->used > c->start) {
        event_active(&c->read, EV_TIMEOUT, 0);
    }
}
