/*
 * Leases of partitions (svc/lease.c): who comes, goes, dies and sleeps. Leases'
 * clock stands until a test moves it; turns come by the loop's own.
 */

#include "test_redis.h"

#include "svc/lease_int.h"

#include <sys/syscall.h>


#define N      8
#define EPOCH  "30313233343536373839616263646500"


/* What the boot clock, leases' own, tells. */
static int64_t  boot = 1000000;     /* ms */


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    if (id == CLOCK_BOOTTIME) {
        ts->tv_sec = boot / 1000;
        ts->tv_nsec = boot % 1000 * 1000000;
        return 0;
    }

    return (int) syscall(SYS_clock_gettime, id, ts);
}


typedef struct {
    lease_t  *l;
    int       owned;
    int       lost;
    int       giving;
    int       looked;
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
    ((holder_t *) data)->looked++;
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
    h->l = lease_new(base, r, "p:goim:bus:", 0, &events);
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


static int
has_answers(void *data)
{
    return ((holder_t *) data)->l->calls == 0;
}


/* As if its process were killed: nothing is said. */
static void
holder_die(holder_t *h)
{
    test_wait(base, has_answers, h);
    lease_free(h->l);
    h->l = NULL;
}


static int
has_looked(void *data)
{
    return ((holder_t *) data)->looked > 0 && has_answers(data);
}


/* A whole turn, now; if one is under way, another one after it. */
static void
holder_look(holder_t *h)
{
    h->looked = 0;
    lease_begin(h->l, epoch, N, svc_redis_life(r));
    test_wait(base, has_looked, h);
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
    int       i;
    holder_t  a, b;

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);
    holder_start(&b);
    test_wait(base, has_half, &b);
    holder_die(&a);
    holder_look(&b);

    for (i = 0; i < 4; i++) {
        assert_int_equal(b.owned, N / 2);
        boot += i < 3 ? LEASE_TIME / 4 : LEASE_TIME / 4 - 1;
        holder_look(&b);
    }

    assert_int_equal(b.owned, N / 2);
    boot++;
    test_wait(base, has_all, &b);
    assert_int_equal(b.lost, 0);

    holder_end(&b);
}


/* Each partition is somebody's, for sure. */
static int
are_held(void *data)
{
    uint32_t   n;
    holder_t **h;

    h = data;

    for (n = 0; n < N; n++) {
        if (lease_holds(h[0]->l, n) + lease_holds(h[1]->l, n) != 1) {
            return 0;
        }
    }

    return h[0]->owned == N / 2 && h[1]->owned == N / 2;
}


/* A holder that slept trusts none of its leases, though no timer has run. */
static void
test_sleep(void **state)
{
    uint32_t   n;
    holder_t   a, b, *both[2];

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);
    holder_start(&b);
    both[0] = &a;
    both[1] = &b;
    test_wait(base, are_held, both);

    boot += 60000;

    for (n = 0; n < N; n++) {
        assert_false(lease_holds(a.l, n));
        assert_false(lease_holds(b.l, n));
    }

    test_wait(base, are_held, both);

    holder_end(&a);
    holder_end(&b);
}


static int
has_lost(void *data)
{
    return ((holder_t *) data)->lost > 0;
}


/* Redis is another one, or its keys are gone. */
static void
test_lost(void **state)
{
    int       i;
    holder_t  a;

    (void) state;

    holder_start(&a);
    test_wait(base, has_all, &a);

    test_do(&redis, "SET p:goim:{3}:lease:" EPOCH " %s", "somebody/1/x 99 1");
    test_wait(base, has_lost, &a);

    /* who never does anything is over */

    for (i = 0; i < 4; i++) {
        assert_int_equal(a.lost, 1);
        assert_int_equal(a.owned, N - 1);
        boot += LEASE_TIME / 4;
        holder_look(&a);
    }

    test_wait(base, has_all, &a);
    assert_int_equal(a.lost, 1);

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
