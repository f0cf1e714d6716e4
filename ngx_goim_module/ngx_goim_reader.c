
/*
 * The one reader of the node's stream: XREAD, check, frame, ring.
 *
 * The worker that holds the lease has a connection to Redis of its own, with
 * one blocking XREAD under way.  Ids in the stream are dense, so that a hole
 * shows; records carry positions, so that what was seen is left out.
 */


#include "ngx_goim_core.h"
#include "ngx_goim_redis.h"

#include <ngx_md5.h>
#include <hiredis/hiredis.h>


#define NGX_GOIM_READ_COUNT     "64"
#define NGX_GOIM_READ_BLOCK     "1000"      /* ms */
#define NGX_GOIM_READ_TIMEOUT   5000        /* longer than the blocking */
#define NGX_GOIM_READ_RETRY     500


typedef struct {
    ngx_goim_redis_t       *redis;
    uint64_t                id[2];          /* read up to */
    u_char                  epoch[16];
    ngx_uint_t              fresh_epoch;    /* positions do not compare */
    ngx_event_t             retry;

    /* the entry that is being built */
    u_char                 *data;
    size_t                  size;
    ngx_goim_ring_entry_t   entry;
    uint64_t                wake[NGX_GOIM_RING_MASK];
} ngx_goim_reader_t;


static void ngx_goim_reader_up(void *data);
static void ngx_goim_reader_down(void *data);
static void ngx_goim_reader_retry(ngx_event_t *ev);
static void ngx_goim_reader_check(void);
static void ngx_goim_reader_checked(void *data, struct redisReply *reply);
static ngx_int_t ngx_goim_reader_last_id(struct redisReply *reply,
    uint64_t *id);
static void ngx_goim_reader_begin(uint64_t *last);
static void ngx_goim_reader_read(void);
static void ngx_goim_reader_reply(void *data, struct redisReply *reply);
static struct redisReply *ngx_goim_reader_entries(struct redisReply *reply);
static ngx_int_t ngx_goim_reader_entry(struct redisReply *entry);
static void ngx_goim_reader_gap(uint64_t *id);
static ngx_int_t ngx_goim_reader_delivery(Goim__Delivery *d, uint64_t *id);
static void ngx_goim_reader_epoch(Goim__Delivery *d);
static ngx_int_t ngx_goim_reader_record(Goim__Record *r);
static ngx_int_t ngx_goim_reader_publish(uint64_t *id);
static ngx_int_t ngx_goim_reader_command(ngx_msec_t timeout,
    ngx_goim_redis_pt handler, int argc, const char **argv);
static ngx_int_t ngx_goim_parse_id(const char *p, size_t len, uint64_t *id);


static ngx_goim_reader_t  ngx_goim_reader;


/* the lease was taken: go on where the last holder was */

void
ngx_goim_reader_start(void)
{
    ngx_goim_reader_t        *r;
    ngx_goim_redis_events_t   events;

    r = &ngx_goim_reader;

    if (r->data == NULL) {
        r->size = ngx_goim_ring_max(ngx_goim_zone->ring)
                  - sizeof(ngx_goim_ring_entry_t);
        r->data = ngx_alloc(r->size, ngx_cycle->log);
    }

    if (r->data == NULL
        || ngx_goim_zone_resume(r->id, ngx_cycle->log) != NGX_OK)
    {
        ngx_goim_lease_release();
        return;
    }

    ngx_memcpy(r->epoch, ngx_goim_zone->epoch, sizeof(r->epoch));
    r->fresh_epoch = 0;

    r->retry.handler = ngx_goim_reader_retry;
    r->retry.log = ngx_cycle->log;
    r->retry.data = &ngx_goim_no_connection;
    r->retry.cancelable = 1;

    events.up = ngx_goim_reader_up;
    events.down = ngx_goim_reader_down;
    events.data = NULL;

    r->redis = ngx_goim_redis_create(ngx_goim_conf, &events);

    if (r->redis == NULL) {
        ngx_goim_lease_release();
        return;
    }

    if (ngx_goim_zone->begun) {
        ngx_goim_register_start();
    }
}


