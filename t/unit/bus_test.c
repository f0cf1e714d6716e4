/*
 * The bus, by its interface: the same family of tests for every driver, with
 * real brokers. With GOIM_BUS_KAFKA (an address; GOIM_BUS_KAFKA_PID lets it be
 * stopped for a while, GOIM_BUS_KAFKA_RESTART is a command that kills it and
 * starts it again) the driver is kafka, else redis.
 */

#include "test_redis.h"

#include "svc/bus.h"

#include <sys/time.h>


#define PARTITIONS  8


static const char    *bus_name;

static test_redis_t         redis;
static struct event_base   *base;
static svc_redis_conf_t     redis_conf;
static svc_redis_t         *r;
static bus_conf_t           conf;
static char                 topic[64];


/* ---- a consumer that remembers ---- */

typedef struct {
    uint32_t         partition;
    goim_offset_t    offset;
    char             text[32];
} seen_t;

typedef struct {
    bus_consumer_t  *c;
    seen_t          *seen;
    size_t           n;
    size_t           size;
    int              ack;           /* done at once */
    size_t           pause_at;      /* pause in this record */
    int              revoked;
    int              freed;
} eater_t;


static void
eater_record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    seen_t   *s;
    eater_t  *e;

    e = data;

    assert_true(bus_consumer_holds(c, rec->partition));

    if (e->n == e->size) {
        e->size = e->size ? e->size * 2 : 1024;
        e->seen = realloc(e->seen, e->size * sizeof(seen_t));
        assert_non_null(e->seen);
    }

    s = &e->seen[e->n++];
    s->partition = rec->partition;
    s->offset = rec->offset;
    snprintf(s->text, sizeof(s->text), "%.*s", (int) rec->len,
             (const char *) rec->payload);

    if (e->ack) {
        bus_done(c, rec->partition, &rec->offset);
    }

    if (e->pause_at == e->n) {
        bus_pause(c);
    }
}


static void
eater_revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    (void) c;
    (void) partition;

    ((eater_t *) data)->revoked++;
}


static void
eater_freed(void *data)
{
    ((eater_t *) data)->freed = 1;
}


static void
eater_start(eater_t *e, int ack)
{
    char                   err[256];
    bus_consumer_events_t  events;

    memset(e, 0, sizeof(*e));
    e->ack = ack;

    events.record = eater_record;
    events.revoked = eater_revoked;
    events.data = e;

    e->c = bus_consumer_new(base, &conf, r, &events, err, sizeof(err));

    if (e->c == NULL) {
        fail_msg("%s", err);
    }
}


static int
eater_is_freed(void *data)
{
    return ((eater_t *) data)->freed;
}


static void
eater_stop(eater_t *e)
{
    bus_consumer_free(e->c, eater_freed, e);
    assert_false(e->freed);
    test_wait(base, eater_is_freed, e);
    e->c = NULL;
}


static void
eater_forget(eater_t *e)
{
    free(e->seen);
    e->seen = NULL;
    e->n = 0;
    e->size = 0;
}


typedef struct {
    eater_t   *a;
    eater_t   *b;
    size_t     n;
} want_t;


static int
eaten(void *data)
{
    want_t  *w;

    w = data;

    return w->a->n + (w->b != NULL ? w->b->n : 0) >= w->n;
}


static void
eater_wait(eater_t *e, size_t n)
{
    want_t  w = { e, NULL, n };

    if (!test_until(base, eaten, &w, TEST_BOUND)) {
        fail_msg("%zu of %zu records came", e->n, n);
    }
}


static int
owned(void *data)
{
    want_t  *w;

    w = data;

    return bus_consumer_owned(w->a->c) == w->n
           && (w->b == NULL
               || bus_consumer_owned(w->b->c) == PARTITIONS - w->n);
}


