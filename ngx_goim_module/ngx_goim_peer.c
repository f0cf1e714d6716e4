/*
 * The addresses of redis and logic: as written, resolved while the
 * configuration is read, or, with a resolver, resolved by nginx before each
 * round of connects (getaddrinfo() would stop the worker).
 */

#include "ngx_goim_link.h"


static void ngx_goim_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_goim_resolve_add(ngx_goim_resolve_t *rs,
    struct sockaddr *sockaddr, socklen_t socklen, in_port_t port);


char *
ngx_goim_peer_parse(ngx_conf_t *cf, ngx_goim_peer_t *peer, ngx_str_t *value,
    in_port_t default_port)
{
    ngx_url_t   u;
    ngx_str_t  *directive;

    directive = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.default_port = default_port;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"%V\" of the \"%V\" directive",
                           u.err ? u.err : "no memory", value, directive);
        return NGX_CONF_ERROR;
    }

    ngx_memzero(peer, sizeof(ngx_goim_peer_t));

    peer->url = *value;
    peer->host = u.host;
    peer->port = u.port;
    peer->addrs = u.addrs;
    peer->naddrs = u.naddrs;
    peer->literal = (u.naddrs != 0);
    peer->directive = *directive;

    if (cf->conf_file) {
        peer->file_name = cf->conf_file->file.name.data;
        peer->line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_goim_peer_init(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf,
    ngx_goim_peer_t *peer)
{
    ngx_url_t  u;

    if (peer->literal || gcf->resolver) {
        return NGX_OK;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.host = peer->host;
    u.port = peer->port;

    if (ngx_inet_resolve_host(cycle->pool, &u) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "%s in \"%V\" of the \"%V\" directive in %s:%ui",
                      u.err ? u.err : "no memory", &peer->url,
                      &peer->directive, peer->file_name, peer->line);
        return NGX_ERROR;
    }

    peer->addrs = u.addrs;
    peer->naddrs = u.naddrs;

    return NGX_OK;
}


void
ngx_goim_resolve(ngx_goim_resolve_t *rs)
{
    ngx_uint_t           i;
    ngx_goim_peer_t     *peer;
    ngx_resolver_ctx_t  *ctx;

    peer = rs->peer;

    rs->naddrs = 0;
    rs->error = NULL;

    if (peer->literal || rs->gcf->resolver == NULL) {

        for (i = 0; i < peer->naddrs; i++) {
            ngx_goim_resolve_add(rs, peer->addrs[i].sockaddr,
                                 peer->addrs[i].socklen, 0);
        }

        rs->handler(rs);
        return;
    }

    ctx = ngx_resolve_start(rs->gcf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        rs->error = ctx ? "no resolver" : "no memory";
        rs->handler(rs);
        return;
    }

    ctx->name = peer->host;
    ctx->handler = ngx_goim_resolve_handler;
    ctx->data = rs;
    ctx->timeout = rs->gcf->resolver_timeout;
    ctx->cancelable = 1;

    rs->ctx = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        rs->ctx = NULL;
        rs->error = "no memory";
        rs->handler(rs);
    }
}


static void
ngx_goim_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t           i;
    ngx_goim_resolve_t  *rs;

    rs = ctx->data;

    if (ctx->state) {
        rs->error = ngx_resolver_strerror(ctx->state);

    } else {
        for (i = 0; i < ctx->naddrs; i++) {
            ngx_goim_resolve_add(rs, ctx->addrs[i].sockaddr,
                                 ctx->addrs[i].socklen, rs->peer->port);
        }

        if (rs->naddrs == 0) {
            rs->error = "no address";
        }
    }

    ngx_resolve_name_done(ctx);
    rs->ctx = NULL;

    rs->handler(rs);
}


void
ngx_goim_resolve_cancel(ngx_goim_resolve_t *rs)
{
    if (rs->ctx) {
        ngx_resolve_name_done(rs->ctx);
        rs->ctx = NULL;
    }
}


/* port 0: the address has its own */

static void
ngx_goim_resolve_add(ngx_goim_resolve_t *rs, struct sockaddr *sockaddr,
    socklen_t socklen, in_port_t port)
{
    ngx_goim_addr_t  *addr;

    if (rs->naddrs == NGX_GOIM_LINK_ADDRS
        || socklen > (socklen_t) sizeof(ngx_sockaddr_t))
    {
        return;
    }

    addr = &rs->addrs[rs->naddrs++];

    ngx_memcpy(&addr->sockaddr, sockaddr, socklen);
    addr->socklen = socklen;

    if (port) {
        ngx_inet_set_port(&addr->sockaddr.sockaddr, port);
    }

    addr->name.data = addr->text;
    addr->name.len = ngx_sock_ntop(&addr->sockaddr.sockaddr, socklen,
                                   addr->text, NGX_SOCKADDR_STRLEN, 1);
}
