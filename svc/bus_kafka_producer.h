/*
 * Inside of the Kafka bus's producer.
 */

#ifndef SVC_BUS_KAFKA_PRODUCER_H
#define SVC_BUS_KAFKA_PRODUCER_H

#include "bus_kafka_asker.h"


typedef struct {
    bus_producer_t        base;
    struct event_base    *loop;
    const bus_conf_t     *conf;
    rd_kafka_t           *rk;
    rd_kafka_topic_t     *topic;
    bus_kafka_queue_t     queue;
    bus_kafka_asker_t    *asker;
    bus_items_t           items;
    int                   fatal;        /* to be made anew */
    struct event         *again;
    metric_t             *refused;
} bus_kafka_producer_t;

#endif
