/*
 * The Redis bus: how far a partition is done. Saved by a script that checks
 * the fencing number of the lease, and that trims the stream behind the place.
 */

#include "bus_redis_consumer.h"

#include "svc/lua/bus_redis_save.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_REDIS_SAVE      50                      /* ms */
#define BUS_REDIS_RETRY     200                     /* ms */
#define BUS_REDIS_DONE_DAYS 30


static svc_script_t  bus_redis_save_script = { .body = bus_redis_save_lua };


/* A save or a release under way. */
typedef struct {
    bus_redis_consumer_t  *c;
    uint32_t               n;
    int                    release;
    char                   lease[160];
} bus_redis_save_t;


static void
bus_redis_saved(svc_redis_t *r, redisReply *reply, void *data)
{
    int                    mine;
    bus_redis_part_t      *part;
    bus_redis_save_t      *save;
    bus_redis_consumer_t  *c;

    (void) r;

    save = data;
    c = save->c;
    part = &c->parts[save->n];
    c->calls--;

    mine = (strcmp(part->lease, save->lease) == 0);

    if (mine && save->release) {
        part->releasing = 0;

    } else if (mine) {
        part->saving = 0;

        if (svc_redis_class(reply) != SVC_REDIS_OK) {

            if (reply != NULL && svc_redis_class(reply) == SVC_REDIS_ERROR) {
                log_seldom(&c->lease_log, LOG_ERROR, "bus: cannot save the "
                           "place: %s", reply->str);
            }

            part->dirty = part->owned;

        } else if (reply->str != NULL && strcmp(reply->str, "FENCED") == 0) {
            bus_redis_lose(c, part, "another has the lease");
        }
    }

    free(save);

    if (part->dirty && !c->ending
        && !event_pending(c->save, EV_TIMEOUT, NULL))
    {
        svc_timer(c->save, svc_redis_class(reply) == SVC_REDIS_OK
                           ? BUS_REDIS_SAVE : BUS_REDIS_RETRY);
    }

    bus_redis_check_end(c);
}


int
bus_redis_save(bus_redis_consumer_t *c, bus_redis_part_t *part, int release)
{
    char               life[24], key[BUS_REDIS_KEY + 32], n[12];
    char               done[44], keep[44], expire[24];
    const char        *argv[13];
    bus_redis_save_t  *save;

    snprintf(life, sizeof(life), "%llu", (unsigned long long) c->life);
    snprintf(key, sizeof(key), "%s%u:lease", c->bus.base, part->n);
    snprintf(n, sizeof(n), "%u", part->n);
    snprintf(expire, sizeof(expire), "%d", BUS_REDIS_DONE_DAYS * 86400);
    done[0] = '\0';
    keep[0] = '\0';

    if (part->dirty) {
        snprintf(done, sizeof(done), "%llu-%llu",
                 (unsigned long long) part->done_ms,
                 (unsigned long long) part->done_seq);
        snprintf(keep, sizeof(keep), "%llu-%llu",
                 (unsigned long long) part->done_ms,
                 (unsigned long long) part->done_seq + 1);
    }

    argv[0] = c->bus.life_key;
    argv[1] = key;
    argv[2] = c->bus.done_key;
    argv[3] = part->stream;
    argv[4] = c->notes_key;
    argv[5] = life;
    argv[6] = part->lease;
    argv[7] = n;
    argv[8] = done;
    argv[9] = keep;
    argv[10] = expire;
    argv[11] = release ? "1" : "0";
    argv[12] = c->me;

    save = malloc(sizeof(bus_redis_save_t));
    if (save == NULL) {
        abort();
    }

    save->c = c;
    save->n = part->n;
    save->release = release;
    strcpy(save->lease, part->lease);

    if (svc_redis_eval(c->bus.r, &bus_redis_save_script, bus_redis_saved,
                       save, 5, 13, argv, NULL) != 0)
    {
        free(save);
        return -1;
    }

    c->calls++;
    part->dirty = 0;
    part->saving = !release;
    part->releasing = release;

    return 0;
}


static void
bus_redis_on_save(evutil_socket_t fd, short what, void *data)
{
    uint32_t               i;
    bus_redis_part_t      *part;
    bus_redis_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;

    if (!c->bus.ready) {
        return;                 /* goes on when Redis is back */
    }

    for (i = 0; i < c->bus.n; i++) {
        part = &c->parts[i];

        if (part->owned && part->dirty && !part->saving) {
            bus_redis_save(c, part, 0);
        }
    }
}


void
bus_redis_done(bus_consumer_t *base, uint32_t partition,
    const goim_offset_t *offset)
{
    uint64_t               ms, seq;
    bus_redis_part_t      *part;
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;

    if (c->ending || partition >= c->bus.n || !c->parts[partition].owned) {
        return;
    }

    part = &c->parts[partition];
    goim_offset_get(offset, &ms, &seq);

    if (ms < part->done_ms || (ms == part->done_ms && seq <= part->done_seq))
    {
        return;
    }

    part->done_ms = ms;
    part->done_seq = seq;
    part->dirty = 1;

    if (!event_pending(c->save, EV_TIMEOUT, NULL)) {
        svc_timer(c->save, BUS_REDIS_SAVE);
    }
}


void
bus_redis_save_init(bus_redis_consumer_t *c)
{
    c->save = evtimer_new(c->loop, bus_redis_on_save, c);

    if (c->save == NULL) {
        abort();
    }
}
