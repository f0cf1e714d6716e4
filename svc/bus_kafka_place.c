/*
 * The Kafka bus: where to begin.
 *
 * Places are kept in the Redis that holds the effects. They belong to an
 * epoch, made of the cluster, the topic, a configured generation and, when
 * places were found that the partitions never reached, a random part that
 * all jobs share.
 */

#include "bus_kafka_consumer.h"

#include "svc/lua/bus_kafka_epoch.lua.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>


#define BUS_KAFKA_QUERY     2000            /* ms, a partition's offsets */


static svc_script_t  bus_kafka_epoch_script = { .body = bus_kafka_epoch_lua };


/* A call on Redis, and the attempt it belongs to. */
typedef struct {
    bus_kafka_consumer_t  *c;
    unsigned               flow;
} bus_kafka_call_t;


static void bus_kafka_step_cluster(void *data);
static void bus_kafka_step_epoch(void *data);
static void bus_kafka_step_done(bus_kafka_consumer_t *c);


static bus_kafka_call_t *
bus_kafka_call(bus_kafka_consumer_t *c)
{
    bus_kafka_call_t  *call;

    call = malloc(sizeof(bus_kafka_call_t));
    if (call == NULL) {
        abort();
    }

    call->c = c;
    call->flow = c->flow;

    return call;
}


/* NULL: the attempt it belonged to has been given up. */
static bus_kafka_consumer_t *
bus_kafka_called(void *data)
{
    unsigned               flow;
    bus_kafka_call_t      *call;
    bus_kafka_consumer_t  *c;

    call = data;
    c = call->c;
    flow = call->flow;
    free(call);

    c->calls--;
    bus_kafka_check_end(c);

    return flow == c->flow && c->list != NULL && !c->ending ? c : NULL;
}


/* ---- one step after the other ---- */

static void
bus_kafka_later(bus_kafka_consumer_t *c, void (*next)(void *c), int64_t ms)
{
    c->next = next;
    svc_timer(c->step, ms);
}


static void
bus_kafka_on_step(evutil_socket_t fd, short what, void *data)
{
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;

    if (c->list != NULL && !c->ending) {
        c->next(c);
    }
}


void
bus_kafka_cancel(bus_kafka_consumer_t *c)
{
    c->flow++;
    event_del(c->step);

    if (c->marks != NULL) {
        __atomic_store_n(&c->marks->stop, 1, __ATOMIC_RELAXED);
    }
}


void
bus_kafka_begin(bus_kafka_consumer_t *c, int64_t delay)
{
    bus_kafka_cancel(c);
    bus_kafka_later(c, bus_kafka_step_cluster, delay);
}


static void
bus_kafka_set_epoch(bus_kafka_consumer_t *c)
{
    char  text[512], hex[2 * BUS_EPOCH_LEN + 1];

    snprintf(text, sizeof(text), "kafka/%s/%s/%" PRId64, c->cluster,
             c->conf->topic, c->conf->generation);
    bus_epoch(c->epoch, text);
    bus_hex(c->base_hex, c->epoch, BUS_EPOCH_LEN);

    if (c->random[0] != '\0') {
        snprintf(text, sizeof(text), "%s/%s", c->base_hex, c->random);
        bus_epoch(c->epoch, text);
    }

    bus_hex(hex, c->epoch, BUS_EPOCH_LEN);
    snprintf(c->done_key, sizeof(c->done_key), "%sgoim:done:%s",
             svc_redis_prefix(c->r), hex);
}


static void
bus_kafka_step_cluster(void *data)
{
    char                  *id;
    bus_kafka_consumer_t  *c;

    c = data;

    id = rd_kafka_clusterid(c->rk, 0);

    if (id == NULL) {
        bus_kafka_later(c, bus_kafka_step_cluster, BUS_KAFKA_AGAIN);
        return;
    }

    snprintf(c->cluster, sizeof(c->cluster), "%s", id);
    rd_kafka_mem_free(c->rk, id);

    c->random[0] = '\0';
    bus_kafka_set_epoch(c);

    bus_kafka_step_epoch(c);
}


static void
bus_kafka_on_epoch(svc_redis_t *r, redisReply *reply, void *data)
{
    svc_redis_class_t      class;
    bus_kafka_consumer_t  *c;

    c = bus_kafka_called(data);

    if (c == NULL) {
        return;
    }

    class = svc_redis_class(reply);

    /* a hash that is none is replaced when an epoch is made */

    if (class != SVC_REDIS_OK && class != SVC_REDIS_TYPE) {
        bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
        return;
    }

    c->life = svc_redis_life(r);
    snprintf(c->random, sizeof(c->random), "%.63s",
             reply->type == REDIS_REPLY_STRING ? reply->str : "");

    bus_kafka_set_epoch(c);
    bus_kafka_step_done(c);
}


