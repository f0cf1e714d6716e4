/*
 * Calls to logic.
 */

#ifndef _NGX_GOIM_LOGIC_H_INCLUDED_
#define _NGX_GOIM_LOGIC_H_INCLUDED_


#include "ngx_goim_conf.h"


typedef struct ngx_goim_call_s  ngx_goim_call_t;

struct Goim__Call;
struct Goim__Reply;

#define NGX_GOIM_LOGIC_ANY      ((ngx_uint_t) -1)

/* reply NULL: failed or late; what it says is valid during the callback */
typedef void (*ngx_goim_logic_pt)(void *data,
    const struct Goim__Reply *reply);

/*
 * This worker's links to every logic of the configuration: connect at once,
 * reconnect with backoff, Hello first.  zone_id is the hexadecimal one, NUL
 * at its end; it must live as long as the links.
 */
ngx_int_t ngx_goim_logic_init(ngx_goim_conf_t *gcf, const u_char *zone_id);

/*
 * Send a call (its id is set here).  *peer in: the instance to use if it is
 * up, or NGX_GOIM_LOGIC_ANY for round robin over those that are up; out: the
 * one taken.  The callback comes exactly once and never from inside this
 * call, unless cancelled.  NULL: no logic is up (or no memory); no callback.
 */
ngx_goim_call_t *ngx_goim_logic_call(struct Goim__Call *call,
    ngx_uint_t *peer, ngx_goim_logic_pt cb, void *data);

/* Nobody waits for a Connect any more: logic need not begin it.  Its callback
 * comes all the same. */
void ngx_goim_logic_abandon(ngx_goim_call_t *call);

/* Forget a call: its callback does not come; logic may still act on it. */
void ngx_goim_logic_cancel(ngx_goim_call_t *call);

ngx_uint_t ngx_goim_logic_up(void);     /* how many are connected */

/* none has been up yet, but this worker is so new that one may come */
ngx_uint_t ngx_goim_logic_starting(void);

/*
 * For shutdown: send what is queued, as far as the sockets take it, close the
 * links and stop reconnecting.  Calls without an answer fail, by an event.
 * Wait (within logic_timeout) until none is pending before calling it, or the
 * last Disconnects may be lost.  Allowed in callbacks.
 */
void ngx_goim_logic_close(void);


#endif /* _NGX_GOIM_LOGIC_H_INCLUDED_ */
