/*
 * The Redis bus: writing. What comes in one turn of the loop goes to Redis in
 * one script call, behind what was sent before: idle means no delay, load
 * means big batches, and the order of a key is that of the calls.
 */

#include "bus_redis.h"

#include "svc/lua/bus_redis_append.lua.h"
#include "clock.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_REDIS_BATCH         128         /* records a script call */
#define BUS_REDIS_BATCH_BYTES   (1024 * 1024)
#define BUS_REDIS_RETRY_MIN     20          /* ms */
#define BUS_REDIS_RETRY_MAX     500


static svc_script_t  bus_redis_append_script = { .body = bus_redis_append_lua };


/* of a partition */
typedef struct {
    char                 *stream;
    char                 *done;
    size_t                stream_len;
    size_t                done_len;
} bus_redis_keys_t;


typedef struct {
    bus_producer_t       base;
    struct event_base   *loop;
    bus_redis_t          bus;
    svc_redis_watch_t   *watch;
    bus_items_t          items;
    bus_item_t          *waiting;       /* to be sent, in order */
    bus_item_t         **waiting_last;
    struct event        *flush;         /* at the end of this turn */
    struct event        *retry;
    int64_t              backoff;       /* 0: the last answer was good */
    size_t               calls;         /* without an answer yet */
    int                  freed;
    bus_redis_keys_t    *keys;
    metric_t            *refused;
} bus_redis_producer_t;


/* A script call under way. */
typedef struct {
    bus_redis_producer_t  *p;
    size_t                 n;
    bus_item_t            *item[];
} bus_redis_batch_t;


static void
bus_redis_wait(bus_redis_producer_t *p, bus_item_t *item)
{
    item->sent = 0;
    item->queue = NULL;
    *p->waiting_last = item;
    p->waiting_last = &item->queue;
}


static void
bus_redis_shift(bus_redis_producer_t *p)
{
    p->waiting = p->waiting->queue;

    if (p->waiting == NULL) {
        p->waiting_last = &p->waiting;
    }
}


/* The time of an item is up. One that was sent is its batch's. */
static void
bus_redis_late(bus_item_t *item, void *data)
{
    bus_item_t            **place;
    bus_redis_producer_t   *p;

    p = data;

    if (item->sent) {
        return;
    }

    for (place = &p->waiting; *place != NULL; place = &(*place)->queue) {

        if (*place == item) {
            *place = item->queue;

            if (*place == NULL) {
                p->waiting_last = place;
            }

            free(item);
            return;
        }
    }
}


static void
bus_redis_release(bus_redis_producer_t *p)
{
    uint32_t  i;

    bus_items_done(&p->items);
    event_free(p->flush);
    event_free(p->retry);

    for (i = 0; i < p->bus.n; i++) {
        free(p->keys[i].stream);
        free(p->keys[i].done);
    }

    free(p->keys);
    free(p);
}


/* ---- answers ---- */

static int64_t
bus_redis_backoff(bus_redis_producer_t *p)
{
    int64_t  ms;

    ms = p->backoff == 0 ? BUS_REDIS_RETRY_MIN : p->backoff * 2;

    return ms < BUS_REDIS_RETRY_MAX ? ms : BUS_REDIS_RETRY_MAX;
}


static void
bus_redis_later(bus_redis_producer_t *p, const redisReply *reply)
{
    static log_once_t  refused;

    metrics_add(p->refused, 1);

    log_seldom(&refused, LOG_WARN, "bus: Redis refuses to append: %s",
               reply->str);

    /* what was under way with the first one says the same */

    if (!event_pending(p->retry, EV_TIMEOUT, NULL)) {
        p->backoff = bus_redis_backoff(p);
        svc_timer(p->retry, p->backoff);
    }
}


static void
bus_redis_finish(bus_redis_producer_t *p, bus_item_t *item,
    bus_result_t result)
{
    bus_item_answer(&p->items, item, result);
    free(item);
}