static void
bus_kafka_step_epoch(void *data)
{
    bus_kafka_call_t      *call;
    bus_kafka_consumer_t  *c;

    c = data;
    call = bus_kafka_call(c);

    if (svc_redis_callf(c->r, bus_kafka_on_epoch, call, "HGET %s %s",
                        c->hash_key, c->base_hex) != 0)
    {
        free(call);
        bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
        return;
    }

    c->calls++;
}


/* ---- places and what the partitions hold ---- */

/*
 * The offset of the first record to take. Always one that is there: left to
 * librdkafka 2.0.2, looking for it would be a request under way, and one
 * that is answered after the partition was given up keeps the client from
 * ending.
 */
static int64_t
bus_kafka_from(const bus_kafka_mark_t *mark)
{
    int64_t  from;

    from = mark->done >= 0 ? mark->done + 1 : mark->committed;

    if (from >= mark->low && from <= mark->high) {
        return from;
    }

    if (from > mark->high) {
        log_write(LOG_WARN, "bus: partition %d ends at %" PRId64 ", before "
                  "the committed offset: it begins anew",
                  (int) mark->partition, mark->high);

    } else if (from >= 0) {
        log_write(LOG_ERROR, "bus: partition %d: %" PRId64 " records "
                  "behind the place have been removed by Kafka",
                  (int) mark->partition, mark->low - from);
    }

    return mark->low;
}


static void
bus_kafka_assign(bus_kafka_consumer_t *c, const bus_kafka_marks_t *marks)
{
    int                               i;
    bus_kafka_part_t                 *part;
    rd_kafka_resp_err_t               rc;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_copy(c->list);

    for (i = 0; i < list->cnt; i++) {
        list->elems[i].offset = bus_kafka_from(&marks->part[i]);
    }

    rc = rd_kafka_assign(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);

    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_seldom(&c->log, LOG_ERROR, "kafka: assign: %s",
                   rd_kafka_err2str(rc));
        bus_kafka_later(c, bus_kafka_step_cluster, BUS_KAFKA_AGAIN);
        return;
    }

    for (i = 0; i < c->list->cnt; i++) {
        part = bus_kafka_part(c, c->list->elems[i].partition);

        if (part != NULL && !part->active) {
            part->active = 1;
            c->owned++;
        }
    }

    if (c->paused) {
        rd_kafka_pause_partitions(c->rk, c->list);
    }

    log_write(LOG_INFO, "bus: %u partitions taken", c->owned);
}


static void
bus_kafka_on_switch(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_kafka_consumer_t  *c;

    (void) r;

    c = bus_kafka_called(data);

    if (c == NULL) {
        return;
    }

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_STRING
        && strcmp(reply->str, "NEW") == 0)
    {
        log_write(LOG_WARN, "bus: places lie beyond what the partitions of "
                  "%s hold: a new epoch begins", c->conf->topic);
    }

    bus_kafka_later(c, bus_kafka_step_epoch,
                    svc_redis_class(reply) == SVC_REDIS_OK
                    ? 0 : BUS_KAFKA_AGAIN);
}


/* The partitions that hold less than was done cannot be the same ones. */
static void
bus_kafka_switch(bus_kafka_consumer_t *c, const bus_kafka_marks_t *marks)
{
    int                argc, rc;
    char               old_key[BUS_KAFKA_KEY], old[64], random[33];
    char             (*lost)[12];
    size_t             m;
    uint8_t            bytes[16];
    const char       **argv;
    bus_kafka_call_t  *call;

    argv = malloc((7 + marks->n) * sizeof(char *));
    lost = malloc((marks->n + 1) * sizeof(*lost));

    if (argv == NULL || lost == NULL) {
        abort();
    }

    evutil_secure_rng_get_bytes(bytes, sizeof(bytes));
    bus_hex(random, bytes, sizeof(bytes));

    strcpy(old, c->random);
    strcpy(old_key, c->done_key);
    strcpy(c->random, random);
    bus_kafka_set_epoch(c);

    argc = 0;
    argv[argc++] = c->hash_key;
    argv[argc++] = old_key;
    argv[argc++] = c->done_key;
    argv[argc++] = c->base_hex;
    argv[argc++] = old;
    argv[argc++] = random;
    argv[argc++] = BUS_KAFKA_EXPIRE;

    for (m = 0; m < marks->n; m++) {
        if (marks->part[m].done >= marks->part[m].high) {
            snprintf(lost[m], sizeof(lost[m]), "%d",
                     (int) marks->part[m].partition);
            argv[argc++] = lost[m];
        }
    }

    call = bus_kafka_call(c);

    rc = svc_redis_eval(c->r, &bus_kafka_epoch_script, bus_kafka_on_switch,
                        call, 3, argc, argv, NULL);
    if (rc == 0) {
        c->calls++;

    } else {
        free(call);
        bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
    }

    free(argv);
    free(lost);
}


