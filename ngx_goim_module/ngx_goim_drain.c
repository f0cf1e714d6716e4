
/*
 * Sessions are closed one after another, over the time that "drain" says, so
 * that their clients don't all come back in one moment: when this worker
 * leaves, and when the node was told to let everybody go.
 */


#include "ngx_goim_core.h"


static ngx_uint_t ngx_goim_drain_due(void);
static void ngx_goim_drain_next(void);


typedef struct {
    ngx_uint_t              begun;
    ngx_msec_t              end;
    ngx_msec_t              closed;         /* when the last ones were */
} ngx_goim_drain_t;


static ngx_goim_drain_t  ngx_goim_drain;


void
ngx_goim_drain_tick(void)
{
    ngx_uint_t         n;
    ngx_goim_drain_t  *d;

    d = &ngx_goim_drain;

    if (ngx_goim_conf->drain == 0
        || (!ngx_goim_slot->leaving && !ngx_goim_zone->drain))
    {
        d->begun = 0;
        return;
    }

    if (!d->begun) {
        d->begun = 1;
        d->closed = ngx_current_msec;
        d->end = ngx_current_msec + ngx_goim_conf->drain;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: closing %ui connections over %M ms",
                      ngx_goim_open(), ngx_goim_conf->drain);
    }

    n = ngx_goim_drain_due();

    if (n == 0) {
        return;
    }

    d->closed = ngx_current_msec;
    ngx_goim_count(drained, n);

    while (n--) {
        ngx_goim_drain_next();
    }
}


/* The share of those who are left that is the share of the time that is. */

static ngx_uint_t
ngx_goim_drain_due(void)
{
    uint64_t           passed;
    ngx_msec_int_t     left;
    ngx_goim_drain_t  *d;

    d = &ngx_goim_drain;

    left = (ngx_msec_int_t) (d->end - d->closed);
    passed = ngx_current_msec - d->closed;

    if (left <= 0 || passed >= (uint64_t) left) {
        return ngx_goim_open();
    }

    return ngx_goim_open() * passed / left;
}


/* The oldest one: those that are closing go to the end of the list. */

static void
ngx_goim_drain_next(void)
{
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    do {
        q = ngx_queue_head(&ngx_goim_sessions);
        s = ngx_queue_data(q, ngx_goim_session_t, attached);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_goim_sessions, q);

    } while (s->closing);

    ngx_goim_close(s, s->follow ? 1012 : 1001, "server is going away");
}
