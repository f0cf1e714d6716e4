/*
 * The Kafka bus: writing. Idempotent, acknowledged by all replicas.
 */

#include "bus_kafka_producer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_TIMEOUT   5000        /* ms, when nobody says */


static int bus_kafka_open(bus_kafka_producer_t *p, char *err, size_t size);
static void bus_kafka_close(bus_kafka_producer_t *p);


/* ---- events ---- */

static void
bus_kafka_report(bus_kafka_producer_t *p, const rd_kafka_message_t *msg)
{
    bus_item_t    *item;
    bus_result_t   result;

    static log_once_t  failed;

    item = msg->_private;

    if (msg->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result = BUS_OK;
        bus_kafka_asker_tell(p->asker, 1);

    } else {
        metrics_add(p->refused, 1);
        log_seldom(&failed, LOG_ERROR, "bus: not written to %s: %s",
                   p->conf->topic, rd_kafka_err2str(msg->err));

        result = rd_kafka_message_status(msg)
                 == RD_KAFKA_MSG_STATUS_NOT_PERSISTED
                 ? BUS_FAILED : BUS_UNKNOWN;
    }

    bus_item_answer(&p->items, item, result);
    free(item);
}


static void
bus_kafka_error(bus_kafka_producer_t *p, rd_kafka_event_t *ev)
{
    char  text[512];

    static log_once_t  errors;

    if (rd_kafka_event_error_is_fatal(ev)) {
        rd_kafka_fatal_error(p->rk, text, sizeof(text));
        log_write(LOG_ERROR, "kafka: the producer cannot go on and is made "
                  "anew: %s", text);

        p->fatal = 1;
        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE
                              | RD_KAFKA_PURGE_F_INFLIGHT
                              | RD_KAFKA_PURGE_F_NON_BLOCKING);
        svc_timer(p->again, 0);
        return;
    }

    if (rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        bus_kafka_asker_tell(p->asker, 0);
    }

    log_seldom(&errors, LOG_WARN, "kafka: %s",
               rd_kafka_event_error_string(ev));
}


static void
bus_kafka_produced(rd_kafka_event_t *ev, void *data)
{
    const rd_kafka_message_t  *msg;
    bus_kafka_producer_t      *p;

    p = data;

    switch (rd_kafka_event_type(ev)) {

    case RD_KAFKA_EVENT_DR:
        while ((msg = rd_kafka_event_message_next(ev)) != NULL) {
            bus_kafka_report(p, msg);
        }

        break;

    case RD_KAFKA_EVENT_ERROR:
        bus_kafka_error(p, ev);
        break;

    default:
        break;
    }

    rd_kafka_event_destroy(ev);
}


/*
 * After a fatal error: when everything has been reported, begin anew. The old
 * client ends in a thread of its own, as that may take long.
 */
static void
bus_kafka_again(evutil_socket_t fd, short what, void *data)
{
    char                   err[512];
    bus_kafka_producer_t  *p;

    (void) fd;
    (void) what;

    p = data;

    if (p->rk != NULL && rd_kafka_outq_len(p->rk) > 0) {
        svc_timer(p->again, 50);
        return;
    }

    if (p->rk != NULL) {
        bus_kafka_queue_done(&p->queue);
        bus_kafka_asker_reap(p->asker);
        p->rk = NULL;
    }

    if (bus_kafka_open(p, err, sizeof(err)) != 0) {
        log_write(LOG_ERROR, "kafka: %s", err);
        svc_timer(p->again, 1000);
        return;
    }

    p->fatal = 0;
}


/* Answered by time; librdkafka's report will end the item. */
static void
bus_kafka_late(bus_item_t *item, void *data)
{
    (void) item;
    (void) data;
}


/* ---- the interface ---- */

/*
 * librdkafka looks for messages whose time is up once a second. Its time is
 * less than ours by that much, so that it can say what was never sent.
 */
static rd_kafka_topic_t *
bus_kafka_topic(bus_kafka_producer_t *p, rd_kafka_t *rk, char *err,
    size_t size)
{
    char                    ms[24];
    int64_t                 timeout;
    rd_kafka_topic_t       *topic;
    rd_kafka_topic_conf_t  *tc;

    timeout = p->conf->timeout > 0 ? p->conf->timeout : BUS_KAFKA_TIMEOUT;
    timeout = timeout > 1650 ? timeout - 1100 : (timeout + 2) / 3;

    /* a copy, so that topic properties of [kafka] count */

    tc = rd_kafka_default_topic_conf_dup(rk);
    snprintf(ms, sizeof(ms), "%lld", (long long) timeout);

    if (rd_kafka_topic_conf_set(tc, "message.timeout.ms", ms, err, size)
        != RD_KAFKA_CONF_OK)
    {
        rd_kafka_topic_conf_destroy(tc);
        return NULL;
    }

    topic = rd_kafka_topic_new(rk, p->conf->topic, tc);

    if (topic == NULL) {
        snprintf(err, size, "[bus] topic = \"%.64s\": %s", p->conf->topic,
                 rd_kafka_err2str(rd_kafka_last_error()));
    }

    return topic;
}


