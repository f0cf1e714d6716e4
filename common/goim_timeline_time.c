/*
 * What shall be done later: a wheel of slots of 16 ms, for about four seconds.
 * What is due beyond its end is found there, and put in again.
 */

#include "common/goim_timeline_int.h"


#define GOIM_WHEEL_MASK  (UINT32_MAX / GOIM_WHEEL_STEP)


uint32_t
goim_timelines_jitter(goim_timelines_t *w, uint32_t ms, uint32_t more)
{
    /* xorshift64 (Marsaglia) */

    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;

    return ms + (uint32_t) ((w->random >> 32) % (more + 1));
}


void
goim_timelines_at(goim_timelines_t *w, goim_link_t *wheel, goim_link_t *l,
    uint32_t at)
{
    int32_t   left;
    uint32_t  n;

    left = goim_time_left(w, at);

    /* never early */

    n = 1;

    if (left > 0) {
        n = (w->now % GOIM_WHEEL_STEP + left + GOIM_WHEEL_STEP - 1)
            / GOIM_WHEEL_STEP;
    }

    n += (w->now / GOIM_WHEEL_STEP - w->slot) & GOIM_WHEEL_MASK;

    if (n >= GOIM_WHEEL_SLOTS) {
        n = GOIM_WHEEL_SLOTS - 1;
    }

    goim_link_move(&wheel[(w->slot + n) % GOIM_WHEEL_SLOTS], l);
}


void
goim_timelines_turn(goim_timelines_t *w)
{
    uint32_t          n;
    goim_link_t      *l, *slot;
    goim_follow_t    *f;
    goim_timeline_t  *tl;

    n = (w->now / GOIM_WHEEL_STEP - w->slot) & GOIM_WHEEL_MASK;

    if (n > GOIM_WHEEL_SLOTS) {
        n = GOIM_WHEEL_SLOTS;
    }

    w->slot = (w->now / GOIM_WHEEL_STEP - n) & GOIM_WHEEL_MASK;

    for ( /* void */ ; n; n--) {
        w->slot = (w->slot + 1) & GOIM_WHEEL_MASK;

        slot = &w->wheel_later[w->slot % GOIM_WHEEL_SLOTS];

        while (!goim_link_empty(slot)) {
            l = slot->next;
            f = goim_link_data(l, goim_follow_t, link);
            goim_follow_wait(f);
        }

        slot = &w->wheel[w->slot % GOIM_WHEEL_SLOTS];

        while (!goim_link_empty(slot)) {
            l = slot->next;
            tl = goim_link_data(l, goim_timeline_t, link);
            goim_link_remove(l);
            goim_timeline_want(tl);
        }
    }
}


uint32_t
goim_timelines_left(goim_timelines_t *w)
{
    uint32_t  i, n;

    for (i = 1; i < GOIM_WHEEL_SLOTS; i++) {
        n = (w->slot + i) % GOIM_WHEEL_SLOTS;

        if (!goim_link_empty(&w->wheel[n])
            || !goim_link_empty(&w->wheel_later[n]))
        {
            break;
        }
    }

    return i * GOIM_WHEEL_STEP - w->now % GOIM_WHEEL_STEP;
}
