/*
 * The bus: which driver, and what the drivers have in common.
 */

#include "bus_int.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/goim_hash.h"

#define BUS_DOWN_TICK   100         /* ms */
#define BUS_DOWN_AFTER  1000        /* ms */


static const bus_driver_t *bus_drivers[] = {
    &bus_redis_driver, &bus_kafka_driver, NULL
};

const char *const  bus_names[] = { "redis", "kafka", NULL };


static const bus_driver_t *
bus_driver(const bus_conf_t *conf, char *err, size_t size)
{
    int  i;

    for (i = 0; bus_drivers[i] != NULL; i++) {
        if (strcmp(bus_drivers[i]->name, conf->driver) == 0) {
            return bus_drivers[i];
        }
    }

    snprintf(err, size, "[bus] driver = \"%.64s\" is none of redis, kafka",
             conf->driver);

    return NULL;
}


int
bus_check(const bus_conf_t *conf, char *err, size_t size)
{
    const bus_driver_t  *driver;

    driver = bus_driver(conf, err, size);

    if (driver == NULL) {
        return -1;
    }

    return driver->check != NULL ? driver->check(conf, err, size) : 0;
}


int
bus_topics(const bus_conf_t *conf)
{
    char                 err[256];
    const bus_driver_t  *driver;

    driver = bus_driver(conf, err, sizeof(err));

    return driver != NULL && driver->topics;
}


/* ---- producer ---- */

static void
bus_producer_tick(evutil_socket_t fd, short what, void *data)
{
    bus_producer_t  *p = data;

    (void) fd;
    (void) what;

    if (p->driver->producer_reaches(p)) {
        p->away = 0;
        p->down = 0;
        return;
    }

    if (p->away == 0) {
        p->away = svc_now();
        return;
    }

    if (!p->down && svc_now() - p->away >= BUS_DOWN_AFTER) {
        p->down = 1;

        if (p->driver->producer_down != NULL) {
            p->driver->producer_down(p);
        }
    }
}


int
bus_producer_down(bus_producer_t *p)
{
    return p->down && !p->driver->producer_reaches(p);
}


bus_producer_t *
bus_producer_new(struct event_base *base, const bus_conf_t *conf,
    svc_redis_t *r, char *err, size_t size)
{
    struct timeval       tv;
    bus_producer_t      *p;
    const bus_driver_t  *driver;

    driver = bus_driver(conf, err, size);
    if (driver == NULL) {
        return NULL;
    }

    p = driver->producer_new(base, conf, r, err, size);

    if (p == NULL) {
        return NULL;
    }

    p->driver = driver;
    p->tick = event_new(base, -1, EV_PERSIST, bus_producer_tick, p);

    tv.tv_sec = 0;
    tv.tv_usec = BUS_DOWN_TICK * 1000;

    if (p->tick == NULL || event_add(p->tick, &tv) != 0) {
        abort();
    }

    return p;
}


uint32_t
bus_producer_partitions(bus_producer_t *p)
{
    return p->driver->producer_partitions(p);
}


void
bus_produce(bus_producer_t *p, const bus_message_t *m)
{
    p->driver->produce(p, m);
}


int
bus_producer_healthy(bus_producer_t *p)
{
    return p->driver->producer_healthy(p);
}


void
bus_producer_free(bus_producer_t *p)
{
    event_free(p->tick);
    p->driver->producer_free(p);
}


/* ---- consumer ---- */

bus_consumer_t *
bus_consumer_new(struct event_base *base, const bus_conf_t *conf,
    svc_redis_t *r, const bus_consumer_events_t *events, char *err,
    size_t size)
{
    bus_consumer_t      *c;
    const bus_driver_t  *driver;

    driver = bus_driver(conf, err, size);
    if (driver == NULL) {
        return NULL;
    }

    c = driver->consumer_new(base, conf, r, events, err, size);

    if (c != NULL) {
        c->driver = driver;
    }

    return c;
}


const uint8_t *
bus_consumer_epoch(bus_consumer_t *c, size_t *len)
{
    return c->driver->consumer_epoch(c, len);
}


int
bus_consumer_holds(bus_consumer_t *c, uint32_t partition)
{
    return c->driver->consumer_holds(c, partition);
}


int
bus_consumer_names(bus_consumer_t *c, uint32_t partition, bus_names_t *names)
{
    return c->driver->consumer_names(c, partition, names);
}


int
bus_consumer_back(bus_consumer_t *c, uint32_t partition,
    goim_offset_t *place, int64_t *missing)
{
    return c->driver->back(c, partition, place, missing);
}


void
bus_done(bus_consumer_t *c, uint32_t partition, const goim_offset_t *offset)
{
    c->driver->done(c, partition, offset);
}


void
bus_pause(bus_consumer_t *c)
{
    c->driver->pause(c);
}


void
bus_resume(bus_consumer_t *c)
{
    c->driver->resume(c);
}


int64_t
bus_consumer_lag(bus_consumer_t *c)
{
    return c->driver->consumer_lag(c);
}


uint32_t
bus_consumer_owned(bus_consumer_t *c)
{
    return c->driver->consumer_owned(c);
}


uint32_t
bus_consumer_stuck(bus_consumer_t *c)
{
    return c->driver->consumer_stuck(c);
}


int
bus_consumer_healthy(bus_consumer_t *c)
{
    return c->driver->consumer_healthy(c);
}


void
bus_consumer_free(bus_consumer_t *c, void (*freed)(void *data), void *data)
{
    c->driver->consumer_free(c, freed, data);
}


/* ---- records on their way ---- */

static void
bus_items_expect(bus_items_t *items)
{
    if (items->first != NULL
        && !event_pending(items->timer, EV_TIMEOUT, NULL))
    {
        svc_timer(items->timer, items->first->deadline - svc_now());
    }
}


