/*
 * Tokens that backends revoke (revoke.c).
 */

#ifndef LOGIC_REVOKE_H
#define LOGIC_REVOKE_H

#include "http.h"

/* the route */
void logic_revoke_http(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

#endif
