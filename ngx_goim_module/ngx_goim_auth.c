
/*
 * Auth: from the packet to logic, and what its answer makes of the session.
 */


#include "ngx_goim_follow.h"
#include "ngx_goim_trace.h"


#define NGX_GOIM_AUTH_BATCH     128         /* waiting ones that go on in a
                                               turn of the event loop */
#define NGX_GOIM_AUTH_BUCKETS   256


/* An auth on its way.  It outlives its session: what logic has stored for
   the session is then taken back. */

typedef struct ngx_goim_auth_s {
    ngx_queue_t             queue;          /* asked, by id */
    ngx_goim_session_t     *session;        /* NULL: gone */
    ngx_goim_call_t        *call;           /* once it is asked */
    uint64_t                id;
    uint64_t                order;          /* of listing its room; 0: none */
    ngx_uint_t              peer;
    uint16_t                version;
    int32_t                 sequence;
    ngx_uint_t              kicked;         /* replaced before it was told */
    size_t                  len;            /* of the token, while it waits */
    u_char                  token[1];
} ngx_goim_auth_t;


struct ngx_goim_data_s {
    size_t                  len;
    u_char                  text[1];
};


static void ngx_goim_auth_wait(ngx_goim_session_t *s);
static void ngx_goim_auth_next(ngx_event_t *ev);
static ngx_int_t ngx_goim_auth_call(ngx_goim_auth_t *auth);
static ngx_int_t ngx_goim_auth_failed(ngx_goim_auth_t *auth);
static void ngx_goim_auth_upgrade(Goim__Connect *connect,
    ngx_goim_upgrade_t *up, Goim__Header *header, Goim__Header **headers);
static void ngx_goim_auth_reply(void *data, const Goim__Reply *reply);
static ngx_int_t ngx_goim_auth_accept(ngx_goim_session_t *s,
    const Goim__Connected *in, uint64_t order, ngx_goim_was_t *was);
static ngx_int_t ngx_goim_auth_room(ngx_goim_session_t *s,
    const Goim__Connected *in, uint64_t order, ngx_goim_was_t *was);
static ngx_int_t ngx_goim_auth_inbox(ngx_goim_session_t *s,
    const Goim__Connected *in, ngx_goim_was_t *was);
static ngx_int_t ngx_goim_auth_accepts(ngx_goim_session_t *s,
    const Goim__Connected *in);


static ngx_queue_t  ngx_goim_waiting;       /* for the registration, or for
                                               the first link to logic */
static ngx_queue_t  ngx_goim_asked[NGX_GOIM_AUTH_BUCKETS];
static ngx_event_t  ngx_goim_auth_event;


void
ngx_goim_auth_init(void)
{
    ngx_uint_t  i;

    ngx_queue_init(&ngx_goim_waiting);

    for (i = 0; i < NGX_GOIM_AUTH_BUCKETS; i++) {
        ngx_queue_init(&ngx_goim_asked[i]);
    }

    ngx_goim_auth_event.handler = ngx_goim_auth_next;
    ngx_goim_auth_event.log = ngx_cycle->log;
    ngx_goim_auth_event.data = &ngx_goim_no_connection;
}


