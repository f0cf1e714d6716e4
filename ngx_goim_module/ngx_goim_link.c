/*
 * A connection that outlives its disconnections.  It never holds a worker
 * back from leaving, as all timers are cancelable; but neither is it ended by
 * worker_shutdown_timeout.
 */

#include "ngx_goim_link.h"
#include "ngx_goim_stats.h"
#include "ngx_goim_tls.h"
#include <ngx_event_connect.h>


#define NGX_GOIM_LINK_OUT       (4 * 1024 * 1024)
#define NGX_GOIM_LINK_KEEP      (64 * 1024)     /* of an empty buffer */
#define NGX_GOIM_LINK_READ      (64 * 1024)
#define NGX_GOIM_LINK_TURN      (1024 * 1024)   /* read before others do */

#define NGX_GOIM_LINK_BACKOFF_MIN   100
#define NGX_GOIM_LINK_BACKOFF_MAX   2000

/* kinds of failures, each with its minute */
#define NGX_GOIM_LINK_LOST      0       /* it was up */
#define NGX_GOIM_LINK_CONNECT   1
#define NGX_GOIM_LINK_GREETING  2       /* connected, but not wanted */


static void ngx_goim_link_retry_handler(ngx_event_t *ev);
static void ngx_goim_link_resolved(ngx_goim_resolve_t *rs);
static void ngx_goim_link_connect(ngx_goim_link_t *l);
static ngx_int_t ngx_goim_link_test(ngx_goim_link_t *l);
static void ngx_goim_link_connected(ngx_goim_link_t *l);
#if (NGX_SSL)
static void ngx_goim_link_secured(ngx_connection_t *c);
#endif
static void ngx_goim_link_opened(ngx_goim_link_t *l);
static ngx_int_t ngx_goim_link_gone(ngx_goim_link_t *l, const char *failed);
static void ngx_goim_link_read_handler(ngx_event_t *rev);
static void ngx_goim_link_write_handler(ngx_event_t *wev);
static void ngx_goim_link_flush_handler(ngx_event_t *ev);
static ngx_int_t ngx_goim_link_send(ngx_goim_link_t *l);
static void ngx_goim_link_close(ngx_goim_link_t *l);
static void ngx_goim_link_again(ngx_goim_link_t *l);
static void ngx_goim_link_say(ngx_goim_link_t *l);


/* what was read is used before the next read, by whatever link */
static u_char  ngx_goim_link_in[NGX_GOIM_LINK_READ];


void
ngx_goim_link_init(ngx_goim_link_t *l, ngx_goim_conf_t *gcf,
    ngx_goim_peer_t *peer, ngx_msec_t timeout, const ngx_goim_link_ops_t *ops,
    void *data)
{
    l->data = data;
    l->ops = ops;
    l->ident = (ngx_socket_t) -1;
    l->timeout = timeout;

    l->resolve.gcf = gcf;
    l->resolve.peer = peer;
    l->resolve.handler = ngx_goim_link_resolved;
    l->resolve.data = l;

    l->retry.handler = ngx_goim_link_retry_handler;
    l->retry.data = l;
    l->retry.log = ngx_cycle->log;
    l->retry.cancelable = 1;

    l->flush.handler = ngx_goim_link_flush_handler;
    l->flush.data = l;
    l->flush.log = ngx_cycle->log;
}


void
ngx_goim_link_start(ngx_goim_link_t *l)
{
    ngx_add_timer(&l->retry, 0);
}


static void
ngx_goim_link_retry_handler(ngx_event_t *ev)
{
    ngx_goim_link_t  *l;

    l = ev->data;

    if (l->left) {
        ngx_goim_link_connect(l);
        return;
    }

    ngx_goim_resolve(&l->resolve);
}


static void
ngx_goim_link_resolved(ngx_goim_resolve_t *rs)
{
    ngx_goim_link_t  *l;

    l = rs->data;

    if (rs->naddrs == 0) {
        (void) ngx_goim_link_error(l, 0, "\"%V\" could not be resolved: %s",
                                   &rs->peer->host, rs->error);
        ngx_goim_link_drop(l);
        return;
    }

    /* workers and their attempts spread over the addresses of a name */

    l->next = ngx_random() % rs->naddrs;
    l->left = rs->naddrs;

    ngx_goim_link_connect(l);
}


