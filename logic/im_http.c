/*
 * Commands between people by the HTTP API: a route each, with the mid of who
 * acts among the parameters.
 */

#include "im_http.h"

#include "im.h"

#include <stdlib.h>

#include "svc/clock.h"

#define LOGIC_IM_TIME  4000         /* ms, until it is answered -504 */


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
} logic_im_request_t;


static void
logic_im_http_told(void *door, int code, const char *message, json_t *data)
{
    int                  status;
    logic_im_request_t  *rq = door;

    switch (code) {

    case -400:
    case -403:
    case -404:
    case -409:
    case -413:
    case -429:
        status = -code;
        break;

    default:
        status = 200;
    }

    logic_http_answer(rq->thread, rq->req, status, code, message, data);
    free(rq);
}


static void
logic_im_http(logic_thread_t *t, http_request_t *req, logic_query_t *q,
    const char *name)
{
    logic_im_do_t        d;
    logic_im_request_t  *rq;

    if (t->im == NULL) {
        logic_http_answer(t, req, 404, -404, "no such route or method", NULL);
        return;
    }

    if (logic_http_number(t, req, q, "mid", 1, 1, INT64_MAX, &d.mid) != 0) {
        return;
    }

    rq = malloc(sizeof(logic_im_request_t));

    if (rq == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    rq->thread = t;
    rq->req = req;

    d.thread = t;
    d.q = q;
    d.max = GOIM_IM_BODY;
    d.names = 1;
    d.rate = 0;
    d.burst = 0;
    d.about = "";
    d.until = svc_now() + LOGIC_IM_TIME;
    d.told = logic_im_http_told;
    d.door = rq;

    (void) logic_im_do(&d, name);
}


#define LOGIC_IM_ROUTE(function, name)                                       \
    void                                                                     \
    logic_im_http_##function(logic_thread_t *t, http_request_t *req,         \
        logic_query_t *q)                                                    \
    {                                                                        \
        logic_im_http(t, req, q, name);                                      \
    }

LOGIC_IM_ROUTES(LOGIC_IM_ROUTE)