/*
 * An answer for one record, or for the whole batch when `whole`: then an
 * error that is not known may have come in the middle. 1: it waits again.
 */
static int
bus_redis_item(bus_redis_producer_t *p, bus_item_t *item,
    const redisReply *reply, int whole)
{
    static log_once_t  errors;

    if (item->cb == NULL) {
        free(item);                     /* its time was up before */
        return 0;
    }

    if (reply == NULL) {
        bus_redis_finish(p, item, BUS_UNKNOWN);
        return 0;
    }

    switch (svc_redis_class(reply)) {

    case SVC_REDIS_OK:
        p->backoff = 0;
        bus_redis_finish(p, item, BUS_OK);
        return 0;

    case SVC_REDIS_AGAIN:
    case SVC_REDIS_LIFE:

        /* the time must not end in the middle of the next attempt: whether
         * that one succeeded would not be known */

        if (item->deadline - svc_now()
            < bus_redis_backoff(p) + BUS_REDIS_RETRY_MIN)
        {
            bus_redis_finish(p, item, BUS_FAILED);

        } else {
            bus_redis_wait(p, item);
        }

        return 1;

    default:
        break;
    }

    log_seldom(&errors, LOG_ERROR, "bus: cannot append: %s", reply->str);

    bus_redis_finish(p, item,
                     whole && strncmp(reply->str, "NOPERM", 6) != 0
                     ? BUS_UNKNOWN : BUS_FAILED);

    return 0;
}


static void
bus_redis_answer(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t                 i;
    redisReply            *one, *refusal;
    bus_redis_batch_t     *batch;
    bus_redis_producer_t  *p;

    (void) r;

    batch = data;
    p = batch->p;
    one = reply;
    refusal = NULL;

    p->calls--;

    if (reply != NULL
        && ((reply->type == REDIS_REPLY_ARRAY && reply->elements != batch->n)
            || (reply->type == REDIS_REPLY_INTEGER
                && reply->integer != (long long) batch->n)))
    {
        reply = NULL;                   /* no answer of ours */
        one = NULL;
    }

    /* those that wait again stand behind what came meanwhile */

    for (i = 0; i < batch->n; i++) {

        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
            one = reply->element[i];
        }

        if (bus_redis_item(p, batch->item[i], one, one == reply)) {
            refusal = one;
        }
    }

    free(batch);

    if (p->freed) {

        if (p->calls == 0) {
            bus_redis_release(p);
        }

        return;
    }

    if (refusal != NULL) {
        bus_redis_later(p, refusal);

    } else if (p->waiting == NULL) {
        return;

    } else if (p->backoff == 0) {
        event_active(p->flush, EV_TIMEOUT, 0);      /* behind the probe */

    } else if (!event_pending(p->retry, EV_TIMEOUT, NULL)) {
        svc_timer(p->retry, p->backoff);            /* it told nothing */
    }
}


/* ---- sending ---- */

static size_t
bus_redis_pick(bus_redis_producer_t *p, bus_redis_batch_t *batch)
{
    size_t       bytes;
    bus_item_t  *item;

    bytes = 0;
    batch->n = 0;

    while (p->waiting != NULL && batch->n < BUS_REDIS_BATCH) {
        item = p->waiting;

        bytes += item->key_len + item->len;

        if (batch->n > 0 && bytes > BUS_REDIS_BATCH_BYTES) {
            break;
        }

        bus_redis_shift(p);
        batch->item[batch->n++] = item;
    }

    return batch->n;
}


