/*
 * The Kafka bus: whose a partition is. By leases in the Redis that holds the
 * effects, as on the Redis bus: Kafka's own groups stand still for as long as
 * one of theirs is silent, and a broker that is away throws them out.
 *
 *     <prefix>goim:kafka:<epoch>:jobs     sorted set: job by ms
 *     <prefix>goim:kafka:<epoch>:notes    stream: what jobs did
 *     <prefix>goim:kafka:<epoch>:<p>:lease   string: "<job> <fence>"
 *     <prefix>goim:kafka:<epoch>:<p>:fence   counter
 */

#include "bus_kafka_consumer.h"

#include "svc/lua/bus_kafka_leave.lua.h"
#include "svc/lua/bus_kafka_tick.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_LEASE     4000                    /* ms */
#define BUS_KAFKA_MARGIN    (BUS_KAFKA_LEASE / 8)   /* not relied on */
#define BUS_KAFKA_RENEW     750                     /* ms */


static svc_script_t  bus_kafka_tick_script = { .body = bus_kafka_tick_lua };
static svc_script_t  bus_kafka_leave_script = { .body = bus_kafka_leave_lua };


typedef struct {
    bus_kafka_consumer_t  *c;
    int64_t                sent;
} bus_kafka_tick_t;


/* ---- losing and getting ---- */

/* What is outstanding of it does not count any more. */
static void
bus_kafka_revoke(bus_kafka_consumer_t *c, bus_kafka_part_t *part)
{
    if (part->owned) {
        part->owned = 0;
        c->owned--;

        c->base.events.revoked(&c->base,
                               (uint32_t) bus_kafka_number(c, part),
                               c->base.events.data);
    }

    bus_kafka_unfetch(c, part);

    part->leased = 0;
    part->want = 0;
    part->drain = 0;
    part->back = 0;
    part->dirty = 0;
    part->mode = BUS_KAFKA_STILL;

    free(part->sums);
    part->sums = NULL;
}


void
bus_kafka_lose(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    const char *why)
{
    if (part->owned) {
        metrics_add(c->lost, 1);
        log_seldom(&c->lease_log, LOG_WARN, "bus: partition %d is lost: %s",
                   (int) bus_kafka_number(c, part), why);
    }

    bus_kafka_revoke(c, part);
}


void
bus_kafka_lose_all(bus_kafka_consumer_t *c, const char *why)
{
    size_t  i;

    for (i = 0; i < c->nparts; i++) {
        bus_kafka_lose(c, &c->parts[i], why);
        c->parts[i].releasing = 0;
    }
}


/*
 * revoked() first, so that nothing more is sent for it: what was sent goes
 * before the release on the same connection.
 */
static void
bus_kafka_release(bus_kafka_consumer_t *c, bus_kafka_part_t *part)
{
    bus_kafka_commit(c);

    part->releasing = 1;

    if (bus_kafka_save(c) != 0) {
        part->releasing = 0;    /* the lease ends by itself */
    }

    bus_kafka_revoke(c, part);
}


int
bus_kafka_consumer_holds(bus_consumer_t *base, uint32_t partition)
{
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    part = bus_kafka_part(c, (int32_t) partition);

    return part != NULL && part->owned && svc_now() < part->until;
}


/* ---- leases ---- */

static void
bus_kafka_leased(bus_kafka_consumer_t *c, redisReply *const *e, int64_t sent,
    int *gained)
{
    char               lease[sizeof(((bus_kafka_part_t *) 0)->lease)];
    bus_kafka_part_t  *part;

    if (e[0]->type != REDIS_REPLY_INTEGER || e[0]->integer < 0
        || e[0]->integer >= (long long) c->nparts
        || e[1]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    part = &c->parts[e[0]->integer];

    if (part->releasing) {
        return;
    }

    snprintf(lease, sizeof(lease), "%s %.20s", c->me, e[1]->str);

    if (part->leased && strcmp(part->lease, lease) != 0) {
        bus_kafka_lose(c, part, "the lease had run out");
    }

    part->until = sent + BUS_KAFKA_LEASE - BUS_KAFKA_MARGIN;

    if (!part->leased) {
        strcpy(part->lease, lease);
        part->leased = 1;
        part->want = 1;
        part->moved = svc_now();
        *gained = 1;
    }
}


static void
bus_kafka_leases(bus_kafka_consumer_t *c, const redisReply *reply,
    int64_t sent)
{
    int                gained;
    size_t             i;
    long long          share, held;
    bus_kafka_part_t  *part;

    share = reply->element[0]->integer;
    gained = 0;

    for (i = 1; i + 3 < reply->elements; i += 4) {
        bus_kafka_leased(c, reply->element + i, sent, &gained);
    }

    for (i = 0, held = 0; i < c->nparts; i++) {
        held += c->parts[i].leased;
    }

    for (i = c->nparts; i > 0; i--) {
        part = &c->parts[i - 1];

        if (!part->leased) {
            continue;
        }

        if (part->until != sent + BUS_KAFKA_LEASE - BUS_KAFKA_MARGIN) {
            bus_kafka_lose(c, part, "another has the lease");
            held--;

        } else if (held > share) {
            bus_kafka_release(c, part);
            held--;
        }
    }

    if (gained) {
        bus_kafka_begin(c, 0);
    }
}


static void
bus_kafka_ticked(svc_redis_t *r, redisReply *reply, void *data)
{
    int64_t                sent;
    bus_kafka_tick_t      *tick;
    bus_kafka_consumer_t  *c;

    tick = data;
    c = tick->c;
    sent = tick->sent;
    free(tick);

    c->calls--;
    c->ticking = 0;

    if (c->ending) {
        bus_kafka_check_end(c);
        return;
    }

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
        && reply->element[0]->type == REDIS_REPLY_INTEGER
        && c->life == svc_redis_life(r))
    {
        bus_kafka_leases(c, reply, sent);

    } else if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        log_seldom(&c->lease_log, LOG_ERROR, "bus: cannot renew leases: %s",
                   reply->str);
    }
}


