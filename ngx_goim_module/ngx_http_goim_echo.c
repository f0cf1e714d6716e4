
/*
 * goim_echo: each message is answered by itself, to try what lies between a
 * client and this server.
 */


#include "ngx_http_goim.h"
#include "ngx_goim_ws.h"


#define NGX_HTTP_GOIM_ECHO_MESSAGE  (16 * 1024 * 1024)
#define NGX_HTTP_GOIM_ECHO_IDLE     600000      /* ms without a message */


static ngx_int_t ngx_http_goim_echo_message(ngx_goim_session_t *s,
    u_char *data, size_t len, ngx_uint_t text);
static void ngx_http_goim_echo_attached(ngx_goim_session_t *s);
static void ngx_http_goim_echo_timeout(ngx_goim_session_t *s);


/* a client that sends and does not read is closed at two messages */

const ngx_goim_app_t  ngx_http_goim_echo = {
    ngx_http_goim_echo_message,
    ngx_http_goim_echo_attached,
    NULL,
    ngx_http_goim_echo_timeout,
    NGX_HTTP_GOIM_ECHO_MESSAGE,
    NGX_HTTP_GOIM_ECHO_MESSAGE + GOIM_FRAME_HEAD
};


static ngx_int_t
ngx_http_goim_echo_message(ngx_goim_session_t *s, u_char *data, size_t len,
    ngx_uint_t text)
{
    size_t           n;
    u_char           head[GOIM_FRAME_HEAD];
    ngx_int_t        rc;
    ngx_goim_buf_t  *b;

    ngx_add_timer(s->connection->read, NGX_HTTP_GOIM_ECHO_IDLE);

    n = goim_frame_head(head, text ? GOIM_FRAME_TEXT : GOIM_FRAME_BINARY,
                         len);

    b = ngx_goim_buf_alloc(n + len);

    if (b == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    ngx_memcpy(b->data, head, n);
    ngx_memcpy(b->data + n, data, len);

    rc = ngx_goim_send(s, b, 0, n + len);

    ngx_goim_buf_unref(b);

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_goim_echo_attached(ngx_goim_session_t *s)
{
    ngx_add_timer(s->connection->read, NGX_HTTP_GOIM_ECHO_IDLE);
}


static void
ngx_http_goim_echo_timeout(ngx_goim_session_t *s)
{
    ngx_goim_close(s, 1000, "no message for too long");
}
