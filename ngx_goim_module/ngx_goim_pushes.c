
/*
 * Sessions that know nothing of inboxes follow what was pushed to their users and
 * stored, and get it as any push: where their device was is for logic to know.
 * How much they have had is told to it, now and then, and when they end.
 */


#include "ngx_goim_follow.h"

#if (NGX_LINUX)
#include <linux/sockios.h>
#endif


#define NGX_GOIM_PUSHES_EVERY   10000       /* ms */


typedef struct {
    ngx_goim_follower_t     follower;
    ngx_queue_t             queue;      /* of those with news; waits: in it */
    uint64_t                came;       /* so much it had before */
    ngx_uint_t              waits;
} ngx_goim_pushes_t;


static ngx_uint_t ngx_goim_pushes_drained(ngx_goim_session_t *s);
static void ngx_goim_pushes_news(ngx_goim_pushes_t *pushes);
static void ngx_goim_pushes_handler(ngx_event_t *ev);
static void ngx_goim_pushes_tell(Goim__Session **sessions, ngx_uint_t n);


static ngx_queue_t   ngx_goim_pushes_queue;
static ngx_event_t   ngx_goim_pushes_event;


void
ngx_goim_pushes_init(void)
{
    ngx_queue_init(&ngx_goim_pushes_queue);

    ngx_goim_pushes_event.handler = ngx_goim_pushes_handler;
    ngx_goim_pushes_event.log = ngx_cycle->log;
    ngx_goim_pushes_event.data = &ngx_goim_no_connection;
    ngx_goim_pushes_event.cancelable = 1;
}


