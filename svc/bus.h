/*
 * The bus: a partitioned, ordered, durable log. One interface, a driver for
 * each kind (bus_kafka.c, bus_redis.c). Handles belong to one event loop and
 * are used from its thread alone; callbacks come from that loop.
 */

#ifndef SVC_BUS_H
#define SVC_BUS_H

#include <event2/event.h>

#include <stddef.h>
#include <stdint.h>

#include "common/goim_position.h"
#include "conf.h"
#include "redis.h"

/* [bus] and [kafka], the same in both services. */
typedef struct {
    char      *driver;          /* "redis" (default), "kafka" */
    int64_t    partitions;      /* redis: how many; kafka: the topic's own */
    char      *topic;           /* kafka: goim-push-topic */
    char      *group;           /* kafka: goim-push-group-job */
    int64_t    generation;      /* part of the bus epoch: a higher one says
                                   that offsets began anew */
    char     **props;           /* [kafka]: name, value, name, value, NULL */
    const char *name;           /* not from the file: NULL, or what is put into
                                   the names of its keys, as there are several
                                   in one Redis; kafka: they have topics */
    int        whole;           /* not from the file: one consumer has all
                                   partitions, the others stand by */
    int64_t    timeout;         /* not from the file: ms, the usual timeout of
                                   bus_produce(); 0: 5 s */
} bus_conf_t;

extern const char *const  bus_names[];  /* of drivers; ends with NULL */

#define BUS_CONF(type, field)                                                \
    { "bus", "driver", CONF_WORD, offsetof(type, field.driver), "redis",     \
      0, 0, bus_names },                                                     \
    { "bus", "partitions", CONF_INT, offsetof(type, field.partitions), "8",  \
      1, 1024, NULL },                                                       \
    { "bus", "topic", CONF_STR, offsetof(type, field.topic),                 \
      "goim-push-topic", 0, 0, NULL },                                       \
    { "bus", "group", CONF_STR, offsetof(type, field.group),                 \
      "goim-push-group-job", 0, 0, NULL },                                   \
    { "bus", "generation", CONF_INT, offsetof(type, field.generation), "1",  \
      1, 1000000, NULL }

/* For conf_free_t of section "kafka": `conf` must begin with a bus_conf_t,
 * or the caller wraps it. NAME_file = PATH gives NAME the file's contents. */
int bus_conf_kafka(bus_conf_t *conf, const char *name, const char *value,
    char *err, size_t size);

/* Driver known, properties accepted by librdkafka. No network. */
int bus_check(const bus_conf_t *conf, char *err, size_t size);

/* Whether `topic` is one of many, which keeps records that nobody takes. */
int bus_topics(const bus_conf_t *conf);


/* ---- producer (logic: one a thread) ---- */

typedef struct bus_producer_s  bus_producer_t;

typedef enum {
    BUS_OK,         /* acknowledged and durable */
    BUS_FAILED,     /* certainly not written and never will be */
    BUS_UNKNOWN     /* no acknowledgement in time: perhaps written */
} bus_result_t;

typedef void (*bus_produced_pt)(bus_result_t result, void *data);

/* `r` is the thread's Redis connection (redis driver; else unused). NULL with
 * a message. When Redis contradicts the configuration the service ends, with
 * svc_loop_fail(). */
bus_producer_t *bus_producer_new(struct event_base *base,
    const bus_conf_t *conf, svc_redis_t *r, char *err, size_t size);

/* The number of partitions, 0 while it is not known (broker away). */
uint32_t bus_producer_partitions(bus_producer_t *p);

typedef struct {
    const void       *key;          /* its partition follows from it */
    size_t            key_len;
    uint32_t          of;           /* so many partitions, the first ones; 0:
                                       all that there are. Kafka's topic can
                                       have more than others know of */
    size_t            len;          /* of the payload */
    size_t          (*pack)(const void *what, uint8_t *payload);
    const void       *what;
    const char       *from;         /* where the writer has its sessions, beside
                                       the payload; "": it does not say */
    const char *const *headers;     /* name, value, ..., NULL, beside it, where
                                       bus_topics(); NULL: none */
    int64_t           timeout;      /* ms */
    bus_produced_pt   cb;
    void             *data;
} bus_message_t;

/*
 * Write one record; its payload is packed into the driver's own memory before
 * this returns. The callback comes exactly once, not from inside this call,
 * within about `timeout`. A record that was not handed over when the time was
 * up is BUS_FAILED, and may then not be written later.
 */
void bus_produce(bus_producer_t *p, const bus_message_t *m);

