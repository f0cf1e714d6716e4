/*
 * Redis in nginx's event loop.
 */

#ifndef _NGX_GOIM_REDIS_H_INCLUDED_
#define _NGX_GOIM_REDIS_H_INCLUDED_


#include "ngx_goim_conf.h"


typedef struct ngx_goim_redis_s  ngx_goim_redis_t;

struct redisReply;

/* reply NULL: lost, or no answer in time.  An error reply is passed on. */
typedef void (*ngx_goim_redis_pt)(void *data, struct redisReply *reply);

typedef struct {
    void                      (*up)(void *data);    /* after AUTH, SELECT */
    void                      (*down)(void *data);
    void                       *data;
} ngx_goim_redis_events_t;

/*
 * A connection that outlives its disconnections, with backoff (100 ms to
 * 2 s, jitter).  All its timers are cancelable.  It connects at once, events
 * come from the loop.  Memory is the process's.
 */
ngx_goim_redis_t *ngx_goim_redis_create(ngx_goim_conf_t *gcf,
    const ngx_goim_redis_events_t *events);

/* Gone for good; outstanding callbacks come with NULL before it returns,
 * `down` does not.  Allowed in callbacks. */
void ngx_goim_redis_destroy(ngx_goim_redis_t *r);

/* Drop the connection and connect again; allowed in callbacks. */
void ngx_goim_redis_reset(ngx_goim_redis_t *r);

/*
 * One command; no answer within timeout: the connection is dropped.
 * NGX_ERROR: not connected, the callback does not come.
 */
ngx_int_t ngx_goim_redis_command(ngx_goim_redis_t *r, ngx_msec_t timeout,
    ngx_goim_redis_pt cb, void *data, int argc, const char **argv,
    const size_t *argvlen);


#endif /* _NGX_GOIM_REDIS_H_INCLUDED_ */
