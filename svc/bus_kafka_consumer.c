/*
 * The Kafka bus: reading. The group says whose a partition is; where to begin
 * comes from Redis (bus_kafka_place.c), so an assignment takes effect only
 * when that is known.
 */

#include "bus_kafka_consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define BUS_KAFKA_PARTS_MAX     65536
#define BUS_KAFKA_TICK          500         /* ms */
#define BUS_KAFKA_END           5000        /* ms: leave without a goodbye */
#define BUS_KAFKA_DESTROY       3           /* s: for the client to end */


bus_kafka_part_t *
bus_kafka_part(bus_kafka_consumer_t *c, int32_t n)
{
    return n >= 0 && (size_t) n < c->nparts ? &c->parts[n] : NULL;
}


/* Room for the partitions of an assignment. */
static void
bus_kafka_parts(bus_kafka_consumer_t *c,
    const rd_kafka_topic_partition_list_t *list)
{
    int                i;
    size_t             n;
    bus_kafka_part_t  *parts;

    n = c->nparts;

    for (i = 0; i < list->cnt; i++) {
        if (list->elems[i].partition < BUS_KAFKA_PARTS_MAX
            && (size_t) list->elems[i].partition >= n)
        {
            n = (size_t) list->elems[i].partition + 1;
        }
    }

    if (n == c->nparts) {
        return;
    }

    parts = realloc(c->parts, n * sizeof(bus_kafka_part_t));
    if (parts == NULL) {
        abort();
    }

    memset(parts + c->nparts, 0, (n - c->nparts) * sizeof(bus_kafka_part_t));
    c->parts = parts;
    c->nparts = n;
}


static void
bus_kafka_revoke_all(bus_kafka_consumer_t *c)
{
    size_t  i;

    for (i = 0; i < c->nparts; i++) {

        if (!c->parts[i].active) {
            continue;
        }

        c->parts[i].active = 0;
        c->owned--;

        c->base.events.revoked(&c->base, (uint32_t) i, c->base.events.data);
    }
}


/* What is known of the places does not hold any more. */
void
bus_kafka_lose_all(bus_kafka_consumer_t *c, const char *why)
{
    size_t  i;

    if (c->owned > 0) {
        metrics_add(c->lost, c->owned);
        log_seldom(&c->log, LOG_WARN, "bus: %u partitions begin anew: %s",
                   c->owned, why);
    }

    for (i = 0; i < c->nparts; i++) {
        c->parts[i].dirty = 0;
    }

    bus_kafka_revoke_all(c);
}


/* ---- the group ---- */

static void
bus_kafka_assigned(bus_kafka_consumer_t *c,
    const rd_kafka_topic_partition_list_t *list)
{
    if (c->list != NULL) {
        rd_kafka_topic_partition_list_destroy(c->list);
    }

    c->list = rd_kafka_topic_partition_list_copy(list);
    c->leaving = 0;

    bus_kafka_parts(c, list);
    bus_kafka_begin(c, 0);
}


/* The partitions go back to the group. */
void
bus_kafka_unassign(bus_kafka_consumer_t *c)
{
    if (!c->leaving) {
        return;
    }

    c->leaving = 0;

    if (!rd_kafka_assignment_lost(c->rk)) {
        bus_kafka_commit(c);
    }

    rd_kafka_assign(c->rk, NULL);
}


/*
 * revoked() first, so that nothing more is sent for them. They are given back
 * only when Redis has answered everything that was sent before: whoever gets
 * them finds their places, and no effect of ours comes after its own.
 */
static void
bus_kafka_revoked(bus_kafka_consumer_t *c)
{
    bus_kafka_cancel(c);
    bus_kafka_revoke_all(c);

    if (c->list != NULL) {
        rd_kafka_topic_partition_list_destroy(c->list);
        c->list = NULL;
    }

    c->leaving = 1;

    if (bus_kafka_save(c, 1) != 0) {
        bus_kafka_unassign(c);
    }
}


static void
bus_kafka_rebalance(bus_kafka_consumer_t *c, rd_kafka_event_t *ev)
{
    switch (rd_kafka_event_error(ev)) {

    case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:

        if (c->ending) {
            rd_kafka_assign(c->rk, NULL);
            return;
        }

        bus_kafka_assigned(c, rd_kafka_event_topic_partition_list(ev));
        return;

    case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
        bus_kafka_revoked(c);
        return;

    default:
        log_seldom(&c->log, LOG_ERROR, "kafka: rebalance: %s",
                   rd_kafka_event_error_string(ev));
        bus_kafka_revoked(c);
    }
}


/* ---- records ---- */

