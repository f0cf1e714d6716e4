/*
 * The Redis bus: one stream a partition.
 */

#include "bus_redis.h"

#include "loop.h"
#include "svc/lua/bus_redis_setup.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static svc_script_t  bus_redis_setup_script = { .body = bus_redis_setup_lua };


void
bus_redis_init(bus_redis_t *b, const bus_conf_t *conf, svc_redis_t *r)
{
    const char  *prefix, *colon, *name;

    prefix = svc_redis_prefix(r);
    name = conf->name != NULL ? conf->name : "";
    colon = conf->name != NULL ? ":" : "";

    b->r = r;
    b->n = (uint32_t) conf->partitions;
    b->generation = conf->generation;

    snprintf(b->life_key, BUS_REDIS_KEY, "%sgoim:life", prefix);
    snprintf(b->hash_key, BUS_REDIS_KEY, "%sgoim:bus%s%s", prefix, colon,
             name);
    snprintf(b->base, BUS_REDIS_BASE, "%sgoim:bus:%s%s", prefix, name, colon);
    snprintf(b->tag, BUS_REDIS_BASE, "%sgoim:{", prefix);
}


/* -1: not an answer that can be used. */
static int
bus_redis_take(bus_redis_t *b, const redisReply *reply)
{
    char               text[128];
    const redisReply  *epoch, *partitions;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {

        if (reply != NULL && svc_redis_class(reply) != SVC_REDIS_AGAIN) {
            log_seldom(&b->errors, LOG_ERROR, "bus: %s", reply->str);
        }

        return -1;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return -1;
    }

    epoch = reply->element[0];
    partitions = reply->element[1];

    if (strtoull(partitions->str, NULL, 10) != b->n) {
        snprintf(text, sizeof(text), "[bus] partitions = %u, but the bus in "
                 "this Redis was made with %.16s: set the same number", b->n,
                 partitions->str);

        /*
         * A process that would put keys into other partitions than its peers
         * should not be there. One that was is not ended by a foreign hand.
         */

        if (!b->known) {
            svc_loop_fail(text);

        } else {
            log_seldom(&b->mismatch, LOG_ERROR, "%s", text);
        }

        return -1;
    }

    b->known = 1;

    snprintf(text, sizeof(text), "redis/%.64s/%lld", epoch->str,
             (long long) b->generation);

    bus_epoch(b->epoch, text);
    bus_hex(b->epoch_hex, b->epoch, BUS_EPOCH_LEN);

    return 0;
}


static void
bus_redis_told(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_redis_t  *b;

    (void) r;

    b = data;
    b->asking = 0;
    b->ready = (bus_redis_take(b, reply) == 0);

    b->done(b, b->ready, b->data);
}


void
bus_redis_ask(bus_redis_t *b)
{
    char         random[33], number[16];
    uint8_t      bytes[16];
    const char  *argv[3];

    if (b->asking) {
        return;
    }

    evutil_secure_rng_get_bytes(bytes, sizeof(bytes));
    bus_hex(random, bytes, sizeof(bytes));
    snprintf(number, sizeof(number), "%u", b->n);

    argv[0] = b->hash_key;
    argv[1] = random;
    argv[2] = number;

    b->ready = 0;
    b->asking = (svc_redis_eval(b->r, &bus_redis_setup_script, bus_redis_told,
                                b, 1, 3, argv, NULL) == 0);
}


const bus_driver_t  bus_redis_driver = {
    .name = "redis",
    .check = NULL,
    .producer_new = bus_redis_producer_new,
    .producer_partitions = bus_redis_producer_partitions,
    .produce = bus_redis_produce,
    .producer_reaches = bus_redis_producer_reaches,
    .producer_down = bus_redis_producer_down,
    .producer_healthy = bus_redis_producer_healthy,
    .producer_free = bus_redis_producer_free,
    .consumer_new = bus_redis_consumer_new,
    .consumer_epoch = bus_redis_consumer_epoch,
    .consumer_holds = bus_redis_consumer_holds,
    .consumer_names = bus_redis_consumer_names,
    .done = bus_redis_done,
    .back = bus_redis_back,
    .pause = bus_redis_pause,
    .resume = bus_redis_resume,
    .consumer_lag = bus_redis_consumer_lag,
    .consumer_owned = bus_redis_consumer_owned,
    .consumer_stuck = bus_redis_consumer_stuck,
    .consumer_healthy = bus_redis_consumer_healthy,
    .consumer_free = bus_redis_consumer_free
};
