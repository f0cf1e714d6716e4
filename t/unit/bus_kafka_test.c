/* LINK: t/unit/test_bus.c */

/*
 * What only a bus on Kafka knows: retention, what the group is told, partitions
 * that move, clients that cannot go on.
 */

#include "test_bus.h"

#include "svc/bus_kafka_consumer.h"
#include "svc/bus_kafka_producer.h"

#include <librdkafka/rdkafka_mock.h>


/* ---- retention ---- */

/* Kafka removes what is before `offset`, as retention does. */
static void
remove_before(bus_consumer_t *c, uint32_t partition, int64_t offset)
{
    rd_kafka_t                       *rk;
    rd_kafka_queue_t                 *queue;
    rd_kafka_event_t                 *ev;
    rd_kafka_DeleteRecords_t         *del;
    rd_kafka_topic_partition_list_t  *list;

    rk = ((bus_kafka_consumer_t *) c)->teller;
    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, bus.topic, (int32_t) partition)
        ->offset = offset;

    del = rd_kafka_DeleteRecords_new(list);
    queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteRecords(rk, &del, 1, NULL, queue);

    ev = rd_kafka_queue_poll(queue, 10000);
    assert_non_null(ev);
    assert_int_equal(rd_kafka_event_error(ev), 0);

    rd_kafka_event_destroy(ev);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteRecords_destroy(del);
    rd_kafka_topic_partition_list_destroy(list);
}


static void
test_removed(void **state)
{
    char       payload[32 * 1024];
    int        i;
    size_t     n;
    eater_t    e;
    maker_t    m;
    int64_t    before;
    metric_t  *removed;

    (void) state;

    maker_ready(&m);
    eater_start(&e, 1);
    removed = ((bus_kafka_consumer_t *) e.c)->removed;
    before = metrics_get(removed);

    maker_send_many(&m, 1, 0, 10, 10000);
    eater_wait(&e, 10);

    /* held back; what was fetched ahead has been dropped */

    bus_pause(e.c);
    memset(payload, 'x', sizeof(payload));

    for (i = 0; i < 20; i++) {
        maker_send_raw(&m, "k0", payload, sizeof(payload), 10000);
    }

    maker_wait(&m);
    test_run(bus.base, 500);
    n = e.n;

    remove_before(e.c, e.seen[0].partition, 25);
    bus_resume(e.c);

    eater_wait(&e, n + 30 - 25);
    test_run(bus.base, 300);
    assert_int_equal(e.n, n + 30 - 25);
    assert_int_equal(metrics_get(removed) - before, 25 - n);

    eater_check_order(&e);
    maker_stop(&m);
    eater_end(&e);
}


/* ---- what the group is told ---- */

static int64_t
committed(bus_consumer_t *c, int32_t partition)
{
    int64_t                           offset;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, bus.topic, partition);
    assert_int_equal(rd_kafka_committed(((bus_kafka_consumer_t *) c)->teller,
                                        list, 10000), 0);
    offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);

    return offset;
}


/* Nobody takes back what another job has told of a partition since. */
static void
test_committed(void **state)
{
    int      p, i;
    int64_t  told[PARTITIONS];
    eater_t  a, b;
    maker_t  m;

    (void) state;

    maker_ready(&m);
    eater_start(&a, 1);
    maker_send_many(&m, 40, 0, 5, 10000);
    eater_wait(&a, 200);
    test_run(bus.base, 1500);

    eater_start(&b, 1);
    eater_wait_owned(&a, &b, PARTITIONS / 2);
    maker_send_many(&m, 40, 5, 10, 10000);
    maker_wait(&m);

    for (i = 0; i < 500 && a.n + b.n < 400; i++) {
        test_run(bus.base, 20);
    }

    test_run(bus.base, 1500);

    for (p = 0; p < PARTITIONS; p++) {
        told[p] = committed(b.c, p);
    }

    /* `a` has a part of them only, and says what it knows when it ends */

    eater_end(&a);
    test_run(bus.base, 1500);

    for (p = 0; p < PARTITIONS; p++) {
        assert_true(committed(b.c, p) >= told[p]);
    }

    /* partitions that move are the same ones still */

    assert_int_equal(metrics_get(((bus_kafka_consumer_t *) b.c)->went_back),
                     0);

    maker_stop(&m);
    eater_end(&b);
}


/* ---- a partition that moves ---- */

/* Brokers as librdkafka plays them: a real one has nobody to give a partition
 * to. */
static rd_kafka_mock_cluster_t *
brokers(rd_kafka_t **owner)
{
    char                      err[256];
    rd_kafka_mock_cluster_t  *mock;

    *owner = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, err, sizeof(err));
    assert_non_null(*owner);
    mock = rd_kafka_mock_cluster_new(*owner, 3);
    assert_non_null(mock);
    assert_int_equal(rd_kafka_mock_topic_create(mock, bus.topic, PARTITIONS,
                                                3), 0);
    bus.props[1] = (char *) rd_kafka_mock_cluster_bootstraps(mock);

    return mock;
}


/*
 * Another broker has a partition, and its log is another one: no connection
 * tells, as all brokers have other partitions, too.
 */
