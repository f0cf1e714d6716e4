/*
 * The Redis bus: whose the partitions are, and how far they are done.
 */

#include "bus_redis_consumer.h"

#include "svc/lua/bus_redis_mend.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_REDIS_LOOK      1000                    /* ms */


static svc_script_t  bus_redis_mend_script = { .body = bus_redis_mend_lua };


/* ---- taken and lost ---- */

static void
bus_redis_taken(uint32_t n, void *data)
{
    bus_redis_consumer_t  *c;

    c = data;

    done_read(c->done, n);
}


static void
bus_redis_lost(uint32_t n, void *data)
{
    bus_redis_part_t      *part;
    bus_redis_consumer_t  *c;

    c = data;
    part = &c->parts[n];

    done_forget(c->done, n);

    if (part->ready) {
        part->ready = 0;
        c->owned--;

        c->base.events.revoked(&c->base, n, c->base.events.data);
    }
}


/* The last effects have been sent: behind them the place, then the lease. */
static void
bus_redis_giving(uint32_t n, void *data)
{
    bus_redis_consumer_t  *c;

    c = data;

    done_save(c->done, n);
    bus_redis_lost(n, data);
}


static void
bus_redis_looked(void *data)
{
    bus_redis_read(data);
}


static void
bus_redis_ended(void *data)
{
    bus_redis_consumer_t  *c;

    c = data;
    c->left = 1;

    bus_redis_check_end(c);
}


/* ---- done ---- */

static void
bus_redis_answered(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_redis_consumer_t  *c;

    (void) r;
    (void) reply;

    c = data;
    c->calls--;

    bus_redis_check_end(c);
}


static void
bus_redis_on_len(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_redis_part_t  *part;

    part = data;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        part->len = reply->integer;
    }

    if (part->len == 0) {
        part->moved = svc_now();
    }

    bus_redis_answered(r, reply, part->c);
}


static void
bus_redis_ask_len(bus_redis_consumer_t *c, bus_redis_part_t *part)
{
    c->calls += (svc_redis_callf(c->bus.r, bus_redis_on_len, part,
                                 "XLEN %s", part->stream) == 0);
}


static void
bus_redis_place(uint32_t n, const goim_offset_t *place, const char *note,
    void *data)
{
    bus_redis_part_t      *part;
    bus_redis_consumer_t  *c;

    (void) note;

    c = data;
    part = &c->parts[n];
    part->ms = 0;
    part->seq = 0;

    if (place != NULL) {
        goim_offset_get(place, &part->ms, &part->seq);
    }

    part->asked = 0;
    part->len = 0;
    part->moved = svc_now();
    part->ready = 1;
    c->owned++;

    log_write(LOG_INFO, "bus: partition %u taken, from %" PRIu64 "-%" PRIu64,
              n, part->ms, part->seq);

    bus_redis_ask_len(c, part);
    bus_redis_read_again(c);
}


/* What is done is not read again. */
static void
bus_redis_saved(uint32_t n, const goim_offset_t *place, void *data)
{
    char                   id[44];
    uint64_t               ms, seq;
    bus_redis_consumer_t  *c;

    c = data;

    goim_offset_get(place, &ms, &seq);
    snprintf(id, sizeof(id), "%" PRIu64 "-%" PRIu64, ms, seq + 1);

    c->calls += (svc_redis_callf(c->bus.r, bus_redis_answered, c,
                                 "XTRIM %s MINID %s", c->parts[n].stream, id)
                 == 0);
}


static void
bus_redis_fenced(uint32_t n, void *data)
{
    lease_lose(((bus_redis_consumer_t *) data)->lease, n,
               "another has the lease");
}


static void
bus_redis_idle(void *data)
{
    bus_redis_check_end(data);
}


void
bus_redis_done(bus_consumer_t *base, uint32_t partition,
    const goim_offset_t *offset)
{
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;

    if (!c->ending && partition < c->bus.n && c->parts[partition].ready) {
        done_move(c->done, partition, offset);
        c->parts[partition].moved = svc_now();
    }
}


