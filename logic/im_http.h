/*
 * Commands between people by the HTTP API, and on the public listener, by users'
 * own tokens alone (im_http.c).
 */

#ifndef LOGIC_IM_HTTP_H
#define LOGIC_IM_HTTP_H

#include "http.h"

#define LOGIC_IM_ROUTES(X)                                                   \
    X(POST, send, "send")                                                    \
    X(POST, read, "read")                                                    \
    X(POST, create, "group/create")                                          \
    X(POST, add, "group/add")                                                \
    X(POST, remove, "group/remove")                                          \
    X(POST, join, "group/join")                                              \
    X(POST, answer, "group/answer")                                          \
    X(POST, member, "group/member")                                          \
    X(POST, update, "group/update")                                          \
    X(POST, dismiss, "group/dismiss")                                        \
    X(GET, sync, "sync")                                                     \
    X(GET, history, "history")                                               \
    X(GET, convs, "convs")                                                   \
    X(POST, conv, "conv")                                                    \
    X(GET, group, "group")                                                   \
    X(GET, members, "group/members")                                         \
    X(POST, device, "device")                                                \
    X(GET, devices, "devices")                                               \
    X(POST, kick, "kick")                                                    \
    X(POST, ticket, "ticket")

#define LOGIC_IM_DECLARE(method, function, name)                             \
    void logic_im_http_##function(logic_thread_t *t, http_request_t *req,    \
        logic_query_t *q);                                                   \
    void logic_im_public_##function(logic_thread_t *t, http_request_t *req,  \
        logic_query_t *q);

LOGIC_IM_ROUTES(LOGIC_IM_DECLARE)

/* HTTP's status of an answer */
int logic_im_status(int code);

/* im_push.c: POST /goim/push/mids with store=1, of that operation */
void logic_im_push(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, int32_t operation);

#endif
