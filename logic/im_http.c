/*
 * Commands between people by the HTTP API: a route each. A backend says by the
 * parameter mid who acts; who shows a token of its own, acts.
 */

#include "im_http.h"

#include "bearer.h"
#include "im.h"
#include "send.h"

#include "svc/clock.h"


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
    const char      *name;          /* of the command */
    logic_query_t    q;             /* what it points to is the request's */
} logic_im_request_t;


int
logic_im_status(int code)
{
    switch (code) {

    case -400:
    case -403:
    case -404:
    case -409:
    case -413:
    case -429:
        return -code;

    default:
        return 200;
    }
}


static void
logic_im_http_told(void *door, int code, const char *message, json_t *data)
{
    logic_im_request_t  *rq = door;

    logic_http_answer(rq->thread, rq->req, logic_im_status(code), code,
                      message, data);
}


/* who: by its own token; NULL: a backend, for the mid in d */

static void
logic_im_http_do(logic_im_request_t *rq, logic_im_do_t *d,
    const logic_who_t *who)
{
    logic_thread_t  *t;

    t = rq->thread;

    d->thread = t;
    d->req = rq->req;
    d->max = GOIM_IM_BODY;
    d->names = who == NULL;
    d->rate = 0;
    d->burst = 0;
    d->about = "";
    d->until = svc_now() + LOGIC_IM_TIME;
    d->told = logic_im_http_told;
    d->door = rq;

    if (who != NULL) {
        d->mid = who->mid;
        d->rate = logic_send_limit(t, &who->limits, &d->burst);
        d->about = who->data;
    }

    (void) logic_im_do(d, rq->name);
}


static void
logic_im_http_shown(logic_thread_t *t, http_request_t *req,
    const logic_who_t *who, void *data)
{
    logic_im_do_t        d;
    logic_im_request_t  *rq = data;

    if (!who->im || who->mid <= 0) {
        logic_http_answer(t, req, 403, GOIM_FORBIDDEN, "the token has no "
                          "\"im\"", NULL);
        return;
    }

    d.q = &rq->q;
    logic_im_http_do(rq, &d, who);
}


/* user: only with a token. */

static void
logic_im_http(logic_thread_t *t, http_request_t *req, logic_query_t *q,
    const char *name, int user)
{
    logic_im_do_t        d;
    logic_im_request_t  *rq;

    if (t->im == NULL) {
        logic_http_answer(t, req, 404, -404, "no such route or method", NULL);
        return;
    }

    rq = http_alloc(req, sizeof(logic_im_request_t));

    if (rq == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    rq->thread = t;
    rq->req = req;
    rq->name = name;
    rq->q = *q;

    if (user || (q->key == NULL && logic_bearer_shown(t, req))) {
        logic_bearer(t, req, logic_im_http_shown, rq);
        return;
    }

    d.q = q;

    if (logic_http_number(t, req, q, "mid", 1, 1, INT64_MAX, &d.mid) == 0) {
        logic_im_http_do(rq, &d, NULL);
    }
}


#define LOGIC_IM_ROUTE(method, function, name)                               \
    void                                                                     \
    logic_im_http_##function(logic_thread_t *t, http_request_t *req,         \
        logic_query_t *q)                                                    \
    {                                                                        \
        logic_im_http(t, req, q, name, 0);                                   \
    }                                                                        \
                                                                             \
    void                                                                     \
    logic_im_public_##function(logic_thread_t *t, http_request_t *req,       \
        logic_query_t *q)                                                    \
    {                                                                        \
        logic_im_http(t, req, q, name, 1);                                   \
    }

LOGIC_IM_ROUTES(LOGIC_IM_ROUTE)
