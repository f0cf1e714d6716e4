/*
 * An HTTP/1.1 server for one event loop: several listeners, each with a table
 * of routes of its own. What the wire's grammar is: http_parse.h.
 *
 * A request comes to its handler when it is whole, body included, and belongs
 * to the server: it is valid, with all that its accessors return, until it is
 * answered, at once or later, exactly once. Requests of one connection are
 * handled one after the other. A client that goes away meanwhile is noticed
 * when the answer is written.
 *
 * What breaks the grammar or a limit is answered by the server, in text, and
 * the connection is closed: 400, 408, 413, 414, 417, 431, 501, 505; 503 is
 * for more connections than allowed when none of them is idle. With `Expect:
 * 100-continue` what would be refused is refused before the body.
 */

#ifndef SVC_HTTP_H
#define SVC_HTTP_H

#include <event2/event.h>

#include <stddef.h>
#include <stdint.h>

#include "http_parse.h"
#include "metrics.h"

typedef struct http_server_s    http_server_t;
typedef struct http_request_s   http_request_t;

typedef struct {
    size_t     max_head;
    size_t     max_body;
    size_t     max_connections;
    int64_t    timeout;         /* ms: for a head, for a body, and without
                                   progress of an answer */
    int64_t    keepalive;       /* ms, between two requests */
    metric_t  *answered;        /* both may be NULL */
    metric_t  *errors;          /* status 400 and above */
} http_conf_t;

/* data is the listener's */
typedef void (*http_handler_pt)(http_request_t *req, void *data);

typedef struct {
    http_method_t     method;   /* GET: HEAD too */
    const char       *path;     /* NULL: the last one, for all others */
    http_handler_pt   handler;
} http_route_t;


/* NULL: no memory. conf is copied. */
http_server_t *http_server_new(struct event_base *base,
    const http_conf_t *conf);

/* fd of svc_listen(), taken over; -1: no memory. */
int http_server_listen(http_server_t *s, int fd, const http_route_t *routes,
    void *data);

/* Accept no more; each answer from now on ends its connection. */
void http_server_drain(http_server_t *s);

/* Requests at handlers, and others: those on their way in, answers on their
 * way out. */
size_t http_server_handling(const http_server_t *s);
size_t http_server_moving(const http_server_t *s);

/* Nothing may be at a handler. */
void http_server_free(http_server_t *s);


http_method_t http_method(const http_request_t *req);
const char *http_path(const http_request_t *req);

/* What follows the "?", writable; "" for none. */
char *http_query(http_request_t *req);

/* The value of the first header of that name, NULL: there is none. */
const char *http_header(const http_request_t *req, const char *name);

/* The next one of the name: *at is 0 at first. */
const char *http_header_next(const http_request_t *req, const char *name,
    unsigned *at);

/* len bytes; no NUL follows. */
const char *http_body(http_request_t *req, size_t *len);

/* The client's IP address; "" on a unix socket. */
const char *http_peer(http_request_t *req);

/* Memory until the answer. NULL: none. */
void *http_alloc(http_request_t *req, size_t n);

/* A field of the answer that follows; the name is a literal. Some 500 bytes of
 * fields are taken, what is beyond is left out. */
void http_add_header(http_request_t *req, const char *name,
    const char *value);

/* Everything is copied. */
void http_answer(http_request_t *req, int status, const char *type,
    const void *body, size_t len);

#endif