static void
bus_items_unlink(bus_items_t *items, bus_item_t *item)
{
    *item->prev = item->next;

    if (item->next != NULL) {
        item->next->prev = item->prev;

    } else {
        items->last = item->prev;
    }
}


void
bus_item_answer(bus_items_t *items, bus_item_t *item, bus_result_t result)
{
    bus_produced_pt  cb;

    cb = item->cb;

    if (cb == NULL) {
        return;
    }

    item->cb = NULL;
    bus_items_unlink(items, item);
    items->n--;
    items->bytes -= item->key_len + item->len;

    cb(result, item->data);
}


static void
bus_items_timer(evutil_socket_t fd, short what, void *data)
{
    int64_t       now;
    bus_item_t   *item;
    bus_items_t  *items;

    (void) fd;
    (void) what;

    items = data;
    now = svc_now();

    while (items->first != NULL && items->first->deadline <= now) {
        item = items->first;
        bus_item_answer(items, item, item->sent ? BUS_UNKNOWN : BUS_FAILED);
        items->late(item, items->data);
    }

    bus_items_expect(items);
}


static void
bus_items_fail(evutil_socket_t fd, short what, void *data)
{
    bus_item_t   *item;
    bus_items_t  *items;

    (void) fd;
    (void) what;

    items = data;

    while (items->failed != NULL) {
        item = items->failed;
        items->failed = item->queue;

        if (items->failed == NULL) {
            items->failed_last = &items->failed;
        }

        if (item->cb != NULL) {
            item->cb(BUS_FAILED, item->data);
        }

        free(item);
    }
}


void
bus_item_fail(bus_items_t *items, bus_item_t *item)
{
    if (item->cb != NULL) {
        bus_items_unlink(items, item);
        items->n--;
        items->bytes -= item->key_len + item->len;
    }

    item->queue = NULL;
    *items->failed_last = item;
    items->failed_last = &item->queue;

    event_active(items->fail, EV_TIMEOUT, 0);
}


void
bus_items_init(bus_items_t *items, struct event_base *base,
    void (*late)(bus_item_t *item, void *data), void *data)
{
    memset(items, 0, sizeof(*items));

    items->base = base;
    items->last = &items->first;
    items->failed_last = &items->failed;
    items->late = late;
    items->data = data;
    items->timer = evtimer_new(base, bus_items_timer, items);
    items->fail = evtimer_new(base, bus_items_fail, items);

    if (items->timer == NULL || items->fail == NULL) {
        abort();
    }
}


void
bus_items_done(bus_items_t *items)
{
    event_free(items->timer);
    event_free(items->fail);
}


bus_item_t *
bus_item_new(bus_items_t *items, const bus_message_t *m)
{
    int           full;
    size_t        n;
    bus_item_t   *item, **place, *before;

    n = m->key_len + m->len;
    full = (items->n >= BUS_ITEMS_MAX || items->bytes + n > BUS_BYTES_MAX);

    item = malloc(sizeof(bus_item_t) + (full ? 0 : n));
    if (item == NULL) {
        abort();
    }

    memset(item, 0, sizeof(bus_item_t));
    item->cb = m->cb;
    item->data = m->data;

    if (!full) {
        item->key_len = m->key_len;
        item->len = m->len;
        memcpy(item->bytes, m->key, m->key_len);
        m->pack(m->what, item->bytes + m->key_len);
    }

    item->deadline = svc_now() + m->timeout;
    items->n++;
    items->bytes += item->key_len + item->len;

    /* by deadline; as timeouts are mostly alike, mostly at the end */

    place = items->last;

    while (place != &items->first) {
        before = (bus_item_t *) ((char *) place
                                 - offsetof(bus_item_t, next));

        if (before->deadline <= item->deadline) {
            break;
        }

        place = before->prev;
    }

    item->next = *place;
    item->prev = place;
    *place = item;

    if (item->next != NULL) {
        item->next->prev = &item->next;

    } else {
        items->last = &item->next;
    }

    if (full) {
        bus_item_fail(items, item);
        return NULL;
    }

    if (items->first == item) {
        svc_timer(items->timer, m->timeout);

    } else {
        bus_items_expect(items);
    }

    return item;
}


/* ---- epochs ---- */

/* Not against an adversary: two FNV-1a hashes with different beginnings. */
void
bus_epoch(uint8_t epoch[BUS_EPOCH_LEN], const char *text)
{
    int       i;
    uint64_t  a, b;

    a = goim_fnv1a_64(GOIM_FNV64, text, strlen(text));
    b = goim_fnv1a_64(GOIM_FNV64 ^ 0x9e3779b97f4a7c15ull, text, strlen(text));

    for (i = 7; i >= 0; i--) {
        epoch[i] = (uint8_t) a;
        epoch[8 + i] = (uint8_t) b;
        a >>= 8;
        b >>= 8;
    }
}


void
bus_hex(char *out, const uint8_t *bytes, size_t n)
{
    size_t  i;

    static const char  digits[] = "0123456789abcdef";

    for (i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }

    *out = '\0';
}


void
bus_job_name(char *name, size_t size)
{
    char     host[65], hex[17], *p;
    uint8_t  bytes[8];

    if (gethostname(host, sizeof(host)) != 0) {
        strcpy(host, "host");
    }

    host[sizeof(host) - 1] = '\0';

    for (p = host; *p != '\0'; p++) {
        if (*p <= ' ' || *p == '/') {
            *p = '_';
        }
    }

    evutil_secure_rng_get_bytes(bytes, sizeof(bytes));
    bus_hex(hex, bytes, sizeof(bytes));

    snprintf(name, size, "%s/%d/%s", host, (int) getpid(), hex);
}
