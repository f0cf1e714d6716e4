/* LINK: t/unit/test_bus.c */

/*
 * Where a consumer goes on: behind what was done, whatever has become of
 * Redis's keys and of the log meanwhile.
 */

#include "test_bus.h"

#include "svc/bus_kafka_consumer.h"


static void
test_place(void **state)
{
    size_t    i;
    eater_t   e;
    maker_t   m;

    (void) state;

    maker_ready(&m);
    maker_send_many(&m, 1, 0, 100, 10000);
    maker_wait(&m);

    /* forty are done */

    eater_start(&e, 0);
    eater_wait(&e, 100);

    for (i = 0; i < 40; i++) {
        bus_done(e.c, e.seen[i].partition, &e.seen[i].offset);
    }

    eater_end(&e);

    /* sixty are left; a place never goes back */

    eater_start(&e, 0);
    eater_wait(&e, 60);
    test_run(bus.base, 50);
    assert_int_equal(e.n, 60);
    assert_string_equal(e.seen[0].text, "k0:40");

    bus_done(e.c, e.seen[59].partition, &e.seen[59].offset);
    bus_done(e.c, e.seen[10].partition, &e.seen[10].offset);
    test_run(bus.base, 150);
    bus_done(e.c, e.seen[5].partition, &e.seen[5].offset);
    eater_end(&e);

    eater_start(&e, 1);
    maker_send(&m, 0, 100, 10000);
    maker_wait(&m);
    eater_wait(&e, 1);
    assert_string_equal(e.seen[0].text, "k0:100");

    maker_stop(&m);
    eater_end(&e);
}


/* ---- a Redis that loses its newest writes ---- */

static void
redis_keep(void)
{
    char  cmd[256];

    snprintf(cmd, sizeof(cmd), "cp -r %s/appendonlydir %s/kept", bus.redis.dir,
             bus.redis.dir);
    assert_int_equal(system(cmd), 0);
}


/* Killed, and back as it was at redis_keep(). */
static void
redis_go_back(void)
{
    char  cmd[256];

    test_redis_kill(&bus.redis, SIGKILL);
    snprintf(cmd, sizeof(cmd), "cd %s && rm -rf appendonlydir && mv kept "
             "appendonlydir", bus.redis.dir);
    assert_int_equal(system(cmd), 0);
    test_redis_spawn(&bus.redis);
}


/* ---- the Redis bus ---- */

static int
last_came(void *data)
{
    return eater_count(data, 0, 49) > 0;
}


static void
redis_test_broken(void **state)
{
    int       p;
    char      epoch[2 * BUS_EPOCH_LEN + 1];
    size_t    len;
    eater_t   e;
    maker_t   m;

    (void) state;

    p = (int) goim_partition("k0", 2, PARTITIONS);

    maker_ready(&m);
    eater_start(&e, 1);
    maker_send_many(&m, 1, 0, 10, 5000);
    eater_wait(&e, 10);
    test_wait(bus.base, test_bus_drained, NULL);

    /* odd records are skipped */

    test_do(&bus.redis, "XADD p:goim:bus:%d %llu-* a b", p,
            (unsigned long long) svc_redis_life(bus.r));
    test_do(&bus.redis, "XADD p:goim:bus:%d %llu-* v mine", p,
            (unsigned long long) svc_redis_life(bus.r));
    eater_wait(&e, 11);
    assert_string_equal(e.seen[10].text, "mine");

    /* another type, a stream that is gone: begun anew above what was read */

    test_do(&bus.redis, "SET p:goim:bus:%d x", p);
    maker_send_many(&m, 1, 10, 20, 10000);
    eater_wait(&e, 21);
    test_wait(bus.base, test_bus_drained, NULL);

    test_do(&bus.redis, "DEL p:goim:bus:%d", p);
    maker_send_many(&m, 1, 20, 30, 10000);
    maker_wait(&m);
    eater_wait(&e, 31);
    assert_int_equal(eater_count(&e, 0, 29), 1);

    /* leases, places and the rest */

    bus_hex(epoch, bus_consumer_epoch(e.c, &len), BUS_EPOCH_LEN);
    test_do(&bus.redis, "DEL p:goim:{%d}:lease:%s", p, epoch);
    test_do(&bus.redis, "LPUSH p:goim:{%d}:lease:%s x", p, epoch);
    test_do(&bus.redis, "SET p:goim:{%d}:fence:%s x", p, epoch);
    test_do(&bus.redis, "DEL p:goim:{%d}:done", p);
    test_do(&bus.redis, "SET p:goim:{%d}:done x", p);
    test_do(&bus.redis, "SET p:goim:bus:members:%s x", epoch);
    test_do(&bus.redis, "SET p:goim:bus:notes x");
    maker_send_many(&m, 1, 30, 40, 10000);
    eater_wait(&e, 41);
    eater_wait_owned(&e, NULL, PARTITIONS);

    /* everything gone at once */

    test_do(&bus.redis, "FLUSHALL");
    maker_send_many(&m, 1, 40, 50, 10000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 50);
    test_wait(bus.base, last_came, &e);

    maker_stop(&m);
    eater_end(&e);
}


