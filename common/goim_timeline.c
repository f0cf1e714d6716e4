/*
 * A worker's timelines: what comes by is noted, what is missing is read, once
 * for all who lack it.
 *
 * One Read of a timeline is under way at a time; its answer serves all who were
 * behind before it began. What arrives meanwhile is kept: it is what follows
 * the answer. Those who are behind when a Read begins make a round, and its
 * pages follow each other at once; who comes later waits for the next round,
 * 50 ms after this one began.
 */

#include "common/goim_timeline_int.h"

#include <string.h>


static void goim_timeline_keep(goim_timeline_t *tl, goim_run_t *run);
static void goim_timeline_forget(goim_timeline_t *tl);
static void goim_timeline_again(goim_timeline_t *tl);
static void goim_timeline_free(goim_timeline_t *tl);
static goim_link_t *goim_timelines_next(const goim_timelines_t *w);
static int goim_timeline_begin(goim_timeline_t *tl);
static void goim_timeline_page(goim_timeline_t *tl, goim_read_t *r);
static void goim_read_done(goim_read_t *r);
static int goim_answer_sane(const goim_answer_t *a);
static int goim_timeline_back(goim_timeline_t *tl, const goim_answer_t *a);
static void goim_timeline_serve(goim_timeline_t *tl, const goim_answer_t *a);
static int goim_timeline_unfinished(goim_timeline_t *tl);


void
goim_timelines_init(goim_timelines_t *w, const goim_timelines_ops_t *ops,
    uint32_t now, const uint64_t seed[2])
{
    uint32_t  i;

    memset(w, 0, sizeof(goim_timelines_t));

    w->ops = ops;
    w->now = now;
    w->slot = now / GOIM_WHEEL_STEP;
    w->random = (seed[0] ^ seed[1]) | 1;

    goim_epochs_init(&w->epochs, ops->alloc, ops->free, seed);

    goim_link_init(&w->ready);
    goim_link_init(&w->more);
    goim_link_init(&w->all);
    goim_link_init(&w->asking);
    goim_link_init(&w->shorts);

    for (i = 0; i < GOIM_WHEEL_SLOTS; i++) {
        goim_link_init(&w->wheel[i]);
        goim_link_init(&w->wheel_later[i]);
    }

    w->round_began = now;
    w->heads_at = now;
    w->round_at = now + goim_timelines_jitter(w, GOIM_HEADS_EVERY * 3 / 4,
                                              GOIM_HEADS_EVERY / 2);
}


void
goim_timelines_free(goim_timelines_t *w)
{
    goim_epochs_free(&w->epochs);
}


void
goim_timelines_wake(goim_timelines_t *w)
{
    if (!w->woken) {
        w->woken = 1;
        w->ops->wake(w);
    }
}


uint32_t
goim_timelines_run(goim_timelines_t *w)
{
    int32_t           left;
    uint32_t          next;
    goim_timeline_t  *tl;

    w->woken = 1;       /* all that is wanted from now on is done here */

    goim_timelines_turn(w);
    goim_timelines_shorts(w);
    goim_timelines_heads(w);
    goim_timelines_read(w);

    w->woken = 0;

    next = goim_timelines_left(w);

    if (goim_timelines_next(w) != NULL && next > GOIM_READ_AGAIN) {
        next = GOIM_READ_AGAIN;
    }

    if (w->heads.n == 0) {
        left = goim_time_left(w, goim_link_empty(&w->asking) ? w->round_at
                                                             : w->heads_at);
        next = left < 1 ? 1 : (uint32_t) left < next ? (uint32_t) left : next;
    }

    if (!goim_link_empty(&w->shorts)) {
        tl = goim_link_data(w->shorts.next, goim_timeline_t, shorts);
        left = goim_time_left(w, tl->expected_since + GOIM_SHORT_MAX);
        next = left < 1 ? 1 : (uint32_t) left < next ? (uint32_t) left : next;
    }

    return next;
}


/* ---- a timeline comes and goes ---- */

void
goim_timeline_open(goim_timelines_t *w, goim_timeline_t *tl, int known)
{
    memset(tl, 0, sizeof(goim_timeline_t));

    tl->timelines = w;
    tl->kept_end = &tl->kept;
    tl->not_before = w->now;
    tl->known = known != 0;

    goim_link_init(&tl->followers);
    goim_link_init(&tl->waiting);
    goim_link_init(&tl->link);
    goim_link_init(&tl->heads);
    goim_link_init(&tl->shorts);

    goim_link_move(&w->all, &tl->heads);
}