/* What is done is trimmed. */
int
bus_redis_back(bus_consumer_t *base, uint32_t partition,
    goim_offset_t *place, int64_t *missing)
{
    uint64_t               ms, seq, ms2, seq2;
    goim_offset_t          done;
    bus_redis_part_t      *part;
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;

    if (!bus_redis_consumer_holds(base, partition)
        || done_place(c->done, partition, &done) != 0
        || goim_offset_cmp(place, &done) >= 0)
    {
        return 0;
    }

    part = &c->parts[partition];
    goim_offset_get(place, &ms, &seq);
    goim_offset_get(&done, &ms2, &seq2);

    part->ms = ms2;
    part->seq = seq2;
    part->asked = 0;
    *missing = ms == ms2 ? (int64_t) (seq2 - seq) : -1;
    *place = done;

    bus_redis_read_again(c);

    return 1;
}


/* ---- keys of another type ---- */

static void
bus_redis_mended(svc_redis_t *r, redisReply *reply, void *data)
{
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER
        && reply->integer > 0)
    {
        log_write(LOG_ERROR, "bus: %lld keys were of another type and have "
                  "been deleted", reply->integer);
    }

    bus_redis_answered(r, reply, data);
}


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
        if (c->parts[i].ready) {
            argv[n++] = c->parts[i].stream;
        }
    }

    c->calls += (svc_redis_eval(c->bus.r, &bus_redis_mend_script,
                                bus_redis_mended, c, n, n, argv, NULL) == 0);

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
        return;                 /* it is asked again in a second */
    }

    life = svc_redis_life(b->r);
    c->life = life;

    if (svc_redis_is_up(c->reader) && svc_redis_life(c->reader) != life) {
        svc_redis_reconnect(c->reader);
    }

    /*
     * In another life what is known of the places may be newer than what this
     * Redis knows: all is lost, and begins at what it knows.
     */

    done_begin(c->done, b->epoch, b->n, life);
    lease_begin(c->lease, b->epoch, b->n, life);
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
    bus_redis_consumer_t  *c;

    (void) r;

    c = data;
    c->bus.ready = 0;

    lease_pause(c->lease);
}


static void
bus_redis_on_look(evutil_socket_t fd, short what, void *data)
{
    uint32_t               i;
    bus_redis_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;

    svc_timer(c->look, BUS_REDIS_LOOK);

    if (!c->bus.ready) {
        bus_redis_ask(&c->bus);
        return;
    }

    for (i = 0; i < c->bus.n; i++) {
        if (c->parts[i].ready) {
            bus_redis_ask_len(c, &c->parts[i]);
        }
    }
}


/* ---- beginning and end ---- */

static void
bus_redis_parts(bus_redis_consumer_t *c)
{
    uint32_t           i;
    bus_redis_part_t  *part;

    c->parts = calloc(c->bus.n, sizeof(bus_redis_part_t));
    if (c->parts == NULL) {
        abort();
    }

    for (i = 0; i < c->bus.n; i++) {
        part = &c->parts[i];
        part->c = c;
        part->n = i;

        if (asprintf(&part->stream, "%s%u", c->bus.base, i) == -1) {
            abort();
        }
    }
}


static void
bus_redis_on_end(evutil_socket_t fd, short what, void *data)
{
    void                 (*freed)(void *data);
    void                  *freed_data;
    uint32_t               i;
    bus_redis_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    freed = c->freed;
    freed_data = c->freed_data;

    c->left = 0;
    svc_redis_free(c->reader);

    lease_free(c->lease);
    done_free(c->done);

    event_free(c->look);
    event_free(c->retry);
    event_free(c->end);

    for (i = 0; i < c->bus.n; i++) {
        free(c->parts[i].stream);
    }

    free(c->parts);
    free(c);

    freed(freed_data);
}


void
bus_redis_check_end(bus_redis_consumer_t *c)
{
    if (c->left && c->calls == 0 && !c->bus.asking && !done_busy(c->done)) {
        event_active(c->end, EV_TIMEOUT, 0);
    }
}


