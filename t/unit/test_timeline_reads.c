/*
 * The world's primary answers Reads and heads: at times, and in a way, that it
 * likes.
 */

#include "test_timeline.h"


static void page_take(const goim_read_t *r, const room_t *room,
    snapshot_t *s);
static void page_odd(snapshot_t *s);


void
world_read_taken(void)
{
    room_t       *room;
    epoch_t      *e;
    reading_t    *reading;
    snapshot_t   *s;

    if (world.nreadings == 0) {
        return;
    }

    reading = &world.readings[rnd(world.nreadings)];
    s = &reading->snap;

    if (s->taken) {
        return;
    }

    room = &world.rooms[s->room];
    e = room_epoch(room);

    s->taken = 1;
    s->none = room->none;
    s->epoch = room->nepochs - 1;
    s->head = room_head(room);
    s->first = room->kept < room->head ? e->items[room->kept].follows + 1
                                       : s->head + 1;

    page_take(reading->read, room, s);

    if (chance(world.odd)) {
        page_odd(s);
    }
}


static void
page_take(const goim_read_t *r, const room_t *room, snapshot_t *s)
{
    uint32_t        i, n;
    const epoch_t  *e;

    e = &room->epochs[s->epoch];

    if (r->limit == 0 || room->kept == room->head
        || (r->epoch && r->epoch != e->word)
        || (r->epoch && (r->after >= s->head || r->after < s->first - 1)))
    {
        return;
    }

    if (r->epoch) {
        for (i = room->kept; e->items[i].seq <= r->after; i++) { /* void */ }

    } else {
        n = room->head - room->kept;
        i = room->head - (n < r->limit ? n : r->limit);
    }

    /* a page may begin earlier, and end where logic likes */

    if (i > room->kept && rnd(3) == 0) {
        i -= 1 + rnd(i - room->kept);
    }

    for (s->to = i + 1;
         s->to < room->head && (s->to - i < PAGE)
         && ((r->epoch && e->items[s->to - 1].seq <= r->after) || rnd(16));
         s->to++) { /* void */ }

    s->from = i;
}


/* what logic should not say */

static void
page_odd(snapshot_t *s)
{
    switch (rnd(3)) {

    case 0:
        s->to = s->from = 0;
        break;

    case 1:
        s->from += s->to - s->from > 1;
        break;

    default:
        s->first = s->head + 2;
    }
}


void
world_read_answered(void)
{
    uint32_t             i;
    room_t              *room;
    reading_t            reading;
    test_run_t          *page;
    snapshot_t          *s;
    goim_read_status_e   status;

    if (world.nreadings == 0) {
        return;
    }

    i = rnd(world.nreadings);
    reading = world.readings[i];
    s = &reading.snap;
    room = &world.rooms[s->room];
    status = GOIM_READ_OK;

    if (chance(world.fail)) {
        status = GOIM_READ_LATER;

    } else if (!s->taken) {
        return;

    } else if (s->none) {
        status = GOIM_READ_NONE;
    }

    world.readings[i] = world.readings[--world.nreadings];
    page = NULL;

    if (status == GOIM_READ_OK && s->to > s->from) {
        page = test_run(s->room, s->epoch, s->from, s->to - s->from,
                        s->to - s->from);
    }

    trace("room %u: answer %d, epoch %u, %llu to %llu, page of %u", s->room,
          status, s->epoch + 1, (unsigned long long) s->first,
          (unsigned long long) s->head, page ? page->run.n : 0);

    world.answering = &reading;
    world.answer_begun = reading.read->begun;

    goim_read_answer(reading.read, status, room->epochs[s->epoch].word,
                     s->first, s->head, page ? &page->run : NULL);

    world.answering = NULL;

    if (page) {
        goim_run_unref(&world.w, &page->run);
    }
}


void
world_heads_answered(void)
{
    uint32_t       i, k;
    room_t        *room;
    goim_heads_t  *h;

    if (world.heads == 0) {
        return;
    }

    world.heads = 0;
    h = &world.w.heads;

    for (i = 0; i < h->n; i++) {

        if (h->of[i] == NULL || chance(world.fail)) {
            continue;
        }

        for (k = 0; world.rooms[k].timeline != h->of[i]; k++) { /* void */ }

        room = &world.rooms[k];

        goim_heads_answer(h, i, room->none ? GOIM_HEAD_NONE : GOIM_HEAD_OK,
                          room_epoch(room)->word, room_head(room));
    }

    goim_heads_done(h);
}
