/*
 * The Kafka bus: whether a partition's log is still the one that was read.
 *
 * Brokers can come back without the last records they had acknowledged, and a
 * topic can be made anew: then other records stand where some had been read.
 * A sum of each record is remembered (the last BUS_KAFKA_SUMS of a partition,
 * in Redis those that are done). Where reading goes on, the record before is
 * read once more and compared: at the beginning, whenever a connection to a
 * broker was opened or closed, and when another broker has the partition: no
 * log goes back without one of these. If it is another one, those that were
 * done are compared from the first remembered on, and the first that differs
 * is the first new one.
 */

#include "bus_kafka_consumer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>


/* ---- what librdkafka reads ---- */

void
bus_kafka_fetch(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int64_t offset)
{
    rd_kafka_error_t                 *error;
    rd_kafka_topic_partition_list_t  *list;

    bus_kafka_unfetch(c, part);

    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, c->conf->topic,
                                      bus_kafka_number(c, part))->offset
        = offset;

    error = rd_kafka_incremental_assign(c->rk, list);

    if (error != NULL) {
        log_seldom(&c->log, LOG_ERROR, "kafka: assign: %s",
                   rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        part->want = 1;
        part->mode = BUS_KAFKA_STILL;
        bus_kafka_begin(c, BUS_KAFKA_AGAIN);

    } else {
        part->fetched = 1;

        /* librdkafka may remember it paused from when it was read before */

        if (c->paused) {
            rd_kafka_pause_partitions(c->rk, list);

        } else {
            rd_kafka_resume_partitions(c->rk, list);
        }
    }

    rd_kafka_topic_partition_list_destroy(list);
}


void
bus_kafka_unfetch(bus_kafka_consumer_t *c, bus_kafka_part_t *part)
{
    rd_kafka_error_t                 *error;
    rd_kafka_topic_partition_list_t  *list;

    if (!part->fetched) {
        return;
    }

    part->fetched = 0;

    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, c->conf->topic,
                                      bus_kafka_number(c, part));

    error = rd_kafka_incremental_unassign(c->rk, list);

    if (error != NULL) {
        log_seldom(&c->log, LOG_ERROR, "kafka: unassign: %s",
                   rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }

    rd_kafka_topic_partition_list_destroy(list);
}


/* ---- sums ---- */

/* FNV-1a, four bytes at a time; not against an adversary. */
static uint64_t
bus_kafka_hash(uint64_t h, const void *data, size_t len)
{
    uint32_t        word;
    const uint8_t  *p;

    p = data;

    for ( /* void */ ; len >= sizeof(word); len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = (h ^ word) * 1099511628211ull;
        p += sizeof(word);
    }

    while (len-- > 0) {
        h = (h ^ *p++) * 1099511628211ull;
    }

    return h ^ (h >> 29);
}


static uint32_t
bus_kafka_sum(const rd_kafka_message_t *msg, int64_t time)
{
    uint32_t  sum;
    uint64_t  h;

    h = bus_kafka_hash(14695981039346656037ull, &time, sizeof(time));
    h = bus_kafka_hash(h, msg->key, msg->key != NULL ? msg->key_len : 0);
    h = bus_kafka_hash(h, msg->payload, msg->payload != NULL ? msg->len : 0);
    sum = (uint32_t) (h ^ (h >> 32));

    return sum != 0 ? sum : 1;
}


/* What lies between was no record for us. */
static void
bus_kafka_remember(bus_kafka_part_t *part, int64_t offset, int64_t time,
    uint32_t sum)
{
    int64_t  o;

    o = part->newest + 1;

    if (o < offset - BUS_KAFKA_SUMS) {
        o = offset - BUS_KAFKA_SUMS;
    }

    for ( /* void */ ; o < offset; o++) {
        part->sums[o % BUS_KAFKA_SUMS] = 0;
    }

    part->sums[offset % BUS_KAFKA_SUMS] = sum;
    part->newest = offset;
    part->time = time;
    part->sum = sum;
}


/* ---- beginning again ---- */

void
bus_kafka_drained(bus_kafka_consumer_t *c, bus_kafka_part_t *part)
{
    if (!part->drain || part->done < part->newest) {
        return;
    }

    part->drain = 0;
    part->want = 1;

    done_save(c->done, (uint32_t) bus_kafka_number(c, part));
    bus_kafka_begin(c, 0);
}


void
bus_kafka_restart(bus_kafka_consumer_t *c, bus_kafka_part_t *part, int back)
{
    bus_kafka_unfetch(c, part);

    part->mode = BUS_KAFKA_STILL;
    part->back |= (back != 0);
    part->drain = 1;

    bus_kafka_drained(c, part);
}


