/*
 * Who reads which partition, for drivers of the bus whose broker does not
 * share them out: leases in Redis, and members who take a share each.
 *
 *     <prefix>goim:{<n>}:lease:<epoch>    "<holder> <fence> <turn>"
 *     <prefix>goim:{<n>}:fence:<epoch>    counter of leases
 *     <prefix>goim:bus:members:<epoch>    hash: holder -> its last turn
 *     <prefix>goim:bus:notes              stream: something changed, look now
 *
 * The epoch is the bus's: two that are used at once do not meet.
 *
 * A partition has one holder at a time, by a lease with a number that grows
 * with each new one; scripts compare it (done_save.lua). Whoever has more than
 * his share gives up, whoever stops gives all up. No clock but each one's own
 * is asked, and that one counts while the machine sleeps: a holder judges its
 * lease from when it sent the renewal, the others from when they saw it.
 */

#ifndef SVC_LEASE_H
#define SVC_LEASE_H

#include "bus_int.h"

#define LEASE_NAME  160         /* "<holder> <fence>" */

typedef struct lease_s  lease_t;

typedef struct {
    /* it is this process's now */
    void  (*taken)(uint32_t n, void *data);

    /* not any more, or perhaps not: nothing may be done in its name */
    void  (*lost)(uint32_t n, void *data);

    /* it will be another's: what is sent now goes before that */
    void  (*giving)(uint32_t n, void *data);

    /* all taken and lost of one turn has been told; may be NULL */
    void  (*looked)(void *data);

    /* lease_end() is over */
    void  (*ended)(void *data);

    void   *data;
} lease_events_t;

/* before: what leases of a version before began with, "" for none; whole: one
 * has all partitions, and the others stand by. */
lease_t *lease_new(struct event_base *base, svc_redis_t *r,
    const char *before, int whole, const lease_events_t *events);

/* Redis can be used, in this life, and there are n partitions, perhaps more
 * than before. Of another epoch or life all is lost. */
void lease_begin(lease_t *l, const uint8_t epoch[BUS_EPOCH_LEN], uint32_t n,
    uint64_t life);

/* It cannot for now: leases run out. */
void lease_pause(lease_t *l);

/* Everything is lost, as the log says why. */
void lease_lose_all(lease_t *l, const char *why);
void lease_lose(lease_t *l, uint32_t n, const char *why);

/* Whether it is this process's, and surely still. */
int lease_owned(lease_t *l, uint32_t n);
int lease_holds(lease_t *l, uint32_t n);

/* "<holder> <fence>" of a partition that is owned, or was last. */
const char *lease_name(lease_t *l, uint32_t n);

/* Where it stands in Redis. */
void lease_key(lease_t *l, uint32_t n, char *key, size_t size);

/* Entries of the stream of notes: somebody came, went or gave up. */
void lease_noted(lease_t *l, const redisReply *entries);

/* Give all up and leave; `ended` comes, from the loop. Then free it. */
void lease_end(lease_t *l);
void lease_free(lease_t *l);

#endif
