/*
 * A comet's call in, its reply out (rpc.c).
 */

#ifndef LOGIC_RPC_H
#define LOGIC_RPC_H

#include <sys/queue.h>

#include "proto/goim.pb-c.h"

#include "logic.h"

struct logic_call_s {
    TAILQ_ENTRY(logic_call_s)   entry;
    logic_thread_t             *thread;
    logic_link_t               *link;       /* NULL: the comet is gone */
    Goim__Call                 *msg;
    int64_t                     deadline;   /* by svc_now(): then nobody waits
                                               for the answer any more */
    unsigned                    cancelled:1;
};

int logic_rpc_start(logic_thread_t *t, char *err, size_t size);
void logic_rpc_drain(logic_thread_t *t);
void logic_rpc_stop(logic_thread_t *t);

/* Each call is answered exactly once, and is freed by that. */
void logic_reply(logic_call_t *call, Goim__Reply *reply);
void logic_reply_ok(logic_call_t *call);
void logic_reply_code(logic_call_t *call, Goim__Reply__Code code,
    const char *error);

/* Whether nobody waits for the answer any more: the time is up, or the
 * connection has ended, as far as it can be known now. */
int logic_rpc_gone(const logic_call_t *call);

/* Whether replies wait that the comet does not take. */
int logic_rpc_full(const logic_call_t *call);

/* server_id and zone of a call, as they may be used in keys */
int logic_zone_valid(const char *server, const char *zone);

#endif
