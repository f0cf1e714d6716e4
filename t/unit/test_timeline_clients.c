/*
 * The world's clients, and the checker: what a client is sent and told is held
 * against all that was ever numbered, and against the answer it rests on.
 */

#include "test_timeline.h"


static int client_gone(client_t *c);
static void client_queue(client_t *c, uint32_t size);
static uint64_t told_start(const client_t *c, const snapshot_t *s);
static void told_false(client_t *c, const goim_told_t *told,
    const snapshot_t *s, const room_t *room);
static void client_part(client_t *c);


static client_t *
client_of(goim_follow_t *f)
{
    return goim_link_data(f, client_t, follow);
}


static uint32_t
client_number(const client_t *c)
{
    return c - world.clients;
}


/* ---- what it is sent ---- */

size_t
client_queued(goim_follow_t *f)
{
    return client_of(f)->queued;
}


int
client_send(goim_follow_t *f, goim_run_t *run, uint32_t from, uint32_t to)
{
    uint32_t           i, k, n, before;
    client_t          *c;
    const epoch_t     *e;
    const item_t      *item;
    const test_run_t  *r;

    c = client_of(f);
    r = (test_run_t *) run;
    n = client_number(c);
    before = c->queued;

    expect(c->room >= 0, "client %u: sent what it does not follow", n);
    expect((uint32_t) c->room == r->room, "client %u: of another room", n);
    expect(c->told, "client %u: sent before it was told", n);
    expect(from < to && to <= run->n, "client %u: %u to %u", n, from, to);
    expect(c->at.epoch == run->epoch, "client %u: of another epoch", n);

    e = &world.rooms[r->room].epochs[r->epoch];

    for (i = from; i < to; i++) {
        item = &e->items[r->from + i];

        /* the first one after what it has */

        for (k = 0; k < e->n && e->items[k].seq <= c->at.seq; k++) {
            /* void */
        }

        expect(k < e->n && e->items[k].seq == item->seq,
               "client %u: %llu after %llu", n,
               (unsigned long long) item->seq,
               (unsigned long long) c->at.seq);

        c->at.seq = item->seq;
        client_queue(c, item->size);
        world.nsends++;
        trace("client %u: sent %u.%llu", n, r->epoch + 1,
              (unsigned long long) item->seq);
    }

    expect(c->queued <= GOIM_FOLLOW_QUEUE
           || (before <= GOIM_FOLLOW_QUEUE / 2 && to == from + 1),
           "client %u: %u bytes wait, %u before", n, c->queued, before);

    return client_gone(c);
}


static void
client_queue(client_t *c, uint32_t size)
{
    sent_t  *sent;

    expect(c->nsent < 2048, "the world is too small");

    sent = &c->sent[(c->sent_first + c->nsent++) % 2048];
    sent->place = c->at;
    sent->size = size;
    c->queued += size;

    goim_epoch_ref(c->at.epoch);
}


/* its connection breaks while it is sent something */

static int
client_gone(client_t *c)
{
    if (chance(world.close)) {
        world.ngone++;
        client_leave(c);
        return GOIM_GONE;
    }

    return 0;
}


/* ---- what it is told ---- */