static void
ngx_goim_link_connect(ngx_goim_link_t *l)
{
    ngx_int_t               rc;
    ngx_log_t               log;
    ngx_err_t               err;
    ngx_goim_addr_t        *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    addr = &l->resolve.addrs[l->next];

    /* failures are said here, with a limit */

    log = *ngx_cycle->log;
    log.log_level = ngx_min(log.log_level, NGX_LOG_ALERT);

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = &addr->sockaddr.sockaddr;
    pc.socklen = addr->socklen;
    pc.name = &addr->name;
    pc.get = ngx_event_get_peer;
    pc.log = &log;
    pc.log_error = NGX_ERROR_INFO;
    pc.so_keepalive = 1;

    ngx_set_errno(0);

    rc = ngx_event_connect_peer(&pc);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        err = ngx_socket_errno;
        (void) ngx_goim_link_error(l, err, "connect() to %V failed",
                                   &addr->name);
        ngx_goim_link_drop(l);
        return;
    }

    c = pc.connection;
    c->data = l;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_goim_link_read_handler;
    c->write->handler = ngx_goim_link_write_handler;
    c->read->cancelable = 1;
    c->write->cancelable = 1;

    l->connection = c;

    if (rc == NGX_AGAIN) {
        ngx_add_timer(c->write, l->timeout);
        return;
    }

    ngx_goim_link_connected(l);
}


/* whether connect() went well */

static ngx_int_t
ngx_goim_link_test(ngx_goim_link_t *l)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(l->connection->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
    {
        err = ngx_socket_errno;
    }

    if (err) {
        return ngx_goim_link_error(l, err, "connect() to %V failed",
                                   &l->resolve.addrs[l->next].name);
    }

    return NGX_OK;
}


static void
ngx_goim_link_connected(ngx_goim_link_t *l)
{
    ngx_connection_t  *c;

    c = l->connection;

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    /* fails and says so for a peer that is gone already */
    (void) ngx_tcp_nodelay(c);

#if (NGX_SSL)
    if (l->resolve.peer->ssl) {
        ngx_goim_tls_start(l, ngx_goim_link_secured);
        return;
    }
#endif

    ngx_goim_link_opened(l);
}


#if (NGX_SSL)

