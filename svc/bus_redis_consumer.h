/*
 * Inside of the Redis bus's consumer: whose the partitions are and how far
 * they are done (bus_redis_consumer.c, by lease.h and done.h), and reading
 * (bus_redis_read.c).
 */

#ifndef SVC_BUS_REDIS_CONSUMER_H
#define SVC_BUS_REDIS_CONSUMER_H

#include "bus_redis.h"

#include "clock.h"
#include "done.h"
#include "lease.h"


typedef struct bus_redis_consumer_s  bus_redis_consumer_t;

typedef struct {
    bus_redis_consumer_t  *c;
    uint32_t               n;
    char                  *stream;
    int                    ready;       /* owned, and its place is known */
    int                    asked;       /* the read under way is for this
                                           ownership */
    uint64_t               ms;          /* the last record handed over */
    uint64_t               seq;
    char                   cursor[44];
    int64_t                len;         /* of the stream, seen last */
    int64_t                moved;       /* when it was empty, or its place
                                           moved */
} bus_redis_part_t;


struct bus_redis_consumer_s {
    bus_consumer_t       base;
    struct event_base   *loop;
    bus_redis_t          bus;
    lease_t             *lease;
    done_t              *done;
    svc_redis_watch_t   *watch;
    bus_redis_part_t    *parts;
    uint32_t             owned;         /* parts that are ready */

    uint64_t             life;          /* what is known belongs to it; 0:
                                           nothing is */
    struct event        *look;          /* ask, and how long streams are */
    size_t               calls;         /* on bus.r, not answered yet */

    svc_redis_t         *reader;        /* the connection that waits */
    long long            reader_id;     /* CLIENT ID of it, 0: not known */
    char                 notes_key[BUS_REDIS_KEY];
    char                 note[44];      /* the last note seen */
    int                  reading;       /* an XREAD is under way */
    int                  paused;
    size_t               count;         /* records a stream, to ask for */
    unsigned             narrow;        /* owned streams >> narrow are read */
    uint32_t             turn;          /* from here on */
    size_t               record_size;   /* the largest, of late */
    size_t               most;          /* records of a stream, in a reply */
    struct event        *retry;

    int                  ending;
    int                  left;          /* the leases are given up */
    struct event        *end;
    void               (*freed)(void *data);
    void                *freed_data;

    metric_t            *broken;
    log_once_t           broken_log;
    log_once_t           read_log;
};


/* bus_redis_consumer.c */

/* A key that is read is no stream. */
void bus_redis_mend(bus_redis_consumer_t *c);
void bus_redis_check_end(bus_redis_consumer_t *c);

/* bus_redis_read.c */

void bus_redis_read_init(bus_redis_consumer_t *c);

/* Wait for records, unless that is under way; again: of other partitions. */
void bus_redis_read(bus_redis_consumer_t *c);
void bus_redis_read_again(bus_redis_consumer_t *c);

#endif
