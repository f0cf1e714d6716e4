/*
 * The Kafka bus: what partitions hold. librdkafka can be asked that only by
 * waiting for the answer, so a thread asks.
 */

#include "bus_kafka_consumer.h"

#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_QUERY     2000            /* ms, a partition's offsets */


/* The run of the log, as it was told with the committed offset. */
static uint64_t
bus_kafka_run(const rd_kafka_topic_partition_t *p)
{
    char  text[24];

    if (p->metadata == NULL || p->metadata_size == 0
        || p->metadata_size >= sizeof(text))
    {
        return 0;
    }

    memcpy(text, p->metadata, p->metadata_size);
    text[p->metadata_size] = '\0';

    return strtoull(text, NULL, 10);
}


static int
bus_kafka_query_committed(bus_kafka_marks_t *marks)
{
    int                               rc;
    size_t                            i;
    rd_kafka_topic_partition_t       *p;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new((int) marks->n);

    for (i = 0; i < marks->n; i++) {
        if (marks->part[i].done < 0 && marks->part[i].committed < 0) {
            rd_kafka_topic_partition_list_add(list, marks->topic,
                                              marks->part[i].partition);
        }
    }

    rc = 0;

    if (list->cnt > 0
        && rd_kafka_committed(marks->rk, list, BUS_KAFKA_QUERY)
           != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        rc = -1;
    }

    for (i = 0; rc == 0 && i < marks->n; i++) {
        p = rd_kafka_topic_partition_list_find(list, marks->topic,
                                               marks->part[i].partition);
        if (p == NULL) {
            continue;
        }

        if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rc = -1;

        } else if (p->offset >= 0) {
            marks->part[i].committed = p->offset;
            marks->part[i].run = bus_kafka_run(p);
        }
    }

    rd_kafka_topic_partition_list_destroy(list);

    return rc;
}


static void
bus_kafka_query(void *data)
{
    size_t              i;
    bus_kafka_marks_t  *marks;

    marks = data;

    marks->failed = (bus_kafka_query_committed(marks) != 0);

    for (i = 0; !marks->failed && i < marks->n; i++) {

        if (__atomic_load_n(&marks->stop, __ATOMIC_RELAXED)
            || rd_kafka_query_watermark_offsets(marks->rk, marks->topic,
                                                marks->part[i].partition,
                                                &marks->part[i].low,
                                                &marks->part[i].high,
                                                BUS_KAFKA_QUERY)
               != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            marks->failed = 1;
        }
    }
}


static void
bus_kafka_queried(void *data)
{
    bus_kafka_marks_t  *marks;

    marks = data;
    marks->c->marks = NULL;

    bus_kafka_marked(marks->c, marks);
}


static void
bus_kafka_marks_free(void *data)
{
    bus_kafka_marks_t  *marks;

    marks = data;

    free(marks->topic);
    free(marks);
}


int
bus_kafka_ask_marks(bus_kafka_consumer_t *c)
{
    size_t              i;
    bus_kafka_mark_t   *mark;
    bus_kafka_marks_t  *marks;

    marks = calloc(1, sizeof(bus_kafka_marks_t)
                      + c->nparts * sizeof(bus_kafka_mark_t));
    if (marks == NULL) {
        abort();
    }

    marks->c = c;
    marks->rk = c->teller;
    marks->flow = c->flow;
    marks->topic = strdup(c->conf->topic);

    for (i = 0; i < c->nparts; i++) {

        if (c->parts[i].want && c->parts[i].read) {
            mark = &marks->part[marks->n++];
            mark->partition = (int32_t) i;
            mark->done = c->parts[i].done;
            mark->committed = c->parts[i].begun;
            mark->run = c->parts[i].run;
        }
    }

    if (marks->topic == NULL
        || svc_task(c->loop, bus_kafka_query, bus_kafka_queried,
                    bus_kafka_marks_free, marks) == NULL)
    {
        bus_kafka_marks_free(marks);
        return -1;
    }

    c->marks = marks;

    return 0;
}
