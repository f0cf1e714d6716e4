
/*
 * What goim's packets mean: heartbeat, rooms, subscriptions, messages to the
 * application.
 */


#include "ngx_goim_follow.h"


static void ngx_goim_session_attached(ngx_goim_session_t *s);
static ngx_int_t ngx_goim_session_message(ngx_goim_session_t *s,
    u_char *data, size_t len, ngx_uint_t text);
static ngx_int_t ngx_goim_session_packet(ngx_goim_session_t *s,
    goim_packet_t *p);
static void ngx_goim_session_timeout(ngx_goim_session_t *s);
static void ngx_goim_session_closed(ngx_goim_session_t *s);

static ngx_int_t ngx_goim_op_heartbeat(ngx_goim_session_t *s,
    goim_packet_t *p);
static ngx_int_t ngx_goim_op_room(ngx_goim_session_t *s, goim_packet_t *p);
static ngx_int_t ngx_goim_room_wrong(ngx_goim_session_t *s,
    goim_packet_t *p, const char *reason);
static ngx_int_t ngx_goim_room_stays(ngx_goim_session_t *s,
    goim_packet_t *p, ngx_int_t code, const char *reason);
static ngx_int_t ngx_goim_op_sub(ngx_goim_session_t *s, goim_packet_t *p);
static ngx_int_t ngx_goim_sub_parsed(ngx_goim_session_t *s,
    goim_packet_t *p, int n);
static ngx_int_t ngx_goim_sub_check(ngx_goim_session_t *s, goim_packet_t *p,
    const int32_t *ops, int n);
static ngx_int_t ngx_goim_sub_too_many(ngx_goim_session_t *s,
    goim_packet_t *p);
static ngx_int_t ngx_goim_sub_refuse(ngx_goim_session_t *s, goim_packet_t *p,
    ngx_int_t code, const char *reason);
static ngx_int_t ngx_goim_op_receive(ngx_goim_session_t *s,
    goim_packet_t *p);
static void ngx_goim_receive_reply(void *data, const Goim__Reply *reply);
static ngx_int_t ngx_goim_answer_receive(ngx_goim_session_t *s,
    uint16_t version, int32_t operation, int32_t sequence);

static ngx_int_t ngx_goim_reply_online(ngx_goim_session_t *s,
    goim_packet_t *p);


const ngx_goim_app_t  ngx_goim_app = {
    ngx_goim_session_message,
    ngx_goim_session_attached,
    ngx_goim_session_closed,
    ngx_goim_session_timeout,
    0,
    0
};


static ngx_goim_index_t  ngx_goim_keys;


ngx_int_t
ngx_goim_session_init(ngx_log_t *log)
{
    return ngx_goim_index_init(&ngx_goim_keys, ngx_goim_zone->seed, log);
}


ngx_goim_session_t *
ngx_goim_session_find(u_char *key, size_t len)
{
    ngx_goim_entry_t  *e;

    e = ngx_goim_index_find(&ngx_goim_keys, key, len);

    return e ? ngx_queue_data(e, ngx_goim_session_t, by_key) : NULL;
}


static void
ngx_goim_session_attached(ngx_goim_session_t *s)
{
    ngx_add_timer(s->connection->read, ngx_goim_conf->handshake_timeout);
}


static ngx_int_t
ngx_goim_session_message(ngx_goim_session_t *s, u_char *data, size_t len,
    ngx_uint_t text)
{
    int            rc;
    goim_packet_t  p;

    rc = goim_packet_parse(&p, data, len, ngx_goim_max_body(s));

    if (rc != GOIM_PACKET_OK) {
        ngx_goim_count(protocol_errors, 1);
        ngx_goim_close(s, 1002, goim_packet_error(rc));
        return NGX_ERROR;
    }

    ngx_goim_count(packets_in, 1);

    return ngx_goim_session_packet(s, &p);
}


