/*
 * What is numbered, kept, appended, lost; time; beginning and end.
 */

#include "test_timeline.h"


world_t  world;


static void epoch_new(room_t *room);


uint32_t
rnd(uint32_t n)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;

    return (uint32_t) ((world.random >> 32) * n >> 32);
}


int
chance(uint32_t percent)
{
    return !world.calm && rnd(100) < percent;
}


/* ---- runs ---- */

/* items of an epoch; with place for so many */

test_run_t *
test_run(uint32_t room, uint32_t epoch, uint32_t from, uint32_t n,
    uint32_t size)
{
    uint32_t     i, end;
    epoch_t     *e;
    test_run_t  *r;

    e = &world.rooms[room].epochs[epoch];
    r = malloc(sizeof(test_run_t) + size * sizeof(goim_run_item_t));
    end = 0;

    for (i = 0; i < n; i++) {
        end += e->items[from + i].size;
        r->items[i].seq = e->items[from + i].seq;
        r->items[i].end = end;
    }

    r->room = room;
    r->epoch = epoch;
    r->from = from;

    r->run.refs = 1;
    r->run.n = n;
    r->run.epoch = goim_epoch_ref(e->word);
    r->run.follows = e->items[from].follows;
    r->run.items = r->items;
    r->run.held = end;
    r->run.arrived = 0;

    world.runs++;

    return r;
}


static void
run_free(goim_run_t *run)
{
    world.runs--;
    goim_epoch_unref(&world.w.epochs, run->epoch);
    free(run);
}


/* ---- what the worker asks for ---- */

static int
ask_read(goim_read_t *r)
{
    uint32_t    i;
    reading_t  *reading;

    for (i = 0; i < world.nreadings; i++) {
        expect(world.readings[i].read->timeline != r->timeline,
               "a second Read of a room");
    }

    for (i = 0; i < world.nrooms; i++) {
        if (world.rooms[i].timeline == r->timeline) {
            break;
        }
    }

    expect(i < world.nrooms, "a Read of a room that was left");
    expect(world.rooms[i].registered, "a Read before the node is known");
    expect(world.nreadings < GOIM_READS_MAX, "too many Reads");

    if (chance(world.fail / 4)) {
        return -1;
    }

    reading = &world.readings[world.nreadings++];
    memset(reading, 0, sizeof(reading_t));
    reading->read = r;
    reading->snap.room = i;

    world.nreads++;
    world.nreads_full += world.nreadings == GOIM_READS_MAX;
    trace("room %u: Read %s after %llu limit %u, begun %llu", i,
          r->epoch ? r->epoch->word : "-", (unsigned long long) r->after,
          r->limit, (unsigned long long) r->begun);

    return 0;
}


static int
ask_heads(goim_heads_t *h)
{
    uint32_t  i;

    expect(world.heads == 0, "two calls for heads");
    expect(h->n > 0 && h->n <= GOIM_HEADS_MAX, "heads of %u", h->n);

    for (i = 0; i < h->n; i++) {
        expect(h->of[i]->known, "heads of a room before the node is known");
    }

    if (chance(world.fail / 4)) {
        return -1;
    }

    world.heads = 1;
    world.nheads++;

    return 0;
}


static void
on_wake(goim_timelines_t *w)
{
    (void) w;

    expect(!world.woken, "woken twice");
    world.woken = 1;
}


static void
timeline_free(goim_timeline_t *tl)
{
    free(tl);
}


static const goim_timelines_ops_t  ops = {
    .send = client_send,
    .tell = client_tell,
    .queued = client_queued,
    .read = ask_read,
    .heads = ask_heads,
    .wake = on_wake,
    .run_free = run_free,
    .timeline_free = timeline_free,
    .alloc = malloc,
    .free = free,
};


/* ---- the primary ---- */

epoch_t *
room_epoch(room_t *room)
{
    return &room->epochs[room->nepochs - 1];
}


uint64_t
room_head(const room_t *room)
{
    if (room->head == 0) {
        return 0;
    }

    return room->epochs[room->nepochs - 1].items[room->head - 1].seq;
}


