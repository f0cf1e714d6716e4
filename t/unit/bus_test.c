/* LINK: t/unit/test_bus.c */

/*
 * The bus, by its interface: what every driver does while all is well, and
 * what it does when a consumer comes, goes or dies.
 */

#include "test_bus.h"


static void
test_way(void **state)
{
    int           k;
    char          name[16];
    size_t        i, len;
    eater_t       e;
    maker_t       m;
    const char   *at;

    (void) state;

    maker_ready(&m);
    eater_start(&e, 1);

    maker_send_many(&m, 20, 0, 50, 10000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 1000);

    eater_wait(&e, 1000);
    test_run(bus.base, 50);
    assert_int_equal(e.n, 1000);
    eater_check_order(&e);

    assert_non_null(bus_consumer_epoch(e.c, &len));
    assert_in_range(len, 1, 64);

    /* the key says the partition, and the order of a key is kept */

    for (k = 0; k < 20; k++) {
        int  next = 0;

        snprintf(name, sizeof(name), "k%d:", k);

        for (i = 0; i < e.n; i++) {
            at = e.seen[i].text;

            if (strncmp(at, name, strlen(name)) == 0) {
                assert_int_equal(e.seen[i].partition,
                                 goim_partition(name, strlen(name) - 1,
                                                PARTITIONS));
                assert_int_equal(atoi(strchr(at, ':') + 1), next++);
            }
        }

        assert_int_equal(next, 50);
    }

    /* one at a time comes without any delay of polling */

    for (i = 0; i < 20; i++) {
        maker_send(&m, 1, 1000 + (int) i, 10000);
        eater_wait(&e, 1001 + i);
    }

    maker_stop(&m);
    eater_end(&e);
}


static void
test_pause(void **state)
{
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_ready(&m);
    eater_start(&e, 1);
    maker_send_many(&m, 10, 0, 1, 10000);
    eater_wait(&e, 10);

    bus_pause(e.c);
    maker_send_many(&m, 10, 1, 50, 10000);
    maker_wait(&m);
    test_run(bus.base, 300);
    assert_in_range(e.n, 10, 10 + PARTITIONS);

    /* in the middle of what came together */

    e.pause_at = 100;
    bus_resume(e.c);
    eater_wait(&e, 100);
    test_run(bus.base, 300);
    assert_in_range(e.n, 100, 100 + PARTITIONS);

    bus_resume(e.c);
    eater_wait(&e, 500);
    test_run(bus.base, 50);
    assert_int_equal(e.n, 500);
    eater_check_order(&e);

    maker_stop(&m);
    eater_end(&e);
}


static void
test_share(void **state)
{
    int      k, i;
    eater_t  a, b;
    maker_t  m;

    (void) state;

    maker_ready(&m);

    eater_start(&a, 1);
    eater_wait_owned(&a, NULL, PARTITIONS);
    maker_send_many(&m, 50, 0, 10, 10000);

    /* another one joins while messages flow */

    eater_start(&b, 1);
    maker_send_many(&m, 50, 10, 20, 10000);
    eater_wait_owned(&a, &b, PARTITIONS / 2);
    maker_send_many(&m, 50, 20, 30, 10000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 1500);
    test_run(bus.base, 300);

    /* and the first one goes */

    eater_stop(&a);
    maker_send_many(&m, 50, 30, 40, 10000);
    maker_wait(&m);
    eater_wait_owned(&b, NULL, PARTITIONS);

    for (i = 0; i < 40; i++) {
        for (k = 0; k < 50; k++) {
            int64_t  end = svc_now() + TEST_BOUND;

            while (eater_count(&a, k, i) + eater_count(&b, k, i) == 0) {
                assert_true(svc_now() < end);
                test_run(bus.base, 20);
            }
        }
    }

    maker_stop(&m);
    eater_stop(&b);
    eater_forget(&a);
    eater_forget(&b);
}


/* A job in a process of its own, which is killed. */
static void
test_death(void **state)
{
    int       fds[2], status;
    char      byte;
    pid_t     pid;
    eater_t   e;
    maker_t   m;

    (void) state;

    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid = fork();
    assert_int_not_equal(pid, -1);

    if (pid == 0) {
        /* cmocka's assertions belong to the other process */

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bus.base = event_base_new();
        bus.r = svc_redis_new(bus.base, &bus.redis_conf, NULL);
        test_until(bus.base, test_redis_up, bus.r, TEST_BOUND);
        eater_start(&e, 1);

        if (eater_until_owned(&e, NULL, PARTITIONS)
            && write(fds[1], "x", 1) == 1)
        {
            test_run(bus.base, 120000);
        }

        _exit(1);
    }

    close(fds[1]);
    maker_ready(&m);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);

    maker_send_many(&m, 50, 0, 4, 10000);
    eater_start(&e, 1);
    eater_wait_owned(&e, NULL, PARTITIONS);
    maker_wait(&m);
    eater_wait(&e, 200);

    maker_stop(&m);
    eater_end(&e);
    close(fds[0]);
}


static void
test_limits(void **state)
{
    int       i;
    char     *big;
    size_t    size;
    eater_t   e;
    maker_t   m;

    (void) state;

    /* nobody to talk to yet: answered all the same, once, and in time */

    maker_start(&m);
    maker_send(&m, 1, 1, 5000);
    maker_send(&m, 1, 2, 5000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 2);

    /* empty ones and big ones */

    eater_start(&e, 1);
    eater_wait(&e, 2);

    size = 500000;
    big = malloc(size);
    memset(big, 'x', size);

    for (i = 2; i < 22; i++) {
        maker_send_raw(&m, "key", big, i % 2 ? size : 0, 20000);
    }

    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 22);
    eater_wait(&e, 22);
    free(big);

    maker_stop(&m);
    eater_end(&e);
}


/* Redis knows how many partitions there are. */
static void
redis_test_mismatch(void **state)
{
    char             err[256];
    maker_t          m;
    bus_conf_t       other;
    bus_producer_t  *p;

    (void) state;

    maker_ready(&m);

    other = bus.conf;
    other.partitions = 3;

    p = bus_producer_new(bus.base, &other, bus.r, err, sizeof(err));
    assert_non_null(p);
    test_run(bus.base, 200);
    assert_false(bus_producer_healthy(p));
    bus_producer_free(p);

    other.driver = (char *) "pigeon";
    assert_int_equal(bus_check(&other, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "pigeon"));

    maker_stop(&m);
}


int
main(void)
{
    const struct CMUnitTest  family[] = {
        BUS_CASE(test_way),
        BUS_CASE(test_pause),
        BUS_CASE(test_share),
        BUS_CASE(test_death),
        BUS_CASE(test_limits),
    };
    const struct CMUnitTest  with_redis[] = {
        BUS_CASE(redis_test_mismatch),
    };
    int  failed;

    test_bus_init(LOG_DEBUG);

    failed = cmocka_run_group_tests(family, NULL, NULL);

    if (test_bus_is_redis()) {
        failed += cmocka_run_group_tests(with_redis, NULL, NULL);
    }

    return failed;
}
