/* LINK: t/unit/test_bus.c */

/*
 * A consumer that is told to stop does stop, whatever it is at: looking for
 * its place, just assigned, giving partitions back. One stays, another comes
 * and goes quickly, so that each time both are given other partitions; now
 * and then the one that stays is replaced, too.
 */

#include "test_bus.h"


#define ROUNDS  50


static int64_t  longest;


/* No bus_consumer_holds(): the end of one may hold up the loop of both. */
static void
record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    (void) data;

    bus_done(c, rec->partition, &rec->offset);
}


static int
owns(void *data)
{
    return bus_consumer_owned(((eater_t *) data)->c) > 0;
}


static void
stop(eater_t *e)
{
    int64_t  begin;

    begin = svc_now();
    eater_stop(e);

    if (svc_now() - begin > longest) {
        longest = svc_now() - begin;
    }
}


/* Some partitions have records, and places once they have been read. */
static void
fill(void)
{
    int      i;
    maker_t  m;

    maker_ready(&m);

    for (i = 0; i < 100; i++) {
        maker_send(&m, i % 4, i, 20000);
    }

    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 100);
    maker_stop(&m);
}


static void
test_stops(void **state)
{
    int      i;
    eater_t  stays, comes;

    (void) state;

    srand((unsigned) getpid());

    bus.conf.timeout = 10000;
    test_bus_prop("session.timeout.ms", "3000");
    test_bus_prop("heartbeat.interval.ms", "50");

    fill();
    eater_start_with(&stays, record);
    test_wait(bus.base, owns, &stays);

    for (i = 0; i < ROUNDS; i++) {
        eater_start_with(&comes, record);

        if (i % 3 == 0) {
            test_wait(bus.base, owns, &comes);
        }

        test_run(bus.base, rand() % 40);
        stop(&comes);

        if (i % 5 == 4) {
            stop(&stays);
            eater_start_with(&stays, record);
            test_run(bus.base, rand() % 40);
        }
    }

    stop(&stays);
    fprintf(stderr, "the longest stop took %lld ms\n", (long long) longest);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        BUS_CASE(test_stops),
    };

    test_bus_init(LOG_INFO);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
