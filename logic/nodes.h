/*
 * The set of nodes (nodes.c), how they get into it (register.c), and which of
 * them a client should take (weighted.c).
 */

#ifndef LOGIC_NODES_H
#define LOGIC_NODES_H

#include "balance.h"
#include "http.h"
#include "rpc.h"

void logic_nodes_weighted(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
/* what that answers, a new reference; NULL: no node is known */
json_t *logic_nodes_where(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q);
void logic_nodes_instances(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_nodes_offline(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

void logic_register_call(logic_call_t *call);
void logic_deregister_call(logic_call_t *call);

int logic_nodes_init(logic_thread_t *t);

/* Redis is there: read the set now. */
void logic_nodes_up(logic_thread_t *t);

/* A node has come or gone: read it again. */
void logic_nodes_again(logic_thread_t *t);

void logic_nodes_free(logic_thread_t *t);

/* Bytes of a message that all nodes take: [http] max_body, or less while one is
 * registered that takes less. */
size_t logic_nodes_max_body(logic_thread_t *t);

/* This thread's, of the set as it knows it. */
logic_balance_t *logic_nodes_balance(logic_thread_t *t);

#endif
