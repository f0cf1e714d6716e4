/*
 * The Redis bus: whose a partition is.
 *
 * A partition has one owner at a time, by a lease with a fencing number that
 * grows with each new lease. Each job announces itself and takes its share;
 * who has more than its share gives up, who stops gives all up. A note in a
 * stream that all readers wait on makes the others look at once; without it
 * they look once a third of the lease's time.
 */

#include "bus_redis_consumer.h"

#include "svc/lua/bus_redis_leave.lua.h"
#include "svc/lua/bus_redis_mend.lua.h"
#include "svc/lua/bus_redis_tick.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_REDIS_LEASE     4000                    /* ms */
#define BUS_REDIS_TICK      (BUS_REDIS_LEASE / 3)
#define BUS_REDIS_MARGIN    (BUS_REDIS_LEASE / 8)   /* not relied on */


static svc_script_t  bus_redis_tick_script = { .body = bus_redis_tick_lua };
static svc_script_t  bus_redis_leave_script = { .body = bus_redis_leave_lua };
static svc_script_t  bus_redis_mend_script = { .body = bus_redis_mend_lua };


static void bus_redis_tick(bus_redis_consumer_t *c);


int
bus_redis_holds(bus_redis_consumer_t *c, const bus_redis_part_t *part)
{
    (void) c;

    return svc_now() < part->until;
}


/* ---- losing and getting ---- */

static void
bus_redis_revoke(bus_redis_consumer_t *c, bus_redis_part_t *part)
{
    part->owned = 0;
    c->owned--;

    c->base.events.revoked(&c->base, part->n, c->base.events.data);
}


/* Another run of Redis, another epoch, or the lease was lost. */
void
bus_redis_lose(bus_redis_consumer_t *c, bus_redis_part_t *part,
    const char *why)
{
    part->dirty = 0;

    if (part->owned) {
        metrics_add(c->fenced, 1);
        log_seldom(&c->lease_log, LOG_WARN, "bus: partition %u is lost: %s",
                   part->n, why);

        bus_redis_revoke(c, part);
    }
}


static void
bus_redis_lose_all(bus_redis_consumer_t *c, const char *why)
{
    uint32_t  i;

    for (i = 0; i < c->bus.n; i++) {
        bus_redis_lose(c, &c->parts[i], why);
        c->parts[i].releasing = 0;
    }
}


static void
bus_redis_gain(bus_redis_consumer_t *c, bus_redis_part_t *part,
    const redisReply *done)
{
    if (bus_redis_id(done->str, done->len, &part->ms, &part->seq) != 0) {
        part->ms = 0;
        part->seq = 0;
    }

    part->done_ms = part->ms;
    part->done_seq = part->seq;
    part->dirty = 0;
    part->saving = 0;
    part->asked = 0;
    part->owned = 1;
    c->owned++;

    log_write(LOG_INFO, "bus: partition %u taken, from %llu-%llu", part->n,
              (unsigned long long) part->ms, (unsigned long long) part->seq);
}


/* ---- leases ---- */

/*
 * revoked() first, so that nothing more is sent for it: what was sent goes
 * before the release on the same connection.
 */
static void
bus_redis_release(bus_redis_consumer_t *c, bus_redis_part_t *part)
{
    bus_redis_revoke(c, part);

    if (bus_redis_save(c, part, 1) != 0) {
        part->dirty = 0;        /* the lease ends by itself */
    }
}


/* Whether its place moves while there is something to read. */
static void
bus_redis_look(bus_redis_part_t *part)
{
    if (!part->owned || part->len == 0 || part->done_ms != part->seen_ms
        || part->done_seq != part->seen_seq)
    {
        part->seen_ms = part->done_ms;
        part->seen_seq = part->done_seq;
        part->moved = svc_now();
    }
}


uint32_t
bus_redis_consumer_stuck(bus_consumer_t *base)
{
    int64_t                now;
    uint32_t               i, n;
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;
    now = svc_now();
    n = 0;

    for (i = 0; i < c->bus.n; i++) {
        n += (c->parts[i].owned && now - c->parts[i].moved > BUS_STUCK);
    }

    return n;
}


static void
bus_redis_lease(bus_redis_consumer_t *c, redisReply *const *e, int64_t sent,
    int *gained)
{
    char               lease[sizeof(((bus_redis_part_t *) 0)->lease)];
    bus_redis_part_t  *part;

    if (e[0]->type != REDIS_REPLY_INTEGER || e[0]->integer < 0
        || e[0]->integer >= c->bus.n || e[1]->type != REDIS_REPLY_STRING
        || e[2]->type != REDIS_REPLY_STRING
        || e[3]->type != REDIS_REPLY_INTEGER)
    {
        return;
    }

    part = &c->parts[e[0]->integer];

    if (part->releasing) {
        return;
    }

    snprintf(lease, sizeof(lease), "%s %.20s", c->me, e[1]->str);

    if (part->owned && strcmp(part->lease, lease) != 0) {
        bus_redis_lose(c, part, "the lease had run out");
    }

    part->until = sent + BUS_REDIS_LEASE - BUS_REDIS_MARGIN;
    part->len = e[3]->integer;
    bus_redis_look(part);

    if (!part->owned) {
        strcpy(part->lease, lease);
        bus_redis_gain(c, part, e[2]);
        *gained = 1;
    }
}


