/*
 * Commands between people by the HTTP API (im_http.c).
 */

#ifndef LOGIC_IM_HTTP_H
#define LOGIC_IM_HTTP_H

#include "http.h"

#define LOGIC_IM_ROUTES(X)                                                   \
    X(send, "send")                                                          \
    X(read, "read")                                                          \
    X(create, "group/create")                                                \
    X(add, "group/add")                                                      \
    X(remove, "group/remove")                                                \
    X(join, "group/join")                                                    \
    X(answer, "group/answer")                                                \
    X(member, "group/member")                                                \
    X(update, "group/update")                                                \
    X(dismiss, "group/dismiss")                                              \
    X(sync, "sync")                                                          \
    X(history, "history")                                                    \
    X(convs, "convs")                                                        \
    X(conv, "conv")                                                          \
    X(group, "group")                                                        \
    X(members, "group/members")                                              \
    X(device, "device")                                                      \
    X(devices, "devices")                                                    \
    X(kick, "kick")

#define LOGIC_IM_DECLARE(function, name)                                     \
    void logic_im_http_##function(logic_thread_t *t, http_request_t *req,    \
        logic_query_t *q);

LOGIC_IM_ROUTES(LOGIC_IM_DECLARE)

#endif