static int
bus_redis_send(bus_redis_producer_t *p, bus_redis_batch_t *batch)
{
    int                argc, keys;
    char               life[24];
    size_t             i, len[3 + 4 * BUS_REDIS_BATCH];
    bus_item_t        *item;
    const char        *argv[3 + 4 * BUS_REDIS_BATCH];
    bus_redis_keys_t  *k;

    snprintf(life, sizeof(life), "%llu",
             (unsigned long long) svc_redis_life(p->bus.r));

    argc = 0;
    argv[argc] = p->bus.life_key;
    len[argc++] = strlen(p->bus.life_key);

    for (i = 0; i < batch->n; i++) {
        k = &p->keys[batch->item[i]->partition];

        argv[argc] = k->stream;
        len[argc++] = k->stream_len;
        argv[argc] = k->done;
        len[argc++] = k->done_len;
    }

    keys = argc;
    argv[argc] = life;
    len[argc++] = strlen(life);
    argv[argc] = p->bus.epoch_hex;
    len[argc++] = strlen(p->bus.epoch_hex);

    for (i = 0; i < batch->n; i++) {
        item = batch->item[i];

        argv[argc] = (char *) item->bytes;
        len[argc++] = item->key_len;
        argv[argc] = (char *) item->bytes + item->key_len;
        len[argc++] = item->len;
    }

    return svc_redis_eval(p->bus.r, &bus_redis_append_script,
                          bus_redis_answer, batch, keys, argc, argv, len);
}


static void
bus_redis_flush(bus_redis_producer_t *p)
{
    size_t              i;
    bus_item_t         *first;
    bus_redis_batch_t  *batch;

    while (p->waiting != NULL && p->bus.ready) {

        if (p->backoff > 0 && p->calls > 0) {
            return;             /* one probes, its answer goes on */
        }

        batch = malloc(sizeof(bus_redis_batch_t)
                       + BUS_REDIS_BATCH * sizeof(bus_item_t *));
        if (batch == NULL) {
            abort();
        }

        batch->p = p;
        bus_redis_pick(p, batch);

        if (bus_redis_send(p, batch) == 0) {
            p->calls++;

            for (i = 0; i < batch->n; i++) {
                batch->item[i]->sent = 1;
            }

            continue;
        }

        /* not connected, or too much unsent: in front again */

        first = p->waiting;

        for (i = batch->n; i > 0; i--) {
            batch->item[i - 1]->queue = first;
            first = batch->item[i - 1];

            if (p->waiting == NULL && i == batch->n) {
                p->waiting_last = &first->queue;
            }
        }

        p->waiting = first;
        free(batch);

        if (svc_redis_is_up(p->bus.r)) {
            svc_timer(p->retry, BUS_REDIS_RETRY_MIN);
        }

        return;
    }
}


static void
bus_redis_on_flush(evutil_socket_t fd, short what, void *data)
{
    bus_redis_producer_t  *p;

    (void) fd;
    (void) what;

    p = data;

    /* while Redis refuses, one batch when it is time */

    if (p->backoff == 0 || !event_pending(p->retry, EV_TIMEOUT, NULL)) {
        bus_redis_flush(p);
    }
}


static void
bus_redis_on_retry(evutil_socket_t fd, short what, void *data)
{
    bus_redis_producer_t  *p;

    (void) fd;
    (void) what;

    p = data;

    if (!p->bus.ready) {
        bus_redis_ask(&p->bus);
        return;
    }

    if (p->waiting == NULL) {
        p->backoff = 0;         /* nothing to try with: the benefit of doubt */
        return;
    }

    bus_redis_flush(p);
}


static void
bus_redis_asked(bus_redis_t *b, int ok, void *data)
{
    bus_redis_producer_t  *p;

    p = data;

    if (p->freed) {
        p->calls--;

        if (p->calls == 0) {
            bus_redis_release(p);
        }

        return;
    }

    if (ok) {
        p->backoff = 0;
        bus_redis_flush(p);

    } else if (svc_redis_is_up(b->r)) {
        svc_timer(p->retry, BUS_REDIS_RETRY_MAX);
    }
}


static void
bus_redis_up(svc_redis_t *r, void *data)
{
    (void) r;

    bus_redis_ask(&((bus_redis_producer_t *) data)->bus);
}


static void
bus_redis_down(svc_redis_t *r, void *data)
{
    (void) r;

    ((bus_redis_producer_t *) data)->bus.ready = 0;
}


