/*
 * Inside of the Kafka bus's consumer: the records (bus_kafka_consumer.c), the
 * clients of librdkafka's and their end (bus_kafka_client.c), whose a
 * partition is (bus_kafka_lease.c), how far it is done (bus_kafka_done.c), where to begin
 * (bus_kafka_place.c, bus_kafka_marks.c), whether a log is still the one
 * (bus_kafka_log.c), whether it moves (bus_kafka_stuck.c).
 * With a place (done.h) it is noted when the record there was written, and a
 * sum of it; kept are sums of those before.
 *
 * The log of a partition can go back: a broker lost what it had acknowledged,
 * or the topic was made anew. Then offsets come a second time, for other
 * records. Each time is another run of that log, and a position's high half
 * counts them, so that positions only grow.
 */

#ifndef SVC_BUS_KAFKA_CONSUMER_H
#define SVC_BUS_KAFKA_CONSUMER_H

#include "bus_kafka_asker.h"
#include "done.h"
#include "lease.h"

#define BUS_KAFKA_AGAIN     200             /* ms */

/* Records that are remembered by a sum, a partition; a ring by offset, here
 * and in Redis. */
#define BUS_KAFKA_SUMS      16384


/* What is to be done with a partition's next record. */
typedef enum {
    BUS_KAFKA_STILL,            /* none is expected: dropped */
    BUS_KAFKA_CHECK,            /* `newest` once more: is it the same? */
    BUS_KAFKA_SEARCH,           /* up to the first that was not done */
    BUS_KAFKA_GOING             /* handed over */
} bus_kafka_mode_t;


typedef struct {
    unsigned            leased:1;       /* ours */
    unsigned            read:1;         /* its place has been read */
    unsigned            want:1;         /* to be begun */
    unsigned            owned:1;        /* what is outstanding of it counts */
    unsigned            fetched:1;      /* librdkafka reads it */
    unsigned            back:1;         /* its log went back */
    unsigned            drain:1;        /* to be begun when all is done */
    bus_kafka_mode_t    mode;

    uint64_t            run;
    int64_t             done;           /* offset, -1: none */
    int64_t             committed;      /* what Kafka was told, or is told */
    int64_t             begun;          /* where, without a place; -1: never */
    char                since[BUS_SINCE];   /* where, away from the place */

    int32_t             broker;         /* has its log, -1: not known */
    int64_t             newest;         /* taken, -1: none */
    int64_t             time;           /* of it, ms */
    uint32_t            sum;            /* of it, 0: not known */
    uint32_t           *sums;           /* of the newest, 0: not known */
    int64_t             summed;         /* up to here Redis has them */
    int64_t             low;            /* where its log began, and */
    int64_t             from;           /* where a search did */
    int                 by_time;        /* it has nothing else to go by */

    int64_t             moved;          /* when `done` was seen to move */
    int64_t             seen;           /* and what it was */
} bus_kafka_part_t;


/* What a partition holds. */
typedef struct {
    int32_t     partition;
    int64_t     done;           /* the place in Redis, -1: none */
    int64_t     committed;      /* or where it was begun, asked when there
                                   is neither; -1: none */
    uint64_t    run;            /* of that */
    int64_t     low;
    int64_t     high;
} bus_kafka_mark_t;


/* What partitions hold and what Kafka was told of them, asked by a thread. */
typedef struct {
    struct bus_kafka_consumer_s  *c;
    rd_kafka_t           *rk;
    char                 *topic;
    int                   stop;         /* atomic */
    unsigned              flow;
    int                   failed;
    size_t                n;
    bus_kafka_mark_t      part[];
} bus_kafka_marks_t;