ngx_int_t
ngx_goim_auth_start(ngx_goim_session_t *s, goim_packet_t *p)
{
    ngx_goim_auth_t  *auth;

    ngx_goim_answer_auth(s, p->body, p->body_len);

    if (ngx_goim_follow_auth(s, p->body, p->body_len) != NGX_OK) {
        return NGX_ERROR;
    }

    auth = ngx_alloc(offsetof(ngx_goim_auth_t, token) + p->body_len,
                     ngx_cycle->log);

    if (auth == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    auth->session = s;
    auth->peer = NGX_GOIM_LOGIC_ANY;
    auth->kicked = 0;
    auth->version = p->version;
    auth->sequence = p->sequence;
    auth->len = p->body_len;
    ngx_memcpy(auth->token, p->body, p->body_len);

    s->auth = auth;
    s->busy = 1;

    /* a node that logic does not know yet would miss what is pushed to it;
       and nobody goes before those who wait */

    if (!ngx_goim_registered() || !ngx_queue_empty(&ngx_goim_waiting)) {
        ngx_goim_auth_wait(s);
        return NGX_AGAIN;
    }

    return ngx_goim_auth_call(auth);
}


static void
ngx_goim_auth_wait(ngx_goim_session_t *s)
{
    s->waiting = 1;
    ngx_queue_insert_tail(&ngx_goim_waiting, &s->wait);
    ngx_add_timer(s->connection->read, ngx_goim_conf->handshake_timeout);
}


/* The client was in time; a call that is under way has a time of its own. */

void
ngx_goim_auth_timeout(ngx_goim_session_t *s)
{
    if (s->waiting) {
        ngx_goim_count(auth_failed, 1);
        ngx_goim_close(s, 1013, "auth failed, try again");
    }
}


void
ngx_goim_auth_registered(void)
{
    if (!ngx_queue_empty(&ngx_goim_waiting)) {
        ngx_post_event(&ngx_goim_auth_event, &ngx_posted_events);
    }
}


/* Some of those who wait: the loop has other things to do, too, first of all
   to say that this worker lives. */

static void
ngx_goim_auth_next(ngx_event_t *ev)
{
    ngx_uint_t           n;
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    for (n = 0; n < NGX_GOIM_AUTH_BATCH; n++) {

        if (!ngx_goim_registered() || ngx_goim_logic_starting()
            || ngx_queue_empty(&ngx_goim_waiting))
        {
            return;
        }

        q = ngx_queue_head(&ngx_goim_waiting);
        s = ngx_queue_data(q, ngx_goim_session_t, wait);

        ngx_queue_remove(q);
        s->waiting = 0;

        (void) ngx_goim_auth_call(s->auth);
    }

    ngx_post_event(ev, &ngx_posted_next_events);
}


static ngx_int_t
ngx_goim_auth_call(ngx_goim_auth_t *auth)
{
    Goim__Call           call;
    Goim__Header         header[GOIM_HEADERS_MAX];
    Goim__Header        *headers[GOIM_HEADERS_MAX];
    Goim__Connect        connect;
    ngx_goim_session_t  *s;
    u_char               addr[NGX_SOCKADDR_STRLEN + 1];

    s = auth->session;

    /* whoever logs in later has the larger number */

    s->id = ngx_atomic_fetch_add(&ngx_goim_zone->session, 1) + 1;
    auth->id = s->id;

    goim__call__init(&call);
    goim__connect__init(&connect);

    call.call_case = GOIM__CALL__CALL_CONNECT;
    call.connect = &connect;

    *ngx_cpystrn(addr, s->addr.data,
                 ngx_min(s->addr.len, NGX_SOCKADDR_STRLEN) + 1) = '\0';

    connect.server = (char *) ngx_goim_conf->server_id.data;
    connect.worker = ngx_goim_slot->number;
    connect.zone = (char *) ngx_goim_zone->id;
    connect.session = s->id;
    connect.addr = (char *) addr;
    connect.token.data = auth->token;
    connect.token.len = auth->len;

    auth->order = ngx_goim_zone->lists.wanted || ngx_goim_zone->lists.strict
                  ? ngx_goim_list_order() : 0;
    connect.order = auth->order;
    connect.recovers = s->follow != NULL;

    if (s->upgrade) {
        ngx_goim_auth_upgrade(&connect, s->upgrade, header, headers);
    }

    auth->call = ngx_goim_logic_call(&call, &auth->peer, ngx_goim_auth_reply,
                                     auth);
    if (auth->call == NULL) {
        return ngx_goim_auth_failed(auth);
    }

    ngx_queue_insert_tail(&ngx_goim_asked[auth->id % NGX_GOIM_AUTH_BUCKETS],
                          &auth->queue);

    if (s->upgrade) {
        ngx_free(s->upgrade);
        s->upgrade = NULL;
    }

    return NGX_AGAIN;
}


/* A new worker's links are about to come up; else logic is not there. */

static ngx_int_t
ngx_goim_auth_failed(ngx_goim_auth_t *auth)
{
    ngx_goim_session_t  *s;

    s = auth->session;

    if (ngx_goim_logic_starting()) {
        ngx_goim_auth_wait(s);
        return NGX_AGAIN;
    }

    ngx_goim_count(auth_failed, 1);

    s->auth = NULL;
    ngx_free(auth);

    ngx_goim_close(s, 1013, "no logic");

    return NGX_ERROR;
}


void
ngx_goim_auth_kick(uint64_t id)
{
    ngx_queue_t      *q, *asked;
    ngx_goim_auth_t  *auth;

    asked = &ngx_goim_asked[id % NGX_GOIM_AUTH_BUCKETS];

    for (q = ngx_queue_head(asked); q != asked; q = ngx_queue_next(q)) {
        auth = ngx_queue_data(q, ngx_goim_auth_t, queue);

        if (auth->id == id) {
            auth->kicked = 1;
            return;
        }
    }
}


static void
ngx_goim_auth_upgrade(Goim__Connect *connect, ngx_goim_upgrade_t *up,
    Goim__Header *header, Goim__Header **headers)
{
    ngx_uint_t  i;

    connect->cookie.data = up->cookie.data;
    connect->cookie.len = up->cookie.len;
    if (up->cookie_name) {
        connect->cookie_name = (char *) up->cookie_name;
    }

    connect->query.data = up->query.data;
    connect->query.len = up->query.len;

    for (i = 0; i < up->nheaders; i++) {
        goim__header__init(&header[i]);

        header[i].name = (char *) up->headers[i].name;
        header[i].value.data = up->headers[i].value.data;
        header[i].value.len = up->headers[i].value.len;

        headers[i] = &header[i];
    }

    connect->headers = headers;
    connect->n_headers = up->nheaders;
}


static void
ngx_goim_auth_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_auth_t     *auth = data;

    const char          *why;
    ngx_uint_t           code;
    ngx_goim_was_t       was, inbox;
    ngx_goim_auth_t      a;
    ngx_goim_session_t  *s;

    ngx_queue_remove(&auth->queue);

    a = *auth;
    s = a.session;
    ngx_memzero(&was, sizeof(ngx_goim_was_t));
    ngx_memzero(&inbox, sizeof(ngx_goim_was_t));

    if (s && s->follow && reply
        && reply->reply_case == GOIM__REPLY__REPLY_CONNECTED)
    {
        ngx_goim_follow_said(auth->token, auth->len,
                             reply->connected->room.data,
                             reply->connected->room.len, &was);

        if (reply->connected->im && reply->connected->mid > 0) {
            ngx_goim_follow_said(auth->token, auth->len,
                                 (u_char *) GOIM_INBOX,
                                 sizeof(GOIM_INBOX) - 1, &inbox);
        }
    }

    ngx_free(auth);

    if (s) {
        s->auth = NULL;
        s->peer = a.peer;
    }

    if (s && (a.kicked
              || (reply && reply->code == GOIM__REPLY__CODE__REPLACED)))
    {
        ngx_goim_was_free(&was);
        ngx_goim_was_free(&inbox);
        ngx_goim_count(replaced, 1);
        ngx_goim_close(s, 1008, "replaced");
        return;
    }

    if (reply && reply->code == GOIM__REPLY__CODE__OK
        && reply->reply_case == GOIM__REPLY__REPLY_CONNECTED)
    {
        if (s == NULL) {
            ngx_goim_disconnect_id(reply->connected, a.id, a.peer);
            return;
        }

        if (ngx_goim_auth_accept(s, reply->connected, a.order, &was) == NGX_OK
            && ngx_goim_auth_inbox(s, reply->connected, &inbox) == NGX_OK
            && ngx_goim_reply(s, a.version, GOIM_OP_AUTH_REPLY, a.sequence,
                              NULL, 0)
               != NGX_ERROR
            && ngx_goim_follow_nowhere(s) == NGX_OK)
        {
            ngx_goim_resume(s);
        }

        ngx_goim_was_free(&was);
        ngx_goim_was_free(&inbox);
        return;
    }

    ngx_goim_was_free(&was);
    ngx_goim_was_free(&inbox);

    if (s == NULL) {
        return;
    }

    if (reply && reply->code == GOIM__REPLY__CODE__DENIED) {
        ngx_goim_count(auth_denied, 1);
        code = 1008;
        why = "auth refused";

    } else if (reply && reply->code == GOIM__REPLY__CODE__CROWDED) {
        ngx_goim_count(auth_denied, 1);
        code = 1013;
        why = "too many connections of this user";

    } else {
        ngx_goim_count(auth_failed, 1);
        code = 1013;
        why = "auth failed, try again";
    }

    ngx_log_error(NGX_LOG_WARN, s->connection->log, 0, "goim: %s: %V", why,
                  ngx_goim_trace_string(reply == NULL ? "logic did not answer"
                                        : reply->error[0] ? reply->error
                                        : "no reason given"));

    ngx_goim_close(s, code, why);
}


