
/*
 * The TCP front: packets back to back on a connection of stream { }.
 *
 * A session at rest has no input.  Packets that lie whole in what was read
 * are given from there; only what is incomplete, or came while the session
 * was busy, is kept.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>

#include "ngx_goim.h"

#include "common/goim_packet.h"


#define NGX_STREAM_GOIM_INPUT       256     /* the least kept */


typedef struct {
    ngx_flag_t               subscribe;
} ngx_stream_goim_srv_conf_t;


/* what the connection had before it became a session of goim's */

typedef struct {
    ngx_stream_session_t    *session;
    ngx_log_handler_pt       log_handler;
} ngx_stream_goim_ctx_t;


/* the start of a packet; while the session is busy whatever came */

typedef struct {
    size_t                   size;
    size_t                   pos;
    size_t                   last;
    u_char                   data[1];
} ngx_stream_goim_input_t;


static void ngx_stream_goim_handler(ngx_stream_session_t *ss);
static ngx_int_t ngx_stream_goim_preread(ngx_goim_session_t *s);

static size_t ngx_stream_goim_head(u_char *p, size_t len);
static size_t ngx_stream_goim_bye(u_char *p, ngx_uint_t code,
    const char *reason);
static size_t ngx_stream_goim_kept(ngx_goim_session_t *s);
static void ngx_stream_goim_resume(ngx_goim_session_t *s);
static ngx_int_t ngx_stream_goim_input(ngx_goim_session_t *s, u_char *p,
    u_char *last);
static ngx_int_t ngx_stream_goim_take(ngx_goim_session_t *s, u_char *p,
    u_char *last);
static ngx_int_t ngx_stream_goim_complete(ngx_goim_session_t *s, u_char **pos,
    u_char *last);
static ngx_int_t ngx_stream_goim_packets(ngx_goim_session_t *s, u_char **pos,
    u_char *last);
static int ngx_stream_goim_parse(ngx_goim_session_t *s, goim_packet_t *p,
    u_char *data, size_t len);
static ngx_int_t ngx_stream_goim_keep(ngx_goim_session_t *s, u_char *p,
    size_t len);
static void ngx_stream_goim_finalize(ngx_goim_session_t *s);

static ngx_int_t ngx_stream_goim_init(ngx_conf_t *cf);
static ngx_uint_t ngx_stream_goim_udp(ngx_stream_core_main_conf_t *cmcf,
    ngx_stream_core_srv_conf_t *cscf);
