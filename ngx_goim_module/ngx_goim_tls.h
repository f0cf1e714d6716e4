/*
 * TLS of a link, by nginx's OpenSSL: TLS 1.2 or newer, the certificate of the
 * other side always verified, name and all.
 */

#ifndef _NGX_GOIM_TLS_H_INCLUDED_
#define _NGX_GOIM_TLS_H_INCLUDED_


#include "ngx_goim_link.h"


/*
 * For a directive handler: what its parameters say, for the links to peer.
 * An error is logged.
 */
char *ngx_goim_tls_conf(ngx_conf_t *cf, ngx_goim_tls_t *tls,
    ngx_goim_peer_t *peer);


#if (NGX_SSL)

/*
 * The handshake over l->connection, whose handlers are taken until done()
 * comes, once, perhaps at once: it asks ngx_goim_tls_done(), which tells
 * ngx_goim_link_error() why it failed.
 */
void ngx_goim_tls_start(ngx_goim_link_t *l,
    ngx_connection_handler_pt done);
ngx_int_t ngx_goim_tls_done(ngx_goim_link_t *l);

/* Why a call failed, as nginx said it. */
const char *ngx_goim_tls_reason(ngx_goim_link_t *l);

/* Says goodbye, if the socket takes it at once; before the connection is
   closed. */
void ngx_goim_tls_close(ngx_connection_t *c);

#endif


#endif /* _NGX_GOIM_TLS_H_INCLUDED_ */
