/*
 * A command that the database refuses is kept for whoever looks after it, with the
 * reason, before the place moves past it: in a topic of its own where the bus has
 * topics, else in a stream of Redis.
 */

#include "im_dead.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IM_DEAD         "goim:dead"     /* its key, */
#define IM_DEAD_MOST    "1000"          /* and how many it keeps, about */
#define IM_DEAD_WHY     1024            /* bytes of the reason */
#define IM_DEAD_TIME    5000            /* ms */


struct job_im_dead_s {
    job_im_t         *im;           /* NULL: it ends */
    bus_conf_t        bus;
    bus_producer_t   *producer;     /* NULL: the bus has no topics */
};


int
im_dead_start(job_im_t *im, char *err, size_t size)
{
    job_im_dead_t  *d;

    d = job_realloc(NULL, sizeof(job_im_dead_t));
    memset(d, 0, sizeof(job_im_dead_t));
    d->im = im;
    im->dead = d;

    d->bus = im->bus;
    d->bus.topic = im->job->conf->im_dead;
    d->bus.timeout = IM_DEAD_TIME;

    if (!bus_topics(&d->bus)) {
        return 0;
    }

    d->producer = bus_producer_new(im->job->base, &d->bus, im->job->redis,
                                   err, size);

    return d->producer != NULL ? 0 : -1;
}


void
im_dead_free(job_im_t *im)
{
    job_im_dead_t  *d;

    d = im->dead;

    if (d == NULL) {
        return;
    }

    d->im = NULL;

    if (d->producer != NULL) {
        bus_producer_free(d->producer);
    }

    free(d);
}


/* "9" of Kafka, "1700000000000-9" of Redis. */

static void
im_dead_offset(char *out, size_t size, const goim_offset_t *offset)
{
    uint64_t  high, low;

    goim_offset_get(offset, &high, &low);

    if (high == 0) {
        snprintf(out, size, "%" PRIu64, low);

    } else {
        snprintf(out, size, "%" PRIu64 "-%" PRIu64, high, low);
    }
}


/* ---- a topic ---- */

static size_t
im_dead_pack(const void *what, uint8_t *payload)
{
    return goim__im_command__pack(what, payload);
}


static void
im_dead_produced(bus_result_t result, void *data)
{
    job_im_dead_t  *d = data;

    if (d->im == NULL) {
        return;
    }

    if (result == BUS_OK) {
        d->im->buried(d->im);

    } else {
        d->im->again(d->im);
    }
}


/* Key and value are those of the command, so that sending it again is a copy. */

static void
im_dead_produce(job_im_dead_t *d, const job_im_cmd_t *cmd, const char *why,
    const char *offset)
{
    char           mid[24], partition[12];
    bus_message_t  m;

    const char *const  headers[] = {
        "goim-why", why, "goim-topic", d->im->bus.topic,
        "goim-partition", partition, "goim-offset", offset, NULL
    };

    snprintf(partition, sizeof(partition), "%" PRIu32, cmd->partition);
    snprintf(mid, sizeof(mid), "%" PRId64, cmd->c->mid);

    memset(&m, 0, sizeof(m));

    m.key = cmd->c->conv[0] != '\0' ? cmd->c->conv : mid;
    m.key_len = strlen(m.key);
    m.len = goim__im_command__get_packed_size(cmd->c);
    m.pack = im_dead_pack;
    m.what = cmd->c;
    m.from = "";
    m.headers = headers;
    m.timeout = IM_DEAD_TIME;
    m.cb = im_dead_produced;
    m.data = d;

    bus_produce(d->producer, &m);
}


/* ---- a stream ---- */

static void
im_dead_added(svc_redis_t *r, redisReply *reply, void *data)
{
    job_im_t  *im = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        im->again(im);
        return;
    }

    im->buried(im);
}


static void
im_dead_add(job_im_t *im, const job_im_cmd_t *cmd, const char *why,
    const char *offset)
{
    int           rc;
    uint8_t      *packed;
    size_t        len;
    svc_redis_t  *redis;

    len = goim__im_command__get_packed_size(cmd->c);
    packed = job_realloc(NULL, len + 1);
    goim__im_command__pack(cmd->c, packed);

    redis = im->job->redis;

    rc = svc_redis_callf(redis, im_dead_added, im, "XADD %s" IM_DEAD
                         " MAXLEN ~ " IM_DEAD_MOST " * why %s mid %" PRId64
                         " conv %s partition %" PRIu32 " offset %s v %b",
                         svc_redis_prefix(redis), why, cmd->c->mid,
                         cmd->c->conv, cmd->partition, offset, packed, len);
    free(packed);

    if (rc != 0) {
        im->again(im);
    }
}


void
im_dead_keep(job_im_t *im)
{
    char           why[IM_DEAD_WHY], offset[48];
    job_im_cmd_t  *cmd;

    cmd = im->batch.cmds[0];
    snprintf(why, sizeof(why), "%s", im->why);
    im_dead_offset(offset, sizeof(offset), &cmd->offset);

    if (im->dead->producer != NULL) {
        im_dead_produce(im->dead, cmd, why, offset);

    } else {
        im_dead_add(im, cmd, why, offset);
    }
}
