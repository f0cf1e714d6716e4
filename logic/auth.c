/*
 * Who a client is: what its token says (goim's way: anybody may claim any
 * mid and room), what a signed one says (auth_jwt.c), or what the application
 * says about the token.
 */

#include "breaker.h"
#include "hook.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/goim_header.h"
#include "svc/log.h"


/* The headers of a request to the application. */
typedef struct {
    const char  *header[2 * (GOIM_HEADERS_MAX + 5) + 1];
    size_t       nheader;
    char        *owned[GOIM_HEADERS_MAX + 2];
    size_t       nowned;
} logic_asked_t;


static void logic_auth_token(logic_call_t *call, const void *data,
    size_t len, int answer);
static void logic_auth_ask(logic_call_t *call);
static int logic_auth_passes(const logic_conf_t *conf, const char *name);
static void logic_auth_header(logic_asked_t *a, const char *name,
    const char *value);
static void logic_auth_bytes(logic_asked_t *a, const char *name,
    const ProtobufCBinaryData *value);
static void logic_auth_told(const logic_answer_t *answer, void *data);


void
logic_auth_call(logic_call_t *call)
{
    Goim__Connect  *c;

    c = call->msg->connect;

    if (!logic_zone_valid(c->server, c->zone)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "connect");

    } else if (call->thread->conf->auth == LOGIC_AUTH_JWT) {
        logic_auth_jwt(call);

    } else if (c->again) {
        logic_auth_deny(call, "no signed tokens are taken any more");

    } else if (call->thread->conf->auth == LOGIC_AUTH_HTTP) {
        logic_auth_ask(call);

    } else {
        logic_auth_token(call, c->token.data, c->token.len, 0);
    }
}


static void
logic_auth_token(logic_call_t *call, const void *data, size_t len,
    int answer)
{
    int           rc;
    const char   *reason;
    logic_who_t  *who;

    static log_once_t  once;

    who = malloc(sizeof(logic_who_t));
    if (who == NULL) {
        logic_auth_fail(call, "no memory");
        return;
    }

    rc = answer ? logic_token_answer(data, len, who, &reason)
                : logic_token_parse(data, len, who, &reason);

    if (rc == 0) {
        who->im |= !answer && who->mid > 0 && call->thread->conf->im_insecure;
        logic_session_connect(call, who);
        return;
    }

    free(who);

    if (!answer) {
        logic_auth_deny(call, reason);
        return;
    }

    /* the application's fault: not the client's, who may try again */

    log_seldom(&once, LOG_WARN, "auth: the application's answer of %zu bytes "
               "is no login: %s", len, reason);
    logic_auth_fail(call, "the application's answer is no login");
}


void
logic_auth_fail(logic_call_t *call, const char *reason)
{
    metrics_add(logic_m.connect_failed, 1);
    logic_reply_code(call, GOIM__REPLY__CODE__FAILED, reason);
}


void
logic_auth_deny(logic_call_t *call, const char *reason)
{
    metrics_add(logic_m.denied, 1);
    logic_reply_code(call, GOIM__REPLY__CODE__DENIED, reason);
}


static void
logic_auth_ask(logic_call_t *call)
{
    int             rc;
    size_t          i;
    const char     *name;
    logic_asked_t   a;
    Goim__Connect  *c;

    c = call->msg->connect;
    memset(&a, 0, sizeof(a));

    if (logic_breaker_ask(call->thread->conf, call) != 0) {
        logic_auth_fail(call, "the application is not asked, as it fails");
        return;
    }

    logic_auth_header(&a, "Content-Type", "application/octet-stream");
    logic_auth_header(&a, "X-Goim-Server", c->server);
    logic_auth_header(&a, "X-Goim-Addr", c->addr);
    logic_auth_bytes(&a, "Cookie", &c->cookie);

    if (logic_auth_passes(call->thread->conf, "query")) {
        logic_auth_bytes(&a, "X-Goim-Query", &c->query);
    }

    for (i = 0; i < c->n_headers && i < GOIM_HEADERS_MAX; i++) {
        name = c->headers[i]->name;

        if (goim_header_passes(name, strlen(name))
            && logic_auth_passes(call->thread->conf, name))
        {
            logic_auth_bytes(&a, name, &c->headers[i]->value);
        }
    }

    rc = logic_hook_post(call->thread->auth, "", a.header, c->token.data,
                         c->token.len, logic_auth_told, call);

    while (a.nowned > 0) {
        free(a.owned[--a.nowned]);
    }

    if (rc != 0) {
        logic_breaker_unasked(call);
        logic_auth_fail(call, "too many logins wait for the application");
    }
}


/* Those of [auth] pass, if it has them; others by the node's goim_pass. */

static int
logic_auth_passes(const logic_conf_t *conf, const char *name)
{
    size_t  i;

    for (i = 0; logic_pass_names[i] != NULL; i++) {
        if (strcasecmp(name, logic_pass_names[i]) == 0) {
            return conf->pass >> i & 1;
        }
    }

    return 1;
}


static void
logic_auth_header(logic_asked_t *a, const char *name, const char *value)
{
    a->header[a->nheader++] = name;
    a->header[a->nheader++] = value;
}


static void
logic_auth_bytes(logic_asked_t *a, const char *name,
    const ProtobufCBinaryData *value)
{
    char  *copy;

    if (value->len == 0) {
        return;
    }

    copy = strndup((const char *) value->data, value->len);

    if (copy != NULL) {
        a->owned[a->nowned++] = copy;
        logic_auth_header(a, name, copy);
    }
}


static void
logic_auth_told(const logic_answer_t *answer, void *data)
{
    int            status;
    logic_call_t  *call = data;

    static log_once_t  once;

    status = answer->status;
    logic_breaker_told(call->thread->conf, call,
                       status != 0 && status < 500);

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