static int
bus_kafka_query_committed(bus_kafka_marks_t *marks)
{
    int                               rc;
    size_t                            i;
    rd_kafka_topic_partition_t       *p;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new((int) marks->n);

    for (i = 0; i < marks->n; i++) {
        marks->part[i].committed = -1;

        if (marks->part[i].done < 0) {
            rd_kafka_topic_partition_list_add(list, marks->topic,
                                              marks->part[i].partition);
        }
    }

    rc = 0;

    if (list->cnt > 0
        && rd_kafka_committed(marks->rk, list, BUS_KAFKA_QUERY)
           != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        rc = -1;
    }

    for (i = 0; rc == 0 && i < marks->n; i++) {
        p = rd_kafka_topic_partition_list_find(list, marks->topic,
                                               marks->part[i].partition);
        if (p == NULL) {
            continue;
        }

        if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rc = -1;

        } else if (p->offset >= 0) {
            marks->part[i].committed = p->offset;
        }
    }

    rd_kafka_topic_partition_list_destroy(list);

    return rc;
}


static void *
bus_kafka_query(void *data)
{
    size_t              i;
    uint64_t            one;
    bus_kafka_marks_t  *marks;

    marks = data;
    one = 1;

    marks->failed = (bus_kafka_query_committed(marks) != 0);

    for (i = 0; !marks->failed && i < marks->n; i++) {

        if (__atomic_load_n(&marks->stop, __ATOMIC_RELAXED)
            || rd_kafka_query_watermark_offsets(marks->rk, marks->topic,
                                                marks->part[i].partition,
                                                &marks->part[i].low,
                                                &marks->part[i].high,
                                                BUS_KAFKA_QUERY)
               != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            marks->failed = 1;
        }
    }

    if (write(marks->fd, &one, sizeof(one)) == -1) {
        /* an eventfd takes a 1 always */
    }

    return NULL;
}


static void
bus_kafka_marks_free(bus_kafka_marks_t *marks)
{
    event_free(marks->ev);
    close(marks->fd);
    free(marks->topic);
    free(marks);
}


static void
bus_kafka_on_marks(evutil_socket_t fd, short what, void *data)
{
    int                    lost;
    size_t                 i;
    bus_kafka_marks_t     *marks;
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    marks = c->marks;
    c->marks = NULL;

    pthread_join(marks->tid, NULL);

    if (c->ending || c->list == NULL) {
        bus_kafka_marks_free(marks);
        bus_kafka_check_end(c);
        return;
    }

    if (marks->flow != c->flow || marks->failed) {

        /* asked for an attempt that was given up, or no answer */

        if (marks->flow == c->flow) {
            bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
        }

        bus_kafka_marks_free(marks);
        return;
    }

    lost = 0;

    for (i = 0; i < marks->n; i++) {
        lost |= (marks->part[i].done >= marks->part[i].high);
    }

    if (lost) {
        bus_kafka_switch(c, marks);

    } else {
        bus_kafka_assign(c, marks);
    }

    bus_kafka_marks_free(marks);
}


static int
bus_kafka_ask_marks(bus_kafka_consumer_t *c)
{
    int                 i;
    bus_kafka_part_t   *part;
    bus_kafka_mark_t   *mark;
    bus_kafka_marks_t  *marks;

    marks = calloc(1, sizeof(bus_kafka_marks_t)
                      + (size_t) c->list->cnt * sizeof(bus_kafka_mark_t));
    if (marks == NULL) {
        abort();
    }

    marks->rk = c->rk;
    marks->flow = c->flow;
    marks->topic = strdup(c->conf->topic);

    for (i = 0; i < c->list->cnt; i++) {
        part = bus_kafka_part(c, c->list->elems[i].partition);
        mark = &marks->part[marks->n++];

        mark->partition = c->list->elems[i].partition;
        mark->done = part != NULL ? part->done : -1;
    }

    marks->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    marks->ev = marks->fd != -1
                ? event_new(c->loop, marks->fd, EV_READ, bus_kafka_on_marks,
                            c)
                : NULL;

    if (marks->ev == NULL || marks->topic == NULL) {
        goto failed;
    }

    if (pthread_create(&marks->tid, NULL, bus_kafka_query, marks) != 0) {
        event_free(marks->ev);
        goto failed;
    }

    event_add(marks->ev, NULL);
    c->marks = marks;

    return 0;

failed:

    if (marks->fd != -1) {
        close(marks->fd);
    }

    free(marks->topic);
    free(marks);

    return -1;
}