static ngx_int_t
ngx_goim_session_packet(ngx_goim_session_t *s, goim_packet_t *p)
{
    if (!s->authorized) {

        /* goim ignores whatever comes before auth */

        if (p->operation == GOIM_OP_AUTH) {
            return ngx_goim_auth_start(s, p);
        }

        ngx_goim_count(packets_early, 1);

        return NGX_OK;
    }

    ngx_goim_trace(s, "packet op=%D seq=%D bytes=%uz", p->operation,
                   p->sequence, p->body_len);

    switch (p->operation) {

    case GOIM_OP_HEARTBEAT:
        return ngx_goim_op_heartbeat(s, p);

    case GOIM_OP_CHANGE_ROOM:
        return ngx_goim_op_room(s, p);

    case GOIM_OP_SUB:
    case GOIM_OP_UNSUB:
        return ngx_goim_op_sub(s, p);

    case GOIM_OP_AUTH:

        if (s->renewable) {
            return ngx_goim_token_renew(s, p);
        }

        break;
    }

    return ngx_goim_op_receive(s, p);
}


static void
ngx_goim_session_timeout(ngx_goim_session_t *s)
{
    if (s->auth) {
        ngx_goim_auth_timeout(s);
        return;
    }

    if (!s->authorized) {
        ngx_goim_count(handshake_timeouts, 1);
        ngx_goim_close(s, 1008, "handshake timeout");
        return;
    }

    if (ngx_current_msec - s->alive >= s->heartbeat) {
        ngx_goim_count(heartbeat_timeouts, 1);
        ngx_goim_close(s, 1008, "heartbeat timeout");
        return;
    }

    if (ngx_goim_token_due(s) == NGX_OK) {
        ngx_goim_session_timer(s);
    }
}


/* One timer serves for both. */

void
ngx_goim_session_timer(ngx_goim_session_t *s)
{
    ngx_msec_t      token;
    ngx_msec_int_t  silent;

    silent = s->alive + s->heartbeat - ngx_current_msec;
    silent = ngx_max(silent, 0);
    token = ngx_goim_token_wait(s);

    ngx_add_timer(s->connection->read, ngx_min((ngx_msec_t) silent, token));
}


void
ngx_goim_session_enter(ngx_goim_session_t *s)
{
    s->by_key.key = &s->key;
    ngx_goim_index_add(&ngx_goim_keys, &s->by_key);
    ngx_goim_key_add(&s->key, &s->zone_key);
    ngx_goim_room_enter(s);
    s->authorized = 1;
}


static void
ngx_goim_session_closed(ngx_goim_session_t *s)
{
    ngx_goim_acked_t  acked;

    if (s->authorized) {
        (void) ngx_goim_pushes_acked(s, &acked);

        ngx_goim_index_delete(&ngx_goim_keys, &s->by_key);
        ngx_goim_key_delete(&s->zone_key);
        ngx_goim_enter_forget(s);
        ngx_goim_room_exit(s);
        ngx_goim_renew_forget(s);
        ngx_goim_disconnect(s, &acked);

        if (s->receive) {
            ngx_goim_logic_cancel(s->receive->call);
            ngx_free(s->receive);
            s->receive = NULL;
        }

    } else {
        ngx_goim_auth_forget(s);
    }

    s->authorized = 0;
}


/* ---- operations ---- */

static ngx_int_t
ngx_goim_op_heartbeat(ngx_goim_session_t *s, goim_packet_t *p)
{
    ngx_goim_trace(s, "heartbeat after=%M", ngx_current_msec - s->alive);

    s->alive = ngx_current_msec;

    /* logic keeps the mappings of those who live: told now and then */

    if (s->renew_interval
        && (ngx_msec_int_t) (ngx_current_msec - s->renew) >= 0)
    {
        ngx_goim_renew(s);
    }

    return ngx_goim_reply_online(s, p);
}


/* The answer names the room it is in from now on. */

