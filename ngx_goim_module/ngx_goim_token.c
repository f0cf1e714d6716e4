
/*
 * A session's token: when it expires the session ends, which it is told before
 * if it wants reasons.  Another auth packet with a token of the same mid and key
 * lets it go on, with what that one grants.
 */


#include "ngx_goim_follow.h"


#define NGX_GOIM_TOKEN_TOLD     60000       /* ms before its end */


static void ngx_goim_token_reply(void *data, const Goim__Reply *reply);
static ngx_int_t ngx_goim_token_answer(ngx_goim_session_t *s,
    const ngx_goim_receive_t *r, const Goim__Reply *reply);
static ngx_int_t ngx_goim_token_refused(ngx_goim_session_t *s,
    uint16_t version, int32_t sequence, ngx_int_t code, const char *reason);
static ngx_int_t ngx_goim_token_room(ngx_goim_session_t *s);
static ngx_int_t ngx_goim_token_ops(ngx_goim_session_t *s);


ngx_int_t
ngx_goim_token_set(ngx_goim_session_t *s, const Goim__Connected *in)
{
    ngx_str_t  *jti;

    jti = NULL;

    if (in->jti.len) {
        jti = ngx_alloc(sizeof(ngx_str_t) + in->jti.len, ngx_cycle->log);

        if (jti == NULL) {
            return NGX_ERROR;
        }

        jti->len = in->jti.len;
        jti->data = (u_char *) (jti + 1);
        ngx_memcpy(jti->data, in->jti.data, in->jti.len);
    }

    if (s->jti) {
        ngx_free(s->jti);
    }

    s->jti = jti;
    s->renewable = in->renewable;
    s->expires = in->expires ? ngx_current_msec + in->expires : 0;
    s->warned = 0;

    return NGX_OK;
}


ngx_msec_t
ngx_goim_token_wait(ngx_goim_session_t *s)
{
    ngx_msec_int_t  left;

    if (s->expires == 0) {
        return NGX_TIMER_INFINITE;
    }

    left = s->expires - ngx_current_msec;

    if (s->errors && !s->warned) {
        left -= NGX_GOIM_TOKEN_TOLD;
    }

    return ngx_max(left, 0);
}


ngx_int_t
ngx_goim_token_due(ngx_goim_session_t *s)
{
    ngx_msec_int_t  left;

    if (s->expires == 0) {
        return NGX_OK;
    }

    left = s->expires - ngx_current_msec;

    if (left <= 0) {
        ngx_goim_count(expired, 1);
        ngx_goim_close(s, GOIM_EXPIRED, "token expired");
        return NGX_ERROR;
    }

    if (!s->errors || s->warned || left > NGX_GOIM_TOKEN_TOLD) {
        return NGX_OK;
    }

    s->warned = 1;

    return ngx_goim_answer_expires(s, left) == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* ---- another token ---- */

ngx_int_t
ngx_goim_token_renew(ngx_goim_session_t *s, goim_packet_t *p)
{
    ngx_int_t      rc;
    Goim__Call     call;
    Goim__Connect  connect;

    goim__call__init(&call);
    goim__connect__init(&connect);

    call.call_case = GOIM__CALL__CALL_CONNECT;
    call.connect = &connect;

    connect.server = (char *) ngx_goim_conf->server_id.data;
    connect.zone = (char *) ngx_goim_zone->id;
    connect.session = s->id;
    connect.token.data = (u_char *) p->body;
    connect.token.len = p->body_len;
    connect.again = 1;
    connect.mid = s->mid;
    connect.key.data = s->key.data;
    connect.key.len = s->key.len;

    rc = ngx_goim_session_ask(s, p, &call, ngx_goim_token_reply);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_goim_count(auth_failed, 1);

    return ngx_goim_token_refused(s, p->version, p->sequence, GOIM_LATER,
                                  "no logic");
}


static void
ngx_goim_token_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_receive_t  *r = data;

    ngx_int_t            rc;
    ngx_goim_session_t  *s;

    s = r->session;
    s->receive = NULL;

    rc = ngx_goim_token_answer(s, r, reply);

    ngx_free(r);

    if (rc != NGX_ERROR) {
        ngx_goim_resume(s);
    }
}