typedef struct {
    bus_redis_consumer_t  *c;
    int64_t                sent;
} bus_redis_tick_t;


static void
bus_redis_leases(bus_redis_consumer_t *c, const redisReply *reply,
    int64_t sent)
{
    int                gained;
    size_t             i;
    uint32_t           n;
    long long          share;
    bus_redis_part_t  *part;

    share = reply->element[0]->integer;
    gained = 0;

    for (i = 1; i + 3 < reply->elements; i += 4) {
        bus_redis_lease(c, reply->element + i, sent, &gained);
    }

    for (n = c->bus.n; n > 0; n--) {
        part = &c->parts[n - 1];

        if (!part->owned) {
            continue;
        }

        if (part->until != sent + BUS_REDIS_LEASE - BUS_REDIS_MARGIN) {
            bus_redis_lose(c, part, "another has the lease");

        } else if ((long long) c->owned > share) {
            bus_redis_release(c, part);
        }
    }

    if (gained) {
        bus_redis_read_again(c);

    } else {
        bus_redis_read(c);
    }
}


static void
bus_redis_ticked(svc_redis_t *r, redisReply *reply, void *data)
{
    int64_t                sent;
    bus_redis_tick_t      *tick;
    bus_redis_consumer_t  *c;

    (void) r;

    tick = data;
    c = tick->c;
    sent = tick->sent;
    free(tick);

    c->calls--;
    c->ticking = 0;

    if (c->ending) {
        bus_redis_check_end(c);
        return;
    }

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
        && reply->element[0]->type == REDIS_REPLY_INTEGER)
    {
        bus_redis_leases(c, reply, sent);

    } else if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        log_seldom(&c->lease_log, LOG_ERROR, "bus: cannot renew leases: %s",
                   reply->str);
    }

    if (c->tick_again) {
        c->tick_again = 0;
        bus_redis_tick(c);
    }
}


static void
bus_redis_tick(bus_redis_consumer_t *c)
{
    char               life[24], lease[24], n[12], jobs[BUS_REDIS_KEY + 8];
    const char        *argv[9];
    bus_redis_tick_t  *tick;

    if (c->ticking) {
        c->tick_again = 1;
        return;
    }

    if (!c->bus.ready || c->ending) {
        return;
    }

    snprintf(jobs, sizeof(jobs), "%sjobs", c->bus.base);
    snprintf(life, sizeof(life), "%llu", (unsigned long long) c->life);
    snprintf(lease, sizeof(lease), "%d", BUS_REDIS_LEASE);
    snprintf(n, sizeof(n), "%u", c->bus.n);

    argv[0] = c->bus.life_key;
    argv[1] = jobs;
    argv[2] = c->bus.done_key;
    argv[3] = c->notes_key;
    argv[4] = life;
    argv[5] = c->bus.base;
    argv[6] = c->me;
    argv[7] = lease;
    argv[8] = n;

    tick = malloc(sizeof(bus_redis_tick_t));
    if (tick == NULL) {
        abort();
    }

    tick->c = c;
    tick->sent = svc_now();

    if (svc_redis_eval(c->bus.r, &bus_redis_tick_script, bus_redis_ticked,
                       tick, 4, 9, argv, NULL) != 0)
    {
        free(tick);
        return;
    }

    c->ticking = 1;
    c->calls++;
}


static void
bus_redis_on_tick(evutil_socket_t fd, short what, void *data)
{
    uint32_t               i;
    bus_redis_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;

    svc_timer(c->tick, BUS_REDIS_TICK);

    for (i = 0; i < c->bus.n; i++) {
        if (c->parts[i].owned && !bus_redis_holds(c, &c->parts[i])) {
            bus_redis_lose(c, &c->parts[i], "the lease was not renewed");
        }
    }

    if (c->bus.ready) {
        bus_redis_tick(c);

    } else {
        bus_redis_ask(&c->bus);
    }
}


/* Somebody came, went or gave up. */
void
bus_redis_noted(bus_redis_consumer_t *c, const redisReply *entries)
{
    int                look;
    size_t             i;
    const redisReply  *id, *fields;

    look = 0;

    for (i = 0; i < entries->elements; i++) {

        if (entries->element[i]->type != REDIS_REPLY_ARRAY
            || entries->element[i]->elements != 2)
        {
            continue;
        }

        id = entries->element[i]->element[0];
        fields = entries->element[i]->element[1];

        if (id->type == REDIS_REPLY_STRING && id->len < sizeof(c->note)) {
            strcpy(c->note, id->str);
        }

        if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2
            || fields->element[1]->type != REDIS_REPLY_STRING
            || strcmp(fields->element[1]->str, c->me) != 0)
        {
            look = 1;
        }
    }

    if (look) {
        bus_redis_tick(c);
    }
}


