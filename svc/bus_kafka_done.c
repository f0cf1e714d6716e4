/*
 * The Kafka bus: how far it is done (done.h), with sums of the records that
 * were. What Kafka is told follows, for the tools that show a group's lag.
 */

#include "bus_kafka_consumer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* ---- places ---- */

void
bus_kafka_was_read(bus_kafka_consumer_t *c)
{
    if (--c->reading == 0) {
        bus_kafka_begin(c, 0);
    }
}


/* "<time> <sum>". */
static void
bus_kafka_noted(bus_kafka_part_t *part, const char *note)
{
    char  *end;

    part->time = strtoll(note, &end, 10);
    part->sum = (uint32_t) strtoul(end, NULL, 10);
    part->summed = part->done;

    /* without the sum of the last one it takes those of all */

    part->back = (part->sum == 0);
}


/*
 * Redis lost the place, but not that it has taken what comes behind this: that
 * is done again. What Kafka was told since is farther.
 */
static void
bus_kafka_begun(bus_kafka_part_t *part, const char *since)
{
    uint64_t  run;
    int64_t   begun;

    if (sscanf(since, "%" SCNu64 "-%" SCNd64, &run, &begun) == 2
        && begun >= 0)
    {
        part->run = run;
        part->begun = begun;
    }
}


static void
bus_kafka_read(uint32_t n, const goim_offset_t *place, const char *note,
    void *data)
{
    uint64_t               run, low;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = data;
    part = &c->parts[n];

    part->run = 0;
    part->done = -1;
    part->broker = -1;
    part->sum = 0;
    part->time = 0;
    part->summed = -1;
    part->committed = -1;
    part->begun = -1;
    part->since[0] = '\0';

    if (place == NULL) {
        bus_kafka_begun(part, note);

    } else {
        goim_offset_get(place, &run, &low);

        if (low < INT64_MAX) {
            part->run = run;
            part->done = (int64_t) low;

            if (*note != '\0') {
                bus_kafka_noted(part, note);
            }
        }
    }

    part->newest = part->done;
    part->sums = calloc(BUS_KAFKA_SUMS, sizeof(uint32_t));

    if (part->sums == NULL) {
        abort();
    }

    part->read = 1;
    bus_kafka_was_read(c);
}


static void
bus_kafka_saved(uint32_t n, const goim_offset_t *place, void *data)
{
    uint64_t           run, low;
    bus_kafka_part_t  *part;

    part = &((bus_kafka_consumer_t *) data)->parts[n];

    goim_offset_get(place, &run, &low);

    if (part->run == run && part->summed < (int64_t) low) {
        part->summed = (int64_t) low;
    }
}


static void
bus_kafka_fenced(uint32_t n, void *data)
{
    lease_lose(((bus_kafka_consumer_t *) data)->lease, n,
               "another has the lease");
}


static void
bus_kafka_idle(void *data)
{
    bus_kafka_check_end(data);
}


void
bus_kafka_done(bus_consumer_t *base, uint32_t partition,
    const goim_offset_t *offset)
{
    uint64_t               high, low;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    part = bus_kafka_part(c, (int32_t) partition);

    if (part == NULL || !part->owned) {
        return;
    }

    goim_offset_get(offset, &high, &low);

    if (high != part->run || (int64_t) low <= part->done) {
        return;
    }

    part->done = (int64_t) low;

    done_move(c->done, partition, offset);
    bus_kafka_drained(c, part);
}


/* Kafka has it for as long as it keeps the topic. A log that went back, too, is
   another run of it: what was there before is not. */

int
bus_kafka_back(bus_consumer_t *base, uint32_t partition,
    goim_offset_t *place, int64_t *missing)
{
    uint64_t               run, low;
    int64_t                from;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    part = bus_kafka_part(c, (int32_t) partition);

    if (part == NULL || !part->owned || part->done < 0) {
        return 0;
    }

    goim_offset_get(place, &run, &low);

    if (run > part->run || (run == part->run && (int64_t) low >= part->done)) {
        return 0;
    }

    from = (int64_t) low + 1;
    *missing = 0;

    if (run != part->run || (part->mode != BUS_KAFKA_GOING
                             && part->mode != BUS_KAFKA_CHECK))
    {
        *missing = -1;
        from = part->done + 1;

    } else if (from < part->low) {
        *missing = part->low - from;
        from = part->low;
    }

    goim_offset_set(place, part->run, (uint64_t) from - 1);

    if (*missing >= 0) {
        part->done = from - 1;
        part->newest = from - 1;
        part->sum = 0;
        part->mode = BUS_KAFKA_GOING;
        bus_kafka_fetch(c, part, from);
    }

    return 1;
}


