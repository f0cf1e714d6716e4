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
    svc_nap_t          nap;
    rd_kafka_t        *rk;
    rd_kafka_topic_t  *topic;
    int                need;
    uint32_t           partitions;      /* atomic, as are the next */
    int                alive;
    int                stop;
    pthread_mutex_t    lock;            /* of the next ones */
    int64_t           *ends;
    uint32_t           nends;
} bus_kafka_asker_t;

/* With `need` a broker counts only when it has the topic. NULL: no thread. */
bus_kafka_asker_t *bus_kafka_asker_new(rd_kafka_t *rk,
    rd_kafka_topic_t *topic, int need);

/* How many, 0 while that is not known. */
uint32_t bus_kafka_asker_partitions(bus_kafka_asker_t *a);

/* Where a partition ended when it was asked, 0 while that is not known; not
 * asked with `need`. */
int64_t bus_kafka_asker_end(bus_kafka_asker_t *a, uint32_t partition);

/* Ask now; with `stop` never again. */
void bus_kafka_asker_wake(bus_kafka_asker_t *a, int stop);

/* With its topic and its client; waits, a second and more. */
void bus_kafka_asker_destroy(bus_kafka_asker_t *a);

/* The same in a thread of its own: a loop has more to do. */
void bus_kafka_asker_reap(bus_kafka_asker_t *a);

/* Another one has noticed that a broker is there, or that none is. */
void bus_kafka_asker_tell(bus_kafka_asker_t *a, int alive);
int bus_kafka_asker_alive(bus_kafka_asker_t *a);

#endif