/*
 * Redis comes back without its newest writes: the place went back with the
 * effects, so what was done since is done again.
 */
static void
redis_test_older(void **state)
{
    size_t    len;
    eater_t   e;
    maker_t   m;
    uint8_t   epoch[64];

    (void) state;

    maker_ready(&m);
    eater_start(&e, 0);
    maker_send_many(&m, 1, 0, 10, 5000);
    eater_wait(&e, 10);
    bus_done(e.c, e.seen[4].partition, &e.seen[4].offset);
    test_run(bus.base, 200);
    memcpy(epoch, bus_consumer_epoch(e.c, &len), 16);

    redis_keep();

    bus_done(e.c, e.seen[9].partition, &e.seen[9].offset);
    test_run(bus.base, 200);
    assert_true(test_bus_drained(NULL));

    redis_go_back();

    eater_wait(&e, 15);
    assert_int_equal(e.revoked, PARTITIONS);
    assert_string_equal(e.seen[10].text, "k0:5");
    assert_memory_equal(epoch, bus_consumer_epoch(e.c, &len), 16);

    /* new ones stand behind, with larger offsets than any before */

    maker_send_many(&m, 1, 10, 11, 5000);
    eater_wait(&e, 16);
    assert_string_equal(e.seen[15].text, "k0:10");
    assert_true(goim_offset_cmp(&e.seen[9].offset, &e.seen[15].offset) < 0);

    maker_stop(&m);
    eater_end(&e);
}


/* The places of a version before stand in one hash for all partitions. */
static void
redis_test_upgrade(void **state)
{
    int          p;
    char         epoch[33], place[64];
    eater_t      e;
    maker_t      m;
    redisReply  *done;

    (void) state;

    p = (int) goim_partition("k0", 2, PARTITIONS);

    maker_ready(&m);
    maker_send_many(&m, 1, 0, 10, 5000);
    maker_wait(&m);

    eater_start(&e, 0);
    eater_wait(&e, 10);
    bus_done(e.c, e.seen[3].partition, &e.seen[3].offset);
    eater_end(&e);

    done = test_cmd(&bus.redis, "HGETALL p:goim:{%d}:done", p);
    assert_int_equal(done->elements, 2);
    snprintf(epoch, sizeof(epoch), "%s", done->element[0]->str);
    snprintf(place, sizeof(place), "%s", done->element[1]->str);
    freeReplyObject(done);

    test_do(&bus.redis, "DEL p:goim:{%d}:done", p);
    test_do(&bus.redis, "HSET p:goim:done:%s %d %s", epoch, p, place);

    eater_start(&e, 0);
    eater_wait(&e, 6);
    test_run(bus.base, 100);
    assert_int_equal(e.n, 6);
    assert_string_equal(e.seen[0].text, "k0:4");
    bus_done(e.c, e.seen[5].partition, &e.seen[5].offset);
    eater_end(&e);

    /* what stands there is not newer for ever */

    eater_start(&e, 0);
    eater_wait_owned(&e, NULL, PARTITIONS);
    test_run(bus.base, 200);
    assert_int_equal(e.n, 0);

    maker_stop(&m);
    eater_end(&e);
}


/* ---- the Kafka bus ---- */

/* Redis comes back without its newest writes. */
static void
kafka_test_older(void **state)
{
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_ready(&m);
    eater_start(&e, 0);
    maker_send_many(&m, 1, 0, 10, 10000);
    eater_wait(&e, 10);
    bus_done(e.c, e.seen[4].partition, &e.seen[4].offset);
    test_run(bus.base, 200);

    redis_keep();

    bus_done(e.c, e.seen[9].partition, &e.seen[9].offset);
    test_run(bus.base, 1200);

    redis_go_back();

    eater_wait(&e, 15);
    assert_int_equal(e.revoked, PARTITIONS);
    assert_string_equal(e.seen[10].text, "k0:5");

    /* everything gone: what Kafka was told is the second best place */

    bus_done(e.c, e.seen[14].partition, &e.seen[14].offset);
    test_run(bus.base, 1500);
    test_do(&bus.redis, "FLUSHALL");
    maker_send_many(&m, 1, 10, 11, 10000);
    eater_wait(&e, 16);
    bus_done(e.c, e.seen[15].partition, &e.seen[15].offset);
    test_run(bus.base, 2000);
    assert_string_equal(e.seen[e.n - 1].text, "k0:10");
    assert_in_range(e.n, 16, 17);

    maker_stop(&m);
    eater_end(&e);
}


