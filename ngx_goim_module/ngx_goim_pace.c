
/*
 * Broadcasts at a pace: so many connections a second, over all nodes.
 *
 * A worker's share of the pace is its sessions' share of all, so that all
 * workers of all nodes end together, after as many seconds as it takes.
 * Each broadcast has a marker in the list of all sessions and moves it on at
 * every tick.  One of the same operation never overtakes it: it goes no
 * further than the marker of the one ahead.  Others are not held up.
 *
 * What waits is bounded.  Beyond the bound nothing is lost: the oldest are
 * no longer paced, and the ring is left alone until they have gone.
 */


#include "ngx_goim_room.h"


#define NGX_GOIM_PACE_TICK      20              /* ms */
#define NGX_GOIM_PACE_LATE      200             /* ms made up for, at most */
#define NGX_GOIM_PACE_TURN      4096            /* sessions a tick, in all */

#define NGX_GOIM_PACE_MAX       1024            /* at a time */
#define NGX_GOIM_PACE_BYTES     (16 * 1024 * 1024)


typedef struct ngx_goim_pace_s  ngx_goim_pace_t;

struct ngx_goim_pace_s {
    ngx_queue_t             queue;      /* in the order of their beginning */
    ngx_goim_block_t       *block;
    ngx_goim_member_t       marker;     /* it came this far */
    ngx_goim_pace_t        *ahead;      /* not to be overtaken */
    uint64_t                rate;       /* thousandths of a session a second;
                                           0: no pace of its own */
    uint64_t                credit;     /* millionths of a session */
    ngx_msec_t              since;      /* until when credit is counted */
};


static ngx_goim_pace_t *ngx_goim_pace_last(int32_t operation);
static void ngx_goim_pace_handler(ngx_event_t *ev);
static ngx_uint_t ngx_goim_pace_hasten(ngx_uint_t left);
static void ngx_goim_pace_warn(void);
static ngx_uint_t ngx_goim_pace_excess(void);
static ngx_uint_t ngx_goim_pace_earned(ngx_goim_pace_t *p);
static ngx_uint_t ngx_goim_pace_serve(ngx_goim_pace_t *p, ngx_uint_t max);
static void ngx_goim_pace_end(ngx_goim_pace_t *p);


static ngx_queue_t  ngx_goim_paces;
static ngx_uint_t   ngx_goim_npaces;
static size_t       ngx_goim_pace_bytes;
static ngx_event_t  ngx_goim_pace_event;


void
ngx_goim_pace_init(ngx_log_t *log)
{
    ngx_queue_init(&ngx_goim_paces);

    ngx_goim_pace_event.handler = ngx_goim_pace_handler;
    ngx_goim_pace_event.log = log;
    ngx_goim_pace_event.data = &ngx_goim_no_connection;
    ngx_goim_pace_event.cancelable = 1;
}


/*
 * Nodes tell their numbers once a renewal: when this one alone has more than
 * all are known to have, the others have as many, for all we know.
 */

uint32_t
ngx_goim_pace_whole(Goim__Record *r)
{
    uint64_t    n;
    ngx_uint_t  i;

    n = 0;

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        if (ngx_goim_zone->slots[i].pid) {
            n += ngx_goim_zone->slots[i].authorized;
        }
    }

    if (n > r->sessions) {
        n *= ngx_max(r->nodes, 1);

    } else {
        n = r->sessions;
    }

    return (uint32_t) ngx_min(n, NGX_MAX_UINT32_VALUE);
}


size_t
ngx_goim_pace_held(void)
{
    return ngx_min(ngx_goim_pace_bytes, NGX_GOIM_PACE_BYTES);
}


ngx_uint_t
ngx_goim_pace_wanted(ngx_goim_block_t *block)
{
    return block->record.speed || ngx_goim_pace_last(block->record.operation);
}


static ngx_goim_pace_t *
ngx_goim_pace_last(int32_t operation)
{
    ngx_queue_t      *q;
    ngx_goim_pace_t  *p;

    for (q = ngx_queue_last(&ngx_goim_paces);
         q != ngx_queue_sentinel(&ngx_goim_paces);
         q = ngx_queue_prev(q))
    {
        p = ngx_queue_data(q, ngx_goim_pace_t, queue);

        if (p->block->record.operation == operation) {
            return p;
        }
    }

    return NULL;
}