/* Where it is to be read once more; -1: it cannot be told. */
static int64_t
bus_kafka_again_from(const bus_kafka_part_t *part)
{
    switch (part->mode) {

    case BUS_KAFKA_CHECK:
        return part->newest;

    case BUS_KAFKA_SEARCH:
        return part->by_time ? part->low : part->from;

    case BUS_KAFKA_GOING:
        return part->sum != 0 ? part->newest : -1;

    default:
        return -1;
    }
}


void
bus_kafka_recheck(bus_kafka_consumer_t *c, const bus_kafka_part_t *which)
{
    size_t                            i;
    int64_t                           from;
    bus_kafka_part_t                 *part;
    rd_kafka_error_t                 *error;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(8);

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];
        from = bus_kafka_again_from(part);

        if (from == -1 || (which != NULL && part != which)) {
            continue;
        }

        if (part->mode == BUS_KAFKA_GOING) {
            part->mode = BUS_KAFKA_CHECK;
        }

        rd_kafka_topic_partition_list_add(list, c->conf->topic, (int32_t) i)
            ->offset = from;
    }

    if (list->cnt > 0) {

        /* what was fetched before is dropped */

        error = rd_kafka_seek_partitions(c->rk, list, 0);

        if (error != NULL) {
            log_seldom(&c->log, LOG_ERROR, "kafka: seek: %s",
                       rd_kafka_error_string(error));
            rd_kafka_error_destroy(error);
        }
    }

    rd_kafka_topic_partition_list_destroy(list);
}


/* ---- a log that went back ---- */

void
bus_kafka_search(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    const void *sums, size_t len)
{
    size_t  size;

    size = BUS_KAFKA_SUMS * sizeof(uint32_t);

    part->back = 0;
    part->by_time = (sums == NULL);
    part->from = part->low;

    if (sums != NULL) {
        memset(part->sums, 0, size);
        memcpy(part->sums, sums, len < size ? len : size);

        if (part->from < part->done + 1 - BUS_KAFKA_SUMS) {
            part->from = part->done + 1 - BUS_KAFKA_SUMS;
        }
    }

    part->mode = BUS_KAFKA_SEARCH;
    bus_kafka_fetch(c, part, part->from);
}


/* The first record of another run of the log. */
static void
bus_kafka_found(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int64_t offset)
{
    metrics_add(c->went_back, 1);
    log_write(LOG_ERROR, "bus: partition %d of %s went back: it was done up "
              "to %" PRId64 ", and at %" PRId64 " another record stands: "
              "going on there, as run %" PRIu64,
              (int) bus_kafka_number(c, part), c->conf->topic, part->done,
              offset, part->run + 1);

    part->run++;
    part->done = offset - 1;
    part->newest = offset - 1;
    part->summed = offset - 1;
    part->mode = BUS_KAFKA_GOING;
}


static int
bus_kafka_searched(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int64_t offset, int64_t time, uint32_t sum)
{
    uint32_t  was;

    if (part->by_time) {

        if (time <= part->time) {
            return 0;
        }

    } else if (offset > part->done) {
        part->mode = BUS_KAFKA_GOING;       /* all were the same: it did not */
        return 1;

    } else {
        was = part->sums[offset % BUS_KAFKA_SUMS];

        if (was == sum || was == 0) {
            return 0;
        }

        if (offset == part->from && offset > part->low) {

            /* it went back beyond what is remembered: time is left */

            part->by_time = 1;
            bus_kafka_fetch(c, part, part->low);
            return 0;
        }
    }

    bus_kafka_found(c, part, offset);

    return 1;
}


int
bus_kafka_take(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    const rd_kafka_message_t *msg)
{
    int64_t   time;
    uint32_t  sum;

    time = rd_kafka_message_timestamp(msg, NULL);
    sum = bus_kafka_sum(msg, time);

    switch (part->mode) {

    case BUS_KAFKA_STILL:
        return 0;

    case BUS_KAFKA_CHECK:

        if (msg->offset == part->newest && sum == part->sum) {
            part->sums[msg->offset % BUS_KAFKA_SUMS] = sum;
            part->time = time;
            part->mode = BUS_KAFKA_GOING;
            return 0;
        }

        if (msg->offset <= part->newest) {
            bus_kafka_restart(c, part, 1);
            return 0;
        }

        /* what was to be compared has been removed */

        part->mode = BUS_KAFKA_GOING;
        break;

    case BUS_KAFKA_SEARCH:

        if (!bus_kafka_searched(c, part, msg->offset, time, sum)) {
            return 0;
        }

        break;

    default:

        if (msg->offset <= part->newest) {
            bus_kafka_restart(c, part, 1);
            return 0;
        }
    }

    bus_kafka_remember(part, msg->offset, time, sum);

    return 1;
}
