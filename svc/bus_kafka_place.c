/*
 * The Kafka bus: where to begin.
 *
 * Places are kept in the Redis that holds the effects. They belong to an
 * epoch, made of the cluster, the topic and a configured generation.
 */

#include "bus_kafka_consumer.h"

#include "svc/lua/bus_kafka_place.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_TEXT(n)   #n
#define BUS_KAFKA_NUMBER(n) BUS_KAFKA_TEXT(n)


static svc_script_t  bus_kafka_place_script = { .body = bus_kafka_place_lua };


/* A call on Redis, and the attempt it belongs to. */
typedef struct {
    bus_kafka_consumer_t  *c;
    unsigned               flow;
    int32_t                partition;
    int64_t                low;
} bus_kafka_call_t;


static void bus_kafka_step_places(void *data);


static bus_kafka_call_t *
bus_kafka_call(bus_kafka_consumer_t *c)
{
    bus_kafka_call_t  *call;

    call = calloc(1, sizeof(bus_kafka_call_t));
    if (call == NULL) {
        abort();
    }

    call->c = c;
    call->flow = c->flow;

    return call;
}


/* NULL: the attempt it belonged to has been given up. */
static bus_kafka_consumer_t *
bus_kafka_called(bus_kafka_call_t *call)
{
    bus_kafka_consumer_t  *c;

    c = call->c;
    c->calls--;
    bus_kafka_check_end(c);

    return call->flow == c->flow && c->rk != NULL && !c->ending ? c : NULL;
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

    if (c->rk != NULL && !c->ending) {
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
    bus_kafka_later(c, bus_kafka_step_places, delay);
}


int
bus_kafka_epoch_known(bus_kafka_consumer_t *c)
{
    char  *id, text[512], hex[2 * BUS_EPOCH_LEN + 1];

    if (c->done_key[0] != '\0') {
        return 0;
    }

    id = rd_kafka_clusterid(c->teller, 0);

    if (id == NULL) {
        return -1;
    }

    snprintf(text, sizeof(text), "kafka/%.63s/%s/%" PRId64, id,
             c->conf->topic, c->conf->generation);
    rd_kafka_mem_free(c->teller, id);

    bus_epoch(c->epoch, text);
    bus_hex(hex, c->epoch, BUS_EPOCH_LEN);

    snprintf(c->done_key, sizeof(c->done_key), "%sgoim:done:%s",
             svc_redis_prefix(c->r), hex);

    return 0;
}


/* ---- places ---- */

void
bus_kafka_place_text(char *text, size_t size, const bus_kafka_part_t *part)
{
    snprintf(text, size, "%" PRIu64 "-%" PRId64, part->run, part->done);
}


void
bus_kafka_sums_key(bus_kafka_consumer_t *c, char key[BUS_KAFKA_KEY],
    int32_t n)
{
    snprintf(key, BUS_KAFKA_KEY, "%.480s:%d", c->done_key, (int) n);
}


/* "run-offset", or the offset alone as it was saved once. */
static void
bus_kafka_place_parse(bus_kafka_part_t *part, const char *text)
{
    char  *end;

    part->run = 0;
    part->done = -1;

    if (text[0] < '0' || text[0] > '9') {
        return;
    }

    part->done = strtoll(text, &end, 10);

    if (*end == '-') {
        part->run = (uint64_t) part->done;
        part->done = strtoll(end + 1, &end, 10);
    }

    if (*end != '\0' || part->done < 0 || part->done == INT64_MAX) {
        part->run = 0;
        part->done = -1;
    }
}


/* What the head of the sums says holds for this place only. */
static void
bus_kafka_place_head(bus_kafka_part_t *part, const redisReply *head,
    const redisReply *sum)
{
    char    place[48], text[BUS_KAFKA_HEAD + 1];
    size_t  len;

    bus_kafka_place_text(place, sizeof(place), part);
    len = strlen(place);

    snprintf(text, sizeof(text), "%s", head->str);

    part->sum = 0;
    part->time = 0;
    part->summed = -1;

    if (strncmp(text, place, len) == 0 && text[len] == ' ') {
        part->time = strtoll(text + len, NULL, 10);
        part->summed = part->done;

        if (sum->len == sizeof(part->sum)) {
            memcpy(&part->sum, sum->str, sizeof(part->sum));
        }
    }
}


/* -1: what was done of it has not been saved yet. */
static int
bus_kafka_place_take(bus_kafka_part_t *part, redisReply *const *e)
{
    if (part->owned) {
        return part->dirty ? -1 : 0;    /* begun before: we know it best */
    }

    bus_kafka_place_parse(part, e[0]->str);
    bus_kafka_place_head(part, e[1], e[2]);

    part->newest = part->done;
    part->committed = -1;
    part->dirty = 0;

    free(part->sums);
    part->sums = calloc(BUS_KAFKA_SUMS, sizeof(uint32_t));

    if (part->sums == NULL) {
        abort();
    }

    return 0;
}


static int
bus_kafka_places_take(bus_kafka_consumer_t *c, const redisReply *reply)
{
    int     rc;
    size_t  i, k, n;

    for (i = 0, n = 0; i < c->nparts; i++) {
        n += c->parts[i].want;
    }

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 * n)
    {
        return -1;
    }

    for (k = 0; k < reply->elements; k++) {
        if (reply->element[k]->type != REDIS_REPLY_STRING) {
            return -1;
        }
    }

    rc = 0;

    for (i = 0, k = 0; i < c->nparts; i++) {
        if (c->parts[i].want) {
            rc |= bus_kafka_place_take(&c->parts[i], reply->element + k);
            k += 3;
        }
    }

    if (rc != 0) {
        bus_kafka_save(c);
    }

    return rc;
}


