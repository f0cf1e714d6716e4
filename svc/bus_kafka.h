/*
 * Inside of the Kafka bus: what its producer and its consumer share.
 */

#ifndef SVC_BUS_KAFKA_H
#define SVC_BUS_KAFKA_H

#include "bus_int.h"

#include "clock.h"
#include "log.h"
#include "thread.h"

#include <librdkafka/rdkafka.h>

#define BUS_KAFKA_FROM      "goim-from"
#define BUS_KAFKA_TURN      256         /* events a turn of the loop */


/*
 * A queue of librdkafka's that wakes the loop. At most BUS_KAFKA_TURN events
 * are taken at a time, so that other work gets its turn.
 */
typedef struct {
    rd_kafka_queue_t  *queue;
    svc_wake_t         wake;
    void             (*event)(rd_kafka_event_t *ev, void *data);
    void              *data;
} bus_kafka_queue_t;

/* Takes `queue`. */
int bus_kafka_queue_init(bus_kafka_queue_t *q, struct event_base *base,
    rd_kafka_queue_t *queue, void (*event)(rd_kafka_event_t *ev, void *data),
    void *data);
void bus_kafka_queue_done(bus_kafka_queue_t *q);

/* Take what is there without having been woken. */
void bus_kafka_queue_poll(bus_kafka_queue_t *q);

/* The configuration of a client; NULL with a message. */
rd_kafka_conf_t *bus_kafka_conf(const bus_conf_t *conf, rd_kafka_type_t type,
    char *err, size_t size);

bus_producer_t *bus_kafka_producer_new(struct event_base *base,
    const bus_conf_t *conf, svc_redis_t *r, char *err, size_t size);
uint32_t bus_kafka_producer_partitions(bus_producer_t *p);
void bus_kafka_produce(bus_producer_t *p, const bus_message_t *m);
int bus_kafka_producer_healthy(bus_producer_t *p);
void bus_kafka_producer_free(bus_producer_t *p);

bus_consumer_t *bus_kafka_consumer_new(struct event_base *base,
    const bus_conf_t *conf, svc_redis_t *r,
    const bus_consumer_events_t *events, char *err, size_t size);
const uint8_t *bus_kafka_consumer_epoch(bus_consumer_t *c, size_t *len);
int bus_kafka_consumer_holds(bus_consumer_t *c, uint32_t partition);
int bus_kafka_consumer_names(bus_consumer_t *c, uint32_t partition,
    bus_names_t *names);
int bus_kafka_back(bus_consumer_t *c, uint32_t partition,
    goim_offset_t *place, int64_t *missing);
void bus_kafka_done(bus_consumer_t *c, uint32_t partition,
    const goim_offset_t *offset);
void bus_kafka_pause(bus_consumer_t *c);
void bus_kafka_resume(bus_consumer_t *c);
int64_t bus_kafka_consumer_lag(bus_consumer_t *c);
uint32_t bus_kafka_consumer_owned(bus_consumer_t *c);
uint32_t bus_kafka_consumer_stuck(bus_consumer_t *c);
int bus_kafka_consumer_healthy(bus_consumer_t *c);
void bus_kafka_consumer_free(bus_consumer_t *c, void (*freed)(void *data),
    void *data);

#endif