void
bus_kafka_renew(bus_kafka_consumer_t *c)
{
    char               life[24], lease[24], n[12];
    char               jobs[BUS_KAFKA_KEY + 8], notes[BUS_KAFKA_KEY + 8];
    const char        *argv[9];
    bus_kafka_tick_t  *tick;

    if (c->ticking || c->ending || c->nparts == 0
        || !svc_redis_is_up(c->r))
    {
        return;
    }

    if (c->life == 0) {
        c->life = svc_redis_life(c->r);
    }

    snprintf(jobs, sizeof(jobs), "%sjobs", c->lease_base);
    snprintf(notes, sizeof(notes), "%snotes", c->lease_base);
    snprintf(life, sizeof(life), "%" PRIu64, c->life);
    snprintf(lease, sizeof(lease), "%d", BUS_KAFKA_LEASE);
    snprintf(n, sizeof(n), "%zu", c->nparts);

    argv[0] = c->life_key;
    argv[1] = jobs;
    argv[2] = c->done_key;
    argv[3] = notes;
    argv[4] = life;
    argv[5] = c->lease_base;
    argv[6] = c->me;
    argv[7] = lease;
    argv[8] = n;

    tick = malloc(sizeof(bus_kafka_tick_t));
    if (tick == NULL) {
        abort();
    }

    tick->c = c;
    tick->sent = svc_now();

    if (svc_redis_eval(c->r, &bus_kafka_tick_script, bus_kafka_ticked, tick,
                       4, 9, argv, NULL) != 0)
    {
        free(tick);
        return;
    }

    c->ticking = 1;
    c->calls++;
}


static void
bus_kafka_on_renew(evutil_socket_t fd, short what, void *data)
{
    size_t                 i;
    int64_t                now;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    now = svc_now();

    svc_timer(c->renew, BUS_KAFKA_RENEW);

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];

        if (part->leased && now >= part->until) {
            bus_kafka_lose(c, part, "the lease was not renewed");
        }
    }

    bus_kafka_renew(c);
}


/* ---- the end ---- */

static void
bus_kafka_gone(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_kafka_consumer_t  *c;

    (void) r;
    (void) reply;

    c = data;
    c->calls--;

    bus_kafka_check_end(c);
}


void
bus_kafka_leave(bus_kafka_consumer_t *c)
{
    char         jobs[BUS_KAFKA_KEY + 8], notes[BUS_KAFKA_KEY + 8];
    size_t       i;
    const char  *argv[3];

    for (i = 0; i < c->nparts; i++) {
        c->parts[i].releasing = c->parts[i].leased;
    }

    bus_kafka_save(c);

    for (i = 0; i < c->nparts; i++) {
        bus_kafka_revoke(c, &c->parts[i]);
    }

    snprintf(jobs, sizeof(jobs), "%sjobs", c->lease_base);
    snprintf(notes, sizeof(notes), "%snotes", c->lease_base);
    argv[0] = jobs;
    argv[1] = notes;
    argv[2] = c->me;

    if (c->lease_base[0] != '\0'
        && svc_redis_eval(c->r, &bus_kafka_leave_script, bus_kafka_gone, c, 2,
                          3, argv, NULL) == 0)
    {
        c->calls++;
    }
}


void
bus_kafka_lease_init(bus_kafka_consumer_t *c)
{
    bus_job_name(c->me, sizeof(c->me));

    c->renew = evtimer_new(c->loop, bus_kafka_on_renew, c);

    if (c->renew == NULL) {
        abort();
    }

    svc_timer(c->renew, 0);
}