int
client_tell(goim_follow_t *f, const goim_told_t *told)
{
    uint32_t           n;
    client_t          *c;
    const room_t      *room;
    const snapshot_t  *s;

    c = client_of(f);
    n = client_number(c);

    expect(world.answering != NULL, "client %u: told without an answer", n);
    expect(c->room >= 0, "client %u: told of what it does not follow", n);

    s = &world.answering->snap;
    room = &world.rooms[c->room];

    expect(s->room == (uint32_t) c->room, "client %u: of another room", n);
    expect(c->joined < world.answer_begun,
           "client %u: by an answer that was begun before it came", n);

    trace("client %u: told %s %llu, %d", n,
          told->epoch ? told->epoch->word : "null",
          (unsigned long long) told->seq, told->recovered);

    if (told->epoch == NULL) {
        expect(s->none, "client %u: told null", n);
        expect(!c->told || c->at.epoch, "client %u: told null twice", n);
        world.nnull++;

    } else {
        expect(!s->none && told->epoch == room->epochs[s->epoch].word,
               "client %u: told an epoch that was not answered", n);
        expect(told->first == s->first, "client %u: told first", n);
        world.ntold[told->recovered]++;

        switch (told->recovered) {

        case GOIM_RECOVERED_NONE:
            expect(!c->asked, "client %u: not told whether it recovered", n);
            expect(!c->told || c->at.epoch == NULL,
                   "client %u: told its place again", n);
            expect(told->seq == told_start(c, s), "client %u: told %llu", n,
                   (unsigned long long) told->seq);
            break;

        case GOIM_RECOVERED_TRUE:
            expect(c->asked && !c->told, "client %u: told true", n);
            expect(told->epoch == c->at.epoch && told->seq == c->at.seq,
                   "client %u: told another place", n);
            expect(told->seq >= s->first - 1 && told->seq <= s->head,
                   "client %u: told true, but it is not so", n);
            break;

        default:
            told_false(c, told, s, room);
        }
    }

    goim_epoch_ref((goim_epoch_t *) told->epoch);
    goim_epoch_unref(&world.w.epochs, c->at.epoch);
    c->at.epoch = (goim_epoch_t *) told->epoch;
    c->at.wrong &= told->recovered == GOIM_RECOVERED_TRUE
                   || told->recovered == GOIM_RECOVERED_BEYOND;
    c->at.seq = told->seq;
    c->told = 1;
    c->asked = 0;
    client_queue(c, 0);

    return client_gone(c);
}


static uint64_t
told_start(const client_t *c, const snapshot_t *s)
{
    uint64_t  start;

    if (c->told) {
        return s->first == 1 ? 0 : s->head;
    }

    start = s->head > c->newest ? s->head - c->newest : 0;

    return start < s->first - 1 ? s->first - 1 : start;
}


/* whether something may be gone */

static void
told_false(client_t *c, const goim_told_t *told, const snapshot_t *s,
    const room_t *room)
{
    uint32_t  n;
    uint64_t  start;

    n = client_number(c);
    expect(c->at.epoch != NULL, "client %u: told false, but had no place", n);

    switch (told->recovered) {

    case GOIM_RECOVERED_EPOCH:
        start = c->told && s->first == 1 ? 0 : s->head;
        expect(c->at.epoch != room->epochs[room->nepochs - 1].word,
               "client %u: told of another epoch", n);
        expect(told->seq == start, "client %u: told %llu", n,
               (unsigned long long) told->seq);
        break;

    case GOIM_RECOVERED_TRIMMED:
        expect(c->at.epoch == told->epoch && c->at.seq < s->first - 1,
               "client %u: told trimmed", n);
        expect(told->seq == s->head, "client %u: told %llu", n,
               (unsigned long long) told->seq);
        break;

    default:
        expect(c->at.epoch == told->epoch && c->at.seq == told->seq,
               "client %u: told beyond, and another place", n);
        expect(c->at.seq > s->head, "client %u: told beyond", n);
        expect(c->at.wrong || room->epochs[s->epoch].went_back,
               "client %u: told beyond for nothing", n);
        expect(world.w.now - c->joined_at >= GOIM_BEYOND_MAX,
               "client %u: told beyond at once", n);
    }
}


/* ---- what it does ---- */

/* with a position that it has, or one that it makes up, or none */

void
client_join(client_t *c, uint32_t n)
{
    room_t        *room;
    goim_epoch_t  *made_up;

    client_part(c);

    room = &world.rooms[n];

    if (room->timeline == NULL) {
        room->timeline = malloc(sizeof(goim_timeline_t));
        goim_timeline_open(&world.w, room->timeline, room->registered);
    }

    c->room = n;
    c->told = 0;
    c->newest = 0;
    memset(&c->at, 0, sizeof(place_t));
    made_up = NULL;

    switch (rnd(8)) {

    case 0:
        break;

    case 1:
        c->newest = 1 + rnd(60);
        break;

    case 2:
        if (rnd(4) == 0) {
            made_up = goim_epoch_get(&world.w.epochs, "made up", 7);
            c->at.epoch = made_up;
            c->at.seq = rnd(20);
        }

        break;

    case 3:
        if (rnd(4) == 0 && !room->none) {
            c->at.epoch = room_epoch(room)->word;
            c->at.seq = room_head(room) + rnd(9);
            c->at.wrong = 1;
        }

        break;

    default:
        c->at = c->places[n];
    }

    goim_epoch_ref(c->at.epoch);
    goim_epoch_unref(&world.w.epochs, made_up);

    c->asked = c->at.epoch != NULL;
    c->joined_at = world.w.now;
    c->joined = ++world.w.tick;

    trace("client %u: joins room %u with %s %llu, newest %u",
          client_number(c), n, c->at.epoch ? c->at.epoch->word : "-",
          (unsigned long long) c->at.seq, c->newest);

    goim_follow_join(&c->follow, room->timeline, c->at.epoch, c->at.seq,
                     c->newest);
}