ngx_int_t
ngx_goim_pushes_enter(ngx_goim_session_t *s, const Goim__Connected *in)
{
    goim_epoch_t         *epoch;
    ngx_goim_pushes_t    *pushes;
    ngx_goim_timeline_t  *tl;

    tl = NULL;
    pushes = ngx_calloc(sizeof(ngx_goim_pushes_t), ngx_cycle->log);
    epoch = goim_epoch_get(&ngx_goim_timelines.epochs, in->epoch,
                           ngx_strlen(in->epoch));

    if (pushes && epoch) {
        tl = ngx_goim_inbox_join(-s->mid);
    }

    if (tl == NULL) {
        goim_epoch_unref(&ngx_goim_timelines.epochs, epoch);

        if (pushes) {
            ngx_free(pushes);
        }

        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    pushes->came = in->acked;
    pushes->follower.session = s;
    s->inbox = &pushes->follower;

    ngx_goim_timelines_time();

    goim_follow_join(&s->inbox->place, &tl->timeline, epoch, in->acked, 0);
    goim_epoch_unref(&ngx_goim_timelines.epochs, epoch);

    return NGX_OK;
}


void
ngx_goim_pushes_leave(ngx_goim_follower_t *f)
{
    ngx_goim_pushes_t  *pushes = (ngx_goim_pushes_t *) f;

    if (pushes->waits) {
        ngx_queue_remove(&pushes->queue);
    }
}


/* ---- what it gets ---- */

/* All of them but what it does not accept. */

int
ngx_goim_pushes_send(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to)
{
    uint32_t             end;
    ngx_goim_session_t  *s;

    s = ((ngx_goim_follower_t *) f)->session;

    ngx_goim_pushes_news((ngx_goim_pushes_t *) f);

    while (from < to) {
        for (end = from;
             end < to && ngx_goim_session_accepts(s, ngx_goim_run_op(run, end));
             end++)
        {
            /* void */
        }

        if (end > from && ngx_goim_follow_part(f, run, from, end) != 0) {
            return GOIM_GONE;
        }

        ngx_goim_count(filtered, end < to);

        from = end + 1;
    }

    return 0;
}


/* ---- how much it has had ---- */

/* Its system has all that was sent, as far as can be known here. */

static ngx_uint_t
ngx_goim_pushes_drained(ngx_goim_session_t *s)
{
#if (NGX_LINUX)
    int  n;

    if (ioctl(s->connection->fd, SIOCOUTQ, &n) == 0 && n > 0) {
        return 0;
    }
#endif

    return s->queued == 0 && !s->connection->buffered;
}


static void
ngx_goim_pushes_news(ngx_goim_pushes_t *pushes)
{
    if (pushes->waits) {
        return;
    }

    pushes->waits = 1;
    ngx_queue_insert_tail(&ngx_goim_pushes_queue, &pushes->queue);

    if (!ngx_goim_pushes_event.timer_set) {
        ngx_add_timer(&ngx_goim_pushes_event, NGX_GOIM_PUSHES_EVERY);
    }
}


ngx_uint_t
ngx_goim_pushes_acked(ngx_goim_session_t *s, ngx_goim_acked_t *acked)
{
    goim_follow_t  *place;

    ngx_memzero(acked, sizeof(ngx_goim_acked_t));

    if (s->inbox == NULL || !ngx_goim_follows_pushes(s->inbox)) {
        return 0;
    }

    place = &s->inbox->place;

    if (place->epoch == NULL
        || place->last <= ((ngx_goim_pushes_t *) s->inbox)->came
        || !ngx_goim_pushes_drained(s))
    {
        return 0;
    }

    acked->seq = place->last;
    ngx_memcpy(acked->epoch, place->epoch->word, place->epoch->len);

    return 1;
}


/* Those whose connection is slow are told of next time; and all of them once
   more when they end, so that nothing is lost with a call. */

static void
ngx_goim_pushes_handler(ngx_event_t *ev)
{
    ngx_uint_t           n;
    ngx_queue_t         *q, *next;
    ngx_goim_pushes_t   *pushes;
    ngx_goim_session_t  *s;

    static Goim__Session      sessions[GOIM_SESSIONS_CALL];
    static Goim__Session     *list[GOIM_SESSIONS_CALL];
    static ngx_goim_acked_t   acked[GOIM_SESSIONS_CALL];

    n = 0;

    for (q = ngx_queue_head(&ngx_goim_pushes_queue);
         q != ngx_queue_sentinel(&ngx_goim_pushes_queue);
         q = next)
    {
        next = ngx_queue_next(q);
        pushes = ngx_queue_data(q, ngx_goim_pushes_t, queue);
        s = pushes->follower.session;

        if (!ngx_goim_pushes_acked(s, &acked[n])) {
            continue;
        }

        goim__session__init(&sessions[n]);
        sessions[n].mid = s->mid;
        sessions[n].session = s->id;
        sessions[n].key.data = s->key.data;
        sessions[n].key.len = s->key.len;
        sessions[n].epoch = acked[n].epoch;
        sessions[n].acked = acked[n].seq;
        list[n] = &sessions[n];
        n++;

        ngx_queue_remove(q);
        pushes->waits = 0;

        if (n == GOIM_SESSIONS_CALL) {
            ngx_goim_pushes_tell(list, n);
            n = 0;
        }
    }

    if (n) {
        ngx_goim_pushes_tell(list, n);
    }

    if (!ngx_queue_empty(&ngx_goim_pushes_queue)) {
        ngx_add_timer(ev, NGX_GOIM_PUSHES_EVERY);
    }
}


static void
ngx_goim_pushes_tell(Goim__Session **sessions, ngx_uint_t n)
{
    Goim__Call  call;
    Goim__Seen  seen;
    ngx_uint_t  peer;

    goim__call__init(&call);
    goim__seen__init(&seen);

    call.call_case = GOIM__CALL__CALL_SEEN;
    call.seen = &seen;
    seen.sessions = sessions;
    seen.n_sessions = n;

    peer = NGX_GOIM_LOGIC_ANY;

    (void) ngx_goim_logic_call(&call, &peer, ngx_goim_ignore_reply, NULL);
}
