/* LINK: t/unit/test_bus.c */

/*
 * The broker is killed, stands still, is full or is not there: the producer is
 * told of each record what became of it, and that is what became of it.
 *
 * GOIM_BUS_KAFKA_PID lets Kafka be stopped for a while, GOIM_BUS_KAFKA_RESTART
 * is a command that kills it and starts it again.
 */

#include "test_bus.h"


/* ---- the Redis bus ---- */

/* Every record that was answered BUS_OK is in the streams, in order. */
static void
check_acknowledged(void)
{
    int           p, last[64];
    size_t        i, j, found;
    redisReply   *reply, *fields;

    found = 0;

    for (p = 0; p < PARTITIONS; p++) {
        memset(last, -1, sizeof(last));
        reply = test_cmd(&bus.redis, "XRANGE p:goim:bus:%d - +", p);

        for (i = 0; i < reply->elements; i++) {
            int  key, number;

            fields = reply->element[i]->element[1];
            assert_int_equal(sscanf(fields->element[3]->str, "k%d:%d", &key,
                                    &number), 2);
            assert_true(number > last[key]);
            last[key] = number;

            j = (size_t) number * 50 + (size_t) key;
            assert_int_equal(made[j].key, key);
            assert_int_not_equal(made[j].result, BUS_FAILED);
            found += (made[j].result == BUS_OK);
        }

        freeReplyObject(reply);
    }

    for (i = 0, j = 0; i < nmade; i++) {
        j += (made[i].result == BUS_OK);
    }

    assert_int_equal(found, j);
}


static void
redis_test_kill(void **state)
{
    int      i;
    maker_t  m;

    (void) state;

    maker_ready(&m);

    for (i = 0; i < 100; i++) {
        maker_send_many(&m, 50, i, i + 1, 2000);
        test_run(bus.base, 2);

        if (i % 30 == 20) {
            test_redis_kill(&bus.redis, SIGKILL);
            maker_send_many(&m, 50, i + 1, i + 2, 2000);
            i++;
            test_run(bus.base, 50);
            test_redis_spawn(&bus.redis);
        }
    }

    maker_wait(&m);
    assert_in_range(m.result[BUS_OK], 3000, 5000);
    check_acknowledged();
    maker_stop(&m);
}


static void
redis_test_stop(void **state)
{
    maker_t  m;
    int64_t  start;

    (void) state;

    maker_ready(&m);
    maker_send_many(&m, 50, 0, 1, 2000);
    maker_wait(&m);

    kill(bus.redis.pid, SIGSTOP);
    start = svc_now();
    maker_send_many(&m, 50, 1, 2, 500);
    maker_wait(&m);
    assert_in_range(svc_now() - start, 400, 5000);
    assert_int_equal(m.result[BUS_UNKNOWN], 50);

    /* the connection is given up, what comes now is not handed over */

    test_run(bus.base, 1200);
    maker_send_many(&m, 50, 2, 3, 500);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_FAILED], 50);
    assert_false(bus_producer_healthy(m.p));

    kill(bus.redis.pid, SIGCONT);
    maker_send_many(&m, 50, 3, 4, 5000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 100);
    check_acknowledged();
    maker_stop(&m);
}


static void
redis_test_full(void **state)
{
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_ready(&m);
    maker_send_many(&m, 1, 0, 100, 2000);
    maker_wait(&m);

    test_do(&bus.redis, "CONFIG SET maxmemory 1");
    maker_send_many(&m, 1, 100, 110, 300);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_FAILED], 10);

    /* refused for a while, then accepted */

    maker_send_many(&m, 1, 110, 120, 10000);
    test_run(bus.base, 100);
    assert_int_equal(m.answered, 110);
    assert_false(bus_producer_healthy(m.p));

    /* a full Redis can be emptied */

    eater_start(&e, 1);
    eater_wait(&e, 100);
    test_wait(bus.base, test_bus_drained, NULL);

    test_do(&bus.redis, "CONFIG SET maxmemory 0");
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 110);
    eater_wait(&e, 110);
    assert_string_equal(e.seen[100].text, "k0:110");

    maker_stop(&m);
    eater_end(&e);
}


/* Refusals that Redis has counted. */
static int
refusals(void)
{
    int          n;
    const char  *p;
    redisReply  *reply;

    reply = test_cmd(&bus.redis, "INFO errorstats");
    p = strstr(reply->str, "errorstat_OOM:count=");
    n = p != NULL ? atoi(p + 20) : 0;
    freeReplyObject(reply);

    return n;
}


/* Much waits for a full Redis: one batch asks whether it still is. */
static void
redis_test_probe(void **state)
{
    int      first;
    maker_t  m;

    (void) state;

    maker_ready(&m);
    test_do(&bus.redis, "CONFIG SET maxmemory 1");

    maker_send_many(&m, 50, 0, 200, 30000);
    test_run(bus.base, 2000);
    first = refusals();
    assert_in_range(first, 1, 140);     /* 79 batches once each, and probes */

    test_run(bus.base, 2000);
    assert_in_range(refusals() - first, 2, 20);
    assert_int_equal(m.answered, 0);

    test_do(&bus.redis, "CONFIG SET maxmemory 0");
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 10000);

    maker_stop(&m);
}


