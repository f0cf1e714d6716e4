/*
 * Inside of the bus: what a driver provides. A driver's producer and consumer
 * begin with these structures.
 */

#ifndef SVC_BUS_INT_H
#define SVC_BUS_INT_H

#include "bus.h"

#include "metrics.h"

#define BUS_STUCK       10000       /* ms without a move, though there is lag */


typedef struct {
    const char       *name;
    int               topics;       /* of bus_topics() */

    /* beyond the table of [bus]; may be NULL */
    int             (*check)(const bus_conf_t *conf, char *err, size_t size);

    bus_producer_t *(*producer_new)(struct event_base *base,
                        const bus_conf_t *conf, svc_redis_t *r, char *err,
                        size_t size);
    uint32_t        (*producer_partitions)(bus_producer_t *p);
    void            (*produce)(bus_producer_t *p, const bus_message_t *m);
    int             (*producer_reaches)(bus_producer_t *p);
    void            (*producer_down)(bus_producer_t *p);  /* may be NULL */
    int             (*producer_healthy)(bus_producer_t *p);
    void            (*producer_free)(bus_producer_t *p);

    bus_consumer_t *(*consumer_new)(struct event_base *base,
                        const bus_conf_t *conf, svc_redis_t *r,
                        const bus_consumer_events_t *events, char *err,
                        size_t size);
    const uint8_t  *(*consumer_epoch)(bus_consumer_t *c, size_t *len);
    int             (*consumer_holds)(bus_consumer_t *c, uint32_t partition);
    int             (*consumer_names)(bus_consumer_t *c, uint32_t partition,
                        bus_names_t *names);
    void            (*done)(bus_consumer_t *c, uint32_t partition,
                        const goim_offset_t *offset);
    int             (*back)(bus_consumer_t *c, uint32_t partition,
                        goim_offset_t *place, int64_t *missing);
    void            (*pause)(bus_consumer_t *c);
    void            (*resume)(bus_consumer_t *c);
    int64_t         (*consumer_lag)(bus_consumer_t *c);
    uint32_t        (*consumer_owned)(bus_consumer_t *c);
    uint32_t        (*consumer_stuck)(bus_consumer_t *c);
    int             (*consumer_healthy)(bus_consumer_t *c);
    void            (*consumer_free)(bus_consumer_t *c,
                        void (*freed)(void *data), void *data);
} bus_driver_t;

struct bus_producer_s {
    const bus_driver_t     *driver;
    struct event           *tick;
    int64_t                 away;       /* since when; 0: it is there */
    int                     down;
};

struct bus_consumer_s {
    const bus_driver_t     *driver;
    bus_consumer_events_t   events;
};

extern const bus_driver_t  bus_redis_driver;
extern const bus_driver_t  bus_kafka_driver;


/*
 * Records that were handed over and not answered yet: every driver keeps
 * them in a list by deadline. One timer tells when the first one's is up.
 */
typedef struct bus_item_s {
    struct bus_item_s   *next;      /* by deadline */
    struct bus_item_s  **prev;
    struct bus_item_s   *queue;     /* the driver's own list */
    int64_t              deadline;
    bus_produced_pt      cb;        /* NULL: answered already */
    void                *data;
    int                  sent;      /* may have been written */
    uint32_t             partition;
    size_t               key_len;
    size_t               len;
    uint8_t              bytes[];   /* key, payload */
} bus_item_t;

#define BUS_ITEMS_MAX    200000
#define BUS_BYTES_MAX    (128 * 1024 * 1024)

typedef struct {
    struct event_base   *base;
    bus_item_t          *first;
    bus_item_t         **last;
    size_t               n;
    size_t               bytes;
    struct event        *timer;
    struct event        *fail;      /* answers that may not come at once */
    bus_item_t          *failed;
    bus_item_t         **failed_last;
    void               (*late)(bus_item_t *item, void *data);
    void                *data;
} bus_items_t;

/* `late`: the time of an item is up, it has been answered. */
void bus_items_init(bus_items_t *items, struct event_base *base,
    void (*late)(bus_item_t *item, void *data), void *data);
void bus_items_done(bus_items_t *items);

/* A new item; NULL when too much is outstanding (cb comes: BUS_FAILED). */
bus_item_t *bus_item_new(bus_items_t *items, const bus_message_t *m);

/* Answer unless it has been; the item stays the driver's. */
void bus_item_answer(bus_items_t *items, bus_item_t *item,
    bus_result_t result);

/* The driver has no use for it any more: it is answered or will be, from the
 * loop, with BUS_FAILED. */
void bus_item_fail(bus_items_t *items, bus_item_t *item);

/* Sixteen bytes made of a text. */
void bus_epoch(uint8_t epoch[BUS_EPOCH_LEN], const char *text);

/* Who holds leases: a name that nobody else has, host and process first. */
void bus_job_name(char *name, size_t size);

#endif