/* ---- the interface ---- */

static void
bus_redis_keys(bus_redis_producer_t *p)
{
    int                n, m;
    uint32_t           i;
    bus_redis_keys_t  *k;

    p->keys = calloc(p->bus.n, sizeof(bus_redis_keys_t));
    if (p->keys == NULL) {
        abort();
    }

    for (i = 0; i < p->bus.n; i++) {
        k = &p->keys[i];

        n = asprintf(&k->stream, "%s%u", p->bus.base, i);
        m = asprintf(&k->done, "%s%u}:done", p->bus.tag, i);

        if (n == -1 || m == -1) {
            abort();
        }

        k->stream_len = (size_t) n;
        k->done_len = (size_t) m;
    }
}


bus_producer_t *
bus_redis_producer_new(struct event_base *base, const bus_conf_t *conf,
    svc_redis_t *r, char *err, size_t size)
{
    svc_redis_events_t     events;
    bus_redis_producer_t  *p;

    (void) err;                 /* what can be wrong shows later */
    (void) size;

    p = calloc(1, sizeof(bus_redis_producer_t));
    if (p == NULL) {
        abort();
    }

    bus_redis_init(&p->bus, conf, r);

    bus_redis_keys(p);

    p->loop = base;
    p->waiting_last = &p->waiting;
    p->bus.done = bus_redis_asked;
    p->bus.data = p;
    p->refused = metrics_counter("goim_bus_refused_total", NULL,
        "Refusals of the bus, after which the same step was tried again.");

    bus_items_init(&p->items, base, bus_redis_late, p);

    p->flush = evtimer_new(base, bus_redis_on_flush, p);
    p->retry = evtimer_new(base, bus_redis_on_retry, p);

    if (p->flush == NULL || p->retry == NULL) {
        abort();
    }

    events.up = bus_redis_up;
    events.down = bus_redis_down;
    events.data = p;
    p->watch = svc_redis_watch(r, &events);

    bus_redis_ask(&p->bus);

    return &p->base;
}


uint32_t
bus_redis_producer_partitions(bus_producer_t *base)
{
    return ((bus_redis_producer_t *) base)->bus.n;
}


void
bus_redis_produce(bus_producer_t *base, const bus_message_t *m)
{
    bus_item_t            *item;
    bus_redis_producer_t  *p;

    p = (bus_redis_producer_t *) base;

    item = bus_item_new(&p->items, m);
    if (item == NULL) {
        return;
    }

    item->partition = goim_partition(m->key, m->key_len, p->bus.n);

    bus_redis_wait(p, item);

    event_active(p->flush, EV_TIMEOUT, 0);
}


int
bus_redis_producer_reaches(bus_producer_t *base)
{
    bus_redis_producer_t  *p;

    p = (bus_redis_producer_t *) base;

    return svc_redis_is_up(p->bus.r) && p->bus.ready;
}


/* What waits has not been sent. */
void
bus_redis_producer_down(bus_producer_t *base)
{
    bus_item_t            *item;
    bus_redis_producer_t  *p;

    p = (bus_redis_producer_t *) base;

    while ((item = p->waiting) != NULL) {
        bus_redis_shift(p);
        bus_item_fail(&p->items, item);
    }
}


int
bus_redis_producer_healthy(bus_producer_t *base)
{
    bus_redis_producer_t  *p;

    p = (bus_redis_producer_t *) base;

    return bus_redis_producer_reaches(base) && p->backoff == 0;
}


void
bus_redis_producer_free(bus_producer_t *base)
{
    bus_redis_producer_t  *p;

    p = (bus_redis_producer_t *) base;

    p->freed = 1;

    /* answers to what was late already may still come */

    if (p->bus.asking) {
        p->calls++;
    }

    svc_redis_unwatch(p->bus.r, p->watch);
    event_del(p->flush);
    event_del(p->retry);

    if (p->calls == 0) {
        bus_redis_release(p);
    }
}
