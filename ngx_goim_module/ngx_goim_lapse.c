
/*
 * The node was not heard of for its ttl, because it was stopped or cut off,
 * and job took it for gone: what was for it meanwhile was counted at best.
 * Nobody can say which clients were meant, so all that were there are closed,
 * and come back.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_LAPSE_TURN     500         /* sessions a tick */


/* the lapses that this worker's sessions know of */
static ngx_atomic_uint_t  ngx_goim_lapses;


void
ngx_goim_lapse_init(void)
{
    ngx_goim_lapses = ngx_goim_zone->registration.lapses;
}


/*
 * Job counts for a server what it does not append, and the sum only grows; a
 * smaller one began anew with Redis.  It may count some more that it took
 * before it saw the node again, but nothing that was accepted later: sessions
 * that came after the registration have missed nothing.
 */

void
ngx_goim_lapse_check(const Goim__Registered *in, ngx_msec_t sent)
{
    uint64_t                  missed;
    ngx_goim_registration_t  *reg;

    reg = &ngx_goim_zone->registration;

    missed = 0;

    if (reg->seen) {
        missed = in->missed < reg->missed ? in->missed
                                          : in->missed - reg->missed;
    }

    if (!ngx_goim_registered()
        || ((missed || in->lapsed) && sent - reg->anew > in->ttl))
    {
        reg->anew = sent;
        reg->anew_session = ngx_goim_zone->session;
    }

    reg->missed = in->missed;
    reg->seen = in->seen;

    if (missed == 0 && !in->lapsed) {
        return;
    }

    ngx_goim_count(lapses, 1);
    ngx_goim_suspect();
    ngx_goim_count(lapse_records, missed);

    if (missed) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: node \"%V\" was not heard of in time and missed "
                      "%uL records: clients from before are closed",
                      &ngx_goim_conf->server_id, missed);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: node \"%V\" was forgotten and may have missed "
                      "messages: clients from before are closed",
                      &ngx_goim_conf->server_id);
    }

    reg->lapse_session = reg->anew_session;
    ngx_memory_barrier();
    reg->lapses++;
}


/* Some at a time: those who are closed come back at once. */

void
ngx_goim_lapse_tick(void)
{
    uint64_t             newest;
    ngx_uint_t           n;
    ngx_queue_t         *q, *next;
    ngx_atomic_uint_t    lapses;
    ngx_goim_session_t  *s;

    lapses = ngx_goim_zone->registration.lapses;

    if (lapses == ngx_goim_lapses) {
        return;
    }

    newest = ngx_goim_zone->registration.lapse_session;
    n = 0;

    for (q = ngx_queue_head(&ngx_goim_sessions);
         q != ngx_queue_sentinel(&ngx_goim_sessions);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_goim_session_t, attached);

        if (!s->authorized || s->closing || s->id > newest) {
            continue;
        }

        if (++n > NGX_GOIM_LAPSE_TURN) {
            return;
        }

        ngx_goim_count(lapse_closed, 1);
        ngx_goim_close(s, 1012, "messages were missed");
    }

    ngx_goim_lapses = lapses;
}