static void
bus_kafka_on_places(svc_redis_t *r, redisReply *reply, void *data)
{
    bus_kafka_call_t      *call;
    bus_kafka_consumer_t  *c;

    call = data;
    c = bus_kafka_called(call);
    free(call);

    if (c == NULL) {
        return;
    }

    if (reply != NULL && c->life != svc_redis_life(r)) {
        return;                 /* bus_kafka_up() is to come */
    }

    /* the thread of an attempt before may still be asking */

    if (bus_kafka_places_take(c, reply) != 0 || c->marks != NULL
        || bus_kafka_ask_marks(c) != 0)
    {
        bus_kafka_later(c, bus_kafka_step_places, BUS_KAFKA_AGAIN);
        return;
    }

}


static void
bus_kafka_step_places(void *data)
{
    int                     argc, keys;
    char                  (*key)[BUS_KAFKA_KEY], (*number)[12];
    size_t                  i, n;
    const char            **argv;
    bus_kafka_call_t       *call;
    bus_kafka_consumer_t   *c;

    c = data;

    for (i = 0, n = 0; i < c->nparts; i++) {
        n += c->parts[i].want;
    }

    if (n == 0) {
        return;
    }

    argv = malloc((3 + 2 * n) * sizeof(char *));
    key = malloc(n * sizeof(*key));
    number = malloc(n * sizeof(*number));

    if (argv == NULL || key == NULL || number == NULL) {
        abort();
    }

    keys = 0;
    argv[keys++] = c->done_key;
    argc = 1 + (int) n;
    argv[argc++] = BUS_KAFKA_NUMBER(BUS_KAFKA_SUMS);
    argv[argc++] = BUS_KAFKA_NUMBER(BUS_KAFKA_HEAD);

    for (i = 0; i < c->nparts; i++) {

        if (c->parts[i].want) {
            bus_kafka_sums_key(c, key[keys - 1], (int32_t) i);
            snprintf(number[keys - 1], sizeof(*number), "%d", (int) i);
            argv[argc++] = number[keys - 1];
            argv[keys] = key[keys - 1];
            keys++;
        }
    }

    call = bus_kafka_call(c);

    if (svc_redis_eval(c->r, &bus_kafka_place_script, bus_kafka_on_places,
                       call, keys, argc, argv, NULL) == 0)
    {
        c->calls++;

    } else {
        free(call);
        bus_kafka_later(c, bus_kafka_step_places, BUS_KAFKA_AGAIN);
    }

    free(argv);
    free(key);
    free(number);
}


/* ---- what the partitions hold ---- */

/*
 * The offset of the first record to take. Always one that is there: left to
 * librdkafka 2.0.2, looking for it would be a request under way, and one
 * that is answered after the partition was given up keeps the client from
 * ending.
 */