/* ---- the Kafka bus ---- */

/* Every record that was answered BUS_OK came, once. */
static void
check_all_came(eater_t *e)
{
    size_t   i, n;
    int64_t  end;

    end = svc_now() + TEST_BOUND;

    for (i = 0; i < nmade; i++) {

        if (made[i].result != BUS_OK) {
            continue;
        }

        while ((n = eater_count(e, made[i].key, made[i].number)) == 0) {

            if (svc_now() > end) {
                fail_msg("k%d:%d was acknowledged and has not come",
                         made[i].key, made[i].number);
            }

            test_run(bus.base, 20);
        }

        assert_int_equal(n, 1);
    }
}


static void
kafka_test_stop(void **state)
{
    pid_t        pid;
    eater_t      e;
    maker_t      m;
    int64_t      start;
    const char  *text;

    (void) state;

    text = getenv("GOIM_BUS_KAFKA_PID");

    if (text == NULL) {
        skip();
    }

    pid = atoi(text);
    bus.conf.timeout = 3000;

    maker_ready(&m);
    eater_start(&e, 1);
    maker_send_many(&m, 20, 0, 5, 3000);
    maker_wait(&m);
    eater_wait(&e, 100);
    assert_int_equal(m.result[BUS_OK], 100);

    kill(pid, SIGSTOP);
    start = svc_now();
    maker_send_many(&m, 20, 5, 10, 3000);
    maker_wait(&m);
    kill(pid, SIGCONT);
    assert_in_range(svc_now() - start, 1000, 8000);

    /* threads of the broker that were at work stop a moment later */

    assert_in_range(m.result[BUS_OK], 100, 150);
    assert_int_equal(m.result[BUS_OK] + m.result[BUS_FAILED]
                     + m.result[BUS_UNKNOWN], 200);

    /* and it goes on, each acknowledged one once */

    start = svc_now();

    do {
        int  ok = m.result[BUS_OK];

        maker_send_many(&m, 20, 10 + (int) nmade, 11 + (int) nmade, 3000);
        maker_wait(&m);

        if (m.result[BUS_OK] == ok + 20) {
            break;
        }
    } while (svc_now() - start < TEST_BOUND);

    assert_in_range(m.result[BUS_OK], 120, 1000000);
    check_all_came(&e);

    maker_stop(&m);
    eater_end(&e);
}


/*
 * The broker is killed and comes back while records flow: what was
 * acknowledged has been written, once, in the order of its key.
 */
static void
kafka_test_kill(void **state)
{
    int          i, k, last;
    char         name[16];
    size_t       j;
    eater_t      e;
    maker_t      m;
    const char  *restart, *text;

    (void) state;

    restart = getenv("GOIM_BUS_KAFKA_RESTART");

    if (restart == NULL) {
        skip();
    }

    bus.conf.timeout = 30000;
    maker_ready(&m);
    eater_start(&e, 1);

    for (i = 0; i < 60; i++) {
        maker_send_many(&m, 50, i, i + 1, 30000);
        test_run(bus.base, 5);

        if (i == 30) {
            assert_int_equal(system(restart), 0);
        }
    }

    maker_wait(&m);
    assert_in_range(m.result[BUS_OK], 1500, 3000);
    check_all_came(&e);

    for (k = 0; k < 50; k++) {
        snprintf(name, sizeof(name), "k%d:", k);
        last = -1;

        for (j = 0; j < e.n; j++) {
            text = e.seen[j].text;

            if (strncmp(text, name, strlen(name)) == 0) {
                assert_true(atoi(strchr(text, ':') + 1) > last);
                last = atoi(strchr(text, ':') + 1);
            }
        }
    }

    maker_stop(&m);
    eater_end(&e);
}


/* Nobody there: certainly not written, said in time. */
static void
kafka_test_away(void **state)
{
    char     addr[32];
    maker_t  m;
    int64_t  start;

    (void) state;

    snprintf(addr, sizeof(addr), "127.0.0.1:%d", test_port());
    bus.props[1] = addr;
    bus.conf.timeout = 2000;

    maker_start(&m);
    start = svc_now();
    maker_send_many(&m, 5, 0, 5, 2000);
    assert_int_equal(bus_producer_partitions(m.p), 0);
    assert_false(bus_producer_healthy(m.p));
    maker_wait(&m);
    assert_in_range(svc_now() - start, 500, 5000);
    assert_int_equal(m.result[BUS_OK], 0);
    assert_in_range(m.result[BUS_FAILED], 1, 25);

    maker_stop(&m);
}


int
main(void)
{
    const struct CMUnitTest  with_redis[] = {
        BUS_CASE(redis_test_kill),
        BUS_CASE(redis_test_stop),
        BUS_CASE(redis_test_full),
        BUS_CASE(redis_test_probe),
    };
    const struct CMUnitTest  with_kafka[] = {
        BUS_CASE(kafka_test_stop),
        BUS_CASE(kafka_test_kill),
        BUS_CASE(kafka_test_away),
    };

    test_bus_init(LOG_DEBUG);

    if (test_bus_is_redis()) {
        return cmocka_run_group_tests(with_redis, NULL, NULL);
    }

    return cmocka_run_group_tests(with_kafka, NULL, NULL);
}
