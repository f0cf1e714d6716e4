/*
 * What a client sends by a request of its own, with its own token: POST
 * /goim/send, whose body is that of operation 4.
 *
 * The token stands in Authorization and nowhere else: what a browser adds to
 * requests by itself, as cookies, does not let a page send for its visitor.
 */

#include "access.h"
#include "http.h"
#include "jwt_keys.h"
#include "revoked.h"
#include "send.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"


typedef struct {
    logic_thread_t  *thread;
    http_request_t  *req;
    logic_who_t     *who;           /* until it is known whether its token is
                                       revoked */
} logic_send_req_t;


static void logic_send_look(logic_thread_t *t, http_request_t *req, int asked,
    int sure);
static void logic_send_refreshed(void *data, int sure);
static void logic_send_unknown(logic_thread_t *t, http_request_t *req,
    const logic_jwks_t *keys, const char *reason);
static void logic_send_claims(logic_thread_t *t, http_request_t *req,
    json_t *claims);
static void logic_send_asked(int revoked, void *data);
static void logic_send_said(const logic_sent_t *sent, void *data);
static void logic_send_denied(logic_thread_t *t, http_request_t *req,
    const char *why);


void
logic_send_http(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    (void) q;

    if (t->conf->auth != LOGIC_AUTH_JWT) {
        logic_http_answer(t, req, 403, GOIM_FORBIDDEN,
                          "clients send by requests with [auth] mode = jwt "
                          "only", NULL);
        return;
    }

    logic_send_look(t, req, 0, 0);
}


/* asked: keys have been asked for again; sure: those in force are newer */

static void
logic_send_look(logic_thread_t *t, http_request_t *req, int asked, int sure)
{
    json_t            *claims;
    const char        *token, *reason;
    logic_jwks_t      *keys;
    logic_jwt_code_t   code;

    token = logic_access_bearer(req);

    if (token == NULL) {
        logic_send_denied(t, req, "a token is needed: Authorization: Bearer "
                          "TOKEN");
        return;
    }

    keys = logic_jwt_keys_get();
    code = logic_jwt_verify(&t->conf->jwt, keys, token, strlen(token),
                            svc_date(), &claims, &reason);

    if (code == LOGIC_JWT_GOOD) {
        logic_send_claims(t, req, claims);
        json_decref(claims);

    } else if (code == LOGIC_JWT_UNKNOWN && !asked) {
        logic_send_unknown(t, req, keys, reason);

    } else if (code == LOGIC_JWT_UNKNOWN && !sure) {
        logic_http_answer(t, req, 503, GOIM_LATER, reason, NULL);

    } else {
        logic_send_denied(t, req, reason);
    }

    logic_jwks_unref(keys);
}


/* It may be a new key. */

static void
logic_send_unknown(logic_thread_t *t, http_request_t *req,
    const logic_jwks_t *keys, const char *reason)
{
    logic_send_req_t  *r;

    r = http_alloc(req, sizeof(logic_send_req_t));

    if (r != NULL) {
        r->thread = t;
        r->req = req;
    }

    if (r == NULL
        || logic_jwt_keys_want(t, keys, logic_send_refreshed, r)
           != LOGIC_JWT_KEYS_WAITS)
    {
        logic_http_answer(t, req, 503, GOIM_LATER, reason, NULL);
    }
}


static void
logic_send_refreshed(void *data, int sure)
{
    logic_send_req_t  *r = data;

    logic_send_look(r->thread, r->req, 1, sure);
}


static void
logic_send_claims(logic_thread_t *t, http_request_t *req, json_t *claims)
{
    const char        *reason;
    logic_who_t       *who;
    logic_send_req_t  *r;

    who = malloc(sizeof(logic_who_t));
    r = http_alloc(req, sizeof(logic_send_req_t));

    if (who == NULL || r == NULL) {
        logic_http_answer(t, req, 503, GOIM_LATER, "no memory", NULL);

    } else if (logic_token_claims(claims, who, &reason) != 0) {
        logic_send_denied(t, req, reason);

    } else if (!who->sends.any) {
        logic_http_answer(t, req, 403, GOIM_FORBIDDEN, "it may not send",
                          NULL);

    } else {
        r->thread = t;
        r->req = req;
        r->who = who;

        if (logic_revoked_ask(t, who, logic_send_asked, r) == 0) {
            return;
        }

        logic_http_answer(t, req, 503, GOIM_LATER, "redis is away", NULL);
    }

    free(who);
}


static void
logic_send_asked(int revoked, void *data)
{
    logic_send_req_t  *r = data;

    logic_who_t       *who;
    logic_thread_t    *t;
    logic_send_ask_t   ask;

    t = r->thread;
    who = r->who;

    if (revoked < 0) {
        logic_http_answer(t, r->req, 503, GOIM_LATER, "redis did not answer",
                          NULL);

    } else if (revoked > 0) {
        metrics_add(logic_m.revoked, 1);
        logic_send_denied(t, r->req, LOGIC_REVOKED);

    } else {
        ask.mid = who->mid;
        ask.key = NULL;
        ask.key_len = 0;
        ask.about = who->data;
        ask.may = &who->sends;
        ask.limits = &who->limits;
        ask.data = http_body(r->req, &ask.len);
        ask.deadline = svc_now() + t->conf->push_timeout;

        if (t->before != NULL) {
            ask.deadline += t->conf->before_hook.timeout;
        }

        logic_send(t, &ask, logic_send_said, r);
    }

    free(who);
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


static void
logic_send_denied(logic_thread_t *t, http_request_t *req, const char *why)
{
    http_add_header(req, "WWW-Authenticate", "Bearer");
    logic_http_answer(t, req, 401, -401, why, NULL);
}
