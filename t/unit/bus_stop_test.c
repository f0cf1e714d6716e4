/*
 * A consumer that is told to stop does stop, whatever it is at: looking for
 * its place, just assigned, giving partitions back. One stays, another comes
 * and goes quickly, so that each time both are given other partitions; now
 * and then the one that stays is replaced, too.
 *
 * The driver is redis, or kafka with GOIM_BUS_KAFKA (an address).
 */

#include "test_redis.h"

#include "svc/bus.h"


#define PARTITIONS  8
#define ROUNDS      50


typedef struct {
    bus_consumer_t  *c;
    int              freed;
} eater_t;


static test_redis_t         redis;
static struct event_base   *base;
static svc_redis_t         *r;
static bus_conf_t           conf;
static char                 topic[64];
static char                *props[9];
static int64_t              longest;


static void
record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    (void) data;

    bus_done(c, rec->partition, &rec->offset);
}


static void
revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    (void) c;
    (void) partition;
    (void) data;
}


static void
freed(void *data)
{
    ((eater_t *) data)->freed = 1;
}


static int
is_freed(void *data)
{
    return ((eater_t *) data)->freed;
}


static int
owns(void *data)
{
    return bus_consumer_owned(((eater_t *) data)->c) > 0;
}


static void
start(eater_t *e)
{
    char                   err[256];
    bus_consumer_events_t  events = { record, revoked, e };

    e->freed = 0;
    e->c = bus_consumer_new(base, &conf, r, &events, err, sizeof(err));

    if (e->c == NULL) {
        fail_msg("%s", err);
    }
}


static void
stop(eater_t *e)
{
    int64_t  begin;

    begin = svc_now();
    bus_consumer_free(e->c, freed, e);
    test_wait(base, is_freed, e);

    if (svc_now() - begin > longest) {
        longest = svc_now() - begin;
    }
}


static void
produced(bus_result_t result, void *data)
{
    assert_int_equal(result, BUS_OK);
    ++*(int *) data;
}


static int
all_produced(void *data)
{
    return *(int *) data == 100;
}


static int
knows(void *data)
{
    return bus_producer_partitions(data) > 0;
}


/* Some partitions have records, and places once they have been read. */
static void
fill(void)
{
    int              i, n;
    char             key[16], err[256];
    bus_producer_t  *p;

    p = bus_producer_new(base, &conf, r, err, sizeof(err));

    if (p == NULL) {
        fail_msg("%s", err);
    }

    test_wait(base, knows, p);

    for (n = 0, i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k%d", i % 4);
        bus_produce(p, key, strlen(key), "x", 1, 20000, produced, &n);
    }

    test_wait(base, all_produced, &n);
    bus_producer_free(p);
}


static void
test_stops(void **state)
{
    int                i;
    eater_t            stays, comes;
    svc_redis_conf_t   redis_conf;

    (void) state;

    srand((unsigned) getpid());
    test_redis_start(&redis);
    test_redis_conf(&redis_conf, redis.addr);
    base = event_base_new();
    r = svc_redis_new(base, &redis_conf, NULL);
    test_wait(base, test_redis_up, r);

    fill();
    start(&stays);
    test_wait(base, owns, &stays);

    for (i = 0; i < ROUNDS; i++) {
        start(&comes);

        if (i % 3 == 0) {
            test_wait(base, owns, &comes);
        }

        test_run(base, rand() % 40);
        stop(&comes);

        if (i % 5 == 4) {
            stop(&stays);
            start(&stays);
            test_run(base, rand() % 40);
        }
    }

    stop(&stays);
    fprintf(stderr, "the longest stop took %lld ms\n", (long long) longest);

    svc_redis_free(r);
    event_base_free(base);
    test_redis_end(&redis);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_stops),
    };

    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, LOG_INFO);

    snprintf(topic, sizeof(topic), "goim-stop-%d", (int) getpid());
    conf.driver = (char *) (getenv("GOIM_BUS_KAFKA") ? "kafka" : "redis");
    conf.partitions = PARTITIONS;
    conf.topic = topic;
    conf.group = topic;
    conf.generation = 1;
    conf.timeout = 10000;
    conf.props = props;
    props[0] = (char *) "bootstrap.servers";
    props[1] = getenv("GOIM_BUS_KAFKA");
    props[2] = (char *) "session.timeout.ms";
    props[3] = (char *) "3000";
    props[4] = (char *) "heartbeat.interval.ms";
    props[5] = (char *) "50";

    return cmocka_run_group_tests(tests, NULL, NULL);
}