static void
eater_wait_owned(eater_t *a, eater_t *b, size_t n)
{
    want_t  w = { a, b, n };

    if (!test_until(base, owned, &w, 60000)) {
        fail_msg("%u partitions owned, not %zu", bus_consumer_owned(a->c),
                 n);
    }
}


/* In each partition the offsets grow. */
static void
eater_check_order(eater_t *e)
{
    size_t           i;
    const seen_t    *s;
    const seen_t    *last[PARTITIONS];

    memset(last, 0, sizeof(last));

    for (i = 0; i < e->n; i++) {
        s = &e->seen[i];

        if (last[s->partition] != NULL) {
            assert_true(goim_offset_cmp(&last[s->partition]->offset,
                                        &s->offset) < 0);
        }

        last[s->partition] = s;
    }
}


/* How often "k<key>:<number>" came. */
static size_t
eater_count(eater_t *e, int key, int number)
{
    char    text[32];
    size_t  i, n;

    snprintf(text, sizeof(text), "k%d:%d", key, number);
    n = 0;

    for (i = 0; i < e->n; i++) {
        if (strcmp(e->seen[i].text, text) == 0) {
            n++;
        }
    }

    return n;
}


/* ---- a producer that counts ---- */

typedef struct {
    bus_producer_t  *p;
    int              sent;
    int              answered;
    int              result[3];
} maker_t;

typedef struct {
    maker_t  *m;
    int       key;
    int       number;
    int       answered;
    int       result;
} made_t;

static made_t  *made;
static size_t   nmade;


static void
maker_produced(bus_result_t result, void *data)
{
    made_t  *d;

    d = &made[(size_t) data];

    assert_int_equal(d->answered, 0);
    d->answered = 1;
    d->result = result;
    d->m->answered++;
    d->m->result[result]++;
}


static void
maker_start(maker_t *m)
{
    char  err[256];

    memset(m, 0, sizeof(*m));

    m->p = bus_producer_new(base, &conf, r, err, sizeof(err));

    if (m->p == NULL) {
        fail_msg("%s", err);
    }
}


static int
maker_knows(void *data)
{
    maker_t  *m;

    m = data;

    return bus_producer_partitions(m->p) == PARTITIONS
           && bus_producer_healthy(m->p);
}


static int
maker_idle(void *data)
{
    maker_t  *m;

    m = data;

    return m->answered == m->sent;
}


static void
maker_send(maker_t *m, int key, int number, int64_t timeout)
{
    int   before;
    char  name[16], text[32];

    snprintf(name, sizeof(name), "k%d", key);
    snprintf(text, sizeof(text), "k%d:%d", key, number);

    if (nmade % 1024 == 0) {
        made = realloc(made, (nmade + 1024) * sizeof(made_t));
        assert_non_null(made);
    }

    memset(&made[nmade], 0, sizeof(made_t));
    made[nmade].m = m;
    made[nmade].key = key;
    made[nmade].number = number;

    m->sent++;
    before = m->answered;

    bus_produce(m->p, name, strlen(name), text, strlen(text), timeout,
                maker_produced, (void *) nmade++);

    /* never from inside the call */

    assert_int_equal(m->answered, before);
}


static void
maker_send_many(maker_t *m, int keys, int from, int to, int64_t timeout)
{
    int  i, k;

    for (i = from; i < to; i++) {
        for (k = 0; k < keys; k++) {
            maker_send(m, k, i, timeout);
        }
    }
}


static void
maker_wait(maker_t *m)
{
    if (!test_until(base, maker_idle, m, 60000)) {
        fail_msg("%d of %d produced are answered", m->answered, m->sent);
    }
}


static void
maker_stop(maker_t *m)
{
    bus_producer_free(m->p);
    m->p = NULL;
}


/* ---- fixture ---- */

static int
is_redis(void)
{
    return strcmp(bus_name, "redis") == 0;
}


