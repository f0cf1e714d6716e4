
/*
 * The WebSocket front: bytes of a connection to messages of a session.
 *
 * A session at rest has no input state.  A message that lies whole in what
 * was read is given from there; only what is incomplete, or came while the
 * session was busy, is kept.
 */


#include "ngx_http_goim.h"
#include "ngx_goim_ws.h"

#include "common/goim_packet.h"


#define NGX_HTTP_GOIM_MESSAGE       256     /* the least kept of a message */


typedef struct {
    ngx_goim_ws_t    ws;

    u_char          *message;       /* as far as it came */
    size_t           len;
    size_t           size;

    u_char          *rest;          /* frames that came while busy */
    u_char          *pos;
    u_char          *last;
} ngx_http_goim_input_t;


static size_t ngx_http_goim_head(u_char *p, size_t len);
static size_t ngx_http_goim_bye(u_char *p, ngx_uint_t code,
    const char *reason);
static ngx_int_t ngx_http_goim_parted(ngx_goim_session_t *s, u_char *p,
    u_char *last);
static ngx_int_t ngx_http_goim_close_frame(ngx_http_goim_input_t *in,
    u_char **pos, u_char *last);
static void ngx_http_goim_resume(ngx_goim_session_t *s);
static void ngx_http_goim_finalize(ngx_goim_session_t *s);
static size_t ngx_http_goim_kept(ngx_goim_session_t *s);
static ngx_int_t ngx_http_goim_input(ngx_goim_session_t *s, u_char *p,
    u_char *last);
static ngx_int_t ngx_http_goim_parse(ngx_goim_session_t *s,
    ngx_http_goim_input_t *in, u_char **pos, u_char *last);
static ngx_int_t ngx_http_goim_data(ngx_goim_session_t *s,
    ngx_http_goim_input_t *in, ngx_goim_ws_event_t *ev);
static ngx_int_t ngx_http_goim_append(ngx_http_goim_input_t *in,
    ngx_goim_ws_event_t *ev);
static ngx_int_t ngx_http_goim_control(ngx_goim_session_t *s,
    ngx_goim_ws_event_t *ev);
static ngx_int_t ngx_http_goim_save(ngx_goim_session_t *s,
    ngx_http_goim_input_t *in, u_char *p, u_char *last);
static ngx_int_t ngx_http_goim_save_rest(ngx_http_goim_input_t *in, u_char *p,
    u_char *last);
static void ngx_http_goim_free_input(ngx_http_goim_input_t *in);


const ngx_goim_front_t  ngx_http_goim_front = {
    ngx_string("websocket"),
    ngx_http_goim_head,
    1,
    ngx_http_goim_bye,
    ngx_http_goim_parted,
    ngx_http_goim_input,
    ngx_http_goim_kept,
    ngx_http_goim_resume,
    ngx_http_goim_finalize
};


/* the answer to a close frame has its code and no reason */
static const char  ngx_http_goim_by_client[] = "closed by the client";


static size_t
ngx_http_goim_head(u_char *p, size_t len)
{
    return goim_frame_head(p, GOIM_FRAME_BINARY, len);
}


static size_t
ngx_http_goim_bye(u_char *p, ngx_uint_t code, const char *reason)
{
    return ngx_goim_ws_close_frame(p, code,
                               reason == ngx_http_goim_by_client ? "" : reason);
}


/* whatever else comes is thrown away, also what came while s was busy */

static ngx_int_t
ngx_http_goim_parted(ngx_goim_session_t *s, u_char *p, u_char *last)
{
    ngx_http_goim_input_t  *in;

    if (s->input == NULL) {
        s->input = ngx_calloc(sizeof(ngx_http_goim_input_t), ngx_cycle->log);

        if (s->input == NULL) {
            return NGX_OK;
        }
    }

    in = s->input;
    in->ws.max = NGX_MAX_OFF_T_VALUE;

    if (in->rest
        && ngx_http_goim_close_frame(in, &in->pos, in->last) == NGX_OK)
    {
        return NGX_OK;
    }

    return ngx_http_goim_close_frame(in, &p, last);
}


/* NGX_OK also where no frame can be made out any more */

static ngx_int_t
ngx_http_goim_close_frame(ngx_http_goim_input_t *in, u_char **pos,
    u_char *last)
{
    ngx_goim_ws_event_t  ev;

    for ( ;; ) {

        switch (ngx_goim_ws_parse(&in->ws, pos, last, &ev)) {

        case NGX_GOIM_WS_MORE:
            return NGX_AGAIN;

        case NGX_GOIM_WS_DATA:
            break;

        case NGX_GOIM_WS_FRAME:
            if (ev.opcode == GOIM_FRAME_CLOSE) {
                return NGX_OK;
            }

            break;

        default: /* NGX_GOIM_WS_BAD */
            return NGX_OK;
        }
    }
}


