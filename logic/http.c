/*
 * The HTTP API: routes, parameters, answers.
 */

#include "access.h"
#include "disconnect.h"
#include "health.h"
#include "im_http.h"
#include "nodes.h"
#include "online.h"
#include "push.h"
#include "read.h"
#include "revoke.h"
#include "send.h"
#include "who.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "svc/listen.h"

#define LOGIC_HTTP_JSON    "application/json; charset=utf-8"
#define LOGIC_HTTP_FORM    "application/x-www-form-urlencoded"
#define LOGIC_HTTP_PARAMS  64       /* beside keys, mids and rooms */

/* X(method, path, handler, where its parameters are, scope of keys, how it
   uses rooms) */
#define LOGIC_ROUTES(X)                                                      \
    X(POST, "/goim/push/keys", push_keys, query, PUSH, NONE)                 \
    X(POST, "/goim/push/mids", push_mids, query, PUSH, NONE)                 \
    X(POST, "/goim/push/room", push_room, query, PUSH, NAMED)                \
    X(POST, "/goim/push/all", push_all, query, PUSH, NONE)                   \
    X(POST, "/goim/form/keys", push_keys, form, PUSH, NONE)                  \
    X(POST, "/goim/form/mids", push_mids, form, PUSH, NONE)                  \
    X(POST, "/goim/form/room", push_room, form, PUSH, NAMED)                 \
    X(POST, "/goim/form/all", push_all, form, PUSH, NONE)                    \
    X(POST, "/goim/send", send_http, query, ALL, NONE)                       \
    X(POST, "/goim/disconnect", disconnect_http, query, CONTROL, NAMED)      \
    X(POST, "/goim/revoke", revoke_http, query, CONTROL, NONE)               \
    X(GET, "/goim/room/position", room_position, query, READ, NAMED)         \
    X(GET, "/goim/room/history", room_history, query, READ, NAMED)           \
    X(POST, "/goim/im/send", im_http_send, query, IM, NONE)                  \
    X(POST, "/goim/im/read", im_http_read, query, IM, NONE)                  \
    X(POST, "/goim/im/group/create", im_http_create, query, IM, NONE)        \
    X(POST, "/goim/im/group/add", im_http_add, query, IM, NONE)              \
    X(POST, "/goim/im/group/remove", im_http_remove, query, IM, NONE)        \
    X(POST, "/goim/im/group/join", im_http_join, query, IM, NONE)            \
    X(POST, "/goim/im/group/answer", im_http_answer, query, IM, NONE)        \
    X(POST, "/goim/im/group/member", im_http_member, query, IM, NONE)        \
    X(POST, "/goim/im/group/update", im_http_update, query, IM, NONE)        \
    X(POST, "/goim/im/group/dismiss", im_http_dismiss, query, IM, NONE)      \
    X(GET, "/goim/im/sync", im_http_sync, query, IM, NONE)                   \
    X(GET, "/goim/im/history", im_http_history, query, IM, NONE)             \
    X(GET, "/goim/im/convs", im_http_convs, query, IM, NONE)                 \
    X(POST, "/goim/im/conv", im_http_conv, query, IM, NONE)                  \
    X(GET, "/goim/im/group", im_http_group, query, IM, NONE)                 \
    X(GET, "/goim/im/group/members", im_http_members, query, IM, NONE)       \
    X(POST, "/goim/im/device", im_http_device, query, IM, NONE)              \
    X(GET, "/goim/im/devices", im_http_devices, query, IM, NONE)             \
    X(POST, "/goim/im/kick", im_http_kick, query, IM, NONE)                  \
    X(POST, "/goim/im/ticket", im_http_ticket, query, IM, NONE)              \
    X(GET, "/goim/online/top", online_top, query, READ, NONE)                \
    X(GET, "/goim/online/room", online_room, query, READ, NAMED)             \
    X(GET, "/goim/online/total", online_total, query, READ, NONE)            \
    X(GET, "/goim/online/mids", online_mids, query, READ, NONE)              \
    X(GET, "/goim/online/members", online_members, query, READ, NAMED)       \
    X(GET, "/goim/nodes/instances", nodes_instances, query, READ, NONE)      \
    X(POST, "/goim/nodes/offline", nodes_offline, query, CONTROL, NONE)      \
    X(GET, "/goim/nodes/weighted", nodes_weighted, query, ALL, NONE)         \
    X(GET, "/health", health, query, ALL, NONE)                              \
    X(GET, "/ready", ready, query, ALL, NONE)                                \
    X(GET, "/metrics", metrics, query, ALL, NONE)

#define LOGIC_SCOPE_ALL    0        /* needs no key */


static void logic_http_query(logic_thread_t *t, http_request_t *req,
    logic_http_pt handler, const logic_apikey_t *key);
static void logic_http_form(logic_thread_t *t, http_request_t *req,
    logic_http_pt handler, const logic_apikey_t *key);
