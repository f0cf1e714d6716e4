/*
 * Tickets: what an application hands to a user's device, so that it can begin: a
 * token for [auth] mode = jwt, where the nodes are, and where logic is.
 */

#include "im.h"

#include "jwt_keys.h"
#include "nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_TICKET_TTL  86400             /* s */
#define LOGIC_TICKET_MAX  (30 * 86400)


/* What the mode jwt wants of a token that may speak with people. */

static char *
logic_ticket(const logic_conf_t *lcf, const logic_jwk_t *signer, int64_t mid,
    const char *key, const char *platform, int64_t now, int64_t exp)
{
    char    *token, sub[24];
    json_t  *claims;

    snprintf(sub, sizeof(sub), "%" PRId64, mid);

    claims = json_pack("{s:s, s:s, s:s, s:{}, s:[i, i], s:I, s:I}",
                       "sub", sub, "key", key, "platform", platform, "im",
                       "accepts", GOIM_OP_ITEM, GOIM_OP_SIGNAL,
                       "iat", (json_int_t) now, "exp", (json_int_t) exp);

    if (lcf->issuer[0] != '\0') {
        json_object_set_new(claims, "iss", json_string(lcf->issuer));
    }

    if (lcf->audience[0] != '\0') {
        json_object_set_new(claims, "aud", json_string(lcf->audience));
    }

    token = claims != NULL ? logic_jwt_sign(signer, claims) : NULL;
    json_decref(claims);

    return token;
}


/* NULL, or why a login with it would be refused. */

static const char *
logic_ticket_judge(const logic_conf_t *lcf, const logic_jwks_t *keys,
    const char *token)
{
    json_t      *claims;
    const char  *reason;

    if (logic_jwt_verify(&lcf->jwt, keys, token, strlen(token), svc_date(),
                         &claims, &reason)
        != LOGIC_JWT_GOOD)
    {
        return reason;
    }

    json_decref(claims);

    return NULL;
}


/* ---- the configuration ---- */

logic_jwk_t *
logic_im_ticket_key(const logic_conf_t *lcf)
{
    char  why[256];

    return logic_jwk_private(lcf->ticket_key, strlen(lcf->ticket_key), why,
                             sizeof(why));
}


/* Keys by URL may come to have it; else it is known now. */

static int
logic_ticket_tried(const logic_conf_t *lcf, const logic_jwk_t *signer,
    char *err, size_t size)
{
    char          *token;
    int64_t        now;
    const char    *reason;
    logic_jwks_t  *keys;

    if ((lcf->jwt.algs & 1u << signer->alg) == 0) {
        snprintf(err, size, "[im] ticket_key signs by %s, which [auth] "
                 "algorithms does not have", logic_alg_names[signer->alg]);
        return -1;
    }

    now = svc_date() / 1000;
    token = logic_ticket(lcf, signer, 1, "key", "web", now, now + 60);
    keys = logic_jwt_keys_files(lcf);
    reason = token == NULL || keys == NULL
             ? "it signs nothing" : logic_ticket_judge(lcf, keys, token);
    logic_jwks_unref(keys);
    free(token);

    if (reason != NULL && lcf->jwks_hook.url[0] == '\0') {
        snprintf(err, size, "[im] ticket_key is no key of [auth]: %s", reason);
        return -1;
    }

    return 0;
}


int
logic_im_ticket_check(const logic_conf_t *lcf, char *err, size_t size)
{
    int                rc;
    char               why[256];
    logic_jwk_t       *signer;
    logic_hook_conf_t  url = { .url = lcf->public_url, .ca = (char *) "" };

    if (logic_conf_hook("im", "public_url", &url, err, size) != 0) {
        return -1;
    }

    if (lcf->ticket_key[0] == '\0') {
        return 0;
    }

    if (lcf->auth != LOGIC_AUTH_JWT) {
        snprintf(err, size, "[im] ticket_key is for [auth] mode = jwt");
        return -1;
    }

    signer = logic_jwk_private(lcf->ticket_key, strlen(lcf->ticket_key), why,
                               sizeof(why));

    if (signer == NULL) {
        snprintf(err, size, "[im] ticket_key: %s", why);
        return -1;
    }

    rc = logic_ticket_tried(lcf, signer, err, size);
    logic_jwk_free(signer);

    return rc;
}


/* ---- the command ---- */

/* One that no login would take is not handed out. */

static void
logic_ticket_make(const logic_im_do_t *d, const char *key,
    const char *platform, int64_t ttl)
{
    char                *token;
    json_t              *data, *comets;
    int64_t              now;
    const char          *reason;
    logic_jwks_t        *keys;
    const logic_conf_t  *lcf;

    lcf = d->thread->conf;
    now = svc_date() / 1000;
    token = logic_ticket(lcf, d->thread->im->ticket, d->mid, key, platform,
                         now, now + ttl);

    keys = logic_jwt_keys_get();
    reason = token == NULL ? "no memory"
                           : logic_ticket_judge(lcf, keys, token);
    logic_jwks_unref(keys);

    if (reason != NULL) {
        free(token);
        logic_im_answer(d, -500, "[im] ticket_key is no key of [auth]: %s",
                        reason);
        return;
    }

    comets = logic_nodes_where(d->thread, d->req, d->q);

    if (comets == NULL) {
        free(token);
        logic_im_answer(d, -503, "no node is known: try again");
        return;
    }

    data = json_pack("{s:s, s:I, s:o}", "token", token, "exp",
                     (json_int_t) (now + ttl), "comets", comets);
    free(token);

    if (lcf->public_url[0] != '\0') {
        json_object_set_new(data, "logic", json_string(lcf->public_url));
    }

    d->told(d->door, 0, "", data);
}


void
logic_im_ticket(const logic_im_do_t *d)
{
    int64_t      ttl;
    const char  *key, *platform;

    /* else a token that is to end, or was revoked, would make others */

    if (!d->names) {
        logic_im_answer(d, -403, "for backends only");
        return;
    }

    if (d->thread->im->ticket == NULL) {
        logic_im_answer(d, -404, "there is no [im] ticket_key");
        return;
    }

    ttl = LOGIC_TICKET_TTL;

    if ((key = logic_im_key(d)) == NULL
        || logic_im_need(d, "platform") == NULL
        || (platform = logic_im_text(d, "platform", GOIM_IM_PLATFORM)) == NULL
        || logic_im_positive(d, "ttl", LOGIC_TICKET_MAX, &ttl) != 0)
    {
        return;
    }

    logic_ticket_make(d, key, platform, ttl);
}