void
bus_redis_consumer_free(bus_consumer_t *base, void (*freed)(void *data),
    void *data)
{
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;

    c->ending = 1;
    c->freed = freed;
    c->freed_data = data;

    svc_redis_unwatch(c->bus.r, c->watch);
    event_del(c->look);
    event_del(c->retry);

    lease_end(c->lease);
}


bus_consumer_t *
bus_redis_consumer_new(struct event_base *base, const bus_conf_t *conf,
    svc_redis_t *r, const bus_consumer_events_t *events, char *err,
    size_t size)
{
    svc_redis_events_t     watch;
    bus_redis_consumer_t  *c;

    (void) err;                 /* what can be wrong shows later */
    (void) size;

    c = calloc(1, sizeof(bus_redis_consumer_t));
    if (c == NULL) {
        abort();
    }

    bus_redis_init(&c->bus, conf, r);

    c->base.events = *events;
    c->loop = base;
    c->bus.done = bus_redis_asked;
    c->bus.data = c;

    bus_redis_parts(c);

    c->lease = lease_new(base, r, c->bus.base, conf->whole,
                         &(lease_events_t) {
        .taken = bus_redis_taken,
        .lost = bus_redis_lost,
        .giving = bus_redis_giving,
        .looked = bus_redis_looked,
        .ended = bus_redis_ended,
        .data = c
    });

    c->done = done_new(base, r, c->lease, &(done_events_t) {
        .read = bus_redis_place,
        .saved = bus_redis_saved,
        .fenced = bus_redis_fenced,
        .idle = bus_redis_idle,
        .data = c
    });

    c->look = evtimer_new(base, bus_redis_on_look, c);
    c->end = evtimer_new(base, bus_redis_on_end, c);

    if (c->look == NULL || c->end == NULL) {
        abort();
    }

    watch.up = bus_redis_up;
    watch.down = bus_redis_down;
    watch.data = c;
    c->watch = svc_redis_watch(r, &watch);

    bus_redis_read_init(c);

    svc_timer(c->look, BUS_REDIS_LOOK);
    bus_redis_ask(&c->bus);

    return &c->base;
}


const uint8_t *
bus_redis_consumer_epoch(bus_consumer_t *base, size_t *len)
{
    *len = BUS_EPOCH_LEN;

    return ((bus_redis_consumer_t *) base)->bus.epoch;
}


int
bus_redis_consumer_names(bus_consumer_t *base, uint32_t partition,
    bus_names_t *names)
{
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;
    names->life = c->life;

    return done_names(c->done, partition, names);
}


int
bus_redis_consumer_holds(bus_consumer_t *base, uint32_t partition)
{
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;

    return partition < c->bus.n && c->parts[partition].ready
           && lease_holds(c->lease, partition);
}


void
bus_redis_pause(bus_consumer_t *base)
{
    ((bus_redis_consumer_t *) base)->paused = 1;
}


void
bus_redis_resume(bus_consumer_t *base)
{
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;
    c->paused = 0;

    bus_redis_read(c);
}


int64_t
bus_redis_consumer_lag(bus_consumer_t *base)
{
    int64_t                lag;
    uint32_t               i;
    bus_redis_consumer_t  *c;

    c = (bus_redis_consumer_t *) base;
    lag = 0;

    for (i = 0; i < c->bus.n; i++) {
        if (c->parts[i].ready) {
            lag += c->parts[i].len;
        }
    }

    return lag;
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
        n += (c->parts[i].ready && now - c->parts[i].moved > BUS_STUCK);
    }

    return n;
}


uint32_t
bus_redis_consumer_owned(bus_consumer_t *base)
{
    return ((bus_redis_consumer_t *) base)->owned;
}


int
bus_redis_consumer_healthy(bus_consumer_t *base)
{
    return svc_redis_is_up(((bus_redis_consumer_t *) base)->reader);
}
