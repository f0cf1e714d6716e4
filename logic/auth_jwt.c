/*
 * Who a client is by a signed token: from its auth packet, or from the cookie
 * that the node's location names, which says thereby that it looks at the
 * origin of pages. Never from a query, which logs show.
 */

#include "jwt_keys.h"
#include "revoked.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"


/* the keys that are known */
typedef enum {
    LOGIC_JWT_ASK,              /* as they are: others may be asked for */
    LOGIC_JWT_UNSURE,           /* have been, but may be older than the call */
    LOGIC_JWT_SURE
} logic_jwt_known_t;


/* a new token of a session, before it counts */
typedef struct {
    logic_call_t  *call;
    logic_who_t   *who;
} logic_again_t;


static void logic_jwt_refreshed(void *data, int sure);
static void logic_jwt_look(logic_call_t *call, logic_jwt_known_t known);
static void logic_jwt_login(logic_call_t *call, logic_packet_t *packet,
    logic_jwt_known_t known);
static void logic_jwt_unknown(logic_call_t *call, const logic_jwks_t *keys,
    logic_jwt_known_t known, const char *reason);
static void logic_jwt_connect(logic_call_t *call, json_t *claims,
    const logic_packet_t *packet);
static void logic_jwt_again(logic_call_t *call, json_t *claims,
    const logic_packet_t *packet);
static void logic_jwt_asked(int revoked, void *data);
static const char *logic_jwt_cookie(const Goim__Connect *c, size_t *len);


void
logic_auth_jwt(logic_call_t *call)
{
    logic_jwt_look(call, LOGIC_JWT_ASK);
}


static void
logic_jwt_refreshed(void *data, int sure)
{
    logic_call_t  *call = data;

    if (call->link == NULL) {
        logic_auth_fail(call, "gone");

    } else {
        logic_jwt_look(call, sure ? LOGIC_JWT_SURE : LOGIC_JWT_UNSURE);
    }
}


static void
logic_jwt_look(logic_call_t *call, logic_jwt_known_t known)
{
    const char      *reason;
    Goim__Connect   *c;
    logic_packet_t  *packet;

    c = call->msg->connect;
    packet = malloc(sizeof(logic_packet_t));

    if (packet == NULL) {
        logic_auth_fail(call, "no memory");
        return;
    }

    if (logic_token_packet(c->token.data, c->token.len, packet, &reason)
        == 0)
    {
        logic_jwt_login(call, packet, known);
        free(packet->token);

    } else {
        logic_auth_deny(call, reason);
    }

    free(packet);
}


static void
logic_jwt_login(logic_call_t *call, logic_packet_t *packet,
    logic_jwt_known_t known)
{
    size_t             len;
    json_t            *claims;
    const char        *token, *reason;
    logic_jwks_t      *keys;
    logic_jwt_code_t   code;

    token = packet->token;
    len = token != NULL ? strlen(token) : 0;

    if (token == NULL) {
        token = logic_jwt_cookie(call->msg->connect, &len);
    }

    if (token == NULL) {
        logic_auth_deny(call, "no token");
        return;
    }

    keys = logic_jwt_keys_get();
    code = logic_jwt_verify(&call->thread->conf->jwt, keys, token, len,
                            svc_date(), &claims, &reason);

    if (code == LOGIC_JWT_GOOD) {

        if (call->msg->connect->again) {
            logic_jwt_again(call, claims, packet);

        } else {
            logic_jwt_connect(call, claims, packet);
        }

        json_decref(claims);

    } else if (code == LOGIC_JWT_UNKNOWN) {
        logic_jwt_unknown(call, keys, known, reason);

    } else {
        logic_auth_deny(call, reason);
    }

    logic_jwks_unref(keys);
}


/*
 * It may be a new key: who is refused for good when that was not looked at
 * would not come back.
 */