void
ngx_http_goim_front_start(ngx_goim_session_t *s, u_char *early, size_t len)
{
    ngx_connection_t  *c;

    c = s->connection;
    c->read->handler = ngx_goim_input_handler;

    if (len && ngx_http_goim_input(s, early, early + len) != NGX_OK) {
        return;
    }

    c->read->handler(c->read);
}


void
ngx_http_goim_front_refuse(ngx_connection_t *c)
{
    size_t  len;
    u_char  bye[4 + NGX_GOIM_WS_CONTROL];

    len = ngx_goim_ws_close_frame(bye, 1013, "no place");
    (void) c->send(c, bye, len);

    ngx_http_close_connection(c);
}


static size_t
ngx_http_goim_kept(ngx_goim_session_t *s)
{
    ngx_http_goim_input_t  *in;

    in = s->input;

    return in && in->rest ? in->last - in->pos : 0;
}


/* NGX_ERROR: s is closing or gone */

static ngx_int_t
ngx_http_goim_input(ngx_goim_session_t *s, u_char *p, u_char *last)
{
    ngx_http_goim_input_t  *in, fresh;

    in = s->input;

    if (in == NULL) {
        in = &fresh;
        ngx_memzero(in, sizeof(ngx_http_goim_input_t));
    }

    if (ngx_http_goim_parse(s, in, &p, last) == NGX_ERROR) {

        if (in == &fresh) {
            ngx_http_goim_free_input(in);
        }

        return NGX_ERROR;
    }

    return ngx_http_goim_save(s, in, p, last);
}


static void
ngx_http_goim_resume(ngx_goim_session_t *s)
{
    u_char                 *rest, *pos, *last;
    ngx_int_t               rc;
    ngx_http_goim_input_t  *in;

    in = s->input;

    if (in && in->rest) {

        /* an application that closes the session must not free what it is
           given */

        rest = in->rest;
        pos = in->pos;
        last = in->last;
        in->rest = NULL;

        rc = ngx_http_goim_parse(s, in, &pos, last);

        if (rc == NGX_ERROR || pos == last) {
            ngx_free(rest);

        } else {
            in->rest = rest;
            in->pos = pos;
            in->last = last;
        }

        if (rc == NGX_ERROR
            || ngx_http_goim_save(s, in, NULL, NULL) != NGX_OK)
        {
            return;
        }
    }

    /* reading may have stopped with bytes left in the socket or in TLS */

    ngx_post_event(s->connection->read, &ngx_posted_events);
}


/* *pos == last, or s is busy; NGX_ERROR: s is closing or gone, and in with it
   if it was its */

