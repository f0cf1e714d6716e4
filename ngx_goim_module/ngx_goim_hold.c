
/*
 * Two jobs write into one inbox, each a conversation's items, and may overtake
 * each other on their way to here.  An item ahead of the one that it follows is
 * held for a moment: that one comes, mostly, and both go out in order.  Without
 * it a Read is asked.  What is held is the timeline's, not of sessions.
 */


#include "ngx_goim_follow.h"


#define NGX_GOIM_HOLD_TIME      50              /* ms */
#define NGX_GOIM_HOLD_ITEMS     32              /* of an inbox */
#define NGX_GOIM_HOLD_BYTES     (1024 * 1024)   /* of all of a worker's */


typedef struct {
    goim_run_t             *run;
    ngx_msec_t              until;
} ngx_goim_held_t;


/* items of one epoch, in order */
typedef struct ngx_goim_hold_s {
    ngx_event_t             event;
    ngx_goim_timeline_t    *timeline;
    ngx_uint_t              n;
    ngx_goim_held_t         held[NGX_GOIM_HOLD_ITEMS];
} ngx_goim_hold_t;


static ngx_int_t ngx_goim_hold_put(ngx_goim_timeline_t *tl, goim_run_t *run);
static ngx_goim_hold_t *ngx_goim_hold_create(ngx_goim_timeline_t *tl);
static ngx_int_t ngx_goim_hold_first(ngx_goim_timeline_t *tl);
static void ngx_goim_hold_next(ngx_goim_timeline_t *tl);
static ngx_int_t ngx_goim_hold_all(ngx_goim_timeline_t *tl);
static void ngx_goim_hold_timer(ngx_goim_hold_t *hold);
static void ngx_goim_hold_handler(ngx_event_t *ev);


static size_t  ngx_goim_hold_bytes;


void
ngx_goim_hold_run(ngx_goim_timeline_t *tl, goim_run_t *run)
{
    if (tl->hold && tl->hold->held[0].run->epoch != run->epoch
        && ngx_goim_hold_all(tl) != NGX_OK)
    {
        return;
    }

    if (goim_timeline_ahead(&tl->timeline, run)
        && ngx_goim_hold_put(tl, run) == NGX_OK)
    {
        return;
    }

    if (goim_timeline_give(&tl->timeline, run) != GOIM_GONE) {
        ngx_goim_hold_next(tl);
    }
}


/* NGX_DECLINED: there is no place for it; one that is there comes once */

static ngx_int_t
ngx_goim_hold_put(ngx_goim_timeline_t *tl, goim_run_t *run)
{
    ngx_uint_t        i;
    ngx_goim_hold_t  *hold;

    if (run->held > NGX_GOIM_HOLD_BYTES - ngx_goim_hold_bytes) {
        return NGX_DECLINED;
    }

    hold = tl->hold ? tl->hold : ngx_goim_hold_create(tl);

    if (hold == NULL || hold->n == NGX_GOIM_HOLD_ITEMS) {
        return NGX_DECLINED;
    }

    for (i = hold->n; i; i--) {
        if (goim_run_last(hold->held[i - 1].run) == goim_run_last(run)) {
            return NGX_OK;
        }

        if (goim_run_last(hold->held[i - 1].run) < goim_run_last(run)) {
            break;
        }
    }

    ngx_memmove(&hold->held[i + 1], &hold->held[i],
                (hold->n - i) * sizeof(ngx_goim_held_t));

    run->refs++;
    hold->held[i].run = run;
    hold->held[i].until = ngx_current_msec + NGX_GOIM_HOLD_TIME;
    hold->n++;

    ngx_goim_hold_bytes += run->held;
    ngx_goim_count(inbox_ahead, 1);

    if (hold->n == 1) {
        ngx_goim_hold_timer(hold);
    }

    return NGX_OK;
}


static ngx_goim_hold_t *
ngx_goim_hold_create(ngx_goim_timeline_t *tl)
{
    ngx_goim_hold_t  *hold;

    hold = ngx_calloc(sizeof(ngx_goim_hold_t), ngx_cycle->log);
    if (hold == NULL) {
        return NULL;
    }

    hold->event.handler = ngx_goim_hold_handler;
    hold->event.log = ngx_cycle->log;
    hold->event.data = &ngx_goim_no_connection;
    hold->event.cancelable = 1;
    hold->timeline = tl;

    tl->hold = hold;

    return hold;
}


void
ngx_goim_hold_free(ngx_goim_timeline_t *tl)
{
    ngx_uint_t        i;
    ngx_goim_hold_t  *hold;

    hold = tl->hold;

    if (hold == NULL) {
        return;
    }

    for (i = 0; i < hold->n; i++) {
        ngx_goim_hold_bytes -= hold->held[i].run->held;
        goim_run_unref(&ngx_goim_timelines, hold->held[i].run);
    }

    if (hold->event.timer_set) {
        ngx_del_timer(&hold->event);
    }

    ngx_free(hold);
    tl->hold = NULL;
}


/* ---- what goes on ---- */

/* NGX_DONE: the timeline is gone */

static ngx_int_t
ngx_goim_hold_first(ngx_goim_timeline_t *tl)
{
    ngx_int_t         rc;
    goim_run_t       *run;
    ngx_goim_hold_t  *hold;

    hold = tl->hold;
    run = hold->held[0].run;

    hold->n--;
    ngx_memmove(&hold->held[0], &hold->held[1],
                hold->n * sizeof(ngx_goim_held_t));
    ngx_goim_hold_bytes -= run->held;

    if (hold->n == 0) {
        ngx_goim_hold_free(tl);
    }

    rc = goim_timeline_give(&tl->timeline, run) == GOIM_GONE ? NGX_DONE
                                                              : NGX_OK;
    goim_run_unref(&ngx_goim_timelines, run);

    return rc;
}


/* those that follow now; what else is held waits for its own time */

static void
ngx_goim_hold_next(ngx_goim_timeline_t *tl)
{
    while (tl->hold && !goim_timeline_ahead(&tl->timeline,
                                            tl->hold->held[0].run))
    {
        if (ngx_goim_hold_first(tl) != NGX_OK) {
            return;
        }
    }

    if (tl->hold) {
        ngx_goim_hold_timer(tl->hold);
    }
}


/* in order: who lacks what is before them reads */

static ngx_int_t
ngx_goim_hold_all(ngx_goim_timeline_t *tl)
{
    while (tl->hold) {
        if (ngx_goim_hold_first(tl) != NGX_OK) {
            return NGX_DONE;
        }
    }

    return NGX_OK;
}


/* ---- time ---- */

static void
ngx_goim_hold_timer(ngx_goim_hold_t *hold)
{
    ngx_uint_t      i;
    ngx_msec_int_t  left, first;

    first = NGX_GOIM_HOLD_TIME;

    for (i = 0; i < hold->n; i++) {
        left = (ngx_msec_int_t) (hold->held[i].until - ngx_current_msec);
        first = ngx_min(first, left);
    }

    /* one that is set is moved only by much */

    if (hold->event.timer_set) {
        ngx_del_timer(&hold->event);
    }

    ngx_add_timer(&hold->event, ngx_max(first, 1));
}


static void
ngx_goim_hold_handler(ngx_event_t *ev)
{
    ngx_goim_hold_t      *hold = (ngx_goim_hold_t *) ev;

    ngx_goim_timeline_t  *tl;

    tl = hold->timeline;

    ngx_goim_timelines_time();

    if (goim_timeline_ahead(&tl->timeline, hold->held[0].run)) {
        ngx_goim_count(inbox_alone, 1);
    }

    (void) ngx_goim_hold_all(tl);
}
