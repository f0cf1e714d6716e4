/*
 * Places of partitions, in Redis.
 */

#include "done.h"

#include "clock.h"
#include "log.h"

#include "svc/lua/done_read.lua.h"
#include "svc/lua/done_save.lua.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define DONE_SAVE      50                   /* ms */
#define DONE_RETRY     200                  /* ms */
#define DONE_EXPIRE    "2592000"            /* s: 30 days */
#define DONE_KEY       512


static svc_script_t  done_read_script = { .body = done_read_lua };
static svc_script_t  done_save_script = { .body = done_save_lua };


typedef struct {
    unsigned       known:1;         /* read, and this process's */
    unsigned       asked:1;         /* to be read */
    unsigned       dirty:1;
    unsigned       saving:1;
    unsigned       turn;            /* grows with done_forget() */
    goim_offset_t  place;
} done_part_t;


struct done_s {
    struct event_base  *base;
    svc_redis_t        *r;
    lease_t            *lease;
    done_events_t       events;
    char                life_key[DONE_KEY];
    char                keys[DONE_KEY];         /* ...goim:{ */
    char                before[DONE_KEY];       /* ...goim:done:<epoch> */
    char                epoch[2 * BUS_EPOCH_LEN + 1];
    uint64_t            life;
    uint32_t            n;
    done_part_t        *parts;
    struct event       *timer;
    size_t              calls;
    log_once_t          log;
};


/* A call under way. */
typedef struct {
    done_t         *d;
    uint32_t        n;
    unsigned        turn;
    goim_offset_t   place;
} done_call_t;


static done_call_t *
done_call(done_t *d, uint32_t n)
{
    done_call_t  *call;

    call = malloc(sizeof(done_call_t));
    if (call == NULL) {
        abort();
    }

    call->d = d;
    call->n = n;
    call->turn = d->parts[n].turn;
    call->place = d->parts[n].place;

    return call;
}


/* NULL: the partition has been forgotten since. */
static done_part_t *
done_called(const done_call_t *call)
{
    done_part_t  *part;

    part = &call->d->parts[call->n];
    call->d->calls--;

    return part->turn == call->turn ? part : NULL;
}


static void
done_answered(done_t *d)
{
    if (d->calls == 0) {
        d->events.idle(d->events.data);
    }
}


static void
done_later(done_t *d, int64_t ms)
{
    if (!event_pending(d->timer, EV_TIMEOUT, NULL)) {
        svc_timer(d->timer, ms);
    }
}


/* "<high>-<low>", or "<low>" as the Kafka bus had it; else all zeros. */
static void
done_parse(const char *text, goim_offset_t *place)
{
    char      *end;
    uint64_t   high, low;

    errno = 0;
    high = 0;
    low = strtoull(text, &end, 10);

    if (*end == '-') {
        high = low;
        low = strtoull(end + 1, &end, 10);
    }

    if (errno != 0 || *end != '\0') {
        high = 0;
        low = 0;
    }

    goim_offset_set(place, high, low);
}


/* ---- reading ---- */

static void
done_was_read(svc_redis_t *r, redisReply *reply, void *data)
{
    done_t       *d;
    uint32_t      n;
    done_call_t  *call;
    done_part_t  *part;

    (void) r;

    call = data;
    d = call->d;
    n = call->n;
    part = done_called(call);
    free(call);

    if (part == NULL) {
        done_answered(d);
        return;
    }

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_STRING)
    {
        if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
            log_seldom(&d->log, LOG_ERROR, "bus: cannot read the place: %s",
                       reply->str);
        }

        part->asked = 1;
        done_later(d, DONE_RETRY);
        done_answered(d);
        return;
    }

    done_parse(reply->str, &part->place);
    part->known = 1;

    d->events.read(n, &part->place, d->events.data);
    done_answered(d);
}


static void
done_ask(done_t *d, uint32_t n)
{
    char          key[DONE_KEY + 32], number[12];
    const char   *argv[5];
    done_call_t  *call;

    snprintf(key, sizeof(key), "%s%u}:done", d->keys, n);
    snprintf(number, sizeof(number), "%u", n);

    argv[0] = key;
    argv[1] = d->before;
    argv[2] = d->epoch;
    argv[3] = number;
    argv[4] = DONE_EXPIRE;

    call = done_call(d, n);

    if (svc_redis_eval(d->r, &done_read_script, done_was_read, call, 2, 5,
                       argv, NULL) != 0)
    {
        free(call);
        done_later(d, DONE_RETRY);
        return;
    }

    d->parts[n].asked = 0;
    d->calls++;
}


void
done_read(done_t *d, uint32_t n)
{
    done_forget(d, n);

    d->parts[n].asked = 1;

    done_ask(d, n);
}


/* ---- saving ---- */