static void
bus_kafka_fetched(bus_kafka_consumer_t *c, const rd_kafka_message_t *msg)
{
    bus_record_t       rec;
    bus_kafka_part_t  *part;

    if (msg->err) {
        log_seldom(&c->log, LOG_WARN, "kafka: %s", rd_kafka_message_errstr(
                   msg));
        return;
    }

    bus_kafka_asker_tell(&c->asker, 1);

    part = bus_kafka_part(c, msg->partition);

    if (part == NULL || !part->active || msg->offset <= part->done) {
        return;
    }

    rec.partition = (uint32_t) msg->partition;
    goim_offset_set(&rec.offset, 0, (uint64_t) msg->offset);
    rec.payload = msg->payload;
    rec.len = msg->payload != NULL ? msg->len : 0;

    c->base.events.record(&c->base, &rec, c->base.events.data);
}


static void
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

    case RD_KAFKA_EVENT_REBALANCE:
        bus_kafka_rebalance(c, ev);
        break;

    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        if (rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR
            && rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR__NO_OFFSET)
        {
            log_seldom(&c->log, LOG_WARN, "kafka: commit: %s",
                       rd_kafka_event_error_string(ev));
        }

        break;

    case RD_KAFKA_EVENT_ERROR:
        if (rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
            bus_kafka_asker_tell(&c->asker, 0);
        }

        log_seldom(&c->log, LOG_WARN, "kafka: %s",
                   rd_kafka_event_error_string(ev));
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

    /*
     * Stopped for so long that the group may have given the partitions to
     * another; librdkafka learns that with its next heartbeat.
     */

    if (now - c->ticked > c->session * 3 / 4) {
        bus_kafka_lose_all(c, "this process stood still");

        if (c->list != NULL && !c->leaving) {
            bus_kafka_begin(c, c->session / 2);
        }
    }

    c->ticked = now;

    bus_kafka_commit(c);
    bus_kafka_check_epoch(c);
}


static void
bus_kafka_up(svc_redis_t *r, void *data)
{
    bus_kafka_consumer_t  *c;

    c = data;

    if (c->life != 0 && c->life != svc_redis_life(r)) {
        bus_kafka_lose_all(c, "Redis is another one");
        c->life = 0;

        if (c->list != NULL && !c->leaving) {
            bus_kafka_begin(c, 0);
        }

        return;
    }

    bus_kafka_save(c, 0);
}


/* ---- the interface ---- */

static int
bus_kafka_subscribe(bus_kafka_consumer_t *c, char *err, size_t size)
{
    rd_kafka_resp_err_t               rc;
    rd_kafka_topic_partition_list_t  *topics;

    topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, c->conf->topic,
                                      RD_KAFKA_PARTITION_UA);

    rc = rd_kafka_subscribe(c->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);

    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        snprintf(err, size, "[bus] topic = \"%.64s\": %s", c->conf->topic,
                 rd_kafka_err2str(rc));
        return -1;
    }

    return 0;
}


static int
bus_kafka_consumer_open(bus_kafka_consumer_t *c, char *err, size_t size)
{
    rd_kafka_conf_t  *kc;

    kc = bus_kafka_conf(c->conf, RD_KAFKA_CONSUMER, err, size);
    if (kc == NULL) {
        return -1;
    }

    rd_kafka_conf_set_events(kc, RD_KAFKA_EVENT_FETCH
                                 | RD_KAFKA_EVENT_REBALANCE
                                 | RD_KAFKA_EVENT_OFFSET_COMMIT
                                 | RD_KAFKA_EVENT_ERROR);

    c->session = bus_kafka_conf_int(kc, "session.timeout.ms");

    c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, kc, err, size);
    if (c->rk == NULL) {
        rd_kafka_conf_destroy(kc);
        return -1;
    }

    rd_kafka_poll_set_consumer(c->rk);

    if (bus_kafka_queue_init(&c->queue, c->loop,
                             rd_kafka_queue_get_consumer(c->rk),
                             bus_kafka_event, c) != 0)
    {
        snprintf(err, size, "out of descriptors");
        rd_kafka_destroy(c->rk);
        return -1;
    }

    if (bus_kafka_subscribe(c, err, size) != 0) {
        goto failed;
    }

    if (bus_kafka_asker_start(&c->asker, c->rk, NULL) != 0) {
        snprintf(err, size, "out of threads");
        goto failed;
    }

    return 0;

failed:

    bus_kafka_queue_done(&c->queue);
    rd_kafka_destroy(c->rk);

    return -1;
}


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
    c->ticked = svc_now();
    c->lost = metrics_counter("goim_bus_partitions_lost_total", NULL,
        "Partitions that were lost without having been given up.");

    if (bus_kafka_place_init(c, err, size) != 0) {
        free(c);
        return NULL;
    }

    bus_kafka_save_init(c);

    if (bus_kafka_consumer_open(c, err, size) != 0) {
        event_free(c->save);
        bus_kafka_place_done(c);
        free(c);
        return NULL;
    }

    c->tick = evtimer_new(base, bus_kafka_on_tick, c);

    if (c->tick == NULL) {
        abort();
    }

    svc_timer(c->tick, BUS_KAFKA_TICK);

    watch.up = bus_kafka_up;
    watch.down = NULL;
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


