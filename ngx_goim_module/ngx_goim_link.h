/*
 * A connection of this worker to a process behind it (Redis, logic) that
 * outlives its disconnections: it resolves the name, connects, reconnects
 * with backoff, and writes what was queued once a turn of the event loop.
 * What the bytes mean is its owner's (ngx_goim_redis.c, ngx_goim_logic.c).
 */

#ifndef _NGX_GOIM_LINK_H_INCLUDED_
#define _NGX_GOIM_LINK_H_INCLUDED_


#include <ngx_event.h>

#include "ngx_goim_conf.h"


/* addresses of one name that are tried, one after the other */
#define NGX_GOIM_LINK_ADDRS     8


/* ---- the addresses of a peer now (ngx_goim_peer.c) ---- */

typedef struct {
    ngx_sockaddr_t                sockaddr;
    socklen_t                     socklen;
    ngx_str_t                     name;
    u_char                        text[NGX_SOCKADDR_STRLEN];
} ngx_goim_addr_t;


typedef struct ngx_goim_resolve_s  ngx_goim_resolve_t;

struct ngx_goim_resolve_s {
    ngx_goim_conf_t              *gcf;
    ngx_goim_peer_t              *peer;

    /* comes exactly once, perhaps at once; naddrs 0: see error */
    void                        (*handler)(ngx_goim_resolve_t *rs);
    void                         *data;

    ngx_resolver_ctx_t           *ctx;          /* under way */
    const char                   *error;
    ngx_goim_addr_t               addrs[NGX_GOIM_LINK_ADDRS];
    ngx_uint_t                    naddrs;
};


void ngx_goim_resolve(ngx_goim_resolve_t *rs);

/* the handler does not come any more */
void ngx_goim_resolve_cancel(ngx_goim_resolve_t *rs);


/* ---- the link (ngx_goim_link.c) ---- */

typedef struct ngx_goim_link_s  ngx_goim_link_t;

typedef struct {
    const char                   *name;         /* for the log */

    /* connected: queue what has to come first; NGX_ERROR: as in input() */
    ngx_int_t                   (*opened)(ngx_goim_link_t *l);

    /*
     * Bytes came; data is valid during the call.  NGX_ERROR: drop the
     * connection, ngx_goim_link_error() was told why.  Whatever is returned,
     * the link may have been stopped meanwhile.
     */
    ngx_int_t                   (*input)(ngx_goim_link_t *l, u_char *data,
                                         size_t len);

    /* the socket took some of what was queued, more may be; or NULL */
    void                        (*taken)(ngx_goim_link_t *l);

    /* a connection that was opened is gone; l->connection is NULL */
    void                        (*closed)(ngx_goim_link_t *l);

    ngx_int_t                     errors;       /* counter, or -1 */

    /* what may be wrong when the peer closes before its first word; or NULL */
    const char                   *hint;
} ngx_goim_link_ops_t;


struct ngx_goim_link_s {
    /* a debug log takes the data of events for a connection, whose
       descriptor comes after three pointers */
    void                         *data;         /* the owner's */
    const ngx_goim_link_ops_t    *ops;
    ngx_connection_t             *connection;   /* NULL: none */
    ngx_socket_t                  ident;

    ngx_goim_resolve_t            resolve;
    ngx_uint_t                    next;         /* of resolve.addrs */
    ngx_uint_t                    left;         /* not tried this time */

    ngx_msec_t                    timeout;      /* of connect() */
    ngx_event_t                   retry;
    ngx_event_t                   flush;
    ngx_uint_t                    failures;     /* since it was up */

    u_char                       *out;
    size_t                        out_pos;
    size_t                        out_last;
    size_t                        out_size;

    /* to say each kind of failure once a minute */
    time_t                        said[3];
    ngx_uint_t                    unsaid[3];
    time_t                        since;        /* up */
    ngx_err_t                     err;
    u_char                        error[256];
    size_t                        error_len;

#if (NGX_SSL)
    ngx_log_t                     log;          /* of the connection */
    char                          said_tls[200];
#endif

    unsigned                      open:1;       /* connected, with TLS */
    unsigned                      heard:1;      /* it said something */
    unsigned                      up:1;         /* and its owner content */
    unsigned                      stopped:1;
    unsigned                      greeted:1;    /* said that it is up */
};


/* Set up a zeroed link; nothing happens before ngx_goim_link_start(). */
void ngx_goim_link_init(ngx_goim_link_t *l, ngx_goim_conf_t *gcf,
    ngx_goim_peer_t *peer, ngx_msec_t timeout, const ngx_goim_link_ops_t *ops,
    void *data);

/* Connect, from the loop. */
void ngx_goim_link_start(ngx_goim_link_t *l);

/* The owner's handshake is done: the backoff starts anew. */
void ngx_goim_link_up(ngx_goim_link_t *l);

/*
 * Room for n bytes at the end of the output, valid until the next call.
 * NULL: not connected, more than a few megabytes wait, or no memory.
 */
u_char *ngx_goim_link_reserve(ngx_goim_link_t *l, size_t n);

/* bytes that the socket has not taken yet */
#define ngx_goim_link_pending(l)  ((l)->out_last - (l)->out_pos)

/* n of them are written; they leave at the end of this turn. */
void ngx_goim_link_commit(ngx_goim_link_t *l, size_t n);

/* Why the link will be dropped; returns NGX_ERROR.  Anything that came from
 * outside may be printed: what is no printable ASCII is replaced. */
ngx_int_t ngx_goim_link_error(ngx_goim_link_t *l, ngx_err_t err,
    const char *fmt, ...);

/* Close and connect again later; ngx_goim_link_error() was told why. */
void ngx_goim_link_drop(ngx_goim_link_t *l);

/* Close for good, after writing what the socket takes at once. */
void ngx_goim_link_stop(ngx_goim_link_t *l);


#endif /* _NGX_GOIM_LINK_H_INCLUDED_ */