static void
done_was_saved(svc_redis_t *r, redisReply *reply, void *data)
{
    int             ok;
    done_t         *d;
    uint32_t        n;
    done_call_t    *call;
    done_part_t    *part;
    goim_offset_t   place;

    (void) r;

    call = data;
    d = call->d;
    n = call->n;
    place = call->place;
    part = done_called(call);
    free(call);

    ok = (svc_redis_class(reply) == SVC_REDIS_OK && reply->str != NULL);

    if (ok && strcmp(reply->str, "OK") == 0) {
        d->events.saved(n, &place, d->events.data);
    }

    if (part == NULL) {
        done_answered(d);
        return;
    }

    part->saving = 0;

    if (!ok) {

        if (svc_redis_class(reply) == SVC_REDIS_ERROR) {
            log_seldom(&d->log, LOG_ERROR, "bus: cannot save the place: %s",
                       reply->str);
        }

        part->dirty = 1;
        done_later(d, DONE_RETRY);

    } else if (strcmp(reply->str, "FENCED") == 0) {
        d->events.fenced(n, d->events.data);

    } else if (part->dirty) {
        done_later(d, DONE_SAVE);
    }

    done_answered(d);
}


void
done_save(done_t *d, uint32_t n)
{
    char          life[24], done[DONE_KEY + 32], lease[DONE_KEY + 64];
    char          place[44];
    uint64_t      high, low;
    const char   *argv[8];
    done_call_t  *call;
    done_part_t  *part;

    part = &d->parts[n];

    if (!part->known || !part->dirty) {
        return;
    }

    goim_offset_get(&part->place, &high, &low);

    snprintf(life, sizeof(life), "%" PRIu64, d->life);
    snprintf(done, sizeof(done), "%s%u}:done", d->keys, n);
    lease_key(d->lease, n, lease, sizeof(lease));
    snprintf(place, sizeof(place), "%" PRIu64 "-%" PRIu64, high, low);

    argv[0] = d->life_key;
    argv[1] = done;
    argv[2] = lease;
    argv[3] = life;
    argv[4] = d->epoch;
    argv[5] = place;
    argv[6] = DONE_EXPIRE;
    argv[7] = lease_name(d->lease, n);

    call = done_call(d, n);

    if (svc_redis_eval(d->r, &done_save_script, done_was_saved, call, 3, 8,
                       argv, NULL) != 0)
    {
        free(call);
        done_later(d, DONE_RETRY);
        return;
    }

    d->calls++;
    part->dirty = 0;
    part->saving = 1;
}


void
done_move(done_t *d, uint32_t n, const goim_offset_t *offset)
{
    done_part_t  *part;

    part = &d->parts[n];

    if (!part->known || goim_offset_cmp(offset, &part->place) <= 0) {
        return;
    }

    part->place = *offset;
    part->dirty = 1;

    done_later(d, DONE_SAVE);
}


static void
done_on_timer(evutil_socket_t fd, short what, void *data)
{
    done_t    *d;
    uint32_t   n;

    (void) fd;
    (void) what;

    d = data;

    for (n = 0; n < d->n; n++) {

        if (d->parts[n].asked) {
            done_ask(d, n);

        } else if (!d->parts[n].saving) {
            done_save(d, n);
        }
    }
}


/* ---- beginning and end ---- */

void
done_forget(done_t *d, uint32_t n)
{
    done_part_t  *part;

    part = &d->parts[n];

    part->turn++;
    part->known = 0;
    part->asked = 0;
    part->dirty = 0;
    part->saving = 0;
}


void
done_begin(done_t *d, const uint8_t epoch[BUS_EPOCH_LEN], uint64_t life)
{
    bus_hex(d->epoch, epoch, BUS_EPOCH_LEN);
    snprintf(d->before, DONE_KEY, "%sgoim:done:%s", svc_redis_prefix(d->r),
             d->epoch);

    d->life = life;

    svc_timer(d->timer, 0);
}


int
done_busy(done_t *d)
{
    return d->calls > 0;
}


done_t *
done_new(struct event_base *base, svc_redis_t *r, lease_t *lease, uint32_t n,
    const done_events_t *events)
{
    done_t      *d;
    const char  *prefix;

    d = calloc(1, sizeof(done_t));
    if (d == NULL) {
        abort();
    }

    prefix = svc_redis_prefix(r);

    d->base = base;
    d->r = r;
    d->lease = lease;
    d->n = n;
    d->events = *events;
    snprintf(d->life_key, DONE_KEY, "%sgoim:life", prefix);
    snprintf(d->keys, DONE_KEY, "%sgoim:{", prefix);

    d->parts = calloc(n, sizeof(done_part_t));
    d->timer = evtimer_new(base, done_on_timer, d);

    if (d->parts == NULL || d->timer == NULL) {
        abort();
    }

    return d;
}


void
done_free(done_t *d)
{
    event_free(d->timer);
    free(d->parts);
    free(d);
}
