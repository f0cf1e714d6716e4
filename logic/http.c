/*
 * The HTTP API: routes, parameters, answers.
 */

#include "health.h"
#include "nodes.h"
#include "online.h"
#include "push.h"

#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svc/log.h"

#define LOGIC_HTTP_JSON    "application/json; charset=utf-8"
#define LOGIC_HTTP_PARAMS  64       /* beside keys, mids and rooms */


typedef struct {
    const char            *path;
    enum evhttp_cmd_type   method;
    logic_http_pt          handler;
} logic_route_t;


static void logic_http_request(struct evhttp_request *req, void *data);
static const logic_route_t *logic_http_route(struct evhttp_request *req);
static const char *logic_http_broken(struct evhttp_request *req);
static const char *logic_http_reason(int status);
static void logic_http_send(logic_thread_t *t, struct evhttp_request *req,
    int status, const char *type, struct evbuffer *body);


static const logic_route_t  logic_routes[] = {
    { "/goim/push/keys", EVHTTP_REQ_POST, logic_push_keys },
    { "/goim/push/mids", EVHTTP_REQ_POST, logic_push_mids },
    { "/goim/push/room", EVHTTP_REQ_POST, logic_push_room },
    { "/goim/push/all", EVHTTP_REQ_POST, logic_push_all },
    { "/goim/online/top", EVHTTP_REQ_GET, logic_online_top },
    { "/goim/online/room", EVHTTP_REQ_GET, logic_online_room },
    { "/goim/online/total", EVHTTP_REQ_GET, logic_online_total },
    { "/goim/nodes/weighted", EVHTTP_REQ_GET, logic_nodes_weighted },
    { "/goim/nodes/instances", EVHTTP_REQ_GET, logic_nodes_instances },
    { "/goim/nodes/offline", EVHTTP_REQ_POST, logic_nodes_offline },
    { "/health", EVHTTP_REQ_GET, logic_health },
    { "/metrics", EVHTTP_REQ_GET, logic_metrics },
    { NULL, 0, NULL }
};


int
logic_http_start(logic_thread_t *t, char *err, size_t size)
{
    int             fd;
    struct timeval  tv;

    t->http = evhttp_new(t->base);
    if (t->http == NULL) {
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    tv.tv_sec = (time_t) (t->conf->http_timeout / 1000);
    tv.tv_usec = (suseconds_t) (t->conf->http_timeout % 1000 * 1000);

    evhttp_set_timeout_tv(t->http, &tv);
    evhttp_set_max_headers_size(t->http, (ev_ssize_t) t->conf->max_header);
    evhttp_set_max_body_size(t->http, (ev_ssize_t) t->conf->max_body);
    evhttp_set_default_content_type(t->http, NULL);

    /* whoever sends too much shall be able to read the 413 */

    evhttp_set_flags(t->http, EVHTTP_SERVER_LINGERING_CLOSE);

    /* a wrong method is answered here, as an unknown path is */

    evhttp_set_allowed_methods(t->http,
                               EVHTTP_REQ_GET | EVHTTP_REQ_POST
                               | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT
                               | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS
                               | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT
                               | EVHTTP_REQ_PATCH);

    evhttp_set_gencb(t->http, logic_http_request, t);

    fd = logic_listen(t->conf->http, 1, err, size);
    if (fd == -1) {
        return -1;
    }

    t->http_socket = evhttp_accept_socket_with_handle(t->http, fd);
    if (t->http_socket == NULL) {
        close(fd);
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(
                                    t->http_socket),
                                logic_accept_failed);

    return 0;
}


void
logic_http_drain(logic_thread_t *t)
{
    evhttp_del_accept_socket(t->http, t->http_socket);
    t->http_socket = NULL;
}


void
logic_http_stop(logic_thread_t *t)
{
    evhttp_free(t->http);
    t->http = NULL;
}


static void
logic_http_request(struct evhttp_request *req, void *data)
{
    logic_thread_t  *t = data;

    char                  err[128];
    const char           *broken;
    logic_query_t         q;
    const logic_route_t  *route;

    t->requests++;

    broken = logic_http_broken(req);

    if (broken != NULL) {
        evhttp_add_header(evhttp_request_get_output_headers(req),
                          "Connection", "close");
        logic_http_bad(t, req, "%s", broken);
        return;
    }

    route = logic_http_route(req);

    if (route == NULL) {
        logic_http_answer(t, req, 404, -404, "no such route or method",
                          NULL);
        return;
    }

    if (logic_query_parse(&q,
                          evhttp_uri_get_query(
                              evhttp_request_get_evhttp_uri(req)),
                          (size_t) t->conf->max_keys + LOGIC_HTTP_PARAMS,
                          err, sizeof(err))
        != 0)
    {
        logic_http_bad(t, req, "%s", err);
        return;
    }

    route->handler(t, req, &q);

    logic_query_free(&q);
}


/* HEAD is a GET whose answer has no body. */

static const logic_route_t *
logic_http_route(struct evhttp_request *req)
{
    const char            *path;
    enum evhttp_cmd_type   method;
    const logic_route_t   *route;

    method = evhttp_request_get_command(req);
    path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));

    if (method == EVHTTP_REQ_HEAD) {
        method = EVHTTP_REQ_GET;
    }

    for (route = logic_routes; path != NULL && route->path; route++) {
        if (route->method == method && strcmp(route->path, path) == 0) {
            return route;
        }
    }

    return NULL;
}


/* What libevent lets through although the request cannot be relied upon. */