/* The epoch as text. */
static const char *
epoch_text(eater_t *e)
{
    size_t  len;

    static char  text[2 * BUS_EPOCH_LEN + 1];

    bus_hex(text, bus_consumer_epoch(e->c, &len), BUS_EPOCH_LEN);

    return text;
}


/*
 * A place that the log never reached, and nothing remembered of what was
 * done: that partition begins anew, as another run of its log, the others go
 * on.
 */
static void
kafka_test_run(void **state)
{
    int       p;
    char      first[2 * BUS_EPOCH_LEN + 1];
    size_t    i, n;
    eater_t   e;
    maker_t   m;
    uint64_t  run, offset;

    (void) state;

    p = (int) goim_partition("k0", 2, PARTITIONS);

    maker_ready(&m);
    maker_send_many(&m, 20, 0, 5, 10000);
    maker_wait(&m);

    eater_start(&e, 1);
    eater_wait(&e, 100);
    test_run(bus.base, 200);
    strcpy(first, epoch_text(&e));

    for (i = 0, n = 0; i < 100; i++) {
        n += (e.seen[i].partition == (uint32_t) p);
    }

    eater_end(&e);

    test_do(&bus.redis, "HSET p:goim:{%d}:done %s 1000000", p, first);

    eater_start(&e, 1);
    eater_wait(&e, n);
    test_run(bus.base, 300);

    assert_string_equal(epoch_text(&e), first);
    assert_int_equal(e.n, n);

    for (i = 0; i < e.n; i++) {
        assert_int_equal(e.seen[i].partition, p);
        goim_offset_get(&e.seen[i].offset, &run, &offset);
        assert_int_equal(run, 1);
    }

    eater_end(&e);

    /* Redis forgets everything: Kafka was told which run it was */

    test_do(&bus.redis, "DEL p:goim:{%d}:done", p);
    eater_start(&e, 1);
    maker_send(&m, 0, 100, 10000);
    eater_wait(&e, 1);
    test_run(bus.base, 300);

    assert_int_equal(e.n, 1);
    goim_offset_get(&e.seen[0].offset, &run, &offset);
    assert_int_equal(run, 1);

    maker_stop(&m);
    eater_end(&e);
}


/*
 * The places of a version before stand in one hash for all partitions, and
 * what was remembered of them in a string with a head.
 */
static void
kafka_test_upgrade(void **state)
{
    int          p;
    char         epoch[2 * BUS_EPOCH_LEN + 1], head[64], *sums;
    char        *blank;
    size_t       len;
    eater_t      e;
    maker_t      m;
    int64_t      before;
    metric_t    *back;
    redisReply  *done, *kept;

    (void) state;

    p = (int) goim_partition("k0", 2, PARTITIONS);

    maker_ready(&m);
    maker_send_many(&m, 1, 0, 10, 10000);
    maker_wait(&m);

    eater_start(&e, 0);
    eater_wait(&e, 10);
    bus_done(e.c, e.seen[3].partition, &e.seen[3].offset);
    strcpy(epoch, epoch_text(&e));
    eater_end(&e);

    done = test_cmd(&bus.redis, "HGET p:goim:{%d}:done %s", p, epoch);
    kept = test_cmd(&bus.redis, "GET p:goim:{%d}:done:%s", p, epoch);
    assert_int_equal(kept->len, 4 * sizeof(uint32_t));

    /* "0-3 <time>", without the sum */

    memset(head, 0, sizeof(head));
    snprintf(head, sizeof(head), "%s", done->str);
    blank = strrchr(head, ' ');
    memset(blank, 0, sizeof(head) - (size_t) (blank - head));

    len = sizeof(head) + kept->len;
    sums = malloc(len);
    memcpy(sums, head, sizeof(head));
    memcpy(sums + sizeof(head), kept->str, kept->len);

    test_do(&bus.redis, "DEL p:goim:{%d}:done p:goim:{%d}:done:%s", p, p,
            epoch);
    test_do(&bus.redis, "HSET p:goim:done:%s %d 0-3", epoch, p);
    test_do(&bus.redis, "SET p:goim:done:%s:%d %b", epoch, p, sums, len);
    freeReplyObject(done);
    freeReplyObject(kept);

    eater_start(&e, 0);
    eater_wait(&e, 6);
    test_run(bus.base, 300);
    assert_int_equal(e.n, 6);
    assert_string_equal(e.seen[0].text, "k0:4");
    bus_done(e.c, e.seen[0].partition, &e.seen[0].offset);
    eater_end(&e);

    /* a record that is not the one that was done */

    sums[sizeof(head) + 2 * sizeof(uint32_t)]++;
    test_do(&bus.redis, "DEL p:goim:{%d}:done p:goim:{%d}:done:%s", p, p,
            epoch);
    test_do(&bus.redis, "SET p:goim:done:%s:%d %b", epoch, p, sums, len);

    eater_start(&e, 0);
    back = ((bus_kafka_consumer_t *) e.c)->went_back;
    before = metrics_get(back);
    eater_wait(&e, 8);
    assert_string_equal(e.seen[0].text, "k0:2");
    assert_int_equal(metrics_get(back), before + 1);
    eater_end(&e);

    free(sums);
    maker_stop(&m);
}


