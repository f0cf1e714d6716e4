/*
 * Who a user's own token is of, that a request shows (bearer.c).
 */

#ifndef LOGIC_BEARER_H
#define LOGIC_BEARER_H

#include "http.h"
#include "token.h"

/* Whether the request shows a token and no key of the API: by its form alone. */
int logic_bearer_shown(const logic_thread_t *t, http_request_t *req);

/*
 * The token in Authorization is checked: it may take until keys have been asked
 * for again. `done`, who is valid as long as that takes, or the request is
 * answered.
 */
typedef void (*logic_bearer_pt)(logic_thread_t *t, http_request_t *req,
    const logic_who_t *who, void *data);

void logic_bearer(logic_thread_t *t, http_request_t *req, logic_bearer_pt done,
    void *data);

#endif
