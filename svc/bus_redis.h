/*
 * Inside of the Redis bus: what its producer and its consumer share.
 *
 *     <prefix>goim:bus            hash: epoch, partitions
 *     <prefix>goim:bus:<n>        stream of partition n: k (key), v (payload)
 *
 * and the keys of lease.h and done.h.
 */

#ifndef SVC_BUS_REDIS_H
#define SVC_BUS_REDIS_H

#include "bus_int.h"

#include "log.h"

#define BUS_REDIS_KEY   512

#define BUS_REDIS_BASE  (BUS_REDIS_KEY - 64)

typedef struct bus_redis_s  bus_redis_t;

struct bus_redis_s {
    svc_redis_t        *r;
    int64_t             generation;
    uint32_t            n;              /* partitions, as configured */
    char                life_key[BUS_REDIS_KEY];
    char                hash_key[BUS_REDIS_KEY];
    char                base[BUS_REDIS_BASE];       /* ...goim:bus: */
    char                tag[BUS_REDIS_BASE];        /* ...goim:{ */
    uint8_t             epoch[BUS_EPOCH_LEN];       /* valid when ready */
    char                epoch_hex[2 * BUS_EPOCH_LEN + 1];
    int                 ready;          /* for this connection */
    int                 known;          /* it was, once */
    int                 asking;
    void              (*done)(bus_redis_t *b, int ok, void *data);
    void               *data;
    log_once_t          errors;
    log_once_t          mismatch;
};

void bus_redis_init(bus_redis_t *b, const bus_conf_t *conf, svc_redis_t *r);

/*
 * Read, or make, epoch and number of partitions; `done` is called with
 * whether the bus can be used (b->ready). Nothing happens when it is under
 * way already or Redis is not there.
 */
void bus_redis_ask(bus_redis_t *b);


bus_producer_t *bus_redis_producer_new(struct event_base *base,
    const bus_conf_t *conf, svc_redis_t *r, char *err, size_t size);
uint32_t bus_redis_producer_partitions(bus_producer_t *p);
void bus_redis_produce(bus_producer_t *p, const bus_message_t *m);
int bus_redis_producer_reaches(bus_producer_t *p);
void bus_redis_producer_down(bus_producer_t *p);
int bus_redis_producer_healthy(bus_producer_t *p);
void bus_redis_producer_free(bus_producer_t *p);

bus_consumer_t *bus_redis_consumer_new(struct event_base *base,
    const bus_conf_t *conf, svc_redis_t *r,
    const bus_consumer_events_t *events, char *err, size_t size);
const uint8_t *bus_redis_consumer_epoch(bus_consumer_t *c, size_t *len);
int bus_redis_consumer_holds(bus_consumer_t *c, uint32_t partition);
int bus_redis_consumer_names(bus_consumer_t *c, uint32_t partition,
    bus_names_t *names);
int bus_redis_back(bus_consumer_t *c, uint32_t partition,
    goim_offset_t *place, int64_t *missing);
void bus_redis_done(bus_consumer_t *c, uint32_t partition,
    const goim_offset_t *offset);
void bus_redis_pause(bus_consumer_t *c);
void bus_redis_resume(bus_consumer_t *c);
int64_t bus_redis_consumer_lag(bus_consumer_t *c);
uint32_t bus_redis_consumer_owned(bus_consumer_t *c);
uint32_t bus_redis_consumer_stuck(bus_consumer_t *c);
int bus_redis_consumer_healthy(bus_consumer_t *c);
void bus_redis_consumer_free(bus_consumer_t *c, void (*freed)(void *data),
    void *data);

#endif
