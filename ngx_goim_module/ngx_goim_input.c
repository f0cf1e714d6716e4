
/*
 * What comes from a session's socket, for its front to make messages of.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_INPUT_BUFFER   16384
#define NGX_GOIM_INPUT_READS    16          /* a turn, then others go first */


static ngx_int_t ngx_goim_input_read(ngx_goim_session_t *s);
static size_t ngx_goim_input_size(ngx_goim_session_t *s);


static u_char  ngx_goim_input_buffer[NGX_GOIM_INPUT_BUFFER];


void
ngx_goim_input_handler(ngx_event_t *rev)
{
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_connection_t    *c;
    ngx_goim_session_t  *s;

    c = rev->data;
    s = c->data;

    if (c->close) {
        ngx_goim_close(s, 1001, "server is shutting down");
        return;
    }

    if (rev->timedout) {
        rev->timedout = 0;

        if (s->app->timeout) {
            s->app->timeout(s);
        }

        return;
    }

    for (i = 0; i < NGX_GOIM_INPUT_READS; i++) {
        rc = ngx_goim_input_read(s);

        if (rc == NGX_ERROR) {
            return;
        }

        if (rc == NGX_AGAIN || !rev->ready) {
            break;
        }
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_goim_close(s, 0, "no read event");
        return;
    }

    if (i == NGX_GOIM_INPUT_READS) {
        ngx_post_event(rev, &ngx_posted_next_events);
    }
}


/* NGX_ERROR: s is closing or gone */

static ngx_int_t
ngx_goim_input_read(ngx_goim_session_t *s)
{
    size_t   size;
    ssize_t  n;

    size = ngx_goim_input_size(s);

    if (size == 0) {
        return NGX_AGAIN;
    }

    n = s->connection->recv(s->connection, ngx_goim_input_buffer, size);

    if (n == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (n == 0 || n == NGX_ERROR) {
        ngx_goim_close(s, 0, n ? "receiving failed"
                               : "connection closed by the client");
        return NGX_ERROR;
    }

    return s->front->input(s, ngx_goim_input_buffer,
                           ngx_goim_input_buffer + n);
}


/*
 * Of a busy session only so much is kept that a client who goes away is
 * noticed; more is left in the socket until it is resumed.
 */

static size_t
ngx_goim_input_size(ngx_goim_session_t *s)
{
    size_t  kept;

    kept = s->busy ? s->front->kept(s) : 0;

    return kept < NGX_GOIM_INPUT_BUFFER ? NGX_GOIM_INPUT_BUFFER - kept : 0;
}
