/*
 * Sessions that backends end (disconnect.c).
 */

#ifndef LOGIC_DISCONNECT_H
#define LOGIC_DISCONNECT_H

#include "http.h"
#include "push.h"

/* the route */
void logic_disconnect_http(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

/* Names of one kind, in a call. */
#define LOGIC_DISCONNECT_MAX  1000

/* Tell all nodes: end has names of one kind. done() as of a push. */
void logic_disconnect(logic_thread_t *t, Goim__End *end, logic_push_pt done,
    void *data);

#endif