static int
setup(void **state)
{
    static char  *props[3];
    static int    n;

    (void) state;

    test_redis_start(&redis);
    base = event_base_new();
    test_redis_conf(&redis_conf, redis.addr);

    memset(&conf, 0, sizeof(conf));
    snprintf(topic, sizeof(topic), "goim-%d-%d", (int) getpid(), n++);
    conf.driver = (char *) bus_name;
    conf.partitions = PARTITIONS;
    conf.topic = topic;
    conf.group = topic;
    conf.generation = 1;
    conf.props = props;
    props[0] = (char *) "bootstrap.servers";
    props[1] = getenv("GOIM_BUS_KAFKA");

    r = svc_redis_new(base, &redis_conf, NULL);
    test_wait(base, test_redis_up, r);

    made = NULL;
    nmade = 0;

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    svc_redis_free(r);
    event_base_free(base);
    test_redis_end(&redis);
    free(made);

    return 0;
}


/* ---- the family ---- */

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

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    eater_start(&e, 1);

    maker_send_many(&m, 20, 0, 50, 10000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 1000);

    eater_wait(&e, 1000);
    test_run(base, 50);
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
    eater_stop(&e);
    eater_forget(&e);
}


static void
test_place(void **state)
{
    size_t    i;
    eater_t   e;
    maker_t   m;

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    maker_send_many(&m, 1, 0, 100, 10000);
    maker_wait(&m);

    /* forty are done */

    eater_start(&e, 0);
    eater_wait(&e, 100);

    for (i = 0; i < 40; i++) {
        bus_done(e.c, e.seen[i].partition, &e.seen[i].offset);
    }

    eater_stop(&e);
    eater_forget(&e);

    /* sixty are left; a place never goes back */

    eater_start(&e, 0);
    eater_wait(&e, 60);
    test_run(base, 50);
    assert_int_equal(e.n, 60);
    assert_string_equal(e.seen[0].text, "k0:40");

    bus_done(e.c, e.seen[59].partition, &e.seen[59].offset);
    bus_done(e.c, e.seen[10].partition, &e.seen[10].offset);
    test_run(base, 150);
    bus_done(e.c, e.seen[5].partition, &e.seen[5].offset);
    eater_stop(&e);
    eater_forget(&e);

    eater_start(&e, 1);
    maker_send(&m, 0, 100, 10000);
    maker_wait(&m);
    eater_wait(&e, 1);
    assert_string_equal(e.seen[0].text, "k0:100");

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
}


static void
test_pause(void **state)
{
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    eater_start(&e, 1);
    maker_send_many(&m, 10, 0, 1, 10000);
    eater_wait(&e, 10);

    bus_pause(e.c);
    maker_send_many(&m, 10, 1, 50, 10000);
    maker_wait(&m);
    test_run(base, 300);
    assert_in_range(e.n, 10, 10 + PARTITIONS);

    /* in the middle of what came together */

    e.pause_at = 100;
    bus_resume(e.c);
    eater_wait(&e, 100);
    test_run(base, 300);
    assert_in_range(e.n, 100, 100 + PARTITIONS);

    bus_resume(e.c);
    eater_wait(&e, 500);
    test_run(base, 50);
    assert_int_equal(e.n, 500);
    eater_check_order(&e);

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
}


static void
test_share(void **state)
{
    int      k, i;
    eater_t  a, b;
    maker_t  m;

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);

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
    test_run(base, 300);

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
                test_run(base, 20);
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

    if (pid == 0) {
        want_t  w = { &e, NULL, PARTITIONS };

        /* cmocka's assertions belong to the other process */

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        base = event_base_new();
        r = svc_redis_new(base, &redis_conf, NULL);
        test_until(base, test_redis_up, r, TEST_BOUND);
        eater_start(&e, 1);

        if (test_until(base, owned, &w, 60000)
            && write(fds[1], "x", 1) == 1)
        {
            test_run(base, 120000);
        }

        _exit(1);
    }

    close(fds[1]);
    maker_start(&m);
    test_wait(base, maker_knows, &m);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);

    maker_send_many(&m, 50, 0, 4, 10000);
    eater_start(&e, 1);
    eater_wait_owned(&e, NULL, PARTITIONS);
    maker_wait(&m);
    eater_wait(&e, 200);

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
    close(fds[0]);
}


