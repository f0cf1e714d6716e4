/*
 * The Kafka bus: partitions that stand still though there is something to
 * read. How far they go is asked by the client that does not read, so that
 * it is known of one that is not read at all.
 */

#include "bus_kafka_consumer.h"


uint32_t
bus_kafka_consumer_stuck(bus_consumer_t *base)
{
    size_t                 i;
    int64_t                now;
    uint32_t               n;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    now = svc_now();
    n = 0;

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];
        n += (part->leased && now - part->moved > BUS_STUCK);
    }

    return n;
}


void
bus_kafka_look(bus_kafka_consumer_t *c)
{
    size_t             i;
    int64_t            end;
    bus_kafka_part_t  *part;

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];
        end = bus_kafka_asker_end(c->asker, (uint32_t) i);

        if (!part->leased || part->done != part->seen
            || (!part->want && end <= part->done + 1))
        {
            part->seen = part->done;
            part->moved = svc_now();
        }
    }
}