static void *ngx_stream_goim_create_srv_conf(ngx_conf_t *cf);
static char *ngx_stream_goim_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_stream_goim_subscribe(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_stream_goim_commands[] = {

    { ngx_string("goim_subscribe"),
      NGX_STREAM_SRV_CONF|NGX_CONF_NOARGS,
      ngx_stream_goim_subscribe,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_goim_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_stream_goim_init,                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_stream_goim_create_srv_conf,       /* create server configuration */
    ngx_stream_goim_merge_srv_conf         /* merge server configuration */
};


ngx_module_t  ngx_stream_goim_module = {
    NGX_MODULE_V1,
    &ngx_stream_goim_module_ctx,           /* module context */
    ngx_stream_goim_commands,              /* module directives */
    NGX_STREAM_MODULE,                     /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static const ngx_goim_front_t  ngx_stream_goim_front = {
    ngx_string("tcp"),
    ngx_stream_goim_head,
    0,
    ngx_stream_goim_bye,
    NULL,
    ngx_stream_goim_input,
    ngx_stream_goim_kept,
    ngx_stream_goim_resume,
    ngx_stream_goim_finalize
};


/* another core than the one this file was compiled for is refused when the
   module is loaded */

const ngx_uint_t *const  ngx_stream_goim_abi = &NGX_GOIM_ABI;


static void
ngx_stream_goim_handler(ngx_stream_session_t *ss)
{
    ngx_connection_t       *c;
    ngx_goim_session_t     *s;
    ngx_stream_goim_ctx_t  *ctx;

    c = ss->connection;

    ctx = ngx_palloc(c->pool, sizeof(ngx_stream_goim_ctx_t));
    if (ctx == NULL) {
        ngx_stream_finalize_session(ss, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->session = ss;
    ctx->log_handler = c->log->handler;

    s = ngx_goim_attach(c, &ngx_stream_goim_front, &ngx_goim_app,
                        &c->addr_text);

    if (s == NULL) {
        ngx_stream_finalize_session(ss, NGX_STREAM_SERVICE_UNAVAILABLE);
        return;
    }

    s->request = ctx;
    c->read->handler = ngx_goim_input_handler;

#if (NGX_STREAM_SSL)

    if (c->ssl) {
        ngx_ssl_free_buffer(c);
    }

#endif

    if (ngx_stream_goim_preread(s) == NGX_OK) {
        ngx_goim_input_handler(c->read);
    }
}


/*
 * What other modules (ssl_preread) have read before.  The buffer is of the
 * connection's pool, which can go with the session.
 */

static ngx_int_t
ngx_stream_goim_preread(ngx_goim_session_t *s)
{
    size_t             len;
    u_char            *data;
    ngx_int_t          rc;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    c = s->connection;
    b = c->buffer;

    if (b == NULL) {
        return NGX_OK;
    }

    c->buffer = NULL;
    len = b->last - b->pos;
    data = NULL;

    if (len) {
        data = ngx_alloc(len, ngx_cycle->log);
        if (data == NULL) {
            ngx_goim_close(s, 1011, "no memory");
            return NGX_ERROR;
        }

        ngx_memcpy(data, b->pos, len);
    }

    (void) ngx_pfree(c->pool, b->start);

    if (len == 0) {
        return NGX_OK;
    }

    rc = ngx_stream_goim_take(s, data, data + len);

    ngx_free(data);

    return rc;
}


static size_t
ngx_stream_goim_head(u_char *p, size_t len)
{
    return 0;
}


static size_t
ngx_stream_goim_bye(u_char *p, ngx_uint_t code, const char *reason)
{
    return 0;
}


static size_t
ngx_stream_goim_kept(ngx_goim_session_t *s)
{
    ngx_stream_goim_input_t  *in;

    in = s->input;

    return in ? in->last - in->pos : 0;
}


static void
ngx_stream_goim_resume(ngx_goim_session_t *s)
{
    u_char                   *pos, *last;
    ngx_int_t                 rc;
    ngx_stream_goim_input_t  *in;

    in = s->input;

    if (in) {

        /* an application that closes the session must not free what it is
           given */

        s->input = NULL;

        pos = in->data + in->pos;
        last = in->data + in->last;

        rc = ngx_stream_goim_packets(s, &pos, last);

        if (rc == NGX_ERROR || pos == last) {
            ngx_free(in);

        } else {
            in->pos = pos - in->data;
            s->input = in;
        }

        if (rc == NGX_ERROR) {
            return;
        }
    }

    /* reading may have stopped with bytes left in the socket or in TLS */

    ngx_post_event(s->connection->read, &ngx_posted_events);
}


static ngx_int_t
ngx_stream_goim_input(ngx_goim_session_t *s, u_char *p, u_char *last)
{
    ngx_stream_goim_ctx_t  *ctx;

    ctx = s->request;
    ctx->session->received += last - p;

    return ngx_stream_goim_take(s, p, last);
}


/* NGX_ERROR: s is closing or gone */

static ngx_int_t
ngx_stream_goim_take(ngx_goim_session_t *s, u_char *p, u_char *last)
{
    if (s->input && !s->busy
        && ngx_stream_goim_complete(s, &p, last) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_stream_goim_packets(s, &p, last) != NGX_OK) {
        return NGX_ERROR;
    }

    return p < last ? ngx_stream_goim_keep(s, p, last - p) : NGX_OK;
}


/* Add to the packet whose start was kept, and give it when it is whole. */

static ngx_int_t
ngx_stream_goim_complete(ngx_goim_session_t *s, u_char **pos, u_char *last)
{
    size_t                    len, need;
    ngx_int_t                 rc;
    goim_packet_t             packet;
    ngx_stream_goim_input_t  *in;

    for ( ;; ) {
        in = s->input;
        len = in->last - in->pos;

        switch (ngx_stream_goim_parse(s, &packet, in->data + in->pos, len)) {

        case GOIM_PACKET_OK:
            s->input = NULL;
            rc = s->app->message(s, in->data + in->pos, len, 0);
            ngx_free(in);

            return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;

        case GOIM_PACKET_AGAIN:
            break;

        default:
            return NGX_ERROR;
        }

        if (*pos == last) {
            return NGX_OK;
        }

        need = (len < GOIM_HEADER ? GOIM_HEADER : packet.length) - len;
        need = ngx_min(need, (size_t) (last - *pos));

        if (ngx_stream_goim_keep(s, *pos, need) != NGX_OK) {
            return NGX_ERROR;
        }

        *pos += need;
    }
}


/* until no whole packet is left, or s is busy; NGX_ERROR: s is closing or
   gone */

static ngx_int_t
ngx_stream_goim_packets(ngx_goim_session_t *s, u_char **pos, u_char *last)
{
    u_char         *data;
    goim_packet_t   packet;

    while (*pos < last && !s->busy) {

        data = *pos;

        switch (ngx_stream_goim_parse(s, &packet, data, last - data)) {

        case GOIM_PACKET_OK:
            break;

        case GOIM_PACKET_AGAIN:
            return NGX_OK;

        default:
            return NGX_ERROR;
        }

        *pos += packet.length;

        if (s->app->message(s, data, packet.length, 0) == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* as goim_packet_parse(); a wrong packet closes the session */

static int
ngx_stream_goim_parse(ngx_goim_session_t *s, goim_packet_t *p, u_char *data,
    size_t len)
{
    int  rc;

    rc = goim_packet_parse(p, data, len, ngx_goim_max_body(s));

    if (rc != GOIM_PACKET_OK && rc != GOIM_PACKET_AGAIN) {
        ngx_goim_close_malformed(s, 1002, goim_packet_error(rc));
    }

    return rc;
}


/* NGX_ERROR: s is closing or gone */

static ngx_int_t
ngx_stream_goim_keep(ngx_goim_session_t *s, u_char *p, size_t len)
{
    size_t                    kept, size;
    ngx_stream_goim_input_t  *in, *old;

    old = s->input;
    kept = old ? old->last - old->pos : 0;

    if (old == NULL || old->size - old->last < len) {

        /* what is only announced costs nothing yet */

        size = ngx_max(kept + len, ngx_max(kept * 2, NGX_STREAM_GOIM_INPUT));

        in = ngx_alloc(offsetof(ngx_stream_goim_input_t, data) + size,
                       ngx_cycle->log);

        if (in == NULL) {
            ngx_goim_close(s, 1011, "no memory");
            return NGX_ERROR;
        }

        in->size = size;
        in->pos = 0;
        in->last = kept;

        if (old) {
            ngx_memcpy(in->data, old->data + old->pos, kept);
            ngx_free(old);
        }

        s->input = in;
    }

    in = s->input;

    ngx_memcpy(in->data + in->last, p, len);
    in->last += len;

    return NGX_OK;
}


/* The connection is the stream module's again, and ends as all of its do. */

static void
ngx_stream_goim_finalize(ngx_goim_session_t *s)
{
    ngx_connection_t       *c;
    ngx_stream_goim_ctx_t  *ctx;

    if (s->input) {
        ngx_free(s->input);
        s->input = NULL;
    }

    c = s->connection;
    ctx = s->request;

    c->data = ctx->session;
    c->log->data = ctx->session;
    c->log->handler = ctx->log_handler;

    ngx_stream_finalize_session(ctx->session, NGX_STREAM_OK);
}


static ngx_int_t
ngx_stream_goim_init(ngx_conf_t *cf)
{
    ngx_uint_t                     i;
    ngx_stream_core_srv_conf_t   **cscfp;
    ngx_stream_goim_srv_conf_t    *gscf;
    ngx_stream_core_main_conf_t   *cmcf;

    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);
    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        gscf = cscfp[i]->ctx->srv_conf[ngx_stream_goim_module.ctx_index];

        if (gscf->subscribe && ngx_stream_goim_udp(cmcf, cscfp[i])) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"goim_subscribe\" cannot be used with \"udp\" "
                          "of \"listen\" in %s:%ui",
                          cscfp[i]->file_name, cscfp[i]->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


#if (nginx_version >= 1025005)

static ngx_uint_t
ngx_stream_goim_udp(ngx_stream_core_main_conf_t *cmcf,
    ngx_stream_core_srv_conf_t *cscf)
{
    ngx_uint_t                    i, j, k;
    ngx_stream_conf_addr_t       *addr;
    ngx_stream_conf_port_t       *port;
    ngx_stream_core_srv_conf_t  **cscfp;

    if (cmcf->ports == NULL) {
        return 0;
    }

    port = cmcf->ports->elts;

    for (i = 0; i < cmcf->ports->nelts; i++) {

        if (port[i].type != SOCK_DGRAM) {
            continue;
        }

        addr = port[i].addrs.elts;

        for (j = 0; j < port[i].addrs.nelts; j++) {
            cscfp = addr[j].servers.elts;

            for (k = 0; k < addr[j].servers.nelts; k++) {
                if (cscfp[k] == cscf) {
                    return 1;
                }
            }
        }
    }

    return 0;
}

#else

static ngx_uint_t
ngx_stream_goim_udp(ngx_stream_core_main_conf_t *cmcf,
    ngx_stream_core_srv_conf_t *cscf)
{
    ngx_uint_t            i;
    ngx_stream_listen_t  *ls;

    ls = cmcf->listen.elts;

    for (i = 0; i < cmcf->listen.nelts; i++) {
        if (ls[i].type == SOCK_DGRAM && ls[i].ctx == cscf->ctx) {
            return 1;
        }
    }

    return 0;
}

#endif


static void *
ngx_stream_goim_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_stream_goim_srv_conf_t));
}


/* Nothing is inherited: a handler is one server's. */

static char *
ngx_stream_goim_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_goim_srv_conf_t  *gscf = child;

    ngx_stream_core_srv_conf_t  *cscf;

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    /* another directive of this server came later and took it silently */

    if (gscf->subscribe && cscf->handler != ngx_stream_goim_handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"goim_subscribe\" is not the only handler of the "
                      "server in %s:%ui", cscf->file_name, cscf->line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_stream_goim_subscribe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_goim_srv_conf_t  *gscf = conf;

    ngx_stream_core_srv_conf_t  *cscf;

    if (gscf->subscribe) {
        return "is duplicate";
    }

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    if (cscf->handler) {
        return "conflicts with another handler of this server";
    }

    cscf->handler = ngx_stream_goim_handler;
    gscf->subscribe = 1;

    ngx_goim_require(cf);

    return NGX_CONF_OK;
}