static int
bus_kafka_open(bus_kafka_producer_t *p, char *err, size_t size)
{
    rd_kafka_t        *rk;
    rd_kafka_conf_t   *kc;
    rd_kafka_topic_t  *topic;

    p->rk = NULL;

    kc = bus_kafka_conf(p->conf, RD_KAFKA_PRODUCER, err, size);
    if (kc == NULL) {
        return -1;
    }

    rd_kafka_conf_set_events(kc, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);

    rk = rd_kafka_new(RD_KAFKA_PRODUCER, kc, err, size);
    if (rk == NULL) {
        rd_kafka_conf_destroy(kc);
        return -1;
    }

    topic = bus_kafka_topic(p, rk, err, size);

    if (topic == NULL) {
        rd_kafka_destroy(rk);
        return -1;
    }

    p->topic = topic;

    if (bus_kafka_queue_init(&p->queue, p->loop, rd_kafka_queue_get_main(rk),
                             bus_kafka_produced, p) != 0
        || (p->asker = bus_kafka_asker_new(rk, topic, 1)) == NULL)
    {
        snprintf(err, size, "out of threads or descriptors");
        rd_kafka_topic_destroy(topic);
        rd_kafka_destroy(rk);
        return -1;
    }

    p->rk = rk;

    return 0;
}


static void
bus_kafka_close(bus_kafka_producer_t *p)
{
    bus_kafka_queue_done(&p->queue);
    bus_kafka_asker_destroy(p->asker);

    p->rk = NULL;
}


bus_producer_t *
bus_kafka_producer_new(struct event_base *base, const bus_conf_t *conf,
    svc_redis_t *r, char *err, size_t size)
{
    bus_kafka_producer_t  *p;

    (void) r;

    p = calloc(1, sizeof(bus_kafka_producer_t));
    if (p == NULL) {
        abort();
    }

    p->loop = base;
    p->conf = conf;

    if (bus_kafka_open(p, err, size) != 0) {
        free(p);
        return NULL;
    }

    p->refused = metrics_counter("goim_bus_refused_total", NULL,
        "Refusals of the bus.");
    bus_items_init(&p->items, base, bus_kafka_late, p);
    p->again = evtimer_new(base, bus_kafka_again, p);

    if (p->again == NULL) {
        abort();
    }

    return &p->base;
}


uint32_t
bus_kafka_producer_partitions(bus_producer_t *base)
{
    bus_kafka_producer_t  *p;

    p = (bus_kafka_producer_t *) base;

    return p->rk != NULL
           ? bus_kafka_asker_partitions(p->asker) : 0;
}


static void
bus_kafka_header(rd_kafka_headers_t *headers, const char *name,
    const char *value)
{
    if (rd_kafka_header_add(headers, name, -1, value, -1)
        != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        abort();
    }
}


/* The payload is goim's, byte for byte: what is ours goes into headers. */

static rd_kafka_headers_t *
bus_kafka_headers(const bus_message_t *m)
{
    const char *const   *h;
    rd_kafka_headers_t  *headers;

    headers = rd_kafka_headers_new(4);

    if (m->from[0] != '\0') {
        bus_kafka_header(headers, BUS_KAFKA_FROM, m->from);
    }

    for (h = m->headers; h != NULL && *h != NULL; h += 2) {
        bus_kafka_header(headers, h[0], h[1]);
    }

    return headers;
}


/* Nothing goes to a partition that is not there. */

static int32_t
bus_kafka_partition(bus_kafka_producer_t *p, const bus_message_t *m)
{
    if (m->of == 0 || m->of > bus_kafka_asker_partitions(p->asker)) {
        return RD_KAFKA_PARTITION_UA;
    }

    return (int32_t) goim_partition(m->key, m->key_len, m->of);
}


void
bus_kafka_produce(bus_producer_t *base, const bus_message_t *m)
{
    bus_item_t            *item;
    rd_kafka_headers_t    *headers;
    rd_kafka_resp_err_t    err;
    bus_kafka_producer_t  *p;

    static log_once_t  refused;

    p = (bus_kafka_producer_t *) base;

    item = bus_item_new(&p->items, m);
    if (item == NULL) {
        return;
    }

    if (p->fatal || p->rk == NULL) {
        bus_item_fail(&p->items, item);
        return;
    }

    headers = bus_kafka_headers(m);

    /* the item holds the bytes until it is reported: no copy */

    err = rd_kafka_producev(p->rk, RD_KAFKA_V_RKT(p->topic),
                            RD_KAFKA_V_PARTITION(bus_kafka_partition(p, m)),
                            RD_KAFKA_V_VALUE(item->bytes + m->key_len, m->len),
                            RD_KAFKA_V_KEY(item->bytes, m->key_len),
                            RD_KAFKA_V_OPAQUE(item),
                            RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);

    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_headers_destroy(headers);
        metrics_add(p->refused, 1);
        log_seldom(&refused, LOG_ERROR, "bus: not written to %s: %s",
                   p->conf->topic, rd_kafka_err2str(err));

        bus_item_fail(&p->items, item);
        return;
    }

    item->sent = 1;
}


int
bus_kafka_producer_healthy(bus_producer_t *base)
{
    bus_kafka_producer_t  *p;

    p = (bus_kafka_producer_t *) base;

    return !p->fatal && p->rk != NULL
           && bus_kafka_asker_alive(p->asker);
}


void
bus_kafka_producer_free(bus_producer_t *base)
{
    int                    n;
    rd_kafka_event_t      *ev;
    bus_kafka_producer_t  *p;

    p = (bus_kafka_producer_t *) base;

    if (p->rk != NULL) {

        /* reports of what was answered by time before */

        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE
                              | RD_KAFKA_PURGE_F_INFLIGHT);

        for (n = 0; n < 1000 && rd_kafka_outq_len(p->rk) > 0; n++) {
            ev = rd_kafka_queue_poll(p->queue.queue, 10);

            if (ev != NULL) {
                bus_kafka_produced(ev, p);
            }
        }

        bus_kafka_close(p);
    }

    bus_items_done(&p->items);
    event_free(p->again);
    free(p);
}