static void
test_leader(void **state)
{
    char                      epoch[2 * BUS_EPOCH_LEN + 1];
    size_t                    len;
    int32_t                   p;
    eater_t                   e;
    maker_t                   m;
    int64_t                   back;
    rd_kafka_t               *owner;
    bus_kafka_part_t         *part;
    bus_kafka_consumer_t     *c;
    rd_kafka_mock_cluster_t  *mock;

    (void) state;

    mock = brokers(&owner);

    maker_ready(&m);
    eater_start(&e, 1);
    maker_send_many(&m, 40, 0, 5, 10000);
    eater_wait(&e, 200);
    test_run(bus.base, 500);

    c = (bus_kafka_consumer_t *) e.c;
    back = metrics_get(c->went_back);
    bus_hex(epoch, bus_consumer_epoch(e.c, &len), BUS_EPOCH_LEN);
    p = (int32_t) goim_partition("k0", 2, PARTITIONS);
    part = &c->parts[p];

    /* as if its last record had been another one */

    part->sum++;
    test_do(&bus.redis, "SETRANGE p:goim:{%d}:done:%s %d xxxx", (int) p,
            epoch, (int) (part->done * (int64_t) sizeof(uint32_t)));

    rd_kafka_mock_partition_set_leader(mock, bus.topic, p,
                                       part->broker % 3 + 1);
    maker_send(&m, 0, 100, 10000);
    eater_wait(&e, 202);

    assert_string_equal(e.seen[201].text, "k0:100");
    assert_int_equal(metrics_get(c->went_back), back + 1);

    /* and the next one there is read as ever */

    maker_send(&m, 0, 101, 10000);
    eater_wait(&e, 203);
    assert_int_equal(metrics_get(c->went_back), back + 1);

    maker_stop(&m);
    eater_end(&e);
    rd_kafka_mock_cluster_destroy(mock);
    rd_kafka_destroy(owner);
}


/* ---- a topic of more partitions than nodes can tell apart ---- */

static void
test_many_partitions(void **state)
{
    char                     *topic;
    char                      err[256];
    bus_conf_t                conf;
    rd_kafka_t               *owner;
    bus_producer_t           *p;
    rd_kafka_mock_cluster_t  *mock;

    (void) state;

    mock = brokers(&owner);

    for (conf = bus.conf, topic = (char *) "as-many"; /* void */ ;
         topic = (char *) "too-many")
    {
        conf.topic = topic;
        assert_int_equal(rd_kafka_mock_topic_create(mock, topic,
                             GOIM_PARTITIONS + (topic[0] == 't'), 1), 0);

        p = bus_producer_new(bus.base, &conf, bus.r, err, sizeof(err));
        assert_non_null(p);
        test_run(bus.base, 2500);

        assert_int_equal(bus_producer_partitions(p),
                         topic[0] == 't' ? 0 : GOIM_PARTITIONS);
        assert_int_equal(!bus_producer_healthy(p), topic[0] == 't');
        bus_producer_free(p);

        if (topic[0] == 't') {
            break;
        }
    }

    rd_kafka_mock_cluster_destroy(mock);
    rd_kafka_destroy(owner);
}


/* ---- clients that cannot go on ---- */

typedef struct {
    struct event  *ev;
    int64_t        last;
    int64_t        longest;
} pulse_t;


static void
pulse(evutil_socket_t fd, short what, void *data)
{
    int64_t   now;
    pulse_t  *p;

    (void) fd;
    (void) what;

    p = data;
    now = svc_now();

    if (now - p->last > p->longest) {
        p->longest = now - p->last;
    }

    p->last = now;
    svc_timer(p->ev, 10);
}


static void
broker_signal(int sig)
{
    kill((pid_t) atoi(getenv("GOIM_BUS_KAFKA_PID")), sig);
}


/*
 * A new client takes the place of one that cannot go on. With a broker that
 * says nothing its end takes seconds, and the loop goes on meanwhile.
 */
static void
test_fatal(void **state)
{
    int                     i;
    eater_t                 e;
    maker_t                 m;
    pulse_t                 p;
    rd_kafka_t             *was;
    bus_kafka_consumer_t   *c;
    bus_kafka_producer_t   *producer;

    (void) state;

    maker_ready(&m);
    eater_start(&e, 1);
    maker_send_many(&m, 8, 0, 5, 10000);
    eater_wait(&e, 40);

    c = (bus_kafka_consumer_t *) e.c;
    producer = (bus_kafka_producer_t *) m.p;

    memset(&p, 0, sizeof(p));
    p.ev = evtimer_new(bus.base, pulse, &p);
    p.last = svc_now();
    svc_timer(p.ev, 10);

    broker_signal(SIGSTOP);

    /* asked, and not answered */

    bus_kafka_asker_wake(c->asker, 0);
    bus_kafka_asker_wake(producer->asker, 0);
    test_run(bus.base, 50);

    was = producer->rk;
    rd_kafka_test_fatal_error(was, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                              "a test");
    rd_kafka_test_fatal_error(c->rk, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
                              "a test");
    test_run(bus.base, 2000);
    broker_signal(SIGCONT);

    event_free(p.ev);
    assert_true(p.longest < 800);

    for (i = 0; i < 500 && (producer->fatal || producer->rk == NULL
                            || !bus_producer_healthy(m.p)); i++)
    {
        test_run(bus.base, 20);
    }

    maker_send_many(&m, 8, 5, 10, 10000);
    maker_wait(&m);
    eater_wait(&e, 80);
    test_run(bus.base, 300);
    assert_int_equal(e.n, 80);
    assert_int_equal(m.result[BUS_OK], 80);

    maker_stop(&m);
    eater_end(&e);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        BUS_CASE(test_removed),
        BUS_CASE(test_committed),
        BUS_CASE(test_many_partitions),
        BUS_CASE(test_leader),
        BUS_CASE(test_fatal),
    };

    test_bus_init(LOG_DEBUG);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