/* ---- sums ---- */

/* 0: not known any more, as newer ones have overwritten it. */
static uint32_t
bus_kafka_known_sum(const bus_kafka_part_t *part, int64_t offset)
{
    return offset > part->newest - BUS_KAFKA_SUMS
           ? part->sums[offset % BUS_KAFKA_SUMS] : 0;
}


/* What has become known of a partition's records since the last save. */
static void
bus_kafka_keep(uint32_t n, const goim_offset_t *place, done_kept_t *kept,
    void *data)
{
    int                    i;
    int64_t                o, from, at, len, all;
    uint32_t              *sums;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    (void) place;               /* `done` it is */

    c = data;
    sums = c->sums;
    part = &c->parts[n];

    snprintf(kept->note, sizeof(kept->note), "%" PRId64 " %" PRIu32,
             part->time, bus_kafka_known_sum(part, part->done));

    from = part->summed + 1;

    if (from < part->done + 1 - BUS_KAFKA_SUMS) {
        from = part->done + 1 - BUS_KAFKA_SUMS;
    }

    if (from < 0) {
        from = 0;
    }

    /* it went back: what is read again has been kept */

    if (from > part->done + 1) {
        from = part->done + 1;
    }

    for (o = from; o <= part->done; o++) {
        sums[o % BUS_KAFKA_SUMS] = bus_kafka_known_sum(part, o);
    }

    all = part->done + 1 - from;

    for (i = 0; i < 2; i++) {
        at = from % BUS_KAFKA_SUMS;
        len = BUS_KAFKA_SUMS - at < all ? BUS_KAFKA_SUMS - at : all;

        kept->piece[i].at = (size_t) at * sizeof(uint32_t);
        kept->piece[i].data = sums + at;
        kept->piece[i].len = (size_t) len * sizeof(uint32_t);

        from += len;
        all -= len;
    }
}


static void
bus_kafka_loaded(uint32_t n, const void *bytes, size_t len, void *data)
{
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = data;
    part = &c->parts[n];

    if (c->ending || c->rk == NULL || !part->owned || part->want
        || part->drain || part->mode != BUS_KAFKA_STILL)
    {
        return;
    }

    bus_kafka_search(c, part, bytes, len);
}


void
bus_kafka_done_init(bus_kafka_consumer_t *c)
{
    c->done = done_new(c->loop, c->r, c->lease, &(done_events_t) {
        .read = bus_kafka_read,
        .saved = bus_kafka_saved,
        .fenced = bus_kafka_fenced,
        .idle = bus_kafka_idle,
        .keep = bus_kafka_keep,
        .loaded = bus_kafka_loaded,
        .data = c
    });
}


/* ---- what Kafka is told ---- */

/*
 * Of partitions that are ours: what was done of others long ago would take
 * back what another job has told since. By another client than the one that
 * reads: that one begins nothing while an answer to this is outstanding.
 */
rd_kafka_topic_partition_list_t *
bus_kafka_to_commit(bus_kafka_consumer_t *c)
{
    char                              run[24];
    size_t                            i;
    bus_kafka_part_t                 *part;
    rd_kafka_topic_partition_t       *p;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(8);

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];

        if (!part->owned || part->done < 0 || part->done == part->committed) {
            continue;
        }

        part->committed = part->done;

        p = rd_kafka_topic_partition_list_add(list, c->conf->topic,
                                              (int32_t) i);
        p->offset = part->done + 1;

        if (part->run > 0) {
            snprintf(run, sizeof(run), "%" PRIu64, part->run);
            p->metadata = strdup(run);
            p->metadata_size = strlen(run);
        }
    }

    if (list->cnt == 0) {
        rd_kafka_topic_partition_list_destroy(list);
        return NULL;
    }

    return list;
}


void
bus_kafka_commit(bus_kafka_consumer_t *c)
{
    rd_kafka_topic_partition_list_t  *list;

    list = c->rk != NULL ? bus_kafka_to_commit(c) : NULL;

    if (list != NULL) {
        rd_kafka_commit(c->teller, list, 1);
        rd_kafka_topic_partition_list_destroy(list);
    }
}
