/*
 * librdkafka can be asked for metadata only by waiting for the answer: a
 * thread asks, at start until it knows, then now and then.
 */

#ifndef SVC_BUS_KAFKA_ASKER_H
#define SVC_BUS_KAFKA_ASKER_H

#include "bus_kafka.h"

#include <pthread.h>


typedef struct {
    pthread_t          tid;
    pthread_mutex_t    lock;
    pthread_cond_t     wake;
    int                stop;
    rd_kafka_t        *rk;
    rd_kafka_topic_t  *topic;
    uint32_t           partitions;      /* atomic, as is the next */
    int                alive;
} bus_kafka_asker_t;

/* Without a topic only whether a broker answers is asked. */
int bus_kafka_asker_start(bus_kafka_asker_t *a, rd_kafka_t *rk,
    rd_kafka_topic_t *topic);

/* Ask now; with `stop` never again. */
void bus_kafka_asker_wake(bus_kafka_asker_t *a, int stop);

/* Waits for the answer to a question under way, for a second at most. */
void bus_kafka_asker_end(bus_kafka_asker_t *a);

/* Another one has noticed that a broker is there, or that none is. */
void bus_kafka_asker_tell(bus_kafka_asker_t *a, int alive);
int bus_kafka_asker_alive(bus_kafka_asker_t *a);

#endif