static void
client_part(client_t *c)
{
    uint32_t  i;
    room_t   *room;

    if (c->room < 0) {
        return;
    }

    room = &world.rooms[c->room];
    trace("client %u: leaves room %d", client_number(c), c->room);

    goim_follow_leave(&c->follow);
    goim_epoch_unref(&world.w.epochs, c->at.epoch);
    c->at.epoch = NULL;
    c->room = -1;

    for (i = 0; i < CLIENTS; i++) {
        if (world.clients[i].room == room - world.rooms) {
            return;
        }
    }

    goim_timeline_close(room->timeline);
    room->timeline = NULL;

    for (i = 0; i < room->nblocks; i++) {
        goim_run_unref(&world.w, &room->blocks[i].run->run);
    }

    room->nblocks = 0;

    if (rnd(2)) {
        room->registered = 0;
    }
}


/* what waits in its queue is lost with the connection */

void
client_leave(client_t *c)
{
    client_part(c);

    while (c->nsent) {
        goim_epoch_unref(&world.w.epochs,
                         c->sent[c->sent_first++ % 2048].place.epoch);
        c->nsent--;
    }

    c->queued = 0;
}


/* it reads: its position moves (of what it got before it changed rooms, too) */

void
client_drain(client_t *c, uint32_t bytes)
{
    sent_t   *sent;
    place_t  *place;

    while (c->nsent) {
        sent = &c->sent[c->sent_first % 2048];

        if (sent->size > bytes) {
            break;
        }

        bytes -= sent->size;
        c->queued -= sent->size;
        c->sent_first++;
        c->nsent--;

        if (sent->place.epoch == NULL) {
            continue;
        }

        place = &c->places[atoi(sent->place.epoch->word)];
        goim_epoch_unref(&world.w.epochs, place->epoch);
        *place = sent->place;
    }

    if (c->room >= 0 && c->queued <= GOIM_FOLLOW_QUEUE / 2) {
        goim_follow_drained(&c->follow);
    }
}


void
client_fanout(room_t *room, uint32_t n)
{
    client_t    *c;
    test_run_t  *r;

    if (room->nblocks == 0) {
        return;
    }

    /* the room may go with its last client */

    r = room->blocks[0].run;
    r->run.refs++;

    while (n && room->nblocks && room->blocks[0].slot < CLIENTS) {
        c = &world.clients[room->blocks[0].slot++];

        if (c->room != room - world.rooms) {
            continue;
        }

        n--;

        if (chance(world.lose / 4)) {
            goim_follow_lost(&c->follow);

        } else {
            (void) goim_follow_run(&c->follow, &r->run);
        }
    }

    if (room->nblocks && room->blocks[0].slot == CLIENTS) {
        goim_run_unref(&world.w, &r->run);
        memmove(room->blocks, room->blocks + 1,
                --room->nblocks * sizeof(block_t));
    }

    goim_run_unref(&world.w, &r->run);
}


int
client_level(const client_t *c)
{
    room_t   *room;

    if (c->room < 0) {
        return 1;
    }

    room = &world.rooms[c->room];

    if (!c->told) {
        return 0;
    }

    if (room->none) {
        return c->at.epoch == NULL;
    }

    return c->at.epoch == room_epoch(room)->word
           && (c->at.seq == room_head(room)
               || (c->at.wrong && c->at.seq > room_head(room)));
}