static ngx_int_t
ngx_goim_token_answer(ngx_goim_session_t *s, const ngx_goim_receive_t *r,
    const Goim__Reply *reply)
{
    const char             *reason;
    ngx_uint_t              left;
    const Goim__Connected  *in;

    if (reply && reply->code == GOIM__REPLY__CODE__DENIED) {
        reason = reply->error[0] ? reply->error : "no reason given";

        ngx_goim_count(auth_denied, 1);
        ngx_log_error(NGX_LOG_WARN, s->connection->log, 0,
                      "goim: new token refused: %V",
                      ngx_goim_trace_string(reason));

        return ngx_goim_token_refused(s, r->version, r->sequence,
                                      GOIM_FORBIDDEN, reason);
    }

    if (reply == NULL || reply->code != GOIM__REPLY__CODE__OK
        || reply->reply_case != GOIM__REPLY__REPLY_CONNECTED
        || !ngx_goim_auth_valid(reply->connected))
    {
        reason = reply == NULL ? "logic did not answer"
                 : reply->error[0] ? reply->error : "no reason given";

        ngx_goim_count(auth_failed, 1);
        ngx_log_error(NGX_LOG_WARN, s->connection->log, 0,
                      "goim: new token not judged: %V",
                      ngx_goim_trace_string(reason));

        return ngx_goim_token_refused(s, r->version, r->sequence, GOIM_LATER,
                                      "try again");
    }

    in = reply->connected;

    if (ngx_goim_room_limit(s, in) != NGX_OK
        || ngx_goim_sub_limit(s, in) != NGX_OK
        || ngx_goim_sender_set(s, in) != NGX_OK
        || ngx_goim_auth_data(s, in) != NGX_OK
        || ngx_goim_token_set(s, in) != NGX_OK)
    {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    if (ngx_goim_end_meanwhile(s, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_goim_count(renewals, 1);
    ngx_goim_trace(s, "renewed expires=%uL", in->expires);

    ngx_goim_session_timer(s);

    left = s->room != NULL;

    if (ngx_goim_inbox_token(s, in->im) == NGX_ERROR
        || ngx_goim_token_room(s) == NGX_ERROR
        || ngx_goim_token_ops(s) == NGX_ERROR
        || ngx_goim_reply(s, r->version, GOIM_OP_AUTH_REPLY, r->sequence,
                          NULL, 0)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return left ? ngx_goim_follow_nowhere(s) : NGX_OK;
}


/* It goes on with the token that it has. */

static ngx_int_t
ngx_goim_token_refused(ngx_goim_session_t *s, uint16_t version,
    int32_t sequence, ngx_int_t code, const char *reason)
{
    if (ngx_goim_refuse(s, GOIM_OP_AUTH, sequence, code, reason)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return ngx_goim_reply(s, version, GOIM_OP_AUTH, sequence, NULL, 0);
}


/* ---- what it may no longer ---- */

static ngx_int_t
ngx_goim_token_room(ngx_goim_session_t *s)
{
    ngx_str_t  none;

    if (s->room == NULL
        || ngx_goim_room_allowed(s, s->room->key.data, s->room->key.len))
    {
        return NGX_OK;
    }

    ngx_goim_count(rooms_refused, 1);
    ngx_goim_trace(s, "room from=\"%V\" to=\"\"", ngx_goim_trace_room(s));

    ngx_str_null(&none);

    (void) ngx_goim_room_change(s, &none, NULL, 0);

    return ngx_goim_refuse(s, GOIM_OP_CHANGE_ROOM, 0, GOIM_FORBIDDEN,
                           "no longer granted");
}


static ngx_int_t
ngx_goim_token_ops(ngx_goim_session_t *s)
{
    int32_t     lost[GOIM_ACCEPTS_MAX];
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < s->naccepts; i++) {

        if (!ngx_goim_sub_allowed(s, s->accepts[i])) {
            lost[n++] = s->accepts[i];
        }
    }

    if (n == 0) {
        return NGX_OK;
    }

    for (i = 0; i < n; i++) {
        ngx_goim_sub_remove(s, lost[i]);
    }

    ngx_goim_count(subs_refused, n);

    return ngx_goim_answer_lost(s, "no longer granted", lost, n);
}
