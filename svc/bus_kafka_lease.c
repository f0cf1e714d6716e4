/*
 * The Kafka bus: whose a partition is. By leases in the Redis that holds the
 * effects (lease.h), as on the Redis bus: Kafka's own groups stand still for
 * as long as one of theirs is silent, and a broker that is away throws them
 * out.
 */

#include "bus_kafka_consumer.h"

#include <stdlib.h>
#include <string.h>


/* What is outstanding of it does not count any more. */
static void
bus_kafka_revoke(bus_kafka_consumer_t *c, bus_kafka_part_t *part)
{
    if (part->owned) {
        part->owned = 0;
        c->owned--;

        c->base.events.revoked(&c->base,
                               (uint32_t) bus_kafka_number(c, part),
                               c->base.events.data);
    }

    done_forget(c->done, (uint32_t) bus_kafka_number(c, part));
    bus_kafka_unfetch(c, part);

    if (!part->read) {
        bus_kafka_was_read(c);
    }

    part->leased = 0;
    part->read = 0;
    part->want = 0;
    part->drain = 0;
    part->back = 0;
    part->mode = BUS_KAFKA_STILL;

    free(part->sums);
    part->sums = NULL;
}


int
bus_kafka_consumer_names(bus_consumer_t *base, uint32_t partition,
    bus_names_t *names)
{
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;

    if (done_names(c->done, partition, names) != 0) {
        return -1;
    }

    names->life = 0;
    strcpy(names->since, c->parts[partition].since);

    return 0;
}


int
bus_kafka_consumer_holds(bus_consumer_t *base, uint32_t partition)
{
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    part = bus_kafka_part(c, (int32_t) partition);

    return part != NULL && part->owned && lease_holds(c->lease, partition);
}


/* ---- what becomes of leases ---- */

static void
bus_kafka_taken(uint32_t n, void *data)
{
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = data;
    part = &c->parts[n];

    part->leased = 1;
    part->want = 1;
    part->moved = svc_now();

    c->reading++;
    done_read(c->done, n);
}


static void
bus_kafka_lost(uint32_t n, void *data)
{
    bus_kafka_consumer_t  *c;

    c = data;

    bus_kafka_revoke(c, &c->parts[n]);
}


/* The last effects have been sent: behind them the place, then the lease. */
static void
bus_kafka_giving(uint32_t n, void *data)
{
    bus_kafka_consumer_t  *c;

    c = data;

    if (!c->ending) {
        bus_kafka_commit(c);    /* at the end the client does it */
    }

    done_save(c->done, n);
    bus_kafka_revoke(c, &c->parts[n]);
}


static void
bus_kafka_ended(void *data)
{
    bus_kafka_consumer_t  *c;

    c = data;
    c->left = 1;

    bus_kafka_check_end(c);
}


/* ---- Redis and the topic ---- */

void
bus_kafka_renew(bus_kafka_consumer_t *c)
{
    uint64_t  life;

    if (c->ending || c->nparts == 0 || !svc_redis_is_up(c->r)) {
        return;
    }

    life = svc_redis_life(c->r);

    done_begin(c->done, c->epoch, (uint32_t) c->nparts, life);
    lease_begin(c->lease, c->epoch, (uint32_t) c->nparts, life);
}


void
bus_kafka_lease_init(bus_kafka_consumer_t *c)
{
    c->lease = lease_new(c->loop, c->r, "", c->conf->whole, &(lease_events_t) {
        .taken = bus_kafka_taken,
        .lost = bus_kafka_lost,
        .giving = bus_kafka_giving,
        .ended = bus_kafka_ended,
        .data = c
    });
}