static void
ngx_goim_link_secured(ngx_connection_t *c)
{
    ngx_goim_link_t  *l;

    l = c->data;

    if (ngx_goim_tls_done(l) != NGX_OK) {
        ngx_goim_link_drop(l);
        return;
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->read->handler = ngx_goim_link_read_handler;
    c->write->handler = ngx_goim_link_write_handler;

    ngx_goim_link_opened(l);
}

#endif


static void
ngx_goim_link_opened(ngx_goim_link_t *l)
{
    ngx_connection_t  *c;

    c = l->connection;
    l->open = 1;

    if (l->ops->opened(l) != NGX_OK) {
        ngx_goim_link_drop(l);
        return;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        (void) ngx_goim_link_error(l, 0, "no event for writing");
        ngx_goim_link_drop(l);
        return;
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


static void
ngx_goim_link_read_handler(ngx_event_t *rev)
{
    size_t             turn;
    ssize_t            n;
    ngx_int_t          rc;
    ngx_goim_link_t   *l;
    ngx_connection_t  *c;

    c = rev->data;
    l = c->data;

    if (c->close) {

        /*
         * worker_shutdown_timeout ends everything that is connected, so the
         * last word of sessions and node to logic is yet to come: whose link
         * it is ends it when that was heard.
         */

        c->close = 0;
        c->error = 0;
        return;
    }

    if (!l->open) {

        /* what can be read now will be after the write event */

        if (ngx_goim_link_test(l) != NGX_OK) {
            ngx_goim_link_drop(l);
        }

        return;
    }

    if (rev->timedout) {
        (void) ngx_goim_link_error(l, NGX_ETIMEDOUT, "no answer");
        ngx_goim_link_drop(l);
        return;
    }

    turn = 0;

    while (rev->ready) {

        if (turn >= NGX_GOIM_LINK_TURN) {
            ngx_post_event(rev, &ngx_posted_next_events);
            break;
        }

        n = c->recv(c, ngx_goim_link_in, NGX_GOIM_LINK_READ);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            (void) ngx_goim_link_gone(l, n ? "recv() failed" : NULL);
            ngx_goim_link_drop(l);
            return;
        }

        l->heard = 1;
        rc = l->ops->input(l, ngx_goim_link_in, n);

        if (l->connection != c) {
            return;
        }

        if (rc != NGX_OK) {
            ngx_goim_link_drop(l);
            return;
        }

        turn += n;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        (void) ngx_goim_link_error(l, 0, "no event for reading");
        ngx_goim_link_drop(l);
    }
}


/* what failed, or NULL: it was closed */

static ngx_int_t
ngx_goim_link_gone(ngx_goim_link_t *l, const char *failed)
{
    ngx_err_t    err;
    const char  *why, *hint;

    err = failed ? ngx_socket_errno : 0;
    why = failed ? failed : "closed by the peer";
    hint = l->heard ? NULL : l->ops->hint;

#if (NGX_SSL)
    if (l->connection->ssl) {

        if (failed) {
            err = 0;
            why = ngx_goim_tls_reason(l);
        }

        hint = hint ? "does it want a certificate?" : NULL;
    }
#endif

    return ngx_goim_link_error(l, err, "%s%s%s", why,
                               hint ? " before its first word: " : "",
                               hint ? hint : "");
}


static void
ngx_goim_link_write_handler(ngx_event_t *wev)
{
    ngx_goim_link_t   *l;
    ngx_connection_t  *c;

    c = wev->data;
    l = c->data;

    if (!l->open) {

        if (wev->timedout) {
            (void) ngx_goim_link_error(l, NGX_ETIMEDOUT,
                                       "connect() to %V failed",
                                       &l->resolve.addrs[l->next].name);
            ngx_goim_link_drop(l);
            return;
        }

        if (ngx_goim_link_test(l) != NGX_OK) {
            ngx_goim_link_drop(l);
            return;
        }

        ngx_goim_link_connected(l);
        return;
    }

    if (ngx_goim_link_send(l) != NGX_OK) {
        ngx_goim_link_drop(l);
    }
}


static void
ngx_goim_link_flush_handler(ngx_event_t *ev)
{
    ngx_goim_link_t  *l;

    l = ev->data;

    if (ngx_goim_link_send(l) != NGX_OK) {
        ngx_goim_link_drop(l);
    }
}


static ngx_int_t
ngx_goim_link_send(ngx_goim_link_t *l)
{
#if (NGX_SSL)
    u_char             last[64];
#endif
    ssize_t            n;
    ngx_connection_t  *c;

    c = l->connection;

    while (l->out_pos < l->out_last && c->write->ready) {

        n = c->send(c, l->out + l->out_pos, l->out_last - l->out_pos);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n <= 0) {
#if (NGX_SSL)
            /* it may have said why before it hung up */

            if (c->ssl) {
                (void) c->recv(c, last, sizeof(last));
            }
#endif

            return ngx_goim_link_gone(l, "send() failed");
        }

        l->out_pos += n;

        if (l->ops->taken) {
            l->ops->taken(l);
        }
    }

    if (l->out_pos == l->out_last) {
        l->out_pos = 0;
        l->out_last = 0;

        if (l->out_size > NGX_GOIM_LINK_KEEP) {
            ngx_free(l->out);
            l->out = NULL;
            l->out_size = 0;
        }
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        return ngx_goim_link_error(l, 0, "no event for writing");
    }

    return NGX_OK;
}


u_char *
ngx_goim_link_reserve(ngx_goim_link_t *l, size_t n)
{
    size_t   used, size;
    u_char  *p;

    if (!l->open) {
        return NULL;
    }

    used = l->out_last - l->out_pos;

    if (n > NGX_GOIM_LINK_OUT - used) {
        return NULL;
    }

    if (n <= l->out_size - l->out_last) {
        return l->out + l->out_last;
    }

    size = l->out_size ? l->out_size : 4096;

    while (size < used + n) {
        size *= 2;
    }

    if (size == l->out_size) {
        ngx_memmove(l->out, l->out + l->out_pos, used);

    } else {
        p = ngx_alloc(size, ngx_cycle->log);
        if (p == NULL) {
            return NULL;
        }

        if (l->out) {
            ngx_memcpy(p, l->out + l->out_pos, used);
            ngx_free(l->out);
        }

        l->out = p;
        l->out_size = size;
    }

    l->out_pos = 0;
    l->out_last = used;

    return l->out + used;
}


void
ngx_goim_link_commit(ngx_goim_link_t *l, size_t n)
{
    l->out_last += n;

    if (l->connection->write->ready) {
        ngx_post_event(&l->flush, &ngx_posted_events);
    }
}


void
ngx_goim_link_up(ngx_goim_link_t *l)
{
    l->up = 1;
    l->left = 0;
    l->failures = 0;
    l->since = ngx_time();

    if (!l->greeted) {
        l->greeted = 1;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "%s \"%V\": connected to %V", l->ops->name,
                      &l->resolve.peer->url,
                      &l->resolve.addrs[l->next].name);
    }
}