typedef struct bus_kafka_consumer_s {
    bus_consumer_t          base;
    struct event_base      *loop;
    const bus_conf_t       *conf;
    svc_redis_t            *r;
    svc_redis_watch_t      *watch;

    rd_kafka_t             *rk;             /* reads */
    rd_kafka_t             *teller;         /* asks, and tells the group */
    bus_kafka_queue_t       queue;
    bus_kafka_asker_t      *asker;
    struct event           *again;          /* make the clients anew */
    uint32_t                sockets;        /* as many as were seen */

    lease_t                *lease;
    done_t                 *done;
    uint32_t                reading;        /* places that are being read */
    uint32_t                sums[BUS_KAFKA_SUMS];       /* to be kept */
    bus_kafka_part_t       *parts;
    size_t                  nparts;
    uint32_t                owned;
    int                     paused;

    unsigned                flow;           /* which attempt to begin */
    struct event           *step;
    bus_kafka_marks_t      *marks;
    int                     known;          /* the epoch is */
    uint8_t                 epoch[BUS_EPOCH_LEN];

    struct event           *tick;
    int64_t                 commit_at;

    rd_kafka_topic_partition_list_t  *last; /* to be told at the end */
    int                     ending;
    int                     left;           /* the leases are given up */
    struct event           *end;
    void                  (*freed)(void *data);
    void                   *freed_data;

    metric_t               *went_back;
    metric_t               *removed;
    log_once_t              log;
} bus_kafka_consumer_t;


/* bus_kafka_consumer.c */

bus_kafka_part_t *bus_kafka_part(bus_kafka_consumer_t *c, int32_t n);
int32_t bus_kafka_number(bus_kafka_consumer_t *c, bus_kafka_part_t *part);

/* The queue's events. */
void bus_kafka_event(rd_kafka_event_t *ev, void *data);

/* bus_kafka_lease.c */

void bus_kafka_lease_init(bus_kafka_consumer_t *c);

/* Redis can be used, or there are more partitions. */
void bus_kafka_renew(bus_kafka_consumer_t *c);

/* bus_kafka_client.c */

int bus_kafka_client_open(bus_kafka_consumer_t *c, char *err, size_t size);

/* The client cannot go on: another one. */
void bus_kafka_client_again(bus_kafka_consumer_t *c, const char *why);

/* Logs may have gone back unseen: a connection came or went, a topic. And
 * whether that has happened since it was asked last. */
void bus_kafka_suspect(void);
int bus_kafka_suspected(bus_kafka_consumer_t *c);

void bus_kafka_client_init(bus_kafka_consumer_t *c);
void bus_kafka_check_end(bus_kafka_consumer_t *c);

/* bus_kafka_place.c */

/* What the keys' names are made of. 0 when it is known. */
int bus_kafka_epoch_known(bus_kafka_consumer_t *c);

void bus_kafka_place_init(bus_kafka_consumer_t *c);

/* Find out where to begin with what is wanted, then begin. */
void bus_kafka_begin(bus_kafka_consumer_t *c, int64_t delay);
void bus_kafka_cancel(bus_kafka_consumer_t *c);
void bus_kafka_marked(bus_kafka_consumer_t *c, bus_kafka_marks_t *marks);

/* bus_kafka_marks.c; the answer comes with bus_kafka_marked() */

int bus_kafka_ask_marks(bus_kafka_consumer_t *c);

/* bus_kafka_done.c */

void bus_kafka_done_init(bus_kafka_consumer_t *c);

/* One place less to be read: when all are it begins. */
void bus_kafka_was_read(bus_kafka_consumer_t *c);

/* Tell Kafka, or what is to be told of: NULL, nothing. */
void bus_kafka_commit(bus_kafka_consumer_t *c);
rd_kafka_topic_partition_list_t *bus_kafka_to_commit(bus_kafka_consumer_t *c);

/* bus_kafka_log.c */

/* Read a partition from `offset` on. */
void bus_kafka_fetch(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int64_t offset);
void bus_kafka_unfetch(bus_kafka_consumer_t *c, bus_kafka_part_t *part);

/* Whether the record is a new one, to be handed over. */
int bus_kafka_take(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    const rd_kafka_message_t *msg);

/* Brokers came or went, or another one has this partition (NULL: any) now:
 * what is read next must be what follows. */
void bus_kafka_recheck(bus_kafka_consumer_t *c,
    const bus_kafka_part_t *which);

/* Its log is not as it was, or may not be: begin when all that was taken is
 * done; with `back` it certainly went back. */
void bus_kafka_restart(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int back);

/* All is done that a restart waits for? */
void bus_kafka_drained(bus_kafka_consumer_t *c, bus_kafka_part_t *part);

/* The log went back, or may have: find out up to where it was done.
 * `sums` as Redis has them, NULL: nothing is remembered. */
void bus_kafka_search(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    const void *sums, size_t len);

/* bus_kafka_stuck.c */

/* Whether places move; now and then. */
void bus_kafka_look(bus_kafka_consumer_t *c);

#endif
