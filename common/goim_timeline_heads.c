/*
 * Suspicion: what got lost on its way to this worker without a trace shows in
 * the heads. A head that did not come by within two seconds is not on its way.
 */

#include "common/goim_timeline_int.h"


static void goim_timeline_expect(goim_timeline_t *tl);
static void goim_timelines_round(goim_timelines_t *w);
static void goim_heads_again(goim_timelines_t *w);


void
goim_timelines_suspect(goim_timelines_t *w)
{
    uint32_t  at;

    at = w->round_began + GOIM_HEADS_AGAIN;

    if (goim_time_left(w, at) <= 0) {
        at = w->now;
    }

    if ((int32_t) (w->round_at - at) > 0) {
        w->round_at = at;
        goim_timelines_wake(w);
    }
}


/* ---- what was heard of a timeline ---- */

void
goim_timeline_heard(goim_timeline_t *tl, goim_epoch_t *epoch, uint64_t head,
    uint64_t begun)
{
    goim_timelines_t  *w;

    w = tl->timelines;

    if (epoch != tl->epoch) {

        /* its own came by after this was asked for: it may be the newer one */

        if (begun < tl->epoch_at) {
            return;
        }

        goim_epoch_unref(&w->epochs, tl->epoch);
        tl->epoch = goim_epoch_ref(epoch);
        tl->began = head;
        tl->head = 0;
        tl->taken = 0;
        tl->back = 0;
        goim_link_remove(&tl->shorts);
        goim_timeline_behind(tl, epoch, 0);
    }

    if (begun > tl->epoch_at) {
        tl->epoch_at = begun;
    }

    if (head > tl->head) {
        tl->head = head;
        tl->head_at = ++w->tick;
    }

    if (epoch && head > tl->taken) {
        goim_timeline_expect(tl);
    }
}


void
goim_timeline_behind(goim_timeline_t *tl, goim_epoch_t *epoch, uint64_t seq)
{
    goim_link_t    *l, *next;
    goim_follow_t  *f;

    for (l = tl->followers.next; l != &tl->followers; l = next) {
        next = l->next;
        f = goim_link_data(l, goim_follow_t, link);

        if (f->epoch != epoch || f->last < seq) {
            goim_follow_lost(f);
        }
    }
}


/* the oldest expectation counts, so that a busy timeline is no excuse */

static void
goim_timeline_expect(goim_timeline_t *tl)
{
    goim_timelines_t  *w;

    w = tl->timelines;

    if (!goim_link_empty(&tl->shorts)) {
        return;
    }

    tl->expected = tl->head;
    tl->expected_since = w->now;
    goim_link_move(&w->shorts, &tl->shorts);
    goim_timelines_wake(w);
}


void
goim_timelines_shorts(goim_timelines_t *w)
{
    goim_timeline_t  *tl;

    while (!goim_link_empty(&w->shorts)) {
        tl = goim_link_data(w->shorts.next, goim_timeline_t, shorts);

        if (w->now - tl->expected_since < GOIM_SHORT_MAX) {
            return;
        }

        goim_link_remove(&tl->shorts);

        if (tl->taken < tl->expected) {
            tl->taken = tl->expected;
            goim_timeline_behind(tl, tl->epoch, tl->expected);
        }

        if (tl->taken < tl->head) {
            goim_timeline_expect(tl);
        }
    }
}


/* ---- asking ---- */

void
goim_timelines_heads(goim_timelines_t *w)
{
    goim_heads_t     *h;
    goim_timeline_t  *tl;

    h = &w->heads;

    if (h->n) {
        return;
    }

    if (goim_link_empty(&w->asking)) {
        if (goim_time_left(w, w->round_at) > 0) {
            return;
        }

        goim_timelines_round(w);
    }

    if (goim_time_left(w, w->heads_at) > 0) {
        return;
    }

    while (!goim_link_empty(&w->asking) && h->n < GOIM_HEADS_MAX) {
        tl = goim_link_data(w->asking.next, goim_timeline_t, heads);

        if (!tl->known) {
            goim_link_move(&w->all, &tl->heads);
            continue;
        }

        goim_link_remove(&tl->heads);
        h->of[h->n++] = tl;
    }

    if (h->n == 0) {
        return;
    }

    h->timelines = w;
    h->begun = ++w->tick;

    if (w->ops->heads(h) != 0) {
        goim_heads_again(w);
    }
}


static void
goim_timelines_round(goim_timelines_t *w)
{
    w->round_began = w->now;
    w->heads_at = w->now;
    w->round_at = w->now + goim_timelines_jitter(w, GOIM_HEADS_EVERY * 3 / 4,
                                                 GOIM_HEADS_EVERY / 2);

    goim_link_join(&w->asking, &w->all);
}


void
goim_heads_answer(goim_heads_t *h, uint32_t i, goim_head_status_e status,
    goim_epoch_t *epoch, uint64_t head)
{
    goim_timeline_t  *tl;

    tl = i < h->n ? h->of[i] : NULL;

    if (tl == NULL) {
        return;
    }

    h->of[i] = NULL;
    goim_link_move(&h->timelines->all, &tl->heads);

    if (status == GOIM_HEAD_OK && epoch) {
        goim_timeline_heard(tl, epoch, head, h->begun);

    } else if (status == GOIM_HEAD_NONE) {
        goim_timeline_heard(tl, NULL, 0, h->begun);

    } else if (tl->epoch_at <= h->begun) {

        /* those who were told that there is no history, too */

        goim_timeline_behind(tl, NULL, 1);
    }
}


void
goim_heads_done(goim_heads_t *h)
{
    uint32_t  i;

    for (i = 0; i < h->n; i++) {
        if (h->of[i]) {
            goim_heads_again(h->timelines);
            return;
        }
    }

    h->n = 0;

    if (!goim_link_empty(&h->timelines->asking)) {
        goim_timelines_wake(h->timelines);
    }
}


static void
goim_heads_again(goim_timelines_t *w)
{
    uint32_t       i;
    goim_heads_t  *h;

    h = &w->heads;

    for (i = 0; i < h->n; i++) {
        if (h->of[i]) {
            goim_link_move(&w->asking, &h->of[i]->heads);
            h->of[i] = NULL;
        }
    }

    h->n = 0;
    w->heads_at = w->now + goim_timelines_jitter(w, GOIM_HEADS_AGAIN,
                                                 GOIM_HEADS_AGAIN);
}
