/*
 * The Redis bus: reading. A connection of its own waits for new records of
 * the partitions that this process has.
 */

#include "bus_redis_consumer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_REDIS_BLOCK         1000                /* ms */
#define BUS_REDIS_READ_BYTES    (1024 * 1024)       /* about, a reply */
#define BUS_REDIS_READ_MAX      256                 /* records a reply */
#define BUS_REDIS_RECORD        128                 /* beside its payload */
#define BUS_REDIS_READ_RETRY    200                 /* ms */


static void bus_redis_on_read(svc_redis_t *r, redisReply *reply, void *data);


/* ---- asking ---- */

/*
 * So many records of each stream that a reply has about the bytes wanted. It
 * grows with what comes, as nothing is known of the records to come: after
 * small ones large ones may follow, so many at once at most. A reply that
 * failed is asked for again by halves.
 */
static void
bus_redis_count(bus_redis_consumer_t *c, size_t most)
{
    size_t  n, streams;

    streams = c->owned > 0 ? c->owned : 1;

    n = BUS_REDIS_READ_BYTES / (c->record_size * streams);

    if (n > BUS_REDIS_READ_MAX / streams) {
        n = BUS_REDIS_READ_MAX / streams;
    }

    if (n > 2 * most) {
        n = 2 * most;
    }

    c->count = n < 1 ? 1 : n;
}


/* The reply did not come: half of it. */
static void
bus_redis_less(bus_redis_consumer_t *c)
{
    if (c->count > 1) {
        c->count /= 2;

    } else if (c->owned >> c->narrow > 1) {
        c->narrow++;
    }
}


/* Which streams are read: all, or so many in turns after failures. */
static void
bus_redis_choose(bus_redis_consumer_t *c)
{
    uint32_t           i, n;
    bus_redis_part_t  *part;

    n = c->owned >> c->narrow;

    if (n < 1) {
        n = 1;
    }

    for (i = 0; i < c->bus.n; i++) {
        c->parts[i].asked = 0;
    }

    for (i = 0; i < c->bus.n && n > 0; i++) {
        part = &c->parts[(c->turn + i) % c->bus.n];

        if (part->ready) {
            part->asked = 1;
            n--;
        }
    }

    c->turn = (c->turn + i) % c->bus.n;
}


void
bus_redis_read(bus_redis_consumer_t *c)
{
    int               argc;
    char              count[24], block[24];
    size_t            n;
    uint32_t          i;
    const char      **argv;
    bus_redis_part_t *part;

    if (c->reading || c->paused || c->ending || !c->bus.ready
        || !svc_redis_is_up(c->reader)
        || svc_redis_life(c->reader) != c->life)
    {
        return;
    }

    snprintf(count, sizeof(count), "%zu", c->count);
    snprintf(block, sizeof(block), "%d", c->narrow > 0 ? 1 : BUS_REDIS_BLOCK);

    bus_redis_choose(c);

    argv = malloc((6 + 2 * ((size_t) c->owned + 1)) * sizeof(char *));
    if (argv == NULL) {
        abort();
    }

    argc = 0;
    argv[argc++] = "XREAD";
    argv[argc++] = "COUNT";
    argv[argc++] = count;
    argv[argc++] = "BLOCK";
    argv[argc++] = block;
    argv[argc++] = "STREAMS";
    argv[argc++] = c->notes_key;

    for (i = 0; i < c->bus.n; i++) {
        if (c->parts[i].asked) {
            argv[argc++] = c->parts[i].stream;
        }
    }

    n = (size_t) argc - 6;
    argv[argc++] = c->note;

    for (i = 0; i < c->bus.n; i++) {
        part = &c->parts[i];

        if (part->asked) {
            snprintf(part->cursor, sizeof(part->cursor), "%llu-%llu",
                     (unsigned long long) part->ms,
                     (unsigned long long) part->seq);
            argv[argc++] = part->cursor;
        }
    }

    if ((size_t) argc == 6 + 2 * n
        && svc_redis_call(c->reader, bus_redis_on_read, c, argc, argv, NULL)
           == 0)
    {
        c->reading = 1;
    }

    free(argv);
}