static void
epoch_new(room_t *room)
{
    char      word[33];
    epoch_t  *e;

    e = &room->epochs[room->nepochs++];
    snprintf(word, sizeof(word), "%u.%u", (uint32_t) (room - world.rooms),
             room->nepochs);

    e->word = goim_epoch_get(&world.w.epochs, word, strlen(word));
    e->n = 0;
    e->went_back = 0;

    room->head = 0;
    room->kept = 0;
}


/* numbers and stores; what was numbered before gets the same number */

void
world_post(uint32_t n)
{
    item_t   *item;
    room_t   *room;
    epoch_t  *e;

    room = &world.rooms[n];
    e = room_epoch(room);

    if (room->none || room->head == ITEMS || room->stored.n == 64) {
        return;
    }

    item = &e->items[room->head];

    if (room->head == e->n) {
        item->follows = e->n ? e->items[e->n - 1].seq : 0;
        item->seq = item->follows + 1 + rnd(room->step);
        item->size = 1 + rnd(world.max_size);
        item->appended = 0;
        e->n++;
    }

    room->stored.what[(room->stored.first + room->stored.n++) % 64]
        = (what_t) { room->nepochs - 1, room->head };
    room->head++;

    if (room->head - room->kept > world.history) {
        room->kept = room->head - world.history;
    }

    trace("room %u: posted %u.%llu", n, room->nepochs,
          (unsigned long long) item->seq);
}


static what_t
what_shift(what_queue_t *q)
{
    q->n--;
    return q->what[q->first++ % 64];
}


/* to the node's stream, if job knows the node by now; a repeat is dropped */

void
world_append(uint32_t n)
{
    what_t   what;
    item_t  *item;
    room_t  *room;

    room = &world.rooms[n];

    if (room->stored.n == 0 || room->ring.n == 64) {
        return;
    }

    what = what_shift(&room->stored);
    item = &room->epochs[what.epoch].items[what.item];

    if (!room->registered || (item->appended && !chance(world.repeat))) {
        return;
    }

    item->appended = 1;
    room->ring.what[(room->ring.first + room->ring.n++) % 64] = what;
}


static void
arrived(room_t *room, what_t what)
{
    uint32_t     n;
    block_t     *b;
    test_run_t  *r;

    if (room->timeline == NULL) {
        return;
    }

    n = room - world.rooms;
    r = test_run(n, what.epoch, what.item, 1, 1);

    goim_timeline_arrived(room->timeline, &r->run);
    trace("room %u: %u.%llu comes by at %llu", n, what.epoch + 1,
          (unsigned long long) r->items[0].seq,
          (unsigned long long) r->run.arrived);

    if (room->timeline->kept_lost) {
        world.nkept_lost++;
    }

    b = room->nblocks ? &room->blocks[room->nblocks - 1] : NULL;

    if (b && b->slot == 0 && b->run->run.n < BLOCK && rnd(2)
        && goim_run_continues(&b->run->run, &r->run))
    {
        b->run->items[b->run->run.n].seq = r->items[0].seq;
        b->run->items[b->run->run.n].end = b->run->run.held
                                           + r->items[0].end;
        b->run->run.held += r->items[0].end;
        b->run->run.arrived = r->run.arrived;
        b->run->run.n++;

    } else {
        if (room->nblocks == 16) {
            client_fanout(room, CLIENTS);
        }

        b = &room->blocks[room->nblocks++];
        b->slot = 0;
        b->run = test_run(n, what.epoch, what.item, 1, BLOCK);
        b->run->run.arrived = r->run.arrived;
    }

    goim_run_unref(&world.w, &r->run);
}


/* the next one from the ring, or not */

