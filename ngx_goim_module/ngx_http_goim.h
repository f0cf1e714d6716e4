/*
 * What the files of the HTTP module share.
 */

#ifndef _NGX_HTTP_GOIM_H_INCLUDED_
#define _NGX_HTTP_GOIM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_goim.h"
#include "ngx_goim_mids.h"
#include "ngx_goim_stats.h"
#include "ngx_goim_value.h"


/* a header of the upgrade that the application is told */

typedef struct {
    ngx_str_t                key;           /* in lower case */
    const char              *name;          /* as it is told; NULL: a cookie */
} ngx_http_goim_header_t;


typedef struct {
    ngx_http_handler_pt      handler;       /* NULL: no directive of ours */
    ngx_str_t                directive;
    const ngx_goim_app_t    *app;

    ngx_array_t             *origins;       /* empty: any */
    ngx_array_t             *subprotocols;  /* of ngx_str_t */
    ngx_array_t             *pass;          /* of ngx_http_goim_header_t */
    ngx_str_t                cookie;        /* the name of the token's */
} ngx_http_goim_loc_conf_t;


extern ngx_module_t            ngx_http_goim_module;
extern const ngx_goim_front_t  ngx_http_goim_front;
extern const ngx_goim_app_t    ngx_http_goim_echo;


/* ---- ngx_http_goim_handshake.c ---- */

/*
 * Content handler: what asks for a WebSocket gets it, everything else an
 * HTTP answer.
 */
ngx_int_t ngx_http_goim_handshake(ngx_http_request_t *r);

/* Take the next item of a comma-separated list; 0: there is none left. */
ngx_uint_t ngx_http_goim_next_token(ngx_str_t *list, ngx_str_t *item);


/* ---- ngx_http_goim_origin.c ---- */

/* Whether a page of that origin may connect; without data: none was sent. */
ngx_uint_t ngx_http_goim_origin_allowed(ngx_http_request_t *r,
    ngx_array_t *origins, const ngx_str_t *origin);

char *ngx_http_goim_set_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/* ---- ngx_http_goim_subprotocol.c ---- */

/* The first offered of those the location lists; NULL: none. */
const ngx_str_t *ngx_http_goim_subprotocol(ngx_array_t *names,
    const ngx_str_t *offered);

char *ngx_http_goim_set_subprotocol(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* whether it is a token of RFC 7230 */
ngx_uint_t ngx_http_goim_token(const ngx_str_t *value);


/* ---- ngx_http_goim_pass.c ---- */

char *ngx_http_goim_set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/* ---- ngx_http_goim_detach.c ---- */

/*
 * The 101 was written, or waits in r->out: as soon as nothing depends on the
 * request any more it is freed, and the connection becomes a session of app.
 * To be returned from the content handler.
 */
ngx_int_t ngx_http_goim_detach(ngx_http_request_t *r,
    const ngx_goim_app_t *app);


/* ---- ngx_http_goim_upgrade.c ---- */

/* Whether all that is passed on goes into a call to logic. */
ngx_uint_t ngx_http_goim_upgrade_fits(ngx_http_request_t *r);

/* The header of that name, if it is passed on: always, or by the location's
   list (NULL: none). */
const ngx_http_goim_header_t *ngx_http_goim_header_find(ngx_array_t *pass,
    const ngx_str_t *name);

/* What the application may want to see of the request; NULL: nothing. */
ngx_int_t ngx_http_goim_upgrade(ngx_http_request_t *r,
    ngx_goim_upgrade_t **upgrade);


/* ---- ngx_http_goim_front.c ---- */

/*
 * Begin with a session just attached: len bytes that came with the request
 * (the caller's), then what the socket has.  s may be freed on return.
 */
void ngx_http_goim_front_start(ngx_goim_session_t *s, u_char *early,
    size_t len);

/* After the 101 there was no place for a session: say so and close. */
void ngx_http_goim_front_refuse(ngx_connection_t *c);


/* ---- ngx_http_goim_status.c ---- */

ngx_int_t ngx_http_goim_status(ngx_http_request_t *r);


/* ---- ngx_http_goim_answer.c ---- */

/* a whole answer, but for the fields of the header that are set already; b
   is the last of it */
ngx_int_t ngx_http_goim_answer(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_buf_t *b);


/* {"error": ...}, logged too */
ngx_int_t ngx_http_goim_answer_error(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *error);


/* ---- ngx_http_goim_drain.c ---- */

/* POST to the status page, drain=on or off */
ngx_int_t ngx_http_goim_drain(ngx_http_request_t *r, ngx_str_t *value);


/* ---- ngx_http_goim_trace.c ---- */

#define NGX_HTTP_GOIM_TRACE_JSON                                             \
    (sizeof("[]") + NGX_GOIM_TRACE_MIDS * (NGX_INT64_LEN + 1))

/* POST to the status page: another list of mids to trace */
ngx_int_t ngx_http_goim_trace(ngx_http_request_t *r);

/* the list as JSON */
u_char *ngx_http_goim_trace_json(u_char *p, u_char *last,
    const ngx_goim_mids_t *mids);


#endif /* _NGX_HTTP_GOIM_H_INCLUDED_ */