static void
test_limits(void **state)
{
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

    for (m.sent = m.answered; m.sent < 22; m.sent++) {
        if (nmade % 1024 == 0) {
            made = realloc(made, (nmade + 1024) * sizeof(made_t));
        }

        memset(&made[nmade], 0, sizeof(made_t));
        made[nmade].m = &m;
        bus_produce(m.p, "key", 3, big, m.sent % 2 ? size : 0, 20000,
                    maker_produced, (void *) nmade++);
    }

    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 22);
    eater_wait(&e, 22);
    free(big);

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
}


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
        reply = test_cmd(&redis, "XRANGE p:goim:bus:%d - +", p);

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

    maker_start(&m);
    test_wait(base, maker_knows, &m);

    for (i = 0; i < 100; i++) {
        maker_send_many(&m, 50, i, i + 1, 2000);
        test_run(base, 2);

        if (i % 30 == 20) {
            test_redis_kill(&redis, SIGKILL);
            maker_send_many(&m, 50, i + 1, i + 2, 2000);
            i++;
            test_run(base, 50);
            test_redis_spawn(&redis);
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

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    maker_send_many(&m, 50, 0, 1, 2000);
    maker_wait(&m);

    kill(redis.pid, SIGSTOP);
    start = svc_now();
    maker_send_many(&m, 50, 1, 2, 500);
    maker_wait(&m);
    assert_in_range(svc_now() - start, 400, 5000);
    assert_int_equal(m.result[BUS_UNKNOWN], 50);

    /* the connection is given up, what comes now is not handed over */

    test_run(base, 1200);
    maker_send_many(&m, 50, 2, 3, 500);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_FAILED], 50);
    assert_false(bus_producer_healthy(m.p));

    kill(redis.pid, SIGCONT);
    maker_send_many(&m, 50, 3, 4, 5000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 100);
    check_acknowledged();
    maker_stop(&m);
}


static int
redis_drained(void *data)
{
    (void) data;

    return test_num(&redis, "XLEN p:goim:bus:%d",
                    (int) goim_partition("k0", 2, PARTITIONS)) == 0;
}


static void
redis_test_full(void **state)
{
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    maker_send_many(&m, 1, 0, 100, 2000);
    maker_wait(&m);

    test_do(&redis, "CONFIG SET maxmemory 1");
    maker_send_many(&m, 1, 100, 110, 300);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_FAILED], 10);

    /* refused for a while, then accepted */

    maker_send_many(&m, 1, 110, 120, 10000);
    test_run(base, 100);
    assert_int_equal(m.answered, 110);
    assert_false(bus_producer_healthy(m.p));

    /* a full Redis can be emptied */

    eater_start(&e, 1);
    eater_wait(&e, 100);
    test_wait(base, redis_drained, NULL);

    test_do(&redis, "CONFIG SET maxmemory 0");
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 110);
    eater_wait(&e, 110);
    assert_string_equal(e.seen[100].text, "k0:110");

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
}