void
world_arrive(uint32_t n)
{
    what_t    what;
    room_t   *room;
    epoch_t  *e;

    room = &world.rooms[n];

    if (chance(world.stale) && room->nepochs) {
        what.epoch = rnd(room->nepochs);
        e = &room->epochs[what.epoch];

        if (e->n) {
            what.item = rnd(e->n);

            if (e->items[what.item].appended) {
                arrived(room, what);
                return;
            }
        }
    }

    if (room->ring.n == 0) {
        return;
    }

    what = what_shift(&room->ring);

    if (chance(world.lose)) {
        trace("room %u: %u.%llu gets lost", n, what.epoch + 1,
              (unsigned long long) room->epochs[what.epoch]
                                       .items[what.item].seq);

        if (rnd(2)) {
            goim_timelines_suspect(&world.w);
        }

        return;
    }

    arrived(room, what);
}


/* the newest are gone, and repeated later */

void
world_back(uint32_t n)
{
    room_t  *room;

    room = &world.rooms[n];

    if (room->head == 0) {
        return;
    }

    room->head -= 1 + rnd(room->head < 4 ? room->head : 4);

    if (room->kept > room->head) {
        room->kept = room->head;
    }

    room_epoch(room)->went_back = 1;
    trace("room %u: went back to %llu", n,
          (unsigned long long) room_head(room));
}


void
world_anew(uint32_t n)
{
    room_t  *room;

    room = &world.rooms[n];

    if (room->nepochs < EPOCHS) {
        epoch_new(room);
        trace("room %u: anew, epoch %u", n, room->nepochs);
    }
}


void
world_trim(uint32_t n)
{
    room_t  *room;

    room = &world.rooms[n];
    room->kept += rnd(room->head - room->kept + 1);
}


void
world_history(uint32_t n, int on)
{
    room_t  *room;

    room = &world.rooms[n];
    trace("room %u: history %s", n, on ? "on" : "off");

    if (room->none && on && room->nepochs < EPOCHS) {
        epoch_new(room);
        room->none = 0;

    } else if (!on) {
        room->none = 1;
    }
}


/* ---- the node ---- */

void
world_register(uint32_t n)
{
    room_t  *room;

    room = &world.rooms[n];

    if (room->timeline) {
        room->registered = 1;
        goim_timeline_known(room->timeline, 1);
    }
}


/* job goes on without the node, which hears of it when it comes back */

void
world_lapse(uint32_t n)
{
    room_t  *room;

    room = &world.rooms[n];
    room->registered = 0;

    if (room->timeline) {
        goim_timeline_known(room->timeline, 0);
    }
}


/* ---- time ---- */

void
world_run(void)
{
    world.woken = 0;
    world.due = world.w.now + goim_timelines_run(&world.w);
    expect(!world.woken, "woken while it runs");
}


void
world_pass(uint32_t ms)
{
    uint32_t  left;

    while (ms) {
        left = world.due - world.w.now;

        if ((int32_t) left > (int32_t) ms) {
            world.w.now += ms;
            return;
        }

        left = (int32_t) left < 0 ? 0 : left;
        ms -= left;
        world.w.now += left;
        world_run();

        if (world.calm) {
            return;
        }
    }
}


/* ---- beginning and end ---- */

/* clients were there before, and know how far it was */

static void
world_before(uint32_t n)
{
    uint32_t   i, posts;
    room_t    *room;
    place_t   *place;
    client_t  *c;

    room = &world.rooms[n];

    for (posts = rnd(20); posts; posts--) {
        world_post(n);

        c = &world.clients[rnd(CLIENTS)];
        place = &c->places[n];
        goim_epoch_unref(&world.w.epochs, place->epoch);
        place->epoch = goim_epoch_ref(room_epoch(room)->word);
        place->seq = room_head(room);
    }

    for (i = 0; i < room->head; i++) {
        room_epoch(room)->items[i].appended = 1;
    }

    room->stored.n = 0;
}


