/*
 * Counts of rooms, told by comets (online.c, retire.c) and asked by backends
 * (top.c).
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

/* the sessions of users (devices.c) */
void logic_online_mids(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

/* one of them, as it is answered; e: key, holder, since when. NULL: its node is
   gone. */
json_t *logic_devices_one(logic_thread_t *t, redisReply **e);

void logic_online_call(logic_call_t *call);

/* <prefix>goim:online:<name>, of a zone: <server>/<zone>; its length */
size_t logic_online_key(logic_thread_t *t, char *buf, const char *name);

/* Take the counts of a zone that is gone out of the sums; name: of its key. */
void logic_retire(logic_thread_t *t, const char *name);

/* Whether this logic knows the zone <server>/<zone> to be there. */
int logic_retire_lives(logic_thread_t *t, const char *name);

/* Zones that are gone, wherever: once a second. */
void logic_retire_poll(logic_thread_t *t);

int logic_top_init(logic_thread_t *t);
void logic_top_free(logic_thread_t *t);

#endif
