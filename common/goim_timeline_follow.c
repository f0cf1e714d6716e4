/*
 * A session in a timeline: what it gets, and what it is told.
 */

#include "common/goim_timeline_int.h"

#include <string.h>


#define GOIM_FOLLOW_HALF  (GOIM_FOLLOW_QUEUE / 2)

/* the time in 16 bits: it wraps after an hour, and is asked within seconds */
#define goim_late(w)      ((uint16_t) ((w)->now / GOIM_LATE_UNIT))


static void goim_follow_later(goim_follow_t *f);
static void goim_follow_epoch(goim_follow_t *f, goim_epoch_t *epoch);
static int goim_follow_rest(goim_follow_t *f, goim_run_t *run);
static uint32_t goim_follow_fits(goim_follow_t *f, const goim_run_t *run,
    uint32_t from);
static int goim_follow_plain(goim_follow_t *f, const goim_answer_t *a);
static int goim_follow_place(goim_follow_t *f, const goim_answer_t *a);
static uint64_t goim_follow_start(const goim_follow_t *f,
    const goim_answer_t *a);
static int goim_follow_tell(goim_follow_t *f, const goim_answer_t *a,
    uint64_t seq, unsigned recovered);
static void goim_follow_settle(goim_follow_t *f, const goim_answer_t *a);


_Static_assert(sizeof(goim_follow_t) <= 48,
               "with a pointer to its session, and what malloc() adds, it has "
               "64 bytes");


void
goim_follow_join(goim_follow_t *f, goim_timeline_t *tl, goim_epoch_t *epoch,
    uint64_t seq, uint32_t newest)
{
    memset(f, 0, sizeof(goim_follow_t));

    goim_link_init(&f->link);
    f->timeline = tl;
    f->epoch = goim_epoch_ref(epoch);
    f->last = epoch ? seq : 0;
    f->aside = epoch ? 0 : newest > UINT16_MAX ? UINT16_MAX : newest;
    f->joining = 1;

    goim_follow_wait(f);
}


void
goim_follow_leave(goim_follow_t *f)
{
    if (f->timeline == NULL) {
        return;
    }

    goim_link_remove(&f->link);
    goim_follow_epoch(f, NULL);

    f->timeline = NULL;
    f->state = GOIM_FOLLOW_NONE;
}


/* ---- behind ---- */

void
goim_follow_wait(goim_follow_t *f)
{
    f->mark = ++f->timeline->timelines->tick;
    f->state = GOIM_FOLLOW_BEHIND;

    goim_link_move(&f->timeline->waiting, &f->link);
    goim_timeline_want(f->timeline);
}


static void
goim_follow_later(goim_follow_t *f)
{
    goim_timelines_t  *w;

    w = f->timeline->timelines;
    f->state = GOIM_FOLLOW_LATER;

    goim_timelines_at(w, w->wheel_later, &f->link,
                      w->now + goim_timelines_jitter(w, 2 * GOIM_READ_AGAIN,
                                                     2 * GOIM_READ_AGAIN));
}


void
goim_follow_lost(goim_follow_t *f)
{
    if (f->state == GOIM_FOLLOW_LIVE || f->state == GOIM_FOLLOW_PLAIN) {
        goim_follow_wait(f);
    }
}


void
goim_follow_drained(goim_follow_t *f)
{
    if (f->state == GOIM_FOLLOW_FULL) {
        goim_follow_wait(f);
    }
}


static void
goim_follow_epoch(goim_follow_t *f, goim_epoch_t *epoch)
{
    goim_epoch_ref(epoch);
    goim_epoch_unref(&f->timeline->timelines->epochs, f->epoch);
    f->epoch = epoch;
}


/* ---- live ---- */

int
goim_follow_run(goim_follow_t *f, goim_run_t *run)
{
    if (f->state == GOIM_FOLLOW_PLAIN) {
        goim_follow_wait(f);
        return 0;
    }

    /* what comes to who is behind will come with the Read, or after it */

    if (f->state != GOIM_FOLLOW_LIVE) {
        return 0;
    }

    if (run->epoch == f->epoch && run->follows <= f->last) {
        return goim_follow_rest(f, run);
    }

    /* the Read that came to here does not know it, although it was there */

    if (run->arrived < f->mark) {
        if (run->epoch == f->epoch) {
            goim_follow_later(f);
        }

        return 0;
    }

    goim_follow_wait(f);

    return 0;
}


/*
 * What it lacks of a run that does not begin too late, as far as there is
 * place; it may have all of it.
 */

static int
goim_follow_rest(goim_follow_t *f, goim_run_t *run)
{
    uint32_t  from, to, n;

    from = 0;
    n = run->n;

    while (n) {                     /* the first one after its last */
        if (run->items[from + n / 2].seq <= f->last) {
            from += n / 2 + 1;
            n -= n / 2 + 1;

        } else {
            n /= 2;
        }
    }

    to = goim_follow_fits(f, run, from);

    if (to < run->n) {
        f->state = GOIM_FOLLOW_FULL;
    }

    if (to == from) {
        return 0;
    }

    if (f->timeline->timelines->ops->send(f, run, from, to) == GOIM_GONE) {
        return GOIM_GONE;
    }

    f->last = run->items[to - 1].seq;

    return 0;
}


/* up to where; below the half one item may always go, so none waits for ever */

