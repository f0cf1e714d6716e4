/* LINK: t/unit/test_timeline.c t/unit/test_timeline_reads.c */
/* LINK: t/unit/test_timeline_clients.c */

/*
 * The rule of timelines in a million random worlds (GOIM_WORLDS; GOIM_SEED;
 * GOIM_WORLD: this one only, and its steps are written).
 */

#include <time.h>

#include "test_timeline.h"


#if defined(__SANITIZE_ADDRESS__)
#define WORLDS  200000
#else
#define WORLDS  1000000
#endif


static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char  *value;

    value = getenv(name);

    return value ? strtoull(value, NULL, 10) : otherwise;
}


/* ---- a million worlds ---- */

/* how this one is */

static void
draw(void)
{
    static const uint32_t  sizes[] = { 1, 200, 20000, 300000 };

    world.nrooms = rnd(200) == 0 ? ROOMS : 1 + rnd(2);
    world.lose = rnd(3) ? 0 : rnd(30);
    world.repeat = rnd(3) ? 0 : rnd(60);
    world.stale = rnd(3) ? 0 : rnd(20);
    world.fail = rnd(3) ? 0 : rnd(60);
    world.odd = rnd(4) ? 0 : rnd(20);
    world.back = rnd(4) ? 0 : 1;
    world.anew = rnd(3) ? 0 : 1;
    world.trim = rnd(3) ? 0 : 1;
    world.close = rnd(4) ? 0 : rnd(5);
    world.max_size = sizes[rnd(4)];
    world.history = rnd(3) ? 3 + rnd(ITEMS) : ITEMS;
}


static void
check(const room_t *room)
{
    size_t             bytes;
    const goim_run_t  *run;

    if (room->timeline == NULL) {
        return;
    }

    bytes = 0;

    for (run = room->timeline->kept; run; run = run->next) {
        bytes += run->held;
    }

    expect(bytes <= GOIM_KEPT_MAX, "%zu bytes are kept", bytes);
    expect(bytes == 0 || room->timeline->read, "kept without a Read");
}


static void
step(void)
{
    uint32_t   room;
    client_t  *c;

    room = rnd(world.nrooms);
    c = &world.clients[rnd(CLIENTS)];

    switch (rnd(26)) {

    case 0: case 1: case 2: case 3:
        world_post(room);
        break;

    case 4: case 5: case 6: case 7:
        world_append(room);
        break;

    case 8: case 9: case 10: case 11:
        world_arrive(room);
        break;

    case 12: case 13:
        client_fanout(&world.rooms[room], 1 + rnd(CLIENTS));
        break;

    case 14: case 15:
        world_read_taken();
        break;

    case 16: case 17:
        world_read_answered();
        break;

    case 18:
        world_heads_answered();
        break;

    case 19: case 23: case 24:
        client_drain(c, rnd(2) ? rnd(2 * GOIM_FOLLOW_QUEUE) : UINT32_MAX);
        break;

    case 20:
        client_join(c, rnd(8) ? room : rnd(world.nrooms));
        break;

    case 21:
        world_register(room);
        break;

    case 22:
        world_pass(rnd(4) ? rnd(100) : rnd(8) ? rnd(4000) : rnd(60000));
        break;

    default:
        if (rnd(6) == 0) {
            client_leave(c);
        }

        if (rnd(8) == 0) {
            world_lapse(room);
        }

        if (world.back && rnd(4) == 0) {
            world_back(room);
        }

        if (world.anew && rnd(4) == 0) {
            world_anew(room);
        }

        if (world.trim && rnd(2)) {
            world_trim(room);
        }

        if (world.anew && rnd(8) == 0) {
            world_history(room, rnd(2));
        }
    }

    if (world.woken && rnd(4)) {
        world_run();
    }

    check(&world.rooms[room]);
}


static void
one(uint64_t seed, uint64_t n)
{
    uint32_t  i, steps;

    world.random = seed + n * 0x9e3779b97f4a7c15ull + 1;
    for (i = 0; i < 16; i++) {
        (void) rnd(2);
    }

    draw();
    world_begin(seed, n);

    steps = world.nrooms == ROOMS ? 2000 : 30 + rnd(150);

    if (world.nrooms == ROOMS) {
        world.fail = 0;
    }

    while (steps--) {
        step();
    }

    world_settle();
    world_end();
}


static void
test_worlds(void **state)
{
    uint64_t  n, seed, last;

    (void) state;

    seed = number("GOIM_SEED", (uint64_t) time(NULL));
    last = number("GOIM_WORLDS", WORLDS);

    printf("# GOIM_SEED=%llu\n", (unsigned long long) seed);
    fflush(stdout);

    if (getenv("GOIM_WORLD")) {
        world.trace = 1;
        one(seed, number("GOIM_WORLD", 0));
        return;
    }

    for (n = 0; n < last; n++) {
        one(seed, n);
    }

    printf("# sent %llu; told null %llu, none %llu, true %llu, epoch %llu, "
           "trimmed %llu, beyond %llu; Reads %llu, heads %llu, "
           "not kept %llu, gone %llu\n",
           (unsigned long long) world.nsends,
           (unsigned long long) world.nnull,
           (unsigned long long) world.ntold[0],
           (unsigned long long) world.ntold[1],
           (unsigned long long) world.ntold[2],
           (unsigned long long) world.ntold[3],
           (unsigned long long) world.ntold[4],
           (unsigned long long) world.nreads,
           (unsigned long long) world.nheads,
           (unsigned long long) world.nkept_lost,
           (unsigned long long) world.ngone);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_worlds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