static void
bus_redis_mended(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_redis_consumer_t  *c;

    (void) r;

    c = data;
    c->calls--;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER
        && reply->integer > 0)
    {
        log_write(LOG_ERROR, "bus: %lld keys were of another type and have "
                  "been deleted", reply->integer);
    }

    bus_redis_check_end(c);
}


/* A key that is read is no stream. */
void
bus_redis_mend(bus_redis_consumer_t *c)
{
    int           n;
    uint32_t      i;
    const char  **argv;

    argv = malloc((c->bus.n + 1) * sizeof(char *));
    if (argv == NULL) {
        abort();
    }

    n = 0;
    argv[n++] = c->notes_key;

    for (i = 0; i < c->bus.n; i++) {
        if (c->parts[i].owned) {
            argv[n++] = c->parts[i].stream;
        }
    }

    if (svc_redis_eval(c->bus.r, &bus_redis_mend_script, bus_redis_mended, c,
                       n, n, argv, NULL) == 0)
    {
        c->calls++;
    }

    free(argv);
}


/* ---- Redis comes and goes ---- */

static void
bus_redis_asked(bus_redis_t *b, int ok, void *data)
{
    uint64_t               life;
    bus_redis_consumer_t  *c;

    c = data;

    if (c->ending || !ok) {
        bus_redis_check_end(c);
        return;                 /* the next tick asks again */
    }

    life = svc_redis_life(b->r);

    /*
     * What is known of the places may be newer than what this Redis knows:
     * begin at what it knows.
     */

    if (c->known && (life != c->life
                     || memcmp(c->epoch, b->epoch, BUS_EPOCH_LEN) != 0))
    {
        bus_redis_lose_all(c, "Redis is another one");
    }

    c->life = life;
    memcpy(c->epoch, b->epoch, BUS_EPOCH_LEN);
    c->known = 1;

    if (svc_redis_is_up(c->reader) && svc_redis_life(c->reader) != life) {
        svc_redis_reconnect(c->reader);
    }

    bus_redis_tick(c);
    svc_timer(c->save, 0);
}


static void
bus_redis_up(svc_redis_t *r, void *data)
{
    (void) r;

    bus_redis_ask(&((bus_redis_consumer_t *) data)->bus);
}


static void
bus_redis_down(svc_redis_t *r, void *data)
{
    (void) r;

    ((bus_redis_consumer_t *) data)->bus.ready = 0;
}


/* ---- the end ---- */

static void
bus_redis_on_end(evutil_socket_t fd, short what, void *data)
{
    void                 (*freed)(void *data);
    void                  *freed_data;
    bus_redis_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    freed = c->freed;
    freed_data = c->freed_data;

    c->left = 0;
    svc_redis_free(c->reader);

    event_free(c->tick);
    event_free(c->save);
    event_free(c->end);

    bus_redis_consumer_delete(c);

    freed(freed_data);
}


void
bus_redis_check_end(bus_redis_consumer_t *c)
{
    if (c->left && c->calls == 0 && !c->bus.asking) {
        event_active(c->end, EV_TIMEOUT, 0);
    }
}


static void
bus_redis_gone(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_redis_consumer_t  *c;

    (void) r;
    (void) reply;

    c = data;
    c->calls--;

    bus_redis_check_end(c);
}


void
bus_redis_consumer_free(bus_consumer_t *base, void (*freed)(void *data),
    void *data)
{
    char                   jobs[BUS_REDIS_KEY + 8];
    uint32_t               i;
    const char            *argv[3];
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;

    c->ending = 1;
    c->freed = freed;
    c->freed_data = data;

    svc_redis_unwatch(c->bus.r, c->watch);
    event_del(c->tick);
    event_del(c->save);
    event_del(c->retry);

    for (i = 0; i < c->bus.n; i++) {
        if (c->parts[i].owned) {
            bus_redis_release(c, &c->parts[i]);
        }
    }

    snprintf(jobs, sizeof(jobs), "%sjobs", c->bus.base);
    argv[0] = jobs;
    argv[1] = c->notes_key;
    argv[2] = c->me;

    if (svc_redis_eval(c->bus.r, &bus_redis_leave_script, bus_redis_gone, c,
                       2, 3, argv, NULL) == 0)
    {
        c->calls++;
    }

    c->left = 1;
    bus_redis_check_end(c);
}


void
bus_redis_lease_start(bus_redis_consumer_t *c)
{
    svc_redis_events_t  events;

    c->bus.done = bus_redis_asked;
    c->bus.data = c;
    c->fenced = metrics_counter("goim_bus_partitions_lost_total", NULL,
        "Partitions that were lost without having been given up.");

    c->tick = evtimer_new(c->loop, bus_redis_on_tick, c);
    c->end = evtimer_new(c->loop, bus_redis_on_end, c);

    if (c->tick == NULL || c->end == NULL) {
        abort();
    }

    bus_redis_save_init(c);

    events.up = bus_redis_up;
    events.down = bus_redis_down;
    events.data = c;
    c->watch = svc_redis_watch(c->bus.r, &events);

    svc_timer(c->tick, BUS_REDIS_TICK);
    bus_redis_ask(&c->bus);
}
