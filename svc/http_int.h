/*
 * Inside of the HTTP server: a connection with the request it is at.
 */

#ifndef SVC_HTTP_INT_H
#define SVC_HTTP_INT_H

#include "http.h"
#include "listen.h"
#include "pool.h"

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/queue.h>
#include <time.h>

/*
 *     HEAD -> BODY -> HANDLER -> SEND -> HEAD ...   or, at the end, LINGER:
 *
 * reading on until the client has closed, so that what it still sends does
 * not make its kernel throw the answer away.
 */
typedef enum {
    HTTP_IN_HEAD, HTTP_IN_BODY, HTTP_IN_HANDLER, HTTP_IN_SEND,
    HTTP_IN_LINGER
} http_state_t;

typedef struct http_listener_s  http_listener_t;

TAILQ_HEAD(http_list_s, http_request_s);

struct http_listener_s {
    http_listener_t        *next;
    http_server_t          *server;
    svc_listener_t         *socket;         /* NULL: draining */
    const http_route_t     *routes;
    void                   *data;
};

/* Which connections are in which list, each in the order of its deadlines. */
typedef enum {
    HTTP_LIST_NEW,          /* nothing has come yet */
    HTTP_LIST_IDLE,         /* nothing of the next request */
    HTTP_LIST_MOVING,       /* a request or an answer is on its way */
    HTTP_LIST_LINGER,
    HTTP_LIST_HANDLED,      /* without a deadline */
    HTTP_LISTS
} http_list_t;

struct http_server_s {
    struct event_base      *base;
    http_conf_t             conf;
    http_listener_t        *listeners;
    struct http_list_s      lists[HTTP_LISTS];
    size_t                  n[HTTP_LISTS];
    int64_t                 time[HTTP_LISTS];
    struct event           *timer;
    int64_t                 due;            /* 0: the timer is not set */
    size_t                  connections;
    time_t                  date_at;
    char                    date[32];
    unsigned                draining:1;
};

struct http_request_s {
    TAILQ_ENTRY(http_request_s)  entry;
    http_list_t             list;
    http_server_t          *server;
    http_listener_t        *listener;
    const http_route_t     *route;
    int                     fd;
    http_state_t            state;
    int64_t                 deadline;
    struct event            read;
    struct event            write;          /* set while SEND */

    char                   *buf;
    size_t                  size;
    size_t                  start;          /* of the request */
    size_t                  used;
    http_head_t             head;
    http_chunks_t           chunks;
    size_t                  body;           /* bytes of it that are there */
    size_t                  end;            /* of the request, in buf */

    char                   *out;            /* what the socket did not take */
    size_t                  out_at;
    size_t                  out_len;

    svc_pool_t              pool;           /* the request's */
    char                   *fields;         /* added to the answer, of it */
    size_t                  fields_len;
    char                    peer[INET6_ADDRSTRLEN];

    unsigned                keep:1;
    unsigned                deaf:1;         /* not reading meanwhile */
    unsigned                linger:1;       /* more may be coming */
    unsigned                served:1;       /* a request before this one */
};


/* ---- http.c: what comes in ---- */

void http_state(http_request_t *c, http_state_t state);
void http_close(http_request_t *c);

/* The answer has been taken by the socket. */
void http_sent(http_request_t *c);


/* ---- http_answer.c: what goes out ---- */

/* An answer of the server's own; the connection ends with it. */
void http_refuse(http_request_t *c, int status, const char *reason);

void http_continue(http_request_t *c);
void http_write(evutil_socket_t fd, short what, void *data);

#endif