/* More is under way than records are remembered. */
static void
kafka_test_many(void **state)
{
    int        n;
    size_t     i;
    eater_t    e;
    maker_t    m;
    int64_t    before;
    metric_t  *back;

    (void) state;

    n = 40 * 500;
    assert_true(n > BUS_KAFKA_SUMS + 100);

    maker_ready(&m);
    eater_start(&e, 0);

    for (i = 0; i < (size_t) n; i += 500) {
        maker_send_many(&m, 1, (int) i, (int) i + 500, 20000);
        maker_wait(&m);
    }

    eater_wait(&e, (size_t) n);
    bus_done(e.c, e.seen[99].partition, &e.seen[99].offset);
    eater_end(&e);

    eater_start(&e, 0);
    back = ((bus_kafka_consumer_t *) e.c)->went_back;
    before = metrics_get(back);
    eater_wait(&e, (size_t) n - 100);
    test_run(bus.base, 300);
    assert_int_equal(e.n, n - 100);
    assert_string_equal(e.seen[0].text, "k0:100");
    assert_int_equal(metrics_get(back), before);

    maker_stop(&m);
    eater_end(&e);
}


static void
kafka_test_broken_keys(void **state)
{
    int      p;
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_ready(&m);

    eater_start(&e, 1);
    maker_send_many(&m, 10, 0, 5, 10000);
    eater_wait(&e, 50);
    test_run(bus.base, 200);

    for (p = 0; p < PARTITIONS; p++) {
        test_do(&bus.redis, "DEL p:goim:{%d}:done", p);
        test_do(&bus.redis, "SET p:goim:{%d}:done x", p);
        test_do(&bus.redis, "DEL p:goim:{%d}:done:%s", p, epoch_text(&e));
        test_do(&bus.redis, "HSET p:goim:{%d}:done:%s a b", p,
                epoch_text(&e));
    }

    maker_send_many(&m, 10, 5, 10, 10000);
    eater_wait(&e, 100);
    test_run(bus.base, 200);
    eater_stop(&e);

    assert_int_equal(test_num(&bus.redis, "HLEN p:goim:life"), 2);
    maker_stop(&m);
    eater_forget(&e);
}


int
main(void)
{
    const struct CMUnitTest  family[] = {
        BUS_CASE(test_place),
    };
    const struct CMUnitTest  with_redis[] = {
        BUS_CASE(redis_test_broken),
        BUS_CASE(redis_test_older),
        BUS_CASE(redis_test_upgrade),
    };
    const struct CMUnitTest  with_kafka[] = {
        BUS_CASE(kafka_test_older),
        BUS_CASE(kafka_test_run),
        BUS_CASE(kafka_test_upgrade),
        BUS_CASE(kafka_test_many),
        BUS_CASE(kafka_test_broken_keys),
    };
    int  failed;

    test_bus_init(LOG_DEBUG);

    failed = cmocka_run_group_tests(family, NULL, NULL);

    if (test_bus_is_redis()) {
        failed += cmocka_run_group_tests(with_redis, NULL, NULL);

    } else {
        failed += cmocka_run_group_tests(with_kafka, NULL, NULL);
    }

    return failed;
}
