
/*
 * A session's connection: how it is taken, and the one way it ends.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_RESERVE        32          /* connections for other things */

#define NGX_GOIM_LINGER         5000        /* ms */
#define NGX_GOIM_LINGER_BYTES   (1024 * 1024)


static u_char *ngx_goim_attach_log(ngx_log_t *log, u_char *buf, size_t len);
static void ngx_goim_close_linger(ngx_event_t *rev);
static void ngx_goim_finalize(ngx_goim_session_t *s);
#if (NGX_SSL)
static void ngx_goim_close_shutdown_tls(ngx_connection_t *c);
#endif


ngx_queue_t        ngx_goim_sessions;

static ngx_uint_t  ngx_goim_nsessions;
static ngx_uint_t  ngx_goim_nopen;


void
ngx_goim_attach_init(void)
{
    ngx_queue_init(&ngx_goim_sessions);
}


ngx_uint_t
ngx_goim_attached(void)
{
    return ngx_goim_nsessions;
}


ngx_uint_t
ngx_goim_open(void)
{
    return ngx_goim_nopen;
}


void
ngx_goim_attach_contribute(void)
{
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    for (q = ngx_queue_head(&ngx_goim_sessions);
         q != ngx_queue_sentinel(&ngx_goim_sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_goim_session_t, attached);

        ngx_goim_addr_join_locked(&s->addr, &s->zone_addr);

        if (s->authorized) {
            ngx_goim_key_add_locked(&s->key, &s->zone_key);
        }
    }

    ngx_goim_room_contribute_all();
}


ngx_int_t
ngx_goim_may_attach(void)
{
    ngx_uint_t  max;

    if (ngx_goim_slot == NULL || ngx_exiting || ngx_terminate
        || ngx_goim_zone->drain)
    {
        return NGX_DECLINED;
    }

    max = ngx_goim_conf->max_sessions;

    if (max == 0) {
        max = ngx_cycle->connection_n;
        max -= ngx_min(max, NGX_GOIM_RESERVE);
    }

    return ngx_goim_nsessions < max ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_goim_addr_full(ngx_str_t *addr)
{
    ngx_uint_t  max;

    max = ngx_goim_conf->max_per_addr;

    return max && ngx_goim_addr_count(addr) >= max;
}


ngx_goim_session_t *
ngx_goim_attach(ngx_connection_t *c, const ngx_goim_front_t *front,
    const ngx_goim_app_t *app, ngx_str_t *addr)
{
    ngx_goim_session_t  *s;

    if (ngx_goim_may_attach() != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "goim: no place for another connection, %ui are held",
                      ngx_goim_nsessions);
        goto refused;
    }

    s = ngx_calloc(sizeof(ngx_goim_session_t) + addr->len, c->log);
    if (s == NULL) {
        goto refused;
    }

    if (ngx_goim_addr_join(addr, ngx_goim_conf->max_per_addr,
                           &s->zone_addr)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "goim: \"max_per_addr\" reached by %V", addr);
        ngx_free(s);
        goto refused;
    }

    s->connection = c;
    s->front = front;
    s->app = app;
    s->addr.len = addr->len;
    s->addr.data = (u_char *) s + sizeof(ngx_goim_session_t);
    ngx_memcpy(s->addr.data, addr->data, addr->len);

    s->items = &s->item;
    s->size = 1;
    s->id = ngx_atomic_fetch_add(&ngx_goim_zone->session, 1) + 1;

    c->data = s;
    c->log->handler = ngx_goim_attach_log;
    c->log->data = s;
    c->log->action = NULL;
    c->read->cancelable = 1;
    c->write->cancelable = 1;
    c->write->handler = ngx_goim_queue_write_handler;

    if (c->tcp_nopush == NGX_TCP_NOPUSH_SET) {
        (void) ngx_tcp_push(c->fd);
        c->tcp_nopush = NGX_TCP_NOPUSH_UNSET;
    }

    (void) ngx_tcp_nodelay(c);

#if (NGX_SSL)

    if (c->ssl) {
        SSL_set_mode(c->ssl->connection,
                     SSL_MODE_ENABLE_PARTIAL_WRITE
                     |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }

#endif

    ngx_queue_insert_tail(&ngx_goim_sessions, &s->attached);
    ngx_goim_nsessions++;
    ngx_goim_nopen++;
    ngx_goim_slot->sessions = ngx_goim_nsessions;
    ngx_goim_count(accepted, 1);

    if (app->attached) {
        app->attached(s);
    }

    return s;

refused:

    ngx_goim_count(refused, 1);

    return NULL;
}


static u_char *
ngx_goim_attach_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char              *p;
    ngx_goim_session_t  *s;

    s = log->data;

    p = ngx_snprintf(buf, len, ", client: %V, front: %V", &s->addr,
                     &s->front->name);

    if (s->key.len) {
        len -= p - buf;
        p = ngx_snprintf(p, len, ", key: \"%V\"",
                         ngx_goim_trace_text(s->key.data, s->key.len));
    }

    return p;
}


void
ngx_goim_close_malformed(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason)
{
    ngx_goim_count(protocol_errors, 1);
    ngx_goim_close(s, code, reason);
}


