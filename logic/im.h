/*
 * Messages between people: commands go to job by a bus of their own (im.c), and
 * its answers come by a stream (im_reply.c); what is stored is read from the
 * database (im_read.c).
 */

#ifndef LOGIC_IM_H
#define LOGIC_IM_H

#include "http.h"

#include "svc/db.h"
#include "svc/im.h"

/* the routes */
void logic_im_send(logic_thread_t *t, http_request_t *req, logic_query_t *q);
void logic_im_mark(logic_thread_t *t, http_request_t *req, logic_query_t *q);
void logic_im_create(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_im_sync(logic_thread_t *t, http_request_t *req, logic_query_t *q);
void logic_im_history(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_im_convs(logic_thread_t *t, http_request_t *req, logic_query_t *q);

/* [im] without db: 0, and t->im stays NULL */
int logic_im_start(logic_thread_t *t, char *err, size_t size);
void logic_im_free(logic_thread_t *t);

/* -1: there are none here, or mid is missing or wrong: answered. */
int logic_im_who(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, int64_t *mid);

/* The parameter conv, of which mid may be a member; NULL: answered. */
const char *logic_im_conv(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, int64_t mid);


typedef struct logic_im_s      logic_im_t;
typedef struct logic_im_ask_s  logic_im_ask_t;

/* im_reply.c: the answer to a request of this thread */
typedef void (*logic_im_answer_pt)(logic_im_t *im,
    const Goim__ImReply *reply);

typedef struct logic_im_replies_s  logic_im_replies_t;

logic_im_replies_t *logic_im_replies_new(logic_im_t *im, logic_thread_t *t,
    logic_im_answer_pt answer);
void logic_im_replies_free(logic_im_replies_t *r);

/* what job is told of it */
const char *logic_im_replies_name(const logic_im_replies_t *r);


LIST_HEAD(logic_im_asks_s, logic_im_ask_s);

#define LOGIC_IM_ASKS  1024         /* buckets, a power of two */

struct logic_im_s {
    logic_thread_t          *thread;
    bus_conf_t               bus_conf;
    bus_producer_t          *bus;
    db_t                    *db;
    logic_im_replies_t      *replies;
    uint64_t                 request;       /* the last one's number */
    size_t                   asked;
    struct logic_im_asks_s   asks[LOGIC_IM_ASKS];
};

#endif