static int64_t
bus_kafka_from(bus_kafka_consumer_t *c, const bus_kafka_mark_t *mark)
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
        metrics_add(c->removed, mark->low - from);
        log_write(LOG_ERROR, "bus: partition %d: %" PRId64 " records "
                  "behind the place have been removed by Kafka",
                  (int) mark->partition, mark->low - from);
    }

    return mark->low;
}


static void
bus_kafka_on_sums(svc_redis_t *r, redisReply *reply, void *data)
{
    char                   place[48];
    size_t                 len;
    int64_t                low;
    svc_redis_class_t      class;
    bus_kafka_part_t      *part;
    bus_kafka_call_t      *call;
    bus_kafka_consumer_t  *c;

    (void) r;

    call = data;
    c = call->c;
    low = call->low;
    part = bus_kafka_part(c, call->partition);
    bus_kafka_called(call);
    free(call);

    if (c->ending || c->rk == NULL || !part->owned || part->want
        || part->drain || part->mode != BUS_KAFKA_STILL)
    {
        return;
    }

    class = svc_redis_class(reply);

    if (class != SVC_REDIS_OK && class != SVC_REDIS_TYPE) {
        part->want = 1;
        part->back = 1;
        bus_kafka_begin(c, BUS_KAFKA_AGAIN);
        return;
    }

    bus_kafka_place_text(place, sizeof(place), part);
    len = strlen(place);

    if (reply->type == REDIS_REPLY_STRING && reply->len > BUS_KAFKA_HEAD
        && memcmp(reply->str, place, len) == 0 && reply->str[len] == ' ')
    {
        bus_kafka_search(c, part, reply->str + BUS_KAFKA_HEAD,
                         reply->len - BUS_KAFKA_HEAD, low);

    } else {
        bus_kafka_search(c, part, NULL, 0, low);
    }
}


static void
bus_kafka_ask_sums(bus_kafka_consumer_t *c, bus_kafka_part_t *part,
    int64_t low)
{
    char               key[BUS_KAFKA_KEY];
    bus_kafka_call_t  *call;

    call = bus_kafka_call(c);
    call->partition = bus_kafka_number(c, part);
    call->low = low;

    bus_kafka_sums_key(c, key, call->partition);

    if (svc_redis_callf(c->r, bus_kafka_on_sums, call, "GET %s", key) == 0) {
        c->calls++;

    } else {
        free(call);
        part->want = 1;
        bus_kafka_begin(c, BUS_KAFKA_AGAIN);
    }
}


static void
bus_kafka_start(bus_kafka_consumer_t *c, const bus_kafka_mark_t *mark)
{
    int64_t            from;
    bus_kafka_part_t  *part;

    part = bus_kafka_part(c, mark->partition);

    if (!part->want) {
        return;                 /* lost meanwhile */
    }

    part->want = 0;
    part->low = mark->low;

    if (!part->owned) {
        part->owned = 1;
        c->owned++;
    }

    if (mark->done >= 0 && (part->back || mark->done >= mark->high)) {
        part->mode = BUS_KAFKA_STILL;
        bus_kafka_ask_sums(c, part, mark->low);

    } else if (mark->done >= mark->low && part->sum != 0) {
        part->mode = BUS_KAFKA_CHECK;
        bus_kafka_fetch(c, part, mark->done);

    } else {
        from = bus_kafka_from(c, mark);

        if (mark->done < 0) {
            part->run = mark->run;
            part->done = from - 1;
            part->newest = from - 1;
        }

        part->mode = BUS_KAFKA_GOING;
        part->sum = 0;
        bus_kafka_fetch(c, part, from);
    }
}


void
bus_kafka_marked(bus_kafka_consumer_t *c, bus_kafka_marks_t *marks)
{
    size_t  i;

    if (c->ending) {
        bus_kafka_check_end(c);
        return;
    }

    if (marks->flow != c->flow) {
        return;                 /* for an attempt that was given up */
    }

    if (marks->failed) {
        bus_kafka_later(c, bus_kafka_step_places, BUS_KAFKA_AGAIN);
        return;
    }

    for (i = 0; i < marks->n; i++) {
        bus_kafka_start(c, &marks->part[i]);
    }

    log_write(LOG_INFO, "bus: %zu partitions taken, %u are held", marks->n,
              c->owned);
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