static void
redis_test_broken(void **state)
{
    int       p;
    eater_t   e;
    maker_t   m;

    (void) state;

    p = (int) goim_partition("k0", 2, PARTITIONS);

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    eater_start(&e, 1);
    maker_send_many(&m, 1, 0, 10, 5000);
    eater_wait(&e, 10);
    test_wait(base, redis_drained, NULL);

    /* odd records are skipped */

    test_do(&redis, "XADD p:goim:bus:%d %llu-* a b", p,
            (unsigned long long) svc_redis_life(r));
    test_do(&redis, "XADD p:goim:bus:%d %llu-* v mine", p,
            (unsigned long long) svc_redis_life(r));
    eater_wait(&e, 11);
    assert_string_equal(e.seen[10].text, "mine");

    /* another type, a stream that is gone: begun anew above what was read */

    test_do(&redis, "SET p:goim:bus:%d x", p);
    maker_send_many(&m, 1, 10, 20, 10000);
    eater_wait(&e, 21);
    test_wait(base, redis_drained, NULL);

    test_do(&redis, "DEL p:goim:bus:%d", p);
    maker_send_many(&m, 1, 20, 30, 10000);
    maker_wait(&m);
    eater_wait(&e, 31);
    assert_int_equal(eater_count(&e, 0, 29), 1);

    /* leases, places and the rest */

    test_do(&redis, "DEL p:goim:bus:%d:lease", p);
    test_do(&redis, "LPUSH p:goim:bus:%d:lease x", p);
    test_do(&redis, "SET p:goim:bus:%d:fence x", p);
    test_do(&redis, "SET p:goim:bus:jobs x");
    test_do(&redis, "SET p:goim:bus:notes x");
    maker_send_many(&m, 1, 30, 40, 10000);
    eater_wait(&e, 41);
    eater_wait_owned(&e, NULL, PARTITIONS);

    /* everything gone at once */

    test_do(&redis, "FLUSHALL");
    maker_send_many(&m, 1, 40, 50, 10000);
    maker_wait(&m);
    assert_int_equal(m.result[BUS_OK], 50);
    eater_wait(&e, 51);
    assert_int_equal(eater_count(&e, 0, 49), 1);

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
}


/*
 * Redis comes back without its newest writes: the place went back with the
 * effects, so what was done since is done again.
 */
static void
redis_test_older(void **state)
{
    char      cmd[256];
    size_t    len;
    eater_t   e;
    maker_t   m;
    uint8_t   epoch[64];

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    eater_start(&e, 0);
    maker_send_many(&m, 1, 0, 10, 5000);
    eater_wait(&e, 10);
    bus_done(e.c, e.seen[4].partition, &e.seen[4].offset);
    test_run(base, 200);
    memcpy(epoch, bus_consumer_epoch(e.c, &len), 16);

    snprintf(cmd, sizeof(cmd), "cp -r %s/appendonlydir %s/kept", redis.dir,
             redis.dir);
    assert_int_equal(system(cmd), 0);

    bus_done(e.c, e.seen[9].partition, &e.seen[9].offset);
    test_run(base, 200);
    assert_true(redis_drained(NULL));

    test_redis_kill(&redis, SIGKILL);
    snprintf(cmd, sizeof(cmd), "cd %s && rm -rf appendonlydir && mv kept "
             "appendonlydir", redis.dir);
    assert_int_equal(system(cmd), 0);
    test_redis_spawn(&redis);

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
    eater_stop(&e);
    eater_forget(&e);
}


static void
redis_test_mismatch(void **state)
{
    char                   err[256];
    maker_t                m;
    bus_conf_t             other;
    bus_consumer_events_t  events = { eater_record, eater_revoked, NULL };

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);

    other = conf;
    other.partitions = 3;

    assert_null(bus_producer_new(base, &other, r, err, sizeof(err)));
    assert_non_null(strstr(err, "3"));
    assert_non_null(strstr(err, "8"));
    assert_null(bus_consumer_new(base, &other, r, &events, err,
                                 sizeof(err)));

    other.driver = (char *) "pigeon";
    assert_int_equal(bus_check(&other, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "pigeon"));

    maker_stop(&m);
}


/* ---- the Kafka bus ---- */