ngx_int_t
ngx_goim_pace_start(ngx_goim_block_t *block)
{
    ngx_goim_pace_t  *p;

    p = ngx_calloc(sizeof(ngx_goim_pace_t), ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p->block = block;
    p->ahead = ngx_goim_pace_last(block->record.operation);
    p->since = ngx_current_msec;

    if (block->record.speed) {
        p->rate = (uint64_t) block->record.speed * 1000
                  * ngx_goim_room_all.count
                  / ngx_max(block->record.whole, 1);
        p->rate = ngx_max(p->rate, 1);

        /* slow ones of many workers do not step together */

        p->credit = ngx_random() % 1000000;
    }

    ngx_queue_insert_head(&ngx_goim_room_all.members, &p->marker.queue);
    ngx_queue_insert_tail(&ngx_goim_paces, &p->queue);

    ngx_goim_npaces++;
    ngx_goim_pace_bytes += block->held;

    if (!ngx_goim_pace_event.timer_set) {
        ngx_add_timer(&ngx_goim_pace_event, NGX_GOIM_PACE_TICK);
    }

    return NGX_OK;
}


static void
ngx_goim_pace_handler(ngx_event_t *ev)
{
    ngx_uint_t        n, left;
    ngx_queue_t      *q, *next;
    ngx_goim_pace_t  *p;

    left = ngx_goim_pace_hasten(NGX_GOIM_PACE_TURN);

    for (q = ngx_queue_head(&ngx_goim_paces);
         q != ngx_queue_sentinel(&ngx_goim_paces);
         q = next)
    {
        next = ngx_queue_next(q);
        p = ngx_queue_data(q, ngx_goim_pace_t, queue);

        n = p->rate ? ngx_goim_pace_earned(p) : left;
        n = ngx_goim_pace_serve(p, ngx_min(n, left));
        left -= n;
    }

    if (ngx_goim_npaces) {
        ngx_add_timer(ev, ngx_goim_pace_excess() ? 1 : NGX_GOIM_PACE_TICK);
    }
}


/* the oldest go at once while there are too many */

static ngx_uint_t
ngx_goim_pace_hasten(ngx_uint_t left)
{
    ngx_goim_pace_t  *p;

    while (left && ngx_goim_pace_excess()) {
        p = ngx_queue_data(ngx_queue_head(&ngx_goim_paces), ngx_goim_pace_t,
                           queue);

        if (p->rate) {
            p->rate = 0;
            ngx_goim_count(unpaced, 1);
            ngx_goim_pace_warn();
        }

        left -= ngx_goim_pace_serve(p, left);
    }

    return left;
}


static void
ngx_goim_pace_warn(void)
{
    static time_t  said;

    if (said && ngx_time() - said < 60) {
        return;
    }

    said = ngx_time();

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "goim: %ui broadcasts with a speed, %uz bytes, are on "
                  "their way: the oldest are hastened", ngx_goim_npaces,
                  ngx_goim_pace_bytes);
}


static ngx_uint_t
ngx_goim_pace_excess(void)
{
    return ngx_goim_npaces > NGX_GOIM_PACE_MAX
           || ngx_goim_pace_bytes > NGX_GOIM_PACE_BYTES;
}


static ngx_uint_t
ngx_goim_pace_earned(ngx_goim_pace_t *p)
{
    uint64_t    most;
    ngx_msec_t  passed;

    passed = ngx_current_msec - p->since;
    p->since = ngx_current_msec;

    most = ngx_max(p->rate * NGX_GOIM_PACE_LATE, 1000000);
    p->credit += p->rate * ngx_min(passed, NGX_GOIM_PACE_LATE);
    p->credit = ngx_min(p->credit, most);

    return (ngx_uint_t) (p->credit / 1000000);
}


/* returns the number of sessions served, at most max; p may be gone */

static ngx_uint_t
ngx_goim_pace_serve(ngx_goim_pace_t *p, ngx_uint_t max)
{
    ngx_uint_t    left;
    ngx_queue_t  *q, *end;

    if (max == 0) {
        return 0;
    }

    end = p->ahead ? &p->ahead->marker.queue
                   : ngx_queue_sentinel(&ngx_goim_room_all.members);

    q = ngx_queue_next(&p->marker.queue);
    ngx_queue_remove(&p->marker.queue);

    left = max;
    q = ngx_goim_fanout_send(p->block, q, end, &left);

    if (q == end && p->ahead == NULL) {
        ngx_goim_pace_end(p);
        return max - left;
    }

    ngx_queue_insert_tail(q, &p->marker.queue);

    if (p->rate) {
        p->credit -= (uint64_t) (max - left) * 1000000;
    }

    return max - left;
}


static void
ngx_goim_pace_end(ngx_goim_pace_t *p)
{
    ngx_queue_t      *q;
    ngx_goim_pace_t  *next;

    for (q = ngx_queue_next(&p->queue);
         q != ngx_queue_sentinel(&ngx_goim_paces);
         q = ngx_queue_next(q))
    {
        next = ngx_queue_data(q, ngx_goim_pace_t, queue);

        if (next->ahead == p) {
            next->ahead = NULL;
            break;
        }
    }

    ngx_queue_remove(&p->queue);
    ngx_goim_npaces--;
    ngx_goim_pace_bytes -= p->block->held;

    ngx_goim_block_free(p->block);
    ngx_free(p);
}