void
ngx_goim_reader_stop(void)
{
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    ngx_goim_register_stop();

    if (r->retry.timer_set) {
        ngx_del_timer(&r->retry);
    }

    if (r->redis) {
        ngx_goim_redis_destroy(r->redis);
        r->redis = NULL;
    }
}


static void
ngx_goim_reader_up(void *data)
{
    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.connected = 1;
    }

    ngx_goim_reader_check();
}


static void
ngx_goim_reader_down(void *data)
{
    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.connected = 0;
    }

    if (ngx_goim_reader.retry.timer_set) {
        ngx_del_timer(&ngx_goim_reader.retry);
    }
}


static void
ngx_goim_reader_retry(ngx_event_t *ev)
{
    ngx_goim_reader_check();
}


/* where the stream ends, against where we are */

static void
ngx_goim_reader_check(void)
{
    const char  *argv[] = { "XINFO", "STREAM", NULL };

    argv[2] = (char *) ngx_goim_conf->stream.data;

    (void) ngx_goim_reader_command(ngx_goim_conf->redis_timeout,
                                   ngx_goim_reader_checked, 3, argv);
}


static void
ngx_goim_reader_checked(void *data, struct redisReply *reply)
{
    uint64_t            last[2];
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    if (reply == NULL || r->redis == NULL) {
        return;
    }

    if (ngx_goim_reader_last_id(reply, last) != NGX_OK) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: \"XINFO STREAM %V\" failed: %s",
                      &ngx_goim_conf->stream,
                      reply->type == REDIS_REPLY_ERROR ? reply->str
                                                       : "no last id");

        ngx_add_timer(&r->retry, NGX_GOIM_READ_RETRY);
        return;
    }

    if (!ngx_goim_zone->begun) {
        ngx_goim_reader_begin(last);

    } else if (last[0] < r->id[0]
               || (last[0] == r->id[0] && last[1] < r->id[1]))
    {
        ngx_goim_count(holes, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: stream \"%V\" ends at %uL-%uL, before %uL-%uL "
                      "where it was read to: Redis lost entries",
                      &ngx_goim_conf->stream, last[0], last[1],
                      r->id[0], r->id[1]);

        /* what there is may be new, its positions tell */

        r->id[0] = 0;
        r->id[1] = 0;
    }

    ngx_goim_reader_read();
}


static ngx_int_t
ngx_goim_reader_last_id(struct redisReply *reply, uint64_t *id)
{
    size_t             i;
    struct redisReply *name, *value;

    if (reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "ERR no such key", 15) == 0)
    {
        id[0] = 0;
        id[1] = 0;
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return NGX_ERROR;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {
        name = reply->element[i];
        value = reply->element[i + 1];

        if (name->type == REDIS_REPLY_STRING
            && value->type == REDIS_REPLY_STRING
            && ngx_strcmp(name->str, "last-generated-id") == 0)
        {
            return ngx_goim_parse_id(value->str, value->len, id);
        }
    }

    return NGX_ERROR;
}


/* a fresh zone: what is in the stream was for others before it */

static void
ngx_goim_reader_begin(uint64_t *last)
{
    ngx_goim_lock();

    if (ngx_goim_lease_held() && !ngx_goim_zone->begun) {
        ngx_goim_zone->stream[0] = last[0];
        ngx_goim_zone->stream[1] = last[1];
        ngx_goim_zone->begun = 1;
    }

    ngx_goim_reader.id[0] = ngx_goim_zone->stream[0];
    ngx_goim_reader.id[1] = ngx_goim_zone->stream[1];

    ngx_goim_unlock();

    ngx_goim_register_start();
}


static void
ngx_goim_reader_read(void)
{
    u_char       id[NGX_INT64_LEN * 2 + 2];
    const char  *argv[] = { "XREAD", "COUNT", NGX_GOIM_READ_COUNT,
                            "BLOCK", NGX_GOIM_READ_BLOCK, "STREAMS",
                            NULL, NULL };

    ngx_sprintf(id, "%uL-%uL%Z", ngx_goim_reader.id[0],
                ngx_goim_reader.id[1]);

    argv[6] = (char *) ngx_goim_conf->stream.data;
    argv[7] = (char *) id;

    (void) ngx_goim_reader_command(NGX_GOIM_READ_TIMEOUT,
                                   ngx_goim_reader_reply, 8, argv);
}


