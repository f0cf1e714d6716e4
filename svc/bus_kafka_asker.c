/*
 * The Kafka bus: whether there is a broker, and how many partitions.
 */

#include "bus_kafka_asker.h"

#include <time.h>


#define BUS_KAFKA_METADATA  10          /* s */
#define BUS_KAFKA_ANSWER    1000        /* ms */


static int
bus_kafka_asker_count(bus_kafka_asker_t *a)
{
    int                              n;
    rd_kafka_resp_err_t              err;
    const struct rd_kafka_metadata  *md;

    err = rd_kafka_metadata(a->rk, 0, a->topic, &md, BUS_KAFKA_ANSWER);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return -1;
    }

    n = (a->topic == NULL) ? 1
        : (md->topic_cnt == 1
           && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        ? md->topics[0].partition_cnt : -1;

    rd_kafka_metadata_destroy(md);

    return n;
}


static void *
bus_kafka_asker(void *data)
{
    int                 n;
    struct timespec     ts;
    bus_kafka_asker_t  *a;

    a = data;

    pthread_mutex_lock(&a->lock);

    while (!a->stop) {
        pthread_mutex_unlock(&a->lock);
        n = bus_kafka_asker_count(a);
        pthread_mutex_lock(&a->lock);

        if (n > 0) {
            __atomic_store_n(&a->partitions, (uint32_t) n, __ATOMIC_RELAXED);
        }

        __atomic_store_n(&a->alive, n > 0, __ATOMIC_RELAXED);

        if (a->stop) {
            break;
        }

        clock_gettime(CLOCK_REALTIME, &ts);

        if (n > 0) {
            ts.tv_sec += BUS_KAFKA_METADATA;

        } else {
            ts.tv_nsec += 200000000;

            if (ts.tv_nsec >= 1000000000) {
                ts.tv_sec++;
                ts.tv_nsec -= 1000000000;
            }
        }

        pthread_cond_timedwait(&a->wake, &a->lock, &ts);
    }

    pthread_mutex_unlock(&a->lock);

    return NULL;
}


void
bus_kafka_asker_wake(bus_kafka_asker_t *a, int stop)
{
    pthread_mutex_lock(&a->lock);
    a->stop |= stop;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}


int
bus_kafka_asker_start(bus_kafka_asker_t *a, rd_kafka_t *rk,
    rd_kafka_topic_t *topic)
{
    a->rk = rk;
    a->topic = topic;
    a->stop = 0;
    a->alive = 0;

    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wake, NULL);

    if (pthread_create(&a->tid, NULL, bus_kafka_asker, a) != 0) {
        pthread_mutex_destroy(&a->lock);
        pthread_cond_destroy(&a->wake);
        return -1;
    }

    return 0;
}


void
bus_kafka_asker_end(bus_kafka_asker_t *a)
{
    bus_kafka_asker_wake(a, 1);
    pthread_join(a->tid, NULL);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->wake);
}


void
bus_kafka_asker_tell(bus_kafka_asker_t *a, int alive)
{
    __atomic_store_n(&a->alive, alive, __ATOMIC_RELAXED);

    if (!alive) {
        bus_kafka_asker_wake(a, 0);
    }
}


int
bus_kafka_asker_alive(bus_kafka_asker_t *a)
{
    return __atomic_load_n(&a->alive, __ATOMIC_RELAXED);
}