/*
 * A read that waits does not know of partitions that came meanwhile: end it.
 * Without the right to do so the wait ends by itself after a second.
 */
void
bus_redis_read_again(bus_redis_consumer_t *c)
{
    if (!c->reading) {
        bus_redis_read(c);
        return;
    }

    if (c->reader_id != 0) {
        svc_redis_callf(c->bus.r, NULL, NULL, "CLIENT UNBLOCK %lld",
                        c->reader_id);
    }
}


/* ---- records ---- */

static int
bus_redis_named(const redisReply *name, const char *want)
{
    return name->type == REDIS_REPLY_STRING && strcmp(name->str, want) == 0;
}


/* "<ms>-<seq>" to numbers; -1: not an id. */
static int
bus_redis_id(const char *text, size_t len, uint64_t *ms, uint64_t *seq)
{
    char  *end;

    /* replies end with a zero byte behind `len` */

    if (len == 0 || !isdigit((unsigned char) text[0])) {
        return -1;
    }

    errno = 0;
    *ms = strtoull(text, &end, 10);

    if (errno != 0 || *end != '-' || !isdigit((unsigned char) end[1])) {
        return -1;
    }

    *seq = strtoull(end + 1, &end, 10);

    return errno == 0 && end == text + len ? 0 : -1;
}


/* 0: record, -1: broken */
static int
bus_redis_fields(const redisReply *fields, bus_record_t *rec)
{
    size_t             i;
    const redisReply  *v;

    if (fields->type != REDIS_REPLY_ARRAY) {
        return -1;
    }

    for (i = 0; i + 1 < fields->elements; i += 2) {
        v = fields->element[i + 1];

        if (bus_redis_named(fields->element[i], "v")
            && v->type == REDIS_REPLY_STRING)
        {
            rec->payload = (const uint8_t *) v->str;
            rec->len = v->len;
            rec->from = NULL;
            return 0;
        }
    }

    return -1;
}


static void
bus_redis_record(bus_redis_consumer_t *c, bus_redis_part_t *part,
    const redisReply *entry)
{
    uint64_t      ms, seq;
    bus_record_t  rec;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[0]->type != REDIS_REPLY_STRING
        || bus_redis_id(entry->element[0]->str, entry->element[0]->len, &ms,
                        &seq) != 0)
    {
        metrics_add(c->broken, 1);
        return;
    }

    if (ms < part->ms || (ms == part->ms && seq <= part->seq)) {
        return;
    }

    part->ms = ms;
    part->seq = seq;

    if (bus_redis_fields(entry->element[1], &rec) != 0) {
        metrics_add(c->broken, 1);
        log_seldom(&c->broken_log, LOG_ERROR, "bus: record %s of partition "
                   "%u has no field \"v\", skipped", entry->element[0]->str,
                   part->n);
        return;
    }

    /* a large one is remembered for some time */

    if (rec.len + BUS_REDIS_RECORD >= c->record_size) {
        c->record_size = rec.len + BUS_REDIS_RECORD;

    } else {
        c->record_size -= (c->record_size - rec.len) / 64;
    }

    rec.partition = part->n;
    goim_offset_set(&rec.offset, ms, seq);

    c->base.events.record(&c->base, &rec, c->base.events.data);
}


static bus_redis_part_t *
bus_redis_part(bus_redis_consumer_t *c, const redisReply *name)
{
    char                *end;
    size_t               n;
    unsigned long        i;

    n = strlen(c->bus.base);

    if (name->type != REDIS_REPLY_STRING || name->len <= n) {
        return NULL;
    }

    i = strtoul(name->str + n, &end, 10);

    return *end == '\0' && i < c->bus.n ? &c->parts[i] : NULL;
}


/* Which note was the last. */
static void
bus_redis_noted(bus_redis_consumer_t *c, const redisReply *entries)
{
    const redisReply  *id, *entry;

    if (entries->elements == 0) {
        return;
    }

    entry = entries->element[entries->elements - 1];

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) {
        return;
    }

    id = entry->element[0];

    if (id->type == REDIS_REPLY_STRING && id->len < sizeof(c->note)) {
        strcpy(c->note, id->str);
    }
}


