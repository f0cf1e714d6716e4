/*
 * The Kafka bus: reading. Jobs share the partitions out by leases
 * (bus_kafka_lease.c), and a partition is added to what librdkafka reads when
 * it is known where it begins (bus_kafka_place.c).
 */

#include "bus_kafka_consumer.h"

#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_TICK          250         /* ms */
#define BUS_KAFKA_COMMIT        1000        /* ms */


bus_kafka_part_t *
bus_kafka_part(bus_kafka_consumer_t *c, int32_t n)
{
    return n >= 0 && (size_t) n < c->nparts ? &c->parts[n] : NULL;
}


int32_t
bus_kafka_number(bus_kafka_consumer_t *c, bus_kafka_part_t *part)
{
    return (int32_t) (part - c->parts);
}


/* Topics grow. */
static void
bus_kafka_parts(bus_kafka_consumer_t *c, size_t n)
{
    size_t             i;
    bus_kafka_part_t  *parts;

    if (n <= c->nparts) {
        return;
    }

    parts = realloc(c->parts, n * sizeof(bus_kafka_part_t));
    if (parts == NULL) {
        abort();
    }

    memset(parts + c->nparts, 0, (n - c->nparts) * sizeof(bus_kafka_part_t));

    for (i = c->nparts; i < n; i++) {
        parts[i].done = -1;
        parts[i].newest = -1;
        parts[i].committed = -1;
    }

    c->parts = parts;
    c->nparts = n;

    bus_kafka_renew(c);
}


/* ---- records ---- */

/*
 * Logs may not be what they were: where reading goes on is read once more.
 * Whether that is so of this partition, which `broker` has now.
 */
static int
bus_kafka_doubt(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int32_t broker)
{
    int  moved;

    moved = (part->broker != broker && part->broker != -1);
    part->broker = broker;

    if (bus_kafka_suspected(c)) {
        bus_kafka_recheck(c, NULL);

    } else if (moved) {
        bus_kafka_recheck(c, part);

    } else {
        return 0;
    }

    return part->mode != BUS_KAFKA_GOING;
}


