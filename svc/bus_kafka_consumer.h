/*
 * Inside of the Kafka bus's consumer: the group and the records
 * (bus_kafka_consumer.c), where to begin (bus_kafka_place.c), how far it is
 * done (bus_kafka_done.c).
 *
 *     <prefix>goim:bus:kafka      hash: base of the epoch -> its random part
 *     <prefix>goim:done:<epoch>   hash: partition -> offset of the last one
 *                                 done
 */

#ifndef SVC_BUS_KAFKA_CONSUMER_H
#define SVC_BUS_KAFKA_CONSUMER_H

#include "bus_kafka_asker.h"

#define BUS_KAFKA_KEY       512
#define BUS_KAFKA_AGAIN     200             /* ms */
#define BUS_KAFKA_EXPIRE    "2592000"       /* s, of places: 30 days */


typedef struct {
    int         active;         /* its records are handed over */
    int         dirty;          /* done, not saved yet */
    int64_t     done;           /* offset, -1: none */
    int64_t     committed;      /* what Kafka was told, or is being told */
} bus_kafka_part_t;


/* What a partition holds. */
typedef struct {
    int32_t     partition;
    int64_t     done;           /* the place in Redis, -1: none */
    int64_t     committed;      /* asked when there is none */
    int64_t     low;
    int64_t     high;
} bus_kafka_mark_t;


/* What partitions hold and what Kafka was told of them, asked by a thread. */
typedef struct {
    pthread_t             tid;
    rd_kafka_t           *rk;
    char                 *topic;
    int                   stop;         /* atomic */
    int                   fd;
    struct event         *ev;
    unsigned              flow;
    int                   failed;
    size_t                n;
    bus_kafka_mark_t      part[];       /* as the group lists them */
} bus_kafka_marks_t;


typedef struct bus_kafka_consumer_s {
    bus_consumer_t          base;
    struct event_base      *loop;
    const bus_conf_t       *conf;
    svc_redis_t            *r;
    svc_redis_watch_t      *watch;
    rd_kafka_t             *rk;
    bus_kafka_queue_t       queue;
    bus_kafka_asker_t       asker;
    int64_t                 session;        /* ms: out of the group after */

    rd_kafka_topic_partition_list_t  *list; /* the group's word */
    int                     leaving;        /* it is being given back */
    bus_kafka_part_t       *parts;
    size_t                  nparts;
    uint32_t                owned;
    int                     paused;

    unsigned                flow;           /* which attempt to begin */
    struct event           *step;           /* try this step again */
    void                  (*next)(void *c);
    bus_kafka_marks_t      *marks;
    char                    cluster[64];    /* "" while not known */
    char                    base_hex[2 * BUS_EPOCH_LEN + 1];
    char                    random[64];
    uint8_t                 epoch[BUS_EPOCH_LEN];
    char                    life_key[BUS_KAFKA_KEY];
    char                    hash_key[BUS_KAFKA_KEY];
    char                    done_key[BUS_KAFKA_KEY];
    uint64_t                life;           /* what is known belongs to it */

    struct event           *save;
    struct event           *tick;
    int64_t                 ticked;
    size_t                  calls;          /* on r, not answered yet */

    int                     ending;
    int                     closing;
    int64_t                 end_by;
    struct event           *end;
    void                  (*freed)(void *data);
    void                   *freed_data;
    struct bus_kafka_consumer_s  *left; /* others, ended likewise */

    metric_t               *lost;
    log_once_t              log;
    log_once_t              save_log;
} bus_kafka_consumer_t;


/* bus_kafka_consumer.c */

bus_kafka_part_t *bus_kafka_part(bus_kafka_consumer_t *c, int32_t n);
void bus_kafka_lose_all(bus_kafka_consumer_t *c, const char *why);
void bus_kafka_unassign(bus_kafka_consumer_t *c);
void bus_kafka_check_end(bus_kafka_consumer_t *c);

/* bus_kafka_place.c */

int bus_kafka_place_init(bus_kafka_consumer_t *c, char *err, size_t size);
void bus_kafka_place_done(bus_kafka_consumer_t *c);

/* Find out where to begin with c->list, then assign it. */
void bus_kafka_begin(bus_kafka_consumer_t *c, int64_t delay);
void bus_kafka_cancel(bus_kafka_consumer_t *c);

/* Whether another job has found that the epoch is over. */
void bus_kafka_check_epoch(bus_kafka_consumer_t *c);

/* bus_kafka_done.c */

void bus_kafka_save_init(bus_kafka_consumer_t *c);

/* Save what is done; with `barrier` then bus_kafka_unassign(), as soon as
 * everything sent before has been answered. -1: no connection. */
int bus_kafka_save(bus_kafka_consumer_t *c, int barrier);
void bus_kafka_commit(bus_kafka_consumer_t *c);

/* The epoch is another one: everything begins anew. */
void bus_kafka_over(bus_kafka_consumer_t *c);

#endif