void
goim_timeline_close(goim_timeline_t *tl)
{
    tl->closed = 1;

    if (tl->busy == 0) {
        goim_timeline_free(tl);
    }
}


static void
goim_timeline_free(goim_timeline_t *tl)
{
    uint32_t           i;
    goim_timelines_t  *w;

    w = tl->timelines;

    goim_timeline_forget(tl);

    if (tl->read) {
        tl->read->timeline = NULL;
    }

    for (i = 0; i < w->heads.n; i++) {
        if (w->heads.of[i] == tl) {
            w->heads.of[i] = NULL;
        }
    }

    goim_link_remove(&tl->link);
    goim_link_remove(&tl->heads);
    goim_link_remove(&tl->shorts);
    goim_epoch_unref(&w->epochs, tl->epoch);

    w->ops->timeline_free(tl);
}


void
goim_timeline_known(goim_timeline_t *tl, int known)
{
    if (!known) {
        tl->known = 0;
        return;
    }

    if (tl->known) {
        return;
    }

    tl->known = 1;
    goim_timeline_want(tl);

    if (!goim_link_empty(&tl->followers)) {
        goim_timelines_suspect(tl->timelines);
    }
}


/* ---- what comes by ---- */

void
goim_run_unref(goim_timelines_t *w, goim_run_t *run)
{
    if (--run->refs == 0) {
        w->ops->run_free(run);
    }
}


void
goim_timeline_arrived(goim_timeline_t *tl, goim_run_t *run)
{
    uint64_t           last;
    goim_timelines_t  *w;

    w = tl->timelines;
    last = goim_run_last(run);
    run->arrived = ++w->tick;

    /* each session finds out for itself that this is another epoch */

    if (run->epoch != tl->epoch) {
        goim_epoch_unref(&w->epochs, tl->epoch);
        tl->epoch = goim_epoch_ref(run->epoch);
        tl->began = run->follows;
        tl->head = 0;
        tl->taken = 0;
        tl->back = 0;
        goim_link_remove(&tl->shorts);
    }

    tl->epoch_at = run->arrived;

    if (last > tl->head) {
        tl->head = last;
        tl->head_at = run->arrived;
    }

    if (last > tl->taken) {
        tl->taken = last;
    }

    if (tl->read) {
        goim_timeline_keep(tl, run);
    }
}


int
goim_timeline_give(goim_timeline_t *tl, goim_run_t *run)
{
    goim_link_t     list;
    goim_follow_t  *f;

    goim_timeline_arrived(tl, run);

    goim_link_init(&list);
    goim_link_join(&list, &tl->followers);

    tl->busy++;

    while (!goim_link_empty(&list)) {
        f = goim_link_data(list.next, goim_follow_t, link);
        goim_link_move(&tl->followers, &f->link);
        (void) goim_follow_run(f, run);
    }

    tl->busy--;

    if (tl->closed) {
        goim_timeline_free(tl);
        return GOIM_GONE;
    }

    goim_timeline_want(tl);

    return 0;
}


int
goim_timeline_ahead(const goim_timeline_t *tl, const goim_run_t *run)
{
    const goim_link_t    *l;
    const goim_follow_t  *f;

    for (l = tl->followers.next; l != &tl->followers; l = l->next) {
        f = goim_link_data(l, goim_follow_t, link);

        if (f->state == GOIM_FOLLOW_LIVE && f->epoch == run->epoch
            && f->last < run->follows)
        {
            return 1;
        }
    }

    return 0;
}


void
goim_timeline_lost(goim_timeline_t *tl)
{
    goim_timeline_behind(tl, NULL, 1);
}


/* those who need what was not kept read again */

static void
goim_timeline_keep(goim_timeline_t *tl, goim_run_t *run)
{
    if (tl->kept_lost) {
        return;
    }

    if (run->held > GOIM_KEPT_MAX - tl->kept_bytes) {
        goim_timeline_forget(tl);
        tl->kept_lost = 1;
        return;
    }

    run->refs++;
    run->next = NULL;
    *tl->kept_end = run;
    tl->kept_end = &run->next;
    tl->kept_bytes += run->held;
}


static void
goim_timeline_forget(goim_timeline_t *tl)
{
    goim_run_t  *run, *next;

    for (run = tl->kept; run; run = next) {
        next = run->next;
        goim_run_unref(tl->timelines, run);
    }

    tl->kept = NULL;
    tl->kept_end = &tl->kept;
    tl->kept_bytes = 0;
    tl->kept_lost = 0;
}


