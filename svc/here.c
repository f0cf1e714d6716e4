/*
 * Marks of logic and job in Redis.
 */

#include "here.h"

#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/lua/here.lua.h"

#define HERE_EVERY  1000        /* ms */
#define HERE_TTL    "5000"


struct here_s {
    svc_redis_t        *r;
    svc_redis_watch_t  *watch;
    struct event       *tick;
    char               *mine;
    char               *other;
    here_pt             cb;
    void               *data;
    int64_t             since;      /* not seen; 0: seen, or Redis is away */
    int                 seen;
    int                 told;       /* that it is not */
};


static void here_tick(evutil_socket_t fd, short what, void *data);
static void here_told(svc_redis_t *r, redisReply *reply, void *data);
static void here_up(svc_redis_t *r, void *data);
static void here_down(svc_redis_t *r, void *data);


static svc_script_t  here_script = { .body = here_lua };


static char *
here_key(svc_redis_t *r, const bus_conf_t *bus, const char *who)
{
    int    n;
    char  *key;

    if (strcmp(bus->driver, "kafka") == 0) {
        n = asprintf(&key, "%sgoim:here:%s:kafka:%s", svc_redis_prefix(r),
                     who, bus->topic);

    } else {
        n = asprintf(&key, "%sgoim:here:%s:%s", svc_redis_prefix(r), who,
                     bus->driver);
    }

    if (n == -1) {
        abort();
    }

    return key;
}


here_t *
here_new(struct event_base *base, svc_redis_t *r, const bus_conf_t *bus,
    const char *me, const char *other, here_pt cb, void *data)
{
    here_t              *h;
    svc_redis_events_t   events;

    h = calloc(1, sizeof(here_t));
    if (h == NULL) {
        abort();
    }

    events.up = here_up;
    events.down = here_down;
    events.data = h;

    h->r = r;
    h->cb = cb;
    h->data = data;
    h->mine = here_key(r, bus, me);
    h->other = here_key(r, bus, other);
    h->tick = evtimer_new(base, here_tick, h);
    h->watch = svc_redis_watch(r, &events);

    if (h->tick == NULL) {
        abort();
    }

    return h;
}


void
here_from(char from[HERE_FROM], svc_redis_t *r)
{
    const svc_redis_conf_t  *conf;

    conf = svc_redis_conf(r);

    snprintf(from, HERE_FROM, "%s %" PRId64 " %s", svc_redis_run_id(r),
             conf->db, conf->prefix);
}


void
here_leave(here_t *h)
{
    if (h->watch == NULL) {
        return;
    }

    svc_redis_unwatch(h->r, h->watch);
    h->watch = NULL;
    evtimer_del(h->tick);
    svc_redis_callf(h->r, NULL, NULL, "DEL %s", h->mine);
}


void
here_free(here_t *h)
{
    event_free(h->tick);
    free(h->mine);
    free(h->other);
    free(h);
}


int
here_seen(here_t *h)
{
    return h->seen;
}


static void
here_tick(evutil_socket_t fd, short what, void *data)
{
    here_t  *h = data;

    const char  *argv[3];

    (void) fd;
    (void) what;

    argv[0] = h->mine;
    argv[1] = h->other;
    argv[2] = HERE_TTL;

    svc_redis_eval(h->r, &here_script, here_told, h, 2, 3, argv, NULL);
    svc_timer(h->tick, HERE_EVERY);
}


static void
here_told(svc_redis_t *r, redisReply *reply, void *data)
{
    here_t  *h = data;

    if (h->watch == NULL || !svc_redis_is_up(r)
        || svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_INTEGER)
    {
        return;
    }

    h->seen = reply->integer == 1;

    if (h->seen) {
        h->since = 0;

    } else if (h->since == 0) {
        h->since = svc_now();
    }

    if (h->told ? h->seen
                : !h->seen && svc_now() - h->since >= HERE_GRACE)
    {
        h->told = !h->seen;
        h->cb(h->seen, h->data);
    }
}


static void
here_up(svc_redis_t *r, void *data)
{
    here_t  *h = data;

    (void) r;

    here_tick(-1, 0, h);
}


static void
here_down(svc_redis_t *r, void *data)
{
    here_t  *h = data;

    (void) r;

    evtimer_del(h->tick);
    h->seen = 0;
    h->since = 0;
}