static ngx_int_t
ngx_goim_op_room(ngx_goim_session_t *s, goim_packet_t *p)
{
    ngx_str_t        key;
    const char      *reason;
    ngx_goim_was_t   was;

    ngx_memzero(&was, sizeof(ngx_goim_was_t));

    if (s->follow && p->body_len && p->body[0] == '{') {

        if (ngx_goim_follow_map(s, p, &key, &was, &reason) != NGX_OK) {
            return ngx_goim_room_wrong(s, p, reason);
        }

    } else if (p->body_len > GOIM_ROOM_MAX) {
        ngx_goim_count(protocol_errors, !s->errors);
        return ngx_goim_room_wrong(s, p, "room key is too long");

    } else {
        key.data = (u_char *) p->body;
        key.len = p->body_len;
    }

    /* nobody could push to such a room, or read its history */

    if (ngx_strlchr(key.data, key.data + key.len, '\0')) {
        ngx_goim_was_free(&was);
        ngx_goim_count(protocol_errors, !s->errors);
        return ngx_goim_room_wrong(s, p, "room key has a NUL byte");
    }

    if (!ngx_goim_room_allowed(s, key.data, key.len)) {
        ngx_goim_count(rooms_refused, 1);
        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                      "goim: it may not enter room \"%V\"",
                      ngx_goim_trace_text(key.data, key.len));
        ngx_goim_trace(s, "room refused=\"%V\"",
                       ngx_goim_trace_text(key.data, key.len));

        ngx_goim_was_free(&was);

        return ngx_goim_room_stays(s, p, GOIM_FORBIDDEN,
                                   "it may not enter that room");
    }

    ngx_goim_trace(s, "room from=\"%V\" to=\"%V\"",
                   ngx_goim_trace_room(s),
                   ngx_goim_trace_text(key.data, key.len));

    return ngx_goim_enter(s, p, &key, &was);
}


static ngx_int_t
ngx_goim_room_wrong(ngx_goim_session_t *s, goim_packet_t *p,
    const char *reason)
{
    if (!s->errors) {
        ngx_goim_close(s, 1008, reason);
        return NGX_ERROR;
    }

    return ngx_goim_room_stays(s, p, GOIM_BAD, reason);
}


static ngx_int_t
ngx_goim_room_stays(ngx_goim_session_t *s, goim_packet_t *p, ngx_int_t code,
    const char *reason)
{
    ngx_goim_was_t  was;

    if (ngx_goim_refuse(s, p->operation, p->sequence, code, reason)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&was, sizeof(ngx_goim_was_t));

    if (ngx_goim_follow_enter(s, &was) != NGX_OK) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    return ngx_goim_enter_answer(s, p->version, p->sequence);
}


/* As goim does: a list with anything else than numbers changes nothing, and
   is answered all the same.  So is one with what the session may not accept. */

static ngx_int_t
ngx_goim_op_sub(ngx_goim_session_t *s, goim_packet_t *p)
{
    int        i, n;
    int32_t    ops[GOIM_ACCEPTS_MAX];
    ngx_int_t  rc;

    n = goim_parse_operations(p->body, p->body_len, ops,
                              GOIM_ACCEPTS_MAX);

    rc = p->operation == GOIM_OP_SUB ? ngx_goim_sub_check(s, p, ops, n)
         : ngx_goim_sub_parsed(s, p, n);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (i = 0; rc == NGX_OK && i < n; i++) {

        if (p->operation == GOIM_OP_UNSUB) {
            ngx_goim_sub_remove(s, ops[i]);

        } else if (ngx_goim_sub_add(s, ops[i]) != NGX_OK) {
            ngx_goim_close(s, 1011, "no memory");
            return NGX_ERROR;
        }
    }

    ngx_goim_trace(s, "%s ops=\"%V\" accepts=%uD",
                   p->operation == GOIM_OP_SUB ? "sub" : "unsub",
                   ngx_goim_trace_text(p->body, p->body_len), s->naccepts);

    return ngx_goim_reply(s, p->version, p->operation + 1, p->sequence,
                          p->body, p->body_len);
}


/* NGX_DECLINED: nothing of the list counts; NGX_ERROR: the session is
   closing */

static ngx_int_t
ngx_goim_sub_parsed(ngx_goim_session_t *s, goim_packet_t *p, int n)
{
    if (n > GOIM_ACCEPTS_MAX) {
        return ngx_goim_sub_too_many(s, p);
    }

    if (n >= 0) {
        return NGX_OK;
    }

    ngx_goim_count(subs_ignored, 1);

    return ngx_goim_sub_refuse(s, p, GOIM_BAD, "it is no list of numbers");
}


/* the same for those that it wants */