/*
 * The job may pause in the middle: the rest is not kept, but read again from
 * where the cursor stands.
 */
static void
bus_redis_stream(bus_redis_consumer_t *c, const redisReply *stream)
{
    size_t             i;
    redisReply        *entries;
    bus_redis_part_t  *part;

    if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2
        || stream->element[1]->type != REDIS_REPLY_ARRAY)
    {
        return;
    }

    entries = stream->element[1];

    if (bus_redis_named(stream->element[0], c->notes_key)) {
        bus_redis_noted(c, entries);
        lease_noted(c->lease, entries);
        return;
    }

    part = bus_redis_part(c, stream->element[0]);

    if (part == NULL) {
        return;
    }

    if (entries->elements > c->most) {
        c->most = entries->elements;
    }

    for (i = 0; i < entries->elements; i++) {

        /* asked: since the read was sent it has been this job's all along */

        if (c->paused || c->ending || !part->ready || !part->asked
            || !lease_holds(c->lease, part->n))
        {
            return;
        }

        bus_redis_record(c, part, entries->element[i]);
    }
}


static void
bus_redis_on_read(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t                 i;
    bus_redis_consumer_t  *c;

    (void) r;

    c = data;
    c->reading = 0;

    if (reply == NULL || c->ending) {
        bus_redis_less(c);
        bus_redis_check_end(c);
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        log_seldom(&c->read_log, LOG_ERROR, "bus: cannot read: %s",
                   reply->str);

        if (svc_redis_class(reply) == SVC_REDIS_TYPE) {
            bus_redis_mend(c);
        }

        svc_timer(c->retry, BUS_REDIS_READ_RETRY);
        return;
    }

    c->most = 0;
    c->narrow -= (c->narrow > 0);

    if (reply->type == REDIS_REPLY_ARRAY) {
        for (i = 0; i < reply->elements; i++) {
            bus_redis_stream(c, reply->element[i]);
        }
    }

    bus_redis_count(c, c->most);

    bus_redis_read(c);
}


static void
bus_redis_on_retry(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    bus_redis_read(data);
}


/* ---- the reader's connection ---- */

static void
bus_redis_on_id(svc_redis_t *r, redisReply *reply, void *data)
{
    (void) r;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        ((bus_redis_consumer_t *) data)->reader_id = reply->integer;
    }
}


static void
bus_redis_reader_up(svc_redis_t *r, void *data)
{
    bus_redis_consumer_t  *c;

    c = data;

    /* notes are for now: what came before is seen without them */

    strcpy(c->note, "$");
    c->reader_id = 0;

    svc_redis_callf(r, bus_redis_on_id, c, "CLIENT ID");

    if (c->life != 0 && svc_redis_life(r) != c->life
        && svc_redis_is_up(c->bus.r))
    {
        /* the other connection has not noticed that Redis is another one */

        svc_redis_reconnect(c->bus.r);
        return;
    }

    bus_redis_read(c);
}


void
bus_redis_read_init(bus_redis_consumer_t *c)
{
    svc_redis_conf_t    conf;
    svc_redis_events_t  watch;

    c->record_size = BUS_REDIS_RECORD;
    c->count = 1;
    strcpy(c->note, "$");
    snprintf(c->notes_key, BUS_REDIS_KEY, "%snotes", c->bus.base);

    c->broken = metrics_counter("goim_bus_broken_records_total", NULL,
        "Records of the bus that could not be read and were skipped.");
    c->retry = evtimer_new(c->loop, bus_redis_on_retry, c);

    if (c->retry == NULL) {
        abort();
    }

    conf = *svc_redis_conf(c->bus.r);
    conf.timeout += BUS_REDIS_BLOCK;

    watch.up = bus_redis_reader_up;
    watch.down = NULL;
    watch.data = c;

    c->reader = svc_redis_new(c->loop, &conf, &watch);
}
