/*
 * Leases of partitions (svc/lease.c): who comes, goes, dies and sleeps.
 */

#include "test_redis.h"

#include "svc/lease.h"

#include <sys/syscall.h>


#define N      8
#define EPOCH  "30313233343536373839616263646500"


/* A machine that has slept: its boot clock is ahead by so much. */
static int64_t  slept;              /* ms */


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    rc = (int) syscall(SYS_clock_gettime, id, ts);

    if (rc == 0 && id == CLOCK_BOOTTIME) {
        ts->tv_sec += slept / 1000;
    }

    return rc;
}


typedef struct {
    lease_t  *l;
    int       owned;
    int       lost;
    int       giving;
    int       ended;
} holder_t;


static const uint8_t        epoch[BUS_EPOCH_LEN] = "0123456789abcde";

static test_redis_t         redis;
static struct event_base   *base;
static svc_redis_conf_t     conf;
static svc_redis_t         *r;


static int
setup(void **state)
{
    (void) state;

    base = event_base_new();
    r = test_redis_open(&redis, base, &conf, NULL);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    test_redis_close(&redis, base, r);

    return 0;
}


static void
on_taken(uint32_t n, void *data)
{
    assert_in_range(n, 0, N - 1);
    ((holder_t *) data)->owned++;
}


static void
on_lost(uint32_t n, void *data)
{
    (void) n;

    ((holder_t *) data)->owned--;
    ((holder_t *) data)->lost++;
}


static void
on_giving(uint32_t n, void *data)
{
    (void) n;

    ((holder_t *) data)->owned--;
    ((holder_t *) data)->giving++;
}


static void
on_looked(void *data)
{
    (void) data;
}


static void
on_ended(void *data)
{
    ((holder_t *) data)->ended = 1;
}


static void
holder_start(holder_t *h)
{
    lease_events_t  events = {
        on_taken, on_lost, on_giving, on_looked, on_ended, h
    };

    memset(h, 0, sizeof(*h));
    h->l = lease_new(base, r, "p:goim:bus:", &events);
    lease_begin(h->l, epoch, N, svc_redis_life(r));
}


static int
has_ended(void *data)
{
    return ((holder_t *) data)->ended;
}


static void
holder_end(holder_t *h)
{
    lease_end(h->l);
    test_wait(base, has_ended, h);
    lease_free(h->l);
    h->l = NULL;
}


/* As if its process were killed: nothing is said. */
static void
holder_die(holder_t *h)
{
    test_run(base, 200);
    lease_free(h->l);
    h->l = NULL;
}


static int
has_all(void *data)
{
    return ((holder_t *) data)->owned == N;
}


static int
has_half(void *data)
{
    return ((holder_t *) data)->owned == N / 2;
}


static void
test_share(void **state)
{
    uint32_t  n;
    holder_t  a, b;

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);

    for (n = 0; n < N; n++) {
        assert_true(lease_holds(a.l, n));
    }

    holder_start(&b);
    test_wait(base, has_half, &b);
    assert_int_equal(a.owned, N / 2);
    assert_int_equal(a.giving, N / 2);
    assert_int_equal(a.lost, 0);

    for (n = 0; n < N; n++) {
        assert_int_equal(lease_holds(a.l, n) + lease_holds(b.l, n), 1);
    }

    holder_end(&a);
    test_wait(base, has_all, &b);
    holder_end(&b);
    assert_int_equal(test_num(&redis, "EXISTS p:goim:bus:members:" EPOCH), 0);
}


/* Nobody takes before the time is over, everybody soon after it. */
static void
test_death(void **state)
{
    int64_t   start;
    holder_t  a, b;

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);
    holder_start(&b);
    test_wait(base, has_half, &b);
    holder_die(&a);

    start = svc_now();
    test_wait(base, has_all, &b);
    assert_in_range(svc_now() - start, 2000, 15000);
    assert_int_equal(b.lost, 0);

    holder_end(&b);
}


/*
 * A holder that slept trusts none of its leases, though no timer has run; one
 * that watches takes nothing from who goes on renewing.
 */
static void
test_sleep(void **state)
{
    uint32_t  n;
    holder_t  a, b;

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);
    holder_start(&b);
    test_wait(base, has_half, &b);

    slept += 60000;

    for (n = 0; n < N; n++) {
        assert_false(lease_holds(a.l, n));
        assert_false(lease_holds(b.l, n));
    }

    /* both renew before either is taken for over */

    test_run(base, 3000);
    assert_int_equal(a.owned + b.owned, N);

    for (n = 0; n < N; n++) {
        assert_int_equal(lease_holds(a.l, n) + lease_holds(b.l, n), 1);
    }

    holder_end(&a);
    holder_end(&b);
}


/* Redis is another one, or its keys are gone. */
static void
test_lost(void **state)
{
    holder_t  a;

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);

    test_do(&redis, "DEL p:goim:{3}:lease:" EPOCH);
    test_do(&redis, "SET p:goim:{3}:lease:" EPOCH " %s", "somebody/1/x 99 1");
    test_run(base, 2500);
    assert_int_equal(a.lost, 1);
    assert_int_equal(a.owned, N - 1);

    /* who never does anything is over */

    test_wait(base, has_all, &a);

    lease_lose_all(a.l, "a test");
    assert_int_equal(a.owned, 0);
    test_wait(base, has_all, &a);

    holder_end(&a);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sleep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, LOG_DEBUG);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