static void
check_all_came(maker_t *m, eater_t *e, size_t from)
{
    size_t   i, n;
    int64_t  end;

    (void) m;

    end = svc_now() + TEST_BOUND;

    for (i = from; i < nmade; i++) {

        if (made[i].result != BUS_OK) {
            continue;
        }

        while ((n = eater_count(e, made[i].key, made[i].number)) == 0) {

            if (svc_now() > end) {
                fail_msg("k%d:%d was acknowledged and has not come",
                         made[i].key, made[i].number);
            }

            test_run(base, 20);
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
    conf.timeout = 3000;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
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
    check_all_came(&m, &e, 0);

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
    conf.timeout = 0;
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

    conf.timeout = 30000;
    maker_start(&m);
    test_wait(base, maker_knows, &m);
    eater_start(&e, 1);

    for (i = 0; i < 60; i++) {
        maker_send_many(&m, 50, i, i + 1, 30000);
        test_run(base, 5);

        if (i == 30) {
            assert_int_equal(system(restart), 0);
        }
    }

    maker_wait(&m);
    assert_in_range(m.result[BUS_OK], 1500, 3000);
    check_all_came(&m, &e, 0);

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
    eater_stop(&e);
    eater_forget(&e);
    conf.timeout = 0;
}


/* Nobody there: certainly not written, said in time. */
static void
kafka_test_away(void **state)
{
    char     addr[32], *props[3];
    maker_t  m;
    int64_t  start;

    (void) state;

    snprintf(addr, sizeof(addr), "127.0.0.1:%d", test_port());
    props[0] = (char *) "bootstrap.servers";
    props[1] = addr;
    props[2] = NULL;
    conf.props = props;
    conf.timeout = 2000;

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
    conf.timeout = 0;
}


/* Redis comes back without its newest writes. */
static void
kafka_test_older(void **state)
{
    char      cmd[256];
    eater_t   e;
    maker_t   m;

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    eater_start(&e, 0);
    maker_send_many(&m, 1, 0, 10, 10000);
    eater_wait(&e, 10);
    bus_done(e.c, e.seen[4].partition, &e.seen[4].offset);
    test_run(base, 200);

    snprintf(cmd, sizeof(cmd), "cp -r %s/appendonlydir %s/kept", redis.dir,
             redis.dir);
    assert_int_equal(system(cmd), 0);

    bus_done(e.c, e.seen[9].partition, &e.seen[9].offset);
    test_run(base, 1200);

    test_redis_kill(&redis, SIGKILL);
    snprintf(cmd, sizeof(cmd), "cd %s && rm -rf appendonlydir && mv kept "
             "appendonlydir", redis.dir);
    assert_int_equal(system(cmd), 0);
    test_redis_spawn(&redis);

    eater_wait(&e, 15);
    assert_int_equal(e.revoked, PARTITIONS);
    assert_string_equal(e.seen[10].text, "k0:5");

    /* everything gone: what Kafka was told is the second best place */

    bus_done(e.c, e.seen[14].partition, &e.seen[14].offset);
    test_run(base, 1500);
    test_do(&redis, "FLUSHALL");
    maker_send_many(&m, 1, 10, 11, 10000);
    eater_wait(&e, 16);
    bus_done(e.c, e.seen[15].partition, &e.seen[15].offset);
    test_run(base, 2000);
    assert_string_equal(e.seen[e.n - 1].text, "k0:10");
    assert_in_range(e.n, 16, 17);

    maker_stop(&m);
    eater_stop(&e);
    eater_forget(&e);
}


static char *
done_key(eater_t *e)
{
    size_t          i, len;
    const uint8_t  *epoch;

    static char  key[128];

    epoch = bus_consumer_epoch(e->c, &len);
    strcpy(key, "p:goim:done:");

    for (i = 0; i < len; i++) {
        snprintf(key + strlen(key), 3, "%02x", epoch[i]);
    }

    return key;
}


/* A topic that was made anew under its name holds less than was done. */
static void
kafka_test_epoch(void **state)
{
    int       p;
    char      first[128];
    size_t    i;
    eater_t   a, b;
    maker_t   m;

    (void) state;

    p = (int) goim_partition("k0", 2, PARTITIONS);

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    maker_send_many(&m, 20, 0, 5, 10000);
    maker_wait(&m);

    eater_start(&a, 1);
    eater_wait(&a, 100);
    test_run(base, 200);
    strcpy(first, done_key(&a));
    eater_stop(&a);
    eater_forget(&a);

    test_do(&redis, "HSET %s %d 1000000", first, p);

    /* that partition begins anew, the others go on */

    eater_start(&a, 1);
    eater_wait_owned(&a, NULL, PARTITIONS);
    eater_start(&b, 1);
    eater_wait_owned(&a, &b, PARTITIONS / 2);
    test_run(base, 300);

    assert_string_not_equal(done_key(&a), first);
    strcpy(first, done_key(&a));
    assert_string_equal(done_key(&b), first);

    for (i = 0; i < a.n; i++) {
        assert_int_equal(a.seen[i].partition, p);
    }

    assert_int_equal(test_num(&redis, "TYPE p:goim:bus:kafka") , 0);

    /* another job's finding reaches one that is idle */

    test_do(&redis, "HSET p:goim:bus:kafka other x");
    {
        redisReply  *keys = test_cmd(&redis, "HKEYS p:goim:bus:kafka");

        for (i = 0; i < keys->elements; i++) {
            test_do(&redis, "HSET p:goim:bus:kafka %s another",
                    keys->element[i]->str);
        }

        freeReplyObject(keys);
    }

    for (i = 0; i < 500 && strcmp(done_key(&a), first) == 0; i++) {
        test_run(base, 20);
    }

    assert_string_not_equal(done_key(&a), first);

    maker_stop(&m);
    eater_stop(&a);
    eater_stop(&b);
    eater_forget(&a);
    eater_forget(&b);
}


static void
kafka_test_broken_keys(void **state)
{
    eater_t  e;
    maker_t  m;

    (void) state;

    maker_start(&m);
    test_wait(base, maker_knows, &m);
    test_do(&redis, "SET p:goim:bus:kafka x");

    eater_start(&e, 1);
    maker_send_many(&m, 10, 0, 5, 10000);
    eater_wait(&e, 50);
    test_run(base, 200);
    test_do(&redis, "SET %s x", done_key(&e));
    maker_send_many(&m, 10, 5, 10, 10000);
    eater_wait(&e, 100);
    test_run(base, 200);
    eater_stop(&e);

    assert_int_equal(test_num(&redis, "HLEN p:goim:life"), 2);
    maker_stop(&m);
    eater_forget(&e);
}


int
main(void)
{
    const struct CMUnitTest  family[] = {
        cmocka_unit_test_setup_teardown(test_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    const struct CMUnitTest  with_redis[] = {
        cmocka_unit_test_setup_teardown(redis_test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(redis_test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(redis_test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(redis_test_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(redis_test_older, setup, teardown),
        cmocka_unit_test_setup_teardown(redis_test_mismatch, setup,
                                        teardown),
    };
    const struct CMUnitTest  with_kafka[] = {
        cmocka_unit_test_setup_teardown(kafka_test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(kafka_test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(kafka_test_away, setup, teardown),
        cmocka_unit_test_setup_teardown(kafka_test_older, setup, teardown),
        cmocka_unit_test_setup_teardown(kafka_test_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(kafka_test_broken_keys, setup,
                                        teardown),
    };
    int  failed;

    bus_name = getenv("GOIM_BUS_KAFKA") != NULL ? "kafka" : "redis";

    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, LOG_DEBUG);

    cmocka_set_test_filter(getenv("GOIM_TEST"));
    failed = cmocka_run_group_tests(family, NULL, NULL);

    if (is_redis()) {
        failed += cmocka_run_group_tests(with_redis, NULL, NULL);

    } else {
        failed += cmocka_run_group_tests(with_kafka, NULL, NULL);
    }

    return failed;
}