/* ---- reading ---- */

void
goim_timeline_want(goim_timeline_t *tl)
{
    int32_t            left;
    goim_timelines_t  *w;

    w = tl->timelines;

    if (tl->read || tl->busy || goim_link_empty(&tl->waiting)
        || !goim_link_empty(&tl->link))
    {
        return;
    }

    left = goim_time_left(w, tl->not_before);

    /* a time that far ahead is one long ago */

    if (left > 0 && left <= 2 * GOIM_READ_AGAIN_MAX) {
        goim_timelines_at(w, w->wheel, &tl->link, tl->not_before);

    } else {
        goim_link_move(tl->more ? &w->more : &w->ready, &tl->link);
    }

    goim_timelines_wake(w);
}


/* *later* */

static void
goim_timeline_again(goim_timeline_t *tl)
{
    if (tl->again == 0) {
        tl->again = GOIM_READ_AGAIN;
    }

    tl->not_before = tl->timelines->now
                     + goim_timelines_jitter(tl->timelines, tl->again,
                                             tl->again / 2);

    if (tl->again < GOIM_READ_AGAIN_MAX) {
        tl->again *= 2;
    }

    goim_timeline_forget(tl);
    goim_timeline_want(tl);
}


/*
 * Who has missed little does not wait behind those who have missed much: these have
 * only so many Reads under way, and every other one that begins.
 */

static goim_link_t *
goim_timelines_next(const goim_timelines_t *w)
{
    int  more;

    if (~w->reading == 0) {
        return NULL;
    }

    more = !goim_link_empty(&w->more) && w->nmore < GOIM_READS_MORE;

    if (!goim_link_empty(&w->ready) && !(more && w->turn)) {
        return w->ready.next;
    }

    return more ? w->more.next : NULL;
}


void
goim_timelines_read(goim_timelines_t *w)
{
    goim_link_t      *l;
    goim_timeline_t  *tl;

    while ((l = goim_timelines_next(w)) != NULL) {
        tl = goim_link_data(l, goim_timeline_t, link);
        goim_link_remove(l);
        w->turn = !tl->more;

        if (tl->known && !goim_link_empty(&tl->waiting)
            && goim_timeline_begin(tl) != 0)
        {
            goim_timeline_again(tl);
            break;
        }
    }
}


static int
goim_timeline_begin(goim_timeline_t *tl)
{
    uint32_t           i;
    goim_read_t       *r;
    goim_timelines_t  *w;

    w = tl->timelines;
    i = __builtin_ctzll(~w->reading);
    r = &w->reads[i];

    memset(r, 0, sizeof(goim_read_t));
    r->timelines = w;
    r->timeline = tl;
    r->more = tl->more;
    goim_timeline_page(tl, r);
    r->sent = w->now;
    r->begun = ++w->tick;

    if (!goim_timeline_unfinished(tl)) {
        tl->round = r->begun;
        tl->round_sent = r->sent;
    }

    w->reading |= (uint64_t) 1 << i;
    w->nmore += (uint32_t) r->more;
    tl->read = r;

    if (w->ops->read(r) != 0) {
        tl->read = NULL;
        goim_read_done(r);
        return -1;
    }

    return 0;
}


static void
goim_read_done(goim_read_t *r)
{
    goim_timelines_t  *w;

    w = r->timelines;
    w->reading &= ~((uint64_t) 1 << (r - w->reads));
    w->nmore -= (uint32_t) r->more;
    goim_epoch_unref(&w->epochs, r->epoch);
}


/*
 * The page that begins lowest, so that each page of a round is read once. Any
 * answer decides for who has another epoch: they need no page.
 */

static void
goim_timeline_page(goim_timeline_t *tl, goim_read_t *r)
{
    int             rank, best;
    goim_link_t    *l;
    goim_follow_t  *f, *lowest;

    lowest = NULL;
    best = 0;

    for (l = tl->waiting.next; l != &tl->waiting; l = l->next) {
        f = goim_link_data(l, goim_follow_t, link);

        if (f->epoch == NULL) {
            r->limit = f->aside > r->limit ? f->aside : r->limit;
            continue;
        }

        rank = f->epoch != tl->epoch || f->late ? 1
               : f->mark < tl->round ? 3 : 2;

        if (rank > best
            || (rank == best && rank > 1 && f->last < lowest->last))
        {
            lowest = f;
            best = rank;
        }
    }

    if (lowest) {
        r->epoch = goim_epoch_ref(lowest->epoch);
        r->after = lowest->last;
        r->limit = GOIM_PAGE_ITEMS;
    }
}