static const char *
logic_http_broken(struct evhttp_request *req)
{
    size_t             hosts, lengths;
    const char        *coding;
    struct evkeyval   *h;
    struct evkeyvalq  *headers;

    hosts = 0;
    lengths = 0;
    coding = NULL;
    headers = evhttp_request_get_input_headers(req);

    TAILQ_FOREACH(h, headers, next) {

        if (evutil_ascii_strcasecmp(h->key, "Host") == 0) {
            hosts++;

        } else if (evutil_ascii_strcasecmp(h->key, "Content-Length") == 0) {
            lengths++;

        } else if (evutil_ascii_strcasecmp(h->key, "Transfer-Encoding")
                   == 0)
        {
            if (coding != NULL
                || evutil_ascii_strcasecmp(h->value, "chunked") != 0)
            {
                return "only the transfer coding chunked is known";
            }

            coding = h->value;
        }
    }

    if (lengths > 1 || (lengths == 1 && coding != NULL)) {
        return "the length of the body is told twice";
    }

    if (hosts > 1
        || (hosts == 0 && req->major == 1 && req->minor >= 1))
    {
        return "a request has one Host header";
    }

    return NULL;
}


static const char *
logic_http_reason(int status)
{
    switch (status) {

    case 200:
        return "OK";

    case 400:
        return "Bad Request";

    case 404:
        return "Not Found";

    case 503:
        return "Service Unavailable";

    default:
        return "Internal Server Error";
    }
}


static void
logic_http_sent(struct evhttp_request *req, void *data)
{
    logic_thread_t  *t = data;

    (void) req;

    t->sending--;
}


static void
logic_http_send(logic_thread_t *t, struct evhttp_request *req, int status,
    const char *type, struct evbuffer *body)
{
    char               length[24];
    struct evkeyvalq  *headers;

    t->requests--;

    metrics_add(logic_m.http_requests, 1);

    if (status >= 400) {
        metrics_add(logic_m.http_errors, 1);
    }

    headers = evhttp_request_get_output_headers(req);
    evhttp_add_header(headers, "Content-Type", type);

    if (t->draining) {
        evhttp_remove_header(headers, "Connection");
        evhttp_add_header(headers, "Connection", "close");

        t->sending++;
        evhttp_request_set_on_complete_cb(req, logic_http_sent, t);
    }

    if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
        snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
        evhttp_add_header(headers, "Content-Length", length);
        evbuffer_drain(body, evbuffer_get_length(body));
    }

    evhttp_send_reply(req, status, logic_http_reason(status), body);
    evbuffer_free(body);
}


static struct evbuffer *
logic_http_buffer(void)
{
    struct evbuffer  *body;

    body = evbuffer_new();
    if (body == NULL) {
        abort();
    }

    return body;
}


static void
logic_http_free(const void *data, size_t len, void *extra)
{
    (void) len;
    (void) extra;

    free((void *) data);
}


void
logic_http_answer(logic_thread_t *t, struct evhttp_request *req, int status,
    int code, const char *message, json_t *data)
{
    char             *text;
    json_t           *answer;
    struct evbuffer  *body;

    static const char  ok[] = "{\"code\":0,\"message\":\"\"}";

    body = logic_http_buffer();

    if (code == 0 && data == NULL) {
        evbuffer_add_reference(body, ok, sizeof(ok) - 1, NULL, NULL);
        logic_http_send(t, req, status, LOGIC_HTTP_JSON, body);
        return;
    }

    answer = json_pack("{s:i, s:s}", "code", code, "message", message);

    if (answer == NULL) {
        /* a message of bytes that are no UTF-8 */
        answer = json_pack("{s:i, s:s}", "code", code, "message",
                           "a parameter is not valid");
    }

    if (data != NULL) {
        json_object_set_new(answer, "data", data);
    }

    text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(answer);

    if (text == NULL) {
        abort();
    }

    evbuffer_add_reference(body, text, strlen(text), logic_http_free, NULL);
    logic_http_send(t, req, status, LOGIC_HTTP_JSON, body);
}


void
logic_http_text(logic_thread_t *t, struct evhttp_request *req, int status,
    const char *type, const char *text, size_t len)
{
    struct evbuffer  *body;

    body = logic_http_buffer();
    evbuffer_add(body, text, len);

    logic_http_send(t, req, status, type, body);
}


void
logic_http_bad(logic_thread_t *t, struct evhttp_request *req,
    const char *fmt, ...)
{
    char     message[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);

    logic_http_answer(t, req, 400, -400, message, NULL);
}


void
logic_http_failed(logic_thread_t *t, struct evhttp_request *req,
    const char *message)
{
    logic_http_answer(t, req, 200, -500, message, NULL);
}


const char *
logic_http_need(logic_thread_t *t, struct evhttp_request *req,
    const logic_query_t *q, const char *name)
{
    const logic_arg_t  *arg;

    arg = logic_query_find(q, name);

    if (arg == NULL || arg->len == 0) {
        logic_http_bad(t, req, "%s: required", name);
        return NULL;
    }

    return arg->value;
}


int
logic_http_number(logic_thread_t *t, struct evhttp_request *req,
    const logic_query_t *q, const char *name, int required, int64_t min,
    int64_t max, int64_t *value)
{
    const logic_arg_t  *arg;

    *value = 0;
    arg = logic_query_find(q, name);

    if (arg != NULL && logic_query_number(arg, INT64_MIN, INT64_MAX, value)
                       != 0)
    {
        logic_http_bad(t, req, "%s: not a number", name);
        return -1;
    }

    if (required && *value == 0) {
        logic_http_bad(t, req, "%s: required and not 0", name);
        return -1;
    }

    if (*value < min || *value > max) {
        logic_http_bad(t, req, "%s: %lld is not between %lld and %lld",
                       name, (long long) *value, (long long) min,
                       (long long) max);
        return -1;
    }

    return 0;
}