static void
logic_jwt_unknown(logic_call_t *call, const logic_jwks_t *keys,
    logic_jwt_known_t known, const char *reason)
{
    if (known == LOGIC_JWT_SURE) {
        logic_auth_deny(call, reason);
        return;
    }

    if (known == LOGIC_JWT_UNSURE) {
        logic_auth_fail(call, reason);
        return;
    }

    switch (logic_jwt_keys_want(call->thread, keys, logic_jwt_refreshed, call)) {

    case LOGIC_JWT_KEYS_WAITS:
        return;

    case LOGIC_JWT_KEYS_RECENT:
        logic_auth_fail(call, reason);
        return;

    default:
        logic_auth_fail(call, "too many logins wait for keys");
    }
}


static void
logic_jwt_connect(logic_call_t *call, json_t *claims,
    const logic_packet_t *packet)
{
    const char   *reason;
    logic_who_t  *who;

    who = malloc(sizeof(logic_who_t));
    if (who == NULL) {
        logic_auth_fail(call, "no memory");
        return;
    }

    if (logic_token_claims(claims, who, &reason) != 0
        || logic_token_bound(who, packet, &reason) != 0)
    {
        free(who);
        logic_auth_deny(call, reason);
        return;
    }

    who->expires = logic_jwt_end(&call->thread->conf->jwt, claims);

    logic_session_connect(call, who);
}


/* Another token of the mid and key that are in. Where it begins does not count
   any more. */

static void
logic_jwt_again(logic_call_t *call, json_t *claims,
    const logic_packet_t *packet)
{
    const char     *reason;
    logic_who_t    *who;
    logic_again_t  *a;
    Goim__Connect  *c;

    c = call->msg->connect;
    who = malloc(sizeof(logic_who_t));

    if (who == NULL) {
        logic_auth_fail(call, "no memory");
        return;
    }

    if (logic_token_claims(claims, who, &reason) != 0
        || logic_token_same(who, packet, c->mid, c->key.data, c->key.len,
                            &reason) != 0)
    {
        free(who);
        logic_auth_deny(call, reason);
        return;
    }

    who->expires = logic_jwt_end(&call->thread->conf->jwt, claims);

    a = malloc(sizeof(logic_again_t));

    if (a != NULL) {
        a->call = call;
        a->who = who;

        if (logic_revoked_ask(call->thread, who, logic_jwt_asked, a) == 0) {
            return;
        }
    }

    free(a);
    free(who);
    logic_auth_fail(call, "redis did not do it");
}


static void
logic_jwt_asked(int revoked, void *data)
{
    logic_again_t  *a = data;

    Goim__Connected  connected = GOIM__CONNECTED__INIT;

    if (revoked < 0) {
        logic_auth_fail(a->call, "redis did not do it");

    } else if (revoked > 0) {
        metrics_add(logic_m.revoked, 1);
        logic_auth_deny(a->call, LOGIC_REVOKED);

    } else {
        metrics_add(logic_m.renewals, 1);
        logic_session_granted(a->call, a->who, &connected);
    }

    free(a->who);
    free(a);
}


/* The value of the first cookie of that name; NULL: there is none. */

static const char *
logic_jwt_cookie(const Goim__Connect *c, size_t *len)
{
    size_t       n;
    const char  *p, *end, *sep;

    n = strlen(c->cookie_name);

    if (n == 0) {
        return NULL;
    }

    p = (const char *) c->cookie.data;
    end = p + c->cookie.len;

    while (p < end) {
        sep = memchr(p, ';', (size_t) (end - p));
        sep = sep != NULL ? sep : end;

        if ((size_t) (sep - p) > n && memcmp(p, c->cookie_name, n) == 0
            && p[n] == '=')
        {
            p += n + 1;
            *len = (size_t) (sep - p);

            while (*len > 0 && (p[*len - 1] == ' ' || p[*len - 1] == '\t')) {
                (*len)--;
            }

            return p;
        }

        for (p = sep + 1; p < end && (*p == ' ' || *p == '\t'); p++) {
            /* void */
        }
    }

    return NULL;
}
