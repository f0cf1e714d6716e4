/*
 * Tokens that backends revoke: all of a user's that were issued until then, or
 * some by their ids. First they are refused, then the sessions end that they
 * have let in.
 */

#include "revoke.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_answer.h"
#include "svc/clock.h"

#include "disconnect.h"
#include "revoked.h"

#define LOGIC_REVOKE_TIME   253402300799    /* s: the end of the year 9999 */
#define LOGIC_REVOKE_GRACE  60000           /* ms that clocks may differ */


/* Freed when the answer is known. */
typedef struct {
    logic_thread_t       *thread;
    http_request_t       *req;
    int64_t               till;
    size_t                n;
    Goim__End             end;
    ProtobufCBinaryData  *jtis;
    int64_t              *mids;
    logic_revoked_t       list[];
} logic_revoke_t;


static logic_revoke_t *logic_revoke_new(logic_thread_t *t,
    http_request_t *req, size_t n);
static int logic_revoke_add(logic_revoke_t *v, logic_query_t *q,
    const char *name, int64_t end);
static int logic_revoke_one(logic_revoke_t *v, const logic_arg_t *arg,
    int mid, int64_t end);
static void logic_revoke_stored(svc_redis_t *r, redisReply *reply,
    void *data);
static void logic_revoke_done(logic_thread_t *t, logic_end_t end,
    const char *message, void *data);
static void logic_revoke_free(logic_revoke_t *v);


void
logic_revoke_http(logic_thread_t *t, http_request_t *req, logic_query_t *q)
{
    size_t           mids, jtis;
    int64_t          till, exp;
    const char      *name;
    logic_revoke_t  *v;

    if (t->conf->auth != LOGIC_AUTH_JWT) {
        logic_http_bad(t, req, "tokens are revoked with [auth] mode = jwt "
                       "only");
        return;
    }

    mids = logic_query_count(q, "mids");
    jtis = logic_query_count(q, "jtis");

    if ((mids > 0) + (jtis > 0) != 1) {
        logic_http_bad(t, req, "one of mids and jtis is required");
        return;
    }

    name = mids > 0 ? "mids" : "jtis";

    if (mids + jtis > LOGIC_REVOKED_PUT) {
        logic_http_bad(t, req, "%s: more than %d", name, LOGIC_REVOKED_PUT);
        return;
    }

    if (jtis > 0 && logic_query_find(q, "until") != NULL) {
        logic_http_bad(t, req, "until: goes with mids only");
        return;
    }

    if (logic_http_number(t, req, q, "until", 0, 0, LOGIC_REVOKE_TIME, &till)
        != 0
        || logic_http_number(t, req, q, "exp", 0, 0, LOGIC_REVOKE_TIME, &exp)
           != 0)
    {
        return;
    }

    if (exp != 0 && exp <= svc_date() / 1000) {
        logic_http_bad(t, req, "exp: is over");
        return;
    }

    v = logic_revoke_new(t, req, mids + jtis);

    if (v == NULL) {
        return;
    }

    v->till = till != 0 ? till : svc_date() / 1000;

    if (logic_revoke_add(v, q, name,
                         exp == 0 ? 0 : exp * 1000 + t->conf->jwt.leeway
                                        + LOGIC_REVOKE_GRACE)
        != 0)
    {
        logic_revoke_free(v);
        return;
    }

    if (logic_revoked_put(t, v->list, v->n, logic_revoke_stored, v) != 0) {
        logic_http_failed(t, req, "redis is away");
        logic_revoke_free(v);
    }
}


static logic_revoke_t *
logic_revoke_new(logic_thread_t *t, http_request_t *req, size_t n)
{
    logic_revoke_t  *v;

    v = calloc(1, sizeof(logic_revoke_t) + n * sizeof(logic_revoked_t));

    if (v != NULL) {
        v->thread = t;
        v->req = req;
        v->jtis = calloc(n, sizeof(ProtobufCBinaryData));
        v->mids = calloc(n, sizeof(int64_t));

        if (v->jtis != NULL && v->mids != NULL) {
            return v;
        }

        logic_revoke_free(v);
    }

    logic_http_failed(t, req, "no memory");

    return NULL;
}


static int
logic_revoke_add(logic_revoke_t *v, logic_query_t *q, const char *name,
    int64_t end)
{
    int     mid;
    size_t  i;

    mid = name[0] == 'm';

    for (i = 0; i < q->nargs; i++) {
        if (strcmp(q->args[i].name, name) == 0
            && logic_revoke_one(v, &q->args[i], mid, end) != 0)
        {
            return -1;
        }
    }

    goim__end__init(&v->end);

    v->end.code = GOIM_EXPIRED;
    v->end.reason = (char *) "token revoked";
    v->end.mids = v->mids;
    v->end.n_mids = mid ? v->n : 0;
    v->end.jtis = v->jtis;
    v->end.n_jtis = mid ? 0 : v->n;

    return 0;
}


/* -1: answered */

static int
logic_revoke_one(logic_revoke_t *v, const logic_arg_t *arg, int mid,
    int64_t end)
{
    logic_revoked_t  *one;

    one = &v->list[v->n];
    one->till = mid ? v->till : 0;
    one->end = end;

    if (mid) {

        if (logic_query_number(arg, 1, INT64_MAX, &v->mids[v->n]) != 0) {
            logic_http_bad(v->thread, v->req, "mids: not a number over 0");
            return -1;
        }

        one->len = (size_t) snprintf(one->what, sizeof(one->what),
                                     "m%" PRId64, v->mids[v->n]);

    } else {

        if (arg->len == 0 || arg->len > GOIM_JTI_MAX) {
            logic_http_bad(v->thread, v->req, "jtis: not 1 to %d bytes",
                           GOIM_JTI_MAX);
            return -1;
        }

        one->what[0] = 'j';
        memcpy(one->what + 1, arg->value, arg->len);
        one->len = arg->len + 1;

        v->jtis[v->n].data = (uint8_t *) one->what + 1;
        v->jtis[v->n].len = arg->len;
    }

    v->n++;

    return 0;
}


static void
logic_revoke_stored(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_revoke_t  *v = data;

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        logic_redis_said("revoke", reply);

        if (reply == NULL) {
            logic_http_answer(v->thread, v->req, 200, -504, "redis did not "
                              "answer", NULL);

        } else {
            logic_http_failed(v->thread, v->req,
                              reply->type == REDIS_REPLY_ERROR
                              && strncmp(reply->str, "FULL", 4) == 0
                              ? "there are too many revocations"
                              : "redis refuses it");
        }

        logic_revoke_free(v);
        return;
    }

    metrics_add(logic_m.revokes, (int64_t) v->n);
    logic_revoked_know(v->list, v->n);

    logic_disconnect(v->thread, &v->end, logic_revoke_done, v);
}


/* They are refused from now on, whatever became of the sessions: so a failure
   does not say that there was no effect. */

static void
logic_revoke_done(logic_thread_t *t, logic_end_t end, const char *message,
    void *data)
{
    logic_revoke_t  *v = data;

    if (end == LOGIC_END_OK) {
        logic_http_answer(t, v->req, 200, 0, "",
                          v->end.n_mids > 0
                          ? json_pack("{s:I}", "until", (json_int_t) v->till)
                          : NULL);

    } else {
        logic_http_answer(t, v->req, 200, -504, message, NULL);
    }

    logic_revoke_free(v);
}


static void
logic_revoke_free(logic_revoke_t *v)
{
    free(v->jtis);
    free(v->mids);
    free(v);
}
