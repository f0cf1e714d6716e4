/*
 * What the files of the leases share: lease.c takes, renews and gives them,
 * lease_sight.c watches those of others.
 */

#ifndef SVC_LEASE_INT_H
#define SVC_LEASE_INT_H

#include "lease.h"

#include "log.h"
#include "metrics.h"

#define LEASE_TIME      4000                /* ms */
#define LEASE_TICK      750
#define LEASE_MARGIN    (LEASE_TIME / 8)    /* not relied on */
#define LEASE_KEY       512


/* Something of another's in Redis, and since when it has been like that. */
typedef struct {
    char      name[LEASE_NAME];     /* a member; "" for a lease */
    char      value[LEASE_NAME];
    int64_t   since;
    uint64_t  look;                 /* when it was seen last */
} lease_sight_t;


typedef struct {
    int            owned;
    int            releasing;       /* the word of it is under way */
    char           name[LEASE_NAME];
    int64_t        until;           /* by this clock, it is surely held */
    uint64_t       look;
    lease_sight_t  other;
} lease_part_t;


struct lease_s {
    struct event_base  *base;
    svc_redis_t        *r;
    lease_events_t      events;
    int                 whole;
    char                me[128];
    char                life_key[LEASE_KEY];
    char                members_key[LEASE_KEY];
    char                notes_key[LEASE_KEY];
    char                keys[LEASE_KEY];        /* ...goim:{ */
    char                before[LEASE_KEY];
    char                scope[2 * BUS_EPOCH_LEN + 2];   /* :<epoch> */
    uint32_t            n;
    lease_part_t       *parts;
    uint32_t            owned;
    lease_sight_t      *members;
    size_t              nmembers;

    uint64_t            life;
    int                 ready;
    uint64_t            turn;
    uint64_t            look;
    struct event       *tick;
    struct event       *end;
    int                 ticking;
    int                 again;
    int                 ending;
    size_t              calls;          /* not answered yet */

    metric_t           *fenced;
    log_once_t          log;
};


/* lease_sight.c */

/* Milliseconds that only grow, and do while the machine sleeps. */
int64_t lease_now(void);

/* Lists of a turn's answer: members with their turns, leases of others. */
void lease_saw_members(lease_t *l, const redisReply *list);
void lease_saw_others(lease_t *l, const redisReply *list);

/* It has been the same for a lease's time. */
int lease_over(const lease_t *l, const lease_sight_t *s);

/* In how many ms to look again: as soon as something may be over. */
int64_t lease_next(lease_t *l);

#endif