static ngx_int_t
ngx_http_goim_parse(ngx_goim_session_t *s, ngx_http_goim_input_t *in,
    u_char **pos, u_char *last)
{
    ngx_int_t            rc;
    ngx_goim_ws_event_t  ev;

    in->ws.max = s->app->max_message;

    if (in->ws.max == 0) {
        in->ws.max = ngx_goim_max_body(s) + GOIM_HEADER;
    }

    while (!s->busy) {

        switch (ngx_goim_ws_parse(&in->ws, pos, last, &ev)) {

        case NGX_GOIM_WS_MORE:
            return NGX_OK;

        case NGX_GOIM_WS_DATA:
            rc = ngx_http_goim_data(s, in, &ev);
            break;

        case NGX_GOIM_WS_FRAME:
            rc = ngx_http_goim_control(s, &ev);
            break;

        default: /* NGX_GOIM_WS_BAD */

            /* its answer to our close frame is awaited all the same, unless
               this was to be its close frame */

            if (in->ws.opcode == GOIM_FRAME_CLOSE) {
                s->parted = 1;
            }

            ngx_memzero(&in->ws, sizeof(ngx_goim_ws_t));
            ngx_goim_close_malformed(s, ev.code, ev.reason);
            rc = NGX_ERROR;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goim_data(ngx_goim_session_t *s, ngx_http_goim_input_t *in,
    ngx_goim_ws_event_t *ev)
{
    size_t      len;
    u_char     *message;
    ngx_int_t   rc;
    ngx_uint_t  text;

    text = ev->opcode == GOIM_FRAME_TEXT;

    if (ev->last && in->message == NULL) {
        return s->app->message(s, ev->data, ev->len, text);
    }

    if (ngx_http_goim_append(in, ev) != NGX_OK) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    if (!ev->last) {
        return NGX_OK;
    }

    /* in may be gone when the application returns */

    message = in->message;
    len = in->len;

    in->message = NULL;
    in->len = 0;
    in->size = 0;

    rc = s->app->message(s, message, len, text);

    ngx_free(message);

    return rc;
}


static ngx_int_t
ngx_http_goim_append(ngx_http_goim_input_t *in, ngx_goim_ws_event_t *ev)
{
    size_t   need, size;
    u_char  *message;

    need = in->len + ev->len;

    if (need > in->size || in->message == NULL) {

        /* what is only announced costs nothing yet */

        size = ngx_max(need, ngx_max(in->size * 2, NGX_HTTP_GOIM_MESSAGE));

        if (ev->fin) {
            size = ngx_min(size, need + ev->left);
        }

        message = ngx_alloc(ngx_max(size, 1), ngx_cycle->log);
        if (message == NULL) {
            return NGX_ERROR;
        }

        if (in->message) {
            ngx_memcpy(message, in->message, in->len);
            ngx_free(in->message);
        }

        in->message = message;
        in->size = size;
    }

    if (ev->len) {
        ngx_memcpy(in->message + in->len, ev->data, ev->len);
        in->len += ev->len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goim_control(ngx_goim_session_t *s, ngx_goim_ws_event_t *ev)
{
    size_t    len;
    u_char    pong[GOIM_FRAME_HEAD + NGX_GOIM_WS_CONTROL];
    unsigned  code;

    switch (ev->opcode) {

    case GOIM_FRAME_PING:
        len = goim_frame_head(pong, GOIM_FRAME_PONG, ev->len);
        ngx_memcpy(pong + len, ev->data, ev->len);

        return ngx_goim_send_copy(s, pong, len + ev->len) == NGX_ERROR
               ? NGX_ERROR : NGX_OK;

    case GOIM_FRAME_CLOSE:
        s->parted = 1;

        if (ngx_goim_ws_close_code(ev->data, ev->len, &code)) {
            ngx_goim_close(s, code, ngx_http_goim_by_client);

        } else {
            ngx_goim_close_malformed(s, code, "malformed close frame");
        }

        return NGX_ERROR;

    default: /* GOIM_FRAME_PONG: nobody asked for one */
        return NGX_OK;
    }
}


/* Keep what is not at rest, and give back what is. */

static ngx_int_t
ngx_http_goim_save(ngx_goim_session_t *s, ngx_http_goim_input_t *in,
    u_char *p, u_char *last)
{
    ngx_http_goim_input_t  *kept;

    if (p != last && ngx_http_goim_save_rest(in, p, last) != NGX_OK) {
        goto failed;
    }

    if (in->rest == NULL && ngx_goim_ws_at_rest(&in->ws)) {

        if (in == s->input) {
            ngx_free(in);
            s->input = NULL;
        }

        return NGX_OK;
    }

    if (in == s->input) {
        return NGX_OK;
    }

    kept = ngx_alloc(sizeof(ngx_http_goim_input_t), ngx_cycle->log);
    if (kept == NULL) {
        goto failed;
    }

    *kept = *in;
    s->input = kept;

    return NGX_OK;

failed:

    if (in != s->input) {
        ngx_http_goim_free_input(in);
    }

    ngx_goim_close(s, 1011, "no memory");

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_goim_save_rest(ngx_http_goim_input_t *in, u_char *p, u_char *last)
{
    size_t   kept;
    u_char  *rest;

    kept = in->rest ? in->last - in->pos : 0;

    rest = ngx_alloc(kept + (last - p), ngx_cycle->log);
    if (rest == NULL) {
        return NGX_ERROR;
    }

    if (in->rest) {
        ngx_memcpy(rest, in->pos, kept);
        ngx_free(in->rest);
    }

    ngx_memcpy(rest + kept, p, last - p);

    in->rest = rest;
    in->pos = rest;
    in->last = rest + kept + (last - p);

    return NGX_OK;
}


static void
ngx_http_goim_free_input(ngx_http_goim_input_t *in)
{
    if (in->message) {
        ngx_free(in->message);
    }

    if (in->rest) {
        ngx_free(in->rest);
    }
}


static void
ngx_http_goim_finalize(ngx_goim_session_t *s)
{
    if (s->input) {
        ngx_http_goim_free_input(s->input);
        ngx_free(s->input);
        s->input = NULL;
    }

    ngx_http_close_connection(s->connection);
}
