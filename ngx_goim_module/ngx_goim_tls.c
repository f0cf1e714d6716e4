
/*
 * TLS of a link.
 */


#include "ngx_goim_tls.h"


static char *ngx_goim_tls_check(ngx_conf_t *cf, ngx_goim_tls_t *tls);
static char *ngx_goim_tls_say(ngx_conf_t *cf, const char *text);

#if (NGX_SSL)

#define NGX_GOIM_TLS_DEPTH  100         /* of a chain: OpenSSL's default */


static ngx_int_t ngx_goim_tls_readable(ngx_conf_t *cf, const char *name,
    ngx_str_t *file);
static ngx_int_t ngx_goim_tls_context(ngx_conf_t *cf, ngx_ssl_t *ssl,
    ngx_goim_tls_t *tls);
static u_char *ngx_goim_tls_where(ngx_log_t *log, u_char *buf, size_t len);
static char *ngx_goim_tls_name(ngx_conf_t *cf, ngx_goim_tls_t *tls,
    ngx_goim_peer_t *peer);
static ngx_int_t ngx_goim_tls_expect(SSL *ssl, const char *name);
static void ngx_goim_tls_said(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len);

#endif


char *
ngx_goim_tls_conf(ngx_conf_t *cf, ngx_goim_tls_t *tls, ngx_goim_peer_t *peer)
{
    char  *rv;

    rv = ngx_goim_tls_check(cf, tls);

    if (rv != NGX_CONF_OK || !tls->on) {
        return rv;
    }

#if (NGX_SSL)
    {
    ngx_log_t            log;
    ngx_int_t            rc;
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    if (ngx_goim_tls_readable(cf, "ca_file=", &tls->ca_file) != NGX_OK
        || ngx_goim_tls_readable(cf, "cert_file=", &tls->cert_file) != NGX_OK
        || ngx_goim_tls_readable(cf, "key_file=", &tls->key_file) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_CONF_ERROR;
    }

    /* what nginx says of certificates lacks where that stands */

    log = *cf->log;
    log.handler = ngx_goim_tls_where;
    log.data = cf;

    ssl->log = &log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    rc = ngx_goim_tls_context(cf, ssl, tls);
    ssl->log = cf->cycle->log;

    if (rc != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    peer->ssl = ssl;

    return ngx_goim_tls_name(cf, tls, peer);
    }
#else

    return ngx_goim_tls_say(cf, "\"tls\" needs an nginx with SSL");

#endif
}


/* A file or name that nothing uses is a mistake, as is one without its other
   half. */

static char *
ngx_goim_tls_check(ngx_conf_t *cf, ngx_goim_tls_t *tls)
{
    if (!tls->on) {
        return tls->ca_file.data ? ngx_goim_tls_say(cf,
                                                 "\"ca_file=\" needs \"tls\"")
               : tls->cert_file.data ? ngx_goim_tls_say(cf,
                                               "\"cert_file=\" needs \"tls\"")
               : tls->key_file.data ? ngx_goim_tls_say(cf,
                                                "\"key_file=\" needs \"tls\"")
               : tls->server_name.data ? ngx_goim_tls_say(cf,
                                             "\"server_name=\" needs \"tls\"")
               : NGX_CONF_OK;
    }

    if (tls->cert_file.data && tls->key_file.data == NULL) {
        return ngx_goim_tls_say(cf, "\"cert_file=\" needs \"key_file=\"");
    }

    if (tls->key_file.data && tls->cert_file.data == NULL) {
        return ngx_goim_tls_say(cf, "\"key_file=\" needs \"cert_file=\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_goim_tls_say(ngx_conf_t *cf, const char *text)
{
    ngx_str_t  *directive;

    directive = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V\"", text, directive);

    return NGX_CONF_ERROR;
}


#if (NGX_SSL)

/* OpenSSL does not say well what hinders opening. */

static ngx_int_t
ngx_goim_tls_readable(ngx_conf_t *cf, const char *name, ngx_str_t *file)
{
    ngx_fd_t    fd;
    ngx_str_t  *directive;

    if (file->data == NULL) {
        return NGX_OK;
    }

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        directive = cf->args->elts;
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%s%V\" in \"%V\": " ngx_open_file_n " failed",
                           name, file, directive);
        return NGX_ERROR;
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", file);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_goim_tls_context(ngx_conf_t *cf, ngx_ssl_t *ssl, ngx_goim_tls_t *tls)
{
    ngx_str_t     none;
    ngx_array_t  *passwords;

    if (ngx_ssl_trusted_certificate(cf, ssl, &tls->ca_file,
                                    NGX_GOIM_TLS_DEPTH)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (tls->ca_file.data == NULL
        && SSL_CTX_set_default_verify_paths(ssl->ctx) == 0)
    {
        ngx_ssl_error(NGX_LOG_EMERG, ssl->log, 0, "no CAs of the system");
        return NGX_ERROR;
    }

    /* what is not right ends the handshake, not what comes after it */

    SSL_CTX_set_verify(ssl->ctx, SSL_VERIFY_PEER, NULL);

    /* the output may have moved, and got longer, when it is tried again */

    SSL_CTX_set_mode(ssl->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                               |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

#ifdef SSL_OP_NO_RENEGOTIATION
    SSL_CTX_set_options(ssl->ctx, SSL_OP_NO_RENEGOTIATION);
#endif

    if (tls->cert_file.data == NULL) {
        return NGX_OK;
    }

    /* nobody is there to be asked for the password of a key */

    passwords = ngx_array_create(cf->temp_pool, 1, sizeof(ngx_str_t));
    if (passwords == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&none, "");
    *(ngx_str_t *) ngx_array_push(passwords) = none;

    return ngx_ssl_certificate(cf, ssl, &tls->cert_file, &tls->key_file,
                               passwords);
}


static u_char *
ngx_goim_tls_where(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_str_t   *directive;
    ngx_conf_t  *cf;

    cf = log->data;
    directive = cf->args->elts;

    if (cf->conf_file == NULL || cf->conf_file->file.fd == NGX_INVALID_FILE) {
        return ngx_snprintf(buf, len, " in \"%V\" in command line", directive);
    }

    return ngx_snprintf(buf, len, " in \"%V\" in %s:%ui", directive,
                        cf->conf_file->file.name.data, cf->conf_file->line);
}


/* Whose certificate it has to be; an IPv6 address without its brackets. */

static char *
ngx_goim_tls_name(ngx_conf_t *cf, ngx_goim_tls_t *tls, ngx_goim_peer_t *peer)
{
    u_char     *p;
    ngx_str_t   name;

    name = tls->server_name;

    if (name.data == NULL) {

        if (ngx_strncasecmp(peer->url.data, (u_char *) "unix:", 5) == 0) {
            return ngx_goim_tls_say(cf, "\"tls\" needs \"server_name=\" with "
                                    "\"unix:\"");
        }

        name = peer->host;

        if (name.len > 2 && name.data[0] == '[') {
            name.data++;
            name.len -= 2;
        }
    }

    p = ngx_pnalloc(cf->pool, name.len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(p, name.data, name.len + 1);
    peer->ssl_name = p;

    return NGX_CONF_OK;
}


/* ---- a connection ---- */

void
ngx_goim_tls_start(ngx_goim_link_t *l, ngx_connection_handler_pt done)
{
    ngx_connection_t  *c;

    c = l->connection;

    /* nginx says each failure to the log of the connection: it is kept, and
       said once a minute */

    l->log = *ngx_cycle->log;
    l->log.log_level = NGX_LOG_INFO;
    l->log.handler = NULL;
    l->log.next = NULL;
    l->log.writer = ngx_goim_tls_said;
    l->log.wdata = l;
    l->said_tls[0] = '\0';

    c->log = &l->log;
    c->log_error = NGX_ERROR_INFO;
    c->pool = ngx_create_pool(512, ngx_cycle->log);

    if (c->pool == NULL
        || ngx_ssl_create_connection(l->resolve.peer->ssl, c, NGX_SSL_CLIENT)
           != NGX_OK
        || ngx_goim_tls_expect(c->ssl->connection,
                               (const char *) l->resolve.peer->ssl_name)
           != NGX_OK)
    {
        done(c);
        return;
    }

    c->ssl->handler = done;
    ngx_add_timer(c->write, l->timeout);

    if (ngx_ssl_handshake(c) != NGX_AGAIN) {
        done(c);
    }
}


/* A server is told a name, not an address. */

static ngx_int_t
ngx_goim_tls_expect(SSL *ssl, const char *name)
{
    u_char              addr[16];
    ngx_str_t           s;
    X509_VERIFY_PARAM  *param;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    *(in_addr_t *) addr = ngx_inet_addr(s.data, s.len);

    if (*(in_addr_t *) addr != INADDR_NONE) {
        return X509_VERIFY_PARAM_set1_ip(param, addr, 4) ? NGX_OK : NGX_ERROR;
    }

#if (NGX_HAVE_INET6)
    if (ngx_inet6_addr(s.data, s.len, addr) == NGX_OK) {
        return X509_VERIFY_PARAM_set1_ip(param, addr, 16) ? NGX_OK
                                                          : NGX_ERROR;
    }
#endif

    return X509_VERIFY_PARAM_set1_host(param, name, s.len)
           && SSL_set_tlsext_host_name(ssl, (char *) name)
           ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_goim_tls_done(ngx_goim_link_t *l)
{
    long               verify;
    ngx_connection_t  *c;

    c = l->connection;

    if (c->ssl == NULL) {
        return ngx_goim_link_error(l, 0, "TLS: no memory");
    }

    verify = SSL_get_verify_result(c->ssl->connection);

    if (verify == X509_V_ERR_HOSTNAME_MISMATCH
        || verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
    {
        return ngx_goim_link_error(l, 0, "TLS: its certificate is not for "
                                   "\"%s\"", l->resolve.peer->ssl_name);
    }

    if (verify != X509_V_OK) {
        return ngx_goim_link_error(l, 0, "TLS: its certificate is refused: "
                                   "%s",
                                   X509_verify_cert_error_string(verify));
    }

    if (c->write->timedout) {
        return ngx_goim_link_error(l, NGX_ETIMEDOUT, "no handshake of TLS: "
                                   "is this its port for TLS?");
    }

    if (!c->ssl->handshaked) {
        return ngx_goim_link_error(l, 0, "%s", ngx_goim_tls_reason(l));
    }

    return NGX_OK;
}


const char *
ngx_goim_tls_reason(ngx_goim_link_t *l)
{
    return ngx_strstr(l->said_tls, "wrong version number")
           || ngx_strstr(l->said_tls, "packet length too long")
           ? "the other side does not speak TLS" : l->said_tls;
}


/* "2026/11/26 08:00:00 [info] 1#1: *1 TEXT" */

static void
ngx_goim_tls_said(ngx_log_t *log, ngx_uint_t level, u_char *buf, size_t len)
{
    u_char           *p, *last;
    ngx_goim_link_t  *l;

    l = log->wdata;
    last = buf + len;

    p = ngx_strlchr(buf, last, '#');
    p = p ? ngx_strlchr(p, last, ' ') : NULL;

    if (p && p + 1 < last && p[1] == '*') {
        p = ngx_strlchr(p + 1, last, ' ');
    }

    p = p ? p + 1 : buf;

    while (last > p && (last[-1] == LF || last[-1] == CR)) {
        last--;
    }

    (void) ngx_cpystrn((u_char *) l->said_tls, p,
                       ngx_min((size_t) (last - p) + 1, sizeof(l->said_tls)));
}


/* What can't be said at once is left unsaid. */

void
ngx_goim_tls_close(ngx_connection_t *c)
{
    if (c->ssl == NULL) {
        return;
    }

    c->ssl->no_wait_shutdown = 1;

    if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }
}

#endif
