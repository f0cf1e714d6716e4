/*
 * For the tests of the bus: a Redis and a loop, the bus under test as it is
 * configured, a consumer that remembers what came, and a producer that counts
 * what was answered. To be linked with test_bus.c.
 *
 * The brokers are real ones. With GOIM_BUS_KAFKA (an address) the driver is
 * kafka, else redis. GOIM_TEST is a pattern: these cases only.
 */

#ifndef TEST_BUS_H
#define TEST_BUS_H

#include "test_redis.h"

#include "svc/bus.h"


#define PARTITIONS  8


/* ---- the bus under test ---- */

typedef struct {
    test_redis_t         redis;
    struct event_base   *base;
    svc_redis_conf_t     redis_conf;
    svc_redis_t         *r;
    bus_conf_t           conf;
    char                 topic[64];
    char                *props[9];
} test_bus_t;

extern test_bus_t  bus;

/* A case: everything is new in each, the topic too. */
#define BUS_CASE(test)                                                       \
    cmocka_unit_test_setup_teardown(test, test_bus_setup, test_bus_teardown)

/* The first call of main(). */
void test_bus_init(int log_level);

int test_bus_is_redis(void);
int test_bus_setup(void **state);
int test_bus_teardown(void **state);

/* A property of librdkafka's, besides the address. */
void test_bus_prop(const char *name, const char *value);

/* Redis: whether nothing is left in the stream of key 0; for test_wait(). */
int test_bus_drained(void *data);


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

typedef void (*eater_record_pt)(bus_consumer_t *c, const bus_record_t *rec,
    void *data);

void eater_start(eater_t *e, int ack);

/* Another way to take a record: nothing is remembered then. */
void eater_start_with(eater_t *e, eater_record_pt record);

/* What it has seen stays until eater_forget(); eater_end() is both. */
void eater_stop(eater_t *e);
void eater_forget(eater_t *e);
void eater_end(eater_t *e);

/* Until `n` records have come in all. */
void eater_wait(eater_t *e, size_t n);

/* Until `a` has `n` partitions, and `b`, if there is one, the others. */
int eater_until_owned(eater_t *a, eater_t *b, size_t n);
void eater_wait_owned(eater_t *a, eater_t *b, size_t n);

/* In each partition the offsets grow. */
void eater_check_order(eater_t *e);

/* How often "k<key>:<number>" came. */
size_t eater_count(eater_t *e, int key, int number);


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

/* What all of them have sent in this case, in that order. */
extern made_t  *made;
extern size_t   nmade;

void maker_start(maker_t *m);

/* Started, and the bus is there. */
void maker_ready(maker_t *m);

/* The record is "k<key>:<number>", its key "k<key>"; the second: of each of
 * `keys` keys the numbers `from` to `to` - 1. */
void maker_send(maker_t *m, int key, int number, int64_t timeout);
void maker_send_many(maker_t *m, int keys, int from, int to, int64_t timeout);

/* Any record; it is made[nmade - 1] then. */
void maker_send_raw(maker_t *m, const char *key, const void *payload,
    size_t len, int64_t timeout);

/* Until each one is answered. */
void maker_wait(maker_t *m);

void maker_stop(maker_t *m);

#endif