static void
bus_kafka_on_done(svc_redis_t *r, redisReply *reply, void *data)
{
    int                    i;
    char                  *end;
    redisReply            *e;
    svc_redis_class_t      class;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    (void) r;

    c = bus_kafka_called(data);

    if (c == NULL) {
        return;
    }

    class = svc_redis_class(reply);

    if ((class != SVC_REDIS_OK && class != SVC_REDIS_TYPE)
        || (class == SVC_REDIS_OK
            && (reply->type != REDIS_REPLY_ARRAY
                || reply->elements != (size_t) c->list->cnt)))
    {
        bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
        return;
    }

    for (i = 0; i < c->list->cnt; i++) {
        part = bus_kafka_part(c, c->list->elems[i].partition);

        if (part == NULL) {
            continue;
        }

        part->done = -1;
        part->dirty = 0;
        part->committed = -1;

        e = (class == SVC_REDIS_OK) ? reply->element[i] : NULL;

        if (e == NULL || e->type != REDIS_REPLY_STRING || e->len == 0) {
            continue;
        }

        part->done = strtoll(e->str, &end, 10);

        if (*end != '\0' || part->done < 0 || part->done == INT64_MAX) {
            part->done = -1;
        }
    }

    if (c->marks != NULL || bus_kafka_ask_marks(c) != 0) {

        /* the thread of an attempt before is still asking */

        bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
    }
}


static void
bus_kafka_step_done(bus_kafka_consumer_t *c)
{
    int                i, argc, rc;
    char             (*number)[12];
    const char       **argv;
    bus_kafka_call_t  *call;

    if (c->list->cnt == 0) {
        rd_kafka_assign(c->rk, c->list);
        return;
    }

    argv = malloc((2 + (size_t) c->list->cnt) * sizeof(char *));
    number = malloc((size_t) c->list->cnt * sizeof(*number));

    if (argv == NULL || number == NULL) {
        abort();
    }

    argc = 0;
    argv[argc++] = "HMGET";
    argv[argc++] = c->done_key;

    for (i = 0; i < c->list->cnt; i++) {
        snprintf(number[i], sizeof(number[i]), "%d",
                 (int) c->list->elems[i].partition);
        argv[argc++] = number[i];
    }

    call = bus_kafka_call(c);
    rc = svc_redis_call(c->r, bus_kafka_on_done, call, argc, argv, NULL);

    if (rc == 0) {
        c->calls++;

    } else {
        free(call);
        bus_kafka_later(c, bus_kafka_step_epoch, BUS_KAFKA_AGAIN);
    }

    free(argv);
    free(number);
}


/* ---- another job's finding ---- */

static void
bus_kafka_on_check(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_kafka_consumer_t  *c;

    (void) r;

    c = bus_kafka_called(data);

    if (c != NULL && c->owned > 0 && svc_redis_class(reply) == SVC_REDIS_OK
        && strcmp(reply->type == REDIS_REPLY_STRING ? reply->str : "",
                  c->random) != 0)
    {
        bus_kafka_over(c);
    }
}


void
bus_kafka_check_epoch(bus_kafka_consumer_t *c)
{
    bus_kafka_call_t  *call;

    if (c->owned == 0) {
        return;
    }

    call = bus_kafka_call(c);

    if (svc_redis_callf(c->r, bus_kafka_on_check, call, "HGET %s %s",
                        c->hash_key, c->base_hex) != 0)
    {
        free(call);
        return;
    }

    c->calls++;
}


int
bus_kafka_place_init(bus_kafka_consumer_t *c, char *err, size_t size)
{
    const char  *prefix;

    prefix = svc_redis_prefix(c->r);

    if (strlen(prefix) > BUS_KAFKA_KEY - 128) {
        snprintf(err, size, "[redis] prefix is too long");
        return -1;
    }

    snprintf(c->life_key, BUS_KAFKA_KEY, "%sgoim:life", prefix);
    snprintf(c->hash_key, BUS_KAFKA_KEY, "%sgoim:bus:kafka", prefix);

    c->step = evtimer_new(c->loop, bus_kafka_on_step, c);

    if (c->step == NULL) {
        abort();
    }

    return 0;
}


void
bus_kafka_place_done(bus_kafka_consumer_t *c)
{
    event_free(c->step);
}
