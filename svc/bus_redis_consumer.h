/*
 * Inside of the Redis bus's consumer: reading (bus_redis_consumer.c), leases
 * (bus_redis_lease.c), places (bus_redis_place.c).
 */

#ifndef SVC_BUS_REDIS_CONSUMER_H
#define SVC_BUS_REDIS_CONSUMER_H

#include "bus_redis.h"

#include "clock.h"


typedef struct {
    uint32_t    n;
    char       *stream;
    int         owned;
    int         asked;          /* the read under way is for this ownership */
    int         releasing;      /* its release is under way */
    uint64_t    ms;             /* the last record handed over */
    uint64_t    seq;
    char        cursor[44];
    char        lease[160];     /* the lease's value: "<job> <fence>" */
    int64_t     until;          /* by this clock, it is surely held */

    int         dirty;          /* done, not saved yet */
    int         saving;
    uint64_t    done_ms;
    uint64_t    done_seq;
    int64_t     len;            /* of the stream, when it was last seen */
    int64_t     moved;          /* when it was empty or `done` another one */
    uint64_t    seen_ms;
    uint64_t    seen_seq;
} bus_redis_part_t;


typedef struct {
    bus_consumer_t       base;
    struct event_base   *loop;
    bus_redis_t          bus;
    svc_redis_watch_t   *watch;
    svc_redis_t         *reader;        /* the connection that waits */
    long long            reader_id;     /* CLIENT ID of it, 0: not known */
    char                 me[128];
    char                 notes_key[BUS_REDIS_KEY];
    char                 note[44];      /* the last note seen */
    bus_redis_part_t    *parts;
    uint32_t             owned;

    uint64_t             life;          /* what is known belongs to it */
    uint8_t              epoch[BUS_EPOCH_LEN];
    int                  known;         /* life and epoch are */

    int                  reading;       /* an XREAD is under way */
    int                  paused;
    size_t               count;         /* records a stream, to ask for */
    unsigned             narrow;        /* owned streams >> narrow are read */
    uint32_t             turn;          /* from here on */
    size_t               record_size;   /* the largest, of late */
    size_t               most;          /* records of a stream, in a reply */
    struct event        *retry;

    struct event        *tick;          /* renew the leases */
    struct event        *save;
    int                  ticking;
    int                  tick_again;
    size_t               calls;         /* on bus.r, not answered yet */

    int                  ending;
    int                  left;          /* the last words have been said */
    struct event        *end;
    void               (*freed)(void *data);
    void                *freed_data;

    metric_t            *broken;
    metric_t            *fenced;
    log_once_t           broken_log;
    log_once_t           read_log;
    log_once_t           lease_log;
} bus_redis_consumer_t;


/* bus_redis_consumer.c */

void bus_redis_read(bus_redis_consumer_t *c);
void bus_redis_read_again(bus_redis_consumer_t *c);
void bus_redis_consumer_delete(bus_redis_consumer_t *c);

/* bus_redis_lease.c */

void bus_redis_lease_start(bus_redis_consumer_t *c);
int bus_redis_holds(bus_redis_consumer_t *c, const bus_redis_part_t *part);
void bus_redis_noted(bus_redis_consumer_t *c, const redisReply *entries);
void bus_redis_mend(bus_redis_consumer_t *c);
void bus_redis_check_end(bus_redis_consumer_t *c);
void bus_redis_lose(bus_redis_consumer_t *c, bus_redis_part_t *part,
    const char *why);

/* bus_redis_place.c */

void bus_redis_save_init(bus_redis_consumer_t *c);

/* Save what is done, and give the lease up; -1: no connection. */
int bus_redis_save(bus_redis_consumer_t *c, bus_redis_part_t *part,
    int release);

#endif