/* NGX_ERROR: the session is closing */

static ngx_int_t
ngx_goim_auth_accept(ngx_goim_session_t *s, const Goim__Connected *in,
    uint64_t order, ngx_goim_was_t *was)
{
    ngx_goim_session_t  *old;

    if (in->key.len == 0 || in->heartbeat == 0 || !ngx_goim_auth_valid(in)) {
        ngx_log_error(NGX_LOG_ERR, s->connection->log, 0,
                      "goim: logic's answer to auth is out of range");

        ngx_goim_disconnect_id(in, s->id, s->peer);
        ngx_goim_close(s, 1011, "bad answer from logic");
        return NGX_ERROR;
    }

    old = ngx_goim_session_find(in->key.data, in->key.len);

    if (old && old->id > s->id) {
        ngx_goim_count(replaced, 1);
        ngx_goim_close(s, 1008, "replaced");
        return NGX_ERROR;
    }

    s->key.data = ngx_alloc(in->key.len, ngx_cycle->log);

    if (s->key.data == NULL || ngx_goim_auth_accepts(s, in) != NGX_OK
        || ngx_goim_room_limit(s, in) != NGX_OK
        || ngx_goim_sub_limit(s, in) != NGX_OK
        || ngx_goim_sender_set(s, in) != NGX_OK
        || ngx_goim_auth_data(s, in) != NGX_OK)
    {
        ngx_goim_disconnect_id(in, s->id, s->peer);
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    if (old) {
        ngx_goim_count(replaced, 1);
        ngx_goim_close(old, 1008, "replaced");
    }

    s->key.len = in->key.len;
    ngx_memcpy(s->key.data, in->key.data, in->key.len);

    s->mid = in->mid;
    s->heartbeat = in->heartbeat;
    s->alive = ngx_current_msec;
    s->life = in->life;
    s->renew_interval = in->renew;
    s->renew = ngx_current_msec + ngx_goim_jitter(in->renew);

    ngx_goim_session_enter(s);

    /* stored in a life of Redis that has ended meanwhile */

    if (s->life && s->life < ngx_goim_zone->life) {
        ngx_goim_renew(s);
    }

    ngx_goim_count(auths, 1);

    if (ngx_goim_token_set(s, in) != NGX_OK) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    ngx_goim_session_timer(s);

    if (ngx_goim_auth_room(s, in, order, was) != NGX_OK
        || ngx_goim_end_meanwhile(s, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    s->since = ngx_current_msec;

    s->traced = ngx_goim_trace_has(s->mid);

    if (s->traced) {
        ngx_goim_trace_state(s, "login");
    }

    return NGX_OK;
}


ngx_uint_t
ngx_goim_auth_valid(const Goim__Connected *in)
{
    return in->key.len <= GOIM_KEY_MAX
           && in->room.len <= GOIM_ROOM_MAX
           && in->n_accepts <= GOIM_ACCEPTS_MAX
           && in->n_rooms <= GOIM_ROOMS_MAX
           && in->n_ops <= 2 * GOIM_OPS_MAX
           && in->send.len <= GOIM_SENDS_MAX
           && in->data.len <= GOIM_DATA_MAX
           && in->jti.len <= GOIM_JTI_MAX
           && ngx_strlen(in->epoch) <= GOIM_EPOCH_MAX
           && in->acked <= GOIM_SEQ_MAX;
}


ngx_int_t
ngx_goim_auth_data(ngx_goim_session_t *s, const Goim__Connected *in)
{
    struct ngx_goim_data_s  *data;

    data = NULL;

    if (in->data.len) {
        data = ngx_alloc(sizeof(struct ngx_goim_data_s) + in->data.len,
                         ngx_cycle->log);
        if (data == NULL) {
            return NGX_ERROR;
        }

        data->len = in->data.len;
        ngx_memcpy(data->text, in->data.data, in->data.len);
    }

    if (s->data) {
        ngx_free(s->data);
    }

    s->data = data;

    return NGX_OK;
}


void
ngx_goim_auth_tell(ngx_goim_session_t *s, Goim__Receive *receive)
{
    if (s->data) {
        receive->data.data = s->data->text;
        receive->data.len = s->data->len;
    }
}


/* Logic has listed the room with the login.  NGX_ERROR: the session is
   closing. */

static ngx_int_t
ngx_goim_auth_room(ngx_goim_session_t *s, const Goim__Connected *in,
    uint64_t order, ngx_goim_was_t *was)
{
    ngx_int_t           rc;
    ngx_str_t           room;
    ngx_goim_listing_t  listing;

    room.data = in->room.data;
    room.len = in->room.len;
    listing.life = in->life;
    listing.order = order;

    rc = ngx_goim_room_change(s, &room, in->listed ? &listing : NULL, 0);

    if (rc == NGX_OK) {
        rc = ngx_goim_follow_enter(s, was);
    }

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        ngx_goim_close(s, 1011, "no memory");

    } else {
        ngx_goim_count(room_failed, 1);
        ngx_goim_close(s, 1013, "auth failed, try again");
    }

    return NGX_ERROR;
}


/* NGX_ERROR: the session is closing */

static ngx_int_t
ngx_goim_auth_inbox(ngx_goim_session_t *s, const Goim__Connected *in,
    ngx_goim_was_t *was)
{
    if (s->follow && in->im && s->mid > 0) {
        return ngx_goim_inbox_enter(s, was);
    }

    return in->epoch[0] && s->mid > 0 ? ngx_goim_pushes_enter(s, in) : NGX_OK;
}


static ngx_int_t
ngx_goim_auth_accepts(ngx_goim_session_t *s, const Goim__Connected *in)
{
    ngx_uint_t  i;

    for (i = 0; i < in->n_accepts; i++) {
        if (ngx_goim_sub_add(s, in->accepts[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_goim_auth_forget(ngx_goim_session_t *s)
{
    ngx_goim_auth_t  *auth;

    auth = s->auth;

    s->auth = NULL;

    if (s->waiting) {
        ngx_queue_remove(&s->wait);
        ngx_free(auth);

    } else if (auth) {
        auth->session = NULL;
        ngx_goim_logic_abandon(auth->call);
    }
}