static int logic_http_args(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, char *text, size_t len, const char *where);
static void logic_http_missing(http_request_t *req, void *data);


#define LOGIC_ROUTE_HANDLER(method, path, name, where, scope, rooms)         \
    static void                                                              \
    logic_route_##where##_##name(http_request_t *req, void *data)            \
    {                                                                        \
        const logic_apikey_t  *key;                                          \
                                                                             \
        if (logic_access(data, req, LOGIC_SCOPE_##scope,                     \
                         LOGIC_ROOMS_##rooms, &key)                          \
            == 0)                                                            \
        {                                                                    \
            logic_http_##where(data, req, logic_##name, key);                \
        }                                                                    \
    }

#define LOGIC_ROUTE(method, path, name, where, scope, rooms)                 \
    { HTTP_##method, path, logic_route_##where##_##name },

LOGIC_ROUTES(LOGIC_ROUTE_HANDLER)

static const http_route_t  logic_routes[] = {
    LOGIC_ROUTES(LOGIC_ROUTE)
    { 0, NULL, logic_http_missing }
};


/* ---- what pages call, on a listener of its own -------------------------- */

static void
logic_public_weighted(http_request_t *req, void *data)
{
    logic_access_cors(data, req);
    logic_http_query(data, req, logic_nodes_weighted, NULL);
}


static void
logic_public_send(http_request_t *req, void *data)
{
    logic_access_cors(data, req);
    logic_http_query(data, req, logic_send_http, NULL);
}


#define LOGIC_PUBLIC_IM(method, function, name)                              \
    static void                                                              \
    logic_public_im_##function(http_request_t *req, void *data)              \
    {                                                                        \
        logic_access_cors(data, req);                                        \
        logic_http_query(data, req, logic_im_public_##function, NULL);       \
    }

LOGIC_IM_ROUTES(LOGIC_PUBLIC_IM)


/* what a browser asks before a request with Authorization */

static void
logic_public_options(http_request_t *req, void *data)
{
    logic_access_cors(data, req);
    logic_http_answer(data, req, 200, 0, "", NULL);
}


#define LOGIC_PUBLIC_IM_ROUTE(method, function, name)                        \
    { HTTP_##method, "/goim/im/" name, logic_public_im_##function },         \
    { HTTP_OPTIONS, "/goim/im/" name, logic_public_options },

static const http_route_t  logic_public_routes[] = {
    { HTTP_GET, "/goim/nodes/weighted", logic_public_weighted },
    { HTTP_OPTIONS, "/goim/nodes/weighted", logic_public_options },
    { HTTP_POST, "/goim/send", logic_public_send },
    { HTTP_OPTIONS, "/goim/send", logic_public_options },
    LOGIC_IM_ROUTES(LOGIC_PUBLIC_IM_ROUTE)
    { 0, NULL, logic_http_missing }
};


/* Threads have TCP sockets of their own, and share a unix socket; *fd is the
   first thread's. */

static int
logic_http_listen(logic_thread_t *t, const char *addr,
    const http_route_t *routes, int *own, const int *first, char *err,
    size_t size)
{
    if (t->index == 0 || !svc_listen_unix(addr)) {
        *own = svc_listen(addr, 1, err, size);

    } else {
        *own = fcntl(*first, F_DUPFD_CLOEXEC, 0);

        if (*own == -1) {
            snprintf(err, size, "fcntl(): %s", strerror(errno));
        }
    }

    if (*own == -1) {
        return -1;
    }

    if (http_server_listen(t->http, *own, routes, t) != 0) {
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    return 0;
}


int
logic_http_start(logic_thread_t *t, char *err, size_t size)
{
    http_conf_t      conf;
    logic_thread_t  *first;

    memset(&conf, 0, sizeof(conf));

    conf.max_head = (size_t) t->conf->max_header;
    conf.max_body = (size_t) t->conf->max_body;
    conf.max_connections = (size_t) t->conf->max_connections;
    conf.timeout = t->conf->http_timeout;
    conf.keepalive = t->conf->keepalive;
    conf.answered = logic_m.http_requests;
    conf.errors = logic_m.http_errors;

    t->http = http_server_new(t->base, &conf);

    if (t->http == NULL) {
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    first = t - t->index;

    if (logic_http_listen(t, t->conf->http, logic_routes, &t->http_fd,
                          &first->http_fd, err, size)
        != 0)
    {
        return -1;
    }

    return t->conf->http_public[0] == '\0'
           ? 0
           : logic_http_listen(t, t->conf->http_public, logic_public_routes,
                               &t->public_fd, &first->public_fd, err, size);
}


/* ---- parameters -------------------------------------------------------- */

static void
logic_http_query(logic_thread_t *t, http_request_t *req,
    logic_http_pt handler, const logic_apikey_t *key)
{
    char           *text;
    logic_query_t   q;

    text = http_query(req);

    if (logic_http_args(t, req, &q, text, strlen(text), "the query") != 0) {
        return;
    }

    q.msg = http_body(req, &q.msg_len);
    q.key = key;

    handler(t, req, &q);
}


/* A form's parameters stand in the body, and the message is one of them. */

static void
logic_http_form(logic_thread_t *t, http_request_t *req,
    logic_http_pt handler, const logic_apikey_t *key)
{
    char               *text;
    size_t              len, n;
    const char         *type, *body;
    logic_query_t       q;
    const logic_arg_t  *msg;

    n = sizeof(LOGIC_HTTP_FORM) - 1;
    type = http_header(req, "Content-Type");

    if (type == NULL || strncasecmp(type, LOGIC_HTTP_FORM, n) != 0
        || (type[n] != '\0' && strchr("; \t", type[n]) == NULL))
    {
        logic_http_bad(t, req, "Content-Type: not " LOGIC_HTTP_FORM);
        return;
    }

    if (http_query(req)[0] != '\0') {
        logic_http_bad(t, req, "the query: a form's parameters stand in the "
                       "body");
        return;
    }

    body = http_body(req, &len);
    text = http_alloc(req, len + 1);

    if (text == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    memcpy(text, body, len);
    text[len] = '\0';

    if (logic_http_args(t, req, &q, text, len, "the form") != 0) {
        return;
    }

    msg = logic_query_find(&q, LOGIC_QUERY_MSG);

    if (msg == NULL) {
        logic_http_bad(t, req, LOGIC_QUERY_MSG ": required");
        return;
    }

    q.msg = msg->value;
    q.msg_len = msg->len;
    q.key = key;

    handler(t, req, &q);
}


static int
logic_http_args(logic_thread_t *t, http_request_t *req, logic_query_t *q,
    char *text, size_t len, const char *where)
{
    char          err[128];
    size_t        n, max;
    logic_arg_t  *args;

    n = logic_query_pairs(text, len);
    max = (size_t) t->conf->max_keys + LOGIC_HTTP_PARAMS;

    if (n > max) {
        logic_http_bad(t, req, "%s has %zu parameters, more than %zu", where,
                       n, max);
        return -1;
    }

    args = http_alloc(req, n * sizeof(logic_arg_t));

    if (args == NULL) {
        logic_http_failed(t, req, "no memory");
        return -1;
    }

    if (logic_query_parse(q, text, len, args, err, sizeof(err)) != 0) {
        logic_http_bad(t, req, "%s", err);
        return -1;
    }

    return 0;
}


static void
logic_http_missing(http_request_t *req, void *data)
{
    logic_http_answer(data, req, 404, -404, "no such route or method", NULL);
}


/* ---- answers ----------------------------------------------------------- */

void
logic_http_answer(logic_thread_t *t, http_request_t *req, int status,
    int code, const char *message, json_t *data)
{
    char    *text;
    json_t  *answer;

    static const char  ok[] = "{\"code\":0,\"message\":\"\"}";

    (void) t;

    if (code == 0 && data == NULL) {
        http_answer(req, status, LOGIC_HTTP_JSON, ok, sizeof(ok) - 1);
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

    http_answer(req, status, LOGIC_HTTP_JSON, text, strlen(text));
    free(text);
}


void
logic_http_bad(logic_thread_t *t, http_request_t *req,
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
logic_http_failed(logic_thread_t *t, http_request_t *req,
    const char *message)
{
    logic_http_answer(t, req, 200, -500, message, NULL);
}


const char *
logic_http_need(logic_thread_t *t, http_request_t *req,
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


const char *
logic_http_type(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q)
{
    const char  *type;

    type = logic_http_need(t, req, q, "type");

    if (type != NULL && strcmp(type, GOIM_ROOM_OWN) == 0) {
        logic_http_bad(t, req, "type: \"" GOIM_ROOM_OWN
                       "\" is not for applications");
        return NULL;
    }

    return type;
}


size_t
logic_http_room(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, const char **type, const char **room)
{
    char    key[GOIM_ROOM_MAX + 1];
    size_t  len;

    *type = logic_http_type(t, req, q);
    *room = *type == NULL ? NULL : logic_http_need(t, req, q, "room");

    if (*room == NULL) {
        return 0;
    }

    len = strlen(*type) + 3 + strlen(*room);

    if (len > GOIM_ROOM_MAX) {
        logic_http_bad(t, req, "room: type and room have more than %d bytes",
                       GOIM_ROOM_MAX);
        return 0;
    }

    stpcpy(stpcpy(stpcpy(key, *type), "://"), *room);

    return logic_access_room(t, req, q->key, key, len) == 0 ? len : 0;
}


int
logic_http_number(logic_thread_t *t, http_request_t *req,
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