void
ngx_goim_close(ngx_goim_session_t *s, ngx_uint_t code, const char *reason)
{
    size_t             len;
    u_char             bye[131];
    ngx_int_t          rc;
    ngx_goim_buf_t    *b;
    ngx_connection_t  *c;

    c = s->connection;

    if (s->closing) {

        if (code == 0) {
            ngx_goim_finalize(s);
        }

        return;
    }

    ngx_log_error(NGX_LOG_INFO, c->log, 0, "goim: session closed: %s (%ui)",
                  reason, code);

    ngx_goim_trace(s, "close code=%ui reason=\"%V\" waiting=%uD", code,
                   ngx_goim_trace_string(reason), s->queued);

    if (code == 1011) {
        ngx_goim_count(failed_closed, 1);
    }

    if (s->app->closed) {
        s->app->closed(s);
    }

    s->closing = 1;
    ngx_goim_nopen--;
    s->busy = 0;
    ngx_goim_queue_release(s);

    if (code == 0) {
        ngx_goim_finalize(s);
        return;
    }

    ngx_goim_answer_bye(s, code, reason);

    len = s->front->bye(bye, code, reason);

    if (s->front->parted == NULL) {
        s->parted = 1;
    }

    if (len) {
        b = ngx_goim_buf_alloc(len);

        if (b) {
            ngx_memcpy(b->data, bye, len);

            if (ngx_goim_queue_push(s, b, 0, len) != NGX_OK) {
                ngx_goim_buf_unref(b);
            }
        }
    }

    /* from here on input is thrown away, for a bounded time */

    c->read->handler = ngx_goim_close_linger;
    ngx_add_timer(c->read, NGX_GOIM_LINGER);

    rc = ngx_goim_queue_flush(s);

    if (rc == NGX_ERROR) {
        ngx_goim_finalize(s);
        return;
    }

    if (rc == NGX_OK) {
        ngx_goim_close_sent(s);
    }
}


/*
 * All is sent.  A client that sees our end before it has answered the close
 * frame may take the connection for lost, and never learn why it was closed.
 * Closing at once would also send a reset when the client's bytes are still
 * unread, and the reset can overtake the close frame.
 */

void
ngx_goim_close_sent(ngx_goim_session_t *s)
{
    ngx_connection_t  *c;

    c = s->connection;

    if (s->shut) {
        return;
    }

    if (!s->parted) {
        ngx_post_event(c->read, &ngx_posted_events);
        return;
    }

    s->shut = 1;

#if (NGX_SSL)

    if (c->ssl) {
        ngx_goim_close_shutdown_tls(c);
        return;
    }

#endif

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_connection_error(c, ngx_socket_errno,
                             ngx_shutdown_socket_n " failed");
        ngx_goim_finalize(s);
        return;
    }

    ngx_post_event(c->read, &ngx_posted_events);
}


#if (NGX_SSL)

static void
ngx_goim_close_shutdown_tls(ngx_connection_t *c)
{
    ngx_int_t            rc;
    ngx_goim_session_t  *s;

    s = c->data;

    /* what the client still says is not looked at: data where OpenSSL waits
       for its close_notify would be an error */

    c->ssl->shutdown_without_free = 1;
    c->ssl->no_wait_shutdown = 1;

    rc = ngx_ssl_shutdown(c);

    if (rc == NGX_AGAIN) {
        c->ssl->handler = ngx_goim_close_shutdown_tls;
        return;
    }

    c->read->handler = ngx_goim_close_linger;
    c->write->handler = ngx_goim_queue_write_handler;
    c->recv = ngx_recv;

    if (rc == NGX_ERROR
        || ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1)
    {
        ngx_goim_finalize(s);
        return;
    }

    ngx_add_timer(c->read, NGX_GOIM_LINGER);
    ngx_post_event(c->read, &ngx_posted_events);
}

#endif


static void
ngx_goim_close_linger(ngx_event_t *rev)
{
    ssize_t              n;
    ngx_connection_t    *c;
    ngx_goim_session_t  *s;
    static u_char        waste[4096];

    c = rev->data;
    s = c->data;

    if (rev->timedout || c->close) {
        ngx_goim_finalize(s);
        return;
    }

    if (!s->parted) {
        s->parted = s->front->parted(s, waste, waste) != NGX_AGAIN;
    }

    while (s->wasted < NGX_GOIM_LINGER_BYTES && rev->ready) {

        n = c->recv(c, waste, sizeof(waste));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_goim_finalize(s);
            return;
        }

        s->wasted += n;

        if (!s->parted) {
            s->parted = s->front->parted(s, waste, waste + n) != NGX_AGAIN;
        }
    }

    if (s->wasted >= NGX_GOIM_LINGER_BYTES
        || ngx_handle_read_event(rev, 0) != NGX_OK)
    {
        ngx_goim_finalize(s);
        return;
    }

    if (s->parted && s->nitems == 0) {
        ngx_goim_close_sent(s);
    }
}


static void
ngx_goim_finalize(ngx_goim_session_t *s)
{
    ngx_connection_t  *c;

    c = s->connection;

    ngx_goim_trace(s, "closed unsent=%uD", s->queued);
    ngx_goim_count(bytes_unsent, s->queued);

    ngx_goim_queue_free(s);
    ngx_goim_addr_leave(&s->zone_addr);
    ngx_queue_remove(&s->attached);

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->read->cancelable = 0;
    c->write->cancelable = 0;
    c->log->handler = NULL;

    s->front->finalize(s);

    if (s->upgrade) {
        ngx_free(s->upgrade);
    }

    if (s->rooms) {
        ngx_free(s->rooms);
    }

    if (s->ops) {
        ngx_free(s->ops);
    }

    if (s->sender) {
        ngx_free(s->sender);
    }

    if (s->data) {
        ngx_free(s->data);
    }

    if (s->follow) {
        ngx_free(s->follow);
    }

    if (s->jti) {
        ngx_free(s->jti);
    }

    if (s->accepts) {
        ngx_free(s->accepts);
    }

    if (s->key.data) {
        ngx_free(s->key.data);
    }

    ngx_free(s);

    ngx_goim_nsessions--;
    ngx_goim_slot->sessions = ngx_goim_nsessions;
    ngx_goim_count(closed, 1);
}