ngx_int_t
ngx_goim_link_error(ngx_goim_link_t *l, ngx_err_t err, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    va_start(args, fmt);
    last = ngx_vslprintf(l->error, l->error + sizeof(l->error), fmt, args);
    va_end(args);

    for (p = l->error; p < last; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            *p = '?';
        }
    }

    l->error_len = last - l->error;
    l->err = err;

    return NGX_ERROR;
}


void
ngx_goim_link_drop(ngx_goim_link_t *l)
{
    ngx_uint_t  open;

    if (l->ops->errors >= 0) {
        ngx_goim_counters[l->ops->errors]++;
    }

    ngx_goim_link_say(l);

    open = l->open;

    /* the other addresses of the name come before any waiting */

    if (l->left) {
        l->next = (l->next + 1) % l->resolve.naddrs;
        l->left--;
    }

    ngx_goim_link_close(l);
    ngx_goim_link_again(l);

    if (open) {
        l->ops->closed(l);
    }
}


void
ngx_goim_link_stop(ngx_goim_link_t *l)
{
    ngx_uint_t  open;

    if (l->stopped) {
        return;
    }

    open = l->open;
    l->stopped = 1;

    if (open) {
        (void) ngx_goim_link_send(l);
    }

    ngx_goim_link_close(l);

    if (open) {
        l->ops->closed(l);
    }
}


static void
ngx_goim_link_close(ngx_goim_link_t *l)
{
    ngx_pool_t  *pool;

    ngx_goim_resolve_cancel(&l->resolve);

    if (l->retry.timer_set) {
        ngx_del_timer(&l->retry);
    }

    if (l->flush.posted) {
        ngx_delete_posted_event(&l->flush);
    }

    if (l->connection) {
        pool = l->connection->pool;
#if (NGX_SSL)
        ngx_goim_tls_close(l->connection);
#endif
        ngx_close_connection(l->connection);
        l->connection = NULL;

        if (pool) {
            ngx_destroy_pool(pool);
        }
    }

    if (l->out) {
        ngx_free(l->out);
        l->out = NULL;
    }

    l->out_pos = 0;
    l->out_last = 0;
    l->out_size = 0;

    l->open = 0;
    l->heard = 0;
    l->up = 0;
}


static void
ngx_goim_link_again(ngx_goim_link_t *l)
{
    ngx_msec_t  most;

    if (l->stopped) {
        return;
    }

    if (l->left) {
        ngx_add_timer(&l->retry, 0);
        return;
    }

    most = NGX_GOIM_LINK_BACKOFF_MAX;

    if (l->failures < 4) {
        most = (2 * NGX_GOIM_LINK_BACKOFF_MIN) << l->failures;
        l->failures++;
    }

    ngx_add_timer(&l->retry, NGX_GOIM_LINK_BACKOFF_MIN
                  + ngx_random() % (most - NGX_GOIM_LINK_BACKOFF_MIN + 1));
}


static void
ngx_goim_link_say(ngx_goim_link_t *l)
{
    time_t      now;
    ngx_uint_t  kind;

    now = ngx_time();

    if (l->up) {
        kind = NGX_GOIM_LINK_LOST;

        /* after a while of peace the next trouble is news */

        if (now - l->since >= 10) {
            ngx_memzero(l->said, sizeof(l->said));
        }

    } else {
        kind = l->open ? NGX_GOIM_LINK_GREETING : NGX_GOIM_LINK_CONNECT;
    }

    if (l->said[kind] && now - l->said[kind] < 60) {
        l->unsaid[kind]++;
        return;
    }

    if (l->unsaid[kind]) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, l->err,
                      "%s \"%V\": %*s, %ui times more since it was said",
                      l->ops->name, &l->resolve.peer->url, l->error_len,
                      l->error, l->unsaid[kind]);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, l->err,
                      "%s \"%V\": %s%*s", l->ops->name,
                      &l->resolve.peer->url, l->up ? "connection lost: " : "",
                      l->error_len, l->error);
    }

    l->said[kind] = now;
    l->unsaid[kind] = 0;
    l->greeted = 0;
}
