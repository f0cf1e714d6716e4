/*
 * Redis in nginx's event loop, as the reader of the node's stream needs it:
 * one connection, one command under way.
 */

#ifndef _NGX_GOIM_REDIS_H_INCLUDED_
#define _NGX_GOIM_REDIS_H_INCLUDED_


#include "ngx_goim_conf.h"


struct redisReply;

/* An error reply is passed on.  The reply is the caller's. */
typedef void (*ngx_goim_redis_pt)(struct redisReply *reply);

typedef struct {
    /* connected, after AUTH and SELECT */
    void                      (*up)(void);

    /* the connection was lost, or dropped for a command that got no answer
       in time or too long a one: that command's handler does not come */
    void                      (*down)(void);
} ngx_goim_redis_events_t;


/*
 * Connect and stay connected, with backoff (100 ms to 2 s, jitter).  All
 * timers are cancelable.  Events and replies come from the loop.
 */
void ngx_goim_redis_start(const ngx_goim_redis_events_t *events);

/* No event and no reply comes any more.  Allowed in all of them. */
void ngx_goim_redis_stop(void);

/*
 * fmt is as for redisCommand(): "%b" takes a pointer and a size_t.  The
 * command goes out in this turn: nothing waits before it.  The connection is
 * dropped when Redis is silent for timeout, or when the answer is longer than
 * limit bytes.  NGX_ERROR: not connected, another handler's command is under
 * way, or no memory.
 */
ngx_int_t ngx_goim_redis_command(ngx_goim_redis_pt handler,
    ngx_msec_t timeout, size_t limit, const char *fmt, ...);


#endif /* _NGX_GOIM_REDIS_H_INCLUDED_ */
