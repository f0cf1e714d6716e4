/*
 * Counts of rooms, told by comets (online.c) and asked by backends (top.c).
 */

#ifndef LOGIC_ONLINE_H
#define LOGIC_ONLINE_H

#include "http.h"
#include "rpc.h"

#define LOGIC_ROOMS_CALL    1000    /* rooms of an Online call */

void logic_online_top(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_online_room(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_online_total(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

void logic_online_call(logic_call_t *call);

/* The zone's counts live as long as its registration. */
void logic_online_renew(logic_thread_t *t, const char *server,
    const char *zone);
void logic_online_forget(logic_thread_t *t, const char *server,
    const char *zone);

/* <prefix>ol_<server>/<zone>; its length */
size_t logic_online_key(logic_thread_t *t, char *buf, const char *server,
    const char *zone);

int logic_top_init(logic_thread_t *t);
void logic_top_free(logic_thread_t *t);

#endif