/*
 * The bus is known to be away, and has been for a second at least: what is
 * written now would only wait. What waited until then has been told so where
 * it was not handed over. A shorter absence is ridden out.
 */
int bus_producer_down(bus_producer_t *p);

/* Whether a produce now has a fair chance: for /health. */
int bus_producer_healthy(bus_producer_t *p);

/* Nothing may be outstanding. */
void bus_producer_free(bus_producer_t *p);


/* ---- consumer (job) ---- */

typedef struct bus_consumer_s  bus_consumer_t;

typedef struct {
    uint32_t        partition;
    goim_offset_t   offset;
    const uint8_t  *payload;        /* valid during the callback */
    size_t          len;
    const char     *from;           /* as the writer said, or NULL; no NUL */
    size_t          from_len;
} bus_record_t;

typedef struct {
    /* A record, in order within its partition. */
    void  (*record)(bus_consumer_t *c, const bus_record_t *rec, void *data);

    /* The partition is another's now, or begins anew: forget what is
     * outstanding of it; bus_done() of it is ignored until it is back. Also
     * told for every partition when Redis came back with another life, and
     * before any further record: `done` may have gone back with it. */
    void  (*revoked)(bus_consumer_t *c, uint32_t partition, void *data);

    void  *data;
} bus_consumer_events_t;

/*
 * `r` is the connection through which the records have their effects: a place
 * is saved, and a partition handed over, behind them on the same connection.
 */
bus_consumer_t *bus_consumer_new(struct event_base *base,
    const bus_conf_t *conf, svc_redis_t *r,
    const bus_consumer_events_t *events, char *err, size_t size);

#define BUS_EPOCH_LEN  16

/* The bus epoch of what is being consumed: bytes, known before the first
 * record; a change is told by revoked() of everything first. */
const uint8_t *bus_consumer_epoch(bus_consumer_t *c, size_t *len);

/* Two digits a byte, and a zero byte. */
void bus_hex(char *out, const uint8_t *bytes, size_t n);

/*
 * Everything of `partition` up to and including `offset` has had its effect
 * in Redis: save it there as `done`. Saved at the latest after 100 ms and at
 * free; a partition starts at the saved `done`, else at the committed offset
 * (kafka), else at the earliest record.
 */
void bus_done(bus_consumer_t *c, uint32_t partition,
    const goim_offset_t *offset);

/*
 * Whether the partition is surely this consumer's still. To be asked before
 * an effect is started: a process that was stopped for long finds here, before
 * revoked() can be told, that another may have gone on in its place.
 */
int bus_consumer_holds(bus_consumer_t *c, uint32_t partition);

#define BUS_NAME   640
#define BUS_SINCE  48

/*
 * What stands in Redis about a partition: its lease, and how far it is done.
 * For scripts that have their effects in its name.
 */
typedef struct {
    uint32_t     partitions;        /* of the bus */
    char         lease_key[BUS_NAME];
    const char  *lease;             /* what it must be, less the last turn */
    char         done_key[BUS_NAME];    /* hash */
    char         done_field[64];
    char         since[BUS_SINCE];  /* where it began, as "<high>-<low>", if
                                       that was not behind the place; or "" */
    uint64_t     life;              /* of Redis, in which this is so: a new one
                                       may lack what was taken. 0: the bus
                                       is elsewhere */
} bus_names_t;

/* -1: the epoch is not known, or there is no such partition. */
int bus_consumer_names(bus_consumer_t *c, uint32_t partition,
    bus_names_t *names);

/*
 * Take once more what follows `place` in a partition that is held, though it is
 * done: its effects were lost. 0: nothing behind it is done. Else what was taken
 * and is outstanding comes again; `missing` of the records are not there any more, or
 * -1: it is not known how many; `place` is behind those.
 */
int bus_consumer_back(bus_consumer_t *c, uint32_t partition,
    goim_offset_t *place, int64_t *missing);

/* Hold back and go on; polling and leases go on meanwhile. */
void bus_pause(bus_consumer_t *c);
void bus_resume(bus_consumer_t *c);

/* Records not yet consumed, about, over the owned partitions. */
int64_t bus_consumer_lag(bus_consumer_t *c);
uint32_t bus_consumer_owned(bus_consumer_t *c);

/* Owned partitions that have something to consume and whose place has not
 * moved for some seconds. */
uint32_t bus_consumer_stuck(bus_consumer_t *c);

/* Whether the bus is there: for /health. */
int bus_consumer_healthy(bus_consumer_t *c);

/* Save what is done, give the partitions to others, then `freed`. */
void bus_consumer_free(bus_consumer_t *c, void (*freed)(void *data),
    void *data);

#endif
