/*
 * Who a client is: what its token says (goim's way: anybody may claim any
 * mid and room), or what the application says about the token.
 */

#include "hook.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "svc/log.h"


static void logic_auth_token(logic_call_t *call, const void *data,
    size_t len, int limited);
static void logic_auth_fail(logic_call_t *call, const char *reason);
static void logic_auth_deny(logic_call_t *call, const char *reason);
static void logic_auth_ask(logic_call_t *call);
static void logic_auth_told(const logic_answer_t *answer, void *data);


void
logic_auth_call(logic_call_t *call)
{
    Goim__Connect  *c;

    c = call->msg->connect;

    if (!logic_zone_valid(c->server, c->zone)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "connect");

    } else if (call->thread->conf->auth == LOGIC_AUTH_HTTP) {
        logic_auth_ask(call);

    } else {
        logic_auth_token(call, c->token.data, c->token.len, 0);
    }
}


static void
logic_auth_token(logic_call_t *call, const void *data, size_t len,
    int limited)
{
    const char   *reason;
    logic_who_t  *who;

    static log_once_t  once;

    who = malloc(sizeof(logic_who_t));
    if (who == NULL) {
        logic_auth_fail(call, "no memory");
        return;
    }

    if (logic_token_parse(data, len, limited, who, &reason) == 0) {
        logic_session_connect(call, who);
        return;
    }

    free(who);

    if (!limited) {
        logic_auth_deny(call, reason);
        return;
    }

    /* the application's fault: not the client's, who may try again */

    log_seldom(&once, LOG_WARN, "auth: the application's answer of %zu bytes "
               "is no login: %s", len, reason);
    logic_auth_fail(call, "the application's answer is no login");
}


static void
logic_auth_fail(logic_call_t *call, const char *reason)
{
    metrics_add(logic_m.connect_failed, 1);
    logic_reply_code(call, GOIM__REPLY__CODE__FAILED, reason);
}


static void
logic_auth_deny(logic_call_t *call, const char *reason)
{
    metrics_add(logic_m.denied, 1);
    logic_reply_code(call, GOIM__REPLY__CODE__DENIED, reason);
}


static void
logic_auth_ask(logic_call_t *call)
{
    int             rc;
    char           *cookie;
    const char     *header[9];
    Goim__Connect  *c;

    c = call->msg->connect;

    cookie = c->cookie.len == 0 ? NULL
             : strndup((const char *) c->cookie.data, c->cookie.len);

    header[0] = "Content-Type";
    header[1] = "application/octet-stream";
    header[2] = "X-Goim-Server";
    header[3] = c->server;
    header[4] = "X-Goim-Addr";
    header[5] = c->addr;
    header[6] = cookie != NULL && cookie[0] != '\0' ? "Cookie" : NULL;
    header[7] = cookie;
    header[8] = NULL;

    rc = logic_hook_post(call->thread->auth, "", header, c->token.data,
                         c->token.len, logic_auth_told, call);
    free(cookie);

    if (rc != 0) {
        logic_auth_fail(call, "too many logins wait for the application");
    }
}


static void
logic_auth_told(const logic_answer_t *answer, void *data)
{
    int            status;
    logic_call_t  *call = data;

    static log_once_t  once;

    status = answer->status;

    if (call->link == NULL) {
        /* the comet is gone, and its client with it */
        logic_auth_fail(call, "gone");

    } else if (status >= 200 && status <= 299) {
        logic_auth_token(call, answer->body, answer->len, 1);

    } else if (status == 401 || status == 403) {
        logic_auth_deny(call, "the application denies it");

    } else {

        if (status == 0) {
            log_seldom(&once, LOG_WARN, "auth: the application does not "
                       "answer: %s", answer->error);

        } else {
            log_seldom(&once, LOG_WARN, "auth: the application answers with "
                       "status %d", status);
        }

        logic_auth_fail(call, "the application did not answer");
    }
}