void
world_begin(uint64_t seed, uint64_t number)
{
    uint32_t  i;
    uint64_t  key[2];

    world.seed = seed;
    world.number = number;
    world.random = (seed * 0x9e3779b97f4a7c15ull)
                   ^ (number * 0xbf58476d1ce4e5b9ull);
    world.random |= world.random == 0;
    for (i = 0; i < 8; i++) {
        (void) rnd(2);
    }

    world.calm = 0;
    world.woken = 0;
    world.nreadings = 0;
    world.heads = 0;
    world.runs = 0;
    world.answering = NULL;

    key[0] = world.random;
    key[1] = number;
    goim_timelines_init(&world.w, &ops, rnd(8) ? number * 977
                                               : UINT32_MAX - rnd(60000),
                        key);
    world.due = world.w.now;

    for (i = 0; i < world.nrooms; i++) {
        world.rooms[i].nepochs = 0;
        world.rooms[i].none = 0;
        world.rooms[i].step = rnd(4) ? 1 : 3;
        world.rooms[i].stored.n = world.rooms[i].stored.first = 0;
        world.rooms[i].ring.n = world.rooms[i].ring.first = 0;
        world.rooms[i].nblocks = 0;
        world.rooms[i].timeline = NULL;
        world.rooms[i].registered = 0;
        epoch_new(&world.rooms[i]);
    }

    for (i = 0; i < CLIENTS; i++) {
        world.clients[i].room = -1;
        world.clients[i].nsent = 0;
        world.clients[i].queued = 0;
        memset(world.clients[i].places, 0, world.nrooms * sizeof(place_t));
    }

    for (i = 0; i < world.nrooms; i++) {
        world_before(i);
    }
}


static int
settled(void)
{
    uint32_t  i;
    room_t   *room;

    if (world.nreadings || world.heads) {
        return 0;
    }

    for (i = 0; i < world.nrooms; i++) {
        room = &world.rooms[i];

        if (room->stored.n || room->ring.n || room->nblocks
            || (!room->none && room->head < room_epoch(room)->n))
        {
            return 0;
        }
    }

    for (i = 0; i < CLIENTS; i++) {
        if (!client_level(&world.clients[i])) {
            return 0;
        }
    }

    return 1;
}


void
world_settle(void)
{
    uint32_t  i, n, began, turns;
    uint64_t  reads;

    world.calm = 1;
    began = world.w.now;
    reads = world.nreads;

    for (turns = 0; !settled(); turns++) {

        expect(turns < 20000, "not level after %u turns", turns);
        expect(world.w.now - began < 150000, "not level after %u ms",
               world.w.now - began);

        for (i = 0; i < world.nrooms; i++) {
            n = room_epoch(&world.rooms[i])->n - world.rooms[i].head;

            while (n-- && !world.rooms[i].none) {
                world_post(i);
            }

            world_register(i);

            while (world.rooms[i].stored.n || world.rooms[i].ring.n) {
                world_append(i);
                world_arrive(i);
            }

            while (world.rooms[i].nblocks) {
                client_fanout(&world.rooms[i], CLIENTS);
            }
        }

        for (i = world.nreadings * 4; i; i--) {
            world_read_taken();
            world_read_answered();
        }

        world_heads_answered();

        for (i = 0; i < CLIENTS; i++) {
            client_drain(&world.clients[i], UINT32_MAX);
        }

        if (world.woken) {
            world_run();

        } else {
            world_pass(UINT32_MAX / 4);
        }
    }

    expect(world.nreads - reads < 40 * (world.nrooms + CLIENTS),
           "%llu Reads in the calm",
           (unsigned long long) (world.nreads - reads));
}


void
world_end(void)
{
    uint32_t  i, k;

    for (i = 0; i < CLIENTS; i++) {
        client_leave(&world.clients[i]);

        for (k = 0; k < world.nrooms; k++) {
            goim_epoch_unref(&world.w.epochs,
                             world.clients[i].places[k].epoch);
        }
    }

    while (world.nreadings) {
        world_read_taken();
        world_read_answered();
    }

    world_heads_answered();

    for (i = 0; i < world.nrooms; i++) {
        for (k = 0; k < world.rooms[i].nepochs; k++) {
            goim_epoch_unref(&world.w.epochs, world.rooms[i].epochs[k].word);
        }
    }

    expect(world.runs == 0, "%u runs are left", world.runs);
    expect(world.w.epochs.count == 0, "%u epochs are left",
           world.w.epochs.count);

    goim_timelines_free(&world.w);
}
