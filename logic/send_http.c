/*
 * What a client sends by a request of its own, with its own token: POST
 * /goim/send, whose body is that of operation 4.
 */

#include "bearer.h"
#include "send.h"

#include <stdio.h>

#include "svc/clock.h"


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
} logic_send_req_t;


static void logic_send_shown(logic_thread_t *t, http_request_t *req,
    const logic_who_t *who, void *data);
static void logic_send_said(const logic_sent_t *sent, void *data);


void
logic_send_http(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    (void) q;

    logic_bearer(t, req, logic_send_shown, NULL);
}


static void
logic_send_shown(logic_thread_t *t, http_request_t *req,
    const logic_who_t *who, void *data)
{
    logic_send_ask_t   ask;
    logic_send_req_t  *r;

    (void) data;

    if (!who->sends.any) {
        logic_http_answer(t, req, 403, GOIM_FORBIDDEN, "it may not send",
                          NULL);
        return;
    }

    r = http_alloc(req, sizeof(logic_send_req_t));

    if (r == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    r->thread = t;
    r->req = req;

    ask.mid = who->mid;
    ask.key = NULL;
    ask.key_len = 0;
    ask.about = who->data;
    ask.may = &who->sends;
    ask.limits = &who->limits;
    ask.data = http_body(req, &ask.len);
    ask.deadline = svc_now() + t->conf->push_timeout;

    if (t->before != NULL) {
        ask.deadline += t->conf->before_hook.timeout;
    }

    logic_send(t, &ask, logic_send_said, r);
}


/* The status is the code's, as of nothing that goim has. */

static void
logic_send_said(const logic_sent_t *sent, void *data)
{
    char               seconds[24];
    json_t            *more;
    logic_send_req_t  *r = data;

    more = NULL;

    if (sent->code == GOIM_OFTEN) {
        snprintf(seconds, sizeof(seconds), "%lld",
                 (long long) (sent->after + 999) / 1000);
        http_add_header(r->req, "Retry-After", seconds);
        more = json_pack("{s:I}", "after", (json_int_t) sent->after);
    }

    logic_http_answer(r->thread, r->req, sent->code == 0 ? 200 : -sent->code,
                      sent->code, sent->reason, more);
}