static void
ngx_goim_reader_reply(void *data, struct redisReply *reply)
{
    size_t               i;
    struct redisReply   *entries;
    ngx_goim_reader_t   *r;

    r = &ngx_goim_reader;

    if (reply == NULL || r->redis == NULL) {
        return;
    }

    if (!ngx_goim_lease_held()) {

        /* it was taken while we slept; the tick cleans up */
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: \"XREAD %V\" failed: %s",
                      &ngx_goim_conf->stream, reply->str);

        ngx_add_timer(&r->retry, NGX_GOIM_READ_RETRY);
        return;
    }

    entries = ngx_goim_reader_entries(reply);

    if (entries == NULL) {

        /* a blocked read is not told that its stream was deleted */

        ngx_goim_reader_check();
        return;
    }

    ngx_memzero(r->wake, sizeof(r->wake));

    for (i = 0; i < entries->elements; i++) {
        if (ngx_goim_reader_entry(entries->element[i]) != NGX_OK) {
            break;
        }
    }

    if (i == entries->elements) {
        ngx_goim_reader_read();
    }

    ngx_goim_wake(r->wake);
}


/* [[stream, [entry, ...]]]; NULL: nothing new */

static struct redisReply *
ngx_goim_reader_entries(struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1) {
        return NULL;
    }

    reply = reply->element[0];

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        return NULL;
    }

    return reply->element[1];
}


/* [id, [field, value, ...]]; NGX_ERROR: the lease is lost */

static ngx_int_t
ngx_goim_reader_entry(struct redisReply *entry)
{
    size_t              i;
    uint64_t            id[2];
    ngx_int_t           rc;
    Goim__Delivery     *d;
    struct redisReply  *fields, *value;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[0]->type != REDIS_REPLY_STRING
        || ngx_goim_parse_id(entry->element[0]->str, entry->element[0]->len,
                             id)
           != NGX_OK)
    {
        ngx_goim_count(broken, 1);
        return NGX_OK;
    }

    ngx_goim_reader_gap(id);

    fields = entry->element[1];
    d = NULL;

    for (i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements;
         i += 2)
    {
        value = fields->element[i + 1];

        if (fields->element[i]->len == 1 && fields->element[i]->str[0] == 'd')
        {
            d = goim__delivery__unpack(NULL, value->len,
                                       (u_char *) value->str);
            break;
        }
    }

    if (d == NULL) {
        ngx_goim_count(broken, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: entry %uL-%uL of stream \"%V\" is broken and "
                      "left out", id[0], id[1], &ngx_goim_conf->stream);
        rc = NGX_OK;

    } else {
        rc = ngx_goim_reader_delivery(d, id);
        goim__delivery__free_unpacked(d, NULL);
    }

    ngx_goim_reader.id[0] = id[0];
    ngx_goim_reader.id[1] = id[1];

    return rc;
}


static void
ngx_goim_reader_gap(uint64_t *id)
{
    uint64_t  *last;

    last = ngx_goim_reader.id;

    if ((id[0] == last[0] && id[1] == last[1] + 1)
        || (id[0] > last[0] && id[1] == 0))
    {
        return;
    }

    ngx_goim_count(holes, 1);

    if (id[0] == last[0] && id[1] > last[1]) {
        ngx_goim_count(missed, id[1] - last[1] - 1);
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "goim: stream \"%V\" goes on with %uL-%uL after %uL-%uL: "
                  "entries were trimmed before they were read",
                  &ngx_goim_conf->stream, id[0], id[1], last[0], last[1]);
}


static ngx_int_t
ngx_goim_reader_delivery(Goim__Delivery *d, uint64_t *id)
{
    size_t              i, len;
    Goim__Record       *rec;
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    if (d->epoch.len) {
        ngx_goim_reader_epoch(d);
    }

    ngx_memzero(&r->entry, sizeof(r->entry));
    ngx_goim_count(records, d->n_records);

    for (i = 0; i < d->n_records; i++) {
        rec = d->records[i];

        if (ngx_goim_record_valid(rec) != NGX_OK) {
            ngx_goim_count(broken, 1);
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "goim: record %uz of entry %uL-%uL is out of range "
                          "and left out", i, id[0], id[1]);
            continue;
        }

        len = ngx_goim_record_length(rec);

        if (len > r->size) {
            ngx_goim_count(broken, 1);
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "goim: a message of %uz bytes is left out: more "
                          "than an eighth of the zone", rec->body.len);
            continue;
        }

        /* the stream id moves with the last piece */

        if (r->entry.used + len > r->size
            && ngx_goim_reader_publish(r->id) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_goim_reader_record(rec) != NGX_OK) {
            ngx_goim_count(duplicates, 1);
        }
    }

    return r->entry.records ? ngx_goim_reader_publish(id) : NGX_OK;
}


