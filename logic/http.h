/*
 * A backend's request in, its answer out (http.c).
 */

#ifndef LOGIC_HTTP_H
#define LOGIC_HTTP_H

#include <jansson.h>

#include "svc/http.h"

#include "logic.h"
#include "query.h"

int logic_http_start(logic_thread_t *t, char *err, size_t size);

/* Each request is answered exactly once, by one of these or http_answer().
 * data: may be NULL; its reference is taken. */
void logic_http_answer(logic_thread_t *t, http_request_t *req,
    int status, int code, const char *message, json_t *data);

/* HTTP 400, code -400 and a message which names the parameter. */
void logic_http_bad(logic_thread_t *t, http_request_t *req,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* HTTP 200 and code -500: Redis did not do what was asked. */
void logic_http_failed(logic_thread_t *t, http_request_t *req,
    const char *message);

/* A parameter that must be there and not empty; NULL: answered. */
const char *logic_http_need(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, const char *name);

/* The parameter type, of a room that applications may name; NULL: answered. */
const char *logic_http_type(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q);

/* The parameters type and room: the length of the room's key, 0: answered. */
size_t logic_http_room(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, const char **type, const char **room);

/* A number; required: must be there and not 0. -1: answered. */
int logic_http_number(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, const char *name, int required, int64_t min,
    int64_t max, int64_t *value);

typedef void (*logic_http_pt)(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

#endif
