/*
 * A room's history, for backends (read.c).
 */

#ifndef LOGIC_READ_H
#define LOGIC_READ_H

#include "http.h"

/* the routes */
void logic_room_position(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_room_history(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

#endif