static ngx_int_t
ngx_goim_sub_check(ngx_goim_session_t *s, goim_packet_t *p,
    const int32_t *ops, int n)
{
    int        i;
    u_char     reason[sizeof("it may not accept operation ")
                      + NGX_INT32_LEN];
    ngx_int_t  rc;

    rc = ngx_goim_sub_parsed(s, p, n);

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < n; i++) {

        if (ngx_goim_sub_allowed(s, ops[i])) {
            continue;
        }

        ngx_goim_count(subs_refused, 1);

        *ngx_sprintf(reason, "it may not accept operation %D", ops[i]) = '\0';

        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0, "goim: %s", reason);

        return ngx_goim_sub_refuse(s, p, GOIM_FORBIDDEN, (char *) reason);
    }

    if (s->naccepts + ngx_goim_sub_new(s, ops, n) > GOIM_ACCEPTS_MAX) {
        return ngx_goim_sub_too_many(s, p);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_goim_sub_too_many(ngx_goim_session_t *s, goim_packet_t *p)
{
    if (!s->errors) {
        ngx_goim_count(protocol_errors, 1);
        ngx_goim_close(s, 1008, "too many operations");
        return NGX_ERROR;
    }

    return ngx_goim_sub_refuse(s, p, GOIM_BAD, "too many operations");
}


static ngx_int_t
ngx_goim_sub_refuse(ngx_goim_session_t *s, goim_packet_t *p, ngx_int_t code,
    const char *reason)
{
    return ngx_goim_refuse(s, p->operation, p->sequence, code, reason)
           == NGX_ERROR ? NGX_ERROR : NGX_DECLINED;
}


static ngx_int_t
ngx_goim_op_receive(ngx_goim_session_t *s, goim_packet_t *p)
{
    ngx_int_t      rc;
    ngx_uint_t     sent;
    ngx_msec_t     wait;
    Goim__Call     call;
    Goim__Receive  receive;

    sent = ngx_goim_sender_takes(s, p->operation);
    wait = sent ? ngx_goim_sender_wait(s) : 0;

    if (wait) {
        return ngx_goim_sender_often(s, p, wait);
    }

    goim__call__init(&call);
    goim__receive__init(&receive);

    call.call_case = GOIM__CALL__CALL_RECEIVE;
    call.receive = &receive;

    receive.mid = s->mid;
    receive.key.data = s->key.data;
    receive.key.len = s->key.len;
    receive.server = (char *) ngx_goim_conf->server_id.data;
    receive.operation = p->operation;
    receive.sequence = p->sequence;
    receive.body.data = (u_char *) p->body;
    receive.body.len = p->body_len;

    if (s->room) {
        receive.room.data = s->room->key.data;
        receive.room.len = s->room->key.len;
    }

    ngx_goim_auth_tell(s, &receive);

    if (sent) {
        ngx_goim_sender_grant(s, &receive);
    }

    rc = ngx_goim_session_ask(s, p, &call, ngx_goim_receive_reply);

    if (rc == NGX_AGAIN) {
        ngx_goim_count(receives, 1);
        ngx_goim_trace(s, "receive logic=%ui", s->peer);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_goim_count(receive_failed, 1);
    ngx_goim_trace(s, "receive failed=\"no logic\"");

    if (sent) {
        return ngx_goim_sender_answer(s, p->version, p->operation,
                                      p->sequence, GOIM_LATER, NULL);
    }

    if (ngx_goim_refuse(s, p->operation, p->sequence, GOIM_LATER,
                        "it was not taken")
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return ngx_goim_answer_receive(s, p->version, p->operation, p->sequence);
}


ngx_int_t
ngx_goim_session_ask(ngx_goim_session_t *s, goim_packet_t *p,
    Goim__Call *call, ngx_goim_logic_pt cb)
{
    ngx_goim_receive_t  *r;

    r = ngx_alloc(sizeof(ngx_goim_receive_t), ngx_cycle->log);

    if (r == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    r->session = s;
    r->version = p->version;
    r->operation = p->operation;
    r->sequence = p->sequence;
    r->call = ngx_goim_logic_call(call, &s->peer, cb, r);

    if (r->call == NULL) {
        ngx_free(r);
        return NGX_DECLINED;
    }

    s->receive = r;
    s->busy = 1;

    return NGX_AGAIN;
}


static void
ngx_goim_receive_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_receive_t  *r = data;

    ngx_int_t            rc;
    const char          *error;
    ngx_goim_session_t  *s;

    s = r->session;
    s->receive = NULL;
    rc = NGX_OK;

    if (ngx_goim_sender_takes(s, r->operation)) {
        rc = ngx_goim_sender_reply(s, r->version, r->operation, r->sequence,
                                   reply);
        ngx_free(r);

        if (rc != NGX_ERROR) {
            ngx_goim_resume(s);
        }

        return;
    }

    if (reply && reply->code == GOIM__REPLY__CODE__OK) {
        ngx_goim_trace(s, "received");

    } else {
        error = reply ? reply->error : "logic did not answer";

        ngx_goim_count(receive_failed, 1);
        ngx_goim_trace(s, "received failed=\"%V\"",
                       ngx_goim_trace_text(error, ngx_strlen(error)));

        ngx_log_error(NGX_LOG_WARN, s->connection->log, 0,
                      "goim: packet with operation %D was not taken: %V",
                      r->operation, ngx_goim_trace_string(error));

        rc = ngx_goim_refuse(s, r->operation, r->sequence, GOIM_LATER,
                             "it was not taken");
    }

    if (rc != NGX_ERROR) {
        rc = ngx_goim_answer_receive(s, r->version, r->operation,
                                     r->sequence);
    }

    ngx_free(r);

    if (rc != NGX_ERROR) {
        ngx_goim_resume(s);
    }
}


/* in the order of the requests, and also when logic did not take it */

static ngx_int_t
ngx_goim_answer_receive(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence)
{
    goim_packet_t  p;

    switch (operation) {

    case GOIM_OP_SEND:
        operation = GOIM_OP_SEND_REPLY;
        break;

    case GOIM_OP_HEARTBEAT_REPLY:
        p.version = version;
        p.sequence = sequence;

        return ngx_goim_reply_online(s, &p);

    case GOIM_OP_RAW:

        /* bare packets have no operation 9 */

        if (!s->front->framed) {
            return NGX_OK;
        }

        break;
    }

    return ngx_goim_reply(s, version, operation, sequence, NULL, 0);
}


static ngx_int_t
ngx_goim_reply_online(ngx_goim_session_t *s, goim_packet_t *p)
{
    u_char    body[4];
    uint32_t  n;

    n = s->room ? ngx_goim_room_online(s->room) : 0;

    body[0] = n >> 24;
    body[1] = n >> 16;
    body[2] = n >> 8;
    body[3] = n;

    return ngx_goim_reply(s, p->version, GOIM_OP_HEARTBEAT_REPLY,
                          p->sequence, body, sizeof(body));
}


/* NULL: no memory */

ngx_goim_buf_t *
ngx_goim_packet(ngx_goim_session_t *s, uint16_t version, int32_t operation,
    int32_t sequence, const u_char *body, size_t len)
{
    size_t           head;
    u_char           buf[NGX_GOIM_HEAD], *p;
    ngx_goim_buf_t  *b;

    head = s->front->head(buf, GOIM_HEADER + len);

    b = ngx_goim_buf_alloc(head + GOIM_HEADER + len);

    if (b) {
        p = ngx_cpymem(b->data, buf, head);
        p = goim_packet_header(p, len, version, operation, sequence);

        if (len) {
            ngx_memcpy(p, body, len);
        }
    }

    return b;
}


/* NGX_OK, NGX_DECLINED (dropped, counted), NGX_ERROR (closing) */

ngx_int_t
ngx_goim_reply(ngx_goim_session_t *s, uint16_t version, int32_t operation,
    int32_t sequence, const u_char *body, size_t len)
{
    ngx_int_t        rc;
    ngx_goim_buf_t  *b;

    b = ngx_goim_packet(s, version, operation, sequence, body, len);

    if (b == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    rc = ngx_goim_send(s, b, 0, b->len);

    ngx_goim_buf_unref(b);

    if (rc != NGX_ERROR) {
        ngx_goim_trace(s, "%s op=%D seq=%D bytes=%uz",
                       rc == NGX_OK ? "reply" : "dropped", operation,
                       sequence, len);
    }

    return rc;
}
