
/*
 * The connection is taken from the HTTP request, and the request with all its
 * memory is given back.
 */


#include "ngx_http_goim.h"


/* ms: how often to look whether the request is free, and how long */
#define NGX_HTTP_GOIM_RETRY         20
#define NGX_HTTP_GOIM_PATIENCE      60000


typedef struct {
    ngx_http_request_t      *request;
    const ngx_goim_app_t    *app;
    ngx_msec_t               started;
    ngx_event_t              event;
} ngx_http_goim_detach_t;


/* what is kept of the request */

typedef struct {
    ngx_str_t                addr;
    u_char                   addr_text[NGX_SOCKADDR_STRLEN];
    u_char                  *early;
    size_t                   early_len;
    ngx_goim_upgrade_t      *upgrade;
} ngx_http_goim_kept_t;


static void ngx_http_goim_detach_handler(ngx_event_t *ev);
static void ngx_http_goim_detach_cleanup(void *data);
static ngx_int_t ngx_http_goim_detach_ready(ngx_http_request_t *r);
static void ngx_http_goim_detach_now(ngx_http_request_t *r,
    const ngx_goim_app_t *app);
static ngx_int_t ngx_http_goim_keep(ngx_http_request_t *r,
    const ngx_goim_app_t *app, ngx_http_goim_kept_t *kept);
static void ngx_http_goim_free_kept(ngx_http_goim_kept_t *kept);
static void ngx_http_goim_free_buffers(ngx_connection_t *c,
    ngx_http_connection_t *hc);


ngx_int_t
ngx_http_goim_detach(ngx_http_request_t *r, const ngx_goim_app_t *app)
{
    ngx_http_cleanup_t      *cln;
    ngx_http_goim_detach_t  *d;

    d = ngx_pcalloc(r->pool, sizeof(ngx_http_goim_detach_t));
    if (d == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_goim_detach_cleanup;
    cln->data = d;

    d->request = r;
    d->app = app;
    d->started = ngx_current_msec;

    d->event.data = d;
    d->event.log = r->connection->log;
    d->event.handler = ngx_http_goim_detach_handler;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    /* nginx looks at c->data once more after the content handler, so an event
       of its own does the rest */

    r->main->count++;
    ngx_post_event(&d->event, &ngx_posted_events);

    return NGX_DONE;
}


static void
ngx_http_goim_detach_cleanup(void *data)
{
    ngx_http_goim_detach_t *d = data;

    if (d->event.posted) {
        ngx_delete_posted_event(&d->event);
    }

    if (d->event.timer_set) {
        ngx_del_timer(&d->event);
    }
}


static void
ngx_http_goim_detach_handler(ngx_event_t *ev)
{
    ngx_int_t                rc;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_goim_detach_t  *d;

    d = ev->data;
    r = d->request;
    c = r->connection;

    ev->timedout = 0;

    rc = ngx_http_goim_detach_ready(r);

    if (rc == NGX_AGAIN
        && ngx_current_msec - d->started >= NGX_HTTP_GOIM_PATIENCE)
    {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "goim: the request did not end after the upgrade");
        c->timedout = 1;
        rc = NGX_ERROR;
    }

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_add_timer(ev, NGX_HTTP_GOIM_RETRY);
        return;
    }

    ngx_http_goim_detach_now(r, d->app);
}


/* A subrequest in the background (mirror) or unsent bytes hold the request. */

static ngx_int_t
ngx_http_goim_detach_ready(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if (c->error || c->close) {
        return NGX_ERROR;
    }

    if ((r->out || c->buffered) && !r->blocked) {

        if (ngx_http_output_filter(r, NULL) == NGX_ERROR
            || ngx_handle_write_event(c->write, 0) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (r->count != 1 || r->blocked || r->out || c->buffered
        || c->write->delayed || c->data != r)
    {
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static void
ngx_http_goim_detach_now(ngx_http_request_t *r, const ngx_goim_app_t *app)
{
    ngx_connection_t       *c;
    ngx_goim_session_t     *s;
    ngx_http_connection_t  *hc;
    ngx_http_goim_kept_t    kept;

    c = r->connection;
    hc = r->http_connection;

    if (ngx_http_goim_keep(r, app, &kept) != NGX_OK) {
        ngx_http_goim_free_kept(&kept);
        ngx_http_finalize_request(r, NGX_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    ngx_http_free_request(r, 0);

    c->destroyed = 0;
    c->log->action = NULL;

    ngx_http_goim_free_buffers(c, hc);

    s = ngx_goim_attach(c, &ngx_http_goim_front, app, &kept.addr);

    if (s == NULL) {
        ngx_http_goim_free_kept(&kept);
        ngx_http_goim_front_refuse(c);
        return;
    }

    s->upgrade = kept.upgrade;
    kept.upgrade = NULL;

    ngx_http_goim_front_start(s, kept.early, kept.early_len);

    ngx_http_goim_free_kept(&kept);
}


static ngx_int_t
ngx_http_goim_keep(ngx_http_request_t *r, const ngx_goim_app_t *app,
    ngx_http_goim_kept_t *kept)
{
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    c = r->connection;

    ngx_memzero(kept, sizeof(ngx_http_goim_kept_t));

    /* what realip has set goes with the request */

    kept->addr.data = kept->addr_text;
    kept->addr.len = ngx_min(c->addr_text.len, NGX_SOCKADDR_STRLEN);
    ngx_memcpy(kept->addr.data, c->addr_text.data, kept->addr.len);

    b = r->header_in;
    kept->early_len = b->last - b->pos;

    if (kept->early_len) {
        kept->early = ngx_alloc(kept->early_len, c->log);
        if (kept->early == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(kept->early, b->pos, kept->early_len);
    }

    return app == &ngx_goim_app ? ngx_http_goim_upgrade(r, &kept->upgrade)
                                : NGX_OK;
}


static void
ngx_http_goim_free_kept(ngx_http_goim_kept_t *kept)
{
    if (kept->early) {
        ngx_free(kept->early);
    }

    if (kept->upgrade) {
        ngx_free(kept->upgrade);
    }
}


/* as ngx_http_set_keepalive() does it for an idle connection */

static void
ngx_http_goim_free_buffers(ngx_connection_t *c, ngx_http_connection_t *hc)
{
    ngx_uint_t     i;
    ngx_chain_t   *cl, *ln, **lists[2];

    if (c->buffer) {
        (void) ngx_pfree(c->pool, c->buffer->start);
        c->buffer = NULL;
    }

    lists[0] = &hc->busy;
    lists[1] = &hc->free;

    for (i = 0; i < 2; i++) {

        for (cl = *lists[i]; cl; /* void */) {
            ln = cl;
            cl = cl->next;

            (void) ngx_pfree(c->pool, ln->buf->start);
            ngx_free_chain(c->pool, ln);
        }

        *lists[i] = NULL;
    }

    hc->nbusy = 0;

#if (NGX_HTTP_SSL)

    if (c->ssl) {
        ngx_ssl_free_buffer(c);
    }

#endif
}
