/*
 * The Kafka bus: whether there is a broker, and how many partitions.
 */

#include "bus_kafka_asker.h"

#include <stdlib.h>
#include <string.h>

#include "common/goim_limits.h"
#include "log.h"


#define BUS_KAFKA_METADATA  5000        /* ms, between questions */
#define BUS_KAFKA_UNKNOWN   200         /* ms, while there is no answer */
#define BUS_KAFKA_ANSWER    1000        /* ms */


/* The number of partitions; 0: no such topic; -1: no answer, or more of them
 * than nodes can tell apart. */
static int
bus_kafka_asker_count(bus_kafka_asker_t *a)
{
    int                              n;
    const struct rd_kafka_metadata  *md;

    static log_once_t  many;

    if (rd_kafka_metadata(a->rk, 0, a->topic, &md, BUS_KAFKA_ANSWER)
        != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        return -1;
    }

    n = (md->topic_cnt == 1
         && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        ? md->topics[0].partition_cnt : 0;

    rd_kafka_metadata_destroy(md);

    if (n > GOIM_PARTITIONS) {
        log_seldom(&many, LOG_ERROR, "kafka: topic %s has %d partitions, at "
                   "most %d can be used", rd_kafka_topic_name(a->topic), n,
                   GOIM_PARTITIONS);
        return -1;
    }

    return n;
}


static void
bus_kafka_asker_ends(bus_kafka_asker_t *a, int n)
{
    int                               i;
    int64_t                          *ends;
    const char                       *name;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(n);
    name = rd_kafka_topic_name(a->topic);

    for (i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, name, i)->offset
            = RD_KAFKA_OFFSET_END;
    }

    if (rd_kafka_offsets_for_times(a->rk, list, BUS_KAFKA_ANSWER)
        == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        ends = calloc((size_t) n, sizeof(int64_t));
        if (ends == NULL) {
            abort();
        }

        for (i = 0; i < list->cnt; i++) {
            if (list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                ends[list->elems[i].partition] = list->elems[i].offset;
            }
        }

        pthread_mutex_lock(&a->lock);
        free(a->ends);
        a->ends = ends;
        a->nends = (uint32_t) n;
        pthread_mutex_unlock(&a->lock);
    }

    rd_kafka_topic_partition_list_destroy(list);
}


static void *
bus_kafka_asker(void *data)
{
    int                 n;
    bus_kafka_asker_t  *a;

    a = data;

    while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
        n = bus_kafka_asker_count(a);

        if (n > 0) {
            __atomic_store_n(&a->partitions, (uint32_t) n, __ATOMIC_RELAXED);
        }

        __atomic_store_n(&a->alive, n > 0 || (n == 0 && !a->need),
                         __ATOMIC_RELAXED);

        if (__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
            break;
        }

        if (n > 0 && !a->need) {
            bus_kafka_asker_ends(a, n);
        }

        svc_nap(&a->nap, n > 0 ? BUS_KAFKA_METADATA : BUS_KAFKA_UNKNOWN);
    }

    return NULL;
}


void
bus_kafka_asker_wake(bus_kafka_asker_t *a, int stop)
{
    if (stop) {
        __atomic_store_n(&a->stop, 1, __ATOMIC_RELAXED);
    }

    svc_nap_end(&a->nap);
}


static void
bus_kafka_asker_free(bus_kafka_asker_t *a)
{
    svc_nap_done(&a->nap);
    pthread_mutex_destroy(&a->lock);
    free(a->ends);
    free(a);
}


bus_kafka_asker_t *
bus_kafka_asker_new(rd_kafka_t *rk, rd_kafka_topic_t *topic, int need)
{
    bus_kafka_asker_t  *a;

    a = calloc(1, sizeof(bus_kafka_asker_t));
    if (a == NULL) {
        abort();
    }

    a->rk = rk;
    a->topic = topic;
    a->need = need;

    if (svc_nap_init(&a->nap) != 0) {
        free(a);
        return NULL;
    }

    pthread_mutex_init(&a->lock, NULL);

    if (pthread_create(&a->tid, NULL, bus_kafka_asker, a) != 0) {
        bus_kafka_asker_free(a);
        return NULL;
    }

    return a;
}


void
bus_kafka_asker_destroy(bus_kafka_asker_t *a)
{
    rd_kafka_t        *rk;
    rd_kafka_topic_t  *topic;

    rk = a->rk;
    topic = a->topic;

    bus_kafka_asker_wake(a, 1);
    pthread_join(a->tid, NULL);
    bus_kafka_asker_free(a);

    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}


static void
bus_kafka_asker_reaper(void *data)
{
    bus_kafka_asker_destroy(data);
}


void
bus_kafka_asker_reap(bus_kafka_asker_t *a)
{
    svc_run(bus_kafka_asker_reaper, a, 0);
}


void
bus_kafka_asker_tell(bus_kafka_asker_t *a, int alive)
{
    __atomic_store_n(&a->alive, alive, __ATOMIC_RELAXED);

    if (!alive) {
        bus_kafka_asker_wake(a, 0);
    }
}


int64_t
bus_kafka_asker_end(bus_kafka_asker_t *a, uint32_t partition)
{
    int64_t  end;

    pthread_mutex_lock(&a->lock);
    end = partition < a->nends ? a->ends[partition] : 0;
    pthread_mutex_unlock(&a->lock);

    return end;
}


uint32_t
bus_kafka_asker_partitions(bus_kafka_asker_t *a)
{
    return __atomic_load_n(&a->partitions, __ATOMIC_RELAXED);
}


int
bus_kafka_asker_alive(bus_kafka_asker_t *a)
{
    return __atomic_load_n(&a->alive, __ATOMIC_RELAXED);
}
