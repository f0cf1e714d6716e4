
/*
 * Inboxes of users: a timeline each, which their sessions follow that recover
 * and have messages between people. It lies in a database of logic's and job's;
 * here it is like that of a room, but for whose it is: nobody chooses it, the
 * session's mid does.
 */


#include "ngx_goim_follow.h"


typedef struct {
    ngx_goim_timeline_t     tl;
    ngx_goim_entry_t        entry;
    ngx_str_t               key;            /* the bytes of tl.mid */
} ngx_goim_inbox_t;


static ngx_goim_timeline_t *ngx_goim_inbox_find(int64_t mid);


static ngx_goim_index_t  ngx_goim_inboxes;


ngx_int_t
ngx_goim_inboxes_init(ngx_log_t *log)
{
    return ngx_goim_index_init(&ngx_goim_inboxes, ngx_goim_zone->seed, log);
}


/* ---- timelines ---- */

static ngx_goim_timeline_t *
ngx_goim_inbox_find(int64_t mid)
{
    ngx_goim_entry_t  *entry;

    entry = ngx_goim_index_find(&ngx_goim_inboxes, (u_char *) &mid,
                                sizeof(int64_t));

    if (entry == NULL) {
        return NULL;
    }

    return &(ngx_queue_data(entry, ngx_goim_inbox_t, entry))->tl;
}


ngx_goim_timeline_t *
ngx_goim_inbox_join(int64_t mid)
{
    ngx_goim_inbox_t     *inbox;
    ngx_goim_timeline_t  *tl;

    tl = ngx_goim_inbox_find(mid);

    if (tl == NULL) {
        inbox = ngx_calloc(sizeof(ngx_goim_inbox_t), ngx_cycle->log);
        if (inbox == NULL) {
            return NULL;
        }

        tl = &inbox->tl;
        tl->mid = mid;

        inbox->key.len = sizeof(int64_t);
        inbox->key.data = (u_char *) &tl->mid;
        inbox->entry.key = &inbox->key;

        ngx_goim_index_add(&ngx_goim_inboxes, &inbox->entry);
        ngx_goim_timeline_open(tl);

        tl->timeline.goes_on = 1;
    }

    tl->followers++;

    return tl;
}


void
ngx_goim_inbox_gone(ngx_goim_timeline_t *tl)
{
    ngx_goim_inbox_t  *inbox = (ngx_goim_inbox_t *) tl;

    ngx_goim_index_delete(&ngx_goim_inboxes, &inbox->entry);
}


/* ---- sessions ---- */

/*
 * Its key is known to logic before this, so what is stored from now on comes
 * here, or is in what is read.
 */

ngx_int_t
ngx_goim_inbox_enter(ngx_goim_session_t *s, ngx_goim_was_t *was)
{
    ngx_goim_follower_t  *f;
    ngx_goim_timeline_t  *tl;

    f = ngx_calloc(sizeof(ngx_goim_follower_t), ngx_cycle->log);
    tl = f ? ngx_goim_inbox_join(s->mid) : NULL;

    if (tl == NULL) {
        if (f) {
            ngx_free(f);
        }

        ngx_goim_was_free(was);
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    f->session = s;
    s->inbox = f;

    ngx_goim_timelines_time();

    goim_follow_join(&f->place, &tl->timeline, was->epoch, was->seq,
                     was->newest);

    ngx_goim_was_free(was);
    ngx_goim_follow_hold(s);

    return NGX_OK;
}


void
ngx_goim_inbox_leave(ngx_goim_session_t *s)
{
    ngx_goim_timeline_t  *tl;

    if (s->inbox == NULL) {
        return;
    }

    tl = (ngx_goim_timeline_t *) s->inbox->place.timeline;

    if (tl->mid < 0) {
        ngx_goim_pushes_leave(s->inbox);
    }

    ngx_goim_timelines_time();

    goim_follow_leave(&s->inbox->place);
    ngx_goim_timeline_leave(tl);

    ngx_free(s->inbox);
    s->inbox = NULL;

    ngx_goim_follow_hold(s);
}


/* What its token lets it: may be another one than before. */

ngx_int_t
ngx_goim_inbox_token(ngx_goim_session_t *s, ngx_uint_t may)
{
    ngx_goim_was_t  was;

    if (s->follow == NULL || s->mid <= 0
        || (s->inbox && !ngx_goim_follows_pushes(s->inbox)) == may)
    {
        return NGX_OK;
    }

    ngx_goim_inbox_leave(s);

    if (!may) {
        return NGX_OK;
    }

    ngx_memzero(&was, sizeof(ngx_goim_was_t));

    return ngx_goim_inbox_enter(s, &was);
}


/* ---- live items ---- */

/* For all who follow it, whatever keys it came for. Without memory for it they
   are behind. */

void
ngx_goim_inbox_came(ngx_goim_record_t *rec, ngx_str_t *word)
{
    goim_run_t           *run;
    goim_epoch_t         *epoch;
    ngx_goim_timeline_t  *tl;

    tl = ngx_goim_inbox_find((int64_t) rec->session);

    if (tl == NULL) {
        return;
    }

    ngx_goim_timelines_time();

    run = NULL;
    epoch = goim_epoch_get(&ngx_goim_timelines.epochs, word->data, word->len);

    if (epoch) {
        run = ngx_goim_run_make(epoch, rec->seq, 1, (u_char *) rec + rec->inner,
                                rec->end - rec->inner, tl->mid > 0);
        goim_epoch_unref(&ngx_goim_timelines.epochs, epoch);
    }

    if (run == NULL) {
        goim_timeline_lost(&tl->timeline);
        return;
    }

    if (rec->gap < rec->seq) {
        run->follows -= rec->gap;
    }

    ngx_goim_hold_run(tl, run);
    goim_run_unref(&ngx_goim_timelines, run);
}


/*
 * What is pushed and stored comes twice: as an item, for who follows the inbox,
 * and as it is, for all others.
 */

ngx_uint_t
ngx_goim_inbox_has(ngx_goim_session_t *s, ngx_goim_record_t *rec)
{
    return rec->followers
           || (s->inbox && (!ngx_goim_follows_pushes(s->inbox)
                            || (int64_t) rec->session < 0));
}