static uint32_t
goim_follow_fits(goim_follow_t *f, const goim_run_t *run, uint32_t from)
{
    size_t    queued;
    uint32_t  to, begin;

    queued = f->timeline->timelines->ops->queued(f);
    begin = from ? run->items[from - 1].end : 0;

    for (to = from; to < run->n; to++) {

        if (queued + (run->items[to].end - begin) > GOIM_FOLLOW_QUEUE
            && (to > from || queued > GOIM_FOLLOW_HALF))
        {
            break;
        }
    }

    return to;
}


/* ---- an answer ---- */

int
goim_follow_serve(goim_follow_t *f, const goim_answer_t *a)
{
    int                rc;
    uint64_t           last;
    goim_run_t        *page;
    goim_timeline_t   *tl;

    tl = f->timeline;
    page = a->page;
    last = f->last;

    goim_link_move(&tl->followers, &f->link);

    if (a->epoch == NULL) {
        return goim_follow_plain(f, a);
    }

    rc = goim_follow_place(f, a);

    if (rc == GOIM_GONE || f->state == GOIM_FOLLOW_LATER) {
        return 1;
    }

    if (page && page->follows <= f->last && f->last < goim_run_last(page)) {

        if (goim_follow_rest(f, page) == GOIM_GONE
            || f->state == GOIM_FOLLOW_FULL)
        {
            return 1;
        }

        rc = 1;
    }

    if (f->last < a->head) {
        goim_link_move(&tl->waiting, &f->link);
        return rc || f->last != last;
    }

    f->state = GOIM_FOLLOW_LIVE;
    goim_follow_settle(f, a);

    return 1;
}


static int
goim_follow_plain(goim_follow_t *f, const goim_answer_t *a)
{
    int  told;

    told = f->epoch == NULL && !f->joining;

    goim_follow_epoch(f, NULL);
    f->last = 0;
    f->late = 0;
    f->state = GOIM_FOLLOW_PLAIN;

    if (told
        || goim_follow_tell(f, a, 0, GOIM_RECOVERED_NONE) != GOIM_GONE)
    {
        goim_follow_settle(f, a);
    }

    return 1;
}


/* 1: it was told its place; 0: it has one; GOIM_GONE */

static int
goim_follow_place(goim_follow_t *f, const goim_answer_t *a)
{
    goim_timelines_t  *w;

    w = f->timeline->timelines;

    if (f->epoch == NULL) {
        return goim_follow_tell(f, a, goim_follow_start(f, a),
                                GOIM_RECOVERED_NONE);
    }

    if (f->epoch != a->epoch) {
        return goim_follow_tell(f, a, goim_follow_start(f, a),
                                GOIM_RECOVERED_EPOCH);
    }

    if (f->last > a->head) {

        if (!f->late) {
            f->late = 1;
            f->aside = goim_late(w);
        }

        if ((uint16_t) (goim_late(w) - f->aside) * GOIM_LATE_UNIT
            < GOIM_BEYOND_MAX + GOIM_LATE_UNIT)
        {
            goim_follow_later(f);
            return 0;
        }

        return goim_follow_tell(f, a, f->last, GOIM_RECOVERED_BEYOND);
    }

    f->late = 0;

    if (f->last < a->first - 1) {
        return goim_follow_tell(f, a, a->head, GOIM_RECOVERED_TRIMMED);
    }

    if (f->joining) {
        return goim_follow_tell(f, a, f->last, GOIM_RECOVERED_TRUE);
    }

    return 0;
}


/*
 * Where it goes on without a position in this epoch. Who was there all the time
 * has the epoch from its beginning: the item by which it showed is not to get
 * lost. Where an epoch goes on with what there is, that is not told again.
 */

static uint64_t
goim_follow_start(const goim_follow_t *f, const goim_answer_t *a)
{
    uint64_t                start;
    const goim_timeline_t  *tl;

    tl = f->timeline;

    if (!f->joining && tl->goes_on) {
        return tl->epoch == a->epoch && tl->began < a->head ? tl->began
                                                            : a->head;
    }

    if (!f->joining) {
        return a->first == 1 ? 0 : a->head;
    }

    if (f->epoch) {
        return a->head;
    }

    start = a->head > f->aside ? a->head - f->aside : 0;

    return start < a->first - 1 ? a->first - 1 : start;
}


static int
goim_follow_tell(goim_follow_t *f, const goim_answer_t *a, uint64_t seq,
    unsigned recovered)
{
    goim_told_t  told;

    goim_follow_epoch(f, a->epoch);
    f->last = seq;
    f->joining = 0;
    f->aside = 0;
    f->late = 0;

    told.epoch = a->epoch;
    told.seq = seq;
    told.first = a->epoch ? a->first : 0;
    told.head = a->epoch ? a->head : 0;
    told.recovered = recovered;

    return f->timeline->timelines->ops->tell(f, &told) == GOIM_GONE
           ? GOIM_GONE : 1;
}


/*
 * Level with the answer: then what came since it began. If something is known
 * beyond that, as not all was kept, it is behind again.
 */

static void
goim_follow_settle(goim_follow_t *f, const goim_answer_t *a)
{
    goim_run_t       *run;
    goim_timeline_t  *tl;

    tl = f->timeline;
    f->mark = a->begun;

    for (run = tl->kept; run; run = run->next) {

        if (goim_follow_run(f, run) == GOIM_GONE
            || f->state == GOIM_FOLLOW_BEHIND || f->state == GOIM_FOLLOW_FULL)
        {
            return;
        }
    }

    if (f->epoch != tl->epoch || f->last < tl->taken) {
        goim_follow_lost(f);
    }
}
