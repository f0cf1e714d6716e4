/*
 * The Kafka bus: where to begin, when a place is known, and for those that
 * have none. Places belong to an epoch, made of the cluster, the topic and a
 * configured generation.
 */

#include "bus_kafka_consumer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>


int
bus_kafka_epoch_known(bus_kafka_consumer_t *c)
{
    char  *id, text[512];

    if (c->known) {
        return 0;
    }

    id = rd_kafka_clusterid(c->teller, 0);

    if (id == NULL) {
        return -1;
    }

    snprintf(text, sizeof(text), "kafka/%.63s/%s/%" PRId64, id,
             c->conf->topic, c->conf->generation);
    rd_kafka_mem_free(c->teller, id);

    bus_epoch(c->epoch, text);
    c->known = 1;

    return 0;
}


/* ---- attempts ---- */

void
bus_kafka_cancel(bus_kafka_consumer_t *c)
{
    c->flow++;
    event_del(c->step);

    if (c->marks != NULL) {
        __atomic_store_n(&c->marks->stop, 1, __ATOMIC_RELAXED);
    }
}


void
bus_kafka_begin(bus_kafka_consumer_t *c, int64_t delay)
{
    bus_kafka_cancel(c);
    svc_timer(c->step, delay);
}


static void
bus_kafka_on_step(evutil_socket_t fd, short what, void *data)
{
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;

    if (c->rk == NULL || c->ending) {
        return;
    }

    /* the thread of an attempt before may still be asking */

    if (c->marks != NULL || bus_kafka_ask_marks(c) != 0) {
        svc_timer(c->step, BUS_KAFKA_AGAIN);
    }
}


/* ---- what the partitions hold ---- */

/*
 * The offset of the first record to take. Always one that is there: left to
 * librdkafka 2.0.2, looking for it would be a request under way, and one
 * that is answered after the partition was given up keeps the client from
 * ending.
 */
static int64_t
bus_kafka_from(bus_kafka_consumer_t *c, const bus_kafka_mark_t *mark)
{
    int64_t  from;

    from = mark->done >= 0 ? mark->done + 1 : mark->committed;

    if (from >= mark->low && from <= mark->high) {
        return from;
    }

    if (from > mark->high) {
        log_write(LOG_WARN, "bus: partition %d ends at %" PRId64 ", before "
                  "the committed offset: it begins anew",
                  (int) mark->partition, mark->high);

    } else if (from >= 0) {
        metrics_add(c->removed, mark->low - from);
        log_write(LOG_ERROR, "bus: partition %d: %" PRId64 " records "
                  "behind the place have been removed by Kafka",
                  (int) mark->partition, mark->low - from);
    }

    return mark->low;
}


/*
 * It does not follow its place: there is none, or what comes behind it has been
 * removed. Told to Redis before anything is numbered (number.lua).
 */
static void
bus_kafka_away(bus_kafka_part_t *part, const bus_kafka_mark_t *mark,
    int64_t from)
{
    if (mark->done < 0 || from > mark->done + 1) {
        snprintf(part->since, sizeof(part->since),
                 "%" PRIu64 "-%" PRId64, part->run, from);
    }
}


static void
bus_kafka_start(bus_kafka_consumer_t *c, const bus_kafka_mark_t *mark)
{
    int64_t            from;
    bus_kafka_part_t  *part;

    part = bus_kafka_part(c, mark->partition);

    if (!part->want) {
        return;                 /* lost meanwhile */
    }

    part->want = 0;
    part->low = mark->low;

    if (!part->owned) {
        part->owned = 1;
        c->owned++;
    }

    if (mark->done >= 0 && (part->back || mark->done >= mark->high)) {
        part->mode = BUS_KAFKA_STILL;
        bus_kafka_away(part, mark, mark->low);
        done_load(c->done, (uint32_t) mark->partition);

    } else if (mark->done >= mark->low && part->sum != 0) {
        part->mode = BUS_KAFKA_CHECK;
        bus_kafka_fetch(c, part, mark->done);

    } else {
        from = bus_kafka_from(c, mark);

        if (mark->done < 0) {
            part->run = mark->run + (mark->committed > mark->high);
            part->done = from - 1;
            part->newest = from - 1;
        }

        bus_kafka_away(part, mark, from);

        part->mode = BUS_KAFKA_GOING;
        part->sum = 0;
        bus_kafka_fetch(c, part, from);
    }
}


void
bus_kafka_marked(bus_kafka_consumer_t *c, bus_kafka_marks_t *marks)
{
    size_t  i;

    if (c->ending) {
        bus_kafka_check_end(c);
        return;
    }

    if (marks->flow != c->flow) {
        return;                 /* for an attempt that was given up */
    }

    if (marks->failed) {
        svc_timer(c->step, BUS_KAFKA_AGAIN);
        return;
    }

    for (i = 0; i < marks->n; i++) {
        bus_kafka_start(c, &marks->part[i]);
    }

    log_write(LOG_INFO, "bus: %zu partitions taken, %u are held", marks->n,
              c->owned);
}


void
bus_kafka_place_init(bus_kafka_consumer_t *c)
{
    c->step = evtimer_new(c->loop, bus_kafka_on_step, c);

    if (c->step == NULL) {
        abort();
    }
}