/* ---- its answer ---- */

void
goim_read_answer(goim_read_t *r, goim_read_status_e status,
    goim_epoch_t *epoch, uint64_t first, uint64_t head, goim_run_t *page)
{
    goim_answer_t      a;
    goim_timeline_t   *tl;
    goim_timelines_t  *w;

    w = r->timelines;
    tl = r->timeline;

    a.epoch = status == GOIM_READ_OK ? epoch : NULL;
    a.first = first;
    a.head = head;
    a.begun = r->begun;
    a.page = page;

    goim_read_done(r);

    if (goim_timelines_next(w) != NULL) {
        goim_timelines_wake(w);
    }

    if (tl == NULL) {
        return;
    }

    tl->read = NULL;

    if (status == GOIM_READ_LATER
        || (status == GOIM_READ_OK
            && (!goim_answer_sane(&a) || goim_timeline_back(tl, &a))))
    {
        goim_timeline_again(tl);
        return;
    }

    tl->more = page != NULL && goim_run_last(page) < head;

    tl->busy++;
    goim_timeline_serve(tl, &a);
    tl->busy--;

    if (tl->closed) {
        goim_timeline_free(tl);
        return;
    }

    goim_timeline_want(tl);
}


static int
goim_answer_sane(const goim_answer_t *a)
{
    uint32_t           i;
    uint64_t           seq;
    const goim_run_t  *page;

    page = a->page;

    if (a->epoch == NULL || a->head > GOIM_SEQ_MAX || a->first == 0
        || a->first - 1 > a->head)
    {
        return 0;
    }

    if (page == NULL) {
        return 1;
    }

    if (page->epoch != a->epoch || page->n == 0
        || goim_run_last(page) > a->head)
    {
        return 0;
    }

    seq = page->follows;

    for (i = 0; i < page->n; i++) {
        if (page->items[i].seq <= seq) {
            return 0;
        }

        seq = page->items[i].seq;
    }

    return 1;
}


/*
 * It lacks what came by before it was asked for: Redis went back, and job is
 * about to repeat that. Not for ever, though: what comes after the answer will
 * show what is missing.
 */

static int
goim_timeline_back(goim_timeline_t *tl, const goim_answer_t *a)
{
    uint32_t  now;

    if (a->epoch != tl->epoch || a->head >= tl->head
        || tl->head_at > a->begun)
    {
        tl->back = 0;
        return 0;
    }

    now = tl->timelines->now;

    if (!tl->back) {
        tl->back = 1;
        tl->back_since = now;
    }

    if (now - tl->back_since < GOIM_BEYOND_MAX) {
        return 1;
    }

    tl->back = 0;
    tl->head = a->head;

    if (tl->taken > a->head) {
        tl->taken = a->head;
    }

    return 0;
}


static void
goim_timeline_serve(goim_timeline_t *tl, const goim_answer_t *a)
{
    uint32_t        served, moved;
    goim_link_t     list, *l, *next;
    goim_follow_t  *f;

    goim_timeline_heard(tl, a->epoch, a->head, a->begun);

    goim_link_init(&list);

    for (l = tl->waiting.next; l != &tl->waiting; l = next) {
        next = l->next;
        f = goim_link_data(l, goim_follow_t, link);

        if (f->mark < a->begun) {
            goim_link_move(&list, l);
        }
    }

    served = 0;
    moved = 0;

    while (!goim_link_empty(&list)) {
        f = goim_link_data(list.next, goim_follow_t, link);
        moved += goim_follow_serve(f, a);
        served++;
    }

    if (served && moved == 0) {
        goim_timeline_again(tl);
        return;
    }

    goim_timeline_forget(tl);

    tl->again = 0;
    tl->not_before = goim_timeline_unfinished(tl)
                     ? tl->timelines->now : tl->round_sent + GOIM_READ_PACE;
}


/* somebody waits on who was there when this round of Reads began */

static int
goim_timeline_unfinished(goim_timeline_t *tl)
{
    goim_link_t    *l;
    goim_follow_t  *f;

    for (l = tl->waiting.next; l != &tl->waiting; l = l->next) {
        f = goim_link_data(l, goim_follow_t, link);

        if (f->mark < tl->round) {
            return 1;
        }
    }

    return 0;
}