static void
ngx_goim_reader_epoch(Goim__Delivery *d)
{
    ngx_md5_t           md5;
    u_char              digest[16];
    ngx_goim_reader_t  *r;
    static u_char       none[16];

    r = &ngx_goim_reader;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, d->epoch.data, d->epoch.len);
    ngx_md5_final(digest, &md5);

    if (ngx_memcmp(digest, r->epoch, sizeof(digest)) == 0) {
        return;
    }

    if (ngx_memcmp(r->epoch, none, sizeof(none)) != 0) {
        ngx_goim_count(epochs, 1);
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: the bus began a new epoch, positions begin "
                      "anew");
    }

    ngx_memcpy(r->epoch, digest, sizeof(digest));
    r->fresh_epoch = 1;
}


/* NGX_DECLINED: seen before */

static ngx_int_t
ngx_goim_reader_record(Goim__Record *r)
{
    u_char             *p;
    uint64_t            mask[NGX_GOIM_RING_MASK];
    ngx_uint_t          i;
    goim_offset_t       offset;
    ngx_goim_reader_t  *reader;

    reader = &ngx_goim_reader;

    if (r->offset.len) {
        ngx_memcpy(offset.b, r->offset.data, GOIM_OFFSET_LEN);

        if (!reader->fresh_epoch && ngx_goim_seen(r->partition, &offset)) {
            return NGX_DECLINED;
        }
    }

    p = reader->data + reader->entry.used;

    reader->entry.used += ngx_goim_record_put(p, r, mask);
    reader->entry.records++;

    for (i = 0; i < NGX_GOIM_RING_MASK; i++) {
        reader->entry.mask[i] |= mask[i];
    }

    return NGX_OK;
}


/* NGX_ERROR: the lease is lost */

static ngx_int_t
ngx_goim_reader_publish(uint64_t *id)
{
    ngx_uint_t          i;
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    r->entry.id[0] = id[0];
    r->entry.id[1] = id[1];
    ngx_memcpy(r->entry.epoch, r->epoch, sizeof(r->entry.epoch));

    if (!ngx_goim_lease_held()
        || ngx_goim_ring_prepare(ngx_goim_zone->ring, &r->entry, r->data) != 0
        || ngx_goim_zone_publish(&r->entry, r->data) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "goim: the reader's role went to another worker");
        return NGX_ERROR;
    }

    r->fresh_epoch = 0;

    for (i = 0; i < NGX_GOIM_RING_MASK; i++) {
        r->wake[i] |= r->entry.mask[i];
    }

    ngx_memzero(&r->entry, sizeof(r->entry));

    return NGX_OK;
}


static ngx_int_t
ngx_goim_reader_command(ngx_msec_t timeout, ngx_goim_redis_pt handler,
    int argc, const char **argv)
{
    int     i;
    size_t  len[8];

    for (i = 0; i < argc; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    return ngx_goim_redis_command(ngx_goim_reader.redis, timeout, handler,
                                  NULL, argc, argv, len);
}


static ngx_int_t
ngx_goim_parse_id(const char *p, size_t len, uint64_t *id)
{
    size_t      i;
    ngx_uint_t  part;

    id[0] = 0;
    id[1] = 0;
    part = 0;

    for (i = 0; i < len; i++) {

        if (p[i] == '-' && part == 0 && i > 0) {
            part = 1;
            continue;
        }

        if (p[i] < '0' || p[i] > '9') {
            return NGX_ERROR;
        }

        id[part] = id[part] * 10 + (p[i] - '0');
    }

    return part && p[len - 1] != '-' ? NGX_OK : NGX_ERROR;
}
