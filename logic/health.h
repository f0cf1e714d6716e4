/*
 * /health, /ready, /metrics, what to say about Redis at start (health.c).
 */

#ifndef LOGIC_HEALTH_H
#define LOGIC_HEALTH_H

#include "http.h"

void logic_health(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_ready(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_metrics(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

/* A job is seen where this logic's Redis is, or not (svc/here.h). */
void logic_health_job(int seen, void *data);

/* Redis is up: say what is risky about its configuration. */
void logic_health_ask(logic_thread_t *t);

#endif
