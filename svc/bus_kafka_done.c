/*
 * The Kafka bus: how far it is done. Kept in the Redis that holds the
 * effects; what Kafka is told follows, for the tools that show a group's lag.
 */

#include "bus_kafka_consumer.h"

#include "svc/lua/bus_kafka_save.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_SAVE      50              /* ms */


static svc_script_t  bus_kafka_save_script = { .body = bus_kafka_save_lua };


/* A save under way. */
typedef struct {
    bus_kafka_consumer_t  *c;
    int                    barrier;
    size_t                 n;
    int32_t                partition[];
} bus_kafka_saving_t;


void
bus_kafka_over(bus_kafka_consumer_t *c)
{
    bus_kafka_lose_all(c, "the epoch is over");

    if (c->list != NULL && !c->leaving && !c->ending) {
        bus_kafka_begin(c, 0);
    }
}


static void
bus_kafka_saved(svc_redis_t *r, redisReply *reply, void *data)
{
    int                    barrier, ok;
    size_t                 i;
    bus_kafka_part_t      *part;
    bus_kafka_saving_t    *call;
    bus_kafka_consumer_t  *c;

    (void) r;

    call = data;
    c = call->c;
    barrier = call->barrier;
    ok = (svc_redis_class(reply) == SVC_REDIS_OK);

    if (!ok) {

        if (svc_redis_class(reply) == SVC_REDIS_ERROR) {
            log_seldom(&c->save_log, LOG_ERROR, "bus: cannot save the "
                       "place: %s", reply->str);
        }

        for (i = 0; i < call->n; i++) {
            part = bus_kafka_part(c, call->partition[i]);

            if (part->active) {
                part->dirty = 1;
            }
        }

        if (!c->ending) {
            svc_timer(c->save, BUS_KAFKA_AGAIN);
        }
    }

    c->calls--;
    free(call);

    if (barrier) {
        bus_kafka_unassign(c);

    } else if (ok && reply->str != NULL && strcmp(reply->str, "EPOCH") == 0) {
        bus_kafka_over(c);
    }

    bus_kafka_check_end(c);
}


int
bus_kafka_save(bus_kafka_consumer_t *c, int barrier)
{
    int                argc, rc;
    char               life[24], (*number)[24];
    size_t             i, n;
    const char       **argv;
    bus_kafka_saving_t  *call;

    n = 0;

    for (i = 0; i < c->nparts; i++) {
        n += (c->parts[i].dirty != 0);
    }

    if ((n == 0 && !barrier) || c->life == 0 || !svc_redis_is_up(c->r)) {
        return -1;
    }

    argv = malloc((7 + 2 * n) * sizeof(char *));
    number = malloc((2 * n + 1) * sizeof(*number));

    if (argv == NULL || number == NULL) {
        abort();
    }

    call = calloc(1, sizeof(bus_kafka_saving_t)
                     + n * sizeof(call->partition[0]));
    if (call == NULL) {
        abort();
    }

    call->c = c;
    call->barrier = barrier;

    snprintf(life, sizeof(life), "%" PRIu64, c->life);

    argc = 0;
    argv[argc++] = c->life_key;
    argv[argc++] = c->hash_key;
    argv[argc++] = c->done_key;
    argv[argc++] = life;
    argv[argc++] = c->base_hex;
    argv[argc++] = c->random;
    argv[argc++] = BUS_KAFKA_EXPIRE;

    for (i = 0; i < c->nparts; i++) {

        if (c->parts[i].dirty) {
            snprintf(number[argc - 7], sizeof(*number), "%zu", i);
            argv[argc] = number[argc - 7];
            argc++;
            snprintf(number[argc - 7], sizeof(*number), "%" PRId64,
                     c->parts[i].done);
            argv[argc] = number[argc - 7];
            argc++;

            c->parts[i].dirty = 0;
            call->partition[call->n++] = (int32_t) i;
        }
    }

    rc = svc_redis_eval(c->r, &bus_kafka_save_script, bus_kafka_saved, call,
                        3, argc, argv, NULL);
    if (rc == 0) {
        c->calls++;

    } else {
        for (i = 0; i < call->n; i++) {
            c->parts[call->partition[i]].dirty = 1;
        }

        free(call);
    }

    free(argv);
    free(number);

    return rc;
}


static void
bus_kafka_on_save(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    bus_kafka_save(data, 0);
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

    if (part == NULL || !part->active) {
        return;
    }

    goim_offset_get(offset, &high, &low);

    if ((int64_t) low <= part->done) {
        return;
    }

    part->done = (int64_t) low;
    part->dirty = 1;

    if (!event_pending(c->save, EV_TIMEOUT, NULL)) {
        svc_timer(c->save, BUS_KAFKA_SAVE);
    }
}


void
bus_kafka_commit(bus_kafka_consumer_t *c)
{
    size_t                            i;
    bus_kafka_part_t                 *part;
    rd_kafka_topic_partition_list_t  *list;

    list = NULL;

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];

        if (part->done < 0 || part->done == part->committed
            || (!part->active && !c->leaving && !c->ending))
        {
            continue;
        }

        if (list == NULL) {
            list = rd_kafka_topic_partition_list_new(8);
        }

        part->committed = part->done;

        rd_kafka_topic_partition_list_add(list, c->conf->topic,
                                          (int32_t) i)->offset
            = part->done + 1;
    }

    if (list != NULL) {
        rd_kafka_commit(c->rk, list, 1);
        rd_kafka_topic_partition_list_destroy(list);
    }
}


void
bus_kafka_save_init(bus_kafka_consumer_t *c)
{
    c->save = evtimer_new(c->loop, bus_kafka_on_save, c);

    if (c->save == NULL) {
        abort();
    }
}
