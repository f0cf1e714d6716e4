/*
 * A user's own token, in Authorization and nowhere else: what a browser adds to
 * requests by itself, as cookies, does not let a page act for its visitor.
 */

#include "bearer.h"

#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "jwt_keys.h"
#include "revoked.h"
#include "send.h"
#include "svc/clock.h"


typedef struct {
    logic_thread_t   *thread;
    http_request_t   *req;
    logic_bearer_pt   done;
    void             *data;
    logic_who_t      *who;          /* until it is known whether its token is
                                       revoked */
} logic_bearer_t;


static void logic_bearer_look(logic_bearer_t *b, int asked, int sure);
static void logic_bearer_refreshed(void *data, int sure);
static void logic_bearer_claims(logic_bearer_t *b, json_t *claims);
static void logic_bearer_asked(int revoked, void *data);
static void logic_bearer_denied(logic_bearer_t *b, const char *why);
static void logic_bearer_later(logic_bearer_t *b, const char *why);


int
logic_bearer_shown(const logic_thread_t *t, http_request_t *req)
{
    size_t       dots;
    const char  *p;

    if (t->conf->auth != LOGIC_AUTH_JWT) {
        return 0;
    }

    p = logic_access_bearer(req);

    for (dots = 0; p != NULL && *p != '\0'; p++) {
        dots += *p == '.';
    }

    return dots == 2;
}


void
logic_bearer(logic_thread_t *t, http_request_t *req, logic_bearer_pt done,
    void *data)
{
    logic_bearer_t  *b;

    if (t->conf->auth != LOGIC_AUTH_JWT) {
        logic_http_answer(t, req, 403, GOIM_FORBIDDEN,
                          "clients send by requests with [auth] mode = jwt "
                          "only", NULL);
        return;
    }

    b = http_alloc(req, sizeof(logic_bearer_t));

    if (b == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    b->thread = t;
    b->req = req;
    b->done = done;
    b->data = data;

    logic_bearer_look(b, 0, 0);
}


/* asked: keys have been asked for again; sure: those in force are newer */

static void
logic_bearer_look(logic_bearer_t *b, int asked, int sure)
{
    json_t            *claims;
    const char        *token, *reason;
    logic_jwks_t      *keys;
    logic_jwt_code_t   code;

    token = logic_access_bearer(b->req);

    if (token == NULL) {
        logic_bearer_denied(b, "a token is needed: Authorization: Bearer "
                            "TOKEN");
        return;
    }

    keys = logic_jwt_keys_get();
    code = logic_jwt_verify(&b->thread->conf->jwt, keys, token, strlen(token),
                            svc_date(), &claims, &reason);

    if (code == LOGIC_JWT_GOOD) {
        logic_bearer_claims(b, claims);
        json_decref(claims);

    } else if (code != LOGIC_JWT_UNKNOWN || sure) {
        logic_bearer_denied(b, reason);

    } else if (asked
               || logic_jwt_keys_want(b->thread, keys, logic_bearer_refreshed,
                                      b)
                  != LOGIC_JWT_KEYS_WAITS)
    {
        logic_bearer_later(b, reason);      /* it may be a new key */
    }

    logic_jwks_unref(keys);
}


static void
logic_bearer_refreshed(void *data, int sure)
{
    logic_bearer_look(data, 1, sure);
}


static void
logic_bearer_claims(logic_bearer_t *b, json_t *claims)
{
    const char   *reason;
    logic_who_t  *who;

    who = malloc(sizeof(logic_who_t));

    if (who == NULL) {
        logic_bearer_later(b, "no memory");

    } else if (logic_token_claims(claims, who, &reason) != 0) {
        logic_bearer_denied(b, reason);

    } else {
        b->who = who;

        if (logic_revoked_ask(b->thread, who, logic_bearer_asked, b) == 0) {
            return;
        }

        logic_bearer_later(b, "redis is away");
    }

    free(who);
}


static void
logic_bearer_asked(int revoked, void *data)
{
    logic_bearer_t  *b = data;

    logic_who_t  *who;

    who = b->who;

    if (revoked < 0) {
        logic_bearer_later(b, "redis did not answer");

    } else if (revoked > 0) {
        metrics_add(logic_m.revoked, 1);
        logic_bearer_denied(b, LOGIC_REVOKED);

    } else {
        b->done(b->thread, b->req, who, b->data);
    }

    free(who);
}


static void
logic_bearer_denied(logic_bearer_t *b, const char *why)
{
    http_add_header(b->req, "WWW-Authenticate", "Bearer");
    logic_http_answer(b->thread, b->req, 401, -401, why, NULL);
}


static void
logic_bearer_later(logic_bearer_t *b, const char *why)
{
    logic_http_answer(b->thread, b->req, 503, GOIM_LATER, why, NULL);
}