int
bus_kafka_consumer_holds(bus_consumer_t *base, uint32_t partition)
{
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    part = bus_kafka_part(c, (int32_t) partition);

    return part != NULL && part->active
           && svc_now() - c->ticked <= c->session * 3 / 4;
}


/*
 * librdkafka drops what it had fetched ahead, and goes on from there: the
 * queue is polled all the time, so the group sees a living member.
 */
void
bus_kafka_pause(bus_consumer_t *base)
{
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;

    if (!c->paused && c->list != NULL) {
        rd_kafka_pause_partitions(c->rk, c->list);
    }

    c->paused = 1;
}


void
bus_kafka_resume(bus_consumer_t *base)
{
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;

    if (c->paused && c->list != NULL) {
        rd_kafka_resume_partitions(c->rk, c->list);
    }

    c->paused = 0;
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

        if (!c->parts[i].active
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
    return bus_kafka_asker_alive(&((bus_kafka_consumer_t *) base)->asker);
}


/* ---- the end ---- */

static void *
bus_kafka_destroy(void *rk)
{
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);

    return NULL;
}


/*
 * librdkafka 2.0.2 may wait for ever here: the answer to an offset query that
 * arrives for a partition just given up starts a timer, and a broker's thread
 * then never ends. We begin at offsets that are there, so that it has nothing
 * to ask; but it does by itself when Kafka removes what it was about to
 * fetch. All is saved and given up by now, so the process does not wait with
 * it. -1: it is still at it, and what it knows must stay.
 */
static int
bus_kafka_destroy_bounded(rd_kafka_t *rk)
{
    pthread_t        tid;
    struct timespec  ts;

    if (pthread_create(&tid, NULL, bus_kafka_destroy, rk) != 0) {
        return -1;
    }

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += BUS_KAFKA_DESTROY;

    if (pthread_timedjoin_np(tid, NULL, &ts) == 0) {
        return 0;
    }

    pthread_detach(tid);
    log_write(LOG_NOTICE, "kafka: the client did not end in %d s, left",
              BUS_KAFKA_DESTROY);

    return -1;
}


static void
bus_kafka_delete(bus_kafka_consumer_t *c)
{
    void                         (*freed)(void *data);
    void                          *freed_data;
    static bus_kafka_consumer_t   *left;

    freed = c->freed;
    freed_data = c->freed_data;

    bus_kafka_asker_end(&c->asker);
    bus_kafka_queue_done(&c->queue);

    if (bus_kafka_destroy_bounded(c->rk) != 0) {
        c->left = left;         /* not leaked: still in use */
        left = c;
        freed(freed_data);
        return;
    }

    if (c->list != NULL) {
        rd_kafka_topic_partition_list_destroy(c->list);
    }

    event_free(c->tick);
    event_free(c->save);
    event_free(c->end);
    bus_kafka_place_done(c);
    free(c->parts);
    free(c);

    freed(freed_data);
}


static void
bus_kafka_on_end(evutil_socket_t fd, short what, void *data)
{
    int                    late;
    rd_kafka_error_t      *error;
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    late = svc_now() >= c->end_by;

    /* Redis answers everything, with NULL at last; marks have a bound too */

    if (c->calls > 0 || c->marks != NULL) {
        svc_timer(c->end, 10);
        return;
    }

    if (!c->closing) {
        c->closing = 1;
        bus_kafka_commit(c);

        error = rd_kafka_consumer_close_queue(c->rk, c->queue.queue);

        if (error != NULL) {
            rd_kafka_error_destroy(error);
            late = 1;
        }
    }

    if (!late && !rd_kafka_consumer_closed(c->rk)) {
        svc_timer(c->end, 10);
        return;
    }

    bus_kafka_delete(c);
}


void
bus_kafka_check_end(bus_kafka_consumer_t *c)
{
    if (c->ending) {
        event_active(c->end, EV_TIMEOUT, 0);
    }
}


void
bus_kafka_consumer_free(bus_consumer_t *base, void (*freed)(void *data),
    void *data)
{
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;

    c->ending = 1;
    c->end_by = svc_now() + BUS_KAFKA_END;
    c->freed = freed;
    c->freed_data = data;

    c->end = evtimer_new(c->loop, bus_kafka_on_end, c);
    if (c->end == NULL) {
        abort();
    }

    svc_redis_unwatch(c->r, c->watch);
    event_del(c->tick);
    bus_kafka_asker_wake(&c->asker, 1);

    bus_kafka_cancel(c);
    bus_kafka_revoke_all(c);
    bus_kafka_save(c, 0);

    svc_timer(c->end, 0);
}