static void
bus_kafka_fetched(bus_kafka_consumer_t *c, const rd_kafka_message_t *msg)
{
    const void          *from;
    bus_record_t         rec;
    bus_kafka_part_t    *part;
    rd_kafka_headers_t  *headers;

    if (msg->err) {
        log_seldom(&c->log, LOG_WARN, "kafka: %s", rd_kafka_message_errstr(
                   msg));
        return;
    }

    bus_kafka_asker_tell(c->asker, 1);

    part = bus_kafka_part(c, msg->partition);

    if (part == NULL || !part->owned
        || bus_kafka_doubt(c, part, rd_kafka_message_broker_id(msg))
        || !bus_kafka_take(c, part, msg))
    {
        return;                 /* in doubt: it comes again */
    }

    rec.partition = (uint32_t) msg->partition;
    goim_offset_set(&rec.offset, part->run, (uint64_t) msg->offset);
    rec.payload = msg->payload;
    rec.len = msg->payload != NULL ? msg->len : 0;
    rec.from = NULL;

    if (rd_kafka_message_headers(msg, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR
        && rd_kafka_header_get_last(headers, BUS_KAFKA_FROM, &from,
                                    &rec.from_len)
           == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        rec.from = from;
    }

    c->base.events.record(&c->base, &rec, c->base.events.data);
}


/* Where it was to be read there is nothing: the log is shorter, or Kafka has
 * removed what was behind the place. */
static void
bus_kafka_nowhere(bus_kafka_consumer_t *c, rd_kafka_event_t *ev)
{
    bus_kafka_part_t            *part;
    rd_kafka_topic_partition_t  *p;

    p = rd_kafka_event_topic_partition(ev);
    if (p == NULL) {
        return;
    }

    part = bus_kafka_part(c, p->partition);
    rd_kafka_topic_partition_destroy(p);

    if (part != NULL && part->owned && part->fetched) {
        bus_kafka_restart(c, part, 0);
    }
}


static void
bus_kafka_failed(bus_kafka_consumer_t *c, rd_kafka_event_t *ev)
{
    rd_kafka_resp_err_t  err;

    err = rd_kafka_event_error(ev);

    if (rd_kafka_event_error_is_fatal(ev)) {
        bus_kafka_client_again(c, rd_kafka_event_error_string(ev));
        return;
    }

    switch (err) {

    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        bus_kafka_nowhere(c, ev);
        return;

    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        bus_kafka_asker_tell(c->asker, 0);
        break;

    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:

        /* when it is there again it may be another one */

        bus_kafka_suspect();
        break;

    default:
        break;
    }

    log_seldom(&c->log, LOG_WARN, "kafka: %s",
               rd_kafka_event_error_string(ev));
}


void
bus_kafka_event(rd_kafka_event_t *ev, void *data)
{
    const rd_kafka_message_t  *msg;
    bus_kafka_consumer_t      *c;

    c = data;

    switch (rd_kafka_event_type(ev)) {

    case RD_KAFKA_EVENT_FETCH:
        while ((msg = rd_kafka_event_message_next(ev)) != NULL) {
            bus_kafka_fetched(c, msg);
        }

        break;

    case RD_KAFKA_EVENT_ERROR:
        bus_kafka_failed(c, ev);
        break;

    default:
        break;
    }

    rd_kafka_event_destroy(ev);
}


/* ---- time and Redis ---- */

static void
bus_kafka_on_tick(evutil_socket_t fd, short what, void *data)
{
    int64_t                now;
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    now = svc_now();

    svc_timer(c->tick, BUS_KAFKA_TICK);

    if (c->rk == NULL) {
        return;
    }

    if (bus_kafka_epoch_known(c) == 0) {
        bus_kafka_parts(c, bus_kafka_asker_partitions(c->asker));
    }

    if (now >= c->commit_at) {
        c->commit_at = now + BUS_KAFKA_COMMIT;
        bus_kafka_commit(c);
        bus_kafka_look(c);
    }

    /* whether or not it has woken us */

    bus_kafka_queue_poll(&c->queue);
}


static void
bus_kafka_up(svc_redis_t *r, void *data)
{
    (void) r;

    bus_kafka_renew(data);
}


static void
bus_kafka_down(svc_redis_t *r, void *data)
{
    (void) r;

    lease_pause(((bus_kafka_consumer_t *) data)->lease);
}


/* ---- the interface ---- */

bus_consumer_t *
bus_kafka_consumer_new(struct event_base *base, const bus_conf_t *conf,
    svc_redis_t *r, const bus_consumer_events_t *events, char *err,
    size_t size)
{
    svc_redis_events_t     watch;
    bus_kafka_consumer_t  *c;

    c = calloc(1, sizeof(bus_kafka_consumer_t));
    if (c == NULL) {
        abort();
    }

    c->base.events = *events;
    c->loop = base;
    c->conf = conf;
    c->r = r;
    c->went_back = metrics_counter("goim_bus_logs_back_total", NULL,
        "Logs of partitions that went back: other records stand where some "
        "had been done.");
    c->removed = metrics_counter("goim_bus_removed_total", NULL,
        "Records that the bus removed before they were taken.");

    bus_kafka_place_init(c);
    bus_kafka_client_init(c);
    bus_kafka_lease_init(c);
    bus_kafka_done_init(c);

    if (bus_kafka_client_open(c, err, size) != 0) {
        event_free(c->again);
        event_free(c->step);
        done_free(c->done);
        lease_free(c->lease);
        free(c);
        return NULL;
    }

    c->tick = evtimer_new(base, bus_kafka_on_tick, c);

    if (c->tick == NULL) {
        abort();
    }

    svc_timer(c->tick, 0);

    watch.up = bus_kafka_up;
    watch.down = bus_kafka_down;
    watch.data = c;
    c->watch = svc_redis_watch(r, &watch);

    return &c->base;
}


const uint8_t *
bus_kafka_consumer_epoch(bus_consumer_t *base, size_t *len)
{
    *len = BUS_EPOCH_LEN;

    return ((bus_kafka_consumer_t *) base)->epoch;
}


/*
 * librdkafka drops what it had fetched ahead, and goes on from there.
 */
static void
bus_kafka_hold(bus_kafka_consumer_t *c, int hold)
{
    size_t                            i;
    rd_kafka_topic_partition_list_t  *list;

    if (c->paused == hold) {
        return;
    }

    c->paused = hold;
    list = rd_kafka_topic_partition_list_new(8);

    for (i = 0; i < c->nparts; i++) {
        if (c->parts[i].fetched) {
            rd_kafka_topic_partition_list_add(list, c->conf->topic,
                                              (int32_t) i);
        }
    }

    if (list->cnt > 0 && hold) {
        rd_kafka_pause_partitions(c->rk, list);

    } else if (list->cnt > 0) {
        rd_kafka_resume_partitions(c->rk, list);
    }

    rd_kafka_topic_partition_list_destroy(list);
}


void
bus_kafka_pause(bus_consumer_t *base)
{
    bus_kafka_hold((bus_kafka_consumer_t *) base, 1);
}


void
bus_kafka_resume(bus_consumer_t *base)
{
    bus_kafka_hold((bus_kafka_consumer_t *) base, 0);
}


int64_t
bus_kafka_consumer_lag(bus_consumer_t *base)
{
    size_t                 i;
    int64_t                lag, low, high, from;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    lag = 0;

    for (i = 0; i < c->nparts; i++) {

        if (!c->parts[i].owned || c->rk == NULL
            || rd_kafka_get_watermark_offsets(c->rk, c->conf->topic,
                                              (int32_t) i, &low, &high)
               != RD_KAFKA_RESP_ERR_NO_ERROR
            || high < 0)
        {
            continue;
        }

        from = c->parts[i].done + 1;

        if (from < low) {
            from = low;
        }

        lag += high > from ? high - from : 0;
    }

    return lag;
}


uint32_t
bus_kafka_consumer_owned(bus_consumer_t *base)
{
    return ((bus_kafka_consumer_t *) base)->owned;
}


int
bus_kafka_consumer_healthy(bus_consumer_t *base)
{
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;

    return c->rk != NULL && bus_kafka_asker_alive(c->asker);
}
