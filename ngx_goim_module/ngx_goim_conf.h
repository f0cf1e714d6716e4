/*
 * The configuration, goim { }, and the addresses in it.
 */

#ifndef _NGX_GOIM_CONF_H_INCLUDED_
#define _NGX_GOIM_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_goim_mids.h"


#define NGX_GOIM_VERSION        "0.1.0"

#define NGX_GOIM_MODULE         0x4d494f47      /* "GOIM" */
#define NGX_GOIM_CONF           0x02000000


typedef struct {
    ngx_str_t                   url;        /* as written: host:port */
    ngx_str_t                   host;       /* to resolve at run time */
    in_port_t                   port;
    ngx_addr_t                 *addrs;      /* resolved at configuration */
    ngx_uint_t                  naddrs;
    ngx_str_t                   directive;  /* for errors: where it stands */
    u_char                     *file_name;
    ngx_uint_t                  line;
    unsigned                    literal:1;  /* an address, or unix: */
#if (NGX_SSL)
    ngx_ssl_t                  *ssl;        /* NULL: without TLS */
    u_char                     *ssl_name;   /* that is verified; NUL */
#endif
} ngx_goim_peer_t;


/* TLS as parameters of a directive have it */

typedef struct {
    ngx_uint_t                  on;
    ngx_str_t                   ca_file;        /* data NULL: the system's */
    ngx_str_t                   cert_file;      /* data NULL: none */
    ngx_str_t                   key_file;
    ngx_str_t                   server_name;    /* data NULL: the host */
} ngx_goim_tls_t;


typedef struct {
    ngx_flag_t                  enabled;    /* there is a goim { }, here: */
    u_char                     *file;
    ngx_uint_t                  line;
    ngx_str_t                   user;       /* the first directive that needs
                                               it, of another block, and where
                                               that stands */
    u_char                     *user_file;
    ngx_uint_t                  user_line;

    ngx_shm_zone_t             *shm_zone;
    ngx_str_t                   server_id;

    ngx_goim_peer_t             redis;
    ngx_str_t                   redis_user;
    ngx_str_t                   redis_password;
    ngx_goim_tls_t              redis_tls;
    ngx_int_t                   redis_db;
    ngx_str_t                   redis_prefix;
    ngx_str_t                   stream;     /* the node's: prefix, goim:node:,
                                               server_id; NUL */
    ngx_msec_t                  redis_timeout;

    ngx_array_t                 logic;      /* of ngx_goim_peer_t */
    ngx_str_t                   logic_secret;   /* empty: none */
    ngx_msec_t                  logic_timeout;

    ngx_resolver_t             *resolver;   /* NULL: names were resolved at
                                               configuration time */
    ngx_msec_t                  resolver_timeout;

    ngx_str_t                   region;
    ngx_str_t                   zone_name;
    ngx_str_t                   env;
    ngx_array_t                 addrs;      /* of ngx_str_t */
    ngx_uint_t                  weight;
    ngx_flag_t                  offline;

    ngx_msec_t                  handshake_timeout;
    ngx_msec_t                  send_timeout;   /* a socket that takes
                                                   nothing */
    ngx_msec_t                  room_linger;
    ngx_msec_t                  drain;          /* 0: nobody is closed */
    size_t                      gather_size;    /* of a frame of several
                                                   messages */
    size_t                      max_body;       /* of a client's packet */
    size_t                      queue_size;     /* bytes out, a session */
    ngx_uint_t                  queue_drop;     /* at the bound: drop, not
                                                   close */
    ngx_uint_t                  max_sessions;   /* a worker; 0: what
                                                   worker_connections allow */
    ngx_uint_t                  max_per_addr;   /* a node; 0: no limit */

    ngx_fd_t                   *eventfds;       /* one a worker */
    ngx_uint_t                  workers;

    ngx_open_file_t            *trace_log;      /* NULL: none, no tracing */
    ngx_goim_mids_t             trace;
} ngx_goim_conf_t;


/* NULL without a goim { } */
ngx_goim_conf_t *ngx_goim_get_conf(ngx_cycle_t *cycle);


/* ---- addresses of redis and logic (ngx_goim_peer.c) ---- */

/*
 * For directive handlers: value is host, host:port, [IPv6]:port or unix:path.
 * peer is all set here; names are not resolved yet.  Returns NGX_CONF_OK, or
 * NGX_CONF_ERROR after an error was logged that names directive and value.
 */
char *ngx_goim_peer_parse(ngx_conf_t *cf, ngx_goim_peer_t *peer,
    ngx_str_t *value, in_port_t default_port);

/*
 * For init_conf, for each peer, when all directives are known: without a
 * resolver a name is resolved now, into the cycle's pool.  NGX_ERROR after
 * an [emerg] line.
 */
ngx_int_t ngx_goim_peer_init(ngx_cycle_t *cycle, ngx_goim_conf_t *gcf,
    ngx_goim_peer_t *peer);


#endif /* _NGX_GOIM_CONF_H_INCLUDED_ */
